"""Batch normalization as part of the convolution before it."""

from dataclasses import replace

import numpy as np

__all__ = ["fold_batch_normalization"]


def fold_batch_normalization(network):
    """The network with each BatchNormalization that alone reads a Conv folded into that Conv's weights and bias.

    ``scale * (W x + b - mean) / sqrt(variance + epsilon) + bias`` is a convolution with the weights ``f W`` and the bias
    ``f (b - mean) + bias``, where ``f = scale / sqrt(variance + epsilon)`` per output channel (Jacob et al., CVPR 2018, section
    3.2); computed in float64 and rounded once. A BatchNormalization that follows anything else stays a layer.
    """
    constants, tensors = dict(network.constants), dict(network.tensors)
    kept = {tensor.name for tensor in network.outputs}
    layers = {layer.name: layer for layer in network.layers}
    for layer in network.layers:
        conv = network.producers.get(layer.inputs[0]) if layer.op == "BatchNormalization" else None
        if conv is None or conv.op != "Conv" or conv.outputs[0] in kept:
            continue
        if len(network.consumers[conv.outputs[0]]) > 1 or not constants.keys() >= {*layer.inputs[1:], *filter(None, conv.inputs[1:])}:
            continue
        # The Conv may have been changed before: not here, because it has one reader.
        weights = constants[conv.inputs[1]]
        bias = constants[conv.inputs[2]] if len(conv.inputs) > 2 and conv.inputs[2] else np.zeros(len(weights))
        scale, shift, mean, variance = (constants[name].astype(np.float64) for name in layer.inputs[1:])
        factor = scale / np.sqrt(variance + layer.attributes["epsilon"])
        names = (_free(constants, f"{conv.name}_folded_weights"), _free(constants, f"{conv.name}_folded_bias"))
        constants[names[0]] = (weights * factor.reshape(-1, *(1,) * (weights.ndim - 1))).astype(weights.dtype)
        constants[names[1]] = (factor * (bias - mean) + shift).astype(weights.dtype)
        layers[conv.name] = replace(conv, inputs=(conv.inputs[0], *names), outputs=layer.outputs)
        del layers[layer.name], tensors[conv.outputs[0]]
    used = kept.union(*(layer.inputs for layer in layers.values()))
    constants = {name: array for name, array in constants.items() if name in used}
    return replace(network, layers=tuple(layers.values()), constants=constants, tensors=tensors)


def _free(taken, name):
    while name in taken:
        name += "_"
    return name
