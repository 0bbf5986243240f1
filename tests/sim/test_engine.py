# amaranth: UnusedElaboratable=no
"""What an engine is given: beats, elements, messages; waves, names, the comparison of results."""

from dataclasses import replace

import numpy as np
import pytest
from amaranth.hdl import Module, Signal, signed
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from hwsim.blocks.queue import QueueConfig
from hwsim.blocks.streaming import Streaming
from hwsim.rtl.build import build
from hwsim.rtl.queue import Queue
from hwsim.sim import compiled_engine
from hwsim.sim.amaranth_engine import run
from hwsim.sim.beats import (
    codes_of,
    codes_of_payloads,
    container,
    elements_of,
    pack,
    payloads_of,
    unpack,
    values_of,
)
from hwsim.sim.engine import Stalled, Stimulus, StreamError
from hwsim.sim.simulate import simulate
from hwsim.validation.networks import NetworkBuilder, images_for, random_network

ENGINES = {"amaranth": run, "compiled": compiled_engine.run}


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


STRUCT = data.StructLayout({"codes": data.ArrayLayout(signed(5), 2), "wide": 70, "flag": 1})


@pytest.mark.parametrize(
    ("shape", "elements"),
    [
        (8, [(8, False)]),
        (signed(64), [(64, True)]),
        (signed(130), [(64, False), (64, False), (2, False)]),
        (range(-3, 4), [(3, True)]),
        (data.ArrayLayout(signed(8), 3), [(8, True)] * 3),
        (data.ArrayLayout(data.ArrayLayout(4, 2), 2), [(4, False)] * 4),
        (STRUCT, [(5, True), (5, True), (64, False), (6, False), (1, False)]),
        # Overlaps and gaps: bits.
        (data.UnionLayout({"a": 8, "b": 4}), [(8, False)]),
        (data.FlexibleLayout(8, {"a": data.Field(4, 2)}), [(8, False)]),
        (data.StructLayout({"nothing": 0, "bit": 1}), [(1, False)]),
    ],
)
def test_elements(shape, elements):
    assert elements_of(shape) == tuple(elements)


def test_elements_of_a_class():
    class Pixel(data.Struct):
        red: signed(5)
        alpha: 1

    class Kind(enum.Enum, shape=3):
        FIRST = 0

    assert elements_of(Pixel) == ((5, True), (1, False))
    assert elements_of(Kind) == ((3, False),)


@pytest.mark.parametrize("shape", [1, 7, 8, signed(8), signed(33), 64, signed(64), STRUCT])
def test_codes(shape):
    """Signed values, codes and packed beats are the same beats."""
    elements = elements_of(shape)
    rng = np.random.default_rng(0)
    kind = np.uint64 if (64, False) in elements else np.int64
    columns = [
        rng.integers(-(1 << bits - 1), 1 << bits - 1, 30)
        if is_signed
        else rng.integers(0, 1 << bits, 30, np.uint64)
        for bits, is_signed in elements
    ]
    values = np.stack([column.astype(kind) for column in columns], axis=1)
    if kind is np.uint64:
        values = values & np.array([(1 << bits) - 1 for bits, _ in elements], np.uint64)
    codes = codes_of("s", values, elements)
    assert codes.dtype == container(max(element.bits for element in elements))
    if kind is np.int64:
        assert np.array_equal(values_of(codes, elements), values)
    payloads = payloads_of(codes, elements)
    assert payloads[7] == sum(
        int(code) << sum(element.bits for element in elements[:k])
        for k, code in enumerate(codes[7])
    )
    for beats in (codes, payloads, codes_of_payloads(payloads, elements)):
        assert np.array_equal(codes_of("s", beats, elements), codes)
    assert np.array_equal(codes_of("s", np.stack([codes] * 3), elements)[2], codes)


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
            r"^engine must be one of amaranth, compiled, verilator, not 'abacus'$",
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


class Wires(wiring.Component):
    """A stream that is always ready, and one that is always valid."""

    def __init__(self):
        super().__init__(
            {
                "i": In(stream.Signature(signed(4))),
                "o": Out(stream.Signature(signed(4), always_ready=True)),
                "always": In(stream.Signature(1, always_valid=True)),
                "plain": In(8),
            }
        )

    def elaborate(self, platform):
        m = Module()
        wiring.connect(m, wiring.flipped(self.i), wiring.flipped(self.o))
        return m


@pytest.mark.parametrize("engine", ENGINES)
def test_always_ready(engine):
    beats = np.array([[-8], [7], [-1]])
    stimulus = Stimulus({"i": beats}, {"o": 3}, stalls=0.5, seed=1)
    recording = ENGINES[engine](Wires(), stimulus)
    assert np.array_equal(recording.outputs["o"].values, beats)
    assert recording.outputs["o"].payloads == [8, 7, 15]
    assert np.array_equal(recording.outputs["o"].cycles, recording.inputs["i"].cycles)


ZEROS = np.zeros((2, 1), int)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("stimulus", "error", "message"),
    [
        (Stimulus({"x": ZEROS}, {}), ValueError, "Wires has no input stream 'x'"),
        (Stimulus({"o": ZEROS}, {}), ValueError, "Wires has no input stream 'o'"),
        (Stimulus({"plain": ZEROS}, {}), ValueError, "Wires has no input stream 'plain'"),
        (Stimulus({}, {"i": 1}), ValueError, "Wires has no output stream 'i'"),
        (Stimulus({}, {}, agents={"bus": None}), ValueError, "Wires has no port 'bus'"),
        (
            Stimulus({"always": ZEROS}, {}),
            ValueError,
            "stream always is always valid, so that no source can feed it",
        ),
        (
            Stimulus({}, {"o": -1}),
            ValueError,
            "the number of beats of stream o must be 0 or more, not -1",
        ),
        (
            Stimulus({"i": np.zeros((2, 3), int)}, {}),
            ValueError,
            r"beats of stream i must have the shape \(n,\), \(n, 1\) or \(lanes, n, 1\), "
            r"not \(2, 3\)",
        ),
        (
            Stimulus({"i": np.zeros((2, 1))}, {}),
            TypeError,
            "beats of stream i must be integers, not float64",
        ),
        (
            Stimulus({"i": np.array([[-9], [3]])}, {}),
            ValueError,
            r"element 0 of stream i must lie in \[-8, 15\], not \[-9, 3\]",
        ),
        (
            Stimulus({"i": [3, 16]}, {}),
            ValueError,
            "beats of stream i must fit into 4 bits, and 16 does not",
        ),
        (
            Stimulus({"i": ZEROS[None]}, {}, buffers={"b": np.zeros((2, 5), np.uint8)}),
            ValueError,
            "inputs and buffers must have equal numbers of lanes, not 1, 2",
        ),
        (
            Stimulus({}, {}, buffers={"b": np.zeros((2, 5, 1), np.uint8)}),
            ValueError,
            r"buffer 'b' must have the shape \(length,\) or \(lanes, length\), not \(2, 5, 1\)",
        ),
        (Stimulus({}, {}, stalls=1.0), ValueError, r"stalls must lie in \[0, 1\), not 1.0"),
    ],
)
def test_bad_stimulus(engine, stimulus, error, message):
    with pytest.raises(error, match=f"^{message}$"):
        ENGINES[engine](Wires(), stimulus)
