"""Fetches the program of the systolic accelerator and hands its instructions to the engines."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hwsim.blocks.queue import QueueConfig
from hwsim.blocks.systolic.config import PREFETCH_INSTRUCTIONS
from hwsim.blocks.systolic.isa import ENGINES, HEADER, Opcode
from hwsim.rtl.axi import Axi4, Burst, Response
from hwsim.rtl.queue import Queue

from .instruction import INSTRUCTION, header_of, used_bits

__all__ = ["Sequencer", "program_port"]

_COUNT_BITS = HEADER["after_read"][0]


def program_port(config):
    """Signature of the port by which the program comes; `Sequencer` has its ``ar`` and ``r``."""
    return Axi4(data_bits=8 * config.program_bytes, address_bits=config.address_bits)


class Sequencer(wiring.Component):
    """Runs a program: fetches ahead, dispatches in order, lets instructions wait at their engines.

    ::

        ar <── bursts
        r ───> instruction ──> prefetch ──┬─> queue ──(completed?)──> read
                               queue      ├─> queue ──(completed?)──> matrix
                                          ├─> queue ──(completed?)──> vector
                                          └─> queue ──(completed?)──> write

    In cycles, at the earliest:

    - from ``start`` to the first request: 1;
    - from the last beat of an instruction to its dispatch: 1, one instruction per cycle;
    - from its dispatch to its offer to the engine: 1;
    - from the pulse on ``done`` to the offer of an instruction that waits for it, or to
      ``finished``: 1;
    - from an engine's taking an instruction to the offer of the next one: 1.

    Requests are made when there is room for a whole burst, one per cycle; room comes back in the
    cycle after a dispatch. When ``HALT`` is the next instruction to be dispatched, nothing more is
    requested, and what has been fetched beyond it is dropped. It should wait for all that the
    engines have to do. An instruction that memory does not give, or that does not exist, ends the
    program at once, with ``error``.

    Parameters
    ----------
    config : Systolic

    Members
    -------
    start : in
        Begins a program; ignored while one runs.
    address : in, ``config.address_bits``
        Of the first instruction, a multiple of the size of one; must stay until the first request.
    ar, r : channels of `program_port`
    read, matrix, vector, write : out, streams of `INSTRUCTION`
        To the engines.
    done : in, 4 bits
        An engine has completed an instruction; the first engine's bit is the lowest.
    busy : out
        From the cycle after ``start`` to that of ``finished``.
    finished : out
        ``HALT`` has been reached and its waits hold.
    error : out
        The program ends, together with ``finished``, for lack of an instruction.
    waiting : out, 4 bits
        The engine's next instruction waits for others to be completed.
    active : out, 4 bits
        The engine has taken instructions that it has not completed.
    """

    def __init__(self, config):
        self._config = config
        port = program_port(config).members
        super().__init__(
            {
                "start": In(1),
                "address": In(config.address_bits),
                "ar": port["ar"],
                "r": port["r"],
                **{engine: Out(stream.Signature(INSTRUCTION)) for engine in ENGINES},
                "done": In(len(ENGINES)),
                "busy": Out(1),
                "finished": Out(1),
                "error": Out(1),
                "waiting": Out(len(ENGINES)),
                "active": Out(len(ENGINES)),
            }
        )

    @property
    def config(self):
        return self._config

    def elaborate(self, platform):
        m = Module()
        longest = max(used_bits(engine) for engine in range(len(ENGINES)))
        shape = data.StructLayout({"word": unsigned(longest), "failed": 1})
        m.submodules.prefetch = prefetch = Queue(shape, QueueConfig(PREFETCH_INSTRUCTIONS))
        enter = Signal()
        leave = Signal()
        halt = Signal()
        running = Signal()
        pending = Signal()
        header = header_of(prefetch.o.payload.word)
        failed = prefetch.o.payload.failed | (header.opcode > max(Opcode))
        m.d.comb += halt.eq(running & prefetch.o.valid & (failed | (header.opcode == Opcode.HALT)))
        fetching = self._fetch(m, prefetch.i, enter, leave, halt | ~running)

        # A program begins when nothing of the last one is on its way any more.
        wanted = pending | (self.start & ~running)
        m.d.comb += [
            enter.eq(wanted & ~fetching & ~prefetch.o.valid),
            self.busy.eq(running | pending),
        ]
        m.d.sync += pending.eq(wanted & ~enter)
        with m.If(enter):
            m.d.sync += running.eq(1)
        with m.If(self.finished):
            m.d.sync += running.eq(0)

        completed = [Signal(_COUNT_BITS, name=f"{engine}_completed") for engine in ENGINES]
        for count, done in zip(completed, self.done, strict=True):
            m.d.sync += count.eq(Mux(enter, 0, count + done))

        def reached(fields):
            pairs = zip(ENGINES, completed, strict=True)
            return Cat(count >= fields[f"after_{engine}"] for engine, count in pairs).all()

        rooms = Signal(len(ENGINES))
        m.d.comb += [
            leave.eq(running & prefetch.o.valid & ~failed & rooms.any()),
            prefetch.o.ready.eq(leave | ~running),
            self.finished.eq(halt & (failed | reached(header))),
            self.error.eq(halt & failed),
        ]
        for number, engine in enumerate(ENGINES):
            m.submodules[engine] = queue = Queue(
                unsigned(used_bits(number)), QueueConfig(self.config.queue_depth)
            )
            port = getattr(self, engine)
            mine = Cat(
                header.opcode == opcode for opcode in Opcode if opcode.engine == number
            ).any()
            ready = Signal(name=f"{engine}_ready")
            taken = Signal(_COUNT_BITS, name=f"{engine}_taken")
            m.d.comb += [
                rooms[number].eq(mine & queue.i.ready),
                queue.i.valid.eq(leave & mine),
                queue.i.payload.eq(prefetch.o.payload.word),
                ready.eq(reached(header_of(queue.o.payload))),
                port.valid.eq(queue.o.valid & ready),
                port.payload.eq(queue.o.payload),
                queue.o.ready.eq(port.ready & ready),
                self.waiting[number].eq(queue.o.valid & ~ready),
                self.active[number].eq(taken != completed[number]),
            ]
            m.d.sync += taken.eq(Mux(enter, 0, taken + (port.valid & port.ready)))
        return m

    def _fetch(self, m, instructions, enter, leave, stop):
        """Requests, and what comes back; whether any of it is on its way."""
        config = self.config
        width, size = 8 * config.program_bytes, config.instruction_beats
        longest, capacity = config.program_burst_beats, size * PREFETCH_INSTRUCTIONS
        shift = (config.program_bytes - 1).bit_length()
        asking = Signal()
        beat = Signal(config.address_bits - shift)
        beats = Signal(range(longest + 1))
        room = Signal(range(capacity + 1), init=capacity)
        outstanding = Signal(range(capacity + 1))
        moved = Signal()
        m.d.comb += [
            beats.eq(self.ar.payload.len + 1),
            self.ar.valid.eq(asking & (room >= longest)),
            self.ar.payload.addr.eq(Cat(Const(0, shift), beat)),
            self.ar.payload.len.eq(~beat & (longest - 1)),
            self.ar.payload.size.eq(shift),
            self.ar.payload.burst.eq(Burst.INCR),
            moved.eq(self.ar.valid & self.ar.ready),
            self.r.ready.eq(1),
        ]
        m.d.sync += outstanding.eq(outstanding + moved - (self.r.valid & self.r.payload.last))
        with m.If(enter):
            m.d.sync += [asking.eq(1), beat.eq(self.address[shift:]), room.eq(capacity)]
        with m.Else():
            m.d.sync += room.eq(room + Mux(leave, size, 0) - Mux(moved, beats, 0))
            with m.If(moved):
                m.d.sync += beat.eq(beat + beats)
            # A request that is made stays until it is taken.
            with m.If(stop & (~self.ar.valid | self.ar.ready)):
                m.d.sync += asking.eq(0)

        parts = Signal(width * (size - 1), reset_less=True)
        count = Signal(range(size))
        last = Signal()
        failed = Signal()
        now_failed = failed | (self.r.payload.resp != Response.OKAY)
        m.d.comb += [
            last.eq(count == size - 1),
            instructions.valid.eq(self.r.valid & last),
            instructions.payload.word.eq(Cat(parts, self.r.payload.data)),
            instructions.payload.failed.eq(now_failed),
        ]
        with m.If(enter):
            m.d.sync += [count.eq(0), failed.eq(0)]
        with m.Elif(self.r.valid):
            m.d.sync += [
                parts.eq(Cat(parts, self.r.payload.data)[width:]),
                count.eq(Mux(last, 0, count + 1)),
                failed.eq(now_failed & ~last),
            ]
        return asking | (outstanding != 0)
