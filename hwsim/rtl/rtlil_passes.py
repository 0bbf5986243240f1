"""Passes over RTLIL text, between Amaranth, which writes it, and Yosys, which makes Verilog of it.

RTLIL is line-oriented: see the Yosys manual, "RTLIL text representation".
"""

import re

__all__ = ["CONTENTS", "extend_operands", "share_modules", "without_idle_resets", "without_offsets"]

# Attribute of a memory that is read before it is written, whatever its contents are.
CONTENTS = "contents"

_ID = re.compile(r"[\\$]\S+")
_MODULE = re.compile(r"^module \\(\S+)\n(.*?)^end\n", re.MULTILINE | re.DOTALL)
_CELL = re.compile(r"^  cell (\S+) (\S+)\n((?:    .*\n)*)  end\n", re.MULTILINE)
_WIRE = re.compile(
    r"^  wire width (\d+) (?:(input|output|inout) (\d+) )? ?(?:signed )?([\\$]\S+)$", re.MULTILINE
)


def share_modules(text, top):
    """RTLIL in which modules of equal text are one, with names that say where they belong.

    A module that is used once is named after the path of its instance, less the levels that have no
    other submodule; one that is used more often after its instance alone; one of
    `hwsim.rtl.once.Once` keeps its name. Wires that only repeat another one are left out, see
    `_Names`; so are values at power-up: a reset comes before anything is read.
    """
    text = re.sub(r"^  attribute \\init .*\n", "", text, flags=re.MULTILINE)
    bodies = dict(_MODULE.findall(text))
    children = {
        path: [
            child
            for child in re.findall(r"^  cell \\(\S+) ", body, re.MULTILINE)
            if child in bodies
        ]
        for path, body in bodies.items()
    }
    ports: dict[str, dict[str, str]] = {}  # path -> old and new names of ports
    shared: dict[str, str] = {}  # path -> path of the module that stands for it
    found: dict[tuple, str] = {}

    def visit(path):
        for child in children[path]:
            if child not in shared:
                visit(child)
        names = _Names(_without_empty_contents(bodies[path]), ports, keep_ports=path == top)
        ports[path] = names.ports
        bodies[path] = _with_children(names.body, shared)
        shared[path] = found.setdefault(_content(bodies[path]), path)

    visit(top)
    uses: dict[str, int] = {}
    for path in shared.values():
        uses[path] = uses.get(path, 0) + 1
    names = {top: top}
    for path, count in uses.items():
        if path != top:
            parts = _parts(path, children, top)
            tail = "_".join(parts if count == 1 else parts[-1:])
            names[path] = _unused(
                re.sub(r"\W", "_", f"{top}_{tail}", flags=re.ASCII), names.values()
            )
    modules = []
    for path in reversed(uses):  # the top first
        attribute = "attribute \\top 1\n" if path == top else ""
        modules.append(
            f"{attribute}module \\{names[path]}\n{_with_children(bodies[path], names)}end\n"
        )
    return "\n".join(modules)


def _with_children(body, names):
    return re.sub(
        r"^  cell \\(\S+) ",
        lambda m: f"  cell \\{names.get(m[1], m[1])} ",
        body,
        flags=re.MULTILINE,
    )


def _parts(path, children, top):
    """Instance names on the way to ``path``, less the top and only children on the way.

    The way to a module of `Once`, and to those inside it, begins with its name.
    """
    words = path.split(".")
    prefixes = [".".join(words[:k]) for k in range(1, len(words) + 1)]
    return words[: words[0] != top] + [
        word
        for parent, inner, word in zip(prefixes, prefixes[1:], words[1:], strict=False)
        if inner == path or len(children[parent]) > 1
    ]


def _unused(name, taken):
    """``name``, numbered if it is taken."""
    candidate, number = name, 1
    while candidate in taken:
        number += 1
        candidate = f"{name}_{number}"
    return candidate


def _content(body):
    """What makes two modules equal: the text, whatever the order in which ports were numbered."""
    port = re.compile(r"^  (wire width \d+ (?:input|output|inout)) \d+ (.*)$", re.MULTILINE)
    return tuple(sorted(f"{m[1]} {m[2]}" for m in port.finditer(body))), re.sub(
        r"\n+", "\n", port.sub("", body)
    )


def _without_empty_contents(body):
    """Leave out contents that are all zero: such memories are written before they are read.

    Not those of memories with the attribute `CONTENTS`.
    """
    kept = re.findall(
        rf"^  attribute \\{CONTENTS} 1\n(?:  attribute .*\n)*  memory .* (\S+)$",
        body,
        flags=re.MULTILINE,
    )

    def without(cell):
        name = re.search(r'parameter \\MEMID "\\(\\\S+)"', cell[0])
        return cell[0] if name and name[1] in kept else ""

    return re.sub(
        r"^  cell \$meminit_v2 \S+\n(?:    (?!connect \\DATA).*\n)*"
        r"    connect \\DATA \d+'0+\n(?:    .*\n)*  end\n",
        without,
        body,
        flags=re.MULTILINE,
    )


class _Names:
    """A module's text with one good name for each wire.

    Amaranth gives a net the first of its signals' names, numbered where that is taken, and repeats
    it under all others. Of these names the best is chosen here: for a port that of a stream, for
    other wires one that the unit's author gave, then one that says which instance or memory drives
    it.

    Members
    -------
    body : str
    ports : dict of str to str
        Old and new names of the ports.
    """

    def __init__(self, body, child_ports, keep_ports):
        body = self._connect_children(body, child_ports)
        wires = {m[4]: (int(m[1]), m[2]) for m in _WIRE.finditer(body)}
        candidates = {name: [name] for name in wires}
        dropped = set()
        for alias, net, high in re.findall(
            r"^connect (\\\S+) (\S+)(?: \[(?:(\d+):)?0\])?$", body, re.MULTILINE
        ):
            if net in wires and wires[alias][0] == wires[net][0] == int(high or 0) + 1:
                candidates[net].append(alias)
        for alias, parts in re.findall(r"^connect (\\\S+) \{ (.*) \}$", body, re.MULTILINE):
            nets = re.findall(r"(\S+)(?: \[(?:(\d+):)?0\])?(?= |$)", parts)
            for k, (net, high) in enumerate(reversed(nets)):
                if net in wires and wires[net][0] == int(high or 0) + 1:
                    candidates[net].append(f"{self._plain(alias)}_{k}")
        for alias in re.findall(r"^connect (\\\S+) ", body, re.MULTILINE):
            if not wires[alias][1]:
                dropped.add(alias)
        for name, reason in self._drivers(body, wires):
            candidates[name].append(reason)
        taken = {
            f"\\{name}"
            for _, name in re.findall(r"^  (cell|memory) .* \\(\S+)$", body, re.MULTILINE)
        }
        chosen = {}
        for name in sorted(wires, key=lambda name: wires[name][1] is None):  # ports first
            if name not in dropped:
                port = wires[name][1] is not None
                best = (
                    name
                    if port and keep_ports
                    else self._plain(min(candidates[name], key=lambda c: _rank(c, port)))
                )
                chosen[name] = _unused(best, taken)
                taken.add(chosen[name])
        self.ports = {name: chosen[name] for name, (_, port) in wires.items() if port}
        self.body = self._rename(body, chosen, dropped)

    @staticmethod
    def _connect_children(body, child_ports):
        """Name the children's ports as the children do now."""

        def cell(m):
            names = child_ports.get(m[1].removeprefix("\\"))
            if names is None:
                return m[0]
            return re.sub(
                r"^    connect (\\\S+) ",
                lambda c: f"    connect {names[c[1]]} ",
                m[0],
                flags=re.MULTILINE,
            )

        return _CELL.sub(cell, body)

    @staticmethod
    def _plain(name):
        return re.sub(r"(?<!^)\$\d+$", "", name).replace("\\$", "\\")

    def _drivers(self, body, wires):
        """Names for wires after the instance or memory that drives them."""
        for kind, instance, text in _CELL.findall(body):
            if kind == "$memrd_v2":
                memory = re.findall(r'\\MEMID "\\(\\\S+)"', text)[0]
                data = re.search(r"^    connect \\DATA (\\\S+)$", text, re.MULTILINE)
                if data:
                    yield data[1], f"{memory}_data"
            elif kind.startswith("\\"):
                for port, net, high in re.findall(
                    r"^    connect \\(\S+) ([\\$]\S+)(?: \[(?:(\d+):)?0\])?", text, re.MULTILINE
                ):
                    if net in wires and not wires[net][1]:
                        whole = wires[net][0] == int(high or 0) + 1
                        yield net, f"{instance}_{port if whole else self._plain(net)[1:]}"

    @staticmethod
    def _rename(body, chosen, dropped):
        def renamed(text):
            return _ID.sub(lambda m: chosen.get(m[0], m[0]), text)

        lines: list[str] = []
        for line in body.splitlines(keepends=True):
            word = line.split(maxsplit=2)[:2]
            if not word:
                continue
            if word[0] == "wire":
                name = line.split()[-1]
                if name in dropped:
                    while lines and lines[-1].startswith("  attribute"):
                        lines.pop()
                    continue
                line = renamed(line.replace(" signed ", " "))
            elif line.startswith("connect"):
                if word[1] in dropped:
                    continue
                line = renamed(line)
            elif line.startswith("    connect"):
                head, port, rest = line.split(maxsplit=2)
                line = f"    {head} {port} {renamed(rest)}"
            elif word[0] not in ("cell", "memory", "parameter", "attribute"):
                line = renamed(line)
            lines.append(line)
        return "".join(lines)


def _rank(name, port):
    """How good a name is; the lower the better."""
    if name[0] == "$" or "[" in name or "$" in name[1:2] or name.startswith("\\port$"):
        return 9
    if m := re.match(r"\\[a-z]\d*__(?:payload|valid|ready)(_\d+)?(\$|$)", name):
        return 4 if not port else 2 if m[1] else 0
    if "__" in name and re.match(r"\\[^$]+_[a-z]\d*__", name):
        return 2
    return 3 if "__" in name or len(name) == 2 else 1


def without_idle_resets(text, top):
    """RTLIL in which modules other than the top have no port `rst` if nothing in them is reset."""
    bodies = dict(_MODULE.findall(text))
    done: dict[str, str] = {}
    idle = set()

    def cell(m):
        child = m[1].removeprefix("\\")
        if child in bodies and child not in done:
            visit(child)
        return re.sub(r"    connect \\rst .*\n", "", m[0]) if child in idle else m[0]

    def visit(name):
        body = _CELL.sub(cell, bodies[name])
        without = re.sub(r"^  wire input \d+ \\rst\n", "", body, flags=re.MULTILINE)
        if name != top and not re.search(r"\\rst\s", without):
            idle.add(name)
            body = without
        done[name] = body

    visit(top)
    return _MODULE.sub(lambda m: f"module \\{m[1]}\n{done.get(m[1], m[2])}end\n", text)


def without_offsets(text):
    """RTLIL in which the bits of all wires are numbered from 0."""
    return re.sub(r"^(  wire .*)offset \d+ ", r"\1", text, flags=re.MULTILINE)


_SUMS = {"$add", "$sub"}
_BITWISE = {"$and", "$or", "$xor", "$xnor"}
_COMPARISONS = {"$eq", "$ne", "$lt", "$le", "$gt", "$ge"}


def extend_operands(text):
    """RTLIL in which operands of sums, bitwise operators and comparisons are equally wide."""

    def module(match):
        wires = re.findall(r"^  wire (?:width (\d+) )?.*?(\S+)$", match[0], re.MULTILINE)
        sizes = {name: int(width or 1) for width, name in wires}
        return _CELL.sub(lambda cell: extended(cell, sizes), match[0])

    def extended(match, sizes):
        kind, body = match[1], match[3]
        if kind == "$logic_not":
            return _compared_with_zero(match[0])
        if kind not in _SUMS | _BITWISE | _COMPARISONS:
            return match[0]
        value = dict(re.findall(r"^    (?:parameter|connect) \\(\w+) (.*)$", body, re.MULTILINE))
        widths = {port: int(value[f"{port}_WIDTH"]) for port in "ABY"}
        wanted = max(widths["A"], widths["B"])
        # A sum one bit wider than its operands is how the language writes a carry.
        if kind in _BITWISE or (kind in _SUMS and widths["Y"] > wanted + 1):
            wanted = max(wanted, widths["Y"])
        for port in "AB":
            if widths[port] < wanted:
                signed = int(value[f"{port}_SIGNED"], 2) == 1
                spec = _extend(value[port], wanted, widths[port], signed, sizes)
                body = body.replace(
                    f"    connect \\{port} {value[port]}\n", f"    connect \\{port} {spec}\n"
                )
                body = body.replace(
                    f"    parameter \\{port}_WIDTH {widths[port]}\n",
                    f"    parameter \\{port}_WIDTH {wanted}\n",
                )
        return match[0].replace(match[3], body)

    return re.sub(r"^module .*?^end\n", module, text, flags=re.MULTILINE | re.DOTALL)


def _compared_with_zero(cell):
    """A logical negation of several bits, in RTLIL, as the comparison that it stands for."""
    width = int(re.findall(r"\\A_WIDTH (\d+)", cell)[0])
    if width == 1:
        return cell
    operand = (
        f"    parameter \\B_SIGNED 0\n    parameter \\B_WIDTH {width}\n"
        f"    connect \\B {width}'{'0' * width}\n"
    )
    return (
        cell.replace("  cell $logic_not ", "  cell $eq ", 1).removesuffix("  end\n")
        + operand
        + "  end\n"
    )


def _extend(spec, wanted, width, signed, sizes):
    """A signal of ``width`` bits in RTLIL, extended to ``wanted`` bits; ``sizes`` by wire."""
    constant = re.fullmatch(r"\d+'([01]+)", spec)
    if constant:
        top = constant[1][0] if signed else "0"
        return f"{wanted}'{constant[1].rjust(wanted, top)}"
    if not signed:
        return f"{{ {wanted - width}'{'0' * (wanted - width)} {spec} }}"
    return f"{{ {' '.join([_top_bit(spec, sizes)] * (wanted - width))} {spec} }}"


def _top_bit(spec, sizes):
    """The highest bit of a signal in RTLIL."""
    if spec.startswith("{"):  # { most significant part ... }
        spec = re.findall(r"\{ ((?:\\|\$)\S+(?: \[[\d:]+\])?|\d+'[01]+)", spec)[0]
    constant = re.fullmatch(r"\d+'([01])[01]*", spec)
    if constant:
        return f"1'{constant[1]}"
    part = re.fullmatch(r"(\S+) \[(\d+)(?::\d+)?\]", spec)
    if part:
        return f"{part[1]} [{part[2]}]"
    return f"{spec} [{sizes[spec] - 1}]" if sizes[spec] > 1 else spec
