"""Programs of the systolic accelerator, instruction by instruction in NumPy.

What an instruction means, without time: the standard for the hardware and the check of the
compiler. Instructions are carried out in the order of the program.
"""

import numpy as np

from hwsim.blocks.systolic.isa import Opcode

from .vector import activate, combine, pool

__all__ = ["Machine", "run_program"]

ADDRESS_BITS = 24


def run_program(program, codes):
    """Run a program on the codes (C, H, W) of an input.

    Returns
    -------
    Machine
        After the run.
    """
    machine = Machine(program.config, program.image(codes))
    for number, instruction in enumerate(program.instructions):
        try:
            machine.execute(instruction)
        except Exception as error:
            raise RuntimeError(f"instruction {number}, {instruction}: {error}") from error
    return machine


class Machine:
    """The accelerator's memories.

    Members
    -------
    memory : ndarray of uint8
    buffer : ndarray of int8
    sums : ndarray of int64, (2, accumulator rows, columns)
    writes : list of ndarray of int8, (pixels, channels)
        What each instruction of the vector unit wrote.
    """

    def __init__(self, config, memory):
        self.config = config
        self.memory = memory
        self.buffer = np.zeros(config.buffer_bytes, np.int8)
        self.sums = np.zeros((2, config.accumulator_rows, config.cols), np.int64)
        self.table = self.factors = None
        self.weights = []
        self.parameters = []
        self.writes = []

    def execute(self, instruction):
        """Carry out an instruction."""
        {
            Opcode.HALT: lambda instruction: None,
            Opcode.READ_ACTIVATIONS: self._read_activations,
            Opcode.READ_WEIGHTS: self._read_weights,
            Opcode.READ_PARAMETERS: self._read_parameters,
            Opcode.READ_TABLE: self._read_table,
            Opcode.CONVOLVE: self._convolve,
            Opcode.ACTIVATE: self._activate,
            Opcode.COMBINE: self._combine,
            Opcode.POOL: self._pool,
            Opcode.WRITE_ACTIVATIONS: self._write_activations,
        }[instruction.opcode](instruction)

    def _slice(self, i):
        size = i["words"] * self.config.axi_bytes
        if i["buffer"] + size > len(self.buffer):
            raise IndexError(f"address {i['buffer'] + size} in the buffer")
        return slice(i["address"], i["address"] + size), slice(i["buffer"], i["buffer"] + size)

    def _read_activations(self, i):
        source, target = self._slice(i)
        self.buffer[target] = self.memory[source].view(np.int8)

    def _write_activations(self, i):
        target, source = self._slice(i)
        self.memory[target] = self.buffer[source].view(np.uint8)

    def _tiles(self, i, words, queue):
        size = words * self.config.axi_bytes
        for tile in range(i["words"] // words):
            start = i["address"] + tile * size
            queue.append(self.memory[start : start + size])

    def _read_weights(self, i):
        self._tiles(i, self.config.weight_words, self.weights)

    def _read_parameters(self, i):
        self._tiles(i, self.config.parameter_words, self.parameters)

    def _read_table(self, i):
        content = self.memory[i["address"] : i["address"] + i["words"] * self.config.axi_bytes]
        if i["table"]:
            self.factors = content.view(np.uint32)
        else:
            self.table = content[:256].view(np.int8)

    def _pixels(self, i):
        """(row, column) of each output pixel, as columns."""
        y, x = np.divmod(np.arange(i["height"] * i["width"]), i["width"])
        return y[:, None], x[:, None]

    def _taps(self, i, delta, dy, dx):
        """(addresses, inside) of taps, (pixels, taps); all arguments by tap."""
        y, x = self._pixels(i)
        addresses = i["base"] + y * i["pixel_y"] + x * i["pixel_x"] + delta
        row = i["y"] + y * i["stride_y"] + dy
        column = i["x"] + x * i["stride_x"] + dx
        inside = (row >= 0) & (row < i["map_height"]) & (column >= 0) & (column < i["map_width"])
        return addresses & ((1 << ADDRESS_BITS) - 1), inside

    def _convolve(self, i):
        config = self.config
        rows, folds = config.rows, i["folds"]
        tap = i["channels"] + i["gap_x"]
        line = i["taps_x"] * tap - i["gap_x"] + i["gap_y"]
        ky, rest = np.divmod(np.arange(folds * rows), line)
        kx = np.minimum(rest // tap, i["taps_x"] - 1)
        channel = rest - kx * tap
        live = (channel < i["channels"]) & (ky < i["taps_y"])
        delta = ky * i["tap_y"] + kx * i["tap_x"] + channel
        lane = (delta - np.arange(folds * rows)).reshape(folds, rows)
        if ((lane - lane[:, :1]) % config.banks)[live.reshape(folds, rows)].any():
            raise ValueError("codes of a fold do not lie in a bank for each lane")
        addresses, inside = self._taps(i, delta, ky * i["dilation_y"], kx * i["dilation_x"])
        codes = self.buffer[addresses % len(self.buffer)]
        codes = np.where(inside & live, codes, i["pad"]).astype(np.float32)
        tiles, self.weights = self.weights[:folds], self.weights[folds:]
        weights = np.stack(tiles)[:, : rows * config.row_bytes].view(np.int8)
        weights = weights.reshape(folds, rows, -1)[:, ::-1, : config.cols]
        total = np.zeros((len(codes), config.cols), np.int64)
        # Sums of a few folds are exact in float32.
        for first in range(0, folds, max(1, 1000 // rows)):
            few = slice(first, first + max(1, 1000 // rows))
            lines = weights[few].reshape(-1, config.cols).astype(np.float32)
            part = codes[:, first * rows : first * rows + len(lines)] @ lines
            total += part.astype(np.int64)
        self.sums[i["half"], : len(total)] = total

    def _activate(self, i):
        parameters = None
        if not i["uniform"]:
            tile = self.parameters.pop(0)[: 8 * self.config.cols].view(np.uint32).reshape(-1, 2)
            bias, scale = tile[:, 0].view(np.int32), tile[:, 1]
            parameters = (bias, scale & 0x1FFFF, (scale >> 24) & 63)
        activate(self.config, i, self.buffer, self.sums[i["half"]], parameters, self.table)
        self._note(i)

    def _combine(self, i):
        combine(self.config, i, self.buffer, self.table, self.factors)
        self._note(i)

    def _pool(self, i):
        pool(self.config, i, self.buffer, self.table)
        self._note(i)

    def _note(self, i):
        """Keep what was written."""
        y, x = self._pixels(i)
        where = i["to"] + y * i["to_y"] + x * i["to_x"] + np.arange(i["channels"])
        self.writes.append(self.buffer[where])
