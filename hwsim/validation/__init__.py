"""What the models predict, beside what others measured or counted."""

from .check import Check
from .counts import counts

__all__ = ["CHECKS", "Check"]

CHECKS = {"counts": counts}
"""By name: functions without arguments that return a `Check`."""
