"""The channel with the largest code."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring

from .queue import CreditQueue
from .unit import Unit, advance, beat_layout, delay, reduce_tree, register

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

        best = self._best_lane(m)
        if frame.groups == 1:
            _, index = best
        else:
            index = self._best_of_pixel(m, delay(m, step, config.tree_latency, "step"), *best)
        m.d.comb += [
            queue.i_valid.eq(delay(m, queue.issue, config.latency, "issue")),
            Value.cast(queue.i_payload).eq(index),
        ]
        return m

    def _best_lane(self, m):
        """Largest code of the beat that waits, and its lane, `tree_latency` cycles later."""

        def better(left, right):
            choice = Signal()
            m.d.comb += choice.eq(right[0] > left[0])
            # The lane is counted within the subtree: its highest bit says from which side it comes.
            return Mux(choice, right[0], left[0]), Cat(Mux(choice, right[1], left[1]), choice)

        def hold(m, term, name):
            return register(m, term[0], f"{name}_code"), register(m, term[1], f"{name}_lane")

        terms = [(self.i.payload[lane], Const(0, 0)) for lane in range(self.config.frame.lanes)]
        return reduce_tree(m, terms, better, "best", self.config.TREE_LEVELS, hold)

    def _best_of_pixel(self, m, step, code, lane):
        """Channel of the largest code of the pixel's beats so far.

        It comes a cycle after ``code`` and ``lane``, which come with ``step``.
        """
        frame = self.config.frame
        base = Signal(range(frame.channels))  # channel of the beat's first lane
        largest = Signal.like(code)
        index = Signal(range(frame.channels))
        with m.If(step):
            m.d.sync += base.eq(Mux(base == frame.channels - frame.lanes, 0, base + frame.lanes))
            with m.If((base == 0) | (code > largest)):
                m.d.sync += [largest.eq(code), index.eq(base + lane)]
        return index
