"""Instructions of the systolic accelerator: what they say, and how they are encoded.

They follow those of the first TPU (Jouppi et al., "In-Datacenter Performance Analysis of a Tensor
Processing Unit", ISCA 2017, section 2): read activations, read weights, convolve, activate, write
activations. Each of four engines carries out its own instructions one after the other. An
instruction starts when each other engine has completed as many instructions as it says: the
hardware has no other interlock.

An instruction takes `BYTES` bytes in memory, its fields packed from the lowest bit on in the order
of `FIELDS`, unused bits 0.
"""

from dataclasses import dataclass, field
from enum import IntEnum

__all__ = [
    "BYTES",
    "ENGINES",
    "FIELDS",
    "HEADER",
    "Instruction",
    "Opcode",
    "decode",
    "encode",
    "table",
]

BYTES = 64
ENGINES = ("read", "matrix", "vector", "write")


class Opcode(IntEnum):
    """What an instruction does."""

    HALT = 0
    READ_ACTIVATIONS = 1
    READ_WEIGHTS = 2
    READ_PARAMETERS = 3
    READ_TABLE = 4
    CONVOLVE = 5
    ACTIVATE = 6
    COMBINE = 7
    WRITE_ACTIVATIONS = 8
    POOL = 9

    @property
    def engine(self):
        """Number of the engine that carries it out; None for `HALT`, which ends the program."""
        return (None, 0, 0, 0, 0, 1, 2, 2, 3, 2)[self]


class Operation(IntEnum):
    """How one value is made of several: by `Opcode.COMBINE`, ``MAX`` by `Opcode.POOL` alone."""

    SUM = 0
    MAX = 1
    PRODUCT = 2
    NORMALIZE = 3


# Name to (bits, signed). The number of instructions that each engine must have completed; 0 asks
# for nothing.
HEADER = {
    "opcode": (4, False),
    "layer": (12, False),
    **{f"after_{engine}": (20, False) for engine in ENGINES},
}
_TRANSFER = {
    "address": (32, False),  # in memory, in bytes
    "words": (24, False),  # beats of the memory port
    "buffer": (24, False),  # address in the buffer
    "table": (2, False),  # which one
}
_OUTPUT = {
    "width": (12, False),  # pixels in a row
    "height": (12, False),  # rows
}
_WINDOW = {
    "base": (24, False),  # address of the first pixel's first tap
    "pixel_x": (16, False),  # from a pixel to the next
    "pixel_y": (24, False),  # from the first pixel of a row to that of the next row
    "taps_x": (10, False),
    "tap_x": (24, False),  # from a tap to the next in its row
    "tap_y": (24, False),  # from the first tap of a row of taps to that of the next
    "y": (13, True),  # place of the first pixel's first tap in the map
    "x": (13, True),
    "stride_y": (6, False),
    "stride_x": (6, False),
    "dilation_y": (6, False),
    "dilation_x": (6, False),
    "map_height": (12, False),
    "map_width": (12, False),
}
_VECTOR = {
    **_OUTPUT,
    "half": (1, False),
    "operation": (2, False),
    "uniform": (1, False),
    "lookup": (1, False),
    "channels": (9, False),
    "to": (24, False),  # address of the first result
    "to_x": (24, False),
    "to_y": (24, False),
    "zero_point": (8, True),
    "minimum": (8, True),
    "maximum": (8, True),
    "multiplier": (17, False),
    "shift": (6, False),
}
_SCAN = {
    "base": (24, False),  # address of the first pixel
    "pixel_x": (24, False),  # from a pixel to the next
    "pixel_y": (24, False),  # from the first pixel of a row to that of the next row
    "y": (13, True),  # place of the first pixel in the map
    "x": (13, True),
    "stride_y": (6, False),  # from a pixel to the next, in the map
    "stride_x": (6, False),
    "map_height": (12, False),
    "map_width": (12, False),
    "offset_0": (8, True),
}
FIELDS = {
    Opcode.HALT: {},
    Opcode.READ_ACTIVATIONS: _TRANSFER,
    Opcode.READ_WEIGHTS: _TRANSFER,
    Opcode.READ_PARAMETERS: _TRANSFER,
    Opcode.READ_TABLE: _TRANSFER,
    Opcode.CONVOLVE: {
        **_OUTPUT,
        "half": (1, False),
        "pixels": (13, False),  # width * height
        "folds": (16, False),
        "channels": (16, False),  # of a tap
        "taps_y": (10, False),
        "gap_x": (10, False),  # lanes that are left free after a tap, unless it ends a row,
        "gap_y": (10, False),  # and after a row of taps
        "pad": (8, True),  # code outside the map
        **_WINDOW,
    },
    Opcode.ACTIVATE: _VECTOR,
    Opcode.COMBINE: {
        **_VECTOR,
        **_SCAN,
        "taps_x": (10, False),
        "tap_x": (24, False),  # from a tap to the next, and in the map
        "dilation_x": (6, False),
        "offset_1": (8, True),
        "factor_0": (17, False),
        "factor_1": (17, False),
    },
    Opcode.WRITE_ACTIVATIONS: _TRANSFER,
    Opcode.POOL: {
        **_VECTOR,
        **_SCAN,
        "rows": (13, False),  # of pixels
        "columns": (13, False),
        "kernel_y": (10, False),  # pixels of a window
        "kernel_x": (10, False),
        "window_y": (10, False),  # from a window to the next, in pixels
        "window_x": (10, False),
        "ahead_y": (10, False),  # pixels of the first window before the first pixel
        "ahead_x": (10, False),
    },
}
for _fields in FIELDS.values():
    assert sum(bits for bits, _ in (HEADER | _fields).values()) <= 8 * BYTES


@dataclass(frozen=True)
class Instruction:
    """One instruction.

    Parameters
    ----------
    opcode : Opcode
    layer : int
        Number of the layer that it works for, for whoever reads or measures; 0 for none.
    after : tuple of four int
        Instructions that each of `ENGINES` must have completed.
    fields : dict of name to int
        As `FIELDS` says; what is missing is 0.
    """

    opcode: Opcode
    layer: int = 0
    after: tuple[int, int, int, int] = (0, 0, 0, 0)
    fields: dict[str, int] = field(default_factory=dict)

    def __getitem__(self, name):
        return self.fields.get(name, 0)


def _header(instruction):
    waits = zip(ENGINES, instruction.after, strict=True)
    return {
        "opcode": instruction.opcode,
        "layer": instruction.layer,
        **{f"after_{engine}": count for engine, count in waits},
    }


def encode(instruction):
    """`BYTES` bytes.

    Raises
    ------
    ValueError
        If a field is unknown or its value does not fit.
    """
    layout = HEADER | FIELDS[instruction.opcode]
    values = _header(instruction) | instruction.fields
    if unknown := sorted(set(values) - set(layout)):
        raise ValueError(f"{instruction.opcode.name} has no field {unknown[0]}")
    word = position = 0
    for name, (bits, signed) in layout.items():
        value = values.get(name, 0)
        low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
        if not low <= value <= high:
            raise ValueError(
                f"{name} of {instruction.opcode.name} must lie in [{low}, {high}], not {value}"
            )
        word |= (value & ((1 << bits) - 1)) << position
        position += bits
    return word.to_bytes(BYTES, "little")


def decode(data):
    """The `Instruction` of `BYTES` bytes."""
    word = int.from_bytes(data, "little")
    opcode = Opcode(word & 15)
    values = {}
    for name, (bits, signed) in (HEADER | FIELDS[opcode]).items():
        value = word & ((1 << bits) - 1)
        values[name] = value - (1 << bits) if signed and value >> (bits - 1) else value
        word >>= bits
    read, matrix, vector, write = (values[f"after_{engine}"] for engine in ENGINES)
    return Instruction(
        opcode,
        values["layer"],
        (read, matrix, vector, write),
        {name: values[name] for name in FIELDS[opcode]},
    )


def table():
    """The encodings in Markdown: for each opcode its fields, from the lowest bit on."""
    rows = [_row("all", "", HEADER, 0)]
    start = sum(bits for bits, _ in HEADER.values())
    rows += [_row(f"`{opcode.name}`", opcode.value, FIELDS[opcode], start) for opcode in Opcode]
    return "| instruction | opcode | fields: lowest bit, name, bits |\n|---|---|---|\n" + "".join(
        rows
    )


def _row(name, number, fields, position):
    texts = []
    for field_name, (bits, signed) in fields.items():
        texts.append(f"{position} `{field_name}` {bits}{' signed' if signed else ''}")
        position += bits
    return f"| {name} | {number} | {', '.join(texts)} |\n"
