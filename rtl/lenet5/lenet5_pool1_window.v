// Part of lenet5.

module lenet5_pool1_window(
  input wire clk,
  input wire rst,
  input wire [7:0] i__payload,
  output wire i__ready,
  input wire i__valid,
  input wire o__ready,
  output reg o__valid,
  output reg [7:0] tap_0_0,
  output reg [7:0] tap_0_1,
  output reg [7:0] tap_1_0,
  output reg [7:0] tap_1_1
);
  wire _0_;
  wire _1_;
  wire _2_;
  wire _3_;
  wire _4_;
  wire _5_;
  wire _6_;
  wire _7_;
  wire _8_;
  wire _9_;
  wire [3:0] _10_;
  reg active;
  reg [7:0] beat_1;
  reg [7:0] beat_2;
  wire [15:0] delay_6_last;
  reg [4:0] in_column;
  reg in_column_ends;
  reg [2:0] in_group;
  reg in_group_ends;
  reg in_launch;
  reg [4:0] in_row;
  reg in_row_ends;
  wire launch;
  wire leaves;
  wire [7:0] line_168;
  wire load;
  reg load_1;
  reg load_last_1;
  reg [3:0] out_column;
  reg out_column_ends;
  reg out_column_phase;
  reg out_final;
  reg [2:0] out_group;
  reg out_group_ends;
  reg out_leaves;
  reg [3:0] out_row;
  reg out_row_ends;
  reg out_row_phase;
  wire own;
  reg step_1;
  reg step_2;
  assign _2_ = out_row_phase + 1'h1;
  assign _1_ = (out_column == 4'hd) & _0_;
  assign _3_ = !out_row_phase;
  assign _0_ = !out_column_phase;
  assign i__ready = ((~leaves) | (~o__valid)) | o__ready;
  assign own = i__ready & i__valid;
  assign launch = own & in_launch;
  assign leaves = active & out_leaves;
  assign load = own & leaves;
  always @(posedge clk) begin
    beat_1 <= i__payload;
    beat_2 <= beat_1;
  end
  always @(posedge clk)
    if (rst) begin
      in_group_ends <= 1'h0;
      in_group <= 3'h1;
      in_launch <= 1'h0;
    end else if (own) begin
      in_group_ends <= in_group == 3'h4;
      in_group <= in_group_ends ? 3'h0 : (in_group + 3'h1);
      in_launch <= ((in_row == 5'h01) & (in_column == 5'h00)) & (in_group == 3'h5);
    end
  always @(posedge clk)
    if (rst) begin
      in_column_ends <= 1'h0;
      in_column <= 5'h00;
    end else if (in_group_ends & own) begin
      in_column_ends <= in_column == 5'h1a;
      in_column <= in_column_ends ? 5'h00 : (in_column + 5'h01);
    end
  always @(posedge clk)
    if (rst) in_row_ends <= 1'h0;
    else if (_4_) in_row_ends <= in_row == 5'h1a;
  always @(posedge clk)
    if (rst) in_row <= 5'h00;
    else if (_5_) in_row <= in_row_ends ? 5'h00 : (in_row + 5'h01);
  always @(posedge clk)
    if (launch | rst) begin
      out_group_ends <= 1'h0;
      out_group <= 3'h1;
      out_final <= 1'h0;
      out_leaves <= 1'h1;
    end else if (own) begin
      out_group_ends <= out_group == 3'h4;
      out_group <= out_group_ends ? 3'h0 : (out_group + 3'h1);
      out_final <= (((out_row == 4'hd) & _3_) & _1_) & (out_group == 3'h5);
      out_leaves <= _3_ & _0_;
    end
  always @(posedge clk)
    if (launch | rst) begin
      out_column_ends <= 1'h0;
      out_column <= 4'h0;
      out_column_phase <= 1'h0;
    end else if (out_group_ends & own) begin
      out_column_ends <= _1_;
      out_column <= out_column_ends ? 4'h0 : _10_;
      out_column_phase <= out_column_ends ? 1'h0 : _9_;
    end
  always @(posedge clk)
    if (launch | rst) out_row_ends <= 1'h0;
    else if (_6_) out_row_ends <= (out_row == 4'hc) & out_row_phase;
  always @(posedge clk)
    if (launch | rst) out_row <= 4'h0;
    else if (_7_) out_row <= out_row_ends ? 4'h0 : (out_row_phase ? (out_row + 4'h1) : out_row);
  always @(posedge clk)
    if (launch | rst) out_row_phase <= 1'h0;
    else if (_8_) out_row_phase <= out_row_ends ? 1'h0 : (out_row_phase ? 1'h0 : _2_);
  always @(posedge clk)
    if (rst) begin
      active <= 1'h0;
      step_1 <= 1'h0;
      step_2 <= 1'h0;
      load_1 <= 1'h0;
      load_last_1 <= 1'h0;
      o__valid <= 1'h0;
    end else begin
      active <= launch ? 1'h1 : ((own & out_final) ? 1'h0 : active);
      step_1 <= own;
      step_2 <= step_1;
      load_1 <= load;
      load_last_1 <= load_1;
      o__valid <= load ? 1'h1 : (o__ready ? 1'h0 : o__valid);
    end
  always @(posedge clk)
    if (load_last_1) begin
      tap_0_0 <= delay_6_last[15:8];
      tap_0_1 <= line_168;
      tap_1_0 <= delay_6_last[7:0];
      tap_1_1 <= beat_2;
    end
  assign _4_ = in_column_ends & in_group_ends & own;
  assign _5_ = in_column_ends & in_group_ends & own;
  assign _6_ = out_column_ends & out_group_ends & own;
  assign _7_ = out_column_ends & out_group_ends & own;
  assign _8_ = out_column_ends & out_group_ends & own;
  assign _9_ = out_column_phase ? 1'h0 : (out_column_phase + 1'h1);
  assign _10_ = out_column_phase ? (out_column + 4'h1) : out_column;
  lenet5_pool1_window_delay_162 delay_162 (
    .clk(clk),
    .en(step_2),
    .i__0(delay_6_last[7:0]),
    .last(line_168),
    .rst(rst)
  );
  lenet5_pool1_window_delay_6 delay_6 (
    .clk(clk),
    .en(step_2),
    .i__0(beat_2),
    .i__1(line_168),
    .last(delay_6_last),
    .rst(rst)
  );
endmodule
