"""The engine that compiles a design, together with its stimulus, to machine code."""

import numpy as np

from hwsim.rtl.once import convert

from .compiled.program import compile_rtlil
from .engine import plan
from .stimulus.arrays import contents, raise_failure, recording
from .stimulus.harness import Clocked, Harness

__all__ = ["run"]

# Between two looks at how the run goes.
SLICE_CYCLES = 100_000


def run(component, stimulus):
    """Simulate ``component`` under ``stimulus``. Raises `StreamError`, `Stalled`, `Unfinished`.

    Compiled code is for a component, a number of lanes and the streams that are fed and watched; it
    is the same for all beats, numbers of beats, seeds and limits. A component that needs a reset
    says for how many cycles by an attribute ``reset_cycles``. Probes are not for the inside of
    components that are elaborated once (`hwsim.rtl.once`).
    """
    todo = plan(component, stimulus)
    harness = Harness(
        component,
        todo,
        stalls=stimulus.stalls > 0,
        lane_stalls=stimulus.lane_stalls,
        until=stimulus.until,
    )
    reset_cycles = getattr(component, "reset_cycles", 0)
    text = convert(Clocked(harness, reset_cycles=reset_cycles), name="harness")
    program = compile_rtlil(text, "\\harness", lanes=todo.lanes or 1)
    simulation = program.simulation()
    shared = {name: is_shared for name, (_, is_shared) in program.buffers.items()}
    for name, array in contents(todo, stimulus, shared).items():
        simulation.buffers[name] = array
    simulation.run(reset_cycles)
    while not np.all(simulation.peek("stop")):
        simulation.run(SLICE_CYCLES)
        cycles = simulation.cycles - reset_cycles
        if stimulus.progress is not None:
            stimulus.progress(int(np.min(simulation.peek("received"))), cycles)
        raise_failure(harness, todo, stimulus, simulation.peek, cycles)
    return recording(todo, stimulus, simulation.buffers)
