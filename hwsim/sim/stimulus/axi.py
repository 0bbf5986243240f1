"""AXI4 in simulation: a memory, and a script of register accesses."""

from enum import IntEnum

import numpy as np
from amaranth.hdl import C, Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from hwsim.rtl.axi import BOUNDARY, Burst, Response
from hwsim.sim.beats import container

from .buffers import ADDRESS_BITS, Load, Store
from .streams import Contract, Failure, in_reset, stall_bit

__all__ = [
    "Access",
    "AxiMemory",
    "RegisterScript",
]

_REQUEST_RULES = {
    1: f"got a burst that crosses a boundary of {BOUNDARY} bytes",
    2: "got a burst of the reserved type 3",
    3: "got a burst whose beats are wider than the bus",
    4: "got a wrapping burst that does not have 2, 4, 8 or 16 beats",
    5: "got a wrapping burst that is not aligned to the size of its beats",
    6: "got a fixed burst of more than 16 beats",
}
_DATA_RULES = {
    1: "got a beat whose WLAST does not mark the last of its burst",
    2: "got a beat whose WSTRB has a byte outside it",
}

_CHANNELS = ("aw", "w", "b", "ar", "r")


class AxiMemory(wiring.Component):
    """An AXI4 subordinate with a memory behind it.

    Requests are served in order, reads and writes independently of each other. Bursts of all three
    kinds, unaligned and narrow ones too. The memory's bytes are in the buffers ``name.k``: byte
    ``k`` of each word of the bus, so that a beat is one access to each. See `buffers`.

    Parameters
    ----------
    name : str
        Of the buffers.
    signature : Axi4
        Of the manager.
    size : int
        Bytes, a multiple of the bus width. Accesses outside are answered with DECERR.
    base : int
        Address of the first byte, a multiple of the bus width.
    shared : bool
        Whether all lanes have the same content at the start.
    writable : bool
        Otherwise writes are answered with SLVERR.
    read_latency : int
        Cycles from the transfer of a request to the first beat of its answer, 1 or more; that beat
        also waits for the answers before it.
    write_latency : int
        Cycles from the transfer of the last beat of data to the response, 1 or more.
    outstanding_reads, outstanding_writes : int
        Requests taken and not yet answered in full.
    bandwidth : (int, int)
        Beats in so many cycles, on average; no burst of beats is faster, but for rounding.
    total_bandwidth : bool
        Whether reads and writes together have that bandwidth, rather than each.
    stalls : float
        Probability, per cycle, that a channel pauses. The patterns of the channels are in the
        buffers ``name.aw.stall`` and so on.

    Members
    -------
    bus : in
    cycle : in, 32 bits
        Number of this cycle.
    moved : out
        Something moved on a channel.
    done : out
        Nothing is outstanding.
    failures : list of Failure
        Rules that a manager may break, on the channels AW, W, AR.
    """

    def __init__(
        self,
        *,
        name,
        signature,
        size,
        base=0,
        shared=False,
        writable=True,
        read_latency=1,
        write_latency=1,
        outstanding_reads=4,
        outstanding_writes=4,
        bandwidth=(1, 1),
        total_bandwidth=False,
        stalls=0.0,
    ):
        numbers = {
            "size": size,
            "read_latency": read_latency,
            "write_latency": write_latency,
            "outstanding_reads": outstanding_reads,
            "outstanding_writes": outstanding_writes,
        }
        for key, number in numbers.items():
            if number < 1:
                raise ValueError(f"{key} must be a positive integer, not {number}")
        self._bytes = signature.data_bits // 8
        for key, number in (("size", size), ("base", base)):
            if number % self._bytes:
                raise ValueError(f"{key} must be a multiple of {self._bytes} bytes, not {number}")
        if base < 0 or base + size > 1 << signature.address_bits:
            raise ValueError(
                f"{size} bytes from address {base} on do not fit into {signature.address_bits} "
                "address bits"
            )
        beats, cycles = bandwidth
        if not 1 <= beats <= cycles * (1 + total_bandwidth):
            limit = "two beats" if total_bandwidth else "one beat"
            raise ValueError(
                f"bandwidth must be beats and cycles, up to {limit} in a cycle, not {bandwidth}"
            )
        if not 0 <= stalls < 1:
            raise ValueError(f"stalls must lie in [0, 1), not {stalls}")
        self.name = name
        self.size = size
        self.base = base
        self.shared = shared
        self.writable = writable
        self._axi = signature
        self._latency = {"r": read_latency, "b": write_latency}
        self._outstanding = {"r": outstanding_reads, "b": outstanding_writes}
        self._bandwidth = bandwidth
        self._total = total_bandwidth
        self._stalls = stalls
        super().__init__(
            {
                "bus": In(signature),
                "cycle": In(ADDRESS_BITS),
                "moved": Out(1),
                "done": Out(1),
            }
        )
        self._rules = {"aw": Failure(_REQUEST_RULES), "ar": Failure(_REQUEST_RULES)}
        self._rules["w"] = Failure(_DATA_RULES)
        self._contracts = {
            key: Contract(f"got a beat on {key.upper()} that changed before it was taken")
            for key in ("aw", "w", "ar")
        }
        self.failures = [*self._rules.values(), *self._contracts.values()]

    @property
    def streams(self):
        """The channels, by name."""
        return {f"{self.name}.{key}": getattr(self.bus, key) for key in _CHANNELS}

    @property
    def patterns(self):
        """Probability of the 1s of each buffer that holds a stall pattern."""
        if not self._stalls:
            return {}
        return {f"{self.name}.{key}.stall": self._stalls for key in _CHANNELS}

    def buffers(self, content):
        """The memory's buffers, by name: of its first bytes, (bytes,) or (lanes, bytes) of uint8.

        The rest is 0.
        """
        content = np.asarray(content)
        if content.dtype != np.uint8 or content.shape[-1] > self.size:
            raise ValueError(
                f"content must be up to {self.size} bytes of uint8, not {content.dtype} of the "
                f"shape {content.shape}"
            )
        whole = np.zeros((*content.shape[:-1], self.size), np.uint8)
        whole[..., : content.shape[-1]] = content
        return {f"{self.name}.{k}": whole[..., k :: self._bytes] for k in range(self._bytes)}

    def content(self, buffers):
        """The reverse of `buffers`, for example of those that a recording holds."""
        columns = [buffers[f"{self.name}.{k}"] for k in range(self._bytes)]
        return np.stack(columns, axis=-1).reshape(*columns[0].shape[:-1], -1)

    def elaborate(self, platform):
        """Reads and writes, side by side."""
        m = Module()
        read, written = Signal(), Signal()
        if self._total:
            may_read = may_write = self._budget(m, [read, written])
        else:
            may_read, may_write = self._budget(m, [read]), self._budget(m, [written])
        reading = self._read(m, read, may_read)
        writing = self._write(m, written, may_write)
        for key, contract in self._contracts.items():
            contract.watch(m, getattr(self.bus, key), self.cycle)
        m.d.comb += [
            self.done.eq(~reading & ~writing),
            self.moved.eq(
                Cat(s.valid & s.ready & ~in_reset() for s in self.streams.values()).any()
            ),
        ]
        return m

    def _budget(self, m, beats):
        """Whether a beat may move; ``beats`` are high when one does."""
        per_cycles, cycles = self._bandwidth
        if per_cycles >= cycles * len(beats):
            return C(1)
        # A beat costs `cycles`, a cycle earns `per_cycles`. What is saved when nothing moves is at
        # most what lets a beat go in time, so that the average holds from the first beat on.
        highest = cycles + per_cycles - 1
        credit = Signal(range(-cycles, highest + 1), init=highest)
        earned = credit + per_cycles - Mux(beats[0], cycles, 0)
        for beat in beats[1:]:
            earned = earned - Mux(beat, cycles, 0)
        m.d.sync += credit.eq(Mux(earned > highest, highest, earned))
        return credit >= cycles

    def _pause(self, m, channel):
        """The channel's stall bit."""
        if not self._stalls:
            return C(0)
        return stall_bit(m, f"{self.name}.{channel}.stall", self.cycle)

    def _due(self, cycle):
        """Whether a cycle has come, of the last 2**31 or the next."""
        return ~(self.cycle - cycle)[ADDRESS_BITS - 1]

    def _requests(self, m, key, outstanding, finished):
        """Take requests, as many as may be outstanding.

        Gives the first that is not finished, whether there is one, whether any is unanswered.
        ``finished`` has two signals: its beats are done; it is answered in full.
        """
        channel = getattr(self.bus, key)
        done, answered = finished
        fields = {name: field.shape for name, field in channel.payload.shape()}
        due = (self.cycle + self._latency["r"])[:ADDRESS_BITS]
        layout = data.StructLayout({**fields, "due": unsigned(ADDRESS_BITS)})
        m.submodules[f"{key}_queue"] = queue = SyncFIFO(width=layout.size, depth=outstanding)
        head = data.View(layout, queue.r_data)
        level = Signal(range(outstanding + 1))
        taken = Signal()
        m.d.comb += [
            channel.ready.eq((level != outstanding) & ~self._pause(m, key) & ~in_reset()),
            taken.eq(channel.valid & channel.ready),
            queue.w_data.eq(Cat(channel.payload.as_value(), due)),
            queue.w_en.eq(taken),
            queue.r_en.eq(done),
        ]
        m.d.sync += level.eq(level + taken - answered)
        self._check_request(m, self._rules[key], channel.payload, taken)
        return head, queue.r_rdy, level != 0

    def _check_request(self, m, rules, request, taken):
        beat_bytes = (self._bytes - 1).bit_length()
        low = Signal(7)
        end = Signal(16)
        page = (BOUNDARY - 1).bit_length()
        wrap, fixed, incr = (
            request.burst == kind for kind in (Burst.WRAP, Burst.FIXED, Burst.INCR)
        )
        # The last byte of a burst, counted from the start of the first one's page.
        m.d.comb += [
            low.eq((1 << request.size) - 1),
            end.eq((request.addr[:page] | low) + (request.len << request.size)),
        ]
        whole = Cat(request.len == length - 1 for length in (2, 4, 8, 16)).any()
        broken = {
            1: incr & end[page:].any(),
            2: request.burst == 3,
            3: request.size > beat_bytes,
            4: wrap & ~whole,
            5: wrap & (request.addr & low).any(),
            6: fixed & (request.len > 15),
        }
        rules.notice(m, broken, self.cycle, when=taken)

    def _walk(self, m, request, moved):
        """Follow the beats of a request.

        Gives the address of this beat, its last byte (of the bus), whether it is the last beat, the
        index of its word, which is beyond the end of every buffer if the address is not ours.
        """
        bits = self._axi.address_bits
        position = Signal(8)
        address, following, low, span, after = (Signal(bits) for _ in range(5))
        offset = Signal(bits)
        index = Signal(ADDRESS_BITS)
        inside, last = Signal(), Signal()
        m.d.comb += [
            address.eq(Mux(position == 0, request.addr, following)),
            low.eq((1 << request.size) - 1),
            span.eq(((request.len + 1) << request.size) - 1),
            after.eq((address | low) + 1),
            last.eq(position == request.len),
            offset.eq(address - self.base),
            inside.eq(offset < self.size),
            index.eq(Mux(inside, offset >> (self._bytes - 1).bit_length(), -1)),
        ]
        with m.If(moved):
            m.d.sync += [position.eq(Mux(last, 0, position + 1)), following.eq(after)]
            with m.If(request.burst == Burst.WRAP):
                m.d.sync += following.eq((address & ~span) | (after & span))
            with m.If(request.burst == Burst.FIXED):
                m.d.sync += following.eq(address)
        return address, low, last, index, inside

    def _read(self, m, moved, may_move):
        bus = self.bus
        done = Signal()
        request, waiting, reading = self._requests(m, "ar", self._outstanding["r"], (done, done))
        _, _, last, index, inside = self._walk(m, request, moved)
        held = Signal()
        kept = Signal(self._axi.data_bits)
        words = []
        for k in range(self._bytes):
            load = Load(name=f"{self.name}.{k}", width=8, shared=self.shared)
            m.submodules[f"load_{k}"] = load
            m.d.comb += load.address.eq(index)
            words.append(load.data)
        m.d.comb += [
            bus.r.valid.eq(
                waiting
                & self._due(request.due)
                & (held | (may_move & ~self._pause(m, "r")))
                & ~in_reset()
            ),
            moved.eq(bus.r.valid & bus.r.ready),
            done.eq(moved & last),
            bus.r.payload.id.eq(request.id),
            bus.r.payload.resp.eq(Mux(inside, Response.OKAY, Response.DECERR)),
            bus.r.payload.last.eq(last),
            bus.r.payload.data.eq(Cat(words)),
        ]
        m.d.sync += held.eq(bus.r.valid & ~bus.r.ready)
        if self.writable:
            # A write must not reach a beat that is on offer.
            with m.If(bus.r.valid & ~bus.r.ready):
                m.d.sync += kept.eq(bus.r.payload.data)
            with m.If(held):
                m.d.comb += bus.r.payload.data.eq(kept)
        return reading

    def _write(self, m, moved, may_move):
        bus = self.bus
        done, answered = Signal(), Signal()
        request, waiting, writing = self._requests(
            m, "aw", self._outstanding["b"], (done, answered)
        )
        address, low, last, index, inside = self._walk(m, request, moved)
        response = Signal(2)
        outside = Signal()
        now_outside = outside | ~inside
        m.d.comb += [
            bus.w.ready.eq(waiting & may_move & ~self._pause(m, "w") & ~in_reset()),
            moved.eq(bus.w.valid & bus.w.ready),
            done.eq(moved & last),
        ]
        with m.If(moved):
            m.d.sync += outside.eq(now_outside & ~last)
        for k in range(self._bytes if self.writable else 0):
            store = Store(name=f"{self.name}.{k}", width=8, shared=self.shared)
            m.submodules[f"store_{k}"] = store
            m.d.comb += [
                store.address.eq(index),
                store.data.eq(bus.w.payload.data[8 * k : 8 * k + 8]),
                store.enable.eq(moved & bus.w.payload.strb[k]),
            ]

        m.d.comb += response.eq(
            Mux(now_outside, Response.DECERR, Response.OKAY if self.writable else Response.SLVERR)
        )
        fields = {"id": unsigned(self._axi.id_bits), "resp": unsigned(2)}
        layout = data.StructLayout({**fields, "due": unsigned(ADDRESS_BITS)})
        m.submodules.b_queue = queue = SyncFIFO(width=layout.size, depth=self._outstanding["b"])
        head = data.View(layout, queue.r_data)
        held = Signal()
        due = (self.cycle + self._latency["b"])[:ADDRESS_BITS]
        m.d.comb += [
            queue.w_data.eq(Cat(request.id, response, due)),
            queue.w_en.eq(done),
            bus.b.valid.eq(
                queue.r_rdy & self._due(head.due) & (held | ~self._pause(m, "b")) & ~in_reset()
            ),
            bus.b.payload.id.eq(head.id),
            bus.b.payload.resp.eq(head.resp),
            answered.eq(bus.b.valid & bus.b.ready),
            queue.r_en.eq(answered),
        ]
        m.d.sync += held.eq(bus.b.valid & ~bus.b.ready)

        # Bytes of the bus up to the last of the beat, less those before its first.
        lane = (self._bytes - 1).bit_length()
        beat = (2 << (address | low)[:lane]) - (1 << address[:lane]) if lane else C(1)
        broken = {
            1: bus.w.payload.last != last,
            2: (bus.w.payload.strb & ~beat).any(),
        }
        self._rules["w"].notice(m, broken, self.cycle, when=moved)
        return writing


class Access(IntEnum):
    """What a `RegisterScript` does in a step."""

    WRITE = 0
    READ = 1
    POLL = 2
    WAIT = 3
    INTERRUPT = 4


class RegisterScript(wiring.Component):
    """An AXI4-Lite manager that makes a list of accesses, one after the other.

    Its buffers, which all lanes share but for the results; see `buffers`:

    ================== ============================================================
    ``name.count``     one word: the number of steps
    ``name.kind``      an `Access`
    ``name.address``   of the register
    ``name.data``      to write; to poll for; cycles to wait
    ``name.mask``      bytes to write (strobes); bits to poll for
    ``name.result``    written: what was read
    ``name.response``  written: BRESP or RRESP
    ``name.cycle``     written: the cycle in which the step was done
    ================== ============================================================

    Parameters
    ----------
    name : str
        Of the buffers.
    signature : Axi4Lite
    interrupt : Value, optional
        What a step `Access.INTERRUPT` waits for.

    Members
    -------
    bus : out
    cycle : in, 32 bits
        Number of this cycle.
    moved : out
        Something moved on a channel, or time is being waited for.
    done : out
        All steps are done.
    failures : list of Failure
    """

    def __init__(self, *, name, signature, interrupt=None):
        if signature.address_bits > ADDRESS_BITS:
            raise ValueError(
                f"address_bits must be at most {ADDRESS_BITS}, not {signature.address_bits}"
            )
        self.name = name
        self._axi = signature
        self._interrupt = C(0) if interrupt is None else interrupt
        super().__init__(
            {
                "bus": Out(signature),
                "cycle": In(ADDRESS_BITS),
                "moved": Out(1),
                "done": Out(1),
            }
        )
        self._refusal = Failure({1: "got an error as the answer to an access"})
        self.failures = [self._refusal]

    @property
    def streams(self):
        """The channels, by name."""
        return {f"{self.name}.{key}": getattr(self.bus, key) for key in _CHANNELS}

    @property
    def patterns(self):
        """None."""
        return {}

    def buffers(self, accesses):
        """Its buffers, by name, for a list of steps.

        A step is ``(Access.WRITE, address, data)``, ``(Access.WRITE, address, data, strobes)``,
        ``(Access.READ, address)``, ``(Access.POLL, address, data, mask)``, which reads until the
        bits of the mask are those of the data, ``(Access.WAIT, cycles)`` or
        ``(Access.INTERRUPT,)``.
        """
        bits = self._axi.data_bits
        rows = []
        for access in accesses:
            kind, *values = access if access[0] != Access.WAIT else (access[0], 0, access[1])
            address, value, mask = values + [0, 0, (1 << bits // 8) - 1][len(values) :]
            rows.append((kind, address, value, mask))
        kinds, addresses, data, masks = ([row[k] for row in rows] for k in range(4))
        word = container(bits)
        columns = {
            "count": np.array([len(rows)], np.uint32),
            "kind": np.array(kinds, np.uint8),
            "address": np.array(addresses, np.uint32),
            "data": np.array(data, word),
            "mask": np.array(masks, word),
            "result": np.zeros(len(rows), word),
            "response": np.zeros(len(rows), np.uint8),
            "cycle": np.zeros(len(rows), np.uint32),
        }
        return {f"{self.name}.{column}": array for column, array in columns.items()}

    def elaborate(self, platform):
        """One access at a time."""
        m = Module()
        bus = self.bus
        bits = self._axi.data_bits
        position = Signal(ADDRESS_BITS)

        def column(name, width, index=position):
            m.submodules[name] = load = Load(name=f"{self.name}.{name}", width=width, shared=True)
            m.d.comb += load.address.eq(index)
            return load.data

        count = column("count", ADDRESS_BITS, 0)
        kind, address = column("kind", 3), column("address", ADDRESS_BITS)
        data, mask = column("data", bits), column("mask", bits)
        active = (position != count) & ~in_reset()
        # Requests that were taken; cycles that were waited.
        addressed, written = Signal(), Signal()
        waited = Signal(ADDRESS_BITS)
        finished = Signal()
        answered = Signal()
        response = Signal(2)
        write = active & (kind == Access.WRITE)
        read = active & ((kind == Access.READ) | (kind == Access.POLL))
        m.d.comb += [
            bus.aw.valid.eq(write & ~addressed),
            bus.aw.payload.addr.eq(address),
            bus.w.valid.eq(write & ~written),
            bus.w.payload.data.eq(data),
            bus.w.payload.strb.eq(mask),
            bus.b.ready.eq(write & addressed & written),
            bus.ar.valid.eq(read & ~addressed),
            bus.ar.payload.addr.eq(address),
            bus.r.ready.eq(read & addressed),
            answered.eq((bus.b.valid & bus.b.ready) | (bus.r.valid & bus.r.ready)),
            response.eq(Mux(write, bus.b.payload.resp, bus.r.payload.resp)),
            self.done.eq(position == count),
        ]
        with m.If((bus.aw.valid & bus.aw.ready) | (bus.ar.valid & bus.ar.ready)):
            m.d.sync += addressed.eq(1)
        with m.If(bus.w.valid & bus.w.ready):
            m.d.sync += written.eq(1)
        with m.If(answered | finished):
            m.d.sync += [addressed.eq(0), written.eq(0)]
        with m.If(active):
            m.d.sync += waited.eq(Mux(finished, 0, waited + 1))
            with m.Switch(kind):
                with m.Case(Access.POLL):
                    m.d.comb += finished.eq(answered & (((bus.r.payload.data ^ data) & mask) == 0))
                with m.Case(Access.WAIT):
                    m.d.comb += finished.eq(waited + 1 >= data)
                with m.Case(Access.INTERRUPT):
                    m.d.comb += finished.eq(self._interrupt)
                with m.Default():
                    m.d.comb += finished.eq(answered)
        with m.If(finished):
            m.d.sync += position.eq(position + 1)
        for name, value, shared in (
            ("result", bus.r.payload.data, False),
            ("response", response, False),
            ("cycle", self.cycle, True),
        ):
            store = Store(name=f"{self.name}.{name}", width=len(value), shared=shared)
            m.submodules[f"store_{name}"] = store
            m.d.comb += [
                store.address.eq(position),
                store.data.eq(value),
                store.enable.eq(finished),
            ]
        self._refusal.notice(m, {1: response[1]}, self.cycle, when=answered)
        moves = [s.valid & s.ready for s in self.streams.values()]
        m.d.comb += self.moved.eq(Cat(moves).any() | (active & (kind == Access.WAIT)))
        return m
