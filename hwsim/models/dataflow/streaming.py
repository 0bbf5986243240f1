"""The streaming pipeline as SimPy processes: units, FIFOs, and a memory that streams share.

The actors and edges are those of `hwsim.blocks.timing`, and time is the clock cycle. Alone, with
the source always ready, a pipeline takes exactly the cycles that `hwsim.blocks.timing.evaluate`
finds and that the RTL takes. This model adds what that evaluation leaves out: images that arrive
from a memory of finite bandwidth, results that go back to it, and several pipelines that share it.

Every edge carries time stamps: a beat the cycle from which it waits at the consumer, a piece of
room the cycle from which it may be used. A process sleeps only while a stamp that it needs does not
exist yet, so that there is one event per action.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np
import simpy

from hwsim.blocks.checks import check_integer, check_positive
from hwsim.blocks.timing import Deadlock, Trace

__all__ = ["Memory", "Pipeline", "activity", "run", "run_shared"]


@dataclass(frozen=True)
class Memory:
    """A memory port that reads and writes share, one burst at a time, in the order of the requests.

    Parameters
    ----------
    bytes_per_cycle : int
        Bandwidth, reads and writes alike.
    burst_bytes : int
        Bytes that one request moves; the last burst of a stream may be shorter.
    burst_latency : int
        Cycles that every burst occupies the port before its first byte.
    """

    bytes_per_cycle: int
    burst_bytes: int = 64
    burst_latency: int = 0

    def __post_init__(self):
        check_positive("bytes_per_cycle", self.bytes_per_cycle)
        check_positive("burst_bytes", self.burst_bytes)
        check_integer("burst_latency", self.burst_latency, 0)

    def cycles(self, size):
        """Cycles for which one burst of ``size`` bytes occupies the port."""
        return self.burst_latency - -size // self.bytes_per_cycle


@dataclass(frozen=True, eq=False)
class Pipeline:
    """A streaming pipeline and what its ends move.

    Parameters
    ----------
    actors, edges
        As for `hwsim.blocks.timing.evaluate`.
    input_bytes, output_bytes : int
        Bytes of a beat at the source and at the sink.
    buffer_bursts : int
        Bursts for which each end's DMA has room: 2 is a double buffer.
    """

    actors: tuple
    edges: tuple
    input_bytes: int = 1
    output_bytes: int = 1
    buffer_bursts: int = 2

    def __post_init__(self):
        for name in ("input_bytes", "output_bytes", "buffer_bursts"):
            check_positive(name, getattr(self, name))


class _Party:
    """A process that sleeps until a neighbour leaves a time stamp."""

    def __init__(self, env):
        self.env = env
        self._event = None

    def sleep(self):
        self._event = self.env.event()
        return self._event

    def wake(self):
        if self._event is not None:
            event, self._event = self._event, None
            if not event.triggered:
                event.succeed()

    def reach(self, cycle):
        """Wait until ``cycle``, unless it has come."""
        if cycle > self.env.now:
            yield self.env.timeout(cycle - self.env.now)


class _Channel:
    """An edge while it runs."""

    def __init__(self, edge):
        self.edge = edge
        self.beats: deque[int] = deque()  # cycle from which each issued, untaken beat waits
        self.rooms = None if edge.capacity is None else deque([0] * edge.capacity)
        self.producer = None
        self.consumer = None
        self.issued = []
        self.taken = []

    def issue(self, cycle):
        self.issued.append(cycle)
        if self.rooms is not None:
            self.rooms.popleft()
        self.beats.append(cycle + self.edge.forward)
        if self.consumer is not None:
            self.consumer.wake()

    def take(self, cycle):
        self.taken.append(cycle)
        self.beats.popleft()
        self.free(cycle + self.edge.backward)

    def free(self, cycle):
        if self.rooms is not None:
            self.rooms.append(cycle)
        if self.producer is not None:
            self.producer.wake()

    @property
    def peak(self):
        """Largest number of beats held; within a cycle beats leave before others come."""
        issued, taken = np.array(self.issued, np.int64), np.array(self.taken, np.int64)
        held = np.arange(1, len(issued) + 1) - np.searchsorted(taken, issued, side="right")
        return int(held.max(initial=0))


class _Unit(_Party):
    """One actor. Its actions are those of `hwsim.blocks.timing`, text of the module."""

    def __init__(self, env, actor, inputs, outputs, frames):
        super().__init__(env)
        self.outputs = outputs
        self.frames = frames
        self.finished = False
        self.issues = []
        # When each action began, could have ended, and ended.
        self.actions: list[tuple[int, int, int]] = []
        self.durations = actor.duration.tolist()
        self.puts = actor.puts.tolist()
        self.tail = actor.tail.tolist()
        self.pending = 0  # trailing actions of the frame before that are still to come
        ports = {channel.edge.port: channel for channel in inputs}
        reads = {port: actor.reads.get(port, actor.takes[port]) for port in ports}
        count = range(len(self.puts))
        self.reads = [[ports[p] for p in ports if reads[p][k]] for k in count]
        self.takes = [[ports[p] for p in ports if actor.takes[p][k]] for k in count]
        for channel in inputs:
            channel.consumer = self
        for channel in outputs:
            channel.producer = self

    def run(self):
        ready = 0
        for _ in range(self.frames):
            ready = yield from self._trail(ready)
            for k, duration in enumerate(self.durations):
                start = yield from self._beats(self.reads[k], ready)
                end = last = start + duration - 1
                put = self.puts[k] or (self.pending > 0 and self.tail[-self.pending])
                if put:
                    end = yield from self._room(end)
                yield from self.reach(end)
                self._issue(end, put)
                for channel in self.takes[k]:
                    channel.take(end)
                self.actions.append((start, last, end))
                ready = end + 1
            self.pending = len(self.tail)
        self.finished = True
        while self.pending:
            end = ready
            if self.tail[-self.pending]:
                end = yield from self._room(ready)
            yield from self.reach(end)
            ready = self._alone(ready, end)

    def _beats(self, channels, cycle):
        for channel in channels:
            while not channel.beats:
                yield self.sleep()
            cycle = max(cycle, channel.beats[0])
        return cycle

    def _room(self, cycle):
        for channel in self.outputs:
            if channel.rooms is not None:
                while not channel.rooms:
                    yield self.sleep()
                cycle = max(cycle, channel.rooms[0])
        return cycle

    def _trail(self, ready):
        """Run trailing actions alone until the next frame's first beats wait.

        Returns the cycle from which the unit is free.
        """
        while self.pending:
            arrived = self._known([channel.beats for channel in self.reads[0]], ready)
            rooms = [channel.rooms for channel in self.outputs if channel.rooms is not None]
            room = self._known(rooms if self.tail[-self.pending] else [], ready)
            if (
                arrived is not None
                and (room is None or arrived <= room)
                and arrived <= self.env.now
            ):
                return arrived
            if room is not None and room <= self.env.now:
                ready = self._alone(ready, room)
                continue
            # Stamps lie at most at the next of these cycles, or a neighbour has yet to leave them.
            next_cycle = min((c for c in (arrived, room) if c is not None), default=None)
            if next_cycle is None:
                yield self.sleep()
            elif room is None:
                yield self.sleep() | self.env.timeout(next_cycle - self.env.now)
            else:
                yield self.env.timeout(next_cycle - self.env.now)
        return ready

    @staticmethod
    def _known(queues, cycle):
        """First cycle from ``cycle`` on in which all queues offer something; None: not known."""
        return max([cycle, *(queue[0] for queue in queues)]) if all(queues) else None

    def _alone(self, ready, cycle):
        self._issue(cycle, self.tail[-self.pending])
        self.actions.append((ready, ready, cycle))
        return cycle + 1

    def _issue(self, cycle, put):
        self.pending = max(self.pending - 1, 0)
        if put:
            self.issues.append(cycle)
            for channel in self.outputs:
                channel.issue(cycle)


class _Sink(_Party):
    """Takes every beat as soon as it waits."""

    def __init__(self, env, channel):
        super().__init__(env)
        self.channel = channel
        channel.consumer = self

    def wake(self):
        self.channel.take(self.channel.beats[0])


class _Reader(_Party):
    """Brings beats from memory, a burst at a time, into a buffer of a few bursts."""

    def __init__(self, env, port, memory, pipeline, channel, offered):
        super().__init__(env)
        self.port, self.memory, self.channel, self.offered = port, memory, channel, offered
        self.bytes = pipeline.input_bytes
        self.beats = max(1, memory.burst_bytes // self.bytes)
        self.limit = pipeline.buffer_bursts * self.beats
        channel.producer = self

    def run(self):
        for first in range(0, len(self.offered), self.beats):
            burst = self.offered[first : first + self.beats]
            yield from self.reach(burst[-1])
            while first + len(burst) - len(self.channel.taken) > self.limit:
                yield self.sleep()
            yield from _burst(self.env, self.port, self.memory, len(burst) * self.bytes)
            self.channel.beats.extend([self.env.now] * len(burst))
            self.channel.consumer.wake()


class _Writer(_Party):
    """Takes results and writes them in bursts; a written burst makes room in its buffer."""

    def __init__(self, env, port, memory, pipeline, channel, total):
        super().__init__(env)
        self.port, self.memory, self.channel, self.total = port, memory, channel, total
        self.bytes = pipeline.output_bytes
        self.beats = max(1, memory.burst_bytes // self.bytes)
        self.room = pipeline.buffer_bursts * self.beats
        self.gathered = 0
        self.drain = _Party(env)
        channel.consumer = self

    def take(self):
        """Process that moves beats from the pipeline into the buffer."""
        for _ in range(self.total):
            while not self.channel.beats or not self.room:
                yield self.sleep()
            yield from self.reach(self.channel.beats[0])
            self.channel.take(self.env.now)
            self.room -= 1
            self.gathered += 1
            self.drain.wake()

    def run(self):
        """Process that writes the buffer out."""
        for first in range(0, self.total, self.beats):
            burst = min(self.beats, self.total - first)
            while self.gathered < burst:
                yield self.drain.sleep()
            yield from _burst(self.env, self.port, self.memory, burst * self.bytes)
            self.gathered -= burst
            self.room += burst
            self.wake()


def _burst(env, port, memory, size):
    with port.request() as request:
        yield request
        yield env.timeout(memory.cycles(size))


class _Line:
    """One pipeline in an environment."""

    def __init__(self, env, pipeline, frames, interval, port=None, memory=None):
        self.channels = {edge: _Channel(edge) for edge in pipeline.edges}
        self.units = {}
        for actor in pipeline.actors:
            inputs = [c for e, c in self.channels.items() if e.consumer == actor.name]
            outputs = [c for e, c in self.channels.items() if e.producer == actor.name]
            self.units[actor.name] = _Unit(env, actor, inputs, outputs, frames)
        by_name = {actor.name: actor for actor in pipeline.actors}
        self.sources = [edge for edge in pipeline.edges if edge.producer is None]
        self.expected = {}
        for edge in self.sources:
            beats = int(by_name[edge.consumer].takes[edge.port].sum())
            offered = (np.arange(frames, dtype=np.int64) * interval).repeat(beats).tolist()
            if memory is None:
                self.channels[edge].beats.extend(offered)
            else:
                env.process(
                    _Reader(env, port, memory, pipeline, self.channels[edge], offered).run()
                )
        for edge in pipeline.edges:
            if edge.consumer is None:
                last = by_name[edge.producer]
                self.expected[edge] = total = frames * int(last.puts.sum() + last.tail.sum())
                if memory is None:
                    _Sink(env, self.channels[edge])
                else:
                    writer = _Writer(env, port, memory, pipeline, self.channels[edge], total)
                    env.process(writer.take())
                    env.process(writer.run())
        for unit in self.units.values():
            env.process(unit.run())

    def trace(self):
        if any(len(self.channels[edge].taken) < total for edge, total in self.expected.items()):
            stuck = [name for name, unit in self.units.items() if not unit.finished]
            raise Deadlock(
                f"no unit can move with {', '.join(stuck)} unfinished; "
                "a FIFO on a path that rejoins is too shallow"
            )
        taken = {edge: np.array(channel.taken, np.int64) for edge, channel in self.channels.items()}
        return Trace(
            source=taken[self.sources[0]],
            sink=taken[next(iter(self.expected))],
            issue={name: np.array(unit.issues, np.int64) for name, unit in self.units.items()},
            occupancy={edge: channel.peak for edge, channel in self.channels.items()},
            taken=taken,
        )


def run(actors, edges, frames=1, *, interval=0):
    """Run one pipeline with its source always ready.

    Arguments and result are those of `hwsim.blocks.timing.evaluate`.

    Raises
    ------
    Deadlock
        If beats are missing at the sink and nothing can move any more.
    """
    env = simpy.Environment()
    line = _Line(env, Pipeline(tuple(actors), tuple(edges)), frames, interval)
    env.run()
    return line.trace()


def activity(actors, edges, frames=1):
    """What each unit of a pipeline does in every cycle, until its last action.

    Arguments are those of `run`.

    Returns
    -------
    dict of str to dict of str to ndarray of int, (n, 2)
        By actor and by what it does: first and last cycle of each span. It is "at work", "starved
        of input": free, and a beat is missing, or "blocked at output": all but done, and there is
        no room for its beat.
    """
    env = simpy.Environment()
    line = _Line(env, Pipeline(tuple(actors), tuple(edges)), frames, 0)
    env.run()
    line.trace()
    return {name: _spans(unit.actions) for name, unit in line.units.items()}


def _spans(actions):
    begun, last, end = np.reshape(actions, (-1, 3)).T
    free = np.concatenate([[0], end[:-1] + 1])
    # The cycle in which a beat leaves is one of work, whenever it comes.
    work = np.stack([[begun, last - 1], [end, end]], axis=1).reshape(2, -1).T
    spans = {
        "at work": work[np.argsort(work[:, 0], kind="stable")],
        "starved of input": np.stack([free, begun - 1], axis=1),
        "blocked at output": np.stack([last, end - 1], axis=1),
    }
    return {name: found[found[:, 0] <= found[:, 1]] for name, found in spans.items()}


def run_shared(pipelines, memory, frames=1, *, interval=0):
    """Pipelines that take their images from one memory and write their results to it.

    Parameters
    ----------
    pipelines : sequence of Pipeline
    memory : Memory
    frames : int
        Images through each pipeline.
    interval : int
        Frame ``f`` lies in memory from cycle ``f * interval`` on.

    Returns
    -------
    tuple of Trace
        One for each pipeline. What leaves to a sink is taken into the writing DMA's buffer.
    """
    env = simpy.Environment()
    port = simpy.Resource(env, capacity=1)
    lines = [_Line(env, pipeline, frames, interval, port, memory) for pipeline in pipelines]
    env.run()
    return tuple(line.trace() for line in lines)
