"""What the streaming units of the backward pass compute, in exact integers.

Maps are int64, (N, C, H, W). Convolutions, and pools by maximum and sum, are those of
`hwsim.models.reference.backward`, which are exact on integers.
"""

import numpy as np

from hwsim.blocks.backward_update import SHIFT_BITS
from hwsim.blocks.training import NOISE_BITS
from hwsim.network.fixed_point import round_half_even_shift
from hwsim.network.integer import log_index

from .backward import conv_input_gradient, conv_weight_gradient, scatter, sum_pool_gradient
from .floating import lrn_axes, neighbour_sums, pad_maps, taps
from .training import noise, round_codes, slope

__all__ = [
    "activation_gradient",
    "combine",
    "input_gradient",
    "lrn_gradient",
    "max_pool",
    "pool_gradient",
    "rounding",
    "weight_gradient",
]


def rounding(config, sums, words):
    """What `hwsim.rtl.backward_update.Rounding` gives for ``sums``.

    Parameters
    ----------
    config : RoundingConfig or CombineConfig
    sums : ndarray, (N, C, H, W)
    words : sequence of int, (N,)
        A `rounding_word` for each frame.
    """
    frame = config.output
    codes = np.empty_like(sums)
    for k, word in enumerate(int(word) for word in words):
        shift, seed = word % (1 << SHIFT_BITS), word >> (SHIFT_BITS + 1)
        random = None
        if word >> SHIFT_BITS & 1:
            drawn = noise(seed % (1 << NOISE_BITS), frame.beats, frame.lanes)
            random = frame.from_beats(drawn)[0]
        codes[k] = round_codes(sums[k], shift, random)
    return codes


def combine(config, x, y, factors, words):
    """What `hwsim.rtl.backward_update.Combine` gives; ``factors`` (N, 2) and ``words`` by frame."""
    p, q = np.asarray(factors, np.int64).reshape(-1, 2).T[:, :, None, None, None]
    return rounding(config, p * x + q * y, words)


def input_gradient(config, weights, dy):
    """What `hwsim.rtl.backward_conv.ConvGradient` gives for gradients ``dy``."""
    shape = (len(dy), config.channels, *config.shape)
    return conv_input_gradient(_attributes(config), shape, np.asarray(weights, np.int64), dy)


def weight_gradient(config, maps, dy):
    """What `hwsim.rtl.backward_conv.WeightGradient` gives for batches: ports ``o`` and ``b``.

    Parameters
    ----------
    config : WeightGradientConfig
    maps, dy : ndarray, (N, C, H, W)
        ``config.batch`` of them for each batch.

    Returns
    -------
    (ndarray, ndarray)
        (N / batch, channels, 1, 1) each, of ``config.output`` and ``config.biases``.
    """
    sums = []
    for k in range(0, len(maps), config.batch):
        part = slice(k, k + config.batch)
        gradient = conv_weight_gradient(_attributes(config), maps[part], dy[part])
        sums.append(config.mac.in_word_order(gradient).reshape(-1, 1, 1))
    biases = dy.reshape(-1, config.batch, *dy.shape[1:]).sum(axis=(1, 3, 4))
    return np.stack(sums), biases[:, :, None, None] << config.bias_point


def _attributes(config):
    names = ("kernel", "strides", "dilations", "pads")
    return {name: getattr(config, name) for name in names} | {"group": config.groups}


def max_pool(config, maps):
    """What `hwsim.rtl.backward_pool.MaxPool` gives for ``maps``: maxima and winners."""
    attributes = _pool_attributes(config)
    padded, output = pad_maps(maps, attributes, np.iinfo(np.int64).min)
    views = np.stack(list(taps(padded, attributes, output)))
    return views.max(axis=0), views.argmax(axis=0)


def _pool_attributes(config):
    names = ("kernel", "strides", "dilations", "pads", "ceil_mode")
    return {name: getattr(config, name) for name in names}


def pool_gradient(config, winners, dy):
    """What `hwsim.rtl.backward_pool.PoolGradient` gives for gradients ``dy``, (N, C, H, W).

    ``winners``, of the same shape, for a maximum; None otherwise.
    """
    rows, columns = config.pool.tap_counts
    attributes = _pool_attributes(config)
    shape = (len(dy), *config.frame.shape)
    if config.kind == "max":
        parts = [np.where(winners == tap, dy, 0) for tap in range(config.window.taps)]
        return scatter(attributes, shape, parts, dy.dtype)
    if config.kind == "average":
        factors = dict(zip(config.counts, config.reciprocals, strict=True))
        dy = dy * np.array([[factors[r * c] for c in columns.tolist()] for r in rows.tolist()])
    return sum_pool_gradient(attributes, shape, dy)


def activation_gradient(config, y, dy):
    """What `hwsim.rtl.backward_activation.ActivationGradient` gives; ``y`` as its port takes it."""
    if config.kind == "relu":
        return np.where(y > 0, dy, 0)
    return dy * slope(y, 1 << config.point, tanh=config.kind == "tanh")


def lrn_gradient(config, x, dy):
    """What `hwsim.rtl.backward_lrn.LrnGradient` gives for gradients ``dy``."""
    axes, _ = lrn_axes({"within": config.within, "size": config.size}, x.ndim)
    before, after = (config.size - 1) // 2, config.size // 2
    index = log_index(neighbour_sums(x * x, axes, config.size, before), config.precision)
    shares = round_half_even_shift(dy * config.slope.codes[index] * x, config.share_shift)
    first, second = config.lifts
    direct = dy * config.scale.codes[index]
    return (direct << first) - (x * neighbour_sums(shares, axes, config.size, after) << second)
