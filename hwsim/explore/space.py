"""A design space: which designs there are, what is wanted of them, and what they must keep to.

A space is a union of products, one for each architecture. A point is a number: its digits in a
mixed radix choose the values, so that a million points need no object each.
"""

import difflib
import hashlib
import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from hwsim.blocks.systolic.config import LARGEST_ACCUMULATOR_ROWS, LARGEST_BUFFER
from hwsim.models import devices

__all__ = ["ARCHITECTURES", "CONSTRAINTS", "OBJECTIVES", "Axis", "Block", "Space"]

ARCHITECTURES = ("systolic", "streaming")
OBJECTIVES = {
    "throughput": "throughput_images_per_s",
    "latency": "latency_s",
    "energy": "energy_per_image_j",
    "lut": "lut",
    "ff": "ff",
    "dsp": "dsp",
    "bram": "bram",
    "cost": "cost",
}
"""What can be optimized, and the column that it is in; more of "throughput" is better."""

CONSTRAINTS = {
    "min_frames_per_second": ("throughput_images_per_s", 1.0),
    "max_latency_ms": ("latency_s", 1e-3),
    "max_energy_per_image_mj": ("energy_per_image_j", 1e-3),
    "max_lut": ("lut", 1.0),
    "max_ff": ("ff", 1.0),
    "max_dsp": ("dsp", 1.0),
    "max_bram": ("bram", 1.0),
    "max_cost": ("cost", 1.0),
}
"""Limits: the column, and what one of the limit's unit is there."""

RESOURCES = ("lut", "ff", "dsp", "bram")
LARGEST_SPACE = 1 << 40
LARGEST_AXIS = 1 << 20
# What all architectures share, from slow digits to fast ones, and its value unless given.
_SHARED: dict[str, tuple[Any, ...]] = {
    "device": ("",),
    "batch": (1,),
    "clock_mhz": (100.0,),
    "memory_gb_per_s": (16.0,),
}
_OWN: dict[str, dict[str, tuple[Any, ...] | None]] = {
    "systolic": {
        "dataflow": ("weight-stationary",),
        "operand_bits": (8,),
        "rows": None,
        "cols": None,
        "buffer_bytes": (1 << 20,),
        "accumulator_rows": (1024,),
    },
    "streaming": {"multipliers": (0,), "cycles_per_image": (0,)},
}
# What a chunk of points has in common comes first; only the rest differs within an evaluation.
_ORDER = {
    "systolic": (
        *("device", "dataflow", "operand_bits", "batch"),
        *("rows", "cols", "buffer_bytes", "accumulator_rows", "clock_mhz", "memory_gb_per_s"),
    ),
    "streaming": (
        *("multipliers", "cycles_per_image"),
        *("device", "batch", "clock_mhz", "memory_gb_per_s"),
    ),
}
_TEXTS = ("device", "dataflow")
_REALS = ("clock_mhz", "memory_gb_per_s")
_KEYS = (*_SHARED, "architecture", "objectives", "constraints", "cost", *ARCHITECTURES)
# Points of a chunk, the unit of work and of what is stored.
_CHUNK = {"systolic": 1 << 14, "streaming": 1 << 10}
_LARGEST_BATCH = 1 << 20


@dataclass(frozen=True)
class Axis:
    """A parameter and its values, in the order in which they were given."""

    name: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Block:
    """The points of one architecture: a product of axes, the last one fastest.

    Members
    -------
    architecture : str
    axes : tuple of Axis
    start : int
        Number of its first point.
    """

    architecture: str
    axes: tuple[Axis, ...]
    start: int

    @cached_property
    def size(self):
        """How many points."""
        return math.prod(len(axis.values) for axis in self.axes)

    @property
    def stop(self):
        """Number after its last point."""
        return self.start + self.size

    def digits(self, numbers):
        """For each axis, which of its values each of the points has."""
        rest = np.asarray(numbers, np.int64) - self.start
        found = {}
        for axis in reversed(self.axes):
            rest, found[axis.name] = np.divmod(rest, len(axis.values))
        return {axis.name: found[axis.name] for axis in self.axes}

    def values(self, numbers):
        """For each axis an array of the points' values."""
        digits = self.digits(numbers)
        return {axis.name: np.array(axis.values)[digits[axis.name]] for axis in self.axes}

    def number(self, digits):
        """The point with these digits, by name."""
        number = 0
        for axis in self.axes:
            number = number * len(axis.values) + int(digits[axis.name])
        return self.start + number


@dataclass(frozen=True)
class Space:
    """A design space; `Space.load` reads one.

    Members
    -------
    blocks : tuple of Block
    objectives : tuple of str
        Keys of `OBJECTIVES`.
    constraints : dict of str to float
        Limits by their names in `CONSTRAINTS`.
    fits : bool
        Whether a design must fit its device.
    weights : dict of str to float
        What one of a resource adds to the cost.
    prices : dict of str to float
        What each device adds to the cost.
    """

    blocks: tuple[Block, ...]
    objectives: tuple[str, ...]
    constraints: dict[str, float]
    fits: bool
    weights: dict[str, float]
    prices: dict[str, float]

    @classmethod
    def load(cls, source):
        """The space in a TOML file, or in a mapping of what such a file holds.

        Raises
        ------
        ValueError
            If something in it is not right; the message says what would be.
        """
        if isinstance(source, cls):
            return source
        if isinstance(source, Mapping):
            return _read("space", dict(source))
        path = Path(source)
        try:
            table = tomllib.loads(path.read_bytes().decode("utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ValueError(f"space {path} is not TOML: {error}") from None
        return _read(f"space {path}", table)

    def __len__(self):
        return self.blocks[-1].stop

    def to_dict(self):
        """All of it as plain data."""
        return {
            "architectures": {
                block.architecture: {axis.name: list(axis.values) for axis in block.axes}
                for block in self.blocks
            },
            "objectives": list(self.objectives),
            "constraints": dict(self.constraints),
            "fits": self.fits,
            "cost": {**self.weights, "device": dict(self.prices)},
        }

    @cached_property
    def key(self):
        """A name for all that it says."""
        text = json.dumps(self.to_dict(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def limits(self):
        """For each limit (name, column, value in the column's unit)."""
        return [
            (name, CONSTRAINTS[name][0], value * CONSTRAINTS[name][1])
            for name, value in self.constraints.items()
        ]

    @cached_property
    def needs(self):
        """Whether points need to be counted in cells of an FPGA."""
        columns = {OBJECTIVES[name] for name in self.objectives}
        columns |= {column for _, column, _ in self.limits}
        return self.fits or bool(columns & set(RESOURCES)) or bool(self.weights)

    def chunks(self):
        """(start, stop) of each chunk, in order."""
        found = []
        for block in self.blocks:
            size = _CHUNK[block.architecture]
            if block.architecture == "streaming":
                # A chunk has one folding, which takes longest to find.
                foldings = math.prod(len(axis.values) for axis in block.axes[:2])
                size = min(size, block.size // foldings)
                edges = [
                    (first, min(first + size, start + block.size // foldings))
                    for start in range(block.start, block.stop, block.size // foldings)
                    for first in range(start, start + block.size // foldings, size)
                ]
            else:
                edges = [
                    (first, min(first + size, block.stop))
                    for first in range(block.start, block.stop, size)
                ]
            found += edges
        return found

    def block_of(self, number):
        """The `Block` that a point lies in; ValueError if there is no such point."""
        for block in self.blocks:
            if block.start <= number < block.stop:
                return block
        raise ValueError(f"points are 0 to {len(self) - 1}, not {number}")

    def point(self, number):
        """The parameters of one point, by name."""
        block = self.block_of(number)
        found = {name: values[0] for name, values in block.values(np.array([number])).items()}
        plain = {name: value.item() for name, value in found.items()}
        return {
            "architecture": block.architecture,
            **{name: value for name, value in plain.items() if value not in ("", 0)},
        }


def _read(file, table):
    _check_keys(file, table, _KEYS)
    architectures = table.get("architecture", [a for a in ARCHITECTURES if a in table])
    if isinstance(architectures, str):
        architectures = [architectures]
    if not isinstance(architectures, list) or not architectures:
        raise ValueError(
            f"{file}: architecture must be a list of {', '.join(ARCHITECTURES)}, "
            f"not {architectures!r}"
        )
    for name in architectures:
        if name not in ARCHITECTURES:
            raise ValueError(
                f"{file}: architecture must be {' or '.join(ARCHITECTURES)}, not {name!r}"
            )
    if len(set(architectures)) < len(architectures):
        raise ValueError(f"{file}: architecture names {architectures[0]!r} more than once")
    shared = {
        name: _values(file, name, table[name]) if name in table else usual
        for name, usual in _SHARED.items()
    }
    blocks: list[Block] = []
    for architecture in architectures:
        own = table.get(architecture, {})
        where = f"{file}, [{architecture}]"
        if not isinstance(own, dict):
            raise ValueError(f"{where} must be a table, not {own!r}")
        _check_keys(where, own, _OWN[architecture])
        if {"multipliers", "cycles_per_image"} <= own.keys():
            raise ValueError(f"{where}: give multipliers or cycles_per_image, not both")
        values: dict[str, tuple[Any, ...]] = dict(shared)
        for name, usual in _OWN[architecture].items():
            found = _values(where, name, own[name]) if name in own else usual
            if found is None:
                raise ValueError(f"{where} lacks {name}")
            values[name] = found
        axes = tuple(Axis(name, values[name]) for name in _ORDER[architecture])
        blocks.append(Block(architecture, axes, blocks[-1].stop if blocks else 0))
    space = Space(tuple(blocks), *_wishes(file, table, shared["device"]))
    if len(space) > LARGEST_SPACE:
        raise ValueError(
            f"{file} has {len(space):,} points; at most {LARGEST_SPACE:,} are accepted"
        )
    _check_devices(file, space, shared["device"])
    if space.needs and "systolic" in architectures:
        _check_hardware(file, next(b for b in blocks if b.architecture == "systolic"))
    return space


def _check_keys(where, table, accepted):
    for name in table:
        if name not in accepted:
            near = difflib.get_close_matches(str(name), accepted, 1)
            hint = f" (did you mean '{near[0]}'?)" if near else ""
            raise ValueError(f"{where} has '{name}'{hint}; accepted are {', '.join(accepted)}")


def _is_number(value):
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _values(where, name, given):
    """The values of a parameter, from a value, a list, or {from, to, step or factor}."""
    if isinstance(given, dict):
        if name in _TEXTS:
            raise ValueError(f"{where}: {name} must be a text or a list of texts, not {given!r}")
        found = _range(where, name, given)
        if name not in _REALS:
            found = [int(v) if isinstance(v, float) and v.is_integer() else v for v in found]
    else:
        found = given if isinstance(given, list) else [given]
    if not found:
        raise ValueError(f"{where}: {name} must have at least one value")
    if len(found) > LARGEST_AXIS:
        raise ValueError(
            f"{where}: {name} has {len(found):,} values; at most {LARGEST_AXIS:,} are accepted"
        )
    for value in found:
        _check_value(where, name, value)
    if len(set(found)) < len(found):
        twice = next(value for k, value in enumerate(found) if value in found[:k])
        raise ValueError(f"{where}: {name} has {twice!r} more than once")
    return tuple(float(value) if name in _REALS else value for value in found)


def _range(where, name, given):
    steps = [key for key in ("step", "factor") if key in given]
    if set(given) - {"from", "to", "step", "factor"} or not {"from", "to"} <= given.keys():
        raise ValueError(
            f"{where}: {name} must be a value, a list, or {{ from, to, step or factor }}, "
            f"not {given!r}"
        )
    if len(steps) != 1:
        raise ValueError(f"{where}: {name} must have a step or a factor, not {given!r}")
    wrong = next((key for key, value in given.items() if not _is_number(value)), None)
    if wrong:
        raise ValueError(f"{where}: {wrong} of {name} must be a number, not {given[wrong]!r}")
    first, last, step = given["from"], given["to"], given[steps[0]]
    if last < first:
        raise ValueError(f"{where}: {name} goes from {first} to {last}, which is less")
    if steps == ["step"] and step <= 0:
        raise ValueError(f"{where}: step of {name} must be positive, not {step}")
    if steps == ["factor"] and (step <= 1 or first <= 0):
        raise ValueError(
            f"{where}: {name} must start above 0 and have a factor above 1, not {given!r}"
        )
    if steps == ["step"]:
        # A little more, so that 0.1 + 0.2 does not lose the last value.
        count = int((last - first) / step * (1 + 1e-12)) + 1
        count = min(count, LARGEST_AXIS + 1)
        return [first + k * step for k in range(count)]
    found = [first]
    while (value := found[-1] * step) <= last * (1 + 1e-12) and len(found) <= LARGEST_AXIS:
        found.append(value)
    return found


def _check_value(where, name, value):
    if name == "device":
        if not isinstance(value, str) or not value:
            raise ValueError(f"{where}: device must be a text, not {value!r}")
    elif name == "dataflow":
        if value not in devices.DATAFLOWS:
            raise ValueError(
                f"{where}: dataflow must be {', '.join(devices.DATAFLOWS)}, not {value!r}"
            )
    elif name in _REALS:
        if not _is_number(value) or not 1e-6 <= value <= 1e5:
            raise ValueError(f"{where}: {name} must lie in 1e-06 to 100000, not {value!r}")
    elif isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{where}: {name} must be a positive integer, not {value!r}")
    elif name == "operand_bits" and value not in (8, 16):
        raise ValueError(f"{where}: operand_bits must be 8 or 16, not {value}")
    elif name == "batch" and value > _LARGEST_BATCH:
        raise ValueError(f"{where}: batch must be at most {_LARGEST_BATCH:,}, not {value}")
    elif value > 1 << 40:
        raise ValueError(f"{where}: {name} must be at most {1 << 40:,}, not {value}")


def _wishes(file, table, given_devices):
    """Objectives, constraints, and what things cost."""
    objectives = table.get("objectives", ["throughput", "energy"])
    if not isinstance(objectives, list) or not objectives:
        raise ValueError(f"{file}: objectives must be a list, not {objectives!r}")
    for name in objectives:
        if name not in OBJECTIVES:
            raise ValueError(f"{file}: an objective must be {', '.join(OBJECTIVES)}, not {name!r}")
    if len(set(objectives)) < len(objectives):
        raise ValueError(f"{file}: objectives must differ, not {objectives!r}")
    limits = table.get("constraints", {})
    if not isinstance(limits, dict):
        raise ValueError(f"{file}: constraints must be a table, not {limits!r}")
    _check_keys(f"{file}, [constraints]", limits, ("fits", *CONSTRAINTS))
    fits = limits.get("fits", given_devices != ("",))
    if not isinstance(fits, bool):
        raise ValueError(f"{file}, [constraints]: fits must be true or false, not {fits!r}")
    if fits and given_devices == ("",):
        raise ValueError(f"{file}, [constraints]: fits needs a device")
    found = {name: value for name, value in limits.items() if name != "fits"}
    for name, value in found.items():
        if not _is_number(value) or value < 0:
            raise ValueError(
                f"{file}, [constraints]: {name} must be a number from 0 up, not {value!r}"
            )
    costs = table.get("cost", {})
    if not isinstance(costs, dict):
        raise ValueError(f"{file}: cost must be a table, not {costs!r}")
    _check_keys(f"{file}, [cost]", costs, (*RESOURCES, "device"))
    prices = costs.get("device", {})
    if not isinstance(prices, dict):
        raise ValueError(f"{file}, [cost]: device must be a table, not {prices!r}")
    weights = {name: value for name, value in costs.items() if name != "device"}
    for name, value in (*weights.items(), *prices.items()):
        if not _is_number(value) or value < 0:
            raise ValueError(f"{file}, [cost]: {name} must be a number from 0 up, not {value!r}")
    if ("cost" in objectives or "max_cost" in found) and not costs:
        raise ValueError(
            f"{file}: cost needs a table [cost] that says what {', '.join(RESOURCES)} and each "
            "device add to it"
        )
    unpriced = [name for name in given_devices if prices and name not in prices]
    if unpriced:
        raise ValueError(f"{file}, [cost]: device lacks {', '.join(unpriced)}")
    return (
        tuple(objectives),
        {name: float(value) for name, value in found.items()},
        fits,
        {name: float(value) for name, value in weights.items()},
        {name: float(value) for name, value in prices.items()},
    )


def _check_devices(file, space, names):
    """Whether cells can be counted on each device, as far as that is wanted."""
    from .cells import CALIBRATED, family

    wanted = {OBJECTIVES[name] for name in space.objectives} | set(space.weights)
    wanted |= {column for _, column, _ in space.limits}
    for name in names:
        if not name:
            continue
        device = devices.load(name)
        if device.device_class != "fpga":
            raise ValueError(
                f"{file}: device must be an FPGA, and {name} is a {device.device_class}"
            )
        logic = sorted(wanted & {"lut", "ff"})
        if logic and family(name) not in CALIBRATED:
            raise ValueError(
                f"{file}: {' and '.join(logic)} of designs can be told on parts of the families "
                f"{', '.join(CALIBRATED)} only, and {name} is not one"
            )


def _check_hardware(file, block):
    """Whether each value is one that `hwsim.Systolic` takes."""
    axes = {axis.name: axis.values for axis in block.axes}
    where = f"{file}, [systolic]"
    for name, largest in (
        ("rows", 256),
        ("cols", 256),
        ("buffer_bytes", LARGEST_BUFFER),
        ("accumulator_rows", LARGEST_ACCUMULATOR_ROWS),
    ):
        for value in axes[name]:
            if value > largest:
                raise ValueError(
                    f"{where}: {name} must be at most {largest:,} for designs whose cells are "
                    f"counted, not {value:,}"
                )
            if name in ("buffer_bytes", "accumulator_rows") and value & (value - 1):
                raise ValueError(
                    f"{where}: {name} must be a power of two for designs whose cells are counted, "
                    f"not {value:,}"
                )
