"""Clocks of designs on an ECP5-85F, as nextpnr places and routes them.

Each reference design is synthesized once and placed for both speed grades that were asked about,
with every seed; hardware for training, which has no clock to reach, for the slowest grade. Runs
that are in the cache (``HWSIM_CACHE``) are not repeated.
"""

import argparse
import json
import runpy
import sys
from pathlib import Path

import numpy as np

import hwsim
from hwsim.blocks.array import ArrayConfig
from hwsim.blocks.backward_loss import CrossEntropyGradientConfig, RmseGradientConfig
from hwsim.blocks.backward_lrn import LrnGradientConfig
from hwsim.blocks.conv import ConvConfig
from hwsim.blocks.requantize import RequantizeConfig
from hwsim.blocks.stream import Frame
from hwsim.blocks.training import TrainingConfig
from hwsim.network.fixed_point import Requantize
from hwsim.rtl import requantize
from hwsim.rtl.backward_loss import CrossEntropyGradient, RmseGradient
from hwsim.rtl.backward_lrn import LrnGradient
from hwsim.rtl.conv import Conv
from hwsim.rtl.systolic.array import WeightStationaryArray
from hwsim.rtl.trainer import AxiTrainer
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
TRAINING_GRADES = ["6"]
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


def lrn_gradient():
    """Of a network for CIFAR-10."""
    lrn = dict(size=3, alpha=5e-5, beta=0.75, bias=1.0, within=True)
    config = LrnGradientConfig(frame=Frame(16, 16, 32, 1, 16), point=9, **lrn)
    return convert(LrnGradient(config), "lrn_gradient")


def cross_entropy_gradient():
    """Of an image."""
    config = CrossEntropyGradientConfig(frame=Frame(1, 1, 10, 1, 16), point=10)
    return convert(CrossEntropyGradient(config), "cross_entropy_gradient")


def rmse_gradient():
    """Of a batch."""
    config = RmseGradientConfig(frame=Frame(16, 1, 10, 1, 16))
    return convert(RmseGradient(config), "rmse_gradient")


def trainer():
    """The smallest array, and memories for a small network."""
    sizes = dict(parameters=4096, maps=4096, deltas=4096, marks=1024, table=512, program=1024)
    return convert(AxiTrainer(TrainingConfig(lanes=4, **sizes)), "trainer")


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
# The same of hardware for training, which has no int8 products: codes have 16 bits.
GRADIENTS = {
    "`LrnGradient`": (
        "within, 3 × 3, 32 channels of 16 × 16 pixels, `point=9`",
        None,
        lrn_gradient,
    ),
    "`CrossEntropyGradient`": ("10 classes, `point=10`", None, cross_entropy_gradient),
    "`RmseGradient`": ("16 vectors of 10", None, rmse_gradient),
}
TRAINER = {
    "`AxiTrainer`": (
        "4 lanes, 3 × 4,096 words of parameters, maps and deltas",
        None,
        trainer,
    ),
}


def measure(designs, grades, seeds):
    """Each design with each speed grade and so many seeds."""
    return {name: measure_one(name, *design, grades, seeds) for name, design in designs.items()}


def measure_one(name, about, products, make, grades, seeds):
    """A design."""
    verilog = make()
    runs = []
    for grade in grades:
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
    """Table of clocks and cells, and int8 products where there are any."""
    cells = {"lut": "LUTs", "ff": "flip-flops", "dsp": "DSPs", "bram": "block RAMs"}
    first = next(iter(designs.values()))
    if first["products"] is not None:
        cells["products"] = "int8 products"
    columns = [(run["speed_grade"], run["seed"]) for run in first["runs"]]
    heads = ["design, clock in MHz", *(f"grade {grade}, seed {seed}" for grade, seed in columns)]
    rows = [
        [
            f"{name}, {facts['about']}",
            *(mhz(run["fmax_hz"]) for run in facts["runs"]),
            *(facts[resource] for resource in cells),
        ]
        for name, facts in designs.items()
    ]
    return record.table([*heads, *cells.values()], rows)


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


def paths(designs):
    """List of the slowest path of each design and grade."""
    return "\n".join(
        f"- {name}, grade {grade}: {slowest(found, grade)['path']}"
        for name, found in designs.items()
        for grade in dict.fromkeys(run["speed_grade"] for run in found["runs"])
    )


def document(results, facts):
    """The Markdown page."""
    designs, training = results["designs"], results["gradients"] | results["trainer"]
    return f"""# Clocks

On `{PART}`, {mhz(TARGET_HZ)} MHz asked for: nextpnr's figure for the slowest corner of the grade.

## Reference designs

{clocks(designs)}

Each int8 product takes one DSP; scaling a sum of {ACCUMULATOR_BITS} bits takes two.

{verdicts(designs)}

Slowest paths, of the slowest seed:

{paths(designs)}

## Hardware for training

Codes of 16 bits; there is no clock that they have to reach.

{clocks(training)}

Slowest paths, of the slowest seed:

{paths(training)}

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
    results = {
        "designs": measure(DESIGNS, ASKED_HZ, arguments.seeds),
        "gradients": measure(GRADIENTS, TRAINING_GRADES, arguments.seeds),
        "trainer": measure(TRAINER, TRAINING_GRADES, arguments.seeds),
    }
    everything = {"conditions": facts, "results": results}
    if arguments.report:
        record.write(arguments.report, "clocks", everything, document(results, facts))
    print(json.dumps(everything) if arguments.json else document(results, facts))


if __name__ == "__main__":
    main()
