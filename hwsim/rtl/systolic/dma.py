"""DMA of the systolic accelerator: from memory to where the engines find it, and back."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hwsim.blocks.queue import QueueConfig
from hwsim.blocks.systolic.config import BUFFER_READ_LATENCY, STORE_QUEUE_DEPTH
from hwsim.blocks.systolic.isa import Opcode
from hwsim.rtl.axi import Axi4, Burst, Response
from hwsim.rtl.queue import CreditQueue, Queue
from hwsim.rtl.unit import delay

from .instruction import INSTRUCTION, layout

__all__ = ["Reader", "Writer", "memory_port"]

_WORDS_BITS = 24
_BUFFER_BITS = 24


def memory_port(config):
    """Signature of the memory port: `Reader` has its ``ar`` and ``r``, `Writer` the rest."""
    return Axi4(data_bits=8 * config.axi_bytes, address_bits=config.address_bits)


class Reader(wiring.Component):
    """Carries out ``READ_ACTIVATIONS``, ``READ_WEIGHTS``, ``READ_PARAMETERS`` and ``READ_TABLE``.

    ::

        i ──┬─> bursts ──> ar
            │     ^── room in the queues of weights and parameters
            └─> descriptors ─┐
                             v
                    r ──> where to ──> load, weights, parameters, table

    A request is made only when there is room for all that it brings: data are taken at once,
    always. Requests of an instruction begin in the cycle after it is taken, one per cycle; the next
    instruction is taken in the cycle of the last request. Each word comes out in the cycle after
    its transfer on ``r``.

    An instruction has at least one word. Addresses are multiples of the width of the port, in
    memory and in the buffer.

    Parameters
    ----------
    config : Systolic

    Members
    -------
    i : in, stream of `INSTRUCTION`
        Instructions whose waits hold.
    ar, r : channels of `memory_port`
    load_enable : out
        A word is to be written to the buffer in this cycle.
    load_address : out, 24 bits
    load_data : out, a word of the memory port
    weight_enable, parameter_enable, table_enable : out
        A word for the queue of weights, that of parameters, a table.
    weight_data, parameter_data, table_data : out
    table_first : out
        With the first word of a table.
    table_number : out, 2 bits
    weight_freed, parameter_freed : in
        A whole tile has been taken from the queue.
    done : out
        Together with the last word of an instruction.
    error : out
        Memory has answered with an error.
    """

    def __init__(self, config):
        self._config = config
        port = memory_port(config).members
        word = 8 * config.axi_bytes
        super().__init__(
            {
                "i": In(stream.Signature(INSTRUCTION)),
                "ar": port["ar"],
                "r": port["r"],
                "load_enable": Out(1),
                "load_address": Out(_BUFFER_BITS),
                "load_data": Out(word),
                "weight_enable": Out(1),
                "weight_data": Out(word),
                "weight_freed": In(1),
                "parameter_enable": Out(1),
                "parameter_data": Out(word),
                "parameter_freed": In(1),
                "table_enable": Out(1),
                "table_data": Out(word),
                "table_first": Out(1),
                "table_number": Out(2),
                "done": Out(1),
                "error": Out(1),
            }
        )

    @property
    def config(self):
        return self._config

    def elaborate(self, platform):
        m = Module()
        taken = Signal()
        instruction = data.View(layout(Opcode.READ_ACTIVATIONS), self.i.payload)
        m.d.comb += taken.eq(self.i.valid & self.i.ready)
        self._request(m, instruction, taken)
        self._deliver(m, instruction, taken)
        return m

    def _request(self, m, instruction, taken):
        config = self.config
        opcode = Signal(Opcode)
        bursts = _Bursts(m, config, instruction, taken)
        enough = Signal(init=1)
        outstanding = Signal(range(config.outstanding + 1))
        moved = Signal()
        m.d.comb += [
            bursts.mask.eq(config.burst_beats - 1),
            self.ar.valid.eq((bursts.left != 0) & enough & (outstanding != config.outstanding)),
            moved.eq(self.ar.valid & self.ar.ready),
            bursts.moved.eq(moved),
            self.i.ready.eq((bursts.left == 0) | (moved & bursts.last)),
        ]
        bursts.describe(m, self.ar.payload)
        with m.If(taken):
            m.d.sync += opcode.eq(instruction.opcode)
        m.d.sync += outstanding.eq(
            outstanding + moved - (self.r.valid & self.r.ready & self.r.payload.last)
        )
        for kind, name in ((Opcode.READ_WEIGHTS, "weight"), (Opcode.READ_PARAMETERS, "parameter")):
            words = getattr(config, f"{name}_words")
            capacity = getattr(config, f"{name}_tiles") * words
            room = Signal(range(capacity + 1), init=capacity, name=f"{name}_room")
            freed = Mux(getattr(self, f"{name}_freed"), words, 0)
            mine = opcode == kind
            m.d.sync += room.eq(room + freed - Mux(moved & mine, bursts.beats, 0))
            with m.If(mine):
                m.d.comb += [
                    bursts.mask.eq(getattr(config, f"{name}_burst_beats") - 1),
                    enough.eq(room >= bursts.beats),
                ]

    def _deliver(self, m, instruction, taken):
        config = self.config
        names = ("opcode", "words", "buffer", "table")
        shape = data.StructLayout({name: instruction.shape()[name].shape for name in names})
        # One for each burst that is outstanding, one whose bursts begin: there is always room.
        m.submodules.descriptors = queue = Queue(shape, QueueConfig(config.outstanding + 2))
        count = Signal(_WORDS_BITS)
        last = Signal()
        moved = Signal()
        head = queue.o.payload
        m.d.comb += [
            queue.i.valid.eq(taken),
            *(queue.i.payload[name].eq(instruction[name]) for name in names),
            self.r.ready.eq(1),
            moved.eq(self.r.valid),
            last.eq(count == head.words - 1),
            queue.o.ready.eq(moved & last),
        ]
        with m.If(moved):
            m.d.sync += count.eq(Mux(last, 0, count + 1))
        word = Signal(8 * config.axi_bytes, reset_less=True)
        m.d.sync += [
            word.eq(self.r.payload.data),
            self.load_enable.eq(moved & (head.opcode == Opcode.READ_ACTIVATIONS)),
            self.load_address.eq(head.buffer + count * config.axi_bytes),
            self.weight_enable.eq(moved & (head.opcode == Opcode.READ_WEIGHTS)),
            self.parameter_enable.eq(moved & (head.opcode == Opcode.READ_PARAMETERS)),
            self.table_enable.eq(moved & (head.opcode == Opcode.READ_TABLE)),
            self.table_first.eq(count == 0),
            self.table_number.eq(head.table),
            self.done.eq(moved & last),
            self.error.eq(moved & (self.r.payload.resp != Response.OKAY)),
        ]
        for port in (self.load_data, self.weight_data, self.parameter_data, self.table_data):
            m.d.comb += port.eq(word)


class Writer(wiring.Component):
    """Carries out ``WRITE_ACTIVATIONS``.

    ::

        i ──┬─> bursts ──┬─> aw
            │            └─> lengths ──┐
            └─> addresses              v
                    v           queue ──> w
                  store ──────────^
                                              b ──> done

    Addresses of the buffer and of memory both begin in the cycle after the instruction is taken,
    one per cycle; the buffer is read only as far as the queue has room. Data of a burst follow its
    request, a word per cycle, the first `hwsim.blocks.systolic.config.BUFFER_READ_LATENCY` + 2
    cycles after the instruction is taken, at the earliest. The next instruction is taken in the
    cycle of the last address, whichever comes last. ``done`` comes in the cycle after the last
    response.

    An instruction has at least one word. Addresses are multiples of the width of the port, in
    memory and in the buffer.

    Parameters
    ----------
    config : Systolic

    Members
    -------
    i : in, stream of `INSTRUCTION`
        Instructions whose waits hold.
    aw, w, b : channels of `memory_port`
    store_enable : out
        The buffer is to read a word.
    store_address : out, 24 bits
    store_data : in, a word of the memory port
        `hwsim.blocks.systolic.config.BUFFER_READ_LATENCY` cycles later.
    done : out
        An instruction is completed.
    error : out
        Memory has answered with an error.
    """

    def __init__(self, config):
        self._config = config
        port = memory_port(config).members
        super().__init__(
            {
                "i": In(stream.Signature(INSTRUCTION)),
                "aw": port["aw"],
                "w": port["w"],
                "b": port["b"],
                "store_enable": Out(1),
                "store_address": Out(_BUFFER_BITS),
                "store_data": In(8 * config.axi_bytes),
                "done": Out(1),
                "error": Out(1),
            }
        )

    @property
    def config(self):
        return self._config

    def elaborate(self, platform):
        m = Module()
        config = self.config
        instruction = data.View(layout(Opcode.WRITE_ACTIVATIONS), self.i.payload)
        taken = Signal()
        moved = Signal()
        bursts = _Bursts(m, config, instruction, taken)
        # Read from the buffer.
        m.submodules.queue = queue = CreditQueue(
            unsigned(8 * config.axi_bytes), QueueConfig(STORE_QUEUE_DEPTH)
        )
        unread = Signal(_WORDS_BITS)
        m.d.comb += [
            self.store_enable.eq((unread != 0) & queue.room),
            queue.issue.eq(self.store_enable),
            queue.i_valid.eq(delay(m, self.store_enable, BUFFER_READ_LATENCY, "stored")),
            queue.i_payload.eq(self.store_data),
            taken.eq(self.i.valid & self.i.ready),
            self.i.ready.eq(
                ((bursts.left == 0) | (moved & bursts.last))
                & ((unread == 0) | (self.store_enable & (unread == 1)))
            ),
        ]
        with m.If(taken):
            m.d.sync += [unread.eq(instruction.words), self.store_address.eq(instruction.buffer)]
        with m.Elif(self.store_enable):
            m.d.sync += [
                unread.eq(unread - 1),
                self.store_address.eq(self.store_address + config.axi_bytes),
            ]

        # Requests; what data and responses have to know of them.
        depth = QueueConfig(config.outstanding)
        m.submodules.lengths = lengths = Queue(unsigned(8), depth)
        m.submodules.lasts = lasts = Queue(unsigned(1), depth)
        outstanding = Signal(range(config.outstanding + 1))
        m.d.comb += [
            bursts.mask.eq(config.burst_beats - 1),
            self.aw.valid.eq((bursts.left != 0) & (outstanding != config.outstanding)),
            moved.eq(self.aw.valid & self.aw.ready),
            bursts.moved.eq(moved),
            lengths.i.valid.eq(moved),
            lengths.i.payload.eq(self.aw.payload.len),
            lasts.i.valid.eq(moved),
            lasts.i.payload.eq(bursts.last),
        ]
        bursts.describe(m, self.aw.payload)
        m.d.sync += outstanding.eq(outstanding + moved - self.b.valid)

        position = Signal(8)
        sent = Signal()
        m.d.comb += [
            self.w.valid.eq(queue.o.valid & lengths.o.valid),
            self.w.payload.data.eq(queue.o.payload),
            self.w.payload.strb.eq(~0),
            self.w.payload.last.eq(position == lengths.o.payload),
            sent.eq(self.w.valid & self.w.ready),
            queue.o.ready.eq(self.w.ready & lengths.o.valid),
            lengths.o.ready.eq(sent & self.w.payload.last),
            self.b.ready.eq(1),
            lasts.o.ready.eq(self.b.valid),
        ]
        with m.If(sent):
            m.d.sync += position.eq(Mux(self.w.payload.last, 0, position + 1))
        m.d.sync += [
            self.done.eq(self.b.valid & lasts.o.payload),
            self.error.eq(self.b.valid & (self.b.payload.resp != Response.OKAY)),
        ]
        return m


class _Bursts:
    """Cuts the words of an instruction into bursts that end at multiples of a power of two.

    Members
    -------
    mask : Signal
        To be driven: one less than the power.
    moved : Signal
        To be driven: the burst is requested in this cycle.
    left : Signal
        Words that are not requested yet.
    beats : Signal
        Of the next burst.
    last : Signal
        It is the last one of the instruction.
    """

    def __init__(self, m, config, instruction, taken):
        self._shift = (config.axi_bytes - 1).bit_length()
        self._word = word = Signal(config.address_bits - self._shift)
        self.left = Signal(_WORDS_BITS)
        self.mask = Signal(range(config.burst_beats))
        self.beats = Signal(range(config.burst_beats + 1))
        self.moved = Signal()
        self.last = Signal()
        whole = Signal.like(self.beats)
        m.d.comb += [
            whole.eq((~word & self.mask) + 1),
            self.last.eq(self.left <= whole),
            self.beats.eq(Mux(self.last, self.left, whole)),
        ]
        with m.If(taken):
            m.d.sync += [
                self.left.eq(instruction.words),
                word.eq(instruction.address[self._shift :]),
            ]
        with m.Elif(self.moved):
            m.d.sync += [self.left.eq(self.left - self.beats), word.eq(word + self.beats)]

    def describe(self, m, request):
        m.d.comb += [
            request.addr.eq(Cat(Const(0, self._shift), self._word)),
            request.len.eq((self.beats - 1)[: len(self.mask)]),
            request.size.eq(self._shift),
            request.burst.eq(Burst.INCR),
        ]
