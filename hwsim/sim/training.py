"""The training accelerator in simulation: every address, product, sum and rounding in the RTL."""

from collections import Counter

import numpy as np

from hwsim.blocks.training import BITS, PLAIN, Bank, Command
from hwsim.models.reference.training import from_words, to_words
from hwsim.rtl.trainer import Trainer

from . import compiled_engine
from .engine import Stimulus

__all__ = ["Simulated"]

# Cycles of a program in which nothing moves at a port.
PATIENCE = 1 << 40


class Simulated:
    """A `hwsim.models.reference.training.Machine` in simulation.

    The host, which is here, writes weights, program, images and labels, starts the program, and
    reads what it is asked for.

    Parameters
    ----------
    plan : TrainingPlan

    Members
    -------
    cycles : Counter of str to int
        Of the operations so far, by stage and kind of work, as simulated; as
        `TrainingPlan.cycles`.
    """

    def __init__(self, plan):
        self.plan = plan
        self.loss = plan.config.loss
        self.cycles: Counter[str] = Counter()
        self.codes: dict[str, np.ndarray] = {}
        self.velocities: dict[str, np.ndarray] = {}
        self._trained = [place for place in plan.places if place.stage.weight]
        self._trainer = Trainer(plan.config)
        self._last = None
        self._commands: list[np.ndarray] = []
        self._program: dict[int, int] = {}
        for number, tap in enumerate(plan.taps):
            self._write(Bank.TAPS, number, self._packed(tap))
        for number, curve in enumerate(plan.functions):
            values, slopes = (
                codes[:, None].repeat(plan.config.lanes, axis=1) for codes in curve.tables()
            )
            self._write(Bank.FUNCTIONS, number * len(values), values)
            if number >= PLAIN:
                self._write(Bank.SLOPES, (number - PLAIN) * len(slopes), slopes)

    def _packed(self, tap):
        """An entry of the table as codes of a word."""
        word, place = 0, 0
        for value, bits in zip(tap, self.plan.config.tap_fields.values(), strict=True):
            word |= (int(value) & ((1 << bits) - 1)) << place
            place += bits
        return self._split(word)

    def _split(self, word):
        """A number as codes."""
        lanes = self.plan.config.lanes
        parts = [word >> (BITS * lane) & 0xFFFF for lane in range(lanes)]
        return np.array(parts, np.uint16).astype(np.int16)[None]

    # Commands

    def _write(self, bank, offset, words):
        """Words, (n, lanes)."""
        commands = np.zeros((len(words), 3 + words.shape[1]), np.int64)
        commands[:, 0] = Command.WRITE
        commands[:, 1] = offset + np.arange(len(words))
        commands[:, 2] = bank
        commands[:, 3:] = words
        self._commands.append(commands)

    def _stimulus(self, program, reads):
        """All commands so far, then the program, then reads of (bank, offset, words)."""
        width = 3 + self.plan.config.lanes
        for command, places in (
            (Command.START, [(Bank.PROGRAM, begin, 1) for begin in program.begins]),
            (Command.READ, reads),
        ):
            for bank, first, words in places:
                commands = np.zeros((words, width), np.int64)
                commands[:, 0] = command
                commands[:, 1] = first + np.arange(words)
                commands[:, 2] = bank
                self._commands.append(commands)
        stimulus = Stimulus(
            {"i": np.concatenate(self._commands)},
            {"o": sum(words for _, _, words in reads)},
            probes={"finished": (self._trainer.finished, len(program.operations) + 1)},
            patience=PATIENCE,
        )
        self._commands = []
        return stimulus

    def _run(self, stimulus):
        """A `Recording`; the accelerator goes on from where it was left."""
        self._last = run = compiled_engine.Run(self._trainer, stimulus, after=self._last)
        while not run.over:
            run.advance(compiled_engine.SLICE_CYCLES)
        return run.recording()

    def _start(self, program, reads):
        """Run a program, of which the words that have changed are written before.

        Returns
        -------
        list of ndarray, (words, lanes)
            For each of ``reads``, (bank, offset, words).
        """
        for place, word in enumerate(program.words):
            if self._program.get(place) != word:
                self._program[place] = word
                self._write(Bank.PROGRAM, place, self._split(word))
        recording = self._run(self._stimulus(program, reads))
        counts = [words for _, _, words in reads]
        begin = recording.inputs["i"].cycles[-len(program.begins) - sum(counts)]
        ends = recording.probes["finished"].cycles - begin
        spent = np.diff(ends[:-1], prepend=0)
        for operation, cycles in zip(program.operations, spent, strict=True):
            self.cycles[operation.label] += int(cycles)
        self.cycles["halt"] += int(ends[-1] - ends[-2])
        words = np.asarray(recording.outputs["o"].values, np.int64)
        return np.split(words, np.cumsum(counts)[:-1])

    # Machine

    def load(self, codes, velocities):
        """As `Machine.load`."""
        self.codes, self.velocities = dict(codes), dict(velocities)
        lanes = self.plan.config.lanes
        # What no operation writes has to be zero.
        for bank, name in ((Bank.PARAMETERS, "parameters"), (Bank.DELTAS, "deltas")):
            self._write(bank, 0, np.zeros((self.plan.used[name], lanes), np.int64))
        for place in self._trained:
            for offset, arrays in ((place.weights, codes), (place.velocity, velocities)):
                stage = place.stage
                words = to_words(arrays[stage.name], lanes, stage.group)
                self._write(Bank.PARAMETERS, offset, words)

    def step(self, images, labels, scales, point):
        """As `Machine.step`."""
        plan = self.plan
        program = plan.program(scales, point)
        self._write(Bank.MAPS, plan.images, self._to_lanes(images.reshape(len(images), -1)))
        self._write(Bank.PARAMETERS, plan.labels, self._to_lanes(labels[:, None]))
        last, slots = plan.places[-1], sum(map(len, plan.slots.values()))
        outputs = last.stage.outputs
        reads = [
            (Bank.PARAMETERS, first, place.words)
            for place in self._trained
            for first in (place.weights, place.velocity)
        ]
        found, flags, *words = self._start(
            program,
            [
                (Bank.MAPS, last.pooled, plan.groups * outputs),
                (Bank.FLAGS, 0, 1 + slots),
                *reads,
            ],
        )
        for place, codes, velocities in zip(self._trained, words[::2], words[1::2], strict=True):
            stage = place.stage
            shape = (stage.depth, stage.outputs)
            self.codes[stage.name] = from_words(codes, shape, stage.group)
            self.velocities[stage.name] = from_words(velocities, shape, stage.group)
        groups = found.reshape(plan.groups, outputs, -1).swapaxes(1, 2)
        return groups.reshape(-1, outputs)[: len(images)], {
            key: tuple(any(flags[slot, 0] >> bit & 1 for slot in found) for bit in range(2))
            for key, found in plan.slots.items()
        }

    def _to_lanes(self, values):
        """Words for values of a batch, (B, n)."""
        lanes = self.plan.config.lanes
        padded = np.zeros((self.plan.groups * lanes, values.shape[1]), np.int64)
        padded[: len(values)] = values
        return padded.reshape(-1, lanes, values.shape[1]).swapaxes(1, 2).reshape(-1, lanes)
