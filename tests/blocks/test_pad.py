"""Padding on its own refuses what does not fit, and states its closed forms."""

import pytest

from hwsim.blocks.pad import PadConfig
from hwsim.blocks.stream import Frame

FRAME = Frame(3, 4, 6, 2)


@pytest.mark.parametrize("mode", ["constant", "edge"])
def test_pad(mode):
    config = PadConfig(frame=FRAME, pads=(1, 2, 0, 3), mode=mode)
    assert config.output == Frame(4, 9, 6, 2)
    assert config.interval >= config.output.beats
    assert config.cycles(4) - config.cycles(3) == config.interval


def test_value_that_is_no_code():
    with pytest.raises(ValueError, match=r"^pad_value must be a code of at most 127, not 128$"):
        PadConfig(frame=FRAME, pads=(1, 1, 1, 1), value=128)


def test_mode_that_is_not_there():
    with pytest.raises(ValueError, match=r'^mode must be "constant" or "edge", not \'reflect\'$'):
        PadConfig(frame=FRAME, pads=(1, 1, 1, 1), mode="reflect")


def test_negative_pads():
    with pytest.raises(ValueError, match=r"^pads must be an integer of at least 0, not -1$"):
        PadConfig(frame=FRAME, pads=(-1, 0, 0, 0))
