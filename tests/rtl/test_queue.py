"""Queues keep every beat in order, and take the cycles that their configuration states."""

import numpy as np
import pytest
from amaranth.hdl import signed
from amaranth.lib import data

from hwsim.blocks.queue import QueueConfig
from hwsim.rtl.queue import Queue
from hwsim.sim.amaranth_engine import run
from hwsim.sim.beats import pack, unpack
from hwsim.sim.engine import Stimulus


@pytest.mark.parametrize("stalls", [0.0, 0.4])
@pytest.mark.parametrize("depth", [1, 2, 3, 16, 64, 65, 100])
def test_queue(depth, stalls):
    seed = depth
    codes = np.random.default_rng(seed).integers(-128, 128, (150, 3))
    queue = Queue(data.ArrayLayout(signed(8), 3), QueueConfig(depth))
    recording = run(queue, Stimulus({"i": pack(codes, 8)}, {"o": 150}, stalls=stalls, seed=seed))
    assert np.array_equal(unpack(recording.transfers["o"].payloads, 3, 8, True), codes)
    if not stalls:
        wait = recording.transfers["o"].cycles[0] - recording.transfers["i"].cycles[0]
        assert wait == queue.config.latency
        if depth > 1:
            assert recording.cycles == 150 + wait
