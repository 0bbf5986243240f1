"""Widths and latency of the hardware that scales accumulators to codes."""

from dataclasses import dataclass

from hwsim.network.fixed_point import MAXIMUM_SHIFT, MULTIPLIER_BITS, check_rounding

from .checks import check_integer, check_positive
from .tree import tree_latency

__all__ = ["RequantizeConfig", "limbs", "product_latency"]

# So many bits of an int64 hold a factor that is not negative.
FACTOR_BITS = 63
# Bits, with sign, of the operands that one multiplier of an FPGA takes (ECP5).
MULTIPLIER_WIDTH = 18


def limbs(bits):
    """Lowest bits of the parts of a signed operand of so many bits, each for one multiplier.

    The uppermost part is as wide as a multiplier takes, and so are the unsigned ones below it, with
    a bit less; the lowest one is what remains.
    """
    starts = range(bits - MULTIPLIER_WIDTH, 0, 1 - MULTIPLIER_WIDTH)
    return (0, *reversed(starts))


def product_latency(bits, factor_bits):
    """Cycles of the multiplication of a signed value by a factor that is not negative."""
    return 2 + tree_latency(len(limbs(bits)) * len(limbs(factor_bits + 1)), 1)


@dataclass(frozen=True, kw_only=True)
class RequantizeConfig:
    """Scaling as `hwsim.network.fixed_point.Requantize` defines it, for a width of accumulators.

    Parameters
    ----------
    accumulator_bits : int
        Width of the accumulator, two's complement.
    multiplier_bits : int
        Width of the multiplier, without sign; 0 where the multiplier is always 1.
    shifts : (int, int)
        Smallest and largest shift. Multipliers of smaller shifts are shifted to the left
        beforehand, so that the hardware always shifts by the largest one.
    zero_point, minimum, maximum : int
        As in `Requantize`.
    bits : int
        Width of the code.
    signed : bool
        Whether the code is two's complement.
    rounding : str
        As in `Requantize`.

    Members
    -------
    factor_bits : int
        Width of a multiplier that was shifted; 0 where nothing is multiplied.
    scale_latency : int
        Cycles of the multiplication: operands, partial products, and their sum; 0 without one.
    latency : int
        Cycles from accumulators (and their multipliers) to codes: those of the multiplication, and
        four more for direction, rounding, comparison with the bounds, and saturation.
    """

    accumulator_bits: int
    multiplier_bits: int = MULTIPLIER_BITS
    shifts: tuple[int, int] = (0, 0)
    zero_point: int = 0
    minimum: int = -128
    maximum: int = 127
    bits: int = 8
    signed: bool = True
    rounding: str = "even"

    def __post_init__(self):
        check_rounding(self.rounding)
        check_positive("accumulator_bits", self.accumulator_bits)
        check_integer("multiplier_bits", self.multiplier_bits, 0)
        check_positive("bits", self.bits)
        if self.multiplier_bits > MULTIPLIER_BITS:
            raise ValueError(
                f"multiplier_bits must be at most {MULTIPLIER_BITS}, not {self.multiplier_bits}"
            )
        if not 0 <= self.shifts[0] <= self.shifts[1] <= MAXIMUM_SHIFT:
            raise ValueError(f"shifts must rise within [0, {MAXIMUM_SHIFT}], not {self.shifts}")
        if self.factor_bits > FACTOR_BITS:
            raise ValueError(
                f"shifts must differ by at most {FACTOR_BITS - self.multiplier_bits}, not "
                f"{self.shifts[0]}, {self.shifts[1]}"
            )
        low, high = (
            (-(1 << (self.bits - 1)), (1 << (self.bits - 1)) - 1)
            if self.signed
            else (0, (1 << self.bits) - 1)
        )
        if not low <= self.minimum <= self.maximum <= high:
            raise ValueError(
                f"minimum and maximum must rise within [{low}, {high}], "
                f"not {self.minimum}, {self.maximum}"
            )

    @classmethod
    def of(cls, requantize, *, accumulator_bits, bits=8, signed=True):
        """The narrowest configuration for a `Requantize`."""
        multiplier = requantize.multiplier
        return cls(
            accumulator_bits=accumulator_bits,
            multiplier_bits=0
            if (multiplier == 1).all()
            else int(multiplier.max()).bit_length() or 1,
            shifts=(int(requantize.shift.min()), int(requantize.shift.max())),
            zero_point=requantize.zero_point,
            minimum=requantize.minimum,
            maximum=requantize.maximum,
            bits=bits,
            signed=signed,
            rounding=requantize.rounding,
        )

    def check(self, requantize):
        """Refuse (ValueError) a `Requantize` that this hardware cannot carry out."""
        for name in ("zero_point", "minimum", "maximum", "rounding"):
            if getattr(requantize, name) != getattr(self, name):
                raise ValueError(
                    f"{name} must be {getattr(self, name)} as configured, "
                    f"not {getattr(requantize, name)}"
                )
        multiplier, shift = requantize.multiplier, requantize.shift
        highest = (1 << self.multiplier_bits) - 1 if self.multiplier_bits else 1
        if multiplier.max() > highest or (not self.multiplier_bits and multiplier.min() < 1):
            raise ValueError(
                f"multiplier must have {self.multiplier_bits} bits as configured, "
                f"not {multiplier.tolist()}"
            )
        if shift.min() < self.shifts[0] or shift.max() > self.shifts[1]:
            raise ValueError(
                f"shift must lie in {list(self.shifts)} as configured, not {shift.tolist()}"
            )

    def factors(self, requantize):
        """The multipliers of ``requantize`` as int64, such that the largest shift serves all."""
        self.check(requantize)
        return requantize.multiplier << (self.shifts[1] - requantize.shift)

    @property
    def factor_bits(self):
        """Width of what `factors` returns; 0 where nothing is multiplied."""
        apart = self.shifts[1] - self.shifts[0]
        if not apart:
            return self.multiplier_bits
        return apart + max(self.multiplier_bits, 1)

    @property
    def scale_latency(self):
        """Cycles of the multiplication."""
        if not self.factor_bits:
            return 0
        return product_latency(self.accumulator_bits, self.factor_bits)

    @property
    def latency(self):
        """Cycles from accumulators to codes."""
        return self.scale_latency + 4
