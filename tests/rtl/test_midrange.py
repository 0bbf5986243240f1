"""The middle of a pixel's channels, in the cycles that its configuration states."""

import numpy as np
import pytest

from hwsim.blocks.midrange import MidrangeConfig
from hwsim.blocks.stream import Frame
from hwsim.rtl.midrange import Midrange


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_midrange(check_unit, channels, signed, frames):
    frame = Frame(2, 3, channels, channels, 4, signed)
    codes = np.random.default_rng(channels).integers(
        frame.minimum, frame.maximum + 1, (frames, *frame.shape)
    )
    codes[0, :, 0, :2] = [[frame.minimum, frame.maximum]]
    codes[0, 0, 0, :2] = [frame.maximum, frame.minimum]
    expected = [
        (int(max(p)) + int(min(p))) // 2 for p in codes.transpose(0, 2, 3, 1).reshape(-1, channels)
    ]
    check_unit(
        Midrange(MidrangeConfig(frame=frame)),
        {"i": codes},
        np.array(expected).reshape(frames, 1, 2, 3),
        seed=channels,
    )


def test_pixel_in_several_beats():
    with pytest.raises(ValueError, match=r"^lanes must be all 4 channels of a pixel, not 2$"):
        MidrangeConfig(frame=Frame(2, 2, 4, 2))
