// Part of lenet5.

module lenet5_conv1_window_delay_24(
  input wire clk,
  input wire rst,
  input wire en,
  input wire [7:0] i__0,
  input wire [7:0] i__1,
  input wire [7:0] i__2,
  input wire [7:0] i__3,
  output reg [31:0] last
);
  reg [4:0] index;
  reg [4:0] newest;
  reg [31:0] ring_data;
  reg [31:0] ring [0:22];
  always @(posedge clk) if (en) ring[newest] <= { i__3, i__2, i__1, i__0 };
  always @(posedge clk) if (en) ring_data <= ring[index];
  always @(posedge clk)
    if (rst) begin
      index <= 5'h01;
      newest <= 5'h00;
    end else if (en) begin
      index <= (index == 5'h16) ? 5'h00 : (index + 5'h01);
      newest <= index;
    end
  always @(posedge clk)
    if (en) last <= ring_data;
endmodule
