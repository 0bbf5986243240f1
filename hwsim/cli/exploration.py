"""The command ``explore``."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from hwsim.terminal import Terminal

from .inputs import as_integers, load_network
from .options import (
    DONE,
    NEGATIVE,
    CalibrationOption,
    JsonOption,
    ModelArgument,
    ShapeOption,
)

__all__ = ["explore"]


def explore(
    *,
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
        Literal["exhaustive", "nsga2", "tpe"] | None,
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
    from hwsim.explore import Space
    from hwsim.tables import show_study

    terminal = Terminal(as_json=as_json)
    points = Space.load(space)
    network = load_network(terminal, model, input_shape)
    if calibration is not None:
        network = as_integers(terminal, network, model, calibration)
    with terminal.progress("exploring", total=len(points) if samples is None else None) as progress:
        study = hwsim.explore(
            network,
            points,
            store=store,
            workers=workers,
            scheduler=scheduler,
            method=method,
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
