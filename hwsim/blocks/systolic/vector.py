"""How long the vector unit takes."""

from .config import ACCUMULATOR_READ_LATENCY, BUFFER_READ_LATENCY
from .isa import Opcode, Operation

__all__ = [
    "CODES",
    "FACTOR_BYTES",
    "PARAMETER_BYTES",
    "POOL_BITS",
    "POOL_WINDOWS",
    "SQUARES_BITS",
    "factors",
    "parameter_latency",
    "table_begins",
    "table_ready",
    "vector_cycles",
]

# Entries of the table of codes.
CODES = 256
# `NORMALIZE` has factors for sums of squares of so many bits.
SQUARES_BITS = 22
# In a table of factors, and in a tile of parameters for each column.
FACTOR_BYTES = 4
PARAMETER_BYTES = 8

# Windows of a pool that may have a pixel in common, along a row and down a column: those of 3 x 3
# with a stride of 1. The compiler makes pools with more of them in several passes.
POOL_WINDOWS = 3
# Of what is known of a window: a sum of codes, each less an offset; a kernel has 10 bits a side.
POOL_BITS = (255 * 1023 * 1023).bit_length() + 1

# Cycles from a value at a lane's scaling to its code.
SCALE_LATENCY = 11
# Cycles from a tap's code to the value that it completes.
TAP_LATENCY = 3
# Cycles by which the sum of squares comes before the factor that it leads to.
FACTOR_LATENCY = 1
# Cycles from a code to the value of the window that it completes: it goes through the window's row
# and then through the line memory.
POOL_LATENCY = TAP_LATENCY + 1
# Cycles from the acceptance of an instruction to its first address.
START_LATENCY = 2


def factors(precision):
    """Entries of the table of factors.

    As of `hwsim.network.integer.log_index`: such sums share a factor as have the same length and
    the same upper bits, one more than the precision.
    """
    return (SQUARES_BITS + 1 - precision) << precision


def vector_cycles(config, instruction):
    """Cycles from the one in which the vector unit takes an instruction to that of its last write.

    The unit takes the next instruction a cycle later at the earliest.

    Parameters
    ----------
    config : Systolic
    instruction : Instruction
        ``ACTIVATE``, ``COMBINE`` or ``POOL``.
    """
    pixels = instruction["width"] * instruction["height"]
    if instruction.opcode == Opcode.ACTIVATE:
        return pixels - 1 + START_LATENCY + ACCUMULATOR_READ_LATENCY + SCALE_LATENCY
    latency = START_LATENCY + BUFFER_READ_LATENCY + SCALE_LATENCY
    if instruction.opcode == Opcode.POOL:
        return instruction["rows"] * instruction["columns"] - 1 + latency + POOL_LATENCY
    latency += TAP_LATENCY
    if instruction["operation"] == Operation.NORMALIZE:
        latency += FACTOR_LATENCY
    return pixels * instruction["taps_x"] - 1 + latency


def parameter_latency(config):
    """Cycles from the last word of a tile to the acceptance of an instruction that waits for it."""
    return 2 if config.axi_bytes >= PARAMETER_BYTES else 3


def _factor_parts(config):
    # Factors come to the lanes whole.
    return max(1, FACTOR_BYTES // config.axi_bytes)


def table_begins(config, word):
    """The first cycle in which no instruction is taken for a table whose first word comes then."""
    return word + 1 + (_factor_parts(config) > 1)


def table_ready(config, words, table):
    """The first cycle in which the vector unit takes an instruction again after a new table.

    Parameters
    ----------
    config : Systolic
    words : sequence of int
        The cycles in which the words of the table come.
    table : int
        0, codes; 1, factors.
    """
    parts = _factor_parts(config)
    size = (1, FACTOR_BYTES)[table]
    entries = parts * config.axi_bytes // size
    last = -1
    for cycle in words[parts - 1 :: parts]:
        there = cycle + 1 + (parts > 1)
        last = max(last + 1, there) + entries - 1
    return last + 2
