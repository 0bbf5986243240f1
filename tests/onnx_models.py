"""Small float ONNX models for tests, with random weights; and runs of ONNX Runtime."""

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper


class ModelBuilder:
    """Collects nodes and initializers; `node` returns the name of the new output."""

    def __init__(self, seed, shape, name="model"):
        self.rng = np.random.default_rng(seed)
        self.name = name
        self.nodes = []
        self.initializers = []
        self.input = helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)

    def node(self, op, *inputs, name=None, **attributes):
        name = name or f"{op.lower()}{len(self.nodes) + 1}"
        made = helper.make_node(op, list(inputs), [f"{name}_out"], name=name, **attributes)
        self.nodes.append(made)
        return f"{name}_out"

    def constant(self, array, dtype=np.float32):
        name = f"constant{len(self.initializers) + 1}"
        self.initializers.append(numpy_helper.from_array(np.asarray(array, dtype), name))
        return name

    def weights(self, *shape):
        """Random weights that keep the size of their input, and with another size per channel."""
        fan_in = np.prod(shape[1:])
        spread = self.rng.uniform(0.2, 1.0, (shape[0], *(1,) * (len(shape) - 1)))
        return self.constant(self.rng.normal(0, 1.5 / np.sqrt(fan_in), shape) * spread)

    def conv(self, x, channels_in, channels, kernel=(3, 3), group=1, **attributes):
        w = self.weights(channels, channels_in // group, *kernel)
        b = self.constant(self.rng.normal(0, 0.1, channels))
        return self.node("Conv", x, w, b, group=group, **attributes)

    def gemm(self, x, inputs, outputs):
        b = self.constant(self.rng.normal(0, 0.1, outputs))
        return self.node("Gemm", x, self.weights(outputs, inputs), b, transB=1)

    def batch_normalization(self, x, channels):
        parts = [self.rng.uniform(0.5, 1.5, channels), self.rng.normal(0, 0.2, channels)]
        parts += [self.rng.normal(0, 0.2, channels), self.rng.uniform(0.5, 1.5, channels)]
        return self.node("BatchNormalization", x, *map(self.constant, parts))

    def model(self, *outputs, opset=17):
        infos = [helper.make_empty_tensor_value_info(name) for name in outputs]
        graph = helper.make_graph(self.nodes, self.name, [self.input], infos, self.initializers)
        opsets = [helper.make_opsetid("", opset)]
        made = helper.make_model(graph, opset_imports=opsets, ir_version=9)
        made = onnx.shape_inference.infer_shapes(made, check_type=True, strict_mode=True)
        onnx.checker.check_model(made)
        return made


def lenet(seed, softmax=True):
    """Convolutions, ReLU, max pools, dense layers."""
    b = ModelBuilder(seed, (1, 1, 14, 14), "lenet")
    x = b.node("Relu", b.conv("image", 1, 4, (5, 5), pads=[2, 2, 2, 2]))
    x = b.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = b.node("Relu", b.conv(x, 4, 8))
    x = b.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2])
    x = b.node("Relu", b.gemm(b.node("Flatten", x), 32, 20))
    x = b.gemm(x, 20, 10)
    return b.model(b.node("Softmax", x) if softmax else x)


def residual(seed):
    """Batch normalization, an Add that rejoins a fork, global average pool."""
    b = ModelBuilder(seed, (1, 3, 11, 9), "residual")
    x = b.batch_normalization(b.conv("image", 3, 6, pads=[1, 1, 1, 1], strides=[2, 1]), 6)
    x = b.node("Relu", x)
    y = b.node("Relu", b.batch_normalization(b.conv(x, 6, 6, pads=[1, 1, 1, 1]), 6))
    y = b.batch_normalization(b.conv(y, 6, 6, pads=[1, 1, 1, 1]), 6)
    x = b.node("Relu", b.node("Add", y, x))
    x = b.node("GlobalAveragePool", x)
    return b.model(b.gemm(b.node("Flatten", x), 6, 5))


def inception(seed):
    """Concat of four branches, depthwise and dilated kernels, average pools, pads, a gate."""
    b = ModelBuilder(seed, (1, 2, 12, 13), "inception")
    x = b.node("Pad", "image", b.constant([0, 0, 1, 0, 0, 0, 1, 2], np.int64))
    x = b.node("Clip", b.conv(x, 2, 6), b.constant(0.0), b.constant(6.0))
    branches = [
        b.node("Relu", b.conv(x, 6, 4, (1, 1))),
        b.conv(x, 6, 6, (3, 2), group=6, dilations=[2, 1], pads=[2, 1, 2, 0]),
        b.node("AveragePool", x, kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        b.node("MaxPool", x, kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
    ]
    x = b.node("Concat", *branches, axis=1)
    x = b.node("AveragePool", x, kernel_shape=[2, 3], strides=[2, 2], ceil_mode=1)
    edges = b.constant([0, 0, 1, 1, 0, 0, 1, 1], np.int64)
    x = b.conv(b.node("Pad", x, edges, mode="edge"), 22, 8, (3, 3), group=2)
    gate = b.node("Sigmoid", b.conv(b.node("GlobalAveragePool", x), 8, 8, (1, 1)))
    x = b.node("Mul", x, gate)
    x = b.node("GlobalMaxPool", x)
    shape = b.constant([1, 8], np.int64)
    return b.model(b.gemm(b.node("Reshape", x, shape), 8, 4))


def perceptron(seed):
    """MatMul and Add, Tanh, Dropout, Sigmoid, a scaled vector as input."""
    b = ModelBuilder(seed, (1, 12), "perceptron")
    x = b.node("MatMul", "image", b.constant(b.rng.normal(0, 0.4, (12, 16))))
    x = b.node("Tanh", b.node("Add", x, b.constant(b.rng.normal(0, 0.2, 16))))
    x = b.node("Identity", b.node("Dropout", x))
    x = b.node("MatMul", x, b.constant(b.rng.normal(0, 0.4, (16, 7))))
    x = b.node("Add", x, b.constant(b.rng.normal(0, 0.2, (1, 7))))
    return b.model(b.node("Sigmoid", x))


MODELS = {"inception": inception, "lenet": lenet, "perceptron": perceptron, "residual": residual}


def images(model, count, seed):
    """Random inputs, (count, ...) float32."""
    shape = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
    values = np.random.default_rng(seed).normal(0.2, 1.0, (count, *shape[1:]))
    return values.astype(np.float32)


def run_onnxruntime(model, inputs, outputs=None, optimize=True):
    """Outputs of a model with batch 1 (or of any of its tensors), for a batch of inputs each.

    Returns a mapping of name to array; axis 0 counts the inputs.
    """
    proto = onnx.ModelProto()
    proto.CopyFrom(model)
    present = [value.name for value in proto.graph.output]
    names = present if outputs is None else list(outputs)
    for name in names:
        if name not in present:
            proto.graph.output.append(helper.make_empty_tensor_value_info(name))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    if not optimize:
        level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.graph_optimization_level = level
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options)
    feed = proto.graph.input[0].name
    results = [
        session.run(names, {feed: inputs[index : index + 1]}) for index in range(len(inputs))
    ]
    return {
        name: np.concatenate(parts)
        for name, parts in zip(names, zip(*results, strict=True), strict=True)
    }
