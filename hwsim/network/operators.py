"""Every operator that hwsim imports: one table, `OPERATORS`.

An entry holds the *rule* of an operator, which completes and normalises the attributes and gives
the shapes of the outputs, the positions of its trained parameters, its multiply-accumulate count,
and, for operators that can vanish at import because all their inputs are known, an *evaluation* on
arrays. The NumPy reference of all operators is `hwsim.models.reference`.

Attributes of a `Layer` (lengths: one entry per spatial axis, unless said otherwise):

* Conv, ConvInteger, QLinearConv: ``kernel``, ``strides``, ``dilations``, ``pads`` (begins, then
  ends), ``group``.
* MaxPool: ``kernel``, ``strides``, ``dilations``, ``pads``, ``ceil_mode``, ``storage_order``.
* AveragePool, QLinearAveragePool: ``kernel``, ``strides``, ``dilations``, ``pads``, ``ceil_mode``,
  ``count_include_pad``. SumPool: the same without the last one.
* Gemm: ``alpha``, ``beta``, ``trans_a``, ``trans_b``. QGemm: the same without ``beta``.
* Clip: ``minimum``, ``maximum`` (numbers, or None for no bound).
* LRN: ``alpha``, ``beta``, ``bias``, ``size``, ``within``: whether it is over pixels of a channel.
* BatchNormalization: ``epsilon``.
* Concat, QLinearConcat, Flatten: ``axis`` (not negative).
* Softmax, QLinearSoftmax: ``axis`` (not negative), ``flatten``: whether it normalises over all axes
  from ``axis`` on, as before operator set 13.
* Reshape: ``shape``, the output's, all known.
* Squeeze, Unsqueeze: ``axes`` (not negative, ascending) of the longer shape.
* Transpose: ``perm``.
* Pad: ``mode``, ``pads`` (begins of all axes, then ends; negative ones crop), ``value``.
* QuantizeLinear, DequantizeLinear: ``axis`` (None: one scale for the tensor), ``block_size`` (0:
  one scale per index on the axis), ``dtype`` of the output.
* All others: none.

Clip, Dropout, Pad, Reshape, Squeeze and Unsqueeze have one input: the others became attributes.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import onnx

from .functions import DOMAIN
from .network import NetworkError
from .windows import output_size, same_pads, span

__all__ = ["DTYPES", "OPERATORS", "Node", "Operator", "Result", "check_lrn", "refuse"]

MICROSOFT = "com.microsoft"

DTYPES = {
    onnx.TensorProto.BOOL: np.dtype(np.bool_),
    onnx.TensorProto.INT2: np.dtype(ml_dtypes.int2),
    onnx.TensorProto.UINT2: np.dtype(ml_dtypes.uint2),
    onnx.TensorProto.INT4: np.dtype(ml_dtypes.int4),
    onnx.TensorProto.UINT4: np.dtype(ml_dtypes.uint4),
    onnx.TensorProto.INT8: np.dtype(np.int8),
    onnx.TensorProto.UINT8: np.dtype(np.uint8),
    onnx.TensorProto.INT16: np.dtype(np.int16),
    onnx.TensorProto.UINT16: np.dtype(np.uint16),
    onnx.TensorProto.INT32: np.dtype(np.int32),
    onnx.TensorProto.UINT32: np.dtype(np.uint32),
    onnx.TensorProto.INT64: np.dtype(np.int64),
    onnx.TensorProto.UINT64: np.dtype(np.uint64),
    onnx.TensorProto.FLOAT16: np.dtype(np.float16),
    onnx.TensorProto.FLOAT: np.dtype(np.float32),
    onnx.TensorProto.DOUBLE: np.dtype(np.float64),
}
"""ONNX element type to the NumPy dtype that holds it."""

FLOATS = (np.dtype(np.float16), np.dtype(np.float32), np.dtype(np.float64))
CODES = tuple(
    np.dtype(t)
    for t in (
        "int8",
        "uint8",
        "int16",
        "uint16",
        *(getattr(ml_dtypes, n) for n in ("int4", "uint4", "int2", "uint2")),
    )
)


def dtype_of(element_type, owner):
    """NumPy dtype of an ONNX element type; `NetworkError` where there is none."""
    if element_type not in DTYPES:
        try:
            given = onnx.TensorProto.DataType.Name(element_type).lower()
        except ValueError:
            given = str(element_type)
        accepted = ", ".join(str(dtype) for dtype in DTYPES.values())
        raise NetworkError(
            f"{owner} has the element type {given}, which is not supported; accepted are {accepted}"
        )
    return DTYPES[element_type]


def refuse(op, name, what, accepted):
    """Raise the one form of refusal: operator, node, what it has, what would be accepted."""
    raise NetworkError(f"{op} '{name}': {what} is not supported; accepted: {accepted}")


def check_lrn(layer):
    """Refuse an LRN whose powers are not defined for all inputs."""
    alpha, beta, bias = (layer.attributes[name] for name in ("alpha", "beta", "bias"))
    if not (np.isfinite([alpha, beta, bias]).all() and min(alpha, bias) >= 0 < max(alpha, bias)):
        given = f"alpha = {alpha:g} with beta = {beta:g} and bias = {bias:g}"
        accepted = "finite numbers, alpha and bias of at least 0 and not both 0"
        refuse(layer.op, layer.name, given, accepted)


@dataclass(frozen=True)
class Value:
    """What is known at import about a tensor: shape, dtype and, for a constant, the array."""

    shape: tuple[int, ...]
    dtype: np.dtype
    array: np.ndarray | None = None


class Node:
    """A node during import: inputs as `Value` (None where left out), attributes to be read once."""

    def __init__(
        self,
        op,
        name,
        version,
        inputs: Sequence[Value | None],
        attributes: Mapping[str, Any],
    ):
        self.op = op
        self.name = name
        self.version = version
        self.inputs = inputs
        self._attributes = dict(attributes)

    def refuse(self, what, accepted):
        """Raise the `NetworkError` for this node."""
        refuse(self.op, self.name, what, accepted)

    def has(self, index):
        """Whether input ``index`` is given."""
        return index < len(self.inputs) and self.inputs[index] is not None

    def value(self, index, what="") -> Value:
        """Input ``index``."""
        found = self.inputs[index] if index < len(self.inputs) else None
        if found is None:
            raise NetworkError(
                f"{self.op} '{self.name}': input {index}{what and f' ({what})'} is missing"
            )
        return found

    def shape(self, index):
        """Shape of input ``index``."""
        return self.value(index).shape

    def dtype(self, index):
        """Dtype of input ``index``."""
        return self.value(index).dtype

    def constant(self, index, what):
        """Array of input ``index``, which must be known at import."""
        array = self.value(index, what).array
        if array is None:
            self.refuse(f"input {index} ({what}) that is computed at run time", "a constant")
        return array

    def scalar(self, index, what):
        """The one number in the constant input ``index``."""
        array = self.constant(index, what)
        if array.size != 1:
            self.refuse(f"input {index} ({what}) of shape {array.shape}", "one number")
        return array.reshape(-1)[0].item()

    def integers(self, index, what):
        """The constant 1-D input ``index`` as a tuple of int."""
        array = self.constant(index, what)
        if array.ndim != 1 or array.dtype.kind not in "iu":
            self.refuse(
                f"input {index} ({what}) of shape {array.shape} and dtype {array.dtype}",
                "1-D integers",
            )
        return tuple(int(entry) for entry in array)

    def attribute(self, name, default=None):
        """Attribute ``name`` as the file has it."""
        return self._attributes.pop(name, default)

    def required(self, name):
        """Attribute ``name``, which has no default."""
        if name not in self._attributes:
            raise NetworkError(f"{self.op} '{self.name}': attribute {name} is missing")
        return self._attributes.pop(name)

    def flag(self, name):
        """Attribute ``name``, 0 or 1 (the default is 0), as a bool."""
        return self.choice(name, 0, (0, 1)) == 1

    def choice(self, name, default, accepted):
        """Attribute ``name``, one of ``accepted``."""
        given = self.attribute(name, default)
        if given not in accepted:
            self.refuse(f"{name} = {given}", " or ".join(map(str, accepted)))
        return given

    def lengths(self, name, default, count, minimum):
        """Attribute ``name``: ``count`` integers of at least ``minimum``."""
        given = tuple(self.attribute(name, default))
        if len(given) != count or any(entry < minimum for entry in given):
            self.refuse(f"{name} = {list(given)}", f"{count} integers of at least {minimum}")
        return given

    def axis(self, name, default, rank, *, end=False):
        """Attribute ``name``, an axis of ``rank`` (or the end of them), made non-negative."""
        return self.normal_axis(name, self.attribute(name, default), rank, end=end)

    def normal_axis(self, name, given, rank, *, end=False):
        """``given`` as a non-negative axis."""
        if not -rank <= given < rank + end:
            self.refuse(f"{name} = {given} for {rank} dimensions", f"-{rank} to {rank - 1 + end}")
        return given + rank if given < 0 else given

    def only_dtypes(self, index, accepted):
        """Input ``index`` has one of the dtypes ``accepted``."""
        if self.dtype(index) not in accepted:
            self.refuse(
                f"input {index} of dtype {self.dtype(index)}", ", ".join(map(str, accepted))
            )

    def finish(self):
        """Refuse the attributes that no rule has read."""
        for name, given in self._attributes.items():
            self.refuse(
                f"attribute {name} = {given}",
                f"no such attribute in version {self.version} of the operator",
            )


@dataclass(frozen=True)
class Result:
    """What a rule gives.

    Parameters
    ----------
    attributes : mapping
        Of the layer.
    shapes : tuple of shapes
        One per output that the operator can have.
    dtype : dtype, optional
        Of all outputs; by default that of input 0.
    inputs : int, optional
        How many of the inputs the layer keeps; the others have become attributes.
    dtypes : tuple of dtype, optional
        One per output, where they differ.
    """

    attributes: Mapping[str, Any]
    shapes: tuple[tuple[int, ...], ...]
    dtype: Any = None
    inputs: int | None = None
    dtypes: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Operator:
    """An entry of the table.

    Parameters
    ----------
    rule : callable
        `Node` to `Result`.
    since : int
        Oldest version of the operator's definition that the rule covers.
    dtypes : tuple of dtype
        Accepted for input 0.
    parameters : tuple of int
        Positions of the inputs whose constants are trained parameters.
    macs : callable, optional
        ``(attributes, input shapes, output shape)`` to the number of multiply-accumulates.
    evaluate : callable, optional
        ``(attributes, *arrays)`` to an array: the operator on values known at import.
    only_constant : bool
        The operator is supported at import only and never becomes a layer.
    static : tuple of int
        Positions of the inputs that must be known at import.
    domain : str
    layer : str
        Operator of the layer that it becomes, where that is another.
    """

    rule: Callable[[Node], Result]
    since: int = 1
    dtypes: tuple[np.dtype, ...] = FLOATS
    parameters: tuple[int, ...] = ()
    macs: Callable[[Mapping[str, Any], list, tuple], int] | None = None
    evaluate: Callable[..., np.ndarray] | None = None
    only_constant: bool = False
    static: tuple[int, ...] = ()
    domain: str = ""
    layer: str = ""


# ------------------------------------------------------------------------------------------ windows


def _window(node, spatial, kernel, *, ceil_mode=False):
    """Normalised geometry and ceil mode of a sliding window, and the output's spatial shape."""
    rank = len(spatial)
    strides = node.lengths("strides", (1,) * rank, rank, 1)
    dilations = node.lengths("dilations", (1,) * rank, rank, 1)
    given = node.attribute("auto_pad", "NOTSET")
    pads = tuple(node.attribute("pads", ()))
    if given not in ("NOTSET", "", "VALID", "SAME_UPPER", "SAME_LOWER"):
        node.refuse(f"auto_pad = {given}", "NOTSET, SAME_LOWER, SAME_UPPER or VALID")
    if given in ("NOTSET", ""):
        pads = pads or (0,) * 2 * rank
        if len(pads) != 2 * rank or min(pads) < 0:
            node.refuse(f"pads = {list(pads)}", f"{2 * rank} integers of at least 0")
    else:
        if any(pads):
            node.refuse(
                f"pads = {list(pads)} with auto_pad = {given}", "pads with auto_pad = NOTSET only"
            )
        # With automatic padding the number of windows does not depend on ceil_mode (ONNX, MaxPool).
        ceil_mode = False
        pads = (0,) * 2 * rank
        if given != "VALID":
            axes = zip(spatial, kernel, strides, dilations, strict=True)
            sides = [same_pads(*axis, upper=given == "SAME_UPPER") for axis in axes]
            if "Conv" not in node.op and any(begin + end < 0 for begin, end in sides):
                # Implementations disagree: ONNX's formula crops the input, ONNX Runtime may fail,
                # TensorFlow pads nothing.
                node.refuse(
                    f"auto_pad = {given} with a window narrower than the stride",
                    "pads with auto_pad = NOTSET",
                )
            sides = [(max(begin, 0), max(end, 0)) for begin, end in sides]
            pads = tuple(begin for begin, _ in sides) + tuple(end for _, end in sides)
    geometry = {"kernel": kernel, "strides": strides, "dilations": dilations, "pads": pads}
    output = []
    for axis in range(rank):
        begin, end = pads[axis], pads[axis + rank]
        extent = span(kernel[axis], dilations[axis])
        count = output_size(
            spatial[axis], kernel[axis], strides[axis], dilations[axis], begin, end, ceil_mode
        )
        if count < 1:
            node.refuse(
                f"a window that spans {extent} on axis {axis + 2}, which has {spatial[axis]} "
                f"positions and {begin} + {end} padded",
                "a window within the padded input",
            )
        output.append(count)
    return geometry, ceil_mode, tuple(output)


def _image(node, index):
    """Shape of the feature maps at input ``index``: (N, C, spatial...)."""
    shape = node.shape(index)
    if len(shape) < 3:
        node.refuse(f"an input of shape {shape}", "(N, C, H, W)")
    return shape


def _conv(x, w, bias=None):
    def rule(node):
        shape, weights = _image(node, x), node.shape(w)
        rank = len(shape) - 2
        if len(weights) != rank + 2:
            node.refuse(
                f"weights of shape {weights} for an input of shape {shape}",
                f"{rank + 2} dimensions",
            )
        kernel = node.lengths("kernel_shape", weights[2:], rank, 1)
        if kernel != weights[2:]:
            node.refuse(
                f"kernel_shape = {list(kernel)} for weights of shape {weights}",
                f"{list(weights[2:])}",
            )
        group = node.attribute("group", 1)
        if group < 1 or shape[1] != weights[1] * group or weights[0] % group:
            node.refuse(
                f"group = {group} for {shape[1]} channels and weights of shape {weights}",
                "a group that divides the output channels, with weights for (input channels / "
                "group)",
            )
        if bias is not None and node.has(bias) and node.shape(bias) != weights[:1]:
            node.refuse(f"a bias of shape {node.shape(bias)}", f"({weights[0]},)")
        geometry, _, output = _window(node, shape[2:], kernel)
        return Result(
            {**geometry, "group": group}, ((shape[0], weights[0], *output),), _output_dtype(node)
        )

    return rule


def _output_dtype(node):
    """Dtype of the output of an operator on codes: that of its zero point, int32 or float."""
    op = node.op
    if op in ("ConvInteger", "MatMulInteger"):
        return np.dtype(np.int32)
    if op in ("QLinearConv", "QLinearMatMul"):
        return node.dtype(7)
    if op == "QGemm":
        return (
            node.dtype(8) if node.has(8) else node.dtype(0) if node.has(7) else np.dtype(np.float32)
        )
    return node.dtype(0)


def _conv_macs(x, w):
    def macs(attributes, inputs, output):
        return math.prod(output) * math.prod(inputs[w][1:])

    return macs


def _max_pool(node):
    shape = _image(node, 0)
    kernel = _pool_kernel(node, shape)
    geometry, ceil_mode, output = _window(node, shape[2:], kernel, ceil_mode=node.flag("ceil_mode"))
    _check_pool_pads(node, geometry)
    attributes = {
        **geometry,
        "ceil_mode": ceil_mode,
        "storage_order": int(node.flag("storage_order")),
    }
    output = (*shape[:2], *output)
    return Result(attributes, (output, output), dtypes=(node.dtype(0), np.dtype(np.int64)))


def _pool_kernel(node, shape):
    kernel = tuple(node.required("kernel_shape"))
    if len(kernel) != len(shape) - 2 or min(kernel) < 1:
        node.refuse(
            f"kernel_shape = {list(kernel)} for an input of shape {shape}",
            f"{len(shape) - 2} positive integers",
        )
    return kernel


def _check_pool_pads(node, geometry):
    """A window that lies in the padding alone has neither a maximum nor an average."""
    rank = len(geometry["kernel"])
    for index, pad in enumerate(geometry["pads"]):
        extent = span(geometry["kernel"][index % rank], geometry["dilations"][index % rank])
        if pad >= extent:
            node.refuse(
                f"pads = {list(geometry['pads'])}",
                f"pads smaller than the window, which spans {extent}",
            )


def _average_pool(node):
    shape = _image(node, 0)
    if node.op == "QLinearAveragePool":
        node.choice("channels_last", 0, (0,))
    kernel = _pool_kernel(node, shape)
    geometry, ceil_mode, output = _window(node, shape[2:], kernel, ceil_mode=node.flag("ceil_mode"))
    _check_pool_pads(node, geometry)
    attributes = {**geometry, "ceil_mode": ceil_mode}
    if node.op != "SumPool":
        attributes["count_include_pad"] = node.flag("count_include_pad")
    return Result(attributes, ((*shape[:2], *output),))


def _reduce_sum(node):
    """As a sum pool with one window."""
    shape = _image(node, 0)
    node.choice("keepdims", 1, (1,))
    node.attribute("noop_with_empty_axes")
    axes, spatial = _axes(node, len(shape)), tuple(range(2, len(shape)))
    if axes != spatial:
        node.refuse(f"axes = {axes}", f"{spatial}, the whole of each map")
    if 0 in shape[2:]:
        node.refuse(f"an input of shape {shape}", "maps that are not empty")
    geometry, ceil_mode, output = _window(node, shape[2:], shape[2:])
    return Result({**geometry, "ceil_mode": ceil_mode}, ((*shape[:2], *output),), inputs=1)


def _global_pool(node):
    shape = _image(node, 0)
    if node.op == "QLinearGlobalAveragePool":
        node.choice("channels_last", 0, (0,))
    return Result({}, ((*shape[:2], *(1,) * (len(shape) - 2)),))


# ----------------------------------------------------------------------------------------- products


def _matmul(a, b):
    def rule(node):
        left, right = node.shape(a), node.shape(b)
        if not left or not right:
            node.refuse(f"inputs of shape {left} and {right}", "at least one dimension each")
        rows = left if len(left) > 1 else (1, *left)
        columns = right if len(right) > 1 else (*right, 1)
        if rows[-1] != columns[-2]:
            node.refuse(f"inputs of shape {left} and {right}", "equal inner dimensions")
        shape = (
            _broadcast(node, rows[:-2], columns[:-2])
            + rows[-2:-1] * (len(left) > 1)
            + columns[-1:] * (len(right) > 1)
        )
        return Result({}, (shape,), _output_dtype(node))

    return rule


def _matmul_macs(a, b):
    def macs(attributes, inputs, output):
        return math.prod(output) * inputs[a][-1]

    return macs


def _gemm(a, b, c):
    def rule(node):
        left, right = node.shape(a), node.shape(b)
        if len(left) != 2 or len(right) != 2:
            node.refuse(f"inputs of shape {left} and {right}", "two dimensions each")
        trans_a, trans_b = node.flag("transA"), node.flag("transB")
        left = left[::-1] if trans_a else left
        right = right[::-1] if trans_b else right
        if left[1] != right[0]:
            node.refuse(
                f"inputs of shape {node.shape(a)} and {node.shape(b)}", "equal inner dimensions"
            )
        shape = (left[0], right[1])
        if node.has(c) and (
            len(node.shape(c)) > 2 or _broadcast(node, node.shape(c), shape) != shape
        ):
            node.refuse(f"a bias of shape {node.shape(c)}", f"one that broadcasts to {shape}")
        attributes = {"alpha": node.attribute("alpha", 1.0), "trans_a": trans_a, "trans_b": trans_b}
        if node.op == "Gemm":
            attributes["beta"] = node.attribute("beta", 1.0)
        return Result(attributes, (shape,), _output_dtype(node))

    return rule


def _gemm_macs(a):
    def macs(attributes, inputs, output):
        return math.prod(output) * inputs[a][0 if attributes["trans_a"] else 1]

    return macs


# -------------------------------------------------------------------------------------- elementwise


def _broadcast(node, *shapes):
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        node.refuse("inputs of shape " + " and ".join(map(str, shapes)), "shapes that broadcast")


def _same(node):
    return Result({}, (node.shape(0),))


def _binary(node):
    if node.dtype(0) != node.dtype(1):
        node.refuse(f"inputs of dtype {node.dtype(0)} and {node.dtype(1)}", "equal dtypes")
    return Result({}, (_broadcast(node, node.shape(0), node.shape(1)),))


def _sum(node):
    return Result({}, (_broadcast(node, *(value.shape for value in node.inputs)),))


def _qlinear_binary(node):
    return Result({}, (_broadcast(node, node.shape(0), node.shape(3)),))


def _clip(node):
    bounds = []
    for index, name in ((1, "min"), (2, "max")):
        if node.version < 11:
            bounds.append(node.attribute(name))
        else:
            bounds.append(node.scalar(index, name) if node.has(index) else None)
    return Result({"minimum": bounds[0], "maximum": bounds[1]}, (node.shape(0),), inputs=1)


def _float32(number):
    """The number that a file would hold: attributes are float32."""
    return float(np.float32(number))


def _lrn(node):
    shape = _image(node, 0)
    size = node.required("size")
    if size < 1:
        node.refuse(f"size = {size}", "a positive integer")
    attributes = {
        name: node.attribute(name, default)
        for name, default in (("alpha", _float32(1e-4)), ("beta", 0.75), ("bias", 1.0))
    }
    return Result({**attributes, "size": size, "within": False}, (shape,))


def _lrn_within(node):
    """Local response normalization over a square of pixels: `hwsim.network.functions`."""
    shape = _image(node, 0)
    attributes = {name: node.required(name) for name in ("alpha", "beta", "bias")}
    kernel, pads = tuple(node.required("kernel_shape")), tuple(node.required("pads"))
    size, rank = kernel[0] if kernel else 0, len(shape) - 2
    if size < 1 or kernel != (size,) * rank:
        node.refuse(f"kernel_shape = {list(kernel)}", f"{rank} equal positive integers")
    expected = ((size - 1) // 2,) * rank + (size // 2,) * rank
    if pads != expected:
        node.refuse(f"pads = {list(pads)}", f"{list(expected)}")
    return Result({**attributes, "size": size, "within": True}, (shape,))


def _batch_normalization(node):
    shape = node.shape(0)
    if len(shape) < 2:
        node.refuse(f"an input of shape {shape}", "(N, C, ...)")
    node.choice("training_mode", 0, (0,))
    node.attribute("momentum")
    for index, what in enumerate(("scale", "bias", "mean", "variance"), 1):
        if node.value(index, what).shape != shape[1:2]:
            node.refuse(f"input {index} ({what}) of shape {node.shape(index)}", f"{shape[1:2]}")
    return Result({"epsilon": node.attribute("epsilon", _float32(1e-5))}, (shape,))


def _dropout(node):
    node.attribute("ratio")
    node.attribute("seed")
    if node.version >= 12 and node.has(2) and node.scalar(2, "training_mode"):
        node.refuse("training_mode = True", "inference")
    return Result(
        {}, (node.shape(0), node.shape(0)), inputs=1, dtypes=(node.dtype(0), np.dtype(np.bool_))
    )


def _softmax(node):
    shape = node.shape(0)
    version = node.required("opset") if node.op == "QLinearSoftmax" else node.version
    if version >= 13:
        return Result({"axis": node.axis("axis", -1, len(shape)), "flatten": False}, (shape,))
    axis = node.axis("axis", 1, len(shape), end=True)
    # Where at most one of the axes is longer than 1, the old meaning is the new one on that axis.
    longer = [index for index in range(axis, len(shape)) if shape[index] > 1] or [
        min(axis, len(shape) - 1)
    ]
    flatten = len(longer) > 1
    return Result({"axis": axis if flatten else longer[0], "flatten": flatten}, (shape,))


# ------------------------------------------------------------------------------------ data movement


def _concat(first, step):
    def rule(node):
        shapes = [node.shape(index) for index in range(first, len(node.inputs), step)]
        if not shapes:
            raise NetworkError(f"{node.op} '{node.name}': input {first} is missing")
        axis = node.normal_axis("axis", node.required("axis"), len(shapes[0]))
        rests = {shape[:axis] + shape[axis + 1 :] for shape in shapes}
        if len(rests) > 1 or len({len(shape) for shape in shapes}) > 1:
            node.refuse(
                "inputs of shape " + " and ".join(map(str, shapes)),
                f"shapes that differ on axis {axis} only",
            )
        total = sum(shape[axis] for shape in shapes)
        dtype = node.dtype(1) if first else None
        return Result({"axis": axis}, ((*shapes[0][:axis], total, *shapes[0][axis + 1 :]),), dtype)

    return rule


def _flatten(node):
    shape = node.shape(0)
    axis = node.axis("axis", 1, len(shape), end=True)
    return Result({"axis": axis}, ((math.prod(shape[:axis]), math.prod(shape[axis:])),))


def _reshape(node):
    shape = node.shape(0)
    wanted = node.integers(1, "shape")
    keep_zero = node.flag("allowzero")
    target = list(wanted)
    for index, entry in enumerate(wanted):
        if entry == 0 and not keep_zero and index < len(shape):
            target[index] = shape[index]
    if -1 in target:
        known = math.prod(entry for entry in target if entry != -1)
        if target.count(-1) == 1 and known and math.prod(shape) % known == 0:
            target[target.index(-1)] = math.prod(shape) // known
    if min(target, default=1) < 0 or math.prod(target) != math.prod(shape):
        node.refuse(
            f"shape = {list(wanted)} for an input of shape {shape}", f"{math.prod(shape)} elements"
        )
    return Result({"shape": tuple(target)}, (tuple(target),), inputs=1)


def _axes(node, rank):
    axes = (
        node.integers(1, "axes") if node.version >= 13 and node.has(1) else node.attribute("axes")
    )
    if axes is None:
        return None
    axes = tuple(sorted(node.normal_axis("axes", axis, rank) for axis in axes))
    if len(set(axes)) != len(axes):
        node.refuse(f"axes = {list(axes)}", "axes that differ")
    return axes


def _squeeze(node):
    shape = node.shape(0)
    axes = _axes(node, len(shape))
    if axes is None:
        axes = tuple(index for index, size in enumerate(shape) if size == 1)
    if any(shape[axis] != 1 for axis in axes):
        node.refuse(f"axes = {list(axes)} of an input of shape {shape}", "axes of size 1")
    return Result(
        {"axes": axes},
        (tuple(size for axis, size in enumerate(shape) if axis not in axes),),
        inputs=1,
    )


def _unsqueeze(node):
    shape = node.shape(0)
    count = (
        len(node.integers(1, "axes"))
        if node.version >= 13
        else len(node._attributes.get("axes", ()))
    )
    axes = _axes(node, len(shape) + count) or ()
    rest = iter(shape)
    return Result(
        {"axes": axes},
        (tuple(1 if axis in axes else next(rest) for axis in range(len(shape) + count)),),
        inputs=1,
    )


def _transpose(node):
    shape = node.shape(0)
    perm = tuple(node.attribute("perm", range(len(shape))[::-1]))
    if sorted(perm) != list(range(len(shape))):
        node.refuse(f"perm = {list(perm)} for an input of shape {shape}", "each axis once")
    return Result({"perm": perm}, (tuple(shape[axis] for axis in perm),))


def _pad(node):
    shape = node.shape(0)
    rank = len(shape)
    modes = (
        ("constant", "reflect", "edge", "wrap")
        if node.version >= 19
        else ("constant", "reflect", "edge")
    )
    mode = node.choice("mode", "constant", modes)
    value = 0
    if node.version < 11:
        pads, axes = tuple(node.required("pads")), range(rank)
        value = node.attribute("value", 0.0)
    else:
        pads = node.integers(1, "pads")
        if node.has(2):
            value = node.scalar(2, "constant_value")
        axes = node.integers(3, "axes") if node.has(3) else range(rank)
    if len(pads) != 2 * len(axes):
        node.refuse(f"pads = {list(pads)} for {len(axes)} axes", f"{2 * len(axes)} integers")
    full = [0] * 2 * rank
    for index, given in enumerate(axes):
        axis = node.normal_axis("axes", given, rank)
        full[axis], full[axis + rank] = pads[index], pads[index + len(axes)]
    output = []
    for axis, size in enumerate(shape):
        begin, end = full[axis], full[axis + rank]
        kept = size + min(begin, 0) + min(end, 0)
        # Values beyond the map are copied from within it, once.
        limit = {
            "constant": None,
            "reflect": kept - 1,
            "edge": None if kept > 0 else 0,
            "wrap": kept,
        }[mode]
        if kept < 0 or (limit is not None and max(begin, end) > max(limit, 0)):
            accepted = (
                "at most as many values as the axis has"
                if limit is None or kept < 0
                else f"at most {max(limit, 0)}"
            )
            node.refuse(
                f"mode = {mode} with pads of {begin} and {end} on axis {axis} of size {size}",
                accepted,
            )
        output.append(size + begin + end)
    attributes = {"mode": mode, "pads": tuple(full), "value": value if mode == "constant" else 0}
    return Result(attributes, (tuple(output),), inputs=1)


# -------------------------------------------------------------------------- change of number format


def _quantize(node):
    node.only_dtypes(0, (*FLOATS, np.dtype(np.int32)))
    dtype = np.dtype(np.uint8)
    given = node.attribute("output_dtype", 0)
    if node.has(2):
        dtype = node.dtype(2)
    elif given:
        dtype = dtype_of(given, f"{node.op} '{node.name}': output_dtype")
    precision = node.attribute("precision", 0)
    if precision and DTYPES.get(precision) != node.dtype(1):
        node.refuse(f"precision = {precision}", "the type of the scale")
    node.attribute("saturate")
    if dtype not in CODES:
        node.refuse(f"an output of dtype {dtype}", ", ".join(map(str, CODES)))
    return Result({**_granularity(node), "dtype": dtype}, (node.shape(0),), dtype)


def _dequantize(node):
    node.only_dtypes(0, (*CODES, np.dtype(np.int32)))
    given = node.attribute("output_dtype", 0)
    dtype = dtype_of(given, f"{node.op} '{node.name}': output_dtype") if given else node.dtype(1)
    return Result({**_granularity(node), "dtype": dtype}, (node.shape(0),), dtype)


def _granularity(node):
    """Axis and block size of scales; the zero point, where there is one, has the scale's shape."""
    shape, scale = node.shape(0), node.value(1, "scale").shape
    axis, block = node.attribute("axis", 1), node.attribute("block_size", 0)
    if node.has(2) and node.shape(2) != scale and math.prod(node.shape(2)) != math.prod(scale):
        node.refuse(
            f"a zero point of shape {node.shape(2)} with a scale of shape {scale}", "equal shapes"
        )
    if math.prod(scale) == 1 and not block and len(scale) <= 1:
        return {"axis": None, "block_size": 0}
    axis = node.normal_axis("axis", axis, len(shape))
    if not block and scale == shape[axis : axis + 1]:
        return {"axis": axis, "block_size": 0}
    blocks = (*shape[:axis], -(-shape[axis] // block), *shape[axis + 1 :]) if block > 0 else None
    if scale != blocks:
        accepted = f"{blocks}" if blocks else f"one number or shape {shape[axis : axis + 1]}"
        node.refuse(
            f"a scale of shape {scale} on axis {axis} of an input of shape {shape}", accepted
        )
    return {"axis": axis, "block_size": block}


# ----------------------------------------------------------------------------- known at import only


def _constant(node):
    forms = {
        "value": lambda tensor: tensor,
        "value_float": lambda number: np.array(number, np.float32),
        "value_floats": lambda numbers: np.array(numbers, np.float32),
        "value_int": lambda number: np.array(number, np.int64),
        "value_ints": lambda numbers: np.array(numbers, np.int64),
    }
    for name, convert in forms.items():
        given = node.attribute(name)
        if given is not None:
            array = convert(given)
            return Result({"value": array}, (array.shape,), array.dtype)
    node.refuse("a value of this kind", "a tensor, or one or more numbers")


def _constant_of_shape(node):
    shape = node.integers(0, "shape")
    if min(shape, default=0) < 0:
        node.refuse(f"shape = {list(shape)}", "sizes that are not negative")
    value = node.attribute("value", np.zeros(1, np.float32))
    if value.size != 1:
        node.refuse(f"a value of shape {value.shape}", "one number")
    return Result({"shape": shape, "value": value.reshape(())}, (shape,), value.dtype)


def _shape(node):
    shape = node.shape(0)
    start, end = node.attribute("start", 0), node.attribute("end", len(shape))
    value = np.array(shape[start:end], np.int64)
    return Result({"value": value}, (value.shape,), value.dtype)


def _gather(node):
    rank = len(node.shape(0))
    axis = node.axis("axis", 0, rank)
    shape = node.shape(0)[:axis] + node.shape(1) + node.shape(0)[axis + 1 :]
    return Result({"axis": axis}, (shape,))


def _slice(node):
    shape = node.shape(0)
    starts, ends = node.integers(1, "starts"), node.integers(2, "ends")
    axes = node.integers(3, "axes") if node.has(3) else range(len(starts))
    steps = node.integers(4, "steps") if node.has(4) else (1,) * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        node.refuse(
            f"starts = {list(starts)}, ends = {list(ends)}, axes = {list(axes)}, "
            f"steps = {list(steps)}",
            "as many of each, and steps that are not 0",
        )
    index = [slice(None)] * len(shape)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        axis = node.normal_axis("axes", axis, len(shape))
        # Python and ONNX agree but for a reverse slice down to the first element, whose end is
        # below -size.
        index[axis] = slice(start, None if step < 0 and end < -shape[axis] else end, step)
    output = tuple(len(range(*part.indices(size))) for part, size in zip(index, shape, strict=True))
    return Result({"index": tuple(index)}, (output,), inputs=1)


def _cast(node):
    dtype = dtype_of(node.required("to"), f"{node.op} '{node.name}': to")
    node.attribute("saturate")
    node.attribute("round_mode")
    return Result({"dtype": dtype}, (node.shape(0),), dtype)


def _divide(attributes, left, right):
    if left.dtype.kind == "f":
        return left / right
    # ONNX truncates integer division towards zero.
    return (np.sign(left) * np.sign(right) * (np.abs(left) // np.abs(right))).astype(left.dtype)


_NUMBERS: tuple[np.dtype, ...] = (
    *FLOATS,
    *(np.dtype(f"{kind}{bits}") for kind in ("int", "uint") for bits in (8, 16, 32, 64)),
)
_BYTES = (np.dtype(np.uint8), np.dtype(np.int8))
_ANY = tuple(DTYPES.values())

OPERATORS: dict[str, Operator] = {
    "Add": Operator(_binary, 7, _NUMBERS, evaluate=lambda a, x, y: x + y),
    "AveragePool": Operator(_average_pool),
    "BatchNormalization": Operator(_batch_normalization, 9, parameters=(1, 2)),
    "Cast": Operator(
        _cast, 6, _ANY, evaluate=lambda a, x: x.astype(a["dtype"]), only_constant=True
    ),
    "Clip": Operator(_clip, 6, _NUMBERS, static=(1, 2)),
    "Concat": Operator(
        _concat(0, 1), 4, _ANY, evaluate=lambda a, *xs: np.concatenate(xs, a["axis"])
    ),
    "Constant": Operator(_constant, 1, _ANY, evaluate=lambda a: a["value"], only_constant=True),
    "ConstantOfShape": Operator(
        _constant_of_shape,
        9,
        (np.dtype(np.int64),),
        # A view with strides of 0: the weights of a network that is known by its shapes cost no
        # memory.
        evaluate=lambda a, _: np.broadcast_to(a["value"], a["shape"]),
        only_constant=True,
        static=(0,),
    ),
    "Conv": Operator(_conv(0, 1, 2), parameters=(1, 2), macs=_conv_macs(0, 1)),
    "ConvInteger": Operator(_conv(0, 1), 10, _BYTES, parameters=(1,), macs=_conv_macs(0, 1)),
    "DequantizeLinear": Operator(_dequantize, 10, _ANY),
    "Div": Operator(_binary, 7, _NUMBERS, evaluate=_divide, only_constant=True),
    "Dropout": Operator(_dropout, 7, static=(1, 2)),
    "Flatten": Operator(
        _flatten,
        1,
        _ANY,
        evaluate=lambda a, x: x.reshape(
            math.prod(x.shape[: a["axis"]]), math.prod(x.shape[a["axis"] :])
        ),
    ),
    "Gather": Operator(
        _gather, 1, _ANY, evaluate=lambda a, x, i: np.take(x, i, a["axis"]), only_constant=True
    ),
    "Gemm": Operator(_gemm(0, 1, 2), 7, _NUMBERS, parameters=(1, 2), macs=_gemm_macs(0)),
    "GlobalAveragePool": Operator(_global_pool),
    "GlobalMaxPool": Operator(_global_pool),
    "Identity": Operator(_same, 1, _ANY, evaluate=lambda a, x: x),
    "LRN": Operator(_lrn),
    "LRNWithin": Operator(_lrn_within, domain=DOMAIN, layer="LRN"),
    "MatMul": Operator(_matmul(0, 1), 1, _NUMBERS, parameters=(0, 1), macs=_matmul_macs(0, 1)),
    "MatMulInteger": Operator(
        _matmul(0, 1), 10, _BYTES, parameters=(0, 1), macs=_matmul_macs(0, 1)
    ),
    "MaxPool": Operator(_max_pool, 1, (*FLOATS, *_BYTES)),
    "Mul": Operator(_binary, 7, _NUMBERS, evaluate=lambda a, x, y: x * y),
    "Pad": Operator(_pad, 2, _ANY, static=(1, 2, 3)),
    "QGemm": Operator(
        _gemm(0, 3, 6), 1, _BYTES, parameters=(3, 6), macs=_gemm_macs(0), domain=MICROSOFT
    ),
    "QLinearAdd": Operator(_qlinear_binary, 1, _BYTES, domain=MICROSOFT),
    "QLinearAveragePool": Operator(_average_pool, 1, _BYTES, domain=MICROSOFT),
    "QLinearConcat": Operator(_concat(2, 3), 1, FLOATS, domain=MICROSOFT),
    "QLinearConv": Operator(_conv(0, 3, 8), 10, _BYTES, parameters=(3, 8), macs=_conv_macs(0, 3)),
    "QLinearGlobalAveragePool": Operator(_global_pool, 1, _BYTES, domain=MICROSOFT),
    "QLinearMatMul": Operator(
        _matmul(0, 3), 10, _BYTES, parameters=(0, 3), macs=_matmul_macs(0, 3)
    ),
    "QLinearMul": Operator(_qlinear_binary, 1, _BYTES, domain=MICROSOFT),
    "QLinearSigmoid": Operator(_same, 1, _BYTES, domain=MICROSOFT),
    "QLinearSoftmax": Operator(_softmax, 1, _BYTES, domain=MICROSOFT),
    "QuantizeLinear": Operator(_quantize, 10, _ANY),
    "ReduceSum": Operator(_reduce_sum, static=(1,), layer="SumPool"),
    "Relu": Operator(_same, 6, _NUMBERS),
    "Reshape": Operator(
        _reshape, 5, _ANY, evaluate=lambda a, x: x.reshape(a["shape"]), static=(1,)
    ),
    "Shape": Operator(_shape, 1, _ANY, evaluate=lambda a, *_: a["value"], only_constant=True),
    "Sigmoid": Operator(_same, 6),
    "Slice": Operator(
        _slice,
        10,
        _ANY,
        evaluate=lambda a, x: x[a["index"]],
        only_constant=True,
        static=(1, 2, 3, 4),
    ),
    "Softmax": Operator(_softmax),
    "Squeeze": Operator(
        _squeeze, 1, _ANY, evaluate=lambda a, x: np.squeeze(x, a["axes"]), static=(1,)
    ),
    "Sub": Operator(_binary, 7, _NUMBERS, evaluate=lambda a, x, y: x - y, only_constant=True),
    "Sum": Operator(_sum, 6, evaluate=lambda a, *xs: sum(xs[1:], xs[0])),
    "SumPool": Operator(_average_pool, domain=DOMAIN),
    "Tanh": Operator(_same, 6),
    "Transpose": Operator(_transpose, 1, _ANY, evaluate=lambda a, x: x.transpose(a["perm"])),
    "Unsqueeze": Operator(
        _unsqueeze, 1, _ANY, evaluate=lambda a, x: np.expand_dims(x, a["axes"]), static=(1,)
    ),
}
