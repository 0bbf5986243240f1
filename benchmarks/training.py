"""LeNet-5 trained on simulated hardware, beside float; how rounding matters, over several seeds."""

import argparse
import json
import time
from pathlib import Path

import numpy as np

import hwsim
from hwsim.blocks.training import TrainingConfig
from hwsim.compiler.training import sized
from hwsim.data import bundled
from hwsim.images import load_images
from hwsim.models.training import TrainingSettings
from hwsim.network.training import stages

from . import record

BATCH, LANES, RATE = 16, 16, 0.02
# Steps whose mean loss is a row of the table.
EVERY = 50


def measure(steps, seeds):
    """All results."""
    network = hwsim.load(bundled("lenet5/lenet5.onnx"))
    found = load_images(bundled("lenet5/images.npz"), (1, 28, 28))

    def train(**options):
        return hwsim.train(network, found.images, found.labels, batch=BATCH, lanes=LANES, **options)

    begin = time.perf_counter()
    on_rtl = train(steps=steps, settings=TrainingSettings(rate=RATE))
    seconds = time.perf_counter() - begin
    (estimate,) = hwsim.estimate(network, "zu9eg", batch=BATCH, training=True, optimizer="momentum")
    curve = [
        {
            "first": first + 1,
            "last": min(first + EVERY, steps),
            "rtl": float(np.mean(on_rtl.losses[first : first + EVERY])),
            "float": float(np.mean(on_rtl.float_losses[first : first + EVERY])),
        }
        for first in range(0, steps, EVERY)
    ]
    work: dict[str, float] = {}
    for label, cycles in on_rtl.cycles_by_work.items():
        kind = label.partition(" ")[2] or "end of the program"
        work[kind] = work.get(kind, 0) + cycles / on_rtl.images
    rounding = []
    for seed in range(seeds):
        runs = {}
        for stochastic in (False, True):
            settings = TrainingSettings(rate=RATE, stochastic=stochastic, seed=seed)
            runs[stochastic] = train(steps=steps, settings=settings, engine="reference")
        rounding.append(
            {
                "seed": seed,
                "float": runs[False].float_accuracy,
                "nearest": runs[False].accuracy,
                "stochastic": runs[True].accuracy,
                "float_loss": float(np.mean(runs[False].float_losses[-EVERY:])),
                "nearest_loss": float(np.mean(runs[False].losses[-EVERY:])),
                "stochastic_loss": float(np.mean(runs[True].losses[-EVERY:])),
            }
        )
    return {
        "steps": steps,
        "batch": BATCH,
        "lanes": LANES,
        "images": len(found.images) - on_rtl.test_images,
        "test_images": on_rtl.test_images,
        "mismatches": on_rtl.mismatches,
        "accuracy": on_rtl.accuracy,
        "float_accuracy": on_rtl.float_accuracy,
        "curve": curve,
        "cycles": on_rtl.cycles,
        "planned_cycles": on_rtl.planned_cycles,
        "cycles_per_image": on_rtl.cycles_per_image,
        "estimated_cycles_per_image": estimate.cycles / BATCH,
        "cycles_per_image_by_work": work,
        "memory_words": _memories(network),
        "seconds": seconds,
        "rounding": rounding,
    }


def _memories(network):
    config = sized(stages(network), BATCH, TrainingConfig(lanes=LANES), momentum=True)
    names = ("parameters", "maps", "deltas", "marks", "table", "program")
    return {name: getattr(config, name) for name in names}


def difference(rounding, kind):
    """Mean of a kind's accuracy less that of float over the seeds, and its standard error."""
    apart = np.array([row[kind] - row["float"] for row in rounding])
    error = apart.std(ddof=1) / np.sqrt(len(apart)) if len(apart) > 1 else float("nan")
    return float(apart.mean()), float(error)


def text(results, facts):
    """The report."""
    steps, rounding = results["steps"], results["rounding"]
    losses = record.table(
        ["steps", "mean loss, RTL", "mean loss, float"],
        [
            [f"{row['first']} to {row['last']}", f"{row['rtl']:.3f}", f"{row['float']:.3f}"]
            for row in results["curve"]
        ],
    )
    work = record.table(
        ["work", "cycles per image"],
        [[name, f"{n:,.1f}"] for name, n in results["cycles_per_image_by_work"].items()],
    )
    kinds = ("float", "nearest", "stochastic")
    accuracies = record.table(
        ["seed", *kinds, *(f"loss, {kind}" for kind in kinds)],
        [
            [
                str(row["seed"]),
                *(f"{row[kind]:.1%}" for kind in kinds),
                *(f"{row[f'{kind}_loss']:.3f}" for kind in kinds),
            ]
            for row in rounding
        ],
    )
    apart = "; ".join(
        f"{kind} {100 * mean:+.1f} ± {100 * error:.1f} points"
        for kind in kinds[1:]
        for mean, error in [difference(rounding, kind)]
    )
    words = ", ".join(f"{n:,} of {name}" for name, n in results["memory_words"].items())
    mistakes = results["mismatches"]
    return (
        "# Training on simulated hardware\n\n"
        f"LeNet-5 on {results['images']} images of Fashion-MNIST in batches of {results['batch']}, "
        f"rate {RATE}, momentum {TrainingSettings().momentum}, from random weights, on the "
        f"training accelerator with {results['lanes']} lanes at RTL, {steps} steps; "
        f"{results['test_images']} images for the test. Weights and velocities that differed from "
        f"the integer reference's after a step: {mistakes or 'none'}.\n\n{losses}\n\n"
        f"Accuracy on the test images: {results['accuracy']:.1%}, in float "
        f"{results['float_accuracy']:.1%}.\n\n"
        "## Cycles\n\n"
        f"{results['cycles']:,} cycles as simulated, {results['planned_cycles']:,} as planned; per "
        f"image {results['cycles_per_image']:,.1f}, and "
        f"{results['estimated_cycles_per_image']:,.1f} by `hwsim estimate lenet5 --device zu9eg "
        f"--training --optimizer momentum --batch {results['batch']}`.\n\n{work}\n\n"
        f"Words of memory: {words}. The run took {results['seconds']:.0f} s, the reference and "
        "float among them.\n\n"
        "## Rounding\n\n"
        f"The integer reference, which the RTL equals, {steps} steps from {len(rounding)} seeds of "
        f"weights and order of images: accuracy on the {results['test_images']} test images, and "
        f"the mean loss of the last {EVERY} steps.\n\n{accuracies}\n\n"
        f"Accuracy less that of float, mean and standard error over the seeds: {apart}.\n\n"
        f"{record.describe(facts)}\n"
    )


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=250)
    parser.add_argument("--seeds", type=int, default=12)
    parser.add_argument("--report", metavar="DIRECTORY", help="write training.json and .md there")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    command = "python -m benchmarks.training --report reports/benchmarks"
    facts = record.conditions(command)
    results = measure(options.steps, options.seeds)
    report = text(results, facts)
    if options.report:
        record.write(Path(options.report), "training", {**facts, **results}, report)
    print(json.dumps({**facts, **results}) if options.json else report)


if __name__ == "__main__":
    main()
