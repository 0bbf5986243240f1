"""The matrix engine: instructions of convolution to sums in the accumulators."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hwsim.blocks.systolic.isa import Opcode
from hwsim.blocks.systolic.matrix import SHORTEST_FOLD, sum_latency
from hwsim.rtl.delay import Delay
from hwsim.rtl.unused import discard

from .accumulators import Accumulators
from .array import WeightStationaryArray
from .buffer import ADDRESS_BITS
from .feed import PLACE, Feed, Taps
from .instruction import INSTRUCTION, layout
from .weights import WeightQueue

__all__ = ["MatrixEngine"]

# What the pixels of a fold need of their instruction.
_PIXELS = (
    "width",
    "half",
    "pad",
    "base",
    "pixel_x",
    "pixel_y",
    "y",
    "x",
    "stride_y",
    "stride_x",
    "map_height",
    "map_width",
)


class MatrixEngine(wiring.Component):
    """Convolves: weights from their queue, codes from the buffer, sums into the accumulators.

    ::

        instruction ──> taps ──> lanes' taps ─┐
             │                                v
             ├──> pixels ──> address ──────> feed ──> array ──> accumulators
             └──> rows of weights ─────────────────────^

    A fold begins with ``rows`` cycles in which the taps go to their lanes, and, a few cycles later,
    the weights into the array; meanwhile the pixels of the fold before are at work. Its pixels
    follow at once. So folds follow each other at ``max(pixels, rows, SHORTEST_FOLD)`` cycles.

    Parameters
    ----------
    config : Systolic

    Members
    -------
    i : stream of instructions
        CONVOLVE, whose waits are over.
    weight_data, weight_enable : in
        A beat for the weight queue.
    weight_freed : out
        Room for a tile has come back.
    feed_places, feed_enable, feed_codes : out, out, in
        See `Buffer`.
    read_row, read_half, sums : in, in, out
        See `Accumulators`.
    done : out
        The sums of an instruction can be read from the next cycle on.
    active : out
        Pixels are at work.
    starved : out
        A fold could begin and its weights are not there.
    """

    def __init__(self, config):
        self._config = config
        self._array = config.array
        self._accumulators = Accumulators(config, self._array.accumulator_bits)
        self._feed = Feed(config)
        ports = self._accumulators.signature.members
        feed = self._feed.signature.members
        super().__init__(
            {
                "i": In(stream.Signature(INSTRUCTION)),
                "weight_data": In(8 * config.axi_bytes),
                "weight_enable": In(1),
                "weight_freed": Out(1),
                "feed_places": feed["places"],
                "feed_enable": feed["enable"],
                "feed_codes": feed["banks"],
                "read_row": ports["read_row"],
                "read_half": ports["read_half"],
                "sums": ports["sums"],
                "done": Out(1),
                "active": Out(1),
                "starved": Out(1),
            }
        )

    @property
    def config(self):
        return self._config

    def elaborate(self, platform):
        m = Module()
        config = self.config
        rows = config.rows
        m.submodules.feed = feed = self._feed
        m.submodules.taps = taps = Taps()
        m.submodules.weights = weights = WeightQueue(config)
        m.submodules.array = array = WeightStationaryArray(self._array)
        m.submodules.accumulators = accumulators = self._accumulators

        # Folds: the instruction at work, and which of its folds is next.
        offered = data.View(layout(Opcode.CONVOLVE), self.i.payload)
        kept = (*Taps.FIELDS, *_PIXELS, "pixels")
        instruction = Signal(
            data.StructLayout({name: offered.shape()[name].shape for name in kept})
        )
        valid, first_fold = Signal(), Signal()
        folds = Signal(16)
        row = Signal(range(rows))
        left = Signal(13)  # cycles that the pixels of the fold before still take
        may, go, last_row, last_fold = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            may.eq(valid & (left <= rows)),
            go.eq((row != 0) | (may & weights.ready)),
            self.starved.eq((row == 0) & may & ~weights.ready),
            last_row.eq(go & (row == rows - 1)),
            last_fold.eq(folds == 1),
            self.i.ready.eq(~valid | (last_row & last_fold)),
        ]
        if rows > 1:
            with m.If(go):
                m.d.sync += row.eq(Mux(last_row, 0, row + 1))
        with m.If(last_row):
            m.d.sync += [folds.eq(folds - 1), first_fold.eq(0)]
        with m.If(self.i.ready):
            m.d.sync += [
                *(instruction[name].eq(offered[name]) for name in kept),
                valid.eq(self.i.valid),
                folds.eq(offered.folds),
                first_fold.eq(1),
            ]
        # An address in the buffer has fewer bits.
        discard(m, taps.delta[len(feed.delta) :])
        m.d.comb += [taps.fields[name].eq(instruction[name]) for name in Taps.FIELDS]
        m.d.comb += [
            taps.start.eq(first_fold & (row == 0)),
            taps.step.eq(go),
            feed.shift.eq(go),
            feed.delta.eq(taps.delta),
            feed.dy.eq(taps.dy),
            feed.dx.eq(taps.dx),
        ]

        # Weights go to the array so that the last one is there a cycle before the first pixel.
        take = self._delayed(m, "take", go, Feed.LATENCY - 2)
        swap = self._delayed(m, "swap", last_row, Feed.LATENCY)
        m.d.comb += [
            weights.data.eq(self.weight_data),
            weights.enable.eq(self.weight_enable),
            weights.take.eq(take),
            self.weight_freed.eq(weights.freed),
            array.w.eq(weights.w),
            array.swap.eq(swap),
        ]

        self._pixels(m, feed, instruction, last_row, last_fold, first_fold, left)
        m.d.comb += [
            self.feed_places.eq(feed.places),
            self.feed_enable.eq(feed.enable),
            feed.banks.eq(self.feed_codes),
            array.a.eq(feed.codes),
            accumulators.y.eq(array.y),
            accumulators.read_row.eq(self.read_row),
            accumulators.read_half.eq(self.read_half),
            self.sums.eq(accumulators.sums),
        ]
        return m

    def _pixels(self, m, feed, instruction, load, last_fold, first_fold, left):
        """Walk over the pixels of a fold; tell the accumulators when their sums come."""
        config, accumulators = self.config, self._accumulators
        now = {name: Signal.like(instruction[name], name=f"pixels_{name}") for name in _PIXELS}
        ends, begins = Signal(), Signal()  # the fold is the last one, the first one
        count = Signal(13)
        index = Signal(range(config.accumulator_rows))
        column = Signal(12)
        address, line = Signal(ADDRESS_BITS), Signal(ADDRESS_BITS)
        y, x = Signal(PLACE), Signal(PLACE)
        take = Signal()
        shortest = max(config.rows, SHORTEST_FOLD)
        m.d.sync += [take.eq(load), left.eq(Mux(left == 0, 0, left - 1))]
        m.d.comb += self.active.eq(count != 0)
        with m.If(self.active):
            m.d.sync += [
                count.eq(count - 1),
                index.eq(index + 1),
                column.eq(column + 1),
                address.eq(address + now["pixel_x"]),
                x.eq(x + now["stride_x"]),
            ]
            with m.If(column == now["width"] - 1):
                following = (line + now["pixel_y"])[:ADDRESS_BITS]
                m.d.sync += [
                    column.eq(0),
                    line.eq(following),
                    address.eq(following),
                    y.eq(y + now["stride_y"]),
                    x.eq(now["x"]),
                ]
        with m.If(load):
            pixels = instruction.pixels
            m.d.sync += [
                *(now[name].eq(instruction[name]) for name in _PIXELS),
                left.eq(Mux(pixels < shortest, shortest, pixels)),
                count.eq(pixels),
                index.eq(0),
                column.eq(0),
                address.eq(instruction.base),
                line.eq(instruction.base),
                y.eq(instruction.y),
                x.eq(instruction.x),
                begins.eq(first_fold),
                ends.eq(last_fold),
            ]
        m.d.comb += [
            feed.take.eq(take),
            feed.valid.eq(self.active),
            feed.address.eq(address),
            feed.y.eq(y),
            feed.x.eq(x),
            feed.map_height.eq(now["map_height"]),
            feed.map_width.eq(now["map_width"]),
            feed.pad.eq(now["pad"]),
        ]

        # The accumulators hear of a sum a cycle before it comes.
        wait = Feed.LATENCY + self._array.latency - 1
        what = Cat(index, now["half"], begins)
        m.submodules.rows = late = Delay(width=len(what), steps=wait)
        finished = Signal()
        m.d.comb += [
            late.en.eq(1),
            late.i[0].eq(what),
            Cat(accumulators.row, accumulators.half, accumulators.first).eq(late.o[0]),
            accumulators.valid.eq(self._delayed(m, "valid", self.active, wait)),
            finished.eq(self.active & (count == 1) & ends),
            self.done.eq(self._delayed(m, "done", finished, sum_latency(config))),
        ]

    @staticmethod
    def _delayed(m, name, value, cycles):
        """A bit some cycles later."""
        ages = Signal(cycles, name=f"{name}_ages")
        m.d.sync += ages.eq(Cat(value, ages))
        return ages[-1]
