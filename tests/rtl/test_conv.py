"""Convolution and dense units: exact outputs in exactly the stated cycles."""

import numpy as np
import pytest
from amaranth.hdl import ResetInserter, Signal, Value
from amaranth.sim import Simulator

from hwsim.blocks.conv import ConvConfig, DenseConfig
from hwsim.blocks.queue import QueueConfig
from hwsim.blocks.requantize import RequantizeConfig
from hwsim.blocks.stream import Frame
from hwsim.blocks.widths import signed_bits
from hwsim.network.fixed_point import Requantize
from hwsim.rtl.conv import Conv, Dense
from hwsim.sim.amaranth_engine import run
from hwsim.sim.beats import pack, unpack
from hwsim.sim.engine import Stimulus


def convolve(maps, config, weights, bias):
    """Accumulators (N, M, H, W), from first principles."""
    top, left, bottom, right = config.pads
    fill = {"constant_values": config.pad_value} if config.mode == "constant" else {}
    widths = ((0, 0), (0, 0), (top, bottom), (left, right))
    padded = np.pad(maps, widths, mode=config.mode, **fill)
    (kh, kw), (sh, sw), (dh, dw) = config.kernel, config.strides, config.dilations
    height = (padded.shape[2] - (kh - 1) * dh - 1) // sh + 1
    width = (padded.shape[3] - (kw - 1) * dw - 1) // sw + 1
    out = np.broadcast_to(bias[:, None, None], (len(maps), len(bias), height, width)).copy()
    per_group, out_per_group = weights.shape[1], len(weights) // config.groups
    for a in range(kh):
        for b in range(kw):
            rows, columns = a * dh + sh * np.arange(height), b * dw + sw * np.arange(width)
            pixels = padded[:, :, rows[:, None], columns]
            for g in range(config.groups):
                channels = slice(g * per_group, (g + 1) * per_group)
                outs = slice(g * out_per_group, (g + 1) * out_per_group)
                out[:, outs] += np.einsum(
                    "nchw,oc->nohw", pixels[:, channels], weights[outs, :, a, b]
                )
    return out


def requantize_for(rng, accumulators, bits, signed, kind):
    """A `Requantize` that spreads accumulators (N, M, H, W) over the codes and beyond."""
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    spread = np.abs(accumulators).max(axis=(0, 2, 3)) + 1
    zero_point = int(rng.integers(low, high + 1))
    scales = 1.2 * (1 << bits) / 2 / spread * rng.uniform(0.5, 1, spread.shape)
    if kind == "one":
        return Requantize.from_scales(
            scales.min(), zero_point=zero_point, minimum=low, maximum=high
        )
    if kind == "apart":
        scales[0] = scales[0] / 1000
    return Requantize.from_scales(
        scales, zero_point=zero_point, minimum=max(low, zero_point), maximum=high
    )


def check_conv(
    check_unit,
    seed,
    *,
    weight_bits=8,
    extreme=False,
    requantized=True,
    kind="each",
    frames=2,
    **members,
):
    rng = np.random.default_rng(seed)
    frame = members["frame"]
    config = ConvConfig(weight_bits=weight_bits, **members)
    limit = 1 << (weight_bits - 1)
    shape = (config.out_channels, frame.channels // config.groups, *config.kernel)
    weights = rng.integers(-limit, limit, shape)
    bias = rng.integers(-1000, 1000, config.out_channels)
    maps = rng.integers(frame.minimum, frame.maximum + 1, (frames, *frame.shape))
    if extreme:
        weights[...] = -limit
        maps[...] = frame.minimum if frame.signed else frame.maximum
    expected = convolve(maps, config, weights, bias)
    requantize = None
    ends = np.stack([weights * frame.minimum, weights * frame.maximum]).reshape(2, len(weights), -1)
    bits = signed_bits(
        (ends.min(axis=0).sum(axis=1) + bias).min(), (ends.max(axis=0).sum(axis=1) + bias).max()
    )
    if requantized:
        out_bits, out_signed = (frame.bits, bool(rng.integers(2)))
        requantize = requantize_for(rng, expected, out_bits, out_signed, kind)
        form = RequantizeConfig.of(
            requantize, accumulator_bits=bits, bits=out_bits, signed=out_signed
        )
        config = ConvConfig(weight_bits=weight_bits, requantize=form, **members)
        expected = requantize.apply(expected)
    else:
        config = ConvConfig(weight_bits=weight_bits, accumulator_bits=bits, **members)
    check_unit(Conv(config, weights, bias, requantize), {"i": maps}, expected, seed=seed)
    return config


PLAIN = dict(
    frame=Frame(5, 6, 4, 2),
    out_channels=6,
    kernel=(3, 3),
    simd=6,
    pe=2,
    pads=(1, 1, 1, 1),
    pad_value=-3,
)
CASES = {
    "plain": {},
    "all at once": dict(frame=Frame(4, 4, 2, 2), simd=18, pe=6),
    "one multiplier": dict(frame=Frame(3, 3, 2, 1), out_channels=2, simd=1, pe=1),
    "accumulators": dict(requantized=False),
    "pointwise": dict(kernel=(1, 1), pads=(0, 0, 0, 0), simd=2),
    "pointwise, strided": dict(kernel=(1, 1), pads=(0, 0, 0, 0), strides=(2, 2), simd=1),
    "strided": dict(strides=(2, 1), pads=(0, 1, 1, 0)),
    "dilated": dict(dilations=(2, 2), pads=(2, 2, 2, 2)),
    "two groups": dict(groups=2, pe=3),
    "two groups in a beat": dict(frame=Frame(4, 4, 4, 4), groups=2, pe=3),
    "two groups in a beat, pe across both": dict(frame=Frame(4, 4, 4, 4), groups=2, pe=6, simd=9),
    "depthwise": dict(groups=4, out_channels=4, simd=3, frame=Frame(4, 5, 4, 1), pe=1),
    "depthwise, four lanes": dict(groups=4, out_channels=4, simd=9, frame=Frame(4, 5, 4, 4), pe=4),
    "depthwise, folded": dict(groups=4, out_channels=8, simd=3, frame=Frame(4, 5, 4, 4), pe=2),
    "one multiplier for all": dict(kind="one"),
    "different shifts": dict(kind="apart"),
    "unsigned": dict(frame=Frame(5, 4, 4, 2, 8, False), pad_value=128),
    "4-bit weights": dict(weight_bits=4),
    "2-bit weights": dict(weight_bits=2),
    "1-bit weights": dict(weight_bits=1),
    "16-bit codes": dict(frame=Frame(4, 4, 4, 2, 16, True)),
    "extreme": dict(extreme=True, pads=(0, 0, 0, 0)),
    "extreme, unsigned": dict(extreme=True, frame=Frame(4, 4, 4, 2, 8, False), pad_value=255),
    "edge": dict(mode="edge", pad_value=0, pads=(2, 0, 1, 2)),
    "fixed": dict(frame=Frame(4, 5, 2, 2), simd=18, pe=6, fixed=True),
    "fixed, sparse": dict(frame=Frame(4, 5, 3, 3), simd=27, pe=6, fixed=True, weight_bits=1),
    "fixed, depthwise": dict(
        frame=Frame(4, 5, 3, 3), out_channels=3, groups=3, simd=9, pe=3, fixed=True
    ),
    "pixel": dict(frame=Frame(1, 1, 4, 2)),
}


@pytest.mark.parametrize("case", CASES)
def test_conv(case, check_unit):
    check_conv(check_unit, seed=len(case), **(PLAIN | CASES[case]))


def divisors(n):
    return [d for d in range(1, n + 1) if n % d == 0]


def draw(seed):
    """Members of a random configuration, small enough to simulate in no time."""
    rng = np.random.default_rng(seed)

    def pick(values):
        values = list(values)
        return values[int(rng.integers(len(values)))]

    while True:
        groups, per_group, out_per_group = (
            pick((1, 1, 2, 3)),
            pick((1, 2, 3, 4)),
            pick((1, 2, 3, 4)),
        )
        together = pick(divisors(groups))  # groups in a beat
        lanes = together * per_group if together > 1 else pick(divisors(per_group))
        kernel = (pick((1, 2, 3)), pick((1, 2, 3)))
        members = dict(
            frame=Frame(
                pick(range(1, 7)),
                pick(range(1, 7)),
                groups * per_group,
                lanes,
                pick((2, 4, 8, 8, 16)),
                pick((True, False)),
            ),
            out_channels=groups * out_per_group,
            kernel=kernel,
            strides=(pick((1, 1, 2)), pick((1, 1, 2))),
            dilations=(pick((1, 1, 2)), pick((1, 1, 2))),
            pads=tuple(pick((0, 1, 1, 2)) for _ in range(4)),
            groups=groups,
            simd=pick(divisors(kernel[0] * kernel[1] * min(lanes, per_group))),
            pe=pick(divisors(together * out_per_group)),
            weight_bits=pick((1, 2, 4, 8, 8, 8)),
        )
        members["pad_value"] = int(
            rng.integers(members["frame"].minimum, members["frame"].maximum + 1)
        )
        try:
            config = ConvConfig(**members)
        except ValueError:  # the kernel does not fit the map
            continue
        if config.interval <= 400:
            return members


@pytest.mark.parametrize("seed", range(120))
def test_random_conv(seed, check_unit):
    check_conv(
        check_unit,
        seed,
        kind=("each", "one", "apart")[seed % 3],
        requantized=seed % 4 > 0,
        extreme=seed % 10 == 0,
        **draw(seed),
    )


def check_dense(check_unit, seed, *, frames=3, weight_bits=8, **members):
    rng = np.random.default_rng(seed)
    frame, out_channels = members["frame"], members["out_channels"]
    limit = 1 << (weight_bits - 1)
    weights = rng.integers(
        -limit, limit, (out_channels, frame.channels * frame.height * frame.width)
    )
    bias = rng.integers(-1000, 1000, out_channels)
    maps = rng.integers(frame.minimum, frame.maximum + 1, (frames, *frame.shape))
    accumulators = (maps.reshape(frames, -1) @ weights.T + bias)[:, :, None, None]
    requantize = requantize_for(rng, accumulators, 8, True, "each")
    # Wide enough whatever the draw: the default, found out from a configuration without
    # requantization.
    bits = DenseConfig(weight_bits=weight_bits, **members).mac.accumulator_bits
    form = RequantizeConfig.of(requantize, accumulator_bits=bits)
    config = DenseConfig(weight_bits=weight_bits, requantize=form, **members)
    check_unit(
        Dense(config, weights, bias, requantize),
        {"i": maps},
        requantize.apply(accumulators),
        seed=seed,
    )


DENSE = {
    "one beat": dict(frame=Frame(1, 1, 8, 8), out_channels=6, simd=4, pe=3),
    "many beats": dict(frame=Frame(2, 3, 4, 2), out_channels=10, simd=2, pe=2),
    "all outputs at once": dict(frame=Frame(2, 2, 3, 3), out_channels=5, simd=3, pe=5),
    "a single output": dict(frame=Frame(3, 2, 2, 1), out_channels=1, simd=1, pe=1),
    "all at once": dict(frame=Frame(1, 1, 6, 6), out_channels=3, simd=6, pe=3),
    "one multiplier": dict(frame=Frame(2, 2, 2, 1), out_channels=3, simd=1, pe=1),
    "narrow": dict(frame=Frame(2, 2, 4, 4, 4, False), out_channels=4, simd=2, pe=2, weight_bits=2),
}


@pytest.mark.parametrize("case", DENSE)
def test_dense(case, check_unit):
    check_dense(check_unit, seed=len(case), **DENSE[case])


def test_reference_interval():
    """The benchmark's first layer: 36 multipliers, 12 cycles per window, no bubbles."""
    config = ConvConfig(
        frame=Frame(32, 32, 3, 3),
        out_channels=16,
        kernel=(3, 3),
        pads=(1, 1, 1, 1),
        simd=9,
        pe=4,
        accumulator_bits=20,
    )
    assert config.multipliers == 36
    assert config.interval == 32 * 32 * 12 == config.macs / config.multipliers
    assert config.cycles(3) - config.cycles(2) == config.interval


def simulate_with_reset(component, before, after, count):
    """Feed beats, reset, feed other beats; the ``count`` output beats that come after the reset."""
    reset = Signal()
    output = []

    async def bench(ctx):
        ctx.set(component.o.ready, 1)
        for beats, wanted in ((before, 0), (after, count)):
            ctx.set(component.i.valid, 0)
            ctx.set(reset, 1)
            await ctx.tick()
            ctx.set(reset, 0)
            output.clear()
            sent = cycle = 0
            while sent < len(beats) or len(output) < wanted:
                ctx.set(component.i.valid, sent < len(beats))
                ctx.set(Value.cast(component.i.payload), beats[min(sent, len(beats) - 1)])
                signals = (component.i.ready, component.o.valid, Value.cast(component.o.payload))
                _, _, ready, valid, payload = await ctx.tick().sample(*signals)
                sent += ready and sent < len(beats)
                if valid:
                    output.append(payload)
                cycle += 1
                assert cycle < 5000, "nothing moves any more"

    simulator = Simulator(ResetInserter(reset)(component))
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    return output


@pytest.mark.parametrize("beats", [1, 5, 17, 32, 47])
def test_reset_in_mid_frame(beats):
    """After a reset the unit starts afresh, whatever delay lines and accumulators hold."""
    rng = np.random.default_rng(beats)
    config = ConvConfig(
        frame=Frame(4, 4, 2, 1),
        out_channels=4,
        kernel=(3, 3),
        pads=(1, 1, 1, 1),
        simd=3,
        pe=2,
        accumulator_bits=24,
    )
    weights, bias = rng.integers(-128, 128, (4, 2, 3, 3)), rng.integers(-99, 99, 4)
    first, second = rng.integers(-128, 128, (2, 2, 2, 4, 4))
    packed = [pack(config.frame.to_beats(maps), 8) for maps in (first, second)]
    output = simulate_with_reset(
        Conv(config, weights, bias), packed[0][:beats], packed[1], 2 * config.output.beats
    )
    codes = config.output.from_beats(unpack(output, 2, config.output.bits, True))
    assert np.array_equal(codes, convolve(second, config, weights, bias))


def test_loading():
    """Constants written through the port take the place of those that the unit was built with."""
    rng = np.random.default_rng(5)
    frame = Frame(3, 4, 4, 2)
    weights, other = rng.integers(-128, 128, (2, 6, 4, 2, 2))
    bias, other_bias = rng.integers(-500, 500, (2, 6))
    members = dict(
        frame=frame, out_channels=6, kernel=(2, 2), simd=4, pe=3, pads=(0, 1, 1, 0), pad_value=9
    )
    form = RequantizeConfig(accumulator_bits=21, shifts=(20, 24), zero_point=-3)
    config = ConvConfig(requantize=form, loadable=True, **members)
    requantize, other_requantize = (
        Requantize(rng.integers(1000, 1 << 11, 6), rng.integers(20, 25, 6), -3, -128, 127)
        for _ in range(2)
    )
    maps = rng.integers(-128, 128, (2, *frame.shape))
    component = Conv(config, weights, bias, requantize)
    packed = pack(frame.to_beats(maps), 8)
    words = config.mac.load_words(other, other_bias, other_requantize)
    output = []

    async def bench(ctx):
        ctx.set(component.o.ready, 1)
        for load in ([], words, words):
            for word in load:
                ctx.set(component.w.valid, 1)
                ctx.set(component.w.payload, word)
                await ctx.tick()
            ctx.set(component.w.valid, 0)
            sent, received = 0, []
            while len(received) < 2 * config.output.beats:
                ctx.set(component.i.valid, sent < len(packed))
                ctx.set(Value.cast(component.i.payload), packed[min(sent, len(packed) - 1)])
                signals = (component.i.ready, component.o.valid, Value.cast(component.o.payload))
                _, _, ready, valid, payload = await ctx.tick().sample(*signals)
                sent += ready and sent < len(packed)
                if valid:
                    received.append(payload)
            output.append(config.output.from_beats(unpack(received, 3, 8, True)))

    simulator = Simulator(component)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    assert np.array_equal(output[0], requantize.apply(convolve(maps, config, weights, bias)))
    expected = other_requantize.apply(convolve(maps, config, other, other_bias))
    assert np.array_equal(output[1], expected)
    assert np.array_equal(output[2], expected)


@pytest.mark.parametrize("depth", [1, 2, 70])
def test_other_queues(depth):
    """The timing model holds for output queues that are too shallow or deep (registered)."""
    rng = np.random.default_rng(depth)
    config = ConvConfig(
        frame=Frame(4, 5, 2, 2), out_channels=2, kernel=(2, 2), simd=8, pe=2, accumulator_bits=24
    )
    weights, bias = rng.integers(-128, 128, (2, 2, 2, 2)), rng.integers(-99, 99, 2)
    maps = rng.integers(-128, 128, (3, 2, 4, 5))
    queue = QueueConfig(depth)
    stimulus = Stimulus({"i": pack(config.frame.to_beats(maps), 8)}, {"o": 3 * config.output.beats})
    recording = run(Conv(config, weights, bias, queue=queue), stimulus)
    trace = config.trace(3, queue)
    cycles = recording.transfers["o"].cycles - recording.transfers["i"].cycles[0]
    assert np.array_equal(cycles, trace.sink - trace.source[0])


@pytest.mark.parametrize("members", [{"simd": 6}, {"pe": 2}, {"loadable": True}])
def test_weights_that_cannot_be_fixed(members):
    frame = Frame(4, 4, 2, 2)
    plain = dict(frame=frame, out_channels=4, kernel=(3, 3), simd=18, pe=4, fixed=True)
    with pytest.raises(ValueError) as error:
        ConvConfig(**(plain | members))
    assert str(error.value) == (
        "fixed must be False for weights that are loaded or that change from cycle to cycle"
    )
