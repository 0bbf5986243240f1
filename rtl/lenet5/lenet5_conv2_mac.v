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
  reg [20:0] biases_word;
  reg [3:0] channel;
  reg [3:0] channel_1;
  reg [3:0] channel_2;
  reg [3:0] channel_3;
  reg [3:0] channel_4;
  reg [3:0] channel_5;
  reg [3:0] channel_late_1;
  reg [16:0] factors_data;
  wire go;
  reg go_1;
  reg go_2;
  reg go_3;
  reg go_4;
  reg go_5;
  reg go_6;
  reg go_7;
  wire [7:0] i_payload;
  reg i_valid;
  wire issue;
  reg issue_1;
  reg issue_10;
  reg issue_11;
  reg issue_12;
  reg issue_13;
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
  reg [399:0] operands_0_1;
  reg [399:0] operands_0_2;
  reg [3:0] output_;
  reg [3:0] output_1;
  reg [3:0] output_2;
  reg [3:0] output_3;
  reg [3:0] output_4;
  reg [3:0] output_5;
  reg [3:0] output_6;
  reg [3:0] output_7;
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
  reg starts_6;
  reg starts_7;
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
  reg [399:0] weights_late;
  reg [399:0] weights_word;
  reg [5:0] word;
  reg [20:0] biases [0:15];
  initial $readmemb("lenet5_conv2_mac_biases.mem", biases);
  always @(posedge clk) biases_data <= biases[channel_5];
  reg [16:0] factors [0:15];
  initial $readmemb("lenet5_conv2_mac_factors.mem", factors);
  always @(posedge clk) factors_data <= factors[channel_late_1];
  reg [20:0] partial_sums [0:15];
  always @(posedge clk) if (go_7) partial_sums[output_7] <= _0_;
  assign partial_sums_data = partial_sums[output_7];
  reg [399:0] weights [0:47];
  initial $readmemb("lenet5_conv2_mac_weights.mem", weights);
  always @(posedge clk) weights_data <= weights[word];
  assign go = i__valid & _19_;
  assign issue = go & puts;
  assign starts = beat == 2'h0;
  assign _19_ = (~puts) | room;
  assign i__ready = _17_ & _19_;
  assign _0_ = $signed(starts_7 ? biases_word : partial_sums_data) + $signed(sum_0_6_0);
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
    weights_word <= weights_data;
    weights_late <= weights_word;
    operands_0 <= { i__payload_24, i__payload_23, i__payload_22, i__payload_21, i__payload_20,
        i__payload_19, i__payload_18, i__payload_17, i__payload_16, i__payload_15, i__payload_14,
        i__payload_13, i__payload_12, i__payload_11, i__payload_10, i__payload_9, i__payload_8,
        i__payload_7, i__payload_6, i__payload_5, i__payload_4, i__payload_3, i__payload_2,
        i__payload_1, i__payload_0 };
    operands_0_1 <= operands_0;
    operands_0_2 <= operands_0_1;
    product_0_0 <= $signed(operands_0_2[7:0]) * $signed(weights_late[7:0]);
    product_0_1 <= $signed(operands_0_2[15:8]) * $signed(weights_late[15:8]);
    product_0_2 <= $signed(operands_0_2[23:16]) * $signed(weights_late[23:16]);
    product_0_3 <= $signed(operands_0_2[31:24]) * $signed(weights_late[31:24]);
    product_0_4 <= $signed(operands_0_2[39:32]) * $signed(weights_late[39:32]);
    product_0_5 <= $signed(operands_0_2[47:40]) * $signed(weights_late[47:40]);
    product_0_6 <= $signed(operands_0_2[55:48]) * $signed(weights_late[55:48]);
    product_0_7 <= $signed(operands_0_2[63:56]) * $signed(weights_late[63:56]);
    product_0_8 <= $signed(operands_0_2[71:64]) * $signed(weights_late[71:64]);
    product_0_9 <= $signed(operands_0_2[79:72]) * $signed(weights_late[79:72]);
    product_0_10 <= $signed(operands_0_2[87:80]) * $signed(weights_late[87:80]);
    product_0_11 <= $signed(operands_0_2[95:88]) * $signed(weights_late[95:88]);
    product_0_12 <= $signed(operands_0_2[103:96]) * $signed(weights_late[103:96]);
    product_0_13 <= $signed(operands_0_2[111:104]) * $signed(weights_late[111:104]);
    product_0_14 <= $signed(operands_0_2[119:112]) * $signed(weights_late[119:112]);
    product_0_15 <= $signed(operands_0_2[127:120]) * $signed(weights_late[127:120]);
    product_0_16 <= $signed(operands_0_2[135:128]) * $signed(weights_late[135:128]);
    product_0_17 <= $signed(operands_0_2[143:136]) * $signed(weights_late[143:136]);
    product_0_18 <= $signed(operands_0_2[151:144]) * $signed(weights_late[151:144]);
    product_0_19 <= $signed(operands_0_2[159:152]) * $signed(weights_late[159:152]);
    product_0_20 <= $signed(operands_0_2[167:160]) * $signed(weights_late[167:160]);
    product_0_21 <= $signed(operands_0_2[175:168]) * $signed(weights_late[175:168]);
    product_0_22 <= $signed(operands_0_2[183:176]) * $signed(weights_late[183:176]);
    product_0_23 <= $signed(operands_0_2[191:184]) * $signed(weights_late[191:184]);
    product_0_24 <= $signed(operands_0_2[199:192]) * $signed(weights_late[199:192]);
    product_0_25 <= $signed(operands_0_2[207:200]) * $signed(weights_late[207:200]);
    product_0_26 <= $signed(operands_0_2[215:208]) * $signed(weights_late[215:208]);
    product_0_27 <= $signed(operands_0_2[223:216]) * $signed(weights_late[223:216]);
    product_0_28 <= $signed(operands_0_2[231:224]) * $signed(weights_late[231:224]);
    product_0_29 <= $signed(operands_0_2[239:232]) * $signed(weights_late[239:232]);
    product_0_30 <= $signed(operands_0_2[247:240]) * $signed(weights_late[247:240]);
    product_0_31 <= $signed(operands_0_2[255:248]) * $signed(weights_late[255:248]);
    product_0_32 <= $signed(operands_0_2[263:256]) * $signed(weights_late[263:256]);
    product_0_33 <= $signed(operands_0_2[271:264]) * $signed(weights_late[271:264]);
    product_0_34 <= $signed(operands_0_2[279:272]) * $signed(weights_late[279:272]);
    product_0_35 <= $signed(operands_0_2[287:280]) * $signed(weights_late[287:280]);
    product_0_36 <= $signed(operands_0_2[295:288]) * $signed(weights_late[295:288]);
    product_0_37 <= $signed(operands_0_2[303:296]) * $signed(weights_late[303:296]);
    product_0_38 <= $signed(operands_0_2[311:304]) * $signed(weights_late[311:304]);
    product_0_39 <= $signed(operands_0_2[319:312]) * $signed(weights_late[319:312]);
    product_0_40 <= $signed(operands_0_2[327:320]) * $signed(weights_late[327:320]);
    product_0_41 <= $signed(operands_0_2[335:328]) * $signed(weights_late[335:328]);
    product_0_42 <= $signed(operands_0_2[343:336]) * $signed(weights_late[343:336]);
    product_0_43 <= $signed(operands_0_2[351:344]) * $signed(weights_late[351:344]);
    product_0_44 <= $signed(operands_0_2[359:352]) * $signed(weights_late[359:352]);
    product_0_45 <= $signed(operands_0_2[367:360]) * $signed(weights_late[367:360]);
    product_0_46 <= $signed(operands_0_2[375:368]) * $signed(weights_late[375:368]);
    product_0_47 <= $signed(operands_0_2[383:376]) * $signed(weights_late[383:376]);
    product_0_48 <= $signed(operands_0_2[391:384]) * $signed(weights_late[391:384]);
    product_0_49 <= $signed(operands_0_2[399:392]) * $signed(weights_late[399:392]);
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
    biases_word <= biases_data;
    multiplier <= factors_data;
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
      channel_5 <= 4'h0;
      go_1 <= 1'h0;
      go_2 <= 1'h0;
      go_3 <= 1'h0;
      go_4 <= 1'h0;
      go_5 <= 1'h0;
      go_6 <= 1'h0;
      go_7 <= 1'h0;
      starts_1 <= 1'h0;
      starts_2 <= 1'h0;
      starts_3 <= 1'h0;
      starts_4 <= 1'h0;
      starts_5 <= 1'h0;
      starts_6 <= 1'h0;
      starts_7 <= 1'h0;
      output_1 <= 4'h0;
      output_2 <= 4'h0;
      output_3 <= 4'h0;
      output_4 <= 4'h0;
      output_5 <= 4'h0;
      output_6 <= 4'h0;
      output_7 <= 4'h0;
      issue_1 <= 1'h0;
      issue_2 <= 1'h0;
      issue_3 <= 1'h0;
      issue_4 <= 1'h0;
      issue_5 <= 1'h0;
      issue_6 <= 1'h0;
      issue_7 <= 1'h0;
      issue_8 <= 1'h0;
      issue_9 <= 1'h0;
      issue_10 <= 1'h0;
      issue_11 <= 1'h0;
      issue_12 <= 1'h0;
      issue_13 <= 1'h0;
      i_valid <= 1'h0;
      channel_late_1 <= 4'h0;
    end else begin
      channel_1 <= channel;
      channel_2 <= channel_1;
      channel_3 <= channel_2;
      channel_4 <= channel_3;
      channel_5 <= channel_4;
      go_1 <= go;
      go_2 <= go_1;
      go_3 <= go_2;
      go_4 <= go_3;
      go_5 <= go_4;
      go_6 <= go_5;
      go_7 <= go_6;
      starts_1 <= starts;
      starts_2 <= starts_1;
      starts_3 <= starts_2;
      starts_4 <= starts_3;
      starts_5 <= starts_4;
      starts_6 <= starts_5;
      starts_7 <= starts_6;
      output_1 <= output_;
      output_2 <= output_1;
      output_3 <= output_2;
      output_4 <= output_3;
      output_5 <= output_4;
      output_6 <= output_5;
      output_7 <= output_6;
      issue_1 <= issue;
      issue_2 <= issue_1;
      issue_3 <= issue_2;
      issue_4 <= issue_3;
      issue_5 <= issue_4;
      issue_6 <= issue_5;
      issue_7 <= issue_6;
      issue_8 <= issue_7;
      issue_9 <= issue_8;
      issue_10 <= issue_9;
      issue_11 <= issue_10;
      issue_12 <= issue_11;
      issue_13 <= issue_12;
      i_valid <= issue_13;
      channel_late_1 <= channel_5;
    end
  always @(posedge clk)
    if (go_7) totals <= _0_;
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
