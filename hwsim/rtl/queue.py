"""First-in first-out queues, and the credit that lets a free-running pipeline end in one."""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

__all__ = ["CreditQueue", "Queue"]


class Queue(wiring.Component):
    """A synchronous FIFO.

    A beat that enters in cycle ``t`` can leave from cycle ``t + config.latency`` on; one beat can
    enter and one leave in each cycle. Shallow queues keep their beats in distributed RAM (read
    without a clock); deep ones in block RAM behind an output register.

    Parameters
    ----------
    shape : shape-like
        Of the payload.
    config : QueueConfig

    Members
    -------
    i, o : stream of ``shape``
    """

    def __init__(self, shape, config):
        self._config = config
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    @property
    def config(self):
        return self._config

    def elaborate(self, platform):
        m = Module()
        depth = self.config.memory_depth
        i_payload, o_payload = Value.cast(self.i.payload), Value.cast(self.o.payload)
        width = len(i_payload)
        m.submodules.storage = storage = Memory(shape=width, depth=depth, init=[])
        write = storage.write_port()
        write_index = Signal(range(depth))
        read_index = Signal(range(depth))
        level = Signal(range(depth + 1))
        waiting = Signal()  # whether it is not 0
        fetch = Signal()

        m.d.comb += [
            self.i.ready.eq(level != depth),
            write.en.eq(self.i.valid & self.i.ready),
            write.addr.eq(write_index),
            write.data.eq(i_payload),
        ]
        with m.If(write.en):
            m.d.sync += write_index.eq(_next(write_index, depth))
        with m.If(fetch):
            m.d.sync += read_index.eq(_next(read_index, depth))
        m.d.sync += [level.eq(level + write.en - fetch), waiting.eq(write.en | (level != fetch))]

        if self.config.registered:
            read = storage.read_port()
            m.d.comb += [
                read.addr.eq(read_index),
                read.en.eq(fetch),
                fetch.eq(waiting & (~self.o.valid | self.o.ready)),
                o_payload.eq(read.data),
            ]
            with m.If(fetch):
                m.d.sync += self.o.valid.eq(1)
            with m.Elif(self.o.ready):
                m.d.sync += self.o.valid.eq(0)
        else:
            read = storage.read_port(domain="comb")
            m.d.comb += [
                read.addr.eq(read_index),
                self.o.valid.eq(waiting),
                fetch.eq(self.o.valid & self.o.ready),
                o_payload.eq(read.data),
            ]
        return m


class CreditQueue(wiring.Component):
    """A queue at the end of a pipeline that cannot stop.

    The unit issues work only while ``room`` is high and says so with ``issue``; the result arrives
    at ``i`` any fixed number of cycles later and always finds a place. Since nothing in the
    pipeline ever waits, no stall signal fans out to it.

    Members
    -------
    room : out
        A beat may be issued in this cycle.
    issue : in
        A beat is issued in this cycle; only while ``room`` is high.
    i_valid, i_payload : in
        The end of the pipeline: every issued beat, in order.
    o : stream
    """

    def __init__(self, shape, config):
        self._shape = shape
        self._config = config
        super().__init__(
            {
                "room": Out(1),
                "issue": In(1),
                "i_valid": In(1),
                "i_payload": In(shape),
                "o": Out(stream.Signature(shape)),
            }
        )

    @property
    def config(self):
        return self._config

    def elaborate(self, platform):
        m = Module()
        m.submodules.fifo = queue = Queue(self._shape, self.config)
        credit = Signal(range(self.config.depth + 1), init=self.config.depth)
        room = Signal(init=1)  # whether there is any credit
        returned = Signal()
        m.d.comb += [
            returned.eq(self.o.valid & self.o.ready),
            self.room.eq(room),
            queue.i.valid.eq(self.i_valid),
            queue.i.payload.eq(self.i_payload),
        ]
        wiring.connect(m, wiring.flipped(self.o), queue.o)
        m.d.sync += [
            credit.eq(credit + returned - self.issue),
            room.eq(returned | (credit > self.issue)),
        ]
        return m


def _next(index, depth):
    """``(index + 1) % depth`` for any depth."""
    return Mux(index == depth - 1, 0, index + 1)
