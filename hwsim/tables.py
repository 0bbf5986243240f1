"""The tables that the command prints, each with the data that ``--json`` gives instead."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .terminal import Terminal

if TYPE_CHECKING:
    from pathlib import Path

    from .explore import Study
    from .formal import Result
    from .models.estimate import Estimates
    from .network import Network
    from .reports import Differences
    from .sim.speed import Speed
    from .synth import Synthesis
    from .validation import Check

# Designs of a front that are printed.
_DESIGNS = 20

__all__ = [
    "duration",
    "show_checks",
    "show_devices",
    "show_differences",
    "show_estimates",
    "show_geometry",
    "show_layers",
    "show_parallel",
    "show_proofs",
    "show_serving",
    "show_speeds",
    "show_study",
    "show_synthesis",
    "show_training_time",
]


def show_layers(terminal: Terminal, network: "Network") -> dict[str, Any]:
    """Print the layers of a network; returns them with the totals."""
    table = network.table()
    terminal.table(
        ["layer", "operator", "output shape", "parameters", "MACs"],
        (
            [row.name, row.op, " x ".join(map(str, row.output_shape)), row.params, row.macs]
            for row in table.itertuples(index=False)
        ),
        title=network.name,
        total=["total", "", "", network.params, network.macs],
    )
    return _totals(network, table)


def show_geometry(terminal: Terminal, network: "Network") -> dict[str, Any]:
    """Print receptive fields and costs of the layers; returns them with the totals."""
    table = network.geometry()
    heads = ["layer", "operator", "output shape", "receptive field", "jump", "start"]
    terminal.table(
        [*heads, "parameters", "MACs", "dense parameters", "dense MACs"],
        (
            [
                row.name,
                row.op,
                " x ".join(map(str, row.output_shape)),
                *map(_axes, (row.receptive_field, row.jump, row.start)),
                row.params,
                row.macs,
                row.dense_params,
                row.dense_macs,
            ]
            for row in table.itertuples(index=False)
        ),
        title=network.name,
        total=[
            "total",
            *[""] * 5,
            network.params,
            network.macs,
            int(table["dense_params"].sum()),
            int(table["dense_macs"].sum()),
        ],
    )
    return _totals(network, table)


def _totals(network, table):
    """The layers of a table, sums, and what strides leave out."""
    return {
        "layers": table.to_dict("records"),
        "params": network.params,
        "macs": network.macs,
        "left_out": network.left_out(),
    }


def _axes(numbers: tuple[int, ...]) -> str:
    """A number per axis; one where all are equal."""
    return " x ".join(map(str, numbers if len(set(numbers)) > 1 else numbers[:1]))


def show_devices(terminal: Terminal, name: str | Path | None) -> dict[str, Any]:
    """Print the catalog, or all numbers of one device with their sources."""
    from .models import devices

    if name is not None:
        device = devices.load(name)
        quantities = device.quantities.values()
        terminal.table(
            ["quantity", "value", "source"],
            ([q.name.replace("_", " "), str(q), q.source] for q in quantities),
            title=f"{device.title} ({device.device_class})",
        )
        return {
            "name": device.name,
            "class": device.device_class,
            "title": device.title,
            "quantities": [
                {"name": q.name, "value": q.given, "unit": q.unit, "source": q.source}
                for q in quantities
            ],
        }
    found = [devices.load(known) for known in devices.names()]
    terminal.table(
        ["device", "class", "product", "data types"],
        ([d.name, d.device_class, d.title, ", ".join(d.precisions)] for d in found),
    )
    return {"devices": [{"name": d.name, "class": d.device_class, "title": d.title} for d in found]}


def show_estimates(terminal: Terminal, estimates: "Estimates") -> dict[str, Any]:
    """Print latency, throughput, bound and energy on every device."""
    from .models.energy import NOTE, joules

    columns = ["device", "class", "data type", "latency", "images per second", "bound by"]
    terminal.table(
        [*columns, "energy", "power limit x latency"],
        (
            [
                entry.device.name,
                entry.device.device_class,
                entry.precision,
                duration(entry.latency_s),
                _rate(entry.throughput_images_per_s),
                entry.bound,
                joules(entry.energy_j),
                "" if entry.tdp_energy_j is None else joules(entry.tdp_energy_j),
            ]
            for entry in estimates
        ),
    )
    terminal.say(NOTE)
    for entry in estimates:
        for note in entry.notes:
            terminal.say(f"{entry.device.name}: {note}")
    return estimates.to_dict()


# What each of the ways splits.
_SPLIT = {"data": "batch", "features": "channels", "space": "rows", "pipeline": "layers"}


def _rate(images_per_s):
    """Whole images, or three digits of fewer than ten."""
    return round(images_per_s) if images_per_s >= 10 else float(f"{images_per_s:.3g}")


def show_parallel(terminal: Terminal, devices: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Print what several of each device gain over one; returns rows for a report."""
    rows = []
    for entry in devices:
        found = entry["parallel"]
        exchange = found.get("exchange_s")  # not of a pipeline, where it goes on beside the work
        rows.append(
            {
                "device": f"{found['devices']} x {entry['device']}",
                "split": f"{found['kind']} ({_SPLIT[found['kind']]})",
                "latency_ms": 1000 * found["latency_s"],
                "exchange_ms": None if exchange is None else 1000 * exchange,
                "throughput_images_per_s": found["throughput_images_per_s"],
                "speedup": found["speedup"],
                "efficiency_percent": 100 * found["efficiency"],
                "notes": "; ".join(found.get("notes", ())) or None,  # nor has a pipeline these
            }
        )
    terminal.table(
        ["devices", "split", "latency", "exchange", "images per second", "speed-up", "efficiency"],
        (
            [
                row["device"],
                row["split"],
                duration(row["latency_ms"] / 1000),
                row["exchange_ms"] and duration(row["exchange_ms"] / 1000),
                _rate(row["throughput_images_per_s"]),
                f"{row['speedup']:.3g}",
                f"{row['efficiency_percent']:.1f}%",
            ]
            for row in rows
        ),
    )
    for row in rows:
        if row["notes"]:
            terminal.say(f"{row['device']}: {row['notes']}")
    return rows


def show_training_time(
    terminal: Terminal, devices: list[dict[str, Any]], batch: int, images: int, epochs: int
) -> list[dict[str, Any]]:
    """Print how long training takes, and add it to what is known of each device.

    Returns rows for a report.
    """
    from .models.dataflow.training import training_time

    rows = []
    for entry in devices:
        for found in (entry, entry.get("parallel")):
            if found is None:
                continue
            epoch, all_epochs = training_time(found["latency_s"], batch, images, epochs)
            found |= {
                "steps_per_epoch": -(-images // batch),
                "epoch_s": epoch,
                "epochs": epochs,
                "training_s": all_epochs,
            }
            count = f"{found['devices']} x " if found is not entry else ""
            columns = ["steps_per_epoch", "epoch_s", *["training_s"] * (epochs > 1)]
            row = {"device": count + entry["device"]}
            rows.append(row | {column: found[column] for column in columns})
    terminal.table(
        ["device", "steps per epoch", "epoch", *[f"{epochs:,} epochs"] * (epochs > 1)],
        (
            [device, steps, *map(duration, times)]
            for device, steps, *times in (row.values() for row in rows)
        ),
        title=f"training on {images:,} images",
    )
    return rows


def show_serving(terminal: Terminal, devices: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Print percentiles of the latency of requests on every device; returns rows for a report."""
    from .models.dataflow.serving import PERCENTILES

    shares = {share: f"latency_p{share}_ms" for share in PERCENTILES}
    rows = []
    for entry in devices:
        found = entry["serving"]
        rows.append(
            {
                "device": entry["device"],
                **{name: 1000 * found[f"latency_p{p}_s"] for p, name in shares.items()},
                "throughput_requests_per_s": found["throughput_requests_per_s"],
                "utilization_percent": 100 * found["utilization"],
                "mean_batch": found["batch_mean"],
                "longest_queue": found["queue_max"],
            }
        )
    terminal.table(
        [
            "device",
            *(f"{share} % within" for share in shares),
            "requests per second",
            "utilization",
            "mean batch",
            "longest queue",
        ],
        (
            [
                row["device"],
                *(duration(row[name] / 1000) for name in shares.values()),
                round(row["throughput_requests_per_s"]),
                f"{row['utilization_percent']:.1f}%",
                f"{row['mean_batch']:.3g}",
                row["longest_queue"],
            ]
            for row in rows
        ),
        title=f"{devices[0]['serving']['requests']:,} requests",
    )
    return rows


def show_study(terminal: Terminal, study: "Study", files: "list[Path]") -> dict[str, Any]:
    """Print the front, the knee, what was rejected, and what other fidelities say."""
    front = study.front
    varied = [name for name in front if name == "point" or front[name].nunique() > 1]
    wanted = list(study.columns.values())
    columns = [*dict.fromkeys([*varied, *wanted])]
    rows = front[columns].head(_DESIGNS)
    terminal.table(
        [name.replace("_", " ") for name in columns],
        (
            [None if value != value else value for value in row]
            for row in rows.astype(object).fillna("").itertuples(index=False)
        ),
        title=f"{study.name}: front of {len(front):,} designs"
        + (f", the first {_DESIGNS}" if len(front) > _DESIGNS else ""),
    )
    if study.knee is not None:
        terminal.say(f"knee: point {study.knee['point']}")
    if study.rejected:
        terminal.table(["rejected because", "points"], list(study.rejected.items()))
    if study.refined:
        terminal.table(
            ["point", "from", "what", "value"],
            study.refinements.astype(object).itertuples(index=False),
        )
    terminal.say(
        f"{study.points:,} points ({study.method}), {study.feasible:,} feasible; "
        f"{study.evaluated:,} evaluated in {study.seconds:.3g} s, {study.reused:,} from the store"
    )
    if files:
        terminal.say(f"{files[0]}: report")
    return study.to_dict() | {"files": files}


def show_checks(terminal: Terminal, checks: list["Check"], files: list["Path"]) -> dict[str, Any]:
    """Print the errors of each check, group by group."""
    rows = []
    for check in checks:
        for row in check.summary().itertuples(index=False):
            found = [f"{v:.1f} %" for v in (row.mape_percent, row.worst_percent, row.bias_percent)]
            kind = "exact" if check.exact else ("fitted" if check.fitted else "")
            rows.append([check.name, row.group, row.points, *found, kind])
    terminal.table(["check", "group", "points", "mean error", "worst", "bias", ""], rows)
    terminal.say(f"{files[0]}: every point")
    return {
        "checks": [
            {
                "name": check.name,
                "title": check.title,
                "unit": check.unit,
                "source": check.source,
                "fitted": check.fitted,
                "exact": check.exact,
                "holds": check.holds,
                "groups": check.summary().to_dict("records"),
            }
            for check in checks
        ],
        "report": files[0],
    }


def show_synthesis(terminal: Terminal, result: "Synthesis", files: list["Path"]) -> dict[str, Any]:
    """Print what a design takes of a part, unit by unit, and how fast it is."""
    names = {"lut": "LUT", "ff": "FF", "dsp": "DSP", "bram": "block RAM"}
    units = result.frame
    slowest = dict(
        result.timing.groupby("unit", sort=False).head(1)[["unit", "delay_s"]].itertuples(False)
    )
    rows = [
        [row.unit, *(getattr(row, name) for name in names), _nanoseconds(slowest.get(row.unit))]
        for row in units.itertuples()
    ]
    used = [getattr(result, name) for name in names]
    available = [result.part.available.get(name) for name in names]
    terminal.table(
        ["unit", *names.values(), "slowest path, ns"],
        [*rows, ["all", *used, _nanoseconds(max(slowest.values(), default=None))]],
        title=f"{result.verilog.top} on {result.part.title}",
        total=[result.part.name, *available, ""],
    )
    if result.fmax_hz is not None:
        grade = f", speed grade {result.speed_grade}" if result.speed_grade else ""
        terminal.say(
            f"fmax {result.fmax_hz / 1e6:.1f} MHz (target {result.target_hz / 1e6:g} MHz, "
            f"seed {result.seed}{grade})"
        )
        terminal.say(f"critical path: {result.critical_path}")
    for text in (*result.warnings, *result.problems):
        terminal.say(text)
    if files:
        terminal.say(f"{files[0].parent}: {len(files)} files")
    return {**result.to_dict(), "files": files}


def _nanoseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(1e9 * seconds, 2)


def show_differences(terminal: Terminal, found: "Differences") -> dict[str, Any]:
    """Print what differs between two results, and what one of them alone has."""
    first, second = found.names
    table = found.table.astype(object)
    table = table.where(table.notna(), None)
    if len(table):
        terminal.table(
            ["quantity", first, second, "difference", "%"], table.itertuples(index=False)
        )
    for row in found.missing.itertuples(index=False):
        terminal.say(f"{row.quantity}: only in {row.only_in}")
    terminal.say(f"{len(table):,} of {found.compared:,} quantities differ")
    return found.to_dict()


def show_speeds(terminal: Terminal, speeds: list["Speed"]) -> dict[str, Any]:
    """Print how fast engines simulate."""
    terminal.table(
        ["engine", "lanes", "images", "lane-cycles per second", "preparation", "mismatches"],
        (
            [
                s.engine,
                s.lanes,
                s.images,
                round(s.lane_cycles_per_second),
                duration(s.preparation_seconds),
                s.mismatches,
            ]
            for s in speeds
        ),
    )
    return {"engines": [asdict(speed) for speed in speeds]}


def show_proofs(terminal: Terminal, results: list["Result"], files: list["Path"]) -> dict[str, Any]:
    """Print what was proven, how, and what fails."""
    terminal.table(
        ["proof", "property", "method", "depth", "result", "time"],
        (
            [r.name, r.property, r.method, r.depth, _verdict(r), duration(r.seconds)]
            for r in results
        ),
    )
    for result in results:
        for claim in result.broken:
            terminal.say(f"{result.name}: {claim}")
    for file in files:
        terminal.say(f"{file}: counterexample")
    return {
        "proofs": [
            {
                "name": r.name,
                "property": r.property,
                "method": r.method,
                "depth": r.depth,
                "holds": r.holds,
                "refuted": r.refuted,
                "broken": list(r.broken),
                "seconds": r.seconds,
            }
            for r in results
        ],
        "counterexamples": files,
    }


def _verdict(result: "Result") -> str:
    if result.holds:
        return "holds"
    return "refuted" if result.refuted else "not proven"


def duration(seconds: float) -> str:
    """A time with three digits and the unit that suits it."""
    units = [("s", 1), ("ms", 1e-3), ("us", 1e-6)]
    # Up to three minutes are seconds.
    if seconds >= 180:
        units = [("d", 86400), ("h", 3600), ("min", 60)]
    unit, size = next((entry for entry in units if seconds >= entry[1]), units[-1])
    return f"{seconds / size:.3g} {unit}"
