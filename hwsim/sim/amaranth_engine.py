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
    sources = {
        name: _Source(beats, stimulus.stalls, stimulus.seed, name)
        for name, beats in stimulus.inputs.items()
    }
    sinks = {name: _Sink(stimulus.stalls, stimulus.seed, name) for name in stimulus.outputs}
    probes = {name: _Watch() for name in stimulus.probes}
    ports = {name: getattr(component, name) for name in (*sources, *sinks)}
    ports |= {name: stream for name, (stream, _) in stimulus.probes.items()}
    awaited: list[tuple[_Watch, int]] = [
        (agent, stimulus.outputs[name]) for name, agent in sinks.items()
    ]
    awaited += [(agent, stimulus.probes[name][1]) for name, agent in probes.items()]
    signals = [
        s for port in ports.values() for s in (port.valid, port.ready, Value.cast(port.payload))
    ]

    async def bench(ctx):
        cycle = idle = 0
        while True:
            for name, source in sources.items():
                payload = source.offer()
                ctx.set(ports[name].valid, payload is not None)
                if payload is not None:
                    ctx.set(Value.cast(ports[name].payload), payload)
            for name, sink in sinks.items():
                ctx.set(ports[name].ready, sink.ready())
            _, _, *values = await ctx.tick().sample(*signals)
            idle += 1
            for k, (name, agent) in enumerate((sources | sinks | probes).items()):
                valid, ready, payload = values[3 * k : 3 * k + 3]
                if agent.observe(cycle, valid, ready, payload, name):
                    idle = 0
            cycle += 1
            if all(len(agent.cycles) >= count for agent, count in awaited):
                return
            if idle > stimulus.patience:
                waits = ", ".join(
                    _describe(name, *values[3 * k : 3 * k + 2]) for k, name in enumerate(ports)
                )
                raise Stalled(
                    f"nothing moved for {stimulus.patience} cycles up to cycle {cycle}: {waits}"
                )
            if stimulus.progress is not None and cycle % 64 == 0:
                stimulus.progress(sum(len(sink.cycles) for sink in sinks.values()), cycle)

    simulator = Simulator(component)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    with simulator.write_vcd(str(stimulus.wave)) if stimulus.wave is not None else nullcontext():
        simulator.run()
    agents = sources | sinks | probes
    transfers = {
        name: Transfers(np.array(a.cycles, np.int64), a.payloads) for name, a in agents.items()
    }
    return Recording(transfers, tuple(sources), tuple(sinks))


def _describe(name, valid, ready):
    states = {
        (0, 0): "idle",
        (0, 1): "waits for a beat",
        (1, 0): "waits for ready",
        (1, 1): "moves",
    }
    return f"{name} {states[bool(valid), bool(ready)]}"


class _Watch:
    """Records a stream's transfers and holds it to the stream contract."""

    def __init__(self):
        self.cycles = []
        self.payloads = []
        self.offered = None

    def observe(self, cycle, valid, ready, payload, name):
        if self.offered is not None and (not valid or payload != self.offered):
            raise StreamError(
                f"stream {name} changed a beat that was offered and not yet taken, in cycle {cycle}"
            )
        self.offered = payload if valid and not ready else None
        if valid and ready:
            self.cycles.append(cycle)
            self.payloads.append(payload)
            return True
        return False


class _Source(_Watch):
    def __init__(self, beats, stalls, seed, name):
        super().__init__()
        self.beats = beats
        self.stalls = stalls
        self.random = random.Random(f"{seed} {name}")

    def offer(self):
        """The beat to offer in the next cycle, or None.

        One that was offered stays until it is taken.
        """
        if self.offered is not None:
            return self.offered
        if len(self.payloads) == len(self.beats) or (
            self.stalls and self.random.random() < self.stalls
        ):
            return None
        return self.beats[len(self.payloads)]


class _Sink(_Watch):
    def __init__(self, stalls, seed, name):
        super().__init__()
        self.stalls = stalls
        self.random = random.Random(f"{seed} {name}")

    def ready(self):
        return not self.stalls or self.random.random() >= self.stalls
