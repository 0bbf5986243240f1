"""Systolic accelerators in simulation: a program, its memory, and a processor that starts it."""

from dataclasses import asdict

import numpy as np
import pandas as pd

from hwsim.blocks.systolic.registers import COUNTERS, REGISTERS
from hwsim.blocks.systolic.timing import LATENCY, usual_memory
from hwsim.rtl.systolic.accelerator import Accelerator
from hwsim.rtl.systolic.control import control_port
from hwsim.rtl.systolic.dma import memory_port
from hwsim.rtl.systolic.sequencer import program_port

from . import compiled_engine
from .engine import Stimulus
from .stimulus.axi import Access, AxiMemory, RegisterScript

__all__ = ["MEMORY_BYTES", "Bench", "activity", "lanes_for", "rounds"]

# Memory that the lanes of a simulation take together, at most, if nothing else is said.
MEMORY_BYTES = 1 << 30
LARGEST_LANES = 64
# Cycles in which nothing moves on any port: the array may be at work on what it has.
PATIENCE = 2_000_000
PAGE = 4096


def lanes_for(program, images):
    """Lanes for so many images: as many as have room in memory."""
    return max(1, min(images, LARGEST_LANES, MEMORY_BYTES // program.memory_bytes))


def rounds(program, codes, lanes, run, options, progress=None):
    """Run a program on images, ``lanes`` at a time.

    Parameters
    ----------
    program : Program
    codes : ndarray of int, (N, C, H, W)
    lanes : int
    run : callable
        An engine.
    options : dict
        Of the stimulus: ``stalls``, ``seed``, ``threads``, ``wave``, ``latency``.
    progress : callable, optional
        Called with the number of images that are done.

    Returns
    -------
    feature maps : dict of tensor name to ndarray, (N, C, H, W)
    outputs : dict of tensor name to ndarray, (N, C, H, W)
        As they lie in memory at the end.
    cycles : list of int
        Of each round, from the start of the program to its end.
    recording : Recording
        Of the last round.
    counters : dict of str to int
        Performance counters of the accelerator, of the last round's first lane.
    """
    maps, outputs, cycles = [], [], []
    more: dict[str, list] = {"reuse": []} if run is compiled_engine.run else {}
    bench = Bench(program, **options)
    for first in range(0, len(codes), lanes):
        group = codes[first : first + lanes]
        filled = np.concatenate([group, np.repeat(group[-1:], lanes - len(group), axis=0)])
        recording = run(bench.component, bench.stimulus(filled), **more)
        written = recording.probes["results"].values
        written = written.reshape(lanes, -1, program.config.cols).astype(np.int8)
        content = np.atleast_2d(bench.memory.content(recording.buffers))
        for lane in range(len(group)):
            maps.append(program.maps(written[lane]))
            outputs.append({n: program.output(content[lane], n) for n in program.outputs})
        begun, finished = (recording.probes[name].cycles for name in ("begun", "finished"))
        cycles.append(int(np.ravel(finished)[0] - np.ravel(begun)[0]))
        if progress is not None:
            progress(first + len(group))
    stacked = [
        {name: np.stack([m[name] for m in some]) for name in some[0]} for some in (maps, outputs)
    ]
    return *stacked, cycles, recording, _counters(recording)


class Bench:
    """An accelerator with a program in memory, and a processor that starts it.

    Parameters
    ----------
    program : Program
    latency : int
        Cycles from a request to memory to the first beat of its answer.
    stalls, seed, threads, wave
        As of `Stimulus`.

    Members
    -------
    component : Accelerator
    memory : AxiMemory
        With constants and feature maps.
    """

    def __init__(self, program, *, latency=LATENCY, stalls=0.0, **options):
        config = program.config
        self._program = program
        self._options = options
        self.component = Accelerator(config)
        common = {"stalls": stalls, **asdict(usual_memory(config, latency))}
        self.memory = AxiMemory(
            name="memory",
            signature=memory_port(config),
            size=-(-program.address // PAGE) * PAGE,
            **common,
        )
        self._code = AxiMemory(
            name="program",
            signature=program_port(config),
            # The sequencer fetches ahead, beyond the last instruction.
            size=(len(program.code) // PAGE + 2) * PAGE,
            base=program.address,
            shared=True,
            writable=False,
            **common,
        )
        self._processor = RegisterScript(
            name="control", signature=control_port(), interrupt=self.component.irq
        )

    def stimulus(self, codes):
        """`Stimulus` of one run for each lane, on ``codes``, (lanes, C, H, W)."""
        program, memory = self._program, self.memory
        images = np.stack([program.image(image)[: memory.size] for image in codes])
        return Stimulus(
            {},
            {},
            probes={
                "results": (self.component.results, program.pixels_written),
                "begun": (self.component.begun, 1),
                "finished": (self.component.finished, 1),
            },
            agents={"memory": memory, "program": self._code, "control": self._processor},
            buffers={
                **memory.buffers(images if len(images) > 1 else images[0]),
                **self._code.buffers(program.code),
                **self._processor.buffers(_script(program)),
            },
            patience=PATIENCE,
            **self._options,
        )


def _script(program):
    """What a processor does: start the program, wait for its end, read the counters."""
    at = {name: register.offset for name, register in REGISTERS.items()}
    return [
        (Access.WRITE, at["program"], program.address),
        (Access.WRITE, at["interrupt"], 1),
        (Access.WRITE, at["control"], 1),
        (Access.INTERRUPT,),
        *((Access.READ, at[name] + 4 * half) for name in COUNTERS for half in range(2)),
    ]


def _counters(recording):
    words = recording.buffers["control.result"]
    words = words[0] if words.ndim == 2 else words
    values = [int(word) for word in words[4:]]
    return {name: values[2 * k] | values[2 * k + 1] << 32 for k, name in enumerate(COUNTERS)}


def activity(program, recording):
    """For each layer the cycles of its first and last result and its writes, of the first lane."""
    cycles = np.atleast_2d(recording.probes["results"].cycles)[0]
    begun = int(np.ravel(recording.probes["begun"].cycles)[0])
    rows: dict[str, dict[str, int]] = {}
    position = 0
    for number, result in program.results.items():
        instruction = program.instructions[number]
        pixels = instruction["height"] * instruction["width"]
        here = cycles[position : position + pixels] - begun
        position += pixels
        row = rows.setdefault(result.tensor, {"first_cycle": int(here[0]), "writes": 0})
        row["last_cycle"] = int(here[-1])
        row["writes"] += pixels
    names = {layer.output: layer.name for layer in program.network.layers}
    return pd.DataFrame(
        {
            "name": names[tensor],
            "first_cycle": row["first_cycle"],
            "last_cycle": row["last_cycle"],
            "writes": row["writes"],
        }
        for tensor, row in rows.items()
    )
