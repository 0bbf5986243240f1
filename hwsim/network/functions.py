"""Operators that ONNX does not have, as functions of those that it has.

A file that uses one holds its function too, so that every runtime computes it. On import the name
is understood unless the file gives it another function.
"""

import onnx
import onnx.parser

__all__ = ["DOMAIN", "function", "is_known"]

DOMAIN = "hwsim"

# Krizhevsky's normalization over a square of pixels instead of channels, as in Caffe
# (WITHIN_CHANNEL): x / (bias + alpha * mean of squares) ** beta, with zeros outside the map.
_LRN_WITHIN = """
<domain: "hwsim", opset_import: ["" : OPSET]>
LRNWithin <alpha, beta, bias, kernel_shape, pads> (x) => (y) {
    squares = Mul (x, x)
    mean = AveragePool <count_include_pad = 1, kernel_shape: ints = @kernel_shape,
                        pads: ints = @pads> (squares)
    slope = Constant <value_float: float = @alpha> ()
    offset = Constant <value_float: float = @bias> ()
    exponent = Constant <value_float: float = @beta> ()
    scaled = Mul (mean, slope)
    total = Add (scaled, offset)
    power = Pow (total, exponent)
    y = Div (x, power)
}
"""

# The sum over each window, by what ONNX has: sums of absolute values, of the numbers above and of
# those below zero. From operator set 18 on.
_SUM_POOL = """
<domain: "hwsim", opset_import: ["" : OPSET]>
SumPool <kernel_shape, strides, pads, dilations, ceil_mode, auto_pad> (x) => (y) {
    opposite = Neg (x)
    above = Relu (x)
    below = Relu (opposite)
    gain = LpPool <p = 1, WINDOW> (above)
    loss = LpPool <p = 1, WINDOW> (below)
    y = Sub (gain, loss)
}
""".replace(
    "WINDOW",
    "kernel_shape: ints = @kernel_shape, strides: ints = @strides, pads: ints = @pads, "
    "dilations: ints = @dilations, ceil_mode: int = @ceil_mode, auto_pad: string = @auto_pad",
)

_FUNCTIONS = {"LRNWithin": _LRN_WITHIN, "SumPool": _SUM_POOL}


def function(name, opset):
    """The `onnx.FunctionProto` of an operator, for files of an operator set."""
    return onnx.parser.parse_function(_FUNCTIONS[name].replace("OPSET", str(opset)))


def is_known(given):
    """Whether a function of a file is one of these."""
    if given.domain != DOMAIN or given.name not in _FUNCTIONS:
        return False
    opsets = [imported.version for imported in given.opset_import]
    return len(opsets) == 1 and given == function(given.name, opsets[0])
