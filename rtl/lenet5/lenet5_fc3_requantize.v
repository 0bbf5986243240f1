// Part of lenet5.

module lenet5_fc3_requantize(
  input wire clk,
  input wire rst,
  output reg [7:0] code_0,
  input wire [20:0] i,
  input wire [16:0] multiplier
);
  wire [13:0] _0_;
  wire _1_;
  reg [16:0] factor_0;
  reg [20:0] operand_0;
  reg [37:0] product_0;
  reg [13:0] rounded_0;
  assign _0_ = $signed(product_0[37:25]) + $signed(13'h0029);
  assign _1_ = product_0[24] & ((|product_0[23:0]) | product_0[25]);
  always @(posedge clk) begin
    operand_0 <= i;
    factor_0 <= multiplier;
    product_0 <= $signed(operand_0) * $signed({ 1'h0, factor_0 });
  end
  always @(posedge clk)
    if (rst) rounded_0 <= 14'h0000;
    else rounded_0 <= $signed(_0_) + $signed({ 13'h0000, _1_ });
  always @(posedge clk)
    if ($signed(rounded_0) < $signed(14'h3f80)) code_0 <= 8'h80;
    else code_0 <= ($signed(rounded_0) > $signed(14'h007f)) ? 8'h7f : rounded_0[7:0];
endmodule
