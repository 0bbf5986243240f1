"""Arrays of multiply-accumulate elements: cycles and reloads in closed form, on NumPy arrays.

The functions of this module broadcast: the fields of a `Design` are numbers, or arrays of design
points, and those of `Shapes` are arrays of layers along another axis. The estimate of one device
and the exploration of a design space (`hwsim.models.space`) are the same arithmetic. Whole numbers
are held as 64-bit floats, in which they are exact up to 2**53.

**Systolic arrays** (Kung and Leiserson, "Systolic Arrays (for VLSI)", 1979; Jouppi et al., ISCA
2017). Of a matrix product (m, k) x (k, n) two dimensions lie on the rows and columns, and a *fold*
is the time in which the third one passes:

=================== ======= ======= ==================
dataflow            rows    columns passes in a fold
=================== ======= ======= ==================
weight-stationary   k       n       m
input-stationary    k       m       n
output-stationary   m       n       k
=================== ======= ======= ==================

Folds follow back to back: one takes as long as what passes, but no fewer cycles than there are
rows, in which the next stationary operands shift in, or the last results out. The first fill and
the last drain are charged once. These are the cycles of `hwsim.blocks.array`, which the hardware
takes. Small groups share a fold: their operands stand on its block diagonal.

**Row-stationary** (Chen, Emer and Sze, "Eyeriss: A Spatial Architecture for Energy-Efficient
Dataflow for Convolutional Neural Networks", ISCA 2016; Chen et al., JSSC 2017). An element
convolves a row of a filter with a row of the map. Elements of ``kernel height`` rows and ``strip``
columns make a set, whose columns each give a row of the output; a set wider than the array is
folded onto free rows, and free elements take further sets of channels or filters. In a pass an
element interleaves the channels and filters that its register files hold.

**NVDLA** (nvdla.org, "Unit Description", version 1). ``rows`` channels (atomic C) meet ``columns``
kernels (atomic K) in a cycle. Weights stay for a stripe of output pixels, which lasts no less than
the next weights take; ``kernel height x width x blocks of channels`` stripes make the outputs. An
image of few channels has the taps of a row side by side, and of two or four rows where these fit.

SCALE-Sim's conventions are an option (`array_cycles`).
"""

from dataclasses import dataclass, fields, replace
from math import prod

import numpy as np

from hwsim.models.dataflow.workload import FLOAT_BYTES
from hwsim.models.devices import DATAFLOWS

from .base import Cost, Processor

__all__ = [
    "CONVENTIONS",
    "SYSTOLIC",
    "Array",
    "Design",
    "Shapes",
    "Spatial",
    "Timing",
    "array_cycles",
    "reloads",
    "scale_sim_cycles",
]

SYSTOLIC = ("weight-stationary", "output-stationary", "input-stationary")
"""Dataflows of systolic arrays."""

CONVENTIONS = ("hwsim", "scale-sim")

# Most channels of what NVDLA takes for an image.
IMAGE_CHANNELS = 4
# Shares of an array's width that row-stationary strips are tried with.
STRIP_SHARES = (1, 2, 3, 4)


@dataclass(frozen=True)
class Shapes:
    """Matrix products and convolutions, an entry for each layer.

    Members
    -------
    m, n, k, groups : array
        Of the matrix product, see `hwsim.models.dataflow.workload.Gemm`.
    images, channels, outputs : array
        Images; channels of the input and of the output of one group.
    kernel_y, kernel_x, out_y, out_x, in_y, in_x, stride_y, stride_x, dilation : array
        Of the convolution; of a matrix product that is none, 1. Further dimensions of a kernel
        count as channels, and of an output as images.
    """

    m: np.ndarray
    n: np.ndarray
    k: np.ndarray
    groups: np.ndarray
    images: np.ndarray
    channels: np.ndarray
    outputs: np.ndarray
    kernel_y: np.ndarray
    kernel_x: np.ndarray
    out_y: np.ndarray
    out_x: np.ndarray
    in_y: np.ndarray
    in_x: np.ndarray
    stride_y: np.ndarray
    stride_x: np.ndarray
    dilation: np.ndarray

    @classmethod
    def of(cls, works):
        """Shapes of layers that are a matrix product, each an array of floats."""
        rows = [_shape(work.gemm, work.convolution) for work in works]
        columns = np.array(rows, np.float64).reshape(-1, len(fields(cls))).T
        return cls(*columns)

    @classmethod
    def gemm(cls, m, n, k, groups=1):
        """Shapes of matrix products."""
        m, n, k, groups = np.broadcast_arrays(
            *(np.asarray(x, np.float64) for x in (m, n, k, groups))
        )
        one = np.ones(m.shape)
        return cls(m, n, k, groups, m, k, n, *[one] * 9)


def _shape(gemm, convolution):
    product = (gemm.m, gemm.n, gemm.k, gemm.groups)
    if convolution is None:
        return (*product, gemm.m, gemm.k, gemm.n, *[1] * 9)
    c = convolution
    before = len(c.kernel) - 2  # dimensions beyond two
    if before < 0:
        kernel, out, size, stride = ((1, *x) for x in (c.kernel, c.output_size, c.size, c.stride))
        before = 0
    else:
        kernel, out, size, stride = c.kernel, c.output_size, c.size, c.stride
    return (
        *product,
        c.images * prod(out[:before]),
        c.channels // c.groups * prod(kernel[:before]),
        c.outputs // c.groups,
        *kernel[before:],
        *out[before:],
        *size[before:],
        *stride[before:],
        max(c.dilation),
    )


@dataclass(frozen=True, kw_only=True)
class Design:
    """An array, or many: each number may be an array of points.

    Parameters
    ----------
    dataflow : str
        One of `hwsim.models.devices.DATAFLOWS`.
    rows, columns : int
        Of elements; NVDLA's atomic C and atomic K.
    arrays : int
        Arrays side by side.
    rate : float
        Multiply-accumulates of an element in a cycle.
    accumulator_rows : int, optional
        Rows of partial sums, in two halves, of which one is written out; unless given, there are
        enough.
    scratchpad_size : float
        Bytes.
    value_bytes : float
        Of an operand.
    filter_words, input_words, sum_words : int
        Row-stationary: register files of an element.
    filter_words_per_cycle, input_words_per_cycle, sum_words_per_cycle : float, optional
        Row-stationary: words of filters, of maps, and of sums in each direction, that pass between
        the scratchpad and the array; unless given, one for each column.
    sum_cycles : int
        Row-stationary: cycles in which an element adds the sum of the element below.
    stripe_shortest, stripe_longest : int
        NVDLA: cycles that weights take to change, and the most pixels of a stripe.
    images_together : int
        NVDLA: images of which a stripe may have pixels.
    winograd : str
        NVDLA: "none" or "F(2x2,3x3)".
    """

    dataflow: str = "weight-stationary"
    rows: float | np.ndarray
    columns: float | np.ndarray
    arrays: float | np.ndarray = 1.0
    rate: float = 1.0
    accumulator_rows: float | np.ndarray | None = None
    scratchpad_size: float | np.ndarray = np.inf
    value_bytes: float = 1.0
    filter_words: float = 224.0
    input_words: float = 12.0
    sum_words: float = 24.0
    filter_words_per_cycle: float | None = None
    input_words_per_cycle: float | None = None
    sum_words_per_cycle: float | None = None
    sum_cycles: float = 1.0
    stripe_shortest: float = 16.0
    stripe_longest: float = 32.0
    images_together: float = 1.0
    winograd: str = "none"


@dataclass(frozen=True)
class Timing:
    """What layers take on an array, memory not limiting.

    Members
    -------
    cycles : array
        Of all folds or passes, back to back.
    ending : array
        Of the first fill and the last drain.
    parts : array
        Folds or passes of one array.
    chunks : array
        Parts in which the accumulators take what passes.
    facts : mapping of str to array
        Steps on the way, for explanations.
    """

    cycles: np.ndarray
    ending: np.ndarray
    parts: np.ndarray
    chunks: np.ndarray
    facts: dict

    def layer(self, place):
        """That of one layer of many, on one design."""

        def one(values):
            return values if values is None or not np.ndim(values) else values[place]

        facts = {name: one(values) for name, values in self.facts.items()}
        cycles, ending = one(self.cycles), one(self.ending)
        return Timing(cycles, ending, one(self.parts), one(self.chunks), facts)


def _ceil(a, b):
    """``a / b`` rounded up; exact for whole numbers below 2**52."""
    return np.ceil(a / b)


def array_cycles(design, shapes, convention="hwsim"):
    """Cycles that layers take on an array, memory not limiting.

    Parameters
    ----------
    design : Design
    shapes : Shapes
    convention : str
        "hwsim", or "scale-sim" for what SCALE-Sim 3.0.0 reports (systolic dataflows only).

    Returns
    -------
    Timing

    Raises
    ------
    ValueError
        For an unknown dataflow or convention, or one that SCALE-Sim does not have.
    """
    if design.dataflow not in DATAFLOWS:
        raise ValueError(f"dataflow must be {', '.join(DATAFLOWS)}, not {design.dataflow!r}")
    if convention not in CONVENTIONS:
        raise ValueError(f"convention must be {' or '.join(CONVENTIONS)}, not {convention!r}")
    if convention == "scale-sim":
        cycles = scale_sim_cycles(
            design.dataflow,
            design.rows,
            design.columns,
            shapes.m,
            shapes.n,
            shapes.k,
            shapes.groups,
        )
        zero = np.zeros(cycles.shape)
        return Timing(cycles, zero, zero + 1, zero + 1, {})
    if design.dataflow == "row-stationary":
        return _row_stationary(design, shapes)
    if design.dataflow == "nvdla":
        return _nvdla(design, shapes)
    return _systolic(design, shapes)


def scale_sim_cycles(dataflow, rows, columns, m, n, k, groups=1):
    """Cycles that SCALE-Sim 3.0.0 reports ("Total Cycles"), memory not limiting; groups one by one.

    Each fold is filled, streams, and drains before the next one begins. One cycle is missing: what
    is reported is the number of the last one, counted from 0. The fold of an output-stationary
    array lacks the ``rows`` cycles in which its results leave.

    Raises
    ------
    ValueError
        For a dataflow that SCALE-Sim does not have.
    """
    if dataflow not in SYSTOLIC:
        raise ValueError(f"SCALE-Sim has the dataflows {', '.join(SYSTOLIC)}, not {dataflow!r}")
    rows, columns, m, n, k, groups = (
        np.asarray(x, np.float64) for x in (rows, columns, m, n, k, groups)
    )
    on_rows, on_columns, passing = _dimensions(dataflow, m, n, k)
    fill = 0 if dataflow == "output-stationary" else rows
    fold = fill + passing + rows + columns - 2
    return groups * (_ceil(on_rows, rows) * _ceil(on_columns, columns) * fold - 1)


def _dimensions(dataflow, m, n, k):
    """What lies on the rows and on the columns, and what passes."""
    if dataflow == "weight-stationary":
        return k, n, m
    if dataflow == "input-stationary":
        return k, m, n
    return m, n, k


def _systolic(design, shapes):
    rows, columns = design.rows, design.columns
    stays = design.dataflow == "output-stationary"
    on_rows, on_columns, passing = _dimensions(design.dataflow, shapes.m, shapes.n, shapes.k)
    packed = _packed(rows, columns, on_rows, on_columns, shapes.groups)
    groups = shapes.groups if packed is None else _ceil(shapes.groups, packed)
    folds = groups * _ceil(on_rows, rows) * _ceil(on_columns, columns)
    limit: float | np.ndarray = np.inf
    if not stays and design.accumulator_rows is not None:
        limit = np.floor(np.asarray(design.accumulator_rows) / 2)
    count = folds if _is_one(design.arrays) else _ceil(folds, design.arrays)
    cycles, chunks, last = _fold(design, passing, limit)
    cycles = cycles * count
    parts = count * chunks
    if not stays and not _is_one(design.arrays):
        # Or each array takes all folds, for a share of what passes.
        share = _ceil(passing, design.arrays)
        other, other_chunks, other_last = _fold(design, share, limit)
        other = other * folds
        better = other < cycles
        cycles = np.where(better, other, cycles)
        chunks = np.where(better, other_chunks, chunks)
        last = np.where(better, other_last, last)
        parts = np.where(better, folds * other_chunks, parts)
    # The last fold has no operands to wait for; an output-stationary first one no results.
    ending = np.minimum(last - rows, 0) + 2 * rows + columns - 1
    facts = {"folds": folds, "packed": packed, "passing": passing}
    return Timing(cycles, ending, parts, chunks, facts)


def _is_one(value):
    return np.ndim(value) == 0 and value == 1


def _packed(rows, columns, on_rows, on_columns, groups):
    """Groups in a fold, or None where no layer has more than one group."""
    if np.all(groups == 1):
        return None
    fit = np.minimum(np.floor(rows / on_rows), np.floor(columns / on_columns))
    return np.minimum(np.maximum(fit, 1), groups)


def _fold(design, passing, limit):
    """Cycles of a fold, the parts in which it is done, and the steps of its last part."""
    rows = design.rows
    if np.ndim(limit) == 0 and np.isinf(limit):
        steps = passing if _is_one(design.rate) else _ceil(passing, design.rate)
        return np.maximum(steps, rows), np.ones(()), steps
    chunks = _ceil(passing, limit)
    last = _ceil(passing - limit * (chunks - 1), design.rate)
    full = np.maximum(_ceil(limit, design.rate), rows)
    return (chunks - 1) * full + np.maximum(last, rows), chunks, last


def _row_stationary(design, shapes):
    s = shapes
    height, width = design.rows, design.columns
    # What an element's register files hold: taps of a filter row, channels and filters.
    taps_folds = _ceil(s.kernel_x, design.input_words)
    channels = np.clip(np.floor(design.input_words / s.kernel_x), 1, s.channels)
    channel_groups = _ceil(s.channels, channels)
    channels = _ceil(s.channels, channel_groups)
    held = np.floor(design.filter_words / (channels * _ceil(s.kernel_x, taps_folds)))
    most = np.clip(np.minimum(design.sum_words, held), 1, s.outputs)
    # Filters higher than the array are cut.
    row_folds = _ceil(s.kernel_y, height)
    set_rows = _ceil(s.kernel_y, row_folds)
    levels = np.floor(height / set_rows)
    filter_rate, input_rate, sum_rate = (
        width if rate is None else rate
        for rate in (
            design.filter_words_per_cycle,
            design.input_words_per_cycle,
            design.sum_words_per_cycle,
        )
    )
    best: dict[str, np.ndarray] = {}
    for strip in _strips(s.out_y, width, levels):
        blocks = _ceil(strip, width)
        sets = np.where(blocks > 1, np.floor(levels / blocks), levels * np.floor(width / strip))
        possible = sets >= 1
        sets = np.maximum(sets, 1)
        # The scratchpad holds the map and the sums of a pass.
        lines = (strip - 1) * s.stride_y + (s.kernel_y - 1) * s.dilation + 1
        lines = np.minimum(lines, s.in_y)
        map_words = channels * lines * s.in_x
        sum_words = strip * s.out_x
        words = np.floor(design.scratchpad_size / design.value_bytes)
        room = np.maximum(np.floor((words - map_words) / sum_words), 1)
        filters = np.minimum(most, room)
        filter_groups = _ceil(s.outputs, filters)
        filters = _ceil(s.outputs, filter_groups)
        # Sets take other filters, as many as there is room for sums, and then other channels; or
        # the other way round.
        wide = np.minimum(np.minimum(sets, filter_groups), np.maximum(np.floor(room / filters), 1))
        deep = np.minimum(np.floor(sets / wide), channel_groups)
        other_deep = np.minimum(sets, channel_groups)
        other_wide = np.minimum(np.floor(sets / other_deep), wide)
        strips = _ceil(s.out_y, strip)
        for w, d in ((wide, deep), (other_wide, other_deep)):
            # Images that share the filters of a pass, as far as the scratchpad holds them.
            pass_words = map_words * d + sum_words * filters * w
            images = np.clip(np.floor(words / pass_words), 1, s.images)
            batches = _ceil(s.images, images)
            # A pass lasts as long as its products, its map on the way in, or its sums in and out.
            products = taps_folds * design.sum_cycles + channels * s.kernel_x / design.rate
            products = filters * s.out_x * products
            inward = map_words * d / input_rate
            sums = sum_words * filters * w / sum_rate
            longest = np.maximum(np.maximum(products, inward), sums)
            load = filters * channels * s.kernel_x * set_rows * w * d
            load = _ceil(load, filter_rate)
            passes = _ceil(filter_groups, w) * _ceil(channel_groups, d) * row_folds * s.groups
            passes = passes * strips
            cycles = passes * s.images * longest + passes * batches * load
            cycles = np.where(possible, _ceil(cycles, design.arrays), np.inf)
            # Filters of which there are sums while all channels pass.
            kept = np.maximum(np.floor((words - map_words * d * images) / sum_words / images), 1)
            found = {
                "cycles": cycles,
                "parts": passes * batches,
                "input_passes": _ceil(filter_groups, np.maximum(np.floor(kept / filters), w)),
                "halo": np.maximum(strips * lines / s.in_y, 1),
                "weight_passes": strips * batches,
                "strip": strip,
                "active": w * d * strip * set_rows,
                "filters": filters,
                "channels": channels,
            }
            if best:
                better = cycles < best["cycles"]
                found = {name: np.where(better, found[name], best[name]) for name in best}
            best = found
    ending = np.broadcast_to(set_rows, np.shape(best["cycles"]))
    return Timing(best["cycles"], ending, best["parts"], np.ones(()), best)


def _strips(out_y, width, levels):
    """Rows of the output that a set gives: all of them, or shares of what the array takes."""
    yield out_y
    for strip in (width * levels, width * np.maximum(np.floor(levels / 2), 1)):
        yield _even(out_y, strip)
    for share in STRIP_SHARES:
        yield _even(out_y, np.maximum(np.floor(width / share), 1))


def _even(total, largest):
    """The size of equal parts, none above ``largest``."""
    return _ceil(total, _ceil(total, largest))


def _nvdla(design, shapes):
    s = shapes
    atomic_c, atomic_k = design.rows, design.columns
    together = np.minimum(design.images_together, s.images)
    pixels = s.out_y * s.out_x
    batches = _ceil(s.images, together)
    kernels = _ceil(s.outputs, atomic_k)

    def stripes(pixels):
        shortest = design.stripe_shortest * _ceil(pixels, design.stripe_longest)
        return batches * np.maximum(pixels, shortest)

    direct = _ceil(s.channels, atomic_c) * s.kernel_y * s.kernel_x
    # An image: taps of a row side by side, and those of two or four rows where they fit.
    taps = s.channels * s.kernel_x
    step = s.channels * s.stride_x
    image = s.kernel_y * _ceil(taps, atomic_c)
    for lines in (2, 4):
        fits = (taps <= atomic_c / lines) & (step <= atomic_c / lines)
        image = np.where(fits, np.minimum(image, _ceil(s.kernel_y, lines)), image)
    is_image = (s.channels <= IMAGE_CHANNELS) & (s.groups == 1) & (s.kernel_x > 1)
    atoms = np.where(is_image, np.minimum(direct, image), direct)
    cycles = s.groups * kernels * atoms * stripes(pixels * together)
    winograd = np.zeros(np.shape(cycles), bool)
    if design.winograd != "none":
        fits = (s.kernel_y == 3) & (s.kernel_x == 3) & (s.stride_y == 1) & (s.stride_x == 1)
        fits = fits & (s.dilation == 1) & ~is_image
        # A cell takes 4 x 4 values of a sixteenth of the channels, for 2 x 2 outputs; the output is
        # rounded up to 4 x 4.
        quads = _ceil(s.out_y, 4) * _ceil(s.out_x, 4) * 4
        blocks = _ceil(s.channels, np.maximum(np.floor(atomic_c / 16), 1))
        other = s.groups * kernels * blocks * stripes(quads * together)
        winograd = fits & (other < cycles)
        cycles = np.where(winograd, other, cycles)
    steps = _ceil(cycles, design.rate)
    cycles = _ceil(steps, design.arrays)
    parts = s.groups * kernels * _ceil(pixels * together, design.stripe_longest) * batches
    ending = np.broadcast_to(design.stripe_shortest, np.shape(cycles))
    facts = {"atoms": atoms, "kernels": kernels, "winograd": winograd, "batches": batches}
    return Timing(cycles, ending, _ceil(parts, design.arrays), np.ones(()), facts)


def reloads(design, shapes, timing, weights, inputs, free):
    """Bytes of weights and feature maps that pass through memory, for layers on an array.

    Half of the scratchpad is loaded while the other half is in use. Either weights stay while all
    inputs pass, as often as weights need the half; or inputs stay while all weights pass. What
    moves fewer bytes is done. Of an array that is row-stationary, the mapping decides.

    Parameters
    ----------
    design : Design
    shapes : Shapes
    timing : Timing
    weights, inputs : array
        Bytes of the layer that are not on chip.
    free : array
        Bytes of the scratchpad that hold no feature map from layer to layer.

    Returns
    -------
    (array, array)
    """
    facts = timing.facts
    half = np.maximum(free / 2, 1)
    if design.dataflow == "row-stationary":
        passes = np.where(weights <= half, 1, facts["weight_passes"])
        again = np.where(inputs <= half, 1, facts["input_passes"] * facts["halo"])
        return weights * passes, np.ceil(inputs * again)
    if design.dataflow == "nvdla" and design.winograd != "none":
        weights = np.where(facts["winograd"], np.ceil(weights * 16 / 9), weights)
    swapped = design.dataflow == "input-stationary"
    first, second = (inputs, weights) if swapped else (weights, inputs)
    across = shapes.m if swapped else shapes.n
    # Passes of the second while the first stays, and of the first while the second does: no more
    # than the array makes.
    tiles = np.minimum(_tiles(first, shapes.groups, half), _ceil(across, design.columns))
    other_tiles = _tiles(second, shapes.groups, half)
    if design.dataflow == "output-stationary":
        other_tiles = np.minimum(other_tiles, _ceil(shapes.m, design.rows))
    again = np.ones(())
    if design.accumulator_rows is not None:
        # For each part that the accumulators take, what lies on a column passes again.
        column = np.minimum(across, design.columns) * shapes.k * design.value_bytes
        again = np.where(column > half, timing.chunks, 1)
        other_tiles = np.maximum(other_tiles, timing.chunks)
    stay, other_stay = (first * again, second * tiles), (first * other_tiles, second)
    better = stay[0] + stay[1] <= other_stay[0] + other_stay[1]
    moved = [np.where(better, a, b) for a, b in zip(stay, other_stay, strict=True)]
    return tuple(reversed(moved)) if swapped else tuple(moved)


def _tiles(size, groups, half):
    """Parts of what a group needs, each of which fits."""
    if np.any(groups != 1):
        size = size / groups
    return np.maximum(_ceil(size, half), 1)


class Array(Processor):
    """A TPU: a systolic array whose weights are loaded ahead, past the feature maps' store."""

    streams_weights = True
    fuses = True

    def __init__(self, device, fused=False):
        super().__init__(device, fused)
        # By the product at the head of fused layers: its cycles, and operations on its results.
        self._results: dict[str, tuple[float, int]] = {}
        # By the layer itself, as names may come twice.
        self._timings: dict[tuple[int, str], tuple[Design, Shapes, Timing]] = {}

    @property
    def units(self):
        return int(self.device["arrays"])

    def peak(self, precision):
        return super().peak(precision) * self.device["rows"] * self.device["columns"]

    def design(self, precision):
        """The `Design` that the device is."""
        device = self.device
        given = {name: device[name] for name in _QUANTITIES if name in device}
        return Design(rate=self.rate(precision), value_bytes=float(FLOAT_BYTES[precision]), **given)

    def cost(self, work, precision, lines):
        # The vector unit works on results while the array goes on: what it takes longer counts.
        head = work.head or work.name
        if not work.gemm and head not in self._results:
            return super().cost(work, precision, lines)
        if work.gemm:
            gemm = work.gemm
            lines.append(
                f"product   M {gemm.m:,} x N {gemm.n:,} x K {gemm.k:,} x {gemm.groups:,} groups"
                f" = {gemm.macs:,} MAC in {precision}"
            )
            cost = self.product(work, precision, lines)
            busy, before, operations = cost.cycles, 0.0, 0
        else:
            cost = Cost(0, int(self.device["overlap_tiles"]))
            busy, operations = self._results[head]
            before = max(busy, self.element_cycles(operations))
        operations += work.element_ops
        self._results[head] = busy, operations
        cycles = max(busy, self.element_cycles(operations)) - before
        if work.element_ops:
            self.elements(work, lines)
            lines.append(
                f"overlap   {operations:,} operations so far on results of {busy:,.0f} cycles:"
                f" {cycles:,.0f} cycles more"
            )
        return replace(cost, cycles=cycles)

    def prepare(self, works, precision):
        products = [work for work in works if work.gemm and not work.free]
        if not products:
            return
        design, shapes = self.design(precision), Shapes.of(products)
        timing = array_cycles(design, shapes)
        for place, work in enumerate(products):
            one = Shapes(*(values[place] for values in vars(shapes).values()))
            self._timings[id(work), precision] = design, one, timing.layer(place)

    def _timing(self, work, precision):
        if (id(work), precision) not in self._timings:
            self.prepare([work], precision)
        return self._timings[id(work), precision]

    def product(self, work, precision, lines):
        design, _, timing = self._timing(work, precision)
        cycles, ending = float(timing.cycles), float(timing.ending)
        parts, chunks = int(timing.parts), int(timing.chunks)
        self._explain(design, work.gemm, timing, lines)
        tiles = int(min(parts, self.device["overlap_tiles"]))
        # With K in one fold nothing is accumulated, and the weights stay while all rows pass.
        passes = chunks if self.streams_weights and work.gemm.k > design.rows else 1
        lines.append(f"ends      first fill and last drain {ending:,.0f} cycles")
        return Cost(cycles, tiles, ending, weight_passes=passes)

    def _explain(self, design, gemm, timing, lines):
        facts, cycles, chunks = timing.facts, float(timing.cycles), int(timing.chunks)
        if design.dataflow == "row-stationary":
            lines.append(
                f"passes    {facts['parts']:,.0f} of {facts['active']:,.0f} elements, strips of"
                f" {facts['strip']:,.0f} rows, {facts['filters']:,.0f} filters and"
                f" {facts['channels']:,.0f} channels in an element = {cycles:,.0f} cycles"
            )
            return
        if design.dataflow == "nvdla":
            way = "Winograd" if facts["winograd"] else f"{facts['atoms']:,.0f} atoms of an output"
            lines.append(
                f"stripes   {gemm.groups:,} groups x {facts['kernels']:,.0f} kernel groups, {way},"
                f" {design.stripe_shortest:g} to {design.stripe_longest:g} pixels"
                f" = {cycles:,.0f} cycles"
            )
            return
        names = {
            "weight-stationary": ("K", "N"),
            "input-stationary": ("K", "M"),
            "output-stationary": ("M", "N"),
        }[design.dataflow]
        packed = 1 if facts["packed"] is None else facts["packed"]
        lines.append(
            f"folds     {design.dataflow}: {gemm.groups:,} groups / {packed:.0f} packed x"
            f" ceil({names[0]} / {design.rows:g}) x ceil({names[1]} / {design.columns:g})"
            f" = {facts['folds']:,.0f} on {design.arrays:g} arrays, each the longer of"
            f" {facts['passing']:,.0f} / {design.rate:g} and {design.rows:g} cycles"
            + (f", in {chunks} parts" if chunks > 1 else "")
            + f" = {cycles:,.0f} cycles"
        )


class Spatial(Array):
    """An array behind a scratchpad that holds weights and feature maps."""

    streams_weights = False

    def traffic(self, work, cost, precision, weights, reads, free):
        if not work.gemm:
            return super().traffic(work, cost, precision, weights, reads, free)
        design, shapes, timing = self._timing(work, precision)
        sizes = (np.asarray(float(x)) for x in (weights, reads, free))
        moved = reloads(design, shapes, timing, *sizes)
        return tuple(int(size) for size in moved)


_QUANTITIES = {field.name for field in fields(Design)} - {"rate", "value_bytes"}
