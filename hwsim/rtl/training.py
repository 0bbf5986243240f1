"""Hardware that trains: matrix products with rounding, and pools with their winners."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hwsim.blocks.training import (
    BITS,
    FUNCTION_SHIFT,
    INDEX_BITS,
    NOISE_BITS,
    PLAIN,
    VALUE_POINT,
    noise_offset,
)

from .systolic.array import OutputStationaryArray
from .unit import delay, register

__all__ = [
    "Function",
    "MatrixProduct",
    "Round",
    "Transposer",
    "WinnerPool",
    "WinnerRoute",
    "word_layout",
]

SHIFT = unsigned(6)


def word_layout(config):
    """A word of memory: a code for each lane."""
    return data.ArrayLayout(signed(BITS), config.lanes)


def beats(payload):
    """Signature of a stream that never waits."""
    return stream.Signature(payload, always_ready=True)


class Transposer(wiring.Component):
    """Passes words on ``lanes`` cycles later, those of a tile transposed if so wanted.

    A square of registers through which words go upwards or to the left::

            o ^   ^
            [ ] [ ] <─ i, to the left
        o <─[ ] [ ] <─
             ^ i ^   upwards

    Where a tile, ``lanes`` words one after another, has come in from below and goes out to the
    left, its word ``t`` is what the words had in lane ``t``, and the next tile comes in from the
    right. If nothing turns, this is a delay.

    Parameters
    ----------
    config : TrainingConfig

    Members
    -------
    i, o : in, out, word_layout(config)
    start : in
        In the cycle before the first word of the first tile.
    turn : in
        Tiles are to be transposed.
    """

    def __init__(self, config):
        self._config = config
        word = word_layout(config)
        super().__init__({"i": In(word), "o": Out(word), "start": In(1), "turn": In(1)})

    @property
    def config(self):
        return self._config

    def elaborate(self, platform):
        m = Module()
        lanes = self.config.lanes
        phase = Signal(range(lanes))
        left = Signal()
        with m.If(self.start):
            m.d.sync += phase.eq(0)
        with m.Elif(phase == lanes - 1):
            m.d.sync += [phase.eq(0), left.eq(left ^ self.turn)]
        with m.Else():
            m.d.sync += phase.eq(phase + 1)
        rows = [Signal(lanes * BITS, name=f"row_{k}", reset_less=True) for k in range(lanes)]
        word = self.i.as_value()
        for k, (row, below) in enumerate(zip(rows, [*rows[1:], word], strict=True)):
            m.d.sync += row.eq(Mux(left, Cat(row[BITS:], word.word_select(k, BITS)), below))
        m.d.comb += self.o.eq(Mux(left, Cat(row[:BITS] for row in rows), rows[0]))
        return m


class Round(wiring.Component):
    """Divides sums by ``2**shift``, rounds, bounds them to codes; a new row every cycle.

    To nearest with ties to even, or stochastically: up with a probability that is the fraction that
    is cut off. Random bits are those of an xorshift generator in each lane (Marsaglia, "Xorshift
    RNGs", Journal of Statistical Software 8 (14), 2003), which steps behind every row that is
    rounded so.

    Parameters
    ----------
    config : TrainingConfig

    Members
    -------
    i : in, ArrayLayout(signed(accumulator_bits), lanes)
    shift : in, 0 to 32
    stochastic, relu, enable : in
        Of the row at `i`; `enable` is high for a row that counts.
    load, seed : in
        Lane ``k`` begins with ``seed ^ noise_offset(k)``.
    o : out, word_layout(config)
        ``config.round_latency`` cycles later.
    """

    def __init__(self, config):
        self._config = config
        super().__init__(
            {
                "i": In(data.ArrayLayout(signed(config.accumulator_bits), config.lanes)),
                "shift": In(SHIFT),
                "stochastic": In(1),
                "relu": In(1),
                "enable": In(1),
                "load": In(1),
                "seed": In(NOISE_BITS),
                "o": Out(word_layout(config)),
            }
        )

    @property
    def config(self):
        return self._config

    def elaborate(self, platform):
        m = Module()
        config = self.config
        shift = delay(m, self.shift, 2, "shift")
        relu = delay(m, self.relu, 3, "relu")
        # Ones below the last bit that stays, and all but the highest of them.
        ones = Signal(NOISE_BITS)
        # Bits of a random number that do not count.
        below = Signal.like(self.shift)
        m.d.comb += [
            ones.eq((Const(1, NOISE_BITS + 1) << self.shift) - 1),
            below.eq(NOISE_BITS - self.shift),
        ]
        for lane in range(config.lanes):
            noise = Signal(NOISE_BITS, name=f"noise_{lane}", init=noise_offset(lane))
            with m.If(self.load):
                m.d.sync += noise.eq(self.seed ^ noise_offset(lane))
            with m.Elif(self.enable & self.stochastic):
                m.d.sync += noise.eq(_xorshift(m, noise, lane))
            value = self.i[lane]
            odd = Signal(name=f"odd_{lane}")
            m.d.comb += odd.eq((value & (ones + 1)).any())
            even = (ones >> 1) + (odd & ones[0])
            drawn = Signal(NOISE_BITS, name=f"drawn_{lane}")
            m.d.comb += drawn.eq(noise >> below)
            held = register(m, value, f"held_{lane}")
            addend = register(m, Mux(self.stochastic, drawn, even), f"addend_{lane}")
            total = register(m, held + addend, f"total_{lane}")
            rounded = register(m, total >> shift, f"rounded_{lane}")
            high, low = (1 << (BITS - 1)) - 1, -(1 << (BITS - 1))
            code = Signal(signed(BITS), name=f"code_{lane}", reset_less=True)
            bounded = Mux(rounded > high, high, Mux(rounded < low, low, rounded))
            m.d.sync += code.eq(Mux(relu & (rounded < 0), 0, bounded))
            m.d.comb += self.o[lane].eq(code)
        return m


def _xorshift(m, state, lane):
    for step, (bits, left) in enumerate(((13, True), (17, False), (5, True))):
        following = Signal(NOISE_BITS, name=f"noise_{lane}_{step}")
        moved = (state << bits)[:NOISE_BITS] if left else state >> bits
        m.d.comb += following.eq(state ^ moved)
        state = following
    return state


def product_layout(config):
    """A step of a fold: operands of all rows and columns, and what becomes of the sums."""
    return data.StructLayout(
        {
            "a": word_layout(config),
            "w": word_layout(config),
            "first": 1,
            "last": 1,
            "shift": SHIFT,
            "relu": 1,
            "stochastic": 1,
            "load": 1,
            "seed": NOISE_BITS,
        }
    )


class MatrixProduct(wiring.Component):
    """Matrix products in tiles of ``lanes`` × ``lanes``, rounded to codes.

    ::

        i ──> output-stationary array ──> round ──> o

    A beat is a step of a fold; `last` of two folds are ``lanes`` cycles or more apart. `shift`,
    `relu` and `stochastic` count in the beat with `last`. A beat with `load`, which comes when all
    results have left, begins the random numbers anew.

    Results are a row per beat, a tile's last row first: the first of them
    ``config.array.latency + config.round_latency`` cycles behind `last`.

    Parameters
    ----------
    config : TrainingConfig

    Members
    -------
    i : stream of product_layout(config), always ready
    clip, bound : in
        Results become `bound` at most. They hold while there are any on their way.
    o : stream of word_layout(config), always ready
    """

    def __init__(self, config):
        self._config = config
        super().__init__(
            {
                "i": In(beats(product_layout(config))),
                "clip": In(1),
                "bound": In(signed(BITS)),
                "o": Out(beats(word_layout(config))),
            }
        )

    @property
    def config(self):
        return self._config

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.array = array = OutputStationaryArray(config.array)
        m.submodules.round = rounding = Round(config)
        step, taken = self.i.payload, self.i.valid
        ends = Signal()
        m.d.comb += [
            ends.eq(taken & step.last),
            # A cycle without a beat is a step of zeros.
            Cat(array.a).eq(Mux(taken, Cat(step.a), 0)),
            Cat(array.w).eq(Mux(taken, Cat(step.w), 0)),
            array.first.eq(taken & step.first),
            array.last.eq(ends),
        ]
        # What belongs to a fold follows its last step; it stays for all rows of the sums.
        facts = Cat(step.shift, step.relu, step.stochastic)
        token = Signal(1 + len(facts), name="token_0")
        m.d.comb += token.eq(Cat(ends, facts))
        token = delay(m, token, config.array.latency, "token")
        kept = Signal(len(facts), reset_less=True)
        present = Signal(len(facts))
        left = Signal(range(config.lanes))
        valid = Signal()
        m.d.comb += [
            present.eq(Mux(token[0], token[1:], kept)),
            valid.eq(token[0] | (left != 0)),
        ]
        with m.If(token[0]):
            m.d.sync += [kept.eq(token[1:]), left.eq(config.lanes - 1)]
        with m.Elif(left != 0):
            m.d.sync += left.eq(left - 1)
        m.d.comb += [
            rounding.i.eq(array.y),
            Cat(rounding.shift, rounding.relu, rounding.stochastic).eq(present),
            rounding.enable.eq(valid),
            rounding.load.eq(taken & step.load),
            rounding.seed.eq(step.seed),
            self.o.valid.eq(delay(m, valid, config.round_latency, "valid")),
        ]
        for lane in range(config.lanes):
            code = rounding.o[lane]
            above = self.clip & (code > self.bound)
            m.d.comb += self.o.payload[lane].eq(Mux(above, self.bound, code))
        return m


def mark_layout(config):
    """What is remembered of a window, in a lane: the winner, and whether it was positive."""
    return data.StructLayout({"winner": config.winner_bits, "positive": 1})


def marks_layout(config):
    """The same of all lanes."""
    return data.ArrayLayout(mark_layout(config), config.lanes)


def _counted(m, config, beat):
    """Number of a beat's value in its window; ``beat`` is a stream with `first` in its payload."""
    tap, following = Signal(config.winner_bits), Signal(config.winner_bits)
    m.d.comb += tap.eq(Mux(beat.payload.first, 0, following))
    with m.If(beat.valid):
        m.d.sync += following.eq(tap + 1)
    return tap


class WinnerPool(wiring.Component):
    """Maximum over the values of a window that come one after another, and which one it was.

    Of equal values the first wins; what lies outside of the map never does. A value per cycle; the
    result is there a cycle after the last.

    Parameters
    ----------
    config : TrainingConfig

    Members
    -------
    i : stream of {x: word_layout(config), outside, first, last}, always ready
    clip, bound : in
        A ReLU has that as its largest value. They hold while there are results on their way.
    o : stream of {value: word_layout(config), marks: marks_layout(config)}, always ready
        ``positive`` says whether a ReLU behind the pool, or before it, lets a gradient pass.
    """

    def __init__(self, config):
        self._config = config
        word = word_layout(config)
        i = data.StructLayout({"x": word, "outside": 1, "first": 1, "last": 1})
        o = data.StructLayout({"value": word, "marks": marks_layout(config)})
        super().__init__(
            {"i": In(beats(i)), "clip": In(1), "bound": In(signed(BITS)), "o": Out(beats(o))}
        )

    @property
    def config(self):
        return self._config

    def elaborate(self, platform):
        m = Module()
        config = self.config
        tap = _counted(m, config, self.i)
        m.d.sync += self.o.valid.eq(self.i.valid & self.i.payload.last)
        for lane in range(config.lanes):
            best = Signal(signed(BITS + 1), name=f"best_{lane}", reset_less=True)
            winner = Signal(config.winner_bits, name=f"winner_{lane}", reset_less=True)
            x = Mux(self.i.payload.outside, -(1 << BITS), self.i.payload.x[lane])
            with m.If(self.i.valid & (self.i.payload.first | (x > best))):
                m.d.sync += [best.eq(x), winner.eq(tap)]
            mark = self.o.payload.marks[lane]
            m.d.comb += [
                self.o.payload.value[lane].eq(best),
                mark.winner.eq(winner),
                mark.positive.eq((best > 0) & ~(self.clip & (best >= self.bound))),
            ]
        return m


class WinnerRoute(wiring.Component):
    """Gradients of a window's values: that of the maximum for the winner, zero for the others.

    With `relu`, zero for all where the maximum was not positive. A value per cycle, a cycle after
    its beat; all beats of a window have the same `dy` and `marks`. A window of one value is a ReLU
    on its own.

    Parameters
    ----------
    config : TrainingConfig

    Members
    -------
    i : stream of {dy: word_layout(config), marks: marks_layout(config), relu, first}, always ready
    o : stream of word_layout(config), always ready
    """

    def __init__(self, config):
        self._config = config
        word = word_layout(config)
        i = {"dy": word, "marks": marks_layout(config), "relu": 1, "first": 1}
        super().__init__({"i": In(beats(data.StructLayout(i))), "o": Out(beats(word))})

    @property
    def config(self):
        return self._config

    def elaborate(self, platform):
        m = Module()
        config = self.config
        tap = _counted(m, config, self.i)
        window = self.i.payload
        m.d.sync += self.o.valid.eq(self.i.valid)
        for lane in range(config.lanes):
            mark = window.marks[lane]
            passes = (mark.winner == tap) & (mark.positive | ~window.relu)
            m.d.sync += self.o.payload[lane].eq(Mux(passes, window.dy[lane], 0))
        return m


class Function(wiring.Component):
    """A function of a word, or a gradient times its slope; a word per cycle.

    ::

        x ──> table ──> y ──┬──> slope ──> × ──> + ──> round ──> o
         └───── x - middle of the entry ───┘     │
                            └────────────────────┘
        y ─────────────────────> slope ──> × ──> round ──> o        gradient
        x ─────────────────────────────────┘

    The slope of a sigmoid is ``y (1 - y)``, that of tanh ``(1 + y) (1 - y)``. Other functions have
    a table of slopes; for a gradient the slope is then y itself: this is a product.

    Parameters
    ----------
    config : TrainingConfig

    Members
    -------
    i : stream of {x: word_layout(config), y: word_layout(config)}, always ready
        Arguments; or gradients, and values, of sigmoid and tanh none above 1 or below -1.
    gradient, curve, shift, stochastic, load, seed : in
        They hold while words are on their way; the last four as of `Round`.
    write, write_slope, address, entry : in
        An entry of the tables of all lanes: of values, or of slopes from number `PLAIN` on; those
        of `Curve.tables`.
    o : stream of word_layout(config), always ready
        ``config.function_latency`` cycles later.
    """

    def __init__(self, config):
        self._config = config
        word = word_layout(config)
        super().__init__(
            {
                "i": In(beats(data.StructLayout({"x": word, "y": word}))),
                "gradient": In(1),
                "curve": In(config.curve_bits),
                "shift": In(SHIFT),
                "stochastic": In(1),
                "load": In(1),
                "seed": In(NOISE_BITS),
                "write": In(1),
                "write_slope": In(1),
                "address": In(INDEX_BITS + config.curve_bits),
                "entry": In(word),
                "o": Out(beats(word)),
            }
        )

    @property
    def config(self):
        return self._config

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.round = rounding = Round(config)
        inner = config.function_latency - config.round_latency
        valid = delay(m, self.i.valid, inner, "valid")
        m.d.comb += [
            rounding.enable.eq(valid),
            self.o.valid.eq(delay(m, valid, config.round_latency, "rounded")),
            self.o.payload.eq(rounding.o),
        ]
        for name in ("shift", "stochastic", "load", "seed"):
            m.d.comb += getattr(rounding, name).eq(getattr(self, name))
        one, low = 1 << VALUE_POINT, BITS - INDEX_BITS
        plain, tanh = self.curve[1:].any(), self.curve[0]
        for lane in range(config.lanes):
            x = self.i.payload.x[lane]
            found = []
            for name, enable, first in (
                ("value", self.write, 0),
                ("slope", self.write_slope, PLAIN),
            ):
                if config.functions == first:
                    found.append(Const(0, signed(BITS)))
                    continue
                depth = (config.functions - first) << INDEX_BITS
                table = Memory(shape=signed(BITS), depth=depth, init=[])
                m.submodules[f"{name}_{lane}"] = table
                read, write = table.read_port(), table.write_port()
                number = (self.curve - first)[: len(self.curve)]
                m.d.comb += [
                    read.addr.eq(Cat(x[low:], number)),
                    write.en.eq(enable),
                    write.addr.eq(self.address),
                    write.data.eq(self.entry[lane]),
                ]
                found.append(read.data)
            value, given = found

            def held(value, name, count=1, shape=None, lane=lane):
                for k in range(count):
                    value = register(m, value, f"{name}_{lane}_{k}", shape)
                return value

            apart = Mux(self.gradient, x, x[:low].as_unsigned() - (1 << (low - 1)))
            apart = held(apart, "apart", 4, signed(BITS))
            kept = held(self.i.payload.y[lane], "y")
            y = Mux(self.gradient, kept, value)
            # All that values of the functions need; the product of two is at most one.
            left = Mux(plain, Mux(self.gradient, kept, given), y + Mux(tanh, one, 0))
            left = held(left, "left", 1, signed(BITS + 1))
            right = held(Mux(plain, one, one - y), "right", 1, signed(BITS + 1))
            slope = held(left * right, "slope", 2, signed(2 * VALUE_POINT + 2))
            product = held(slope * apart, "product", 2)
            base = held(Mux(self.gradient, 0, y), "base", 5)
            total = held(product + (base << FUNCTION_SHIFT), "total", 1)
            m.d.comb += rounding.i[lane].eq(total)
        return m
