"""In which order the layers' strips are worked on, and where in the buffer their maps lie."""

from dataclasses import dataclass

import numpy as np

from hwsim.network.integer import LRN, Concat, Conv, Dense, Pool, Shuffle

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


def input_rows(layer, network, first, last):
    """(first, last) rows of the inputs that output rows ``first`` to ``last - 1`` depend on."""
    height = network.tensors[layer.inputs[0]].shape[1]
    if isinstance(layer, Conv | Dense):
        geometry = convolution(layer, network)
        kernel, stride, dilation = geometry.kernel[0], geometry.strides[0], geometry.dilations[0]
        top = geometry.pads[0]
    elif isinstance(layer, Pool):
        kernel, stride, dilation = layer.kernel[0], layer.strides[0], layer.dilations[0]
        top = layer.pads[0]
    else:
        kernel, stride, dilation, top = 1, 1, 1, 0
    low = first * stride - top
    high = (last - 1) * stride + (kernel - 1) * dilation + 1 - top
    return min(max(low, 0), height), max(min(high, height), 0)


def order(network, strips, parts):
    """`Step` by step, so that what a step reads was made before.

    Convolutions are in the order of the network, strip by strip, in a strip tile by tile. Steps of
    the other layers follow as soon as they can, so that the vector unit works on them while the
    array works on the next tile.

    strips : most rows of a step, for each layer.
    parts : channels (first, last) of each part, for each layer.
    """
    steps = []
    shapes = {name: tensor.shape for name, tensor in network.tensors.items()}
    # Rows that are there, for each channel.
    done = {name: np.zeros(shape[0], int) for name, shape in shapes.items()}
    done[network.input.name][:] = network.input.shape[1]
    progress = [[0] * len(layer_parts) for layer_parts in parts]
    mixing = [isinstance(layer, MIXING) for layer in network.layers]

    def rows_there(layer, part, last):
        """Whether the inputs have the rows for output rows up to ``last - 1`` of a part."""
        low, high = part
        needed = input_rows(layer, network, last - 1, last)[1]
        offset = 0
        for name in layer.inputs:
            channels = shapes[name][0]
            if isinstance(layer, Concat):
                here = done[name][max(low - offset, 0) : max(high - offset, 0)]
                offset += channels
            elif isinstance(layer, (*MIXING, Shuffle)):
                here = done[name]
            elif isinstance(layer, LRN):
                here = done[name][max(low - (layer.size - 1) // 2, 0) : high + layer.size // 2]
            else:
                here = done[name][low:high]
            if len(here) and here.min() < needed:
                return False
        return True

    def advance(index, number):
        """Append the next step of a part of a layer, if there is one and its inputs are there."""
        layer, part = network.layers[index], parts[index][number]
        first, height = progress[index][number], shapes[layer.output][1]
        last = min(first + strips[index], height)
        if not mixing[index]:
            # As much as there is, at least a row.
            while last > first + 1 and not rows_there(layer, part, last):
                last -= 1
        if first == height or not rows_there(layer, part, last):
            return False
        steps.append(Step(index, first, last, number, part))
        progress[index][number] = last
        done[layer.output][part[0] : part[1]] = last
        return True

    readers = {name: [] for name in shapes}
    for index, layer in enumerate(network.layers):
        for name in dict.fromkeys(layer.inputs):
            if not mixing[index]:
                readers[name].append(index)

    def follow(name):
        """Advance what can be advanced since there is more of a tensor."""
        for index in readers[name]:
            moved = [advance(index, number) for number in range(len(parts[index]))]
            while any(moved):
                follow(network.layers[index].output)
                moved = [advance(index, number) for number in range(len(parts[index]))]

    follow(network.input.name)
    for index, layer in enumerate(network.layers):
        if not mixing[index]:
            continue
        height = shapes[layer.output][1]
        while progress[index][-1] < height:
            for number in range(len(parts[index])):
                if not advance(index, number):
                    raise RuntimeError(f"layer {layer.name} waits for what is never made")
                follow(layer.output)
    return steps


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
    be; else to the lowest address.
    """
    if _allocate(places, config, config.sections) is None:
        return None
    return _allocate(places, config, 0)


def _allocate(places, config, sections):
    given = []
    for place in sorted(places, key=lambda place: (place.start, -place.size)):
        others = sorted(
            (other.address, other.address + other.size)
            for other in given
            if other.start <= place.end and place.start <= other.end
        )
        best = None
        for section in range(sections):
            base = section * config.section_bytes
            low = _first_gap(others, base, place.size, config)
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
        given.append(place)
    return None


def _first_gap(others, low, size, config):
    """The lowest address from ``low`` on with so much room, or None."""
    for start, end in others:
        if low + size <= start:
            break
        low = max(low, -(-end // config.banks) * config.banks)
    return low if low + size <= config.buffer_bytes else None
