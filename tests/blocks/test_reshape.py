"""Forks, concats and resizes refuse what does not fit, and state their closed forms."""

import pytest

from hwsim.blocks.reshape import ConcatConfig, ForkConfig, ResizeConfig
from hwsim.blocks.stream import Frame


def test_fork():
    config = ForkConfig(frame=Frame(3, 4, 6, 2), outputs=2)
    assert (config.interval, config.latency, config.queue.depth) == (36, 0, 2)
    # A beat leaves the queue in the cycle after the one in which it entered.
    assert [config.cycles(frames) for frames in (1, 2)] == [37, 73]


@pytest.mark.parametrize("outputs", [0, 1])
def test_fork_with_too_few_outputs(outputs):
    with pytest.raises(
        ValueError, match=rf"^outputs must be an integer of at least 2, not {outputs}$"
    ):
        ForkConfig(frame=Frame(1, 1, 1, 1), outputs=outputs)


def test_concat():
    config = ConcatConfig(frames=[Frame(3, 4, 6, 2), Frame(3, 4, 2, 2)])
    assert config.output == Frame(3, 4, 8, 2)
    assert (config.interval, config.latency) == (48, 0)
    assert config.cycles(2) == 97


def test_concat_of_one():
    with pytest.raises(ValueError, match=r"^frames must be at least 2, not 1$"):
        ConcatConfig(frames=(Frame(1, 1, 1, 1),))


@pytest.mark.parametrize(
    "other, message",
    [
        (Frame(2, 4, 6, 2), "height, not 3 and 2"),
        (Frame(3, 5, 6, 2), "width, not 4 and 5"),
        (Frame(3, 4, 6, 3), "lanes, not 2 and 3"),
        (Frame(3, 4, 6, 2, 4), "bits, not 8 and 4"),
        (Frame(3, 4, 6, 2, 8, False), "signed, not True and False"),
    ],
)
def test_concat_of_frames_that_differ(other, message):
    with pytest.raises(ValueError, match=f"^frames must agree in {message}$"):
        ConcatConfig(frames=(Frame(3, 4, 6, 2), other))


@pytest.mark.parametrize("lanes, factor, interval", [(12, 6, 24), (2, 1, 24), (1, 2, 48)])
def test_resize(lanes, factor, interval):
    config = ResizeConfig(frame=Frame(2, 2, 12, 2), lanes=lanes)
    assert config.output == Frame(2, 2, 12, lanes)
    assert (config.factor, config.interval, config.latency) == (factor, interval, 0)
    # A wide beat is taken when its last part leaves, which is where the count of cycles starts.
    head = factor - 1 if lanes < 2 else 0
    assert config.cycles(2) == 2 * interval + 1 - head


def test_resize_by_a_fraction():
    with pytest.raises(ValueError, match=r"^lanes must be a multiple or a divisor of 4, not 6$"):
        ResizeConfig(frame=Frame(2, 2, 12, 4), lanes=6)


def test_resize_to_lanes_that_do_not_divide():
    with pytest.raises(ValueError, match=r"^lanes must divide channels \(12\), not 8$"):
        ResizeConfig(frame=Frame(2, 2, 12, 4), lanes=8)


def test_resize_to_no_lanes():
    with pytest.raises(ValueError, match=r"^lanes must be a positive integer, not 0$"):
        ResizeConfig(frame=Frame(2, 2, 12, 4), lanes=0)
