"""Generate the comparison network with NNgen, simulate one frame, print one JSON object.

Runs in an environment of its own that holds NNgen (``pip install nngen==1.3.4``) and knows nothing
of hwsim; `benchmarks/nngen_network.py` calls it. Needs Icarus Verilog.

The network: convolution 3 x 3 (3 to 16 channels, same padding) and ReLU on 32 x 32 x 3, max pooling
2 x 2, dense to 10 outputs; int8 activations and weights, int32 biases, an int8 scale per channel.
Two channels in and two out at a time take 3 * 3 * 2 * 2 = 36 multipliers for the convolution and
4 for the dense layer. Weights and image come from a fixed seed; cycles do not depend on them.
Cycles count from the write to the start register until the busy register reads zero. The memory is
the 32-bit model of NNgen's own examples, which answers after 10 cycles and pauses 4 cycles after
every 16; an ideal one answers at once and never pauses. The outputs in memory must equal those of
NNgen's software model.
"""

import argparse
import contextlib
import io
import json
import re
import sys
import time
from pathlib import Path

import nngen
import numpy as np
import veriloggen
from veriloggen import simulation
from veriloggen.thread import AXIMLite, Thread
from veriloggen.types.axi import AxiMemoryModel, set_memory

SEED = 2
TOP = "nngen_network"
PARALLEL = 2  # channels in, and channels out, of both layers with weights
CHUNK_BYTES = 64
AXI_BITS = 32
MEMORY_WORDS = 1 << 18
IDEAL_MEMORY = {"read_delay": 1, "write_delay": 1, "sleep_interval": 0}
TIME_LIMIT = 10_000_000  # ten units to a cycle


def parameters(generator, name, shape):
    """Draw int8 weights, int32 biases and int8 scales for ``shape[0]`` output channels."""
    values = {
        "weight": (nngen.int8, generator.integers(-127, 128, shape)),
        "bias": (nngen.int32, generator.integers(-500, 501, shape[:1])),
        "scale": (nngen.int8, generator.integers(64, 128, shape[:1])),
    }
    variables = {}
    for kind, (dtype, value) in values.items():
        variables[kind] = nngen.variable(dtype=dtype, shape=value.shape, name=f"{name}_{kind}")
        variables[kind].set_value(value)
    return variables


def build(generator):
    """Describe the network in NNgen's operators; returns its input and its output."""
    image = nngen.placeholder(dtype=nngen.int8, shape=(1, 32, 32, 3), name="image")
    conv = parameters(generator, "conv", (16, 3, 3, 3))
    dense = parameters(generator, "dense", (10, 16 * 16 * 16))
    features = nngen.conv2d(
        image,
        conv["weight"],
        strides=(1, 1, 1, 1),
        bias=conv["bias"],
        scale=conv["scale"],
        act_func=nngen.relu,
        padding="SAME",
        dtype=nngen.int8,
        sum_dtype=nngen.int32,
    )
    pooled = nngen.max_pool_serial(features, ksize=(1, 2, 2, 1), strides=(1, 2, 2, 1))
    scores = nngen.matmul(
        nngen.reshape(pooled, [1, -1]),
        dense["weight"],
        bias=dense["bias"],
        scale=dense["scale"],
        transposed_b=True,
        dtype=nngen.int8,
        sum_dtype=nngen.int32,
        name="scores",
    )
    # Shifts that bring sums of this size back into eight bits.
    features.attribute(par_ich=PARALLEL, par_och=PARALLEL, cshamt_out=15)
    pooled.attribute(par=PARALLEL)
    scores.attribute(par_ich=PARALLEL, par_och=PARALLEL, cshamt_out=20)
    return image, scores


def align(address):
    """Round up to a multiple of ``CHUNK_BYTES``."""
    return -(-address // CHUNK_BYTES) * CHUNK_BYTES


def bench(core, image, scores, pixels, folder, ideal_memory):
    """Put the core between a memory model (master port) and a controller (slave port)."""
    parameter_bytes = nngen.export_ndarray([scores], CHUNK_BYTES)
    parameters_at = align(image.addr + image.memory_size)
    scratch = align(parameters_at + len(parameter_bytes))
    content = np.zeros(MEMORY_WORDS, dtype=np.int64)
    set_memory(content, pixels, 32, 8, image.addr, AXI_BITS // 8)
    set_memory(content, parameter_bytes, 32, 8, parameters_at)

    top = veriloggen.Module("bench")
    top.copy_params(core)
    ports = top.copy_sim_ports(core)
    clock, reset_n = ports["CLK"], ports["RESETN"]
    reset = top.Wire("RST")
    reset.assign(veriloggen.Not(reset_n))
    memory = AxiMemoryModel(
        top,
        "memory",
        clock,
        reset,
        datawidth=AXI_BITS,
        memimg=content,
        memimg_name=str(folder / "memory.hex"),
        memimg_datawidth=32,
        **(IDEAL_MEMORY if ideal_memory else {}),
    )
    memory.connect(ports, "maxi")
    control = AXIMLite(top, "control", clock, reset, noio=True)
    control.connect(ports, "saxi")
    now = top.Reg("now", 32, initval=0)
    veriloggen.Seq(top, "count", clock, reset)(now.inc())

    def run():  # veriloggen reads this function's source and makes a state machine of it
        for _ in range(100):  # as in NNgen's examples; the memory's pauses make the start matter
            pass
        nngen.sim.set_global_addrs(control, scratch)
        begin = now.value
        nngen.sim.start(control)
        nngen.sim.wait(control)
        end = now.value
        print(f"cycles {end - begin}")
        for index in range(10):
            value = memory.read_word(index, scores.addr, 8)
            print(f"score {value}")
        veriloggen.thread.finish()

    Thread(top, "run", clock, reset, run).start()
    top.Instance(core, "core", params=top.connect_params(core), ports=top.connect_ports(core))
    simulation.setup_clock(top, clock, hperiod=5)
    start = simulation.setup_reset(top, reset_n, top.make_reset(), period=100, polarity="low")
    start.add(veriloggen.Delay(TIME_LIMIT), veriloggen.Systask("finish"))
    return top


def main():
    """Generate, simulate, report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help=f"an existing folder, for {TOP}.v and more")
    parser.add_argument("--ideal-memory", action="store_true", help="no latency, no pauses")
    arguments = parser.parse_args()
    folder = arguments.folder
    generator = np.random.default_rng(SEED)
    begin = time.perf_counter()
    image, scores = build(generator)
    pixels = generator.integers(-127, 128, image.shape)
    chatter = io.StringIO()
    with contextlib.redirect_stdout(chatter):
        expected = nngen.eval([scores], image=pixels)[0].reshape(-1).tolist()
        core = nngen.to_veriloggen([scores], TOP, silent=True, config={"maxi_datawidth": AXI_BITS})
        (folder / f"{TOP}.v").write_text(core.to_verilog())
        generated = time.perf_counter()
        top = bench(core, image, scores, pixels, folder, arguments.ideal_memory)
        text = simulation.Simulator(top, sim="iverilog").run(outputfile=str(folder / "bench.out"))
    cycles = re.search(r"^cycles\s+(\d+)", text, re.MULTILINE)
    if not cycles:
        sys.exit(f"NNgen's simulation did not come to its end; it printed: {text[-500:]}")
    found = [int(code) for code in re.findall(r"^score\s+(-?\d+)", text, re.MULTILINE)]
    found = [(code + 128) % 256 - 128 for code in found]
    if found != expected:
        sys.exit(f"NNgen's hardware gives {found}, its software model {expected}")
    facts = {
        "version": nngen.__version__,
        "top": TOP,
        "cycles_per_image": int(cycles[1]),
        "outputs": found,
        "generate_seconds": round(generated - begin, 1),
        "simulate_seconds": round(time.perf_counter() - generated, 1),
    }
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
