"""Sizes of a systolic accelerator that are refused."""

import pytest

from hwsim.blocks.systolic.config import Systolic


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (1, "pool_columns must be an integer of at least 2, not 1"),
        (4097, "pool_columns must be at most 4096, not 4097"),
    ],
)
def test_init_wrong_pool_columns(columns, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        Systolic(pool_columns=columns)


def test_init_wrong_kind_of_pool_columns():
    with pytest.raises(TypeError, match=r"^pool_columns must be an integer, not 2\.5$"):
        Systolic(pool_columns=2.5)
