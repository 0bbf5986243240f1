"""Random netlists: every operation, packed values, several groups, all kinds of state."""

import random

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

__all__ = ["random_graph", "random_inputs"]

WIDTHS = (1, 1, 1, 2, 3, 4, 7, 8, 8, 8, 9, 12, 15, 16, 16, 17, 19, 24, 31, 32, 33, 48, 63, 64, 65)
WIDE = (80, 96, 100, 127, 128, 129, 160, 200, 240)
BINARY = ("and", "or", "xor", "add", "sub", "mul")
DIVISIONS = ("div_floor", "mod_floor", "sdiv_floor", "smod_floor", "sdiv_trunc", "smod_trunc")
COMPARISONS = ("eq", "ne", "ult", "ule", "slt", "sle")


def random_graph(seed, size=60, groups=1):
    """The graph of a seed. Calls with equal arguments give equal graphs."""
    return _Maker(seed, size, groups).graph


class _Maker:
    """Builds one graph; ``graph`` is the result.

    Nodes are taken from a pool per group, in which recent ones come up more often. A part of the
    nodes only is needed by outputs and state; all have names.
    """

    def __init__(self, seed, size, groups):
        self.random = random.Random(seed)
        self.graph = Graph()
        others = [
            Group(f"g{k}", [f"g{k}_{i}" for i in range(self.random.choice((1, 2, 5)))])
            for k in range(groups)
        ]
        self.groups = [self.graph.top, *others]
        self.pools = {group: [] for group in self.groups}
        for group in self.groups:
            self.graph.bodies[group] = Scope(group)
        for group in others:
            numbers = list(range(group.count))
            self.graph.bodies[self.graph.top].children.update(
                {f"{group.name}_{i}": (group, [i]) for i in numbers}
            )
        self._inputs()
        self._state()
        for _ in range(size):
            group = self.random.choice(self.groups)
            self.add(self._node(group))
        self._finish()

    def width(self):
        return self.random.choice(WIDE if self.random.random() < 0.12 else WIDTHS)

    def value(self, width):
        r, kind = self.random, self.random.random()
        if kind < 0.3:
            return r.choice((0, 1, (1 << width) - 1, 1 << (width - 1))) & ((1 << width) - 1)
        if kind < 0.5:
            return 1 << r.randrange(width)
        if kind < 0.7:
            return r.randrange(min(1 << width, 16))
        return r.randrange(1 << width)

    def add(self, node):
        self.pools[node.group].append(node)
        return node

    def pick(self, group, width=None):
        """A node of the group; adapted to the width if one is given."""
        r = self.random
        pool = self.pools[group]
        node = None
        if width is not None and r.random() < 0.6:
            same = [n for n in pool[-40:] if n.width == width]
            node = r.choice(same) if same else None
        if node is None:
            if not pool or r.random() < 0.1:
                w = width or self.width()
                return self.graph.const(self.value(w), w, group)
            node = r.choice(pool[-25:] if r.random() < 0.6 else pool)
        return node if width is None else self.adapt(node, width)

    def adapt(self, node, width):
        r, graph = self.random, self.graph
        if node.width == width:
            return node
        if node.width > width:
            places = (0, node.width - width, r.randrange(node.width - width + 1), width)
            low = r.choice([p for p in places if p + width <= node.width])
            return graph.node("slice", width, (node,), low)
        kind = r.random()
        if kind < 0.35:
            return graph.node("zext", width, (node,))
        if kind < 0.7:
            return graph.node("sext", width, (node,))
        rest = width - node.width
        if kind < 0.85 or rest < 2:
            other = self.pick(node.group, rest)
            args = (node, other) if r.random() < 0.6 else (other, node)
        else:
            middle = r.randrange(1, rest)
            args = [node, self.pick(node.group, middle), self.pick(node.group, rest - middle)]
            r.shuffle(args)
        return graph.node("concat", width, args)

    def _inputs(self):
        for k in range(self.random.randrange(2, 5)):
            name, width = f"i{k}", self.width()
            self.graph.inputs[name] = self.add(self.graph.node("input", width, attr=name))

    def _state(self):
        r, graph = self.random, self.graph
        for k in range(r.randrange(2, 8)):
            group, width = r.choice(self.groups), self.width()
            init = 0 if r.random() < 0.6 else self.value(width)
            register = Register(f"r{k}", width, init, group)
            graph.registers.append(register)
            self.add(graph.node("register", width, attr=register, group=group))
        for k in range(r.randrange(0, 4)):
            group, width = r.choice(self.groups), self.width()
            depth = r.choice((1, 2, 3, 4, 5, 8))
            words = [self.value(width) for _ in range(r.randrange(depth + 1))]
            if r.random() < 0.2 and words:
                words = words[:1] * depth
            graph.memories.append(Memory(f"m{k}", width, depth, words, group))
        for k in range(r.randrange(0, 3)):
            graph.buffers.append(Buffer(f"b{k}", r.choice((1, 8, 13, 48, 64)), r.random() < 0.5))

    def _address(self, group):
        return self.pick(group, self.random.choice((1, 2, 2, 3, 3, 4, 9)))

    def _node(self, group):
        r, graph = self.random, self.graph
        kind, width = r.random(), self.width()
        if kind < 0.16:
            s = self.pick(group, 1)
            return graph.node("mux", width, (s, self.pick(group, width), self.pick(group, width)))
        if kind < 0.24:
            packed = r.choice(([8] * 3, [8] * 6, [8] * 12, [19] * 6, [1] * 5, [16] * 4, [4, 8, 4]))
            return graph.node("concat", sum(packed), [self.pick(group, w) for w in packed])
        if kind < 0.32:
            node = self.pick(group)
            low = r.randrange(node.width)
            if r.random() < 0.6:
                low -= low % 8
            width = r.choice((1, 8, 16, r.randrange(1, node.width + 1)))
            return graph.node("slice", min(width, node.width - low), (node,), low)
        if kind < 0.40:
            return self.adapt(self.pick(group), width)
        if kind < 0.58:
            op = r.choice(BINARY)
            return graph.node(op, width, (self.pick(group, width), self.pick(group, width)))
        if kind < 0.62:
            op = r.choice(DIVISIONS)
            return graph.node(op, width, (self.pick(group, width), self.pick(group, width)))
        if kind < 0.68:
            a = self.pick(group)
            return graph.node(r.choice(("not", "neg")), a.width, (a,))
        if kind < 0.75:
            a = self.pick(group)
            op = r.choice(("shl", "shr", "sshr"))
            return graph.node(op, a.width, (a, self._amount(group)))
        if kind < 0.85:
            a = self.pick(group)
            return graph.node(r.choice(COMPARISONS), 1, (a, self.pick(group, a.width)))
        if kind < 0.89:
            op = r.choice(("reduce_and", "reduce_or", "reduce_xor"))
            return graph.node(op, 1, (self.pick(group),))
        if kind < 0.94:
            memories = [m for m in graph.memories if m.group is group]
            if memories:
                memory = r.choice(memories)
                return graph.node("read", memory.width, (self._address(group),), memory)
            return self.pick(group)
        if kind < 0.96 and group is graph.top and graph.buffers:
            buffer = r.choice(graph.buffers)
            return graph.node("load", buffer.width, (self._address(group),), buffer)
        source = r.choice(self.groups)
        name = f"p{len(graph._nodes)}"
        node = self.pick(source)
        width, sources = node.width, []
        for k in range(group.count):
            if r.random() < 0.2:
                source = r.choice(self.groups)
                node = self.pick(source, width)
            number = 0 if node.op == "const" else r.randrange(source.count)
            if r.random() < 0.5 and k < source.count and node.op != "const":
                number = k
            sources.append((node, number))
        return graph.node("port", width, attr=Port(name, sources), group=group)

    def _amount(self, group):
        """Also multiples of a constant, as an index of words gives them."""
        r, kind = self.random, self.random.random()
        if kind < 0.3:
            zeros = self.graph.const(0, r.randrange(1, 5), group)
            index = self.pick(group, r.choice((1, 2, 3, 4)))
            return self.graph.node("concat", zeros.width + index.width, (zeros, index))
        if kind < 0.5:
            index = self.adapt(self.pick(group, r.choice((1, 2, 3))), 8)
            factor = self.graph.const(r.choice((3, 6, 12, 19, 40)), 8, group)
            return self.graph.node("mul", 8, (index, factor))
        return self.pick(group, r.choice((1, 3, 4, 5, 8, 9, 70)))

    def _finish(self):
        r, graph = self.random, self.graph
        for register in graph.registers:
            group = register.group
            new = self.pick(group, register.width)
            kind = r.random()
            own = graph.node("register", register.width, attr=register, group=group)
            if kind < 0.4:
                new = graph.node("mux", register.width, (self.pick(group, 1), new, own))
            elif kind < 0.5 and register.width > 8:
                rest = graph.node("slice", register.width - 8, (own,), 8)
                new = graph.node("concat", register.width, (rest, self.pick(group, 8)))
            elif kind < 0.6:
                init = graph.const(register.init, register.width, group)
                new = graph.node("mux", register.width, (self.pick(group, 1), init, own))
            register.next = new
        for register in [register for register in graph.registers if r.random() < 0.2]:
            twin = Register(register.name + "_twin", register.width, register.init, register.group)
            twin.next = register.next
            if register.next.op == "mux":
                s, a, b = register.next.args
                own = graph.node("register", twin.width, attr=twin, group=twin.group)
                if b.op == "register" and b.attr is register:
                    twin.next = graph.node("mux", twin.width, (s, a, own))
            graph.registers.append(twin)
            self.add(graph.node("register", twin.width, attr=twin, group=twin.group))
        for memory in graph.memories:
            for _ in range(r.choice((0, 1, 1, 2))):
                group = memory.group
                memory.writes.append(
                    Write(self._address(group), self.pick(group, memory.width), self.pick(group, 1))
                )
        top = graph.top
        for buffer in graph.buffers:
            if r.random() < 0.6:
                data = self.pick(top, buffer.width)
                graph.stores.append(Store(buffer, self._address(top), data, self.pick(top, 1)))
        if r.random() < 0.5:
            group = r.choice(self.groups)
            graph.checks.append(Check("c", self.pick(group, 1), self.pick(group, 1), "here"))
        for k in range(r.randrange(1, 5)):
            graph.outputs[f"o{k}"] = self.pick(top)
        for group, pool in self.pools.items():
            scope = graph.bodies[group]
            inner = Scope(group) if r.random() < 0.5 else scope
            if inner is not scope:
                scope.children["inner"] = inner
            for k, node in enumerate(pool):
                (scope if k % 2 else inner).signals[f"s{k}"] = node
            for memory in graph.memories:
                if memory.group is group:
                    inner.memories[memory.name] = [memory]


def random_inputs(graph, rng):
    """Values for all inputs, extremes more often than chance has it."""
    result = {}
    for name, node in graph.inputs.items():
        top = (1 << node.width) - 1
        kind = rng.random()
        if kind < 0.3:
            result[name] = rng.choice((0, top, 1, 1 << (node.width - 1), top >> 1))
        elif kind < 0.4:
            result[name] = 1 << rng.randrange(node.width)
        else:
            result[name] = rng.randrange(top + 1)
    return result
