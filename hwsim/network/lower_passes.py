"""Passes over the integer layers that `hwsim.network.lower` has made."""

from dataclasses import replace

import numpy as np

from .integer import Conv, Pad, Table

__all__ = ["fold_clamps", "fold_pads", "without_unused"]


def without_unused(layers, outputs):
    """Return the layers on which the tensors ``outputs`` depend."""
    needed, kept = set(outputs), []
    for layer in reversed(layers):
        if layer.output in needed:
            needed.update(layer.inputs)
            kept.append(layer)
    return kept[::-1]


def fold_clamps(layers, tensors, outputs):
    """Fold tables that only bound codes (a Relu between equal scales) into the layer before."""
    layers = list(layers)
    for table in [layer for layer in layers if isinstance(layer, Table)]:
        source, output = tensors[table.inputs[0]], tensors[table.output]
        before = [layer for layer in layers if layer.output == source.name]
        requantize = getattr(before[0], "requantize", None) if before else None
        if requantize is None or _readers(layers, outputs, source.name) != [table]:
            continue
        low, high = int(table.table.min()), int(table.table.max())
        codes = np.arange(source.minimum, source.maximum + 1)
        clamps = np.array_equal(table.table, np.clip(codes, low, high))
        if not clamps or replace(source, name=output.name) != output:
            continue
        bounds = {
            "minimum": min(max(requantize.minimum, low), high),
            "maximum": max(min(requantize.maximum, high), low),
        }
        changes = {"output": output.name, "requantize": replace(requantize, **bounds)}
        layers[layers.index(before[0])] = replace(before[0], **changes)
        layers.remove(table)
    return layers


def fold_pads(layers, tensors, outputs):
    """Fold padding with the zero point into the convolutions that follow it."""
    layers = list(layers)
    for pad in [layer for layer in layers if isinstance(layer, Pad)]:
        zero = pad.mode == "constant" and pad.value == tensors[pad.inputs[0]].zero_point
        readers = _readers(layers, outputs, pad.output)
        if not zero or not all(isinstance(reader, Conv) for reader in readers):
            continue
        for reader in readers:
            pads = tuple(a + b for a, b in zip(reader.pads, pad.pads, strict=True))
            layers[layers.index(reader)] = replace(reader, inputs=pad.inputs, pads=pads)
        layers.remove(pad)
    return layers


def _readers(layers, outputs, name):
    """Return the layers that read a tensor, and None among them if it is an output."""
    return [layer for layer in layers if name in layer.inputs] + [None] * (name in outputs)
