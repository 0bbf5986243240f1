"""Words from the reader on their way into the lanes of the vector unit: parameters and tables."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..unit import advance
from .vector_lane import CODES, PARAMETER

__all__ = ["ParameterQueue", "TableLoader"]


class ParameterQueue(wiring.Component):
    """Which lane stores which word, where, and how many tiles there are.

    The lanes hold what is in the queue.

    Parameters
    ----------
    config : Systolic

    Members
    -------
    data, enable : in
        A word from the reader.
    o : out
        Parameters for all columns,
    store : out
        for each column: whether it is to store its own,
    to : out
        in this place.
    take : in
        The oldest tile is taken.
    place : out
        Where that is.
    present : out
        There is one.
    freed : out
        It has left its place: a cycle after ``take``.
    """

    def __init__(self, config):
        self._config = config
        tiles = config.parameter_tiles
        super().__init__(
            {
                "data": In(8 * config.axi_bytes),
                "enable": In(1),
                "o": Out(data.ArrayLayout(PARAMETER, config.cols)),
                "store": Out(config.cols),
                "to": Out(range(tiles)),
                "take": In(1),
                "place": Out(range(tiles)),
                "present": Out(1),
                "freed": Out(1),
            }
        )

    @property
    def config(self):
        return self._config

    def elaborate(self, platform):
        m = Module()
        config = self.config
        tiles = config.parameter_tiles
        word, full = self._widen(m)
        columns = len(word) // PARAMETER.size
        groups = max(1, config.row_bytes // columns)
        group = Signal(range(groups))
        ends = Signal()
        m.d.comb += ends.eq(full & (group == groups - 1))
        for column in range(config.cols):
            start = column % columns * PARAMETER.size
            m.d.comb += [
                self.o[column].as_value().eq(word[start : start + PARAMETER.size]),
                self.store[column].eq(full & (group == column // columns)),
            ]
        with m.If(full):
            advance(m, group, groups)
        count = Signal(range(tiles + 1))
        with m.If(ends):
            advance(m, self.to, tiles)
        with m.If(self.take):
            advance(m, self.place, tiles)
        m.d.sync += [count.eq(count + ends - self.take), self.freed.eq(self.take)]
        m.d.comb += self.present.eq(count != 0)
        return m

    def _widen(self, m):
        """A word of at least one column's parameters, and whether it is there: a cycle later."""
        parts = max(1, PARAMETER.size // len(self.data))
        word = Signal(parts * len(self.data))
        full = Signal()
        last = self.enable
        if parts > 1:
            part = Signal(range(parts))
            with m.If(self.enable):
                m.d.sync += part.eq(part + 1)
            last = self.enable & part.all()
        with m.If(self.enable):
            m.d.sync += word.eq(Cat(word, self.data)[len(self.data) :])
        m.d.sync += full.eq(last)
        return word, full


class TableLoader(wiring.Component):
    """Takes a table from the reader at its speed, and gives it to all lanes, an entry a cycle.

    Parameters
    ----------
    config : Systolic

    Members
    -------
    data, enable, first, number : in
        A word from the reader; whether it is the first, of which table.
    busy : out
        Not all entries are with the lanes.
    address, code, store : out
        An entry of table 0.
    """

    def __init__(self, config):
        self._config = config
        super().__init__(
            {
                "data": In(8 * config.axi_bytes),
                "enable": In(1),
                "first": In(1),
                "number": In(2),
                "busy": Out(1),
                "address": Out(range(CODES)),
                "code": Out(8),
                "store": Out(1),
            }
        )

    @property
    def config(self):
        return self._config

    def elaborate(self, platform):
        m = Module()
        width = self.config.axi_bytes
        m.submodules.words = memory = Memory(
            shape=data.ArrayLayout(8, width), depth=CODES // width, init=[]
        )
        write, read = memory.write_port(), memory.read_port()
        written = Signal(range(CODES // width + 1))
        entry = Signal(range(CODES + 1), init=CODES)
        ready = Signal()
        lane = (width - 1).bit_length()
        word = entry[lane:-1]
        m.d.comb += [
            write.addr.eq(Mux(self.first, 0, written)),
            write.data.eq(self.data),
            write.en.eq(self.enable & (self.number == 0)),
            ready.eq(~entry[-1] & (word < written)),
            read.addr.eq(word),
            self.code.eq(read.data[self.address[:lane]]),
            self.busy.eq(~entry[-1] | self.store),
        ]
        with m.If(write.en):
            m.d.sync += written.eq(write.addr + 1)
        with m.If(write.en & self.first):
            m.d.sync += entry.eq(0)
        with m.Elif(ready):
            m.d.sync += entry.eq(entry + 1)
        m.d.sync += [self.address.eq(entry), self.store.eq(ready)]
        return m
