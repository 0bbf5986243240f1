"""The command ``train``."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from hwsim.files import check_file, make_folder
from hwsim.terminal import Terminal

from .inputs import load_images_for, load_network
from .options import (
    DONE,
    NEGATIVE,
    CountOption,
    ImagesOption,
    JsonOption,
    ModelArgument,
)

__all__ = ["train"]


def train(
    *,
    model: ModelArgument,
    images: ImagesOption,
    count: CountOption = None,
    steps: Annotated[int, typer.Option(min=1, metavar="N", help="Steps in all.")] = 100,
    batch: Annotated[int, typer.Option(min=1, metavar="B", help="Images in a step.")] = 16,
    rate: Annotated[float, typer.Option(metavar="R", help="Learning rate, at most 1.")] = 0.02,
    momentum: Annotated[float, typer.Option(metavar="M", help="At least 0, less than 1.")] = 0.9,
    loss: Annotated[
        Literal["cross-entropy", "rmse"],
        typer.Option(help="Of the outputs' softmax, or of outputs that are to be 0 and 1."),
    ] = "cross-entropy",
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
        Literal["rtl", "reference"],
        typer.Option(help="Simulated hardware, compared with the reference; or that alone."),
    ] = "rtl",
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
    network = load_network(terminal, model, None)
    found = load_images_for(network, images)
    from hwsim.models.training import TrainingSettings
    from hwsim.sim.trainer import train as run

    # Before work that would be lost.
    for path in (output, checkpoint):
        if path is not None:
            check_file(path)
    if verilog is not None:
        make_folder(verilog)
    labels = None if found.labels is None else found.labels[:count]
    with terminal.progress("training", steps) as show:
        result = run(
            network,
            found.images[:count],
            labels,
            steps=steps,
            batch=batch,
            settings=TrainingSettings(
                rate=rate, momentum=momentum, loss=loss, stochastic=stochastic, seed=seed
            ),
            lanes=lanes,
            engine=engine,
            checkpoint=checkpoint,
            checkpoint_steps=checkpoint_steps,
            progress=lambda done, loss: show(done),
        )
    if output is not None:
        result.network.save(output)
    if verilog is not None:
        from hwsim.rtl.trainer import AxiTrainer
        from hwsim.rtl.verilog import convert

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
    # Of what was not simulated there is nothing to say.
    hidden = () if engine == "rtl" else ("mismatches", "cycles")
    rows = [[name.replace("_", " "), v] for name, v in summary.items() if name not in hidden]
    terminal.table(["", "value"], rows)
    terminal.finish(
        {
            "engine": engine,
            **summary,
            "losses": result.losses,
            "float_losses": result.float_losses,
            "cycles_by_work": result.cycles_by_work,
        }
    )
    agree = result.mismatches == 0 and result.cycles == result.planned_cycles
    return DONE if agree else NEGATIVE
