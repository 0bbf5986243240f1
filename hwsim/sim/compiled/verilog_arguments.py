"""Arguments of functions and tasks in Verilog, at the width of their ports.

An argument is assigned to a port, so that the port's width counts for what is computed in it. Yosys
(0.50 to 0.70 at least) leaves it out where it computes constants: ``f(-2'd3)`` gives 1 to a port of
9 bits, not 509, and ``f(x + -2'd3)`` is as wrong. ``f((-2'd3) | 9'sd0)`` is read well: the argument
has the width of the port, and its sign is the same.
"""

import re
from dataclasses import dataclass, field
from itertools import repeat

from .yosys_syntax import Syntax, trees

__all__ = ["narrow_arguments", "widen"]

# Operators whose result in more bits is not that in fewer bits, extended.
_SENSITIVE = {"NEG", "BIT_NOT", "BIT_XNOR", "ADD", "SUB", "MUL", "DIV", "MOD", "POW"}
_SENSITIVE |= {"SHIFT_LEFT", "SHIFT_RIGHT", "SHIFT_SLEFT", "SHIFT_SRIGHT"}
_FIRST_ONLY = {"POW", "SHIFT_LEFT", "SHIFT_RIGHT", "SHIFT_SLEFT", "SHIFT_SRIGHT"}
_OTHERS = {"POS", "BIT_AND", "BIT_OR", "BIT_XOR", "TERNARY"}
_IN_RANGES = {"ADD": "+", "SUB": "-", "MUL": "*", "DIV": "/", "SHIFT_LEFT": "<<", "POW": "**"}

# The width of what is not known, such as of a structure.
_USUAL = 32


@dataclass(eq=False, slots=True)
class NarrowArgument:
    """An argument that Yosys may compute in fewer bits than its port has.

    ``zero`` is a constant as wide as the port, or None; ``certain`` says that the port is wider, or
    that the argument is narrower than usual.
    """

    call: Syntax
    number: int
    zero: str | None
    certain: bool


@dataclass(slots=True)
class _Scope:
    """What names mean; ``signals`` are never constant."""

    loops: set[str]
    signals: set[str] = field(default_factory=set)
    callees: dict[str, Syntax] = field(default_factory=dict)
    types: dict[str, Syntax] = field(default_factory=dict)

    def inside(self, node):
        if node.kind in ("FUNCTION", "TASK"):
            # Constant where the call is.
            own = {n.name for n in node.below() if n.kind in ("WIRE", "MEMORY")}
            return _Scope(self.loops, self.signals - own, self.callees, self.types)
        signals = {n.name for n in node.children if n.kind in ("WIRE", "MEMORY")}
        callees = {n.name: n for n in node.children if n.kind in ("FUNCTION", "TASK")}
        types = {n.name: n for n in node.children if n.kind == "TYPEDEF"}
        return _Scope(
            self.loops,
            self.signals | (signals - self.loops),
            self.callees | callees,
            self.types | types,
        )


def narrow_arguments(log):
    """Narrow arguments in modules that Yosys dumped before it simplified them."""
    found = []
    todo = []
    for module in trees(log, "before", "MODULE"):
        # Loops are unrolled, so that their variables become constants.
        loops = set()
        for node in module.below():
            if node.kind == "FOR":
                loops |= {n.name for n in node.children[0].below() if n.kind == "IDENTIFIER"}
        todo.append((module, _Scope(loops=loops)))
    while todo:
        node, scope = todo.pop()
        if node.kind in ("MODULE", "GENBLOCK", "FUNCTION", "TASK"):
            scope = scope.inside(node)
        todo += [(child, scope) for child in reversed(node.children)]
        if node.kind in ("FCALL", "TCALL") and not node.name.startswith("$"):
            callee = scope.callees.get(node.name)
            ports = _ports(callee, scope.types) if callee else repeat((None, None))
            for number, (argument, port) in enumerate(zip(node.children, ports, strict=False)):
                if port is not None and _computes_constant(argument, scope.signals):
                    width, zero = port
                    least = _least_width(argument)
                    if width is None or least < width:
                        certain = least < (width or _USUAL)
                        found.append(NarrowArgument(node, number, zero, certain))
    return found


def _operands(node):
    """Operands whose width is that of the result."""
    if node.kind == "TERNARY":
        return node.children[1:]
    if node.kind in _FIRST_ONLY:
        return node.children[:1]
    return node.children if node.kind in _SENSITIVE | _OTHERS else []


def _computes_constant(node, signals):
    """Whether the value of something that is constant depends on the width."""
    if node.kind == "BIT_OR" and [c.kind for c in node.children[1].children] == ["REPLICATE"]:
        return False  # What `widen` made.
    names = (n.name for n in node.below() if n.kind == "IDENTIFIER")
    if node.kind in _SENSITIVE and signals.isdisjoint(names):
        return all(n.kind != "REALVALUE" for n in node.below())
    return any(_computes_constant(operand, signals) for operand in _operands(node))


def _least_width(node):
    if node.kind == "CONSTANT":
        width = re.search(r"bits='[^']*'\((\d+)\)", node.text)
        return int(width[1]) if width else 0
    return max(map(_least_width, _operands(node)), default=0)


def _ports(callee, types):
    """For each port its width and a zero of that width, both perhaps None; None for an output."""
    wires: dict = {}
    for node in callee.children:
        if node.kind == "WIRE":
            wires.setdefault(node.name, []).append(node)
    own = {n.name for n in callee.children if n.kind in ("PARAMETER", "LOCALPARAM")}
    for first, *others in wires.values():
        words = first.text.split()
        if "output" in words or "inout" in words:
            yield None
        elif "input" in words:
            # What kind of variable it is may be said later.
            yield _width(next((w for w in (*others, first) if w.children), first), types, own)


def _width(wire, types, own):
    for node in wire.children:
        if node.kind == "WIRETYPE":
            known = types.get(node.name)
            if known and known.children[0].kind == "WIRE":
                return _width(known.children[0], types, own)
            return None, None
        if node.kind == "MULTIRANGE":
            return None, None
        if node.kind == "RANGE":
            left, right = (
                _expression(limit, own) for limit in (*node.children, *node.children)[:2]
            )
            if left is None or right is None:
                return None, None
            if left.isdecimal() and right.isdecimal():
                width = abs(int(left) - int(right)) + 1
                return width, f"{width}'sd0"
            span = f"{left} > {right} ? {left} - {right} : {right} - {left}"
            return None, f"$signed({{(({span}) + 1){{1'b0}}}})"
    return 1, "1'sd0"


def _expression(node, own):
    """Text of a limit of a range, or None."""
    if node.kind == "CONSTANT":
        bits = re.search(r"bits='([01]+)'", node.text)
        return str(int(bits[1], 2)) if bits else None
    if node.kind == "IDENTIFIER" and not node.children and node.name not in own:
        return node.name
    parts = [_expression(child, own) for child in node.children]
    if None in parts:
        return None
    if node.kind in _IN_RANGES and len(parts) == 2:
        return f"({parts[0]} {_IN_RANGES[node.kind]} {parts[1]})"
    if node.kind == "FCALL":
        return f"{node.name}({', '.join(parts)})"
    return None


def widen(folder, arguments):
    """Widen arguments in the text of the files below a folder; some may be left as they are.

    Yosys gives the columns where calls start, which are wrong behind a macro.
    """
    inside = {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
    texts: dict[str, str] = {}
    insertions: dict[tuple[str, int], str] = {}
    for argument in arguments:
        call = argument.call
        # A `line directive can name any file.
        if argument.zero is None or call.file not in inside:
            continue
        if call.file not in texts:
            # Columns count bytes.
            texts[call.file] = (folder / call.file).read_bytes().decode("latin-1")
        spans = _spans(texts[call.file], call)
        if len(spans) == len(call.children):
            start, end = spans[argument.number]
            insertions[call.file, start] = "("
            insertions.setdefault((call.file, end), f") | {argument.zero}")
    for (file, place), text in sorted(insertions.items(), reverse=True):
        texts[file] = texts[file][:place] + text + texts[file][place:]
    for file, text in texts.items():
        (folder / file).write_bytes(text.encode("latin-1"))


_TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\])*"|\\\S+|[][(){},;]', re.DOTALL)


def _spans(text, call):
    """Where the arguments of a call start and end in the text."""
    lines = text.split("\n")
    start = sum(len(line) + 1 for line in lines[: call.line - 1])
    package, colons, name = map(re.escape, call.name.rpartition("::"))
    pattern = rf"(?<![\w$:])({package}{colons})?{name}\s*\("
    heads = [m for line in lines[call.line - 1 : call.line] for m in re.finditer(pattern, line)]
    if len(heads) > 1:
        heads = [m for m in heads if m.start() == call.column - 1]
    if not heads:
        return []
    start += heads[0].end()
    spans, depth = [], 0
    for token in _TOKEN.finditer(text, start):
        if token[0] in ("(", "[", "{"):
            depth += 1
        elif depth and token[0] in (")", "]", "}"):
            depth -= 1
        elif not depth and token[0] in (",", ")"):
            spans.append((start, token.start()))
            start = token.end()
            if token[0] == ")":
                break
    return spans
