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
  wire _5_;
  wire [8:0] _6_;
  wire [9:0] _7_;
  reg [7:0] code_0;
  reg [7:0] code_1;
  reg [7:0] code_2;
  reg [7:0] code_3;
  reg [27:0] product_0_0_0_27_0;
  reg [11:0] product_0_of;
  reg [27:0] product_1_0_0_27_0;
  reg [11:0] product_1_of;
  reg [27:0] product_2_0_0_27_0;
  reg [11:0] product_2_of;
  reg [26:0] product_3_0_0_26_0;
  reg [11:0] product_3_of;
  reg [10:0] rounded_0;
  reg [8:0] rounded_0_floor_8_0;
  reg [7:0] rounded_0_low;
  reg rounded_0_over;
  reg rounded_0_under;
  reg rounded_0_up;
  reg [10:0] rounded_1;
  reg [8:0] rounded_1_floor_8_0;
  reg [7:0] rounded_1_low;
  reg rounded_1_over;
  reg rounded_1_under;
  reg rounded_1_up;
  reg [10:0] rounded_2;
  reg [8:0] rounded_2_floor_8_0;
  reg [7:0] rounded_2_low;
  reg rounded_2_over;
  reg rounded_2_under;
  reg rounded_2_up;
  reg [10:0] rounded_3;
  reg [7:0] rounded_3_floor_7_0;
  reg [7:0] rounded_3_low;
  reg rounded_3_over;
  reg rounded_3_under;
  reg rounded_3_up;
  always @(posedge clk) begin
    rounded_1_up <= product_1_0_0_27_0[18] & (_0_ | product_1_0_0_27_0[19]);
    rounded_1_low <= rounded_1[7:0];
    rounded_1_over <= $signed(rounded_1) > $signed(11'h07f);
    rounded_1_under <= $signed(rounded_1) < $signed(11'h780);
    product_2_of <= i[35:24];
    product_2_0_0_27_0 <= { product_2_of, 16'h0000 };
    rounded_2_floor_8_0 <= product_2_0_0_27_0[27:19];
    rounded_2_up <= product_2_0_0_27_0[18] & (_2_ | product_2_0_0_27_0[19]);
    rounded_2_low <= rounded_2[7:0];
    rounded_2_over <= $signed(rounded_2) > $signed(11'h07f);
    rounded_2_under <= $signed(rounded_2) < $signed(11'h780);
    product_3_of <= i[47:36];
    product_3_0_0_26_0 <= { product_3_of, 15'h0000 };
    rounded_3_floor_7_0 <= product_3_0_0_26_0[26:19];
    rounded_3_up <= product_3_0_0_26_0[18] & (_5_ | product_3_0_0_26_0[19]);
    rounded_3_low <= rounded_3[7:0];
    rounded_3_over <= $signed(rounded_3) > $signed(11'h07f);
    rounded_3_under <= $signed(rounded_3) < $signed(11'h780);
    product_0_of <= i[11:0];
    product_0_0_0_27_0 <= { product_0_of, 16'h0000 };
    rounded_0_floor_8_0 <= product_0_0_0_27_0[27:19];
    rounded_0_up <= product_0_0_0_27_0[18] & (_4_ | product_0_0_0_27_0[19]);
    rounded_0_low <= rounded_0[7:0];
    rounded_0_over <= $signed(rounded_0) > $signed(11'h07f);
    rounded_0_under <= $signed(rounded_0) < $signed(11'h780);
    product_1_of <= i[23:12];
    product_1_0_0_27_0 <= { product_1_of, 16'h0000 };
    rounded_1_floor_8_0 <= product_1_0_0_27_0[27:19];
  end
  assign _4_ = |product_0_0_0_27_0[17:0];
  assign _7_ = $signed(rounded_0_floor_8_0) + $signed({ 8'h00, rounded_0_up });
  assign _0_ = |product_1_0_0_27_0[17:0];
  assign _1_ = $signed(rounded_1_floor_8_0) + $signed({ 8'h00, rounded_1_up });
  assign _2_ = |product_2_0_0_27_0[17:0];
  assign _3_ = $signed(rounded_2_floor_8_0) + $signed({ 8'h00, rounded_2_up });
  assign _5_ = |product_3_0_0_26_0[17:0];
  assign _6_ = $signed(rounded_3_floor_7_0) + $signed({ 7'h00, rounded_3_up });
  always @(posedge clk)
    if (rst) begin
      rounded_0 <= 11'h000;
      rounded_1 <= 11'h000;
      rounded_2 <= 11'h000;
      rounded_3 <= 11'h000;
    end else begin
      rounded_0 <= { _7_[9], _7_ };
      rounded_1 <= { _1_[9], _1_ };
      rounded_2 <= { _3_[9], _3_ };
      rounded_3 <= { _6_[8], _6_[8], _6_ };
    end
  always @(posedge clk)
    if (rounded_0_under) code_0 <= 8'h80;
    else code_0 <= rounded_0_over ? 8'h7f : rounded_0_low;
  always @(posedge clk)
    if (rounded_3_under) code_3 <= 8'h80;
    else code_3 <= rounded_3_over ? 8'h7f : rounded_3_low;
  always @(posedge clk)
    if (rounded_1_under) code_1 <= 8'h80;
    else code_1 <= rounded_1_over ? 8'h7f : rounded_1_low;
  always @(posedge clk)
    if (rounded_2_under) code_2 <= 8'h80;
    else code_2 <= rounded_2_over ? 8'h7f : rounded_2_low;
  assign o = { code_3, code_2, code_1, code_0 };
endmodule
