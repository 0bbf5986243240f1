"""How a convolution is cut up for the array: groups, folds, tiles of output channels."""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from hwsim.network.integer import Dense

__all__ = [
    "Convolution",
    "Group",
    "Lanes",
    "convolution",
    "fold_count",
    "lanes",
    "round_up",
    "shuffle_groups",
    "shuffle_tile",
    "weight_tiles",
]


def round_up(value, step):
    """The next multiple of ``step``."""
    return -(-value // step) * step


@dataclass(frozen=True)
class Group:
    """Channels that one product of matrices takes and gives: whole groups of the convolution."""

    first_in: int
    channels: int
    first_out: int
    outputs: int


@dataclass(frozen=True)
class Convolution:
    """Geometry of a convolution or dense layer (kernel: the map)."""

    channels: int
    outputs: int
    groups: int
    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    pads: tuple[int, int]  # top, left

    @property
    def taps(self):
        """Pixels of a window."""
        return self.kernel[0] * self.kernel[1]

    @property
    def macs_per_pixel(self):
        """Useful multiply-accumulates for an output pixel."""
        return self.taps * self.channels // self.groups * self.outputs

    def steps(self, pixel, row):
        """Bytes from a tap to the next one, (down, along), for the pitches of a map."""
        return self.dilations[0] * row, self.dilations[1] * pixel

    def together(self, config):
        """How many groups a product of matrices takes, so that all take least time."""
        return _together(self, config.rows, config.cols)

    def groups_of(self, config):
        """`Group` by `Group`."""
        count = self.together(config)
        inputs, outputs = self.channels // self.groups, self.outputs // self.groups
        return tuple(
            Group(
                first * inputs,
                min(count, self.groups - first) * inputs,
                first * outputs,
                min(count, self.groups - first) * outputs,
            )
            for first in range(0, self.groups, count)
        )


@lru_cache(maxsize=1 << 16)
def _together(geometry, rows, cols):
    groups = geometry.groups
    inputs, outputs = geometry.channels // groups, geometry.outputs // groups

    def folds(together):
        return -(-geometry.taps * together * inputs // rows) * -(-together * outputs // cols)

    def cost(together):
        whole, rest = divmod(groups, together)
        return whole * folds(together) + folds(rest)

    most = min(groups, max(1, rows // inputs, cols // outputs))
    return min(range(1, most + 1), key=lambda together: (cost(together), together))


def convolution(layer, network):
    """`Convolution` of a layer of an `IntegerNetwork`."""
    shape = network.tensors[layer.inputs[0]].shape
    if isinstance(layer, Dense):
        return Convolution(shape[0], len(layer.weights), 1, shape[1:], (1, 1), (1, 1), (0, 0))
    return Convolution(
        shape[0],
        len(layer.weights),
        layer.groups,
        layer.weights.shape[2:],
        layer.strides,
        layer.dilations,
        layer.pads[:2],
    )


@dataclass(frozen=True)
class Lanes:
    """Order in which taps and channels meet the rows of the array.

    ``gap_x`` lanes are left free after a tap, ``gap_y`` after a row of taps, so that no fold has
    two codes in one bank. See ``docs/systolic.md``.
    """

    kernel: tuple[int, int]
    channels: int
    gap_x: int
    gap_y: int
    folds: int

    def first(self, y, x):
        """Number of the first channel of a tap."""
        width = self.kernel[1]
        line = width * self.channels + (width - 1) * self.gap_x + self.gap_y
        return y * line + x * (self.channels + self.gap_x)


def lanes(kernel, channels, steps, config):
    """`Lanes` for a kernel, for ``channels`` of a map.

    steps : bytes from a tap to the next one, (down, along).
    """
    height, width = kernel
    rows, banks = config.rows, config.banks
    gap_x = gap_y = 0
    if width > 1 and (steps[1] - channels) % banks:
        gap_x = gap_y = -channels % rows
    elif height > 1 and (steps[0] - width * channels) % banks:
        gap_y = -width * channels % rows
    order = Lanes(kernel, channels, gap_x, gap_y, 0)
    return replace(order, folds=-(-(order.first(height, 0) - gap_y) // rows))


def fold_count(geometry, config, pixel, row):
    """Folds over all tiles of output channels."""
    steps = geometry.steps(pixel, row)
    return sum(
        lanes(geometry.kernel, group.channels, steps, config).folds
        * -(-group.outputs // config.cols)
        for group in geometry.groups_of(config)
    )


def weight_tiles(layer, geometry, group, order, config):
    """Weights of a `Group` as `_tiles`."""
    height, width = geometry.kernel
    per_in, per_out = geometry.channels // geometry.groups, geometry.outputs // geometry.groups
    weights = layer.weights.reshape(geometry.outputs, per_in, height, width)
    columns = -(-group.outputs // config.cols) * config.cols
    lined = np.zeros((order.folds * config.rows, columns), np.int8)
    for k in range(group.channels // per_in):
        outputs = slice(k * per_out, (k + 1) * per_out)
        source = weights[group.first_out :][outputs].transpose(2, 3, 1, 0)
        for y in range(height):
            for x in range(width):
                first = order.first(y, x) + k * per_in
                lined[first : first + per_in, outputs] = source[y, x]
    return _tiles(lined, config)


def _tiles(lined, config):
    """Cut weights: int8, (tiles of output channels, folds, bytes of a tile in memory).

    lined : (folds * rows, tiles * cols)

    Rows stand in the order in which they go to the array, the last one first.
    """
    tiles = lined.shape[1] // config.cols
    cut = lined.reshape(-1, config.rows, tiles, config.cols).transpose(2, 0, 1, 3)
    result = np.zeros((*cut.shape[:3], config.row_bytes), np.int8)
    result[..., : config.cols] = cut[:, :, ::-1]
    result = result.reshape(*cut.shape[:2], -1)
    spare = config.weight_words * config.axi_bytes - result.shape[2]
    return np.pad(result, ((0, 0), (0, 0), (0, spare))) if spare else result


def shuffle_groups(order):
    """How many groups of channels a shuffle deals out in turn; None for another order."""
    channels = len(order)
    groups = channels // order[1] if channels > 1 and order[1] else 1
    dealt = np.arange(channels)
    if channels % groups == 0:
        dealt = dealt.reshape(groups, -1).T.reshape(-1)
    return groups if groups > 1 and (dealt == order).all() else None


def shuffle_tile(groups, size, outputs, config):
    """Some outputs of a shuffle as a product of matrices, with a tap for each group of channels.

    size : channels of a group. outputs : (first, last).

    Returns the number of the first channel that is taken of each group, the `Lanes` and `_tiles`.
    """
    first, last = outputs
    channel, channels = first // groups, (last - 1) // groups + 1 - first // groups
    order = lanes((1, groups), channels, (0, size), config)
    lined = np.zeros((order.folds * config.rows, config.cols), np.int8)
    for output in range(first, last):
        tap = output % groups
        lined[order.first(0, tap) + output // groups - channel, output - first] = 1
    return channel, order, _tiles(lined, config)
