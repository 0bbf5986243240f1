"""The engine on Amaranth's own simulator: slow, and the judge of small cases."""

import random
from contextlib import nullcontext

import numpy as np
from amaranth.hdl import Value
from amaranth.sim import Simulator

from .engine import Recording, Stalled, StreamError, Transfers

__all__ = ["run"]


def run(component, stimulus):
    """Simulate ``component`` under ``stimulus``. Raises `StreamError`, `Stalled`."""
    chance = stimulus.stalls, stimulus.seed
    sources = [
        _Source(name, getattr(component, name), beats, *chance)
        for name, beats in stimulus.inputs.items()
    ]
    sinks = [
        _Sink(name, getattr(component, name), count, *chance)
        for name, count in stimulus.outputs.items()
    ]
    probes = [_Watch(name, *probe) for name, probe in stimulus.probes.items()]
    agents: list[_Source | _Sink] = [*sources, *sinks]
    watches: list[_Watch] = [*agents, *probes]
    signals = [signal for watch in watches for signal in watch.signals]

    async def bench(ctx):
        cycle = idle = 0
        while any(len(watch.cycles) < watch.count for watch in watches):
            for agent in agents:
                agent.drive(ctx)
            _, _, *values = await ctx.tick().sample(*signals)
            idle += 1
            for k, watch in enumerate(watches):
                if watch.observe(cycle, *values[3 * k : 3 * k + 3]):
                    idle = 0
            cycle += 1
            if idle > stimulus.patience:
                waits = ", ".join(
                    _describe(watch.name, *values[3 * k : 3 * k + 2])
                    for k, watch in enumerate(watches)
                )
                raise Stalled(
                    f"nothing moved for {stimulus.patience} cycles up to cycle {cycle}: {waits}"
                )
            if stimulus.progress is not None and cycle % 64 == 0:
                stimulus.progress(sum(len(sink.cycles) for sink in sinks), cycle)

    simulator = Simulator(component)
    simulator.add_clock(1e-8)
    with simulator.write_vcd(str(stimulus.wave)) if stimulus.wave is not None else nullcontext():
        # Only when the file is open, because a bench that never runs gives a warning.
        simulator.add_testbench(bench)
        simulator.run()
    return Recording(*({w.name: w.transfers for w in group} for group in (sources, sinks, probes)))


def _describe(name, valid, ready):
    states = {
        (0, 0): "idle",
        (0, 1): "waits for a beat",
        (1, 0): "waits for ready",
        (1, 1): "moves",
    }
    return f"{name} {states[bool(valid), bool(ready)]}"


class _Watch:
    """Records a stream's transfers, ``count`` of them, and holds it to the stream contract."""

    def __init__(self, name, stream, count):
        self.name = name
        self.count = count
        self.signals = stream.valid, stream.ready, Value.cast(stream.payload)
        self.cycles: list[int] = []
        self.payloads: list[int] = []
        self.offered = None

    def observe(self, cycle, valid, ready, payload):
        """Note what a cycle brought; whether a beat moved."""
        if self.offered is not None and (not valid or payload != self.offered):
            raise StreamError(
                f"stream {self.name} changed a beat that was offered and not yet taken, "
                f"in cycle {cycle}"
            )
        self.offered = payload if valid and not ready else None
        if valid and ready:
            self.cycles.append(cycle)
            self.payloads.append(payload)
            return True
        return False

    @property
    def transfers(self):
        return Transfers(np.array(self.cycles, np.int64), self.payloads)


class _Source(_Watch):
    def __init__(self, name, stream, beats, stalls, seed):
        super().__init__(name, stream, len(beats))
        self.beats = beats
        self.stalls = stalls
        self.random = random.Random(f"{seed} {name}")

    def drive(self, ctx):
        """Offer the next beat, or none; one that was offered stays until it is taken."""
        valid, _, payload = self.signals
        if self.offered is not None:
            return
        done = len(self.payloads) == self.count
        pause = done or (self.stalls and self.random.random() < self.stalls)
        ctx.set(valid, not pause)
        if not pause:
            ctx.set(payload, self.beats[len(self.payloads)])


class _Sink(_Watch):
    def __init__(self, name, stream, count, stalls, seed):
        super().__init__(name, stream, count)
        self.stalls = stalls
        self.random = random.Random(f"{seed} {name}")

    def drive(self, ctx):
        """Be ready, or not."""
        _, ready, _ = self.signals
        ctx.set(ready, not self.stalls or self.random.random() >= self.stalls)
