"""`simulate`: lanes and threads change nothing but the time; stalls, waveforms, errors."""

import gc
import re
import shutil

import numpy as np
import pytest

from hwsim.blocks.streaming import Streaming
from hwsim.rtl.build import build
from hwsim.sim import simulate as module
from hwsim.sim.engine import Wave
from hwsim.sim.simulate import simulate
from hwsim.validation.networks import NetworkBuilder, images_for

from .test_waves import fst2vcd, read

needs_fst2vcd = pytest.mark.skipif(shutil.which("fst2vcd") is None, reason="needs fst2vcd")


def _network():
    b = NetworkBuilder(np.random.default_rng(5), (2, 5, 5))
    x = b.max_pool(b.conv(b.input, 3, pads=(1, 1, 1, 1)))
    return b.build(b.dense(x, 3), "tiny")


NETWORK = _network()
DESIGN = build(NETWORK, Streaming(multipliers=60))
BEATS = DESIGN.plan.output.beats
IMAGES = images_for(NETWORK, 7, 1)


# A run that is refused leaves its components unused.
pytestmark = pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")


@pytest.fixture(scope="module", autouse=True)
def _programs(tmp_path_factory):
    """Programs of this module are compiled once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HWSIM_CACHE", str(tmp_path_factory.mktemp("programs")))
        yield
    gc.collect()


@pytest.fixture(scope="module")
def one_lane():
    return simulate(DESIGN, IMAGES, lanes=1)


def _same(result, wanted):
    assert result.images == wanted.images
    assert np.array_equal(result.outputs, wanted.outputs)
    assert result.feature_maps.keys() == wanted.feature_maps.keys()
    for name, values in wanted.feature_maps.items():
        assert np.array_equal(result.feature_maps[name], values), name
        assert result.feature_maps[name].dtype == values.dtype
    assert result.layers.equals(wanted.layers)


def test_one_lane(one_lane):
    assert one_lane.mismatches == 0
    assert one_lane.layers["values"].sum() == 7 * (3 * 5 * 5 + 3 * 2 * 2 + 3)
    assert one_lane.outputs.shape == (7, 3, 1, 1)
    assert (one_lane.images, one_lane.lanes, one_lane.images_per_lane) == (7, 1, 7)
    assert one_lane.cycles == DESIGN.cycles(7)
    interval = DESIGN.cycles(7) - DESIGN.cycles(6)
    assert one_lane.cycles_per_image == one_lane.interval_cycles == interval
    transfers = one_lane.recording.outputs["o"]
    assert transfers.cycles.ndim == 1 and len(transfers.payloads) == 7 * BEATS
    speed = one_lane.cycles / one_lane.seconds
    assert one_lane.lane_cycles_per_second == speed


# 7 images do not divide among 2, 3, 4, 5 or 6 lanes.
@pytest.mark.parametrize(
    ("lanes", "threads"),
    [(2, 2), (3, 1), (3, 2), (4, 3), (5, 2), (6, 1), (7, 1), (7, 2), (7, 7)],
)
def test_lanes_and_threads(lanes, threads, one_lane):
    result = simulate(DESIGN, IMAGES, lanes=lanes, threads=threads)
    _same(result, one_lane)
    assert result.lanes == lanes
    assert result.images_per_lane == -(-7 // lanes)
    assert result.cycles == DESIGN.cycles(result.images_per_lane)
    assert (result.interval_cycles is None) == (lanes == 7)
    assert result.cycles_per_image == (result.cycles if lanes == 7 else one_lane.interval_cycles)
    outputs = result.recording.outputs["o"]
    each = result.images_per_lane
    assert outputs.cycles.shape == (lanes, each * BEATS)
    assert (outputs.cycles == outputs.cycles[0]).all()
    # Lanes have images in a row; the last one is repeated.
    images = [min(7 - 1, k) for k in range(lanes * each)]
    beats = one_lane.recording.outputs["o"].codes.reshape(7, BEATS, -1)[images]
    assert np.array_equal(outputs.codes, beats.reshape(outputs.codes.shape))
    assert result.lane_cycles_per_second == lanes * result.cycles / result.seconds


@pytest.mark.parametrize(("lanes", "threads"), [(1, 4), (3, 2), (7, 3)])
def test_stalls(lanes, threads, one_lane):
    stalled = simulate(DESIGN, IMAGES, lanes=lanes, threads=threads, stalls=0.4, seed=3)
    _same(stalled, one_lane)
    assert stalled.cycles > DESIGN.cycles(stalled.images_per_lane)
    # The seed says which, and all lanes stall together, on however many threads.
    again = simulate(DESIGN, IMAGES, lanes=lanes, threads=1, stalls=0.4, seed=3)
    assert again.cycles == stalled.cycles
    for name, transfers in stalled.recording.transfers.items():
        assert np.array_equal(again.recording.transfers[name].cycles, transfers.cycles)
    assert (transfers.cycles == transfers.cycles.reshape(lanes, -1)[0]).all() or lanes == 1
    other = simulate(DESIGN, IMAGES, lanes=lanes, threads=threads, stalls=0.4, seed=4)
    _same(other, one_lane)
    assert other.cycles != stalled.cycles


def test_engines_agree(one_lane):
    result = simulate(DESIGN, IMAGES[:2], engine="amaranth")
    assert np.array_equal(result.outputs, one_lane.outputs[:2])
    assert result.cycles == DESIGN.cycles(2) and result.mismatches == 0
    lanes = simulate(DESIGN, IMAGES[:2], lanes=2, engine="compiled")
    assert np.array_equal(lanes.outputs, result.outputs)


def test_mismatches_are_counted(monkeypatch):
    real = module.reference.run

    def wrong(network, codes):
        maps = dict(real(network, codes))
        name = network.layers[-1].output
        maps[name] = maps[name].copy()
        maps[name][:, 0] ^= 1
        return maps

    monkeypatch.setattr(module.reference, "run", wrong)
    for lanes in (1, 3):
        result = simulate(DESIGN, IMAGES, lanes=lanes)
        assert result.mismatches == 7
        assert result.layers["mismatches"].tolist() == [0, 0, 7]


@pytest.mark.parametrize(
    ("images", "threads", "lanes"),
    [
        (1, 1, 1),
        (15, 2, 1),
        (16, 2, 2),
        (100, 2, 12),
        (511, 1, 63),
        (10_000, 1, 64),
        (10_000, 2, 128),
    ],
)
def test_lanes_when_nothing_is_said(images, threads, lanes):
    assert module._lanes(images, threads) == lanes


def test_progress():
    calls = []
    simulate(DESIGN, IMAGES, lanes=3, threads=1, progress=calls.append)
    assert calls[-1] == len(IMAGES)


# Waveforms


def _streams(wave):
    """Values in each cycle of all that look like streams: valid, ready, payload."""
    rises = np.arange(wave.times[0] // 10_000, wave.times[-1] // 10_000) * 10_000
    for path in wave.variables:
        names = [(*path[:-1], path[-1].replace("valid", name)) for name in ("ready", "payload")]
        if "o__valid" in path[-1] and wave.variables.keys() >= {*names}:
            yield [wave.values(name, rises) for name in (path, *names)]


@pytest.mark.parametrize("suffix", ["vcd", pytest.param("fst", marks=needs_fst2vcd)])
@pytest.mark.parametrize(
    ("first", "last", "lane"), [(0, None, 0), (0, 40, 2), (37, 90, 1), (50, 10_000, 0)]
)
def test_waves(suffix, first, last, lane, tmp_path, one_lane):
    path = tmp_path / f"wave.{suffix}"
    wave = Wave(path, first=first, last=last, lane=lane)
    result = simulate(DESIGN, IMAGES, lanes=3, wave=wave, stalls=0.2, seed=1)
    _same(result, one_lane)
    if suffix == "fst":
        path.with_suffix(".vcd").write_text(fst2vcd(path))
    found = read(path.with_suffix(".vcd"))
    assert found.times[0] == first * 10_000
    length = found.times[-1] // 10_000 - first
    outputs = result.recording.outputs["o"]
    cycles = outputs.cycles[lane]
    if last == 10_000 or last is None:
        # To the end, which may have a cycle in which nothing moves any more.
        assert 0 < first + length - cycles[-1] <= 2
    else:
        assert length == last - first
    # The design's output is one of the streams.
    inside = (cycles >= first) & (cycles < first + length)
    payloads = np.array(outputs.payloads[lane], object)[inside]
    wanted = [*zip(cycles[inside].tolist(), payloads.tolist(), strict=True)]
    assert wanted or last == 40
    moves = [
        [
            (first + k, payload)
            for k, (valid, ready, payload) in enumerate(zip(*stream, strict=True))
            if valid and ready and first + k <= cycles[-1]
        ]
        for stream in _streams(found)
    ]
    assert wanted in moves


def test_wave_of_a_scope(tmp_path):
    whole, part = tmp_path / "whole.vcd", tmp_path / "part.vcd"
    simulate(DESIGN, IMAGES[:2], wave=whole)
    everything = read(whole)
    scope = next(path[1] for path in everything.variables if len(path) > 2)
    result = simulate(DESIGN, IMAGES[:2], wave=Wave(part, scope=scope))
    assert result.lanes == 1
    inner = read(part)
    paths = {path for path in everything.variables if path[:2] == ("top", scope)}
    assert paths and set(inner.variables) - {("top", "clk")} == paths
    assert len(paths) < len(everything.variables) - 1
    rises = np.arange(inner.times[-1] // 10_000) * 10_000
    for path in paths:
        assert inner.values(path, rises) == everything.values(path, rises), path


@pytest.mark.parametrize(
    ("wave", "options", "message"),
    [
        ("a.txt", {}, "a waveform file must end in .vcd or .fst, not 'a.txt'"),
        ("a", {}, "a waveform file must end in .vcd or .fst, not 'a'"),
        (
            ("a.vcd", {"lane": 3}),
            {"lanes": 3},
            "the lane of waveforms must lie in 0 to 2, not 3",
        ),
        (("a.vcd", {"lane": -1}), {}, "the lane of waveforms must lie in 0 to 0, not -1"),
        (("a.fst", {"lane": 1}), {}, "the lane of waveforms must lie in 0 to 0, not 1"),
        (
            ("a.fst", {"first": 10_000}),
            {},
            "the run is over after {cycles} cycles, before waveforms begin",
        ),
        (
            "a.fst",
            {"engine": "amaranth"},
            "the amaranth engine writes waveforms as VCD, and 'a.fst' does not end in .vcd",
        ),
        (
            ("a.vcd", {"lane": 1}),
            {"engine": "amaranth"},
            "the amaranth engine writes the waveforms of all signals and cycles only",
        ),
        (
            ("a.vcd", {"first": 5}),
            {"engine": "amaranth"},
            "the amaranth engine writes the waveforms of all signals and cycles only",
        ),
        (
            "a.fst",
            {"engine": "verilator"},
            "the verilator engine writes waveforms as VCD, and 'a.fst' does not end in .vcd",
        ),
    ],
)
def test_wrong_wave(wave, options, message, tmp_path):
    name, where = wave if isinstance(wave, tuple) else (wave, None)
    wave = tmp_path / name
    if where:
        wave = Wave(wave, **where)
    pattern = re.escape(message).replace(r"\{cycles\}", r"\d+")
    with pytest.raises(ValueError, match=f"^{pattern}$"):
        simulate(DESIGN, IMAGES[:3], wave=wave, **options)
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(("first", "last"), [(-1, None), (5, 5), (5, 4), (-3, -1)])
def test_wrong_cycles_of_a_wave(first, last):
    with pytest.raises(ValueError) as caught:
        Wave("a.vcd", first=first, last=last)
    assert str(caught.value) == (
        f"waveforms must be of at least one cycle, not of {first} to {last}"
    )


def test_no_such_scope_of_a_wave(tmp_path):
    with pytest.raises(KeyError, match=r"the design has no signal inner\.design\.nope\.\*"):
        simulate(DESIGN, IMAGES[:1], wave=Wave(tmp_path / "a.vcd", scope="nope"))
    assert [*tmp_path.iterdir()] == []


# Wrong arguments


@pytest.mark.parametrize("lanes", [0, -1, 1025, 2.0, "2"])
def test_wrong_lanes(lanes):
    with pytest.raises(ValueError) as caught:
        simulate(DESIGN, IMAGES, lanes=lanes)
    assert str(caught.value) == f"lanes must be an integer from 1 to 1024, not {lanes!r}"


def test_more_lanes_than_images():
    with pytest.raises(ValueError) as caught:
        simulate(DESIGN, IMAGES, lanes=8)
    assert str(caught.value) == "lanes must be at most the number of images, 7, not 8"


@pytest.mark.parametrize("threads", [0, -1, 1.5])
def test_wrong_threads(threads):
    with pytest.raises(ValueError) as caught:
        simulate(DESIGN, IMAGES, lanes=3, threads=threads)
    assert str(caught.value) == f"threads must be an integer of at least 1, not {threads}"


def test_wrong_design():
    with pytest.raises(TypeError) as caught:
        simulate(NETWORK, IMAGES)
    assert str(caught.value) == (
        "design must be a Design, as hwsim.build gives, not IntegerNetwork"
    )
