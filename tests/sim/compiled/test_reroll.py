"""Regular structures as groups: equal to the netlist that they come from, and really formed."""

import random

import pytest

from hwsim.sim.compiled.program import compile_graph
from hwsim.sim.compiled.reroll import reroll
from tests.sim.circuits import extreme
from tests.sim.differential import isolated

from .small_graphs import Build, compare

SEEDS = 40
NUMBERS = (4, 5, 7, 8, 9, 16, 17, 31, 33, 64, 65, 70)
WIDTHS = (1, 2, 8, 8, 9, 16, 33, 64, 65, 100)


class _Regular:
    """A random design of rows of registers that all do the same; ``graph`` is the result."""

    def __init__(self, seed):
        self.rng = rng = random.Random(f"regular {seed}")
        self.build = b = Build()
        self.graph = b.graph
        self.size = rng.choice(NUMBERS)
        self.width = rng.choice(WIDTHS)
        self.data = b.input("data", self.width)
        self.bits = [b.input("bit", 1), b.op("slice", 1, b.counter("count", 3), attr=1)]
        self.address = [b.counter("address", rng.choice([1, 3, 5])), b.input("a", 3)]
        self.rows = [self.window()]
        for level in range(rng.randint(1, 4)):
            kinds = [self.sums, self.accumulators, self.choices, self.delays]
            kind = rng.choice([self.products, self.products, *kinds])
            self.rows.append(kind(f"n{level}"))
        last = self.rows[-1]
        for k in {0, len(last) - 1, rng.randrange(len(last))}:
            b.output(f"o{k}", last[k])
        # Signals in between are observed, too.
        nodes = [node for node in self.graph.sorted() if node.op not in ("input", "register")]
        for k, node in enumerate(rng.sample(nodes, min(len(nodes), rng.choice([0, 3, 20])))):
            b.name(f"wire{k}", node)

    def bit(self):
        return self.rng.choice([None, *self.bits])

    def init(self, width):
        return self.rng.choice([0, 0, extreme(self.rng, width)])

    def window(self):
        """Registers in a row, which move on if enabled."""
        b, rng = self.build, self.rng
        row = [self.data]
        enable, inits = self.bit(), self.init(self.width)
        for k in range(self.size + rng.choice([0, 3])):
            row.append(b.delay(f"w{k}", row[-1], enable, inits if rng.random() < 0.9 else 0))
        return row[1:]

    def picks(self, row, number):
        """Registers of a row: each, with stride, one for all, backwards, at random."""
        rng = self.rng
        kind = rng.choice(["each", "stride", "one", "back", "near", "random"])
        n = len(row)
        if kind == "each":
            indices = range(number)
        elif kind == "stride":
            step, start = rng.choice([2, 3, 5, 8, 9]), rng.randrange(n)
            indices = [start + step * k for k in range(number)]
        elif kind == "one":
            indices = [rng.randrange(n)] * number
        elif kind == "back":
            indices = range(n - 1, n - 1 - number, -1)
        elif kind == "near":
            indices = [k + rng.randint(-2, 2) for k in range(number)]
        else:
            indices = [rng.randrange(n) for _ in range(number)]
        return [row[k % n] for k in indices]

    def operand(self, number):
        return self.picks(self.rng.choice(self.rows), number)

    def products(self, level):
        """Of a row and what memories of equal depth hold; memories may be read elsewhere, too."""
        b, rng = self.build, self.rng
        width, depth = rng.choice(WIDTHS), rng.choice([1, 2, 5, 8, 9, 33])
        total = min(130, width + self.width)
        extend = rng.choice(["sext", "zext"])
        address, enable, shared = rng.choice(self.address), self.bit(), rng.random() < 0.2
        masked = rng.random() < 0.2
        init = self.init(total)
        result = []
        for k, value in enumerate(self.operand(self.size)):
            words = [extreme(rng, width) for _ in range(rng.choice([depth, depth, depth // 2]))]
            rom = b.memory(f"{level}m{k}", width, depth, words)
            word = b.read(rom, address)
            if masked:
                word = b.op("xor", width, word, b.const(k, width))
            weight = b.fit(word, total, extend == "sext")
            factor = b.fit(value, total, extend == "sext")
            product = b.op("mul", total, factor, weight)
            if shared:
                product = b.op("xor", total, product, weight)
            result.append(b.delay(f"{level}p{k}", product, enable, init))
        return result

    def sums(self, level):
        """Half as many, of neighbours or of any two."""
        b = self.build
        row = self.rng.choice(self.rows)
        number = max(4, len(row) // 2)
        first, second = self.picks(row, number), self.picks(row, number)
        if self.rng.random() < 0.5:
            first = [row[2 * k % len(row)] for k in range(number)]
            second = [row[(2 * k + 1) % len(row)] for k in range(number)]
        width = first[0].width + 1
        signed = self.rng.random() < 0.5
        enable = self.bit()
        return [
            b.delay(
                f"{level}s{k}",
                b.op("add", width, b.fit(x, width, signed), b.fit(y, width, signed)),
                enable,
            )
            for k, (x, y) in enumerate(zip(first, second, strict=True))
        ]

    def accumulators(self, level):
        b, rng = self.build, self.rng
        values = self.operand(self.size)
        width = min(200, values[0].width + rng.choice([0, 4, 30]))
        clear, enable, init = self.bits[1], self.bit(), self.init(width)
        signed = rng.random() < 0.5
        result = []
        for k, value in enumerate(values):
            register = b.register(f"{level}a{k}", width, init)
            value = b.fit(value, width, signed)
            total = b.op("add", width, register, value)
            b.becomes(register, b.op("mux", width, clear, value, total), enable)
            result.append(register)
        return result

    def delays(self, level):
        """The same some cycles later, all or some of it."""
        b, rng = self.build, self.rng
        row = self.operand(rng.choice([self.size, max(4, self.size // 2)]))
        for step in range(rng.randint(1, 3)):
            init = self.init(row[0].width)
            row = [b.delay(f"{level}d{step}_{k}", value, None, init) for k, value in enumerate(row)]
        return row

    def choices(self, level):
        """By a select that all share, or each has of its own; constants are among the operands."""
        b, rng = self.build, self.rng
        first = self.operand(self.size)
        width = first[0].width
        second = [b.fit(value, width) for value in self.operand(self.size)]
        if rng.random() < 0.4:
            second = [b.const(extreme(rng, width), width) for _ in second]
        select = self.bit()
        result = []
        for k, (x, y) in enumerate(zip(first, second, strict=True)):
            one = select if select is not None else b.op("ult", 1, x, y)
            changed = b.op(rng.choice(["not", "neg"]) if k == 0 else "not", width, y)
            result.append(
                b.delay(f"{level}c{k}", b.op("mux", width, one, x, changed), self.bits[0])
            )
        return result


def _rolled(program):
    """Registers and memories that are instances of a group that was formed."""
    return sum(instance is not None for _, _, instance in program.states)


def _random_case(seed, lanes=1):
    rng = random.Random(seed)
    observe = rng.choice(["all", "all", ()])
    program = compare(_Regular(seed).graph, lanes, seed=seed, observe=observe)
    return program


@pytest.mark.parametrize("seed", range(0, SEEDS, 8))
def test_random_structures(seed):
    for k in range(seed, seed + 8):
        assert isolated(_random_case, k) is None, f"seed {k}"


def test_random_structures_are_rolled():
    rolled = [len(reroll(_Regular(seed).graph)[1]) for seed in range(SEEDS)]
    assert sum(number > 0 for number in rolled) > SEEDS // 2, rolled


def _convolution(taps, *, width=8, depth=5, square=False, twice=False, named=False, later=0):
    """Products of a window that moves on and of weights, and a tree of adders over them."""
    rng = random.Random(taps)
    b = Build()
    data, enable = b.input("data", width), b.input("enable", 1)
    address = b.counter("address", 3)
    row = []
    for k in range(taps):
        words = [rng.getrandbits(width) for _ in range(depth)]
        weight = b.op("sext", 2 * width, b.read(b.memory(f"rom{k}", width, depth, words), address))
        tap = b.delay(f"tap{k}", b.op("add", width, row[-1][0] if row else data, data), enable)
        product = b.op("mul", 2 * width, weight, weight if square else b.fit(tap, 2 * width, True))
        row.append((tap, b.delay(f"product{k}", product, enable)))
        if twice:
            b.delay(f"other{k}", b.op("add", 2 * width, weight, b.fit(tap, 2 * width)))
        if named:
            b.name(f"weight{k}", weight)
    level = [product for _, product in row]
    for step in range(later):
        level = [b.delay(f"later{step}_{k}", value) for k, value in enumerate(level)]
    while len(level) > 1:
        total = level[0].width + 1
        level = [
            b.delay(
                f"sum{len(level)}_{k}",
                b.op("add", total, b.fit(x, total, True), b.fit(y, total, True)),
                enable,
            )
            for k, (x, y) in enumerate(zip(level[::2], level[1::2], strict=False))
        ]
    b.output("o", level[0])
    return b.graph


@pytest.mark.parametrize("taps", [8, 16, 33, 64, 70])
def test_convolution(taps):
    program = compare(_convolution(taps), 1, cycles=20)
    names = [name for name, _, instance in program.states if instance is not None]
    assert set(names) >= {f"{kind}{k}" for kind in ("product", "rom") for k in range(taps)}


def test_groups_of_a_convolution():
    graph = _convolution(32)
    new, moved = reroll(graph)
    sizes = sorted(r.group.count for r in graph.registers if r.group is not graph.top)
    # Taps, products, and sums.
    assert sizes == [4, 8, 16, 32, 32]
    (memory,) = graph.memories
    assert memory.group.count == 32 and len(memory.inits) == 32
    assert new(graph.outputs["o"]) is graph.outputs["o"]
    assert sorted(index for target, index in moved.values() if target is memory) == [*range(32)]


def test_three_alike_stay_apart():
    program = compare(_convolution(3), 1)
    assert _rolled(program) == 0


@pytest.mark.parametrize("lanes", [2, 3, 64])
def test_several_lanes_are_not_rolled(lanes):
    program = compare(_convolution(16), lanes)
    assert _rolled(program) == 0


@pytest.mark.parametrize("option", ["square", "twice", "named"])
def test_weight_that_is_used_twice(option):
    """A memory's word, extended, is the operand of several nodes."""
    assert isolated(_used_twice, option) is None


def _used_twice(option):
    compare(_convolution(8, **{option: True}), 1)


@pytest.mark.parametrize("length", [10, 39, 40, 41, 60])
def test_trees_of_many_nodes(length):
    assert isolated(_long_trees, length) is None


def _long_trees(length):
    b = Build()
    data = b.input("data", 8)
    for k in range(6):
        wide = b.op("zext", 16, b.delay(f"leaf{k}", b.op("add", 8, data, b.const(k, 8))))
        value = wide
        for j in range(length // 2):
            value = b.op("add", 16, b.op("xor", 16, value, b.const(j * 77 + k, 16)), wide)
        b.output(f"o{k}", b.delay(f"end{k}", value))
    compare(b.graph, 1)


def test_registers_of_unlike_initial_values_stay_apart():
    b = Build()
    data = b.input("data", 9)
    for k in range(16):
        register = b.register(f"r{k}", 9, k % 2)
        b.becomes(register, b.op("add", 9, register, data))
        b.output(f"o{k}", register)
    program = compare(b.graph, 1)
    assert _rolled(program) == 16
    b = Build()
    data = b.input("data", 9)
    for k in range(16):
        register = b.register(f"r{k}", 9, k)
        b.becomes(register, b.op("add", 9, register, data))
        b.output(f"o{k}", register)
    assert _rolled(compare(b.graph, 1)) == 0


def test_checkpoint_of_a_rolled_program():
    program = compile_graph(_convolution(16), observe="all")
    assert _rolled(program) > 0
    simulation = program.simulation()
    simulation.poke("enable", 1)
    simulation.poke("data", 77)
    simulation.run(7)
    checkpoint = simulation.checkpoint()
    names = program.paths()
    first = simulation.record(names, 20)
    for target in (simulation, program.simulation()):
        target.restore(checkpoint)
        assert target.cycles == 7
        target.poke("enable", 1)
        target.poke("data", 77)
        again = target.record(names, 20)
        assert all(again[name].tolist() == first[name].tolist() for name in names)


@pytest.mark.parametrize("lane", [0, 5, 7])
def test_lane_of_a_checkpoint_into_a_rolled_program(lane):
    rng = random.Random(lane)
    many = compile_graph(_convolution(16), lanes=8, observe="all").simulation()
    for _ in range(9):
        many.poke("data", [rng.getrandbits(8) for _ in range(8)])
        many.poke("enable", [rng.random() < 0.8 for _ in range(8)])
        many.step()
    one = compile_graph(_convolution(16), observe="all").simulation()
    one.restore(many.checkpoint().lane(lane))
    names = one.program.paths()
    for target in (one, many):
        target.poke("data", 200)
        target.poke("enable", 1)
    found, wanted = one.record(names, 20), many.record(names, 20, lane=lane)
    assert one.cycles == many.cycles == 29
    for name in names:
        assert found[name].tolist() == wanted[name].tolist(), name
    # And back, to all lanes.
    many.restore(one.checkpoint())
    assert many.peek("o").tolist() == [one.peek("o")] * 8


def test_delay_lines():
    """What comes after them is a group only if they are."""
    program = compare(_convolution(16, later=2), 1, cycles=20)
    rolled = {name for name, _, instance in program.states if instance is not None}
    assert {f"later{step}_{k}" for step in range(2) for k in range(16)} <= rolled
    assert {f"sum16_{k}" for k in range(8)} <= rolled
