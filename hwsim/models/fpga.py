"""A network on an FPGA: as a streaming pipeline, or on a systolic accelerator.

Cycles are those of the configurations, which the hardware is proven to take.
"""

from functools import lru_cache, partial

from hwsim.blocks.streaming import ANY_TIME, Streaming, StreamingPlan, plan_streaming
from hwsim.blocks.systolic.config import Systolic
from hwsim.blocks.systolic.timing import Memory, usual_memory
from hwsim.compiler.compile import compile_network
from hwsim.network.integer import IntegerNetwork
from hwsim.network.lower import lower
from hwsim.network.network import NetworkError
from hwsim.network.random_weights import lacks_weights, notice

from .cost import FAMILIES, cost
from .dataflow import streaming
from .dataflow.systolic import layer_table
from .dataflow.workload import is_quantized
from .estimate import Estimate, LayerEstimate
from .quantization import random_integer_network

__all__ = ["estimate_fpga"]

# Images after which a streaming pipeline is taken to have settled, as in `hwsim.blocks.streaming`.
SETTLED = 4
UNSIZED = "the pipeline is too large for the part: its cycles are those with queues of any depth"


def estimate_fpga(network, device, batch, design=None, clock_hz=None, memory=None):
    """Estimate a network on an FPGA; see `hwsim.models.estimate.estimate`.

    Returns
    -------
    Estimate
    """
    architecture, *notes = _architecture(network, device, design)
    clock = clock_hz or device["clock"]
    if clock_hz is None:
        quantity = device.quantities["clock"]
        notes.append(f"clock {quantity} ({quantity.source})")
    if isinstance(architecture, StreamingPlan):
        if memory is not None and not isinstance(memory, streaming.Memory):
            raise TypeError("memory of a streaming pipeline must be a dataflow.streaming.Memory")
        notes += _room_for_logic(architecture, device)
        return _pipeline(architecture, device, batch, clock, memory, notes)
    if memory is not None and not isinstance(memory, Memory):
        raise TypeError("memory of a systolic accelerator must be a blocks.systolic.timing.Memory")
    notes += _room_for_logic(architecture.config, device)
    return _systolic(architecture, device, batch, clock, memory, notes)


def _architecture(network, device, design):
    """A `StreamingPlan`, or a program for a systolic accelerator; then notes."""
    found = getattr(design, "plan", None) or getattr(design, "program", None) or design
    if found is not None and not isinstance(found, Streaming | Systolic):
        return (found,)
    if isinstance(network, IntegerNetwork):
        integer, notes = network, ()
    else:
        integer, *notes = _integers(network)
    if isinstance(found, Systolic):
        return compile_network(integer, found), *notes
    if found is not None:
        return plan_streaming(integer, found), *notes
    # The fastest pipeline that the part's DSPs allow. There is no hardware for one that does not
    # fit, of which the notes say that; then its queues are not worth their time.
    fits = _weight_bits(integer) <= _room(device)
    try:
        plan = plan_streaming(integer, Streaming(multipliers=int(device["dsps"])), sized=fits)
    except NetworkError:
        raise
    except ValueError:  # too few for any
        fits = False
        plan = plan_streaming(integer, Streaming(cycles_per_image=ANY_TIME), sized=False)
    return (plan, *notes) if fits else (plan, *notes, UNSIZED)


@lru_cache(maxsize=1)  # the same for each device and batch
def _integers(network):
    """The integer network; then notes, if its weights are random."""
    if is_quantized(network):
        return (lower(network),)
    taken = f"{network.name} is not quantized: it is taken as if, with random weights"
    if lacks_weights(network):
        taken = notice(network)
    return random_integer_network(network), f"{taken}; cycles do not depend on them"


def _systolic(program, device, batch, clock, memory, notes):
    """One image after the other on a systolic accelerator."""
    config = program.config
    timing = program.timing(memory or usual_memory(config))
    elements = config.rows * config.cols
    table = layer_table(program, timing)
    layers = []
    ends = []
    for row, times in zip(table.itertuples(index=False), timing.layers, strict=True):
        stalls = {cause: count for cause, count in times.stalls.items() if count}
        memory_stalls = stalls.get("weights", 0) + stalls.get("read", 0) + stalls.get("write", 0)
        bound = _bound(times, memory_stalls)
        lines = [
            f"config    {config.rows} x {config.cols} elements, weight-stationary",
            f"array     {times.busy:,} cycles of folds, {times.array_cycles:,} with the waits",
            "waits     "
            + (", ".join(f"{n:,} for {cause}" for cause, n in stalls.items()) or "none"),
            f"layer     {times.cycles:,} cycles after the layers before",
            f"clock     {clock / 1e6:g} MHz",
        ]
        cycles = times.cycles * batch
        layers.append(
            LayerEstimate(
                name=row.layer,
                op=row.op,
                seconds=cycles / clock,
                cycles=cycles,
                macs=row.macs * batch,
                bytes=(times.bytes_read + times.bytes_written) * batch,
                level_bytes={},
                utilization=row.macs / (times.cycles * elements) if times.cycles else 0.0,
                bound=bound,
                lines=tuple(lines),
            )
        )
        ends.append((row.layer, times.first, times.last + 1))
    cycles = timing.cycles * batch
    spent: dict[str, float] = {}
    for layer in layers:
        spent[layer.bound] = spent.get(layer.bound, 0) + layer.seconds
    return Estimate(
        device=device,
        batch=batch,
        precision="int8",
        latency_s=cycles / clock,
        throughput_images_per_s=clock / timing.cycles,
        bound=max(spent, key=lambda name: spent[name]),
        layers=tuple(layers),
        run=lambda: tuple(("accelerator", n, a / clock, z / clock) for n, a, z in ends),
        clock_hz=clock,
        cycles=cycles,
        interval_cycles=timing.cycles,
        notes=(*notes, *_room_for_array(config, device)),
    )


def _bound(times, memory_stalls):
    if not times.cycles:
        return "none"
    if memory_stalls > times.busy or (not times.busy and times.bytes_read + times.bytes_written):
        return "memory"
    return "compute" if 2 * times.busy >= times.cycles else "dependency"


def _room_for_array(config, device):
    notes = []
    dsps = config.rows * config.cols // (2 if config.packed else 1)
    if dsps > device["dsps"]:
        notes.append(
            f"does not fit: {dsps:,} DSPs for the array's elements, but {device.name} has "
            f"{int(device['dsps']):,}"
        )
    room = int(device["block_rams"] * device["block_ram_size"])
    # Accumulators are doubled, with 32 bits for each column.
    needed = config.buffer_bytes + 8 * config.accumulator_rows * config.cols
    if needed > room:
        notes.append(
            f"does not fit: {needed:,} bytes of buffer and accumulators, but {device.name} has "
            f"{room:,} bytes of block RAM"
        )
    return notes


def _streams(plan, images, memory):
    """Trace of the pipeline alone, or fed from a memory."""
    if memory is None:  # `streaming.run` finds the same, an event at a time
        return plan.trace(images)
    ends = (-(-frame.lanes * frame.bits // 8) for frame in (plan.input, plan.output))
    pipeline = streaming.Pipeline(plan.actors, plan.edges, *ends)
    return streaming.run_shared([pipeline], memory, images)[0]


def _interval(plan, memory):
    """Cycles from image to image in the steady state."""
    if memory is None:
        return plan.interval
    # Bursts straddle images, so that the mean counts; the last images have the memory alone.
    last = _streams(plan, 4 * SETTLED, memory).sink.reshape(4 * SETTLED, -1)[:, -1]
    return -(-int(last[3 * SETTLED] - last[SETTLED]) // (2 * SETTLED))


def _pipeline(plan, device, batch, clock, memory, notes):
    """The streaming pipeline."""
    trace = _streams(plan, min(batch, SETTLED), memory)
    interval = _interval(plan, memory)
    cycles = trace.cycles + max(batch - SETTLED, 0) * interval
    slowest = max(stage.config.interval for stage in plan.stages)
    limit = "compute" if memory is None or interval <= plan.interval else "memory"
    layers = []
    for stage in plan.stages:
        config = stage.config
        possible = config.multipliers * interval
        lines = [
            f"config    {config}",
            f"unit      {config.interval:,} cycles per image, {config.multipliers} multipliers,"
            f" {config.macs:,} MAC",
            f"pipeline  {interval:,} cycles per image; its slowest unit takes {slowest:,}",
            f"clock     {clock / 1e6:g} MHz",
        ]
        moved = _ends_bytes(plan, stage) * batch
        layers.append(
            LayerEstimate(
                stage.name,
                type(config).__name__.removesuffix("Config"),
                config.interval * batch / clock,
                config.interval * batch,
                config.macs * batch,
                moved,
                {},
                config.macs / possible if possible else 0.0,
                "compute" if config.interval == slowest and limit == "compute" else "dependency",
                tuple(lines),
            )
        )
    return Estimate(
        device,
        batch,
        "int8",
        cycles / clock,
        clock / interval,
        limit,
        tuple(layers),
        partial(_streaming_timeline, plan, trace, clock),
        clock,
        cycles,
        interval,
        (*notes, *_room_for_pipeline(plan, device)),
        pipelined=True,
    )


def _ends_bytes(plan, stage):
    """Bytes per image that a stage takes from outside or gives away."""
    frames = [plan.output] if stage is plan.stages[-1] else []
    frames += [
        stage.config.inputs[port]
        for port, (source, _) in zip(stage.config.inputs, stage.inputs, strict=True)
        if not source
    ]
    return sum(
        frame.height * frame.width * frame.channels * -(-frame.bits // 8) for frame in frames
    )


def _streaming_timeline(plan, trace, clock):
    """From a unit's first beat in to its last beat out."""
    first: dict[str, int] = {}
    for edge, taken in trace.taken.items():
        if edge.consumer is not None and len(taken):
            first[edge.consumer] = min(first.get(edge.consumer, int(taken[0])), int(taken[0]))
    rows = []
    for stage in plan.stages:
        actors = [actor.name for actor in stage.config.actors(stage.name)]
        issues = [int(trace.issue[name][-1]) for name in actors if len(trace.issue[name])]
        end = max(issues) + 1
        rows.append((stage.name, stage.name, first[actors[0]] / clock, end / clock))
    return tuple(sorted(rows, key=lambda row: row[2]))


def _room_for_logic(design, device):
    """Look-up tables and flip-flops that are missing, for families with a cost view."""
    family = device.name.partition("-")[0]
    if family not in FAMILIES:
        return []
    needed = cost(design, family)
    kinds = (("look-up tables", needed.lut, "luts"), ("flip-flops", needed.ff, "flip_flops"))
    return [
        f"does not fit: about {round(count):,} {kind}, but {device.name} has {int(device[name]):,}"
        for kind, count, name in kinds
        if name in device and count > device[name]
    ]


def _weight_bits(network):
    return sum(
        layer.weights.size * layer.weight_bits
        for layer in network.layers
        if hasattr(layer, "weight_bits")
    )


def _room(device):
    """Bits of block RAM."""
    return int(device["block_rams"] * device["block_ram_size"] * 8)


def _room_for_pipeline(plan, device):
    """What does not fit."""
    notes = []
    dsps = int(device["dsps"])
    if plan.multipliers > dsps:
        notes.append(
            f"does not fit: {plan.multipliers} multipliers of 8 x 8 bits, one DSP each, but "
            f"{device.name} has {dsps} DSPs"
        )
    bits, room = _weight_bits(plan.network), _room(device)
    if bits > room:
        notes.append(
            f"does not fit: {bits:,} bits of weights, but {device.name} has {room:,} bits of "
            "block RAM"
        )
    return notes
