"""Passes over integer layers that `hwsim.network.lower` has made."""

from dataclasses import replace

import numpy as np

from .integer import Conv, Pad, Table

__all__ = ["fold_clamps", "fold_pads", "without_unused"]


def without_unused(layers, outputs):
    """The layers on which the tensors ``outputs`` depend."""
    needed, kept = set(outputs), []
    for layer in reversed(layers):
        if layer.output in needed:
            needed.update(layer.inputs)
            kept.append(layer)
    return kept[::-1]


def _readers(layers, outputs):
    """Mapping of tensor name to the list of layers that read it; outputs have an entry None besides."""
    found = {name: [None] for name in outputs}
    for layer in layers:
        for name in dict.fromkeys(layer.inputs):
            found.setdefault(name, []).append(layer)
    return found


def fold_clamps(layers, tensors, outputs):
    """Make tables that only bound codes (a Relu between equal scales) bounds of the layer before them."""
    layers = list(layers)
    for table in [layer for layer in layers if isinstance(layer, Table)]:
        source, output = tensors[table.inputs[0]], tensors[table.output]
        if replace(source, name=output.name) != output:
            continue
        low, high = int(table.table.min()), int(table.table.max())
        if not np.array_equal(
            table.table, np.clip(np.arange(source.minimum, source.maximum + 1), low, high)
        ):
            continue
        index = next((i for i, layer in enumerate(layers) if layer.output == source.name), None)
        before = layers[index] if index is not None else None
        requantize = getattr(before, "requantize", None)
        if requantize is None or _readers(layers, outputs)[source.name] != [table]:
            continue
        bounds = {
            "minimum": min(max(requantize.minimum, low), high),
            "maximum": max(min(requantize.maximum, high), low),
        }
        layers[index] = replace(
            before, output=output.name, requantize=replace(requantize, **bounds)
        )
        layers.remove(table)
    return layers


def fold_pads(layers, tensors, outputs):
    """Make padding with the zero point part of the convolutions that follow it."""
    layers = list(layers)
    for pad in [layer for layer in layers if isinstance(layer, Pad)]:
        source, readers = tensors[pad.inputs[0]], _readers(layers, outputs)[pad.output]
        if (
            pad.mode != "constant"
            or pad.value != source.zero_point
            or not all(isinstance(r, Conv) for r in readers)
        ):
            continue
        for reader in readers:
            pads = tuple(a + b for a, b in zip(reader.pads, pad.pads, strict=True))
            layers[layers.index(reader)] = replace(reader, inputs=pad.inputs, pads=pads)
        layers.remove(pad)
    return layers
