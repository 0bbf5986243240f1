"""Passes over the Verilog that Yosys writes: the same logic, in fewer and more readable lines.

Yosys gives each cell a statement of its own and each register an ``always`` block of its own. Here
expressions that are used once move to where they are used, and registers with the same conditions
share a block. An expression only moves where the language's rules of width and sign (IEEE
1364-2005, 5.4 and 5.5) leave its value as it was:

- it says its width itself (a comparison, a reduction, a concatenation), or
- the place does not ask for another width (a condition, a part of a concatenation), or
- the place's width is its own, that of all its operands, and no operand is signed.
"""

import re
from collections import Counter
from itertools import groupby
from textwrap import wrap

__all__ = ["mark_unused", "mark_unused_inputs", "ports_first", "tidy"]

LINE_WIDTH = 100

_NAME = r"[A-Za-z_]\w*"
_PART = rf"{_NAME}(?:\[\d+(?::\d+)?\])?"
_PLAIN = rf"(?:{_PART}|\d+'[bdh][0-9a-fxz]+)"
_ATOM = rf"(?:\$signed\()?(?:{_PLAIN}|\{{[^{{}}]*\}})\)?"
_UNARY = re.compile(rf"(~|!|&|\|) ({_ATOM})")
_BINARY = re.compile(rf"({_ATOM}) (\S+) ({_ATOM})")
_CHOICE = re.compile(rf"({_ATOM}) \? ({_ATOM}) : ({_ATOM})")
_COMPARISONS = {"==", "!=", "<", "<=", ">", ">="}
_ARITHMETIC = {"&", "|", "^", "+", "-"}

_DECLARATION = re.compile(
    rf"^  (?:input |output )?(?:wire|reg)? ?(?:\[(\d+):0\] )?({_NAME});\n", re.MULTILINE
)
_ASSIGN = re.compile(r"^  assign (_\d+_) = (.*);\n", re.MULTILINE)
_ASSIGNMENT = re.compile(rf"(?P<target>\b{_PART}) <?= (?P<value>[^;]*);")
_CONDITION = re.compile(r"\bif \((?P<value>[^()]*)\)")
_ALWAYS = re.compile(r"^  always @\(posedge clk\)\n((?:    .*\n)+)", re.MULTILINE)

_ONE_STATEMENT = re.compile(
    r"^  always @\(posedge clk\) begin\n    (?:(if \(.*\))(?: begin)?\n      )?(\S+ <= .*;)\n"
    r"(?:    end\n)?  end\n",
    re.MULTILINE,
)

_TEXT = object()  # marks what is no operand
_MARK = "<block>"


def tidy(body):
    """A module's text, from its declarations to ``endmodule``, in more readable statements."""
    body = _joined(_ONE_STATEMENT.sub(_without_begin, _read_registers(body)))
    widths = {name: int(high or 0) + 1 for high, name in _DECLARATION.findall(body)}
    body = _plain_reductions(body, widths)
    body = _Inliner(body, widths).body
    body = _shared_blocks(body)
    body = re.sub(r"\{ [^{}]* \}", _replications, body)
    body = re.sub(
        r"(?<=[ (])([~!]) (?=[\w(])|(?<=\()([&|]) (?=\w)|(?<= = )([&|]) (?=\w)", r"\1\2\3", body
    )
    # $readmemb fills from the lowest address on; with bounds the other way round, tools disagree.
    body = re.sub(
        r"^(  reg (?:\[\d+:0\] )?\w+) \[(\d+):0\];$", r"\1 [0:\2];", body, flags=re.MULTILINE
    )
    return "".join(_wrapped(line) for line in _renumbered(body).splitlines())


def _wrapped(line):
    """The line, broken where it is too long."""
    indent = " " * (len(line) - len(line.lstrip()) + 4)
    parts = wrap(
        line, LINE_WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(parts) + "\n"


def _read_registers(body):
    """Give the output register of a memory the name of the wire that repeats it."""
    for temporary, name in re.findall(
        rf"^  reg (?:\[\d+:0\] )?(_\d+_);\n(?=[\s\S]*?^  assign ({_NAME}) = \1;\n)",
        body,
        re.MULTILINE,
    ):
        body = body.replace(f"  assign {name} = {temporary};\n", "")
        body = re.sub(rf"^  reg (\[\d+:0\] )?{temporary};\n", "", body, flags=re.MULTILINE)
        body = re.sub(rf"^  wire (?=(\[\d+:0\] )?{name};$)", "  reg ", body, flags=re.MULTILINE)
        body = re.sub(rf"\b{temporary}\b", name, body)
    return body


def _joined(body):
    """Make one wire of two, ``a`` of one bit, that an expression gives as ``{ a, b }``.

    Only if ``b`` follows ``a`` wherever it is used.
    """
    pairs = re.findall(r"^  assign \{ (_\d+_), (_\d+_) \} = ", body, re.MULTILINE)
    for first, second in pairs:
        together = rf"\b{first}, {second}(?!\w|\[)"
        if len(re.findall(rf"\b{second}(?!\w)", body)) - 1 == len(re.findall(together, body)):
            widths = {name: int(high or 0) + 1 for high, name in _DECLARATION.findall(body)}
            if widths[first] > 1:
                continue
            top = widths[second]
            body = re.sub(rf"^  wire {first};\n", "", body, flags=re.MULTILINE)
            wire = rf"^  wire .*\b{second};\n"
            body = re.sub(wire, f"  wire [{top}:0] {second};\n", body, flags=re.MULTILINE)
            body = body.replace(f"{{ {first}, {second} }}", second)
            body = re.sub(rf"\b{first}(?!\w)", f"{second}[{top}]", re.sub(together, second, body))
    return body


def _without_begin(m):
    """A block with one statement, as Yosys writes for memories."""
    statement = f"{m[1]} {m[2]}" if m[1] else m[2]
    line = f"  always @(posedge clk) {statement}\n"
    return line if len(line) <= LINE_WIDTH else f"  always @(posedge clk)\n    {statement}\n"


def _plain_reductions(body, widths):
    """Write ``& { a, b }`` of single bits as ``a & b``."""

    def plain(m):
        items = m[2].split(", ")
        return f" {m[1]} ".join(items) if all(_width(item, widths) == 1 for item in items) else m[0]

    return re.sub(r"(?<= = )([&|]) \{ ([^{}]*) \}(?=;)", plain, body)


def _width(atom, widths):
    """Bits of an operand; None where it is not a name, a part or a constant."""
    if m := re.fullmatch(r"(\d+)'[bdh][0-9a-fxz]+", atom):
        return int(m[1])
    if m := re.fullmatch(r"\w+\[(\d+)(?::(\d+))?\]", atom):
        return int(m[1]) - int(m[2] or m[1]) + 1
    if m := re.fullmatch(r"\$signed\((.*)\)", atom):
        return _width(m[1], widths)
    if m := re.fullmatch(r"\{ (.*) \}", atom):
        parts = [_width(part, widths) for part in m[1].split(", ")]
        return None if None in parts else sum(parts)
    return widths.get(atom)


class _Inliner:
    """Moves expressions that are used once; ``body`` is the result."""

    def __init__(self, body, widths):
        self._widths = widths
        self._definitions = dict(_ASSIGN.findall(body))
        uses = Counter(re.findall(r"\b_\d+_(?!\w)", body))
        # Declaration, definition, use.
        self._movable = {name for name in self._definitions if uses[name] == 3}
        self._moved: set[str] = set()
        lines = body.splitlines(keepends=True)
        # A statement comes after the one that uses its result: then it is known whether it stays.
        for number in sorted(range(len(lines)), key=self._depths(lines).__getitem__):
            m = _ASSIGN.match(lines[number])
            if not (m and m[1] in self._moved):
                lines[number] = self._line(lines[number])
        self.body = "".join(line for line in lines if not self._gone(line))

    def _depths(self, lines):
        """For each line how many movable expressions its result passes through."""
        user: dict[str, str] = {}
        for name, expression in self._definitions.items():
            user |= dict.fromkeys(re.findall(r"\b_\d+_(?!\w)", expression), name)
        depths = []
        for line in lines:
            m = _ASSIGN.match(line)
            name, depth = m and m[1], 0
            while name in self._movable:
                name, depth = user.get(name or ""), depth + 1
            depths.append(depth)
        return depths

    def _gone(self, line):
        m = _DECLARATION.match(line)
        if m:
            return m[2] in self._moved
        m = _ASSIGN.match(line)
        return bool(m and m[1] in self._moved)

    def _line(self, line):
        text = line.rstrip("\n")
        for pattern, target in ((_CONDITION, None), (_ASSIGNMENT, 1)):
            m = pattern.search(text)
            if m:
                width = target and _width(m["target"], self._widths)
                value, moved = self._expanded(m["value"], width, LINE_WIDTH - len(text))
                text = text[: m.start("value")] + value + text[m.end("value") :]
                self._moved |= moved
        return f"{text}\n"

    def _expanded(self, expression, target, room):
        """A flat expression for ``target`` bits with others moved into it, and which.

        It becomes at most ``room`` characters longer.
        """
        parts = self._parts(expression, target)
        moved: set[str] = set()
        for k, (text, context) in enumerate(parts):
            if context is not _TEXT:
                new, names = self._operand(text, context, room, whole=len(parts) == 1)
                room -= len(new) - len(text)
                moved |= names
                parts[k] = (new, context)
        return "".join(text for text, _ in parts), moved

    def _parts(self, expression, target):
        """Operands of a flat expression, with the width of their context, and text between them.

        The width is None where any will do, 0 where none will.
        """
        signed = "$signed" in expression
        if re.fullmatch(_ATOM, expression):
            return [(expression, target)]
        if m := _CHOICE.fullmatch(expression):
            context = self._common([m[2], m[3]], target, signed)
            return [(m[1], None), (" ? ", _TEXT), (m[2], context), (" : ", _TEXT), (m[3], context)]
        m = _BINARY.fullmatch(expression)
        if m and m[2] in _COMPARISONS:
            context = self._common([m[1], m[3]], _width(m[1], self._widths), signed)
            return [(m[1], context), (f" {m[2]} ", _TEXT), (m[3], context)]
        if m and m[2] in _ARITHMETIC:
            context = self._common([m[1], m[3]], target, signed)
            return [(m[1], context), (f" {m[2]} ", _TEXT), (m[3], context)]
        if m := _UNARY.fullmatch(expression):
            return [(f"{m[1]} ", _TEXT), (m[2], target if m[1] == "~" else None)]
        return [(expression, _TEXT)]

    def _common(self, operands, target, signed):
        """The width that all operands and the target have; 0 if there is none."""
        same = all(_width(operand, self._widths) == target for operand in operands)
        return target if same and not signed else 0

    def _operand(self, atom, context, room, whole):
        if m := re.fullmatch(rf"\$signed\(({_NAME})\)", atom):
            text, moved = self._name(m[1], None, room, whole=True)
            return f"$signed({text})", moved
        if m := re.fullmatch(r"\{ (.*) \}", atom):
            moved = set()
            parts = m[1].split(", ")
            for k, part in enumerate(parts):
                parts[k], names = self._name(part, None, room, whole=True)
                room -= len(parts[k]) - len(part)
                moved |= names
            return f"{{ {', '.join(parts)} }}", moved
        return self._name(atom, context, room, whole)

    def _name(self, name, context, room, whole):
        """What to write for a name, and which names that takes the place of."""
        if name not in self._movable:
            return name, set()
        expression, width = self._definitions[name], self._widths[name]
        extra = len(expression) - len(name) + (0 if whole else 2)
        fits = self._fits(expression, width, context) or (whole and context == width)
        if extra > room or not fits:
            return name, set()
        text, moved = self._expanded(expression, width, room - extra)
        return (text if whole else f"({text})"), moved | {name}

    def _fits(self, expression, width, context):
        """Whether an expression of ``width`` bits keeps its value where ``context`` are wanted."""
        m = _BINARY.fullmatch(expression)
        if (m and m[2] in _COMPARISONS) or re.match(r"[&|!] ", expression):
            return True
        if re.fullmatch(_ATOM, expression):
            return expression.startswith("{")
        if "$signed" in expression or context not in (None, width):
            return False
        if m and m[2] in _ARITHMETIC:
            operands = [m[1], m[3]]
        elif m := _CHOICE.fullmatch(expression):
            operands = [m[2], m[3]]
        elif m := re.fullmatch(rf"~ ({_ATOM})", expression):
            operands = [m[1]]
        else:
            return False
        return all(_width(operand, self._widths) == width for operand in operands)


def _shared_blocks(body):
    """Put registers with the same clock and conditions into one block."""
    blocks: dict[tuple, list] = {}

    def collect(m):
        conditions, registers = _branches(m[1])
        if conditions is None:
            return m[0]
        first = conditions not in blocks
        blocks.setdefault(conditions, []).append(registers)
        return f"{_MARK}{len(blocks) - 1}\n" if first else ""

    body = _ALWAYS.sub(collect, body)
    texts = [_block(conditions, registers) for conditions, registers in blocks.items()]
    return re.sub(rf"^{_MARK}(\d+)\n", lambda m: texts[int(m[1])], body, flags=re.MULTILINE)


def _branches(text):
    """Conditions of an ``if`` chain ("" for none) and what each branch assigns.

    None and None where it has another form.
    """
    text = re.sub(
        r"^    if (\(.*\))\n      if \((.*)\) (\S+) <= (.*);\n      else \3 <= (.*);\n",
        lambda m: (
            f"    if {m[1]} {m[3]} <= {_in_parentheses(m[2])} ? {m[4]} : {_in_parentheses(m[5])};\n"
        ),
        text,
    )
    text = re.sub(
        r"^    (\S+) <= rst \? (\S+) : (\S+);\n$",
        r"    if (rst) \1 <= \2;\n    else \1 <= \3;\n",
        text,
    )
    conditions, registers = [], []
    for line in text.splitlines():
        m = re.fullmatch(r"    (?:(else )?if \((.*?)\) |else )?([^\s()]+ <= .*;)", line)
        if not m:
            return None, None
        conditions.append(m[2] or "")
        registers.append(m[3])
    return tuple(conditions), registers


def _in_parentheses(text):
    return text if re.fullmatch(_ATOM, text) else f"({text})"


def _block(conditions, registers):
    """An ``always`` block; ``registers`` holds for each register an assignment per branch."""
    if conditions == ("",) and len(registers) == 1:
        return f"  always @(posedge clk) {registers[0][0]}\n"
    lines = ["  always @(posedge clk)" + (" begin" if conditions == ("",) else "")]
    for k, condition in enumerate(conditions):
        head = ("else " if k else "") + (f"if ({condition}) " if condition else "")
        if len(registers) == 1:
            lines.append(f"    {head}{registers[0][k]}")
            continue
        if conditions != ("",):
            lines.append(f"    {'end ' if k else ''}{head}begin")
        indent = "    " if conditions == ("",) else "      "
        lines += [f"{indent}{assignments[k]}" for assignments in registers]
    if len(registers) > 1:
        lines.append("  end" if conditions == ("",) else "    end")
    return "".join(f"{line}\n" for line in lines)


def _replications(m):
    """Write ``{ a, a, a, b }`` as ``{ {3{a}}, b }``."""
    runs = [(item, len(list(run))) for item, run in groupby(m[0][2:-2].split(", "))]
    items = [
        f"{{{count}{{{item}}}}}" if count > 2 else ", ".join([item] * count) for item, count in runs
    ]
    return items[0] if len(items) == 1 and runs[0][1] > 2 else f"{{ {', '.join(items)} }}"


def _renumbered(body):
    """Number the names that Yosys gave from 0, in the order in which they stand."""
    names = dict.fromkeys(re.findall(r"\b_\d+_(?!\w)", body))
    numbers = {name: f"_{k}_" for k, name in enumerate(names)}
    return re.sub(r"\b_\d+_(?!\w)", lambda m: numbers[m[0]], body)


_PORT = re.compile(r"^  (input|output)( \[\d+:0\])? (\S+);\n  (wire|reg)\2? \3;\n", re.MULTILINE)


def mark_unused(body):
    """Name a wire that an instance drives and nothing reads ``unused_...``, as lint tools ask."""
    # Names of an instance's ports follow a dot.
    counts = Counter(re.findall(rf"(?<![.\w]){_NAME}", body))

    def renamed(m):
        name = f"unused_{m[1]}"
        while name in counts:
            name += "_"
        return name

    for wire in re.findall(rf"^  wire (?:\[\d+:0\] )?({_NAME});$", body, re.MULTILINE):
        if counts[wire] == 2 and f"({wire})" in body:
            body = re.sub(rf"(?<![.\w])({wire})\b", renamed, body)
    return body


_USE = re.compile(rf"(?<![.\w])({_NAME})(?:\[(\d+)(?::(\d+))?\])?")


def mark_unused_inputs(body):
    """Gather the bits of inputs that nothing reads in wires ``unused_...``, as lint tools ask."""
    used: dict[str, set] = {}
    for name, high, low in _USE.findall(_PORT.sub("", body)):
        bits = range(int(low or high), int(high) + 1) if high else [None]
        used.setdefault(name, set()).update(bits)
    wires = ""
    for direction, shape, name, _ in _PORT.findall(body):
        read = used.get(name, set())
        width = int(re.findall(r"\d+", shape)[0]) + 1 if shape else 1
        unused = [k for k in range(width) if k not in read]
        if direction == "output" or None in read or not unused:
            continue
        wire = f"unused_{name}"
        while wire in used:
            wire += "_"
        wires += f"  wire {wire} = ^{{{', '.join(_parts(name, width, unused))}}};\n"
    return body.replace("endmodule", f"{wires}endmodule")


def _parts(name, width, bits):
    """Runs of bits of a wire, the highest first."""
    parts = []
    for _, group in groupby(enumerate(reversed(bits)), key=sum):
        run = [bit for _, bit in group]
        span = f"{run[0]}:{run[-1]}" if len(run) > 1 else f"{run[0]}"
        parts.append(name if len(run) == width else f"{name}[{span}]")
    return parts


def ports_first(body):
    """Move port declarations into the module's head: clock, reset, then by name."""
    ports = []
    for m in _PORT.finditer(body):
        direction, shape, name, kind = m.groups(default="")
        rank = {"clk": 0, "rst": 1}.get(name, 2)
        ports.append((rank, name, f"  {direction} {kind}{shape} {name}"))
    return ",\n".join(text for _, _, text in sorted(ports)) + "\n);\n" + _PORT.sub("", body)
