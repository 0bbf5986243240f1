"""The engine that compiles a design, together with its stimulus, to machine code."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from hwsim.rtl.once import convert

from .compiled.program import compile_rtlil
from .engine import Recording, Transfers, Wave, plan
from .stimulus.arrays import contents, raise_failure, recording
from .stimulus.harness import Clocked, Harness
from .waves import Trace, check_suffix, write_wave

__all__ = ["DESIGN", "Run", "run"]

# Path of the component in the design that is simulated.
DESIGN = "inner.design"
# Between two looks at how a run goes.
SLICE_CYCLES = 100_000
# Memory for the waveforms of a slice.
SLICE_BYTES = 1 << 26


def run(component, stimulus, reuse=None):
    """Simulate ``component`` under ``stimulus``.

    reuse : list, optional
        The first run that gets it leaves itself there; those after it, of equal components with the
        same streams and lanes, are not compiled again.

    Raises
    ------
    StreamError, Stalled, Unfinished
    """
    lanes = plan(component, stimulus).lanes or 1
    if stimulus.wave is not None:
        return _run_with_wave(component, stimulus, lanes)
    reuse = [] if reuse is None else reuse
    parts = min(stimulus.threads, lanes)
    if parts > 1:
        return _run_parts(component, stimulus, lanes, parts, reuse)
    return _finish(_run_like(component, stimulus, reuse), stimulus.progress)


def _run_like(component, stimulus, reuse, **options):
    run = Run(component, stimulus, like=reuse[0] if reuse else None, **options)
    if not reuse:
        reuse.append(run)
    return run


def _finish(run, progress=None):
    while not run.over:
        run.advance(SLICE_CYCLES)
        if progress is not None:
            progress(run.received, run.cycles)
    return run.recording()


def _run_parts(component, stimulus, lanes, parts, reuse):
    """Lanes divided among threads. The last ones do some of the first again if they do not fit."""
    each = -(-lanes // parts)
    starts = [min(k * each, lanes - each) for k in range(parts)]

    def part(array, start):
        array = np.asarray(array)
        return array[start : start + each] if array.ndim == 3 else array

    def run_of(start):
        inputs = {name: part(beats, start) for name, beats in stimulus.inputs.items()}
        buffers = {
            name: array[start : start + each] if np.ndim(array) == 2 else array
            for name, array in stimulus.buffers.items()
        }
        mine = replace(stimulus, inputs=inputs, buffers=buffers)
        return _run_like(component, mine, reuse, first_lane=start)

    runs = [run_of(start) for start in starts]
    with ThreadPoolExecutor(parts) as pool:
        waiting = [pool.submit(_finish, runs[0], stimulus.progress)]
        waiting += [pool.submit(_finish, run) for run in runs[1:]]
        recordings = [task.result() for task in waiting]
    ends = [*starts[1:], lanes]
    counts = [end - start for start, end in zip(starts, ends, strict=True)]

    def join(arrays):
        return np.concatenate([a[:n] for a, n in zip(arrays, counts, strict=True)])

    def joined(kind):
        tables = [getattr(recording, kind) for recording in recordings]
        return {
            name: Transfers(
                join([table[name].cycles for table in tables]),
                join([table[name].codes for table in tables]),
                first.elements,
                join([table[name].held for table in tables]),
                join([table[name].starved for table in tables]),
            )
            for name, first in tables[0].items()
        }

    buffers = {
        name: join([recording.buffers[name] for recording in recordings])
        for name in recordings[0].buffers
    }
    return Recording(joined("inputs"), joined("outputs"), joined("probes"), buffers)


def _run_with_wave(component, stimulus, lanes):
    """Record the signals in the cycles that are wanted, and write them when these are over."""
    wave = stimulus.wave if isinstance(stimulus.wave, Wave) else Wave(Path(stimulus.wave))
    check_suffix(wave.path)
    if not 0 <= wave.lane < lanes:
        raise ValueError(f"the lane of waveforms must lie in 0 to {lanes - 1}, not {wave.lane}")
    scope = f"{DESIGN}.{wave.scope}." if wave.scope else f"{DESIGN}."
    run = Run(component, stimulus, observe=[f"{scope}*"])
    while not run.over and run.cycles < wave.first:
        run.advance(min(SLICE_CYCLES, wave.first - run.cycles))
    if run.over:
        raise ValueError(f"the run is over after {run.cycles} cycles, before waveforms begin")
    paths = run.simulation.program.paths(scope)
    pieces = []
    first = run.cycles
    slice_cycles = max(1, SLICE_BYTES // (8 * len(paths) or 1))
    while not run.over and (wave.last is None or run.cycles < wave.last):
        left = slice_cycles if wave.last is None else min(slice_cycles, wave.last - run.cycles)
        pieces.append(run.record(paths, left, wave.lane))
        if stimulus.progress is not None:
            stimulus.progress(run.received, run.cycles)
    traces = []
    for path in paths:
        values = np.concatenate([piece[path] for piece in pieces])
        names = ("top", *path.removeprefix(f"{DESIGN}.").split("."))
        traces.append(Trace(names, run.simulation.width(path), values))
    write_wave(wave.path, traces, first_cycle=first)
    return _finish(run, stimulus.progress)


class Run:
    """A simulation of a component under a stimulus.

    The compiled code is for a component, a number of lanes and the streams that are fed and
    watched; it is the same for all beats, numbers of beats, seeds and limits. A component that
    needs a reset says for how many cycles by an attribute ``reset_cycles``. Probes are not for the
    inside of components that are elaborated once (`hwsim.rtl.once`).

    Parameters
    ----------
    component : wiring.Component
    stimulus : Stimulus
    observe : sequence of str, or "all"
        Signals to observe, see `compile_rtlil`; those of the component begin with `DESIGN`.
    like : Run, optional
        A run of the same component with the same streams and number of lanes, whose program is
        used.
    first_lane : int
        Number of the first lane, of which the stalls depend if each lane has its own.
    after : Run, optional
        A run that is over: as `like`, and the component goes on from where it was left.

    Members
    -------
    simulation : Simulation
        After the reset.
    """

    def __init__(self, component, stimulus, *, observe=(), like=None, first_lane=0, after=None):
        like = after or like
        self._stimulus = stimulus
        self._plan = plan(component, stimulus)
        self._reset_cycles = getattr(component, "reset_cycles", 0)
        if like is not None:
            self._harness, program = like._harness, like.simulation.program
        else:
            self._harness = Harness(
                component,
                self._plan,
                stalls=stimulus.stalls > 0,
                lane_stalls=stimulus.lane_stalls,
                until=stimulus.until,
            )
            whole = Clocked(self._harness, reset_cycles=self._reset_cycles)
            lanes = self._plan.lanes or 1
            text = convert(whole, name="harness")
            program = compile_rtlil(text, "\\harness", lanes=lanes, observe=observe)
        self.simulation = program.simulation()
        shared = {name: is_shared for name, (_, is_shared) in program.buffers.items()}
        for name, array in contents(self._plan, stimulus, shared, first_lane).items():
            self.simulation.buffers[name] = array
        self.simulation.run(self._reset_cycles)
        if after is not None:
            self._go_on(after.simulation.checkpoint())

    def _go_on(self, past):
        """The component is as it was; what stands around it begins anew."""
        now = self.simulation.checkpoint()
        around = DESIGN.partition(".")[0] + "."

        def of_component(key):
            name = key.partition(" ")[2]
            return name.startswith(f"{DESIGN}.") or not name.startswith(around)

        states = {
            key: past.states[key] if of_component(key) else state
            for key, state in now.states.items()
        }
        self.simulation.restore(replace(now, states=states))

    @property
    def cycles(self):
        """Cycles since the reset."""
        return self.simulation.cycles - self._reset_cycles

    @property
    def over(self):
        """Whether every lane is at its end."""
        return bool(np.all(self.simulation.peek("stop")))

    @property
    def received(self):
        """Beats at all outputs so far; of the lane that has the fewest."""
        return int(np.min(self.simulation.peek("received")))

    def advance(self, cycles):
        """Run up to so many cycles; fewer if it ends.

        Raises
        ------
        StreamError, Stalled, Unfinished
        """
        self.simulation.run(cycles)
        self._check()

    def record(self, paths, cycles, lane):
        """As `advance`, with the values of signals; see `Simulation.record`."""
        found = self.simulation.record(paths, cycles, lane=lane)
        self._check()
        return found

    def _check(self):
        peek = self.simulation.peek
        raise_failure(self._harness, self._plan, self._stimulus, peek, self.cycles)

    def recording(self):
        """The `Recording`, once the run is over."""
        peek = self.simulation.peek
        return recording(self._plan, self._stimulus, self.simulation.buffers, peek)
