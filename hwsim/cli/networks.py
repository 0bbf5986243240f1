"""Commands about a network: ``info``, ``quantize``, ``pictures``."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from hwsim.terminal import Terminal

from .inputs import as_integers, load_images_for, load_network, with_report, with_weights
from .options import (
    CALIBRATION_HELP,
    DONE,
    NEGATIVE,
    AcceleratorOptions,
    CalibrationOption,
    ImagesOption,
    JsonOption,
    ModelArgument,
    ReportOption,
    ShapeOption,
    StrictOption,
)

__all__ = ["info", "quantize", "show_pictures"]


def info(
    *,
    model: ModelArgument,
    input_shape: ShapeOption = None,
    strict: StrictOption = False,
    geometry: Annotated[
        bool,
        typer.Option(
            "--geometry",
            help="Also print receptive fields, and what a layer would cost fully connected.",
        ),
    ] = False,
    report: ReportOption = None,
    as_json: JsonOption = False,
) -> int:
    """Print the layers of a network: output shape, parameters, multiply-accumulates (MACs)."""
    from hwsim.tables import show_geometry, show_layers

    terminal = Terminal(as_json=as_json)
    network = load_network(terminal, model, input_shape, strict, quiet=True)
    result = (show_geometry if geometry else show_layers)(terminal, network)
    for note in result["left_out"]:
        terminal.say(note)
    items = [network]
    if geometry and report is not None:
        from hwsim.reports.sections import receptive_fields

        items.append(receptive_fields(network))
    terminal.finish(with_report(terminal, result, report, *items, title=network.name))
    return DONE


def quantize(
    *,
    model: ModelArgument,
    calibration: Annotated[
        str,
        typer.Option("--calibration", metavar="IMAGES", help=CALIBRATION_HELP, show_default=False),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", metavar="FILE", help="ONNX file to write.", show_default=False
        ),
    ],
    method: Annotated[
        Literal["min-max", "percentile"], typer.Option(help="How the range of a tensor is found.")
    ] = "min-max",
    percentile: Annotated[
        float,
        typer.Option(
            min=50, max=100, help="Share of the values within the range, for --method percentile."
        ),
    ] = 99.99,
    per_tensor: Annotated[
        bool,
        typer.Option("--per-tensor", help="One scale for a layer's weights, not one per channel."),
    ] = False,
    activation: Annotated[
        Literal["int8", "uint8"], typer.Option(help="Type of the codes of feature maps.")
    ] = "int8",
    weight_bits: Annotated[
        int, typer.Option(min=2, max=8, metavar="N", help="Bits of a weight.")
    ] = 8,
    input_shape: ShapeOption = None,
    as_json: JsonOption = False,
) -> int:
    """Quantize a float network, and write it as an ONNX file (QDQ) that ONNX Runtime runs too."""
    import hwsim

    terminal = Terminal(as_json=as_json)
    network = load_network(terminal, model, input_shape)
    images = load_images_for(network, calibration, key="calibration")
    with terminal.progress("quantizing"):
        quantized = hwsim.quantize(
            with_weights(terminal, network),
            calibration=images.images,
            method=method,
            percentile=percentile,
            per_channel=not per_tensor,
            activation=activation,
            weight_bits=weight_bits,
        )
    quantized.save(output)
    terminal.say(f"{output}: {len(quantized.layers)} layers, calibrated with {len(images)} images")
    terminal.finish(
        {"output": output, "layers": len(quantized.layers), "calibration_images": len(images)}
    )
    return DONE


def show_pictures(
    *,
    model: ModelArgument,
    images: ImagesOption,
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", metavar="FILE", help="HTML file to write.", show_default=False
        ),
    ],
    index: Annotated[
        int, typer.Option("--index", min=0, metavar="K", help="Which of the images.")
    ] = 0,
    layer: Annotated[
        str | None,
        typer.Option(
            "--layer",
            metavar="LAYER",
            help="Whose receptive field is drawn; the last one with a map if not given.",
            show_default=False,
        ),
    ] = None,
    position: Annotated[
        tuple[int, int] | None,
        typer.Option(
            "--position",
            metavar="ROW COLUMN",
            help="In its map; that of the largest value if not given.",
            show_default=False,
        ),
    ] = None,
    shift: Annotated[
        list[int] | None,
        typer.Option(
            "--shift",
            metavar="N",
            help="Pixels by which the image moves; may be repeated.",
            show_default=False,
        ),
    ] = None,
    accelerator: AcceleratorOptions,
    calibration: CalibrationOption = None,
    input_shape: ShapeOption = None,
    as_json: JsonOption = False,
) -> int:
    """Show kernels, feature maps, shifted images and a receptive field, from simulated hardware.

    A float model is quantized first, with the images of --calibration or else of --images. The exit
    status is 1 if any value differs from the integer reference.
    """
    import hwsim
    from hwsim.reports.pictures import pictures

    if output.suffix != ".html":
        raise ValueError(f"a report's path must end in .html, not {str(output)!r}")
    terminal = Terminal(as_json=as_json)
    network = load_network(terminal, model, input_shape)
    given = load_images_for(network, images)
    if index >= len(given):
        raise ValueError(f"--index must be at most {len(given) - 1} in {images}, not {index}")
    quantized = as_integers(terminal, network, model, calibration or images)
    design = hwsim.build(quantized, accelerator)
    with terminal.progress("simulating"):
        sections, mismatches = pictures(
            quantized,
            design,
            given.images[index],
            layer=layer,
            position=position,
            shifts=shift or None,
        )
    files = hwsim.report(*sections, title=f"{network.name}: what it sees").save(output)
    for file in files:
        terminal.say(f"{file}")
    terminal.finish({"mismatches": mismatches, "files": [str(file) for file in files]})
    return NEGATIVE if mismatches else DONE
