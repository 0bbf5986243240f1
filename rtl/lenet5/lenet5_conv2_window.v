// Part of lenet5.

module lenet5_conv2_window(
  input wire clk,
  input wire rst,
  input wire [15:0] i__payload,
  output wire i__ready,
  input wire i__valid,
  input wire o__ready,
  output reg o__valid,
  output reg [15:0] tap_0_0,
  output reg [15:0] tap_0_1,
  output reg [15:0] tap_0_2,
  output reg [15:0] tap_0_3,
  output reg [15:0] tap_0_4,
  output reg [15:0] tap_1_0,
  output reg [15:0] tap_1_1,
  output reg [15:0] tap_1_2,
  output reg [15:0] tap_1_3,
  output reg [15:0] tap_1_4,
  output reg [15:0] tap_2_0,
  output reg [15:0] tap_2_1,
  output reg [15:0] tap_2_2,
  output reg [15:0] tap_2_3,
  output reg [15:0] tap_2_4,
  output reg [15:0] tap_3_0,
  output reg [15:0] tap_3_1,
  output reg [15:0] tap_3_2,
  output reg [15:0] tap_3_3,
  output reg [15:0] tap_3_4,
  output reg [15:0] tap_4_0,
  output reg [15:0] tap_4_1,
  output reg [15:0] tap_4_2,
  output reg [15:0] tap_4_3,
  output reg [15:0] tap_4_4
);
  wire _0_;
  wire _1_;
  wire _2_;
  wire _3_;
  reg active;
  reg [15:0] beat_1;
  reg [15:0] beat_2;
  wire [63:0] delay_30_last;
  reg [3:0] in_column;
  reg in_column_ends;
  reg [1:0] in_group;
  reg in_group_ends;
  reg in_launch;
  reg [3:0] in_row;
  reg in_row_ends;
  wire launch;
  wire leaves;
  reg [15:0] line_1;
  reg [15:0] line_10;
  reg [15:0] line_11;
  reg [15:0] line_12;
  reg [15:0] line_127;
  reg [15:0] line_128;
  reg [15:0] line_129;
  reg [15:0] line_130;
  reg [15:0] line_131;
  reg [15:0] line_132;
  reg [15:0] line_133;
  reg [15:0] line_134;
  reg [15:0] line_135;
  reg [15:0] line_136;
  reg [15:0] line_137;
  reg [15:0] line_138;
  reg [15:0] line_169;
  reg [15:0] line_170;
  reg [15:0] line_171;
  reg [15:0] line_172;
  reg [15:0] line_173;
  reg [15:0] line_174;
  reg [15:0] line_175;
  reg [15:0] line_176;
  reg [15:0] line_177;
  reg [15:0] line_178;
  reg [15:0] line_179;
  reg [15:0] line_180;
  reg [15:0] line_2;
  reg [15:0] line_3;
  reg [15:0] line_4;
  reg [15:0] line_43;
  reg [15:0] line_44;
  reg [15:0] line_45;
  reg [15:0] line_46;
  reg [15:0] line_47;
  reg [15:0] line_48;
  reg [15:0] line_49;
  reg [15:0] line_5;
  reg [15:0] line_50;
  reg [15:0] line_51;
  reg [15:0] line_52;
  reg [15:0] line_53;
  reg [15:0] line_54;
  reg [15:0] line_6;
  reg [15:0] line_7;
  reg [15:0] line_8;
  reg [15:0] line_85;
  reg [15:0] line_86;
  reg [15:0] line_87;
  reg [15:0] line_88;
  reg [15:0] line_89;
  reg [15:0] line_9;
  reg [15:0] line_90;
  reg [15:0] line_91;
  reg [15:0] line_92;
  reg [15:0] line_93;
  reg [15:0] line_94;
  reg [15:0] line_95;
  reg [15:0] line_96;
  wire load;
  reg load_1;
  reg load_last_1;
  reg [3:0] out_column;
  reg out_column_ends;
  reg out_final;
  reg [1:0] out_group;
  reg out_group_ends;
  reg out_leaves;
  reg [3:0] out_row;
  reg out_row_ends;
  wire own;
  reg step_1;
  reg step_2;
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
      in_group <= 2'h1;
      in_launch <= 1'h0;
    end else if (own) begin
      in_group_ends <= in_group == 2'h1;
      in_group <= in_group_ends ? 2'h0 : (in_group + 2'h1);
      in_launch <= ((in_row == 4'h4) & (in_column == 4'h3)) & (in_group == 2'h2);
    end
  always @(posedge clk)
    if (rst) begin
      in_column_ends <= 1'h0;
      in_column <= 4'h0;
    end else if (in_group_ends & own) begin
      in_column_ends <= in_column == 4'hc;
      in_column <= in_column_ends ? 4'h0 : (in_column + 4'h1);
    end
  always @(posedge clk)
    if (rst) in_row_ends <= 1'h0;
    else if (_0_) in_row_ends <= in_row == 4'hc;
  always @(posedge clk)
    if (rst) in_row <= 4'h0;
    else if (_1_) in_row <= in_row_ends ? 4'h0 : (in_row + 4'h1);
  always @(posedge clk)
    if (launch | rst) begin
      out_group_ends <= 1'h0;
      out_group <= 2'h1;
      out_final <= 1'h0;
      out_leaves <= 1'h1;
    end else if (own) begin
      out_group_ends <= out_group == 2'h1;
      out_group <= out_group_ends ? 2'h0 : (out_group + 2'h1);
      out_final <= ((out_row == 4'h9) & (out_column == 4'h9)) & (out_group == 2'h2);
      out_leaves <= out_column < 4'ha;
    end
  always @(posedge clk)
    if (launch | rst) begin
      out_column_ends <= 1'h0;
      out_column <= 4'h0;
    end else if (out_group_ends & own) begin
      out_column_ends <= out_column == 4'hc;
      out_column <= out_column_ends ? 4'h0 : (out_column + 4'h1);
    end
  always @(posedge clk)
    if (launch | rst) out_row_ends <= 1'h0;
    else if (_2_) out_row_ends <= out_row == 4'h8;
  always @(posedge clk)
    if (launch | rst) out_row <= 4'h0;
    else if (_3_) out_row <= out_row_ends ? 4'h0 : (out_row + 4'h1);
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
    if (step_2) begin
      line_1 <= beat_2;
      line_2 <= line_1;
      line_3 <= line_2;
      line_4 <= line_3;
      line_5 <= line_4;
      line_6 <= line_5;
      line_7 <= line_6;
      line_8 <= line_7;
      line_9 <= line_8;
      line_10 <= line_9;
      line_11 <= line_10;
      line_12 <= line_11;
      line_43 <= delay_30_last[15:0];
      line_44 <= line_43;
      line_45 <= line_44;
      line_46 <= line_45;
      line_47 <= line_46;
      line_48 <= line_47;
      line_49 <= line_48;
      line_50 <= line_49;
      line_51 <= line_50;
      line_52 <= line_51;
      line_53 <= line_52;
      line_54 <= line_53;
      line_85 <= delay_30_last[31:16];
      line_86 <= line_85;
      line_87 <= line_86;
      line_88 <= line_87;
      line_89 <= line_88;
      line_90 <= line_89;
      line_91 <= line_90;
      line_92 <= line_91;
      line_93 <= line_92;
      line_94 <= line_93;
      line_95 <= line_94;
      line_96 <= line_95;
      line_127 <= delay_30_last[47:32];
      line_128 <= line_127;
      line_129 <= line_128;
      line_130 <= line_129;
      line_131 <= line_130;
      line_132 <= line_131;
      line_133 <= line_132;
      line_134 <= line_133;
      line_135 <= line_134;
      line_136 <= line_135;
      line_137 <= line_136;
      line_138 <= line_137;
      line_169 <= delay_30_last[63:48];
      line_170 <= line_169;
      line_171 <= line_170;
      line_172 <= line_171;
      line_173 <= line_172;
      line_174 <= line_173;
      line_175 <= line_174;
      line_176 <= line_175;
      line_177 <= line_176;
      line_178 <= line_177;
      line_179 <= line_178;
      line_180 <= line_179;
    end
  always @(posedge clk)
    if (load_last_1) begin
      tap_0_0 <= line_180;
      tap_0_1 <= line_177;
      tap_0_2 <= line_174;
      tap_0_3 <= line_171;
      tap_0_4 <= delay_30_last[63:48];
      tap_1_0 <= line_138;
      tap_1_1 <= line_135;
      tap_1_2 <= line_132;
      tap_1_3 <= line_129;
      tap_1_4 <= delay_30_last[47:32];
      tap_2_0 <= line_96;
      tap_2_1 <= line_93;
      tap_2_2 <= line_90;
      tap_2_3 <= line_87;
      tap_2_4 <= delay_30_last[31:16];
      tap_3_0 <= line_54;
      tap_3_1 <= line_51;
      tap_3_2 <= line_48;
      tap_3_3 <= line_45;
      tap_3_4 <= delay_30_last[15:0];
      tap_4_0 <= line_12;
      tap_4_1 <= line_9;
      tap_4_2 <= line_6;
      tap_4_3 <= line_3;
      tap_4_4 <= beat_2;
    end
  assign _0_ = in_column_ends & in_group_ends & own;
  assign _1_ = in_column_ends & in_group_ends & own;
  assign _2_ = out_column_ends & out_group_ends & own;
  assign _3_ = out_column_ends & out_group_ends & own;
  lenet5_conv2_window_delay_30 delay_30 (
    .clk(clk),
    .en(step_2),
    .i__0(line_12),
    .i__1(line_54),
    .i__2(line_96),
    .i__3(line_138),
    .last(delay_30_last),
    .rst(rst)
  );
endmodule
