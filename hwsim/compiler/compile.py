"""From an integer network to a program: strips, places, instructions, and what they wait for."""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from hwsim.blocks.systolic.config import LARGEST_BUFFER
from hwsim.blocks.systolic.isa import ENGINES, Instruction, Opcode, Operation
from hwsim.blocks.systolic.vector import FACTOR_PRECISION, FACTORS
from hwsim.network.integer import (
    LRN,
    Add,
    Concat,
    Conv,
    Dense,
    IntegerNetwork,
    Pool,
    Shuffle,
    Table,
    log_index,
)
from hwsim.network.lower import lower
from hwsim.network.network import NetworkError

from .layout import lay_out
from .program import Program, Region, Result, code_offset
from .schedule import Place, allocate, input_rows, order
from .tiling import Lanes, convolution, lanes, shuffle_groups, shuffle_tile, weight_tiles

__all__ = ["compile_network"]

ADDRESS = (1 << 24) - 1
# Part of the buffer that one strip of a map that lies in memory may take.
STRIP_SHARE = 8
ACCEPTED = (Add, Concat, Conv, Dense, LRN, Pool, Shuffle, Table)
# Taps in a row that an instruction can count.
LARGEST_KERNEL = 1023
READ, MATRIX, VECTOR, WRITE = range(4)
# Window of layers that work on each pixel: kernel, strides, dilations, pads.
PIXEL = ((1, 1), (1, 1), (1, 1), (0, 0))


def compile_network(network, config):
    """Compile a network for a systolic accelerator.

    Parameters
    ----------
    network : Network or IntegerNetwork
        Quantized.
    config : Systolic

    Returns
    -------
    Program
        The same for equal arguments.

    Raises
    ------
    NetworkError
        For a layer that the accelerator does not compute; the message names it.
    ValueError
        If a size of the accelerator is too small; the message names the layer and the smallest
        value that works.
    """
    if not isinstance(network, IntegerNetwork):
        network = lower(network)
    for layer in network.layers:
        _check(layer, network, config)
    plan = _plan(network, config)
    return _Emitter(network, config, plan).program()


def _check(layer, network, config):
    """Refuse a layer that the accelerator cannot carry out."""

    def refuse(what):
        raise NetworkError(f"layer {layer.name}: {what}")

    tensors = [network.tensors[name] for name in (*layer.inputs, layer.output)]
    for tensor in tensors:
        if tensor.bits > 8:
            refuse(f"the systolic accelerator takes codes of up to 8 bits, not {tensor.bits}")
    if not isinstance(layer, ACCEPTED):
        refuse(f"the systolic accelerator does not compute {type(layer).__name__}")
    if isinstance(layer, LRN):
        _check_lrn(layer, tensors[0], refuse)
    if isinstance(layer, Conv | Dense):
        if layer.weight_bits > 8:
            refuse(
                f"the systolic accelerator takes weights of up to 8 bits, not {layer.weight_bits}"
            )
        width = tensors[-1].shape[2]
        if width > config.accumulator_rows:
            raise ValueError(
                f"accumulator_rows must be at least {1 << (width - 1).bit_length()} for layer "
                f"{layer.name}, not {config.accumulator_rows}"
            )
        if not _sums_fit(layer, tensors[0]):
            refuse("its sums do not fit into 32 bits")


def _sums_fit(layer, tensor):
    """Whether all sums of a convolution or dense layer have at most 32 bits."""
    bias = _bias(layer, tensor)
    # A product is less than 2**15.
    if layer.weights[0].size <= 1 << 15 and abs(bias).max() <= 1 << 30:
        return True
    low, high = layer.accumulator_bounds(tensor)
    return min(low, bias.min()) >= -(1 << 31) and max(high, bias.max()) < 1 << 31


def _check_lrn(layer, tensor, refuse):
    reach = max(abs(code - tensor.zero_point) for code in (tensor.minimum, tensor.maximum))
    largest = int(log_index(np.array(layer.size * reach**2), FACTOR_PRECISION))
    if layer.precision > FACTOR_PRECISION or largest >= FACTORS:
        refuse(
            f"the systolic accelerator takes a table of {FACTORS} factors with a precision of up "
            f"to {FACTOR_PRECISION}, not {largest + 1} with {layer.precision}"
        )


def _factors(layer):
    """Table of an LRN for the precision of the vector unit, which may be finer."""
    index = np.arange(FACTORS)
    dropped = np.maximum((index >> FACTOR_PRECISION) - 1, 0)
    # The least sum of each entry.
    sums = (index - (dropped << FACTOR_PRECISION)) << dropped
    entries = np.minimum(log_index(sums, layer.precision), len(layer.table) - 1)
    return layer.table[entries].astype(np.uint32)


def _bias(layer, tensor):
    """Bias for codes that are int8 on chip."""
    offset = code_offset(tensor)
    if not offset:
        return layer.bias
    weights = layer.weights.reshape(len(layer.weights), -1)
    return layer.bias + offset * weights.sum(axis=1, dtype=np.int64)


@dataclass(frozen=True)
class _Tile:
    """What a CONVOLVE is told of a part of a layer, whatever the strip.

    ``steps`` are bytes from a tap to the next one (down, along); ``weights`` and ``parameters``
    addresses in memory, the latter None for codes that stay what they are.
    """

    first_in: int
    order: Lanes
    steps: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    pads: tuple[int, int]
    weights: int
    parameters: int | None


@dataclass(frozen=True, eq=False)
class _Plan:
    """What was decided before instructions are made."""

    layout: object
    steps: list
    parts: dict  # layer name -> channels of each part
    resident: dict  # storage name -> address in the buffer
    strips: dict  # (layer, first row, storage name) -> address of that strip's rows
    spilled: frozenset


def _plan(network, config):
    """`_Plan`, or the refusal that names the smallest buffer that works."""
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

    Returns (`_Plan` or None, name of the layer that does not fit).
    """
    spilled = frozenset()
    while True:
        plan, failed, places = _try(network, config, spilled)
        movable = plan_candidates(network, config, spilled) - spilled
        movable = [place for place in places if place.name in movable]
        if plan is not None or not movable:
            return plan, failed
        spilled |= {max(movable, key=lambda place: (place.size, place.name)).name}


def plan_candidates(network, config, spilled):
    """Storages that can lie in memory: those of a single map."""
    layout = lay_out(network, config, spilled)
    views = {}
    for name, view in layout.views.items():
        views.setdefault(view.storage.name, []).append(name)
    return {name for name, tensors in views.items() if len(tensors) == 1}


def _try(network, config, spilled):
    """(`_Plan` or None, name of the layer that does not fit, places)."""
    layout = lay_out(network, config, spilled)
    views = layout.views
    strips = [_strip_rows(layer, network, config, layout, spilled) for layer in network.layers]
    parts = [_parts(layer, network, config, layout, spilled) for layer in network.layers]
    steps = order(network, strips, parts)
    spans = {}
    pieces = {}
    strip_before = {}  # of each layer: its strip before this one, and that one's first step
    for number, step in enumerate(steps):
        layer = network.layers[step.layer]
        known = strip_before.setdefault(step.layer, [(step.first, number)])
        if known[-1][0] != step.first:
            known.append((step.first, number))
        # Rows are loaded while the strip before is at work.
        before = known[-2:][0][1]
        first, last = input_rows(layer, network, step.first, step.last)
        touched = [(views[name].storage, before, last - first) for name in layer.inputs]
        touched.append((views[layer.output].storage, number, step.last - step.first))
        for storage, start, rows in touched:
            if storage.name in spilled:
                size = -(-storage.rows_size(rows) // config.banks) * config.banks
                key = (step.layer, step.first, storage.name)
                place = pieces.setdefault(key, Place(storage.name, size, start, number))
                place.end = number
            else:
                size = -(-storage.size // config.banks) * config.banks
                place = spans.setdefault(storage.name, Place(storage.name, size, start, number))
                place.start, place.end = min(place.start, start), number
    places = [*spans.values(), *pieces.values()]
    failed = allocate(places, config)
    if failed is not None:
        return None, network.layers[steps[failed.start].layer].name, places
    resident = {name: place.address for name, place in spans.items()}
    strips = {key: place.address for key, place in pieces.items()}
    names = [layer.name for layer in network.layers]
    parts = dict(zip(names, parts, strict=True))
    return _Plan(layout, steps, parts, resident, strips, spilled), None, places


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
    if isinstance(layer, Concat):
        ends = np.cumsum([network.tensors[name].shape[0] for name in layer.inputs]).tolist()
        return list(pairwise([0, *ends]))
    if names & spilled and not isinstance(layer, Shuffle):
        return [(0, channels)]
    return [
        (first, min(first + config.cols, channels)) for first in range(0, channels, config.cols)
    ]


def _strip_rows(layer, network, config, layout, spilled):
    """Output rows of a strip, all strips of a layer being about equal."""
    _, height, width = network.tensors[layer.output].shape
    most = max(1, min(config.accumulator_rows // width, height))
    budget = config.buffer_bytes // STRIP_SHARE
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


class _Tracker:
    """Which instructions last read and wrote each word of the buffer, and used each port."""

    def __init__(self, config):
        self._config = config
        words = config.buffer_bytes // config.banks
        # kind (0 read, 1 write), engine, word
        self._last = np.zeros((2, len(ENGINES), words), np.int32)
        self._ports = np.zeros((2, len(ENGINES), config.sections), np.int32)
        self.counts = [0] * len(ENGINES)

    def access(self, engine, reads, writes, waits, margin):
        """What ``engine``'s next instruction waits for, given ranges of addresses; notes it.

        margin : bytes that are read before and after the ranges, whatever is there: (int, int).
        """
        self.counts[engine] += 1
        config = self._config
        waits = np.array(waits)
        uses = []
        for kind, ranges, (before, after) in ((0, reads, margin), (1, writes, (0, 0))):
            for low, high in ranges:
                words = slice(low // config.banks, -(-high // config.banks))
                first = (low - before) // config.section_bytes
                last = (high + after - 1) // config.section_bytes
                sections = np.arange(first, last + 1) % config.sections
                uses.append((kind, words, sections))
        for kind, words, sections in uses:
            for earlier in (1,) if kind == 0 else (0, 1):
                waits = np.maximum(waits, self._last[earlier, :, words].max(axis=1))
            waits = np.maximum(waits, self._ports[kind][:, sections].max(axis=1))
        for kind, words, sections in uses:
            self._last[kind, engine, words] = self.counts[engine]
            self._ports[kind, engine, sections] = self.counts[engine]
        waits[engine] = 0
        return tuple(int(count) for count in waits)


class _Emitter:
    """Makes the instructions, step by step."""

    def __init__(self, network, config, plan):
        self.network = network
        self.config = config
        self.plan = plan
        self.views = plan.layout.views
        self.tracker = _Tracker(config)
        self.instructions = []
        self.results = {}
        self.constants = []
        self.constant_bytes = 0
        self.half = 0
        # Of the instruction that last emptied each half of the accumulators.
        self.emptied = [0, 0]
        self.layer = 0
        self.known = {}  # constant -> address
        self.table_in_use = [None, None]
        self.loaded = set()  # strips that were loaded
        self.input_end = 0  # address up to which the input was loaded
        self.stored = {}  # (storage, row) -> number of the write instruction

    # -- memory

    def program(self):
        """The `Program`."""
        config, network = self.config, self.network
        prepared = [self._prepare(layer) for layer in network.layers]
        address = _up(self.constant_bytes, config.burst_beats * config.axi_bytes)
        self.regions = {}
        outputs = {self.views[tensor.name].storage for tensor in network.outputs}
        wanted = {self.views[network.input.name].storage} | outputs
        wanted |= {v.storage for v in self.views.values() if v.storage.name in self.plan.spilled}
        for storage in sorted(wanted, key=lambda storage: storage.name):
            self.regions[storage.name] = address
            # Whole beats are moved, and a beat before and after.
            address = _up(address + storage.size + config.banks, 64)
        address = _up(address, 4096)
        steps = self.plan.steps
        last_step = {}  # of each storage, and of each strip of a layer
        strip_starts = {}  # layer -> first step of each strip
        for number, step in enumerate(steps):
            last_step[self.views[network.layers[step.layer].output].storage.name] = number
            last_step[step.layer, step.first] = number
            starts = strip_starts.setdefault(step.layer, {})
            starts.setdefault(step.first, number)
        following = {}
        for starts in strip_starts.values():
            following |= dict(pairwise(starts.values()))
        for number, step in enumerate(steps):
            layer = network.layers[step.layer]
            self.layer = step.layer + 1
            self._load(step)
            self._emit(step, layer, prepared[step.layer])
            if number in following and isinstance(layer, Conv | Dense):
                self._load(steps[following[number]])
            storage = self.views[layer.output].storage
            if storage.name in self.plan.spilled:
                if last_step[step.layer, step.first] == number:
                    self._store_rows(step, storage)
            elif storage in outputs and last_step[storage.name] == number:
                self._store(
                    self.regions[storage.name], self.plan.resident[storage.name], storage.size
                )
        self.layer = 0
        self.instructions.append(Instruction(Opcode.HALT, 0, tuple(self.tracker.counts)))
        constants = np.zeros(self.constant_bytes, np.uint8)
        for where, values in self.constants:
            constants[where : where + len(values)] = values
        return Program(
            network=network,
            config=config,
            instructions=tuple(self.instructions),
            layout=self.plan.layout,
            results=self.results,
            constants=constants,
            input=self._region(network.input.name),
            outputs={tensor.name: self._region(tensor.name) for tensor in network.outputs},
            address=address,
        )

    def _region(self, name):
        view = self.views[name]
        return Region(view, self.regions[view.storage.name])

    def _constant(self, values):
        """Put bytes into memory, at the start of a beat; returns their address."""
        raw = np.ascontiguousarray(values).view(np.uint8).reshape(-1)
        where = self.constant_bytes
        self.constants.append((where, raw))
        self.constant_bytes = _up(where + len(raw), max(self.config.axi_bytes, 1))
        return where

    def _constant_once(self, values):
        """The same for what may occur several times."""
        key = values.tobytes()
        if key not in self.known:
            self.known[key] = self._constant(values)
        return self.known[key]

    # -- constants of a layer

    def _prepare(self, layer):
        """Constants of a layer, put into memory; what instructions need to know of them."""
        match layer:
            case Conv() | Dense():
                return self._prepare_convolution(layer)
            case Shuffle():
                return self._prepare_shuffle(layer)
            case Table():
                return self._prepare_table(layer)
            case LRN():
                return self._constant(_factors(layer))
        return None

    def _prepare_convolution(self, layer):
        """A `_Tile` for each part."""
        config = self.config
        source = self.network.tensors[layer.inputs[0]]
        geometry = convolution(layer, self.network)
        storage = self.views[source.name].storage
        steps = geometry.steps(storage.pixel, storage.row)
        window = geometry.strides, geometry.dilations, geometry.pads
        scales = np.broadcast_arrays(
            _bias(layer, source), layer.requantize.multiplier, layer.requantize.shift
        )
        tiles = []
        for group in geometry.groups_of(config):
            order = lanes(geometry.kernel, group.channels, steps, config)
            for first, weights in enumerate(weight_tiles(layer, geometry, group, order, config)):
                channel = group.first_out + first * config.cols
                last = min(channel + config.cols, group.first_out + group.outputs)
                parameters = self._parameters(*(values[channel:last] for values in scales))
                weights = self._constant(weights)
                tiles.append(_Tile(group.first_in, order, steps, *window, weights, parameters))
        return tiles

    def _parameters(self, bias, multiplier, shift):
        """Put a tile of parameters into memory."""
        config = self.config
        words = np.zeros((config.parameter_words * config.axi_bytes // 4), np.uint32)
        words[: 2 * len(bias) : 2] = bias.astype(np.int32).view(np.uint32)
        words[1 : 2 * len(bias) : 2] = multiplier | (shift << 24)
        return self._constant(words)

    def _prepare_shuffle(self, layer):
        """A `_Tile` for each part, where the array is faster than copies."""
        groups = shuffle_groups(layer.order)
        _, _, width = self.network.tensors[layer.output].shape
        if not groups or width > self.config.accumulator_rows:
            return None
        size = len(layer.order) // groups
        tiles = []
        for part in self.plan.parts[layer.name]:
            channel, order, weights = shuffle_tile(groups, size, part, self.config)
            if order.folds >= part[1] - part[0] or groups > LARGEST_KERNEL:
                return None
            window = (1, 1), (1, 0), (0, 0)
            weights = self._constant_once(weights)
            tiles.append(_Tile(channel, order, (0, size), *window, weights, None))
        return tiles

    def _prepare_table(self, layer):
        source = self.network.tensors[layer.inputs[0]]
        output = self.network.tensors[layer.output]
        codes = np.arange(-128, 128) + code_offset(source) - source.minimum
        inside = (codes >= 0) & (codes < len(layer.table))
        values = np.where(inside, layer.table[np.clip(codes, 0, len(layer.table) - 1)], 0)
        values = (values.astype(np.int64) - code_offset(output)).astype(np.int8)
        return self._constant_once(np.resize(values, _up(256, self.config.axi_bytes)))

    # -- instructions

    def _add(self, opcode, waits=(0, 0, 0, 0), reads=(), writes=(), margin=(0, 0), **fields):
        """Append an instruction; returns its number among those of its engine."""
        engine = opcode.engine
        after = self.tracker.access(engine, reads, writes, waits, margin)
        self.instructions.append(Instruction(opcode, self.layer, after, fields))
        return self.tracker.counts[engine]

    def _transfer(self, opcode, address, size, buffer=0, **options):
        """A transfer of whole beats that hold ``size`` bytes from ``address`` on."""
        beat = self.config.axi_bytes
        first, last = address // beat * beat, _up(address + size, beat)
        buffer -= address - first
        ranges = [(buffer, buffer + last - first)]
        options |= {
            "reads": ranges if opcode == Opcode.WRITE_ACTIVATIONS else (),
            "writes": ranges if opcode == Opcode.READ_ACTIVATIONS else (),
        }
        return self._add(
            opcode, address=first, words=(last - first) // beat, buffer=buffer & ADDRESS, **options
        )

    def _load(self, step):
        """Bring the rows that a step reads into the buffer, where they are not there yet."""
        layer = self.network.layers[step.layer]
        first, last = input_rows(layer, self.network, step.first, step.last)
        for name in dict.fromkeys(layer.inputs):
            storage = self.views[name].storage
            if storage.name in self.plan.spilled:
                key = (step.layer, step.first, storage.name)
                if key in self.loaded:
                    continue
                self.loaded.add(key)
                written = [self.stored.get((storage.name, row), 0) for row in range(first, last)]
                self._transfer(
                    Opcode.READ_ACTIVATIONS,
                    self.regions[storage.name] + first * storage.row,
                    storage.rows_size(last - first),
                    self.plan.strips[key],
                    waits=(0, 0, 0, max(written, default=0)),
                )
            elif name == self.network.input.name:
                base = self.regions[storage.name]
                end = base + (last - 1) * storage.row + storage.rows_size(1)
                start = max(base, self.input_end)
                if end > start:
                    where = self.plan.resident[storage.name] + start - base
                    self._transfer(Opcode.READ_ACTIVATIONS, start, end - start, where)
                    self.input_end = _up(end, self.config.axi_bytes)

    def _store(self, address, buffer, size):
        return self._transfer(Opcode.WRITE_ACTIVATIONS, address, size, buffer)

    def _store_rows(self, step, storage):
        count = self._store(
            self.regions[storage.name] + step.first * storage.row,
            self.plan.strips[step.layer, step.first, storage.name],
            storage.rows_size(step.last - step.first),
        )
        for row in range(step.first, step.last):
            self.stored[storage.name, row] = count

    def _row_address(self, step, name, row, first):
        """Buffer address of a row of a tensor of which a step needs the rows from ``first`` on."""
        view = self.views[name]
        storage = view.storage
        if storage.name in self.plan.spilled:
            base = self.plan.strips[step.layer, step.first, storage.name] - first * storage.row
        else:
            base = self.plan.resident[storage.name]
        return base + row * storage.row + view.channel

    def _emit(self, step, layer, prepared):
        match layer:
            case Conv() | Dense():
                self._convolve(step, layer, prepared[step.part])
            case Pool():
                self._pool(step, layer)
            case Add():
                self._combine_add(step, layer)
            case Table():
                self._lookup(step, layer, prepared)
            case LRN():
                self._normalize(step, layer, prepared)
            case Shuffle() if prepared:
                self._convolve(step, layer, prepared[step.part])
            case Shuffle():
                self._shuffle(step, layer)
            case Concat():
                if (layer.name, step.part) in self.plan.layout.copies:
                    self._copy(step, layer, layer.inputs[step.part])

    def _convolve(self, step, layer, tile):
        network, config = self.network, self.config
        name = layer.inputs[0]
        tensor = network.tensors[name]
        storage = self.views[name].storage
        width, height = network.tensors[layer.output].shape[2], step.last - step.first
        first, last = input_rows(layer, network, step.first, step.last)
        start = self._row_address(step, name, first, first)
        y = step.first * tile.strides[0] - tile.pads[0]
        base = self._row_address(step, name, y, first) - tile.pads[1] * storage.pixel
        order = tile.order
        if tile.parameters is None:
            scale = {"uniform": 1, "multiplier": 1}
        else:
            size = config.parameter_words * config.axi_bytes
            self._transfer(Opcode.READ_PARAMETERS, tile.parameters, size)
            scale = {}
        self._transfer(
            Opcode.READ_WEIGHTS, tile.weights, order.folds * config.weight_words * config.axi_bytes
        )
        made = self._add(
            Opcode.CONVOLVE,
            waits=(0, 0, self.emptied[self.half], 0),
            reads=[(start, _end(start, storage, tensor, last - first))],
            width=width,
            height=height,
            pixels=width * height,
            half=self.half,
            folds=order.folds,
            channels=order.channels,
            taps_y=order.kernel[0],
            gap_x=order.gap_x,
            gap_y=order.gap_y,
            pad=tensor.zero_point - code_offset(tensor),
            base=(base + tile.first_in) & ADDRESS,
            pixel_x=tile.strides[1] * storage.pixel,
            pixel_y=tile.strides[0] * storage.row,
            taps_x=order.kernel[1],
            tap_x=tile.steps[1],
            tap_y=tile.steps[0],
            y=y,
            x=-tile.pads[1],
            stride_y=tile.strides[0],
            stride_x=tile.strides[1],
            dilation_y=tile.dilations[0],
            dilation_x=tile.dilations[1],
            map_height=tensor.shape[1],
            map_width=tensor.shape[2],
        )
        self.emptied[self.half] = self._write_result(
            step,
            layer,
            Opcode.ACTIVATE,
            step.channels,
            None if tile.parameters is None else layer.requantize,
            waits=(0, made, 0, 0),
            half=self.half,
            **scale,
        )
        self.half ^= 1

    def _write_result(
        self,
        step,
        layer,
        opcode,
        channels,
        requantize,
        *,
        columns=None,
        rows=None,
        **fields,
    ):
        """An instruction of the vector unit that writes ``channels`` (first, last)."""
        output = self.network.tensors[layer.output]
        storage = self.views[layer.output].storage
        first_row, last_row = rows or (step.first, step.last)
        first_column, last_column = columns or (0, output.shape[2])
        channel, count = channels[0], channels[1] - channels[0]
        start = self._row_address(step, layer.output, first_row, step.first)
        start += first_column * storage.pixel + channel
        height, width = last_row - first_row, last_column - first_column
        end = start + (height - 1) * storage.row + (width - 1) * storage.pixel + count
        offset = code_offset(output)
        scale = {"zero_point": 0, "minimum": -128, "maximum": 127}
        if requantize is not None:
            scale = {
                name: getattr(requantize, name) - offset
                for name in ("zero_point", "minimum", "maximum")
            }
        self.results[len(self.instructions)] = Result(
            layer.output, first_row, first_column, channel
        )
        return self._add(
            opcode,
            writes=[(start, end)],
            width=width,
            height=height,
            channels=count,
            to=start & ADDRESS,
            to_x=storage.pixel,
            to_y=storage.row,
            **scale,
            **fields,
        )

    def _combine(
        self,
        step,
        layer,
        name,
        channels,
        window,
        requantize,
        *,
        into=0,
        second=None,
        reach=None,
        waits=(0, 0, 0, 0),
        **fields,
    ):
        """Make channels (first, last) from windows of the tensor ``name``.

        window : {"kernel", "strides", "dilations", "pads"}; second : tensor that is the other
        operand of each pixel; reach : channel of the first tap, where taps are channels.
        """
        tensor = self.network.tensors[name]
        storage = self.views[name].storage
        first, last = input_rows(layer, self.network, step.first, step.last)
        (kernel, strides, dilations, pads) = window
        rows = fields.get("rows") or (step.first, step.last)
        columns = fields.get("columns") or (0, self.network.tensors[layer.output].shape[2])
        y = rows[0] * strides[0] - pads[0]
        x = columns[0] * strides[1] - pads[1]
        base = self._row_address(step, name, y, first) + x * storage.pixel
        base += channels[0] if reach is None else reach
        reads = []
        for operand in (name, second) if second else (name,):
            start = self._row_address(step, operand, first, first)
            reads.append((start, _end(start, storage, tensor, last - first)))
        steps = {"tap_x": dilations[1] * storage.pixel, "tap_y": dilations[0] * storage.row}
        taps = {"taps_x": kernel[1], "taps_y": kernel[0]}
        if second:
            distance = self._row_address(step, second, first, first) - reads[0][0]
            steps["tap_x"] = distance & ADDRESS
            taps["taps_x"], dilations = 2, (1, 0)
        return self._write_result(
            step,
            layer,
            Opcode.COMBINE,
            (into + channels[0], into + channels[1]),
            requantize,
            waits=waits,
            reads=reads,
            # A read takes a code from each bank, from the first one's address on; neighbours in
            # a normalization may be those of another pixel.
            margin=(0 if reach is None else fields["taps_x"], self.config.banks),
            **{
                "uniform": 1,
                "base": base & ADDRESS,
                "pixel_x": strides[1] * storage.pixel,
                "pixel_y": strides[0] * storage.row,
                "y": y,
                "x": x,
                "stride_y": strides[0],
                "stride_x": strides[1],
                "dilation_y": dilations[0],
                "dilation_x": dilations[1],
                "map_height": tensor.shape[1],
                "map_width": tensor.shape[2],
                **taps,
                **steps,
                **fields,
            },
        )

    def _blocks(self, first, last):
        """(first, last) for each part of some channels that the vector unit takes at once."""
        cols = self.config.cols
        return [(k, min(k + cols, last)) for k in range(first, last, cols)]

    def _pool(self, step, layer):
        name = layer.inputs[0]
        tensor = self.network.tensors[name]
        window = (layer.kernel, layer.strides, layer.dilations, layer.pads[:2])
        channels = self._blocks(*step.channels)
        if layer.kind == "max":
            for block in channels:
                self._combine(
                    step, layer, name, block, window, None,
                    operation=Operation.MAX, multiplier=1,
                )  # fmt: skip
            return
        zero = tensor.zero_point - code_offset(tensor)
        output = self.network.tensors[layer.output]
        for rows, columns, which in self._equal_counts(layer, tensor, output.shape[1:], step):
            for block in channels:
                self._combine(
                    step, layer, name, block, window, layer.requantize,
                    operation=Operation.SUM, rows=rows, columns=columns,
                    offset_0=zero, offset_1=zero, factor_0=1, factor_1=1,
                    multiplier=int(layer.requantize.multiplier[which]),
                    shift=int(layer.requantize.shift[which]),
                )  # fmt: skip

    def _equal_counts(self, layer, tensor, size, step):
        """Rectangles of the output whose windows count equally many taps."""
        if layer.kind == "sum" or len(layer.counts) == 1:
            return [((step.first, step.last), (0, size[1]), 0)]
        counts = layer.window_counts(tensor, size)[step.first : step.last]
        result = []
        for top, bottom in _runs(counts):
            for left, right in _runs(counts[top:bottom].T):
                which = layer.counts.index(int(counts[top, left]))
                rows = (step.first + top, step.first + bottom)
                result.append((rows, (left, right), which))
        return result

    def _combine_add(self, step, layer):
        tensors = [self.network.tensors[name] for name in layer.inputs]
        zeros = [tensor.zero_point - code_offset(tensor) for tensor in tensors]
        for block in self._blocks(*step.channels):
            self._combine(
                step, layer, layer.inputs[0], block, PIXEL, layer.requantize,
                second=layer.inputs[1], operation=Operation.SUM,
                offset_0=zeros[0], offset_1=zeros[1],
                factor_0=int(layer.multipliers[0]), factor_1=int(layer.multipliers[1]),
                multiplier=int(layer.requantize.multiplier[0]),
                shift=int(layer.requantize.shift[0]),
            )  # fmt: skip

    def _copy(self, step, layer, name):
        """Bring an input of a concatenation to its place."""
        channel, last = step.channels
        for block in self._blocks(0, last - channel):
            self._combine(
                step, layer, name, block, PIXEL, None,
                into=channel, operation=Operation.MAX, multiplier=1,
            )  # fmt: skip

    def _use_table(self, number, address, size):
        """What to wait for until a table of the vector unit holds what is at ``address``."""
        if self.table_in_use[number] == address:
            return (0, 0, 0, 0)
        # The table in use must not change under instructions that use it.
        read = self._transfer(
            Opcode.READ_TABLE,
            address,
            size,
            table=number,
            waits=(0, 0, self.tracker.counts[VECTOR], 0),
        )
        self.table_in_use[number] = address
        return (read, 0, 0, 0)

    def _lookup(self, step, layer, address):
        waits = self._use_table(0, address, 256)
        for block in self._blocks(*step.channels):
            self._combine(
                step, layer, layer.inputs[0], block, PIXEL, None,
                operation=Operation.MAX, multiplier=1, lookup=1, waits=waits,
            )  # fmt: skip

    def _normalize(self, step, layer, address):
        waits = self._use_table(1, address, 4 * FACTORS)
        tensor = self.network.tensors[layer.inputs[0]]
        for block in self._blocks(*step.channels):
            first = block[0] - (layer.size - 1) // 2
            self._combine(
                step, layer, layer.inputs[0], block, PIXEL, layer.requantize,
                operation=Operation.NORMALIZE, taps_x=layer.size, tap_x=1, reach=first,
                x=first, stride_x=0, map_width=tensor.shape[0],
                offset_0=tensor.zero_point - code_offset(tensor),
                shift=int(layer.requantize.shift[0]), waits=waits,
            )  # fmt: skip

    def _shuffle(self, step, layer):
        """Copy runs of channels that stay together."""
        first, last = step.channels
        order = layer.order[first:last]
        starts = [k for k in range(len(order)) if k == 0 or order[k] != order[k - 1] + 1]
        for start, end in pairwise([*starts, len(order)]):
            source = order[start]
            for block in self._blocks(source, source + end - start):
                self._combine(
                    step, layer, layer.inputs[0], block, PIXEL, None,
                    into=first + start - source, operation=Operation.MAX, multiplier=1,
                )  # fmt: skip


def _end(start, storage, tensor, rows):
    """Address after the last code of so many rows of a tensor."""
    channels, _, width = tensor.shape
    return start + (max(rows, 1) - 1) * storage.row + (width - 1) * storage.pixel + channels


def _runs(rows):
    """(first, last) of each run of equal rows."""
    changes = [
        0,
        *(k + 1 for k in range(len(rows) - 1) if (rows[k] != rows[k + 1]).any()),
        len(rows),
    ]
    return list(pairwise(changes))


def _up(value, step):
    return -(-value // step) * step
