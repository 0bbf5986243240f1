"""Image filters in hardware: a picture in, the filtered picture out, cycle by cycle."""

from dataclasses import dataclass

import numpy as np

from hwsim.blocks.filter import plan_filter
from hwsim.network.filters import ImageFilter
from hwsim.rtl.streaming import Design
from hwsim.sim.simulate import Result, simulate

__all__ = ["FilterResult", "build_filter", "filter_image"]


@dataclass(frozen=True, eq=False)
class FilterResult:
    """A picture and what the hardware of a filter made of it.

    Members
    -------
    filter : ImageFilter
    picture, output : ndarray of uint8, (height, width) in grey or (height, width, 3) in colour
    design : Design
    simulation : hwsim.sim.simulate.Result
    left_out : list of str
        What strides left out of the picture.
    """

    filter: ImageFilter
    picture: np.ndarray
    output: np.ndarray
    design: Design
    simulation: Result
    left_out: list[str]

    @property
    def cycles(self):
        """From the first pixel in to the last pixel out."""
        return self.simulation.cycles

    @property
    def planned_cycles(self):
        """The same, as the plan has it."""
        return self.design.cycles()

    @property
    def cycles_per_pixel(self):
        """Cycles for each pixel of the picture."""
        return self.cycles / (self.picture.shape[0] * self.picture.shape[1])

    @property
    def mismatches(self):
        """Values, of all steps, that differ from the reference."""
        return self.simulation.mismatches

    @property
    def seconds(self):
        """Wall time of the simulation, preparation included."""
        return self.simulation.seconds


def build_filter(image_filter, shape):
    """Hardware for a filter: a pixel with all its channels per clock.

    Parameters
    ----------
    image_filter : ImageFilter
    shape : (int, int, int)
        Channels, height and width of the pictures.

    Returns
    -------
    Design

    Raises
    ------
    ValueError
        As `ImageFilter.network`.
    """
    if not isinstance(image_filter, ImageFilter):
        raise TypeError(f"a filter must be an ImageFilter, not {type(image_filter).__name__}")
    return Design(plan_filter(image_filter.network(shape)))


def filter_image(picture, image_filter, *, engine="compiled", stalls=0.0, seed=0):
    """Run a picture through the hardware of a filter, and compare each value with the reference.

    Parameters
    ----------
    picture : ndarray of uint8, (height, width) or (height, width, channels)
    image_filter : ImageFilter
    engine, stalls, seed
        As of `hwsim.simulate`.

    Returns
    -------
    FilterResult
    """
    picture = np.asarray(picture)
    if picture.ndim not in (2, 3) or picture.dtype != np.uint8 or not picture.size:
        raise ValueError(
            "a picture must be uint8 of the shape (height, width) or (height, width, channels), "
            f"not {picture.dtype} of the shape {picture.shape}"
        )
    maps = np.atleast_3d(picture).transpose(2, 0, 1)
    design = build_filter(image_filter, maps.shape)
    result = simulate(design, maps[np.newaxis], engine=engine, stalls=stalls, seed=seed)
    output = result.outputs[0].astype(np.uint8).transpose(1, 2, 0)
    return FilterResult(
        image_filter,
        picture,
        np.ascontiguousarray(output[..., 0] if output.shape[2] == 1 else output),
        design,
        result,
        image_filter.left_out(maps.shape),
    )
