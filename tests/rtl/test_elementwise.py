# amaranth: UnusedElaboratable=no
"""Tables, sums and products of codes are exact, and take the cycles that their configurations state."""

import random

import numpy as np
import pytest

from hwsim.blocks.elementwise import TableConfig
from hwsim.blocks.stream import Frame
from hwsim.rtl.elementwise import Table


def maps(frame, count, rng):
    return rng.integers(frame.minimum, frame.maximum + 1, (count, *frame.shape))


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("seed", range(6))
def test_table(check_unit, seed, frames):
    rng, draw = np.random.default_rng(seed), random.Random(seed)
    lanes = draw.choice([1, 2, 3])
    frame = Frame(draw.randint(1, 4), draw.randint(1, 5), 2 * lanes, lanes, draw.choice([2, 4, 8]), draw.random() < 0.5)
    config = TableConfig(frame=frame, output_bits=draw.choice([1, 5, 8]), output_signed=draw.random() < 0.5)
    table = rng.integers(config.output.minimum, config.output.maximum + 1, 1 << frame.bits)
    codes = maps(frame, frames, rng)
    check_unit(Table(config, table), {"i": codes}, table[codes - frame.minimum], seed=seed)


@pytest.mark.parametrize("signed", [True, False])
def test_table_holds_every_code(check_unit, signed):
    frame = Frame(16, 16, 1, 1, 8, signed)
    codes = np.arange(frame.minimum, frame.maximum + 1).reshape(1, 1, 16, 16)
    check_unit(Table(TableConfig(frame=frame), np.arange(-128, 128)), {"i": codes}, codes - frame.minimum - 128, seed=0)


def test_table_of_wrong_shape():
    with pytest.raises(ValueError, match=r"^table must have the shape \(256,\), not \(255,\)$"):
        Table(TableConfig(frame=Frame(1, 1, 1, 1)), np.zeros(255, int))


def test_table_out_of_range():
    with pytest.raises(ValueError, match=r"^table must hold codes in \[-128, 127\], not \[0, 255\]$"):
        Table(TableConfig(frame=Frame(1, 1, 1, 1)), np.arange(256))
