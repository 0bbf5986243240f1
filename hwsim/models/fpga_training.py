"""A training step on an FPGA: on the training accelerator, with the cycles of its programs."""

import math
from dataclasses import replace

from hwsim.blocks.training import BITS, INDEX_BITS, PLAIN, TrainingConfig
from hwsim.compiler.training import Operation, TrainingPlan, sized
from hwsim.network.training import folded, stages

from .estimate import Estimate, LayerEstimate

__all__ = ["estimate_training", "room", "training_plan"]

# Of the accelerator, or as many as there are images: as far as the part's DSPs allow, the first
# that takes the fewest cycles.
LANES = (16, 32, 64)
FEWEST_LANES = 4
_PHASES = {
    "pool": "forward",
    "loss": "input gradient",
    "pool gradient": "input gradient",
    "sum": "input gradient",
    "velocity": "update",
}


def training_plan(parts, device, batch, optimizer, design=None):
    """A `TrainingPlan` with the given design's lanes, or the best that the part's DSPs allow.

    Its batch is the lanes or a multiple of them where the given one is larger than that.

    Raises
    ------
    ValueError
        For another optimizer, or design.
    """
    if optimizer not in ("sgd", "momentum"):
        raise ValueError(f"training on FPGAs has the optimizers sgd and momentum, not {optimizer}")
    if not isinstance(design, TrainingConfig | None):
        raise ValueError("training on FPGAs has one design: leave options of others out")
    momentum = optimizer == "momentum"

    def plan(config):
        lanes = config.lanes
        images = batch if batch <= lanes else -(-batch // lanes) * lanes
        return TrainingPlan(
            parts, sized(parts, images, config, momentum=momentum), momentum=momentum
        )

    if design:
        return plan(design)
    # Functions have products of 17 x 17 bits, one DSP, and 30 x 16, two, in each lane.
    most = max((math.isqrt(4 * int(device["dsps"]) + 5) - 3) // 2, FEWEST_LANES)
    lanes = {min(most, n) for n in (*LANES, max(min(batch, LANES[-1]), FEWEST_LANES))}
    plans = [plan(TrainingConfig(lanes=n)) for n in sorted(lanes)]
    return min(plans, key=lambda found: sum(found.cycles(stochastic=False).values()))


def estimate_training(network, device, batch, optimizer, design=None, clock_hz=None):
    """Estimate a training step on an FPGA; see `hwsim.models.estimate.estimate`.

    Returns
    -------
    Estimate
    """
    plan = training_plan(stages(folded(network)), device, batch, optimizer, design)
    config = plan.config
    clock, notes = clock_hz or device["clock"], []
    if clock_hz is None:
        quantity = device.quantities["clock"]
        notes.append(f"clock {quantity} ({quantity.source})")
    notes.append(f"training accelerator of {config.lanes} x {config.lanes} elements of {BITS} bits")
    if config.batch > batch:
        notes.append(
            f"{batch} images take as long as {config.batch}, a multiple of the {config.lanes} lanes"
        )
    notes.append(
        "cycles of the accelerator's program; those in which the host writes images and labels and "
        "reads what it wants are not among them"
    )
    if any(layer.op == "BatchNormalization" for layer in network.layers):
        notes.append(
            "batch normalizations are a part of the layers before them, whose weights and biases "
            "are trained; means and variances stay"
        )
    operations: dict[str, Operation] = {}
    for part in plan.any_program(stochastic=False).operations:
        known = operations.get(part.label)
        if known:  # the last tile apart
            steps, cycles = known.steps + part.steps, known.cycles + part.cycles
            part = replace(known, steps=steps, cycles=cycles)
        operations[part.label] = part
    layers, timeline, now = [], [], 0
    for operation in operations.values():
        name = operation.stage.name
        if operation.work != "forward":
            name += "." + operation.work.replace(" ", "_")
        macs, cycles = _macs(operation, batch), operation.cycles
        stage, updates = operation.stage, operation.work in ("velocity", "update")
        layers.append(
            LayerEstimate(
                name=name,
                op=_op(operation),
                seconds=cycles / clock,
                cycles=cycles,
                macs=macs,
                bytes=0,
                level_bytes={},
                utilization=macs / (cycles * config.lanes**2),
                bound="compute",
                lines=(
                    f"config    {config.lanes} x {config.lanes} elements of {BITS} x {BITS} bits",
                    f"steps     {operation.steps:,}",
                    f"program   {cycles:,} cycles, with its words and until the last result",
                    f"clock     {clock / 1e6:g} MHz",
                ),
                operations=2 * stage.depth * stage.outputs * updates,
                precision="int16",
                phase=_PHASES.get(operation.work, operation.work),
            )
        )
        timeline.append(("accelerator", name, now / clock, (now + cycles) / clock))
        now += cycles
    cycles = sum(plan.cycles(stochastic=False).values())
    return Estimate(
        device=device,
        batch=batch,
        precision="int16",
        latency_s=cycles / clock,
        throughput_images_per_s=batch * clock / cycles,
        bound="compute",
        layers=tuple(layers),
        run=lambda: tuple(timeline),
        clock_hz=clock,
        cycles=cycles,
        notes=(*notes, *room(config, device)),
        training=True,
    )


def _op(operation):
    if operation.work.startswith("pool"):
        return "MaxPool" if math.prod(operation.stage.window) > 1 else "Relu"
    return {"loss": "Loss", "sum": "Add"}.get(operation.work, operation.stage.op)


def _macs(operation, batch):
    """Multiply-adds of an operation that are no padding of its tiles."""
    stage = operation.stage
    if not stage.weight:
        return 0
    depth, positions = stage.depth, batch * math.prod(stage.map_shape)
    taps = depth - bool(stage.bias)
    return {
        "forward": depth * stage.outputs * positions,
        "weight gradient": depth * stage.outputs * positions,
        "input gradient": taps * stage.outputs * positions,
    }.get(operation.work, 0)


def room(config, device):
    """What does not fit, as a tuple of notes."""
    notes = []
    # As `training_plan` has it; the loss has one product.
    dsps = config.lanes**2 + 3 * config.lanes * bool(config.functions) + 1
    if dsps > device["dsps"]:
        notes.append(
            f"does not fit: {dsps:,} DSPs for multipliers of 16 x 16 bits and wider, but "
            f"{device.name} has {int(device['dsps']):,}"
        )
    words = config.parameters + config.maps + config.deltas
    words += (config.functions + max(config.functions - PLAIN, 0)) << INDEX_BITS
    bits = config.lanes * (BITS * words + (config.winner_bits + 1) * config.marks)
    room = int(device["block_rams"] * device["block_ram_size"] * 8)
    if bits > room:
        notes.append(
            f"does not fit: {bits:,} bits of weights, feature maps and gradients, but "
            f"{device.name} has {room:,} bits of block RAM"
        )
    return tuple(notes)
