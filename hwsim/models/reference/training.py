"""What a training accelerator computes, in exact integers; `hwsim.models.training` says what for.

Sums become codes by ``clip(round(sum / 2**shift))``, to nearest with ties to even, or
stochastically: ``floor((sum + r) / 2**shift)`` with ``r`` the top ``shift`` bits of a random number
of 32 bits. Random numbers depend on the lane, a seed for each operation, and on how many rows were
rounded before: rows leave the array a tile at a time, the last row first.
"""

import math
from typing import Protocol

import numpy as np

from hwsim.blocks.training import (
    BITS,
    FUNCTION_SHIFT,
    INDEX_BITS,
    NOISE_BITS,
    OUTPUT_POINT,
    VALUE_POINT,
    Curve,
    loss_gradient,
    noise_offset,
)
from hwsim.network.fixed_point import round_half_even_shift
from hwsim.network.training import FACTOR_BITS, FUNCTIONS, IMAGES, SUM_POOLS

from .backward import scatter, sum_pool_gradient
from .backward_loss import cross_entropy_gradient, rmse_gradient
from .floating import neighbour_sums, pad_maps, taps

__all__ = [
    "Machine",
    "Reference",
    "from_words",
    "function",
    "noise",
    "round_codes",
    "slope",
    "to_words",
]

# Products that a sum in float64 can hold exactly, with operands of 16 bits.
EXACT_DEPTH = 1 << 22
LIMIT = 1 << (BITS - 1)
# Codes below it have two bits to spare.
LARGE = LIMIT >> 2


class Machine(Protocol):
    """A training accelerator, simulated or as a reference.

    Members
    -------
    loss : str
        Of which it makes gradients, see `hwsim.blocks.training.loss_gradient`.
    codes, velocities : dict of str to ndarray of int64, (depth, outputs)
        Weights, and below them biases, of each stage.
    """

    loss: str
    codes: dict
    velocities: dict

    def load(self, codes, velocities):
        """Set weights and velocities."""

    def step(self, images, labels, scales, point):
        """Forward pass, loss, backward pass and update.

        Parameters
        ----------
        images : ndarray of int64, (B, C, H, W)
            Codes.
        labels : ndarray of int64, (B,)
        scales : sequence of Scales
            Of each stage.
        point : int
            Of the outputs.

        Returns
        -------
        (ndarray of int64, dict of str to (bool, bool))
            Codes of the outputs, (B, classes). For ``map/NAME``, ``delta/NAME``, ``gradient/NAME``
            and ``velocity/NAME`` of the stages: a code has reached a bound, a code lies outside of
            [-2**13, 2**13).
        """


def round_codes(sums, shift, random=None):
    """Codes for sums; ``random`` are numbers of 32 bits, of the same shape."""
    if random is None:
        rounded = round_half_even_shift(sums, shift)
    else:
        rounded = (sums + (np.asarray(random, np.int64) >> (NOISE_BITS - shift))) >> shift
    return np.clip(rounded, -LIMIT, LIMIT - 1)


def _weighted(x, y, numbers):
    """Codes of ``p x + q y``."""
    p, q, shift = numbers
    return round_codes(x * p + y * q, shift)


def _xorshift(state):
    state = state ^ (state << np.uint32(13))
    state = state ^ (state >> np.uint32(17))
    return state ^ (state << np.uint32(5))


class _Leap:
    """Many steps of the generator at once: it is linear, so that a step is a sum of bytes."""

    def __init__(self):
        self._tables: list[np.ndarray] = []
        self._images = _xorshift(np.uint32(1) << np.arange(NOISE_BITS, dtype=np.uint32))

    def apply(self, level, states):
        """``states`` after ``2**level`` steps."""
        while len(self._tables) <= level:
            self._tables.append(_byte_tables(self._images))
            self._images = self.apply(len(self._tables) - 1, self._images)
        tables = self._tables[level]
        parts = [states >> np.uint32(8 * k) & np.uint32(0xFF) for k in range(len(tables))]
        return np.bitwise_xor.reduce([t[p] for t, p in zip(tables, parts, strict=True)])


def _byte_tables(images):
    """What each value of each byte adds, (4, 256), from what each bit does."""
    tables = np.zeros((NOISE_BITS // 8, 1), np.uint32)
    for bit in range(8):
        tables = np.concatenate([tables, tables ^ images[bit::8, None]], axis=1)
    return tables


_LEAP = _Leap()


def noise(seed, rows, lanes):
    """Random numbers, uint32 (rows, lanes), that begin with ``seed``."""
    states = np.array([[seed ^ noise_offset(lane) for lane in range(lanes)]], np.uint32)
    level = 0
    while len(states) < rows:
        states = np.concatenate([states, _LEAP.apply(level, states)])
        level += 1
    return states[:rows]


def slope(y, one, *, tanh):
    """Of tanh, or sigmoid, where it is ``y``; in steps of ``one**-2``."""
    return (one + y if tanh else y) * (one - y)


def function(codes, curve):
    """Codes of a `Curve`: a straight line through the middle of each entry of its table."""
    low = BITS - INDEX_BITS
    entry, rest = codes >> low & (1 << INDEX_BITS) - 1, codes & (1 << low) - 1
    values, slopes = curve.tables()
    y = values[entry]
    if curve.name in FUNCTIONS:
        rise = slope(y, 1 << VALUE_POINT, tanh=curve.name == "Tanh")
    else:
        rise = slopes[entry] << VALUE_POINT
    line = (rest - (1 << (low - 1))) * rise
    return round_codes((y << FUNCTION_SHIFT) + line, FUNCTION_SHIFT)


def to_words(matrix, lanes, group):
    """Weights (depth, outputs) as they lie in memory: (tiles of a group's outputs × depth, lanes).

    Tiles of the first group come first.
    """
    depth, outputs = matrix.shape
    each = outputs // group
    padded = np.zeros((depth, group, -(-each // lanes) * lanes), np.int64)
    padded[..., :each] = matrix.reshape(depth, group, each)
    return padded.reshape(depth, -1, lanes).swapaxes(0, 1).reshape(-1, lanes)


def from_words(words, shape, group):
    """The other way round; ``shape`` is (depth, outputs)."""
    depth, outputs = shape
    whole = words.reshape(-1, depth, words.shape[1]).swapaxes(0, 1).reshape(depth, group, -1)
    return whole[..., : outputs // group].reshape(depth, outputs)


class _Random:
    """Random numbers of rows that are rounded one after another; those of some at a time.

    Parameters
    ----------
    seed : int
    lanes : int
    """

    def __init__(self, seed, lanes):
        self._seed, self._lanes, self._used = seed, lanes, 0

    def rows(self, count):
        """The next (count, lanes)."""
        begin = self._used
        self._used += count
        return noise(self._seed, self._used, self._lanes)[begin:]

    def tiles(self, count):
        """The next (count, lanes, lanes); the last row of a tile was rounded first."""
        drawn = self.rows(count * self._lanes)
        return drawn.reshape(count, self._lanes, self._lanes)[:, ::-1]


class Reference:
    """A `Machine` in NumPy.

    Feature maps here are (channels, height, width, images), with images of zeros until they fill
    the lanes.

    Parameters
    ----------
    stages : sequence of Stage
    lanes : int
    loss : str
    """

    def __init__(self, stages, lanes, loss="cross-entropy"):
        self.stages = stages
        self.lanes = lanes
        self.loss = loss
        self.codes: dict[str, np.ndarray] = {}
        self.velocities: dict[str, np.ndarray] = {}
        self._remembered: list = []
        self._flags: dict[str, tuple[bool, bool]] = {}

    def load(self, codes, velocities):
        """As `Machine.load`."""
        self.codes, self.velocities = dict(codes), dict(velocities)

    # Arithmetic

    def _random(self, numbers, work):
        """Random numbers for a kind of work, or None where none are wanted."""
        return _Random(numbers.seeds[work], self.lanes) if numbers.seeds else None

    def _product(self, a, b, shift, random=None):
        """Codes of a product, (M, K) by (K, N)."""
        if a.shape[1] < EXACT_DEPTH:
            sums = (a.astype(np.float64) @ b.astype(np.float64)).astype(np.int64)
        else:
            sums = a @ b
        return self._rounded(sums, shift, random)

    def _rounded(self, sums, shift, random):
        """Codes for sums (M, N): tiles of rows inside, of columns outside."""
        if random is None:
            return round_codes(sums, shift)
        (rows, cols), lanes = sums.shape, self.lanes
        down, across = -(-rows // lanes), -(-cols // lanes)
        tiles = random.tiles(across * down).reshape(across, down, lanes, lanes)
        whole = tiles.transpose(1, 2, 0, 3).reshape(down * lanes, across * lanes)
        return round_codes(sums, shift, whole[:rows, :cols])

    def _combine(self, x, y, group, numbers, random):
        """Codes of ``p x + q y`` for matrices of weights."""
        p, q, shift = numbers
        sums = to_words(x * p + y * q, self.lanes, group)
        return from_words(self._rounded(sums, shift, random), x.shape, group)

    def _note(self, key, codes):
        bounded = (codes == LIMIT - 1) | (codes == -LIMIT)
        large = (codes >= LARGE) | (codes < -LARGE)
        before = self._flags.get(key, (False, False))
        self._flags[key] = before[0] | bool(bounded.any()), before[1] | bool(large.any())

    # Steps

    def step(self, images, labels, scales, point):
        """As `Machine.step`."""
        codes = self.forward(images, scales)
        return codes, self.backward(self.loss_gradient(codes, labels, point), scales)

    def loss_gradient(self, codes, labels, point):
        """Codes of the gradient of outputs, (B, classes), of which these are the codes."""
        config = loss_gradient(self.loss, *codes.shape)
        if self.loss == "cross-entropy":
            lifted = codes[..., None, None] << (OUTPUT_POINT - point)
            return cross_entropy_gradient(config, lifted, labels[:, None, None, None])[..., 0, 0]
        targets = np.eye(codes.shape[1], dtype=np.int64)[labels] << point
        return rmse_gradient(config, codes[None], targets[None])[0]

    def forward(self, images, scales):
        """Codes of the outputs, (B, classes), for those of images, (B, C, H, W)."""
        count = len(images)
        self._count, self._flags, self._remembered = count, {}, []
        found = {IMAGES: self._lanes(np.moveaxis(images, 0, -1))}
        for stage, numbers in zip(self.stages, scales, strict=True):
            inputs = [found[name] for name in stage.inputs]
            if stage.op in ("Add", "Concat"):
                out, kept = self._joined(stage, inputs, numbers), None
            else:
                maps = inputs[0].reshape(*stage.shape, inputs[0].shape[-1])
                out, kept = self._own(stage, maps, numbers)
            bound = LIMIT if stage.largest == math.inf else numbers.bound
            if stage.relu:
                out = np.clip(out, 0, bound)
            if stage.sums:
                self._note(f"map/{stage.name}", out[..., :count])
            maps, winner = self._pool(stage, out)
            self._remembered.append((kept, winner, (maps > 0) & (maps < bound)))
            found[stage.name] = maps
        return maps.reshape(-1, maps.shape[-1])[:, :count].T

    @staticmethod
    def _joined(stage, inputs, numbers):
        """A sum, or a concatenation."""
        parts = [maps.reshape(-1, *stage.shape[1:], maps.shape[-1]) for maps in inputs]
        if stage.op == "Add":
            return _weighted(parts[0], parts[1], numbers.joins)
        codes = [round_codes(*part) for part in zip(parts, numbers.joins, strict=True)]
        return np.concatenate(codes)

    def _own(self, stage, maps, numbers):
        """What a stage's own layer gives, and what its gradients need."""
        if stage.op in FUNCTIONS:
            out = function(maps, Curve(stage.op))
            return out, out
        if stage.op == "LRN":
            return self._normalized(stage, maps, numbers)
        if stage.weight:
            columns = self._columns(stage, maps, numbers.one)
            weights = self.codes[stage.name].T.reshape(stage.group, -1, stage.depth)
            out = np.concatenate(
                [
                    self._product(*operands, numbers.forward)
                    for operands in zip(weights, columns, strict=True)
                ]
            )
            return out.reshape(stage.outputs, *stage.map_shape, -1), columns
        images, average = np.moveaxis(maps, -1, 0), stage.op in SUM_POOLS
        # Below all codes: what is outside of a map is no maximum.
        padded, output = pad_maps(images, stage.attributes, 0 if average else -2 * LIMIT)
        views = np.moveaxis(np.stack(list(taps(padded, stage.attributes, output))), 1, -1)
        if average:
            factors = self._spread(stage, "factor")
            return round_codes(views.sum(axis=0) * factors, numbers.forward), None
        return views.max(axis=0), views.argmax(axis=0)

    @staticmethod
    def _spread(stage, name):
        """A member of an average's regions for each of its windows, (rows, columns, 1)."""
        found = np.zeros((*stage.map_shape, 1), np.int64)
        for region in stage.regions:
            rows, cols = (slice(r.start, r.stop) for r in (region.rows, region.cols))
            found[rows, cols] = getattr(region, name)
        return found

    @staticmethod
    def _normalized(stage, x, numbers):
        """LRN, and what its gradient needs: x, its factor, and that one's slope."""
        a, (factor, shift) = stage.attributes, numbers.norm.squares
        squares = round_codes(x * x, BITS - 1)
        near = round_codes(Reference._near(stage, squares, stage.reach[0]) * factor, shift)
        power, rise = (
            function(near, Curve(name, a["bias"], a["beta"])) for name in ("Power", "Slope")
        )
        return round_codes(x * power, numbers.forward), (x, power, rise)

    def _normalized_gradient(self, stage, kept, delta, numbers, random):
        (x, power, rise), (factor, shift) = kept, numbers.norm.shares
        shares = round_codes(round_codes(delta * rise, BITS - 2) * x, BITS - 1)
        near = round_codes(self._near(stage, shares, stage.reach[1]) * factor, shift)
        p, q, shift = numbers.norm.parts
        direct, shared = round_codes(delta * power, BITS - 2), round_codes(x * near, BITS - 1)
        return self._in_words(direct * p + shared * q, shift, random, tiles=True)

    @staticmethod
    def _near(stage, maps, before):
        """Sums over what an LRN adds up, so much of it before its own place."""
        axes = (1, 2) if stage.attributes["within"] else (0,)
        return neighbour_sums(maps, axes, stage.attributes["size"], before)

    def _lanes(self, maps):
        """With images of zeros behind the last."""
        missing = -maps.shape[-1] % self.lanes
        return np.pad(maps, [(0, 0)] * (maps.ndim - 1) + [(0, missing)])

    @staticmethod
    def _columns(stage, maps, one):
        """What each group's output position reads, and ones for the bias.

        A list of (depth, H W images).
        """
        images = np.moveaxis(maps, -1, 0)
        padded, output = pad_maps(images, stage.attributes, 0)
        views = np.stack(list(taps(padded, stage.attributes, output)), axis=2)
        views = np.moveaxis(views, 0, -1)
        columns = views.reshape(stage.group, stage.depth - bool(stage.bias), -1)
        if not stage.bias:
            return list(columns)
        ones = np.full((1, columns.shape[2]), one, np.int64)
        return [np.concatenate([each, ones]) for each in columns]

    @staticmethod
    def _pool(stage, maps):
        """Maps behind the pool, and which value of each window won."""
        (kh, kw), (channels, height, width) = stage.window, stage.pooled_shape
        cut = maps[:, : height * kh, : width * kw]
        windows = cut.reshape(channels, height, kh, width, kw, -1)
        windows = windows.transpose(0, 1, 3, 5, 2, 4).reshape(channels, height, width, -1, kh * kw)
        winner = windows.argmax(axis=-1)
        return np.take_along_axis(windows, winner[..., None], -1)[..., 0], winner

    def backward(self, delta, scales):
        """The rest of the step, from codes of the gradient of the outputs, (B, classes)."""
        found = {self.stages[-1].name: self._lanes(delta.T)}
        gradients, by_name = {}, {stage.name: stage for stage in self.stages}
        steps = list(zip(self.stages, scales, self._remembered, strict=True))
        for stage, numbers, (kept, winner, positive) in reversed(steps):
            delta = found.pop(stage.name).reshape(*stage.pooled_shape, -1)
            delta = self._route(stage, delta, winner, positive)
            if stage.weight:
                gradients[stage.name] = self._weight_gradient(stage, kept, delta, numbers)
            first = 0
            for number, name in enumerate(stage.inputs):
                if name == IMAGES:
                    continue
                shape = by_name[name].pooled_shape
                if stage.op == "Concat":
                    channels = math.prod(shape) // math.prod(stage.shape[1:])
                    part = delta[first : first + channels]
                    first += channels
                elif stage.op == "Add":
                    part = delta
                else:
                    part = self._own_gradient(stage, kept, delta, numbers)
                    self._note(f"delta/{name}", part[..., : self._count])
                part = part.reshape(*shape, -1)
                if name in found:
                    part = _weighted(found[name], part, numbers.sums[number])
                    self._note(f"delta/{name}", part[..., : self._count])
                found[name] = part
        for stage, numbers in zip(self.stages, scales, strict=True):
            if stage.weight:
                self._update(stage, gradients[stage.name], numbers)
        return self._flags

    def _own_gradient(self, stage, kept, delta, numbers):
        """Of a stage's input."""
        random = self._random(numbers, "inputs")
        if stage.weight:
            return self._input_gradient(stage, delta, numbers.inputs, random)
        if stage.op in FUNCTIONS:
            sums = delta * slope(kept, 1 << VALUE_POINT, tanh=stage.op == "Tanh")
            return self._in_words(sums, numbers.inputs, random)
        if stage.op == "LRN":
            return self._normalized_gradient(stage, kept, delta, numbers, random)
        sums = self._pool_gradient(stage, kept, delta)
        return self._in_lines(stage, sums, numbers.inputs, random)

    def _weight_gradient(self, stage, columns, delta, numbers):
        flat = delta.reshape(stage.group, stage.outputs // stage.group, -1)
        random = self._random(numbers, "gradient")
        parts = [
            self._product(a, b.T, numbers.gradient, random)
            for a, b in zip(columns, flat, strict=True)
        ]
        gradient = np.concatenate(parts, axis=1)
        self._note(f"gradient/{stage.name}", gradient)
        return gradient

    @staticmethod
    def _pool_gradient(stage, winners, delta):
        """Sums of a pool's gradient for its input, (C, H, W, images)."""
        images, a = np.moveaxis(delta, -1, 0), stage.attributes
        shape = (len(images), *stage.shape)
        if stage.op in SUM_POOLS:
            shares = round_codes(delta * Reference._spread(stage, "share"), FACTOR_BITS)
            images = np.moveaxis(shares, -1, 0)
            sums = sum_pool_gradient(a, shape, images * stage.factor[0])
        else:
            count, won = math.prod(a["kernel"]), np.moveaxis(winners, -1, 0)
            parts = [np.where(won == tap, images, 0) for tap in range(count)]
            sums = scatter(a, shape, parts, np.int64)
        return np.moveaxis(sums, 0, -1)

    def _in_words(self, sums, shift, random, *, tiles=False):
        """Codes for sums (C, H, W, images), a word of images after the other, or in tiles."""
        shape, lanes = sums.shape, self.lanes
        words = sums.reshape(math.prod(shape[:3]), -1, lanes).swapaxes(0, 1).reshape(-1, lanes)
        if random is None or tiles:
            codes = self._rounded(words, shift, random)
        else:
            codes = round_codes(words, shift, random.rows(len(words)))
        whole = codes.reshape(-1, math.prod(shape[:3]), lanes).swapaxes(0, 1)
        return whole.reshape(shape)

    def _in_lines(self, stage, sums, shift, random):
        """Codes for sums (C, H, W, images), those of a `Line` of rows and of columns together."""
        codes = np.zeros_like(sums)
        for y in stage.lines(0):
            for x in stage.lines(1):
                rows, cols = (slice(r.start, r.stop, r.step) for r in (y.pixels, x.pixels))
                part = sums[:, rows, cols]
                found = self._rounded(part.reshape(len(sums), -1), shift, random)
                codes[:, rows, cols] = found.reshape(part.shape)
        return codes

    @staticmethod
    def _route(stage, delta, winner, positive):
        """Gradients of a stage's own output."""
        (kh, kw), (channels, height, width) = stage.window, stage.pooled_shape
        passes = winner[..., None] == np.arange(kh * kw)
        if stage.relu:
            passes &= positive[..., None]
        routed = np.where(passes, delta[..., None], 0)
        routed = routed.reshape(channels, height, width, -1, kh, kw).transpose(0, 1, 4, 2, 5, 3)
        whole = np.zeros((channels, *stage.map_shape, delta.shape[-1]), np.int64)
        whole[:, : height * kh, : width * kw] = routed.reshape(
            channels, height * kh, width * kw, -1
        )
        return whole

    def _input_gradient(self, stage, delta, shift, random):
        """Full correlation of the deltas with the rotated kernel."""
        a = stage.attributes
        (kh, kw), (sh, sw), pads = a["kernel"], a["strides"], a["pads"]
        (channels, height, width), (dh, dw) = stage.shape, a["dilations"]
        reach = [(kh - 1) * dh, (kw - 1) * dw]
        # The deltas, a stride apart, where the padded input has what their windows begin with;
        # around them as many zeros as a window reaches.
        size = [n + pads[k] + pads[k + 2] + reach[k] for k, n in enumerate((height, width))]
        spread = np.zeros((stage.outputs, *size, delta.shape[-1]), np.int64)
        rows = slice(reach[0], reach[0] + (delta.shape[1] - 1) * sh + 1, sh)
        cols = slice(reach[1], reach[1] + (delta.shape[2] - 1) * sw + 1, sw)
        spread[:, rows, cols] = delta
        spread = spread[:, pads[0] :, pads[1] :][:, : height + reach[0], : width + reach[1]]
        windows = {"kernel": (kh, kw), "strides": (1, 1), "dilations": (dh, dw)}
        views = taps(np.moveaxis(spread, -1, 0), windows, (height, width))
        views = np.stack(list(views), axis=2)
        group, each = stage.group, channels // stage.group
        columns = np.moveaxis(views, 0, -1).reshape(group, stage.outputs // group * kh * kw, -1)
        weights = self.codes[stage.name][: each * kh * kw]
        rotated = weights.reshape(each, kh * kw, group, -1)[:, ::-1]
        rotated = rotated.transpose(2, 0, 3, 1).reshape(group, each, -1)
        out = np.concatenate(
            [
                self._product(*operands, shift, random)
                for operands in zip(rotated, columns, strict=True)
            ]
        )
        return out.reshape(channels, height, width, -1)

    def _update(self, stage, gradient, numbers):
        change, name = gradient, stage.name

        def combined(x, work):
            random = self._random(numbers, work)
            return self._combine(x, change, stage.group, getattr(numbers, work), random)

        if numbers.velocity is not None:
            change = self.velocities[name] = combined(self.velocities[name], "velocity")
            self._note(f"velocity/{name}", change)
        self.codes[name] = combined(self.codes[name], "update")
