"""All proofs, by name."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from hwsim.blocks.stream import Frame
from hwsim.blocks.window import WindowConfig

from .liveness import check_liveness
from .pipelines import pipeline_bench, residual_plan
from .solver import decide
from .units import (
    add_bench,
    concat_bench,
    credit_bench,
    delay_bench,
    fork_bench,
    queue_bench,
    resize_bench,
    window_bench,
)

__all__ = ["PROOFS", "Proof", "Result"]


@dataclass(frozen=True)
class Result:
    """What became of a proof; one row of the command's table.

    Members
    -------
    name, property, method : str
        ``method`` is "induction" (for all cycles), "bounded" (for ``depth`` cycles from reset) or
        "marked graph" (for all cycles, all stalls).
    depth : int
        Cycles: of the induction, or from reset. Frames until the state repeats, for a marked graph.
    holds : bool
    broken : tuple of str
        What fails.
    refuted : bool
        Whether there is a counterexample that starts from reset.
    trace : str
        Counterexample as VCD, or empty.
    seconds : float
    """

    name: str
    property: str
    method: str
    depth: int
    holds: bool
    broken: tuple[str, ...]
    refuted: bool
    trace: str
    seconds: float


@dataclass(frozen=True)
class Proof:
    """A property of a configuration.

    Parameters
    ----------
    name, property, method : str
        As in `Result`.
    subject : callable
        Makes what is to be proven: a bench, or a plan for a marked graph.
    depth : int
    """

    name: str
    property: str
    method: str
    subject: Callable[[], Any]
    depth: int

    def run(self, depth=None):
        """Try the proof, at another depth if one is given; returns a `Result`."""
        depth = depth or self.depth
        if self.method == "marked graph":
            start = time.perf_counter()
            plan = self.subject()
            found = check_liveness(plan.actors, plan.edges)
            seconds = time.perf_counter() - start
            return Result(
                self.name,
                self.property,
                self.method,
                found.frames,
                found.holds,
                found.stuck,
                not found.holds,
                "",
                seconds,
            )
        outcome = decide(self.subject(), depth, unbounded=self.method == "induction")
        return Result(
            self.name,
            self.property,
            self.method,
            depth,
            outcome.holds,
            outcome.broken,
            outcome.refuted,
            outcome.trace,
            outcome.seconds,
        )


_CONTRACT = "beats offered are held"
_ONCE = f"{_CONTRACT}; each leaves once, in order, as it was"
_TAPS = f"{_CONTRACT}; every tap is its pixel or padding"
_MOVES = "no deadlock"


def _window(height, width, kernel, channels=1, **options):
    frame = Frame(height, width, channels, 1, 3, signed=False)
    config = WindowConfig(frame=frame, kernel=(kernel, kernel), **options)
    return partial(window_bench, config)


def _all():
    induction = [
        *((f"queue-{n}", _ONCE, partial(queue_bench, n)) for n in (1, 2, 3, 4, 16, 64, 65, 100)),
        *(
            (
                f"credit-{n}-{latency}",
                f"{_ONCE}; room for all that is issued",
                partial(credit_bench, n, latency),
            )
            for n, latency in ((1, 0), (3, 1), (4, 3), (8, 7))
        ),
        ("fork-2", f"{_ONCE}, at both outputs", lambda: fork_bench((2, 3))),
        ("fork-3", f"{_ONCE}, at all outputs", lambda: fork_bench((1, 4, 65))),
        ("concat-2", f"{_ONCE}, in the inputs' turn", lambda: concat_bench((1, 2), 3)),
        ("concat-3", f"{_ONCE}, in the inputs' turn", lambda: concat_bench((2, 1, 3), 2)),
        ("resize-1-3", f"{_ONCE}, code by code", lambda: resize_bench(1, 3, 2)),
        ("resize-2-4", f"{_ONCE}, code by code", lambda: resize_bench(2, 4, 2)),
        ("resize-3-1", f"{_ONCE}, code by code", lambda: resize_bench(3, 1, 2)),
        ("add", f"{_CONTRACT}; each pair's sum leaves once, in order", lambda: add_bench(3)),
        *(
            (
                f"delay-{steps}",
                "what comes out went in so many steps ago",
                partial(delay_bench, steps, lines),
            )
            for steps, lines in ((3, 1), (7, 1), (30, 2))
        ),
        ("window-4x3-2", _TAPS, _window(4, 3, 2)),
        ("window-4x3-3", _TAPS, _window(4, 3, 3)),
        ("window-4x3-3-same", _TAPS, _window(4, 3, 3, pads=(1, 1, 1, 1))),
        ("window-4x8-3-same", _TAPS, _window(4, 8, 3, pads=(1, 1, 1, 1))),
        ("window-4x4-3-edge", _TAPS, _window(4, 4, 3, pads=(1, 1, 1, 1), mode="edge")),
        ("window-4x4-2-stride", _TAPS, _window(4, 4, 2, strides=(2, 2))),
        ("window-5x5-3-stride", _TAPS, _window(5, 5, 3, strides=(2, 2), pads=(1, 1, 1, 1))),
        (
            "window-5x5-3-dilated",
            _TAPS,
            _window(5, 5, 3, dilations=(2, 2), pads=(2, 2, 2, 2)),
        ),
        ("window-4x3-3-channels", _TAPS, _window(4, 3, 3, channels=2, pads=(1, 1, 1, 1))),
    ]
    # A sum stays so many cycles in its pipeline, which no invariant describes.
    proofs = [
        Proof(name, text, "induction", subject, 9 if name == "add" else 3)
        for name, text, subject in induction
    ]
    for size in (3, 8, 32):
        proofs.append(
            Proof(
                f"residual-{size}x{size}",
                f"{_MOVES}, whatever stalls",
                "marked graph",
                partial(residual_plan, size),
                0,
            )
        )
    proofs.append(
        Proof(
            "residual-3x3-rtl",
            f"{_CONTRACT}; a beat moves within 16 cycles",
            "bounded",
            lambda: pipeline_bench(residual_plan(3), 16),
            22,
        )
    )
    return {proof.name: proof for proof in proofs}


PROOFS = _all()
