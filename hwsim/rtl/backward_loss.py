"""Gradients of losses, as streams: cross-entropy of a softmax, and root mean square error."""

from operator import add

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hwsim.blocks.backward_loss import COARSE_BITS, FINE_BITS

from .backward_lrn import later, round_even, times
from .backward_update import take_together
from .queue import CreditQueue
from .unit import Unit, advance, beat_layout, delay, register

__all__ = ["CrossEntropyGradient", "Gather", "RmseGradient"]


class Gather(wiring.Component):
    """Words of a row, given back with what was made of all of them, once the row is complete.

    One row is given back while the next comes in, a word per cycle each.

    Parameters
    ----------
    width : int
        Of a word, in bits.
    length : int
        Words of a row.
    value : callable
        ``value(word)`` is the part of a word that is combined.
    combine : callable
        ``combine(left, right)`` makes one value of two.
    shape : shape-like
        Of what all values of a row become.

    Members
    -------
    i : stream
    index : out
        Place in the row of the word that comes next.
    room : in
        Whether a word may be given back in this cycle.
    issue : out
        Whether one is.
    word, total : out
        The word, a cycle later, and what ``combine`` made of its row.
    """

    def __init__(self, *, width, length, value, combine, shape):
        self._length = length
        self._value = value
        self._combine = combine
        super().__init__(
            {
                "i": In(stream.Signature(width)),
                "index": Out(range(length)),
                "room": In(1),
                "issue": Out(1),
                "word": Out(width),
                "total": Out(shape),
            }
        )

    def elaborate(self, platform):
        m = Module()
        length = self._length
        # A row is read from one half while the next is written to the other.
        half, full = Signal(), Signal()
        m.submodules.memory = memory = Memory(
            shape=len(self.word), depth=2 << len(self.index), init=[]
        )
        write, read = memory.write_port(), memory.read_port()
        place = Signal(range(length))
        step, last, final = Signal(), Signal(), Signal()
        m.d.comb += [
            last.eq(self.index == length - 1),
            final.eq(self.issue & (place == length - 1)),
            self.i.ready.eq(~last | ~full | final),
            step.eq(self.i.valid & self.i.ready),
            self.issue.eq(full & self.room),
            write.en.eq(step),
            write.addr.eq(Cat(self.index, half)),
            write.data.eq(self.i.payload),
            read.addr.eq(Cat(place, ~half)),
            self.word.eq(read.data),
        ]
        shape = self.total.shape()
        running, complete = (
            Signal(shape, name=name, reset_less=True) for name in ("running", "complete")
        )
        value = self._value(self.i.payload)
        total = Signal.like(running, name="total_now")
        m.d.comb += total.eq(Mux(self.index == 0, value, self._combine(running, value)))
        with m.If(step):
            advance(m, self.index, length)
            m.d.sync += running.eq(total)
            with m.If(last):
                m.d.sync += [complete.eq(total), half.eq(~half)]
        with m.If(self.issue):
            advance(m, place, length)
        with m.If(step & last):
            m.d.sync += full.eq(1)
        with m.Elif(final):
            m.d.sync += full.eq(0)
        m.d.sync += self.total.eq(complete)
        return m


def _divide(m, numerator, denominator, bits):
    """``floor(2**(bits - 1) numerator / denominator)``, ``bits`` cycles later.

    By subtraction, a bit per cycle. The numerator is less than twice the denominator.
    """
    rest, quotient = numerator, Const(0, 0)
    for k in range(bits):
        fits = Signal(name=f"fits_{k}")
        m.d.comb += fits.eq(rest >= denominator)
        rest = Mux(fits, rest - denominator, rest)[: len(denominator)]
        rest = register(m, Cat(Const(0, 1), rest), f"rest_{k}")
        denominator = register(m, denominator, f"denominator_{k}")
        quotient = register(m, Cat(fits, quotient), f"quotient_{k}")
    return quotient


def _root(m, square, bits):
    """``floor(sqrt(square))``, ``bits`` cycles later: a bit per cycle.

    Digit by digit, as by hand; the square has ``2 * bits`` bits.
    """
    rest, root = Const(0, 0), Const(0, 0)
    for k in reversed(range(bits)):
        rest, trial = Cat(square[-2:], rest), Cat(Const(1, 2), root)
        fits = Signal(name=f"root_fits_{k}")
        m.d.comb += fits.eq(rest >= trial)
        rest = register(m, Mux(fits, rest - trial, rest)[: len(root) + 2], f"root_rest_{k}")
        root = register(m, Cat(fits, root), f"root_{k}")
        square = register(m, square[:-2], f"square_{k}")
    return root


class CrossEntropyGradient(Unit):
    """Gradient of the cross-entropy of a softmax for its input.

    ::

        i ──> gather, maximum ──> difference ──> two tables ──> × ──> queue ──┐
        t ────────┘                                                           │
            ┌─────────────────────────────────────────────────────────────────┘
            └──> gather, sum ──> divide ──> less 1 at the label ──> queue ──> o

    Parameters
    ----------
    config : CrossEntropyGradientConfig
    queue : QueueConfig, optional

    Members
    -------
    i, o : stream
        Logits; codes of gradients.
    t : stream
        A label for each pixel.
    """

    def elaborate(self, platform):
        m = Module()
        config, bits, channels = self.config, self.config.frame.bits, self.config.frame.channels

        m.submodules.maximum = maximum = Gather(
            width=bits + 1,
            length=channels,
            value=lambda word: word[:bits].as_signed(),
            combine=lambda left, right: Mux(right > left, right, left),
            shape=signed(bits),
        )
        m.submodules.sum = sums = Gather(
            width=COARSE_BITS + 1,
            length=channels,
            value=lambda word: word[:COARSE_BITS],
            combine=add,
            shape=unsigned(config.sum_bits),
        )
        m.submodules.exponentials = exponentials = CreditQueue(
            COARSE_BITS + 1, config.exponential_queue
        )
        m.submodules.queue = queue = CreditQueue(beat_layout(config.output), self.queue)
        wiring.connect(m, exponentials.o, sums.i)
        wiring.connect(m, wiring.flipped(self.o), queue.o)
        for gather, end, latency, name in (
            (maximum, exponentials, config.exponential_latency, "exponential"),
            (sums, queue, config.latency, "quotient"),
        ):
            m.d.comb += [
                gather.room.eq(end.room),
                end.issue.eq(gather.issue),
                end.i_valid.eq(delay(m, gather.issue, latency, name)),
            ]

        # Each code carries along whether it is that of the label.
        first, label = Signal(), Signal(config.labels.bits)
        kept = Signal.like(label, reset_less=True)
        go = take_together(
            m, [(self.i, Const(1), Const(1)), (self.t, first, first)], maximum.i.ready
        )
        m.d.comb += [
            first.eq(maximum.index == 0),
            label.eq(Mux(first, self.t.payload[0], kept)),
            maximum.i.valid.eq(self.i.valid & (self.t.valid | ~first)),
            maximum.i.payload.eq(Cat(self.i.payload, label == maximum.index)),
        ]
        with m.If(go):
            m.d.sync += kept.eq(label)

        code = maximum.word[:bits].as_signed()
        power = self._exponential(m, (maximum.total - code)[:bits].as_unsigned())
        marked = later(m, maximum.word[bits], config.exponential_latency - 1, "marked")
        m.d.comb += exponentials.i_payload.eq(Cat(power, marked))

        quotient = _divide(m, sums.word[:COARSE_BITS], sums.total, config.gradient_point + 2)
        marked = later(m, sums.word[COARSE_BITS], config.gradient_point + 2, "hit")
        one = Const(1 << config.gradient_point)
        gradient = quotient[1:] + quotient[0] - Mux(marked, one, 0)
        m.d.comb += queue.i_payload[0].eq(
            register(m, gradient, "gradient", signed(config.output.bits))
        )
        return m

    def _exponential(self, m, difference):
        """``exp(-difference)``."""
        config = self.config
        index_bits, last = config.fine_index_bits, len(config.coarse) - 1
        difference = register(m, difference, "difference")
        upper = difference[index_bits:]
        if last < (1 << len(upper)) - 1:
            upper = Mux(upper > last, last, upper)
        indices = {
            "coarse": register(m, upper, "above", range(last + 1)),
            "fine": register(m, difference[:index_bits], "below"),
        }
        factors = []
        for (name, index), table, bits in zip(
            indices.items(), (config.coarse, config.fine), (COARSE_BITS, FINE_BITS), strict=True
        ):
            m.submodules[name] = memory = Memory(shape=bits, depth=len(table), init=table.tolist())
            read = memory.read_port()
            m.d.comb += read.addr.eq(index)
            factors.append(register(m, read.data, f"{name}_entry"))
        coarse, fine = factors
        product = times(m, coarse, fine, "power")
        return register(m, round_even(product, FINE_BITS), "exponential", unsigned(COARSE_BITS))


class RmseGradient(Unit):
    """Gradient of the root mean square error of a frame for its values.

    ::

        i, t ──> difference ──> square ──> queue ──> gather, sum ──> divide ──> root ──> queue ──> o

    Parameters
    ----------
    config : RmseGradientConfig
    queue : QueueConfig, optional

    Members
    -------
    i, o : stream
        Values; codes of gradients.
    t : stream
        Targets.
    """

    def elaborate(self, platform):
        m = Module()
        config, width = self.config, self.config.square_bits
        count = config.frame.beats
        m.submodules.sum = sums = Gather(
            width=width + 1,
            length=count,
            value=lambda word: word[:width],
            combine=add,
            shape=unsigned((count * config.largest).bit_length()),
        )
        m.submodules.squares = squares = CreditQueue(width + 1, config.square_queue)
        m.submodules.queue = queue = CreditQueue(beat_layout(config.output), self.queue)
        wiring.connect(m, squares.o, sums.i)
        wiring.connect(m, wiring.flipped(self.o), queue.o)
        go = take_together(
            m, [(port, Const(1), Const(1)) for port in (self.i, self.t)], squares.room
        )
        m.d.comb += [
            squares.issue.eq(go),
            squares.i_valid.eq(delay(m, go, config.square_latency, "square")),
            sums.room.eq(queue.room),
            queue.issue.eq(sums.issue),
            queue.i_valid.eq(delay(m, sums.issue, config.latency, "root")),
        ]
        difference = register(m, self.i.payload[0] - self.t.payload[0], "difference")
        square = times(m, difference, difference, "square", width)
        m.d.comb += squares.i_payload.eq(Cat(square, later(m, difference[-1], 2, "negative")))

        total = times(m, sums.total, Const(count), "total", config.total_bits)
        # Where the sum is 0 so are all squares: any denominator gives 0.
        total = register(m, Mux(total == 0, 1, total), "denominator", unsigned(config.total_bits))
        square = later(m, sums.word[:width], 3, "numerator")
        # Leading bits of the quotient are always 0.
        lift = config.quotient_point + 1 - config.quotient_bits
        quotient = _divide(m, Cat(Const(0, lift), square), total, config.quotient_bits)
        twice = 2 * config.root_bits
        root = _root(m, Cat(quotient, Const(0, twice))[:twice], config.root_bits)
        negative = later(m, sums.word[width], config.latency - 2, "sign")
        size = root[1:] + root[0]
        m.d.comb += queue.i_payload[0].eq(
            register(m, Mux(negative, -size, size), "gradient", signed(config.output.bits))
        )
        return m
