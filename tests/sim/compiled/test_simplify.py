"""Graphs before and after: what is left of them, and that they behave the same."""

import random
from itertools import pairwise

import pytest

from hwsim.sim.compiled.ir import Buffer, Graph, Group, Memory, Port, Register, Scope, Store, Write
from hwsim.sim.compiled.simplify import simplify
from tests.sim.interpreter import Interpreter, check

from .packed_graphs import random_graph, random_inputs


class Maker:
    """A graph of the top's group, with short names for what it is made of."""

    def __init__(self):
        self.graph = Graph()
        self.top = self.graph.top

    def input(self, name, width):
        self.graph.inputs[name] = self.graph.node("input", width, attr=name)
        return self.graph.inputs[name]

    def const(self, value, width):
        return self.graph.const(value, width)

    def register(self, name, width, init=0, group=None):
        register = Register(name, width, init, group or self.top)
        self.graph.registers.append(register)
        return self.graph.node("register", width, attr=register, group=register.group)

    def memory(self, name, width, depth, init=()):
        memory = Memory(name, width, depth, list(init), self.top)
        self.graph.memories.append(memory)
        self.graph.bodies[self.top].memories[name] = [memory]
        return memory

    def op(self, op, *args, width=None, attr=None):
        return self.graph.node(op, width or args[-1].width, args, attr)

    def bit(self, op, *args):
        return self.graph.node(op, 1, args)

    def cat(self, *parts):
        return self.graph.node("concat", sum(part.width for part in parts), parts)

    def slice(self, a, low, width):
        return self.graph.node("slice", width, (a,), low)

    def bytes(self, a):
        return [self.slice(a, low, 8) for low in range(0, a.width, 8)]

    def mux(self, s, a, b):
        return self.graph.node("mux", a.width, (s, a, b))

    def read(self, memory, address):
        return self.graph.node("read", memory.width, (address,), memory)

    def output(self, name, node):
        self.graph.outputs[name] = node

    def signal(self, name, node):
        self.graph.bodies[node.group].signals[name] = node


def next_is(register, node):
    register.attr.next = node


def contents(interpreter):
    """Words of every named memory, put together from its parts."""
    result = {}
    for group, body in interpreter.graph.bodies.items():
        stack = [((group.name,), body)]
        while stack:
            path, scope = stack.pop()
            for name, parts in scope.memories.items():
                words = [[0] * parts[0].depth for _ in range(group.count)]
                low = 0
                for part in parts:
                    for instance, values in enumerate(interpreter.memories[part]):
                        for k, value in enumerate(values):
                            words[instance][k] |= value << low
                    low += part.width
                result[*path, name] = words
            for name, child in scope.children.items():
                if isinstance(child, Scope):
                    stack.append(((*path, name), child))
    return result


def assert_equal_behaviour(graph, simple, seed, cycles=16):
    """Outputs, signals, memories, buffers and violations of both in every cycle."""
    rng = random.Random(seed)
    buffers = {b.name: [rng.randrange(1 << b.width) for _ in range(6)] for b in graph.buffers}
    first, second = (
        Interpreter(g, {name: list(words) for name, words in buffers.items()}, observe=True)
        for g in (graph, simple)
    )
    for cycle in range(cycles):
        inputs = random_inputs(graph, rng)
        assert first.settle(inputs) == second.settle(inputs), (seed, cycle)
        signals, others = first.signals(), second.signals()
        assert signals.keys() == others.keys(), seed
        differing = {name for name in signals if signals[name] != others[name]}
        assert not differing, (seed, cycle)
        first.step()
        second.step()
        assert first.buffers == second.buffers, (seed, cycle)
        assert first.violations == second.violations, (seed, cycle)
        assert contents(first) == contents(second), (seed, cycle)


def simplified(graph):
    """A graph that was compared with the original."""
    check(graph)
    simple = simplify(graph)
    check(simple)
    assert_equal_behaviour(graph, simple, seed=1)
    return simple


def operations(graph):
    """(operation, width) of what the design needs, sorted; without constants and state."""
    skipped = ("const", "input", "register")
    return sorted((n.op, n.width) for n in graph.sorted() if n.op not in skipped)


def widths(states):
    return {state.name: state.width for state in states}


# State


def test_constant_registers():
    m = Maker()
    s, i = m.input("s", 1), m.input("i", 8)
    kept, loaded, follower, changing = (m.register(name, 8, 5) for name in "klfc")
    next_is(kept, kept)
    next_is(loaded, m.mux(s, m.const(5, 8), loaded))
    next_is(follower, loaded)
    next_is(changing, m.mux(s, m.const(6, 8), changing))
    m.output("o", m.op("xor", m.op("add", kept, follower), m.op("add", i, changing)))
    simple = simplified(m.graph)
    assert widths(simple.registers) == {"c": 8}


def test_bits_that_stay_zero():
    m = Maker()
    i = m.input("i", 8)
    r = m.register("r", 8)
    shifted = m.op("shl", r, m.const(1, 1), width=8)
    next_is(r, m.op("and", shifted, m.op("shr", i, m.const(4, 4), width=8)))
    m.output("o", r)
    assert simplified(m.graph).registers == []


def test_equal_registers():
    m = Maker()
    s, i = m.input("s", 1), m.input("i", 8)
    chains = []
    for name in "ab":
        chain = [m.register(f"{name}{k}", 8) for k in range(4)]
        next_is(chain[0], m.mux(s, i, chain[0]))
        for earlier, later in pairwise(chain):
            next_is(later, m.op("add", earlier, m.const(3, 8)))
            m.signal(later.attr.name, later)
        chains.append(chain)
    other = m.register("other", 8, 1)
    next_is(other, chains[0][1].attr.next)
    m.output("o", m.op("xor", chains[0][3], m.op("sub", chains[1][3], other)))
    assert set(widths(simplified(m.graph).registers)) == {"a0", "a1", "a2", "a3", "other"}


def test_equal_registers_of_different_groups():
    m = Maker()
    group = Group("g", ["g0", "g1"])
    m.graph.bodies[group] = Scope(group)
    for name, of in (("a", m.top), ("b", group), ("c", group)):
        register = m.register(name, 8, group=of)
        next_is(register, m.graph.node("add", 8, (register, m.graph.const(1, 8, of))))
    assert set(widths(simplified(m.graph).registers)) == {"a", "b"}


def test_registers_that_are_equal_in_pairs():
    """Two counters of rows and columns: neither pair is equal unless the other one is."""
    m = Maker()
    counters = {}
    for name in "ab":
        row, column = m.register(f"row_{name}", 4), m.register(f"column_{name}", 4)
        end = m.bit("eq", column, m.op("sub", m.const(9, 4), row))
        next_is(row, m.mux(end, m.op("add", row, m.const(1, 4)), row))
        next_is(column, m.mux(end, m.const(0, 4), m.op("add", column, m.const(1, 4))))
        counters[name] = m.cat(row, column)
        m.signal(name, counters[name])
    m.output("o", m.bit("ne", *counters.values()))
    simple = simplified(m.graph)
    assert set(widths(simple.registers)) == {"row_a", "column_a"}
    assert simple.outputs["o"].op == "const"


def test_registers_that_are_equal_for_a_while():
    m = Maker()
    i = m.input("i", 8)
    for name in "ab":
        chain = [m.register(f"{name}{k}", 8) for k in range(5)]
        for earlier, later in pairwise(chain):
            next_is(later, earlier)
        next_is(chain[0], i if name == "a" else m.op("not", i))
        m.output(name, chain[-1])
    assert len(simplified(m.graph).registers) == 10


def test_unread_state_stays():
    m = Maker()
    i, s = m.input("i", 8), m.input("s", 1)
    next_is(m.register("r", 8), i)
    m.memory("m", 8, 4).writes.append(Write(m.slice(i, 0, 2), i, s))
    simple = simplified(m.graph)
    assert (widths(simple.registers), widths(simple.memories)) == ({"r": 8}, {"m": 8})


def test_register_that_holds_an_extension():
    m = Maker()
    a, b, s = m.input("a", 8), m.input("b", 8), m.input("s", 1)
    signed, unsigned = m.register("signed", 32, (1 << 32) - 1), m.register("unsigned", 32)
    next_is(signed, m.mux(s, m.op("sext", a, width=32), signed))
    next_is(unsigned, m.op("zext", b, width=32))
    m.output("o", m.op("add", signed, unsigned))
    simple = simplified(m.graph)
    assert widths(simple.registers) == {"signed": 8, "unsigned": 8}
    assert ("mux", 8) in operations(simple) and ("add", 16) in operations(simple)


@pytest.mark.parametrize("width", (16, 40))
def test_accumulator_keeps_its_width(width):
    m = Maker()
    r = m.register("r", width)
    next_is(r, m.op("add", r, m.op("sext", m.input("i", 8), width=width)))
    assert widths(simplified(m.graph).registers) == {"r": width}


def test_memory_that_is_never_written():
    m = Maker()
    i = m.input("i", 2)
    memory = m.memory("m", 8, 4, [7] * 4)
    memory.writes.append(Write(i, m.const(1, 8), m.op("and", m.const(1, 1), m.const(0, 1))))
    m.output("o", m.read(memory, i))
    simple = simplified(m.graph)
    assert [m.writes for m in simple.memories] == [[]]
    assert simple.outputs["o"].op == "const"


# Widths


def test_sum_that_wraps():
    m = Maker()
    r = m.register("r", 8)
    wide = m.op("add", m.op("zext", r, width=9), m.const(1, 9))
    next_is(r, m.slice(wide, 0, 8))
    assert operations(simplified(m.graph)) == [("add", 8)]


def test_sums_that_wrap_within_a_word():
    m = Maker()
    r, i, j = m.register("r", 4), m.input("i", 1), m.input("j", 1)
    up = m.op("add", m.op("zext", r, width=5), m.op("zext", i, width=5))
    down = m.op("sub", m.op("zext", up, width=6), m.op("zext", j, width=6))
    next_is(r, m.slice(down, 0, 4))
    expected = [("add", 4), ("sub", 4), ("zext", 4), ("zext", 4)]
    assert operations(simplified(m.graph)) == expected


def test_narrowing_that_saves_nothing():
    m = Maker()
    a, b = m.input("a", 24), m.input("b", 24)
    m.output("o", m.slice(m.op("add", a, b), 0, 20))
    assert operations(simplified(m.graph)) == [("add", 24), ("slice", 20)]


def test_low_bits_of_a_product():
    m = Maker()
    a, b = (m.op("sext", m.input(name, 8), width=32) for name in "ab")
    product = m.op("mul", a, b)
    m.signal("product", product)
    m.output("o", m.slice(product, 0, 8))
    simple = simplified(m.graph)
    assert operations(simple) == [("mul", 8)]
    assert simple.bodies[simple.top].signals["product"].width == 32


@pytest.mark.parametrize(("bits", "width"), [(1, 64), (2, 128)])
@pytest.mark.parametrize("op", ("shr", "sshr"))
def test_low_bits_of_a_shift(op, bits, width):
    m = Maker()
    a, amount = m.input("a", 300), m.input("n", 6)
    m.output("o", m.slice(m.op(op, a, amount, width=300), 0, bits))
    assert operations(simplified(m.graph)) == [("shr", width), ("slice", bits), ("slice", width)]


def test_bit_of_a_wide_value():
    m = Maker()
    a, amount = m.input("a", 300), m.input("n", 9)
    m.output("o", m.slice(m.op("shr", a, amount, width=300), 0, 1))
    simple = operations(simplified(m.graph))
    assert [width for op, width in simple if op == "shr"] == [64]
    assert {width for op, width in simple if op == "mux"} == {64}


def test_high_bits_of_a_choice():
    m = Maker()
    s, a, b = m.input("s", 1), m.input("a", 32), m.input("b", 32)
    m.output("o", m.slice(m.mux(s, a, b), 20, 8))
    assert operations(simplified(m.graph)) == [("mux", 8), ("slice", 8), ("slice", 8)]


@pytest.mark.parametrize("regular", (False, True))
def test_sums_of_products_with_constants(regular):
    """Of int8 without -128, two products fit 16 bits; of smaller constants four do."""
    m = Maker()
    address = m.input("n", 2)
    large, small = [[-127, 127, 3], [-31, 14, 1]]
    products = []
    for k in range(8):
        words = [word % 256 for word in (large if k < 4 else small)]
        weight, code = m.read(m.memory(f"m{k}", 8, 3, words), address), m.input(f"i{k}", 8)
        product, r = [m.op("sext", x, width=16) for x in (weight, code)], m.register(f"r{k}", 16)
        next_is(r, m.op("mul", *product))
        products.append(m.op("sext", r, width=17))
    pairs = [m.op("add", a, b) for a, b in zip(products[::2], products[1::2], strict=True)]
    pairs = [m.op("sext", pair, width=18) for pair in pairs]
    for name, a, b in (("large", *pairs[:2]), ("small", *pairs[2:])):
        m.output(name, m.op("add", a, b))
    simple = simplify(m.graph, regular=regular)
    assert_equal_behaviour(m.graph, simple, seed=1)
    sums = [(op, width) for op, width in operations(simple) if op == "add"]
    assert sums == [("add", 16)] * (4 if regular else 5) + [("add", 18)] * (2 if regular else 1)


# Parts


def queue_of_bytes(m, register_name="r"):
    """Six bytes that are packed, pass a register and are taken apart."""
    s = m.input("s", 1)
    codes = [m.op("not", m.input(f"i{k}", 8)) for k in range(6)]
    r = m.register(register_name, 48, 0x060504030201)
    next_is(r, m.mux(s, m.cat(*codes), r))
    m.signal("payload", r)
    return m.bytes(r)


def test_packed_register():
    m = Maker()
    for k, code in enumerate(queue_of_bytes(m)):
        m.output(f"o{k}", m.op("neg", code))
    simple = simplified(m.graph)
    assert operations(simple) == [("mux", 8)] * 6 + [("neg", 8)] * 6 + [("not", 8)] * 6
    assert [r.name for r in simple.registers] == [f"r[{8 * k + 7}:{8 * k}]" for k in range(6)]
    assert [r.init for r in simple.registers] == [1, 2, 3, 4, 5, 6]
    assert simple.bodies[simple.top].signals["payload"].width == 48


def test_packed_register_that_is_needed_whole():
    m = Maker()
    codes = queue_of_bytes(m)
    m.output("o", m.op("add", codes[0].args[0], m.input("j", 48)))
    m.output("p", codes[1])
    simple = simplified(m.graph)
    assert widths(simple.registers) == {"r": 48}


def test_packed_register_of_which_a_part_is_needed_whole():
    m = Maker()
    codes = queue_of_bytes(m)
    pair = m.slice(codes[0].args[0], 8, 16)
    m.output("o", m.op("add", pair, m.input("j", 16)))
    for k in (0, 1, 3, 4, 5):
        m.output(f"o{k}", codes[k])
    simple = simplified(m.graph)
    assert sorted(r.width for r in simple.registers) == [8, 8, 8, 8, 16]


def test_sum_that_is_taken_apart_travels_whole():
    m = Maker()
    first, second = m.register("first", 32), m.register("second", 32)
    next_is(first, m.op("mul", m.input("a", 32), m.input("b", 32)))
    next_is(second, first)
    m.output("high", m.op("neg", m.slice(second, 16, 16)))
    m.output("low", m.bit("ne", m.slice(second, 0, 15), m.const(0, 15)))
    assert widths(simplified(m.graph).registers) == {"first": 32, "second": 32}


def test_packed_memory():
    m = Maker()
    i = m.input("i", 48)
    memory = m.memory("m", 48, 4, [0x060504030201, 0x0C0B0A090807])
    memory.writes.append(Write(m.input("a", 2), i, m.input("e", 1)))
    for k, code in enumerate(m.bytes(m.read(memory, m.input("b", 2)))):
        m.output(f"o{k}", m.op("neg", code))
    simple = simplified(m.graph)
    assert [memory.width for memory in simple.memories] == [8] * 6
    assert [memory.init for memory in simple.memories] == [[k + 1, k + 7] for k in range(6)]
    assert simple.bodies[simple.top].memories == {"m": simple.memories}


def test_words_of_weights():
    m = Maker()
    words = [random.Random(k).getrandbits(240) for k in range(5)]
    word = m.read(m.memory("m", 240, 5, words), m.input("a", 3))
    m.output("o", m.op("add", *[m.slice(word, low, 8) for low in (232, 8)]))
    simple = simplified(m.graph)
    read = {n.attr.name for n in simple.sorted() if n.op == "read"}
    assert read == {"m[15:8]", "m[239:232]"}
    assert sum(memory.width for memory in simple.memories) == 240


def test_odd_parts():
    """Accumulators of 19 bits, with a feedback that adds to each."""
    m = Maker()
    start, total = m.input("start", 1), m.register("total", 114)
    sums = [m.op("sext", m.input(f"i{k}", 16), width=19) for k in range(6)]
    before = [m.slice(total, 19 * k, 19) for k in range(6)]
    after = [
        m.op("add", m.mux(start, m.const(k, 19), old), new)
        for k, (old, new) in enumerate(zip(before, sums, strict=True))
    ]
    next_is(total, m.cat(*after))
    m.output("o", total)
    simple = simplified(m.graph)
    assert [r.width for r in simple.registers] == [19] * 6
    assert {op for op, _ in operations(simple)} == {"add", "concat", "mux", "sext"}


def test_wide_shift_register():
    m = Maker()
    i, s = m.input("i", 8), m.input("s", 1)
    r = m.register("r", 192, 1 << 191)
    next_is(r, m.mux(s, m.cat(m.slice(r, 8, 184), i), r))
    m.output("o", m.op("neg", m.slice(r, 0, 8)))
    simple = simplified(m.graph)
    assert [r.width for r in simple.registers] == [8] * 24
    assert operations(simple) == [("mux", 8)] * 24 + [("neg", 8)]


def test_narrow_shift_register():
    m = Maker()
    r = m.register("r", 48)
    next_is(r, m.cat(m.slice(r, 8, 40), m.op("neg", m.input("i", 8))))
    m.output("o", m.op("neg", m.slice(r, 0, 8)))
    assert [r.width for r in simplified(m.graph).registers] == [8] * 6


def test_wide_value_that_nobody_takes_apart():
    m = Maker()
    i = m.input("i", 200)
    first, second = m.register("first", 200), m.register("second", 200)
    next_is(first, m.op("xor", i, first))
    next_is(second, first)
    m.output("o", second)
    simple = simplified(m.graph)
    assert [r.width for r in simple.registers] == [64, 64, 64, 8] * 2
    assert [width for op, width in operations(simple) if op != "concat"].count(64) == 6


@pytest.mark.parametrize("width", (64, 400))
def test_bits_that_rotate(width):
    """All bits come to all places, but hardly any is taken apart."""
    m = Maker()
    r = m.register("r", width, 1)
    value = r
    for k in (7, 19, 40):
        turned = m.cat(m.slice(value, k, width - k), m.slice(value, 0, k))
        value = m.op("xor", m.op("and", turned, m.input(f"i{k}", width)), value)
    next_is(r, value)
    m.output("o", r)
    simple = simplified(m.graph)
    assert {r.width for r in simple.registers} == ({64} if width == 64 else {64, 16})
    assert len([op for op, _ in operations(simple) if op == "xor"]) == 3 * len(simple.registers)


def test_wide_shift_register_of_bits():
    m = Maker()
    s, r = m.input("s", 1), m.register("r", 128)
    next_is(r, m.mux(s, m.cat(m.input("i", 1), m.slice(r, 0, 127)), r))
    m.output("o", m.slice(r, 127, 1))
    assert [r.width for r in simplified(m.graph).registers] == [64, 64]


def test_flags():
    """Bits that are set and looked at one by one."""
    m = Maker()
    r = m.register("r", 12)
    flags = [m.slice(r, k, 1) for k in range(12)]
    inputs = [m.input(f"i{k}", 1) for k in range(12)]
    next_is(r, m.cat(*[m.op("or", a, b) for a, b in zip(flags, inputs, strict=True)]))
    m.output("o", m.op("xor", *flags[2:4]))
    assert [r.width for r in simplified(m.graph).registers] == [1] * 12


def test_wide_value_that_is_added_travels_whole():
    m = Maker()
    r = m.register("r", 100)
    next_is(r, m.op("add", r, m.input("i", 100)))
    m.output("o", r)
    assert widths(simplified(m.graph).registers) == {"r": 100}


def test_wide_value_of_overlapping_parts():
    m = Maker()
    r = m.register("r", 100)
    next_is(r, m.input("i", 100))
    for k, low in enumerate((0, 20, 40)):
        m.output(f"o{k}", m.op("neg", m.slice(r, low, 60)))
    simple = simplified(m.graph)
    assert [r.width for r in simple.registers] == [20, 20, 20, 20, 20]


@pytest.mark.parametrize("op", ("eq", "ne"))
def test_wide_comparison(op):
    m = Maker()
    a, b = m.input("a", 200), m.input("b", 200)
    r = m.register("r", 200)
    next_is(r, a)
    m.output("o", m.bit(op, r, b))
    m.output("p", m.bit(op, r, r.attr.next))
    simple = simplified(m.graph)
    assert {width for op, width in operations(simple) if op == "slice"} == {64, 8}
    assert {n.args[0].width for n in simple.sorted() if n.op in ("eq", "ne")} == {64, 8}


@pytest.mark.parametrize("width", (48, 96))
def test_packed_values_that_are_compared(width):
    m = Maker()
    codes = [m.op("not", m.input(f"i{k}", 8)) for k in range(width // 8)]
    first, second = m.register("first", width), m.register("second", width)
    next_is(first, m.cat(*codes))
    next_is(second, first)
    m.output("same", m.bit("eq", first, second))
    m.output("five", m.bit("eq", second, m.const(5, width)))
    for k, code in enumerate(m.bytes(second)):
        m.output(f"o{k}", m.op("neg", code))
    simple = simplified(m.graph)
    assert {r.width for r in simple.registers} == {8}
    assert {op for op, _ in operations(simple)} == {"not", "neg", "eq", "and"}


@pytest.mark.parametrize("op", ("reduce_and", "reduce_or", "reduce_xor"))
def test_wide_reduction(op):
    m = Maker()
    m.output("o", m.bit(op, m.input("a", 200)))
    assert max(width for _, width in operations(simplified(m.graph))) == 64


def test_wide_bitwise_operations():
    m = Maker()
    a, b = m.input("a", 200), m.input("b", 200)
    m.output("o", m.op("and", m.op("or", a, b), m.op("not", b)))
    assert max(w for op, w in operations(simplified(m.graph)) if op != "concat") == 64


def test_chosen_word():
    m = Maker()
    r, index = m.register("r", 200), m.input("n", 5)
    next_is(r, m.input("i", 200))
    amount = m.op("mul", m.op("zext", index, width=10), m.const(8, 10))
    m.output("o", m.op("neg", m.slice(m.op("shr", r, amount, width=200), 0, 8)))
    simple = simplified(m.graph)
    # 25 words, and 0 for the indices that are too large.
    assert [op for op, _ in operations(simple)] == ["mux"] * 31 + ["neg"] + ["slice"] * 30
    assert [r.width for r in simple.registers] == [8] * 25


# Groups


def ring(m, count=4, width=24):
    """Elements in a ring, each with three bytes that move on as one value."""
    group = Group("g", [f"g{k}" for k in range(count)])
    m.graph.bodies[group] = Scope(group)
    m.graph.bodies[m.top].children = {f"g{k}": (group, [k]) for k in range(count)}
    r = m.register("r", width, 0x030201, group)
    sources = [(r, (k - 1) % count) for k in range(count)]
    sources[0] = (m.input("i", width), 0)
    port = m.graph.node("port", width, attr=Port("p", sources), group=group)
    m.signal("p", port)
    return group, r, port


def test_packed_port():
    m = Maker()
    group, r, port = ring(m)
    next_is(r, m.cat(*[m.op("neg", code) for code in m.bytes(port)]))
    m.output("o", m.graph.node("port", 24, attr=Port("q", [(r, 3)]), group=m.top))
    simple = simplified(m.graph)
    assert [r.width for r in simple.registers] == [8] * 3
    ports = [n for n in simple.sorted() if n.op == "port" and n.group is group]
    assert sorted(n.attr.name for n in ports) == ["p[15:8]", "p[23:16]", "p[7:0]"]


def test_port_of_ports_and_constants():
    m = Maker()
    group = Group("g", ["g0", "g1"])
    m.graph.bodies[group] = Scope(group)
    r = m.register("r", 8, 1, group)
    i = m.input("i", 8)

    def port(name, sources, of):
        return m.graph.node("port", 8, attr=Port(name, sources), group=of)

    inward = port("inward", [(i, 0), (r, 0)], group)
    own = port("own", [(r, 0), (r, 1)], group)
    constant = port("constant", [(m.const(3, 8), 0)] * 2, group)
    outward = port("outward", [(inward, 1)], m.top)
    total = m.graph.node("add", 8, (inward, own))
    next_is(r, m.graph.node("xor", 8, (total, constant)))
    m.output("o", outward)
    simple = simplified(m.graph)
    ports = {n.attr.name: n.attr.sources for n in simple.sorted() if n.op == "port"}
    register = next(n for n in simple.sorted() if n.op == "register")
    assert ports == {
        "inward": [(simple.inputs["i"], 0), (register, 0)],
        "outward": [(register, 0)],
    }


def test_narrow_port():
    m = Maker()
    _, r, port = ring(m, width=32)
    next_is(r, m.op("sext", m.slice(port, 0, 8), width=32))
    r.attr.init = 5
    m.graph.inputs["i"] = m.graph.node("input", 32, attr="i")
    simple = simplified(m.graph)
    assert [n.width for n in simple.sorted() if n.op == "port"] == [8]


# Names


def test_scopes():
    m = Maker()
    i = m.input("i", 8)
    inner = Scope(m.top, {"unused": m.op("mul", i, i)}, {}, {})
    group = Group("g", ["x.g0", "x.g1"])
    m.graph.bodies[group] = Scope(group)
    inner.children["g0"], inner.children["g1"] = (group, [0]), (group, [1])
    m.graph.bodies[m.top].children["x"] = inner
    m.graph.clock = "clk"
    simple = simplified(m.graph)
    scope = simple.bodies[simple.top].children["x"]
    assert isinstance(scope, Scope)
    assert scope.signals["unused"].op == "mul"
    assert scope.children == {"g0": (group, [0]), "g1": (group, [1])}
    assert (simple.clock, list(simple.bodies)) == ("clk", [m.top, group])


def test_buffers():
    m = Maker()
    count, words, results = m.register("count", 32), Buffer("i", 48, True), Buffer("o", 8, False)
    m.graph.buffers += [words, results]
    next_is(count, m.op("add", count, m.const(1, 32)))
    load = m.graph.node("load", 48, (count,), words)
    total = m.op("add", *m.bytes(load)[::5])
    m.graph.stores.append(Store(results, count, total, m.slice(count, 0, 1)))
    simple = simplified(m.graph)
    assert simple.buffers == [words, results]
    assert [store.buffer for store in simple.stores] == [results]


# Everything at once


@pytest.mark.parametrize("groups", (0, 1, 2))
@pytest.mark.parametrize("size", (12, 60))
@pytest.mark.parametrize("block", range(4))
def test_random_graphs(groups, size, block):
    for seed in range(100 * block, 100 * block + 12):
        graph = random_graph(seed, size, groups)
        simple = simplify(random_graph(seed, size, groups), regular=seed % 2 == 0)
        check(simple)
        assert_equal_behaviour(graph, simple, seed, cycles=8)


def test_deep_graphs():
    """No recursion: a chain of 20,000 nodes."""
    m = Maker()
    node, other = m.input("i", 8), m.input("j", 8)
    for k in range(20_000):
        node = m.op(("add", "xor", "sub")[k % 3], node, other)
    m.output("o", node)
    simple = simplify(m.graph)
    assert len(simple.sorted()) > 10_000
