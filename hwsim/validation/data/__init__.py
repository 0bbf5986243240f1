"""Measurements by others, one CSV file each; a comment at its head names the source."""

from functools import cache
from importlib import resources

import pandas as pd

__all__ = ["read"]


@cache
def read(name):
    """A file of this folder as a DataFrame; lines that start with ``#`` are comments."""
    with resources.files(__package__).joinpath(name).open("rb") as file:
        return pd.read_csv(file, comment="#")
