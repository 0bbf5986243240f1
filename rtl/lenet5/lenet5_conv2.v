// Part of lenet5.

module lenet5_conv2(
  input wire clk,
  input wire rst,
  input wire [15:0] i__payload,
  output wire i__ready,
  input wire i__valid,
  output wire [7:0] o__payload,
  input wire o__ready,
  output wire o__valid
);
  wire mac_i__ready;
  wire mac_i__valid;
  wire [15:0] window_tap_0_0;
  wire [15:0] window_tap_0_1;
  wire [15:0] window_tap_0_2;
  wire [15:0] window_tap_0_3;
  wire [15:0] window_tap_0_4;
  wire [15:0] window_tap_1_0;
  wire [15:0] window_tap_1_1;
  wire [15:0] window_tap_1_2;
  wire [15:0] window_tap_1_3;
  wire [15:0] window_tap_1_4;
  wire [15:0] window_tap_2_0;
  wire [15:0] window_tap_2_1;
  wire [15:0] window_tap_2_2;
  wire [15:0] window_tap_2_3;
  wire [15:0] window_tap_2_4;
  wire [15:0] window_tap_3_0;
  wire [15:0] window_tap_3_1;
  wire [15:0] window_tap_3_2;
  wire [15:0] window_tap_3_3;
  wire [15:0] window_tap_3_4;
  wire [15:0] window_tap_4_0;
  wire [15:0] window_tap_4_1;
  wire [15:0] window_tap_4_2;
  wire [15:0] window_tap_4_3;
  wire [15:0] window_tap_4_4;
  lenet5_conv2_mac mac (
    .clk(clk),
    .i__payload_0(window_tap_0_0),
    .i__payload_1(window_tap_0_1),
    .i__payload_10(window_tap_2_0),
    .i__payload_11(window_tap_2_1),
    .i__payload_12(window_tap_2_2),
    .i__payload_13(window_tap_2_3),
    .i__payload_14(window_tap_2_4),
    .i__payload_15(window_tap_3_0),
    .i__payload_16(window_tap_3_1),
    .i__payload_17(window_tap_3_2),
    .i__payload_18(window_tap_3_3),
    .i__payload_19(window_tap_3_4),
    .i__payload_2(window_tap_0_2),
    .i__payload_20(window_tap_4_0),
    .i__payload_21(window_tap_4_1),
    .i__payload_22(window_tap_4_2),
    .i__payload_23(window_tap_4_3),
    .i__payload_24(window_tap_4_4),
    .i__payload_3(window_tap_0_3),
    .i__payload_4(window_tap_0_4),
    .i__payload_5(window_tap_1_0),
    .i__payload_6(window_tap_1_1),
    .i__payload_7(window_tap_1_2),
    .i__payload_8(window_tap_1_3),
    .i__payload_9(window_tap_1_4),
    .i__ready(mac_i__ready),
    .i__valid(mac_i__valid),
    .o__payload(o__payload),
    .o__ready(o__ready),
    .o__valid(o__valid),
    .rst(rst)
  );
  lenet5_conv2_window window (
    .clk(clk),
    .i__payload(i__payload),
    .i__ready(i__ready),
    .i__valid(i__valid),
    .o__ready(mac_i__ready),
    .o__valid(mac_i__valid),
    .rst(rst),
    .tap_0_0(window_tap_0_0),
    .tap_0_1(window_tap_0_1),
    .tap_0_2(window_tap_0_2),
    .tap_0_3(window_tap_0_3),
    .tap_0_4(window_tap_0_4),
    .tap_1_0(window_tap_1_0),
    .tap_1_1(window_tap_1_1),
    .tap_1_2(window_tap_1_2),
    .tap_1_3(window_tap_1_3),
    .tap_1_4(window_tap_1_4),
    .tap_2_0(window_tap_2_0),
    .tap_2_1(window_tap_2_1),
    .tap_2_2(window_tap_2_2),
    .tap_2_3(window_tap_2_3),
    .tap_2_4(window_tap_2_4),
    .tap_3_0(window_tap_3_0),
    .tap_3_1(window_tap_3_1),
    .tap_3_2(window_tap_3_2),
    .tap_3_3(window_tap_3_3),
    .tap_3_4(window_tap_3_4),
    .tap_4_0(window_tap_4_0),
    .tap_4_1(window_tap_4_1),
    .tap_4_2(window_tap_4_2),
    .tap_4_3(window_tap_4_3),
    .tap_4_4(window_tap_4_4)
  );
endmodule
