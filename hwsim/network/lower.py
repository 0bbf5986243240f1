"""Lowering: a quantized `Network` becomes the `IntegerNetwork` that hardware runs.

Both forms of a quantized ONNX file are read: QDQ (float operators between DequantizeLinear and
QuantizeLinear) and QOperator (QLinearConv and its like, those of ONNX Runtime included), also
mixed. They meet in the real values of `hwsim.network.real`: a layer's rule
(`hwsim.network.lower_rules`) says which real value its output is, and integer layers come into
being where a real value is quantized.

The method is integer-only inference as in Jacob et al., "Quantization and Training of Neural
Networks for Efficient Integer-Arithmetic-Only Inference", CVPR 2018, section 2.
"""

from typing import Any

import numpy as np

from .integer import IntegerLayer, IntegerNetwork, IntegerTensor
from .lower_passes import fold_clamps, fold_pads, without_unused
from .lower_rules import CHANGES_FORMAT, RULES
from .network import Network, NetworkError, check_network
from .operators import refuse
from .real import Codes, Constant, Dequantized, FloatInput, Format, Host, Real

__all__ = ["lower"]

# What the host does after the last integer layer; all else must be quantized.
TAIL = frozenset(
    (
        "Clip",
        "DequantizeLinear",
        "Dropout",
        "Flatten",
        "Identity",
        "QLinearSoftmax",
        "QuantizeLinear",
        "Relu",
        "Reshape",
        "Sigmoid",
        "Softmax",
        "Squeeze",
        "Tanh",
        "Transpose",
        "Unsqueeze",
    )
)


def lower(network: Network) -> IntegerNetwork:
    """Compile a quantized network into the integer network that computes what it specifies.

    Parameters
    ----------
    network : Network
        With one input and quantized layers, as `hwsim.quantize` or ONNX Runtime's
        ``quantize_static`` make them. Layers that follow the last quantized one
        (DequantizeLinear, Softmax) are left to the host.

    Returns
    -------
    IntegerNetwork
        Its tensors carry the names that their codes have in ``network``; where a scale changes
        without a layer of the model, tensors are added.

    Raises
    ------
    NetworkError
        If the network is not quantized, or a layer has no integer form. The message names
        operator, layer and what is accepted.
    """
    check_network(network)
    return _Lowering(network).result()


class _Lowering:
    """One walk over the layers; ``values`` maps names to what is known of them.

    A value is a float or integer array (a constant of the model), a `Constant`, `Codes`, or a
    `Real`.
    """

    def __init__(self, network):
        self.network = network
        if len(network.inputs) != 1:
            names = ", ".join(tensor.name for tensor in network.inputs)
            raise NetworkError(
                f"network {network.name} has {len(network.inputs)} inputs ({names}); "
                "accepted: one input"
            )
        if not any(layer.op in CHANGES_FORMAT for layer in network.layers):
            raise NetworkError(
                f"network {network.name} is not quantized: make it so with hwsim.quantize "
                "or ONNX Runtime's quantize_static"
            )
        self.values: dict[str, Any] = dict(network.constants)
        self.layers: list[IntegerLayer] = []
        self.tensors: dict[str, IntegerTensor] = {}
        self.input: IntegerTensor | None = None
        self.tensor_names = set(network.tensors) | set(network.constants)
        self.layer_names: set[str] = set()
        self.emitted: dict[tuple[int, Format], tuple[Real, IntegerTensor]] = {}
        self.start()
        for layer in network.layers:
            if layer.op not in RULES:
                accepted = ", ".join(sorted(RULES))
                self.refuse(layer, "this operator in a quantized network", accepted)
            RULES[layer.op](self, layer)

    def refuse(self, layer, what, accepted):
        refuse(layer.op, layer.name, what, accepted)

    # -- input and output

    def start(self):
        """Give the network's input its value."""
        given = self.network.inputs[0]
        if len(given.shape) not in (2, 4):
            raise NetworkError(
                f"input '{given.name}' has the shape {given.shape}; "
                "accepted: (N, C, H, W) or (N, C)"
            )
        maps = (*given.shape[1:], 1, 1)[:3]
        if given.dtype.kind == "f":
            readers = self.network.consumers.get(given.name, self.network.layers)
            self.values[given.name] = FloatInput(readers[0], given.shape, maps)
            return
        form = self.input_format(given.name)
        if form is None:
            raise NetworkError(
                f"input '{given.name}' of dtype {given.dtype} has no scale; "
                "accepted: float32, or codes that a layer dequantizes"
            )
        tensor = self.set_input(form.tensor(given.name, maps))
        self.values[given.name] = Codes(tensor, given.shape)

    def input_format(self, name):
        """Format in which the first layer that gives a scale reads the codes ``name``, or None."""
        dtype = self.network.tensors[name].dtype
        for layer in self.network.consumers.get(name, ()):
            if layer.op in ("ConvInteger", "MatMulInteger"):
                zero_point = layer.inputs[2] if len(layer.inputs) > 2 else ""
                return self.read_format(layer, None, zero_point, dtype)
            if layer.op in CHANGES_FORMAT:
                index = layer.inputs.index(name)
                scale, zero_point = (*layer.inputs[index + 1 :], "", "")[:2]
                return self.read_format(layer, scale, zero_point, dtype)
            found = self.input_format(layer.outputs[0])
            if found:
                return found
        return None

    def set_input(self, tensor):
        """Make ``tensor`` the network's input."""
        if self.input is not None:
            raise NetworkError(
                f"input '{self.network.inputs[0].name}' is quantized in more than one way; "
                "accepted: one scale and zero point"
            )
        self.input = tensor
        self.tensors[tensor.name] = tensor
        return tensor

    def result(self):
        """Put the integer network together."""
        boundary, host_layers = self.boundary()
        if self.input is None:
            raise NetworkError(
                f"network {self.network.name} does not quantize its input; accepted: QuantizeLinear"
            )
        layers = without_unused(self.layers, boundary)
        layers = fold_clamps(layers, self.tensors, boundary)
        layers = fold_pads(layers, self.tensors, boundary)
        used = {self.input.name, *(layer.output for layer in layers)}
        return IntegerNetwork(
            name=self.network.name,
            input=self.input,
            outputs=tuple(self.tensors[name] for name in boundary),
            layers=tuple(layers),
            tensors={name: tensor for name, tensor in self.tensors.items() if name in used},
            host=self.host(boundary, host_layers),
            output_shapes={name: self.network.tensors[name].shape for name in boundary},
        )

    def boundary(self):
        """Find the integer tensors that the outputs follow from, and the float layers between."""
        boundary: dict[str, None] = {}
        between = set()
        # A stack, so that the first output's tensors come first.
        pending = [tensor.name for tensor in self.network.outputs[::-1]]
        while pending:
            name = pending.pop()
            if name in self.tensors:
                boundary[name] = None
            elif name not in self.network.constants:
                layer = self.network.producers.get(name)
                if layer is None:
                    raise NetworkError(
                        f"input '{name}' reaches an output as it is; accepted: a quantized network"
                    )
                if layer.op not in TAIL:
                    self.refuse(layer, "an output in float", "QuantizeLinear after it")
                between.add(layer.name)
                pending += [entry for entry in layer.inputs if entry]
        return list(boundary), [layer for layer in self.network.layers if layer.name in between]

    def host(self, boundary, layers):
        """Make a network of what stays with the host, or None where nothing does."""
        if not layers:
            return None
        network = self.network
        read = {name for layer in layers for name in layer.inputs}
        made = {name for layer in layers for name in layer.outputs}
        known = read | made
        return Network(
            name=f"{network.name}_host",
            inputs=tuple(network.tensors[name] for name in boundary if name in read),
            outputs=tuple(tensor for tensor in network.outputs if tensor.name in made),
            layers=tuple(layers),
            constants={name: array for name, array in network.constants.items() if name in known},
            tensors={name: tensor for name, tensor in network.tensors.items() if name in known},
            opset=network.opset,
        )

    # -- integer layers

    def unique(self, name):
        """Return ``name``, numbered if a tensor has it already."""
        return _unique(name, self.tensor_names)

    def add(self, make, layer, sources, output, **constants):
        """Append an integer layer named after ``layer``; return its output tensor."""
        name = _unique(layer.name, self.layer_names)
        inputs = tuple(source.name for source in sources)
        self.layers.append(make(name, inputs, output.name, **constants))
        self.tensors[output.name] = output
        return output

    def emit(self, value, form, name):
        """Return the tensor with the codes of ``value`` in a format; a new one is ``name``."""
        key = (id(value), form)
        if key not in self.emitted:
            # The value is kept so that its id stays its own.
            self.emitted[key] = (value, value.emit(self, form.tensor(name, value.maps)))
        return self.emitted[key][1]

    def put(self, layer, value, scale, zero_point):
        """Quantize ``value`` into the output of ``layer``; names of scale and zero point."""
        name = layer.outputs[0]
        if isinstance(value, Host):
            self.values[name] = value
            return
        form = self.read_format(layer, scale, zero_point, self.network.tensors[name].dtype)
        self.values[name] = Codes(self.emit(value, form, name), value.shape)

    # -- reading

    def output_maps(self, layer):
        """Return the model's shape of the output of ``layer`` and (C, H, W)."""
        shape = self.network.tensors[layer.outputs[0]].shape
        if len(shape) not in (2, 4):
            self.refuse(layer, f"an output of shape {shape}", "(N, C, H, W) or (N, C)")
        return shape, (*shape[1:], 1, 1)[:3]

    def constant(self, name):
        """Return the array of a constant, or None."""
        value = self.values.get(name)
        return value if isinstance(value, np.ndarray) else None

    def read_scale(self, layer, scale, zero_point, dtype):
        """Return the arrays of a scale and zero point, from names; their defaults are 1 and 0."""
        scale = self.constant(scale) if scale else np.ones((), np.float32)
        zero = self.constant(zero_point) if zero_point else np.zeros((), dtype)
        if scale is None or zero is None:
            self.refuse(layer, "a scale or zero point that is computed at run time", "constants")
        if not np.all((scale > 0) & np.isfinite(scale)):
            self.refuse(layer, f"a scale of {scale.min()}", "positive numbers")
        return scale, zero

    def read_format(self, layer, scale, zero_point, dtype):
        """`Format` of a feature map, from the names of scale and zero point."""
        scale, zero = self.read_scale(layer, scale, zero_point, dtype)
        if scale.size != 1 or zero.size != 1:
            self.refuse(layer, f"{max(scale.size, zero.size)} scales of a feature map", "one")
        if zero.dtype.name not in ("int8", "uint8", "int16", "uint16", "int4", "uint4"):
            self.refuse(layer, f"codes of dtype {zero.dtype}", "integers of up to 16 bits")
        signed = not zero.dtype.name.startswith("u")
        bits = int(zero.dtype.name.removeprefix("u").removeprefix("int"))
        return Format(float(scale.item()), int(zero.item()), bits, signed)

    def read_weights(self, layer, name, scale, zero_point, axis):
        """`Constant` from the names of codes, scale and zero point; None where not constant."""
        codes = self.constant(name)
        if codes is None:
            return None
        scale, zero = self.read_scale(layer, scale, zero_point, codes.dtype)
        shape = [1] * codes.ndim
        if scale.size == zero.size == 1:
            axis = None
        else:
            shape[axis] = -1
        # Large networks have 10**8 weights: 16 bits hold the difference of two codes of 8.
        dtype = np.int16 if codes.dtype.itemsize == 1 else np.int64
        steps = codes.astype(dtype) - zero.astype(dtype).reshape(shape)
        return Constant(steps, scale.astype(np.float64).reshape(-1), axis)

    def dequantized(self, layer, name, scale, zero_point):
        """Return the real value of a constant or codes, read with a scale and zero point."""
        value = self.values[name]
        if isinstance(value, np.ndarray):
            return self.read_weights(layer, name, scale, zero_point, None)
        if isinstance(value, Host):
            return value
        if not isinstance(value, Codes):
            self.refuse(layer, f"a float input '{name}'", "codes, as QuantizeLinear gives them")
        form, made = (
            self.read_format(layer, scale, zero_point, self.network.tensors[name].dtype),
            value.format,
        )
        if form != made:
            given = f"scale {form.scale:g} and zero point {form.zero_point} for codes of '{name}'"
            accepted = f"scale {made.scale:g} and zero point {made.zero_point}, as they were made"
            self.refuse(layer, given, accepted)
        return Dequantized(layer, value.shape, value.tensor.shape, value)

    def real(self, name, layer):
        """Return the value called ``name``, which must not be codes."""
        value = self.values[name]
        if isinstance(value, Codes):
            self.refuse(layer, "codes as input", "DequantizeLinear before it")
        return value

    def computable(self, value, layer):
        """Refuse a value that integer arithmetic for ``layer`` cannot start from."""
        if isinstance(value, Host):
            before = f"an input from {value.layer.op} '{value.layer.name}'"
            self.refuse(layer, before, f"{value.layer.op} at the end of the network")
        if isinstance(value, FloatInput):
            self.refuse(layer, "the network's input in float", "QuantizeLinear before it")
        return value

    def codes(self, value, layer):
        """Return the `Codes` of a real value that needs no rounding, as input of ``layer``."""
        form = self.computable(value, layer).exact()
        if form is None:
            before = f"an input from {value.layer.op} '{value.layer.name}' that is not quantized"
            self.refuse(layer, before, "QuantizeLinear and DequantizeLinear in between")
        if isinstance(value, Dequantized):
            return Codes(value.codes.tensor, value.shape)
        name = self.unique(f"{value.layer.outputs[0]}_codes")
        return Codes(self.emit(value, form, name), value.shape)


def _unique(name, taken):
    """Return ``name``, numbered if it is among ``taken``; it is so then."""
    found, number = name, 1
    while found in taken:
        number += 1
        found = f"{name}_{number}"
    taken.add(found)
    return found
