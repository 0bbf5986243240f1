"""Measurements of the systolic accelerator, each in a process of its own: `benchmarks.systolic`."""

import multiprocessing
import os
import resource
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from . import record

SEED = 0  # of the weights
IMAGE_SEED = 1
LATENCY = 20  # cycles from a request to memory to its answer, reads and writes


def apart(function, *arguments):
    """Call a function in a new process: a forked one would begin with this one's peak."""
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=fresh) as pool:
        return pool.submit(function, *arguments).result()


def peak_mib():
    """Peak so far of this process and, by itself, of the largest that it has started, in MiB."""
    usage = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return round(max(each.ru_maxrss for each in usage) / 1024)


def cpu_seconds():
    """Processor time of this process and of those that it has started."""
    return sum(os.times()[:4])


class TimedEngine:
    """The compiled engine, which notes how long it takes to be built and to run.

    Members
    -------
    build_s, build_cpu_s, run_s, run_cpu_s : float
    """

    def __call__(self, component, stimulus):
        """As `hwsim.sim.compiled_engine.run`, for one lane."""
        from hwsim.sim.compiled_engine import SLICE_CYCLES, Run

        begin, idle = time.perf_counter(), cpu_seconds()
        run = Run(component, stimulus)
        built, busy = time.perf_counter(), cpu_seconds()
        while not run.over:
            run.advance(SLICE_CYCLES)
        self.build_s, self.build_cpu_s = built - begin, busy - idle
        self.run_s = time.perf_counter() - built
        self.run_cpu_s = cpu_seconds() - busy
        return run.recording()


class Stopwatch:
    """Seconds and peaks of memory of one step after another."""

    def __init__(self):
        self.seconds, self.peaks = {}, {}
        self._last = time.perf_counter()

    def note(self, step):
        now = time.perf_counter()
        self.seconds[step], self.peaks[step] = now - self._last, peak_mib()
        self._last = now


def random_network(path):
    """Topology of a file with random int8 weights, and codes of a random image, (1, C, H, W)."""
    import hwsim
    from hwsim.models.quantization import random_integer_network
    from hwsim.network.random_weights import random_images

    topology = hwsim.load(path)
    network = random_integer_network(topology, SEED)
    image = random_images(topology, 1, IMAGE_SEED).reshape(1, *network.input.shape)
    return network, network.input.quantize(image)


def measure_network(path, size, buffer_bytes):
    """Compile a network, time it by the model, simulate one image, compare all feature maps."""
    import hwsim
    from hwsim.blocks.systolic.timing import Memory
    from hwsim.compiler import compile_network
    from hwsim.models.dataflow.systolic import layer_table
    from hwsim.models.reference import integer as reference
    from hwsim.sim.systolic import rounds

    # Nothing is to be found that was compiled before.
    os.environ["HWSIM_CACHE"] = ""
    config = hwsim.Systolic(rows=size, cols=size, buffer_bytes=buffer_bytes)
    watch = Stopwatch()
    network, codes = random_network(path)
    watch.note("quantize")
    program = compile_network(network, config)
    watch.note("compile")
    outstanding = config.outstanding
    memory = Memory(
        read_latency=LATENCY,
        write_latency=LATENCY,
        outstanding_reads=outstanding,
        outstanding_writes=outstanding,
    )
    timing = program.timing(memory)
    watch.note("model")
    engine = TimedEngine()
    options = {"latency": LATENCY, "threads": 1}
    maps, outputs, cycles, _, counters = rounds(program, codes, 1, engine, options)
    watch.note("simulate")
    expected = reference.run(network, codes)
    wrong = {
        name: int(np.count_nonzero(found != expected[name])) for name, found in maps.items()
    } | {
        f"{name}, in memory": int(np.count_nonzero(found != expected[name]))
        for name, found in outputs.items()
    }
    watch.note("check")
    table = layer_table(program, timing)
    layers = [
        row | shape(network, number)
        for row, number in zip(
            table.astype(object).where(table.notna(), None).to_dict("records"),
            (times.layer for times in timing.layers),
            strict=True,
        )
    ]
    return {
        "macs": sum(row["macs"] for row in layers),
        "layers": len(network.layers),
        "cycles": cycles[0],
        "model_cycles": timing.cycles,
        "utilization": utilization(program, timing, layers),
        "counters": counters,
        "instructions": len(program.instructions),
        "instruction_bytes": len(program.code),
        "memory_bytes": program.memory_bytes,
        "axi_bytes": config.axi_bytes,
        "seconds": watch.seconds
        | {
            "build": engine.build_s,
            "build_cpu": engine.build_cpu_s,
            "run": engine.run_s,
            "run_cpu": engine.run_cpu_s,
        },
        "peak_memory_mib": watch.peaks,
        "maps": len(maps),
        "values": sum(found.size for found in maps.values()),
        "mismatches": sum(wrong.values()),
        "per_layer": layers,
    }


def shape(network, number):
    """Matrix product that a layer is, for each of its groups: ``m`` pixels, ``k`` taps, ``n``."""
    layer = network.layers[number - 1] if number else None
    weights = getattr(layer, "weights", None)
    if weights is None:
        return {}
    groups = getattr(layer, "groups", 1)
    found = {
        "m": int(np.prod(network.tensors[layer.output].shape[1:])),
        "k": int(weights[0].size),
        "n": len(weights) // groups,
        "groups": groups,
    }
    if weights.ndim == 4:
        channels = network.tensors[layer.inputs[0]].shape[0]
        # Of the padded map, what the kernel reaches: strides may leave a rest.
        sides = [
            (pixels - 1) * stride + (taps - 1) * dilation + 1
            for pixels, taps, stride, dilation in zip(
                network.tensors[layer.output].shape[1:],
                weights.shape[2:],
                layer.strides,
                layer.dilations,
                strict=True,
            )
        ]
        found |= {
            "map": [channels // groups, *sides],
            "kernel": list(weights.shape[2:]),
            "strides": list(layer.strides),
            "dilations": list(layer.dilations),
        }
    return found


def utilization(program, timing, layers):
    """Useful MACs over elements times cycles: of everything, and of convolutions in two ways.

    ``span``: cycles from the first pixel that enters the array for the first convolution counted,
    to the last sum of the last one; without the first convolution, from that one's last sum. Waits
    for anything, pooling and additions between convolutions too, count. ``busy``: cycles of their
    folds alone, which leaves out waits but not what is empty at the edges.
    """
    elements = program.config.rows * program.config.cols
    pairs = zip(layers, timing.layers, strict=True)
    convolutions = {times.layer: (row, times) for row, times in pairs if row["op"] == "Conv"}
    numbers = {layer: [] for layer in convolutions}
    for number, instruction in enumerate(program.instructions):
        if instruction.opcode.name == "CONVOLVE" and instruction.layer in numbers:
            numbers[instruction.layer].append(number)

    def begin(layer):
        return int(timing.started[numbers[layer]].min())

    def end(layer):
        return int(timing.done[numbers[layer]].max()) + 1

    def over(counted, first_cycle):
        rows, times = zip(*(convolutions[layer] for layer in counted), strict=True)
        macs = sum(row["macs"] for row in rows)
        cycles = {
            "span": max(map(end, counted)) - first_cycle,
            "busy": sum(each.busy for each in times),
        }
        return {
            "macs": macs,
            "memory_cycles": sum(each.stalls["weights"] + each.stalls["read"] for each in times),
            **{f"{name}_cycles": count for name, count in cycles.items()},
            **{name: macs / (count * elements) for name, count in cycles.items()},
        }

    first, *others = convolutions
    shares = {
        "network": sum(row["macs"] for row in layers) / (timing.cycles * elements),
        "convolutions": over([*convolutions], begin(first)),
    }
    if others:
        shares["without_first"] = over(others, min(end(first), *map(begin, others)))
    return shares


def measure_trained(name, images_of, size, count):
    """A trained network on its test images: accuracy and mismatches at RTL."""
    import hwsim
    from hwsim.data import bundled
    from hwsim.images import load_images

    os.environ["HWSIM_CACHE"] = ""
    network = hwsim.load(bundled(f"{name}/{name}.onnx"))
    source = bundled(f"{images_of}/images.npz")
    dimensions = network.inputs[0].shape[1:]
    calibration = load_images(source, dimensions, key="calibration").images
    test = load_images(source, dimensions)[:count]
    quantized = hwsim.quantize(network, calibration=calibration)
    design = hwsim.build(quantized, hwsim.Systolic(rows=size, cols=size))
    busy = cpu_seconds()
    result = hwsim.simulate(design, test.images, memory_latency=LATENCY)
    busy = cpu_seconds() - busy
    guesses = result.outputs.reshape(result.images, -1).argmax(axis=1)
    return {
        "images": result.images,
        "lanes": result.lanes,
        "cycles_per_image": result.cycles_per_image,
        "accuracy": float(np.mean(guesses == test.labels)),
        "mismatches": result.mismatches,
        "values": int(result.layers["values"].sum()),
        "maps": len(result.layers),
        "seconds": result.seconds,
        "cpu_s": busy,
        "peak_memory_mib": peak_mib(),
    }


def measure_verilog(size):
    """Lines of an accelerator's Verilog, seconds to write it, warnings of the Verilators here."""
    import hwsim
    from hwsim.rtl.systolic.design import AxiAccelerator
    from hwsim.rtl.verilog import convert

    from .nngen_network import lint, verilators

    top = f"systolic_{size}x{size}"
    begin, busy = time.perf_counter(), cpu_seconds()
    verilog = convert(AxiAccelerator(hwsim.Systolic(rows=size, cols=size)), top)
    seconds, busy = time.perf_counter() - begin, cpu_seconds() - busy
    with tempfile.TemporaryDirectory() as folder:
        sources = [path.name for path in verilog.write(folder) if path.suffix == ".v"]
        found = {
            version: lint(command, environment, folder, sources, top)
            for version, (command, environment) in verilators().items()
        }
    return {
        "lines": verilog.lines,
        "files": len(verilog.files),
        "seconds": seconds,
        "cpu_s": busy,
        "lint": found,
        "peak_memory_mib": peak_mib(),
    }


def topologies():
    """Folder of the topologies that the package ``onnx`` ships."""
    import onnx.backend.test

    return Path(onnx.backend.test.__file__).parent / "data" / "light"


def tool_versions():
    """Of the tools that are no part of `record.PACKAGES`."""
    from .nngen_network import verilators

    found = {"llvmlite": record.package_version("llvmlite"), "Verilator": ", ".join(verilators())}
    return {name: version for name, version in found.items() if version}
