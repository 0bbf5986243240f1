"""Energy: of the arithmetic and of the data that it moves."""

import json

import pytest

from hwsim.data import bundled
from hwsim.models import devices
from hwsim.models.energy import NOTE, joules, layer_energy, quantities
from hwsim.models.estimate import estimate
from hwsim.network import load


@pytest.fixture(scope="module")
def lenet():
    return load(bundled("lenet5/lenet5.onnx"))


def test_numbers_of_the_paper():
    """Horowitz, ISSCC 2014, in picojoules: multiplication and addition; per byte of 64 bits."""
    found = quantities()
    wanted = {
        "int8": 0.2 + 0.1,
        "int16": 4 * 0.2 + 0.1,
        "fp16": 1.1 + 0.9,
        "bf16": 1.1 + 0.9,
        "fp32": 3.7 + 0.9,
    }
    assert {name: entry.given for name, entry in found["mac"].items()} == pytest.approx(wanted)
    wanted = {"int8": 0.1, "int16": 0.1, "fp16": 0.4, "bf16": 0.4, "fp32": 0.9}
    assert {name: entry.given for name, entry in found["operation"].items()} == wanted
    access = {name: entry.given for name, entry in found["access"].items()}
    assert access.pop("register") == 0.5
    assert access == {
        "sram_8kib": 10 / 8,
        "sram_32kib": 20 / 8,
        "sram_1mib": 100 / 8,
        "dram": (1300 + 2600) / 2 / 8,
    }
    for table in found.values():
        assert all(entry.source for entry in table.values())


def test_energy_of_a_layer():
    found = layer_energy(1000, 100, "fp32", {"l1": 40, "l2": 20, "elsewhere": 8}, 16)
    assert found.mac_j == pytest.approx(4600e-12)
    assert found.operation_j == pytest.approx(90e-12)
    assert found.level_j == pytest.approx({"l1": 100e-12, "l2": 250e-12, "elsewhere": 100e-12})
    assert found.memory_j == pytest.approx(3900e-12)
    assert found.total_j == pytest.approx(9040e-12)
    assert found.line == (
        "energy    1,000 MAC x 4.6 pJ + 100 operations x 0.9 pJ + l1 40 B x 2.5 pJ/B + "
        "l2 20 B x 12.5 pJ/B + elsewhere 8 B x 12.5 pJ/B + memory 16 B x 243.75 pJ/B = 9.04 nJ"
    )


def test_joules():
    assert [joules(x) for x in (0, 3e-12, 0.012, 2.5)] == ["0 pJ", "3 pJ", "12 mJ", "2.5 J"]


@pytest.mark.parametrize("device", ["i7-7700k", "gtx-1080-ti", "tpu-v1"])
def test_an_estimate_adds_up_its_layers(lenet, device):
    estimates = estimate(lenet, [device], batch=4)
    found = estimates[device]
    assert found.energy_j == sum(layer.energy_j for layer in found.layers) > 0
    assert found.tdp_energy_j == found.device["tdp"] * found.latency_s
    assert list(estimates.table["energy_j"]) == [found.energy_j]
    for layer in found.layers:
        if layer.macs or layer.operations or layer.bytes:
            energy = layer_energy(
                layer.macs, layer.operations, layer.precision, layer.level_bytes, layer.bytes
            )
            assert layer.energy_j == energy.total_j
            assert layer.lines[-1] == energy.line
        else:
            assert layer.energy_j == 0
    data = json.loads(json.dumps(estimates.to_dict()))
    assert data["energy_note"] == NOTE
    assert data["devices"][0]["energy_j"] == found.energy_j
    assert data["devices"][0]["layers"][0]["energy_j"] == found.layers[0].energy_j


def test_integers_take_less(lenet):
    floats, codes = (estimate(lenet, "gtx-1080-ti", precision=p) for p in ("fp32", "int8"))
    first, second = floats["gtx-1080-ti"].layers[0], codes["gtx-1080-ti"].layers[0]
    assert (first.precision, second.precision) == ("fp32", "int8")
    mac = quantities()["mac"]
    assert f"{second.macs:,} MAC x {mac['int8']} +" in second.lines[-1]
    assert f"{first.macs:,} MAC x {mac['fp32']} +" in first.lines[-1]
    assert second.energy_j < first.energy_j


def test_explain_has_the_arithmetic_and_the_sources(lenet):
    text = estimate(lenet, "i7-7700k").explain("conv1", "i7-7700k")
    assert "\n  energy    " in text
    mac = quantities()["mac"]["fp32"]
    assert f"  energy of fp32 mac = 4.6 pJ: {mac.source}" in text
    assert f"  {NOTE}" in text


def test_a_device_without_a_power_has_no_limit(lenet, tmp_path):
    device = devices.load("i7-7700k")
    lines = [
        f"{q.name} = {{ value = {q.given}, unit = '{q.unit}', source = 'test' }}"
        for q in device.quantities.values()
        if q.name != "tdp"
    ]
    path = tmp_path / "quiet.toml"
    path.write_text("\n".join(["name = 'quiet'", "class = 'cpu'", "title = 'Quiet'", *lines]))
    (found,) = estimate(lenet, path)
    assert found.tdp_energy_j is None
