"""Reading of RTLIL, the text form of Yosys's netlists, which Amaranth writes too.

What comes out is the text's content as plain data, nothing resolved. Bits that are unknown or not
driven (``x``, ``z``) read as 0. The format is described in the Yosys manual, "RTLIL text
representation"; every statement stands on a line of its own.

A vector is a tuple of chunks, lowest bits first. A chunk ``(name, low, width)`` is ``width`` bits
of a wire from bit ``low`` on; ``(None, value, width)`` is a constant.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

__all__ = ["Cell", "Memory", "Module", "Process", "Switch", "Wire", "parse", "width_of"]

Chunk = tuple
Vector = tuple[Chunk, ...]


@dataclass(eq=False, slots=True)
class Wire:
    """A wire; ``port`` is "input", "output", "inout" or None."""

    name: str
    width: int
    port: str | None
    attributes: dict[str, int | str]


@dataclass(eq=False, slots=True)
class Memory:
    """A memory that ports refer to by name; its words are ``offset`` to ``offset + size - 1``."""

    name: str
    width: int
    size: int
    offset: int
    attributes: dict[str, int | str]


@dataclass(eq=False, slots=True)
class Cell:
    """A cell; ``ports`` maps the name of a port to the vector connected."""

    type: str
    name: str
    attributes: dict[str, int | str]
    parameters: dict[str, int | str] = field(default_factory=dict)
    ports: dict[str, Vector] = field(default_factory=dict)


@dataclass(eq=False, slots=True)
class Switch:
    """Cases in order, as patterns and statements; the first that matches is taken.

    A pattern is a text of 0, 1 and - (any), highest bit first, or a vector. A case without patterns
    always matches.
    """

    value: Vector
    cases: list[tuple[list[str | Vector], list]] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class Process:
    """Statements in order: pairs of vectors, the left assigned from the right, and switches."""

    name: str
    attributes: dict[str, int | str]
    body: list = field(default_factory=list)


@dataclass(eq=False, slots=True)
class Module:
    """A module; names keep their first character, a backslash where the name is public."""

    name: str
    attributes: dict[str, int | str]
    wires: dict[str, Wire] = field(default_factory=dict)
    memories: dict[str, Memory] = field(default_factory=dict)
    cells: list[Cell] = field(default_factory=list)
    processes: list[Process] = field(default_factory=list)
    connections: list[tuple[Vector, Vector]] = field(default_factory=list)


def width_of(vector):
    """Number of bits of a vector."""
    return sum(chunk[2] for chunk in vector)


def parse(text):
    """Modules of an RTLIL text by name.

    Raises
    ------
    ValueError
        If a line cannot be read, or a process is clocked: ``proc`` of Yosys makes cells of those.
    """
    modules: dict[str, Module] = {}
    attributes: dict[str, int | str] = {}
    lines = enumerate(text.split("\n"), 1)
    for number, line in lines:
        word, _, rest = line.strip().partition(" ")
        if word == "attribute":
            name, _, value = rest.partition(" ")
            attributes[name[1:]] = _constant(value, number)
        elif word == "module":
            if rest in modules:
                raise ValueError(f"line {number}: module {rest!r} is there twice")
            modules[rest] = _module(Module(rest, attributes), lines)
            attributes = {}
        elif word not in ("", "autoidx") and word[0] != "#":
            raise _unreadable(number, line)
    return modules


def _unreadable(number, line):
    return ValueError(f"line {number}: cannot read {line.strip()[:80]!r}")


def _module(module, lines: Iterator[tuple[int, str]]):
    wires = module.wires
    attributes: dict[str, int | str] = {}
    for number, line in lines:
        word, _, rest = line.strip().partition(" ")
        if not word:
            continue
        if word == "attribute":
            name, _, value = rest.partition(" ")
            attributes[name[1:]] = _constant(value, number)
            continue
        if word == "connect":
            module.connections.append(_two_vectors(rest, wires, number))
            continue
        if word == "wire":
            wire = _wire(rest, attributes)
            wires[wire.name] = wire
        elif word == "cell":
            module.cells.append(_cell(rest, attributes, wires, lines))
        elif word == "process":
            process = Process(rest, attributes)
            process.body = _statements(wires, lines, [])
            module.processes.append(process)
        elif word == "memory":
            memory = _memory(rest, attributes)
            module.memories[memory.name] = memory
        elif word == "end":
            return module
        elif word != "parameter" and word[0] != "#":
            raise _unreadable(number, line)
        attributes = {}
    raise ValueError(f"module {module.name!r} has no end")


def _wire(rest, attributes):
    *options, name = rest.split()
    width = int(options[options.index("width") + 1]) if "width" in options else 1
    port = next((kind for kind in ("input", "output", "inout") if kind in options), None)
    return Wire(name, width, port, attributes)


def _memory(rest, attributes):
    *options, name = rest.split()
    given = {options[k]: int(options[k + 1]) for k in range(0, len(options), 2)}
    return Memory(
        name, given.get("width", 1), given.get("size", 0), given.get("offset", 0), attributes
    )


def _cell(rest, attributes, wires, lines):
    kind, _, name = rest.partition(" ")
    cell = Cell(kind, name, attributes)
    for number, line in lines:
        word, _, rest = line.strip().partition(" ")
        if word == "connect":
            port, _, vector = rest.partition(" ")
            cell.ports[port[1:]] = _vector(vector, wires, number)
        elif word == "parameter":
            name, _, value = rest.partition(" ")
            signed = name == "signed"
            if signed or name == "real":
                name, _, value = value.partition(" ")
            cell.parameters[name[1:]] = _constant(value, number, signed)
        elif word == "end":
            break
        elif word and word[0] != "#":
            raise _unreadable(number, line)
    return cell


def _statements(wires, lines, body):
    """Statements up to the ``end`` of a process or switch's case; nesting by a stack."""
    # Each level holds its switch and the list that statements go to.
    levels: list[tuple[Switch | None, list]] = [(None, body)]
    for number, line in lines:
        word, _, rest = line.strip().partition(" ")
        if word == "assign":
            levels[-1][1].append(_two_vectors(rest, wires, number))
        elif word == "case":
            switch, _ = levels.pop()
            if switch is None:
                raise _unreadable(number, line)
            body = []
            switch.cases.append((_patterns(rest, wires, number), body))
            levels.append((switch, body))
        elif word == "switch":
            switch = Switch(_vector(rest, wires, number))
            levels[-1][1].append(switch)
            levels.append((switch, []))
        elif word == "end":
            _, body = levels.pop()
            if not levels:
                return body
        elif word in ("sync", "update", "memwr"):
            raise ValueError(f"line {number}: a clocked process; run proc of Yosys first")
        elif word and word not in ("attribute",) and word[0] != "#":
            raise _unreadable(number, line)
    raise ValueError("a process has no end")


def _patterns(text, wires, number):
    return [
        _bits(part) if part[0].isdigit() else _vector(part, wires, number)
        for part in (text.split(", ") if text else ())
    ]


_WIRE = re.compile(r"([\\$]\S+)(?: \[(\d+)(?::(\d+))?\])?")
_TOKEN = re.compile(r"""[\\$]\S+ | [{}] | \[\d+(?::\d+)?\] | \d+'s?[01xzm-]* | -?\d+ | \S+""", re.X)
_UNKNOWN = str.maketrans("xzm-", "0000")


def _two_vectors(text, wires, number):
    """Two vectors, one after the other."""
    if text[0] == "{":
        end = _closing(text, number)
    else:
        m = _WIRE.match(text)
        end = m.end() if m else text.index(" ")
    return _vector(text[:end], wires, number), _vector(text[end:].strip(), wires, number)


def _closing(text, number):
    """End of the bracket that the text starts with, with a range after it if there is one."""
    depth = 0
    for m in re.finditer(r"(?<!\S)[{}](?!\S)", text):
        depth += 1 if m[0] == "{" else -1
        if not depth:
            tail = re.match(r" \[[\d:]+\]", text[m.end() :])
            return m.end() + (tail.end() if tail else 0)
    raise _unreadable(number, text)


def _vector(text, wires, number) -> Vector:
    m = _WIRE.fullmatch(text)
    if m is not None:
        return _of_wire(m[1], m[2], m[3], wires, number)
    if text[:1] != "{":
        value, width = _constant_and_width(text, number)
        return ((None, value, width),) if width else ()
    stack: list[list[Vector]] = [[]]
    for token in _TOKEN.findall(text):
        first = token[0]
        if first == "{":
            stack.append([])
        elif first == "}":
            inner = stack.pop()
            # The highest bits come first in the text.
            stack[-1].append(tuple(chunk for part in reversed(inner) for chunk in part))
        elif first == "[":
            high, _, low = token[1:-1].partition(":")
            start = int(low or high)
            stack[-1][-1] = slice_of(stack[-1][-1], start, int(high) - start + 1)
        elif first in "\\$":
            stack[-1].append(_of_wire(token, None, None, wires, number))
        else:
            value, width = _constant_and_width(token, number)
            stack[-1].append(((None, value, width),) if width else ())
    if len(stack) != 1 or len(stack[0]) != 1:
        raise _unreadable(number, text)
    return stack[0][0]


def _of_wire(name, high, low, wires, number):
    wire = wires.get(name)
    if wire is None:
        raise ValueError(f"line {number}: wire {name!r} is not declared")
    if high is None:
        return ((name, 0, wire.width),) if wire.width else ()
    start = int(low or high)
    width = int(high) - start + 1
    if start + width > wire.width:
        raise ValueError(f"line {number}: wire {name!r} has only {wire.width} bits")
    return ((name, start, width),)


def slice_of(vector, low, width) -> Vector:
    """Bits ``low`` to ``low + width - 1`` of a vector, as far as it has them."""
    result = []
    for chunk in vector:
        name, start, size = chunk
        if low >= size:
            low -= size
            continue
        taken = min(size - low, width)
        if taken <= 0:
            break
        if taken == size:
            result.append(chunk)
        elif name is None:
            result.append((None, (start >> low) & ((1 << taken) - 1), taken))
        else:
            result.append((name, start + low, taken))
        low = 0
        width -= taken
    return tuple(result)


def _bits(text):
    """Digits of a constant, all of them, highest first."""
    width, _, digits = text.partition("'")
    digits = digits.removeprefix("s")
    missing = int(width) - len(digits)
    if missing > 0:
        # A short constant is continued by its top digit where that is no number.
        fill = digits[0] if digits[:1] in ("x", "z", "-") else "0"
        digits = fill * missing + digits
    return digits[-int(width) :] if int(width) else ""


def _constant_and_width(text, number):
    if "'" in text and text[0].isdigit():
        width, _, digits = text.partition("'")
        digits = digits.removeprefix("s")
        try:
            value = int(digits, 2) if digits else 0
        except ValueError:
            value = int(digits.translate(_UNKNOWN), 2)
        return value & ((1 << int(width)) - 1), int(width)
    try:
        return int(text) & 0xFFFFFFFF, 32
    except ValueError:
        raise _unreadable(number, text) from None


_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


def _constant(text, number, signed=False) -> int | str:
    """Value of a parameter or attribute."""
    if text[:1] == '"':
        if "\\" not in text:
            return text[1:-1]
        return re.sub(
            r"\\([0-7]{1,3}|.)",
            lambda m: chr(int(m[1], 8)) if m[1][0].isdigit() else _ESCAPES.get(m[1], m[1]),
            text[1:-1],
        )
    if "'" not in text:
        try:
            return int(text)
        except ValueError:
            raise _unreadable(number, text) from None
    value, width = _constant_and_width(text, number)
    return value - (1 << width) if signed and width and value >> (width - 1) else value
