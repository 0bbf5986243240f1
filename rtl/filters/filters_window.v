// Part of filters.

module filters_window(
  input wire clk,
  input wire rst,
  input wire [7:0] i__payload,
  output wire i__ready,
  input wire i__valid,
  input wire o__ready,
  output reg o__valid,
  output reg [7:0] tap_0_0,
  output reg [7:0] tap_0_1,
  output reg [7:0] tap_0_2,
  output reg [7:0] tap_1_0,
  output reg [7:0] tap_1_1,
  output reg [7:0] tap_1_2,
  output reg [7:0] tap_2_0,
  output reg [7:0] tap_2_1,
  output reg [7:0] tap_2_2
);
  wire _0_;
  wire _1_;
  wire _2_;
  wire _3_;
  reg active;
  reg column_0_before;
  reg column_2_after;
  wire [15:0] delay_62_last;
  wire drain;
  reg [5:0] in_column;
  reg in_launch;
  reg [5:0] in_row;
  reg in_start;
  wire launch;
  reg [7:0] line_1;
  reg [7:0] line_129;
  reg [7:0] line_130;
  reg [7:0] line_2;
  reg [7:0] line_65;
  reg [7:0] line_66;
  wire load;
  reg [5:0] out_column;
  reg out_final;
  reg [5:0] out_row;
  wire own;
  reg row_0_before;
  reg row_2_after;
  wire step;
  assign _1_ = in_column == 6'h00;
  assign _3_ = out_row == 6'h3f;
  assign _2_ = out_column == 6'h3f;
  assign i__ready = ((~active) | (~o__valid)) | o__ready;
  assign step = i__ready & (i__valid | drain);
  assign own = step & (~drain);
  assign launch = own & in_launch;
  assign drain = (in_start & active) & (~i__valid);
  assign load = step & active;
  assign _0_ = in_column == 6'h3f;
  always @(posedge clk)
    if (rst) begin
      in_column <= 6'h01;
      in_start <= 1'h1;
      in_launch <= 1'h0;
    end else if (own) begin
      in_column <= _0_ ? 6'h00 : (in_column + 6'h01);
      in_start <= (in_row == 6'h00) & _1_;
      in_launch <= (in_row == 6'h01) & _1_;
    end
  always @(posedge clk)
    if (rst) in_row <= 6'h00;
    else if (own & _0_) in_row <= (in_row == 6'h3f) ? 6'h00 : (in_row + 6'h01);
  always @(posedge clk)
    if (launch | rst) begin
      out_column <= 6'h01;
      out_final <= 1'h0;
      row_0_before <= 1'h1;
      row_2_after <= 1'h0;
      column_0_before <= 1'h1;
      column_2_after <= 1'h0;
    end else if (step) begin
      out_column <= _2_ ? 6'h00 : (out_column + 6'h01);
      out_final <= _3_ & _2_;
      row_0_before <= out_row < 6'h01;
      row_2_after <= out_row >= 6'h3f;
      column_0_before <= out_column < 6'h01;
      column_2_after <= out_column >= 6'h3f;
    end
  always @(posedge clk)
    if (launch | rst) out_row <= 6'h00;
    else if (_2_ & step) out_row <= _3_ ? 6'h00 : (out_row + 6'h01);
  always @(posedge clk)
    if (rst) begin
      active <= 1'h0;
      o__valid <= 1'h0;
    end else begin
      active <= launch ? 1'h1 : ((step & out_final) ? 1'h0 : active);
      o__valid <= load ? 1'h1 : (o__ready ? 1'h0 : o__valid);
    end
  always @(posedge clk)
    if (step) begin
      line_1 <= i__payload;
      line_2 <= line_1;
      line_65 <= delay_62_last[7:0];
      line_66 <= line_65;
      line_129 <= delay_62_last[15:8];
      line_130 <= line_129;
    end
  always @(posedge clk)
    if (load) begin
      tap_0_0 <= (column_0_before | row_0_before) ? 8'h00 : line_130;
      tap_0_1 <= row_0_before ? 8'h00 : line_129;
      tap_0_2 <= (column_2_after | row_0_before) ? 8'h00 : delay_62_last[15:8];
      tap_1_0 <= column_0_before ? 8'h00 : line_66;
      tap_1_1 <= line_65;
      tap_1_2 <= column_2_after ? 8'h00 : delay_62_last[7:0];
      tap_2_0 <= (column_0_before | row_2_after) ? 8'h00 : line_2;
      tap_2_1 <= row_2_after ? 8'h00 : line_1;
      tap_2_2 <= (column_2_after | row_2_after) ? 8'h00 : i__payload;
    end
  filters_window_delay_62 delay_62 (
    .clk(clk),
    .en(step),
    .i__0(line_2),
    .i__1(line_66),
    .last(delay_62_last),
    .rst(rst)
  );
endmodule
