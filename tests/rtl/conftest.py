"""One way to test a streaming unit: values, timing of every beat, and behaviour under stalls."""

import numpy as np
import pytest

from hwsim.sim.amaranth_engine import run
from hwsim.sim.beats import pack, unpack
from hwsim.sim.engine import Stimulus


def _check_unit(component, inputs, expected, *, seed, outputs=("o",), stalls=0.3, more=None):
    """Run ``component`` without and with stalls on maps (N, C, H, W) by port; results are exact.

    Without stalls each output beat comes in the very cycle that the timing model states. ``more``
    are (frame, expected maps) of further output ports. Returns the transfers without stalls.
    """
    more, plain = more or {}, {}
    config = component.config
    beats = {
        port: pack(frame.to_beats(inputs[port]), frame.bits)
        for port, frame in config.inputs.items()
    }
    frames = len(expected)
    for probability in (0.0, stalls):
        stimulus = Stimulus(
            beats,
            {port: frames * config.output.beats for port in outputs}
            | {port: len(maps) * frame.beats for port, (frame, maps) in more.items()},
            stalls=probability,
            seed=seed,
            patience=2000,
        )
        recording = run(component, stimulus)
        wanted = dict.fromkeys(outputs, (config.output, expected)) | more
        for port, (frame, maps) in wanted.items():
            payloads = recording.transfers[port].payloads
            codes = unpack(payloads, frame.lanes, frame.bits, frame.signed)
            assert np.array_equal(frame.from_beats(codes), maps), f"{port}, seed {seed}, {config}"
        if not probability:
            plain = recording.transfers
            trace = config.trace(frames, queue=component.queue)
            first = recording.transfers[next(iter(config.inputs))].cycles[0]
            for port in outputs:
                cycles = recording.transfers[port].cycles - first
                assert np.array_equal(cycles, trace.sink - trace.source[0]), (
                    f"seed {seed}, {config}"
                )
            last = max(recording.transfers[port].cycles[-1] for port in outputs)
            start = min(recording.transfers[port].cycles[0] for port in config.inputs)
            assert last - start + 1 == config.cycles(frames, queue=component.queue)
            assert config.cycles(4) - config.cycles(3) == config.interval
    return plain


@pytest.fixture
def check_unit():
    return _check_unit
