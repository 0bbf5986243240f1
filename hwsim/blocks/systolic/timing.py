"""When things happen in the DMA engines and the sequencer: exact, burst by burst.

Each part is an object that is told what happens to it and says what it does about that, both as
lists of cycles that only grow:

    reader = ReaderTiming(config, memory)
    writer = WriterTiming(config, memory)
    sequencer = SequencerTiming(config, memory, program, [reader, matrix, vector, writer])
    while any([part.advance() for part in (sequencer, reader, matrix, vector, writer)]):
        pass
    sequencer.finished      # the cycle of the pulse

``advance`` goes on as far as what is known so far determines and says whether that was any further.
Nothing in the hardware depends on which of two independent events comes first, so parts may run
ahead of each other in any order. An engine is any object with

- ``offer(cycle, instruction)``: the instruction stands at its port from this cycle on, until it is
  taken;
- ``taken``: the cycle in which it took each instruction;
- ``done``: the cycle of the pulse with which it completed each one;
- ``advance()``.

Memory answers requests in order, a beat per cycle, a fixed number of cycles after the request at
the earliest: `hwsim.sim.stimulus.axi.AxiMemory` without stalls.
"""

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass

from hwsim.blocks.checks import check_positive
from hwsim.blocks.queue import QueueConfig

from .config import BUFFER_READ_LATENCY, PREFETCH_INSTRUCTIONS, STORE_QUEUE_DEPTH
from .isa import Opcode

__all__ = [
    "Engine",
    "Memory",
    "ReaderTiming",
    "SequencerTiming",
    "Transfer",
    "Words",
    "WriterTiming",
]


@dataclass(frozen=True, kw_only=True)
class Memory:
    """A memory port with a beat per cycle; see `hwsim.sim.stimulus.axi.AxiMemory`.

    Parameters
    ----------
    read_latency : int
        Cycles from the transfer of a request to that of the first beat of its answer, at least 1.
    write_latency : int
        Cycles from the transfer of the last beat of data to that of the response, at least 1.
    outstanding_reads, outstanding_writes : int
        Requests taken and not yet answered in full.
    """

    read_latency: int = 1
    write_latency: int = 1
    outstanding_reads: int = 4
    outstanding_writes: int = 4

    def __post_init__(self):
        for name, value in vars(self).items():
            check_positive(name, value)


# Cycles from a request to its answer, if nothing is said.
LATENCY = 20


def usual_memory(config, latency=LATENCY):
    """`Memory` that takes as many requests as an accelerator makes, with one latency for all."""
    return Memory(
        read_latency=latency,
        write_latency=latency,
        outstanding_reads=config.outstanding,
        outstanding_writes=config.outstanding,
    )


class Words:
    """The cycle of each of many words, most of which follow one another.

    ``words[k]`` is that of word ``k``; ``words.runs`` are pairs of the first cycle of a run and its
    length.
    """

    def __init__(self):
        self.runs: list[tuple[int, int]] = []
        self._ends: list[int] = []

    def __len__(self):
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, index):
        run = bisect_right(self._ends, index)
        if index < 0 or run == len(self._ends):
            raise IndexError(f"word {index} of {len(self)}")
        cycle, length = self.runs[run]
        return cycle + length - self._ends[run] + index

    def add(self, cycle, length):
        """Words in ``length`` cycles from ``cycle`` on."""
        self.runs.append((cycle, length))
        self._ends.append(len(self) + length)


class _Reads:
    """Requests on AR, and their answers on R."""

    def __init__(self, latency, outstanding):
        self._latency = latency
        self._ends = deque([-1] * outstanding, outstanding)
        self.last = -1  # cycle of the last request
        self.end = -1  # cycle of the last beat

    def request(self, earliest, beats):
        """The cycle of the first beat; of the request, from ``earliest`` on, in ``last``."""
        self.last = max(earliest, self.last + 1, self._ends[0] + 1)
        first = max(self.last + self._latency, self.end + 1)
        self.end = first + beats - 1
        self._ends.append(self.end)
        return first


class Transfer:
    """An instruction whose words are cut into bursts."""

    def __init__(self, config, instruction, longest):
        if not instruction["words"]:
            raise ValueError(f"{instruction.opcode.name} must have at least one word")
        self.opcode = instruction.opcode
        self._word = instruction["address"] // config.axi_bytes
        self.left = instruction["words"]
        self._longest = longest

    @property
    def beats(self):
        """Of the next burst."""
        return min(self.left, self._longest - self._word % self._longest)

    def move(self, beats):
        """A burst is requested."""
        self._word += beats
        self.left -= beats


class Engine:
    """Instructions that are offered, taken and completed."""

    def __init__(self):
        self.taken: list[int] = []
        self.started: list[int] = []
        self.done: list[int] = []
        self._offered: deque = deque()
        self._current = None

    def offer(self, cycle, instruction):
        """The instruction stands at the port from this cycle on."""
        self._offered.append((cycle, instruction))

    def _take(self, cycle):
        offered, instruction = self._offered.popleft()
        self.taken.append(max(offered, cycle))
        return instruction


class ReaderTiming(Engine):
    """`hwsim.rtl.systolic.dma.Reader` at a memory that nobody else uses.

    Parameters
    ----------
    config : Systolic
    memory : Memory

    Members
    -------
    weights_freed, parameters_freed : list of int
        To be appended to: the cycle in which each tile is freed, in order.
    activations, weights, parameters, tables : Words
        The cycle in which each word comes out.
    taken, started, done : list of int
        ``started`` is the cycle of the first request, or of the first word that is fetched for it.
    """

    def __init__(self, config, memory):
        super().__init__()
        self.weights_freed: list[int] = []
        self.parameters_freed: list[int] = []
        self.activations, self.weights, self.parameters, self.tables = (Words() for _ in range(4))
        self._config = config
        self._reads = _Reads(memory.read_latency, min(config.outstanding, memory.outstanding_reads))
        never: list[int] = []
        plain = config.burst_beats, never, 0, 0
        weights = config.weight_burst_beats, self.weights_freed
        parameters = config.parameter_burst_beats, self.parameters_freed
        self._kinds = {
            Opcode.READ_ACTIVATIONS: (self.activations, *plain),
            Opcode.READ_WEIGHTS: (self.weights, *weights, config.weight_words, config.weight_tiles),
            Opcode.READ_PARAMETERS: (
                self.parameters,
                *parameters,
                config.parameter_words,
                config.parameter_tiles,
            ),
            Opcode.READ_TABLE: (self.tables, *plain),
        }

    def advance(self):
        """Go on as far as possible; whether that was any further."""
        progress = False
        while self._current is not None or self._offered:
            if self._current is None:
                instruction = self._take(self._reads.last)
                _, longest, *_ = self._kinds[instruction.opcode]
                self._current = Transfer(self._config, instruction, longest)
                progress = True
            if not self._burst(self._current):
                break
            progress = True
            if len(self.started) < len(self.taken):
                self.started.append(self._reads.last)
            if not self._current.left:
                self.done.append(self._reads.end + 1)
                self._current = None
        return progress

    def _burst(self, transfer):
        words, _, freed, tile, tiles = self._kinds[transfer.opcode]
        beats = transfer.beats
        earliest = self.taken[-1] + 1
        # Tiles that must have been freed.
        if tile and (count := -(-(len(words) + beats) // tile) - tiles) > 0:
            if count > len(freed):
                return False
            earliest = max(earliest, freed[count - 1] + 1)
        words.add(self._reads.request(earliest, beats) + 1, beats)
        transfer.move(beats)
        return True


class WriterTiming(Engine):
    """`hwsim.rtl.systolic.dma.Writer` at a memory that nobody else writes to.

    Parameters
    ----------
    config : Systolic
    memory : Memory

    Members
    -------
    sent : Words
        The cycle in which each word is transferred.
    taken, started, done : list of int
        ``started`` is the cycle of the first request, or of the first word that is fetched for it.
    """

    def __init__(self, config, memory):
        super().__init__()
        self.sent = Words()
        self._config = config
        self._latency = memory.write_latency
        outstanding = min(config.outstanding, memory.outstanding_writes)
        self._responses = deque([-1] * outstanding, outstanding)
        self._request = -1  # cycle of the last request
        self._read = -1  # cycle in which the last word was read from the buffer
        self._end = -1  # cycle of the last word sent

    def advance(self):
        """Go on as far as possible; whether that was any further."""
        progress = bool(self._offered)
        while self._offered:
            instruction = self._take(max(self._request, self._read))
            self.started.append(self.taken[-1] + 1)
            transfer = Transfer(self._config, instruction, self._config.burst_beats)
            while transfer.left:
                self._burst(transfer)
            # The last word is read when there is room for it in the queue.
            self._read = self.taken[-1] + instruction["words"]
            room = len(self.sent) - 1 - STORE_QUEUE_DEPTH
            if room >= 0:
                self._read = max(self._read, self.sent[room] + 1)
            self.done.append(self._responses[-1] + 1)
        return progress

    def _burst(self, transfer):
        beats, taken = transfer.beats, self.taken[-1]
        self._request = max(taken + 1, self._request + 1, self._responses[0] + 1)
        # The queue is deep enough that its room never holds up what is sent.
        first = max(
            self._end + 1,
            self._request + QueueConfig(self._config.outstanding).latency,
            taken + BUFFER_READ_LATENCY + 2,
        )
        self._end = first + beats - 1
        self.sent.add(first, beats)
        self._responses.append(max(self._end + self._latency, self._responses[-1] + 1))
        transfer.move(beats)


class SequencerTiming:
    """`hwsim.rtl.systolic.sequencer.Sequencer` at a memory that nobody else uses.

    Parameters
    ----------
    config : Systolic
    memory : Memory
    program : sequence of Instruction
        The last one is ``HALT``.
    engines : sequence of four engines
    address : int
        Of the program.
    start : int
        Cycle of the pulse.

    Members
    -------
    dispatched : list of int
        The cycle in which each instruction left for its engine's queue.
    offered : list of four lists of int
        The cycle from which each instruction of an engine stood at its port.
    finished : int or None
        The cycle of the pulse, once it is known.
    """

    def __init__(self, config, memory, program, engines, *, address=0, start=0):
        self.dispatched: list[int] = []
        self.offered: list[list[int]] = [[] for _ in engines]
        self.finished = None
        self._config = config
        self._program = program
        self._engines = engines
        self._start = start
        self._reads = _Reads(memory.read_latency, memory.outstanding_reads)
        self._reads.last = self._reads.end = start
        self._beat = address // config.program_bytes
        self._size, self._longest = config.instruction_beats, config.program_burst_beats
        self._fetched = Words()
        # Instructions of each engine with the cycle of their dispatch.
        self._queues: list[list] = [[] for _ in engines]

    def advance(self):
        """Go on as far as possible; whether that was any further."""
        progress = False
        while self.finished is None and self._dispatch():
            progress = True
        for number in range(len(self._engines)):
            while self._offer(number):
                progress = True
        return progress

    def _fetch(self, number):
        """The cycle of the last beat of an instruction."""
        size, longest = self._size, self._longest
        last = size * (number + 1) - 1
        while len(self._fetched) <= last:
            beats = longest - self._beat % longest
            # Instructions that must have left.
            room = len(self._fetched) + longest - size * PREFETCH_INSTRUCTIONS
            earliest = self._start + 1
            if room > 0:
                earliest = max(earliest, self.dispatched[-(-room // size) - 1] + 1)
            self._fetched.add(self._reads.request(earliest, beats), beats)
            self._beat += beats
        return self._fetched[last]

    def _dispatch(self):
        number = len(self.dispatched)
        instruction = self._program[number]
        cycle = self._fetch(number) + 1
        if number:
            cycle = max(cycle, self.dispatched[-1] + 1)
        engine = instruction.opcode.engine
        if engine is None:
            waited = self._waited(instruction)
            if waited is None:
                return False
            self.finished = max(cycle, waited + 1)
            return True
        queue, taken = self._queues[engine], self._engines[engine].taken
        leaver = len(queue) - self._config.queue_depth
        if leaver >= 0:
            if leaver >= len(taken):
                return False
            cycle = max(cycle, taken[leaver] + 1)
        self.dispatched.append(cycle)
        queue.append((cycle, instruction))
        return True

    def _offer(self, number):
        queue, taken = self._queues[number], self._engines[number].taken
        offered = self.offered[number]
        index = len(offered)
        if index >= len(queue) or index > len(taken):
            return False
        cycle, instruction = queue[index]
        waited = self._waited(instruction)
        if waited is None:
            return False
        cycle = max(cycle, waited) + 1
        if index:
            cycle = max(cycle, taken[-1] + 1)
        offered.append(cycle)
        self._engines[number].offer(cycle, instruction)
        return True

    def _waited(self, instruction):
        """The cycle of the last completion that an instruction waits for, -1 for none.

        None if it is not known yet.
        """
        latest = -1
        for engine, count in zip(self._engines, instruction.after, strict=True):
            if count > len(engine.done):
                return None
            if count:
                latest = max(latest, engine.done[count - 1])
        return latest
