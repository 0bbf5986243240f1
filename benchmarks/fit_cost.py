"""Synthesize designs for the cost view's calibration, and fit it.

    python -m benchmarks.fit_cost --synthesize 30     runs that are missing, for so many minutes
    python -m benchmarks.fit_cost                     fits, and prints the errors

Runs are kept in ``hwsim/models/data/``, a row for each part of a design with its configuration, and
are not repeated. Every third design of each kind is held out: nothing is fitted to it.
"""

import argparse
import csv
import json
import time
from pathlib import Path

import numpy as np

import hwsim
from hwsim.blocks.systolic.config import Systolic
from hwsim.data import bundled
from hwsim.models import cost, cost_data, structure
from hwsim.models.cost_data import encode
from hwsim.rtl.build import build
from hwsim.rtl.systolic.accelerator import Accelerator
from hwsim.rtl.systolic.design import AxiAccelerator
from hwsim.rtl.verilog import convert
from hwsim.synth import parts
from hwsim.synth.count import count
from hwsim.synth.netlist import synthesize_netlist
from hwsim.validation import cost as validation
from hwsim.validation.networks import NetworkBuilder

DATA = Path(hwsim.__file__).parent / "models" / "data"
COLUMNS = ("design", "unit", "config", "lut", "ff", "dsp", "bram")


def cnn(seed):
    """A random network, of sizes between those of the tests and those of practice."""
    rng = np.random.default_rng(1000 + seed)
    shape = (int(rng.choice([1, 2, 3, 4])), int(rng.integers(8, 33)), int(rng.integers(8, 49)))
    b = NetworkBuilder(rng, shape, bool(rng.integers(2)))
    kernel = int(rng.choice([3, 3, 5]))
    pad = (kernel // 2,) * 4 if rng.random() < 0.6 else (0,) * 4
    x = b.conv(b.input, int(rng.choice([4, 6, 8])), (kernel, kernel), pads=pad)
    channels = b.tensors[x].shape[0]
    kind = seed % 5
    if kind == 0:
        x = b.add(x, b.conv(x, channels, pads=(1, 1, 1, 1), groups=int(rng.choice([1, channels]))))
    elif kind == 1:
        x = b.concat(b.conv(x, channels, (1, 1)), b.conv(x, 2 * channels, pads=(1, 1, 1, 1)))
    elif kind == 2:
        x = b.conv(b.table(x), 2 * channels, (3, 3), strides=(2, 2), pads=(1, 1, 1, 1))
    elif kind == 3:
        x = b.mul(x, b.conv(b.global_average(x), channels, (1, 1)))
        x = b.pad(x, (1, 0, 2, 1), str(rng.choice(["constant", "edge"])))
    size = int(rng.choice([2, 3]))
    x = b.max_pool(x, (size, size), (2, 2))
    x = b.conv(x, int(rng.choice([6, 8, 12])), (3, 3))
    if rng.random() < 0.5:
        x = b.global_average(x)
    if rng.random() < 0.5:
        x = b.dense(x, int(rng.choice([8, 12, 24])))
    return b.build(b.dense(x, int(rng.choice([4, 10]))), f"cnn_{seed}")


def streaming(seed):
    """A pipeline for it."""
    network = cnn(seed)
    wanted = int(np.random.default_rng(seed).choice([4, 8, 16, 32, 48]))
    while True:
        try:
            return build(network, hwsim.Streaming(multipliers=wanted))
        except ValueError:
            wanted += 1


SYSTOLIC = [
    {"rows": 4, "cols": 4, "buffer_bytes": 4096, "accumulator_rows": 64},
    {"rows": 4, "cols": 4, "buffer_bytes": 65536, "accumulator_rows": 1024},
    {"rows": 2, "cols": 4, "buffer_bytes": 8192, "accumulator_rows": 128, "axi_bits": 32},
    {"rows": 8, "cols": 4, "buffer_bytes": 16384, "accumulator_rows": 256},
    {"rows": 4, "cols": 8, "buffer_bytes": 32768, "accumulator_rows": 256},
    {"rows": 6, "cols": 6, "buffer_bytes": 32768, "accumulator_rows": 512, "axi_bits": 32},
    {"rows": 8, "cols": 8, "buffer_bytes": 65536, "accumulator_rows": 512},
    {"rows": 2, "cols": 2, "buffer_bytes": 2048, "accumulator_rows": 32},
    {"rows": 8, "cols": 8, "buffer_bytes": 131072, "accumulator_rows": 1024, "axi_bits": 32},
    {"rows": 12, "cols": 4, "buffer_bytes": 65536, "accumulator_rows": 256},
    {"rows": 4, "cols": 12, "buffer_bytes": 65536, "accumulator_rows": 256, "weight_tiles": 2},
    {"rows": 5, "cols": 7, "buffer_bytes": 32768, "accumulator_rows": 128, "axi_bits": 64},
]


def designs():
    """Names, and functions that return (Verilog, configuration of each part)."""

    def pipeline(make):
        def parts_of():
            design = make()
            rows = {
                unit: {"unit": encode(stage.config), "depths": [q.depth for q in stage.queues]}
                for unit, stage in design.units().items()
            }
            rows["top"] = {
                "top": [encode(design.plan.input), encode(design.plan.output)],
            }
            return design.verilog, rows

        return parts_of

    def array(members):
        def parts_of():
            config = Systolic(**members)
            verilog = convert(AxiAccelerator(config), "systolic")
            names = Accelerator.PARTS
            return verilog, {name: {"part": name, "config": encode(config)} for name in names}

        return parts_of

    def lenet(cycles):
        path = bundled("lenet5/lenet5.onnx").parents[2] / "rtl/lenet5/lenet5_int8.onnx"
        return build(hwsim.load(path), hwsim.Streaming(cycles_per_image=cycles))

    yield "lenet5-5000", pipeline(lambda: lenet(5000))
    arrays = [(f"systolic-{k}", array(members)) for k, members in enumerate(SYSTOLIC)]
    for seed in range(60):
        yield f"cnn-{seed}", pipeline(lambda seed=seed: streaming(seed))
        if seed % 3 == 2 and arrays:
            yield arrays.pop(0)
    yield "lenet5-20000", pipeline(lambda: lenet(20000))


def rows_of(path):
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


def synthesize(family, minutes):
    """Append the runs that are missing."""
    path = DATA / f"cost_{family.name}.csv"
    there = {row["design"] for row in rows_of(path)}
    if not path.exists():
        path.write_text(
            f"# Cells by part of a design: {family.synthesis}, see benchmarks/fit_cost.py.\n"
            + ",".join(COLUMNS)
            + "\n"
        )
    end = time.monotonic() + 60 * minutes
    for name, make in designs():
        if name in there:
            continue
        if time.monotonic() > end:
            break
        start = time.monotonic()
        try:
            verilog, configs = make()
        except (ValueError, ZeroDivisionError):  # a map that the layers before it leave nothing of
            continue
        netlist = synthesize_netlist(verilog, family)
        unknown = set(netlist.units) - set(configs) - {"top"}
        assert not unknown, unknown
        with path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            for unit, config in configs.items():
                counts = count(netlist.units.get(unit, {}), family)
                about = json.dumps(config, separators=(",", ":"))
                writer.writerow(
                    [name, unit, about, *(counts[key] for key in ("lut", "ff", "dsp", "bram"))]
                )
        print(
            f"{name}: {count(netlist.cells, family)}, {time.monotonic() - start:.0f} s", flush=True
        )


def nonnegative(matrix, target):
    """Least squares with coefficients that are not negative, by coordinate descent."""
    scale = np.where((size := np.sqrt((matrix**2).sum(axis=0))) > 0, size, 1)
    matrix = matrix / scale
    found = np.zeros(matrix.shape[1])
    square, product = matrix.T @ matrix, matrix.T @ target
    for _ in range(20000):
        before = found.copy()
        for k in np.flatnonzero(np.diag(square)):
            found[k] = max(0.0, found[k] + (product[k] - square[k] @ found) / square[k, k])
        if np.abs(found - before).max() < 1e-12:
            break
    return found / scale


def coefficients(samples):
    """A coefficient for each feature of samples (features, measured), for small relative errors."""
    names = sorted({name for found, _ in samples for name in found})
    matrix = np.array([[found.get(name, 0) for name in names] for found, _ in samples], float)
    measured = np.array([number for _, number in samples], float)
    weights = 1 / (measured + SMALL)
    fitted = nonnegative(matrix * weights[:, None], measured * weights)
    return {name: round(float(c), 4) for name, c in zip(names, fitted, strict=True) if c > 1e-4}


# Cells that do not matter: errors of parts that are smaller weigh less.
SMALL = 40


def fit(family):
    """Fit to the designs that are not held out, and write the coefficients."""
    rules = cost.FAMILIES[family]
    table = cost_data.read(family)
    table = table[[not cost_data.held_out(name) for name in table["design"]]]
    units, parts_of, tops = [], {}, []
    for row in table.itertuples(index=False):
        if "unit" in row.config:
            made = structure.unit(row.config["unit"], row.config["depths"])
            units.append((cost.features(made, rules)[0], row))
        elif "part" in row.config:
            found = cost.part_features(row.unit, row.config["config"], rules)[0]
            parts_of.setdefault(row.unit, []).append((found, row))
        else:
            tops.append(row)

    def both(samples, lut=None, ff=None):
        return {
            "lut": coefficients([(found, row.lut) for found, row in samples]),
            "ff": coefficients([(found, row.ff) for found, row in samples]),
        }

    registers = [({"register": found.get("register", 0), "one": 1}, row) for found, row in units]
    fitted = {
        "streaming": {"lut": both(units)["lut"], "ff": both(registers)["ff"]},
        "top": {
            name: round(float(np.mean([getattr(r, name) for r in tops])), 1)
            for name in ("lut", "ff")
        },
        "systolic": {part: both(samples) for part, samples in sorted(parts_of.items())},
    }
    text = json.dumps(fitted, indent=2) + "\n"
    (DATA / f"cost_{family}.json").write_text(text, encoding="utf-8")
    cost.coefficients.cache_clear()
    print(validation.cost(family).summary().to_string())
    print(validation.cost(family, seen=True).summary().to_string())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--family", default="ecp5", choices=list(parts.FAMILIES))
    parser.add_argument("--synthesize", type=float, metavar="MINUTES")
    arguments = parser.parse_args()
    family = parts.FAMILIES[arguments.family]
    if arguments.synthesize:
        synthesize(family, arguments.synthesize)
        return
    fit(family.name)


if __name__ == "__main__":
    main()
