"""Lowering: a quantized `Network` becomes the `IntegerNetwork` that hardware runs.

Both forms of a quantized ONNX file are read: QDQ (float operators between DequantizeLinear and QuantizeLinear) and QOperator
(QLinearConv and its like, those of ONNX Runtime included), also mixed. They meet in one notion: a *real value*, which knows how
its numbers follow from codes (`Real` and its subclasses below) and becomes codes once the scale and zero point of a
QuantizeLinear, or of a QOperator's output, are known. In between, a real value may be bounded (Relu, Clip), pooled, padded,
joined or reshaped; all of these commute with quantization, which is monotonic, so that no rounding is added or lost.

The method is integer-only inference as in Jacob et al., "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference", CVPR 2018, section 2.
"""

import math
from dataclasses import replace

import numpy as np

from .integer import IntegerNetwork
from .lower_passes import fold_clamps, fold_pads, without_unused
from .lower_rules import CHANGES_FORMAT, RULES
from .network import Network, NetworkError
from .operators import refuse
from .real import (
    Codes,
    Constant,
    Dequantized,
    ElementProduct,
    FloatInput,
    Format,
    Function,
    Host,
    Product,
    Sum,
)

__all__ = ["lower"]

# Steps of an added constant per step of the feature map it is added to, see `_Lowering.affine`.
ADDEND_STEPS = 64
# What the host does after the last integer layer; all else must be quantized.
TAIL = frozenset(
    "Clip DequantizeLinear Dropout Flatten Identity QuantizeLinear Relu Reshape Sigmoid Softmax Squeeze Tanh Transpose "
    "Unsqueeze".split()
)


def lower(network: Network) -> IntegerNetwork:
    """The integer network that computes what a quantized network specifies.

    Parameters
    ----------
    network : Network
        With one input and quantized layers, as `hwsim.quantize` or ONNX Runtime's ``quantize_static`` make them. Layers that
        follow the last quantized one (DequantizeLinear, Softmax) are left to the host.

    Returns
    -------
    IntegerNetwork
        Its tensors carry the names that their codes have in ``network``; where a scale changes without a layer of the model,
        tensors are added.

    Raises
    ------
    NetworkError
        If the network is not quantized, or a layer has no integer form. The message names operator, layer and what is accepted.
    """
    return _Lowering(network).result()


class _Lowering:
    """One walk over the layers of a network; ``values`` maps names to `Codes`, `Real`, `Constant` or float arrays."""

    def __init__(self, network):
        self.network = network
        if len(network.inputs) != 1:
            names = ", ".join(tensor.name for tensor in network.inputs)
            raise NetworkError(
                f"a network of {len(network.inputs)} inputs ({names}) cannot be lowered; accepted: one input"
            )
        if not any(layer.op in CHANGES_FORMAT for layer in network.layers):
            raise NetworkError(
                f"network {network.name} is not quantized: make it so with hwsim.quantize or ONNX Runtime's quantize_static"
            )
        self.values = dict(network.constants)
        self.layers = []
        self.tensors = {}
        self.input = None
        self.names = set(network.tensors) | set(network.constants)
        self.layer_names = set()
        self.emitted = {}
        self.start()
        for layer in network.layers:
            handler = RULES.get(layer.op)
            if handler is None:
                self.refuse(layer, "this operator in a quantized network", ", ".join(sorted(RULES)))
            handler(self, layer)

    def refuse(self, layer, what, accepted):
        refuse(layer.op, layer.name, what, accepted)

    # -- input and output

    def start(self):
        """Give the network's input its value."""
        given = self.network.inputs[0]
        maps = self.maps(given.shape, None)
        if given.dtype.kind == "f":
            consumer = (
                self.network.consumers[given.name][0]
                if given.name in self.network.consumers
                else self.network.layers[0]
            )
            self.values[given.name] = FloatInput(consumer, given.shape, maps)
            return
        form = self.input_format(given.name)
        if form is None:
            raise NetworkError(
                f"input '{given.name}' of dtype {given.dtype} has no scale; accepted: one that is dequantized"
            )
        self.values[given.name] = Codes(self.set_input(form.tensor(given.name, maps)), given.shape)

    def input_format(self, name):
        """The format in which the first layer that gives a scale reads the codes ``name``."""
        for layer in self.network.consumers.get(name, ()):
            index = layer.inputs.index(name)
            if layer.op in ("ConvInteger", "MatMulInteger"):
                zero = layer.inputs[2] if len(layer.inputs) > 2 else ""
                return self.read_format(
                    layer, np.float32(1), zero, self.network.tensors[name].dtype
                )
            if layer.op in CHANGES_FORMAT:
                scale, zero = (*layer.inputs[index + 1 :], "", "")[:2]
                return self.read_format(layer, scale, zero, self.network.tensors[name].dtype)
            found = self.input_format(layer.outputs[0])
            if found:
                return found
        return None

    def set_input(self, tensor):
        """Make ``tensor`` the network's input."""
        if self.input is not None:
            raise NetworkError(
                f"input '{self.network.inputs[0].name}' is quantized in more than one way; accepted: one scale and zero point"
            )
        self.input = tensor
        self.tensors[tensor.name] = tensor
        return tensor

    def result(self):
        """The integer network."""
        boundary, host_layers = self.boundary()
        layers = without_unused(self.layers, boundary)
        layers = fold_clamps(layers, self.tensors, boundary)
        layers = fold_pads(layers, self.tensors, boundary)
        used = {self.input.name, *(layer.output for layer in layers)}
        tensors = {name: tensor for name, tensor in self.tensors.items() if name in used}
        return IntegerNetwork(
            name=self.network.name,
            input=self.input,
            outputs=tuple(tensors[name] for name in boundary),
            layers=tuple(layers),
            tensors=tensors,
            host=self.host(boundary, host_layers),
            output_shapes={name: self.network.tensors[name].shape for name in boundary},
        )

    def boundary(self):
        """Names of the integer tensors from which the outputs follow, and the float layers in between."""
        boundary, between = {}, set()
        pending = [tensor.name for tensor in self.network.outputs]
        while pending:
            name = pending.pop(0)
            if name in self.tensors:
                boundary[name] = None
                continue
            layer = self.network.producers.get(name)
            if layer is None:
                if name in self.network.constants:
                    continue
                raise NetworkError(
                    f"output '{name}' does not depend on a quantized layer; accepted: a quantized network"
                )
            if layer.op not in TAIL:
                self.refuse(
                    layer,
                    "an output that is not quantized",
                    "QuantizeLinear after it (hwsim.quantize adds it)",
                )
            between.add(layer.name)
            pending += [entry for entry in layer.inputs if entry]
        return list(boundary), [layer for layer in self.network.layers if layer.name in between]

    def host(self, boundary, layers):
        """What stays with the host, as a network of its own, or None."""
        if not layers:
            return None
        read = {name for layer in layers for name in layer.inputs if name}
        made = {name for layer in layers for name in layer.outputs if name}
        inputs = []
        for name in boundary:
            inputs.append(self.network.tensors[name])
        return Network(
            name=f"{self.network.name}_host",
            inputs=tuple(tensor for tensor in inputs if tensor.name in read),
            outputs=tuple(tensor for tensor in self.network.outputs if tensor.name in made),
            layers=tuple(layers),
            constants={
                name: array for name, array in self.network.constants.items() if name in read
            },
            tensors={
                name: tensor for name, tensor in self.network.tensors.items() if name in read | made
            },
            opset=self.network.opset,
        )

    # -- integer layers

    def format(self, tensor):
        return Format(tensor.scale, tensor.zero_point, tensor.bits, tensor.signed)

    def unique(self, name):
        """``name``, numbered if a tensor has it already."""
        found, number = name, 1
        while found in self.names:
            number += 1
            found = f"{name}_{number}"
        self.names.add(found)
        return found

    def add(self, make, layer, sources, output, **constants):
        """Append an integer layer named after ``layer``; returns its output tensor."""
        name, number = layer.name, 1
        while name in self.layer_names:
            number += 1
            name = f"{layer.name}_{number}"
        self.layer_names.add(name)
        self.layers.append(
            make(name, tuple(source.name for source in sources), output.name, **constants)
        )
        self.tensors[output.name] = output
        return output

    def emit(self, value, form, name):
        """The tensor with the codes of the real ``value`` in the format ``form``; a new one is called ``name``."""
        key = (id(value), form)
        if key not in self.emitted:
            # The value is kept so that its id stays its own.
            self.emitted[key] = (value, value.emit(self, form.tensor(name, value.maps)))
        return self.emitted[key][1]

    # -- reading

    def maps(self, shape, layer):
        """(C, H, W) of a model's shape (N, C, H, W) or (N, C)."""
        if len(shape) == 4:
            return tuple(shape[1:])
        if len(shape) == 2:
            return (shape[1], 1, 1)
        if layer is None:
            given = self.network.inputs[0]
            raise NetworkError(
                f"input '{given.name}' of shape {shape} is not supported; accepted: (N, C, H, W) or (N, C)"
            )
        self.refuse(layer, f"an output of shape {shape}", "(N, C, H, W) or (N, C)")

    def output_maps(self, layer):
        shape = self.network.tensors[layer.outputs[0]].shape
        return shape, self.maps(shape, layer)

    def constant(self, name):
        """Array of a constant, or None."""
        value = self.values.get(name)
        return value if isinstance(value, np.ndarray) else None

    def read_format(self, layer, scale, zero_point, dtype):
        """`Format` from the names of a scalar scale and zero point (or their values)."""
        scale = self.constant(scale) if isinstance(scale, str) else scale
        zero = (
            self.constant(zero_point)
            if isinstance(zero_point, str) and zero_point
            else np.zeros((), dtype)
        )
        if scale is None or zero is None:
            self.refuse(layer, "a scale or zero point that is computed at run time", "constants")
        if np.size(scale) != 1 or np.size(zero) != 1:
            self.refuse(layer, f"{np.size(scale)} scales for a feature map", "one scale")
        scale = float(np.float32(np.reshape(scale, -1)[0]))
        if not (0 < scale < math.inf):
            self.refuse(layer, f"a scale of {scale}", "a positive number")
        name = zero.dtype.name
        signed = not name.startswith("u")
        bits = int(name.removeprefix("u").removeprefix("int"))
        if bits > 16:
            self.refuse(layer, f"codes of dtype {name}", "up to 16 bits")
        return Format(scale, int(np.reshape(zero, -1)[0]), bits, signed)

    def read_weights(self, layer, name, scale, zero_point, axis):
        """`Constant` of a quantized constant, from names; None if ``name`` is not a constant."""
        codes = self.constant(name)
        if codes is None:
            return None
        scale = np.float32(1) if scale is None else self.constant(scale)
        zero = np.zeros((), np.int64) if not zero_point else self.constant(zero_point)
        if scale is None or zero is None:
            self.refuse(layer, "a scale or zero point that is computed at run time", "constants")
        scale, zero = (
            np.asarray(scale, np.float64).reshape(-1),
            np.asarray(zero).astype(np.int64).reshape(-1),
        )
        if not (np.all(scale > 0) and np.all(np.isfinite(scale))):
            self.refuse(layer, f"a scale of {scale.min()}", "positive numbers")
        shape = [1] * codes.ndim
        if scale.size > 1 or zero.size > 1:
            shape[axis] = -1
        else:
            axis = None
        return Constant(codes.astype(np.int64) - zero.reshape(shape), scale, axis)

    def dequantized(self, layer, name, scale, zero_point):
        """Real value of the codes or constant ``name``, read with the scale and zero point of those names."""
        value = self.values[name]
        if isinstance(value, np.ndarray):
            return self.read_weights(layer, name, scale, zero_point, None)
        if not isinstance(value, Codes):
            self.refuse(layer, f"a float input '{name}'", "codes, as QuantizeLinear gives them")
        form = self.read_format(layer, scale, zero_point, self.network.tensors[name].dtype)
        if form != value.format:
            given = f"scale {form.scale:g} and zero point {form.zero_point} for codes of '{name}'"
            self.refuse(
                layer,
                given,
                f"scale {value.format.scale:g} and zero point {value.format.zero_point}, with which they were made",
            )
        return Dequantized(layer, value.shape, value.tensor.shape, value)

    def codes(self, value, layer):
        """`Codes` of a real value that needs no rounding, for ``layer``, which computes with it."""
        if isinstance(value, Codes):
            self.refuse(layer, "codes as input", "DequantizeLinear before it")
        if isinstance(value, Host):
            what = f"{value.layer.op} '{value.layer.name}' before it, which has no integer form,"
            self.refuse(layer, what, f"{value.layer.op} at the end of the network")
        if isinstance(value, FloatInput):
            value.clip(0, 0)
        form = value.exact()
        if form is None:
            between = f"an input from {value.layer.op} '{value.layer.name}' that is not quantized"
            self.refuse(layer, between, "QuantizeLinear and DequantizeLinear in between")
        if isinstance(value, Dequantized):
            return Codes(value.codes.tensor, value.shape)
        return Codes(
            self.emit(value, form, self.unique(f"{value.layer.outputs[0]}_codes")), value.shape
        )

    def real(self, name, layer):
        """The real value, constant or codes called ``name``."""
        value = self.values[name]
        if isinstance(value, Codes):
            self.refuse(layer, "codes as input", "DequantizeLinear before it")
        return value

    # -- what several operators share

    def put(self, layer, value, scale, zero_point):
        """Quantize ``value`` into the output of ``layer``, with the scale and zero point of those names."""
        name = layer.outputs[0]
        if isinstance(value, Host):
            self.values[name] = value
            return
        form = self.read_format(layer, scale, zero_point, self.network.tensors[name].dtype)
        self.values[name] = Codes(self.emit(value, form, name), value.shape)

    def product(self, layer, data, weights, bias, geometry, *, factor=1.0):
        """Convolution or matrix product of a real value and a `Constant` with the output channels first."""
        if not isinstance(weights, Constant):
            self.refuse(
                layer,
                "weights that are not quantized constants",
                "integer weights behind DequantizeLinear",
            )
        codes = self.codes(data, layer)
        steps, scale = weights.steps, weights.scale
        if weights.axis not in (None, 0):
            self.refuse(
                layer,
                f"a scale of the weights per index on axis {weights.axis}",
                "per output channel",
            )
        if scale.size == 1:
            scale = np.repeat(scale, len(steps))
        scale = codes.tensor.scale * scale * abs(factor)
        steps = steps if factor > 0 else -steps
        shape, maps = self.output_maps(layer)
        return Product(
            layer, shape, maps, codes, steps, self.bias(layer, bias, scale), scale, geometry
        )

    def bias(self, layer, bias, scale):
        """Bias in steps of the accumulator, (out,); int64 where the model has it as such."""
        if bias is None:
            return np.zeros(scale.shape)
        if isinstance(bias, Constant):
            steps = bias.steps.reshape(-1)
            given = np.broadcast_to(bias.scale.reshape(-1), steps.shape)
            # The model's scale is a rounded product of two float32 numbers.
            if steps.size == scale.size and np.allclose(given, scale, rtol=1e-5, atol=0):
                return steps
            bias = bias.real
        if not isinstance(bias, np.ndarray):
            self.refuse(layer, "a bias that is computed at run time", "a constant")
        return np.broadcast_to(np.asarray(bias, np.float64).reshape(-1), scale.shape) / scale

    def affine(self, layer, value, factor, addend):
        """``value * factor + addend`` with constants per channel: a depthwise convolution of kernel 1 x 1."""
        codes = self.codes(value, layer)
        channels = codes.tensor.shape[0]
        shape, maps = self.output_maps(layer)
        if maps != codes.tensor.shape:
            self.refuse(
                layer,
                f"a constant for each element of an input of shape {codes.shape}",
                "one for each channel",
            )
        factor = np.broadcast_to(np.asarray(factor, np.float64), (channels,))
        # A factor goes into the scale and its sign into the weight; for an addend the accumulator has finer steps.
        steps = np.where(factor < 0, -1, factor > 0) * (ADDEND_STEPS if np.any(addend) else 1)
        scale = (
            codes.tensor.scale
            * np.where(factor == 0, 1, np.abs(factor))
            / max(1, np.abs(steps).max())
        )
        geometry = {
            "strides": (1, 1),
            "dilations": (1, 1),
            "pads": (0, 0, 0, 0),
            "groups": channels,
        }
        bias = np.broadcast_to(np.asarray(addend, np.float64), (channels,)) / scale
        return Product(
            layer, shape, maps, codes, steps.reshape(channels, 1, 1, 1), bias, scale, geometry
        )

    def per_channel(self, layer, constant, shape):
        """A constant that is added to or multiplies a value of ``shape``, as one number or one per channel."""
        array = np.asarray(
            constant.real if isinstance(constant, Constant) else constant, np.float64
        )
        full = (1,) * (len(shape) - array.ndim) + array.shape
        channels = full[1] if len(full) > 1 else 1
        if (
            len(full) > len(shape)
            or array.size != channels
            or self.network.tensors[layer.outputs[0]].shape != shape
        ):
            self.refuse(
                layer,
                f"a constant of shape {array.shape} for an input of shape {shape}",
                "one number, or one per channel",
            )
        return array.reshape(-1)

    def elementwise(self, layer, first, second):
        """Sum (Add, Sum, QLinearAdd) or product (Mul, QLinearMul) of two values, of which one may be constant."""
        multiply = layer.op in ("Mul", "QLinearMul")
        constants = [isinstance(value, Constant | np.ndarray) for value in (first, second)]
        if all(constants):
            self.refuse(layer, "two constants", "at least one feature map")
        if any(constants):
            value, constant = (second, first) if constants[0] else (first, second)
            number = self.per_channel(layer, constant, value.shape)
            if not multiply and isinstance(value, Product):
                whole = value.geometry is not None or value.maps[1:] == (1, 1)
                added = value.plus(number) if whole else None
                if added is not None:
                    return replace(added, layer=layer if value.layer.op != "Conv" else value.layer)
            if number.size > 1:
                return self.affine(layer, value, *((number, 0) if multiply else (1, number)))
            codes, one = self.codes(value, layer), np.float32(number[0])
            function = (lambda real: real * one) if multiply else (lambda real: real + one)
            return Function(layer, value.shape, value.maps, codes, function)
        codes = [self.codes(value, layer) for value in (first, second)]
        shape, _ = self.output_maps(layer)
        shapes = [code.tensor.shape for code in codes]
        if multiply and shapes[0] != shapes[1] and shapes[0] == (shapes[1][0], 1, 1):
            codes, shapes = codes[::-1], shapes[::-1]
        vector = (
            multiply
            and shapes[1] == (shapes[0][0], 1, 1)
            and len(codes[1].shape) == len(codes[0].shape)
        )
        if shapes[0] != shapes[1] and not vector:
            given = " and ".join(str(code.shape) for code in codes)
            self.refuse(
                layer,
                f"inputs of shape {given}",
                "equal shapes" + (" or (N, C, 1, 1) as one of them" if multiply else ""),
            )
        kind = ElementProduct if multiply else Sum
        return kind(layer, shape, shapes[0], *codes)

    def passed(self, layer, real):
        """Give the output of a layer that passes codes through, to codes where its input is codes."""
        name, source = layer.outputs[0], self.values[layer.inputs[0]]
        if isinstance(source, Codes):
            real = Codes(self.emit(real, source.format, name), real.shape)
        self.values[name] = real

    def passing(self, layer, name):
        """Input ``name`` of a layer that passes codes through, as a real value."""
        value = self.values[name]
        if isinstance(value, Codes):
            return Dequantized(layer, value.shape, value.tensor.shape, value)
        if isinstance(value, FloatInput):
            value.clip(0, 0)
        return value

    def window(self, layer, value):
        """Geometry of a pool. Global pooling has the window (H, W)."""
        if len(value.shape) != 4 or value.maps != value.shape[1:]:
            self.refuse(layer, f"an input of shape {value.shape}", "(N, C, H, W)")
        attributes = layer.attributes
        if "kernel" not in attributes:
            ones = {"strides": (1, 1), "dilations": (1, 1), "pads": (0, 0, 0, 0)}
            return {"kernel": value.maps[1:], **ones}
        names = ("kernel", "strides", "dilations", "pads", "ceil_mode")
        geometry = {name: attributes[name] for name in names}
        if "count_include_pad" in attributes:
            geometry["count_include_pad"] = bool(attributes["count_include_pad"])
        geometry["ceil_mode"] = bool(geometry["ceil_mode"])
        return geometry
