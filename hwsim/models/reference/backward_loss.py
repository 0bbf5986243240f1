"""Gradients of losses in exact integers, as the units of `hwsim.rtl.backward_loss` compute them."""

from math import isqrt

import numpy as np

from hwsim.blocks.backward_loss import FINE_BITS
from hwsim.network.fixed_point import round_half_even_shift

__all__ = ["cross_entropy_gradient", "rmse_gradient"]


def cross_entropy_gradient(config, logits, labels):
    """What `hwsim.rtl.backward_loss.CrossEntropyGradient` gives; ``labels`` (N, 1, H, W)."""
    below = logits.max(axis=1, keepdims=True) - logits
    upper = np.minimum(below >> config.fine_index_bits, len(config.coarse) - 1)
    lower = below & ((1 << config.fine_index_bits) - 1)
    powers = round_half_even_shift(config.coarse[upper] * config.fine[lower], FINE_BITS)
    quotients = (powers << (config.gradient_point + 1)) // powers.sum(axis=1, keepdims=True)
    hits = np.arange(config.frame.channels)[:, None, None] == labels
    return ((quotients + 1) >> 1) - (hits.astype(np.int64) << config.gradient_point)


def rmse_gradient(config, values, targets):
    """What `hwsim.rtl.backward_loss.RmseGradient` gives for values and ``targets``."""
    gradients = np.zeros_like(values)
    for gradient, difference in zip(gradients, values - targets, strict=True):
        total = difference.size * sum(int(d) ** 2 for d in difference.flat)
        for k, d in enumerate(int(d) for d in difference.flat):
            # Python's integers: the numerator has more than 64 bits.
            root = isqrt((d * d << config.quotient_point) // max(total, 1))
            gradient.flat[k] = (root + 1 >> 1) * (1 if d > 0 else -1)
    return gradients
