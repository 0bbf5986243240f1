"""How fast design spaces are explored, beside ZigZag.

    python -m benchmarks.explore --zigzag-python B/bin/python --report reports/benchmarks

One run: spaces of one and of four million whole-network points of ResNet-18, closed form, on one
process and on two; where its Python is given, ZigZag once on the same network; and what samplers
find of a front that is known. Wall-clock time depends on
what else the machine does: the processor time of the evaluations is given too.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np

import hwsim
from hwsim.explore import Space
from hwsim.network import load

from . import record
from .estimate_peers import ZIGZAG, run_zigzag, zigzag_missing
from .resnet18 import resnet18

LENET = Path(__file__).parents[1] / "rtl/lenet5/lenet5_int8.onnx"
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


def measure(network, workers, step):
    """Explore with so many processes, bandwidths so many GB/s apart."""
    memory = SPACE["memory_gb_per_s"] | {"step": step, "to": 17 - step}
    begin = time.perf_counter()
    study = hwsim.explore(network, Space.load(SPACE | {"memory_gb_per_s": memory}), workers=workers)
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


QUALITY = {
    "objectives": ["throughput", "lut"],
    "device": "ecp5-85f",
    "memory_gb_per_s": [0.2, 0.4, 0.8, 1.6],
    "systolic": {
        "rows": {"from": 1, "to": 24, "step": 1},
        "cols": {"from": 2, "to": 16, "step": 2},
        "packed": [False, True],
        "buffer_bytes": {"from": 2048, "to": 65536, "factor": 2},
        "accumulator_rows": {"from": 32, "to": 1024, "factor": 2},
    },
}
SAMPLES = (64, 256, 1024)
SEEDS = 3


def hypervolume(values, corner):
    """Area that two objectives, of which less is better, dominate up to a corner."""
    area, lowest = 0.0, corner[1]
    for first, second in sorted(values.tolist()):
        if first < corner[0] and second < lowest:
            area += (corner[0] - first) * (lowest - second)
            lowest = second
    return area


def quality(network):
    """Of the area that the front of all points dominates, what samplers reach: means over seeds."""
    space = Space.load(QUALITY)

    def objectives(study):
        return np.stack([-study.front["throughput_images_per_s"], study.front["lut"]], axis=1)

    whole = hwsim.explore(network, space, workers=1)
    corner = objectives(whole).max(axis=0)
    best = hypervolume(objectives(whole), corner)
    frame = whole.frame()
    shares = {"random": {}, "nsga2": {}, "tpe": {}}
    for count in SAMPLES:
        for method, found in shares.items():
            areas = []
            for seed in range(SEEDS):
                if method == "random":
                    points = np.random.default_rng(seed).choice(len(space), count, replace=False)
                    part = frame.iloc[points]
                    part = part[part["rejected"] == ""]
                    values = np.stack([-part["throughput_images_per_s"], part["lut"]], axis=1)
                else:
                    options = {"method": method, "samples": count, "seed": seed}
                    values = objectives(hwsim.explore(network, space, workers=1, **options))
                areas.append(hypervolume(values, corner) / best)
            found[count] = float(np.mean(areas))
    return {"points": len(space), "front": len(whole.front), "shares": shares}


def quality_text(found):
    """A table of `quality`."""
    rows = [
        [method, *(f"{100 * share:.1f} %" for share in shares.values())]
        for method, shares in found["shares"].items()
    ]
    heads = ["samples", *map(str, SAMPLES)]
    return (
        f"Samplers: LeNet-5 on arrays of an ECP5-85F, {found['points']:,} points, of which "
        f"{found['front']} are the front of throughput and tables. Of the area that it dominates, "
        f"samples reach, on average over {SEEDS} seeds:\n\n{record.table(heads, rows)}\n"
    )


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
    parts.append(quality_text(results["quality"]))
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
    runs, equal = [], True
    for step in (1, 0.25):
        (first, one), (second, two) = (measure(network, workers, step) for workers in (1, 2))
        runs += [one, two]
        equal &= first.front.equals(second.front)
    results = {
        "runs": runs,
        "fronts_equal": equal,
        "zigzag": absent or run_zigzag(arguments.zigzag_python, resnet18(stored=True)),
    }
    results["quality"] = quality(load(LENET))
    if not absent:
        results["ratio"] = results["zigzag"]["seconds"] * runs[0]["points_per_s"]
    report = text(results, facts)
    if arguments.report:
        record.write(arguments.report, "explore", {"conditions": facts, "results": results}, report)
    print(json.dumps({"conditions": facts, "results": results}) if arguments.json else report)


if __name__ == "__main__":
    main()
