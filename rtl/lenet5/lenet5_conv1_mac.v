// Part of lenet5.

module lenet5_conv1_mac(
  input wire clk,
  input wire rst,
  input wire [7:0] i__payload_0,
  input wire [7:0] i__payload_1,
  input wire [7:0] i__payload_10,
  input wire [7:0] i__payload_11,
  input wire [7:0] i__payload_12,
  input wire [7:0] i__payload_13,
  input wire [7:0] i__payload_14,
  input wire [7:0] i__payload_15,
  input wire [7:0] i__payload_16,
  input wire [7:0] i__payload_17,
  input wire [7:0] i__payload_18,
  input wire [7:0] i__payload_19,
  input wire [7:0] i__payload_2,
  input wire [7:0] i__payload_20,
  input wire [7:0] i__payload_21,
  input wire [7:0] i__payload_22,
  input wire [7:0] i__payload_23,
  input wire [7:0] i__payload_24,
  input wire [7:0] i__payload_3,
  input wire [7:0] i__payload_4,
  input wire [7:0] i__payload_5,
  input wire [7:0] i__payload_6,
  input wire [7:0] i__payload_7,
  input wire [7:0] i__payload_8,
  input wire [7:0] i__payload_9,
  output wire i__ready,
  input wire i__valid,
  output wire [7:0] o__payload,
  input wire o__ready,
  output wire o__valid
);
  wire [18:0] _0_;
  reg [18:0] biases_data;
  reg [18:0] biases_word;
  reg [2:0] channel;
  reg [2:0] channel_1;
  reg [2:0] channel_2;
  reg [2:0] channel_3;
  reg [2:0] channel_4;
  reg [2:0] channel_5;
  reg [2:0] channel_6;
  reg [2:0] channel_7;
  reg [2:0] channel_8;
  reg [2:0] channel_9;
  reg [2:0] channel_late_1;
  reg [16:0] factors_data;
  wire go;
  reg go_1;
  reg go_10;
  reg go_11;
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
  reg issue_12;
  reg issue_13;
  reg issue_14;
  reg issue_15;
  reg issue_16;
  reg issue_17;
  reg issue_18;
  reg [16:0] multiplier;
  reg [199:0] operands_0;
  reg [199:0] operands_0_1;
  reg [199:0] operands_0_of_0;
  reg [2:0] output_;
  reg output_ends;
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
  reg [15:0] product_0_3;
  reg [15:0] product_0_4;
  reg [15:0] product_0_5;
  reg [15:0] product_0_6;
  reg [15:0] product_0_7;
  reg [15:0] product_0_8;
  reg [15:0] product_0_9;
  wire room;
  reg [16:0] sum_0_1_0;
  reg [16:0] sum_0_1_1;
  reg [16:0] sum_0_1_10;
  reg [16:0] sum_0_1_11;
  reg [15:0] sum_0_1_12;
  reg [16:0] sum_0_1_2;
  reg [16:0] sum_0_1_3;
  reg [16:0] sum_0_1_4;
  reg [16:0] sum_0_1_5;
  reg [16:0] sum_0_1_6;
  reg [16:0] sum_0_1_7;
  reg [16:0] sum_0_1_8;
  reg [16:0] sum_0_1_9;
  reg [17:0] sum_0_2_0;
  reg [17:0] sum_0_2_1;
  reg [17:0] sum_0_2_2;
  reg [17:0] sum_0_2_3;
  reg [17:0] sum_0_2_4;
  reg [17:0] sum_0_2_5;
  reg [15:0] sum_0_2_6;
  reg [18:0] sum_0_3_0;
  reg [18:0] sum_0_3_1;
  reg [18:0] sum_0_3_2;
  reg [15:0] sum_0_3_3;
  reg [18:0] sum_0_4_0;
  reg [18:0] sum_0_4_1;
  reg [18:0] sum_0_5_0;
  reg [18:0] totals;
  reg [199:0] weights_data;
  reg [199:0] weights_late;
  reg [199:0] weights_word;
  reg [2:0] word;
  reg [2:0] word_late_1;
  reg [2:0] word_late_2;
  reg [18:0] biases [0:5];
  initial $readmemb("lenet5_conv1_mac_biases.mem", biases);
  always @(posedge clk) biases_data <= biases[channel_9];
  reg [16:0] factors [0:5];
  initial $readmemb("lenet5_conv1_mac_factors.mem", factors);
  always @(posedge clk) factors_data <= factors[channel_late_1];
  reg [199:0] weights [0:5];
  initial $readmemb("lenet5_conv1_mac_weights.mem", weights);
  always @(posedge clk) weights_data <= weights[word_late_2];
  assign go = i__valid & room;
  assign i__ready = output_ends & room;
  assign _0_ = $signed(sum_0_3_2) + $signed({ {3{sum_0_3_3[15]}}, sum_0_3_3 });
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
    sum_0_1_12 <= product_0_24;
    sum_0_2_0 <= $signed(sum_0_1_0) + $signed(sum_0_1_1);
    sum_0_2_1 <= $signed(sum_0_1_2) + $signed(sum_0_1_3);
    sum_0_2_2 <= $signed(sum_0_1_4) + $signed(sum_0_1_5);
    sum_0_2_3 <= $signed(sum_0_1_6) + $signed(sum_0_1_7);
    sum_0_2_4 <= $signed(sum_0_1_8) + $signed(sum_0_1_9);
    sum_0_2_5 <= $signed(sum_0_1_10) + $signed(sum_0_1_11);
    sum_0_2_6 <= sum_0_1_12;
    sum_0_3_0 <= $signed(sum_0_2_0) + $signed(sum_0_2_1);
    sum_0_3_1 <= $signed(sum_0_2_2) + $signed(sum_0_2_3);
    sum_0_3_2 <= $signed(sum_0_2_4) + $signed(sum_0_2_5);
    sum_0_3_3 <= sum_0_2_6;
    sum_0_4_0 <= $signed(sum_0_3_0) + $signed(sum_0_3_1);
    sum_0_4_1 <= _0_;
    sum_0_5_0 <= $signed(sum_0_4_0) + $signed(sum_0_4_1);
    biases_word <= biases_data;
    multiplier <= factors_data;
  end
  always @(posedge clk)
    if (rst) begin
      go_2 <= 1'h0;
      go_3 <= 1'h0;
      go_5 <= 1'h0;
      go_11 <= 1'h0;
      word_late_1 <= 3'h0;
      word_late_2 <= 3'h0;
      channel_1 <= 3'h0;
      channel_2 <= 3'h0;
      channel_3 <= 3'h0;
      channel_4 <= 3'h0;
      channel_5 <= 3'h0;
      channel_6 <= 3'h0;
      channel_7 <= 3'h0;
      channel_8 <= 3'h0;
      channel_9 <= 3'h0;
      go_1 <= 1'h0;
      go_4 <= 1'h0;
      go_6 <= 1'h0;
      go_7 <= 1'h0;
      go_8 <= 1'h0;
      go_9 <= 1'h0;
      go_10 <= 1'h0;
      issue_12 <= 1'h0;
      issue_13 <= 1'h0;
      issue_14 <= 1'h0;
      issue_15 <= 1'h0;
      issue_16 <= 1'h0;
      issue_17 <= 1'h0;
      issue_18 <= 1'h0;
      i_valid <= 1'h0;
      channel_late_1 <= 3'h0;
    end else begin
      go_2 <= go_1;
      go_3 <= go_2;
      go_5 <= go_4;
      go_11 <= go_10;
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
      go_1 <= go;
      go_4 <= go_3;
      go_6 <= go_5;
      go_7 <= go_6;
      go_8 <= go_7;
      go_9 <= go_8;
      go_10 <= go_9;
      issue_12 <= go_11;
      issue_13 <= issue_12;
      issue_14 <= issue_13;
      issue_15 <= issue_14;
      issue_16 <= issue_15;
      issue_17 <= issue_16;
      issue_18 <= issue_17;
      i_valid <= issue_18;
      channel_late_1 <= channel_9;
    end
  always @(posedge clk)
    if (rst) begin
      word <= 3'h0;
      output_ends <= 1'h0;
      output_ <= 3'h0;
      channel <= 3'h0;
    end else if (go) begin
      word <= (word == 3'h5) ? 3'h0 : (word + 3'h1);
      output_ends <= output_ == 3'h4;
      output_ <= output_ends ? 3'h0 : (output_ + 3'h1);
      channel <= (channel == 3'h5) ? 3'h0 : (channel + 3'h1);
    end
  always @(posedge clk)
    if (go_11) totals <= $signed(biases_word) + $signed(sum_0_5_0);
  lenet5_conv1_mac_queue queue (
    .clk(clk),
    .i__payload(i_payload),
    .i__valid(i_valid),
    .issue(go),
    .o__payload(o__payload),
    .o__ready(o__ready),
    .o__valid(o__valid),
    .room(room),
    .rst(rst)
  );
  lenet5_conv1_mac_requantize requantize (
    .clk(clk),
    .code_0(i_payload),
    .i(totals),
    .multiplier(multiplier),
    .rst(rst)
  );
endmodule
