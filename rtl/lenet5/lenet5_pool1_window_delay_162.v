// Part of lenet5.

module lenet5_pool1_window_delay_162(
  input wire clk,
  input wire rst,
  input wire en,
  input wire [7:0] i__0,
  output reg [7:0] last
);
  reg [7:0] index;
  reg [7:0] newest;
  reg [7:0] ring_data;
  reg [7:0] ring [0:160];
  always @(posedge clk) if (en) ring[newest] <= i__0;
  always @(posedge clk) if (en) ring_data <= ring[index];
  always @(posedge clk)
    if (rst) begin
      index <= 8'h01;
      newest <= 8'h00;
    end else if (en) begin
      index <= (index == 8'ha0) ? 8'h00 : (index + 8'h01);
      newest <= index;
    end
  always @(posedge clk)
    if (en) last <= ring_data;
endmodule
