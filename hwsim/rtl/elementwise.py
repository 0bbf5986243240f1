"""Units that work on each code on its own: table, add, multiply."""

from dataclasses import replace

import numpy as np
from amaranth.hdl import Module, Mux, Shape, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.memory import Memory

from hwsim.blocks.widths import check_accumulator

from .queue import CreditQueue
from .scale import scale
from .unit import Unit, advance, beat_layout, delay, register

__all__ = ["Add", "Mul", "Table"]


class Table(Unit):
    """Each code replaced by what a table holds for it.

    Parameters
    ----------
    config : TableConfig
    table : ndarray of int, (2**bits,)
        ``table[k]`` is for the code ``k + config.frame.minimum``.
    queue : QueueConfig, optional

    Members
    -------
    i, o : stream
    """

    def __init__(self, config, table, queue=None):
        table = np.asarray(table)
        size = 1 << config.frame.bits
        if table.shape != (size,):
            raise ValueError(f"table must have the shape ({size},), not {table.shape}")
        low, high = config.output.minimum, config.output.maximum
        if table.min() < low or table.max() > high:
            raise ValueError(
                f"table must hold codes in [{low}, {high}], not [{table.min()}, {table.max()}]"
            )
        self._table = table.astype(np.int64)
        super().__init__(config, queue)

    def elaborate(self, platform):
        m = Module()
        frame, output = self.config.frame, self.config.output
        m.submodules.queue = queue = CreditQueue(beat_layout(output), self.queue)
        wiring.connect(m, wiring.flipped(self.o), queue.o)
        # A code's bits are its address: negative codes lie in the upper half.
        contents = np.roll(self._table, frame.minimum).tolist()
        m.submodules.table = table = Memory(
            shape=Shape(output.bits, output.signed), depth=1 << frame.bits, init=contents
        )
        m.d.comb += [
            self.i.ready.eq(queue.room),
            queue.issue.eq(self.i.valid & queue.room),
            queue.i_valid.eq(delay(m, queue.issue, self.config.latency, "issue")),
        ]
        for lane in range(frame.lanes):
            read = table.read_port()
            m.d.comb += [read.addr.eq(self.i.payload[lane]), queue.i_payload[lane].eq(read.data)]
        return m


def _check_single(requantize):
    if requantize.multiplier.size != 1:
        raise ValueError(f"requantize must have one multiplier, not {requantize.multiplier.size}")


class Add(Unit):
    """Weighted sum of two streams, requantized.

    ::

        i0 ──> register ──> x multiplier ──┐
                                           + ──> requantize ──> queue ──> o
        i1 ──> register ──> x multiplier ──┘

    Parameters
    ----------
    config : AddConfig
    multipliers : (int, int)
        Factors of the two inputs.
    requantize : hwsim.network.fixed_point.Requantize
        Of the sum; a single multiplier.
    zero_points : (int, int)
        Subtracted from the codes of the two inputs.
    queue : QueueConfig, optional

    Members
    -------
    i0, i1, o : stream
    """

    def __init__(self, config, multipliers, requantize, zero_points=(0, 0), queue=None):
        config.requantize.check(requantize)
        _check_single(requantize)
        self._multipliers = tuple(int(k) for k in multipliers)
        self._requantize = requantize
        self._zero_points = tuple(int(k) for k in zero_points)
        ranges = [
            sorted((code - zero) * factor for code in (frame.minimum, frame.maximum))
            for frame, zero, factor in zip(
                config.frames, self._zero_points, self._multipliers, strict=True
            )
        ]
        check_accumulator(config.requantize, *(sum(ends) for ends in zip(*ranges, strict=True)))
        super().__init__(config, queue)

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.queue = queue = CreditQueue(beat_layout(config.output), self.queue)
        wiring.connect(m, wiring.flipped(self.o), queue.o)
        m.d.comb += [
            self.i0.ready.eq(self.i1.valid & queue.room),
            self.i1.ready.eq(self.i0.valid & queue.room),
            queue.issue.eq(self.i0.valid & self.i1.valid & queue.room),
            queue.i_valid.eq(delay(m, queue.issue, config.latency, "issue")),
        ]
        requantize, factors = config.requantize, self._multipliers
        if requantize.shifts[0] == requantize.shifts[1]:
            # Zeros that trail both factors need not be multiplied only to be shifted out.
            zeros = min(_trailing_zeros(factors[0] | factors[1]), requantize.shifts[1])
            factors = tuple(factor >> zeros for factor in factors)
            requantize = replace(
                requantize,
                accumulator_bits=requantize.accumulator_bits - zeros,
                shifts=(requantize.shifts[0] - zeros, requantize.shifts[1] - zeros),
            )
        # Both zero points are subtracted at once, where the factor is odd: no bit becomes constant.
        offset = -sum(
            factor * zero for factor, zero in zip(factors, self._zero_points, strict=True)
        )
        offsets = (offset, 0) if factors[0] % 2 else (0, offset)
        sums = []
        for lane in range(config.output.lanes):
            terms = []
            for (port, frame), factor, offset in zip(
                config.inputs.items(), factors, offsets, strict=True
            ):
                zeros = 0 if offset else _trailing_zeros(factor)
                ends = sorted(
                    code * (factor >> zeros) + offset for code in (frame.minimum, frame.maximum)
                )
                shape = Shape.cast(range(ends[0], ends[1] + 1))
                operand = register(m, getattr(self, port).payload[lane], f"{port}_{lane}")
                product = register(m, operand * (factor >> zeros), f"{port}_product_{lane}")
                term = register(m, product + offset, f"{port}_term_{lane}", shape)
                terms.append(term << zeros)
            sums.append(
                register(m, terms[0] + terms[1], f"sum_{lane}", signed(requantize.accumulator_bits))
            )
        m.d.comb += queue.i_payload.eq(scale(m, requantize, sums, self._requantize))
        return m


def _trailing_zeros(value):
    return max((value & -value).bit_length() - 1, 0)


class Mul(Unit):
    """Product of two streams, or of a stream and a vector for all its pixels, requantized.

    ::

        i0 ──> - zero point ──┐
                              x ──> requantize ──> queue ──> o
        i1 ──> - zero point ──┘

    Parameters
    ----------
    config : MulConfig
    requantize : hwsim.network.fixed_point.Requantize
        Of the product; a single multiplier.
    zero_points : (int, int)
        Subtracted from the codes of the two inputs.
    queue : QueueConfig, optional

    Members
    -------
    i0, i1, o : stream
    """

    def __init__(self, config, requantize, zero_points=(0, 0), queue=None):
        config.requantize.check(requantize)
        _check_single(requantize)
        self._requantize = requantize
        self._zero_points = tuple(int(k) for k in zero_points)
        first, second = (
            [code - zero for code in (frame.minimum, frame.maximum)]
            for frame, zero in zip(config.frames, self._zero_points, strict=True)
        )
        products = [a * b for a in first for b in second]
        check_accumulator(config.requantize, min(products), max(products))
        super().__init__(config, queue)

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.queue = queue = CreditQueue(beat_layout(config.output), self.queue)
        wiring.connect(m, wiring.flipped(self.o), queue.o)
        if config.broadcast:
            first_pixel, second = self._keep_vector(m, queue.issue)
        else:
            first_pixel, second = 1, self.i1.payload
        m.d.comb += [
            self.i0.ready.eq((self.i1.valid | ~first_pixel) & queue.room),
            self.i1.ready.eq(self.i0.valid & first_pixel & queue.room),
            queue.issue.eq(self.i0.valid & self.i0.ready),
            queue.i_valid.eq(delay(m, queue.issue, config.latency, "issue")),
        ]
        shape = signed(config.requantize.accumulator_bits)
        products = []
        for lane in range(config.output.lanes):
            left = self._offset(m, self.i0.payload[lane], 0, f"left_{lane}")
            right = self._offset(m, second[lane], 1, f"right_{lane}")
            products.append(register(m, left * right, f"product_{lane}", shape))
        m.d.comb += queue.i_payload.eq(scale(m, config.requantize, products, self._requantize))
        return m

    def _offset(self, m, code, port, name):
        """``code`` less the zero point of the port, a cycle later, in the narrowest shape."""
        frame, zero_point = self.config.frames[port], self._zero_points[port]
        shape = Shape.cast(range(frame.minimum - zero_point, frame.maximum - zero_point + 1))
        return register(m, code - zero_point, name, shape)

    def _keep_vector(self, m, step):
        """Whether the first pixel waits, and the vector's beat for the beat that waits."""
        frame, vector = self.config.frames
        pixels = frame.height * frame.width
        pixel = Signal(range(pixels))
        group = Signal(range(frame.groups))
        first_pixel = Signal()
        m.d.comb += first_pixel.eq(pixel == 0)
        with m.If(step):
            advance(m, group, frame.groups)
            with m.If(group == frame.groups - 1):
                advance(m, pixel, pixels)
        m.submodules.vector = memory = Memory(
            shape=beat_layout(vector), depth=frame.groups, init=[]
        )
        write, read = memory.write_port(), memory.read_port(domain="comb")
        m.d.comb += [
            write.addr.eq(group),
            write.data.eq(self.i1.payload),
            write.en.eq(step & first_pixel),
            read.addr.eq(group),
        ]
        beat = Signal(beat_layout(vector))
        m.d.comb += beat.eq(Mux(first_pixel, self.i1.payload, read.data))
        return first_pixel, beat
