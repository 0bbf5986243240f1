// Part of filters.

module filters_window_delay_62(
  input wire clk,
  input wire rst,
  input wire en,
  input wire [7:0] i__0,
  input wire [7:0] i__1,
  output reg [15:0] last
);
  reg [5:0] index;
  reg [15:0] ring_data;
  reg [15:0] ring [0:59];
  always @(posedge clk) if (en) ring[index] <= { i__1, i__0 };
  always @(posedge clk) if (en) ring_data <= ring[index];
  always @(posedge clk)
    if (rst) index <= 6'h00;
    else if (en) index <= (index == 6'h3b) ? 6'h00 : (index + 6'h01);
  always @(posedge clk)
    if (en) last <= ring_data;
endmodule
