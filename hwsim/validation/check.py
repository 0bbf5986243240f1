"""A comparison of predictions with what others measured or counted."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

__all__ = ["Check"]

COLUMNS = ("group", "point", "predicted", "measured")


@dataclass(frozen=True, eq=False)
class Check:
    """Predictions and measurements, point by point.

    Parameters
    ----------
    name, title : str
    unit : str
        Of both numbers of each point.
    points : DataFrame
        A row for each point that was measured, none left out: ``group`` (a device, say), ``point``,
        ``predicted`` and ``measured``; further columns are shown, too.
    source : str
        Where the measurements come from.
    fitted : str
        What was fitted on these very points; empty if nothing was.
    exact : bool
        Whether each prediction must equal its measurement.
    notes : tuple of str

    Raises
    ------
    ValueError
        If columns are missing, there are no points, or a number is not finite.
    """

    name: str
    title: str
    unit: str
    points: pd.DataFrame = field(repr=False)
    source: str
    fitted: str = ""
    exact: bool = False
    notes: tuple[str, ...] = ()

    def __post_init__(self):
        missing = [column for column in COLUMNS if column not in self.points]
        if missing:
            raise ValueError(f"points of {self.name} lack {', '.join(missing)}")
        if self.points.empty:
            raise ValueError(f"{self.name} has no points")
        if not np.isfinite(self.points[["predicted", "measured"]].to_numpy(float)).all():
            raise ValueError(f"{self.name} has a number that is not finite")

    @property
    def holds(self):
        """Whether predictions equal measurements, as far as they must."""
        return not self.exact or bool((self.points["predicted"] == self.points["measured"]).all())

    def summary(self):
        """One row for each group, and for all of them.

        Returns
        -------
        DataFrame
            ``group``, ``points``; ``mape_percent``, mean of absolute errors in parts of the
            measurement; ``median_percent``, their median; ``worst_percent`` and ``worst_point``;
            ``bias_percent``, mean of the errors with their sign.
        """
        points = self.points
        groups = list(dict.fromkeys(points["group"]))
        parts = [(name, points[points["group"] == name]) for name in groups]
        if len(parts) > 1:
            parts.append(("all", points))
        return pd.DataFrame([_summarize(name, part) for name, part in parts])


def _summarize(name, points):
    difference = (points["predicted"] - points["measured"]).to_numpy(float)
    measured = points["measured"].to_numpy(float)
    # A measured 0 that is predicted is no error, and one that is not has no finite one.
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.where(difference == 0, 0.0, 100 * difference / measured)
    size = np.abs(error)
    return {
        "group": name,
        "points": len(points),
        "mape_percent": size.mean(),
        "median_percent": np.median(size),
        "worst_percent": size.max(),
        "worst_point": points["point"].iloc[int(size.argmax())],
        "bias_percent": error.mean(),
    }
