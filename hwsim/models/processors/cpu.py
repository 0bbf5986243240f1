"""Central processors: register tiles, cache levels, cores.

The kernel of a matrix product keeps a tile of results in registers, three quarters of which
accumulate. For one step along K it loads the tile's operands and multiplies each row by each
vector; the step takes as long as the slowest of the multipliers, the loads, and the latency of a
multiply-add, whose result the next step needs (Goto and van de Geijn, "Anatomy of High-Performance
Matrix Multiplication", ACM TOMS 2008; Low et al., "Analytical Modeling Is Enough for
High-Performance BLIS", ACM TOMS 2016). Where rows, columns or channels do not fill a tile, smaller
ones do the rest at a lower rate.

A network whose layers are fused is run as compilers of graphs do: convolutions directly, on maps
that are blocked by the vector (Georganas et al., "Anatomy of High-Performance Deep Learning
Convolutions on SIMD Architectures", SC 2018). A tile is a few neighbouring pixels by four vectors
of output channels; taps that fall on the padding are left out. Layers that want plain maps, and
those behind them, change the layout. Layer by layer, as eager frameworks run it, and where the
channels of a group do not fill vectors, the taps are copied to a matrix (im2col), which is packed
and multiplied.

Each level of the caches has a rate per core, and a layer takes as long as the slowest of its
arithmetic and its levels: filters that do not fit a level pass again for every row of pixels, or
tile. Kernels wait for what comes from memory for the first time, because prefetch does not look
beyond a page; layers that only pass over their maps overlap with it. Work is dealt to the cores in
rows of pixels by four vectors; a core reads memory at the rate that its outstanding misses allow.
"""

import math
from dataclasses import dataclass, replace
from functools import lru_cache

from hwsim.models.dataflow.workload import FLOAT_BYTES

from .base import Cost, Processor

__all__ = ["Cpu"]

# Vectors of output channels in a tile of a direct convolution; columns of vectors in one of a
# matrix product.
DIRECT_VECTORS, GEMM_VECTORS = 4, 2
# K is cut where the packed operands would leave the first cache; pointwise convolutions sooner,
# because they hold a map's channels as they are.
GEMM_DEPTH, POINTWISE_DEPTH = 256, 128
# Numbers that move in a cycle where an operand is packed or gathered, or a map changes its layout:
# 16-byte loads and stores, shuffled, and the addresses of strided lines.
PACKED_PER_CYCLE = 3
# Beside the steps along K: addresses, tests and calls, for each row of tiles and part of K.
ROW_CYCLES = 40
# Layers that take maps in any layout, and those that gather a map with strides.
FLEXIBLE = (
    *("AveragePool", "BatchNormalization", "Clip", "Concat", "GlobalAveragePool", "GlobalMaxPool"),
    *("MaxPool", "Relu", "Sigmoid", "SumPool", "Tanh"),
)
ADDITIONS, STRIDED = ("Add", "Sum"), ("Transpose",)
WINDOWS = ("AveragePool", "MaxPool", "SumPool")
# Share of a cache that what is used again may fill; the rest passes through.
RESIDENT = 0.75


@dataclass(frozen=True)
class Kernel:
    """What a core's registers, multipliers and first cache allow.

    Parameters
    ----------
    lanes : int
        Numbers in a vector.
    multipliers : float
        Vectors that are multiplied and added in a cycle.
    loads : float
        Vectors, or broadcast numbers, that are loaded in a cycle.
    latency : float
        Cycles from one addition to an accumulator to the next.
    """

    lanes: int
    multipliers: float
    loads: float
    latency: float

    @property
    def accumulators(self):
        """Registers that accumulate: 24 of AVX-512's 32, 12 of 16."""
        return 24 if self.lanes >= 16 else 12

    def step(self, rows, vectors):
        """Cycles of a tile for one step along K."""
        loads = (rows + vectors) / self.loads
        return max(rows * vectors / self.multipliers, loads, self.latency)

    def ends(self, rows, vectors, again):
        """Cycles to store a tile, a vector each, and to load what it is added to.

        Parts of K after the first add to the results of those before (``again``).
        """
        tile = rows * vectors
        return tile + (tile / self.loads if again else 0)

    def line(self, count, largest, vectors, depth, again):
        """``count`` rows or pixels side by side, in tiles of ``largest``, then smaller ones.

        Returns
        -------
        (float, float)
            Cycles, and bytes that are loaded from the first cache.
        """
        cycles = loaded = 0.0
        for size in (largest, -(-largest // 2), 2, 1):
            tiles, count = divmod(count, size)
            if tiles:
                part = depth * self.step(size, vectors) + self.ends(size, vectors, again)
                cycles += tiles * part
                loaded += tiles * depth * 4 * (size + vectors * self.lanes)
        return cycles, loaded


class Cpu(Processor):
    """A CPU."""

    def __init__(self, device):
        super().__init__(device)
        self.lanes = int(device["vector_lanes"])
        self.cores = int(device["cores"])
        self.used = self.cores
        self.width = 4
        self.reordered, self.blocked = {}, {}
        self.weights_stay = False
        width = 4 * self.lanes
        self.kernel = Kernel(
            self.lanes,
            device["fp32_macs_per_cycle"] / self.lanes,
            device["l1_bytes_per_cycle"] / width,
            device["multiply_latency"],
        )

    def prepare(self, load, cores=None):
        super().prepare(load, cores)
        if cores is not None:
            available = int(self.device["cores"])
            if cores > available:
                raise ValueError(f"{self.device.name} has {available} cores, not {cores}")
            self.cores = self.used = cores
        self.width = FLOAT_BYTES[load.precision]
        self.reordered, self.blocked = self._layouts(load) if self.fused else ({}, {})
        weights = sum(work.weight_bytes for work in load.works)
        self.weights_stay = weights <= self.device["cache_size"]

    def _layouts(self, load):
        """(maps that each layer has to reorder, whether each map is blocked).

        Direct convolutions leave their results blocked, by the vector, and want them so; pooling,
        additions and what is done value by value take them as they come. All else wants plain maps.
        """
        blocked: dict[str, bool] = {}
        found = {}
        for work in load.works:
            if work.free or not work.outputs:
                continue
            given = [blocked.get(name, False) for name in work.inputs]
            if work.convolution and self._blocked(work):
                conv = work.convolution
                image = conv.channels // conv.groups < self.lanes and conv.groups == 1
                wants, leaves = not image, conv.outputs % self.lanes == 0
            elif work.op in FLEXIBLE or (work.op in ADDITIONS and len(work.inputs) > 1):
                wants = leaves = all(given)
            else:
                wants = leaves = False
            wrong = [name for name, is_so in zip(work.inputs, given, strict=True) if is_so != wants]
            if wrong:
                found[work.name] = wrong
            blocked |= dict.fromkeys(work.outputs, leaves)
        return found, blocked

    @property
    def units(self):
        return self.used

    @property
    def bandwidth(self):
        """Bytes per second of the memory, as far as the cores in use can ask for them."""
        whole = self.device["memory_bandwidth"] * self.device["memory_efficiency"]
        return min(whole, self.used * self.device["core_memory_bandwidth"])

    @property
    def memory_text(self):
        whole = super().memory_text
        own = f"{self.used} x {self.device.quantities['core_memory_bandwidth']}"
        return f"the smaller of {whole} and {own} of the cores"

    def memory_seconds(self, size):
        return size / self.bandwidth

    def launch_seconds(self, launches):
        """The framework's time for a layer, and that in which the threads of it meet."""
        meet = self.device["sync_time"] if self.used > 1 else 0
        return launches * (self.device["dispatch_time"] + meet)

    def product(self, work, precision, lines):
        speed = self.rate(precision) / self.rate("fp32")
        if work.convolution and self.fused and self._blocked(work):
            cycles, levels = self._direct(work, lines)
        else:
            cycles, levels = self._gemm(work, lines)
        cycles /= speed * self.efficiency
        # The time of weights that come from memory is the memory's.
        apart = 0 if self.weights_stay else work.weight_bytes
        bound = self._levels({level: max(n - apart, 0) for level, n in levels.items()}, lines)
        busy = max(cycles, bound)
        lines.append(
            f"cores     the larger of {cycles:,.0f} cycles of arithmetic and {bound:,.0f} of the"
            " slowest cache"
        )
        # A kernel asks for what it multiplies next: what comes from memory is waited for.
        return Cost(busy, 1, level_bytes=levels)

    def elements(self, work, lines):
        cycles = super().elements(work, lines)
        if work.op == "LRN":
            values = sum(self.sizes[name] for name in work.outputs) // self.width
            power = values * self.device["power_cycles"] / self.units
            lines.append(
                f"power     {values:,} powers x {self.device['power_cycles']:g} cycles /"
                f" {self.units} cores = {power:,.0f} cycles"
            )
            cycles += power
        if work.gemm:
            return cycles
        if work.op in STRIDED:
            cycles += self._reordered(work.outputs)
        elif work.op in WINDOWS and not all(self.blocked.get(name) for name in work.inputs):
            cycles = work.element_ops / PACKED_PER_CYCLE / self.units
            lines.append(f"windows   of plain maps are gathered in {cycles:,.0f} cycles")
        moved = sum(self.sizes[name] for name in (*work.inputs, *work.outputs))
        if moved <= self.device["l2_size"] * self.units:
            # A line that is written comes in first.
            written = sum(self.sizes[name] for name in work.outputs)
            levels = {"l2": moved + written}
        else:
            levels = {"l3": moved}
        return max(cycles, self._levels(levels, lines))

    def cost(self, work, precision, lines):
        """On all cores that may be used, or on one, if the threads would not be worth meeting."""
        ways = []
        for cores in dict.fromkeys((self.cores, 1)):
            self.used = cores
            text: list[str] = []
            cost = self._cost(work, precision, text)
            time = cost.cycles / self.device["clock"] + self.launch_seconds(1)
            ways.append((time, cores, cost, text))
            if not work.outputs:  # done where the results are
                break
        _, self.used, cost, text = min(ways, key=lambda way: way[0])
        lines += text
        return cost

    def peak(self, precision):
        return self.cores * self.rate(precision) * self.device["clock"]

    def _cost(self, work, precision, lines):
        cost = super().cost(work, precision, lines)
        cycles = self._reordered(self.reordered.get(work.name, ()))
        if cycles:
            names = ", ".join(self.reordered[work.name])
            lines.append(f"layout    {names} reordered in {cycles:,.0f} cycles")
        slower = self.device["clock"] / self.clock
        if slower != 1:
            lines.append(f"clock     {self.clock / 1e9:.4g} GHz on {self.units} cores")
        return replace(cost, cycles=(cost.cycles + cycles) * slower)

    @property
    def clock(self):
        """Of the cores in use: between that of one and that of all."""
        one, cores = self.device["clock"], int(self.device["cores"])
        if "all_core_clock" not in self.device or cores == 1:
            return one
        return one + (self.device["all_core_clock"] - one) * (self.units - 1) / (cores - 1)

    def _reordered(self, names):
        """Cycles in which maps change their layout."""
        values = sum(self.sizes[name] for name in names) / self.width
        return values / PACKED_PER_CYCLE / self.units

    def _levels(self, levels, lines):
        """Cycles of the slowest level."""
        slowest = 0.0
        for level, size in levels.items():
            if level == "l1":  # counted with each step of the kernel
                continue
            rate = self.units * self.device[f"{level}_bytes_per_cycle"]
            cycles = size / rate
            lines.append(
                f"{level}        {size:,} B / {rate:g} B per cycle of {self.units} cores"
                f" = {cycles:,.0f} cycles"
            )
            slowest = max(slowest, cycles)
        return slowest

    def _blocked(self, work):
        """Whether a convolution runs on blocked maps: channels of each group fill vectors."""
        conv = work.convolution
        inputs, outputs = conv.channels // conv.groups, conv.outputs // conv.groups
        if self.lanes < 8 or len(conv.kernel) != 2:  # libraries block for AVX and wider
            return False
        if conv.groups > 1 and inputs == 1 and outputs == 1:
            return True
        if conv.groups > 1:
            return inputs % self.lanes == 0 and outputs % self.lanes == 0
        return True

    def _direct(self, work, lines):
        """(cycles of the slowest core, bytes of each level)."""
        conv, lanes, kernel = work.convolution, self.lanes, self.kernel
        height, width = conv.output_size
        taps = math.prod(conv.kernel)
        inputs, outputs = conv.channels // conv.groups, conv.outputs // conv.groups
        pointwise = taps == 1
        depthwise = conv.groups > 1 and inputs == 1
        vectors = -(-(conv.channels if depthwise else outputs) // lanes)
        groups = 1 if depthwise else conv.groups
        if depthwise:
            parts, depth, most = 1, taps, 1
        elif inputs < lanes:  # the image itself: channels stay apart
            parts, depth, most = inputs, taps, DIRECT_VECTORS
        else:
            padded = -(-inputs // lanes) * lanes
            step = min(padded, POINTWISE_DEPTH) if pointwise else lanes
            parts, depth, most = -(-padded // step), step * taps, DIRECT_VECTORS
            depth = padded * taps / parts
        pixels = kernel.accumulators // DIRECT_VECTORS
        _, share_h = _rows(conv, 0)
        inner, share_w = _rows(conv, 1)
        if pointwise and max(conv.stride) == 1:  # rows follow each other without a gap
            lines_of, inner_of, border = conv.images, height * width, 0
        else:
            lines_of, inner_of, border = conv.images * height, inner, width - inner
        cycles = loaded = 0.0
        for size, count in _parts(vectors, most):
            one = 0.0
            for part, again in ((1, False), (parts - 1, True)):
                if not part:
                    continue
                inside = kernel.line(inner_of, pixels, size, depth * share_h, again)
                edge = kernel.line(1, 1, size, depth * share_h * share_w, again)
                one += part * (inside[0] + border * edge[0] + ROW_CYCLES)
                loaded += count * part * (inside[1] + border * edge[1])
            cycles += count * one
        cycles *= lines_of * groups
        sets = -(-vectors // most)
        items = conv.images * groups * sets * height
        share = -(-items // self.units) / items
        lines.append(
            f"direct    {items:,} rows of {width} pixels x {most} vectors of {lanes}, in tiles of"
            f" {pixels} pixels; {parts} parts of K {depth:,.0f}; {cycles:,.0f} cycles x {share:.4f}"
            " on one core"
        )
        # Weights: a part of a set of filters stays near for the tiles of a row, a set for the rows.
        part_bytes = depth * min(vectors, most) * lanes * self.width
        set_bytes = part_bytes * parts
        whole = set_bytes * sets * groups
        tiles = -(-inner_of // pixels) + border
        near = RESIDENT * self.device["l1_size"]
        reloads = tiles if part_bytes > near else 1
        maps = sum(self.sizes[name] for name in work.inputs)
        results = sum(self.sizes[name] for name in work.outputs)
        readers = 1 if depthwise else sets
        seen = maps * (1 if pointwise else min(conv.kernel[0], 2)) * readers
        levels = {"l1": round(loaded * lines_of * groups * self.width / 4)}
        levels["l2"] = round(whole * lines_of * reloads + seen + results)
        far = RESIDENT * self.device["l2_size"]
        refills = lines_of if set_bytes > far else conv.images if whole > far else 1
        levels["l3"] = round(
            whole * refills + maps * (readers if maps / conv.images > far else 1) + results
        )
        return cycles * share, levels

    def _gemm(self, work, lines):
        """(cycles of the slowest core, bytes of each level)."""
        gemm, conv, lanes, kernel = work.gemm, work.convolution, self.lanes, self.kernel
        images = conv.images if conv else 1
        # A convolution's weights are the rows, its pixels the columns; a dense layer's images are
        # the rows.
        rows, columns = (gemm.n, gemm.m // images) if conv else (gemm.m, gemm.n)
        tall = kernel.accumulators // GEMM_VECTORS
        parts = -(-gemm.k // GEMM_DEPTH)
        depth = gemm.k / parts
        vectors = -(-columns // lanes)
        # A single row leaves the registers to its columns.
        most = GEMM_VECTORS if rows > 1 else kernel.accumulators // 2
        cycles = loaded = 0.0
        for size, count in _parts(vectors, most):
            for part, again in ((1, False), (parts - 1, True)):
                line = kernel.line(rows, tall, size, depth, again)
                cycles += count * part * line[0]
                loaded += count * part * line[1]
        cycles += ROW_CYCLES * parts * -(-vectors // 8) * -(-rows // tall)
        copied = 0
        if conv:
            gathered = math.prod(conv.kernel) > 1 or max(conv.stride) > 1
            copied = gemm.k * columns * (2 if gathered else 1)
            # The bias is added, and the activation applied, in a pass of its own.
            cycles += rows * vectors * (1 + 1 / kernel.loads)
        elif not work.weight_bytes:
            copied = gemm.k * columns
        total = (cycles + copied / PACKED_PER_CYCLE) * gemm.groups * images
        items = gemm.groups * images * -(-rows // tall) * -(-vectors // most)
        share = -(-items // self.units) / items
        lines.append(
            f"kernel    {rows:,} x {columns:,} results in tiles of {min(tall, rows)} x {most}"
            f" vectors of {lanes}, {parts} parts of K {depth:,.0f}, {copied:,} numbers packed;"
            f" {total:,.0f} cycles x {share:.4f} on one core"
        )
        maps = sum(self.sizes[name] for name in (*work.inputs, *work.outputs))
        level = work.weight_bytes + maps + 2 * self.width * copied * gemm.groups * images
        near = round(loaded * gemm.groups * images * self.width / 4)
        levels = {"l1": near, "l2": level, "l3": work.weight_bytes + maps}
        return total * share, levels


def _parts(count, most):
    """(size, how often) of ``count`` in parts of at most ``most``."""
    full, rest = divmod(count, most)
    return [(size, times) for size, times in ((most, full), (rest, 1)) if size and times]


@lru_cache(1024)
def _rows(conv, axis):
    """(outputs whose window lies inside the map, share of taps that do not fall on padding).

    The share is that of all rows for axis 0, of those at the border for axis 1. Padding is even on
    both sides.
    """
    size, out = conv.size[axis], conv.output_size[axis]
    kernel, stride, dilation = conv.kernel[axis], conv.stride[axis], conv.dilation[axis]
    padding = max((out - 1) * stride + dilation * (kernel - 1) + 1 - size, 0)
    before = padding // 2
    taps = [
        sum(0 <= start + tap * dilation < size for tap in range(kernel))
        for start in range(-before, -before + out * stride, stride)
    ]
    inside = sum(count == kernel for count in taps)
    if axis == 0:
        return inside, sum(taps) / (kernel * out)
    border = [count for count in taps if count < kernel]
    return inside, sum(border) / (kernel * len(border)) if border else 1.0
