// Part of lenet5.

module lenet5_pool1_window_delay_6(
  input wire clk,
  input wire rst,
  input wire en,
  input wire [7:0] i__0,
  input wire [7:0] i__1,
  output reg [15:0] last
);
  reg [1:0] index;
  reg [15:0] ring_data;
  reg [15:0] ring [0:3];
  always @(posedge clk) if (en) ring[index] <= { i__1, i__0 };
  always @(posedge clk) if (en) ring_data <= ring[index];
  always @(posedge clk)
    if (rst) index <= 2'h0;
    else if (en) index <= (index == 2'h3) ? 2'h0 : (index + 2'h1);
  always @(posedge clk)
    if (en) last <= ring_data;
endmodule
