"""The units of a training accelerator, one by one: equal to the reference, in value and time."""

from itertools import pairwise

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hwsim.blocks.training import (
    ARGUMENT_POINT,
    FUNCTION_SHIFT,
    VALUE_POINT,
    Curve,
    TrainingConfig,
    jumps,
)
from hwsim.models.reference.training import Reference, function, noise, round_codes, slope
from hwsim.rtl.training import Function, MatrixProduct, WinnerPool, WinnerRoute, word_layout
from hwsim.rtl.training_loss import Loss
from hwsim.sim import amaranth_engine, compiled_engine
from hwsim.sim.engine import Stimulus

SEEDS = range(4)
LIMIT = 1 << 15


def draw(rng):
    return TrainingConfig(lanes=int(rng.integers(4, 8)), taps=int(rng.integers(1, 10)))


def codes(rng, *shape, spread=False):
    """Codes, some of them extreme; ``spread`` over all magnitudes."""
    drawn = rng.integers(-LIMIT, LIMIT, shape)
    if spread:
        drawn >>= rng.integers(0, 16, shape)
    drawn[rng.random(shape) < 0.1] = -LIMIT
    return drawn


class Bounded(wiring.Component):
    """A unit with a bound that stays, or none."""

    def __init__(self, unit, bound):
        self._unit, self._bound = unit, bound
        super().__init__({name: unit.signature.members[name] for name in "io"})

    def elaborate(self, platform):
        m = Module()
        m.submodules.unit = unit = self._unit
        if self._bound is not None:
            m.d.comb += [unit.clip.eq(1), unit.bound.eq(self._bound)]
        for name in "io":
            wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(unit, name))
        return m


def run(component, beats, count, engine=compiled_engine):
    return engine.run(component, Stimulus({"i": beats}, {"o": count}))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("stochastic", [False, True])
@pytest.mark.parametrize("engine", [compiled_engine, amaranth_engine])
def test_product(seed, stochastic, engine):
    """Folds back to back, the last rows first; random numbers go on from fold to fold."""
    rng = np.random.default_rng(seed)
    config = draw(rng)
    lanes, folds, start = config.lanes, 5, int(rng.integers(1, 2**32))
    bound = int(rng.integers(LIMIT)) if seed % 2 else None
    random = noise(start, folds * lanes, lanes).reshape(folds, lanes, lanes)
    beats, expected = [[*[0] * (2 * lanes + 5), 1, start]], []
    for shift, drawn in zip((0, 1, 14, 32, int(rng.integers(33))), random, strict=True):
        steps, relu = int(rng.integers(lanes, 3 * lanes)), int(rng.integers(2))
        a, w = (codes(rng, steps, lanes, spread=shift < 14) for _ in range(2))
        tail = [[0, 0, shift, relu, stochastic, 0, 0]] * steps
        fold = np.concatenate([a, w, tail], axis=1)
        fold[0, 2 * lanes] = fold[-1, 2 * lanes + 1] = 1
        beats += fold.tolist()
        found = round_codes(a.T @ w, shift, drawn[::-1] if stochastic else None)
        found = np.maximum(found, 0) if relu else found
        expected.append(np.minimum(found, LIMIT if bound is None else bound)[::-1])
    recording = run(Bounded(MatrixProduct(config), bound), beats, folds * lanes, engine)
    found = recording.outputs["o"]
    assert (found.values == np.concatenate(expected)).all(), f"seed {seed}"
    first = recording.inputs["i"].cycles[np.flatnonzero(np.array(beats)[:, 2 * lanes + 1])]
    latency = config.array.latency + config.round_latency
    assert (found.cycles[::lanes] == first + latency).all()
    assert (found.cycles.reshape(folds, -1) == found.cycles[::lanes, None] + range(lanes)).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_pool_and_route(seed):
    rng = np.random.default_rng(seed)
    config = draw(rng)
    lanes, taps, count = config.lanes, config.taps, int(rng.integers(1, 20))
    # Few different values: the first of equal ones has to win.
    windows = rng.integers(-2, 3, (count, taps, lanes))
    first, last = (np.arange(taps) == k for k in (0, taps - 1))
    ends = np.tile(np.stack([first, last], axis=1), (count, 1))
    # What is outside has whatever code, and never wins; something is inside.
    outside = rng.random((count, taps)) < 0.3
    outside[np.arange(count), rng.integers(taps, size=count)] = False
    windows[outside] = LIMIT - 1
    windows[0, ~outside[0]] = -LIMIT
    beats = np.concatenate([windows.reshape(-1, lanes), outside.reshape(-1, 1), ends], axis=1)
    windows[outside] = -2 * LIMIT
    bound = int(rng.integers(3)) if seed % 2 else None
    pooled = run(Bounded(WinnerPool(config), bound), beats, count)
    assert (pooled.outputs["o"].cycles == pooled.inputs["i"].cycles[taps - 1 :: taps] + 1).all()
    value, marks = np.split(pooled.outputs["o"].values, [lanes], axis=1)
    winner = windows.argmax(axis=1)
    assert (value == windows.max(axis=1)).all()
    assert (marks[:, ::2] == winner).all()
    passing = (value > 0) & (value < (LIMIT if bound is None else bound))
    assert (marks[:, 1::2] == passing).all()
    dy = codes(rng, count, lanes)
    for relu in (0, 1):
        each = np.concatenate([dy, marks, np.full((count, 1), relu)], axis=1)
        beats = np.concatenate([each.repeat(taps, axis=0), np.tile(first, count)[:, None]], axis=1)
        routed = run(WinnerRoute(config), beats, count * taps)
        assert (routed.outputs["o"].cycles == routed.inputs["i"].cycles + 1).all()
        found = routed.outputs["o"].values.reshape(count, taps, lanes)
        passes = winner[:, None] == np.arange(taps)[:, None]
        passes &= passing[:, None] | (relu == 0)
        assert (found == np.where(passes, dy[:, None], 0)).all()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("loss", ["cross-entropy", "rmse"])
@pytest.mark.parametrize("engine", [compiled_engine, amaranth_engine])
def test_loss(seed, loss, engine):
    """Batches back to back, of outputs of all points and sizes."""
    rng = np.random.default_rng(seed)
    lanes, classes = int(rng.integers(4, 8)), int(rng.integers(1, 12))
    batch = lanes * 2 if seed % 2 else int(rng.integers(1, lanes + 1))
    config = TrainingConfig(lanes=lanes, loss=loss, batch=batch, classes=classes)
    reference, sent, expected = Reference([], lanes, loss), [], []
    for point in (0, 14, int(rng.integers(15))):
        outputs = codes(rng, batch, classes, spread=True) >> rng.integers(16, size=(batch, 1))
        labels = rng.integers(classes, size=batch)
        expected.append(reference.loss_gradient(outputs, labels, point).reshape(-1, 1))
        filled = np.concatenate([outputs, codes(rng, -batch % lanes, classes)])
        filled_labels = np.concatenate([labels, rng.integers(classes, size=-batch % lanes)])
        for image in range(batch):
            group = slice(image // lanes * lanes, image // lanes * lanes + lanes)
            sent += [
                [*word, *filled_labels[group], image % lanes, k == 0, 14 - point, 1 << point]
                for k, word in enumerate(filled[group].T)
            ]
    recording = run(Loss(config), sent, len(sent), engine)
    found = recording.outputs["o"]
    assert (found.values.reshape(-1, 1) == np.concatenate(expected)).all(), f"seed {seed}"
    last, ended = (
        port.cycles[batch * classes - 1 :: batch * classes]
        for port in (recording.inputs["i"], found)
    )
    assert (ended == last + 1 + config.gradient.drain).all()


CURVES = (
    Curve("Sigmoid"),
    Curve("Tanh"),
    Curve("Power", 2.0, 0.75),
    Curve("Slope", 2.0, 0.75),
)


@pytest.mark.parametrize(("functions", "number"), [(2, 0), (2, 1), (4, 1), (4, 2), (4, 3)])
@pytest.mark.parametrize("gradient", [False, True])
def test_function(gradient, functions, number):
    """Every argument; gradients of all sizes for every value, rounded stochastically."""
    config, curve = TrainingConfig(lanes=4, functions=functions), CURVES[number]
    x = np.arange(-LIMIT if number < 2 else 0, LIMIT).reshape(-1, 4)
    y = function(x, curve)
    rng, shift, seed = np.random.default_rng(number), FUNCTION_SHIFT, 77
    if gradient:
        x, shift = codes(rng, len(x), 4, spread=True), 2 * VALUE_POINT - 1
        y = y if number < 2 else codes(rng, len(x), 4, spread=True)
    top = Bench(config, [int(gradient), number, shift, int(gradient), seed])
    values, slopes = np.concatenate([c.tables() for c in CURVES[:functions]], axis=1).tolist()
    tables = values, slopes[2 * len(values) // functions :]
    writes = [
        [*[code] * 4, *[0] * 4, kind == 0, kind == 1, k, 0]
        for kind, entries in enumerate(tables)
        for k, code in enumerate(entries)
    ]
    start = [[0] * 8 + [0, 0, 0, 1]]
    beats = np.concatenate([x, y, np.zeros((len(x), 4), int)], axis=1)
    recording = run(top, [*writes, *start, *beats.tolist()], len(x))
    found = recording.outputs["o"]
    assert (found.cycles == recording.inputs["i"].cycles[-len(x) :] + config.function_latency).all()
    expected = y
    if gradient:
        random, one = noise(seed, len(x), 4), 1 << VALUE_POINT
        factor = slope(y, one, tanh=number == 1) if number < 2 else y * one
        expected = round_codes(x * factor, shift, random)
    assert (found.values == expected).all()


class Bench(wiring.Component):
    """A `Function` whose settings stay; a beat is a word of each operand, or an entry."""

    def __init__(self, config, settings):
        self._config, self._settings = config, settings
        word = word_layout(config)
        kinds = {"write": 1, "write_slope": 1}
        beat = {"x": word, "y": word, **kinds, "address": 12, "load": 1}
        super().__init__(
            {
                "i": In(stream.Signature(data.StructLayout(beat), always_ready=True)),
                "o": Out(stream.Signature(word, always_ready=True)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.function = function = Function(self._config)
        wiring.connect(m, function.o, wiring.flipped(self.o))
        beat = self.i.payload
        for name, value in zip(
            ("gradient", "curve", "shift", "stochastic", "seed"), self._settings, strict=True
        ):
            m.d.comb += getattr(function, name).eq(value)
        m.d.comb += [
            function.i.payload.x.eq(beat.x),
            function.i.payload.y.eq(beat.y),
            function.i.valid.eq(self.i.valid & ~(beat.write | beat.write_slope | beat.load)),
            function.write.eq(self.i.valid & beat.write),
            function.write_slope.eq(self.i.valid & beat.write_slope),
            function.address.eq(beat.address),
            function.entry.eq(beat.x),
            function.load.eq(self.i.valid & beat.load),
        ]
        return m


@pytest.mark.parametrize("curve", CURVES)
def test_function_is_near(curve):
    """Half a code from rounding, half from that of an entry, and of the line h**2 / 2 |f''|."""
    known = curve.name in ("Sigmoid", "Tanh")
    codes = np.arange(-LIMIT if known else 0, LIMIT)
    x, power = np.ldexp(codes, -ARGUMENT_POINT), curve.bias**-curve.beta
    falls = -curve.beta * (1 + x) ** (-curve.beta - 1) if not known else 0
    exact, curved = {
        "Sigmoid": (lambda: (1 / (1 + np.exp(-x)), 1 / (6 * 3**0.5))),
        "Tanh": (lambda: (np.tanh(x), 4 / 3**1.5)),
        "Power": (lambda: (power * (1 + x) ** -0.75, power * 0.75 * 1.75)),
        "Slope": (lambda: (power * falls, power * 0.75 * 1.75 * 2.75)),
    }[curve.name]()
    apart = np.abs(np.ldexp(function(codes, curve), -curve.point) - exact)
    # A slope is off by a code at most: rounded, or that of the rounded entry, twice as far off.
    half, reach = 2.0 ** -(curve.point + 1), 2.0 ** (15 - 10 - ARGUMENT_POINT)
    assert apart.max() <= 2 * half + reach**2 / 2 * curved + 2 * half * reach


def test_stochastic_rounding_is_fair():
    """The mean of n roundings of a fraction p is within 6 standard deviations of p."""
    count = 1 << 16
    random = noise(0x1234567, count // 16, 16).reshape(-1)
    for fraction in (1, 77, 128, 255):
        ups = round_codes(np.full(count, 5 * 256 + fraction), 8, random) - 5
        assert set(np.unique(ups)) <= {0, 1}
        p = fraction / 256
        assert abs(ups.mean() - p) < 6 * np.sqrt(p * (1 - p) / count)


def test_noise_by_steps():
    """Leaps end where single steps do."""
    found = noise(99, 200, 3)
    for row, following in pairwise(found):
        for state, expected in zip(row, following, strict=True):
            x = int(state)
            x ^= x << 13 & 0xFFFFFFFF
            x ^= x >> 17
            x ^= x << 5 & 0xFFFFFFFF
            assert x == expected


def test_jumps():
    """A nest that adds them is where strides and indices say."""
    rng = np.random.default_rng(3)
    counts, strides = [3, 1, 4, 2], rng.integers(-9, 10, 4).tolist()
    added, place = jumps(strides, counts), 0
    for step, index in enumerate(np.ndindex(*counts[::-1])):
        assert place == sum(i * s for i, s in zip(index[::-1], strides, strict=True))
        level = next((k for k in range(4) if (step + 1) % np.prod(counts[: k + 1])), 3)
        place += added[level]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"lanes": 3}, "lanes must be an integer of at least 4, not 3"),
        ({"taps": 0}, "taps must be a positive integer, not 0"),
        ({"maps": 0}, "maps must be a positive integer, not 0"),
        ({"functions": 1}, "functions must be 0, or 2 to 8, not 1"),
        ({"functions": 9}, "functions must be 0, or 2 to 8, not 9"),
        ({"classes": 0}, "classes must be a positive integer, not 0"),
        ({"loss": "hinge"}, "loss must be cross-entropy or rmse, not 'hinge'"),
        ({"accumulator_bits": 63}, "accumulator_bits must be at most 62, not 63"),
        ({"accumulator_bits": 20}, "accumulator_bits must be at least 32 for one step, not 20"),
    ],
)
def test_init_wrong(members, message):
    with pytest.raises(ValueError) as raised:
        TrainingConfig(**members)
    assert str(raised.value) == message
