"""Argmax is NumPy's, ties included, and takes the cycles that its configuration states."""

import numpy as np
import pytest

from hwsim.blocks.argmax import ArgmaxConfig
from hwsim.blocks.stream import Frame
from hwsim.rtl.argmax import Argmax


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize(
    "height, width, channels, lanes",
    [
        (1, 1, 10, 1),
        (1, 1, 10, 2),
        (1, 1, 10, 5),
        (1, 1, 10, 10),
        (2, 3, 12, 3),
        (2, 2, 8, 8),
        (1, 2, 1, 1),
        (3, 1, 2, 1),
        (1, 1, 17, 17),
    ],
)
def test_argmax(check_unit, height, width, channels, lanes, signed, frames):
    seed = channels * lanes
    # Codes of three bits: ties in nearly every pixel, and both extremes.
    frame = Frame(height, width, channels, lanes, 3, signed)
    codes = np.random.default_rng(seed).integers(
        frame.minimum, frame.maximum + 1, (frames, *frame.shape)
    )
    config = ArgmaxConfig(frame=frame)
    check_unit(Argmax(config), {"i": codes}, codes.argmax(axis=1)[:, None], seed=seed)


def test_argmax_of_extremes(check_unit):
    codes = np.array([[-128, 127, 127, -128], [-128] * 4, [-128, -128, -127, -128]]).reshape(
        3, 4, 1, 1
    )
    config = ArgmaxConfig(frame=Frame(1, 1, 4, 2))
    check_unit(Argmax(config), {"i": codes}, np.array([1, 0, 2]).reshape(3, 1, 1, 1), seed=0)
