"""Weights, parameters and tables as they lie in memory, and what instructions say of them."""

from dataclasses import dataclass

import numpy as np

from hwsim.blocks.systolic.vector import CODES, factors
from hwsim.network.integer import LRN, Conv, Dense, Shuffle, Table, log_index

from .program import code_offset
from .tiling import (
    Lanes,
    convolution,
    lanes,
    round_up,
    shuffle_groups,
    shuffle_tile,
    weight_tiles,
)

__all__ = ["Constants", "Tile", "chip_bias"]

# Taps in a row that an instruction can count.
LARGEST_KERNEL = 1023


@dataclass(frozen=True)
class Tile:
    """What a CONVOLVE is told of a part of a layer, whatever the strip.

    ``steps`` are bytes from a tap to the next one (down, along); ``weights`` and ``parameters``
    addresses in memory, the latter None for codes that stay what they are.
    """

    first_in: int
    order: Lanes
    steps: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    pads: tuple[int, int]
    weights: int
    parameters: int | None


def _factors(layer, precision):
    """Table of an LRN for the precision of the vector unit, which may be finer."""
    index = np.arange(factors(precision))
    dropped = np.maximum((index >> precision) - 1, 0)
    # The least sum of each entry.
    sums = (index - (dropped << precision)) << dropped
    entries = np.minimum(log_index(sums, layer.precision), len(layer.table) - 1)
    return layer.table[entries].astype(np.uint32)


def chip_bias(layer, tensor):
    """Bias for codes that are int8 on chip."""
    offset = code_offset(tensor)
    if not offset:
        return layer.bias
    weights = layer.weights.reshape(len(layer.weights), -1)
    return layer.bias + offset * weights.sum(axis=1, dtype=np.int64)


class Constants:
    """Constants of a network.

    Parameters
    ----------
    network : IntegerNetwork
    config : Systolic
    plan : Plan

    Members
    -------
    size : int
        Bytes.
    """

    def __init__(self, network, config, plan):
        self._network = network
        self._config = config
        self._plan = plan
        self._pieces: list[tuple[int, np.ndarray]] = []
        self._known: dict[bytes, int] = {}  # constant -> address
        self.size = 0

    def content(self):
        """All bytes, uint8."""
        memory = np.zeros(self.size, np.uint8)
        for address, values in self._pieces:
            memory[address : address + len(values)] = values
        return memory

    def _place(self, values):
        """Put bytes into memory, at the start of a beat; returns their address."""
        raw = np.ascontiguousarray(values).view(np.uint8).reshape(-1)
        where = self.size
        self._pieces.append((where, raw))
        self.size = round_up(where + len(raw), self._config.axi_bytes)
        return where

    def _place_once(self, values):
        """The same for what may occur several times."""
        key = values.tobytes()
        if key not in self._known:
            self._known[key] = self._place(values)
        return self._known[key]

    def of(self, layer):
        """Put the constants of a layer into memory.

        Returns a `Tile` for each part if it is for the array, an address for a table, or None.
        """
        match layer:
            case Conv() | Dense():
                return self._prepare_convolution(layer)
            case Shuffle():
                return self._prepare_shuffle(layer)
            case Table():
                return self._prepare_table(layer)
            case LRN():
                return self._place(_factors(layer, self._config.factor_precision))
        return None

    def _prepare_convolution(self, layer):
        """A `Tile` for each part."""
        config = self._config
        source = self._network.tensors[layer.inputs[0]]
        geometry = convolution(layer, self._network)
        storage = self._plan.layout.views[source.name].storage
        steps = geometry.steps(storage.pixel, storage.row)
        window = geometry.strides, geometry.dilations, geometry.pads
        scales = np.broadcast_arrays(
            chip_bias(layer, source), layer.requantize.multiplier, layer.requantize.shift
        )
        tiles = []
        for group in geometry.groups_of(config):
            order = lanes(geometry.kernel, group.channels, steps, config)
            for first, weights in enumerate(weight_tiles(layer, geometry, group, order, config)):
                channel = group.first_out + first * config.cols
                last = min(channel + config.cols, group.first_out + group.outputs)
                parameters = self._parameters(*(values[channel:last] for values in scales))
                weights = self._place(weights)
                tiles.append(Tile(group.first_in, order, steps, *window, weights, parameters))
        return tiles

    def _parameters(self, bias, multiplier, shift):
        """Put a tile of parameters into memory."""
        config = self._config
        words = np.zeros((config.parameter_words * config.axi_bytes // 4), np.uint32)
        words[: 2 * len(bias) : 2] = bias.astype(np.int32).view(np.uint32)
        words[1 : 2 * len(bias) : 2] = multiplier | (shift << 24)
        return self._place(words)

    def _prepare_shuffle(self, layer):
        """A `Tile` for each part, where the array is faster than copies."""
        groups = shuffle_groups(layer.order)
        _, _, width = self._network.tensors[layer.output].shape
        if not groups or width > self._config.accumulator_rows:
            return None
        size = len(layer.order) // groups
        tiles = []
        for part in self._plan.parts[layer.name]:
            channel, order, weights = shuffle_tile(groups, size, part, self._config)
            if order.folds >= part[1] - part[0] or groups > LARGEST_KERNEL:
                return None
            window = (1, 1), (1, 0), (0, 0)
            weights = self._place_once(weights)
            tiles.append(Tile(channel, order, (0, size), *window, weights, None))
        return tiles

    def _prepare_table(self, layer):
        source = self._network.tensors[layer.inputs[0]]
        output = self._network.tensors[layer.output]
        codes = np.arange(-128, 128) + code_offset(source) - source.minimum
        inside = (codes >= 0) & (codes < len(layer.table))
        values = np.where(inside, layer.table[np.clip(codes, 0, len(layer.table) - 1)], 0)
        values = (values.astype(np.int64) - code_offset(output)).astype(np.int8)
        return self._place_once(np.resize(values, round_up(CODES, self._config.axi_bytes)))
