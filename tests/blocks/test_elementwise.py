"""Tables, sums and products refuse what does not fit, and state their closed forms."""

import pytest

from hwsim.blocks.elementwise import AddConfig, MulConfig, TableConfig
from hwsim.blocks.requantize import RequantizeConfig
from hwsim.blocks.stream import Frame

FRAME = Frame(3, 4, 6, 2)
SCALED = RequantizeConfig(accumulator_bits=17, shifts=(20, 20))
SHIFTED = RequantizeConfig(accumulator_bits=26, multiplier_bits=0, shifts=(20, 20))


def test_table():
    config = TableConfig(frame=FRAME, output_bits=4, output_signed=False)
    assert config.output == Frame(3, 4, 6, 2, 4, False)
    assert (config.interval, config.latency) == (36, 1)
    assert config.cycles(3) == 3 * 36 + 2


def test_table_of_no_bits():
    with pytest.raises(ValueError, match=r"^output_bits must be a positive integer, not 0$"):
        TableConfig(frame=FRAME, output_bits=0)


def test_add():
    config = AddConfig(frames=(FRAME, FRAME), requantize=SHIFTED)
    assert config.output == FRAME
    assert (config.interval, config.latency) == (36, 4 + SHIFTED.latency)
    assert config.cycles(3) == 3 * 36 + config.latency + 1


def test_mul():
    config = MulConfig(frames=(FRAME, Frame(1, 1, 6, 2, 8, False)), requantize=SCALED)
    assert config.output == FRAME
    assert config.broadcast
    assert (config.interval, config.latency) == (36, 2 + SCALED.latency)
    assert config.cycles(3) == 3 * 36 + config.latency + 1
    assert not MulConfig(frames=(FRAME, FRAME), requantize=SCALED).broadcast


@pytest.mark.parametrize("config", [AddConfig, MulConfig])
@pytest.mark.parametrize(
    "other, message",
    [
        (Frame(2, 4, 6, 2), "height, not 3 and 2"),
        (Frame(3, 1, 6, 2), "width, not 4 and 1"),
        (Frame(3, 4, 8, 2), "channels, not 6 and 8"),
        (Frame(3, 4, 6, 3), "lanes, not 2 and 3"),
    ],
)
def test_frames_that_differ(config, other, message):
    with pytest.raises(ValueError, match=f"^frames must agree in {message}$"):
        config(frames=(FRAME, other), requantize=SCALED)


@pytest.mark.parametrize("config", [AddConfig, MulConfig])
def test_frames_that_are_not_two(config):
    with pytest.raises(ValueError, match=r"^frames must be two, not 3$"):
        config(frames=(FRAME,) * 3, requantize=SCALED)
