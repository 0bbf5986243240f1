"""A graph of equal behaviour that is faster to simulate.

`simplify` folds what is constant, computes at the smallest machine word that holds the result,
takes packed values apart so that each part is a value of its own, and merges equal state.
"""

from bisect import bisect_right
from collections.abc import Iterator
from itertools import pairwise
from operator import itemgetter

from .fold import Builder
from .ir import (
    Check,
    Graph,
    Memory,
    Node,
    Register,
    Scope,
    Store,
    Write,
    operands,
    without_collection,
)
from .split import COMPARED, SHIFTS, TRIMMED, WORD, Plan
from .state import equal_registers, state_bounds
from .values import Bounds, bits_of, bounds_of_part, storage

__all__ = ["simplify"]

_CHOICES = frozenset(("mux", "and", "or", "xor", "not"))


@without_collection()
def simplify(graph: Graph, *, regular=True) -> Graph:
    """A graph that behaves like ``graph`` and computes less.

    Outputs, checks, stores and all named signals have the same values in every cycle. All state
    stays, but for registers that are constant or equal to others. Wide registers and memories may
    come in parts: `Scope.memories` lists the parts of a memory, lowest bits first.

    Parameters
    ----------
    graph : Graph
        Its registers, memories and nodes stay as they are; groups and buffers are shared.
    regular : bool
        Whether structures that differ in the contents of memories only stay alike, so that they can
        become one vector; otherwise each is as narrow as its own constants allow, which is better
        where vectors run over lanes.
    """
    graph = _Transfer(graph).graph
    graph = _Transfer(graph, split=True, regular=regular).graph
    # More is known of parts than of what they were packed in.
    same = equal_registers(graph)
    return _Transfer(graph, split=True, regular=regular, same=same).graph if same else graph


def _scopes(graph) -> Iterator[Scope]:
    stack = list(graph.bodies.values())
    while stack:
        scope = stack.pop()
        yield scope
        stack += [child for child in scope.children.values() if isinstance(child, Scope)]


# A part of a value: first bit, bit after the last, and the node, None if nobody needs it.
_Part = tuple[int, int, Node | None]


class _Transfer:
    """Builds a graph anew.

    Parameters
    ----------
    old : Graph
    split : bool
        Whether to cut values in parts and to leave out bits that nobody needs.
    regular : bool
        See `simplify`.
    same : dict of Register to Register or None, optional
        Registers to replace: by another one, or by their initial value.

    Members
    -------
    graph : Graph
    """

    def __init__(self, old: Graph, *, split=False, regular=False, same=None):
        self._old = old
        self._same: dict[Register, Register | None] = same or {}
        self.graph = graph = Graph()
        graph.top, graph.clock, graph.buffers = old.top, old.clock, old.buffers
        self._build = Builder(graph)
        # What nodes have become: a node or parts.
        self._made: dict[Node, Node | list[_Part]] = {}
        self._wholes: dict[Node, Node] = {}  # of parts, put together
        self._registers: list[tuple[Register, int, int, Register]] = []
        self._memories: dict[Memory, list[tuple[int, int, Memory]]] = {}
        self._bounds: dict[Register | Memory, Bounds] = {}
        self._observing = False  # every bit counts, whether the design needs it or not

        names = [node for scope in _scopes(old) for node in scope.signals.values()]
        order = old.sorted(names)
        needed = old.sorted() if split else order
        if split:
            self._bounds = state_bounds(old, needed, regular=regular)
        state: list[Register | Memory] = [*old.registers, *old.memories]
        self._kept = {key: self._keep(key) for key in state}
        self._plan = Plan(old, needed, self._kept) if split else None
        for register in old.registers:
            self._make_register(register)
        for register, other in self._same.items():
            if other is not None:
                self._made[self._node_of(register)] = self._made[self._node_of(other)]
        for memory in old.memories:
            self._make_memory(memory)
        for node in order:
            if node not in self._made and (not self._plan or self._plan.demand.get(node)):
                self._made[node] = self._make(node)
        self._connect()
        self._name(order)

    # State

    def _keep(self, key: Register | Memory) -> int:
        """Of how many bits a state element is made; the others follow from these."""
        if key not in self._bounds or isinstance(key, Memory):
            return key.width
        bits = storage(max(1, min(bits_of(self._bounds[key], key.width))))
        return bits if bits < storage(key.width) else key.width

    def _pieces(self, key: Register | Memory) -> list[tuple[int, int]]:
        return self._plan.pieces(key) if self._plan else [(0, key.width)]

    def _make_register(self, register):
        build, group = self._build, register.group
        if register in self._same:
            if self._same[register] is None:
                constant = build.const(register.init, register.width, group)
                self._made[self._node_of(register)] = constant
            return
        parts: list[_Part] = []
        pieces = self._pieces(register)
        for low, high in pieces:
            bounds = self._part_bounds(register, low, high)
            if bounds is not None and bounds[0] == bounds[1]:
                parts.append((low, high, build.const(bounds[0], high - low, group)))
                continue
            init = register.init >> low & ((1 << (high - low)) - 1)
            new = Register(_part_name(register, low, high, pieces), high - low, init, group)
            self.graph.registers.append(new)
            self._registers.append((register, low, high, new))
            parts.append((low, high, build.register(new, bounds)))
        self._made[self._node_of(register)] = self._extended(register, parts)

    def _make_memory(self, memory):
        pieces = self._pieces(memory)
        self._memories[memory] = parts = []
        for low, high in pieces:
            name = _part_name(memory, low, high, pieces)
            new = Memory(name, high - low, memory.depth, [], memory.group)
            new.init = _part_of_words(memory.init, memory.width, low, high)
            if memory.inits is not None:
                new.inits = [_part_of_words(i, memory.width, low, high) for i in memory.inits]
            # To be replaced when they are built; until then they say that it is no ROM.
            new.writes = [w for w in memory.writes if w.enable.op != "const" or w.enable.attr]
            self.graph.memories.append(new)
            parts.append((low, high, new))

    def _node_of(self, register):
        return self._old.node("register", register.width, attr=register, group=register.group)

    def _part_bounds(self, key, low, high):
        """Bounds of a part of a state element, or None if nothing is known."""
        if key not in self._bounds:
            return None
        return bounds_of_part(self._bounds[key], low, high - low)

    def _extended(self, register, parts):
        """Parts of a register, and what follows above from its highest bit."""
        build, kept, width = self._build, self._kept[register], register.width
        if kept == width:
            return _simplest(parts)
        signed = bits_of(self._bounds[register], width)[0] > kept
        low, high, top = parts[-1]
        if len(parts) == 1:
            return build.sext(top, width) if signed else build.zext(top, width)
        if signed:
            above = build.sext(build.slice(top, high - low - 1, 1), width - kept)
        else:
            above = build.const(0, width - kept, register.group)
        return [*parts, (kept, width, above)]

    # Nodes

    def _bits(self, node, low, high, need=None) -> Node:
        """Bits of a node in the new graph; those from ``need`` on do not matter."""
        made = self._made.get(node)
        if made is None:  # nobody needs any of its bits
            return self._build.const(0, high - low, node.group)
        if isinstance(made, Node):
            return self._build.slice(made, low, high - low)
        if low or high < node.width or need is not None:
            return self._joined(
                node, self._cut(made, low, high if need is None else need), high - low
            )
        whole = self._wholes.get(node)
        if whole is None:
            self._wholes[node] = whole = self._joined(node, made, high)
        return whole

    def _whole(self, node) -> Node:
        return self._bits(node, 0, node.width)

    def _cut(self, parts: list[_Part], low, high) -> list[_Part]:
        """Parts of bits ``low`` to ``high - 1``."""
        result = []
        for k in range(bisect_right(parts, low, key=itemgetter(1)), len(parts)):
            start, stop, part = parts[k]
            if start >= high:
                break
            first, last = max(start, low), min(stop, high)
            if part is not None:
                part = self._build.slice(part, first - start, last - first)
            result.append((first - low, last - low, part))
        return result

    def _joined(self, node, parts: list[_Part], width) -> Node:
        """Parts in one; bits that nobody needs are 0."""
        build, group = self._build, node.group
        nodes = [
            build.const(0, stop - start, group) if part is None else part
            for start, stop, part in parts
        ]
        missing = width - parts[-1][1]
        if missing:
            nodes.append(build.const(0, missing, group))
        return build.concat(nodes)

    def _make(self, node) -> Node | list[_Part]:
        """What a node becomes."""
        op, args, width, build, plan = node.op, node.args, node.width, self._build, self._plan
        if op == "const":
            return build.const(node.attr, width, node.group)
        if op in _CHOICES or op == "port":
            if plan is None:
                return self._choice(node, 0, width)
            pieces = plan.pieces(node, trim=not self._observing)
            return _simplest(
                _without_gaps(
                    [(low, high, self._choice(node, low, high)) for low, high in pieces], width
                )
            )
        if op == "slice":
            made = self._made.get(args[0])
            if isinstance(made, list):
                return _simplest(self._cut(made, node.attr, node.attr + width))
            return self._bits(args[0], node.attr, node.attr + width)
        if op in ("concat", "zext") and plan is not None:
            parts, offset = [], 0
            for arg in args:
                parts += self._moved(arg, offset)
                offset += arg.width
            if op == "zext":
                parts.append((offset, width, build.const(0, width - offset, node.group)))
            return parts
        if op == "read":
            return self._read(node)
        if op in TRIMMED and plan is not None and not self._observing:
            return self._operation(node, plan)
        if op in COMPARED and plan is not None and self._is_in_parts(args):
            return self._compared(node)
        return build.node(op, width, [self._whole(arg) for arg in args], node.attr, node.group)

    def _moved(self, node, offset) -> list[_Part]:
        """Parts of a node as they lie further up."""
        made = self._made.get(node)
        if isinstance(made, list):
            return [(low + offset, high + offset, part) for low, high, part in made]
        return [(offset, offset + node.width, made)]

    def _choice(self, node, low, high) -> Node:
        """A part of a multiplexer, a bitwise operation or a port."""
        build, bits = self._build, self._bits
        if node.op == "mux":
            s, a, b = node.args
            return build.mux(self._whole(s), bits(a, low, high), bits(b, low, high))
        if node.op == "port":
            port = node.attr
            made = {source: bits(source, low, high) for source in operands(node)}
            sources = [(made[source], k) for source, k in port.sources]
            name = _part_name(port, low, high, [(low, high)] if high - low == node.width else [])
            nodes = dict.fromkeys(made.values())
            return build.port(name, high - low, sources, node.group, nodes)
        return build.node(node.op, high - low, [bits(arg, low, high) for arg in node.args])

    def _read(self, node):
        build, address = self._build, self._whole(node.args[0])
        demand = -1
        if self._plan is not None and not self._observing:
            demand = self._plan.demand[node]
        parts: list[_Part] = []
        for low, high, memory in self._memories[node.attr]:
            word = None
            if demand >> low & ((1 << (high - low)) - 1):
                word = build.read(memory, address, self._part_bounds(node.attr, low, high))
            parts.append((low, high, word))
        return _simplest(parts)

    def _operation(self, node, plan):
        """Arithmetic or a shift, of its lowest bits only if these are all that is needed."""
        op, args, width = node.op, node.args, plan.width(node)
        if width == node.width:
            return self._build.node(op, width, [self._whole(arg) for arg in args])
        if op in SHIFTS:
            values = [self._bits(args[0], 0, width), self._whole(args[1])]
            op = "shl" if op == "shl" else "shr"  # the sign does not get to the bits that count
        else:
            need = plan.demand[node].bit_length()
            values = [self._bits(arg, 0, width, need) for arg in args]
        return _without_gaps([(0, width, self._build.node(op, width, values))], node.width)

    def _is_in_parts(self, args):
        """Whether values are compared part by part: if wide, or if their parts fit together."""
        if args[0].width > WORD:
            return True
        made = [self._made.get(arg) for arg in args if arg.op != "const"]
        edges = {
            tuple(low for low, _, _ in parts) if isinstance(parts, list) else () for parts in made
        }
        return len(edges) == 1 and edges != {()}

    def _compared(self, node):
        """A comparison or parity of wide values, part by part."""
        build, op = self._build, node.op
        inner, combine = ("eq", "and") if op != "reduce_xor" else (op, "xor")
        edges = {0, node.args[0].width}
        for arg in node.args:
            made = self._made.get(arg)
            if isinstance(made, list):
                edges.update(low for low, _, _ in made)
        result = None
        for low, high in pairwise(sorted(edges)):
            for start in range(low, high, WORD):
                stop = min(high, start + WORD)
                part = build.node(inner, 1, [self._bits(arg, start, stop) for arg in node.args])
                result = part if result is None else build.node(combine, 1, (result, part))
        return build.invert(result) if op == "ne" else result

    # What the nodes are for

    def _connect(self):
        old, graph, build = self._old, self.graph, self._build
        for name, node in old.inputs.items():
            graph.inputs[name] = build.node("input", node.width, (), node.attr, node.group)
        for name, node in old.outputs.items():
            graph.outputs[name] = self._whole(node)
        for register, low, high, new_register in self._registers:
            new_register.next = self._bits(register.next, low, high)
        for memory in old.memories:
            for low, high, new_memory in self._memories[memory]:
                new_memory.writes = []
                for write in memory.writes:
                    enable, address = self._whole(write.enable), self._whole(write.address)
                    if enable.op == "const" and not enable.attr:
                        continue
                    if address.op == "zext":
                        address = address.args[0]
                    data = self._bits(write.data, low, high)
                    new_memory.writes.append(Write(address, data, enable))
        for store in old.stores:
            values = (self._whole(node) for node in (store.address, store.data, store.enable))
            graph.stores.append(Store(store.buffer, *values))
        for check in old.checks:
            enable, condition = self._whole(check.enable), self._whole(check.condition)
            graph.checks.append(Check(check.message, enable, condition, check.source))

    def _is_partial(self, node):
        """Whether a node has not been made in full."""
        if self._plan is None or node.op == "register":
            return False
        return self._plan.demand.get(node, 0).bit_count() < node.width

    def _name(self, order):
        """Scopes, with every signal in full."""
        stack = [node for scope in _scopes(self._old) for node in scope.signals.values()]
        partial = set()
        while stack:
            node = stack.pop()
            if node not in partial and self._is_partial(node):
                partial.add(node)
                stack += operands(node)
        self._observing = True
        for node in order:
            if node in partial:
                self._wholes.pop(node, None)
                self._made[node] = self._make(node)
        copies: dict[int, Scope] = {}
        for scope in _scopes(self._old):
            signals = {name: self._whole(node) for name, node in scope.signals.items()}
            memories = {
                name: [part for old in whole for _, _, part in self._memories[old]]
                for name, whole in scope.memories.items()
            }
            copies[id(scope)] = Scope(scope.group, signals, memories)
        for scope in _scopes(self._old):
            copies[id(scope)].children = {
                name: copies[id(child)] if isinstance(child, Scope) else child
                for name, child in scope.children.items()
            }
        self.graph.bodies = {g: copies[id(scope)] for g, scope in self._old.bodies.items()}
        self.graph.renamed = self._old.renamed


def _simplest(parts: list[_Part]) -> Node | list[_Part]:
    """A single part as the node that it is."""
    if len(parts) == 1 and parts[0][2] is not None:
        return parts[0][2]
    return parts


def _without_gaps(parts: list[_Part], width) -> list[_Part]:
    """Parts with those between them that nobody needs."""
    result: list[_Part] = []
    end = 0
    for low, high, part in parts:
        if low > end:
            result.append((end, low, None))
        result.append((low, high, part))
        end = high
    if end < width:
        result.append((end, width, None))
    return result


def _part_name(key, low, high, pieces):
    if len(pieces) == 1:
        return key.name
    return f"{key.name}[{high - 1}:{low}]" if high - low > 1 else f"{key.name}[{low}]"


def _part_of_words(words, width, low, high):
    """Some bits of each of a memory's words of ``width`` bits."""
    if low == 0 and high == width:
        return list(words)
    if low % 8 == 0 and high - low == 8:
        size = -(-width // 8)
        packed = b"".join([word.to_bytes(size, "little") for word in words])
        return list(packed[low // 8 :: size])
    mask = (1 << (high - low)) - 1
    return [word >> low & mask for word in words]
