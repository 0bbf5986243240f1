"""Networks: import and export of ONNX, shapes and counts, quantization."""

from .batch_normalization import fold_batch_normalization
from .load import load
from .network import Layer, Network, NetworkError, Tensor

__all__ = ["Layer", "Network", "NetworkError", "Tensor", "fold_batch_normalization", "load"]
