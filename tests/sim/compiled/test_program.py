"""Programs: what they are asked for, what can be observed, and how they are kept."""

import random

import numpy as np
import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwsim.sim.compiled import machine
from hwsim.sim.compiled.codegen import STORES
from hwsim.sim.compiled.program import Program, compile_component, compile_graph
from tests.sim.differential import isolated
from tests.sim.random_graphs import random_buffers, random_graph

from .small_graphs import Build, compare


def _adder():
    b = Build()
    b.output("o", b.op("add", 8, b.input("x", 8), b.input("y", 8)))
    return b.graph


@pytest.mark.parametrize("lanes", [0, -1, 1025, 1.0, 2.5, "4", None])
def test_wrong_lanes(lanes):
    with pytest.raises(ValueError) as caught:
        compile_graph(_adder(), lanes=lanes)
    assert str(caught.value) == f"lanes must be an integer from 1 to 1024, not {lanes!r}"


@pytest.mark.parametrize("lanes", [1, 2, 7, 8, 9, 63, 65, 129, 1023, 1024])
def test_lanes(lanes):
    simulation = compile_graph(_adder(), lanes=lanes).simulation()
    simulation.poke("x", 200)
    if lanes == 1:
        simulation.poke("y", 100)
        assert simulation.peek("o") == 44
    else:
        simulation.poke("y", [k % 256 for k in range(lanes)])
        assert simulation.peek("o").tolist() == [(200 + k) % 256 for k in range(lanes)]


# On file


def _same(program, seed, graph):
    """Both programs do the same, and have the same members."""
    other = Program.from_bytes(program.to_bytes())
    for name in Program.__dataclass_fields__:
        mine, its = getattr(program, name), getattr(other, name)
        if name == "signals":
            mine, its = ([tuple(map(_plain, item)) for item in table] for table in (mine, its))
        assert _plain(mine) == _plain(its), name
    assert other.to_bytes() == program.to_bytes()
    first, second = program.simulation(), other.simulation()
    buffers = random_buffers(graph, seed)
    rng = random.Random(seed)
    for simulation in (first, second):
        for name, words in buffers.items():
            simulation.buffers[name] = words
    for _ in range(5):
        for name, place in program.inputs.items():
            values = [rng.getrandbits(place.width) for _ in range(program.lanes)]
            first.poke(name, values)
            second.poke(name, values)
        for path in program.paths():
            assert str(first.peek(path)) == str(second.peek(path)), path
        assert first.run(1) == second.run(1)


def _plain(value):
    """Lists for tuples, as a file has them."""
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return {k: _plain(v) for k, v in value.items()} if isinstance(value, dict) else value


def _kept_case(seed):
    graph = random_graph(seed)
    for check in graph.checks:
        check.condition = graph.const(1, 1, check.condition.group)
    program = compile_graph(graph, lanes=random.Random(seed).choice([1, 3]), observe="all")
    _same(program, seed, graph)


@pytest.mark.parametrize("seed", range(8))
def test_to_bytes_and_back(seed):
    assert isolated(_kept_case, seed) is None


# Observation


def _nested():
    """Nodes at the top, in a scope of it, in a group, and in a scope of that."""
    b = Build()
    graph, top = b.graph, b.graph.top
    x = b.input("x", 8)
    twice = b.op("add", 8, x, x)
    b.name("twice", twice)
    count = b.counter("count", 8)
    inner = type(graph.bodies[top])(top)
    inner.signals = {"sum": b.op("add", 8, twice, count), "five": b.const(5, 8), "x": x}
    graph.bodies[top].children["box"] = inner
    group = b.group("unit", 3)
    register = b.register("r", 8, 7, group)
    b.becomes(register, b.port(group, [x, twice, count]))
    b.name("next", b.op("xor", 8, register, b.const(1, 8, group)))
    part = type(inner)(group)
    part.signals = {"not": b.op("not", 8, register)}
    graph.bodies[group].children["part"] = part
    b.output("o", b.op("xor", 8, b.port(top, [(register, 2)]), x))
    return graph


ALWAYS = ["box.five", "box.x", "count", "unit0.r", "unit1.r", "unit2.r"]


@pytest.mark.parametrize(
    ("observe", "more"),
    [
        ((), []),
        (["twice"], ["twice"]),
        (["box.sum"], ["box.sum"]),
        (["box.*"], ["box.sum"]),
        # Instances of one body are observed together.
        (["unit1.next"], ["unit0.next", "unit1.next", "unit2.next"]),
        (["unit2.part.*"], ["unit0.part.not", "unit1.part.not", "unit2.part.not"]),
        (["unit0.part.not", "twice"], [f"unit{k}.part.not" for k in range(3)] + ["twice"]),
        (
            ["unit0.*"],
            [f"unit{k}.{name}" for k in range(3) for name in ("next", "part.not")],
        ),
        (["count", "box.x", "box.five"], []),
        (
            "all",
            [f"unit{k}.{name}" for k in range(3) for name in ("next", "part.not")]
            + ["twice", "box.sum"],
        ),
    ],
)
def test_observe(observe, more):
    program = compile_graph(_nested(), observe=observe)
    assert sorted(program.paths()) == sorted(ALWAYS + more)
    simulation = program.simulation()
    simulation.poke("x", 200)
    simulation.run(3)
    values = {
        "box.five": 5,
        "box.x": 200,
        "count": 3,
        "twice": 144,
        "box.sum": 147,
        "unit0.r": 200,
        "unit1.r": 144,
        "unit2.r": 2,
    }
    for k in range(3):
        values[f"unit{k}.next"] = values[f"unit{k}.r"] ^ 1
        values[f"unit{k}.part.not"] = values[f"unit{k}.r"] ^ 255
    for path in program.paths():
        assert simulation.peek(path) == values[path], path
    for path in values.keys() - program.paths():
        with pytest.raises(KeyError) as caught:
            simulation.peek(path)
        assert caught.value.args == (f"the design has no signal {path} that can be observed",)


@pytest.mark.parametrize("lanes", [1, 3])
def test_names_of_instances_that_cross(lanes):
    """What one instance calls ``a`` has the name ``b`` in the body that they share."""
    b = Build()
    group = b.group("unit", 2)
    x = b.input("x", 8)
    y = b.op("not", 8, x)
    for name, source in (("a", x), ("b", y)):
        b.name(name, b.port(group, [source, source]))
    b.graph.renamed[group] = [None, {"b": "a", "c": "b"}]
    simulation = compile_graph(b.graph, lanes=lanes, observe="all").simulation()
    simulation.poke("x", 5)
    for name, value in (("0.a", 5), ("0.b", 250), ("1.b", 5), ("1.c", 250)):
        assert np.all(simulation.peek(f"unit{name}") == value), name
    compare(b.graph, lanes)


@pytest.mark.parametrize("lanes", [1, 3, 64])
def test_observe_all_is_right(lanes):
    compare(_nested(), lanes)


@pytest.mark.parametrize("start", ["", "unit1.", "unit1", "box.", "c", "unit1.part.not", "nope"])
def test_paths(start):
    program = compile_graph(_nested(), observe="all")
    everything = program.paths()
    assert len(everything) == 14
    assert sorted(program.paths(start)) == sorted(p for p in everything if p.startswith(start))


@pytest.mark.parametrize("path", ["nope", "box", "box.nope", "unit3.r", "nope.*", "unit0.part"])
def test_unknown_path(path):
    with pytest.raises(KeyError) as caught:
        compile_graph(_nested(), observe=["twice", path])
    assert caught.value.args == (f"the design has no signal {path}",)


# Uniform inputs


def test_unknown_uniform_input():
    with pytest.raises(KeyError) as caught:
        compile_graph(_adder(), lanes=3, uniform=["x", "nope"])
    assert caught.value.args == ("the design has no input nope",)


def test_uniform_inputs():
    def graph():
        b = Build()
        x, address = b.input("x", 8), b.input("address", 3)
        memory = b.memory("m", 8, 5, [1, 2, 3, 4, 5])
        b.write(memory, address, x, b.input("enable", 1))
        b.output("o", b.delay("d", b.read(memory, b.counter("c", 3))))
        b.output("same", b.op("add", 3, address, b.const(1, 3)))
        return b.graph

    program = compare(graph(), 5, cycles=20, uniform=("address", "enable"))
    assert {name: place.lanes for name, place in program.inputs.items()} == {
        "x": 8,
        "address": 1,
        "enable": 1,
    }
    assert program.outputs["same"].lanes == 1
    compare(graph(), 5, cycles=20)
    simulation = program.simulation()
    for value in (6, [6] * 5):
        simulation.poke("address", 0)
        simulation.poke("address", value)
        assert simulation.peek("same").tolist() == [7] * 5
    with pytest.raises(ValueError) as caught:
        simulation.poke("address", [1, 1, 1, 1, 2])
    assert str(caught.value) == "address has one value for all lanes, and was given several"


# Ports


def test_outputs_that_are_inputs_constants_and_each_other():
    b = Build()
    x = b.input("x", 70)
    state = b.delay("state", x)
    for name, node in (("a", x), ("b", x), ("c", b.const(9, 4)), ("d", state), ("e", state)):
        b.output(name, node)
    for lanes in (1, 3):
        compare(b.graph, lanes)


def test_nothing_at_all():
    simulation = compile_graph(Build().graph).simulation()
    assert simulation.run(5) == 5
    assert simulation.record([], 3) == {}
    assert simulation.cycles == 8


class _Counter(wiring.Component):
    def __init__(self):
        super().__init__({"enable": In(1), "count": Out(8)})

    def elaborate(self, platform):
        m = Module()
        twice = Signal(8)
        m.d.comb += twice.eq(self.count << 1)
        with m.If(self.enable):
            m.d.sync += self.count.eq(self.count + 1 + (twice == 6))
        return m


@pytest.mark.parametrize("lanes", [1, 4])
def test_component(lanes, monkeypatch):
    monkeypatch.setenv("HWSIM_CACHE", "")
    program = compile_component(_Counter(), lanes=lanes, observe=["twice"])
    assert {*program.inputs} >= {"enable"} and {*program.outputs} == {"count"}
    simulation = program.simulation()
    simulation.poke("enable", 1)
    simulation.run(4)
    assert simulation.peek("count") == 5 if lanes == 1 else (simulation.peek("count") == 5).all()
    assert simulation.record(["twice"], 2)["twice"].tolist() == [10, 12]


def test_barriers_between_stores(monkeypatch):
    """Without, the time of compilation would grow with the square of the number of registers."""
    texts = []
    monkeypatch.setattr(machine, "object_code", lambda text: texts.append(text) or b"")
    b = Build()
    for k in range(100):
        b.delay(f"r{k}", b.op("not", 8, b.input(f"x{k}", 8)))
    compile_graph(b.graph)
    stretches = [part for f in texts[0].split("define") for part in f.split("asm sideeffect")]
    counts = [stretch.count("\n  store ") for stretch in stretches]
    assert sum(counts) >= 100 and max(counts) == STORES
