"""Accumulators below the array: two halves, one that sums while the other is read."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hwsim.blocks.systolic.matrix import ACCUMULATE_LATENCY
from hwsim.rtl.once import Once

__all__ = ["Accumulators"]

BITS = 32


class _Column(wiring.Component):
    """Sums of one column; ports as those of `Accumulators`."""

    def __init__(self, *, depth, bits):
        self._depth = depth
        address = (depth - 1).bit_length()
        super().__init__(
            {
                "y": In(signed(bits)),
                "first": In(1),
                "early": In(address),
                "early_half": In(1),
                "early_en": In(1),
                "write": In(address),
                "write_half": In(1),
                "write_en": In(1),
                "read": In(address),
                "read_half": In(1),
                "sum": Out(signed(BITS)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        before = []
        total = Signal(signed(BITS))
        for half in range(2):
            m.submodules[f"half_{half}"] = memory = Memory(
                shape=signed(BITS), depth=self._depth, init=[]
            )
            read, write = memory.read_port(), memory.write_port()
            m.d.comb += [
                read.addr.eq(Mux(self.early_en & (self.early_half == half), self.early, self.read)),
                write.addr.eq(self.write),
                write.en.eq(self.write_en & (self.write_half == half)),
                write.data.eq(total),
            ]
            before.append(read.data)
        adding_half, reading_half = Signal(), Signal()
        m.d.sync += [adding_half.eq(self.early_half), reading_half.eq(self.read_half)]
        old = Mux(self.first, 0, Mux(adding_half, before[1], before[0]))
        m.d.sync += total.eq(old + self.y)
        m.d.comb += self.sum.eq(Mux(reading_half, before[1], before[0]))
        return m


class Accumulators(wiring.Component):
    """Sums of products over the folds of a tile, a row for each pixel.

    Parameters
    ----------
    config : Systolic
    bits : int
        Of what the array gives.

    Members
    -------
    valid, row, half, first : in
        Of what `y` will be in the next cycle: whether it is anything, where it is added, whether it
        is the first term of its sum. Rows that follow one another within three cycles differ.
    y : in, array of ``cols`` signed(bits)
    read_row, read_half : in
        Of what is read, when that half is not being added to.
    sums : out, array of ``cols`` signed(32)
        A cycle later.
    """

    # From `valid` to the cycle in which the sum can be read.
    LATENCY = ACCUMULATE_LATENCY

    def __init__(self, config, bits):
        self._config = config
        self._bits = bits
        rows = range(config.accumulator_rows)
        super().__init__(
            {
                "valid": In(1),
                "row": In(rows),
                "half": In(1),
                "first": In(1),
                "y": In(data.ArrayLayout(signed(bits), config.cols)),
                "read_row": In(rows),
                "read_half": In(1),
                "sums": Out(data.ArrayLayout(signed(BITS), config.cols)),
            }
        )

    @property
    def config(self):
        return self._config

    def elaborate(self, platform):
        m = Module()
        first = Signal()
        m.d.sync += first.eq(self.first)
        stages = [(self.valid, self.row, self.half)]
        for age in range(1, 3):
            later = [
                Signal.like(value, name=f"{name}_{age}")
                for name, value in zip(("valid", "row", "half"), stages[-1], strict=True)
            ]
            m.d.sync += [new.eq(old) for new, old in zip(later, stages[-1], strict=True)]
            stages.append(tuple(later))
        written, row, half = stages[2]
        for k in range(self.config.cols):
            column = Once(_Column, depth=self.config.accumulator_rows, bits=self._bits)
            m.submodules[f"column_{k}"] = column
            m.d.comb += [
                column.y.eq(self.y[k]),
                column.first.eq(first),
                column.early.eq(self.row),
                column.early_half.eq(self.half),
                column.early_en.eq(self.valid),
                column.write.eq(row),
                column.write_half.eq(half),
                column.write_en.eq(written),
                column.read.eq(self.read_row),
                column.read_half.eq(self.read_half),
                self.sums[k].eq(column.sum),
            ]
        return m
