// Part of lenet5.

module lenet5_conv2_window_delay_30(
  input wire clk,
  input wire rst,
  input wire en,
  input wire [15:0] i__0,
  input wire [15:0] i__1,
  input wire [15:0] i__2,
  input wire [15:0] i__3,
  output reg [63:0] last
);
  reg [4:0] index;
  reg [63:0] ring_data;
  reg [63:0] ring [0:27];
  always @(posedge clk) if (en) ring[index] <= { i__3, i__2, i__1, i__0 };
  always @(posedge clk) if (en) ring_data <= ring[index];
  always @(posedge clk)
    if (rst) index <= 5'h00;
    else if (en) index <= (index == 5'h1b) ? 5'h00 : (index + 5'h01);
  always @(posedge clk)
    if (en) last <= ring_data;
endmodule
