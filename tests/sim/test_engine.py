"""The engine's watchdogs: a stream that breaks its contract, a stream that stands still.

And beats, waves, names.
"""

from dataclasses import replace

import numpy as np
import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hwsim.blocks.queue import QueueConfig
from hwsim.blocks.streaming import Streaming
from hwsim.rtl.queue import Queue
from hwsim.rtl.streaming import build
from hwsim.sim.amaranth_engine import run
from hwsim.sim.beats import pack, unpack
from hwsim.sim.engine import Stalled, Stimulus, StreamError
from hwsim.sim.simulate import simulate
from tests.networks import NetworkBuilder, images_for, random_network


class Broken(wiring.Component):
    """Offers a beat that changes while it waits, or never takes one."""

    def __init__(self, *, deaf):
        self._deaf = deaf
        super().__init__({"i": In(stream.Signature(8)), "o": Out(stream.Signature(8))})

    def elaborate(self, platform):
        m = Module()
        count = Signal(8)
        m.d.sync += count.eq(count + 1)
        if not self._deaf:
            m.d.comb += [self.i.ready.eq(1), self.o.valid.eq(1), self.o.payload.eq(count)]
        return m


def test_changed_beat():
    with pytest.raises(
        StreamError,
        match=r"^stream o changed a beat that was offered and not yet taken, in cycle \d+$",
    ):
        run(Broken(deaf=False), Stimulus({"i": [1]}, {"o": 50}, stalls=0.5))


def test_stall_names_the_stream():
    message = r"^nothing moved for 20 cycles up to cycle 21: i waits for ready, o waits for a beat$"
    with pytest.raises(Stalled, match=message):
        run(Broken(deaf=True), Stimulus({"i": [1]}, {"o": 1}, patience=20))


def test_equal_seeds_give_equal_runs():
    beats = list(range(100))
    first, second, other = (
        run(
            Queue(8, QueueConfig(4)), Stimulus({"i": beats}, {"o": 100}, stalls=0.5, seed=seed)
        ).outputs["o"]
        for seed in (1, 1, 2)
    )
    assert np.array_equal(first.cycles, second.cycles)
    assert not np.array_equal(first.cycles, other.cycles)
    assert first.payloads == second.payloads == other.payloads == beats


def test_wave(tmp_path):
    wave = tmp_path / "queue.vcd"
    run(Queue(8, QueueConfig(4)), Stimulus({"i": [1, 2]}, {"o": 2}, wave=wave))
    text = wave.read_text()
    assert "$var" in text and "o__valid" in text


@pytest.mark.parametrize(
    ("bits", "signed"), [(1, False), (3, True), (8, True), (8, False), (24, True), (61, True)]
)
def test_beats(bits, signed):
    low, high = (-(1 << bits - 1), 1 << bits - 1) if signed else (0, 1 << bits)
    codes = np.random.default_rng(bits).integers(low, high, (20, 5))
    codes[0], codes[1] = low, high - 1
    packed = pack(codes, bits)
    assert packed[3] == sum(
        (int(code) % (1 << bits)) << bits * lane for lane, code in enumerate(codes[3])
    )
    assert np.array_equal(unpack(packed, 5, bits, signed), codes)


def test_tensors_named_like_ports():
    """A network's own names never meet those of the ports."""
    b = NetworkBuilder(np.random.default_rng(0), (1, 4, 4))
    network = b.build(b.conv(b.input, 2, (1, 1)))
    renamed = replace(network.outputs[0], name="i")
    network = replace(
        network,
        layers=(replace(network.layers[0], output="i"),),
        outputs=(renamed,),
        tensors={network.input.name: network.input, "i": renamed},
    )
    result = simulate(build(network, Streaming(multipliers=10)), images_for(network, 2, 0))
    assert result.mismatches == 0
    assert list(result.feature_maps) == ["i"]


def test_a_mismatch_is_counted(monkeypatch):
    """The comparison does compare: another reference gives mismatches."""
    from hwsim.sim import simulate as module

    network = random_network(5)
    images = images_for(network, 2, 5)
    right = module.reference.run(network, images)
    wrong = {name: codes.copy() for name, codes in right.items()}
    wrong[network.layers[0].output][0, 0, 0, 0] ^= 1
    monkeypatch.setattr(module.reference, "run", lambda *_: wrong)
    result = simulate(build(network, Streaming(multipliers=200)), images)
    assert result.mismatches == 1
    assert result.layers["mismatches"].tolist()[0] == 1


NETWORK = random_network(5)
SHAPE = ", ".join(map(str, NETWORK.input.shape))


@pytest.mark.parametrize(
    ("images", "options", "error", "message"),
    [
        (
            np.zeros((1, 9, 9, 9), int),
            {},
            ValueError,
            rf"^images must have the shape \(N, {SHAPE}\) with N at least 1, not \(1, 9, 9, 9\)$",
        ),
        (np.zeros((0, *NETWORK.input.shape), int), {}, ValueError, r"with N at least 1, not \(0, "),
        (
            np.full((1, *NETWORK.input.shape), 300),
            {},
            ValueError,
            r"^codes of images must lie in \[-?\d+, \d+\], not \[300, 300\]$",
        ),
        (
            np.zeros((1, *NETWORK.input.shape), bool),
            {},
            TypeError,
            r"^images must be floating-point values or integer codes, not bool$",
        ),
        (
            images_for(NETWORK, 1, 0),
            {"engine": "abacus"},
            ValueError,
            r"^engine must be one of amaranth, not 'abacus'$",
        ),
        (
            images_for(NETWORK, 1, 0),
            {"stalls": 1.0},
            ValueError,
            r"^stalls must lie in \[0, 1\), not 1.0$",
        ),
    ],
)
def test_bad_arguments(images, options, error, message):
    with pytest.raises(error, match=message):
        simulate(build(NETWORK, Streaming(multipliers=200)), images, **options)
