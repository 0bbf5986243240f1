"""What differs between two results of the same command: by how much, and in what."""

import io
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import pandas as pd

__all__ = ["Differences", "compare", "read_result"]

# Keys by which the entries of a list are told apart, as far as all entries have them.
_NAMES = (
    "device",
    "layer",
    "name",
    "phase",
    "point",
    "fidelity",
    "group",
    "proof",
    "property",
    "unit",
    "register",
    "memory",
    "stage",
    "counter",
    "resource",
    "quantity",
)
# How long a run took, which is no result. Entries of lists have no name here.
_OF_THE_RUN = (
    "seconds",
    "evaluation_cpu_s",
    "lane_cycles_per_second",
    "points_per_second",
    "proofs[].seconds",
)


@dataclass(frozen=True, eq=False)
class Differences:
    """What `compare` found.

    Members
    -------
    names : (str, str)
        Of the two results.
    compared : int
        Quantities that both have.
    table : DataFrame
        A row for each that differs: ``quantity``, ``first``, ``second`` (numbers, or texts),
        ``difference``, the second less the first, and ``difference_percent`` of the first (NaN for
        texts, and where the first is 0).
    missing : DataFrame
        A row for each that one of them alone has: ``quantity``, ``only_in``.
    """

    names: tuple[str, str]
    compared: int
    table: pd.DataFrame
    missing: pd.DataFrame

    @property
    def equal(self):
        """Whether nothing differs and nothing is missing."""
        return self.table.empty and self.missing.empty

    def to_dict(self):
        """All of it as what JSON knows."""
        table = self.table.astype(object)
        return {
            "first": self.names[0],
            "second": self.names[1],
            "compared": self.compared,
            "different": len(table),
            "differences": table.where(table.notna(), None).to_dict("records"),
            "missing": self.missing.to_dict("records"),
        }


def read_result(path):
    """A result from a file: JSON, as commands print it with ``--json``, or a CSV table of a report.

    Raises
    ------
    ValueError
        If it is neither.
    """
    path = Path(path)
    text = path.read_text(encoding="utf-8", errors="replace")
    if path.suffix == ".csv":
        try:
            table = pd.read_csv(io.StringIO(text))
        except ValueError:
            raise ValueError(f"{path} is not a CSV table") from None
        table = table.astype(object)
        return {"rows": table.where(table.notna(), None).to_dict("records")}
    try:
        result = json.loads(text, parse_int=_integer, parse_float=_real, parse_constant=str)
    except (ValueError, RecursionError):
        result = None
    if not isinstance(result, dict):
        raise ValueError(
            f"{path} is not a result: a JSON object, as a command prints with --json, or a .csv"
        )
    return result


def _integer(digits):
    """A number, or as text one that arithmetic with others would not bear."""
    return int(digits) if len(digits) < 19 else digits


def _real(digits):
    value = float(digits)
    return value if math.isfinite(value) else digits


def compare(first, second, *, names=("first", "second"), tolerance=0.0, ignore=()):
    """Compare two results, quantity by quantity.

    Entries of lists are matched by their names, such as that of the device or of the layer, where
    they have any, else by their places. Times that the runs took are left out.

    Parameters
    ----------
    first, second : mapping
        As `read_result` or a result's ``to_dict`` gives.
    names : (str, str)
    tolerance : float
        Relative difference, 0.01 for 1 %, up to which numbers count as equal.
    ignore : sequence of str
        Patterns of quantities that are left out: ``*`` stands for anything.

    Returns
    -------
    Differences

    Raises
    ------
    ValueError
        If they have no quantity in common.
    """
    left, right = (
        {quantity: value for quantity, value in _flat(result) if not _left_out(quantity, ignore)}
        for result in (first, second)
    )
    common = [quantity for quantity in left if quantity in right]
    if not common:
        raise ValueError(
            f"{names[0]} and {names[1]} have nothing in common; give two results of one command"
        )
    rows = [
        (quantity, left[quantity], right[quantity], *_difference(left[quantity], right[quantity]))
        for quantity in common
        if not _same(left[quantity], right[quantity], tolerance)
    ]
    columns = ["quantity", "first", "second", "difference", "difference_percent"]
    missing = [(quantity, names[0]) for quantity in left if quantity not in right]
    missing += [(quantity, names[1]) for quantity in right if quantity not in left]
    return Differences(
        names,
        len(common),
        pd.DataFrame(rows, columns=columns, dtype=object).astype(dict.fromkeys(columns[3:], float)),
        pd.DataFrame(missing, columns=["quantity", "only_in"]),
    )


def _left_out(quantity, ignore):
    plain = re.sub(r"\[.*?\]", "[]", quantity)
    # A bracket is no set of characters here.
    patterns = [pattern.replace("[", "[[]") for pattern in ignore]
    return plain in _OF_THE_RUN or any(fnmatchcase(quantity, pattern) for pattern in patterns)


def _flat(value, path=""):
    """Pairs of path and text or number."""
    if isinstance(value, Mapping):
        for key, entry in value.items():
            yield from _flat(entry, f"{path}.{key}" if path else str(key))
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for name, entry in zip(_entry_names(value), value, strict=True):
            yield from _flat(entry, f"{path}[{name}]")
    else:
        yield path, value


def _entry_names(entries):
    """What tells the entries of a list apart: their names, else their numbers."""
    named = [
        key
        for key in _NAMES
        if all(isinstance(entry, Mapping) and entry.get(key) is not None for entry in entries)
    ]
    counts: dict[str, int] = {}
    names = []
    for place, entry in enumerate(entries):
        name = ", ".join(str(entry[key]) for key in named) if named else str(place)
        counts[name] = counts.get(name, 0) + 1
        names.append(name if counts[name] == 1 else f"{name} #{counts[name]}")
    return names


def _number(value):
    return isinstance(value, int | float) and not isinstance(value, bool)


def _same(first, second, tolerance):
    if _number(first) and _number(second):
        return first == second or abs(second - first) <= tolerance * abs(first)
    return first == second


def _difference(first, second):
    """The second less the first, and that in percent of the first; NaN where it has no meaning."""
    if not (_number(first) and _number(second)):
        return math.nan, math.nan
    both = second - first, 100 * (second - first) / abs(first) if first else math.nan
    return tuple(value if math.isfinite(value) else math.nan for value in both)
