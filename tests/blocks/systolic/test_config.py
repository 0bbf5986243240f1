"""Sizes of a systolic accelerator that are refused."""

import pytest

from hwsim.blocks.systolic.config import Systolic


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"pool_columns": 1}, "pool_columns must be an integer of at least 2, not 1"),
        ({"pool_columns": 4097}, "pool_columns must be at most 4096, not 4097"),
        ({"factor_precision": 6}, "factor_precision must be an integer of at least 7, not 6"),
        ({"factor_precision": 13}, "factor_precision must be at most 12, not 13"),
    ],
)
def test_init_wrong_sizes(sizes, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        Systolic(**sizes)


def test_init_wrong_kind_of_pool_columns():
    with pytest.raises(TypeError, match=r"^pool_columns must be an integer, not 2\.5$"):
        Systolic(pool_columns=2.5)
