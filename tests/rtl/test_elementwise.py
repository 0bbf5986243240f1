# amaranth: UnusedElaboratable=no
"""Tables, sums and products are exact, and take the cycles that their configurations state."""

import random
from dataclasses import replace

import numpy as np
import pytest

from hwsim.blocks.elementwise import AddConfig, MulConfig, TableConfig
from hwsim.blocks.queue import QueueConfig
from hwsim.blocks.requantize import RequantizeConfig
from hwsim.blocks.stream import Frame
from hwsim.models.reference.integer import layer_output
from hwsim.network import integer
from hwsim.network.fixed_point import Requantize
from hwsim.network.integer import IntegerTensor
from hwsim.rtl.elementwise import Add, Mul, Table


def maps(frame, count, rng):
    return rng.integers(frame.minimum, frame.maximum + 1, (count, *frame.shape))


def draw_queue(draw):
    """A queue that is too shallow for full rate, the default, or one in block RAM."""
    return draw.choice([QueueConfig(1), QueueConfig(3), None, QueueConfig(65)])


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("seed", range(6))
def test_table(check_unit, seed, frames):
    rng, draw = np.random.default_rng(seed), random.Random(seed)
    lanes = draw.choice([1, 2, 3])
    frame = Frame(
        draw.randint(1, 4),
        draw.randint(1, 5),
        2 * lanes,
        lanes,
        draw.choice([2, 4, 8]),
        draw.random() < 0.5,
    )
    config = TableConfig(
        frame=frame, output_bits=draw.choice([1, 5, 8]), output_signed=draw.random() < 0.5
    )
    table = rng.integers(config.output.minimum, config.output.maximum + 1, 1 << frame.bits)
    codes = maps(frame, frames, rng)
    check_unit(
        Table(config, table, draw_queue(draw)),
        {"i": codes},
        table[codes - frame.minimum],
        seed=seed,
    )


@pytest.mark.parametrize("signed", [True, False])
def test_table_holds_every_code(check_unit, signed):
    frame = Frame(16, 16, 1, 1, 8, signed)
    codes = np.arange(frame.minimum, frame.maximum + 1).reshape(1, 1, 16, 16)
    check_unit(
        Table(TableConfig(frame=frame), np.arange(-128, 128)),
        {"i": codes},
        codes - frame.minimum - 128,
        seed=0,
    )


def test_table_of_wrong_shape():
    with pytest.raises(ValueError, match=r"^table must have the shape \(256,\), not \(255,\)$"):
        Table(TableConfig(frame=Frame(1, 1, 1, 1)), np.zeros(255, int))


def test_table_out_of_range():
    with pytest.raises(
        ValueError, match=r"^table must hold codes in \[-128, 127\], not \[0, 255\]$"
    ):
        Table(TableConfig(frame=Frame(1, 1, 1, 1)), np.arange(256))


def frame_of(tensor, lanes):
    channels, height, width = tensor.shape
    return Frame(height, width, channels, lanes, tensor.bits, tensor.signed)


def draw_tensor(draw, name, shape):
    tensor = IntegerTensor(name, shape, 1.0, 0, draw.choice([4, 8, 8, 16]), draw.random() < 0.5)
    low, high = tensor.minimum, tensor.maximum
    return replace(tensor, zero_point=draw.choice([low, high, 0, draw.randint(low, high)]))


def draw_shape(draw):
    lanes = draw.choice([1, 2, 3])
    return (lanes * draw.randint(1, 3), draw.randint(1, 4), draw.randint(1, 4)), lanes


def draw_codes(rng, tensor, frames):
    """Random codes, the first map at one extreme throughout, the last at the other."""
    codes = rng.integers(tensor.minimum, tensor.maximum + 1, (frames, *tensor.shape))
    if frames > 2:
        codes[0], codes[-1] = tensor.minimum, tensor.maximum
    return codes


@pytest.mark.parametrize("frames", [1, 4])
@pytest.mark.parametrize("seed", range(16))
def test_add(check_unit, seed, frames):
    rng, draw = np.random.default_rng(seed), random.Random(seed)
    shape, lanes = draw_shape(draw)
    tensors = {name: draw_tensor(draw, name, shape) for name in "abc"}
    multipliers = draw.choice(
        [(131071, 131071), (1, 65536), (3, 5), (70000, 99), (65536, 96), (0, 12)]
    )
    requantize = Requantize(
        [1],
        [draw.choice([0, 3, 17, 25])],
        tensors["c"].zero_point,
        tensors["c"].minimum,
        tensors["c"].maximum,
    )
    layer = integer.Add("add", ("a", "b"), "c", multipliers, requantize)
    config = AddConfig.for_layer(
        layer,
        [frame_of(tensors[name], lanes) for name in "ab"],
        [tensors["a"], tensors["b"]],
        tensors["c"],
    )
    codes = {name: draw_codes(rng, tensors[name], frames) for name in "ab"}
    unit = Add(
        config,
        multipliers,
        requantize,
        [tensors[name].zero_point for name in "ab"],
        draw_queue(draw),
    )
    check_unit(
        unit,
        {"i0": codes["a"], "i1": codes["b"]},
        layer_output(layer, codes.values(), tensors),
        seed=seed,
    )


@pytest.mark.parametrize("frames", [1, 4])
@pytest.mark.parametrize("vector", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_mul(check_unit, seed, vector, frames):
    rng, draw = np.random.default_rng(seed), random.Random(seed)
    shape, lanes = draw_shape(draw)
    tensors = {
        "a": draw_tensor(draw, "a", shape),
        "b": draw_tensor(draw, "b", (shape[0], 1, 1) if vector else shape),
        "c": draw_tensor(draw, "c", shape),
    }
    requantize = Requantize(
        [draw.choice([1, 131071, 65536, 3])],
        [draw.choice([0, 8, 17, 25])],
        tensors["c"].zero_point,
        tensors["c"].minimum + draw.choice([0, 10]),
        tensors["c"].maximum,
    )
    layer = integer.Mul("mul", ("a", "b"), "c", requantize)
    config = MulConfig.for_layer(
        layer,
        [frame_of(tensors[name], lanes) for name in "ab"],
        [tensors["a"], tensors["b"]],
        tensors["c"],
    )
    codes = {name: draw_codes(rng, tensors[name], frames) for name in "ab"}
    unit = Mul(config, requantize, [tensors[name].zero_point for name in "ab"], draw_queue(draw))
    check_unit(
        unit,
        {"i0": codes["a"], "i1": codes["b"]},
        layer_output(layer, codes.values(), tensors),
        seed=seed,
    )


@pytest.mark.parametrize("unit", [Add, Mul])
def test_one_multiplier_for_all_channels(unit):
    requantize = Requantize([3, 4], [1, 1], 0, -128, 127)
    frame = Frame(1, 1, 2, 1)
    settings = RequantizeConfig.of(requantize, accumulator_bits=18)
    with pytest.raises(ValueError, match=r"^requantize must have one multiplier, not 2$"):
        if unit is Add:
            Add(AddConfig(frames=(frame, frame), requantize=settings), (1, 1), requantize)
        else:
            Mul(MulConfig(frames=(frame, frame), requantize=settings), requantize)
