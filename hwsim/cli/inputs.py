"""Networks, images and reports of a command's arguments."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hwsim.terminal import Terminal

__all__ = ["as_integers", "load_images_for", "load_network", "with_report", "with_weights"]


def with_report(
    terminal: Terminal, result: dict[str, Any], path: Path | None, *items: Any, title: str
) -> dict[str, Any]:
    """The result of a command; where a report is asked for, it is written, and named there."""
    import hwsim

    if path is None:
        return result
    with terminal.progress("writing the report"):
        files = hwsim.report(*items, title=title).save(path)
    terminal.say(f"{files[0]}: report, with Markdown and CSV beside it")
    return {**result, "report": files[0]}


def as_integers(terminal: Terminal, network: Any, model: str, calibration: str | None) -> Any:
    """Quantize a network that is float; ``model`` names it in messages.

    One that gets random weights needs no ``calibration``: random images do.
    """
    import hwsim
    from hwsim.models.dataflow.workload import is_quantized
    from hwsim.network.random_weights import random_images

    if is_quantized(network):
        return network
    given = with_weights(terminal, network)
    if calibration is not None:
        images = load_images_for(network, calibration, key="calibration").images
    elif given is not network:
        images = random_images(network)
    else:
        raise ValueError(
            f"{model} is a float network: quantize it with 'hwsim quantize', or give --calibration"
        )
    with terminal.progress("quantizing"):
        return hwsim.quantize(given, calibration=images)


def with_weights(terminal: Terminal, network: Any) -> Any:
    """The network; one without weights of its own gets random ones, which is said."""
    from hwsim.network.random_weights import lacks_weights, notice, with_random_weights

    if not lacks_weights(network):
        return network
    terminal.remark(notice(network))
    return with_random_weights(network)


def load_network(
    terminal: Terminal,
    model: str,
    input_shapes: Sequence[str] | None,
    strict: bool = False,
    quiet: bool = False,
) -> Any:
    """Load the network in a file, a bundled one, or a known one.

    Says what strides leave out, of the first layer where there are several, unless ``quiet``.
    """
    import hwsim
    from hwsim.data import bundled, bundled_networks

    source: Any = Path(model)
    if not source.exists():
        known = model not in bundled_networks()
        source = _known(model) if known else bundled(f"{model}/{model}.onnx")
    shapes: dict[str, tuple[int, ...]] = {}
    for text in input_shapes or ():
        name, shape = _shape(text)
        if name in shapes:
            raise ValueError(f"--input-shape names {name!r} more than once")
        shapes[name] = shape
    network = hwsim.load(source, shapes or None, strict=strict)
    if not quiet and (notes := network.left_out()):
        more = f"; hwsim info names {len(notes) - 1} more" if len(notes) > 1 else ""
        terminal.say(notes[0] + more)
    return network


def _known(model: str) -> Any:
    """The ONNX model of a known network, by its name or notation."""
    from hwsim import networks
    from hwsim.data import bundled_networks

    if model in networks.NAMES or networks.is_notation(model):
        return networks.model(model)
    raise FileNotFoundError(
        f"{model} does not exist; give an ONNX file, a bundled network "
        f"({', '.join(bundled_networks())}), a known one ({', '.join(networks.NAMES)}) or a "
        "notation such as 28x28-20C5-MP2-500N-10, 784-500-10-sigmoid or cifar10-5x64-3x32"
    )


def _shape(text: str) -> tuple[str, tuple[int, ...]]:
    """Parse ``NAME=N,C,H,W``."""
    name, equals, sizes = text.rpartition("=")
    parts = sizes.split(",")
    if not equals or not name or not all(part.strip().isdecimal() and int(part) for part in parts):
        raise ValueError(f"--input-shape must look like image=1,3,32,32, not {text!r}")
    return name, tuple(int(part) for part in parts)


def load_images_for(network: Any, source: str, *, key: str = "images") -> Any:
    """Load images for a network's input, from a file or of a bundled network."""
    from hwsim.data import bundled, bundled_networks
    from hwsim.images import load_images

    path = Path(source)
    if not path.exists() and source in bundled_networks():
        path = bundled(f"{source}/images.npz")
    if len(network.inputs) != 1:
        names = ", ".join(tensor.name for tensor in network.inputs) or "none"
        raise ValueError(
            f"images need a network with one input; {network.name} has {len(network.inputs)}: "
            f"{names}"
        )
    tensor = network.inputs[0]
    return load_images(path, tensor.shape[1:], tensor.dtype, key=key)
