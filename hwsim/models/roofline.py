"""The roofline of a device, where layers lie under it, and one matrix product on many devices.

S. Williams, A. Waterman and D. Patterson, "Roofline: An Insightful Visual Performance Model for
Multicore Architectures", CACM 52(4), 2009: what a layer attains is at most the peak of the
arithmetic, and at most its intensity (operations per byte that crosses the memory interface) times
the memory's bandwidth. The two meet at the ridge. Peaks are those of data sheets, without the
efficiencies that an estimate assumes. A multiply-accumulate is two operations. A convolution is
counted by its definition, so that an algorithm that multiplies less may lie above the flat part.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from hwsim.blocks.checks import check_positive
from hwsim.network.network import Layer, Network, Tensor

from . import devices as catalog

__all__ = ["GemmComparison", "Point", "Roofline", "gemm_comparison", "points", "roofline"]


@dataclass(frozen=True)
class Roofline:
    """What a device can attain.

    Members
    -------
    device : str
    peaks_ops_per_s : mapping of str to float
        By data type.
    bandwidth_bytes_per_s : float or None
        Of the memory; None where it is not known.
    """

    device: str
    peaks_ops_per_s: Mapping[str, float]
    bandwidth_bytes_per_s: float | None

    def ridge(self, precision):
        """Operations per byte from which on arithmetic bounds; None without a bandwidth."""
        if self.bandwidth_bytes_per_s is None:
            return None
        return self.peaks_ops_per_s[precision] / self.bandwidth_bytes_per_s

    def attainable(self, precision, intensity):
        """Operations per second at an intensity, in operations per byte."""
        peak = self.peaks_ops_per_s[precision]
        if self.bandwidth_bytes_per_s is None:
            return peak
        return min(peak, intensity * self.bandwidth_bytes_per_s)


@dataclass(frozen=True)
class Point:
    """A layer under a roofline.

    Members
    -------
    name, op, phase, precision, bound : str
        As in `hwsim.models.estimate.LayerEstimate`.
    intensity_ops_per_byte : float
        Infinite for a layer of which nothing crosses the memory interface.
    ops_per_s : float
        Attained.
    """

    name: str
    op: str
    phase: str
    precision: str
    bound: str
    intensity_ops_per_byte: float
    ops_per_s: float


@dataclass(frozen=True, eq=False)
class GemmComparison:
    """One matrix product on several devices.

    Members
    -------
    m, n, k : int
    table : DataFrame
        A row per device: ``device``, ``class``, ``precision``, ``latency_us``, ``ops_per_s``,
        ``peak_ops_per_s``, ``utilization_percent``, ``intensity_ops_per_byte``, ``bound``,
        ``energy_j`` and ``tdp_energy_j``.
    roofs : mapping of str to Roofline
    """

    m: int
    n: int
    k: int
    table: pd.DataFrame
    roofs: Mapping[str, Roofline]


def roofline(device, clock_hz=None):
    """The roofline of a device.

    Parameters
    ----------
    device : str, path or Device
    clock_hz : float, optional
        Of an FPGA, whose DSPs multiply once a cycle; unless given, the device's.

    Returns
    -------
    Roofline
    """
    found = catalog.load(device)
    if found.device_class == "fpga":
        peaks = {"int8": 2 * found["dsps"] * (clock_hz or found["clock"])}
    else:
        from .processors import PROCESSORS

        processor = PROCESSORS[found.device_class](found)
        peaks = {name: 2 * processor.peak(name) for name in found.precisions}
    bandwidth = found.quantities.get("memory_bandwidth")
    return Roofline(found.name, peaks, bandwidth.value if bandwidth else None)


def points(estimate):
    """Layers of an estimate under the device's roofline, those that do something.

    Parameters
    ----------
    estimate : hwsim.models.estimate.Estimate

    Returns
    -------
    tuple of Point
    """
    found = []
    for layer in estimate.layers:
        operations = 2 * layer.macs + layer.operations
        if operations and layer.seconds:
            intensity = operations / layer.bytes if layer.bytes else math.inf
            names = layer.name, layer.op, layer.phase, layer.precision, layer.bound
            found.append(Point(*names, intensity, operations / layer.seconds))
    return tuple(found)


def gemm_comparison(m, n, k, devices, *, precision=None):
    """One product of an (m, k) by a (k, n) matrix on CPUs, GPUs and TPUs.

    Parameters
    ----------
    m, n, k : int
        The (k, n) matrix holds weights.
    devices : sequence of str, path or Device
    precision : str, optional
        Of all devices; unless given, fp32 as far as a device has it, see `hwsim.estimate`.

    Returns
    -------
    GemmComparison
    """
    from .estimate import estimate

    for name, size in (("m", m), ("n", n), ("k", k)):
        check_positive(name, size)
    rows, roofs = [], {}
    for entry in estimate(_product(m, n, k), devices, precision=precision):
        (layer,) = entry.layers
        (point,) = points(entry)
        roofs[entry.device.name] = roof = roofline(entry.device)
        rows.append(
            {
                "device": entry.device.name,
                "class": entry.device.device_class,
                "precision": entry.precision,
                "latency_us": 1e6 * entry.latency_s,
                "ops_per_s": point.ops_per_s,
                "peak_ops_per_s": roof.peaks_ops_per_s[point.precision],
                "utilization_percent": 100 * layer.utilization,
                "intensity_ops_per_byte": point.intensity_ops_per_byte,
                "bound": layer.bound,
                "energy_j": entry.energy_j,
                "tdp_energy_j": entry.tdp_energy_j,
            }
        )
    return GemmComparison(m, n, k, pd.DataFrame(rows), roofs)


def _product(m, n, k):
    """A network of one MatMul; its weights are one value, seen many times."""
    kind = np.dtype(np.float32)
    left, result = Tensor("a", (1, m, k), kind), Tensor("c", (1, m, n), kind)
    layer = Layer("product", "MatMul", ("a", "b"), ("c",))
    weights = np.broadcast_to(np.float32(0), (k, n))
    tensors = {"a": left, "c": result}
    title = f"{m} x {n} x {k} matrix product"
    return Network(title, (left,), (result,), (layer,), {"b": weights}, tensors, 21)
