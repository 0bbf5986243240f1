"""Whether a network treats images independently, so that any number of them can run at once."""

__all__ = ["images_are_independent"]

_FIRST_INPUT = {
    "AveragePool",
    "BatchNormalization",
    "Clip",
    "Conv",
    "ConvInteger",
    "Dropout",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "Identity",
    "LRN",
    "MaxPool",
    "QLinearAveragePool",
    "QLinearConv",
    "QLinearGlobalAveragePool",
    "QLinearSigmoid",
    "Relu",
    "Sigmoid",
    "SumPool",
    "Tanh",
}
_BROADCAST = {"Add": (0, 1), "Mul": (0, 1), "QLinearAdd": (0, 3), "QLinearMul": (0, 3)}
_MATRICES = {"MatMul": (0, 1), "MatMulInteger": (0, 1), "QLinearMatMul": (0, 3)}


def images_are_independent(network):
    """Whether axis 0 of every input, output and intermediate map counts images that never mix.

    Where it holds, a network that was imported for a batch of B images computes any other number as
    well.
    """
    if not network.inputs or any(not tensor.shape for tensor in network.inputs):
        return False
    batch = network.inputs[0].shape[0]
    if any(tensor.shape[0] != batch for tensor in network.inputs):
        return False
    batched = {tensor.name for tensor in network.inputs}
    for layer in network.layers:
        if batched.isdisjoint(layer.inputs):
            continue
        if not _keeps_images_apart(layer, network, batched, batch):
            return False
        batched.update(layer.outputs[:1])
    return all(tensor.name in batched for tensor in network.outputs)


def _keeps_images_apart(layer, network, batched, batch):
    op, attributes = layer.op, layer.attributes
    shape = network.shape(layer.outputs[0])
    if not shape or shape[0] != batch or any(layer.outputs[1:]):
        return False
    if op in _BROADCAST or op == "Sum":
        places = _BROADCAST.get(op, range(len(layer.inputs)))
        return all(_apart(layer.inputs[place], network, batched, len(shape)) for place in places)
    if op in ("Concat", "QLinearConcat"):
        first, step = (2, 3) if op == "QLinearConcat" else (0, 1)
        return attributes["axis"] > 0 and batched.issuperset(layer.inputs[first::step])
    if op in _MATRICES:
        left, right = (layer.inputs[place] for place in _MATRICES[op])
        if left not in batched or len(shape) < 2:
            return False
        return (
            right not in batched if len(shape) == 2 else _apart(right, network, batched, len(shape))
        )
    if layer.inputs[0] not in batched or not batched.isdisjoint(layer.inputs[1:]):
        return False
    given = network.shape(layer.inputs[0])
    if op in ("Gemm", "QGemm"):
        bias = layer.inputs[2 if op == "Gemm" else 6 :][:1]
        return not attributes["trans_a"] and (
            bias in ((), ("",)) or _apart(bias[0], network, batched, 2)
        )
    if op in ("Softmax", "QLinearSoftmax", "Flatten"):
        return attributes["axis"] == 1 if op == "Flatten" else attributes["axis"] > 0
    if op in ("Squeeze", "Unsqueeze"):
        return 0 not in attributes["axes"]
    if op in ("QuantizeLinear", "DequantizeLinear"):
        return attributes["axis"] != 0 and not attributes["block_size"]
    if op == "Transpose":
        return attributes["perm"][0] == 0
    if op == "Pad":
        return attributes["pads"][0] == attributes["pads"][len(given)] == 0
    return given[:1] == (batch,) if op == "Reshape" else op in _FIRST_INPUT


def _apart(name, network, batched, rank):
    """An operand that broadcasts: images on axis 0 of the full rank, or the same for all images."""
    shape = network.shape(name)
    if name in batched:
        return len(shape) == rank
    return len(shape) < rank or shape[0] == 1
