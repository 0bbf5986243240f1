"""Words from the reader on their way into the lanes of the vector unit: parameters and tables."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hwsim.blocks.systolic.vector import CODES, FACTOR_BYTES, PARAMETER_BYTES, factors
from hwsim.network.fixed_point import MULTIPLIER_BITS

from ..unit import advance, choose, register
from ..unused import discard
from .vector_lane import PARAMETER, entry_of_table

__all__ = ["ParameterQueue", "TableLoader"]


def _parts(value):
    """The bits of `PARAMETER`, out of 8 bytes; and the rest."""
    end = 32 + MULTIPLIER_BITS
    return Cat(value[:end], value[56:62]), Cat(value[end:56], value[62:])


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
        Parameters of ``columns`` columns, or of all if these are fewer.
    store : out
        For each group of so many columns: its lanes are to store them,
    to : out
        in this place.
    columns : int
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
        self.columns = max(1, config.axi_bytes // PARAMETER_BYTES)
        tiles = config.parameter_tiles
        super().__init__(
            {
                "data": In(8 * config.axi_bytes),
                "enable": In(1),
                "o": Out(data.ArrayLayout(PARAMETER, min(self.columns, config.cols))),
                "store": Out(-(-config.cols // self.columns)),
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
        word, complete = self.data, self.enable
        if config.axi_bytes < PARAMETER_BYTES:
            word, complete = _gather(m, word, complete, PARAMETER_BYTES)
        used = []
        rest = [word[8 * PARAMETER_BYTES * len(self.o) :]]
        for column in range(len(self.o)):
            part, unused = _parts(word.word_select(column, 8 * PARAMETER_BYTES))
            used.append(part)
            rest.append(unused)
        discard(m, *rest)
        m.d.comb += self.o.eq(register(m, Cat(used), "parameters"))
        complete = register(m, complete, "complete")
        groups = max(1, config.row_bytes // self.columns)
        group = Signal(range(groups))
        ends = Signal()
        m.d.comb += [
            ends.eq(complete & (group == groups - 1)),
            self.store.eq(Cat(complete & (group == k) for k in range(len(self.store)))),
        ]
        with m.If(complete):
            advance(m, group, groups)
        count = Signal(range(tiles + 1))
        with m.If(ends):
            advance(m, self.to, tiles)
        with m.If(self.take):
            advance(m, self.place, tiles)
        m.d.sync += [count.eq(count + ends - self.take), self.freed.eq(self.take)]
        m.d.comb += self.present.eq(count != 0)
        return m


class TableLoader(wiring.Component):
    """Takes a table from the reader at its speed, and gives it to all lanes, an entry a cycle.

    Parameters
    ----------
    config : Systolic

    Members
    -------
    data, enable, first, number : in
        A word from the reader; whether it is the first, and of which table.
    busy : out
        Not all entries are with the lanes.
    entry : out, `entry_of_table`
    """

    def __init__(self, config):
        self._config = config
        super().__init__(
            {
                "data": In(8 * config.axi_bytes),
                "enable": In(1),
                "first": In(1),
                "number": In(1),
                "busy": Out(1),
                "entry": Out(entry_of_table(config.factor_precision)),
            }
        )

    @property
    def config(self):
        return self._config

    def elaborate(self, platform):
        m = Module()
        word, complete, starts = self.data, self.enable, self.enable & self.first
        number = Signal()
        with m.If(starts):
            m.d.sync += number.eq(self.number)
        if self.config.axi_bytes < FACTOR_BYTES:
            word, complete = _gather(m, word, complete, FACTOR_BYTES)
            starts = register(m, starts, "starts")
        width = len(word) // 8
        entries = factors(self.config.factor_precision)
        words = entries * FACTOR_BYTES // width
        m.submodules.words = memory = Memory(shape=len(word), depth=words, init=[])
        write, read = memory.write_port(), memory.read_port()
        written = Signal(range(words + 1))
        m.d.comb += [
            write.addr.eq(Mux(starts, 0, written)),
            write.data.eq(word),
            write.en.eq(complete),
        ]
        with m.If(starts):
            m.d.sync += written.eq(complete)
        with m.Elif(complete):
            m.d.sync += written.eq(written + 1)

        busy = Signal()
        step = Signal()
        place = Signal(range(entries))
        # Which word, and which entry of that.
        of_code, of_factor = ((width // size - 1).bit_length() for size in (1, FACTOR_BYTES))
        m.d.comb += [
            read.addr.eq(Mux(number, place[of_factor:], place[of_code:])),
            step.eq(busy & (read.addr < written)),
        ]
        with m.If(starts):
            m.d.sync += [busy.eq(1), place.eq(0)]
        with m.Elif(step):
            m.d.sync += [
                place.eq(place + 1),
                busy.eq(place != Mux(number, entries - 1, CODES - 1)),
            ]
        entry = self.entry
        m.d.sync += [
            entry.address.eq(place),
            entry.store_code.eq(step & ~number),
            entry.store_factor.eq(step & number),
        ]
        m.d.comb += [
            entry.code.eq(
                choose(entry.address[:of_code], [read.data.word_select(k, 8) for k in range(width)])
            ),
            entry.factor.eq(
                choose(
                    entry.address[:of_factor],
                    [
                        read.data.word_select(k, 8 * FACTOR_BYTES)[:MULTIPLIER_BITS]
                        for k in range(width // FACTOR_BYTES)
                    ],
                )
            ),
            self.busy.eq(busy | entry.store_code | entry.store_factor),
        ]
        return m


def _gather(m, value, enable, size):
    """A word of ``size`` bytes, and whether it is complete: a cycle after its last part."""
    parts = 8 * size // len(value)
    word = Signal(8 * size, name="gathered")
    part = Signal(range(parts))
    complete = Signal(name="is_gathered")
    m.d.sync += complete.eq(enable & (part == parts - 1))
    with m.If(enable):
        m.d.sync += [word.eq(Cat(word, value)[len(value) :]), part.eq(part + 1)]
    return word, complete
