"""Gradients of convolution and dense layers as streams: for the input and for the weights."""

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from .backward_update import take_together
from .conv import Conv
from .queue import CreditQueue
from .unit import Unit, advance, beat_layout, choose, delay, register
from .window import Window

__all__ = ["ConvGradient", "Spread", "WeightGradient"]


class Spread(Unit):
    """Zeros between the pixels of a map, so that they are a stride apart.

    ::

        i, or zeros ──> register ──> o

    Parameters
    ----------
    config : SpreadConfig

    Members
    -------
    i, o : stream
        The output register is reloaded in the cycle in which it is emptied.
    """

    def elaborate(self, platform):
        m = Module()
        output, strides = self.config.output, self.config.strides
        group, column, row, column_phase, row_phase = (
            Signal(range(length), name=name)
            for name, length in (
                ("group", output.groups),
                ("column", output.width),
                ("row", output.height),
                ("column_phase", strides[1]),
                ("row_phase", strides[0]),
            )
        )
        takes, clear, step = Signal(), Signal(), Signal()
        m.d.comb += [
            takes.eq((column_phase == 0) & (row_phase == 0)),
            clear.eq(~self.o.valid | self.o.ready),
            self.i.ready.eq(clear & takes),
            step.eq(clear & (self.i.valid | ~takes)),
        ]
        beat = Signal(self.o.payload.shape(), reset_less=True)
        m.d.comb += self.o.payload.eq(beat)
        with m.If(step):
            m.d.sync += [
                self.o.valid.eq(1),
                Value.cast(beat).eq(Mux(takes, Value.cast(self.i.payload), 0)),
            ]
            advance(m, group, output.groups)
            with m.If(group == output.groups - 1):
                advance(m, column, output.width)
                advance(m, column_phase, strides[1])
                with m.If(column == output.width - 1):
                    m.d.sync += column_phase.eq(0)
                    advance(m, row, output.height)
                    advance(m, row_phase, strides[0])
                    with m.If(row == output.height - 1):
                        m.d.sync += row_phase.eq(0)
        with m.Elif(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        return m


class ConvGradient(Unit):
    """Gradient of a convolution for its input.

    ::

        i ──> spread ──> window ──> multiply-accumulate ──> queue ──> o
                                            w

    Parameters
    ----------
    config : ConvGradientConfig
    weights : array of int, (out_channels, channels / groups, kernel height, kernel width)
        Of the convolution; zeros unless given.
    queue : QueueConfig, optional

    Members
    -------
    i, o : stream
        Codes of gradients; sums.
    w : stream
        Overwrites the weights; see `Mac`, and ``config.load_words``.
    """

    def __init__(self, config, weights=None, queue=None):
        if weights is None:
            size = (config.frame.channels, config.channels // config.groups, *config.kernel)
            weights = np.zeros(size, np.int64)
        zeros = np.zeros(config.channels, np.int64)
        self._conv = Conv(config.conv, config.rotated(weights), zeros, queue=queue)
        super().__init__(config, queue)

    def _outputs(self):
        load = {"w": In(stream.Signature(self.config.conv.mac.load_bits))}
        return super()._outputs() | load

    def elaborate(self, platform):
        m = Module()
        m.submodules.spread = spread = Spread(self.config.spread)
        m.submodules.conv = conv = self._conv
        wiring.connect(m, wiring.flipped(self.i), spread.i)
        wiring.connect(m, spread.o, conv.i)
        wiring.connect(m, wiring.flipped(self.w), conv.w)
        wiring.connect(m, wiring.flipped(self.o), conv.o)
        return m


class WeightGradient(Unit):
    """Gradients of a convolution's weights and biases, summed over a batch of maps.

    ::

        i ──> window ──> operands ──┐
                                    × ──> + ──> sums ──> queue ──> o
        d ──┬─────────> gradients ──┘     └──────┘
            └──> + ──> sums ──> queue ──> b
                 └──────┘

    Parameters
    ----------
    config : WeightGradientConfig
    queue, bias_queue : QueueConfig, optional
        Of ``o`` and ``b``.

    Members
    -------
    i, d : stream
        Maps; gradients of the convolution's output. A beat of ``d`` is taken with the last slice
        that needs it from the port.
    o : stream
        Sums, a word per beat, in the order in which a `Mac` with the same configuration loads
        weights.
    b : stream
        Sums for the biases.
    """

    def __init__(self, config, queue=None, bias_queue=None):
        self._bias_queue = bias_queue or config.bias_queue
        super().__init__(config, queue)

    def _outputs(self):
        return super()._outputs() | {"b": Out(stream.Signature(beat_layout(self.config.biases)))}

    def elaborate(self, platform):
        m = Module()
        config, mac = self.config, self.config.mac
        m.submodules.queue = queue = CreditQueue(beat_layout(config.output), self.queue)
        m.submodules.bias_queue = biases = CreditQueue(beat_layout(config.biases), self._bias_queue)
        wiring.connect(m, wiring.flipped(self.o), queue.o)
        wiring.connect(m, wiring.flipped(self.b), biases.o)
        windows = self.i
        if config.conv.window is not None:
            m.submodules.window = window = Window(config.conv.window)
            wiring.connect(m, wiring.flipped(self.i), window.i)
            windows = window.o

        first, last, fresh, counts = Signal(), Signal(), Signal(), Signal()
        room = Signal()
        m.d.comb += room.eq(~last | (queue.room & (biases.room | ~counts)))
        go, at = self._schedule(m, windows, fresh, room)
        m.d.comb += [
            first.eq(at["term"] == 0),
            last.eq(at["term"] == config.terms - 1),
            fresh.eq((at["beat"] == 0) | (mac.outputs == 1)),
            # Gradients count once for each window.
            counts.eq((at["slice"] == 0) & (at["beat"] == 0)),
            queue.issue.eq(go & last),
            queue.i_valid.eq(delay(m, queue.issue, config.LATENCY, "issue")),
            biases.issue.eq(go & last & counts),
            biases.i_valid.eq(delay(m, biases.issue, config.BIAS_LATENCY, "bias_issue")),
        ]

        # From here on nothing waits.
        gradients = register(m, self._gradients(m, go, fresh, at["output"]), "gradients")
        operands = list(self._operands(m, windows.payload, at))
        products = []
        for p in range(mac.pe):
            for k in range(mac.simd):
                product = register(m, operands[p][k] * gradients[p], f"product_{p}_{k}")
                products.append(register(m, product, f"product_late_{p}_{k}"))
        sums = _accumulate(
            m,
            "sums",
            products,
            config.accumulator_bits,
            config.words,
            index=delay(m, at["word"], 2, "word"),
            add=delay(m, go, 3, "go"),
            start=delay(m, first, 3, "first"),
        )
        totals = _accumulate(
            m,
            "biases",
            [gradients[p] for p in range(mac.pe)],
            config.bias_bits - config.bias_point,
            mac.blocks * mac.outputs,
            index=at["channel"],
            add=delay(m, go & counts, 1, "counts"),
            start=delay(m, first, 1, "bias_first"),
        )
        m.d.comb += queue.i_payload.eq(sums)
        m.d.comb += [biases.i_payload[p].eq(totals[p] << config.bias_point) for p in range(mac.pe)]
        return m

    def _schedule(self, m, windows, fresh, room):
        """Whether a cycle's worth of work is issued, and counters by name that say which."""
        config, mac = self.config, self.config.mac
        lengths = {
            "slice": mac.slices,
            "output": mac.outputs,
            "beat": mac.beats,
            "block": mac.blocks,
            "term": config.terms,
            "word": config.words,
            "channel": mac.blocks * mac.outputs,
        }
        at = {name: Signal(range(length), name=name) for name, length in lengths.items()}
        ends = {name: at[name] == length - 1 for name, length in lengths.items()}
        # A beat of gradients goes to memory, or is of use to the last beat of the block.
        once = fresh if mac.outputs > 1 else ends["beat"]
        go = take_together(
            m,
            [
                (windows, Const(1), ends["slice"] & ends["output"]),
                (self.d, fresh, ends["slice"] & once),
            ],
            room,
        )
        with m.If(go):
            advance(m, at["word"], lengths["word"])
            advance(m, at["slice"], lengths["slice"])
            with m.If(ends["slice"]):
                advance(m, at["output"], lengths["output"])
                advance(m, at["channel"], lengths["channel"])
                with m.If(ends["output"]):
                    advance(m, at["beat"], lengths["beat"])
                    with m.If(ends["beat"]):
                        advance(m, at["block"], lengths["block"])
                        with m.If(ends["block"]):
                            advance(m, at["term"], lengths["term"])
                    with m.Else():  # the same outputs again, for the next beat
                        m.d.sync += at["channel"].eq(at["channel"] - (mac.outputs - 1))
        return go, at

    def _gradients(self, m, go, fresh, output):
        """The gradients of a cycle: those at the port, or those of the block's first beat."""
        mac = self.config.mac
        if mac.outputs == 1 or mac.beats == 1:
            return self.d.payload
        layout = self.d.payload.shape()
        m.submodules.gradients = memory = Memory(shape=layout, depth=mac.outputs, init=[])
        write, read = memory.write_port(), memory.read_port(domain="comb")
        chosen = Signal(layout)
        m.d.comb += [
            write.addr.eq(output),
            write.data.eq(self.d.payload),
            write.en.eq(go & fresh),
            read.addr.eq(output),
            chosen.eq(Mux(fresh, self.d.payload, read.data)),
        ]
        return chosen

    def _operands(self, m, beat, at):
        """For each of ``pe`` output channels ``simd`` codes of the beat, in registers."""
        places = self.config.places
        registers: dict[bytes, data.View] = {}
        layout = data.ArrayLayout(beat.shape().elem_shape, self.config.simd)
        for p in range(self.config.pe):
            key = places[:, :, p].tobytes()
            if key not in registers:
                words = [
                    choose(at["slice"], [Cat(beat[int(k)] for k in word) for word in words])
                    for words in (places[:1, :, p] if _equal(places[:, :, p]) else places[:, :, p])
                ]
                word = choose(at["output"], words) if len(words) > 1 else words[0]
                registers[key] = register(
                    m, data.View(layout, word), f"operands_{len(registers)}", layout
                )
            yield registers[key]


def _equal(rows):
    return bool((rows == rows[0]).all())


def _accumulate(m, name, terms, bits, length, *, index, add, start):
    """Registers with sums of ``terms`` over time, for ``length`` words of sums, after an addition.

    The ``index`` of a word comes a cycle before the rest; a word's sums begin with ``start``. Two
    additions to the same word are two cycles apart or more, unless it is the only one.
    """
    layout = data.ArrayLayout(signed(bits), len(terms))
    after = Signal(layout, name=f"{name}_after")
    totals = Signal(layout, name=f"{name}_totals", reset_less=True)
    before = totals
    if length > 1:
        m.submodules[name] = memory = Memory(shape=layout, depth=length, init=[])
        write, read = memory.write_port(), memory.read_port()
        before = read.data
        m.d.comb += [
            read.addr.eq(index),
            write.addr.eq(delay(m, index, 1, f"{name}_index")),
            write.en.eq(add),
            write.data.eq(after),
        ]
    for k, term in enumerate(terms):
        m.d.comb += after[k].eq((Mux(start, 0, before[k]) + term)[:bits])
    with m.If(add):
        m.d.sync += totals.eq(after)
    return totals
