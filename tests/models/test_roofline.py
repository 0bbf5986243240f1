"""Rooflines, and one product on many devices."""

import math
from pathlib import Path

import onnx
import pytest

from hwsim.data import bundled
from hwsim.models.estimate import estimate
from hwsim.models.roofline import gemm_comparison, points, roofline
from hwsim.network import load

LIGHT = Path(onnx.__file__).parent / "backend/test/data/light"


def test_the_ridge_of_the_tpu():
    """Jouppi et al., ISCA 2017, section 5: about 1,350 multiply-accumulates per weight byte."""
    found = roofline("tpu-v1")
    peak = 2 * 256 * 256 * 700e6
    assert found.peaks_ops_per_s == {"int8": peak, "int16": peak / 4}
    assert found.ridge("int8") / 2 == pytest.approx(1350, rel=0.01)
    assert found.attainable("int8", 10) == 10 * 34e9
    assert found.attainable("int8", 1e6) == peak


def test_peaks_by_data_type():
    found = roofline("v100")
    # As Nvidia states them: 15.7 and 125 TFLOPS.
    assert found.peaks_ops_per_s["fp32"] == pytest.approx(15.7e12, rel=0.01)
    assert found.peaks_ops_per_s["fp16"] == pytest.approx(125e12, rel=0.01)
    assert found.ridge("fp16") / found.ridge("fp32") == pytest.approx(8)


def test_an_fpga_without_a_memory_has_a_flat_roof():
    found = roofline("ecp5-85f", clock_hz=50e6)
    assert found.peaks_ops_per_s == {"int8": 2 * 156 * 50e6}
    assert found.ridge("int8") is None
    assert found.attainable("int8", 0.001) == 2 * 156 * 50e6


@pytest.mark.parametrize("name", ["light_bvlc_alexnet", "light_resnet50", "light_shufflenet"])
@pytest.mark.parametrize("training", [False, True])
def test_no_layer_lies_above_the_roof(name, training):
    network = load(LIGHT / f"{name}.onnx")
    devices = ["i7-7700k", "gtx-1080-ti", "v100", "tpu-v2", "h100"]
    for entry in estimate(network, devices, batch=16, training=training, fuse=False):
        roof = roofline(entry.device)
        found = points(entry)
        assert len(found) > 0.9 * sum(layer.seconds > 0 for layer in entry.layers)
        for point in found:
            peak = roof.peaks_ops_per_s[point.precision]
            # Winograd's F(4 x 4, 3 x 3) multiplies 36 times for 144 products that are counted.
            peak *= 4 if point.op == "Conv" else 1
            limit = min(peak, point.intensity_ops_per_byte * roof.bandwidth_bytes_per_s)
            assert point.ops_per_s <= limit * (1 + 1e-9), (entry.device.name, point)


def test_points_of_a_layer():
    (entry,) = estimate(load(bundled("lenet5/lenet5.onnx")), "tpu-v1", fuse=False)
    layer, point = entry.layers[0], points(entry)[0]
    assert point.name == layer.name
    operations = 2 * layer.macs + layer.operations
    assert point.ops_per_s == operations / layer.seconds
    assert point.intensity_ops_per_byte == operations / layer.bytes
    assert any(math.isinf(point.intensity_ops_per_byte) for point in points(entry))


def test_one_product_on_many_devices():
    devices = ["i7-7700k", "gtx-1080-ti", "tpu-v1", "h100"]
    found = gemm_comparison(1024, 1024, 1024, devices)
    assert (found.m, found.n, found.k, list(found.roofs)) == (1024, 1024, 1024, devices)
    table = found.table
    assert list(table["class"]) == ["cpu", "gpu", "tpu", "gpu"]
    assert list(table["precision"]) == ["fp32", "fp32", "int8", "fp32"]
    times = table.set_index("device")["latency_us"]
    assert times["i7-7700k"] > times["gtx-1080-ti"] > times["h100"]
    assert table["utilization_percent"].between(0, 100).all()
    assert (table["ops_per_s"] * table["latency_us"] / 1e6).tolist() == pytest.approx(
        [2 * 1024**3] * 4
    )
    shares = 100 * table["ops_per_s"] / table["peak_ops_per_s"]
    assert shares.tolist() == pytest.approx(table["utilization_percent"].tolist())
    half = gemm_comparison(1024, 1024, 1024, ["h100", "v100"], precision="fp16").table
    assert half.set_index("device")["latency_us"]["h100"] < times["h100"]


def test_a_vector_is_bound_by_memory():
    table = gemm_comparison(1, 8192, 8192, ["i7-7700k", "gtx-1080-ti", "tpu-v1"]).table
    assert list(table["bound"]) == ["memory"] * 3
    with pytest.raises(ValueError) as caught:
        gemm_comparison(0, 1, 1, ["v100"])
    assert str(caught.value) == "m must be a positive integer, not 0"
