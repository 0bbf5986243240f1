"""SCALE-Sim on single layers: see `benchmarks.systolic`.

SCALE-Sim 3.0.0 wants an environment of its own, with NumPy below 2. It is run in its mode in which
memory does not limit ("CALC"), and says how many cycles the array takes. A group of a convolution
is a layer to it, and padding a part of the map.
"""

import csv
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SCALE_SIM = "3.0.0"
REMEDY = f"pip install scalesim=={SCALE_SIM} 'numpy<2' in an environment of its own"

CONFIG = """\
[general]
run_name = run

[run_presets]
InterfaceBandwidth = CALC
UseRamulatorTrace = False

[architecture_presets]
ArrayHeight = {rows}
ArrayWidth = {cols}
IfmapSramSzkB = 8192
FilterSramSzkB = 8192
OfmapSramSzkB = 8192
IfmapOffset = 0
FilterOffset = 100000000
OfmapOffset = 200000000
Dataflow = {dataflow}
Bandwidth = 32
ReadRequestBuffer = 32
WriteRequestBuffer = 32

[layout]
IfmapCustomLayout = False
IfmapSRAMBankBandwidth = 10
IfmapSRAMBankNum = 10
IfmapSRAMBankPort = 2
FilterCustomLayout = False
FilterSRAMBankBandwidth = 10
FilterSRAMBankNum = 10
FilterSRAMBankPort = 2

[sparsity]
SparsitySupport = false
"""
CONVOLUTIONS = (
    "layer, ifmap height, ifmap width, filter height, filter width, channels, filters, stride,"
)
PRODUCTS = "layer, M, N, K,"
DATAFLOWS = {
    "weight-stationary": "ws",
    "output-stationary": "os",
    "input-stationary": "is",
}
# Traces of all accesses are not saved.
RUN = """\
from scalesim.scale_sim import scalesim
scalesim(save_disk_space=True, verbose=False, config="scale.cfg", topology="topology.csv",
         layout="layout.csv", input_type_gemm={gemm}).run_scale(top_path="out")
"""


def missing(python):
    """Say in one sentence why SCALE-Sim cannot be run, or return None."""
    if python is None:
        return f"SCALE-Sim was not run: no --scalesim-python was given ({REMEDY})."
    probe = "from importlib.metadata import version; print(version('scalesim'))"
    try:
        found = subprocess.run([python, "-c", probe], capture_output=True, text=True)
    except OSError as error:
        return f"SCALE-Sim was not run: {python} does not start: {error.strerror}."
    if found.returncode:
        return f"SCALE-Sim was not run: {python} has no SCALE-Sim ({REMEDY})."
    if found.stdout.strip() != SCALE_SIM:
        return f"SCALE-Sim was not run: {python} has {found.stdout.strip()}, not {SCALE_SIM}."
    return None


def can_run(row):
    """Whether SCALE-Sim has such layers: convolutions with one stride and without dilation."""
    return "map" in row and len(set(row["strides"])) == 1 and row["dilations"] == [1, 1]


def run(python, size, row):
    """Run SCALE-Sim on a group of a layer, a row of ``per_layer``; cycles of all its groups."""
    channels, height, width = row["map"]
    shape = (height, width, *row["kernel"], channels, row["n"], row["strides"][0])
    found, cost = run_shapes(python, (size, size), "weight-stationary", [shape], gemm=False)
    return {"cycles": row["groups"] * found[0], **cost}


def run_layers(python, size, dataflow, *, layers=(), gemms=()):
    """Cycles of layers (name, map, kernel, stride, channels, filters) or products (m, n, k)."""
    shapes = [(size, size, k, k, c, f, s) for _, size, k, s, c, f in layers] or gemms
    return run_shapes(python, size, dataflow, shapes, gemm=bool(gemms))[0]


def run_shapes(python, size, dataflow, shapes, *, gemm):
    """Cycles of each layer (map, kernel, channels, filters, stride; or m, n, k), and the cost."""
    rows, cols = size
    lines = [f"layer{k}, {', '.join(map(str, shape))}," for k, shape in enumerate(shapes)]
    texts = {
        "scale.cfg": CONFIG.format(rows=rows, cols=cols, dataflow=DATAFLOWS[dataflow]),
        "layout.csv": "layer,\n",
        "topology.csv": "\n".join([PRODUCTS if gemm else CONVOLUTIONS, *lines]) + "\n",
    }
    with tempfile.TemporaryDirectory() as folder:
        for name, text in texts.items():
            (Path(folder) / name).write_text(text)
        # Not resolved: the link in an environment is what makes it that environment's Python.
        command = [Path(shutil.which(python)).absolute(), "-c", RUN.format(gemm=gemm)]
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
            sys.exit(f"SCALE-Sim failed: {text.strip().splitlines()[-1:]}")
        report = Path(folder) / "out" / "run" / "COMPUTE_REPORT.csv"
        found = list(csv.DictReader(report.open(), skipinitialspace=True))
    if any(int(float(row["Stall Cycles"])) for row in found):
        sys.exit("SCALE-Sim waited for memory")
    cost = {
        "seconds": seconds,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "peak_memory_mib": round(usage.ru_maxrss / 1024),
    }
    return [int(float(row["Total Cycles"])) for row in found], cost
