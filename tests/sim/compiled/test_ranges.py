"""What is known of values beyond their own bits, against what the machine words really hold."""

import contextlib
import random

import pytest

from hwsim.sim.compiled import program as program_module
from hwsim.sim.compiled.program import compile_graph
from hwsim.sim.compiled.ranges import Ranges, container, literal
from hwsim.sim.compiled.simulation import AssertionFailed
from tests.sim.circuits import extreme
from tests.sim.differential import isolated
from tests.sim.random_graphs import random_buffers, random_graph

from .small_graphs import Build

SEEDS = 24


class _Kept(Ranges):
    """The facts that the code generator goes by."""

    last = None

    def __init__(self, *args):
        super().__init__(*args)
        _Kept.last = self


def _raw(simulation, path):
    """Machine words of a signal, one for each of its lanes; bits are held as bytes."""
    place, instance = simulation.locate(path)
    simulation.settle()
    start = place.offset + instance * place.lanes * place.bytes
    data = simulation._arena[start : start + place.lanes * place.bytes].tobytes()
    return [
        int.from_bytes(data[k : k + place.bytes], "little")
        for k in range(0, len(data), place.bytes)
    ]


def _check(path, node, facts, words):
    unsigned, signed = facts
    full = container(node.width)
    for word in words:
        assert word < 1 << unsigned, f"{path}, {node}: {word:x} is above {unsigned} bits"
        low = word & ((1 << signed) - 1)
        if signed < full and low >> (signed - 1):
            low |= (1 << full) - (1 << signed)
        assert word == low, f"{path}, {node}: {word:x} is no extension of {signed} bits"


def _random_case(seed):
    rng = random.Random(f"ranges {seed}")
    graph = random_graph(seed)
    for group, body in graph.bodies.items():
        nodes = [node for node in graph.sorted() if node.group is group and node.op != "const"]
        body.signals.update({f"n{k}": node for k, node in enumerate(nodes)})
    signals = [
        (f"{instance}.{name}" if instance else name, node)
        for group, body in graph.bodies.items()
        for instance in group.instances
        for name, node in body.signals.items()
        if node.op != "const"
    ]
    program_module.Ranges = _Kept
    lanes = rng.choice([1, 3])
    simulation = compile_graph(graph, lanes=lanes, observe="all").simulation()
    for name, words in random_buffers(graph, seed).items():
        simulation.buffers[name] = words
    known = _Kept.last._facts
    for _ in range(12):
        for name, node in graph.inputs.items():
            simulation.poke(name, [extreme(rng, node.width) for _ in range(lanes)])
        for path, node in signals:
            if node in known:
                _check(path, node, known[node], _raw(simulation, path))
        with contextlib.suppress(AssertionFailed):
            simulation.step()


@pytest.mark.parametrize("seed", range(0, SEEDS, 8))
def test_facts_hold_for_random_graphs(seed):
    for k in range(seed, seed + 8):
        assert isolated(_random_case, k) is None, f"seed {k}"


def _facts(build):
    graph = build.graph
    return Ranges([*graph.roots()], graph.registers, graph.memories)


# Bits that hold every result for operands of 8 bits, which are extended to 32.
SIGNED = {"add": 9, "sub": 9, "mul": 16, "and": 8, "or": 8, "xor": 8}
UNSIGNED = {"add": 9, "mul": 16, "and": 8, "or": 8, "xor": 8}


@pytest.mark.parametrize("width", [16, 24, 32])
@pytest.mark.parametrize("op", SIGNED)
def test_extremes(op, width):
    b = Build()
    x, y = b.input("x", 8), b.input("y", 8)
    ends = (0, 1, 127, 128, 129, 255)
    for extend in ("sext", "zext"):
        wide = [b.op(extend, width, node) for node in (x, y)]
        b.output(extend, b.op(op, width, *wide))
    facts = _facts(b)
    signed, unsigned = b.graph.outputs["sext"], b.graph.outputs["zext"]
    assert facts.signed(signed) == SIGNED[op]
    if op in UNSIGNED:
        assert facts.unsigned(unsigned) == UNSIGNED[op]
    simulation = compile_graph(b.graph).simulation()
    for p in ends:
        for q in ends:
            simulation.poke("x", p)
            simulation.poke("y", q)
            for name in ("sext", "zext"):
                node = b.graph.outputs[name]
                bounds = facts.unsigned(node), facts.signed(node)
                _check(name, node, bounds, _raw(simulation, name))
            a, c = (p - 256 * (p > 127), q - 256 * (q > 127))
            wanted = {
                "add": a + c,
                "sub": a - c,
                "mul": a * c,
                "and": a & c,
                "or": a | c,
                "xor": a ^ c,
            }[op]
            assert simulation.peek("sext") == wanted % (1 << width)


def test_smallest_by_smallest():
    b = Build()
    x = b.op("sext", 16, b.input("x", 8))
    product = b.op("mul", 16, x, x)
    b.output("wide", b.op("sext", 32, product))
    b.output("above", b.op("slt", 1, b.const(16383, 16), product))
    simulation = compile_graph(b.graph).simulation()
    simulation.poke("x", -128)
    assert simulation.peek("wide") == 16384
    assert simulation.peek("above") == 1
    simulation.poke("x", 127)
    assert simulation.peek("above") == 0


@pytest.mark.parametrize("op", ["sdiv_floor", "sdiv_trunc"])
@pytest.mark.parametrize("width", [5, 8, 12, 16, 33, 64])
def test_smallest_by_minus_one(op, width):
    b = Build()
    x, y = b.input("x", width), b.input("y", width)
    quotient = b.op(op, width, x, y)
    b.output("o", quotient)
    b.output("wide", b.op("sext", width + 40, quotient))
    facts = _facts(b)
    bounds = facts.unsigned(quotient), facts.signed(quotient)
    simulation = compile_graph(b.graph).simulation()
    simulation.poke("x", 1 << (width - 1))
    simulation.poke("y", -1)
    _check("o", quotient, bounds, _raw(simulation, "o"))
    assert simulation.peek("o") == 1 << (width - 1)
    assert simulation.peek("wide") == -(1 << (width - 1)) % (1 << (width + 40))


def test_states():
    b = Build()
    bit = b.input("bit", 1)
    small = b.register("small", 12, 3)
    b.becomes(small, b.op("mux", 12, bit, b.const(5, 12), b.op("and", 12, small, b.const(6, 12))))
    below = b.register("below", 12, 0xFFF)
    b.becomes(below, b.op("mux", 12, bit, b.const(-4, 12), below))
    counter = b.counter("counter", 12)
    memory = b.memory("m", 12, 4, [1, 2, 0xFFE])
    b.write(memory, b.fit(counter, 2), small, bit)
    word = b.read(memory, b.fit(counter, 2))
    for name, node in (("s", small), ("w", word), ("n", below), ("c", counter)):
        b.output(name, node)
    facts = _facts(b)
    assert (facts.unsigned(small), facts.signed(small)) == (3, 4)
    # As they stand in words of 16 bits: -1 and -4.
    assert (facts.unsigned(below), facts.signed(below)) == (16, 3)
    # -2 to 7.
    assert (facts.unsigned(word), facts.signed(word)) == (16, 4)
    # Nobody knows where it ends.
    assert (facts.unsigned(counter), facts.signed(counter)) == (16, 16)


@pytest.mark.parametrize(
    ("width", "bits"),
    [(1, 1), (2, 8), (8, 8), (9, 16), (17, 32), (33, 64), (64, 64), (65, 128), (129, 192)],
)
def test_container(width, bits):
    assert container(width) == bits


def test_literal():
    assert [literal(value, 8) for value in (0, 127, 128, 255)] == [0, 127, -128, -1]
    assert [literal(value, 1) for value in (0, 1)] == [0, 1]
    assert literal(1 << 64, 65) == -(1 << 64)
