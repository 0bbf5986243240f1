"""Where to cut values in parts, and which of their bits matter.

Streams carry packed values: six codes of 8 bits in a payload of 48, a window of 25 in 200 bits.
They are joined in one place, travel through registers, memories, multiplexers and ports, and are
taken apart in another. In between each part can travel alone. A `Plan` says at which bits:

- a value wider than a machine word is cut wherever somebody takes a part of it, but not inside of
  a part that somebody needs as a whole;
- any other only where, besides, it was joined: a sum that is taken apart later travels whole;
- neither if the parts are so many that moving them takes more than taking the whole apart.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import pairwise

from .ir import Graph, Memory, Node, Register
from .values import storage

__all__ = ["COMPARED", "SHIFTS", "TRIMMED", "WORD", "Plan"]

WORD = 64
_BITWISE = frozenset(("and", "or", "xor", "not"))
_CHOICES = frozenset(("mux", *_BITWISE))
_WIRES = frozenset(("slice", "concat", "zext"))
_MOVES = frozenset((*_CHOICES, *_WIRES, "sext", "port", "register", "read"))
SHIFTS = frozenset(("shl", "shr", "sshr"))
# Their lowest bits need but the lowest bits of their operands.
TRIMMED = frozenset(("add", "sub", "mul", "neg", *SHIFTS))
# Can be done part by part.
COMPARED = frozenset(("eq", "ne", "reduce_xor"))
# Bits of a part below which a value is taken to be cut everywhere.
_DENSE = 4
# Levels of operations that are looked through.
_DEPTH = 4


def _inside(width):
    """The cuts that a value of so many bits can have: bit p is a cut below bit p of the value."""
    return (1 << width) - 2


def _moved(mask, distance):
    return mask << distance if distance >= 0 else mask >> -distance


def _positions(mask) -> Iterator[int]:
    while mask:
        lowest = mask & -mask
        yield lowest.bit_length() - 1
        mask ^= lowest


class Plan:
    """How to build the nodes of a graph.

    Parameters
    ----------
    graph : Graph
    order : list of Node
        Of all nodes to build, each after its operands.
    state : dict of Register or Memory to int
        How many of its lowest bits are state; the others follow from these.

    Members
    -------
    demand : dict of Node to int
        The bits that the design needs, as a mask; other nodes are needed for observation only.
    """

    def __init__(self, graph: Graph, order: list[Node], state: dict[Register | Memory, int]):
        self._graph = graph
        self._state = state
        self.demand: dict[Node, int] = {}
        self._widths: dict[Node, int] = {}
        self._find_demand(order)
        self._order = [node for node in order if self.demand.get(node)]
        self._forward: dict[Node | Memory, list] = {}
        self._backward: dict[Node | Memory, list] = {}
        self._link()
        narrow, wide = self._needs()
        self._whole = self._spread_back(narrow)
        self._whole_wide = self._spread_back(wide)
        self._joined = self._joins()
        self._forced: dict[Node | Memory, int] = {}
        self._cuts: dict[Node | Memory, int] = {}
        self._find_cuts()

    def width(self, node):
        """At how many bits to compute an arithmetic node."""
        return self._widths.get(node, node.width)

    def pieces(self, key: Node | Memory | Register, *, trim=True) -> list[tuple[int, int]]:
        """First bit and bit after the last of each part of a choice, a port or a state element.

        If ``trim``, bits that nobody needs are in no part.
        """
        if isinstance(key, Register):
            node = self._graph.node("register", key.width, attr=key, group=key.group)
            cuts, width = self._cuts.get(node, 0), self._state[key]
        elif isinstance(key, Memory):
            cuts, width = self._cuts.get(key, 0), self._state[key]
        else:
            cuts, width = self._cuts.get(key, 0), key.width
        if not cuts:
            bounds = [(0, width)]
        else:
            edges = [0, *_positions(cuts & _inside(width)), width]
            bounds = list(pairwise(edges))
        if trim and isinstance(key, Node):
            demand = self.demand[key]
            if demand.bit_count() < width:
                trimmed = [self._trim(key, low, high, demand) for low, high in bounds]
                bounds = [piece for piece in trimmed if piece]
        return bounds

    def _trim(self, node, low, high, demand):
        """What is needed of a part."""
        demand = demand >> low & ((1 << (high - low)) - 1)
        if not demand:
            return None
        first, last = (demand & -demand).bit_length() - 1, demand.bit_length()
        if first == 0 and node.op in _CHOICES:
            args = node.args[1:] if node.op == "mux" else node.args
            if low == 0 and all(_shrinks(arg, last) for arg in args):
                return low, last
        bits = storage(last - first)
        if bits < storage(high - low):
            return low + first, min(high, low + first + bits)
        return low, high

    # Which bits are needed

    def _find_demand(self, order):
        demand = self.demand

        def need(node, mask):
            demand[node] = demand.get(node, 0) | mask

        def need_all(*nodes):
            for node in nodes:
                demand[node] = (1 << node.width) - 1

        graph = self._graph
        need_all(*graph.outputs.values())
        for register in graph.registers:
            need(register.next, (1 << self._state[register]) - 1)
        for memory in graph.memories:
            for write in memory.writes:
                need_all(write.address, write.enable)
                need(write.data, (1 << self._state[memory]) - 1)
        for store in graph.stores:
            need_all(store.address, store.data, store.enable)
        for check in graph.checks:
            need_all(check.enable, check.condition)
        for node in reversed(order):
            bits = demand.get(node)
            if not bits:
                continue
            op, args = node.op, node.args
            if op == "mux":
                need_all(args[0])
                need(args[1], bits)
                need(args[2], bits)
            elif op == "slice":
                need(args[0], bits << node.attr)
            elif op == "concat":
                for part in args:
                    need(part, bits & ((1 << part.width) - 1))
                    bits >>= part.width
            elif op == "zext" or op == "sext":
                (a,) = args
                low = bits & ((1 << a.width) - 1)
                if op == "sext" and bits >> a.width:
                    low |= 1 << (a.width - 1)
                need(a, low)
            elif op in _BITWISE:
                if op in ("and", "or") and args[1].op == "const":
                    mask = args[1].attr if op == "and" else ~args[1].attr
                    need(args[0], bits & mask)
                    need(args[1], bits)
                else:
                    for arg in args:
                        need(arg, bits)
            elif op in TRIMMED:
                self._trim_operation(node, bits.bit_length(), need)
                if op in SHIFTS:
                    need_all(args[1])
            elif op == "port":
                for source in {source for source, _ in node.attr.sources}:
                    need(source, bits)
            else:
                need_all(*args)

    def _trim_operation(self, node, last, need):
        """Of an operation whose lowest ``last`` bits are needed."""
        op, args = node.op, node.args
        values = args[:1] if op in SHIFTS else args
        if op in ("shr", "sshr"):
            last = min(node.width, last + (1 << min(args[1].width, 16)) - 1)
        if last < node.width:
            if op not in ("shr", "sshr") and all(_shrinks(arg, last) for arg in values):
                self._widths[node] = last
            elif storage(last) < storage(node.width):
                self._widths[node] = storage(last)
            else:
                last = node.width
        for arg in values:
            need(arg, (1 << last) - 1)

    # How values move

    def _join(self, producer, consumer, distance, mask):
        """Bit ``p`` of the consumer, of those in ``mask``, is bit ``p + distance`` of producer."""
        if mask and producer.op != "const":
            self._link_keys(producer, consumer, distance, mask)

    def _link_keys(self, producer, consumer, distance, mask):
        self._forward.setdefault(producer, []).append((consumer, distance, mask))
        self._backward.setdefault(consumer, []).append((producer, distance, mask))

    def _link(self):
        for node in self._order:
            op, args, inside = node.op, node.args, _inside(node.width)
            if op == "slice":
                self._join(args[0], node, node.attr, inside)
            elif op == "concat":
                offset = 0
                for part in args:
                    self._join(part, node, -offset, _inside(part.width) << offset)
                    offset += part.width
            elif op == "zext" or op == "sext":
                self._join(args[0], node, 0, _inside(args[0].width))
            elif op == "mux":
                self._join(args[1], node, 0, inside)
                self._join(args[2], node, 0, inside)
            elif op in _BITWISE:
                for arg in args:
                    self._join(arg, node, 0, inside)
            elif op == "port":
                for source in dict.fromkeys(source for source, _ in node.attr.sources):
                    self._join(source, node, 0, inside)
            elif op == "read":
                self._link_keys(node.attr, node, 0, inside)
        for register in self._graph.registers:
            node = self._graph.node("register", register.width, attr=register, group=register.group)
            self._join(register.next, node, 0, _inside(self._state[register]))
        for memory in self._graph.memories:
            for data in dict.fromkeys(write.data for write in memory.writes):
                self._join(data, memory, 0, _inside(self._state[memory]))

    def _needs(self):
        """Parts that are needed whole, by machine words and by more."""
        narrow: dict[Node | Memory, int] = {}
        wide: dict[Node | Memory, int] = {}

        def need(node, width):
            if node.op != "const":
                where = narrow if width <= WORD else wide
                where[node] = where.get(node, 0) | _inside(width)

        for node in self._order:
            op = node.op
            if op == "read":
                need(node.args[0], node.args[0].width)
            elif op in TRIMMED:
                need(node.args[0], self.width(node))
                if len(node.args) > 1:
                    second = node.args[1]
                    need(second, second.width if op in SHIFTS else self.width(node))
            elif op not in _MOVES and op not in COMPARED:
                for arg in node.args:
                    need(arg, arg.width)
        for memory in self._graph.memories:
            for write in memory.writes:
                need(write.address, write.address.width)
        for store in self._graph.stores:
            need(store.address, store.address.width)
        return narrow, wide

    def _spread_back(self, masks):
        """To whatever is moved there."""
        queue = deque(reversed(list(masks)))
        queued = set(queue)
        while queue:
            key = queue.popleft()
            queued.discard(key)
            for producer, distance, mask in self._backward.get(key, ()):
                old = masks.get(producer, 0)
                new = old | _moved(masks[key] & mask, distance)
                if new != old:
                    masks[producer] = new
                    if producer not in queued:
                        queued.add(producer)
                        queue.append(producer)
        return masks

    def _joins(self):
        """Where cutting costs nothing: where values were joined, anywhere in what comes in."""
        joined: dict[Node | Memory, int] = {}
        key: Node | Memory
        for key in self._order:
            op = key.op
            if op == "sext":
                joined[key] = _inside(key.args[0].width)
            elif op in _MOVES or op in ("input", "load", "const"):
                joined[key] = _inside(key.width)
            else:
                joined[key] = 0
        for memory in self._graph.memories:
            joined[memory] = _inside(memory.width)
        queue = deque(key for key in joined if self._forward.get(key))
        queued = set(queue)
        while queue:
            key = queue.popleft()
            queued.discard(key)
            for consumer, distance, mask in self._forward.get(key, ()):
                old = joined.get(consumer)
                if old is None:
                    continue
                new = old & (~mask | _moved(joined[key], -distance))
                if new != old:
                    joined[consumer] = new
                    if consumer not in queued:
                        queued.add(consumer)
                        queue.append(consumer)
        return joined

    # Cuts

    def _wanted(self):
        """Where somebody takes a part."""
        wanted: dict[Node | Memory, int] = {}

        def want(node, position):
            if node.op != "const" and 0 < position < node.width:
                wanted[node] = wanted.get(node, 0) | 1 << position

        for node in self._order:
            if node.op == "slice":
                want(node.args[0], node.attr)
                want(node.args[0], node.attr + node.width)
            elif node in self._widths:
                for arg in node.args[:1] if node.op in SHIFTS else node.args:
                    want(arg, self._widths[node])
            if node.width > WORD and node.op in _MOVES:
                demand = self.demand[node]
                edges = (demand ^ demand << 1) & _inside(node.width)
                if edges:
                    wanted[node] = wanted.get(node, 0) | edges
        return wanted

    def _allowed(self, key, wanted):
        mask = wanted & ~self._whole.get(key, 0)
        if key.width > WORD:
            return mask | self._forced.get(key, 0)
        return mask & self._joined.get(key, 0)

    def _find_cuts(self):
        wanted = self._wanted()
        self._spread_cuts(wanted, list(wanted))
        keys: list[Node | Memory] = [*self._graph.memories, *self._order]
        wide = [
            key
            for key in keys
            if key.width > WORD and (isinstance(key, Memory) or key.op in _MOVES)
        ]
        # Parts that are still too wide are cut also where somebody takes a part across another one,
        while changed := self._force(wide, self._crossing, wanted):
            self._spread_cuts(wanted, changed)
        self._prune()
        # then anywhere.
        self._force(wide, self._anywhere, wanted)

    def _force(self, keys, choose, wanted):
        """Cut parts that are too wide; returns the keys that were cut."""
        changed = []
        for key in keys:
            cuts, mask = self._cuts.get(key, 0), 0
            for low, high in pairwise([0, *_positions(cuts), key.width]):
                if high - low > WORD:
                    mask |= choose(key, low, high, wanted)
            if mask & ~cuts:
                self._forced[key] = self._forced.get(key, 0) | mask
                self._cuts[key] = cuts | mask
                changed.append(key)
        return changed

    def _prune(self):
        """Take back cuts that make more work than they save.

        Cuts that follow from each other, such as the one below the second byte of all that a packed
        value passes, stand or fall together; and so do all cuts of values that are cut almost
        everywhere, such as words of which any bit may come to any place.
        """
        savings = self._savings()
        dense = {key for key, cuts in self._cuts.items() if cuts.bit_count() > key.width // _DENSE}
        values: _Sets = _Sets()
        for key in dense:
            for producer, _, _ in self._backward.get(key, ()):
                if producer in dense:
                    values.join(key, producer)
        total: dict = {}
        for key in dense:
            root = values.root(key)
            total[root] = total.get(root, 0) + sum(amount for _, amount in savings.get(key, ()))
        for key in dense:
            if total[values.root(key)] < 0:
                self._cuts[key] = 0

        places: _Sets = _Sets()
        total = {}
        for key, cuts in self._cuts.items():
            if key in dense:
                continue
            for producer, distance, mask in self._backward.get(key, ()):
                if producer not in dense:
                    other = _moved(self._cuts.get(producer, 0), -distance)
                    for position in _positions(cuts & mask & other):
                        places.join((key, position), (producer, position + distance))
        for key, entries in savings.items():
            for positions, amount in entries if key not in dense else ():
                for position in positions:
                    root = places.root((key, position))
                    total[root] = total.get(root, 0) + amount / len(positions)
        for key, cuts in self._cuts.items():
            for position in _positions(cuts) if key not in dense else ():
                if total.get(places.root((key, position)), 0) < 0:
                    self._cuts[key] &= ~(1 << position)

    def _savings(self):
        """For each key what its cuts save: (positions, amount), in what it takes to do a byte."""
        savings: dict[Node | Memory, list[tuple[list[int], int]]] = {}
        for key, cuts in self._cuts.items():
            positions = list(_positions(cuts))
            if not positions:
                continue
            entries = savings[key] = []
            if isinstance(key, Memory) or key.op not in _WIRES:
                entries.append((positions, _saving(key.width, positions)))
            elif key.op == "concat":
                offset = 0
                for part in key.args[:-1]:
                    offset += part.width
                    if cuts >> offset & 1:
                        entries.append(([offset], min(_bytes(key.width), _bytes(WORD))))
        for node in self._order:
            if node.op == "slice":
                (a,) = node.args
                cuts = self._cuts.get(a, 0)
                ends = [p for p in (node.attr, node.attr + node.width) if cuts >> p & 1]
                if ends:
                    savings[a].append((ends, min(_bytes(a.width), _bytes(WORD))))
            elif node.op in COMPARED:
                for a in node.args:
                    positions = list(_positions(self._cuts.get(a, 0)))
                    if positions:
                        results = len(positions)  # to be combined
                        savings[a].append((positions, _saving(a.width, positions) - results))
        return savings

    def _crossing(self, key, low, high, wanted):
        return wanted.get(key, 0) & _between(low, high)

    def _anywhere(self, key, low, high, wanted):
        mask = 0
        for position in range(low + WORD, high, WORD):
            mask |= 1 << position
        return mask & ~self._whole_wide.get(key, 0)

    def _spread_cuts(self, wanted, keys: Iterable[Node | Memory]):
        """From where parts are taken to whatever is moved there."""
        cuts = self._cuts
        queue = deque(reversed(list(keys)))
        queued = set(queue)
        while queue:
            key = queue.popleft()
            queued.discard(key)
            mine = cuts[key] = self._allowed(key, wanted.get(key, 0))
            for producer, distance, mask in self._backward.get(key, ()):
                old = wanted.get(producer, 0)
                new = old | _moved(mine & mask, distance)
                if new != old:
                    wanted[producer] = new
                    if producer not in queued:
                        queued.add(producer)
                        queue.append(producer)


def _shrinks(node, bits, depth=_DEPTH):
    """Whether the lowest ``bits`` alone are as easy to compute as the whole, or easier."""
    if node.width <= bits or node.op in ("const", "slice"):
        return True
    if node.op in ("zext", "sext"):
        return _shrinks(node.args[0], bits, depth)
    if depth == 0:
        return False
    args = node.args
    if node.op == "mux":
        args = args[1:]
    elif node.op == "shl":
        args = args[:1]
    elif node.op not in ("add", "sub", "mul", "neg", *_BITWISE):
        return False
    return all(_shrinks(arg, bits, depth - 1) for arg in args)


class _Sets:
    """Disjoint sets that grow together."""

    def __init__(self):
        self._parents: dict = {}

    def root(self, item):
        """The same item for all of a set."""
        parents = self._parents
        while (above := parents.setdefault(item, item)) != item:
            parents[item] = parents[above]
            item = above
        return item

    def join(self, a, b):
        """Make one set of two."""
        self._parents[self.root(a)] = self.root(b)


def _bytes(width):
    return max(8, storage(width)) // 8


def _saving(width, positions):
    """What it saves to do an operation in parts."""
    parts = pairwise([0, *positions, width])
    return _bytes(width) - sum(_bytes(high - low) for low, high in parts)


def _between(low, high):
    """Cuts strictly between two bits."""
    return (1 << high) - (2 << low)
