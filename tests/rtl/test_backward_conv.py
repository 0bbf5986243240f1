# amaranth: UnusedElaboratable=no
"""Gradients of convolution: exact, in the cycles that their configurations state."""

from dataclasses import replace

import numpy as np
import pytest

from hwsim.blocks.backward_conv import ConvGradientConfig, SpreadConfig, WeightGradientConfig
from hwsim.blocks.stream import Frame
from hwsim.models.reference.backward_units import input_gradient, weight_gradient
from hwsim.rtl.backward_conv import ConvGradient, Spread, WeightGradient

SEEDS = range(24)


def divisor(rng, number):
    return int(rng.choice([k for k in range(1, number + 1) if number % k == 0]))


def draw_layer(rng):
    """Geometry of a random convolution: its parameters, the shapes of its input and output."""
    while True:
        kernel, strides, dilations = (
            tuple(int(n) for n in rng.integers(1, high, 2)) for high in (4, 4, 3)
        )
        reach = [(k - 1) * d for k, d in zip(kernel, dilations, strict=True)]
        pads = tuple(int(rng.integers(0, reach[k % 2] + 1)) for k in range(4))
        shape = tuple(int(n) for n in rng.integers(1, 7, 2))
        free = [shape[k] + pads[k] + pads[k + 2] - reach[k] - 1 for k in range(2)]
        if min(free) >= 0:
            break
    output = tuple(f // s + 1 for f, s in zip(free, strides, strict=True))
    groups = int(rng.integers(1, 4))
    channels, out_channels = (groups * int(n) for n in rng.integers(1, 4, 2))
    layer = dict(kernel=kernel, strides=strides, dilations=dilations, pads=pads, groups=groups)
    return layer, (channels, *shape), (out_channels, *output)


def draw_lanes(rng, channels, groups):
    """Lanes that divide the channels of a group, or are several whole groups."""
    if rng.random() < 0.5:
        return divisor(rng, channels // groups)
    return channels // groups * divisor(rng, groups)


def fold(rng, config):
    """The configuration with random ``simd`` and ``pe``.

    Words are of less than 2000 bits: Amaranth's simulator fails on memories of wider ones.
    """
    mac = config.conv.mac
    while True:
        simd, pe = divisor(rng, mac.dot), divisor(rng, mac.out_channels // mac.blocks)
        if simd * pe <= 40:
            return replace(config, simd=simd, pe=pe)


def draw_codes(rng, frame, count):
    """Codes, of which the first map's are extreme, and some of the others."""
    codes = rng.integers(frame.minimum, frame.maximum + 1, (count, *frame.shape))
    codes[rng.random(codes.shape) < 0.2] = frame.minimum
    codes[0] = frame.minimum
    return codes


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("strides", [(1, 1), (2, 3), (1, 2), (3, 1)])
def test_spread(check_unit, strides, frames):
    frame = Frame(3, 4, 6, 2, 16)
    config = SpreadConfig(frame=frame, strides=strides)
    codes = draw_codes(np.random.default_rng(frames), frame, frames)
    expected = np.zeros((frames, *config.output.shape), np.int64)
    expected[:, :, :: strides[0], :: strides[1]] = codes
    check_unit(Spread(config), {"i": codes}, expected, seed=frames, reset=True)


@pytest.mark.parametrize("seed", SEEDS)
def test_input_gradient(check_unit, seed):
    frames = 1 + seed % 3
    rng = np.random.default_rng(seed)
    layer, (channels, *shape), (out_channels, *output) = draw_layer(rng)
    lanes = draw_lanes(rng, out_channels, layer["groups"])
    config = ConvGradientConfig(
        frame=Frame(*output, out_channels, lanes, 16),
        shape=tuple(shape),
        channels=channels,
        simd=1,
        pe=1,
        **layer,
    )
    config = fold(rng, config)
    weights = draw_codes(
        rng, Frame(*layer["kernel"], channels // layer["groups"], 1, 16), out_channels
    )
    dy = draw_codes(rng, config.frame, frames)
    expected = input_gradient(config, weights, dy)
    check_unit(ConvGradient(config, weights), {"i": dy}, expected, seed=seed, reset=True)


@pytest.mark.parametrize("seed", SEEDS)
def test_weight_gradient(check_unit, seed):
    batches = 1 + seed % 3
    rng = np.random.default_rng(seed)
    layer, (channels, *shape), (out_channels, *_) = draw_layer(rng)
    config = WeightGradientConfig(
        frame=Frame(*shape, channels, draw_lanes(rng, channels, layer["groups"]), 16),
        out_channels=out_channels,
        simd=1,
        pe=1,
        batch=int(rng.integers(1, 4)),
        bias_point=int(rng.choice([0, 0, 14])),
        **layer,
    )
    config = fold(rng, config)
    count = batches * config.batch
    maps, dy = (draw_codes(rng, frame, count) for frame in config.inputs.values())
    sums, biases = weight_gradient(config, maps, dy)
    transfers = check_unit(
        WeightGradient(config),
        {"i": maps, "d": dy},
        sums,
        seed=seed,
        reset=True,
        more={"b": (config.biases, biases)},
    )
    # The sums for biases are issued with the first cycle of a block and output channel.
    trace = config.trace(batches)
    mac = config.mac
    shape = (batches, mac.blocks, mac.beats, mac.outputs, mac.slices)
    issued = trace.issue["unit.sums"].reshape(shape)[:, :, 0, :, 0].reshape(-1)
    expected = issued - trace.source[0] + config.BIAS_LATENCY + config.bias_queue.latency
    assert np.array_equal(transfers["b"].cycles - transfers["i"].cycles[0], expected)


INPUT_GRADIENT = dict(
    frame=Frame(4, 4, 2, 2, 16), shape=(4, 4), channels=3, kernel=(3, 3), simd=1, pe=1
)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (
            {},
            "frame must be of 2 x 2 pixels for an input of 4 x 4, not of 4 x 4",
        ),
        (
            {"shape": (3, 3), "kernel": (2, 2), "pads": (2, 1, 1, 1)},
            "pads must be smaller than the 2 x 2 pixels of the kernel, not (2, 1, 1, 1)",
        ),
    ],
)
def test_wrong_input_gradient(members, message):
    with pytest.raises(ValueError) as error:
        ConvGradientConfig(**(INPUT_GRADIENT | members))
    assert str(error.value) == message


def test_wrong_weights():
    config = ConvGradientConfig(**INPUT_GRADIENT | {"pads": (1, 1, 1, 1)})
    with pytest.raises(ValueError) as error:
        config.load_words(np.zeros((3, 2, 3, 3), int))
    assert str(error.value) == "weights must have the shape (2, 3, 3, 3), not (3, 2, 3, 3)"


def test_wrong_batch():
    with pytest.raises(ValueError, match=r"^batch must be a positive integer, not 0$"):
        WeightGradientConfig(
            frame=Frame(4, 4, 1, 1), out_channels=1, kernel=(1, 1), simd=1, pe=1, batch=0
        )
