// Part of lenet5.

module lenet5_pool2_window_delay_144(
  input wire clk,
  input wire rst,
  input wire en,
  input wire [7:0] i__0,
  output reg [7:0] last
);
  reg [7:0] index;
  reg [7:0] ring_data;
  reg [7:0] ring [0:141];
  always @(posedge clk) if (en) ring[index] <= i__0;
  always @(posedge clk) if (en) ring_data <= ring[index];
  always @(posedge clk)
    if (rst) index <= 8'h00;
    else if (en) index <= (index == 8'h8d) ? 8'h00 : (index + 8'h01);
  always @(posedge clk)
    if (en) last <= ring_data;
endmodule
