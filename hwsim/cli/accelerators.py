"""Commands that build hardware, from ``verilog`` to ``prove``."""

import math
import re
from pathlib import Path
from typing import Annotated

import typer

from hwsim.terminal import Terminal

from .inputs import as_integers, load_images_for, load_network, with_report
from .options import (
    ARRAY,
    DONE,
    NEGATIVE,
    AcceleratorOptions,
    ArrayOptions,
    CalibrationOption,
    CountOption,
    EngineOption,
    ImagesOption,
    JsonOption,
    ModelArgument,
    ReportOption,
    ShapeOption,
)

__all__ = ["compile_program", "prove", "simulate", "synth", "verilog"]


def verilog(
    *,
    model: ModelArgument,
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", metavar="DIR", help="Folder for the Verilog.", show_default=False
        ),
    ],
    accelerator: AcceleratorOptions,
    calibration: CalibrationOption = None,
    input_shape: ShapeOption = None,
    as_json: JsonOption = False,
) -> int:
    """Write the Verilog of an accelerator for a network.

    A streaming pipeline has AXI4-Stream in and out; a systolic accelerator has AXI4 to memory and
    AXI4-Lite for control, and is the same for all networks.
    """
    import hwsim

    terminal = Terminal(as_json=as_json)
    network = as_integers(terminal, load_network(terminal, model, input_shape), model, calibration)
    design = hwsim.build(network, accelerator)
    with terminal.progress("writing Verilog"):
        files = design.write_verilog(output)
    top, lines = design.verilog.top, design.verilog.lines
    terminal.say(f"{files[0]} and what it needs beside it: {lines:,} lines, top module {top}")
    terminal.finish({"top": top, "files": files, "lines": lines})
    return DONE


def compile_program(
    *,
    model: ModelArgument,
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", metavar="DIR", help="Folder for the program.", show_default=False
        ),
    ],
    array: ArrayOptions,
    calibration: CalibrationOption = None,
    input_shape: ShapeOption = None,
    as_json: JsonOption = False,
) -> int:
    """Compile a network for a systolic accelerator.

    Writes the program as a listing and as bytes, the constants, and where in memory all of it and
    the network's inputs and outputs belong.
    """
    import hwsim

    terminal = Terminal(as_json=as_json)
    network = as_integers(terminal, load_network(terminal, model, input_shape), model, calibration)
    with terminal.progress("compiling"):
        program = hwsim.build(network, hwsim.Systolic(**array)).program
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


def simulate(
    *,
    model: ModelArgument,
    images: ImagesOption,
    count: CountOption = None,
    accelerator: AcceleratorOptions,
    memory_latency: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Cycles from a request to memory to its answer; 20 if not given.",
            show_default=False,
            rich_help_panel=ARRAY,
        ),
    ] = None,
    engine: EngineOption = "compiled",
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

    terminal = Terminal(as_json=as_json)
    network = load_network(terminal, model, input_shape)
    given = load_images_for(network, images)[:count]
    quantized = as_integers(terminal, network, model, calibration or images)
    design = hwsim.build(quantized, accelerator)
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
            engine=engine,
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
    terminal.finish(with_report(terminal, summary, report, network, design, result, title=title))
    return NEGATIVE if result.mismatches else DONE


def _wave(path, scope, cycles, lane):
    """The waveforms that the options describe."""
    from hwsim.sim.engine import Wave

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


def benchmark(
    *,
    model: ModelArgument = "lenet5",
    images: ImagesOption = "lenet5",
    engine: Annotated[
        list[str] | None,
        typer.Option(
            "--engine",
            metavar="NAME",
            help="A simulator: compiled, verilator or amaranth. May be repeated; "
            "compiled, and verilator where there is one, if nothing is said.",
            show_default=False,
        ),
    ] = None,
    lanes: Annotated[
        int,
        typer.Option(
            min=1, max=1024, metavar="N", help="Stimuli side by side, in the compiled engine."
        ),
    ] = 64,
    accelerator: AcceleratorOptions,
    calibration: CalibrationOption = None,
    input_shape: ShapeOption = None,
    as_json: JsonOption = False,
) -> int:
    """Measure how fast this machine simulates an accelerator, on one processor.

    Ever more images, until their time stands out from that of preparation. All values are compared
    with the integer reference, outside of the time; the exit status is 1 if any differs.
    """
    import hwsim
    from hwsim.sim.speed import measure
    from hwsim.sim.verilator_engine import verilators
    from hwsim.tables import show_speeds

    terminal = Terminal(as_json=as_json)
    network = load_network(terminal, model, input_shape)
    given = load_images_for(network, images)
    design = hwsim.build(as_integers(terminal, network, model, calibration or images), accelerator)
    speeds = []
    for name in dict.fromkeys(engine or ("compiled", *["verilator"][: len(verilators())])):
        for count in (1, lanes) if name == "compiled" and lanes > 1 else (1,):
            with terminal.progress(f"{name}, lanes: {count}"):
                speeds.append(measure(design, given.images, name, count))
    terminal.finish(show_speeds(terminal, speeds))
    return NEGATIVE if any(speed.mismatches for speed in speeds) else DONE


def synth(
    *,
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
    accelerator: AcceleratorOptions,
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
    import hwsim
    from hwsim.synth import parts, synthesize
    from hwsim.tables import show_synthesis

    parts.load(part)
    terminal = Terminal(as_json=as_json)
    network = as_integers(terminal, load_network(terminal, model, input_shape), model, calibration)
    design = hwsim.build(network, accelerator)
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
    terminal.finish(with_report(terminal, shown, report, design, result, title=title))
    return DONE if result.fits else NEGATIVE


def prove(
    *,
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
    from hwsim.files import write_files
    from hwsim.formal import PROOFS, require_solver
    from hwsim.tables import show_proofs

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
