"""From accumulators to codes: `hwsim.network.fixed_point.Requantize` as a pipeline."""

from itertools import pairwise

from amaranth.hdl import Const, Module, Mux, Shape, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hwsim.blocks.requantize import limbs

from .unit import reduce_tree, register
from .unused import discard

__all__ = ["Requantize", "multiply"]


class Requantize(wiring.Component):
    """Scales, rounds to nearest with ties to even (or down), adds the zero point, saturates.

    New inputs every cycle.

    Parameters
    ----------
    config : RequantizeConfig
    lanes : int

    Members
    -------
    i : in, ArrayLayout(signed(accumulator_bits), lanes)
    multiplier : in, ArrayLayout(unsigned(factor_bits), lanes)
        As of ``config.factors``; only if ``config.factor_bits``.
    o : out, ArrayLayout(code, lanes)
        ``config.latency`` cycles later.
    """

    def __init__(self, config, lanes):
        self._config = config
        self._lanes = lanes
        ports = {
            "i": In(data.ArrayLayout(signed(config.accumulator_bits), lanes)),
            "o": Out(data.ArrayLayout(Shape(config.bits, config.signed), lanes)),
        }
        if config.factor_bits:
            ports["multiplier"] = In(data.ArrayLayout(unsigned(config.factor_bits), lanes))
        super().__init__(ports)

    @property
    def config(self):
        return self._config

    @property
    def lanes(self):
        return self._lanes

    def elaborate(self, platform):
        m = Module()
        config = self.config
        dropped = []
        for lane in range(self.lanes):
            value = self.i[lane]
            if config.factor_bits:
                value = multiply(
                    m,
                    value,
                    self.multiplier[lane],
                    f"product_{lane}",
                    config.scale_latency,
                    config.accumulator_bits,
                )
            if config.rounding == "floor":
                dropped.append(value[: min(config.shifts[1], len(value) - 1)])
            rounded = _round(m, value, config, f"rounded_{lane}")
            code = Signal(Shape(config.bits, config.signed), name=f"code_{lane}", reset_less=True)
            m.d.sync += code.eq(_saturate(m, rounded, config, f"rounded_{lane}"))
            m.d.comb += self.o[lane].eq(code)
        if any(len(bits) for bits in dropped):
            discard(m, *dropped)
        return m


def multiply(m, value, factor, name, latency, accumulator_bits):
    """``value * factor`` so many cycles later: operands, partial products, their sums.

    Parameters
    ----------
    value : Value
        That fits ``accumulator_bits``, two's complement.
    factor : Value or int
        Not negative; a number where synthesis is to see that it is constant.
    latency : int
        At least what the partial products take.
    """
    constant = isinstance(factor, int)
    bits = factor.bit_length() if constant else len(factor)
    value = register(m, value, f"{name}_of", _signed(value, accumulator_bits))
    if not constant:
        factor = register(m, factor, f"{name}_by")
    terms = []
    for low, high in _parts(len(value)):
        left = value[low:high] if high < len(value) else value[low:].as_signed()
        for start, end in _parts(bits + 1):
            right = _part(factor, start, end) if constant else factor[start:end]
            if isinstance(right, Const) and right.value == 0:
                continue
            term = register(m, left * right, f"{name}_{low}_{start}")
            terms.append((low + start, term))
    if not terms:
        return Const(0, 1)
    terms.sort(key=lambda term: term[0])

    def hold(m, term, name):
        return term[0], register(m, term[1], name)

    _, product = reduce_tree(m, terms, _add_shifted, name, 1, hold)
    shape = signed(len(value) + bits)
    if len(product) > shape.width:
        product = product[: shape.width].as_signed()
    for k in range(latency - 2 - (len(terms) - 1).bit_length()):
        product = register(m, product, f"{name}_late_{k}")
    return product


def _signed(value, most):
    """The signed shape of a value, at most so many bits wide."""
    return signed(min(len(value) + (not value.shape().signed), most))


def _parts(bits):
    """(lowest bit, bit behind the highest) of each of the `limbs`."""
    return pairwise((*limbs(bits), bits))


def _part(factor, start, end):
    """Some bits of a constant, in as many bits as they need."""
    return Const((factor >> start) & ((1 << (end - start)) - 1))


def _add_shifted(low, high):
    """The sum of two terms, each with the weight of its lowest bit; ``low`` has the lower one."""
    (base, below), (start, above) = low, high
    return base, below + (above << (start - base))


def _round(m, value, config, name):
    """``value / 2**largest shift``, rounded, plus the zero point: registers for two cycles.

    The last one is reset, although nobody reads it then, so that the module's reset is not without
    effect.
    """
    shift = config.shifts[1]
    # At least one bit of the quotient, even if it is only copies of the sign.
    extended = Signal(signed(max(len(value), shift + 1)), name=f"{name}_of")
    m.d.comb += extended.eq(value)
    floor = extended[shift:].as_signed()
    up = Const(0, 1)
    if shift and config.rounding == "even":
        half, odd = extended[shift - 1], extended[shift]
        up = half & (extended[: shift - 1].any() | odd) if shift > 1 else half & odd
    limit = 1 << (len(floor) - 1)
    rounded = Signal(range(config.zero_point - limit, config.zero_point + limit + 1), name=name)
    floor = register(m, floor + config.zero_point, f"{name}_floor")
    m.d.sync += rounded.eq(floor + register(m, up, f"{name}_up"))
    return rounded


def _saturate(m, value, config, name):
    """``value`` of a cycle ago, held within the bounds of the code."""
    lowest, highest = _bounds(value.shape())
    code = register(m, value[: config.bits] if len(value) > config.bits else value, f"{name}_low")
    if highest > config.maximum:
        over = register(m, value > config.maximum, f"{name}_over")
        code = Mux(over, _code(config.maximum, config), code)
    if lowest < config.minimum:
        under = register(m, value < config.minimum, f"{name}_under")
        code = Mux(under, _code(config.minimum, config), code)
    return code


def _code(value, config):
    return Const(value & ((1 << config.bits) - 1), config.bits)


def _bounds(shape):
    """Smallest and largest value of a shape."""
    if shape.signed:
        return -(1 << (shape.width - 1)), (1 << (shape.width - 1)) - 1
    return 0, (1 << shape.width) - 1
