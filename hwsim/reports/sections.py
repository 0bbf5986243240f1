"""What a report says about each kind of item: one function per kind, which returns sections."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from .document import Section
from .figures import bars, designs, diagram, occupation, photograph, roofline, scatter
from .hardware import array_trace, plan, result, synthesis, systolic, verdict
from .text import cell, duration, heading, sentence

__all__ = ["Accuracy", "Comparison", "sections_of"]

# Layers of a stacked bar that get a colour each; the rest share one. So have operators.
_LAYERS_IN_BAR = 6
# Relative differences that are drawn.
_DIFFERENCES = 30


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """How often a network names the right class, before and after quantization.

    Parameters
    ----------
    float_accuracy, int8_accuracy : float
        Share of the images, 0 to 1.
    images : int
        Labelled images that were classified; none of those that calibrated.
    method : str
        How the ranges were found, e.g. ``"min-max, per channel"``.
    """

    float_accuracy: float
    int8_accuracy: float
    images: int
    method: str


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Numbers that were estimated, next to the same ones simulated or measured.

    Parameters
    ----------
    estimated, actual : mapping of str to float
        By what they are, with the unit; the same keys in both.
    kind : str
        How the actual ones came about: ``"simulated"`` or ``"measured"``.
    title : str
    """

    estimated: Mapping[str, float]
    actual: Mapping[str, float]
    kind: str = "simulated"
    title: str = "Estimated against simulated"

    def __post_init__(self):
        if self.estimated.keys() != self.actual.keys():
            keys = " and ".join(", ".join(numbers) for numbers in (self.estimated, self.actual))
            raise ValueError(f"estimated and actual must have the same keys, not {keys}")


def sections_of(item):
    """Sections about an item; TypeError for an item of no known kind."""
    if isinstance(item, Section):
        return [item]
    if isinstance(item, pd.DataFrame):
        return [Section("Table", tables={"table": item})]
    for kind in type(item).__mro__:
        builder = BUILDERS.get(f"{kind.__module__}.{kind.__qualname__}")
        if builder:
            return [builder(item)]
    accepted = ", ".join(name.rpartition(".")[2] for name in BUILDERS)
    raise TypeError(
        f"a report cannot show {type(item).__name__}; it shows {accepted}, DataFrame, Section"
    )


def network(item):
    """Layers, and where parameters and multiply-accumulates are."""
    table = item.table()
    busy = table[(table["macs"] > 0) | (table["params"] > 0)]
    names = list(busy["name"])
    figures = {
        "Layers and the shapes of their outputs, from input to output": _diagram(item, table)
    }
    for column, caption in (("macs", "Multiply-accumulates (MACs)"), ("params", "Parameters")):
        if names:
            figures[f"{caption} of each layer that has any"] = bars(
                names, {caption: list(busy[column])}, caption
            )
    (first, *_), (last, *_) = item.inputs, item.outputs
    facts = {
        "Layers": cell(len(table)),
        "Input": cell(first.shape),
        "Output": cell(last.shape),
        "Parameters": cell(item.params),
        "MACs": cell(item.macs),
    }
    tables, captions = {"layers": table}, {}
    if notes := item.left_out():
        rows = [note.split(": ", 1) for note in notes]
        tables["strides"] = pd.DataFrame(rows, columns=["layer", "left_out"])
        captions["strides"] = "Where windows do not divide, their number is rounded down"
    return Section(f"Network {item.name}", "", facts, figures, tables=tables, captions=captions)


def receptive_fields(item):
    """What each layer of a network sees of the image, and its cost as a fully connected layer."""
    text = (
        "The field of a position is the smallest interval on each axis that holds every pixel on "
        "which a value there depends, far from the border; that of the position i begins at start "
        "+ i × jump, and what lies beyond the image is padding. The dense parameters and MACs are "
        "those of the same mapping as a fully connected layer."
    )
    table = item.geometry().drop(columns="op")  # which stands beside the layers
    return Section(f"Receptive fields of {item.name}", text, tables={"geometry": table})


def _diagram(item, table):
    """The network as `diagram` draws it."""
    places: dict[str, int] = {}
    nodes: list[tuple] = []
    for tensor in item.inputs:
        places[tensor.name] = len(nodes)
        nodes.append((tensor.name, "input", cell(tensor.shape), "", ()))
    for layer, row in zip(item.layers, table.itertuples(index=False), strict=True):
        sources = list(dict.fromkeys(places[name] for name in layer.inputs if name in places))
        places |= dict.fromkeys(filter(None, layer.outputs), len(nodes))
        count = f"{cell(row.params)} parameters, {cell(row.macs)} MACs"
        nodes.append((row.name, row.op, cell(row.output_shape), count, sources))
    return diagram(nodes)


def accuracy(item):
    """Float against int8."""
    shares = [100 * item.float_accuracy, 100 * item.int8_accuracy]
    facts = {
        "Float accuracy": f"{shares[0]:.2f} %",
        "Int8 accuracy": f"{shares[1]:.2f} %",
        "Change": f"{shares[1] - shares[0]:+.2f} points".replace("-", "−"),
        "Images": cell(item.images),
    }
    table = pd.DataFrame(
        {"numbers": ["float", "int8"], "accuracy_percent": shares, "images": item.images}
    )
    text = f"Weights and feature maps as 8-bit integers; ranges by {item.method}."
    return Section("Quantization", text, facts, tables={"accuracy": table})


def estimates(item):
    """Devices side by side, and what takes the time on each."""
    from hwsim.models.energy import NOTE

    devices = item.table.drop(columns="notes")
    place = devices.columns.get_loc("latency_s")
    devices.insert(place, "latency_ms", 1000 * devices.pop("latency_s"))
    names = list(devices["device"])
    classes = list(dict.fromkeys(devices["class"]))

    def by_class(column):
        values = list(zip(devices["class"], devices[column], strict=True))
        return {kind: [value if own == kind else None for own, value in values] for kind in classes}

    batch = (
        f"a batch of {cell(int(devices['batch'].max()))}"
        if (devices["batch"] > 1).any()
        else "one image"
    )
    figures = {
        "Throughput, batches back to back; longer is better": bars(
            names,
            by_class("throughput_images_per_s"),
            "images per second, logarithmic",
            log=True,
            stacked=True,
        ),
        f"Latency of {batch}; shorter is better": bars(
            names, by_class("latency_ms"), "milliseconds, logarithmic", log=True, stacked=True
        ),
    }
    frames = {entry.device.name: entry.frame() for entry in item}
    shares = {
        entry.device.name: 100
        * frames[entry.device.name].groupby("name", sort=False)["seconds"].sum()
        / entry.latency_s
        for entry in item
        if not entry.pipelined and entry.latency_s
    }
    one_by_one = "on devices that compute one layer after another"
    if shares:
        caption = f"Share of each layer in the latency, {one_by_one}"
        figures[caption] = _shares(shares, "layers")
    groups = {"op": ("operator", "operators")}
    if any(entry.training for entry in item):
        groups["phase"] = ("phase of the training step", "phases")
    for column, (one, several) in groups.items():
        by_group = {
            name: 100 * frames[name].groupby(column, sort=False)["seconds"].sum() / seconds
            for name, seconds in ((name, frames[name]["seconds"].sum()) for name in shares)
        }
        if by_group:
            caption = f"Where the time goes: share of each {one} in the latency, {one_by_one}"
            figures[caption] = _shares(by_group, several)
    figures |= _layer_bars(item) | _rooflines(item) | _timelines(item)
    layers = pd.concat(
        [table.assign(device=name) for name, table in frames.items()], ignore_index=True
    )
    phase = {"phase": layers["phase"]} if "phase" in layers else {}
    layers = pd.DataFrame(
        {
            "device": layers["device"],
            "layer": layers["name"],
            "op": layers["op"],
            **phase,
            "time_us": 1e6 * layers["seconds"],
            "macs": layers["macs"],
            "memory_bytes": layers["bytes"],
            "energy_uj": 1e6 * layers["energy_j"],
            "utilization_percent": 100 * layers["utilization"],
            "bound": layers["bound"],
        }
    )
    notes = [(entry.device.name, note) for entry in item for note in entry.notes]
    tables = {"devices": devices, "devices-layers": layers}
    if notes:
        tables["assumptions"] = pd.DataFrame(notes, columns=["device", "assumption"])
    best = devices.loc[devices["throughput_images_per_s"].idxmax()]
    quick = devices.loc[devices["latency_ms"].idxmin()]
    facts = {
        "Highest throughput": f"{cell(best['throughput_images_per_s'])} images/s, {best['device']}",
        "Shortest latency": f"{duration(quick['latency_ms'] / 1000)}, {quick['device']}",
    }
    text = f"Estimates for {item.network.name}; nothing here was measured. {sentence(NOTE)}"
    if any(entry.pipelined for entry in item):
        text += " Layers of an FPGA's pipeline work at the same time: their times do not add up."
    return Section("Devices", text, facts, figures, tables=tables)


_OUTLOOK = {
    "parallel": (
        "Several devices",
        "A batch on several of each device, and the speed-up over one.",
    ),
    "training": (
        "Time of training",
        "Steps one after another. A last batch that is not full takes as long as a full one, and "
        "nothing but steps is counted.",
    ),
    "serving": (
        "Requests over time",
        "Requests of an image each arrive at random (Poisson). Latencies are those that so many "
        "percent of the requests do not exceed, from their arrival on.",
    ),
}


def outlook(name, rows, asked):
    """What the command ``estimate`` has beside estimates: rows of a table, and what was asked."""
    title, text = _OUTLOOK[name]
    table = pd.DataFrame(rows).dropna(axis=1, how="all")
    if "exchange_ms" in table:
        text += " An exchange is a part of the latency, in which nothing is computed."
    elif name == "parallel":
        text += " Images move through the layers one by one, as they do on that one."
    facts = {what: cell(value) for what, value in asked.items()}
    return Section(title, text, facts, tables={name: table})


def _shares(shares, several):
    """Stacked bars of shares in percent, by device; the smaller parts together."""
    parts = pd.DataFrame(shares).fillna(0.0)
    parts = parts[parts.max(axis=1) > 0]
    largest = parts.max(axis=1).nlargest(_LAYERS_IN_BAR).index
    series = {name: list(parts.loc[name]) for name in parts.index if name in largest}
    rest = parts.drop(index=largest).sum()
    if len(parts) > len(largest):
        series[f"{len(parts) - len(largest)} other {several}"] = list(rest)
    return bars(list(shares), series, "% of the latency", stacked=True)


def _layer_bars(item):
    """Time, operations, bytes and utilization of each layer that has any, device by device."""
    found = {}
    for entry in item:
        frame = entry.frame()
        frame["operations"] = 2 * frame["macs"] + [layer.operations for layer in entry.layers]
        # What the multipliers could have done; the phases of a training step add up.
        frame["possible"] = (frame["macs"] / frame["utilization"]).where(frame["utilization"] > 0)
        sums = frame.groupby("name", sort=False)[
            ["seconds", "macs", "operations", "bytes", "possible"]
        ].sum()
        sums["utilization"] = 100 * (sums["macs"] / sums["possible"]).where(sums["possible"] > 0)
        found[entry.device.name] = sums[(sums[["seconds", "operations", "bytes"]] > 0).any(axis=1)]
    names = list(dict.fromkeys(name for sums in found.values() for name in sums.index))
    figures = {}
    for column, scale, caption, axis in (
        ("seconds", 1e6, "Time of each layer", "microseconds, logarithmic"),
        ("operations", 1, "Operations of each layer, a MAC being two", "operations, logarithmic"),
        ("bytes", 1, "Memory traffic of each layer", "bytes, logarithmic"),
        ("utilization", 1, "Utilization of the multipliers in each layer", "%"),
    ):
        values = {device: scale * sums[column].reindex(names) for device, sums in found.items()}
        if column == "operations":
            # The same everywhere; those of an FPGA beside the MACs are not counted.
            values = {column: pd.DataFrame(values).max(axis=1)}
        table = pd.DataFrame(values).astype(object)
        table = table.where(table > 0, None)[(table > 0).any(axis=1)]
        if len(table):
            series = {label: list(table[label]) for label in table}
            figures[caption] = bars(list(table.index), series, axis, log=column != "utilization")
    return figures


def _timelines(item):
    """When memory and arithmetic of each device are at work or wait; of an FPGA, its layers."""
    figures = {}
    for entry in item:
        spans = [
            (resource, name, round(start * 1e12), round(end * 1e12))
            for resource, name, start, end in entry.timeline
        ]
        end = max((stop for *_, stop in spans), default=0)
        if not end:
            continue
        scale, unit = next(
            (way for way in ((1e-9, "ms"), (1e-6, "µs")) if end * way[0] >= 1), (1e-3, "ns")
        )
        if entry.device.device_class == "fpga":
            what = "each layer from its first cycle to its last"
            rows = {name: {"at work": [(start, stop - 1)]} for _, name, start, stop in spans}
            waits: list[str] = []
        else:
            what = "at work by operator, and, hatched, waiting"
            rows, waits = _work_and_waits(spans, _groups(entry), end)
        caption = f"Timeline of {entry.device.name}: {what}"
        figures[caption] = occupation(rows, end, unit, hatched=waits, scale=scale, unit=unit)
    return figures


def _groups(entry):
    """For each layer its operator, or that it is another one than those that take the time."""
    time: dict[str, float] = {}
    for layer in entry.layers:
        time[layer.op] = time.get(layer.op, 0) + layer.seconds
    often = sorted(time, key=lambda op: -time[op])[:_LAYERS_IN_BAR]
    return {
        layer.name: layer.op if layer.op in often else "other operators" for layer in entry.layers
    }


def _work_and_waits(spans, groups, end):
    """For memory and arithmetic what they do, and for what they wait, from spans of work."""
    resources = ("memory", "compute")
    edges = np.unique([0, end, *(edge for *_, start, stop in spans for edge in (start, stop))])
    doing = {resource: np.full(len(edges) - 1, "", object) for resource in resources}
    for resource, name, start, stop in spans:
        first, last = np.searchsorted(edges, (start, stop))
        doing[resource][first:last] = groups[name]
    rows: dict[str, dict[str, list]] = {}
    for resource, other in zip(resources, resources[::-1], strict=True):
        wait = np.where(doing[other] == "", "waits for the launch", f"waits for {other}")
        parts = np.where(doing[resource] == "", wait, doing[resource])
        rows[resource] = {}
        for part, start, stop in zip(parts, edges, edges[1:], strict=False):
            rows[resource].setdefault(part, []).append((start, stop - 1))
    return rows, ["waits for memory", "waits for compute", "waits for the launch"]


def _rooflines(item):
    """For each device its roofline with the layers, where its memory's bandwidth is known."""
    from hwsim.models import roofline as model

    figures = {}
    for entry in item:
        roof = model.roofline(entry.device, entry.clock_hz)
        found = [p for p in model.points(entry) if np.isfinite(p.intensity_ops_per_byte)]
        if roof.bandwidth_bytes_per_s is None or not found:
            continue
        precisions = dict.fromkeys(point.precision for point in found)
        roofs = {
            name: (roof.peaks_ops_per_s[name], roof.bandwidth_bytes_per_s) for name in precisions
        }
        spent: dict[str, float] = {}
        for layer in entry.layers:
            spent[layer.op] = spent.get(layer.op, 0) + layer.seconds
        ops = dict.fromkeys(point.op for point in found)
        most = sorted(ops, key=lambda op: -spent[op])[:_LAYERS_IN_BAR]
        groups: dict[str, list] = {op: [] for op in ops if op in most}
        for point in found:
            group = point.op if point.op in most else "other operators"
            place = (point.name, point.intensity_ops_per_byte, point.ops_per_s)
            groups.setdefault(group, []).append(place)
        caption = f"Roofline of {entry.device.name}: what memory and arithmetic allow, and layers"
        figures[caption] = roofline(roofs, groups)
    return figures


def gemm_comparison(item):
    """One matrix product on several devices."""
    table = item.table
    names = list(table["device"])
    roofs = {
        f"{row.device}, {row.precision}": (row.peak_ops_per_s, bandwidth)
        for row in table.itertuples(index=False)
        if (bandwidth := item.roofs[row.device].bandwidth_bytes_per_s) is not None
    }
    points = {
        row.device: [(row.device, row.intensity_ops_per_byte, row.ops_per_s)]
        for row in table.itertuples(index=False)
        if np.isfinite(row.intensity_ops_per_byte)
    }
    figures = {
        "Operations per second: attained, and the peak of the data type": bars(
            names,
            {"attained": list(table["ops_per_s"]), "peak": list(table["peak_ops_per_s"])},
            "operations per second, logarithmic",
            log=True,
        ),
        "Time; shorter is better": bars(
            names, {"time": list(table["latency_us"])}, "microseconds, logarithmic", log=True
        ),
    }
    if roofs and points:
        figures["Rooflines, and what each device attains"] = roofline(roofs, points)
    quick = table.loc[table["latency_us"].idxmin()]
    facts = {
        "M": cell(item.m),
        "N": cell(item.n),
        "K": cell(item.k),
        "MACs": cell(item.m * item.n * item.k),
        "Shortest time": f"{duration(quick['latency_us'] / 1e6)}, {quick['device']}",
    }
    text = (
        "The same product of an M × K and a K × N matrix, estimated; nothing here was measured. "
        "Data types differ where a device does not have the others' type."
    )
    return Section("One matrix product", text, facts, figures, tables={"product": table})


def comparison(item):
    """Estimated against simulated or measured numbers."""
    rows = [
        (
            name,
            value,
            item.actual[name],
            100 * (value / item.actual[name] - 1) if item.actual[name] else float("nan"),
        )
        for name, value in item.estimated.items()
    ]
    table = pd.DataFrame(rows, columns=["quantity", "estimated", item.kind, "difference_percent"])
    figure = bars(
        list(table["quantity"]),
        {"estimated": list(table["estimated"]), item.kind: list(table[item.kind])},
        "value, in the unit at the left",
    )
    worst = table["difference_percent"].abs().max()
    facts = {"Largest difference": f"{cell(float(worst))} %"}
    return Section(
        item.title,
        facts=facts,
        figures={f"Estimated and {item.kind}": figure},
        tables={"comparison": table},
    )


def differences(item):
    """What differs between two results."""
    first, second = item.names
    table = item.table
    facts = {
        "Compared": f"{cell(item.compared)} quantities",
        "Different": cell(len(table)),
        "Missing in one": cell(len(item.missing)),
    }
    relative = table.dropna(subset="difference_percent")
    figures = {}
    if len(relative):
        worst = relative["difference_percent"].abs().idxmax()
        row = relative.loc[worst]
        facts["Largest difference"] = f"{row['difference_percent']:+.4g} %, {row['quantity']}"
        largest = relative["difference_percent"].abs().nlargest(_DIFFERENCES).index
        shown = relative[relative.index.isin(largest)]
        figures["The largest relative differences"] = bars(
            list(shown["quantity"]),
            {"difference": list(shown["difference_percent"])},
            "% of the first",
        )
    tables = {"differences": table.infer_objects()}
    if len(item.missing):
        tables["missing"] = item.missing
    text = f"The first is {first}, the second {second}. " + (
        "They are equal." if item.equal else "What is equal in both is not listed."
    )
    return Section(f"{first} and {second}", text, facts, figures, tables=tables)


def validation(item):
    """Predictions beside measurements."""
    summary, points = item.summary(), item.points
    total = summary.iloc[-1]
    if item.exact:
        different = int((points["predicted"] != points["measured"]).sum())
        facts = {"Points": cell(len(points)), "Different": cell(different)}
        kind = "Each prediction must be exact."
    else:
        facts = {
            "Points": cell(len(points)),
            "Mean absolute error": f"{total['mape_percent']:.1f} %",
            "Worst": f"{total['worst_percent']:.1f} %, {total['worst_point']}",
            "Bias": f"{total['bias_percent']:+.1f} %".replace("-", "−"),
        }
        kind = f"Fitted on these points: {item.fitted}." if item.fitted else "Nothing was fitted."
    text = " ".join([f"Measurements: {item.source}. {kind}", *item.notes])
    shown = points[(points["predicted"] > 0) & (points["measured"] > 0)]
    groups = {
        name: (list(part["point"]), list(part["measured"]), list(part["predicted"]))
        for name, part in shown.groupby("group", sort=False)
    }
    figures = {}
    if groups and not item.exact:
        axes = f"measured, {item.unit}", f"predicted, {item.unit}"
        figures["Predicted against measured; a point on the line is right"] = scatter(groups, *axes)
    errors = points.assign(error_percent=100 * (points["predicted"] / points["measured"] - 1))
    tables = {item.name: summary, f"{item.name}-points": errors}
    return Section(item.title, text, facts, figures, tables=tables)


def filtered(item):
    """A picture before and after a filter, the filter's numbers, its Verilog."""
    design, spec = item.design, item.filter
    before, after = item.picture.shape, item.output.shape
    facts = {
        "Picture": f"{before[1]} × {before[0]}",
        "Result": f"{after[1]} × {after[0]}",
        "Cycles": cell(item.cycles),
        "Cycles per pixel": f"{item.cycles_per_pixel:.4f}",
        "Mismatches": cell(item.mismatches),
        "Products per cycle": cell(design.plan.multipliers),
    }
    text = (
        "Every cycle of the hardware was simulated, and every value of every step compared with "
        f"the integer reference: {verdict(item)}."
    )
    for note in item.left_out:
        text += f" Mind that {note}."
    if spec.grey is not None:
        facts["Grey"] = spec.grey
    mapped = {"average": "Averages of blocks", "sum": "Sums of blocks"}.get(spec.block)
    tables = {}
    captions = {}
    if spec.kernel is not None:
        mapped = "The kernel's sums"
        fixed = spec.fixed
        rotated = ", rotated by 180 degrees" if spec.rotate else ""
        facts |= {
            "Kernel": cell(fixed.weights.shape),
            "Applied as": "convolution" if spec.rotate else "correlation",
            "Border": _BORDERS[spec.border],
            "Stride": cell(spec.stride),
        }
        tables["coefficients"] = _kernel_table(spec.coefficients)
        tables["weights"] = _kernel_table(fixed.weights)
        captions["coefficients"] = f"Coefficients as they are applied{rotated}"
        captions["weights"] = (
            f"Weights in fixed point: coefficients × {spec.applied_scale:g} × "
            f"2^{fixed.fraction_bits}, as integers"
        )
        text += (
            f" Before rounding down, sums differ from real ones by at most {fixed.error_bound:.3g} "
            "steps of the output."
        )
    if spec.block is not None:
        facts["Blocks"] = f"{spec.block} of {spec.size} × {spec.size}"
    if mapped:
        facts |= {"Scale": cell(spec.applied_scale), "Offset": f"{spec.applied_offset}"}
        text += (
            f" {mapped}, times the scale, are rounded down; then the offset is added, and what "
            "lies beyond 0 to 255 is held there."
        )
    verilog = design.verilog
    listings = {
        f"{name}: {len(content.splitlines()):,} lines": content
        for name, content in verilog.files.items()
        if name.endswith(".v")
    }
    pictures = {
        "Before": photograph(item.picture),
        "After, as the hardware gave it": photograph(item.output),
    }
    return Section(
        f"Filter {spec.name}",
        text,
        facts,
        pictures=pictures,
        tables=tables,
        captions=captions,
        listings=listings,
    )


# What a kernel reads beyond the picture.
_BORDERS = {
    "valid": "valid: nothing",
    "zero": "zero: black",
    "edge": "edge: the nearest pixel",
    "full": "full: black",
}


def _kernel_table(rows):
    columns = [f"column {k}" for k in range(rows.shape[1])]
    table = pd.DataFrame(rows, columns=columns)
    table.insert(0, "row", [str(k) for k in range(len(rows))])
    return table


# By the names of the classes: a report must not load simulators that it does not need.
# Points of a front that a table shows, and points beside it that a plot does.
_DESIGNS = 200
_OTHERS = 3000


def study(item):
    """An exploration: the front, its knee, why designs were rejected, other fidelities."""
    front, wanted = item.front, item.columns
    first, second = (list(wanted.values()) * 2)[:2]
    facts = {
        "Points": cell(item.points),
        "Feasible": cell(item.feasible),
        "Front": f"{cell(len(front))} designs",
        "Search": item.method,
    }
    figures: dict = {}
    linked = {}
    if len(front):
        knee = item.knee
        facts["Knee"] = f"point {knee['point']}"
        names = " and ".join(heading(column) for column in dict.fromkeys((first, second)))
        caption = f"The front: {names}"
        groups, others = _design_groups(item, first, second)
        figures[caption] = designs(groups, others, first, second)
        linked[caption] = "front"
    if item.rejected:
        figures["Why points were rejected; of several reasons the first counts"] = bars(
            list(item.rejected), {"points": list(item.rejected.values())}, "points"
        )
    tables = {"front": front.head(_DESIGNS)}
    if item.refined:
        table = item.refinements
        # Numbers and, where something could not be done, the reason.
        table["value"] = table["value"].map(lambda v: v if isinstance(v, str) else cell(v))
        tables["refined"] = table
    text = (
        "Designs that no other one beats in every objective. Times and energies are those of the "
        "closed form, cells those of the cost view, unless another source stands beside them."
    )
    if linked:
        text += (
            " A design that is chosen in the plot, or in the table by mouse or arrow keys, is "
            "marked in both. The filter takes words that a row must have, and comparisons with a "
            "column."
        )
    title = f"Designs for {item.name}"
    return Section(title, text, facts, figures, tables=tables, linked=linked)


def _design_groups(item, first, second):
    """For a plot: the front and its knee by name, place and row, and places of other points."""
    front = item.front
    table = item.frame()
    good = table[(table["rejected"] == "") & ~table["point"].isin(front["point"])]
    good = good.iloc[:: -(-len(good) // _OTHERS) or 1]
    groups = {"front": front, "knee": front[front["point"] == item.knee["point"]]}
    # One that lies beyond the table's end has no row.
    places = {point: row for row, point in enumerate(front["point"].head(_DESIGNS))}
    varied = [name for name in front if name != "point" and front[name].nunique() > 1]
    named = {
        label: (
            [
                ", ".join(f"{name} {cell(value)}" for name, value in zip(varied, row, strict=True))
                for row in rows[varied].astype(object).itertuples(index=False)
            ],
            list(rows[first]),
            list(rows[second]),
            [places.get(point) for point in rows["point"]],
        )
        for label, rows in groups.items()
    }
    return named, (good[first], good[second])


BUILDERS: dict[str, Callable] = {
    "hwsim.network.network.Network": network,
    "hwsim.reports.sections.Accuracy": accuracy,
    "hwsim.blocks.streaming.StreamingPlan": plan,
    "hwsim.rtl.streaming.Design": lambda design: plan(design.plan),
    "hwsim.rtl.systolic.design.SystolicDesign": systolic,
    "hwsim.sim.simulate.Result": result,
    "hwsim.sim.array_trace.ArrayTrace": array_trace,
    "hwsim.models.estimate.Estimates": estimates,
    "hwsim.models.roofline.GemmComparison": gemm_comparison,
    "hwsim.reports.sections.Comparison": comparison,
    "hwsim.reports.differences.Differences": differences,
    "hwsim.validation.check.Check": validation,
    "hwsim.synth.result.Synthesis": synthesis,
    "hwsim.filters.FilterResult": filtered,
    "hwsim.explore.study.Study": study,
}
