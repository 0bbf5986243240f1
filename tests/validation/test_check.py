"""`Check`: predictions beside measurements."""

import numpy as np
import pandas as pd
import pytest

from hwsim.validation import Check


def check(points, **options):
    table = pd.DataFrame(points, columns=["group", "point", "predicted", "measured"])
    return Check("name", "Title", "ms", table, "a book", **options)


def test_a_summary_of_each_group_and_of_all():
    points = [("a", "one", 1.5, 1.0), ("a", "two", 1.0, 2.0), ("b", "three", 3.0, 3.0)]
    rows = check(points).summary().set_index("group")
    assert list(rows.index) == ["a", "b", "all"]
    assert list(rows["points"]) == [2, 1, 3]
    assert list(rows["mape_percent"]) == [50, 0, pytest.approx(100 / 3)]
    assert list(rows["bias_percent"]) == [0, 0, 0]
    assert rows.loc["a", "worst_point"] == "one"
    assert rows.loc["all", "worst_percent"] == 50
    assert rows.loc["all", "median_percent"] == 50


def test_one_group_is_not_summed_up_again():
    assert list(check([("a", "one", 1, 1)]).summary()["group"]) == ["a"]


def test_zero_is_predicted_right_or_infinitely_wrong():
    assert check([("a", "one", 0, 0)]).summary()["mape_percent"][0] == 0
    assert check([("a", "one", 1, 0)]).summary()["mape_percent"][0] == np.inf


def test_an_exact_check_fails_by_a_single_point():
    right, wrong = ("a", "one", 1, 1), ("a", "two", 1, 2)
    assert check([right], exact=True).holds
    assert not check([right, wrong], exact=True).holds
    assert check([right, wrong]).holds


def test_what_is_no_comparison_is_refused():
    with pytest.raises(ValueError, match=r"^name has no points$"):
        check([])
    with pytest.raises(ValueError, match=r"^name has a number that is not finite$"):
        check([("a", "one", np.nan, 1)])
    with pytest.raises(ValueError, match=r"^points of name lack predicted, measured$"):
        Check("name", "Title", "ms", pd.DataFrame({"group": [], "point": []}), "a book")
