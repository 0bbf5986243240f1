"""What is decided before instructions are made: which maps lie where, and when."""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from hwsim.blocks.systolic.config import LARGEST_BUFFER
from hwsim.network.integer import Concat, Conv, Dense, Shuffle

from .layout import Layout, lay_out
from .schedule import Place, Step, allocate, input_rows, order
from .tiling import convolution, round_up

__all__ = ["Plan", "make_plan"]

# Part of the buffer, in 128ths, that one strip of a map that lies in memory may take at first.
LARGEST_SHARE = 16


@dataclass(frozen=True)
class _Choice:
    """Which maps lie in memory, and how large their strips may be (see `LARGEST_SHARE`).

    ``copied`` are concatenations that are made by copies, so that each map can lie in memory.
    """

    spilled: frozenset[str]
    copied: frozenset[str]
    share: int


@dataclass(frozen=True, eq=False)
class Plan:
    """What was decided before instructions are made."""

    layout: Layout
    steps: list[Step]
    parts: dict[str, list[tuple[int, int]]]  # layer name -> channels of each part
    resident: dict[str, int]  # storage name -> address in the buffer
    strips: dict[tuple[int, int, str], int]  # layer, first row, storage name -> address
    spilled: frozenset[str]


def make_plan(network, config):
    """`Plan`, or the refusal that names the smallest buffer that works."""
    plan, failed = _search(network, config)
    size = config.buffer_bytes
    while plan is None and size < LARGEST_BUFFER:
        size *= 2
        if _search(network, replace(config, buffer_bytes=size))[0] is not None:
            raise ValueError(
                f"buffer_bytes must be at least {size} for layer {failed}, "
                f"not {config.buffer_bytes}"
            )
    if plan is None:
        raise ValueError(f"layer {failed} needs more than the largest buffer, {size} bytes")
    return plan


def _search(network, config):
    """Keep as many maps in the buffer as fit; the largest of the others go to memory.

    Returns (`Plan` or None, name of the layer that does not fit).
    """
    choice = _Choice(frozenset(), frozenset(), LARGEST_SHARE)
    concats = {layer.output for layer in network.layers if isinstance(layer, Concat)}
    while True:
        plan, failed, rivals = _try(network, config, choice)
        if plan is not None:
            return plan, None
        resident = [place for place in rivals if place.name not in choice.spilled]
        if resident:
            name = max(resident, key=lambda place: (place.size, place.name)).name
            # Maps that share memory must part before they can leave the buffer.
            if name in concats - choice.copied:
                choice = replace(choice, copied=choice.copied | {name})
            else:
                choice = replace(choice, spilled=choice.spilled | {name})
        elif choice.share > 1:
            choice = replace(choice, share=choice.share // 2)
        else:
            return None, failed


def _try(network, config, choice):
    """(`Plan` or None, name of the layer that does not fit, what takes the room that it needs)."""
    layout = lay_out(network, config, choice.spilled, choice.copied)
    strips = [_strip_rows(layer, network, config, layout, choice) for layer in network.layers]
    parts = [_parts(layer, network, config, layout, choice.spilled) for layer in network.layers]
    steps = order(network, strips, parts)
    whole, pieces = _places(network, config, layout, choice, steps)
    places = [*whole.values(), *pieces.values()]
    failed = allocate(places, config)
    if failed is not None:
        rivals = [p for p in places if p.start <= failed.end and failed.start <= p.end]
        return None, network.layers[steps[failed.start].layer].name, rivals
    plan = Plan(
        layout=layout,
        steps=steps,
        parts={layer.name: part for layer, part in zip(network.layers, parts, strict=True)},
        resident={name: place.address for name, place in whole.items()},
        strips={key: place.address for key, place in pieces.items()},
        spilled=choice.spilled,
    )
    return plan, None, []


def _places(network, config, layout, choice, steps):
    """A `Place` for each map that stays in the buffer, and for each strip of the others."""
    whole: dict[str, Place] = {}
    pieces: dict[tuple[int, int, str], Place] = {}
    starts = _load_steps(steps)
    for number, step in enumerate(steps):
        layer = network.layers[step.layer]
        first, last = input_rows(layer, network, step.first, step.last)
        touched = [(name, starts[step.layer, step.first], last - first) for name in layer.inputs]
        touched.append((layer.output, number, step.last - step.first))
        for name, start, rows in touched:
            storage = layout.views[name].storage
            spilled = storage.name in choice.spilled
            size = round_up(storage.rows_size(rows if spilled else storage.height), config.banks)
            place = Place(storage.name, size, start, number)
            if spilled:
                place = pieces.setdefault((step.layer, step.first, storage.name), place)
            else:
                place = whole.setdefault(storage.name, place)
            place.start, place.end = min(place.start, start), number
    return whole, pieces


def _load_steps(steps):
    """The step from which rows of each strip, by (layer, first row), may be loaded.

    The first one of the strip before: they are loaded while that is at work.
    """
    starts: dict[int, dict[int, int]] = {}
    for number, step in enumerate(steps):
        starts.setdefault(step.layer, {}).setdefault(step.first, number)
    return {
        (layer, row): before
        for layer, strips in starts.items()
        for row, before in zip(strips, [*list(strips.values())[:1], *strips.values()], strict=False)
    }


def _parts(layer, network, config, layout, spilled):
    """Channels of the output that are made at a time: those of a tile, or of a block."""
    if isinstance(layer, Conv | Dense):
        return [
            (group.first_out + first, group.first_out + min(first + config.cols, group.outputs))
            for group in convolution(layer, network).groups_of(config)
            for first in range(0, group.outputs, config.cols)
        ]
    channels = network.tensors[layer.output].shape[0]
    names = {layout.views[name].storage.name for name in (*layer.inputs, layer.output)}
    if names & spilled and not isinstance(layer, Shuffle):
        return [(0, channels)]
    if isinstance(layer, Concat):
        ends = np.cumsum([network.tensors[name].shape[0] for name in layer.inputs]).tolist()
        return list(pairwise([0, *ends]))
    return [
        (first, min(first + config.cols, channels)) for first in range(0, channels, config.cols)
    ]


def _strip_rows(layer, network, config, layout, choice):
    """Output rows of a strip, all strips of a layer being about equal."""
    spilled = choice.spilled
    _, height, width = network.tensors[layer.output].shape
    most = max(1, min(config.accumulator_rows // width, height))
    budget = config.buffer_bytes * choice.share // 128
    out = layout.views[layer.output].storage
    if out.name in spilled:
        most = min(most, max(1, budget // out.row))
    for name in layer.inputs:
        storage = layout.views[name].storage
        while most > 1 and storage.name in spilled:
            first, last = input_rows(layer, network, 0, most)
            if (last - first) * storage.row <= budget:
                break
            most -= 1
    strips = -(-height // most)
    return -(-height // strips)
