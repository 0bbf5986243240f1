"""From the accumulators of a unit's lanes to codes, where few multipliers serve all channels."""

from dataclasses import replace

from amaranth.hdl import Const, Signal

from .requantize import Requantize, multiply
from .unit import choose

__all__ = ["scale"]


def scale(m, config, values, requantize, index=None):
    """Codes of ``values`` (one signed value for each lane), ``config.latency`` cycles later.

    Parameters
    ----------
    config : RequantizeConfig
    requantize : hwsim.network.fixed_point.Requantize
        With a single multiplier unless an index is given.
    index : Signal, optional
        Which of its multipliers and shifts to use, for all lanes.
    """
    if index is None and config.multiplier_bits and config.shifts[0] == config.shifts[1]:
        # A constant factor is multiplied here, where synthesis sees that it is constant. Its
        # trailing zeros are a shift.
        factor, shift = int(requantize.multiplier[0]), int(requantize.shift[0])
        while factor % 2 == 0 and factor and shift:
            factor, shift = factor // 2, shift - 1
        width = config.accumulator_bits + factor.bit_length()
        values = [
            multiply(
                m,
                value,
                factor,
                f"product_{lane}",
                config.scale_latency,
                config.accumulator_bits,
            )
            for lane, value in enumerate(values)
        ]
        config = replace(config, accumulator_bits=width, multiplier_bits=0, shifts=(shift, shift))
    m.submodules.requantize = unit = Requantize(config, len(values))
    for lane, value in enumerate(values):
        m.d.comb += unit.i[lane].eq(value)
    if bits := config.factor_bits:
        factors = [Const(int(factor), bits) for factor in config.factors(requantize)]
        chosen = Signal(bits, name="multiplier")
        m.d.comb += chosen.eq(factors[0] if index is None else choose(index, factors))
        m.d.comb += [unit.multiplier[lane].eq(chosen) for lane in range(len(values))]
    return unit.o
