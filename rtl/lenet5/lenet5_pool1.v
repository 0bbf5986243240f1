// Part of lenet5.

module lenet5_pool1(
  input wire clk,
  input wire rst,
  input wire [7:0] i__payload,
  output wire i__ready,
  input wire i__valid,
  output wire [7:0] o__payload,
  input wire o__ready,
  output wire o__valid
);
  wire _0_;
  wire [7:0] _1_;
  wire _2_;
  wire [7:0] _3_;
  reg [7:0] i_payload;
  reg i_valid;
  wire issue;
  wire room;
  wire window_o__valid;
  wire [7:0] window_tap_0_0;
  wire [7:0] window_tap_0_1;
  wire [7:0] window_tap_1_0;
  wire [7:0] window_tap_1_1;
  assign issue = window_o__valid & room;
  assign _0_ = $signed(window_tap_1_1) > $signed(window_tap_1_0);
  assign _1_ = _0_ ? window_tap_1_1 : window_tap_1_0;
  assign _2_ = $signed(window_tap_0_1) > $signed(window_tap_0_0);
  assign _3_ = _2_ ? window_tap_0_1 : window_tap_0_0;
  always @(posedge clk) i_payload <= ($signed(_1_) > $signed(_3_)) ? _1_ : _3_;
  always @(posedge clk)
    if (rst) i_valid <= 1'h0;
    else i_valid <= issue;
  lenet5_pool1_queue queue (
    .clk(clk),
    .i__payload(i_payload),
    .i__valid(i_valid),
    .issue(issue),
    .o__payload(o__payload),
    .o__ready(o__ready),
    .o__valid(o__valid),
    .room(room),
    .rst(rst)
  );
  lenet5_pool1_window window (
    .clk(clk),
    .i__payload(i__payload),
    .i__ready(i__ready),
    .i__valid(i__valid),
    .o__ready(room),
    .o__valid(window_o__valid),
    .rst(rst),
    .tap_0_0(window_tap_0_0),
    .tap_0_1(window_tap_0_1),
    .tap_1_0(window_tap_1_0),
    .tap_1_1(window_tap_1_1)
  );
endmodule
