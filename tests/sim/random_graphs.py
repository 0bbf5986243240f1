"""Random netlists: all operations, several groups, memories, buffers and assertions."""

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

from .circuits import extreme, width_up_to

__all__ = ["random_buffers", "random_graph"]

_SAME = ("and", "or", "xor", "add", "sub", "mul")
_DIVISIONS = ("div_floor", "mod_floor", "sdiv_floor", "smod_floor", "sdiv_trunc", "smod_trunc")
_COMPARISONS = ("eq", "ne", "ult", "ule", "slt", "sle")
_KINDS = (
    ["same"] * 8
    + ["mux"] * 5
    + ["slice"] * 5
    + ["concat"] * 4
    + ["compare"] * 4
    + ["shift"] * 3
    + ["extend"] * 3
    + ["unary"] * 2
    + ["reduce"] * 2
    + ["constant"] * 2
    + ["port"] * 4
    + ["divide", "read", "read", "load", "common", "common"]
)


def random_graph(seed):
    """The random `Graph` of a seed. Calls with the same seed give equal graphs."""
    rng = random.Random(f"graph {seed}")
    return _Maker(rng).graph


def random_buffers(graph, seed):
    """Contents for the buffers of a graph."""
    rng = random.Random(f"buffers {seed}")
    return {
        b.name: [extreme(rng, b.width) for _ in range(rng.choice([0, 1, 5, 33]))]
        for b in graph.buffers
    }


class _Maker:
    def __init__(self, rng):
        self.rng = rng
        self.graph = graph = Graph()
        graph.clock = "clk"
        self.limit = rng.choice([4, 8, 9, 17, 33, 64, 65, 130, 200])
        self.pools = {graph.top: []}
        for k in range(rng.choice([0, 0, 1, 1, 2])):
            count = rng.choice([1, 2, 3, 8, 9, 16, 40])
            group = Group(f"g{k}", [f"g{k}_{i}" for i in range(count)])
            graph.bodies[group] = Scope(group)
            graph.bodies[graph.top].children |= {f"g{k}_{i}": (group, [i]) for i in range(count)}
            self.pools[group] = []
        self.groups = list(self.pools)
        for k in range(rng.randint(1, 4)):
            width = self.width()
            graph.inputs[f"i{k}"] = node = graph.node("input", width, attr=f"i{k}")
            self.pools[graph.top].append(node)
        for k in range(rng.randint(0, 2)):
            graph.buffers.append(Buffer(f"b{k}", min(self.width(), 64), rng.random() < 0.5))
        for group in self.groups:
            self.add_state(group)
        for _ in range(rng.choice([5, 15, 40, 80])):
            group = rng.choice(self.groups)
            node = self.make(group)
            if node is not None:
                self.pools[group].append(node)
        self.close()

    def width(self):
        return width_up_to(self.rng, self.limit)

    def add_state(self, group):
        rng, graph = self.rng, self.graph
        for k in range(rng.randint(0, 4)):
            width = self.width()
            init = rng.choice([0, extreme(rng, width)])
            register = Register(f"r{k}", width, init, group)
            graph.registers.append(register)
            self.pools[group].append(graph.node("register", width, attr=register, group=group))
        for k in range(rng.choice([0, 0, 1, 2])):
            width, depth = self.width(), rng.choice([1, 2, 3, 7, 8, 16, 33])
            init = [extreme(rng, width) for _ in range(rng.choice([0, depth, depth // 2]))]
            graph.memories.append(Memory(f"m{k}", width, depth, init, group))

    def any(self, group):
        pool = self.pools[group]
        if not pool or self.rng.random() < 0.05:
            return self.constant(group)
        return self.rng.choice(pool[-8:] if self.rng.random() < 0.5 else pool)

    def constant(self, group, width=None):
        width = width or self.width()
        return self.graph.const(extreme(self.rng, width), width, group)

    def fit(self, node, width):
        """A node of this width that shows ``node`` or a part of it."""
        graph, rng = self.graph, self.rng
        if node.width > width:
            low = rng.choice([0, 0, rng.randint(0, node.width - width)])
            return graph.node("slice", width, [node], low)
        if node.width < width:
            if rng.random() < 0.1:
                rest = self.constant(node.group, width - node.width)
                return graph.node("concat", width, [node, rest])
            return graph.node(rng.choice(["zext", "sext"]), width, [node])
        return node

    def some(self, group, width):
        if self.rng.random() < 0.1:
            return self.constant(group, width)
        return self.fit(self.any(group), width)

    def make(self, group):
        rng, graph = self.rng, self.graph
        kind = rng.choice(_KINDS)
        a = self.any(group)
        width = a.width
        if kind == "same":
            op = rng.choice(_SAME)
            # Often extended before, as when no bit is to be lost.
            if rng.random() < 0.4:
                width = min(260, rng.choice([width + 1, 2 * width]))
                a = self.fit(a, width)
            return graph.node(op, width, [a, self.some(group, width)])
        if kind == "divide":
            return graph.node(rng.choice(_DIVISIONS), width, [a, self.some(group, width)])
        if kind == "mux":
            return graph.node("mux", width, [self.some(group, 1), a, self.some(group, width)])
        if kind == "slice":
            low = rng.randrange(width)
            return graph.node("slice", rng.randint(1, width - low), [a], low)
        if kind == "concat":
            parts = [a, *(self.any(group) for _ in range(rng.randint(0, 3)))]
            if rng.random() < 0.2:
                parts = [a] * rng.randint(2, 5)
            while sum(part.width for part in parts) > 260 and len(parts) > 1:
                parts.pop()
            return graph.node("concat", sum(part.width for part in parts), parts)
        if kind == "compare":
            return graph.node(rng.choice(_COMPARISONS), 1, [a, self.some(group, width)])
        if kind == "shift":
            op = rng.choice(("shl", "shr", "sshr"))
            amount = self.any(group)
            if rng.random() < 0.6:
                amount = self.fit(amount, rng.randint(1, min(8, amount.width)))
            return graph.node(op, width, [a, amount])
        if kind == "extend":
            width += rng.choice([1, 8, width, rng.randint(1, 40)])
            return (
                graph.node(rng.choice(("zext", "sext")), min(width, 260), [a])
                if (min(width, 260) > a.width)
                else None
            )
        if kind == "unary":
            return graph.node(rng.choice(("not", "neg")), width, [a])
        if kind == "reduce":
            return graph.node(rng.choice(("reduce_and", "reduce_or", "reduce_xor")), 1, [a])
        if kind == "constant":
            return self.constant(group)
        if kind == "port":
            return self.port(group)
        if kind == "read":
            memories = [m for m in graph.memories if m.group is group]
            if not memories:
                return None
            memory = rng.choice(memories)
            return graph.node("read", memory.width, [self.address(group)], memory)
        if kind == "load":
            if group is not graph.top or not graph.buffers:
                return None
            buffer = rng.choice(graph.buffers)
            return graph.node("load", buffer.width, [self.address(group)], buffer)
        return self.common(group, a)

    def common(self, group, a):
        """What designs are full of: saturation, an indexed part, a priority."""
        graph, rng = self.graph, self.rng
        kind = rng.choice(["saturate", "index", "multiply", "priority"])
        if kind == "saturate":
            width = rng.randint(1, a.width)
            bound = graph.const((1 << width - 1) - 1, a.width, group)
            over = graph.node("slt", 1, [bound, a])
            chosen = graph.node("mux", a.width, [over, bound, a])
            return graph.node("slice", width, [chosen], 0)
        if kind == "index":
            size = rng.choice([1, 4, 8])
            amount = self.fit(self.any(group), 3)
            zeros = graph.const(0, 3, group)
            amount = graph.node("concat", 6, [zeros, amount])
            shifted = graph.node("shr", a.width, [a, amount])
            return graph.node("slice", min(size, a.width), [shifted], 0)
        if kind == "multiply":
            a, b = self.fit(a, 8), self.some(group, 8)
            op = rng.choice(("sext", "zext"))
            a, b = (graph.node(op, 20, [x]) for x in (a, b))
            return graph.node("add", 20, [graph.node("mul", 20, [a, b]), self.some(group, 20)])
        for _ in range(3):
            a = graph.node("mux", a.width, [self.some(group, 1), self.some(group, a.width), a])
        return a

    def address(self, group):
        node = self.any(group)
        return self.fit(node, min(node.width, self.rng.choice([1, 2, 3, 4, 6, 32])))

    def port(self, group):
        """A value from elsewhere: each instance its own, all the same one, or its neighbour's."""
        rng, graph = self.rng, self.graph
        sources = [g for g in self.groups if self.pools[g]]
        if not sources:
            return None
        count = group.count
        kind = rng.choice(["one", "each", "mixed", "neighbour"])
        source = rng.choice(sources)
        node = rng.choice(self.pools[source])
        width = node.width
        if node.op == "const":
            numbers = [0] * count
        elif kind == "one":
            numbers = [rng.randrange(source.count)] * count
        elif kind == "each":
            numbers = [rng.randrange(source.count) for _ in range(count)]
        else:
            shift = rng.randint(0, 2)
            numbers = [max(0, min(i - shift, source.count - 1)) for i in range(count)]
        entries = [(node, number) for number in numbers]
        if kind in ("mixed", "neighbour"):
            for i in range(count):
                if rng.random() < 0.2 or (kind == "neighbour" and i == 0):
                    group_of_other = rng.choice(sources)
                    other = self.fit(rng.choice(self.pools[group_of_other]), width)
                    number = 0 if other.op == "const" else rng.randrange(group_of_other.count)
                    entries[i] = (other, number)
        self.count = getattr(self, "count", 0) + 1
        port = Port(f"p{self.count}", entries)
        return graph.node("port", width, attr=port, group=group)

    def close(self):
        rng, graph, top = self.rng, self.graph, self.graph.top
        for register in graph.registers:
            group = register.group
            held = graph.node("register", register.width, attr=register, group=group)
            value = self.some(group, register.width)
            kind = rng.random()
            if kind < 0.4:
                value = graph.node("mux", register.width, [self.some(group, 1), value, held])
            elif kind < 0.5 and register.width > 1:
                # A shift register.
                size = rng.randint(1, register.width - 1)
                rest = graph.node("slice", register.width - size, [held], size)
                value = graph.node("concat", register.width, [rest, self.some(group, size)])
            elif kind < 0.55:
                value = held
            elif kind < 0.6:
                value = graph.const(register.init, register.width, group)
            register.next = value
        for memory in graph.memories:
            group = memory.group
            for _ in range(rng.choice([0, 1, 1, 2])):
                memory.writes.append(
                    Write(self.address(group), self.some(group, memory.width), self.some(group, 1))
                )
        for buffer in graph.buffers:
            # What lanes store to a shared buffer has no defined order.
            for _ in range(0 if buffer.shared else rng.choice([0, 1, 2])):
                data = self.some(top, buffer.width)
                graph.stores.append(Store(buffer, self.address(top), data, self.some(top, 1)))
        for k in range(rng.choice([0, 0, 0, 1])):
            group = rng.choice(self.groups)
            graph.checks.append(
                Check(f"check {k}", self.some(group, 1), self.some(group, 1), f"file.v:{k}")
            )
        for k in range(rng.randint(1, 4)):
            node = self.any(top)
            graph.outputs[f"o{k}"] = node
        for group in self.groups[1:]:
            # Every instance is seen.
            for k in range(2):
                if self.pools[group]:
                    node = self.any(group)
                    parts = []
                    for i in range(group.count):
                        number = 0 if node.op == "const" else i
                        port = Port(f"{group.name}_out{k}_{i}", [(node, number)])
                        parts.append(graph.node("port", node.width, attr=port, group=top))
                    while len(parts) > 1:
                        parts = [
                            graph.node("xor", node.width, parts[j : j + 2])
                            if j + 1 < len(parts)
                            else parts[j]
                            for j in range(0, len(parts), 2)
                        ]
                        if rng.random() < 0.5:
                            parts[0] = graph.node("neg", node.width, parts[:1])
                    graph.outputs[f"{group.name}_out{k}"] = parts[0]
        for group in self.groups:
            scope = graph.bodies[group]
            for k, node in enumerate(rng.sample(self.pools[group], min(6, len(self.pools[group])))):
                scope.signals[f"s{k}"] = node
            for memory in graph.memories:
                if memory.group is group:
                    scope.memories[memory.name] = [memory]
