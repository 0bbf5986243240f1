"""Random designs, as `hwsim validate` draws them; a few of them here."""

from hwsim.validation.designs import contention, streaming, systolic


def test_pipelines_take_the_cycles_that_are_stated():
    check = streaming(count=2, seed=7)
    assert len(check.points) == 2
    assert check.holds


def test_accelerators_take_the_cycles_that_are_stated():
    check = systolic(count=5, seed=7)
    assert len(check.points) == 5
    assert check.holds


def test_contention_is_near():
    check = contention(count=6, seed=7)
    assert len(check.points) == 6
    assert check.summary()["worst_percent"][0] < 3
