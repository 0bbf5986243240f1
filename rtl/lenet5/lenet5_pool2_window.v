// Part of lenet5.

module lenet5_pool2_window(
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
  wire [2:0] _6_;
  wire _7_;
  wire _8_;
  wire _9_;
  wire _10_;
  wire _11_;
  wire _12_;
  reg active;
  wire [15:0] delay_16_last;
  reg [3:0] in_column;
  reg [3:0] in_group;
  reg in_launch;
  reg [3:0] in_row;
  wire launch;
  wire leaves;
  wire [7:0] line_160;
  wire load;
  reg [2:0] out_column;
  reg out_column_phase;
  reg out_final;
  reg [3:0] out_group;
  reg out_leaves;
  reg [2:0] out_row;
  reg out_row_phase;
  wire own;
  assign _1_ = in_column == 4'h9;
  assign _5_ = out_column_phase + 1'h1;
  assign _6_ = out_column + 3'h1;
  assign _4_ = _3_ & out_column_phase;
  assign _0_ = in_group == 4'hf;
  assign _8_ = (out_row == 3'h4) & _7_;
  assign _3_ = out_column == 3'h4;
  assign _2_ = out_group == 4'hf;
  assign _7_ = !out_row_phase;
  assign _9_ = !out_column_phase;
  assign i__ready = ((~leaves) | (~o__valid)) | o__ready;
  assign own = i__ready & i__valid;
  assign launch = own & in_launch;
  assign leaves = active & out_leaves;
  assign load = own & leaves;
  always @(posedge clk)
    if (rst) begin
      in_group <= 4'h1;
      in_launch <= 1'h0;
    end else if (own) begin
      in_group <= _0_ ? 4'h0 : (in_group + 4'h1);
      in_launch <= ((in_row == 4'h1) & (in_column == 4'h0)) & _0_;
    end
  always @(posedge clk)
    if (rst) in_column <= 4'h0;
    else if (own & _0_) in_column <= _1_ ? 4'h0 : (in_column + 4'h1);
  always @(posedge clk)
    if (rst) in_row <= 4'h0;
    else if (_10_) in_row <= (in_row == 4'h9) ? 4'h0 : (in_row + 4'h1);
  always @(posedge clk)
    if (launch | rst) begin
      out_group <= 4'h1;
      out_final <= 1'h0;
      out_leaves <= 1'h1;
    end else if (own) begin
      out_group <= _2_ ? 4'h0 : (out_group + 4'h1);
      out_final <= (_8_ & (_3_ & _9_)) & _2_;
      out_leaves <= _7_ & _9_;
    end
  always @(posedge clk)
    if (launch | rst) begin
      out_column <= 3'h0;
      out_column_phase <= 1'h0;
    end else if (own & _2_) begin
      out_column <= _4_ ? 3'h0 : (out_column_phase ? _6_ : out_column);
      out_column_phase <= _4_ ? 1'h0 : (out_column_phase ? 1'h0 : _5_);
    end
  always @(posedge clk)
    if (launch | rst) out_row <= 3'h0;
    else if (_11_) out_row <= _8_ ? 3'h0 : (out_row_phase ? (out_row + 3'h1) : out_row);
  always @(posedge clk)
    if (launch | rst) out_row_phase <= 1'h0;
    else if (_12_) out_row_phase <= _8_ ? 1'h0 : (out_row_phase ? 1'h0 : (out_row_phase + 1'h1));
  always @(posedge clk)
    if (rst) begin
      active <= 1'h0;
      o__valid <= 1'h0;
    end else begin
      active <= launch ? 1'h1 : ((own & out_final) ? 1'h0 : active);
      o__valid <= load ? 1'h1 : (o__ready ? 1'h0 : o__valid);
    end
  always @(posedge clk)
    if (load) begin
      tap_0_0 <= delay_16_last[15:8];
      tap_0_1 <= line_160;
      tap_1_0 <= delay_16_last[7:0];
      tap_1_1 <= i__payload;
    end
  assign _10_ = own & _1_ & _0_;
  assign _11_ = own & _4_ & _2_;
  assign _12_ = own & _4_ & _2_;
  lenet5_pool2_window_delay_144 delay_144 (
    .clk(clk),
    .en(own),
    .i__0(delay_16_last[7:0]),
    .last(line_160),
    .rst(rst)
  );
  lenet5_pool2_window_delay_16 delay_16 (
    .clk(clk),
    .en(own),
    .i__0(i__payload),
    .i__1(line_160),
    .last(delay_16_last),
    .rst(rst)
  );
endmodule
