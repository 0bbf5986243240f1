"""Graphics processors, beside what others measured.

Kernels, to which the constants of the class were fitted, and whole networks, for which nothing was
changed.
"""

from dataclasses import replace
from functools import cache

import pandas as pd

from hwsim import networks
from hwsim.models import devices
from hwsim.models.dataflow.mapping import PICOSECONDS, map_workload
from hwsim.models.dataflow.tiles import finish
from hwsim.models.dataflow.workload import FLOAT_BYTES, Convolution, Gemm, Work, Workload, workload

from .check import Check
from .data import read

__all__ = ["FITTED", "deepbench", "gpu_networks", "kernels", "predict_ms"]

FITTED = (
    "compute_efficiency",
    "memory_efficiency",
    "cache_rate",
    "load_latency",
    "block_time",
    "dispatch_time",
    "overlap_tiles",
)
"""Constants of the class of GPUs that were fitted to the DeepBench kernels."""

# What the measured networks are called in `hwsim.networks`, where that differs.
TOPOLOGIES = {"alexnet": "alexnet_caffe"}


@cache
def kernels():
    """The kernels of DeepBench: a tuple of (row of the table, `Workload`, group)."""
    table = read("deepbench.csv")
    numbers = ["m", "n", "k", "w", "h", "c", "s", "r", "pad_w", "pad_h", "stride"]
    table = table.assign(**{name: table[name].fillna(0).astype(int) for name in numbers})
    return tuple((row, *_workload(row)) for row in table.itertuples(index=False))


def _workload(row):
    # "Pseudo fp16" has halves in memory and multiplies in fp32.
    precision = "fp16" if row.sheet == "pseudo fp16" else row.sheet
    width = FLOAT_BYTES[precision]
    out = 4 if precision == "int8" else width
    conv = None
    if row.kind == "gemm":
        # The sheets say 1530 where the benchmark's list of problems has 1536.
        k = 1536 if row.k == 1530 else row.k
        gemm = Gemm(row.n, row.m, k)
        source = row.n * k
        small = min(row.m, row.n)
        group = "GEMM skinny" if small <= 128 else "GEMM"
    else:
        taps = (row.r, row.s)
        if taps in ((20, 5), (10, 5)):  # the sheets of training name them the other way round
            taps = taps[::-1]
        size = tuple(
            (length + 2 * pad - taps) // row.stride + 1
            for length, pad, taps in ((row.h, row.pad_h, taps[0]), (row.w, row.pad_w, taps[1]))
        )
        conv = Convolution(
            row.n, row.c, row.k, 1, (row.h, row.w), size, taps, (row.stride,) * 2, (1, 1)
        )
        gemm = Gemm(row.n * size[0] * size[1], row.k, row.c * taps[0] * taps[1])
        source = row.n * row.c * row.h * row.w
        group = "convolution, other"
        if row.c < 16:
            group = "convolution, first"
        elif taps == (1, 1):
            group = "convolution, 1x1"
        elif taps == (3, 3) and row.stride == 1:
            group = "convolution, 3x3"
    work = Work(
        "kernel",
        "Gemm" if conv is None else "Conv",
        gemm,
        conv,
        weight_bytes=gemm.n * gemm.k * width,
        inputs=("x",),
        outputs=("y",),
        integer=precision == "int8",
    )
    sizes = {"x": source * width, "y": gemm.m * gemm.n * out}
    return Workload(1, precision, (work,), sizes, {"x", "y"}), group


def predict_ms(row, load, device):
    """Milliseconds of one of `kernels`."""
    if row.sheet == "pseudo fp16":
        fp32 = replace(device.quantities["fp32_macs_per_cycle"], name="fp16_macs_per_cycle")
        device = replace(device, quantities={**device.quantities, "fp16_macs_per_cycle": fp32})
    (layer,) = map_workload(load, device).layers
    return layer.job.time / PICOSECONDS * 1e3


def deepbench():
    """Matrix products and convolutions on three GPUs of the Pascal generation."""
    rows = []
    for row, load, group in kernels():
        if row.kind == "gemm":
            point = f"{row.m} x {row.n} x {row.k}"
        else:
            point = f"{row.n} x {row.c} x {row.h} x {row.w}, {row.k} of {row.r} x {row.s}"
            point += f" / {row.stride}"
        rows.append(
            {
                "group": f"{row.device}, {row.sheet}",
                "point": point,
                "predicted": predict_ms(row, load, devices.load(row.device)),
                "measured": row.measured_ms,
                "kernel": group,
            }
        )
    return Check(
        "gpu-kernels",
        "Kernels on GPUs",
        "ms",
        pd.DataFrame(rows),
        "baidu-research/DeepBench, results of training and of inference on servers",
        fitted=", ".join(FITTED) + ": one value each for the class of GPUs",
        notes=(
            "which tiles the libraries of that time take (hwsim.models.processors.gpu) was read "
            "off these kernels, too",
            "K = 1530 in the sheets is taken as the 1536 of the benchmark's list of problems; taps "
            "of 5 x 20 and 5 x 10 in the sheets of training as 20 x 5 and 10 x 5, as in those of "
            "inference",
            "transposed operands and the first and second of equal shapes are not told apart",
        ),
    )


def network_seconds(name, device, batch=16):
    """Seconds of a forward pass in training mode, layer by layer.

    In training mode a batch normalization passes over its input twice: for mean and variance, and
    to normalize.
    """
    load = workload(networks.network(TOPOLOGIES.get(name, name)), batch, "fp32")
    works = []
    for work in load.works:
        works.append(work)
        if work.op == "BatchNormalization":
            works.append(replace(work, name=f"{work.name} (statistics)", outputs=()))
    mapping = map_workload(replace(load, works=tuple(works)), device)
    # One launch does both passes.
    again = sum(layer.job.dispatch for layer in mapping.layers if "(statistics)" in layer.work.name)
    return (finish(mapping.program)[-1] - again) / PICOSECONDS


def gpu_networks():
    """Forward passes of whole networks."""
    table = read("gpu_networks.csv").set_index("network")
    rows = [
        {
            "group": device,
            "point": name,
            "predicted": network_seconds(name, devices.load(device)) * 1e3,
            "measured": float(table.loc[name, device]),
        }
        for device in table.columns
        for name in table.index
    ]
    return Check(
        "gpu-networks",
        "Networks on GPUs",
        "ms",
        pd.DataFrame(rows),
        "J. Johnson, cnn-benchmarks, README at commit 83d441f",
        notes=(
            "batch 16, 224 x 224, fp32, Torch 7 with cuDNN 5.1, layer by layer, in training mode",
            "no constant was changed for these: those of deepbench were fitted to its kernels",
            "Torch adds biases by cudnnAddTensor, and normalizes batches in training mode: both "
            "are kernels of the networks that DeepBench does not have",
        ),
    )
