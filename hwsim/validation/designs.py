"""Cycles that our models state, beside those that the hardware takes.

Designs are drawn at random and simulated cycle by cycle; every value that they compute is compared
with the integer reference as well.
"""

import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from multiprocessing import get_context
from typing import Any

import numpy as np
import pandas as pd

from hwsim.blocks.streaming import Streaming
from hwsim.blocks.systolic.config import Systolic
from hwsim.blocks.systolic.timing import Memory
from hwsim.compiler.compile import compile_network
from hwsim.models.dataflow.systolic_simulation import SharedMemory, run
from hwsim.models.reference import integer
from hwsim.network.network import NetworkError
from hwsim.rtl.build import build
from hwsim.rtl.systolic.accelerator import Accelerator
from hwsim.rtl.systolic.dma import memory_port
from hwsim.rtl.systolic.sequencer import program_port
from hwsim.sim.compiled_engine import Run
from hwsim.sim.engine import Stimulus
from hwsim.sim.simulate import simulate
from hwsim.sim.stimulus.axi import AxiMemory

from .autostart import Autostart
from .check import Check
from .networks import images_for, random_network

__all__ = ["Simulator", "contention", "streaming", "systolic"]

# Networks that share an accelerator, which is compiled once.
PROGRAMS = 6
# Runs of the model, of which the mean counts, where chance has a part.
RUNS = 5
# Where instructions lie, so that all programs of an accelerator share one simulation.
PROGRAM_ADDRESS = 1 << 20
PROGRAM_BYTES = 1 << 18
SOURCE = "simulation of the hardware, cycle by cycle"


class Simulator:
    """Runs programs of one configuration in simulation, with one compilation of it.

    Parameters
    ----------
    config : Systolic
    memory : Memory
        Behind both ports.
    traffic
        More parameters of the memory for data, see `AxiMemory`.

    Members
    -------
    cycles : int
        Of the last run, from the start to the end of the program.
    """

    def __init__(self, config, *, memory=None, **traffic):
        self._top = Autostart(Accelerator(config), PROGRAM_ADDRESS)
        latency = asdict(memory or Memory(outstanding_reads=8))
        self._agents = {
            "memory": AxiMemory(
                name="memory",
                signature=memory_port(config),
                size=PROGRAM_ADDRESS,
                **latency,
                **traffic,
            ),
            "program": AxiMemory(
                name="program",
                signature=program_port(config),
                base=PROGRAM_ADDRESS,
                size=PROGRAM_BYTES,
                writable=False,
                **latency,
            ),
        }
        self._first = None
        self.cycles = 0

    def __call__(self, program, codes, seed=0):
        """Run a program.

        Parameters
        ----------
        program : Program
        codes : ndarray (C, H, W)
        seed : int
            Of the memory's stalls.

        Returns
        -------
        ndarray of int8, ndarray of uint8
            What each instruction of the vector unit wrote, and memory after the run.
        """
        if program.address > PROGRAM_ADDRESS:
            raise ValueError(
                f"a program must lie below {PROGRAM_ADDRESS}, not at {program.address}"
            )
        program = replace(program, address=PROGRAM_ADDRESS)
        memory, instructions = self._agents.values()
        accelerator = self._top.accelerator
        stimulus = Stimulus(
            {},
            {},
            probes={
                "results": (accelerator.results, program.pixels_written),
                "begun": (accelerator.begun, 1),
                "finished": (accelerator.finished, 1),
            },
            agents=self._agents,
            buffers={
                **memory.buffers(program.image(codes)[:PROGRAM_ADDRESS]),
                **instructions.buffers(program.code),
            },
            until=self._top.over,
            limit=5_000_000,
            patience=20_000,
            seed=seed,
        )
        simulated = Run(self._top, stimulus, like=self._first)
        self._first = self._first or simulated
        while not simulated.over:
            simulated.advance(100_000)
        recording = simulated.recording()
        begun, finished = (recording.probes[name].cycles[0] for name in ("begun", "finished"))
        self.cycles = int(finished - begun)
        results = recording.probes["results"].values.astype(np.int8)
        return results, memory.content(recording.buffers)


def streaming(count=160, seed=0):
    """Streaming pipelines: cycles of two images, exactly.

    Parameters
    ----------
    count : int
        Designs.
    seed : int
        Of the first one; each has its own.
    """
    points = _in_parallel(_pipelines, range(seed, seed + count))
    return Check(
        "rtl-streaming",
        f"Cycles of {count} random streaming pipelines",
        "cycles",
        points,
        SOURCE,
        exact=True,
    )


def systolic(count=160, seed=0):
    """Systolic accelerators at memories of fixed latency: cycles of an image, exactly.

    Parameters
    ----------
    count : int
        Programs; `PROGRAMS` of them share an accelerator.
    seed : int
    """
    points = _in_parallel(_fixed, _draws(count, seed)).head(count)
    return Check(
        "rtl-systolic",
        f"Cycles of {count} random programs on systolic accelerators",
        "cycles",
        points,
        f"{SOURCE}; the memory has a fixed latency of 1 to 50 cycles",
        exact=True,
    )


def contention(count=300, seed=0):
    """Systolic accelerators at memories that are slow, shared and stall: cycles of an image.

    Parameters
    ----------
    count : int
        Programs; `PROGRAMS` of them share an accelerator.
    seed : int
    """
    points = _in_parallel(_contended, _draws(count, seed)).head(count)
    return Check(
        "rtl-contention",
        f"Cycles of {count} random programs at a memory that is shared and stalls",
        "cycles",
        points,
        f"{SOURCE}; reads and writes share a beat in 2 cycles, and every channel pauses in "
        "a fifth of all cycles",
        notes=("The prediction is the mean of 5 runs of the SimPy model with other seeds.",),
    )


def _draws(count, seed):
    return range(seed, seed + -(-count // PROGRAMS))


def _in_parallel(task, seeds):
    """Points of all tasks, in the order of their seeds."""
    # A fresh interpreter for each worker: LLVM and threads do not survive a fork.
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        return pd.DataFrame([row for rows in pool.map(task, seeds) for row in rows])


def _point(group, seed, predicted, measured, wrong):
    if wrong:
        raise ValueError(f"{wrong} values of {group} {seed} differ from the reference")
    return {"group": group, "point": str(seed), "predicted": predicted, "measured": measured}


def _pipelines(seed):
    network = random_network(seed)
    budget = int(np.random.default_rng(seed).choice([64, 200, 1000]))
    design = build(network, Streaming(multipliers=budget))
    result = simulate(design, images_for(network, 2, seed))
    return [_point("streaming", seed, design.plan.cycles(2), int(result.cycles), result.mismatches)]


def _accelerator(rng):
    rows, cols = (int(n) for n in rng.integers(1, 17, 2))
    return Systolic(
        rows=rows,
        cols=cols,
        buffer_bytes=1 << int(rng.integers(13, 17)),
        accumulator_rows=1 << int(rng.integers(4, 8)),
        axi_bits=8 * int(rng.choice([b for b in (1, 2, 4, 8, 16) if b <= max(rows, cols)])),
    )


def _programs(seed, config):
    """Programs and codes for an accelerator; what does not fit it is drawn again."""
    found: list[tuple[int, Any, np.ndarray]] = []
    draw = 1000 * seed
    while len(found) < PROGRAMS:
        network = random_network(draw)
        try:
            program = compile_network(network, config)
            found.append((draw, program, images_for(network, 1, draw)[0]))
        except NetworkError:  # the buffer is too small
            pass
        draw += 1
    return found


def _simulated(simulator, program, codes, seed):
    """Cycles, and how many values of the outputs differ from the reference."""
    _, memory = simulator(program, codes, seed)
    expected = integer.run(program.network, codes[np.newaxis])
    return simulator.cycles, sum(
        int((program.output(memory, tensor.name) != expected[tensor.name][0]).sum())
        for tensor in program.network.outputs
    )


def _fixed(seed):
    rng = np.random.default_rng(seed)
    config = _accelerator(rng)
    latency = int(rng.choice([1, 2, 5, 20, 50]))
    memory = Memory(read_latency=latency, write_latency=latency, outstanding_reads=8)
    simulator = Simulator(config, memory=memory)
    points = []
    for number, program, codes in _programs(seed, config):
        cycles, wrong = _simulated(simulator, program, codes, 0)
        predicted = replace(program, address=PROGRAM_ADDRESS).cycles(memory)
        points.append(_point("systolic", number, predicted, cycles, wrong))
    return points


def _contended(seed):
    rng = np.random.default_rng(seed)
    config = _accelerator(rng)
    memory = Memory(read_latency=20, write_latency=20, outstanding_reads=8)
    traffic: dict[str, Any] = {"bandwidth": (1, 2), "total_bandwidth": True, "stalls": 0.2}
    simulator = Simulator(config, memory=memory, **traffic)
    shared = SharedMemory(memory=memory, **traffic)
    points = []
    for number, program, codes in _programs(seed, config):
        cycles, wrong = _simulated(simulator, program, codes, number)
        program = replace(program, address=PROGRAM_ADDRESS)
        runs = [run(program, shared, program_memory=memory, seed=k).cycles for k in range(RUNS)]
        points.append(_point("systolic", number, float(np.mean(runs)), cycles, wrong))
    return points
