"""Pools refuse what does not fit, and state their closed forms."""

import pytest

from hwsim.blocks.pool import GlobalPoolConfig, PoolConfig
from hwsim.blocks.requantize import RequantizeConfig
from hwsim.blocks.stream import Frame

FRAME = Frame(6, 8, 4, 2)
SCALED = RequantizeConfig(accumulator_bits=13, shifts=(20, 20))


def test_max_pool():
    config = PoolConfig(frame=FRAME, kind="max", kernel=(2, 2), strides=(2, 2))
    assert config.output == Frame(3, 4, 4, 2)
    assert (config.interval, config.latency, config.counts) == (FRAME.beats, 2 + 2, ())
    # The last window leaves with the last beat: window register, window and tree, queue.
    assert config.cycles(3) == 3 * FRAME.beats + 1 + config.latency + 1


def test_average_pool_counts_taps_on_the_map():
    same = {
        "frame": FRAME,
        "kernel": (3, 3),
        "strides": (2, 2),
        "pads": (1, 1, 1, 1),
        "requantize": SCALED,
    }
    config = PoolConfig(kind="average", **same)
    assert config.latency == 2 + 4 + SCALED.latency  # the window; nine taps: four levels
    assert config.counts == (4, 6, 9)
    assert PoolConfig(kind="average", count_include_pad=True, **same).counts == (9,)
    assert PoolConfig(kind="sum", **same).counts == (1,)
    # In ceil mode the last windows reach beyond the padding, where nothing counts.
    wide = same | {"pads": (0, 0, 0, 0), "ceil_mode": True}
    config = PoolConfig(kind="average", count_include_pad=True, **wide)
    assert config.window.pads == (0, 0, 1, 1)
    assert config.output == Frame(3, 4, 4, 2)
    assert config.counts == (4, 6, 9)


def test_zero_points_are_one_more_term():
    scaled = RequantizeConfig(accumulator_bits=11)
    latencies = [
        PoolConfig(
            frame=FRAME, kind="sum", kernel=(2, 2), zero_point=zero, requantize=scaled
        ).tree_latency
        for zero in (0, 1)
    ]
    assert latencies == [2, 3]


@pytest.mark.parametrize("lanes", [1, 4])
def test_global_pool(lanes):
    frame = Frame(2, 2, 4, lanes)
    config = GlobalPoolConfig(frame=frame, kind="average", requantize=SCALED)
    assert config.output == Frame(1, 1, 4, lanes)
    assert (config.interval, config.latency, config.counts) == (
        frame.beats,
        2 + SCALED.latency,
        (4,),
    )
    assert config.cycles(3) == 3 * frame.beats + config.latency + 1
    # Where a beat is a pixel, one result comes in so many cycles, and the queue need not hold more.
    assert config.queue.depth == (10 if lanes == 1 else 3)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"kind": "median"}, 'kind must be "max", "average" or "sum", not \'median\''),
        ({"kind": "sum"}, "requantize must be given unless kind is max, not none for sum"),
        ({"requantize": SCALED}, "requantize must be given unless kind is max, not one for max"),
        ({"zero_point": 128}, r"zero_point must lie in \[-128, 127\], not 128"),
        (
            {"kind": "sum", "requantize": RequantizeConfig(accumulator_bits=8)},
            "accumulator_bits must be at least {bits}, not 8",
        ),
    ],
)
def test_refused(changes, message):
    with pytest.raises(ValueError, match=f"^{message.replace('{bits}', '10')}$"):
        PoolConfig(**({"frame": FRAME, "kind": "max", "kernel": (2, 2)} | changes))
    with pytest.raises(ValueError, match=f"^{message.replace('{bits}', '14')}$"):
        GlobalPoolConfig(**({"frame": FRAME, "kind": "max"} | changes))


def test_average_of_padding_alone():
    with pytest.raises(
        ValueError, match=r"^pads must leave a tap of each window on the map, not \(2, 0, 0, 0\)$"
    ):
        PoolConfig(frame=FRAME, kind="average", kernel=(2, 2), pads=(2, 0, 0, 0), requantize=SCALED)
