"""The network as imported: layers in topological order, tensors with static shapes, constants.

A `Layer` is one ONNX node with its attributes completed and normalised, so that whoever reads it
needs no ONNX default:

* Conv, ConvInteger, QLinearConv and all pools with a window: ``kernel``, ``strides``, ``dilations``
  (tuples, one entry per spatial axis), ``pads`` as ``(begin..., end...)`` per spatial axis with
  ``auto_pad`` resolved; convolutions have ``group``; pools have ``ceil_mode`` and, if average,
  ``count_include_pad``.
* BatchNormalization has ``epsilon``; Softmax, Flatten and Concat have a non-negative ``axis``; and
  so on: one line per operator in `hwsim.network.operators`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

__all__ = ["Layer", "Network", "NetworkError", "Tensor", "check_network"]


class NetworkError(ValueError):
    """A model that cannot be read, or uses what is not supported.

    The message is one sentence for the user.
    """


@dataclass(frozen=True)
class Tensor:
    """Name, static shape (with the batch axis, where there is one) and NumPy dtype of a value."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype


@dataclass(frozen=True, eq=False)
class Layer:
    """One operator.

    ``inputs`` holds tensor or constant names, ``""`` for an optional input that is left out.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Network:
    """A network of layers in topological order. Make one with `hwsim.load`.

    Members
    -------
    name : str
    inputs, outputs : tuple of Tensor
    layers : tuple of Layer
        Names are unique.
    constants : mapping of name to ndarray
        Weights and every value that is known at import.
    tensors : mapping of name to Tensor
        Inputs and the outputs of all layers (constants are not in it).
    opset : int
        Version of the default operator set.
    """

    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    layers: tuple[Layer, ...]
    constants: Mapping[str, np.ndarray] = field(repr=False)  # too long to print
    tensors: Mapping[str, Tensor]
    opset: int

    @cached_property
    def producers(self):
        """Mapping of tensor name to the layer that makes it."""
        return {name: layer for layer in self.layers for name in layer.outputs if name}

    @cached_property
    def consumers(self):
        """Mapping of tensor name to the tuple of layers that read it."""
        found: dict[str, list[Layer]] = {}
        for layer in self.layers:
            for name in dict.fromkeys(layer.inputs):
                if name:
                    found.setdefault(name, []).append(layer)
        return {name: tuple(layers) for name, layers in found.items()}

    def shape(self, name):
        """Static shape of a tensor or constant."""
        return self.constants[name].shape if name in self.constants else self.tensors[name].shape

    def table(self):
        """Layers as a DataFrame with the columns name, op, output_shape, params, macs.

        What is counted stands in `hwsim.network.counts`.
        """
        from .counts import table

        return table(self)

    def geometry(self):
        """Layers as a DataFrame: receptive fields, and costs as fully connected layers.

        Columns and definitions stand in `hwsim.network.geometry`.
        """
        from .geometry import geometry

        return geometry(self)

    def left_out(self):
        """What strides leave out of padded feature maps: a sentence for each such layer.

        See `hwsim.network.geometry.left_out`.
        """
        from .geometry import left_out

        return left_out(self)

    @property
    def params(self):
        """Trained parameters: weights, biases, scales of batch normalizations; shared ones once."""
        from .counts import counts

        return sum(params for params, _ in counts(self))

    @property
    def macs(self):
        """Multiply-accumulates of all convolutions and dense layers, for the whole batch."""
        from .counts import counts

        return sum(macs for _, macs in counts(self))

    def save(self, path):
        """Write an ONNX file: see `hwsim.network.save.save`."""
        from .save import save

        save(self, path)


def check_network(network):
    """``network`` is a `Network`; `TypeError` else."""
    if not isinstance(network, Network):
        raise TypeError(
            f"network must be a Network, as hwsim.load gives, not {type(network).__name__}"
        )
