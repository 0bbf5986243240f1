"""From a plan to instructions."""

from itertools import pairwise

from hwsim.blocks.systolic.isa import ENGINES, Instruction, Opcode, Operation
from hwsim.blocks.systolic.vector import CODES, FACTOR_BYTES, FACTORS
from hwsim.network.integer import LRN, Add, Concat, Conv, Dense, Mul, Pad, Pool, Shuffle, Table

from .constants import Constants
from .program import Program, Region, Result, code_offset
from .schedule import input_rows
from .tiling import round_up
from .waits import Tracker

__all__ = ["Emitter"]

ADDRESS = (1 << 24) - 1
VECTOR = ENGINES.index("vector")
# Window of layers that work on each pixel: kernel, strides, dilations, pads.
PIXEL = ((1, 1), (1, 1), (1, 1), (0, 0))


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
                self._combine_add(step, layer)
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
                self._multiply(step, layer)

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
            **(scale | fields),
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
        zero = self._zero(name)
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
        zeros = [self._zero(name) for name in layer.inputs]
        for block in self._blocks(*step.channels):
            self._combine(
                step, layer, layer.inputs[0], block, PIXEL, layer.requantize,
                second=layer.inputs[1], operation=Operation.SUM,
                offset_0=zeros[0], offset_1=zeros[1],
                factor_0=int(layer.multipliers[0]), factor_1=int(layer.multipliers[1]),
                multiplier=int(layer.requantize.multiplier[0]),
                shift=int(layer.requantize.shift[0]),
            )  # fmt: skip

    def _multiply(self, step, layer):
        zeros = [self._zero(name) for name in layer.inputs]
        for block in self._blocks(*step.channels):
            self._combine(
                step, layer, layer.inputs[0], block, PIXEL, layer.requantize,
                second=layer.inputs[1], operation=Operation.PRODUCT,
                offset_0=zeros[0], offset_1=zeros[1],
                multiplier=int(layer.requantize.multiplier[0]),
                shift=int(layer.requantize.shift[0]),
            )  # fmt: skip

    def _pad(self, step, layer):
        """A sum of one tap, which is nothing outside the map."""
        name = layer.inputs[0]
        zero = self._zero(name)
        window = (1, 1), (1, 1), (1, 1), layer.pads[:2]
        for block in self._blocks(*step.channels):
            self._combine(
                step, layer, name, block, window, None, operation=Operation.SUM,
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
                for block in self._blocks(0, channels):
                    self._combine(
                        step, layer, name, block, PIXEL, None,
                        into=channel, operation=Operation.MAX, multiplier=1,
                    )  # fmt: skip
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
        for block in self._blocks(*step.channels):
            self._combine(
                step, layer, layer.inputs[0], block, PIXEL, None,
                operation=Operation.MAX, multiplier=1, lookup=1, waits=waits,
            )  # fmt: skip

    def _normalize(self, step, layer, address):
        waits = self._use_table(1, address, FACTOR_BYTES * FACTORS)
        tensor = self.network.tensors[layer.inputs[0]]
        for block in self._blocks(*step.channels):
            first = block[0] - (layer.size - 1) // 2
            self._combine(
                step, layer, layer.inputs[0], block, PIXEL, layer.requantize,
                operation=Operation.NORMALIZE, taps_x=layer.size, tap_x=1, reach=first,
                x=first, stride_x=0, map_width=tensor.shape[0],
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
