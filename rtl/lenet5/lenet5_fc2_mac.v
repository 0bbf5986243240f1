// Part of lenet5.

module lenet5_fc2_mac(
  input wire clk,
  input wire rst,
  input wire [79:0] i__payload,
  output wire i__ready,
  input wire i__valid,
  output wire [23:0] o__payload,
  input wire o__ready,
  output wire o__valid
);
  wire [21:0] _0_;
  wire [4:0] _1_;
  wire [4:0] _2_;
  wire [7:0] _3_;
  wire [7:0] _4_;
  wire [7:0] _5_;
  wire [21:0] _6_;
  wire [21:0] _7_;
  wire _8_;
  wire _9_;
  wire [21:0] after_21_0;
  wire [21:0] after_43_22;
  wire [21:0] after_65_44;
  reg [3:0] beat;
  reg beat_ends;
  reg [65:0] biases_data;
  reg [65:0] biases_word;
  reg [4:0] channel;
  reg [4:0] channel_1;
  reg [4:0] channel_2;
  reg [4:0] channel_late_1;
  reg [50:0] factors_data;
  wire go;
  reg go_1;
  reg go_2;
  reg go_3;
  reg go_4;
  wire [23:0] i_payload;
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
  reg [50:0] multiplier;
  reg [7:0] operands_0;
  reg [7:0] operands_0_1;
  reg [7:0] operands_0_of_0;
  reg [7:0] operands_0_of_1;
  reg [7:0] operands_0_of_2;
  reg [1:0] operands_0_which;
  reg [4:0] output_;
  reg [4:0] output_1;
  reg [4:0] output_2;
  reg [4:0] output_3;
  reg [4:0] output_4;
  reg output_ends;
  wire [65:0] partial_sums_data;
  reg [15:0] product_0_0;
  reg [15:0] product_1_0;
  reg [15:0] product_2_0;
  wire puts;
  wire room;
  reg [3:0] slice;
  reg slice_ends;
  wire starts;
  reg starts_1;
  reg starts_2;
  reg starts_3;
  reg starts_4;
  reg [65:0] totals;
  reg [23:0] weights_data;
  reg [23:0] weights_late;
  reg [23:0] weights_word;
  reg [11:0] word;
  reg [65:0] biases [0:27];
  initial $readmemb("lenet5_fc2_mac_biases.mem", biases);
  always @(posedge clk) biases_data <= biases[channel_2];
  reg [50:0] factors [0:27];
  initial $readmemb("lenet5_fc2_mac_factors.mem", factors);
  always @(posedge clk) factors_data <= factors[channel_late_1];
  reg [65:0] partial_sums [0:27];
  always @(posedge clk)
    if (go_4) begin
      partial_sums[output_4] <= { after_65_44, after_43_22, after_21_0 };
      totals <= { after_65_44, after_43_22, after_21_0 };
    end
  assign partial_sums_data = partial_sums[output_4];
  reg [23:0] weights [0:3359];
  initial $readmemb("lenet5_fc2_mac_weights.mem", weights);
  always @(posedge clk) weights_data <= weights[word];
  assign _1_ = (channel == 5'h1b) ? 5'h00 : (channel + 5'h01);
  assign _2_ = channel - 5'h1b;
  assign _3_ = slice[0] ? i__payload[15:8] : i__payload[7:0];
  assign _4_ = slice[0] ? i__payload[47:40] : i__payload[39:32];
  assign _5_ = operands_0_which[0] ? operands_0_of_1 : operands_0_of_0;
  always @(posedge clk) begin
    weights_word <= weights_data;
    weights_late <= weights_word;
    operands_0_of_0 <= slice[1] ? (slice[0] ? i__payload[31:24] : i__payload[23:16]) : _3_;
    operands_0_of_1 <= slice[1] ? (slice[0] ? i__payload[63:56] : i__payload[55:48]) : _4_;
    operands_0_of_2 <= slice[0] ? i__payload[79:72] : i__payload[71:64];
    operands_0_which <= slice[3:2];
    operands_0_1 <= operands_0_which[1] ? operands_0_of_2 : _5_;
    operands_0 <= operands_0_1;
    product_0_0 <= $signed(operands_0) * $signed(weights_late[7:0]);
    product_1_0 <= $signed(operands_0) * $signed(weights_late[15:8]);
    product_2_0 <= $signed(operands_0) * $signed(weights_late[23:16]);
    biases_word <= biases_data;
    multiplier <= factors_data;
  end
  assign go = i__valid & ((~puts) | room);
  assign issue = go & puts;
  assign starts = { beat, slice } == 8'h00;
  assign puts = slice_ends & beat_ends;
  assign i__ready = (slice_ends & output_ends) & ((~beat_ends) | room);
  assign _6_ = starts_4 ? biases_word[21:0] : partial_sums_data[21:0];
  assign after_21_0 = $signed(_6_) + $signed({ {6{product_0_0[15]}}, product_0_0 });
  assign _7_ = starts_4 ? biases_word[43:22] : partial_sums_data[43:22];
  assign after_43_22 = $signed(_7_) + $signed({ {6{product_1_0[15]}}, product_1_0 });
  assign _0_ = starts_4 ? biases_word[65:44] : partial_sums_data[65:44];
  assign after_65_44 = $signed(_0_) + $signed({ {6{product_2_0[15]}}, product_2_0 });
  always @(posedge clk)
    if (rst) begin
      word <= 12'h000;
      slice_ends <= 1'h0;
      slice <= 4'h0;
    end else if (go) begin
      word <= (word == 12'hd1f) ? 12'h000 : (word + 12'h001);
      slice_ends <= slice == 4'h8;
      slice <= slice_ends ? 4'h0 : (slice + 4'h1);
    end
  always @(posedge clk)
    if (rst) begin
      output_ends <= 1'h0;
      output_ <= 5'h00;
      channel <= 5'h00;
    end else if (slice_ends & go) begin
      output_ends <= output_ == 5'h1a;
      output_ <= output_ends ? 5'h00 : (output_ + 5'h01);
      channel <= output_ends ? (beat_ends ? _1_ : _2_) : _1_;
    end
  always @(posedge clk)
    if (rst) beat_ends <= 1'h0;
    else if (_8_) beat_ends <= beat == 4'ha;
  always @(posedge clk)
    if (rst) beat <= 4'h0;
    else if (_9_) beat <= beat_ends ? 4'h0 : (beat + 4'h1);
  always @(posedge clk)
    if (rst) begin
      channel_1 <= 5'h00;
      channel_2 <= 5'h00;
      go_1 <= 1'h0;
      go_2 <= 1'h0;
      go_3 <= 1'h0;
      go_4 <= 1'h0;
      starts_1 <= 1'h0;
      starts_2 <= 1'h0;
      starts_3 <= 1'h0;
      starts_4 <= 1'h0;
      output_1 <= 5'h00;
      output_2 <= 5'h00;
      output_3 <= 5'h00;
      output_4 <= 5'h00;
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
      channel_late_1 <= 5'h00;
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
  assign _8_ = output_ends & slice_ends & go;
  assign _9_ = output_ends & slice_ends & go;
  lenet5_fc2_queue queue (
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
  lenet5_fc2_requantize requantize (
    .clk(clk),
    .i(totals),
    .multiplier(multiplier),
    .o(i_payload),
    .rst(rst)
  );
endmodule
