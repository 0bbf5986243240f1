"""Sections about designs, what they do in every cycle, and what they take of a part."""

import numpy as np
import pandas as pd

from .document import Section
from .figures import array_cycles, bars, channels, gantt, occupancy, occupation, photograph
from .text import cell, sentence

__all__ = ["array_trace", "plan", "result", "synthesis", "systolic", "verdict"]

# Images of which a simulation's timeline shows the beginning.
_IMAGES_IN_TIMELINE = 6
# Of a plan's timeline: images, and units' actions that are simulated for it.
_IMAGES_PLANNED = 3
_ACTIONS = 500_000
# Layers and units that get a colour each; the rest share one.
_NAMED = 6
# Intervals of an occupancy over time.
_INTERVALS = 400
# Of the memory of a systolic accelerator, in cycles: as in a simulation if nothing is said.
_MEMORY_LATENCY = 20


def plan(item):
    """Stages of a streaming pipeline, and how well each uses its multipliers."""
    interval = item.interval
    rows = []
    for stage in item.stages:
        config = stage.config
        useful = (
            100 * config.macs / (config.multipliers * interval)
            if config.multipliers
            else float("nan")
        )
        kind = type(config).__name__.removesuffix("Config").lower()
        depth = max((queue.depth for queue in stage.queues), default=None)
        lanes = config.output.lanes
        work = (config.macs, config.multipliers, config.interval)
        rows.append((stage.name, kind, *work, useful, lanes, depth))
    columns = ["stage", "unit", "macs", "multipliers", "interval_cycles"]
    columns += ["utilization_percent", "output_lanes", "queue_depth"]
    table = pd.DataFrame(rows, columns=columns)
    working = table[table["multipliers"] > 0]
    figures = {
        "Cycles that each stage needs for an image; the longest sets the pace": bars(
            list(table["stage"]), {"interval": list(table["interval_cycles"])}, "cycles per image"
        )
    }
    if len(working):
        figures["Utilization: useful MACs over multipliers × cycles per image"] = bars(
            list(working["stage"]),
            {"utilization": list(working["utilization_percent"])},
            "% of the multipliers' cycles",
        )
    timeline, units = _pipeline_timeline(item)
    figures |= timeline
    facts = {
        "Cycles per image": cell(interval),
        "Latency of one image": f"{cell(item.cycles(1))} cycles",
        "Multipliers": cell(item.multipliers),
    }
    if item.multipliers:
        facts["Utilization"] = f"{100 * item.macs / (item.multipliers * interval):.1f} %"
    text = (
        "One unit per layer, joined by queues, so that images follow one another without a pause."
    )
    tables = {"stages": table, "units": units}
    return Section("Streaming pipeline", text, facts, figures, tables=tables)


def _pipeline_timeline(item):
    """What each unit does, by the model, whose cycles are the hardware's: figures and table."""
    from hwsim.models.dataflow.streaming import activity

    each = sum(len(actor.puts) for actor in item.actors)
    images = max(1, min(_IMAGES_PLANNED, _ACTIONS // each))
    rows = activity(item.actors, item.edges, images)
    end = max(
        int(spans[-1, 1]) + 1 for parts in rows.values() for spans in parts.values() if len(spans)
    )
    which = "one image" if images == 1 else f"{images} images"
    caption = f"What each unit mostly does with {which}, and, hatched, for what it waits"
    waits = ["starved of input", "blocked at output"]
    totals = {
        part: [int((1 + np.diff(parts[part])).sum()) for parts in rows.values()]
        for part in ("at work", *waits)
    }
    figures = {
        f"Cycles of each unit for {which}: at work, and by what it waited for": bars(
            list(rows), totals, "clock cycles", stacked=True
        ),
        caption: occupation(rows, end, "clock cycle", hatched=waits),
    }
    columns = {f"{part.replace(' ', '_')}_cycles": counts for part, counts in totals.items()}
    return figures, pd.DataFrame({"unit": list(rows), "images": images, **columns})


def systolic(item):
    """The layers of a program for a systolic accelerator, and what its engines do, by the model."""
    # Not before such a design is there, which has loaded most of it.
    from hwsim.blocks.systolic.timing import Memory
    from hwsim.models.dataflow.systolic import layer_table

    program, config = item.program, item.config
    memory = Memory(
        read_latency=_MEMORY_LATENCY,
        write_latency=_MEMORY_LATENCY,
        outstanding_reads=config.outstanding,
        outstanding_writes=config.outstanding,
    )
    timing = program.timing(memory)
    table = layer_table(program, timing)
    for column in ("utilization", "limit"):
        table[column] *= 100
    table = table.rename(columns={"utilization": "utilization_percent", "limit": "limit_percent"})
    working = table[table["macs"] > 0]
    macs, array_cycles = int(working["macs"].sum()), int(working["array_cycles"].sum())
    figures = {}
    if len(working):
        names = list(working["layer"])
        figures["Utilization: useful MACs over elements × cycles; the limit is for full speed"] = (
            bars(
                names,
                {
                    "utilization": list(working["utilization_percent"]),
                    "limit that the array's edges set": list(working["limit_percent"]),
                },
                "% of the elements' cycles",
            )
        )
        waits = [name for name in table if name.startswith("stall_")]
        lost = working[waits].sum(axis=1)
        figures["Cycles of the array in each layer: at work, and by what it waited for"] = bars(
            names,
            {"at work": list(working["array_cycles"] - lost)}
            | {_stall_of(name): list(working[name]) for name in waits if working[name].any()},
            "clock cycles",
            stacked=True,
        )
        figures["Occupancy of the array over time: elements with useful work"] = _array_occupancy(
            program, timing, working
        )
    spans, hatched = _engine_spans(program.instructions, timing)
    figures["What each engine does, and, hatched, for what it waits"] = occupation(
        spans, timing.cycles, "clock cycle", hatched=hatched
    )
    packed = ", packed" if config.packed else ""
    facts = {
        "Array": f"{cell((config.rows, config.cols))}, {config.dataflow}{packed}",
        "Buffer": f"{cell(config.buffer_bytes)} bytes",
        "Accumulators": f"2 × {cell(config.accumulator_rows)} rows",
        "Line memory for pools": f"{cell(config.pool_columns)} columns",
        "Instructions": cell(len(program.instructions)),
        "Memory": f"{cell(program.memory_bytes)} bytes",
        "Read": f"{cell(int(table['bytes_read'].sum()))} bytes",
        "Written": f"{cell(int(table['bytes_written'].sum()))} bytes",
        "Cycles of one image": cell(timing.cycles),
    }
    if array_cycles:
        share = 100 * macs / (array_cycles * config.rows * config.cols)
        facts["Utilization"] = f"{share:.1f} %"
    text = (
        "One array, and a program that runs the network on it layer by layer. Cycles are those of "
        f"the model, exact for a memory that answers after {_MEMORY_LATENCY} cycles. The table "
        "has, beside them, those that SCALE-Sim reports for the same array and layer. An engine "
        "that pauses within an instruction counts as at work on it."
    )
    return Section("Systolic accelerator", text, facts, figures, tables={"layers": table})


def _array_occupancy(program, timing, working):
    """The share of the elements that do useful work, interval by interval.

    The MACs of a layer are spread evenly over the folds of its instructions.
    """
    config = program.config
    edges = np.linspace(0, timing.cycles, min(timing.cycles, _INTERVALS) + 1).round()
    layers = {layer.name: k for k, layer in enumerate(program.network.layers, 1)}
    series = {}
    for row in working.itertuples(index=False):
        mine = [
            (
                int(timing.started[k]),
                int(timing.done[k]) + 1,
                i["folds"] * max(i["pixels"], config.rows),
            )
            for k, i in enumerate(program.instructions)
            if i.opcode.name == "CONVOLVE" and i.layer == layers[row.layer]
        ]
        begun, done, work = np.array(mine, float).T[:, :, np.newaxis]
        before = (work * ((edges - begun) / (done - begun)).clip(0, 1)).sum(axis=0)
        useful = row.macs * np.diff(before) / work.sum()
        series[row.layer] = 100 * useful / (config.rows * config.cols * np.diff(edges))
    if len(series) > _NAMED:
        series = {"all layers": sum(series.values())}
    return occupancy(series, "clock cycle", "% of the elements", edges=edges)


def _stall_of(column):
    return column.removeprefix("stall_").removesuffix("_cycles")


# What an engine does with an instruction, and what keeps it from beginning.
_WORK = {
    "READ_WEIGHTS": "read weights",
    "READ_ACTIVATIONS": "read activations",
    "READ_PARAMETERS": "read parameters",
    "READ_TABLE": "read parameters",
    "CONVOLVE": "convolve",
    "ACTIVATE": "activate",
    "COMBINE": "combine",
    "POOL": "pool",
    "WRITE_ACTIVATIONS": "write activations",
}


def _engine_spans(instructions, timing):
    """For each engine when it did what and waited for what, and which of these are waits.

    Engines work on instructions in their order; where two overlap, the time belongs to the first.
    An engine that has none waits for the last of what the next one depends on.
    """
    from hwsim.blocks.systolic.isa import ENGINES

    numbers = {
        name: [k for k, i in enumerate(instructions) if i.opcode.engine == engine]
        for engine, name in enumerate(ENGINES)
    }
    rows: dict[str, dict[str, list]] = {name: {} for name in ENGINES}
    for name, mine in numbers.items():
        parts = rows[name]
        free = 0
        for k in mine:
            begun, done = int(timing.taken[k]), int(timing.done[k])
            cause, latest = "the program", int(timing.dispatched[k])
            for other, count in zip(ENGINES, instructions[k].after, strict=True):
                if count and (end := int(timing.done[numbers[other][count - 1]])) > latest:
                    cause, latest = other, end
            started = min(max(begun, int(timing.started[k])), done + 1)
            for part, first, stop in (
                (f"waits for {cause}", free, begun),
                ("waits for data or room", max(free, begun), started),
                (_WORK[instructions[k].opcode.name], max(free, started), done + 1),
            ):
                if first < stop:
                    parts.setdefault(part, []).append((first, stop - 1))
            free = max(free, done + 1)
    waits = [part for parts in rows.values() for part in parts if part.startswith("waits")]
    return rows, sorted(set(waits))


def array_trace(item):
    """A small systolic array: which operand is where in each cycle."""
    config = item.config
    text = (
        "What a simulation of the hardware saw in each element: from above, what passes by on its "
        "way down; the activation and the weight that it multiplies; the sum in it at the end of "
        "the cycle. Colours tell folds apart"
    )
    if config.output_stationary:
        text += (
            ", marks the steps: operands of one step have one mark. Squares are sums that stay in "
            "place, open ones finished sums that go down. The small number is that of the step, "
            "for sums that of the row which they come from."
        )
    else:
        text += (
            ", marks the vectors: an activation and a sum with the same mark belong to the same "
            "row of the input. Squares are weights in use, open ones weights on their way. The "
            "small number is that of the vector, for weights that of their row."
        )
    if config.product_latency:
        text += (
            f" Their product is added {config.product_latency} "
            f"cycle{'s' * (config.product_latency > 1)} later."
        )
    facts = {
        "Array": f"{cell((config.rows, config.cols))}, {config.dataflow}",
        "Folds": cell(item.folds),
        "Cycles": cell(item.cycles),
        "Latency": f"{cell(config.latency)} cycles",
    }
    places = np.indices((item.cycles, config.rows, config.cols)).reshape(3, -1)
    columns = dict(zip(("cycle", "row", "column"), places, strict=True))
    for name in ("activations", "weights", "sums", "passing"):
        operands = getattr(item, name)
        there = operands.folds.ravel() >= 0
        label = name.removesuffix("s")
        for what in ("values", "folds", "numbers"):
            values = pd.array(getattr(operands, what).ravel(), "Int64")
            values[~there] = pd.NA
            columns[label if what == "values" else f"{label}_{what.removesuffix('s')}"] = values
    busy = (item.activations.folds >= 0) & (item.weights.folds >= 0)
    by_fold = {
        f"fold {fold}": (busy & (item.activations.folds == fold)).sum(axis=(1, 2))
        for fold in range(item.folds)
    }
    caption = "Play, or choose a cycle; the left and right arrow keys step, the space bar plays"
    table = pd.DataFrame(columns)
    idle = table["activation"].isna() & table["passing"].isna() & table["sum"].isna()
    return Section(
        "Systolic array, cycle by cycle",
        text,
        facts,
        {
            caption: array_cycles(item),
            "Occupancy over time: elements that multiply in each cycle": occupancy(
                by_fold, "clock cycle", "elements"
            ),
        },
        tables={"array": table[~idle].reset_index(drop=True)},
    )


def result(item):
    """A simulation: what was checked, when beats moved, how the first image's feature maps look."""
    return _systolic_result(item) if item.counters else _streaming_result(item)


def _systolic_result(item):
    facts = _result_facts(item)
    counters = item.counters
    facts |= {
        "Read": f"{cell(counters['bytes_read'])} bytes",
        "Written": f"{cell(counters['bytes_written'])} bytes",
    }
    activity = item.activity
    spans = {
        row.name: {"results": [(row.first_cycle, row.last_cycle)]}
        for row in activity.itertuples(index=False)
    }
    end = max(int(counters["cycles"]), int(activity["last_cycle"].max()) + 1)
    engines = [name.removesuffix("_active") for name in counters if name.endswith("_active")]
    figures = {
        "From the first to the last result that was written of each layer": occupation(
            spans, end, "clock cycle"
        ),
        "Each engine: had an instruction; the next instruction waited for other engines": bars(
            engines,
            {
                "active": [counters[f"{name}_active"] for name in engines],
                "waited for weights alone": [counters.get(f"{name}_starved") for name in engines],
                "the next one waits": [counters[f"{name}_waiting"] for name in engines],
            },
            "clock cycles",
        ),
    }
    tables = {
        "simulation": item.layers.merge(activity, on="name", how="left").astype(
            dict.fromkeys(activity.columns.drop("name"), "Int64")
        ),
        "counters": pd.DataFrame({"counter": list(counters), "value": list(counters.values())}),
    }
    text = (
        "Every cycle of the hardware was simulated, and every value that was written compared with "
        f"the integer reference: {verdict(item)}. Counters and times are those of the last "
        "image of the first lane."
    )
    return Section("Simulation", text, facts, figures, _maps(item), tables)


def _result_facts(item):
    return {
        "Images": cell(item.images),
        "Mismatches": f"{cell(item.mismatches)} of {cell(int(item.layers['values'].sum()))}",
        "Cycles": cell(item.cycles),
        "Cycles per image": cell(item.cycles_per_image),
    }


def verdict(item):
    """What came of the comparison, as the end of a sentence."""
    return "some differ" if item.mismatches else "all are equal"


def _maps(item):
    """Pictures of the first image and of its feature maps."""
    image = np.asarray(item.inputs[0])
    name = f"The first image: {cell(image.shape)}, codes {_range(image)}"
    if len(image) == 3:
        low, high = image.min(), max(image.max(), image.min() + 1)
        colours = (image.transpose(1, 2, 0) - low) * (255 / (high - low))
        pictures = {name: photograph(colours.astype(np.uint8))}
    else:
        pictures = {name: channels(image)}
    for name, maps in item.feature_maps.items():
        first = np.asarray(maps)[0]
        pictures[f"{name}: {cell(first.shape)}, codes {_range(first)}"] = channels(first)
    return pictures


def _range(codes):
    return f"{cell(int(codes.min()))} to {cell(int(codes.max()))}"


def synthesis(item):
    """What a design takes of a part, unit by unit, and how fast it is."""
    kinds = {"lut": "LUT", "ff": "FF", "dsp": "DSP", "bram": "block RAM"}
    kinds = {kind: name for kind, name in kinds.items() if item.part.available.get(kind)}
    available = {name: item.part.available[kind] for kind, name in kinds.items()}
    used = {name: getattr(item, kind) for kind, name in kinds.items()}
    units = item.frame
    shares = {
        row.unit: [100 * getattr(row, kind) / available[name] for kind, name in kinds.items()]
        for row in units.itertuples(index=False)
    }
    # The largest ones by name.
    most = sorted(shares, key=lambda unit: -max(shares[unit]))[:_NAMED]
    series = {unit: share for unit, share in shares.items() if unit in most}
    others = [share for unit, share in shares.items() if unit not in most]
    if others:
        series[f"{len(others)} other units"] = list(np.sum(others, axis=0))
    figures = {
        f"What each unit takes of the {item.part.title}": bars(
            list(kinds.values()), series, "% of the part", stacked=True
        )
    }
    facts = {
        "Part": item.part.title + (f", speed grade {item.speed_grade}" if item.speed_grade else ""),
        **{name: f"{cell(used[name])} of {cell(available[name])}" for name in kinds.values()},
    }
    tables = {
        "resources": pd.DataFrame(
            [
                (name, used[name], available[name], 100 * used[name] / available[name])
                for name in used
            ],
            columns=["resource", "used", "available", "share_percent"],
        ),
        "units": units,
    }
    text = "Cells are those of the design itself, by Yosys, without the wrapper around its pins."
    if item.fmax_hz is not None:
        facts["Fastest clock"] = f"{item.fmax_hz / 1e6:.1f} MHz"
        text += f" Placed and routed by nextpnr, seed {item.seed}."
        slowest = item.timing.groupby("unit", sort=False).head(1)
        figures["Slowest path to a register or memory of each unit"] = bars(
            list(slowest["unit"]), {"path": list(1e9 * slowest["delay_s"])}, "nanoseconds"
        )
    if item.critical_path is not None:
        text += f" The critical path is {item.critical_path}."
        tables["critical-path"] = pd.DataFrame(
            [(step.kind, 1e9 * step.delay_s, step.where) for step in item.critical_path.steps],
            columns=["step", "delay_ns", "where"],
        )
    text = " ".join([text, *(sentence(note) for note in (*item.problems, *item.warnings))])
    return Section(f"{item.verilog.top} on {item.part.name}", text, facts, figures, tables=tables)


def _streaming_result(item):
    facts = _result_facts(item)
    text = (
        "Every cycle of the hardware was simulated, and every value on every stream compared with "
        f"the integer reference: {verdict(item)}."
    )
    transfers = {"images in": item.recording.inputs["i"].cycles}
    transfers |= {name: item.recording.probes[name].cycles for name in item.feature_maps}
    each = item.images_per_lane
    shown = min(each, _IMAGES_IN_TIMELINE)
    rows = {}
    for name, cycles in transfers.items():
        # Of the first lane, where there are several.
        images = np.asarray(cycles).reshape(item.lanes, each, -1)[0, :shown]
        rows[name] = {f"image {k + 1}": moved for k, moved in enumerate(images)}
    which = "each image" if shown == item.images else f"each of the first {shown} images"
    figures = {f"When the beats of {which} moved, stream by stream": gantt(rows, "clock cycle")}
    table = item.layers.assign(**item.activity.drop(columns="name"))
    figures["What each layer's output did: moved a beat, was held back, was waited for"] = bars(
        list(item.activity["name"]),
        {
            "beats": list(item.activity["beats"]),
            "held back": list(item.activity["held_cycles"]),
            "waited for": list(item.activity["starved_cycles"]),
        },
        "clock cycles",
        stacked=True,
    )
    return Section("Simulation", text, facts, figures, _maps(item), {"simulation": table})
