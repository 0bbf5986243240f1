"""What `hwsim validate` wrote to reports/validation is what it would write today."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hwsim.validation import CHECKS

FOLDER = Path(__file__).parents[2] / "reports/validation"
# Simulation takes minutes; tests/validation/test_designs.py runs a few designs.
QUICK = [name for name in CHECKS if not name.startswith("rtl-")]


@pytest.mark.parametrize("name", QUICK)
def test_points_are_those_of_today(name):
    published = pd.read_csv(FOLDER / f"validation-{name}-points.csv", dtype={"point": str})
    points = CHECKS[name]().points.reset_index(drop=True)
    assert list(published["group"]) == list(points["group"])
    assert list(published["point"]) == [str(point) for point in points["point"]]
    for column in ("predicted", "measured"):
        values = points[column].to_numpy(float)
        assert np.allclose(published[column].to_numpy(float), values, rtol=1e-9), column


def test_every_check_is_published():
    names = {path.name for path in FOLDER.glob("*-points.csv")}
    assert names == {f"validation-{name}-points.csv" for name in CHECKS}
    for name in set(CHECKS) - set(QUICK):
        points = pd.read_csv(FOLDER / f"validation-{name}-points.csv")
        assert len(points) >= 160
