// Part of lenet5.

module lenet5_conv2_mac_requantize(
  input wire clk,
  input wire rst,
  output reg [7:0] code_0,
  input wire [20:0] i,
  input wire [16:0] multiplier
);
  reg [19:0] product_0_0_0;
  reg [37:0] product_0_1_0;
  reg [34:0] product_0_3_0;
  reg [16:0] product_0_by;
  reg [20:0] product_0_of;
  reg [15:0] rounded_0;
  reg [15:0] rounded_0_floor;
  reg [7:0] rounded_0_low;
  reg rounded_0_over;
  reg rounded_0_under;
  reg rounded_0_up;
  always @(posedge clk) begin
    product_0_of <= i;
    product_0_by <= multiplier;
    product_0_0_0 <= product_0_of[2:0] * product_0_by;
    product_0_3_0 <= $signed(product_0_of[20:3]) * $signed({ 1'h0, product_0_by });
    product_0_1_0 <= $signed({ 18'h00000, product_0_0_0 }) + $signed({ product_0_3_0, 3'h0 });
    rounded_0_floor <= $signed(product_0_1_0[37:23]) + $signed(15'h7f80);
    rounded_0_up <= product_0_1_0[22] & ((|product_0_1_0[21:0]) | product_0_1_0[23]);
    rounded_0_low <= rounded_0[7:0];
    rounded_0_over <= $signed(rounded_0) > $signed(16'h007f);
    rounded_0_under <= $signed(rounded_0) < $signed(16'hff80);
  end
  always @(posedge clk)
    if (rst) rounded_0 <= 16'h0000;
    else rounded_0 <= $signed(rounded_0_floor) + $signed({ 15'h0000, rounded_0_up });
  always @(posedge clk)
    if (rounded_0_under) code_0 <= 8'h80;
    else code_0 <= rounded_0_over ? 8'h7f : rounded_0_low;
endmodule
