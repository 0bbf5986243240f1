"""What the models predict, beside what others measured or counted, and what the hardware takes."""

from collections.abc import Callable
from importlib import import_module

from .check import Check

__all__ = ["CHECKS", "Check"]


def _later(module: str, name: str) -> Callable[[], Check]:
    """A check whose module is imported when it runs."""
    return lambda: getattr(import_module(f".{module}", __name__), name)()


CHECKS = {
    "counts": _later("counts", "counts"),
    "gpu-kernels": _later("gpu", "deepbench"),
    "gpu-networks": _later("gpu", "gpu_networks"),
    "cpu-networks": _later("cpu", "cpu_networks"),
    "cpu-torch": _later("cpu", "cpu_torch"),
    "eyeriss-frames": _later("eyeriss", "eyeriss_frames"),
    "eyeriss-memory": _later("eyeriss", "eyeriss_memory"),
    "scale-sim": _later("scale_sim", "scale_sim"),
    "rtl-streaming": _later("designs", "streaming"),
    "rtl-systolic": _later("designs", "systolic"),
    "rtl-contention": _later("designs", "contention"),
    "cost": _later("cost", "cost"),
}
"""By name: functions without arguments that return a `Check`."""
