// Part of lenet5.

module lenet5_pipeline(
  input wire clk,
  input wire rst,
  input wire [7:0] i__payload,
  output wire i__ready,
  input wire i__valid,
  output wire [7:0] o__payload,
  input wire o__ready,
  output wire o__valid
);
  wire [7:0] conv1_o__payload;
  wire conv1_o__ready;
  wire conv1_o__valid;
  wire [15:0] conv2_i_resize_o__payload;
  wire conv2_i_resize_o__ready;
  wire conv2_i_resize_o__valid;
  wire [7:0] conv2_o__payload;
  wire conv2_o__ready;
  wire conv2_o__valid;
  wire [79:0] fc1_o__payload;
  wire fc1_o__ready;
  wire fc1_o__valid;
  wire [23:0] fc2_o__payload;
  wire fc2_o__ready;
  wire fc2_o__valid;
  wire [7:0] pool1_o__payload;
  wire pool1_o__ready;
  wire pool1_o__valid;
  wire [7:0] pool2_o__payload;
  wire pool2_o__ready;
  wire pool2_o__valid;
  lenet5_conv1 conv1 (
    .clk(clk),
    .i__payload(i__payload),
    .i__ready(i__ready),
    .i__valid(i__valid),
    .o__payload(conv1_o__payload),
    .o__ready(conv1_o__ready),
    .o__valid(conv1_o__valid),
    .rst(rst)
  );
  lenet5_conv2 conv2 (
    .clk(clk),
    .i__payload(conv2_i_resize_o__payload),
    .i__ready(conv2_i_resize_o__ready),
    .i__valid(conv2_i_resize_o__valid),
    .o__payload(conv2_o__payload),
    .o__ready(conv2_o__ready),
    .o__valid(conv2_o__valid),
    .rst(rst)
  );
  lenet5_conv2_i_resize conv2_i_resize (
    .clk(clk),
    .i__payload(pool1_o__payload),
    .i__ready(pool1_o__ready),
    .i__valid(pool1_o__valid),
    .o__payload(conv2_i_resize_o__payload),
    .o__ready(conv2_i_resize_o__ready),
    .o__valid(conv2_i_resize_o__valid),
    .rst(rst)
  );
  lenet5_fc1 fc1 (
    .clk(clk),
    .i__payload(pool2_o__payload),
    .i__ready(pool2_o__ready),
    .i__valid(pool2_o__valid),
    .o__payload(fc1_o__payload),
    .o__ready(fc1_o__ready),
    .o__valid(fc1_o__valid),
    .rst(rst)
  );
  lenet5_fc2 fc2 (
    .clk(clk),
    .i__payload(fc1_o__payload),
    .i__ready(fc1_o__ready),
    .i__valid(fc1_o__valid),
    .o__payload(fc2_o__payload),
    .o__ready(fc2_o__ready),
    .o__valid(fc2_o__valid),
    .rst(rst)
  );
  lenet5_fc3 fc3 (
    .clk(clk),
    .i__payload(fc2_o__payload),
    .i__ready(fc2_o__ready),
    .i__valid(fc2_o__valid),
    .o__payload(o__payload),
    .o__ready(o__ready),
    .o__valid(o__valid),
    .rst(rst)
  );
  lenet5_pool1 pool1 (
    .clk(clk),
    .i__payload(conv1_o__payload),
    .i__ready(conv1_o__ready),
    .i__valid(conv1_o__valid),
    .o__payload(pool1_o__payload),
    .o__ready(pool1_o__ready),
    .o__valid(pool1_o__valid),
    .rst(rst)
  );
  lenet5_pool2 pool2 (
    .clk(clk),
    .i__payload(conv2_o__payload),
    .i__ready(conv2_o__ready),
    .i__valid(conv2_o__valid),
    .o__payload(pool2_o__payload),
    .o__ready(pool2_o__ready),
    .o__valid(pool2_o__valid),
    .rst(rst)
  );
endmodule
