# amaranth: UnusedElaboratable=no
"""Fork, concat and resize keep every code, in the cycles that their configurations state."""

import random

import numpy as np
import pytest

from hwsim.blocks.queue import QueueConfig
from hwsim.blocks.reshape import ConcatConfig, ForkConfig, ResizeConfig
from hwsim.blocks.stream import Frame
from hwsim.blocks.timing import Edge, evaluate
from hwsim.rtl.reshape import Concat, Fork, Resize
from hwsim.sim.amaranth_engine import run
from hwsim.sim.beats import pack
from hwsim.sim.engine import Stimulus


def maps(frame, count, seed):
    return np.random.default_rng(seed).integers(
        frame.minimum, frame.maximum + 1, (count, *frame.shape)
    )


def draw_frame(rng):
    lanes = rng.choice([1, 2, 3])
    return Frame(
        rng.randint(1, 4),
        rng.randint(1, 5),
        lanes * rng.randint(1, 3),
        lanes,
        rng.choice([2, 8, 11]),
        rng.random() < 0.5,
    )


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("seed", range(4))
def test_fork(check_unit, seed, frames):
    rng = random.Random(seed)
    config = ForkConfig(frame=draw_frame(rng), outputs=rng.randint(2, 4))
    codes = maps(config.frame, frames, seed)
    ports = [f"o{k}" for k in range(config.outputs)]
    check_unit(Fork(config), {"i": codes}, codes, seed=seed, outputs=ports)


@pytest.mark.parametrize("stalls", [0.0, 0.5])
@pytest.mark.parametrize("depths", [(1, 3), (5, 1, 70)])
def test_fork_with_a_queue_for_each_output(depths, stalls):
    config = ForkConfig(frame=Frame(4, 5, 3, 3), outputs=len(depths))
    fork = Fork(config, [QueueConfig(depth) for depth in depths])
    beats = pack(config.frame.to_beats(maps(config.frame, 2, seed=0)), 8)
    ports = [f"o{k}" for k in range(len(depths))]
    recording = run(
        fork, Stimulus({"i": beats}, dict.fromkeys(ports, len(beats)), stalls=stalls, seed=1)
    )
    for port in ports:
        assert recording.transfers[port].payloads == beats
    if not stalls:
        edges = [
            config.output_edge("fork", None, port, queue)
            for port, queue in zip(ports, fork.queues, strict=True)
        ]
        trace = evaluate(config.actors("fork"), [Edge(None, "fork"), *edges], 2)
        assert np.array_equal(recording.transfers["i"].cycles, trace.taken[Edge(None, "fork")])
        for port, edge in zip(ports, edges, strict=True):
            assert np.array_equal(recording.transfers[port].cycles, trace.taken[edge])


def test_fork_with_wrong_number_of_queues():
    config = ForkConfig(frame=Frame(1, 1, 1, 1), outputs=3)
    with pytest.raises(ValueError, match=r"^queues must be 3, one for each output, not 2$"):
        Fork(config, [QueueConfig(1)] * 2)


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("seed", range(6))
def test_concat(check_unit, seed, frames):
    rng = random.Random(seed)
    first = draw_frame(rng)
    others = [
        Frame(
            first.height,
            first.width,
            first.lanes * rng.randint(1, 3),
            first.lanes,
            first.bits,
            first.signed,
        )
        for _ in range(rng.randint(1, 3))
    ]
    config = ConcatConfig(frames=(first, *others))
    inputs = {
        port: maps(frame, frames, seed + k) for k, (port, frame) in enumerate(config.inputs.items())
    }
    check_unit(Concat(config), inputs, np.concatenate(list(inputs.values()), axis=1), seed=seed)


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize(
    "source, target", [(1, 2), (1, 3), (2, 12), (6, 6), (12, 6), (12, 4), (4, 1), (3, 1)]
)
def test_resize(check_unit, source, target, frames):
    seed = 100 * source + target
    config = ResizeConfig(frame=Frame(2, 3, 12, source, 8, seed % 2 == 0), lanes=target)
    codes = maps(config.frame, frames, seed)
    check_unit(Resize(config), {"i": codes}, codes, seed=seed)
