"""What each layer sees of the image, and what it would cost as a fully connected layer.

The *receptive field* of a value is the smallest interval on each spatial axis that holds every
input position on which the value depends. That of position ``i`` begins at ``start + i * jump`` and
is ``receptive_field`` positions long, all in positions of the input; what lies beyond the image is
padding. Walking forward, a window of ``k`` taps, stride ``s``, dilation ``d`` and padding ``p``
turns these numbers into

    start - p * jump,    jump * s,    receptive_field + (k - 1) * d * jump

and where paths join the intervals are united, so that the longest path counts. A layer that uses
every position (a fully connected layer, a global pool) has the field of all of them, and a jump of
0: from there on all that comes sees the same.

The *same mapping as a fully connected layer* has a weight for each pair of an input and an output
value of a convolution or matrix product, and a bias for each output value where the layer has
biases.
"""

import math
from dataclasses import dataclass, replace

from .counts import counts
from .network import NetworkError
from .operators import OPERATORS

__all__ = ["Field", "fields", "geometry"]

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
