"""LLVM code of a schedule: a function per chunk, and the loop over cycles.

All state lies in one block of memory, the *arena*. A value of a group has an element per instance
if it is uniform and per instance and lane if it varies, lanes side by side; an element is the
value's container (see `ranges`), at least a byte.
"""

from dataclasses import dataclass, replace

import numpy as np

from .ranges import container, literal
from .schedule import Effect

__all__ = ["Layout", "Place", "generate", "loops"]

_ALIGN = 64
# Lines of a function that is worth a call.
LONGEST_INLINE = 400
# Stores between two barriers. When LLVM orders instructions, it looks at all pairs of a store and
# another access in between: most of its time, where there are many.
STORES = 16
# Elements that a vector loop may touch beyond the end of an array.
_SLACK = 256


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value's elements lie: ``count`` instances times ``lanes``, or fewer dimensions.

    ``offset`` is in bytes from the start of the arena; ``pitch``, if not 0, is the number of
    elements from one word of a memory to the next.
    """

    offset: int
    width: int
    count: int
    lanes: int
    depth: int = 1
    pitch: int = 0

    @property
    def bytes(self):
        """Of an element."""
        return max(8, container(self.width)) // 8

    @property
    def stride(self):
        """Elements from one instance to the next."""
        return self.lanes

    @property
    def row(self):
        """Elements of one word of a memory, or of the whole value."""
        return self.pitch or self.count * self.lanes

    def at(self, instance):
        """The place of one instance of a value that is no memory."""
        return Place(self.offset + instance * self.lanes * self.bytes, self.width, 1, self.lanes)


class Layout:
    """The arena.

    Members
    -------
    size : int
        Bytes.
    lanes : int
        Of the arrays: the number of lanes, rounded up to what a vector holds.
    """

    def __init__(self, lanes, *schedules):
        self.lanes = lanes
        self.size = 0
        self.varying = set().union(*(schedule.varying for schedule in schedules))
        self._places = {}
        self._free: dict[int, list[int]] = {}
        self.initial: list[tuple[Place, list[int]]] = []
        self.initials: list[tuple[Place, list[list[int]]]] = []
        self.tables: dict[int, list[int]] = {}
        self.stops = any(
            effect.kind == "stop" for schedule in schedules for effect in schedule.effects
        )
        self.halt = self._reserve(_ALIGN)
        self.running = self._reserve(_ALIGN)
        self.zero = self._reserve(_ALIGN)
        for schedule in schedules:
            for effect in schedule.effects:
                if effect.kind == "shift":
                    self.chain(effect.target)

    def _reserve(self, size):
        offset = self.size
        self.size += -(-size // _ALIGN) * _ALIGN
        return offset

    def _pack(self, size):
        """Single elements lie close together."""
        free = self._free.get(size, [])
        if not free:
            line = max(_ALIGN, size)
            start = self._reserve(line)
            free = self._free[size] = list(range(start, start + line - size + 1, size))[::-1]
        return free.pop()

    def place(self, key, width, count, depth=None):
        """The place of a node, register, memory or effect; made when asked for first."""
        place = self._places.get(key)
        if place is None:
            lanes = self.lanes if key in self.varying else 1
            # Vectors over instances may end beyond the last one.
            pitch = -(-count // _ALIGN) * _ALIGN if depth and count > 1 and lanes == 1 else 0
            place = Place(0, width, count, lanes, depth or 1, pitch)
            rows = 1 if depth is None else depth + 1  # one more, for writes that are not enabled
            if rows * place.row == 1:
                offset = self._pack(place.bytes)
            else:
                slack = _SLACK if count > 1 else 0
                offset = self._reserve((rows * place.row + slack) * place.bytes)
            place = self._places[key] = replace(place, offset=offset)
        return place

    def chain(self, registers):
        """Places of single registers, one after another."""
        if any(register in self._places for register in registers):
            raise ValueError("a register cannot be in two chains")
        lanes = self.lanes if registers[0] in self.varying else 1
        place = Place(0, registers[0].width, 1, lanes)
        start = self._reserve(len(registers) * place.row * place.bytes)
        for index, register in enumerate(registers):
            offset = start + index * place.row * place.bytes
            self._places[register] = replace(place, offset=offset)

    def constant(self, node):
        """A place that holds a constant's value."""
        if node not in self._places:
            self.initial.append((self.place(node, node.width, 1), [node.attr]))
        return self._places[node]

    def array(self, width, lanes):
        """A new place of one instance."""
        place = Place(0, width, 1, lanes)
        return replace(place, offset=self._reserve(lanes * place.bytes))

    def spread(self, port, source, number):
        """Place of a uniform source of an indirect port, in all lanes."""
        key = port, source, number
        if key not in self._places:
            self._places[key] = self.array(port.width, self.lanes)
        return self._places[key]

    def table(self, port):
        """Offset of the table of an indirect port."""
        key = port, "table"
        if key not in self._places:
            self._places[key] = self._reserve(8 * port.group.count)
        return self._places[key]

    def image(self):
        """The arena at the start: initial values of all state."""
        arena = np.zeros(self.size, np.uint8)
        for place, words in self.initial:
            fill(arena, place, words)
        for place, inits in self.initials:
            for instance, words in enumerate(inits):
                fill(arena, place, words, instance)
        for offset, entries in self.tables.items():
            arena[offset : offset + 8 * len(entries)] = np.array(entries, np.int64).view(np.uint8)
        return arena


def fill(arena, place, words, instance=None):
    """Put ``words``, one per row of ``place``, in each lane of one instance, or of all."""
    if not any(words):
        return
    size = place.bytes
    mask = (1 << 8 * size) - 1
    row = np.frombuffer(
        b"".join((literal(w, place.width) & mask).to_bytes(size, "little") for w in words), np.uint8
    ).reshape(len(words), 1, size)
    view = arena[place.offset : place.offset + len(words) * place.row * size]
    rows = view.reshape(len(words), place.row, size)
    if instance is not None:
        rows = rows[:, instance * place.lanes : (instance + 1) * place.lanes]
    rows[:] = row


def generate(graph, layout, schedule, ranges, *, name, vector):
    """LLVM text of a function ``name(arena, buffers)`` that does one cycle of ``schedule``.

    Parameters
    ----------
    vector : int
        Elements per vector.
    """
    buffers = {buffer: k for k, buffer in enumerate(graph.buffers)}
    texts = []
    calls = []
    for index, chunk in enumerate(schedule.chunks):
        if chunk.items or chunk.ports:
            function = _Function(
                f"{name}_{index}", chunk, layout, schedule, ranges, buffers, vector
            )
            texts.append(function.text())
            calls.append(f"  call void @{name}_{index}(ptr %arena, ptr %buffers)")
    body = "\n".join(calls)
    texts.append(
        f"define void @{name}(ptr noalias %arena, ptr noalias %buffers) #0 {{\n"
        f"{body}\n  ret void\n}}\n"
    )
    return "\n".join(texts)


def loops(layout):
    """LLVM text of what runs many cycles.

    ``run(arena, buffers, cycles)`` gives the number of cycles done. It ends early after a cycle
    that violated an assertion, or in which every lane has stopped.

    ``record(arena, buffers, cycles, entries, count, out)`` does the same, and before each clock
    edge copies ``count`` pieces of the arena, given by offset and size, to ``out``, one after
    another.

    ``cover(arena, buffers, cycles, entries, count, before, rise, fall)`` does the same, and before
    each clock edge looks at ``count`` pieces of the arena, given by offset and number of 8-byte
    words: it notes in ``rise`` and ``fall`` the bits that changed since ``before``, which it
    brings up to date.
    """
    finish = f"""\
  store i8 0, ptr %running
  call void @cycle(ptr %arena, ptr %buffers)
  %next = add i64 %k, 1
  %h = load i8, ptr %halt
  %r = load i8, ptr %running
  %halted = icmp ne i8 %h, 0
  %stopped = icmp eq i8 %r, {0 if layout.stops else 1}
  %done = or i1 %halted, %stopped
  %last = icmp eq i64 %next, %cycles
  %end = or i1 %done, %last
"""
    start = f"""\
  %some = icmp sgt i64 %cycles, 0
  %halt = getelementptr i8, ptr %arena, i64 {layout.halt}
  %running = getelementptr i8, ptr %arena, i64 {layout.running}
  br i1 %some, label %start, label %none
start:
  br label %loop
"""
    end = """\
exit:
  ret i64 %next
none:
  ret i64 0
}
"""
    return f"""\
define i64 @run(ptr noalias %arena, ptr noalias %buffers, i64 %cycles) #0 {{
{start}loop:
  %k = phi i64 [ 0, %start ], [ %next, %loop ]
{finish}  br i1 %end, label %exit, label %loop
{end}
define i64 @cover(ptr noalias %arena, ptr noalias %buffers, i64 %cycles, ptr noalias %entries,
                  i64 %count, ptr noalias %before, ptr noalias %rise, ptr noalias %fall) #0 {{
{start}loop:
  %k = phi i64 [ 0, %start ], [ %next, %edge ]
  call void @settle(ptr %arena, ptr %buffers)
  %any = icmp sgt i64 %count, 0
  br i1 %any, label %piece, label %edge
piece:
  %e = phi i64 [ 0, %loop ], [ %e.next, %piece.end ]
  %index = phi i64 [ 0, %loop ], [ %index.end, %piece.end ]
  %entry = getelementptr {{ i64, i64 }}, ptr %entries, i64 %e
  %offset = load i64, ptr %entry
  %words.at = getelementptr i8, ptr %entry, i64 8
  %words = load i64, ptr %words.at
  %from = getelementptr i8, ptr %arena, i64 %offset
  %index.end = add i64 %index, %words
  br label %word
word:
  %w = phi i64 [ 0, %piece ], [ %w.next, %word ]
  %spot = add i64 %index, %w
  %now.at = getelementptr i64, ptr %from, i64 %w
  %now = load i64, ptr %now.at, align 1
  %old.at = getelementptr i64, ptr %before, i64 %spot
  %old = load i64, ptr %old.at
  store i64 %now, ptr %old.at
  %not.old = xor i64 %old, -1
  %not.now = xor i64 %now, -1
  %up = and i64 %now, %not.old
  %down = and i64 %old, %not.now
  %rise.at = getelementptr i64, ptr %rise, i64 %spot
  %rises = load i64, ptr %rise.at
  %rises.new = or i64 %rises, %up
  store i64 %rises.new, ptr %rise.at
  %fall.at = getelementptr i64, ptr %fall, i64 %spot
  %falls = load i64, ptr %fall.at
  %falls.new = or i64 %falls, %down
  store i64 %falls.new, ptr %fall.at
  %w.next = add i64 %w, 1
  %w.more = icmp ult i64 %w.next, %words
  br i1 %w.more, label %word, label %piece.end
piece.end:
  %e.next = add i64 %e, 1
  %more = icmp ult i64 %e.next, %count
  br i1 %more, label %piece, label %edge
edge:
{finish}  br i1 %end, label %exit, label %loop
{end}
define i64 @record(ptr noalias %arena, ptr noalias %buffers, i64 %cycles, ptr noalias %entries,
                   i64 %count, ptr noalias %out) #0 {{
{start}loop:
  %k = phi i64 [ 0, %start ], [ %next, %edge ]
  %to = phi ptr [ %out, %start ], [ %to.end, %edge ]
  call void @settle(ptr %arena, ptr %buffers)
  %any = icmp sgt i64 %count, 0
  br i1 %any, label %copy, label %edge
copy:
  %e = phi i64 [ 0, %loop ], [ %e.next, %copy ]
  %to.now = phi ptr [ %to, %loop ], [ %to.next, %copy ]
  %entry = getelementptr {{ i64, i64 }}, ptr %entries, i64 %e
  %offset = load i64, ptr %entry
  %size.at = getelementptr i8, ptr %entry, i64 8
  %size = load i64, ptr %size.at
  %from = getelementptr i8, ptr %arena, i64 %offset
  call void @llvm.memcpy.p0.p0.i64(ptr %to.now, ptr %from, i64 %size, i1 false)
  %to.next = getelementptr i8, ptr %to.now, i64 %size
  %e.next = add i64 %e, 1
  %more = icmp ult i64 %e.next, %count
  br i1 %more, label %copy, label %edge
edge:
  %to.end = phi ptr [ %to, %loop ], [ %to.next, %copy ]
{finish}  br i1 %end, label %exit, label %loop
{end}
"""


def _element(bits):
    """Type of an array's element, for addresses.

    Integers of several machine words have an alignment of their own in LLVM, and so a larger size.
    """
    return f"i{bits}" if bits <= 64 else f"[{bits // 8} x i8]"


class _Function:
    """Code of one chunk."""

    def __init__(self, name, chunk, layout, schedule, ranges, buffers, vector):
        self.name = name
        self.chunk = chunk
        self.layout = layout
        self.schedule = schedule
        self.ranges = ranges
        self.buffers = buffers
        key = chunk.key
        self.count = key.group.count
        self.lanes = layout.lanes if key.varying else 1
        self.varying = key.varying
        if key.wide or not (key.varying or self.count > 1):
            self.vector = 1
        elif key.varying:
            self.vector = min(vector, self.lanes)
        else:
            self.vector = min(vector, 1 << (self.count - 1).bit_length())
        self.lines: list[str] = []
        self.values: dict = {}
        self.clean: dict = {}
        self.bases: dict = {}
        self.rows: dict = {}
        self.counter = self.stores = 0
        # Indices of the element at hand: instance, lane, both.
        self.instance = self.lane = self.element = "0"

    # Text

    def new(self, text):
        self.counter += 1
        name = f"%v{self.counter}"
        self.lines.append(f"  {name} = {text}")
        return name

    def do(self, text):
        self.lines.append(f"  {text}")
        if text.startswith(("store", "call")):
            self.stores += 1
            if self.stores % STORES == 0:
                self.lines.append('  call void asm sideeffect "", ""()')

    def type(self, bits):
        return f"i{bits}" if self.vector == 1 else f"<{self.vector} x i{bits}>"

    def splat(self, value, bits):
        """A constant operand."""
        if bits == 1:
            value = "true" if value else "false"
        return str(value) if self.vector == 1 else f"splat (i{bits} {value})"

    def text(self):
        gate = self.chunk.key.gate
        if gate is None:
            self.do("br label %start")
        else:
            self.do(f"br i1 {self.load_scalar(gate)}, label %start, label %end")
        self.lines.append("start:")
        if self.chunk.ports:
            for port in self.chunk.ports:
                self.copy(port)
        elif self.chunk.key.whole:
            for effect in self.chunk.items:
                self.shift(effect)
        else:
            self.loops()
        if gate is not None:
            self.do("br label %end")
            self.lines.append("end:")
        self.do("ret void")
        if self.varying and self.vector > 1 and self.count == 1:
            # Vectors are loaded, computed and stored one by one: LLVM finds nothing to gain.
            attributes = "#2"
        else:
            # Calls cost more than short chunks.
            attributes = "#1" if len(self.lines) < LONGEST_INLINE else "#0"
        head = (
            f"define internal void @{self.name}(ptr noalias %arena, ptr noalias %buffers) "
            f"{attributes} {{"
        )
        return "\n".join([head, *self.lines, "}", ""])

    def loops(self):
        outer = self.count if self.varying and self.count > 1 else 1
        inner = self.lanes if self.varying else self.count
        entry = "start"
        if outer > 1:
            self.do("br label %outer")
            self.lines.append("outer:")
            self.do(f"%k = phi i64 [ 0, %{entry} ], [ %k.next, %outer.end ]")
            down = self.chunk.key.group in self.schedule.descending
            self.do(f"%i = sub i64 {outer - 1}, %k" if down else "%i = add i64 %k, 0")
            entry = "outer"
        inner_loop = inner > self.vector
        if inner_loop:
            self.do("br label %inner")
            self.lines.append("inner:")
            self.do(f"%l = phi i64 [ 0, %{entry} ], [ %l.next, %inner ]")
        index = "%l" if inner_loop else "0"
        if self.varying:
            self.instance = "%i" if outer > 1 else "0"
            self.lane = index
            if outer > 1:
                start = self.new(f"mul i64 %i, {self.lanes}")
                self.element = self.new(f"add i64 {start}, {index}")
            else:
                self.element = index
        else:
            self.instance = self.element = index
        for item in self.chunk.items:
            if isinstance(item, Effect):
                getattr(self, f"effect_{item.kind}")(item, *self.prepare(item))
                continue
            self.values[item] = self.compute(item)
            if item in self.schedule.stored:
                place = self.layout.place(item, item.width, item.group.count)
                self.store(self.values[item], container(item.width), place)
        if inner_loop:
            self.do(f"%l.next = add i64 %l, {self.vector}")
            self.do(f"%l.more = icmp ult i64 %l.next, {inner}")
            self.do("br i1 %l.more, label %inner, label %inner.end")
            self.lines.append("inner.end:")
        if outer > 1:
            self.do("br label %outer.end")
            self.lines.append("outer.end:")
            self.do("%k.next = add i64 %k, 1")
            self.do(f"%k.more = icmp ult i64 %k.next, {outer}")
            self.do("br i1 %k.more, label %outer, label %finish")
            self.lines.append("finish:")

    # Memory

    def locate(self, node):
        """``(place, shift, step)`` of a node that is not computed here.

        Instance i of the node is instance ``shift + i * step`` of the place.
        """
        source, shift = self.schedule.views.get(node, (node, 0))
        key = source.attr if source.op == "register" else source
        place = self.layout.place(key, source.width, source.group.count)
        return place, shift, self.schedule.steps.get(node, 1) if place.count > 1 else 0

    def pointer(self, offset, bits, index="0"):
        return self.new(f"getelementptr i8, ptr {self.base(bits, index)}, i64 {offset}")

    def base(self, bits, index):
        """The arena, moved by so many elements: what follows is a constant in the instruction."""
        if index == "0":
            return "%arena"
        key = _element(bits), index
        if key not in self.bases:
            self.bases[key] = self.new(f"getelementptr {key[0]}, ptr %arena, i64 {index}")
        return self.bases[key]

    def load_at(self, place, shift, step):
        """The elements at hand of a place; raw."""
        fixed = step == 0
        bits = max(8, container(place.width))
        offset = place.offset + shift * place.stride * place.bytes
        if step > 1:
            return self.load_apart(place.width, offset, step)
        scalar = False
        if place.lanes > 1:
            index = self.lane if fixed else self.element
        else:
            index = "0" if fixed else self.instance
            # In a chunk over lanes, or for one instance, there is one element for all.
            scalar = fixed or self.varying
        pointer = self.pointer(offset, bits, index)
        if not scalar or self.vector == 1:
            return self.load(pointer, container(place.width), self.vector)
        value = self.load(pointer, container(place.width), 1)
        return self.spread(value, container(place.width))

    def load(self, pointer, bits, count):
        """Elements that lie side by side, ``count`` of them."""
        memory = max(8, bits)
        kind = f"i{memory}" if count == 1 else f"<{count} x i{memory}>"
        align = min(memory // 8, 8)
        known = ", !range !0" if bits == 1 and count == 1 else ""
        value = self.new(f"load {kind}, ptr {pointer}, align {align}{known}")
        if bits > 1:
            return value
        if count == 1:
            return self.new(f"trunc i8 {value} to i1")
        return self.new(f"icmp ne {kind} {value}, splat (i8 0)")

    def load_apart(self, width, offset, step):
        """Elements of a group that are ``step`` apart."""
        bits = max(8, container(width))
        index = self.instance
        if index != "0":
            index = self.new(f"mul i64 {index}, {step}")
        pointer = self.pointer(offset, bits, index)
        if self.vector == 1:
            return self.load(pointer, container(width), 1)
        many = f"<{self.vector * step} x i{container(width)}>"
        value = self.load(pointer, container(width), self.vector * step)
        mask = ", ".join(f"i32 {k * step}" for k in range(self.vector))
        return self.new(
            f"shufflevector {many} {value}, {many} poison, <{self.vector} x i32> <{mask}>"
        )

    def load_shuffled(self, port):
        """All elements of a port, from anywhere in a stretch of its source."""
        place, shift, _ = self.locate(port)
        numbers = self.schedule.shuffles[port]
        bits = container(port.width)
        offset = place.offset + shift * place.bytes
        length = 1 << max(numbers).bit_length()
        value = self.load(self.pointer(offset, max(8, bits)), bits, max(length, 2))
        many = f"<{max(length, 2)} x i{bits}>"
        numbers = numbers + numbers[-1:] * (self.vector - len(numbers))
        mask = ", ".join(f"i32 {number}" for number in numbers)
        return self.new(
            f"shufflevector {many} {value}, {many} poison, <{self.vector} x i32> <{mask}>"
        )

    def load_through(self, port):
        """The elements at hand of a port, from where its table says they are."""
        bits = max(8, container(port.width))
        base = self.new(f"getelementptr i8, ptr %arena, i64 {self.layout.table(port)}")
        entry = self.new(f"getelementptr i64, ptr {base}, i64 {self.instance}")
        offset = self.new(f"load i64, ptr {entry}")
        pointer = self.new(f"getelementptr i8, ptr %arena, i64 {offset}")
        if self.lane != "0":
            pointer = self.new(f"getelementptr {_element(bits)}, ptr {pointer}, i64 {self.lane}")
        return self.load(pointer, container(port.width), self.vector)

    def spread(self, value, bits):
        """A scalar in all elements."""
        if self.vector == 1:
            return value
        if bits == 1 and self.vector >= 8:
            mask = self.new(f"sext i1 {value} to i{self.vector}")
            return self.new(f"bitcast i{self.vector} {mask} to {self.type(1)}")
        one = self.new(f"insertelement {self.type(bits)} poison, i{bits} {value}, i64 0")
        return self.new(
            f"shufflevector {self.type(bits)} {one}, {self.type(bits)} poison, "
            f"<{self.vector} x i32> zeroinitializer"
        )

    def load_scalar(self, node):
        """A uniform value of the instance at hand, as a scalar; zero-extended."""
        bits = container(node.width)
        if node.op == "const":
            return ("true" if node.attr else "false") if bits == 1 else str(node.attr)
        place, shift, step = self.locate(node)
        offset = place.offset + shift * place.stride * place.bytes
        index = "0" if step == 0 else self.instance
        value = self.load(self.pointer(offset, max(8, bits), index), bits, 1)
        if bits > 1 and self.ranges.unsigned(node) > node.width:
            value = self.new(f"and i{bits} {value}, {(1 << node.width) - 1}")
        return value

    def store(self, value, bits, place, offset=None, index=None):
        memory = max(8, bits)
        if bits == 1:
            value = self.new(f"zext {self.type(1)} {value} to {self.type(8)}")
        pointer = self.pointer(
            place.offset if offset is None else offset,
            memory,
            self.element if index is None else index,
        )
        align = place.bytes if place.bytes in (1, 2, 4, 8) else 8
        self.do(f"store {self.type(memory)} {value}, ptr {pointer}, align {align}")

    # Values

    def get(self, node):
        """A node's value, in its container, with whatever is above its width."""
        value = self.values.get(node)
        if value is None:
            if node.op == "const":
                value = self.splat(literal(node.attr, node.width), container(node.width))
            elif node in self.schedule.indirect:
                value = self.load_through(node)
            elif node in self.schedule.shuffles:
                value = self.load_shuffled(node)
            else:
                value = self.load_at(*self.locate(node))
            self.values[node] = value
        return value

    def zero_extended(self, node):
        bits = container(node.width)
        if node.op == "const":
            return self.splat(node.attr, bits)
        value = self.get(node)
        if bits == 1 or self.ranges.unsigned(node) <= node.width:
            return value
        key = node, "z"
        if key not in self.clean:
            mask = self.splat((1 << node.width) - 1, bits)
            self.clean[key] = self.new(f"and {self.type(bits)} {value}, {mask}")
        return self.clean[key]

    def sign_extended(self, node):
        bits = container(node.width)
        value = self.get(node)
        if bits == 1 or node.op == "const" or self.ranges.signed(node) <= node.width:
            return value
        key = node, "s"
        if key not in self.clean:
            by = self.splat(bits - node.width, bits)
            up = self.new(f"shl {self.type(bits)} {value}, {by}")
            self.clean[key] = self.new(f"ashr {self.type(bits)} {up}, {by}")
        return self.clean[key]

    def convert(self, value, old, new, signed=False):
        """Between containers."""
        if old == new:
            return value
        op = "trunc" if old > new else "sext" if signed else "zext"
        return self.new(f"{op} {self.type(old)} {value} to {self.type(new)}")

    def binary(self, op, bits, a, b):
        return self.new(f"{op} {self.type(bits)} {a}, {b}")

    def compare(self, op, bits, a, b):
        return self.new(f"icmp {op} {self.type(bits)} {a}, {b}")

    def select(self, bits, s, a, b):
        return self.new(f"select {self.type(1)} {s}, {self.type(bits)} {a}, {self.type(bits)} {b}")

    def compute(self, node):
        return getattr(self, f"op_{node.op}")(node, container(node.width), *node.args)

    def op_move(self, node, bits, a):
        return self.get(a)

    def _bitwise(self, node, bits, a, b):
        return self.binary(node.op, bits, self.get(a), self.get(b))

    op_and = op_or = op_xor = _bitwise

    def op_add(self, node, bits, a, b):
        return self.binary("xor" if bits == 1 else "add", bits, self.get(a), self.get(b))

    def op_sub(self, node, bits, a, b):
        return self.binary("xor" if bits == 1 else "sub", bits, self.get(a), self.get(b))

    def op_mul(self, node, bits, a, b):
        return self.binary("and" if bits == 1 else "mul", bits, self.get(a), self.get(b))

    def op_not(self, node, bits, a):
        return self.binary("xor", bits, self.get(a), self.splat(1 if bits == 1 else -1, bits))

    def op_neg(self, node, bits, a):
        if bits == 1:
            return self.get(a)
        return self.binary("sub", bits, self.splat(0, bits), self.get(a))

    def op_mux(self, node, bits, s, a, b):
        return self.select(bits, self.get(s), self.get(a), self.get(b))

    def _equality(self, node, _, a, b):
        bits, width = container(a.width), a.width
        signed = unsigned = 0
        for operand in (a, b):
            if operand.op != "const":
                unsigned += self.ranges.unsigned(operand) > width
                signed += self.ranges.signed(operand) > width
        clean = self.sign_extended if signed < unsigned else self.zero_extended
        return self.compare(node.op, bits, clean(a), clean(b))

    op_eq = op_ne = _equality

    def op_ult(self, node, _, a, b):
        bits = container(a.width)
        return self.compare("ult", bits, self.zero_extended(a), self.zero_extended(b))

    def op_ule(self, node, _, a, b):
        bits = container(a.width)
        return self.compare("ule", bits, self.zero_extended(a), self.zero_extended(b))

    def op_slt(self, node, _, a, b):
        bits = container(a.width)
        return self.compare("slt", bits, self.sign_extended(a), self.sign_extended(b))

    def op_sle(self, node, _, a, b):
        bits = container(a.width)
        return self.compare("sle", bits, self.sign_extended(a), self.sign_extended(b))

    def op_reduce_or(self, node, _, a):
        bits = container(a.width)
        if bits == 1:
            return self.get(a)
        signed = self.ranges.signed(a) <= a.width
        value = self.get(a) if signed else self.zero_extended(a)
        return self.compare("ne", bits, value, self.splat(0, bits))

    def op_reduce_and(self, node, _, a):
        bits = container(a.width)
        if bits == 1:
            return self.get(a)
        if self.ranges.signed(a) <= a.width:
            return self.compare("eq", bits, self.get(a), self.splat(-1, bits))
        return self.compare("eq", bits, self.zero_extended(a), self.splat((1 << a.width) - 1, bits))

    def op_reduce_xor(self, node, _, a):
        bits = container(a.width)
        if bits == 1:
            return self.get(a)
        value = self.zero_extended(a)
        kind = self.type(bits)
        suffix = f"i{bits}" if self.vector == 1 else f"v{self.vector}i{bits}"
        ones = self.new(f"call {kind} @llvm.ctpop.{suffix}({kind} {value})")
        return self.convert(ones, bits, 1)

    def op_slice(self, node, bits, a):
        wide = container(a.width)
        value = self.get(a)
        if wide == 1:
            return value
        if bits == 1:
            mask = self.splat(literal(1 << node.attr, wide), wide)
            one = self.binary("and", wide, value, mask)
            return self.compare("ne", wide, one, self.splat(0, wide))
        if node.attr:
            value = self.binary("lshr", wide, value, self.splat(node.attr, wide))
        return self.convert(value, wide, bits)

    def op_concat(self, node, bits, *parts):
        result, offset = None, 0
        for number, part in enumerate(parts, 1):
            old = container(part.width)
            signed = False
            if number == len(parts):
                signed = old > 1 and self.ranges.unsigned(part) > part.width
                signed = signed and self.ranges.signed(part) <= part.width
                value = self.get(part)
            else:
                value = self.zero_extended(part)
            if not (part.op == "const" and part.attr == 0):
                value = (
                    self.splat(literal(part.attr << offset, bits), bits)
                    if part.op == "const" and number < len(parts)
                    else self._shifted(self.convert(value, old, bits, signed), offset, bits)
                )
                result = value if result is None else self.binary("or", bits, result, value)
            offset += part.width
        return self.splat(0, bits) if result is None else result

    def _shifted(self, value, offset, bits):
        return self.binary("shl", bits, value, self.splat(offset, bits)) if offset else value

    def op_zext(self, node, bits, a):
        return self.convert(self.zero_extended(a), container(a.width), bits)

    def op_sext(self, node, bits, a):
        return self.convert(self.sign_extended(a), container(a.width), bits, signed=True)

    def _shift(self, op, bits, value, width, amount, full):
        """Shift by a variable amount; by the width or more gives what ``full`` says."""
        old = container(amount.width)
        by = self.zero_extended(amount)
        if (1 << amount.width) - 1 < bits:
            return self.binary(op, bits, value, self.convert(by, old, bits))
        # The limit must fit the container of the amount.
        far = self.compare("uge", old, by, self.splat(literal(bits, old), old))
        by = self.convert(by, old, bits)
        if full is None:
            by = self.select(bits, far, self.splat(bits - 1, bits), by)
            return self.binary(op, bits, value, by)
        by = self.select(bits, far, self.splat(0, bits), by)
        moved = self.binary(op, bits, value, by)
        return self.select(bits, far, self.splat(full, bits), moved)

    def op_shl(self, node, bits, a, amount):
        if bits == 1:
            return self._shift_bit(a, amount)
        return self._shift("shl", bits, self.get(a), node.width, amount, 0)

    def op_shr(self, node, bits, a, amount):
        if bits == 1:
            return self._shift_bit(a, amount)
        return self._shift("lshr", bits, self.zero_extended(a), node.width, amount, 0)

    def op_sshr(self, node, bits, a, amount):
        if bits == 1:
            return self.get(a)
        return self._shift("ashr", bits, self.sign_extended(a), node.width, amount, None)

    def _shift_bit(self, a, amount):
        old = container(amount.width)
        none = self.compare("eq", old, self.zero_extended(amount), self.splat(0, old))
        return self.binary("and", 1, none, self.get(a))

    # Division

    def _division(self, node, bits, a, b):
        """By zero gives zero; the quotient that does not fit wraps."""
        signed = node.op.startswith("s")
        clean = self.sign_extended if signed else self.zero_extended
        old = container(node.width)
        # Two-word division would be a call into a library; three words and more are expanded.
        bits = {1: 8, 128: 192}.get(old, old)
        x = self.convert(clean(a), old, bits, signed)
        y = self.convert(clean(b), old, bits, signed)
        if old == 128:
            x, y = self._opaque(x, bits), self._opaque(y, bits)
        zero, one = self.splat(0, bits), self.splat(1, bits)
        by_zero = self.compare("eq", bits, y, zero)
        if not signed:
            safe = self.select(bits, by_zero, one, y)
            value = self.binary("udiv" if node.op == "div_floor" else "urem", bits, x, safe)
        else:
            by_minus = self.compare("eq", bits, y, self.splat(-1, bits))
            bad = self.binary("or", 1, by_zero, by_minus)
            safe = self.select(bits, bad, one, y)
            quotient = self.binary("sdiv", bits, x, safe)
            negated = self.binary("sub", bits, zero, x)
            quotient = self.select(bits, by_minus, negated, quotient)
            rest = self.binary("sub", bits, x, self.binary("mul", bits, quotient, y))
            value = quotient if "div" in node.op else rest
            if node.op.endswith("floor"):
                differ = self.compare("slt", bits, self.binary("xor", bits, rest, y), zero)
                some = self.compare("ne", bits, rest, zero)
                down = self.binary("and", 1, differ, some)
                step = self.splat(-1, bits) if "div" in node.op else y
                value = self.binary("add", bits, value, self.select(bits, down, step, zero))
        value = self.select(bits, by_zero, zero, value)
        return self.convert(value, bits, old)

    def _opaque(self, value, bits):
        """The same value, of which LLVM cannot know that it has fewer bits."""
        zero = self.new(f"load i64, ptr {self.pointer(self.layout.zero, 64)}")
        zero = self.convert(zero, 64, bits)
        zero = self.binary("shl", bits, zero, self.splat(bits - 64, bits))
        return self.binary("xor", bits, value, zero)

    op_div_floor = op_mod_floor = _division
    op_sdiv_floor = op_smod_floor = op_sdiv_trunc = op_smod_trunc = _division

    # Memories

    def _is_scalar(self, node):
        """Whether the elements at hand have one value of this node."""
        if not self.varying:
            return self.vector == 1 or self.schedule.is_broadcast(node)
        return node.op == "const" or node not in self.schedule.varying

    def _scalar(self, node):
        """The one value of the elements at hand, zero-extended."""
        if self.vector == 1 and not (self.varying and node not in self.schedule.varying):
            return self.zero_extended(node)
        key = node, "scalar"
        if key not in self.clean:
            self.clean[key] = self.load_scalar(node)
        return self.clean[key]

    def _index64(self, value, bits, vector):
        if bits == 64:
            return value
        op = "zext" if bits < 64 else "trunc"
        if vector:
            return self.new(f"{op} {self.type(bits)} {value} to {self.type(64)}")
        return self.new(f"{op} i{bits} {value} to i64")

    def _row(self, address, limit, spare, vector):
        """``(row, inside)``: a row that exists, and whether it is the one that was asked for."""
        key = address, limit, spare, vector
        if key not in self.rows:
            self.rows[key] = self._new_row(*key)
        return self.rows[key]

    def _new_row(self, address, limit, spare, vector):
        bits = container(address.width)
        value = self.zero_extended(address) if vector else self._scalar(address)
        kind = self.type(bits) if vector else f"i{bits}"
        kind64, bit = (self.type(64), self.type(1)) if vector else ("i64", "i1")

        def const(number, size):
            if not vector:
                return str(number)
            return self.splat(number, size)

        inside = None
        if isinstance(limit, str):
            row = self._index64(value, bits, vector)
            bound = self._vector64(limit) if vector else limit
            inside = self.new(f"icmp ult {kind64} {row}, {bound}")
        elif (1 << address.width) > limit:
            bound = literal(limit, bits) if bits > 1 else "true"
            inside = self.new(
                f"icmp ult {kind} {value}, {f'splat (i{bits} {bound})' if vector else bound}"
            )
            row = self._index64(value, bits, vector)
        else:
            row = self._index64(value, bits, vector)
        if inside is not None:
            other = spare if isinstance(spare, str) and not vector else None
            if other is None:
                other = self._vector64(spare) if isinstance(spare, str) else const(spare, 64)
            row = self.new(f"select {bit} {inside}, {kind64} {row}, {kind64} {other}")
        return row, inside

    def _vector64(self, scalar):
        one = self.new(f"insertelement {self.type(64)} poison, i64 {scalar}, i64 0")
        return self.new(
            f"shufflevector {self.type(64)} {one}, {self.type(64)} poison, "
            f"<{self.vector} x i32> zeroinitializer"
        )

    def _steps(self, start):
        """``start``, ``start + 1``, ... as a vector."""
        steps = "<" + ", ".join(f"i64 {k}" for k in range(self.vector)) + ">"
        if start == "0":
            return steps
        return self.new(f"add {self.type(64)} {self._vector64(start)}, {steps}")

    def _pointers(self, base, place, row):
        """A pointer per element into row ``row`` (a vector), of each its own instance and lane."""
        bits = max(8, container(place.width))
        first = self.new(f"mul {self.type(64)} {row}, {self.splat(place.row, 64)}")
        if place.lanes > 1:
            within = self._steps(self.element)
        elif not self.varying and place.count > 1:
            within = self._steps(self.instance)
        elif self.instance != "0":
            within = self._vector64(self.instance)
        else:
            within = None
        if within is not None:
            first = self.new(f"add {self.type(64)} {first}, {within}")
        return self.new(f"getelementptr {_element(bits)}, ptr {base}, {self.type(64)} {first}")

    def _pointer(self, base, place, row):
        """A pointer to the elements at hand of row ``row`` (a scalar)."""
        bits = max(8, container(place.width))
        first = row if place.row == 1 else self.new(f"mul i64 {row}, {place.row}")
        within = self.element if place.lanes > 1 else self.instance if place.count > 1 else "0"
        if within != "0":
            first = self.new(f"add i64 {first}, {within}")
        return self.new(f"getelementptr {_element(bits)}, ptr {base}, i64 {first}")

    def _fetch(self, node, bits, base, place, limit, address):
        memory = max(8, bits)
        align = place.bytes if place.bytes in (1, 2, 4, 8) else 8
        vector = self.vector > 1 and not self._is_scalar(address)
        row, inside = self._row(address, limit, 0, vector)
        if vector:
            pointers = self._pointers(base, place, row)
            kind, suffix = self.type(memory), f"v{self.vector}i{memory}"
            value = self.new(
                f"call {kind} @llvm.masked.gather.{suffix}.v{self.vector}p0("
                f"<{self.vector} x ptr> {pointers}, i32 {align}, "
                f"{self.type(1)} splat (i1 true), {kind} poison)"
            )
            if bits == 1:
                value = self.convert(value, 8, 1)
        else:
            pointer = self._pointer(base, place, row)
            scalar = self.vector > 1 and place.lanes == 1 and (self.varying or place.count == 1)
            value = self.load(pointer, bits, 1 if scalar else self.vector)
            if scalar:
                value = self.spread(value, bits)
            if inside is not None:
                inside = self.spread(inside, 1)
        if inside is not None:
            value = self.select(bits, inside, value, self.splat(0, bits))
        return value

    def op_read(self, node, bits, address):
        memory = node.attr
        place = self.layout.place(memory, memory.width, memory.group.count, memory.depth)
        base = self.pointer(place.offset, 8)
        return self._fetch(node, bits, base, place, memory.depth, address)

    def _buffer(self, buffer):
        entry = 16 * self.buffers[buffer]
        where = self.new(f"getelementptr i8, ptr %buffers, i64 {entry}")
        base = self.new(f"load ptr, ptr {where}")
        where = self.new(f"getelementptr i8, ptr %buffers, i64 {entry + 8}")
        length = self.new(f"load i64, ptr {where}")
        lanes = 1 if buffer.shared else self.layout.lanes
        return base, length, Place(0, buffer.width, 1, lanes)

    def op_load(self, node, bits, address):
        base, length, place = self._buffer(node.attr)
        return self._fetch(node, bits, base, place, length, address)

    # Effects

    def prepare(self, effect):
        """Values of an effect."""
        if effect.kind not in ("write", "store"):
            return [self.get(value) for value in effect.values]
        for value in (effect.values[0], *effect.values[2:]):
            if self._is_scalar_write(effect):
                self._scalar(value)
            else:
                self.zero_extended(value)
        data = effect.values[1]
        # What is in a buffer is seen from outside.
        return [self.zero_extended(data) if effect.kind == "store" else self.get(data)]

    def effect_register(self, effect, value):
        register = effect.target
        place = self.layout.place(register, register.width, register.group.count)
        self.store(value, container(register.width), place)

    def effect_output(self, effect, value):
        node = effect.values[0]
        place = self.layout.place(effect, node.width, effect.group.count)
        self.store(value, container(node.width), place)

    def effect_write(self, effect, value):
        memory = effect.target
        place = self.layout.place(memory, memory.width, memory.group.count, memory.depth)
        base = self.pointer(place.offset, 8)
        self._put(effect, base, place, memory.depth, memory.depth, value)

    def effect_store(self, effect, value):
        base, length, place = self._buffer(effect.target.buffer)
        if self.varying and place.lanes == 1:
            raise ValueError(
                f"the buffer {effect.target.buffer.name} is shared by all lanes, and what is "
                "stored there differs between them"
            )
        self._put(effect, base, place, length, length, value)

    def _put(self, effect, base, place, limit, spare, value):
        bits = container(place.width)
        memory = max(8, bits)
        align = place.bytes if place.bytes in (1, 2, 4, 8) else 8
        address = effect.values[0]
        if bits == 1:
            value = self.convert(value, 1, 8)
        vector = self.vector > 1 and not self._is_scalar_write(effect)
        row, _ = self._row(address, limit, spare, vector)
        if effect.gate is None:
            enable = effect.values[2]
            if vector:
                on = self.get(enable)
                if not self.varying and self.count % self.vector:
                    steps = self._steps(self.instance)
                    real = self.compare("ult", 64, steps, self.splat(self.count, 64))
                    on = self.binary("and", 1, on, real)
                other = self._vector64(spare) if isinstance(spare, str) else self.splat(spare, 64)
                row = self.select(64, on, row, other)
            else:
                on = self._scalar(enable)
                row = self.new(f"select i1 {on}, i64 {row}, i64 {spare}")
        if vector:
            pointers = self._pointers(base, place, row)
            suffix = f"v{self.vector}i{memory}"
            self.do(
                f"call void @llvm.masked.scatter.{suffix}.v{self.vector}p0({self.type(memory)} "
                f"{value}, <{self.vector} x ptr> {pointers}, i32 {align}, "
                f"{self.type(1)} splat (i1 true))"
            )
        else:
            pointer = self._pointer(base, place, row)
            self.do(f"store {self.type(memory)} {value}, ptr {pointer}, align {align}")

    def _is_scalar_write(self, effect):
        """Whether the elements at hand go to one row or to none."""
        address, _, *enable = effect.values
        return all(self._is_scalar(value) for value in (address, *enable))

    def effect_check(self, effect, enable, condition):
        """Set the element's flag, and the one that ends the run."""
        off = self.binary("xor", 1, condition, self.splat(1, 1))
        bad = self.binary("and", 1, enable, off)
        if not self.varying and self.vector > 1 and self.count % self.vector:
            real = self.compare("ult", 64, self._steps(self.instance), self.splat(self.count, 64))
            bad = self.binary("and", 1, bad, real)
        place = self.layout.place(effect, 1, effect.group.count)
        self.store(bad, 1, place)
        if self.vector > 1:
            mask = self.new(f"bitcast {self.type(1)} {bad} to i{self.vector}")
            bad = self.new(f"icmp ne i{self.vector} {mask}, 0")
        self._flag(self.layout.halt, bad)

    def effect_stop(self, effect, value):
        """Note that some element has not stopped."""
        on = self.binary("xor", 1, value, self.splat(1, 1))
        if self.vector > 1:
            mask = self.new(f"bitcast {self.type(1)} {on} to i{self.vector}")
            on = self.new(f"icmp ne i{self.vector} {mask}, 0")
        self._flag(self.layout.running, on)

    def _flag(self, offset, bit):
        pointer = self.pointer(offset, 8)
        old = self.new(f"load i8, ptr {pointer}")
        byte = self.new(f"zext i1 {bit} to i8")
        both = self.new(f"or i8 {old}, {byte}")
        self.do(f"store i8 {both}, ptr {pointer}")

    # Copies

    def shift(self, effect):
        """Move a chain of registers on by one."""
        places = [self.layout.place(r, r.width, 1) for r in effect.target]
        first, row = places[0], places[0].row * places[0].bytes
        (value,) = effect.values
        root = self.schedule.root(value)
        if value.op != "const":
            found, shift, _ = self.locate(value)
            origin = found.offset + shift * found.stride * found.bytes
            if root.op == "register" and root.attr in effect.target:
                # The chain bites its own tail.
                spare = self.layout.array(value.width, first.lanes).offset
                self._copy_one(str(spare), str(origin), row)
                origin = spare
        to = self.new(f"getelementptr i8, ptr %arena, i64 {places[1].offset}")
        at = self.new(f"getelementptr i8, ptr %arena, i64 {first.offset}")
        size = row * (len(places) - 1)
        self.do(f"call void @llvm.memmove.p0.p0.i64(ptr {to}, ptr {at}, i64 {size}, i1 false)")
        if value.op == "const":
            bits = max(8, container(value.width))
            number = literal(value.attr, value.width)
            constant = f"<{self.lanes} x i{bits}> splat (i{bits} {number})"
            self.do(f"store {constant}, ptr {at}, align 1")
        elif found.lanes < self.lanes:
            self._fill(first.offset, origin, value.width, self.lanes)
        else:
            self._copy_one(str(first.offset), str(origin), row)

    def copy(self, port):
        """Gather the values of a port's sources, runs of them at once."""
        if port in self.schedule.indirect:
            self.point(port)
            return
        place = self.layout.place(port, port.width, port.group.count)
        element, lanes = place.bytes, place.lanes
        runs: list[list[int]] = []  # destination, source, bytes
        for index, (source, number) in enumerate(port.attr.sources):
            destination = place.offset + index * lanes * element
            if source.op == "const":
                # Nothing ever writes here: the initial image holds the value.
                single = Place(destination, port.width, 1, lanes)
                self.layout.initial.append((single, [source.attr]))
                continue
            found, shift, _ = self.locate(source)
            origin = found.offset + (shift + number) * found.stride * element
            if found.lanes < lanes:
                self._fill(destination, origin, port.width, lanes)
                continue
            size = lanes * element
            if (
                runs
                and runs[-1][0] + runs[-1][2] == destination
                and (runs[-1][1] + runs[-1][2] == origin)
            ):
                runs[-1][2] += size
            else:
                runs.append([destination, origin, size])
        self._copy_runs(runs)

    def point(self, port):
        """Fill the table of an indirect port; only what does not vary is copied into lanes."""
        table = self.layout.table(port)
        lanes = self.layout.lanes
        offsets = []
        constants: dict[int, int] = {}
        for source, number in port.attr.sources:
            if source in self.schedule.varying:
                found, shift, _ = self.locate(source)
                offsets.append(found.offset + (shift + number) * found.stride * found.bytes)
                continue
            if source.op == "const" and source.attr in constants:
                offsets.append(constants[source.attr])
                continue
            place = self.layout.spread(port, source, number)
            if source.op == "const":
                self.layout.initial.append((place, [source.attr]))
                constants[source.attr] = place.offset
            else:
                found, shift, _ = self.locate(source)
                origin = found.offset + (shift + number) * found.bytes
                self._fill(place.offset, origin, port.width, lanes)
            offsets.append(place.offset)
        self.layout.tables[table] = offsets

    def _copy_runs(self, runs):
        index = 0
        while index < len(runs):
            destination, origin, size = runs[index]
            count = 1
            if index + 1 < len(runs):
                step = runs[index + 1][0] - destination, runs[index + 1][1] - origin
                while index + count < len(runs) and runs[index + count] == [
                    destination + count * step[0],
                    origin + count * step[1],
                    size,
                ]:
                    count += 1
            if count >= 4:
                self._copy_loop(destination, origin, size, count, step)
            else:
                count = 1
                self._copy_one(str(destination), str(origin), size)
            index += count

    def _copy_one(self, destination, origin, size):
        to = self.new(f"getelementptr i8, ptr %arena, i64 {destination}")
        at = self.new(f"getelementptr i8, ptr %arena, i64 {origin}")
        if size in (1, 2, 4, 8):
            value = self.new(f"load i{8 * size}, ptr {at}, align 1")
            self.do(f"store i{8 * size} {value}, ptr {to}, align 1")
        else:
            self.do(f"call void @llvm.memcpy.p0.p0.i64(ptr {to}, ptr {at}, i64 {size}, i1 false)")

    def _copy_loop(self, destination, origin, size, count, step):
        self.counter += 1
        mark = f"copy{self.counter}"
        self.do(f"br label %{mark}.head")
        self.lines.append(f"{mark}.head:")
        self.do(f"br label %{mark}")
        self.lines.append(f"{mark}:")
        self.do(f"%{mark}.i = phi i64 [ 0, %{mark}.head ], [ %{mark}.next, %{mark} ]")
        to = self.new(f"mul i64 %{mark}.i, {step[0]}")
        to = self.new(f"add i64 {to}, {destination}")
        at = self.new(f"mul i64 %{mark}.i, {step[1]}")
        at = self.new(f"add i64 {at}, {origin}")
        self._copy_one(to, at, size)
        self.do(f"%{mark}.next = add i64 %{mark}.i, 1")
        self.do(f"%{mark}.more = icmp ult i64 %{mark}.next, {count}")
        self.do(f"br i1 %{mark}.more, label %{mark}, label %{mark}.end")
        self.lines.append(f"{mark}.end:")

    def _fill(self, destination, origin, width, lanes):
        """A uniform value into all lanes."""
        bits = max(8, container(width))
        value = self.new(f"load i{bits}, ptr {self.pointer(origin, bits)}, align 1")
        kind = f"<{lanes} x i{bits}>"
        one = self.new(f"insertelement {kind} poison, i{bits} {value}, i64 0")
        all_ = self.new(
            f"shufflevector {kind} {one}, {kind} poison, <{lanes} x i32> zeroinitializer"
        )
        self.do(f"store {kind} {all_}, ptr {self.pointer(destination, bits)}, align 1")
