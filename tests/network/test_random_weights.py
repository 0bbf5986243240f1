"""Random parameters: which are drawn, how they are spread, and that they never change."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest

import hwsim
from hwsim.models import reference
from hwsim.network.random_weights import lacks_weights, random_images, with_random_weights
from tests.onnx_models import MODELS, ModelBuilder


def deep(layers, rectify=True):
    b = ModelBuilder(0, (1, 3, 24, 24))
    x = b.conv("image", 3, 32)
    for _ in range(layers - 1):
        x = b.conv(b.node("Relu", x) if rectify else x, 32, 32, pads=[1, 1, 1, 1])
    return hwsim.load(b.model(x))


@pytest.mark.parametrize("name", MODELS)
def test_every_parameter_is_drawn_and_nothing_else_changes(name):
    network = hwsim.load(MODELS[name](seed=5))
    drawn = with_random_weights(network, 3)
    assert (drawn.layers, drawn.tensors, drawn.inputs) == (
        network.layers,
        network.tensors,
        network.inputs,
    )
    for constant, array in network.constants.items():
        other = drawn.constants[constant]
        assert (other.shape, other.dtype) == (array.shape, array.dtype)
        assert not np.any(other == array)


def test_a_network_of_zeros_alone_lacks_weights():
    network = deep(2)
    first, second = (layer.inputs[1] for layer in network.layers if layer.op == "Conv")
    zeros = {name: 0 * array for name, array in network.constants.items()}
    assert lacks_weights(replace(network, constants=zeros))
    assert not lacks_weights(replace(network, constants={**zeros, second: zeros[second] + 1}))
    assert not lacks_weights(network)
    # Nothing to draw, and a weight that another layer makes.
    b = ModelBuilder(0, (1, 3, 4, 4))
    assert not lacks_weights(hwsim.load(b.model(b.node("Relu", "image"))))
    made = {name: array for name, array in zeros.items() if name != first}
    assert not lacks_weights(replace(network, constants=made))


def test_the_same_numbers_on_every_machine():
    network = with_random_weights(deep(2))
    digest = hashlib.sha256()
    for name in sorted(network.constants):
        digest.update(np.ascontiguousarray(network.constants[name], "<f4").tobytes())
    digest.update(np.ascontiguousarray(random_images(network, 2), "<f4").tobytes())
    assert digest.hexdigest()[:16] == "8ec5cd66fd07ba9b"


def test_each_seed_and_each_name_has_numbers_of_its_own():
    network = deep(3)
    first, again, other = (with_random_weights(network, seed).constants for seed in (0, 0, 1))
    for name in network.constants:
        assert np.array_equal(first[name], again[name])
        assert not np.array_equal(first[name], other[name])
    square = [array for array in first.values() if array.shape == (32, 32, 3, 3)]
    assert len(square) == 2 and not np.array_equal(*square)


@pytest.mark.parametrize("transposed", [False, True])
def test_weights_have_mean_0_in_each_output_channel(transposed):
    b = ModelBuilder(0, (1, 40))
    shape = (30, 40) if transposed else (40, 30)
    w = b.constant(np.ones(shape))
    network = with_random_weights(
        hwsim.load(b.model(b.node("Gemm", "image", w, transB=transposed)))
    )
    weights = network.constants[w] if transposed else network.constants[w].T
    assert np.abs(weights.mean(axis=1)).max() < 1e-7
    # The variance is 1 / 40; of 40 even numbers that of a channel is within a few times a tenth.
    assert np.var(weights) == pytest.approx(1 / 40, rel=0.1)


@pytest.mark.parametrize("rectify", [False, True])
def test_maps_keep_their_size_through_twenty_layers(rectify):
    network = with_random_weights(deep(20, rectify))
    images = random_images(network, 4)
    assert images.std() == pytest.approx(74, rel=0.02)
    (output,) = reference.run(network, images).values()
    assert 74 / 3 < output.std() < 74 * 3
    # A map differs from place to place, not from channel to channel alone.
    assert output.std(axis=(0, 2, 3)).mean() > output.std() / 2


def test_a_single_weight_per_channel_is_not_0():
    b = ModelBuilder(0, (1, 8, 4, 4))
    network = with_random_weights(hwsim.load(b.model(b.conv("image", 8, 8, (1, 1), group=8))))
    (weights,) = (array for array in network.constants.values() if array.ndim == 4)
    assert np.count_nonzero(weights) == 8


def test_images_are_refused_for_two_inputs():
    network = deep(1)
    network = replace(network, inputs=(*network.inputs, *network.inputs))
    with pytest.raises(ValueError, match=r"^images need a network with one input, not 2$"):
        random_images(network)
