import random
import re
from functools import partial
from itertools import product

import pytest
from amaranth.hdl import (
    Array,
    Assert,
    Assume,
    Cat,
    ClockSignal,
    Const,
    Cover,
    Instance,
    Module,
    Print,
    Signal,
    signed,
)
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hwsim.rtl.once import Once, Shared
from hwsim.sim.compiled import hierarchy
from hwsim.sim.compiled.frontend import UnsupportedDesign, elaborate, graph_of_rtlil, read_verilog
from tests.sim.interpreter import Interpreter, check


def design(members, build):
    """A component with these ports, made by ``build(m, component)``."""

    class Design(wiring.Component):
        def __init__(self):
            super().__init__(members)

        def elaborate(self, platform):
            m = Module()
            build(m, self)
            return m

    return Design()


def built(members, build, **options):
    graph = elaborate(design(members, build), **options)
    check(graph)
    return graph


def from_text(text, top=None):
    graph = graph_of_rtlil(text, top)
    check(graph)
    return graph


def nodes(graph, *ops):
    return [node for node in graph.sorted() if node.op in ops]


def outputs(graph, rows, name="y"):
    interpreter = Interpreter(graph)
    return [interpreter.step(row)[name] for row in rows]


# Registers -------------------------------------------------------------------------------------


def register_text(kind, parameters, ports, init):
    lines = ["module \\m", f"  attribute \\init 4'{init:04b}", "  wire width 4 output 1 \\q"]
    lines += ["  wire width 4 input 2 \\d", "  wire input 3 \\clk"]
    lines += [f"  wire input {k} \\{n}" for k, n in enumerate(["en", "srst", "arst"], 4)]
    lines += [f"  cell {kind} $1", *(f"    parameter \\{n} {v}" for n, v in parameters.items())]
    lines += [f"    connect \\{port} {wire}" for port, wire in ports.items()]
    return "\n".join([*lines, "  end", "end", ""])


def register_model(rows, init, kind, enable, sync, asyn, value):
    """Outputs of a register; controls are the levels at which they act, or None."""
    state, result = init, []
    for row in rows:
        reset = asyn is not None and row["arst"] == asyn
        result.append(value if reset else state)
        enabled = enable is None or row["en"] == enable
        cleared = sync is not None and row["srst"] == sync
        if kind == "$sdffce":
            following = (value if cleared else row["d"]) if enabled else state
        else:
            following = value if cleared else row["d"] if enabled else state
        state = value if reset else following
    return result


@pytest.mark.parametrize("kind", ["$dff", "$dffe", "$sdff", "$sdffe", "$sdffce", "$adff", "$adffe"])
@pytest.mark.parametrize("level", [0, 1])
def test_register(kind, level):
    rng = random.Random(f"{kind} {level}")
    enable = level if kind.endswith("e") else None
    sync = 1 - level if kind.startswith("$s") else None
    asyn = level if kind.startswith("$a") else None
    parameters = {"WIDTH": 4, "CLK_POLARITY": "1'1"}
    ports = {"CLK": "\\clk", "D": "\\d", "Q": "\\q"}
    for name, given in (("EN", enable), ("SRST", sync), ("ARST", asyn)):
        if given is not None:
            parameters[f"{name}_POLARITY"] = f"1'{given}"
            ports[name] = f"\\{name.lower()}"
            if name != "EN":
                parameters[f"{name}_VALUE"] = "4'1001"
    graph = from_text(register_text(kind, parameters, ports, init=6))
    names = {"d": 4, "en": 1, "srst": 1, "arst": 1}
    rows = [{n: rng.getrandbits(w) for n, w in names.items()} for _ in range(60)]
    assert graph.clock == "clk"
    assert set(graph.inputs) == set(names)
    assert outputs(graph, rows, "q") == register_model(rows, 6, kind, enable, sync, asyn, 9)


GATE_REGISTERS = {
    "$_DFF_P_": ("$dff", None, None, None, 0),
    "$_DFFE_PP_": ("$dffe", 1, None, None, 0),
    "$_DFFE_PN_": ("$dffe", 0, None, None, 0),
    "$_DFF_PP1_": ("$adff", None, None, 1, 1),
    "$_DFF_PN0_": ("$adff", None, None, 0, 0),
    "$_DFFE_PN1P_": ("$adffe", 1, None, 0, 1),
    "$_SDFF_PP1_": ("$sdff", None, 1, None, 1),
    "$_SDFFE_PN0N_": ("$sdffe", 0, 0, None, 0),
    "$_SDFFCE_PP0P_": ("$sdffce", 1, 1, None, 0),
}


@pytest.mark.parametrize("kind", GATE_REGISTERS)
def test_gate_level_register(kind):
    like, enable, sync, asyn, value = GATE_REGISTERS[kind]
    ports = {"C": "\\clk", "D": "\\d [0]", "Q": "\\q [0]"}
    if enable is not None:
        ports["E"] = "\\en"
    if sync is not None or asyn is not None:
        ports["R"] = "\\srst" if sync is not None else "\\arst"
    graph = from_text(register_text(kind, {}, ports, init=1))
    rng = random.Random(kind)
    rows = [{n: rng.getrandbits(1) for n in ("d", "en", "srst", "arst")} for _ in range(60)]
    expected = register_model(rows, 1, like, enable, sync, asyn, value)
    assert outputs(graph, rows, "q") == expected


def test_enable_is_one_multiplexer_with_the_register_as_its_last_operand():
    def build(m, c):
        with m.If(c.en):
            m.d.sync += c.y.eq(c.a)

    graph = built({"a": In(8), "en": In(1), "y": Out(8)}, build)
    (register,) = graph.registers
    reset, (enable, taken, held) = register.next.args[0], register.next.args[2].args
    assert register.next.op == register.next.args[2].op == "mux"
    assert (reset, enable, taken) == tuple(graph.inputs[n] for n in ("rst", "en", "a"))
    assert (held.op, held.attr) == ("register", register)


def test_initial_value_of_a_wire_without_driver():
    text = """
module \\m
  attribute \\init 4'1x01
  wire width 4 \\w
  wire width 4 output 1 \\y
  wire width 4 output 2 \\z
  connect \\y \\w
end
"""
    assert Interpreter(from_text(text)).step() == {"y": 0b1001, "z": 0}


def test_initial_value_of_an_alias_of_a_register():
    text = """
module \\m
  wire input 1 \\clk
  attribute \\init 2'10
  wire width 2 output 2 \\y
  wire width 4 \\q
  connect \\y \\q [2:1]
  cell $dff $1
    parameter \\WIDTH 4
    parameter \\CLK_POLARITY 1
    connect \\CLK \\clk
    connect \\D 4'0000
    connect \\Q \\q
  end
end
"""
    graph = from_text(text)
    assert graph.registers[0].init == 0b0100
    assert outputs(graph, [{}, {}]) == [2, 0]


def test_initstate_is_one_in_the_first_cycle():
    text = """
module \\m
  wire output 1 \\y
  cell $initstate $1
    connect \\Y \\y
  end
end
"""
    assert outputs(from_text(text), [{}] * 3) == [1, 0, 0]


# Memories --------------------------------------------------------------------------------------


def memory_model(rows, depth, writes, init, transparent):
    """Old words, and what a synchronous port reads; the last write wins."""
    words, held, result = list(init), 0, []
    for row in rows:
        result.append((words[row["ra"]] if row["ra"] < depth else 0, held))
        after = list(words)
        for k in range(writes):
            if row[f"wa{k}"] < depth:
                mask = sum(0xF << (4 * j) for j in range(2) if row[f"we{k}"] >> j & 1)
                old = after[row[f"wa{k}"]]
                after[row[f"wa{k}"]] = old & ~mask | row[f"wd{k}"] & mask
        if row["re"]:
            new = after if transparent else words
            held = new[row["ra"]] if row["ra"] < depth else 0
        words = after
    return result


@pytest.mark.parametrize("depth", [4, 5, 7, 8])
@pytest.mark.parametrize("transparent", [False, True])
def test_memory_with_masks(depth, transparent):
    rng = random.Random(f"{depth} {transparent}")
    init = [rng.getrandbits(8) for _ in range(depth)]
    inputs = {"ra": 3, "re": 1, "wa0": 3, "wd0": 8, "we0": 2, "wa1": 3, "wd1": 8, "we1": 2}

    def build(m, c):
        m.submodules.mem = memory = Memory(shape=8, depth=depth, init=init)
        ports = [memory.write_port(granularity=4) for _ in range(2)]
        for k, port in enumerate(ports):
            for name in ("addr", "data", "en"):
                short = f"w{name[0]}{k}"
                m.d.comb += getattr(port, name).eq(getattr(c, short))
        at_once = memory.read_port(domain="comb")
        later = memory.read_port(transparent_for=ports if transparent else ())
        m.d.comb += [at_once.addr.eq(c.ra), later.addr.eq(c.ra), later.en.eq(c.re)]
        m.d.comb += [c.y.eq(at_once.data), c.z.eq(later.data)]

    members = {n: In(w) for n, w in inputs.items()} | {"y": Out(8), "z": Out(8)}
    graph = built(members, build)
    rows = [{n: rng.getrandbits(w) for n, w in inputs.items()} for _ in range(300)]
    limit = 1 << (depth - 1).bit_length()
    for row in rows:
        # A write beyond the depth is lost, but Amaranth passes it on to a transparent port.
        for name in ("ra", "wa0", "wa1"):
            row[name] %= depth if transparent else limit
    interpreter = Interpreter(graph)
    got = [(out["y"], out["z"]) for out in map(interpreter.step, rows)]
    assert got == memory_model(rows, depth, 2, init, transparent)
    # Words are parted where the masks are.
    assert [(m.width, m.depth, len(m.writes)) for m in graph.memories] == [(4, depth, 2)] * 2
    assert graph.memories[0].init == [word & 15 for word in init]
    assert graph.bodies[graph.top].memories == {"mem": graph.memories}


def test_memory_without_masks_is_whole():
    def build(m, c):
        m.submodules.mem = memory = Memory(shape=200, depth=3, init=[])
        port = memory.write_port()
        m.d.comb += [port.addr.eq(c.a), port.data.eq(c.d), port.en.eq(c.en)]
        m.d.comb += c.y.eq(memory.read_port(domain="comb").data)

    graph = built({"a": In(2), "d": In(200), "en": In(1), "y": Out(200)}, build)
    (memory,) = graph.memories
    assert (memory.name, memory.width, memory.depth, memory.init) == ("mem", 200, 3, [])
    (write,) = memory.writes
    assert write.enable is graph.inputs["en"]


VERILOG_MEMORY = """
module m(input clk, input [3:0] a, input [31:0] d, input [3:0] be, input we, input [3:0] r,
         output [31:0] y, output reg [31:0] z, output [7:0] k);
  reg [31:0] mem [3:12];
  reg [7:0] rom [0:4];
  integer i;
  initial begin
    for (i = 3; i < 13; i = i + 1) mem[i] = i * 17;
    $readmemh("rom.hex", rom);
  end
  always @(posedge clk) begin
    for (i = 0; i < 4; i = i + 1) if (we && be[i]) mem[a][8*i +: 8] <= d[8*i +: 8];
    if (we && be == 0 && d[0]) mem[a] <= ~d;
    z <= mem[r];
  end
  assign y = mem[r];
  assign k = rom[r[2:0]];
endmodule
"""


def check_verilog_memory(graph, seed):
    rng = random.Random(seed)
    mem = {i: i * 17 for i in range(3, 13)}
    held = 0
    interpreter = Interpreter(graph)
    for cycle in range(400):
        row = {
            n: rng.getrandbits(w) for n, w in {"a": 4, "d": 32, "be": 4, "we": 1, "r": 4}.items()
        }
        got = interpreter.step(row)
        rom = [0x11, 0x22, 0x33, 0x44, 0x55, 0, 0, 0]
        expected = {"y": mem.get(row["r"], 0), "z": held, "k": rom[row["r"] & 7]}
        assert got == expected, (seed, cycle, row)
        held = mem.get(row["r"], 0)
        if row["we"] and row["a"] in mem:
            for i in range(4):
                if row["be"] >> i & 1:
                    mask = 0xFF << (8 * i)
                    mem[row["a"]] = mem[row["a"]] & ~mask | row["d"] & mask
            if not row["be"] and row["d"] & 1:
                mem[row["a"]] = ~row["d"] & 0xFFFFFFFF


@pytest.fixture
def verilog_memory(tmp_path):
    (tmp_path / "m.v").write_text(VERILOG_MEMORY)
    (tmp_path / "rom.hex").write_text("11 22 33 44 55\n")
    return tmp_path / "m.v"


def test_verilog_memory_with_byte_enables_and_offset(verilog_memory):
    graph = read_verilog([verilog_memory], "m")
    check(graph)
    check_verilog_memory(graph, 1)
    assert [(m.width, m.depth) for m in graph.memories if m.name.startswith("mem")] == [(8, 10)] * 4


def test_verilog_memory_with_parts_collected(verilog_memory):
    """As one $mem_v2 cell."""
    from hwsim.sim.compiled import verilog

    commands = [*verilog._PREPARE[:-1], "memory_collect", verilog._PREPARE[-1]]
    text = rtlil_with(verilog_memory, commands)
    assert "cell $mem_v2 " in text
    graph = from_text(text)
    check_verilog_memory(graph, 2)


def rtlil_with(path, commands):
    """RTLIL by other commands of Yosys than the usual ones."""
    from hwsim.sim.compiled import verilog

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verilog, "_PREPARE", commands)
        return verilog.rtlil_of_verilog([path], "m")


def read_port_text(parameters):
    values = {"MEMID": '"\\\\mem"', "ABITS": 2, "WIDTH": 4, "TRANSPARENCY_MASK": "0'0"}
    values |= {"COLLISION_X_MASK": "0'0", "CLK_ENABLE": 1, "CLK_POLARITY": 1}
    values |= {"ARST_VALUE": "4'1100", "SRST_VALUE": "4'1010", "INIT_VALUE": "4'0011"}
    lines = ["module \\m", "  memory width 4 size 4 \\mem", "  wire width 4 output 1 \\y"]
    lines += ["  wire width 2 input 2 \\a"]
    lines += [f"  wire input {k} \\{n}" for k, n in enumerate(["clk", "en", "srst", "arst"], 3)]
    lines += ["  cell $meminit_v2 $1", '    parameter \\MEMID "\\\\mem"', "    parameter \\ABITS 2"]
    lines += ["    parameter \\WIDTH 4", "    parameter \\WORDS 4", "    parameter \\PRIORITY 0"]
    lines += ["    connect \\ADDR 2'00", "    connect \\DATA 16'1000011101100101"]
    lines += ["    connect \\EN 4'1111", "  end", "  cell $memrd_v2 $2"]
    lines += [f"    parameter \\{n} {v}" for n, v in (values | parameters).items()]
    for port in ("CLK", "EN", "SRST", "ARST"):
        lines.append(f"    connect \\{port} \\{port.lower()}")
    return "\n".join(
        [*lines, "    connect \\ADDR \\a", "    connect \\DATA \\y", "  end", "end", ""]
    )


@pytest.mark.parametrize("enable_first", [0, 1])
def test_read_port_with_resets(enable_first):
    graph = from_text(read_port_text({"CE_OVER_SRST": enable_first}))
    rng = random.Random(enable_first)
    rows = [
        {"a": rng.getrandbits(2), **{n: rng.random() < 0.4 for n in ("en", "srst", "arst")}}
        for _ in range(100)
    ]
    state, expected = 3, []
    for row in rows:
        expected.append(12 if row["arst"] else state)
        word = (5, 6, 7, 8)[row["a"]]
        if enable_first:
            following = (10 if row["srst"] else word) if row["en"] else state
        else:
            following = 10 if row["srst"] else word if row["en"] else state
        state = 12 if row["arst"] else following
    assert outputs(graph, [{n: int(v) for n, v in row.items()} for row in rows]) == expected


# Processes -------------------------------------------------------------------------------------


def test_first_matching_case_wins():
    def build(m, c):
        m.d.comb += c.y.eq(c.a)
        with m.Switch(c.s):
            with m.Case("1--0"):
                m.d.comb += c.y.eq(1)
            with m.Case("11--", "0011"):
                m.d.comb += c.y[2:].eq(2)
            with m.Case("--1-"):
                with m.If(c.a[0]):
                    m.d.comb += c.y.eq(3)
                with m.Elif(c.a[1]):
                    m.d.comb += c.y[:3].eq(4)
            with m.Default():
                m.d.comb += c.y[7].eq(1)

    def model(s, a):
        if s & 9 == 8:
            return 1
        if s & 12 == 12 or s == 3:
            return a & 3 | 8
        if s & 2:
            return 3 if a & 1 else a & ~7 | 4 if a & 2 else a
        return a | 128

    graph = built({"s": In(4), "a": In(8), "y": Out(8)}, build)
    rows = [{"s": s, "a": a} for s, a in product(range(16), range(256))]
    assert outputs(graph, rows) == [model(**row) for row in rows]


@pytest.mark.parametrize("width", [1, 2, 3, 4])
@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 16])
def test_array_is_indexed_by_a_tree(width, count):
    rng = random.Random(f"{width} {count}")
    values = [rng.getrandbits(9) for _ in range(count)]

    def build(m, c):
        m.d.comb += c.y.eq(Array(Const(v, 9) for v in values)[c.s])
        m.d.comb += c.z.eq(Array(c.a.bit_select(k, 1) for k in range(count))[c.s])

    graph = built({"s": In(width), "a": In(16), "y": Out(9), "z": Out(1)}, build)
    rows = [{"s": s, "a": rng.getrandbits(16)} for s in range(1 << width) for _ in range(4)]
    # The RTLIL of an index beyond the end says 0.
    words = [*values, *[0] * 16]
    assert outputs(graph, rows) == [words[row["s"]] for row in rows]
    bits = [row["a"] >> row["s"] & (row["s"] < count) for row in rows]
    assert outputs(graph, rows, "z") == bits
    if count >= 1 << width:
        assert not nodes(graph, "eq")


def test_one_bit_switch_is_one_multiplexer():
    def build(m, c):
        with m.If(c.s):
            m.d.comb += c.y.eq(c.a)
        with m.Else():
            m.d.comb += c.y.eq(c.b)

    graph = built({"s": In(1), "a": In(8), "b": In(8), "y": Out(8)}, build)
    (mux,) = nodes(graph, "mux")
    assert mux.args == tuple(graph.inputs[name] for name in "sab")
    assert len(graph.sorted()) == 4


def test_fields_assigned_apart_are_apart():
    def build(m, c):
        with m.If(c.s):
            for k in range(100):
                m.d.comb += c.y[8 * k : 8 * k + 8].eq(c.a.word_select(99 - k, 8))

    graph = built({"s": In(1), "a": In(800), "y": Out(800)}, build)
    assert {node.width for node in nodes(graph, "mux")} == {8}
    assert len(nodes(graph, "mux")) == 100


# Hierarchy and groups --------------------------------------------------------------------------


class Element(wiring.Component):
    """p_o = p_i + a_i * weight, a cycle later; the weight is loaded from above."""

    def __init__(self, name="w", constant=0):
        self._name = name
        self._constant = constant
        members = {"a_i": In(signed(8)), "a_o": Out(signed(8)), "load": In(1)}
        members |= {"w_i": In(signed(8)), "w_o": Out(signed(8))}
        super().__init__(members | {"p_i": In(signed(20)), "p_o": Out(signed(20))})

    def elaborate(self, platform):
        m = Module()
        weight = Signal(signed(8), name=self._name, init=self._constant)
        m.d.sync += [self.a_o.eq(self.a_i), self.p_o.eq(self.p_i + self.a_i * weight)]
        with m.If(self.load):
            m.d.sync += weight.eq(self.w_i)
        m.d.comb += self.w_o.eq(weight)
        return m


class Row(wiring.Component):
    def __init__(self, columns, make=Element):
        self._columns = columns
        self._make = make
        members = {"a": In(8), "load": In(1)}
        for name, width in (("w", 8), ("p", 20)):
            members |= {f"{name}_i": In(width * columns), f"{name}_o": Out(width * columns)}
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        last = self.a
        for k in range(self._columns):
            m.submodules[f"element_{k}"] = one = self._make()
            m.d.comb += [one.a_i.eq(last), one.load.eq(self.load)]
            m.d.comb += one.w_i.eq(self.w_i.word_select(k, 8))
            m.d.comb += one.p_i.eq(self.p_i.word_select(k, 20))
            m.d.comb += self.w_o.word_select(k, 8).eq(one.w_o)
            m.d.comb += self.p_o.word_select(k, 20).eq(one.p_o)
            last = one.a_o
        return m


def array_of(rows, columns, make=Element, make_row=Row):
    def build(m, c):
        w, p = c.w, Const(0, 20 * columns)
        for k in range(rows):
            m.submodules[f"row_{k}"] = row = make_row(columns, make)
            m.d.comb += [row.a.eq(c.a.word_select(k, 8)), row.load.eq(c.load)]
            m.d.comb += [row.w_i.eq(w), row.p_i.eq(p)]
            w, p = row.w_o, row.p_o
        m.d.comb += c.y.eq(p)

    members = {"a": In(8 * rows), "w": In(8 * columns), "load": In(1), "y": Out(20 * columns)}
    return members, build


def array_model(rows, columns, stimulus):
    """Sums of the array, cycle by cycle."""
    a = [[0] * columns for _ in range(rows)]
    p = [[0] * columns for _ in range(rows)]
    w = [[0] * columns for _ in range(rows)]

    def byte(vector, k):
        value = vector >> (8 * k) & 255
        return value - 256 if value > 127 else value

    result = []
    for row in stimulus:
        result.append(sum((p[-1][c] & 0xFFFFF) << (20 * c) for c in range(columns)))
        into = [
            [byte(row["a"], r) if c == 0 else a[r][c - 1] for c in range(columns)]
            for r in range(rows)
        ]
        p = [
            [(p[r - 1][c] if r else 0) + into[r][c] * w[r][c] for c in range(columns)]
            for r in range(rows)
        ]
        if row["load"]:
            w = [
                [w[r - 1][c] if r else byte(row["w"], c) for c in range(columns)]
                for r in range(rows)
            ]
        a = into
    return result


def array_stimulus(rows, columns, seed=0, cycles=60):
    rng = random.Random(seed)
    return [
        {
            "a": rng.getrandbits(8 * rows),
            "w": rng.getrandbits(8 * columns),
            "load": int(cycle < rows or rng.random() < 0.1),
            "rst": 0,
        }
        for cycle in range(cycles)
    ]


def groups_of(graph):
    return {group.name: group.instances for group in graph.bodies if group is not graph.top}


def test_small_array_of_shared_rows_has_one_body_for_all_elements():
    """Converted once, all elements are equal; four rows are too few for a body of their own."""
    members, build = array_of(4, 4, partial(Once, Element), partial(Once, Row))
    graph = elaborate(design(members, build), platform=Shared())
    check(graph)
    rows = array_stimulus(4, 4)
    assert outputs(graph, rows) == array_model(4, 4, rows)
    names = [f"row_{r}.element_{c}" for r in range(4) for c in range(4)]
    assert groups_of(graph) == {"element": names}
    assert len([r for r in graph.registers if r.group is not graph.top]) == 3


def test_larger_array_has_rows_and_elements():
    members, build = array_of(12, 9)
    graph = built(members, build)
    rows = array_stimulus(12, 9, cycles=40)
    assert outputs(graph, rows) == array_model(12, 9, rows)
    sizes = sorted(group.count for group in graph.bodies)
    assert sizes[-1] >= 10 * 8
    for group, scope in graph.bodies.items():
        for name, child in scope.children.items():
            if isinstance(child, tuple):
                inner, numbers = child
                for path, number in zip(group.instances, numbers, strict=True):
                    expected = f"{path}.{name}" if path else name
                    assert inner.instances[number] == expected


def test_values_go_from_element_to_element_without_passing_through_rows():
    members, build = array_of(12, 9)
    graph = built(members, build)
    largest = max(graph.bodies, key=lambda group: group.count)
    ports = [node for node in graph.sorted() if node.op == "port" and node.group is largest]
    assert {node.width for node in ports} == {1, 8, 20}
    for node in ports:
        assert all(source.op != "port" for source, _ in node.attr.sources)
        direct = sum(source.group is largest for source, _ in node.attr.sources)
        assert node.width == 1 or direct >= 7 * 9


def chain(count, make, **options):
    """Elements in a chain, each fed by the one before."""

    def build(m, c):
        last = c.x
        for k in range(count):
            m.submodules[f"e{k}"] = one = make(k)
            m.d.comb += one.i.eq(last)
            last = one.o
        m.d.comb += c.y.eq(last)

    return built({"x": In(8), "y": Out(8)}, build, **options)


class Step(wiring.Component):
    """o = i + constant: in the same cycle, or the next."""

    def __init__(self, constant=1, now=False, name="kept", inner=False):
        self._constant, self._now, self._name, self._inner = constant, now, name, inner
        super().__init__({"i": In(8), "o": Out(8)})

    def elaborate(self, platform):
        m = Module()
        kept = Signal(8, name=self._name)
        value = self.i
        if self._inner:
            m.submodules.part = part = Step(self._constant, now=True)
            m.d.comb += part.i.eq(value)
            value = part.o
        else:
            value = value + self._constant
        (m.d.comb if self._now else m.d.sync).__iadd__(kept.eq(value))
        m.d.comb += self.o.eq(kept)
        return m


def test_equal_modules_share_a_body():
    graph = chain(10, lambda k: Step())
    assert list(groups_of(graph).values()) == [[f"e{k}" for k in range(10)]]
    assert len(graph.registers) == 1
    assert outputs(graph, [{"x": k} for k in range(12)]) == [*range(10), 10, 11]


def test_seven_equal_modules_do_not():
    graph = chain(7, lambda k: Step())
    assert not groups_of(graph)
    assert [r.name for r in graph.registers] == [f"e{k}.kept" for k in range(7)]


def test_other_constants_make_another_body():
    graph = chain(16, lambda k: Step(constant=1 + k % 2))
    assert [len(names) for names in groups_of(graph).values()] == [8, 8]
    outs = outputs(graph, [{"x": 0}] * 20)
    assert outs[-1] == 8 + 16


def test_part_of_each_instance_is_in_its_body():
    graph = chain(10, lambda k: Step(inner=True))
    assert len(groups_of(graph)) == 1
    (scope,) = [scope for group, scope in graph.bodies.items() if group is not graph.top]
    assert list(scope.children) == ["part"]
    assert scope.children["part"].group is scope.group


def test_combinational_chain_dissolves_the_group():
    graph = chain(10, lambda k: Step(now=k != 3))
    assert not groups_of(graph)
    assert outputs(graph, [{"x": 5}, {"x": 5}]) == [10 - 4, 15]


def test_only_the_bodies_on_a_loop_are_dissolved():
    def build(m, c):
        last = c.x
        for k in range(9):
            m.submodules[f"now{k}"] = now = Step(now=True)
            m.submodules[f"later{k}"] = later = Step()
            m.d.comb += [now.i.eq(last), later.i.eq(now.o)]
            last = now.o
        m.d.comb += c.y.eq(last ^ later.o)

    graph = built({"x": In(8), "y": Out(8)}, build)
    assert list(groups_of(graph).values()) == [[f"later{k}" for k in range(9)]]


def test_names_of_each_instance():
    graph = chain(12, lambda k: Step(name=f"kept{k}"))
    (group,) = [group for group in graph.bodies if group is not graph.top]
    first, *others = graph.renamed[group]
    assert first is None
    for k, names in enumerate(others, 1):
        assert names[f"kept{k}"] == "kept0"
    # The same value under each of the names.
    interpreter = Interpreter(graph, observe=True)
    for k in range(20):
        interpreter.step({"x": 3 * k})
    values = interpreter.signals()
    body = graph.bodies[group].signals
    for path, names in zip(group.instances[1:], others, strict=True):
        for name, place in names.items():
            assert (f"{path}.{name}" in values) == (place in body)


def test_names_that_mean_another_wire_in_another_instance():
    """Amaranth numbers names that are there twice: here the input comes before the output."""

    def build(m, c):
        last = c.x
        for k in range(10):
            m.submodules[f"e{k}"] = one = Module()
            held, result = Signal(8, name="held"), Signal(8, name="result")
            one.d.sync += held.eq(last)
            one.d.comb += result.eq(held + 1)
            last = result
        m.d.comb += c.y.eq(last)

    graph = built({"x": In(8), "y": Out(8)}, build)
    (group,) = graph.renamed
    interpreter = Interpreter(graph, observe=True)
    for k in range(20):
        interpreter.step({"x": k * k & 255})
    values = interpreter.signals()
    first, *others = graph.renamed[group]
    assert first is None
    # In the group's body, which is named after the first instance, it is the output.
    last = values[f"{group.instances[0]}.result"]
    for path, names in zip(group.instances[1:], others, strict=True):
        (other,) = [name for name in names if name.startswith("result$")]
        held, into, out = (values[f"{path}.{name}"] for name in ("held", "result", other))
        assert (into, out) == (last, (held + 1) & 255)
        last = out


def test_instance_names_are_its_own():
    """Rows are one body though their elements have other names."""

    class Named(Row):
        def __init__(self, number):
            super().__init__(9)
            self._number = number

        def elaborate(self, platform):
            m = Module()
            for k in range(9):
                m.submodules[f"cell_{self._number}_{k}"] = one = Element()
                m.d.comb += [one.a_i.eq(self.a), one.load.eq(self.load)]
                m.d.comb += one.w_i.eq(self.w_i.word_select(k, 8))
                m.d.comb += one.p_i.eq(self.p_i.word_select(k, 20))
                m.d.comb += self.p_o.word_select(k, 20).eq(one.p_o)
            return m

    def build(m, c):
        total = 0
        for r in range(9):
            m.submodules[f"row_{r}"] = row = Named(r)
            m.d.comb += [row.a.eq(c.a + r), row.load.eq(1), row.w_i.eq(c.w), row.p_i.eq(c.p)]
            total = total ^ row.p_o
        m.d.comb += c.y.eq(total)

    members = {"a": In(8), "w": In(9 * 8), "p": In(9 * 20), "y": Out(9 * 20)}
    graph = built(members, build)
    largest = max(graph.bodies, key=lambda group: group.count)
    assert sorted(largest.instances) == sorted(
        f"row_{r}.cell_{r}_{k}" for r in range(9) for k in range(9)
    )


def test_instances_of_shared_modules():
    """Modules as texts of their own, from the platform."""
    element = """
module \\element
  wire width 8 input 1 \\i
  wire width 8 output 2 \\o
  wire input 3 \\clk
  attribute \\init 8'00000111
  wire width 8 \\q
  connect \\o \\q
  cell $dff $1
    parameter \\WIDTH 8
    parameter \\CLK_POLARITY 1
    connect \\CLK \\clk
    connect \\D \\i
    connect \\Q \\q
  end
end
"""

    class Platform:
        modules = {}

    class Line(wiring.Component):
        def __init__(self):
            super().__init__({"x": In(8), "y": Out(8)})

        def elaborate(self, platform):
            platform.modules["element"] = element
            m = Module()
            last = self.x
            for k in range(20):
                following = Signal(8)
                m.submodules[f"e{k}"] = Instance(
                    "element", i_i=last, o_o=following, i_clk=ClockSignal()
                )
                last = following
            m.d.comb += self.y.eq(last)
            return m

    graph = elaborate(Line(), platform=Platform())
    check(graph)
    assert groups_of(graph) == {"element": [f"e{k}" for k in range(20)]}
    assert outputs(graph, [{"x": k} for k in range(25)]) == [7] * 20 + list(range(5))


def test_many_instances_are_read_fast():
    """128 rows of 128 elements: the work is that of one element, one row and a list of names."""
    import time

    element = ["module \\element", "  wire width 8 input 1 \\i", "  wire width 8 output 2 \\o"]
    element += ["  wire input 3 \\clk", "  cell $dff $1", "    parameter \\WIDTH 8"]
    element += ["    parameter \\CLK_POLARITY 1", "    connect \\CLK \\clk", "    connect \\D \\i"]
    element += ["    connect \\Q \\o", "  end", "end"]

    def line(name, inner, count):
        text = [f"module \\{name}", "  wire width 8 input 1 \\i", "  wire width 8 output 2 \\o"]
        text += ["  wire input 3 \\clk"]
        text += [f"  wire width 8 \\w{k}" for k in range(count + 1)]
        for k in range(count):
            text += [f"  cell \\{inner} \\{inner}_{k}", f"    connect \\i \\w{k}"]
            text += [f"    connect \\o \\w{k + 1}", "    connect \\clk \\clk", "  end"]
        return [*text, "  connect \\w0 \\i", f"  connect \\o \\w{count}", "end"]

    text = "\n".join([*element, *line("row", "element", 128), *line("array", "row", 128), ""])
    start = time.process_time()
    graph = from_text(text)
    assert [group.count for group in graph.bodies] == [1, 128, 128 * 128]
    # A loop over 16,384 elements that did real work for each would take ten times as long.
    assert time.process_time() - start < 5


# Loops that are none, and those that are --------------------------------------------------------


def test_ripple_on_a_vector():
    """Each bit of a vector depends on the one below, by cells that are as wide as it is."""

    def build(m, c):
        carry = Signal(9)
        m.d.comb += carry[0].eq(c.cin)
        m.d.comb += carry[1:].eq((c.a & c.b) | ((c.a ^ c.b) & carry[:8]))
        m.d.comb += c.y.eq(c.a ^ c.b ^ carry[:8])

    graph = built({"a": In(8), "b": In(8), "cin": In(1), "y": Out(8)}, build)
    rng = random.Random(1)
    rows = [{"a": rng.getrandbits(8), "b": rng.getrandbits(8), "cin": k % 2} for k in range(100)]
    assert outputs(graph, rows) == [(r["a"] + r["b"] + r["cin"]) & 255 for r in rows]


def test_struct_with_both_directions_of_a_handshake():
    def build(m, c):
        bus = Signal(10)  # payload, valid, and ready the other way
        valid, ready = bus[8], bus[9]
        m.d.comb += bus[:8].eq(c.a)
        with m.If(c.s):
            m.d.comb += valid.eq(c.v & (bus[:8] != 3))
        m.d.comb += ready.eq(valid & c.r)
        m.d.comb += c.y.eq(bus)

    graph = built({"a": In(8), "s": In(1), "v": In(1), "r": In(1), "y": Out(10)}, build)
    rows = [{"a": a, "s": s, "v": 1, "r": r} for a in (3, 4) for s in (0, 1) for r in (0, 1)]
    expected = []
    for row in rows:
        valid = row["s"] & (row["a"] != 3)
        expected.append(row["a"] | valid << 8 | (valid & row["r"]) << 9)
    assert outputs(graph, rows) == expected


def word_loop(op, low, invert=""):
    """y = op of an operand whose upper bits are the lower ones of y."""
    return f"""
module \\m
  wire width 12 output 1 \\y
  wire width {low} input 2 \\a
  wire width 12 input 3 \\b
  wire width 12 \\x
  cell ${op} $1
    parameter \\A_SIGNED 0
    parameter \\B_SIGNED 0
    parameter \\A_WIDTH 12
    parameter \\B_WIDTH 12
    parameter \\Y_WIDTH 12
    connect \\A {{ \\y [{11 - low}:0] \\a }}
    connect \\B \\b
    connect \\Y \\x
  end
  connect \\y \\x
end
"""


@pytest.mark.parametrize(
    ("op", "function"),
    [
        ("add", lambda a, b: a + b),
        ("sub", lambda a, b: a - b),
        ("and", lambda a, b: a & b),
        ("xnor", lambda a, b: ~(a ^ b)),
    ],
)
@pytest.mark.parametrize("low", [1, 3, 4, 5])
def test_words_that_need_their_own_lower_bits(op, function, low):
    graph = from_text(word_loop(op, low))
    rng = random.Random(f"{op} {low}")
    rows = [{"a": rng.getrandbits(low), "b": rng.getrandbits(12)} for _ in range(100)]
    expected = []
    for row in rows:
        y = 0
        for _ in range(12):
            y = function(y << low & 0xFFF | row["a"], row["b"]) & 0xFFF
        expected.append(y)
    assert outputs(graph, rows) == expected


def test_negation_that_needs_its_own_lower_bits():
    text = word_loop("neg", 5).replace("    parameter \\B_SIGNED 0\n", "")
    text = text.replace("    parameter \\B_WIDTH 12\n", "").replace("    connect \\B \\b\n", "")
    graph = from_text(text)
    for a in range(32):
        y = 0
        for _ in range(12):
            y = -(y << 5 & 0xFFF | a) & 0xFFF
        assert Interpreter(graph).step({"a": a}) == {"y": y}


def test_sign_that_goes_round():
    """The sign of the lower half, extended, is the upper half of what it comes from."""
    text = """
module \\m
  wire width 8 output 1 \\y
  wire width 4 input 2 \\a
  wire width 8 input 3 \\b
  cell $xor $1
    parameter \\A_SIGNED 1
    parameter \\B_SIGNED 1
    parameter \\A_WIDTH 4
    parameter \\B_WIDTH 8
    parameter \\Y_WIDTH 8
    connect \\A \\a
    connect \\B { \\y [3:0] \\b [3:0] }
    connect \\Y \\y
  end
end
"""
    graph = from_text(text)
    rng = random.Random(2)
    for _ in range(50):
        a, b = rng.getrandbits(4), rng.getrandbits(8)
        low = a ^ b & 15
        high = (15 if a & 8 else 0) ^ low
        assert Interpreter(graph).step({"a": a, "b": b}) == {"y": high << 4 | low}


def test_true_loop():
    text = word_loop("add", 1).replace("{ \\y [10:0] \\a }", "\\y")
    text = text.replace("  cell", '  attribute \\src "m.v:3.1"\n  cell')
    with pytest.raises(UnsupportedDesign) as info:
        graph_of_rtlil(text)
    assert str(info.value) == "combinational loop through 'x' at m.v:3, which is not supported"


def test_true_loop_through_two_cells():
    text = word_loop("mul", 1).replace("  connect \\y \\x\n", "")
    cell = text[text.index("  cell") : text.rindex("end")]
    other = cell.replace("$1", "$2").replace("\\A { \\y [10:0] \\a }", "\\A \\x")
    text = text.replace(cell, cell + other.replace("\\Y \\x", "\\Y \\y"))
    with pytest.raises(UnsupportedDesign) as info:
        graph_of_rtlil(text)
    assert str(info.value) in (
        "combinational loop through 'x', 'y', which is not supported",
        "combinational loop through 'y', 'x', which is not supported",
    )


def test_true_loop_through_instances():
    """Through nine instances of a module that alone has none."""
    lines = ["module \\n", "  wire input 1 \\i", "  wire output 2 \\o", "  cell $_NOT_ $1"]
    lines += ["    connect \\A \\i", "    connect \\Y \\o", "  end", "end", "module \\m"]
    lines += [f"  wire \\w{k}" for k in range(9)]
    for k in range(9):
        lines += [f"  cell \\n \\n{k}", f"    connect \\i \\w{k}"]
        lines += [f"    connect \\o \\w{(k + 1) % 9}", "  end"]
    with pytest.raises(UnsupportedDesign) as info:
        graph_of_rtlil("\n".join([*lines, "end", ""]))
    assert str(info.value) == "combinational loop through 'o', which is not supported"


@pytest.mark.parametrize("target", ["\\a", "\\b [1]"])
def test_wires_in_a_circle(target):
    text = f"""
module \\m
  attribute \\src "m.v:3"
  wire width 2 output 1 \\a
  wire width 2 \\b
  connect \\a \\b
  connect \\b {{ {target} [0] 1'0 }}
end
"""
    if target == "\\a":
        # Bit 1 of b is bit 0 of a, which is bit 0 of b.
        assert Interpreter(from_text(text)).step() == {"a": 0}
    else:
        with pytest.raises(UnsupportedDesign, match=r"^combinational loop through '[ab]'"):
            from_text(text.replace(" [0] 1'0", " 1'0"))


# Deep designs ----------------------------------------------------------------------------------


def chain_text(count, line):
    wires = [f"  wire width 4 \\w{k}" for k in range(1, count)]
    wires += ["  wire width 4 input 1 \\w0", f"  wire width 4 output 2 \\w{count}"]
    return "\n".join(["module \\m", *wires, *(line(k) for k in range(count)), "end", ""])


@pytest.mark.parametrize("order", [1, -1])
def test_long_chain_of_cells(order):
    def cell(k):
        k = k if order == 1 else 9999 - k
        lines = [f"  cell $not $c{k}", "    parameter \\A_SIGNED 0", "    parameter \\A_WIDTH 4"]
        lines += ["    parameter \\Y_WIDTH 4", f"    connect \\A \\w{k}"]
        return "\n".join([*lines, f"    connect \\Y \\w{k + 1}", "  end"])

    graph = graph_of_rtlil(chain_text(10_000, cell))
    assert Interpreter(graph).step({"w0": 5}) == {"w10000": 5}


@pytest.mark.parametrize("order", [1, -1])
def test_long_chain_of_connections(order):
    def connect(k):
        k = k if order == 1 else 1999 - k
        return f"  connect \\w{k + 1} \\w{k}"

    graph = graph_of_rtlil(chain_text(2000, connect))
    assert Interpreter(graph).step({"w0": 5}) == {"w2000": 5}


# Checks, texts, buffers ------------------------------------------------------------------------


def test_assertions():
    def build(m, c):
        m.d.sync += Assert(c.a != 3, "a is {three}")
        m.d.sync += Assume(c.a != 4)
        m.d.comb += Assert(c.a != 5)
        with m.If(c.a == 6):
            m.d.sync += [Assert(0, "six"), Print("six"), Cover(c.a)]
        m.d.comb += c.y.eq(c.a)

    graph = built({"a": In(8), "y": Out(8)}, build)
    interpreter = Interpreter(graph)
    for a in (3, 4, 5, 6, 7):
        interpreter.step({"a": a})
    messages = [(cycle, message) for cycle, message, _ in interpreter.violations]
    assert messages == [
        (0, "a is {three}"),
        (1, "assertion failed"),
        (2, "assertion failed"),
        (3, "six"),
    ]
    assert all(re.fullmatch(r"\S+test_frontend\.py:\d+", one.source) for one in graph.checks)


def test_buffers():
    def build(m, c):
        data = Signal(8)
        m.submodules.load = Instance(
            "hwsim_load", p_NAME="in", p_WIDTH=8, p_SHARED=1, i_addr=c.a, o_data=data
        )
        m.submodules.store = Instance(
            "hwsim_store",
            p_NAME="out",
            p_WIDTH=9,
            p_SHARED=0,
            i_addr=c.a,
            i_data=data + 1,
            i_en=c.a[0],
        )
        m.d.comb += c.y.eq(data)

    graph = built({"a": In(32), "y": Out(8)}, build)
    assert [(b.name, b.width, b.shared) for b in graph.buffers] == [
        ("in", 8, True),
        ("out", 9, False),
    ]
    buffers = {"in": [5, 255, 7], "out": [0] * 5}
    interpreter = Interpreter(graph, buffers)
    assert [interpreter.step({"a": a})["y"] for a in range(4)] == [5, 255, 7, 0]
    assert buffers["out"] == [0, 256, 0, 1, 0]


def test_modules_with_buffers_are_not_shared():
    class Reader(wiring.Component):
        def __init__(self):
            super().__init__({"a": In(32), "o": Out(8)})

        def elaborate(self, platform):
            m = Module()
            m.submodules.load = Instance(
                "hwsim_load", p_NAME="in", p_WIDTH=8, p_SHARED=1, i_addr=self.a, o_data=self.o
            )
            return m

    def build(m, c):
        for k in range(9):
            m.submodules[f"r{k}"] = reader = Reader()
            m.d.comb += [reader.a.eq(c.a + k), c.y.word_select(k, 8).eq(reader.o)]

    graph = built({"a": In(8), "y": Out(72)}, build)
    assert not groups_of(graph)
    assert len(graph.buffers) == 1
    got = Interpreter(graph, {"in": list(range(50))}).step({"a": 3})["y"]
    assert got == int.from_bytes(bytes(range(3, 12)), "little")


@pytest.mark.parametrize(
    ("width", "shared", "message"),
    [
        (8, 0, "is declared in two ways: width 8, shared 1 and width 8, shared 0"),
        (65, 1, "is declared in two ways: width 8, shared 1 and width 65, shared 1"),
    ],
)
def test_buffer_declared_in_two_ways(width, shared, message):
    def build(m, c):
        words = [Signal(8), Signal(width)]
        for word, w, s in zip(words, (8, width), (1, shared), strict=True):
            m.submodules += Instance(
                "hwsim_load", p_NAME="in", p_WIDTH=w, p_SHARED=s, i_addr=c.a, o_data=word
            )
        m.d.comb += c.y.eq(words[0] ^ words[1])

    with pytest.raises(UnsupportedDesign) as info:
        built({"a": In(8), "y": Out(8)}, build)
    assert re.fullmatch(rf"buffer 'in' at \S+:\d+ {message}", str(info.value))


# Names -----------------------------------------------------------------------------------------


def test_signals_of_every_scope():
    def build(m, c):
        m.submodules.one = Step()
        inner = Signal(8)
        m.d.sync += inner.eq(c.x + 1)
        m.d.comb += [m.submodules.one.i.eq(inner), c.y.eq(m.submodules.one.o)]

    graph = built({"x": In(8), "y": Out(8)}, build)
    scope = graph.bodies[graph.top]
    assert scope.signals["x"] is graph.inputs["x"]
    assert "clk" not in scope.signals
    interpreter = Interpreter(graph, observe=True)
    for x in (1, 2, 3):
        interpreter.step({"x": x})
    values = interpreter.signals()
    assert (values["x"], values["inner"], values["one.kept"], values["y"]) == (3, 3, 3, 3)


# Refusals --------------------------------------------------------------------------------------

SIMPLE = """
module \\m
  attribute \\src "m.v:2.3-2.9"
  wire input 1 \\clk
  wire input 2 \\other
  wire width 2 input 3 \\both
  wire input 4 \\d
  wire output 5 \\q
  wire \\x
  {}
end
"""


def cell_text(kind, **ports):
    lines = ['attribute \\src "m.v:7.1-9.8|n.v:1.1-1.1"', f"cell {kind} \\here"]
    lines += ["parameter \\WIDTH 1", "parameter \\CLK_POLARITY 1"]
    return "\n  ".join([*lines, *(f"connect \\{p} {w}" for p, w in ports.items()), "end"])


DFF = {"D": "\\d", "Q": "\\q"}
LATCH = "latch 'q' at m.v:7 is not supported: a register needs a clock edge"


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (cell_text("$dlatch", EN="\\x", **DFF), LATCH),
        (cell_text("$_DLATCH_P_", E="\\x", **DFF), LATCH),
        (cell_text("$_DLATCH_PN0_", E="\\x", **DFF), LATCH),
        (cell_text("$adlatch", EN="\\x", **DFF), LATCH),
        (cell_text("$dlatchsr", EN="\\x", **DFF), LATCH),
        (cell_text("$_DLATCHSR_PPP_", E="\\x", **DFF), LATCH),
        (cell_text("$sr", SET="\\x", CLR="\\d", Q="\\q"), LATCH),
        (cell_text("$_SR_PP_", S="\\x", R="\\d", Q="\\q"), LATCH),
        (
            cell_text("$dffsr", CLK="\\clk", **DFF),
            "register 'q' at m.v:7 is set and reset asynchronously, which is not supported",
        ),
        (
            cell_text("$_DFFSRE_PPPP_", C="\\clk", **DFF),
            "register 'q' at m.v:7 is set and reset asynchronously, which is not supported",
        ),
        (
            cell_text("$aldff", CLK="\\clk", **DFF),
            "register 'q' at m.v:7 is loaded asynchronously, which is not supported",
        ),
        (
            cell_text("$_ALDFFE_PPP_", C="\\clk", **DFF),
            "register 'q' at m.v:7 is loaded asynchronously, which is not supported",
        ),
        (
            cell_text("$ff", **DFF),
            "register 'q' at m.v:7 has no clock, which is not supported",
        ),
        (
            cell_text("$_FF_", **DFF),
            "register 'q' at m.v:7 has no clock, which is not supported",
        ),
        (
            cell_text("$tribuf", A="\\d", EN="\\x", Y="\\q"),
            "tristate buffer 'q' at m.v:7 is not supported",
        ),
        (
            cell_text("$_TBUF_", A="\\d", E="\\x", Y="\\q"),
            "tristate buffer 'q' at m.v:7 is not supported",
        ),
        (
            cell_text("\\foo", A="\\d"),
            "cell 'here' at m.v:7 has the type 'foo', which is neither a module of the design nor "
            "a supported cell",
        ),
        (
            cell_text("$anyconst", Y="\\q"),
            "cell 'here' at m.v:7 has the type '$anyconst', which is neither a module of the "
            "design nor a supported cell",
        ),
        (
            cell_text("$dff", CLK="\\clk", **DFF).replace("POLARITY 1", "POLARITY 0"),
            "register 'q' at m.v:7 is clocked by the falling edge, which is not supported",
        ),
        (
            cell_text("$_DFF_N_", C="\\clk", **DFF),
            "register 'q' at m.v:7 is clocked by the falling edge, which is not supported",
        ),
        (
            cell_text("$dff", CLK="\\x", **DFF),
            "register 'q' at m.v:7 is clocked by 'x', which is not an input of the design: "
            "derived clocks are not supported",
        ),
        (
            cell_text("$dff", CLK="\\both [0]", **DFF),
            "register 'q' at m.v:7 is clocked by 'both', which is not an input of the design: "
            "derived clocks are not supported",
        ),
        (
            cell_text("$dff", CLK="1'1", **DFF),
            "register 'q' at m.v:7 is clocked by a constant, which is not an input of the design: "
            "derived clocks are not supported",
        ),
        (
            cell_text("$dff", CLK="\\clk", **DFF)
            + "\n  "
            + cell_text("$dff", CLK="\\other", D="\\d", Q="\\x").replace("m.v:7", "m.v:8"),
            "register 'x' at m.v:8 is clocked by 'other', but register 'q' at m.v:7 by 'clk': "
            "several clocks are not supported",
        ),
        (
            cell_text("$dff", CLK="\\clk", D="\\clk", Q="\\q"),
            "clock 'clk' is used as data, which is not supported",
        ),
        (
            'attribute \\src "m.v:4"\n  wire inout 6 \\io',
            "port 'io' at m.v:4 is bidirectional, which is not supported",
        ),
        (
            'attribute \\src "m.v:5.2"\n  wire width 3 \\w\n  connect \\w [1:0] \\both\n  '
            "connect \\w [2:1] \\both",
            "wire 'w' at m.v:5 has several drivers, which is not supported",
        ),
        (
            "connect \\q { \\x }\n  connect \\x \\q",
            "combinational loop through 'q', which is not supported",
        ),
    ],
)
def test_refusal(cells, message):
    with pytest.raises(UnsupportedDesign) as info:
        graph_of_rtlil(SIMPLE.format(cells))
    assert str(info.value) == message


def test_refusal_of_a_module_that_is_a_part_of_itself():
    text = "module \\m\n  cell \\n \\a\n  end\nend\nmodule \\n\n  cell \\m \\b\n  end\nend\n"
    with pytest.raises(UnsupportedDesign, match=r"^module 'n' is a part of itself$"):
        graph_of_rtlil(text, "\\m")


def test_refusal_of_a_port_that_the_module_does_not_have():
    text = "module \\n\n  wire input 1 \\a\nend\nmodule \\m\n"
    text += '  attribute \\src "m.v:3"\n  cell \\n \\c\n    connect \\b 1\'0\n  end\nend\n'
    with pytest.raises(UnsupportedDesign) as info:
        graph_of_rtlil(text)
    assert str(info.value) == (
        "cell 'c' at m.v:3 connects the port 'b', which the module 'n' does not have"
    )


def test_refusal_of_a_black_box():
    text = "attribute \\blackbox 1\nmodule \\n\nend\nmodule \\m\n  cell \\n \\b\n  end\nend\n"
    with pytest.raises(UnsupportedDesign, match=r"^cell 'b' has the type 'n', which is neither "):
        graph_of_rtlil(text, "\\m")


def test_unused_modules_may_have_what_is_not_supported():
    text = SIMPLE.format(cell_text("$dlatch", EN="\\x", **DFF)) + "module \\top\nend\n"
    assert graph_of_rtlil(text, "\\top").clock is None


def test_wrong_top():
    with pytest.raises(ValueError, match=r"^the design has no module 'n'$"):
        graph_of_rtlil("module \\m\nend\n", "\\n")
    with pytest.raises(ValueError, match=r"^the design has no single top module: 'm', 'n'$"):
        graph_of_rtlil("module \\m\nend\nmodule \\n\nend\n")
    with pytest.raises(ValueError, match=r"^the design has no single top module: none$"):
        graph_of_rtlil("\n")


def test_top_is_marked_or_not_used_by_others():
    used = "module \\m\n  wire output 1 \\y\nend\nmodule \\n\n  cell \\m \\b\n  end\nend\n"
    assert not graph_of_rtlil(used).outputs
    marked = "attribute \\top 1\nmodule \\m\n  wire output 1 \\y\nend\nmodule \\n\nend\n"
    assert list(graph_of_rtlil(marked).outputs) == ["y"]


def test_amaranth_design_with_two_domains():
    def build(m, c):
        x = Signal()
        m.d.sync += x.eq(c.a)
        m.d.other += c.y.eq(x)

    with pytest.raises(
        UnsupportedDesign, match=r"^register '\w+' at \S+ is clocked by 'other_clk'"
    ):
        built({"a": In(1), "y": Out(1)}, build)


def test_design_without_registers_has_no_clock():
    graph = built({"a": In(4), "y": Out(4)}, lambda m, c: m.d.comb.__iadd__(c.y.eq(~c.a)))
    assert graph.clock is None
    assert outputs(graph, [{"a": 5}]) == [10]


def test_ports_of_width_zero():
    def build(m, c):
        m.d.comb += c.y.eq(Cat(c.a, c.n))

    graph = built({"a": In(4), "n": In(0), "o": Out(0), "y": Out(5)}, build)
    assert (set(graph.inputs), set(graph.outputs)) == ({"a"}, {"y"})


def test_group_min_is_what_it_says(monkeypatch):
    monkeypatch.setattr(hierarchy, "GROUP_MIN", 3)
    assert len(groups_of(chain(3, lambda k: Step()))) == 1
    assert not groups_of(chain(2, lambda k: Step()))
