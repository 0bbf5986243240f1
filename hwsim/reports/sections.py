"""What a report says about each kind of item: one function per kind, which returns sections."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from .document import Section
from .figures import (
    array_cycles,
    bars,
    channels,
    designs,
    gantt,
    occupation,
    photograph,
    roofline,
    scatter,
)
from .text import cell, duration, heading

__all__ = ["Accuracy", "Comparison", "sections_of"]

# Images of which a simulation's timeline shows the beginning.
_IMAGES_IN_TIMELINE = 6
# Of the memory of a systolic accelerator, in cycles: as in a simulation if nothing is said.
_MEMORY_LATENCY = 20
# Layers of a stacked bar that get a colour each; the rest share one. So have operators.
_LAYERS_IN_BAR = 6


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
    figures = {}
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
    return Section(f"Network {item.name}", facts=facts, figures=figures, tables={"layers": table})


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


def plan(item):
    """Stages of a streaming pipeline, and how well each uses its multipliers."""
    interval = item.interval
    rows = []
    for stage in item.stages:
        config = stage.config
        useful = (
            100 * config.macs / (config.multipliers * interval)
            if config.multipliers
            else float("nan")
        )
        kind = type(config).__name__.removesuffix("Config").lower()
        depth = max((queue.depth for queue in stage.queues), default=None)
        lanes = config.output.lanes
        work = (config.macs, config.multipliers, config.interval)
        rows.append((stage.name, kind, *work, useful, lanes, depth))
    columns = ["stage", "unit", "macs", "multipliers", "interval_cycles"]
    columns += ["utilization_percent", "output_lanes", "queue_depth"]
    table = pd.DataFrame(rows, columns=columns)
    working = table[table["multipliers"] > 0]
    figures = {
        "Cycles that each stage needs for an image; the longest sets the pace": bars(
            list(table["stage"]), {"interval": list(table["interval_cycles"])}, "cycles per image"
        )
    }
    if len(working):
        figures["Utilization: useful MACs over multipliers × cycles per image"] = bars(
            list(working["stage"]),
            {"utilization": list(working["utilization_percent"])},
            "% of the multipliers' cycles",
        )
    facts = {
        "Cycles per image": cell(interval),
        "Latency of one image": f"{cell(item.cycles(1))} cycles",
        "Multipliers": cell(item.multipliers),
    }
    if item.multipliers:
        facts["Utilization"] = f"{100 * item.macs / (item.multipliers * interval):.1f} %"
    text = (
        "One unit per layer, joined by queues, so that images follow one another without a pause."
    )
    return Section("Streaming pipeline", text, facts, figures, tables={"stages": table})


def systolic(item):
    """The layers of a program for a systolic accelerator, and what its engines do, by the model."""
    # Not before such a design is there, which has loaded most of it.
    from hwsim.blocks.systolic.timing import Memory
    from hwsim.models.dataflow.systolic import layer_table

    program, config = item.program, item.config
    memory = Memory(
        read_latency=_MEMORY_LATENCY,
        write_latency=_MEMORY_LATENCY,
        outstanding_reads=config.outstanding,
        outstanding_writes=config.outstanding,
    )
    timing = program.timing(memory)
    table = layer_table(program, timing)
    for column in ("utilization", "limit"):
        table[column] *= 100
    table = table.rename(columns={"utilization": "utilization_percent", "limit": "limit_percent"})
    working = table[table["macs"] > 0]
    macs, array_cycles = int(working["macs"].sum()), int(working["array_cycles"].sum())
    figures = {}
    if len(working):
        names = list(working["layer"])
        figures["Utilization: useful MACs over elements × cycles; the limit is for full speed"] = (
            bars(
                names,
                {
                    "utilization": list(working["utilization_percent"]),
                    "limit that the array's edges set": list(working["limit_percent"]),
                },
                "% of the elements' cycles",
            )
        )
        waits = [name for name in table if name.startswith("stall_")]
        lost = working[waits].sum(axis=1)
        figures["Cycles of the array in each layer: at work, and by what it waited for"] = bars(
            names,
            {"at work": list(working["array_cycles"] - lost)}
            | {_stall_of(name): list(working[name]) for name in waits if working[name].any()},
            "clock cycles",
            stacked=True,
        )
    spans, hatched = _engine_spans(program.instructions, timing)
    figures["What each engine does, and, hatched, for what it waits"] = occupation(
        spans, timing.cycles, "clock cycle", hatched=hatched
    )
    packed = ", packed" if config.packed else ""
    facts = {
        "Array": f"{cell((config.rows, config.cols))}, {config.dataflow}{packed}",
        "Buffer": f"{cell(config.buffer_bytes)} bytes",
        "Accumulators": f"2 × {cell(config.accumulator_rows)} rows",
        "Line memory for pools": f"{cell(config.pool_columns)} columns",
        "Instructions": cell(len(program.instructions)),
        "Memory": f"{cell(program.memory_bytes)} bytes",
        "Read": f"{cell(int(table['bytes_read'].sum()))} bytes",
        "Written": f"{cell(int(table['bytes_written'].sum()))} bytes",
        "Cycles of one image": cell(timing.cycles),
    }
    if array_cycles:
        share = 100 * macs / (array_cycles * config.rows * config.cols)
        facts["Utilization"] = f"{share:.1f} %"
    text = (
        "One array, and a program that runs the network on it layer by layer. Cycles are those of "
        f"the model, exact for a memory that answers after {_MEMORY_LATENCY} cycles. The table "
        "has, beside them, those that SCALE-Sim reports for the same array and layer. An engine "
        "that pauses within an instruction counts as at work on it."
    )
    return Section("Systolic accelerator", text, facts, figures, tables={"layers": table})


def _stall_of(column):
    return column.removeprefix("stall_").removesuffix("_cycles")


# What an engine does with an instruction, and what keeps it from beginning.
_WORK = {
    "READ_WEIGHTS": "read weights",
    "READ_ACTIVATIONS": "read activations",
    "READ_PARAMETERS": "read parameters",
    "READ_TABLE": "read parameters",
    "CONVOLVE": "convolve",
    "ACTIVATE": "activate",
    "COMBINE": "combine",
    "POOL": "pool",
    "WRITE_ACTIVATIONS": "write activations",
}


def _engine_spans(instructions, timing):
    """For each engine when it did what and waited for what, and which of these are waits.

    Engines work on instructions in their order; where two overlap, the time belongs to the first.
    An engine that has none waits for the last of what the next one depends on.
    """
    from hwsim.blocks.systolic.isa import ENGINES

    numbers = {
        name: [k for k, i in enumerate(instructions) if i.opcode.engine == engine]
        for engine, name in enumerate(ENGINES)
    }
    rows: dict[str, dict[str, list]] = {name: {} for name in ENGINES}
    for name, mine in numbers.items():
        parts = rows[name]
        free = 0
        for k in mine:
            begun, done = int(timing.taken[k]), int(timing.done[k])
            cause, latest = "the program", int(timing.dispatched[k])
            for other, count in zip(ENGINES, instructions[k].after, strict=True):
                if count and (end := int(timing.done[numbers[other][count - 1]])) > latest:
                    cause, latest = other, end
            started = min(max(begun, int(timing.started[k])), done + 1)
            for part, first, stop in (
                (f"waits for {cause}", free, begun),
                ("waits for data or room", max(free, begun), started),
                (_WORK[instructions[k].opcode.name], max(free, started), done + 1),
            ):
                if first < stop:
                    parts.setdefault(part, []).append((first, stop - 1))
            free = max(free, done + 1)
    waits = [part for parts in rows.values() for part in parts if part.startswith("waits")]
    return rows, sorted(set(waits))


def array_trace(item):
    """A small systolic array: which operand is where in each cycle."""
    config = item.config
    text = (
        "What a simulation of the hardware saw in each element: from above, what passes by on its "
        "way down; the activation and the weight that it multiplies; the sum in it at the end of "
        "the cycle. Colours tell folds apart"
    )
    if config.output_stationary:
        text += (
            ", marks the steps: operands of one step have one mark. Squares are sums that stay in "
            "place, open ones finished sums that go down. The small number is that of the step, "
            "for sums that of the row which they come from."
        )
    else:
        text += (
            ", marks the vectors: an activation and a sum with the same mark belong to the same "
            "row of the input. Squares are weights in use, open ones weights on their way. The "
            "small number is that of the vector, for weights that of their row."
        )
    if config.product_latency:
        text += (
            f" Their product is added {config.product_latency} "
            f"cycle{'s' * (config.product_latency > 1)} later."
        )
    facts = {
        "Array": f"{cell((config.rows, config.cols))}, {config.dataflow}",
        "Folds": cell(item.folds),
        "Cycles": cell(item.cycles),
        "Latency": f"{cell(config.latency)} cycles",
    }
    places = np.indices((item.cycles, config.rows, config.cols)).reshape(3, -1)
    columns = dict(zip(("cycle", "row", "column"), places, strict=True))
    for name in ("activations", "weights", "sums", "passing"):
        operands = getattr(item, name)
        there = operands.folds.ravel() >= 0
        label = name.removesuffix("s")
        for what in ("values", "folds", "numbers"):
            values = pd.array(getattr(operands, what).ravel(), "Int64")
            values[~there] = pd.NA
            columns[label if what == "values" else f"{label}_{what.removesuffix('s')}"] = values
    figure = array_cycles(item)
    caption = "Play, or choose a cycle; the left and right arrow keys step, the space bar plays"
    table = pd.DataFrame(columns)
    idle = table["activation"].isna() & table["passing"].isna() & table["sum"].isna()
    return Section(
        "Systolic array, cycle by cycle",
        text,
        facts,
        {caption: figure},
        tables={"array": table[~idle].reset_index(drop=True)},
    )


def result(item):
    """A simulation: what was checked, when beats moved, how the first image's feature maps look."""
    return _systolic_result(item) if item.counters else _streaming_result(item)


def _systolic_result(item):
    facts = _result_facts(item)
    counters = item.counters
    facts |= {
        "Read": f"{cell(counters['bytes_read'])} bytes",
        "Written": f"{cell(counters['bytes_written'])} bytes",
    }
    activity = item.activity
    spans = {
        row.name: {"results": [(row.first_cycle, row.last_cycle)]}
        for row in activity.itertuples(index=False)
    }
    end = max(int(counters["cycles"]), int(activity["last_cycle"].max()) + 1)
    engines = [name.removesuffix("_active") for name in counters if name.endswith("_active")]
    figures = {
        "From the first to the last result that was written of each layer": occupation(
            spans, end, "clock cycle"
        ),
        "Each engine: had an instruction; the next instruction waited for other engines": bars(
            engines,
            {
                "active": [counters[f"{name}_active"] for name in engines],
                "waited for weights alone": [counters.get(f"{name}_starved") for name in engines],
                "the next one waits": [counters[f"{name}_waiting"] for name in engines],
            },
            "clock cycles",
        ),
    }
    tables = {
        "simulation": item.layers.merge(activity, on="name", how="left").astype(
            dict.fromkeys(activity.columns.drop("name"), "Int64")
        ),
        "counters": pd.DataFrame({"counter": list(counters), "value": list(counters.values())}),
    }
    text = (
        "Every cycle of the hardware was simulated, and every value that was written compared with "
        f"the integer reference: {_verdict(item)}. Counters and times are those of the last "
        "image of the first lane."
    )
    return Section("Simulation", text, facts, figures, _maps(item), tables)


def _result_facts(item):
    return {
        "Images": cell(item.images),
        "Mismatches": f"{cell(item.mismatches)} of {cell(int(item.layers['values'].sum()))}",
        "Cycles": cell(item.cycles),
        "Cycles per image": cell(item.cycles_per_image),
    }


def _verdict(item):
    return "some differ" if item.mismatches else "all are equal"


def _maps(item):
    """Pictures of the first image's feature maps."""
    pictures = {}
    for name, maps in item.feature_maps.items():
        first = np.asarray(maps)[0]
        low, high = cell(int(first.min())), cell(int(first.max()))
        pictures[f"{name}: {cell(first.shape)}, codes {low} to {high}"] = channels(first)
    return pictures


def _streaming_result(item):
    facts = _result_facts(item)
    text = (
        "Every cycle of the hardware was simulated, and every value on every stream compared with "
        f"the integer reference: {_verdict(item)}."
    )
    transfers = {"images in": item.recording.inputs["i"].cycles}
    transfers |= {name: item.recording.probes[name].cycles for name in item.feature_maps}
    each = item.images_per_lane
    shown = min(each, _IMAGES_IN_TIMELINE)
    rows = {}
    for name, cycles in transfers.items():
        # Of the first lane, where there are several.
        images = np.asarray(cycles).reshape(item.lanes, each, -1)[0, :shown]
        rows[name] = {f"image {k + 1}": moved for k, moved in enumerate(images)}
    which = "each image" if shown == item.images else f"each of the first {shown} images"
    figures = {f"When the beats of {which} moved, stream by stream": gantt(rows, "clock cycle")}
    table = item.layers.assign(**item.activity.drop(columns="name"))
    figures["What each layer's output did: moved a beat, was held back, was waited for"] = bars(
        list(item.activity["name"]),
        {
            "beats": list(item.activity["beats"]),
            "held back": list(item.activity["held_cycles"]),
            "waited for": list(item.activity["starved_cycles"]),
        },
        "clock cycles",
        stacked=True,
    )
    return Section("Simulation", text, facts, figures, _maps(item), {"simulation": table})


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
        if entry.device.device_class != "fpga" and entry.latency_s
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
    figures |= _rooflines(item)
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
    text = f"Estimates for {item.network.name}; nothing here was measured. {_sentence(NOTE)}"
    if "fpga" in classes:
        text += " Layers of an FPGA's pipeline work at the same time: their times do not add up."
    return Section("Devices", text, facts, figures, tables=tables)


def _sentence(text):
    return f"{text[:1].upper()}{text[1:]}."


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
        f"the integer reference: {_verdict(item)}."
    )
    for note in item.left_out:
        text += f" Mind that {note}."
    tables = {}
    if spec.kernel is not None:
        fixed = spec.fixed
        tables["coefficients"] = _kernel_table(spec.coefficients)
        tables["weights"] = _kernel_table(fixed.weights)
        text += (
            f" Weights are coefficients times {spec.applied_scale:g} × 2^{fixed.fraction_bits}, as "
            f"integers; before rounding down, sums differ from real ones by at most "
            f"{fixed.error_bound:.3g}. Then {spec.applied_offset} is added."
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
    return Section(f"Filter {spec.name}", text, facts, {}, pictures, tables, listings)


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
    figures = {}
    if len(front):
        knee = item.knee
        facts["Knee"] = f"point {knee['point']}"
        names = " and ".join(heading(column) for column in dict.fromkeys((first, second)))
        figures[f"The front: {names}"] = designs(_design_groups(item, first, second), first, second)
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
    return Section(f"Designs for {item.name}", text, facts, figures, tables=tables)


def _design_groups(item, first, second):
    """For a plot: names and coordinates of the front, its knee, and some of the other points."""
    front = item.front
    table = item.frame()
    good = table[(table["rejected"] == "") & ~table["point"].isin(front["point"])]
    step = -(-len(good) // _OTHERS) or 1
    knee = front[front["point"] == item.knee["point"]]
    groups = {"others": good.iloc[::step], "front": front, "knee": knee}
    varied = [
        name
        for name in table
        if name not in ("point", "rejected") and name in front and front[name].nunique() > 1
    ]
    return {
        label: (
            [
                ", ".join(f"{name} {cell(value)}" for name, value in zip(varied, row, strict=True))
                for row in rows[varied].astype(object).itertuples(index=False)
            ],
            list(rows[first]),
            list(rows[second]),
        )
        for label, rows in groups.items()
        if len(rows)
    }


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
    "hwsim.validation.check.Check": validation,
    "hwsim.filters.FilterResult": filtered,
    "hwsim.explore.study.Study": study,
}
