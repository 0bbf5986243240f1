// Part of lenet5.

module lenet5_pool2_queue_fifo(
  input wire clk,
  input wire rst,
  input wire [7:0] i__payload,
  input wire i__valid,
  output wire [7:0] o__payload,
  input wire o__ready,
  output reg o__valid
);
  wire fetch;
  wire i__ready;
  reg [5:0] level;
  reg [5:0] read_index;
  wire write__en;
  reg [5:0] write_index;
  reg [7:0] storage [0:48];
  always @(posedge clk) if (write__en) storage[write_index] <= i__payload;
  assign o__payload = storage[read_index];
  assign i__ready = level != 6'h31;
  assign write__en = i__valid & i__ready;
  assign fetch = o__valid & o__ready;
  always @(posedge clk)
    if (rst) write_index <= 6'h00;
    else if (write__en) write_index <= (write_index == 6'h30) ? 6'h00 : (write_index + 6'h01);
  always @(posedge clk)
    if (rst) read_index <= 6'h00;
    else if (fetch) read_index <= (read_index == 6'h30) ? 6'h00 : (read_index + 6'h01);
  always @(posedge clk)
    if (rst) begin
      level <= 6'h00;
      o__valid <= 1'h0;
    end else begin
      level <= (level + { 5'h00, write__en }) - { 5'h00, fetch };
      o__valid <= write__en | (level != { 5'h00, fetch });
    end
endmodule
