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
  wire [3:0] _1_;
  wire _2_;
  wire [20:0] _3_;
  reg [1:0] beat;
  reg beat_ends;
  reg [20:0] biases_data;
  reg [20:0] biases_word;
  reg [3:0] channel;
  reg [3:0] channel_1;
  reg [3:0] channel_10;
  reg [3:0] channel_2;
  reg [3:0] channel_3;
  reg [3:0] channel_4;
  reg [3:0] channel_5;
  reg [3:0] channel_6;
  reg [3:0] channel_7;
  reg [3:0] channel_8;
  reg [3:0] channel_9;
  reg [3:0] channel_late_1;
  reg [16:0] factors_data;
  wire go;
  reg go_1;
  reg go_10;
  reg go_11;
  reg go_12;
  reg go_2;
  reg go_3;
  reg go_4;
  reg go_5;
  reg go_6;
  reg go_7;
  reg go_8;
  reg go_9;
  wire [7:0] i_payload;
  reg i_valid;
  wire issue;
  reg issue_1;
  reg issue_10;
  reg issue_11;
  reg issue_12;
  reg issue_13;
  reg issue_14;
  reg issue_15;
  reg issue_16;
  reg issue_17;
  reg issue_18;
  reg issue_19;
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
  reg [399:0] operands_0_of_0;
  reg [3:0] output_;
  reg [3:0] output_1;
  reg [3:0] output_10;
  reg [3:0] output_11;
  reg [3:0] output_12;
  reg [3:0] output_2;
  reg [3:0] output_3;
  reg [3:0] output_4;
  reg [3:0] output_5;
  reg [3:0] output_6;
  reg [3:0] output_7;
  reg [3:0] output_8;
  reg [3:0] output_9;
  reg output_ends;
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
  wire room;
  wire starts;
  reg starts_1;
  reg starts_10;
  reg starts_11;
  reg starts_12;
  reg starts_2;
  reg starts_3;
  reg starts_4;
  reg starts_5;
  reg starts_6;
  reg starts_7;
  reg starts_8;
  reg starts_9;
  reg [16:0] sum_0_1_0;
  reg [16:0] sum_0_1_1;
  reg [16:0] sum_0_1_10;
  reg [16:0] sum_0_1_11;
  reg [16:0] sum_0_1_12;
  reg [16:0] sum_0_1_13;
  reg [16:0] sum_0_1_14;
  reg [16:0] sum_0_1_15;
  reg [16:0] sum_0_1_16;
  reg [16:0] sum_0_1_17;
  reg [16:0] sum_0_1_18;
  reg [16:0] sum_0_1_19;
  reg [16:0] sum_0_1_2;
  reg [16:0] sum_0_1_20;
  reg [16:0] sum_0_1_21;
  reg [16:0] sum_0_1_22;
  reg [16:0] sum_0_1_23;
  reg [16:0] sum_0_1_24;
  reg [16:0] sum_0_1_3;
  reg [16:0] sum_0_1_4;
  reg [16:0] sum_0_1_5;
  reg [16:0] sum_0_1_6;
  reg [16:0] sum_0_1_7;
  reg [16:0] sum_0_1_8;
  reg [16:0] sum_0_1_9;
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
  reg [18:0] sum_0_3_0;
  reg [18:0] sum_0_3_1;
  reg [18:0] sum_0_3_2;
  reg [18:0] sum_0_3_3;
  reg [18:0] sum_0_3_4;
  reg [18:0] sum_0_3_5;
  reg [16:0] sum_0_3_6;
  reg [19:0] sum_0_4_0;
  reg [19:0] sum_0_4_1;
  reg [19:0] sum_0_4_2;
  reg [16:0] sum_0_4_3;
  reg [20:0] sum_0_5_0;
  reg [20:0] sum_0_5_1;
  reg [20:0] sum_0_6_0;
  reg [20:0] totals;
  reg [399:0] weights_data;
  reg [399:0] weights_late;
  reg [399:0] weights_word;
  reg [5:0] word;
  reg [5:0] word_late_1;
  reg [5:0] word_late_2;
  reg [20:0] biases [0:15];
  initial $readmemb("lenet5_conv2_mac_biases.mem", biases);
  always @(posedge clk) biases_data <= biases[channel_10];
  reg [16:0] factors [0:15];
  initial $readmemb("lenet5_conv2_mac_factors.mem", factors);
  always @(posedge clk) factors_data <= factors[channel_late_1];
  reg [20:0] partial_sums [0:15];
  always @(posedge clk) if (go_12) partial_sums[output_12] <= _3_;
  assign partial_sums_data = partial_sums[output_12];
  reg [399:0] weights [0:47];
  initial $readmemb("lenet5_conv2_mac_weights.mem", weights);
  always @(posedge clk) weights_data <= weights[word_late_2];
  assign go = i__valid & _2_;
  assign issue = go & beat_ends;
  assign starts = beat == 2'h0;
  assign _2_ = (~beat_ends) | room;
  assign i__ready = output_ends & _2_;
  assign _3_ = $signed(starts_12 ? biases_word : partial_sums_data) + $signed(sum_0_6_0);
  assign _1_ = (channel == 4'hf) ? 4'h0 : (channel + 4'h1);
  assign _0_ = $signed(sum_0_4_2) + $signed({ {3{sum_0_4_3[16]}}, sum_0_4_3 });
  always @(posedge clk) begin
    weights_word <= weights_data;
    weights_late <= weights_word;
    operands_0_of_0 <= { i__payload_24, i__payload_23, i__payload_22, i__payload_21, i__payload_20,
        i__payload_19, i__payload_18, i__payload_17, i__payload_16, i__payload_15, i__payload_14,
        i__payload_13, i__payload_12, i__payload_11, i__payload_10, i__payload_9, i__payload_8,
        i__payload_7, i__payload_6, i__payload_5, i__payload_4, i__payload_3, i__payload_2,
        i__payload_1, i__payload_0 };
    operands_0_1 <= operands_0_of_0;
    operands_0 <= operands_0_1;
    product_0_0 <= $signed(operands_0[7:0]) * $signed(weights_late[7:0]);
    product_0_1 <= $signed(operands_0[15:8]) * $signed(weights_late[15:8]);
    product_0_2 <= $signed(operands_0[23:16]) * $signed(weights_late[23:16]);
    product_0_3 <= $signed(operands_0[31:24]) * $signed(weights_late[31:24]);
    product_0_4 <= $signed(operands_0[39:32]) * $signed(weights_late[39:32]);
    product_0_5 <= $signed(operands_0[47:40]) * $signed(weights_late[47:40]);
    product_0_6 <= $signed(operands_0[55:48]) * $signed(weights_late[55:48]);
    product_0_7 <= $signed(operands_0[63:56]) * $signed(weights_late[63:56]);
    product_0_8 <= $signed(operands_0[71:64]) * $signed(weights_late[71:64]);
    product_0_9 <= $signed(operands_0[79:72]) * $signed(weights_late[79:72]);
    product_0_10 <= $signed(operands_0[87:80]) * $signed(weights_late[87:80]);
    product_0_11 <= $signed(operands_0[95:88]) * $signed(weights_late[95:88]);
    product_0_12 <= $signed(operands_0[103:96]) * $signed(weights_late[103:96]);
    product_0_13 <= $signed(operands_0[111:104]) * $signed(weights_late[111:104]);
    product_0_14 <= $signed(operands_0[119:112]) * $signed(weights_late[119:112]);
    product_0_15 <= $signed(operands_0[127:120]) * $signed(weights_late[127:120]);
    product_0_16 <= $signed(operands_0[135:128]) * $signed(weights_late[135:128]);
    product_0_17 <= $signed(operands_0[143:136]) * $signed(weights_late[143:136]);
    product_0_18 <= $signed(operands_0[151:144]) * $signed(weights_late[151:144]);
    product_0_19 <= $signed(operands_0[159:152]) * $signed(weights_late[159:152]);
    product_0_20 <= $signed(operands_0[167:160]) * $signed(weights_late[167:160]);
    product_0_21 <= $signed(operands_0[175:168]) * $signed(weights_late[175:168]);
    product_0_22 <= $signed(operands_0[183:176]) * $signed(weights_late[183:176]);
    product_0_23 <= $signed(operands_0[191:184]) * $signed(weights_late[191:184]);
    product_0_24 <= $signed(operands_0[199:192]) * $signed(weights_late[199:192]);
    product_0_25 <= $signed(operands_0[207:200]) * $signed(weights_late[207:200]);
    product_0_26 <= $signed(operands_0[215:208]) * $signed(weights_late[215:208]);
    product_0_27 <= $signed(operands_0[223:216]) * $signed(weights_late[223:216]);
    product_0_28 <= $signed(operands_0[231:224]) * $signed(weights_late[231:224]);
    product_0_29 <= $signed(operands_0[239:232]) * $signed(weights_late[239:232]);
    product_0_30 <= $signed(operands_0[247:240]) * $signed(weights_late[247:240]);
    product_0_31 <= $signed(operands_0[255:248]) * $signed(weights_late[255:248]);
    product_0_32 <= $signed(operands_0[263:256]) * $signed(weights_late[263:256]);
    product_0_33 <= $signed(operands_0[271:264]) * $signed(weights_late[271:264]);
    product_0_34 <= $signed(operands_0[279:272]) * $signed(weights_late[279:272]);
    product_0_35 <= $signed(operands_0[287:280]) * $signed(weights_late[287:280]);
    product_0_36 <= $signed(operands_0[295:288]) * $signed(weights_late[295:288]);
    product_0_37 <= $signed(operands_0[303:296]) * $signed(weights_late[303:296]);
    product_0_38 <= $signed(operands_0[311:304]) * $signed(weights_late[311:304]);
    product_0_39 <= $signed(operands_0[319:312]) * $signed(weights_late[319:312]);
    product_0_40 <= $signed(operands_0[327:320]) * $signed(weights_late[327:320]);
    product_0_41 <= $signed(operands_0[335:328]) * $signed(weights_late[335:328]);
    product_0_42 <= $signed(operands_0[343:336]) * $signed(weights_late[343:336]);
    product_0_43 <= $signed(operands_0[351:344]) * $signed(weights_late[351:344]);
    product_0_44 <= $signed(operands_0[359:352]) * $signed(weights_late[359:352]);
    product_0_45 <= $signed(operands_0[367:360]) * $signed(weights_late[367:360]);
    product_0_46 <= $signed(operands_0[375:368]) * $signed(weights_late[375:368]);
    product_0_47 <= $signed(operands_0[383:376]) * $signed(weights_late[383:376]);
    product_0_48 <= $signed(operands_0[391:384]) * $signed(weights_late[391:384]);
    product_0_49 <= $signed(operands_0[399:392]) * $signed(weights_late[399:392]);
    sum_0_1_0 <= $signed(product_0_0) + $signed(product_0_1);
    sum_0_1_1 <= $signed(product_0_2) + $signed(product_0_3);
    sum_0_1_2 <= $signed(product_0_4) + $signed(product_0_5);
    sum_0_1_3 <= $signed(product_0_6) + $signed(product_0_7);
    sum_0_1_4 <= $signed(product_0_8) + $signed(product_0_9);
    sum_0_1_5 <= $signed(product_0_10) + $signed(product_0_11);
    sum_0_1_6 <= $signed(product_0_12) + $signed(product_0_13);
    sum_0_1_7 <= $signed(product_0_14) + $signed(product_0_15);
    sum_0_1_8 <= $signed(product_0_16) + $signed(product_0_17);
    sum_0_1_9 <= $signed(product_0_18) + $signed(product_0_19);
    sum_0_1_10 <= $signed(product_0_20) + $signed(product_0_21);
    sum_0_1_11 <= $signed(product_0_22) + $signed(product_0_23);
    sum_0_1_12 <= $signed(product_0_24) + $signed(product_0_25);
    sum_0_1_13 <= $signed(product_0_26) + $signed(product_0_27);
    sum_0_1_14 <= $signed(product_0_28) + $signed(product_0_29);
    sum_0_1_15 <= $signed(product_0_30) + $signed(product_0_31);
    sum_0_1_16 <= $signed(product_0_32) + $signed(product_0_33);
    sum_0_1_17 <= $signed(product_0_34) + $signed(product_0_35);
    sum_0_1_18 <= $signed(product_0_36) + $signed(product_0_37);
    sum_0_1_19 <= $signed(product_0_38) + $signed(product_0_39);
    sum_0_1_20 <= $signed(product_0_40) + $signed(product_0_41);
    sum_0_1_21 <= $signed(product_0_42) + $signed(product_0_43);
    sum_0_1_22 <= $signed(product_0_44) + $signed(product_0_45);
    sum_0_1_23 <= $signed(product_0_46) + $signed(product_0_47);
    sum_0_1_24 <= $signed(product_0_48) + $signed(product_0_49);
    sum_0_2_0 <= $signed(sum_0_1_0) + $signed(sum_0_1_1);
    sum_0_2_1 <= $signed(sum_0_1_2) + $signed(sum_0_1_3);
    sum_0_2_2 <= $signed(sum_0_1_4) + $signed(sum_0_1_5);
    sum_0_2_3 <= $signed(sum_0_1_6) + $signed(sum_0_1_7);
    sum_0_2_4 <= $signed(sum_0_1_8) + $signed(sum_0_1_9);
    sum_0_2_5 <= $signed(sum_0_1_10) + $signed(sum_0_1_11);
    sum_0_2_6 <= $signed(sum_0_1_12) + $signed(sum_0_1_13);
    sum_0_2_7 <= $signed(sum_0_1_14) + $signed(sum_0_1_15);
    sum_0_2_8 <= $signed(sum_0_1_16) + $signed(sum_0_1_17);
    sum_0_2_9 <= $signed(sum_0_1_18) + $signed(sum_0_1_19);
    sum_0_2_10 <= $signed(sum_0_1_20) + $signed(sum_0_1_21);
    sum_0_2_11 <= $signed(sum_0_1_22) + $signed(sum_0_1_23);
    sum_0_2_12 <= sum_0_1_24;
    sum_0_3_0 <= $signed(sum_0_2_0) + $signed(sum_0_2_1);
    sum_0_3_1 <= $signed(sum_0_2_2) + $signed(sum_0_2_3);
    sum_0_3_2 <= $signed(sum_0_2_4) + $signed(sum_0_2_5);
    sum_0_3_3 <= $signed(sum_0_2_6) + $signed(sum_0_2_7);
    sum_0_3_4 <= $signed(sum_0_2_8) + $signed(sum_0_2_9);
    sum_0_3_5 <= $signed(sum_0_2_10) + $signed(sum_0_2_11);
    sum_0_3_6 <= sum_0_2_12;
    sum_0_4_0 <= $signed(sum_0_3_0) + $signed(sum_0_3_1);
    sum_0_4_1 <= $signed(sum_0_3_2) + $signed(sum_0_3_3);
    sum_0_4_2 <= $signed(sum_0_3_4) + $signed(sum_0_3_5);
    sum_0_4_3 <= sum_0_3_6;
    sum_0_5_0 <= $signed(sum_0_4_0) + $signed(sum_0_4_1);
    sum_0_5_1 <= _0_;
    sum_0_6_0 <= $signed(sum_0_5_0) + $signed(sum_0_5_1);
    biases_word <= biases_data;
    multiplier <= factors_data;
  end
  always @(posedge clk)
    if (rst) begin
      word <= 6'h00;
      output_ends <= 1'h0;
      output_ <= 4'h0;
      channel <= 4'h0;
    end else if (go) begin
      word <= (word == 6'h2f) ? 6'h00 : (word + 6'h01);
      output_ends <= output_ == 4'he;
      output_ <= output_ends ? 4'h0 : (output_ + 4'h1);
      channel <= output_ends ? (beat_ends ? _1_ : (channel - 4'hf)) : _1_;
    end
  always @(posedge clk)
    if (rst) begin
      beat_ends <= 1'h0;
      beat <= 2'h0;
    end else if (output_ends & go) begin
      beat_ends <= beat == 2'h1;
      beat <= beat_ends ? 2'h0 : (beat + 2'h1);
    end
  always @(posedge clk)
    if (rst) begin
      word_late_1 <= 6'h00;
      word_late_2 <= 6'h00;
      channel_1 <= 4'h0;
      channel_2 <= 4'h0;
      channel_3 <= 4'h0;
      channel_4 <= 4'h0;
      channel_5 <= 4'h0;
      channel_6 <= 4'h0;
      channel_7 <= 4'h0;
      channel_8 <= 4'h0;
      channel_9 <= 4'h0;
      channel_10 <= 4'h0;
      go_1 <= 1'h0;
      go_2 <= 1'h0;
      go_3 <= 1'h0;
      go_4 <= 1'h0;
      go_5 <= 1'h0;
      go_6 <= 1'h0;
      go_7 <= 1'h0;
      go_8 <= 1'h0;
      go_9 <= 1'h0;
      go_10 <= 1'h0;
      go_11 <= 1'h0;
      go_12 <= 1'h0;
      starts_1 <= 1'h0;
      starts_2 <= 1'h0;
      starts_3 <= 1'h0;
      starts_4 <= 1'h0;
      starts_5 <= 1'h0;
      starts_6 <= 1'h0;
      starts_7 <= 1'h0;
      starts_8 <= 1'h0;
      starts_9 <= 1'h0;
      starts_10 <= 1'h0;
      starts_11 <= 1'h0;
      starts_12 <= 1'h0;
      output_1 <= 4'h0;
      output_2 <= 4'h0;
      output_3 <= 4'h0;
      output_4 <= 4'h0;
      output_5 <= 4'h0;
      output_6 <= 4'h0;
      output_7 <= 4'h0;
      output_8 <= 4'h0;
      output_9 <= 4'h0;
      output_10 <= 4'h0;
      output_11 <= 4'h0;
      output_12 <= 4'h0;
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
      issue_14 <= 1'h0;
      issue_15 <= 1'h0;
      issue_16 <= 1'h0;
      issue_17 <= 1'h0;
      issue_18 <= 1'h0;
      issue_19 <= 1'h0;
      i_valid <= 1'h0;
      channel_late_1 <= 4'h0;
    end else begin
      word_late_1 <= word;
      word_late_2 <= word_late_1;
      channel_1 <= channel;
      channel_2 <= channel_1;
      channel_3 <= channel_2;
      channel_4 <= channel_3;
      channel_5 <= channel_4;
      channel_6 <= channel_5;
      channel_7 <= channel_6;
      channel_8 <= channel_7;
      channel_9 <= channel_8;
      channel_10 <= channel_9;
      go_1 <= go;
      go_2 <= go_1;
      go_3 <= go_2;
      go_4 <= go_3;
      go_5 <= go_4;
      go_6 <= go_5;
      go_7 <= go_6;
      go_8 <= go_7;
      go_9 <= go_8;
      go_10 <= go_9;
      go_11 <= go_10;
      go_12 <= go_11;
      starts_1 <= starts;
      starts_2 <= starts_1;
      starts_3 <= starts_2;
      starts_4 <= starts_3;
      starts_5 <= starts_4;
      starts_6 <= starts_5;
      starts_7 <= starts_6;
      starts_8 <= starts_7;
      starts_9 <= starts_8;
      starts_10 <= starts_9;
      starts_11 <= starts_10;
      starts_12 <= starts_11;
      output_1 <= output_;
      output_2 <= output_1;
      output_3 <= output_2;
      output_4 <= output_3;
      output_5 <= output_4;
      output_6 <= output_5;
      output_7 <= output_6;
      output_8 <= output_7;
      output_9 <= output_8;
      output_10 <= output_9;
      output_11 <= output_10;
      output_12 <= output_11;
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
      issue_14 <= issue_13;
      issue_15 <= issue_14;
      issue_16 <= issue_15;
      issue_17 <= issue_16;
      issue_18 <= issue_17;
      issue_19 <= issue_18;
      i_valid <= issue_19;
      channel_late_1 <= channel_10;
    end
  always @(posedge clk)
    if (go_12) totals <= _3_;
  lenet5_conv2_mac_queue queue (
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
