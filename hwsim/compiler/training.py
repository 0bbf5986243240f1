"""Programs that train: from the stages of a network to the words of a training accelerator.

Memory. A word holds a code for each lane. A feature map is ``(groups, channels, height, width)``
words, each with a value of as many images as there are lanes: the batch is in groups of them. Its
gradient lies as far apart as the windows of its layer's strides say, with zeros between. Weights
are ``(groups, tiles, depth)`` words with a lane for each of the outputs of a tile; the depth counts
channels of the group, then taps, and then the bias.

Operands. With ``k`` for a tap of a channel, ``n`` for an output and a word for each step:

- forward: rows get the weights of ``k``, columns the images' values there;
- input gradient: rows get the weights of ``n``, transposed, so that they are input channels;
  columns the images' gradients of ``n``;
- weight gradient: rows get the values at ``k``, columns the gradients of ``n``, both transposed,
  so that a step is an image;
- velocity, update: rows get p and q times a unit matrix, columns words of the two operands;
- sum of two maps, or of two readers' gradients of one: the same with two factors; a copy into the
  channels of a concatenation: with one;
- average, sum: rows get the factor times a unit matrix, columns channels, values of a window in
  turn, and zeros behind the last channel, of which the place of the rows' operand is the number;
- gradient of a pool whose windows overlap, or of an average or sum: the same with the gradients of
  the windows in which a pixel lies; for a maximum they are in planes, one for each value of a
  window, with zeros for those that did not win. An operation for each `Line` of rows and of
  columns;
- LRN: products word by word, sums of neighbours as those of an average, within a channel or over
  channels, and a power from a table. With s for the sum of squares that is near,
  ``y = x s**-beta``, and

      dx = d s**-beta - x sum(d x slope)

A grouped convolution is an operation for each group.

Where in a map a tap is, and whether it stands for the bias, says the table of taps.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from hwsim.blocks.training import (
    BITS,
    COORDINATE_BITS,
    FUNCTION_SHIFT,
    LEVELS,
    MODES,
    MOST_FUNCTIONS,
    OUTPUT_POINT,
    PLAIN,
    SIZES,
    TO_LEVELS,
    VALUE_POINT,
    Bank,
    Curve,
    Kind,
    Tap,
    jumps,
)
from hwsim.network.training import FACTOR_BITS, FUNCTIONS, IMAGES, SUM_POOLS, Stage

__all__ = ["PAUSE_CYCLES", "Operation", "Scales", "TrainingPlan", "TrainingProgram", "sized"]

# What nothing asks for.
NO_SLOT = 0
POOLS = ("MaxPool", *SUM_POOLS)
# A word that halts, and a start.
PAUSE_CYCLES = 2
# Larger than any memory that is needed, for a plan that tells how large they have to be.
AMPLE = 1 << 48


class NormScales(NamedTuple):
    """The numbers of an LRN.

    Members
    -------
    squares, shares : (int, int)
        A factor and a shift: from sums of squares to arguments, and of what channels give to those
        beside them.
    parts : (int, int, int)
        Factors of the two parts of a gradient, and a shift.
    """

    squares: tuple[int, int]
    shares: tuple[int, int]
    parts: tuple[int, int, int]


@dataclass(frozen=True)
class Scales:
    """The numbers of a stage that are chosen anew for each step.

    Members
    -------
    one : int
        Code of a constant 1 in the stage's input.
    forward, gradient : int
        Shifts of sums; of no use where there are none.
    bound : int
        The largest code of a ReLU that has one.
    inputs : int
        That of the input gradient; of no use where only images are read.
    joins : tuple of int
        Of an "Add" two factors and a shift; of a "Concat" a shift for each input.
    sums : tuple of (int, int, int)
        For each input two factors and a shift: of what readers behind this one have given, and of
        its own gradient for it; of no use where there are none.
    velocity, update : (int, int, int), or None
        Two factors and a shift; None for a stage without weights.
    seeds : dict of str to int
        For stochastic rounding, by the names of these.
    norm : NormScales
        Of an LRN.
    """

    one: int
    forward: int
    gradient: int
    inputs: int
    velocity: tuple[int, int, int] | None
    update: tuple[int, int, int] | None
    seeds: dict[str, int]
    norm: NormScales | None = None
    bound: int = 0
    joins: tuple[int, ...] = ()
    sums: tuple[tuple[int, int, int], ...] = ()


@dataclass(frozen=True)
class Operation:
    """What a program does up to a word that starts something.

    Members
    -------
    stage : Stage
    work : str
        "forward", "pool", "loss", "pool gradient", "weight gradient", "input gradient", "sum",
        "velocity" or "update"; a pool that is a stage of its own has "forward" and "input
        gradient". A sum is that of the gradients that the readers of its output give.
    steps : int
    cycles : int
        From its first word to the one behind it.
    """

    stage: Stage
    work: str
    steps: int
    cycles: int

    @property
    def label(self):
        """Stage and work."""
        return f"{self.stage.name} {self.work}"


class TrainingProgram:
    """Words of a program, and what it does.

    Members
    -------
    words : list of int
    begins : list of int
        Where the host starts it: the first word, and those behind a pause.
    operations : list of Operation
    """

    def __init__(self, config):
        self._config = config
        self._values: dict[str, int] = {}
        self.words: list[int] = []
        self.begins = [0]
        self.operations: list[Operation] = []

    def add(self, stage, work, kind, counts, *, to_counts, modes, numbers, curve=0, **registers):
        """An operation. Registers are values, or pairs of a base and the strides of the nest.

        ``numbers`` are written in any case, so that a program is as long whatever they are.
        """
        begin = len(self.words)
        nests = {"count": _filled(counts, LEVELS), "to_count": _filled(to_counts, TO_LEVELS)}
        values = {"fold": 1, "limit": 0, "slot": NO_SLOT, **registers}
        values["fold"] -= 1
        for name, nest in nests.items():
            values |= {f"{name}_{level}": count - 1 for level, count in enumerate(nest)}
        for name in ("a", "w", "k", "y", "x", "to"):
            if name in values:
                base, strides = values[name]
                nest = nests["to_count" if name == "to" else "count"]
                found = jumps(_filled(strides, len(nest), 0), nest)
                values[name] = base
                values |= {f"{name}_{level}": jump for level, jump in enumerate(found)}
        changed = {name: n for name, n in values.items() if self._values.get(name) != n}
        self._values |= changed
        self.words += [self._config.word(*item) for item in {**changed, **numbers}.items()]
        self._run(kind, modes, curve)
        steps = math.prod(counts)
        words = len(self.words) - begin
        cycles = words - 1 + self._config.operation_cycles(kind, steps)
        self.operations.append(Operation(stage, work, steps, cycles))

    def halt(self):
        """The last word, or that before a pause."""
        self._run(Kind.HALT, ())

    def pause(self, stage, work):
        """Halt, for what other accelerators have; the host starts the program at the next word."""
        self.halt()
        self.begins.append(len(self.words))
        self.operations.append(Operation(stage, work, 0, PAUSE_CYCLES))

    def _run(self, kind, modes, curve=0):
        given = {"kind": int(kind), "curve": curve}
        value, place = 0, 0
        for name, bits in MODES.items():
            value |= given.get(name, int(name in modes)) << place
            place += bits
        self.words.append(self._config.word("run", value))


def _filled(values, count, rest=1):
    return [*values, *[rest] * (count - len(values))]


class _Term(NamedTuple):
    """A stage's gradient for one of its inputs.

    Members
    -------
    place : _Place
        Of that input.
    at : int
        Where it is.
    added : int, or None
        Where the sum of those of the readers behind is, if there are any; the new one is then in
        `_Place.total`.
    """

    place: "_Place"
    at: int
    added: int | None


class _Place:
    """Where the parts of a stage are: first words in the memories, entries of the table."""

    def __init__(self, stage, groups, lanes, sources, take):
        self.stage, self.sources, self._take = stage, sources, take
        height, width = stage.map_shape
        # Of the gradients: those of a convolution lie as far apart as its windows.
        self.strides = stage.attributes["strides"] if stage.weight else (1, 1)
        # Of a group.
        self.channels, self.outputs = stage.shape[0] // stage.group, stage.outputs // stage.group
        self.tiles = -(-self.outputs // lanes)
        self.group_words = stage.depth * self.tiles
        self.words = stage.group * self.group_words if stage.weight else 0
        # Whole tiles, so that they are read alone.
        self.weights, self.velocity, self.gradient = (
            take("parameters", -(-self.words // lanes) * lanes) for _ in range(3)
        )
        channels = groups * stage.outputs
        self.pooled_words = groups * math.prod(stage.pooled_shape)
        # Gradients lie a stride apart, with zeros between and where a pool reads nothing; a route
        # puts them there, for which a pool has to have been.
        self.pools = stage.window != (1, 1)
        self.marked = self.pools or stage.relu or self.strides != (1, 1)
        self.size = tuple(
            (n - 1) * s + 1 for n, s in zip((height, width), self.strides, strict=True)
        )
        self._apart = channels * math.prod(self.size)
        self.maps = take("maps", channels * height * width)
        self.pooled = take("maps", self.pooled_words) if self.pools else self.maps
        self.marks = take("marks", self.pooled_words) if self.marked else 0
        self.forward_taps = self.input_taps = 0
        # A maximum's own winners, and gradients of each value of a window.
        maxima = channels * height * width if stage.op == "MaxPool" else 0
        self.winners = take("marks", maxima)
        self.planes = take("deltas", maxima * math.prod(stage.attributes["kernel"]))
        # An LRN's squares, later the slopes; their sums; the powers; two parts of the gradient.
        if stage.op == "LRN":
            words = channels * height * width
            self.squares, self.sums = (take("maps", words) for _ in range(2))
            self.powers = take("parameters", words)
            self.planes = take("deltas", 2 * words)
        # Gradients of the output: a sum of them, and another that is added to it.
        self.pooled_deltas: Any = None
        self.total: Any = None
        self._shared = False
        self.terms: list[_Term] = []

    @property
    def source(self):
        """Where the only input is."""
        return self.sources[0]

    def receive(self, reader):
        """A gradient that a reader gives, the last one's first: a `_Term`."""
        op, before = reader.stage.op, self.pooled_deltas
        if op == "Add":
            # It has the same gradient for its inputs and itself.
            at = reader.deltas
        elif op in POOLS or (before is not None and before == self.total):
            # Where no window lies, a pool counts on zeros that nothing overwrites.
            at = self._take("deltas", self.pooled_words)
        else:
            at = self.total = self._take("deltas", self.pooled_words)
        if before is not None and self.total is None:
            self.total = self._take("deltas", self.pooled_words)
        self._shared = op == "Add" and before is None
        self.pooled_deltas = at if before is None else self.total
        return _Term(self, at, before)

    def close(self):
        """All readers have given a gradient: the stage's own is the same, or has another place."""
        if self.pooled_deltas is None:
            self.pooled_deltas = self._take("deltas", self.pooled_words)
        own = self.pools or self.strides != (1, 1)
        if self._shared:
            # What others read, too, is not changed.
            shares = self.stage.op == "AveragePool" and len(self.stage.regions) > 1
            own = own or self.marked or shares
        self.deltas = self._take("deltas", self._apart) if own else self.pooled_deltas


class TrainingPlan:
    """Where everything of a network is in a training accelerator, and its program.

    Parameters
    ----------
    stages : sequence of Stage
    config : TrainingConfig
        Its batch has no more images than there are lanes, or a multiple of these.
    momentum : bool
        Whether there are velocities.

    Members
    -------
    places : list
        Of each stage: first words of its ``weights``, ``velocity``, feature ``maps`` and
        ``pooled`` ones, ``pooled_deltas``; ``words`` of its weights.
    images, labels : int
        First words of the images and, in the memory of the parameters, of their labels.
    taps : list of (int, int, int, Tap)
        The table.
    slots : dict of str to list of int
        What an operation's results were like: ``map/NAME``, ``delta/NAME``, ``gradient/NAME``,
        ``velocity/NAME`` of each stage.
    groups, kept : int
        Words of a feature map's value, and images in each.

    Raises
    ------
    ValueError
        For a batch that is not so, or other classes; for maps or sums that are too large, or
        memories that are too small.
    """

    def __init__(self, stages: Sequence[Stage], config, *, momentum):
        lanes, batch, classes = config.lanes, config.batch, stages[-1].outputs
        if batch > lanes and batch % lanes:
            raise ValueError(
                f"batch must be at most {lanes}, the lanes, or a multiple of that, not {batch}"
            )
        if config.classes != classes:
            raise ValueError(f"classes must be {classes}, as the outputs, not {config.classes}")
        self.config, self.momentum = config, momentum
        self.groups, self.kept = -(-batch // lanes), min(batch, lanes)
        self.used = dict.fromkeys(("parameters", "maps", "deltas", "marks"), 0)
        self.images = self._take("maps", self.groups * math.prod(stages[0].shape))
        self.labels = self._take("parameters", self.groups)
        self.taps: list[tuple[int, int, int, Tap]] = []
        self.places: list[_Place] = []
        self.slots: dict[str, list[int]] = {}
        by_name: dict[str, _Place] = {}
        for stage in stages:
            self._check(stage)
            inputs = [by_name[name] for name in stage.inputs if name != IMAGES]
            sources = [place.pooled for place in inputs] or [self.images]
            place = by_name[stage.name] = _Place(stage, self.groups, lanes, sources, self._take)
            if stage.weight:
                place.forward_taps = len(self.taps)
                self.taps += self._forward_taps(place)
            if stage.weight and inputs:
                place.input_taps = len(self.taps)
                self.taps += self._input_taps(place)
            self.places.append(place)
        for place in reversed(self.places):
            place.close()
            place.terms = [
                by_name[name].receive(place) for name in place.stage.inputs if name != IMAGES
            ]
        self.functions = _functions(stages)
        if config.functions < len(self.functions):
            raise ValueError(
                f"functions must be at least {len(self.functions)}, not {config.functions}"
            )
        for name, count in {**self.used, "table": len(self.taps)}.items():
            if getattr(config, name) < count:
                raise ValueError(f"{name} must be at least {count}, not {getattr(config, name)}")

    def _take(self, memory, words):
        self.used[memory] += words
        return self.used[memory] - words

    def _check(self, stage):
        """Places in maps have to fit their counters, and sums what adds them up."""
        pads, largest = stage.attributes["pads"], 1 << (COORDINATE_BITS - 1)
        across = stage.op == "LRN" and not stage.attributes["within"]
        if across and stage.shape[0] + stage.attributes["size"] >= largest:
            raise ValueError(
                f"channels of LRN and its size together must be below {largest}, unlike in "
                f"{stage.name}"
            )
        for k in range(2):
            reach = stage.shape[k + 1] + pads[k] + pads[k + 2]
            if reach >= largest:
                raise ValueError(
                    f"maps of training must be smaller than {largest}, with their padding, not "
                    f"{reach} as that of {stage.name}"
                )
        products = _products(stage, self.groups * self.config.lanes)
        if products > self.config.depth:
            raise ValueError(
                f"a sum must have at most {self.config.depth} products, not {products} as in "
                f"{stage.name}"
            )

    def _slot(self, key):
        """The next slot, for results that ``key`` names."""
        slot = 1 + sum(map(len, self.slots.values()))
        self.slots.setdefault(key, []).append(slot)
        return slot

    # Tables

    def _forward_taps(self, place):
        """For each ``k``; a whole number of tiles."""
        stage = place.stage
        _, height, width = stage.shape
        (kh, kw), (dh, dw) = stage.attributes["kernel"], stage.attributes["dilations"]
        taps = [
            (c * height * width + y * dh * width + x * dw, y * dh, x * dw, Tap.VALUE)
            for c in range(place.channels)
            for y in range(kh)
            for x in range(kw)
        ]
        if stage.bias:
            taps.append((0, 0, 0, Tap.ONE))
        return [*taps, *[(0, 0, 0, Tap.ZERO)] * (-len(taps) % self.config.lanes)]

    def _input_taps(self, place):
        """For each tile of outputs and each tap: an output after the other."""
        stage, lanes = place.stage, self.config.lanes
        (kh, kw), (dh, dw) = stage.attributes["kernel"], stage.attributes["dilations"]
        height, width = place.size
        return [
            (n * height * width - y * dh * width - x * dw, -y * dh, -x * dw, Tap.VALUE)
            if n < place.outputs
            else (0, 0, 0, Tap.ZERO)
            for tile in range(place.tiles)
            for y in range(kh)
            for x in range(kw)
            for n in range(tile * lanes, (tile + 1) * lanes)
        ]

    # Programs

    def program(self, scales: Sequence[Scales], point):
        """A step: forward pass, loss, backward pass and update.

        Parameters
        ----------
        scales : sequence of Scales
            Of each stage.
        point : int
            Of the outputs, 0 to 14.
        """
        self.slots = {}
        program = TrainingProgram(self.config)
        for place, numbers in zip(self.places, scales, strict=True):
            self._own(program, place, numbers)
            if place.marked:
                self._pool(program, place, numbers)
        self._loss(program, point)
        backwards = list(zip(self.places, scales, strict=True))[::-1]
        for place, numbers in backwards:
            if place.marked:
                self._route(program, place)
            if place.stage.weight:
                self._weight_gradient(program, place, numbers)
            for number, term in enumerate(place.terms):
                self._own_gradient(program, place, number, numbers)
                if term.added is not None:
                    self._add_up(program, term, numbers.sums[number])
        for place, numbers in backwards:
            if place.stage.weight:
                self._update(program, place, numbers)
        program.halt()
        slots = 1 + sum(map(len, self.slots.values()))
        for name, count in (("program", len(program.words)), ("slots", slots)):
            if getattr(self.config, name) < count:
                raise ValueError(
                    f"{name} must be at least {count}, not {getattr(self.config, name)}"
                )
        return program

    def any_program(self, *, stochastic):
        """`program` for some numbers: its operations and cycles are the same for all."""
        seeds = dict.fromkeys(("gradient", "inputs", "velocity", "update"), 0)
        norm = NormScales((0, 0), (0, 0), (0, 0, 0))
        most = max(3, *(len(place.sources) for place in self.places))
        numbers = Scales(
            one=1,
            forward=0,
            gradient=0,
            inputs=0,
            velocity=(0, 0, 0),
            update=(0, 0, 0),
            seeds=seeds if stochastic else {},
            norm=norm,
            joins=(0,) * most,
            sums=((0, 0, 0),) * most,
        )
        return self.program([numbers] * len(self.places), 0)

    def cycles(self, *, stochastic):
        """Cycles of a step by stage and kind of work; "halt" for the end of its program."""
        found: Counter[str] = Counter()
        for operation in self.any_program(stochastic=stochastic).operations:
            found[operation.label] += operation.cycles
        return found + Counter(halt=1)

    def _loss(self, program, point):
        """Gradients of the outputs: a class after the other, of an image after the other."""
        place, address = self.places[-1], self.config.address
        classes = place.stage.outputs
        counts, strides = [classes, self.kept, self.groups], [1, 0, classes]
        program.add(
            place.stage,
            "loss",
            Kind.LOSS,
            counts,
            a=(address(Bank.PARAMETERS, self.labels), [0, 0, 1]),
            w=(address(Bank.MAPS, place.pooled), strides),
            to_counts=counts,
            to=(address(Bank.DELTAS, place.pooled_deltas), strides),
            kept=self.config.lanes,
            modes=(),
            numbers={"one": 1 << point, "shift": OUTPUT_POINT - point},
        )

    def _source(self, place):
        """Address and place of the first tap of the first window; size of the map."""
        stage = place.stage
        _, height, width = stage.shape
        top, left = stage.attributes["pads"][:2]
        base = self.config.address(Bank.MAPS, place.source - top * width - left)
        return base, -top, -left, {"height": height, "width": width}

    def _own(self, program, place, scales):
        """A stage's own layer."""
        op = place.stage.op
        if op == "MaxPool":
            self._maximum(program, place)
        elif op in SUM_POOLS:
            self._average(program, place, scales)
        elif op == "Add":
            self._add(program, place, scales)
        elif op == "Concat":
            self._concatenate(program, place, scales)
        elif op == "Exchange":
            self._exchange(program, place, "forward")
        elif op == "LRN":
            self._normalize(program, place, scales)
        elif op in FUNCTIONS:
            maps = [self.config.address(Bank.MAPS, first) for first in (place.source, place.maps)]
            self._look_up(program, place, Curve(op), *maps)
        else:
            self._forward(program, place, scales)

    def _own_gradient(self, program, place, number, scales):
        """Its gradient for an input."""
        op, term = place.stage.op, place.terms[number]
        if op == "MaxPool":
            self._winners(program, place)
        if op in SUM_POOLS:
            self._share(program, place)
        if op in POOLS:
            self._gather(program, place, term, scales)
        elif op == "Concat":
            self._separate(program, place, number)
        elif op == "Exchange":
            self._exchange(program, place, "input gradient")
        elif op == "LRN":
            self._normalize_gradient(program, place, term, scales)
        elif op in FUNCTIONS:
            self._slope(program, place, term, scales)
        elif op != "Add":
            self._input_gradient(program, place, term, scales)

    def _weighted(self, program, place, work, sources, to, words, factors, **more):
        """Words times a factor, added to those of a second source, if there is one, times another.

        ``more`` may say of how many ``groups`` they are, and how far apart these are in source and
        result.
        """
        lanes, tiles = self.config.lanes, -(-words // self.config.lanes)
        groups, apart_source, apart_to = more.pop("groups", (1, 0, 0))
        p, q, shift = factors
        program.add(
            place.stage,
            work,
            Kind.PRODUCT,
            [lanes, len(sources), tiles, groups],
            fold=2,
            a=(0, [1, 0, lanes]),
            w=(sources[0], [1, sources[-1] - sources[0], lanes, apart_source]),
            y=(0, [0]),
            x=(0, [0]),
            height=1,
            width=1,
            to_counts=[lanes, tiles, groups],
            to=(to + lanes - 1, [-1, lanes, apart_to]),
            limit=words,
            kept=self.kept,
            **{
                **more,
                "modes": {"diagonal", "edges", *more.get("modes", ())},
                "numbers": {"p": p, "q": q, "shift": shift, **more.get("numbers", {})},
            },
        )

    def _add(self, program, place, scales):
        stage, address = place.stage, self.config.address
        relu, bound = _rectifying(stage, scales)
        self._weighted(
            program,
            place,
            "forward",
            [address(Bank.MAPS, source) for source in place.sources],
            address(Bank.MAPS, place.maps),
            self.groups * math.prod(stage.shape),
            scales.joins[:3],
            slot=self._slot(f"map/{stage.name}"),
            modes=relu,
            numbers=bound,
        )

    def _add_up(self, program, term, numbers):
        """A gradient is added to those of other readers of the same map."""
        place, address = term.place, self.config.address
        self._weighted(
            program,
            place,
            "sum",
            [address(Bank.DELTAS, at) for at in (term.added, term.at)],
            address(Bank.DELTAS, place.total),
            place.pooled_words,
            numbers,
            slot=self._slot(f"delta/{place.stage.name}"),
        )

    def _exchange(self, program, place, work):
        if place.stage.attributes[work]:
            program.pause(place.stage, work)

    def _slices(self, place):
        """For each input of a concatenation: words of an image, and how many are before them."""
        first = 0
        for source in place.terms:
            words = source.place.pooled_words // self.groups
            yield words, first
            first += words

    def _concatenate(self, program, place, scales):
        whole, address = math.prod(place.stage.shape), self.config.address
        parts = zip(place.sources, self._slices(place), scales.joins, strict=False)
        for source, (words, first), shift in parts:
            to = address(Bank.MAPS, place.maps + first)
            groups, factors = (self.groups, words, whole), (1, 1, shift)
            source = [address(Bank.MAPS, source)]
            self._weighted(program, place, "forward", source, to, words, factors, groups=groups)

    def _separate(self, program, place, number):
        """The gradient of what an input is in a concatenation."""
        whole, address = math.prod(place.stage.shape), self.config.address
        words, first = list(self._slices(place))[number]
        source = [address(Bank.DELTAS, place.deltas + first)]
        to = address(Bank.DELTAS, place.terms[number].at)
        groups, factors = (self.groups, whole, words), (1, 1, 0)
        work = "input gradient"
        self._weighted(program, place, work, source, to, words, factors, groups=groups)

    def _maximum(self, program, place):
        stage, a = place.stage, place.stage.attributes
        (kh, kw), (dh, dw), (sh, sw) = a["kernel"], a["dilations"], a["strides"]
        (rows, cols), (channels, height, width) = stage.map_shape, stage.shape
        base, top, left, size = self._source(place)
        count = self.groups * channels
        program.add(
            stage,
            "forward",
            Kind.POOL,
            [kw, kh, cols, rows, count],
            fold=2,
            w=(base, [dw, dh * width, sw, sh * width, height * width]),
            k=(place.winners, [0, 0, 1, cols, rows * cols]),
            y=(top, [0, dh, 0, sh]),
            x=(left, [dw, 0, sw]),
            **size,
            to_counts=[count * rows * cols],
            to=(self.config.address(Bank.MAPS, place.maps), [1]),
            kept=self.config.lanes,
            modes={"edges"},
            numbers={},
        )

    def _average(self, program, place, scales):
        stage = place.stage
        source, to = (self.config.address(Bank.MAPS, at) for at in (place.source, place.maps))
        relu, bound = _rectifying(stage, scales)
        for rows, cols, factor, _ in stage.regions:
            self._window_sums(
                program,
                place,
                "forward",
                source,
                to,
                stage.attributes["pads"][:2],
                rows,
                cols,
                slot=self._slot(f"map/{stage.name}"),
                modes={"diagonal", "edges", *relu},
                numbers={"p": factor, "q": factor, "shift": scales.forward, **bound},
            )

    def _window_sums(self, program, place, work, source, to, pads, rows, cols, **more):
        """Sums over windows of a map, in ranges of rows and columns, times a factor.

        The first window begins so many rows and columns of ``pads`` before the map.
        """
        stage, a, lanes = place.stage, place.stage.attributes, self.config.lanes
        (kh, kw), (dh, dw), (sh, sw) = a["kernel"], a["dilations"], a["strides"]
        channels, height, width = stage.shape
        plane = height * width
        down, right = rows.start * sh - pads[0], cols.start * sw - pads[1]
        program.add(
            stage,
            work,
            Kind.PRODUCT,
            [lanes, kw, kh, place.tiles, self.groups, len(cols), len(rows)],
            fold=3,
            a=(0, [1, 0, 0, lanes]),
            w=(
                source + down * width + right,
                [plane, dw, dh * width, lanes * plane, channels * plane, sw, sh * width],
            ),
            y=(down, [0, 0, dh, 0, 0, 0, sh]),
            x=(right, [0, dw, 0, 0, 0, sw]),
            height=height,
            width=width,
            # An address is a place behind the first bank's begin.
            **self._to_pixels(Bank(0), to, (channels, *stage.map_shape), rows, cols),
            **more,
        )

    def _to_pixels(self, bank, base, shape, rows, cols):
        """Results in tiles of channels, for one pixel of ranges after the other."""
        lanes, (channels, height, width) = self.config.lanes, shape
        plane = height * width
        first = base + rows.start * width + cols.start + (lanes - 1) * plane
        return {
            "to_counts": [lanes, -(-channels // lanes), self.groups, len(cols), len(rows)],
            "to": (
                self.config.address(bank, first),
                [-plane, lanes * plane, channels * plane, cols.step, rows.step * width],
            ),
            "limit": channels,
            "kept": self.kept,
        }

    def _share(self, program, place):
        """Gradients of an average, all as if of as few values as that of the fewest."""
        stage, lanes, deltas = place.stage, self.config.lanes, place.deltas
        channels, (height, width) = stage.outputs, stage.map_shape
        plane = height * width
        # A route has been there, or an "Add" has the same gradients.
        source = deltas if place.marked else place.pooled_deltas
        for rows, cols, _, share in stage.regions:
            if share == 1 << FACTOR_BITS and source == deltas:
                continue
            first = source + rows.start * width + cols.start
            program.add(
                stage,
                "input gradient",
                Kind.PRODUCT,
                [lanes, place.tiles, self.groups, len(cols), len(rows)],
                a=(0, [1, lanes]),
                w=(
                    self.config.address(Bank.DELTAS, first),
                    [plane, lanes * plane, channels * plane, 1, width],
                ),
                y=(0, [0]),
                x=(0, [0]),
                height=1,
                width=1,
                **self._to_pixels(Bank.DELTAS, deltas, (channels, height, width), rows, cols),
                modes={"diagonal", "edges"},
                numbers={"p": share, "q": share, "shift": FACTOR_BITS},
            )

    def _winners(self, program, place):
        """Gradients of a maximum: a plane for each value of a window."""
        stage, address = place.stage, self.config.address
        taps = math.prod(stage.attributes["kernel"])
        windows = self.groups * stage.outputs * math.prod(stage.map_shape)
        program.add(
            stage,
            "input gradient",
            Kind.ROUTE,
            [taps, windows],
            w=(address(Bank.DELTAS, place.deltas), [0, 1]),
            k=(place.winners, [0, 1]),
            to_counts=[taps, windows],
            to=(address(Bank.DELTAS, place.planes), [windows, 1]),
            kept=self.config.lanes,
            modes=(),
            numbers={},
        )

    def _gather(self, program, place, term, scales):
        """Gradients of a pool's input: the sum of those of the windows that a pixel lies in."""
        stage, lanes, address = place.stage, self.config.lanes, self.config.address
        (rows, cols), channels = stage.map_shape, stage.shape[0]
        size = rows * cols
        source, plane, factor = place.deltas, 0, stage.factor[0]
        if stage.op == "MaxPool":
            source, plane = place.planes, self.groups * channels * size
        lines = [(y, x) for y in stage.lines(0) for x in stage.lines(1)]
        for number, (y, x) in enumerate(lines):
            modes, seed = _random(scales, "inputs", load=number == 0)
            tap = y.tap * stage.attributes["kernel"][1] + x.tap
            down = y.tap_step * stage.attributes["kernel"][1] * plane - y.back * cols
            program.add(
                stage,
                "input gradient",
                Kind.PRODUCT,
                [lanes, x.taps, y.taps, place.tiles, self.groups, len(x.pixels), len(y.pixels)],
                fold=3,
                a=(0, [1, 0, 0, lanes]),
                w=(
                    address(Bank.DELTAS, source + tap * plane + y.window * cols + x.window),
                    [
                        size,
                        x.tap_step * plane - x.back,
                        down,
                        lanes * size,
                        channels * size,
                        x.along,
                        y.along * cols,
                    ],
                ),
                y=(y.window, [0, 0, -y.back, 0, 0, 0, y.along]),
                x=(x.window, [0, -x.back, 0, 0, 0, x.along]),
                height=rows,
                width=cols,
                **self._to_pixels(Bank.DELTAS, term.at, stage.shape, y.pixels, x.pixels),
                slot=self._slot(f"delta/{term.place.stage.name}"),
                modes={"diagonal", "edges", *modes},
                numbers={"p": factor, "q": factor, "shift": scales.inputs, **seed},
            )

    def _look_up(self, program, place, curve, source, to):
        words = self.groups * math.prod(place.stage.shape)
        program.add(
            place.stage,
            "forward",
            Kind.FUNCTION,
            [words],
            w=(source, [1]),
            to_counts=[words],
            to=(to, [1]),
            kept=self.kept,
            modes=(),
            curve=self.functions.index(curve),
            numbers={"shift": FUNCTION_SHIFT},
        )

    def _slope(self, program, place, term, scales):
        modes, seed = _random(scales, "inputs")
        address = self.config.address
        self._times(
            program,
            place,
            "input gradient",
            address(Bank.MAPS, place.maps),
            address(Bank.DELTAS, place.deltas),
            address(Bank.DELTAS, term.at),
            slot=self._slot(f"delta/{term.place.stage.name}"),
            modes=modes,
            curve=self.functions.index(Curve(place.stage.op)),
            numbers={"shift": scales.inputs, **seed},
        )

    def _times(self, program, place, work, a, w, to, **more):
        """Words times words, or times slopes that follow from these; of different banks, or one."""
        words = self.groups * math.prod(place.stage.shape)
        program.add(
            place.stage,
            work,
            Kind.SLOPE,
            [words],
            a=(a, [1]),
            w=(w, [1]),
            to_counts=[words],
            to=(to, [1]),
            kept=self.kept,
            **{"modes": (), "curve": PLAIN, **more},
        )

    def _normalize(self, program, place, scales):
        address, a = self.config.address, place.stage.attributes
        x, squares, sums, y = (
            address(Bank.MAPS, first)
            for first in (place.source, place.squares, place.sums, place.maps)
        )
        powers = address(Bank.PARAMETERS, place.powers)
        work = "forward"
        self._times(program, place, work, x, x, squares, numbers=_dropping(BITS - 1))
        before, _ = place.stage.reach
        self._neighbours(program, place, work, squares, sums, before, scales.norm.squares)
        for name, to in (("Power", powers), ("Slope", squares)):
            self._look_up(program, place, Curve(name, a["bias"], a["beta"]), sums, to)
        slot, numbers = self._slot(f"map/{place.stage.name}"), _dropping(scales.forward)
        self._times(program, place, work, x, powers, y, slot=slot, numbers=numbers)

    def _normalize_gradient(self, program, place, term, scales):
        stage, address = place.stage, self.config.address
        x, slopes = (address(Bank.MAPS, first) for first in (place.source, place.squares))
        powers = address(Bank.PARAMETERS, place.powers)
        words = self.groups * math.prod(stage.shape)
        delta, first, second = (
            address(Bank.DELTAS, start)
            for start in (place.deltas, place.planes, place.planes + words)
        )
        work, (_, after) = "input gradient", stage.reach
        wide, narrow = _dropping(BITS - 1), _dropping(BITS - 2)
        self._times(program, place, work, slopes, delta, first, numbers=narrow)
        self._times(program, place, work, x, first, first, numbers=wide)
        self._neighbours(program, place, work, first, second, after, scales.norm.shares)
        self._times(program, place, work, x, second, second, numbers=wide)
        self._times(program, place, work, powers, delta, first, numbers=narrow)
        modes, seed = _random(scales, "inputs")
        to = address(Bank.DELTAS, term.at)
        slot, parts = self._slot(f"delta/{term.place.stage.name}"), [first, second]
        more = {"slot": slot, "modes": modes, "numbers": seed}
        self._weighted(program, place, work, parts, to, words, scales.norm.parts, **more)

    def _neighbours(self, program, place, work, source, to, before, numbers):
        """Sums over channels or pixels, so many of them before each one's own, times a factor."""
        stage, lanes, (factor, shift) = place.stage, self.config.lanes, numbers
        more = {
            "modes": {"diagonal", "edges"},
            "numbers": {"p": factor, "q": factor, "shift": shift},
        }
        if stage.attributes["within"]:
            pixels, pads = map(range, stage.map_shape), (before, before)
            self._window_sums(program, place, work, source, to, pads, *pixels, **more)
            return
        channels, size = stage.shape[0], math.prod(stage.map_shape)
        program.add(
            stage,
            work,
            Kind.PRODUCT,
            [lanes, stage.attributes["size"], place.tiles, self.groups, size],
            fold=2,
            a=(0, [1, 0, lanes]),
            w=(source - before * size, [size, size, lanes * size, channels * size, 1]),
            y=(-before, [1, 1, lanes]),
            x=(0, [0]),
            height=channels,
            width=1,
            # An address is a place behind the first bank's begin.
            **self._to_map(Bank(0), to, stage.shape, stage, 0),
            **more,
        )

    def _forward(self, program, place, scales):
        stage, lanes, address = place.stage, self.config.lanes, self.config.address
        (rows, cols), (sh, sw) = stage.map_shape, place.strides
        _, height, width = stage.shape
        base, top, left, size = self._source(place)
        relu, bound = _rectifying(stage, scales)
        for group in range(stage.group):
            weights = place.weights + group * place.group_words
            program.add(
                stage,
                "forward",
                Kind.PRODUCT,
                [max(stage.depth, lanes), place.tiles, self.groups, cols, rows],
                a=(address(Bank.PARAMETERS, weights), [1, stage.depth]),
                w=(
                    base + group * place.channels * height * width,
                    [0, 0, math.prod(stage.shape), sw, sh * width],
                ),
                k=(place.forward_taps, [1]),
                y=(top, [0, 0, 0, 0, sh]),
                x=(left, [0, 0, 0, sw]),
                **size,
                **self._to_map(Bank.MAPS, place.maps, (stage.outputs, rows, cols), stage, group),
                slot=self._slot(f"map/{stage.name}"),
                modes={"taps_w", *relu},
                numbers={"one": scales.one, "shift": scales.forward, **bound},
            )

    def _to_map(self, bank, base, shape, stage, group):
        """Results in tiles of a group's channels, for one pixel after the other."""
        lanes, size, channels = self.config.lanes, math.prod(shape[1:]), shape[0] // stage.group
        first = base + group * channels * size
        return {
            "to_counts": [lanes, -(-channels // lanes), self.groups, size],
            "to": (
                self.config.address(bank, first + (lanes - 1) * size),
                [-size, lanes * size, shape[0] * size, 1],
            ),
            "limit": channels,
            "kept": self.kept,
        }

    def _pool(self, program, place, scales):
        stage, address = place.stage, self.config.address
        relu, bound = _rectifying(stage, scales)
        (kh, kw), (channels, rows, cols) = stage.window, stage.pooled_shape
        height, width = stage.map_shape
        count = self.groups * channels
        program.add(
            stage,
            "pool",
            Kind.POOL,
            [kw, kh, cols, rows, count],
            fold=2,
            w=(address(Bank.MAPS, place.maps), [1, width, kw, kh * width, height * width]),
            k=(place.marks, [0, 0, 1, cols, rows * cols]),
            to_counts=[count * rows * cols],
            to=(address(Bank.MAPS, place.pooled), [1]),
            kept=self.config.lanes,
            modes=relu,
            numbers=bound,
        )

    def _route(self, program, place):
        stage, address = place.stage, self.config.address
        (kh, kw), (channels, rows, cols) = stage.window, stage.pooled_shape
        (sh, sw), (height, width) = place.strides, place.size
        count = self.groups * channels
        program.add(
            stage,
            "pool gradient",
            Kind.ROUTE,
            [kh * kw, count * rows * cols],
            w=(address(Bank.DELTAS, place.pooled_deltas), [0, 1]),
            k=(place.marks, [0, 1]),
            to_counts=[kw, kh, cols, rows, count],
            to=(
                address(Bank.DELTAS, place.deltas),
                [sw, sh * width, kw * sw, kh * sh * width, height * width],
            ),
            kept=self.config.lanes,
            modes={"relu"} if stage.relu else (),
            numbers={},
        )

    def _weight_gradient(self, program, place, scales):
        stage, lanes, address = place.stage, self.config.lanes, self.config.address
        (rows, cols), (sh, sw) = stage.map_shape, place.strides
        _, height, width = stage.shape
        base, top, left, size = self._source(place)
        full, rest = divmod(place.outputs, lanes)
        apart, spread = math.prod(place.size), place.size[1]
        down = -(-stage.depth // lanes)
        kinds = [(0, full, lanes), (full, 1, rest)]
        parts = [(g, *kind) for g in range(stage.group) for kind in kinds if kind[1] * kind[2]]
        for number, (group, tile, tiles, kept) in enumerate(parts):
            modes, seed = _random(scales, "gradient", load=number == 0)
            output = group * place.outputs + tile * lanes
            gradient = place.gradient + group * place.group_words + tile * stage.depth
            program.add(
                stage,
                "weight gradient",
                Kind.PRODUCT,
                [lanes, cols, rows, self.groups, down, tiles],
                fold=4,
                a=(
                    base + group * place.channels * height * width,
                    [0, sw, sh * width, math.prod(stage.shape)],
                ),
                w=(
                    address(Bank.DELTAS, place.deltas + output * apart),
                    [apart, sw, sh * spread, stage.outputs * apart, 0, lanes * apart],
                ),
                k=(place.forward_taps, [1, 0, 0, 0, lanes]),
                y=(top, [0, 0, sh]),
                x=(left, [0, sw]),
                **size,
                to_counts=[lanes, down, tiles],
                to=(
                    address(Bank.PARAMETERS, gradient + lanes - 1),
                    [-1, lanes, stage.depth],
                ),
                limit=stage.depth,
                kept=kept,
                slot=self._slot(f"gradient/{stage.name}"),
                modes={"taps_a", "turn_a", "turn_w", *modes},
                numbers={"one": scales.one, "shift": scales.gradient, **seed},
            )

    def _input_gradient(self, program, place, term, scales):
        stage, lanes, address = place.stage, self.config.lanes, self.config.address
        _, rows, cols = stage.shape
        taps = math.prod(stage.attributes["kernel"])
        top, left = stage.attributes["pads"][:2]
        height, width = place.size
        for group in range(stage.group):
            modes, seed = _random(scales, "inputs", load=group == 0)
            weights = place.weights + group * place.group_words
            deltas = place.deltas + group * place.outputs * height * width
            program.add(
                stage,
                "input gradient",
                Kind.PRODUCT,
                [lanes, taps, place.tiles, -(-place.channels // lanes), self.groups, cols, rows],
                fold=3,
                a=(
                    address(Bank.PARAMETERS, weights),
                    [taps, 1, stage.depth, lanes * taps],
                ),
                w=(
                    address(Bank.DELTAS, deltas + top * width + left),
                    [0, 0, 0, 0, stage.outputs * height * width, 1, width],
                ),
                k=(place.input_taps, [1, lanes, lanes * taps]),
                y=(top, [0, 0, 0, 0, 0, 0, 1]),
                x=(left, [0, 0, 0, 0, 0, 1]),
                height=height,
                width=width,
                **self._to_map(Bank.DELTAS, term.at, stage.shape, stage, group),
                slot=self._slot(f"delta/{term.place.stage.name}"),
                modes={"taps_w", "turn_a", *modes},
                numbers={"shift": scales.inputs, **seed},
            )

    def _update(self, program, place, scales):
        change = place.gradient
        if self.momentum:
            name, change = place.stage.name, place.velocity
            slot = self._slot(f"velocity/{name}")
            self._combine(program, place, "velocity", change, place.gradient, scales, slot)
        self._combine(program, place, "update", place.weights, change, scales, NO_SLOT)

    def _combine(self, program, place, work, x, y, scales, slot):
        """``x`` becomes ``p x + q y``."""
        lanes, address = self.config.lanes, self.config.address
        tiles = -(-place.words // lanes)
        modes, seed = _random(scales, work)
        p, q, shift = getattr(scales, work)
        program.add(
            place.stage,
            work,
            Kind.PRODUCT,
            [lanes, 2, tiles],
            fold=2,
            w=(address(Bank.PARAMETERS, x), [1, y - x, lanes]),
            to_counts=[lanes, tiles],
            to=(address(Bank.PARAMETERS, x + lanes - 1), [-1, lanes]),
            kept=lanes,
            slot=slot,
            modes={"diagonal", *modes},
            numbers={"p": p, "q": q, "shift": shift, **seed},
        )


def _rectifying(stage, scales):
    """Modes and numbers of a ReLU, if there is one."""
    if not stage.relu:
        return (), {}
    if stage.largest == math.inf:
        return ("relu",), {}
    return ("relu", "clip"), {"bound": scales.bound}


def _dropping(bits):
    """Numbers of a product of words that loses so many bits."""
    return {"shift": bits + VALUE_POINT}


def _functions(stages):
    """`Curve`s of the tables: sigmoid and tanh, and two for each kind of LRN; or none."""
    norms = {
        (stage.attributes["bias"], stage.attributes["beta"]): None
        for stage in stages
        if stage.op == "LRN"
    }
    if not norms and not any(stage.op in FUNCTIONS for stage in stages):
        return []
    most = MOST_FUNCTIONS // 2 - 1
    if len(norms) > most:
        raise ValueError(
            f"LRN must have at most {most} pairs of bias and beta in training, not {len(norms)}"
        )
    pairs = [Curve(name, *norm) for norm in norms for name in ("Power", "Slope")]
    return [Curve(name) for name in FUNCTIONS] + pairs


def _random(scales, name, *, load=True):
    """Modes and numbers that stochastic rounding adds to an operation."""
    if not scales.seeds:
        return (), {}
    if not load:
        return ("stochastic",), {}
    return ("stochastic", "load"), {"seed": scales.seeds[name]}


def _taps(stage):
    """The most values in a window with a winner."""
    own = stage.attributes["kernel"] if stage.op == "MaxPool" else (1, 1)
    return max(math.prod(stage.window), math.prod(own))


def _products(stage, images):
    """The most in a sum of a stage, for so many images."""
    taps = math.prod(stage.attributes["kernel"])
    if not stage.weight:
        return stage.members if stage.op == "LRN" else taps
    outputs = stage.outputs // stage.group * taps
    return max(stage.depth, outputs, images * math.prod(stage.map_shape))


def sized(stages, batch, config, *, momentum):
    """A configuration with memories as large as a plan needs them, and no larger.

    Its accumulators become wider if they have to.
    """
    functions, lanes = len(_functions(stages)), config.lanes
    products = max(_products(stage, -(-batch // lanes) * lanes) for stage in stages)
    bits = max(config.accumulator_bits, products.bit_length() + 2 * BITS - 1)
    config = replace(
        config,
        accumulator_bits=bits,
        functions=functions,
        batch=batch,
        classes=stages[-1].outputs,
    )
    plan = TrainingPlan(stages, replace(config, **dict.fromkeys(SIZES, AMPLE)), momentum=momentum)
    # As long as a program can be.
    program = plan.any_program(stochastic=True)
    return replace(
        config,
        # A memory has a word, and be it for nothing.
        **{name: max(words, 1) for name, words in {**plan.used, "table": len(plan.taps)}.items()},
        program=len(program.words),
        slots=1 + sum(map(len, plan.slots.values())),
        taps=max(_taps(stage) for stage in stages),
    )
