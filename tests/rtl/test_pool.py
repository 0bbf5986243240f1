# amaranth: UnusedElaboratable=no
"""Pooling is exact at borders and extremes, and takes the cycles that its configuration states."""

import random
from dataclasses import replace

import numpy as np
import pytest

from hwsim.blocks.pool import GlobalPoolConfig, PoolConfig
from hwsim.blocks.queue import QueueConfig
from hwsim.blocks.requantize import RequantizeConfig
from hwsim.blocks.stream import Frame
from hwsim.models.reference.integer import layer_output
from hwsim.network import integer
from hwsim.network.fixed_point import Requantize
from hwsim.network.integer import IntegerTensor
from hwsim.network.windows import output_size
from hwsim.rtl.pool import GlobalPool, Pool


def draw_layer(rng, kind, whole=False):
    """A pooling layer, its input and output tensors, and the lanes of its unit."""
    lanes = rng.choice([1, 2, 3])
    signed = rng.random() < 0.5
    shape = (lanes * rng.randint(1, 3), rng.randint(1, 7), rng.randint(1, 7))
    while True:
        if whole:
            kernel, strides, dilations, pads, ceil_mode = (
                shape[1:],
                (1, 1),
                (1, 1),
                (0, 0, 0, 0),
                False,
            )
        else:
            kernel, strides, dilations = (
                tuple(rng.randint(1, 3) for _ in range(2)) for _ in range(3)
            )
            pads = tuple(rng.randint(0, kernel[k % 2] - 1) for k in range(4))
            ceil_mode = rng.random() < 0.5
        include = rng.random() < 0.5
        size = tuple(
            output_size(
                shape[1 + k], kernel[k], strides[k], dilations[k], pads[k], pads[k + 2], ceil_mode
            )
            for k in range(2)
        )
        if min(size) == 0:
            continue
        source = draw_tensor(rng, "x", shape, signed)
        layer = integer.Pool(
            "pool", ("x",), "y", kind, kernel, strides, dilations, pads, ceil_mode, include
        )
        counts = np.unique(layer.window_counts(source, size)).tolist()
        if 0 not in counts or kind == "max":
            break
    if kind == "max":
        target = replace(source, name="y", shape=(shape[0], *size))
        return layer, source, target, lanes
    target = draw_tensor(rng, "y", (shape[0], *size), rng.random() < 0.5)
    counts = (1,) if kind == "sum" else tuple(rng.sample(counts, len(counts)))
    requantize = Requantize.from_scales(
        rng.choice([0.01, 0.3, 1.0]) / np.array(counts),
        zero_point=target.zero_point,
        minimum=target.minimum,
        maximum=target.maximum,
    )
    layer = integer.Pool(
        "pool",
        ("x",),
        "y",
        kind,
        kernel,
        strides,
        dilations,
        pads,
        ceil_mode,
        include,
        counts,
        requantize,
    )
    return layer, source, target, lanes


def draw_tensor(rng, name, shape, signed):
    tensor = IntegerTensor(name, shape, 1.0, 0, rng.choice([4, 8, 8, 16]), signed)
    low, high = tensor.minimum, tensor.maximum
    return replace(tensor, zero_point=rng.choice([low, high, 0, rng.randint(low, high)]))


def draw_codes(tensor, frames, seed):
    """Random codes; of several maps the first is at one extreme, the last at the other."""
    codes = np.random.default_rng(seed).integers(
        tensor.minimum, tensor.maximum + 1, (frames, *tensor.shape)
    )
    if frames > 1:
        codes[0], codes[-1] = tensor.minimum, tensor.maximum
    return codes


def frame_of(tensor, lanes):
    channels, height, width = tensor.shape
    return Frame(height, width, channels, lanes, tensor.bits, tensor.signed)


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("kind", ["max", "average", "sum"])
def test_pool(check_unit, kind, seed, frames):
    layer, source, target, lanes = draw_layer(random.Random(f"{kind} {seed}"), kind)
    config = PoolConfig.for_layer(layer, frame_of(source, lanes), source, target)
    codes = draw_codes(source, frames, seed)
    expected = layer_output(layer, [codes], {"x": source, "y": target})
    queue = random.Random(seed).choice([QueueConfig(1), None, QueueConfig(66)])
    unit = Pool(config, layer.requantize, None if kind == "max" else layer.counts, queue)
    check_unit(unit, {"i": codes}, expected, seed=seed)


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", ["max", "average", "sum"])
def test_global_pool(check_unit, kind, seed, frames):
    layer, source, target, lanes = draw_layer(random.Random(f"{kind} {seed}"), kind, whole=True)
    config = GlobalPoolConfig.for_layer(layer, frame_of(source, lanes), source, target)
    codes = draw_codes(source, frames, seed)
    expected = layer_output(layer, [codes], {"x": source, "y": target})
    check_unit(GlobalPool(config, layer.requantize), {"i": codes}, expected, seed=seed)


def average(requantize, **changes):
    settings = RequantizeConfig.of(requantize, accumulator_bits=12)
    return PoolConfig(
        frame=Frame(4, 4, 1, 1),
        kind="average",
        kernel=(2, 2),
        pads=(1, 1, 0, 0),
        requantize=settings,
        **changes,
    )


def test_requantize_of_a_maximum():
    requantize = Requantize([1], [0], 0, -128, 127)
    with pytest.raises(ValueError, match=r"^requantize must be None for a maximum$"):
        Pool(PoolConfig(frame=Frame(4, 4, 1, 1), kind="max", kernel=(2, 2)), requantize)


def test_no_requantize_of_an_average():
    requantize = Requantize([3, 2, 1], [0, 0, 0], 0, -128, 127)
    with pytest.raises(
        TypeError, match=r"^requantize must be a Requantize for the kind average, not None$"
    ):
        Pool(average(requantize))


def test_multipliers_do_not_match_counts():
    requantize = Requantize([3, 2], [0, 0], 0, -128, 127)
    with pytest.raises(
        ValueError, match=r"^requantize must have 3 multipliers, one for each count, not 2$"
    ):
        Pool(average(requantize), requantize)


def test_count_is_missing():
    requantize = Requantize([3, 2], [0, 0], 0, -128, 127)
    with pytest.raises(ValueError, match=r"^counts must contain 2, not only 1, 4$"):
        Pool(average(requantize), requantize, (1, 4))
