"""The demo: a bundled network and real images through everything that hwsim does."""

from pathlib import Path
from typing import Any

import numpy as np

import hwsim

from .blocks.array import ArrayConfig
from .data import bundled
from .files import make_folder
from .images import Images, load_images
from .models import onnx_runtime
from .models.dataflow.systolic import layer_table
from .models.reference import integer as reference
from .reports import Accuracy, Comparison, Section
from .sim.array_trace import random_folds, trace_array
from .sim.simulate import input_codes
from .tables import duration, show_estimates, show_layers
from .terminal import Terminal

__all__ = ["run"]

NETWORK = "lenet5"
CYCLES_PER_IMAGE = 4096
# A device of each class; the FPGA runs the pipeline that is simulated.
FPGA = "zu9eg"
DEVICES = ["i7-7700k", "gtx-1080-ti", "tpu-v1", FPGA]
# Images that the integer reference takes at once.
BATCH = 250
# Images in a row through one copy of the pipeline: enough for a steady state.
IMAGES_PER_LANE = 8
# The systolic array, and images that it is simulated on.
ROWS = COLS = 16
SYSTOLIC_IMAGES = 64
# One to look into, cycle by cycle.
SMALL_ARRAY = ArrayConfig(rows=4, cols=4, operand_registers=0, product_registers=0)
# ONNX Runtime rounds in floating point: a code may be off by one step, never by more.
ALLOWED_STEPS = 1


def run(terminal: Terminal, output: Path, *, count: int) -> tuple[dict[str, Any], bool]:
    """Run the demo.

    Parameters
    ----------
    terminal : Terminal
    output : path
        Folder for everything that is written; made if missing.
    count : int
        Images to simulate: at least 2, so that the pipeline reaches its steady state.

    Returns
    -------
    dict
        What ``--json`` prints.
    bool
        Whether the hardware did what both references and the estimate say.
    """
    make_folder(output)

    terminal.step(1, "Import the network")
    network = hwsim.load(bundled(f"{NETWORK}/{NETWORK}.onnx"))
    show_layers(terminal, network)

    terminal.step(2, "Quantize it to int8")
    source = bundled(f"{NETWORK}/images.npz")
    shape = network.inputs[0].shape[1:]
    calibration = load_images(source, shape, key="calibration")
    held_out = load_images(source, shape)
    quantized = hwsim.quantize(network, calibration=calibration.images)
    saved = output / f"{NETWORK}_int8.onnx"
    quantized.save(saved)
    design = hwsim.build(quantized, hwsim.Streaming(cycles_per_image=CYCLES_PER_IMAGE))
    accuracy = _accuracy(terminal, network, design, held_out)
    terminal.table(
        ["numbers", "accuracy", "images"],
        [
            ["float", f"{accuracy.float_accuracy:.1%}", accuracy.images],
            ["int8", f"{accuracy.int8_accuracy:.1%}", accuracy.images],
        ],
    )
    terminal.say(f"calibrated with {len(calibration)} other images, written to {saved}")

    terminal.step(3, "Build a streaming pipeline and write its Verilog")
    plan = design.plan
    with terminal.progress("writing Verilog"):
        files = design.write_verilog(output / "verilog")
    terminal.table(
        ["stage", "unit", "multipliers", "cycles per image"],
        (
            [
                stage.name,
                type(stage.config).__name__.removesuffix("Config"),
                stage.config.multipliers,
                stage.config.interval,
            ]
            for stage in plan.stages
        ),
        total=["pipeline", "", plan.multipliers, plan.interval],
    )
    terminal.say(
        f"{design.verilog.lines:,} lines, the top module in {files[0]}; "
        f"{plan.utilization:.0%} of the multipliers' cycles are useful"
    )

    terminal.step(4, f"Simulate {count:,} images cycle by cycle, and compare")
    images = held_out[:count]
    with terminal.progress("simulating", len(images)) as show:
        result = hwsim.simulate(
            design,
            images.images,
            lanes=max(1, len(images) // IMAGES_PER_LANE),
            progress=show,
        )
    each = result.images_per_lane
    codes = {design.network.input.name: input_codes(design.network, images.images)}
    opinion = onnx_runtime.compare(quantized, codes | result.feature_maps)
    terminal.table(
        ["feature map", "values", "differ from NumPy", "differ from ONNX Runtime", "by at most"],
        _comparison(design, result, opinion),
    )
    terminal.say(
        f"{result.lanes} copies of the pipeline side by side, {each} images each: "
        f"{result.cycles:,} cycles, {result.cycles_per_image:,} per image in the steady state; "
        f"simulated in {duration(result.seconds)}"
    )

    terminal.step(5, "Run the same network on a systolic accelerator")
    systolic = hwsim.build(quantized, hwsim.Systolic(rows=ROWS, cols=COLS))
    with terminal.progress("simulating", min(count, SYSTOLIC_IMAGES)) as show:
        on_array = hwsim.simulate(systolic, images[:SYSTOLIC_IMAGES].images, progress=show)
    with terminal.progress("writing Verilog"):
        systolic.write_verilog(output / "verilog_systolic")
    systolic.program.write(output / "program")
    modelled = systolic.cycles()
    layers = layer_table(systolic.program, systolic.program.timing())
    terminal.table(
        ["layer", "cycles", "utilization", "limit", "bytes read"],
        (
            [
                row.layer,
                row.cycles,
                None if np.isnan(row.utilization) else f"{row.utilization:.1%}",
                None if np.isnan(row.limit) else f"{row.limit:.1%}",
                row.bytes_read,
            ]
            for row in layers.itertuples(index=False)
        ),
    )
    useful = plan.macs / (ROWS * COLS * on_array.cycles_per_image)
    terminal.table(
        ["", "streaming pipeline", "systolic accelerator"],
        [
            ["multipliers of the layers", plan.multipliers, ROWS * COLS],
            ["cycles per image, simulated", result.cycles_per_image, on_array.cycles_per_image],
            ["cycles per image, modelled", plan.interval, modelled],
            ["useful multiplier cycles", f"{plan.utilization:.1%}", f"{useful:.1%}"],
            ["values that differ", result.mismatches, on_array.mismatches],
            ["lines of Verilog", design.verilog.lines, systolic.verilog.lines],
        ],
    )
    terminal.say(
        f"{on_array.images} images, {int(on_array.layers['values'].sum()):,} values compared; "
        f"{len(systolic.program.instructions)} instructions; simulated in "
        f"{duration(on_array.seconds)}"
    )

    terminal.step(6, "Estimate the same network on other hardware")
    with terminal.progress("estimating"):
        estimates = hwsim.estimate(quantized, devices=DEVICES, design=design)
        batched = hwsim.estimate(quantized, devices=FPGA, design=design, batch=each)
    devices = show_estimates(terminal, estimates)["devices"]
    estimated = batched[FPGA]

    terminal.step(7, "Write the report")
    report = output / "report.html"
    hwsim.report(
        network,
        accuracy,
        design,
        result,
        Section(
            "ONNX Runtime",
            "Each layer of the quantized network, run by ONNX Runtime on the inputs that the "
            "hardware's unit had. It rounds in floating point, so that a code may be off by one.",
            tables={"onnx-runtime": opinion},
        ),
        Comparison(
            estimated={
                f"cycles for {each} images": estimated.cycles,
                "cycles per image, steady state": estimated.interval_cycles,
            },
            actual={
                f"cycles for {each} images": result.cycles,
                "cycles per image, steady state": result.cycles_per_image,
            },
        ),
        systolic,
        on_array,
        trace_array(SMALL_ARRAY, random_folds(SMALL_ARRAY, [6, 4, 5])),
        estimates,
        title=f"{network.name}: network to hardware",
    ).save(report)
    terminal.say(f"{report}, with Markdown and CSV beside it")

    largest = int(opinion["largest"].max())
    passed = (
        result.mismatches == 0
        and largest <= ALLOWED_STEPS
        and estimated.cycles == result.cycles
        and estimated.interval_cycles == result.cycles_per_image
        and on_array.mismatches == 0
        and on_array.cycles_per_image == modelled
    )
    values, differing = int(opinion["values"].sum()), int(opinion["differing"].sum())
    terminal.say()
    terminal.table(
        ["", ""],
        [
            ["accuracy, float", f"{accuracy.float_accuracy:.1%} of {accuracy.images:,} images"],
            ["accuracy, int8", f"{accuracy.int8_accuracy:.1%} of {accuracy.images:,} images"],
            [
                "against the NumPy reference",
                f"{result.mismatches:,} of {int(result.layers['values'].sum()):,} values differ",
            ],
            [
                "against ONNX Runtime",
                f"{differing:,} of {values:,} values differ, by at most {largest}",
            ],
            [
                "cycles, simulated",
                f"{result.cycles:,} for {each} images, {result.cycles_per_image:,} for each more",
            ],
            [
                "cycles, estimated",
                f"{estimated.cycles:,} for {each} images, "
                f"{estimated.interval_cycles:,} for each more",
            ],
            [
                "systolic accelerator",
                f"{on_array.cycles_per_image:,} cycles per image, {modelled:,} estimated, "
                f"{on_array.mismatches:,} values differ",
            ],
            *(
                [
                    f"latency on {entry.device.name} ({entry.device.device_class})",
                    duration(entry.latency_s),
                ]
                for entry in estimates
            ),
            ["Verilog", f"{design.verilog.lines:,} lines, top in {files[0]}"],
            ["report", report],
        ],
        title="Passed" if passed else "FAILED",
    )
    return (
        {
            "images": len(images),
            "mismatches": result.mismatches,
            "onnx_runtime_largest_difference": largest,
            "onnx_runtime_differing_share": differing / values,
            "float_accuracy": accuracy.float_accuracy,
            "int8_accuracy": accuracy.int8_accuracy,
            "cycles": result.cycles,
            "estimated_cycles": estimated.cycles,
            "cycles_per_image": result.cycles_per_image,
            "estimated_cycles_per_image": estimated.interval_cycles,
            "systolic": {
                "rows": ROWS,
                "cols": COLS,
                "images": on_array.images,
                "mismatches": on_array.mismatches,
                "cycles_per_image": on_array.cycles_per_image,
                "estimated_cycles_per_image": modelled,
                "utilization": useful,
            },
            "devices": devices,
            "report": report,
        },
        passed,
    )


def _accuracy(terminal: Terminal, network: Any, design: Any, images: Images) -> Accuracy:
    """Accuracy of the float network by ONNX Runtime, and of the integers by the reference."""
    assert images.labels is not None
    codes = input_codes(design.network, images.images)
    name = design.network.outputs[0].name
    classes = []
    with terminal.progress("classifying", len(images)) as show:
        for start in range(0, len(images), BATCH):
            outputs = reference.run(design.network, codes[start : start + BATCH])[name]
            classes.append(outputs.reshape(len(outputs), -1).argmax(axis=1))
            show(start + len(outputs))
    return Accuracy(
        float_accuracy=onnx_runtime.accuracy(network, images.images, images.labels),
        int8_accuracy=float((np.concatenate(classes) == images.labels).mean()),
        images=len(images),
        method="min-max, weights per channel",
    )


def _comparison(design: Any, result: Any, opinion: Any) -> list[list[object]]:
    """Rows: feature map, values, differences from the reference and from ONNX Runtime."""
    second = {row.name: row for row in opinion.itertuples(index=False)}
    rows = []
    for layer, row in zip(
        design.network.layers, result.layers.itertuples(index=False), strict=True
    ):
        other = second.get(layer.output)
        differing = [None, None] if other is None else [other.differing, other.largest]
        rows.append([row.name, row.values, row.mismatches, *differing])
    return rows
