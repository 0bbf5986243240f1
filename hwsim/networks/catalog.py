"""Topologies of known networks, each a function that fills a `Graph`; sources stand beside them.

Where an author's text leaves a choice open, the docstring says which one is taken;
``docs/networks.md`` compares counts with published ones.
"""

from collections.abc import Callable
from functools import partial

from .graph import Graph

__all__ = ["CATALOG", "cifar10_graph", "mlp_graph"]


def lenet5(graph):
    """LeCun et al., "Gradient-Based Learning Applied to Document Recognition", 1998, section II.B.

    C3 sees all maps of S2, subsampling has no coefficients, and the output is a dense layer.
    """
    for index, outputs in ((1, 6), (3, 16)):
        graph.conv(f"c{index}", outputs, 5)
        graph.node("Tanh", f"c{index}_tanh", graph.at)
        graph.pool(f"s{index + 1}", 2, 2, op="AveragePool", ceil=0)
    graph.flatten()
    for name, outputs in (("c5", 120), ("f6", 84)):
        graph.dense(name, outputs)
        graph.node("Tanh", f"{name}_tanh", graph.at)
    graph.dense("output", 10)


def alexnet(graph, groups=2):
    """Krizhevsky et al., "ImageNet Classification with Deep CNNs", 2012.

    Two towers are groups in conv2, conv4 and conv5. 227 x 227 is the size with which the text's
    55 x 55 outputs of conv1 come about; it says 224 x 224. LRN: k = 2, n = 5, alpha = 1e-4,
    beta = 0.75, where the text does not divide alpha by n and ONNX does.
    """
    for index, (outputs, size, stride, pad, group) in enumerate(
        (
            (96, 11, 4, 0, 1),
            (256, 5, 1, 2, groups),
            (384, 3, 1, 1, 1),
            (384, 3, 1, 1, groups),
            (256, 3, 1, 1, groups),
        ),
        1,
    ):
        graph.conv_relu(f"conv{index}", outputs, size, stride, pad, group)
        if index <= 2:
            graph.lrn(f"norm{index}", alpha=5e-4, bias=2.0)
        if index in (1, 2, 5):
            graph.pool(f"pool{index}", 3, 2, ceil=0)
    classifier(graph)


def alexnet_caffe(graph):
    """As benchmarks of the years after measured it: 224 x 224, where conv1 gives 54 x 54.

    Two groups; normalization after pooling, as in Caffe's reference model.
    """
    for index, (outputs, size, stride, pad, group) in enumerate(
        ((96, 11, 4, 0, 1), (256, 5, 1, 2, 2), (384, 3, 1, 1, 1), (384, 3, 1, 1, 2)), 1
    ):
        graph.conv_relu(f"conv{index}", outputs, size, stride, pad, group)
        if index <= 2:
            graph.pool(f"pool{index}", 3, 2, ceil=0)
            graph.lrn(f"norm{index}")
    graph.conv_relu("conv5", 256, 3, 1, 1, 2)
    graph.pool("pool5", 3, 2, ceil=1)
    classifier(graph)


def alexnet_torch(graph):
    """Krizhevsky, "One weird trick for parallelizing CNNs", 2014, as torchvision has it."""
    for index, (outputs, size, stride, pad) in enumerate(
        ((64, 11, 4, 2), (192, 5, 1, 2), (384, 3, 1, 1), (256, 3, 1, 1), (256, 3, 1, 1)), 1
    ):
        graph.conv_relu(f"conv{index}", outputs, size, stride, pad)
        if index in (1, 2, 5):
            graph.pool(f"pool{index}", 3, 2, ceil=0)
    classifier(graph)


def zfnet(graph):
    """Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", 2013, figure 3.

    Feature maps of 110, 55, 26, 13, 13 and 6: conv1 is padded by 1, pools round up. The contrast
    normalization, which the text does not define further, is AlexNet's LRN.
    """
    for index, (outputs, size, stride, pad) in enumerate(
        ((96, 7, 2, 1), (256, 5, 2, 0), (384, 3, 1, 1), (384, 3, 1, 1), (256, 3, 1, 1)), 1
    ):
        graph.conv_relu(f"conv{index}", outputs, size, stride, pad)
        if index in (1, 2, 5):
            graph.pool(f"pool{index}", 3, 2)
        if index <= 2:
            graph.lrn(f"norm{index}", alpha=5e-4, bias=2.0)
    classifier(graph)


def classifier(graph):
    """Two hidden layers of 4096, and 1000 classes."""
    graph.flatten()
    for name in ("fc6", "fc7"):
        graph.dense(name, 4096)
        graph.relu(f"{name}_relu")
        graph.node("Dropout", f"{name}_dropout", graph.at)
    graph.dense("fc8", 1000)


def vgg(graph, counts):
    """Simonyan and Zisserman, "Very Deep Convolutional Networks", 2014, table 1.

    ``counts`` of convolutions before each pool.
    """
    for stage, count in enumerate(counts, 1):
        for index in range(1, count + 1):
            graph.conv_relu(f"conv{stage}_{index}", min(32 << stage, 512), 3, 1, 1)
        graph.pool(f"pool{stage}", 2, 2)
    classifier(graph)


# 1x1; 3x3 behind its 1x1; 5x5 behind its 1x1; 1x1 behind the pool; None: a pool between stages.
INCEPTION: tuple[tuple[str, tuple[int, ...]] | None, ...] = (
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


def googlenet(graph):
    """Szegedy et al., "Going Deeper with Convolutions", 2014, table 1: Inception-V1.

    Without the auxiliary classifiers; pools round up, as in Caffe.
    """
    graph.conv_relu("conv1", 64, 7, 2, 3)
    graph.pool("pool1", 3, 2)
    graph.lrn("norm1")
    graph.conv_relu("conv2_reduce", 64, 1)
    graph.conv_relu("conv2", 192, 3, 1, 1)
    graph.lrn("norm2")
    graph.pool("pool2", 3, 2)
    for index, stage in enumerate(INCEPTION):
        if stage is None:
            graph.pool(f"pool{3 if index < 5 else 4}", 3, 2)
        else:
            inception(graph, *stage)
    graph.global_average("pool5")
    graph.flatten()
    graph.node("Dropout", "dropout", graph.at)
    graph.dense("classifier", 1000)


def inception(graph, name, widths):
    """Four branches that are concatenated."""
    source, channels = graph.at, graph.channels
    ends = []
    for branch, layers in (
        ("1x1", ((widths[0], 1),)),
        ("3x3", ((widths[1], 1), (widths[2], 3))),
        ("5x5", ((widths[3], 1), (widths[4], 5))),
        ("pool", ((widths[5], 1),)),
    ):
        graph.at, graph.channels = source, channels
        if branch == "pool":
            graph.pool(f"{name}_pool_3x3", 3, 1, 1)
        for index, (outputs, size) in enumerate(layers):
            reduce = "_reduce" if index + 1 < len(layers) else ""
            graph.conv_relu(f"{name}_{branch}{reduce}", outputs, size, 1, size // 2)
        ends.append(graph.at)
    graph.node("Concat", f"{name}_concat", *ends, axis=1)
    graph.channels = widths[0] + widths[2] + widths[4] + widths[5]


def resnet(graph, counts, bottleneck):
    """He et al., "Deep Residual Learning for Image Recognition", 2015, table 1.

    The stride of a bottleneck is in its 3 x 3 convolution, as in Torch; the text has it in the
    first 1 x 1.
    """
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
            block(graph, name, layers, stride)
    graph.global_average("pool5")
    graph.flatten()
    graph.dense("classifier", 1000)


def block(graph, name, layers, stride):
    """A residual block: ``layers`` are (outputs, kernel, stride)."""
    source, channels, size = graph.at, graph.channels, graph.size
    for index, (outputs, kernel, step) in enumerate(layers, 1):
        graph.conv(f"{name}_conv{index}", outputs, kernel, step, kernel // 2, bias=False)
        graph.norm(f"{name}_norm{index}")
        if index < len(layers):
            graph.relu(f"{name}_relu{index}")
    end, outputs = graph.at, graph.channels
    if stride > 1 or channels != outputs:
        graph.at, graph.channels, graph.size = source, channels, size
        graph.conv(f"{name}_shortcut", outputs, 1, stride, bias=False)
        graph.norm(f"{name}_shortcut_norm")
        source = graph.at
    graph.node("Add", f"{name}_add", end, source)
    graph.relu(f"{name}_relu")


def normalized(graph, name, *arguments, largest=None, linear=False, **options):
    """Convolution without bias, batch normalization, and a ReLU unless ``linear``."""
    graph.conv(name, *arguments, bias=False, **options)
    graph.norm(f"{name}_norm")
    if not linear:
        graph.relu(f"{name}_relu", largest)


def mobilenet_v1(graph):
    """Howard et al., "MobileNets", 2017, table 1: width multiplier 1."""
    normalized(graph, "conv1", 32, 3, 2, 1)
    widths = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *5 * ((512, 1),))
    for index, (outputs, stride) in enumerate((*widths, (1024, 2), (1024, 1)), 2):
        normalized(
            graph, f"conv{index}_depthwise", graph.channels, 3, stride, 1, group=graph.channels
        )
        normalized(graph, f"conv{index}_pointwise", outputs, 1)
    graph.global_average("pool")
    graph.flatten()
    graph.dense("classifier", 1000)


def mobilenet_v2(graph):
    """Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", 2018, table 2."""
    normalized(graph, "conv1", 32, 3, 2, 1, largest=6.0)
    for stage, (expansion, outputs, count, stride) in enumerate(
        (
            (1, 16, 1, 1),
            (6, 24, 2, 2),
            (6, 32, 3, 2),
            (6, 64, 4, 2),
            (6, 96, 3, 1),
            (6, 160, 3, 2),
            (6, 320, 1, 1),
        ),
        1,
    ):
        for index in range(1, count + 1):
            name = f"bottleneck{stage}_{index}"
            inverted_residual(graph, name, expansion, outputs, stride if index == 1 else 1)
    normalized(graph, "conv2", 1280, 1, largest=6.0)
    graph.global_average("pool")
    graph.flatten()
    graph.node("Dropout", "dropout", graph.at)
    graph.dense("classifier", 1000)


def inverted_residual(graph, name, expansion, outputs, stride):
    """Wide inside, narrow outside; added to its input where the two are alike."""
    source, channels = graph.at, graph.channels
    width = expansion * channels
    if expansion > 1:
        normalized(graph, f"{name}_expand", width, 1, largest=6.0)
    normalized(graph, f"{name}_depthwise", width, 3, stride, 1, group=width, largest=6.0)
    normalized(graph, f"{name}_project", outputs, 1, linear=True)
    if stride == 1 and channels == outputs:
        graph.node("Add", f"{name}_add", graph.at, source)


def cifar10_graph(name, kernels):
    """The CIFAR-10 network of TensorFlow's tutorial "Convolutional Neural Networks", and variants.

    Cropped to 24 x 24. ``kernels``: (size, number) of each convolution, whose maps keep their size.
    The first has its pool before its LRN, all others behind. Two hidden layers of 384 and 192.
    """
    graph = Graph(name, (3, 24, 24))
    for index, (size, outputs) in enumerate(kernels, 1):
        # As TensorFlow pads.
        graph.conv_relu(f"conv{index}", outputs, size, 1, (size - 1) // 2, after=size // 2)
        steps = [
            partial(graph.pool, f"pool{index}", 3, 2),
            # The tutorial's alpha is 0.001 / 9, not divided by the 9 channels.
            partial(graph.lrn, f"norm{index}", size=9, alpha=1e-3),
        ]
        for step in steps if index == 1 else steps[::-1]:
            step()
    graph.flatten()
    for index, outputs in enumerate((384, 192), len(kernels) + 1):
        graph.dense(f"local{index}", outputs)
        graph.relu(f"local{index}_relu")
    graph.dense("softmax_linear", 10)
    return graph


def mlp_graph(name, widths, activation):
    """A multi-layer perceptron; ``activation`` is an operator."""
    graph = Graph(name, widths[:1])
    for index, outputs in enumerate(widths[1:], 1):
        graph.dense(f"dense{index}", outputs)
        if index < len(widths) - 1:
            graph.node(activation, f"dense{index}_{activation.lower()}", graph.at)
    return graph


CIFAR10 = ((5, 64), (5, 64))

# Shape of an image, and what fills the graph.
CATALOG: dict[str, tuple[tuple[int, ...], Callable[[Graph], None]]] = {
    "lenet5": ((1, 32, 32), lenet5),
    "alexnet": ((3, 227, 227), partial(alexnet, groups=1)),
    "alexnet_two_tower": ((3, 227, 227), alexnet),
    "alexnet_caffe": ((3, 224, 224), alexnet_caffe),
    "alexnet_torch": ((3, 224, 224), alexnet_torch),
    "zfnet": ((3, 224, 224), zfnet),
    "vgg11": ((3, 224, 224), partial(vgg, counts=(1, 1, 2, 2, 2))),
    "vgg13": ((3, 224, 224), partial(vgg, counts=(2, 2, 2, 2, 2))),
    "vgg16": ((3, 224, 224), partial(vgg, counts=(2, 2, 3, 3, 3))),
    "vgg19": ((3, 224, 224), partial(vgg, counts=(2, 2, 4, 4, 4))),
    "googlenet": ((3, 224, 224), googlenet),
    "resnet18": ((3, 224, 224), partial(resnet, counts=(2, 2, 2, 2), bottleneck=False)),
    "resnet34": ((3, 224, 224), partial(resnet, counts=(3, 4, 6, 3), bottleneck=False)),
    "resnet50": ((3, 224, 224), partial(resnet, counts=(3, 4, 6, 3), bottleneck=True)),
    "resnet101": ((3, 224, 224), partial(resnet, counts=(3, 4, 23, 3), bottleneck=True)),
    "resnet152": ((3, 224, 224), partial(resnet, counts=(3, 8, 36, 3), bottleneck=True)),
    "mobilenet_v1": ((3, 224, 224), mobilenet_v1),
    "mobilenet_v2": ((3, 224, 224), mobilenet_v2),
}
