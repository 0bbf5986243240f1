"""Run generated Verilog with AXI4-Stream ports in Icarus Verilog: source and sink always ready."""

import shutil
import subprocess

BENCH = """\
module bench;
  reg clk = 0, rst = 1;
  reg [{i_top}:0] beats [0:{i_last}];
  integer sent = 0, received = 0, cycle = 0;
  wire s_ready, m_valid, m_last;
  wire [{o_top}:0] m_data;
  {top} dut (
    .clk(clk), .rst(rst),
    .s_axis_tdata(beats[sent]), .s_axis_tvalid(!rst && sent < {i_count}), .s_axis_tready(s_ready),
    .m_axis_tdata(m_data), .m_axis_tvalid(m_valid), .m_axis_tready(1'b1), .m_axis_tlast(m_last)
  );
  initial begin
    $readmemh("beats.hex", beats);
    #1 clk = 1; #1 clk = 0; rst = 0;
    forever begin #1 clk = 1; #1 clk = 0; end
  end
  always @(posedge clk) if (!rst) begin
    if (s_ready && sent < {i_count}) begin $display("i %0d", cycle); sent <= sent + 1; end
    if (m_valid) begin
      $display("o %0d %0d %h", cycle, m_last, m_data);
      received = received + 1;
      if (received == {o_count}) $finish;
    end
    cycle <= cycle + 1;
    if (cycle == {limit}) begin $display("timeout"); $finish; end
  end
endmodule
"""


def have_icarus():
    return shutil.which("iverilog") is not None


def run_icarus(verilog, folder, beats, i_bits, o_bits, o_count, limit=1_000_000):
    """(cycles in, [(cycle, last, payload)] out): the transfers of a `Verilog` with an AXI top."""
    paths = verilog.write(folder)
    (folder / "beats.hex").write_text("".join(f"{beat:x}\n" for beat in beats))
    bench = BENCH.format(
        top=verilog.top,
        i_top=i_bits - 1,
        o_top=o_bits - 1,
        i_last=len(beats),
        i_count=len(beats),
        o_count=o_count,
        limit=limit,
    )
    (folder / "bench.v").write_text(bench)
    sources = [path.name for path in paths if path.suffix == ".v"]
    compile_ = ["iverilog", "-g2005", "-s", "bench", "-o", "bench", "bench.v", *sources]
    subprocess.run(compile_, cwd=folder, check=True)
    vvp = subprocess.run(
        ["vvp", "-n", "bench"], cwd=folder, check=True, capture_output=True, text=True
    )
    text = vvp.stdout
    inputs, outputs = [], []
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["i"]:
            inputs.append(int(words[1]))
        elif words[:1] == ["o"]:
            outputs.append((int(words[1]), int(words[2]), int(words[3], 16)))
    return inputs, outputs
