# amaranth: UnusedElaboratable=no
"""ReLU with its mask, and gradients of activations: exact, in the cycles that are stated."""

import numpy as np
import pytest

from hwsim.blocks.backward_activation import ActivationGradientConfig, ReluConfig
from hwsim.blocks.stream import Frame
from hwsim.models.reference.backward import GRADIENTS
from hwsim.models.reference.backward_units import activation_gradient
from hwsim.rtl.backward_activation import ActivationGradient, Relu

SEEDS = range(6)


def draw(seed):
    rng = np.random.default_rng(seed)
    lanes, groups = (int(n) for n in rng.integers(1, 4, 2))
    return rng, Frame(*(int(n) for n in rng.integers(1, 6, 2)), lanes * groups, lanes, 16)


def draw_codes(rng, frame, count):
    codes = rng.integers(frame.minimum, frame.maximum + 1, (count, *frame.shape))
    codes[rng.random(codes.shape) < 0.2] = frame.minimum
    codes[rng.random(codes.shape) < 0.2] = 0
    return codes


@pytest.mark.parametrize("seed", SEEDS)
def test_relu(check_unit, seed):
    frames = 1 + seed % 3
    rng, frame = draw(seed)
    config = ReluConfig(frame=frame, maps=int(rng.integers(1, frames + 1)))
    codes = draw_codes(rng, frame, frames)
    mask = (codes > 0).astype(np.int64)
    transfers = check_unit(
        Relu(config),
        {"i": codes},
        np.maximum(codes, 0),
        seed=seed,
        reset=True,
        more={"m": (config.mask, mask)},
    )
    delays = transfers["m"].cycles - transfers["o"].cycles
    assert set(delays.tolist()) == {config.memory.latency - config.queue.latency}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", ["relu", "sigmoid", "tanh"])
def test_activation_gradient(check_unit, kind, seed):
    frames = 1 + seed % 3
    rng, frame = draw(seed)
    point = None if kind == "relu" else int(rng.choice([14, 14, 7, 0, 17]))
    config = ActivationGradientConfig(frame=frame, kind=kind, point=point)
    dy, y = draw_codes(rng, frame, frames), draw_codes(rng, config.outputs, frames)
    expected = activation_gradient(config, y, dy)
    check_unit(ActivationGradient(config), {"i": dy, "y": y}, expected, seed=seed, reset=True)
    if kind == "relu":
        return
    one = 1 << point
    (gradient,) = GRADIENTS[kind.capitalize()]({}, (None,), y / one, dy.astype(float))
    assert np.array_equal(expected / one**2, gradient)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"kind": "elu"}, 'kind must be "relu", "sigmoid" or "tanh", not \'elu\''),
        ({"kind": "relu", "point": 3}, "point must be None for relu, not 3"),
        ({"kind": "tanh", "point": -1}, "point must be an integer of at least 0, not -1"),
        (
            {"kind": "relu", "frame": Frame(1, 1, 1, 1, 16, False)},
            "frame must be of signed numbers",
        ),
    ],
)
def test_wrong(members, message):
    with pytest.raises(ValueError) as error:
        ActivationGradientConfig(**({"frame": Frame(1, 1, 1, 1, 16)} | members))
    assert str(error.value) == message
