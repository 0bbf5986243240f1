"""Foldings that cannot be are refused; weights lie where the hardware looks for them."""

import numpy as np
import pytest

from hwsim.blocks.conv import ConvConfig, DenseConfig
from hwsim.blocks.mac import MacConfig
from hwsim.blocks.requantize import RequantizeConfig
from hwsim.blocks.stream import Frame
from hwsim.blocks.widths import signed_bits
from hwsim.blocks.words import unpack
from hwsim.network.fixed_point import Requantize

MEMBERS = dict(frame=Frame(4, 4, 6, 2), out_channels=6, kernel=(3, 3), simd=2, pe=2)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"simd": 0}, "simd must be a positive integer, not 0"),
        ({"simd": 4}, "simd must divide the products per beat and output channel (18), not 4"),
        ({"pe": 4}, "pe must divide the output channels per beat (6), not 4"),
        ({"groups": 4}, "groups must divide the input channels (6), not 4"),
        ({"groups": 3, "out_channels": 4}, "groups must divide out_channels (4), not 3"),
        (
            {"groups": 2},
            "lanes must be a divisor or a multiple of the channels per group (3), not 2",
        ),
        (
            {"kernel": (5, 3)},
            "kernel spans 5 x 3 pixels, more than the padded map's 4 x 4",
        ),
        (
            {
                "requantize": RequantizeConfig(accumulator_bits=20, shifts=(20, 20)),
                "accumulator_bits": 21,
            },
            "requantize must take 21 accumulator bits, not 20",
        ),
    ],
)
def test_impossible_configuration(members, message):
    with pytest.raises(ValueError) as error:
        ConvConfig(**(MEMBERS | members))
    assert str(error.value) == message


def check_constants(config, weights, bias, requantize=None):
    """What the hardware asks of a configuration."""
    config.weight_words(weights)
    config.bias_words(bias)
    config.factor_words(requantize)
    config.check_accumulator(weights, bias)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"weights": np.zeros((6, 5, 3, 3), int)},
            "weights must have the shape (6, 6) with 9 taps, not (6, 5, 3, 3)",
        ),
        (
            {"weights": np.full((6, 6, 3, 3), 128)},
            "weights must lie in [-128, 127], not [128, 128]",
        ),
        ({"bias": np.zeros(5, int)}, "bias must have the shape (6,), not (5,)"),
        ({"bias": np.full(6, 1 << 20)}, "bias must fit 20 bits, not 22"),
        (
            {"weights": np.full((6, 6, 3, 3), -128)},
            "accumulator_bits must be at least 21 for these weights, not 20",
        ),
        (
            {"requantize": Requantize([1], [0], 0, -128, 127)},
            "requantize must be None as configured",
        ),
    ],
)
def test_constants_that_do_not_fit(change, message):
    config = ConvConfig(accumulator_bits=20, **MEMBERS).mac
    constants = {"weights": np.zeros((6, 6, 3, 3), int), "bias": np.zeros(6, int)}
    check_constants(config, **constants)
    with pytest.raises(ValueError) as error:
        check_constants(config, **(constants | change))
    assert str(error.value) == message


def test_dense_weights_of_wrong_shape():
    config = DenseConfig(frame=Frame(2, 2, 3, 3), out_channels=4, simd=3, pe=2)
    with pytest.raises(ValueError) as error:
        config.in_stream_order(np.zeros((4, 11), int))
    assert str(error.value) == "weights must have the shape (4, 12), not (4, 11)"


def test_weight_words():
    """Blocks outermost, then beats, outputs and slices.

    Within a word output channel, then tap, then channel.
    """
    config = MacConfig(
        frame=Frame(1, 1, 2 * 8, 2 * 2), out_channels=4, simd=2, pe=1, taps=2, groups=2
    )
    weights = np.arange(4 * 4 * 2).reshape(4, 4, 2)  # (output channel, channel of the group, tap)
    words = unpack(config.weight_words(weights), 2, 8, True)
    expected = [
        [weights[block * 2 + output, beat * 2 + channel, tap] for channel in range(2)]
        for block in range(2)
        for beat in range(2)
        for output in range(2)
        for tap in range(2)
    ]
    assert words.tolist() == expected


def test_stream_order():
    """A column of the weights meets its own pixel."""
    config = DenseConfig(frame=Frame(2, 3, 4, 2), out_channels=5, simd=2, pe=1)
    rng = np.random.default_rng(0)
    weights, maps = rng.integers(-9, 9, (5, 24)), rng.integers(-9, 9, (1, 4, 2, 3))
    stream = config.frame.to_beats(maps).reshape(-1)
    assert np.array_equal(config.in_stream_order(weights) @ stream, weights @ maps.reshape(-1))


def test_worst_case():
    """The default width holds -128 x -128 summed over the whole kernel, and a bias as large."""
    config = MacConfig(frame=Frame(1, 1, 9 * 4, 9 * 4), out_channels=1, simd=36, pe=1, taps=9)
    most = 36 * 128 * 128
    assert config.accumulator_bits == signed_bits(-2 * most, 2 * most)


def test_counts():
    """A depthwise convolution of four channels: useful work, work done, rate and latency."""
    config = ConvConfig(
        frame=Frame(6, 6, 4, 2),
        out_channels=4,
        kernel=(3, 3),
        groups=4,
        simd=3,
        pe=2,
        accumulator_bits=20,
    )
    assert config.output == Frame(4, 4, 4, 2, 20, True)
    assert config.macs == 4 * 4 * 4 * 9
    assert config.multipliers == 6
    assert config.mac.hold == 3
    assert config.mac.interval == 4 * 4 * 2 * 3 == config.macs / config.multipliers
    # Windows of four rows leave two columns, so four beats, apart: one cycle more than the beat
    # before is held. From the last window of a frame to the first of the next there are two rows
    # more.
    assert config.interval == config.mac.interval + 3 * 2 + (2 * 12 + 5 - 3)
    # The window, operands and products, three products to add, the accumulator.
    assert config.latency == 2 + 4 + 2 + 1
