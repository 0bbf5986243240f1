"""Fork, concat and resize keep every code, and move beats in the cycles that their configurations state."""

import random

import numpy as np
import pytest

from hwsim.blocks.queue import QueueConfig
from hwsim.blocks.reshape import ConcatConfig, ForkConfig, ResizeConfig
from hwsim.blocks.stream import Frame
from hwsim.rtl.reshape import Concat, Fork, Resize


def maps(frame, count, seed):
    low, high = (-(1 << frame.bits - 1), 1 << frame.bits - 1) if frame.signed else (0, 1 << frame.bits)
    return np.random.default_rng(seed).integers(low, high, (count, *frame.shape))


def draw_frame(rng, *, channels=None, lanes=None):
    lanes = lanes or rng.choice([1, 2, 3])
    return Frame(
        rng.randint(1, 4),
        rng.randint(1, 5),
        channels or lanes * rng.randint(1, 3),
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


def test_fork_fills_each_branch_as_deep_as_its_queue():
    pass


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("seed", range(6))
def test_concat(check_unit, seed, frames):
    rng = random.Random(seed)
    first = draw_frame(rng)
    others = [
        Frame(first.height, first.width, first.lanes * rng.randint(1, 3), first.lanes, first.bits, first.signed)
        for _ in range(rng.randint(1, 3))
    ]
    config = ConcatConfig(frames=(first, *others))
    inputs = {port: maps(frame, frames, seed + k) for k, (port, frame) in enumerate(config.inputs.items())}
    check_unit(Concat(config), inputs, np.concatenate(list(inputs.values()), axis=1), seed=seed)


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("source, target", [(1, 2), (1, 3), (2, 12), (6, 6), (12, 6), (12, 4), (4, 1), (3, 1)])
def test_resize(check_unit, source, target, frames):
    seed = 100 * source + target
    config = ResizeConfig(frame=Frame(2, 3, 12, source, 8, seed % 2 == 0), lanes=target)
    codes = maps(config.frame, frames, seed)
    check_unit(Resize(config), {"i": codes}, codes, seed=seed)
