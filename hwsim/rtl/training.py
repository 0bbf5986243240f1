"""Hardware that trains: matrix products with rounding, and pools with their winners."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hwsim.blocks.training import NOISE_BITS, noise_offset

from .queue import Queue
from .systolic.array import OutputStationaryArray
from .unit import delay

__all__ = ["MatrixProduct", "Round", "WinnerPool", "WinnerRoute", "winner_bits"]

SHIFT = unsigned(6)


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
    i : in, ArrayLayout(signed(accumulator_bits), cols)
    shift : in, 0 to 32
    stochastic, relu, enable : in
        Of the row at `i`; `enable` is high for a row that counts.
    load, seed : in
        Lane ``k`` begins with ``seed ^ noise_offset(k)``.
    o : out, ArrayLayout(signed(bits), cols)
        ``config.round_latency`` cycles later.
    """

    def __init__(self, config):
        self._config = config
        super().__init__(
            {
                "i": In(data.ArrayLayout(signed(config.accumulator_bits), config.cols)),
                "shift": In(SHIFT),
                "stochastic": In(1),
                "relu": In(1),
                "enable": In(1),
                "load": In(1),
                "seed": In(NOISE_BITS),
                "o": Out(data.ArrayLayout(signed(config.bits), config.cols)),
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
        m.d.comb += ones.eq((Const(1, NOISE_BITS + 1) << self.shift) - 1)
        for lane in range(config.cols):
            noise = Signal(NOISE_BITS, name=f"noise_{lane}", init=noise_offset(lane))
            with m.If(self.load):
                m.d.sync += noise.eq(self.seed ^ noise_offset(lane))
            with m.Elif(self.enable & self.stochastic):
                m.d.sync += noise.eq(_xorshift(m, noise, lane))
            value = self.i[lane]
            odd = Signal(name=f"odd_{lane}")
            m.d.comb += odd.eq(value >> self.shift)
            even = (ones >> 1) + (odd & ones[0])
            drawn = Signal(NOISE_BITS, name=f"drawn_{lane}")
            m.d.comb += drawn.eq((noise << self.shift) >> NOISE_BITS)
            held = _later(m, value, f"held_{lane}")
            addend = _later(m, Mux(self.stochastic, drawn, even), f"addend_{lane}")
            total = _later(m, held + addend, f"total_{lane}")
            rounded = _later(m, total >> shift, f"rounded_{lane}")
            high, low = (1 << (config.bits - 1)) - 1, -(1 << (config.bits - 1))
            code = Signal(signed(config.bits), name=f"code_{lane}", reset_less=True)
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


def _later(m, value, name):
    later = Signal(value.shape(), name=name, reset_less=True)
    m.d.sync += later.eq(value)
    return later


def product_layout(config):
    """A step of a fold: operands of all rows and columns, and what becomes of the sums."""
    return data.StructLayout(
        {
            "a": data.ArrayLayout(signed(config.bits), config.rows),
            "w": data.ArrayLayout(signed(config.bits), config.cols),
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
    """Matrix products in tiles of ``rows`` × ``cols``, rounded to codes.

    ::

        i ──> output-stationary array ──> round ──> queue ──> o

    A beat is a step of a fold; `last` of two folds are ``rows`` beats or more apart, for which
    beats of zeros serve. `shift`, `relu` and `stochastic` count in the beat with `last`. A beat
    with `load`, which comes when all results have left, begins the random numbers anew.

    Results are a row per beat, a tile's last row first.

    Parameters
    ----------
    config : TrainingConfig

    Members
    -------
    i : stream of product_layout(config)
    o : stream of ArrayLayout(signed(bits), cols)
    """

    def __init__(self, config):
        self._config = config
        super().__init__(
            {
                "i": In(stream.Signature(product_layout(config))),
                "o": Out(stream.Signature(data.ArrayLayout(signed(config.bits), config.cols))),
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
        m.submodules.queue = queue = Queue(self.o.payload.shape(), config.queue)
        wiring.connect(m, wiring.flipped(self.o), queue.o)

        step = self.i.payload
        taken, ends, leaves = Signal(), Signal(), Signal()
        # Rows in the queue and on their way to it.
        owed = Signal(range(config.queue.depth + 1))
        m.d.comb += [
            self.i.ready.eq(owed <= config.queue.depth - config.rows),
            taken.eq(self.i.valid & self.i.ready),
            ends.eq(taken & step.last),
            leaves.eq(self.o.valid & self.o.ready),
            # A cycle without a beat is a step of zeros.
            Cat(array.a).eq(Mux(taken, Cat(step.a), 0)),
            Cat(array.w).eq(Mux(taken, Cat(step.w), 0)),
            array.first.eq(taken & step.first),
            array.last.eq(ends),
        ]
        m.d.sync += owed.eq(owed + Mux(ends, config.rows, 0) - leaves)

        # What belongs to a fold follows its last step; it stays for all rows of the sums.
        facts = Cat(step.shift, step.relu, step.stochastic)
        token = delay(m, _named(m, Cat(ends, facts), "token"), config.array.latency, "token")
        kept = Signal(len(facts), reset_less=True)
        present = Signal(len(facts))
        left = Signal(range(config.rows + 1))
        m.d.comb += present.eq(Mux(token[0], token[1:], kept))
        valid = Signal()
        m.d.comb += valid.eq(token[0] | (left != 0))
        with m.If(token[0]):
            m.d.sync += [kept.eq(token[1:]), left.eq(config.rows - 1)]
        with m.Elif(left != 0):
            m.d.sync += left.eq(left - 1)
        m.d.comb += [
            rounding.i.eq(array.y),
            Cat(rounding.shift, rounding.relu, rounding.stochastic).eq(present),
            rounding.enable.eq(valid),
            rounding.load.eq(taken & step.load),
            rounding.seed.eq(step.seed),
            queue.i.valid.eq(delay(m, valid, config.round_latency, "valid")),
            queue.i.payload.eq(rounding.o),
        ]
        return m


def _named(m, value, name):
    signal = Signal(len(value), name=f"{name}_0")
    m.d.comb += signal.eq(value)
    return signal


def winner_bits(config):
    """Bits of the number of a tap."""
    return max(1, (config.taps - 1).bit_length())


def pooled_layout(config):
    """What a pool says about a window, and remembers of it, for each lane."""
    return data.StructLayout(
        {
            "value": data.ArrayLayout(signed(config.bits), config.cols),
            "winner": data.ArrayLayout(unsigned(winner_bits(config)), config.cols),
            "positive": data.ArrayLayout(unsigned(1), config.cols),
        }
    )


class WinnerPool(wiring.Component):
    """Maximum over the values of a window that come one after another, and which one it was.

    Of equal values the first wins. A value per cycle; the result is there a cycle after the last.

    Parameters
    ----------
    config : TrainingConfig

    Members
    -------
    i : stream of {x: ArrayLayout(signed(bits), cols), last}
    o : stream of pooled_layout(config)
        ``positive`` says whether a ReLU behind the pool, or before it, lets a gradient pass.
    """

    def __init__(self, config):
        self._config = config
        value = data.ArrayLayout(signed(config.bits), config.cols)
        super().__init__(
            {
                "i": In(stream.Signature(data.StructLayout({"x": value, "last": 1}))),
                "o": Out(stream.Signature(pooled_layout(config))),
            }
        )

    @property
    def config(self):
        return self._config

    def elaborate(self, platform):
        m = Module()
        config = self.config
        tap = Signal(winner_bits(config))
        taken = Signal()
        result = self.o.payload
        m.d.comb += [
            self.i.ready.eq(~self.o.valid | self.o.ready),
            taken.eq(self.i.valid & self.i.ready),
        ]
        with m.If(taken):
            m.d.sync += [
                tap.eq(Mux(self.i.payload.last, 0, tap + 1)),
                self.o.valid.eq(self.i.payload.last),
            ]
        with m.Elif(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        for lane in range(config.cols):
            best = Signal(signed(config.bits), name=f"best_{lane}", reset_less=True)
            winner = Signal(winner_bits(config), name=f"winner_{lane}", reset_less=True)
            x = self.i.payload.x[lane]
            with m.If(taken & ((tap == 0) | (x > best))):
                m.d.sync += [best.eq(x), winner.eq(tap)]
            m.d.comb += [
                result.value[lane].eq(best),
                result.winner[lane].eq(winner),
                result.positive[lane].eq(best > 0),
            ]
        return m


def route_layout(config):
    """A window's gradient and what was remembered of it."""
    return data.StructLayout(
        {
            "dy": data.ArrayLayout(signed(config.bits), config.cols),
            "winner": data.ArrayLayout(unsigned(winner_bits(config)), config.cols),
            "positive": data.ArrayLayout(unsigned(1), config.cols),
            "relu": 1,
            "last_tap": winner_bits(config),
        }
    )


class WinnerRoute(wiring.Component):
    """Gradients of a window's values: that of the maximum for the winner, zero for the others.

    With `relu`, zero for all where the maximum was not positive. A value per cycle; the first a
    cycle after the window. A window of one value is a ReLU on its own.

    Parameters
    ----------
    config : TrainingConfig

    Members
    -------
    i : stream of route_layout(config)
    o : stream of ArrayLayout(signed(bits), cols)
    """

    def __init__(self, config):
        self._config = config
        super().__init__(
            {
                "i": In(stream.Signature(route_layout(config))),
                "o": Out(stream.Signature(data.ArrayLayout(signed(config.bits), config.cols))),
            }
        )

    @property
    def config(self):
        return self._config

    def elaborate(self, platform):
        m = Module()
        config = self.config
        window = Signal(route_layout(config))
        tap = Signal(winner_bits(config))
        ends = Signal()
        m.d.comb += [
            ends.eq(tap == window.last_tap),
            self.i.ready.eq(~self.o.valid | (self.o.ready & ends)),
        ]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += tap.eq(Mux(ends, 0, tap + 1))
            with m.If(ends):
                m.d.sync += self.o.valid.eq(0)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [window.eq(self.i.payload), self.o.valid.eq(1)]
        for lane in range(config.cols):
            passes = (window.winner[lane] == tap) & (window.positive[lane] | ~window.relu)
            m.d.comb += self.o.payload[lane].eq(Mux(passes, window.dy[lane], 0))
        return m
