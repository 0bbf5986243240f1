# amaranth: UnusedElaboratable=no
"""Proofs succeed for the hardware as it is, and fail for hardware that is broken."""

import inspect
from pathlib import Path
from types import SimpleNamespace

import pytest

from hwsim.blocks.stream import Frame
from hwsim.blocks.window import WindowConfig
from hwsim.formal import PROOFS, decide
from hwsim.formal.pipelines import pipeline_bench, residual_plan, with_depth
from hwsim.formal.units import fork_bench, queue_bench, window_bench
from hwsim.rtl import queue, reshape, window

pytest.importorskip("z3", reason="the solver is an extra")

SMALL = WindowConfig(frame=Frame(3, 3, 1, 1, 2, signed=False), kernel=(2, 2))


def mutant(module, old, new):
    """The module with one piece of its text replaced."""
    text = inspect.getsource(module)
    assert text.count(old) >= 1
    names = {"__name__": module.__name__, "__package__": module.__package__}
    exec(compile(text.replace(old, new, 1), module.__name__, "exec"), names)
    return SimpleNamespace(**names)


@pytest.mark.parametrize(
    "name", ["queue-3", "queue-65", "credit-4-3", "fork-2", "concat-2", "resize-1-3", "add"]
)
def test_induction(name):
    assert PROOFS[name].method == "induction"
    assert PROOFS[name].run().holds


def test_line_buffer():
    assert PROOFS["window-4x3-3-same"].run().holds


@pytest.mark.parametrize(
    ("old", "new", "claim"),
    [
        # A beat is offered and then withdrawn.
        (
            "self.o.valid.eq(waiting)",
            "self.o.valid.eq(waiting & ~write.en)",
            "o: a beat is offered after the latency",
        ),
        # The payload is another one while a beat enters.
        (
            "read.addr.eq(read_index),\n                self.o",
            "read.addr.eq(Mux(write.en, write_index, read_index)),\n                self.o",
            "o: each beat leaves once, in order, as it was",
        ),
        # One beat too many, over the oldest.
        ("level != depth", "level != depth + 1", "i: there is room"),
        # The index turns round too early.
        ("index == depth - 1, 0", "index == depth - 2, 0", "queue: the level is what lies"),
    ],
)
def test_broken_queue_is_refuted(old, new, claim):
    bench = queue_bench(3, bits=2, queue=mutant(queue, old, new).Queue)
    outcome = decide(bench, 8, unbounded=False)
    assert outcome.refuted and not outcome.holds
    assert any(text.startswith(claim) for text in outcome.broken), outcome.broken
    assert outcome.trace.startswith("$")


def test_broken_fork_is_refuted():
    broken = mutant(reshape, "queue.i.valid.eq(step)", "queue.i.valid.eq(self.i.valid)")
    assert decide(fork_bench((2, 1), 2, broken.Fork), 6, unbounded=False).refuted


def test_broken_window_is_refuted():
    broken = mutant(window, "clear.eq(~leaves | ~self.o.valid | self.o.ready)", "clear.eq(1)")
    outcome = decide(window_bench(SMALL, broken.Window), 10, unbounded=False)
    assert "o: a beat offered is held until it is taken" in outcome.broken


def test_deadlock_of_the_hardware_is_found():
    """A queue that the plan makes 15 deep holds one beat."""
    plan = with_depth(residual_plan(3), "image_fork", 1, 1)
    outcome = decide(pipeline_bench(plan, 8), 16, unbounded=False)
    assert outcome.refuted
    assert outcome.broken == ("a beat moves within 8 cycles",)


@pytest.mark.parametrize(
    ("bench", "depth"), [(lambda: queue_bench(2), 6), (lambda: window_bench(SMALL), 18)]
)
def test_cases_that_are_spoken_of_happen(bench, depth):
    """No proof holds for want of cases."""
    assert decide(bench(), depth, vacuous=True).holds


def test_what_cannot_be_proven_is_not_called_refuted():
    """Too few cycles for an induction: no invariant follows a sum through its pipeline."""
    outcome = PROOFS["add"].run(1)
    assert not outcome.holds and not outcome.refuted


def test_published_table():
    """The document lists every proof with its method and depth."""
    text = (Path(__file__).parents[2] / "docs" / "formal.md").read_text(encoding="utf-8")
    rows = [[k.strip() for k in line.split("|")[1:-1]] for line in text.splitlines()]
    listed = {row[0]: row for row in rows if len(row) == 6 and row[0] in PROOFS}
    assert listed.keys() == PROOFS.keys()
    for name, proof in PROOFS.items():
        assert listed[name][1:3] == [proof.property, proof.method]
        assert listed[name][4] == "holds"
        if proof.method != "marked graph":
            assert int(listed[name][3]) == proof.depth
