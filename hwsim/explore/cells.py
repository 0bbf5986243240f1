"""Cells of an FPGA that points take, by the cost view or, where it has no calibration, by rule."""

from functools import cache, lru_cache
from math import ceil

import numpy as np

from hwsim.blocks.systolic.config import Systolic
from hwsim.models import devices
from hwsim.models.cost import cost

__all__ = ["CALIBRATED", "CALIBRATED_SOURCE", "available", "family", "plan_cells", "systolic_cells"]

# Families that the cost view is calibrated for; one that is not named counts as the first.
CALIBRATED = ("ecp5",)
CALIBRATED_SOURCE = "cost view"
RULE_SOURCE = "rule"
_QUANTITIES = {"lut": "luts", "ff": "flip_flops", "dsp": "dsps", "bram": "block_rams"}


def family(device):
    """Family of the cost view that a device belongs to, ``""`` for none."""
    if not device:
        return CALIBRATED[0]
    return next((name for name in CALIBRATED if device.startswith(f"{name}-")), "")


@cache
def available(device):
    """What a part has of each resource, as far as the catalog says."""
    found = devices.load(device)
    return {name: float(found[q]) for name, q in _QUANTITIES.items() if q in found}


@lru_cache(maxsize=1 << 18)
def _array_cost(rows, cols, buffer_bytes, accumulator_rows):
    found = cost(
        Systolic(rows=rows, cols=cols, buffer_bytes=buffer_bytes, accumulator_rows=accumulator_rows)
    )
    return found.lut, found.ff, found.dsp, found.bram


def smallest_buffer(rows, cols):
    """Bytes that a unified buffer has at least, see `hwsim.Systolic`: two words of each section."""
    most = np.maximum(rows, cols).astype(np.int64)
    banks = 2.0 ** np.ceil(np.log2(most))
    return 2 * Systolic().sections * banks


def systolic_cells(device, rows, cols, buffer_bytes, accumulator_rows):
    """(lut, ff, dsp, bram) of arrays, each an array; those that cannot be built are NaN."""
    rows, cols, buffers, deep = (
        np.asarray(values, np.int64) for values in (rows, cols, buffer_bytes, accumulator_rows)
    )
    if not family(device):
        size = devices.load(device)["block_ram_size"]
        # As an estimate on such a part takes it: accumulators are doubled, 32 bits each.
        room = np.ceil((buffers + 8 * deep * cols) / size)
        none = np.full(len(rows), np.nan)
        return none, none, (rows * cols).astype(np.float64), room
    table = np.stack([rows, cols, buffers, deep])
    # One number for each different array: sorting that is quicker than sorting columns.
    span = [int(line.max()) + 1 for line in table]
    packed = table[0]
    for line, size in zip(table[1:], span[1:], strict=True):
        packed = packed * size + line
    _, first, where = np.unique(packed, return_index=True, return_inverse=True)
    possible = (buffers >= smallest_buffer(rows, cols)) & (deep >= 2)
    found = np.array(
        [
            _array_cost(*map(int, table[:, k])) if possible[k] else (np.nan,) * 4
            for k in first.tolist()
        ]
    )
    return tuple(found[where].T)


def plan_cells(device, plan):
    """(lut, ff, dsp, bram) of a streaming pipeline."""
    if family(device):
        found = cost(plan)
        return found.lut, found.ff, found.dsp, found.bram
    bits = sum(
        layer.weights.size * layer.weight_bits
        for layer in plan.network.layers
        if hasattr(layer, "weight_bits")
    )
    size = 8 * devices.load(device)["block_ram_size"]
    return float("nan"), float("nan"), float(plan.multipliers), float(ceil(bits / size))
