"""Fixed-point requantization: the one place where its number format and rounding rule are written.

An integer accumulator ``a`` becomes an output code ``q`` by::

    q = clip(round_half_even(a * multiplier / 2**shift) + zero_point, minimum, maximum)

``multiplier`` is a positive integer of at most `MULTIPLIER_BITS` bits and ``shift`` a non-negative
integer, both per channel. The form (integer multiplier, right shift) is that of Jacob et al.,
"Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", CVPR
2018, section 2.2. Rounding is to nearest with ties to even, because ONNX's QuantizeLinear,
QLinearConv and QLinearMatMul round that way; with power-of-two scales ties are common, so that any
other rule would differ visibly. 17 bits and a sign fill the narrower operand of the 25 x 18 and 18
x 18 bit multipliers in today's FPGAs.

Image filters (`hwsim.network.filters`) round down instead, as pictures are usually computed::

    q = clip(floor(a * multiplier / 2**shift) + zero_point, minimum, maximum)
"""

from dataclasses import dataclass

import numpy as np

__all__ = [
    "MULTIPLIER_BITS",
    "ROUNDINGS",
    "Requantize",
    "check_rounding",
    "common_multipliers",
    "round_half_even_shift",
]

MULTIPLIER_BITS = 17
# A channel's multiplier keeps at least this many significant bits: 255 output steps / 2**(12 + 1)
# is 1/32 of a step.
MINIMUM_PRECISION_BITS = 12
MAXIMUM_SHIFT = 47
# To nearest with ties to even, or down.
ROUNDINGS = ("even", "floor")


def round_half_even_shift(value, shift):
    """Divide integers by ``2**shift``, rounding to nearest with ties to even.

    ``value`` and ``shift`` are integer arrays that broadcast; the result is int64.
    """
    value = np.asarray(value, np.int64)
    shift = np.asarray(shift, np.int64)
    floor = value >> shift
    remainder = value - (floor << shift)
    half = np.where(shift > 0, np.int64(1) << np.maximum(shift - 1, 0), 1)
    up = (remainder > half) | ((remainder == half) & ((floor & 1) == 1))
    return floor + np.where(shift > 0, up, 0)


def common_multipliers(scales):
    """Return the integers ``multipliers / 2**shift`` nearest to real factors, with one shift.

    The largest multiplier fills `MULTIPLIER_BITS` bits. Returns (ndarray of int64, int).

    Raises
    ------
    ValueError
        If a factor is negative, not finite, or 2**MULTIPLIER_BITS or more.
    """
    scales = np.atleast_1d(np.asarray(scales, np.float64))
    if not np.all(np.isfinite(scales)) or np.any(scales < 0):
        raise ValueError(f"scales must be finite and not negative, not {scales.tolist()}")
    largest = scales.max()
    # frexp: largest = m * 2**e with m in [0.5, 1), so that largest * 2**(BITS - e) lies in
    # [2**(BITS - 1), 2**BITS).
    shift = min(MULTIPLIER_BITS - int(np.frexp(largest)[1]), MAXIMUM_SHIFT)
    if np.rint(np.ldexp(largest, shift)) >= 1 << MULTIPLIER_BITS:
        shift -= 1
    if shift < 0:
        raise ValueError(f"scales must stay below 2**{MULTIPLIER_BITS}, not {largest}")
    return np.rint(np.ldexp(scales, shift)).astype(np.int64), shift


def check_rounding(rounding):
    """Refuse (ValueError) what is not in `ROUNDINGS`."""
    if rounding not in ROUNDINGS:
        raise ValueError(f'rounding must be "even" or "floor", not {rounding!r}')


@dataclass(frozen=True, eq=False)
class Requantize:
    """Fixed-point scaling of an accumulator to an output code.

    Parameters
    ----------
    multiplier : ndarray of int64, shape (channels,) or (1,)
        In ``[0, 2**MULTIPLIER_BITS)``.
    shift : ndarray of int64, same shape
        In ``[0, MAXIMUM_SHIFT]``. Equal for all channels wherever the range of scales allows it,
        which saves the hardware a barrel shifter.
    zero_point : int
        Added after rounding.
    minimum, maximum : int
        Bounds of the output code; a fused ReLU or Clip narrows them.
    rounding : str
        "even", or "floor".
    """

    multiplier: np.ndarray
    shift: np.ndarray
    zero_point: int
    minimum: int
    maximum: int
    rounding: str = "even"

    def __post_init__(self):
        for name in ("multiplier", "shift"):
            array = np.array(getattr(self, name), np.int64).reshape(-1)
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        if self.multiplier.shape != self.shift.shape:
            raise ValueError(
                "multiplier and shift must have the same shape, "
                f"not {self.multiplier.shape} and {self.shift.shape}"
            )
        if self.multiplier.min() < 0 or self.multiplier.max() >= 1 << MULTIPLIER_BITS:
            raise ValueError(
                f"multiplier must lie in [0, 2**{MULTIPLIER_BITS}), not {self.multiplier.tolist()}"
            )
        if self.shift.min() < 0 or self.shift.max() > MAXIMUM_SHIFT:
            raise ValueError(f"shift must lie in [0, {MAXIMUM_SHIFT}], not {self.shift.tolist()}")
        if self.minimum > self.maximum:
            raise ValueError(
                f"minimum must not exceed maximum, not {self.minimum} > {self.maximum}"
            )
        check_rounding(self.rounding)

    @classmethod
    def from_scales(cls, scales, *, zero_point, minimum, maximum):
        """Return the nearest fixed-point form of the real factors ``scales``, (channels,)."""
        scales = np.atleast_1d(np.asarray(scales, np.float64))
        if not np.all(np.isfinite(scales)) or np.any(scales < 0):
            raise ValueError(f"scales must be finite and not negative, not {scales.tolist()}")
        # frexp: scale = m * 2**e with m in [0.5, 1), so that scale * 2**(BITS - e) lies in
        # [2**(BITS-1), 2**BITS).
        exponent = np.frexp(scales)[1]
        limit = np.clip(MULTIPLIER_BITS - exponent, 0, MAXIMUM_SHIFT)
        limit = np.where(np.rint(np.ldexp(scales, limit)) >= 1 << MULTIPLIER_BITS, limit - 1, limit)
        used = scales > 0
        common = limit[used].min() if used.any() else 0
        precise = limit - common <= MULTIPLIER_BITS - MINIMUM_PRECISION_BITS
        shift = np.where(precise | ~used, common, limit)
        multiplier = np.rint(np.ldexp(scales, shift)).astype(np.int64)
        if shift.min() < 0 or multiplier.max() >= 1 << MULTIPLIER_BITS:
            raise ValueError(f"scales must stay below 2**{MULTIPLIER_BITS}, not {scales.max()}")
        return cls(multiplier, shift, zero_point, minimum, maximum)

    @property
    def uniform_shift(self):
        """Whether one shift serves all channels."""
        return bool(np.all(self.shift == self.shift[0]))

    def apply(self, accumulator, axis=1):
        """Requantize integers of any shape; ``axis`` is the channel axis. Returns int64."""
        accumulator = np.asarray(accumulator, np.int64)
        shape = [1] * accumulator.ndim
        if self.multiplier.size > 1:
            shape[axis] = self.multiplier.size
        product = accumulator * self.multiplier.reshape(shape)
        shift = self.shift.reshape(shape)
        floor = self.rounding == "floor"
        rounded = product >> shift if floor else round_half_even_shift(product, shift)
        return np.clip(rounded + self.zero_point, self.minimum, self.maximum)
