"""Clocks of the reference designs on an ECP5-85F, as nextpnr places and routes them.

Each design is synthesized once and placed for both speed grades that were asked about, with every
seed. Runs that are in the cache (``HWSIM_CACHE``) are not repeated.
"""

import argparse
import json
import runpy
import sys
from pathlib import Path

import numpy as np

import hwsim
from hwsim.blocks.array import ArrayConfig
from hwsim.blocks.conv import ConvConfig
from hwsim.blocks.requantize import RequantizeConfig
from hwsim.blocks.stream import Frame
from hwsim.network.fixed_point import Requantize
from hwsim.rtl import requantize
from hwsim.rtl.conv import Conv
from hwsim.rtl.systolic.array import WeightStationaryArray
from hwsim.rtl.verilog import convert
from hwsim.synth import synthesize
from hwsim.synth.tools import find

from . import record

PART = "ecp5-85f"
TARGET_HZ = 200e6
SEED = 1  # of the weights of the folded convolution
ACCUMULATOR_BITS = 21
# By speed grade, the clock that issue 6 asks of the reference designs.
ASKED_HZ = {"6": 150e6, "8": 190e6}
REFERENCE = ("line-buffer convolution", "systolic array")


def filters():
    """The four filters of ``rtl/filters``."""
    generate = runpy.run_path(str(Path(__file__).parents[1] / "rtl" / "generate.py"))
    return hwsim.build(generate["filters"](), hwsim.Streaming(cycles_per_image=64 * 64)).verilog


def folded():
    """3 x 3, 8 to 4 channels, 24 of 288 products at a time; random weights."""
    rng = np.random.default_rng(SEED)
    weights, bias = rng.integers(-127, 128, (4, 8, 3, 3)), rng.integers(-5000, 5000, 4)
    scale = Requantize(
        multiplier=rng.integers(40000, 65536, 4),
        shift=np.full(4, 28),
        zero_point=-3,
        minimum=-128,
        maximum=127,
    )
    config = ConvConfig(
        frame=Frame(64, 64, 8, 8),
        out_channels=4,
        kernel=(3, 3),
        pads=(1, 1, 1, 1),
        simd=24,
        pe=1,
        accumulator_bits=ACCUMULATOR_BITS,
        requantize=RequantizeConfig.of(scale, accumulator_bits=ACCUMULATOR_BITS),
    )
    return convert(Conv(config, weights, bias, scale), "conv")


def array():
    """8 x 8 elements."""
    return convert(WeightStationaryArray(ArrayConfig(rows=8, cols=8)), "array")


def requantizer():
    """A sum each clock, and its multiplier."""
    config = RequantizeConfig(accumulator_bits=ACCUMULATOR_BITS, shifts=(28, 28))
    return convert(requantize.Requantize(config, 1), "requantize")


# Name: what it is, int8 products in a cycle, how to make it.
DESIGNS = {
    "line-buffer convolution": (
        "3 × 3, 1 to 4 channels, 64 × 64 pixels, a pixel each clock",
        36,
        filters,
    ),
    "line-buffer convolution, folded": (
        "3 × 3, 8 to 4 channels, 64 × 64 pixels, `simd=24, pe=1`",
        24,
        folded,
    ),
    "systolic array": ("8 × 8 elements, weight-stationary", 64, array),
    "requantizer": (f"a sum of {ACCUMULATOR_BITS} bits each clock", 0, requantizer),
}


def measure(name, seeds):
    """A design with both speed grades and so many seeds."""
    about, products, make = DESIGNS[name]
    verilog = make()
    runs = []
    for grade in ASKED_HZ:
        for seed in range(1, seeds + 1):
            found = synthesize(verilog, PART, speed_grade=grade, seed=seed, target_hz=TARGET_HZ)
            fmax, path = found.fmax_hz, str(found.critical_path)
            runs.append({"speed_grade": grade, "seed": seed, "fmax_hz": fmax, "path": path})
            print(f"{name}, grade {grade}, seed {seed}: {mhz(fmax)} MHz", file=sys.stderr)
    cells = {resource: getattr(found, resource) for resource in ("lut", "ff", "dsp", "bram")}
    return {"about": about, "products": products, **cells, "runs": runs}


def mhz(hertz):
    """As text, with a decimal."""
    return f"{hertz / 1e6:.1f}"


def slowest(facts, grade):
    """The run of a grade with the lowest clock."""
    runs = [run for run in facts["runs"] if run["speed_grade"] == grade]
    return min(runs, key=lambda run: run["fmax_hz"])


def clocks(designs):
    """Table of clocks and cells."""
    cells = {"lut": "LUTs", "ff": "flip-flops", "dsp": "DSPs", "bram": "block RAMs"}
    columns = [(run["speed_grade"], run["seed"]) for run in next(iter(designs.values()))["runs"]]
    heads = ["design, clock in MHz", *(f"grade {grade}, seed {seed}" for grade, seed in columns)]
    rows = [
        [
            f"{name}, {facts['about']}",
            *(mhz(run["fmax_hz"]) for run in facts["runs"]),
            *(facts[resource] for resource in cells),
            facts["products"],
        ]
        for name, facts in designs.items()
    ]
    return record.table([*heads, *cells.values(), "int8 products"], rows)


def verdicts(designs):
    """Table of what was asked for."""
    rows = []
    for name in REFERENCE:
        facts = designs[name]
        for grade, asked in ASKED_HZ.items():
            found = slowest(facts, grade)["fmax_hz"]
            title = f"{name}: clock on grade {grade}, slowest seed"
            rows.append([title, f"{mhz(asked)} MHz", f"{mhz(found)} MHz", found >= asked])
        dsp, products = facts["dsp"], facts["products"]
        rows.append([f"{name}: DSPs", f"{products}", f"{dsp}", dsp == products])
    return record.table(["", "asked", "found", "reached"], rows)


def document(results, facts):
    """The Markdown page."""
    designs = results["designs"]
    paths = "\n".join(
        f"- {name}, grade {grade}: {slowest(found, grade)['path']}"
        for name, found in designs.items()
        for grade in ASKED_HZ
    )
    return f"""# Clocks of the reference designs

On `{PART}`, {mhz(TARGET_HZ)} MHz asked for: nextpnr's figure for the slowest corner of the grade.

{clocks(designs)}

Each int8 product takes one DSP; scaling a sum of {ACCUMULATOR_BITS} bits takes two.

{verdicts(designs)}

Slowest paths, of the slowest seed:

{paths}

{record.describe(facts)}
"""


def main():
    """Measure, print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.clocks", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="placements, 1")
    parser.add_argument("--report", type=Path, metavar="DIR", help="write clocks.json, clocks.md")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    if arguments.seeds < 1:
        parser.error(f"--seeds must be at least 1, not {arguments.seeds}")
    command = "python -m benchmarks.clocks"
    command += f" --seeds {arguments.seeds}" if arguments.seeds != 1 else ""
    command += " --report reports/benchmarks" if arguments.report else ""
    placer = find("nextpnr-ecp5")
    facts = record.conditions(command, **{placer.name: placer.version})
    results = {"designs": {name: measure(name, arguments.seeds) for name in DESIGNS}}
    everything = {"conditions": facts, "results": results}
    if arguments.report:
        record.write(arguments.report, "clocks", everything, document(results, facts))
    designs = results["designs"]
    print(json.dumps(everything) if arguments.json else f"{clocks(designs)}\n\n{verdicts(designs)}")


if __name__ == "__main__":
    main()
