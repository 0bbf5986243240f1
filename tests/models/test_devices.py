"""The device catalog: what is in it, where its numbers come from, and what a wrong file is told."""

import re

import pytest

from hwsim.models import devices

MINE = """
name = "mine"
class = "gpu"
title = "Mine"
sms = { value = 2, unit = "1", source = "data sheet" }
clock = { value = 1.5, unit = "GHz", source = "data sheet" }
fp32_macs_per_cycle = { value = 64, unit = "MAC/cycle", source = "data sheet" }
element_ops_per_cycle = { value = 64, unit = "op/cycle", source = "data sheet" }
memory_bandwidth = { value = 100, unit = "GB/s", source = "data sheet" }
cache_size = { value = 2, unit = "MiB", source = "data sheet" }
"""


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "mine.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def refused(argument):
    with pytest.raises(ValueError) as caught:
        devices.load(argument)
    return str(caught.value)


def test_the_catalog_has_every_class():
    assert {devices.load(name).device_class for name in devices.names()} == set(devices.CLASSES)
    required = "i7-7700k gtx-1080-ti titan-v tpu-v1 tpu-v2 ecp5-85f zynq-7020 zu9eg".split()
    assert set(required) <= set(devices.names())
    assert list(devices.names()) == sorted(devices.names())


@pytest.mark.parametrize("name", devices.names())
def test_a_device_is_named_like_its_file_and_every_number_has_a_source(name):
    device = devices.load(name)
    assert device.name == name
    assert device.title
    for quantity in device.quantities.values():
        assert len(quantity.source) > 8, quantity
        if ":" in quantity.source.split(" ")[0]:
            kind = quantity.source.split(":")[0]
            assert kind in ("derived", "assumption", "fitted", "measured"), quantity


@pytest.mark.parametrize(
    ("name", "precision", "tera_operations", "tolerance"),
    [
        # Peak operations per second as the sources state them: the parts multiply up to them.
        ("i7-7700k", "fp32", 0.538, 0.001),
        ("e5-2699-v3", "fp32", 1.3, 0.005),
        ("e5-2699-v3", "int8", 2.6, 0.005),
        ("gtx-1080-ti", "fp32", 11.3, 0.005),
        ("gtx-580", "fp32", 1.581, 0.001),
        ("titan-x-maxwell", "fp32", 6.6, 0.001),
        ("titan-x-pascal", "fp32", 10.97, 0.001),
        ("gtx-1080", "fp32", 8.873, 0.001),
        ("p100", "fp32", 9.3, 0.005),
        ("p100", "fp16", 18.7, 0.005),
        ("t4", "fp32", 8.141, 0.001),
        ("t4", "fp16", 65.13, 0.001),
        ("t4", "int8", 130, 0.003),
        ("titan-v", "int8", 55.2, 0.1),
        ("v100", "fp32", 15.7, 0.001),
        ("v100", "fp16", 125, 0.01),
        ("k80", "fp32", 2.8, 0.005),
        ("h100", "fp32", 66.9, 0.001),
        ("h100", "fp16", 989.4, 0.001),
        ("h100", "int8", 1978.9, 0.001),
        ("tpu-v1", "int8", 92, 0.005),
        ("tpu-v2", "bf16", 45, 0.001),
        ("tpu-v3", "bf16", 123, 0.001),
        ("tpu-v5e", "bf16", 197, 0.001),
        ("tpu-v5e", "int8", 393, 0.003),
    ],
)
def test_the_parts_multiply_up_to_the_published_peak(name, precision, tera_operations, tolerance):
    device = devices.load(name)
    units = {"cpu": "cores", "gpu": "sms", "tpu": "arrays"}[device.device_class]
    peak = 2 * device[units] * device[f"{precision}_macs_per_cycle"] * device["clock"]
    if device.device_class == "tpu":
        peak *= device["rows"] * device["columns"]
    assert peak / 1e12 == pytest.approx(tera_operations, rel=tolerance)


def test_quantities_are_in_base_units_and_print_as_given():
    device = devices.load("gtx-1080-ti")
    assert device["clock"] == 1.582e9
    assert device["memory_bandwidth"] == 484e9
    assert device["cache_size"] == 2816 * 1024
    assert str(device.quantities["clock"]) == "1582 MHz"
    assert str(device.quantities["sms"]) == "28"
    assert "sms" in device and "cores" not in device
    assert device.precisions == ("fp32", "int8")
    assert devices.load("ecp5-85f").precisions == ()


def test_a_file_of_my_own(write):
    device = devices.load(write(MINE))
    assert (device.name, device.device_class, device["clock"]) == ("mine", "gpu", 1.5e9)
    # What the class shares comes along, with its reason.
    assert device["dispatch_time"] == pytest.approx(3e-6)
    assert device.quantities["dispatch_time"].source.startswith("fitted: ")
    assert devices.load(str(write(MINE))).name == "mine"
    assert devices.load(device) is device


def test_a_file_may_override_what_the_class_shares(write):
    line = 'dispatch_time = { value = 2, unit = "us", source = "measured: here" }\n'
    assert devices.load(write(MINE + line))["dispatch_time"] == pytest.approx(2e-6)


def test_unknown_device_names_the_nearest_and_all():
    known = ", ".join(devices.names())
    assert refused("gtx1080ti") == (
        f"unknown device 'gtx1080ti' (did you mean 'gtx-1080-ti'?): known are {known}, "
        "and the path of a file that ends in .toml"
    )
    assert refused("!") == (
        f"unknown device '!': known are {known}, and the path of a file that ends in .toml"
    )


def test_missing_file(tmp_path):
    path = tmp_path / "none.toml"
    assert refused(path) == f"device file {path} does not exist"
    assert refused(str(path)) == f"device file {path} does not exist"


def test_wrong_kind_of_argument():
    with pytest.raises(TypeError, match=r"^device must be a name, a path or a Device, not 3$"):
        devices.load(3)


def test_not_toml(write):
    path = write("sms = ")
    assert refused(path).startswith(f"device file {path} is not TOML: ")


QUANTITIES = (
    "sms, clock, fp32_macs_per_cycle, element_ops_per_cycle, memory_bandwidth, cache_size, "
    "cache_rate, load_latency, block_time, compute_efficiency, memory_efficiency, dispatch_time, "
    "overlap_tiles, tf32_macs_per_cycle, bf16_macs_per_cycle, fp16_macs_per_cycle, "
    "int8_macs_per_cycle, fp16_unaligned_rate, int8_unaligned_rate, cluster_blocks, "
    "direct_convolution_only, memory_size, tdp"
)


@pytest.mark.parametrize(
    ("pattern", "replacement", "message"),
    [
        ('title = "Mine"', "", "must have title = a text, not None"),
        ('name = "mine"', "name = 3", "must have name = a text, not 3"),
        ('"gpu"', '"npu"', "has the class 'npu'; accepted are cpu, gpu, tpu, spatial, fpga"),
        ("sms = .*\n", "", "lacks sms, which a gpu needs"),
        ("sms = .*\nclock = .*\n", "", "lacks sms, clock, which a gpu needs"),
        (
            "sms =",
            "smss =",
            f"has 'smss' (did you mean 'sms'?); a gpu may have {QUANTITIES}",
        ),
        ("GHz", "Ghz", ": clock has the unit 'Ghz'; accepted are Hz, kHz, MHz, GHz"),
        ("value = 1.5", "value = -1.5", ": clock must be positive, not -1.5"),
        ("value = 1.5", "value = true", ": clock must be a number, not True"),
        ("value = 1.5", "value = inf", ": clock must be a number, not inf"),
        (
            "value = 2, unit = .1.",
            'value = 2.5, unit = "1"',
            ": sms must be a positive integer, not 2.5",
        ),
        (
            "clock = .*",
            "clock = 3",
            ": clock must be { value = ..., unit = ..., source = ... }, not 3",
        ),
        (
            'clock = (.*)"data sheet"',
            'clock = \\1" "',
            ": clock must have a source; write 'assumption: ' and the reason if there is none",
        ),
        (
            r"\Z",
            'compute_efficiency = { value = 1.5, unit = "1", source = "hope" }\n',
            ": compute_efficiency must lie above 0 and not above 1, not 1.5",
        ),
    ],
)
def test_wrong_file(write, pattern, replacement, message):
    path = write(re.sub(pattern, replacement, MINE, count=1))
    separator = "" if message.startswith(":") else " "
    assert refused(path) == f"device file {path}{separator}{message}"


def test_a_tpu_needs_a_data_type(write):
    text = "\n".join(
        f'{name} = {{ value = 8, unit = "{unit}", source = "data sheet" }}'
        for name, unit in {
            "arrays": "1",
            "rows": "1",
            "columns": "1",
            "clock": "MHz",
            "element_ops_per_cycle": "op/cycle",
            "memory_bandwidth": "GB/s",
            "scratchpad_size": "MiB",
            "weight_fifo_tiles": "1",
        }.items()
    )
    path = write(f'name = "mine"\nclass = "tpu"\ntitle = "Mine"\n{text}\n')
    assert refused(path) == (
        f"device file {path} lacks bf16_macs_per_cycle or int16_macs_per_cycle or "
        "int8_macs_per_cycle, of which a tpu needs one"
    )


ARRAY = """
name = "mine"
class = "spatial"
title = "Mine"
dataflow = { value = "row-stationary", source = "paper" }
rows = { value = 12, unit = "1", source = "paper" }
columns = { value = 14, unit = "1", source = "paper" }
clock = { value = 200, unit = "MHz", source = "paper" }
int16_macs_per_cycle = { value = 1, unit = "MAC/cycle", source = "paper" }
element_ops_per_cycle = { value = 4, unit = "op/cycle", source = "paper" }
memory_bandwidth = { value = 1, unit = "GB/s", source = "paper" }
scratchpad_size = { value = 108, unit = "KiB", source = "paper" }
"""


def test_a_quantity_may_be_a_text(write):
    device = devices.load(write(ARRAY))
    assert device["dataflow"] == "row-stationary"
    assert str(device.quantities["dataflow"]) == "row-stationary"
    assert device.precisions == ("int16",)


@pytest.mark.parametrize(
    ("pattern", "replacement", "message"),
    [
        (
            "row-stationary",
            "column-stationary",
            "dataflow must be weight-stationary, output-stationary, input-stationary, "
            "row-stationary, nvdla, not 'column-stationary'",
        ),
        (
            "dataflow = .*",
            'dataflow = "row-stationary"',
            "dataflow must be { value = ..., source = ... }, not 'row-stationary'",
        ),
        (
            '"row-stationary", source = "paper"',
            '"row-stationary", source = ""',
            "dataflow must have a source; write 'assumption: ' and the reason if there is none",
        ),
    ],
)
def test_wrong_text(write, pattern, replacement, message):
    path = write(re.sub(pattern, replacement, ARRAY, count=1))
    assert refused(path) == f"device file {path}: {message}"


def test_an_array_from_python():
    device = devices.array(rows=7, cols=9, dataflow="output-stationary", accumulator_rows=64)
    assert (device.name, device.device_class) == ("array-7x9-output-stationary", "spatial")
    assert device.title == "7 x 9 array, output-stationary"
    assert [device[name] for name in ("rows", "columns", "clock")] == [7, 9, 1e9]
    assert device["scratchpad_size"] == 2**20
    assert device["accumulator_rows"] == 64
    assert device["arrays"] == 1
    with pytest.raises(ValueError, match=r"^array: rows must be a positive integer, not 0$"):
        devices.array(rows=0, cols=1)
    with pytest.raises(ValueError, match=r"^an array has no 'sms'; it may have dataflow, arrays"):
        devices.array(rows=1, cols=1, sms=1)
