"""The vector unit between a buffer, accumulators and a reader that Python plays."""

from collections import deque

import numpy as np

from hwsim.blocks.systolic.config import ACCUMULATOR_READ_LATENCY, BUFFER_READ_LATENCY
from hwsim.blocks.systolic.isa import encode
from hwsim.rtl.systolic.vector import VectorUnit
from hwsim.sim.testbench import Simulator


class Bench:
    """A unit and what is around it.

    Members
    -------
    buffer : ndarray of int8
    sums : ndarray of int32, (2, accumulator_rows, cols)
    parameters : list of words that wait for the parameter port
    spans : list of (cycle of acceptance, cycle of done), for each instruction
    gaps : float
        Share of cycles in which no word comes.
    words, freed : list of int
        Cycles in which words came, and in which tiles were freed.
    """

    def __init__(self, config, rng):
        self.config = config
        self.rng = rng
        self.dut = VectorUnit(config)
        self.simulator = Simulator(self.dut, observe=[])
        self.buffer = rng.integers(-128, 128, config.buffer_bytes).astype(np.int8)
        self.sums = np.zeros((2, config.accumulator_rows, config.cols), np.int32)
        self.parameters = deque()
        self.table = deque()
        self.spans = []
        self.words = []
        self.freed = []
        self.cycle = 0
        self.gaps = 0
        self._reads = deque([None] * BUFFER_READ_LATENCY)
        self._rows = deque([None] * ACCUMULATOR_READ_LATENCY)

    def run(self, instructions, patience=5000, parameters_from=0):
        """Carry out instructions; ``parameters_from`` is the cycle at which parameters may come."""
        dut, simulator = self.dut, self.simulator
        waiting = deque(instructions)
        running = 0
        end = self.cycle + patience + 2 * len(self.table)
        while waiting or running or self.table:
            assert self.cycle < end, "the unit does not finish"
            simulator.poke(dut.i.valid, bool(waiting))
            if waiting:
                simulator.poke(dut.i.payload, int.from_bytes(encode(waiting[0]), "little"))
            self._feed(parameters_from)
            accepted = waiting and simulator.peek(dut.i.ready)
            self._memories()
            if simulator.peek(dut.parameter_freed):
                self.freed.append(self.cycle)
            if simulator.peek(dut.done):
                assert running == 1
                running = 0
                self.spans[-1] += (self.cycle,)
            if accepted:
                assert not running
                running = 1
                waiting.popleft()
                self.spans.append((self.cycle,))
            simulator.step()
            self.cycle += 1

    def _feed(self, parameters_from):
        dut, simulator = self.dut, self.simulator
        word = entry = None
        if self.rng.random() >= self.gaps:
            if self.parameters and self.cycle >= parameters_from:
                word = self.parameters.popleft()
            entry = self.table.popleft() if self.table else None
        simulator.poke(dut.parameter_enable, word is not None)
        simulator.poke(dut.parameter_data, self._noise() if word is None else word)
        simulator.poke(dut.table_enable, entry is not None)
        if word is not None or entry is not None:
            self.words.append(self.cycle)
        word, first, number = entry or (self._noise(), 1, 0)
        simulator.poke(dut.table_data, word)
        simulator.poke(dut.table_first, first)
        simulator.poke(dut.table_number, number)

    def _noise(self):
        return int.from_bytes(self.rng.bytes(self.config.axi_bytes), "little")

    def _memories(self):
        dut, simulator, cols = self.dut, self.simulator, self.config.cols
        address = simulator.peek(dut.read_address)
        codes = self.rng.integers(-128, 128, cols).astype(np.int8)
        if simulator.peek(dut.read_enable):
            codes = self.buffer[(address + np.arange(cols)) % self.config.buffer_bytes]
        self._reads.append(codes.tobytes())
        half, row = simulator.peek(dut.sum_half), simulator.peek(dut.sum_address)
        self._rows.append(self.sums[half, row].tobytes())
        for port, value in (
            (dut.read_data, self._reads.popleft()),
            (dut.sums, self._rows.popleft()),
        ):
            simulator.poke(port, int.from_bytes(value or b"", "little"))
        if count := simulator.peek(dut.write_count):
            address = simulator.peek(dut.write_address)
            codes = simulator.peek(dut.write_data).to_bytes(cols, "little")
            places = (address + np.arange(count)) % self.config.buffer_bytes
            self.buffer[places] = np.frombuffer(codes, np.int8)[:count]

    def queue_parameters(self, bias, multiplier, shift):
        """Let a tile come."""
        tile = b""
        for values in zip(bias, multiplier, shift, strict=True):
            value = values[0] & 0xFFFFFFFF | values[1] << 32 | values[2] << 56
            tile += int(value).to_bytes(8, "little")
        self.parameters += words(tile, self.config.axi_bytes, self.config.parameter_words)

    def queue_table(self, number, content):
        """Let a table come."""
        parts = words(content, self.config.axi_bytes, len(content) // self.config.axi_bytes)
        self.table += [(word, k == 0, number) for k, word in enumerate(parts)]


def words(content, size, count):
    """Bytes as words, filled up."""
    content = content.ljust(size * count, b"\xa5")
    return [
        int.from_bytes(content[start : start + size], "little")
        for start in range(0, size * count, size)
    ]
