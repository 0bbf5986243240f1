# amaranth: UnusedElaboratable=no
"""Whole programs on the accelerator, with the cycle of everything that happens."""

from dataclasses import asdict

import numpy as np
from amaranth.hdl import unsigned
from amaranth.lib import stream

from hwsim.blocks.systolic.config import Systolic
from hwsim.blocks.systolic.isa import ENGINES, Instruction, Opcode, Operation, encode
from hwsim.blocks.systolic.registers import REGISTERS
from hwsim.blocks.systolic.timing import Memory
from hwsim.blocks.systolic.vector import CODES, FACTOR_BYTES, POOL_WINDOWS, factors
from hwsim.compiler import compile_network
from hwsim.rtl.systolic.accelerator import Accelerator
from hwsim.rtl.systolic.control import control_port
from hwsim.rtl.systolic.dma import memory_port
from hwsim.rtl.systolic.sequencer import program_port
from hwsim.sim import compiled_engine
from hwsim.sim.engine import Stimulus
from hwsim.sim.stimulus.axi import Access, AxiMemory, RegisterScript
from hwsim.validation.networks import images_for, random_network

# Of a memory's size, which is a multiple of any bus width.
PAGE = 4096


class WatchedAccelerator(Accelerator):
    """An accelerator whose engines' instructions can be watched.

    Members
    -------
    events : dict of str to stream
        ``taken read``, ``done read`` and so on for each engine.
    """

    def __init__(self, config):
        super().__init__(config)
        signature = stream.Signature(unsigned(1), always_ready=True)
        names = [f"{event} {engine}" for event in ("taken", "done") for engine in ENGINES]
        self.events = {name: signature.create(path=(name.replace(" ", "_"),)) for name in names}

    def elaborate(self, platform):
        m = super().elaborate(platform)
        sequencer = m.submodules.sequencer
        for number, engine in enumerate(ENGINES):
            port = getattr(sequencer, engine)
            m.d.comb += [
                self.events[f"taken {engine}"].valid.eq(port.valid & port.ready),
                self.events[f"done {engine}"].valid.eq(sequencer.done[number]),
            ]
        return m


def run_program(program, codes, memory, program_memory, **traffic):
    """Run a `Program` at RTL on the codes (C, H, W) of an input; see `run_instructions`."""
    image = program.image(codes)[: program.address]
    return run_instructions(
        program.config, program.instructions, memory, program_memory, image, **traffic
    )


def run_instructions(config, instructions, memory, program_memory, image, *, seed=0, **traffic):
    """Run instructions, which begin where the image of the memory ends.

    Parameters
    ----------
    config : Systolic
    instructions : sequence of Instruction
    memory, program_memory : Memory
    image : ndarray of uint8
    seed : int
        Of the memory's stalls.
    traffic
        More parameters of the memory for data, of `AxiMemory`.

    Returns
    -------
    tuple of dict of str to ndarray, ndarray
        The cycles, from the start of the program on, of events: see `WatchedAccelerator`, and
        ``written``, in which the vector unit wrote, and ``finished``; and the memory's contents.
    """
    address = len(image)
    top = WatchedAccelerator(config)
    processor = RegisterScript(name="control", signature=control_port())
    code = np.frombuffer(b"".join(map(encode, instructions)), np.uint8)
    memories = {
        "memory": AxiMemory(
            name="memory",
            signature=memory_port(config),
            size=-(-address // PAGE) * PAGE,
            **asdict(memory),
            **traffic,
        ),
        "program": AxiMemory(
            name="program",
            signature=program_port(config),
            size=(len(code) // PAGE + 2) * PAGE,
            base=address,
            writable=False,
            **asdict(program_memory),
        ),
    }
    engines = [i.opcode.engine for i in instructions]
    probes = {
        f"{event} {engine}": (top.events[f"{event} {engine}"], engines.count(number))
        for event in ("taken", "done")
        for number, engine in enumerate(ENGINES)
    }
    probes |= {"begun": (top.begun, 1), "finished": (top.finished, 1)}
    written = sum(i["width"] * i["height"] for i in instructions if i.opcode.engine == 2)
    probes["written"] = top.results, written
    stimulus = Stimulus(
        {},
        {},
        probes=probes,
        agents={**memories, "control": processor},
        buffers={
            **memories["memory"].buffers(image),
            **memories["program"].buffers(code),
            **processor.buffers(
                [
                    (Access.WRITE, REGISTERS["program"].offset, address),
                    (Access.WRITE, REGISTERS["control"].offset, 1),
                ]
            ),
        },
        seed=seed,
        patience=5000,
    )
    recording = compiled_engine.run(top, stimulus)
    begun = recording.probes["begun"].cycles
    cycles = {name: recording.probes[name].cycles - begun for name in probes}
    return cycles, memories["memory"].content(recording.buffers)


def check_timing(cycles, timing, instructions, where):
    """Every event in the cycle that a `ProgramTiming` says."""
    for number, engine in enumerate(ENGINES):
        mine = [k for k, i in enumerate(instructions) if i.opcode.engine == number]
        for event in ("taken", "done"):
            found = cycles[f"{event} {engine}"]
            assert getattr(timing, event)[mine].tolist() == found.tolist(), (event, engine, where)
    pixels = [(k, i["width"] * i["height"]) for k, i in enumerate(instructions)]
    last = np.cumsum([n for k, n in pixels if instructions[k].opcode.engine == 2]) - 1
    mine = [k for k, i in enumerate(instructions) if i.opcode.engine == 2]
    assert timing.done[mine].tolist() == cycles["written"][last].tolist(), where
    assert cycles["finished"].tolist() == [timing.cycles], where


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
        packed=cols % 2 == 0 and rng.random() < 0.5,
        pool_columns=int(rng.choice([2, 3, 8, 128])),
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


def _random_pool(rng, config):
    """Sizes of a pool."""
    fields = {"operation": int(rng.choice([Operation.SUM, Operation.MAX]))}
    names = ("height", "y", "rows", 4), ("width", "x", "columns", min(4, config.pool_columns))
    for outputs, axis, pixels, most in names:
        count, kernel = int(rng.integers(1, most + 1)), int(rng.integers(1, 6))
        window = -(-kernel // POOL_WINDOWS) + int(rng.integers(2))
        ahead = int(rng.integers(kernel))
        fields |= {
            outputs: count,
            pixels: (count - 1) * window + kernel - ahead,
            f"kernel_{axis}": kernel,
            f"window_{axis}": window,
            f"ahead_{axis}": ahead,
        }
    return fields


def random_instructions(rng, config, count):
    """Instructions that no compiler makes, and that do not wait for one another for ever.

    What they do is of no use; they may take as long as any.
    """
    program = []
    counts = [0, 0, 0, 0]
    loaded = 0  # vector instructions after which a table may be replaced
    words = {
        Opcode.READ_WEIGHTS: config.weight_words,
        Opcode.READ_PARAMETERS: config.parameter_words,
    }

    def add(opcode, after=None, **fields):
        if after is None:
            after = [max(0, n - int(rng.integers(4))) if rng.random() < 0.4 else 0 for n in counts]
        program.append(Instruction(opcode, int(rng.integers(4)), tuple(after), fields))
        counts[opcode.engine] += 1

    def some(*limits):
        return int(rng.choice([rng.integers(1, limit + 1) for limit in limits]))

    def read(opcode, tiles):
        word = words.get(opcode, 1)
        address = config.axi_bytes * int(rng.integers(64))
        add(opcode, words=word * tiles, address=address)

    for _ in range(count):
        kind = int(rng.integers(6))
        if kind < 2:
            # They come while the engine that needs them works: it must not wait for the last.
            before = (counts[0], 0, counts[2] if kind else 0, 0)
            tiles = some(1, 3, 12)
            read(Opcode.READ_WEIGHTS, tiles)
            pixels = some(1, 3 * config.rows + 3)
            add(Opcode.CONVOLVE, before, folds=tiles, pixels=pixels)
        elif kind == 2:
            tiles = some(2, config.parameter_tiles)
            read(Opcode.READ_PARAMETERS, tiles)
            for _ in range(tiles):
                add(Opcode.ACTIVATE, width=some(5), height=some(5), channels=1)
        elif kind == 3:
            if rng.random() < 0.5:
                size = {"width": some(4), "height": some(4), "taps_x": some(9)}
                operation = int(rng.choice([Operation.SUM, Operation.PRODUCT, Operation.NORMALIZE]))
                add(Opcode.COMBINE, **size, operation=operation, channels=1)
            else:
                add(Opcode.POOL, **_random_pool(rng, config), channels=1)
        elif kind == 4:
            add(Opcode.ACTIVATE, width=some(9), height=some(3), channels=1, uniform=1)
            opcode = Opcode.READ_ACTIVATIONS if rng.random() < 0.5 else Opcode.WRITE_ACTIVATIONS
            add(opcode, words=some(1, 60), address=config.axi_bytes * int(rng.integers(64)))
        elif loaded <= counts[2]:
            table = int(rng.random() < 0.2)
            size = (CODES, FACTOR_BYTES * factors(config.factor_precision))[table]
            add(
                Opcode.READ_TABLE,
                (0, 0, loaded, 0),
                words=-(-size // config.axi_bytes),
                table=table,
            )
            add(Opcode.COMBINE, width=some(30), height=1, taps_x=1, channels=1)
            add(
                Opcode.COMBINE,
                (counts[0], 0, 0, 0),
                **{name: 1 for name in ("width", "height", "taps_x", "channels")},
            )
            loaded = counts[2]
    program.append(Instruction(Opcode.HALT, after=tuple(counts)))
    return program
