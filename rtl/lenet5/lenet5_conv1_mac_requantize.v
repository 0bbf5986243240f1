// Part of lenet5.

module lenet5_conv1_mac_requantize(
  input wire clk,
  input wire rst,
  output reg [7:0] code_0,
  input wire [18:0] i,
  input wire [16:0] multiplier
);
  reg [17:0] product_0_0_0;
  reg [34:0] product_0_1_0;
  reg [35:0] product_0_1_0_2;
  reg [16:0] product_0_by;
  reg [18:0] product_0_of;
  reg [12:0] rounded_0;
  reg [12:0] rounded_0_floor;
  reg [7:0] rounded_0_low;
  reg rounded_0_over;
  reg rounded_0_under;
  reg rounded_0_up;
  always @(posedge clk) begin
    product_0_of <= i;
    product_0_by <= multiplier;
    product_0_0_0 <= product_0_of[0] * product_0_by;
    product_0_1_0 <= $signed(product_0_of[18:1]) * $signed({ 1'h0, product_0_by });
    product_0_1_0_2 <= $signed({ 18'h00000, product_0_0_0 }) + $signed({ product_0_1_0, 1'h0 });
    rounded_0_floor <= $signed(product_0_1_0_2[35:24]) + $signed(12'hf80);
    rounded_0_up <= product_0_1_0_2[23] & ((|product_0_1_0_2[22:0]) | product_0_1_0_2[24]);
    rounded_0_low <= rounded_0[7:0];
    rounded_0_over <= $signed(rounded_0) > $signed(13'h007f);
    rounded_0_under <= $signed(rounded_0) < $signed(13'h1f80);
  end
  always @(posedge clk)
    if (rst) rounded_0 <= 13'h0000;
    else rounded_0 <= $signed(rounded_0_floor) + $signed({ 12'h000, rounded_0_up });
  always @(posedge clk)
    if (rounded_0_under) code_0 <= 8'h80;
    else code_0 <= rounded_0_over ? 8'h7f : rounded_0_low;
endmodule
