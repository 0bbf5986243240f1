"""Whole pipelines: feature maps equal the reference, cycles the plan, whatever the stalls."""

import numpy as np
import pytest

import hwsim
from hwsim.blocks.streaming import Streaming
from hwsim.models.dataflow import streaming as simpy_model
from hwsim.rtl.build import build
from hwsim.sim.simulate import simulate
from hwsim.validation.networks import NetworkBuilder, images_for, random_network
from tests import onnx_models

BUDGETS = (64, 200, 1000)


@pytest.mark.parametrize("seed", range(24))
def test_random_pipelines(seed):
    """Values, and the cycle of every output beat by three ways: RTL, closed evaluation, SimPy."""
    network = random_network(seed)
    design = build(network, Streaming(multipliers=BUDGETS[seed % 3]))
    images = images_for(network, 3, seed)
    result = simulate(design, images)
    assert result.mismatches == 0, f"seed {seed}: {result.layers}"
    trace = design.plan.trace(3)
    cycles = result.recording.outputs["o"].cycles - result.recording.inputs["i"].cycles[0]
    assert np.array_equal(cycles, trace.sink - trace.source[0]), f"seed {seed}"
    assert result.cycles == design.cycles(3)
    ends = trace.sink.reshape(3, -1)[:, -1]
    assert result.cycles_per_image == ends[1] - ends[0]
    estimated = simpy_model.run(design.plan.actors, design.plan.edges, 3)
    assert np.array_equal(estimated.sink, trace.sink), f"seed {seed}"


def test_interval():
    """In the steady state, and with an image behind that the last windows wait for."""
    network = random_network(3)
    design = build(network, Streaming(multipliers=200))
    result = simulate(design, images_for(network, 8, 3))
    assert result.cycles_per_image == design.plan.interval


@pytest.mark.parametrize("stalls", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("seed", range(100, 104))
def test_random_stalls(seed, stalls):
    """Nothing is lost, repeated or reordered when the outside stops at random."""
    network = random_network(seed)
    design = build(network, Streaming(multipliers=200))
    result = simulate(design, images_for(network, 2, seed), stalls=stalls, seed=seed)
    assert result.mismatches == 0, f"seed {seed}: {result.layers}"
    assert result.cycles >= design.cycles(2)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 7), (3, 7, 1), (1, 2, 2)])
def test_tiny_images(shape):
    b = NetworkBuilder(np.random.default_rng(sum(shape)), shape)
    x = b.conv(b.input, 4, pads=(1, 1, 1, 1))
    x = b.add(x, b.conv(x, 4, (1, 1)))
    network = b.build(b.dense(x, 3), "tiny")
    design = build(network, Streaming(multipliers=1000))
    result = simulate(design, images_for(network, 5, 0))
    assert result.mismatches == 0
    assert result.cycles == design.cycles(5)


@pytest.mark.parametrize("code", [-128, 0, 127])
def test_images_of_one_value(code):
    network = random_network(1)
    design = build(network, Streaming(multipliers=1000))
    value = max(code, network.input.minimum)
    result = simulate(design, np.full((2, *network.input.shape), value))
    assert result.mismatches == 0


@pytest.mark.parametrize("name", ["lenet5", "digits"])
def test_bundled_networks(name):
    from hwsim.data import bundled

    network = hwsim.load(bundled(f"{name}/{name}.onnx"))
    with np.load(bundled(f"{name}/images.npz")) as file:
        calibration, images = (
            file["calibration"] / np.float32(255),
            file["images"][:2] / np.float32(255),
        )
    quantized = hwsim.quantize(network, calibration)
    # Many multipliers: few cycles for a slow simulator.
    design = build(quantized, Streaming(multipliers=1500))
    result = simulate(design, images)
    assert result.mismatches == 0
    assert result.cycles == design.cycles(2)


@pytest.mark.parametrize(
    ("name", "activation"),
    [("inception", "uint8"), ("lenet", "int8"), ("perceptron", "int8"), ("residual", "uint8")],
)
def test_onnx_models(name, activation):
    """Float ONNX in, hardware out: branches, batch normalization, table functions, a float tail."""
    model = onnx_models.MODELS[name](seed=1)
    images = onnx_models.images(model, 8, seed=2)
    quantized = hwsim.quantize(hwsim.load(model), images, activation=activation)
    design = build(quantized, Streaming(multipliers=1000))
    result = simulate(design, images[:2].reshape(2, *design.network.input.shape))
    assert result.mismatches == 0
    assert result.cycles == design.cycles(2)
