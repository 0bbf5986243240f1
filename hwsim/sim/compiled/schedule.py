"""The order of work within a cycle: nodes into chunks, state updates where nothing reads any more.

A `Chunk` is straight-line code over all elements (instances times lanes) of one kind: nodes of one
group that are *uniform* (equal in all lanes, held once) or *varying* (held per lane), under one
*gate* (a uniform bit without which the whole chunk is left out) or none. State is updated in
place, in the chunk that computes it where that is safe, else at the end of the cycle.
"""

import heapq
from dataclasses import dataclass, field, replace
from typing import Any

from .ir import Node, operands, topological
from .ranges import container

__all__ = ["Chunk", "Effect", "Key", "Schedule", "varying"]

# Nodes in a chunk: the compile time of straight-line code grows faster than its length.
LONGEST = {False: 2500, True: 700}
# Uniform nodes that must be saved for a branch to pay.
WORTH_A_BRANCH = 24
# Elements from one that a vector takes to the next, at most.
LONGEST_STEP = 8
# Bits of the stretch from which a vector is shuffled together, at most.
WIDEST_SHUFFLE = 4096
# Registers in a row from which on they are moved at once.
SHORTEST_SHIFT = 4


@dataclass(frozen=True, slots=True)
class Key:
    """What the items of a chunk have in common.

    ``wide`` ones hold values of several machine words, and are worked on one element at a time;
    ``whole`` ones are shifts, which move all elements at once.
    """

    varying: bool
    group: Any
    gate: Node | None
    wide: bool
    whole: bool = False


@dataclass(eq=False, slots=True)
class Effect:
    """Something that a cycle leaves behind.

    ``kind`` is ``register``, ``shift``, ``write``, ``store``, ``check``, ``output`` or ``stop``;
    ``target`` what it acts on; ``values`` the nodes it needs, of which the first is what a register
    becomes. A shift's target is a tuple of registers, of which each takes the value of the one
    before.
    """

    kind: str
    target: Any
    values: tuple[Node, ...]
    group: Any
    varying: bool = False
    gate: Node | None = None

    @property
    def states(self):
        """The registers, memory or buffer that it changes."""
        if self.kind == "shift":
            return self.target
        if self.kind in ("register", "write"):
            return (self.target,)
        return (self.target.buffer,) if self.kind == "store" else ()


@dataclass(eq=False, slots=True)
class Chunk:
    """Nodes and effects in order. A copying chunk has ``ports`` and nothing else."""

    key: Key
    items: list[Node | Effect] = field(default_factory=list)
    ports: list[Node] = field(default_factory=list)


def varying(graph, uniform=(), extra=()):
    """Nodes, registers, memories and buffers that differ between lanes.

    Parameters
    ----------
    graph : Graph
    uniform : collection of str
        Names of inputs of the top that do not differ.
    extra : iterable of Node
        To look at besides what the graph needs.
    """
    users: dict[Any, list] = {}
    order = topological((*graph.roots(), *extra))
    for node in order:
        for operand in operands(node):
            users.setdefault(operand, []).append(node)
        if node.op in ("register", "read", "load"):
            users.setdefault(node.attr, []).append(node)
    for register in graph.registers:
        users.setdefault(register.next, []).append(register)
    for memory in graph.memories:
        for write in memory.writes:
            for value in (write.address, write.data, write.enable):
                users.setdefault(value, []).append(memory)
    for store in graph.stores:
        for value in (store.address, store.data, store.enable):
            users.setdefault(value, []).append(store.buffer)
    pending = [buffer for buffer in graph.buffers if not buffer.shared]
    pending += [node for name, node in graph.inputs.items() if name not in uniform]
    found = set(pending)
    while pending:
        for user in users.get(pending.pop(), ()):
            if user not in found:
                found.add(user)
                pending.append(user)
    return found


class Schedule:
    """Chunks of one cycle.

    Parameters
    ----------
    graph : Graph
    lanes : int
    effects : list of Effect
    vector : int
        Elements per vector, at most.
    uniform : collection of str
        See `varying`.

    Members
    -------
    chunks : list of Chunk
    varying : set of Node, Register, Memory
        What differs between lanes.
    views : dict of Node to (Node, int)
        Ports that are instances of another node, from this one on.
    shuffles : dict of Node to list of int
        Of views in no even steps: the instances, counted from the first one used.
    steps : dict of Node to int
        How far apart these instances are, if that is not 1; 0 for one instance for all.
    indirect : set of Node
        Ports that are read through a table of where each instance's source lies.
    descending : set of Group
        Whose instances are worked on from the last to the first.
    stored : set of Node
        Computed nodes that another chunk, or a copy, reads.
    """

    def __init__(self, graph, lanes, effects, *, vector, uniform=()):
        self._graph = graph
        self._lanes = lanes
        self._vector = vector
        self.effects = effects
        self.views = {}
        self.steps = {}
        self.shuffles = {}
        self.varying, self._known = set(), set()
        if lanes > 1:
            values = [value for effect in effects for value in effect.values]
            self.varying = varying(graph, uniform, values)
            self._known = set(topological((*graph.roots(), *values)))
        for effect in effects:
            effect.varying = self._effect_varies(effect)
            if effect.varying:
                self.varying.add(effect)
        self._set_gates()
        self._merge_shifts()
        self.order = topological(self.roots())
        self._find_views()
        self.indirect: set[Node] = set()
        self.descending: set[Any] = set()
        self._find_indirect()
        self._keys = {}
        self._gate_nodes()
        self.chunks = self._place()
        self.stored = self._find_stored()

    def _varies(self, node):
        """Whether a node, which may be new, differs between lanes."""
        if self._lanes > 1 and node not in self._known:
            self._known.add(node)
            if any([self._varies(arg) for arg in node.args]):
                self.varying.add(node)
        return node in self.varying

    def _effect_varies(self, effect):
        if effect.kind in ("register", "write"):
            return effect.target in self.varying
        if effect.kind == "store":
            return effect.target.buffer in self.varying
        return any(value in self.varying for value in effect.values)

    # Gates

    def _set_gates(self):
        """Where a register keeps its value unless a uniform bit is set, compute it only then.

        Gates that save too little are taken back.
        """
        for effect in self.effects:
            if effect.kind == "register":
                enable, data = enable_of(self._graph, effect.target, effect.values[0])
                if enable is not None:
                    enable = self._lift(enable)
                if enable is not None and not self._varies(enable) and enable.op != "const":
                    self._varies(data)
                    effect.gate, effect.values = enable, (data,)
            elif effect.group.count > 1:
                continue
            elif effect.kind in ("write", "store"):
                address, data, enable = effect.values
                if {address, enable}.isdisjoint(self.varying) and enable.op != "const":
                    effect.gate, effect.values = enable, (address, data)
        cost: dict[tuple, int] = {}
        for effect in self.effects:
            if effect.gate is not None:
                key = effect.gate, effect.varying
                cost[key] = cost.get(key, 0) + 1
        gates = self._cones(topological(self.roots()))
        for node, gate in gates.items():
            if gate is not None and node.op not in ("const", "register", "input", "port"):
                key = gate, node in self.varying
                cost[key] = cost.get(key, 0) + 1
        for effect in self.effects:
            if effect.kind == "register" and effect.gate is not None:
                saved = cost.get((effect.gate, effect.varying), 0)
                if not effect.varying and saved * effect.group.count < WORTH_A_BRANCH:
                    effect.gate, effect.values = None, (effect.target.next,)

    def _lift(self, node):
        """The node of the top that all instances of a group's node are equal to, or None."""
        if node.group is self._graph.top:
            return node
        if node.op == "port":
            first, index = node.attr.sources[0]
            if first.group is self._graph.top and all(
                source == (first, index) for source in node.attr.sources
            ):
                return first
            return None
        if node.op in ("register", "read"):
            return None
        args = [self._lift(arg) for arg in node.args]
        if any(arg is None for arg in args):
            return None
        return self._graph.node(node.op, node.width, args, node.attr, self._graph.top)

    def _merge_shifts(self):
        """Chains of registers, each of which takes the one before, into one effect."""
        writers = {e.target: e for e in self.effects if e.kind == "register"}
        next_of: dict[Effect, Effect] = {}
        follows = set()
        for effect in writers.values():
            (value,) = effect.values
            if value.op == "register" and effect.group.count == 1:
                previous = writers.get(value.attr)
                if (
                    previous is not None
                    and previous is not effect
                    and previous not in next_of
                    and previous.gate is effect.gate
                    and previous.varying == effect.varying
                ):
                    next_of[previous] = effect
                    follows.add(effect)
        merged = set()
        shifts = []
        for first in next_of:
            if first in follows:
                continue
            chain = [first]
            while chain[-1] in next_of:
                chain.append(next_of[chain[-1]])
            if len(chain) >= SHORTEST_SHIFT:
                merged.update(chain)
                target = tuple(effect.target for effect in chain)
                shifts.append(replace(first, kind="shift", target=target))
                if first.varying:
                    self.varying.add(shifts[-1])
        self.effects = [e for e in self.effects if e not in merged] + shifts

    def _cones(self, order):
        """For each node the gate that all its users share."""
        gates: dict[Node, Node | None] = {}

        def use(node, gate):
            if gates.setdefault(node, gate) is not gate:
                gates[node] = None

        for effect in self.effects:
            for value in effect.values:
                use(value, effect.gate)
            if effect.gate is not None:
                use(effect.gate, None)
        for node in reversed(order):
            gate = gates.get(node)
            for operand in operands(node):
                use(operand, gate)
        return gates

    def roots(self):
        """Nodes that the effects need."""
        for effect in self.effects:
            yield from effect.values
            if effect.gate is not None:
                yield effect.gate

    def _gate_nodes(self):
        gates = self._cones(self.order)
        used = {(e.gate, e.varying) for e in self.effects if e.gate is not None}
        keys: dict[tuple, Key] = {}
        for node in self.order:
            varying = node in self.varying
            gate = gates.get(node)
            if (gate, varying) not in used:
                gate = None
            wide = node.width > 64 or any(a.width > 64 for a in node.args)
            facts = varying, node.group, gate, wide and (varying or node.group.count > 1)
            if facts not in keys:
                keys[facts] = Key(*facts)
            self._keys[node] = keys[facts]

    # Ports

    def _find_views(self):
        """Ports whose sources are instances of one node."""
        wide = {node.group for node in self.order if node.width > 64}
        for node in self.order:
            if node.op != "port":
                continue
            sources = [self._resolve(*source) for source in node.attr.sources]
            node.attr.sources = sources
            first, index = sources[0]
            if first.op == "const" or any(source is not first for source, _ in sources):
                continue
            step = sources[1][1] - index if len(sources) > 1 else 0
            if any(number != index + k * step for k, (_, number) in enumerate(sources)):
                numbers = [number for _, number in sources]
                span = (max(numbers) + 1 - min(numbers)) * max(8, container(node.width))
                if (
                    self._lanes == 1
                    and len(numbers) <= self._vector
                    and span <= WIDEST_SHUFFLE
                    and node.group not in wide
                ):
                    self.views[node] = first, min(numbers)
                    self.shuffles[node] = [number - min(numbers) for number in numbers]
                continue
            # One vector for all: a second one might look far beyond the end of the source.
            apart = 2 <= step <= LONGEST_STEP and len(sources) <= self._vector
            # Where vectors run over the lanes, instances are looked at one by one.
            if step in (0, 1) or (apart and self._lanes == 1):
                self.views[node] = first, index
                if step != 1:
                    self.steps[node] = step

    def is_broadcast(self, node):
        """Whether all instances see one value."""
        return node.op == "const" or self.steps.get(node) == 0

    def _find_indirect(self):
        """Ports of groups over lanes that need no copy.

        Where an instance reads another one's register, it must come before that one is changed:
        that holds for all if the instances are worked on in the right order.
        """
        inner = {
            source for node in self.order if node.op == "port" for source, _ in node.attr.sources
        }
        inner.update(source for source, _ in self.views.values())
        ports: dict[Any, list[Node]] = {}
        for node in self.order:
            if (
                node.op == "port"
                and node.group.count > 1
                and node in self.varying
                and node not in self.views
                and node not in inner
            ):
                ports.setdefault(node.group, []).append(node)
        for group, nodes in ports.items():
            down, up = [], []
            for node in nodes:
                steps = [
                    index - number
                    for index, (source, number) in enumerate(node.attr.sources)
                    if source.op == "register" and source.group is group
                ]
                if all(step >= 0 for step in steps):
                    down.append(node)
                if all(step <= 0 for step in steps):
                    up.append(node)
            if len(down) > len(up):
                self.descending.add(group)
            self.indirect.update(down if len(down) > len(up) else up)

    def _resolve(self, node, index):
        """Through a port that is a view."""
        if node in self.views:
            source, start = self.views[node]
            if node in self.shuffles:
                return source, start + self.shuffles[node][index]
            return source, start + index * self.steps.get(node, 1)
        return node, index

    def root(self, node):
        """The node whose storage holds this one's value."""
        return self.views[node][0] if node in self.views else node

    def is_computed(self, node):
        """Whether a chunk computes this node; else it is a constant, an input, state or a view."""
        return node.op not in ("const", "input", "register") and node not in self.views

    # Chunks

    def _place(self):
        """List scheduling that stays with one key as long as something of it is ready.

        An effect waits for its values, and until nothing reads the old state any more.
        """
        waiting: dict[Item, int] = {}
        users: dict[Item, list[Item]] = {}
        readers: dict[Any, list[Item]] = {}
        apart: dict[Any, set[Item]] = {}
        last_write: dict[Any, Effect] = {}
        ready: dict[Key, list[int]] = {}
        copies: dict[Key, list[Node]] = {}
        sequence = self._sequence()
        rank = {item: k for k, item in enumerate(sequence)}

        def after(item, other):
            users.setdefault(other, []).append(item)
            waiting[item] += 1

        def read(item, value):
            root = self.root(value)
            if root.op == "register":
                readers.setdefault(root.attr, []).append(item)
                if root is not value:
                    apart.setdefault(root.attr, set()).add(item)
            elif self.is_computed(root):
                after(item, root)
                if root is not value:
                    apart.setdefault(item, set()).add(root)
                if root in self.indirect and item is not root:
                    for source in operands(root):
                        if source.op == "register":
                            readers.setdefault(source.attr, []).append(item)

        def release(item):
            if isinstance(item, Node) and item.op == "port":
                copies.setdefault(self.key(item), []).append(item)
            else:
                heapq.heappush(ready.setdefault(self.key(item), []), rank[item])

        def finish(item):
            del waiting[item]
            for user in users.pop(item, ()):
                waiting[user] -= 1
                if not waiting[user]:
                    release(user)

        for item in sequence:
            waiting[item] = 0
            for value in set(self._reads(item)):
                read(item, value)
            if isinstance(item, Node) and item.op in ("read", "load"):
                readers.setdefault(item.attr, []).append(item)
            if isinstance(item, Effect) and item.kind in ("write", "store"):
                (state,) = item.states
                if state in last_write:
                    after(item, last_write[state])
                last_write[state] = item
        for effect in self.effects:
            for state in effect.states:
                for reader in readers.get(state, ()):
                    if reader is not effect:
                        after(effect, reader)
        for item in sequence:
            if not waiting[item]:
                release(item)
        chunks = []
        while waiting:
            if copies:
                key, nodes = copies.popitem()
                chunks.append(Chunk(key, ports=nodes))
                for node in nodes:
                    finish(node)
                continue
            if not ready:
                item, move = self._untangle(waiting)
                rank[move] = len(sequence)
                sequence.append(move)
                # The copy reads what the effect read, which now reads the copy alone.
                chunks.append(Chunk(self.key(move), [move]))
                for user in [u for u in users.get(item, ()) if isinstance(u, Effect)]:
                    users[item].remove(user)
                    waiting[user] -= 1
                    if not waiting[user]:
                        release(user)
                continue
            key = min(ready, key=lambda k: (k.varying, ready[k][0]))
            chunk = Chunk(key)
            chunks.append(chunk)
            seen: set[Item] = set()
            while ready.get(key) and len(chunk.items) < LONGEST[key.varying]:
                item = sequence[ready[key][0]]
                states = item.states if isinstance(item, Effect) else ()
                if any(not seen.isdisjoint(apart.get(key, ())) for key in (item, *states)):
                    # Elements of one chunk cannot look at each other: some come later.
                    break
                heapq.heappop(ready[key])
                chunk.items.append(item)
                seen.add(item)
                finish(item)
            if not ready[key]:
                del ready[key]
        return chunks

    def _untangle(self, waiting):
        """Let a register that takes another one's value take a copy, which is made at once."""
        for effect in waiting:
            if isinstance(effect, Effect) and effect.kind in ("register", "shift"):
                (value,) = effect.values
                if self.root(value).op == "register" or value in self.indirect:
                    move = Node("move", value.width, (value,), effect.target, effect.group)
                    if effect.varying:
                        self.varying.add(move)
                    self._keys[move] = replace(self.key(effect), gate=None, whole=False)
                    effect.values = (move,)
                    return effect, move
        raise AssertionError("effects that wait for each other without a register to copy")

    def key(self, item):
        """The `Key` of a node or an effect."""
        key = self._keys.get(item)
        if key is None:
            wide = any(value.width > 64 for value in item.values)
            looped = item.varying or item.group.count > 1
            key = self._keys[item] = Key(
                item.varying, item.group, item.gate, wide and looped, item.kind == "shift"
            )
        return key

    def _reads(self, item):
        gate = self.key(item).gate
        values = item.values if isinstance(item, Effect) else operands(item)
        return (*values, gate) if gate is not None else values

    def _sequence(self):
        """Nodes and effects, who reads a register before who writes it as far as that can be."""
        users: dict[Node, list] = {}
        for node in self.order:
            for operand in operands(node):
                users.setdefault(operand, []).append(node)
        for effect in self.effects:
            for value in self._reads(effect):
                users.setdefault(value, []).append(effect)
        registers = {node.attr: node for node in self.order if node.op == "register"}
        effects = []
        seen: set[Any] = set()

        def following(item):
            if isinstance(item, Node):
                return iter(users.get(item, ()))
            return iter([registers[state] for state in item.states if state in registers])

        for start in (*registers.values(), *self.effects):
            if start in seen:
                continue
            seen.add(start)
            stack = [(start, following(start))]
            while stack:
                item, rest = stack[-1]
                for user in rest:
                    if user not in seen:
                        seen.add(user)
                        stack.append((user, following(user)))
                        break
                else:
                    stack.pop()
                    if isinstance(item, Effect):
                        effects.append(item)
        return self._with_nodes(effects)

    def _with_nodes(self, effects):
        """Each effect after the nodes that it needs; writes of one memory in their own order."""
        slots: dict[Any, list[int]] = {}
        for index, effect in enumerate(effects):
            if effect.kind in ("write", "store"):
                slots.setdefault(effect.states[0], []).append(index)
        rank = {effect: k for k, effect in enumerate(self.effects)}
        for indices in slots.values():
            writes = sorted((effects[k] for k in indices), key=rank.__getitem__)
            for index, effect in zip(indices, writes, strict=True):
                effects[index] = effect
        sequence: list[Item] = []
        done: dict[Node, bool] = {}
        for effect in effects:
            for value in self._reads(effect):
                for node in topological((value,), done):
                    if self.is_computed(node):
                        sequence.append(node)
            sequence.append(effect)
        return sequence

    def _find_stored(self):
        stored = set()
        where = {item: index for index, chunk in enumerate(self.chunks) for item in chunk.items}
        for index, chunk in enumerate(self.chunks):
            stored.update(chunk.ports)
            for item in (*chunk.items, *chunk.ports):
                for value in self._reads(item):
                    root = self.root(value)
                    elsewhere = root is not value or where.get(root) != index
                    if self.is_computed(root) and (elsewhere or value is chunk.key.gate):
                        stored.add(root)
        return stored


Item = Node | Effect


_HELD = "held"


def enable_of(graph, register, value, levels=3):
    """``(enable, data)`` such that the register becomes data where enable is 1, else stays.

    ``enable`` is None if there is no such bit.
    """
    enable, data = _enable(graph, register, value, levels)
    return (None, value) if enable is _HELD else (enable, data)


def _enable(graph, register, value, levels):
    if value.op == "register" and value.attr is register:
        return _HELD, value
    if value.op != "mux" or not levels:
        return None, value
    select, high, low = value.args
    if_high, data_high = _enable(graph, register, high, levels - 1)
    if_low, data_low = _enable(graph, register, low, levels - 1)
    if (if_high is None and if_low is None) or if_high is if_low is _HELD:
        return None, value
    if if_low is _HELD:
        return (select if if_high is None else graph.node("and", 1, (select, if_high))), data_high
    if if_high is _HELD:
        off = graph.node("not", 1, (select,))
        return (off if if_low is None else graph.node("and", 1, (off, if_low))), data_low
    one = graph.const(1, 1, value.group)
    enable = graph.node("mux", 1, (select, if_high or one, if_low or one))
    return enable, graph.node("mux", value.width, (select, data_high, data_low))
