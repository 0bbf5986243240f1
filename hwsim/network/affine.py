"""Float rewriting before quantization: affine layers become part of other layers.

BatchNormalization, and Mul and Add with constants, compute ``factor * x + addend`` per channel.
Behind a Conv or Gemm that has no other reader they change its weights and bias (Jacob et al., CVPR
2018, section 3.2); elsewhere they are depthwise convolutions of kernel 1 x 1. MatMul with constant
weights becomes Gemm, a Sum of many inputs becomes sums of two; Identity and Dropout vanish.
"""

from dataclasses import replace

import numpy as np

from .network import Layer, Network, Tensor
from .operators import refuse

__all__ = ["fold_affine", "per_channel"]


def fold_affine(network: Network) -> Network:
    """Return an equivalent network of float32 without the layers named in the module's text.

    Each Gemm has weights (out, in), a bias and no factors. Folding is computed in float64 and
    rounded once.

    Raises
    ------
    NetworkError
        If a layer multiplies or adds a constant that differs within a channel, or the layer before
        it has no weights to take it and is not a feature map (N, C, H, W).
    """
    return _Folding(network).result()


def per_channel(array, shape):
    """Return a constant that meets an input of ``shape`` as (1,) or (channels,), else None."""
    full = (1,) * (len(shape) - array.ndim) + array.shape
    channels = full[1] if len(full) > 1 else 1
    if len(full) > len(shape) or array.size != channels or channels not in (1, *shape[1:2]):
        return None
    return array.reshape(-1)


class _Folding:
    def __init__(self, network):
        self.network = network
        self.constants = dict(network.constants)
        self.tensors = dict(network.tensors)
        self.outputs = {tensor.name for tensor in network.outputs}
        self.layers: dict[str, Layer] = {}  # by the name of the first output
        self.same: dict[str, str] = {}  # names of tensors to the names of equal ones
        for layer in network.layers:
            inputs = tuple(self.same.get(name, name) for name in layer.inputs)
            self.take(replace(layer, inputs=inputs))

    def result(self):
        layers = tuple(self.layers.values())
        used = {name for layer in layers for name in layer.inputs} | self.outputs
        made = {name for layer in layers for name in layer.outputs}
        made |= {tensor.name for tensor in self.network.inputs}
        return replace(
            self.network,
            layers=layers,
            constants={name: array for name, array in self.constants.items() if name in used},
            tensors={name: tensor for name, tensor in self.tensors.items() if name in made},
        )

    def take(self, layer):
        output = layer.outputs[0]
        if self.vanishes(layer):
            self.same[output] = layer.inputs[0]
            return
        if layer.op == "Sum" and len(layer.inputs) > 2:
            layer = self.last_of_sums(layer)
        if layer.op == "Gemm":
            layer = self.plain_gemm(layer)
        elif layer.op == "MatMul":
            layer = self.as_gemm(layer)
        elif layer.op == "BatchNormalization":
            layer = self.affine(layer, *self.normalization(layer))
        elif layer.op in ("Add", "Mul", "Sum") and len(layer.inputs) == 2:
            constant = [name in self.constants for name in layer.inputs]
            if any(constant) and not all(constant):
                layer = self.with_constant(layer, constant[0])
        self.layers[output] = layer

    def vanishes(self, layer):
        same = layer.op in ("Dropout", "Identity") or (layer.op, len(layer.inputs)) == ("Sum", 1)
        return same and layer.outputs[0] not in self.outputs

    def readers(self, name):
        """Return the layers that read a tensor, also through others that vanish."""
        found: list[Layer] = []
        for layer in self.network.consumers.get(name, ()):
            found += self.readers(layer.outputs[0]) if self.vanishes(layer) else [layer]
        return found

    def new(self, layer, what, array):
        """Make a float32 constant and return its name."""
        name = f"{layer.name}_{what}"
        while name in self.constants or name in self.tensors:
            name += "_"
        self.constants[name] = np.asarray(array, np.float32)
        return name

    def last_of_sums(self, layer):
        """Take a sum of many inputs as sums of two; return the last of them."""
        # Constants come last: a map may be read twice, and its weights must not take them then.
        total, *others = sorted(layer.inputs, key=lambda name: name in self.constants)
        for number, name in enumerate(others[:-1], 1):
            shapes = [(self.constants | self.tensors)[n].shape for n in (total, name)]
            partial = f"{layer.outputs[0]}_partial_{number}"
            dtype = self.tensors[layer.outputs[0]].dtype
            self.tensors[partial] = Tensor(partial, np.broadcast_shapes(*shapes), dtype)
            made = f"{layer.name}_partial_{number}"
            self.take(replace(layer, name=made, inputs=(total, name), outputs=(partial,)))
            total = partial
        return replace(layer, inputs=(total, others[-1]))

    def plain_gemm(self, layer):
        attributes = layer.attributes
        if layer.inputs[1] not in self.constants or attributes["trans_a"]:
            return layer
        weights = self.constants[layer.inputs[1]]
        if attributes["alpha"] != 1:
            weights = weights * np.float64(attributes["alpha"])
        weights = weights if attributes["trans_b"] else weights.T
        given = layer.inputs[2] if len(layer.inputs) > 2 else ""
        bias = self.constants.get(given) if given else np.zeros(1)
        if bias is None or bias.size not in (1, len(weights)):
            return layer
        bias = np.broadcast_to(bias.reshape(-1) * np.float64(attributes["beta"]), len(weights))
        return self.with_parameters(layer, "Gemm", weights, bias)

    def as_gemm(self, layer):
        data, weights = layer.inputs
        if weights not in self.constants or self.constants[weights].ndim != 2:
            return layer
        if data in self.constants or len(self.tensors[data].shape) != 2:
            return layer
        weights = self.constants[weights].T
        return self.with_parameters(layer, "Gemm", weights, np.zeros(len(weights)))

    def with_parameters(self, layer, op, weights, bias):
        names = self.new(layer, "weights", weights), self.new(layer, "bias", bias)
        attributes = layer.attributes
        if op == "Gemm":
            attributes = {"alpha": 1.0, "beta": 1.0, "trans_a": False, "trans_b": True}
        return replace(layer, op=op, inputs=(layer.inputs[0], *names), attributes=attributes)

    def normalization(self, layer):
        scale, shift, mean, variance = (
            self.constants[name].astype(np.float64) for name in layer.inputs[1:5]
        )
        factor = scale / np.sqrt(variance + layer.attributes["epsilon"])
        return factor, shift - factor * mean

    def with_constant(self, layer, first):
        value, name = layer.inputs[::-1] if first else layer.inputs
        shape = self.tensors[value].shape
        number = per_channel(self.constants[name].astype(np.float64), shape)
        if number is None or self.tensors[layer.outputs[0]].shape != shape:
            given = f"a constant of shape {self.constants[name].shape} for one of shape {shape}"
            refuse(layer.op, layer.name, given, "one number, or one per channel")
        layer = replace(layer, inputs=(value, name))
        return self.affine(layer, *((number, 0.0) if layer.op == "Mul" else (1.0, number)))

    def affine(self, layer, factor, addend):
        """``factor * x + addend``: the layer before it with other parameters, or a convolution."""
        data = layer.inputs[0]
        before = self.layers.get(data)
        alone = data not in self.outputs and len(self.readers(data)) == 1
        if before is not None and alone and self.has_parameters(before):
            weights = self.constants[before.inputs[1]].astype(np.float64)
            bias = self.constants[before.inputs[2]] if len(before.inputs) > 2 else 0.0
            factor = np.broadcast_to(factor, len(weights))
            weights = weights * factor.reshape(-1, *(1,) * (weights.ndim - 1))
            del self.layers[data]
            before = replace(before, outputs=layer.outputs)
            return self.with_parameters(before, before.op, weights, bias * factor + addend)
        shape = self.tensors[data].shape
        if len(shape) != 4:
            accepted = "a Conv or Gemm before it without another reader, or an input (N, C, H, W)"
            refuse(layer.op, layer.name, f"an affine layer on an input of shape {shape}", accepted)
        geometry = {"kernel": (1, 1), "strides": (1, 1), "dilations": (1, 1), "pads": (0, 0, 0, 0)}
        weights = np.broadcast_to(factor, shape[1]).reshape(-1, 1, 1, 1)
        layer = replace(layer, op="Conv", attributes={**geometry, "group": shape[1]})
        return self.with_parameters(layer, "Conv", weights, np.broadcast_to(addend, shape[1]))

    def has_parameters(self, layer):
        """Whether the layer has constant weights, output channels first, and one bias for each."""
        if layer.op not in ("Conv", "Gemm"):
            return False
        if any(name not in self.constants for name in layer.inputs[1:]):
            return False
        # `plain_gemm` has given all it could a bias of one dimension.
        bias = self.constants[layer.inputs[-1]]
        return layer.op == "Conv" or (not layer.attributes["trans_a"] and bias.ndim == 1)
