"""Networks on the systolic accelerator, as `simulate` runs them."""

from pathlib import Path

import numpy as np
import onnx
import pytest

import hwsim
from hwsim.blocks.systolic.registers import COUNTERS
from hwsim.models.quantization import random_integer_network
from hwsim.models.reference import integer
from hwsim.sim.simulate import simulate
from hwsim.sim.systolic import activity, lanes_for
from hwsim.validation.networks import NetworkBuilder, images_for


def small_network():
    """A convolution, a pool, an addition and a dense layer."""
    builder = NetworkBuilder(np.random.default_rng(0), (3, 6, 6))
    conv = builder.conv(builder.input, 5, pads=(1, 1, 1, 1))
    same = builder.conv(conv, 5, kernel=(1, 1))
    pool = builder.max_pool(builder.add(conv, same))
    return builder.build(builder.dense(pool, 4))


NETWORK = small_network()
CODES = images_for(NETWORK, 5, 0)
DESIGN = hwsim.build(NETWORK, hwsim.Systolic(rows=4, cols=4, buffer_bytes=1 << 12))


def test_lanes_and_rounds():
    """Five images in lanes of two: three rounds, the last one filled up."""
    calls = []
    result = simulate(DESIGN, CODES, lanes=2, threads=1, progress=calls.append)
    assert (result.images, result.lanes, result.mismatches) == (5, 2, 0)
    assert result.cycles == DESIGN.cycles(images=3)
    assert result.cycles_per_image == DESIGN.cycles()
    assert calls == [2, 4, 5]
    expected = integer.run(NETWORK, CODES)
    for name, maps in result.feature_maps.items():
        np.testing.assert_array_equal(maps, expected[name], name)
    np.testing.assert_array_equal(result.outputs, expected[NETWORK.outputs[0].name])


@pytest.mark.parametrize("latency", [1, 60])
def test_cycles_follow_the_latency_of_memory(latency):
    result = simulate(DESIGN, CODES[:1], memory_latency=latency)
    assert result.mismatches == 0
    assert result.cycles == DESIGN.cycles(memory_latency=latency)


def test_stalls_change_cycles_alone():
    result = simulate(DESIGN, CODES[:1], stalls=0.4, seed=3)
    assert result.mismatches == 0
    assert result.cycles > DESIGN.cycles()


def test_packed_columns():
    design = hwsim.build(NETWORK, hwsim.Systolic(rows=4, cols=4, buffer_bytes=1 << 12, packed=True))
    result = simulate(design, CODES[:1])
    assert result.mismatches == 0
    assert result.cycles == design.cycles()


def test_amaranth_agrees():
    result = simulate(DESIGN, CODES[:1], engine="amaranth")
    assert result.mismatches == 0
    assert result.cycles == DESIGN.cycles()


def test_counters():
    result = simulate(DESIGN, CODES[:1])
    counters = result.counters
    assert tuple(counters) == COUNTERS
    timing = DESIGN.program.timing()
    assert counters["cycles"] == timing.cycles
    for number, engine in enumerate(("read", "matrix", "vector", "write")):
        count = sum(i.opcode.engine == number for i in DESIGN.program.instructions)
        assert counters[f"{engine}_completed"] == count
    assert counters["bytes_read"] == sum(
        i["words"] * DESIGN.config.axi_bytes
        for i in DESIGN.program.instructions
        if i.opcode.engine == 0
    )


def test_activity():
    result = simulate(DESIGN, CODES[:1])
    table = activity(DESIGN.program, result.recording)
    assert list(table["name"]) == [layer.name for layer in NETWORK.layers]
    assert (table["first_cycle"] <= table["last_cycle"]).all()
    assert table["last_cycle"].max() < result.cycles


def test_lanes_when_nothing_is_said():
    assert lanes_for(DESIGN.program, 3) == 3
    assert lanes_for(DESIGN.program, 1000) == 64


def test_memory_latency_is_checked():
    with pytest.raises(ValueError, match=r"^memory_latency must be a positive integer, not 0$"):
        simulate(DESIGN, CODES[:1], memory_latency=0)
    with pytest.raises(ValueError, match=r"^memory_latency is for systolic accelerators$"):
        simulate(hwsim.build(NETWORK), CODES[:1], memory_latency=5)


def test_a_whole_imagenet_network():
    """SqueezeNet with random weights on a 32 x 32 array: every value of every feature map."""
    path = Path(onnx.__file__).parent / "backend/test/data/light/light_squeezenet.onnx"
    network = random_integer_network(hwsim.load(path))
    design = hwsim.build(network, hwsim.Systolic(rows=32, cols=32, buffer_bytes=1 << 22))
    result = simulate(design, images_for(network, 1, 0))
    assert result.mismatches == 0
    assert len(result.layers) == len(network.layers)
    assert result.cycles == design.cycles()
