// Part of lenet5.

module lenet5_pool2_queue(
  input wire clk,
  input wire rst,
  input wire [7:0] i__payload,
  input wire i__valid,
  input wire issue,
  output wire [7:0] o__payload,
  input wire o__ready,
  output wire o__valid,
  output reg room
);
  reg [5:0] credit;
  wire returned;
  assign returned = o__valid & o__ready;
  always @(posedge clk)
    if (rst) begin
      credit <= 6'h31;
      room <= 1'h1;
    end else begin
      credit <= (credit + { 5'h00, returned }) - { 5'h00, issue };
      room <= returned | (credit > { 5'h00, issue });
    end
  lenet5_pool2_queue_fifo fifo (
    .clk(clk),
    .i__payload(i__payload),
    .i__valid(i__valid),
    .o__payload(o__payload),
    .o__ready(o__ready),
    .o__valid(o__valid),
    .rst(rst)
  );
endmodule
