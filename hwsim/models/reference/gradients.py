"""Gradients of a whole `hwsim.network.Network`: forward, loss, and back through every layer."""

from dataclasses import dataclass

import numpy as np

from hwsim.network.network import NetworkError
from hwsim.network.operators import OPERATORS

from .backward import GRADIENTS, LOSSES
from .execute import OPERATIONS

__all__ = ["Gradients", "gradients", "parameters"]


@dataclass(frozen=True, eq=False)
class Gradients:
    """What a backward pass gives.

    Members
    -------
    loss : float
    outputs : ndarray
        The network's.
    of : dict of name to ndarray
        The gradient for each input of the network, each feature map and each parameter, by name.
    values : dict of name to ndarray
        Inputs, constants and feature maps.
    """

    loss: float
    outputs: np.ndarray
    of: dict[str, np.ndarray]
    values: dict[str, np.ndarray]


def parameters(network):
    """Names of the trained parameters, in the order of the layers."""
    found: dict[str, None] = {}
    for layer in network.layers:
        for position in OPERATORS[layer.op].parameters:
            if position < len(layer.inputs) and layer.inputs[position] in network.constants:
                found[layer.inputs[position]] = None
    return list(found)


def gradients(network, inputs, target, *, loss="cross-entropy", constants=None, dtype=None):
    """Gradients of a loss for a network's inputs and parameters.

    Parameters
    ----------
    network : Network
        In floating point, with one output.
    inputs : mapping of name to ndarray, or one ndarray where the network has one input
        The batch axis may have any length.
    target : ndarray
        Labels (N,) for ``"cross-entropy"``, which takes the output as logits; values of the
        output's shape for ``"rmse"``.
    loss : str
        ``"cross-entropy"`` or ``"rmse"``.
    constants : mapping of name to ndarray, optional
        In place of the network's own: other weights.
    dtype : dtype, optional
        In which to compute; by default that of the network.

    Raises
    ------
    NetworkError
        An operator has no gradient.
    """
    if loss not in LOSSES:
        raise ValueError(f"loss must be {' or '.join(LOSSES)}, not {loss!r}")
    if len(network.outputs) != 1:
        raise ValueError(f"the network must have one output, not {len(network.outputs)}")
    if not isinstance(inputs, dict):
        inputs = {network.inputs[0].name: inputs}
    values = {
        name: _in(array, dtype)
        for name, array in {**network.constants, **(constants or {}), **inputs}.items()
    }
    for layer in network.layers:
        if layer.op not in GRADIENTS:
            raise NetworkError(
                f"{layer.op} '{layer.name}': a gradient is not supported; accepted: "
                f"{', '.join(sorted(GRADIENTS))}"
            )
        arguments = [values[name] if name else None for name in layer.inputs]
        result = OPERATIONS[layer.op](layer.attributes, *arguments)
        values[layer.outputs[0]] = result[0] if isinstance(result, tuple) else result
    output = network.outputs[0].name
    outputs = values[output]
    # A map of a pixel is a vector.
    rows = outputs.reshape(outputs.shape[:2]) if set(outputs.shape[2:]) == {1} else outputs
    value, gradient = LOSSES[loss](
        rows, target if loss == "cross-entropy" else np.reshape(target, rows.shape)
    )
    wanted = {*inputs, *parameters(network)}
    of = {output: gradient.reshape(outputs.shape)}
    for layer in reversed(network.layers):
        if layer.outputs[0] not in of:
            continue  # nothing that is used depends on it
        arguments = [values[name] if name else None for name in layer.inputs]
        found = GRADIENTS[layer.op](
            layer.attributes, arguments, values[layer.outputs[0]], of[layer.outputs[0]]
        )
        for name, part in zip(layer.inputs, found, strict=True):
            if name and part is not None and (name in wanted or name in network.producers):
                of[name] = of[name] + part if name in of else part
    return Gradients(float(value), outputs, of, values)


def _in(array, dtype):
    array = np.asarray(array)
    return array.astype(dtype) if dtype is not None and array.dtype.kind == "f" else array
