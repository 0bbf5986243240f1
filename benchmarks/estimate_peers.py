"""SCALE-Sim and ZigZag on a whole network: see `benchmarks.estimate`.

Each runs in an environment of its own, once, on the same layers and an array of 32 x 32. SCALE-Sim:
weight-stationary in its mode in which memory does not limit, the convolutions and matrix products
of the model, padding a part of the map. ZigZag: the model itself, on the accelerator and the
mapping ``tpu_like`` that it brings (32 x 32, weight-stationary, 2 MiB, 64 bits of DRAM a cycle).
"""

import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

from . import systolic_scale_sim

ZIGZAG = "3.9.1"
REMEDY = f"pip install zigzag-dse=={ZIGZAG} six in an environment of its own"
RUN = """\
import json, sys
from importlib.resources import files
from zigzag.api import get_hardware_performance_zigzag
inputs = files("zigzag") / "inputs"
energy, latency, _ = get_hardware_performance_zigzag(
    workload="model.onnx",
    accelerator=str(inputs / "hardware/tpu_like.yaml"),
    mapping=str(inputs / "mapping/tpu_like.yaml"),
    opt="latency",
    dump_folder="out",
    pickle_filename="out/list.pickle",
    loma_show_progress_bar=False,
)
json.dump({"cycles": float(latency)}, open("result.json", "w"))
"""


def zigzag_missing(python):
    """Say in one sentence why ZigZag cannot be run, or return None."""
    if python is None:
        return f"ZigZag was not run: no --zigzag-python was given ({REMEDY})."
    probe = "import six; from importlib.metadata import version; print(version('zigzag-dse'))"
    try:
        found = subprocess.run([python, "-c", probe], capture_output=True, text=True)
    except OSError as error:
        return f"ZigZag was not run: {python} does not start: {error.strerror}."
    if found.returncode:
        return f"ZigZag was not run: {python} has no ZigZag ({REMEDY})."
    if found.stdout.strip() != ZIGZAG:
        return f"ZigZag was not run: {python} has {found.stdout.strip()}, not {ZIGZAG}."
    return None


def run_zigzag(python, model):
    """Run ZigZag on an ONNX model; cycles, and what the run took."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "model.onnx").write_bytes(model.SerializeToString())
        command = [Path(python).absolute(), "-c", RUN]
        begin = time.perf_counter()
        with (
            tempfile.TemporaryFile() as output,
            subprocess.Popen(command, cwd=folder, stdout=output, stderr=output) as process,
        ):
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            output.seek(0)
            text = output.read().decode(errors="replace")
        seconds = time.perf_counter() - begin
        if process.returncode:
            raise SystemExit(f"ZigZag failed: {text.strip().splitlines()[-1:]}")
        found = json.loads((Path(folder) / "result.json").read_text())
    return {
        "cycles": found["cycles"],
        "seconds": seconds,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "peak_memory_mib": round(usage.ru_maxrss / 1024),
    }


def run_scale_sim(python, works, size):
    """Run SCALE-Sim on the matrix products of a network; cycles, and what the run took."""
    layers = []
    for work in works:
        gemm, c = work.gemm, work.convolution
        if c is None:
            layers.append((gemm.m, 1, 1, 1, gemm.k, gemm.n, 1))
            continue
        if c.groups != 1 or set(c.dilation) != {1} or len(set(c.stride)) != 1:
            raise SystemExit(f"SCALE-Sim has no layer like {work.name}")
        # The padded map, as far as it is used.
        high, wide = (
            (out - 1) * c.stride[0] + kernel
            for out, kernel in zip(c.output_size, c.kernel, strict=True)
        )
        layers.append((high, wide, *c.kernel, c.channels, c.outputs, c.stride[0]))
    found, cost = systolic_scale_sim.run_shapes(
        python, (size, size), "weight-stationary", layers, gemm=False
    )
    return {"cycles": sum(found), "layers": found, **cost}
