"""Kernels of image filters that have a name, with where they come from."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

__all__ = ["KERNELS", "Kernel"]

_GONZALEZ = "Gonzalez and Woods, Digital Image Processing, 4th edition, 2018"


@dataclass(frozen=True)
class Kernel:
    """Integers over a common divisor.

    Members
    -------
    title, source : str
    rows : tuple of tuple of int
    divisor : int
    """

    title: str
    source: str
    rows: tuple[tuple[int, ...], ...]
    divisor: int = 1

    @property
    def coefficients(self):
        """Array of float64, (height, width)."""
        return np.array([[float(Fraction(c, self.divisor)) for c in row] for row in self.rows])


def _rows(text):
    return tuple(tuple(map(int, line.split())) for line in text.split(","))


def _outer(line):
    return tuple(tuple(a * b for b in line) for a in line)


KERNELS = {
    "mean": Kernel("Mean, 3 × 3", f"{_GONZALEZ}, section 3.5", _outer((1,) * 3), 9),
    "mean-5": Kernel("Mean, 5 × 5", f"{_GONZALEZ}, section 3.5", _outer((1,) * 5), 25),
    "gaussian": Kernel(
        "Gaussian, 3 × 3: binomial coefficients", f"{_GONZALEZ}, section 3.5", _outer((1, 2, 1)), 16
    ),
    "gaussian-5": Kernel(
        "Gaussian, 5 × 5: binomial coefficients",
        "Burt, Fast Filter Transforms for Image Processing, CGIP 16, 1981",
        _outer((1, 4, 6, 4, 1)),
        256,
    ),
    "sharpen": Kernel(
        "The pixel, less the Laplacian of its four neighbours",
        f"{_GONZALEZ}, section 3.6",
        _rows("0 -1 0, -1 5 -1, 0 -1 0"),
    ),
    "sobel-x": Kernel(
        "Sobel: brighter to the right",
        f"{_GONZALEZ}, section 3.6",
        _rows("-1 0 1, -2 0 2, -1 0 1"),
    ),
    "sobel-y": Kernel(
        "Sobel: brighter to the bottom",
        f"{_GONZALEZ}, section 3.6",
        _rows("-1 -2 -1, 0 0 0, 1 2 1"),
    ),
    "sobel-diagonal": Kernel(
        "Sobel: brighter to the bottom right",
        f"{_GONZALEZ}, section 10.2",
        _rows("-2 -1 0, -1 0 1, 0 1 2"),
    ),
    "sobel-antidiagonal": Kernel(
        "Sobel: brighter to the top right",
        f"{_GONZALEZ}, section 10.2",
        _rows("0 1 2, -1 0 1, -2 -1 0"),
    ),
    "edge": Kernel(
        "Edge detection: Laplacian of all eight neighbours, bright where the pixel stands out",
        f"{_GONZALEZ}, section 3.6",
        _rows("-1 -1 -1, -1 8 -1, -1 -1 -1"),
    ),
}
