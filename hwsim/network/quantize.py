"""Post-training quantization into QDQ form, given the ranges of the feature maps.

`hwsim.quantize` measures the ranges (`hwsim.models.quantization`) and calls `insert_qdq`. The
scheme is that of Jacob et al., CVPR 2018, and of ONNX Runtime's QDQ files: activations are affine
with one scale and zero point per tensor, weights symmetric per tensor or output channel, biases
int32 in steps of input scale times weight scale.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from .affine import fold_affine
from .network import Layer, Network, NetworkError, Tensor
from .operators import check_lrn, refuse

__all__ = ["fold_affine", "insert_qdq", "quantized_tensors"]

ACTIVATIONS = {"int8": np.dtype(np.int8), "uint8": np.dtype(np.uint8)}
# Input and output hold the same numbers: they share scale and zero point, so that codes pass
# through unchanged.
SHARING = frozenset(
    (
        "Concat",
        "Dropout",
        "Flatten",
        "GlobalMaxPool",
        "Identity",
        "MaxPool",
        "Pad",
        "Reshape",
        "Squeeze",
        "Transpose",
        "Unsqueeze",
    )
)
# Their result has a bound fused into it if it has no other reader: it is quantized behind the bound
# only.
FUSING = frozenset(
    (
        *("Add", "AveragePool", "Clip", "Conv", "Gemm", "GlobalAveragePool", "LRN", "Mul", "Relu"),
        *("Sum", "SumPool"),
    )
)
BOUNDS = frozenset(("Clip", "Relu"))
# Left in float where nothing but the like follows.
TAIL = frozenset(
    ("Dropout", "Flatten", "Identity", "Reshape", "Softmax", "Squeeze", "Transpose", "Unsqueeze")
)
# Smallest and largest value, known without calibration; the scale is a power of two.
FIXED = {"Sigmoid": (1 / 256, 0), "Tanh": (1 / 128, -1)}
ACCEPTED = frozenset(("Sigmoid", "Tanh")) | SHARING | FUSING
# A channel's weights keep at least this share of the largest channel's scale. Finer steps would be
# lost in the output, which all channels share, and closer scales let all channels share one shift.
SMALLEST_SCALE = 1 / 16
INT32_MAXIMUM = np.iinfo(np.int32).max


@dataclass(frozen=True, eq=False)
class _Plan:
    """What is quantized: the layers ``body``, the feature maps ``names``.

    ``groups`` maps these names to one name for all that share a scale.
    """

    body: tuple[Layer, ...]
    names: tuple[str, ...]
    groups: dict[str, str]


def quantized_tensors(network: Network) -> tuple[str, ...]:
    """Return the names of the feature maps that `insert_qdq` quantizes and needs ranges of.

    ``network`` is the result of `fold_affine`.

    Raises
    ------
    NetworkError
        If a layer has no quantized form. The message names operator, layer and what is accepted.
    """
    return _plan(network).names


def insert_qdq(network, ranges, *, per_channel=True, activation="int8", weight_bits=8):
    """Quantize a float network, given the range of each feature map.

    Parameters
    ----------
    network : Network
        The result of `fold_affine`.
    ranges : mapping of tensor name to (minimum, maximum)
        Real numbers, for each of `quantized_tensors`. Zero is taken into each range.
    per_channel : bool
        One weight scale per output channel, instead of one per layer.
    activation : "int8" or "uint8"
        Type of the codes of feature maps.
    weight_bits : int
        2 to 8; weights lie in ``[-(2**(weight_bits - 1) - 1), 2**(weight_bits - 1) - 1]`` and are
        stored as int8.

    Returns
    -------
    Network
        In QDQ form: QuantizeLinear and DequantizeLinear around every layer, tensor ``t`` being
        ``t_quantized`` in between.

    Raises
    ------
    NetworkError
        If a layer has no quantized form.
    ValueError
        If a range is missing or not finite, or another argument is not one of the above.
    """
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation must be 'int8' or 'uint8', not {activation!r}")
    if (
        isinstance(weight_bits, bool)
        or not isinstance(weight_bits, int)
        or not 2 <= weight_bits <= 8
    ):
        raise ValueError(f"weight_bits must be an integer from 2 to 8, not {weight_bits!r}")
    return _Insertion(network, ranges, per_channel, ACTIVATIONS[activation], weight_bits).result()


def _plan(network):
    outputs = {tensor.name for tensor in network.outputs}
    tail: set[str] = set()
    for layer in reversed(network.layers):
        readers = [reader for name in layer.outputs for reader in network.consumers.get(name, ())]
        if layer.op in TAIL and all(reader.name in tail for reader in readers):
            tail.add(layer.name)
    body = tuple(layer for layer in network.layers if layer.name not in tail)
    for tensor in network.inputs:
        if tensor.dtype != np.float32:
            raise NetworkError(
                f"input '{tensor.name}' has the dtype {tensor.dtype}; accepted: float32"
            )
    for layer in body:
        _check(network, layer)
    fused = set()
    for layer in body:
        before = network.producers.get(layer.inputs[0])
        alone = len(network.consumers[layer.inputs[0]]) == 1 and layer.inputs[0] not in outputs
        if layer.op in BOUNDS and before is not None and before.op in FUSING and alone:
            fused.add(layer.inputs[0])
    read = {name for layer in body for name in layer.inputs}
    names = [tensor.name for tensor in network.inputs if tensor.name in read]
    names += [layer.outputs[0] for layer in body if layer.outputs[0] not in fused]
    groups = {name: name for name in names}

    def root(name):
        while groups[name] != name:
            name = groups[name]
        return name

    for layer in body:
        if layer.op in SHARING:
            for name in layer.inputs:
                if name in groups:
                    groups[root(layer.outputs[0])] = root(name)
    return _Plan(body, tuple(names), {name: root(name) for name in names})


def _check(network, layer):
    """Refuse a layer that cannot be quantized."""
    if layer.op.startswith("QLinear") or layer.op in (
        "QuantizeLinear",
        "DequantizeLinear",
        "QGemm",
        "ConvInteger",
        "MatMulInteger",
    ):
        refuse(layer.op, layer.name, "a network that is quantized already", "a float network")
    if layer.op == "Softmax":
        refuse(
            layer.op, layer.name, "Softmax before other layers", "Softmax at the end of the network"
        )
    if layer.op not in ACCEPTED:
        accepted = ", ".join(sorted(ACCEPTED | {"BatchNormalization", "MatMul"}))
        refuse(layer.op, layer.name, "quantization of this operator", accepted)
    if layer.op == "LRN":
        check_lrn(layer)
    constants = [name for name in layer.inputs[1:] if name in network.constants]
    if layer.op in ("Conv", "Gemm"):
        if len(constants) != len([name for name in layer.inputs[1:] if name]):
            refuse(
                layer.op, layer.name, "weights that are computed at run time", "constant weights"
            )
        if layer.op == "Gemm" and (layer.attributes["trans_a"] or not layer.attributes["trans_b"]):
            refuse(layer.op, layer.name, "a product of this form", "x times constant weights")
    elif layer.op == "Sum" and len(layer.inputs) != 2:
        refuse(layer.op, layer.name, f"{len(layer.inputs)} inputs", "2 inputs")
    elif constants or layer.inputs[0] in network.constants:
        refuse(layer.op, layer.name, "a constant as input", "feature maps")


class _Insertion:
    def __init__(self, network, ranges, per_channel, dtype, weight_bits):
        self.network = network
        self.plan = _plan(network)
        self.per_channel = per_channel
        self.dtype = dtype
        self.weight_limit = (1 << (weight_bits - 1)) - 1
        self.limits = np.iinfo(dtype)
        self.formats = self.choose_formats(ranges)
        self.layers: list[Layer] = []
        self.tensors = {tensor.name: tensor for tensor in network.inputs}
        self.constants: dict[str, np.ndarray] = {}
        self.taken = {
            *network.tensors,
            *network.constants,
            *(layer.name for layer in network.layers),
        }
        self.dequantized: dict[
            str, str
        ] = {}  # name of a feature map to that of its dequantized form

    # -- scales

    def choose_formats(self, ranges):
        """(scale, zero point) of each quantized tensor."""
        spans: dict[str, list[float]] = {}
        sources: dict[str, set[str | None]] = {}
        for name in self.plan.names:
            if name not in ranges:
                raise ValueError(f"ranges must have an entry for '{name}'")
            low, high = (float(end) for end in ranges[name])
            if not (math.isfinite(low) and math.isfinite(high) and low <= high):
                raise ValueError(
                    f"the range of '{name}' must be finite and ordered, not ({low}, {high})"
                )
            group = self.plan.groups[name]
            spans.setdefault(group, []).extend((low, high))
            layer = self.network.producers.get(name)
            if layer is None or layer.op not in SHARING:
                sources.setdefault(group, set()).add(layer.op if layer else None)
            elif layer.op == "Pad" and layer.attributes["mode"] == "constant":
                spans[group].append(float(layer.attributes["value"]))
        formats = {}
        for group, span in spans.items():
            (op, *others) = sources[group]
            formats[group] = self.format(op if not others else None, min(span), max(span))
        return {name: formats[group] for name, group in self.plan.groups.items()}

    def format(self, op, low, high):
        if op in FIXED:
            step, start = FIXED[op]
            return np.float32(step), int(self.limits.min - round(start / step))
        low, high = min(low, 0.0), max(high, 0.0)
        scale = np.float32((high - low) / (self.limits.max - self.limits.min))
        if scale < np.finfo(np.float32).tiny:
            scale = np.float32(1)
        zero_point = round(self.limits.min - low / float(scale))
        return scale, min(max(zero_point, self.limits.min), self.limits.max)

    def weights(self, array, bias, input_scale):
        """Return codes of weights, (out channels, ...), and their scale, (out channels,) or ()."""
        largest = np.abs(array).reshape(len(array), -1).max(axis=1).astype(np.float64)
        if not np.all(np.isfinite(largest)):
            raise ValueError("weights must be finite")
        whole = largest.max()
        if whole < self.weight_limit * np.finfo(np.float32).tiny:
            whole = 1.0
        largest = (
            np.maximum(largest, whole * SMALLEST_SCALE) if self.per_channel else np.full(1, whole)
        )
        # The bias must fit 32 bits in steps of input scale times weight scale.
        needed = np.abs(bias).astype(np.float64) / (float(input_scale) * INT32_MAXIMUM)
        needed = needed if self.per_channel else needed.max(keepdims=True)
        scale = np.maximum(largest / self.weight_limit, needed * (1 + 1e-6)).astype(np.float32)
        spread = scale.reshape(-1, *(1,) * (array.ndim - 1))
        codes = array / spread
        codes = np.clip(np.rint(codes, out=codes), -self.weight_limit, self.weight_limit, out=codes)
        return codes.astype(np.int8), scale if self.per_channel else scale.reshape(())

    # -- layers

    def result(self):
        network, body = self.network, {layer.name for layer in self.plan.body}
        outputs = {tensor.name for tensor in network.outputs}
        for tensor in network.inputs:
            if tensor.name in self.formats:
                self.quantize(tensor.name, tensor.name, f"{tensor.name}_dequantized")
        for layer in network.layers:
            inputs = [self.dequantized.get(name, name) for name in layer.inputs]
            for name in inputs:
                if name in network.constants:
                    self.constants[name] = network.constants[name]
            if layer.name in body and layer.op in ("Conv", "Gemm"):
                inputs = self.parameters(layer, inputs[0])
            name = layer.outputs[0]
            quantized = layer.name in body and name in self.formats
            made = f"{name}_float" if quantized and name in outputs else name
            made = self.unique(made) if made != name else made
            self.add(replace(layer, inputs=tuple(inputs), outputs=(made,)), network.tensors[name])
            if quantized:
                self.quantize(name, made, name if name in outputs else f"{name}_dequantized")
        return Network(
            name=network.name,
            inputs=network.inputs,
            outputs=network.outputs,
            layers=tuple(self.layers),
            constants={
                name: self.constants[name]
                for name in self.constants
                if any(name in layer.inputs for layer in self.layers)
            },
            tensors=self.tensors,
            opset=max(network.opset, 13),
        )

    def unique(self, name):
        while name in self.taken:
            name += "_"
        self.taken.add(name)
        return name

    def constant(self, name, array):
        name = self.unique(name)
        self.constants[name] = np.asarray(array)
        return name

    def add(self, layer, like):
        """Append a layer with one output of the shape of ``like``."""
        self.layers.append(layer)
        dtype = layer.attributes.get("dtype", like.dtype)
        self.tensors[layer.outputs[0]] = Tensor(layer.outputs[0], like.shape, np.dtype(dtype))

    def quantize(self, name, made, dequantized):
        """QuantizeLinear and DequantizeLinear behind the float tensor ``made``."""
        scale, zero_point = self.formats[name]
        like = self.network.tensors[name]
        operands = (
            self.constant(f"{name}_scale", scale),
            self.constant(f"{name}_zero_point", np.array(zero_point, self.dtype)),
        )
        codes = self.unique(f"{name}_quantized")
        if dequantized != name:
            dequantized = self.unique(dequantized)
        form = {"axis": None, "block_size": 0}
        for op, source, target, dtype in (
            ("QuantizeLinear", made, codes, self.dtype),
            ("DequantizeLinear", codes, dequantized, np.dtype(np.float32)),
        ):
            layer_name = self.unique(f"{name}_{op}")
            attributes = {**form, "dtype": dtype}
            self.add(Layer(layer_name, op, (source, *operands), (target,), attributes), like)
        self.dequantized[name] = dequantized

    def parameters(self, layer, data):
        """Return the inputs of a Conv or Gemm: its data, and dequantized weights and bias."""
        network = self.network
        weights = network.constants[layer.inputs[1]]
        given = layer.inputs[2] if len(layer.inputs) > 2 else ""
        bias = network.constants[given] if given else np.zeros(len(weights))
        input_scale = self.formats[layer.inputs[0]][0]
        codes, scale = self.weights(weights, bias, input_scale)
        inputs = [data, self.dequantized_constant(layer, "weights", codes, scale)]
        if given:
            step = np.float32(input_scale) * scale
            rounded = np.rint(bias.astype(np.float64) / step).astype(np.int32)
            inputs.append(self.dequantized_constant(layer, "bias", rounded, step))
        return inputs

    def dequantized_constant(self, layer, what, codes, scale):
        base = f"{layer.name}_{what}"
        operands = self.constant(f"{base}_quantized", codes), self.constant(f"{base}_scale", scale)
        zero = self.constant(f"{base}_zero_point", np.zeros(scale.shape, codes.dtype))
        axis = 0 if self.per_channel and scale.size > 1 else None
        attributes = {"axis": axis, "block_size": 0, "dtype": np.dtype(np.float32)}
        name, target = self.unique(f"{base}_DequantizeLinear"), self.unique(f"{base}_dequantized")
        made = Layer(name, "DequantizeLinear", (*operands, zero), (target,), attributes)
        self.add(made, Tensor(target, codes.shape, np.dtype(np.float32)))
        return target
