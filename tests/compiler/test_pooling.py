"""Pools in passes of the vector unit, against windows one by one, and how often pixels are read."""

from dataclasses import replace

import numpy as np
import pytest

from hwsim.blocks.systolic.config import Systolic
from hwsim.blocks.systolic.isa import Opcode
from hwsim.blocks.systolic.vector import POOL_WINDOWS
from hwsim.compiler import compile_network
from hwsim.compiler.pooling import passes
from hwsim.network.integer import Pool
from hwsim.network.network import NetworkError
from hwsim.validation.designs import Simulator
from tests.compiler.check import assert_equal_to_reference
from tests.compiler.hazards import hazards
from tests.compiler.networks import Builder


def pool(kernel, strides, dilations, pads):
    """A layer of which only the windows matter."""
    return Pool("pool", (), "", "max", kernel, strides, dilations, pads)


@pytest.mark.parametrize("seed", range(200))
def test_passes_make_the_windows(seed):
    rng = np.random.default_rng(seed)
    kernel, stride, dilation = (int(rng.integers(1, limit)) for limit in (14, 6, 5))
    pad, first, count = (int(rng.integers(0, limit)) for limit in (2 * kernel, 4, 20))
    most = int(rng.choice([2, 3, 100]))
    layer = pool((kernel, 1), (stride, 1), (dilation, 1), (pad, 0, 0, 0))
    made = {}
    for part in passes(layer, 0, (first, first + count + 1), most):
        number = len(part.outputs)
        assert number <= most
        assert number <= POOL_WINDOWS or part.kernel <= POOL_WINDOWS * part.window
        # No pixel before the map is waited for, unless a window has no other.
        assert part.ahead < part.kernel
        assert part.start >= 0 or part.ahead == part.kernel - 1
        read = part.start + part.pace * np.arange(part.pixels)
        for k, output in enumerate(part.outputs):
            assert output not in made
            places = np.arange(part.kernel) + k * part.window - part.ahead
            assert (part.start + part.pace * places[places < 0] < 0).all()
            # The last pixel that is read ends the last window.
            assert (places[-1] == part.pixels - 1) == (k == number - 1)
            made[output] = read[places[places >= 0]]
    assert sorted(made) == list(range(first, first + count + 1))
    for output, places in made.items():
        exact = output * stride - pad + dilation * np.arange(kernel)
        assert np.array_equal(places[places >= 0], exact[exact >= 0])


def network_of(kind, size, kernel, strides, dilations=(1, 1), pads=(0, 0, 0, 0), **options):
    b = Builder(np.random.default_rng(0), (5, *size))
    b.tensors[b.input] = replace(b.tensors[b.input], bits=8)
    options = {"ceil_mode": False, "count_include_pad": False} | options
    made = b.pool(b.input, kind, kernel, strides, dilations, pads, **options)
    return b.build(made)


def reads(program):
    """How often each pixel of the map is read."""
    _, height, width = program.network.input.shape
    count = np.zeros((height, width), int)
    for i in program.instructions:
        if i.opcode == Opcode.POOL:
            y = i["y"] + np.arange(i["rows"]) * i["stride_y"]
            x = i["x"] + np.arange(i["columns"]) * i["stride_x"]
            if i["map_height"] != height:
                y, x = x, y  # a column that is made as a row
            y, x = y[(y >= 0) & (y < height)], x[(x >= 0) & (x < width)]
            count[np.ix_(y, x)] += 1
    assert not any(i.opcode == Opcode.COMBINE for i in program.instructions)
    return count


ONE, NO, SAME = (1, 1), (0, 0, 0, 0), (1, 1, 1, 1)
CEIL, INCLUDED = {"ceil_mode": True}, {"count_include_pad": True}
# Nine rectangles: the middle, two sides of 2 x 14 and two of 12 x 2 pixels, corners of 2 x 2.
NINE = 168 + 2 * 28 + 2 * 24 + 4 * 4
# Kind, size, kernel, strides, dilations, pads; options; instructions; reads of all pixels.
CASES = {
    "2 x 2 / 2": (("max", (12, 14), (2, 2), (2, 2), ONE, NO), {}, 1, 168),
    "3 x 3 / 2": (("max", (13, 15), (3, 3), (2, 2), ONE, NO), {}, 1, 195),
    "3 x 3 / 2, ceil": (("max", (12, 14), (3, 3), (2, 2), ONE, NO), CEIL, 1, 168),
    "3 x 3 / 1": (("max", (12, 14), (3, 3), ONE, ONE, SAME), {}, 1, 168),
    "global": (("average", (12, 14), (12, 14), ONE, ONE, NO), {}, 1, 168),
    "sum": (("sum", (12, 14), (3, 3), ONE, ONE, SAME), {}, 1, 168),
    "dilated": (("max", (12, 14), (3, 2), ONE, (2, 3), NO), {}, 6, 168),
    "dilated, strides": (("max", (12, 14), (3, 3), (2, 3), (3, 3), NO), {}, 3, 9 * 5),
    "padding counts": (("average", (12, 14), (3, 3), ONE, ONE, SAME), INCLUDED, 1, 168),
    "padding does not count": (("average", (12, 14), (3, 3), ONE, ONE, SAME), {}, 9, NINE),
    # Windows of even rows or odd ones, of even columns or odd ones.
    "5 x 5 / 1": (("max", (13, 15), (5, 5), ONE, ONE, NO), {}, 4, (13 + 11) * (15 + 13)),
    "pixels": (("max", (12, 14), (1, 1), (3, 2), ONE, NO), {}, 1, 4 * 7),
    "a column": (("max", (12, 1), (3, 1), ONE, ONE, (1, 0, 1, 0)), {}, 1, 12),
    "a row": (("max", (1, 14), (1, 3), ONE, ONE, (0, 1, 0, 1)), {}, 1, 14),
    "a pixel": (("max", (1, 1), (3, 3), ONE, ONE, SAME), {}, 1, 1),
}
AGAIN = ("padding does not count", "5 x 5 / 1")


@pytest.mark.parametrize("name", CASES)
def test_pixels_are_read_once(name):
    shape, options, instructions, pixels = CASES[name]
    program = compile_network(network_of(*shape, **options), Systolic(rows=8, cols=8))
    assert hazards(program) == []
    assert_equal_to_reference(program)
    assert sum(i.opcode == Opcode.POOL for i in program.instructions) == instructions
    count = reads(program)
    assert count.sum() == pixels
    assert (count.max() == 1) == (name not in AGAIN)


def test_a_map_wider_than_the_line_memory():
    """Strips of columns, which have a column in common."""
    network = network_of("max", (7, 25), (3, 3), (2, 2))
    config = Systolic(rows=8, cols=8, pool_columns=5)
    program = compile_network(network, config)
    assert_equal_to_reference(program)
    assert sum(i.opcode == Opcode.POOL for i in program.instructions) == 3
    assert reads(program).sum() == 7 * (11 + 11 + 5)
    column = network_of("max", (25, 1), (3, 1), (2, 1))
    program = compile_network(column, config)
    assert_equal_to_reference(program)
    assert reads(program).sum() == 11 + 11 + 5


def test_strides_that_are_too_large():
    network = network_of("max", (1, 200), (1, 1), (1, 64))
    with pytest.raises(
        NetworkError, match=r"^layer pool1: stride_x of POOL must lie in \[0, 63\], not 64$"
    ):
        compile_network(network, Systolic(rows=8, cols=8))
    network = network_of("max", (1, 200), (1, 100), (1, 64))
    assert_equal_to_reference(compile_network(network, Systolic(rows=8, cols=8)))


def test_pools_at_rtl():
    """All cases, and random ones, with a line memory that is too short."""
    config = Systolic(rows=4, cols=3, pool_columns=4, buffer_bytes=1 << 13)
    simulator = Simulator(config)
    networks = [network_of(*shape, **options) for shape, options, *_ in CASES.values()]
    rng = np.random.default_rng(7)
    while len(networks) < len(CASES) + 25:
        b = Builder(rng, (int(rng.integers(1, 8)), *(int(n) for n in rng.integers(1, 17, 2))))
        kernel, strides, dilations = (
            tuple(int(n) for n in rng.integers(1, most, 2)) for most in (8, 4, 3)
        )
        pads = tuple(int(rng.integers(kernel[axis % 2])) for axis in range(4))
        kind = str(rng.choice(["max", "average", "sum"]))
        flags = bool(rng.integers(2)), kind == "average" and bool(rng.integers(2))
        made = b.pool(b.input, kind, kernel, strides, dilations, pads, *flags)
        if made:
            networks.append(b.build(made))
    for network in networks:
        program = compile_network(network, config)
        assert hazards(program) == []
        assert_equal_to_reference(program, simulator)
