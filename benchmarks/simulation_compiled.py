"""One measurement of the compiled engine, in a process of its own: see `benchmarks.simulation`.

Reads a JSON object from standard input and writes one to standard output.
"""

import json
import os
import sys
import time

BEGIN = time.perf_counter()

# The first two are loaded by compiling.
import hwsim.sim.compiled.frontend  # noqa: E402
import hwsim.sim.compiled.simplify  # noqa: E402, F401
from hwsim.rtl.once import convert  # noqa: E402
from hwsim.sim.compiled.program import compile_rtlil  # noqa: E402
from hwsim.sim.stimulus.harness import Clocked  # noqa: E402

from .simulation_designs import LARGE, LOADS  # noqa: E402

# What Python loads is the same for every design, and no part of compiling one.
IMPORT_SECONDS = time.perf_counter() - BEGIN


def clocks():
    """Wall clock and processor time."""
    return time.perf_counter(), time.process_time()


def start(task):
    """From the Python object to the first cycle; the simulation, and how long that took."""
    load = LARGE if task["design"] == "large" else LOADS[task["design"]]
    shared, lanes = task["shared"], task["lanes"]
    arrays = load.buffers(lanes, shared=shared)
    wall, busy = clocks()
    driver = load.driver(shared=shared)
    text = convert(Clocked(driver), name="bench", emit_src=False)
    converted = time.perf_counter()
    program = compile_rtlil(text, "\\bench", lanes=lanes)
    simulation = program.simulation()
    for name, array in arrays.items():
        simulation.buffers[name] = array
    simulation.run(1)
    wall_end, busy_end = clocks()
    seconds = {
        "compile_s": wall_end - wall,
        "compile_cpu_s": busy_end - busy,
        "elaborate_s": converted - wall,
        "import_s": IMPORT_SECONDS,
        "code_bytes": len(program.code),
        "state_bytes": program.size,
    }
    return load, simulation, seconds


def words(value, count):
    """Digests in a value of the output."""
    return [int(value) >> 32 * k & 0xFFFFFFFF for k in range(count)]


def measure(task):
    """Compile; look at digests after numbers of cycles; time runs of at least so many seconds."""
    load, simulation, result = start(task)
    lanes = task["lanes"]
    result["digests"] = []
    for cycles in task["check_cycles"]:
        simulation.run(cycles - simulation.cycles)
        found = simulation.peek("digest")
        found = [found] if lanes == 1 else [found[lane] for lane in task["check_lanes"]]
        result["digests"].append([words(value, load.digests) for value in found])
    result["runs"] = []
    cycles = max(1, 20_000 // lanes)
    while len(result["runs"]) < task["runs"]:
        before = clocks()
        simulation.run(cycles)
        wall, busy = (after - begin for after, begin in zip(clocks(), before, strict=True))
        if wall >= task["seconds"]:
            result["runs"].append({"cycles": cycles, "wall_s": wall, "cpu_s": busy})
        else:
            cycles = int(cycles * min(10, 1.2 * task["seconds"] / max(wall, 1e-6)) + 1)
    return result


if __name__ == "__main__":
    # Nothing is to be found that was compiled before.
    os.environ["HWSIM_CACHE"] = ""
    json.dump(measure(json.load(sys.stdin)), sys.stdout)
