"""Known networks on every device and on both accelerators: what fits, and why the rest does not.

Each network of `hwsim.networks`, with random int8 weights: estimated on all devices of the catalog
(FPGAs by the program of the systolic accelerator), compiled for a 32 x 32 array with the buffer
that it has unless told otherwise, and planned as a streaming pipeline for the smallest part of the
catalog that holds it, through whose RTL an image goes, every feature map compared with the
reference. ``--only`` measures some anew and keeps what is published of the others.
``--docs`` writes the tables in docs/networks.md instead.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

from hwsim import networks
from hwsim.blocks.streaming import Streaming
from hwsim.blocks.systolic.config import LARGEST_BUFFER, Systolic
from hwsim.blocks.systolic.timing import usual_memory
from hwsim.compiler.compile import compile_network
from hwsim.files import write_files
from hwsim.models import devices
from hwsim.models.estimate import estimate
from hwsim.models.quantization import random_integer_network
from hwsim.network import NetworkError
from hwsim.rtl.build import build
from hwsim.sim.simulate import simulate

from . import record

SIZE = 32
# One of each class, whose latency is shown.
SHOWN = ("i7-7700k", "gtx-1080-ti", "tpu-v1", "eyeriss", "alveo-u250")
FAMILIES = (
    "784-500-10-sigmoid",
    "784-500-10-tanh",
    "1x29x29-20C4-MP2-40C5-MP3-150N-10N",
    "48x48-100C3-MP2-200C2-MP2-300C2-MP2-400C2-MP2-500N-3755",
    "cifar10-7x256-7x256-7x256",
)
DOCUMENT = Path(__file__).parents[1] / "docs/networks.md"
PUBLISHED = Path(__file__).parents[1] / "reports/benchmarks/networks.json"


def all_networks():
    """Name to a function that makes the network."""
    names = (*networks.NAMES, *FAMILIES)
    return {name: lambda name=name: networks.network(name) for name in names}


def counts_table():
    """The table of docs/networks.md."""
    rows = []
    for name, make in all_networks().items():
        network = make()
        table = network.geometry()
        # The last maps that have more than one position.
        maps = [row for row in table.itertuples() if len(row.output_shape) == 4 and row.jump[0]]
        rows.append(
            [
                name,
                " x ".join(map(str, network.inputs[0].shape[1:])),
                int((table["macs"] > 0).sum()),
                network.params,
                network.macs,
                int(table["dense_macs"].sum()),
                maps[-1].receptive_field[0] if maps else None,
                maps[-1].jump[0] if maps else None,
            ]
        )
    heads = ["network", "input", "layers", "parameters", "MACs", "MACs if dense"]
    return record.table([*heads, "receptive field", "jump"], rows)


def accelerators_table(results):
    """For each network the array and the pipeline that it compiles to, or why there is none."""
    rows = []
    for r in results:
        array, pipeline = r["systolic"], r["streaming"]
        on_array = f"{array['cycles']:,} cycles" if array["fits"] else f"no: {array['why']}"
        if pipeline["fits"]:
            streaming = f"{pipeline['interval']:,} cycles per image on {pipeline['part']}"
        else:
            streaming = f"no: {pipeline['why']}"
        rows.append([r["network"], on_array, streaming])
    return record.table(["network", f"{SIZE} x {SIZE} array", "streaming pipeline"], rows)


def published():
    """Results by network, as they are published."""
    results = json.loads(PUBLISHED.read_text(encoding="utf-8"))["results"]
    return {result["network"]: result for result in results}


def document(text):
    """``text`` of docs/networks.md with the tables as they are now."""
    tables = {"counts": counts_table(), "accelerators": accelerators_table(published().values())}
    for name, table in tables.items():
        begin = f"<!-- {name}: begin, by python -m benchmarks.networks --docs -->"
        end = f"<!-- {name}: end -->"
        before, rest = text.split(begin)
        _, after = rest.split(end)
        text = f"{before}{begin}\n{table}\n{end}{after}"
    return text


def weight_bits(network):
    """Bits of the weights of an integer network, all of which a pipeline holds on chip."""
    layers = [layer for layer in network.layers if hasattr(layer, "weight_bits")]
    return sum(layer.weights.size * layer.weight_bits for layer in layers)


def parts():
    """FPGAs, from the one with the least block RAM: (name, DSPs, bits of block RAM)."""
    found = []
    for name in devices.names():
        device = devices.load(name)
        if device.device_class == "fpga":
            bits = int(device["block_rams"] * device["block_ram_size"] * 8)
            found.append((name, int(device["dsps"]), bits))
    return sorted(found, key=lambda part: part[2])


def stream(network):
    """The pipeline for the smallest part that holds it, or why there is none."""
    bits = weight_bits(network)
    if why := too_large(bits):
        return {"fits": False, "why": why}
    for part, dsps, holds in parts():
        if bits > holds or not dsps:
            continue
        try:
            design = build(network, Streaming(multipliers=dsps))
        except NetworkError as error:
            return {"fits": False, "why": str(error)}
        except ValueError as error:  # fewer than it works with at all
            why = str(error)
            continue
        return {
            "fits": True,
            "part": part,
            "multipliers": design.plan.multipliers,
            "interval": design.plan.interval,
            **through_rtl(design),
        }
    return {"fits": False, "why": why}


def through_rtl(design):
    """A random image through the pipeline, cycle by cycle."""
    image = design.network.input
    low, high = (-128, 128) if image.signed else (0, 256)
    codes = np.random.default_rng(0).integers(low, high, (1, *image.shape))
    result = simulate(design, codes.astype(np.int8 if image.signed else np.uint8))
    return {
        "planned_cycles": design.plan.cycles(1),
        "cycles": result.cycles,
        "values": int(result.layers["values"].sum()),
        "mismatches": result.mismatches,
        "simulation_seconds": result.seconds,
    }


def too_large(bits):
    """Why so many bits of weights fit no part, or an empty text."""
    *_, (largest, _, room) = parts()
    if bits <= room:
        return ""
    return f"{bits:,} bits of weights; {largest}, the largest part, has {room:,} bits of block RAM"


def on_array(network):
    """The program for the array, with the default buffer or the smallest that works."""
    buffer, why = Systolic(rows=SIZE, cols=SIZE).buffer_bytes, ""
    while True:
        config = Systolic(rows=SIZE, cols=SIZE, buffer_bytes=buffer)
        try:
            program = compile_network(network, config)
        except NetworkError as error:
            return {"fits": False, "why": str(error)}, None
        except ValueError as error:
            why = why or str(error)
            buffer *= 2
            if buffer > LARGEST_BUFFER:
                return {"fits": False, "why": why}, None
            continue
        cycles = program.timing(usual_memory(config)).cycles
        macs = sum(
            layer.weights[0].size * layer.weights.shape[0] * _positions(network, layer)
            for layer in network.layers
            if hasattr(layer, "weights")
        )
        result = {"fits": True, "buffer_bytes": buffer, "cycles": cycles, "macs": macs, "why": why}
        return {**result, "utilization": macs / cycles / SIZE**2}, program


def _positions(network, layer):
    _, height, width = network.tensors[layer.output].shape
    return height * width


def measure(name, make):
    """Everything about one network."""
    started = time.perf_counter()
    network = make()
    integer = random_integer_network(network)
    found = {"network": name, "params": network.params, "macs": network.macs}
    found["systolic"], program = on_array(integer)
    found["streaming"] = stream(integer)
    latency = {}
    for device in map(devices.load, devices.names()):
        design = program if device.device_class == "fpga" else None
        if device.device_class == "fpga" and design is None:
            continue
        (entry,) = estimate(network, [device], design=design)
        latency[device.name] = entry.latency_s
    found["latency_s"] = latency
    found["seconds"] = time.perf_counter() - started
    return found


def report(facts, results):
    """The published text."""
    rows = [
        [
            r["network"],
            r["systolic"].get("buffer_bytes"),
            r["systolic"].get("cycles"),
            f"{r['systolic']['utilization']:.0%}" if r["systolic"]["fits"] else None,
            r["streaming"].get("part"),
            r["streaming"].get("multipliers"),
            r["streaming"].get("interval"),
        ]
        for r in results
    ]
    heads = ["network", "buffer, bytes", "cycles", "useful", "pipeline on", "multipliers"]
    accelerators = record.table([*heads, "cycles per image"], rows)
    times = record.table(
        ["network", *(f"{name}, ms" for name in SHOWN)],
        [[r["network"], *(f"{r['latency_s'][name] * 1e3:.3g}" for name in SHOWN)] for r in results],
    )
    pipelines = [(r["network"], r["streaming"]) for r in results if r["streaming"]["fits"]]
    simulated = record.table(
        ["network", "planned cycles", "cycles", "values compared", "differ", "simulation, s"],
        [
            [
                name,
                *(pipeline[key] for key in ("planned_cycles", "cycles", "values", "mismatches")),
                f"{pipeline['simulation_seconds']:.1f}",
            ]
            for name, pipeline in pipelines
        ],
    )
    reasons = [
        f"- {r['network']}, {kind}: {r[kind]['why']}."
        for kind in ("systolic", "streaming")
        for r in results
        if r[kind].get("why")
    ]
    devices_each = sorted({len(r["latency_s"]) for r in results})
    return f"""# Known networks on accelerators and devices

By `python -m benchmarks.networks`; counts, beside published ones, stand in
[docs/networks.md](../../docs/networks.md).
Random int8 weights. {describe_devices(devices_each)}

## Accelerators
A {SIZE} x {SIZE} systolic array with a buffer of {Systolic().buffer_bytes:,} bytes, or the smallest
with which the network compiles; and a streaming pipeline on the smallest part of the catalog whose
block RAM holds the weights and whose DSPs are enough, as fast as these allow.

{accelerators}

Why not, or not with the buffer of {Systolic().buffer_bytes:,} bytes:

{chr(10).join(reasons)}

## Pipelines at RTL
One random image through each pipeline, on the compiled engine, one lane; preparation is part of the
time.

{simulated}

## Estimates
Latency of one image, in the data type that each device has for float networks. On the FPGA the
program above runs, at the clock that the device file assumes, whether or not the array fits it.

{times}

{record.describe(facts)}
"""


def describe_devices(counts):
    """How many devices each network is estimated on."""
    text = " or ".join(map(str, counts))
    return f"Each is estimated on {text} of the {len(devices.names())} devices of the catalog."


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--report", metavar="DIR", type=Path)
    parser.add_argument("--docs", action="store_true")
    parser.add_argument("--only", action="append", metavar="NAME")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.docs:
        text = document(DOCUMENT.read_text(encoding="utf-8"))
        write_files(DOCUMENT.parent, {DOCUMENT.name: text})
        return
    command = "python -m benchmarks.networks"
    command += f" --report {arguments.report}" if arguments.report else ""
    facts = record.conditions(command)
    results = []
    for name, make in all_networks().items():
        if arguments.only and name not in arguments.only:
            results.append(published()[name])
            continue
        results.append(measure(name, make))
        print(json.dumps(results[-1]), file=sys.stderr, flush=True)
    text = report(facts, results)
    if arguments.report:
        record.write(arguments.report, "networks", {**facts, "results": results}, text)
    print(json.dumps({**facts, "results": results}) if arguments.json else text)


if __name__ == "__main__":
    main()
