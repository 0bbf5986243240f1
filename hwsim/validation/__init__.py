"""What the models predict, beside what others measured or counted."""

from .check import Check
from .counts import counts
from .eyeriss import eyeriss_frames, eyeriss_memory
from .scale_sim import scale_sim

__all__ = ["CHECKS", "Check"]

CHECKS = {
    "counts": counts,
    "eyeriss_frames": eyeriss_frames,
    "eyeriss_memory": eyeriss_memory,
    "scale_sim": scale_sim,
}
"""By name: functions without arguments that return a `Check`."""
