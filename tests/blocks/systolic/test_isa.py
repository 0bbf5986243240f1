"""Encodings of the systolic accelerator's instructions."""

from pathlib import Path

import numpy as np
import pytest

from hwsim.blocks.systolic import isa
from hwsim.blocks.systolic.isa import BYTES, FIELDS, HEADER, Instruction, Opcode, decode, encode


def random_instruction(rng, opcode):
    def value(bits, signed):
        low = -(1 << (bits - 1)) if signed else 0
        # The ends as often as all that lies between.
        return int(rng.choice([low, low + (1 << bits) - 1, rng.integers(low, low + (1 << bits))]))

    return Instruction(
        opcode,
        value(*HEADER["layer"]),
        tuple(value(20, False) for _ in range(4)),
        {name: value(*shape) for name, shape in FIELDS[opcode].items()},
    )


@pytest.mark.parametrize("opcode", Opcode)
@pytest.mark.parametrize("seed", range(3))
def test_decoding_gives_what_was_encoded(opcode, seed):
    instruction = random_instruction(np.random.default_rng(seed), opcode)
    data = encode(instruction)
    assert len(data) == BYTES
    assert decode(data) == instruction


def test_fields_lie_from_the_lowest_bit_on():
    data = encode(Instruction(Opcode.READ_WEIGHTS, 3, (1, 0, 0, 0), {"address": 0x80, "words": 1}))
    word = int.from_bytes(data, "little")
    assert word == 2 | 3 << 4 | 1 << 16 | 0x80 << 96 | 1 << 128


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"^width of CONVOLVE must lie in \[0, 4095\], not 4096$"):
        encode(Instruction(Opcode.CONVOLVE, fields={"width": 4096}))
    with pytest.raises(ValueError, match=r"^y of CONVOLVE must lie in \[-4096, 4095\], not -4097$"):
        encode(Instruction(Opcode.CONVOLVE, fields={"y": -4097}))
    with pytest.raises(ValueError, match=r"^HALT has no field width$"):
        encode(Instruction(Opcode.HALT, fields={"width": 1}))


def test_a_field_that_is_not_given_is_0():
    assert Instruction(Opcode.ACTIVATE)["shift"] == 0
    assert decode(encode(Instruction(Opcode.ACTIVATE)))["shift"] == 0


def test_table_of_encodings():
    """The documentation shows what the hardware takes."""
    text = (Path(__file__).parents[3] / "docs" / "systolic.md").read_text()
    assert isa.table() in text
