"""How fast networks are estimated, and arrays explored: beside SCALE-Sim and ZigZag.

    python -m benchmarks.estimate --scalesim-python A/bin/python --zigzag-python B/bin/python \\
        --report reports/benchmarks

One run: the closed form and the SimPy timeline of ResNet-50, timelines of ResNet-18 per second and
the memory of that process, design points of ResNet-18 per second on one core, each dataflow, and,
where their Python is given, SCALE-Sim and ZigZag once on ResNet-18 and an array of 32 x 32. Each of
our measurements is made in a process of its own, with one thread.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx.backend.test

from hwsim.models import devices
from hwsim.models.dataflow.workload import workload
from hwsim.models.estimate import estimate
from hwsim.models.space import evaluate
from hwsim.network import load

from . import record
from .estimate_peers import ZIGZAG, run_scale_sim, run_zigzag, zigzag_missing
from .resnet18 import resnet18
from .systolic_scale_sim import SCALE_SIM, missing

SIZE = 32
REPEATS = 15
SECONDS = 3.0
POINTS = 100_000
SEED = 0


def array():
    return devices.array(rows=SIZE, cols=SIZE)


def closed_form():
    """Closed form and timeline of ResNet-50, medians; the network is loaded."""
    path = Path(onnx.backend.test.__file__).parent / "data/light/light_resnet50.onnx"
    network, device = load(path), array()
    closed, timeline = [], []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        (found,) = estimate(network, [device])
        closed.append(time.perf_counter() - begin)
        begin = time.perf_counter()
        intervals = len(found.timeline)
        timeline.append(time.perf_counter() - begin)
    return {
        "closed_form_s": statistics.median(closed),
        "timeline_s": statistics.median(timeline),
        "intervals": intervals,
        "layers": len(found.layers),
    }


def timelines():
    """Estimates of ResNet-18 with their timelines, one after the other."""
    network, device = load(resnet18()), array()
    begin, count = time.perf_counter(), 0
    while time.perf_counter() - begin < SECONDS:
        (found,) = estimate(network, [device])
        assert found.timeline
        count += 1
    return {
        "timelines_per_s": count / (time.perf_counter() - begin),
        "peak_memory_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "latency_s": found.latency_s,
        "cycles": round(found.latency_s * device["clock"]),
    }


def points():
    """Random arrays, buffers and bandwidths on ResNet-18; everything is counted but its loading."""
    network = load(resnet18())
    rng = np.random.default_rng(SEED)
    values = {
        "rows": rng.integers(8, 257, POINTS),
        "cols": rng.integers(8, 257, POINTS),
        "memory_bandwidth": 10 ** rng.uniform(9, 12, POINTS),
        "scratchpad_size": np.floor(2 ** rng.uniform(15, 25, POINTS)),
    }
    found = {}
    for dataflow in devices.DATAFLOWS:
        begin, cpu = time.perf_counter(), time.process_time()
        evaluate(network, dataflow=dataflow, **values)
        wall, cpu = time.perf_counter() - begin, time.process_time() - cpu
        found[dataflow] = {"points_per_s": POINTS / wall, "points_per_cpu_s": POINTS / cpu}
    return found


CHILDREN = {"closed_form": closed_form, "timelines": timelines, "points": points}


def measure(name):
    """Run one of `CHILDREN` in a process with one thread."""
    threads = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}
    command = [sys.executable, "-m", "benchmarks.estimate", "--child", name]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=os.environ | threads)
    return json.loads(done.stdout)


def peers(scalesim_python, zigzag_python):
    """What each peer takes for one point, or why it was not run."""
    found = {}
    load_of = workload(load(resnet18()), fuse=True)
    works = [work for work in load_of.works if work.gemm]
    absent = zigzag_missing(zigzag_python)
    found["ZigZag"] = absent or run_zigzag(zigzag_python, resnet18(stored=True))
    absent = missing(scalesim_python)
    found["SCALE-Sim"] = absent or run_scale_sim(scalesim_python, works, SIZE)
    return found


def scale_sim_cycles():
    """Our cycles under SCALE-Sim's convention, for the same layers."""
    from hwsim.models.processors.array import scale_sim_cycles as cycles

    works = [work for work in workload(load(resnet18()), fuse=True).works if work.gemm]
    shapes = [(w.gemm.m, w.gemm.n, w.gemm.k, w.gemm.groups) for w in works]
    return int(sum(cycles("weight-stationary", SIZE, SIZE, *shape) for shape in shapes))


def text(results, facts):
    """The report as Markdown."""
    ours = results["points"]["weight-stationary"]
    point = 1 / ours["points_per_s"]
    rows = [
        ["ResNet-50, closed form", f"{results['closed_form_s'] * 1e3:.1f} ms", "< 20 ms"],
        ["ResNet-50, SimPy timeline", f"{results['timeline_s'] * 1e3:.0f} ms", "< 500 ms"],
        ["ResNet-18, timelines per second", f"{results['timelines_per_s']:.0f}", "≥ 10"],
        ["its peak memory", f"{results['peak_memory_mib']} MiB", "< 200 MiB"],
        *[
            [f"ResNet-18, points per second, {name}", f"{found['points_per_s']:,.0f}", "≥ 10,000"]
            for name, found in results["points"].items()
        ],
    ]
    parts = [
        "# Estimates\n",
        record.table(["what", "measured", "goal"], rows),
        "\nOne thread each; points differ in rows, columns, buffer and bandwidth, and all are "
        f"different ({POINTS:,} of them; reading the network is not counted).\n",
        f"## One point of ResNet-18 on an array of {SIZE} x {SIZE}\n",
    ]
    rows = [["hwsim, one of many points", f"{point * 1e6:.1f} µs", "", results["cycles"], 1]]
    single = 1 / results["timelines_per_s"]
    rows.append(
        [
            "hwsim, estimate with timeline",
            f"{single * 1e3:.0f} ms",
            results["peak_memory_mib"],
            results["cycles"],
            round(single / point),
        ]
    )
    notes = []
    for name, found in results["peers"].items():
        if isinstance(found, str):
            notes.append(found)
            continue
        ratio = round(found["seconds"] / point)
        memory, cycles = found["peak_memory_mib"], round(found["cycles"])
        rows.append([name, f"{found['seconds']:.1f} s", memory, cycles, ratio])
    heads = ["", "time", "peak memory, MiB", "cycles", "times as long"]
    parts += [record.table(heads, rows), ""]
    parts += [f"{note}\n" for note in notes]
    parts.append(
        f"Under SCALE-Sim's convention hwsim gives {results['scale_sim_cycles']:,} cycles, memory "
        "not limiting. hwsim's own cycles count pooling, additions and memory too, at 16 GB/s and "
        "1 MiB; ZigZag's are those of its own accelerator and best mapping. Reading and parsing "
        "the network is a part of the peers' times.\n"
    )
    parts.append(record.describe(facts) + "\n")
    return "\n".join(parts)


def main():
    """Measure, print, and write what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--scalesim-python", metavar="PYTHON")
    parser.add_argument("--zigzag-python", metavar="PYTHON")
    parser.add_argument("--report", metavar="FOLDER", type=Path)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", choices=CHILDREN, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(CHILDREN[arguments.child]()))
        return
    versions = {}
    if missing(arguments.scalesim_python) is None:
        versions["SCALE-Sim"] = SCALE_SIM
    if zigzag_missing(arguments.zigzag_python) is None:
        versions["ZigZag"] = ZIGZAG
    command = "python -m benchmarks.estimate"
    facts = record.conditions(command, **versions)
    results = {
        **measure("closed_form"),
        **measure("timelines"),
        "points": measure("points"),
        "scale_sim_cycles": scale_sim_cycles(),
        "peers": peers(arguments.scalesim_python, arguments.zigzag_python),
    }
    report = text(results, facts)
    if arguments.report:
        record.write(
            arguments.report, "estimate", {"conditions": facts, "results": results}, report
        )
    print(json.dumps({"conditions": facts, "results": results}) if arguments.json else report)


if __name__ == "__main__":
    main()
