"""Registers that move into multipliers, on netlists of a few cells."""

import pytest

from hwsim.synth.absorb import absorb


def flip_flop(d, q, clk=1, **options):
    return {
        "type": "TRELLIS_FF",
        "parameters": {"CEMUX": "1 ", "CLKMUX": "CLK", "REGSET": "RESET", **options},
        "port_directions": {"CLK": "input", "DI": "input", "LSR": "input", "Q": "output"},
        "connections": {"CLK": [clk], "DI": [d], "LSR": ["0"], "Q": [q]},
    }


def multiplier(a, b, p):
    connections = {}
    for side, bits in (("A", a), ("B", b), ("P", p)):
        # The sign fills up the operands.
        ends = bits if side == "P" else [*bits, *bits[-1:] * (18 - len(bits))]
        connections |= {f"{side}{k}": [bit] for k, bit in enumerate(ends)}
    directions = {port: "output" if port[0] == "P" else "input" for port in connections}
    return {
        "type": "MULT18X18D",
        "parameters": {},
        "port_directions": directions,
        "connections": connections,
    }


def logic(i, o):
    return {
        "type": "LUT4",
        "parameters": {},
        "port_directions": {"A": "input", "Z": "output"},
        "connections": {"A": [i], "Z": [o]},
    }


def netlist():
    """Two bits times two bits, in registers behind registers; the product goes to logic."""
    cells = {}
    for k in range(2):
        for first, side in ((10, "a"), (20, "b")):
            cells[f"design.{side}_{k}"] = flip_flop(first + k, first + 2 + k)
            cells[f"design.{side}_{k}_late"] = flip_flop(first + 2 + k, first + 4 + k)
    cells["design.times"] = multiplier([14, 15], [24, 25], [30, 31, 32, 33])
    for k in range(3):
        cells[f"design.p_{k}"] = flip_flop(30 + k, 40 + k)
        cells[f"design.use_{k}"] = logic(40 + k, 50 + k)
    return cells


LATE = {f"design.{side}_{k}_late" for side in "ab" for k in range(2)}
PRODUCT = {f"design.p_{k}" for k in range(3)}


def modes(cells):
    parameters = cells["design.times"]["parameters"]
    return [parameters.get(f"REG_{which}_CLK") for which in ("INPUTA", "INPUTB", "OUTPUT")]


def test_all_registers():
    cells = netlist()
    assert set(absorb(cells)) == LATE | PRODUCT
    assert not (LATE | PRODUCT) & set(cells)
    assert modes(cells) == ["CLK0", "CLK0", "CLK0"]
    ends = cells["design.times"]["connections"]
    assert [ends[port] for port in ("A0", "A1", "A2", "A17")] == [[12], [13], [13], [13]]
    assert [ends[port] for port in ("B0", "B1", "B17")] == [[22], [23], [23]]
    # Nobody reads the fourth bit.
    assert [ends[f"P{k}"] for k in range(4)] == [[40], [41], [42], [33]]
    assert [ends[port] for port in ("CLK0", "CE0", "RST0")] == [[1], ["1"], ["0"]]


def test_what_others_read_stays():
    cells = netlist()
    cells["design.reads_a"] = logic(14, 60)
    assert set(absorb(cells)) == (LATE | PRODUCT) - {"design.a_0_late"}
    assert cells["design.a_0_late"]["connections"]["Q"] == [14]
    assert cells["design.times"]["connections"]["A0"] == [12]


def test_two_multipliers_share_an_operand():
    cells = netlist()
    cells["design.other"] = multiplier([14, 15], [24, 25], [70])
    cells["design.other_p"] = flip_flop(70, 71)
    cells["design.other_use"] = logic(71, 72)
    assert set(absorb(cells)) == LATE | PRODUCT | {"design.other_p"}
    assert cells["design.other"]["connections"]["A0"] == [12]


def test_a_product_that_others_read():
    cells = netlist()
    cells["design.reads_p"] = logic(30, 60)
    assert set(absorb(cells)) == LATE
    assert modes(cells) == ["CLK0", "CLK0", None]


def test_logic_before_an_operand():
    cells = netlist()
    cells["design.a_0"] = logic(10, 12)
    assert set(absorb(cells)) == PRODUCT
    assert modes(cells) == [None, None, "CLK0"]


@pytest.mark.parametrize("options", [{"CEMUX": "CE"}, {"REGSET": "SET"}, {"CLKMUX": "INV"}])
def test_registers_of_another_kind(options):
    cells = netlist()
    cells["design.a_1_late"]["parameters"] |= options
    cells["design.p_1"]["parameters"] |= options
    assert absorb(cells) == []
    assert modes(cells) == [None, None, None]


def test_registers_with_a_reset():
    cells = netlist()
    cells["design.b_0_late"]["connections"]["LSR"] = [9]
    cells["design.p_0"]["connections"]["LSR"] = [9]
    assert absorb(cells) == []


def test_another_clock():
    cells = netlist()
    cells["design.p_0"]["connections"]["CLK"] = [2]
    cells["design.b_0_late"]["connections"]["CLK"] = [2]
    assert absorb(cells) == []


def test_registers_of_the_wrapper_stay():
    cells = {name.replace("design.p_", "p_"): cell for name, cell in netlist().items()}
    assert set(absorb(cells)) == LATE
