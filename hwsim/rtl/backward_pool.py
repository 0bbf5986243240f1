"""Pooling that remembers its winners, and gradients of pools, as streams."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Out

from .backward_conv import Spread
from .backward_update import take_together
from .queue import CreditQueue
from .unit import Unit, advance, beat_layout, choose, delay, reduce_tree, register
from .window import Window

__all__ = ["GlobalPoolGradient", "MaxPool", "PoolGradient"]


class MaxPool(Unit):
    """Maximum pooling that says which tap won; of equal values the first in row-major order.

    ::

                                          ┌──> queue ──> o
        i ──> window ──> tree per lane ──>┤
                                          └──> memory ──> w

    Parameters
    ----------
    config : MaxPoolConfig
    queue : QueueConfig, optional
        Of ``o``.

    Members
    -------
    i, o : stream
    w : stream
        Winners, ``config.winners``, from a queue of ``config.memory``.
    """

    def _outputs(self):
        return super()._outputs() | {"w": Out(stream.Signature(beat_layout(self.config.winners)))}

    def elaborate(self, platform):
        m = Module()
        config = self.config
        frame, winners, marked = config.frame, config.winners, config.window.frame
        m.submodules.window = window = Window(config.window)
        m.submodules.queue = queue = CreditQueue(beat_layout(config.output), self.queue)
        m.submodules.memory = memory = CreditQueue(beat_layout(winners), config.memory)
        wiring.connect(m, wiring.flipped(self.o), queue.o)
        wiring.connect(m, wiring.flipped(self.w), memory.o)
        sign = 1 << (frame.bits - 1) if frame.signed else 0
        go, room = Signal(), Signal()
        arrived = delay(m, go, config.latency, "go")
        m.d.comb += [
            window.i.valid.eq(self.i.valid),
            self.i.ready.eq(window.i.ready),
            room.eq(queue.room & memory.room),
            window.o.ready.eq(room),
            go.eq(window.o.valid & room),
        ]
        for end in (queue, memory):
            m.d.comb += [end.issue.eq(go), end.i_valid.eq(arrived)]

        def larger(left, right):
            return Mux(right[winners.bits :] > left[winners.bits :], right, left)

        for lane in range(frame.lanes):
            code = Value.cast(self.i.payload[lane]).as_unsigned()
            m.d.comb += window.i.payload[lane].eq(Cat(code ^ sign, Const(1, 1)))
            terms = [
                Cat(Const(tap, winners.bits), window.o.payload[tap * marked.lanes + lane])
                for tap in range(config.window.taps)
            ]
            best = reduce_tree(m, terms, larger, f"lane_{lane}", config.pool.TREE_LEVELS)
            value = best[winners.bits : winners.bits + frame.bits]
            m.d.comb += [
                Value.cast(queue.i_payload[lane]).eq(value ^ sign),
                Value.cast(memory.i_payload[lane]).eq(best[: winners.bits]),
            ]
        return m


class PoolGradient(Unit):
    """Gradient of a pool for its input.

    ::

        i ──> × reciprocal, for an average ──┐
                                             ├──> spread ──> window ──> those that it won ──┐
        w, for a maximum ────────────────────┘                                              │
                                                                o <── queue <── adder tree ─┘

    Parameters
    ----------
    config : PoolGradientConfig
    queue : QueueConfig, optional

    Members
    -------
    i, o : stream
        Codes of gradients; sums.
    w : stream
        Only for a maximum: winners, as they come from `MaxPool`.
    """

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.spread = spread = Spread(config.spread)
        m.submodules.window = window = Window(config.window)
        m.submodules.queue = queue = CreditQueue(beat_layout(config.output), self.queue)
        wiring.connect(m, spread.o, window.i)
        wiring.connect(m, wiring.flipped(self.o), queue.o)
        ports = [(getattr(self, name), Const(1), Const(1)) for name in config.inputs]
        go = take_together(m, ports, spread.i.ready)
        m.d.comb += [
            spread.i.valid.eq(Cat(port.valid for port, _, _ in ports).all()),
            window.o.ready.eq(queue.room),
            queue.issue.eq(window.o.valid & queue.room),
            queue.i_valid.eq(delay(m, queue.issue, config.latency, "issue")),
        ]
        factor = self._reciprocal(m, go)
        bits, taps, lanes = config.output.bits, config.window.taps, config.frame.lanes
        for lane in range(lanes):
            code = self.i.payload[lane]
            if config.kind == "max":
                code = Cat(code, self.w.payload[lane])
            elif factor is not None:
                code = code * factor
            m.d.comb += spread.i.payload[lane].eq(code)
            terms = []
            for tap in range(taps):
                word = Value.cast(window.o.payload[tap * lanes + lane])
                term = word[: config.code_bits].as_signed()
                if config.kind == "max":
                    # The window is rotated: its last tap is the pool's first.
                    won = word[config.code_bits :] == taps - 1 - tap
                    term = register(m, Mux(won, term, 0), f"won_{lane}_{tap}")
                terms.append(term)

            def add(left, right):
                total = left + right
                return total[:bits].as_signed() if len(total) > bits else total

            total = reduce_tree(m, terms, add, f"lane_{lane}", config.TREE_LEVELS)
            m.d.comb += queue.i_payload[lane].eq(total)
        return m

    def _reciprocal(self, m, go):
        """What the gradients at port ``i`` are multiplied by; None for no multiplication."""
        config = self.config
        if config.kind != "average":
            return None
        width = max(config.reciprocals).bit_length()
        factors = {
            count: Const(factor, width)
            for count, factor in zip(config.counts, config.reciprocals, strict=True)
        }
        if len(factors) == 1:
            return factors[config.counts[0]]
        frame = config.gradients
        group, column, row = (
            Signal(range(length), name=name)
            for name, length in (
                ("group", frame.groups),
                ("column", frame.width),
                ("row", frame.height),
            )
        )
        with m.If(go):
            advance(m, group, frame.groups)
            with m.If(group == frame.groups - 1):
                advance(m, column, frame.width)
                with m.If(column == frame.width - 1):
                    advance(m, row, frame.height)
        rows, columns = (counts.tolist() for counts in config.pool.tap_counts)
        factor = Signal(width)
        m.d.comb += factor.eq(
            choose(row, [choose(column, [factors[r * c] for c in columns]) for r in rows])
        )
        return factor


class GlobalPoolGradient(Unit):
    """Gradient of an average or sum over a whole map.

    ::

        i ──┬─────────────> register ──> × reciprocal ──> queue ──> o
            └──> memory ──┘

    Parameters
    ----------
    config : GlobalPoolGradientConfig
    queue : QueueConfig, optional

    Members
    -------
    i, o : stream
        Codes of gradients; products.
    """

    def elaborate(self, platform):
        m = Module()
        config, frame = self.config, self.config.frame
        m.submodules.queue = queue = CreditQueue(beat_layout(config.output), self.queue)
        wiring.connect(m, wiring.flipped(self.o), queue.o)
        group, pixel = Signal(range(frame.groups)), Signal(range(config.pixels))
        first = Signal()
        go = take_together(m, [(self.i, first, first)], queue.room)
        m.d.comb += [
            first.eq(pixel == 0),
            queue.issue.eq(go),
            queue.i_valid.eq(delay(m, go, config.latency, "go")),
        ]
        with m.If(go):
            advance(m, group, frame.groups)
            with m.If(group == frame.groups - 1):
                advance(m, pixel, config.pixels)
        layout = beat_layout(frame)
        m.submodules.vector = memory = Memory(shape=layout, depth=frame.groups, init=[])
        write, read = memory.write_port(), memory.read_port(domain="comb")
        beat = Signal(layout, reset_less=True)
        m.d.comb += [
            write.addr.eq(group),
            write.data.eq(self.i.payload),
            write.en.eq(go & first),
            read.addr.eq(group),
        ]
        m.d.sync += beat.eq(Mux(first, self.i.payload, read.data))
        for lane in range(frame.lanes):
            product = register(m, beat[lane] * config.reciprocal, f"product_{lane}")
            m.d.comb += queue.i_payload[lane].eq(product)
        return m
