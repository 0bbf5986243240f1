"""Argmax states its closed forms."""

import pytest

from hwsim.blocks.argmax import ArgmaxConfig
from hwsim.blocks.stream import Frame


@pytest.mark.parametrize("lanes, latency", [(1, 1), (2, 2), (5, 4), (10, 4)])
def test_argmax(lanes, latency):
    config = ArgmaxConfig(frame=Frame(2, 3, 10, lanes))
    assert config.output == Frame(2, 3, 1, 1, 4, False)
    assert config.interval == 6 * 10 // lanes
    assert config.latency == latency
    assert config.cycles(3) == 3 * config.interval + latency + 1


@pytest.mark.parametrize(
    "channels, bits", [(1, 1), (2, 1), (3, 2), (1000, 10), (1024, 10), (1025, 11)]
)
def test_bits_of_an_index(channels, bits):
    assert ArgmaxConfig(frame=Frame(1, 1, channels, 1)).output.bits == bits
