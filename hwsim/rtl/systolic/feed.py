"""What the array's rows get: lanes that know their taps, and the way from the buffer to them."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hwsim.rtl.once import Once

from .buffer import ADDRESS_BITS, rotate

__all__ = ["Feed", "Taps"]

PLACE = signed(14)  # of a tap in the map, and its distance from the pixel's first tap


class Taps(wiring.Component):
    """The taps and channels of a convolution, one after the other.

    Members
    -------
    start : in
        The next step is the first one of an instruction.
    step : in
        Go on to the next one.
    channels, tail, taps_x, tap_x, tap_y, dilation_y, dilation_x : in
        Of the instruction.
    delta : out
        Distance of the code's address from that of the pixel's first tap.
    dy, dx : out
        Distance of the tap from the first one.
    """

    def __init__(self):
        super().__init__(
            {
                "start": In(1),
                "step": In(1),
                "channels": In(16),
                "tail": In(10),
                "taps_x": In(10),
                "tap_x": In(ADDRESS_BITS),
                "tap_y": In(ADDRESS_BITS),
                "dilation_y": In(6),
                "dilation_x": In(6),
                "delta": Out(ADDRESS_BITS),
                "dy": Out(PLACE),
                "dx": Out(PLACE),
            }
        )

    def elaborate(self, platform):
        m = Module()
        # State is that of the next step, unless that is the first one.
        channel, tap = Signal(16), Signal(10)
        in_tail = Signal()
        delta, tap_start, row_start = (Signal(ADDRESS_BITS) for _ in range(3))
        dy, dx = Signal(PLACE), Signal(PLACE)
        now = {}
        for name, signal in {
            "channel": channel,
            "tap": tap,
            "in_tail": in_tail,
            "delta": delta,
            "tap_start": tap_start,
            "row_start": row_start,
            "dy": dy,
            "dx": dx,
        }.items():
            now[name] = Signal.like(signal, name=f"now_{name}")
            m.d.comb += now[name].eq(Mux(self.start, 0, signal))
        m.d.comb += [self.delta.eq(now["delta"]), self.dy.eq(now["dy"]), self.dx.eq(now["dx"])]
        next_tap = (now["tap_start"] + self.tap_x)[:ADDRESS_BITS]
        next_row = (now["row_start"] + self.tap_y)[:ADDRESS_BITS]
        row_ends = Signal()
        with m.If(self.step):
            m.d.sync += [
                channel.eq(now["channel"] + 1),
                tap.eq(now["tap"]),
                in_tail.eq(now["in_tail"]),
                delta.eq(now["delta"] + 1),
                tap_start.eq(now["tap_start"]),
                row_start.eq(now["row_start"]),
                dy.eq(now["dy"]),
                dx.eq(now["dx"]),
            ]
            with m.If(now["in_tail"]):
                m.d.comb += row_ends.eq(now["channel"] + 1 == self.tail)
            with m.Elif(now["channel"] + 1 == self.channels):
                m.d.sync += channel.eq(0)
                with m.If(now["tap"] + 1 != self.taps_x):
                    m.d.sync += [
                        tap.eq(now["tap"] + 1),
                        tap_start.eq(next_tap),
                        delta.eq(next_tap),
                        dx.eq(now["dx"] + self.dilation_x),
                    ]
                with m.Elif(self.tail != 0):
                    m.d.sync += in_tail.eq(1)
                with m.Else():
                    m.d.comb += row_ends.eq(1)
            with m.If(row_ends):
                m.d.sync += [
                    channel.eq(0),
                    tap.eq(0),
                    in_tail.eq(0),
                    delta.eq(next_row),
                    tap_start.eq(next_row),
                    row_start.eq(next_row),
                    dy.eq(now["dy"] + self.dilation_y),
                    dx.eq(0),
                ]
        return m


class _Lane(wiring.Component):
    """A row of the array: which code it wants of each pixel.

    What is in the chain moves on with `shift`, and is in use from the cycle after `take` on.
    """

    def __init__(self):
        chain = {"delta": ADDRESS_BITS, "dy": PLACE, "dx": PLACE}
        super().__init__(
            {
                **{f"{name}_i": In(shape) for name, shape in chain.items()},
                **{f"{name}_o": Out(shape) for name, shape in chain.items()},
                "shift": In(1),
                "take": In(1),
                "address": In(ADDRESS_BITS),
                "y": In(PLACE),
                "x": In(PLACE),
                "map_height": In(12),
                "map_width": In(12),
                "code_address": Out(ADDRESS_BITS),
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
            self.code_address.eq(self.address + used["delta"]),
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

    LATENCY = 5

    def __init__(self, config):
        self._config = config
        self._word_bits = (config.sections * config.bank_depth - 1).bit_length()
        super().__init__(
            {
                "shift": In(1),
                "delta": In(ADDRESS_BITS),
                "dy": In(PLACE),
                "dx": In(PLACE),
                "take": In(1),
                "valid": In(1),
                "address": In(ADDRESS_BITS),
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
        lanes = [Once(_Lane) for _ in range(rows)]
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
        # 2: addresses of lanes. Lane k's code is in bank (k + first) mod banks.
        valid, pad = self._later(m, "valid_2", valid), self._later(m, "pad_2", pad)
        first = lanes[0].code_address[:low]
        words = [lane.code_address[low : low + self._word_bits] for lane in lanes]
        words = rotate(m, "words", words + [words[0]] * (banks - rows), first)
        enables = [valid] * rows + [Const(0)] * (banks - rows)
        if rows < banks:
            enables = rotate(m, "enables", enables, first)
        # 3: addresses of banks.
        for k in range(banks):
            m.d.sync += [self.words[k].eq(words[k]), self.enable[k].eq(enables[k])]
        first = self._later(m, "first_3", first)
        inside = self._later(m, "inside_3", Cat(lane.inside for lane in lanes))
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
