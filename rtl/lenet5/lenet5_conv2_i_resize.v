// Part of lenet5.

module lenet5_conv2_i_resize(
  input wire clk,
  input wire rst,
  input wire [7:0] i__payload,
  output wire i__ready,
  input wire i__valid,
  output wire [15:0] o__payload,
  input wire o__ready,
  output wire o__valid
);
  wire _0_;
  reg [7:0] kept;
  reg last;
  wire queue_i__ready;
  wire queue_i__valid;
  assign i__ready = (~last) | queue_i__ready;
  assign queue_i__valid = last & i__valid;
  assign _0_ = i__valid & i__ready;
  always @(posedge clk)
    if (rst) begin
      last <= 1'h0;
      kept <= 8'h00;
    end else if (_0_) begin
      last <= last ? 1'h0 : (last + 1'h1);
      kept <= i__payload;
    end
  lenet5_conv2_i_resize_queue queue (
    .clk(clk),
    .i__payload({ i__payload, kept }),
    .i__ready(queue_i__ready),
    .i__valid(queue_i__valid),
    .o__payload(o__payload),
    .o__ready(o__ready),
    .o__valid(o__valid),
    .rst(rst)
  );
endmodule
