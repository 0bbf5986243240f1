// Part of filters.

module filters_mac_requantize(
  input wire clk,
  input wire rst,
  input wire [47:0] i,
  output wire [31:0] o
);
  wire _0_;
  wire [9:0] _1_;
  wire _2_;
  wire [9:0] _3_;
  wire _4_;
  wire [8:0] _5_;
  wire _6_;
  wire [9:0] _7_;
  reg [7:0] code_0;
  reg [7:0] code_1;
  reg [7:0] code_2;
  reg [7:0] code_3;
  reg [11:0] operand_0;
  reg [11:0] operand_1;
  reg [11:0] operand_2;
  reg [11:0] operand_3;
  reg [27:0] product_0_27_0;
  reg [27:0] product_1_27_0;
  reg [27:0] product_2_27_0;
  reg [26:0] product_3_26_0;
  reg [10:0] rounded_0;
  reg [10:0] rounded_1;
  reg [10:0] rounded_2;
  reg [10:0] rounded_3;
  always @(posedge clk) begin
    operand_3 <= i[47:36];
    product_3_26_0 <= { operand_3, 15'h0000 };
    operand_0 <= i[11:0];
    product_0_27_0 <= { operand_0, 16'h0000 };
    operand_1 <= i[23:12];
    product_1_27_0 <= { operand_1, 16'h0000 };
    operand_2 <= i[35:24];
    product_2_27_0 <= { operand_2, 16'h0000 };
  end
  assign _6_ = product_0_27_0[18] & ((|product_0_27_0[17:0]) | product_0_27_0[19]);
  assign _7_ = $signed(product_0_27_0[27:19]) + $signed({ 8'h00, _6_ });
  assign _0_ = product_1_27_0[18] & ((|product_1_27_0[17:0]) | product_1_27_0[19]);
  assign _1_ = $signed(product_1_27_0[27:19]) + $signed({ 8'h00, _0_ });
  assign _2_ = product_2_27_0[18] & ((|product_2_27_0[17:0]) | product_2_27_0[19]);
  assign _3_ = $signed(product_2_27_0[27:19]) + $signed({ 8'h00, _2_ });
  assign _4_ = product_3_26_0[18] & ((|product_3_26_0[17:0]) | product_3_26_0[19]);
  assign _5_ = $signed(product_3_26_0[26:19]) + $signed({ 7'h00, _4_ });
  always @(posedge clk)
    if (rst) begin
      rounded_3 <= 11'h000;
      rounded_0 <= 11'h000;
      rounded_1 <= 11'h000;
      rounded_2 <= 11'h000;
    end else begin
      rounded_3 <= { _5_[8], _5_[8], _5_ };
      rounded_0 <= { _7_[9], _7_ };
      rounded_1 <= { _1_[9], _1_ };
      rounded_2 <= { _3_[9], _3_ };
    end
  always @(posedge clk)
    if ($signed(rounded_0) < $signed(11'h780)) code_0 <= 8'h80;
    else code_0 <= ($signed(rounded_0) > $signed(11'h07f)) ? 8'h7f : rounded_0[7:0];
  always @(posedge clk)
    if ($signed(rounded_3) < $signed(11'h780)) code_3 <= 8'h80;
    else code_3 <= ($signed(rounded_3) > $signed(11'h07f)) ? 8'h7f : rounded_3[7:0];
  always @(posedge clk)
    if ($signed(rounded_1) < $signed(11'h780)) code_1 <= 8'h80;
    else code_1 <= ($signed(rounded_1) > $signed(11'h07f)) ? 8'h7f : rounded_1[7:0];
  always @(posedge clk)
    if ($signed(rounded_2) < $signed(11'h780)) code_2 <= 8'h80;
    else code_2 <= ($signed(rounded_2) > $signed(11'h07f)) ? 8'h7f : rounded_2[7:0];
  assign o = { code_3, code_2, code_1, code_0 };
endmodule
