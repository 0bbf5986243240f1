// Part of lenet5.

module lenet5_fc3_mac(
  input wire clk,
  input wire rst,
  input wire [23:0] i__payload,
  output wire i__ready,
  input wire i__valid,
  output wire [7:0] o__payload,
  input wire o__ready,
  output wire o__valid
);
  wire [3:0] _0_;
  wire [3:0] _1_;
  wire [7:0] _2_;
  wire [20:0] _3_;
  wire [20:0] _4_;
  wire _5_;
  wire _6_;
  reg [4:0] beat;
  reg beat_ends;
  reg [20:0] biases_data;
  reg [20:0] biases_word;
  reg [3:0] channel;
  reg [3:0] channel_1;
  reg [3:0] channel_2;
  reg [3:0] channel_late_1;
  reg [16:0] factors_data;
  wire go;
  reg go_1;
  reg go_2;
  reg go_3;
  reg go_4;
  wire [7:0] i_payload;
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
  reg [16:0] multiplier;
  reg [7:0] operands_0;
  reg [7:0] operands_0_1;
  reg [7:0] operands_0_of_0;
  reg [3:0] output_;
  reg [3:0] output_1;
  reg [3:0] output_2;
  reg [3:0] output_3;
  reg [3:0] output_4;
  reg output_ends;
  wire [20:0] partial_sums_data;
  reg [15:0] product_0_0;
  wire puts;
  wire room;
  reg [1:0] slice;
  reg slice_ends;
  wire starts;
  reg starts_1;
  reg starts_2;
  reg starts_3;
  reg starts_4;
  reg [20:0] totals;
  reg [7:0] weights_data;
  reg [7:0] weights_late;
  reg [7:0] weights_word;
  reg [9:0] word;
  reg [20:0] biases [0:9];
  initial $readmemb("lenet5_fc3_mac_biases.mem", biases);
  always @(posedge clk) biases_data <= biases[channel_2];
  reg [16:0] factors [0:9];
  initial $readmemb("lenet5_fc3_mac_factors.mem", factors);
  always @(posedge clk) factors_data <= factors[channel_late_1];
  reg [20:0] partial_sums [0:9];
  always @(posedge clk) if (go_4) partial_sums[output_4] <= _4_;
  assign partial_sums_data = partial_sums[output_4];
  reg [7:0] weights [0:839];
  initial $readmemb("lenet5_fc3_mac_weights.mem", weights);
  always @(posedge clk) weights_data <= weights[word];
  always @(posedge clk) begin
    weights_word <= weights_data;
    weights_late <= weights_word;
    operands_0_of_0 <= slice[1] ? i__payload[23:16] : _2_;
    operands_0_1 <= operands_0_of_0;
    operands_0 <= operands_0_1;
    product_0_0 <= $signed(operands_0) * $signed(weights_late);
    biases_word <= biases_data;
    multiplier <= factors_data;
  end
  assign go = i__valid & ((~puts) | room);
  assign issue = go & puts;
  assign starts = { beat, slice } == 7'h00;
  assign puts = slice_ends & beat_ends;
  assign i__ready = (slice_ends & output_ends) & ((~beat_ends) | room);
  assign _3_ = starts_4 ? biases_word : partial_sums_data;
  assign _4_ = $signed(_3_) + $signed({ {5{product_0_0[15]}}, product_0_0 });
  assign _0_ = (channel == 4'h9) ? 4'h0 : (channel + 4'h1);
  assign _1_ = channel - 4'h9;
  assign _2_ = slice[0] ? i__payload[15:8] : i__payload[7:0];
  always @(posedge clk)
    if (rst) begin
      word <= 10'h000;
      slice_ends <= 1'h0;
      slice <= 2'h0;
    end else if (go) begin
      word <= (word == 10'h347) ? 10'h000 : (word + 10'h001);
      slice_ends <= slice == 2'h1;
      slice <= slice_ends ? 2'h0 : (slice + 2'h1);
    end
  always @(posedge clk)
    if (rst) begin
      output_ends <= 1'h0;
      output_ <= 4'h0;
      channel <= 4'h0;
    end else if (slice_ends & go) begin
      output_ends <= output_ == 4'h8;
      output_ <= output_ends ? 4'h0 : (output_ + 4'h1);
      channel <= output_ends ? (beat_ends ? _0_ : _1_) : _0_;
    end
  always @(posedge clk)
    if (rst) beat_ends <= 1'h0;
    else if (_5_) beat_ends <= beat == 5'h1a;
  always @(posedge clk)
    if (rst) beat <= 5'h00;
    else if (_6_) beat <= beat_ends ? 5'h00 : (beat + 5'h01);
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
  always @(posedge clk)
    if (go_4) totals <= _4_;
  assign _5_ = output_ends & slice_ends & go;
  assign _6_ = output_ends & slice_ends & go;
  lenet5_fc3_queue queue (
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
  lenet5_fc3_requantize requantize (
    .clk(clk),
    .code_0(i_payload),
    .i(totals),
    .multiplier(multiplier),
    .rst(rst)
  );
endmodule
