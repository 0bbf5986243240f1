"""Image filters at 1920 × 1080: cycles and time of a frame at RTL, compared with NumPy.

Reads a photograph that scikit-image brings, where it is installed, and else draws a picture.
"""

import argparse
import json
import os
import time

import numpy as np

from hwsim.filters import filter_image
from hwsim.models.reference.filters import kernel_sums
from hwsim.network.filters import ImageFilter

from . import record

HEIGHT, WIDTH = 1080, 1920
FILTERS = {
    "Sobel x, grey": ImageFilter(kernel="sobel-x", grey="luminosity", map="signed"),
    "Gaussian 3 × 3, colour": ImageFilter(kernel="gaussian", border="edge"),
    "Gaussian 5 × 5, colour": ImageFilter(kernel="gaussian-5", border="edge"),
    "mean 5 × 5, all windows": ImageFilter(kernel="mean-5", border="full"),
    "lightness, maximum of 4 × 4": ImageFilter(grey="lightness", block="max", size=4),
}
ASKED_S = 10


def picture():
    """(height, width, 3) uint8, and what it is."""
    try:
        from skimage import data
    except ImportError:
        y, x = np.mgrid[:HEIGHT, :WIDTH]
        waves = np.sin(x / 37) * np.cos(y / 23) + np.sin((x * y) / 9000)
        noise = np.random.default_rng(1).normal(0, 8, (HEIGHT, WIDTH, 3))
        drawn = 128 + 50 * waves[..., None] + noise + (x[..., None] * [0.03, 0.0, -0.03])
        return np.clip(drawn, 0, 255).astype(np.uint8), "drawn"
    photograph = data.astronaut()
    rows, columns = (np.arange(n) * size // n for n, size in ((HEIGHT, 512), (WIDTH, 512)))
    return np.ascontiguousarray(photograph[rows[:, None], columns]), "skimage.data.astronaut"


def measure(image_filter, pixels):
    """One frame."""
    begin = time.perf_counter()
    result = filter_image(pixels, image_filter)
    wall = time.perf_counter() - begin
    row = {
        "cycles": result.cycles,
        "cycles_per_pixel": result.cycles_per_pixel,
        "simulation_s": result.seconds,
        "wall_s": wall,
        "mismatches": result.mismatches,
        "as_planned": result.cycles == result.planned_cycles,
    }
    if image_filter.kernel is not None and image_filter.grey is None:
        # Against real arithmetic, beside the integer reference.
        sums = kernel_sums(image_filter, pixels.transpose(2, 0, 1)[None])[0]
        real = np.clip(np.floor(sums) + image_filter.applied_offset, 0, 255)
        away = np.abs(result.output.transpose(2, 0, 1) - real)
        row["largest_difference_from_real"] = int(away.max())
        row["share_that_differs_from_real"] = float((away > 0).mean())
    return row


def summary(results, facts):
    """A table, and what was asked for."""
    heads = ["filter", "cycles", "cycles per pixel", "simulation, s", "with checks, s", "differ"]
    rows = [
        [
            name,
            row["cycles"],
            round(row["cycles_per_pixel"], 4),
            round(row["simulation_s"], 2),
            round(row["wall_s"], 2),
            row["mismatches"],
        ]
        for name, row in results["filters"].items()
    ]
    slowest = max(row["simulation_s"] for row in results["filters"].values())
    verdict = "reached" if slowest < ASKED_S else "missed"
    return f"""{record.table(heads, rows)}

Picture: {results["picture"]}, {WIDTH} × {HEIGHT}. Asked for: less than {ASKED_S} s of simulation.
Found: at most {slowest:.2f} s ({verdict}), to build the simulator included, on one core.

{record.describe(facts)}"""


def main():
    """Measure, print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.filter", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    os.environ["HWSIM_CACHE"] = ""  # nothing is to be found that was compiled before
    facts = record.conditions("python -m benchmarks.filter")
    pixels, origin = picture()
    results = {"picture": origin, "filters": {}}
    for name, image_filter in FILTERS.items():
        results["filters"][name] = measure(image_filter, pixels)
    everything = {"conditions": facts, "results": results}
    print(json.dumps(everything) if arguments.json else summary(results, facts))


if __name__ == "__main__":
    main()
