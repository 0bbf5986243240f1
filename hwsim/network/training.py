"""Networks that can be trained in integers, as a chain of stages."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from .network import NetworkError
from .windows import output_size

__all__ = [
    "FACTOR_BITS",
    "FUNCTIONS",
    "SUM_POOLS",
    "Line",
    "Region",
    "Stage",
    "initial_weights",
    "stages",
]


FUNCTIONS = ("Sigmoid", "Tanh")
# Pools that add up: a sum is an average of windows that count as one value.
SUM_POOLS = ("AveragePool", "SumPool")
# What a maximum pool may lie behind and yet be a part of the stage; and a ReLU.
_SUMS = ("Conv", "Gemm", *SUM_POOLS)
FACTOR_BITS = 14


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
        "Conv", "Gemm", "AveragePool", "SumPool", "MaxPool", "LRN", "Sigmoid" or "Tanh".
    name : str
        Of the layer; its output has that name in `hwsim.network.Network`.
    weight, bias : str
        Of the parameters; ``""`` for none.
    output : str
        Of the layer's own output.
    shape : tuple of int
        Of an input image: (C, H, W), a dense layer's (features, 1, 1).
    attributes : mapping
        Of the convolution, pool or LRN, whose windows within channels are a square; those of the
        others are of 1 × 1.
    transposed : bool
        Whether a dense layer's weights are (features, outputs) and not (outputs, features).
    outputs : int
    relu : bool
        Before the pool that follows.
    window : tuple of int
        Of the pool that follows, with windows side by side; (1, 1) for none.
    """

    op: str
    name: str
    weight: str = ""
    bias: str = ""
    output: str
    shape: tuple[int, int, int]
    attributes: Mapping[str, Any]
    transposed: bool = False
    outputs: int
    relu: bool = False
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
        """Whether outputs are products, which are rounded as their values need it."""
        return self.op in (*_SUMS, "LRN")

    @property
    def map_shape(self):
        """Height and width of the layer's own output."""
        return tuple(output_size(*axis) for axis in _axes(self.shape, self.attributes))

    @property
    def pooled_shape(self):
        """Channels, height and width behind the pool."""
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


_POINT = {"kernel": (1, 1), "strides": (1, 1), "dilations": (1, 1), "pads": (0,) * 4}


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
        return {**_POINT, "kernel": shape[1:]}
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


def stages(network):
    """The stages of a network that can be trained in integers.

    Raises
    ------
    NetworkError
        The network is no chain of convolutions, dense layers, ReLU, sigmoid, tanh, pools and
        LRN; see ``docs/training.md``.
    """
    found: list[dict[str, Any]] = []
    if len(network.inputs) != 1 or len(network.inputs[0].shape) not in (2, 4):
        raise NetworkError(
            "training in integers takes networks with one input of (N, C, H, W) or (N, features)"
        )
    current, shape = network.inputs[0].name, network.inputs[0].shape[1:]
    for layer in network.layers:

        def refuse(what, layer=layer):
            raise NetworkError(
                f"{layer.op} '{layer.name}': {what} is not supported in training; accepted: a "
                "chain of Conv, Gemm, Relu, Sigmoid, Tanh, LRN, pools by maximum, average and sum, "
                "and Flatten, with constant weights"
            )

        if layer.inputs[0] != current or len(network.consumers.get(current, ())) != 1:
            refuse("an input that is not the output of the layer before it alone")
        a = layer.attributes
        members = {
            "op": layer.op.removeprefix("Global"),
            "name": layer.name,
            "output": layer.outputs[0],
            "shape": shape,
            "outputs": shape[0],
        }
        # What is behind a maximum could as well be before it.
        nothing: dict[str, Any] = {"op": ""}
        behind = next((s for s in reversed(found) if s["op"] != "MaxPool"), nothing)
        if layer.op in ("Conv", "Gemm"):
            if any(name and name not in network.constants for name in layer.inputs[1:]):
                refuse("a weight that is computed")
            weights = network.constants[layer.inputs[1]]
            bias = layer.inputs[2] if len(layer.inputs) > 2 else ""
            if layer.op == "Conv":
                if len(a["kernel"]) != 2:
                    refuse(f"a kernel {a['kernel']}")
                members |= {"attributes": a, "outputs": weights.shape[0]}
            else:
                if a["alpha"] != 1 or a["beta"] != 1 or a["trans_a"]:
                    refuse("alpha, beta or transA")
                outputs = weights.shape[0 if a["trans_b"] else 1]
                if bias and network.constants[bias].shape != (outputs,):
                    refuse(f"a bias of shape {network.constants[bias].shape}")
                members |= {
                    "shape": (math.prod(shape), 1, 1),
                    "attributes": _POINT,
                    "outputs": outputs,
                    "transposed": not a["trans_b"],
                }
            found.append({**members, "weight": layer.inputs[1], "bias": bias})
        elif layer.op == "Relu" and found:
            if behind["op"] not in _SUMS:
                # An average of one value, of which the ReLU is a part.
                behind = {**members, "op": "AveragePool", "attributes": _POINT}
                found.append(behind)
            behind["relu"] = True
        elif layer.op in ("MaxPool", "GlobalMaxPool") and found:
            pool = _pool(layer, shape, refuse)
            if "window" not in found[-1] and _beside(shape, pool):
                found[-1]["window"] = pool["kernel"]
            else:
                found.append({**members, "attributes": pool})
        elif members["op"] in SUM_POOLS and found:
            found.append({**members, "attributes": _pool(layer, shape, refuse)})
        elif layer.op in FUNCTIONS and behind["op"] in _SUMS:
            found.append({**members, "attributes": _POINT})
        elif layer.op == "LRN" and found:
            if min(a["alpha"], a["beta"], a["bias"]) <= 0:
                refuse("alpha, beta or bias not above 0")
            found.append({**members, "attributes": {**_POINT, **a}})
            if a["within"]:
                size, (before, after) = a["size"], Stage(**found[-1]).reach
                found[-1]["attributes"] |= {
                    "kernel": (size, size),
                    "pads": (before, before, after, after),
                }
        elif layer.op not in ("Flatten", "Dropout", "Identity"):
            refuse("this layer here")
        if found:
            shape = Stage(**found[-1]).pooled_shape
        current = layer.outputs[0]
    last = Stage(**found[-1]) if found else None
    if last is None or last.relu or last.window != (1, 1) or last.op == "MaxPool":
        raise NetworkError(
            "training takes networks that end with neither a ReLU nor a maximum pool"
        )
    if shape[1:] != (1, 1):
        raise NetworkError(f"training takes networks with an output of 1 x 1, not of {shape[1:]}")
    return [Stage(**members) for members in found]


def initial_weights(network, seed):
    """Random parameters by name: uniform weights by fan-in (He et al., ICCV 2015), no biases."""
    rng = np.random.default_rng(seed)
    found = {}
    for stage in stages(network):
        if not stage.weight:
            continue
        weights = network.constants[stage.weight]
        bound = math.sqrt(6 / (weights.size / stage.outputs))
        found[stage.weight] = rng.uniform(-bound, bound, weights.shape).astype(np.float32)
        if stage.bias:
            found[stage.bias] = np.zeros(stage.outputs, np.float32)
    return found
