// Part of lenet5.

module lenet5_pool1_queue_fifo(
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
  reg [2:0] level;
  reg [2:0] read_index;
  wire write__en;
  reg [2:0] write_index;
  reg [7:0] storage [0:5];
  always @(posedge clk) if (write__en) storage[write_index] <= i__payload;
  assign o__payload = storage[read_index];
  assign i__ready = level != 3'h6;
  assign write__en = i__valid & i__ready;
  assign fetch = o__valid & o__ready;
  always @(posedge clk)
    if (rst) write_index <= 3'h0;
    else if (write__en) write_index <= (write_index == 3'h5) ? 3'h0 : (write_index + 3'h1);
  always @(posedge clk)
    if (rst) read_index <= 3'h0;
    else if (fetch) read_index <= (read_index == 3'h5) ? 3'h0 : (read_index + 3'h1);
  always @(posedge clk)
    if (rst) begin
      level <= 3'h0;
      o__valid <= 1'h0;
    end else begin
      level <= (level + { 2'h0, write__en }) - { 2'h0, fetch };
      o__valid <= write__en | (level != { 2'h0, fetch });
    end
endmodule
