"""Known networks, against the totals and layer tables that others publish."""

import itertools
import math
import time

import numpy as np
import pytest

import hwsim
from hwsim import networks
from hwsim.network.random_weights import with_random_weights
from hwsim.validation.cpu import light

# Parameters and multiply-accumulates. Sources:
# - lenet5: LeCun et al. (1998) layer by layer, with a full C3: 156 + 2,416 + 48,120 + 10,164 + 850.
# - alexnet: the text's channels without groups; alexnet_two_tower: multiply-accumulates of the
#   convolutions as in NVIDIA's sheet for NVDLA, 665,784,864, and 58,621,952 of the dense layers.
# - alexnet_caffe: shape inference of onnx over its own bvlc_alexnet.
# - zfnet: the text's table of sizes.
# - googlenet: parameters as those of onnx's own inception_v1; multiply-accumulates from the channel
#   table of Szegedy et al. (2014).
# - alexnet_torch, vgg, resnet: torchvision's metadata, to all digits that it has.
# - mobilenet_v1: "4.2 million" and "569 million" in the text; mobilenet_v2: a checkpoint.
# - cifar10: "1,068,298 learnable parameters" in the tutorial.
TOTALS = {
    "lenet5": (61_706, 416_520),
    "alexnet": (62_378_344, 1_135_256_096),
    "alexnet_two_tower": (60_965_224, 724_406_816),
    "alexnet_caffe": (60_965_224, 654_560_384),
    "alexnet_torch": (61_100_840, 714_188_480),
    "zfnet": (62_357_608, 1_168_032_896),
    "vgg11": (132_863_336, 7_609_090_048),
    "vgg13": (133_047_848, 11_308_466_176),
    "vgg16": (138_357_544, 15_470_264_320),
    "vgg19": (143_667_240, 19_632_062_464),
    "googlenet": (6_998_552, 1_582_671_872),
    "resnet18": (11_689_512, 1_814_073_344),
    "resnet34": (21_797_672, 3_663_761_408),
    "resnet50": (25_557_032, 4_089_184_256),
    "resnet101": (44_549_160, 7_801_405_440),
    "resnet152": (60_192_808, 11_513_626_624),
    "mobilenet_v1": (4_231_976, 568_740_352),
    "mobilenet_v2": (3_504_872, 300_774_272),
    "cifar10": (1_068_298, 18_470_784),
}
# What the sources print, in 10**9 multiply-accumulates.
PRINTED = {
    "alexnet_torch": 0.714,
    "vgg11": 7.609,
    "vgg13": 11.308,
    "vgg16": 15.470,
    "vgg19": 19.632,
    "resnet18": 1.814,
    "resnet34": 3.664,
    "resnet50": 4.089,
    "resnet101": 7.801,
    "resnet152": 11.514,
    "mobilenet_v1": 0.569,
    "mobilenet_v2": 0.301,
}
CLASSES = {"lenet5": 10, "cifar10": 10}


def test_all_are_checked():
    assert set(networks.NAMES) == set(TOTALS)


@pytest.mark.parametrize("name", networks.NAMES)
def test_totals(name):
    network = networks.network(name)
    assert (network.params, network.macs) == TOTALS[name]
    assert network.shape(network.outputs[0].name) == (1, CLASSES.get(name, 1000))
    assert networks.network(name) is network


@pytest.mark.parametrize("name", PRINTED)
def test_printed_multiply_accumulates(name):
    assert f"{networks.network(name).macs / 1e9:.3f}" == f"{PRINTED[name]:.3f}"


def rows(network, op="Conv"):
    table = networks.network(network).table().set_index("name")
    return table[table["op"] == op]


def test_layers_of_lenet5():
    table = networks.network("lenet5").table().set_index("name")
    assert table["params"][["c1", "c3", "c5", "f6", "output"]].tolist() == [
        *(156, 2_416, 48_120, 10_164, 850)
    ]
    assert table["output_shape"][["c1", "s2", "c3", "s4", "c5"]].tolist() == [
        *((1, 6, 28, 28), (1, 6, 14, 14), (1, 16, 10, 10), (1, 16, 5, 5), (1, 120))
    ]


def test_published_numbers_of_lenet5_follow_from_its_text():
    """60,000 parameters and 340,908 connections, with the table of which map of C3 sees which."""
    inputs_of_c3 = [3] * 6 + [4] * 9 + [6]
    parameters = {
        "c1": 6 * 26,
        "s2": 6 * 2,
        "c3": sum(25 * maps + 1 for maps in inputs_of_c3),
        "s4": 16 * 2,
        "c5": 120 * (16 * 25 + 1),
        "f6": 84 * 121,
    }
    assert sum(parameters.values()) == 60_000
    connections = parameters["c1"] * 28**2 + 6 * 14**2 * 5 + parameters["c3"] * 10**2
    connections += 16 * 5**2 * 5 + parameters["c5"] + parameters["f6"] + 84 * 10
    assert connections == 340_908
    # Products here are connections but for subsampling, biases, and what C3 does not see.
    subsampling = 6 * 14**2 * 5 + 16 * 5**2 * 5
    biases = 6 * 28**2 + 16 * 10**2 + 120 + 84
    unseen = 25 * (16 * 6 - sum(inputs_of_c3)) * 10**2
    assert (subsampling, biases, unseen) == (7_880, 6_508, 90_000)
    assert networks.network("lenet5").macs + subsampling + biases - unseen == connections
    full_c3 = 16 * (25 * 6 + 1)
    difference = full_c3 - parameters["c3"] - parameters["s2"] - parameters["s4"] + 85 * 10
    assert sum(parameters.values()) + difference == networks.network("lenet5").params


def test_layers_of_alexnet():
    """Of NVIDIA's sheet for NVDLA; the parameters of Netscope."""
    table = rows("alexnet_two_tower")
    assert table["macs"].tolist() == [
        *(105_415_200, 223_948_800, 149_520_384, 112_140_288, 74_760_192)
    ]
    assert table["params"].tolist() == [34_944, 307_456, 885_120, 663_936, 442_624]
    assert [shape[2] for shape in table["output_shape"]] == [55, 27, 13, 13, 13]


def test_published_neurons_of_alexnet():
    """Figure 2 of the text, but for its first layer; with that, "650,000 neurons"."""
    table = networks.network("alexnet_two_tower").table()
    shapes = table[table["op"].isin(("Conv", "Gemm"))]["output_shape"]
    first, *others = (math.prod(shape) for shape in shapes)
    assert others == [186_624, 64_896, 64_896, 43_264, 4_096, 4_096, 1_000]
    assert (first, 253_440) == (55 * 55 * 96, 55 * 48 * 96)
    assert (first + sum(others), 253_440 + sum(others)) == (659_272, 622_312)


@pytest.mark.parametrize(
    ("name", "published"), [("resnet50", 3.8), ("resnet101", 7.6), ("resnet152", 11.3)]
)
def test_published_operations_of_bottlenecks(name, published):
    """He et al. (2015), Table 1: those of a stride in a stage's first 1 x 1, here in its 3 x 3."""
    table = rows(name)
    first = [f"stage{stage}_1_conv1" for stage in (2, 3, 4)]
    early = sum(table.loc[layer, "macs"] * 3 // 4 for layer in first)
    assert early == 3 * 32_768 * (56**2 - 28**2)
    found = (networks.network(name).macs - early) / 1e9
    assert published == (math.floor(10 * found) / 10 if name == "resnet50" else round(found, 1))


@pytest.mark.parametrize(("name", "published"), [("resnet18", "1.8"), ("resnet34", "3.6")])
def test_published_operations_of_plain_networks(name, published):
    """Without products at shortcuts."""
    table = rows(name)
    shortcuts = table[table.index.str.contains("shortcut")]["macs"].sum()
    assert shortcuts == 3 * 64 * 128 * 28**2
    assert f"{(networks.network(name).macs - shortcuts) / 1e9:.1f}" == published


def test_published_numbers_of_vgg():
    """Millions of parameters in its text; operations of He et al., once without dense layers."""
    names = ("vgg11", "vgg13", "vgg16", "vgg19")
    assert [round(networks.network(name).params / 1e6) for name in names] == [133, 133, 138, 144]
    assert f"{rows('vgg16')['macs'].sum() / 1e9:.1f}" == "15.3"
    assert f"{networks.network('vgg19').macs / 1e9:.1f}" == "19.6"


def test_parameters_of_mobilenet_v2_with_and_without_normalization():
    """Neither is the 3.4 million of its text."""
    table = networks.network("mobilenet_v2").table()
    normalization = table[table["op"] == "BatchNormalization"]["params"].sum()
    assert normalization == 34_112
    assert networks.network("mobilenet_v2").params - normalization == 3_470_760


def test_layers_of_zfnet():
    table = networks.network("zfnet").table()
    maps = table[table["op"].isin(("Conv", "MaxPool"))]
    assert [shape[2] for shape in maps["output_shape"]] == [110, 55, 26, 13, 13, 13, 13, 6]


@pytest.mark.parametrize(
    ("name", "topology"),
    [("alexnet_caffe", "bvlc_alexnet"), ("vgg19", "vgg19"), ("resnet50", "resnet50")],
)
def test_layers_equal_those_of_onnx(name, topology):
    def layers(network):
        table = network.table()
        table = table[table["macs"] > 0]
        return sorted(zip(table["output_shape"], table["params"], table["macs"], strict=True))

    assert layers(networks.network(name)) == layers(light(topology))


# Szegedy et al. (2014), table 1: 10**6 operations, 1024 parameters.
GOOGLENET = {
    "conv1": (34, 2.7),
    "conv2": (360, 112),
    "3a": (128, 159),
    "3b": (304, 380),
    "4a": (73, 364),
    "4b": (88, 437),
    "4c": (100, 463),
    "4d": (119, 580),
    "4e": (170, 840),
    "5a": (54, 1072),
    "5b": (71, 1388),
    "classifier": (1, 1000),
}


def stage_of_googlenet(stage):
    """Multiply-accumulates and weights."""
    network = networks.network("googlenet")
    layers = [layer for layer in network.layers if layer.name.startswith(stage)]
    layers = [layer for layer in layers if layer.op in ("Conv", "Gemm")]
    table = network.table().set_index("name")
    weights = [network.constants[n].size for x in layers for n in x.inputs[1:2]]
    return int(table["macs"][[layer.name for layer in layers]].sum()), sum(weights)


@pytest.mark.parametrize("stage", [s for s in GOOGLENET if s not in ("conv1", "5a")])
def test_stages_of_googlenet(stage):
    macs, _ = stage_of_googlenet(stage)
    assert abs(macs / 1e6 - GOOGLENET[stage][0]) < 1


def test_two_stages_of_googlenet_are_published_otherwise():
    """What the published numbers are those of."""
    assert stage_of_googlenet("conv1") == (118_013_952, 9_408)
    # A 7 x 7 with 8 kernels for each colour, then 1 x 1 from these 24 maps to 64.
    factorized = 7 * 7 * 3 * 8 + 24 * 64
    assert factorized == 2_712
    assert round(factorized * 112**2 / 1e6) == GOOGLENET["conv1"][0]
    macs, weights = stage_of_googlenet("5a")
    # As if the 5 x 5 were behind 48 maps, not 32: 5b has 48.
    wider = weights + (48 - 32) * 832 + (48 - 32) * 25 * 128
    assert (macs, weights) == (51_079_168, 1_042_432)
    assert round(wider * 7**2 / 1e6) == GOOGLENET["5a"][0]


def test_published_totals_of_googlenet():
    """A budget of 1.5 billion multiply-adds, and 12 times fewer parameters than AlexNet."""
    factorized = networks.network("googlenet").macs - 118_013_952 + 2_712 * 112**2
    assert f"{factorized / 1e9:.1f}" == "1.5"
    assert sum(operations for operations, _ in GOOGLENET.values()) == 1_502
    alexnet = networks.network("alexnet_two_tower").params
    assert f"{alexnet / networks.network('googlenet').params:.1f}" == "8.7"
    assert f"{60_000 / sum(thousands for _, thousands in GOOGLENET.values()):.1f}" == "8.8"


def test_parameters_of_googlenet_are_published_in_units_of_1024():
    apart = {
        stage: abs(stage_of_googlenet(stage)[1] / 1024 / thousands - 1)
        for stage, (_, thousands) in GOOGLENET.items()
    }
    close = {stage for stage, share in apart.items() if share < 0.02}
    assert close == set(GOOGLENET) - {"conv1", "4c", "5a"}
    assert apart["conv2"] == apart["classifier"] == 0


def test_the_tutorial_counts_parameters_as_operations():
    """It says 19.5 million multiply-adds."""
    network = networks.network("cifar10")
    assert network.macs == 24**2 * 75 * 64 + 12**2 * 1600 * 64 + 36 * 64 * 384 + 384 * 192 + 1920
    assert f"{(network.macs + network.params) / 1e6:.1f}" == "19.5"


@pytest.mark.parametrize("size", [3, 5, 7])
@pytest.mark.parametrize("count", [64, 128, 256])
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_variants_of_the_cifar10_network(layers, count, size):
    network = networks.cifar10(((size, count),) * layers)
    edge = 24 >> layers
    params = (size**2 * 3 + 1) * count + (layers - 1) * (size**2 * count + 1) * count
    params += (edge**2 * count + 1) * 384 + 385 * 192 + 193 * 10
    assert network.params == params
    assert network.shape(f"pool{layers}_out") == (1, count, edge, edge)
    assert network.name == "-".join(["cifar10"] + [f"{size}x{count}"] * layers)


def test_default_of_the_cifar10_family_is_the_tutorial():
    assert networks.cifar10().table().equals(networks.network("cifar10").table())


@pytest.mark.parametrize("kernels", list(itertools.product(range(3, 8), repeat=2)))
def test_cifar10_by_notation(kernels):
    """Maps keep their size, whatever that of the kernels."""
    (first, second), counts = kernels, (4, 5)
    text = f"cifar10-{first}x4-{second}x5"
    network = networks.network(text)
    assert network.name == text
    table = network.table()
    assert [*table["output_shape"][table["op"] == "Conv"]] == [(1, 4, 24, 24), (1, 5, 12, 12)]
    dense = (5 * 36 + 1) * 384 + 385 * 192 + 193 * 10
    assert network.params == (3 * first**2 + 1) * 4 + (4 * second**2 + 1) * 5 + dense
    same = networks.cifar10(tuple(zip(kernels, counts, strict=True)))
    assert same.name == text
    assert same.table().equals(table)


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh"])
def test_activation_of_a_notation(activation):
    network = networks.network(f"8x8-2C3-6-3-{activation}")
    assert [layer.op for layer in network.layers] == [
        *("Conv", networks.ACTIVATIONS[activation], "Flatten", "Gemm"),
        *(networks.ACTIVATIONS[activation], "Gemm"),
    ]


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh"])
@pytest.mark.parametrize("widths", [(784, 500, 10), (3, 2), (1, 7, 5, 3, 1)])
def test_mlp(widths, activation):
    network = networks.mlp(widths, activation)
    pairs = list(itertools.pairwise(widths))
    assert network.macs == sum(m * n for m, n in pairs)
    assert network.params == sum(m * n + n for m, n in pairs)
    found = [layer.op for layer in network.layers]
    assert found == [*["Gemm", networks.ACTIVATIONS[activation]] * len(pairs)][:-1]
    assert network.inputs[0].shape == (1, widths[0])


NOTATIONS = {
    "48x48-100C3-MP2-200C2-MP2-300C2-MP2-400C2-MP2-500N-3755": (
        [(46, 100), (23, 100), (22, 200), (11, 200), (10, 300), (5, 300), (4, 400), (2, 400)],
        1_000 + 80_200 + 240_300 + 480_400 + 1_601 * 500 + 501 * 3_755,
    ),
    # The same article's networks for MNIST and CIFAR-10, whose last maps are of odd sizes.
    "1x29x29-20C4-MP2-40C5-MP3-150N-10N": (
        [(26, 20), (13, 20), (9, 40), (3, 40)],
        340 + 20_040 + 361 * 150 + 1_510,
    ),
    "3x32x32-300C3-MP2-300C2-MP2-300C3-MP2-300C2-MP2-300N-100N-10N": (
        [(30, 300), (15, 300), (14, 300), (7, 300), (5, 300), (3, 300), (2, 300), (1, 300)],
        8_400 + 360_300 + 810_300 + 360_300 + 90_300 + 30_100 + 1_010,
    ),
    "3x48x48-100C7-MP2-150C4-150MP2-250C4-250MP2-300N-43N": (
        [(42, 100), (21, 100), (18, 150), (9, 150), (6, 250), (3, 250)],
        14_800 + 240_150 + 600_250 + 2_251 * 300 + 301 * 43,
    ),
    "784-500N-10": ([], 785 * 500 + 5_010),
}


@pytest.mark.parametrize("text", NOTATIONS)
def test_notation(text):
    maps, params = NOTATIONS[text]
    network = networks.network(text)
    table = network.table()
    shapes = table["output_shape"][table["op"].isin(("Conv", "MaxPool"))]
    assert [shape[:0:-1][::2] for shape in shapes] == maps
    assert network.params == params
    assert network.name == text
    assert set(table["op"]) <= {"Conv", "MaxPool", "Tanh", "Flatten", "Gemm"}
    assert table["op"].iloc[-1] == "Gemm"


WRONG = {
    "28x28-20D5-10": (
        "part 2 of 28x28-20D5-10 is '20D5'; accepted: 100C3, MP2 and 500N, with numbers from 1 to "
        "999999"
    ),
    "28x28-0C5-10": (
        "part 2 of 28x28-0C5-10 is '0C5'; accepted: 100C3, MP2 and 500N, with numbers from 1 to "
        "999999"
    ),
    "28x28-": (
        "part 2 of 28x28- is ''; accepted: 100C3, MP2 and 500N, with numbers from 1 to 999999"
    ),
    "28x28-20C5": "28x28-20C5 ends with '20C5'; accepted: a number of units",
    "28x28-MP2-20C15-10": "part 3 of 28x28-MP2-20C15-10 is '20C15', which gets 14 x 14",
    "784-20C5-10": "part 2 of 784-20C5-10 is '20C5', which gets a vector",
    "28x28-20C5-30MP2-10": "part 3 of 28x28-20C5-30MP2-10 is '30MP2', which gets 20 maps",
    "1x2x3x4-10": (
        "1x2x3x4-10 begins with '1x2x3x4'; accepted: an input such as 48x48, 3x48x48 or 784"
    ),
    "0x3-10": "0x3-10 begins with '0x3'; accepted: an input such as 48x48, 3x48x48 or 784",
    "784-sigmoid": (
        "part 2 of 784-sigmoid is 'sigmoid'; accepted: 100C3, MP2 and 500N, with numbers from 1 to "
        "999999"
    ),
    "cifar10-5x64-3": (
        "part 3 of cifar10-5x64-3 is '3'; accepted: a size and a number of kernels, as in "
        "cifar10-5x64-3x32"
    ),
    "cifar10-": (
        "part 2 of cifar10- is ''; accepted: a size and a number of kernels, as in "
        "cifar10-5x64-3x32"
    ),
}


@pytest.mark.parametrize("text", WRONG)
def test_wrong_notation(text):
    with pytest.raises(ValueError) as caught:
        networks.network(text)
    assert str(caught.value) == WRONG[text]


def test_unknown():
    with pytest.raises(ValueError) as caught:
        networks.network("lenet")
    assert str(caught.value) == (
        f"unknown network 'lenet'; known are {', '.join(networks.NAMES)}, and texts such as "
        "28x28-20C5-MP2-500N-10, 784-500-10-sigmoid and cifar10-5x64-3x32"
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: networks.mlp((3,)), "widths must be at least two positive integers, not (3,)"),
        (lambda: networks.mlp((3, 0)), "widths must be at least two positive integers, not (3, 0)"),
        (
            lambda: networks.mlp((3, 2), "softmax"),
            "activation must be relu, sigmoid or tanh, not 'softmax'",
        ),
        *(
            (
                lambda given=given: networks.cifar10(given),
                f"kernels must be 1 to 4 pairs of a size and a number, not {given!r}",
            )
            for given in ((), ((3, 8),) * 5, "5x8", 3)
        ),
        *(
            (
                lambda pair=pair: networks.cifar10((pair,)),
                f"kernels must be pairs of a size from 1 to 24 and a positive number, not {pair!r}",
            )
            for pair in ((25, 8), (0, 8), (3, 0), (3, 64, 1), (3.0, 8), "38")
        ),
    ],
)
def test_refused(call, message):
    with pytest.raises(ValueError) as caught:
        call()
    assert str(caught.value) == message


def test_weights_take_no_memory():
    for array in networks.network("vgg16").constants.values():
        assert array.strides == (0,) * array.ndim or array.size < 5


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v1", "mobilenet_v2"])
def test_mean_and_variance_are_two(name):
    """Random weights give the one a sign, which the other must not have."""
    drawn = with_random_weights(networks.network(name))
    layers = [layer for layer in drawn.layers if layer.op == "BatchNormalization"]
    assert layers
    for layer in layers:
        mean, variance = (drawn.constants[name] for name in layer.inputs[3:])
        assert mean.min() < 0 < variance.min()


def test_building_takes_no_time():
    # 35 ms for the largest on the machine on which this was written; best of three, with room.
    def seconds():
        start = time.perf_counter()
        hwsim.load(networks.model("resnet152"))
        return time.perf_counter() - start

    assert min(seconds() for _ in range(3)) < 0.5


def test_a_batch():
    network = hwsim.load(networks.model("lenet5"), (3, 1, 32, 32))
    assert network.macs == 3 * TOTALS["lenet5"][1]


def test_is_part_of_the_public_interface():
    assert hwsim.networks is networks
    assert "networks" in hwsim.__all__


def test_lrn_of_the_tutorial_and_of_alexnet():
    """Their texts do not divide alpha by the number of channels, ONNX does."""
    for name, radius, alpha, bias in (
        ("cifar10", 4, 0.001 / 9, 1.0),
        ("alexnet_two_tower", 2, 1e-4, 2.0),
    ):
        layers = [x for x in networks.network(name).layers if x.op == "LRN"]
        assert len(layers) == 2
        for layer in layers:
            found = layer.attributes
            assert found["size"] == 2 * radius + 1
            assert np.isclose(found["alpha"] / found["size"], alpha, rtol=1e-6)
            assert (found["beta"], found["bias"]) == (0.75, bias)
