"""Training in integers of 16 bits, on `hwsim.models.reference.training.Units`.

Number format. Every code is an integer of 16 bits; a tensor's *point* says that a code counts
``2**-point``. Weights have the point `WEIGHT_POINT` and reach to ±2. The points of feature maps,
gradients and velocities are chosen so that the largest value of the first batch, computed in
float, has one bit to spare, and move on by a rule: behind a step in which a tensor saturated its
point goes down by one, behind one in which its largest code had two bits to spare it goes up by
one. Sums are exact; on their way back to 16 bits they are rounded to nearest with ties to even, in
the backward pass and the update, if that is asked for, stochastically (Gupta et al., "Deep Learning
with Limited Numerical Precision", ICML 2015).

The step for a batch of B images, momentum m and rate r; deltas are sums, not means, over the batch:

    y = round(x w)                        forward, a bias as the weight of a constant 1
    d = round((softmax(y) - label) 2**14)   on the host
    g = round(x' d)                       weight gradient, summed over the batch in the accumulator
    d = round(d w')                       input gradient: correlation with the rotated kernel
    v = round(m v + g)
    w = round(w - (r / B) v)

Factors m and r / B are rounded to numbers with integers of 16 bits, see `_factor`.
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwsim.network.network import NetworkError
from hwsim.network.windows import output_size, span

from .reference.floating import pad_maps, taps
from .reference.gradients import gradients

__all__ = [
    "FloatTraining",
    "IntegerTraining",
    "Stage",
    "TrainingSettings",
    "initial_weights",
    "stages",
]

WEIGHT_POINT = 14
INPUT_POINT = 14
LOGIT_POINT = 14
# A constant 1 has to be a code.
HIGHEST_MAP_POINT = 14
HIGHEST_POINT = 24
LARGEST_FACTOR = 1 << 14
# Bits that the factor of the update keeps at least; see `_gradient_limit`.
FACTOR_BITS = 7
# Points of velocities and gradients differ by at most so much, so that both have factors.
APART = 6


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """What a training step depends on, beside weights and images.

    Parameters
    ----------
    rate, momentum : float
    stochastic : bool
        Whether gradients, velocities and weights are rounded stochastically.
    seed : int
    """

    rate: float = 0.05
    momentum: float = 0.9
    stochastic: bool = False
    seed: int = 0

    def __post_init__(self):
        if not 0 < self.rate <= 1:
            raise ValueError(f"rate must lie in (0, 1], not {self.rate}")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum must lie in [0, 1), not {self.momentum}")


# ------------------------------------------------------------------------------------------ stages


@dataclass(frozen=True, eq=False)
class Stage:
    """A convolution or dense layer with what follows it: a ReLU and a maximum pool, or neither.

    Members
    -------
    name : str
        Of the layer with weights; its output has that name in `hwsim.network.Network`.
    weight, bias : str
        Of the parameters; ``""`` for no bias.
    output : str
        Of the layer's own output.
    shape : tuple of int
        Of an input image: (C, H, W), a dense layer's (features, 1, 1).
    attributes : mapping
        Of the convolution; a dense layer is one over the whole of its input of 1 × 1.
    transposed : bool
        Whether a dense layer's weights are (features, outputs) and not (outputs, features).
    outputs : int
    relu : bool
    window : tuple of int
        Of the pool; (1, 1) for none.
    """

    name: str
    weight: str
    bias: str
    output: str
    shape: tuple[int, int, int]
    attributes: Mapping[str, Any]
    transposed: bool
    outputs: int
    relu: bool = False
    window: tuple[int, int] = (1, 1)

    @property
    def map_shape(self):
        """Height and width of the layer's own output."""
        a = self.attributes
        return tuple(
            output_size(
                self.shape[k + 1],
                a["kernel"][k],
                a["strides"][k],
                a["dilations"][k],
                a["pads"][k],
                a["pads"][k + 2],
            )
            for k in range(2)
        )

    @property
    def pooled_shape(self):
        """Channels, height and width behind the pool."""
        return self.outputs, *(n // k for n, k in zip(self.map_shape, self.window, strict=True))

    def matrix(self, weights):
        """Weights as (depth, outputs); the depth counts channels, then taps."""
        return (weights if self.transposed else weights.reshape(self.outputs, -1).T).copy()

    def tensor(self, matrix):
        """The network's own form of what `matrix` gives."""
        if self.transposed:
            return matrix
        kernel = self.attributes["kernel"]
        whole = matrix.T.reshape(self.outputs, self.shape[0], *kernel)
        return whole[:, :, 0, 0] if self.attributes["dense"] else whole


_DENSE = {
    "kernel": (1, 1),
    "strides": (1, 1),
    "dilations": (1, 1),
    "pads": (0,) * 4,
    "dense": True,
}


def stages(network):
    """The stages of a network that can be trained in integers.

    Raises
    ------
    NetworkError
        The network is no chain of convolutions and dense layers with ReLU and maximum pools.
    """
    found: list[dict] = []
    if len(network.inputs) != 1 or len(network.inputs[0].shape) != 4:
        raise NetworkError("training in integers takes networks with one input of (N, C, H, W)")
    current, shape = network.inputs[0].name, network.inputs[0].shape[1:]
    for layer in network.layers:

        def refuse(what, layer=layer):
            raise NetworkError(
                f"{layer.op} '{layer.name}': {what} is not supported in training; accepted: a "
                "chain of Conv, Gemm, Relu, MaxPool and Flatten, with constant weights"
            )

        if layer.inputs[0] != current or len(network.consumers.get(current, ())) != 1:
            refuse("an input that is not the output of the layer before it alone")
        a = layer.attributes
        if layer.op in ("Conv", "Gemm"):
            if any(name and name not in network.constants for name in layer.inputs[1:]):
                refuse("a weight that is computed")
            weights = network.constants[layer.inputs[1]]
            bias = layer.inputs[2] if len(layer.inputs) > 2 else ""
            if layer.op == "Conv":
                if a["group"] != 1 or len(a["kernel"]) != 2:
                    refuse(f"group = {a['group']} with a kernel {a['kernel']}")
                attributes, outputs = {**a, "dense": False}, weights.shape[0]
            else:
                if a["alpha"] != 1 or a["beta"] != 1 or a["trans_a"]:
                    refuse("alpha, beta or transA")
                shape = (math.prod(shape), 1, 1)
                attributes, outputs = _DENSE, weights.shape[0 if a["trans_b"] else 1]
                if bias and network.constants[bias].shape != (outputs,):
                    refuse(f"a bias of shape {network.constants[bias].shape}")
            found.append(
                {
                    "name": layer.name,
                    "weight": layer.inputs[1],
                    "bias": bias,
                    "output": layer.outputs[0],
                    "shape": shape,
                    "attributes": attributes,
                    "transposed": layer.op == "Gemm" and not a["trans_b"],
                    "outputs": outputs,
                }
            )
            shape = Stage(**found[-1]).pooled_shape
        elif layer.op == "Relu" and found and not found[-1].get("relu"):
            found[-1]["relu"] = True
        elif layer.op == "MaxPool" and found and "window" not in found[-1]:
            kernel = a["kernel"]
            if a["strides"] != kernel or any(a["pads"]) or a["ceil_mode"]:
                refuse("a window that is not as large as its stride, or is padded")
            if a["dilations"] != (1, 1):
                refuse(f"dilations = {a['dilations']}")
            found[-1]["window"] = kernel
            shape = Stage(**found[-1]).pooled_shape
        elif layer.op not in ("Flatten", "Dropout", "Identity"):
            refuse("this layer")
        current = layer.outputs[0]
    if not found or found[-1].get("relu") or found[-1].get("window", (1, 1)) != (1, 1):
        raise NetworkError("training takes networks that end with the logits of a Conv or Gemm")
    if shape[1:] != (1, 1):
        raise NetworkError(f"training takes networks with an output of 1 x 1, not of {shape[1:]}")
    return [Stage(**members) for members in found]


def initial_weights(network, seed):
    """Random parameters by name: uniform weights by fan-in (He et al., ICCV 2015), no biases."""
    rng = np.random.default_rng(seed)
    found = {}
    for stage in stages(network):
        weights = network.constants[stage.weight]
        bound = math.sqrt(6 / (weights.size / stage.outputs))
        found[stage.weight] = rng.uniform(-bound, bound, weights.shape).astype(np.float32)
        if stage.bias:
            found[stage.bias] = np.zeros(stage.outputs, np.float32)
    return found


# ---------------------------------------------------------------------------------------- in float


class FloatTraining:
    """The same training in float32, by `hwsim.models.reference.gradients`.

    Parameters
    ----------
    network : Network
    weights : mapping of name to ndarray
        Where it begins.
    settings : TrainingSettings
    """

    def __init__(self, network, weights, settings):
        self._network = network
        self._settings = settings
        self.weights = {name: array.astype(np.float32) for name, array in weights.items()}
        self.velocities = {name: np.zeros_like(array) for name, array in self.weights.items()}

    def step(self, images, labels):
        """One step on images (B, C, H, W), float32 in [0, 1]; returns the loss before it."""
        found = gradients(self._network, images, labels, constants=self.weights)
        for name in self.weights:
            velocity = self._settings.momentum * self.velocities[name] + found.of[name]
            self.velocities[name] = velocity.astype(np.float32)
            self.weights[name] = (self.weights[name] - self._settings.rate * velocity).astype(
                np.float32
            )
        return found.loss

    def logits(self, images):
        """Outputs of the network, (N, classes)."""
        labels = np.zeros(len(images), np.int64)
        return gradients(self._network, images, labels, constants=self.weights).outputs

    def state(self):
        """Arrays that say all, by name."""
        return {f"weight/{n}": a for n, a in self.weights.items()} | {
            f"velocity/{n}": a for n, a in self.velocities.items()
        }

    def restore(self, state):
        """Go on from a `state`."""
        for name in self.weights:
            self.weights[name] = state[f"weight/{name}"]
            self.velocities[name] = state[f"velocity/{name}"]


# -------------------------------------------------------------------------------------- in integers


def quantized(values, point):
    """Codes of 16 bits."""
    return np.clip(np.rint(np.ldexp(np.asarray(values, np.float64), point)), -32768, 32767).astype(
        np.int64
    )


def point_for(largest, highest):
    """Point with which the largest magnitude has one bit to spare."""
    if not largest:
        return highest
    return min(14 - math.frexp(largest)[1], highest)


class IntegerTraining:
    """Training steps on hardware.

    Parameters
    ----------
    network : Network
    weights : mapping of name to ndarray
        Where it begins; rounded to codes.
    settings : TrainingSettings
    units : Units
        The hardware, of 16 bits.

    Members
    -------
    stages : list of Stage
    codes : dict of stage name to ndarray of int64, (depth + 1, outputs)
        Weights, and below them the bias, if there is one.
    velocities : the same
    points : dict of str to int
        ``map/NAME``, ``delta/NAME``, ``gradient/NAME``, ``velocity/NAME`` of each stage.
    steps : int
        So far.
    """

    def __init__(self, network, weights, settings, units):
        if units.config.bits != 16:
            raise ValueError(f"bits must be 16 in training, not {units.config.bits}")
        self.stages = stages(network)
        largest = max(math.prod(stage.window) for stage in self.stages)
        if units.config.taps < largest:
            raise ValueError(f"taps must be at least {largest}, not {units.config.taps}")
        self._network = network
        self._settings = settings
        self.units = units
        self.steps = 0
        self.points: dict[str, int] = {}
        self.codes = {}
        for stage in self.stages:
            matrix = stage.matrix(weights[stage.weight])
            if stage.bias:
                matrix = np.concatenate([matrix, weights[stage.bias][None]])
            self.codes[stage.name] = quantized(matrix, WEIGHT_POINT)
        self.velocities = {name: np.zeros_like(codes) for name, codes in self.codes.items()}
        self._largest: dict[str, int] = {}
        self._draws = 0

    # State

    def weights(self):
        """Parameters by name, float32; exact."""
        found = {}
        for stage in self.stages:
            matrix = np.ldexp(self.codes[stage.name].astype(np.float32), -WEIGHT_POINT)
            if stage.bias:
                matrix, found[stage.bias] = matrix[:-1], matrix[-1]
            found[stage.weight] = stage.tensor(matrix)
        return found

    def state(self):
        """Arrays that say all, by name."""
        found = {f"code/{name}": array.astype(np.int16) for name, array in self.codes.items()}
        found |= {f"velocity/{n}": array.astype(np.int16) for n, array in self.velocities.items()}
        found |= {f"point/{name}": np.array(point) for name, point in self.points.items()}
        return found | {"steps": np.array(self.steps)}

    def restore(self, state):
        """Go on from a `state`."""
        for name in self.codes:
            self.codes[name] = state[f"code/{name}"].astype(np.int64)
            self.velocities[name] = state[f"velocity/{name}"].astype(np.int64)
        prefix = "point/"
        self.points = {
            name.removeprefix(prefix): int(array)
            for name, array in state.items()
            if name.startswith(prefix)
        }
        self.steps = int(state["steps"])

    def calibrate(self, images, labels):
        """Choose the points from a batch, in float."""
        found = gradients(self._network, images, labels, constants=self.weights())
        batch = len(images)
        limit = self._gradient_limit(batch)
        for stage in self.stages:
            # Deltas and gradients here are sums, not means, over the batch.
            maps = _largest(found.values[stage.output])
            delta = batch * _largest(found.of[stage.output])
            gradient = batch * _largest(found.of[stage.weight])
            self.points |= {
                f"map/{stage.name}": point_for(maps, HIGHEST_MAP_POINT),
                f"delta/{stage.name}": point_for(delta, HIGHEST_POINT),
                f"gradient/{stage.name}": point_for(gradient, limit),
                f"velocity/{stage.name}": point_for(4 * gradient, limit),
            }
        self.points[f"delta/{self.stages[-1].name}"] = LOGIT_POINT

    def _gradient_limit(self, batch):
        """Highest point of gradients: the factor of the update keeps `FACTOR_BITS`.

        A last bit less of a gradient moves no weight by more than 2**(7 - 28), far below a code.
        """
        exponent = math.frexp(self._settings.rate / batch)[1]
        return min(HIGHEST_POINT, WEIGHT_POINT + 14 + exponent - FACTOR_BITS)

    # Steps

    def step(self, images, labels):
        """One step on images (B, C, H, W) in [0, 1]; returns the loss before it.

        The points are chosen at the first step.
        """
        if not self.points:
            self.calibrate(images, labels)
        self._largest, self._draws = {}, 0
        logits, memory = self._forward(self.units, images, remember=True)
        rows = np.arange(len(labels))
        shifted = logits - logits.max(axis=1, keepdims=True)
        totals = np.exp(shifted).sum(axis=1, keepdims=True)
        loss = float((np.log(totals[:, 0]) - shifted[rows, labels]).mean())
        delta = np.exp(shifted) / totals
        delta[rows, labels] -= 1
        self._backward(memory, quantized(delta, LOGIT_POINT)[:, :, None, None])
        self._move_points(len(images))
        self.steps += 1
        return loss

    def logits(self, images, units):
        """Outputs, (N, classes) of float64, computed by ``units``."""
        return self._forward(units, images, remember=False)[0]

    def _forward(self, units, images, *, remember):
        codes, point = quantized(images, INPUT_POINT), INPUT_POINT
        memory = []
        for stage in self.stages:
            codes = codes.reshape(len(codes), *stage.shape)
            name = stage.name
            columns = self._columns(stage, codes, point)
            to = self.points[f"map/{name}"]
            weights = self.codes[name]
            shift = self._shift(point + WEIGHT_POINT, to)
            out = units.product(f"{name} forward", columns, weights, shift=shift, relu=stage.relu)
            point = point + WEIGHT_POINT - shift
            if remember:
                self._note(f"map/{name}", out)
            height, width = stage.map_shape
            maps = out.reshape(-1, height, width, stage.outputs).transpose(0, 3, 1, 2)
            maps, winner, positive = self._pool(units, stage, maps, remember)
            memory.append((columns, winner, positive))
            codes = maps
        logits = np.ldexp(codes.reshape(len(codes), -1).astype(np.float64), -point)
        return logits, memory

    @staticmethod
    def _columns(stage, codes, point):
        """What each output position reads, (B H W, depth), and a column of ones for the bias."""
        padded, output = pad_maps(codes, stage.attributes, 0)
        views = np.stack(list(taps(padded, stage.attributes, output)), axis=2)
        depth = views.shape[1] * views.shape[2]
        columns = views.transpose(0, 3, 4, 1, 2).reshape(-1, depth)
        if not stage.bias:
            return columns
        ones = np.full((len(columns), 1), 1 << point, np.int64)
        return np.concatenate([columns, ones], axis=1)

    @staticmethod
    def _pool(units, stage, maps, remember):
        """Maps behind the pool; for each value which one won, and whether it was positive."""
        (kh, kw), (_, height, width) = stage.window, stage.pooled_shape
        if kh * kw == 1 and not remember:
            return maps, None, None
        if kh * kw == 1 and not stage.relu:
            return maps, None, None
        cut = maps[:, :, : height * kh, : width * kw]
        shape = (*cut.shape[:2], height, kh, width, kw)
        windows = cut.reshape(shape).transpose(0, 1, 2, 4, 3, 5).reshape(-1, kh * kw)
        value, winner, positive = units.pool(f"{stage.name} pool", windows)
        return value.reshape(*cut.shape[:2], height, width), winner, positive

    def _backward(self, memory, delta):
        """Gradients and updates, from the last stage to the first."""
        point = self.points[f"delta/{self.stages[-1].name}"]
        updates, batch = [], len(delta)
        for k in reversed(range(len(self.stages))):
            stage, (columns, winner, positive) = self.stages[k], memory[k]
            delta = delta.reshape(-1, *stage.pooled_shape)
            delta = self._route(stage, delta, winner, positive)
            by_position = delta.transpose(0, 2, 3, 1).reshape(-1, stage.outputs)
            input_point = INPUT_POINT if k == 0 else self._map_point(k - 1)
            both = self._weight_gradient(stage, columns, by_position, input_point + point)
            updates.append((stage, both))
            if k:
                delta, point = self._input_gradient(stage, self.stages[k - 1], delta, point)
        for stage, (gradient, gradient_point) in updates:
            self._update(stage, gradient, gradient_point, batch)

    def _map_point(self, k):
        """Point of what stage ``k`` gives in this step."""
        point = INPUT_POINT
        for stage in self.stages[: k + 1]:
            point += WEIGHT_POINT
            point -= self._shift(point, self.points[f"map/{stage.name}"])
        return point

    def _route(self, stage, delta, winner, positive):
        (kh, kw), (_, height, width) = stage.window, stage.pooled_shape
        if winner is None:
            return delta
        routed = self.units.route(
            f"{stage.name} pool gradient",
            delta.reshape(-1),
            winner,
            positive,
            kh * kw,
            relu=stage.relu,
        )
        batch, channels = delta.shape[:2]
        routed = routed.reshape(batch, channels, height, width, kh, kw)
        cut = routed.transpose(0, 1, 2, 4, 3, 5).reshape(batch, channels, height * kh, width * kw)
        whole = np.zeros((batch, channels, *stage.map_shape), np.int64)
        whole[:, :, : height * kh, : width * kw] = cut
        return whole

    def _weight_gradient(self, stage, columns, delta, point):
        """Sum over the batch of input times delta, and its point."""
        to = self.points[f"gradient/{stage.name}"]
        shift = self._shift(point, to)
        gradient = self.units.product(
            f"{stage.name} weight gradient", columns.T, delta, shift=shift, seed=self._draw()
        )
        self._note(f"gradient/{stage.name}", gradient)
        return gradient, point - shift

    def _input_gradient(self, stage, before, delta, point):
        """Full correlation of the deltas with the rotated kernel; for the stage before."""
        a = stage.attributes
        (kh, kw), (sh, sw), pads = a["kernel"], a["strides"], a["pads"]
        batch = len(delta)
        channels, height, width = stage.shape
        spans = [span(k, d) for k, d in zip((kh, kw), a["dilations"], strict=True)]
        # The deltas, a stride apart, where the padded input has what their windows begin with;
        # around them as many zeros as a window reaches.
        size = [n + pads[k] + pads[k + 2] + spans[k] - 1 for k, n in enumerate((height, width))]
        spread = np.zeros((batch, stage.outputs, *size), np.int64)
        top, left = (s - 1 for s in spans)
        spread[
            :,
            :,
            top : top + (delta.shape[2] - 1) * sh + 1 : sh,
            left : left + (delta.shape[3] - 1) * sw + 1 : sw,
        ] = delta
        spread = spread[:, :, pads[0] :, pads[1] :]
        spread = spread[:, :, : height + spans[0] - 1, : width + spans[1] - 1]
        windows = {"kernel": (kh, kw), "strides": (1, 1), "dilations": a["dilations"]}
        views = np.stack(list(taps(spread, windows, (height, width))), axis=2)
        columns = views.transpose(0, 3, 4, 1, 2).reshape(batch * height * width, -1)
        weights = self.codes[stage.name][: channels * kh * kw]
        rotated = weights.reshape(channels, kh * kw, stage.outputs)[:, ::-1]
        rotated = rotated.transpose(2, 1, 0).reshape(-1, channels)
        shift = self._shift(point + WEIGHT_POINT, self.points[f"delta/{before.name}"])
        out = self.units.product(
            f"{stage.name} input gradient", columns, rotated, shift=shift, seed=self._draw()
        )
        self._note(f"delta/{before.name}", out)
        maps = out.reshape(batch, height, width, channels).transpose(0, 3, 1, 2)
        return maps, point + WEIGHT_POINT - shift

    def _update(self, stage, gradient, point, batch):
        name = stage.name
        shape = gradient.shape
        change, weights = gradient.reshape(-1), self.codes[name].reshape(-1)
        if self._settings.momentum:
            key = f"velocity/{name}"
            old, new = self.points.get(f"{key} now", self.points[key]), self.points[key]
            # m v + g, all in steps of 2**-common.
            common = min(old, point) + 14
            change = self.units.combine(
                f"{name} velocity",
                self.velocities[name].reshape(-1),
                round(math.ldexp(self._settings.momentum, common - old)),
                change,
                1 << (common - point),
                shift=self._shift(common, new),
                seed=self._draw(),
            )
            point = common - self._shift(common, new)
            self._note(key, change)
            self.velocities[name] = change.reshape(shape)
            self.points[f"{key} now"] = point
        shift, factor = _factor(self._settings.rate / batch, point)
        self.codes[name] = self.units.combine(
            f"{name} update",
            weights,
            1 << shift,
            change,
            -factor,
            shift=shift,
            seed=self._draw(),
        ).reshape(shape)

    @staticmethod
    def _shift(point, to):
        """Bits to drop from a sum, so that its point becomes ``to``, or comes near it."""
        return min(max(point - to, 0), 32)

    def _draw(self):
        """A seed for random numbers, another one each time; None where none are wanted."""
        if not self._settings.stochastic:
            return None
        self._draws += 1
        text = f"{self._settings.seed} {self.steps} {self._draws}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little")

    def _note(self, key, codes):
        self._largest[key] = max(self._largest.get(key, 0), _largest(codes))

    def _move_points(self, batch):
        """The rule for the next step."""
        limit = self._gradient_limit(batch)
        highest = {"map": HIGHEST_MAP_POINT, "delta": HIGHEST_POINT}
        for key, largest in self._largest.items():
            if largest >= 32767:
                # Not below 0: a constant 1 has to be a code.
                self.points[key] = max(self.points[key] - 1, 0)
            elif largest < 1 << 13:
                self.points[key] = min(self.points[key] + 1, highest.get(key.split("/")[0], limit))
        for stage in self.stages:
            gradient = self.points[f"gradient/{stage.name}"]
            velocity = self.points[f"velocity/{stage.name}"]
            self.points[f"velocity/{stage.name}"] = min(
                max(velocity, gradient - APART), gradient + APART
            )


def _largest(array):
    return np.abs(array).max(initial=0).item()


def _factor(rate, point):
    """Shift and integer of an update: ``w 2**shift - integer v`` counts steps of 2**-(14 + shift).

    The integer is ``rate`` in those steps for a ``v`` with a point; the shift is the largest with
    which it fits.
    """
    shift = 14
    while shift and rate * 2.0 ** (WEIGHT_POINT + shift - point) > LARGEST_FACTOR:
        shift -= 1
    return shift, min(round(rate * 2.0 ** (WEIGHT_POINT + shift - point)), 32767)
