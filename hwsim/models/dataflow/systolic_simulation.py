"""A program of the systolic accelerator as SimPy processes around a memory that is not ideal.

The engines, the queues in front of them and the fetching of instructions are processes; how long
each takes for what it does is what `hwsim.blocks.systolic` says. With a memory of fixed latency and
a beat per cycle everything happens in the very cycle that `hwsim.blocks.systolic.program_timing`
finds and that the RTL takes. This model adds what that leaves out: a memory whose latency varies,
that pauses, that is slower than the port, or that others use too.

As in `hwsim.models.dataflow.streaming`, processes leave each other time stamps, which are known
when something happens or before, and sleep only while a stamp that they need does not exist yet.
Only what uses the memory does so in the order of time. Time is the clock cycle.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import simpy

from hwsim.blocks.checks import check_integer
from hwsim.blocks.queue import QueueConfig
from hwsim.blocks.systolic.config import (
    BUFFER_READ_LATENCY,
    PREFETCH_INSTRUCTIONS,
    STORE_QUEUE_DEPTH,
)
from hwsim.blocks.systolic.isa import ENGINES, Opcode
from hwsim.blocks.systolic.program_timing import MatrixTiming, VectorTiming, collect
from hwsim.blocks.systolic.timing import Memory, Transfer, Words

__all__ = ["SharedMemory", "run"]

# Beats after which another may use a memory that has one bandwidth for all.
TURN_BEATS = 4


@dataclass(frozen=True, kw_only=True)
class SharedMemory:
    """A memory port with latencies that vary, at a memory that others use.

    Parameters
    ----------
    memory : Memory
        Latencies at least, and requests outstanding at most.
    bandwidth : (int, int)
        Beats in so many cycles, at most one in each.
    total_bandwidth : bool
        Whether reads and writes together have that bandwidth, rather than each.
    stalls : float
        Probability, per cycle, that a channel pauses.
    spread : int
        Up to so many cycles, uniformly distributed, come on top of each latency.
    other_burst, other_interval : int
        Another manager reads so many beats, once in so many cycles; 0 for none.
    """

    memory: Memory = field(default_factory=Memory)
    bandwidth: tuple[int, int] = (1, 1)
    total_bandwidth: bool = False
    stalls: float = 0.0
    spread: int = 0
    other_burst: int = 0
    other_interval: int = 0

    def __post_init__(self):
        beats, cycles = self.bandwidth
        if not 1 <= beats <= cycles:
            raise ValueError(
                "bandwidth must be beats and cycles, up to one beat in a cycle, not "
                f"{self.bandwidth}"
            )
        if not 0 <= self.stalls < 1:
            raise ValueError(f"stalls must lie in [0, 1), not {self.stalls}")
        for name in ("spread", "other_burst", "other_interval"):
            check_integer(name, getattr(self, name), 0)


class _News:
    """Something that grows, and for which processes wait."""

    def __init__(self, env):
        self._env = env
        self._event = None

    def changed(self):
        """Event of the next growth."""
        if self._event is None:
            self._event = self._env.event()
        return self._event

    def announce(self):
        if self._event is not None:
            event, self._event = self._event, None
            event.succeed()


class _Stamps(list):
    """Cycles of events of one kind."""

    def __init__(self, env):
        super().__init__()
        self.news = _News(env)

    def append(self, cycle):
        super().append(cycle)
        self.news.announce()

    def at(self, index):
        """Wait for a stamp."""
        while len(self) <= index:
            yield self.news.changed()
        return self[index]


class _Beats(Words):
    """Cycles of words."""

    def __init__(self, news):
        super().__init__()
        self.news = news

    def add(self, cycle, length):
        super().add(cycle, length)
        self.news.announce()

    def at(self, index):
        """Wait for a word."""
        while len(self) <= index:
            yield self.news.changed()
        return self[index]


class _Port(simpy.Resource):
    """Moves beats; ``rest`` is what is left of the last one's time, in parts of a cycle."""

    rest = 0


class _Bus:
    """The memory: who may move a beat when.

    Reads and writes have a port each, or share one. Whoever holds it moves beats, one burst at a
    time, or a few beats where there are others.
    """

    def __init__(self, env, shared, rng):
        self._env = env
        self._shared = shared
        self._rng = rng
        self.reads = _Port(env)
        self.writes = self.reads if shared.total_bandwidth else _Port(env)
        self._whole = not (shared.total_bandwidth or shared.other_burst)
        if shared.other_burst and shared.other_interval:
            env.process(self._other())

    def latency(self, least):
        """Of one answer."""
        spread = self._shared.spread
        return least + (int(self._rng.integers(spread + 1)) if spread else 0)

    def pause(self):
        """Cycles for which a channel happens to pause."""
        return int(self._pauses(self._shared.stalls, 1)[0]) if self._shared.stalls else 0

    def _pauses(self, probability, count):
        return self._rng.geometric(1 - probability, count) - 1

    def move(self, port, beats, moved, ended):
        """Move a burst.

        ``moved(cycle, beats)`` and in the end ``ended(cycle)`` hear of it as soon as it is certain.
        """
        per_cycles, cycles = self._shared.bandwidth
        while beats:
            turn = beats if self._whole else min(beats, TURN_BEATS)
            beats -= turn
            with port.request() as grant:
                yield grant
                # While one pauses, another may move.
                others = self._shared.total_bandwidth and port.queue
                stalls = self._shared.stalls ** (2 if others else 1)
                cycle = self._env.now
                if per_cycles == cycles and not stalls:
                    moved(cycle, turn)
                    cycle += turn
                    last = cycle - 1
                else:
                    for pause in self._pauses(stalls, turn).tolist():
                        cycle += pause
                        moved(cycle, 1)
                        last = cycle
                        used, port.rest = divmod(cycles + port.rest, per_cycles)
                        cycle += used
                if not beats:
                    ended(last)
                yield self._env.timeout(cycle - self._env.now)

    def _other(self):
        shared = self._shared
        while self._env.peek() < float("inf"):  # something else goes on
            began = self._env.now
            yield from self.move(self.reads, shared.other_burst, _ignore, _ignore)
            rest = began + shared.other_interval - self._env.now
            yield self._env.timeout(max(rest, 1))


class _Reads:
    """Requests on AR, and their answers on R."""

    def __init__(self, env, bus, memory, outstanding):
        self.last = -1  # cycle of the last request
        self._env = env
        self._bus = bus
        self._latency = memory.read_latency
        self._outstanding = outstanding
        self._ends = _Stamps(env)
        self._count = 0
        self._requests = simpy.Store(env)
        env.process(self._answer())

    def request(self, earliest, beats, moved, ended=None):
        """Make a request from ``earliest`` on.

        ``moved(cycle, beats)`` and in the end ``ended(cycle)`` hear of its answer.
        """

        def end_is_known(cycle):
            self._ends.append(cycle)
            if ended is not None:
                ended(cycle)

        cycle = max(earliest, self.last + 1)
        if self._count >= self._outstanding:
            end = yield from self._ends.at(self._count - self._outstanding)
            cycle = max(cycle, end + 1)
        yield from _reach(self._env, cycle)
        self.last = self._env.now + self._bus.pause()
        self._count += 1
        self._requests.put((self.last, beats, moved, end_is_known))

    def _answer(self):
        while True:
            cycle, beats, moved, ended = yield self._requests.get()
            yield from _reach(self._env, cycle + self._bus.latency(self._latency))
            yield from self._bus.move(self._bus.reads, beats, moved, ended)


class _Engine:
    """Takes and completes instructions.

    Members
    -------
    instructions : list of Instruction
    dispatched, taken, done : _Stamps
    offered, started : list of int
    """

    def __init__(self, env, instructions, config):
        self.env = env
        self.instructions = instructions
        self.config = config
        self.engines: tuple[_Engine, ...] = ()
        self.dispatched, self.taken, self.done = (_Stamps(env) for _ in range(3))
        self.offered: list[int] = []
        self.started: list[int] = []
        env.process(self.run())

    def run(self):
        """Carry out all instructions."""
        for number, instruction in enumerate(self.instructions):
            cycle = yield from self.dispatched.at(number)
            waited = yield from _completed(self.engines, instruction)
            cycle = max(cycle, waited) + 1
            if number:
                cycle = max(cycle, self.taken[-1] + 1)
            self.offered.append(cycle)
            yield from self.carry_out(cycle, instruction)

    def carry_out(self, cycle, instruction):
        """Carry out one that is offered from ``cycle`` on, until the next one can be taken."""
        raise NotImplementedError


class _Reader(_Engine):
    """The read engine; ``reads`` are its requests, and ``freed`` is what gives room for tiles."""

    def __init__(self, env, instructions, config, reads):
        super().__init__(env, instructions, config)
        self._reads = reads
        self.news = _News(env)
        self.weights, self.parameters, self.tables, activations = (
            _Beats(self.news) for _ in range(4)
        )
        self.weights_freed, self.parameters_freed, never = (_Stamps(env) for _ in range(3))
        plain = config.burst_beats, 1, 0, never
        self._kinds = {
            Opcode.READ_ACTIVATIONS: (activations, *plain),
            Opcode.READ_TABLE: (self.tables, *plain),
            Opcode.READ_WEIGHTS: (
                self.weights,
                config.weight_burst_beats,
                config.weight_words,
                config.weight_tiles,
                self.weights_freed,
            ),
            Opcode.READ_PARAMETERS: (
                self.parameters,
                config.parameter_burst_beats,
                config.parameter_words,
                config.parameter_tiles,
                self.parameters_freed,
            ),
        }
        self._requested = dict.fromkeys(self._kinds, 0)

    def carry_out(self, cycle, instruction):
        opcode = instruction.opcode
        words, longest, tile, tiles, freed = self._kinds[opcode]
        self.taken.append(max(cycle, self._reads.last))
        transfer = Transfer(self.config, instruction, longest)
        while transfer.left:
            beats = transfer.beats
            earliest = self.taken[-1] + 1
            self._requested[opcode] += beats
            count = -(-self._requested[opcode] // tile) - tiles
            if tiles and count > 0:
                room = yield from freed.at(count - 1)
                earliest = max(earliest, room + 1)
            transfer.move(beats)
            yield from self._reads.request(
                earliest,
                beats,
                lambda cycle, beats: words.add(cycle + 1, beats),
                None if transfer.left else lambda cycle: self.done.append(cycle + 1),
            )
            if len(self.started) < len(self.taken):
                self.started.append(self._reads.last)


class _Matrix(_Engine):
    """The matrix engine."""

    def __init__(self, env, instructions, config, reader):
        super().__init__(env, instructions, config)
        self._news = reader.news
        self._timing = timing = MatrixTiming(config, reader.weights, reader.weights_freed)
        self.started, self.busy, self.idle, self.starved = (
            timing.started,
            timing.busy,
            timing.idle,
            timing.starved,
        )

    def carry_out(self, cycle, instruction):
        timing = self._timing
        timing.offer(cycle, instruction)
        timing.advance()
        self.taken.append(timing.taken[-1])
        while len(timing.done) < len(self.taken):
            yield self._news.changed()
            timing.advance()
        self.done.append(timing.done[-1])


class _Vector(_Engine):
    """The vector unit."""

    def __init__(self, env, instructions, config, reader, loads):
        super().__init__(env, instructions, config)
        self._news = reader.news
        self._timing = VectorTiming(
            config, reader.parameters, reader.tables, loads, reader.parameters_freed
        )
        self.started = self._timing.started

    def carry_out(self, cycle, instruction):
        timing = self._timing
        timing.offer(cycle, instruction)
        while not timing.advance():
            cycle = timing.earliest
            if cycle is None:
                yield self._news.changed()
            elif cycle > self.env.now:
                yield self.env.timeout(cycle - self.env.now)
            else:
                timing.decide()
                break
        self.taken.append(timing.taken[-1])
        self.done.append(timing.done[-1])


class _Writer(_Engine):
    """The write engine."""

    def __init__(self, env, instructions, config, bus, memory):
        super().__init__(env, instructions, config)
        self._bus = bus
        self._latency = memory.write_latency
        self._outstanding = min(config.outstanding, memory.outstanding_writes)
        self._responses = _Stamps(env)
        self._sent = _Beats(_News(env))
        self._request = self._read = -1  # cycles of the last request, and of the last word's read
        self._words = self._count = 0
        self._bursts = simpy.Store(env)
        env.process(self._send())

    def carry_out(self, cycle, instruction):
        self.taken.append(max(cycle, self._request, self._read))
        taken = self.taken[-1]
        self.started.append(taken + 1)
        transfer = Transfer(self.config, instruction, self.config.burst_beats)
        while transfer.left:
            beats = transfer.beats
            cycle = max(taken + 1, self._request + 1)
            if self._count >= self._outstanding:
                response = yield from self._responses.at(self._count - self._outstanding)
                cycle = max(cycle, response + 1)
            yield from _reach(self.env, cycle)
            self._request = self.env.now + self._bus.pause()
            self._count += 1
            transfer.move(beats)
            first = max(
                self._request + QueueConfig(self.config.outstanding).latency,
                taken + BUFFER_READ_LATENCY + 2,
            )
            self._bursts.put((first, beats, not transfer.left))
        self._words += instruction["words"]
        self._read = taken + instruction["words"]
        room = self._words - 1 - STORE_QUEUE_DEPTH
        if room >= 0:
            sent = yield from self._sent.at(room)
            self._read = max(self._read, sent + 1)

    def _send(self):
        while True:
            first, beats, last = yield self._bursts.get()
            yield from _reach(self.env, first)
            ended = self._finish if last else self._respond
            yield from self._bus.move(self._bus.writes, beats, self._sent.add, ended)

    def _respond(self, end):
        response = end + self._bus.latency(self._latency)
        if self._responses:
            response = max(response, self._responses[-1] + 1)
        self._responses.append(response + self._bus.pause())

    def _finish(self, end):
        self._respond(end)
        self.done.append(self._responses[-1] + 1)


class _Sequencer:
    """Fetches a program and dispatches its instructions."""

    def __init__(self, env, program, config, engines, reads, address):
        self.dispatched = _Stamps(env)
        self.finished = None
        self._program = program
        self._config = config
        self._engines = engines
        self._reads = reads
        self._fetched = _Beats(_News(env))
        env.process(self._fetch(address // config.program_bytes))
        env.process(self._dispatch())

    def _fetch(self, beat):
        size, longest = self._config.instruction_beats, self._config.program_burst_beats
        requested = 0
        while requested < size * len(self._program):
            beats = longest - beat % longest
            # Instructions that must have left.
            room = requested + longest - size * PREFETCH_INSTRUCTIONS
            earliest = 1
            if room > 0:
                left = yield from self.dispatched.at(-(-room // size) - 1)
                earliest = max(earliest, left + 1)
            yield from self._reads.request(earliest, beats, self._fetched.add)
            beat += beats
            requested += beats

    def _dispatch(self):
        size = self._config.instruction_beats
        counts = [0] * len(ENGINES)
        for number, instruction in enumerate(self._program):
            fetched = yield from self._fetched.at(size * (number + 1) - 1)
            cycle = max(fetched + 1, self.dispatched[-1] + 1 if number else 0)
            engine = instruction.opcode.engine
            if engine is None:
                waited = yield from _completed(self._engines, instruction)
                self.finished = max(cycle, waited + 1)
                return
            leaver = counts[engine] - self._config.queue_depth
            if leaver >= 0:
                taken = yield from self._engines[engine].taken.at(leaver)
                cycle = max(cycle, taken + 1)
            self.dispatched.append(cycle)
            self._engines[engine].dispatched.append(cycle)
            counts[engine] += 1


def run(program, shared, *, program_memory=None, seed=0):
    """Run a program.

    Parameters
    ----------
    program : hwsim.compiler.Program
    shared : SharedMemory
        For constants and feature maps.
    program_memory : Memory, optional
        Of fixed latency and alone at the port for instructions; without it, instructions come from
        the other memory, too.
    seed : int
        Of what happens by chance.

    Returns
    -------
    ProgramTiming

    Raises
    ------
    ValueError
        If instructions wait for one another.
    """
    config, instructions = program.config, program.instructions
    env = simpy.Environment()
    memory = shared.memory
    bus = _Bus(env, shared, np.random.default_rng(seed))
    reads = _Reads(env, bus, memory, min(config.outstanding, memory.outstanding_reads))
    fetch_memory, fetch_bus = memory, bus
    if program_memory is not None:
        fetch_memory = program_memory
        fetch_bus = _Bus(env, SharedMemory(memory=program_memory), np.random.default_rng(seed))
    fetches = _Reads(env, fetch_bus, fetch_memory, fetch_memory.outstanding_reads)
    mine = [[i for i in instructions if i.opcode.engine == k] for k in range(len(ENGINES))]
    loads = [i for i in instructions if i.opcode == Opcode.READ_TABLE]
    reader = _Reader(env, mine[0], config, reads)
    engines: tuple[Any, ...] = (
        reader,
        _Matrix(env, mine[1], config, reader),
        _Vector(env, mine[2], config, reader, loads),
        _Writer(env, mine[3], config, bus, memory),
    )
    for engine in engines:
        engine.engines = engines
    sequencer = _Sequencer(env, instructions, config, engines, fetches, program.address)
    env.run()
    offered = [engine.offered for engine in engines]
    return collect(config, instructions, engines, sequencer.dispatched, offered, sequencer.finished)


def _completed(engines, instruction):
    """Wait until it is known when what an instruction waits for is complete: when, or -1."""
    latest = -1
    for engine, count in zip(engines, instruction.after, strict=True):
        if count:
            done = yield from engine.done.at(count - 1)
            latest = max(latest, done)
    return latest


def _ignore(*_):
    """Hear nothing."""


def _reach(env, cycle):
    """Wait until ``cycle``, unless it has come."""
    if cycle > env.now:
        yield env.timeout(cycle - env.now)
