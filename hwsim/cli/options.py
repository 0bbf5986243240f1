"""Options that several commands share."""

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from types import FunctionType
from typing import Annotated, Any, Literal, get_args

import typer

__all__ = [
    "ARRAY",
    "CALIBRATION_HELP",
    "DONE",
    "IMAGES_HELP",
    "NEGATIVE",
    "AcceleratorOptions",
    "ArrayOptions",
    "CalibrationOption",
    "CountOption",
    "EngineOption",
    "ImagesOption",
    "JsonOption",
    "ModelArgument",
    "ReportOption",
    "ShapeOption",
    "StrictOption",
    "expand",
    "report_path",
]

# Exit status: done; the result is negative, such as a mismatch.
DONE, NEGATIVE = 0, 1


def expand(command: Callable[..., Any]) -> Callable[..., Any]:
    """``command`` with other options in the place of those that a function makes from them.

    Such a parameter is annotated with that function: ``Annotated[type, function]``.
    """
    groups: dict[str, Callable[..., Any]] = {}
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        made_by = [
            item for item in get_args(parameter.annotation) if isinstance(item, FunctionType)
        ]
        if made_by:
            groups[parameter.name] = made_by[0]
            parameters += inspect.signature(made_by[0]).parameters.values()
        else:
            parameters.append(parameter)

    @wraps(command)
    def run(**given: Any) -> Any:
        for name, make in groups.items():
            given[name] = make(**{k: given.pop(k) for k in inspect.signature(make).parameters})
        return command(**given)

    keywords = [parameter.replace(kind=parameter.KEYWORD_ONLY) for parameter in parameters]
    run.__signature__ = inspect.Signature(keywords)  # type: ignore[attr-defined]
    return run


ModelArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="An ONNX file, float or quantized; the name of a bundled network: lenet5, digits, "
        "mnist_cnn; or a known one, which has no weights, such as alexnet, vgg16, resnet50, "
        "mobilenet_v2, 48x48-100C3-MP2-500N-10, 784-500-10-sigmoid or cifar10-5x64-3x32.",
        show_default=False,
    ),
]
ShapeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--input-shape",
        metavar="NAME=N,C,H,W",
        help="Shape of an input that the model leaves open. May be repeated.",
        show_default=False,
    ),
]
StrictOption = Annotated[
    bool,
    typer.Option(
        "--strict", help="Refuse layers whose stride leaves rows or columns of the input out."
    ),
]
IMAGES_HELP = (
    "An .npz with 'images' of shape (N, C, H, W) and, optionally, 'labels'; an .npy; a folder of "
    "pictures; or the name of a bundled network with images: lenet5, digits. For a float input, "
    "uint8 images are divided by 255. A network of vectors takes images row by row."
)
ImagesOption = Annotated[
    str, typer.Option("--images", metavar="IMAGES", help=IMAGES_HELP, show_default=False)
]
CALIBRATION_HELP = (
    "Images that show the range of every tensor of a float model, as for --images; of an .npz, "
    "'calibration' is taken if it is there."
)
CalibrationOption = Annotated[
    str | None,
    typer.Option("--calibration", metavar="IMAGES", help=CALIBRATION_HELP, show_default=False),
]
CountOption = Annotated[
    int | None,
    typer.Option(
        "--count", min=1, metavar="N", help="Take the first N images only.", show_default=False
    ),
]
ArchOption = Annotated[
    Literal["streaming", "systolic"] | None,
    typer.Option(
        "--arch", help="Accelerator to build; streaming if nothing is said.", show_default=False
    ),
]
CyclesOption = Annotated[
    int | None,
    typer.Option(
        "--cycles-per-image",
        min=1,
        metavar="N",
        help="Fold the layers so that an image takes at most N cycles, on few multipliers.",
        show_default=False,
    ),
]
MultipliersOption = Annotated[
    int | None,
    typer.Option(
        "--multipliers",
        min=1,
        metavar="N",
        help="Fold the layers so that an image takes few cycles, on at most N multipliers.",
        show_default=False,
    ),
]
ARRAY = "Systolic accelerator"
RowsOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=256,
        metavar="R",
        help="Rows of the array: input channels at a time; 16 if not given.",
        show_default=False,
        rich_help_panel=ARRAY,
    ),
]
ColsOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=256,
        metavar="C",
        help="Columns of the array: output channels at a time; 16 if not given.",
        show_default=False,
        rich_help_panel=ARRAY,
    ),
]
DataflowOption = Annotated[
    Literal["weight-stationary"] | None,
    typer.Option(
        help="What stays in place in the array.", show_default=False, rich_help_panel=ARRAY
    ),
]
BufferOption = Annotated[
    int | None,
    typer.Option(
        "--buffer-bytes",
        metavar="N",
        help="Unified buffer, a power of two; 1,048,576 if not given.",
        show_default=False,
        rich_help_panel=ARRAY,
    ),
]
AccumulatorOption = Annotated[
    int | None,
    typer.Option(
        "--accumulator-rows",
        metavar="N",
        help="Output pixels in each half of the accumulators, a power of two; 1,024 if not given.",
        show_default=False,
        rich_help_panel=ARRAY,
    ),
]
AxiOption = Annotated[
    int | None,
    typer.Option(
        "--axi-bits",
        metavar="N",
        help="Width of the memory port; a byte per bank of the buffer, at most 512, if not given.",
        show_default=False,
        rich_help_panel=ARRAY,
    ),
]
PackedOption = Annotated[
    bool,
    typer.Option(
        "--packed",
        help="Let one multiplier serve two columns, as a DSP48 can.",
        rich_help_panel=ARRAY,
    ),
]
FactorOption = Annotated[
    int | None,
    typer.Option(
        "--factor-precision",
        metavar="P",
        help="Of tables for LRN: 2**P entries for each octave; 7 if not given, at most 12.",
        show_default=False,
        rich_help_panel=ARRAY,
    ),
]


def _array(
    *,
    rows: RowsOption = None,
    cols: ColsOption = None,
    dataflow: DataflowOption = None,
    buffer_bytes: BufferOption = None,
    accumulator_rows: AccumulatorOption = None,
    axi_bits: AxiOption = None,
    packed: PackedOption = False,
    factor_precision: FactorOption = None,
) -> dict[str, Any]:
    """What was said of the systolic array, the keywords of `hwsim.Systolic`."""
    given = {
        "rows": rows,
        "cols": cols,
        "dataflow": dataflow,
        "buffer_bytes": buffer_bytes,
        "accumulator_rows": accumulator_rows,
        "axi_bits": axi_bits,
        "packed": packed or None,
        "factor_precision": factor_precision,
    }
    return {name: value for name, value in given.items() if value is not None}


ArrayOptions = Annotated[dict[str, Any], _array]


@expand
def _accelerator(
    *,
    arch: ArchOption = None,
    cycles_per_image: CyclesOption = None,
    multipliers: MultipliersOption = None,
    array: ArrayOptions,
) -> Any:
    """The `hwsim.Streaming` or `hwsim.Systolic` that the options describe, None if they don't."""
    import hwsim

    if arch == "systolic":
        if cycles_per_image is not None or multipliers is not None:
            raise ValueError("--cycles-per-image and --multipliers go with --arch streaming")
        return hwsim.Systolic(**array)
    if array:
        option = next(iter(array)).replace("_", "-")
        raise ValueError(f"--{option} goes with --arch systolic")
    if cycles_per_image is not None and multipliers is not None:
        raise ValueError("give --cycles-per-image or --multipliers, not both")
    if arch is None and cycles_per_image is None and multipliers is None:
        return None
    return hwsim.Streaming(cycles_per_image=cycles_per_image, multipliers=multipliers)


AcceleratorOptions = Annotated[Any, _accelerator]


def report_path(path: Path | None) -> Path | None:
    """Refuses what `Report.save` would, before anything is computed."""
    if path is not None and path.suffix != ".html":
        raise ValueError(f"a report's path must end in .html, not {str(path)!r}")
    return path


ReportOption = Annotated[
    Path | None,
    typer.Option(
        "--report",
        metavar="FILE",
        help="Write a report: HTML, with Markdown and CSV beside it.",
        callback=report_path,
        show_default=False,
    ),
]
EngineOption = Annotated[
    Literal["compiled", "amaranth", "verilator"], typer.Option("--engine", help="Simulator.")
]
JsonOption = Annotated[
    bool,
    typer.Option(
        "--json", help="Print one JSON object on standard output, all else on standard error."
    ),
]
