"""Eyeriss, as its authors measured it."""

import pandas as pd

from hwsim.models.dataflow.workload import Convolution, Gemm, Work, Workload
from hwsim.models.space import evaluate

from .check import Check

__all__ = ["eyeriss_frames", "eyeriss_memory"]

SOURCE = (
    "Chen, Krishna, Emer and Sze, JSSC 52(1), 2017, abstract (copy: vdocuments.site, 'IEEE Journal "
    "of Solid-State Circuits 1, Eyeriss: an ...'): convolutional layers, 35 frames/s and 0.0029 "
    "DRAM accesses per MAC for AlexNet (N = 4), 0.7 frames/s and 0.0035 for VGG-16 (N = 3)"
)
KNOWN = (
    "no number is fitted, but AlexNet is no blind prediction: what a pass costs was modelled with "
    "the chip's latencies for AlexNet in mind; VGG-16's large maps are predicted much too fast"
)
# Name, images, measured frames/s, measured DRAM accesses per multiply-accumulate.
MEASURED = (("AlexNet", 4, 35.0, 0.0029), ("VGG-16", 3, 0.7, 0.0035))
# Map with its padding left out, channels, filters, kernel, stride, padding, groups.
LAYERS = {
    "AlexNet": (
        (227, 3, 96, 11, 4, 0, 1),
        (27, 96, 256, 5, 1, 2, 2),
        (13, 256, 384, 3, 1, 1, 1),
        (13, 384, 384, 3, 1, 1, 2),
        (13, 384, 256, 3, 1, 1, 2),
    ),
    "VGG-16": (
        (224, 3, 64, 3, 1, 1, 1),
        (224, 64, 64, 3, 1, 1, 1),
        (112, 64, 128, 3, 1, 1, 1),
        (112, 128, 128, 3, 1, 1, 1),
        (56, 128, 256, 3, 1, 1, 1),
        *[(56, 256, 256, 3, 1, 1, 1)] * 2,
        (28, 256, 512, 3, 1, 1, 1),
        *[(28, 512, 512, 3, 1, 1, 1)] * 2,
        *[(14, 512, 512, 3, 1, 1, 1)] * 3,
    ),
}
VALUE_BYTES = 2


def layers(name, images):
    """The convolutional layers of a network, as a `Workload` that nothing connects."""
    works, sizes = [], {}
    for number, (size, channels, filters, kernel, stride, pad, groups) in enumerate(LAYERS[name]):
        out = (size + 2 * pad - kernel) // stride + 1
        taps = kernel**2 * channels // groups
        source, target = f"in{number}", f"out{number}"
        sizes[source] = images * channels * size**2 * VALUE_BYTES
        sizes[target] = images * filters * out**2 * VALUE_BYTES
        works.append(
            Work(
                f"conv{number + 1}",
                "Conv",
                gemm=Gemm(images * out**2, filters // groups, taps, groups),
                convolution=Convolution(
                    images=images,
                    channels=channels,
                    outputs=filters,
                    groups=groups,
                    size=(size, size),
                    output_size=(out, out),
                    kernel=(kernel, kernel),
                    stride=(stride, stride),
                    dilation=(1, 1),
                ),
                weight_bytes=filters * taps * VALUE_BYTES,
                inputs=(source,),
                outputs=(target,),
            )
        )
    return Workload(images, "int16", tuple(works), sizes, set(sizes))


def _check(name, title, unit, quantity, notes):
    rows = []
    for network, images, frames, accesses in MEASURED:
        found = evaluate(layers(network, images), device="eyeriss")
        predicted = {
            "frames": images / found.seconds[0],
            "accesses": found.bytes[0] / VALUE_BYTES / found.macs,
        }
        measured = {"frames": frames, "accesses": accesses}
        point = f"{network}, {images} images"
        rows.append(("eyeriss", point, predicted[quantity], measured[quantity]))
    points = pd.DataFrame(rows, columns=["group", "point", "predicted", "measured"])
    return Check(name, title, unit, points, SOURCE, notes=(*notes, KNOWN))


def eyeriss_frames():
    """Images per second of Eyeriss, convolutional layers."""
    return _check(
        "eyeriss-frames",
        "Images per second of Eyeriss, convolutional layers",
        "images/s",
        "frames",
        ("measured numbers have two digits and one",),
    )


def eyeriss_memory():
    """DRAM accesses of Eyeriss, convolutional layers."""
    return _check(
        "eyeriss-memory",
        "DRAM accesses of Eyeriss, convolutional layers",
        "accesses/MAC",
        "accesses",
        ("the chip compresses zeros in feature maps, and the model does not",),
    )
