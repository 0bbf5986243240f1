"""One way to test a streaming unit: values, timing of every beat, and behaviour under stalls."""

import numpy as np
import pytest

from hwsim.sim.amaranth_engine import run
from hwsim.sim.beats import pack, unpack
from hwsim.sim.engine import Stimulus


def _check_unit(component, inputs, expected, *, seed, outputs=("o",), stalls=0.3):
    """Run ``component`` without and with stalls on maps (N, C, H, W) by port; results are exact.

    Without stalls each output beat comes in the very cycle that the timing model states.
    """
    config = component.config
    beats = {
        port: pack(frame.to_beats(inputs[port]), frame.bits)
        for port, frame in config.inputs.items()
    }
    frames = len(expected)
    for probability in (0.0, stalls):
        stimulus = Stimulus(
            beats,
            {port: frames * config.output.beats for port in outputs},
            stalls=probability,
            seed=seed,
            patience=2000,
        )
        recording = run(component, stimulus)
        for port in outputs:
            codes = unpack(
                recording.transfers[port].payloads,
                config.output.lanes,
                config.output.bits,
                config.output.signed,
            )
            assert np.array_equal(config.output.from_beats(codes), expected), (
                f"seed {seed}, {config}"
            )
        if not probability:
            trace = config.trace(frames, queue=component.queue)
            first = recording.transfers[next(iter(config.inputs))].cycles[0]
            for port in outputs:
                cycles = recording.transfers[port].cycles - first
                assert np.array_equal(cycles, trace.sink - trace.source[0]), (
                    f"seed {seed}, {config}"
                )
            assert recording.cycles == config.cycles(frames, queue=component.queue)
            assert config.cycles(4) - config.cycles(3) == config.interval


@pytest.fixture
def check_unit():
    return _check_unit
