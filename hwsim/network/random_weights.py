"""Random parameters, for topologies whose files hold none that are trained.

The weights of an output channel have mean 0 and the variance that keeps the variance of feature
maps: He et al., "Delving Deep into Rectifiers", ICCV 2015, with the mean taken out as in Brock et
al., "Characterizing Signal Propagation to Close the Performance Gap in Unnormalized ResNets", ICLR
2021, section 4. Else the maps of deep networks come to hold one number at all positions.
"""

import hashlib
import math
from dataclasses import replace

import numpy as np

from .network import Network

__all__ = ["lacks_weights", "notice", "random_images", "with_random_weights"]

# Of a normal number's variance (1 - 1 / pi) / 2 is left behind a ReLU.
RECTIFIED_GAIN = 2 / (1 - 1 / math.pi)
# Standard deviation of the numbers 0 to 255.
LEVELS_DEVIATION = math.sqrt((256**2 - 1) / 12)
PRODUCTS = ("Conv", "Gemm", "MatMul")
# Ranges of all other parameters: addends beside maps that keep the deviation of the images, which
# is 74; a batch normalization leaves it as it finds it.
AROUND_0, AROUND_1 = (-16.0, 16.0), (0.8, 1.2)
BATCH_NORMALIZATION = {1: AROUND_1, 2: AROUND_0, 3: AROUND_0, 4: AROUND_1}
CONSTANTS = {"Mul": AROUND_1} | dict.fromkeys(("Add", "Conv", "Gemm", "Sum"), AROUND_0)
# What they give is rectified if what they read is.
PASSING = frozenset(
    (
        "AveragePool",
        "Concat",
        "Dropout",
        "Flatten",
        "GlobalAveragePool",
        "GlobalMaxPool",
        "Identity",
        "LRN",
        "MaxPool",
        "Pad",
        "Reshape",
        "Squeeze",
        "SumPool",
        "Transpose",
        "Unsqueeze",
    )
)


def lacks_weights(network: Network) -> bool:
    """Whether a float network has convolutions or matrix products, and zeros for all weights."""
    names = [layer.inputs[1] for layer in network.layers if layer.op in PRODUCTS]
    return bool(names) and not any(
        name not in network.constants or network.constants[name].any() for name in names
    )


def notice(network: Network) -> str:
    """What is said where a network that `lacks_weights` goes to hardware."""
    return f"{network.name} has no weights of its own and gets random ones"


def with_random_weights(network: Network, seed: int = 0) -> Network:
    """Return the float network with random parameters, the same on every machine.

    Drawn are weights and biases of Conv, Gemm and MatMul, the parameters of BatchNormalization, and
    the constants of Add, Mul and Sum: each from ``seed`` and its name.
    """
    drawn: dict[str, np.ndarray] = {}
    for layer in network.layers:
        for place, name in enumerate(layer.inputs):
            if name not in network.constants or name in drawn:
                continue
            shape, key = network.constants[name].shape, f"{seed} {name}"
            if layer.op in PRODUCTS and place == 1:
                gain = RECTIFIED_GAIN if _rectified(network, layer.inputs[0]) else 1.0
                drawn[name] = _weights(layer, shape, gain, key)
            elif layer.op == "BatchNormalization":
                drawn[name] = _even(shape, *BATCH_NORMALIZATION[place], key)
            elif layer.op in CONSTANTS:
                drawn[name] = _even(shape, *CONSTANTS[layer.op], key)
    return replace(network, constants={**network.constants, **drawn})


def random_images(network: Network, count: int = 1, seed: int = 0) -> np.ndarray:
    """Return inputs, float32 (count, ...), the same on every machine.

    Like pixels without their mean they lie evenly from -127.5 to 127.5: LRN, whose attributes were
    chosen for such, would do nothing to smaller numbers.

    Raises
    ------
    ValueError
        If the network has not one input.
    """
    if len(network.inputs) != 1:
        raise ValueError(f"images need a network with one input, not {len(network.inputs)}")
    tensor = network.inputs[0]
    return _even((count, *tensor.shape[1:]), -127.5, 127.5, f"{seed} images")


def _rectified(network, name):
    """Whether a feature map has passed a ReLU since the last sum."""
    layer = network.producers.get(name)
    if layer is None or layer.op not in PASSING:
        return layer is not None and layer.op == "Relu"
    return any(_rectified(network, source) for source in layer.inputs)


def _weights(layer, shape, gain, key):
    """Weights of a convolution or matrix product, float32: of mean 0 in each output channel."""
    outputs_last = layer.op == "MatMul" or (layer.op == "Gemm" and not layer.attributes["trans_b"])
    axes = tuple(range(len(shape) - 1)) if outputs_last else tuple(range(1, len(shape)))
    taps = math.prod(shape[axis] for axis in axes)
    levels = _levels(shape, key)
    # Integers have a sum that does not depend on its order.
    mean = levels.sum(axis=axes, keepdims=True, dtype=np.int64) / taps if taps > 1 else 127.5
    return (levels - np.float32(mean)) * np.float32(math.sqrt(gain / taps) / LEVELS_DEVIATION)


def _levels(shape, key):
    """Return numbers from 0 to 255, uint8. NumPy keeps the raw numbers of generators stable."""
    size = math.prod(shape)
    digest = hashlib.sha256(key.encode()).digest()
    raw = np.random.PCG64(int.from_bytes(digest, "little")).random_raw(-(-size // 8))
    return raw.astype("<u8", copy=False).view(np.uint8)[:size].reshape(shape)


def _even(shape, low, high, key):
    """Return numbers spread evenly from ``low`` to ``high``, float32."""
    return _levels(shape, key) * np.float32((high - low) / 255) + np.float32(low)
