// Part of lenet5.

module lenet5_conv2_mac(
  input wire clk,
  input wire rst,
  input wire [15:0] i__payload_0,
  input wire [15:0] i__payload_1,
  input wire [15:0] i__payload_10,
  input wire [15:0] i__payload_11,
  input wire [15:0] i__payload_12,
  input wire [15:0] i__payload_13,
  input wire [15:0] i__payload_14,
  input wire [15:0] i__payload_15,
  input wire [15:0] i__payload_16,
  input wire [15:0] i__payload_17,
  input wire [15:0] i__payload_18,
  input wire [15:0] i__payload_19,
  input wire [15:0] i__payload_2,
  input wire [15:0] i__payload_20,
  input wire [15:0] i__payload_21,
  input wire [15:0] i__payload_22,
  input wire [15:0] i__payload_23,
  input wire [15:0] i__payload_24,
  input wire [15:0] i__payload_3,
  input wire [15:0] i__payload_4,
  input wire [15:0] i__payload_5,
  input wire [15:0] i__payload_6,
  input wire [15:0] i__payload_7,
  input wire [15:0] i__payload_8,
  input wire [15:0] i__payload_9,
  output wire i__ready,
  input wire i__valid,
  output wire [7:0] o__payload,
  input wire o__ready,
  output wire o__valid
);
  wire [20:0] _0_;
  wire [16:0] _1_;
  wire [16:0] _2_;
  wire [16:0] _3_;
  wire [16:0] _4_;
  wire [16:0] _5_;
  wire [16:0] _6_;
  wire [16:0] _7_;
  wire [16:0] _8_;
  wire [18:0] _9_;
  wire [18:0] _10_;
  wire [18:0] _11_;
  wire [18:0] _12_;
  wire [18:0] _13_;
  wire [18:0] _14_;
  wire [20:0] _15_;
  wire [20:0] _16_;
  wire _17_;
  wire [3:0] _18_;
  wire _19_;
  wire [16:0] _20_;
  wire [16:0] _21_;
  wire [16:0] _22_;
  wire [16:0] _23_;
  wire [16:0] _24_;
  wire [16:0] _25_;
  wire [16:0] _26_;
  wire [16:0] _27_;
  wire [16:0] _28_;
  wire [16:0] _29_;
  wire [16:0] _30_;
  wire [16:0] _31_;
  wire [16:0] _32_;
  wire [16:0] _33_;
  wire [16:0] _34_;
  wire [16:0] _35_;
  reg [1:0] beat;
  reg [20:0] biases_data;
  reg [3:0] channel;
  reg [3:0] channel_1;
  reg [3:0] channel_2;
  reg [3:0] channel_3;
  reg [3:0] channel_4;
  reg [3:0] channel_late_1;
  wire go;
  reg go_1;
  reg go_2;
  reg go_3;
  reg go_4;
  reg go_5;
  wire [7:0] i_payload;
  reg i_valid;
  wire issue;
  reg issue_1;
  reg issue_2;
  reg issue_3;
  reg issue_4;
  reg issue_5;
  reg issue_6;
  reg issue_7;
  reg issue_8;
  reg issue_9;
  reg [16:0] multiplier;
  reg [399:0] operands_0;
  reg [3:0] output_;
  reg [3:0] output_1;
  reg [3:0] output_2;
  reg [3:0] output_3;
  reg [3:0] output_4;
  reg [3:0] output_5;
  wire [20:0] partial_sums_data;
  reg [15:0] product_0_0;
  reg [15:0] product_0_1;
  reg [15:0] product_0_10;
  reg [15:0] product_0_11;
  reg [15:0] product_0_12;
  reg [15:0] product_0_13;
  reg [15:0] product_0_14;
  reg [15:0] product_0_15;
  reg [15:0] product_0_16;
  reg [15:0] product_0_17;
  reg [15:0] product_0_18;
  reg [15:0] product_0_19;
  reg [15:0] product_0_2;
  reg [15:0] product_0_20;
  reg [15:0] product_0_21;
  reg [15:0] product_0_22;
  reg [15:0] product_0_23;
  reg [15:0] product_0_24;
  reg [15:0] product_0_25;
  reg [15:0] product_0_26;
  reg [15:0] product_0_27;
  reg [15:0] product_0_28;
  reg [15:0] product_0_29;
  reg [15:0] product_0_3;
  reg [15:0] product_0_30;
  reg [15:0] product_0_31;
  reg [15:0] product_0_32;
  reg [15:0] product_0_33;
  reg [15:0] product_0_34;
  reg [15:0] product_0_35;
  reg [15:0] product_0_36;
  reg [15:0] product_0_37;
  reg [15:0] product_0_38;
  reg [15:0] product_0_39;
  reg [15:0] product_0_4;
  reg [15:0] product_0_40;
  reg [15:0] product_0_41;
  reg [15:0] product_0_42;
  reg [15:0] product_0_43;
  reg [15:0] product_0_44;
  reg [15:0] product_0_45;
  reg [15:0] product_0_46;
  reg [15:0] product_0_47;
  reg [15:0] product_0_48;
  reg [15:0] product_0_49;
  reg [15:0] product_0_5;
  reg [15:0] product_0_6;
  reg [15:0] product_0_7;
  reg [15:0] product_0_8;
  reg [15:0] product_0_9;
  wire puts;
  wire room;
  wire starts;
  reg starts_1;
  reg starts_2;
  reg starts_3;
  reg starts_4;
  reg starts_5;
  reg [17:0] sum_0_2_0;
  reg [17:0] sum_0_2_1;
  reg [17:0] sum_0_2_10;
  reg [17:0] sum_0_2_11;
  reg [16:0] sum_0_2_12;
  reg [17:0] sum_0_2_2;
  reg [17:0] sum_0_2_3;
  reg [17:0] sum_0_2_4;
  reg [17:0] sum_0_2_5;
  reg [17:0] sum_0_2_6;
  reg [17:0] sum_0_2_7;
  reg [17:0] sum_0_2_8;
  reg [17:0] sum_0_2_9;
  reg [19:0] sum_0_4_0;
  reg [19:0] sum_0_4_1;
  reg [19:0] sum_0_4_2;
  reg [16:0] sum_0_4_3;
  reg [20:0] sum_0_6_0;
  reg [20:0] totals;
  reg [399:0] weights_data;
  reg [5:0] word;
  reg [20:0] biases [0:15];
  initial $readmemb("lenet5_conv2_mac_biases.mem", biases);
  always @(posedge clk) biases_data <= biases[channel_4];
  reg [16:0] factors [0:15];
  initial $readmemb("lenet5_conv2_mac_factors.mem", factors);
  always @(posedge clk) multiplier <= factors[channel_late_1];
  reg [20:0] partial_sums [0:15];
  always @(posedge clk) if (go_5) partial_sums[output_5] <= _0_;
  assign partial_sums_data = partial_sums[output_5];
  reg [399:0] weights [0:47];
  initial $readmemb("lenet5_conv2_mac_weights.mem", weights);
  always @(posedge clk) weights_data <= weights[word];
  assign go = i__valid & _19_;
  assign issue = go & puts;
  assign starts = beat == 2'h0;
  assign _19_ = (~puts) | room;
  assign i__ready = _17_ & _19_;
  assign _0_ = $signed(starts_5 ? biases_data : partial_sums_data) + $signed(sum_0_6_0);
  assign _18_ = (channel == 4'hf) ? 4'h0 : (channel + 4'h1);
  assign _17_ = output_ == 4'hf;
  assign puts = beat == 2'h2;
  assign _20_ = $signed(product_0_0) + $signed(product_0_1);
  assign _21_ = $signed(product_0_2) + $signed(product_0_3);
  assign _22_ = $signed(product_0_4) + $signed(product_0_5);
  assign _23_ = $signed(product_0_6) + $signed(product_0_7);
  assign _24_ = $signed(product_0_8) + $signed(product_0_9);
  assign _25_ = $signed(product_0_10) + $signed(product_0_11);
  assign _26_ = $signed(product_0_12) + $signed(product_0_13);
  assign _27_ = $signed(product_0_14) + $signed(product_0_15);
  assign _28_ = $signed(product_0_16) + $signed(product_0_17);
  assign _29_ = $signed(product_0_18) + $signed(product_0_19);
  assign _30_ = $signed(product_0_20) + $signed(product_0_21);
  assign _31_ = $signed(product_0_22) + $signed(product_0_23);
  assign _32_ = $signed(product_0_24) + $signed(product_0_25);
  assign _33_ = $signed(product_0_26) + $signed(product_0_27);
  assign _34_ = $signed(product_0_28) + $signed(product_0_29);
  assign _35_ = $signed(product_0_30) + $signed(product_0_31);
  assign _1_ = $signed(product_0_32) + $signed(product_0_33);
  assign _2_ = $signed(product_0_34) + $signed(product_0_35);
  assign _3_ = $signed(product_0_36) + $signed(product_0_37);
  assign _4_ = $signed(product_0_38) + $signed(product_0_39);
  assign _5_ = $signed(product_0_40) + $signed(product_0_41);
  assign _6_ = $signed(product_0_42) + $signed(product_0_43);
  assign _7_ = $signed(product_0_44) + $signed(product_0_45);
  assign _8_ = $signed(product_0_46) + $signed(product_0_47);
  assign _9_ = $signed(sum_0_2_0) + $signed(sum_0_2_1);
  assign _10_ = $signed(sum_0_2_2) + $signed(sum_0_2_3);
  assign _11_ = $signed(sum_0_2_4) + $signed(sum_0_2_5);
  assign _12_ = $signed(sum_0_2_6) + $signed(sum_0_2_7);
  assign _13_ = $signed(sum_0_2_8) + $signed(sum_0_2_9);
  assign _14_ = $signed(sum_0_2_10) + $signed(sum_0_2_11);
  assign _15_ = $signed(sum_0_4_0) + $signed(sum_0_4_1);
  assign _16_ = $signed(sum_0_4_2) + $signed({ {3{sum_0_4_3[16]}}, sum_0_4_3 });
  always @(posedge clk) begin
    operands_0 <= { i__payload_24, i__payload_23, i__payload_22, i__payload_21, i__payload_20,
        i__payload_19, i__payload_18, i__payload_17, i__payload_16, i__payload_15, i__payload_14,
        i__payload_13, i__payload_12, i__payload_11, i__payload_10, i__payload_9, i__payload_8,
        i__payload_7, i__payload_6, i__payload_5, i__payload_4, i__payload_3, i__payload_2,
        i__payload_1, i__payload_0 };
    product_0_0 <= $signed(operands_0[7:0]) * $signed(weights_data[7:0]);
    product_0_1 <= $signed(operands_0[15:8]) * $signed(weights_data[15:8]);
    product_0_2 <= $signed(operands_0[23:16]) * $signed(weights_data[23:16]);
    product_0_3 <= $signed(operands_0[31:24]) * $signed(weights_data[31:24]);
    product_0_4 <= $signed(operands_0[39:32]) * $signed(weights_data[39:32]);
    product_0_5 <= $signed(operands_0[47:40]) * $signed(weights_data[47:40]);
    product_0_6 <= $signed(operands_0[55:48]) * $signed(weights_data[55:48]);
    product_0_7 <= $signed(operands_0[63:56]) * $signed(weights_data[63:56]);
    product_0_8 <= $signed(operands_0[71:64]) * $signed(weights_data[71:64]);
    product_0_9 <= $signed(operands_0[79:72]) * $signed(weights_data[79:72]);
    product_0_10 <= $signed(operands_0[87:80]) * $signed(weights_data[87:80]);
    product_0_11 <= $signed(operands_0[95:88]) * $signed(weights_data[95:88]);
    product_0_12 <= $signed(operands_0[103:96]) * $signed(weights_data[103:96]);
    product_0_13 <= $signed(operands_0[111:104]) * $signed(weights_data[111:104]);
    product_0_14 <= $signed(operands_0[119:112]) * $signed(weights_data[119:112]);
    product_0_15 <= $signed(operands_0[127:120]) * $signed(weights_data[127:120]);
    product_0_16 <= $signed(operands_0[135:128]) * $signed(weights_data[135:128]);
    product_0_17 <= $signed(operands_0[143:136]) * $signed(weights_data[143:136]);
    product_0_18 <= $signed(operands_0[151:144]) * $signed(weights_data[151:144]);
    product_0_19 <= $signed(operands_0[159:152]) * $signed(weights_data[159:152]);
    product_0_20 <= $signed(operands_0[167:160]) * $signed(weights_data[167:160]);
    product_0_21 <= $signed(operands_0[175:168]) * $signed(weights_data[175:168]);
    product_0_22 <= $signed(operands_0[183:176]) * $signed(weights_data[183:176]);
    product_0_23 <= $signed(operands_0[191:184]) * $signed(weights_data[191:184]);
    product_0_24 <= $signed(operands_0[199:192]) * $signed(weights_data[199:192]);
    product_0_25 <= $signed(operands_0[207:200]) * $signed(weights_data[207:200]);
    product_0_26 <= $signed(operands_0[215:208]) * $signed(weights_data[215:208]);
    product_0_27 <= $signed(operands_0[223:216]) * $signed(weights_data[223:216]);
    product_0_28 <= $signed(operands_0[231:224]) * $signed(weights_data[231:224]);
    product_0_29 <= $signed(operands_0[239:232]) * $signed(weights_data[239:232]);
    product_0_30 <= $signed(operands_0[247:240]) * $signed(weights_data[247:240]);
    product_0_31 <= $signed(operands_0[255:248]) * $signed(weights_data[255:248]);
    product_0_32 <= $signed(operands_0[263:256]) * $signed(weights_data[263:256]);
    product_0_33 <= $signed(operands_0[271:264]) * $signed(weights_data[271:264]);
    product_0_34 <= $signed(operands_0[279:272]) * $signed(weights_data[279:272]);
    product_0_35 <= $signed(operands_0[287:280]) * $signed(weights_data[287:280]);
    product_0_36 <= $signed(operands_0[295:288]) * $signed(weights_data[295:288]);
    product_0_37 <= $signed(operands_0[303:296]) * $signed(weights_data[303:296]);
    product_0_38 <= $signed(operands_0[311:304]) * $signed(weights_data[311:304]);
    product_0_39 <= $signed(operands_0[319:312]) * $signed(weights_data[319:312]);
    product_0_40 <= $signed(operands_0[327:320]) * $signed(weights_data[327:320]);
    product_0_41 <= $signed(operands_0[335:328]) * $signed(weights_data[335:328]);
    product_0_42 <= $signed(operands_0[343:336]) * $signed(weights_data[343:336]);
    product_0_43 <= $signed(operands_0[351:344]) * $signed(weights_data[351:344]);
    product_0_44 <= $signed(operands_0[359:352]) * $signed(weights_data[359:352]);
    product_0_45 <= $signed(operands_0[367:360]) * $signed(weights_data[367:360]);
    product_0_46 <= $signed(operands_0[375:368]) * $signed(weights_data[375:368]);
    product_0_47 <= $signed(operands_0[383:376]) * $signed(weights_data[383:376]);
    product_0_48 <= $signed(operands_0[391:384]) * $signed(weights_data[391:384]);
    product_0_49 <= $signed(operands_0[399:392]) * $signed(weights_data[399:392]);
    sum_0_2_0 <= $signed(_20_) + $signed(_21_);
    sum_0_2_1 <= $signed(_22_) + $signed(_23_);
    sum_0_2_2 <= $signed(_24_) + $signed(_25_);
    sum_0_2_3 <= $signed(_26_) + $signed(_27_);
    sum_0_2_4 <= $signed(_28_) + $signed(_29_);
    sum_0_2_5 <= $signed(_30_) + $signed(_31_);
    sum_0_2_6 <= $signed(_32_) + $signed(_33_);
    sum_0_2_7 <= $signed(_34_) + $signed(_35_);
    sum_0_2_8 <= $signed(_1_) + $signed(_2_);
    sum_0_2_9 <= $signed(_3_) + $signed(_4_);
    sum_0_2_10 <= $signed(_5_) + $signed(_6_);
    sum_0_2_11 <= $signed(_7_) + $signed(_8_);
    sum_0_2_12 <= $signed(product_0_48) + $signed(product_0_49);
    sum_0_4_0 <= $signed(_9_) + $signed(_10_);
    sum_0_4_1 <= $signed(_11_) + $signed(_12_);
    sum_0_4_2 <= $signed(_13_) + $signed(_14_);
    sum_0_4_3 <= sum_0_2_12;
    sum_0_6_0 <= $signed(_15_) + $signed(_16_);
  end
  always @(posedge clk)
    if (rst) begin
      word <= 6'h00;
      output_ <= 4'h0;
      channel <= 4'h0;
    end else if (go) begin
      word <= (word == 6'h2f) ? 6'h00 : (word + 6'h01);
      output_ <= _17_ ? 4'h0 : (output_ + 4'h1);
      channel <= _17_ ? (puts ? _18_ : (channel - 4'hf)) : _18_;
    end
  always @(posedge clk)
    if (rst) beat <= 2'h0;
    else if (_17_ & go) beat <= puts ? 2'h0 : (beat + 2'h1);
  always @(posedge clk)
    if (rst) begin
      channel_1 <= 4'h0;
      channel_2 <= 4'h0;
      channel_3 <= 4'h0;
      channel_4 <= 4'h0;
      go_1 <= 1'h0;
      go_2 <= 1'h0;
      go_3 <= 1'h0;
      go_4 <= 1'h0;
      go_5 <= 1'h0;
      starts_1 <= 1'h0;
      starts_2 <= 1'h0;
      starts_3 <= 1'h0;
      starts_4 <= 1'h0;
      starts_5 <= 1'h0;
      output_1 <= 4'h0;
      output_2 <= 4'h0;
      output_3 <= 4'h0;
      output_4 <= 4'h0;
      output_5 <= 4'h0;
      issue_1 <= 1'h0;
      issue_2 <= 1'h0;
      issue_3 <= 1'h0;
      issue_4 <= 1'h0;
      issue_5 <= 1'h0;
      issue_6 <= 1'h0;
      issue_7 <= 1'h0;
      issue_8 <= 1'h0;
      issue_9 <= 1'h0;
      i_valid <= 1'h0;
      channel_late_1 <= 4'h0;
    end else begin
      channel_1 <= channel;
      channel_2 <= channel_1;
      channel_3 <= channel_2;
      channel_4 <= channel_3;
      go_1 <= go;
      go_2 <= go_1;
      go_3 <= go_2;
      go_4 <= go_3;
      go_5 <= go_4;
      starts_1 <= starts;
      starts_2 <= starts_1;
      starts_3 <= starts_2;
      starts_4 <= starts_3;
      starts_5 <= starts_4;
      output_1 <= output_;
      output_2 <= output_1;
      output_3 <= output_2;
      output_4 <= output_3;
      output_5 <= output_4;
      issue_1 <= issue;
      issue_2 <= issue_1;
      issue_3 <= issue_2;
      issue_4 <= issue_3;
      issue_5 <= issue_4;
      issue_6 <= issue_5;
      issue_7 <= issue_6;
      issue_8 <= issue_7;
      issue_9 <= issue_8;
      i_valid <= issue_9;
      channel_late_1 <= channel_4;
    end
  always @(posedge clk)
    if (go_5) totals <= _0_;
  lenet5_queue queue (
    .clk(clk),
    .i__payload(i_payload),
    .i__valid(i_valid),
    .issue(issue),
    .o__payload(o__payload),
    .o__ready(o__ready),
    .o__valid(o__valid),
    .room(room),
    .rst(rst)
  );
  lenet5_conv2_mac_requantize requantize (
    .clk(clk),
    .code_0(i_payload),
    .i(totals),
    .multiplier(multiplier),
    .rst(rst)
  );
endmodule
