"""Functions in Verilog, in words in which Yosys computes constants well (0.50 to 0.70 at least).

It misreads three things where it computes the result of a function for constant arguments:

- An argument is assigned to a port, so that the port's width counts for what is computed in it.
  Yosys leaves it out: ``f(-2'd3)`` gives 1 to a port of 9 bits, not 509; ``f(x + -2'd3)`` is as
  wrong, also for a task. In ``f((-2'd3) | 9'sd0)`` the argument has the width of the port.
- Selected bits are unsigned; it takes those of a signed variable as signed, but not ``{v[0]}``.
- In ``casez`` and ``casex`` it compares all bits. A memory in the function, which is dropped later,
  makes it build logic for the call instead, or refuse it where only a constant will do.
"""

import re
from dataclasses import dataclass, field
from itertools import repeat

from .yosys_syntax import Syntax, trees

__all__ = ["mend", "misread"]

# Operators whose result in more bits is not that in fewer bits, extended.
_SENSITIVE = {"NEG", "BIT_NOT", "BIT_XNOR", "ADD", "SUB", "MUL", "DIV", "MOD", "POW"}
_SENSITIVE |= {"SHIFT_LEFT", "SHIFT_RIGHT", "SHIFT_SLEFT", "SHIFT_SRIGHT"}
_FIRST_ONLY = {"POW", "SHIFT_LEFT", "SHIFT_RIGHT", "SHIFT_SLEFT", "SHIFT_SRIGHT"}
_OTHERS = {"POS", "BIT_AND", "BIT_OR", "BIT_XOR", "TERNARY"}
_IN_RANGES = {"ADD": "+", "SUB": "-", "MUL": "*", "DIV": "/", "SHIFT_LEFT": "<<", "POW": "**"}

# The width of what is not known, such as of a structure.
_USUAL = 32


_MARK = "hwsim_not_constant"


@dataclass(eq=False, slots=True)
class Misread:
    """What Yosys may misread: an argument of a call, or a selection or case in a function.

    ``zero`` is a constant as wide as the argument's port, or None if that is not known; ``certain``
    says that the argument is narrower than the port, or than is usual. The declaration is where
    a memory can follow.
    """

    node: Syntax
    function: str
    number: int | None = None
    zero: str | None = None
    certain: bool = True
    declaration: Syntax | None = None

    @property
    def reason(self):
        """What there is, for a message."""
        if self.number is None:
            return f"function {self.function!r} selects bits or has a casez or casex"
        return f"argument {self.number + 1} of {self.function!r} is narrower than the port"


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


def misread(log):
    """What is misread in modules that Yosys dumped before it simplified them."""
    found = []
    todo = []
    for module in trees(log, "before", "MODULE"):
        # Loops are unrolled, so that their variables become constants.
        loops = set()
        for node in module.below():
            if node.kind == "FOR":
                loops |= {n.name for n in node.children[0].below() if n.kind == "IDENTIFIER"}
        todo.append((module, _Scope(loops=loops)))
        found += _misread_inside([n for n in module.below() if n.kind == "FUNCTION"])
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
                        found.append(Misread(node, node.name, number, zero, certain))
    return found


def _misread_inside(functions):
    """What is misread in the bodies of functions."""
    cases: dict[Syntax, Misread] = {}
    marked = set()
    for function in functions:
        if any(node.kind == "MEMORY" and node.name == _MARK for node in function.below()):
            marked.add(function)
            continue
        for node in function.below():
            if node.kind in ("CONDX", "CONDZ") and any(
                item.kind == "CONSTANT" and not re.search("bits='[01]*'", item.text)
                for item in node.children
            ):
                cases[function] = Misread(_declaration(function), function.name)
        if function not in cases:
            signed = {
                n.name for n in function.below() if n.kind == "WIRE" and "signed" in n.text.split()
            }
            yield from (
                Misread(node, function.name, declaration=_declaration(function))
                for node in _selections(function)
                if node.name in signed
            )
    # A function that calls one that is not constant is not constant.
    while True:
        names = {function.name for function in marked | cases.keys()}
        more = {
            function: Misread(_declaration(function), function.name)
            for function in functions
            if function not in cases and function not in marked
            for node in function.below()
            if node.kind == "FCALL" and node.name in names
        }
        if not more:
            break
        cases |= more
    yield from cases.values()


def _declaration(function):
    """The last one before the statements; the place of some nodes is not known."""
    wires = [node for node in function.children if node.kind == "WIRE"]
    return max(wires, key=lambda node: (node.line, node.column))


def _selections(function):
    """Selections of bits that are read, but for those in brackets."""
    todo = [(function, False)]
    while todo:
        node, skipped = todo.pop()
        if node.kind == "IDENTIFIER" and node.children and not skipped:
            yield node
        for k, child in enumerate(node.children):
            target = node.kind in ("ASSIGN_EQ", "ASSIGN_LE") and k == 0
            todo.append((child, node.kind == "CONCAT" or target))


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
        return False  # What `mend` made.
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


def mend(folder, misreads):
    """Write it in other words in the files below a folder; some may be left as it is.

    Yosys gives columns, which are wrong behind a macro.
    """
    inside = {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
    texts: dict[str, str] = {}
    # By file, place, and order among those at the same place.
    insertions: dict[tuple[str, int, int], str] = {}
    for misread in misreads:
        node, file = misread.node, misread.node.file
        # A `line directive can name any file.
        if file not in inside:
            continue
        if file not in texts:
            # Columns count bytes.
            texts[file] = (folder / file).read_bytes().decode("latin-1")
        if misread.number is not None:
            spans = _spans(texts[file], node)
            if misread.zero is not None and len(spans) == len(node.children):
                start, end = spans[misread.number]
                insertions[file, start, 0] = "("
                insertions.setdefault((file, end, 1), f") | {misread.zero}")
            continue
        start = _start(texts[file], node)
        known = texts[file].startswith(node.name, start)
        if not known and misread.declaration and misread.declaration.file == file:
            node = misread.declaration
            start = _start(texts[file], node)
            known = texts[file].startswith(node.name, start)
        if not known:
            continue
        if node.kind == "WIRE":
            end = next((t.end() for t in _TOKEN.finditer(texts[file], start) if t[0] == ";"), None)
            if end is not None:
                insertions[file, end, 0] = f" reg {_MARK} [0:0];"
        else:
            end = _end_of_selection(texts[file], start + len(node.name))
            if end is not None:
                insertions[file, start, 1] = "{"
                insertions[file, end, 0] = "}"
    for (file, place, _), text in sorted(insertions.items(), reverse=True):
        texts[file] = texts[file][:place] + text + texts[file][place:]
    for file, text in texts.items():
        (folder / file).write_bytes(text.encode("latin-1"))


_TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\])*"|\\\S+|[][(){},;]', re.DOTALL)


def _start(text, node):
    lines = text.split("\n")[: node.line - 1]
    return sum(len(line) + 1 for line in lines) + node.column - 1


def _end_of_selection(text, end):
    if not re.match(r"\s*\[", text[end : end + 80]):
        return None
    depth = 0
    for token in _TOKEN.finditer(text, end):
        depth += (token[0] in ("(", "[", "{")) - (token[0] in (")", "]", "}"))
        if (
            not depth
            and token[0] == "]"
            and not re.match(r"\s*\[", text[token.end() : token.end() + 80])
        ):
            return token.end()
    return None


def _spans(text, call):
    """Where the arguments of a call start and end in the text."""
    lines = text.split("\n")
    start = _start(text, call) - (call.column - 1)
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
