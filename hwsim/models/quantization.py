"""Post-training quantization: calibration by the float network, then `hwsim.network.quantize`."""

import numpy as np

from hwsim.network.integer import IntegerNetwork
from hwsim.network.lower import lower
from hwsim.network.network import Network, NetworkError, check_network
from hwsim.network.quantize import fold_affine, insert_qdq, quantized_tensors
from hwsim.network.random_weights import random_images, with_random_weights

from .reference import run

__all__ = ["quantize", "random_integer_network"]

METHODS = ("min-max", "percentile")
HISTOGRAM_BINS = 1 << 13
# Images that run at once; only the extremes of their feature maps are kept.
BATCH = 64
# Significant bits of the ranges of a random network.
RANGE_BITS = 6


def quantize(
    network: Network,
    calibration: np.ndarray,
    *,
    method: str = "min-max",
    percentile: float = 99.99,
    per_channel: bool = True,
    activation: str = "int8",
    weight_bits: int = 8,
) -> Network:
    """Quantize a float network to integers after training.

    Parameters
    ----------
    network : Network
        Float, with one input.
    calibration : ndarray of float32, (N, C, H, W)
        Inputs as the network gets them in use, from which the ranges of the feature maps are
        measured.
    method : "min-max" or "percentile"
        Ranges hold all values that were seen, or the share ``percentile`` of them at either end.
    percentile : float
        In percent, above 50 and up to 100; read from a histogram of 8192 bins.
    per_channel : bool
        One weight scale per output channel, instead of one per layer.
    activation : "int8" or "uint8"
        Type of the codes of feature maps.
    weight_bits : int
        2 to 8.

    Returns
    -------
    Network
        In QDQ form, with the same float inputs and outputs; ``save`` writes a file that ONNX
        Runtime runs.

    Raises
    ------
    NetworkError
        If a layer has no quantized form.
    ValueError
        If the calibration images do not fit the network, or another argument is not one of the
        above.
    """
    check_network(network)
    if method not in METHODS:
        raise ValueError(f"method must be 'min-max' or 'percentile', not {method!r}")
    if not 50 < percentile <= 100:
        raise ValueError(f"percentile must lie above 50 and be at most 100, not {percentile}")
    folded = fold_affine(network)
    names = quantized_tensors(folded)
    if not names:
        raise NetworkError(
            f"network {network.name} has no layer to quantize; accepted: at least one that is no "
            "reshaping and no Softmax at the end"
        )
    ranges = _ranges(folded, _checked(folded, calibration), names)
    if method == "percentile":
        ranges = _percentile_ranges(folded, calibration, ranges, percentile)
    options = {"per_channel": per_channel, "activation": activation, "weight_bits": weight_bits}
    return insert_qdq(folded, ranges, **options)


def random_integer_network(network: Network, seed: int = 0) -> IntegerNetwork:
    """Give a topology random int8 weights: quantized with one random image, and lowered.

    Parameters
    ----------
    network : Network
        Float, with one input; its parameters are replaced (`with_random_weights`).
    seed : int
        The same seed gives the same integers on every machine: ranges are rounded up to six
        significant bits, so that the last bits of float sums do not show.

    Returns
    -------
    IntegerNetwork

    Raises
    ------
    NetworkError
        If a layer has no quantized or no integer form.
    """
    check_network(network)
    folded = fold_affine(with_random_weights(network, seed))
    names = quantized_tensors(folded)
    ranges = _ranges(folded, _checked(folded, random_images(folded, 1, seed)), names)
    rounded = {name: tuple(map(_rounded_up, ends)) for name, ends in ranges.items()}
    return lower(insert_qdq(folded, rounded))


def _rounded_up(number):
    """Return the next number of `RANGE_BITS` significant bits, away from 0."""
    fraction, exponent = np.frexp(number)
    steps = np.copysign(np.ceil(np.abs(np.ldexp(fraction, RANGE_BITS))), number)
    return float(np.ldexp(steps, exponent - RANGE_BITS))


def _checked(network, calibration):
    if len(network.inputs) != 1:
        raise ValueError(f"calibration needs a network with one input, not {len(network.inputs)}")
    tensor = network.inputs[0]
    images = np.asarray(calibration)
    if images.ndim != len(tensor.shape) or images.shape[1:] != tensor.shape[1:] or not len(images):
        expected = ", ".join(map(str, ("N", *tensor.shape[1:])))
        raise ValueError(f"calibration images must have the shape ({expected}), not {images.shape}")
    if 0 in tensor.shape:
        raise ValueError(f"calibration needs an input with values, not of the shape {tensor.shape}")
    if images.dtype != tensor.dtype:
        raise ValueError(
            f"calibration images must have the dtype {tensor.dtype}, not {images.dtype}"
        )
    if len(images) % tensor.shape[0]:
        raise ValueError(
            f"calibration must hold a multiple of {tensor.shape[0]} images, the network's batch, "
            f"not {len(images)}"
        )
    if not np.all(np.isfinite(images)):
        raise ValueError("calibration images must be finite")
    return images


def _maps(network, images, names):
    """Yield the feature maps ``names`` of some images after another."""
    batch = network.inputs[0].shape[0]
    step = max(1, BATCH // batch) * batch
    for start in range(0, len(images), step):
        # What overflows is found by its range.
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            maps = run(network, images[start : start + step], names)
        yield maps


def _ranges(network, images, names):
    """Return (minimum, maximum) of each feature map."""
    low, high = dict.fromkeys(names, np.inf), dict.fromkeys(names, -np.inf)
    for maps in _maps(network, images, names):
        for name, values in maps.items():
            low[name] = min(low[name], float(values.min()))
            high[name] = max(high[name], float(values.max()))
    return {name: (low[name], high[name]) for name in names}


def _percentile_ranges(network, images, ranges, percentile):
    """Return the same without the share ``100 - percentile`` at either end."""
    counts = {name: np.zeros(HISTOGRAM_BINS, np.int64) for name in ranges}
    for maps in _maps(network, images, list(ranges)):
        for name, values in maps.items():
            counts[name] += np.histogram(values, HISTOGRAM_BINS, ranges[name])[0]
    found = {}
    for name, (low, high) in ranges.items():
        edges = np.linspace(low, high, HISTOGRAM_BINS + 1)
        below = np.cumsum(counts[name])
        outside = below[-1] * (1 - percentile / 100)
        # The bin in which the share is exceeded still belongs to the range, on either side.
        first = int(np.searchsorted(below, outside, side="right"))
        above = below[-1] - below[::-1]
        last = HISTOGRAM_BINS + 1 - int(np.searchsorted(above, outside, side="right"))
        found[name] = (float(edges[first]), float(edges[last]))
    return found
