// Part of lenet5.

module lenet5_pool1_window_delay_6(
  input wire clk,
  input wire rst,
  input wire en,
  input wire [7:0] i__0,
  input wire [7:0] i__1,
  output reg [15:0] last
);
  reg [2:0] index;
  reg [2:0] newest;
  reg [15:0] ring_data;
  reg [15:0] ring [0:4];
  always @(posedge clk) if (en) ring[newest] <= { i__1, i__0 };
  always @(posedge clk) if (en) ring_data <= ring[index];
  always @(posedge clk)
    if (rst) begin
      index <= 3'h1;
      newest <= 3'h0;
    end else if (en) begin
      index <= (index == 3'h4) ? 3'h0 : (index + 3'h1);
      newest <= index;
    end
  always @(posedge clk)
    if (en) last <= ring_data;
endmodule
