"""In which order the layers' strips are worked on, and where in the buffer their maps lie."""

from dataclasses import dataclass

import numpy as np

from hwsim.network.integer import LRN, Concat, Conv, Dense, Pad, Pool, Shuffle

from .tiling import convolution

# Layers of which each channel of the output depends on all channels of the input.
MIXING = (Conv, Dense)

__all__ = ["Place", "Step", "allocate", "input_rows", "order"]


@dataclass(frozen=True)
class Step:
    """Part of the output of a layer: rows ``first`` to ``last - 1`` of some channels.

    ``part`` is the number of a (group, tile) of a convolution, of a block of channels otherwise.
    """

    layer: int
    first: int
    last: int
    part: int
    channels: tuple[int, int]


def _rows(layer, network):
    """Kernel, stride, dilation and padding at the top of a layer's windows."""
    if isinstance(layer, Conv | Dense):
        geometry = convolution(layer, network)
        return geometry.kernel[0], geometry.strides[0], geometry.dilations[0], geometry.pads[0]
    if isinstance(layer, Pool):
        return layer.kernel[0], layer.strides[0], layer.dilations[0], layer.pads[0]
    return 1, 1, 1, layer.pads[0] if isinstance(layer, Pad) else 0


def input_rows(layer, network, first, last):
    """(first, last) rows of the inputs that output rows ``first`` to ``last - 1`` depend on.

    At least one, even where all taps lie outside the map.
    """
    height = network.tensors[layer.inputs[0]].shape[1]
    kernel, stride, dilation, top = _rows(layer, network)
    low = min(max(first * stride - top, 0), height - 1)
    high = (last - 1) * stride + (kernel - 1) * dilation + 1 - top
    return low, min(max(high, low + 1), height)


def _output_rows(layer, network, rows):
    """How many rows of the output depend on the first ``rows`` rows of the inputs alone."""
    height = network.tensors[layer.output].shape[1]
    if rows in (0, network.tensors[layer.inputs[0]].shape[1]):
        return height if rows else 0
    kernel, stride, dilation, top = _rows(layer, network)
    return min(max((rows + top - (kernel - 1) * dilation - 1) // stride + 1, 0), height)


def order(network, strips, parts):
    """`Step` by step, so that what a step reads was made before.

    Convolutions are in the order of the network, strip by strip, in a strip tile by tile. Steps of
    the other layers follow as soon as they can, so that the vector unit works on them while the
    array works on the next tile.

    strips : most rows of a step, for each layer.
    parts : channels (first, last) of each part, for each layer.
    """
    return _Order(network, strips, parts).run()


class _Order:
    """Layers under way."""

    def __init__(self, network, strips, parts):
        self.network = network
        self.strips = strips
        self.parts = parts
        self.steps: list[Step] = []
        self.mixing = [isinstance(layer, MIXING) for layer in network.layers]
        # Rows that are there, for each channel, and for each part of a layer.
        self.done = {
            name: np.zeros(tensor.shape[0], int) for name, tensor in network.tensors.items()
        }
        self.done[network.input.name][:] = network.input.shape[1]
        self.progress = [[0] * len(layer_parts) for layer_parts in parts]
        # Layers of the vector unit by what they read.
        self.readers: dict[str, list[int]] = {name: [] for name in network.tensors}
        for index, layer in enumerate(network.layers):
            if not self.mixing[index]:
                for name in dict.fromkeys(layer.inputs):
                    self.readers[name].append(index)

    def run(self):
        self._follow(self.network.input.name, (0, self.network.input.shape[0]))
        for index, layer in enumerate(self.network.layers):
            height = self.network.tensors[layer.output].shape[1]
            while self.mixing[index] and self.progress[index][-1] < height:
                for number in range(len(self.parts[index])):
                    if not self._advance(index, number):
                        raise RuntimeError(f"layer {layer.name} waits for what is never made")
                    self._follow(layer.output, self.parts[index][number])
        return self.steps

    def _follow(self, name, channels):
        """Advance what can be advanced since there is more of some channels of a tensor."""
        for index in self.readers[name]:
            layer, parts = self.network.layers[index], self.parts[index]
            moved = numbers = self._dependent(layer, parts, name, channels)
            while moved:
                moved = [number for number in numbers if self._advance(index, number)]
                for number in moved:
                    self._follow(layer.output, parts[number])

    @staticmethod
    def _dependent(layer, parts, name, channels):
        """Numbers of the parts of a layer that depend on some channels of its input ``name``."""
        if isinstance(layer, Shuffle):
            return list(range(len(parts)))
        if isinstance(layer, Concat):
            inputs = enumerate(layer.inputs) if len(parts) > 1 else ((0, name),)
            return [number for number, source in inputs if source == name]
        reach = layer.size if isinstance(layer, LRN) else 0
        first, last = channels[0] - reach, channels[1] + reach
        return [number for number, (low, high) in enumerate(parts) if low < last and first < high]

    def _advance(self, index, number):
        """Append the next step of a part of a layer, if there is one and its inputs are there.

        A convolution waits for all rows of a strip, another layer takes as many as there are.
        """
        layer, part = self.network.layers[index], self.parts[index][number]
        first = self.progress[index][number]
        height = self.network.tensors[layer.output].shape[1]
        last = min(first + self.strips[index], height)
        there = _output_rows(layer, self.network, int(self._input_rows_there(layer, part)))
        if self.mixing[index] and there < last:
            return False
        last = min(last, there)
        if last <= first:
            return False
        self.steps.append(Step(index, first, last, number, part))
        self.progress[index][number] = last
        self.done[layer.output][part[0] : part[1]] = last
        return True

    def _input_rows_there(self, layer, part):
        """Rows that are there of all input channels that a part depends on."""
        low, high = part
        if isinstance(layer, Concat):
            first, rows = 0, []
            for name in layer.inputs:
                if low <= first < high:
                    rows.append(self.done[name].min())
                first += len(self.done[name])
            return min(rows)
        if isinstance(layer, LRN):
            low, high = max(low - (layer.size - 1) // 2, 0), high + layer.size // 2
        if isinstance(layer, (*MIXING, Shuffle)):
            low, high = 0, None
        return min(self.done[name][low:high].min() for name in layer.inputs)


@dataclass
class Place:
    """Room in the buffer for bytes that are needed from step ``start`` to step ``end``."""

    name: str
    size: int
    start: int
    end: int
    address: int = -1


def allocate(places, config):
    """Give each `Place` an address; returns the first that does not fit, or None.

    Places that are needed at the same time do not overlap. If there is room enough, each goes where
    the section in which it starts is least used at that time, so that readers meet as seldom as can
    be, and not to its first word, because reads of some taps begin before a map; else to the
    lowest address.
    """
    for sections, margin in ((config.sections, config.banks), (config.sections, 0), (0, 0)):
        failed = _allocate(places, config, sections, margin)
        if failed is None:
            break
    return failed


def _allocate(places, config, sections, margin):
    active: list[Place] = []
    for place in sorted(places, key=lambda place: (place.start, -place.size)):
        active = [other for other in active if other.end >= place.start]
        others = sorted((other.address, other.address + other.size) for other in active)
        best = None
        for section in range(sections):
            base = section * config.section_bytes
            low = _first_gap(others, base + margin, place.size, config)
            if low is None:
                continue
            used = sum(
                max(0, min(end, base + config.section_bytes) - max(start, base))
                for start, end in others
            )
            if best is None or used < best[0]:
                best = (used, low)
        low = best[1] if best else _first_gap(others, 0, place.size, config)
        if low is None:
            return place
        place.address = low
        active.append(place)
    return None


def _first_gap(others, low, size, config):
    """The lowest address from ``low`` on with so much room, or None."""
    for start, end in others:
        if low + size <= start:
            break
        low = max(low, -(-end // config.banks) * config.banks)
    return low if low + size <= config.buffer_bytes else None
