# amaranth: UnusedElaboratable=no
"""Normalization is the reference's in every bit, in the cycles that its configuration states."""

import random
from dataclasses import replace

import numpy as np
import pytest

from hwsim.blocks.lrn import LRNConfig
from hwsim.blocks.requantize import RequantizeConfig
from hwsim.blocks.stream import Frame
from hwsim.models.reference.integer import layer_output
from hwsim.network import integer
from hwsim.network.fixed_point import MULTIPLIER_BITS, Requantize
from hwsim.network.integer import IntegerTensor, largest_square_sum, log_index
from hwsim.rtl.lrn import LRN


def draw_tensor(rng, name, shape):
    tensor = IntegerTensor(name, shape, 1.0, 0, rng.choice([2, 4, 8, 16]), rng.random() < 0.5)
    low, high = tensor.minimum, tensor.maximum
    return replace(tensor, zero_point=rng.choice([low, high, rng.randint(low, high)]))


def draw(seed, within, factor_bits=MULTIPLIER_BITS):
    """A layer, its tensors and the lanes of its unit."""
    rng = random.Random(seed)
    lanes = rng.choice([1, 2, 3])
    shape = (lanes * rng.randint(1, 4), rng.randint(1, 5), rng.randint(1, 5))
    source, target = (draw_tensor(rng, name, shape) for name in "xy")
    size, precision = rng.randint(1, 5 if within else 8), rng.choice([0, 1, 4, 5, 7, 10])
    entries = int(log_index(largest_square_sum(source, size, within), precision)) + 1
    table = np.random.default_rng(seed).integers(0, 1 << factor_bits, entries)
    shift = rng.randint(10, factor_bits + 7)
    bounds = sorted(rng.randint(target.minimum, target.maximum) for _ in range(2))
    if rng.random() < 0.5:
        bounds = target.minimum, target.maximum
    rescale = Requantize([1], [shift], target.zero_point, *bounds)
    layer = integer.LRN("lrn", ("x",), "y", size, precision, table, rescale, within)
    return layer, {"x": source, "y": target}, lanes


def draw_codes(tensor, frames, seed):
    """Random codes, many of them near zero; of several maps one is at an extreme."""
    rng = np.random.default_rng(seed)
    spread = 10.0 ** rng.uniform(-1, 2.5, (frames, *tensor.shape))
    codes = np.rint(rng.normal(0, spread)) + tensor.zero_point
    codes = np.clip(codes, tensor.minimum, tensor.maximum).astype(np.int64)
    if frames > 1:
        codes[-1] = rng.choice([tensor.minimum, tensor.maximum])
    return codes


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("seed", range(16))
@pytest.mark.parametrize("within", [False, True])
def test_lrn(check_unit, within, seed, frames):
    check(check_unit, seed, frames, draw(seed, within))


@pytest.mark.parametrize("bits", range(18, 40, 3))
def test_factors_wider_than_a_multiplier(check_unit, bits):
    layer, *others = draw(bits, bits % 2 == 0, bits)
    layer.table[-1] = (1 << bits) - 1
    check(check_unit, bits, 2, (layer, *others))


def check(check_unit, seed, frames, drawn):
    layer, tensors, lanes = drawn
    source, target = tensors.values()
    channels, height, width = source.shape
    frame = Frame(height, width, channels, lanes, source.bits, source.signed)
    config = LRNConfig.for_layer(layer, frame, source, target)
    assert config.interval == frame.beats
    codes = draw_codes(source, frames, seed)
    expected = layer_output(layer, [codes.astype(source.dtype)], tensors)
    check_unit(LRN(config, layer.table, layer.requantize), {"i": codes}, expected, seed=seed)


def members(**changes):
    """Arguments of a configuration with 8-bit codes."""
    scaling = RequantizeConfig(accumulator_bits=26, multiplier_bits=0)
    return dict(frame=Frame(2, 3, 4, 2), size=3, precision=4, requantize=scaling) | changes


REFUSED = [
    ({"size": 0}, "size must be a positive integer, not 0"),
    ({"factor_bits": 0}, "factor_bits must be a positive integer, not 0"),
    ({"precision": -1}, "precision must be an integer of at least 0, not -1"),
    ({"zero_point": 128}, "zero_point must lie in [-128, 127], not 128"),
    (
        {"requantize": RequantizeConfig(accumulator_bits=26)},
        "requantize must have the multiplier 1: the table carries the scale",
    ),
]


@pytest.mark.parametrize(("changes", "message"), REFUSED)
def test_init_wrong(changes, message):
    with pytest.raises(ValueError) as caught:
        LRNConfig(**members(**changes))
    assert str(caught.value) == message


def test_tables_that_do_not_fit():
    requantize = Requantize([1], [0], 0, -128, 127)
    config = LRNConfig(**members())
    table = np.zeros(config.entries, np.int64)
    for wrong, message in (
        (table[1:], rf"^table must have the shape \({len(table)},\), not \({len(table) - 1},\)$"),
        (table - 1, r"^table must hold factors in \[0, 131071\], not \[-1, -1\]$"),
    ):
        with pytest.raises(ValueError, match=message):
            LRN(config, wrong, requantize)
    narrow = LRNConfig(
        **members(requantize=RequantizeConfig(accumulator_bits=20, multiplier_bits=0))
    )
    with pytest.raises(ValueError, match=r"^accumulator_bits must be at least 25, not 20$"):
        LRN(narrow, table + 131071, requantize)
