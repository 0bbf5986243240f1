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
  reg active;
  reg [7:0] beat_1;
  reg [7:0] beat_2;
  reg column_0_before;
  reg column_0_before_1;
  reg column_1_before;
  reg column_1_before_1;
  reg column_3_after;
  reg column_3_after_1;
  reg column_4_after;
  reg column_4_after_1;
  wire [31:0] delay_24_last;
  wire drain;
  reg [4:0] in_column;
  reg in_column_ends;
  reg in_launch;
  reg [4:0] in_row;
  reg in_row_ends;
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
  reg load_1;
  reg load_last_1;
  reg [4:0] out_column;
  reg out_column_ends;
  reg out_final;
  reg [4:0] out_row;
  reg out_row_ends;
  wire own;
  reg row_0_before;
  reg row_0_before_1;
  reg row_1_before;
  reg row_1_before_1;
  reg row_3_after;
  reg row_3_after_1;
  reg row_4_after;
  reg row_4_after_1;
  wire step;
  reg step_1;
  reg step_2;
  reg tap_0_0_pads_1;
  reg tap_0_1_pads_1;
  reg tap_0_2_pads_1;
  reg tap_0_3_pads_1;
  reg tap_0_4_pads_1;
  reg tap_1_0_pads_1;
  reg tap_1_1_pads_1;
  reg tap_1_2_pads_1;
  reg tap_1_3_pads_1;
  reg tap_1_4_pads_1;
  reg tap_2_0_pads_1;
  reg tap_2_1_pads_1;
  reg tap_2_3_pads_1;
  reg tap_2_4_pads_1;
  reg tap_3_0_pads_1;
  reg tap_3_1_pads_1;
  reg tap_3_2_pads_1;
  reg tap_3_3_pads_1;
  reg tap_3_4_pads_1;
  reg tap_4_0_pads_1;
  reg tap_4_1_pads_1;
  reg tap_4_2_pads_1;
  reg tap_4_3_pads_1;
  reg tap_4_4_pads_1;
  assign i__ready = ((~active) | (~o__valid)) | o__ready;
  assign step = i__ready & (i__valid | drain);
  assign own = step & (~drain);
  assign launch = own & in_launch;
  assign drain = (in_start & active) & (~i__valid);
  assign load = step & active;
  always @(posedge clk) begin
    beat_1 <= i__payload;
    beat_2 <= beat_1;
  end
  always @(posedge clk)
    if (rst) begin
      in_column_ends <= 1'h0;
      in_column <= 5'h01;
      in_start <= 1'h1;
      in_launch <= 1'h0;
    end else if (own) begin
      in_column_ends <= in_column == 5'h1a;
      in_column <= in_column_ends ? 5'h00 : (in_column + 5'h01);
      in_start <= (in_row == 5'h00) & (in_column == 5'h00);
      in_launch <= (in_row == 5'h02) & (in_column == 5'h01);
    end
  always @(posedge clk)
    if (rst) begin
      in_row_ends <= 1'h0;
      in_row <= 5'h00;
    end else if (in_column_ends & own) begin
      in_row_ends <= in_row == 5'h1a;
      in_row <= in_row_ends ? 5'h00 : (in_row + 5'h01);
    end
  always @(posedge clk)
    if (launch | rst) begin
      out_column_ends <= 1'h0;
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
      out_column_ends <= out_column == 5'h1a;
      out_column <= out_column_ends ? 5'h00 : (out_column + 5'h01);
      out_final <= (out_row == 5'h1b) & (out_column == 5'h1b);
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
    if (launch | rst) begin
      out_row_ends <= 1'h0;
      out_row <= 5'h00;
    end else if (out_column_ends & step) begin
      out_row_ends <= out_row == 5'h1a;
      out_row <= out_row_ends ? 5'h00 : (out_row + 5'h01);
    end
  always @(posedge clk)
    if (rst) begin
      active <= 1'h0;
      row_0_before_1 <= 1'h1;
      row_1_before_1 <= 1'h1;
      row_3_after_1 <= 1'h0;
      row_4_after_1 <= 1'h0;
      column_0_before_1 <= 1'h1;
      column_1_before_1 <= 1'h1;
      column_3_after_1 <= 1'h0;
      column_4_after_1 <= 1'h0;
      step_1 <= 1'h0;
      step_2 <= 1'h0;
      load_1 <= 1'h0;
      load_last_1 <= 1'h0;
      tap_0_0_pads_1 <= 1'h0;
      tap_0_1_pads_1 <= 1'h0;
      tap_0_2_pads_1 <= 1'h0;
      tap_0_3_pads_1 <= 1'h0;
      tap_0_4_pads_1 <= 1'h0;
      tap_1_0_pads_1 <= 1'h0;
      tap_1_1_pads_1 <= 1'h0;
      tap_1_2_pads_1 <= 1'h0;
      tap_1_3_pads_1 <= 1'h0;
      tap_1_4_pads_1 <= 1'h0;
      tap_2_0_pads_1 <= 1'h0;
      tap_2_1_pads_1 <= 1'h0;
      tap_2_3_pads_1 <= 1'h0;
      tap_2_4_pads_1 <= 1'h0;
      tap_3_0_pads_1 <= 1'h0;
      tap_3_1_pads_1 <= 1'h0;
      tap_3_2_pads_1 <= 1'h0;
      tap_3_3_pads_1 <= 1'h0;
      tap_3_4_pads_1 <= 1'h0;
      tap_4_0_pads_1 <= 1'h0;
      tap_4_1_pads_1 <= 1'h0;
      tap_4_2_pads_1 <= 1'h0;
      tap_4_3_pads_1 <= 1'h0;
      tap_4_4_pads_1 <= 1'h0;
      o__valid <= 1'h0;
    end else begin
      active <= launch ? 1'h1 : ((step & out_final) ? 1'h0 : active);
      row_0_before_1 <= row_0_before;
      row_1_before_1 <= row_1_before;
      row_3_after_1 <= row_3_after;
      row_4_after_1 <= row_4_after;
      column_0_before_1 <= column_0_before;
      column_1_before_1 <= column_1_before;
      column_3_after_1 <= column_3_after;
      column_4_after_1 <= column_4_after;
      step_1 <= step;
      step_2 <= step_1;
      load_1 <= load;
      load_last_1 <= load_1;
      tap_0_0_pads_1 <= load_1 & (column_0_before_1 | row_0_before_1);
      tap_0_1_pads_1 <= load_1 & (column_1_before_1 | row_0_before_1);
      tap_0_2_pads_1 <= load_1 & row_0_before_1;
      tap_0_3_pads_1 <= load_1 & (column_3_after_1 | row_0_before_1);
      tap_0_4_pads_1 <= load_1 & (column_4_after_1 | row_0_before_1);
      tap_1_0_pads_1 <= load_1 & (column_0_before_1 | row_1_before_1);
      tap_1_1_pads_1 <= load_1 & (column_1_before_1 | row_1_before_1);
      tap_1_2_pads_1 <= load_1 & row_1_before_1;
      tap_1_3_pads_1 <= load_1 & (column_3_after_1 | row_1_before_1);
      tap_1_4_pads_1 <= load_1 & (column_4_after_1 | row_1_before_1);
      tap_2_0_pads_1 <= load_1 & column_0_before_1;
      tap_2_1_pads_1 <= load_1 & column_1_before_1;
      tap_2_3_pads_1 <= load_1 & column_3_after_1;
      tap_2_4_pads_1 <= load_1 & column_4_after_1;
      tap_3_0_pads_1 <= load_1 & (column_0_before_1 | row_3_after_1);
      tap_3_1_pads_1 <= load_1 & (column_1_before_1 | row_3_after_1);
      tap_3_2_pads_1 <= load_1 & row_3_after_1;
      tap_3_3_pads_1 <= load_1 & (column_3_after_1 | row_3_after_1);
      tap_3_4_pads_1 <= load_1 & (column_4_after_1 | row_3_after_1);
      tap_4_0_pads_1 <= load_1 & (column_0_before_1 | row_4_after_1);
      tap_4_1_pads_1 <= load_1 & (column_1_before_1 | row_4_after_1);
      tap_4_2_pads_1 <= load_1 & row_4_after_1;
      tap_4_3_pads_1 <= load_1 & (column_3_after_1 | row_4_after_1);
      tap_4_4_pads_1 <= load_1 & (column_4_after_1 | row_4_after_1);
      o__valid <= load ? 1'h1 : (o__ready ? 1'h0 : o__valid);
    end
  always @(posedge clk)
    if (step_2) begin
      line_1 <= beat_2;
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
    if (tap_0_0_pads_1) tap_0_0 <= 8'h80;
    else if (load_last_1) tap_0_0 <= line_116;
  always @(posedge clk)
    if (tap_0_1_pads_1) tap_0_1 <= 8'h80;
    else if (load_last_1) tap_0_1 <= line_115;
  always @(posedge clk)
    if (tap_0_2_pads_1) tap_0_2 <= 8'h80;
    else if (load_last_1) tap_0_2 <= line_114;
  always @(posedge clk)
    if (tap_0_3_pads_1) tap_0_3 <= 8'h80;
    else if (load_last_1) tap_0_3 <= line_113;
  always @(posedge clk)
    if (tap_0_4_pads_1) tap_0_4 <= 8'h80;
    else if (load_last_1) tap_0_4 <= delay_24_last[31:24];
  always @(posedge clk)
    if (tap_1_0_pads_1) tap_1_0 <= 8'h80;
    else if (load_last_1) tap_1_0 <= line_88;
  always @(posedge clk)
    if (tap_1_1_pads_1) tap_1_1 <= 8'h80;
    else if (load_last_1) tap_1_1 <= line_87;
  always @(posedge clk)
    if (tap_1_2_pads_1) tap_1_2 <= 8'h80;
    else if (load_last_1) tap_1_2 <= line_86;
  always @(posedge clk)
    if (tap_1_3_pads_1) tap_1_3 <= 8'h80;
    else if (load_last_1) tap_1_3 <= line_85;
  always @(posedge clk)
    if (tap_1_4_pads_1) tap_1_4 <= 8'h80;
    else if (load_last_1) tap_1_4 <= delay_24_last[23:16];
  always @(posedge clk)
    if (tap_2_0_pads_1) tap_2_0 <= 8'h80;
    else if (load_last_1) tap_2_0 <= line_60;
  always @(posedge clk)
    if (tap_2_1_pads_1) tap_2_1 <= 8'h80;
    else if (load_last_1) tap_2_1 <= line_59;
  always @(posedge clk)
    if (load_last_1) tap_2_2 <= line_58;
  always @(posedge clk)
    if (tap_2_3_pads_1) tap_2_3 <= 8'h80;
    else if (load_last_1) tap_2_3 <= line_57;
  always @(posedge clk)
    if (tap_2_4_pads_1) tap_2_4 <= 8'h80;
    else if (load_last_1) tap_2_4 <= delay_24_last[15:8];
  always @(posedge clk)
    if (tap_3_0_pads_1) tap_3_0 <= 8'h80;
    else if (load_last_1) tap_3_0 <= line_32;
  always @(posedge clk)
    if (tap_3_1_pads_1) tap_3_1 <= 8'h80;
    else if (load_last_1) tap_3_1 <= line_31;
  always @(posedge clk)
    if (tap_3_2_pads_1) tap_3_2 <= 8'h80;
    else if (load_last_1) tap_3_2 <= line_30;
  always @(posedge clk)
    if (tap_3_3_pads_1) tap_3_3 <= 8'h80;
    else if (load_last_1) tap_3_3 <= line_29;
  always @(posedge clk)
    if (tap_3_4_pads_1) tap_3_4 <= 8'h80;
    else if (load_last_1) tap_3_4 <= delay_24_last[7:0];
  always @(posedge clk)
    if (tap_4_0_pads_1) tap_4_0 <= 8'h80;
    else if (load_last_1) tap_4_0 <= line_4;
  always @(posedge clk)
    if (tap_4_1_pads_1) tap_4_1 <= 8'h80;
    else if (load_last_1) tap_4_1 <= line_3;
  always @(posedge clk)
    if (tap_4_2_pads_1) tap_4_2 <= 8'h80;
    else if (load_last_1) tap_4_2 <= line_2;
  always @(posedge clk)
    if (tap_4_3_pads_1) tap_4_3 <= 8'h80;
    else if (load_last_1) tap_4_3 <= line_1;
  always @(posedge clk)
    if (tap_4_4_pads_1) tap_4_4 <= 8'h80;
    else if (load_last_1) tap_4_4 <= beat_2;
  lenet5_conv1_window_delay_24 delay_24 (
    .clk(clk),
    .en(step_2),
    .i__0(line_4),
    .i__1(line_32),
    .i__2(line_60),
    .i__3(line_88),
    .last(delay_24_last),
    .rst(rst)
  );
endmodule
