"""One way to test a streaming unit: values, timing of every beat, and behaviour under stalls."""

import numpy as np
import pytest
from amaranth.hdl import Module, Mux, ResetInserter, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from hwsim.sim.amaranth_engine import run
from hwsim.sim.beats import pack, unpack
from hwsim.sim.engine import Stimulus

# Cycles in which nothing moves, and a run has failed.
PATIENCE = 2000


class AfterReset(wiring.Component):
    """A unit that gets random beats for some ``cycles``, then a reset, then its streams.

    Ports for the loading of weights are the unit's own all the time.
    """

    def __init__(self, component, cycles):
        self._component = component
        self._cycles = cycles
        super().__init__(dict(component.signature.members.items()))

    def elaborate(self, platform):
        m = Module()
        component, cycles = self._component, self._cycles
        cycle, reset, after = Signal(range(cycles + 2)), Signal(), Signal()
        m.d.comb += [reset.eq(cycle == cycles), after.eq(cycle == cycles + 1)]
        m.d.sync += cycle.eq(cycle + ~after)
        m.submodules.component = ResetInserter(reset)(component)
        rng = np.random.default_rng(cycles)
        for name, member in component.signature.members.items():
            inner, outer = getattr(component, name), getattr(self, name)
            if name not in component.config.inputs and member.flow is not Out:
                wiring.connect(m, wiring.flipped(outer), inner)
                continue
            if member.flow is Out:
                m.d.comb += [
                    outer.payload.eq(inner.payload),
                    outer.valid.eq(inner.valid & after),
                    inner.ready.eq(outer.ready | ~after),
                ]
                continue
            payload = Value.cast(inner.payload)
            noise = int.from_bytes(rng.bytes(len(payload) + 7 >> 3), "little")
            m.d.comb += [
                payload.eq(Mux(after, Value.cast(outer.payload), noise)),
                inner.valid.eq(Mux(after, outer.valid, ~reset)),
                outer.ready.eq(inner.ready & after),
            ]
        return m


def _check_unit(
    component, inputs, expected, *, seed, outputs=("o",), stalls=0.3, more=None, reset=False
):
    """Run ``component`` without and with stalls on maps (N, C, H, W) by port; results are exact.

    Without stalls each output beat comes in the very cycle that the timing model states. ``more``
    are (frame, expected maps) of further output ports. With stalls and ``reset`` the unit is used
    before, and reset in a cycle that the seed decides. Returns the transfers without stalls.
    """
    more, plain = more or {}, {}
    config = component.config
    beats = {
        port: pack(frame.to_beats(inputs[port]), frame.bits)
        for port, frame in config.inputs.items()
    }
    frames = len(expected)
    # In the midst of its maps, and well before patience ends.
    span = min(config.cycles(frames), PATIENCE // 2)
    cycle = int(np.random.default_rng(seed).integers(1, span + 1))
    for probability in (0.0, stalls):
        stimulus = Stimulus(
            beats,
            {port: frames * config.output.beats for port in outputs}
            | {port: len(maps) * frame.beats for port, (frame, maps) in more.items()},
            stalls=probability,
            seed=seed,
            patience=PATIENCE,
        )
        used = AfterReset(component, cycle) if reset and probability else component
        recording = run(used, stimulus)
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
