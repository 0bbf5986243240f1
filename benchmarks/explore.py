"""How fast design spaces are explored, beside ZigZag.

    python -m benchmarks.explore --zigzag-python B/bin/python --report reports/benchmarks

One run: a space of a million whole-network points of ResNet-18, closed form, on one process and on
two, and, where its Python is given, ZigZag once on the same network. Wall-clock time depends on
what else the machine does: the processor time of the evaluations is given too.
"""

import argparse
import json
import time
from pathlib import Path

import hwsim
from hwsim.explore import Space
from hwsim.network import load

from . import record
from .estimate_peers import ZIGZAG, run_zigzag, zigzag_missing
from .resnet18 import resnet18

SPACE = {
    "objectives": ["throughput", "energy", "dsp"],
    "memory_gb_per_s": {"from": 1, "to": 16, "step": 1},
    "systolic": {
        "rows": {"from": 8, "to": 128, "step": 8},
        "cols": {"from": 8, "to": 128, "step": 8},
        "buffer_bytes": {"from": 16384, "to": 8388608, "factor": 2},
        "accumulator_rows": [256, 512, 1024, 2048, 4096],
        "dataflow": [
            "weight-stationary",
            "output-stationary",
            "input-stationary",
            "row-stationary",
            "nvdla",
        ],
    },
}


def measure(network, workers):
    """Explore with so many processes."""
    begin = time.perf_counter()
    study = hwsim.explore(network, Space.load(SPACE), workers=workers)
    found = len(study.front)
    seconds = time.perf_counter() - begin
    return study, {
        "workers": workers,
        "points": study.points,
        "seconds": seconds,
        "points_per_s": study.points / seconds,
        "evaluation_cpu_s": study.cpu_s,
        "points_per_cpu_s": study.points / study.cpu_s,
        "front": found,
    }


def text(results, facts):
    """The report as Markdown."""
    rows = [
        [
            f"{found['workers']} process" + ("es" if found["workers"] > 1 else ""),
            found["points"],
            f"{found['seconds']:.1f} s",
            f"{found['points_per_s']:,.0f}",
            f"{found['evaluation_cpu_s']:.1f} s",
            f"{found['points_per_cpu_s']:,.0f}",
            found["front"],
        ]
        for found in results["runs"]
    ]
    heads = ["", "points", "time", "points per second", "evaluation, processor"]
    heads += ["points per processor second", "front"]
    parts = ["# Exploration\n", record.table(heads, rows)]
    same = "equal" if results["fronts_equal"] else "NOT equal"
    parts.append(
        "\nResNet-18, whole networks, closed form with cells, time to the finished front; the goal "
        f"is less than 120 s on two processes. The fronts are {same}.\n"
    )
    peer = results["zigzag"]
    if isinstance(peer, str):
        parts.append(peer + "\n")
    else:
        parts.append(
            f"ZigZag: {peer['seconds']:.1f} s ({peer['cpu_s']:.1f} s of the processor) for one "
            f"point of the same network, {results['ratio']:,.0f} times as long as a point here on "
            "one process.\n"
        )
    parts.append(record.describe(facts) + "\n")
    return "\n".join(parts)


def main():
    """Measure, print, and write what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--zigzag-python", metavar="PYTHON")
    parser.add_argument("--report", metavar="FOLDER", type=Path)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    absent = zigzag_missing(arguments.zigzag_python)
    facts = record.conditions(
        "python -m benchmarks.explore", **({} if absent else {"ZigZag": ZIGZAG})
    )
    network = load(resnet18())
    first, one = measure(network, 1)
    second, two = measure(network, 2)
    results = {
        "runs": [one, two],
        "fronts_equal": first.front.equals(second.front),
        "zigzag": absent or run_zigzag(arguments.zigzag_python, resnet18(stored=True)),
    }
    if not absent:
        results["ratio"] = results["zigzag"]["seconds"] * one["points_per_s"]
    report = text(results, facts)
    if arguments.report:
        record.write(arguments.report, "explore", {"conditions": facts, "results": results}, report)
    print(json.dumps({"conditions": facts, "results": results}) if arguments.json else report)


if __name__ == "__main__":
    main()
