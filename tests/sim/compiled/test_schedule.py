"""The order of work in a cycle: nothing is read after it has changed, whatever reads it."""

import random

import pytest

from hwsim.sim.compiled.program import compile_graph
from tests.sim.circuits import extreme
from tests.sim.differential import isolated

from .small_graphs import Build, compare

LANES = (1, 3, 64, 100)
ENABLES = ("none", "uniform", "varying")
SEEDS = 24


def _run(case, *args, lanes, **options):
    """Compare the graph that ``case(build, *args)`` makes, in a process that may crash."""

    def run():
        b = Build()
        case(b, *args)
        compare(b.graph, lanes, **options)

    assert isolated(run) is None


def _row(b, name, number, width, group=None):
    return [b.register(f"{name}{k}", width, (k + 1) % (1 << width), group) for k in range(number)]


def _enable(b, kind):
    """A bit that changes: the same in all lanes, or not, or none."""
    if kind == "uniform":
        return b.op("reduce_or", 1, b.op("slice", 2, b.counter("enable", 3), attr=1))
    return b.input("enable", 1) if kind == "varying" else None


# Registers that take each other's values


def _ring(b, number, width, enable):
    """Registers in a ring, into one of which data goes; and one that only turns."""
    enable = _enable(b, enable)
    for name in ("still", "fed"):
        row = _row(b, name, number, width)
        for k, register in enumerate(row):
            value = row[k - 1]
            if name == "fed" and k == number // 2:
                value = b.op("xor", width, value, b.input("x", width))
            b.becomes(register, value, enable)
            b.output(f"{name}{k}", register)


@pytest.mark.parametrize("enable", ENABLES)
@pytest.mark.parametrize(("number", "width"), [(2, 8), (3, 1), (9, 65), (40, 16)])
def test_ring(number, width, enable):
    lanes = LANES[(number + ENABLES.index(enable)) % len(LANES)]
    _run(_ring, number, width, enable, lanes=lanes)


def _lasso(b, number, width, back, enable, backwards):
    """A chain whose first register takes what one in it has."""
    row = _row(b, "r", number, width)
    enable = _enable(b, enable)
    for k, register in enumerate(row):
        b.becomes(register, row[k - 1] if k else row[back], enable)
        b.output(f"o{k}", register)
    other = _row(b, "s", number, width)
    for k, register in enumerate(other):
        b.becomes(register, other[k - 1] if k else b.input("x", width), enable)
        b.output(f"s{k}", register)
    if backwards:
        b.graph.registers.reverse()


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("enable", ENABLES)
def test_lasso(enable, lanes):
    which = LANES.index(lanes) + ENABLES.index(enable)
    number, width, back = [(4, 8, 0), (5, 33, 3), (8, 130, 2), (30, 1, 28)][which % 4]
    for backwards in (False, True):
        _run(_lasso, number, width, back, enable, backwards, lanes=lanes)


def _figure_of_eight(b, number):
    """Two chains, each fed by the end of the other, that move at different times."""
    rows = [_row(b, name, number, 8) for name in "rs"]
    steps = b.counter("steps", 2)
    for which, (row, other) in enumerate([rows, rows[::-1]]):
        for k, register in enumerate(row):
            b.becomes(register, row[k - 1] if k else other[-1], b.op("slice", 1, steps, attr=which))
            b.output(f"{'rs'[which]}{k}", register)
    b.output("x", b.input("x", 4))


@pytest.mark.parametrize("lanes", [1, 3])
@pytest.mark.parametrize("number", [1, 3, 4, 30])
def test_figure_of_eight(number, lanes):
    _run(_figure_of_eight, number, lanes=lanes)


def _gated_by_its_own(b, width):
    """Much that moves only where a register is set, which moves with it."""
    gate = b.register("gate", 1, 1)
    row = _row(b, "r", 30, width)
    x = b.input("x", width)
    for k, register in enumerate(row):
        value = b.op("sub", width, row[k - 1] if k else x, b.const(k, width))
        b.becomes(register, value, gate)
        b.output(f"o{k}", register)
    counter = b.register("count", 8)
    b.becomes(counter, b.op("add", 8, counter, b.const(7, 8)), gate)
    on = b.op("not", 1, b.op("eq", 1, b.op("slice", 2, counter, attr=0), b.const(3, 2)))
    # Written in a cycle in which it is the gate, and in others.
    free = b.counter("free", 3)
    b.becomes(gate, b.op("mux", 1, gate, on, b.op("slice", 1, free, attr=2)))
    b.output("gate", gate)


@pytest.mark.parametrize(("width", "lanes"), [(8, 1), (8, 64), (65, 3), (65, 1)])
def test_gate_that_is_written(width, lanes):
    _run(_gated_by_its_own, width, lanes=lanes, cycles=24)


# Memories


def _memory(b, width, depth, where, control):
    """Two writes and two reads, often at one address, also beyond the depth."""
    group = b.group("g", 5) if where == "group" else b.graph.top

    def local(node):
        return node if group is b.graph.top else b.port(group, [node] * 5)

    def source(name, bits):
        if control == "varying":
            return local(b.input(name, bits))
        return b.op("slice", bits, b.counter(name, bits + 3, step=5, group=group), attr=2)

    memory = b.memory("m", width, depth, [3 % (1 << width)], group)
    first, second = source("first", 2), source("second", 2)
    x = local(b.input("x", width))
    for k, address in enumerate((first, second)):
        b.write(
            memory, address, b.op("add", width, x, b.const(k, width, group)), source(f"e{k}", 1)
        )
    for k, address in enumerate((first, second)):
        word = b.read(memory, address)
        b.name(f"word{k}", word)
        b.outputs_of(f"o{k}_", b.delay(f"d{k}", b.op("xor", width, word, x)))


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("control", ["uniform", "varying"])
@pytest.mark.parametrize("where", ["top", "group"])
def test_memory(where, control, lanes):
    which = LANES.index(lanes) + 2 * (where == "top") + (control == "uniform")
    width, depth = [(1, 3), (8, 4), (65, 3), (32, 1)][which % 4]
    _run(_memory, width, depth, where, control, lanes=lanes, cycles=30)


def _buffers(b, width):
    """Stores to one address in one cycle, loads of it; addresses beyond the length."""
    x, address = b.input("x", width), b.input("address", 3)
    slow = b.op("slice", 3, b.counter("slow", 4), attr=1)
    own = b.buffer("own", width)
    b.store(own, address, x, b.input("e0", 1))
    b.store(own, slow, b.op("not", width, x), b.input("e1", 1))
    b.store(own, slow, b.op("neg", width, x), b.op("slice", 1, slow, attr=0))
    shared = b.buffer("shared", width, shared=True)
    b.output("same", b.load(shared, address))
    b.output("slow", b.load(shared, slow))
    b.output("own", b.op("xor", width, b.load(own, address), b.load(own, slow)))


@pytest.mark.parametrize(("width", "lanes"), [(1, 1), (1, 3), (5, 64), (8, 1), (33, 100), (64, 3)])
def test_buffers(width, lanes):
    rng = random.Random(width)
    contents = {name: [rng.getrandbits(width) for _ in range(5)] for name in ("own", "shared")}
    _run(_buffers, width, lanes=lanes, cycles=30, contents=contents)


# Groups


def _neighbours(b, count, width, first, second):
    """Two registers of a group; each reads the one or the other of other instances."""
    group = b.group("g", count)
    x, c = b.input("x", width), b.counter("c", width)
    r, s = b.register("r", width, 1, group), b.register("s", width, 0, group)
    rng = random.Random(count)

    def at(register, kind):
        edge = rng.choice([(x, 0), (c, 0), (b.const(1, width), 0)])
        sources = []
        for k in range(count):
            other = {
                "before": k - 1,
                "after": k + 1,
                "earlier": rng.randrange(k) if k else -1,
                "later": rng.randrange(k + 1, count) if k + 1 < count else -1,
                "back": count - 1 - k,
                "ring": (k + 1) % count,
                "one": count // 2,
                "even": 2 * k % count,
                "any": rng.randrange(count),
            }[kind]
            sources.append((register, other) if 0 <= other < count else edge)
        return b.port(group, sources)

    b.becomes(r, b.op("add", width, at(s, first), r))
    b.becomes(s, at(r, second))
    both = b.op("xor", width, r, s)
    b.name("both", both)
    b.outputs_of("o", both)


KINDS = ("before", "after", "earlier", "later", "back", "ring", "one", "even", "any")


@pytest.mark.parametrize("first", KINDS)
def test_instances_that_read_each_other(first):
    start = KINDS.index(first)
    for number, second in enumerate(KINDS[start % 2 :: 2], start):
        count, width = [(4, 8), (7, 1), (33, 16), (5, 65), (9, 8)][number % 5]
        lanes = LANES[number % len(LANES)]
        _run(_neighbours, count, width, first, second, lanes=lanes, cycles=6)


def _opposite(b, up, down):
    """Ports that look at earlier and at later instances, as many of each as is said."""
    group = b.group("g", 7)
    x = b.input("x", 8)
    earlier, later = [None, 0, 0, 1, 3, 2, 4], [2, 3, 6, 4, 6, 6, None]
    for number, order in enumerate([earlier] * down + [later] * up):
        register = b.register(f"r{number}", 8, 3 + number, group)
        port = b.port(group, [(x, 0) if k is None else (register, k) for k in order])
        b.becomes(register, b.op("add", 8, port, register))
        b.outputs_of(f"o{number}_", register)


@pytest.mark.parametrize("lanes", [3, 64])
@pytest.mark.parametrize(("up", "down"), [(1, 0), (0, 1), (1, 1), (2, 1), (1, 2), (2, 2)])
def test_ports_in_both_directions(up, down, lanes):
    _run(_opposite, up, down, lanes=lanes)


def _exchange(b, groups):
    """Registers that take each other's values, those of earlier instances."""
    g = b.group("g", 5)
    h = g if groups == 1 else b.group("h", 5)
    x = b.input("x", 8)
    r, s = b.register("r", 8, 3, g), b.register("s", 8, 5, h)
    b.becomes(r, b.port(g, [x, (s, 0), (s, 0), (s, 2), (s, 1)]))
    b.becomes(s, b.port(h, [x, (r, 0), (r, 0), (r, 1), (r, 2)]))
    b.outputs_of("r", r)
    b.outputs_of("s", s)


@pytest.mark.parametrize("lanes", [1, 3])
@pytest.mark.parametrize("groups", [1, 2])
def test_registers_that_exchange_values_through_ports(groups, lanes):
    _run(_exchange, groups, lanes=lanes)


def _uniform_view(b, kind, use, width):
    """Instances that see others' values, equal in all lanes, beside values of the lane."""
    count = 5
    source, group = b.group("s", 3 * count), b.group("g", count)
    u = b.register("u", width, 1, source)
    steps = [b.const(k % min(7, 1 << width), width) for k in range(source.count)]
    b.becomes(u, b.op("add", width, u, b.port(source, steps)))
    order = {"steps": [0, 3, 6, 9, 12], "any": [3, 4, 2, 2, 4], "one": [4] * 5, "next": range(2, 7)}
    seen = b.port(group, [(u, k) for k in order[kind]])
    x = b.port(group, [b.input("x", width)] * count)
    r = b.register("r", width, 0, group)
    value = b.op("add", width, r, seen)
    if use == "address":
        memory = b.memory("m", width, 6, group=group)
        b.write(memory, seen, x, b.op("slice", 1, r, attr=0))
        value = b.read(memory, seen)
    elif use == "enable":
        memory = b.memory("m", width, 2, group=group)
        b.write(memory, b.op("slice", 1, r, attr=0), x, b.fit(seen, 1))
        value = b.op("mux", width, b.fit(seen, 1), r, b.read(memory, b.fit(x, 1)))
    b.becomes(r, b.op("xor", width, value, x))
    b.outputs_of("o", r)


@pytest.mark.parametrize("kind", ["steps", "any", "one", "next"])
@pytest.mark.parametrize(
    ("use", "width"), [("operand", 8), ("operand", 65), ("address", 3), ("enable", 1)]
)
def test_uniform_values_of_other_instances(use, width, kind):
    for lanes in (1, 3, 64):
        _run(_uniform_view, kind, use, width, lanes=lanes)


def _mixed_sources(b, width):
    """A port that a register and an output read; some sources are equal in all lanes."""
    group = b.group("g", 6)
    x, c = b.input("x", width), b.counter("c", width)
    y = b.op("not", width, x)
    port = b.port(group, [x, c, y, b.const(1, width), c, b.delay("late", c)])
    register = b.register("r", width, 0, group)
    b.becomes(register, b.op("add", width, port, register))
    both = b.op("sub", width, port, register)
    b.name("both", both)
    b.outputs_of("o", both)


@pytest.mark.parametrize(("width", "lanes"), [(1, 3), (8, 1), (8, 64), (65, 100)])
def test_port_of_uniform_and_varying_sources(width, lanes):
    _run(_mixed_sources, width, lanes=lanes)


def _far(b, width, step, count, order):
    """A vector of every so manieth of a group; nothing lies behind it."""
    x = b.input("x", width)
    numbers = [step * k for k in range(count)] if order is None else order
    group = b.group("g", count)
    q = b.register("q", width, 0, group)
    source = b.group("s", max(numbers) + 1)
    r = b.register("r", width, 1, source)
    b.becomes(q, b.op("add", width, q, b.port(group, [(r, k) for k in numbers])))
    b.becomes(r, b.op("sub", width, b.port(source, [x] * source.count), r))
    b.output("o", b.port(b.graph.top, [(q, count - 1)]))


@pytest.mark.parametrize(("step", "count"), [(1, 65), (2, 65), (3, 40), (8, 9), (8, 65), (9, 12)])
def test_every_so_manieth_instance(step, count):
    for lanes, width in ((1, 8), (1, 64), (3, 1)):
        _run(_far, width, step, count, None, lanes=lanes, cycles=4, observe=())


@pytest.mark.parametrize(
    ("width", "spread"), [(1, 3000), (1, 70), (8, 500), (16, 250), (32, 66), (64, 33), (65, 9)]
)
def test_instances_in_any_order(width, spread):
    rng = random.Random(spread)
    for count in (5, 64):
        order = [rng.randrange(spread) for _ in range(count)]
        for lanes in (1, 3):
            if spread * lanes < 5000:
                _run(_far, width, 0, count, order, lanes=lanes, cycles=4, observe=())


# All at once


class _Wiring:
    """Registers that take others' values directly, through ports, under gates; memories."""

    def __init__(self, seed):
        self.rng = rng = random.Random(f"wiring {seed}")
        self.b = b = Build()
        self.width = rng.choice([1, 3, 8, 8, 16, 33, 64, 65, 130])
        self.x = b.input("x", self.width)
        self.groups = [b.graph.top]
        for k in range(rng.randint(0, 3)):
            self.groups.append(b.group(f"g{k}", rng.choice([1, 2, 3, 5, 8, 9, 17, 33, 65])))
        # What these groups hold is equal in all lanes.
        self.even = {group for group in self.groups if rng.random() < 0.3}
        self.count = b.counter("number", self.width)
        steps = b.counter("steps", 4)
        self.bits = [b.op("slice", 1, steps, attr=k) for k in range(3)]
        self.bits.append(b.input("bit", 1))
        self.pool = {}
        for group in self.groups:
            number = rng.choice([2, 4, 9, 30 if group.count == 1 else 5])
            inits = rng.choice([0, 1]), extreme(rng, self.width)
            self.pool[group] = [
                b.register(f"r{k}", self.width, rng.choice(inits), group) for k in range(number)
            ]
        for group in self.groups:
            self.connect(group)
        for group in self.groups:
            if rng.random() < 0.5:
                self.add_memory(group)
            for k, node in enumerate(rng.sample(self.pool[group], min(3, len(self.pool[group])))):
                if group.count <= 9:
                    b.outputs_of(f"{group.name}_{k}_", node)

    def connect(self, group):
        b, rng = self.b, self.rng
        registers = list(self.pool[group])
        gates = [self.gate(group) for _ in range(rng.randint(1, 3))]
        chained = rng.random() < 0.5
        for k, register in enumerate(registers):
            kind = rng.random()
            if chained and k and kind < 0.8:
                value = registers[k - 1]
            elif kind < 0.3:
                value = rng.choice(registers)
            elif kind < 0.7:
                value = self.port(group)
            else:
                value = b.op(
                    rng.choice(["add", "xor", "sub"]),
                    self.width,
                    rng.choice(registers),
                    self.port(group),
                )
                self.pool[group].append(value)
                b.name(f"n{k}", value)
            b.becomes(register, value, rng.choice(gates))

    def gate(self, group):
        b, rng = self.b, self.rng
        kind = rng.random()
        if kind < 0.3:
            return None
        if kind < 0.5:
            return b.op("reduce_or", 1, rng.choice(self.pool[group]))
        bits = self.bits[:-1] if group in self.even else self.bits
        bit = rng.choice(bits)
        if kind < 0.6:
            bit = b.op("and", 1, bit, b.op("not", 1, rng.choice(bits)))
        return bit if group is b.graph.top else b.port(group, [bit] * group.count)

    def port(self, group):
        b, rng = self.b, self.rng
        groups = [g for g in self.groups if group not in self.even or g in self.even]
        other = rng.choice([group, rng.choice(groups)])
        node, n = rng.choice(self.pool[other]), other.count
        if node.op != "register" and rng.random() < 0.9:
            # Others may lead to a loop.
            node = next(value for value in self.pool[other] if value.op == "register")
        if other is b.graph.top and group is other:
            return node
        start, step = rng.randrange(n), rng.choice([-1, 1, 1, 2, 3])
        order = rng.choice(
            [
                lambda k: start,
                lambda k: start + step * k,
                lambda k: min(n - 1, k),
                lambda k: max(0, k - 1),
                lambda k: rng.randrange(n),
                lambda k: rng.randrange(min(k, n - 1) + 1),
            ]
        )
        sources = []
        for k in range(group.count):
            if rng.random() < 0.1:
                x = self.count if group in self.even else self.x
                sources.append((rng.choice([x, b.const(1, self.width)]), 0))
            else:
                sources.append((node, order(k) % n))
        return b.port(group, sources)

    def add_memory(self, group):
        b, rng = self.b, self.rng
        memory = b.memory("m", self.width, rng.choice([1, 3, 8]), [1], group)
        for _ in range(rng.randint(1, 2)):
            enable = b.op("reduce_xor", 1, rng.choice(self.pool[group]))
            if rng.random() < 0.3:
                enable = b.const(1, 1, group)
            address = b.fit(rng.choice(self.pool[group]), min(self.width, 3))
            b.write(memory, address, rng.choice(self.pool[group]), enable)
        address = b.fit(rng.choice(self.pool[group]), min(self.width, 3))
        b.name("word", b.read(memory, address))
        b.delay("read", b.read(memory, address))


def _random_case(seed):
    rng = random.Random(seed)
    lanes = rng.choice([1, 1, 2, 3, 8, 64, 70])
    observe = rng.choice(["all", ()])
    wiring = _Wiring(seed)
    try:
        wiring.b.graph.sorted()
    except ValueError:
        return
    compare(wiring.b.graph, lanes, seed=seed, observe=observe)


@pytest.mark.parametrize("seed", range(0, SEEDS, 8))
def test_random_wiring(seed):
    for k in range(seed, seed + 8):
        assert isolated(_random_case, k) is None, f"seed {k}"


def test_chains_are_moved_at_once():
    b = Build()
    row = [b.input("x", 8)]
    for k in range(9):
        row.append(b.delay(f"r{k}", row[-1]))
    b.output("o", row[-1])
    program = compile_graph(b.graph)
    offsets = [place.offset for _, place, _ in program.states]
    assert offsets == list(range(offsets[0], offsets[0] + 9))
