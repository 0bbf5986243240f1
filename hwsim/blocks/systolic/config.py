"""Sizes of a systolic accelerator."""

from dataclasses import dataclass

from hwsim.blocks.array import ArrayConfig
from hwsim.blocks.checks import check_integer, check_positive
from hwsim.blocks.queue import DISTRIBUTED_DEPTH
from hwsim.blocks.systolic.isa import BYTES

__all__ = ["Systolic"]

# Half of what an address in an instruction reaches.
LARGEST_BUFFER = 1 << 23
LARGEST_ACCUMULATOR_ROWS = 4096
LARGEST_POOL_COLUMNS = 4096
FACTOR_PRECISIONS = range(7, 13)
# Cycles from an address at a read port of the buffer to the data.
BUFFER_READ_LATENCY = 3
# Cycles from an address at the read port of the accumulators to the sums.
ACCUMULATOR_READ_LATENCY = 1
# Words that the writer reads ahead of the memory port: at least those that are on their way from
# the buffer through the queue and back as credit, BUFFER_READ_LATENCY + 2.
STORE_QUEUE_DEPTH = 8
# Instructions that are fetched ahead of the engines' queues, and the most that a burst brings.
PREFETCH_INSTRUCTIONS = 16
PREFETCH_BURST = 8


@dataclass(frozen=True, kw_only=True)
class Systolic:
    """A systolic array with memories, a vector unit and DMA; see ``docs/systolic.md``.

    Parameters
    ----------
    rows, cols : int
        Of the array: channels of the input and of the output at a time, 1 to 256.
    dataflow : str
        "weight-stationary".
    buffer_bytes : int
        Size of the unified buffer, which holds feature maps: a power of two.
    sections : int
        Parts of the buffer that have a read port and a write port each: a power of two.
    accumulator_rows : int
        Output pixels of which the accumulators hold partial sums, in each of two halves: a power
        of two.
    pool_columns : int
        Output columns of a pool of which the vector unit holds what it knows of their windows. Of
        wider outputs so many columns are made at a time.
    weight_tiles, parameter_tiles : int
        Tiles of weights, and of output channels' parameters, that are fetched ahead.
    axi_bits : int
        Width of the memory port; 0 for a byte for each bank of the buffer, at most 512 bits.
    address_bits : int
        Of the memory port.
    burst_beats : int
        Beats of the longest burst: a power of two.
    outstanding : int
        Read bursts that are requested and not yet answered, at most.
    queue_depth : int
        Instructions that wait in front of each engine.
    packed : bool
        One multiplier serves two neighbouring columns; see `hwsim.blocks.array.ArrayConfig`.
    factor_precision : int
        The largest precision of a table of factors (LRN), 7 to 12: ``2**factor_precision`` entries
        from one power of two to the next.

    Members
    -------
    array : ArrayConfig
    banks : int
        Byte-wide memories side by side in a section, the next power of two of rows and columns.
    """

    rows: int = 16
    cols: int = 16
    dataflow: str = "weight-stationary"
    buffer_bytes: int = 1 << 20
    sections: int = 4
    accumulator_rows: int = 1024
    pool_columns: int = 128
    weight_tiles: int = 4
    parameter_tiles: int = 4
    axi_bits: int = 0
    address_bits: int = 32
    burst_beats: int = 32
    outstanding: int = 8
    queue_depth: int = 8
    packed: bool = False
    factor_precision: int = FACTOR_PRECISIONS[0]

    def __post_init__(self):
        for name in ("rows", "cols"):
            check_positive(name, getattr(self, name))
            if getattr(self, name) > 256:
                raise ValueError(f"{name} must be at most 256, not {getattr(self, name)}")
        if self.dataflow != "weight-stationary":
            raise ValueError(f"dataflow must be weight-stationary, not {self.dataflow!r}")
        _ = self.array  # checks the rest
        for name in (
            "pool_columns",
            "weight_tiles",
            "parameter_tiles",
            "outstanding",
            "queue_depth",
        ):
            check_integer(name, getattr(self, name), 2)
        for name in ("buffer_bytes", "sections", "accumulator_rows", "burst_beats"):
            check_positive(name, getattr(self, name))
            if getattr(self, name) & (getattr(self, name) - 1):
                raise ValueError(f"{name} must be a power of two, not {getattr(self, name)}")
        if self.queue_depth > DISTRIBUTED_DEPTH:
            raise ValueError(
                f"queue_depth must be at most {DISTRIBUTED_DEPTH}, not {self.queue_depth}"
            )
        if self.pool_columns > LARGEST_POOL_COLUMNS:
            raise ValueError(
                f"pool_columns must be at most {LARGEST_POOL_COLUMNS}, not {self.pool_columns}"
            )
        least, most = FACTOR_PRECISIONS[0], FACTOR_PRECISIONS[-1]
        check_integer("factor_precision", self.factor_precision, least)
        if self.factor_precision > most:
            raise ValueError(
                f"factor_precision must be at most {most}, not {self.factor_precision}"
            )
        check_integer("address_bits", self.address_bits, 12)
        if self.address_bits > 32:
            raise ValueError(f"address_bits must be at most 32, not {self.address_bits}")
        smallest, largest = 2 * self.sections * self.banks, LARGEST_BUFFER
        if not smallest <= self.buffer_bytes <= largest:
            raise ValueError(
                f"buffer_bytes must lie in [{smallest}, {largest}] for {self.sections} sections of "
                f"{self.banks} banks, not {self.buffer_bytes}"
            )
        if not 2 <= self.accumulator_rows <= LARGEST_ACCUMULATOR_ROWS:
            raise ValueError(
                f"accumulator_rows must lie in [2, {LARGEST_ACCUMULATOR_ROWS}], "
                f"not {self.accumulator_rows}"
            )
        if self.burst_beats > 256 or self.burst_beats * self.axi_bytes > 4096:
            raise ValueError(
                f"burst_beats must be at most {min(256, 4096 // self.axi_bytes)} with a port of "
                f"{8 * self.axi_bytes} bits, not {self.burst_beats}"
            )
        if self.axi_bits and (
            self.axi_bits not in (8, 16, 32, 64, 128, 256, 512, 1024) or self.axi_bytes > self.banks
        ):
            raise ValueError(
                f"axi_bits must be a power of two from 8 to {min(8 * self.banks, 1024)}, a byte "
                f"for each bank, not {self.axi_bits}"
            )

    @property
    def array(self):
        """The array's own configuration."""
        return ArrayConfig(rows=self.rows, cols=self.cols, packed=self.packed)

    @property
    def banks(self):
        """Byte-wide memories side by side in a section of the buffer."""
        return 1 << (max(self.rows, self.cols) - 1).bit_length()

    @property
    def section_bytes(self):
        """Bytes of a section of the buffer."""
        return self.buffer_bytes // self.sections

    @property
    def bank_depth(self):
        """Bytes of a bank of a section."""
        return self.section_bytes // self.banks

    @property
    def axi_bytes(self):
        """Bytes in a beat of the memory port."""
        return self.axi_bits // 8 or min(self.banks, 64)

    @property
    def program_bytes(self):
        """Bytes in a beat of the port by which instructions come: at most one instruction."""
        return min(self.axi_bytes, BYTES)

    @property
    def instruction_beats(self):
        """Beats of the program port that make an instruction."""
        return BYTES // self.program_bytes

    @property
    def program_burst_beats(self):
        """Beats of the longest burst of instructions."""
        return min(self.burst_beats, PREFETCH_BURST * self.instruction_beats)

    @property
    def row_bytes(self):
        """Bytes between two rows of weights in memory: columns, up to a power of two."""
        return 1 << (self.cols - 1).bit_length()

    @property
    def weight_words(self):
        """Beats of the memory port that make a tile of weights."""
        return -(-self.rows * self.row_bytes // self.axi_bytes)

    @property
    def parameter_words(self):
        """Beats of the memory port that make a tile of parameters, 8 bytes for each column."""
        return -(-8 * self.row_bytes // self.axi_bytes)

    @property
    def weight_burst_beats(self):
        """Beats of the longest burst of weights."""
        return self._burst_beats(self.weight_tiles, self.weight_words)

    @property
    def parameter_burst_beats(self):
        """Beats of the longest burst of parameters."""
        return self._burst_beats(self.parameter_tiles, self.parameter_words)

    def _burst_beats(self, tiles, words):
        # What is left in the queue when all whole tiles are taken is less than a tile: a burst must
        # fit beside it. A power of two.
        longest = min(self.burst_beats, (tiles - 1) * words + 1)
        return 1 << (longest.bit_length() - 1)
