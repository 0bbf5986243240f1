"""ONNX's standard backend interface over the NumPy reference.

With it the ONNX project's own conformance cases run against `hwsim.models.reference`::

    onnx.backend.test.BackendTest(hwsim.onnx_backend, __name__)
"""

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnx.backend.base import Backend as _Backend
from onnx.backend.base import BackendRep, Device, DeviceType

from .models import reference
from .network import NetworkError, load
from .network.operators import OPERATORS

__all__ = ["Backend", "Prepared", "prepare", "run_model", "run_node", "supports_device"]


class Prepared(BackendRep):
    """A model that is ready to run.

    hwsim imports networks with static shapes. A model whose graph inputs decide about shapes (the
    new shape of a Reshape, the widths of a Pad) is imported again for each set of values that it is
    run with.
    """

    def __init__(self, model):
        self._model = model
        known = {tensor.name for tensor in model.graph.initializer}
        self._inputs = [value for value in model.graph.input if value.name not in known]
        names = {value.name for value in self._inputs}
        self._static = {
            name
            for node in model.graph.node
            if node.op_type in OPERATORS
            for place, name in enumerate(node.input)
            if name in names and place in OPERATORS[node.op_type].static
        }
        # What can be judged without values is judged now.
        self._network = None if self._static else load(model)

    def run(self, inputs, **kwargs):
        """Run with an array per input, in order or by name; returns a tuple of arrays."""
        if kwargs:
            raise TypeError(f"run takes no option {next(iter(kwargs))}")
        names = [value.name for value in self._inputs]
        if not hasattr(inputs, "items"):
            if len(inputs) != len(names):
                raise ValueError(f"inputs must hold {len(names)} arrays, not {len(inputs)}")
            inputs = dict(zip(names, inputs, strict=True))
        inputs = {name: np.asarray(value) for name, value in inputs.items()}
        network = self._network or load(self._bound(inputs))
        arrays = {name: array for name, array in inputs.items() if name not in self._static}
        return tuple(reference.run(network, arrays).values())

    def _bound(self, inputs):
        """The model with the values of shape-deciding inputs as constants."""
        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        for name in self._static:
            if name not in inputs:
                raise ValueError(f"input '{name}' is missing")
            model.graph.initializer.append(numpy_helper.from_array(inputs[name], name))
        return model


class Backend(_Backend):
    """ONNX backend whose device is the CPU, by NumPy."""

    @classmethod
    def is_compatible(cls, model, device="CPU", **kwargs):
        """Whether ``model`` can be prepared."""
        if not cls.supports_device(device):
            return False
        try:
            cls.prepare(model, device, **kwargs)
        except NetworkError:
            return False
        return True

    @classmethod
    def prepare(cls, model, device="CPU", **kwargs):
        """Import ``model`` (an `onnx.ModelProto`); `NetworkError` where it is not supported."""
        cls._check(device, kwargs)
        return Prepared(model)

    @classmethod
    def run_model(cls, model, inputs, device="CPU", **kwargs):
        """Import ``model`` and run it once."""
        return cls.prepare(model, device, **kwargs).run(inputs)

    @classmethod
    def run_node(cls, node, inputs, device="CPU", outputs_info=None, **kwargs):
        """Run an `onnx.NodeProto` of the newest operator set, or of ``opset_version``."""
        opset = kwargs.pop("opset_version", onnx.defs.onnx_opset_version())
        cls._check(device, kwargs)
        names = [name for name in node.input if name]
        if not hasattr(inputs, "items"):
            inputs = dict(zip(dict.fromkeys(names), inputs, strict=True))
        arrays = {name: np.asarray(value) for name, value in inputs.items()}
        values = [_info(name, array.dtype, array.shape) for name, array in arrays.items()]
        outputs = [helper.make_empty_tensor_value_info(name) for name in node.output if name]
        graph = helper.make_graph([node], node.op_type, values, outputs)
        opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
        return cls.run_model(helper.make_model(graph, opset_imports=opsets), arrays)

    @classmethod
    def supports_device(cls, device):
        """Only "CPU" is supported."""
        return Device(device).type == DeviceType.CPU

    @classmethod
    def _check(cls, device, options):
        if not cls.supports_device(device):
            raise ValueError(f"device must be CPU, not {device}")
        if options:
            raise TypeError(f"the backend takes no option {next(iter(options))}")


def _info(name, dtype, shape):
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(dtype), shape)


is_compatible = Backend.is_compatible
prepare = Backend.prepare
run_model = Backend.run_model
run_node = Backend.run_node
supports_device = Backend.supports_device
