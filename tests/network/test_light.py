"""The topologies that the onnx package ships: random weights, int8, integer layers, one image."""

import pathlib
from collections import Counter

import numpy as np
import onnx
import pytest

import hwsim
from hwsim.models.onnx_runtime import compare
from hwsim.models.quantization import random_integer_network
from hwsim.models.reference import integer
from hwsim.network import lower
from hwsim.network.integer import Conv, Dense
from hwsim.network.random_weights import random_images, with_random_weights

LIGHT = pathlib.Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"

# MACs of all convolutions and dense layers, by shape inference over the files in onnx 1.23.2, and
# the integer layers.
TOPOLOGIES = {
    "bvlc_alexnet": (654_560_384, {"Conv": 5, "Dense": 3, "LRN": 2, "Pool": 3}),
    "densenet121": (2_834_161_664, {"Conv": 183, "Concat": 58, "Pool": 5}),
    "inception_v1": (1_431_556_352, {"Conv": 57, "Concat": 9, "Dense": 1, "LRN": 2, "Pool": 14}),
    "inception_v2": (2_018_851_840, {"Conv": 69, "Concat": 10, "Dense": 1, "Pool": 13}),
    "resnet50": (4_089_184_256, {"Add": 16, "Conv": 53, "Dense": 1, "Pool": 2}),
    "shufflenet": (
        124_664_528,
        {"Add": 13, "Concat": 3, "Conv": 49, "Dense": 1, "Pool": 5, "Shuffle": 16, "Table": 3},
    ),
    "squeezenet": (349_151_936, {"Concat": 8, "Conv": 26, "Pool": 4}),
    "vgg19": (19_632_062_464, {"Conv": 16, "Dense": 3, "Pool": 5}),
    "zfnet512": (1_481_727_008, {"Conv": 5, "Dense": 3, "LRN": 2, "Pool": 3}),
}
# Those that take more time than the rest together are not run.
SLOW = ("vgg19",)


def load(name):
    return hwsim.load(LIGHT / f"light_{name}.onnx")


def image(network, lowered, seed=1):
    return lowered.input.quantize(random_images(network, 1, seed).reshape(1, *lowered.input.shape))


def macs(layer, tensors):
    height, width = tensors[layer.output].shape[1:]
    return layer.weights.size * height * width


def is_affine(layer):
    """Whether a convolution is a factor and an addend per channel, as batch normalization is."""
    return isinstance(layer, Conv) and layer.weights.shape[1:] == (1, 1, 1)


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_topology_in_integers(name):
    network = load(name)
    lowered = random_integer_network(network)
    total, kinds = TOPOLOGIES[name]
    assert Counter(type(layer).__name__ for layer in lowered.layers) == kinds
    products = [layer for layer in lowered.layers if isinstance(layer, Conv | Dense)]
    for layer in products:
        assert np.abs(layer.weights).max() == 127
        assert layer.weights.dtype == np.int8
    counted = sum(macs(layer, lowered.tensors) for layer in products if not is_affine(layer))
    assert counted == total
    if name in SLOW:
        return
    maps = integer.run(lowered, image(network, lowered))
    for tensor, codes in maps.items():
        # Of 256 codes: the deviation would be 74 if all were as frequent.
        assert codes.std() > 4, tensor
        # Not one value per channel.
        assert codes.shape[2] == 1 or codes.std(axis=(0, 2, 3)).mean() > 4, tensor
        assert np.isin(codes, (-128, 127)).mean() < 0.75, tensor


@pytest.mark.parametrize("name", ["inception_v1", "shufflenet", "squeezenet"])
def test_topology_agrees_with_onnxruntime(name):
    network = with_random_weights(load(name))
    quantized = hwsim.quantize(network, random_images(network))
    lowered = lower(quantized)
    table = compare(quantized, integer.run(lowered, image(network, lowered)))
    assert table.largest.max() <= 1
    assert table.differing.sum() < 0.005 * table["values"].sum()


def test_the_same_integers_on_every_machine():
    lowered = random_integer_network(load("squeezenet"))
    (codes,) = integer.run(lowered, image(load("squeezenet"), lowered), keep=()).values()
    assert codes.reshape(-1)[:12].tolist() == [
        -36,
        -61,
        -98,
        -95,
        -63,
        -59,
        -47,
        -90,
        -32,
        -68,
        -91,
        -43,
    ]
