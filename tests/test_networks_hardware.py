"""Known networks on devices and accelerators: the fast part of what benchmarks.networks reports."""

import numpy as np
import pytest

import hwsim
from benchmarks.networks import (
    DOCUMENT,
    SHOWN,
    SIZE,
    all_networks,
    document,
    on_array,
    published,
    stream,
    too_large,
    weight_bits,
)
from hwsim import networks
from hwsim.models import devices
from hwsim.models.dataflow import streaming
from hwsim.models.quantization import random_integer_network
from hwsim.models.reference import run
from hwsim.network.integer import LRN, Table
from hwsim.network.random_weights import with_random_weights


def test_document_is_up_to_date():
    text = DOCUMENT.read_text(encoding="utf-8")
    assert document(text) == text, "run python -m benchmarks.networks --docs"


def test_one_device_of_each_class_is_shown():
    found = {devices.load(name).device_class for name in SHOWN}
    assert found == {devices.load(name).device_class for name in devices.names()}


@pytest.mark.parametrize("name", networks.NAMES)
def test_estimates(name):
    """On a device of each class."""
    network = networks.network(name)
    for entry in hwsim.estimate(network, SHOWN, design=hwsim.Systolic(rows=SIZE, cols=SIZE)):
        assert entry.macs == network.macs
        assert 0 < entry.latency_s < 60


SMALL = ("lenet5", "1x29x29-20C4-MP2-40C5-MP3-150N-10N")


@pytest.mark.parametrize("name", SMALL)
def test_small_ones_on_both_accelerators(name):
    network = networks.network(name)
    integer = random_integer_network(network)
    array, program = on_array(integer)
    assert array["fits"] and array["macs"] == network.macs
    (entry,) = hwsim.estimate(network, ["alveo-u250"], design=program)
    assert entry.cycles == array["cycles"]
    pipeline = stream(integer)
    assert pipeline["fits"]
    part = devices.load(pipeline["part"])
    assert pipeline["multipliers"] <= part["dsps"]


@pytest.mark.parametrize("name", all_networks())
def test_why_there_is_no_pipeline(name):
    """Published is a pipeline for every network whose weights some part holds, and why not else."""
    found = published()[name]
    why = too_large(weight_bits(random_integer_network(all_networks()[name]())))
    assert found["systolic"]["fits"]
    assert found["streaming"]["fits"] == (why == "")
    if why:
        assert found["streaming"]["why"] == why


@pytest.mark.parametrize("options", [None, hwsim.Systolic(rows=8, cols=8)])
def test_lrn_on_both_accelerators(options):
    """The tutorial's network with fewer kernels: normalization behind a pool, and before one.

    Of even size, too, which are padded unevenly.
    """
    network = with_random_weights(networks.cifar10(((3, 6), (4, 6))), seed=1)
    images = np.random.default_rng(2).normal(size=(4, 3, 24, 24)).astype(np.float32)
    design = hwsim.build(hwsim.quantize(network, calibration=images), options)
    integer = (design.plan if options is None else design.program).network
    assert sum(isinstance(layer, LRN) for layer in integer.layers) == 2
    result = hwsim.simulate(design, images[:2], lanes=1)
    assert result.mismatches == 0
    assert result.cycles == design.cycles(images=2)
    if options is None:
        events = streaming.run(design.plan.actors, design.plan.edges, 2)
        assert events.cycles == result.cycles


@pytest.mark.parametrize("options", [None, hwsim.Systolic(rows=4, cols=4, buffer_bytes=4096)])
@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
@pytest.mark.parametrize("widths", [(12, 9, 7, 4), (5, 16, 3)])
def test_mlp_at_rtl(widths, activation, options):
    network = with_random_weights(networks.mlp(widths, activation), seed=1)
    rng = np.random.default_rng(2)
    images = rng.normal(size=(40, widths[0])).astype(np.float32)
    # Biases as large as those of networks whose inputs are levels would hold the curves at their
    # ends.
    for name, array in network.constants.items():
        if name.endswith("_bias"):
            array *= np.float32(1 / 16)
    quantized = hwsim.quantize(network, calibration=images)
    design = hwsim.build(quantized, options)
    integer = (design.plan if options is None else design.program).network
    tables = [layer for layer in integer.layers if isinstance(layer, Table)]
    assert len(tables) == len(widths) - 2
    result = hwsim.simulate(design, images[:3].reshape(3, -1, 1, 1), lanes=1)
    assert result.mismatches == 0
    assert result.cycles == design.cycles(images=3)
    # The curves are used: neither flat nor a line.
    (exact,) = run(network, images, [network.layers[1].outputs[0]]).values()
    assert np.ptp(exact) > 0.5
