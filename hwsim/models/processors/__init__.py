"""How each class of devices computes a layer, in closed form."""

from .array import Array, Spatial
from .base import Cost, Processor
from .cpu import Cpu
from .gpu import Gpu

__all__ = ["PROCESSORS", "Cost", "Processor"]

PROCESSORS: dict[str, type[Processor]] = {
    "cpu": Cpu,
    "gpu": Gpu,
    "tpu": Array,
    "spatial": Spatial,
}
"""By the device's class."""
