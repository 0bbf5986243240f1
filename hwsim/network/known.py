"""Known networks, as topologies: their weights are zeros that take no memory.

* ``alexnet``: Krizhevsky et al. (2012) in Caffe's version, 224 x 224: two groups in conv2, conv4
  and conv5, normalization after pooling.
* ``vgg16``, ``vgg19``: Simonyan and Zisserman (2014), configurations D and E.
* ``googlenet``: Szegedy et al. (2014), Inception-V1 without the auxiliary classifiers; pools round
  up, as in Caffe.
* ``resnet18``, ``34``, ``50``, ``101``, ``152``: He et al. (2015), the stride of a bottleneck in
  its 3 x 3 convolution, as in Torch.
"""

from functools import cache

from onnx import TensorProto, helper

from .load import load

__all__ = ["KNOWN", "known"]

_VGG = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
_RESNET = {
    "resnet18": (2, 2, 2, 2),
    "resnet34": (3, 4, 6, 3),
    "resnet50": (3, 4, 6, 3),
    "resnet101": (3, 4, 23, 3),
    "resnet152": (3, 8, 36, 3),
}
# 1x1; 3x3 behind its 1x1; 5x5 behind its 1x1; 1x1 behind the pool; "pool" between stages.
_INCEPTION: tuple[tuple[str, tuple[int, ...]] | None, ...] = (
    ("3a", (64, 96, 128, 16, 32, 32)),
    ("3b", (128, 128, 192, 32, 96, 64)),
    None,
    ("4a", (192, 96, 208, 16, 48, 64)),
    ("4b", (160, 112, 224, 24, 64, 64)),
    ("4c", (128, 128, 256, 24, 64, 64)),
    ("4d", (112, 144, 288, 32, 64, 64)),
    ("4e", (256, 160, 320, 32, 128, 128)),
    None,
    ("5a", (256, 160, 320, 32, 128, 128)),
    ("5b", (384, 192, 384, 48, 128, 128)),
)
KNOWN = ("alexnet", *_VGG, "googlenet", *_RESNET)
"""Names."""


@cache
def known(name):
    """The network of that name, see `KNOWN`, for one image.

    Raises
    ------
    ValueError
        If there is none.
    """
    if name not in KNOWN:
        raise ValueError(f"unknown network '{name}'; known are {', '.join(KNOWN)}")
    graph = _Graph(name)
    if name == "alexnet":
        _alexnet(graph)
    elif name in _VGG:
        _vgg(graph, _VGG[name])
    elif name == "googlenet":
        _googlenet(graph)
    else:
        _resnet(graph, _RESNET[name], int(name.removeprefix("resnet")) >= 50)
    return graph.network()


class _Graph:
    """Nodes one after the other; ``at`` is the tensor at the end, ``channels`` its channels."""

    def __init__(self, name):
        self.name, self.at, self.channels = name, "image", 3
        self.nodes, self.shapes = [], []
        self.statistics = set()

    def network(self):
        graph = helper.make_graph(
            self.nodes,
            self.name,
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 224, 224])],
            [helper.make_tensor_value_info(self.at, TensorProto.FLOAT, None)],
            self.shapes,
        )
        return load(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]))

    def node(self, op, name, *inputs, **attributes):
        self.at = f"{name}_out"
        self.nodes.append(helper.make_node(op, inputs, [self.at], name=name, **attributes))
        return self.at

    def zeros(self, name, *shape):
        self.shapes.append(
            helper.make_tensor(f"{name}_shape", TensorProto.INT64, [len(shape)], shape)
        )
        self.nodes.append(helper.make_node("ConstantOfShape", [f"{name}_shape"], [name], name=name))
        return name

    def conv(self, name, outputs, size, stride=1, pad=0, group=1, bias=True):
        weights = [self.zeros(f"{name}_weights", outputs, self.channels // group, size, size)]
        if bias:
            weights.append(self.zeros(f"{name}_bias", outputs))
        self.channels = outputs
        self.node(
            "Conv",
            name,
            self.at,
            *weights,
            kernel_shape=[size, size],
            strides=[stride, stride],
            pads=[pad] * 4,
            group=group,
        )

    def conv_relu(self, name, *arguments, **options):
        self.conv(name, *arguments, **options)
        self.relu(f"{name}_relu")

    def norm(self, name):
        values = [self.zeros(f"{name}_{part}", self.channels) for part in ("scale", "shift")]
        # Mean and variance are not parameters: one vector of zeros for all layers of a width.
        statistics = f"statistics_{self.channels}"
        if statistics not in self.statistics:
            self.statistics.add(self.zeros(statistics, self.channels))
        self.node("BatchNormalization", name, self.at, *values, statistics, statistics)

    def relu(self, name):
        self.node("Relu", name, self.at)

    def pool(self, name, size, stride, pad=0, ceil=1):
        self.node(
            "MaxPool",
            name,
            self.at,
            kernel_shape=[size, size],
            strides=[stride, stride],
            pads=[pad] * 4,
            ceil_mode=ceil,
        )

    def dense(self, name, inputs, outputs):
        weights = self.zeros(f"{name}_weights", outputs, inputs)
        self.node("Gemm", name, self.at, weights, self.zeros(f"{name}_bias", outputs), transB=1)

    def classifier(self, inputs):
        """Two hidden layers of 4096, and 1000 classes."""
        self.node("Flatten", "flatten", self.at)
        for name, size in (("fc6", inputs), ("fc7", 4096)):
            self.dense(name, size, 4096)
            self.relu(f"{name}_relu")
            self.node("Dropout", f"{name}_dropout", self.at)
        self.dense("fc8", 4096, 1000)


def _alexnet(graph):
    for index, (outputs, size, stride, pad, group) in enumerate(
        ((96, 11, 4, 0, 1), (256, 5, 1, 2, 2), (384, 3, 1, 1, 1), (384, 3, 1, 1, 2)), 1
    ):
        graph.conv_relu(f"conv{index}", outputs, size, stride, pad, group)
        if index <= 2:
            graph.pool(f"pool{index}", 3, 2, ceil=0)
            graph.node("LRN", f"norm{index}", graph.at, size=5)
    graph.conv_relu("conv5", 256, 3, 1, 1, 2)
    graph.pool("pool5", 3, 2, ceil=1)
    graph.classifier(256 * 6 * 6)


def _vgg(graph, counts):
    for stage, count in enumerate(counts, 1):
        for index in range(1, count + 1):
            graph.conv_relu(f"conv{stage}_{index}", min(32 << stage, 512), 3, 1, 1)
        graph.pool(f"pool{stage}", 2, 2)
    graph.classifier(512 * 7 * 7)


def _googlenet(graph):
    graph.conv_relu("conv1", 64, 7, 2, 3)
    graph.pool("pool1", 3, 2)
    graph.node("LRN", "norm1", graph.at, size=5)
    graph.conv_relu("conv2_reduce", 64, 1)
    graph.conv_relu("conv2", 192, 3, 1, 1)
    graph.node("LRN", "norm2", graph.at, size=5)
    graph.pool("pool2", 3, 2)
    for index, stage in enumerate(_INCEPTION):
        if stage is None:
            graph.pool(f"pool{3 if index < 5 else 4}", 3, 2)
        else:
            _inception(graph, *stage)
    graph.node("GlobalAveragePool", "pool5", graph.at)
    graph.node("Flatten", "flatten", graph.at)
    graph.node("Dropout", "dropout", graph.at)
    graph.dense("classifier", 1024, 1000)


def _inception(graph, name, sizes):
    source, channels = graph.at, graph.channels
    ends = []
    for branch, layers in (
        ("1x1", ((sizes[0], 1),)),
        ("3x3", ((sizes[1], 1), (sizes[2], 3))),
        ("5x5", ((sizes[3], 1), (sizes[4], 5))),
        ("pool", ((sizes[5], 1),)),
    ):
        graph.at, graph.channels = source, channels
        if branch == "pool":
            graph.pool(f"{name}_pool_3x3", 3, 1, 1)
        for index, (outputs, size) in enumerate(layers):
            reduce = "_reduce" if index + 1 < len(layers) else ""
            graph.conv_relu(f"{name}_{branch}{reduce}", outputs, size, 1, size // 2)
        ends.append(graph.at)
    graph.node("Concat", f"{name}_concat", *ends, axis=1)
    graph.channels = sizes[0] + sizes[2] + sizes[4] + sizes[5]


def _resnet(graph, counts, bottleneck):
    graph.conv("conv1", 64, 7, 2, 3, bias=False)
    graph.norm("conv1_norm")
    graph.relu("conv1_relu")
    graph.pool("pool1", 3, 2, 1, ceil=0)
    for stage, count in enumerate(counts):
        width = 64 << stage
        for index in range(count):
            stride = 2 if stage and not index else 1
            name = f"stage{stage + 1}_{index + 1}"
            layers: tuple[tuple[int, int, int], ...]
            if bottleneck:
                layers = ((width, 1, 1), (width, 3, stride), (4 * width, 1, 1))
            else:
                layers = ((width, 3, stride), (width, 3, 1))
            _block(graph, name, layers, stride)
    graph.node("GlobalAveragePool", "pool5", graph.at)
    graph.node("Flatten", "flatten", graph.at)
    graph.dense("classifier", graph.channels, 1000)


def _block(graph, name, layers, stride):
    source, channels = graph.at, graph.channels
    for index, (outputs, size, step) in enumerate(layers, 1):
        graph.conv(f"{name}_conv{index}", outputs, size, step, size // 2, bias=False)
        graph.norm(f"{name}_norm{index}")
        if index < len(layers):
            graph.relu(f"{name}_relu{index}")
    end, outputs = graph.at, graph.channels
    if stride > 1 or channels != outputs:
        graph.at, graph.channels = source, channels
        graph.conv(f"{name}_shortcut", outputs, 1, stride, bias=False)
        graph.norm(f"{name}_shortcut_norm")
        source = graph.at
    graph.node("Add", f"{name}_add", end, source)
    graph.relu(f"{name}_relu")
