"""Bits that a component is given and does not need."""

from amaranth.hdl import Cat, Signal

__all__ = ["discard"]


def discard(m, *values):
    """Say in the Verilog, by a signal ``unused``, that nobody reads these values on purpose.

    That is how lint tools tell them from what was forgotten. Once in a module.
    """
    unused = Signal(attrs={"keep": 1})
    m.d.comb += unused.eq(Cat(*values).any())
