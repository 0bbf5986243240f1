"""In which order the layers' strips are worked on, and where in the buffer their maps lie."""

from dataclasses import dataclass

from hwsim.network.integer import Conv, Dense, Pool

from .tiling import convolution

__all__ = ["Place", "Step", "allocate", "input_rows", "order"]


@dataclass(frozen=True)
class Step:
    """Rows ``first`` to ``last - 1`` of the output of a layer."""

    layer: int
    first: int
    last: int


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


def order(network, strips):
    """`Step` by step, so that what a step reads was made before.

    Steps of layers without weights follow as soon as they can, between those of the others, so that
    the vector unit works on them while the array works on.

    strips : rows of a strip, for each layer.
    """
    steps = []
    done = {network.input.name: network.input.shape[1]}
    ready_rows = [0] * len(network.layers)

    def advance(index):
        """Append the next step of a layer, if there is one and its inputs are there."""
        layer = network.layers[index]
        height = network.tensors[layer.output].shape[1]
        first = ready_rows[index]
        last = min(first + strips[index], height)
        if first == height:
            return False
        needed = input_rows(layer, network, first, last)[1]
        if any(done.get(name, 0) < needed for name in layer.inputs):
            return False
        steps.append(Step(index, first, last))
        ready_rows[index] = done[layer.output] = last
        return True

    followers = [k for k, layer in enumerate(network.layers) if not isinstance(layer, Conv | Dense)]

    def follow():
        while any([advance(index) for index in followers]):
            pass

    follow()
    for index, layer in enumerate(network.layers):
        while isinstance(layer, Conv | Dense) and advance(index):
            follow()
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
