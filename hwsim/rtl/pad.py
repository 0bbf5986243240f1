"""Padding on its own."""

from amaranth.hdl import Module
from amaranth.lib import wiring

from .queue import Queue
from .unit import Unit, beat_layout
from .window import Window

__all__ = ["Pad"]


class Pad(Unit):
    """Rows and columns added around a map.

    Parameters
    ----------
    config : PadConfig
    queue : QueueConfig, optional

    Members
    -------
    i, o : stream
    """

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.window = window = Window(config.window, config.tap)
        m.submodules.queue = queue = Queue(beat_layout(config.output), self.queue)
        wiring.connect(m, wiring.flipped(self.i), window.i)
        wiring.connect(m, wiring.flipped(self.o), queue.o)
        m.d.comb += [queue.i.valid.eq(window.o.valid), window.o.ready.eq(queue.i.ready)]
        lanes = config.frame.lanes
        for lane in range(lanes):
            m.d.comb += queue.i.payload[lane].eq(window.o.payload[config.tap * lanes + lane])
        return m
