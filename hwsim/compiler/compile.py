"""From an integer network to a program."""

from hwsim.network.integer import IntegerNetwork
from hwsim.network.lower import lower
from hwsim.network.network import NetworkError

from .checks import check_layer, check_program
from .emit import Emitter
from .plan import make_plan

__all__ = ["compile_network"]


def compile_network(network, config):
    """Compile a network for a systolic accelerator.

    Parameters
    ----------
    network : Network or IntegerNetwork
        Quantized.
    config : Systolic

    Returns
    -------
    Program
        The same for equal arguments.

    Raises
    ------
    NetworkError
        For a layer that the accelerator does not compute; the message names it.
    ValueError
        If a size of the accelerator is too small; the message names the layer and the smallest
        value that works.
    """
    if not isinstance(network, IntegerNetwork):
        network = lower(network)
    if not network.layers:
        raise NetworkError(f"{network.name} has no layer to build")
    for layer in network.layers:
        check_layer(layer, network, config)
    plan = make_plan(network, config)
    program = Emitter(network, config, plan).program()
    check_program(program)
    return program
