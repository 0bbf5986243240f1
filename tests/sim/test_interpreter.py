"""The interpreter of netlists against what the text of `ir` says, in numbers worked out by hand."""

import pytest

from hwsim.sim.compiled.ir import (
    Buffer,
    Check,
    Graph,
    Group,
    Memory,
    Port,
    Register,
    Scope,
    Store,
    Write,
)

from .interpreter import Interpreter, check, evaluate

DIVISIONS = [
    (op, way)
    for op, ways in {
        "div": ["floor"],
        "mod": ["floor"],
        "sdiv": ["floor", "trunc"],
        "smod": ["floor", "trunc"],
    }.items()
    for way in ways
]
OPERATIONS = [
    # operation, width, attribute, values, widths, result
    ("slice", 3, 2, [0b1011000], [7], 0b110),
    ("concat", 6, None, [0b01, 0b1101], [2, 4], 0b110101),
    ("zext", 8, None, [0b100], [3], 4),
    ("sext", 8, None, [0b100], [3], 0b11111100),
    ("sext", 8, None, [0b011], [3], 3),
    ("sext", 2, None, [1], [1], 3),
    ("not", 4, None, [0b0101], [4], 0b1010),
    ("neg", 4, None, [1], [4], 15),
    ("neg", 4, None, [8], [4], 8),
    ("and", 4, None, [12, 10], [4, 4], 8),
    ("or", 4, None, [12, 10], [4, 4], 14),
    ("xor", 4, None, [12, 10], [4, 4], 6),
    ("add", 4, None, [15, 2], [4, 4], 1),
    ("sub", 4, None, [2, 3], [4, 4], 15),
    ("mul", 4, None, [7, 7], [4, 4], 1),
    ("mul", 200, None, [1 << 150, 3 << 49], [200, 200], 1 << 199),
    ("div_floor", 4, None, [14, 4], [4, 4], 3),
    ("mod_floor", 4, None, [14, 4], [4, 4], 2),
    # 14 is -2 and 3 is 3: floor(-2 / 3) = -1, remainder 1; towards 0: 0, remainder -2.
    ("sdiv_floor", 4, None, [14, 3], [4, 4], 15),
    ("smod_floor", 4, None, [14, 3], [4, 4], 1),
    ("sdiv_trunc", 4, None, [14, 3], [4, 4], 0),
    ("smod_trunc", 4, None, [14, 3], [4, 4], 14),
    # 7 by -3.
    ("sdiv_floor", 4, None, [7, 13], [4, 4], 13),
    ("smod_floor", 4, None, [7, 13], [4, 4], 14),
    ("sdiv_trunc", 4, None, [7, 13], [4, 4], 14),
    ("smod_trunc", 4, None, [7, 13], [4, 4], 1),
    # -8 by -1 does not fit.
    ("sdiv_trunc", 4, None, [8, 15], [4, 4], 8),
    ("smod_trunc", 4, None, [8, 15], [4, 4], 0),
    ("sdiv_floor", 4, None, [8, 15], [4, 4], 8),
    *((f"{op}_{way}", 4, None, [9, 0], [4, 4], 0) for op, way in DIVISIONS),
    ("shl", 4, None, [3, 3], [4, 8], 8),
    ("shl", 4, None, [3, 4], [4, 8], 0),
    ("shl", 4, None, [3, 1 << 99], [4, 100], 0),
    ("shr", 4, None, [12, 2], [4, 3], 3),
    ("shr", 4, None, [12, 5], [4, 3], 0),
    ("sshr", 4, None, [12, 1], [4, 3], 14),
    ("sshr", 4, None, [12, 7], [4, 3], 15),
    ("sshr", 4, None, [4, 7], [4, 3], 0),
    ("eq", 1, None, [3, 3], [4, 4], 1),
    ("ne", 1, None, [3, 3], [4, 4], 0),
    ("ult", 1, None, [3, 12], [4, 4], 1),
    ("ule", 1, None, [12, 12], [4, 4], 1),
    ("slt", 1, None, [3, 12], [4, 4], 0),
    ("slt", 1, None, [12, 3], [4, 4], 1),
    ("sle", 1, None, [12, 12], [4, 4], 1),
    ("reduce_and", 1, None, [15], [4], 1),
    ("reduce_and", 1, None, [14], [4], 0),
    ("reduce_or", 1, None, [8], [4], 1),
    ("reduce_or", 1, None, [0], [4], 0),
    ("reduce_xor", 1, None, [7], [4], 1),
    ("reduce_xor", 1, None, [6], [4], 0),
    ("mux", 4, None, [1, 5, 9], [1, 4, 4], 5),
    ("mux", 4, None, [0, 5, 9], [1, 4, 4], 9),
]


@pytest.mark.parametrize(("op", "width", "attr", "values", "widths", "result"), OPERATIONS)
def test_operation(op, width, attr, values, widths, result):
    assert evaluate(op, width, attr, values, widths) == result


def test_register_shows_its_value_before_the_edge():
    graph = Graph()
    step = graph.inputs["step"] = graph.node("input", 4, attr="step")
    register = Register("count", 4, 13, graph.top)
    graph.registers.append(register)
    count = graph.node("register", 4, attr=register)
    register.next = graph.node("add", 4, [count, step])
    graph.outputs["next"] = register.next
    graph.bodies[graph.top].signals["count"] = count
    graph.bodies[graph.top].children["u"] = Scope(graph.top, {"half": step})
    check(graph)
    simulation = Interpreter(graph, observe=True)
    assert [simulation.step({"step": s})["next"] for s in (1, 2, 3)] == [14, 0, 3]
    assert simulation.signals() == {"count": 0, "u.half": 3}
    # Inputs stay as they were.
    assert simulation.step()["next"] == 6
    assert simulation.cycle == 4


def test_memory_reads_the_word_before_the_writes_and_the_last_write_wins():
    graph = Graph()
    address = graph.inputs["address"] = graph.node("input", 2, attr="address")
    memory = Memory("words", 8, 3, [7], graph.top)
    graph.memories.append(memory)
    graph.outputs["word"] = graph.node("read", 8, [address], memory)
    one = graph.const(1, 1)
    memory.writes += [Write(address, graph.const(k, 8), one) for k in (1, 2)]
    memory.writes.append(Write(address, graph.const(3, 8), graph.const(0, 1)))
    check(graph)
    simulation = Interpreter(graph)
    found = [simulation.step({"address": a})["word"] for a in (0, 0, 2, 3, 3, 2)]
    # Address 3 is beyond the depth.
    assert found == [7, 2, 0, 0, 0, 2]


def test_instances_of_a_group_see_their_neighbours():
    graph = Graph()
    graph.inputs["i"] = graph.node("input", 8, attr="i")
    group = Group("stage", ["a", "b", "c"])
    register = Register("q", 8, 1, group)
    graph.registers.append(register)
    held = graph.node("register", 8, attr=register, group=group)
    before = Port("before", [(graph.inputs["i"], 0), (held, 0), (held, 1)])
    register.next = graph.node("port", 8, attr=before, group=group)
    graph.outputs["o"] = graph.node("port", 8, attr=Port("out", [(held, 2)]))
    graph.bodies[group] = Scope(group, {"q": held})
    graph.bodies[graph.top].children = {n: (group, [k]) for k, n in enumerate("abc")}
    check(graph)
    simulation = Interpreter(graph, observe=True)
    found = [simulation.step({"i": k})["o"] for k in (5, 6, 7, 8, 9)]
    assert found == [1, 1, 1, 5, 6]
    assert simulation.signals() == {"a.q": 8, "b.q": 7, "c.q": 6}


def test_buffers_and_checks():
    graph = Graph()
    address = graph.inputs["address"] = graph.node("input", 32, attr="address")
    source, sink = Buffer("source", 8, True), Buffer("sink", 8, False)
    graph.buffers += [source, sink]
    graph.outputs["o"] = word = graph.node("load", 8, [address], source)
    odd = graph.node("slice", 1, [word], 0)
    graph.stores.append(Store(sink, address, word, odd))
    graph.checks.append(Check("word is 0", graph.const(1, 1), graph.node("not", 1, [odd]), "a:1"))
    check(graph)
    buffers = {"source": [2, 3, 5], "sink": [0, 0]}
    simulation = Interpreter(graph, buffers)
    found = [simulation.step({"address": a})["o"] for a in (0, 1, 2, 3)]
    # The sink is too short for the third word.
    assert found == [2, 3, 5, 0]
    assert buffers["sink"] == [0, 3]
    assert simulation.violations == [(1, "word is 0", 0), (2, "word is 0", 0)]


def test_check_finds_what_is_no_netlist():
    def broken(change):
        graph = Graph()
        a = graph.inputs["a"] = graph.node("input", 4, attr="a")
        graph.outputs["o"] = change(graph, a)
        with pytest.raises(AssertionError):
            check(graph)

    broken(lambda graph, a: graph.node("slice", 4, [a], 1))
    broken(lambda graph, a: graph.node("zext", 4, [a]))
    broken(lambda graph, a: graph.node("add", 5, [a, a]))
    broken(lambda graph, a: graph.node("concat", 7, [a, a]))
    broken(lambda graph, a: graph.node("mux", 4, [a, a, a]))
    broken(lambda graph, a: graph.node("eq", 2, [a, a]))
    broken(lambda graph, a: graph.node("frobnicate", 4, [a, a]))
    broken(lambda graph, a: graph.node("const", 4, attr=16))
    broken(lambda graph, a: graph.node("port", 4, attr=Port("p", [(a, 1)])))
    broken(lambda graph, a: graph.node("port", 4, attr=Port("p", [])))
    broken(lambda graph, a: graph.node("register", 4, attr=Register("r", 4, 0, graph.top)))
