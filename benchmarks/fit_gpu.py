"""Fit the constants of the class of GPUs to the DeepBench kernels, and print them.

Coordinate descent over the constants in `hwsim.validation.gpu.FITTED`, from those in
``classes.toml``, with steps of a tenth that are halved when none helps (counts by one), on the
absolute logarithm of predicted over measured time. Each kind of kernel (large and skinny matrix
products; convolutions of 1 x 1, of 3 x 3, first layers, others) counts the same; no kernel is left
out, and no network is looked at. The same on every machine. What it prints is written into
``classes.toml`` by hand.
"""

from collections import defaultdict
from dataclasses import replace

import numpy as np

from hwsim.models import devices
from hwsim.validation.gpu import FITTED, kernels, predict_ms

SMALLEST_STEP = 0.02


def loss(values):
    """Absolute logarithm of predicted over measured time: mean of the means of each kind."""
    changed = {}
    errors = defaultdict(list)
    for row, load, kind in kernels():
        if row.device not in changed:
            device = devices.load(row.device)
            own = {
                name: replace(device.quantities[name], value=value)
                for name, value in values.items()
            }
            changed[row.device] = replace(device, quantities={**device.quantities, **own})
        errors[kind].append(np.log(predict_ms(row, load, changed[row.device]) / row.measured_ms))
    return float(np.mean([np.abs(kind).mean() for kind in errors.values()]))


def steps(name, value, step):
    """Values to try next; shares end at one."""
    if name == "overlap_tiles":
        return [value + 1, max(1, value - 1)]
    values = [value * (1 + step), value / (1 + step)]
    return [min(new, 1.0) for new in values] if name.endswith("_efficiency") else values


def fit(values):
    """The constants at which no step of a fortieth helps."""
    best = loss(values)
    step = 0.1
    while step >= SMALLEST_STEP:
        improved = False
        for name in values:
            for value in steps(name, values[name], step):
                trial = {**values, name: value}
                found = loss(trial)
                if found < best - 1e-5:
                    best, values, improved = found, trial, True
                    break
        print(f"{best:.4f}", {name: float(f"{value:.4g}") for name, value in values.items()})
        if not improved:
            step /= 2
    return values, best


def main():
    """Print the constants as ``classes.toml`` has them, and what is left."""
    device = devices.load(kernels()[0][0].device)
    values, best = fit({name: device[name] for name in FITTED})
    for name, value in values.items():
        quantity = device.quantities[name]
        scale = quantity.value / quantity.given
        print(f"{name} = {value / scale:.3g} {quantity.unit}")
    print(f"absolute logarithm of predicted over measured, mean of kinds: {best:.4f}")


if __name__ == "__main__":
    main()
