"""Networks: import and export of ONNX, shapes and counts, quantization, integer layers."""

from .load import load
from .lower import lower
from .network import Layer, Network, NetworkError, Tensor
from .quantize import fold_affine, insert_qdq

__all__ = [
    "Layer",
    "Network",
    "NetworkError",
    "Tensor",
    "fold_affine",
    "insert_qdq",
    "load",
    "lower",
]
