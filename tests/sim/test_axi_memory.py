# amaranth: UnusedElaboratable=no
"""The AXI memory against a model of each of its cycles; the script of register accesses."""

import random
from collections import deque
from dataclasses import dataclass

import numpy as np
import pytest
from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from hwsim.rtl.axi import Axi4, Axi4Lite, Burst, Response
from hwsim.sim import amaranth_engine, compiled_engine
from hwsim.sim.engine import (
    PATTERN_CYCLES,
    Stalled,
    Stimulus,
    StreamError,
    Unfinished,
    patterns,
    stall_pattern,
)
from hwsim.sim.stimulus.axi import Access, AxiMemory, RegisterScript
from hwsim.sim.stimulus.buffers import Memories

INCR, WRAP, FIXED = Burst.INCR, Burst.WRAP, Burst.FIXED


@dataclass(frozen=True)
class Request:
    id: int
    addr: int
    len: int
    size: int
    burst: int

    def addresses(self):
        """Of each beat, by the formulas of IHI 0022, A3.4.1."""
        number = 1 << self.size
        aligned = self.addr // number * number
        if self.burst == FIXED:
            return [self.addr] * (self.len + 1)
        if self.burst == INCR:
            return [self.addr] + [aligned + n * number for n in range(1, self.len + 1)]
        total = number * (self.len + 1)
        lower = self.addr // total * total
        return [lower + (self.addr - lower + n * number) % total for n in range(self.len + 1)]

    def lanes(self, beat, width):
        """Bytes of the bus that a beat may use."""
        address = self.addresses()[beat]
        end = address // (1 << self.size) * (1 << self.size) + (1 << self.size)
        return range(address % width, (end - 1) % width + 1)


def draw_request(rng, width, ids, low, high):
    """A legal burst that starts in [low, high)."""
    size = rng.randrange(width.bit_length())
    burst = rng.choice([INCR, INCR, WRAP, FIXED])
    number = 1 << size
    address = rng.randrange(low, high)
    if burst == WRAP:
        return Request(
            rng.randrange(ids), address // number * number, rng.choice([1, 3, 7, 15]), size, WRAP
        )
    if burst == FIXED:
        return Request(rng.randrange(ids), address, rng.randrange(16), size, FIXED)
    room = (4096 - address // number * number % 4096) // number
    longest = rng.choice([1, 2, 20, 20, 20, 256])
    beats = min(room, rng.randint(1, longest))
    return Request(rng.randrange(ids), address, beats - 1, size, INCR)


class Model:
    """What the memory answers, from the text of its parameters, one cycle at a time."""

    def __init__(self, memory, width, content, seed, probability):
        self.width = width
        self.bytes = bytearray(content)
        self.base = memory["base"]
        self.options = memory
        self.cycle = 0
        self.reads, self.writes, self.responses = deque(), deque(), deque()
        self.beat = {"r": 0, "w": 0}
        self.outside = False
        self.offer = {"r": None, "b": None}
        beats, cycles = memory["bandwidth"]
        self.credit = {"r": cycles + beats - 1, "w": cycles + beats - 1}
        if memory["total_bandwidth"]:
            del self.credit["w"]
        self.patterns = {
            key: stall_pattern(seed, f"m.{key}", probability) for key in ("aw", "w", "b", "ar", "r")
        }

    def stalled(self, key):
        return self.patterns[key][self.cycle % PATTERN_CYCLES]

    def affordable(self, key):
        return self.credit.get(key, self.credit["r"]) >= self.options["bandwidth"][1]

    def outputs(self):
        """(arready, awready, wready, r, b); r and b are None or what is offered."""
        if self.offer["r"] is None and self.reads:
            due, request = self.reads[0]
            if self.cycle >= due and self.affordable("r") and not self.stalled("r"):
                beat = self.beat["r"]
                address = request.addresses()[beat]
                word = address // self.width * self.width - self.base
                inside = 0 <= address - self.base < len(self.bytes)
                data = self.bytes[word : word + self.width] if inside else bytes(self.width)
                self.offer["r"] = (
                    request.id,
                    int.from_bytes(data, "little"),
                    0 if inside else 3,
                    int(beat == request.len),
                )
        if self.offer["b"] is None and self.responses:
            due, identity, response = self.responses[0]
            if self.cycle >= due and not self.stalled("b"):
                self.offer["b"] = identity, response
        unanswered = len(self.writes) + len(self.responses)
        return (
            len(self.reads) < self.options["outstanding_reads"] and not self.stalled("ar"),
            unanswered < self.options["outstanding_writes"] and not self.stalled("aw"),
            bool(self.writes) and self.affordable("w") and not self.stalled("w"),
            self.offer["r"],
            self.offer["b"],
        )

    def advance(self, ar, aw, w, r_ready, b_ready):
        """To the next cycle; requests and beats that were taken, or None."""
        r_moved = self.offer["r"] is not None and r_ready
        if r_moved:
            self.beat["r"] += 1
            if self.offer["r"][3]:
                self.reads.popleft()
                self.beat["r"] = 0
            self.offer["r"] = None
        if self.offer["b"] is not None and b_ready:
            self.responses.popleft()
            self.offer["b"] = None
        if w is not None:
            request = self.writes[0]
            address = request.addresses()[self.beat["w"]]
            inside = 0 <= address - self.base < len(self.bytes)
            self.outside |= not inside
            data, strobes = w
            for k in range(self.width):
                if inside and strobes >> k & 1 and self.options["writable"]:
                    word = address // self.width * self.width - self.base
                    self.bytes[word + k] = data >> 8 * k & 255
            self.beat["w"] += 1
            if self.beat["w"] > request.len:
                response = 3 if self.outside else 0 if self.options["writable"] else 2
                due = self.cycle + self.options["write_latency"]
                self.responses.append((due, request.id, response))
                self.writes.popleft()
                self.beat["w"] = 0
                self.outside = False
        if ar is not None:
            self.reads.append((self.cycle + self.options["read_latency"], ar))
        if aw is not None:
            self.writes.append(aw)
        beats, cycles = self.options["bandwidth"]
        for key in self.credit:
            moved = (
                [r_moved, w is not None]
                if len(self.credit) == 1
                else [r_moved if key == "r" else w is not None]
            )
            self.credit[key] = min(
                self.credit[key] + beats - cycles * sum(moved), cycles + beats - 1
            )
        self.cycle += 1


class Timed(wiring.Component):
    """An agent and the counter of its cycles."""

    def __init__(self, agent):
        self.agent = agent
        super().__init__({"dummy": In(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.agent = self.agent
        m.d.sync += self.agent.cycle.eq(self.agent.cycle + 1)
        return m


def pack(payload, **fields):
    """Fields of a channel as its payload."""
    value = 0
    for name, field in payload.shape():
        value |= fields[name] << field.offset
    return value


DEFAULTS = dict(
    base=0,
    writable=True,
    read_latency=1,
    write_latency=1,
    outstanding_reads=4,
    outstanding_writes=4,
    bandwidth=(1, 1),
    total_bandwidth=False,
)


def run_random(seed, *, data_bits, size, requests, probability=0.0, patience=0.3, **options):
    """Random bursts, each cycle compared; gives cycles of reads' first beats and of requests."""
    rng = random.Random(seed)
    options = DEFAULTS | options
    width = data_bits // 8
    signature = Axi4(data_bits=data_bits, address_bits=20, id_bits=3)
    memory = AxiMemory(name="m", signature=signature, size=size, stalls=probability, **options)
    content = rng.randbytes(size)
    arrays = memory.buffers(np.frombuffer(content, np.uint8))
    memories = Memories(arrays | patterns(Stimulus({}, {}, agents={"m": memory}, seed=seed)))
    model = Model(options, width, content, seed, probability)
    low, high = max(0, options["base"] - 64), options["base"] + size + 64
    pending = {
        key: deque(draw_request(rng, width, 8, low, high) for _ in range(requests))
        for key in ("ar", "aw")
    }
    beats = deque(
        (
            rng.getrandbits(data_bits),
            sum(rng.getrandbits(1) << lane for lane in request.lanes(beat, width)),
            int(beat == request.len),
        )
        for request in pending["aw"]
        for beat in range(request.len + 1)
    )
    log = {"ar": [], "aw": [], "r": [], "w": [], "b": []}
    bus = memory.bus
    simulator = Simulator(memories.fragment(Timed(memory)))
    simulator.add_clock(1e-8)
    total = {"r": sum(r.len + 1 for r in pending["ar"]), "b": requests}

    async def bench(ctx):
        offered = dict.fromkeys(("ar", "aw", "w"))
        while len(log["r"]) < total["r"] or len(log["b"]) < total["b"]:
            for key, waiting in (("ar", pending["ar"]), ("aw", pending["aw"]), ("w", beats)):
                if offered[key] is None and waiting and rng.random() >= patience:
                    offered[key] = waiting.popleft()
                channel = getattr(bus, key)
                ctx.set(channel.valid, offered[key] is not None)
                item = offered[key]
                if item is not None:
                    fields = (
                        dict(zip(("data", "strb", "last"), item, strict=True))
                        if key == "w"
                        else vars(item)
                    )
                    ctx.set(Value.cast(channel.payload), pack(channel.payload, **fields))
            ready = {key: int(rng.random() >= patience) for key in ("r", "b")}
            for key, bit in ready.items():
                ctx.set(getattr(bus, key).ready, bit)
            where = f"seed {seed}, cycle {model.cycle}"
            ar, aw, w, r, b = model.outputs()
            got = ctx.get(Cat(bus.ar.ready, bus.aw.ready, bus.w.ready, bus.r.valid, bus.b.valid))
            want = ar | aw << 1 | w << 2 | (r is not None) << 3 | (b is not None) << 4
            assert got == want, f"{where}: {got:05b} {want:05b}"
            if r is not None:
                fields = dict(zip(("id", "data", "resp", "last"), r, strict=True))
                assert ctx.get(Value.cast(bus.r.payload)) == pack(bus.r.payload, **fields), where
            if b is not None:
                fields = dict(zip(("id", "resp"), b, strict=True))
                assert ctx.get(Value.cast(bus.b.payload)) == pack(bus.b.payload, **fields), where
            taken = {
                key: offered[key] if is_ready else None
                for key, is_ready in (("ar", ar), ("aw", aw), ("w", w))
            }
            failed = [ctx.get(failure.number) for failure in memory.failures]
            assert not any(failed), (where, failed)
            moved = (
                any(item is not None for item in taken.values())
                or (r is not None and ready["r"])
                or (b is not None and ready["b"])
            )
            assert ctx.get(memory.moved) == moved, where
            idle = not (model.reads or model.writes or model.responses)
            assert ctx.get(memory.done) == idle, where
            for key, item in taken.items():
                if item is not None:
                    log[key].append(model.cycle)
                    offered[key] = None
            if r is not None and ready["r"]:
                log["r"].append(model.cycle)
            if b is not None and ready["b"]:
                log["b"].append(model.cycle)
            data = None if taken["w"] is None else taken["w"][:2]
            model.advance(taken["ar"], taken["aw"], data, ready["r"], ready["b"])
            await ctx.tick()
            assert model.cycle < 100_000, where
        final = {
            name: np.array([ctx.get(memories.data[name][k]) for k in range(len(array))], np.uint8)
            for name, array in arrays.items()
        }
        assert bytes(memory.content(final)) == bytes(model.bytes), f"seed {seed}"

    simulator.add_testbench(bench)
    simulator.run()
    return log


@pytest.mark.parametrize("seed", range(8))
def test_random_bursts(seed):
    rng = random.Random(1000 + seed)
    beats = rng.randint(1, 4)
    total = rng.random() < 0.5
    run_random(
        seed,
        data_bits=rng.choice([8, 16, 32, 64, 128]),
        size=rng.choice([64, 512, 4096, 4160]),
        requests=12,
        base=rng.choice([0, 64, 4096, 0x8000]),
        probability=rng.choice([0.0, 0.3]),
        patience=rng.choice([0.0, 0.3]),
        read_latency=rng.choice([1, 2, 3, 20]),
        write_latency=rng.choice([1, 2, 3, 20]),
        outstanding_reads=rng.choice([1, 2, 8]),
        outstanding_writes=rng.choice([1, 2, 8]),
        bandwidth=(beats, rng.randint(beats, 5)),
        total_bandwidth=total,
        writable=rng.random() < 0.8,
    )


# Parameters


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(size=0), "size must be a positive integer, not 0"),
        (dict(read_latency=0), "read_latency must be a positive integer, not 0"),
        (dict(outstanding_writes=-1), "outstanding_writes must be a positive integer, not -1"),
        (dict(size=10), "size must be a multiple of 4 bytes, not 10"),
        (dict(base=2), "base must be a multiple of 4 bytes, not 2"),
        (dict(base=-4), r"64 bytes from address -4 on do not fit into 16 address bits"),
        (dict(base=65500), r"64 bytes from address 65500 on do not fit into 16 address bits"),
        (
            dict(bandwidth=(3, 2)),
            r"bandwidth must be beats and cycles, up to one beat in a cycle, not \(3, 2\)",
        ),
        (
            dict(bandwidth=(5, 2), total_bandwidth=True),
            r"bandwidth must be beats and cycles, up to two beats in a cycle, not \(5, 2\)",
        ),
        (dict(stalls=1.0), r"stalls must lie in \[0, 1\), not 1.0"),
    ],
)
def test_init_wrong_memory(options, message):
    options = {"size": 64} | options
    signature = Axi4(data_bits=32, address_bits=16)
    with pytest.raises(ValueError, match=f"^{message}$"):
        AxiMemory(name="m", signature=signature, **options)


def test_init_wrong_interface():
    with pytest.raises(
        ValueError, match=r"^data_bits must be a power of two from 8 to 1024, not 24"
    ):
        Axi4(data_bits=24, address_bits=16)
    with pytest.raises(ValueError, match=r"^data_bits must be 32 or 64, not 16$"):
        Axi4Lite(data_bits=16, address_bits=16)
    with pytest.raises(ValueError, match=r"^address_bits must be at most 32, not 33$"):
        RegisterScript(name="s", signature=Axi4Lite(address_bits=33))


def test_wrong_content():
    memory = AxiMemory(name="m", signature=Axi4(data_bits=32, address_bits=16), size=64)
    message = r"^content must be up to 64 bytes of uint8, not {} of the shape {}$"
    with pytest.raises(ValueError, match=message.format("uint8", r"\(2, 65\)")):
        memory.buffers(np.zeros((2, 65), np.uint8))
    with pytest.raises(ValueError, match=message.format("int64", r"\(4,\)")):
        memory.buffers(np.zeros(4, np.int64))


def test_content():
    """Bytes in the order of their addresses, for each lane."""
    memory = AxiMemory(name="m", signature=Axi4(data_bits=32, address_bits=16), size=64)
    content = np.arange(120, dtype=np.uint8).reshape(2, 60)
    buffers = memory.buffers(content)
    assert buffers["m.1"][1].tolist() == [*range(61, 120, 4), 0]
    assert np.array_equal(memory.content(buffers), np.pad(content, ((0, 0), (0, 4))))


# Broken rules


def offer(memory, requests, beats=(), cycles=40):
    """Offer requests on a channel (aw or ar) and beats of data, one per cycle; the failures."""
    bus = memory.bus
    failures = {}

    async def bench(ctx):
        ctx.set(bus.b.ready, 1)
        ctx.set(bus.r.ready, 1)
        queues = {"w": deque(beats), "aw": deque(), "ar": deque()}
        for key, request in requests:
            queues[key].append(request)
        for cycle in range(cycles):
            for key, queue in queues.items():
                channel = getattr(bus, key)
                ctx.set(channel.valid, bool(queue))
                if queue:
                    ctx.set(Value.cast(channel.payload), pack(channel.payload, **queue[0]))
                    if ctx.get(channel.ready):
                        queue.popleft()
            await ctx.tick()
            for failure in memory.failures:
                number = ctx.get(failure.number)
                if number and failure not in failures:
                    failures[failure] = failure.messages[number], cycle
                    assert ctx.get(failure.cycle) == cycle

    simulator = Simulator(Memories(memory.buffers(np.zeros(0, np.uint8))).fragment(Timed(memory)))
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    return [*failures.values()]


BROKEN = {
    "boundary": (
        dict(addr=4092, len=1, size=2, burst=INCR),
        "that crosses a boundary of 4096 bytes",
    ),
    "boundary of narrow beats": (
        dict(addr=4094, len=2, size=0, burst=INCR),
        "that crosses a boundary of 4096 bytes",
    ),
    "type": (dict(addr=0, len=0, size=2, burst=3), "of the reserved type 3"),
    "size": (dict(addr=0, len=0, size=3, burst=INCR), "whose beats are wider than the bus"),
    "wrap": (dict(addr=0, len=2, size=2, burst=WRAP), "that does not have 2, 4, 8 or 16 beats"),
    "alignment": (
        dict(addr=2, len=3, size=2, burst=WRAP),
        "that is not aligned to the size of its beats",
    ),
    "fixed": (dict(addr=0, len=16, size=2, burst=FIXED), "of more than 16 beats"),
}
LEGAL = [
    dict(addr=4092, len=0, size=2, burst=INCR),
    dict(addr=4094, len=1, size=0, burst=INCR),
    dict(addr=3072, len=255, size=2, burst=INCR),
    dict(addr=4092, len=15, size=2, burst=WRAP),
    dict(addr=4095, len=15, size=2, burst=FIXED),
]


def small_memory(**options):
    signature = Axi4(data_bits=32, address_bits=16, id_bits=1)
    options = {"outstanding_reads": 8} | options
    return AxiMemory(name="dram", signature=signature, size=8192, **options)


@pytest.mark.parametrize("channel", ["ar", "aw"])
@pytest.mark.parametrize("case", BROKEN)
def test_broken_request(channel, case):
    """The first is noticed, whatever comes after it."""
    request, rule = BROKEN[case]
    request = {"id": 0, **request}
    (failure,) = offer(small_memory(), [(channel, request)] * 2)
    kind = {"wrap": "a wrapping burst", "alignment": "a wrapping burst", "fixed": "a fixed burst"}
    assert failure == (f"got {kind.get(case, 'a burst')} {rule}", 0)


@pytest.mark.parametrize("channel", ["ar", "aw"])
def test_legal_requests(channel):
    requests = [(channel, {"id": 0, **request}) for request in LEGAL]
    assert offer(small_memory(outstanding_writes=8), requests, cycles=400) == []


def test_broken_data():
    request = ("aw", dict(id=0, addr=6, len=1, size=1, burst=INCR))
    good = dict(data=0, strb=0b1100, last=0), dict(data=0, strb=0b0011, last=1)
    assert offer(small_memory(), [request], good) == []
    wlast = "got a beat whose WLAST does not mark the last of its burst"
    wstrb = "got a beat whose WSTRB has a byte outside it"
    assert offer(small_memory(), [request], [good[0] | {"last": 1}, good[1]]) == [(wlast, 1)]
    assert offer(small_memory(), [request], [good[0], good[1] | {"last": 0}]) == [(wlast, 2)]
    for strobes in (4, 8):
        beats = [good[0], good[1] | {"strb": strobes}]
        assert offer(small_memory(), [request], beats) == [(wstrb, 2)]


def test_write_to_a_beat_on_offer():
    """It is too late for that beat, and in time for the next read."""
    memory = small_memory()
    bus = memory.bus
    found = []

    async def bench(ctx):
        read = dict(id=0, addr=8, len=0, size=2, burst=INCR)
        ctx.set(bus.ar.valid, 1)
        ctx.set(Value.cast(bus.ar.payload), pack(bus.ar.payload, **read))
        await ctx.tick().until(bus.ar.ready)
        ctx.set(bus.ar.valid, 0)
        ctx.set(Value.cast(bus.aw.payload), pack(bus.aw.payload, **read))
        ctx.set(Value.cast(bus.w.payload), pack(bus.w.payload, data=99, strb=15, last=1))
        for channel in (bus.aw, bus.w):
            ctx.set(channel.valid, 1)
            await ctx.tick().until(channel.ready)
            ctx.set(channel.valid, 0)
        for _ in range(3):
            found.append((ctx.get(bus.r.valid), ctx.get(bus.r.payload.data)))
            await ctx.tick()
        ctx.set(bus.r.ready, 1)
        ctx.set(bus.ar.valid, 1)
        await ctx.tick()
        ctx.set(bus.ar.valid, 0)
        found.append((ctx.get(bus.r.valid), ctx.get(bus.r.payload.data)))

    content = np.arange(64, dtype=np.uint32).view(np.uint8)
    simulator = Simulator(Memories(memory.buffers(content)).fragment(Timed(memory)))
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    assert found == [(1, 2)] * 3 + [(1, 99)]


# Latency and bandwidth, as a user sees them


def read_trace(count, length, **options):
    """Cycles of ``count`` requests, made as early as may be, and of their beats."""
    memory = small_memory(**options)
    bus = memory.bus
    requests, beats = [], []

    async def bench(ctx):
        ctx.set(bus.r.ready, 1)
        for cycle in range(2000):
            ctx.set(bus.ar.valid, len(requests) < count)
            fields = dict(id=0, addr=0, len=length - 1, size=2, burst=INCR)
            ctx.set(Value.cast(bus.ar.payload), pack(bus.ar.payload, **fields))
            if ctx.get(bus.ar.valid & bus.ar.ready):
                requests.append(cycle)
            if ctx.get(bus.r.valid):
                beats.append(cycle)
            if len(beats) == count * length:
                return
            await ctx.tick()

    simulator = Simulator(Memories(memory.buffers(np.zeros(0, np.uint8))).fragment(Timed(memory)))
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    return requests, np.array(beats)


def test_latency_of_reads():
    """Requests that are outstanding hide it: then beats follow one another."""
    requests, beats = read_trace(8, 8, read_latency=30)
    assert requests == [*range(8)]
    assert np.array_equal(beats, 30 + np.arange(64))


def test_few_outstanding_reads():
    """One at a time: each waits for the one before, and then for the latency."""
    requests, beats = read_trace(3, 4, read_latency=10, outstanding_reads=1)
    assert requests == [0, 14, 28]
    assert np.array_equal(beats, np.add.outer([10, 24, 38], np.arange(4)).ravel())


@pytest.mark.parametrize("bandwidth", [(1, 1), (1, 2), (2, 3), (3, 4), (1, 5)])
def test_bandwidth(bandwidth):
    """As even as whole cycles allow, from the first beat on."""
    per_cycles, cycles = bandwidth
    _, beats = read_trace(3, 20, bandwidth=bandwidth)
    assert np.array_equal(beats - beats[0], np.arange(60) * cycles // per_cycles)


# In a design, on both engines


class Copier(wiring.Component):
    """Copies words from one place of a memory to another, and adds 1 to each.

    Registers: 0 source, 4 destination, 8 number of words, 12 starts; reads tell whether it is busy.
    ``done`` is 1 for a cycle. Bursts have up to 4 words.
    """

    def __init__(self):
        super().__init__(
            {
                "control": In(Axi4Lite(address_bits=8)),
                "memory": Out(Axi4(data_bits=32, address_bits=16, id_bits=1)),
                "done": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        control, memory = self.control, self.memory
        registers = [Signal(32, name=name) for name in ("source", "destination", "left")]
        source, destination, left = registers
        start, busy = Signal(), Signal()
        written = control.aw.valid & control.w.valid & (~control.b.valid | control.b.ready)
        m.d.comb += [control.aw.ready.eq(written), control.w.ready.eq(written)]
        with m.If(control.b.ready):
            m.d.sync += control.b.valid.eq(0)
        with m.If(written):
            m.d.sync += control.b.valid.eq(1)
            m.d.sync += control.b.payload.resp.eq(
                Mux(control.aw.payload.addr > 12, Response.SLVERR, Response.OKAY)
            )
            for k, register in enumerate(registers):
                with m.If(control.aw.payload.addr == 4 * k):
                    for byte in range(4):
                        with m.If(control.w.payload.strb[byte]):
                            part = slice(8 * byte, 8 * byte + 8)
                            m.d.sync += register[part].eq(control.w.payload.data[part])
            m.d.comb += start.eq(control.aw.payload.addr == 12)
        m.d.comb += control.ar.ready.eq(~control.r.valid)
        with m.If(control.r.ready):
            m.d.sync += control.r.valid.eq(0)
        with m.If(control.ar.valid & control.ar.ready):
            values = {0: source, 4: destination, 8: left, 12: busy}
            m.d.sync += control.r.valid.eq(1)
            with m.Switch(control.ar.payload.addr):
                for address, value in values.items():
                    with m.Case(address):
                        m.d.sync += control.r.payload.data.eq(value)

        m.submodules.words = words = SyncFIFO(width=32, depth=4)
        length = Signal(3)
        sent = Signal(3)
        m.d.comb += [
            length.eq(Mux(left < 4, left, 4)),
            memory.ar.payload.addr.eq(source),
            memory.aw.payload.addr.eq(destination),
            memory.w.payload.data.eq(words.r_data + 1),
            memory.w.payload.strb.eq(15),
            memory.w.payload.last.eq(sent == length - 1),
            words.w_data.eq(memory.r.payload.data),
        ]
        for request in (memory.ar.payload, memory.aw.payload):
            m.d.comb += [request.len.eq(length - 1), request.size.eq(2), request.burst.eq(INCR)]
        m.d.sync += self.done.eq(0)
        with m.FSM():
            with m.State("idle"), m.If(start):
                m.d.sync += busy.eq(1)
                m.next = "request"
            with m.State("request"):
                m.d.comb += memory.ar.valid.eq(1)
                with m.If(memory.ar.ready):
                    m.next = "read"
            with m.State("read"):
                m.d.comb += [memory.r.ready.eq(1), words.w_en.eq(memory.r.valid)]
                with m.If(memory.r.valid & memory.r.payload.last):
                    m.next = "announce"
            with m.State("announce"):
                m.d.comb += memory.aw.valid.eq(1)
                with m.If(memory.aw.ready):
                    m.d.sync += sent.eq(0)
                    m.next = "write"
            with m.State("write"):
                m.d.comb += [memory.w.valid.eq(1), words.r_en.eq(memory.w.ready)]
                with m.If(memory.w.ready):
                    m.d.sync += sent.eq(sent + 1)
                    with m.If(memory.w.payload.last):
                        m.next = "response"
            with m.State("response"):
                m.d.comb += memory.b.ready.eq(1)
                with m.If(memory.b.valid):
                    m.d.sync += [
                        source.eq(source + 16),
                        destination.eq(destination + 16),
                        left.eq(left - length),
                    ]
                    m.next = "request"
                    with m.If(left == length):
                        m.d.sync += [busy.eq(0), self.done.eq(1)]
                        m.next = "idle"
        return m


def copy(
    engine, *, source, destination, words, content, accesses, size=8192, stalls=0.0, **options
):
    """Recording, memory and script of a copy under the control of a script of accesses."""
    copier = Copier()
    memory = AxiMemory(
        name="dram", signature=copier.memory.signature, size=size, stalls=stalls, **options
    )
    script = RegisterScript(
        name="script", signature=copier.control.signature.flip(), interrupt=copier.done
    )
    steps = [
        (Access.WRITE, 0, 0xFFFF0000 | source),
        (Access.WRITE, 0, 0, 0b1100),
        (Access.WRITE, 4, destination),
        (Access.WRITE, 8, words),
        (Access.READ, 0),
        (Access.WAIT, 5),
        (Access.WRITE, 12, 1),
        *accesses,
    ]
    stimulus = Stimulus(
        {},
        {},
        agents={"memory": memory, "control": script},
        buffers=memory.buffers(content) | script.buffers(steps),
        patience=100,
        limit=1000,
    )
    return engine(copier, stimulus), memory


ENGINES = {"amaranth": amaranth_engine.run, "compiled": compiled_engine.run}


@pytest.mark.parametrize(("lanes", "stalls"), [(None, 0.3), (2, 0.0)])
def test_copy(lanes, stalls):
    seed = 3
    rng = np.random.default_rng(seed)
    content = rng.integers(0, 256, (1024,) if lanes is None else (lanes, 1024), np.uint8)
    recordings = {}
    for name, engine in ENGINES.items():
        recordings[name], memory = copy(
            engine,
            source=0x100,
            destination=0x210,
            words=21,
            content=content,
            size=1024,
            accesses=[(Access.INTERRUPT,), (Access.POLL, 12, 0, 1), (Access.READ, 8)],
            stalls=stalls,
            read_latency=9,
            bandwidth=(2, 3),
        )
    expected = content.copy().view("<u4")
    expected[..., 0x84 : 0x84 + 21] = expected[..., 0x40 : 0x40 + 21] + np.uint32(1)
    first, second = recordings.values()
    for recording in (first, second):
        found = memory.content(recording.buffers)
        assert np.array_equal(found, expected.view(np.uint8)), f"seed {seed}"
        results = np.broadcast_to(recording.buffers["script.result"], (lanes or 1, 10))
        assert (results[:, 4] == 0x100).all() and (results[:, 9] == 0).all()
        cycles = np.broadcast_to(recording.buffers["script.cycle"], (lanes or 1, 10))
        # A wait of five cycles, and nothing between two steps.
        assert (cycles[:, 5] - cycles[:, 4] == 5).all()
    assert first.buffers.keys() == second.buffers.keys()
    for name, array in first.buffers.items():
        assert np.array_equal(array, second.buffers[name]), f"seed {seed}, {name}"


def test_content_of_lanes_for_a_shared_memory():
    message = r"^buffer 'dram.\d' is the same for all lanes, and was given for each$"
    with pytest.raises(ValueError, match=message):
        copy(
            compiled_engine.run,
            source=0,
            destination=0,
            words=4,
            content=np.zeros((2, 8), np.uint8),
            accesses=[],
            shared=True,
            writable=False,
        )


@pytest.mark.parametrize("engine", ENGINES)
def test_copy_across_a_boundary(engine):
    zeros = np.zeros(0, np.uint8)
    rule = r"^dram got a burst that crosses a boundary of 4096 bytes, in cycle \d+$"
    with pytest.raises(StreamError, match=rule):
        copy(
            ENGINES[engine],
            source=0xFF8,
            destination=0,
            words=4,
            content=zeros,
            accesses=[(Access.INTERRUPT,)],
        )


@pytest.mark.parametrize("engine", ENGINES)
def test_refused_access(engine):
    with pytest.raises(StreamError, match=r"^script got an error as the answer to an access, in"):
        copy(
            ENGINES[engine],
            source=0,
            destination=0,
            words=4,
            content=np.zeros(0, np.uint8),
            accesses=[(Access.WRITE, 16, 1)],
        )


@pytest.mark.parametrize("engine", ENGINES)
def test_copy_without_end(engine):
    """The register that is polled never has these bits."""
    with pytest.raises(Unfinished, match=r"^the run is not over after 1000 cycles$"):
        copy(
            ENGINES[engine],
            source=0,
            destination=0,
            words=4,
            content=np.zeros(0, np.uint8),
            accesses=[(Access.POLL, 8, 9, 15)],
        )


@pytest.mark.parametrize("engine", ENGINES)
def test_waiting_for_an_interrupt(engine):
    """The message tells what the channels do."""
    idle = ", ".join(
        f"dram.{channel} {state}"
        for channel, state in {
            "aw": "waits for a beat",
            "w": "idle",
            "b": "idle",
            "ar": "waits for a beat",
            "r": "idle",
        }.items()
    )
    with pytest.raises(Stalled, match=rf"^nothing moved for 100 cycles up to cycle \d+: {idle}, "):
        copy(
            ENGINES[engine],
            source=0,
            destination=0,
            words=4,
            content=np.zeros(0, np.uint8),
            accesses=[(Access.INTERRUPT,), (Access.INTERRUPT,)],
        )
