"""The channel with the largest code."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring

from .queue import CreditQueue
from .unit import Unit, advance, beat_layout, delay, reduce_tree

__all__ = ["Argmax"]


class Argmax(Unit):
    """Index of the largest channel of each pixel; the lowest one where several are equal.

    Parameters
    ----------
    config : ArgmaxConfig
    queue : QueueConfig, optional

    Members
    -------
    i, o : stream
    """

    def elaborate(self, platform):
        m = Module()
        config = self.config
        frame = config.frame
        m.submodules.queue = queue = CreditQueue(beat_layout(config.output), self.queue)
        wiring.connect(m, wiring.flipped(self.o), queue.o)
        group = Signal(range(frame.groups))
        last = Signal()
        step = Signal()
        m.d.comb += [
            last.eq(group == frame.groups - 1),
            self.i.ready.eq(~last | queue.room),
            step.eq(self.i.valid & self.i.ready),
            queue.issue.eq(step & last),
        ]
        with m.If(step):
            advance(m, group, frame.groups)

        best = reduce_tree(m, self._lanes(), self._better, "best", config.TREE_LEVELS)
        index = best[frame.bits :]
        if frame.groups > 1:
            index = self._best_of_pixel(m, delay(m, step, config.tree_latency, "step"), best)
        m.d.comb += [
            queue.i_valid.eq(delay(m, queue.issue, config.latency, "issue")),
            Value.cast(queue.i_payload).eq(index),
        ]
        return m

    def _lanes(self):
        """For each lane of the beat that waits, its code with its number above."""
        lanes = self.config.frame.lanes
        number_bits = (lanes - 1).bit_length()
        return [Cat(self.i.payload[k], Const(k, number_bits)) for k in range(lanes)]

    def _code(self, candidate):
        bits = candidate[: self.config.frame.bits]
        return bits.as_signed() if self.config.frame.signed else bits

    def _better(self, left, right):
        return Mux(self._code(right) > self._code(left), right, left)

    def _best_of_pixel(self, m, step, best):
        """Index of the best of the pixel's beats so far, one cycle after ``best`` comes with ``step``."""
        frame = self.config.frame
        base = Signal(range(frame.channels))  # channel of the beat's first lane
        largest = Signal(frame.bits)
        index = Signal(range(frame.channels))
        with m.If(step):
            m.d.sync += base.eq(Mux(base == frame.channels - frame.lanes, 0, base + frame.lanes))
            with m.If((base == 0) | (self._code(best) > self._code(largest))):
                m.d.sync += [largest.eq(best), index.eq(base + best[frame.bits :])]
        return index
