"""Programs against the integer reference, and whether their waits suffice."""

import hashlib
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

import hwsim
from hwsim.blocks.systolic.config import Systolic
from hwsim.blocks.systolic.isa import Opcode, decode
from hwsim.blocks.systolic.timing import Memory
from hwsim.compiler import compile_network
from hwsim.models.quantization import random_integer_network
from hwsim.network.integer import Conv
from hwsim.network.network import NetworkError
from hwsim.validation.designs import Simulator
from tests.compiler.check import assert_equal_to_reference
from tests.compiler.hazards import hazards
from tests.compiler.networks import Builder, random_config, random_network

LIGHT = Path(onnx.__file__).parent / "backend/test/data/light"
TOPOLOGIES = (
    "bvlc_alexnet",
    "densenet121",
    "inception_v1",
    "inception_v2",
    "resnet50",
    "shufflenet",
    "squeezenet",
    "vgg19",
    "zfnet512",
)


def compiled(network, config):
    """A program; with the size that the refusal names, where the first one is too small."""
    try:
        return compile_network(network, config)
    except ValueError as refusal:
        name, size = re.fullmatch(
            r"(\w+) must be at least (\d+) for layer \w+, not \d+", str(refusal)
        ).groups()
        with pytest.raises(ValueError, match=f"{name} must be at least {size} for layer"):
            compile_network(network, replace(config, **{name: int(size) // 2}))
        return compiled(network, replace(config, **{name: int(size)}))


@pytest.mark.parametrize("first", range(0, 80, 8))
def test_random_networks(first):
    for seed in range(first, first + 8):
        program = compiled(random_network(seed), random_config(seed))
        assert hazards(program) == [], seed
        assert_equal_to_reference(program)


@pytest.mark.parametrize(("seed", "latency", "stalls"), [(1003, 7, 0.3), (1005, 50, 0.0)])
def test_random_networks_at_rtl(seed, latency, stalls):
    config = replace(random_config(seed), buffer_bytes=1 << 13, accumulator_rows=64)
    memory = Memory(read_latency=latency, write_latency=latency, outstanding_reads=8)
    simulator = Simulator(config, memory=memory, stalls=stalls)
    for number in range(10):
        network = random_network(10 * seed + number, largest=7)
        assert_equal_to_reference(compile_network(network, config), simulator, seed=number)


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_topologies(name):
    network = random_integer_network(hwsim.load(LIGHT / f"light_{name}.onnx"))
    for size in (8, 16, 32, 64, 128):
        program = compile_network(network, Systolic(rows=size, cols=size, buffer_bytes=1 << 23))
        convolved = {i.layer for i in program.instructions if i.opcode == Opcode.CONVOLVE}
        for number, layer in enumerate(network.layers):
            assert number + 1 in convolved or not hasattr(layer, "weights")
        if size == 32:
            assert hazards(program) == []


def without_waits(program, number, engine):
    """A program in which an instruction does not wait for one of the engines."""
    instructions = list(program.instructions)
    after = list(instructions[number].after)
    after[engine] = 0
    instructions[number] = replace(instructions[number], after=tuple(after))
    return replace(program, instructions=tuple(instructions))


def test_a_missing_wait_is_found():
    program = compiled(random_network(0), random_config(0))
    waits = [
        (number, engine)
        for number, i in enumerate(program.instructions)
        for engine in range(4)
        if i.after[engine] > max([k.after[engine] for k in program.instructions[:number]] or [0])
    ]
    assert len(waits) > 10
    found = [bool(hazards(without_waits(program, *wait))) for wait in waits]
    assert np.mean(found) > 0.8, found


def test_instructions_are_what_their_bytes_say():
    program = compiled(random_network(3), random_config(3))
    code = program.code.reshape(-1, 64)
    for row, instruction in zip(code, program.instructions, strict=True):
        decoded = decode(row.tobytes())
        assert (decoded.opcode, decoded.layer) == (instruction.opcode, instruction.layer)
        assert decoded.after == instruction.after
        assert {k: v for k, v in decoded.fields.items() if v} == {
            k: v for k, v in instruction.fields.items() if v
        }


DIGEST = """
import hashlib
from tests.compiler.networks import random_config, random_network
from tests.compiler.test_compile import compiled, digest
print(*(digest(compiled(random_network(seed), random_config(seed))) for seed in range(5)))
"""


def digest(program):
    return hashlib.sha256(program.image(np.zeros(program.network.input.shape, int))).hexdigest()


def test_programs_are_the_same_in_another_process():
    here = [digest(compiled(random_network(seed), random_config(seed))) for seed in range(5)]
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", DIGEST],
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.split() == here


# What is refused.


def refusal(network, config):
    with pytest.raises((NetworkError, ValueError)) as caught:
        compile_network(network, config)
    return caught.type, str(caught.value)


def builder(channels=8, height=9, width=12):
    return Builder(np.random.default_rng(0), (channels, height, width))


def test_a_network_without_layers():
    b = builder()
    assert refusal(b.build(b.input), Systolic()) == (
        NetworkError,
        "random has no layer to build",
    )


def test_a_layer_that_is_not_supported():
    b = builder()
    network = b.build(b.mul(b.input, b.global_average(b.input)))
    assert refusal(network, Systolic()) == (
        NetworkError,
        "layer mul2: the systolic accelerator multiplies maps of equal shapes only",
    )
    b = builder()
    network = b.build(b.pad(b.input, (1, 1, 1, 1), "edge"))
    assert refusal(network, Systolic()) == (
        NetworkError,
        "layer pad1: the systolic accelerator pads with the zero point only",
    )
    b = builder()
    network = b.build(b.conv(b.input, 4, pads=(1, 1, 1, 1)))
    layer = network.layers[0]
    rounded_down = replace(layer.requantize, rounding="floor")
    for changed, sentence in (
        (replace(layer, mode="edge"), "pads with the zero point only"),
        (replace(layer, requantize=rounded_down), "rounds to nearest only"),
    ):
        assert refusal(replace(network, layers=(changed,)), Systolic()) == (
            NetworkError,
            f"layer {layer.name}: the systolic accelerator {sentence}",
        )


def test_wide_codes():
    b = builder()
    network = b.build(b.conv(b.input, 4))
    wide = replace(network.input, bits=16)
    network = replace(network, input=wide, tensors=network.tensors | {wide.name: wide})
    assert refusal(network, Systolic()) == (
        NetworkError,
        "layer conv1: the systolic accelerator takes codes of up to 8 bits, not 16",
    )


def test_wide_weights():
    b = builder()
    network = b.build(b.conv(b.input, 4))
    network = replace(network, layers=(replace(network.layers[0], weight_bits=16),))
    assert refusal(network, Systolic()) == (
        NetworkError,
        "layer conv1: the systolic accelerator takes weights of up to 8 bits, not 16",
    )


def test_sums_that_overflow():
    b = builder()
    network = b.build(b.conv(b.input, 4))
    conv = network.layers[0]
    assert isinstance(conv, Conv)
    largest = (1 << 31) - 1
    room = largest - conv.accumulator_bounds(network.input)[1] + int(conv.bias.max())
    fits = replace(conv, bias=np.full(4, room - abs(conv.bias).max() - 2000))
    assert_equal_to_reference(compile_network(replace(network, layers=(fits,)), Systolic()))
    over = replace(conv, bias=np.full(4, largest))
    assert refusal(replace(network, layers=(over,)), Systolic()) == (
        NetworkError,
        "layer conv1: its sums do not fit into 32 bits",
    )


def test_a_table_that_is_too_large():
    b = builder(channels=300, height=1, width=1)
    network = b.build(b.lrn(b.input, 300))
    assert refusal(network, Systolic()) == (
        NetworkError,
        "layer lrn1: its sums of squares, up to 4915200, do not fit into the table of factors",
    )
    b = builder()
    network = b.build(b.lrn(b.input, 5))
    lrn = replace(network.layers[0], precision=8)
    assert refusal(replace(network, layers=(lrn,)), Systolic()) == (
        NetworkError,
        "layer lrn1: factor_precision must be at least 8 for it, not 7",
    )


def test_accumulators_that_are_too_small():
    b = builder(width=12)
    network = b.build(b.conv(b.input, 4, (1, 1)))
    assert refusal(network, Systolic(accumulator_rows=8)) == (
        ValueError,
        "accumulator_rows must be at least 16 for layer conv1, not 8",
    )
    compile_network(network, Systolic(accumulator_rows=16))


def test_a_buffer_that_is_too_small():
    b = builder(channels=40)
    network = b.build(b.dense(b.conv(b.input, 30, (1, 1)), 5))
    assert refusal(network, Systolic(buffer_bytes=1024)) == (
        ValueError,
        "buffer_bytes must be at least 4096 for layer conv1, not 1024",
    )
    assert refusal(network, Systolic(buffer_bytes=2048)) == (
        ValueError,
        "buffer_bytes must be at least 4096 for layer dense2, not 2048",
    )
    assert_equal_to_reference(compile_network(network, Systolic(buffer_bytes=4096)))


def test_the_largest_buffer_is_too_small():
    b = builder(channels=256, height=200, width=200)
    network = b.build(b.global_average(b.input))
    assert refusal(network, Systolic()) == (
        ValueError,
        "layer mean1 needs more than the largest buffer, 8388608 bytes",
    )


def test_a_map_that_is_too_wide():
    b = builder(channels=1, height=1, width=5000)
    network = b.build(b.conv(b.input, 1, (1, 1)))
    assert refusal(network, Systolic(accumulator_rows=4096)) == (
        NetworkError,
        "layer conv1: its rows have 5000 pixels, more than 4096",
    )


def test_a_number_that_does_not_fit_into_its_field():
    b = builder(channels=1, height=1, width=300)
    network = b.build(b.conv(b.input, 1, (1, 1), (1, 100)))
    assert refusal(network, Systolic()) == (
        NetworkError,
        "layer conv1: stride_x of CONVOLVE must lie in [0, 63], not 100",
    )


def test_an_address_that_is_too_narrow():
    b = builder()
    network = b.build(b.conv(b.input, 64))
    needed = compile_network(network, Systolic()).memory_bytes
    assert refusal(network, Systolic(address_bits=12)) == (
        ValueError,
        f"address_bits must be at least 14 for {needed:,} bytes of memory, not 12",
    )
    assert compile_network(network, Systolic(address_bits=14)).memory_bytes == needed
