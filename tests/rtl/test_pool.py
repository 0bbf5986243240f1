# amaranth: UnusedElaboratable=no
"""Pooling is exact at borders and extremes, and takes the cycles that its configuration states."""

import random

import numpy as np
import pytest

from hwsim.blocks.pool import GlobalPoolConfig, PoolConfig
from hwsim.blocks.stream import Frame
from hwsim.models.reference.integer import layer_output
from hwsim.network import integer
from hwsim.network.integer import IntegerTensor
from hwsim.network.windows import output_size
from hwsim.rtl.pool import GlobalPool, Pool


def draw_layer(rng, kind):
    """A pooling layer, its input and output tensors, and the lanes of its unit."""
    lanes = rng.choice([1, 2, 3])
    signed = rng.random() < 0.5
    shape = (lanes * rng.randint(1, 3), rng.randint(1, 7), rng.randint(1, 7))
    while True:
        kernel, strides, dilations = (tuple(rng.randint(1, 3) for _ in range(2)) for _ in range(3))
        pads = tuple(rng.randint(0, kernel[k % 2] - 1) for k in range(4))
        ceil_mode = rng.random() < 0.5
        size = tuple(
            output_size(shape[1 + k], kernel[k], strides[k], dilations[k], pads[k], pads[k + 2], ceil_mode)
            for k in range(2)
        )
        if min(size) > 0:
            break
    zero_point = rng.randint(-128, 127) if signed else rng.randint(0, 255)
    source = IntegerTensor("x", shape, 1.0, zero_point, 8, signed)
    target = IntegerTensor("y", (shape[0], *size), 1.0, zero_point, 8, signed)
    layer = integer.Pool("pool", ("x",), "y", kind, kernel, strides, dilations, pads, ceil_mode)
    return layer, source, target, lanes


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("seed", range(20))
def test_max_pool(check_unit, seed, frames):
    layer, source, target, lanes = draw_layer(random.Random(seed), "max")
    channels, height, width = source.shape
    config = PoolConfig.for_layer(layer, Frame(height, width, channels, lanes, 8, source.signed), source, target)
    codes = np.random.default_rng(seed).integers(source.minimum, source.maximum + 1, (frames, *source.shape))
    expected = layer_output(layer, [codes], {"x": source, "y": target})
    check_unit(Pool(config), {"i": codes}, expected, seed=seed)


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("lanes", [1, 2, 4])
@pytest.mark.parametrize("height, width", [(1, 1), (1, 3), (4, 3)])
def test_global_max_pool(check_unit, height, width, lanes, frames):
    seed = height * width * lanes
    frame = Frame(height, width, 4, lanes, 8, lanes != 2)
    codes = np.random.default_rng(seed).integers(frame.minimum, frame.maximum + 1, (frames, *frame.shape))
    config = GlobalPoolConfig(frame=frame, kind="max", output_signed=frame.signed)
    check_unit(GlobalPool(config), {"i": codes}, codes.max(axis=(2, 3), keepdims=True), seed=seed)
