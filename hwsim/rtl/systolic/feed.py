"""What the array's rows get: lanes that know their taps, and the way from the buffer to them."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hwsim.blocks.systolic.isa import Opcode
from hwsim.blocks.systolic.matrix import FEED_LATENCY
from hwsim.rtl.once import Once

from .buffer import ADDRESS_BITS, rotate
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


class _Lane(wiring.Component):
    """A row of the array: which code it wants of each pixel.

    What is in the chain moves on with `shift`, and is in use from the cycle after `take` on.
    """

    def __init__(self, *, bank_bits, word_bits):
        chain = {"delta": bank_bits + word_bits, "dy": PLACE, "dx": PLACE}
        super().__init__(
            {
                **{f"{name}_i": In(shape) for name, shape in chain.items()},
                **{f"{name}_o": Out(shape) for name, shape in chain.items()},
                "shift": In(1),
                "take": In(1),
                "address": In(bank_bits + word_bits),
                "y": In(PLACE),
                "x": In(PLACE),
                "map_height": In(12),
                "map_width": In(12),
                "bank": Out(bank_bits),
                "word": Out(word_bits),
                "inside": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        used = {}
        for name in ("delta", "dy", "dx"):
            waiting = getattr(self, f"{name}_o")
            used[name] = Signal.like(waiting, name=f"{name}_used")
            with m.If(self.shift):
                m.d.sync += waiting.eq(getattr(self, f"{name}_i"))
            with m.If(self.take):
                m.d.sync += used[name].eq(waiting)
        row, column = self.y + used["dy"], self.x + used["dx"]
        m.d.sync += [
            Cat(self.bank, self.word).eq(self.address + used["delta"]),
            self.inside.eq(
                (row >= 0) & (row < self.map_height) & (column >= 0) & (column < self.map_width)
            ),
        ]
        return m


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
    words, enable, banks : out, out, in
        To the buffer: address for each bank, and its code a cycle later.
    """

    LATENCY = FEED_LATENCY

    def __init__(self, config):
        self._config = config
        self._word_bits = (config.sections * config.bank_depth - 1).bit_length()
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
                "words": Out(data.ArrayLayout(unsigned(self._word_bits), config.banks)),
                "enable": Out(config.banks),
                "banks": In(data.ArrayLayout(signed(8), config.banks)),
            }
        )

    @property
    def config(self):
        return self._config

    def elaborate(self, platform):
        m = Module()
        rows, banks = self.config.rows, self.config.banks
        low = (banks - 1).bit_length()
        lanes = [Once(_Lane, bank_bits=low, word_bits=self._word_bits) for _ in range(rows)]
        for k, lane in enumerate(lanes):
            m.submodules[f"lane_{k}"] = lane
            for name in ("delta", "dy", "dx"):
                source = getattr(lanes[k + 1], f"{name}_o") if k + 1 < rows else getattr(self, name)
                m.d.comb += getattr(lane, f"{name}_i").eq(source)
            m.d.comb += [lane.shift.eq(self.shift), lane.take.eq(self.take)]

        # 1: the pixel.
        for name in ("address", "y", "x", "map_height", "map_width"):
            value = self._later(m, f"{name}_1", getattr(self, name))
            m.d.comb += [getattr(lane, name).eq(value) for lane in lanes]
        valid, pad = self._later(m, "valid_1", self.valid), self._later(m, "pad_1", self.pad)
        # 2: addresses of lanes. Lane k's code is in bank (k + first) mod banks; a code outside
        # the map is not read, since others may be using what lies there.
        valid, pad = self._later(m, "valid_2", valid), self._later(m, "pad_2", pad)
        first = lanes[0].bank
        inside = Signal(rows)
        m.d.comb += inside.eq(Cat(lane.inside for lane in lanes))
        words = [lane.word for lane in lanes]
        words = rotate(m, "words", words + [words[0]] * (banks - rows), first)
        wanted = [inside[k] & valid if k < rows else Const(0) for k in range(banks)]
        wanted = rotate(m, "wanted", wanted, first)
        # 3: addresses of banks.
        for k in range(banks):
            m.d.sync += [self.words[k].eq(words[k]), self.enable[k].eq(wanted[k])]
        first = self._later(m, "first_3", first)
        inside = self._later(m, "inside_3", inside)
        pad = self._later(m, "pad_3", pad)
        # 4: codes of banks.
        first = self._later(m, "first_4", first)
        inside = self._later(m, "inside_4", inside)
        pad = self._later(m, "pad_4", pad)
        codes = rotate(m, "codes", [self.banks[k] for k in range(banks)], (-first)[:low])
        # 5: codes of lanes.
        for k in range(rows):
            m.d.sync += self.codes[k].eq(Mux(inside[k], codes[k], pad))
        return m

    @staticmethod
    def _later(m, name, value):
        later = Signal(value.shape(), name=name)
        m.d.sync += later.eq(value)
        return later
