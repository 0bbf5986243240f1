"""The command ``hwsim``: each command is thin, and imports what it needs when it runs."""

import dis
import sys
import time
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.exceptions import TyperException

__all__ = ["app", "main"]

# Exit status: done; the result is negative (a mismatch); bad input.
DONE, NEGATIVE, BAD_INPUT = 0, 1, 2

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Arch(StrEnum):
    """Accelerators that can be built."""

    streaming = "streaming"


class Engine(StrEnum):
    """Simulators of a design."""

    amaranth = "amaranth"


class Method(StrEnum):
    """How calibration turns values into a range."""

    min_max = "min-max"
    percentile = "percentile"


ModelArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="An ONNX file, float or quantized, or the name of a bundled network: lenet5, digits.",
        show_default=False,
    ),
]
ShapeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--input-shape",
        metavar="NAME=N,C,H,W",
        help="Shape of an input that the model leaves open. May be repeated.",
    ),
]
ImagesOption = Annotated[
    str,
    typer.Option(
        "--images",
        metavar="IMAGES",
        help="An .npz with 'images' of shape (N, C, H, W) and, optionally, 'labels'; an .npy; a folder of pictures; "
        "or the name of a bundled network. For a float input, uint8 images are divided by 255.",
        show_default=False,
    ),
]
CalibrationOption = Annotated[
    str | None,
    typer.Option(
        "--calibration",
        metavar="IMAGES",
        help="Images to quantize a float model with, read as --images are; of an .npz, 'calibration' if it is there.",
        show_default=False,
    ),
]
CountOption = Annotated[
    int | None,
    typer.Option("--count", min=1, metavar="N", help="Take the first N images only.", show_default=False),
]
ArchOption = Annotated[Arch, typer.Option("--arch", help="Accelerator to build.")]
CyclesOption = Annotated[
    int | None,
    typer.Option(
        "--cycles-per-image",
        min=1,
        metavar="N",
        help="Choose the folding of every layer so that an image takes at most N cycles.",
        show_default=False,
    ),
]
MultipliersOption = Annotated[
    int | None,
    typer.Option(
        "--multipliers",
        min=1,
        metavar="N",
        help="Choose the folding so that at most N multipliers are spent.",
        show_default=False,
    ),
]
JsonOption = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON object on standard output, and all else on standard error."),
]


@app.callback(invoke_without_command=True, epilog="Exit status: 0 done, 1 negative result, 2 bad input.")
def hwsim_command(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """From a trained CNN (ONNX) to verified hardware and a performance report.

    A model goes in. Out come synthesizable Verilog, a cycle-accurate simulation of it that is compared bit by bit
    with an integer reference, and an estimate of the same network on CPUs, GPUs, TPUs and FPGAs.

    [bold]Start here[/bold]

      hwsim demo                                       everything below, on a bundled network
      hwsim info model.onnx                            layers, parameters, multiply-accumulates
      hwsim quantize model.onnx --calibration c.npz -o int8.onnx
      hwsim verilog int8.onnx -o rtl/
      hwsim simulate int8.onnx --images test.npz --count 4
      hwsim estimate model.onnx --device tpu-v1 --device gtx-1080-ti --batch 16
    """
    if version:
        from hwsim.version import __version__

        print(f"hwsim {__version__}")
    elif context.invoked_subcommand is None:
        print(context.get_help())


@app.command()
def info(
    model: ModelArgument,
    input_shape: ShapeOption = None,
    strict: StrictOption = False,
    as_json: JsonOption = False,
) -> int:
    """Print the layers of a network: output shape, parameters, multiply-accumulates (MACs) per run."""
    terminal = Terminal(as_json=as_json)
    terminal.finish(show_layers(terminal, _load(model, input_shape, strict)))
    return DONE


@app.command()
def quantize(
    model: ModelArgument,
    calibration: Annotated[str, typer.Option("--calibration", metavar="IMAGES", help=CALIBRATION)],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The ONNX file to write.")],
    method: Annotated[Method, typer.Option(help="How calibration finds the range of a tensor.")] = Method.min_max,
    percentile: Annotated[
        float, typer.Option(min=50, max=100, help="Share of values inside the range, for --method percentile.")
    ] = 99.99,
    per_tensor: Annotated[
        bool, typer.Option("--per-tensor", help="One scale for all weights of a layer, not one per channel.")
    ] = False,
    images: ImagesOption = None,
    input_shape: ShapeOption = None,
    strict: StrictOption = False,
    as_json: JsonOption = False,
) -> int:
    """Quantize a float network to int8 and write it as an ONNX file with QDQ nodes.

    With --images that have labels, the accuracy before and after is printed.
    """
    import hwsim

    terminal = Terminal(as_json=as_json)
    network = _load(model, input_shape, strict)
