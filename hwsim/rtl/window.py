"""Sliding window over a raster stream."""

from itertools import pairwise

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value

from .delay import Delay
from .unit import Unit, delay, register

__all__ = ["Window"]

# A gap between taps of up to this many steps is made of registers: a memory's address counter would
# cost as much.
REGISTER_STEPS = 4


class Window(Unit):
    """For each output position, the kernel's taps side by side.

    One window per cycle where strides allow.

    ::

        i ──●── delay ──●── delay ── ... ──●     one line, tapped where the kernel's taps lie
            │           │                  │
            └─── taps outside the map read the padding ───> window register ──> o

    Parameters
    ----------
    config : WindowConfig
        Says which step takes a beat and which one issues a window.
    tap : int, optional
        The only tap that is needed; all others are 0.
    late : int
        Cycles that a window follows its handshake. With 1 the delay lines are enabled by registers,
        and no path leads from ``o.ready`` to them; with 2 there is one more in between.

    Members
    -------
    i : stream
        ``config.frame``.
    o : stream
        ``config.output``: kernel rows outermost, then kernel columns, then lanes.

    A window waits at ``o`` from the cycle after its step on. The window register is the only output
    storage: it is reloaded in the cycle in which it is emptied.
    """

    def __init__(self, config, tap=None, late=0):
        self._tap = tap
        self._late = late
        super().__init__(config)

    def elaborate(self, platform):
        m = Module()
        config = self.config
        step = Signal()  # the delay lines move
        own = Signal()  # the step belongs to the frame that is coming in,
        start = Signal()  # is its first,
        takes = Signal()  # and takes a beat
        drain = Signal()  # the step only moves the last windows of the frame before
        leaves = Signal()  # the step issues a window
        clear = Signal()  # if the step issues a window, there is room for it

        # Where the frame and its windows stand is known a step ahead, so that what follows from it
        # comes from registers.
        coming = _Scan(m, own, "in", (config.rows, config.columns, config.frame.groups))
        arrives = _Flags(m, own)
        m.d.comb += [
            start.eq(arrives.flag("in_start", coming.at(0), True)),
            takes.eq(arrives.flag("in_map", _inside_map(config, coming), config.lead == (0, 0))),
            clear.eq(~leaves | ~self.o.valid | self.o.ready),
            step.eq(clear & (self.i.valid | drain | ~(takes | start))),
            own.eq(step & ~drain),
            self.i.ready.eq(clear & takes),
        ]

        # The output position runs over the same grid, `first` steps behind, and rests between
        # frames.
        active = Signal(init=config.first == 0)
        launch = Signal()  # the next step issues the first window of the frame
        final = Signal()  # this one issues the last
        sizes = (config.span[0] + 1, config.columns, config.frame.groups)
        going = _Scan(m, step, "out", sizes, config.strides, launch)
        strides_per_row = (config.columns - 1) // config.strides[1] + 1
        in_row = (
            going.column.index < config.shape[1] if strides_per_row > config.shape[1] else Const(1)
        )
        before = (config.first - 1) % config.steps
        departs = _Flags(m, step, launch)
        m.d.comb += [
            launch.eq(own & arrives.flag("in_launch", coming.at(before), before == 0)),
            final.eq(
                departs.flag(
                    "out_final", going.at(config.last - config.first), config.last == config.first
                )
            ),
            leaves.eq(
                active
                & departs.flag(
                    "out_leaves", _all(going.row.on_stride, going.column.on_stride, in_row), True
                )
            ),
        ]
        if config.tail:
            m.d.comb += drain.eq(start & active & ~self.i.valid)
        with m.If(launch):
            m.d.sync += active.eq(1)
        with m.Elif(step & final):
            m.d.sync += active.eq(0)

        load = Signal()  # a window goes to the register
        m.d.comb += load.eq(step & leaves)
        taps, outside = self._taps(m, step, going, departs)
        m.d.comb += Value.cast(self.o.payload).eq(Cat(self._register(m, load, taps, outside)))
        with m.If(load):
            m.d.sync += self.o.valid.eq(1)
        with m.Elif(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        return m

    def _register(self, m, load, taps, outside):
        """The window register, tap by tap."""
        pad = self._pad()
        early = delay(m, load, max(self._late - 1, 0), "load")
        load = delay(m, early, min(self._late, 1), "load_last")
        for k, (tap, flags) in enumerate(zip(taps, outside, strict=True)):
            if self._tap not in (None, k):
                yield Const(0, len(tap))
                continue
            name = "tap_{}_{}".format(*divmod(k, self.config.kernel[1]))
            # A tap that is always padding: a register all the same, so that the port has all its
            # bits.
            init = tap.value if isinstance(tap, Const) else 0
            register = Signal(len(tap), name=name, init=init, reset_less=True)
            with m.If(load):
                m.d.sync += register.eq(tap)
            if flags:
                pads = delay(m, early & Cat(flags).any(), min(self._late, 1), f"{name}_pads")
                with m.If(pads):
                    m.d.sync += register.eq(pad)
            yield register

    def _pad(self):
        """A beat of padding."""
        config = self.config
        code = Const(config.pad_value & ((1 << config.frame.bits) - 1), config.frame.bits)
        return Const(
            Const.cast(Cat([code] * config.frame.lanes)).value, len(code) * config.frame.lanes
        )

    def _taps(self, m, step, going, departs):
        """All taps: one value for each, and the flags of those that read the padding instead."""
        config = self.config
        (kh, kw), (dh, dw) = config.kernel, config.dilations
        rows, columns = (
            _Axis(
                departs,
                # They tell a step before the last register which taps are not read.
                self._late if config.mode == "edge" else max(self._late - 1, 0),
                name,
                index,
                size,
                stride,
                length,
                [k * dilation - pad for k in range(kernel)],
            )
            for name, index, size, stride, length, kernel, dilation, pad in zip(
                ("row", "column"),
                (going.row.index, going.column.index),
                config.shape,
                config.strides,
                config.frame.shape[1:],
                config.kernel,
                config.dilations,
                config.pads,
                strict=False,
            )
        )
        steps = {
            (a, b): ((kh - 1 - a) * dh * config.columns + (kw - 1 - b) * dw) * config.frame.groups
            for a in range(kh)
            for b in range(kw)
            if not rows.always_outside(a) and not columns.always_outside(b)
        }
        beat = Value.cast(self.i.payload)
        for k in range(self._late):
            beat = register(m, beat, f"beat_{k + 1}")
        line = _tapped_line(m, delay(m, step, self._late, "step"), beat, steps.values())
        taps = [
            [line[steps[a, b]] if (a, b) in steps else self._pad() for b in range(kw)]
            for a in range(kh)
        ]
        if config.mode == "edge":
            taps = _transpose(columns.clamp(_transpose(rows.clamp(taps))))
            outside = [()] * (kh * kw)
        else:
            outside = [
                rows.outside(a) + columns.outside(b) if (a, b) in steps else ()
                for a in range(kh)
                for b in range(kw)
            ]
        return [tap for row in taps for tap in row], outside


def _transpose(table):
    return [list(row) for row in zip(*table, strict=True)]


def _tapped_line(m, step, beat, taps):
    """``beat`` as it was so many steps ago, for each number of steps in ``taps``.

    One line of delays from tap to tap. Short gaps are registers; long gaps of equal length share
    one memory.
    """
    line = {0: beat}
    gaps: dict[int, list[tuple[int, int]]] = {}
    for start, end in pairwise(sorted({0, *taps})):
        if end - start > REGISTER_STEPS:
            line[end] = Signal(len(beat), name=f"line_{end}")
            gaps.setdefault(end - start, []).append((start, end))
            continue
        for k in range(start, end):
            line[k + 1] = Signal(len(beat), name=f"line_{k + 1}", reset_less=True)
            with m.If(step):
                m.d.sync += line[k + 1].eq(line[k])
    for length, pairs in gaps.items():
        m.submodules[f"delay_{length}"] = delay = Delay(len(beat), length, len(pairs))
        m.d.comb += delay.en.eq(step)
        for k, (start, end) in enumerate(pairs):
            m.d.comb += [delay.i[k].eq(line[start]), line[end].eq(delay.o[k])]
    return line


class _Axis:
    """Which taps lie outside the map along one axis.

    ``index`` counts outputs, ``size`` of them; tap ``k`` of output ``index`` reads pixel
    ``index * stride + offsets[k]`` of ``length``. The flags come ``late`` cycles after the step.
    """

    def __init__(self, flags, late, name, index, size, stride, length, offsets):
        self.before = []
        self.after = []
        for k, offset in enumerate(offsets):
            # the smallest index whose pixel is not before the map
            first_inside = -(offset // stride)
            first_after = -((offset - length) // stride)
            self.before.append(
                _outside(
                    flags,
                    late,
                    f"{name}_{k}_before",
                    index < first_inside,
                    first_inside > 0,
                    size <= first_inside,
                )
            )
            self.after.append(
                _outside(
                    flags,
                    late,
                    f"{name}_{k}_after",
                    index >= first_after,
                    first_after < size,
                    first_after <= 0,
                )
            )

    def always_outside(self, k):
        """Whether tap ``k`` is never on the map."""
        return any(isinstance(flags[k], Const) for flags in (self.before, self.after))

    def outside(self, k):
        """The flags that tell when tap ``k`` is not on the map."""
        return [flags[k] for flags in (self.before, self.after) if flags[k] is not None]

    def clamp(self, taps):
        """Replace what lies outside by the nearest pixel inside.

        The pads are smaller than the kernel. ``taps`` is a list over this axis of lists over the
        other.
        """
        taps = list(taps)
        for order, neighbour, flags in (
            (reversed(range(len(taps))), 1, self.before),
            (range(len(taps)), -1, self.after),
        ):
            for k in order:
                if flags[k] is not None:
                    taps[k] = [
                        _mux(flags[k], *pair)
                        for pair in zip(taps[k + neighbour], taps[k], strict=True)
                    ]
        return taps


def _mux(flag, if_high, if_low):
    """``Mux``, or what is left of it if the flag is never (None) or always (Const) high."""
    if flag is None or if_high is if_low:
        return if_low
    return if_high if isinstance(flag, Const) else Mux(flag, if_high, if_low)


def _outside(flags, late, name, value, ever, always):
    """A flag that is ``value``: in the first output a tap lies before the map, or in it.

    A constant if it is ``always`` high, None if it is not ``ever``.
    """
    if not ever or always:
        return Const(1) if ever else None
    return flags.flag(name, value, name.endswith("before"), late)


def _all(*values):
    """Whether all are high; a constant if all are constants."""
    result = Const(1)
    for value in values:
        if not isinstance(value, Const):
            result = value if isinstance(result, Const) else result & value
    return result


class _Flags:
    """Registers with what is so at a position, from a `_Scan` that is a step ahead of it.

    ``step`` goes on to the next position, ``clear`` back to the first.
    """

    def __init__(self, m, step, clear=None):
        self._m = m
        self._step = step
        self._clear = clear

    def flag(self, name, value, first, late=0):
        """``value``, ``late`` cycles after the step; a constant stays one.

        It is ``first`` at the first position.
        """
        if isinstance(value, Const):
            return value
        m = self._m
        flag = Signal(name=name, init=first)
        with m.If(self._step):
            m.d.sync += flag.eq(value)
        if self._clear is not None:
            with m.If(self._clear):
                m.d.sync += flag.eq(first)
        return delay(m, flag, late, name)


def _inside_map(config, position):
    """Whether a position on the grid (without strides) lies on the map."""
    inside = Const(1)
    for counter, lead, size, limit in zip(
        (position.row.index, position.column.index),
        config.lead,
        config.frame.shape[1:],
        (config.rows, config.columns),
        strict=True,
    ):
        if lead:
            inside &= counter >= lead
        if lead + size < limit:
            inside &= counter < lead + size
    return inside


class _Scan:
    """The next position on a grid: rows x columns x groups.

    It starts behind the first one. ``en`` moves it, ``clear`` takes it back to its start.
    """

    def __init__(self, m, en, name, sizes, strides=(1, 1), clear=None):
        self.sizes = sizes
        pixel, group = divmod(1, sizes[2])
        row, column = divmod(pixel, sizes[1])
        self.row = _Counter(f"{name}_row", sizes[0], strides[0], row % sizes[0])
        self.column = _Counter(f"{name}_column", sizes[1], strides[1], column)
        self.group = _Counter(f"{name}_group", sizes[2], 1, group)
        with m.If(en):
            self.group.advance(m)
            with m.If(self.group.at_end):
                self.column.advance(m)
                with m.If(self.column.at_end):
                    self.row.advance(m)
        if clear is not None:
            with m.If(clear):
                for counter in (self.row, self.column, self.group):
                    counter.restart(m)

    def at(self, step):
        """Whether the position is that of a step, counted from the start of the grid."""
        pixel, group = divmod(step, self.sizes[2])
        row, column = divmod(pixel, self.sizes[1])
        return self.row.at(row) & self.column.at(column) & self.group.at(group)


class _Counter:
    """Counts through ``0 ... size - 1`` and round again.

    It starts at ``start``. The count is kept as whole strides (``index``) and what is left
    (``phase``).
    """

    def __init__(self, name, size, stride, start):
        self.last = size - 1
        self.stride = stride
        index, phase = divmod(start, stride)
        self.index = Signal(range(self.last // stride + 1), name=name, init=index)
        self.phase = Signal(range(min(size, stride)), name=f"{name}_phase", init=phase)
        # Whether the count is the last: a register of its own, so that what it carries into is not
        # kept waiting by a comparison.
        self.at_end = Signal(name=f"{name}_ends", init=start == self.last)

    def at(self, value):
        """Whether the count is ``value``."""
        index, phase = divmod(value, self.stride)
        equal = Const(1)
        if len(self.index):
            equal &= self.index == index
        if len(self.phase):
            equal &= self.phase == phase
        return equal

    @property
    def on_stride(self):
        """Whether the count is a whole number of strides."""
        return self.phase == 0 if len(self.phase) else Const(1)

    def advance(self, m):
        if self.last == 0:
            return
        m.d.sync += self.at_end.eq(self.at(self.last - 1))
        with m.If(self.at_end):
            self.clear(m)
        if len(self.phase):
            with m.Elif(self.phase != self.stride - 1):
                m.d.sync += self.phase.eq(self.phase + 1)
        with m.Else():
            m.d.sync += [self.index.eq(self.index + 1), self.phase.eq(0)]

    def clear(self, m):
        m.d.sync += [self.index.eq(0), self.phase.eq(0)]

    def restart(self, m):
        if self.last:
            for signal in (self.index, self.phase, self.at_end):
                m.d.sync += signal.eq(signal.init)
