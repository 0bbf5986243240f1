"""The queue of weight tiles between memory and array."""

from amaranth.hdl import Cat, Module, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hwsim.rtl.unit import advance, choose
from hwsim.rtl.unused import discard

from .group import Group, abreast

__all__ = ["WeightQueue"]


class WeightLane(wiring.Component):
    """Memory for one byte of each word.

    Parameters
    ----------
    depth : int

    Members
    -------
    write, write_en, i : in
        A byte, which is written in the next cycle, and to which word.
    read : in
    o : out, signed(8)
        That byte, a cycle later.
    """

    def __init__(self, *, depth):
        self._depth = depth
        super().__init__(self.ports(depth=depth))

    @staticmethod
    def ports(*, depth):
        """Members of the signature."""
        bits = (depth - 1).bit_length()
        return {
            "write": In(bits),
            "write_en": In(1),
            "i": In(signed(8)),
            "read": In(bits),
            "o": Out(signed(8)),
        }

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = memory = Memory(shape=signed(8), depth=self._depth, init=[])
        read, write = memory.read_port(), memory.write_port()
        m.d.comb += [read.addr.eq(self.read), self.o.eq(read.data)]
        m.d.sync += [
            write.addr.eq(self.write),
            write.en.eq(self.write_en),
            write.data.eq(self.i),
        ]
        return m


class WeightLaneGroup(Group):
    """Bytes of a word side by side."""

    BLOCK = WeightLane
    OWN = ("write_en", "i")


class WeightQueue(wiring.Component):
    """Tiles of weights as they come from memory, and their rows as the array takes them.

    Parameters
    ----------
    config : Systolic

    Members
    -------
    data, enable : in
        A beat of the memory port.
    ready : out
        A whole tile is there that is not yet being taken.
    take : in
        High for ``config.rows`` cycles, one for each row of a tile.
    w : out, array of ``cols`` signed(8)
        The row, two cycles after `take`.
    freed : out
        With the last row: room for a tile has come back.
    """

    def __init__(self, config):
        self._config = config
        super().__init__(
            {
                "data": In(8 * config.axi_bytes),
                "enable": In(1),
                "ready": Out(1),
                "take": In(1),
                "w": Out(data.ArrayLayout(signed(8), config.cols)),
                "freed": Out(1),
            }
        )

    @property
    def config(self):
        return self._config

    def elaborate(self, platform):
        m = Module()
        config = self.config
        beat, row = config.axi_bytes, config.row_bytes
        width = max(beat, row)  # bytes of a word
        tile_words = config.weight_words * beat // width
        depth = max(config.weight_tiles * tile_words, 2)

        # Beats come: several fill a word, if rows are wider.
        parts = width // beat
        part = Signal(range(parts))
        write = Signal(range(depth))
        beats = Signal(range(config.weight_words))
        tiles = Signal(range(config.weight_tiles + 1))
        complete, taken = Signal(), Signal()
        with m.If(self.enable):
            advance(m, beats, config.weight_words)
            advance(m, part, parts)
            with m.If(part == parts - 1):
                advance(m, write, depth)
        # Words are written a cycle after they come.
        m.d.sync += complete.eq(self.enable & (beats == config.weight_words - 1))

        # Rows go: several are in a word, if beats are wider.
        per_word = width // row
        count = Signal(range(config.rows))
        sub = Signal(range(per_word))
        read = Signal(range(depth))
        last = count == config.rows - 1
        with m.If(self.take):
            advance(m, count, config.rows)
            advance(m, sub, per_word)
            with m.If((sub == per_word - 1) | last):
                advance(m, read, depth)
            with m.If(last):
                m.d.sync += sub.eq(0)
        m.d.comb += [
            taken.eq(self.take & (count == 0)),
            self.freed.eq(self.take & last),
            self.ready.eq(tiles != 0),
        ]
        m.d.sync += tiles.eq(tiles + complete - taken)

        lanes = abreast(m, WeightLaneGroup, width, depth=depth)
        enables = [(self.enable & (part == k)).replicate(beat) for k in range(parts)]
        chosen = Signal(range(per_word))
        rows = [lanes.o.as_value().word_select(k, 8 * row) for k in range(per_word)]
        if row > config.cols:
            discard(m, *(codes[8 * config.cols :] for codes in rows))
        m.d.comb += [
            lanes.write.eq(write),
            lanes.write_en.eq(Cat(enables)),
            lanes.i.eq(self.data.replicate(parts)),
            lanes.read.eq(read),
        ]
        m.d.sync += [
            chosen.eq(sub),
            self.w.eq(choose(chosen, [codes[: 8 * config.cols] for codes in rows])),
        ]
        return m
