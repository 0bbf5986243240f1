"""What holds for the state of a graph in all cycles."""

from collections import deque
from heapq import heapify, heappop, heappush

from .ir import Graph, Memory, Node, Register, operands
from .values import COMMUTATIVE, Bounds, any_of, bits_of, bounds_of_words, joined, measure, storage

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
    for register, equal in same.items():
        if equal in same:
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
        touched: set[int] = set()
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


def state_bounds(
    graph: Graph, order: list[Node], *, regular=False
) -> dict[Register | Memory, Bounds]:
    """Bounds of each register and of the words of each memory in all cycles.

    They hold what the state starts with and grow until they hold the next values as well.

    Parameters
    ----------
    graph : Graph
    order : list of Node
        All nodes that registers and memories need, each after its operands.
    regular : bool
        Whether bounds of constants are rounded, so that like structures with different constants
        have equal bounds.
    """
    state: dict[Register | Memory, Bounds] = {}
    for register in graph.registers:
        state[register] = bounds_of_words([register.init], register.width)
    for memory in graph.memories:
        state[memory] = bounds_of_words(memory.words, memory.width)
        if regular and not memory.writes:
            state[memory] = _rounded(state[memory], memory.width)
    keys = [*order, *state]
    rank = {key: k for k, key in enumerate(keys)}
    bounds: dict[Node, Bounds] = {}
    for loop in _loops(keys):
        loop.sort(key=rank.__getitem__)
        users: dict = {}
        for key in loop if len(loop) > 1 else ():
            for source in _sources(key):
                users.setdefault(source, []).append(key)
        growth: dict[Register | Memory, int] = {}
        queue: deque = deque(loop)
        queued = set(loop)
        while queue:
            key = queue.popleft()
            queued.discard(key)
            if not isinstance(key, Node):
                changed = _grow(key, state, bounds, growth)
            elif key.op in ("register", "read"):
                changed = bounds.get(key) != state[key.attr]
                bounds[key] = state[key.attr]
            else:
                new = measure(key.op, key.width, operands(key), key.attr, bounds)
                changed = bounds.get(key) != new
                bounds[key] = new
            for user in users.get(key, ()) if changed else ():
                if user not in queued:
                    queued.add(user)
                    queue.append(user)
    return state


def _rounded(bounds, width):
    """Bounds in whole machine words; symmetric if the smallest number does not occur."""
    unsigned, signed = bits_of(bounds, width)
    if bounds[0] >= 0:
        return any_of(min(width, storage(max(1, unsigned))))
    half = 1 << (min(width, storage(signed)) - 1)
    return max(-half, min(bounds[0], 1 - half)), half - 1


def _sources(key):
    """What the bounds of a node or a state element follow from."""
    if isinstance(key, Register):
        return (key.next,)
    if isinstance(key, Memory):
        return [write.data for write in key.writes]
    if key.op in ("register", "read"):
        return (key.attr,)
    if key.width == 1:
        return ()
    return key.args[1:] if key.op == "mux" else operands(key)


def _loops(keys):
    """Keys in lists, each after what it follows from; those that follow from each other in one.

    Tarjan's algorithm for strongly connected components.
    """
    index: dict = {}
    lowest: dict = {}
    stack: list = []
    open_keys = set()
    for root in keys:
        if root in index:
            continue
        work = []
        new = root
        while True:
            if new is not None:
                index[new] = lowest[new] = len(index)
                stack.append(new)
                open_keys.add(new)
                work.append((new, iter(_sources(new))))
                new = None
            key, rest = work[-1]
            for source in rest:
                if source not in index:
                    new = source
                    break
                if source in open_keys:
                    lowest[key] = min(lowest[key], index[source])
            if new is not None:
                continue
            work.pop()
            if lowest[key] == index[key]:
                first = stack.index(key) if stack[-1] is not key else len(stack) - 1
                loop = stack[first:]
                del stack[first:]
                open_keys.difference_update(loop)
                yield loop
            if not work:
                break
            parent = work[-1][0]
            lowest[parent] = min(lowest[parent], lowest[key])


def _grow(key, state, bounds, growth):
    """Make a state element hold its next values; whether it had to grow."""
    nodes = [key.next] if isinstance(key, Register) else [write.data for write in key.writes]
    old = new = state[key]
    for node in nodes:
        # What is not known yet comes with a later change.
        if node in bounds:
            new = joined(new, bounds[node], key.width)
    if new == old:
        return False
    growth[key] = growth.get(key, 0) + 1
    if growth[key] > _GROWTH:  # what still grows will hardly stop: count no longer
        new = any_of(key.width)
    elif growth[key] > 1:
        # To whole bits, so that a counter does not grow by one each time.
        unsigned, signed = bits_of(new, key.width)
        if new[0] >= 0:
            new = joined(new, any_of(max(1, unsigned)), key.width)
        else:
            new = -(1 << (signed - 1)), (1 << (signed - 1)) - 1
    state[key] = new
    return True
