"""Trees take the registers that their depth asks for."""

import pytest

from hwsim.blocks.tree import tree_latency


@pytest.mark.parametrize(
    "terms, levels, latency",
    [
        (1, 2, 0),
        (2, 2, 1),
        (4, 2, 1),
        (5, 2, 2),
        (9, 2, 2),
        (16, 2, 2),
        (17, 2, 3),
        (9, 1, 4),
        (9, 3, 2),
    ],
)
def test_tree_latency(terms, levels, latency):
    assert tree_latency(terms, levels) == latency
