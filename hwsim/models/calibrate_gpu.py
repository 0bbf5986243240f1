"""Measure the GPU of this machine, and describe it as a device.

PyTorch does the measuring where there is one; hwsim does not depend on it.
"""

import importlib
import re
from pathlib import Path
from types import ModuleType

from hwsim.files import write_file
from hwsim.models import devices

__all__ = ["calibrate_gpu"]

# Rows, columns and depth of the products: large enough for no overhead to show.
SIZE = 8192
COPIED_BYTES = 1 << 30
REPEATS = 10
LAUNCHES = 1000
# Cores of a multiprocessor, over the generations.
_CORES = (32, 64, 128, 192)


def calibrate_gpu(path):
    """Measure the first GPU and write its TOML file, for `hwsim.models.devices.load`.

    Products of matrices give the rates, a copy the memory bandwidth, empty kernels the launch time;
    multiprocessors, clock and L2 cache are as the driver reports them.

    Parameters
    ----------
    path : path
        File to write; its name without ``.toml`` is the device's.

    Returns
    -------
    hwsim.models.devices.Device

    Raises
    ------
    ValueError
        If there is no PyTorch, no GPU, or the driver does not say what is needed.
    """
    path = Path(path)
    if path.suffix != ".toml":
        raise ValueError(f"path must end in .toml, not {path}")
    try:
        torch = importlib.import_module("torch")
    except ImportError:
        raise ValueError("calibration of a GPU needs PyTorch, which is not installed") from None
    if not torch.cuda.is_available():
        raise ValueError("calibration of a GPU needs one that PyTorch can use, and there is none")
    write_file(path, _Measured(torch).toml(path.stem))
    return devices.load(path)


class _Measured:
    """The GPU's quantities, as lines of its file."""

    def __init__(self, torch: ModuleType):
        self.torch = torch
        self.properties = torch.cuda.get_device_properties(0)
        self.sms = self._reported("multi_processor_count")
        self.clock_hz = self._reported("clock_rate") * 1e3
        self.rates: dict[str, float] = {}
        self.lines: list[str] = []

    def _reported(self, name):
        value = getattr(self.properties, name, None)
        if not value:
            raise ValueError(
                f"PyTorch {self.torch.__version__} does not report {name} of the GPU; "
                "a newer one does"
            )
        return value

    def toml(self, name):
        by = f"by PyTorch {self.torch.__version__}"
        self._line("sms", self.sms, "1", f"measured: reported {by}")
        self._line("clock", self.clock_hz / 1e6, "MHz", f"measured: reported {by}")
        self._products(by)
        self._line("compute_efficiency", 1, "1", "derived: the rates are what kernels reached")
        ops = min(_CORES, key=lambda cores: abs(cores - self.rates["fp32"]))
        self._line(
            "element_ops_per_cycle",
            ops,
            "op/cycle",
            "derived: the number of cores of a multiprocessor nearest to the measured fp32 rate",
        )
        copy = self._seconds(self._copy(), REPEATS)
        self._line(
            "memory_bandwidth",
            2 * COPIED_BYTES / copy / 1e9,
            "GB/s",
            f"measured: a copy of {COPIED_BYTES:,} B took {copy * 1e3:.4g} ms {by}",
        )
        self._line(
            "memory_efficiency", 1, "1", "derived: the bandwidth is what a kernel reached already"
        )
        cache = self._reported("L2_cache_size")
        self._line("cache_size", cache / 1024, "KiB", f"measured: reported {by}")
        tiny = self.torch.zeros(1, device="cuda")
        each = self._seconds(lambda: tiny.add_(1), LAUNCHES)
        start = devices.shared("gpu")["block_time"]
        self._line(
            "dispatch_time",
            max(each - start.value, 0) * 1e6,
            "us",
            f"measured: an addition to one value took {each * 1e6:.4g} us {by}; {start} of it are"
            " block_time",
        )
        memory = self._reported("total_memory")
        self._line("memory_size", memory / 1e9, "GB", f"measured: reported {by}")
        title = re.sub(r"[^ -~]|[\"\\]", "", self.properties.name) or "GPU"
        head = f'name = "{name}"\nclass = "gpu"\ntitle = "{title}"\n'
        return head + "".join(self.lines)

    def _line(self, name, value, unit, source):
        self.lines.append(
            f'{name} = {{ value = {value:.6g}, unit = "{unit}", source = "{source}" }}\n'
        )

    def _copy(self):
        source = self.torch.zeros(COPIED_BYTES, dtype=self.torch.uint8, device="cuda")
        target = self.torch.empty_like(source)
        return lambda: target.copy_(source)

    def _products(self, by):
        """A rate for each data type in which this GPU multiplies matrices."""
        torch = self.torch
        newer = self.properties.major >= 8
        kinds = [("fp32", torch.float32)] + ([("tf32", torch.float32)] if newer else [])
        kinds += [("bf16", torch.bfloat16)] if newer else []
        kinds += [("fp16", torch.float16), ("int8", torch.int8)]
        before = torch.backends.cuda.matmul.allow_tf32
        try:
            for name, dtype in kinds:
                torch.backends.cuda.matmul.allow_tf32 = name == "tf32"
                product = self._product(dtype, name)
                if product is None:
                    continue
                seconds = self._seconds(product, REPEATS)
                self.rates[name] = SIZE**3 / seconds / self.sms / self.clock_hz
                self._line(
                    f"{name}_macs_per_cycle",
                    self.rates[name],
                    "MAC/cycle",
                    f"measured: {SIZE} x {SIZE} x {SIZE} took {seconds * 1e3:.4g} ms {by}",
                )
        finally:
            torch.backends.cuda.matmul.allow_tf32 = before
        if self.properties.major >= 7:
            for name, factor in (("fp16", 2), ("int8", 4)):
                if name in self.rates:
                    self._line(
                        f"{name}_unaligned_rate",
                        factor * self.rates["fp32"],
                        "MAC/cycle",
                        f"assumption: without tensor cores {factor} times the measured fp32 rate",
                    )

    def _product(self, dtype, name):
        torch = self.torch
        # Random, because zeros take less power, and then the clock is higher. int8: -127 ... 127.
        scale = 127 if name == "int8" else 1
        left, right = (
            (scale * (2 * torch.rand(SIZE, SIZE, device="cuda") - 1)).to(dtype) for _ in range(2)
        )
        if name != "int8":
            return lambda: torch.mm(left, right)
        multiply = getattr(torch, "_int_mm", None)
        if multiply is None:
            return None
        try:
            multiply(left, right)
        except RuntimeError:  # this GPU or this PyTorch has no such product
            return None
        return lambda: multiply(left, right)

    def _seconds(self, action, count):
        """Seconds of one of ``count`` runs back to back, after one that does not count."""
        torch = self.torch
        action()
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        start.record()
        for _ in range(count):
            action()
        end.record()
        torch.cuda.synchronize()
        return start.elapsed_time(end) / 1e3 / count
