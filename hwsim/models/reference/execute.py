"""Runs a `hwsim.network.Network` in NumPy, layer by layer."""

import math
from collections import Counter
from collections.abc import Mapping

import numpy as np

from hwsim.network.batch import images_are_independent

from .floating import FLOATING, max_pool_indices
from .quantized import QUANTIZED

__all__ = ["run"]

OPERATIONS = {**FLOATING, **QUANTIZED}
# So many images run at once that no feature map exceeds this number of elements.
MAP_ELEMENTS = 1 << 23


def run(network, inputs, outputs=None):
    """Compute a network's outputs, or any of its tensors, as ONNX defines them.

    Parameters
    ----------
    network : Network
    inputs : mapping of input name to array, or one array where the network has one input
        Shapes and dtypes as in ``network.inputs``; the batch axis may hold any multiple of the
        network's.
    outputs : iterable of str, optional
        Names of tensors to return; by default the network's outputs.

    Returns
    -------
    dict of name to ndarray

    Raises
    ------
    ValueError
        An input is missing, unknown or of another shape or dtype; an output is unknown.
    """
    names = [tensor.name for tensor in network.outputs] if outputs is None else list(outputs)
    for name in names:
        if name not in network.tensors and name not in network.constants:
            raise ValueError(f"outputs must name tensors of the network, not '{name}'")
    arrays, repeats = _checked(network, inputs)
    if repeats == 1:
        return _run_once(network, arrays, names)
    largest = max((math.prod(tensor.shape) for tensor in network.tensors.values()), default=1)
    step = (
        max(1, min(repeats, MAP_ELEMENTS // max(largest, 1)))
        if images_are_independent(network)
        else 1
    )
    parts = []
    for start in range(0, repeats, step):
        part = {
            tensor.name: arrays[tensor.name][
                start * tensor.shape[0] : (start + step) * tensor.shape[0]
            ]
            for tensor in network.inputs
        }
        parts.append(_run_once(network, part, names))
    computed = _computed_from_inputs(network)
    return {
        name: np.concatenate([part[name] for part in parts]) if name in computed else parts[0][name]
        for name in names
    }


def _computed_from_inputs(network):
    """Names of the tensors that differ from image to image."""
    computed = {tensor.name for tensor in network.inputs}
    for layer in network.layers:
        if not computed.isdisjoint(layer.inputs):
            computed.update(filter(None, layer.outputs))
    return computed


def _checked(network, inputs):
    """Input arrays by name, and how many batches of the network's size they hold."""
    wanted = {tensor.name: tensor for tensor in network.inputs}
    if not isinstance(inputs, Mapping):
        if len(wanted) != 1:
            raise ValueError(
                f"inputs must be a mapping of {', '.join(wanted)} to arrays, not one array"
            )
        inputs = {next(iter(wanted)): inputs}
    for name in inputs:
        if name not in wanted:
            raise ValueError(
                f"inputs must name the network's inputs ({', '.join(wanted)}), not '{name}'"
            )
    arrays, repeats = {}, set()
    for name, tensor in wanted.items():
        if name not in inputs:
            raise ValueError(f"input '{name}' is missing")
        array = np.asarray(inputs[name])
        if array.dtype != tensor.dtype:
            raise ValueError(
                f"input '{name}' must have the dtype {tensor.dtype}, not {array.dtype}"
            )
        batch = tensor.shape[0] if tensor.shape else 0
        if array.shape == tensor.shape:
            repeats.add(1)
        elif (
            batch
            and array.ndim == len(tensor.shape)
            and array.shape[1:] == tensor.shape[1:]
            and array.shape[0] % batch == 0 < array.shape[0]
        ):
            repeats.add(array.shape[0] // batch)
        else:
            raise ValueError(
                f"input '{name}' must have the shape {tensor.shape}, not {array.shape}"
            )
        arrays[name] = array
    if len(repeats) > 1:
        raise ValueError("inputs must hold the same number of images each")
    return arrays, repeats.pop() if repeats else 1


def _run_once(network, inputs, names):
    values = {**network.constants, **inputs}
    # A map is dropped after its last reader.
    readers = Counter(name for layer in network.layers for name in layer.inputs)
    readers.update(names)
    for layer in network.layers:
        arguments = [values[name] if name else None for name in layer.inputs]
        results = OPERATIONS[layer.op](layer.attributes, *arguments)
        results = results if isinstance(results, tuple) else (results,)
        if layer.op == "MaxPool" and any(layer.outputs[1:]):
            results = (*results, max_pool_indices(layer.attributes, arguments[0]))
        for name, array in zip(layer.outputs, results, strict=False):
            if name:
                values[name] = np.asarray(array)
        for name in layer.inputs:
            readers[name] -= 1
            if not readers[name] and name not in network.constants:
                values.pop(name, None)
    return {name: values[name] for name in names}
