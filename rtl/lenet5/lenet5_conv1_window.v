// Part of lenet5.

module lenet5_conv1_window(
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
  output reg [7:0] tap_0_3,
  output reg [7:0] tap_0_4,
  output reg [7:0] tap_1_0,
  output reg [7:0] tap_1_1,
  output reg [7:0] tap_1_2,
  output reg [7:0] tap_1_3,
  output reg [7:0] tap_1_4,
  output reg [7:0] tap_2_0,
  output reg [7:0] tap_2_1,
  output reg [7:0] tap_2_2,
  output reg [7:0] tap_2_3,
  output reg [7:0] tap_2_4,
  output reg [7:0] tap_3_0,
  output reg [7:0] tap_3_1,
  output reg [7:0] tap_3_2,
  output reg [7:0] tap_3_3,
  output reg [7:0] tap_3_4,
  output reg [7:0] tap_4_0,
  output reg [7:0] tap_4_1,
  output reg [7:0] tap_4_2,
  output reg [7:0] tap_4_3,
  output reg [7:0] tap_4_4
);
  wire _0_;
  wire _1_;
  wire _2_;
  reg active;
  reg column_0_before;
  reg column_1_before;
  reg column_3_after;
  reg column_4_after;
  wire [31:0] delay_24_last;
  wire drain;
  reg [4:0] in_column;
  reg in_launch;
  reg [4:0] in_row;
  reg in_start;
  wire launch;
  reg [7:0] line_1;
  reg [7:0] line_113;
  reg [7:0] line_114;
  reg [7:0] line_115;
  reg [7:0] line_116;
  reg [7:0] line_2;
  reg [7:0] line_29;
  reg [7:0] line_3;
  reg [7:0] line_30;
  reg [7:0] line_31;
  reg [7:0] line_32;
  reg [7:0] line_4;
  reg [7:0] line_57;
  reg [7:0] line_58;
  reg [7:0] line_59;
  reg [7:0] line_60;
  reg [7:0] line_85;
  reg [7:0] line_86;
  reg [7:0] line_87;
  reg [7:0] line_88;
  wire load;
  reg [4:0] out_column;
  reg out_final;
  reg [4:0] out_row;
  wire own;
  reg row_0_before;
  reg row_1_before;
  reg row_3_after;
  reg row_4_after;
  wire step;
  assign _0_ = in_column == 5'h1b;
  assign _2_ = out_row == 5'h1b;
  assign _1_ = out_column == 5'h1b;
  assign i__ready = ((~active) | (~o__valid)) | o__ready;
  assign step = i__ready & (i__valid | drain);
  assign own = step & (~drain);
  assign launch = own & in_launch;
  assign drain = (in_start & active) & (~i__valid);
  assign load = step & active;
  always @(posedge clk)
    if (rst) begin
      in_column <= 5'h01;
      in_start <= 1'h1;
      in_launch <= 1'h0;
    end else if (own) begin
      in_column <= _0_ ? 5'h00 : (in_column + 5'h01);
      in_start <= (in_row == 5'h00) & (in_column == 5'h00);
      in_launch <= (in_row == 5'h02) & (in_column == 5'h01);
    end
  always @(posedge clk)
    if (rst) in_row <= 5'h00;
    else if (own & _0_) in_row <= (in_row == 5'h1b) ? 5'h00 : (in_row + 5'h01);
  always @(posedge clk)
    if (launch | rst) begin
      out_column <= 5'h01;
      out_final <= 1'h0;
      row_0_before <= 1'h1;
      row_1_before <= 1'h1;
      row_3_after <= 1'h0;
      row_4_after <= 1'h0;
      column_0_before <= 1'h1;
      column_1_before <= 1'h1;
      column_3_after <= 1'h0;
      column_4_after <= 1'h0;
    end else if (step) begin
      out_column <= _1_ ? 5'h00 : (out_column + 5'h01);
      out_final <= _2_ & _1_;
      row_0_before <= out_row < 5'h02;
      row_1_before <= out_row < 5'h01;
      row_3_after <= out_row >= 5'h1b;
      row_4_after <= out_row >= 5'h1a;
      column_0_before <= out_column < 5'h02;
      column_1_before <= out_column < 5'h01;
      column_3_after <= out_column >= 5'h1b;
      column_4_after <= out_column >= 5'h1a;
    end
  always @(posedge clk)
    if (launch | rst) out_row <= 5'h00;
    else if (step & _1_) out_row <= _2_ ? 5'h00 : (out_row + 5'h01);
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
      line_3 <= line_2;
      line_4 <= line_3;
      line_29 <= delay_24_last[7:0];
      line_30 <= line_29;
      line_31 <= line_30;
      line_32 <= line_31;
      line_57 <= delay_24_last[15:8];
      line_58 <= line_57;
      line_59 <= line_58;
      line_60 <= line_59;
      line_85 <= delay_24_last[23:16];
      line_86 <= line_85;
      line_87 <= line_86;
      line_88 <= line_87;
      line_113 <= delay_24_last[31:24];
      line_114 <= line_113;
      line_115 <= line_114;
      line_116 <= line_115;
    end
  always @(posedge clk)
    if (load) begin
      tap_0_0 <= (column_0_before | row_0_before) ? 8'h80 : line_116;
      tap_0_1 <= (column_1_before | row_0_before) ? 8'h80 : line_115;
      tap_0_2 <= row_0_before ? 8'h80 : line_114;
      tap_0_3 <= (column_3_after | row_0_before) ? 8'h80 : line_113;
      tap_0_4 <= (column_4_after | row_0_before) ? 8'h80 : delay_24_last[31:24];
      tap_1_0 <= (column_0_before | row_1_before) ? 8'h80 : line_88;
      tap_1_1 <= (column_1_before | row_1_before) ? 8'h80 : line_87;
      tap_1_2 <= row_1_before ? 8'h80 : line_86;
      tap_1_3 <= (column_3_after | row_1_before) ? 8'h80 : line_85;
      tap_1_4 <= (column_4_after | row_1_before) ? 8'h80 : delay_24_last[23:16];
      tap_2_0 <= column_0_before ? 8'h80 : line_60;
      tap_2_1 <= column_1_before ? 8'h80 : line_59;
      tap_2_2 <= line_58;
      tap_2_3 <= column_3_after ? 8'h80 : line_57;
      tap_2_4 <= column_4_after ? 8'h80 : delay_24_last[15:8];
      tap_3_0 <= (column_0_before | row_3_after) ? 8'h80 : line_32;
      tap_3_1 <= (column_1_before | row_3_after) ? 8'h80 : line_31;
      tap_3_2 <= row_3_after ? 8'h80 : line_30;
      tap_3_3 <= (column_3_after | row_3_after) ? 8'h80 : line_29;
      tap_3_4 <= (column_4_after | row_3_after) ? 8'h80 : delay_24_last[7:0];
      tap_4_0 <= (column_0_before | row_4_after) ? 8'h80 : line_4;
      tap_4_1 <= (column_1_before | row_4_after) ? 8'h80 : line_3;
      tap_4_2 <= row_4_after ? 8'h80 : line_2;
      tap_4_3 <= (column_3_after | row_4_after) ? 8'h80 : line_1;
      tap_4_4 <= (column_4_after | row_4_after) ? 8'h80 : i__payload;
    end
  lenet5_conv1_window_delay_24 delay_24 (
    .clk(clk),
    .en(step),
    .i__0(line_4),
    .i__1(line_32),
    .i__2(line_60),
    .i__3(line_88),
    .last(delay_24_last),
    .rst(rst)
  );
endmodule
