"""The vector unit of the systolic accelerator: from sums and codes to codes."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hwsim.blocks.systolic import isa
from hwsim.blocks.systolic.config import ACCUMULATOR_READ_LATENCY, BUFFER_READ_LATENCY
from hwsim.blocks.systolic.isa import HEADER, Opcode, Operation
from hwsim.blocks.systolic.vector import (
    FACTOR_LATENCY,
    POOL_LATENCY,
    SCALE_LATENCY,
    TAP_LATENCY,
)

from ..unit import delay, register
from ..unused import discard
from .group import abreast
from .instruction import INSTRUCTION, layout
from .vector_lane import SCALING, TAP, VectorLaneGroup, place_in_windows
from .vector_parameters import ParameterQueue, TableLoader
from .vector_pool import POOL, PoolWindows
from .vector_window import DESTINATION, WINDOW, Destination, Window, hold, some_fields

__all__ = ["VectorUnit"]

# Fields that are needed throughout an instruction, besides those of parts of the unit.
_HELD = some_fields(
    "half operation lookup zero_point minimum maximum multiplier shift "
    "map_width offset_0 offset_1 factor_0 factor_1"
)
# The fields that `POOL` shares with `COMBINE` lie in the same places.
for _name in isa.FIELDS[Opcode.POOL].keys() & isa.FIELDS[Opcode.COMBINE].keys():
    assert layout(Opcode.POOL)[_name] == layout(Opcode.COMBINE)[_name]


class VectorUnit(wiring.Component):
    """Carries out ``ACTIVATE``, ``COMBINE`` and ``POOL``, one after the other.

    ::

        i ──> window ──> sum_address ──> sums ──────────┐
                     └─> read_address ──> read_data ──> lanes ──> write_data
        parameter ──> parameter queue ───────────────────┘ │
        table ──> table loader ────────────────────────────┘

    A pixel of ``ACTIVATE``, a tap of ``COMBINE`` and a pixel that ``POOL`` reads take a cycle each.
    From the acceptance of an instruction to ``done`` it takes
    `hwsim.blocks.systolic.vector.vector_cycles`; the next one is accepted a cycle later at the
    earliest. An instruction waits at ``i`` while it needs a tile of parameters that is not there,
    and while a table is on its way into the lanes.

    Parameters
    ----------
    config : Systolic

    Members
    -------
    i : in, stream of `INSTRUCTION`
        Those whose waits are over.
    sum_half, sum_address : out
        A row of the accumulators;
    sums : in, ArrayLayout(signed(32), cols)
        what is there, `ACCUMULATOR_READ_LATENCY` cycles later.
    read_address, read_enable : out
        A place in the buffer;
    read_data : in, ArrayLayout(signed(8), cols)
        codes from there on, `BUFFER_READ_LATENCY` cycles later.
    write_address, write_data, write_count : out
        The first ``write_count`` codes are to be written from there on.
    parameter_data, parameter_enable : in
        Words of the parameter queue;
    parameter_freed : out
        there is room for another tile.
    table_data, table_enable, table_first, table_number : in
        Words of the tables.
    done : out
        In the cycle of an instruction's last write.
    """

    def __init__(self, config):
        self._config = config
        word = 8 * config.axi_bytes
        codes = data.ArrayLayout(signed(8), config.cols)
        super().__init__(
            {
                "i": In(stream.Signature(INSTRUCTION)),
                "sum_half": Out(1),
                "sum_address": Out(range(config.accumulator_rows)),
                "sums": In(data.ArrayLayout(signed(32), config.cols)),
                "read_address": Out(24),
                "read_enable": Out(1),
                "read_data": In(codes),
                "write_address": Out(24),
                "write_data": Out(codes),
                "write_count": Out(range(config.cols + 1)),
                "parameter_data": In(word),
                "parameter_enable": In(1),
                "parameter_freed": Out(1),
                "table_data": In(word),
                "table_enable": In(1),
                "table_first": In(1),
                "table_number": In(2),
                "done": Out(1),
            }
        )

    @property
    def config(self):
        return self._config

    def elaborate(self, platform):
        m = Module()
        cols = self.config.cols
        m.submodules.parameter_queue = queue = ParameterQueue(self.config)
        m.submodules.table_loader = loader = TableLoader(self.config)
        m.d.comb += [
            queue.data.eq(self.parameter_data),
            queue.enable.eq(self.parameter_enable),
            self.parameter_freed.eq(queue.freed),
            loader.data.eq(self.table_data),
            loader.enable.eq(self.table_enable & ~self.table_number[1]),
            loader.first.eq(self.table_first),
            loader.number.eq(self.table_number[0]),
        ]

        # An instruction begins when nothing of the one before is under way.
        instruction = data.View(layout(Opcode.COMBINE), self.i.payload)
        of_pool = data.View(layout(Opcode.POOL), self.i.payload)
        ignored = HEADER.keys() - {"opcode"} | {"unused"}
        discard(m, *(instruction[name] for name, _ in instruction.shape() if name in ignored))
        starts_activate = instruction.opcode == Opcode.ACTIVATE
        starts_pool = instruction.opcode == Opcode.POOL
        needs_tile = starts_activate & ~instruction.uniform
        busy = Signal()
        start = Signal()
        m.d.comb += [
            self.i.ready.eq(~busy & ~loader.busy & (queue.present | ~needs_tile)),
            start.eq(self.i.valid & self.i.ready),
            queue.take.eq(start & needs_tile),
        ]
        activate = Signal()
        pool = Signal()
        uniform = Signal()
        count = Signal.like(self.write_count, name="count")
        held = hold(m, start, instruction, _HELD)
        with m.If(start):
            m.d.sync += [
                busy.eq(1),
                activate.eq(starts_activate),
                pool.eq(starts_pool),
                uniform.eq(~needs_tile),
                count.eq(Mux(instruction.channels > cols, cols, instruction.channels)),
            ]
        with m.Elif(self.done):
            m.d.sync += busy.eq(0)

        m.submodules.window = window = Window(row_bits=len(self.sum_address))
        normalize = ~activate & (held.operation == Operation.NORMALIZE)
        m.d.comb += [
            window.start.eq(start),
            *(
                window.fields[name].eq(instruction[name])
                for name, _ in WINDOW
                if name not in ("rows", "columns")
            ),
            window.fields.rows.eq(Mux(starts_pool, of_pool.rows, instruction.height)),
            window.fields.columns.eq(Mux(starts_pool, of_pool.columns, instruction.width)),
            window.one_tap.eq(starts_activate | starts_pool),
            window.any_column.eq(normalize),
            self.sum_half.eq(held.half),
            self.sum_address.eq(window.row),
            self.read_address.eq(window.address),
            self.read_enable.eq(window.valid & window.inside & ~activate),
        ]

        m.submodules.pool_windows = windows = PoolWindows(columns=self.config.pool_columns)
        m.d.comb += [
            windows.start.eq(start),
            windows.fields.eq(_choose(of_pool, POOL)),
            windows.step.eq(window.valid),
            windows.line_end.eq(window.line_end),
        ]

        tap = self._tap(m, window, held)
        inside = self._inside(m, window, held, normalize)
        scaling = Signal(SCALING)
        m.d.comb += [
            scaling.uniform.eq(uniform),
            *(scaling[name].eq(held[name]) for name, _ in SCALING if name != "uniform"),
        ]
        lanes = abreast(
            m,
            VectorLaneGroup,
            cols,
            parameter_tiles=self.config.parameter_tiles,
            pool_columns=self.config.pool_columns,
            factor_precision=self.config.factor_precision,
        )
        parameters = queue.o.as_value().replicate(len(queue.store))
        stores = [store.replicate(queue.columns) for store in queue.store]
        m.d.comb += [
            lanes.active.eq(start | busy | loader.busy | queue.store.any()),
            lanes.activate.eq(activate),
            lanes.pool.eq(pool),
            lanes.windows.eq(self._windows(m, window, windows)),
            lanes.sum.eq(self.sums),
            lanes.code.eq(self.read_data),
            lanes.inside.eq(inside),
            lanes.tap.eq(tap),
            lanes.scaling.eq(scaling),
            lanes.parameter.eq(parameters),
            lanes.parameter_store.eq(Cat(stores)),
            lanes.parameter_to.eq(queue.to),
            lanes.parameter_from.eq(queue.place),
            lanes.parameter_take.eq(queue.take),
            lanes.entry.eq(loader.entry),
            self.write_data.eq(lanes.o),
        ]

        # Pixels on their way.
        ends = windows.along_last.any() & windows.down_last.any()
        complete = window.valid & Mux(pool, ends, window.last)
        of_sums = delay(m, complete & activate, ACCUMULATOR_READ_LATENCY, "sums_complete")
        of_taps = delay(m, complete & ~activate, BUFFER_READ_LATENCY + TAP_LATENCY, "taps_complete")
        late = delay(m, of_taps, FACTOR_LATENCY, "late_complete")
        written = delay(m, of_sums | Mux(normalize | pool, late, of_taps), SCALE_LATENCY, "scaled")
        m.submodules.destination = destination = Destination()
        m.d.comb += [
            destination.start.eq(start),
            destination.fields.eq(_choose(instruction, DESTINATION)),
            destination.step.eq(written),
            self.write_address.eq(destination.address),
            self.write_count.eq(Mux(written, count, 0)),
            self.done.eq(destination.done),
        ]
        return m

    def _tap(self, m, window, held):
        """What the lanes do with the tap whose codes arrive."""
        tap = Signal(TAP)
        odd = delay(m, window.odd, BUFFER_READ_LATENCY, "odd")
        largest = held.operation == Operation.MAX
        second = odd & (held.operation != Operation.NORMALIZE)
        m.d.comb += [
            tap.operation.eq(held.operation),
            tap.odd.eq(odd),
            tap.offset.eq(Mux(largest, 0, Mux(second, held.offset_1, held.offset_0))),
            tap.factor.eq(Mux(odd, held.factor_1, held.factor_0)),
            tap.first.eq(delay(m, window.first, BUFFER_READ_LATENCY + 2, "first")),
            tap.centre.eq(delay(m, window.centre, BUFFER_READ_LATENCY + 2, "centre")),
        ]
        return tap

    def _windows(self, m, window, windows):
        """What the lanes do for the windows of a pool; each part as late as they need it."""
        place = Signal(place_in_windows(self.config.pool_columns))
        now = {
            "along_first": windows.along_first,
            "along_last": windows.along_last[1:],
            "ends": window.valid & windows.along_last.any(),
            "column": windows.column,
            "down_first": windows.down_first,
            "down_last": windows.down_last[1:],
        }
        whole = Cat(now[name] for name, _ in place.shape())
        pixel, row = (place.shape()[name].offset for name in ("along_last", "down_first"))
        operand = delay(m, whole, BUFFER_READ_LATENCY + 1, "operand_windows")
        line = delay(m, operand[pixel:], 1, "line_windows")
        joined = delay(m, line[row - pixel :], 1, "joined_windows")
        m.d.comb += place.eq(Cat(operand[:pixel], line[: row - pixel], joined))
        return place

    def _inside(self, m, window, held, normalize):
        """Which codes lie in the map, when they arrive."""
        lanes = self.config.cols
        # NORMALIZE has the channels in the place of columns: from here to there they exist.
        begin = register(m, Mux(normalize, _within(-window.column, lanes), 0), "begin")
        end = register(
            m, Mux(normalize, _within(held.map_width - window.column, lanes), lanes), "end"
        )
        exist = Signal(lanes)
        m.d.sync += exist.eq(_ones_from(begin, lanes) & ~_ones_from(end, lanes))
        rest = delay(m, exist, BUFFER_READ_LATENCY - 2, "exist")
        inside = delay(m, window.inside, BUFFER_READ_LATENCY, "inside")
        return rest & inside.replicate(lanes)


assert POOL_LATENCY == TAP_LATENCY + FACTOR_LATENCY


def _within(value, largest):
    """``value`` within 0 and ``largest``."""
    held = Mux(value > largest, largest, value)
    return Mux(value < 0, 0, held)[: largest.bit_length()]


def _ones_from(lane, lanes):
    """A bit for each lane: ones from this one on."""
    return (Const((1 << lanes) - 1, lanes) << lane)[:lanes]


def _choose(fields, shape):
    """Those fields that a layout has."""
    return Cat(fields[name] for name, _ in shape)
