# amaranth: UnusedElaboratable=no
"""Whole programs on the accelerator, with the cycle of everything that happens."""

from dataclasses import asdict

import numpy as np
from amaranth.hdl import unsigned
from amaranth.lib import stream

from hwsim.blocks.systolic.config import Systolic
from hwsim.blocks.systolic.isa import ENGINES
from hwsim.blocks.systolic.timing import Memory
from hwsim.compiler import compile_network
from hwsim.rtl.systolic.accelerator import Accelerator, Autostart
from hwsim.rtl.systolic.dma import memory_port
from hwsim.rtl.systolic.sequencer import program_port
from hwsim.sim import compiled_engine
from hwsim.sim.engine import Stimulus
from hwsim.sim.stimulus.axi import AxiMemory
from tests.networks import images_for, random_network

# Of a memory's size, which is a multiple of any bus width.
PAGE = 4096


class WatchedAccelerator(Accelerator):
    """An accelerator whose engines' instructions can be watched.

    Members
    -------
    events : dict of (str, str) to stream
        By "taken" or "done" and name of the engine.
    """

    def __init__(self, config):
        super().__init__(config)
        signature = stream.Signature(unsigned(1), always_ready=True)
        self.events = {
            (event, engine): signature.create(path=(f"{event}_{engine}",))
            for event in ("taken", "done")
            for engine in ENGINES
        }

    def elaborate(self, platform):
        m = super().elaborate(platform)
        sequencer = m.submodules.sequencer
        for number, engine in enumerate(ENGINES):
            port = getattr(sequencer, engine)
            m.d.comb += [
                self.events["taken", engine].valid.eq(port.valid & port.ready),
                self.events["done", engine].valid.eq(sequencer.done[number]),
            ]
        return m


def run_program(program, codes, memory, program_memory, **traffic):
    """Run a program at RTL.

    Parameters
    ----------
    program : Program
    codes : array-like, (C, H, W)
    memory, program_memory : Memory
    traffic
        More parameters of the memory for data, of `AxiMemory`.

    Returns
    -------
    tuple of dict of (str, str) to ndarray, int, ndarray
        The cycles of each engine's events (see `WatchedAccelerator`; "written", "vector" are those
        in which the vector unit wrote), the cycle of the end, and the memory's contents.
    """
    config = program.config
    top = Autostart(config, program.address)
    top.accelerator = accelerator = WatchedAccelerator(config)
    seed = traffic.pop("seed", 0)
    image = program.image(codes)
    size = -(-program.address // PAGE) * PAGE
    memories = {
        "memory": AxiMemory(
            name="memory",
            signature=memory_port(config),
            size=size,
            **asdict(memory),
            **traffic,
        ),
        "program": AxiMemory(
            name="program",
            signature=program_port(config),
            size=(len(program.code) // PAGE + 2) * PAGE,
            base=program.address,
            writable=False,
            **asdict(program_memory),
        ),
    }
    engines = [i.opcode.engine for i in program.instructions]
    probes = {
        key: (events, engines.count(ENGINES.index(key[1])))
        for key, events in accelerator.events.items()
    }
    probes["written", "vector"] = accelerator.results, program.pixels_written
    names = {f"{event} {engine}": probe for (event, engine), probe in probes.items()}
    stimulus = Stimulus(
        {},
        {},
        probes=names,
        agents=memories,
        buffers={
            **memories["memory"].buffers(image[: program.address]),
            **memories["program"].buffers(program.code),
        },
        seed=seed,
        until=top.over,
        patience=5000,
    )
    run = compiled_engine.Run(top, stimulus)
    while not run.over:
        run.advance(100_000)
    recording = run.recording()
    end = int(run.simulation.peek("end"))
    cycles = {key: recording.probes[" ".join(key)].cycles for key in probes}
    return cycles, end, memories["memory"].content(recording.buffers)


def random_systolic(rng):
    """A small accelerator."""
    rows, cols = (int(rng.choice([1, 2, 3, 4, 5, 7, 8, 12, 16])) for _ in range(2))
    banks = 1 << (max(rows, cols) - 1).bit_length()
    axi_bytes = 1 << int(rng.integers(banks.bit_length()))
    sections = int(rng.choice([1, 2, 4]))
    return Systolic(
        rows=rows,
        cols=cols,
        sections=sections,
        buffer_bytes=max(2 * sections * banks, 1 << int(rng.integers(10, 15))),
        accumulator_rows=1 << int(rng.integers(2, 9)),
        weight_tiles=int(rng.integers(2, 6)),
        parameter_tiles=int(rng.integers(2, 6)),
        axi_bits=8 * axi_bytes,
        burst_beats=1 << int(rng.integers(6)),
        outstanding=int(rng.integers(2, 9)),
        queue_depth=int(rng.integers(2, 9)),
    )


def random_memory(rng):
    """A memory of fixed latencies."""
    latencies = [1, 2, 5, 17, 60]
    return Memory(
        read_latency=int(rng.choice(latencies)),
        write_latency=int(rng.choice(latencies)),
        outstanding_reads=int(rng.integers(1, 9)),
        outstanding_writes=int(rng.integers(1, 9)),
    )


def random_case(seed):
    """A program and codes for it."""
    rng = np.random.default_rng(seed)
    while True:
        network = random_network(int(rng.integers(1 << 30)))
        try:
            program = compile_network(network, random_systolic(rng))
        except ValueError:
            continue  # it does not fit
        return program, images_for(network, 1, seed)[0]
