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
  reg [5:0] newest;
  reg [15:0] ring_data;
  reg [15:0] ring [0:60];
  always @(posedge clk) if (en) ring[newest] <= { i__1, i__0 };
  always @(posedge clk) if (en) ring_data <= ring[index];
  always @(posedge clk)
    if (rst) begin
      index <= 6'h01;
      newest <= 6'h00;
    end else if (en) begin
      index <= (index == 6'h3c) ? 6'h00 : (index + 6'h01);
      newest <= index;
    end
  always @(posedge clk)
    if (en) last <= ring_data;
endmodule
