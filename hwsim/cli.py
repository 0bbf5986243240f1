"""The command ``hwsim``: each command is thin, and imports what it needs when it runs."""

import math
import re
import signal
import sys
import traceback
import warnings
from collections.abc import Sequence
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.exceptions import TyperException

from .terminal import Terminal, clean

__all__ = ["app", "main"]

# Exit status: done; the result is negative (a mismatch); bad input.
DONE, NEGATIVE, BAD_INPUT = 0, 1, 2

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Arch(StrEnum):
    """Accelerators that can be built."""

    streaming = "streaming"
    systolic = "systolic"


class Dataflow(StrEnum):
    """What stays in place in a systolic array."""

    weight_stationary = "weight-stationary"


class Engine(StrEnum):
    """Simulators of a design."""

    compiled = "compiled"
    amaranth = "amaranth"
    verilator = "verilator"


class TrainingEngine(StrEnum):
    """What carries out a training step."""

    rtl = "rtl"
    reference = "reference"


class Loss(StrEnum):
    """What training makes smaller."""

    cross_entropy = "cross-entropy"
    rmse = "rmse"


# Of `hwsim.estimate`: of no meaning where layers are split.
FPGA_ONLY = ("design", "clock_hz")


class Parallel(StrEnum):
    """What is split over several devices."""

    data = "data"
    features = "features"
    space = "space"
    pipeline = "pipeline"


class Optimizer(StrEnum):
    """What updates the weights in a training step."""

    sgd = "sgd"
    momentum = "momentum"
    adam = "adam"


class Activation(StrEnum):
    """Types of the codes of feature maps."""

    int8 = "int8"
    uint8 = "uint8"


class Calibrated(StrEnum):
    """Processors of this machine that can be measured."""

    cpu = "cpu"
    gpu = "gpu"


class Method(StrEnum):
    """How calibration turns values into a range."""

    min_max = "min-max"
    percentile = "percentile"


class Search(StrEnum):
    """Which points of a design space are evaluated."""

    exhaustive = "exhaustive"
    nsga2 = "nsga2"
    tpe = "tpe"


class Border(StrEnum):
    """What a kernel reads beside the picture."""

    valid = "valid"
    zero = "zero"
    edge = "edge"
    full = "full"


class Grey(StrEnum):
    """Ways from colour to grey."""

    average = "average"
    lightness = "lightness"
    luminosity = "luminosity"


class Block(StrEnum):
    """Reductions of a block of pixels."""

    average = "average"
    max = "max"
    sum = "sum"


class Mapping(StrEnum):
    """How a kernel's sums become codes."""

    clamp = "clamp"
    signed = "signed"


ModelArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="An ONNX file, float or quantized; the name of a bundled network: lenet5, digits, "
        "mnist_cnn; or, for its layers and estimates, a known one such as alexnet, vgg16, "
        "resnet50, mobilenet_v2 or 48x48-100C3-MP2-500N-10.",
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
_IMAGES_HELP = (
    "An .npz with 'images' of shape (N, C, H, W) and, optionally, 'labels'; an .npy; a folder of "
    "pictures; or the name of a bundled network. For a float input, uint8 images are divided by "
    "255."
)
ImagesOption = Annotated[
    str, typer.Option("--images", metavar="IMAGES", help=_IMAGES_HELP, show_default=False)
]
_CALIBRATION_HELP = (
    "Images that show the range of every tensor of a float model, as for --images; of an .npz, "
    "'calibration' is taken if it is there."
)
CalibrationOption = Annotated[
    str | None,
    typer.Option("--calibration", metavar="IMAGES", help=_CALIBRATION_HELP, show_default=False),
]
CountOption = Annotated[
    int | None,
    typer.Option(
        "--count", min=1, metavar="N", help="Take the first N images only.", show_default=False
    ),
]
ArchOption = Annotated[Arch, typer.Option("--arch", help="Accelerator to build.")]
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
_ARRAY = "Systolic accelerator"
RowsOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=256,
        metavar="R",
        help="Rows of the array: input channels at a time; 16 if not given.",
        show_default=False,
        rich_help_panel=_ARRAY,
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
        rich_help_panel=_ARRAY,
    ),
]
_QUEUE = "Requests over time"
RateOption = Annotated[
    float | None,
    typer.Option(
        "--requests-per-second",
        metavar="R",
        help="Serve requests of an image each, that arrive at random at this mean rate (Poisson), "
        "and print percentiles of their latency.",
        show_default=False,
        rich_help_panel=_QUEUE,
    ),
]
RequestsOption = Annotated[
    int, typer.Option(min=1, metavar="N", help="Requests to serve.", rich_help_panel=_QUEUE)
]
MaxBatchOption = Annotated[
    int,
    typer.Option(min=1, metavar="B", help="Requests in a batch, at most.", rich_help_panel=_QUEUE),
]
MaxWaitOption = Annotated[
    float,
    typer.Option(
        min=0,
        metavar="MS",
        help="Milliseconds that a request waits for others while the device is free.",
        rich_help_panel=_QUEUE,
    ),
]
_SEVERAL = "Several devices"
DevicesInParallelOption = Annotated[
    int | None,
    typer.Option(
        "--devices-in-parallel",
        min=1,
        metavar="N",
        help="Split the work over N devices of each kind, joined by links.",
        show_default=False,
        rich_help_panel=_SEVERAL,
    ),
]
ParallelOption = Annotated[
    Parallel,
    typer.Option(
        help="What is split: the batch, each layer's output channels, the rows of each feature "
        "map, or the network between its layers.",
        rich_help_panel=_SEVERAL,
    ),
]
LinkBandwidthOption = Annotated[
    float | None,
    typer.Option(
        "--link-bandwidth",
        metavar="GB/S",
        help="Of the link from each device to the next, in 10⁹ bytes per second.",
        show_default=False,
        rich_help_panel=_SEVERAL,
    ),
]
LinkLatencyOption = Annotated[
    float,
    typer.Option(
        "--link-latency",
        min=0,
        metavar="US",
        help="Microseconds that a transfer takes besides.",
        rich_help_panel=_SEVERAL,
    ),
]
ArrivalSeedOption = Annotated[
    int, typer.Option(min=0, help="Seed of the arrivals.", rich_help_panel=_QUEUE)
]
DataflowOption = Annotated[
    Dataflow | None,
    typer.Option(
        help="What stays in place in the array.", show_default=False, rich_help_panel=_ARRAY
    ),
]
BufferOption = Annotated[
    int | None,
    typer.Option(
        "--buffer-bytes",
        metavar="N",
        help="Unified buffer, a power of two; 1,048,576 if not given.",
        show_default=False,
        rich_help_panel=_ARRAY,
    ),
]
AccumulatorOption = Annotated[
    int | None,
    typer.Option(
        "--accumulator-rows",
        metavar="N",
        help="Output pixels in each half of the accumulators, a power of two; 1,024 if not given.",
        show_default=False,
        rich_help_panel=_ARRAY,
    ),
]
AxiOption = Annotated[
    int | None,
    typer.Option(
        "--axi-bits",
        metavar="N",
        help="Width of the memory port; a byte per bank of the buffer, at most 512, if not given.",
        show_default=False,
        rich_help_panel=_ARRAY,
    ),
]
PackedOption = Annotated[
    bool,
    typer.Option(
        "--packed",
        help="Let one multiplier serve two columns, as a DSP48 can.",
        rich_help_panel=_ARRAY,
    ),
]
_RESULT_HELP = "A result: JSON, as a command prints it with --json, or a table of a report as CSV."


def _report_path(path: Path | None) -> Path | None:
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
        callback=_report_path,
        show_default=False,
    ),
]
JsonOption = Annotated[
    bool,
    typer.Option(
        "--json", help="Print one JSON object on standard output, all else on standard error."
    ),
]


@app.callback(
    invoke_without_command=True, epilog="Exit status: 0 done, 1 negative result, 2 bad input."
)
def hwsim_command(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """From a trained CNN (ONNX) to verified hardware and a performance report.

    A model goes in. Out come synthesizable Verilog, a cycle-accurate simulation of it, compared bit
    by bit with an integer reference, and an estimate of the same network on CPUs, GPUs, TPUs and
    FPGAs. Start with **hwsim demo**, or with the layers of a bundled network:
    **hwsim info lenet5**.
    """
    if version:
        from .version import __version__

        print(f"hwsim {__version__}")
    elif context.invoked_subcommand is None:
        print(context.get_help())


@app.command()
def demo(
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
    from .demo import run

    terminal = Terminal(as_json=as_json)
    result, passed = run(terminal, output, count=count)
    terminal.finish(result)
    return DONE if passed else NEGATIVE


@app.command()
def info(
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
    from .tables import show_geometry, show_layers

    terminal = Terminal(as_json=as_json)
    network = _load(model, input_shape, strict)
    result = (show_geometry if geometry else show_layers)(terminal, network)
    terminal.finish(_with_report(terminal, result, report, network, title=network.name))
    return DONE


@app.command()
def quantize(
    model: ModelArgument,
    calibration: Annotated[
        str,
        typer.Option("--calibration", metavar="IMAGES", help=_CALIBRATION_HELP, show_default=False),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", metavar="FILE", help="ONNX file to write.", show_default=False
        ),
    ],
    method: Annotated[
        Method, typer.Option(help="How the range of a tensor is found.")
    ] = Method.min_max,
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
        Activation, typer.Option(help="Type of the codes of feature maps.")
    ] = Activation.int8,
    weight_bits: Annotated[
        int, typer.Option(min=2, max=8, metavar="N", help="Bits of a weight.")
    ] = 8,
    input_shape: ShapeOption = None,
    as_json: JsonOption = False,
) -> int:
    """Quantize a float network, and write it as an ONNX file (QDQ) that ONNX Runtime runs too."""
    import hwsim

    terminal = Terminal(as_json=as_json)
    network = _load(model, input_shape)
    images = _images(network, calibration, key="calibration")
    with terminal.progress("quantizing"):
        quantized = hwsim.quantize(
            network,
            calibration=images.images,
            method=method.value,
            percentile=percentile,
            per_channel=not per_tensor,
            activation=activation.value,
            weight_bits=weight_bits,
        )
    quantized.save(output)
    terminal.say(f"{output}: {len(quantized.layers)} layers, calibrated with {len(images)} images")
    terminal.finish(
        {"output": output, "layers": len(quantized.layers), "calibration_images": len(images)}
    )
    return DONE


@app.command()
def verilog(
    model: ModelArgument,
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", metavar="DIR", help="Folder for the Verilog.", show_default=False
        ),
    ],
    arch: ArchOption = Arch.streaming,
    cycles_per_image: CyclesOption = None,
    multipliers: MultipliersOption = None,
    rows: RowsOption = None,
    cols: ColsOption = None,
    dataflow: DataflowOption = None,
    buffer_bytes: BufferOption = None,
    accumulator_rows: AccumulatorOption = None,
    axi_bits: AxiOption = None,
    packed: PackedOption = False,
    calibration: CalibrationOption = None,
    input_shape: ShapeOption = None,
    as_json: JsonOption = False,
) -> int:
    """Write the Verilog of an accelerator for a network.

    A streaming pipeline has AXI4-Stream in and out; a systolic accelerator has AXI4 to memory and
    AXI4-Lite for control, and is the same for all networks.
    """
    array = _array_options(rows, cols, dataflow, buffer_bytes, accumulator_rows, axi_bits, packed)
    terminal = Terminal(as_json=as_json)
    network = _quantized(terminal, _load(model, input_shape), model, calibration)
    design = _build(network, arch, cycles_per_image, multipliers, array)
    with terminal.progress("writing Verilog"):
        files = design.write_verilog(output)
    top, lines = design.verilog.top, design.verilog.lines
    terminal.say(f"{files[0]} and what it needs beside it: {lines:,} lines, top module {top}")
    terminal.finish({"top": top, "files": files, "lines": lines})
    return DONE


@app.command("compile")
def compile_program(
    model: ModelArgument,
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", metavar="DIR", help="Folder for the program.", show_default=False
        ),
    ],
    rows: RowsOption = None,
    cols: ColsOption = None,
    dataflow: DataflowOption = None,
    buffer_bytes: BufferOption = None,
    accumulator_rows: AccumulatorOption = None,
    axi_bits: AxiOption = None,
    packed: PackedOption = False,
    calibration: CalibrationOption = None,
    input_shape: ShapeOption = None,
    as_json: JsonOption = False,
) -> int:
    """Compile a network for a systolic accelerator.

    Writes the program as a listing and as bytes, the constants, and where in memory all of it and
    the network's inputs and outputs belong.
    """
    array = _array_options(rows, cols, dataflow, buffer_bytes, accumulator_rows, axi_bits, packed)
    terminal = Terminal(as_json=as_json)
    network = _quantized(terminal, _load(model, input_shape), model, calibration)
    with terminal.progress("compiling"):
        program = _build(network, Arch.systolic, None, None, array).program
        files = program.write(output)
    summary = {
        "instructions": len(program.instructions),
        "constant_bytes": len(program.constants),
        "memory_bytes": program.memory_bytes,
        "files": files,
    }
    rows_of = [[key.replace("_", " "), value] for key, value in summary.items() if key != "files"]
    terminal.table(["", ""], rows_of)
    terminal.say(f"{files[0]}: a listing, and the bytes beside it")
    terminal.finish(summary)
    return DONE


@app.command()
def simulate(
    model: ModelArgument,
    images: ImagesOption,
    count: CountOption = None,
    arch: ArchOption = Arch.streaming,
    cycles_per_image: CyclesOption = None,
    multipliers: MultipliersOption = None,
    rows: RowsOption = None,
    cols: ColsOption = None,
    dataflow: DataflowOption = None,
    buffer_bytes: BufferOption = None,
    accumulator_rows: AccumulatorOption = None,
    axi_bits: AxiOption = None,
    packed: PackedOption = False,
    memory_latency: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Cycles from a request to memory to its answer; 20 if not given.",
            show_default=False,
            rich_help_panel=_ARRAY,
        ),
    ] = None,
    engine: Annotated[Engine, typer.Option(help="Simulator.")] = Engine.compiled,
    lanes: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=1024,
            metavar="N",
            help="Copies of the design, simulated side by side, that share the images; chosen if "
            "not given.",
            show_default=False,
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Threads that share the lanes, compiled engine only; chosen if not given.",
            show_default=False,
        ),
    ] = None,
    wave: Annotated[
        Path | None,
        typer.Option(
            "--wave",
            metavar="FILE",
            help="Write the waveforms, as VCD or FST by the file's suffix.",
            show_default=False,
        ),
    ] = None,
    wave_scope: Annotated[
        str,
        typer.Option(
            metavar="PATH",
            help="Instance whose waveforms are written, names joined by dots; all if empty.",
        ),
    ] = "",
    wave_cycles: Annotated[
        str | None,
        typer.Option(
            metavar="FIRST:LAST",
            help="Cycles whose waveforms are written, LAST left out; either may be empty.",
            show_default=False,
        ),
    ] = None,
    wave_lane: Annotated[
        int, typer.Option(min=0, metavar="LANE", help="Lane whose waveforms are written.")
    ] = 0,
    stalls: Annotated[
        float,
        typer.Option(
            min=0,
            max=0.99,
            metavar="P",
            help="Probability, per cycle and stream, that the outside stalls.",
        ),
    ] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the stalls.")] = 0,
    calibration: CalibrationOption = None,
    input_shape: ShapeOption = None,
    report: ReportOption = None,
    as_json: JsonOption = False,
) -> int:
    """Simulate an accelerator cycle by cycle, and compare every output with the integer reference.

    A float model is quantized first, with the images of --calibration or else of --images. The exit
    status is 1 if any value differs.
    """
    import hwsim

    array = _array_options(rows, cols, dataflow, buffer_bytes, accumulator_rows, axi_bits, packed)
    terminal = Terminal(as_json=as_json)
    network = _load(model, input_shape)
    given = _images(network, images)[:count]
    quantized = _quantized(terminal, network, model, calibration or images)
    design = _build(quantized, arch, cycles_per_image, multipliers, array)
    output = design.network.outputs[0]
    classes = math.prod(output.shape)
    if given.labels is not None and not 0 <= min(given.labels) <= max(given.labels) < classes:
        raise ValueError(
            f"labels in {images} must lie in 0 to {classes - 1}, the classes of {network.name}, "
            f"not in {min(given.labels)} to {max(given.labels)}"
        )
    with terminal.progress("simulating", len(given)) as show:
        result = hwsim.simulate(
            design,
            given.images,
            engine=engine.value,
            lanes=lanes,
            threads=threads,
            stalls=stalls,
            seed=seed,
            memory_latency=memory_latency,
            wave=_wave(wave, wave_scope, wave_cycles, wave_lane),
            progress=show,
        )
    accuracy = None
    if given.labels is not None:
        found = result.outputs.reshape(len(given), -1).argmax(axis=1)
        accuracy = float((found == given.labels).mean())
    summary = {
        "images": len(given),
        "lanes": result.lanes,
        "cycles": result.cycles,
        "cycles_per_image": result.cycles_per_image,
        "mismatches": result.mismatches,
        "accuracy": accuracy,
        "seconds": result.seconds,
        "lane_cycles_per_second": result.lane_cycles_per_second,
    }
    terminal.table(["", ""], [[key.replace("_", " "), value] for key, value in summary.items()])
    title = f"{network.name}: simulation"
    terminal.finish(_with_report(terminal, summary, report, network, design, result, title=title))
    return NEGATIVE if result.mismatches else DONE


@app.command("pictures")
def show_pictures(
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
    arch: ArchOption = Arch.streaming,
    cycles_per_image: CyclesOption = None,
    multipliers: MultipliersOption = None,
    rows: RowsOption = None,
    cols: ColsOption = None,
    calibration: CalibrationOption = None,
    input_shape: ShapeOption = None,
    as_json: JsonOption = False,
) -> int:
    """Show kernels, feature maps, shifted images and a receptive field, from simulated hardware.

    A float model is quantized first, with the images of --calibration or else of --images. The exit
    status is 1 if any value differs from the integer reference.
    """
    import hwsim

    from .reports.pictures import pictures

    if output.suffix != ".html":
        raise ValueError(f"a report's path must end in .html, not {str(output)!r}")
    terminal = Terminal(as_json=as_json)
    network = _load(model, input_shape)
    given = _images(network, images)
    if index >= len(given):
        raise ValueError(f"--index must be at most {len(given) - 1} in {images}, not {index}")
    quantized = _quantized(terminal, network, model, calibration or images)
    array = _array_options(rows, cols, None, None, None, None, False)
    design = _build(quantized, arch, cycles_per_image, multipliers, array)
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


def _wave(path, scope, cycles, lane):
    """The waveforms that the options describe."""
    from .sim.engine import Wave

    if path is None:
        if scope or cycles or lane:
            raise ValueError("--wave-scope, --wave-cycles and --wave-lane go with --wave FILE")
        return None
    first, last = 0, None
    if cycles is not None:
        found = re.fullmatch(r"(\d*):(\d*)", cycles, re.ASCII)
        if found is None:
            raise ValueError(f"--wave-cycles must be FIRST:LAST, two numbers, not {cycles!r}")
        first, last = int(found[1] or 0), int(found[2]) if found[2] else None
    return Wave(path, scope, first, last, lane)


@app.command()
def train(
    model: ModelArgument,
    images: ImagesOption,
    count: CountOption = None,
    steps: Annotated[int, typer.Option(min=1, metavar="N", help="Steps in all.")] = 100,
    batch: Annotated[int, typer.Option(min=1, metavar="B", help="Images in a step.")] = 16,
    rate: Annotated[float, typer.Option(metavar="R", help="Learning rate, at most 1.")] = 0.02,
    momentum: Annotated[float, typer.Option(metavar="M", help="At least 0, less than 1.")] = 0.9,
    loss: Annotated[
        Loss, typer.Option(help="Of the outputs' softmax, or of outputs that are to be 0 and 1.")
    ] = Loss.cross_entropy,
    stochastic: Annotated[
        bool,
        typer.Option(
            "--stochastic", help="Round gradients and weights stochastically, not to nearest."
        ),
    ] = False,
    seed: Annotated[
        int, typer.Option(min=0, metavar="N", help="Of weights, order of images, and rounding.")
    ] = 0,
    lanes: Annotated[int, typer.Option(min=4, max=256, help="Rows and columns of the array.")] = 16,
    engine: Annotated[
        TrainingEngine,
        typer.Option(help="Simulated hardware, compared with the reference; or that alone."),
    ] = TrainingEngine.rtl,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Keep the state in this .npz, and go on from it if it is there.",
            show_default=False,
        ),
    ] = None,
    checkpoint_steps: Annotated[
        int, typer.Option(min=1, metavar="N", help="Steps between two checkpoints.")
    ] = 10,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="Write the trained network, an ONNX file.",
            show_default=False,
        ),
    ] = None,
    verilog: Annotated[
        Path | None,
        typer.Option(
            "--verilog",
            metavar="DIRECTORY",
            help="Write the Verilog of the accelerator there.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Train a network from random weights, in 16-bit integers on simulated hardware."""
    terminal = Terminal(as_json=as_json)
    network = _load(model, None)
    found = _images(network, images)
    from .models.training import TrainingSettings
    from .sim.trainer import train as run

    labels = None if found.labels is None else found.labels[:count]
    with terminal.progress("training", steps) as show:
        result = run(
            network,
            found.images[:count],
            labels,
            steps=steps,
            batch=batch,
            settings=TrainingSettings(
                rate=rate,
                momentum=momentum,
                loss=loss.value,
                stochastic=stochastic,
                seed=seed,
            ),
            lanes=lanes,
            engine=engine.value,
            checkpoint=checkpoint,
            checkpoint_steps=checkpoint_steps,
            progress=lambda done, loss: show(done),
        )
    if output is not None:
        result.network.save(output)
    if verilog is not None:
        from .rtl.trainer import AxiTrainer
        from .rtl.verilog import convert

        top = AxiTrainer(result.config)
        with terminal.progress("writing Verilog"):
            convert(top, "trainer", top.header).write(verilog)
    summary = {
        name: getattr(result, name)
        for name in (
            "steps images loss accuracy float_accuracy test_images mismatches cycles "
            "planned_cycles cycles_per_image seconds"
        ).split()
    }
    terminal.table(["", "value"], [[name.replace("_", " "), v] for name, v in summary.items()])
    terminal.finish(
        {
            "engine": engine.value,
            **summary,
            "losses": result.losses,
            "float_losses": result.float_losses,
            "cycles_by_work": result.cycles_by_work,
        }
    )
    agree = result.mismatches == 0 and result.cycles == result.planned_cycles
    return DONE if agree else NEGATIVE


@app.command()
def estimate(
    model: ModelArgument,
    device: Annotated[
        list[str],
        typer.Option(
            "--device",
            metavar="NAME",
            help="A device of 'hwsim devices', this-machine after 'hwsim calibrate cpu', or a TOML "
            "file. May be repeated.",
        ),
    ],
    batch: Annotated[
        int, typer.Option(min=1, metavar="N", help="Images that are processed together.")
    ] = 1,
    training: Annotated[
        bool,
        typer.Option(
            "--training", help="Estimate a training step: forward, gradients and the update."
        ),
    ] = False,
    optimizer: Annotated[
        Optimizer, typer.Option(help="What updates the weights in a training step.")
    ] = Optimizer.sgd,
    cores: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Cores of a CPU to use; all of them if not given.",
            show_default=False,
        ),
    ] = None,
    explain: Annotated[
        str | None,
        typer.Option(
            "--explain",
            metavar="LAYER",
            help="Show where the time of one layer goes.",
            show_default=False,
        ),
    ] = None,
    arch: Annotated[
        Arch | None,
        typer.Option(
            "--arch",
            help="Accelerator on FPGAs; the fastest streaming pipeline that the part's DSPs allow "
            "if nothing is said.",
            show_default=False,
        ),
    ] = None,
    cycles_per_image: CyclesOption = None,
    multipliers: MultipliersOption = None,
    rows: RowsOption = None,
    cols: ColsOption = None,
    dataflow: DataflowOption = None,
    buffer_bytes: BufferOption = None,
    accumulator_rows: AccumulatorOption = None,
    axi_bits: AxiOption = None,
    packed: PackedOption = False,
    clock_mhz: Annotated[
        float | None,
        typer.Option(
            "--clock-mhz",
            metavar="F",
            help="Clock of the FPGAs, from place and route, say.",
            show_default=False,
        ),
    ] = None,
    requests_per_second: RateOption = None,
    requests: RequestsOption = 10_000,
    max_batch: MaxBatchOption = 1,
    max_wait: MaxWaitOption = 0.0,
    seed: ArrivalSeedOption = 0,
    devices_in_parallel: DevicesInParallelOption = None,
    parallel: ParallelOption = Parallel.data,
    link_bandwidth: LinkBandwidthOption = None,
    link_latency: LinkLatencyOption = 0.0,
    dataset_size: Annotated[
        int | None,
        typer.Option(
            "--dataset-size",
            min=1,
            metavar="IMAGES",
            help="Of an epoch: show how long training takes.",
            show_default=False,
        ),
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, metavar="N", help="Of training.")] = 1,
    input_shape: ShapeOption = None,
    report: ReportOption = None,
    as_json: JsonOption = False,
) -> int:
    """Estimate latency and throughput of a network on one or more devices.

    For an FPGA the network has to be quantized, for a training step it must not be.
    """
    import hwsim

    from .tables import show_estimates, show_parallel, show_serving, show_training_time

    if dataset_size is not None and not training:
        raise ValueError("--dataset-size is of training; give --training too")
    if training and requests_per_second is not None:
        raise ValueError("--requests-per-second is for inference; leave --training out")
    if (devices_in_parallel is None) != (link_bandwidth is None):
        raise ValueError("--devices-in-parallel and --link-bandwidth go together")
    if link_bandwidth is not None and link_bandwidth <= 0:
        raise ValueError(f"--link-bandwidth must be positive, not {link_bandwidth:g}")
    array = _array_options(rows, cols, dataflow, buffer_bytes, accumulator_rows, axi_bits, packed)
    design = None
    if arch or array or cycles_per_image or multipliers:
        design = _architecture(arch or Arch.streaming, cycles_per_image, multipliers, array)
    terminal = Terminal(as_json=as_json)
    network = _load(model, input_shape)
    on_devices: dict[str, Any] = {
        "cores": cores,
        "design": design,
        "clock_hz": None if clock_mhz is None else 1e6 * clock_mhz,
    }
    with terminal.progress("estimating"):
        estimates = hwsim.estimate(
            network,
            devices=device,
            batch=batch,
            training=training,
            optimizer=optimizer.value,
            **on_devices,
        )
    # Before anything is printed, because the layer may not exist.
    explanations = [] if explain is None else [entry.explain(explain) for entry in estimates]
    served = None
    if requests_per_second is not None:
        queue = {"max_batch": max_batch, "max_wait_s": max_wait / 1000}
        with terminal.progress("serving"):
            served = _serve(
                network, estimates, requests_per_second, requests, seed, queue, on_devices
            )
    split = None
    if devices_in_parallel is not None and link_bandwidth is not None:
        steps = {"training": training, "optimizer": optimizer.value} if training else {}
        with terminal.progress("splitting"):
            split = _split(
                estimates,
                parallel,
                devices_in_parallel,
                (1e9 * link_bandwidth, link_latency / 1e6),
                batch,
                on_devices | steps,
            )
    result = show_estimates(terminal, estimates)
    if split is not None:
        for entry, found in zip(
            result["devices"], show_parallel(terminal, estimates, split), strict=True
        ):
            entry["parallel"] = found
    if dataset_size is not None:
        show_training_time(terminal, result["devices"], batch, dataset_size, epochs)
    if served is not None:
        for entry, found in zip(
            result["devices"], show_serving(terminal, estimates, served), strict=True
        ):
            entry["serving"] = {"requests_per_second": requests_per_second, "seed": seed, **found}
    for text in explanations:
        terminal.say()
        terminal.lines(text)
    title = f"{network.name}: estimates"
    terminal.finish(_with_report(terminal, result, report, network, estimates, title=title))
    return DONE


def _split(
    estimates: Any,
    parallel: Parallel,
    count: int,
    link: tuple[float, float],
    batch: int,
    options: dict[str, Any],
) -> list[Any]:
    """The batch or the layers split over several of each device."""
    from .models.dataflow.parallel import Link, data_parallel, pipeline_parallel
    from .models.dataflow.split import feature_parallel, space_parallel

    split: Any = {
        Parallel.data: data_parallel,
        Parallel.features: feature_parallel,
        Parallel.space: space_parallel,
        Parallel.pipeline: pipeline_parallel,
    }[parallel]
    if parallel in (Parallel.features, Parallel.space):
        options = {name: value for name, value in options.items() if name not in FPGA_ONLY}
    joined = Link(*link)
    return [
        split(estimates.network, entry.device, count, joined, batch=batch, **options)
        for entry in estimates
    ]


def _serve(
    network: Any,
    estimates: Any,
    rate: float,
    count: int,
    seed: int,
    queue: dict[str, Any],
    on_devices: dict[str, Any],
) -> list[Any]:
    """The same requests on each device, a `Serving` for each."""
    from .models.dataflow.serving import batch_latency, poisson_arrivals, serve

    arrivals = poisson_arrivals(rate, count, seed)
    return [
        serve(arrivals, batch_latency(network, entry.device, **on_devices), **queue)
        for entry in estimates
    ]


@app.command()
def synth(
    model: ModelArgument,
    part: Annotated[
        str,
        typer.Option(
            "--part",
            metavar="NAME",
            help="An FPGA of 'hwsim devices', for example ecp5-85f.",
            show_default=False,
        ),
    ],
    arch: ArchOption = Arch.streaming,
    cycles_per_image: CyclesOption = None,
    multipliers: MultipliersOption = None,
    rows: RowsOption = None,
    cols: ColsOption = None,
    dataflow: DataflowOption = None,
    buffer_bytes: BufferOption = None,
    accumulator_rows: AccumulatorOption = None,
    axi_bits: AxiOption = None,
    packed: PackedOption = False,
    speed_grade: Annotated[
        str | None,
        typer.Option(
            "--speed-grade",
            metavar="G",
            help="6, 7 or 8, ECP5 only; 6 if not given.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the placement.")] = 1,
    target_mhz: Annotated[
        float | None,
        typer.Option(
            "--target-mhz",
            metavar="F",
            help="Clock to aim at; the family's usual one if not given.",
            show_default=False,
        ),
    ] = None,
    no_place: Annotated[
        bool, typer.Option("--no-place", help="Stop after synthesis: counts only.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="DIR",
            help="Folder for bitstream, reports, Verilog, FuseSoC core, Vivado script and clock "
            "constraint.",
            show_default=False,
        ),
    ] = None,
    calibration: CalibrationOption = None,
    input_shape: ShapeOption = None,
    report: ReportOption = None,
    as_json: JsonOption = False,
) -> int:
    """Synthesize an accelerator for an FPGA by Yosys, and place and route it by nextpnr.

    ECP5 and iCE40 down to a bitstream, 7 series and UltraScale+ to counts. The exit status is 1 if
    the design does not fit the part. Results are kept and used again.
    """
    from .synth import parts, synthesize
    from .tables import show_synthesis

    array = _array_options(rows, cols, dataflow, buffer_bytes, accumulator_rows, axi_bits, packed)
    parts.load(part)
    terminal = Terminal(as_json=as_json)
    network = _quantized(terminal, _load(model, input_shape), model, calibration)
    design = _build(network, arch, cycles_per_image, multipliers, array)
    with terminal.progress("synthesizing"):
        result = synthesize(
            design,
            part,
            speed_grade=speed_grade,
            seed=seed,
            target_hz=None if target_mhz is None else 1e6 * target_mhz,
            placed=not no_place,
        )
    files = [] if output is None else result.write(output)
    shown = show_synthesis(terminal, result, files)
    title = f"{network.name} on {result.part.title}"
    terminal.finish(_with_report(terminal, shown, report, design, result, title=title))
    return DONE if result.fits else NEGATIVE


@app.command()
def explore(
    model: ModelArgument,
    space: Annotated[
        Path,
        typer.Option(
            "--space",
            metavar="FILE",
            help="TOML file with parameters, objectives and constraints; see docs/exploration.md.",
            show_default=False,
        ),
    ],
    store: Annotated[
        Path | None,
        typer.Option(
            "--store",
            metavar="FILE",
            help="Database for results as they come. An interrupted run goes on from it.",
            show_default=False,
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Local processes; one for each processor if not given.",
            show_default=False,
        ),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Dask scheduler, tcp://host:port, instead of local processes.",
            show_default=False,
        ),
    ] = None,
    method: Annotated[
        Search | None,
        typer.Option(
            help="Points to evaluate: all, or those that a sampler of Optuna asks for; all of a "
            "small space if not given.",
            show_default=False,
        ),
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Points that a sampler asks for; 2,048 if not given.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the sampler.")] = 0,
    refine: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="K",
            help="Designs nearest to the knee to simulate by events; the knee also at RTL, and "
            "synthesized.",
        ),
    ] = 0,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="DIR",
            help="Folder for a report, with the front as CSV.",
            show_default=False,
        ),
    ] = None,
    calibration: CalibrationOption = None,
    input_shape: ShapeOption = None,
    as_json: JsonOption = False,
) -> int:
    """Explore a design space: the Pareto front, its knee, and why other designs were rejected.

    The exit status is 1 if no design keeps to the constraints.
    """
    import hwsim

    from .explore import Space
    from .tables import show_study

    terminal = Terminal(as_json=as_json)
    points = Space.load(space)
    network = _load(model, input_shape)
    if calibration is not None:
        network = _quantized(terminal, network, model, calibration)
    with terminal.progress("exploring", total=len(points) if samples is None else None) as progress:
        study = hwsim.explore(
            network,
            points,
            store=store,
            workers=workers,
            scheduler=scheduler,
            method=method and method.value,
            samples=samples,
            seed=seed,
            refine=refine,
            progress=lambda done, total: progress(done),
        )
    files = []
    if output is not None:
        files = hwsim.report(study, title=f"{network.name}: designs").save(output / "explore.html")
    terminal.finish(show_study(terminal, study, files))
    return DONE if study.feasible else NEGATIVE


@app.command()
def devices(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME", help="Show all numbers of one device, each with its source."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """List the devices that can be estimated."""
    from .tables import show_devices

    terminal = Terminal(as_json=as_json)
    terminal.finish(show_devices(terminal, name))
    return DONE


@app.command("filter")
def filter_picture(
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
        Border,
        typer.Option(
            "--border",
            help="Windows within the picture only; black, or the nearest pixel, around it; or all "
            "windows that touch it, black around it.",
        ),
    ] = Border.zero,
    stride: Annotated[
        int, typer.Option("--stride", min=1, metavar="S", help="Pixels from window to window.")
    ] = 1,
    rotate: Annotated[
        bool,
        typer.Option("--rotate", help="Rotate the kernel by 180 degrees: a true convolution."),
    ] = False,
    mapping: Annotated[
        Mapping,
        typer.Option(
            "--map",
            help="Hold sums within 0 to 255; or make 128 of 0, scaled so that all sums fit.",
        ),
    ] = Mapping.clamp,
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
            max=15,
            metavar="N",
            help="Of the coefficients; as many as are exact, at most 12, if not given.",
            show_default=False,
        ),
    ] = None,
    grey: Annotated[
        Grey | None, typer.Option("--grey", help="Colour to grey first.", show_default=False)
    ] = None,
    block: Annotated[
        Block | None,
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
    engine: Annotated[Engine, typer.Option(help="Simulator.")] = Engine.compiled,
    as_json: JsonOption = False,
) -> int:
    """Filter a picture in hardware, cycle by cycle, and compare each value with the reference.

    Colour to grey, a kernel of fixed coefficients, a reduction of blocks: any of them, in this
    order, at one pixel per clock. The exit status is 1 if any value differs.
    """
    import hwsim

    from .images import load_picture, picture_bytes

    image_filter = hwsim.ImageFilter(
        kernel=_kernel(kernel, coefficients),
        border=border.value,
        stride=stride,
        rotate=rotate,
        map=mapping.value,
        scale=scale,
        offset=offset,
        fraction_bits=fraction_bits,
        grey=grey and grey.value,
        block=block and block.value,
        size=size,
        strict=strict,
    )
    terminal = Terminal(as_json=as_json)
    picture = load_picture(image)
    if output is not None:  # before anything is simulated
        picture_bytes(picture[:1, :1] if grey is None else picture[:1, :1, 0], output)
    with terminal.progress("simulating"):
        result = hwsim.filter_image(picture, image_filter, engine=engine.value)
    files = []
    if output is not None:
        from .files import write_file

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
    terminal.table(["", ""], [[key.replace("_", " "), value] for key, value in summary.items()])
    for file in files:
        terminal.say(file)
    terminal.finish({**summary, "left_out": result.left_out, "files": files})
    return NEGATIVE if result.mismatches else DONE


def _kernel(name, coefficients):
    """The kernel that the options describe, None for none."""
    from .network.filters import parse_kernel

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


@app.command()
def validate(
    name: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="Checks to run; all of them if none is named."),
    ] = None,
    output: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="DIR", help="Folder for the report."),
    ] = Path("reports/validation"),
    as_json: JsonOption = False,
) -> int:
    """Compare the models with measurements, with counts, and with simulated hardware.

    Writes every point, predicted and measured, as HTML, Markdown and CSV. Exit status 1 if a
    prediction that must be exact is not.
    """
    from .tables import show_checks
    from .validation import CHECKS

    terminal = Terminal(as_json=as_json)
    for unknown in set(name or ()) - set(CHECKS):
        raise ValueError(f"there is no check '{unknown}'; checks are {', '.join(CHECKS)}")
    checks = []
    for chosen in dict.fromkeys(name or CHECKS):
        with terminal.progress(chosen):
            checks.append(CHECKS[chosen]())
    from .reports import report

    files = report(*checks, title="Validation of hwsim's models").save(output / "validation.html")
    terminal.finish(show_checks(terminal, checks, files))
    return DONE if all(check.holds for check in checks) else NEGATIVE


@app.command("report")
def write_report(
    model: ModelArgument,
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="HTML file; Markdown and CSV are written beside it.",
            callback=_report_path,
        ),
    ] = Path("report.html"),
    images: Annotated[
        str | None,
        typer.Option(
            "--images",
            metavar="IMAGES",
            help=f"Images to simulate. {_IMAGES_HELP}",
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
    arch: ArchOption = Arch.streaming,
    cycles_per_image: CyclesOption = None,
    multipliers: MultipliersOption = None,
    rows: RowsOption = None,
    cols: ColsOption = None,
    dataflow: DataflowOption = None,
    buffer_bytes: BufferOption = None,
    accumulator_rows: AccumulatorOption = None,
    axi_bits: AxiOption = None,
    packed: PackedOption = False,
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

    from .models.dataflow.workload import is_quantized
    from .reports import Comparison

    array = _array_options(rows, cols, dataflow, buffer_bytes, accumulator_rows, axi_bits, packed)
    terminal = Terminal(as_json=as_json)
    network = _load(model, input_shape)
    items: list[Any] = [network]
    design: Any = None
    mismatches = None
    if images or calibration or is_quantized(network):
        network = _quantized(terminal, network, model, calibration or images)
        design = _build(network, arch, cycles_per_image, multipliers, array)
        items.append(design)
    if images:
        given = _images(network, images)[:count]
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
    written = _with_report(terminal, {"mismatches": mismatches}, output, *items, title=network.name)
    terminal.finish(written)
    return NEGATIVE if mismatches else DONE


@app.command()
def compare(
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
    from .reports import compare, read_result
    from .tables import show_differences

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
    terminal.finish(_with_report(terminal, result, report, found, title="Two results"))
    return DONE if found.equal else NEGATIVE


@app.command()
def prove(
    name: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="Proofs to run; all of them if none is named."),
    ] = None,
    depth: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Cycles of each proof, instead of its own.", show_default=False
        ),
    ] = None,
    output: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="DIR", help="Folder for counterexamples."),
    ] = Path("counterexamples"),
    as_json: JsonOption = False,
) -> int:
    """Prove that streams keep their contract, and that pipelines with forks never get stuck.

    Writes a counterexample as NAME.vcd. Exit status 1 if a proof fails. Needs the extra "formal".
    """
    from .files import write_files
    from .formal import PROOFS, require_solver
    from .tables import show_proofs

    terminal = Terminal(as_json=as_json)
    for unknown in set(name or ()) - set(PROOFS):
        raise ValueError(f"there is no proof '{unknown}'; proofs are {', '.join(PROOFS)}")
    require_solver()
    results = []
    for chosen in dict.fromkeys(name or PROOFS):
        with terminal.progress(chosen):
            results.append(PROOFS[chosen].run(depth))
    traces = {f"{r.name}.vcd": r.trace for r in results if r.trace}
    files = write_files(output, traces) if traces else []
    terminal.finish(show_proofs(terminal, results, files))
    return DONE if all(result.holds for result in results) else NEGATIVE


@app.command()
def calibrate(
    processor: Annotated[Calibrated, typer.Argument(help="What to measure.", show_default=False)],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="Device file to write; if not given, the one of this-machine or this-gpu, which "
            "'hwsim estimate' then knows by these names.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Measure this machine's processor for half a minute, and write it as a device.

    Nothing else should run meanwhile.
    """
    from .models.devices import user_file
    from .tables import show_devices

    terminal = Terminal(as_json=as_json)
    name = "this-machine" if processor is Calibrated.cpu else "this-gpu"
    path = user_file(name) if output is None else output
    with terminal.progress("measuring"):
        if processor is Calibrated.cpu:
            from .models.calibrate import calibrate_cpu

            calibrate_cpu(path)
        else:
            import_module("hwsim.models.calibrate_gpu").calibrate_gpu(path)
    result = show_devices(terminal, path)
    terminal.say(f"{path}: estimate with --device {path if output else name}")
    terminal.finish(result | {"file": path})
    return DONE


def _with_report(
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


def _quantized(terminal: Terminal, network: Any, model: str, calibration: str | None) -> Any:
    """Quantize a network that is float; ``model`` names it in messages."""
    import hwsim

    from .models.dataflow.workload import is_quantized

    if is_quantized(network):
        return network
    if calibration is None:
        raise ValueError(
            f"{model} is a float network: quantize it with 'hwsim quantize', or give --calibration"
        )
    images = _images(network, calibration, key="calibration")
    with terminal.progress("quantizing"):
        return hwsim.quantize(network, calibration=images.images)


def _array_options(
    rows: int | None,
    cols: int | None,
    dataflow: str | None,
    buffer_bytes: int | None,
    accumulator_rows: int | None,
    axi_bits: int | None,
    packed: bool,
) -> dict[str, Any]:
    """What was said of the systolic array."""
    given = {
        "rows": rows,
        "cols": cols,
        "dataflow": dataflow and str(dataflow),
        "buffer_bytes": buffer_bytes,
        "accumulator_rows": accumulator_rows,
        "axi_bits": axi_bits,
        "packed": packed or None,
    }
    return {name: value for name, value in given.items() if value is not None}


def _build(network: Any, *architecture: Any) -> Any:
    """Build the accelerator."""
    import hwsim

    return hwsim.build(network, _architecture(*architecture))


def _architecture(
    arch: Arch, cycles_per_image: int | None, multipliers: int | None, array: dict[str, Any]
) -> Any:
    """The `hwsim.Streaming` or `hwsim.Systolic` that the options describe."""
    import hwsim

    if arch == Arch.systolic:
        if cycles_per_image is not None or multipliers is not None:
            raise ValueError("--cycles-per-image and --multipliers go with --arch streaming")
        return hwsim.Systolic(**array)
    if array:
        option = next(iter(array)).replace("_", "-")
        raise ValueError(f"--{option} goes with --arch systolic")
    if cycles_per_image is not None and multipliers is not None:
        raise ValueError("give --cycles-per-image or --multipliers, not both")
    return hwsim.Streaming(cycles_per_image=cycles_per_image, multipliers=multipliers)


def _load(model: str, input_shapes: Sequence[str] | None, strict: bool = False) -> Any:
    """Load the network in a file, a bundled one, or a known one."""
    import hwsim

    from .data import bundled, bundled_networks

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
    return hwsim.load(source, shapes or None, strict=strict)


def _known(model: str) -> Any:
    """The ONNX model of a known network, by its name or notation."""
    from . import networks
    from .data import bundled_networks

    if model in networks.NAMES or networks.is_notation(model):
        return networks.model(model)
    raise FileNotFoundError(
        f"{model} does not exist; give an ONNX file, a bundled network "
        f"({', '.join(bundled_networks())}), a known one ({', '.join(networks.NAMES)}) or a "
        "notation such as 28x28-20C5-MP2-500N-10"
    )


def _shape(text: str) -> tuple[str, tuple[int, ...]]:
    """Parse ``NAME=N,C,H,W``."""
    name, equals, sizes = text.rpartition("=")
    parts = sizes.split(",")
    if not equals or not name or not all(part.strip().isdecimal() and int(part) for part in parts):
        raise ValueError(f"--input-shape must look like image=1,3,32,32, not {text!r}")
    return name, tuple(int(part) for part in parts)


def _images(network: Any, source: str, *, key: str = "images") -> Any:
    """Load images for a network's input, from a file or of a bundled network."""
    from .data import bundled, bundled_networks
    from .images import load_images

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


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit. ``arguments`` are those of the process unless given."""
    if arguments is None:
        # A reader that has seen enough, as in ``hwsim devices | head``, ends the command silently.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        # What Amaranth says of hardware that is abandoned, because a command is interrupted.
        warnings.filterwarnings("ignore", ".* created but never used")
    sys.exit(_run(arguments))


def _run(arguments: Sequence[str] | None) -> int:
    try:
        status = app(args=arguments, prog_name="hwsim", standalone_mode=False) or DONE
        # Here, so that a full disk is reported like any other error.
        print(end="", flush=True)
        return status
    except TyperException as error:
        problem = error.format_message()
    except OSError as error:
        reason = error.strerror or str(error)
        problem = reason if error.filename is None else f"{error.filename}: {reason}"
    except MemoryError as error:
        problem = f"there is not enough memory: {error}"
    except (TypeError, ValueError) as error:
        if not _is_refusal(error):
            raise
        problem = str(error)
    print("hwsim: error:", clean(" ".join(problem.split())), file=sys.stderr)
    return BAD_INPUT


def _is_refusal(error: BaseException) -> bool:
    """Whether a ``raise`` statement of this package raised the error.

    Such an error is a sentence about what was given. Any other is a mistake in this package, and
    needs its traceback.
    """
    last = traceback.extract_tb(error.__traceback__)[-1]
    ours = Path(last.filename).is_relative_to(Path(__file__).parent)
    return ours and (last.line or "").startswith("raise ")
