"""Padding is NumPy's, and takes the cycles that its configuration states."""

import random

import numpy as np
import pytest

from hwsim.blocks.pad import PadConfig
from hwsim.blocks.stream import Frame
from hwsim.rtl.pad import Pad


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("mode", ["constant", "edge"])
@pytest.mark.parametrize("seed", range(6))
def test_pad(check_unit, seed, mode, frames):
    rng = random.Random(f"{mode} {seed}")
    lanes = rng.choice([1, 2])
    frame = Frame(
        rng.randint(1, 5),
        rng.randint(1, 5),
        lanes * rng.randint(1, 2),
        lanes,
        8,
        rng.random() < 0.5,
    )
    pads = tuple(rng.choice([0, 1, 2, 3]) for _ in range(4))
    value = rng.randint(frame.minimum, frame.maximum) if mode == "constant" else 0
    config = PadConfig(frame=frame, pads=pads, mode=mode, value=value)
    codes = np.random.default_rng(seed).integers(
        frame.minimum, frame.maximum + 1, (frames, *frame.shape)
    )
    top, left, bottom, right = pads
    widths = ((0, 0), (0, 0), (top, bottom), (left, right))
    fill = {"constant_values": value} if mode == "constant" else {}
    check_unit(Pad(config), {"i": codes}, np.pad(codes, widths, mode=mode, **fill), seed=seed)


def test_mode_that_is_not_there():
    with pytest.raises(ValueError, match=r'^mode must be "constant" or "edge", not \'reflect\'$'):
        PadConfig(frame=Frame(2, 2, 1, 1), pads=(1, 1, 1, 1), mode="reflect")
