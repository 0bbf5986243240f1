"""The order in which a feature map travels over a stream.

A frame is one feature map. It travels in raster order, row by row, pixel by pixel; the channels of
a pixel travel innermost, ``lanes`` at a time: one transfer ("beat") carries channels ``g * lanes
... (g + 1) * lanes - 1`` of one pixel, the lowest channel in the least significant bits.
"""

from dataclasses import dataclass

import numpy as np

from .checks import check_divides, check_positive

__all__ = ["Frame"]


@dataclass(frozen=True)
class Frame:
    """A feature map on a stream.

    Parameters
    ----------
    height, width, channels : int
        Shape of the map; a vector is 1 x 1 x channels.
    lanes : int
        Channels per beat; divides ``channels``.
    bits : int
        Width of a code.
    signed : bool
        Whether codes are two's complement.
    """

    height: int
    width: int
    channels: int
    lanes: int
    bits: int = 8
    signed: bool = True

    def __post_init__(self):
        for name in ("height", "width", "channels", "lanes", "bits"):
            check_positive(name, getattr(self, name))
        check_divides("lanes", self.lanes, "channels", self.channels)

    @property
    def groups(self):
        """Beats per pixel."""
        return self.channels // self.lanes

    @property
    def beats(self):
        """Beats per frame."""
        return self.height * self.width * self.groups

    @property
    def shape(self):
        """(channels, height, width)."""
        return (self.channels, self.height, self.width)

    @property
    def minimum(self):
        """Smallest code."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def maximum(self):
        """Largest code."""
        return (1 << (self.bits - 1)) - 1 if self.signed else (1 << self.bits) - 1

    def to_beats(self, maps):
        """(N, C, H, W) codes to (N * beats, lanes) codes in stream order.

        Refuses codes out of range.
        """
        maps = np.asarray(maps)
        if maps.ndim != 4 or maps.shape[1:] != self.shape:
            raise ValueError(
                f"feature maps must have the shape (N, {self.channels}, {self.height}, "
                f"{self.width}), not {maps.shape}"
            )
        low, high = self.minimum, self.maximum
        if maps.size and (maps.min() < low or maps.max() > high):
            raise ValueError(f"codes must lie in [{low}, {high}], not [{maps.min()}, {maps.max()}]")
        return np.ascontiguousarray(maps.transpose(0, 2, 3, 1)).reshape(-1, self.lanes)

    def from_beats(self, beats):
        """(N * beats, lanes) codes in stream order to (N, C, H, W)."""
        beats = np.asarray(beats)
        return beats.reshape(-1, self.height, self.width, self.channels).transpose(0, 3, 1, 2)
