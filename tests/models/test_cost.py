"""The cost view: rules for memories and multipliers, and errors on what it has not seen."""

import time

import pytest

import hwsim
from hwsim.blocks.conv import ConvConfig
from hwsim.blocks.lrn import LRNConfig
from hwsim.blocks.requantize import RequantizeConfig
from hwsim.blocks.stream import Frame
from hwsim.blocks.streaming import plan_streaming
from hwsim.models import cost_data
from hwsim.models.cost import FAMILIES, blocks, cost, dsps
from hwsim.models.cost_data import decode, encode, held_out, read
from hwsim.validation import CHECKS
from hwsim.validation.networks import random_network

ECP5 = FAMILIES["ecp5"]


@pytest.mark.parametrize(
    ("width", "depth", "count"),
    # As Yosys found for ECP5.
    [(80, 4800, 23), (24, 3360, 5), (8, 840, 1), (8, 161, 1), (24, 680, 2), (400, 48, 12)],
)
def test_blocks(width, depth, count):
    assert blocks(width, depth, ECP5) == count


@pytest.mark.parametrize(
    ("operands", "count"),
    [((8, 8), 1), ((19, 18), 1), ((20, 18), 2), ((25, 18), 2), ((18, 25), 2), ((25, 25), 4)],
)
def test_dsps(operands, count):
    assert dsps({operands: 1}, ECP5) == count


def test_errors_on_designs_that_were_not_seen():
    check = CHECKS["cost"]()
    assert not check.fitted
    summary = check.summary().set_index("group")
    assert summary.loc["ecp5 LUT", "points"] >= 6
    assert (summary["median_percent"] <= 10).all()
    assert (summary["worst_percent"] <= 30).all()


def test_calibration_and_test_are_apart():
    names = set(read("ecp5")["design"])
    kept_back = {name for name in names if held_out(name)}
    assert {name.partition("-")[0] for name in kept_back} == {"cnn", "lenet5", "systolic"}
    assert 0.25 < len(kept_back) / len(names) < 0.5


def test_configurations_as_text():
    config = ConvConfig(frame=Frame(5, 6, 4, 2), out_channels=6, kernel=(3, 3), simd=6, pe=2)
    text = encode(config)
    assert text["frame"] == {"type": "Frame", "height": 5, "width": 6, "channels": 4, "lanes": 2}
    assert decode(text) == config


def test_a_plan_takes_microseconds():
    plan = plan_streaming(random_network(3), hwsim.Streaming(multipliers=12))
    first = cost(plan)
    assert first.dsp == 19
    start = time.perf_counter()
    for _ in range(10):
        assert cost(plan) == first
    # A unit takes some 50 microseconds; generous, for slow machines.
    assert (time.perf_counter() - start) / 10 < 0.05


def test_normalization_takes_the_multipliers_and_memories_that_yosys_found():
    scaling = RequantizeConfig(accumulator_bits=26, multiplier_bits=0, shifts=(18, 18))
    for lanes, dsp, bram in ((6, 12, 6), (12, 24, 12), (16, 32, 16)):
        frame = Frame(9, 9, lanes, lanes)
        found = cost(LRNConfig(frame=frame, size=5, precision=7, requantize=scaling))
        assert (found.dsp, found.bram) == (dsp, bram)


def test_a_design_is_its_plan():
    design = hwsim.build(random_network(3), hwsim.Streaming(multipliers=12))
    assert cost(design) == cost(design.plan)
    config = hwsim.Systolic(rows=4, cols=4, buffer_bytes=4096, accumulator_rows=64)
    assert cost(config).dsp == 28


def test_more_multipliers_cost_more():
    few, many = (
        cost(plan_streaming(random_network(3), hwsim.Streaming(multipliers=n))) for n in (12, 40)
    )
    assert few.dsp < many.dsp
    assert few.ff < many.ff
    small, large = (
        cost(hwsim.Systolic(rows=n, cols=n, buffer_bytes=65536, accumulator_rows=512))
        for n in (4, 8)
    )
    assert small.lut < large.lut


def test_refused():
    with pytest.raises(ValueError) as refused:
        cost(hwsim.Systolic(), "xc7")
    assert str(refused.value) == "family must be ecp5, not 'xc7'"
    with pytest.raises(TypeError) as refused:
        cost(3)
    assert str(refused.value) == ("design must be a plan, a configuration or a design, not int")


def test_data_is_whole():
    table = cost_data.read("ecp5")
    assert set(table.columns) == {"design", "unit", "config", "lut", "ff", "dsp", "bram"}
    assert not table.duplicated(["design", "unit"]).any()
