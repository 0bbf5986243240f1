"""Geometry and closed forms of the sliding window."""

import numpy as np
import pytest

from hwsim.blocks.stream import Frame
from hwsim.blocks.timing import Actor, Edge, evaluate
from hwsim.blocks.window import WindowConfig

MEMBERS = dict(frame=Frame(4, 5, 2, 1), kernel=(3, 3))


@pytest.mark.parametrize(
    ("members", "kind", "message"),
    [
        ({"kernel": (3, 0)}, ValueError, "kernel must be a positive integer, not 0"),
        ({"kernel": 3}, ValueError, "kernel must be a tuple of 2 integers, not 3"),
        (
            {"strides": (1, 1, 1)},
            ValueError,
            "strides must be a tuple of 2 integers, not (1, 1, 1)",
        ),
        ({"dilations": (1, 1.5)}, TypeError, "dilations must be an integer, not 1.5"),
        ({"pads": (0, -1, 0, 0)}, ValueError, "pads must be an integer of at least 0, not -1"),
        (
            {"pad_value": -129},
            ValueError,
            "pad_value must be an integer of at least -128, not -129",
        ),
        ({"pad_value": 128}, ValueError, "pad_value must be a code of at most 127, not 128"),
        ({"mode": "wrap"}, ValueError, 'mode must be "constant" or "edge", not \'wrap\''),
        (
            {"kernel": (5, 1)},
            ValueError,
            "kernel spans 5 x 1 pixels, more than the padded map's 4 x 5",
        ),
        (
            {"dilations": (1, 3), "pads": (0, 1, 0, 0)},
            ValueError,
            "kernel spans 3 x 7 pixels, more than the padded map's 4 x 6",
        ),
        (
            {"mode": "edge", "dilations": (1, 2)},
            ValueError,
            "dilations must be (1, 1) in mode edge, not (1, 2)",
        ),
        (
            {"mode": "edge", "pads": (0, 0, 3, 0)},
            ValueError,
            "pads must be smaller than the kernel (3, 3) in mode edge, not (0, 0, 3, 0)",
        ),
    ],
)
def test_impossible_configuration(members, kind, message):
    with pytest.raises(kind) as error:
        WindowConfig(**(MEMBERS | members))
    assert str(error.value) == message


def test_same_padding_takes_no_steps():
    """Padding that the kernel reaches needs no step: as many cycles as beats."""
    config = WindowConfig(frame=Frame(32, 32, 3, 3), kernel=(3, 3), pads=(1, 1, 1, 1))
    assert config.interval == config.steps == 32 * 32
    assert (config.first, config.tail) == (33, 33)
    assert config.output == Frame(32, 32, 27, 27)
    # First to last beat, 33 steps more for the last windows, and a cycle in the window register.
    assert config.cycles(1) == 32 * 32 + 33 + 1
    assert config.cycles(3) == 3 * 32 * 32 + 33 + 1


def test_padding_beyond_the_kernel_takes_steps():
    config = WindowConfig(frame=Frame(3, 4, 1, 1), kernel=(1, 1), pads=(1, 2, 1, 0))
    assert config.output.shape == (1, 5, 6)
    assert config.interval == 5 * 6


def test_pixel():
    """A single pixel under a 3 x 3 kernel: its window leaves two steps later, no overlap."""
    config = WindowConfig(frame=Frame(1, 1, 1, 1), kernel=(3, 3), pads=(1, 1, 1, 1))
    assert (config.first, config.steps, config.tail) == (2, 3, 0)


@pytest.mark.parametrize("seed", range(80))
def test_interval_held(seed):
    """The closed form equals what the timing model finds, however long each window is held."""
    rng = np.random.default_rng(seed)
    while True:
        kernel, strides, dilations = (
            tuple(map(int, rng.integers(1, high, 2))) for high in (5, 4, 3)
        )
        lanes, groups, hold = map(int, rng.integers(1, 5, 3))
        try:
            config = WindowConfig(
                frame=Frame(*map(int, rng.integers(1, 8, 2)), lanes * groups, lanes),
                kernel=kernel,
                strides=strides,
                dilations=dilations,
                pads=tuple(map(int, rng.integers(0, 4, 4))),
            )
        except ValueError:  # the kernel does not fit the map
            continue
        break
    (window,) = config.actors("window")
    count = config.output.beats
    assert window.puts.sum() + window.tail.sum() == count
    every = np.ones(count, bool)
    holder = Actor("holder", np.full(count, hold), {"i": every}, every)
    edges = (
        Edge(None, "window"),
        config.output_edge("window", "holder"),
        Edge("holder", None, capacity=4),
    )
    ends = evaluate((window, holder), edges, 6).sink.reshape(6, -1)[:, -1]
    assert ends[5] - ends[4] == config.interval_held(hold), f"seed {seed}, {config}, hold {hold}"
