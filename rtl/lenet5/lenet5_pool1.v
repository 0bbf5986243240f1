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
  wire _1_;
  reg [7:0] i_payload;
  reg i_valid;
  wire issue;
  reg issue_1;
  reg issue_2;
  reg issue_3;
  reg [7:0] lane_0_1_0;
  reg [7:0] lane_0_1_1;
  wire room;
  wire window_o__valid;
  wire [7:0] window_tap_0_0;
  wire [7:0] window_tap_0_1;
  wire [7:0] window_tap_1_0;
  wire [7:0] window_tap_1_1;
  assign issue = window_o__valid & room;
  assign _0_ = $signed(window_tap_0_1) > $signed(window_tap_0_0);
  assign _1_ = $signed(window_tap_1_1) > $signed(window_tap_1_0);
  always @(posedge clk) begin
    lane_0_1_0 <= _0_ ? window_tap_0_1 : window_tap_0_0;
    lane_0_1_1 <= _1_ ? window_tap_1_1 : window_tap_1_0;
    i_payload <= ($signed(lane_0_1_1) > $signed(lane_0_1_0)) ? lane_0_1_1 : lane_0_1_0;
  end
  always @(posedge clk)
    if (rst) begin
      issue_1 <= 1'h0;
      issue_2 <= 1'h0;
      issue_3 <= 1'h0;
      i_valid <= 1'h0;
    end else begin
      issue_1 <= issue;
      issue_2 <= issue_1;
      issue_3 <= issue_2;
      i_valid <= issue_3;
    end
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
