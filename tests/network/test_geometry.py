"""Receptive fields and costs as fully connected layers: by hand, by others, and by perturbation."""

import re

import numpy as np
import pytest

import hwsim
from hwsim import networks
from hwsim.models.reference import run
from hwsim.network import NetworkError
from hwsim.network.geometry import Field, fields
from tests.onnx_models import ModelBuilder


def by_name(name):
    return networks.network(name).geometry().set_index("name")


# Of the last value before the map is averaged or flattened. Araujo, Norris, Sim: "Computing
# Receptive Fields of Convolutional Neural Networks", Distill 2019, gives 212 (VGG-16), 195
# (AlexNet), 315 and 491 (MobileNet v1, v2). It also gives 483, 1027 and 1507 for ResNet-50, 101 and
# 152 of TensorFlow-Slim, where the last 3 x 3 of a stage has the stride, not the first one of the
# next: with a window more at the smaller jump in each of three stages, 2 * (4 + 8 + 16) = 56 less.
@pytest.mark.parametrize(
    ("network", "layer", "size", "jump"),
    [
        ("vgg16", "conv1_1", 3, 1),
        ("vgg16", "pool1", 6, 2),
        ("vgg16", "conv5_3", 196, 16),
        ("vgg16", "pool5", 212, 32),
        ("vgg16", "fc6", 212 + 6 * 32, 0),
        ("alexnet", "conv5", 163, 16),
        ("alexnet", "pool5", 195, 32),
        ("mobilenet_v1", "conv14_pointwise", 315, 32),
        ("mobilenet_v2", "conv2", 491, 32),
        ("resnet50", "stage4_3_relu", 427, 32),
        ("resnet50", "pool5", 427 + 6 * 32, 0),
        ("resnet101", "stage4_3_relu", 1027 - 56, 32),
        ("resnet152", "stage4_3_relu", 1507 - 56, 32),
        ("lenet5", "s2", 6, 2),
        ("lenet5", "c3", 14, 2),
        ("lenet5", "s4", 16, 4),
        ("lenet5", "c5", 32, 0),
    ],
)
def test_by_hand(network, layer, size, jump):
    row = by_name(network).loc[layer]
    assert row["receptive_field"] == (size, size)
    assert row["jump"] == (jump, jump)


def test_starts_by_hand():
    """Padding of 1 in five stages of VGG-16, 2 or 3 layers each, at strides of 1 to 16."""
    table = by_name("vgg16")
    assert table.loc["pool5", "start"] == (-(2 * 1 + 2 * 2 + 3 * 4 + 3 * 8 + 3 * 16),) * 2
    assert by_name("lenet5").loc["s4", "start"] == (0, 0)


@pytest.mark.parametrize(
    ("counts", "sizes"),
    [
        ((3, 4, 6, 3), (35, 99, 291, 483)),
        ((3, 4, 23, 3), (35, 99, 835, 1027)),
        ((3, 8, 36, 3), (35, 163, 1315, 1507)),
    ],
)
def test_strides_at_the_end_of_stages(counts, sizes):
    """ResNet-50, 101 and 152 of TensorFlow-Slim, stage by stage: what Distill's are those of."""
    field = Field().window(7, 2, 1, 3).window(3, 2, 1, 1)
    for stage, (count, size) in enumerate(zip(counts, sizes, strict=True)):
        for index in range(count):
            field = field.window(3, 2 if index == count - 1 and stage < 3 else 1, 1, 1)
        assert (field.size, field.jump) == (size, min(8 << stage, 32))


@pytest.mark.parametrize("name", networks.NAMES)
def test_counts_are_those_of_the_table(name):
    network = networks.network(name)
    same = ["name", "op", "output_shape", "params", "macs"]
    assert network.geometry()[same].equals(network.table())


def test_dense_costs_by_hand():
    table = by_name("lenet5")
    inputs, outputs = 32 * 32, 6 * 28 * 28
    assert table.loc["c1", "dense_macs"] == inputs * outputs
    assert table.loc["c1", "dense_params"] == (inputs + 1) * outputs
    assert table.loc["c5", "dense_params"] == table.loc["c5", "params"]
    assert table.loc["s2", ["dense_params", "dense_macs"]].tolist() == [0, 0]
    # Groups and a missing bias.
    table = by_name("mobilenet_v1")
    assert table.loc["conv2_depthwise", "dense_params"] == (32 * 112**2) ** 2
    assert table.loc["conv2_depthwise", "macs"] == 9 * 32 * 112**2


def test_dense_costs_of_a_batch():
    network = hwsim.load(networks.model("lenet5"), (3, 1, 32, 32))
    one, three = by_name("lenet5"), network.geometry().set_index("name")
    assert (three["dense_macs"] == 3 * one["dense_macs"]).all()
    assert (three["dense_params"] == one["dense_params"]).all()


def test_matrix_product_equals_a_dense_convolution():
    """A convolution whose kernel is the map is a fully connected layer."""
    b = ModelBuilder(0, (1, 3, 5, 4))
    network = hwsim.load(b.model(b.conv("image", 3, 7, (5, 4))))
    row = network.geometry().iloc[0]
    assert (row["dense_params"], row["dense_macs"]) == (row["params"], row["macs"]) == (427, 420)


# ----------------------------------------------------------------------- what depends on what


def draw_layers(rng, b, channels, count):
    """A random chain with branches that rejoin; strides of branches agree."""

    def conv(x, kernel, stride, dilation, pads):
        return b.conv(
            x, channels, channels, kernel, strides=[stride] * 2, dilations=[dilation] * 2, pads=pads
        )

    x = "image"
    for _ in range(count):
        kind = int(rng.integers(6))
        kernel = [int(n) for n in rng.integers(1, 4, 2)]
        stride, dilation = int(rng.integers(1, 3)), int(rng.integers(1, 3))
        pads = [int(n) for n in rng.integers(0, 2, 4)]
        if kind == 0:
            x = conv(x, kernel, stride, dilation, pads)
        elif kind == 1:
            most = [min(pads[k], kernel[k % 2] - 1) for k in range(4)]
            op = str(rng.choice(["MaxPool", "AveragePool"]))
            x = b.node(op, x, kernel_shape=kernel, strides=[stride] * 2, pads=most)
        elif kind == 2:  # two branches of equal sizes
            left = conv(x, [3, 3], stride, 1, [1, 1, 1, 1])
            right = conv(x, [1, 5], stride, 1, [0, 2, 0, 2])
            x = b.node("Add", left, right)
        elif kind == 3:
            other = conv(x, [3, 1], 1, 1, [1, 0, 1, 0])
            both = b.node("Concat", x, other, axis=1)
            x = b.conv(both, 2 * channels, channels, (1, 1))
        elif kind == 4:
            amounts = b.constant([0, 0, *pads[:2], 0, 0, *pads[2:]], np.int64)
            x = b.node("Pad", x, amounts)
        else:
            x = b.node(str(rng.choice(["Relu", "Sigmoid"])), x)
    return x


def reached(network, size):
    """For each tensor whose value depends on a pixel: an array (pixels..., positions...)."""
    images = np.zeros((size[0] * size[1], *network.inputs[0].shape[1:]), np.float32)
    images += np.random.default_rng(0).normal(size=images.shape[1:]).astype(np.float32)
    for index, (row, column) in enumerate(np.ndindex(*size)):
        images[index, :, row, column] = np.nan
    names = [layer.outputs[0] for layer in network.layers]
    with np.errstate(invalid="ignore"):
        maps = run(network, images, names)
    return {
        name: np.isnan(values).any(axis=1).reshape(*size, *values.shape[2:])
        for name, values in maps.items()
        if values.ndim == 4
    }


@pytest.mark.parametrize("seed", range(30))
def test_what_a_nan_reaches(seed):
    """A NaN in a pixel reaches exactly the positions whose receptive field holds the pixel."""
    rng = np.random.default_rng(seed)
    size = (19, 22)
    b = ModelBuilder(seed, (1, 2, *size))
    end = draw_layers(rng, b, 2, int(rng.integers(1, 5)))
    network = hwsim.load(b.model(end))
    seen = fields(network)
    inside = 0
    for name, depends in reached(network, size).items():
        axes = seen[name]
        for row, column in np.ndindex(*depends.shape[2:]):
            pixels = np.argwhere(depends[:, :, row, column])
            for axis, position in enumerate((row, column)):
                field = axes[axis]
                first = field.start + position * field.jump
                last = first + field.size - 1
                if not pixels.size:
                    continue
                low, high = pixels[:, axis].min(), pixels[:, axis].max()
                assert max(first, 0) <= low and high <= min(last, size[axis] - 1)
                if first >= 0 and last < size[axis]:
                    # The other axis may cut corners of joined paths off, but not the whole side.
                    corner = axes[1 - axis]
                    begin = corner.start + (column, row)[axis] * corner.jump
                    if begin >= 0 and begin + corner.size <= size[1 - axis]:
                        assert (low, high) == (first, last)
                        inside += 1
    assert inside


def test_products_and_global_pools_see_everything():
    b = ModelBuilder(0, (1, 2, 9, 7))
    x = b.conv("image", 2, 4, (3, 3), strides=[2, 2])
    pooled = b.node("GlobalAveragePool", x)
    scaled = b.node("Mul", x, b.node("Sigmoid", pooled))
    dense = b.gemm(b.node("Flatten", scaled), 4 * 4 * 3, 5)
    network = hwsim.load(b.model(dense, pooled))
    seen = fields(network)
    assert seen[x] == (Field(3, 2, 0),) * 2
    # 4 x 3 positions, 2 apart, see 9 x 7 pixels; so does each position that they scale.
    everything = (Field(9, 0, 0), Field(7, 0, 0))
    assert seen[pooled] == seen[scaled] == seen[dense] == everything


def test_shuffled_channels_stay_where_they_are():
    b = ModelBuilder(0, (1, 4, 6, 5))
    x = b.conv("image", 4, 4, (3, 3))
    parts = b.node("Reshape", x, b.constant([1, 2, 2, 4, 3], np.int64))
    turned = b.node("Transpose", parts, perm=[0, 2, 1, 3, 4])
    back = b.node("Reshape", turned, b.constant([1, 4, 4, 3], np.int64))
    network = hwsim.load(b.model(b.conv(back, 4, 4, (2, 2))))
    assert fields(network)[back] == (Field(3, 1, 0),) * 2
    assert network.geometry().iloc[-1]["receptive_field"] == (4, 4)


def test_the_field_near_the_border():
    """A tap in the padding of a map in between reads nothing: fewer pixels than the field has."""
    b = ModelBuilder(0, (1, 2, 9, 9))
    x = b.conv("image", 2, 2, (2, 2))
    end = b.conv(x, 2, 2, (2, 2), dilations=[2, 2], pads=[1, 1, 0, 0])
    network = hwsim.load(b.model(end))
    assert fields(network)[end] == (Field(4, 1, -1),) * 2
    rows = np.argwhere(reached(network, (9, 9))[end][:, :, 0, 0])[:, 0]
    assert sorted(set(rows.tolist())) == [1, 2]


# ----------------------------------------------------------------------- what strides leave out


def test_left_out():
    b = ModelBuilder(0, (1, 1, 7, 7))
    x = b.conv("image", 1, 1, (3, 3), strides=[3, 3])
    network = hwsim.load(b.model(x))
    name = network.layers[0].name
    assert network.left_out() == [
        f"Conv '{name}': on axes 2 and 3 a stride of 3 leaves 1 of 7 positions out: "
        "(7 - 3) / 3 + 1 = 2.33"
    ]


@pytest.mark.parametrize("seed", range(40))
def test_what_no_window_reaches(seed):
    """Padded positions behind the last window, on each axis, ceil mode and padding included."""
    rng = np.random.default_rng(seed)
    sizes, kernel, strides = (rng.integers(*span, 2).tolist() for span in ((6, 13), (1, 5), (1, 5)))
    pads = [int(rng.integers(n)) for n in kernel * 2]
    b = ModelBuilder(seed, (1, 1, *sizes))
    window = dict(kernel_shape=kernel, strides=strides, pads=pads, ceil_mode=int(rng.integers(2)))
    x = b.node("MaxPool", "image", **window)
    network = hwsim.load(b.model(x))
    expected = {}
    for axis, count in enumerate(network.shape(x)[2:]):
        padded = sizes[axis] + pads[axis] + pads[axis + 2]
        rest = padded - (range(0, padded, strides[axis])[count - 1] + kernel[axis])
        if rest > 0:
            expected[axis + 2] = f"a stride of {strides[axis]} leaves {rest} of {padded} positions"
    notes = network.left_out()
    assert len(notes) == bool(expected), f"seed {seed}"
    for axis, text in expected.items():
        assert re.search(rf"on ax[ei]s (\d and )?{axis} (and \d )?{text} out", notes[0]), seed


def test_a_vector_has_no_positions():
    table = networks.mlp((5, 4, 3)).geometry()
    assert table["receptive_field"].tolist() == [()] * 3


def test_paths_of_different_strides():
    b = ModelBuilder(0, (1, 2, 8, 8))
    fine = b.conv("image", 2, 2, (5, 5))
    coarse = b.conv("image", 2, 2, (2, 2), strides=[2, 2])
    network = hwsim.load(b.model(b.node("Add", fine, coarse, name="sum")))
    with pytest.raises(NetworkError) as caught:
        network.geometry()
    assert str(caught.value) == (
        "Add 'sum' joins paths with strides of 1 and 2; accepted: equal strides"
    )
