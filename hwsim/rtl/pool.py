"""Pooling: sliding window and reduction, and the reduction of a whole map."""

from amaranth.hdl import Module, Mux, Shape, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory

from .queue import CreditQueue
from .unit import Unit, advance, beat_layout, delay, reduce_tree
from .window import Window

__all__ = ["GlobalPool", "Pool"]


def _larger(left, right):
    return Mux(right > left, right, left)


def _sum(left, right):
    return left + right


class Pool(Unit):
    """Pooling over a sliding window.

    ::

        i ──> window ──> tree per lane ──> requantize unless maximum ──> queue ──> o

    Parameters
    ----------
    config : PoolConfig
    queue : QueueConfig, optional

    Members
    -------
    i, o : stream
    """

    def elaborate(self, platform):
        m = Module()
        config = self.config
        lanes = config.frame.lanes
        m.submodules.window = window = Window(config.window)
        m.submodules.queue = queue = CreditQueue(beat_layout(config.output), self.queue)
        wiring.connect(m, wiring.flipped(self.i), window.i)
        wiring.connect(m, wiring.flipped(self.o), queue.o)
        m.d.comb += [
            window.o.ready.eq(queue.room),
            queue.issue.eq(window.o.valid & queue.room),
            queue.i_valid.eq(delay(m, queue.issue, config.latency, "issue")),
        ]
        for lane in range(lanes):
            taps = [window.o.payload[tap * lanes + lane] for tap in range(config.window.taps)]
            m.d.comb += queue.i_payload[lane].eq(reduce_tree(m, taps, _larger, f"lane_{lane}", config.TREE_LEVELS))
        return m


class GlobalPool(Unit):
    """Pooling over the whole map.

    ::

                  ┌── beats of a pixel, so far <──┐
        i ──> register ──> max or sum ──> result register ──> requantize unless maximum ──> queue ──> o

    Parameters
    ----------
    config : GlobalPoolConfig
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

        pixel = Signal(range(config.pixels))
        group = Signal(range(frame.groups))
        first, last, step = Signal(), Signal(), Signal()
        m.d.comb += [
            first.eq(pixel == 0),
            last.eq(pixel == config.pixels - 1),
            self.i.ready.eq(~last | queue.room),
            step.eq(self.i.valid & self.i.ready),
            queue.issue.eq(step & last),
            queue.i_valid.eq(delay(m, queue.issue, config.latency, "issue")),
        ]
        with m.If(step):
            advance(m, group, frame.groups)
            with m.If(group == frame.groups - 1):
                advance(m, pixel, config.pixels)

        total = self._accumulate(m, delay(m, step, 1, "step"), delay(m, first, 1, "first"), delay(m, group, 1, "group"))
        m.d.comb += Value.cast(queue.i_payload).eq(total)
        return m

    def _accumulate(self, m, step, first, group):
        """Totals of all lanes, `ACCUMULATE_LATENCY` after the beat."""
        frame = self.config.frame
        shape = Shape(frame.bits, frame.signed)
        layout = data.ArrayLayout(shape, frame.lanes)
        beat = delay(m, self.i.payload, 1, "beat")
        before, after = Signal(layout), Signal(layout)
        total = Signal(layout)
        for lane in range(frame.lanes):
            m.d.comb += after[lane].eq(Mux(first, beat[lane], _larger(before[lane], beat[lane])))
        with m.If(step):
            m.d.sync += total.eq(after)
        if frame.groups == 1:
            m.d.comb += before.eq(total)
        else:
            m.submodules.totals = totals = Memory(shape=len(after.as_value()), depth=frame.groups, init=[])
            write, read = totals.write_port(), totals.read_port(domain="comb")
            m.d.comb += [
                write.addr.eq(group),
                write.data.eq(after),
                write.en.eq(step),
                read.addr.eq(group),
                before.eq(read.data),
            ]
        return total
