"""What SCALE-Sim 3.0.0 itself reports, recorded for the check `scale-sim` of `hwsim.validation`.

    python -m benchmarks.scale_sim_record --scalesim-python ENV/bin/python

Runs it on random matrix products and on layers of LeNet-5, AlexNet and ResNet-18, in its three
dataflows at a memory that does not limit, and writes ``hwsim/validation/data/scale_sim.csv``. Its
environment needs NumPy below 2.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from hwsim.files import write_files

from .systolic_scale_sim import DATAFLOWS, SCALE_SIM, missing, run_layers

DATA = Path(__file__).parents[1] / "hwsim/validation/data"
SEED = 0
# Random products of a run, and the arrays: rows and columns.
PRODUCTS = 12
ARRAYS = ((4, 4), (8, 16), (16, 8), (32, 32))
# Name, map (padding included, no more than is used), kernel, stride, channels, filters, of one
# group.
LAYERS = (
    ("LeNet-5 c1", 32, 5, 1, 1, 6),
    ("LeNet-5 c3", 14, 5, 1, 6, 16),
    ("LeNet-5 c5", 5, 5, 1, 16, 120),
    ("AlexNet conv2", 31, 5, 1, 48, 128),
    ("AlexNet conv3", 15, 3, 1, 256, 384),
    ("AlexNet conv4", 15, 3, 1, 192, 192),
    ("AlexNet conv5", 15, 3, 1, 192, 128),
    ("ResNet-18 layer3", 16, 3, 1, 256, 256),
    ("ResNet-18 layer3, shortcut", 27, 1, 2, 128, 256),
    ("ResNet-18 layer4", 9, 3, 1, 512, 512),
    ("ResNet-18 layer4, shortcut", 13, 1, 2, 256, 512),
)
HEAD = f"""\
# "Total Cycles" of COMPUTE_REPORT.csv, SCALE-Sim {SCALE_SIM}, run by benchmarks/scale_sim_record.py
# in the mode CALC, in which memory does not limit. m, n, k: of the matrix product.
"""


def main():
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--scalesim-python", metavar="PYTHON", required=True)
    python = parser.parse_args().scalesim_python
    absent = missing(python)
    if absent:
        sys.exit(absent)
    rng = np.random.default_rng(SEED)
    lines = ["group,point,dataflow,rows,cols,m,n,k,cycles"]
    for rows, cols in ARRAYS:
        for dataflow in DATAFLOWS:
            products = [tuple(int(x) for x in rng.integers(1, 120, 3)) for _ in range(PRODUCTS)]
            found = run_layers(python, (rows, cols), dataflow, gemms=products)
            for (m, n, k), cycles in zip(products, found, strict=True):
                point = f"{rows}x{cols} {dataflow} {m}x{n}x{k}"
                shape = f"{rows},{cols},{m},{n},{k}"
                lines.append(f"random products,{point},{dataflow},{shape},{cycles}")
    for dataflow in DATAFLOWS:
        found = run_layers(python, (32, 32), dataflow, layers=LAYERS)
        for (name, size, kernel, stride, channels, filters), cycles in zip(
            LAYERS, found, strict=True
        ):
            m, k = ((size - kernel) // stride + 1) ** 2, kernel**2 * channels
            network = name.split(" ")[0]
            text = name.replace(",", "")
            shape = f"32,32,{m},{filters},{k}"
            lines.append(f"{network},{text} {dataflow},{dataflow},{shape},{cycles}")
    write_files(DATA, {"scale_sim.csv": HEAD + "\n".join(lines) + "\n"})


if __name__ == "__main__":
    main()
