"""Known networks by name, as topologies: their weights are zeros that take no memory.

`network` takes a name of `NAMES`, or a text in a notation (`hwsim.networks.notation`); `cifar10`
and `mlp` make families. To build hardware, give them random integers through
`hwsim.models.quantization.random_integer_network`.
"""

from functools import cache

from hwsim.network.load import load

from .catalog import CATALOG, CIFAR10, cifar10_graph, mlp_graph
from .graph import Graph
from .notation import ACTIVATIONS, is_notation, kernels, parse

__all__ = ["ACTIVATIONS", "NAMES", "cifar10", "is_notation", "mlp", "model", "network"]

NAMES = (*CATALOG, "cifar10")
"""Names of the known networks; "cifar10" is that of TensorFlow's tutorial."""
LARGEST_WIDTH = 1 << 20
# Of the CIFAR-10 tutorial's images.
LARGEST_KERNEL = 24


def model(name):
    """The network ``name`` as an ``onnx.ModelProto``, for any number of images; see `network`."""
    if found := kernels(name):
        return _cifar10(found).model()
    if is_notation(name):
        return parse(name).model()
    if name == "cifar10":
        return cifar10_graph(name, CIFAR10).model()
    if name not in CATALOG:
        raise ValueError(
            f"unknown network '{name}'; known are {', '.join(NAMES)}, and texts such as "
            "28x28-20C5-MP2-500N-10, 784-500-10-sigmoid and cifar10-5x64-3x32"
        )
    shape, fill = CATALOG[name]
    graph = Graph(name, shape)
    fill(graph)
    return graph.model()


@cache
def network(name):
    """A known network, for one image.

    Parameters
    ----------
    name : str
        One of `NAMES`, or a notation: ``"28x28-20C5-MP2-500N-10"``, whose activation is tanh,
        ``"784-500-10-sigmoid"``, which names it, or ``"cifar10-5x64-3x32"``.

    Returns
    -------
    Network

    Raises
    ------
    ValueError
        If there is none, or a notation is wrong; the message names the part.
    """
    return load(model(name))


def cifar10(kernels=CIFAR10):
    """The CIFAR-10 network of TensorFlow's tutorial, or a variant of it, for one image.

    Parameters
    ----------
    kernels : sequence of (int, int)
        Size, 1 to 24, and number of the kernels of each convolution.

    Raises
    ------
    ValueError
        If there are not one to four convolutions, or an entry is no such pair.
    """
    return load(_cifar10(kernels).model())


def _cifar10(kernels):
    """The `Graph` of `cifar10`; its name is the notation."""
    if not isinstance(kernels, list | tuple) or not 1 <= len(kernels) <= 4:
        raise ValueError(f"kernels must be 1 to 4 pairs of a size and a number, not {kernels!r}")
    for pair in kernels:
        if (
            not isinstance(pair, list | tuple)
            or len(pair) != 2
            or not all(isinstance(number, int) for number in pair)
            or not (1 <= pair[0] <= LARGEST_KERNEL and 1 <= pair[1] <= LARGEST_WIDTH)
        ):
            raise ValueError(
                f"kernels must be pairs of a size from 1 to {LARGEST_KERNEL} and a positive "
                f"number, not {pair!r}"
            )
    name = "-".join(("cifar10", *(f"{size}x{count}" for size, count in kernels)))
    return cifar10_graph(name, kernels)


def mlp(widths, activation="sigmoid"):
    """A multi-layer perceptron, for one image, which is a vector.

    Parameters
    ----------
    widths : sequence of int
        Inputs, units of each hidden layer, outputs.
    activation : "relu", "sigmoid" or "tanh"
        Of the hidden layers.

    Raises
    ------
    ValueError
        If there are fewer than two widths, one is not positive, or the activation is another.
    """
    widths = tuple(widths)
    if len(widths) < 2 or not all(
        isinstance(width, int) and 1 <= width <= LARGEST_WIDTH for width in widths
    ):
        raise ValueError(f"widths must be at least two positive integers, not {widths}")
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation must be relu, sigmoid or tanh, not {activation!r}")
    name = "_".join(("mlp", *map(str, widths)))
    return load(mlp_graph(name, widths, ACTIVATIONS[activation]).model())
