"""Outputs of a circuit in every cycle, by each simulator that there is.

All functions take the stimulus as a list of dicts by port, one per cycle, and return the outputs in
the same form: what they are for the inputs of the cycle, just before the clock's edge.
"""

import os
import re
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from amaranth.hdl import ClockDomain, Module, Value
from amaranth.sim import Simulator

from hwsim.sim.compiled.frontend import elaborate, graph_of_rtlil, read_verilog
from hwsim.sim.compiled.verilog import rtlil_of_verilog
from tests.rtl.verilog_bench import have_icarus, verilators

from .circuits import Circuit
from .interpreter import Interpreter, check

__all__ = [
    "amaranth",
    "compiled",
    "difference",
    "graph_of",
    "graphs_of_verilog",
    "icarus",
    "interpreted",
    "merge",
    "peek",
    "poke",
    "ports_of",
    "same_ports",
    "verilator",
    "verilog_simulators",
]


def merge(circuits, name="batch"):
    """One Verilog circuit that has many in it; port ``p`` of circuit ``c`` is ``c_p``.

    A stimulus is made of theirs by `merged_rows`.
    """
    ports = ["input clk", "input rst"]
    lines = []
    for circuit in circuits:
        connections = [".clk(clk), .rst(rst)"]
        for direction, members in (("input", circuit.inputs), ("output", circuit.outputs)):
            for port, width in members.items():
                ports.append(f"{direction} [{width - 1}:0] {circuit.name}_{port}")
                connections.append(f".{port}({circuit.name}_{port})")
        lines.append(f"  {circuit.name} {circuit.name} ({', '.join(connections)});")
    top = f"module {name} (\n  " + ",\n  ".join(ports) + "\n);\n" + "\n".join(lines)
    return Circuit(
        circuits[0].seed,
        name,
        {f"{c.name}_{port}": width for c in circuits for port, width in c.inputs.items()},
        {f"{c.name}_{port}": width for c in circuits for port, width in c.outputs.items()},
        verilog="\n".join([*(c.verilog for c in circuits), top, "endmodule", ""]),
        sizes={"circuits": len(circuits)},
    )


def graph_of(circuit):
    """The netlist of a circuit, by the frontend, checked."""
    if circuit.verilog is None:
        graph = elaborate(circuit.component(), name=circuit.name)
    else:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "design.v"
            path.write_text(circuit.verilog)
            graph = read_verilog([path], circuit.name)
    check(graph)
    same_ports(graph, circuit)
    return graph


def graphs_of_verilog(circuits):
    """The netlist of each Verilog circuit; Yosys runs once for all."""
    batch = merge(circuits)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "design.v"
        path.write_text(batch.verilog)
        text = rtlil_of_verilog([path], batch.name)
    # Names of a circuit's modules, with parameters or without, contain its own name.
    modules = re.split(r"^(?=(?:attribute .*\n)*module )", text, flags=re.MULTILINE)
    for circuit in circuits:
        own = re.compile(rf"^module \S*\\{circuit.name}(_m\d+)?(\\\S*)?$", re.MULTILINE)
        yield graph_of_rtlil("".join(filter(own.search, modules)), f"\\{circuit.name}")


def same_ports(graph, circuit):
    """Check that a netlist has the ports of a circuit."""
    inputs = {name: node.width for name, node in graph.inputs.items() if name not in ("clk", "rst")}
    assert inputs == circuit.inputs, (inputs, circuit.inputs)
    assert {name: node.width for name, node in graph.outputs.items()} == circuit.outputs


def difference(expected, got):
    """None, or where two lists of outputs differ first: cycle, port, both values."""
    assert len(expected) == len(got), (len(expected), len(got))
    for cycle, (a, b) in enumerate(zip(expected, got, strict=True)):
        assert a.keys() == b.keys(), a.keys() ^ b.keys()
        for name in a:
            if a[name] != b[name]:
                return cycle, name, a[name], b[name]
    return None


def ports_of(component):
    """Values of a component's ports, by the names that they have in RTLIL."""
    return {
        "__".join(map(str, path)): Value.cast(value)
        for path, _, value in component.signature.flatten(component)
    }


def amaranth(circuit, rows, result=None):
    """Outputs by Amaranth's own simulator.

    They are appended to ``result`` cycle by cycle, so that the next row can depend on them.
    """
    component = circuit.component()
    ports = ports_of(component)
    top = component
    if "clk" in ports:
        reset = ports.get("rst")
    else:
        top = Module()
        top.domains.sync = domain = ClockDomain()
        top.submodules.dut = component
        reset = domain.rst
    inputs = [(ports[name].as_unsigned(), name) for name in circuit.inputs]
    if reset is not None:
        inputs.append((reset, "rst"))
    outputs = [(ports[name].as_unsigned(), name) for name in circuit.outputs]
    result = [] if result is None else result

    async def bench(ctx):
        for row in rows:
            for signal, name in inputs:
                ctx.set(signal, row[name])
            result.append({name: ctx.get(signal) for signal, name in outputs})
            await ctx.tick()

    simulator = Simulator(top)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return result


def interpreted(graph, rows, buffers=None):
    """Outputs by the interpreter of netlists."""
    interpreter = Interpreter(graph, buffers)
    return [interpreter.step({n: v for n, v in row.items() if n in graph.inputs}) for row in rows]


def compiled(program, lanes):
    """Outputs by machine code, a list for each of the stimuli ``lanes``, side by side."""
    simulation = program.simulation()
    result = [[] for _ in lanes]
    for rows in zip(*lanes, strict=True):
        poke(simulation, rows)
        found = {name: peek(simulation, name) for name in program.outputs}
        simulation.step()
        for lane, outputs in enumerate(result):
            outputs.append({name: values[lane] for name, values in found.items()})
    return result


def poke(simulation, rows):
    """Set the inputs, a row for each lane."""
    for name, place in simulation.program.inputs.items():
        values = [row[name] for row in rows]
        if len(set(values)) == 1:
            simulation.poke(name, values[0])
        else:
            kind = np.uint64 if place.width <= 64 else object
            simulation.poke(name, np.array(values, kind))


def peek(simulation, name):
    """Values of a signal, one per lane."""
    value = simulation.peek(name)
    lanes = simulation.program.lanes
    assert np.shape(value) == (() if lanes == 1 else (lanes,)), (name, np.shape(value))
    return [int(v) for v in np.reshape(value, -1)]


# Verilog simulators: the circuit as one module with a vector for all inputs, one for all outputs.


def _vectors(circuit):
    """Verilog of a module ``vectors`` around the circuit, widths of its ``i`` and ``o``."""
    connections = [".clk(clk)", ".rst(i[0])"]
    low = {"i": 1, "o": 0}
    for vector, members in (("i", circuit.inputs), ("o", circuit.outputs)):
        for name, width in members.items():
            connections.append(f".{name}({vector}[{low[vector] + width - 1}:{low[vector]}])")
            low[vector] += width
    # More than 64 bits, so that Verilator makes arrays of them.
    i_width, o_width = max(low["i"], 65), max(low["o"], 65)
    unused = f"  assign o[{o_width - 1}:{low['o']}] = 0;\n" if low["o"] < o_width else ""
    text = (
        f"module vectors (input clk, input [{i_width - 1}:0] i, output [{o_width - 1}:0] o);\n"
        f"  {circuit.name} dut (\n    " + ",\n    ".join(connections) + f");\n{unused}endmodule\n"
    )
    return text, i_width, o_width


def _packed(circuit, row):
    """Inputs of a cycle as one number."""
    number, low = row["rst"], 1
    for name, width in circuit.inputs.items():
        number |= row[name] << low
        low += width
    return number


def _unpacked(circuit, number):
    result = {}
    for name, width in circuit.outputs.items():
        result[name] = number & ((1 << width) - 1)
        number >>= width
    return result


_ICARUS = """\
module bench;
  reg clk = 0;
  reg [{i}:0] i, rows [0:{last}];
  wire [{o}:0] o;
  integer k;
  vectors vectors (clk, i, o);
  initial begin
    $readmemh("rows.hex", rows);
    #1;
    for (k = 0; k <= {last}; k = k + 1) begin
      i = rows[k];
      #1 $display("%b", o);
      clk = 1;
      #1 clk = 0;
    end
  end
endmodule
"""


def icarus(circuit, rows, folder):
    """Outputs by Icarus Verilog; None where a bit is unknown."""
    text, i_width, o_width = _vectors(circuit)
    bench = _ICARUS.format(i=i_width - 1, o=o_width - 1, last=len(rows) - 1)
    folder = Path(folder)
    (folder / "bench.v").write_text(circuit.verilog + text + bench)
    (folder / "rows.hex").write_text("".join(f"{_packed(circuit, row):x}\n" for row in rows))
    command = ["iverilog", "-g2005", "-s", "bench", "-o", "bench", "bench.v"]
    _run(command, folder)
    lines = _run(["vvp", "-n", "bench"], folder).split()
    assert len(lines) == len(rows), (len(lines), len(rows))
    return [_known(circuit, line) for line in lines]


def _known(circuit, bits):
    """Outputs of a cycle from the bits of all of them, as text."""
    result, high = {}, len(bits)
    for name, width in circuit.outputs.items():
        part = bits[high - width : high]
        result[name] = int(part, 2) if set(part) <= set("01") else None
        high -= width
    return result


_VERILATOR = """\
#include "verilated.h"
#include "Vvectors.h"
#include <cstdio>
double sc_time_stamp() { return 0; }
int main(int, char** argv) {
  Vvectors top;
  FILE* in = fopen("rows.txt", "r");
  FILE* out = fopen("out.txt", "w");
  unsigned word;
  while (fscanf(in, "%x", &word) == 1) {
    for (int k = 0; k < I_WORDS; k++) {
      top.i[k] = word;
      if (k < I_WORDS - 1 && fscanf(in, "%x", &word) != 1) return 1;
    }
    top.clk = 0;
    top.eval();
    for (int k = O_WORDS - 1; k >= 0; k--) fprintf(out, "%08x", (unsigned)top.o[k]);
    fprintf(out, "\\n");
    top.clk = 1;
    top.eval();
  }
  fclose(out);
  return 0;
}
"""


def verilator(circuit, rows, folder, command, environment=None):
    """Outputs by Verilator, started with ``command``; the C++ compiler does not optimize."""
    text, i_width, o_width = _vectors(circuit)
    i_words, o_words = -(-i_width // 32), -(-o_width // 32)
    folder = Path(folder)
    (folder / "design.v").write_text(circuit.verilog + text)
    main = _VERILATOR.replace("I_WORDS", str(i_words)).replace("O_WORDS", str(o_words))
    (folder / "main.cpp").write_text(main)
    with open(folder / "rows.txt", "w") as file:
        for row in rows:
            number = _packed(circuit, row)
            file.write(" ".join(f"{number >> 32 * k & 0xFFFFFFFF:x}" for k in range(i_words)))
            file.write("\n")
    options = "--cc --exe --top-module vectors -Wno-fatal -Wno-lint -Wno-style -Wno-UNOPTFLAT"
    options += " -O1 --x-assign 0 --x-initial 0 --output-split 20000 -CFLAGS -O0 -CFLAGS -w"
    files = ["design.v", "main.cpp"]
    environment = dict(os.environ if environment is None else environment)
    _run([*command, *options.split(), *files], folder, environment)
    makefile = ["make", "-C", "obj_dir", "-f", "Vvectors.mk", "OPT_FAST=-O0", "OPT_SLOW=-O0"]
    # The wheel does not know of the option that includes a precompiled header.
    makefile += ["OPT_GLOBAL=-O0", "CXX=g++", "LINK=g++", "CFG_CXXFLAGS_PCH_I=-include"]
    _run(makefile, folder, environment)
    _run(["obj_dir/Vvectors"], folder)
    lines = (folder / "out.txt").read_text().split()
    assert len(lines) == len(rows), (len(lines), len(rows))
    return [_unpacked(circuit, int(line, 16)) for line in lines]


def verilog_simulators():
    """Functions of a circuit, rows and a folder, by name, for what is installed."""
    found = {}
    if have_icarus():
        found["icarus"] = icarus
    for name, (command, environment) in verilators().items():

        def run(circuit, rows, folder, command=command, environment=environment):
            return verilator(circuit, rows, folder, command, environment)

        found[f"verilator ({name})"] = run
    return found


def _run(command, folder, environment=None):
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {(done.stderr + done.stdout)[-4000:]}")
    return done.stdout
