"""When everything in a program of the systolic accelerator happens: exact, for a fixed latency."""

from collections import deque
from dataclasses import dataclass

import numpy as np

from .isa import ENGINES, Opcode
from .matrix import FEED_LATENCY, fold_cycles, sum_latency
from .timing import Engine, ReaderTiming, SequencerTiming, WriterTiming
from .vector import parameter_latency, table_begins, table_ready, vector_cycles

__all__ = [
    "CAUSES",
    "LayerTiming",
    "MatrixTiming",
    "ProgramTiming",
    "VectorTiming",
    "collect",
    "program_timing",
]

# What the matrix engine may wait for: its weights; what engines complete, itself too; the program.
CAUSES = ("weights", "read", "matrix", "vector", "write", "program")


class MatrixTiming(Engine):
    """`hwsim.rtl.systolic.matrix.MatrixEngine`.

    Parameters
    ----------
    config : Systolic
    weights : Words
        The cycle in which each word of weights comes.
    freed : list of int
        To which the cycle is appended in which room for a tile comes back.

    Members
    -------
    taken, started, done : list of int
        ``started`` is the cycle in which the first fold begins.
    busy : list of int
        Cycles that the folds of each instruction take if they follow one another at once.
    idle : list of int
        Cycles before each instruction in which the engine could have begun it, and had not got it.
    starved : list of int
        Cycles for which the folds of each one waited for weights.
    """

    def __init__(self, config, weights, freed):
        super().__init__()
        self.busy: list[int] = []
        self.idle: list[int] = []
        self.starved: list[int] = []
        self._config = config
        self._weights = weights
        self._words = config.weight_words
        self._freed = freed
        self._latency = sum_latency(config)
        self._folds = 0  # of the instruction at work, which are not loaded
        self._pixels = self._fold = 0
        self._loaded = -1  # cycle in which the taps of a fold were complete,
        self._next = config.rows - 1  # and in which those of the next one can be

    def advance(self):
        """Go on as far as possible; whether that was any further."""
        progress = False
        while self._folds or self._offered:
            if not self._folds:
                self._begin()
                progress = True
            if not self._load():
                break
            progress = True
        return progress

    def _begin(self):
        instruction = self._take(self._loaded)
        rows = self._config.rows
        self._folds = instruction["folds"]
        self._pixels = instruction["pixels"]
        self._fold = fold_cycles(self._config, self._pixels)
        self.busy.append(self._folds * self._fold)
        begin = self.taken[-1] + rows
        self.idle.append(max(0, begin - self._next))
        self.starved.append(0)
        self._next = max(self._next, begin)

    def _load(self):
        """Load the folds of an instruction whose weights are known; whether there are any."""
        rows, words, weights, freed = self._config.rows, self._words, self._weights, self._freed
        count = min(self._folds, len(weights) // words - len(freed))
        if not count:
            return False
        if len(self.started) < len(self.taken):
            there = weights[(len(freed) + 1) * words - 1] + 2
            self.started.append(max(self._next - rows + 1, there))
        loaded, following, starved = self._loaded, self._next, 0
        for tile in range(len(freed) + 1, len(freed) + count + 1):
            loaded = weights[tile * words - 1] + 1 + rows
            if loaded > following:
                starved += loaded - following
            else:
                loaded = following
            following = loaded + self._fold
            # The rows of weights follow the taps.
            freed.append(loaded + FEED_LATENCY - 2)
        self._loaded, self._next = loaded, following
        self.starved[-1] += starved
        self._folds -= count
        if not self._folds:
            self.done.append(loaded + self._pixels + self._latency)
        return True


class VectorTiming(Engine):
    """`hwsim.rtl.systolic.vector.VectorUnit`.

    Parameters
    ----------
    config : Systolic
    parameters, tables : Words
        The cycle in which each word of parameters and of tables comes.
    loads : sequence of Instruction
        Each ``READ_TABLE`` of the program.
    freed : list of int
        To which the cycle is appended in which room for a tile comes back.

    Members
    -------
    taken, started, done : list of int
        ``started`` is the same as ``taken``.
    """

    def __init__(self, config, parameters, tables, loads, freed):
        super().__init__()
        self.started = self.taken
        self._config = config
        self._parameters = parameters
        self._tables = tables
        self._loads = deque(loads)  # which may yet hold an instruction up
        self._load_word = 0
        self._tables_ready = 0  # the first cycle after those that have held one up
        self._freed = freed

    def advance(self):
        """Go on as far as possible; whether that was any further.

        An instruction is not taken before it is known when all tables come.
        """
        progress = False
        while self._offered and self.earliest is not None and self._tables_known:
            self.decide()
            progress = True
        return progress

    def decide(self):
        """Take an instruction in its `earliest` cycle; whether there was one.

        For when nothing more can become known that comes before, in particular no table.
        """
        cycle = self.earliest
        if cycle is None:
            return False
        instruction = self._take(cycle)
        if _needs_tile(instruction):
            self._freed.append(cycle + 1)
        self.done.append(cycle + vector_cycles(self._config, instruction))
        return True

    @property
    def earliest(self):
        """The cycle in which the next instruction is taken, so far as is known.

        None if there is no instruction, or not yet what it waits for.
        """
        if not self._offered:
            return None
        config = self._config
        cycle, instruction = self._offered[0]
        cycle = max(cycle, self._tables_ready)
        if self.done:
            cycle = max(cycle, self.done[-1] + 1)
        if _needs_tile(instruction):
            word = (len(self._freed) + 1) * config.parameter_words - 1
            if word >= len(self._parameters):
                return None
            cycle = max(cycle, self._parameters[word] + parameter_latency(config))
        while self._loads and len(self._tables) > self._load_word:
            load, first = self._loads[0], self._load_word
            if table_begins(config, self._tables[first]) > cycle:
                break
            if first + load["words"] > len(self._tables):
                return None
            words = [self._tables[first + k] for k in range(load["words"])]
            self._tables_ready = table_ready(config, words, load["table"])
            cycle = max(cycle, self._tables_ready)
            self._load_word += load["words"]
            self._loads.popleft()
        return cycle

    @property
    def _tables_known(self):
        return not self._loads or len(self._tables) > self._load_word


def _needs_tile(instruction):
    return instruction.opcode == Opcode.ACTIVATE and not instruction["uniform"]


@dataclass(frozen=True)
class LayerTiming:
    """The instructions of a layer.

    Members
    -------
    layer : int
        As in `Instruction`.
    first, last : int
        Cycles in which the first instruction was taken, and in which the last one was done.
    cycles : int
        From the end of all layers before to the end of this one.
    busy : int
        Cycles of the matrix engine's folds.
    stalls : dict of str to int
        Cycles between folds, by what the matrix engine waited for: see `CAUSES`.
    bytes_read, bytes_written : int
        Through the memory port.
    """

    layer: int
    first: int
    last: int
    cycles: int
    busy: int
    stalls: dict[str, int]
    bytes_read: int
    bytes_written: int

    @property
    def array_cycles(self):
        """From the end of the folds of the layers before to the end of this one's."""
        return self.busy + sum(self.stalls.values())


@dataclass(frozen=True, eq=False)
class ProgramTiming:
    """When the instructions of a program happened. Cycle 0 is that of the start.

    Members
    -------
    dispatched, offered, taken, started, done : ndarray of int64
        For each instruction the cycle in which it left for its engine's queue; from which it stood
        at its engine; in which that took it; of the first thing that was done about it; and with
        which it was completed. ``HALT`` has that of the end everywhere.
    cycles : int
        From the start to the end.
    layers : tuple of LayerTiming
        In the order of their first instructions.
    """

    dispatched: np.ndarray
    offered: np.ndarray
    taken: np.ndarray
    started: np.ndarray
    done: np.ndarray
    cycles: int
    layers: tuple[LayerTiming, ...]


def program_timing(config, memory, instructions, *, program_memory=None, address=0):
    """When everything happens in a program.

    Parameters
    ----------
    config : Systolic
    memory : Memory
    instructions : sequence of Instruction
        The last one is ``HALT``.
    program_memory : Memory, optional
        Behind the port for instructions, if that is not like the other one.
    address : int
        Of the program.

    Returns
    -------
    ProgramTiming

    Raises
    ------
    ValueError
        If instructions wait for one another.
    """
    reader = ReaderTiming(config, memory)
    matrix = MatrixTiming(config, reader.weights, reader.weights_freed)
    loads = [i for i in instructions if i.opcode == Opcode.READ_TABLE]
    vector = VectorTiming(config, reader.parameters, reader.tables, loads, reader.parameters_freed)
    writer = WriterTiming(config, memory)
    engines = (reader, matrix, vector, writer)
    sequencer = SequencerTiming(
        config, program_memory or memory, instructions, engines, address=address
    )
    parts = (sequencer, *engines)
    while any([part.advance() for part in parts]) or vector.decide():
        pass
    return collect(
        config, instructions, engines, sequencer.dispatched, sequencer.offered, sequencer.finished
    )


def collect(config, instructions, engines, dispatched, offered, finished):
    """A `ProgramTiming` of what the engines and the sequencer have to say at the end."""
    numbers = [
        [k for k, i in enumerate(instructions) if i.opcode.engine == engine]
        for engine in range(len(ENGINES))
    ]
    late = [
        mine[len(engine.done)]
        for mine, engine in zip(numbers, engines, strict=True)
        if len(engine.done) < len(mine)
    ]
    if late or finished is None:
        number = min(late, default=len(instructions) - 1)
        opcode = instructions[number].opcode.name
        raise ValueError(f"instruction {number}, {opcode}, waits for ever")

    def in_order(cycles):
        found = np.full(len(instructions), finished, np.int64)
        for mine, own in zip(numbers, cycles, strict=True):
            found[mine] = own
        return found

    times = {
        name: in_order([getattr(engine, name) for engine in engines])
        for name in ("taken", "started", "done")
    }
    stalls = _stalls(instructions, numbers, engines, dispatched)
    busy = dict(zip(numbers[1], engines[1].busy, strict=True))
    return ProgramTiming(
        dispatched=np.array([*dispatched, finished], np.int64),
        offered=in_order(offered),
        **times,
        cycles=finished,
        layers=_layers(config, instructions, times["taken"], times["done"], stalls, busy),
    )


def _stalls(instructions, numbers, engines, dispatched):
    """For each convolution, cycles lost before its folds, by cause."""
    matrix = engines[1]
    found = {}
    for position, number in enumerate(numbers[1]):
        instruction = instructions[number]
        lost = dict.fromkeys(CAUSES, 0)
        lost["weights"] = matrix.starved[position]
        cause, latest = "program", dispatched[number]
        for name, engine, count in zip(ENGINES, engines, instruction.after, strict=True):
            if count and engine.done[count - 1] > latest:
                cause, latest = name, engine.done[count - 1]
        lost[cause] += matrix.idle[position]
        found[number] = lost
    return found


def _layers(config, instructions, taken, done, stalls, busy):
    """A `LayerTiming` for each layer."""
    groups: dict[int, list[int]] = {}
    for number, instruction in enumerate(instructions[:-1]):
        groups.setdefault(instruction.layer, []).append(number)
    layers = []
    ended = 0
    for layer, numbers in groups.items():
        last = int(done[numbers].max())
        words = {"read": 0, "write": 0}
        for number in numbers:
            instruction = instructions[number]
            name = ENGINES[instruction.opcode.engine]
            if name in words:
                words[name] += instruction["words"]
        layers.append(
            LayerTiming(
                layer=layer,
                first=int(taken[numbers].min()),
                last=last,
                cycles=max(0, last + 1 - ended),
                busy=sum(busy.get(number, 0) for number in numbers),
                stalls={
                    cause: sum(stalls[number][cause] for number in numbers if number in stalls)
                    for cause in CAUSES
                },
                bytes_read=words["read"] * config.axi_bytes,
                bytes_written=words["write"] * config.axi_bytes,
            )
        )
        ended = max(ended, last + 1)
    return tuple(layers)
