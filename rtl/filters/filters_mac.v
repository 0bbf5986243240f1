// Part of filters.

module filters_mac(
  input wire clk,
  input wire rst,
  input wire [7:0] i__payload_0,
  input wire [7:0] i__payload_1,
  input wire [7:0] i__payload_2,
  input wire [7:0] i__payload_3,
  input wire [7:0] i__payload_4,
  input wire [7:0] i__payload_5,
  input wire [7:0] i__payload_6,
  input wire [7:0] i__payload_7,
  input wire [7:0] i__payload_8,
  output wire i__ready,
  input wire i__valid,
  output wire [31:0] o__payload,
  input wire o__ready,
  output wire o__valid
);
  wire go;
  reg go_1;
  reg go_10;
  reg go_2;
  reg go_3;
  reg go_4;
  reg go_5;
  reg go_6;
  reg go_7;
  reg go_8;
  reg go_9;
  wire [31:0] i_payload;
  reg i_valid;
  reg issue_11;
  reg issue_12;
  reg issue_13;
  reg issue_14;
  reg issue_15;
  reg issue_16;
  reg [71:0] operands_0;
  reg [71:0] operands_0_1;
  reg [71:0] operands_0_of_0;
  reg [11:0] product_0_0;
  reg [11:0] product_0_1;
  reg [11:0] product_0_2;
  reg [11:0] product_0_3;
  reg [11:0] product_0_4;
  reg [11:0] product_0_5;
  reg [11:0] product_0_6;
  reg [11:0] product_0_7;
  reg [11:0] product_0_8;
  reg [11:0] product_1_0;
  reg [11:0] product_1_1;
  reg [11:0] product_1_2;
  reg [11:0] product_1_3;
  reg [11:0] product_1_4;
  reg [11:0] product_1_5;
  reg [11:0] product_1_6;
  reg [11:0] product_1_7;
  reg [11:0] product_1_8;
  reg [11:0] product_2_0;
  reg [11:0] product_2_1;
  reg [11:0] product_2_2;
  reg [11:0] product_2_3;
  reg [11:0] product_2_4;
  reg [11:0] product_2_5;
  reg [11:0] product_2_6;
  reg [11:0] product_2_7;
  reg [11:0] product_2_8;
  reg [11:0] product_3_0;
  reg [11:0] product_3_1;
  reg [11:0] product_3_2;
  reg [11:0] product_3_3;
  reg [11:0] product_3_4;
  reg [11:0] product_3_5;
  reg [11:0] product_3_6;
  reg [11:0] product_3_7;
  reg [11:0] product_3_8;
  reg [11:0] sum_0_1_0;
  reg [11:0] sum_0_1_1;
  reg [11:0] sum_0_1_2;
  reg [11:0] sum_0_1_3;
  reg [11:0] sum_0_1_4;
  reg [11:0] sum_0_2_0;
  reg [11:0] sum_0_2_1;
  reg [11:0] sum_0_2_2;
  reg [11:0] sum_0_3_0;
  reg [11:0] sum_0_3_1;
  reg [11:0] sum_0_4_0;
  reg [11:0] sum_1_1_0;
  reg [11:0] sum_1_1_1;
  reg [11:0] sum_1_1_2;
  reg [11:0] sum_1_1_3;
  reg [11:0] sum_1_1_4;
  reg [11:0] sum_1_2_0;
  reg [11:0] sum_1_2_1;
  reg [11:0] sum_1_2_2;
  reg [11:0] sum_1_3_0;
  reg [11:0] sum_1_3_1;
  reg [11:0] sum_1_4_0;
  reg [11:0] sum_2_1_0;
  reg [11:0] sum_2_1_1;
  reg [11:0] sum_2_1_2;
  reg [11:0] sum_2_1_3;
  reg [11:0] sum_2_1_4;
  reg [11:0] sum_2_2_0;
  reg [11:0] sum_2_2_1;
  reg [11:0] sum_2_2_2;
  reg [11:0] sum_2_3_0;
  reg [11:0] sum_2_3_1;
  reg [11:0] sum_2_4_0;
  reg [11:0] sum_3_1_0;
  reg [11:0] sum_3_1_1;
  reg [11:0] sum_3_1_2;
  reg [11:0] sum_3_1_3;
  reg [11:0] sum_3_1_4;
  reg [11:0] sum_3_2_0;
  reg [11:0] sum_3_2_1;
  reg [11:0] sum_3_2_2;
  reg [11:0] sum_3_3_0;
  reg [11:0] sum_3_3_1;
  reg [11:0] sum_3_4_0;
  reg [47:0] totals;
  reg [287:0] weights_data;
  reg [287:0] weights_late;
  reg [287:0] weights_word;
  reg [287:0] weights [0:1];
  initial $readmemb("filters_mac_weights.mem", weights);
  always @(posedge clk) weights_data <= weights[1'h0];
  assign go = i__valid & i__ready;
  always @(posedge clk) begin
    weights_word <= weights_data;
    weights_late <= weights_word;
    operands_0_of_0 <= { i__payload_8, i__payload_7, i__payload_6, i__payload_5, i__payload_4,
        i__payload_3, i__payload_2, i__payload_1, i__payload_0 };
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
    sum_0_1_0 <= $signed(product_0_0) + $signed(product_0_1);
    sum_0_1_1 <= $signed(product_0_2) + $signed(product_0_3);
    sum_0_1_2 <= $signed(product_0_4) + $signed(product_0_5);
    sum_0_1_3 <= $signed(product_0_6) + $signed(product_0_7);
    sum_0_1_4 <= product_0_8;
    sum_0_2_0 <= $signed(sum_0_1_0) + $signed(sum_0_1_1);
    sum_0_2_1 <= $signed(sum_0_1_2) + $signed(sum_0_1_3);
    sum_0_2_2 <= sum_0_1_4;
    sum_0_3_0 <= $signed(sum_0_2_0) + $signed(sum_0_2_1);
    sum_0_3_1 <= sum_0_2_2;
    sum_0_4_0 <= $signed(sum_0_3_0) + $signed(sum_0_3_1);
    product_1_0 <= $signed(operands_0[7:0]) * $signed(weights_late[79:72]);
    product_1_1 <= $signed(operands_0[15:8]) * $signed(weights_late[87:80]);
    product_1_2 <= $signed(operands_0[23:16]) * $signed(weights_late[95:88]);
    product_1_3 <= $signed(operands_0[31:24]) * $signed(weights_late[103:96]);
    product_1_4 <= $signed(operands_0[39:32]) * $signed(weights_late[111:104]);
    product_1_5 <= $signed(operands_0[47:40]) * $signed(weights_late[119:112]);
    product_1_6 <= $signed(operands_0[55:48]) * $signed(weights_late[127:120]);
    product_1_7 <= $signed(operands_0[63:56]) * $signed(weights_late[135:128]);
    product_1_8 <= $signed(operands_0[71:64]) * $signed(weights_late[143:136]);
    sum_1_1_0 <= $signed(product_1_0) + $signed(product_1_1);
    sum_1_1_1 <= $signed(product_1_2) + $signed(product_1_3);
    sum_1_1_2 <= $signed(product_1_4) + $signed(product_1_5);
    sum_1_1_3 <= $signed(product_1_6) + $signed(product_1_7);
    sum_1_1_4 <= product_1_8;
    sum_1_2_0 <= $signed(sum_1_1_0) + $signed(sum_1_1_1);
    sum_1_2_1 <= $signed(sum_1_1_2) + $signed(sum_1_1_3);
    sum_1_2_2 <= sum_1_1_4;
    sum_1_3_0 <= $signed(sum_1_2_0) + $signed(sum_1_2_1);
    sum_1_3_1 <= sum_1_2_2;
    sum_1_4_0 <= $signed(sum_1_3_0) + $signed(sum_1_3_1);
    product_2_0 <= $signed(operands_0[7:0]) * $signed(weights_late[151:144]);
    product_2_1 <= $signed(operands_0[15:8]) * $signed(weights_late[159:152]);
    product_2_2 <= $signed(operands_0[23:16]) * $signed(weights_late[167:160]);
    product_2_3 <= $signed(operands_0[31:24]) * $signed(weights_late[175:168]);
    product_2_4 <= $signed(operands_0[39:32]) * $signed(weights_late[183:176]);
    product_2_5 <= $signed(operands_0[47:40]) * $signed(weights_late[191:184]);
    product_2_6 <= $signed(operands_0[55:48]) * $signed(weights_late[199:192]);
    product_2_7 <= $signed(operands_0[63:56]) * $signed(weights_late[207:200]);
    product_2_8 <= $signed(operands_0[71:64]) * $signed(weights_late[215:208]);
    sum_2_1_0 <= $signed(product_2_0) + $signed(product_2_1);
    sum_2_1_1 <= $signed(product_2_2) + $signed(product_2_3);
    sum_2_1_2 <= $signed(product_2_4) + $signed(product_2_5);
    sum_2_1_3 <= $signed(product_2_6) + $signed(product_2_7);
    sum_2_1_4 <= product_2_8;
    sum_2_2_0 <= $signed(sum_2_1_0) + $signed(sum_2_1_1);
    sum_2_2_1 <= $signed(sum_2_1_2) + $signed(sum_2_1_3);
    sum_2_2_2 <= sum_2_1_4;
    sum_2_3_0 <= $signed(sum_2_2_0) + $signed(sum_2_2_1);
    sum_2_3_1 <= sum_2_2_2;
    sum_2_4_0 <= $signed(sum_2_3_0) + $signed(sum_2_3_1);
    product_3_0 <= $signed(operands_0[7:0]) * $signed(weights_late[223:216]);
    product_3_1 <= $signed(operands_0[15:8]) * $signed(weights_late[231:224]);
    product_3_2 <= $signed(operands_0[23:16]) * $signed(weights_late[239:232]);
    product_3_3 <= $signed(operands_0[31:24]) * $signed(weights_late[247:240]);
    product_3_4 <= $signed(operands_0[39:32]) * $signed(weights_late[255:248]);
    product_3_5 <= $signed(operands_0[47:40]) * $signed(weights_late[263:256]);
    product_3_6 <= $signed(operands_0[55:48]) * $signed(weights_late[271:264]);
    product_3_7 <= $signed(operands_0[63:56]) * $signed(weights_late[279:272]);
    product_3_8 <= $signed(operands_0[71:64]) * $signed(weights_late[287:280]);
    sum_3_1_0 <= $signed(product_3_0) + $signed(product_3_1);
    sum_3_1_1 <= $signed(product_3_2) + $signed(product_3_3);
    sum_3_1_2 <= $signed(product_3_4) + $signed(product_3_5);
    sum_3_1_3 <= $signed(product_3_6) + $signed(product_3_7);
    sum_3_1_4 <= product_3_8;
    sum_3_2_0 <= $signed(sum_3_1_0) + $signed(sum_3_1_1);
    sum_3_2_1 <= $signed(sum_3_1_2) + $signed(sum_3_1_3);
    sum_3_2_2 <= sum_3_1_4;
    sum_3_3_0 <= $signed(sum_3_2_0) + $signed(sum_3_2_1);
    sum_3_3_1 <= sum_3_2_2;
    sum_3_4_0 <= $signed(sum_3_3_0) + $signed(sum_3_3_1);
  end
  always @(posedge clk)
    if (rst) begin
      go_8 <= 1'h0;
      go_9 <= 1'h0;
      i_valid <= 1'h0;
      issue_15 <= 1'h0;
      issue_13 <= 1'h0;
      issue_11 <= 1'h0;
      go_4 <= 1'h0;
      go_7 <= 1'h0;
      go_3 <= 1'h0;
      go_5 <= 1'h0;
      issue_16 <= 1'h0;
      issue_14 <= 1'h0;
      issue_12 <= 1'h0;
      go_2 <= 1'h0;
      go_6 <= 1'h0;
      go_10 <= 1'h0;
      go_1 <= 1'h0;
    end else begin
      go_8 <= go_7;
      go_9 <= go_8;
      i_valid <= issue_16;
      issue_15 <= issue_14;
      issue_13 <= issue_12;
      issue_11 <= go_10;
      go_4 <= go_3;
      go_7 <= go_6;
      go_3 <= go_2;
      go_5 <= go_4;
      issue_16 <= issue_15;
      issue_14 <= issue_13;
      issue_12 <= issue_11;
      go_2 <= go_1;
      go_6 <= go_5;
      go_10 <= go_9;
      go_1 <= go;
    end
  always @(posedge clk)
    if (go_10) totals <= { sum_3_4_0, sum_2_4_0, sum_1_4_0, sum_0_4_0 };
  filters_mac_queue queue (
    .clk(clk),
    .i__payload(i_payload),
    .i__valid(i_valid),
    .issue(go),
    .o__payload(o__payload),
    .o__ready(o__ready),
    .o__valid(o__valid),
    .room(i__ready),
    .rst(rst)
  );
  filters_mac_requantize requantize (
    .clk(clk),
    .i(totals),
    .o(i_payload),
    .rst(rst)
  );
endmodule
