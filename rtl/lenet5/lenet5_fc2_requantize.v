// Part of lenet5.

module lenet5_fc2_requantize(
  input wire clk,
  input wire rst,
  input wire [65:0] i,
  input wire [50:0] multiplier,
  output wire [23:0] o
);
  reg [7:0] code_0;
  reg [7:0] code_1;
  reg [7:0] code_2;
  reg [20:0] product_0_0_0;
  reg [38:0] product_0_1_0;
  reg [34:0] product_0_4_0;
  reg [16:0] product_0_by;
  reg [21:0] product_0_of;
  reg [20:0] product_1_0_0;
  reg [38:0] product_1_1_0;
  reg [34:0] product_1_4_0;
  reg [16:0] product_1_by;
  reg [21:0] product_1_of;
  reg [20:0] product_2_0_0;
  reg [38:0] product_2_1_0;
  reg [34:0] product_2_4_0;
  reg [16:0] product_2_by;
  reg [21:0] product_2_of;
  reg [14:0] rounded_0;
  reg [14:0] rounded_0_floor;
  reg [7:0] rounded_0_low;
  reg rounded_0_over;
  reg rounded_0_under;
  reg rounded_0_up;
  reg [14:0] rounded_1;
  reg [14:0] rounded_1_floor;
  reg [7:0] rounded_1_low;
  reg rounded_1_over;
  reg rounded_1_under;
  reg rounded_1_up;
  reg [14:0] rounded_2;
  reg [14:0] rounded_2_floor;
  reg [7:0] rounded_2_low;
  reg rounded_2_over;
  reg rounded_2_under;
  reg rounded_2_up;
  always @(posedge clk) begin
    rounded_1_floor <= $signed(product_1_1_0[38:25]) + $signed(14'h3f80);
    rounded_1_up <= product_1_1_0[24] & ((|product_1_1_0[23:0]) | product_1_1_0[25]);
    rounded_1_low <= rounded_1[7:0];
    rounded_1_over <= $signed(rounded_1) > $signed(15'h007f);
    rounded_1_under <= $signed(rounded_1) < $signed(15'h7f80);
    product_2_of <= i[65:44];
    product_2_by <= multiplier[50:34];
    product_2_0_0 <= product_2_of[3:0] * product_2_by;
    product_2_4_0 <= $signed(product_2_of[21:4]) * $signed({ 1'h0, product_2_by });
    product_2_1_0 <= $signed({ 18'h00000, product_2_0_0 }) + $signed({ product_2_4_0, 4'h0 });
    rounded_2_floor <= $signed(product_2_1_0[38:25]) + $signed(14'h3f80);
    rounded_2_up <= product_2_1_0[24] & ((|product_2_1_0[23:0]) | product_2_1_0[25]);
    rounded_2_low <= rounded_2[7:0];
    rounded_2_over <= $signed(rounded_2) > $signed(15'h007f);
    rounded_2_under <= $signed(rounded_2) < $signed(15'h7f80);
    product_0_of <= i[21:0];
    product_0_by <= multiplier[16:0];
    product_0_0_0 <= product_0_of[3:0] * product_0_by;
    product_0_4_0 <= $signed(product_0_of[21:4]) * $signed({ 1'h0, product_0_by });
    product_0_1_0 <= $signed({ 18'h00000, product_0_0_0 }) + $signed({ product_0_4_0, 4'h0 });
    rounded_0_floor <= $signed(product_0_1_0[38:25]) + $signed(14'h3f80);
    rounded_0_up <= product_0_1_0[24] & ((|product_0_1_0[23:0]) | product_0_1_0[25]);
    rounded_0_low <= rounded_0[7:0];
    rounded_0_over <= $signed(rounded_0) > $signed(15'h007f);
    rounded_0_under <= $signed(rounded_0) < $signed(15'h7f80);
    product_1_of <= i[43:22];
    product_1_by <= multiplier[33:17];
    product_1_0_0 <= product_1_of[3:0] * product_1_by;
    product_1_4_0 <= $signed(product_1_of[21:4]) * $signed({ 1'h0, product_1_by });
    product_1_1_0 <= $signed({ 18'h00000, product_1_0_0 }) + $signed({ product_1_4_0, 4'h0 });
  end
  always @(posedge clk)
    if (rst) begin
      rounded_0 <= 15'h0000;
      rounded_1 <= 15'h0000;
      rounded_2 <= 15'h0000;
    end else begin
      rounded_0 <= $signed(rounded_0_floor) + $signed({ 14'h0000, rounded_0_up });
      rounded_1 <= $signed(rounded_1_floor) + $signed({ 14'h0000, rounded_1_up });
      rounded_2 <= $signed(rounded_2_floor) + $signed({ 14'h0000, rounded_2_up });
    end
  always @(posedge clk)
    if (rounded_0_under) code_0 <= 8'h80;
    else code_0 <= rounded_0_over ? 8'h7f : rounded_0_low;
  always @(posedge clk)
    if (rounded_1_under) code_1 <= 8'h80;
    else code_1 <= rounded_1_over ? 8'h7f : rounded_1_low;
  always @(posedge clk)
    if (rounded_2_under) code_2 <= 8'h80;
    else code_2 <= rounded_2_over ? 8'h7f : rounded_2_low;
  assign o = { code_2, code_1, code_0 };
endmodule
