"""The systolic accelerator: ImageNet-size networks at RTL, beside SCALE-Sim where that is here.

One image through each network that the package ``onnx`` ships, with random int8 weights, on a
32 x 32 array: cycles, utilization, memory traffic, time and memory that the simulation takes, every
feature map compared with the reference. Trained networks over their test images. Verilog of three
sizes. SCALE-Sim 3.0.0 runs in an environment of its own: give its Python by
``--scalesim-python ENV/bin/python``; without it, its closed form alone is shown.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from . import record
from .simulation import one_core
from .systolic_measure import (
    IMAGE_SEED,
    LATENCY,
    SEED,
    apart,
    measure_network,
    measure_trained,
    measure_verilog,
    tool_versions,
    topologies,
)
from .systolic_scale_sim import SCALE_SIM, can_run, missing, run

NETWORKS = {
    "alexnet": "bvlc_alexnet",
    "googlenet": "inception_v1",
    "resnet50": "resnet50",
    "squeezenet": "squeezenet",
    "vgg19": "vgg19",
    "densenet121": "densenet121",
    "inception_v2": "inception_v2",
    "shufflenet": "shufflenet",
    "zfnet512": "zfnet512",
}
SIZE = 32
BUFFER_BYTES = 1 << 23
# Name, and whose images: mnist_cnn has none of its own.
TRAINED = {"lenet5": "lenet5", "mnist_cnn": "digits"}
TRAINED_SIZE = 16
TRAINED_IMAGES = 1000
VERILOG_SIZES = (8, 32, 128)
# Networks whose layers have a table of their own. SCALE-Sim runs those of their convolutions for
# which its closed form says at most so many cycles per group, one of each shape: it is slow.
LAYERS = {"resnet50": 60_000, "alexnet": 250_000}

# By issue 4.
ASKED_CONVOLUTIONS = {"resnet50": ("without_first", 0.95), "alexnet": ("convolutions", 0.92)}
ASKED_SECONDS = {"alexnet": 20, "resnet50": 60, "vgg19": 180}
ASKED_MIB = 4096
ASKED_VERILOG = {"size": 128, "seconds": 15, "lines": 20_000}


def say(text):
    print(text, file=sys.stderr, flush=True)


def measure_scale_sim(python, name, result):
    """Run SCALE-Sim on layers of a network; adds ``scale_sim_run`` to their rows."""
    done = {}
    for row in result["per_layer"]:
        if not can_run(row) or row["scale_sim_cycles"] > LAYERS[name] * row["groups"]:
            continue
        key = json.dumps([row[part] for part in ("map", "kernel", "strides", "n", "groups")])
        if key not in done:
            say(f"{name}: SCALE-Sim on {row['layer']}")
            done[key] = row["layer"]
            row["scale_sim_run"] = run(python, SIZE, row)


def percent(share, digits=1):
    return f"{share:.{digits}%}"


def networks(results):
    """Table of what the accelerator does."""
    rows = []
    for name, result in results.items():
        counters = result["counters"]
        rows.append(
            [
                name,
                round(result["macs"] / 1e6),
                result["cycles"],
                result["model_cycles"],
                percent(result["utilization"]["network"]),
                counters["bytes_read"],
                counters["bytes_written"],
                result["instructions"],
                result["maps"],
                result["values"],
                result["mismatches"],
            ]
        )
    heads = [
        "network",
        "MMAC",
        "cycles",
        "model",
        "useful",
        "bytes read",
        "bytes written",
        "instructions",
        "maps",
        "values",
        "differ",
    ]
    return record.table(heads, rows)


def convolutions(results):
    """Table of utilization over the convolutions, counted in both ways."""
    rows = []
    for name, result in results.items():
        for which, text in (("convolutions", "all"), ("without_first", "without the first")):
            found = result["utilization"].get(which)
            if found is None:
                continue
            rows.append(
                [
                    f"{name}, {text}",
                    round(found["macs"] / 1e6),
                    found["span_cycles"],
                    percent(found["span"], 2),
                    found["memory_cycles"],
                    found["busy_cycles"],
                    percent(found["busy"], 2),
                ]
            )
    heads = ["convolutions", "MMAC", "span, cycles", "useful", "waits for memory"]
    heads += ["folds, cycles", "useful"]
    return record.table(heads, rows)


def costs(results):
    """Table of what the simulation takes."""
    rows = []
    for name, result in results.items():
        seconds, memory = result["seconds"], result["peak_memory_mib"]
        rows.append(
            [
                name,
                f"{seconds['compile']:.2f}",
                f"{seconds['model']:.2f}",
                f"{seconds['build']:.1f}",
                f"{seconds['build_cpu']:.1f}",
                f"{seconds['run']:.1f}",
                f"{seconds['run_cpu']:.1f}",
                round(result["cycles"] / seconds["run"]),
                round(result["cycles"] / seconds["run_cpu"]),
                f"{seconds['check']:.1f}",
                memory["quantize"],
                memory["simulate"],
                memory["check"],
            ]
        )
    heads = [
        "network",
        "compile s",
        "model s",
        "build s",
        "CPU s",
        "simulate s",
        "CPU s",
        "cycles/s",
        "cycles/CPU s",
        "reference s",
        "MiB: quantized",
        "simulated",
        "compared",
    ]
    return record.table(heads, rows)


def trained(results):
    """Table of the trained networks."""
    rows = [
        [
            name,
            result["images"],
            f"{result['accuracy']:.1%}",
            result["cycles_per_image"],
            result["maps"],
            result["values"],
            result["mismatches"],
            f"{result['seconds']:.1f}",
            f"{result['cpu_s']:.1f}",
            result["peak_memory_mib"],
        ]
        for name, result in results.items()
    ]
    heads = [
        "network",
        "images",
        "accuracy",
        "cycles/image",
        "maps",
        "values",
        "differ",
        "simulate s",
        "CPU s",
        "MiB",
    ]
    return record.table(heads, rows)


def verilog(results):
    """Table of the Verilog."""
    versions = [*next(iter(results.values()))["lint"]]
    rows = [
        [
            f"{size} x {size}",
            result["lines"],
            result["files"],
            f"{result['seconds']:.1f}",
            f"{result['cpu_s']:.1f}",
            *(sum(result["lint"][version].values()) for version in versions),
        ]
        for size, result in results.items()
    ]
    heads = ["array", "lines", "files", "seconds", "CPU s"]
    return record.table([*heads, *(f"warnings, Verilator {v}" for v in versions)], rows)


def layers(result):
    """Table of a network's layers that have weights."""
    ran = any("scale_sim_run" in row for row in result["per_layer"])
    rows = []
    for row in result["per_layer"]:
        if not row["macs"]:
            continue
        elements = SIZE * SIZE
        waits = sum(count for name, count in row.items() if name.startswith("stall_"))
        peer = row["scale_sim_cycles"]
        rows.append(
            [
                f"{row['layer']}, {row['op']}",
                row["groups"],
                row["m"],
                row["k"],
                row["n"],
                row["array_cycles"],
                waits,
                percent(row["utilization"]),
                percent(row["limit"]),
                peer,
                percent(row["macs"] / (peer * elements)),
                *([row["scale_sim_run"]["cycles"] if "scale_sim_run" in row else None] * ran),
            ]
        )
    heads = [
        "layer",
        "groups",
        "M",
        "K",
        "N",
        "cycles",
        "of them waits",
        "useful",
        "limit",
        "SCALE-Sim, closed form",
        "useful",
    ]
    return record.table([*heads, *(["SCALE-Sim, run"] * ran)], rows)


def verdicts(results):
    """Table of what was asked for."""
    rows = []

    def add(what, asked, found, reached):
        rows.append([what, asked, found, bool(reached)])

    for name, result in results["networks"].items():
        add(
            f"{name}: cycles at RTL, those of the model",
            f"{result['model_cycles']:,}",
            f"{result['cycles']:,}",
            result["cycles"] == result["model_cycles"],
        )
    checked = results["networks"] | results["trained"]
    differ = sum(result["mismatches"] for result in checked.values())
    values = sum(result["values"] for result in checked.values())
    add(f"values that differ, of {values:,}", 0, differ, differ == 0)
    for name, (which, asked) in ASKED_CONVOLUTIONS.items():
        if name not in results["networks"]:
            continue
        found = results["networks"][name]["utilization"][which]
        text = "convolutions" + (" without the first" if which == "without_first" else "")
        for way in ("span", "busy"):
            note = "span" if way == "span" else "folds alone"
            add(
                f"{name}: useful over {text}, {note}",
                f">= {asked:.0%}",
                percent(found[way], 2),
                found[way] >= asked,
            )
    for name, asked in ASKED_SECONDS.items():
        if name in results["networks"]:
            seconds = results["networks"][name]["seconds"]
            found = seconds["build"] + seconds["run"]
            what = f"{name}: building the simulator and simulating, one core"
            add(what, f"<= {asked} s", f"{found:.1f} s", found <= asked)
    if checked:
        peaks = {
            name: result["peak_memory_mib"]["check"] for name, result in results["networks"].items()
        }
        if peaks:
            name = max(peaks, key=lambda name: peaks[name])
            what = f"peak of memory, all steps ({name})"
            add(what, f"< {ASKED_MIB:,} MiB", f"{peaks[name]:,} MiB", peaks[name] < ASKED_MIB)
    size = ASKED_VERILOG["size"]
    if size in results["verilog"]:
        found = results["verilog"][size]
        warnings = max((sum(rules.values()) for rules in found["lint"].values()), default=None)
        asked = ASKED_VERILOG["seconds"]
        what = f"Verilog, {size} x {size}"
        add(f"{what}: seconds", f"< {asked}", f"{found['seconds']:.1f}", found["seconds"] < asked)
        asked = ASKED_VERILOG["lines"]
        add(f"{what}: lines", f"< {asked:,}", f"{found['lines']:,}", found["lines"] < asked)
        if warnings is not None:
            add(f"{what}: warnings", 0, warnings, warnings == 0)
    return record.table(["", "asked", "found", "reached"], rows)


def scale_sim(results):
    """What SCALE-Sim was run on, in a sentence."""
    ran = [
        row
        for result in results["networks"].values()
        for row in result["per_layer"]
        if "scale_sim_run" in row
    ]
    if not ran:
        return results["absent"] or "SCALE-Sim was not run: no network of the tables above was."
    runs = [row["scale_sim_run"] for row in ran]
    other = sum(row["scale_sim_run"]["cycles"] != row["scale_sim_cycles"] for row in ran)
    # Of several groups one is run, and the closed form is that of all.
    cycles = sum(row["scale_sim_run"]["cycles"] // row["groups"] for row in ran)
    seconds = sum(found["seconds"] for found in runs)
    return (
        f"SCALE-Sim {SCALE_SIM} itself was run on {len(ran)} layers, {cycles:,} cycles in "
        f"{seconds:.0f} s, up to {max(found['peak_memory_mib'] for found in runs):,} MiB: "
        f"{other} of them differ from its closed form."
    )


def summary(results):
    """All tables."""
    parts = []
    if results["networks"]:
        found = results["networks"]
        parts += [networks(found), convolutions(found), costs(found)]
    if results["trained"]:
        parts.append(trained(results["trained"]))
    if results["verilog"]:
        parts.append(verilog(results["verilog"]))
    parts.append(verdicts(results))
    for name in LAYERS:
        if name in results["networks"]:
            parts += [f"Layers of {name}:", layers(results["networks"][name])]
    parts.append(scale_sim(results))
    return "\n\n".join(parts) + "\n"


def document(results, facts):
    """The Markdown page."""
    found = results["networks"]
    axi_bytes = {result["axi_bytes"] for result in found.values()}
    width = "" if not axi_bytes else f", {max(axi_bytes)} bytes per cycle"
    parts = ["# The systolic accelerator"]
    if found:
        parts += [
            f"## Networks on {SIZE} × {SIZE} elements",
            networks(found),
            "### Useful over the convolutions",
            convolutions(found),
            "### What it takes",
            costs(found),
        ]
    if results["trained"]:
        size = TRAINED_SIZE
        parts += [f"## Trained networks on {size} × {size} elements", trained(results["trained"])]
    if results["verilog"]:
        parts += ["## Verilog", verilog(results["verilog"])]
    parts += ["## Asked for", verdicts(results)]
    for name in LAYERS:
        if name in found:
            parts += [f"## Layers of {name}", layers(found[name])]
    parts += [scale_sim(results), f"## How it is counted\n\n{NOTES.format(width=width).strip()}"]
    shares = [
        found["seconds"]["run_cpu"] / found["seconds"]["run"]
        for found in results["networks"].values()
    ]
    load = f"Load {facts['load_at_end']} at the end"
    if shares:
        load += f"; the simulations had {min(shares):.0%} to {max(shares):.0%} of their core"
    return "\n\n".join(parts) + f"\n\n{record.describe(facts)}\n{load}.\n"


PEER_SIZES = ", ".join(f"{cycles:,} of {name}" for name, cycles in LAYERS.items())
NOTES = f"""\
- Topologies are those that the package `onnx` ships, with random int8 weights (seed {SEED}) and
  one random image (seed {IMAGE_SEED}). The buffer has {BUFFER_BYTES >> 20} MiB. Memory answers
  {LATENCY} cycles after a request{{width}}: a row of weights in each. Every layer's feature map is
  compared with the integer reference, value by value, as the accelerator writes it; outputs also as
  memory has them at the end. "Model" is `Program.timing` with such a memory.
- "Useful" is multiply-accumulates of the network (no zeros between groups, no filling of tiles)
  over elements times cycles. For the network, cycles go from the start of the program to its end;
  that includes dense layers, of which a fold takes {SIZE} cycles for its one pixel. Bytes are those
  of the memory port, by the accelerator's counters; instructions come besides, 64 bytes each.
  Batch normalizations that no convolution takes in, as in DenseNet, are depthwise convolutions
  of 1 x 1 here and count as such; depthwise ones leave most of the array without work.
- Over the convolutions, "span" has all cycles from the first pixel that enters the array for the
  first convolution counted to the last sum of the last one; without the first convolution, from
  that one's last sum. Whatever the array waits for in between counts: memory, and the pooling,
  normalization and additions that were not done beside other convolutions. "Folds" has the cycles
  of the convolutions' folds alone: elements without work at the edges count, waits do not. Of
  the waits, those for weights and for what is read from memory are given.
- Layers: M pixels, K taps and N channels in each group. Cycles go from the end of the folds of the
  layers before to that of its own; waits for the additions and poolings before it are among them.
  The limit is that of the edges, with folds back to back. SCALE-Sim's closed form is that of its
  weight-stationary dataflow at a memory that does not limit, group by group. "SCALE-Sim, run" is
  what the package itself says of a group of the layer, times groups: convolutions of each shape
  once, if the closed form has at most {PEER_SIZES} cycles per group.
- All on one core. A process for each network loads, quantizes, compiles, simulates and compares;
  its peak of memory is given after quantizing, after simulating and at the end. "Build" goes from
  the Python object to machine code, nothing cached, "simulate" from there to the end of the
  program. Trained networks: several images at a time, building included.
"""


def main():
    """Measure, print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.systolic", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--report", type=Path, metavar="DIR", help="write systolic.json and .md")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--networks",
        nargs="*",
        choices=NETWORKS,
        default=[*NETWORKS],
        metavar="NAME",
        help=f"of {', '.join(NETWORKS)} [all]",
    )
    parser.add_argument("--scalesim-python", metavar="PYTHON", help="of an environment with it")
    parser.add_argument("--only-networks", action="store_true", help="no trained ones, no Verilog")
    arguments = parser.parse_args()
    command = "python -m benchmarks.systolic"
    if arguments.networks != [*NETWORKS]:
        command += f" --networks {' '.join(arguments.networks)}"
    command += " --only-networks" if arguments.only_networks else ""
    command += " --scalesim-python ENV/bin/python" if arguments.scalesim_python else ""
    command += " --report reports/benchmarks" if arguments.report else ""
    absent = missing(arguments.scalesim_python)
    versions = tool_versions() | ({} if absent else {"SCALE-Sim": SCALE_SIM})
    facts = record.conditions(command, **versions)
    results = {"networks": {}, "trained": {}, "verilog": {}, "absent": absent}
    with one_core():
        for name in arguments.networks:
            say(name)
            path = topologies() / f"light_{NETWORKS[name]}.onnx"
            results["networks"][name] = apart(measure_network, path, SIZE, BUFFER_BYTES)
        if not arguments.only_networks:
            for name, images in TRAINED.items():
                say(name)
                task = (name, images, TRAINED_SIZE, TRAINED_IMAGES)
                results["trained"][name] = apart(measure_trained, *task)
            for size in VERILOG_SIZES:
                say(f"Verilog, {size} x {size}")
                results["verilog"][size] = apart(measure_verilog, size)
        for name in LAYERS:
            if absent is None and name in results["networks"]:
                measure_scale_sim(arguments.scalesim_python, name, results["networks"][name])
    facts["load_at_end"] = round(os.getloadavg()[0], 1)
    everything = {"conditions": facts, "results": results}
    if arguments.report:
        record.write(arguments.report, "systolic", everything, document(results, facts))
    print(json.dumps(everything) if arguments.json else summary(results))


if __name__ == "__main__":
    main()
