"""Registers that become several, on netlists of a few cells."""

from hwsim.synth.replicate import replicate


def cell(kind, directions, **connections):
    ports = {port: "output" if port in directions else "input" for port in connections}
    return {"type": kind, "parameters": {}, "port_directions": ports, "connections": connections}


def netlist(readers, name="design.en"):
    cells = {name: cell("TRELLIS_FF", "Q", DI=[2], CLK=[1], Q=[3])}
    for k in range(readers):
        cells[f"design.word_{k}"] = cell("TRELLIS_FF", "Q", DI=[100 + k], CE=[3], Q=[200 + k])
    return cells


def test_readers_are_shared_out():
    cells = netlist(10)
    assert replicate(cells, most=4) == ["design.en_copy_1", "design.en_copy_2"]
    enables = [cells[f"design.word_{k}"]["connections"]["CE"][0] for k in range(10)]
    # In the order of the word, not of the alphabet.
    assert enables == [3] * 3 + enables[3:4] * 3 + enables[6:7] * 4
    assert len({3, enables[3], enables[6]}) == 3
    for k, bit in ((1, enables[3]), (2, enables[6])):
        ends = cells[f"design.en_copy_{k}"]["connections"]
        assert (ends["DI"], ends["CLK"], ends["Q"]) == ([2], [1], [bit])


def test_few_readers():
    cells = netlist(4)
    assert replicate(cells, most=4) == []
    assert len(cells) == 5


def test_registers_of_the_wrapper_stay():
    assert replicate(netlist(10, "en"), most=4) == []
