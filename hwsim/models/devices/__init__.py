"""Devices as data: one TOML file each, every number with its unit and its source.

A file names the device, its class and its quantities::

    name = "my-gpu"
    class = "gpu"
    title = "My GPU"
    sms = { value = 28, unit = "1", source = "vendor's data sheet, table 1" }
    clock = { value = 1582, unit = "MHz", source = "vendor's data sheet, table 1" }

``source`` says where the number stands, or starts with ``derived:`` (and the arithmetic),
``assumption:`` (and the reason), ``fitted:`` (and the measurements to which) or ``measured:`` (and
on what). Efficiencies and fixed costs that a whole class shares stand in ``classes.toml``; a
device's own file may override them. What is no number has no unit::

    dataflow = { value = "row-stationary", source = "paper, section 3" }

`array` makes a device from Python, without a file.
"""

import difflib
import math
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

__all__ = [
    "CLASSES",
    "DATAFLOWS",
    "TEXTS",
    "Device",
    "Quantity",
    "array",
    "load",
    "names",
    "parse",
    "shared",
    "user_file",
]

DATAFLOWS = (
    "weight-stationary",
    "output-stationary",
    "input-stationary",
    "row-stationary",
    "nvdla",
)
"""Dataflows of arrays; see `hwsim.models.processors.array`."""

TEXTS = {
    "dataflow": DATAFLOWS,
    "feature_maps": ("scratchpad", "memory"),
    "winograd": ("none", "F(2x2,3x3)"),
}
"""Quantities that are no numbers, and what they may be."""

_DIMENSIONS: dict[str, dict[str, float]] = {
    "count": {"1": 1},
    "fraction": {"1": 1},
    "rate": {"MAC/cycle": 1, "op/cycle": 1},
    "frequency": {"Hz": 1, "kHz": 1e3, "MHz": 1e6, "GHz": 1e9},
    "flow": {"B/cycle": 1},
    "cycles": {"cycle": 1},
    "bandwidth": {"B/s": 1, "MB/s": 1e6, "GB/s": 1e9, "GiB/s": 2**30, "TB/s": 1e12},
    "size": {
        "bit": 1 / 8,
        "B": 1,
        "KB": 1e3,
        "KiB": 2**10,
        "MB": 1e6,
        "MiB": 2**20,
        "GB": 1e9,
        "GiB": 2**30,
    },
    "time": {"s": 1, "ms": 1e-3, "us": 1e-6, "ns": 1e-9},
    "power": {"W": 1},
    "text": {},
}

_SHARED = {
    "compute_efficiency": "fraction",
    "memory_efficiency": "fraction",
    "dispatch_time": "time",
    "overlap_tiles": "count",
}
# Per class: quantities that a device must have (classes.toml may supply them), then those that it
# may have.
_QUANTITIES: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "cpu": (
        {
            "cores": "count",
            "clock": "frequency",
            "fp32_macs_per_cycle": "rate",
            "vector_lanes": "count",
            "element_ops_per_cycle": "rate",
            "memory_bandwidth": "bandwidth",
            "core_memory_bandwidth": "bandwidth",
            "l1_size": "size",
            "l2_size": "size",
            "cache_size": "size",
            "l1_bytes_per_cycle": "flow",
            "l2_bytes_per_cycle": "flow",
            "l3_bytes_per_cycle": "flow",
            "multiply_latency": "cycles",
            "power_cycles": "cycles",
            "sync_time": "time",
            **_SHARED,
        },
        {
            "all_core_clock": "frequency",
            "int8_macs_per_cycle": "rate",
            "memory_size": "size",
            "tdp": "power",
        },
    ),
    "gpu": (
        {
            "sms": "count",
            "clock": "frequency",
            "fp32_macs_per_cycle": "rate",
            "element_ops_per_cycle": "rate",
            "memory_bandwidth": "bandwidth",
            "cache_size": "size",
            "cache_rate": "flow",
            "load_latency": "time",
            "block_time": "time",
            **_SHARED,
        },
        {
            "tf32_macs_per_cycle": "rate",
            "bf16_macs_per_cycle": "rate",
            "fp16_macs_per_cycle": "rate",
            "int8_macs_per_cycle": "rate",
            "fp16_unaligned_rate": "rate",
            "int8_unaligned_rate": "rate",
            "cluster_blocks": "count",
            "direct_convolution_only": "count",
            "memory_size": "size",
            "tdp": "power",
        },
    ),
    "tpu": (
        {
            "arrays": "count",
            "rows": "count",
            "columns": "count",
            "clock": "frequency",
            "element_ops_per_cycle": "rate",
            "memory_bandwidth": "bandwidth",
            "scratchpad_size": "size",
            "weight_fifo_tiles": "count",
            **_SHARED,
        },
        {
            "bf16_macs_per_cycle": "rate",
            "int16_macs_per_cycle": "rate",
            "int8_macs_per_cycle": "rate",
            "accumulator_rows": "count",
            "memory_size": "size",
            "tdp": "power",
        },
    ),
    "spatial": (
        {
            "dataflow": "text",
            "arrays": "count",
            "rows": "count",
            "columns": "count",
            "clock": "frequency",
            "element_ops_per_cycle": "rate",
            "memory_bandwidth": "bandwidth",
            "scratchpad_size": "size",
            **_SHARED,
        },
        {
            "fp16_macs_per_cycle": "rate",
            "bf16_macs_per_cycle": "rate",
            "int16_macs_per_cycle": "rate",
            "int8_macs_per_cycle": "rate",
            "accumulator_rows": "count",
            "feature_maps": "text",
            "filter_words": "count",
            "input_words": "count",
            "sum_words": "count",
            "filter_words_per_cycle": "count",
            "input_words_per_cycle": "count",
            "sum_words_per_cycle": "count",
            "sum_cycles": "count",
            "stripe_shortest": "count",
            "stripe_longest": "count",
            "images_together": "count",
            "winograd": "text",
            "memory_size": "size",
            "tdp": "power",
        },
    ),
    "fpga": (
        {
            "clock": "frequency",
            "dsps": "count",
            "block_rams": "count",
            "block_ram_size": "size",
        },
        {"luts": "count", "flip_flops": "count", "memory_bandwidth": "bandwidth", "tdp": "power"},
    ),
}
CLASSES = tuple(_QUANTITIES)
CALIBRATED = {"this-machine": "cpu", "this-gpu": "gpu"}
"""Devices that ``hwsim calibrate`` writes, and what it is told to measure."""
# Beyond what any device has, in any unit; results then stay finite.
SMALLEST, LARGEST = 1e-9, 1e12


@dataclass(frozen=True)
class Quantity:
    """A number with its unit and its source, or a text.

    Members
    -------
    name : str
    value : float or str
        In SI base units: Hz, B/s, B, s, W, or a plain number; or one of `TEXTS`.
    given : float or str
    unit : str
        Number and unit as the file states them; empty for a text.
    source : str
    """

    name: str
    value: Any
    given: Any
    unit: str
    source: str

    def __str__(self):
        if isinstance(self.given, str):
            return self.given
        return f"{self.given:g}" + ("" if self.unit == "1" else f" {self.unit}")


@dataclass(frozen=True, eq=False)
class Device:
    """A device: ``device[name]`` is a quantity's value in SI base units.

    Members
    -------
    name, device_class, title : str
        The class is one of `CLASSES`.
    quantities : mapping of name to Quantity
    """

    name: str
    device_class: str
    title: str
    quantities: Mapping[str, Quantity]

    def __getitem__(self, name):
        return self.quantities[name].value

    def __contains__(self, name):
        return name in self.quantities

    @property
    def precisions(self):
        """Data types of its multipliers, e.g. ``("fp32", "int8")``."""
        suffix = "_macs_per_cycle"
        return tuple(
            name.removesuffix(suffix) for name in sorted(self.quantities) if name.endswith(suffix)
        )


@cache
def _catalog():
    folder = resources.files(__package__) / "catalog"
    return {
        entry.name.removesuffix(".toml"): entry
        for entry in folder.iterdir()
        if entry.name.endswith(".toml")
    }


@cache
def _class_quantities():
    text = (resources.files(__package__) / "classes.toml").read_text("utf-8")
    tables = tomllib.loads(text)
    found = {}
    for device_class, table in tables.items():
        kinds = {**_QUANTITIES[device_class][0], **_QUANTITIES[device_class][1]}
        found[device_class] = {
            name: _quantity("classes.toml", name, kinds[name], t) for name, t in table.items()
        }
    return found


def shared(device_class):
    """What all devices of a class share: mapping of name to `Quantity`."""
    return dict(_class_quantities().get(device_class, {}))


def names():
    """Names of the bundled devices, sorted."""
    return tuple(sorted(_catalog()))


def user_file(name):
    """The file under which a device of the user's own is looked for by its name."""
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "hwsim" / "devices" / f"{name}.toml"


def load(device):
    """The device of that name, or that a TOML file describes.

    Parameters
    ----------
    device : str, path or Device
        A bundled device's name (see `names`), the name of one of the user's own (see `user_file`),
        such as "this-machine", or the path of a file; a string that ends in ``.toml`` is a path. A
        `Device` is returned as it is.

    Raises
    ------
    ValueError
        If there is no such device or file, or the file is not right. The message says what would
        be.
    """
    if isinstance(device, Device):
        return device
    if not isinstance(device, str | Path):
        raise TypeError(f"device must be a name, a path or a Device, not {device!r}")
    if isinstance(device, Path) or device.endswith(".toml"):
        path = Path(device)
        if not path.is_file():
            raise ValueError(f"device file {path} does not exist")
        return parse(str(path), path.read_bytes())
    if device not in _catalog():
        own = user_file(device)
        if own.name == f"{device}.toml" and own.is_file():
            return parse(str(own), own.read_bytes())
        if device in CALIBRATED:
            raise ValueError(
                f"{device} has not been measured yet: run hwsim calibrate {CALIBRATED[device]}"
            )
        near = difflib.get_close_matches(device.lower(), names(), 1, 0.5)
        hint = f" (did you mean '{near[0]}'?)" if near else ""
        known = ", ".join(names())
        raise ValueError(
            f"unknown device '{device}'{hint}: known are {known}, "
            "and the path of a file that ends in .toml"
        )
    return _bundled(device)


def array(
    *,
    rows: int,
    cols: int,
    dataflow: str = "weight-stationary",
    clock_hz: float = 1e9,
    memory_bandwidth: float = 16e9,
    scratchpad_size: float = 2**20,
    precision: str = "int8",
    name: str = "",
    **quantities: Any,
):
    """An array of any size as a device of the class ``spatial``.

    Parameters
    ----------
    rows, cols : int
    dataflow : str
        One of `DATAFLOWS`.
    clock_hz, memory_bandwidth, scratchpad_size : float
        Hz, bytes per second of reads and writes together, bytes.
    precision : str
        Data type in which an element does a multiply-accumulate in each cycle.
    name : str
        Of the device; unless given, it says size and dataflow.
    **quantities
        Further ones of the class ``spatial`` in SI base units, such as ``accumulator_rows`` or
        ``feature_maps``. Unless given, there is one array, a vector unit as wide as the array,
        nothing is lost to efficiencies, and a layer is cut into as many tiles as
        ``overlap_tiles`` of ``classes.toml`` says.

    Returns
    -------
    Device

    Raises
    ------
    ValueError
        If a value or a name is not right. The message says what would be.
    """
    given = {
        "dataflow": dataflow,
        "arrays": 1,
        "rows": rows,
        "columns": cols,
        "clock": clock_hz,
        f"{precision}_macs_per_cycle": 1,
        "element_ops_per_cycle": cols,
        "memory_bandwidth": memory_bandwidth,
        "scratchpad_size": scratchpad_size,
        "memory_efficiency": 1,
        **quantities,
    }
    required, optional = _QUANTITIES["spatial"]
    kinds = {**required, **optional}
    table: dict[str, Any] = {}
    for key, value in given.items():
        if key not in kinds:
            raise ValueError(f"an array has no '{key}'; it may have {', '.join(kinds)}")
        table[key] = {"value": value, "source": "given"}
        if kinds[key] != "text":
            table[key]["unit"] = next(iter(_DIMENSIONS[kinds[key]]))
            if kinds[key] == "size":
                table[key]["unit"] = "B"
    found = dict(_class_quantities()["spatial"])
    for key, entry in table.items():
        found[key] = _quantity("array", key, kinds[key], entry)
    title = f"{rows} x {cols} array, {dataflow}"
    return Device(name or f"array-{rows}x{cols}-{dataflow}", "spatial", title, found)


@cache
def _bundled(name):
    return parse(f"{name}.toml", _catalog()[name].read_bytes())


def parse(file, content):
    """The device that the bytes of a file describe; ``file`` names it in messages."""
    try:
        table = tomllib.loads(content.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"device file {file} is not TOML: {error}") from None
    for name in ("name", "class", "title"):
        if not isinstance(table.get(name), str) or not table[name]:
            raise ValueError(
                f"device file {file} must have {name} = a text, not {table.get(name)!r}"
            )
    device_class = table.pop("class")
    if device_class not in _QUANTITIES:
        raise ValueError(
            f"device file {file} has the class '{device_class}'; accepted are {', '.join(CLASSES)}"
        )
    required, optional = _QUANTITIES[device_class]
    kinds = {**required, **optional}
    quantities = shared(device_class)
    for name, entry in table.items():
        if name in ("name", "title"):
            continue
        if name not in kinds:
            near = difflib.get_close_matches(name, kinds, 1)
            hint = f" (did you mean '{near[0]}'?)" if near else ""
            raise ValueError(
                f"device file {file} has '{name}'{hint}; "
                f"a {device_class} may have {', '.join(kinds)}"
            )
        quantities[name] = _quantity(f"device file {file}", name, kinds[name], entry)
    missing = [name for name in required if name not in quantities]
    if missing:
        raise ValueError(
            f"device file {file} lacks {', '.join(missing)}, which a {device_class} needs"
        )
    device = Device(table["name"], device_class, table["title"], quantities)
    if not device.precisions and device_class != "fpga":
        rates = [name for name in kinds if name.endswith("_macs_per_cycle")]
        raise ValueError(
            f"device file {file} lacks {' or '.join(rates)}, of which a {device_class} needs one"
        )
    return device


def _text(file, name, entry):
    accepted = TEXTS[name]
    if not isinstance(entry, dict) or set(entry) != {"value", "source"}:
        raise ValueError(f"{file}: {name} must be {{ value = ..., source = ... }}, not {entry!r}")
    if entry["value"] not in accepted:
        raise ValueError(f"{file}: {name} must be {', '.join(accepted)}, not {entry['value']!r}")
    _check_source(file, name, entry["source"])
    return Quantity(name, entry["value"], entry["value"], "", entry["source"])


def _quantity(file, name, kind, entry):
    if kind == "text":
        return _text(file, name, entry)
    if not isinstance(entry, dict) or set(entry) != {"value", "unit", "source"}:
        raise ValueError(
            f"{file}: {name} must be {{ value = ..., unit = ..., source = ... }}, not {entry!r}"
        )
    value, unit, source = entry["value"], entry["unit"], entry["source"]
    units = _DIMENSIONS[kind]
    if not isinstance(unit, str) or unit not in units:
        raise ValueError(f"{file}: {name} has the unit {unit!r}; accepted are {', '.join(units)}")
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or (isinstance(value, float) and not math.isfinite(value))
    ):
        raise ValueError(f"{file}: {name} must be a number, not {value!r}")
    if kind == "count" and (value != int(value) or value < 1):
        raise ValueError(f"{file}: {name} must be a positive integer, not {value!r}")
    if kind == "fraction" and not 0 < value <= 1:
        raise ValueError(f"{file}: {name} must lie above 0 and not above 1, not {value!r}")
    if value < 0 or (value == 0 and kind != "time"):
        raise ValueError(f"{file}: {name} must be positive, not {value!r}")
    if value and not SMALLEST <= value <= LARGEST:
        raise ValueError(f"{file}: {name} must lie in {SMALLEST:g} to {LARGEST:g}, not {value!r}")
    _check_source(file, name, source)
    return Quantity(name, value * units[unit], value, unit, source)


def _check_source(file, name, source):
    if not isinstance(source, str) or not source.strip():
        raise ValueError(
            f"{file}: {name} must have a source; "
            "write 'assumption: ' and the reason if there is none"
        )
