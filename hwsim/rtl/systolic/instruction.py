"""Instructions as hardware sees them."""

from amaranth.hdl import Shape
from amaranth.lib import data

from hwsim.blocks.systolic.isa import BYTES, FIELDS, HEADER

__all__ = ["layout"]


def layout(opcode):
    """Layout of an instruction's bits: its header, the fields of ``opcode``, unused bits."""
    shapes = {
        name: Shape(bits, signed) for name, (bits, signed) in (HEADER | FIELDS[opcode]).items()
    }
    unused = 8 * BYTES - sum(shape.width for shape in shapes.values())
    return data.StructLayout(shapes | {"unused": Shape(unused)})
