"""What the models predict, beside what others measured or counted."""

from .check import Check
from .counts import counts
from .cpu import cpu_networks, cpu_torch

__all__ = ["CHECKS", "Check"]

CHECKS = {"counts": counts, "cpu_networks": cpu_networks, "cpu_torch": cpu_torch}
"""By name: functions without arguments that return a `Check`."""
