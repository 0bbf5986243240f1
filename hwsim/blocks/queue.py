"""Queues (FIFOs): depth, and how long a beat takes to pass."""

from dataclasses import dataclass

from .checks import check_positive

__all__ = ["QueueConfig"]

# Deeper than this, a queue is cheaper in block RAM than in distributed RAM: 64 entries are two
# 32-deep (or four 16-deep) look-up-table RAMs per bit.
DISTRIBUTED_DEPTH = 64


@dataclass(frozen=True)
class QueueConfig:
    """A first-in first-out queue.

    Parameters
    ----------
    depth : int
        Beats that it holds.
    """

    depth: int

    def __post_init__(self):
        check_positive("depth", self.depth)

    @property
    def registered(self):
        """Whether the beats lie in block RAM, behind an output register."""
        return self.depth > DISTRIBUTED_DEPTH

    @property
    def memory_depth(self):
        """Entries of the memory; the output register of a deep queue holds one more beat."""
        return self.depth - 1 if self.registered else self.depth

    @property
    def latency(self):
        """Cycles from the one in which a beat enters to the first in which it can leave."""
        return 2 if self.registered else 1
