"""What the models predict, beside what others measured or counted."""

from .check import Check
from .counts import counts
from .gpu import deepbench, gpu_networks

__all__ = ["CHECKS", "Check"]

CHECKS = {"counts": counts, "deepbench": deepbench, "gpu_networks": gpu_networks}
"""By name: functions without arguments that return a `Check`."""
