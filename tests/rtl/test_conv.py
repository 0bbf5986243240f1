"""Convolution and dense units: exact outputs, in exactly the cycles that the configuration states."""

import numpy as np
import pytest

from hwsim.blocks.conv import ConvConfig, DenseConfig
from hwsim.blocks.mac import signed_bits
from hwsim.blocks.requantize import RequantizeConfig
from hwsim.blocks.stream import Frame
from hwsim.network.fixed_point import Requantize
from hwsim.rtl.conv import Conv, Dense


def convolve(maps, config, weights, bias):
    """Accumulators (N, M, H, W), from first principles."""
    top, left, bottom, right = config.pads
    padded = np.pad(maps, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=config.pad_value)
    (kh, kw), (sh, sw), (dh, dw) = config.kernel, config.strides, config.dilations
    height = (padded.shape[2] - (kh - 1) * dh - 1) // sh + 1
    width = (padded.shape[3] - (kw - 1) * dw - 1) // sw + 1
    out = np.broadcast_to(bias[:, None, None], (len(maps), len(bias), height, width)).copy()
    per_group, out_per_group = weights.shape[1], len(weights) // config.groups
    for a in range(kh):
        for b in range(kw):
            rows, columns = a * dh + sh * np.arange(height), b * dw + sw * np.arange(width)
            pixels = padded[:, :, rows[:, None], columns]
            for g in range(config.groups):
                channels = slice(g * per_group, (g + 1) * per_group)
                outs = slice(g * out_per_group, (g + 1) * out_per_group)
                out[:, outs] += np.einsum("nchw,oc->nohw", pixels[:, channels], weights[outs, :, a, b])
    return out


def requantize_for(rng, accumulators, bits, signed, kind):
    """A `Requantize` that spreads ``accumulators`` (N, M, H, W) over the codes and somewhat beyond."""
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    spread = np.abs(accumulators).max(axis=(0, 2, 3)) + 1
    zero_point = int(rng.integers(low, high + 1))
    scales = 1.2 * (1 << bits) / 2 / spread * rng.uniform(0.5, 1, spread.shape)
    if kind == "one":
        return Requantize.from_scales(scales.min(), zero_point=zero_point, minimum=low, maximum=high)
    if kind == "apart":
        scales[0] = scales[0] / 1000
    return Requantize.from_scales(scales, zero_point=zero_point, minimum=max(low, zero_point), maximum=high)


def check_conv(check_unit, seed, *, weight_bits=8, extreme=False, requantized=True, kind="each", frames=2, **members):
    rng = np.random.default_rng(seed)
    frame = members["frame"]
    config = ConvConfig(weight_bits=weight_bits, **members)
    limit = 1 << (weight_bits - 1)
    shape = (config.out_channels, frame.channels // config.groups, *config.kernel)
    weights = rng.integers(-limit, limit, shape)
    bias = rng.integers(-1000, 1000, config.out_channels)
    maps = rng.integers(frame.minimum, frame.maximum + 1, (frames, *frame.shape))
    if extreme:
        weights[...] = -limit
        maps[...] = frame.minimum if frame.signed else frame.maximum
    expected = convolve(maps, config, weights, bias)
    requantize = None
    ends = np.stack([weights * frame.minimum, weights * frame.maximum]).reshape(2, len(weights), -1)
    bits = signed_bits((ends.min(axis=0).sum(axis=1) + bias).min(), (ends.max(axis=0).sum(axis=1) + bias).max())
    if requantized:
        out_bits, out_signed = (frame.bits, bool(rng.integers(2)))
        requantize = requantize_for(rng, expected, out_bits, out_signed, kind)
        form = RequantizeConfig.of(requantize, accumulator_bits=bits, bits=out_bits, signed=out_signed)
        config = ConvConfig(weight_bits=weight_bits, requantize=form, **members)
        expected = requantize.apply(expected)
    else:
        config = ConvConfig(weight_bits=weight_bits, accumulator_bits=bits, **members)
    check_unit(Conv(config, weights, bias, requantize), {"i": maps}, expected, seed=seed)
    return config


PLAIN = dict(frame=Frame(5, 6, 4, 2), out_channels=6, kernel=(3, 3), simd=6, pe=2, pads=(1, 1, 1, 1), pad_value=-3)
CASES = {
    "plain": {},
    "all at once": dict(frame=Frame(4, 4, 2, 2), simd=18, pe=6),
    "one multiplier": dict(frame=Frame(3, 3, 2, 1), out_channels=2, simd=1, pe=1),
    "accumulators": dict(requantized=False),
    "pointwise": dict(kernel=(1, 1), pads=(0, 0, 0, 0), simd=2),
    "pointwise, strided": dict(kernel=(1, 1), pads=(0, 0, 0, 0), strides=(2, 2), simd=1),
    "strided": dict(strides=(2, 1), pads=(0, 1, 1, 0)),
    "dilated": dict(dilations=(2, 2), pads=(2, 2, 2, 2)),
    "two groups": dict(groups=2, pe=3),
    "two groups in a beat": dict(frame=Frame(4, 4, 4, 4), groups=2, pe=3),
    "two groups in a beat, pe across both": dict(frame=Frame(4, 4, 4, 4), groups=2, pe=6, simd=9),
    "depthwise": dict(groups=4, out_channels=4, simd=3, frame=Frame(4, 5, 4, 1), pe=1),
    "depthwise, four lanes": dict(groups=4, out_channels=4, simd=9, frame=Frame(4, 5, 4, 4), pe=4),
    "depthwise, folded": dict(groups=4, out_channels=8, simd=3, frame=Frame(4, 5, 4, 4), pe=2),
    "one multiplier for all": dict(kind="one"),
    "different shifts": dict(kind="apart"),
    "unsigned": dict(frame=Frame(5, 4, 4, 2, 8, False), pad_value=128),
    "4-bit weights": dict(weight_bits=4),
    "2-bit weights": dict(weight_bits=2),
    "1-bit weights": dict(weight_bits=1),
    "16-bit codes": dict(frame=Frame(4, 4, 4, 2, 16, True)),
    "extreme": dict(extreme=True, pads=(0, 0, 0, 0)),
    "extreme, unsigned": dict(extreme=True, frame=Frame(4, 4, 4, 2, 8, False), pad_value=255),
    "pixel": dict(frame=Frame(1, 1, 4, 2)),
}


@pytest.mark.parametrize("case", CASES)
def test_conv(case, check_unit):
    check_conv(check_unit, seed=len(case), **(PLAIN | CASES[case]))
