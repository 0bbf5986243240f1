"""Export to ONNX."""

from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from hwsim.files import write_file

from .functions import DOMAIN, function
from .operators import DTYPES, MICROSOFT, OPERATORS

__all__ = ["save", "to_onnx"]

# From operator set 13 on the forms that this module writes are valid; files that used a newer one
# keep it.
OLDEST_OPSET = 13
# Narrow integers came with these operator sets.
_DTYPE_OPSETS = {"int16": 21, "uint16": 21, "int4": 21, "uint4": 21, "int2": 25, "uint2": 25}


def save(network, path):
    """Write a network as an ONNX file, under a temporary name until it is complete.

    Raises
    ------
    OSError
        The folder does not exist or cannot be written.
    """
    write_file(Path(path), to_onnx(network).SerializeToString())


def to_onnx(network):
    """The network as an `onnx.ModelProto`."""
    writer = _Writer(network)
    for layer in network.layers:
        writer.layer(layer)
    return writer.model()


class _Writer:
    def __init__(self, network):
        self.network = network
        self.nodes = []
        self.initializers = {}
        self.taken = {*network.tensors, *network.constants}

    def model(self):
        network = self.network
        outputs = []
        for tensor in network.outputs:
            if tensor.name in network.constants:
                self.nodes.append(
                    helper.make_node("Identity", [self._constant(tensor.name)], [tensor.name])
                )
            outputs.append(_info(tensor))
        inputs = [_info(tensor) for tensor in network.inputs]
        graph = helper.make_graph(
            self.nodes, network.name, inputs, outputs, list(self.initializers.values())
        )
        domains = {node.domain for node in self.nodes}
        opset = max(
            network.opset, OLDEST_OPSET, *(self._opset(layer) for layer in network.layers), 0
        )
        opsets = [helper.make_opsetid("", opset)]
        if MICROSOFT in domains:
            opsets.append(helper.make_opsetid(MICROSOFT, 1))
        if DOMAIN in domains:
            opsets.append(helper.make_opsetid(DOMAIN, 1))
        version = helper.find_min_ir_version_for(opsets, ignore_unknown=True)
        model = helper.make_model(
            graph,
            opset_imports=opsets,
            ir_version=max(version, 8 if DOMAIN in domains else 7),
            producer_name="hwsim",
            functions=[
                function(op, opset)
                for op in sorted({node.op_type for node in self.nodes if node.domain == DOMAIN})
            ],
        )
        onnx.checker.check_model(model)
        return model

    def _opset(self, layer):
        if layer.op == "QuantizeLinear" or layer.op == "DequantizeLinear":
            codes = self._dtype(
                layer.outputs[0] if layer.op == "QuantizeLinear" else layer.inputs[0]
            )
            return 21 if layer.attributes["block_size"] else _DTYPE_OPSETS.get(codes.name, 0)
        if layer.op == "AveragePool" and any(
            dilation != 1 for dilation in layer.attributes["dilations"]
        ):
            return 19
        return 18 if layer.op == "SumPool" else 0

    def _dtype(self, name):
        constants = self.network.constants
        return constants[name].dtype if name in constants else self.network.tensors[name].dtype

    def _constant(self, name):
        """Name of the initializer of constant ``name``, which differs where that is an output."""
        written = (
            f"{name}_value" if any(tensor.name == name for tensor in self.network.outputs) else name
        )
        if written not in self.initializers:
            self.initializers[written] = _tensor(self.network.constants[name], written)
        return written

    def _new(self, array, layer, what):
        """Name of a new initializer that belongs to ``layer``."""
        name = self._free(f"{layer.name}_{what}")
        self.initializers[name] = _tensor(array, name)
        return name

    def _free(self, name):
        while name in self.taken:
            name += "_"
        self.taken.add(name)
        return name

    def layer(self, layer):
        inputs = [
            self._constant(name) if name in self.network.constants else name
            for name in layer.inputs
        ]
        attributes = dict(layer.attributes)
        more = _INPUTS.get(layer.op)
        if more:
            dtype = self._dtype(layer.inputs[0])
            for what, array in more(attributes, dtype):
                inputs.append("" if array is None else self._new(array, layer, what))
            attributes = {"mode": attributes["mode"]} if layer.op == "Pad" else {}
        while inputs and not inputs[-1]:
            inputs.pop()
        if layer.op == "Softmax" and attributes.pop("flatten"):
            self._flat_softmax(layer, inputs, attributes["axis"])
            return
        op = "LRNWithin" if attributes.pop("within", False) else layer.op
        domain = OPERATORS[op].domain
        written = _attributes(layer, attributes)
        if op == "LRNWithin":
            size, rank = written.pop("size"), len(self.network.shape(layer.inputs[0])) - 2
            written["kernel_shape"] = [size] * rank
            written["pads"] = [(size - 1) // 2] * rank + [size // 2] * rank
        node = helper.make_node(
            op, inputs, layer.outputs, name=layer.name, domain=domain, **written
        )
        self.nodes.append(node)

    def _flat_softmax(self, layer, inputs, axis):
        """The meaning of Softmax before operator set 13, in today's operators."""
        rows, result = (
            self._free(f"{layer.outputs[0]}_rows"),
            self._free(f"{layer.outputs[0]}_softmax"),
        )
        shape = self._new(np.array(self.network.shape(layer.inputs[0]), np.int64), layer, "shape")
        self.nodes += [
            helper.make_node("Flatten", inputs, [rows], name=f"{layer.name}_flatten", axis=axis),
            helper.make_node("Softmax", [rows], [result], name=layer.name, axis=1),
            helper.make_node(
                "Reshape", [result, shape], layer.outputs, name=f"{layer.name}_reshape"
            ),
        ]


def _integers(values):
    return np.array(values, np.int64)


# Inputs that the import has moved into attributes: layer attributes and input dtype to (name,
# array) per input.
_INPUTS = {
    "Clip": lambda a, dtype: [
        (what, None if a[what] is None else np.array(a[what], dtype))
        for what in ("minimum", "maximum")
    ],
    "Pad": lambda a, dtype: [
        ("pads", _integers(a["pads"])),
        ("value", np.array(a["value"], dtype)),
    ],
    "Reshape": lambda a, dtype: [("shape", _integers(a["shape"]))],
    "Squeeze": lambda a, dtype: [("axes", _integers(a["axes"]))],
    "Unsqueeze": lambda a, dtype: [("axes", _integers(a["axes"]))],
}
_NAMES = {"kernel": "kernel_shape", "trans_a": "transA", "trans_b": "transB"}


def _attributes(layer, attributes):
    """Attributes as ONNX spells them; what says no more than the default is left out."""
    written = {}
    for name, value in attributes.items():
        if name == "dtype" or value is None or (name == "block_size" and not value):
            continue
        if (
            name == "dilations"
            and layer.op in ("AveragePool", "QLinearAveragePool")
            and set(value) == {1}
        ):
            continue
        written[_NAMES.get(name, name)] = int(value) if isinstance(value, bool) else value
    if layer.op == "QLinearSoftmax":
        written["opset"] = OLDEST_OPSET - 1 if written.pop("flatten") else OLDEST_OPSET
    if layer.op == "QuantizeLinear" and len(layer.inputs) < 3 and attributes["dtype"] != np.uint8:
        written["output_dtype"] = _element_type(attributes["dtype"])
    return written


def _element_type(dtype):
    return next(element for element, held in DTYPES.items() if held == dtype)


def _info(tensor):
    return helper.make_tensor_value_info(tensor.name, _element_type(tensor.dtype), tensor.shape)


def _tensor(array, name):
    return numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name)
