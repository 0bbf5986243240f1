"""Convolution and dense layers: a sliding window if needed, then folded multiply-accumulate."""

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .mac import MacConfig
from .requantize import RequantizeConfig
from .stream import Frame
from .unit import UnitConfig
from .widths import signed_bits
from .window import WindowConfig

__all__ = ["ConvConfig", "DenseConfig"]


class _Multiplies(UnitConfig):
    """What convolution and dense layers take from their `MacConfig`, the member ``mac``."""

    frame: Frame

    @property
    @abstractmethod
    def mac(self) -> MacConfig:
        """The multiply-accumulate."""

    @property
    def inputs(self):
        """Port ``i``."""
        return {"i": self.frame}

    @property
    def latency(self):
        """As of the multiply-accumulate."""
        return self.mac.latency

    @property
    def macs(self):
        """As of the multiply-accumulate."""
        return self.mac.macs

    @property
    def multipliers(self):
        """As of the multiply-accumulate."""
        return self.mac.multipliers

    @property
    def put_interval(self):
        """As of the multiply-accumulate."""
        return self.mac.put_interval


def _for_layer(layer, tensor, output):
    """Widths for an integer layer with weights between two `IntegerTensor`."""
    bits = signed_bits(*layer.accumulator_bounds(tensor))
    return {
        "weight_bits": layer.weight_bits,
        "requantize": RequantizeConfig.of(
            layer.requantize, accumulator_bits=bits, bits=output.bits, signed=output.signed
        ),
    }


@dataclass(frozen=True, kw_only=True)
class ConvConfig(_Multiplies):
    """A 2-D convolution: `WindowConfig`, then `MacConfig`.

    Without padding, a 1 x 1 kernel of stride 1 needs no window.

    Parameters
    ----------
    frame : Frame
        The map that arrives. Its lanes divide the input channels of a group, or are a multiple of
        them.
    out_channels, simd, pe, groups, weight_bits, accumulator_bits, requantize, loadable, fixed
        As of `MacConfig`.
    kernel, strides, dilations, pads, pad_value, mode
        As of `WindowConfig`.

    Members
    -------
    window : WindowConfig or None
    mac : MacConfig
    """

    frame: Frame
    out_channels: int
    kernel: tuple[int, int]
    simd: int
    pe: int
    strides: tuple[int, int] = (1, 1)
    dilations: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    pad_value: int = 0
    mode: str = "constant"
    groups: int = 1
    weight_bits: int = 8
    accumulator_bits: int = 0
    requantize: RequantizeConfig | None = None
    loadable: bool = False
    fixed: bool = False

    def __post_init__(self):
        # Made once here, so that bad parameters are refused.
        _ = self.mac

    @classmethod
    def for_layer(cls, layer, frame, tensor, output, *, simd, pe, fixed=False):
        """The unit of a `hwsim.network.integer.Conv` between two `IntegerTensor`."""
        return cls(
            frame=frame,
            out_channels=layer.weights.shape[0],
            kernel=tuple(layer.weights.shape[2:]),
            simd=simd,
            pe=pe,
            strides=layer.strides,
            dilations=layer.dilations,
            pads=layer.pads,
            pad_value=tensor.zero_point,
            mode=layer.mode,
            groups=layer.groups,
            fixed=fixed,
            **_for_layer(layer, tensor, output),
        )

    @cached_property
    def window(self):
        """The sliding window; None where each pixel is a window."""
        window = WindowConfig(
            frame=self.frame,
            kernel=self.kernel,
            strides=self.strides,
            dilations=self.dilations,
            pads=self.pads,
            pad_value=self.pad_value,
            mode=self.mode,
        )
        pointwise = (self.kernel, self.strides, self.pads) == ((1, 1), (1, 1), (0, 0, 0, 0))
        return None if pointwise else window

    @cached_property
    def mac(self):
        """The multiply-accumulate."""
        return MacConfig(
            frame=self.frame if self.window is None else self.window.output,
            out_channels=self.out_channels,
            simd=self.simd,
            pe=self.pe,
            taps=self.kernel[0] * self.kernel[1],
            groups=self.groups,
            weight_bits=self.weight_bits,
            accumulator_bits=self.accumulator_bits,
            requantize=self.requantize,
            loadable=self.loadable,
            fixed=self.fixed,
            late=0 if self.window is None else WindowConfig.LATE,
        )

    @property
    def output(self):
        """The output channels of each window."""
        return self.mac.output

    @property
    def interval(self):
        """Cycles per frame in the steady state.

        That of the multiply-accumulate, and in addition those steps of the window between two
        outputs for which the multiply-accumulate has no work.
        """
        return (
            self.mac.interval if self.window is None else self.window.interval_held(self.mac.hold)
        )

    def actors(self, name):
        """The window, if there is one, and the multiply-accumulate."""
        window = () if self.window is None else self.window.actors(f"{name}.window")
        return (*window, *self.mac.actors(f"{name}.mac"))


@dataclass(frozen=True, kw_only=True)
class DenseConfig(_Multiplies):
    """A matrix-vector product: `MacConfig` with a whole map as its vector.

    Parameters
    ----------
    frame : Frame
        The map that arrives.
    out_channels, simd, pe, weight_bits, accumulator_bits, requantize, loadable
        As of `MacConfig`; ``simd`` divides the lanes, ``pe`` the output channels.

    Members
    -------
    mac : MacConfig
    """

    frame: Frame
    out_channels: int
    simd: int
    pe: int
    weight_bits: int = 8
    accumulator_bits: int = 0
    requantize: RequantizeConfig | None = None
    loadable: bool = False

    def __post_init__(self):
        _ = self.mac

    @classmethod
    def for_layer(cls, layer, frame, tensor, output, *, simd, pe):
        """The unit of a `hwsim.network.integer.Dense` between two `IntegerTensor`."""
        return cls(
            frame=frame,
            out_channels=len(layer.weights),
            simd=simd,
            pe=pe,
            **_for_layer(layer, tensor, output),
        )

    @cached_property
    def mac(self):
        """The multiply-accumulate; its vector is the map in stream order."""
        size = self.frame.beats * self.frame.lanes
        return MacConfig(
            frame=Frame(1, 1, size, self.frame.lanes, self.frame.bits, self.frame.signed),
            out_channels=self.out_channels,
            simd=self.simd,
            pe=self.pe,
            weight_bits=self.weight_bits,
            accumulator_bits=self.accumulator_bits,
            requantize=self.requantize,
            loadable=self.loadable,
        )

    @property
    def output(self):
        """A vector."""
        return self.mac.output

    @property
    def interval(self):
        """Cycles per frame in the steady state."""
        return self.mac.interval

    def actors(self, name):
        """The multiply-accumulate."""
        return self.mac.actors(name)

    def in_stream_order(self, weights):
        """Weights with columns in the order C, H, W to the order of the stream: H, W, C."""
        weights = np.asarray(weights)
        size = self.frame.beats * self.frame.lanes
        if weights.shape != (self.out_channels, size):
            raise ValueError(
                f"weights must have the shape {(self.out_channels, size)}, not {weights.shape}"
            )
        return weights.reshape(-1, *self.frame.shape).transpose(0, 2, 3, 1).reshape(weights.shape)
