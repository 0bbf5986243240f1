"""Commands about the models: ``estimate``, ``devices``, ``calibrate``, ``validate``."""

from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from hwsim.terminal import Terminal

from .inputs import load_network, with_report
from .options import (
    DONE,
    NEGATIVE,
    AcceleratorOptions,
    JsonOption,
    ModelArgument,
    ReportOption,
    ShapeOption,
)

__all__ = ["calibrate", "devices", "estimate", "validate"]

_QUEUE = "Requests over time"
_SEVERAL = "Several devices"


def _queue(
    *,
    requests_per_second: Annotated[
        float | None,
        typer.Option(
            "--requests-per-second",
            metavar="R",
            help="Serve requests of an image each, that arrive at random at this mean rate "
            "(Poisson), and print percentiles of their latency.",
            show_default=False,
            rich_help_panel=_QUEUE,
        ),
    ] = None,
    requests: Annotated[
        int, typer.Option(min=1, metavar="N", help="Requests to serve.", rich_help_panel=_QUEUE)
    ] = 10_000,
    max_batch: Annotated[
        int,
        typer.Option(
            min=1, metavar="B", help="Requests in a batch, at most.", rich_help_panel=_QUEUE
        ),
    ] = 1,
    max_wait: Annotated[
        float,
        typer.Option(
            min=0,
            metavar="MS",
            help="Milliseconds that a request waits for others while the device is free.",
            rich_help_panel=_QUEUE,
        ),
    ] = 0.0,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of the arrivals.", rich_help_panel=_QUEUE)
    ] = 0,
) -> dict[str, Any] | None:
    """Keywords of `_serve`; None if no requests arrive."""
    if requests_per_second is None:
        return None
    queue = {"max_batch": max_batch, "max_wait_s": max_wait / 1000}
    return {"rate": requests_per_second, "count": requests, "seed": seed, "queue": queue}


def _several(
    *,
    devices_in_parallel: Annotated[
        int | None,
        typer.Option(
            "--devices-in-parallel",
            min=1,
            metavar="N",
            help="Split the work over N devices of each kind, joined by links.",
            show_default=False,
            rich_help_panel=_SEVERAL,
        ),
    ] = None,
    parallel: Annotated[
        Literal["data", "features", "space", "pipeline"],
        typer.Option(
            help="What is split: the batch; each layer's output channels, or the rows of each "
            "feature map, on FPGAs in training alone; or, not on FPGAs and not in training, the "
            "network between its layers.",
            rich_help_panel=_SEVERAL,
        ),
    ] = "data",
    link_bandwidth: Annotated[
        float | None,
        typer.Option(
            "--link-bandwidth",
            metavar="GB/S",
            help="Of the link from each device to the next, in 10⁹ bytes per second.",
            show_default=False,
            rich_help_panel=_SEVERAL,
        ),
    ] = None,
    link_latency: Annotated[
        float,
        typer.Option(
            "--link-latency",
            min=0,
            metavar="US",
            help="Microseconds that a transfer takes besides.",
            rich_help_panel=_SEVERAL,
        ),
    ] = 0.0,
) -> dict[str, Any] | None:
    """Keywords of `_split`; None if each device works alone."""
    if devices_in_parallel is None and link_bandwidth is None:
        return None
    if devices_in_parallel is None or link_bandwidth is None:
        raise ValueError("--devices-in-parallel and --link-bandwidth go together")
    if link_bandwidth <= 0:
        raise ValueError(f"--link-bandwidth must be positive, not {link_bandwidth:g}")
    link = (1e9 * link_bandwidth, link_latency / 1e6)
    return {"parallel": parallel, "count": devices_in_parallel, "link": link}


def estimate(
    *,
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
        Literal["sgd", "momentum", "adam"],
        typer.Option(help="What updates the weights in a training step."),
    ] = "sgd",
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
    accelerator: AcceleratorOptions,
    lanes: Annotated[
        int | None,
        typer.Option(
            min=4,
            max=256,
            metavar="N",
            help="Rows and columns of an FPGA's training accelerator.",
            show_default=False,
        ),
    ] = None,
    clock_mhz: Annotated[
        float | None,
        typer.Option(
            "--clock-mhz",
            metavar="F",
            help="Clock of the FPGAs, from place and route, say.",
            show_default=False,
        ),
    ] = None,
    served: Annotated[Any, _queue],
    split: Annotated[Any, _several],
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
    epochs: Annotated[
        int | None,
        typer.Option(
            "--epochs",
            min=1,
            metavar="N",
            help="Of training; 1 if not given.",
            show_default=False,
        ),
    ] = None,
    input_shape: ShapeOption = None,
    report: ReportOption = None,
    as_json: JsonOption = False,
) -> int:
    """Estimate latency and throughput of a network on one or more devices.

    On an FPGA a network that is not quantized is taken as if it were, with random weights; for a
    training step it must not be. FPGAs run the accelerator that is described; if none is, the
    fastest streaming pipeline that their DSPs allow.
    """
    import hwsim
    from hwsim.blocks.training import TrainingConfig
    from hwsim.tables import show_estimates, show_parallel, show_serving, show_training_time

    if dataset_size is not None and not training:
        raise ValueError("--dataset-size is of training; give --training too")
    if epochs is not None and dataset_size is None:
        raise ValueError("--epochs is of a data set; give --dataset-size too")
    if training and served:
        raise ValueError("--requests-per-second is for inference; leave --training out")
    if lanes is not None and not training:
        raise ValueError("--lanes is of training; give --training too")
    if lanes is not None and accelerator is not None:
        raise ValueError(
            "--lanes describes the accelerator of training: leave options of others out"
        )
    terminal = Terminal(as_json=as_json)
    network = load_network(terminal, model, input_shape)
    on_devices: dict[str, Any] = {
        "cores": cores,
        "design": accelerator if lanes is None else TrainingConfig(lanes=lanes),
        "clock_hz": None if clock_mhz is None else 1e6 * clock_mhz,
    }
    with terminal.progress("estimating"):
        estimates = hwsim.estimate(
            network,
            devices=device,
            batch=batch,
            training=training,
            optimizer=optimizer,
            **on_devices,
        )
    # Before anything is printed, because the layer may not exist.
    explanations = [] if explain is None else [entry.explain(explain) for entry in estimates]
    servings = splits = None
    if served:
        with terminal.progress("serving"):
            servings = _serve(network, estimates, on_devices, **served)
    if split:
        steps = {"training": training, "optimizer": optimizer} if training else {}
        with terminal.progress("splitting"):
            splits = _split(estimates, batch, on_devices | steps, **split)
    result = show_estimates(terminal, estimates)
    found = result["devices"]
    more: dict[str, Any] = {}  # of the report: rows of tables, and what was asked
    if splits:
        for entry, several in zip(found, splits, strict=True):
            entry["parallel"] = several.to_dict()
        bandwidth, delay = split["link"]
        asked = {"Link (GB/s)": bandwidth / 1e9, "Latency of a transfer (µs)": 1e6 * delay}
        more["parallel"] = show_parallel(terminal, found), asked
    if dataset_size is not None:
        asked = {"Batch": batch, "Images of an epoch": dataset_size, "Epochs": epochs or 1}
        more["training"] = show_training_time(terminal, found, *asked.values()), asked
    if servings:
        asked = {"requests_per_second": served["rate"], "seed": served["seed"]}
        for entry, serving in zip(found, servings, strict=True):
            entry["serving"] = asked | serving.to_dict()
        asked = {
            "Requests": served["count"],
            "Arrivals per second": served["rate"],
            "Seed of the arrivals": served["seed"],
            "Requests in a batch, at most": served["queue"]["max_batch"],
            "Wait for others, at most (ms)": 1000 * served["queue"]["max_wait_s"],
        }
        more["serving"] = show_serving(terminal, found), asked
    for text in explanations:
        terminal.say()
        terminal.lines(text)
    title = f"{network.name}: estimates"
    items = [network, estimates]
    if report is not None:
        from hwsim.reports.sections import outlook

        items += [outlook(name, *what) for name, what in more.items()]
    terminal.finish(with_report(terminal, result, report, *items, title=title))
    return DONE


def _split(
    estimates: Any,
    batch: int,
    options: dict[str, Any],
    *,
    parallel: str,
    count: int,
    link: tuple[float, float],
) -> list[Any]:
    """The batch or the layers split over several of each device."""
    from hwsim.models.dataflow.parallel import Link, data_parallel, pipeline_parallel
    from hwsim.models.dataflow.split import feature_parallel, space_parallel

    split: Any = {
        "data": data_parallel,
        "features": feature_parallel,
        "space": space_parallel,
        "pipeline": pipeline_parallel,
    }[parallel]
    joined = Link(*link)
    return [
        split(estimates.network, entry.device, count, joined, batch=batch, **options)
        for entry in estimates
    ]


def _serve(
    network: Any,
    estimates: Any,
    on_devices: dict[str, Any],
    *,
    rate: float,
    count: int,
    seed: int,
    queue: dict[str, Any],
) -> list[Any]:
    """The same requests on each device, a `Serving` for each."""
    from hwsim.models.dataflow.serving import batch_latency, poisson_arrivals, serve

    arrivals = poisson_arrivals(rate, count, seed)
    return [
        serve(arrivals, batch_latency(network, entry.device, **on_devices), **queue)
        for entry in estimates
    ]


def devices(
    *,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME", help="Show all numbers of one device, each with its source."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """List the devices that can be estimated."""
    from hwsim.tables import show_devices

    terminal = Terminal(as_json=as_json)
    terminal.finish(show_devices(terminal, name))
    return DONE


def calibrate(
    *,
    processor: Annotated[
        Literal["cpu", "gpu"], typer.Argument(help="What to measure.", show_default=False)
    ],
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
    from hwsim.models.devices import user_file
    from hwsim.tables import show_devices

    terminal = Terminal(as_json=as_json)
    name = "this-machine" if processor == "cpu" else "this-gpu"
    path = user_file(name) if output is None else output
    with terminal.progress("measuring"):
        if processor == "cpu":
            from hwsim.models.calibrate import calibrate_cpu

            calibrate_cpu(path)
        else:
            import_module("hwsim.models.calibrate_gpu").calibrate_gpu(path)
    result = show_devices(terminal, path)
    terminal.say(f"{path}: estimate with --device {path if output else name}")
    terminal.finish(result | {"file": path})
    return DONE


def validate(
    *,
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
    from hwsim.tables import show_checks
    from hwsim.validation import CHECKS

    terminal = Terminal(as_json=as_json)
    for unknown in set(name or ()) - set(CHECKS):
        raise ValueError(f"there is no check '{unknown}'; checks are {', '.join(CHECKS)}")
    checks = []
    for chosen in dict.fromkeys(name or CHECKS):
        with terminal.progress(chosen):
            checks.append(CHECKS[chosen]())
    from hwsim.reports import report

    files = report(*checks, title="Validation of hwsim's models").save(output / "validation.html")
    terminal.finish(show_checks(terminal, checks, files))
    return DONE if all(check.holds for check in checks) else NEGATIVE
