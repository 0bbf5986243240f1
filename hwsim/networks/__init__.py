"""Known networks by name, as topologies: their weights are zeros that take no memory.

`network` takes a name of `NAMES`, or a text in a notation (`hwsim.networks.notation`); `cifar10`
and `mlp` make families. To build hardware, give them random integers through
`hwsim.models.quantization.random_integer_network`.
"""

from functools import cache

from hwsim.network.load import load

from .catalog import CATALOG, CIFAR10, cifar10_graph, mlp_graph
from .graph import Graph
from .notation import is_notation, parse

__all__ = ["ACTIVATIONS", "NAMES", "cifar10", "is_notation", "mlp", "model", "network"]

NAMES = (*CATALOG, "cifar10")
"""Names of the known networks; "cifar10" is that of TensorFlow's tutorial."""
ACTIVATIONS = {"relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh"}
LARGEST_WIDTH = 1 << 20


def model(name):
    """The network ``name`` as an ``onnx.ModelProto``, for any number of images; see `network`."""
    if is_notation(name):
        return parse(name, "Tanh").model()
    if name == "cifar10":
        return cifar10_graph(name, CIFAR10).model()
    if name not in CATALOG:
        raise ValueError(
            f"unknown network '{name}'; known are {', '.join(NAMES)}, and texts such as "
            "28x28-20C5-MP2-500N-10"
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
        One of `NAMES`, or a notation such as ``"28x28-20C5-MP2-500N-10"``, whose activation is
        tanh.

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
        Size, which is odd, and number of the kernels of each convolution.

    Raises
    ------
    ValueError
        If there are not one to four convolutions, a size is even, or a number is not positive.
    """
    kernels = tuple((size, count) for size, count in kernels)
    if not 1 <= len(kernels) <= 4:
        raise ValueError(f"kernels must have 1 to 4 entries, not {len(kernels)}")
    for size, count in kernels:
        if size < 1 or size % 2 == 0 or not 1 <= count <= LARGEST_WIDTH:
            raise ValueError(
                f"kernels must be pairs of an odd size and a positive number, not {(size, count)}"
            )
    name = "_".join(("cifar10", *(f"{count}c{size}" for size, count in kernels)))
    return load(cifar10_graph(name, kernels).model())


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
