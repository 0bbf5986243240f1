"""Run a compiled network, in NumPy and at RTL, and compare all its feature maps."""

from dataclasses import replace

import numpy as np

from hwsim.models.reference import integer
from hwsim.models.reference.program import run_program
from hwsim.rtl.systolic.accelerator import Accelerator
from hwsim.rtl.systolic.dma import memory_port
from hwsim.rtl.systolic.sequencer import program_port
from hwsim.sim.compiled_engine import Run
from hwsim.sim.engine import Stimulus
from hwsim.sim.stimulus.axi import AxiMemory
from tests.networks import images_for
from tests.rtl.systolic.autostart import Autostart

# Where instructions lie at RTL, so that all programs of a configuration share one simulation.
PROGRAM_ADDRESS = 1 << 20
PROGRAM_BYTES = 1 << 18


def interpret(program, codes):
    """(what each instruction of the vector unit wrote, memory) after a run in NumPy."""
    machine = run_program(program, codes)
    assert not machine.weights
    assert not machine.parameters
    cols = program.config.cols
    rows = [np.zeros((0, cols), np.int8)]
    rows += [np.pad(codes, ((0, 0), (0, cols - codes.shape[1]))) for codes in machine.writes]
    return np.concatenate(rows), machine.memory


class Simulator:
    """Runs programs of one configuration at RTL, with one compilation of it.

    Parameters
    ----------
    config : Systolic
    latency : int
        Of the memories, in cycles.
    stalls : float
        Probability, per cycle, that a channel of the memories pauses.
    """

    def __init__(self, config, *, latency=1, stalls=0.0):
        self._top = Autostart(Accelerator(config), PROGRAM_ADDRESS)
        options = {
            "read_latency": latency,
            "write_latency": latency,
            "stalls": stalls,
            "outstanding_reads": 8,
        }
        self._agents = {
            "memory": AxiMemory(
                name="memory", signature=memory_port(config), size=PROGRAM_ADDRESS, **options
            ),
            "program": AxiMemory(
                name="program",
                signature=program_port(config),
                base=PROGRAM_ADDRESS,
                size=PROGRAM_BYTES,
                writable=False,
                **options,
            ),
        }
        self._first = None

    def __call__(self, program, codes, seed=0):
        """What each instruction of the vector unit wrote, and memory after the run."""
        assert program.address <= PROGRAM_ADDRESS
        program = replace(program, address=PROGRAM_ADDRESS)
        memory, instructions = self._agents.values()
        stimulus = Stimulus(
            {},
            {},
            probes={"results": (self._top.accelerator.results, program.pixels_written)},
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
        run = Run(self._top, stimulus, like=self._first)
        self._first = self._first or run
        while not run.over:
            run.advance(100_000)
        recording = run.recording()
        self.cycles = int(run.simulation.peek("end"))
        results = recording.probes["results"].values.astype(np.int8)
        return results, memory.content(recording.buffers)


def assert_equal_to_reference(program, run=interpret, **options):
    """All feature maps of a program are those of the network, and so are the outputs in memory."""
    network = program.network
    codes = images_for(network, 1, 0)
    expected = integer.run(network, codes)
    writes, memory = run(program, codes[0], **options)
    maps = program.maps(writes)
    assert maps.keys() == network.tensors.keys() - {network.input.name}
    for name, found in maps.items():
        np.testing.assert_array_equal(found, expected[name][0], name)
    for tensor in network.outputs:
        found = program.output(memory, tensor.name)
        np.testing.assert_array_equal(found, expected[tensor.name][0], tensor.name)
