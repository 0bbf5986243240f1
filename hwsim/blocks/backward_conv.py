"""Gradients of convolution and dense layers as streams: for the input and for the weights."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from .checks import check_integer, check_positive
from .conv import ConvConfig
from .stream import Frame
from .timing import Actor, Edge
from .unit import UnitConfig
from .widths import signed_bits

__all__ = ["ConvGradientConfig", "SpreadConfig", "WeightGradientConfig", "full_pads"]

# Sums over a batch have at least so many bits.
NARROWEST_SUM = 32


def full_pads(shape, spread, pads, reach):
    """Padding with which a window over spread gradients has an output of ``shape``.

    Parameters
    ----------
    shape : (int, int)
        Height and width of what the layer reads.
    spread : (int, int)
        Of its gradients, a stride apart.
    pads, reach
        Of the layer's window.
    """
    begins = [r - p for r, p in zip(reach, pads[:2], strict=True)]
    ends = [n - s + p for n, s, p in zip(shape, spread, pads[:2], strict=True)]
    if min(*begins, *ends) < 0:
        raise ValueError(
            f"pads must be smaller than the {reach[0] + 1} x {reach[1] + 1} pixels of the kernel, "
            f"not {pads}"
        )
    return (*begins, *ends)


@dataclass(frozen=True, kw_only=True)
class SpreadConfig(UnitConfig):
    """Zeros between the pixels of a map, so that they are a stride apart. A beat per cycle.

    Parameters
    ----------
    frame : Frame
    strides : (int, int)
    """

    frame: Frame
    strides: tuple[int, int]

    def __post_init__(self):
        for stride in self.strides:
            check_positive("strides", stride)

    @property
    def inputs(self):
        """Port ``i``."""
        return {"i": self.frame}

    @property
    def output(self):
        """The larger map."""
        height, width = (
            (size - 1) * stride + 1
            for size, stride in zip(
                (self.frame.height, self.frame.width), self.strides, strict=True
            )
        )
        return replace(self.frame, height=height, width=width)

    @property
    def interval(self):
        """Cycles per frame in the steady state: the beats that leave."""
        return self.output.beats

    def actors(self, name):
        """One actor; each action puts a beat."""
        output = self.output
        takes = np.zeros((output.height, output.width, output.groups), bool)
        takes[:: self.strides[0], :: self.strides[1]] = True
        every = np.ones(output.beats, bool)
        return (Actor(name, every.astype(np.int64), {"i": takes.reshape(-1)}, every),)

    def output_edge(self, producer, consumer, port="i", queue=None):
        """The output register; there is no queue."""
        return Edge(producer, consumer, port, capacity=1, forward=1, backward=0)


@dataclass(frozen=True, kw_only=True)
class ConvGradientConfig(UnitConfig):
    """Gradient of a convolution for its input: gradients spread, then a convolution.

    That is the full correlation with the rotated kernel, cut to the input's size. With strides a
    part of the products is with zeros.

    Parameters
    ----------
    frame : Frame
        The gradients for the convolution's output; lanes as `ConvConfig` says for its input.
    shape : (int, int)
        Height and width of the convolution's input.
    channels : int
        Of the convolution's input.
    kernel, strides, dilations, pads, groups
        Of the convolution; the pads smaller than the kernel.
    simd, pe, weight_bits
        As of `ConvConfig`, of the convolution with the rotated kernel.

    Members
    -------
    spread : SpreadConfig
    conv : ConvConfig
        Loadable; its accumulators are the output.
    """

    frame: Frame
    shape: tuple[int, int]
    channels: int
    kernel: tuple[int, int]
    simd: int
    pe: int
    strides: tuple[int, int] = (1, 1)
    dilations: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    groups: int = 1
    weight_bits: int = 16

    def __post_init__(self):
        _ = self.conv
        expected = _output_shape(self.shape, self.kernel, self.strides, self.dilations, self.pads)
        if expected != (self.frame.height, self.frame.width):
            raise ValueError(
                f"frame must be of {expected[0]} x {expected[1]} pixels for an input of "
                f"{self.shape[0]} x {self.shape[1]}, not of {self.frame.height} x "
                f"{self.frame.width}"
            )

    @property
    def spread(self):
        """Zeros between the gradients."""
        return SpreadConfig(frame=self.frame, strides=self.strides)

    @cached_property
    def conv(self):
        """The convolution with the rotated kernel."""
        spread = self.spread.output
        reach = tuple((k - 1) * d for k, d in zip(self.kernel, self.dilations, strict=True))
        return ConvConfig(
            frame=spread,
            out_channels=self.channels,
            kernel=self.kernel,
            simd=self.simd,
            pe=self.pe,
            dilations=self.dilations,
            pads=full_pads(self.shape, (spread.height, spread.width), self.pads, reach),
            groups=self.groups,
            weight_bits=self.weight_bits,
            loadable=True,
        )

    def rotated(self, weights):
        """The convolution's weights (M, C / groups, kernel...) as (C, M / groups, kernel...)."""
        weights = np.asarray(weights)
        size = (self.frame.channels, self.channels // self.groups, *self.kernel)
        if weights.shape != size:
            raise ValueError(f"weights must have the shape {size}, not {weights.shape}")
        parts = weights[:, :, ::-1, ::-1].reshape(self.groups, -1, *size[1:])
        return parts.swapaxes(1, 2).reshape(self.channels, -1, *self.kernel)

    def load_words(self, weights):
        """Beats of the port ``w`` for the convolution's own weights."""
        zeros = np.zeros(self.channels, np.int64)
        return self.conv.mac.load_words(self.rotated(weights), zeros, None)

    @property
    def inputs(self):
        """Port ``i``."""
        return {"i": self.frame}

    @property
    def output(self):
        """Sums."""
        return self.conv.output

    @property
    def latency(self):
        """As of the convolution."""
        return self.conv.latency

    @property
    def macs(self):
        """As of the convolution, products with zeros included."""
        return self.conv.macs

    @property
    def multipliers(self):
        """As of the convolution."""
        return self.conv.multipliers

    @property
    def put_interval(self):
        """As of the convolution."""
        return self.conv.put_interval

    @property
    def interval(self):
        """Cycles per frame in the steady state, those of the convolution."""
        return self.conv.interval

    def actors(self, name):
        """Zeros inserted, then the convolution."""
        return (*self.spread.actors(f"{name}.spread"), *self.conv.actors(f"{name}.conv"))


def _output_shape(shape, kernel, strides, dilations, pads):
    return tuple(
        (size + pads[k] + pads[k + 2] - (kernel[k] - 1) * dilations[k] - 1) // strides[k] + 1
        for k, size in enumerate(shape)
    )


@dataclass(frozen=True, kw_only=True)
class WeightGradientConfig(UnitConfig):
    """Gradients of a convolution's weights and biases, summed over a batch of maps.

    A frame is a batch. The schedule is that of `MacConfig`: in the cycle in which the convolution
    multiplies a beat of its window by a word of weights, here the beat is multiplied by gradients
    of the output, and the products are added to a word of sums. In the batch's last window the
    sums leave. A dense layer is a convolution of a map of one pixel.

    Parameters
    ----------
    frame : Frame
        The maps that the convolution reads.
    out_channels, kernel, simd, pe, strides, dilations, pads, groups
        As of `ConvConfig`.
    batch : int
        Maps in a batch.
    gradient_bits : int
        Of a code of the gradients.
    bias_point : int
        Sums for biases are multiplied by ``2**bias_point``: a bias is the weight of such a code.

    Members
    -------
    conv : ConvConfig
        The convolution.
    gradients : Frame
        Of port ``d``: gradients of the convolution's output, ``pe`` channels per beat.
    accumulator_bits, bias_bits : int
        Enough for any codes; at least 32.
    biases : Frame
        Of port ``b``.
    """

    LATENCY = 4  # operands, products (twice), sums
    BIAS_LATENCY = 2  # gradients, sums

    frame: Frame
    out_channels: int
    kernel: tuple[int, int]
    simd: int
    pe: int
    strides: tuple[int, int] = (1, 1)
    dilations: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    groups: int = 1
    batch: int = 1
    gradient_bits: int = 16
    bias_point: int = 0

    def __post_init__(self):
        check_positive("batch", self.batch)
        check_integer("bias_point", self.bias_point, 0)
        check_positive("gradient_bits", self.gradient_bits)
        _ = self.conv

    @cached_property
    def conv(self):
        """The convolution."""
        return ConvConfig(
            frame=self.frame,
            out_channels=self.out_channels,
            kernel=self.kernel,
            simd=self.simd,
            pe=self.pe,
            strides=self.strides,
            dilations=self.dilations,
            pads=self.pads,
            groups=self.groups,
            weight_bits=self.gradient_bits,
        )

    @property
    def mac(self):
        """Whose schedule and whose order of weights hold here."""
        return self.conv.mac

    @property
    def gradients(self):
        """Of port ``d``."""
        shape = (self.mac.frame.height, self.mac.frame.width)
        return Frame(*shape, self.out_channels, self.pe, self.gradient_bits)

    @property
    def inputs(self):
        """Port ``i``, the maps; port ``d``, the gradients of the output."""
        return {"i": self.frame, "d": self.gradients}

    @property
    def words(self):
        """Words of sums, `mac.multipliers` in each."""
        return self.mac.blocks * self.mac.beats * self.mac.hold

    @property
    def terms(self):
        """Products in a sum."""
        return self.batch * self.mac.positions

    def _bits(self, largest):
        most = self.terms * largest
        return max(NARROWEST_SUM, signed_bits(-most, most))

    @property
    def accumulator_bits(self):
        """Width of a sum of products."""
        largest = max(self.frame.maximum, -self.frame.minimum)
        return self._bits(largest << (self.gradient_bits - 1))

    @property
    def bias_bits(self):
        """Width of a sum of gradients."""
        return self._bits(1 << (self.gradient_bits - 1 + self.bias_point))

    @property
    def output(self):
        """Sums for the weights of a batch, in `mac.in_word_order`: one word per beat."""
        lanes = self.mac.multipliers
        return Frame(1, 1, self.words * lanes, lanes, self.accumulator_bits)

    @property
    def biases(self):
        """Of port ``b``: sums for the biases of a batch."""
        return Frame(1, 1, self.out_channels, self.pe, self.bias_bits)

    @property
    def latency(self):
        """Operands, products, sums."""
        return self.LATENCY

    @property
    def macs(self):
        """Per batch, as of the convolution per map."""
        return self.batch * self.mac.macs

    @property
    def multipliers(self):
        """As of the convolution."""
        return self.mac.multipliers

    @property
    def interval(self):
        """Cycles per batch in the steady state: as the convolution takes."""
        return self.batch * self.conv.interval

    @property
    def bias_queue(self):
        """Of port ``b``."""
        return self.queue

    @cached_property
    def fresh(self):
        """Cycles of a window that use gradients from port ``d``: bool (blocks, beats, hold).

        A block's later beats find them in a memory, or at the port where one beat of them is all.
        """
        mac = self.mac
        fresh = np.ones((mac.blocks, mac.beats, mac.hold), bool)
        if mac.outputs > 1:
            fresh[:, 1:] = False
        return fresh

    @cached_property
    def places(self):
        """What is multiplied in each cycle of a beat: lanes of the beat.

        int (outputs, slices, pe, simd); as in `Mac`, each output channel has its own group's.
        """
        mac = self.mac
        group = np.arange(mac.outputs * mac.pe) // (mac.out_channels // mac.groups)
        tap, lane = (k.reshape(-1) for k in np.indices((mac.taps, mac.dot_channels)))
        places = np.add.outer(group * mac.dot_channels, tap * mac.lanes + lane)
        return places.reshape(mac.outputs, mac.pe, mac.slices, mac.simd).swapaxes(1, 2)

    def actors(self, name):
        """The window, if there is one, and the sums, in an action for each word and window."""
        mac = self.mac
        shape = (mac.blocks, mac.beats, mac.outputs, mac.slices)
        takes, gradients = np.zeros(shape, bool), np.zeros(shape, bool)
        takes[:, :, -1, -1] = True
        gradients[:, 0 if mac.outputs > 1 else -1, :, -1] = True
        count = self.terms
        puts = np.zeros((count, self.words), bool)
        puts[-1] = True
        every = np.ones(puts.size, np.int64)
        sums = Actor(
            f"{name}.sums",
            every,
            {"i": np.tile(takes.reshape(-1), count), "d": np.tile(gradients.reshape(-1), count)},
            puts.reshape(-1),
            {"i": every.astype(bool), "d": np.tile(self.fresh.reshape(-1), count)},
        )
        if self.conv.window is None:
            return (sums,)
        return (
            *(
                replace(actor, repeats=self.batch)
                for actor in self.conv.window.actors(f"{name}.window")
            ),
            sums,
        )
