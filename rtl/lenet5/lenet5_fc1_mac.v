// Part of lenet5.

module lenet5_fc1_mac(
  input wire clk,
  input wire rst,
  input wire [7:0] i__payload,
  output wire i__ready,
  input wire i__valid,
  output wire [79:0] o__payload,
  input wire o__ready,
  output wire o__valid
);
  wire [23:0] _0_;
  wire [23:0] _1_;
  wire [23:0] _2_;
  wire [23:0] _3_;
  wire [23:0] _4_;
  wire _5_;
  wire [23:0] _6_;
  wire [23:0] _7_;
  wire [23:0] _8_;
  wire [3:0] _9_;
  wire [23:0] _10_;
  wire [23:0] _11_;
  wire [23:0] after_119_96;
  wire [23:0] after_143_120;
  wire [23:0] after_167_144;
  wire [23:0] after_191_168;
  wire [23:0] after_215_192;
  wire [23:0] after_239_216;
  wire [23:0] after_23_0;
  wire [23:0] after_47_24;
  wire [23:0] after_71_48;
  wire [23:0] after_95_72;
  reg [8:0] beat;
  reg beat_ends;
  reg [239:0] biases_data;
  reg [239:0] biases_word;
  reg [3:0] channel;
  reg [3:0] channel_1;
  reg [3:0] channel_2;
  reg [3:0] channel_late_1;
  reg [169:0] factors_data;
  wire go;
  reg go_1;
  reg go_2;
  reg go_3;
  reg go_4;
  wire [79:0] i_payload;
  reg i_valid;
  wire issue;
  reg issue_1;
  reg issue_10;
  reg issue_11;
  reg issue_2;
  reg issue_3;
  reg issue_4;
  reg issue_5;
  reg issue_6;
  reg issue_7;
  reg issue_8;
  reg issue_9;
  reg [169:0] multiplier;
  reg [7:0] operands_0;
  reg [7:0] operands_0_1;
  reg [7:0] operands_0_of_0;
  reg [3:0] output_;
  reg [3:0] output_1;
  reg [3:0] output_2;
  reg [3:0] output_3;
  reg [3:0] output_4;
  reg output_ends;
  wire [239:0] partial_sums_data;
  reg [15:0] product_0_0;
  reg [15:0] product_1_0;
  reg [15:0] product_2_0;
  reg [15:0] product_3_0;
  reg [15:0] product_4_0;
  reg [15:0] product_5_0;
  reg [15:0] product_6_0;
  reg [15:0] product_7_0;
  reg [15:0] product_8_0;
  reg [15:0] product_9_0;
  wire room;
  wire starts;
  reg starts_1;
  reg starts_2;
  reg starts_3;
  reg starts_4;
  reg [239:0] totals;
  reg [79:0] weights_data;
  reg [79:0] weights_late;
  reg [79:0] weights_word;
  reg [12:0] word;
  reg [239:0] biases [0:11];
  initial $readmemb("lenet5_fc1_mac_biases.mem", biases);
  always @(posedge clk) biases_data <= biases[channel_2];
  reg [169:0] factors [0:11];
  initial $readmemb("lenet5_fc1_mac_factors.mem", factors);
  always @(posedge clk) factors_data <= factors[channel_late_1];
  reg [239:0] partial_sums [0:11];
  always @(posedge clk)
    if (go_4) begin
      partial_sums[output_4] <= { after_239_216, after_215_192, after_191_168, after_167_144,
          after_143_120, after_119_96, after_95_72, after_71_48, after_47_24, after_23_0 };
      totals <= { after_239_216, after_215_192, after_191_168, after_167_144, after_143_120,
          after_119_96, after_95_72, after_71_48, after_47_24, after_23_0 };
    end
  assign partial_sums_data = partial_sums[output_4];
  reg [79:0] weights [0:4799];
  initial $readmemb("lenet5_fc1_mac_weights.mem", weights);
  always @(posedge clk) weights_data <= weights[word];
  assign _1_ = starts_4 ? biases_word[95:72] : partial_sums_data[95:72];
  assign after_95_72 = $signed(_1_) + $signed({ {8{product_3_0[15]}}, product_3_0 });
  assign _2_ = starts_4 ? biases_word[119:96] : partial_sums_data[119:96];
  assign after_119_96 = $signed(_2_) + $signed({ {8{product_4_0[15]}}, product_4_0 });
  assign _3_ = starts_4 ? biases_word[143:120] : partial_sums_data[143:120];
  assign after_143_120 = $signed(_3_) + $signed({ {8{product_5_0[15]}}, product_5_0 });
  assign _4_ = starts_4 ? biases_word[167:144] : partial_sums_data[167:144];
  assign after_167_144 = $signed(_4_) + $signed({ {8{product_6_0[15]}}, product_6_0 });
  assign _6_ = starts_4 ? biases_word[191:168] : partial_sums_data[191:168];
  assign after_191_168 = $signed(_6_) + $signed({ {8{product_7_0[15]}}, product_7_0 });
  assign _7_ = starts_4 ? biases_word[215:192] : partial_sums_data[215:192];
  assign after_215_192 = $signed(_7_) + $signed({ {8{product_8_0[15]}}, product_8_0 });
  assign _8_ = starts_4 ? biases_word[239:216] : partial_sums_data[239:216];
  assign after_239_216 = $signed(_8_) + $signed({ {8{product_9_0[15]}}, product_9_0 });
  assign _9_ = (channel == 4'hb) ? 4'h0 : (channel + 4'h1);
  always @(posedge clk) begin
    weights_word <= weights_data;
    weights_late <= weights_word;
    operands_0_of_0 <= i__payload;
    operands_0_1 <= operands_0_of_0;
    operands_0 <= operands_0_1;
    product_0_0 <= $signed(operands_0) * $signed(weights_late[7:0]);
    product_1_0 <= $signed(operands_0) * $signed(weights_late[15:8]);
    product_2_0 <= $signed(operands_0) * $signed(weights_late[23:16]);
    product_3_0 <= $signed(operands_0) * $signed(weights_late[31:24]);
    product_4_0 <= $signed(operands_0) * $signed(weights_late[39:32]);
    product_5_0 <= $signed(operands_0) * $signed(weights_late[47:40]);
    product_6_0 <= $signed(operands_0) * $signed(weights_late[55:48]);
    product_7_0 <= $signed(operands_0) * $signed(weights_late[63:56]);
    product_8_0 <= $signed(operands_0) * $signed(weights_late[71:64]);
    product_9_0 <= $signed(operands_0) * $signed(weights_late[79:72]);
    biases_word <= biases_data;
    multiplier <= factors_data;
  end
  assign go = i__valid & _5_;
  assign issue = go & beat_ends;
  assign starts = beat == 9'h000;
  assign _5_ = (~beat_ends) | room;
  assign i__ready = output_ends & _5_;
  assign _10_ = starts_4 ? biases_word[23:0] : partial_sums_data[23:0];
  assign after_23_0 = $signed(_10_) + $signed({ {8{product_0_0[15]}}, product_0_0 });
  assign _11_ = starts_4 ? biases_word[47:24] : partial_sums_data[47:24];
  assign after_47_24 = $signed(_11_) + $signed({ {8{product_1_0[15]}}, product_1_0 });
  assign _0_ = starts_4 ? biases_word[71:48] : partial_sums_data[71:48];
  assign after_71_48 = $signed(_0_) + $signed({ {8{product_2_0[15]}}, product_2_0 });
  always @(posedge clk)
    if (rst) begin
      word <= 13'h0000;
      output_ends <= 1'h0;
      output_ <= 4'h0;
      channel <= 4'h0;
    end else if (go) begin
      word <= (word == 13'h12bf) ? 13'h0000 : (word + 13'h0001);
      output_ends <= output_ == 4'ha;
      output_ <= output_ends ? 4'h0 : (output_ + 4'h1);
      channel <= output_ends ? (beat_ends ? _9_ : (channel - 4'hb)) : _9_;
    end
  always @(posedge clk)
    if (rst) begin
      beat_ends <= 1'h0;
      beat <= 9'h000;
    end else if (output_ends & go) begin
      beat_ends <= beat == 9'h18e;
      beat <= beat_ends ? 9'h000 : (beat + 9'h001);
    end
  always @(posedge clk)
    if (rst) begin
      channel_1 <= 4'h0;
      channel_2 <= 4'h0;
      go_1 <= 1'h0;
      go_2 <= 1'h0;
      go_3 <= 1'h0;
      go_4 <= 1'h0;
      starts_1 <= 1'h0;
      starts_2 <= 1'h0;
      starts_3 <= 1'h0;
      starts_4 <= 1'h0;
      output_1 <= 4'h0;
      output_2 <= 4'h0;
      output_3 <= 4'h0;
      output_4 <= 4'h0;
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
      i_valid <= 1'h0;
      channel_late_1 <= 4'h0;
    end else begin
      channel_1 <= channel;
      channel_2 <= channel_1;
      go_1 <= go;
      go_2 <= go_1;
      go_3 <= go_2;
      go_4 <= go_3;
      starts_1 <= starts;
      starts_2 <= starts_1;
      starts_3 <= starts_2;
      starts_4 <= starts_3;
      output_1 <= output_;
      output_2 <= output_1;
      output_3 <= output_2;
      output_4 <= output_3;
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
      i_valid <= issue_11;
      channel_late_1 <= channel_2;
    end
  lenet5_fc1_queue queue (
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
  lenet5_fc1_requantize requantize (
    .clk(clk),
    .i(totals),
    .multiplier(multiplier),
    .o(i_payload),
    .rst(rst)
  );
endmodule
