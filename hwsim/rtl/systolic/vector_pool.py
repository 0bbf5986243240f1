"""Which windows of a pool a pixel belongs to."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwsim.blocks.systolic.isa import FIELDS, Opcode
from hwsim.blocks.systolic.vector import POOL_WINDOWS

from .vector_window import hold, some_fields

__all__ = ["POOL", "PoolWindows"]

POOL = some_fields("kernel_y kernel_x window_y window_x ahead_y ahead_x", Opcode.POOL)
# Of the place of a pixel in a window, negative before it: as far as `POOL_WINDOWS` of them reach.
_PLACE_BITS = 1 + FIELDS[Opcode.POOL]["window_x"][0] + POOL_WINDOWS.bit_length()


class PoolWindows(wiring.Component):
    """Follows the pixels of a pool, row by row.

    Windows come to their ends in the order in which they begin, one at a time, along a row as well
    as down a column: window ``w`` has slot ``w mod POOL_WINDOWS``, and each slot knows how far the
    pixel lies behind the first one of its window.

    Parameters
    ----------
    columns : int
        Windows in a row, at most.

    Members
    -------
    start : in
        Begins with
    fields : in
        of an instruction. Two cycles later the first pixel is there.
    step : in
        On to the next pixel,
    line_end : in
        which is the first of another row.
    along_first, down_first : out
        For each slot whether nothing is known of its window yet, along this row and down the
        columns.
    along_last, down_last : out
        For each slot whether its window ends with this pixel's column, row.
    column : out
        Number of the window that ends with this column or as the next one.
    """

    def __init__(self, *, columns):
        super().__init__(
            {
                "start": In(1),
                "fields": In(POOL),
                "step": In(1),
                "line_end": In(1),
                "along_first": Out(POOL_WINDOWS),
                "along_last": Out(POOL_WINDOWS),
                "down_first": Out(POOL_WINDOWS),
                "down_last": Out(POOL_WINDOWS),
                "column": Out(range(columns)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        held = hold(m, self.start, self.fields, POOL)
        begin = Signal()
        m.d.sync += begin.eq(self.start)
        below = self.step & self.line_end
        self._follow(m, held, "x", begin | below, self.step, self.along_first, self.along_last)
        self._follow(m, held, "y", begin, below, self.down_first, self.down_last)
        with m.If(begin | below):
            m.d.sync += self.column.eq(0)
        with m.Elif(self.step & self.along_last.any()):
            m.d.sync += self.column.eq(self.column + 1)
        return m

    @staticmethod
    def _follow(m, held, axis, begin, step, first, last):
        """The windows of one axis: ``begin`` before its first pixel, ``step`` from each one on."""
        kernel, window, ahead = (held[f"{name}_{axis}"] for name in ("kernel", "window", "ahead"))
        for slot in range(POOL_WINDOWS):
            place = Signal(signed(_PLACE_BITS), name=f"place_{axis}_{slot}")
            m.d.comb += last[slot].eq(place == kernel - 1)
            with m.If(begin):
                m.d.sync += [place.eq(ahead - sum([window] * slot)), first[slot].eq(1)]
            with m.Elif(step):
                # The next window of the slot begins so many windows further on: a sum, for Yosys
                # would take a DSP for a product.
                following = kernel - sum([window] * POOL_WINDOWS)
                m.d.sync += [
                    place.eq(Mux(last[slot], following, place + 1)),
                    first[slot].eq(last[slot] | (place < 0)),
                ]
