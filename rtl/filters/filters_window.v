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
  reg active;
  reg [7:0] beat_1;
  reg [7:0] beat_2;
  reg column_0_before;
  reg column_0_before_1;
  reg column_2_after;
  reg column_2_after_1;
  wire [15:0] delay_62_last;
  wire drain;
  reg [5:0] in_column;
  reg in_column_ends;
  reg in_launch;
  reg [5:0] in_row;
  reg in_row_ends;
  reg in_start;
  wire launch;
  reg [7:0] line_1;
  reg [7:0] line_129;
  reg [7:0] line_130;
  reg [7:0] line_2;
  reg [7:0] line_65;
  reg [7:0] line_66;
  wire load;
  reg load_1;
  reg load_last_1;
  reg [5:0] out_column;
  reg out_column_ends;
  reg out_final;
  reg [5:0] out_row;
  reg out_row_ends;
  wire own;
  reg row_0_before;
  reg row_0_before_1;
  reg row_2_after;
  reg row_2_after_1;
  wire step;
  reg step_1;
  reg step_2;
  reg tap_0_0_pads_1;
  reg tap_0_1_pads_1;
  reg tap_0_2_pads_1;
  reg tap_1_0_pads_1;
  reg tap_1_2_pads_1;
  reg tap_2_0_pads_1;
  reg tap_2_1_pads_1;
  reg tap_2_2_pads_1;
  assign _0_ = in_column == 6'h00;
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
      in_column <= 6'h01;
      in_start <= 1'h1;
      in_launch <= 1'h0;
    end else if (own) begin
      in_column_ends <= in_column == 6'h3e;
      in_column <= in_column_ends ? 6'h00 : (in_column + 6'h01);
      in_start <= (in_row == 6'h00) & _0_;
      in_launch <= (in_row == 6'h01) & _0_;
    end
  always @(posedge clk)
    if (rst) begin
      in_row_ends <= 1'h0;
      in_row <= 6'h00;
    end else if (in_column_ends & own) begin
      in_row_ends <= in_row == 6'h3e;
      in_row <= in_row_ends ? 6'h00 : (in_row + 6'h01);
    end
  always @(posedge clk)
    if (launch | rst) begin
      out_column_ends <= 1'h0;
      out_column <= 6'h01;
      out_final <= 1'h0;
      row_0_before <= 1'h1;
      row_2_after <= 1'h0;
      column_0_before <= 1'h1;
      column_2_after <= 1'h0;
    end else if (step) begin
      out_column_ends <= out_column == 6'h3e;
      out_column <= out_column_ends ? 6'h00 : (out_column + 6'h01);
      out_final <= (out_row == 6'h3f) & (out_column == 6'h3f);
      row_0_before <= out_row < 6'h01;
      row_2_after <= out_row >= 6'h3f;
      column_0_before <= out_column < 6'h01;
      column_2_after <= out_column >= 6'h3f;
    end
  always @(posedge clk)
    if (launch | rst) begin
      out_row_ends <= 1'h0;
      out_row <= 6'h00;
    end else if (out_column_ends & step) begin
      out_row_ends <= out_row == 6'h3e;
      out_row <= out_row_ends ? 6'h00 : (out_row + 6'h01);
    end
  always @(posedge clk)
    if (rst) begin
      active <= 1'h0;
      row_0_before_1 <= 1'h1;
      row_2_after_1 <= 1'h0;
      column_0_before_1 <= 1'h1;
      column_2_after_1 <= 1'h0;
      step_1 <= 1'h0;
      step_2 <= 1'h0;
      load_1 <= 1'h0;
      load_last_1 <= 1'h0;
      tap_0_0_pads_1 <= 1'h0;
      tap_0_1_pads_1 <= 1'h0;
      tap_0_2_pads_1 <= 1'h0;
      tap_1_0_pads_1 <= 1'h0;
      tap_1_2_pads_1 <= 1'h0;
      tap_2_0_pads_1 <= 1'h0;
      tap_2_1_pads_1 <= 1'h0;
      tap_2_2_pads_1 <= 1'h0;
      o__valid <= 1'h0;
    end else begin
      active <= launch ? 1'h1 : ((step & out_final) ? 1'h0 : active);
      row_0_before_1 <= row_0_before;
      row_2_after_1 <= row_2_after;
      column_0_before_1 <= column_0_before;
      column_2_after_1 <= column_2_after;
      step_1 <= step;
      step_2 <= step_1;
      load_1 <= load;
      load_last_1 <= load_1;
      tap_0_0_pads_1 <= load_1 & (column_0_before_1 | row_0_before_1);
      tap_0_1_pads_1 <= load_1 & row_0_before_1;
      tap_0_2_pads_1 <= load_1 & (column_2_after_1 | row_0_before_1);
      tap_1_0_pads_1 <= load_1 & column_0_before_1;
      tap_1_2_pads_1 <= load_1 & column_2_after_1;
      tap_2_0_pads_1 <= load_1 & (column_0_before_1 | row_2_after_1);
      tap_2_1_pads_1 <= load_1 & row_2_after_1;
      tap_2_2_pads_1 <= load_1 & (column_2_after_1 | row_2_after_1);
      o__valid <= load ? 1'h1 : (o__ready ? 1'h0 : o__valid);
    end
  always @(posedge clk)
    if (step_2) begin
      line_1 <= beat_2;
      line_2 <= line_1;
      line_65 <= delay_62_last[7:0];
      line_66 <= line_65;
      line_129 <= delay_62_last[15:8];
      line_130 <= line_129;
    end
  always @(posedge clk)
    if (tap_0_0_pads_1) tap_0_0 <= 8'h00;
    else if (load_last_1) tap_0_0 <= line_130;
  always @(posedge clk)
    if (tap_0_1_pads_1) tap_0_1 <= 8'h00;
    else if (load_last_1) tap_0_1 <= line_129;
  always @(posedge clk)
    if (tap_0_2_pads_1) tap_0_2 <= 8'h00;
    else if (load_last_1) tap_0_2 <= delay_62_last[15:8];
  always @(posedge clk)
    if (tap_1_0_pads_1) tap_1_0 <= 8'h00;
    else if (load_last_1) tap_1_0 <= line_66;
  always @(posedge clk)
    if (load_last_1) tap_1_1 <= line_65;
  always @(posedge clk)
    if (tap_1_2_pads_1) tap_1_2 <= 8'h00;
    else if (load_last_1) tap_1_2 <= delay_62_last[7:0];
  always @(posedge clk)
    if (tap_2_0_pads_1) tap_2_0 <= 8'h00;
    else if (load_last_1) tap_2_0 <= line_2;
  always @(posedge clk)
    if (tap_2_1_pads_1) tap_2_1 <= 8'h00;
    else if (load_last_1) tap_2_1 <= line_1;
  always @(posedge clk)
    if (tap_2_2_pads_1) tap_2_2 <= 8'h00;
    else if (load_last_1) tap_2_2 <= beat_2;
  filters_window_delay_62 delay_62 (
    .clk(clk),
    .en(step_2),
    .i__0(line_2),
    .i__1(line_66),
    .last(delay_62_last),
    .rst(rst)
  );
endmodule
