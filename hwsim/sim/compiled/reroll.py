"""Regular structures that a design spells out, as one body of many instances.

Where many registers take the same function of different operands (the products of a convolution,
the taps of a window), they become the instances of a group, so that one vector operation works on
many of them. That pays where there is one lane; with several, vectors run over the lanes.
"""

import itertools
from dataclasses import dataclass, field
from typing import Any

from .ir import Group, Memory, Node, Port, Register, operands, topological
from .ranges import container
from .schedule import LONGEST_STEP, WIDEST_SHUFFLE

__all__ = ["reroll"]

# Instances below which a vector saves nothing.
FEWEST = 4
# Instances that one shuffle can bring together on all machines.
SHUFFLED = 64
# Nodes of one instance.
LARGEST = 40
_LEAVES = ("const", "input", "register", "port", "load")
# Computed anew in each instance rather than brought there.
_CHEAP = ("sext", "zext", "slice", "not")
# Instructions that a copy of one run of elements takes, and those that a group takes at all.
_COPY = 3
_OVERHEAD = 12
# Registers of a delay line that are looked at.
_LONGEST_DELAY = 16


@dataclass(eq=False)
class _Tree:
    """What one register becomes: nodes that nothing else uses, and the leaves below them."""

    register: Register
    shape: Any = None
    nodes: list[Node] = field(default_factory=list)
    leaves: list[Node] = field(default_factory=list)
    shared: list[Node] = field(default_factory=list)


def reroll(graph, observed=()):
    """Make groups of what is alike in the top of ``graph``, in place.

    Parameters
    ----------
    graph : Graph
        Its nodes stay as they are; registers, memories and roots are replaced.
    observed : iterable of Node
        Nodes that must not become part of a group.

    Returns
    -------
    new : callable
        Gives for a node of the old graph one that has the same value.
    moved : dict of Register or Memory to (Register or Memory, int)
        Where state has gone: to an instance of a group.
    """
    uses = _uses(graph, observed)
    sole = _sole_reads(graph, uses)
    trees = {}
    for register in graph.registers:
        if register.group is graph.top:
            tree = trees[register] = _Tree(register)
            tree.shape = _grow(register.next, tree, uses, sole, graph.top)
    families: dict[Any, list[_Tree]] = {}
    for tree in trees.values():
        delays, first = _delays(tree, trees)
        if first.nodes:
            register = tree.register
            key = delays, first.shape, tuple(first.shared), register.width, register.init
            families.setdefault(key, []).append(tree)
    chosen = _worthwhile(list(families.values()))
    return _rebuild(graph, chosen)


def _delays(tree, trees):
    """Of how many registers one after another it is the last, and the tree of the first.

    Delay lines of alike values are alike where they are as long.
    """
    count = 0
    while not tree.nodes and tree.leaves and tree.leaves[0].op == "register":
        source = trees.get(tree.leaves[0].attr)
        if source is None or count > _LONGEST_DELAY:
            break
        tree, count = source, count + 1
    return count, tree


def _uses(graph, observed):
    """How often each node is used."""
    uses: dict[Node, int] = {}
    roots = [*graph.roots(), *observed]
    for node in roots:
        uses[node] = uses.get(node, 0) + 1
    for node in topological(roots):
        for operand in operands(node) if node.op == "port" else node.args:
            uses[operand] = uses.get(operand, 0) + 1
    return uses


def _sole_reads(graph, uses):
    """Memories that are never written and read at one place."""
    reads: dict[Memory, int] = {}
    for node in uses:
        if node.op == "read":
            reads[node.attr] = reads.get(node.attr, 0) + 1
    return {m for m in graph.memories if reads.get(m) == 1 and not m.writes}


def _grow(node, tree, uses, sole, top, shared=False):
    """Shape of the tree below ``node``; notes its nodes and leaves, operands first."""
    if node.op == "register" and node.attr is tree.register:
        return "self"
    # What is not computed again in each tree that uses it: anything but an extension of a leaf.
    known = uses[node] > 1 and not (node.op in _CHEAP and node.args[0].op in _LEAVES)
    full = len(tree.nodes) >= LARGEST and node not in tree.nodes
    whole = full or known or node.group is not top
    if whole or node.op in _LEAVES or (node.op == "read" and node.attr not in sole):
        tree.leaves.append(node)
        if shared:
            # One select or address for all makes for code without a gather.
            tree.shared.append(node)
        return "leaf", node.width
    control = {"mux": (0,), "read": (0,)}.get(node.op, ())
    shapes = tuple(
        _grow(arg, tree, uses, sole, top, shared or k in control) for k, arg in enumerate(node.args)
    )
    tree.nodes.append(node)
    attr = (node.attr.depth,) if node.op == "read" else node.attr
    return node.op, node.width, attr, shapes


def _worthwhile(families):
    """Families that take fewer instructions as a group."""
    while True:
        place = {
            tree.register: (number, index)
            for number, trees in enumerate(families)
            for index, tree in enumerate(trees)
        }
        kept = []
        for trees in families:
            one = len(trees[0].nodes) + len(trees[0].leaves) + 1
            copies = sum(
                _COPY * _runs(column, place)
                for column in zip(*(tree.leaves for tree in trees), strict=True)
            )
            overhead = _OVERHEAD if trees[0].nodes else 0
            if len(trees) >= FEWEST and len(trees) * one > copies + 2 * one + overhead:
                kept.append(trees)
        if len(kept) == len(families):
            return kept
        families = kept


def _runs(column, place):
    """Pieces to copy for an operand: none where it lies as it is needed."""
    if all(node is column[0] for node in column) or all(node.op == "const" for node in column):
        return 0
    few = len(column) <= SHUFFLED
    spots: list[Any] = [place.get(node.attr) if node.op == "register" else None for node in column]
    pairs = list(itertools.pairwise(spots))
    if all(a and b and a[0] == b[0] for a, b in pairs):
        steps = {b[1] - a[1] for a, b in pairs}
        step = min(steps)
        if len(steps) == 1 and (step == 1 or (1 < step <= LONGEST_STEP and few)):
            return 0
        stretch = max(s[1] for s in spots) - min(s[1] for s in spots) + 1
        if few and stretch * max(8, container(column[0].width)) <= WIDEST_SHUFFLE:
            return 1
    joined = sum(1 for a, b in pairs if a and b and (a[0], a[1] + 1) == b)
    return len(column) - joined


def _rebuild(graph, families):
    moved: dict[Any, tuple[Any, int]] = {}
    bodies = []
    for trees in families:
        group = Group("rolled", [tree.register.name for tree in trees])
        first = trees[0].register
        register = Register(first.name, first.width, first.init, group)
        node = graph.node("register", first.width, attr=register, group=group)
        for index, tree in enumerate(trees):
            moved[tree.register] = register, index
        bodies.append((trees, group, register, node))
    made: dict[Node, Node] = {}

    def new(node):
        for item in topological((node,), seen):
            made[item] = _remake(graph, item, made, moved)
        return made[node]

    seen: dict[Node, bool] = {}
    pending = []
    for trees, group, register, node in bodies:
        body: dict[int, Node] = {}
        for position, leaf in enumerate(trees[0].leaves):
            column = [tree.leaves[position] for tree in trees]
            if leaf.op == "const" and all(other is leaf for other in column):
                inner = graph.const(leaf.attr, leaf.width, group)
            else:
                port = Port(f"{register.name} {position}")
                pending.append((port, column))
                inner = graph.node("port", leaf.width, attr=port, group=group)
            body[position] = inner
        register.next = _instantiate(graph, trees, node, body, group, moved)
    for port, column in pending:
        port.sources = [(new(leaf), 0) for leaf in column]
    members = {tree.register for trees in families for tree in trees}
    groups = [register for _, _, register, _ in bodies]
    for register in graph.registers:
        if register not in members:
            register.next = new(register.next)
    graph.registers = [r for r in graph.registers if r not in members] + groups
    for memory in graph.memories:
        for write in memory.writes:
            write.address, write.data, write.enable = map(
                new, (write.address, write.data, write.enable)
            )
    rolled = dict.fromkeys(memory for memory, _ in moved.values() if isinstance(memory, Memory))
    graph.memories = [m for m in graph.memories if m not in moved] + list(rolled)
    for store in graph.stores:
        store.address, store.data, store.enable = map(
            new, (store.address, store.data, store.enable)
        )
    for check in graph.checks:
        check.enable, check.condition = new(check.enable), new(check.condition)
    graph.outputs = {name: new(node) for name, node in graph.outputs.items()}
    return new, moved


def _instantiate(graph, trees, register, body, group, moved):
    """The first tree again, in the group."""
    tree = trees[0]
    position = 0
    number = 0

    def build(node):
        nonlocal position, number
        if node.op == "register" and node.attr is tree.register:
            return register
        if position < len(tree.leaves) and tree.leaves[position] is node and node not in inner:
            position += 1
            return body[position - 1]
        args = tuple(build(arg) for arg in node.args)
        attr = node.attr
        if node.op == "read":
            reads = [
                [other for other in each.nodes if other.op == "read"][number] for each in trees
            ]
            number += 1
            old = node.attr
            attr = Memory(old.name, old.width, old.depth, [], group)
            attr.inits = [read.attr.init for read in reads]
            for index, read in enumerate(reads):
                moved[read.attr] = attr, index
        return graph.node(node.op, node.width, args, attr, group)

    inner = set(tree.nodes)
    return build(tree.register.next)


def _remake(graph, node, made, moved):
    if node.op == "register" and node.attr in moved:
        register, index = moved[node.attr]
        source = graph.node("register", node.width, attr=register, group=register.group)
        port = Port(node.attr.name, [(source, index)])
        return graph.node("port", node.width, attr=port, group=graph.top)
    if node.op == "port":
        node.attr.sources = [(made[source], number) for source, number in node.attr.sources]
        return node
    if all(made[arg] is arg for arg in node.args):
        return node
    return graph.node(node.op, node.width, [made[a] for a in node.args], node.attr, node.group)
