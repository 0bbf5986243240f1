// Part of lenet5.

module lenet5_conv2_mac_requantize(
  input wire clk,
  input wire rst,
  output reg [7:0] code_0,
  input wire [20:0] i,
  input wire [16:0] multiplier
);
  wire [15:0] _0_;
  wire _1_;
  reg [16:0] factor_0;
  reg [20:0] operand_0;
  reg [37:0] product_0;
  reg [15:0] rounded_0;
  assign _0_ = $signed(product_0[37:23]) + $signed(15'h7f80);
  assign _1_ = product_0[22] & ((|product_0[21:0]) | product_0[23]);
  always @(posedge clk) begin
    operand_0 <= i;
    factor_0 <= multiplier;
    product_0 <= $signed(operand_0) * $signed({ 1'h0, factor_0 });
  end
  always @(posedge clk)
    if (rst) rounded_0 <= 16'h0000;
    else rounded_0 <= $signed(_0_) + $signed({ 15'h0000, _1_ });
  always @(posedge clk)
    if ($signed(rounded_0) < $signed(16'hff80)) code_0 <= 8'h80;
    else code_0 <= ($signed(rounded_0) > $signed(16'h007f)) ? 8'h7f : rounded_0[7:0];
endmodule
