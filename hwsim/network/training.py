"""Networks that can be trained in integers, as a chain of stages."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .network import NetworkError
from .windows import output_size

__all__ = ["Stage", "initial_weights", "stages"]


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
    def group(self):
        """Groups of channels that a convolution keeps apart."""
        return self.attributes["group"]

    @property
    def depth(self):
        """Weights of an output, its bias among them."""
        channels = self.shape[0] // self.group
        return channels * math.prod(self.attributes["kernel"]) + bool(self.bias)

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
        """Weights as (depth, outputs); the depth counts channels of a group, then taps."""
        return (weights if self.transposed else weights.reshape(self.outputs, -1).T).copy()

    def tensor(self, matrix):
        """The network's own form of what `matrix` gives."""
        if self.transposed:
            return matrix
        kernel = self.attributes["kernel"]
        whole = matrix.T.reshape(self.outputs, -1, *kernel)
        return whole[:, :, 0, 0] if self.attributes["dense"] else whole


_DENSE = {
    "kernel": (1, 1),
    "strides": (1, 1),
    "dilations": (1, 1),
    "pads": (0,) * 4,
    "group": 1,
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
                if len(a["kernel"]) != 2:
                    refuse(f"a kernel {a['kernel']}")
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
