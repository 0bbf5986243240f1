"""One body of a design: its module, and those below that have no body of their own, as nodes.

Every bit that something needs is traced back through wires and ports to what drives it: an
operation or a register of an instance (`Vertex`), or a value from outside the body. Values from
outside become ports only as far as bits of them are used, so that a vector that carries one number
for each of many elements is as many ports.
"""

from bisect import bisect_right
from itertools import pairwise

from .cells import Builder, Logic
from .ir import Buffer, Check, Memory, Port, Register, Scope, Store, Write
from .loops import Loop, Piece, components
from .rtlil import slice_of, width_of
from .template import (
    Input,
    MemoryTemplate,
    Output,
    State,
    UnsupportedDesign,
    public,
    source_of,
)

__all__ = ["Body", "Instance", "Site"]


class Ranged:
    """A value from outside the body, of which only the runs that are needed become ports."""

    __slots__ = ("body", "first", "frozen", "ranges", "wanted")

    def __init__(self, body):
        self.body = body
        self.wanted = []
        self.ranges = []
        self.first: tuple[tuple[int, int], ...] = ()
        self.frozen = False

    def freeze(self):
        """Join runs that overlap, since they are parts of one value."""
        for low, high in sorted(set(self.wanted)):
            if self.ranges and low < self.ranges[-1][1]:
                self.ranges[-1][1] = max(high, self.ranges[-1][1])
            else:
                self.ranges.append([low, high, None])
        self.first = tuple((low, high) for low, high, _ in self.ranges)
        self.frozen = True

    def value(self, low, width):
        """Node of these bits."""
        end = low + width
        k = bisect_right(self.ranges, low, key=lambda r: r[0]) - 1
        if k < 0 or self.ranges[k][1] <= low:
            k += 1
        parts = []
        while low < end:
            if k == len(self.ranges) or self.ranges[k][0] > low:
                # Bits that only names ask for.
                high = end if k == len(self.ranges) else min(end, self.ranges[k][0])
                self.ranges.insert(k, [low, high, None])
            start, high, node = self.ranges[k]
            if node is None:
                node = self.ranges[k][2] = self.make(start, high)
            taken = min(end, high) - low
            parts.append(self.body.builder.slice(node, low - start, taken))
            low += taken
            k += 1
        return self.body.builder.concat(parts)

    def make(self, low, high):
        """The node of a run."""
        raise NotImplementedError

    def _port(self, name, low, high, whole):
        """A port node, and the port, whose sources come later."""
        body = self.body
        port = Port(name if high - low == whole else f"{name}[{high - 1}:{low}]")
        body.ports.append(port)
        return port, body.builder.node("port", high - low, attr=port)


class InputValue(Ranged):
    """An input of the body."""

    __slots__ = ("wire",)

    def __init__(self, body, wire):
        super().__init__(body)
        self.wire = wire

    def make(self, low, high):
        """The node of a run."""
        width = self.body.root.module.wires[self.wire].width
        port, node = self._port(public(self.wire), low, high, width)
        self.body.input_ports.append((self.wire, low, high, port))
        return node


class TopInput(Ranged):
    """An input of the design, always whole."""

    __slots__ = ("node", "wire")

    def __init__(self, body, wire):
        super().__init__(body)
        width = body.root.module.wires[wire].width
        self.wire = wire
        self.node = body.builder.node("input", width, attr=public(wire))

    def freeze(self):
        """Note whether it is data."""
        self.frozen = True
        if self.wanted:
            self.body.used_inputs.add(public(self.wire))

    def value(self, low, width):
        """Node of these bits."""
        if self.wire in self.body.clocks:
            # Only a name asks for it.
            return self.body.builder.const(0, width)
        return self.body.builder.slice(self.node, low, width)


class FarValue(Ranged):
    """A value in the body of a sub-module."""

    __slots__ = ("site", "source")

    def __init__(self, body, site, source):
        super().__init__(body)
        self.site = site
        self.source = source

    def make(self, low, high):
        """The node of a run."""
        node = self.source.value(low, high - low)
        if node.op == "const":
            return self.body.builder.const(node.attr, node.width)
        port, here = self._port(self.site.name, low, high, None)
        self.body.far_ports.append((port, self.site, node))
        return here


class Vertex:
    """An operation or a register of one instance."""

    __slots__ = ("instance", "lanes", "logic", "needs", "node", "pieces", "whole")

    def __init__(self, instance, logic):
        self.instance = instance
        self.logic = logic
        self.lanes: list[tuple] = []
        self.whole: list[tuple] = []
        self.needs: list[Vertex] = []
        self.node = None
        self.pieces: list[Piece] = []

    @property
    def width(self):
        """Bits of the result."""
        return self.logic.width

    def value(self, low, width):
        """Node of these bits."""
        builder = self.instance.body.builder
        if self.node is not None:
            return builder.slice(self.node, low, width)
        end = low + width
        parts = []
        k = bisect_right(self.pieces, low, key=lambda p: p.low) - 1
        while low < end:
            piece = self.pieces[k]
            taken = min(end, piece.high) - low
            parts.append(builder.slice(piece.node, low - piece.low, taken))
            low += taken
            k += 1
        return builder.concat(parts)


class Site:
    """Where a body has an instance of a group; ``numbers`` are that of the instance there."""

    def __init__(self, body, parent, cell, indices, name, wires):
        self.body = body
        self.parent = parent
        self.cell = cell
        self.indices = indices
        self.name = name
        self.numbers = range(0)
        self.paths = {}
        # Names of the wires of the group's own module, by port.
        self.wires = wires
        self.ports = {wires.get(f"\\{port}"): vector for port, vector in cell.ports.items()}
        self.inputs = {}

    def connection(self, wire, low, width):
        """What is connected to bits of an input."""
        vector = slice_of(self.ports.get(wire, ()), low, width)
        missing = width - width_of(vector)
        return (*vector, (None, 0, missing)) if missing else vector


class Instance:
    """An instance of a module within a body."""

    def __init__(self, body, template, parent, cell, path):
        self.body = body
        self.template = template
        self.module = template.module
        self.parent = parent
        self.cell = cell
        self.path = path
        self.children = {}
        self.vertices = {}
        self.registers = {}
        self.memories = {}
        # Segments of chunks that were resolved before.
        self.known = {}

    def vertex(self, source):
        """The vertex of a `Logic` or `State`."""
        found = self.vertices.get(source)
        if found is None:
            found = self.vertices[source] = Vertex(self, source)
            if type(source) is State:
                found.node = self.register_node(source)
            else:
                self.body.open.append(found)
                self.body.vertices.append(found)
        return found

    def connection(self, wire, low, width):
        """What the parent connects to bits of an input."""
        vector = slice_of(self.cell.ports.get(wire[1:], ()), low, width)
        missing = width - width_of(vector)
        return (*vector, (None, 0, missing)) if missing else vector

    def _named(self, name):
        return f"{self.path}.{name}" if self.path else name

    def register(self, state):
        """The register of a state."""
        found = self.registers.get(state)
        if found is None:
            found = Register(self._named(state.name), state.width, state.init, self.body.group)
            self.registers[state] = found
            self.body.graph.registers.append(found)
        return found

    def register_node(self, state):
        """The value of a state."""
        return self.body.builder.node("register", state.width, attr=self.register(state))

    def set_next(self, state, node):
        """The value of a state in the next cycle."""
        self.register(state).next = node

    def check(self, message, enable, condition, source):
        """An assertion."""
        self.body.graph.checks.append(Check(message, enable, condition, source))

    def split_memories(self):
        """Make the memories, in parts that are written as a whole."""
        for memory in self.template.memories.values():
            cuts = {0, memory.width}
            keys = BitKeys()
            for enable in memory.enables:
                last = object()
                at = 0
                for source, low, width in self.body.resolve(self, enable):
                    for k in range(width):
                        key = keys.of(source, low >> k & 1 if source is None else low + k)
                        if at < memory.width and key != last:
                            cuts.add(at)
                        last = key
                        at += 1
            points = sorted(cuts)
            parts = []
            for low, high in pairwise(points):
                mask = (1 << (high - low)) - 1
                init = [word >> low & mask for word in memory.init]
                while init and not init[-1]:
                    init.pop()
                name = self._named(public(memory.name))
                part = Memory(
                    name if len(points) == 2 else f"{name}[{high - 1}:{low}]",
                    high - low,
                    memory.depth,
                    init,
                    self.body.group,
                )
                parts.append((low, part))
                self.body.graph.memories.append(part)
            self.memories[memory.name] = parts

    def _address(self, memory, address):
        """Address from 0 on; one below the first word must not appear as a valid one."""
        if not memory.offset:
            return address
        b = self.body.builder
        width = max(address.width, (memory.offset + memory.depth).bit_length()) + 1
        return b.node("sub", width, b.extend(address, width, False), b.const(memory.offset, width))

    def read(self, memory, address):
        """The word at an address."""
        b = self.body.builder
        address = self._address(memory, address)
        return b.concat(
            [
                b.node("read", part.width, address, attr=part)
                for _, part in self.memories[memory.name]
            ]
        )

    def write(self, memory, address, data, enable):
        """Add a write port."""
        b = self.body.builder
        address = self._address(memory, address)
        for low, part in self.memories[memory.name]:
            enabled = _bit(b, enable, low)
            if enabled.op != "const" or enabled.attr:
                word = b.slice(data, low, part.width)
                part.writes.append(Write(address, word, enabled))

    def bypass(self, memory, word, address, written, data, enable):
        """The word read, or what is being written to the same address."""
        b = self.body.builder
        size = max(address.width, written.width)
        same = b.node("eq", 1, b.extend(address, size, False), b.extend(written, size, False))
        parts = []
        for low, part in self.memories[memory.name]:
            taken = b.and_(same, _bit(b, enable, low))
            new = b.slice(data, low, part.width)
            parts.append(b.mux(taken, new, b.slice(word, low, part.width)))
        # Beyond the depth nothing is written and 0 is read.
        return b.concat(parts)


class BitKeys:
    """Numbers of bits by structure: bits with equal numbers are equal."""

    def __init__(self):
        self._numbers = {}
        self._known = {}

    def of(self, source, position, depth=0):
        """Number of a bit of a source; of a constant, the bit is given itself."""
        key = (source, position)
        if type(source) is not Vertex or depth > 100:
            return self._number(key)
        # Only where each bit needs no others of the lanes, and all else is common to all bits.
        if not source.lanes or source.logic.carry is not None:
            return self._number(key)
        number = self._known.get(key)
        if number is None:
            parts = [self._of_operand(operand, position, depth + 1) for operand in source.lanes]
            number = self._known[key] = self._number((source, *parts, "lanes"))
        return number

    def _number(self, key):
        return self._numbers.setdefault(key, len(self._numbers))

    def _of_operand(self, operand, position, depth):
        segments, size, signed = operand
        if position >= size:
            if not signed:
                return self.of(None, 0)
            position = size - 1
        for source, low, width in segments:
            if position < width:
                if source is None:
                    return self.of(None, low >> position & 1)
                return self.of(source, low + position, depth)
            position -= width
        return self.of(None, 0)


def _bit(b, node, k, depth=0):
    """Bit ``k``, of the parts of concatenations and multiplexers."""
    if node.op == "mux" and depth < 100:
        s, first, second = node.args
        one, two = (_bit(b, arm, k, depth + 1) for arm in (first, second))
        if one.op == "const":
            return b.or_(s, two) if one.attr else b.and_(b.not_(s), two)
        if two.op == "const":
            return b.or_(b.not_(s), one) if two.attr else b.and_(s, one)
        return b.mux(s, one, two)
    part = b.slice(node, k, 1)
    if part.op == "slice" and part.args[0].op == "mux" and part.args[0] is not node:
        return _bit(b, part.args[0], part.attr, depth + 1)
    return part


class Body:
    """The nodes of one group."""

    def __init__(self, design, module, group):
        self.design = design
        self.graph = design.graph
        self.group = group
        self.is_top = group is design.graph.top
        self.builder = _BodyBuilder(design.graph, group)
        self.actual = []
        self.sites = []
        self.vertices = []
        self.open = []
        self.outside = {}
        self.clocks = {}
        self.ports = []
        self.input_ports = []
        self.far_ports = []
        self.used_inputs = set()
        self.instances = self._instances(module)
        self.root = self.instances[0]
        self._trace()
        for instance in self.instances:
            instance.split_memories()
        self._evaluate()
        self._finish()

    def _instances(self, module):
        """Instances within the body, those of other bodies aside."""
        design = self.design
        root = Instance(self, design.template(module.name), None, None, "")
        result = []
        stack: list[tuple[Instance, tuple[int, ...]]] = [(root, ())]
        while stack:
            instance, indices = stack.pop()
            result.append(instance)
            below: list[tuple[Instance, tuple[int, ...]]] = []
            for index in instance.template.children:
                cell = instance.module.cells[index]
                name = public(cell.name)
                path = f"{instance.path}.{name}" if instance.path else name
                one = design.types[cell.type]
                if one.key in design.bodies:
                    body = design.bodies[one.key]
                    wires = one.renaming(design.modules[cell.type], one.module)
                    site = Site(body, instance, cell, (*indices, index), path, wires)
                    instance.children[index] = site
                    self.sites.append(site)
                else:
                    child = Instance(self, design.template(cell.type), instance, cell, path)
                    instance.children[index] = child
                    below.append((child, (*indices, index)))
            stack.extend(reversed(below))
        return result

    # Tracing -------------------------------------------------------------------------------------

    def resolve(self, instance, vector):
        """Where bits come from: segments (source, low, width), lowest first.

        Sources are vertices, values from outside, and None for a constant, ``low`` being its value.
        """
        if len(vector) == 1:
            known = instance.known.get(vector[0])
            if known is not None:
                return known
        result: list[tuple] = []
        stack = [(instance, chunk, 0) for chunk in reversed(vector)]
        while stack:
            place, chunk, depth = stack.pop()
            # As long as one chunk leads to one other, the places on the way have the same source.
            trail = []
            while True:
                segments = place.known.get(chunk)
                if segments is not None:
                    break
                trail.append((place, chunk))
                more = self._step(place, chunk)
                if type(more) is list:
                    segments = more
                    break
                depth += 1
                if depth > 100_000:
                    wire = place.module.wires[chunk[0]] if type(chunk[0]) is str else None
                    self.refuse_loop([(wire.name, source_of(wire.attributes))] if wire else [])
                if len(more) != 1:
                    stack.extend((inner, part, depth) for inner, part in reversed(more))
                    break
                ((place, chunk),) = more
            if segments is not None:
                for inner, part in trail:
                    inner.known[part] = segments
                for segment in segments:
                    self._append(result, *segment)
        if len(vector) == 1:
            instance.known[vector[0]] = result
        return result

    def _step(self, instance, chunk):
        """A list of the segments that a chunk is, or a tuple of chunks that drive it."""
        name, low, width = chunk
        kind = type(name)
        if name is None:
            return [chunk]
        if kind is str:
            entries = instance.template.drivers.get(name, ())
            return tuple((instance, part) for part in _driven(entries, low, width))
        if kind is Logic or kind is State:
            return [(instance.vertex(name), low, width)]
        if kind is Input:
            if instance.parent is None:
                return [(self._input(name.wire), low, width)]
            vector = instance.connection(name.wire, low, width)
            return tuple((instance.parent, part) for part in vector)
        if kind is not Output:
            return [chunk]
        child = instance.children[name.cell]
        if type(child) is Instance:
            return ((child, (name.port, low, width)),)
        found: list[tuple] = []
        for source, start, size in child.body.output(child.wires.get(name.port), low, width):
            if type(source) is InputValue:
                vector = child.connection(source.wire, start, size)
                found.extend((instance, part) for part in vector)
            elif source is None:
                found.append((instance, (None, start, size)))
            else:
                found.append((instance, (self._far(child, source), start, size)))
        return tuple(found)

    def output(self, wire, low, width):
        """Where bits of a wire of the root come from, for the bodies around."""
        if wire is None:
            return [(None, 0, width)]
        return self.resolve(self.root, ((wire, low, width),))

    @staticmethod
    def _append(result, source, low, width):
        if result:
            last, start, size = result[-1]
            if last is source:
                if source is None:
                    result[-1] = (None, start | low << size, size + width)
                    return
                if start + size == low:
                    result[-1] = (source, start, size + width)
                    return
        result.append((source, low, width))

    def _input(self, wire):
        found = self.outside.get(wire)
        if found is None:
            found = (TopInput if self.is_top else InputValue)(self, wire)
            self.outside[wire] = found
        return found

    def _far(self, site, source):
        found = self.outside.get((site, source))
        if found is None:
            found = self.outside[site, source] = FarValue(self, site, source)
        return found

    def _need(self, instance, vector):
        """Resolve, and note what is needed from outside."""
        segments = self.resolve(instance, vector)
        for source, low, width in segments:
            if isinstance(source, Ranged) and not source.frozen:
                source.wanted.append((low, low + width))
        return segments

    def _operand(self, instance, operand):
        vector, width, signed = operand
        size = width_of(vector)
        if size > width:
            vector = slice_of(vector, 0, width)
            size = width
        return self._need(instance, vector), size, signed

    def _close(self):
        """Trace the operands of all vertices found, and of those found by that."""
        while self.open:
            vertex = self.open.pop()
            logic = vertex.logic
            instance = vertex.instance
            vertex.lanes = [self._operand(instance, operand) for operand in logic.lanes]
            vertex.whole = [self._operand(instance, operand) for operand in logic.whole]
            needs: dict[Vertex, None] = {}
            for segments, _, _ in (*vertex.lanes, *vertex.whole):
                for source, _, _ in segments:
                    if type(source) is Vertex and source.node is None:
                        needs[source] = None
            vertex.needs = list(needs)

    def _trace(self):
        """Find everything that state, effects and outputs need; then what only has a name."""
        self.effects = []
        for instance in self.instances:
            template = instance.template
            for state in template.states:
                instance.vertex(state)
            for effect in template.effects:
                operands = [self._operand(instance, operand) for operand in effect.operands]
                self.effects.append((effect, instance, operands))
            for vector, what in template.clocks:
                self._note_clock(instance, vector, what)
        for site in self.sites:
            for value in list(site.body.outside.values()):
                if type(value) is InputValue:
                    for low, high in value.first:
                        vector = site.connection(value.wire, low, high - low)
                        self._need(site.parent, vector)
            for wire, what in site.body.clocks.items():
                self._note_clock(site.parent, site.connection(wire, 0, 1), what)
        self.outputs = {}
        if self.is_top:
            for wire in self.root.module.wires.values():
                if wire.port == "output" and wire.width:
                    vector = ((wire.name, 0, wire.width),)
                    self.outputs[public(wire.name)] = self._need(self.root, vector)
                elif wire.port == "input" and wire.width:
                    self._input(wire.name)
        else:
            for wire in self.root.module.wires.values():
                if wire.port == "output" and wire.width:
                    # The bodies around see through the port, so that only its logic is needed.
                    self.resolve(self.root, ((wire.name, 0, wire.width),))
        self._close()
        for value in list(self.outside.values()):
            value.freeze()
        # From here on nothing is noted as needed: names alone make no ports wider.
        self.signals = []
        for instance in self.instances:
            signals = []
            for wire in self.design.types[instance.module.name].named(instance.module):
                segments = self.resolve(instance, ((wire.name, 0, wire.width),))
                clock = segments[0][0]
                if not (isinstance(clock, Ranged) and self._is_clock(clock)):
                    signals.append((public(wire.name), segments))
            self.signals.append(signals)
        self._close()

    def _is_clock(self, value):
        return getattr(value, "wire", None) in self.clocks

    def _note_clock(self, instance, vector, what):
        segments = self.resolve(instance, vector)
        if len(segments) == 1:
            source, low, width = segments[0]
            if isinstance(source, InputValue | TopInput):
                size = self.root.module.wires[source.wire].width
                if (low, width, size) == (0, 1, 1):
                    self.clocks.setdefault(source.wire, what)
                    return
        name = next((public(chunk[0]) for chunk in vector if isinstance(chunk[0], str)), None)
        name = "a constant" if name is None else repr(name)
        raise UnsupportedDesign(
            f"{what} is clocked by {name}, which is not an input of the design: derived clocks are "
            "not supported"
        )

    # Making nodes --------------------------------------------------------------------------------

    def fetch(self, operand, low, high):
        """Node of bits of an operand, extended as it is said to be."""
        segments, size, signed = operand
        b = self.builder
        if low >= size:
            if not signed or not size:
                return b.const(0, high - low)
            return b.extend(self._value(segments, size - 1, size), high - low, True)
        if high <= size:
            return self._value(segments, low, high)
        return b.extend(self._value(segments, low, size), high - low, signed)

    def _value(self, segments, low, high):
        parts = []
        at = 0
        for source, start, width in segments:
            a, z = max(low, at), min(high, at + width)
            if a < z:
                if source is None:
                    parts.append(self.builder.const(start >> (a - at), z - a))
                else:
                    parts.append(source.value(start + a - at, z - a))
            at += width
            if at >= high:
                break
        return self.builder.concat(parts)

    def _evaluate(self):
        """Make the nodes of all vertices."""
        for component in components(self.vertices):
            if len(component) == 1 and component[0] not in component[0].needs:
                self._make(component[0])
            else:
                Loop(self, component).make()

    def _make(self, vertex):
        logic = vertex.logic
        width = logic.width
        lanes = [self.fetch(operand, 0, width) for operand in vertex.lanes]
        vertex.node = self.compute(vertex, lanes)

    def compute(self, vertex, lanes):
        """Node of an operation for these lanes."""
        logic = vertex.logic
        whole = [
            self.fetch(operand, 0, size)
            for operand, (_, size, _) in zip(vertex.whole, logic.whole, strict=True)
        ]
        if type(logic.compute) is MemoryTemplate:
            return vertex.instance.read(logic.compute, whole[0])
        return logic.compute(self.builder, lanes, whole)

    def _finish(self):
        """State, effects and outputs."""
        for effect, instance, operands in self.effects:
            nodes = [
                self.fetch(operand, 0, size)
                for operand, (_, size, _) in zip(operands, effect.operands, strict=True)
            ]
            effect.apply(self.builder, instance, nodes)
        if self.is_top:
            for value in self.outside.values():
                if type(value) is TopInput and value.wire not in self.clocks:
                    self.graph.inputs[public(value.wire)] = value.node
            for name, segments in self.outputs.items():
                width = sum(size for _, _, size in segments)
                self.graph.outputs[name] = self._value(segments, 0, width)

    def scope(self):
        """Names of the body's nodes."""
        scopes = {}
        for instance, signals in zip(self.instances, self.signals, strict=True):
            scope = scopes[instance] = Scope(self.group)
            for name, segments in signals:
                width = sum(size for _, _, size in segments)
                scope.signals[name] = self._value(segments, 0, width)
            for name, parts in instance.memories.items():
                scope.memories[public(name)] = [part for _, part in parts]
            if instance.parent is not None:
                scopes[instance.parent].children[public(instance.cell.name)] = scope
        for site in self.sites:
            place = scopes[site.parent].children
            place[public(site.cell.name)] = (site.body.group, list(site.numbers))
        return scopes[self.root]

    def connect_inputs(self):
        """Fill in the sources of the ports of inner bodies' inputs."""
        for site in self.sites:
            for wire, low, high, port in site.body.input_ports:
                if not port.sources:
                    port.sources = [None] * site.body.group.count
                segments = self.resolve(site.parent, site.connection(wire, low, high - low))
                if self.open:
                    # Logic that only a name in the inner body makes use of.
                    self.vertices = []
                    self._close()
                    self._evaluate()
                node = self._value(segments, 0, high - low)
                for i, number in enumerate(site.numbers):
                    port.sources[number] = (node, i)

    def connect_outputs(self):
        """Fill in the sources of the ports of inner bodies' values."""
        for port, site, node in self.far_ports:
            port.sources = [(node, number) for number in site.numbers]

    def refuse_loop(self, parts):
        """Tell of a combinational loop; ``parts`` are names and places."""
        names = ", ".join(f"{public(name)!r}{where}" for name, where in dict.fromkeys(parts))
        raise UnsupportedDesign(f"combinational loop through {names}, which is not supported")


class _BodyBuilder(Builder):
    """Nodes and effects of one body; buffers are used in the top only."""

    def _buffer(self, name, width, shared, where):
        buffers = self.graph.buffers
        for buffer in buffers:
            if buffer.name == name:
                if (buffer.width, buffer.shared) != (width, shared):
                    raise UnsupportedDesign(
                        f"buffer {name!r}{where} is declared in two ways: "
                        f"width {buffer.width}, shared {int(buffer.shared)} and "
                        f"width {width}, shared {int(shared)}"
                    )
                return buffer
        if not 1 <= width <= 64:
            raise UnsupportedDesign(
                f"buffer {name!r}{where} must have words of 1 to 64 bits, not {width}"
            )
        buffers.append(Buffer(name, width, shared))
        return buffers[-1]

    def load(self, name, width, shared, address, where):
        """A word of a buffer."""
        return self.node("load", width, address, attr=self._buffer(name, width, shared, where))

    def store(self, name, width, shared, address, data, enable, where):
        """A write to a buffer."""
        buffer = self._buffer(name, width, shared, where)
        self.graph.stores.append(Store(buffer, address, data, enable))


def _driven(entries, low, width):
    """Chunks that drive bits of a wire; those that nothing drives are 0."""
    end = low + width
    k = 0
    if len(entries) > 4:
        k = max(0, bisect_right(entries, low, key=lambda entry: entry[0]) - 1)
    result = []
    while k < len(entries) and low < end:
        start, stop, source, position = entries[k]
        k += 1
        if stop <= low:
            continue
        if start >= end:
            break
        if start > low:
            result.append((None, 0, start - low))
            low = start
        taken = min(stop, end) - low
        at = low - start
        if source is None:
            result.append((None, position >> at & ((1 << taken) - 1), taken))
        else:
            result.append((source, position + at, taken))
        low += taken
    if low < end:
        result.append((None, 0, end - low))
    return result
