# amaranth: UnusedElaboratable=no
"""The compiled engine: runs in pieces and in parts, what it records, its waveforms."""

import threading

import numpy as np
import pytest
from amaranth.hdl import Module, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hwsim.sim import amaranth_engine, compiled_engine
from hwsim.sim.compiled_engine import DESIGN, Run, run
from hwsim.sim.engine import Stalled, Stimulus, StreamError, Unfinished, Wave

from .test_waves import check, read


@pytest.fixture(scope="module", autouse=True)
def _programs(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HWSIM_CACHE", str(tmp_path_factory.mktemp("programs")))
        yield


class Sums(wiring.Component):
    """Running sums; a beat leaves after it came, if its bit 0 is set it takes a cycle more."""

    def __init__(self, *, slow=False):
        self._slow = slow
        super().__init__({"i": In(stream.Signature(signed(8))), "o": Out(stream.Signature(72))})

    def elaborate(self, platform):
        m = Module()
        total = Signal(72)
        wait = Signal()
        m.submodules.inner = inner = Last()
        m.d.comb += inner.data.eq(total)
        with m.If(~self.o.valid | self.o.ready):
            m.d.comb += self.i.ready.eq(~wait)
            m.d.sync += [self.o.valid.eq(self.i.valid & self.i.ready), wait.eq(0)]
            with m.If(self.i.valid & self.i.ready):
                m.d.sync += [total.eq(total + (self.i.payload << 32)), self.o.payload.eq(total)]
                if self._slow:
                    m.d.sync += wait.eq(self.i.payload[0])
        return m


class Last(wiring.Component):
    """A register in a scope of its own."""

    def __init__(self):
        super().__init__({"data": In(72), "late": Out(72)})

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.late.eq(self.data ^ 1)
        return m


def _beats(*shape, seed=0):
    return np.random.default_rng(seed).integers(-128, 128, (*shape, 1))


def _equal(first, second):
    for kind in ("inputs", "outputs", "probes"):
        ours, theirs = getattr(first, kind), getattr(second, kind)
        assert ours.keys() == theirs.keys()
        for name, transfers in ours.items():
            assert np.array_equal(transfers.cycles, theirs[name].cycles), name
            assert np.array_equal(transfers.codes, theirs[name].codes), name
            assert transfers.elements == theirs[name].elements
    assert first.cycles == second.cycles


@pytest.mark.parametrize("slow", [False, True])
@pytest.mark.parametrize("lane_stalls", [False, True])
@pytest.mark.parametrize(("lanes", "threads"), [(2, 2), (3, 2), (4, 3), (5, 9), (9, 4)])
def test_parts(lanes, threads, lane_stalls, slow):
    """Lanes are independent of how they are divided among threads."""
    beats = _beats(lanes, 30, seed=lanes)
    stimulus = {"stalls": 0.3, "seed": 1, "lane_stalls": lane_stalls}
    whole = run(Sums(slow=slow), Stimulus({"i": beats}, {"o": 30}, **stimulus))
    parts = run(Sums(slow=slow), Stimulus({"i": beats}, {"o": 30}, threads=threads, **stimulus))
    _equal(parts, whole)
    assert whole.outputs["o"].cycles.shape == (lanes, 30)
    totals = np.cumsum(beats[..., 0].astype(object) << 32, axis=1) - (beats[..., 0] << 32)
    assert np.array_equal(np.array(whole.outputs["o"].payloads, object), totals % (1 << 72))
    # Each lane as it would be alone, if the stalls are the same.
    if not lane_stalls:
        alone = amaranth_engine.run(
            Sums(slow=slow), Stimulus({"i": beats[1]}, {"o": 30}, stalls=0.3, seed=1)
        )
        assert np.array_equal(alone.outputs["o"].cycles, whole.outputs["o"].cycles[1])
        assert alone.outputs["o"].payloads == whole.outputs["o"].payloads[1]


def test_parts_run_on_threads(monkeypatch):
    names = []
    real = compiled_engine._finish

    def noted(run, progress=None):
        names.append(threading.current_thread())
        return real(run, progress)

    monkeypatch.setattr(compiled_engine, "_finish", noted)
    beats = _beats(6, 5)
    run(Sums(), Stimulus({"i": beats}, {"o": 5}, threads=3))
    assert len(names) == 3 and threading.main_thread() not in names
    names.clear()
    run(Sums(), Stimulus({"i": beats[0]}, {"o": 5}, threads=3))
    assert names == [threading.main_thread()]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"limit": 20}, Unfinished, r"^the run is not over after 20 cycles, i made \d+ of 30, o "),
        ({"patience": 50, "more": 1}, Stalled, r"^nothing moved for 50 cycles up to cycle \d+: i"),
    ],
)
def test_failures_of_parts(options, error, message, threads):
    options = dict(options)
    count = 30 + options.pop("more", 0)
    stimulus = Stimulus({"i": _beats(3, 30)}, {"o": count}, threads=threads, **options)
    with pytest.raises(error, match=message):
        run(Sums(), stimulus)


class Changes(wiring.Component):
    """Changes a beat that waits, if the beat before was 7."""

    def __init__(self):
        super().__init__({"i": In(stream.Signature(8)), "o": Out(stream.Signature(8))})

    def elaborate(self, platform):
        m = Module()
        bad = Signal()
        count = Signal(8)
        m.d.comb += [
            self.o.valid.eq(self.i.valid),
            self.i.ready.eq(self.o.ready),
            self.o.payload.eq(self.i.payload + (count & bad.replicate(8))),
        ]
        m.d.sync += count.eq(count + 1)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += bad.eq(self.i.payload == 7)
        return m


@pytest.mark.parametrize("threads", [1, 2])
def test_failure_in_one_part(threads):
    beats = np.zeros((4, 30, 1), int)
    stimulus = Stimulus({"i": beats}, {"o": 30}, stalls=0.5, threads=threads)
    run(Changes(), stimulus)
    beats[3, :20] = 7
    with pytest.raises(StreamError, match="stream o changed a beat that was offered"):
        run(Changes(), stimulus)


# Step by step


def test_run_in_pieces():
    stimulus = Stimulus({"i": _beats(3, 40)}, {"o": 40}, stalls=0.3, seed=2)
    whole = run(Sums(), stimulus)
    pieces = Run(Sums(), stimulus)
    assert (pieces.cycles, pieces.received, pieces.over) == (0, 0, False)
    last = 0
    while not pieces.over:
        before = pieces.cycles
        pieces.advance(7)
        assert before < pieces.cycles <= before + 7
        assert last <= pieces.received <= 40
        last = pieces.received
    assert last == 40
    _equal(pieces.recording(), whole)


def test_after_another_run():
    """The component goes on with its sum; cycles, positions and stalls begin anew."""
    beats = np.arange(1, 12)[:, None]
    whole = run(Sums(), Stimulus({"i": beats}, {"o": 11})).outputs["o"].payloads
    last, found = None, []
    for part in np.split(beats, [4, 5]):
        stimulus = Stimulus({"i": part}, {"o": len(part)}, stalls=0.3, seed=len(part))
        alone = Run(Sums(), stimulus)
        last = Run(Sums(), stimulus, after=last)
        for one in (alone, last):
            one.advance(1000)
        recording = last.recording()
        found += recording.outputs["o"].payloads
        assert (recording.inputs["i"].cycles == alone.recording().inputs["i"].cycles).all()
        assert last.cycles == alone.cycles
    assert found == whole


def test_program_of_another_run():
    stimulus = Stimulus({"i": _beats(3, 40)}, {"o": 40})
    first = Run(Sums(), stimulus)
    second = Run(Sums(), stimulus, like=first)
    assert second.simulation.program is first.simulation.program
    first.advance(10)
    assert (first.cycles, second.cycles) == (10, 0)
    for each in (second, first):
        while not each.over:
            each.advance(1000)
    _equal(first.recording(), second.recording())


# Waveforms


def _recorded(stimulus, lane, first, cycles, scope=""):
    """Integers of all signals in some cycles, by path."""
    start = f"{DESIGN}.{scope}"
    reference = Run(Sums(slow=True), stimulus, observe=[f"{start}*" if scope else f"{DESIGN}.*"])
    while reference.cycles < first:
        reference.advance(1)
    paths = reference.simulation.program.paths(start if scope else f"{DESIGN}.")
    found = reference.record(paths, cycles, lane)
    result = {}
    for path, array in found.items():
        words = array.reshape(len(array), -1)
        values = [sum(int(word) << 64 * k for k, word in enumerate(row)) for row in words]
        result["top", *path.removeprefix(f"{DESIGN}.").split(".")] = values
    return result


@pytest.mark.parametrize("scope", ["", "inner"])
@pytest.mark.parametrize(
    ("first", "last", "lane"), [(0, None, 0), (3, 20, 1), (10, 11, 2), (15, 10_000, 2)]
)
def test_wave_is_what_is_recorded(scope, first, last, lane, tmp_path, monkeypatch):
    # Written in several slices.
    monkeypatch.setattr(compiled_engine, "SLICE_BYTES", 1_000)
    path = tmp_path / "wave.vcd"
    options = {"stalls": 0.2, "seed": 4, "lane_stalls": True}
    plain = Stimulus({"i": _beats(3, 25)}, {"o": 25}, **options)
    wave = Wave(path, scope=scope, first=first, last=last, lane=lane)
    recording = run(
        Sums(slow=True), Stimulus({"i": _beats(3, 25)}, {"o": 25}, wave=wave, **options)
    )
    _equal(recording, run(Sums(slow=True), plain))
    cycles = 10_000 if last is None else last - first
    expected = _recorded(plain, lane, first, cycles, f"{scope}." if scope else "")
    assert any(path[-1] == "late" for path in expected)
    found = read(path)
    # The cycle that ends a run is not its own any more, and need not be there.
    length = found.times[-1] // 10_000 - first
    whole = len(next(iter(expected.values())))
    assert length == whole or (length == whole - 1 and whole < cycles)
    expected = {name: values[:length] for name, values in expected.items()}
    check(found, expected, first_cycle=first)


def test_wave_without_lanes(tmp_path):
    for name in ("a.vcd", "b.VCD"):
        path = tmp_path / name
        run(Sums(), Stimulus({"i": _beats(5)}, {"o": 5}, wave=path, threads=4))
        assert ("top", "inner", "late") in read(path).variables
    assert (tmp_path / "a.vcd").read_bytes() == (tmp_path / "b.VCD").read_bytes()


def test_wave_that_begins_at_the_end(tmp_path):
    stimulus = Stimulus({"i": _beats(5)}, {"o": 5})
    done = Run(Sums(), stimulus)
    while not done.over:
        done.advance(1)
    for first in (done.cycles, done.cycles + 1):
        wave = Wave(tmp_path / "a.vcd", first=first)
        with pytest.raises(ValueError) as caught:
            run(Sums(), Stimulus({"i": _beats(5)}, {"o": 5}, wave=wave))
        # The cycle that ends a run may be among them.
        assert str(caught.value) in [
            f"the run is over after {cycles} cycles, before waveforms begin"
            for cycles in (done.cycles, done.cycles + 1)
        ]
    wave = Wave(tmp_path / "a.vcd", first=done.cycles - 1)
    run(Sums(), Stimulus({"i": _beats(5)}, {"o": 5}, wave=wave))
    times = read(tmp_path / "a.vcd").times
    assert times[0] == (done.cycles - 1) * 10_000
    assert times[-1] in (done.cycles * 10_000, (done.cycles + 1) * 10_000)


def test_progress_with_waves(tmp_path):
    calls = []
    stimulus = Stimulus(
        {"i": _beats(3, 5)},
        {"o": 5},
        wave=tmp_path / "a.fst",
        progress=lambda *call: calls.append(call),
    )
    recording = run(Sums(), stimulus)
    assert calls[-1][0] == 5
    assert calls[-1][1] > recording.outputs["o"].cycles.max()
