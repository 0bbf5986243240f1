"""ONNX Runtime as the second opinion: whole networks, and every quantized layer on its own.

Graph optimisations are off, so that quantized layers run as the standard defines them, in floating
point between DequantizeLinear and QuantizeLinear. The fused integer kernels would saturate in
16 bits on processors without VNNI (ONNX Runtime, "Quantize ONNX models", U8S8 on AVX2).
"""

from collections.abc import Mapping

import numpy as np
import onnx
import onnxruntime
import pandas as pd

from hwsim.network import Network
from hwsim.network.save import to_onnx

__all__ = ["accuracy", "compare", "run"]


def run(network: Network, images: np.ndarray) -> np.ndarray:
    """Run a network with one input and one output.

    Parameters
    ----------
    network : Network
        Float, or quantized in any form. Its batch size divides the number of images.
    images : ndarray, (N, ...)

    Returns
    -------
    ndarray, (N, ...)
    """
    (tensor,) = network.inputs
    session = _session(to_onnx(network))
    size = tensor.shape[0]
    batches = [images[start : start + size] for start in range(0, len(images), size)]
    return np.concatenate([session.run(None, {tensor.name: batch})[0] for batch in batches])


def accuracy(network: Network, images: np.ndarray, labels: np.ndarray) -> float:
    """Share of the images (N, ...) whose largest output is that of their label (N,), 0 to 1."""
    scores = run(network, images).reshape(len(images), -1)
    return float((scores.argmax(axis=1) == labels).mean())


def compare(network: Network, codes: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Compare codes of feature maps with those that ONNX Runtime computes, layer by layer.

    Each layer gets the given codes of its inputs, so that a difference is that layer's own.

    Parameters
    ----------
    network : Network
        Quantized, with batch size 1.
    codes : mapping of tensor name to ndarray of int, (N, C, H, W)
        Of the network's input and of each layer's output, by their names in ``network``. Names that
        the network does not have (changes of scale that lowering added) are passed over.

    Returns
    -------
    DataFrame
        For each feature map but the input: name, values, differing (how many values differ),
        largest (the largest difference in steps of the code).
    """
    given = {
        name: np.asarray(maps, network.tensors[name].dtype).reshape(-1, *network.shape(name)[1:])
        for name, maps in codes.items()
        if name in network.tensors
    }
    model, outputs = _cut(to_onnx(network), given)
    session = _session(model)
    found: dict[str, list[np.ndarray]] = {name: [] for name in outputs}
    for index in range(len(next(iter(given.values())))):
        feeds = {_given(name): maps[index : index + 1] for name, maps in given.items()}
        used = {value.name for value in model.graph.input}
        results = session.run(outputs, {name: feeds[name] for name in used})
        for name, result in zip(outputs, results, strict=True):
            found[name].append(result)
    rows = []
    for name, results in found.items():
        steps = np.abs(np.concatenate(results).astype(np.int64) - given[name])
        rows.append((name, steps.size, int(np.count_nonzero(steps)), int(steps.max())))
    return pd.DataFrame(rows, columns=["name", "values", "differing", "largest"])


def _given(name: str) -> str:
    return f"{name}/given"


def _cut(
    model: onnx.ModelProto, given: Mapping[str, np.ndarray]
) -> tuple[onnx.ModelProto, list[str]]:
    """Make every given tensor an input for its readers, and what its producer makes an output."""
    graph = model.graph
    for node in graph.node:
        for place, name in enumerate(node.input):
            if name in given:
                node.input[place] = _given(name)
    # What leads to the model's own input is quantization, not a layer.
    ancestors: dict[str, set[str]] = {}
    makers = {name: node for node in graph.node for name in node.output}
    for node in graph.node:
        leads = set(node.input).union(*(ancestors.get(name, ()) for name in node.input))
        ancestors.update(dict.fromkeys(node.output, leads))
    inputs = {value.name for value in graph.input}
    outputs = [name for name in given if name in makers and not ancestors[name] & inputs]
    needed = set(outputs).union(*(ancestors[name] for name in outputs))
    nodes = [node for node in graph.node if needed & set(node.output)]
    types = {name: onnx.helper.np_dtype_to_tensor_dtype(maps.dtype) for name, maps in given.items()}

    def info(name: str, label: str) -> onnx.ValueInfoProto:
        shape = (1, *given[name].shape[1:])
        return onnx.helper.make_tensor_value_info(label, types[name], shape)

    cut = onnx.helper.make_graph(
        nodes,
        graph.name,
        [info(name, _given(name)) for name in given if _given(name) in needed],
        [info(name, name) for name in outputs],
        [tensor for tensor in graph.initializer if tensor.name in needed],
    )
    made = onnx.helper.make_model(
        cut,
        opset_imports=model.opset_import,
        ir_version=model.ir_version,
        functions=model.functions,
    )
    return made, outputs


def _session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    data = model.SerializeToString()
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
