"""`build`: from a quantized network to a design."""

from hwsim.blocks.streaming import Streaming, plan_streaming
from hwsim.blocks.systolic.config import Systolic
from hwsim.compiler import compile_network
from hwsim.network.integer import IntegerNetwork
from hwsim.network.lower import lower

from .streaming import Design
from .systolic.design import SystolicDesign

__all__ = ["build"]


def build(network, options=None):
    """Hardware for a quantized network.

    Parameters
    ----------
    network : Network or IntegerNetwork
        Quantized; see `hwsim.quantize`.
    options : Streaming or Systolic, optional
        A streaming pipeline, unless it is a `Systolic`.

    Returns
    -------
    Design or SystolicDesign

    Raises
    ------
    NetworkError
        For a layer that the hardware does not support, and for a network that is not quantized.
    ValueError
        If the target cannot be reached, or the accelerator is too small.
    """
    if options is not None and not isinstance(options, Streaming | Systolic):
        raise TypeError(f"options must be Streaming or Systolic, not {type(options).__name__}")
    if not isinstance(network, IntegerNetwork):
        network = lower(network)
    if isinstance(options, Systolic):
        return SystolicDesign(compile_network(network, options))
    return Design(plan_streaming(network, options))
