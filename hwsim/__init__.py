"""From a trained CNN (ONNX) to verified hardware and a performance report.

Names are imported when they are first used, so that ``import hwsim`` and ``hwsim --help`` take
no time.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .version import __version__

if TYPE_CHECKING:
    from . import networks
    from .blocks.streaming import Streaming
    from .blocks.systolic.config import Systolic
    from .explore import explore
    from .filters import filter_image
    from .models.estimate import estimate
    from .models.quantization import quantize
    from .network import Network, NetworkError, load
    from .network.filters import ImageFilter
    from .reports import report
    from .rtl.build import build
    from .sim.simulate import simulate
    from .sim.trainer import train

__all__ = [
    "ImageFilter",
    "Network",
    "NetworkError",
    "Streaming",
    "Systolic",
    "__version__",
    "build",
    "estimate",
    "explore",
    "filter_image",
    "load",
    "networks",
    "quantize",
    "report",
    "simulate",
    "train",
]

_HOMES = {
    "ImageFilter": "hwsim.network.filters",
    "Network": "hwsim.network",
    "NetworkError": "hwsim.network",
    "Streaming": "hwsim.blocks.streaming",
    "Systolic": "hwsim.blocks.systolic.config",
    "build": "hwsim.rtl.build",
    "estimate": "hwsim.models.estimate",
    "filter_image": "hwsim.filters",
    "load": "hwsim.network",
    "quantize": "hwsim.models.quantization",
    "report": "hwsim.reports",
    "simulate": "hwsim.sim.simulate",
    "train": "hwsim.sim.trainer",
}


def __getattr__(name: str) -> Any:
    if name in ("explore", "networks"):  # packages; that of exploration is the function, too
        return import_module(f"hwsim.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'hwsim' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
