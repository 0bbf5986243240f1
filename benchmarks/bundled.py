"""The bundled networks as streaming pipelines: useful multipliers, cycles, speed, memory.

For several targets, each network is planned, written as Verilog and simulated with three images
back to back, all feature maps compared with the reference. Utilization is end to end and measured:
useful multiply-accumulates per image over multipliers times the simulated interval. Each network
runs in a process of its own, so that the peak of memory is its own. At the end, ``hwsim demo``.
"""

import argparse
import json
import multiprocessing
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from . import record

NETWORKS = ("lenet5", "digits")
DEMO_TARGET = 4096  # cycles per image, as in `hwsim.demo`
TARGETS = (1024, 2048, DEMO_TARGET, 8192)
IMAGES = 3
REPEATS = 3
ASKED = 0.80  # of the multipliers' cycles, by issue 2
FPGA = "zu9eg"  # any FPGA: cycles do not depend on its clock


def measure(name):
    """All targets of one network; run it in a new process."""
    import hwsim
    from hwsim.data import bundled
    from hwsim.images import load_images

    network = hwsim.load(bundled(f"{name}/{name}.onnx"))
    source = bundled(f"{name}/images.npz")
    shape = network.inputs[0].shape[1:]
    calibration = load_images(source, shape, key="calibration").images
    images = load_images(source, shape)[:IMAGES].images
    quantized = hwsim.quantize(network, calibration=calibration)
    rows = []
    for target in TARGETS:
        print(f"{name}, {target} cycles per image", file=sys.stderr)
        rows.append(measure_target(quantized, images, target))
    return {
        "macs": network.macs,
        "targets": rows,
        "peak_memory_mib": max(
            mebibytes(resource.getrusage(who))
            for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        ),
    }


def measure_target(quantized, images, target):
    """One pipeline; what takes time is repeated for the demo's target."""
    import hwsim

    repeats = REPEATS if target == DEMO_TARGET else 1
    seconds = {"plan": [], "verilog": [], "simulate": [], "simulate_cpu": []}
    for _ in range(repeats):
        begin = time.perf_counter()
        design = hwsim.build(quantized, hwsim.Streaming(cycles_per_image=target))
        planned_interval = design.plan.interval
        planned = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            design.write_verilog(folder)
        written = time.perf_counter()
        busy = time.process_time()
        result = hwsim.simulate(design, images)
        seconds["simulate_cpu"].append(time.process_time() - busy)
        seconds["plan"].append(planned - begin)
        seconds["verilog"].append(written - planned)
        seconds["simulate"].append(result.seconds)
    plan = design.plan
    first, out = (result.recording.transfers[port].cycles for port in ("i", "o"))
    ends = out.reshape(len(images), -1)[:, -1] - first[0] + 1
    # The last image may be quicker than the others, for nothing follows it.
    interval = int(max(ends[1:] - ends[:-1]))
    estimate = hwsim.estimate(quantized, devices=FPGA, design=design, batch=len(images))[FPGA]
    return {
        "target_cycles": target,
        "multipliers": plan.multipliers,
        "interval_cycles": interval,
        "planned_interval_cycles": planned_interval,
        "cycles": result.cycles,
        "planned_cycles": design.cycles(len(images)),
        "estimated_cycles": estimate.cycles,
        "latency_cycles": int(ends[0]),
        "utilization": plan.macs / (plan.multipliers * interval),
        "mismatches": result.mismatches,
        "lines": design.verilog.lines,
        "repeats": repeats,
        "plan_seconds": statistics.median(seconds["plan"]),
        "verilog_seconds": statistics.median(seconds["verilog"]),
        "simulated_cycles_per_second": result.cycles / statistics.median(seconds["simulate"]),
        "simulated_cycles_per_cpu_second": result.cycles
        / statistics.median(seconds["simulate_cpu"]),
    }


def measure_demo():
    """Run ``hwsim demo``: wall time, and the largest process's peak of memory."""
    print("hwsim demo", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "hwsim", "demo", "--json", "--output", folder]
        begin = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            output = process.stdout.read()
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - begin
    if process.returncode:
        sys.exit(f"hwsim demo left with exit status {process.returncode}")
    facts = json.loads(output)
    return {
        "images": facts["images"],
        "mismatches": facts["mismatches"],
        "seconds": seconds,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_memory_mib": mebibytes(usage),
    }


def mebibytes(usage):
    """The peak of memory in MiB, of what Linux gives in KiB."""
    return round(usage.ru_maxrss / 1024)


def pipelines(networks):
    """Table of cycles and multipliers."""
    heads = [
        "network",
        "target",
        "multipliers",
        "interval",
        "planned",
        "latency",
        f"{IMAGES} images",
        "planned",
        "SimPy",
        "useful",
        "differ",
    ]
    rows = [
        [
            name,
            row["target_cycles"],
            row["multipliers"],
            row["interval_cycles"],
            row["planned_interval_cycles"],
            row["latency_cycles"],
            row["cycles"],
            row["planned_cycles"],
            row["estimated_cycles"],
            f"{row['utilization']:.1%}",
            row["mismatches"],
        ]
        for name, facts in networks.items()
        for row in facts["targets"]
    ]
    return record.table(heads, rows)


def costs(networks):
    """Table of what hwsim itself takes."""
    heads = [
        "network",
        "target",
        "lines",
        "plan s",
        "Verilog s",
        "cycles/s",
        "cycles/CPU s",
        "runs",
        "MiB",
    ]
    rows = [
        [
            name,
            row["target_cycles"],
            row["lines"],
            f"{row['plan_seconds']:.2f}",
            f"{row['verilog_seconds']:.1f}",
            round(row["simulated_cycles_per_second"]),
            round(row["simulated_cycles_per_cpu_second"]),
            row["repeats"],
            facts["peak_memory_mib"],
        ]
        for name, facts in networks.items()
        for row in facts["targets"]
    ]
    return record.table(heads, rows)


def summary(results):
    """Both tables, the demo, and what was asked for."""
    found = {
        name: row["utilization"]
        for name, facts in results["networks"].items()
        for row in facts["targets"]
        if row["target_cycles"] == DEMO_TARGET
    }
    verdicts = [
        f"{name} {u:.1%} ({'reached' if u >= ASKED else 'missed'})" for name, u in found.items()
    ]
    demo = results["demo"]
    return f"""{pipelines(results["networks"])}

{costs(results["networks"])}

Asked for: at least {ASKED:.0%} of the multipliers' cycles useful at the demo's target of
{DEMO_TARGET:,} cycles per image. Found: {", ".join(verdicts)}.

`hwsim demo`: {demo["images"]} images, {demo["seconds"]:.0f} s, {demo["cpu_seconds"]:.0f} s of CPU;
{demo["mismatches"]} values differ from the reference; peak of memory {demo["peak_memory_mib"]} MiB.
"""


def document(results, facts):
    """The Markdown page."""
    return f"""# The bundled networks as streaming pipelines

{summary(results)}
- Cycles are simulated, {IMAGES} images back to back: the interval is the longest between two
  results, the latency that of the first image. "Planned" is what the pipeline's plan says before
  any simulation (`hwsim.blocks`), "SimPy" the model of `hwsim.models.dataflow`. "Useful" is
  measured: multiply-accumulates of the network per image, over multipliers times the simulated
  interval. "Differ" counts values of all feature maps that are not the reference's.
- Seconds and cycles/s (Amaranth's simulator, with all feature maps watched) are medians of so many
  runs. Memory is the peak of the largest process, be it Python, which worked through all targets
  of the network, or Yosys. The demo includes no installation.

{record.describe(facts)}
"""


def main():
    """Measure, print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.bundled", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--report", type=Path, metavar="DIR", help="write bundled.json, bundled.md")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    command = "python -m benchmarks.bundled"
    command += " --report reports/benchmarks" if arguments.report else ""
    facts = record.conditions(command)
    results = {"networks": {}}
    for name in NETWORKS:
        # Started afresh: a forked process would begin with this one's peak.
        fresh = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=fresh) as pool:
            results["networks"][name] = pool.submit(measure, name).result()
    results["demo"] = measure_demo()
    everything = {"conditions": facts, "results": results}
    if arguments.report:
        record.write(arguments.report, "bundled", everything, document(results, facts))
    print(json.dumps(everything) if arguments.json else summary(results))


if __name__ == "__main__":
    main()
