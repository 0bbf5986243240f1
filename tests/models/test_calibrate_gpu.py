"""Calibration of a GPU, with a stand-in for PyTorch: what is measured, and what is refused."""

import sys
from types import SimpleNamespace

import pytest

from hwsim.models import devices
from hwsim.models.calibrate_gpu import COPIED_BYTES, SIZE, calibrate_gpu

SMS, CLOCK_KHZ = 10, 1_500_000
PEAK = SMS * CLOCK_KHZ * 1e3  # products per second, for one a cycle
RATES = {"float32": 64, "tf32": 256, "bfloat16": 512, "float16": 512, "int8": 1024}


class Tensor:
    def __init__(self, torch, dtype="float32"):
        self.torch, self.dtype = torch, dtype

    def __rmul__(self, factor):
        return self

    __sub__ = __rmul__

    def to(self, dtype):
        return Tensor(self.torch, dtype)

    def add_(self, value):
        self.torch.now += 7e-6

    def copy_(self, source):
        self.torch.now += 2 * COPIED_BYTES / 400e9


class Torch(SimpleNamespace):
    """Its clock is advanced by what is asked of it."""

    def __init__(self, major=8, **properties):
        self.now = 0.0
        self.__version__ = "9.9"
        reported = dict(
            name='Fast "GPU"\n',
            major=major,
            multi_processor_count=SMS,
            clock_rate=CLOCK_KHZ,
            L2_cache_size=4 << 20,
            total_memory=16_000_000_000,
        )
        reported |= properties
        for name in ("float32", "bfloat16", "float16", "int8", "uint8"):
            setattr(self, name, name)
        self.cuda = SimpleNamespace(
            is_available=lambda: True,
            get_device_properties=lambda index: SimpleNamespace(**reported),
            synchronize=lambda: None,
            Event=lambda enable_timing: Event(self),
        )
        self.backends = SimpleNamespace(
            cuda=SimpleNamespace(matmul=SimpleNamespace(allow_tf32=False))
        )

    def rand(self, *shape, device):
        return Tensor(self)

    def zeros(self, *shape, device, dtype="float32"):
        return Tensor(self, dtype)

    def empty_like(self, tensor):
        return Tensor(self, tensor.dtype)

    def mm(self, left, right):
        tf32 = self.backends.cuda.matmul.allow_tf32 and left.dtype == "float32"
        self.now += SIZE**3 / PEAK / RATES["tf32" if tf32 else left.dtype]

    def _int_mm(self, left, right):
        self.mm(left, right)


class Event:
    def __init__(self, torch):
        self.torch = torch

    def record(self):
        self.time = self.torch.now

    def elapsed_time(self, other):
        return 1e3 * (other.time - self.time)


@pytest.fixture
def stand_in(monkeypatch):
    def stand_in(**options):
        torch = Torch(**options)
        monkeypatch.setitem(sys.modules, "torch", torch)
        return torch

    return stand_in


def refused(path):
    with pytest.raises(ValueError) as caught:
        calibrate_gpu(path)
    assert not path.exists()
    return str(caught.value)


def test_everything_is_measured(stand_in, tmp_path):
    torch = stand_in()
    device = calibrate_gpu(tmp_path / "mine.toml")
    assert (device.name, device.device_class, device.title) == ("mine", "gpu", "Fast GPU")
    expected = {
        "sms": 10,
        "clock": 1.5e9,
        "fp32_macs_per_cycle": 64,
        "tf32_macs_per_cycle": 256,
        "bf16_macs_per_cycle": 512,
        "fp16_macs_per_cycle": 512,
        "int8_macs_per_cycle": 1024,
        "fp16_unaligned_rate": 128,
        "int8_unaligned_rate": 256,
        "element_ops_per_cycle": 64,
        "memory_bandwidth": 400e9,
        "memory_efficiency": 1,
        "cache_size": 4 << 20,
        "dispatch_time": 7e-6 - devices.shared("gpu")["block_time"].value,
        "memory_size": 16e9,
    }
    for name, value in expected.items():
        assert device[name] == pytest.approx(value, rel=1e-5), name
        source = device.quantities[name].source
        assert source.split(":")[0] in ("measured", "derived", "assumption"), source
    measured = {name for name in expected if device.quantities[name].source.startswith("measured")}
    assert {"sms", "clock", "fp32_macs_per_cycle", "memory_bandwidth", "dispatch_time"} <= measured
    assert torch.backends.cuda.matmul.allow_tf32 is False


def test_an_older_gpu_has_fewer_data_types(stand_in, tmp_path, monkeypatch):
    stand_in(major=6)

    def no_product(*operands):
        raise RuntimeError("no such product")

    monkeypatch.setattr(Torch, "_int_mm", no_product)
    device = calibrate_gpu(tmp_path / "old.toml")
    assert device.precisions == ("fp16", "fp32")
    assert "fp16_unaligned_rate" not in device


def test_without_pytorch(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert refused(tmp_path / "mine.toml") == (
        "calibration of a GPU needs PyTorch, which is not installed"
    )


def test_without_a_gpu(stand_in, tmp_path):
    stand_in().cuda.is_available = lambda: False
    assert refused(tmp_path / "mine.toml") == (
        "calibration of a GPU needs one that PyTorch can use, and there is none"
    )


def test_a_driver_that_says_too_little(stand_in, tmp_path):
    stand_in(L2_cache_size=0)
    assert refused(tmp_path / "mine.toml") == (
        "PyTorch 9.9 does not report L2_cache_size of the GPU; a newer one does"
    )


def test_another_ending(tmp_path):
    path = tmp_path / "mine.txt"
    assert refused(path) == f"path must end in .toml, not {path}"
