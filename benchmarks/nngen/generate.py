"""Generate the comparison network with NNgen 1.3.4, simulate one frame with Icarus Verilog, print one JSON object.

Runs in an environment of its own that holds NNgen (``pip install nngen==1.3.4``); it knows nothing of hwsim.
`benchmarks/nngen_network.py` calls it. The network: convolution 3 x 3 (3 to 16 channels, same padding) and ReLU on
32 x 32 x 3, max pooling 2 x 2, dense to 10 outputs; int8 activations and weights, int32 biases, one int8 scale per
channel. Weights and image are drawn from a fixed seed: neither cycles nor structure depend on them. The frame's
outputs in memory are compared with NNgen's own software model.
"""

import argparse
import contextlib
import io
import json
import os
import re
import sys
import time

import nngen
import numpy as np
import veriloggen
from veriloggen import simulation
from veriloggen.thread import AXIMLite, Thread
from veriloggen.types.axi import AxiMemoryModel, set_memory

SEED = 2
CHUNK_BYTES = 64
AXI_BITS = 32
MEMORY_WORDS = 1 << 18
TIME_LIMIT = 10_000_000


def weighted(generator, name, shape):
    """int8 weights, int32 biases and int8 scales for ``shape[0]`` output channels."""
    values = {
        "weight": (nngen.int8, shape, generator.integers(-127, 128, shape)),
        "bias": (nngen.int32, shape[:1], generator.integers(-500, 501, shape[0])),
        "scale": (nngen.int8, shape[:1], generator.integers(64, 128, shape[0])),
    }
    variables = {}
    for kind, (dtype, size, value) in values.items():
        variables[kind] = nngen.variable(dtype=dtype, shape=size, name=f"{name}_{kind}")
        variables[kind].set_value(value.astype(np.int64))
    return variables


def build(generator, *, conv_parallel, dense_parallel):
    """The network as NNgen operators; ``*_parallel`` are (channels in, channels out). Returns input and output."""
    image = nngen.placeholder(dtype=nngen.int8, shape=(1, 32, 32, 3), name="image")
    conv = weighted(generator, "conv", (16, 3, 3, 3))
    dense = weighted(generator, "dense", (10, 16 * 16 * 16))
    features = nngen.conv2d(
        image, conv["weight"], strides=(1, 1, 1, 1), bias=conv["bias"], scale=conv["scale"], act_func=nngen.relu,
        padding="SAME", dtype=nngen.int8, sum_dtype=nngen.int32,
    )  # fmt: skip
    pooled = nngen.max_pool_serial(features, ksize=(1, 2, 2, 1), strides=(1, 2, 2, 1))
    scores = nngen.matmul(
        nngen.reshape(pooled, [1, -1]), dense["weight"], bias=dense["bias"], scale=dense["scale"], transposed_b=True,
        dtype=nngen.int8, sum_dtype=nngen.int32, name="scores",
    )  # fmt: skip
    features.attribute(par_ich=conv_parallel[0], par_och=conv_parallel[1], cshamt_out=15)
    pooled.attribute(par=conv_parallel[1])
    scores.attribute(par_ich=dense_parallel[0], par_och=dense_parallel[1], cshamt_out=17)
    return image, scores


def align(address):
    """The next address that is a multiple of ``CHUNK_BYTES``."""
    return -(-address // CHUNK_BYTES) * CHUNK_BYTES


def bench(core, image, scores, pixels, expected, output):
    """A Verilog test bench around the core: memory on the master port, a controller on the slave port."""
    parameters = nngen.export_ndarray([scores], CHUNK_BYTES)
    parameters_at = align(image.addr + image.memory_size)
    scratch = align(parameters_at + len(parameters))
    memory_image = np.zeros(MEMORY_WORDS, dtype=np.int64)
    set_memory(memory_image, pixels, 32, 8, image.addr, 4)
    set_memory(memory_image, parameters, 32, 8, parameters_at)

    top = veriloggen.Module("bench")
    top.copy_params(core)
    ports = top.copy_sim_ports(core)
    clock, reset_n = ports["CLK"], ports["RESETN"]
    reset = top.Wire("RST")
    reset.assign(veriloggen.Not(reset_n))
    memory = AxiMemoryModel(
        top, "memory", clock, reset, datawidth=AXI_BITS, memimg=memory_image,
        memimg_name=os.path.join(output, "memory.out"), memimg_datawidth=32,
    )  # fmt: skip
    memory.connect(ports, "maxi")
    control = AXIMLite(top, "control", clock, reset, noio=True)
    control.connect(ports, "saxi")
    now = top.Reg("now", 32, initval=0)
    veriloggen.Seq(top, "count", clock, reset)(now.inc())

    def run():  # veriloggen reads this function's source: it becomes a state machine
        for _ in range(100):
            pass
        nngen.sim.set_global_addrs(control, scratch)
        begin = now.value
        nngen.sim.start(control)
        nngen.sim.wait(control)
        end = now.value
        print("cycles %d" % (end - begin))
        for index in range(10):
            value = memory.read_word(index, scores.addr, 8)
            print("score %d" % value)
        veriloggen.thread.finish()

    Thread(top, "run", clock, reset, run).start()
    top.Instance(core, "core", params=top.connect_params(core), ports=top.connect_ports(core))
    simulation.setup_clock(top, clock, hperiod=5)
    simulation.setup_reset(top, reset_n, top.make_reset(), period=100, polarity="low").add(
        veriloggen.Delay(TIME_LIMIT), veriloggen.Systask("finish")
    )
    return top


def main():
    """Generate, simulate, report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", help="an existing folder for nngen.v and the simulation's files")
    parser.add_argument(
        "--conv",
        type=int,
        nargs=2,
        default=(2, 2),
        metavar=("IN", "OUT"),
        help="channels in parallel",
    )
    parser.add_argument(
        "--dense",
        type=int,
        nargs=2,
        default=(2, 2),
        metavar=("IN", "OUT"),
        help="channels in parallel",
    )
    arguments = parser.parse_args()
    generator = np.random.default_rng(SEED)
    start = time.perf_counter()
    image, scores = build(generator, conv_parallel=arguments.conv, dense_parallel=arguments.dense)
    pixels = generator.integers(-127, 128, image.shape).astype(np.int64)
    with contextlib.redirect_stdout(io.StringIO()):
        expected = nngen.eval([scores], image=pixels)[0].reshape(-1)
        core = nngen.to_veriloggen(
            [scores], "nngen_network", silent=True, config={"maxi_datawidth": AXI_BITS}
        )
        verilog = core.to_verilog()
    with open(os.path.join(arguments.output, "nngen.v"), "w") as file:
        file.write(verilog)
    generated = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        top = bench(core, image, scores, pixels, expected, arguments.output)
        text = simulation.Simulator(top, sim="iverilog").run(
            outputfile=os.path.join(arguments.output, "bench.out")
        )
    cycles = re.search(r"^cycles\s+(\d+)", text, re.MULTILINE)
    if not cycles:
        sys.exit(f"the simulation did not finish: {text[-500:]}")
    found = [
        (int(value) + 128) % 256 - 128
        for value in re.findall(r"^score\s+(-?\d+)", text, re.MULTILINE)
    ]
    print(
        json.dumps(
            {
                "nngen": nngen.__version__,
                "cycles": int(cycles[1]),
                "scores": found,
                "expected": expected.tolist(),
                "generate_seconds": generated - start,
                "simulate_seconds": time.perf_counter() - generated,
            }
        )
    )


if __name__ == "__main__":
    main()
