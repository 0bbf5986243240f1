// Part of lenet5.

module lenet5_fc1_queue_fifo(
  input wire clk,
  input wire rst,
  input wire [79:0] i__payload,
  input wire i__valid,
  output wire [79:0] o__payload,
  input wire o__ready,
  output reg o__valid
);
  wire fetch;
  wire i__ready;
  reg [3:0] level;
  reg [3:0] read_index;
  wire write__en;
  reg [3:0] write_index;
  reg [79:0] storage [0:13];
  always @(posedge clk) if (write__en) storage[write_index] <= i__payload;
  assign o__payload = storage[read_index];
  assign i__ready = level != 4'he;
  assign write__en = i__valid & i__ready;
  assign fetch = o__valid & o__ready;
  always @(posedge clk)
    if (rst) write_index <= 4'h0;
    else if (write__en) write_index <= (write_index == 4'hd) ? 4'h0 : (write_index + 4'h1);
  always @(posedge clk)
    if (rst) read_index <= 4'h0;
    else if (fetch) read_index <= (read_index == 4'hd) ? 4'h0 : (read_index + 4'h1);
  always @(posedge clk)
    if (rst) begin
      level <= 4'h0;
      o__valid <= 1'h0;
    end else begin
      level <= (level + { 3'h0, write__en }) - { 3'h0, fetch };
      o__valid <= write__en | (level != { 3'h0, fetch });
    end
endmodule
