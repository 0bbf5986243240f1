"""Import of ONNX models.

Nothing in a file is executed, and no file outside the model's folder is read.
"""

import math
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
import onnx.inliner
from google.protobuf.message import DecodeError
from onnx import helper, numpy_helper

from .functions import is_known
from .geometry import left_out
from .network import Layer, Network, NetworkError, Tensor
from .operators import OPERATORS, Node, Value, dtype_of

__all__ = ["load"]

# What Protocol Buffers allow.
LARGEST_FILE = (1 << 31) - 1
# Elements of a tensor: far more than a feature map has, and within 64 bits in whatever unit.
LARGEST_TENSOR = 1 << 32
# Bytes of a constant that is computed at import, as of one that a file holds.
LARGEST_CONSTANT = 1 << 31


def load(model, input_shapes=None, *, strict=False):
    """Import an ONNX model.

    Parameters
    ----------
    model : path or onnx.ModelProto
        Operator set 11 to the newest that the installed `onnx` package writes; older sets where the
        operators in use already had the definition that `hwsim.network.operators` covers.
    input_shapes : mapping of input name to shape, or one shape where the model has one input;
    optional
        Needed for inputs with dynamic axes. An unknown batch axis (the first of at least two) is 1
        unless given.
    strict : bool
        Refuse convolutions and pools whose last window leaves rows or columns of the padded input
        out, which `Network.left_out` reports otherwise.

    Returns
    -------
    Network

    Raises
    ------
    NetworkError
        The file is missing, damaged or not ONNX, or the model uses what is not supported: one
        sentence with what was found and what is accepted.
    """
    if isinstance(model, onnx.ModelProto):
        # A copy, because external data is moved into the model below.
        proto = onnx.ModelProto()
        proto.CopyFrom(model)
        folder, label = None, model.graph.name or "the model"
    elif isinstance(model, str | os.PathLike):
        path = Path(model)
        proto, folder, label = _read(path), path.parent, str(path)
    else:
        raise TypeError(f"model must be a path or an onnx.ModelProto, not {type(model).__name__}")
    _check_names(proto, label)
    _read_external_data(proto, folder, label)
    if proto.functions:
        proto = _inlined(proto, label)
    _check(proto, label)
    name = proto.graph.name or (path.stem if folder else "network")
    network = _Importer(proto, input_shapes).network(name)
    if strict and (notes := left_out(network)):
        raise NetworkError(f"in strict mode strides must fit, but {notes[0]}")
    return network


def _read(path):
    """The model in a file, without its external data."""
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        raise NetworkError(f"{path} does not exist; give an ONNX file") from None
    except IsADirectoryError:
        raise NetworkError(f"{path} is a folder; give an ONNX file") from None
    except OSError as error:
        raise NetworkError(f"{path} cannot be read: {error.strerror}") from None
    if len(data) > LARGEST_FILE:
        raise NetworkError(f"{path} is larger than 2 GiB, which no ONNX file is")
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(data)
    except DecodeError:
        raise NetworkError(f"{path} is not an ONNX file, or is damaged") from None
    if not proto.ir_version or not proto.HasField("graph"):
        raise NetworkError(f"{path} is not an ONNX file, or is damaged")
    return proto


def _tensors(graph):
    """All tensors that a graph holds."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors


def _read_external_data(proto, folder, label):
    """Move tensors that are stored in other files of the model's folder into the model."""
    for tensor in _tensors(proto.graph):
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        entries = {entry.key: entry.value for entry in tensor.external_data}
        location = entries.get("location", "")
        owner = f"{label}: tensor '{tensor.name}'"
        if folder is None:
            raise NetworkError(
                f"{owner} is stored in '{location}'; load the model from its file, or with its "
                "data inside"
            )
        try:
            root = folder.resolve()
            path = (root / location).resolve()
        except (OSError, RuntimeError):
            # A link that leads to itself.
            raise NetworkError(f"{owner}: '{location}' cannot be read") from None
        if not location or not path.is_relative_to(root) or path == root:
            raise NetworkError(
                f"{owner} is stored in '{location}', outside the model's folder; accepted are "
                "files within it"
            )
        try:
            offset, length = int(entries.get("offset", 0)), int(entries.get("length", -1))
            with path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                if offset < 0 or offset > size or length > size - offset:
                    raise NetworkError(f"{owner}: '{location}' is too short, or damaged")
                file.seek(offset)
                tensor.raw_data = file.read(length)
        except OSError as error:
            raise NetworkError(f"{owner}: '{location}' cannot be read: {error.strerror}") from None
        except ValueError as error:
            if isinstance(error, NetworkError):
                raise
            raise NetworkError(f"{owner}: offset and length must be integers") from None
        tensor.data_location = onnx.TensorProto.DEFAULT
        del tensor.external_data[:]


def _inlined(proto, label):
    """The model with its functions written out, except those that are operators here."""
    others = [function for function in proto.functions if not is_known(function)]
    del proto.functions[:]
    proto.functions.extend(others)
    try:
        proto = onnx.inliner.inline_local_functions(proto)
    except (RuntimeError, ValueError):
        raise NetworkError(f"{label} has functions that do not fit their calls") from None
    if proto.functions:
        raise NetworkError(f"{label} has functions of another operator set than its own")
    _check_names(proto, label)
    return proto


def _check_names(proto, label):
    """Names appear in messages, reports and Verilog: they must be printable."""
    graph = proto.graph
    names = [graph.name, *(imported.domain for imported in proto.opset_import)]
    names += [value.name for value in (*graph.input, *graph.output, *graph.initializer)]
    names += [dim.dim_param for value in graph.input for dim in value.type.tensor_type.shape.dim]
    for node in graph.node:
        names += [node.name, node.op_type, node.domain, *node.input, *node.output]
        names += [attribute.name for attribute in node.attribute]
    for tensor in _tensors(graph):
        names += [text for entry in tensor.external_data for text in (entry.key, entry.value)]
    for name in names:
        # Text that is not valid UTF-8 comes as bytes.
        if not isinstance(name, str) or not name.isprintable():
            raise NetworkError(
                f"{label} holds the name {name!r}; accepted are printable characters"
            )


def _check(proto, label):
    """The model is one that this version of the package can judge."""
    newest = onnx.defs.onnx_opset_version()
    if not any(imported.domain in ("", "ai.onnx") for imported in proto.opset_import):
        raise NetworkError(f"{label} names no operator set; accepted are 11 to {newest}")
    for imported in proto.opset_import:
        if imported.domain in ("", "ai.onnx") and not 1 <= imported.version <= newest:
            raise NetworkError(
                f"{label} has operator set {imported.version}; accepted are 11 to {newest}"
            )
    for node in proto.graph.node:
        domain = "" if node.domain == "ai.onnx" else node.domain
        if node.op_type not in OPERATORS or OPERATORS[node.op_type].domain != domain:
            op = f"{domain}.{node.op_type}" if domain else node.op_type
            raise NetworkError(
                f"operator {op} (node '{node.name or node.op_type}') is not supported; supported "
                f"are {', '.join(OPERATORS)}"
            )
    if proto.graph.sparse_initializer:
        raise NetworkError(
            f"{label} has sparse initializers, which are not supported; accepted are dense ones"
        )


class _Importer:
    """One pass over the nodes, which ONNX wants in topological order."""

    def __init__(self, proto, input_shapes):
        self.graph = proto.graph
        versions = {imported.domain: imported.version for imported in proto.opset_import}
        self.opset = versions.get("", versions.get("ai.onnx", 0))
        self.context = onnx.checker.DEFAULT_CONTEXT.__class__()
        self.context.ir_version = proto.ir_version
        self.context.opset_imports = {"com.microsoft": 1, **versions, "": self.opset}
        self.constants = {tensor.name: _array(tensor) for tensor in self.graph.initializer}
        self.values = {
            name: Value(array.shape, array.dtype, array) for name, array in self.constants.items()
        }
        self.names: set[str] = set()
        self.counts: dict[str, int] = {}
        inputs = [value for value in self.graph.input if value.name not in self.constants]
        self.inputs = self._inputs(inputs, input_shapes)

    def network(self, name):
        layers = [layer for node in self.graph.node if (layer := self._layer(node))]
        tensors = {tensor.name: tensor for tensor in self.inputs}
        for layer in layers:
            for output in filter(None, layer.outputs):
                value = self.values[output]
                tensors[output] = Tensor(output, value.shape, value.dtype)
        outputs = []
        for output in self.graph.output:
            if output.name not in self.values:
                raise NetworkError(f"output '{output.name}' is made by no node")
            value = self.values[output.name]
            outputs.append(Tensor(output.name, value.shape, value.dtype))
        used = {name for layer in layers for name in layer.inputs} | {
            tensor.name for tensor in outputs
        }
        constants = {name: array for name, array in self.constants.items() if name in used}
        return Network(
            name, tuple(self.inputs), tuple(outputs), tuple(layers), constants, tensors, self.opset
        )

    def _inputs(self, inputs, given):
        names = [value.name for value in inputs]
        if given is None:
            given = {}
        elif not hasattr(given, "items"):
            if len(names) != 1:
                raise NetworkError(
                    f"input_shapes must name the inputs {', '.join(names)}, because there is more "
                    "than one"
                )
            given = {names[0]: given}
        for name in given:
            if name not in names:
                raise NetworkError(
                    f"input_shapes names '{name}', which is not an input; inputs are "
                    f"{', '.join(names)}"
                )
        tensors = []
        for value in inputs:
            owner = f"input '{value.name}'"
            if value.type.WhichOneof("value") != "tensor_type":
                raise NetworkError(f"{owner} is not a tensor; accepted are tensors")
            dtype = dtype_of(value.type.tensor_type.elem_type, owner)
            shape = _input_shape(value, given.get(value.name))
            if value.name in self.values:
                raise NetworkError(f"{owner} is declared twice")
            _check_size(shape, LARGEST_TENSOR, owner)
            self.values[value.name] = Value(shape, dtype)
            tensors.append(Tensor(value.name, shape, dtype))
        return tensors

    def _layer(self, proto):
        """Infer one node: a `Layer`, or None where its outputs are known now."""
        operator = OPERATORS[proto.op_type]
        name = self._unique(proto)
        version = 1
        self._check_node(proto, name)
        if not operator.domain:
            schema = onnx.defs.get_schema(proto.op_type, self.opset, "")
            version = schema.since_version
            if version < operator.since:
                raise NetworkError(
                    f"{proto.op_type} '{name}' has version {version} of the operator (operator "
                    f"set {self.opset}); "
                    f"accepted is version {operator.since} and newer"
                )
        attributes = {a.name: _attribute(a, f"{proto.op_type} '{name}'") for a in proto.attribute}
        inputs = [self._value(entry, proto.op_type, name) for entry in proto.input]
        node = Node(proto.op_type, name, version, inputs, attributes)
        if inputs and inputs[0] is not None:
            node.only_dtypes(0, operator.dtypes)
        if not operator.domain:
            _check_dtypes(schema, inputs, f"{proto.op_type} '{name}'")
        result = operator.rule(node)
        node.finish()
        owner = f"{proto.op_type} '{name}': the output"
        for shape in result.shapes:
            _check_size(shape, LARGEST_TENSOR, owner)
        if operator.evaluate and (
            proto.op_type == "Shape" or all(v is None or v.array is not None for v in inputs)
        ):
            # A constant of one value is a view that takes no memory.
            if proto.op_type != "ConstantOfShape":
                size = (result.dtype or inputs[0].dtype).itemsize if inputs else 1
                _check_size(result.shapes[0], LARGEST_CONSTANT // size, owner)
            arrays = [value.array for value in inputs[: result.inputs] if value is not None]
            try:
                array = np.asarray(operator.evaluate(result.attributes, *arrays))
            except (IndexError, ValueError) as error:
                raise NetworkError(f"{proto.op_type} '{name}': {error}") from None
            self.constants[proto.output[0]] = array
            self.values[proto.output[0]] = Value(array.shape, array.dtype, array)
            return None
        if operator.only_constant:
            node.refuse("an input that is computed at run time", "constants")
        dtypes = result.dtypes or (result.dtype or inputs[0].dtype,)
        for output, shape, dtype in zip(proto.output, result.shapes, dtypes, strict=False):
            self.values[output] = Value(tuple(int(size) for size in shape), np.dtype(dtype))
        for output in filter(None, proto.output[len(result.shapes) :]):
            node.refuse(f"output '{output}'", f"the first {len(result.shapes)} output(s)")
        kept = tuple(proto.input)[: result.inputs]
        op = operator.layer or proto.op_type
        return Layer(name, op, kept, tuple(proto.output), result.attributes)

    def _check_node(self, proto, name):
        """The node's attributes and numbers of inputs and outputs fit the operator's definition."""
        try:
            onnx.checker.check_node(proto, self.context)
        except onnx.checker.ValidationError as error:
            reason = " ".join(str(error).split("==>")[0].split()).rstrip(".")
            raise NetworkError(f"{proto.op_type} '{name}': {reason}") from None
        for output in filter(None, proto.output):
            if output in self.values:
                raise NetworkError(
                    f"{proto.op_type} '{name}': output '{output}' has been made before"
                )

    def _value(self, name, op, node):
        if not name:
            return None
        if name not in self.values:
            raise NetworkError(f"{op} '{node}': input '{name}' is made by no node before it")
        return self.values[name]

    def _unique(self, proto):
        """The node's name, made unique; without one, its operator and a number."""
        name = proto.name
        while not name or name in self.names:
            base = proto.name or proto.op_type
            self.counts[base] = self.counts.get(base, 0) + 1
            name = f"{base}_{self.counts[base]}"
        self.names.add(name)
        return name


def _check_size(shape, largest, owner):
    """A tensor of this shape has at most ``largest`` elements."""
    if math.prod(shape) > largest:
        raise NetworkError(
            f"{owner} has the shape {tuple(shape)}; accepted are at most {largest:,} elements"
        )


def _input_shape(value, given):
    """Static shape of a model input."""
    declared = value.type.tensor_type
    sizes = [
        dim.dim_value if dim.HasField("dim_value") and dim.dim_value >= 0 else None
        for dim in declared.shape.dim
    ]
    if given is not None:
        given = tuple(given) if isinstance(given, Iterable) else (given,)
        if any(
            isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 0
            for size in given
        ):
            raise NetworkError(
                f"input_shapes of '{value.name}' must be integers that are not negative, not "
                f"{given}"
            )
        fits = len(given) == len(sizes) and all(
            known in (None, size) for known, size in zip(sizes, given, strict=True)
        )
        if declared.HasField("shape") and not fits:
            accepted = tuple(
                dim.dim_param or "?" if size is None else size
                for dim, size in zip(declared.shape.dim, sizes, strict=True)
            )
            raise NetworkError(
                f"input_shapes of '{value.name}' is {given}; the model accepts "
                f"({', '.join(map(str, accepted))})"
            )
        return tuple(int(size) for size in given)
    if not declared.HasField("shape"):
        raise NetworkError(
            f"input '{value.name}' has no shape; give input_shapes={{'{value.name}': (...)}}"
        )
    if len(sizes) > 1 and sizes[0] is None:
        sizes[0] = 1
    if None in sizes:
        axis = sizes.index(None)
        called = declared.shape.dim[axis].dim_param
        wanted = ", ".join("?" if size is None else str(size) for size in sizes)
        raise NetworkError(
            f"input '{value.name}' has the dynamic axis {axis}{called and f' ({called})'}; "
            f"give its size, as in input_shapes={{'{value.name}': ({wanted})}}"
        )
    return tuple(sizes)


def _check_dtypes(schema, inputs, owner):
    """Inputs to which the operator's definition gives one type have one."""
    first: dict[str, tuple[int, np.dtype]] = {}
    for index, value in enumerate(inputs):
        if value is not None:
            kind = schema.inputs[min(index, len(schema.inputs) - 1)].type_str
            known, dtype = first.setdefault(kind, (index, value.dtype))
            if value.dtype != dtype:
                raise NetworkError(
                    f"{owner}: input {index} of dtype {value.dtype} is not supported; accepted: "
                    f"{dtype}, as input {known} has"
                )


def _array(tensor):
    """Array of a tensor in the file."""
    dtype = dtype_of(tensor.data_type, f"tensor '{tensor.name}'")
    if any(size < 0 for size in tensor.dims):
        raise NetworkError(
            f"tensor '{tensor.name}' has the shape {tuple(tensor.dims)}; sizes must not be negative"
        )
    try:
        array = numpy_helper.to_array(tensor)
    except ValueError:
        raise NetworkError(
            f"tensor '{tensor.name}' does not hold the {math.prod(tensor.dims)} values of its shape"
        ) from None
    array = np.array(array, dtype)
    array.setflags(write=False)
    return array


def _attribute(attribute, owner):
    """Value of a node's attribute; tensors as arrays."""
    value = helper.get_attribute_value(attribute)
    if isinstance(value, onnx.TensorProto):
        return _array(value)
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise NetworkError(f"{owner}: attribute {attribute.name} is not valid text") from None
    if not isinstance(value, int | float | list):
        raise NetworkError(
            f"{owner}: attribute {attribute.name} is not supported; accepted are numbers, texts "
            "and tensors"
        )
    return value
