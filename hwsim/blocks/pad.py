"""Padding on its own."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from .stream import Frame
from .timing import Actor
from .unit import UnitConfig
from .window import WindowConfig

__all__ = ["PadConfig"]


@dataclass(frozen=True, kw_only=True)
class PadConfig(UnitConfig):
    """Rows and columns added around a map. One output beat per cycle.

    A sliding window whose kernel is one pixel; to repeat the pixels at the edge, one that reaches
    from the map across the padding, of which a single tap is used.

    Parameters
    ----------
    frame : Frame
    pads : (int, int, int, int)
        Top, left, bottom, right.
    mode : str
        "constant", or "edge": repeat the nearest pixel of the map.
    value : int
        The code to pad with in mode "constant".

    Members
    -------
    window : WindowConfig
    tap : int
        Which of the window's taps is the output.
    """

    frame: Frame
    pads: tuple[int, int, int, int]
    mode: str = "constant"
    value: int = 0

    def __post_init__(self):
        _ = self.window  # checks its parameters

    @classmethod
    def for_layer(cls, layer, frame, tensor, output):
        """The unit of a `hwsim.network.integer.Pad` between two `IntegerTensor`."""
        return cls(
            frame=frame,
            pads=layer.pads,
            mode=layer.mode,
            value=layer.value if layer.mode == "constant" else 0,
        )

    @cached_property
    def window(self):
        """The window that makes the padding."""
        if self.mode != "edge":
            return WindowConfig(
                frame=self.frame,
                kernel=(1, 1),
                pads=self.pads,
                pad_value=self.value,
                mode=self.mode,
            )
        top, left, bottom, right = self.pads
        height, width = top + bottom, left + right
        return WindowConfig(
            frame=self.frame,
            kernel=(height + 1, width + 1),
            pads=(height, width, height, width),
            mode="edge",
        )

    @property
    def tap(self):
        """Which of the window's taps is the output."""
        _, _, bottom, right = self.pads
        return bottom * self.window.kernel[1] + right if self.mode == "edge" else 0

    @property
    def inputs(self):
        """Port ``i``."""
        return {"i": self.frame}

    @property
    def output(self):
        """The padded map."""
        height, width = self.window.shape
        return replace(self.frame, height=height, width=width)

    @property
    def interval(self):
        """Cycles per frame in steady state: the steps of the window."""
        return self.window.interval

    def actors(self, name):
        """The window, and a queue behind it."""
        every = np.ones(self.output.beats, bool)
        return (
            *self.window.actors(f"{name}_window"),
            Actor(name, every.astype(np.int64), {"i": every}, every),
        )
