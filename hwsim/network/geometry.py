"""What each layer sees of the image, and what it would cost as a fully connected layer.

The *receptive field* of a value is the smallest interval on each spatial axis that holds every
input position on which the value depends, far from the border. That of position ``i`` begins at
``start + i * jump`` and is ``receptive_field`` positions long, all in positions of the input; what
lies beyond the image is padding. Walking forward, a window of ``k`` taps, stride ``s``, dilation
``d`` and padding ``p`` turns these numbers into

    start - p * jump,    jump * s,    receptive_field + (k - 1) * d * jump

and where paths join the intervals are united, so that the longest path counts. A layer that uses
every position (a fully connected layer, a global pool) has the field of all of them, and a jump of
0: from there on all that comes sees the same.

That holds for maps that go on without end. Near the border a tap may meet the padding of a map in
between and read nothing, so that the pixels that are read can be fewer than those of the field that
lie in the image: behind a 2 x 2 window, a window of two taps 2 apart, the first in the padding,
reads pixels 1 and 2 of its field from -1 to 2, and not 0.

The *same mapping as a fully connected layer* has a weight for each pair of an input and an output
value of a convolution or matrix product, and a bias for each output value where the layer has
biases.
"""

import math
from dataclasses import dataclass, replace

from .counts import counts
from .network import NetworkError
from .operators import OPERATORS
from .windows import arithmetic, span

__all__ = ["Field", "fields", "geometry", "left_out"]

_WINDOW = ("kernel", "strides", "dilations", "pads")
_PRODUCTS = ("Gemm", "QGemm", "MatMul", "MatMulInteger", "QLinearMatMul")


@dataclass(frozen=True)
class Field:
    """Receptive field of the positions along one axis: see the module's text."""

    size: int = 1
    jump: int = 1
    start: int = 0

    def window(self, kernel, stride, dilation, begin):
        """Behind a sliding window."""
        return Field(
            self.size + (kernel - 1) * dilation * self.jump,
            self.jump * stride,
            self.start - begin * self.jump,
        )

    def whole(self, positions):
        """Of something that uses all positions."""
        return replace(self, size=self.size + (positions - 1) * self.jump, jump=0)

    def join(self, other):
        """Of something that uses both."""
        start = min(self.start, other.start)
        end = max(self.start + self.size, other.start + other.size)
        return Field(end - start, self.jump, start)


def fields(network):
    """Mapping of tensor name to the tuple of its `Field` on each spatial axis of the input.

    Raises
    ------
    NetworkError
        If inputs have different numbers of spatial axes, or paths with different jumps join.
    """
    ranks = {len(tensor.shape[2:]) for tensor in network.inputs}
    if len(ranks) != 1:
        raise NetworkError(
            f"receptive fields need inputs with equal numbers of axes; {network.name} has "
            f"{', '.join(str(tensor.shape) for tensor in network.inputs)}"
        )
    (rank,) = ranks
    found = {tensor.name: (Field(),) * rank for tensor in network.inputs}
    for layer in network.layers:
        shape = network.shape(layer.outputs[0])
        reached = None
        for name in layer.inputs:
            if name in found:
                seen = _through(layer, found[name], network.shape(name), shape, rank)
                reached = seen if reached is None else _joined(layer, reached, seen, shape)
        if reached is not None:
            found.update((name, reached) for name in layer.outputs if name)
    return found


def _through(layer, axes, shape, output, rank):
    """Fields of a layer's output, from those of one input."""
    attributes = layer.attributes
    if all(name in attributes for name in _WINDOW) and len(attributes["kernel"]) == rank:
        # Pads are begins, then ends.
        each = zip(axes, *(attributes[name] for name in _WINDOW), strict=False)
        return tuple(axis.window(*window) for axis, *window in each)
    if layer.op == "LRN" and attributes["within"]:
        size = attributes["size"]
        return tuple(axis.window(size, 1, 1, (size - 1) // 2) for axis in axes)
    if layer.op == "Pad" and len(shape) == rank + 2:
        begins = attributes["pads"][2 : rank + 2]
        return tuple(a.window(1, 1, 1, begin) for a, begin in zip(axes, begins, strict=True))
    if _keeps_positions(layer, shape, output, rank):
        return axes
    return tuple(a.whole(n) for a, n in zip(axes, _positions(shape, rank), strict=True))


def _keeps_positions(layer, shape, output, rank):
    """Whether a position of the output depends on that position of the input alone."""
    if layer.op in _PRODUCTS or "Global" in layer.op:
        return False
    if "Softmax" in layer.op and layer.attributes["axis"] >= len(shape) - rank:
        return False
    if layer.op == "Transpose":
        last = range(len(shape) - rank, len(shape))
        return layer.attributes["perm"][len(shape) - rank :] == tuple(last)
    # Element by element, or other axes than the spatial ones put together differently; a map of
    # one position, such as a factor per channel, is the same for all.
    there, here = _positions(output, rank), _positions(shape, rank)
    return len(output) >= rank + 2 and len(shape) >= rank + 2 and there == here


def _positions(shape, rank):
    """Spatial sizes, the last axes; 1 each where there are no such axes any more."""
    return shape[len(shape) - rank :] if len(shape) >= rank + 2 else (1,) * rank


def _joined(layer, one, other, shape):
    """Fields of what depends on both; ``shape`` of the output."""
    positions = _positions(shape, len(one))
    found = []
    for a, b, count in zip(one, other, positions, strict=True):
        if a.jump != b.jump:
            if a.jump and b.jump and count > 1:
                raise NetworkError(
                    f"{layer.op} '{layer.name}' joins paths with strides of {a.jump} and {b.jump}; "
                    "accepted: equal strides"
                )
            a, b = a.whole(count if a.jump else 1), b.whole(count if b.jump else 1)
        found.append(a.join(b))
    return tuple(found)


def _dense(network, layer):
    """Parameters and MACs of a layer's mapping as a fully connected one."""
    operator = OPERATORS[layer.op]
    if operator.macs is None:
        return {"dense_params": 0, "dense_macs": 0}
    batch, *output = network.shape(layer.outputs[0])
    inputs, outputs = math.prod(network.shape(layer.inputs[0])[1:]), math.prod(output)
    biased = len(operator.parameters) > 1 and operator.parameters[1] < len(layer.inputs)
    biased = biased and layer.inputs[operator.parameters[1]] != ""
    weights = inputs * outputs
    return {"dense_params": weights + outputs * biased, "dense_macs": batch * weights}


def left_out(network):
    """What strides leave out, where windows do not divide and ONNX rounds their number down.

    Returns
    -------
    list of str
        A sentence for each layer that leaves positions of a padded input out, with the arithmetic:
        ``Conv 'c1': on axes 2 and 3 a stride of 3 leaves 1 of 7 positions out: (7 - 3) / 3 + 1 =
        2.33``.
    """
    notes = []
    for layer in network.layers:
        if not all(name in layer.attributes for name in _WINDOW):
            continue
        inputs, outputs = (network.shape(names[0])[2:] for names in (layer.inputs, layer.outputs))
        pads = layer.attributes["pads"]
        windows = zip(*(layer.attributes[name] for name in _WINDOW[:3]), strict=True)
        found: dict[str, list[str]] = {}
        for axis, (kernel, stride, dilation) in enumerate(windows):
            begin, end = pads[axis], pads[axis + len(outputs)]
            padded = inputs[axis] + begin + end
            # Not the remainder: in ceil mode a last window may reach beyond the padding.
            rest = padded - span(kernel, dilation) - (outputs[axis] - 1) * stride
            if rest > 0:
                counted = arithmetic(inputs[axis], kernel, stride, dilation, begin, end)
                note = f"a stride of {stride} leaves {rest} of {padded} positions out: {counted}"
                found.setdefault(note, []).append(str(axis + 2))
        if found:
            each = (
                f"on ax{'es' if len(axes) > 1 else 'is'} {' and '.join(axes)} {note}"
                for note, axes in found.items()
            )
            notes.append(f"{layer.op} '{layer.name}': {'; '.join(each)}")
    return notes


def geometry(network):
    """Layers as a DataFrame.

    Columns are ``name``, ``op``, ``output_shape``, ``receptive_field``, ``jump``, ``start`` (tuples
    with an entry for each spatial axis of the input), ``params``, ``macs``, ``dense_params`` and
    ``dense_macs`` (of the same mapping as a fully connected layer; 0 for layers without MACs).
    """
    import pandas

    seen = fields(network)
    rows = []
    for layer, (params, macs) in zip(network.layers, counts(network), strict=True):
        axes = seen.get(layer.outputs[0], ())
        row = {
            "name": layer.name,
            "op": layer.op,
            "output_shape": network.shape(layer.outputs[0]),
            "receptive_field": tuple(axis.size for axis in axes),
            "jump": tuple(axis.jump for axis in axes),
            "start": tuple(axis.start for axis in axes),
            "params": params,
            "macs": macs,
        }
        rows.append({**row, **_dense(network, layer)})
    return pandas.DataFrame(rows)
