// Part of lenet5.

module lenet5_fc1_requantize(
  input wire clk,
  input wire rst,
  input wire [239:0] i,
  input wire [169:0] multiplier,
  output wire [79:0] o
);
  wire [16:0] _0_;
  wire _1_;
  wire [16:0] _2_;
  wire [16:0] _3_;
  wire _4_;
  wire [16:0] _5_;
  wire _6_;
  wire [16:0] _7_;
  wire _8_;
  wire _9_;
  wire [16:0] _10_;
  wire _11_;
  wire [16:0] _12_;
  wire _13_;
  wire [16:0] _14_;
  wire _15_;
  wire [16:0] _16_;
  wire _17_;
  wire [16:0] _18_;
  wire _19_;
  reg [7:0] code_0;
  reg [7:0] code_1;
  reg [7:0] code_2;
  reg [7:0] code_3;
  reg [7:0] code_4;
  reg [7:0] code_5;
  reg [7:0] code_6;
  reg [7:0] code_7;
  reg [7:0] code_8;
  reg [7:0] code_9;
  reg [16:0] factor_0;
  reg [16:0] factor_1;
  reg [16:0] factor_2;
  reg [16:0] factor_3;
  reg [16:0] factor_4;
  reg [16:0] factor_5;
  reg [16:0] factor_6;
  reg [16:0] factor_7;
  reg [16:0] factor_8;
  reg [16:0] factor_9;
  reg [23:0] operand_0;
  reg [23:0] operand_1;
  reg [23:0] operand_2;
  reg [23:0] operand_3;
  reg [23:0] operand_4;
  reg [23:0] operand_5;
  reg [23:0] operand_6;
  reg [23:0] operand_7;
  reg [23:0] operand_8;
  reg [23:0] operand_9;
  reg [40:0] product_0;
  reg [40:0] product_1;
  reg [40:0] product_2;
  reg [40:0] product_3;
  reg [40:0] product_4;
  reg [40:0] product_5;
  reg [40:0] product_6;
  reg [40:0] product_7;
  reg [40:0] product_8;
  reg [40:0] product_9;
  reg [16:0] rounded_0;
  reg [16:0] rounded_1;
  reg [16:0] rounded_2;
  reg [16:0] rounded_3;
  reg [16:0] rounded_4;
  reg [16:0] rounded_5;
  reg [16:0] rounded_6;
  reg [16:0] rounded_7;
  reg [16:0] rounded_8;
  reg [16:0] rounded_9;
  assign _2_ = $signed(product_0[40:25]) + $signed(16'hff80);
  assign _9_ = product_0[24] & ((|product_0[23:0]) | product_0[25]);
  assign _0_ = $signed(product_1[40:25]) + $signed(16'hff80);
  assign _1_ = product_1[24] & ((|product_1[23:0]) | product_1[25]);
  assign _3_ = $signed(product_2[40:25]) + $signed(16'hff80);
  assign _4_ = product_2[24] & ((|product_2[23:0]) | product_2[25]);
  assign _5_ = $signed(product_3[40:25]) + $signed(16'hff80);
  assign _6_ = product_3[24] & ((|product_3[23:0]) | product_3[25]);
  assign _7_ = $signed(product_4[40:25]) + $signed(16'hff80);
  assign _8_ = product_4[24] & ((|product_4[23:0]) | product_4[25]);
  assign _10_ = $signed(product_5[40:25]) + $signed(16'hff80);
  assign _11_ = product_5[24] & ((|product_5[23:0]) | product_5[25]);
  assign _12_ = $signed(product_6[40:25]) + $signed(16'hff80);
  assign _13_ = product_6[24] & ((|product_6[23:0]) | product_6[25]);
  assign _14_ = $signed(product_7[40:25]) + $signed(16'hff80);
  assign _15_ = product_7[24] & ((|product_7[23:0]) | product_7[25]);
  assign _16_ = $signed(product_8[40:25]) + $signed(16'hff80);
  assign _17_ = product_8[24] & ((|product_8[23:0]) | product_8[25]);
  assign _18_ = $signed(product_9[40:25]) + $signed(16'hff80);
  assign _19_ = product_9[24] & ((|product_9[23:0]) | product_9[25]);
  always @(posedge clk) begin
    operand_0 <= i[23:0];
    factor_0 <= multiplier[16:0];
    product_0 <= $signed(operand_0) * $signed({ 1'h0, factor_0 });
    operand_1 <= i[47:24];
    factor_1 <= multiplier[33:17];
    product_1 <= $signed(operand_1) * $signed({ 1'h0, factor_1 });
    operand_2 <= i[71:48];
    factor_2 <= multiplier[50:34];
    product_2 <= $signed(operand_2) * $signed({ 1'h0, factor_2 });
    operand_3 <= i[95:72];
    factor_3 <= multiplier[67:51];
    product_3 <= $signed(operand_3) * $signed({ 1'h0, factor_3 });
    operand_4 <= i[119:96];
    factor_4 <= multiplier[84:68];
    product_4 <= $signed(operand_4) * $signed({ 1'h0, factor_4 });
    operand_5 <= i[143:120];
    factor_5 <= multiplier[101:85];
    product_5 <= $signed(operand_5) * $signed({ 1'h0, factor_5 });
    operand_6 <= i[167:144];
    factor_6 <= multiplier[118:102];
    product_6 <= $signed(operand_6) * $signed({ 1'h0, factor_6 });
    operand_7 <= i[191:168];
    factor_7 <= multiplier[135:119];
    product_7 <= $signed(operand_7) * $signed({ 1'h0, factor_7 });
    operand_8 <= i[215:192];
    factor_8 <= multiplier[152:136];
    product_8 <= $signed(operand_8) * $signed({ 1'h0, factor_8 });
    operand_9 <= i[239:216];
    factor_9 <= multiplier[169:153];
    product_9 <= $signed(operand_9) * $signed({ 1'h0, factor_9 });
  end
  always @(posedge clk)
    if (rst) begin
      rounded_0 <= 17'h00000;
      rounded_1 <= 17'h00000;
      rounded_2 <= 17'h00000;
      rounded_3 <= 17'h00000;
      rounded_4 <= 17'h00000;
      rounded_5 <= 17'h00000;
      rounded_6 <= 17'h00000;
      rounded_7 <= 17'h00000;
      rounded_8 <= 17'h00000;
      rounded_9 <= 17'h00000;
    end else begin
      rounded_0 <= $signed(_2_) + $signed({ 16'h0000, _9_ });
      rounded_1 <= $signed(_0_) + $signed({ 16'h0000, _1_ });
      rounded_2 <= $signed(_3_) + $signed({ 16'h0000, _4_ });
      rounded_3 <= $signed(_5_) + $signed({ 16'h0000, _6_ });
      rounded_4 <= $signed(_7_) + $signed({ 16'h0000, _8_ });
      rounded_5 <= $signed(_10_) + $signed({ 16'h0000, _11_ });
      rounded_6 <= $signed(_12_) + $signed({ 16'h0000, _13_ });
      rounded_7 <= $signed(_14_) + $signed({ 16'h0000, _15_ });
      rounded_8 <= $signed(_16_) + $signed({ 16'h0000, _17_ });
      rounded_9 <= $signed(_18_) + $signed({ 16'h0000, _19_ });
    end
  always @(posedge clk)
    if ($signed(rounded_0) < $signed(17'h1ff80)) code_0 <= 8'h80;
    else code_0 <= ($signed(rounded_0) > $signed(17'h0007f)) ? 8'h7f : rounded_0[7:0];
  always @(posedge clk)
    if ($signed(rounded_1) < $signed(17'h1ff80)) code_1 <= 8'h80;
    else code_1 <= ($signed(rounded_1) > $signed(17'h0007f)) ? 8'h7f : rounded_1[7:0];
  always @(posedge clk)
    if ($signed(rounded_2) < $signed(17'h1ff80)) code_2 <= 8'h80;
    else code_2 <= ($signed(rounded_2) > $signed(17'h0007f)) ? 8'h7f : rounded_2[7:0];
  always @(posedge clk)
    if ($signed(rounded_3) < $signed(17'h1ff80)) code_3 <= 8'h80;
    else code_3 <= ($signed(rounded_3) > $signed(17'h0007f)) ? 8'h7f : rounded_3[7:0];
  always @(posedge clk)
    if ($signed(rounded_4) < $signed(17'h1ff80)) code_4 <= 8'h80;
    else code_4 <= ($signed(rounded_4) > $signed(17'h0007f)) ? 8'h7f : rounded_4[7:0];
  always @(posedge clk)
    if ($signed(rounded_5) < $signed(17'h1ff80)) code_5 <= 8'h80;
    else code_5 <= ($signed(rounded_5) > $signed(17'h0007f)) ? 8'h7f : rounded_5[7:0];
  always @(posedge clk)
    if ($signed(rounded_6) < $signed(17'h1ff80)) code_6 <= 8'h80;
    else code_6 <= ($signed(rounded_6) > $signed(17'h0007f)) ? 8'h7f : rounded_6[7:0];
  always @(posedge clk)
    if ($signed(rounded_7) < $signed(17'h1ff80)) code_7 <= 8'h80;
    else code_7 <= ($signed(rounded_7) > $signed(17'h0007f)) ? 8'h7f : rounded_7[7:0];
  always @(posedge clk)
    if ($signed(rounded_8) < $signed(17'h1ff80)) code_8 <= 8'h80;
    else code_8 <= ($signed(rounded_8) > $signed(17'h0007f)) ? 8'h7f : rounded_8[7:0];
  always @(posedge clk)
    if ($signed(rounded_9) < $signed(17'h1ff80)) code_9 <= 8'h80;
    else code_9 <= ($signed(rounded_9) > $signed(17'h0007f)) ? 8'h7f : rounded_9[7:0];
  assign o = { code_9, code_8, code_7, code_6, code_5, code_4, code_3, code_2, code_1, code_0 };
endmodule
