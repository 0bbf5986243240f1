"""Accumulators below the array: two halves, one that sums while the other is read."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hwsim.blocks.systolic.matrix import ACCUMULATE_LATENCY

from .group import Group, abreast

__all__ = ["Accumulators"]

BITS = 32


class Column(wiring.Component):
    """Sums of one column.

    Parameters
    ----------
    rows, bits : int

    Members
    -------
    early, early_half, early_en : in
        The row that is added to, of a sum whose products come in the next cycle;
    first : in
        in that cycle: these are its first ones.
    write, write_half, write_en : in
        The same as `early`, two cycles later.
    read, read_half : in
        The row that is read.
    y, sum : in, out
        As of `Accumulators`.
    """

    def __init__(self, *, rows, bits):
        self._rows = rows
        super().__init__(self.ports(rows=rows, bits=bits))

    @staticmethod
    def ports(*, rows, bits):
        """Members of the signature."""
        return {
            "early": In(range(rows)),
            "early_half": In(1),
            "early_en": In(1),
            "first": In(1),
            "write": In(range(rows)),
            "write_half": In(1),
            "write_en": In(1),
            "read": In(range(rows)),
            "read_half": In(1),
            "y": In(signed(bits)),
            "sum": Out(signed(BITS)),
        }

    def elaborate(self, platform):
        m = Module()
        before = []
        total = Signal(signed(BITS))
        for half in range(2):
            m.submodules[f"half_{half}"] = memory = Memory(
                shape=signed(BITS), depth=self._rows, init=[]
            )
            read, write = memory.read_port(), memory.write_port()
            adds = self.early_en & (self.early_half == half)
            m.d.comb += [
                read.addr.eq(Mux(adds, self.early, self.read)),
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


class ColumnGroup(Group):
    """Columns side by side."""

    BLOCK = Column
    OWN = ("y",)


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
        columns = abreast(
            m, ColumnGroup, self.config.cols, rows=self.config.accumulator_rows, bits=self._bits
        )
        m.d.comb += [
            columns.first.eq(first),
            columns.early.eq(self.row),
            columns.early_half.eq(self.half),
            columns.early_en.eq(self.valid),
            columns.write.eq(row),
            columns.write_half.eq(half),
            columns.write_en.eq(written),
            columns.read.eq(self.read_row),
            columns.read_half.eq(self.read_half),
            columns.y.eq(self.y),
            self.sums.eq(columns.sum),
        ]
        return m
