"""Windows hold the right taps, in the cycles that the configuration states."""

import numpy as np
import pytest

from hwsim.blocks.stream import Frame
from hwsim.blocks.window import WindowConfig
from hwsim.rtl.window import Window
from hwsim.sim.amaranth_engine import run
from hwsim.sim.beats import pack, unpack
from hwsim.sim.engine import Stimulus


def windows(config, maps):
    """(N, C, H, W) codes to (N * output beats, taps * lanes) codes, from first principles."""
    top, left, bottom, right = config.pads
    mode = {"constant_values": config.pad_value} if config.mode == "constant" else {}
    padded = np.pad(maps, ((0, 0), (0, 0), (top, bottom), (left, right)), config.mode, **mode)
    (kh, kw), (sh, sw), (dh, dw) = config.kernel, config.strides, config.dilations
    height = (padded.shape[2] - (kh - 1) * dh - 1) // sh + 1
    width = (padded.shape[3] - (kw - 1) * dw - 1) // sw + 1
    taps = np.stack(
        [
            padded[
                :,
                :,
                a * dh : a * dh + (height - 1) * sh + 1 : sh,
                b * dw : b * dw + (width - 1) * sw + 1 : sw,
            ]
            for a in range(kh)
            for b in range(kw)
        ],
        axis=1,
    )  # (N, taps, C, height, width)
    n, t, _, h, w = taps.shape
    groups, lanes = config.frame.groups, config.frame.lanes
    beats = taps.reshape(n, t, groups, lanes, h, w).transpose(0, 4, 5, 2, 1, 3)
    return beats.reshape(n * h * w * groups, t * lanes)


def check(config, seed, frames=(1, 3), stalls=0.0):
    rng = np.random.default_rng(seed)
    frame = config.frame
    for count in frames:
        maps = rng.integers(frame.minimum, frame.maximum + 1, (count, *frame.shape))
        expected = windows(config, maps)
        stimulus = Stimulus(
            {"i": pack(frame.to_beats(maps), frame.bits)},
            {"o": len(expected)},
            stalls=stalls,
            seed=seed,
        )
        recording = run(Window(config), stimulus)
        output = recording.transfers["o"]
        codes = unpack(output.payloads, config.output.lanes, frame.bits, frame.signed)
        assert np.array_equal(codes, expected)
        if not stalls:
            trace = config.trace(count)
            inputs = recording.transfers["i"].cycles
            assert np.array_equal(output.cycles - inputs[0], trace.sink - trace.source[0])
            # The run ends with the last output; beats that no window needs may then still wait.
            assert np.array_equal(
                inputs - inputs[0], (trace.source - trace.source[0])[: len(inputs)]
            )
            assert recording.cycles == config.cycles(count)


CASES = {
    "same": dict(frame=Frame(5, 6, 2, 2), kernel=(3, 3), pads=(1, 1, 1, 1), pad_value=-128),
    "valid": dict(frame=Frame(6, 5, 1, 1), kernel=(3, 3)),
    "5 x 5": dict(frame=Frame(9, 8, 1, 1), kernel=(5, 5), pads=(2, 2, 2, 2), pad_value=7),
    "whole map": dict(frame=Frame(4, 4, 2, 1), kernel=(4, 4)),
    "pointwise": dict(frame=Frame(3, 4, 4, 2), kernel=(1, 1)),
    "pointwise, strided": dict(frame=Frame(5, 5, 1, 1), kernel=(1, 1), strides=(2, 2)),
    "strided": dict(frame=Frame(7, 9, 1, 1), kernel=(3, 3), strides=(2, 3), pads=(1, 1, 0, 1)),
    "even": dict(frame=Frame(6, 6, 1, 1), kernel=(2, 4), pads=(0, 1, 1, 2)),
    "dilated": dict(frame=Frame(7, 11, 1, 1), kernel=(3, 2), dilations=(2, 5), pads=(2, 3, 2, 2)),
    "asymmetric": dict(frame=Frame(5, 5, 1, 1), kernel=(3, 3), pads=(2, 0, 0, 2)),
    "channel groups": dict(frame=Frame(4, 5, 6, 1), kernel=(3, 3), pads=(1, 1, 1, 1)),
    "row": dict(frame=Frame(1, 9, 1, 1), kernel=(1, 3), pads=(0, 1, 0, 1)),
    "column": dict(frame=Frame(9, 1, 1, 1), kernel=(3, 1), pads=(1, 0, 1, 0)),
    "pixel": dict(frame=Frame(1, 1, 2, 1), kernel=(3, 3), pads=(1, 1, 1, 1)),
    "flat": dict(frame=Frame(1, 4, 1, 1), kernel=(3, 3), pads=(1, 1, 1, 1)),
    "padding alone": dict(frame=Frame(3, 4, 2, 1), kernel=(1, 1), pads=(1, 2, 3, 0), pad_value=-3),
    "padding beyond the kernel": dict(
        frame=Frame(3, 3, 1, 1), kernel=(2, 2), strides=(3, 2), pads=(4, 3, 2, 5)
    ),
    "edge": dict(frame=Frame(5, 6, 1, 1), kernel=(3, 3), pads=(1, 1, 1, 1), mode="edge"),
    "edge, far": dict(frame=Frame(2, 3, 2, 1), kernel=(4, 4), pads=(3, 3, 2, 3), mode="edge"),
    "wide codes": dict(
        frame=Frame(4, 4, 1, 1, 16, True), kernel=(2, 2), pad_value=-32768, pads=(1, 0, 0, 0)
    ),
    "unsigned": dict(
        frame=Frame(4, 4, 1, 1, 8, False), kernel=(3, 3), pad_value=255, pads=(1, 1, 1, 1)
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_window(case):
    check(WindowConfig(**CASES[case]), seed=1)


@pytest.mark.parametrize(
    "case", ["same", "strided", "channel groups", "pixel", "padding alone", "edge"]
)
def test_window_under_stalls(case):
    check(WindowConfig(**CASES[case]), seed=2, frames=(3,), stalls=0.4)


def draw(seed):
    """A random configuration, small enough to simulate in no time."""
    rng = np.random.default_rng(seed)
    while True:
        kernel, strides, dilations = (
            tuple(map(int, rng.integers(1, high, 2))) for high in (5, 4, 4)
        )
        pads = tuple(map(int, rng.integers(0, 4, 4)))
        lanes, groups = map(int, rng.integers(1, 4, 2))
        frame = Frame(
            *map(int, rng.integers(1, 9, 2)), lanes * groups, lanes, 4, bool(rng.integers(2))
        )
        mode = "edge" if rng.random() < 0.2 else "constant"
        if mode == "edge":
            dilations = (1, 1)
            pads = tuple(min(p, k - 1) for p, k in zip(pads, kernel * 2, strict=True))
        value = int(rng.integers(frame.minimum, frame.maximum + 1))
        try:
            return WindowConfig(
                frame=frame,
                kernel=kernel,
                strides=strides,
                dilations=dilations,
                pads=pads,
                pad_value=value,
                mode=mode,
            )
        except ValueError:  # the kernel does not fit the map
            continue


@pytest.mark.parametrize("seed", range(60))
def test_random_window(seed):
    check(draw(seed), seed, frames=(2,))
