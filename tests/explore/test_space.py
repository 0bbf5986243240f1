"""`Space`: what a file may say, and points by their numbers."""

import numpy as np
import pytest

from hwsim.explore import Space

SYSTOLIC = {"rows": [8, 16], "cols": [8, 16, 32]}


def test_points_are_digits_in_a_mixed_radix():
    space = Space.load(
        {
            "batch": [1, 4],
            "clock_mhz": {"from": 100, "to": 300, "step": 100},
            "systolic": SYSTOLIC | {"buffer_bytes": {"from": 4096, "to": 65536, "factor": 4}},
            "streaming": {"multipliers": [16, 64]},
        }
    )
    systolic, streaming = space.blocks
    assert (systolic.start, systolic.stop) == (0, 2 * 2 * 3 * 3 * 3)
    assert (streaming.start, streaming.stop) == (108, 108 + 2 * 2 * 3)
    assert len(space) == 120
    values = systolic.values(np.arange(108))
    seen = set(zip(*(column.tolist() for column in values.values()), strict=True))
    assert len(seen) == 108
    for number in range(0, 108, 7):
        digits = {name: column[0] for name, column in systolic.digits([number]).items()}
        assert systolic.number(digits) == number
    assert space.point(119) == {
        "architecture": "streaming",
        "multipliers": 64,
        "batch": 4,
        "clock_mhz": 300.0,
        "memory_gb_per_s": 16.0,
    }


def test_chunks_cover_every_point_once():
    space = Space.load(
        {
            "batch": [1, 2, 3],
            "systolic": {"rows": {"from": 1, "to": 200, "step": 1}, "cols": list(range(1, 101))},
            "streaming": {"cycles_per_image": [1000, 2000]},
        }
    )
    numbers = np.concatenate([np.arange(*chunk) for chunk in space.chunks()])
    assert np.array_equal(numbers, np.arange(len(space)))
    assert space.chunks()[-2:] == [(60000, 60003), (60003, 60006)]


def test_equal_spaces_have_equal_keys():
    first = Space.load({"systolic": SYSTOLIC})
    assert first.key == Space.load({"systolic": SYSTOLIC, "batch": 1}).key
    assert first.key != Space.load({"systolic": SYSTOLIC, "batch": 2}).key


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            {"systolc": {}},
            "space has 'systolc' (did you mean 'systolic'?); accepted are device, batch, "
            "clock_mhz, memory_gb_per_s, architecture, objectives, constraints, cost, systolic, "
            "streaming",
        ),
        (
            {"architecture": "tpu"},
            "space: architecture must be systolic or streaming, not 'tpu'",
        ),
        (
            {},
            "space: architecture must be a list of systolic, streaming, not []",
        ),
        ({"systolic": {"rows": 8}}, "space, [systolic] lacks cols"),
        (
            {"systolic": SYSTOLIC | {"colums": 1}},
            "space, [systolic] has 'colums' (did you mean 'cols'?); accepted are dataflow, "
            "operand_bits, rows, cols, buffer_bytes, accumulator_rows",
        ),
        (
            {"systolic": SYSTOLIC | {"rows": 0}},
            "space, [systolic]: rows must be a positive integer, not 0",
        ),
        (
            {"systolic": SYSTOLIC | {"rows": [8, 8]}},
            "space, [systolic]: rows has 8 more than once",
        ),
        (
            {"systolic": SYSTOLIC | {"rows": []}},
            "space, [systolic]: rows must have at least one value",
        ),
        (
            {"systolic": SYSTOLIC | {"rows": {"from": 8}}},
            "space, [systolic]: rows must be a value, a list, or { from, to, step or factor }, "
            "not {'from': 8}",
        ),
        (
            {"systolic": SYSTOLIC | {"rows": {"from": 8, "to": 4, "step": 1}}},
            "space, [systolic]: rows goes from 8 to 4, which is less",
        ),
        (
            {"systolic": SYSTOLIC | {"rows": {"from": 8, "to": 64, "factor": 1}}},
            "space, [systolic]: rows must start above 0 and have a factor above 1, not "
            "{'from': 8, 'to': 64, 'factor': 1}",
        ),
        (
            {"systolic": SYSTOLIC | {"dataflow": "weight"}},
            "space, [systolic]: dataflow must be weight-stationary, output-stationary, "
            "input-stationary, row-stationary, nvdla, not 'weight'",
        ),
        (
            {"systolic": SYSTOLIC | {"operand_bits": 4}},
            "space, [systolic]: operand_bits must be 8 or 16, not 4",
        ),
        (
            {"systolic": SYSTOLIC, "clock_mhz": "fast"},
            "space: clock_mhz must lie in 1e-06 to 100000, not 'fast'",
        ),
        (
            {"systolic": SYSTOLIC, "objectives": ["speed"]},
            "space: an objective must be throughput, latency, energy, lut, ff, dsp, bram, cost, "
            "not 'speed'",
        ),
        (
            {"systolic": SYSTOLIC, "objectives": ["cost"]},
            "space: cost needs a table [cost] that says what lut, ff, dsp, bram and each device "
            "add to it",
        ),
        (
            {"systolic": SYSTOLIC, "constraints": {"fits": True}},
            "space, [constraints]: fits needs a device",
        ),
        (
            {"systolic": SYSTOLIC, "constraints": {"max_latency_ms": "1"}},
            "space, [constraints]: max_latency_ms must be a number from 0 up, not '1'",
        ),
        (
            {"systolic": SYSTOLIC, "device": "tpu-v1"},
            "space: device must be an FPGA, and tpu-v1 is a tpu",
        ),
        (
            {"systolic": SYSTOLIC, "device": "zynq-7020", "objectives": ["lut"]},
            "space: lut of designs can be told on parts of the families ecp5 only, and zynq-7020 "
            "is not one",
        ),
        (
            {"systolic": SYSTOLIC | {"rows": 512}, "device": "ecp5-85f"},
            "space, [systolic]: rows must be at most 256 for designs whose cells are counted, "
            "not 512",
        ),
        (
            {"systolic": SYSTOLIC | {"buffer_bytes": 3000}, "objectives": ["dsp"]},
            "space, [systolic]: buffer_bytes must be a power of two for designs whose cells are "
            "counted, not 3,000",
        ),
        (
            {"streaming": {"multipliers": 8, "cycles_per_image": 9}},
            "space, [streaming]: give multipliers or cycles_per_image, not both",
        ),
    ],
)
def test_wrong_spaces(table, message):
    with pytest.raises(ValueError) as caught:
        Space.load(table)
    assert str(caught.value) == message


def test_a_file_that_is_not_toml(tmp_path):
    path = tmp_path / "space.toml"
    path.write_text("rows =")
    with pytest.raises(ValueError, match=r"space .*space\.toml is not TOML: Invalid value"):
        Space.load(path)


def test_a_file(tmp_path):
    path = tmp_path / "space.toml"
    path.write_text("[systolic]\nrows = [8]\ncols = { from = 8, to = 32, factor = 2.0 }\n")
    space = Space.load(path)
    assert len(space) == 3
    assert space.objectives == ("throughput", "energy")
    assert [space.point(k)["cols"] for k in range(3)] == [8, 16, 32]
