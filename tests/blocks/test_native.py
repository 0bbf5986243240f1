"""Loops in machine code: each construct does what it does in Python, and nothing else compiles."""

import numpy as np
import pytest

from hwsim.blocks.native import native

STOP = 90


@native
def everything(count: int, a, b, found):
    """All that is supported."""
    k = 0
    done = 0
    while not done:
        x = a[k]
        y = b[k]
        found[k] = (x & y) * 100 + (x | y)
        if x > y:
            found[k] += x - y
        else:
            found[k] -= -3 * x
            if x >= 2 or y <= -2:
                found[k] = found[k] * 5
        if x != y:
            found[k] += max(x, y) * (x < 0)
        k += 1
        done = k >= count or k == STOP


def test_as_in_python():
    rng = np.random.default_rng(1)
    a, b = rng.integers(-4, 5, (2, 100))
    found, expected = np.zeros((2, 100), np.int64)
    everything(count=100, a=a, b=b, found=found)
    everything.__wrapped__(100, a, b, expected)
    assert np.array_equal(found, expected)
    assert found[:STOP].any()
    assert not found[STOP:].any()


@native
def shifts(count: int, a):
    a[0] = a[0] << count


@native
def calls(count: int, a):
    a[0] = abs(count)


@native
def repeats(count: int, a):
    for k in (1, 2):
        a[0] += k


@pytest.mark.parametrize(
    ("function", "refused"),
    [
        (shifts, "a[0] << count"),
        (calls, "abs(count)"),
        (repeats, "for k in (1, 2):\n    a[0] += k"),
    ],
)
def test_refuses_the_rest_of_python(function, refused):
    with pytest.raises(NotImplementedError) as error:
        function(count=1, a=np.zeros(1, np.int64))
    assert str(error.value) == refused


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(4), "an array must be contiguous and of int64, not contiguous of float64"),
        (
            np.zeros(8, np.int64)[::2],
            "an array must be contiguous and of int64, not with gaps of int64",
        ),
    ],
)
def test_refuses_other_arrays(array, message):
    good = np.zeros(4, np.int64)
    with pytest.raises(TypeError) as error:
        everything(count=4, a=good, b=array, found=good)
    assert str(error.value) == message
