"""Registers of the systolic accelerator, as a processor sees them over AXI4-Lite."""

from dataclasses import dataclass

from .isa import ENGINES

__all__ = ["ADDRESS_BITS", "COUNTERS", "REGISTERS", "Register", "table"]

ADDRESS_BITS = 8
BITS = 32

# Bits of `status`.
BUSY, FINISHED, ERROR = 0, 1, 2


@dataclass(frozen=True)
class Register:
    """One register.

    Parameters
    ----------
    offset : int
        In bytes.
    bits : int
        32, or 64 for two words of which the low one comes first.
    access : str
        Of "read", "write", or both.
    text : str
        What it is.
    """

    offset: int
    bits: int
    access: str
    text: str


_COUNTED = {
    "cycles": "cycles from the start to the end of the program",
    **{f"{e}_active": f"cycles in which the {e} engine had an instruction" for e in ENGINES},
    **{
        f"{e}_waiting": f"cycles in which the next instruction of the {e} engine waited for others"
        for e in ENGINES
    },
    "matrix_starved": "cycles in which the matrix engine waited for weights alone",
    **{f"{e}_completed": f"instructions that the {e} engine completed" for e in ENGINES},
    "bytes_read": "bytes read through the memory port",
    "bytes_written": "bytes written through the memory port",
}
# Names of the performance counters.
COUNTERS = tuple(_COUNTED)
_FIRST_COUNTER = 0x40

REGISTERS = {
    "control": Register(0x00, BITS, "write", "bit 0: start the program; without effect while busy"),
    "status": Register(
        0x04,
        BITS,
        "read, write",
        "bit 0: busy; bit 1: a program has finished; bit 2: there was an error; "
        "a 1 written to bit 1 or 2 clears it, and so does a start",
    ),
    "interrupt": Register(
        0x08, BITS, "read, write", "bit 0: interrupt while bit 1 of `status` is set"
    ),
    "program": Register(0x0C, BITS, "read, write", "address of the first instruction in memory"),
    **{
        name: Register(_FIRST_COUNTER + 8 * k, 2 * BITS, "read", text)
        for k, (name, text) in enumerate(_COUNTED.items())
    },
}


def table():
    """The registers as a table in Markdown."""
    rows = [
        f"| {register.offset:#04x} | `{name}` | {register.bits} | {register.access} | "
        f"{register.text} |\n"
        for name, register in REGISTERS.items()
    ]
    return "| offset | name | bits | access | |\n|---|---|---|---|---|\n" + "".join(rows)
