"""Pooling: sliding window and reduction, and the reduction of a whole map."""

from amaranth.hdl import Const, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory

from .queue import CreditQueue
from .scale import scale
from .unit import Unit, advance, beat_layout, choose, delay, reduce_tree, register
from .window import Window

__all__ = ["GlobalPool", "Pool"]


def _larger(left, right):
    return Mux(right > left, right, left)


class Pool(Unit):
    """Pooling over a sliding window.

    ::

        i ──> window ──> tree per lane ──> requantize unless maximum ──> queue ──> o

    Parameters
    ----------
    config : PoolConfig
    requantize : hwsim.network.fixed_point.Requantize, optional
        Of the sum; none for a maximum.
    counts : tuple of int, optional
        Number of taps that each of its multipliers is for; ``config.counts`` unless given.
    queue : QueueConfig, optional

    Members
    -------
    i, o : stream
    """

    def __init__(self, config, requantize=None, counts=None, queue=None):
        counts = tuple(config.counts if counts is None else counts)
        _check_requantize(config, requantize, counts)
        missing = sorted(set(config.counts) - set(counts))
        if missing:
            wanted, given = (", ".join(map(str, numbers)) for numbers in (missing, counts))
            raise ValueError(f"counts must contain {wanted}, not only {given}")
        self._requantize = requantize
        self._counts = counts
        super().__init__(config, queue)

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.window = window = Window(config.window, late=config.window.LATE)
        m.submodules.queue = queue = CreditQueue(beat_layout(config.output), self.queue)
        wiring.connect(m, wiring.flipped(self.i), window.i)
        wiring.connect(m, wiring.flipped(self.o), queue.o)
        m.d.comb += [
            window.o.ready.eq(queue.room),
            queue.issue.eq(window.o.valid & queue.room),
            queue.i_valid.eq(delay(m, queue.issue, config.latency, "issue")),
        ]
        lanes = range(config.frame.lanes)
        if config.kind == "max":
            for lane in lanes:
                largest = reduce_tree(
                    m, self._taps(window, lane), _larger, f"lane_{lane}", config.TREE_LEVELS
                )
                m.d.comb += queue.i_payload[lane].eq(largest)
        else:
            sums = [self._sum(m, self._taps(window, lane), f"lane_{lane}") for lane in lanes]
            index = self._multiplier_index(m, queue.issue)
            m.d.comb += queue.i_payload.eq(
                scale(m, config.requantize, sums, self._requantize, index)
            )
        return m

    def _taps(self, window, lane):
        """Codes of one lane in the window that waits."""
        lanes = self.config.frame.lanes
        return [window.o.payload[tap * lanes + lane] for tap in range(self.config.window.taps)]

    def _sum(self, m, taps, name):
        """Sum of codes less their zero points.

        As wide as the result needs: what overflows on the way comes back.
        """
        config = self.config
        bits = config.requantize.accumulator_bits

        def hold(m, term, name):
            return register(m, term, name, signed(bits) if len(term) > bits else None)

        if config.zero_point:
            taps = [*taps, Const(-len(taps) * config.zero_point)]
        return reduce_tree(
            m, taps, lambda left, right: left + right, name, config.TREE_LEVELS, hold
        )

    def _multiplier_index(self, m, step):
        """Which of the multipliers is for the window that comes out of the tree."""
        config = self.config
        if len(config.counts) == 1:
            index = self._counts.index(config.counts[0])
            return Const(index) if len(self._counts) > 1 else None
        height, width = config.window.shape
        row = Signal(range(height))
        column = Signal(range(width))
        group = Signal(range(config.frame.groups))
        with m.If(step):
            advance(m, group, config.frame.groups)
            with m.If(group == config.frame.groups - 1):
                advance(m, column, width)
                with m.If(column == width - 1):
                    advance(m, row, height)
        rows, columns = (counts.tolist() for counts in config.tap_counts)
        row_kinds, column_kinds = sorted(set(rows)), sorted(set(columns))
        row_kind = _lookup(row, [row_kinds.index(count) for count in rows])
        column_kind = _lookup(column, [column_kinds.index(count) for count in columns])
        width = (len(self._counts) - 1).bit_length()
        indices = [
            [Const(self._counts.index(r * c), width) for c in column_kinds] for r in row_kinds
        ]
        index = Signal(width)
        m.d.comb += index.eq(choose(row_kind, [choose(column_kind, of_row) for of_row in indices]))
        return delay(m, index, config.window.LATE + config.tree_latency, "index")


def _lookup(index, values):
    """``values[index]`` where most values are the same: a comparison for each that is not."""
    common = max(set(values), key=values.count)
    shape = range(max(values) + 1)
    result = Const(common, shape)
    for position, value in enumerate(values):
        if value != common:
            result = Mux(index == position, Const(value, shape), result)
    return result


def _check_requantize(config, requantize, counts):
    if config.requantize is None:
        if requantize is not None:
            raise ValueError("requantize must be None for a maximum")
        return
    if requantize is None:
        raise TypeError(f"requantize must be a Requantize for the kind {config.kind}, not None")
    config.requantize.check(requantize)
    if requantize.multiplier.size != len(counts):
        given = requantize.multiplier.size
        raise ValueError(
            f"requantize must have {len(counts)} multipliers, one for each count, not {given}"
        )


class GlobalPool(Unit):
    """Pooling over the whole map.

    ::

                           ┌── results so far <──┐
        i ──> register ──> max or sum ──> result register ──> requantize unless maximum
                                                              ──> queue ──> o

    Parameters
    ----------
    config : GlobalPoolConfig
    requantize : hwsim.network.fixed_point.Requantize, optional
        Of the sum, with a single multiplier; none for a maximum.
    queue : QueueConfig, optional

    Members
    -------
    i, o : stream
    """

    def __init__(self, config, requantize=None, queue=None):
        _check_requantize(config, requantize, config.counts)
        self._requantize = requantize
        super().__init__(config, queue)

    def elaborate(self, platform):
        m = Module()
        config = self.config
        frame = config.frame
        m.submodules.queue = queue = CreditQueue(beat_layout(config.output), self.queue)
        wiring.connect(m, wiring.flipped(self.o), queue.o)

        pixel = Signal(range(config.pixels))
        group = Signal(range(frame.groups))
        first = Signal()
        last = Signal()
        step = Signal()
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

        codes = totals = self._accumulate(
            m, delay(m, step, 1, "step"), delay(m, first, 1, "first"), delay(m, group, 1, "group")
        )
        if config.requantize:
            lanes = [totals[lane] for lane in range(frame.lanes)]
            codes = scale(m, config.requantize, lanes, self._requantize)
        m.d.comb += queue.i_payload.eq(codes)
        return m

    def _accumulate(self, m, step, first, group):
        """Results of all lanes, `ACCUMULATE_LATENCY` after the beat."""
        config = self.config
        frame = config.frame
        if config.kind == "max":
            layout = beat_layout(frame)
        else:
            layout = data.ArrayLayout(signed(config.requantize.accumulator_bits), frame.lanes)
        beat = register(m, self.i.payload, "beat")
        before = Signal(layout)
        after = Signal(layout)
        total = Signal(layout, reset_less=True)
        for lane in range(frame.lanes):
            if config.kind == "max":
                value = Mux(first, beat[lane], _larger(before[lane], beat[lane]))
            else:
                # The zero points of all pixels are subtracted at the start.
                value = Mux(first, -config.pixels * config.zero_point, before[lane]) + beat[lane]
            m.d.comb += after[lane].eq(value)
        with m.If(step):
            m.d.sync += total.eq(after)
        if frame.groups == 1:
            m.d.comb += before.eq(total)
        else:
            m.submodules.totals = totals = Memory(shape=layout, depth=frame.groups, init=[])
            write, read = totals.write_port(), totals.read_port(domain="comb")
            m.d.comb += [
                write.addr.eq(group),
                write.data.eq(after),
                write.en.eq(step),
                read.addr.eq(group),
                before.eq(read.data),
            ]
        return total
