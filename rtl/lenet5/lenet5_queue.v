// Part of lenet5.

module lenet5_queue(
  input wire clk,
  input wire rst,
  input wire [7:0] i__payload,
  input wire i__valid,
  input wire issue,
  output wire [7:0] o__payload,
  input wire o__ready,
  output wire o__valid,
  output wire room
);
  reg [3:0] credit;
  assign room = |credit;
  always @(posedge clk)
    if (rst) credit <= 4'hc;
    else credit <= (credit + { 3'h0, o__valid & o__ready }) - { 3'h0, issue };
  lenet5_fifo fifo (
    .clk(clk),
    .i__payload(i__payload),
    .i__valid(i__valid),
    .o__payload(o__payload),
    .o__ready(o__ready),
    .o__valid(o__valid),
    .rst(rst)
  );
endmodule
