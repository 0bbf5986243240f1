"""Configurations as text, and the runs of synthesis that the cost view is calibrated on."""

import json
from dataclasses import fields, is_dataclass
from functools import cache
from importlib import resources

import pandas as pd

from hwsim.blocks.argmax import ArgmaxConfig
from hwsim.blocks.conv import ConvConfig, DenseConfig
from hwsim.blocks.elementwise import AddConfig, MulConfig, TableConfig
from hwsim.blocks.lrn import LRNConfig
from hwsim.blocks.pad import PadConfig
from hwsim.blocks.pool import GlobalPoolConfig, PoolConfig
from hwsim.blocks.requantize import RequantizeConfig
from hwsim.blocks.reshape import ConcatConfig, ForkConfig, ResizeConfig
from hwsim.blocks.stream import Frame
from hwsim.blocks.systolic.config import Systolic

__all__ = ["RESOURCES", "decode", "encode", "held_out", "read"]

RESOURCES = ("lut", "ff", "dsp", "bram")

_TYPES = {
    kind.__name__: kind
    for kind in (
        AddConfig,
        ArgmaxConfig,
        ConcatConfig,
        ConvConfig,
        DenseConfig,
        ForkConfig,
        Frame,
        GlobalPoolConfig,
        LRNConfig,
        MulConfig,
        PadConfig,
        PoolConfig,
        RequantizeConfig,
        ResizeConfig,
        Systolic,
        TableConfig,
    )
}


def encode(value):
    """A configuration as what JSON knows; members that have their default are left out."""
    if is_dataclass(value):
        given = {f.name: getattr(value, f.name) for f in fields(value)}
        changed = {
            f.name: encode(given[f.name]) for f in fields(value) if given[f.name] != f.default
        }
        return {"type": type(value).__name__, **changed}
    if isinstance(value, tuple | list):
        return [encode(item) for item in value]
    return value.item() if hasattr(value, "item") else value


def decode(value):
    """The configuration that `encode` made this of."""
    if isinstance(value, dict) and "type" not in value:
        return {name: decode(item) for name, item in value.items()}
    if isinstance(value, dict):
        members = {name: decode(item) for name, item in value.items() if name != "type"}
        return _TYPES[value["type"]](**members)
    if isinstance(value, list):
        return tuple(decode(item) for item in value)
    return value


@cache
def read(family):
    """The runs of a family: a DataFrame with a row for each part of each design.

    Columns are ``design``, ``unit``, ``config`` (decoded), ``lut``, ``ff``, ``dsp`` and ``bram``.
    """
    with resources.files(__package__).joinpath(f"data/cost_{family}.csv").open("rb") as file:
        table = pd.read_csv(file, comment="#")
    table["config"] = [decode(json.loads(text)) for text in table["config"]]
    return table


def held_out(design):
    """Whether nothing is fitted to a design: every third one, and those that people know."""
    _, _, number = design.rpartition("-")
    return design.startswith("lenet5") or int(number) % 3 == 2
