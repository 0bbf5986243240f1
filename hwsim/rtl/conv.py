"""Convolution and dense layers."""

from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In

from .mac import Mac
from .unit import Unit
from .window import Window

__all__ = ["Conv", "Dense"]


class _Multiplies(Unit):
    """A `Mac` with something before it."""

    def __init__(self, config, weights, bias, requantize=None, queue=None):
        self._mac = Mac(config.mac, self._arrange(config, weights), bias, requantize, queue)
        super().__init__(config, queue)

    @staticmethod
    def _arrange(config, weights):
        return weights

    def _outputs(self):
        load = (
            {"w": In(stream.Signature(self.config.mac.load_bits))} if self.config.loadable else {}
        )
        return super()._outputs() | load

    def elaborate(self, platform):
        m = Module()
        m.submodules.mac = mac = self._mac
        source = wiring.flipped(self.i)
        if getattr(self.config, "window", None) is not None:
            m.submodules.window = window = Window(self.config.window, late=self.config.mac.late)
            wiring.connect(m, source, window.i)
            source = window.o
        wiring.connect(m, source, mac.i)
        wiring.connect(m, mac.o, wiring.flipped(self.o))
        if self.config.loadable:
            wiring.connect(m, wiring.flipped(self.w), mac.w)
        return m


class Conv(_Multiplies):
    """A 2-D convolution of a raster stream.

    ::

        i ──> Window ──> Mac ──> o

    Parameters
    ----------
    config : ConvConfig
    weights : array of int, (out_channels, channels / groups, kernel height, kernel width)
    bias : array of int, (out_channels,)
    requantize : hwsim.network.fixed_point.Requantize, optional
        As ``config.requantize`` foresees it.
    queue : QueueConfig, optional

    Members
    -------
    i, o : stream
    w : stream
        Only if ``config.loadable``; see `Mac`.
    """


class Dense(_Multiplies):
    """A matrix-vector product of a map.

    Parameters
    ----------
    config : DenseConfig
    weights : array of int, (out_channels, C * H * W)
        Columns in the order C, H, W.
    bias : array of int, (out_channels,)
    requantize : hwsim.network.fixed_point.Requantize, optional
        As ``config.requantize`` foresees it.
    queue : QueueConfig, optional

    Members
    -------
    i, o : stream
    w : stream
        Only if ``config.loadable``; see `Mac`.
    """

    @staticmethod
    def _arrange(config, weights):
        return config.in_stream_order(weights)
