"""Proofs that the hardware keeps its word, by induction or for a bounded number of cycles."""

from .catalogue import PROOFS, Proof, Result
from .liveness import Liveness, check_liveness
from .solver import Outcome, decide, require_solver

__all__ = [
    "PROOFS",
    "Liveness",
    "Outcome",
    "Proof",
    "Result",
    "check_liveness",
    "decide",
    "require_solver",
]
