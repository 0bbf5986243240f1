"""Networks: import and export of ONNX, shapes and counts, quantization."""

from .load import load
from .network import Layer, Network, NetworkError, Tensor

__all__ = ["Layer", "Network", "NetworkError", "Tensor", "load"]
