"""Networks that can be trained in integers, as stages that read one another."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from .affine import fold_affine
from .network import NetworkError
from .windows import output_size

__all__ = [
    "FACTOR_BITS",
    "FUNCTIONS",
    "IMAGES",
    "POINT",
    "SUM_POOLS",
    "Line",
    "Region",
    "Stage",
    "final_softmax",
    "folded",
    "initial_weights",
    "stages",
]


FUNCTIONS = ("Sigmoid", "Tanh")
# Pools that add up: a sum is an average of windows that count as one value.
SUM_POOLS = ("AveragePool", "SumPool")
# What a ReLU may lie behind and be a part of the stage.
_SUMS = ("Conv", "Gemm", "Add", *SUM_POOLS)
FACTOR_BITS = 14
LARGEST_WEIGHT = 2
# Name of a network's input among those of stages.
IMAGES = ""


class Line(NamedTuple):
    """Pixels of an axis, a step apart, and the windows of a pool that they lie in.

    Members
    -------
    pixels : range
    window, along : int
        The window in which the first pixel is `tap`, and how much further on it is for the next.
    tap, tap_step, taps, back : int
        The others: each so many taps further on in a window that lies so many before.
    """

    pixels: range
    window: int
    along: int
    tap: int
    tap_step: int
    taps: int
    back: int


class Region(NamedTuple):
    """Windows of an average that count equally many values, or all of a sum.

    Members
    -------
    rows, cols : range
    factor : int
        One divided by the values, in steps of ``2**-bits`` with the bits of `Stage.factor`.
    share : int
        The fewest values in a window, divided by these: in steps of ``2**-FACTOR_BITS``.
    """

    rows: range
    cols: range
    factor: int
    share: int


@dataclass(frozen=True, eq=False, kw_only=True)
class Stage:
    """A layer that computes, with what follows it: a ReLU and a maximum pool, or neither.

    Members
    -------
    op : str
        "Conv", "Gemm", "Add", "Concat", "AveragePool", "SumPool", "MaxPool", "LRN", "Sigmoid" or
        "Tanh"; or "Exchange", where several accelerators exchange an output, or its gradient: one
        or neither, as its attributes "forward" and "input gradient" say.
    name : str
        Of the layer; its output has that name in `hwsim.network.Network`.
    inputs : tuple of str
        Names of the stages that it reads, `IMAGES` for the network's input.
    weight, bias : str
        Of the parameters; ``""`` for none.
    output : str
        Of the layer's own output.
    shape : tuple of int
        Of an input image: (C, H, W), a vector's (features, 1, 1); of "Concat" and "Exchange" that
        of its output.
    attributes : mapping
        Of the convolution, pool or LRN, whose windows within channels are a square; those of the
        others are of 1 × 1.
    transposed : bool
        Whether a dense layer's weights are (features, outputs) and not (outputs, features).
    outputs : int
    relu : bool
        Before the pool that follows.
    largest : float
        Of the ReLU's outputs: a larger value becomes it.
    window : tuple of int
        Of the pool that follows, with windows side by side; (1, 1) for none.
    """

    op: str
    name: str
    inputs: tuple[str, ...] = (IMAGES,)
    weight: str = ""
    bias: str = ""
    output: str
    shape: tuple[int, int, int]
    attributes: Mapping[str, Any]
    transposed: bool = False
    outputs: int
    relu: bool = False
    largest: float = math.inf
    window: tuple[int, int] = (1, 1)

    @property
    def group(self):
        """Groups of channels that a convolution keeps apart."""
        return self.attributes.get("group", 1)

    @property
    def depth(self):
        """Weights of an output, its bias among them."""
        channels = self.shape[0] // self.group
        return channels * math.prod(self.attributes["kernel"]) + bool(self.bias)

    @property
    def sums(self):
        """Whether outputs are sums, which are rounded as their values need it."""
        return self.op in (*_SUMS, "LRN")

    @property
    def map_shape(self):
        """Height and width of the layer's own output."""
        return tuple(output_size(*axis) for axis in _axes(self.shape, self.attributes))

    @property
    def pooled_shape(self):
        """Channels, height and width of what others read, behind the pool."""
        return self.outputs, *(n // k for n, k in zip(self.map_shape, self.window, strict=True))

    @property
    def factor(self):
        """What values of a pool are multiplied by: an integer, and bits behind its point.

        For an average one divided by the values of the window that has the fewest, with a relative
        error of at most 2**-14; one for a sum or a maximum.
        """
        if self.op == "MaxPool":
            return 1, 0
        count = math.prod(int(counts.min()) for counts in self._counted)
        bits = FACTOR_BITS + count.bit_length() - 1
        return _divided(1 << bits, count), bits

    @property
    def _counted(self):
        """As `_counted`; of a sum, one value in each window."""
        counts = _counted(self.shape, self.attributes)
        return [np.ones_like(each) for each in counts] if self.op == "SumPool" else counts

    @property
    def regions(self):
        """`Region`s of an average's windows."""
        rows, cols = self._counted
        fewest, (_, bits) = int(rows.min() * cols.min()), self.factor
        found = []
        for y in _runs(rows):
            for x in _runs(cols):
                count = int(rows[y.start] * cols[x.start])
                factor, share = _divided(1 << bits, count), _divided(fewest << FACTOR_BITS, count)
                found.append(Region(y, x, factor, share))
        return found

    @property
    def reach(self):
        """Channels, or pixels along an axis, before and after its own that LRN adds up."""
        size = self.attributes["size"]
        return (size - 1) // 2, size // 2

    @property
    def members(self):
        """Values that LRN adds up."""
        return self.attributes["size"] ** (2 if self.attributes["within"] else 1)

    def lines(self, axis):
        """`Line`s of pixels, for the gradient of a pool; pixels in none lie in no window."""
        size, kernel, stride, dilation, pad, *_ = _axes(self.shape, self.attributes)[axis]
        if self.op in SUM_POOLS and self.map_shape[axis] == dilation == 1:
            # All pixels of the one window are equal.
            return [Line(range(min(size, kernel - pad)), 0, 0, 0, 1, 1, 0)]
        step = stride // math.gcd(stride, dilation)
        found = []
        for first in range(min(stride, size)):
            for tap in range(min(kernel, step)):
                window, rest = divmod(first + pad - tap * dilation, stride)
                if rest == 0:
                    pixels, taps = range(first, size, stride), -(-(kernel - tap) // step)
                    back = step * dilation // stride
                    found.append(Line(pixels, window, 1, tap, step, taps, back))
        return found

    def matrix(self, weights):
        """Weights as (depth, outputs); the depth counts channels of a group, then taps."""
        return (weights if self.transposed else weights.reshape(self.outputs, -1).T).copy()

    def tensor(self, matrix):
        """The network's own form of what `matrix` gives."""
        if self.transposed:
            return matrix
        kernel = self.attributes["kernel"]
        whole = matrix.T.reshape(self.outputs, -1, *kernel)
        return whole[:, :, 0, 0] if self.op == "Gemm" else whole


# Attributes of a layer that takes pixel by pixel.
POINT = {"kernel": (1, 1), "strides": (1, 1), "dilations": (1, 1), "pads": (0,) * 4}


def _axes(shape, a):
    """Of each axis what `output_size` takes: size, kernel, stride, dilation, pads, ceil mode."""
    names, ceil = ("kernel", "strides", "dilations"), a.get("ceil_mode", False)
    return [
        (shape[k + 1], *(a[name][k] for name in names), a["pads"][k], a["pads"][k + 2], ceil)
        for k in (0, 1)
    ]


def _counted(shape, a):
    """Values that a pool counts in its windows: those of a row, of a column of each."""
    found = []
    for axis in _axes(shape, a):
        size, kernel, stride, dilation, begin, end, _ = axis
        places = np.arange(output_size(*axis))[:, None] * stride - begin
        places = places + np.arange(kernel) * dilation
        low, high = (-begin, size + end) if a.get("count_include_pad") else (0, size)
        found.append(((places >= low) & (places < high)).sum(axis=1))
    return found


def _runs(values):
    """Ranges of equal values one after another."""
    ends = np.flatnonzero(np.diff(values)) + 1
    return [range(*ends) for ends in pairwise([0, *ends.tolist(), len(values)])]


def _divided(a, b):
    """To the nearest integer."""
    return (2 * a + b) // (2 * b)


def _pool(layer, shape, refuse):
    """Attributes of a pool; those of a global one, too."""
    if layer.op.startswith("Global"):
        return {**POINT, "kernel": shape[1:]}
    if not all(counts.all() for counts in _counted(shape, layer.attributes)):
        refuse("a window in the padding alone")
    return layer.attributes


def _beside(shape, a):
    """Whether the windows of a pool lie side by side in the map, from its corner on."""
    geometry = [(axis, output_size(*axis)) for axis in _axes(shape, a)]
    return (
        not any(a["pads"])
        and a["dilations"] == (1, 1)
        and all(
            count == size // kernel and (count == 1 or stride == kernel)
            for (size, kernel, stride, *_), count in geometry
        )
    )


def final_softmax(network):
    """The Softmax with which a network ends, a part of the loss; None for no such layer."""
    last = network.producers.get(network.outputs[0].name)
    if last is None or last.op != "Softmax" or len(network.outputs) > 1:
        return None
    shape = network.outputs[0].shape
    whole = last.attributes["axis"] == 1 and shape[1] == math.prod(shape[1:])
    read = last.outputs[0] in network.consumers or last.inputs[0] not in network.producers
    return last if whole and not read else None


def folded(network):
    """A network in which normalizations of batches are a part of the layers before them.

    So are other layers that multiply or add constants, and MatMul is Gemm; see
    `hwsim.network.affine`. The `final_softmax` is left out. A network with none of these is the
    same as before.

    Raises
    ------
    NetworkError
        No Conv or Gemm can take one.
    """
    softmax = final_softmax(network)
    if softmax:
        network = replace(
            network,
            layers=tuple(layer for layer in network.layers if layer is not softmax),
            outputs=(network.tensors[softmax.inputs[0]],),
        )
    affine = [
        layer
        for layer in network.layers
        if layer.op in ("BatchNormalization", "MatMul", "Mul", "Sum")
        or (layer.op == "Add" and not network.constants.keys().isdisjoint(layer.inputs))
    ]
    if not affine:
        return network
    found = fold_affine(network)
    kept = {layer.name for layer in found.layers if layer.op == "Conv"}
    for layer in affine:
        if layer.name in kept:
            raise NetworkError(
                f"{layer.op} '{layer.name}': an input that is no output of a Conv or Gemm, or one "
                "that others read, too, is not supported in training"
            )
    return found


def _behind(found, source):
    """Names of a stage and of those before it, as far as they are maxima, and the one before."""
    path = [source]
    while path[-1] != IMAGES and found[path[-1]]["op"] == "MaxPool":
        path += found[path[-1]]["inputs"]
    return path


def stages(network):
    """The stages of a network that can be trained in integers, each behind those that it reads.

    Raises
    ------
    NetworkError
        The network, as `folded` gives it, has other layers than ``docs/training.md`` names, or no
        end like that.
    """
    if len(network.inputs) != 1 or len(network.inputs[0].shape) not in (2, 4):
        raise NetworkError(
            "training in integers takes networks with one input of (N, C, H, W) or (N, features)"
        )
    found: dict[str, dict[str, Any]] = {}
    # Of each map the stage whose output it is.
    origins = {network.inputs[0].name: IMAGES}
    # Stages whose output several layers read, which can therefore not become a part of it.
    closed = {IMAGES}
    outputs = {tensor.name for tensor in network.outputs}
    trained: set[str] = set()
    for layer in network.layers:

        def refuse(what, layer=layer):
            raise NetworkError(
                f"{layer.op} '{layer.name}': {what} is not supported in training; accepted: Conv, "
                "Gemm, Relu, Clip from 0, Sigmoid, Tanh, LRN, pools by maximum, average and sum, "
                "Add of two maps, Concat of channels, and Flatten, with constant weights; and a "
                "Softmax of all outputs at the end"
            )

        op = {"Sum": "Add"}.get(layer.op, layer.op).removeprefix("Global")
        maps = layer.inputs if op in ("Add", "Concat") else layer.inputs[:1]
        if not maps or not origins.keys() >= {*maps}:
            refuse("an input that is no feature map")
        closed |= {origins[n] for n in maps if n in outputs or len(network.consumers[n]) > 1}
        inputs, a = tuple(origins[name] for name in maps), layer.attributes
        source, output = inputs[0], layer.outputs[0]
        shapes = [network.tensors[name].shape[1:] for name in (output, *maps)]
        # A vector's values are channels.
        shape = (*shapes[layer.op != "Concat"], 1, 1)[:3]
        members = {
            "op": op,
            "name": layer.name,
            "inputs": inputs,
            "output": output,
            "shape": shape,
            "attributes": POINT,
            "outputs": shape[0],
        }
        behind = _behind(found, source)
        # What is behind a maximum could as well be before it.
        rectified = found.get(behind[-1], {"op": ""})
        origins[output] = layer.name
        if layer.op in ("Conv", "Gemm"):
            parameters = {name for name in layer.inputs[1:] if name}
            if not parameters <= network.constants.keys():
                refuse("a weight that is computed")
            if parameters & trained:
                refuse("a weight that another layer has, too,")
            trained |= parameters
            weights = network.constants[layer.inputs[1]]
            bias = layer.inputs[2] if len(layer.inputs) > 2 else ""
            if layer.op == "Conv":
                if len(a["kernel"]) != 2:
                    refuse(f"a kernel {a['kernel']}")
                members |= {"attributes": a, "outputs": weights.shape[0]}
            else:
                if a["alpha"] != 1 or a["beta"] != 1 or a["trans_a"]:
                    refuse("alpha, beta or transA")
                units = weights.shape[0 if a["trans_b"] else 1]
                if bias and network.constants[bias].shape != (units,):
                    refuse(f"a bias of shape {network.constants[bias].shape}")
                members |= {"outputs": units, "transposed": not a["trans_b"]}
            found[layer.name] = {**members, "weight": layer.inputs[1], "bias": bias}
        elif layer.op in ("Flatten", "Reshape", "Dropout", "Identity"):
            if shapes[0] not in (shapes[1], (math.prod(shapes[1]),)):
                refuse(f"an output of {network.tensors[output].shape}")
            origins[output] = source
        elif IMAGES in inputs:
            refuse("this layer here")
        elif layer.op in ("Relu", "Clip"):
            largest = a.get("maximum")
            largest = math.inf if largest is None else largest
            if a.get("minimum", 0) != 0 or largest <= 0:
                refuse(f"a range from {a['minimum']} to {a['maximum']}")
            if rectified["op"] in _SUMS and closed.isdisjoint(behind):
                rectified["relu"] = True
                rectified["largest"] = min(largest, rectified.get("largest", math.inf))
                origins[output] = source
            else:
                # An average of one value, of which the ReLU is a part.
                members |= {"op": "AveragePool", "relu": True, "largest": largest}
                found[layer.name] = members
        elif op == "MaxPool":
            pool = _pool(layer, shape, refuse)
            if source not in closed and "window" not in found[source] and _beside(shape, pool):
                found[source]["window"] = pool["kernel"]
                origins[output] = source
            else:
                found[layer.name] = {**members, "attributes": pool}
        elif op in SUM_POOLS:
            found[layer.name] = {**members, "attributes": _pool(layer, shape, refuse)}
        elif layer.op in FUNCTIONS and rectified["op"] in _SUMS:
            found[layer.name] = members
        elif layer.op == "LRN":
            if min(a["alpha"], a["beta"], a["bias"]) <= 0:
                refuse("alpha, beta or bias not above 0")
            found[layer.name] = {**members, "attributes": {**POINT, **a}}
            if a["within"]:
                size, (before, after) = a["size"], Stage(**found[layer.name]).reach
                found[layer.name]["attributes"] |= {
                    "kernel": (size, size),
                    "pads": (before, before, after, after),
                }
        elif op == "Add":
            if len({*shapes}) > 1:
                refuse("an addition of maps of several shapes")
            found[layer.name] = members
        elif layer.op == "Concat":
            if a["axis"] != 1:
                refuse(f"axis {a['axis']}")
            found[layer.name] = members
        else:
            refuse("this layer here")
    ends = [origins.get(name, name) for name in outputs]
    return _ended([Stage(**members) for members in found.values()], ends)


def _ended(found, outputs):
    """Stages that end as they have to, with the names of those that have the network's outputs."""
    last = found[-1] if found else None
    if last is None or last.relu or last.window != (1, 1) or last.op == "MaxPool":
        raise NetworkError(
            "training takes networks that end with neither a ReLU nor a maximum pool"
        )
    read = {name for stage in found for name in stage.inputs}
    ends = [stage.name for stage in found if stage.name not in read]
    if ends != [last.name] or outputs != ends:
        names = ", ".join(sorted({*ends, *outputs}))
        raise NetworkError(f"training takes networks with a single end, not with {names}")
    if last.pooled_shape[1:] != (1, 1):
        raise NetworkError(
            f"training takes networks with an output of 1 x 1, not of {last.pooled_shape[1:]}"
        )
    return found


def initial_weights(network, seed):
    """Random parameters by name: uniform weights by fan-in (He et al., ICCV 2015), no biases.

    None is beyond ±2, to which codes of weights reach.
    """
    rng = np.random.default_rng(seed)
    found = {}
    for stage in stages(network):
        if not stage.weight:
            continue
        weights = network.constants[stage.weight]
        bound = min(math.sqrt(6 / (weights.size / stage.outputs)), LARGEST_WEIGHT)
        found[stage.weight] = rng.uniform(-bound, bound, weights.shape).astype(np.float32)
        if stage.bias:
            found[stage.bias] = np.zeros(stage.outputs, np.float32)
    return found
