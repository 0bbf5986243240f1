"""A plain interpreter of the compiled engine's netlists: the oracle of its passes and its code.

Python's integers, one value after the other, each operation as the text of `ir` says it.
"""

__all__ = ["Interpreter", "check", "evaluate"]


def check(graph):
    """Raise `AssertionError` if a graph breaks a rule of the module `ir`."""
    nodes = graph.sorted(node for scope in _scopes(graph) for node in scope.signals.values())
    for node in nodes:
        _check_node(graph, node)
    for name, node in graph.inputs.items():
        assert (node.op, node.attr, node.group) == ("input", name, graph.top), name
    for name, node in graph.outputs.items():
        assert node.group is graph.top, name
    used = {kind: {n.attr for n in nodes if n.op == kind} for kind in ("register", "read", "load")}
    assert used["register"] <= set(graph.registers), used["register"] - set(graph.registers)
    assert used["read"] <= set(graph.memories), used["read"] - set(graph.memories)
    assert used["load"] <= set(graph.buffers), used["load"] - set(graph.buffers)
    for register in graph.registers:
        assert register.width >= 1 and 0 <= register.init < 1 << register.width, register
        assert register.next.width == register.width, register
        assert register.next.group is register.group, register
        assert register.group in graph.bodies, register
    for memory in graph.memories:
        assert memory.width >= 1 and memory.depth >= 1 and len(memory.init) <= memory.depth, memory
        assert all(0 <= word < 1 << memory.width for word in memory.init), memory
        for write in memory.writes:
            assert (write.data.width, write.enable.width) == (memory.width, 1), memory
            assert all(
                node.group is memory.group for node in (write.address, write.data, write.enable)
            ), memory
    for buffer in graph.buffers:
        assert 1 <= buffer.width <= 64, buffer
    for store in graph.stores:
        assert store.buffer in graph.buffers, store
        assert (store.data.width, store.enable.width) == (store.buffer.width, 1), store
        assert all(node.group is graph.top for node in (store.address, store.data, store.enable)), (
            store
        )
    for one in graph.checks:
        assert one.enable.width == one.condition.width == 1, one
        assert one.enable.group is one.condition.group, one
    for group, scope in graph.bodies.items():
        assert scope.group is group, scope
        assert len(set(group.instances)) == group.count, group
    for scope in _scopes(graph):
        for name, node in scope.signals.items():
            assert node.group is scope.group, (name, node)
        for name, memories in scope.memories.items():
            for memory in memories:
                assert memory in graph.memories and memory.group is scope.group, (name, memory)
        for name, child in scope.children.items():
            if isinstance(child, tuple):
                group, numbers = child
                assert group in graph.bodies, name
                assert len(numbers) == scope.group.count, name
                assert all(0 <= number < group.count for number in numbers), name
            else:
                assert child.group is scope.group, name


def _check_node(graph, node):
    """Widths, groups and attribute of a node."""
    op, width, args, attr = node.op, node.width, node.args, node.attr
    widths = [arg.width for arg in args]
    assert isinstance(width, int) and width >= 1, node
    assert node.group in graph.bodies, node
    assert all(arg.group is node.group for arg in args), node
    if op == "const":
        assert not args and 0 <= attr < 1 << width, node
    elif op == "input":
        assert graph.inputs[attr] is node, node
    elif op == "register":
        assert not args and attr.width == width and attr.group is node.group, node
    elif op == "port":
        assert len(attr.sources) == node.group.count, node
        for source, instance in attr.sources:
            assert source.width == width, node
            assert 0 <= instance < source.group.count, node
            assert source.op != "const" or instance == 0, node
    elif op == "read":
        assert len(args) == 1 and attr.width == width and attr.group is node.group, node
    elif op == "load":
        assert len(args) == 1 and attr.width == width and node.group is graph.top, node
    elif op == "slice":
        assert len(args) == 1 and 0 <= attr <= widths[0] - width, node
    elif op == "concat":
        assert args and sum(widths) == width, node
    elif op in ("zext", "sext"):
        assert len(args) == 1 and widths[0] < width, node
    elif op in ("not", "neg"):
        assert widths == [width], node
    elif op in _SHIFTS:
        assert len(args) == 2 and widths[0] == width, node
    elif op in _COMPARISONS:
        assert len(args) == 2 and widths[0] == widths[1] and width == 1, node
    elif op in _REDUCTIONS:
        assert len(args) == 1 and width == 1, node
    elif op == "mux":
        assert widths == [1, width, width], node
    else:
        assert op in _BINARY and widths == [width, width], node
    if op not in ("const", "input", "register", "port", "read", "load", "slice"):
        assert attr is None, node


def _signed(value, width):
    return value - (1 << width) if value >> (width - 1) else value


def _div_trunc(a, b):
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


# Of two signed or unsigned operands; never divided by 0.
_DIVISIONS = {
    "div_floor": lambda a, b: a // b,
    "mod_floor": lambda a, b: a % b,
    "sdiv_floor": lambda a, b: a // b,
    "smod_floor": lambda a, b: a % b,
    "sdiv_trunc": _div_trunc,
    "smod_trunc": lambda a, b: a - b * _div_trunc(a, b),
}
_MODULAR = {
    "and": lambda a, b: a & b,
    "or": lambda a, b: a | b,
    "xor": lambda a, b: a ^ b,
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
}
_BINARY = _DIVISIONS.keys() | _MODULAR.keys()
_SHIFTS = ("shl", "shr", "sshr")
_COMPARISONS = {
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "ult": lambda a, b: a < b,
    "ule": lambda a, b: a <= b,
    "slt": lambda a, b: a < b,
    "sle": lambda a, b: a <= b,
}
_REDUCTIONS = {
    "reduce_and": lambda a, width: a == (1 << width) - 1,
    "reduce_or": lambda a, width: a != 0,
    "reduce_xor": lambda a, width: a.bit_count() % 2,
}


def evaluate(op, width, attr, values, widths):
    """The value of an operation of these operands that is not state, a port or a constant."""
    mask = (1 << width) - 1
    if op == "slice":
        return values[0] >> attr & mask
    if op == "concat":
        result = shift = 0
        for value, size in zip(values, widths, strict=True):
            result |= value << shift
            shift += size
        return result
    if op == "zext":
        return values[0]
    if op == "sext":
        return _signed(values[0], widths[0]) & mask
    if op == "not":
        return ~values[0] & mask
    if op == "neg":
        return -values[0] & mask
    if op in _MODULAR:
        return _MODULAR[op](*values) & mask
    if op in _DIVISIONS:
        if values[1] == 0:
            return 0
        if op.startswith("s"):
            values = [_signed(value, width) for value in values]
        return _DIVISIONS[op](*values) & mask
    if op in _SHIFTS:
        value, amount = values
        amount = min(amount, width)
        if op == "shl":
            return value << amount & mask
        return (_signed(value, width) if op == "sshr" else value) >> amount & mask
    if op in _COMPARISONS:
        if op.startswith("s"):
            values = [_signed(value, widths[0]) for value in values]
        return int(_COMPARISONS[op](*values))
    if op in _REDUCTIONS:
        return int(_REDUCTIONS[op](values[0], widths[0]))
    if op == "mux":
        return values[1] if values[0] else values[2]
    raise AssertionError(f"unknown operation {op}")


def _scopes(graph):
    """Every scope of every group's body."""
    stack = list(graph.bodies.values())
    while stack:
        scope = stack.pop()
        yield scope
        stack.extend(child for child in scope.children.values() if not isinstance(child, tuple))


class Interpreter:
    """One lane of a `Graph`.

    Parameters
    ----------
    graph : Graph
    buffers : dict of name to list of int
        Contents; the lists are changed by stores. A buffer that is missing is empty.
    observe : bool
        Whether `signals` gives values of wires, which costs time.

    Members
    -------
    registers, memories : dict of `Register` or `Memory` to a list per instance
    violations : list of (cycle, message, instance)
    cycle : int
        Number of edges so far.
    """

    def __init__(self, graph, buffers=None, *, observe=False):
        self.graph = graph
        self.buffers = {buffer.name: [] for buffer in graph.buffers} | (buffers or {})
        self.registers = {r: [r.init] * r.group.count for r in graph.registers}
        self.memories = {
            m: [m.init + [0] * (m.depth - len(m.init)) for _ in range(m.group.count)]
            for m in graph.memories
        }
        self.violations = []
        self.cycle = 0
        self._inputs = dict.fromkeys(graph.inputs, 0)
        wires = (node for scope in _scopes(graph) for node in scope.signals.values())
        self._order = graph.sorted(wires if observe else ())
        self._values = {}

    def step(self, inputs=None):
        """Outputs by name before the clock's edge, for these inputs; then the edge.

        An input that is not given stays as it was, 0 at first.
        """
        outputs = self.settle(inputs)
        self._edge()
        return outputs

    def settle(self, inputs=None):
        """Outputs by name for these inputs, without an edge."""
        for name, value in (inputs or {}).items():
            width = self.graph.inputs[name].width
            assert 0 <= value < 1 << width, (name, value)
            self._inputs[name] = value
        values = self._values = {}
        for node in self._order:
            values[node] = [self._value(node, i) for i in range(node.group.count)]
        return {name: values[node][0] for name, node in self.graph.outputs.items()}

    def signals(self):
        """Values of all wires by path, as of the last `settle` or before the last edge.

        Where an instance has a name of its own for a wire, the path has that one.
        """
        result = {}
        for group, body in self.graph.bodies.items():
            renamed = self.graph.renamed.get(group, [None] * group.count)
            own = [{b: a for a, b in (names or {}).items()} for names in renamed]
            stack = [((), body)]
            while stack:
                path, scope = stack.pop()
                for name, node in scope.signals.items():
                    place = ".".join((*path, name))
                    for k, value in enumerate(self._values[node]):
                        instance = group.instances[k]
                        found = own[k].get(place, place)
                        result[f"{instance}.{found}" if instance else found] = value
                for name, child in scope.children.items():
                    if not isinstance(child, tuple):
                        stack.append(((*path, name), child))
        return result

    def _value(self, node, instance):
        if node.op == "const":
            return node.attr
        if node.op == "input":
            return self._inputs[node.attr]
        if node.op == "register":
            return self.registers[node.attr][instance]
        if node.op == "port":
            source, number = node.attr.sources[instance]
            return self._values[source][number]
        values = [self._values[arg][instance] for arg in node.args]
        if node.op == "read":
            words = self.memories[node.attr][instance]
            return words[values[0]] if values[0] < len(words) else 0
        if node.op == "load":
            words = self.buffers[node.attr.name]
            return words[values[0]] if values[0] < len(words) else 0
        return evaluate(node.op, node.width, node.attr, values, [arg.width for arg in node.args])

    def _edge(self):
        values = self._values
        for one in self.graph.checks:
            for instance in range(one.enable.group.count):
                if values[one.enable][instance] and not values[one.condition][instance]:
                    self.violations.append((self.cycle, one.message, instance))
        for store in self.graph.stores:
            words, address = self.buffers[store.buffer.name], values[store.address][0]
            if values[store.enable][0] and address < len(words):
                words[address] = values[store.data][0]
        for memory in self.graph.memories:
            for write in memory.writes:
                for instance, words in enumerate(self.memories[memory]):
                    address = values[write.address][instance]
                    if values[write.enable][instance] and address < memory.depth:
                        words[address] = values[write.data][instance]
        for register in self.graph.registers:
            self.registers[register] = list(values[register.next])
        self.cycle += 1
