"""What holds for the state of a graph in all cycles."""

from collections import deque
from heapq import heapify, heappop, heappush

from .ir import Graph, Memory, Node, Register, operands
from .values import COMMUTATIVE, measure

__all__ = ["equal_registers", "state_bounds"]

# How often the bounds of a state element grow before they are given up.
_GROWTH = 4


def equal_registers(graph: Graph) -> dict[Register, Register | None]:
    """Registers that equal another one, or their initial value in all cycles (None)."""
    same: dict[Register, Register | None] = {}
    for register in graph.registers:
        if _is_constant(register):
            same[register] = None
    first: dict[int, Register] = {}
    labels = _Labels(graph)
    for register in graph.registers:
        other = first.setdefault(labels.of_register[register], register)
        if other is not register and register not in same:
            same[register] = other
    # A register may be equal to one that is constant.
    for register, other in same.items():
        if other in same:
            same[register] = None
    return same


def _is_constant(register):
    """Whether a register keeps its initial value: it chooses between that and its own."""
    stack = [register.next]
    seen = set()
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        if node.op == "mux":
            stack += node.args[1:]
        elif node.op not in ("const", "register") or node.attr not in (register.init, register):
            return False
    return True


class _Labels:
    """Equal labels for what is equal in all cycles.

    Registers of equal initial values are taken to be equal until their next values have different
    labels; then the smaller part gets a new label, and so does what depends on it.
    """

    def __init__(self, graph):
        self.of_register: dict[Register, int] = {}
        self._labels: dict[Node, int] = {}
        self._known: dict[tuple, int] = {}
        self._count = 0
        self._members: dict[int, list[Register]] = {}
        self._users: dict[Node, list[Node]] = {}
        self._heirs: dict[Node, list[Register]] = {}
        for register in graph.registers:
            label = self._label((register.group, register.width, register.init))
            self.of_register[register] = label
            self._members.setdefault(label, []).append(register)
            self._heirs.setdefault(register.next, []).append(register)
        self._sorted = graph.sorted()
        self._index = {node: k for k, node in enumerate(self._sorted)}
        self._nodes: dict[Register, Node] = {}
        for node in self._sorted:
            if node.op == "register":
                self._nodes[node.attr] = node
            self._labels[node] = self._of_node(node)
            for arg in node.args:
                self._users.setdefault(arg, []).append(node)
        pending = set(self._members)
        while pending:
            pending = self._spread(self._split(pending))

    def _label(self, key):
        label = self._known.get(key)
        if label is None:
            label = self._known[key] = self._count
            self._count += 1
        return label

    def _of_node(self, node):
        if node.op == "register":
            return self.of_register[node.attr]
        if not node.args:
            return self._label((node,))
        labels = [self._labels[arg] for arg in node.args]
        if node.op in COMMUTATIVE:
            labels.sort()
        return self._label((node.op, node.width, node.attr, *labels))

    def _split(self, labels):
        """Registers of these labels that get another one, because their next values differ."""
        changed = []
        for label in sorted(labels):
            parts: dict[int, list[Register]] = {}
            for register in self._members[label]:
                parts.setdefault(self._labels[register.next], []).append(register)
            largest, *rest = sorted(parts.values(), key=len, reverse=True)
            self._members[label] = largest
            for part in rest:
                new = self._count
                self._count += 1
                self._members[new] = part
                for register in part:
                    self.of_register[register] = new
                changed += part
        return changed

    def _spread(self, registers):
        """Label anew what depends on registers; labels of those whose next values have changed."""
        index, nodes = self._index, self._sorted
        heap = [index[self._nodes[register]] for register in registers if register in self._nodes]
        heapify(heap)
        queued = set(heap)
        touched = set()
        while heap:
            node = nodes[heappop(heap)]
            label = self._of_node(node)
            if label == self._labels[node]:
                continue
            self._labels[node] = label
            touched.update(self.of_register[register] for register in self._heirs.get(node, ()))
            for user in self._users.get(node, ()):
                k = index[user]
                if k not in queued:
                    queued.add(k)
                    heappush(heap, k)
        return touched


def state_bounds(graph: Graph, order: list[Node]) -> dict[Register | Memory, tuple[int, int]]:
    """How many bits hold each register and memory word in all cycles; see `measure`.

    They are assumed to hold the initial value and grow until the next values fit.
    """
    state: dict[Register | Memory, tuple[int, int]] = {}
    for register in graph.registers:
        state[register] = measure("const", register.width, (), register.init, {})
    for memory in graph.memories:
        found = [measure("const", memory.width, (), word, {}) for word in memory.words]
        state[memory] = max(u for u, _ in found), max(s for _, s in found)

    users: dict = {}
    for node in order:
        for operand in operands(node):
            users.setdefault(operand, []).append(node)
        if node.op in ("register", "read"):
            users.setdefault(node.attr, []).append(node)
    for register in graph.registers:
        users.setdefault(register.next, []).append(register)
    for memory in graph.memories:
        for write in memory.writes:
            users.setdefault(write.data, []).append(memory)

    bounds: dict[Node, tuple[int, int]] = {}
    growth: dict[Register | Memory, int] = {}
    # State that is not in the order has no value to look at.
    queue: deque = deque([*order, *state])
    queued = set(queue)
    while queue:
        key = queue.popleft()
        queued.discard(key)
        if not isinstance(key, Node):
            if not _grow(key, state, bounds, growth):
                continue
        else:
            if key.op in ("register", "read"):
                new = state[key.attr]
            else:
                new = measure(key.op, key.width, key.args, key.attr, bounds)
            if bounds.get(key) == new:
                continue
            bounds[key] = new
        for user in users.get(key, ()):
            if user not in queued:
                queued.add(user)
                queue.append(user)
    return state


def _grow(key, state, bounds, growth):
    """Make a state element hold its next values; whether it had to grow."""
    nodes = [key.next] if isinstance(key, Register) else [write.data for write in key.writes]
    unsigned, signed = state[key]
    u = max([unsigned, *(bounds[node][0] for node in nodes)])
    s = max([signed, *(bounds[node][1] for node in nodes)])
    if (u, s) == (unsigned, signed):
        return False
    growth[key] = growth.get(key, 0) + 1
    if growth[key] > _GROWTH:  # what still grows will hardly stop: count no longer
        u = key.width if u > unsigned else u
        s = key.width if s > signed else s
    state[key] = (u, s)
    return True
