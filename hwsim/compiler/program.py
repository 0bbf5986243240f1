"""A compiled network: instructions, memory image, and what each instruction is for."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from hwsim.blocks.systolic.config import Systolic
from hwsim.blocks.systolic.isa import BYTES, Instruction, Opcode, encode
from hwsim.blocks.systolic.program_timing import program_timing
from hwsim.blocks.systolic.timing import usual_memory
from hwsim.files import write_files
from hwsim.network.integer import Concat, IntegerNetwork

from .layout import Layout, View

__all__ = ["Program", "Region", "Result", "code_offset"]


def code_offset(tensor):
    """What is subtracted from a tensor's codes so that they are int8 on chip."""
    return 128 if tensor.maximum > 127 else 0


@dataclass(frozen=True)
class Region:
    """A feature map in memory."""

    view: View
    address: int


@dataclass(frozen=True)
class Result:
    """What an instruction of the vector unit writes: part of a tensor.

    ``rows`` and ``columns`` in the order in which they are written, channels ``first_channel`` on.
    """

    tensor: str
    rows: range
    columns: range
    first_channel: int


@dataclass(frozen=True, eq=False)
class Program:
    """What the compiler makes of a network.

    Members
    -------
    network : IntegerNetwork
    config : Systolic
    instructions : tuple of Instruction
        In the order in which they are issued; the last one is HALT.
    layout : Layout
    results : dict of int to Result
        By number of an instruction of the vector unit.
    constants : ndarray of uint8
        Weights and parameters, which lie at address 0.
    input : Region
    outputs : dict of tensor name to Region
    address : int
        Of the first instruction in memory.
    """

    network: IntegerNetwork
    config: Systolic
    instructions: tuple[Instruction, ...]
    layout: Layout
    results: dict[int, Result]
    constants: np.ndarray
    input: Region
    outputs: dict[str, Region]
    address: int

    @property
    def memory_bytes(self):
        """Bytes of memory in use: constants, feature maps, instructions."""
        return self.address + BYTES * len(self.instructions)

    @cached_property
    def code(self):
        """The instructions as they lie in memory, uint8."""
        return np.frombuffer(b"".join(map(encode, self.instructions)), np.uint8)

    def timing(self, memory=None):
        """When everything happens with a `Memory` of fixed latency behind both ports.

        Returns
        -------
        ProgramTiming
        """
        memory = memory or usual_memory(self.config)
        return program_timing(self.config, memory, self.instructions, address=self.address)

    def cycles(self, memory=None):
        """Cycles from the start to the end with a `Memory` of fixed latency behind both ports."""
        return self.timing(memory).cycles

    def image(self, codes):
        """Memory before the run, uint8, for the codes (C, H, W) of an input."""
        memory = np.zeros(self.memory_bytes, np.uint8)
        memory[: len(self.constants)] = self.constants
        memory[self.address :] = self.code
        tensor = self.network.input
        values = (np.asarray(codes, np.int64) - code_offset(tensor)).astype(np.int8)
        _window(memory, self.input, tensor.shape)[:] = values.transpose(1, 2, 0).view(np.uint8)
        return memory

    def output(self, memory, name):
        """Codes (C, H, W) of an output, from memory after the run."""
        tensor = self.network.tensors[name]
        values = _window(memory, self.outputs[name], tensor.shape).view(np.int8)
        return (
            (values.astype(np.int64) + code_offset(tensor)).transpose(2, 0, 1).astype(tensor.dtype)
        )

    def maps(self, writes):
        """Feature maps from what the vector unit wrote, in order.

        writes : ndarray of int8, (n, columns), a row for each pixel of each instruction
        Returns a dict of tensor name to codes (C, H, W).
        """
        found: dict[str, np.ndarray] = {}
        position = 0
        for number, instruction in enumerate(self.instructions):
            if number not in self.results:
                continue
            result = self.results[number]
            tensor = self.network.tensors[result.tensor]
            rows, columns = result.rows, result.columns
            height, width = len(rows), len(columns)
            codes = writes[position : position + height * width, : instruction["channels"]]
            position += height * width
            where = found.setdefault(result.tensor, np.zeros(tensor.shape, tensor.dtype))
            block = codes.astype(np.int64).reshape(height, width, -1) + code_offset(tensor)
            where[
                result.first_channel : result.first_channel + instruction["channels"],
                rows.start : rows.stop : rows.step,
                columns.start : columns.stop : columns.step,
            ] = block.transpose(2, 0, 1)
        for layer in self.network.layers:
            if isinstance(layer, Concat):
                self._join(layer, found)
        return found

    def write(self, directory):
        """Write the program for whoever runs it; returns the paths.

        ``program.lst`` is a listing, ``program.bin`` and ``constants.bin`` are bytes for memory,
        and ``memory.json`` says at which addresses they and the feature maps lie.
        """
        regions = {self.network.input.name: self.input, **self.outputs}
        places = {
            "program": {"file": "program.bin", "address": self.address},
            "constants": {"file": "constants.bin", "address": 0},
            "maps": {
                name: {
                    "address": region.address + region.view.channel,
                    "shape": list(self.network.tensors[name].shape),
                    "pixel_pitch_bytes": region.view.storage.pixel,
                    "row_pitch_bytes": region.view.storage.row,
                    "subtracted_from_codes": code_offset(self.network.tensors[name]),
                }
                for name, region in regions.items()
            },
            "memory_bytes": self.memory_bytes,
        }
        return write_files(
            Path(directory),
            {
                "program.lst": self.listing(),
                "program.bin": self.code.tobytes(),
                "constants.bin": self.constants.tobytes(),
                "memory.json": json.dumps(places, indent=2) + "\n",
            },
        )

    def _join(self, layer, found):
        """Add a concatenation: what was copied is there, the rest is in the maps of its inputs."""
        tensor = self.network.tensors[layer.output]
        where = found.setdefault(layer.output, np.zeros(tensor.shape, tensor.dtype))
        channel = 0
        for k, name in enumerate(layer.inputs):
            channels = self.network.tensors[name].shape[0]
            if (layer.name, k) not in self.layout.copies:
                where[channel : channel + channels] = found[name]
            channel += channels

    @property
    def pixels_written(self):
        """Writes of the vector unit."""
        return sum(
            self.instructions[k]["height"] * self.instructions[k]["width"] for k in self.results
        )

    def listing(self):
        """The program as text, a line for each instruction."""
        lines = []
        names = {k + 1: layer.name for k, layer in enumerate(self.network.layers)}
        layer = None
        for number, instruction in enumerate(self.instructions):
            if instruction.layer != layer and instruction.opcode != Opcode.HALT:
                layer = instruction.layer
                lines.append(f"; {names.get(layer, 'input')}")
            waits = " ".join(
                f"{engine[0]}{count}"
                for engine, count in zip(
                    ("read", "matrix", "vector", "write"), instruction.after, strict=True
                )
                if count
            )
            fields = " ".join(
                f"{name}={value}" for name, value in instruction.fields.items() if value
            )
            lines.append(f"{number:6}  {instruction.opcode.name:17} [{waits}] {fields}".rstrip())
        return "\n".join(lines) + "\n"


def _window(memory, region, shape):
    """View (H, W, C) of a feature map in memory."""
    channels, height, width = shape
    storage = region.view.storage
    first = region.address + region.view.channel
    return np.lib.stride_tricks.as_strided(
        memory[first:],
        shape=(height, width, channels),
        strides=(storage.row, storage.pixel, 1),
    )
