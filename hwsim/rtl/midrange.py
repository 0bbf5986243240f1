"""The middle between a pixel's smallest and largest channel."""

from amaranth.hdl import Module, Mux
from amaranth.lib import wiring

from .queue import CreditQueue
from .unit import Unit, beat_layout, delay, reduce_tree, register

__all__ = ["Midrange"]


class Midrange(Unit):
    """The middle between a pixel's smallest and largest channel, rounded down.

    ::

        i ──┬──> tree of maxima ──┐
            │                     + ──> half ──> queue ──> o
            └──> tree of minima ──┘

    Parameters
    ----------
    config : MidrangeConfig
    queue : QueueConfig, optional

    Members
    -------
    i, o : stream
    """

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.queue = queue = CreditQueue(beat_layout(config.output), self.queue)
        wiring.connect(m, wiring.flipped(self.o), queue.o)
        codes = [self.i.payload[lane] for lane in range(config.frame.lanes)]
        largest, smallest = (
            reduce_tree(m, codes, choose, name, config.TREE_LEVELS)
            for choose, name in (
                (lambda left, right: Mux(right > left, right, left), "largest"),
                (lambda left, right: Mux(right < left, right, left), "smallest"),
            )
        )
        # Half of the sum, rounded down, without a bit that nobody reads. It lies between the two.
        halves = (largest >> 1) + (smallest >> 1) + (largest[0] & smallest[0])
        middle = register(m, halves[: config.frame.bits], "middle")
        m.d.comb += [
            self.i.ready.eq(queue.room),
            queue.issue.eq(self.i.valid & queue.room),
            queue.i_valid.eq(delay(m, queue.issue, config.latency, "issue")),
            queue.i_payload[0].eq(middle),
        ]
        return m
