"""SCALE-Sim's own conventions, reproduced."""

from hwsim.models.processors.array import scale_sim_cycles

from .check import Check
from .data import read

__all__ = ["scale_sim"]


def scale_sim():
    """Cycles under SCALE-Sim's conventions, beside what the package itself reports."""
    points = read("scale_sim.csv").rename(columns={"cycles": "measured"})
    points["predicted"] = 0
    for dataflow, part in points.groupby("dataflow"):
        shape = (part[name].to_numpy() for name in ("rows", "cols", "m", "n", "k"))
        found = scale_sim_cycles(dataflow, *shape)
        points.loc[part.index, "predicted"] = found.astype("int64")
    return Check(
        "scale-sim",
        "Cycles of systolic arrays under SCALE-Sim's conventions",
        "cycles",
        points,
        "SCALE-Sim 3.0.0, run by benchmarks/scale_sim_record.py",
        exact=True,
        notes=(
            "SCALE-Sim drains the array after each fold, leaves out the drain of output-stationary "
            "folds, and counts cycles from 0; hwsim does so under this convention only",
        ),
    )
