"""Parameters and multiply-accumulates (MACs) per layer.

Parameters are the weights and biases of convolutions and dense layers, and the scale and bias of
batch normalizations (mean and variance are statistics). A constant that several layers share counts
once, in the first of them. MACs are the multiplications of convolutions and dense layers, for all
images of the batch that the shapes show; a bias adds none.
"""

from .operators import OPERATORS

__all__ = ["counts", "table"]


def counts(network):
    """For each layer: (parameters, MACs)."""
    seen = set()
    found = []
    for layer in network.layers:
        operator = OPERATORS[layer.op]
        names = [layer.inputs[place] for place in operator.parameters if place < len(layer.inputs)]
        if layer.op == "Add" and any(_made_by_product(network, name) for name in layer.inputs):
            names = layer.inputs
        params = 0
        for name in map(lambda name: _origin(network, name), names):
            if name in network.constants and name not in seen:
                seen.add(name)
                params += network.constants[name].size
        macs = 0
        if operator.macs:
            shapes = [network.shape(name) if name else None for name in layer.inputs]
            macs = operator.macs(layer.attributes, shapes, network.shape(layer.outputs[0]))
        found.append((params, macs))
    return found


def table(network):
    """Layers as a DataFrame: name, op, output_shape (tuple), params, macs."""
    import pandas

    rows = [
        (layer.name, layer.op, network.shape(layer.outputs[0]), params, macs)
        for layer, (params, macs) in zip(network.layers, counts(network), strict=True)
    ]
    return pandas.DataFrame(rows, columns=["name", "op", "output_shape", "params", "macs"])


def _origin(network, name):
    """The tensor that ``name`` holds before any change of number format."""
    while name in network.producers and network.producers[name].op in (
        "QuantizeLinear",
        "DequantizeLinear",
    ):
        name = network.producers[name].inputs[0]
    return name


def _made_by_product(network, name):
    """Whether adding to ``name`` adds a bias to a convolution or matrix product."""
    layer = network.producers.get(_origin(network, name))
    return layer is not None and layer.op in ("Conv", "MatMul")
