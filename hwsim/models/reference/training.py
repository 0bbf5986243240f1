"""What the hardware that trains computes, in exact integers: `TrainingConfig` says which.

Sums become codes by ``clip(round(sum / 2**shift))``, to nearest with ties to even, or
stochastically: ``floor((sum + r) / 2**shift)`` with ``r`` the top ``shift`` bits of a random number
of 32 bits. Random numbers depend on the lane, a seed for each product, and on how many rows were
rounded before: rows leave the array a tile at a time, the last row first.
"""

from collections import Counter
from typing import Protocol

import numpy as np

from hwsim.blocks.training import NOISE_BITS, TrainingConfig, noise_offset
from hwsim.network.fixed_point import round_half_even_shift

__all__ = ["Reference", "Units", "noise", "round_codes"]

# Products that a sum in float64 can hold exactly, with operands of 16 bits.
EXACT_DEPTH = 1 << 22


class Units(Protocol):
    """Hardware that trains, simulated or as a reference.

    Members
    -------
    config : TrainingConfig
    cycles : Counter of str to int
        Spent so far, by kind of work.
    """

    config: TrainingConfig
    cycles: Counter

    def product(self, kind, a, b, *, shift, relu=False, seed=None):
        """Codes of ``a @ b``, (M, K) and (K, N); ``seed`` for stochastic rounding."""

    def combine(self, kind, x, p, y, q, *, shift, seed=None):
        """Codes of ``p * x + q * y`` for arrays (n,) and numbers ``p`` and ``q``."""

    def pool(self, kind, windows):
        """Maxima of (n, taps), which tap it was, whether it is positive: (n,) each."""

    def route(self, kind, dy, winner, positive, taps, *, relu):
        """Gradients (n, taps) of windows, from those of their maxima, (n,)."""


def round_codes(sums, shift, bits, random=None):
    """Codes of ``bits`` bits for sums; ``random`` are numbers of 32 bits, of the same shape."""
    if random is None:
        rounded = round_half_even_shift(sums, shift)
    else:
        rounded = (sums + (np.asarray(random, np.int64) >> (NOISE_BITS - shift))) >> shift
    limit = 1 << (bits - 1)
    return np.clip(rounded, -limit, limit - 1)


def _xorshift(state):
    state = state ^ (state << np.uint32(13))
    state = state ^ (state >> np.uint32(17))
    return state ^ (state << np.uint32(5))


class _Leap:
    """Many steps of the generator at once: it is linear, so that a step is a sum of bits."""

    def __init__(self):
        bits = np.uint32(1) << np.arange(NOISE_BITS, dtype=np.uint32)
        self._images = [_xorshift(bits)]

    def apply(self, level, states):
        """``states`` after ``2**level`` steps."""
        while len(self._images) <= level:
            last = len(self._images) - 1
            self._images.append(self.apply(last, self._images[last]))
        images = self._images[level]
        result = np.zeros_like(states)
        for bit, image in enumerate(images):
            result ^= np.where(states >> np.uint32(bit) & np.uint32(1), image, np.uint32(0))
        return result


_LEAP = _Leap()


def noise(seed, rows, lanes):
    """Random numbers, uint32 (rows, lanes), that begin with ``seed``."""
    states = np.array([[seed ^ noise_offset(lane) for lane in range(lanes)]], np.uint32)
    level = 0
    while len(states) < rows:
        states = np.concatenate([states, _LEAP.apply(level, states)])
        level += 1
    return states[:rows]


class Reference:
    """`Units` in NumPy, with the cycles that the hardware would take.

    Parameters
    ----------
    config : TrainingConfig
    """

    def __init__(self, config):
        self.config = config
        self.cycles: Counter[str] = Counter()

    def product(self, kind, a, b, *, shift, relu=False, seed=None):
        """As `Units.product`."""
        config = self.config
        depth = a.shape[1]
        self.cycles[kind] += config.cycles(config.product_folds(len(a), depth, b.shape[1]))
        if config.bits <= 16 and depth < EXACT_DEPTH:
            sums = (a.astype(np.float64) @ b.astype(np.float64)).astype(np.int64)
        else:
            sums = a.astype(np.int64) @ b.astype(np.int64)
        random = None if seed is None else self._tiles(seed, *sums.shape)
        codes = round_codes(sums, shift, config.bits, random)
        return np.maximum(codes, 0) if relu else codes

    def _tiles(self, seed, rows, cols):
        """Random numbers of a product's sums, (rows, cols)."""
        config = self.config
        down, across = -(-rows // config.rows), -(-cols // config.cols)
        drawn = noise(seed, down * across * config.rows, config.cols)
        tiles = drawn.reshape(down, across, config.rows, config.cols)[:, :, ::-1]
        whole = tiles.swapaxes(1, 2).reshape(down * config.rows, across * config.cols)
        return whole[:rows, :cols]

    def combine(self, kind, x, p, y, q, *, shift, seed=None):
        """As `Units.combine`."""
        config = self.config
        self.cycles[kind] += config.cycles(config.combine_folds(len(x)))
        sums = x.astype(np.int64) * p + y.astype(np.int64) * q
        random = None
        if seed is not None:
            tiles = -(-len(x) // (config.rows * config.cols))
            drawn = noise(seed, tiles * config.rows, config.cols)
            drawn = drawn.reshape(tiles, config.rows, config.cols)[:, ::-1]
            random = drawn.reshape(-1)[: len(x)]
        return round_codes(sums, shift, config.bits, random)

    def pool(self, kind, windows):
        """As `Units.pool`."""
        config = self.config
        count, taps = windows.shape
        self.cycles[kind] += config.pool_cycles(-(-count // config.cols), taps)
        winner = windows.argmax(axis=1)
        value = windows[np.arange(count), winner]
        return value, winner, (value > 0).astype(np.int64)

    def route(self, kind, dy, winner, positive, taps, *, relu):
        """As `Units.route`."""
        config = self.config
        self.cycles[kind] += config.route_cycles(-(-len(dy) // config.cols), taps)
        passes = winner[:, None] == np.arange(taps)
        if relu:
            passes &= positive[:, None] > 0
        return np.where(passes, dy[:, None], 0)
