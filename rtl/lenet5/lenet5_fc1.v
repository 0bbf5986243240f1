// Part of lenet5.

module lenet5_fc1(
  input wire clk,
  input wire rst,
  input wire [7:0] i__payload,
  output wire i__ready,
  input wire i__valid,
  output wire [79:0] o__payload,
  input wire o__ready,
  output wire o__valid
);
  lenet5_fc1_mac mac (
    .clk(clk),
    .i__payload(i__payload),
    .i__ready(i__ready),
    .i__valid(i__valid),
    .o__payload(o__payload),
    .o__ready(o__ready),
    .o__valid(o__valid),
    .rst(rst)
  );
endmodule
