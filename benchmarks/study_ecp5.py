"""The best ECP5-85F design for LeNet-5, and for SqueezeNet, at 30 frames per second.

    python -m benchmarks.study_ecp5 --report reports/studies --synthesis

Explores the spaces in ``reports/studies/*.toml``, looks at the chosen designs again by program and
by events, with ``--synthesis`` at the smallest by Yosys and nextpnr, and writes report and fronts.
The clock is that of the part in the catalog of devices, 100 MHz unless it has another one.
"""

import argparse
import tomllib
from pathlib import Path

import numpy as np
import onnx
import pandas as pd

import hwsim
from hwsim.explore.refine import FIDELITIES, PLACED_LUTS
from hwsim.files import write_files
from hwsim.models import devices
from hwsim.network.lower import lower
from hwsim.network.random_weights import with_random_weights

from . import record

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "reports" / "studies"
PART = "ecp5-85f"
# GB/s at most, and what has that.
MEMORIES = {0.3: "SDRAM of 16 bits at 150 MHz", 1.6: "DDR3-800 of 16 bits"}
TITLES = {"lenet5": "LeNet-5", "squeezenet": "SqueezeNet"}
ROOM = {
    "luts": "tables",
    "flip_flops": "flip-flops",
    "dsps": "DSPs",
    "block_rams": "block RAMs of 18 Kb",
}
CELLS = "LUT / FF / DSP / block RAM by Yosys (cost view)"
PICKS = {
    "least": "least of the part",
    "knee": "knee",
    "fastest": "fastest",
    "too slow": "fastest, too slow",
}
COLUMNS = (
    *("architecture", "rows", "cols", "buffer_bytes", "accumulator_rows", "multipliers"),
    *("clock_mhz", "memory_gb_per_s", "throughput_images_per_s", "energy_per_image_j"),
    *("utilization", "lut", "ff", "dsp", "bram", "cost"),
)


def lenet5():
    """The bundled LeNet-5, int8."""
    return hwsim.load(ROOT / "rtl/lenet5/lenet5_int8.onnx")


def squeezenet():
    """SqueezeNet 1.0 as it comes with the package onnx, with random weights, int8."""
    path = Path(onnx.__file__).parent / "backend/test/data/light/light_squeezenet.onnx"
    network = with_random_weights(hwsim.load(path), 0)
    image = np.random.default_rng(0).uniform(0, 1, (1, 3, 224, 224)).astype(np.float32)
    return hwsim.quantize(network, calibration=image)


def clock_mhz():
    """Of the part."""
    return devices.load(PART)["clock"] / 1e6


# The clock that hwsim's designs are to reach on this part, see docs/synthesis.md.
GOAL_MHZ = 150.0
NETWORKS = {
    "lenet5": (lenet5, [(0.3, clock_mhz())]),
    "squeezenet": (squeezenet, [(1.6, clock_mhz()), (1.6, GOAL_MHZ), (0.3, GOAL_MHZ)]),
}
"""What makes each network, and its cases: GB/s and MHz."""


def space(name, case):
    """The space of a network, for one of its cases."""
    table = tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
    return {**table, "memory_gb_per_s": case[0], "clock_mhz": case[1]}


def explore(name):
    """A network, and a `Study` for each case."""
    make, cases = NETWORKS[name]
    network = make()
    return network, {case: hwsim.explore(network, space(name, case), workers=1) for case in cases}


def words(case):
    """A case in words."""
    return f"{case[0]:g} GB/s, {case[1]:g} MHz"


def front_csv(studies):
    """The fronts of all cases, as text."""
    table = pd.concat([study.front.reindex(columns=COLUMNS) for study in studies.values()])
    return table.to_csv(index=False, float_format="%.6g", lineterminator="\n")


def picks(study):
    """Numbers of the designs that answer the question, by their names in `PICKS`.

    Where no design is fast enough, the fastest one that fits.
    """
    front = study.front
    if not study.feasible:
        front = study.frame()
        front = front[front["rejected"].str.startswith("below")]
        return {"too slow": int(front.loc[front["throughput_images_per_s"].idxmax(), "point"])}
    return {
        "least": int(front.loc[front["cost"].idxmin(), "point"]),
        "knee": study.knee["point"],
        "fastest": int(front.loc[front["throughput_images_per_s"].idxmax(), "point"]),
    }


def design(point):
    """A point in words."""
    if point["architecture"] == "streaming":
        return f"pipeline of {point['multipliers']} multipliers"
    return (
        f"{point['rows']} x {point['cols']}, {point['buffer_bytes'] // 1024} KiB, "
        f"{point['accumulator_rows']} rows"
    )


def refined_rows(network, studies, synthesis):
    """The chosen designs again: frames per second by program and by events; cells and clock."""
    rows = []
    for case, study in studies.items():
        for pick, number in picks(study).items():
            point = study.space.point(number)
            form = study.frame([number]).iloc[0]
            row = [f"{words(case)}, {PICKS[pick]}", f"{form['throughput_images_per_s']:,.1f}"]
            # A pipeline's cycles are the RTL's.
            arrays = point["architecture"] == "systolic"
            for fidelity in ("program", "events") if arrays else ():
                found = FIDELITIES[fidelity](network, None, point)
                row.append(f"{found['images'] / found['latency_s']:,.1f}")
            row += [""] * (4 - len(row))
            if synthesis and form["lut"] <= PLACED_LUTS and pick == "least":
                found = FIDELITIES["synthesis"](network, None, point)
                names = ("lut", "ff", "dsp", "bram")
                row.append(" / ".join(f"{found[k]:,} ({form[k]:,.0f})" for k in names))
                if "fmax_hz" in found:
                    reached = found["fmax_hz"] / 1e6
                    frames = form["throughput_images_per_s"] * reached / point["clock_mhz"]
                    row.append(f"{reached:.0f} MHz, {frames:,.0f} frames/s")
            rows.append(row + [""] * (6 - len(row)))
    return rows


def pick_rows(studies):
    """A row for each chosen design: words, then what the closed form and the cost view say."""
    rows = []
    for case, study in studies.items():
        for pick, number in picks(study).items():
            found = study.frame([number]).iloc[0]
            rows.append(
                [
                    f"{words(case)}, {PICKS[pick]}",
                    design(study.space.point(number)),
                    f"{found['throughput_images_per_s']:,.1f}",
                    f"{found['energy_per_image_j'] * 1e3:.3g} mJ",
                    *(f"{round(found[name]):,}" for name in ("lut", "ff", "dsp", "bram")),
                    f"{found['cost']:.0f} %",
                ]
            )
    return rows


def sections(name, studies, refined):
    """The report's part on one network, as Markdown."""
    heads = ["", "design", "frames/s", "energy per frame", "LUT", "FF", "DSP", "block RAM", "part"]
    parts = [f"## {TITLES[name]}\n", record.table(heads, pick_rows(studies))]
    for case, study in studies.items():
        why = "; ".join(f"{reason}: {count:,}" for reason, count in study.rejected.items())
        parts.append(
            f"\n{words(case)}: {study.points:,} designs, {study.feasible:,} keep to the "
            f"constraints, {len(study.front)} are on the front "
            f"([{name}.csv]({name}.csv)). Rejected: {why}.\n"
        )
    heads = ["", "closed form", "program", "events", CELLS, "clock by nextpnr"]
    parts += ["Frames per second again, by slower means:\n", record.table(heads, refined), ""]
    return "\n".join(parts)


def text(parts, weights):
    """The report as Markdown."""
    has = ", ".join(f"{devices.load(PART)[q]:,.0f} {word}" for q, word in ROOM.items())
    memories = "; ".join(f"{rate:g} GB/s, as {what} has" for rate, what in MEMORIES.items())
    return f"""# Which design on an ECP5-85F at 30 frames per second?

For the bundled LeNet-5, and for SqueezeNet 1.0 (224 x 224, random weights, on which cycles do not
depend), both int8, one image at a time. The part has {has}.
Memories, reads and writes together and at most: {memories}.
Clocks: {clock_mhz():g} MHz, as models have unless told otherwise; {GOAL_MHZ:g} MHz, the goal.

The spaces are [lenet5.toml](lenet5.toml) and [squeezenet.toml](squeezenet.toml): systolic
accelerators of all shapes, and for LeNet-5 streaming pipelines. SqueezeNet's weights, {weights:,}
bytes, are more than all block RAMs of the part hold, so that it has no pipeline. Objectives are the
share of the part (tables, DSPs and block RAMs in per cent, added up: 300 is all of it), frames per
second, and energy. "Least of the part" answers the question; the others say what more buys.

{"".join(parts)}Cells are those of the cost view, which is calibrated on arrays of up to 8 x 8
elements; larger ones are extrapolated. Whether the part reaches the clock is checked where a table
says what nextpnr gives, for speed grade 6; for arrays see
[docs/synthesis.md](../../docs/synthesis.md).

Made by `python -m benchmarks.study_ecp5 --report reports/studies --synthesis`.
"""


def main():
    """Explore, print, and write what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--report", metavar="FOLDER", type=Path)
    parser.add_argument("--synthesis", action="store_true")
    arguments = parser.parse_args()
    parts, files, weights = [], {}, 0
    for name in NETWORKS:
        network, studies = explore(name)
        refined = refined_rows(network, studies, arguments.synthesis)
        parts.append(sections(name, studies, refined) + "\n")
        files[f"{name}.csv"] = front_csv(studies)
        # The last one's.
        weights = sum(
            layer.weights.size for layer in lower(network).layers if hasattr(layer, "weights")
        )
    report = text(parts, weights)
    print(report)
    if arguments.report:
        write_files(arguments.report, {"ecp5-85f.md": report, **files})


if __name__ == "__main__":
    main()
