"""The order in which the vector unit reads and writes."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hwsim.blocks.systolic.isa import Opcode

from .instruction import layout

__all__ = ["DESTINATION", "POSITION_BITS", "WINDOW", "Destination", "Window", "hold", "some_fields"]


def some_fields(names, opcode=Opcode.COMBINE):
    """Layout of some fields of an instruction."""
    fields = layout(opcode)
    return data.StructLayout({name: fields[name].shape for name in names.split()})


def hold(m, start, fields, shape):
    """Fields of the cycle of ``start``, those of a layout, from the next one on."""
    held = Signal(shape, name="held")
    with m.If(start):
        m.d.sync += [held[name].eq(fields[name]) for name, _ in shape]
    return held


# A pool has rows and columns of pixels, other instructions have a pixel for each result.
WINDOW = data.StructLayout(
    {
        name: member.shape
        for fields in (
            some_fields("rows columns", Opcode.POOL),
            some_fields(
                "base pixel_x pixel_y taps_x tap_x y x "
                "stride_y stride_x dilation_x map_height map_width"
            ),
        )
        for name, member in fields
    }
)
DESTINATION = some_fields("width height to to_x to_y")
# Of the place of a tap in a map: 8191 pixels, times 63, and 4096.
POSITION_BITS = 20


class Window(wiring.Component):
    """Taps of all pixels: the taps of a pixel innermost, then the pixels of a row, the rows.

    Parameters
    ----------
    row_bits : int
        Of the address of sums.

    Members
    -------
    start : in
        Begins with
    fields : in
        of an instruction, and
    one_tap : in
        whether it has but one tap for each pixel.
    any_column : in
        Steady after ``start``: taps beside the map count as inside.
    valid : out
        Two cycles after ``start`` the first tap is there, then another one each cycle:
    first, last, odd, centre : out
        whether it is the pixel's first or last, an odd one or the middle;
    line_end : out
        whether it is the last of a row of pixels;
    row : out
        the address of the pixel's sums;
    address : out
        the address of the tap's codes;
    inside : out
        whether these lie in the map;
    column : out, signed
        its place.
    """

    def __init__(self, *, row_bits):
        super().__init__(
            {
                "start": In(1),
                "fields": In(WINDOW),
                "one_tap": In(1),
                "any_column": In(1),
                "valid": Out(1),
                "first": Out(1),
                "last": Out(1),
                "line_end": Out(1),
                "odd": Out(1),
                "centre": Out(1),
                "row": Out(row_bits),
                "address": Out(24),
                "inside": Out(1),
                "column": Out(signed(POSITION_BITS)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        held = hold(
            m,
            self.start,
            self.fields,
            some_fields(
                "pixel_x pixel_y tap_x x stride_y stride_x dilation_x map_height map_width"
            ),
        )

        counts = self._count(m)
        place = Signal(signed(POSITION_BITS))  # row in the map
        column = Signal(signed(POSITION_BITS))
        pixel_column = Signal(signed(POSITION_BITS))
        # Of the tap, of the pixel's first, of the row's first.
        address, pixel, line = (Signal(24, name=name) for name in ("tap_address", "pixel", "line"))
        row = Signal.like(self.row, name="sums_row")

        steps = [
            (address, held.tap_x),
            (pixel, held.pixel_x),
            (line, held.pixel_y),
        ]
        along, beside, below = ((base + step)[:24] for base, step in steps)
        with m.If(self.start):
            m.d.sync += [
                *(signal.eq(self.fields.base) for signal in (address, pixel, line)),
                place.eq(self.fields.y),
                *(signal.eq(self.fields.x) for signal in (column, pixel_column)),
                row.eq(0),
            ]
        with m.Elif(~counts["taps_x"]):
            m.d.sync += [address.eq(along), column.eq(column + held.dilation_x)]
        with m.Elif(~counts["columns"]):
            following = pixel_column + held.stride_x
            m.d.sync += [
                *(signal.eq(beside) for signal in (address, pixel)),
                *(signal.eq(following) for signal in (column, pixel_column)),
                row.eq(row + 1),
            ]
        with m.Else():
            m.d.sync += [
                *(signal.eq(below) for signal in (address, pixel, line)),
                place.eq(place + held.stride_y),
                *(signal.eq(held.x) for signal in (column, pixel_column)),
                row.eq(row + 1),
            ]

        in_column = (column >= 0) & (column < held.map_width)
        m.d.sync += [
            self.valid.eq(counts["running"]),
            self.first.eq(counts["first"]),
            self.last.eq(counts["taps_x"]),
            self.line_end.eq(counts["columns"]),
            self.odd.eq(counts["odd"]),
            self.centre.eq(counts["centre"]),
            self.row.eq(row),
            self.address.eq(address),
            self.inside.eq(
                (place >= 0) & (place < held.map_height) & (in_column | self.any_column)
            ),
            self.column.eq(column),
        ]
        return m

    def _count(self, m):
        """Which loops end with a tap (``taps_x`` ... ``rows``), and what the tap is."""
        fields = self.fields
        running = Signal()
        ends = {"running": running}
        previous = running
        for name in ("taps_x", "columns", "rows"):
            length = fields[name]
            if name == "taps_x":
                length = Mux(self.one_tap, 1, length)
            last = Signal(len(length), name=f"{name}_last")
            left = Signal(len(length), name=f"{name}_left")
            end = Signal(name=f"{name}_end")
            m.d.comb += end.eq(left == 0 if name == "taps_x" else previous & (left == 0))
            with m.If(self.start):
                m.d.sync += [last.eq(length - 1), left.eq(length - 1)]
            with m.Elif(previous):
                m.d.sync += left.eq(Mux(left == 0, last, left - 1))
            if name == "taps_x":
                middle = Signal(len(length) - 1, name=f"{name}_half")
                with m.If(self.start):
                    m.d.sync += middle.eq(length[1:])
                ends["centre"] = left == middle
            ends[name] = previous = end
        ends["odd"], ends["first"] = odd, first = Signal(name="is_odd"), Signal(name="is_first")
        with m.If(self.start):
            m.d.sync += [running.eq(1), odd.eq(0), first.eq(1)]
        with m.Else():
            m.d.sync += [odd.eq(~odd & ~ends["taps_x"]), first.eq(ends["taps_x"])]
            with m.If(ends["rows"]):
                m.d.sync += running.eq(0)
        return ends


class Destination(wiring.Component):
    """Where codes of the pixels go, row by row.

    Members
    -------
    start : in
        Begins with
    fields : in
        of an instruction.
    step : in
        A pixel is written.
    address : out
        To here.
    done : out
        With the last ``step``.
    """

    def __init__(self):
        super().__init__(
            {
                "start": In(1),
                "fields": In(DESTINATION),
                "step": In(1),
                "address": Out(24),
                "done": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        held = hold(m, self.start, self.fields, some_fields("width to_x to_y"))
        line = Signal(24)
        columns_left, rows_left = (
            Signal(len(self.fields[name]), name=f"{name}_left") for name in ("width", "height")
        )
        below = (line + held.to_y)[:24]
        m.d.comb += self.done.eq(self.step & (columns_left == 1) & (rows_left == 1))
        with m.If(self.start):
            m.d.sync += [
                *(signal.eq(self.fields.to) for signal in (self.address, line)),
                columns_left.eq(self.fields.width),
                rows_left.eq(self.fields.height),
            ]
        with m.Elif(self.step):
            with m.If(columns_left == 1):
                m.d.sync += [
                    *(signal.eq(below) for signal in (self.address, line)),
                    columns_left.eq(held.width),
                    rows_left.eq(rows_left - 1),
                ]
            with m.Else():
                m.d.sync += [
                    self.address.eq(self.address + held.to_x),
                    columns_left.eq(columns_left - 1),
                ]
        return m
