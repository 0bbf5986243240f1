"""Gradient of local response normalization, across channels or within one, as a stream."""

from operator import add

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.memory import Memory

from hwsim.blocks.backward_lrn import SHARE_BITS, TABLE_BITS
from hwsim.blocks.window import WindowConfig

from .backward_update import take_together
from .queue import CreditQueue
from .unit import Unit, beat_layout, choose, delay, reduce_tree, register
from .unused import discard
from .window import Window

__all__ = ["LrnGradient", "later", "round_even", "times"]


def _look_up(m, config, codes, tables):
    """Entries of ``tables`` for the sum of squares of ``codes``.

    ``config.lookup_latency`` cycles later; see `hwsim.network.integer.log_index`.
    """
    precision = config.precision
    squares = [
        register(m, (code * code)[: 2 * len(code) - 1], f"square_{k}")
        for k, code in enumerate(codes)
    ]
    total = reduce_tree(m, squares, add, "squares", config.TREE_LEVELS)
    largest = int(config.ends[1][-1])
    width = largest.bit_length()
    octaves = max(width - precision, 0)
    # The octave is how many of these bits there are up to the highest that is 1.
    high = Signal(range(octaves + 1), name="octave")
    number = Const(0, len(high))
    for k in range(octaves):
        number = Mux(total[precision + k], Const(k + 1, len(high)), number)
    m.d.sync += high.eq(number)
    total = register(m, total[:width], "total")
    parts = [total[:precision]] + [total[k : k + precision] for k in range(octaves)]
    index = Signal(range(len(config.ends[0])), name="index")
    m.d.sync += index.eq(Cat(choose(high, parts), high))
    for name, table in tables.items():
        m.submodules[name] = memory = Memory(
            shape=TABLE_BITS, depth=len(table.codes), init=table.codes.tolist()
        )
        read = memory.read_port()
        m.d.comb += read.addr.eq(index)
        yield register(m, read.data, f"{name}_entry")


def times(m, left, right, name, bits=None):
    """The product two cycles later, or its lowest ``bits``, unsigned."""
    product = left * right if bits is None else (left * right)[:bits]
    return register(m, register(m, product, name), f"{name}_late")


def later(m, value, cycles, name):
    """``value`` so many cycles later; not reset, unlike `delay`."""
    for k in range(cycles):
        value = register(m, value, f"{name}_{k}")
    return value


class LrnGradient(Unit):
    """Gradient of local response normalization for its input.

    ::

        i, x ──> window ──> tables ──> d s**-beta, x, d x slope ──> queue ──┐
                                                                            │
            ┌───────────────────────────────────────────────────────────────┘
            └──> window ──> adder tree ──> × x ──> difference ──> queue ──> o

    Parameters
    ----------
    config : LrnGradientConfig
    queue : QueueConfig, optional

    Members
    -------
    i, o : stream
        Codes of gradients; sums.
    x : stream
        What was normalized.
    """

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.pairs = pairs = Window(config.windows[0], late=WindowConfig.LATE)
        m.submodules.shares = shares = CreditQueue(beat_layout(config.shares), config.share_queue)
        m.submodules.window = window = Window(config.windows[1], late=WindowConfig.LATE)
        m.submodules.queue = queue = CreditQueue(beat_layout(config.output), self.queue)
        wiring.connect(m, shares.o, window.i)
        wiring.connect(m, wiring.flipped(self.o), queue.o)
        take_together(m, [(port, Const(1), Const(1)) for port in (self.i, self.x)], pairs.i.ready)
        m.d.comb += [
            pairs.i.valid.eq(self.i.valid & self.x.valid),
            Value.cast(pairs.i.payload).eq(Cat(self.i.payload, self.x.payload)),
        ]
        for source, end, latency, name in (
            (pairs, shares, config.share_latency, "share"),
            (window, queue, config.latency, "sum"),
        ):
            m.d.comb += [
                source.o.ready.eq(end.room),
                end.issue.eq(source.o.valid & end.room),
                end.i_valid.eq(delay(m, end.issue, latency, name)),
            ]

        bits = config.frame.bits
        codes = [pairs.o.payload[tap][bits:].as_signed() for tap in range(config.windows[0].taps)]
        scale, slope = _look_up(m, config, codes, {"scale": config.scale, "slope": config.slope})
        own = pairs.o.payload[config.centres[0]]
        gradient = later(m, own[:bits].as_signed(), config.lookup_latency, "gradient")
        code = later(m, own[bits:].as_signed(), config.lookup_latency, "code")
        direct = later(m, times(m, gradient, scale, "direct"), 3, "direct_later")
        late = later(m, code, 2, "code_later")
        share = times(m, times(m, gradient, slope, "steep"), late, "share")
        share = register(m, round_even(share, config.share_shift), "share_code", signed(SHARE_BITS))
        m.d.comb += Value.cast(shares.i_payload).eq(
            Cat(direct, later(m, late, 3, "code_last"), share)
        )

        wide = len(direct)
        taps = [window.o.payload[tap] for tap in range(config.windows[1].taps)]
        total = reduce_tree(
            m,
            [tap[wide + bits :].as_signed() for tap in taps],
            add,
            "total",
            config.TREE_LEVELS,
        )
        own = taps[config.centres[1]]
        # Of the other places a window needs some bits only.
        spare = [
            tap[:used]
            for source, centre, used in zip(
                (pairs, window), config.centres, (bits, wide + bits), strict=True
            )
            for k, tap in enumerate(source.o.payload)
            if k != centre
        ]
        if spare:
            discard(m, *spare)
        depth = config.tree_latency
        code = later(m, own[wide : wide + bits].as_signed(), depth, "own_code")
        shared = times(m, code, total, "shared")
        direct = later(m, own[:wide].as_signed(), depth + config.PRODUCT_LATENCY, "own_direct")
        lifts = config.lifts
        m.d.comb += queue.i_payload[0].eq(
            register(m, (direct << lifts[0]) - (shared << lifts[1]), "difference")
        )
        return m


def round_even(value, shift):
    """``value / 2**shift`` to nearest with ties to even."""
    if shift == 0:
        return value
    rest = value[: shift - 1].any() if shift > 1 else Const(0)
    return value[shift:].as_signed() + (value[shift - 1] & (rest | value[shift]))
