"""What the array's rows get: lanes that know their taps, and the way from the buffer to them."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hwsim.blocks.systolic.isa import Opcode
from hwsim.blocks.systolic.matrix import FEED_LATENCY
from hwsim.rtl.unit import delay
from hwsim.rtl.unused import discard

from .buffer import ADDRESS_BITS, place_layout, rotate
from .group import Group, abreast
from .instruction import layout

__all__ = ["Feed", "Taps"]

PLACE = signed(14)  # of a tap in the map, and its distance from the pixel's first tap


class Taps(wiring.Component):
    """The taps and channels of a convolution, one after the other, with the gaps between them.

    Members
    -------
    start : in
        This step is the first one of an instruction.
    step : in
        Go on to the next one.
    fields : in
        Of the instruction.
    delta : out
        Distance of the code's address from that of the pixel's first tap.
    dy, dx : out
        Distance of the tap from the first one; in a gap and after the last tap, ``dy`` is such that
        it lies outside every map.
    """

    FIELDS = (
        "channels",
        "taps_y",
        "taps_x",
        "gap_y",
        "gap_x",
        "tap_y",
        "tap_x",
        "dilation_y",
        "dilation_x",
    )

    def __init__(self):
        shapes = layout(Opcode.CONVOLVE)
        self._state = data.StructLayout(
            {
                "position": 16,  # channel of the tap, or lane of the gap
                "gap": 1,
                "kx": 10,
                "ky": 16,
                "delta": ADDRESS_BITS,
                "tap": ADDRESS_BITS,  # distance of this tap,
                "line": ADDRESS_BITS,  # and of the first one of its row
                "dy": PLACE,
                "dx": PLACE,
            }
        )
        super().__init__(
            {
                "start": In(1),
                "step": In(1),
                "fields": In(data.StructLayout({name: shapes[name].shape for name in self.FIELDS})),
                "delta": Out(ADDRESS_BITS),
                "dy": Out(PLACE),
                "dx": Out(PLACE),
            }
        )

    def elaborate(self, platform):
        m = Module()
        fields = self.fields
        after, now = Signal(self._state), Signal(self._state)
        m.d.comb += now.eq(Mux(self.start, 0, after))
        outside = now.gap | (now.ky >= fields.taps_y)
        m.d.comb += [
            self.delta.eq(now.delta),
            self.dy.eq(Mux(outside, -(1 << (PLACE.width - 1)), now.dy)),
            self.dx.eq(now.dx),
        ]
        last_tap = now.kx + 1 == fields.taps_x
        gap = Signal(10)
        ends = Signal()  # of the tap and what follows it
        m.d.comb += [
            gap.eq(Mux(last_tap, fields.gap_y, fields.gap_x)),
            ends.eq(
                Mux(
                    now.gap,
                    now.position + 1 == gap,
                    (now.position + 1 == fields.channels) & (gap == 0),
                )
            ),
        ]
        tap = (now.tap + fields.tap_x)[:ADDRESS_BITS]
        line = (now.line + fields.tap_y)[:ADDRESS_BITS]
        with m.If(self.step):
            m.d.sync += [
                after.eq(now),
                after.position.eq(now.position + 1),
                after.delta.eq(now.delta + 1),
            ]
            with m.If(~now.gap & (now.position + 1 == fields.channels)):
                m.d.sync += [after.position.eq(0), after.gap.eq(1)]
            with m.If(ends):
                m.d.sync += [after.position.eq(0), after.gap.eq(0)]
                with m.If(last_tap):
                    m.d.sync += [
                        after.kx.eq(0),
                        after.ky.eq(now.ky + 1),
                        after.delta.eq(line),
                        after.tap.eq(line),
                        after.line.eq(line),
                        after.dy.eq(now.dy + fields.dilation_y),
                        after.dx.eq(0),
                    ]
                with m.Else():
                    m.d.sync += [
                        after.kx.eq(now.kx + 1),
                        after.delta.eq(tap),
                        after.tap.eq(tap),
                        after.dx.eq(now.dx + fields.dilation_x),
                    ]
        return m


class FeedLane(wiring.Component):
    """A row of the array: which code it wants of each pixel, and that code.

    Parameters
    ----------
    config : Systolic

    Members
    -------
    chain_i, chain_o : in, out, see `_tap`
    shift, take : in
        What is in the chain moves on with `shift`, and is in use from the cycle after `take` on.
    address, y, x, map_height, map_width : in
        A pixel, as of `Feed`.
    place : out, see `place_layout`
        Of the code for a pixel, a cycle later.
    code_i : in, signed(8)
        The code, two cycles after that;
    pad : in, signed(8)
        what stands for one outside the map.
    code_o : out, signed(8)
        The one or the other, a cycle later.
    """

    def __init__(self, *, config):
        self._config = config
        super().__init__(self.ports(config=config))

    @staticmethod
    def ports(*, config):
        """Members of the signature."""
        return {
            "shift": In(1),
            "take": In(1),
            "address": In((config.buffer_bytes - 1).bit_length()),
            "y": In(PLACE),
            "x": In(PLACE),
            "map_height": In(12),
            "map_width": In(12),
            "chain_i": In(_tap(config)),
            "chain_o": Out(_tap(config)),
            "place": Out(place_layout(config)),
            "code_i": In(signed(8)),
            "pad": In(signed(8)),
            "code_o": Out(signed(8)),
        }

    def elaborate(self, platform):
        m = Module()
        used = Signal(_tap(self._config))
        with m.If(self.shift):
            m.d.sync += self.chain_o.eq(self.chain_i)
        with m.If(self.take):
            m.d.sync += used.eq(self.chain_o)
        row, column = self.y + used.dy, self.x + used.dx
        inside = Signal()
        m.d.comb += inside.eq(
            (row >= 0) & (row < self.map_height) & (column >= 0) & (column < self.map_width)
        )
        bank_bits = (self._config.banks - 1).bit_length()
        address = self.address + used.delta
        discard(m, address[:bank_bits])
        ages = Signal(2)
        m.d.sync += [
            self.place.word.eq(address[bank_bits:]),
            self.place.wanted.eq(inside),
            ages.eq(Cat(self.place.wanted, ages)),
            self.code_o.eq(Mux(ages[-1], self.code_i, self.pad)),
        ]
        return m


class FeedLaneGroup(Group):
    """Rows below one another."""

    BLOCK = FeedLane
    OWN = ("chain_i", "code_i")


def _tap(config):
    """What a lane knows of its tap."""
    delta = (config.buffer_bytes - 1).bit_length()
    return data.StructLayout({"delta": delta, "dy": PLACE, "dx": PLACE})


class Feed(wiring.Component):
    """From a pixel's address to the codes of its taps, one for each row of the array.

    ::

        address ──> lanes ──> rotate ──> buffer ──> rotate back, pad ──> codes
                    (+ delta)

    Parameters
    ----------
    config : Systolic

    Members
    -------
    shift, delta, dy, dx : in
        With `shift`, the tap of the next lane (`Taps`): the first of ``config.rows`` is for row 0.
    take : in
        With the first pixel for the taps that were shifted in before.
    valid, address, y, x : in
        A pixel: address and place of its first tap.
    map_height, map_width, pad : in
        Of the instruction that the pixel belongs to.
    codes : out, array of ``rows`` signed(8)
        ``LATENCY`` cycles later.
    places, enable, banks : out, out, in
        To the buffer: place in each bank, whether they are any, and the codes a cycle later.
    """

    LATENCY = FEED_LATENCY

    def __init__(self, config):
        self._config = config
        self._address_bits = (config.buffer_bytes - 1).bit_length()
        super().__init__(
            {
                "shift": In(1),
                "delta": In(self._address_bits),
                "dy": In(PLACE),
                "dx": In(PLACE),
                "take": In(1),
                "valid": In(1),
                "address": In(self._address_bits),
                "y": In(PLACE),
                "x": In(PLACE),
                "map_height": In(12),
                "map_width": In(12),
                "pad": In(signed(8)),
                "codes": Out(data.ArrayLayout(signed(8), config.rows)),
                "places": Out(data.ArrayLayout(place_layout(config), config.banks)),
                "enable": Out(1),
                "banks": In(data.ArrayLayout(signed(8), config.banks)),
            }
        )

    @property
    def config(self):
        return self._config

    def elaborate(self, platform):
        m = Module()
        config = self.config
        rows, banks = config.rows, config.banks
        low = (banks - 1).bit_length()
        lanes = abreast(m, FeedLaneGroup, rows, config=config)
        # The first tap of a fold is for the first lane, and goes there from the last one.
        last = lanes.chain_i[rows - 1]
        m.d.comb += [
            lanes.chain_i.eq(lanes.chain_o.as_value()[len(last.as_value()) :]),
            *(last[name].eq(getattr(self, name)) for name in ("delta", "dy", "dx")),
        ]

        # 1: the pixel.
        m.d.comb += [lanes.shift.eq(self.shift), lanes.take.eq(self.take)]
        for name in ("address", "y", "x", "map_height", "map_width"):
            m.d.comb += getattr(lanes, name).eq(self._later(m, f"{name}_1", getattr(self, name)))
        # 2: addresses of lanes. Lane k's code is in bank (k + first) mod banks.
        valid = delay(m, self.valid, 2, "valid")
        used, first = Signal(low, name="first_used"), Signal(low, name="first_2")
        with m.If(self.take):
            m.d.sync += used.eq(lanes.chain_o[0].delta)
        discard(m, lanes.chain_o[0].as_value()[low:])
        m.d.sync += first.eq(lanes.address + used)
        none = Const(0, (banks - rows) * place_layout(config).size)
        turned = rotate(m, "places", Cat(lanes.place.as_value(), none), first)
        # 3: addresses of banks.
        m.d.sync += self.enable.eq(valid)
        with m.If(valid):
            m.d.sync += self.places.eq(turned)
        # 4: codes of banks.
        first = delay(m, first, 2, "first_late")
        codes = rotate(m, "codes", self.banks.as_value(), (-first)[:low])
        # 5: codes of lanes.
        m.d.comb += [
            lanes.code_i.eq(codes[: 8 * rows]),
            lanes.pad.eq(delay(m, self.pad, 4, "pad")),
            self.codes.eq(lanes.code_o),
        ]
        return m

    @staticmethod
    def _later(m, name, value):
        later = Signal(value.shape(), name=name)
        m.d.sync += later.eq(value)
        return later
