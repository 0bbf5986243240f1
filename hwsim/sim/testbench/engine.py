"""An engine for Amaranth's simulator: testbenches as they are, on compiled code.

Amaranth's own parts provide what a testbench sees: contexts, ticks, samples. An engine knows about
signals and time. Here time is that of one clock, and what a testbench waits for is its rising edge.
At an edge

1. what the waiting testbenches sample is evaluated, in the state before the edge;
2. the design runs one cycle;
3. the testbenches run, in the order in which they were added, until each of them waits again.

That is the order in which Amaranth's engine does the same.
"""

import contextlib
import os

from amaranth.hdl import ShapeCastable, Signal, Value
from amaranth.sim import BrokenTrigger

# The parts of an engine. They are not documented, and have been the same in all versions 0.5.
from amaranth.sim._async import AsyncProcess, ChangedTrigger, DelayTrigger, EdgeTrigger
from amaranth.sim._base import BaseEngine
from amaranth.sim._pyeval import eval_assign, eval_value

from hwsim.sim.waves import check_suffix

from .model import Input, wrapped
from .recorder import Recorder

__all__ = ["Engine"]


class Engine(BaseEngine):
    """Testbenches around a `Model`.

    Parameters
    ----------
    design : amaranth.hdl._ir.Design or None
    model : Model

    Members
    -------
    edges : int
        Rising edges of the clock so far.
    """

    def __init__(self, design, model):
        self.model = model
        self._design = design
        self._state = _State(model)
        self._testbenches = []
        self._recorder = None
        self._clocked = False
        self._phase_fs = self._half_fs = 0
        self._restart()

    def _restart(self):
        self.edges = 0
        self._now_fs = 0
        # How often the clock has toggled, including the time that is now.
        self._toggles = 0
        self._waiting = []

    # What Amaranth's simulator asks of an engine.

    @property
    def state(self):
        """Values, for the evaluation of expressions."""
        return self._state

    @property
    def now(self):
        """Time in femtoseconds."""
        return self._now_fs

    def reset(self):
        """Start anew."""
        self._restart()
        self.model.reset()
        for testbench in self._testbenches:
            testbench.reset()

    def add_clock_process(self, clock, *, phase, period):
        """Let a signal be the clock."""
        if self.model.clock is not None and self.model.clock is not clock:
            raise NotImplementedError(
                f"the compiled engine has one clock, {self.model.clock.name}, and not {clock.name}"
            )
        self.model.clock = clock
        self._clocked = True
        self._phase_fs, self._half_fs = phase, period // 2

    def add_async_testbench(self, simulator, process, *, background):
        """Add a testbench."""
        self._testbenches.append(
            AsyncProcess(self._design, self, process, testbench=True, background=background)
        )

    def add_async_process(self, simulator, process):
        """Refuse a process."""
        raise NotImplementedError(
            "the compiled engine runs no processes: add a testbench, or use Amaranth's simulator"
        )

    def add_trigger_combination(self, combination, *, oneshot):
        """Begin to wait."""
        return _Trigger(self, combination, oneshot=oneshot)

    def get_value(self, expr):
        """Value of an expression."""
        expr = Value.cast(expr)
        if isinstance(expr, Signal):
            return self.model.slot(expr).curr
        return eval_value(self._state, expr)

    def set_value(self, expr, value):
        """Assign to an expression; what does not fit is cut off."""
        expr = Value.cast(expr)
        slot = self.model.slot(expr) if isinstance(expr, Signal) else None
        if slot is None or slot.is_comb:
            eval_assign(self._state, expr, value)
        else:
            slot.update(wrapped(value, slot.shape))

    def step_design(self):
        """Do nothing: what was set takes effect when something is read."""

    def advance(self):
        """Do what happens now, and go on to the time at which something happens next."""
        if self._toggles:
            self.model.level = self._toggles & 1
            if self.model.level:
                self._edge()
        self._run_testbenches()
        critical = any(testbench.critical for testbench in self._testbenches)
        if self._clocked:
            self._now_fs = self._phase_fs + self._toggles * self._half_fs
            self._toggles += 1
        elif critical:
            raise RuntimeError(
                "a testbench waits for what cannot happen, because no clock was added"
            )
        return critical

    @contextlib.contextmanager
    def write_vcd(self, *, vcd_file, gtkw_file, traces, fs_per_delta, lane=0):
        """Record the present state and all cycles from now on, and write them to a file at last."""
        if not isinstance(vcd_file, str | os.PathLike):
            raise TypeError(f"the waveform file must be a path, not {type(vcd_file).__name__}")
        if gtkw_file is not None:
            raise NotImplementedError("the compiled engine writes no save files for GTKWave")
        check_suffix(vcd_file)
        period_ps = max(2, 2 * self._half_fs // 1000) if self._clocked else 10_000
        self._recorder = recorder = Recorder(self.model, lane)
        first = self.edges
        try:
            yield
        finally:
            self._recorder = None
            recorder.look()
            recorder.write(vcd_file, first_cycle=first, period_ps=period_ps)

    # The rest.

    def step(self, cycles):
        """Run some cycles."""
        if not self._testbenches:
            self.edges += cycles
            (self._recorder or self.model).step(cycles)
            return
        if not self._clocked:
            raise RuntimeError("testbenches run along with a clock, and no clock was added")
        end = self.edges + cycles
        while self.edges < end:
            self.advance()

    def wait(self, trigger, edge):
        """Let a trigger know when an edge comes."""
        if edge.signal is self.model.clock and edge.polarity == 1:
            if not self._clocked:
                raise RuntimeError("a testbench waits for the clock, and no clock was added")
            self._waiting.append((trigger, edge))
            return
        slot = self.model.slot(edge.signal)
        if not isinstance(slot, Input):
            raise NotImplementedError(
                "the compiled engine waits for rising edges of the clock, and for edges of inputs, "
                f"but not for edges of {edge.signal.name}"
            )

        def waker(old, new):
            old, new = old >> edge.bit & 1, new >> edge.bit & 1
            return trigger.hit(edge) if (old, new) == (1 - edge.polarity, edge.polarity) else True

        slot.wakers.append(waker)

    def _edge(self):
        waiting, self._waiting = self._waiting, []
        self._waiting = [(trigger, edge) for trigger, edge in waiting if trigger.hit(edge)]
        self.edges += 1
        if self._recorder is not None:
            self._recorder.look()
        self.model.step(1)

    def _run_testbenches(self):
        ran = True
        while ran:
            ran = False
            for testbench in self._testbenches:
                if testbench.runnable:
                    testbench.runnable = False
                    testbench.run()
                    ran = True
                    if not isinstance(testbench.waits_on, _Trigger | None):
                        raise TypeError("a testbench can wait for triggers of its context only")


class _State:
    """What Amaranth's evaluation of expressions asks for."""

    def __init__(self, model):
        self.get_signal = model.slot
        self.slots = _Itself()

    def get_memory(self, memory):
        raise NotImplementedError("the compiled engine does not read or set rows of memories")


class _Itself:
    """Gives what it is asked for: slots stand for themselves."""

    def __getitem__(self, slot):
        return slot


class _Trigger:
    """What a testbench waits for, once or repeatedly."""

    def __init__(self, engine, combination, *, oneshot):
        self._engine = engine
        self._process = combination._process
        self._parts = combination._triggers
        self._oneshot = oneshot
        self._result = None
        self._broken = False
        for part in self._parts:
            if isinstance(part, DelayTrigger):
                raise NotImplementedError("the compiled engine has no delays: wait for ctx.tick()")
            if isinstance(part, ChangedTrigger):
                raise NotImplementedError(
                    "the compiled engine does not wait for changes of signals: use "
                    "ctx.tick().until(...)"
                )
            if isinstance(part, EdgeTrigger):
                engine.wait(self, part)

    def hit(self, hit):
        """Wake up the testbench; whether the edge is waited for again."""
        if self._broken:
            return False
        if self._process.waits_on is not self:
            # The testbench was elsewhere, and missed it.
            self._broken = True
            return False
        self._process.waits_on = None
        self._process.runnable = True
        result = []
        for part in self._parts:
            if isinstance(part, EdgeTrigger):
                result.append(part is hit)
            else:
                value = self._engine.get_value(part.value)
                castable = isinstance(part.shape, ShapeCastable)
                result.append(part.shape.from_bits(value) if castable else value)
        self._result = tuple(result)
        return not self._oneshot

    def initial_eligible(self):
        """Whether it is active at the start."""
        return False

    def __await__(self):
        self._result = None
        if self._broken:
            raise BrokenTrigger
        yield self
        if self._broken:
            raise BrokenTrigger
        return self._result
