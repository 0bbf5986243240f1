// Part of filters.

module filters_mac_requantize(
  input wire clk,
  input wire rst,
  input wire [47:0] i,
  output wire [31:0] o
);
  wire _0_;
  wire _1_;
  wire [9:0] _2_;
  wire _3_;
  wire _4_;
  wire [9:0] _5_;
  wire _6_;
  wire [1:0] _7_;
  wire [8:0] _8_;
  wire _9_;
  wire _10_;
  wire [9:0] _11_;
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
  reg [9:0] rounded_0_9_0;
  reg [9:0] rounded_1_9_0;
  reg [9:0] rounded_2_9_0;
  reg [8:0] rounded_3_8_0;
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
  assign _9_ = product_0_27_0[18] & ((|product_0_27_0[17:0]) | product_0_27_0[19]);
  assign { _10_, _11_[8:0] } = $signed(product_0_27_0[27:19]) + $signed({ 8'h00, _9_ });
  assign _0_ = product_1_27_0[18] & ((|product_1_27_0[17:0]) | product_1_27_0[19]);
  assign { _1_, _2_[8:0] } = $signed(product_1_27_0[27:19]) + $signed({ 8'h00, _0_ });
  assign _3_ = product_2_27_0[18] & ((|product_2_27_0[17:0]) | product_2_27_0[19]);
  assign { _4_, _5_[8:0] } = $signed(product_2_27_0[27:19]) + $signed({ 8'h00, _3_ });
  assign _6_ = product_3_26_0[18] & ((|product_3_26_0[17:0]) | product_3_26_0[19]);
  assign { _7_[0], _8_[7:0] } = $signed(product_3_26_0[26:19]) + $signed({ 7'h00, _6_ });
  always @(posedge clk)
    if (rst) begin
      rounded_3_8_0 <= 9'h000;
      rounded_0_9_0 <= 10'h000;
      rounded_1_9_0 <= 10'h000;
      rounded_2_9_0 <= 10'h000;
    end else begin
      rounded_3_8_0 <= { _7_[0], _8_[7:0] };
      rounded_0_9_0 <= { _10_, _11_[8:0] };
      rounded_1_9_0 <= { _1_, _2_[8:0] };
      rounded_2_9_0 <= { _4_, _5_[8:0] };
    end
  always @(posedge clk)
    if ($signed(rounded_0_9_0) < $signed(10'h380)) code_0 <= 8'h80;
    else code_0 <= ($signed(rounded_0_9_0) > $signed(10'h07f)) ? 8'h7f : rounded_0_9_0[7:0];
  always @(posedge clk)
    if ($signed(rounded_3_8_0) < $signed(9'h180)) code_3 <= 8'h80;
    else code_3 <= ($signed(rounded_3_8_0) > $signed(9'h07f)) ? 8'h7f : rounded_3_8_0[7:0];
  always @(posedge clk)
    if ($signed(rounded_1_9_0) < $signed(10'h380)) code_1 <= 8'h80;
    else code_1 <= ($signed(rounded_1_9_0) > $signed(10'h07f)) ? 8'h7f : rounded_1_9_0[7:0];
  always @(posedge clk)
    if ($signed(rounded_2_9_0) < $signed(10'h380)) code_2 <= 8'h80;
    else code_2 <= ($signed(rounded_2_9_0) > $signed(10'h07f)) ? 8'h7f : rounded_2_9_0[7:0];
  assign _11_[9] = _10_;
  assign o = { code_3, code_2, code_1, code_0 };
  assign _5_[9] = _4_;
  assign _2_[9] = _1_;
  assign _7_[1] = _7_[0];
  assign _8_[8] = _7_[0];
endmodule
