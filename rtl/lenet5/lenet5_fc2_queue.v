// Part of lenet5.

module lenet5_fc2_queue(
  input wire clk,
  input wire rst,
  input wire [23:0] i__payload,
  input wire i__valid,
  input wire issue,
  output wire [23:0] o__payload,
  input wire o__ready,
  output wire o__valid,
  output wire room
);
  reg [4:0] credit;
  assign room = |credit;
  always @(posedge clk)
    if (rst) credit <= 5'h15;
    else credit <= (credit + { 4'h0, o__valid & o__ready }) - { 4'h0, issue };
  lenet5_fc2_queue_fifo fifo (
    .clk(clk),
    .i__payload(i__payload),
    .i__valid(i__valid),
    .o__payload(o__payload),
    .o__ready(o__ready),
    .o__valid(o__valid),
    .rst(rst)
  );
endmodule
