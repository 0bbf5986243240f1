"""SCALE-Sim's conventions, over what the package itself reported."""

from hwsim.validation import CHECKS


def test_every_reported_number_is_reproduced():
    check = CHECKS["scale-sim"]()
    assert check.exact and check.holds
    assert len(check.points) >= 150
    assert set(check.points["dataflow"]) == {
        "weight-stationary",
        "output-stationary",
        "input-stationary",
    }
