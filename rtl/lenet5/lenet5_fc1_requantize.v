// Part of lenet5.

module lenet5_fc1_requantize(
  input wire clk,
  input wire rst,
  input wire [239:0] i,
  input wire [169:0] multiplier,
  output wire [79:0] o
);
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
  reg [22:0] product_0_0_0;
  reg [40:0] product_0_1_0;
  reg [34:0] product_0_6_0;
  reg [16:0] product_0_by;
  reg [23:0] product_0_of;
  reg [22:0] product_1_0_0;
  reg [40:0] product_1_1_0;
  reg [34:0] product_1_6_0;
  reg [16:0] product_1_by;
  reg [23:0] product_1_of;
  reg [22:0] product_2_0_0;
  reg [40:0] product_2_1_0;
  reg [34:0] product_2_6_0;
  reg [16:0] product_2_by;
  reg [23:0] product_2_of;
  reg [22:0] product_3_0_0;
  reg [40:0] product_3_1_0;
  reg [34:0] product_3_6_0;
  reg [16:0] product_3_by;
  reg [23:0] product_3_of;
  reg [22:0] product_4_0_0;
  reg [40:0] product_4_1_0;
  reg [34:0] product_4_6_0;
  reg [16:0] product_4_by;
  reg [23:0] product_4_of;
  reg [22:0] product_5_0_0;
  reg [40:0] product_5_1_0;
  reg [34:0] product_5_6_0;
  reg [16:0] product_5_by;
  reg [23:0] product_5_of;
  reg [22:0] product_6_0_0;
  reg [40:0] product_6_1_0;
  reg [34:0] product_6_6_0;
  reg [16:0] product_6_by;
  reg [23:0] product_6_of;
  reg [22:0] product_7_0_0;
  reg [40:0] product_7_1_0;
  reg [34:0] product_7_6_0;
  reg [16:0] product_7_by;
  reg [23:0] product_7_of;
  reg [22:0] product_8_0_0;
  reg [40:0] product_8_1_0;
  reg [34:0] product_8_6_0;
  reg [16:0] product_8_by;
  reg [23:0] product_8_of;
  reg [22:0] product_9_0_0;
  reg [40:0] product_9_1_0;
  reg [34:0] product_9_6_0;
  reg [16:0] product_9_by;
  reg [23:0] product_9_of;
  reg [16:0] rounded_0;
  reg [16:0] rounded_0_floor;
  reg rounded_0_up;
  reg [16:0] rounded_1;
  reg [16:0] rounded_1_floor;
  reg rounded_1_up;
  reg [16:0] rounded_2;
  reg [16:0] rounded_2_floor;
  reg rounded_2_up;
  reg [16:0] rounded_3;
  reg [16:0] rounded_3_floor;
  reg rounded_3_up;
  reg [16:0] rounded_4;
  reg [16:0] rounded_4_floor;
  reg rounded_4_up;
  reg [16:0] rounded_5;
  reg [16:0] rounded_5_floor;
  reg rounded_5_up;
  reg [16:0] rounded_6;
  reg [16:0] rounded_6_floor;
  reg rounded_6_up;
  reg [16:0] rounded_7;
  reg [16:0] rounded_7_floor;
  reg rounded_7_up;
  reg [16:0] rounded_8;
  reg [16:0] rounded_8_floor;
  reg rounded_8_up;
  reg [16:0] rounded_9;
  reg [16:0] rounded_9_floor;
  reg rounded_9_up;
  always @(posedge clk) begin
    product_0_of <= i[23:0];
    product_0_by <= multiplier[16:0];
    product_0_0_0 <= product_0_of[5:0] * product_0_by;
    product_0_6_0 <= $signed(product_0_of[23:6]) * $signed({ 1'h0, product_0_by });
    product_0_1_0 <= $signed({ 18'h00000, product_0_0_0 }) + $signed({ product_0_6_0, 6'h00 });
    rounded_0_floor <= $signed(product_0_1_0[40:25]) + $signed(16'hff80);
    rounded_0_up <= product_0_1_0[24] & ((|product_0_1_0[23:0]) | product_0_1_0[25]);
    product_1_of <= i[47:24];
    product_1_by <= multiplier[33:17];
    product_1_0_0 <= product_1_of[5:0] * product_1_by;
    product_1_6_0 <= $signed(product_1_of[23:6]) * $signed({ 1'h0, product_1_by });
    product_1_1_0 <= $signed({ 18'h00000, product_1_0_0 }) + $signed({ product_1_6_0, 6'h00 });
    rounded_1_floor <= $signed(product_1_1_0[40:25]) + $signed(16'hff80);
    rounded_1_up <= product_1_1_0[24] & ((|product_1_1_0[23:0]) | product_1_1_0[25]);
    product_2_of <= i[71:48];
    product_2_by <= multiplier[50:34];
    product_2_0_0 <= product_2_of[5:0] * product_2_by;
    product_2_6_0 <= $signed(product_2_of[23:6]) * $signed({ 1'h0, product_2_by });
    product_2_1_0 <= $signed({ 18'h00000, product_2_0_0 }) + $signed({ product_2_6_0, 6'h00 });
    rounded_2_floor <= $signed(product_2_1_0[40:25]) + $signed(16'hff80);
    rounded_2_up <= product_2_1_0[24] & ((|product_2_1_0[23:0]) | product_2_1_0[25]);
    product_3_of <= i[95:72];
    product_3_by <= multiplier[67:51];
    product_3_0_0 <= product_3_of[5:0] * product_3_by;
    product_3_6_0 <= $signed(product_3_of[23:6]) * $signed({ 1'h0, product_3_by });
    product_3_1_0 <= $signed({ 18'h00000, product_3_0_0 }) + $signed({ product_3_6_0, 6'h00 });
    rounded_3_floor <= $signed(product_3_1_0[40:25]) + $signed(16'hff80);
    rounded_3_up <= product_3_1_0[24] & ((|product_3_1_0[23:0]) | product_3_1_0[25]);
    product_4_of <= i[119:96];
    product_4_by <= multiplier[84:68];
    product_4_0_0 <= product_4_of[5:0] * product_4_by;
    product_4_6_0 <= $signed(product_4_of[23:6]) * $signed({ 1'h0, product_4_by });
    product_4_1_0 <= $signed({ 18'h00000, product_4_0_0 }) + $signed({ product_4_6_0, 6'h00 });
    rounded_4_floor <= $signed(product_4_1_0[40:25]) + $signed(16'hff80);
    rounded_4_up <= product_4_1_0[24] & ((|product_4_1_0[23:0]) | product_4_1_0[25]);
    product_5_of <= i[143:120];
    product_5_by <= multiplier[101:85];
    product_5_0_0 <= product_5_of[5:0] * product_5_by;
    product_5_6_0 <= $signed(product_5_of[23:6]) * $signed({ 1'h0, product_5_by });
    product_5_1_0 <= $signed({ 18'h00000, product_5_0_0 }) + $signed({ product_5_6_0, 6'h00 });
    rounded_5_floor <= $signed(product_5_1_0[40:25]) + $signed(16'hff80);
    rounded_5_up <= product_5_1_0[24] & ((|product_5_1_0[23:0]) | product_5_1_0[25]);
    product_6_of <= i[167:144];
    product_6_by <= multiplier[118:102];
    product_6_0_0 <= product_6_of[5:0] * product_6_by;
    product_6_6_0 <= $signed(product_6_of[23:6]) * $signed({ 1'h0, product_6_by });
    product_6_1_0 <= $signed({ 18'h00000, product_6_0_0 }) + $signed({ product_6_6_0, 6'h00 });
    rounded_6_floor <= $signed(product_6_1_0[40:25]) + $signed(16'hff80);
    rounded_6_up <= product_6_1_0[24] & ((|product_6_1_0[23:0]) | product_6_1_0[25]);
    product_7_of <= i[191:168];
    product_7_by <= multiplier[135:119];
    product_7_0_0 <= product_7_of[5:0] * product_7_by;
    product_7_6_0 <= $signed(product_7_of[23:6]) * $signed({ 1'h0, product_7_by });
    product_7_1_0 <= $signed({ 18'h00000, product_7_0_0 }) + $signed({ product_7_6_0, 6'h00 });
    rounded_7_floor <= $signed(product_7_1_0[40:25]) + $signed(16'hff80);
    rounded_7_up <= product_7_1_0[24] & ((|product_7_1_0[23:0]) | product_7_1_0[25]);
    product_8_of <= i[215:192];
    product_8_by <= multiplier[152:136];
    product_8_0_0 <= product_8_of[5:0] * product_8_by;
    product_8_6_0 <= $signed(product_8_of[23:6]) * $signed({ 1'h0, product_8_by });
    product_8_1_0 <= $signed({ 18'h00000, product_8_0_0 }) + $signed({ product_8_6_0, 6'h00 });
    rounded_8_floor <= $signed(product_8_1_0[40:25]) + $signed(16'hff80);
    rounded_8_up <= product_8_1_0[24] & ((|product_8_1_0[23:0]) | product_8_1_0[25]);
    product_9_of <= i[239:216];
    product_9_by <= multiplier[169:153];
    product_9_0_0 <= product_9_of[5:0] * product_9_by;
    product_9_6_0 <= $signed(product_9_of[23:6]) * $signed({ 1'h0, product_9_by });
    product_9_1_0 <= $signed({ 18'h00000, product_9_0_0 }) + $signed({ product_9_6_0, 6'h00 });
    rounded_9_floor <= $signed(product_9_1_0[40:25]) + $signed(16'hff80);
    rounded_9_up <= product_9_1_0[24] & ((|product_9_1_0[23:0]) | product_9_1_0[25]);
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
      rounded_0 <= $signed(rounded_0_floor) + $signed({ 16'h0000, rounded_0_up });
      rounded_1 <= $signed(rounded_1_floor) + $signed({ 16'h0000, rounded_1_up });
      rounded_2 <= $signed(rounded_2_floor) + $signed({ 16'h0000, rounded_2_up });
      rounded_3 <= $signed(rounded_3_floor) + $signed({ 16'h0000, rounded_3_up });
      rounded_4 <= $signed(rounded_4_floor) + $signed({ 16'h0000, rounded_4_up });
      rounded_5 <= $signed(rounded_5_floor) + $signed({ 16'h0000, rounded_5_up });
      rounded_6 <= $signed(rounded_6_floor) + $signed({ 16'h0000, rounded_6_up });
      rounded_7 <= $signed(rounded_7_floor) + $signed({ 16'h0000, rounded_7_up });
      rounded_8 <= $signed(rounded_8_floor) + $signed({ 16'h0000, rounded_8_up });
      rounded_9 <= $signed(rounded_9_floor) + $signed({ 16'h0000, rounded_9_up });
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
