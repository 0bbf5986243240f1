"""Testbenches run on Amaranth's simulator and on ours, and have to see the same."""

import io
import random
import re

import amaranth.sim
import numpy as np
import pytest
from amaranth.hdl import (
    Array,
    Assert,
    Cat,
    ClockDomain,
    Const,
    DomainRenamer,
    EnableInserter,
    Module,
    Mux,
    ResetInserter,
    Signal,
    Value,
    signed,
    unsigned,
)
from amaranth.hdl._ir import DriverConflict
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.sim import BrokenTrigger, DomainReset

from hwsim.sim.compiled.simulation import AssertionFailed
from hwsim.sim.testbench import Simulator, UnknownSignalError
from tests.rtl.catalogue import catalogue
from tests.sim.circuits import amaranth_circuit, extreme
from tests.sim.test_waves import read

SIMULATORS = [amaranth.sim.Simulator, Simulator]


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HWSIM_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


class Accumulator(wiring.Component):
    """Adds up what comes in."""

    def __init__(self):
        super().__init__(
            {
                "i": In(stream.Signature(signed(8))),
                "o": Out(stream.Signature(signed(16))),
                "clear": In(1),
            }
        )
        self.total = Signal(signed(16))

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.i.ready.eq(self.o.ready | ~self.o.valid)
        with m.If(self.i.ready):
            m.d.sync += self.o.valid.eq(self.i.valid)
            with m.If(self.i.valid):
                m.d.sync += self.total.eq(self.total + self.i.payload)
                m.d.sync += self.o.payload.eq(self.total + self.i.payload)
        with m.If(self.clear):
            m.d.sync += self.total.eq(0)
        return m


def both(make, *, period=1e-6, domain="sync", run=lambda simulator: simulator.run()):
    """Run what ``make(log)`` gives, a design and its testbenches, on both simulators.

    Testbenches that are to run in the background come as pairs with True. Gives the log.
    """
    logs = []
    for kind in SIMULATORS:
        log = []
        design, *benches = make(log)
        simulator = kind(design)
        if period is not None:
            simulator.add_clock(period, domain=domain)
        for bench in benches:
            bench, background = bench if isinstance(bench, tuple) else (bench, False)
            simulator.add_testbench(bench, background=background)
        run(simulator)
        logs.append(log)
    assert logs[0] == logs[1]
    assert logs[0]
    return logs[0]


# What a testbench does


@pytest.mark.parametrize("seed", range(4))
def test_streams(seed):
    def make(log):
        dut = Accumulator()
        rng = random.Random(seed)
        pauses = [[rng.randrange(4) * rng.randrange(2) for _ in range(30)] for _ in range(2)]
        values = [rng.randint(-128, 127) for _ in range(30)]

        async def send(ctx):
            for value, pause in zip(values, pauses[0], strict=True):
                if pause:
                    await ctx.tick().repeat(pause)
                ctx.set(dut.i.payload, value)
                ctx.set(dut.i.valid, 1)
                await ctx.tick().until(dut.i.ready)
                ctx.set(dut.i.valid, 0)
                log.append(("sent", value, ctx.get(dut.total)))

        async def receive(ctx):
            for pause in pauses[1]:
                for _ in range(pause):
                    await ctx.tick()
                ctx.set(dut.o.ready, 1)
                (value,) = await ctx.tick().sample(dut.o.payload).until(dut.o.valid & dut.o.ready)
                ctx.set(dut.o.ready, 0)
                log.append(("received", value))

        return dut, send, receive

    log = both(make)
    assert sum(event == "received" for event, *_ in log) == 30


def test_order_and_immediate_effect():
    def make(log):
        m = Module()
        a, b, total, count = Signal(8), Signal(8), Signal(9), Signal(8)
        m.d.comb += total.eq(a + b)
        m.d.sync += count.eq(count + total)

        def bench(name, target, other):
            async def run(ctx):
                for k in range(4):
                    log.append((name, k, ctx.get(total), ctx.get(count), ctx.get(other)))
                    ctx.set(target, 10 * k + 1)
                    log.append((name, k, ctx.get(total), ctx.get(target), ctx.get(count)))
                    log.append((name, *await ctx.tick().sample(total, count, a, b)))

            return run

        return m, bench("first", a, b), bench("second", b, a)

    both(make)


def test_ends_and_failures():
    def make(log):
        m = Module()
        count = Signal(8)
        m.d.sync += count.eq(count + 1)

        async def endless(ctx):
            async for clock, reset, value in ctx.tick().sample(count):
                log.append((clock, reset, value))

        async def short(ctx):
            await ctx.tick().repeat(5)

        async def transaction(ctx):
            await ctx.tick().repeat(3)
            with ctx.critical():
                log.append("critical")
                await ctx.tick().repeat(6)
                log.append("no longer")
            # Not by repeat(): a testbench that is left in it gives a warning when it is deleted.
            for _ in range(50):
                await ctx.tick()
            log.append("never")

        return m, (endless, True), short, (transaction, True)

    log = both(make)
    assert log[-1] == "no longer"
    assert "never" not in log


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_exception_of_a_testbench(simulator):
    async def bench(ctx):
        await ctx.tick()
        raise KeyError("mine")

    sim = simulator(Accumulator())
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    with pytest.raises(KeyError, match="mine"):
        sim.run()


def test_missed_edge():
    def make(log):
        dut = Accumulator()

        async def bench(ctx):
            loop = ctx.tick().sample(dut.o.valid).__aiter__()
            log.append(await loop.__anext__())
            await ctx.tick()
            try:
                await loop.__anext__()
            except BrokenTrigger:
                log.append("broken")
            ticks = ctx.tick()
            for _ in range(2):
                await ticks
                log.append("again")
            async for _ in ctx.tick():
                break
            await ctx.tick()
            log.append("left")

        return dut, bench

    assert both(make)[1:] == ["broken", "again", "again", "left"]


def test_reset():
    def make(log):
        m = Module()
        m.domains.sync = domain = ClockDomain()
        count, held = Signal(8, init=7), Signal(8, reset_less=True)
        m.d.sync += [count.eq(count + 1), held.eq(held + 1)]

        async def bench(ctx):
            for k in range(12):
                ctx.set(domain.rst, k in (3, 4, 8))
                log.append(ctx.get(Cat(count, held)))
                log.append(await ctx.tick().sample(count, domain.rst))

        async def waiting(ctx):
            for wait in (
                lambda tick: tick.until(count == 9),
                lambda tick: tick.until(count == 99),
                lambda tick: tick.repeat(1),
                lambda tick: tick.repeat(9),
            ):
                try:
                    log.append(await wait(ctx.tick().sample(count)))
                except DomainReset:
                    log.append("reset")

        return m, bench, waiting

    log = both(make)
    assert log.count("reset") > 1


def test_asynchronous_reset():
    def make(log):
        m = Module()
        m.domains.sync = domain = ClockDomain(async_reset=True)
        count = Signal(8, init=7)
        m.d.sync += count.eq(count + 1)

        async def bench(ctx):
            for k in range(9):
                if k in (3, 5):
                    ctx.set(domain.rst, k == 3)
                log.append((k, ctx.get(count)))
                log.append(await ctx.tick().sample(count, domain.rst))

        async def waiting(ctx):
            async for event in ctx.tick().sample(count, domain.rst):
                log.append(event)

        return m, (waiting, True), bench

    log = both(make)
    assert (False, True, 10, 1) in log


class Mode(enum.Enum, shape=3):
    IDLE = 0
    RUN = 5


class Turn(enum.Enum, shape=signed(3)):
    LEFT = 0
    RIGHT = 3


PIXEL = data.StructLayout({"red": unsigned(5), "mode": Mode, "level": signed(7)})


class Views(wiring.Component):
    i: In(PIXEL)
    o: Out(PIXEL)
    row: In(data.ArrayLayout(signed(5), 3))
    mode: Out(Mode)
    wide: In(200)
    wider: Out(signed(140))
    index: In(8)
    preset: In(signed(6), init=-9)
    turn: In(Turn)  # of no use

    def elaborate(self, platform):
        m = Module()
        m.d.sync += [self.o.eq(self.i), self.o.level.eq(self.row[1] + self.preset)]
        m.d.comb += [self.mode.eq(self.i.mode), self.wider.eq(self.wide[30:170])]
        return m


def test_views_and_expressions():
    def make(log):
        dut = Views()
        rng = random.Random(1)

        async def bench(ctx):
            log.append([ctx.get(x) for x in (dut.i, dut.o, dut.row, dut.mode, dut.preset)])
            for signal, value in ((dut.preset, 200), (dut.preset, -33), (dut.index, -1)):
                ctx.set(signal, value)
                log.append(ctx.get(signal))
            for _ in range(20):
                pixel = {"red": rng.randrange(32), "mode": rng.choice([*Mode]), "level": -3}
                ctx.set(dut.i, pixel)
                ctx.set(dut.i.level, rng.randint(-64, 63))
                ctx.set(dut.row[1], rng.randint(-16, 15))
                ctx.set(dut.wide, rng.getrandbits(200))
                ctx.set(dut.wide[90:100], rng.getrandbits(10))
                ctx.set(Cat(dut.index[:4], dut.row[0]), rng.getrandbits(9))
                ctx.set(dut.preset.as_unsigned(), rng.getrandbits(6))
                ctx.set(dut.wide.bit_select(dut.index, 3), rng.getrandbits(3))
                ctx.set(Array([dut.row[2], dut.row[0]])[dut.index[0]], 11)
                log.append([ctx.get(x) for x in (dut.i, dut.row, dut.mode, dut.wide, dut.wider)])
                wide = dut.wide
                expressions = [
                    dut.i.level + dut.row[0],
                    dut.i.level * dut.preset - 3,
                    -dut.row[1] // (dut.index + 1),
                    dut.preset % dut.i.level,
                    ~dut.wider,
                    dut.wider >> dut.index[:5],
                    dut.index << dut.index[:3],
                    wide.all() | wide[3:9].any() ^ wide.xor(),
                    Mux(dut.i.level < dut.preset, dut.wider, wide[5:]),
                    dut.index.matches("--1-0--1", 8),
                    Array([dut.index, dut.i.red, Const(3)])[dut.index[:2]],
                    wide.word_select(dut.index[:5], 6),
                    Cat(dut.i.red, dut.row).replicate(2),
                    (dut.i.level == -3) & (dut.wider >= 0).bool(),
                    dut.index.rotate_left(3),
                    abs(dut.wider),
                ]
                log.append([ctx.get(x) for x in expressions])
                log.append(await ctx.tick().sample(dut.o, dut.mode, dut.row, *expressions))
                log.append(ctx.get(dut.o))

        return dut, bench

    log = both(make)
    assert log[0][4] == -9
    assert log[1:4] == [8, 31, 255]
    assert isinstance(log[4][2], Mode)


def test_inner_signals():
    class Inner(wiring.Component):
        a: In(6)
        b: Out(6)

        def elaborate(self, platform):
            m = Module()
            self.twice = Signal(7)
            self.state = Signal(6)
            m.d.comb += self.twice.eq(self.a * 2)
            m.d.sync += [self.state.eq(self.twice), self.b.eq(self.state ^ 5)]
            return m

    def make(log):
        m = Module()
        inner = [Inner() for _ in range(3)]
        memory = Memory(shape=signed(6), depth=5, init=[3, -4])
        m.submodules.memory = memory
        read, write = memory.read_port(), memory.write_port()
        late = memory.read_port(domain="comb")
        a = Signal(6)
        m.submodules += inner
        m.d.comb += [inner[0].a.eq(a), inner[1].a.eq(inner[0].b), inner[2].a.eq(inner[1].b)]
        m.d.comb += [write.addr.eq(inner[0].b), write.data.eq(inner[1].b)]
        m.d.comb += late.addr.eq(read.addr)
        unused = Signal(4, init=9)
        constant, empty = Signal(5), Signal(0)
        m.d.comb += [constant.eq(21), empty.eq(a)]

        async def bench(ctx):
            rng = random.Random(3)
            ctx.set(write.en, 1)
            for _ in range(20):
                ctx.set(a, rng.getrandbits(6))
                ctx.set(read.addr, rng.randrange(8))
                ctx.set(read.en, rng.randrange(2))
                signals = [x for i in inner for x in (i.a, i.b, i.twice, i.state)]
                signals += [read.data, late.data, write.addr, unused, constant, empty]
                log.append([ctx.get(signal) for signal in signals])
                ctx.set(unused, rng.getrandbits(4))
                await ctx.tick()

        return m, bench

    both(make)


def chain(log, variant):
    """Equal modules, enough of them to be compiled once."""
    m = Module()
    x, signals = Signal(8, name="x"), []
    # In the other modules what comes in and what goes out has the same name, and so gets another
    # one in the netlist. The first module shall be no exception, or be one.
    previous = Signal(8, name="x" if variant == "first differs" else "out")
    m.d.comb += previous.eq(x)
    for k in range(12):
        inner = Module()
        total = Signal(8, name=f"total{k}" if variant == "all differ" else "total")
        out = Signal(8, name="out")
        inner.d.sync += total.eq(total + previous)
        inner.d.comb += out.eq(total * 3)
        m.submodules[f"cell{k}"] = inner
        signals += [total, out]
        previous = out

    async def bench(ctx):
        for k in range(10):
            ctx.set(x, 77 * k % 256)
            log.append([ctx.get(signal) for signal in signals])
            log.append(await ctx.tick().sample(*signals))

    return m, bench


@pytest.mark.parametrize("variant", ["equal names", "first differs", "all differ"])
def test_many_instances(variant):
    both(lambda log: chain(log, variant))


def test_clock_can_be_read():
    def make(log):
        m = Module()
        m.domains.sync = domain = ClockDomain()
        count = Signal(4)
        m.d.sync += count.eq(count + 1)

        async def bench(ctx):
            log.append(ctx.get(domain.clk))
            log.append(await ctx.tick().sample(domain.clk, count))
            log.append((ctx.get(domain.clk), ctx.get(count)))
            log.append(await ctx.posedge(domain.clk).sample(count))
            log.append(await ctx.tick(domain).sample(count))

        return m, bench

    def run(simulator):
        simulator.run()
        simulator.reset()
        simulator.run()

    both(make, run=run)


def test_other_name_of_the_domain_and_inserters():
    def make(log):
        m = Module()
        go, clear = Signal(), Signal()
        inner = Module()
        count = Signal(8)
        inner.d.sync += count.eq(count + 1)
        inner = ResetInserter(clear)(EnableInserter(go)(inner))
        m.submodules.inner = DomainRenamer("pixel")(inner)

        async def bench(ctx):
            rng = random.Random(5)
            for _ in range(30):
                ctx.set(go, rng.random() < 0.7)
                ctx.set(clear, rng.random() < 0.1)
                log.append(await ctx.tick("pixel").sample(count))

        return m, bench

    both(make, domain="pixel")


def test_without_a_clock():
    def make(log):
        m = Module()
        a, b, product = Signal(8), Signal(8), Signal(16)
        m.d.comb += product.eq(a * b)

        async def bench(ctx):
            for x in range(5):
                ctx.set(a, x * 50)
                ctx.set(b, x + 200)
                log.append(ctx.get(product))

        return m, bench

    assert both(make, period=None) == [0, 50 * 201, 100 * 202, 150 * 203, 200 * 204]


def test_time():
    def make(log):
        m = Module()
        count = Signal(8)
        m.d.sync += count.eq(count + 1)

        async def bench(ctx):
            async for _, _, value in ctx.tick().sample(count):
                log.append(value)

        def run(simulator):
            simulator.run_until(2.6e-6)
            log.append("later")
            simulator.run_until(7e-6)
            log.append([simulator.advance() for _ in range(4)])
            simulator.reset()
            log.append("reset")
            simulator.run_until(2e-6)

        make.run = run
        return m, bench

    def run(simulator):
        make.run(simulator)

    log = both(make, run=run)
    assert log[:5] == [0, 1, 2, "later", 3]


def test_phase_of_the_clock():
    logs = []
    for kind in SIMULATORS:
        m = Module()
        count = Signal(8)
        m.d.sync += count.eq(count + 1)
        log = []

        async def bench(ctx, log=log, count=count):
            async for _, _, value in ctx.tick().sample(count):
                log.append(value)

        simulator = kind(m)
        simulator.add_clock(4e-6, phase=1e-6)
        simulator.add_testbench(bench)
        for deadline in range(2, 30, 2):
            simulator.run_until(deadline * 1e-6)
            log.append(f"until {deadline}")
        logs.append(log)
    assert logs[0] == logs[1]


def test_reset_of_the_simulator():
    def make(log):
        dut = Accumulator()

        async def bench(ctx):
            for value in (5, -7, 9):
                ctx.set(dut.i.payload, value)
                ctx.set(dut.i.valid, 1)
                ctx.set(dut.o.ready, 1)
                log.append(await ctx.tick().sample(dut.i.payload, dut.total, dut.o.payload))

        return dut, bench

    def run(simulator):
        simulator.run()
        simulator.reset()
        simulator.run()

    log = both(make, run=run)
    assert log[:3] == log[3:]


@pytest.mark.parametrize("seed", range(12))
def test_random_circuits(seed):
    def make(log):
        circuit = amaranth_circuit(seed)
        component = circuit.component()
        rng = random.Random(seed)

        async def bench(ctx):
            reset = getattr(component, "rst", None)
            outputs = [getattr(component, name) for name in circuit.outputs]
            for _ in range(25):
                for name, width in circuit.inputs.items():
                    if rng.random() < 0.6:
                        ctx.set(getattr(component, name).as_unsigned(), extreme(rng, width))
                if reset is not None:
                    ctx.set(reset, rng.random() < 0.1)
                log.append([ctx.get(output) for output in outputs])
                if rng.random() < 0.8:
                    log.append(await ctx.tick().sample(*outputs))

        return component, bench

    both(make)


def stream_ports(component):
    """Signals of streams that go in, and of those that come out."""
    ports = {In: [], Out: []}
    for name, member in component.signature.members.items():
        port = getattr(component, name)
        ports[member.flow].append((port.valid, port.ready, Value.cast(port.payload)))
    return ports[In], ports[Out]


@pytest.mark.parametrize(
    "name", ["conv_grouped", "pool_average_padded", "add", "fork", "resize_up", "queue_deep"]
)
def test_units_of_the_library(name):
    def make(log):
        component = catalogue(name)[name]
        inputs, outputs = stream_ports(component)
        signals = [signal for port in (*inputs, *outputs) for signal in port]
        rng = random.Random(name)

        async def bench(ctx):
            for _, _, payload in inputs:
                ctx.set(payload, rng.getrandbits(len(payload)))
            for _ in range(120):
                for valid, _, _ in inputs:
                    ctx.set(valid, ctx.get(valid) or rng.random() < 0.8)
                for _, ready, _ in outputs:
                    ctx.set(ready, rng.random() < 0.8)
                log.append((await ctx.tick().sample(*signals))[2:])
                taken = log[-1][1 : 3 * len(inputs) : 3]
                for (valid, _, payload), ready in zip(inputs, taken, strict=True):
                    if ready and ctx.get(valid):
                        ctx.set(payload, rng.getrandbits(len(payload)))
                        ctx.set(valid, 0)

        return component, bench

    log = both(make)
    assert any(entry[-3] and entry[-2] for entry in log)


# What it refuses


def raises(error, message):
    return pytest.raises(error, match=f"^{re.escape(message)}$")


def refusal(design, bench, *, clock=True):
    simulator = Simulator(design)
    if clock:
        simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    with pytest.raises((NotImplementedError, RuntimeError, DriverConflict)) as raised:
        simulator.run()
    return raised.type, str(raised.value)


async def _delay(ctx):
    await ctx.delay(1e-6)


async def _changed(ctx):
    await ctx.changed(Signal())


def test_refuses_triggers():
    assert refusal(Accumulator(), _delay) == (
        NotImplementedError,
        "the compiled engine has no delays: wait for ctx.tick()",
    )
    assert refusal(Accumulator(), _changed) == (
        NotImplementedError,
        "the compiled engine does not wait for changes of signals: use ctx.tick().until(...)",
    )
    dut = Accumulator()

    async def edge(ctx):
        await ctx.posedge(dut.o.valid)

    assert refusal(dut, edge) == (
        NotImplementedError,
        "the compiled engine waits for rising edges of the clock, and for edges of inputs, but not "
        "for edges of o__valid",
    )

    async def tick(ctx):
        await ctx.tick()

    assert refusal(Accumulator(), tick, clock=False) == (
        RuntimeError,
        "a testbench waits for the clock, and no clock was added",
    )

    async def other(ctx):
        await ctx.posedge(dut.i.valid)

    dut = Accumulator()
    assert refusal(dut, other, clock=False) == (
        RuntimeError,
        "a testbench waits for what cannot happen, because no clock was added",
    )


def test_refuses_to_set():
    dut = Accumulator()

    def setting(signal):
        async def bench(ctx):
            ctx.set(signal, 1)

        return bench

    assert refusal(dut, setting(dut.i.ready)) == (
        DriverConflict,
        "Combinationally driven signals cannot be overriden by testbenches",
    )
    dut = Accumulator()
    assert refusal(dut, setting(dut.total)) == (
        NotImplementedError,
        "signal total is a register, and the compiled engine sets inputs only",
    )
    m = Module()
    m.domains.sync = domain = ClockDomain()
    m.d.sync += Signal().eq(1)
    assert refusal(m, setting(domain.clk)) == (
        NotImplementedError,
        "the clock, clk, cannot be set: it runs by add_clock, and by step",
    )
    m = Module()
    m.submodules.memory = memory = Memory(shape=8, depth=4, init=[])
    memory.read_port()
    assert refusal(m, setting(memory.data[1])) == (
        NotImplementedError,
        "the compiled engine does not read or set rows of memories",
    )


def test_refuses_processes_and_more_clocks():
    async def process(ctx):
        pass

    simulator = Simulator(Accumulator())
    simulator.add_clock(1e-6)
    with raises(
        NotImplementedError,
        "the compiled engine runs no processes: add a testbench, or use Amaranth's simulator",
    ):
        simulator.add_process(process)
    with pytest.raises(DriverConflict, match="already has a clock driving it"):
        simulator.add_clock(1e-6)
    with raises(NotImplementedError, "the compiled engine has one clock, clk, and not other_clk"):
        simulator.add_clock(1e-6, domain=ClockDomain("other"))
    with pytest.raises(NameError, match="Domain 'other' is not present in simulation"):
        simulator.add_clock(1e-6, domain="other")


# By hand


def test_step_poke_peek():
    dut = Accumulator()
    simulator = Simulator(dut)
    assert simulator.lanes == 1
    assert simulator.peek(dut.i.ready) == 1
    simulator.poke(dut.i.payload, -100)
    simulator.poke("i__valid", 1)
    simulator.poke(dut.o.ready, True)
    assert simulator.peek(dut.i.payload) == simulator.peek("i__payload") == -100
    simulator.step(3)
    assert simulator.peek(dut.total) == simulator.peek("total") == -300
    assert simulator.peek(dut.o.payload + dut.i.payload) == -400
    simulator.poke(dut.i.payload[:4], 1)
    assert simulator.peek(dut.i.payload) == -100 & ~15 | 1
    simulator.step()
    assert simulator.peek("o__payload") == -300 - 111
    simulator.step(0)
    simulator.reset()
    assert simulator.peek("i__valid") == simulator.peek("total") == 0
    simulator.step(100)
    assert simulator.peek("total") == 0


def test_peek_gives_bits_of_views():
    dut = Views()
    simulator = Simulator(dut)
    simulator.poke(dut.i, {"red": 3, "mode": Mode.RUN, "level": -1})
    assert simulator.peek(dut.i) == 3 | 5 << 5 | 127 << 8
    assert simulator.peek(dut.mode) == 5
    assert simulator.peek("mode") == 5
    simulator.poke(dut.i, 77)
    assert simulator.peek(dut.i) == 77
    assert simulator.peek("preset") == -9
    assert simulator.peek("wider") == 0
    simulator.poke("wide", -1 % (1 << 200))
    assert simulator.peek("wider") == -1
    simulator.poke("turn", 3)
    assert simulator.peek(dut.turn) == 3


def test_step_runs_testbenches():
    dut = Accumulator()
    simulator = Simulator(dut)
    seen = []

    async def bench(ctx):
        ctx.set(dut.o.ready, 1)
        ctx.set(dut.i.valid, 1)
        async for _, _, total in ctx.tick().sample(dut.total):
            seen.append(total)
            ctx.set(dut.i.payload, len(seen))

    simulator.add_testbench(bench)
    with raises(RuntimeError, "testbenches run along with a clock, and no clock was added"):
        simulator.step(4)
    simulator.add_clock(1e-6)
    simulator.step(4)
    assert seen == [0, 0, 1, 3]
    assert simulator.peek(dut.total) == 6
    simulator.step(2)
    assert seen == [0, 0, 1, 3, 6, 10]


@pytest.mark.parametrize("lanes", [2, 5, 64])
def test_lanes(lanes):
    dut = Views()
    simulator = Simulator(dut, lanes=lanes)
    rng = np.random.default_rng(lanes)
    wide = [int.from_bytes(rng.bytes(25), "little") for _ in range(lanes)]
    level = rng.integers(-16, 16, lanes)
    row = [int(value) % 32 << 5 for value in level]
    simulator.poke("wide", wide)
    simulator.poke(dut.row, np.array(row))
    simulator.poke(dut.preset, 3)
    simulator.step()
    found = simulator.peek("wider")
    assert found.shape == (lanes,)
    assert found.dtype == object
    half = 1 << 139
    assert found.tolist() == [((w >> 30) % (1 << 140) + half) % (1 << 140) - half for w in wide]
    level_of = simulator.peek(dut.o) >> 8
    assert level_of.dtype == np.int64
    assert level_of.tolist() == [(value + 3) % 128 for value in level.tolist()]
    assert simulator.peek("preset").tolist() == [3] * lanes
    assert simulator.peek(dut.preset).dtype == np.int64


def test_64_bits_in_lanes():
    m = Module()
    a, b, c = Signal(64), Signal(signed(64)), Signal(64)
    m.d.comb += [b.eq(a), c.eq(a)]
    simulator = Simulator(m, lanes=2)
    simulator.poke(a, np.array([1 << 63, 5], np.uint64))
    assert simulator.peek(b).tolist() == [-1 << 63, 5]
    assert simulator.peek(b).dtype == np.int64
    assert simulator.peek(c).tolist() == [1 << 63, 5]
    assert simulator.peek(c).dtype == np.uint64


VERILOG = """
module adder(input clk, input rst, input signed [7:0] a, output reg [15:0] sum, output stop);
  wire [15:0] next = sum + {{8{a[7]}}, a};
  assign stop = sum[3];
  always @(posedge clk) sum <= rst ? 16'd0 : next;
endmodule
module top(input clk, input rst, input [7:0] a, output [15:0] sum, output stop);
  adder first(clk, rst, a, sum, stop);
endmodule
"""


# Waveforms


def test_waveforms_of_a_testbench(tmp_path):
    dut = Views()
    simulator = Simulator(dut)
    seen = []

    async def bench(ctx):
        for k in range(6):
            ctx.set(dut.i, {"red": k, "mode": Mode.RUN if k & 1 else Mode.IDLE, "level": -k})
            ctx.set(dut.wide, 3 << 7 * k)
            ctx.set(dut.turn, [*Turn][k % 2])
            seen.append([ctx.get(Value.cast(x)) for x in (dut.i, dut.o, dut.wider, dut.preset)])
            await ctx.tick()

    simulator.add_clock(4e-9)
    simulator.add_testbench(bench)
    with simulator.write_vcd(tmp_path / "wave.vcd"):
        simulator.run()
    wave = read(tmp_path / "wave.vcd")
    times = np.arange(6) * 4000
    masks = [(1 << 15) - 1, (1 << 15) - 1, (1 << 140) - 1, 63]
    for name, values, mask in zip(
        ("i", "o", "wider", "preset"), zip(*seen, strict=True), masks, strict=True
    ):
        assert wave.values(("top", name), times) == [value & mask for value in values], name
    assert wave.values(("top", "mode_name"), times) == ["IDLE", "RUN"] * 3
    assert wave.values(("top", "turn_name"), times) == ["LEFT", "RIGHT"] * 3
    assert wave.times[-1] == 7 * 4000


@pytest.mark.parametrize("variant", ["first differs", "all differ"])
def test_waveforms_of_many_instances(variant, tmp_path):
    m, _ = chain([], variant)
    simulator = Simulator(m)
    simulator.poke("x", 1)
    with simulator.write_vcd(tmp_path / "wave.vcd"):
        simulator.step(9)
    wave = read(tmp_path / "wave.vcd")
    times = np.arange(10) * 10_000
    total = [0] * 10
    before = [1] * 10
    for k in range(12):
        total = [0, *np.cumsum(before)[:-1] % 256]
        name = f"total{k}" if variant == "all differ" else "total"
        assert wave.values(("top", f"cell{k}", name), times) == total
        before = [3 * value % 256 for value in total]
        if k < 11:
            assert wave.values(("top", f"cell{k + 1}", "out"), times) == before


@pytest.mark.parametrize("lane", [0, 2])
def test_waveforms_of_steps(lane, tmp_path):
    dut = Accumulator()
    simulator = Simulator(dut, lanes=3)
    simulator.step(5)
    simulator.poke(dut.i.valid, 1)
    simulator.poke(dut.o.ready, 1)
    with simulator.write_vcd(tmp_path / "wave.vcd", lane=lane):
        simulator.poke(dut.i.payload, [1, 2, 3])
        simulator.step(4)
        simulator.poke(dut.i.payload, -1)
        simulator.step(20_000)
    simulator.step()
    wave = read(tmp_path / "wave.vcd")
    times = (5 + np.arange(20_005)) * 10_000
    expected = [k * (lane + 1) for k in range(4)] + [4 * (lane + 1) - k for k in range(20_001)]
    assert wave.values(("top", "total"), times) == [value % (1 << 16) for value in expected]
    assert wave.times[-1] == 20_010 * 10_000
    with raises(ValueError, "lane must be an integer from 0 to 2, not 3"):
        simulator.write_vcd(tmp_path / "wave.vcd", lane=3)


@pytest.mark.parametrize("by_testbench", [False, True])
def test_waveforms_up_to_a_violation(by_testbench, tmp_path):
    m = Module()
    count = Signal(8)
    m.d.sync += count.eq(count + 1)
    m.d.sync += Assert(count < 200, "too many")
    simulator = Simulator(m)

    async def bench(ctx):
        while True:
            await ctx.tick()

    with (
        pytest.raises(AssertionFailed, match="too many"),
        simulator.write_vcd(tmp_path / "wave.vcd"),
    ):
        if by_testbench:
            simulator.add_clock(1e-6)
            simulator.add_testbench(bench)
            simulator.run()
        else:
            simulator.step(300)
    wave = read(tmp_path / "wave.vcd")
    values = wave.values(("top", "count"), np.array(wave.times[:-1]))
    assert values[::2] == [*range(202)]


def test_waveform_arguments(tmp_path):
    simulator = Simulator(Accumulator())
    with (
        raises(ValueError, "a waveform file must end in .vcd or .fst, not 'x.txt'"),
        simulator.write_vcd(tmp_path / "x.txt"),
    ):
        pass
    with (
        raises(TypeError, "the waveform file must be a path, not BytesIO"),
        simulator.write_vcd(io.BytesIO()),
    ):
        pass
    with (
        raises(NotImplementedError, "the compiled engine writes no save files for GTKWave"),
        simulator.write_vcd("x.vcd", "x.gtkw"),
    ):
        pass
    with simulator.write_vcd(str(tmp_path / "x.fst")):
        pass
    assert (tmp_path / "x.fst").stat().st_size > 300


@pytest.mark.parametrize("lanes", [1, 3])
def test_verilog(lanes, tmp_path):
    path = tmp_path / "adder.v"
    path.write_text(VERILOG)
    simulator = Simulator(path, top="top", lanes=lanes)
    simulator.poke("a", 255)
    simulator.step(20)
    assert np.all(simulator.peek("sum") == 65536 - 20)
    assert np.all(simulator.peek("first.next") == 65536 - 21)
    simulator.poke("rst", 1)
    simulator.step()
    assert np.all(simulator.peek("first.sum") == 0)
    with raises(TypeError, "a testbench needs a design in Amaranth: use poke, peek and step"):
        simulator.add_testbench(_delay)
    with raises(TypeError, "a clock needs a design in Amaranth: use poke, peek and step"):
        simulator.add_clock(1e-6)


def test_observe():
    dut = Accumulator()
    simulator = Simulator(dut, observe=[])
    simulator.poke(dut.i.payload, 3)
    simulator.poke(dut.i.valid, 1)
    simulator.step()
    assert simulator.peek(dut.o.payload) == 3
    dut = Views()
    hidden = Signal(9)
    m = Module()
    m.submodules.dut = dut
    m.d.comb += hidden.eq(dut.row[0] * dut.row[1])
    simulator = Simulator(m, observe=["dut.wider", dut.mode])
    assert simulator.peek(dut.wider) == 0
    with raises(UnknownSignalError, "signal hidden is not observed"):
        simulator.peek(hidden)
    with raises(UnknownSignalError, "signal hidden is not observed"):
        simulator.peek("hidden")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda s, d: s.peek("totol"),
            UnknownSignalError,
            "the design has no signal totol that is observed; it has total",
        ),
        (
            lambda s, d: s.peek("xyz"),
            UnknownSignalError,
            "the design has no signal xyz that is observed",
        ),
        (
            lambda s, d: s.poke("total", 3),
            ValueError,
            "signal total cannot be set: it is not an input",
        ),
        (
            lambda s, d: s.poke(d.i.ready, 1),
            ValueError,
            "signal i__ready cannot be set: it is not an input",
        ),
        (
            lambda s, d: s.poke(d.i.payload, 128),
            ValueError,
            "signal i__payload holds -128 to 127, not 128",
        ),
        (
            lambda s, d: s.poke("i__valid", -1),
            ValueError,
            "signal i__valid holds 0 to 1, not -1",
        ),
        (
            lambda s, d: s.poke("i__valid", 1.0),
            TypeError,
            "signal i__valid takes integers, not float",
        ),
        (
            lambda s, d: s.poke("i__payload", [1, 2]),
            ValueError,
            "signal i__payload takes one value, not an array of shape (2,)",
        ),
        (
            lambda s, d: s.poke(d.i.payload[:2], 4),
            ValueError,
            "(slice (sig i__payload) 0:2) holds 0 to 3, not 4",
        ),
        (
            lambda s, d: s.step(-1),
            ValueError,
            "cycles must be an integer of at least 0, not -1",
        ),
        (lambda s, d: s.run_until(1), RuntimeError, "time does not pass: no clock was added"),
        (
            lambda s, d: Simulator(d, lanes=0),
            ValueError,
            "lanes must be an integer from 1 to 1024, not 0",
        ),
        (
            lambda s, d: Simulator(d, observe="some"),
            ValueError,
            "observe must be \"all\" or a sequence of signals, not 'some'",
        ),
        (
            lambda s, d: Simulator(d, observe=["totol"]),
            UnknownSignalError,
            "the design has no signal totol",
        ),
        (
            lambda s, d: Simulator(d, observe=[Signal(name="mine")]),
            UnknownSignalError,
            "the design has no signal (sig mine)",
        ),
        (lambda s, d: Simulator(d, top="x"), TypeError, "top is for designs in Verilog"),
        (
            lambda s, d: Simulator("x.v"),
            TypeError,
            "a design in Verilog needs the name of its top module, top=",
        ),
        (
            lambda s, d: Simulator(d, lanes=2).poke("i__payload", [1, 2, 3]),
            ValueError,
            "signal i__payload takes one value or 2, not an array of shape (3,)",
        ),
        (
            lambda s, d: Simulator(d, lanes=2).peek(d.total + 1),
            ValueError,
            "expressions need a simulation of one lane, not of 2",
        ),
        (
            lambda s, d: Simulator(d, lanes=2).add_testbench(_delay),
            ValueError,
            "testbenches need a simulation of one lane, not of 2",
        ),
    ],
)
def test_refuses(call, error, message):
    dut = Accumulator()
    simulator = Simulator(dut)
    with raises(error, message):
        call(simulator, dut)
