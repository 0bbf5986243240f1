"""What each layer of a network has to do: operations, and the values that it reads and writes.

Every operator that hwsim imports stands in `MODELLED`; a layer whose operator does not is
refused by name. A layer that costs nothing says why in its ``note``.

Numbers have the width at which the device holds them: 4 bytes in fp32, 2 in fp16 and bf16, 1 in
int8; a float network at precision "int8" is taken as if it were quantized throughout. In an integer
run (``precision`` "int8") of a quantized network, operators between a DequantizeLinear and a
QuantizeLinear work on codes, as integer kernels do: the DequantizeLinear is folded into its
readers, and the QuantizeLinear costs its arithmetic but no traffic. At any other precision both are
element-wise layers like others.

A layer by itself reads its inputs and writes its output, as eager frameworks run it. With ``fuse``,
as compilers of graphs and accelerators run it, a BatchNormalization behind a matrix product, or a
constant that is multiplied or added there, is folded into its weights, and an activation or an
addition behind is done on the results before they are written, if nobody else reads them in
between.

For ``training`` a Dropout draws a mask, and parameters are named; `hwsim.models.dataflow.training`
adds the backward pass.
"""

import math
from dataclasses import dataclass, field, replace
from fractions import Fraction

from hwsim.network.network import NetworkError
from hwsim.network.operators import OPERATORS

__all__ = [
    "FLOAT_BYTES",
    "MODELLED",
    "VIEWS",
    "Convolution",
    "Gemm",
    "Work",
    "Workload",
    "is_quantized",
    "workload",
]

FLOAT_BYTES = {"fp32": 4, "tf32": 4, "fp16": 2, "bf16": 2, "int16": 2, "int8": 1}
"""Bytes of a value at each precision."""

VIEWS = ("Dropout", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze")
"""Operators that only rename values."""

# Operations that an exponential or a power takes in software: a polynomial of about eight terms,
# and range reduction.
TRANSCENDENTAL = 10
# A random number of a counter-based generator: ten rounds of about ten operations give four.
RANDOM = 25
# Scale, add the zero point, clamp; and subtract the zero point, scale.
QUANTIZE = 3
DEQUANTIZE = 2

_ACTIVATIONS = ("Clip", "Relu", "Sigmoid", "Tanh")
_ADDITIONS = ("Add", "Sum")

_MATRIX = {  # operator: positions of the two operands
    "Conv": (0, 1),
    "ConvInteger": (0, 1),
    "QLinearConv": (0, 3),
    "Gemm": (0, 1),
    "QGemm": (0, 3),
    "MatMul": (0, 1),
    "MatMulInteger": (0, 1),
    "QLinearMatMul": (0, 3),
}


def _taps(layer, *_):
    return math.prod(layer.attributes["kernel"])


def _map_size(layer, network):
    """Values per output of a global pool."""
    return math.prod(network.shape(layer.inputs[0])[2:])


def _neighbours(layer, network):
    """Squares that an LRN sums up for a value."""
    axes = len(network.shape(layer.inputs[0])) - 2 if layer.attributes["within"] else 1
    return layer.attributes["size"] ** axes


# Operations per output value.
_MODELS = {
    "Add": lambda layer, network: 1,
    "AveragePool": lambda layer, network: _taps(layer) + 1,
    "BatchNormalization": lambda layer, network: 2,
    "Clip": lambda layer, network: 2,
    "Concat": lambda layer, network: 1,
    "DequantizeLinear": lambda layer, network: DEQUANTIZE,
    "GlobalAveragePool": lambda layer, network: _map_size(layer, network) + 1,
    "GlobalMaxPool": _map_size,
    "LRN": lambda layer, network: 2 * _neighbours(layer, network) + TRANSCENDENTAL + 3,
    "MaxPool": _taps,
    "Mul": lambda layer, network: 1,
    "Pad": lambda layer, network: 1,
    "QLinearAdd": lambda layer, network: 2 * DEQUANTIZE + 1 + QUANTIZE,
    "QLinearAveragePool": lambda layer, network: _taps(layer) + DEQUANTIZE + QUANTIZE,
    "QLinearConcat": lambda layer, network: DEQUANTIZE + QUANTIZE,
    "QLinearGlobalAveragePool": lambda layer, network: (
        _map_size(layer, network) + DEQUANTIZE + QUANTIZE
    ),
    "QLinearMul": lambda layer, network: 2 * DEQUANTIZE + 1 + QUANTIZE,
    "QLinearSigmoid": lambda layer, network: 1,
    "QLinearSoftmax": lambda layer, network: DEQUANTIZE + TRANSCENDENTAL + 4 + QUANTIZE,
    "QuantizeLinear": lambda layer, network: QUANTIZE,
    "Relu": lambda layer, network: 1,
    "Sigmoid": lambda layer, network: TRANSCENDENTAL + 2,
    "Softmax": lambda layer, network: TRANSCENDENTAL + 4,
    "Sum": lambda layer, network: len(layer.inputs) - 1,
    "SumPool": _taps,
    "Tanh": lambda layer, network: TRANSCENDENTAL + 4,
    "Transpose": lambda layer, network: 1,
    # Matrix products: what follows the accumulation.
    "QLinearConv": lambda layer, network: QUANTIZE,
    "QLinearMatMul": lambda layer, network: QUANTIZE,
    "QGemm": lambda layer, network: QUANTIZE,
    **dict.fromkeys(
        ("Conv", "ConvInteger", "Gemm", "MatMul", "MatMulInteger"), lambda layer, network: 0
    ),
}
MODELLED = tuple(sorted((*_MODELS, *VIEWS)))
"""Operators that have a model."""


@dataclass(frozen=True)
class Gemm:
    """``groups`` matrix products of (m, k) by (k, n); m runs over a convolution's output pixels."""

    m: int
    n: int
    k: int
    groups: int = 1

    @property
    def macs(self):
        """Multiply-accumulates."""
        return self.m * self.n * self.k * self.groups


@dataclass(frozen=True)
class Convolution:
    """The shape of a convolution, for models that look at more than its matrix product.

    Members
    -------
    images, channels, outputs, groups : int
        ``channels`` and ``outputs`` are those of all groups.
    size, output_size, kernel, stride, dilation : tuple of int
        Per spatial dimension.
    """

    images: int
    channels: int
    outputs: int
    groups: int
    size: tuple[int, ...]
    output_size: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]

    def grouped(self, groups):
        """So many of its groups."""
        channels, outputs = (n // self.groups * groups for n in (self.channels, self.outputs))
        return replace(self, channels=channels, outputs=outputs, groups=groups)


@dataclass(frozen=True, eq=False)
class Work:
    """What one layer does for a batch.

    Members
    -------
    name, op : str
    gemm : Gemm or None
    convolution : Convolution or None
        For a ``gemm`` that is one.
    element_ops : int
        Operations beside the multiply-accumulates.
    weight_bytes : int
    inputs : tuple of str
        Feature maps that it reads, by the name under which they lie in memory; ``bytes`` of each in
        `Workload.sizes`.
    outputs : tuple of str
        Feature maps that it writes; empty for a layer that writes nothing of its own.
    integer : bool
        Whether it works on codes.
    note : str
        Why it costs nothing, or what it is folded into; else empty.
    parameters : tuple of str
        Constants that training changes; values of each in `Workload.parameters`.
    phase : str
        "forward", "input gradient", "weight gradient" or "update".
    useful_macs : int or None
        Where a part of ``gemm`` multiplies by zeros: the multiply-accumulates that do not.
    head : str
        The matrix product on whose results it is done before they are written; else empty.
    """

    name: str
    op: str
    gemm: Gemm | None = None
    convolution: Convolution | None = None
    element_ops: int = 0
    weight_bytes: int = 0
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    integer: bool = False
    note: str = ""
    parameters: tuple[str, ...] = ()
    phase: str = "forward"
    useful_macs: int | None = None
    head: str = ""

    @property
    def macs(self):
        """Multiply-accumulates, those with zeros in a ``gemm`` left out."""
        if self.useful_macs is not None:
            return self.useful_macs
        return self.gemm.macs if self.gemm else 0

    @property
    def free(self):
        """Whether there is nothing to do at all."""
        return not self.macs and not self.element_ops


@dataclass(frozen=True, eq=False)
class Workload:
    """Work of all layers in order.

    Members
    -------
    batch : int
        Images.
    precision : str
    works : tuple of Work
    sizes : mapping of feature map to bytes
    ends : set of feature maps
        Those that come from outside or go there.
    fused : bool
        Whether layers are fused with the matrix product before them.
    parameters : mapping of constant to values
        What training changes.
    parked : set of feature maps
        What lies in memory before the step and after it, such as an optimizer's states.
    resident_bytes : int
        Bytes of memory beside weights and feature maps, such as an optimizer's states.
    """

    batch: int
    precision: str
    works: tuple[Work, ...]
    sizes: dict[str, int]
    ends: set[str] = field(default_factory=set)
    fused: bool = False
    parameters: dict[str, int] = field(default_factory=dict)
    parked: set[str] = field(default_factory=set)
    resident_bytes: int = 0

    @property
    def training(self):
        """Whether it is more than a forward pass."""
        return any(work.phase != "forward" for work in self.works)


def is_quantized(network):
    """Whether any layer works on codes or makes them."""
    return any(
        layer.op in ("QuantizeLinear", "DequantizeLinear") or _is_code_operator(layer.op)
        for layer in network.layers
    )


def _is_code_operator(op):
    return op.startswith("QLinear") or op in ("QGemm", "ConvInteger", "MatMulInteger")


def workload(network, batch=1, precision="fp32", fuse=False, training=False):
    """The work of a network for ``batch`` images.

    Parameters
    ----------
    network : hwsim.network.Network
    batch : int
        Images; a multiple of the batch that the network's shapes show.
    precision : str
        One of `FLOAT_BYTES`.
    fuse : bool
        Whether layers are fused with the matrix product before them.
    training : bool
        Whether it is the forward pass of a training step.

    Raises
    ------
    NetworkError
        For an operator without a model.
    ValueError
        For a batch that the network's shapes do not allow.
    """
    return _Builder(network, batch, precision, fuse, training).workload()


class _Builder:
    def __init__(self, network, batch, precision, fuse, training):
        for layer in network.layers:
            if layer.op not in MODELLED:
                known = ", ".join(MODELLED)
                raise NetworkError(
                    f"{layer.op} '{layer.name}' has no performance model; "
                    f"operators that have one are {known}"
                )
        shape = network.inputs[0].shape
        images = shape[0] if len(shape) > 1 else 1
        if batch % images:
            raise ValueError(
                f"batch must be a multiple of the network's own batch of {images}, not {batch}"
            )
        self.network, self.batch, self.precision = network, batch, precision
        # In an integer run of a quantized network what is still a float is one; a float network is
        # run as if quantized.
        self.float_bytes = FLOAT_BYTES[
            "fp32" if precision == "int8" and is_quantized(network) else precision
        ]
        self.scale = Fraction(batch, images)
        self.static = set(network.constants)
        for layer in network.layers:
            if all(name in self.static for name in layer.inputs if name):
                self.static.update(layer.outputs)
        self.integer = self._integer_layers()
        self.fuse, self.training = fuse, training
        self.parameters = {}  # constant: values
        self.linear = set()  # tensors that are a matrix product and what is folded into it, no more
        self.heads = {}  # tensor: the matrix product whose results it is, with what is fused
        self.place = {}  # tensor: name of the feature map in memory that holds it
        self.sizes = {}

    def _integer_layers(self):
        """Names of the layers that work on codes.

        Integer operators do; in an integer run, so do chains between DequantizeLinear and
        QuantizeLinear.
        """
        network = self.network
        found = {layer.name for layer in network.layers if _is_code_operator(layer.op)}
        if self.precision != "int8":
            return found
        outputs = {tensor.name for tensor in network.outputs}
        reads_codes, writes_codes = set(), set()
        for layer in network.layers:
            makers = [
                network.producers.get(name)
                for name in layer.inputs
                if name and name not in self.static
            ]
            if layer.op not in ("QuantizeLinear", "DequantizeLinear") and all(
                maker is not None and (maker.op == "DequantizeLinear" or maker.name in reads_codes)
                for maker in makers
            ):
                reads_codes.add(layer.name)
        for layer in reversed(network.layers):
            readers = network.consumers.get(layer.outputs[0], ())
            if (
                layer.outputs[0] not in outputs
                and readers
                and all(
                    reader.op == "QuantizeLinear" or reader.name in writes_codes
                    for reader in readers
                )
            ):
                writes_codes.add(layer.name)
        return found | (reads_codes & writes_codes)

    def workload(self):
        for tensor in self.network.inputs:
            if tensor.name not in self.static:
                self._hold(tensor.name, self._width(tensor.name))
        works = tuple(self._work(layer) for layer in self.network.layers)
        ends = {
            self.place[t.name]
            for t in (*self.network.inputs, *self.network.outputs)
            if t.name in self.place
        }
        return Workload(
            self.batch,
            self.precision,
            works,
            self.sizes,
            ends,
            fused=self.fuse,
            parameters=self.parameters,
        )

    def _values(self, name):
        return int(math.prod(self.network.shape(name)) * self.scale)

    def _width(self, name):
        """Bytes per value of a tensor as its dtype has it; floats as the precision has them."""
        tensor = self.network.constants.get(name)
        dtype = self.network.tensors[name].dtype if tensor is None else tensor.dtype
        return self.float_bytes if dtype.kind == "f" else dtype.itemsize

    def _hold(self, name, width):
        self.place[name] = name
        self.sizes[name] = self._values(name) * width

    def _work(self, layer):
        if layer.outputs[0] in self.static:
            return Work(
                layer.name,
                layer.op,
                note="no work at run time: its value is known when the network is built",
            )
        source = next(name for name in layer.inputs if name and name not in self.static)
        output = layer.outputs[0]
        if layer.op == "Dropout" and self.training:
            return self._dropout(layer, source)
        if layer.op in VIEWS:
            self.place[output] = self.place[source]
            return Work(layer.name, layer.op, note="no work: the values stay where they are")
        readers = self.network.consumers.get(output, ())
        if (
            layer.op == "DequantizeLinear"
            and readers
            and all(reader.name in self.integer for reader in readers)
        ):
            self.place[output] = self.place[source]
            names = ", ".join(reader.name for reader in readers)
            return Work(
                layer.name, layer.op, integer=True, note=f"no work: {names} reads the codes"
            )
        maker = self.network.producers.get(source)
        operations = int(_MODELS[layer.op](layer, self.network)) * self._values(output)
        if layer.op == "QuantizeLinear" and maker is not None and maker.name in self.integer:
            self.place[output] = self.place[source]
            note = f"done on the results of {maker.name} before they are written"
            head = self.heads.get(source)
            return Work(
                layer.name,
                layer.op,
                element_ops=operations,
                integer=True,
                note=note,
                head=head.name if head else "",
            )
        dynamic = list(
            dict.fromkeys(name for name in layer.inputs if name and name not in self.static)
        )
        fused = self._fused(layer, dynamic, operations) if self.fuse else None
        if fused:
            return fused
        integer = layer.name in self.integer
        weights = [name for name in dict.fromkeys(layer.inputs) if name and name in self.static]
        # Between DequantizeLinear and QuantizeLinear values are codes of one byte, whatever the
        # file calls them.
        outputs = [name for name in layer.outputs if name]
        for name in outputs:
            self._hold(
                name, 1 if integer and not _is_code_operator(layer.op) else self._width(name)
            )
        if layer.op in _MATRIX:
            self.heads[output] = layer
            self.linear.add(output)
        return Work(
            layer.name,
            layer.op,
            gemm=self._gemm(layer) if layer.op in _MATRIX else None,
            convolution=self._convolution(layer) if "Conv" in layer.op else None,
            element_ops=operations,
            weight_bytes=sum(self._static_bytes(name) for name in weights),
            inputs=tuple(dict.fromkeys(self.place[name] for name in dynamic)),
            outputs=tuple(outputs),
            integer=integer,
            parameters=self._trained(layer),
        )

    def _dropout(self, layer, source):
        """A mask of a byte per value is drawn, compared with and multiplied."""
        output, mask = layer.outputs[0], f"{layer.name}.mask"
        self._hold(output, self._width(output))
        self.sizes[mask] = self._values(output)
        return Work(
            layer.name,
            layer.op,
            element_ops=(RANDOM + 2) * self._values(output),
            inputs=(self.place[source],),
            outputs=(output, mask),
        )

    def _trained(self, layer):
        """Constants of a layer that training changes, as `hwsim.network.counts` counts them."""
        names = [layer.inputs[p] for p in OPERATORS[layer.op].parameters if p < len(layer.inputs)]
        if layer.op == "Add":
            makers = [self.network.producers.get(name) for name in layer.inputs]
            if any(maker is not None and maker.op in ("Conv", "MatMul") for maker in makers):
                names = layer.inputs
        found = []
        for name in names:
            while name in self.static and name in self.network.producers:
                maker = self.network.producers[name]
                if maker.op not in (*VIEWS, "Transpose", "DequantizeLinear"):
                    break
                name = maker.inputs[0]
            if name in self.network.constants:
                self.parameters[name] = self.network.constants[name].size
                found.append(name)
        return tuple(found)

    def _fused(self, layer, dynamic, operations):
        """The layer as a part of the matrix product before it, or None."""
        outputs = {tensor.name for tensor in self.network.outputs}
        made = [
            name
            for name in dynamic
            if name in self.heads
            and name not in outputs
            and len(self.network.consumers[name]) == 1
            and self._values(name) == self._values(layer.outputs[0])
        ]
        scaled = layer.op == "Mul" and len(dynamic) == 1
        if not made or not (
            scaled or layer.op in ("BatchNormalization", *_ACTIVATIONS, *_ADDITIONS)
        ):
            return None
        # Of two products that are added the later one finds the other's results.
        order = {other.name: index for index, other in enumerate(self.network.layers)}
        source = max(made, key=lambda name: order[self.heads[name].name])
        head = self.heads[source]
        others = [name for name in dynamic if name != source]
        makers = [self.network.producers.get(name) for name in others]
        if any(maker is not None and order[maker.name] > order[head.name] for maker in makers):
            return None
        constant = len(dynamic) == 1 and layer.op in ("Mul", *_ADDITIONS)
        folded = source in self.linear and (layer.op == "BatchNormalization" or constant)
        if not folded and layer.op in ("BatchNormalization", "Mul"):
            return None
        if folded:
            self.linear.add(layer.outputs[0])
        self.heads[layer.outputs[0]] = head
        self.place[layer.outputs[0]] = self.place[source]
        if folded:
            note = f"no work: folded into the weights of {head.name}"
            return Work(layer.name, layer.op, note=note)
        return Work(
            layer.name,
            layer.op,
            element_ops=operations,
            inputs=tuple(dict.fromkeys(self.place[name] for name in others)),
            note=f"done on the results of {head.name} before they are written",
            head=head.name,
        )

    def _static_bytes(self, name):
        maker = self.network.producers.get(name)
        if self.precision == "int8" and maker is not None and maker.op == "DequantizeLinear":
            return self._static_bytes(maker.inputs[0])
        return math.prod(self.network.shape(name)) * self._width(name)

    def _convolution(self, layer):
        source, weights = (self.network.shape(layer.inputs[p]) for p in _MATRIX[layer.op])
        output = self.network.shape(layer.outputs[0])
        attributes = layer.attributes
        return Convolution(
            images=int(output[0] * self.scale),
            channels=source[1],
            outputs=weights[0],
            groups=attributes["group"],
            size=tuple(source[2:]),
            output_size=tuple(output[2:]),
            kernel=tuple(weights[2:]),
            stride=tuple(attributes["strides"]),
            dilation=tuple(attributes["dilations"]),
        )

    def _gemm(self, layer):
        shape = self.network.shape
        left, right = (layer.inputs[position] for position in _MATRIX[layer.op])
        output = shape(layer.outputs[0])
        if "Conv" in layer.op:
            group, weights = layer.attributes["group"], shape(right)
            pixels = output[0] * math.prod(output[2:])
            return Gemm(
                int(pixels * self.scale), weights[0] // group, math.prod(weights[1:]), group
            )
        inputs = [shape(name) if name else None for name in layer.inputs]
        count = OPERATORS[layer.op].macs
        assert count is not None, layer.op
        k = count(layer.attributes, inputs, output) // math.prod(output)
        if left in self.static:
            # The weights stand on the left: the transposed product has them on the right.
            return Gemm(int(math.prod(output) // output[-2] * self.scale), output[-2], k)
        if right in self.static and len(shape(right)) <= 2:
            n = output[-1] if len(shape(right)) == 2 else 1
            return Gemm(int(math.prod(output) // n * self.scale), n, k)
        groups = math.prod(output[:-2])
        return Gemm(output[-2], output[-1], k, int(groups * self.scale))
