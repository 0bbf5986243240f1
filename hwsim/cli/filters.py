"""The command ``filter``."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from hwsim.terminal import Terminal

from .options import (
    DONE,
    NEGATIVE,
    EngineOption,
    JsonOption,
    ReportOption,
)

__all__ = ["filter_picture"]


def filter_picture(
    *,
    image: Annotated[
        Path,
        typer.Argument(
            metavar="IMAGE", help="A picture with 8 bits per channel.", show_default=False
        ),
    ],
    kernel: Annotated[
        str | None,
        typer.Option(
            "--kernel",
            metavar="NAME",
            help="A kernel by name: mean, mean-5, gaussian, gaussian-5, sharpen, sobel-x, sobel-y, "
            "sobel-diagonal, sobel-antidiagonal, edge.",
            show_default=False,
        ),
    ] = None,
    coefficients: Annotated[
        str | None,
        typer.Option(
            "--coefficients",
            metavar="ROWS",
            help="A kernel of one's own: a CSV file, or rows such as '0 -1 0; -1 5 -1; 0 -1 0'.",
            show_default=False,
        ),
    ] = None,
    border: Annotated[
        Literal["valid", "zero", "edge", "full"],
        typer.Option(
            "--border",
            help="Windows within the picture only; black, or the nearest pixel, around it; or all "
            "windows that touch it, black around it.",
        ),
    ] = "zero",
    stride: Annotated[
        int, typer.Option("--stride", min=1, metavar="S", help="Pixels from window to window.")
    ] = 1,
    rotate: Annotated[
        bool,
        typer.Option("--rotate", help="Rotate the kernel by 180 degrees: a true convolution."),
    ] = False,
    mapping: Annotated[
        Literal["clamp", "signed"],
        typer.Option(
            "--map",
            help="Sums of the kernel, or else of blocks: held within 0 to 255; or 128 for 0, "
            "scaled so that all fit.",
        ),
    ] = "clamp",
    scale: Annotated[
        float | None,
        typer.Option(
            "--scale", metavar="X", help="Factor of the sums, instead.", show_default=False
        ),
    ] = None,
    offset: Annotated[
        int | None,
        typer.Option(
            "--offset", metavar="N", help="What is added to them, instead.", show_default=False
        ),
    ] = None,
    fraction_bits: Annotated[
        int | None,
        typer.Option(
            "--fraction-bits",
            min=0,
            max=18,
            metavar="N",
            help="Of the coefficients; if not given, as many as are exact, at most 12, or more "
            "where these leave an error of a step.",
            show_default=False,
        ),
    ] = None,
    grey: Annotated[
        Literal["average", "lightness", "luminosity"] | None,
        typer.Option("--grey", help="Colour to grey first.", show_default=False),
    ] = None,
    block: Annotated[
        Literal["average", "max", "sum"] | None,
        typer.Option("--block", help="Reduce blocks of pixels at the end.", show_default=False),
    ] = None,
    size: Annotated[
        int, typer.Option("--size", min=1, max=16, metavar="R", help="Side of a block.")
    ] = 2,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse strides that leave rows or columns out.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="Picture to write.", show_default=False
        ),
    ] = None,
    verilog: Annotated[
        Path | None,
        typer.Option(
            "--verilog", metavar="DIR", help="Folder for the Verilog.", show_default=False
        ),
    ] = None,
    report: ReportOption = None,
    engine: EngineOption = "compiled",
    as_json: JsonOption = False,
) -> int:
    """Filter a picture in hardware, cycle by cycle, and compare each value with the reference.

    Colour to grey, a kernel of fixed coefficients, a reduction of blocks: any of them, in this
    order, at one pixel per clock. The exit status is 1 if any value differs.
    """
    import hwsim
    from hwsim.images import load_picture, picture_bytes

    image_filter = hwsim.ImageFilter(
        kernel=_kernel(kernel, coefficients),
        border=border,
        stride=stride,
        rotate=rotate,
        map=mapping,
        scale=scale,
        offset=offset,
        fraction_bits=fraction_bits,
        grey=grey,
        block=block,
        size=size,
        strict=strict,
    )
    terminal = Terminal(as_json=as_json)
    picture = load_picture(image)
    if output is not None:  # before anything is simulated
        picture_bytes(picture[:1, :1] if grey is None else picture.reshape(-1, 1)[:1], output)
    with terminal.progress("simulating"):
        result = hwsim.filter_image(picture, image_filter, engine=engine)
    files = []
    if output is not None:
        from hwsim.files import write_file

        write_file(output, picture_bytes(result.output, output))
        files.append(output)
    if verilog is not None:
        with terminal.progress("writing Verilog"):
            files += result.design.write_verilog(verilog)
    if report is not None:
        with terminal.progress("writing the report"):
            files += hwsim.report(result, title=f"{image.name}: {image_filter.name}").save(report)
    for note in result.left_out:
        terminal.say(note)
    summary = {
        "width": picture.shape[1],
        "height": picture.shape[0],
        "output_width": result.output.shape[1],
        "output_height": result.output.shape[0],
        "cycles": result.cycles,
        "planned_cycles": result.planned_cycles,
        "cycles_per_pixel": result.cycles_per_pixel,
        "mismatches": result.mismatches,
        "seconds": result.seconds,
    }
    if image_filter.kernel is not None:
        summary |= {
            "fraction_bits": image_filter.fixed.fraction_bits,
            "error_bound_steps": image_filter.fixed.error_bound,
        }
    terminal.table(["", ""], [[key.replace("_", " "), value] for key, value in summary.items()])
    for file in files:
        terminal.say(file)
    terminal.finish({**summary, "left_out": result.left_out, "files": files})
    return NEGATIVE if result.mismatches else DONE


def _kernel(name, coefficients):
    """The kernel that the options describe, None for none."""
    from hwsim.network.filters import parse_kernel

    if coefficients is None:
        return name
    if name is not None:
        raise ValueError("give --kernel or --coefficients, not both")
    path = Path(coefficients)
    if path.suffix in (".csv", ".txt") or path.is_file():
        try:
            coefficients = path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} is not a text: {error}") from error
    return parse_kernel(coefficients)
