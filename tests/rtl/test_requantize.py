"""The requantizing pipeline equals its definition, at the extremes too."""

import numpy as np
import pytest
from amaranth.hdl import Value
from amaranth.sim import Simulator

from hwsim.blocks.requantize import RequantizeConfig
from hwsim.network.fixed_point import MULTIPLIER_BITS
from hwsim.network.fixed_point import Requantize as Definition
from hwsim.rtl.requantize import Requantize
from hwsim.sim.beats import pack, unpack


def simulate(config, accumulators, multiplier, shift):
    """Codes (n, lanes) for accumulators (n, lanes); multiplier and shift are of the same shape."""
    lanes = accumulators.shape[1]
    component = Requantize(config, lanes)
    inputs = {"i": (accumulators, config.accumulator_bits)}
    if config.factor_bits:
        inputs["multiplier"] = (multiplier << (config.shifts[1] - shift), config.factor_bits)
    beats = {name: pack(*value) for name, value in inputs.items()}
    output = []

    async def bench(ctx):
        for k in range(len(accumulators) + config.latency):
            for name, values in beats.items():
                ctx.set(Value.cast(getattr(component, name)), values[min(k, len(values) - 1)])
            await ctx.tick()
            output.append(ctx.get(Value.cast(component.o)))

    simulator = Simulator(component)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    return unpack(output[config.latency - 1 : -1], lanes, config.bits, config.signed)


def check(definition, bits, signed, accumulator_bits, seed, lanes=2, count=120):
    rng = np.random.default_rng(seed)
    config = RequantizeConfig.of(
        definition, accumulator_bits=accumulator_bits, bits=bits, signed=signed
    )
    channels = definition.multiplier.size
    limit = 1 << (accumulator_bits - 1)
    accumulators = rng.integers(-limit, limit, (count, lanes))
    # Around ties and bounds: small values, and the extremes of the accumulator.
    accumulators[: count // 2] >>= rng.integers(0, accumulator_bits, (count // 2, 1))
    accumulators[:4, 0] = [-limit, limit - 1, 0, -1]
    channel = rng.integers(0, channels, (count, lanes))
    multiplier, shift = definition.multiplier[channel], definition.shift[channel]
    codes = simulate(config, accumulators, multiplier, shift)
    each = [
        Definition(
            m,
            s,
            definition.zero_point,
            definition.minimum,
            definition.maximum,
            definition.rounding,
        ).apply(np.array([a]))[0]
        for a, m, s in zip(accumulators.flat, multiplier.flat, shift.flat, strict=True)
    ]
    assert np.array_equal(codes.reshape(-1), each), f"seed {seed}, {config}"


CASES = {
    "uniform shift": (Definition([77000, 131071, 1], [24] * 3, -5, -128, 127), 8, True, 20),
    "different shifts": (Definition([77000, 99999, 65536], [20, 27, 24], 3, 0, 255), 8, False, 20),
    "one multiplier": (Definition([70000], [16], 0, -128, 127), 8, True, 16),
    "power of two": (Definition([1 << 16], [18], 0, -8, 7), 4, True, 8),
    "no multiplier": (Definition([1], [6], -128, -128, 127), 8, True, 17),
    "no multiplier, no shift": (Definition([1], [0], 1, -100, 90), 8, True, 6),
    "no multiplier, different shifts": (Definition([1, 1], [0, 5], 0, -128, 127), 8, True, 12),
    "shift of one": (Definition([3], [1], 0, -128, 127), 8, True, 9),
    "shift beyond the product": (Definition([5], [30], -7, -128, 127), 8, True, 9),
    "largest shift": (Definition([131071, 131071], [47, 1], 0, -32768, 32767), 16, True, 32),
    "multiplier of zero": (Definition([0, 5], [3, 3], 4, -128, 127), 8, True, 9),
    "all zero": (Definition([0], [0], 4, -128, 127), 8, True, 9),
    "wide": (Definition([131071], [20], 32768, 0, 65535), 16, False, 34),
    "floor": (Definition([1], [6], 3, -128, 127, "floor"), 8, True, 17),
    "floor of products": (Definition([21846, 5], [16, 9], 0, 0, 255, "floor"), 8, False, 17),
    "one bit": (Definition([65536], [17], 0, 0, 1), 1, False, 4),
}


@pytest.mark.parametrize("case", CASES)
def test_requantize(case):
    check(*CASES[case], seed=len(case))


@pytest.mark.parametrize("seed", range(30))
def test_random_requantize(seed):
    rng = np.random.default_rng(seed)
    bits, signed = int(rng.integers(1, 17)), bool(rng.integers(2))
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    minimum, maximum = sorted(map(int, rng.integers(low, high + 1, 2)))
    width, channels = int(rng.integers(1, MULTIPLIER_BITS + 1)), int(rng.integers(1, 5))
    multiplier = rng.integers(0, 1 << width, channels)
    start = int(rng.integers(0, 40))
    shift = rng.integers(start, start + 1 + int(rng.integers(0, 8)), channels)
    definition = Definition(multiplier, shift, int(rng.integers(low, high + 1)), minimum, maximum)
    check(definition, bits, signed, int(rng.integers(2, 33)), seed)


def test_every_accumulator():
    """All 12-bit accumulators under a power of two, where ties are common."""
    definition = Definition([1], [4], 0, -128, 127)
    config = RequantizeConfig.of(definition, accumulator_bits=12)
    accumulators = np.arange(-2048, 2048).reshape(-1, 1)
    codes = simulate(
        config, accumulators, np.ones_like(accumulators), np.full_like(accumulators, 4)
    )
    assert np.array_equal(codes, definition.apply(accumulators, axis=0))


def test_floor_of_every_accumulator():
    definition = Definition([3], [4], 0, -128, 127, "floor")
    accumulators = np.arange(-2048, 2048)
    expected = np.clip([a * 3 // 16 for a in accumulators.tolist()], -128, 127)
    assert np.array_equal(definition.apply(accumulators, axis=0), expected)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"rounding": "up"}, 'rounding must be "even" or "floor", not \'up\''),
        ({"accumulator_bits": 0}, "accumulator_bits must be a positive integer, not 0"),
        ({"multiplier_bits": 18}, "multiplier_bits must be at most 17, not 18"),
        ({"shifts": (5, 4)}, "shifts must rise within [0, 47], not (5, 4)"),
        ({"shifts": (0, 48)}, "shifts must rise within [0, 47], not (0, 48)"),
        ({"shifts": (0, 47)}, "shifts must differ by at most 46, not 0, 47"),
        ({"minimum": -129}, "minimum and maximum must rise within [-128, 127], not -129, 127"),
        ({"signed": False}, "minimum and maximum must rise within [0, 255], not -128, 127"),
    ],
)
def test_impossible_configuration(members, message):
    with pytest.raises(ValueError) as error:
        RequantizeConfig(**({"accumulator_bits": 20, "shifts": (20, 20)} | members))
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("definition", "message"),
    [
        (Definition([9], [8], 1, -128, 127), "zero_point must be 0 as configured, not 1"),
        (
            Definition([16], [8], 0, -128, 127),
            "multiplier must have 4 bits as configured, not [16]",
        ),
        (
            Definition([9], [8], 0, -128, 127, "floor"),
            "rounding must be even as configured, not floor",
        ),
        (Definition([9], [7], 0, -128, 127), "shift must lie in [8, 8] as configured, not [7]"),
    ],
)
def test_requantize_that_does_not_fit(definition, message):
    config = RequantizeConfig.of(Definition([9], [8], 0, -128, 127), accumulator_bits=20)
    config.check(Definition([15], [8], 0, -128, 127))
    with pytest.raises(ValueError) as error:
        config.check(definition)
    assert str(error.value) == message
