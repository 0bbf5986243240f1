"""Known networks, against the totals that others publish."""

import pytest

from hwsim.network.known import KNOWN, known

# Parameters; multiply-accumulates in millions. AlexNet: shape inference of onnx over its own
# bvlc_alexnet. VGG and ResNet: torchvision's metadata. GoogLeNet: parameters as those of onnx's own
# inception_v1; multiply-accumulates from the channel table of Szegedy et al. (2014).
TOTALS = {
    "alexnet": (60_965_224, 654.56),
    "vgg16": (138_357_544, 15_470),
    "vgg19": (143_667_240, 19_632),
    "googlenet": (6_998_552, 1_582.7),
    "resnet18": (11_689_512, 1_814),
    "resnet34": (21_797_672, 3_664),
    "resnet50": (25_557_032, 4_089),
    "resnet101": (44_549_160, 7_801),
    "resnet152": (60_192_808, 11_514),
}
# Multiply-accumulates of GoogLeNet's stages in millions, from the same table.
STAGES = {"3a": 128.0, "3b": 304.3, "4a": 73.6, "4b": 87.9, "4c": 99.9, "4d": 118.5, "4e": 170.0}
STAGES |= {"5a": 51.1, "5b": 70.7, "conv1": 118.0, "conv2": 359.7}


def test_all_are_checked():
    assert set(KNOWN) == set(TOTALS)


@pytest.mark.parametrize("name", KNOWN)
def test_totals(name):
    network = known(name)
    params, millions = TOTALS[name]
    assert network.params == params
    assert network.macs / 1e6 == pytest.approx(millions, abs=0.5)
    assert network.shape(network.outputs[0].name) == (1, 1000)
    assert known(name) is network


def test_stages_of_googlenet():
    table = known("googlenet").table()
    for stage, millions in STAGES.items():
        macs = table.loc[table["name"].str.startswith(stage), "macs"].sum()
        assert macs / 1e6 == pytest.approx(millions, abs=0.06), stage


def test_weights_take_no_memory():
    for array in known("vgg16").constants.values():
        assert array.strides == (0,) * array.ndim or array.size < 5


def test_unknown():
    with pytest.raises(ValueError) as caught:
        known("lenet")
    assert str(caught.value) == f"unknown network 'lenet'; known are {', '.join(KNOWN)}"
