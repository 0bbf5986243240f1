"""The engine on Amaranth's own simulator: slow, and the judge of small cases."""

from contextlib import nullcontext
from dataclasses import replace

import numpy as np
from amaranth.hdl import Cat, ClockDomain, Const, Elaboratable, Fragment, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.sim import Simulator

from .beats import codes_of_payloads, payloads_of
from .engine import (
    CHANGED,
    PATTERN_CYCLES,
    Recording,
    Stalled,
    StreamError,
    Transfers,
    Unfinished,
    failed_message,
    patterns,
    plan,
    stall_pattern,
    stalled_message,
    unfinished_message,
    whole_vcd,
)
from .stimulus.buffers import Memories

__all__ = ["run"]


def run(component, stimulus):
    """Simulate ``component`` under ``stimulus``. Raises `StreamError`, `Stalled`.

    Lanes one after the other; a wave is that of the first.
    """
    todo = plan(component, stimulus)
    if todo.lanes is None:
        return _run_lane(component, stimulus, todo, 0)
    recordings = [
        _run_lane(component, stimulus if lane == 0 else replace(stimulus, wave=None), todo, lane)
        for lane in range(todo.lanes)
    ]
    inputs, outputs, probes = (
        {
            traffic.name: Transfers(
                np.stack([getattr(r, kind)[traffic.name].cycles for r in recordings]),
                np.stack([getattr(r, kind)[traffic.name].codes for r in recordings]),
                traffic.elements,
                np.array([getattr(r, kind)[traffic.name].held for r in recordings]),
                np.array([getattr(r, kind)[traffic.name].starved for r in recordings]),
            )
            for traffic in getattr(todo, kind)
        }
        for kind in ("inputs", "outputs", "probes")
    )
    buffers = {
        name: np.stack([recording.buffers[name] for recording in recordings])
        for name in stimulus.buffers
    }
    return Recording(inputs, outputs, probes, buffers)


def _run_lane(component, stimulus, todo, lane):
    sources = [_Source(traffic, stimulus, lane) for traffic in todo.inputs]
    sinks = [_Sink(traffic, stimulus, lane) for traffic in todo.outputs]
    probes = [_Watch(traffic) for traffic in todo.probes]
    drivers: list[_Source | _Sink] = [*sources, *sinks]
    watches: list[_Watch] = [*drivers, *probes]
    channels = [(watch.name, watch.signals) for watch in watches]
    channels += [
        (name, (channel.valid, channel.ready, Const(0)))
        for name, channel in todo.channels[len(watches) :]
    ]
    agents = [agent for _, agent in todo.agents]
    signals = [signal for _, three in channels for signal in three]
    signals += [agent.moved for agent in agents]
    done = Cat(agent.done for agent in agents).all()
    if stimulus.until is not None:
        done &= stimulus.until
    columns = {
        name: array if array.ndim == 1 else array[lane] for name, array in stimulus.buffers.items()
    }
    memories = Memories(columns | patterns(stimulus))

    async def bench(ctx):
        cycle = idle = 0
        while True:
            for driver in drivers:
                driver.drive(ctx, cycle)
            if all(len(watch.cycles) == watch.count for watch in watches) and ctx.get(done):
                break
            if cycle == stimulus.limit:
                positions = [(watch.name, len(watch.cycles), watch.count) for watch in watches]
                raise Unfinished(unfinished_message(stimulus.limit, positions))
            _, _, *values = await ctx.tick().sample(*signals)
            idle += 1
            for k, watch in enumerate(watches):
                if watch.observe(cycle, *values[3 * k : 3 * k + 3]):
                    idle = 0
            if any(values[3 * len(channels) :]):
                idle = 0
            for agent in agents:
                for failure in agent.failures:
                    if number := ctx.get(failure.number):
                        rule = failure.messages[number]
                        raise StreamError(failed_message(agent.name, rule, cycle))
            cycle += 1
            if idle > stimulus.patience:
                states = [
                    (name, *values[3 * k : 3 * k + 2]) for k, (name, _) in enumerate(channels)
                ]
                raise Stalled(stalled_message(stimulus.patience, cycle, states))
            if stimulus.progress is not None and cycle % 64 == 0:
                stimulus.progress(sum(len(sink.cycles) for sink in sinks), cycle)
        for name, column in columns.items():
            if name in memories.data:
                rows = (memories.data[name][index] for index in range(len(column)))
                columns[name] = np.array([ctx.get(row) for row in rows], column.dtype)

    simulator = Simulator(Fragment.get(_Bench(component, todo.agents), memories))
    simulator.add_clock(1e-8)
    wave = whole_vcd(stimulus.wave, "amaranth")
    with simulator.write_vcd(str(wave)) if wave is not None else nullcontext():
        # Only when the file is open, because a bench that never runs gives a warning.
        simulator.add_testbench(bench)
        simulator.run()
    transfers = [{w.name: w.transfers for w in group} for group in (sources, sinks, probes)]
    return Recording(transfers[0], transfers[1], transfers[2], columns)


class _Bench(Elaboratable):
    """A component with a clock, the agents at its ports, and what these need."""

    def __init__(self, component, agents):
        self.component = component
        self.agents = agents

    def elaborate(self, platform):
        m = Module()
        m.domains.sync = ClockDomain()
        m.submodules.design = self.component
        if self.agents:
            cycle = Signal(64)
            m.d.sync += cycle.eq(cycle + 1)
            for k, (port, agent) in enumerate(self.agents):
                m.submodules[f"agent{k}"] = agent
                wiring.connect(m, port, agent.bus)
                m.d.comb += agent.cycle.eq(cycle)
            platform.add_to(m)
        return m


class _Watch:
    """Records a stream's transfers, ``count`` of them, and holds it to the stream contract."""

    def __init__(self, traffic):
        self.name = traffic.name
        self.elements = traffic.elements
        self.count = traffic.count
        stream = traffic.stream
        self.signals = stream.valid, stream.ready, Value.cast(stream.payload)
        self.cycles: list[int] = []
        self.payloads: list[int] = []
        self.offered = None
        self.held = self.starved = 0

    def observe(self, cycle, valid, ready, payload):
        """Note what a cycle brought; whether a beat moved."""
        if self.offered is not None and (not valid or payload != self.offered):
            raise StreamError(failed_message(f"stream {self.name}", CHANGED, cycle))
        self.offered = payload if valid and not ready else None
        self.held += valid and not ready
        self.starved += ready and not valid
        if valid and ready:
            if len(self.cycles) < self.count:
                self.cycles.append(cycle)
                self.payloads.append(payload)
            return True
        return False

    @property
    def transfers(self):
        width = len(self.signals[2])
        payloads = [payload % (1 << width) for payload in self.payloads]
        return Transfers(
            np.array(self.cycles, np.int64),
            codes_of_payloads(payloads, self.elements),
            self.elements,
            self.held,
            self.starved,
        )


class _Source(_Watch):
    def __init__(self, traffic, stimulus, lane):
        super().__init__(traffic)
        codes = traffic.codes if traffic.codes.ndim == 2 else traffic.codes[lane]
        self.beats = payloads_of(codes, traffic.elements)
        self.stalls = _pattern(traffic, stimulus, lane)

    def drive(self, ctx, cycle):
        """Offer the next beat, or none; one that was offered stays until it is taken."""
        valid, _, payload = self.signals
        done = len(self.payloads) == self.count
        stall = self.offered is None and self.stalls[cycle % PATTERN_CYCLES]
        ctx.set(valid, not (done or stall))
        ctx.set(payload, 0 if done else self.beats[len(self.payloads)])


class _Sink(_Watch):
    def __init__(self, traffic, stimulus, lane):
        super().__init__(traffic)
        self.always_ready = traffic.always_ready
        self.stalls = _pattern(traffic, stimulus, lane)

    def drive(self, ctx, cycle):
        """Be ready, or not."""
        if not self.always_ready:
            ctx.set(self.signals[1], not self.stalls[cycle % PATTERN_CYCLES])


def _pattern(traffic, stimulus, lane):
    lane = lane if stimulus.lane_stalls else 0
    return stall_pattern(stimulus.seed, traffic.name, stimulus.stalls, lane).tolist()
