"""Cycles of a network's programs on many systolic accelerators at once: a closed form, nearly.

`hwsim.compiler` makes a program for one accelerator, whose `ProgramTiming` is exact to the cycle.
Here is what that comes to for arrays of design points, without instructions. The engines are taken
to settle: a layer takes, for each tile of output channels of each strip of rows, as long as the
slowest of

- the folds on the array, each as long as its pixels, or the weights of the next one (`supply`);
- the vector unit, which scales the sums, and works on the layers that follow;
- the words that come from memory;
- the instructions that are fetched;
- the way through both, as two halves of the accumulators are in use in turn;

and the next layer begins when what it reads is there. Maps that the buffer has no room for go to
memory and come back. How far that is from the program's cycles is tested
(``tests/models/test_programs.py``).
"""

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from hwsim.blocks.systolic.config import (
    ACCUMULATOR_READ_LATENCY,
    BUFFER_READ_LATENCY,
    LARGEST_ACCUMULATOR_ROWS,
    LARGEST_BUFFER,
    Systolic,
)
from hwsim.blocks.systolic.isa import BYTES
from hwsim.blocks.systolic.matrix import FEED_LATENCY, SHORTEST_FOLD, sum_latency
from hwsim.blocks.systolic.timing import LATENCY
from hwsim.blocks.systolic.vector import (
    CODES,
    FACTOR_BYTES,
    POOL_LATENCY,
    SCALE_LATENCY,
    START_LATENCY,
    TAP_LATENCY,
    factors,
)
from hwsim.compiler.checks import check_layer
from hwsim.compiler.layout import share_storages
from hwsim.compiler.plan import LARGEST_SHARE
from hwsim.compiler.pooling import passes
from hwsim.compiler.schedule import MIXING, Place, allocate, input_rows
from hwsim.compiler.tiling import convolution, lanes, shuffle_groups
from hwsim.network.integer import LRN, Add, Concat, Mul, Pool, Shuffle, Table

__all__ = ["Points", "Programs", "supply"]

_USUAL = Systolic()
_FACTOR_TABLE = FACTOR_BYTES * factors(_USUAL.factor_precision)
# From an instruction's dependency to its work: dispatched, offered, taken.
_ISSUE = 2
# From a request to a word at the engine that wants it, beside the memory's own latency.
_TRANSFER = 8
_ACTIVATE = START_LATENCY + ACCUMULATOR_READ_LATENCY + SCALE_LATENCY
_COMBINE = START_LATENCY + BUFFER_READ_LATENCY + SCALE_LATENCY + TAP_LATENCY
# Folds of `supply`, and the tiles that these are in at least.
_FOLDS, _TILES = 64, 4


@lru_cache(maxsize=1 << 16)
def supply(rows, cols, folds):
    """Cycles from a fold to the next one, on average, that weights allow, a word in a cycle.

    Bursts of weights are requested as soon as there is room for the tiles in which they end
    (`hwsim.blocks.systolic.timing.ReaderTiming`).

    Parameters
    ----------
    rows, cols : int
        Of the array.
    folds : int
        Of an instruction.
    """
    config = Systolic(rows=rows, cols=cols, buffer_bytes=LARGEST_BUFFER)
    words, longest = config.weight_words, config.weight_burst_beats
    part, shortest = min(folds, _FOLDS // 2), max(rows, SHORTEST_FOLD)
    ends = [0] * config.outstanding
    end = request = -1
    there: list[int] = []  # cycle in which each word of weights comes
    loaded: list[int] = []
    for tile in range(max(_TILES, math.ceil(_FOLDS / part))):
        address = tile * (folds * words + config.parameter_words)
        end = max(request + LATENCY, end + 1) + config.parameter_words
        left = part * words
        while left:
            beats = min(left, longest - address % longest)
            full = -(-(len(there) + beats) // words) - config.weight_tiles
            room = loaded[full - 1] + FEED_LATENCY if full > 0 else 0
            request = max(room, request + 1, ends[-config.outstanding] + 1)
            first = max(request + LATENCY, end + 1)
            end = first + beats - 1
            ends.append(end)
            there.extend(range(first + 1, first + 1 + beats))
            address, left = address + beats, left - beats
            while (len(loaded) + 1) * words <= len(there):
                come = there[(len(loaded) + 1) * words - 1] + 1 + rows
                loaded.append(max(come, loaded[-1] + shortest) if loaded else come)
    settled = len(loaded) // 4
    return (loaded[-1] - loaded[settled]) / (len(loaded) - 1 - settled)


@dataclass(frozen=True, eq=False)
class Points:
    """What programs take on design points.

    Members
    -------
    cycles : array
        Of an image; NaN where the network needs a larger buffer or more rows of accumulators.
    bytes : array
        Of an image, that cross the memory interface.
    """

    cycles: np.ndarray
    bytes: np.ndarray


@dataclass(frozen=True)
class _Follower:
    """A layer of the vector unit, as far as it works on the results of one convolution.

    Members
    -------
    output : str
    inputs : tuple of str
        Storages.
    channels : int
    pixels, instructions, latency : int
        Of all channels that are taken at once: cycles for pixels or taps, instructions, and the
        cycles of each beside its pixels.
    again : int
        Cycles for what a further strip takes again.
    table : int
        Bytes that it looks up.
    share : float
        How much of it that is.
    read, loaded, written : int
        Bytes from memory that were made just before, others, and bytes to memory.
    """

    output: str
    inputs: tuple[str, ...]
    channels: int
    pixels: int
    instructions: int
    latency: int
    again: int
    table: int
    share: float
    read: int
    loaded: int
    written: int


class Programs:
    """The programs of a network.

    Parameters
    ----------
    network : IntegerNetwork

    Raises
    ------
    NetworkError
        For a layer that the accelerator does not compute; the message names it.
    """

    def __init__(self, network):
        largest = Systolic(accumulator_rows=LARGEST_ACCUMULATOR_ROWS)
        for layer in network.layers:
            check_layer(layer, network, largest)
        # Sizes matter, weights do not.
        light = [
            replace(x, weights=x.weights[:, :0]) if isinstance(x, MIXING) else x
            for x in network.layers
        ]
        self.network = network = replace(network, layers=tuple(light))
        # The convolution, by its number, that each tensor is there after; -1 is the input.
        self.unit = {network.input.name: -1}
        for number, layer in enumerate(network.layers):
            last = max(self.unit[name] for name in layer.inputs)
            self.unit[layer.output] = number if isinstance(layer, MIXING) else last
        mixing = [layer for layer in network.layers if isinstance(layer, MIXING)]
        self.least_rows = max((self._shape(layer.output)[2] for layer in mixing), default=1)
        self._memories: dict[int, _Memory] = {}

    def __getstate__(self):
        return {**vars(self), "_memories": {}}

    def _shape(self, name):
        return self.network.tensors[name].shape

    def run(self, rows, cols, buffer_bytes, accumulator_rows, bytes_per_cycle=math.inf):
        """Estimate design points.

        Parameters
        ----------
        rows, cols, buffer_bytes, accumulator_rows : array
            Of each point, see `hwsim.Systolic`; all else is as there.
        bytes_per_cycle : array
            Of the memory; the port takes no more than its width.

        Returns
        -------
        Points
        """
        points = (rows, cols, buffer_bytes, accumulator_rows, bytes_per_cycle)
        given = [np.asarray(x, np.float64).reshape(-1) for x in np.broadcast_arrays(*points)]
        cycles, moved = np.full((2, len(given[0])), np.nan)
        for size in np.unique(given[2]):
            memory = self._memory(int(size))
            here = np.flatnonzero((given[2] == size) & (given[3] >= self.least_rows))
            if memory.least <= size:
                r, c, _, a, k = (x[here] for x in given)
                cycles[here], moved[here] = _Run(self, memory, r, c, a, k).run()
        return Points(cycles, moved)

    def _memory(self, size):
        if size not in self._memories:
            self._memories[size] = _Memory.of(self, size)
        return self._memories[size]

    def problem(self, buffer_bytes, accumulator_rows):
        """Why there is no program for an accelerator with these sizes, as a sentence."""
        if accumulator_rows < self.least_rows:
            least = f"rows of {self.least_rows} pixels"
            return f"{least} need more than {accumulator_rows} accumulator rows"
        size = self._memory(buffer_bytes).least
        return f"strips of a row need {size:,} bytes of buffer, more than {buffer_bytes:,}"


@lru_cache(maxsize=1 << 16)
def _grouped_folds(geometry, width, rows, cols):
    """Folds, tiles, and the most folds of a tile, of a convolution with groups or dilation.

    With the pitches of its input, ``width`` pixels wide, that give the fewest folds, as in
    `hwsim.compiler.layout`.
    """
    config = Systolic(rows=rows, cols=cols, buffer_bytes=LARGEST_BUFFER)
    count = geometry.together(config)
    whole, rest = divmod(geometry.groups, count)
    kinds = [(count, whole), (rest, 1)] if rest else [(count, whole)]
    banks = config.banks
    sizes = [
        (number * geometry.channels // geometry.groups, times,
         -(-number * geometry.outputs // geometry.groups // cols))
        for number, times in kinds
    ]  # fmt: skip
    pixels = {geometry.channels}
    pixels |= {geometry.channels + (n - geometry.channels) % banks for n, *_ in sizes}
    found = []
    for pixel in pixels:
        pitches = {width * pixel}
        pitches |= {p + (geometry.kernel[1] * n - p) % banks for p in pitches for n, *_ in sizes}
        for pitch in pitches:
            steps = geometry.steps(pixel, pitch)
            each = [lanes(geometry.kernel, n, steps, config).folds for n, *_ in sizes]
            total = sum(
                folds * times * tiles for folds, (_, times, tiles) in zip(each, sizes, strict=True)
            )
            found.append((total, sum(t * n for _, n, t in sizes), max(each)))
    return min(found)


@dataclass(frozen=True, eq=False)
class _Memory:
    """Which maps a buffer has room for, and what follows from that.

    Members
    -------
    least : int
        Bytes that strips of a row of each layer need.
    spilled : set of str
        Storages in memory.
    root : dict of str to str
        Storage of each tensor.
    budget : int
        Bytes that a strip of a map in memory may take.
    followers : dict of int to list of _Follower
        By the convolution.
    sections : dict of str to set of int
        In which large storages lie that are not in memory.
    """

    least: int
    spilled: frozenset[str]
    root: dict[str, str]
    budget: int
    followers: dict[int, list[_Follower]]
    sections: dict[str, set[int]]

    @classmethod
    def of(cls, programs, size):
        """Send the largest maps to memory until the rest fits, as `hwsim.compiler.plan` does."""
        network, unit = programs.network, programs.unit
        config = Systolic(rows=1, cols=1, buffer_bytes=size)
        concats = {layer.output for layer in network.layers if isinstance(layer, Concat)}
        spilled: frozenset[str] = frozenset()
        copied, share = spilled, LARGEST_SHARE
        while True:
            found, copies = share_storages(network, copied)
            root = {name: storage for name, (storage, _) in found.items()}
            budget = size * share // 128
            places = _places(network, unit, root, spilled, budget)
            failed = allocate(places, config)
            if failed is None:
                break
            rivals = {p.name for p in places if p.start <= failed.end and failed.start <= p.end}
            if rivals - spilled:
                name = max(rivals - spilled, key=lambda n: (_size(network, n), n))
                if name in concats - copied:
                    copied |= {name}
                else:
                    spilled |= {name}
            elif share > 1:
                share //= 2
            else:
                break
        sections = {
            place.name: set(
                range(
                    place.address // config.section_bytes,
                    (place.address + place.size - 1) // config.section_bytes + 1,
                )
            )
            for place in places
            if place.name not in spilled and place.size > config.section_bytes // 2
        }
        followers = _followers(network, unit, root, spilled, copies)
        return cls(_least_buffer(network, root), spilled, root, budget, followers, sections)


def _size(network, name):
    return math.prod(network.tensors[name].shape)


def _places(network, unit, root, spilled, budget):
    """A `Place` for each map in the buffer, with convolutions for steps, and for what is loaded."""
    spans: dict[str, set[int]] = {}
    for name, where in root.items():
        spans.setdefault(where, set()).add(unit[name])
    for layer in network.layers:
        for name in layer.inputs:
            spans[root[name]].add(unit[layer.output])
    found = []
    for name, span in spans.items():
        size = _size(network, name)
        if name in spilled:
            found += [Place(name, min(size, 2 * budget), number, number) for number in span]
        else:
            found.append(Place(name, size, min(span), max(span)))
    return found


def _least_buffer(network, root):
    """Bytes in which a row of each layer can be made, while the next one's inputs are loaded."""

    def row(name):
        channels, _, width = network.tensors[root[name]].shape
        return channels * width

    least = 0
    for layer in network.layers:
        height = network.tensors[layer.output].shape[1]
        first, last = input_rows(layer, network, height // 2, height // 2 + 1)
        times = (last - first) * (2 if height > 1 else 1)
        least = max(least, times * sum(map(row, dict.fromkeys(layer.inputs))) + row(layer.output))
    return least


def _vector_work(layer, network, copies):
    """What a `_Follower` says of the vector unit."""
    channels, height, width = network.tensors[layer.output].shape
    work = {"channels": channels, "pixels": height * width, "instructions": 1}
    work |= {"latency": _COMBINE, "again": 0}
    if isinstance(layer, Pool):
        along = passes(layer, 1, (0, width), _USUAL.pool_columns)
        down = passes(layer, 0, (0, height), height)
        columns = sum(x.pixels for x in along)
        work["pixels"] = columns * sum(x.pixels for x in down)
        work["instructions"] = len(along) * len(down)
        work["latency"] += POOL_LATENCY - TAP_LATENCY
        work["again"] = columns * max(layer.kernel[0] - layer.strides[0], 0)
    elif isinstance(layer, Concat):
        # Most inputs lie where they belong.
        copied = [n for k, n in enumerate(layer.inputs) if (layer.name, k) in copies]
        work["channels"] = sum(network.tensors[name].shape[0] for name in copied)
    elif isinstance(layer, Shuffle):
        groups = shuffle_groups(layer.order)
        if groups:
            # On the array, with a fold for each group, and the vector unit after it.
            work["pixels"] *= groups + 1
        else:
            # Channel by channel.
            work |= {"pixels": height * width * channels, "instructions": channels, "channels": 1}
    elif isinstance(layer, Add | Mul):
        work["pixels"] *= 2
    elif isinstance(layer, LRN):
        work["pixels"] *= layer.size
    return work


def _followers(network, unit, root, spilled, copies):
    """Lists of `_Follower` by the number of the convolution."""
    found: dict[int, list[_Follower]] = {}
    shares = {network.input.name: {-1: 1.0}}
    for layer in network.layers:
        output, number = layer.output, unit[layer.output]
        if isinstance(layer, MIXING):
            shares[output] = {number: 1.0}
            continue
        shares[output] = {}
        for name in layer.inputs if isinstance(layer, Concat) else layer.inputs[:1]:
            part = network.tensors[name].shape[0] / network.tensors[output].shape[0]
            for number, share in shares[name].items():
                shares[output][number] = shares[output].get(number, 0) + share * part
        outside = {root[name] for name in (*layer.inputs, output)} & spilled
        if outside or isinstance(layer, Add | Mul):
            shares[output] = {unit[output]: 1.0}
        work = _vector_work(layer, network, copies)
        channels = work["channels"]
        table = {LRN: _FACTOR_TABLE, Table: CODES}.get(type(layer), 0)

        moved = {
            name: channels and math.prod(network.tensors[name].shape) * (root[name] in spilled)
            for name in (*layer.inputs, output)
        }
        loaded = sum(moved[name] for name in dict.fromkeys(layer.inputs))
        made = sum(moved[n] for n in dict.fromkeys(layer.inputs) if unit[n] == unit[output])
        for number, share in shares[output].items():
            follower = _Follower(
                output=output,
                inputs=tuple(root[name] for name in layer.inputs),
                **work,
                table=table,
                share=share,
                read=made,
                loaded=loaded - made,
                written=moved[output],
            )
            found.setdefault(number, []).append(follower)
    return found


class _Run:
    """Layer after layer, on points with one size of the buffer."""

    def __init__(self, programs, memory, rows, cols, accumulator_rows, bytes_per_cycle):
        self.network, self.memory = programs.network, memory
        self.rows, self.cols, self.deep = rows, cols, accumulator_rows
        # As `hwsim.Systolic` has it.
        banks = 2.0 ** np.ceil(np.log2(np.maximum(rows, cols)))
        row_bytes = 2.0 ** np.ceil(np.log2(cols))
        self.banks, self.port = banks, np.minimum(banks, 64)
        self.beat = np.maximum(1, self.port / bytes_per_cycle)  # cycles
        self.weight_words = np.ceil(rows * row_bytes / self.port)
        self.parameter_words = np.ceil(8 * row_bytes / self.port)
        self.fetch = BYTES / self.port
        self.latency = sum_latency(_USUAL) - _USUAL.rows - _USUAL.cols + rows + cols
        self.pairs, self.pair = np.unique(rows * 512 + cols, return_inverse=True)
        self.bytes = np.zeros(len(rows))
        self.free = np.full(len(rows), LATENCY + 3 * self.fetch + 5)  # when the array is
        self.vector = self.free.copy()
        # Of each tensor when it is complete, and in how many strips and with which time for each.
        self.ready: dict[str, tuple] = {}

    def words(self, size):
        """Cycles in which bytes cross the memory port; they are counted."""
        self.bytes = self.bytes + size
        return np.ceil(size / self.port) * self.beat

    def of_pairs(self, function):
        """A function of rows and columns, for all points."""
        found = np.array([function(*divmod(int(pair), 512)) for pair in self.pairs], np.float64)
        return found[self.pair].T

    def run(self):
        """Cycles and bytes of each point."""
        network = self.network
        name, shape = network.input.name, network.input.shape
        words = self.words(math.prod(shape))
        self.ready[name] = self.free + LATENCY + _TRANSFER + words, shape[1], words / shape[1]
        self._follow(self._work(-1, 1.0), name, 1.0, 0.0)
        for number, layer in enumerate(network.layers):
            if isinstance(layer, MIXING):
                self._convolve(number, layer)
        end = self.vector
        for tensor in network.outputs:
            end = np.maximum(end, self.ready[tensor.name][0])
        size = sum(math.prod(tensor.shape) for tensor in network.outputs)
        return end + self.words(size) + LATENCY + _TRANSFER, self.bytes

    def _work(self, number, strips):
        """(follower, cycles of the vector unit, instructions) of each that follows."""
        found = []
        for follower in self.memory.followers.get(number, []):
            blocks = np.ceil(follower.channels / self.cols) * follower.share
            count = blocks * follower.instructions * strips
            pixels = follower.pixels + follower.again * (strips - 1)
            found.append((follower, blocks * pixels + count * follower.latency, count))
        return found

    def _row(self, name):
        channels, _, width = self.network.tensors[self.memory.root[name]].shape
        return channels * width

    def _folds(self, layer, geometry):
        """Folds, tiles of output channels, and the most folds of a tile."""
        if geometry.groups > 1 or geometry.dilations != (1, 1):
            width = self.network.tensors[layer.inputs[0]].shape[2]
            return self.of_pairs(lambda *pair: _grouped_folds(geometry, width, *pair))
        (height, width), channels = geometry.kernel, geometry.channels
        lanes = height * width * channels
        if height > 1 and self.memory.root[layer.inputs[0]] in self.memory.spilled:
            # Rows of a map in memory begin at whole beats.
            pitch = np.ceil(self._row(layer.inputs[0]) / self.port) * self.port
            apart = (pitch - width * channels) % self.banks != 0
            lanes = lanes + np.where(apart, -width * channels % self.rows, 0) * (height - 1)
        tiles, folds = np.ceil(geometry.outputs / self.cols), np.ceil(lanes / self.rows)
        return tiles * folds, tiles, folds

    def _strip(self, layer, geometry):
        """Rows of the output that are made at a time."""
        _, height, width = self.network.tensors[layer.output].shape
        memory, (name,) = self.memory, layer.inputs
        most = np.clip(np.floor(self.deep / width), 1, height)
        if memory.root[layer.output] in memory.spilled:
            most = np.minimum(most, max(1, memory.budget // self._row(layer.output)))
        if memory.root[name] in memory.spilled:
            lines = memory.budget // self._row(name) - geometry.kernel[0]
            most = np.minimum(most, max(1, lines // geometry.strides[0] + 1))
        return np.ceil(height / np.ceil(height / most))

    def _convolve(self, number, layer):
        memory, network = self.memory, self.network
        geometry, (name,) = convolution(layer, network), layer.inputs
        _, height, width = network.tensors[layer.output].shape
        folds, tiles, most = self._folds(layer, geometry)
        mean = folds / tiles
        strip = self._strip(layer, geometry)
        strips = np.ceil(height / strip)
        items = strips * tiles
        pixels, last = height * width / strips, (height - (strips - 1) * strip) * width
        shortest = np.maximum(self.rows, SHORTEST_FOLD)
        fold = (strips - 1) * np.maximum(strip * width, shortest) + np.maximum(last, shortest)
        fold = fold / strips
        # The array: what is there beforehand, and then as weights come.
        each = (self.weight_words + self.parameter_words / mean) * self.beat
        each = np.maximum(np.maximum(fold, each), self._supplied(mean))
        ahead = np.minimum(items * mean, _USUAL.weight_tiles)
        matrix = (ahead * fold + (items * mean - ahead) * each) / items
        work = self._work(number, strips)
        activate = pixels + _ACTIVATE
        vector = activate + sum(cycles for _, cycles, _ in work) / items
        outside = memory.root[name] in memory.spilled
        loads = strips * (folds * self.weight_words + tiles * self.parameter_words) * self.port
        if outside:
            again = (strips - 1) * max(geometry.kernel[0] - geometry.strides[0], 0)
            height_in = network.tensors[name].shape[1]
            loads = loads + (height_in + again) * self._row(name)
        words = self.words(loads) / items
        fetch = self.fetch * (4 + sum(count for *_, count in work) / items)
        both = (most - 1) * each + 2 * pixels + self.latency + self.rows + _ACTIVATE + _ISSUE
        period = np.maximum.reduce(
            [matrix, vector, words, fetch, np.where(items > 2, both / 2, 0.0)]
        )
        period = np.maximum(period, self._alone(name, work, both, items))
        period = np.maximum(period, self._serial(layer, work, strips, tiles, matrix, activate))
        there = self._there(name, geometry, strip, strips, tiles * period)
        start = np.maximum(self.free, there + _ISSUE + self.rows)
        end = start + (items - 1) * period + matrix
        done = end - np.minimum(fold, matrix) + 2 * last + self.latency + _ACTIVATE + 1
        done = np.maximum(done, self.vector + items * activate)
        self.free = end
        if memory.root[layer.output] in memory.spilled:
            self.bytes = self.bytes + height * self._row(layer.output)
        self.ready[layer.output] = done, strips, period * tiles
        drain = self.latency + 2 * pixels + _ACTIVATE
        self._follow(work, layer.output, items, drain)

    def _there(self, name, geometry, strip, strips, time):
        """When a layer can begin: for its first strip, and so that all is there for its last."""
        complete, parts, before = self.ready[name]
        height = self.network.tensors[name].shape[1]
        lines = np.minimum((strip - 1) * geometry.strides[0] + geometry.kernel[0], height)
        first = complete - (parts - np.ceil(lines / height * parts)) * before
        there = np.maximum(first, complete - (strips - 1) * time)
        if self.memory.root[name] in self.memory.spilled:
            wait = np.ceil(lines * self._row(name) / self.port) * self.beat
            there = there + wait + LATENCY + _TRANSFER
        return there

    def _alone(self, name, work, both, items):
        """Cycles for each item if a layer that follows reads where this one does.

        Of a section of the buffer one engine reads at a time.
        """
        memory = self.memory
        source = memory.root[name]
        read = memory.sections.get(source, set())
        until = np.zeros(len(self.rows))
        for place, (follower, *_) in enumerate(work, 1):
            others = {n for n in follower.inputs if n not in memory.spilled}
            if source in others or any(read & memory.sections.get(n, set()) for n in others):
                until = sum(cycles for _, cycles, _ in work[:place]) / items
        return np.where(until > 0, both + until, 0.0)

    def _supplied(self, folds):
        """`supply` for all points."""
        key = (self.rows * 512 + self.cols) * (1 << 24) + np.maximum(np.round(folds), 1)
        keys, where = np.unique(key.astype(np.int64), return_inverse=True)
        pairs = [(*divmod(int(key) >> 24, 512), int(key) & ((1 << 24) - 1)) for key in keys]
        return np.array([supply(*pair) for pair in pairs])[where]

    def _serial(self, layer, work, strips, tiles, matrix, activate):
        """Cycles for each item if layers that follow wait for all channels of a strip."""
        whole = [(f, cycles) for f, cycles, _ in work if f.read or f.written or f.loaded]
        lump = sum(cycles for _, cycles in whole) / strips
        through = sum(follower.read for follower, _ in whole)
        if not whole:
            return 0.0
        if not through:
            return matrix + np.maximum(lump - 2 * matrix, 0) / tiles
        # To memory and back.
        wait = 2 * np.ceil(through / strips / self.port) * self.beat + 2 * (LATENCY + _TRANSFER)
        array = tiles * matrix + activate + self.latency + self.rows + LATENCY
        return np.maximum(tiles * activate + lump, array) / tiles + wait / tiles

    def _follow(self, work, name, items, drain):
        """Layers of the vector unit, which work on the tensor ``name`` and so on."""
        before = 0.0
        done, strips, time = self.ready[name]
        for follower, cycles, _ in work:
            if follower.table:
                table = LATENCY + 2 * _TRANSFER + np.ceil(follower.table / self.port) * self.beat
                # What is read next waits behind the table, which waits for the vector unit.
                lost = np.where(items > 1, drain + before / items, 0.0) + table
                self.free = self.free + np.where(items > 1, lost, 0.0)
                done = done + lost
            before = before + cycles
            done = done + cycles / np.where(follower.written, strips, items) + 1
            self.ready[follower.output] = done, strips, time
            self.bytes = self.bytes + follower.share * (
                follower.read + follower.loaded + follower.written
            )
        self.vector = done
