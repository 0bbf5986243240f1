"""Instructions of the systolic accelerator as layouts."""

from functools import cache

from amaranth.hdl import signed, unsigned
from amaranth.lib import data

from hwsim.blocks.systolic import isa

__all__ = ["INSTRUCTION", "header_of", "layout", "used_bits"]

# Payload of a stream of instructions.
INSTRUCTION = unsigned(8 * isa.BYTES)


@cache
def layout(opcode):
    """Fields of an instruction, for a view of all its bits.

    That of `isa.Opcode.HALT` has the fields that all have.
    """
    fields = {
        name: (signed if is_signed else unsigned)(bits)
        for name, (bits, is_signed) in (isa.HEADER | isa.FIELDS[opcode]).items()
    }
    unused = INSTRUCTION.width - data.StructLayout(fields).size
    return data.StructLayout(fields | {"unused": unsigned(unused)})


def used_bits(engine):
    """Bits of the longest instruction of an engine; all bits above are 0."""
    return max(
        sum(bits for bits, _ in (isa.HEADER | isa.FIELDS[opcode]).values())
        for opcode in isa.Opcode
        if opcode.engine == engine
    )


def header_of(word):
    """View of the fields that all instructions have, at the lower end of some bits."""
    fields = data.StructLayout({name: unsigned(bits) for name, (bits, _) in isa.HEADER.items()})
    return data.View(fields, word[: fields.size])
