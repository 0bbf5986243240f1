// Part of lenet5.

module lenet5_conv2_i_resize_queue(
  input wire clk,
  input wire rst,
  input wire [15:0] i__payload,
  output wire i__ready,
  input wire i__valid,
  output reg [15:0] o__payload,
  input wire o__ready,
  output reg o__valid
);
  wire fetch;
  reg [7:0] level;
  reg [7:0] read_index;
  reg waiting;
  wire write__en;
  reg [7:0] write_index;
  reg [15:0] storage [0:214];
  always @(posedge clk) if (write__en) storage[write_index] <= i__payload;
  always @(posedge clk) if (fetch) o__payload <= storage[read_index];
  assign i__ready = level != 8'hd7;
  assign write__en = i__valid & i__ready;
  assign fetch = waiting & ((~o__valid) | o__ready);
  always @(posedge clk)
    if (rst) write_index <= 8'h00;
    else if (write__en) write_index <= (write_index == 8'hd6) ? 8'h00 : (write_index + 8'h01);
  always @(posedge clk)
    if (rst) read_index <= 8'h00;
    else if (fetch) read_index <= (read_index == 8'hd6) ? 8'h00 : (read_index + 8'h01);
  always @(posedge clk)
    if (rst) begin
      level <= 8'h00;
      waiting <= 1'h0;
      o__valid <= 1'h0;
    end else begin
      level <= (level + { 7'h00, write__en }) - { 7'h00, fetch };
      waiting <= write__en | (level != { 7'h00, fetch });
      o__valid <= fetch ? 1'h1 : (o__ready ? 1'h0 : o__valid);
    end
endmodule
