"""A builder of ONNX graphs whose weights are zeros that take no memory."""

from onnx import TensorProto, helper

from hwsim.network.windows import output_size

__all__ = ["Graph"]

OPSET = 17


class Graph:
    """Nodes one after the other.

    Parameters
    ----------
    name : str
    shape : tuple of int
        Of an image: (C, H, W), or (N,) for a vector.

    Members
    -------
    at : str
        Tensor at the end.
    channels : int
        Its channels.
    size : tuple of int
        Its positions; empty for a vector.
    """

    def __init__(self, name, shape=(3, 224, 224)):
        self.name, self.shape, self.at = name, shape, "image"
        self.channels, *size = shape
        self.size = tuple(size)
        self.nodes, self.initializers = [], []
        self.statistics = set()

    def model(self):
        """The graph as an ``onnx.ModelProto``, for any number of images."""
        graph = helper.make_graph(
            self.nodes,
            self.name,
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", *self.shape])],
            [helper.make_tensor_value_info(self.at, TensorProto.FLOAT, None)],
            self.initializers,
        )
        # Version 8 of the format came with this operator set.
        opset = helper.make_opsetid("", OPSET)
        return helper.make_model(graph, opset_imports=[opset], ir_version=8)

    def node(self, op, name, *inputs, **attributes):
        """Append a node with one output, which is the new end; returns it."""
        self.at = f"{name}_out"
        self.nodes.append(helper.make_node(op, inputs, [self.at], name=name, **attributes))
        return self.at

    def zeros(self, name, *shape):
        """Return the name of a constant of zeros."""
        self.initializers.append(
            helper.make_tensor(f"{name}_shape", TensorProto.INT64, [len(shape)], shape)
        )
        self.nodes.append(helper.make_node("ConstantOfShape", [f"{name}_shape"], [name], name=name))
        return name

    def conv(self, name, outputs, size, stride=1, pad=0, group=1, bias=True, after=None):
        """Square kernels, the same padding on all sides, or ``after`` at the right and below."""
        weights = [self.zeros(f"{name}_weights", outputs, self.channels // group, size, size)]
        if bias:
            weights.append(self.zeros(f"{name}_bias", outputs))
        self.channels = outputs
        after = pad if after is None else after
        self._slide(size, stride, pad, after, False)
        self.node(
            "Conv",
            name,
            self.at,
            *weights,
            kernel_shape=[size, size],
            strides=[stride, stride],
            pads=[pad, pad, after, after],
            group=group,
        )

    def conv_relu(self, name, *arguments, **options):
        """A convolution and a ReLU."""
        self.conv(name, *arguments, **options)
        self.relu(f"{name}_relu")

    def norm(self, name):
        """Batch normalization."""
        values = [self.zeros(f"{name}_{part}", self.channels) for part in ("scale", "shift")]
        # Mean and variance are not parameters: one vector of zeros each for all layers of a width.
        statistics = [f"{part}_{self.channels}" for part in ("mean", "variance")]
        if self.channels not in self.statistics:
            self.statistics.add(self.channels)
            for constant in statistics:
                self.zeros(constant, self.channels)
        self.node("BatchNormalization", name, self.at, *values, *statistics)

    def relu(self, name, largest=None):
        """A ReLU, cut at ``largest`` if that is given."""
        if largest is None:
            self.node("Relu", name, self.at)
            return
        bounds = [f"{name}_minimum", f"{name}_maximum"]
        self.initializers += [
            helper.make_tensor(bound, TensorProto.FLOAT, [], [value])
            for bound, value in zip(bounds, (0.0, largest), strict=True)
        ]
        self.node("Clip", name, self.at, *bounds)

    def pool(self, name, size, stride, pad=0, ceil=1, op="MaxPool"):
        """A pool; with ``ceil`` a window that is partly filled counts."""
        self._slide(size, stride, pad, pad, bool(ceil))
        self.node(
            op,
            name,
            self.at,
            kernel_shape=[size, size],
            strides=[stride, stride],
            pads=[pad] * 4,
            ceil_mode=ceil,
        )

    def lrn(self, name, size=5, alpha=1e-4, bias=1.0):
        """Local response normalization over ``size`` channels: ``alpha`` as ONNX has it."""
        self.node("LRN", name, self.at, size=size, alpha=alpha, beta=0.75, bias=bias)

    def global_average(self, name):
        """The mean over all positions."""
        self.node("GlobalAveragePool", name, self.at)
        self.size = (1,) * len(self.size)

    def flatten(self, name="flatten"):
        """All values as one vector."""
        self.node("Flatten", name, self.at)
        for size in self.size:
            self.channels *= size
        self.size = ()

    def dense(self, name, outputs):
        """A fully connected layer."""
        weights = self.zeros(f"{name}_weights", outputs, self.channels)
        self.node("Gemm", name, self.at, weights, self.zeros(f"{name}_bias", outputs), transB=1)
        self.channels = outputs

    def _slide(self, kernel, stride, pad, after, ceil_mode):
        self.size = tuple(
            output_size(size, kernel, stride, 1, pad, after, ceil_mode) for size in self.size
        )
