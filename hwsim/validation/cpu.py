"""Forward times of whole networks on CPUs."""

import functools
from importlib import resources
from pathlib import Path

import pandas as pd

from hwsim import networks
from hwsim.models import devices
from hwsim.models.estimate import estimate
from hwsim.network import load

from . import data
from .check import Check

__all__ = ["LIGHT", "cpu_networks", "cpu_torch", "light"]

LIGHT = (
    "bvlc_alexnet",
    "densenet121",
    "inception_v1",
    "inception_v2",
    "resnet50",
    "shufflenet",
    "squeezenet",
    "vgg19",
    "zfnet512",
)
"""Topologies that the package ``onnx`` carries."""

TIMES, DEVICE = "onnx_runtime.csv", "onnx_runtime.toml"
TORCH, TORCH_DEVICE, TORCH_BATCH = "torch_cpu.csv", "2x-e5-2630-v3", 16


@functools.cache
def light(name):
    """The `Network` of one of `LIGHT`."""
    import onnx

    return load(Path(onnx.__file__).parent / f"backend/test/data/light/light_{name}.onnx")


def cpu_networks():
    """ONNX Runtime's times on a machine that was calibrated in the same run."""
    text = resources.files(data.__name__).joinpath(DEVICE).read_bytes()
    device = devices.parse(DEVICE, text)
    rows = []
    for row in data.read(TIMES).itertuples(index=False):
        estimates = estimate(
            light(row.network), [device], batch=row.batch, fuse=True, cores=row.threads
        )
        rows.append(
            {
                "group": f"batch {row.batch}, {_threads(row.threads)}",
                "point": row.network,
                "predicted": estimates[device.name].latency_s * 1e3,
                "measured": row.median_ms,
            }
        )
    return Check(
        "cpu-networks",
        f"Networks on one machine ({device.title}) in ONNX Runtime",
        "ms",
        pd.DataFrame(rows),
        "benchmarks/onnx_runtime.py: medians of ONNX Runtime, fp32, graph optimizations on; "
        "data/onnx_runtime.csv says on what",
        fitted="which mechanisms the model has, and the rate at which maps are packed and "
        "reordered, were chosen with layer times of these networks on this machine; no number "
        "belongs to one network",
        notes=("The device was measured by hwsim calibrate cpu in the same run.",),
    )


def cpu_torch():
    """Torch on two Xeon E5-2630 v3, layer by layer."""
    rows = []
    for row in data.read(TORCH).itertuples(index=False):
        network = networks.network(row.network.lower().replace("-", ""))
        found = estimate(network, [TORCH_DEVICE], batch=TORCH_BATCH, fuse=False)
        rows.append(
            {
                "group": TORCH_DEVICE,
                "point": row.network,
                "predicted": found[TORCH_DEVICE].latency_s * 1e3,
                "measured": row.ms,
            }
        )
    return Check(
        "cpu-torch",
        "Networks on two Xeon E5-2630 v3 in Torch 7",
        "ms",
        pd.DataFrame(rows),
        "J. Johnson, cnn-benchmarks, README at commit 83d441f: forward, batch 16, fp32",
        notes=(
            "Torch 7 reached 4 to 13 % of what the multipliers could do; the model tells what "
            "well-blocked kernels reach.",
        ),
    )


def _threads(count):
    return "1 thread" if count == 1 else f"{count} threads"
