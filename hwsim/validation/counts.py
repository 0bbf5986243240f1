"""Layer sizes and operation counts of known networks."""

from pathlib import Path

import pandas as pd

from hwsim.network import load

from .check import Check
from .data import read

__all__ = ["counts"]


def counts():
    """Multiply-accumulates and parameters of the topologies that the ``onnx`` package ships."""
    import onnx

    folder = Path(onnx.__file__).parent / "backend/test/data/light"
    rows = []
    for name, layers in read("topologies.csv").groupby("model", sort=False):
        table = load(folder / f"light_{name}.onnx").table().set_index("name")
        for row in layers.itertuples(index=False):
            own = table.loc[row.name]
            measured = {"MACs": row.macs, "parameters": row.params_w + row.params_b}
            predicted = {"MACs": own["macs"], "parameters": own["params"]}
            for quantity, number in measured.items():
                rows.append(
                    {
                        "group": name,
                        "point": f"{row.name}, {quantity}",
                        "predicted": int(predicted[quantity]),
                        "measured": int(number),
                    }
                )
    return Check(
        "counts",
        "Layer sizes and operation counts",
        "1",
        pd.DataFrame(rows),
        "shape inference of onnx 1.23.2 over its own backend/test/data/light",
        exact=True,
    )
