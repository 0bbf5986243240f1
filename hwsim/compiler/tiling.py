"""How a convolution is cut up for the array: groups, folds, tiles of output channels."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from hwsim.network.integer import Dense

__all__ = ["Convolution", "Group", "Lanes", "convolution", "fold_count", "lanes", "weight_tiles"]


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

    def groups_of(self, config):
        """`Group` by `Group`: so many of the convolution's at once that it takes least time."""
        return _groups(self, config.rows, config.cols)


@lru_cache(maxsize=4096)
def _groups(geometry, rows, cols):
    g, count = geometry.groups, 1
    inputs, outputs = geometry.channels // g, geometry.outputs // g

    def split(together):
        return [
            Group(
                first * inputs,
                min(together, g - first) * inputs,
                first * outputs,
                min(together, g - first) * outputs,
            )
            for first in range(0, g, together)
        ]

    def cost(together):
        return sum(
            -(-geometry.taps * part.channels // rows) * -(-part.outputs // cols)
            for part in split(together)
        )

    if g > 1:
        most = max(1, rows // inputs, cols // outputs)
        count = min(range(1, min(g, most) + 1), key=lambda together: (cost(together), together))
    return tuple(split(count))


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

    gap_x: int
    gap_y: int
    folds: int


def lanes(geometry, config, channels, pixel, row):
    """`Lanes` for ``channels`` of a map with the given pitches."""
    height, width = geometry.kernel
    tap_x, tap_y = geometry.dilations[1] * pixel, geometry.dilations[0] * row
    rows, banks = config.rows, config.banks
    gap_x = gap_y = 0
    if width > 1 and (tap_x - channels) % banks:
        gap_x = gap_y = -channels % rows
    elif height > 1 and (tap_y - width * channels) % banks:
        gap_y = -width * channels % rows
    lanes_of_row = width * channels + (width - 1) * gap_x + gap_y
    return Lanes(gap_x, gap_y, -(-(height * lanes_of_row - gap_y) // rows))


def fold_count(geometry, config, pixel, row):
    """Folds over all tiles of output channels."""
    return sum(
        lanes(geometry, config, group.channels, pixel, row).folds * -(-group.outputs // config.cols)
        for group in geometry.groups_of(config)
    )


def weight_tiles(layer, geometry, group, order, config):
    """Weights of a `Group`, int8: (tiles of output channels, folds, bytes of a tile in memory).

    Rows stand in the order in which they go to the array, the last one first.
    """
    height, width = geometry.kernel
    per_in, per_out = geometry.channels // geometry.groups, geometry.outputs // geometry.groups
    weights = layer.weights.reshape(geometry.outputs, per_in, height, width)
    step_x = group.channels + order.gap_x
    step_y = width * group.channels + (width - 1) * order.gap_x + order.gap_y
    tiles = -(-group.outputs // config.cols)
    lined = np.zeros((order.folds * config.rows, tiles * config.cols), np.int8)
    for k in range(group.channels // per_in):
        outputs = slice(k * per_out, (k + 1) * per_out)
        source = weights[group.first_out :][outputs].transpose(2, 3, 1, 0)
        for y in range(height):
            for x in range(width):
                first = y * step_y + x * step_x + k * per_in
                lined[first : first + per_in, outputs] = source[y, x]
    result = np.zeros((tiles, order.folds, config.rows, config.row_bytes), np.int8)
    cut = lined.reshape(order.folds, config.rows, tiles, config.cols).transpose(2, 0, 1, 3)
    result[..., : config.cols] = cut[:, :, ::-1]
    result = result.reshape(tiles, order.folds, -1)
    spare = config.weight_words * config.axi_bytes - result.shape[2]
    return np.pad(result, ((0, 0), (0, 0), (0, spare))) if spare else result
