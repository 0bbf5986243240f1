"""Energy of a layer: its arithmetic, and the bytes that it moves through each level.

    E = MAC x E_mac + operations x E_operation + sum over levels (bytes x E_access) + bytes x E_dram

The energies stand in ``energy.toml``, each with its source, for one process, 45 nm. They say how
much arithmetic and data cost beside one another. They leave out instructions, clock, leakage and
everything that is idle, and they are not scaled to the process of a device: no estimate of what a
socket draws. What cannot be exceeded for long is the device's thermal design power times the time;
it stands beside as `Estimate.tdp_energy_j`.
"""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources

from .devices import Quantity

__all__ = ["NOTE", "Energy", "joules", "layer_energy", "quantities"]

NOTE = (
    "energy is that of the arithmetic and of the data that it moves, at 45 nm (Horowitz, ISSCC "
    "2014); instructions, clock and leakage are left out, and no scaling to the device's process "
    "is made"
)
"""What `layer_energy` is, and is not."""

_UNITS = {"pJ": 1e-12, "pJ/B": 1e-12}
_UNKNOWN_LEVEL = "sram_1mib"


@dataclass(frozen=True)
class Energy:
    """Energy of one layer in joules.

    Members
    -------
    mac_j, operation_j, memory_j : float
        Of multiply-accumulates, other operations, and the bytes that cross the memory interface.
    level_j : mapping of str to float
        Of the bytes that cross each level in between.
    line : str
        The arithmetic.
    """

    mac_j: float
    operation_j: float
    memory_j: float
    level_j: dict[str, float]
    line: str

    @property
    def total_j(self):
        """All of it."""
        return self.mac_j + self.operation_j + self.memory_j + sum(self.level_j.values())


@cache
def _tables():
    text = (resources.files(__package__) / "energy.toml").read_text("utf-8")
    tables = tomllib.loads(text)
    levels = tables.pop("level")
    found = {
        table: {
            name: Quantity(
                f"{name} {table}",
                entry["value"] * _UNITS[entry["unit"]],
                entry["value"],
                entry["unit"],
                entry["source"],
            )
            for name, entry in entries.items()
        }
        for table, entries in tables.items()
    }
    return found, levels


def quantities():
    """All energies: ``{"mac": {"int8": Quantity, ...}, "operation": ..., "access": ...}``."""
    return _tables()[0]


def used(precision, levels=()):
    """The energies that a layer in ``precision`` with bytes in ``levels`` takes."""
    found, stores = _tables()
    names = dict.fromkeys(stores.get(level, _UNKNOWN_LEVEL) for level in levels)
    accesses = [found["access"][name] for name in (*names, "dram")]
    return (found["mac"][precision], found["operation"][precision], *accesses)


def layer_energy(macs, operations, precision, level_bytes, memory_bytes):
    """Energy of a layer.

    Parameters
    ----------
    macs, operations : int
    precision : str
        "int8", "fp16", "bf16" or "fp32".
    level_bytes : mapping of str to int
        Bytes that cross each level between memory and arithmetic.
    memory_bytes : int

    Returns
    -------
    Energy
    """
    found, stores = _tables()
    mac, operation = found["mac"][precision], found["operation"][precision]
    access, dram = found["access"], found["access"]["dram"]
    level_j = {}
    terms = [f"{macs:,} MAC x {mac}", f"{operations:,} operations x {operation}"]
    for level, size in level_bytes.items():
        energy = access[stores.get(level, _UNKNOWN_LEVEL)]
        level_j[level] = size * energy.value
        terms.append(f"{level} {size:,} B x {energy}")
    terms.append(f"memory {memory_bytes:,} B x {dram}")
    result = Energy(
        macs * mac.value, operations * operation.value, memory_bytes * dram.value, level_j, ""
    )
    line = f"energy    {' + '.join(terms)} = {joules(result.total_j)}"
    return Energy(result.mac_j, result.operation_j, result.memory_j, level_j, line)


def joules(energy):
    """An energy with four digits and the unit that suits it."""
    for unit, size in (("J", 1), ("mJ", 1e-3), ("uJ", 1e-6), ("nJ", 1e-9)):
        if energy >= size:
            return f"{energy / size:.4g} {unit}"
    return f"{energy * 1e12:.4g} pJ"
