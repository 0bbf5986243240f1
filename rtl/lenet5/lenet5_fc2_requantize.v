// Part of lenet5.

module lenet5_fc2_requantize(
  input wire clk,
  input wire rst,
  input wire [65:0] i,
  input wire [50:0] multiplier,
  output wire [23:0] o
);
  wire [14:0] _0_;
  wire _1_;
  wire [14:0] _2_;
  wire [14:0] _3_;
  wire _4_;
  wire _5_;
  reg [7:0] code_0;
  reg [7:0] code_1;
  reg [7:0] code_2;
  reg [16:0] factor_0;
  reg [16:0] factor_1;
  reg [16:0] factor_2;
  reg [21:0] operand_0;
  reg [21:0] operand_1;
  reg [21:0] operand_2;
  reg [38:0] product_0;
  reg [38:0] product_1;
  reg [38:0] product_2;
  reg [14:0] rounded_0;
  reg [14:0] rounded_1;
  reg [14:0] rounded_2;
  assign _2_ = $signed(product_0[38:25]) + $signed(14'h3f80);
  assign _5_ = product_0[24] & ((|product_0[23:0]) | product_0[25]);
  assign _0_ = $signed(product_1[38:25]) + $signed(14'h3f80);
  assign _1_ = product_1[24] & ((|product_1[23:0]) | product_1[25]);
  assign _3_ = $signed(product_2[38:25]) + $signed(14'h3f80);
  assign _4_ = product_2[24] & ((|product_2[23:0]) | product_2[25]);
  always @(posedge clk) begin
    operand_0 <= i[21:0];
    factor_0 <= multiplier[16:0];
    product_0 <= $signed(operand_0) * $signed({ 1'h0, factor_0 });
    operand_1 <= i[43:22];
    factor_1 <= multiplier[33:17];
    product_1 <= $signed(operand_1) * $signed({ 1'h0, factor_1 });
    operand_2 <= i[65:44];
    factor_2 <= multiplier[50:34];
    product_2 <= $signed(operand_2) * $signed({ 1'h0, factor_2 });
  end
  always @(posedge clk)
    if (rst) begin
      rounded_0 <= 15'h0000;
      rounded_1 <= 15'h0000;
      rounded_2 <= 15'h0000;
    end else begin
      rounded_0 <= $signed(_2_) + $signed({ 14'h0000, _5_ });
      rounded_1 <= $signed(_0_) + $signed({ 14'h0000, _1_ });
      rounded_2 <= $signed(_3_) + $signed({ 14'h0000, _4_ });
    end
  always @(posedge clk)
    if ($signed(rounded_0) < $signed(15'h7f80)) code_0 <= 8'h80;
    else code_0 <= ($signed(rounded_0) > $signed(15'h007f)) ? 8'h7f : rounded_0[7:0];
  always @(posedge clk)
    if ($signed(rounded_1) < $signed(15'h7f80)) code_1 <= 8'h80;
    else code_1 <= ($signed(rounded_1) > $signed(15'h007f)) ? 8'h7f : rounded_1[7:0];
  always @(posedge clk)
    if ($signed(rounded_2) < $signed(15'h7f80)) code_2 <= 8'h80;
    else code_2 <= ($signed(rounded_2) > $signed(15'h007f)) ? 8'h7f : rounded_2[7:0];
  assign o = { code_2, code_1, code_0 };
endmodule
