"""Plans never get stuck; a queue that is too shallow is found."""

import pytest

from hwsim.blocks.streaming import Streaming, plan_streaming
from hwsim.blocks.timing import Deadlock
from hwsim.formal.liveness import check_liveness
from hwsim.formal.pipelines import residual_plan, with_depth
from hwsim.validation.networks import random_network


@pytest.mark.parametrize("seed", range(12))
def test_random_plans_are_free_of_deadlocks(seed):
    plan = plan_streaming(random_network(seed), Streaming(multipliers=200))
    assert check_liveness(plan.actors, plan.edges).holds


def test_shallow_queue_is_found():
    plan = with_depth(residual_plan(6), "image_fork", 1, 2)
    found = check_liveness(plan.actors, plan.edges)
    assert not found.holds
    assert "image_fork waits for room before add" in found.stuck
    with pytest.raises(Deadlock):
        plan.trace(2)


def test_no_verdict_is_milder_than_the_timed_evaluation():
    """Wherever one schedule gets stuck, so does the check that covers all of them."""
    plan, verdicts = residual_plan(5), set()
    for depth in range(1, 16):
        changed = with_depth(plan, "image_fork", 1, depth)
        holds = check_liveness(changed.actors, changed.edges).holds
        try:
            changed.trace(3)
        except Deadlock:
            assert not holds
        verdicts.add(holds)
    assert verdicts == {True, False}
