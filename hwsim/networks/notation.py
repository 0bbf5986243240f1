"""Networks as texts: as Cireşan et al. write them, and variants of the CIFAR-10 tutorial's.

``48x48-100C3-MP2-200C2-MP2-300C2-MP2-400C2-MP2-500N-3755``, for example.
Cireşan, Meier, Schmidhuber, "Multi-column Deep Neural Networks for Image Classification", CVPR
2012. The parts, from the input to the output:

* ``48x48`` or ``3x48x48``: an image, with its channels first; ``784``: a vector.
* ``100C3``: 100 kernels of 3 x 3, stride 1, no padding.
* ``MP2``, or ``100MP2`` with the number of maps: the largest of each 2 x 2; a last block that is
  partly filled counts. With such blocks left out, the article's network for CIFAR-10 would run out
  of pixels.
* ``500N``: a fully connected layer of 500 units; the ``N`` of the last may be missing.

An activation follows every convolution and every fully connected layer but the last: tanh, or what
ends the text, as in ``784-500-10-sigmoid``. A committee is the mean of the results of several such
networks, each a run of its own.

``cifar10-5x64-3x32`` is the tutorial's network with 64 kernels of 5 x 5, then 32 of 3 x 3.
"""

import re

from .graph import Graph

__all__ = ["ACTIVATIONS", "is_notation", "kernels", "parse"]

ACTIVATIONS = {"relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh"}

_NUMBER = r"[1-9]\d{0,5}"
_PART = re.compile(
    rf"(?P<outputs>{_NUMBER})C(?P<kernel>{_NUMBER})|(?P<maps>{_NUMBER})?MP(?P<block>{_NUMBER})"
    rf"|(?P<units>{_NUMBER})N?",
    re.ASCII,
)
_KERNELS = re.compile(rf"({_NUMBER})x({_NUMBER})", re.ASCII)
_INPUT = re.compile(rf"{_NUMBER}(x{_NUMBER}){{0,2}}", re.ASCII)


def is_notation(text):
    """Whether ``text`` begins as a notation does: an input or cifar10, a hyphen, and more."""
    return re.match(r"(\d+(x\d+)*|cifar10)-", text, re.ASCII) is not None


def kernels(text):
    """Size and number of each convolution's kernels in ``cifar10-5x64-3x32``, None for others.

    Raises
    ------
    ValueError
        If a part has another form.
    """
    first, *parts = text.split("-")
    if first != "cifar10" or not parts:
        return None
    found = []
    for index, part in enumerate(parts, 2):
        match = _KERNELS.fullmatch(part)
        if match is None:
            raise ValueError(
                f"part {index} of {text} is '{part}'; accepted: a size and a number of kernels, as "
                "in cifar10-5x64-3x32"
            )
        found.append((int(match[1]), int(match[2])))
    return tuple(found)


def parse(text):
    """Return the `Graph` that a text as of Cireşan et al. describes.

    Raises
    ------
    ValueError
        If a part has another form, or does not fit what comes before it.
    """
    first, *parts = text.split("-")
    activation = ACTIVATIONS["tanh"]
    if len(parts) > 1 and parts[-1] in ACTIVATIONS:
        activation = ACTIVATIONS[parts.pop()]
    graph = Graph(text, _input(text, first))
    for index, part in enumerate(parts, 1):
        last = index == len(parts)
        found = _PART.fullmatch(part)
        if found is None:
            raise ValueError(
                f"part {index + 1} of {text} is '{part}'; accepted: 100C3, MP2 and 500N, with "
                "numbers from 1 to 999999"
            )
        if last and not found["units"]:
            raise ValueError(f"{text} ends with '{part}'; accepted: a number of units")
        if found["units"]:
            if graph.size:
                graph.flatten()
            graph.dense(f"dense{index}", int(found["units"]))
        else:
            window = int(found["kernel"] or found["block"])
            if not graph.size or window > min(graph.size):
                map_ = " x ".join(map(str, graph.size)) or "a vector"
                raise ValueError(f"part {index + 1} of {text} is '{part}', which gets {map_}")
            if found["maps"] and int(found["maps"]) != graph.channels:
                raise ValueError(
                    f"part {index + 1} of {text} is '{part}', which gets {graph.channels} maps"
                )
            if found["block"]:
                graph.pool(f"pool{index}", window, window)
            else:
                graph.conv(f"conv{index}", int(found["outputs"]), window)
        if not found["block"] and not last:
            graph.node(activation, f"{activation.lower()}{index}", graph.at)
    return graph


def _input(text, part):
    if _INPUT.fullmatch(part) is None:
        raise ValueError(
            f"{text} begins with '{part}'; accepted: an input such as 48x48, 3x48x48 or 784"
        )
    shape = tuple(map(int, part.split("x")))
    return (1, *shape) if len(shape) == 2 else shape
