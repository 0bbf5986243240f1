"""Commands that report: ``demo``, ``report``, ``compare``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from hwsim.terminal import Terminal

from .inputs import as_integers, load_images_for, load_network, with_report
from .options import (
    DONE,
    IMAGES_HELP,
    NEGATIVE,
    AcceleratorOptions,
    CalibrationOption,
    JsonOption,
    ModelArgument,
    ReportOption,
    ShapeOption,
    report_path,
)

__all__ = ["compare", "demo", "write_report"]

_RESULT_HELP = "A result: JSON, as a command prints it with --json, or a table of a report as CSV."


def demo(
    *,
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", metavar="DIR", help="Folder for everything that is written."
        ),
    ] = Path("hwsim-demo"),
    count: Annotated[
        int, typer.Option(min=3, metavar="N", help="Images to simulate cycle by cycle.")
    ] = 1000,
    as_json: JsonOption = False,
) -> int:
    """Run the whole flow on a bundled network and real images.

    Import, quantization, Verilog, cycle-accurate simulation against two references, estimates for a
    CPU, a GPU, a TPU and an FPGA, and a report.
    """
    from hwsim.demo import run

    terminal = Terminal(as_json=as_json)
    result, passed = run(terminal, output, count=count)
    terminal.finish(result)
    return DONE if passed else NEGATIVE


def write_report(
    *,
    model: ModelArgument,
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="HTML file; Markdown and CSV are written beside it.",
            callback=report_path,
        ),
    ] = Path("report.html"),
    images: Annotated[
        str | None,
        typer.Option(
            "--images",
            metavar="IMAGES",
            help=f"Images to simulate. {IMAGES_HELP}",
            show_default=False,
        ),
    ] = None,
    count: Annotated[
        int, typer.Option(min=1, metavar="N", help="Simulate the first N images only.")
    ] = 8,
    device: Annotated[
        list[str] | None,
        typer.Option(
            "--device",
            metavar="NAME",
            help="A device of 'hwsim devices' to estimate. May be repeated.",
            show_default=False,
        ),
    ] = None,
    accelerator: AcceleratorOptions,
    calibration: CalibrationOption = None,
    input_shape: ShapeOption = None,
    as_json: JsonOption = False,
) -> int:
    """Write one report about a network: layers, an accelerator, its simulation, devices.

    The accelerator is there for a network that is quantized, or that --calibration or --images can
    quantize; it is simulated with --images. FPGAs among the devices run it. The exit status is 1 if
    any simulated value differs from the reference.
    """
    import hwsim
    from hwsim.models.dataflow.workload import is_quantized
    from hwsim.reports import Comparison

    terminal = Terminal(as_json=as_json)
    network = load_network(terminal, model, input_shape)
    items: list[Any] = [network]
    design: Any = None
    mismatches = None
    if images or calibration or is_quantized(network):
        network = as_integers(terminal, network, model, calibration or images)
        design = hwsim.build(network, accelerator)
        items.append(design)
    if images:
        given = load_images_for(network, images)[:count]
        with terminal.progress("simulating", len(given)) as show:
            result = hwsim.simulate(design, given.images, progress=show)
        mismatches = result.mismatches
        cycles = f"cycles for {result.images_per_lane} images"
        simulated = {cycles: result.cycles}
        estimated = {cycles: design.cycles(images=result.images_per_lane)}
        items += [result, Comparison(estimated=estimated, actual=simulated)]
    if device:
        with terminal.progress("estimating"):
            items.append(hwsim.estimate(network, devices=device, design=design))
    written = with_report(terminal, {"mismatches": mismatches}, output, *items, title=network.name)
    terminal.finish(written)
    return NEGATIVE if mismatches else DONE


def compare(
    *,
    first: Annotated[Path, typer.Argument(metavar="FIRST", help=_RESULT_HELP)],
    second: Annotated[Path, typer.Argument(metavar="SECOND", help="Another one.")],
    tolerance: Annotated[
        float,
        typer.Option(
            min=0, metavar="PERCENT", help="Difference up to which numbers count as equal."
        ),
    ] = 0.0,
    ignore: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN",
            help="Quantities to leave out, * stands for anything, such as '*.energy_j'. May be "
            "repeated.",
            show_default=False,
        ),
    ] = None,
    report: ReportOption = None,
    as_json: JsonOption = False,
) -> int:
    """Compare two results of one command: what differs, and by how much.

    Layers, devices and the like are matched by their names. How long the runs took is left out. The
    exit status is 1 if anything differs.
    """
    from hwsim.reports import compare, read_result
    from hwsim.tables import show_differences

    terminal = Terminal(as_json=as_json)
    names = (str(first), str(second))
    found = compare(
        read_result(first),
        read_result(second),
        names=names,
        tolerance=tolerance / 100,
        ignore=ignore or (),
    )
    result = show_differences(terminal, found)
    terminal.finish(with_report(terminal, result, report, found, title="Two results"))
    return DONE if found.equal else NEGATIVE
