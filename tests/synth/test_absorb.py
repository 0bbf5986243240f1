"""Registers that move into multipliers and block RAMs, on netlists of a few cells."""

import pytest

from hwsim.synth.absorb import absorb


def flip_flop(d, q, clk=1, **options):
    return {
        "type": "TRELLIS_FF",
        "parameters": {"CEMUX": "1 ", "CLKMUX": "CLK", "REGSET": "RESET", **options},
        "port_directions": {"CLK": "input", "DI": "input", "LSR": "input", "Q": "output"},
        "connections": {"CLK": [clk], "DI": [d], "LSR": ["0"], "Q": [q]},
    }


def enabled_by(ce, register):
    register["parameters"]["CEMUX"] = "CE"
    register["connections"]["CE"] = [ce]
    register["port_directions"]["CE"] = "input"
    return register


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
    for name in ("design.a_1_late", "design.p_1"):
        enabled_by(8, cells[name])["parameters"] |= {"CEMUX": "1"} | options
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


def block_ram(width, outputs):
    """``outputs`` gives the bit at each output that is used."""
    connections = {"CLKA": [1], "CLKB": [1], "OCEA": ["0"], "OCEB": ["1"]}
    connections |= {port: [bit] for port, bit in outputs.items()}
    return {
        "type": "DP16KD",
        "parameters": {"DATA_WIDTH_B": f"{width:032b}", "REGMODE_A": "NOREG", "REGMODE_B": "NOREG"},
        "port_directions": {p: "output" if p[0] == "D" else "input" for p in connections},
        "connections": connections,
    }


def read_registers():
    """Two bits that a block RAM reads, in registers with an enable."""
    cells = {"design.ram": block_ram(36, {"DOA3": 10, "DOB0": 11})}
    for k in range(2):
        cells[f"design.q_{k}"] = enabled_by(5, flip_flop(10 + k, 20 + k))
        cells[f"design.use_{k}"] = logic(20 + k, 30 + k)
    return cells


def test_registers_behind_a_block_ram():
    cells = read_registers()
    assert set(absorb(cells)) == {"design.q_0", "design.q_1"}
    ram = cells["design.ram"]
    assert [ram["connections"][p] for p in ("DOA3", "DOB0", "OCEA", "OCEB")] == [
        [20],
        [21],
        ["0"],
        [5],
    ]
    assert [ram["parameters"][f"REGMODE_{side}"] for side in "AB"] == ["OUTREG", "OUTREG"]


def test_registers_behind_one_side_of_a_block_ram():
    cells = read_registers()
    cells["design.ram"] = block_ram(18, {"DOB1": 10, "DOB0": 11})
    assert set(absorb(cells)) == {"design.q_0", "design.q_1"}
    parameters = cells["design.ram"]["parameters"]
    assert [parameters[f"REGMODE_{side}"] for side in "AB"] == ["NOREG", "OUTREG"]


@pytest.mark.parametrize("what", ["enable", "clock", "another reader", "both sides"])
def test_registers_behind_a_block_ram_that_stay(what):
    cells = read_registers()
    if what == "enable":
        cells["design.q_1"]["connections"]["CE"] = [6]
    elif what == "clock":
        for k in range(2):
            cells[f"design.q_{k}"]["connections"]["CLK"] = [2]
    elif what == "another reader":
        cells["design.reads"] = logic(11, 40)
    else:
        cells["design.ram"]["parameters"]["DATA_WIDTH_B"] = f"{18:032b}"
    assert absorb(cells) == []
    assert cells["design.ram"]["parameters"]["REGMODE_B"] == "NOREG"


def test_a_register_is_a_block_rams_or_a_multipliers():
    """The only register between the two becomes the memory's, and the multiplier keeps none."""
    cells = netlist() | read_registers()
    cells["design.ram"] = block_ram(18, {"DOB0": 10, "DOB1": 11})
    for k in range(2):
        del cells[f"design.use_{k}"], cells[f"design.a_{k}"], cells[f"design.a_{k}_late"]
        cells[f"design.q_{k}"] = flip_flop(10 + k, 14 + k)
    assert set(absorb(cells)) == {"design.q_0", "design.q_1"} | PRODUCT
    assert modes(cells) == [None, None, "CLK0"]
