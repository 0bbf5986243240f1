"""ResNet-18 (He et al., CVPR 2016, table 1) as an ONNX model without meaning in its weights.

To be replaced by the network of that name in the package, once it has one.
"""

import numpy as np
from onnx import TensorProto, helper, numpy_helper, shape_inference

__all__ = ["resnet18"]

STAGES = ((64, 1), (128, 2), (256, 2), (512, 2))  # channels, first stride; two blocks each
CLASSES = 1000


class _Builder:
    def __init__(self, stored):
        self.stored = stored
        self.nodes, self.constants = [], []

    def add(self, op, inputs, **attributes):
        name = f"{op.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def constant(self, name, *shape):
        if self.stored:
            self.constants.append(numpy_helper.from_array(np.zeros(shape, np.float32), name))
            return name
        shape_name = f"{name}_shape"
        self.constants.append(numpy_helper.from_array(np.array(shape, np.int64), shape_name))
        self.nodes.append(helper.make_node("ConstantOfShape", [shape_name], [name], name=name))
        return name

    def conv(self, source, channels, filters, kernel, stride):
        name = f"w{len(self.nodes)}"
        pad = kernel // 2
        weights = self.constant(name, filters, channels, kernel, kernel)
        bias = self.constant(f"{name}_b", filters)
        return self.add(
            "Conv",
            [source, weights, bias],
            # ZigZag wants all of them.
            kernel_shape=[kernel] * 2,
            strides=[stride] * 2,
            pads=[pad] * 4,
            dilations=[1, 1],
            group=1,
        )

    def block(self, source, channels, filters, stride):
        first = self.add("Relu", [self.conv(source, channels, filters, 3, stride)])
        second = self.conv(first, filters, filters, 3, 1)
        if stride > 1 or channels != filters:
            source = self.conv(source, channels, filters, 1, stride)
        return self.add("Relu", [self.add("Add", [second, source])])


def resnet18(stored=False):
    """The model, batch normalization folded; an image of 3 x 224 x 224.

    Its weights are zeros, ``stored`` in the file or made by an operator.
    """
    b = _Builder(stored)
    last = b.add("Relu", [b.conv("image", 3, 64, 7, 2)])
    last = b.add("MaxPool", [last], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    channels = 64
    for filters, stride in STAGES:
        for place in range(2):
            last = b.block(last, channels, filters, stride if place == 0 else 1)
            channels = filters
    last = b.add("Flatten", [b.add("GlobalAveragePool", [last])])
    weights, bias = b.constant("fc", CLASSES, channels), b.constant("fc_b", CLASSES)
    last = b.add("Gemm", [last, weights, bias], transB=1)
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 224, 224])
    output = helper.make_tensor_value_info(last, TensorProto.FLOAT, [1, CLASSES])
    graph = helper.make_graph(b.nodes, "resnet18", [image], [output], b.constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    # ZigZag wants the shapes of what lies in between.
    return shape_inference.infer_shapes(model) if stored else model
