"""What a training accelerator computes, in exact integers; `hwsim.models.training` says what for.

Sums become codes by ``clip(round(sum / 2**shift))``, to nearest with ties to even, or
stochastically: ``floor((sum + r) / 2**shift)`` with ``r`` the top ``shift`` bits of a random number
of 32 bits. Random numbers depend on the lane, a seed for each operation, and on how many rows were
rounded before: rows leave the array a tile at a time, the last row first.
"""

from typing import Protocol

import numpy as np

from hwsim.blocks.training import BITS, NOISE_BITS, noise_offset
from hwsim.network.fixed_point import round_half_even_shift

from .floating import pad_maps, taps

__all__ = ["Machine", "Reference", "from_words", "noise", "round_codes", "to_words"]

# Products that a sum in float64 can hold exactly, with operands of 16 bits.
EXACT_DEPTH = 1 << 22
LIMIT = 1 << (BITS - 1)
# Codes below it have two bits to spare.
LARGE = LIMIT >> 2


class Machine(Protocol):
    """A training accelerator, simulated or as a reference.

    Members
    -------
    codes, velocities : dict of str to ndarray of int64, (depth, outputs)
        Weights, and below them biases, of each stage.
    """

    codes: dict
    velocities: dict

    def load(self, codes, velocities):
        """Set weights and velocities."""

    def forward(self, images, scales):
        """Codes of the logits, (B, classes), for those of images, (B, C, H, W)."""

    def backward(self, delta, scales):
        """The rest of the step, from codes of the logits' gradient, (B, classes).

        Returns
        -------
        dict of str to (bool, bool)
            For ``map/NAME``, ``delta/NAME``, ``gradient/NAME`` and ``velocity/NAME`` of the stages:
            a code has reached a bound, a code lies outside of [-2**13, 2**13).
        """


def round_codes(sums, shift, random=None):
    """Codes for sums; ``random`` are numbers of 32 bits, of the same shape."""
    if random is None:
        rounded = round_half_even_shift(sums, shift)
    else:
        rounded = (sums + (np.asarray(random, np.int64) >> (NOISE_BITS - shift))) >> shift
    return np.clip(rounded, -LIMIT, LIMIT - 1)


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


def to_words(matrix, lanes):
    """Weights (depth, outputs) as they lie in memory: (tiles of outputs × depth, lanes)."""
    depth, outputs = matrix.shape
    padded = np.zeros((depth, -(-outputs // lanes) * lanes), np.int64)
    padded[:, :outputs] = matrix
    return padded.reshape(depth, -1, lanes).swapaxes(0, 1).reshape(-1, lanes)


def from_words(words, depth, outputs):
    """The other way round."""
    lanes = words.shape[1]
    whole = words.reshape(-1, depth, lanes).swapaxes(0, 1).reshape(depth, -1)
    return whole[:, :outputs]


class Reference:
    """A `Machine` in NumPy.

    Feature maps here are (channels, height, width, images), with images of zeros until they fill
    the lanes.

    Parameters
    ----------
    stages : sequence of Stage
    lanes : int
    """

    def __init__(self, stages, lanes):
        self.stages = stages
        self.lanes = lanes
        self.codes: dict[str, np.ndarray] = {}
        self.velocities: dict[str, np.ndarray] = {}
        self._remembered: list = []
        self._flags: dict[str, tuple[bool, bool]] = {}

    def load(self, codes, velocities):
        """As `Machine.load`."""
        self.codes, self.velocities = dict(codes), dict(velocities)

    # Arithmetic

    def _product(self, a, b, shift, seed=None):
        """Codes of a product, (M, K) by (K, N): tiles of rows inside, of columns outside."""
        if a.shape[1] < EXACT_DEPTH:
            sums = (a.astype(np.float64) @ b.astype(np.float64)).astype(np.int64)
        else:
            sums = a @ b
        if seed is None:
            return round_codes(sums, shift)
        (rows, cols), lanes = sums.shape, self.lanes
        down, across = -(-rows // lanes), -(-cols // lanes)
        drawn = noise(seed, across * down * lanes, lanes)
        tiles = drawn.reshape(across, down, lanes, lanes)[:, :, ::-1]
        whole = tiles.transpose(1, 2, 0, 3).reshape(down * lanes, across * lanes)
        return round_codes(sums, shift, whole[:rows, :cols])

    def _combine(self, x, y, numbers, seed=None):
        """Codes of ``p x + q y`` for matrices of weights."""
        p, q, shift = numbers
        sums = to_words(x * p + y * q, self.lanes)
        random = None
        if seed is not None:
            tiles = -(-len(sums) // self.lanes)
            drawn = noise(seed, tiles * self.lanes, self.lanes)
            drawn = drawn.reshape(tiles, self.lanes, self.lanes)[:, ::-1]
            random = drawn.reshape(-1, self.lanes)[: len(sums)]
        return from_words(round_codes(sums, shift, random), *x.shape)

    def _note(self, key, codes):
        bounded = (codes == LIMIT - 1) | (codes == -LIMIT)
        large = (codes >= LARGE) | (codes < -LARGE)
        self._flags[key] = bool(bounded.any()), bool(large.any())

    # Steps

    def forward(self, images, scales):
        """As `Machine.forward`."""
        count = len(images)
        self._count, self._flags, self._remembered = count, {}, []
        maps = self._lanes(np.moveaxis(images, 0, -1))
        for stage, numbers in zip(self.stages, scales, strict=True):
            maps = maps.reshape(*stage.shape, maps.shape[-1])
            columns = self._columns(stage, maps, numbers.one)
            out = self._product(self.codes[stage.name].T, columns, numbers.forward)
            if stage.relu:
                out = np.maximum(out, 0)
            out = out.reshape(stage.outputs, *stage.map_shape, -1)
            self._note(f"map/{stage.name}", out[..., :count])
            maps, winner = self._pool(stage, out)
            self._remembered.append((columns, winner, maps > 0))
        return maps.reshape(-1, maps.shape[-1])[:, :count].T

    def _lanes(self, maps):
        """With images of zeros behind the last."""
        missing = -maps.shape[-1] % self.lanes
        return np.pad(maps, [(0, 0)] * (maps.ndim - 1) + [(0, missing)])

    @staticmethod
    def _columns(stage, maps, one):
        """What each output position reads, (depth, H W images), and ones for the bias."""
        images = np.moveaxis(maps, -1, 0)
        padded, output = pad_maps(images, stage.attributes, 0)
        views = np.stack(list(taps(padded, stage.attributes, output)), axis=2)
        columns = np.moveaxis(views, 0, -1).reshape(views.shape[1] * views.shape[2], -1)
        if not stage.bias:
            return columns
        return np.concatenate([columns, np.full((1, columns.shape[1]), one, np.int64)])

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
        """As `Machine.backward`."""
        delta = self._lanes(delta.T)
        gradients = {}
        for k in reversed(range(len(self.stages))):
            stage, numbers = self.stages[k], scales[k]
            columns, winner, positive = self._remembered[k]
            delta = self._route(stage, delta.reshape(*stage.pooled_shape, -1), winner, positive)
            seeds = {name: numbers.seeds.get(name) for name in ("gradient", "inputs")}
            flat = delta.reshape(stage.outputs, -1)
            gradient = self._product(columns, flat.T, numbers.gradient, seeds["gradient"])
            self._note(f"gradient/{stage.name}", gradient)
            gradients[stage.name] = gradient
            if k:
                delta = self._input_gradient(stage, delta, numbers.inputs, seeds["inputs"])
                self._note(f"delta/{self.stages[k - 1].name}", delta[..., : self._count])
        for stage, numbers in zip(self.stages, scales, strict=True):
            self._update(stage.name, gradients[stage.name], numbers)
        return self._flags

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

    def _input_gradient(self, stage, delta, shift, seed):
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
        columns = np.moveaxis(views, 0, -1).reshape(stage.outputs * kh * kw, -1)
        weights = self.codes[stage.name][: channels * kh * kw]
        rotated = weights.reshape(channels, kh * kw, stage.outputs)[:, ::-1]
        rotated = rotated.transpose(0, 2, 1).reshape(channels, -1)
        out = self._product(rotated, columns, shift, seed)
        return out.reshape(channels, height, width, -1)

    def _update(self, name, gradient, numbers):
        change, seeds = gradient, numbers.seeds
        if numbers.velocity is not None:
            change = self._combine(
                self.velocities[name], gradient, numbers.velocity, seeds.get("velocity")
            )
            self._note(f"velocity/{name}", change)
            self.velocities[name] = change
        self.codes[name] = self._combine(
            self.codes[name], change, numbers.update, seeds.get("update")
        )
