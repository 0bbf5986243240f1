"""Training in integers of 16 bits, on a `hwsim.models.reference.training.Machine`.

Number format. Every code is an integer of 16 bits; a tensor's *point* says that a code counts
``2**-point``. Weights have the point `WEIGHT_POINT` and reach to ±2. The points of feature maps,
gradients and velocities are chosen so that the largest value of the first batch, computed in float,
has one bit to spare, and move on by a rule: behind a step in which a tensor saturated its point
goes down by one, behind one in which its largest code had two bits to spare it goes up by one.
Arguments of sigmoid and tanh have the point 12, their values 14. Sums are exact; on their way back
to 16 bits they are rounded to nearest with ties to even, in the backward pass and the update, if
that is asked for, stochastically (Gupta et al., "Deep Learning with Limited Numerical Precision",
ICML 2015).

The step for momentum m and rate r; n is the images of the batch for cross-entropy, whose deltas are
of the sum of the images' losses and not of their mean, and 1 for the root mean square error:

    y = round(x w)                        forward, a bias as the weight of a constant 1
    d = round(n gradient of the loss)     see `hwsim.blocks.training.loss_gradient`
    g = round(x' d)                       weight gradient, summed over the batch in the accumulator
    d = round(d w')                       input gradient: correlation with the rotated kernel
    v = round(m v + g)
    w = round(w - (r / n) v)

Where maps meet, x and y with points of their own:

    round(x + y)                          Add; gradients of a map with several readers, one by one
    round(x), round(y), ...               Concat, with the lowest of the points

Factors m and r / n are rounded to numbers with integers of 16 bits, see `_factor`.
"""

import hashlib
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwsim.blocks.training import (
    ARGUMENT_POINT,
    BITS,
    OUTPUT_POINT,
    VALUE_POINT,
    Curve,
    loss_gradient,
)
from hwsim.compiler.training import NormScales, Scales
from hwsim.network.training import FUNCTIONS, IMAGES, stages

from .reference.backward import LOSSES
from .reference.gradients import gradients
from .reference.training import Reference

__all__ = ["FloatTraining", "IntegerTraining", "TrainingSettings"]

WEIGHT_POINT = 14
INPUT_POINT = 14
# A constant 1 has to be a code.
HIGHEST_MAP_POINT = OUTPUT_POINT
HIGHEST_POINT = 24
LARGEST_FACTOR = 1 << 14
LARGEST = (1 << (BITS - 1)) - 1
# Bits that the factor of the update keeps at least; see `_gradient_limit`.
FACTOR_BITS = 7
# Points of velocities and gradients differ by at most so much, so that both have factors.
APART = 6
# Images side by side in the reference; of no importance to what it computes.
SIDE_BY_SIDE = 16


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """What a training step depends on, beside weights and images.

    Parameters
    ----------
    rate, momentum : float
    loss : str
        "cross-entropy", of the outputs' softmax; or "rmse", the root mean square error of outputs
        that are to be 1 for the label and 0 for the others.
    stochastic : bool
        Whether gradients, velocities and weights are rounded stochastically.
    seed : int
    """

    rate: float = 0.05
    momentum: float = 0.9
    loss: str = "cross-entropy"
    stochastic: bool = False
    seed: int = 0

    def __post_init__(self):
        if not 0 < self.rate <= 1:
            raise ValueError(f"rate must lie in (0, 1], not {self.rate}")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum must lie in [0, 1), not {self.momentum}")
        if self.loss not in LOSSES:
            raise ValueError(f"loss must be {' or '.join(LOSSES)}, not {self.loss!r}")

    def target(self, labels, classes):
        """What the loss compares outputs with."""
        return labels if self.loss == "cross-entropy" else np.eye(classes, dtype=np.float32)[labels]


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
        settings = self._settings
        target = settings.target(labels, math.prod(self._network.outputs[0].shape[1:]))
        found = gradients(self._network, images, target, loss=settings.loss, constants=self.weights)
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
        found = gradients(self._network, images, labels, constants=self.weights).outputs
        return found.reshape(len(images), -1)

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
    """Training steps on an accelerator; this is what the host does.

    Parameters
    ----------
    network : Network
    weights : mapping of name to ndarray
        Where it begins; rounded to codes.
    settings : TrainingSettings
    machine : Machine
        For the same loss.

    Members
    -------
    stages : list of Stage
    points : dict of str to int
        ``map/NAME``, ``delta/NAME``, ``gradient/NAME``, ``velocity/NAME`` of each stage.
    steps : int
        So far.
    """

    def __init__(self, network, weights, settings, machine):
        if machine.loss != settings.loss:
            raise ValueError(f"loss must be {machine.loss}, as the machine's, not {settings.loss}")
        self.stages = stages(network)
        self._network = network
        self._settings = settings
        self.machine = machine
        self.steps = 0
        self.points: dict[str, int] = {}
        self._trained = [stage for stage in self.stages if stage.weight]
        codes = {}
        for stage in self._trained:
            matrix = stage.matrix(weights[stage.weight])
            if stage.bias:
                matrix = np.concatenate([matrix, weights[stage.bias][None]])
            codes[stage.name] = quantized(matrix, WEIGHT_POINT)
        machine.load(codes, {name: np.zeros_like(array) for name, array in codes.items()})

    # State

    def weights(self):
        """Parameters by name, float32; exact."""
        found = {}
        for stage in self._trained:
            codes = self.machine.codes[stage.name]
            matrix = np.ldexp(codes.astype(np.float32), -WEIGHT_POINT)
            if stage.bias:
                matrix, found[stage.bias] = matrix[:-1], matrix[-1]
            found[stage.weight] = stage.tensor(matrix)
        return found

    def state(self):
        """Arrays that say all, by name."""
        parts = {"code": self.machine.codes, "velocity": self.machine.velocities}
        found = {
            f"{part}/{name}": array.astype(np.int16)
            for part, arrays in parts.items()
            for name, array in arrays.items()
        }
        found |= {f"point/{name}": np.array(point) for name, point in self.points.items()}
        return found | {"steps": np.array(self.steps)}

    def restore(self, state):
        """Go on from a `state`."""
        self.machine.load(
            *(
                {s.name: state[f"{part}/{s.name}"].astype(np.int64) for s in self._trained}
                for part in ("code", "velocity")
            )
        )
        prefix = "point/"
        self.points = {
            name.removeprefix(prefix): int(array)
            for name, array in state.items()
            if name.startswith(prefix)
        }
        self.steps = int(state["steps"])

    def calibrate(self, images, labels):
        """Choose the points from a batch, in float."""
        settings, last, count = self._settings, self.stages[-1], self._count(len(images))
        target = settings.target(labels, last.outputs)
        found = gradients(
            self._network, images, target, loss=settings.loss, constants=self.weights()
        )
        limit = self._gradient_limit(len(images))
        for stage in self.stages:
            delta = count * _largest(found.of[stage.output])
            self.points[f"delta/{stage.name}"] = point_for(delta, HIGHEST_POINT)
            if stage.sums:
                maps = _largest(found.values[stage.output])
                self.points[f"map/{stage.name}"] = max(point_for(maps, HIGHEST_MAP_POINT), 0)
            if stage.weight:
                gradient = count * _largest(found.of[stage.weight])
                self.points |= {
                    f"gradient/{stage.name}": point_for(gradient, limit),
                    f"velocity/{stage.name}": point_for(4 * gradient, limit),
                }
        self.points |= dict.fromkeys(self._arguments, ARGUMENT_POINT)
        unit = loss_gradient(settings.loss, len(images), last.outputs)
        self.points[f"delta/{last.name}"] = unit.gradient_point

    def _count(self, batch):
        """What gradients are multiplied by: those of the cross-entropy are sums, not means."""
        return batch if self._settings.loss == "cross-entropy" else 1

    @property
    def _arguments(self):
        """Names of points of maps that sigmoid or tanh take, directly or through maxima."""
        by_name, found = {stage.name: stage for stage in self.stages}, []
        for stage in self.stages:
            if stage.op in FUNCTIONS:
                before = by_name[stage.inputs[0]]
                while before.op == "MaxPool":
                    before = by_name[before.inputs[0]]
                found.append(f"map/{before.name}")
        return found

    def _gradient_limit(self, batch):
        """Highest point of gradients: the factor of the update keeps `FACTOR_BITS`.

        A last bit less of a gradient moves no weight by more than 2**(7 - 28), far below a code.
        """
        exponent = math.frexp(self._settings.rate / self._count(batch))[1]
        return min(HIGHEST_POINT, WEIGHT_POINT + 14 + exponent - FACTOR_BITS)

    # Steps

    def step(self, images, labels):
        """One step on images (B, C, H, W) in [0, 1]; returns the loss before it.

        The points are chosen at the first step.
        """
        if not self.points:
            self.calibrate(images, labels)
        scales, points = self._scales(len(images))
        codes, flags = self.machine.step(
            quantized(images, INPUT_POINT), labels, scales, points.logits
        )
        # In one order, whoever computed them: sums below depend on it.
        logits = np.ldexp(np.ascontiguousarray(codes, np.float64), -points.logits)
        target = self._settings.target(labels, logits.shape[1])
        loss, _ = LOSSES[self._settings.loss](logits, target)
        self.points |= {f"velocity/{name} now": p for name, p in points.velocities.items()}
        self._move_points(flags, len(images))
        self.steps += 1
        return float(loss)

    def logits(self, images):
        """Outputs, (N, classes) of float64, by the reference."""
        reference = Reference(self.stages, SIDE_BY_SIDE)
        reference.load(self.machine.codes, {})
        scales, points = self._scales(len(images))
        return np.ldexp(reference.forward(quantized(images, INPUT_POINT), scales), -points.logits)

    def _scales(self, batch):
        """`Scales` of each stage from the points, and the points that come of them."""
        found: list[dict[str, Any]] = []
        maps = {IMAGES: INPUT_POINT}
        for stage in self.stages:
            inputs = [maps[name] for name in stage.inputs]
            point, shift = inputs[0], 0
            joins: tuple[int, ...] = ()
            if stage.op in FUNCTIONS:
                point = VALUE_POINT
            elif stage.op == "Add":
                joins, point = _aligned(inputs, self.points[f"map/{stage.name}"])
            elif stage.op == "Concat":
                point = min(inputs)
                joins = tuple(each - point for each in inputs)
            elif stage.sums:
                total = point + _weight_point(stage)
                shift = _shift(total, self.points[f"map/{stage.name}"])
                if stage.op == "LRN":
                    # The shift of a product has 14 bits that the unit adds.
                    shift = min(shift, 32 - VALUE_POINT)
                point = total - shift
            maps[stage.name] = point
            numbers = {"one": 1 << inputs[0], "forward": shift, "joins": joins}
            # In a range that is that wide, a ReLU without a bound does the same.
            largest = min(stage.largest, 2.0**BITS)
            numbers["bound"] = min(round(math.ldexp(largest, point)), LARGEST)
            found.append(numbers)
        velocities, last = {}, self.stages[-1].name
        deltas = {last: self.points[f"delta/{last}"]}
        for stage, numbers in reversed(list(zip(self.stages, found, strict=True))):
            name, point, source = stage.name, deltas[stage.name], maps[stage.inputs[0]]
            numbers |= {"gradient": 0, "velocity": None, "update": None, "inputs": 0}
            if stage.weight:
                total = source + point
                numbers["gradient"] = _shift(total, self.points[f"gradient/{name}"])
                change = total - numbers["gradient"]
                if self._settings.momentum:
                    numbers["velocity"], change = self._velocity(name, change)
                    velocities[name] = change
                shift, factor = _factor(self._settings.rate / self._count(batch), change)
                numbers["update"] = 1 << shift, -factor, shift
            sums = []
            for before in stage.inputs:
                if before == IMAGES:
                    continue
                to, given = self.points[f"delta/{before}"], point
                if stage.op == "LRN":
                    numbers["norm"], given = _norm_scales(stage, source, point, to)
                elif stage.op not in ("Add", "Concat"):
                    total = point + _weight_point(stage)
                    numbers["inputs"] = _shift(total, to)
                    given = total - numbers["inputs"]
                aligned = ((0, 0, 0), given)
                if before in deltas:
                    aligned = _aligned((deltas[before], given), to)
                sums.append(aligned[0])
                deltas[before] = aligned[1]
            numbers["sums"] = tuple(sums)
            numbers["seeds"] = self._seeds(name)
        return [Scales(**numbers) for numbers in found], _Points(maps[last], velocities)

    def _velocity(self, name, gradient):
        """Factors and shift of ``m v + g``, all in steps of 2**-common, and its point."""
        key = f"velocity/{name}"
        old, new = self.points.get(f"{key} now", self.points[key]), self.points[key]
        common = min(old, gradient) + 14
        factor = round(math.ldexp(self._settings.momentum, common - old))
        shift = _shift(common, new)
        return (factor, 1 << (common - gradient), shift), common - shift

    def _seeds(self, name):
        """Seeds for random numbers, others each time; none where they are not wanted."""
        if not self._settings.stochastic:
            return {}
        digests = {
            work: hashlib.sha256(f"{self._settings.seed} {self.steps} {name} {work}".encode())
            for work in ("gradient", "inputs", "velocity", "update")
        }
        return {
            work: int.from_bytes(digest.digest()[:4], "little") for work, digest in digests.items()
        }

    def _move_points(self, flags, batch):
        """The rule for the next step."""
        limit = self._gradient_limit(batch)
        highest = {"map": HIGHEST_MAP_POINT, "delta": HIGHEST_POINT}
        for key, (bounded, large) in flags.items():
            if key in self._arguments:
                continue
            if bounded:
                # Not below 0: a constant 1 has to be a code.
                self.points[key] = max(self.points[key] - 1, 0)
            elif not large:
                self.points[key] = min(self.points[key] + 1, highest.get(key.split("/")[0], limit))
        for stage in self._trained:
            gradient = self.points[f"gradient/{stage.name}"]
            velocity = self.points[f"velocity/{stage.name}"]
            self.points[f"velocity/{stage.name}"] = min(
                max(velocity, gradient - APART), gradient + APART
            )


@dataclass(frozen=True)
class _Points:
    """Points of results: of the logits, of each stage's velocity."""

    logits: int
    velocities: dict[str, int]


def _weight_point(stage):
    """Point of what a stage's input, or its gradient, is multiplied by."""
    if stage.weight:
        return WEIGHT_POINT
    if stage.op == "LRN":
        return Curve("Power", stage.attributes["bias"], stage.attributes["beta"]).point
    return 2 * VALUE_POINT if stage.op in FUNCTIONS else stage.factor[1]


def _norm_scales(stage, point, delta, to):
    """`NormScales` of an LRN of maps with a point, for gradients with another, and theirs.

    ``delta`` is the point of the output's gradient, ``to`` the one that the input's should have.
    """
    a, power = stage.attributes, _weight_point(stage)
    share = a["alpha"] / (stage.members * a["bias"])
    # Bits with which the factor fills an integer of 15.
    bits = 14 - math.frexp(share)[1]
    squares = 2 * point - (BITS - 1)
    shift = min(max(squares + bits - ARGUMENT_POINT, 0), 32)
    factor = round(math.ldexp(share, shift + ARGUMENT_POINT - squares))
    # So that no sum reaches a bound.
    near = 14 + (stage.members - 1).bit_length()
    direct = delta + power - (BITS - 2)
    shared = direct + point - (BITS - 1) + bits - 1 - near + point - (BITS - 1)
    parts, total = _aligned((direct, shared), to)
    shares = round(math.ldexp(2 * share, bits - 1)), near
    return NormScales((min(factor, LARGEST), shift), shares, parts), total


def _aligned(points, to):
    """Factors and a shift for a sum of two codes with points, and its point: ``to``, or near it."""
    common = min(points) + 14
    factors = [round(math.ldexp(1, common - point)) for point in points]
    shift = _shift(common, to)
    return (*factors, shift), common - shift


def _shift(point, to):
    """Bits to drop from a sum, so that its point becomes ``to``, or comes near it."""
    return min(max(point - to, 0), 32)


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
