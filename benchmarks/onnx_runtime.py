"""ONNX Runtime's times of known networks beside those that the calibrated model predicts.

Calibrates this machine's processor, runs every network with random weights, and writes the device
and the times where `hwsim.validation.cpu` reads them. Nothing else should run meanwhile; where that
cannot be had, ``--processor-time`` measures one thread by the time that it had a core.
"""

import argparse
import csv
import io
import os
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from benchmarks.record import conditions
from hwsim.files import write_files
from hwsim.models.calibrate import calibrate_cpu
from hwsim.network.random_weights import random_images, with_random_weights
from hwsim.network.save import to_onnx
from hwsim.validation import cpu

DATA = Path(cpu.__file__).parent / "data"
THREADS, BATCHES = (1, 2), (1, 8)
FEWEST_RUNS, MOST_RUNS = 5, 300


def batched(network, batch):
    """The network as an ONNX model for a batch, with random weights."""
    model = to_onnx(with_random_weights(network))
    graph = model.graph
    del graph.value_info[:]
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = batch
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Reshape":
            shape = constants[node.input[1]]
            sizes = onnx.numpy_helper.to_array(shape).copy()
            if sizes[0] == 1:
                sizes[0] = batch
            shape.CopyFrom(onnx.numpy_helper.from_array(sizes, shape.name))
    return model


def times(model, feed, threads, seconds, clock=time.perf_counter):
    """Milliseconds of each run."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    session.run(None, feed)
    found = []
    end = time.perf_counter() + seconds
    while len(found) < FEWEST_RUNS or (time.perf_counter() < end and len(found) < MOST_RUNS):
        start = clock()
        session.run(None, feed)
        found.append(1e3 * (clock() - start))
    return found


def main():
    """Measure, write, and print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="for each point")
    parser.add_argument("--calibration", type=float, default=30.0, help="seconds")
    parser.add_argument("--processor-time", action="store_true", help="one thread, shared machine")
    parser.add_argument("-o", "--output", type=Path, default=DATA)
    arguments = parser.parse_args()
    facts = conditions("python -m benchmarks.onnx_runtime")
    device = arguments.output / cpu.DEVICE
    calibrate_cpu(device, seconds=arguments.calibration)
    clock = time.process_time if arguments.processor_time else time.perf_counter
    rows = []
    for name in cpu.LIGHT:
        network = cpu.light(name)
        for batch in BATCHES:
            model = batched(network, batch).SerializeToString()
            feed = {network.inputs[0].name: random_images(network, batch)}
            for threads in THREADS[:1] if arguments.processor_time else THREADS:
                if threads > (os.cpu_count() or 1):
                    continue
                found = times(model, feed, threads, arguments.seconds, clock)
                median, least = np.median(found), min(found)
                rows.append((name, batch, threads, f"{median:.3f}", f"{least:.3f}", len(found)))
                print(*rows[-1], flush=True)
    kind = "processor time of the thread" if arguments.processor_time else "as clocks show them"
    text = io.StringIO()
    text.write(
        f"# {facts['cpu']}, {facts['cores']} cores, load {facts['load_at_start']} at the start; "
        f"ONNX Runtime {onnxruntime.__version__}, fp32, all graph optimizations, random weights.\n"
        f"# Milliseconds of a batch, {kind}, by benchmarks/onnx_runtime.py.\n"
    )
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("network", "batch", "threads", "median_ms", "fastest_ms", "runs"))
    writer.writerows(rows)
    write_files(arguments.output, {cpu.TIMES: text.getvalue()})
    if arguments.output.resolve() == DATA.resolve():
        check = cpu.cpu_networks()
        points = check.points.assign(
            error_percent=100 * (check.points["predicted"] / check.points["measured"] - 1)
        )
        print(points.round(2).to_string(index=False))
        print(check.summary().round(1).to_string(index=False))


if __name__ == "__main__":
    main()
