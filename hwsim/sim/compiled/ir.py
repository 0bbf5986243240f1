"""The netlist that the compiled engine works on: word-level nodes over one clock.

A `Graph` is what a design computes in a cycle. Its nodes are bit vectors; registers and memories
carry values from one cycle to the next. Nodes belong to a `Group`: the body of a module that has
many instances is held once, and each of its nodes stands for as many values as there are instances.
The rest of the design is flat, in the group of count one.

Two-state: an undriven, undefined or uninitialised bit is 0.

Operations
----------
Operands and results are unsigned vectors; ``w`` is the node's width. Where nothing else is said,
operands have the width of the result.

=============================== ================================================================
``const``                       ``attr`` is the value, 0 <= value < 2**w
``input``                       a port of the top; ``attr`` is its name
``register``                    ``attr`` is the `Register`; its value in this cycle
``port``                        ``attr`` is the `Port`; a value from another group, or another
                                instance of the same group
``read`` (address)              ``attr`` is the `Memory`; the word before this cycle's writes;
                                0 beyond the depth
``load`` (address)              ``attr`` is the `Buffer`; 0 beyond its length
``slice`` (a)                   bits ``attr`` to ``attr + w - 1`` of ``a``; none beyond its width
``concat`` (a, b, ...)          ``a`` in the lowest bits; w is the sum of the widths
``zext``, ``sext`` (a)          ``a`` is narrower than w
``not``, ``neg`` (a)
``and or xor add sub mul``      two operands; modulo 2**w
``div_floor mod_floor``         two operands, unsigned; by 0 gives 0
``sdiv_floor smod_floor``       two's complement, rounded to minus infinity (Python's // and %)
``sdiv_trunc smod_trunc``       two's complement, rounded to 0 (Verilog's / and %); by 0 gives 0
``shl shr sshr`` (a, amount)    amount is unsigned, of any width; sshr repeats the top bit of a
``eq ne ult ule slt sle``       w is 1, operands of equal width; ``s``: two's complement
``reduce_and/or/xor`` (a)       w is 1
``mux`` (s, a, b)               s is 1 bit wide: a where s is 1, else b
=============================== ================================================================
"""

import gc
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

__all__ = [
    "Buffer",
    "Check",
    "Graph",
    "Group",
    "Memory",
    "Node",
    "Port",
    "Register",
    "Scope",
    "Store",
    "Write",
    "operands",
    "topological",
    "without_collection",
]


class Node:
    """A value: ``op`` of ``args``, ``width`` bits (1 or more), in ``group``; see the module's text.

    Nodes of one graph are unique: equal operation, operands, attribute and group give the same
    object, so that ``is`` compares them.
    """

    __slots__ = ("args", "attr", "group", "op", "width")

    def __init__(self, op, width, args, attr, group):
        self.op = op
        self.width = width
        self.args = args
        self.attr = attr
        self.group = group

    def __repr__(self):
        return f"{self.op}:{self.width}({', '.join(a.op for a in self.args)})"


@dataclass(eq=False, slots=True)
class Group:
    """Instances of one module body; ``instances`` are their paths, names joined by dots."""

    name: str
    instances: list[str] = field(default_factory=lambda: [""])

    @property
    def count(self):
        """Number of instances."""
        return len(self.instances)


@dataclass(eq=False, slots=True)
class Port:
    """A value that crosses groups.

    ``sources[i]`` is what instance ``i`` of the port's group sees: a node and the instance of *its*
    group; a constant has instance 0.
    """

    name: str
    sources: list[tuple[Node, int]] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class Register:
    """State of ``width`` bits per instance of ``group``; ``next`` is a node of the same group."""

    name: str
    width: int
    init: int
    group: Group
    next: Node = None  # type: ignore[assignment]  # set once it is known


@dataclass(eq=False, slots=True)
class Memory:
    """``depth`` words of ``width`` bits per instance of ``group``.

    ``init`` holds the first words; the rest are 0. ``inits``, if given, does so for each instance.
    ``writes`` happen at the end of the cycle, in order, so that the last one wins.
    """

    name: str
    width: int
    depth: int
    init: list[int]
    group: Group
    writes: list["Write"] = field(default_factory=list)
    inits: list[list[int]] | None = None

    @property
    def words(self):
        """Every value that the memory starts with."""
        return {0, *self.init, *(word for init in self.inits or () for word in init)}


@dataclass(eq=False, slots=True)
class Write:
    """A whole word, where ``enable`` (1 bit) is set; nothing beyond the memory's depth."""

    address: Node
    data: Node
    enable: Node


@dataclass(eq=False, slots=True)
class Buffer:
    """An array outside the design, of a length that is known when the simulation runs.

    Words are 1 to 64 bits wide. ``shared`` buffers have one content for all lanes, others one for
    each. Of count one only.
    """

    name: str
    width: int
    shared: bool


@dataclass(eq=False, slots=True)
class Store:
    """A write to a buffer at the end of the cycle; nothing beyond its length."""

    buffer: Buffer
    address: Node
    data: Node
    enable: Node


@dataclass(eq=False, slots=True)
class Check:
    """An assertion: violated in a cycle in which ``enable`` is 1 and ``condition`` is 0."""

    message: str
    enable: Node
    condition: Node
    source: str


@dataclass(eq=False, slots=True)
class Scope:
    """Names of one module body, for observation.

    ``signals`` maps the name of a wire to its node, ``memories`` that of a memory to the memories
    that hold its words, lowest bits first, ``children`` that of an instance to its scope, or to the
    group whose body it is and the number of its instance there, per instance of this scope's group.
    """

    group: Group
    signals: dict[str, Node] = field(default_factory=dict)
    memories: dict[str, list[Memory]] = field(default_factory=dict)
    children: dict[str, "Scope | tuple[Group, list[int]]"] = field(default_factory=dict)


class Graph:
    """A design.

    Members
    -------
    top : Group
        The group of count one.
    inputs, outputs : dict of port name to Node
        Without the clock.
    registers, memories, stores, checks, buffers : list
    bodies : dict of Group to Scope
        Names, for each group from its own body's root.
    renamed : dict of Group to list of (dict of str to str or None)
        Of groups whose instances have names of their own: for each instance its path of a signal or
        memory, and the path in the group's `Scope`, where the two differ.
    clock : str or None
        Name of the clock's port.
    """

    def __init__(self):
        self.top = Group("top")
        self.inputs: dict[str, Node] = {}
        self.outputs: dict[str, Node] = {}
        self.registers: list[Register] = []
        self.memories: list[Memory] = []
        self.buffers: list[Buffer] = []
        self.stores: list[Store] = []
        self.checks: list[Check] = []
        self.bodies: dict[Group, Scope] = {self.top: Scope(self.top)}
        self.renamed: dict[Group, list[dict[str, str] | None]] = {}
        self.clock: str | None = None
        self._nodes: dict[tuple, Node] = {}

    def node(self, op, width, args=(), attr=None, group=None):
        """The one node of this description; its group is that of its first operand, or the top."""
        args = tuple(args)
        if group is None:
            group = args[0].group if args else self.top
        key = (op, width, args, attr, group)
        node = self._nodes.get(key)
        if node is None:
            node = self._nodes[key] = Node(op, width, args, attr, group)
        return node

    def const(self, value, width, group=None):
        """A constant, taken modulo 2**width."""
        return self.node("const", width, attr=value & ((1 << width) - 1), group=group)

    def roots(self) -> Iterator[Node]:
        """Every node that something outside the combinational logic needs."""
        yield from self.outputs.values()
        for register in self.registers:
            yield register.next
        for memory in self.memories:
            for write in memory.writes:
                yield from (write.address, write.data, write.enable)
        for store in self.stores:
            yield from (store.address, store.data, store.enable)
        for check in self.checks:
            yield from (check.enable, check.condition)

    def sorted(self, extra: Iterable[Node] = ()) -> list[Node]:
        """Nodes that roots and ``extra`` need, see `topological`."""
        return topological((*self.roots(), *extra))


def operands(node):
    """What a node's value is computed from in the same cycle."""
    if node.op == "port":
        return tuple(dict.fromkeys(source for source, _ in node.attr.sources))
    return node.args


def topological(roots: Iterable[Node], done: dict[Node, bool] | None = None) -> list[Node]:
    """Nodes that ``roots`` need, each after its operands and sources.

    Those in ``done`` are left out, and what is found is added there. Raises `ValueError` with the
    nodes of the loop, if there is one.
    """
    if done is None:
        done = {}
    order = []
    for root in roots:
        stack = [(root, iter(operands(root)))] if root not in done else []
        if stack:
            done[root] = False
        while stack:
            node, rest = stack[-1]
            for operand in rest:
                state = done.get(operand)
                if state is None:
                    done[operand] = False
                    stack.append((operand, iter(operands(operand))))
                    break
                if not state:
                    path = [entry[0] for entry in stack]
                    raise ValueError(path[path.index(operand) :])
            else:
                stack.pop()
                done[node] = True
                order.append(node)
    return order


@contextmanager
def without_collection() -> Iterator[None]:
    """Without garbage collection, which takes longer than all else: nearly everything stays."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
