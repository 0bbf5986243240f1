"""A training step: the forward pass, gradients back through the layers, and the update.

Behind the layers of the forward pass come, from the last to the first, the gradients of each layer
that has something to learn or passes a gradient on, and then an update per layer with parameters::

    conv1 ... dense  dense.input_gradient dense.weight_gradient ... conv1.weight_gradient
    conv1.update ... dense.update

What a gradient needs of the forward pass is listed among the inputs of its work, so that it stays
alive until then: the input of a convolution, a dense layer, a BatchNormalization, an LRN or a
maximum pool, the output of an activation, the mask of a Dropout.

Matrix products. For a product of (m, k) by (k, n) the gradient of the left operand is one of
(m, n) by (n, k), that of the right one is one of (k, m) by (m, n): each has the forward pass's
multiply-accumulates. The input gradient of a convolution is the full correlation of the output
gradient with the rotated kernel (Dumoulin and Visin, "A guide to convolution arithmetic for deep
learning", 2016, chapter 4): m counts input pixels, k output channels times the taps that hit, which
with a stride are a share of them. Where the two counts differ (borders), some of its products are
with zeros; `Work.macs` leaves them out. The gradient of a bias sums the output gradient.

Operations per output value of the other layers, unless it says otherwise:

=====================================  ===================================================
Relu; Clip                             1 select; 2 comparisons and a select
Sigmoid, Tanh                          3: dy y (1 - y), dy (1 - y^2)
Softmax                                4: y (dy - sum(dy y)); 2 where it ends the network
MaxPool, GlobalMaxPool                 a comparison per tap, and an addition
AveragePool, GlobalAveragePool         an addition per tap, and the division
SumPool                                an addition per tap
LRN                                    the forward pass's, once more, and ``size`` + 6
BatchNormalization                     weight gradient 5, input gradient 6, both read x and dy;
                                       forward 5, in two passes over x: the batch's statistics
Mul; Dropout                           1 for each operand; 1
Concat, Pad, Transpose                 1: a copy
Add, Sum                               none: the operands take the gradient as it is
a feature map with several readers     an addition for each reader but the first
the loss                               2: subtract the label, divide by the batch
=====================================  ===================================================

The update reads weights, gradients and the optimizer's states, and writes weights and states. In
fp16 and bf16 it works on a copy of the weights, and states, in fp32 (Micikevicius et al., "Mixed
Precision Training", ICLR 2018). So it does in int16 and int8, in which values, gradients and
weights are taken as those of a network that is trained in integers alone (Wu et al., "Training and
Inference with Integers in Deep Neural Networks", ICLR 2018, do that with 8 bits); that the copy is
of 32-bit integers is an assumption.
"""

import math
from dataclasses import dataclass, replace

from hwsim.blocks.checks import check_positive
from hwsim.network.network import NetworkError

from .workload import FLOAT_BYTES, TRANSCENDENTAL, Convolution, Gemm, Work

__all__ = ["OPTIMIZERS", "Optimizer", "check_optimizer", "training_step", "training_time"]


@dataclass(frozen=True)
class Optimizer:
    """What an update costs for each parameter.

    Members
    -------
    states : int
        Values that are kept from step to step.
    operations : int
    """

    states: int
    operations: int


OPTIMIZERS = {
    "sgd": Optimizer(0, 2),  # w -= rate g
    "momentum": Optimizer(1, 4),  # v = mu v + g; w -= rate v
    # m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g g; w -= rate m / (sqrt(v) + eps), where the root
    # and the division take what an exponential does.
    "adam": Optimizer(2, 3 + 4 + TRANSCENDENTAL + 3),
}
"""Optimizers by name."""

INPUT, WEIGHT, UPDATE = "input gradient", "weight gradient", "update"
MASTER_BYTES = 4

# Operator: operations per output value, from those of the forward pass; and what it reads of the
# forward pass beside the output gradient.
_ELEMENTWISE = {
    "AveragePool": (lambda forward: forward, ""),
    "Clip": (lambda forward: 3, "y"),
    "Concat": (lambda forward: 1, ""),
    "GlobalAveragePool": (lambda forward: forward, ""),
    "GlobalMaxPool": (lambda forward: forward + 1, "xy"),
    "LRN": (lambda forward: forward + (forward - TRANSCENDENTAL - 3) // 2 + 6, "x"),
    "MaxPool": (lambda forward: forward + 1, "xy"),
    "Pad": (lambda forward: 1, ""),
    "Relu": (lambda forward: 1, "y"),
    "Sigmoid": (lambda forward: 3, "y"),
    "Softmax": (lambda forward: 4, "y"),
    "SumPool": (lambda forward: forward, ""),
    "Tanh": (lambda forward: 3, "y"),
    "Transpose": (lambda forward: 1, ""),
}
_NORMALIZATION_FORWARD = 5
_NORMALIZATION_WEIGHT = 5
_NORMALIZATION_INPUT = 6
LOSS = 2
_PRODUCTS = ("Conv", "Gemm", "MatMul")
_PASSED_ON = ("Add", "Sum")
_ACCEPTED = sorted({*_ELEMENTWISE, *_PRODUCTS, *_PASSED_ON, "BatchNormalization", "Dropout", "Mul"})


def check_optimizer(optimizer):
    """Refuse the name of an unknown optimizer."""
    if optimizer not in OPTIMIZERS:
        known = ", ".join(OPTIMIZERS)
        raise ValueError(f"optimizer must be one of {known}, not {optimizer!r}")


def training_step(load, optimizer="sgd"):
    """The work of a training step, from that of its forward pass.

    Parameters
    ----------
    load : Workload
        Of `hwsim.models.dataflow.workload.workload` of a float network with ``training``,
        not fused; in any precision.
    optimizer : str
        One of `OPTIMIZERS`.

    Returns
    -------
    Workload
        Works of all phases, in order.

    Raises
    ------
    NetworkError
        For an operator without a gradient, or a network in which there is nothing to train.
    ValueError
        For an unknown optimizer.
    """
    check_optimizer(optimizer)
    for work in load.works:
        if not work.free and work.op not in _ACCEPTED:
            raise NetworkError(
                f"{work.op} '{work.name}' has no model of its gradient; "
                f"operators that have one are {', '.join(_ACCEPTED)}"
            )
    return _Step(load, OPTIMIZERS[optimizer]).workload()


def training_time(step_s, batch, images, epochs=1):
    """Seconds of an epoch and of all ``epochs`` over a data set of so many images.

    A last batch that is not full takes as long as a full one; nothing but steps is counted.
    """
    for name, value in (("batch", batch), ("images", images), ("epochs", epochs)):
        check_positive(name, value)
    epoch = -(-images // batch) * step_s
    return epoch, epochs * epoch


class _Step:
    def __init__(self, load, optimizer):
        self.load, self.optimizer = load, optimizer
        self.width = FLOAT_BYTES[load.precision]
        self.sizes = dict(load.sizes)
        self.works = [self._forward(work) for work in load.works]
        self.wanted: set[str] = set()  # feature maps that depend on a parameter
        self.parts: dict[str, list[str]] = {}  # feature map: gradients that its readers give it
        self.readers: dict[str, int] = {}
        self.weights: dict[str, list[str]] = {}  # parameter: gradients
        self.parked: set[str] = set()
        self.resident = 0

    def _forward(self, work):
        if work.op != "BatchNormalization" or work.free:
            return work
        operations = _NORMALIZATION_FORWARD * self._values(work.outputs[0])
        return replace(work, element_ops=operations, inputs=work.inputs * 2)

    def _values(self, name):
        return self.sizes[name] // self.width

    def workload(self):
        forward = [work for work in self.works if not work.free]
        wanted = self.wanted
        for work in forward:
            if work.parameters or wanted.intersection(work.inputs):
                wanted.add(work.outputs[0])
        ends = [w for w in forward if w.outputs[0] in wanted and w.outputs[0] in self.load.ends]
        if not ends:
            raise NetworkError(
                "there is nothing to train: no output of the network depends on a parameter"
            )
        for work in forward:
            for name in wanted.intersection(work.inputs):
                self.readers[name] = self.readers.get(name, 0) + 1
        for work in ends:
            self._loss(work)
        for work in reversed(forward):
            if work.outputs[0] in self.parts:
                self._backward(work, self._gradient(work))
        for work in forward:
            self._update(work)
        return replace(
            self.load,
            works=tuple(self.works),
            sizes=self.sizes,
            parked=self.parked,
            resident_bytes=self.resident,
        )

    def _add(self, work, suffix, phase, **what):
        self.works.append(Work(f"{work.name}.{suffix}", work.op, phase=phase, **what))

    def _hold(self, name, reader):
        """A place for the part of a feature map's gradient that one of its readers gives."""
        several = self.readers.get(name, 0) > 1 or name in self.parts
        part = f"{name}.gradient.{reader}" if several else f"{name}.gradient"
        self.sizes[part] = self.sizes[name]
        self.parts.setdefault(name, []).append(part)
        return part

    def _loss(self, work):
        """Gradient of a cross-entropy with regard to an output, or to a Softmax's input."""
        output = work.outputs[0]
        if work.op == "Softmax" and not self.readers.get(output):
            (source,) = work.inputs
            if source in self.wanted:
                operations = LOSS * self._values(output)
                part = self._hold(source, work.name)
                self._add(
                    work,
                    "input_gradient",
                    INPUT,
                    element_ops=operations,
                    inputs=(output,),
                    outputs=(part,),
                )
            return
        part = self._hold(output, "loss")
        operations = LOSS * self._values(output)
        self.works.append(
            Work(
                f"{work.name}.loss",
                "Loss",
                phase=INPUT,
                element_ops=operations,
                inputs=(output,),
                outputs=(part,),
            )
        )

    def _gradient(self, work):
        """The gradient of what ``work`` wrote, its parts added."""
        output = work.outputs[0]
        parts = self.parts[output]
        if len(parts) == 1:
            return parts[0]
        total = f"{output}.gradient.sum"
        self.sizes[total] = self.sizes[output]
        self.works.append(
            Work(
                f"{work.name}.gradient_sum",
                "Sum",
                phase=INPUT,
                element_ops=(len(parts) - 1) * self._values(output),
                inputs=tuple(parts),
                outputs=(total,),
            )
        )
        return total

    def _backward(self, work, gradient):
        inputs = [name for name in dict.fromkeys(work.inputs) if name in self.wanted]
        if work.op in _PRODUCTS:
            self._product(work, gradient, inputs)
        elif work.op in _PASSED_ON:
            self._pass_on(work, gradient, inputs)
        elif work.op == "BatchNormalization":
            self._normalization(work, gradient, inputs)
        elif inputs:
            output = work.outputs[0]
            values = self._values(output)
            if work.op == "Mul":
                operations, reads = len(inputs), work.inputs
            elif work.op == "Dropout":
                operations, reads = 1, work.outputs[1:]
            else:
                count, kept = _ELEMENTWISE[work.op]
                operations = count(work.element_ops // values if values else 0)
                reads = (*(work.inputs if "x" in kept else ()), *([output] if "y" in kept else ()))
            self._add(
                work,
                "input_gradient",
                INPUT,
                element_ops=operations * values,
                weight_bytes=work.weight_bytes,
                inputs=(gradient, *reads),
                outputs=tuple(self._hold(name, work.name) for name in inputs),
            )

    def _product(self, work, gradient, inputs):
        gemm = work.gemm
        left = work.inputs[0]
        if len(work.inputs) > 1 and not work.weight_bytes:
            # Two feature maps: each is the other's weights.
            right = work.inputs[1]
            sides = (
                (left, right, "", Gemm(gemm.m, gemm.k, gemm.n, gemm.groups)),
                (right, left, "_2", Gemm(gemm.k, gemm.n, gemm.m, gemm.groups)),
            )
            for name, other, suffix, product in sides:
                if name in inputs:
                    self._add(
                        work,
                        f"input_gradient{suffix}",
                        INPUT,
                        gemm=product,
                        inputs=(gradient, other),
                        outputs=(self._hold(name, work.name),),
                    )
            return
        if left in inputs:
            product, convolution = _input_gradient(work)
            bias = sum(self.load.parameters[name] for name in work.parameters[1:])
            self._add(
                work,
                "input_gradient",
                INPUT,
                gemm=product,
                convolution=convolution,
                weight_bytes=work.weight_bytes - bias * self.width,
                inputs=(gradient,),
                outputs=(self._hold(left, work.name),),
                useful_macs=gemm.macs,
            )
        if work.parameters:
            has_bias = len(work.parameters) > 1
            self._weight_gradient(
                work,
                inputs=(left, gradient),
                gemm=Gemm(gemm.k, gemm.n, gemm.m, gemm.groups),
                element_ops=self._values(work.outputs[0]) if has_bias else 0,
            )

    def _weight_gradient(self, work, **what):
        place = f"{work.name}.weight_gradient"
        self.sizes[place] = self.width * sum(self.load.parameters[n] for n in work.parameters)
        for name in work.parameters:
            self.weights.setdefault(name, []).append(place)
        self._add(work, "weight_gradient", WEIGHT, outputs=(place,), **what)

    def _pass_on(self, work, gradient, inputs):
        """Addition: operands of the result's size take the gradient as it is."""
        values = self._values(work.outputs[0])
        reduced = []
        for name in inputs:
            if self.sizes[name] == self.sizes[work.outputs[0]]:
                self.parts.setdefault(name, []).append(gradient)
            else:
                reduced.append(name)
        if reduced:
            self._add(
                work,
                "input_gradient",
                INPUT,
                element_ops=len(reduced) * values,
                inputs=(gradient,),
                outputs=tuple(self._hold(name, work.name) for name in reduced),
            )
        if work.parameters:
            self._weight_gradient(work, inputs=(gradient,), element_ops=values)

    def _normalization(self, work, gradient, inputs):
        source, values = work.inputs[0], self._values(work.outputs[0])
        reads = (source, gradient)
        if work.parameters:
            self._weight_gradient(work, inputs=reads, element_ops=_NORMALIZATION_WEIGHT * values)
        if inputs:
            self._add(
                work,
                "input_gradient",
                INPUT,
                element_ops=_NORMALIZATION_INPUT * values,
                weight_bytes=work.weight_bytes,
                inputs=reads,
                outputs=(self._hold(source, work.name),),
            )

    def _update(self, work):
        """New values for the parameters of which ``work`` is the first reader."""
        owned = [name for name in work.parameters if name in self.weights]
        gradients = [self.weights.pop(name) for name in owned]
        count = sum(self.load.parameters[name] for name in owned)
        if not count:
            return
        states = self.optimizer.states
        copied = self.width < MASTER_BYTES
        kept = MASTER_BYTES * count * (1 + states)
        self.resident += kept if copied else MASTER_BYTES * count * states
        before, after = f"{work.name}.state", f"{work.name}.new_state"
        self.sizes[before] = kept
        self.sizes[after] = kept + (self.width * count if copied else 0)
        self.parked |= {before, after}
        more = sum(
            (len(parts) - 1) * self.load.parameters[name]
            for name, parts in zip(owned, gradients, strict=True)
        )
        self._add(
            work,
            "update",
            UPDATE,
            element_ops=self.optimizer.operations * count + more,
            inputs=(*dict.fromkeys(part for parts in gradients for part in parts), before),
            outputs=(after,),
        )


def _input_gradient(work):
    """The product that gives the input gradient, and the convolution that it is, if it is one."""
    gemm, shape = work.gemm, work.convolution
    if shape is None:
        return Gemm(gemm.m, gemm.k, gemm.n, gemm.groups), None
    taps, strides, pixels, outputs = (
        math.prod(sizes) for sizes in (shape.kernel, shape.stride, shape.size, shape.output_size)
    )
    channels = shape.channels // shape.groups
    # A tap hits every stride-th pixel; never fewer than there are products.
    hits = max(-(-gemm.n * taps // strides), -(-gemm.n * taps * outputs // pixels))
    product = Gemm(shape.images * pixels, channels, hits, shape.groups)
    if strides > 1:
        return product, None
    return product, Convolution(
        shape.images,
        shape.outputs,
        shape.channels,
        shape.groups,
        shape.output_size,
        shape.size,
        shape.kernel,
        shape.stride,
        shape.dilation,
    )
