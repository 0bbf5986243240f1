"""From a plan to instructions."""

from itertools import pairwise

from hwsim.blocks.systolic.isa import ENGINES, Instruction, Opcode, Operation
from hwsim.blocks.systolic.vector import CODES, FACTOR_BYTES, factors
from hwsim.network.integer import LRN, Add, Concat, Conv, Dense, Mul, Pad, Pool, Shuffle, Table

from .constants import Constants
from .pooling import passes
from .program import Program, Region, Result, code_offset
from .schedule import input_rows
from .tiling import round_up
from .waits import Tracker

__all__ = ["Emitter"]

ADDRESS = (1 << 24) - 1
VECTOR = ENGINES.index("vector")


# Names of fields when rows and columns change places.
_TURNED = {"width": "height", "height": "width", "y": "x", "x": "y"}
for _name in ("pixel", "to", "stride", "kernel", "window", "ahead"):
    _TURNED |= {f"{_name}_x": f"{_name}_y", f"{_name}_y": f"{_name}_x"}
_TURNED |= {"rows": "columns", "columns": "rows"}
_TURNED |= {"map_height": "map_width", "map_width": "map_height"}


class Emitter:
    """Makes the instructions, step by step."""

    def __init__(self, network, config, plan):
        self.network = network
        self.config = config
        self.plan = plan
        self.views = plan.layout.views
        self.tracker = Tracker(config)
        self.instructions: list[Instruction] = []
        self.results: dict[int, Result] = {}
        self.constants = Constants(network, config, plan)
        self.regions: dict[str, int] = {}  # storage name -> address in memory
        self.layer = 0
        self.half = 0
        # Of the instruction that last emptied each half of the accumulators.
        self.emptied = [0, 0]
        self.table_in_use: list[int | None] = [None, None]
        self.loaded: set[tuple[int, int, str]] = set()  # strips
        self.input_end = 0  # address up to which the input was loaded
        self.stored: dict[tuple[str, int], int] = {}  # storage name and row -> write instruction

    def program(self):
        """The `Program`."""
        network, steps = self.network, self.plan.steps
        constants = [self.constants.of(layer) for layer in network.layers]
        address = self._place_regions()
        following = self._following_strips()
        ends = self._ends()
        for number, step in enumerate(steps):
            self.layer = step.layer + 1
            self._load(step)
            self._emit(step, network.layers[step.layer], constants[step.layer])
            if number in following:
                self._load(steps[following[number]])
            self._store(number, step, ends)
        halt = Instruction(Opcode.HALT, 0, self.tracker.counts)
        return Program(
            network=network,
            config=self.config,
            instructions=(*self.instructions, halt),
            layout=self.plan.layout,
            results=self.results,
            constants=self.constants.content(),
            input=self._region(network.input.name),
            outputs={tensor.name: self._region(tensor.name) for tensor in network.outputs},
            address=address,
        )

    # -- memory

    def _place_regions(self):
        """Give maps that are in memory their places after the constants; returns the end."""
        config, network = self.config, self.network
        # Whole beats are moved, best in whole bursts.
        step = config.burst_beats * config.axi_bytes
        outside = {tensor.name for tensor in (network.input, *network.outputs)}
        stored = {
            view.storage
            for name, view in self.views.items()
            if name in outside or view.storage.name in self.plan.spilled
        }
        address = round_up(self.constants.size, step)
        for storage in sorted(stored, key=lambda storage: storage.name):
            self.regions[storage.name] = address
            address = round_up(address + storage.size, step)
        return round_up(address, 4096)

    def _region(self, name):
        view = self.views[name]
        return Region(view, self.regions[view.storage.name])

    # -- what comes next

    def _following_strips(self):
        """Of the first step of a convolution's strip, the first step of its next strip."""
        starts: dict[int, dict[int, int]] = {}
        for number, step in enumerate(self.plan.steps):
            if isinstance(self.network.layers[step.layer], Conv | Dense):
                starts.setdefault(step.layer, {}).setdefault(step.first, number)
        return {k: after for strips in starts.values() for k, after in pairwise(strips.values())}

    def _ends(self):
        """The last step of each storage, by name, and of each strip, by (layer, first row)."""
        ends: dict[str | tuple[int, int], int] = {}
        for number, step in enumerate(self.plan.steps):
            ends[self.views[self.network.layers[step.layer].output].storage.name] = number
            ends[step.layer, step.first] = number
        return ends

    # -- instructions

    def _add(self, opcode, waits=(0, 0, 0, 0), reads=(), writes=(), margin=(0, 0), **fields):
        """Append an instruction; returns its number among those of its engine."""
        engine = opcode.engine
        after = self.tracker.access(engine, reads, writes, waits, margin)
        self.instructions.append(Instruction(opcode, self.layer, after, fields))
        return self.tracker.counts[engine]

    def _transfer(self, opcode, address, size, buffer=0, **options):
        """A transfer of whole beats, ``size`` bytes at least."""
        words = -(-size // self.config.axi_bytes)
        ranges = [(buffer, buffer + words * self.config.axi_bytes)]
        options |= {
            "reads": ranges if opcode == Opcode.WRITE_ACTIVATIONS else (),
            "writes": ranges if opcode == Opcode.READ_ACTIVATIONS else (),
        }
        return self._add(opcode, address=address, words=words, buffer=buffer, **options)

    def _load(self, step):
        """Bring the rows that a step reads into the buffer, where they are not there yet."""
        layer = self.network.layers[step.layer]
        first, last = input_rows(layer, self.network, step.first, step.last)
        for name in dict.fromkeys(layer.inputs):
            storage = self.views[name].storage
            if storage.name in self.plan.spilled:
                self._load_strip(step, storage, first, last)
            elif name == self.network.input.name:
                self._load_input(storage, last)

    def _load_strip(self, step, storage, first, last):
        key = (step.layer, step.first, storage.name)
        if key in self.loaded:
            return
        self.loaded.add(key)
        written = max(self.stored.get((storage.name, row), 0) for row in range(first, last))
        self._transfer(
            Opcode.READ_ACTIVATIONS,
            self.regions[storage.name] + first * storage.row,
            storage.rows_size(last - first),
            self.plan.strips[key],
            waits=(0, 0, 0, written),
        )

    def _load_input(self, storage, last):
        """Bring the rows of the input before row ``last`` into the buffer."""
        base = self.regions[storage.name]
        start, end = max(base, self.input_end), base + storage.rows_size(last)
        if end > start:
            where = self.plan.resident[storage.name] + start - base
            self._transfer(Opcode.READ_ACTIVATIONS, start, end - start, where)
            self.input_end = round_up(end, self.config.axi_bytes)

    def _store(self, number, step, ends):
        """Write to memory what is complete after a step and belongs there."""
        storage = self.views[self.network.layers[step.layer].output].storage
        if storage.name not in self.regions:
            return
        address = self.regions[storage.name]
        if storage.name not in self.plan.spilled:
            if ends[storage.name] == number:
                self._transfer(
                    Opcode.WRITE_ACTIVATIONS,
                    address,
                    storage.size,
                    self.plan.resident[storage.name],
                )
        elif ends[step.layer, step.first] == number:
            write = self._transfer(
                Opcode.WRITE_ACTIVATIONS,
                address + step.first * storage.row,
                storage.rows_size(step.last - step.first),
                self.plan.strips[step.layer, step.first, storage.name],
            )
            for row in range(step.first, step.last):
                self.stored[storage.name, row] = write

    def _row_address(self, step, name, row, first):
        """Buffer address of a row of a tensor of which a step needs the rows from ``first`` on."""
        view = self.views[name]
        storage = view.storage
        if storage.name in self.plan.spilled:
            base = self.plan.strips[step.layer, step.first, storage.name] - first * storage.row
        else:
            base = self.plan.resident[storage.name]
        return base + row * storage.row + view.channel

    def _emit(self, step, layer, constants):
        match layer:
            case Conv() | Dense() | Shuffle() if constants:
                self._convolve(step, layer, constants[step.part])
            case Pool():
                self._pool(step, layer)
            case Add():
                self._combine_pair(step, layer, Operation.SUM, layer.multipliers)
            case Table():
                self._lookup(step, layer, constants)
            case LRN():
                self._normalize(step, layer, constants)
            case Shuffle():
                self._shuffle(step, layer)
            case Concat():
                self._concat(step, layer)
            case Pad():
                self._pad(step, layer)
            case Mul():
                self._combine_pair(step, layer, Operation.PRODUCT)

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
            pad=self._zero(name),
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
        outputs=None,
        turned=False,
        waits=(0, 0, 0, 0),
        reads=(),
        margin=(0, 0),
        **fields,
    ):
        """An instruction of the vector unit that writes ``channels`` (first, last).

        outputs : (range, range)
            Rows and columns that are written; all of the step unless given.
        turned : bool
            A single column is to be made as a row.
        """
        output = self.network.tensors[layer.output]
        storage = self.views[layer.output].storage
        rows, columns = outputs or (range(step.first, step.last), range(output.shape[2]))
        channel, count = channels[0], channels[1] - channels[0]
        start = self._row_address(step, layer.output, rows[0], step.first)
        start += columns[0] * storage.pixel + channel
        end = start + (rows[-1] - rows[0]) * storage.row + count
        end += (columns[-1] - columns[0]) * storage.pixel
        offset = code_offset(output)
        scale = {"zero_point": 0, "minimum": -128, "maximum": 127}
        if requantize is not None:
            scale = {
                name: getattr(requantize, name) - offset
                for name in ("zero_point", "minimum", "maximum")
            }
        self.results[len(self.instructions)] = Result(layer.output, rows, columns, channel)
        made = {
            "width": len(columns),
            "height": len(rows),
            "channels": count,
            "to": start & ADDRESS,
            "to_x": columns.step * storage.pixel,
            "to_y": rows.step * storage.row,
            **scale,
            **fields,
        }
        if turned:
            made = {_TURNED.get(name, name): value for name, value in made.items()}
        return self._add(opcode, waits, reads, [(start, end)], margin, **made)

    def _combine(
        self,
        step,
        layer,
        name,
        channels,
        requantize,
        *,
        into=0,
        second=None,
        reach=None,
        pads=(0, 0),
        waits=(0, 0, 0, 0),
        **fields,
    ):
        """Make channels (first, last) from pixels of the tensor ``name``.

        into : distance of the output's channels from those of the tensor. second : tensor that is
        the other operand of each pixel. reach : channel of the first tap, where taps are channels.
        pads : pixels before the tensor's (above, left).
        """
        tensor = self.network.tensors[name]
        storage = self.views[name].storage
        first, last = input_rows(layer, self.network, step.first, step.last)
        y, x = step.first - pads[0], -pads[1]
        base = self._row_address(step, name, y, first) + x * storage.pixel
        base += channels[0] if reach is None else reach
        reads = []
        for operand in (name, second) if second else (name,):
            start = self._row_address(step, operand, first, first)
            reads.append((start, _end(start, storage, tensor, last - first)))
        taps = {"taps_x": 1}
        if second:
            distance = self._row_address(step, second, first, first) - reads[0][0]
            taps = {"taps_x": 2, "tap_x": distance & ADDRESS}
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
                "pixel_x": storage.pixel,
                "pixel_y": storage.row,
                "y": y,
                "x": x,
                "stride_y": 1,
                "stride_x": 1,
                "map_height": tensor.shape[1],
                "map_width": tensor.shape[2],
                **taps,
                **fields,
            },
        )

    def _blocks(self, first, last):
        """(first, last) for each part of some channels that the vector unit takes at once."""
        cols = self.config.cols
        return [(k, min(k + cols, last)) for k in range(first, last, cols)]

    def _pool(self, step, layer):
        """Windows by line memory, in as many passes as it takes."""
        name = layer.inputs[0]
        tensor = self.network.tensors[name]
        size = self.network.tensors[layer.output].shape[1:]
        most = self.config.pool_columns
        for rows, columns, which in self._equal_counts(layer, tensor, size, step):
            if layer.kind == "max":
                scale = {"operation": Operation.MAX, "multiplier": 1}
            else:
                scale = {
                    "operation": Operation.SUM,
                    "offset_0": self._zero(name),
                    "multiplier": int(layer.requantize.multiplier[which]),
                    "shift": int(layer.requantize.shift[which]),
                }
            for along in passes(layer, 1, columns, most):
                # The line memory needs two columns at least, a column is made as a row.
                turned = along.pixels == 1
                for down in passes(layer, 0, rows, most if turned else size[0]):
                    for block in self._blocks(*step.channels):
                        self._windows(step, layer, block, down, along, turned, scale)

    def _windows(self, step, layer, channels, down, along, turned, scale):
        """Make channels (first, last) of some outputs of a pool."""
        name = layer.inputs[0]
        tensor = self.network.tensors[name]
        storage = self.views[name].storage
        first, last = input_rows(layer, self.network, step.first, step.last)
        start = self._row_address(step, name, first, first)
        base = self._row_address(step, name, down.start, first) + along.start * storage.pixel
        self._write_result(
            step,
            layer,
            Opcode.POOL,
            channels,
            layer.requantize,
            outputs=(down.outputs, along.outputs),
            turned=turned,
            reads=[(start, _end(start, storage, tensor, last - first))],
            # A read takes a code from each bank, from the first one's address on.
            margin=(0, self.config.banks),
            uniform=1,
            base=(base + channels[0]) & ADDRESS,
            pixel_x=along.pace * storage.pixel,
            pixel_y=down.pace * storage.row,
            y=down.start,
            x=along.start,
            stride_y=down.pace,
            stride_x=along.pace,
            map_height=tensor.shape[1],
            map_width=tensor.shape[2],
            rows=down.pixels,
            columns=along.pixels,
            kernel_y=down.kernel,
            kernel_x=along.kernel,
            window_y=down.window,
            window_x=along.window,
            ahead_y=down.ahead,
            ahead_x=along.ahead,
            **scale,
        )

    def _equal_counts(self, layer, tensor, size, step):
        """Rectangles of the output whose windows count equally many taps."""
        if layer.kind != "average" or len(layer.counts) == 1:
            return [((step.first, step.last), (0, size[1]), 0)]
        counts = layer.window_counts(tensor, size)[step.first : step.last]
        result = []
        for top, bottom in _runs(counts):
            for left, right in _runs(counts[top:bottom].T):
                which = layer.counts.index(int(counts[top, left]))
                rows = (step.first + top, step.first + bottom)
                result.append((rows, (left, right), which))
        return result

    def _combine_pair(self, step, layer, operation, factors=(0, 0)):
        """A value of each pixel's two operands."""
        for block in self._blocks(*step.channels):
            self._combine(
                step, layer, layer.inputs[0], block, layer.requantize,
                second=layer.inputs[1], operation=operation,
                offset_0=self._zero(layer.inputs[0]), offset_1=self._zero(layer.inputs[1]),
                factor_0=int(factors[0]), factor_1=int(factors[1]),
                multiplier=int(layer.requantize.multiplier[0]),
                shift=int(layer.requantize.shift[0]),
            )  # fmt: skip

    def _copy(self, step, layer, name, channels, **options):
        """A sum of one tap."""
        for block in self._blocks(*channels):
            self._combine(
                step, layer, name, block, None,
                operation=Operation.SUM, factor_0=1, multiplier=1, **options,
            )  # fmt: skip

    def _pad(self, step, layer):
        """A sum of one tap, which is nothing outside the map."""
        name = layer.inputs[0]
        zero = self._zero(name)
        for block in self._blocks(*step.channels):
            self._combine(
                step, layer, name, block, None, pads=layer.pads[:2], operation=Operation.SUM,
                offset_0=zero, factor_0=1, multiplier=1, zero_point=zero,
            )  # fmt: skip

    def _zero(self, name):
        """The zero point of a tensor's codes on chip."""
        tensor = self.network.tensors[name]
        return tensor.zero_point - code_offset(tensor)

    def _concat(self, step, layer):
        """Bring inputs of a concatenation that are in the step and elsewhere to their places."""
        channel = 0
        for k, name in enumerate(layer.inputs):
            channels = self.network.tensors[name].shape[0]
            here = step.channels[0] <= channel < step.channels[1]
            if here and (layer.name, k) in self.plan.layout.copies:
                self._copy(step, layer, name, (0, channels), into=channel)
            channel += channels

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
        waits = self._use_table(0, address, CODES)
        self._copy(step, layer, layer.inputs[0], step.channels, lookup=1, waits=waits)

    def _normalize(self, step, layer, address):
        size = FACTOR_BYTES * factors(self.config.factor_precision)
        waits = self._use_table(1, address, size)
        tensor = self.network.tensors[layer.inputs[0]]
        for block in self._blocks(*step.channels):
            first = block[0] - (layer.size - 1) // 2
            self._combine(
                step, layer, layer.inputs[0], block, layer.requantize,
                operation=Operation.NORMALIZE, taps_x=layer.size, tap_x=1, reach=first,
                x=first, stride_x=0, dilation_x=1, map_width=tensor.shape[0],
                offset_0=self._zero(layer.inputs[0]),
                shift=int(layer.requantize.shift[0]), waits=waits,
            )  # fmt: skip

    def _shuffle(self, step, layer):
        """Copy runs of channels that stay together."""
        first, last = step.channels
        order = layer.order[first:last]
        starts = [k for k in range(len(order)) if k == 0 or order[k] != order[k - 1] + 1]
        for start, end in pairwise([*starts, len(order)]):
            source = order[start]
            channels = (source, source + end - start)
            self._copy(step, layer, layer.inputs[0], channels, into=first + start - source)


def _end(start, storage, tensor, rows):
    """Address after the last code of so many rows of a tensor."""
    channels, _, width = tensor.shape
    return start + (rows - 1) * storage.row + (width - 1) * storage.pixel + channels


def _runs(rows):
    """(first, last) of each run of equal rows."""
    changes = [
        0,
        *(k + 1 for k in range(len(rows) - 1) if (rows[k] != rows[k + 1]).any()),
        len(rows),
    ]
    return list(pairwise(changes))
