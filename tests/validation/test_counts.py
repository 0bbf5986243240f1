"""Layer sizes and operation counts."""

from hwsim.validation import CHECKS


def test_every_layer_of_the_topologies_is_counted_right():
    check = CHECKS["counts"]()
    assert len(check.points) == 2 * 414
    assert check.holds
