"""Cells that the cost view states, beside those that synthesis finds."""

import pandas as pd

from hwsim.models import cost as model
from hwsim.models.cost_data import RESOURCES, held_out, read

from .check import Check

__all__ = ["cost"]

_LABELS = {"lut": "LUT", "ff": "FF", "dsp": "DSP", "bram": "block RAM"}


def cost(family="ecp5", seen=False):
    """Designs that the calibration has not seen, or those that it has.

    A design whose count of something is 0 in both is left out of that group.
    """
    table = read(family)
    rows = []
    for name, parts in table.groupby("design", sort=False):
        if held_out(name) == seen:
            continue
        stated = sum((_part(row, family) for row in parts.itertuples()), model.Cost(0, 0, 0, 0))
        for resource in RESOURCES:
            predicted, measured = getattr(stated, resource), int(parts[resource].sum())
            if predicted or measured:
                rows.append(
                    {
                        "group": f"{family} {_LABELS[resource]}",
                        "point": name,
                        "predicted": round(predicted),
                        "measured": measured,
                    }
                )
    return Check(
        "cost",
        "Cells by the cost view and by synthesis",
        "1",
        pd.DataFrame(rows),
        "Yosys, hwsim/models/data; designs that the coefficients were not fitted to",
        fitted="these very designs" if seen else "",
    )


def _part(row, family):
    config = row.config
    if "unit" in config:
        return model.unit_cost(config["unit"], config["depths"], family)
    if "part" in config:
        return model.part_cost(row.unit, config["config"], family)
    top = model.coefficients(family)["top"]
    return model.Cost(top["lut"], top["ff"], 0, 0)
