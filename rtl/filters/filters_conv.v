// Part of filters.

module filters_conv(
  input wire clk,
  input wire rst,
  input wire [7:0] i__payload,
  output wire i__ready,
  input wire i__valid,
  output wire [31:0] o__payload,
  input wire o__ready,
  output wire o__valid
);
  wire mac_i__ready;
  wire mac_i__valid;
  wire [7:0] window_tap_0_0;
  wire [7:0] window_tap_0_1;
  wire [7:0] window_tap_0_2;
  wire [7:0] window_tap_1_0;
  wire [7:0] window_tap_1_1;
  wire [7:0] window_tap_1_2;
  wire [7:0] window_tap_2_0;
  wire [7:0] window_tap_2_1;
  wire [7:0] window_tap_2_2;
  filters_mac mac (
    .clk(clk),
    .i__payload_0(window_tap_0_0),
    .i__payload_1(window_tap_0_1),
    .i__payload_2(window_tap_0_2),
    .i__payload_3(window_tap_1_0),
    .i__payload_4(window_tap_1_1),
    .i__payload_5(window_tap_1_2),
    .i__payload_6(window_tap_2_0),
    .i__payload_7(window_tap_2_1),
    .i__payload_8(window_tap_2_2),
    .i__ready(mac_i__ready),
    .i__valid(mac_i__valid),
    .o__payload(o__payload),
    .o__ready(o__ready),
    .o__valid(o__valid),
    .rst(rst)
  );
  filters_window window (
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
    .tap_1_0(window_tap_1_0),
    .tap_1_1(window_tap_1_1),
    .tap_1_2(window_tap_1_2),
    .tap_2_0(window_tap_2_0),
    .tap_2_1(window_tap_2_1),
    .tap_2_2(window_tap_2_2)
  );
endmodule
