"""From accumulators to codes: `hwsim.network.fixed_point.Requantize` as a pipeline."""

from amaranth.hdl import Const, Module, Mux, Shape, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .unused import discard

__all__ = ["Requantize"]


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
                operand = _register(m, value, f"operand_{lane}")
                factor = _register(m, self.multiplier[lane], f"factor_{lane}")
                value = _register(m, operand * factor, f"product_{lane}")
            if config.rounding == "floor":
                dropped.append(value[: min(config.shifts[1], len(value) - 1)])
            rounded = _round(m, value, config, f"rounded_{lane}")
            code = Signal(Shape(config.bits, config.signed), name=f"code_{lane}", reset_less=True)
            m.d.sync += code.eq(_saturate(rounded, config))
            m.d.comb += self.o[lane].eq(code)
        if any(len(bits) for bits in dropped):
            discard(m, *dropped)
        return m


def _register(m, value, name):
    later = Signal(value.shape(), name=name, reset_less=True)
    m.d.sync += later.eq(value)
    return later


def _round(m, value, config, name):
    """``value / 2**largest shift``, rounded, plus the zero point: a register.

    It is reset, although nobody reads it then, so that the module's reset is not without effect.
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
    m.d.sync += rounded.eq(floor + config.zero_point + up)
    return rounded


def _saturate(value, config):
    """``value`` held within the bounds of the code."""
    lowest, highest = _bounds(value.shape())
    code = value[: config.bits] if len(value) > config.bits else value
    if highest > config.maximum:
        code = Mux(value > config.maximum, _code(config.maximum, config), code)
    if lowest < config.minimum:
        code = Mux(value < config.minimum, _code(config.minimum, config), code)
    return code


def _code(value, config):
    return Const(value & ((1 << config.bits) - 1), config.bits)


def _bounds(shape):
    """Smallest and largest value of a shape."""
    if shape.signed:
        return -(1 << (shape.width - 1)), (1 << (shape.width - 1)) - 1
    return 0, (1 << shape.width) - 1
