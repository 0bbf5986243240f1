"""Graphics processors: tiles of the output dealt to multiprocessors, by the kernel that is fastest.

**A matrix product** is cut into tiles, one block of threads each, and blocks are dealt to the
multiprocessors. The busiest multiprocessor decides: the last tile of each row and column (tile
quantization) and the last wave of blocks (wave quantization) cost as much as full ones. A block
steps along K; a step takes as long as its multiplications, as the operands that pass from the L2
cache, or as the latency of a load that too few other blocks hide, whichever is longest. Partial
products along K (split-K) fill multiprocessors that would idle, and are added in a second pass.
Operands that the L2 cache cannot hold are read again by each wave of blocks.

**A convolution** is an implicit matrix product: patches are gathered while they are loaded, and the
feature map passes from memory once. A 3 x 3 kernel with stride 1 in fp32 also has the algorithms of
Winograd (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016), with
fewer multiplications than the direct sum: F(2x2, 3x3) in one kernel, 16 products for 4 outputs, and
F(4x4, 3x3) in three, 36 for 16, with its transformed operands in memory in between. The fastest is
taken, as a library finds it by trying or by a heuristic.

**Bias.** Layer by layer, as eager frameworks run networks, the bias of a convolution is added by
another kernel, which reads and writes the results once more.

**Groups.** Libraries up to cuDNN 6 run a grouped convolution group by group; cuDNN 7, which came
with the tensor cores, in one kernel. A depthwise convolution has a kernel of its own.

**Tensor cores** need operands whose rows are multiples of 16 bytes; int8 multiplication by fours
(DP4A) multiples of 4. Else the product runs at the ``<precision>_unaligned_rate``. Where blocks
form clusters they share the loads of the larger side of their tiles.
"""

from dataclasses import dataclass, replace
from math import prod

from hwsim.models.dataflow.workload import FLOAT_BYTES

from .base import Cost, Processor

__all__ = ["CONVOLUTION_KERNELS", "GEMM_KERNELS", "TENSOR_KERNELS", "Gpu", "Kernel"]

# Threads of a multiprocessor among which a kernel's registers are shared: 64 Ki registers, 128 for
# each thread that holds 8 x 8 sums.
_RESIDENT_SUMS = 512 * 64
# Bytes that a kernel steps along K at a time, for each row of its tile, on cores and on tensor
# cores; and the steps that are loaded ahead where blocks form clusters, which load asynchronously.
_STEP_BYTES, _TENSOR_STEP_BYTES = 32, 64
_LOADED_AHEAD = 4
SPLITS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
# A part of K shorter than this is not worth a split.
SHORTEST_SPLIT = 128
# Rows of a matrix product that the kernels for matrix times vector take, and the elements along K
# that they load before they wait. Read off DeepBench's products with 1, 2 and 4 columns.
VECTOR_ROWS = 2
_VECTOR_STEP = 64
# Below as many rows or columns cuBLAS up to CUDA 8 takes its largest tile. Read off DeepBench's
# products with 16 and 32 columns, on all three of its GPUs.
NARROWEST = 32
# F(2x2, 3x3) in one kernel: 16 products of 4 x 8 positions of one image x 32 outputs. For each
# channel, a block adds 32 times per position (Lavin and Gray, section 4.1), and loads the union of
# the positions' overlapping 4 x 4 windows (10 x 18) and 16 transformed taps for each output.
_FUSED_SIDE = 32
_FUSED_SHAPE = (4, 8)
_FUSED_PRODUCTS = 16
_FUSED_ADDS = 32 * _FUSED_SIDE
_FUSED_LOADS = 10 * 18 + _FUSED_PRODUCTS * _FUSED_SIDE
# F(4x4, 3x3): 36 products for 16 outputs, and additions per tile and channel (input, output).
_FAR_TILE, _FAR_PRODUCTS = 4, 36
_FAR_ADDS_IN, _FAR_ADDS_OUT = 156, 100


@dataclass(frozen=True)
class Kernel:
    """A block of threads computes ``rows`` x ``columns`` outputs, ``micro`` x ``micro`` a thread.

    For one step along K a thread multiplies ``micro**2`` times and loads ``2 * micro`` operands
    from shared memory, four at a time; ``issue`` is the share of issue slots that multiply.
    """

    rows: int
    columns: int
    micro: int = 8

    @property
    def issue(self):
        """Share of the issue slots that multiply.

        Loads of large micro-tiles issue beside multiplications: two instructions a cycle before
        Volta, and since then every other cycle, because a multiplication takes its unit two.
        """
        return 1.0 if self.micro >= 8 else self.micro**2 / (self.micro**2 + self.micro / 2)

    @property
    def resident(self):
        """Blocks that a multiprocessor holds at a time."""
        return max(1, _RESIDENT_SUMS // (self.rows * self.columns))


GEMM_KERNELS = (
    Kernel(128, 128),
    Kernel(128, 64),
    Kernel(64, 128),
    Kernel(64, 64),
    Kernel(128, 32),
    Kernel(32, 128),
    Kernel(32, 32, 4),
)
"""Of matrix products on the multiprocessors' cores: cuBLAS since Maxwell."""

CONVOLUTION_KERNELS = (Kernel(128, 128), Kernel(128, 64), Kernel(128, 32))
"""Of convolutions on the cores, rows along the pixels: cuDNN since Maxwell."""

INT8_KERNELS = (Kernel(128, 128),)
"""Of convolutions by DP4A: DeepBench's take as long with 32 outputs as with 128."""

TENSOR_KERNELS = (
    Kernel(256, 128),
    Kernel(128, 256),
    Kernel(128, 128),
    Kernel(128, 64),
    Kernel(64, 128),
    Kernel(64, 64),
)
"""On tensor cores."""


@dataclass(frozen=True)
class _Way:
    """A way to compute a layer.

    Members
    -------
    seconds : float
        Alone, with its memory traffic: by this the ways are compared.
    cost : Cost
    line : callable
        Its arithmetic as text.
    """

    seconds: float
    cost: Cost
    line: object


class Gpu(Processor):
    """A GPU."""

    def __init__(self, device, fused=False):
        super().__init__(device, fused)
        self.clock = device["clock"]
        self.bandwidth = device["memory_bandwidth"] * device["memory_efficiency"]
        self.cache = device["cache_size"]
        self.cache_rate = device["cache_rate"]
        self.latency = device["load_latency"] * self.clock
        self.start = device["block_time"] * self.clock
        self.overlap = int(device["overlap_tiles"])
        self.cluster = int(device["cluster_blocks"]) if "cluster_blocks" in device else 1
        self.winograd = "direct_convolution_only" not in device
        self.tensor = any(f"{name}_unaligned_rate" in device for name in ("fp16", "int8"))

    @property
    def units(self):
        return int(self.device["sms"])

    def product(self, work, precision, lines):
        ways = self._ways(work, precision)
        best = min(ways, key=lambda way: way.seconds)
        lines.append(best.line())
        if self.fused or work.convolution is None or work.integer:
            return best.cost
        return self._with_bias(work, precision, best.cost, lines)

    def _with_bias(self, work, precision, cost, lines):
        """Layer by layer, the bias of a convolution is added by another kernel."""
        gemm, width = work.gemm, FLOAT_BYTES[precision]
        if work.weight_bytes <= gemm.n * gemm.k * gemm.groups * width:
            return cost
        moved = 2 * gemm.m * gemm.n * gemm.groups * width
        ending = moved / self.bandwidth * self.clock + self.start
        lines.append(f"bias      by a kernel of its own: {moved:,} B, {ending:,.0f} cycles")
        return replace(
            cost, ending=cost.ending + ending, ending_bytes=moved, launches=cost.launches + 1
        )

    def elements(self, work, lines):
        return super().elements(work, lines) + self.start

    def _ways(self, work, precision):
        gemm, conv = work.gemm, work.convolution
        width = FLOAT_BYTES[precision]
        layer = _Layer(gemm, conv, width, precision)
        if conv is not None and gemm.groups > 1 and min(gemm.n, gemm.k // layer.taps) == 1:
            return [self._depthwise(layer)]
        kernels, rate = self._kernels(layer)
        ways = [self._tiled(layer, kernel, rate) for kernel in kernels]
        if conv is None and min(gemm.m, gemm.n) <= VECTOR_ROWS:
            ways.append(self._vector(layer))
        elif (
            self.winograd
            and layer.winograd
            and rate == self.rate(precision)
            and not self._on_tensor(layer)
        ):
            ways.append(self._fused_winograd(layer, rate))
            ways.append(self._far_winograd(layer, rate))
        return ways

    def _on_tensor(self, layer):
        """Whether tensor cores multiply."""
        if layer.precision in ("tf32", "bf16"):
            return True
        return f"{layer.precision}_unaligned_rate" in self.device and layer.aligned(16)

    def _kernels(self, layer):
        """The kernels that come into question, and their multiply-accumulates per cycle."""
        precision = layer.precision
        rate = self.rate(precision)
        if self._on_tensor(layer):
            return TENSOR_KERNELS, rate
        if f"{precision}_unaligned_rate" in self.device:
            rate = self.device[f"{precision}_unaligned_rate"]
        if precision == "int8":
            if not layer.aligned(4):
                rate = self.rate("fp32")
            if layer.conv is not None:
                return INT8_KERNELS, rate
        return self._core_kernels(layer), rate

    def _core_kernels(self, layer):
        """Kernels on the cores; all of them if the library is one that came with tensor cores."""
        kernels = CONVOLUTION_KERNELS if layer.conv is not None else GEMM_KERNELS
        if self.tensor:
            return kernels
        if layer.conv is not None:
            # As wide as the outputs need, even if multiprocessors idle, as in DeepBench.
            wide = [kernel for kernel in kernels if kernel.columns >= layer.gemm.n]
            return wide[-1:] or kernels[:1]
        if min(layer.gemm.m, layer.gemm.n) < NARROWEST:
            return kernels[:1]
        return kernels

    def _busy(self, kernel, blocks, steps, compute, loads, stores, ahead=1):
        """Cycles until the busiest multiprocessor has done its blocks.

        ``compute`` and ``loads`` are cycles of a block's step if it is alone, ``stores`` those in
        which its results leave the multiprocessor; ``ahead`` steps are loaded before they are used.
        """
        latency = self.latency / ahead
        each = max(compute, loads)
        wave = self.units * kernel.resident
        full, rest = divmod(blocks, wave)
        count = kernel.resident
        cycles = full * (steps * max(count * each, latency) + count * stores)
        # Blocks start while the others on their multiprocessor compute, but for the first ones.
        cycles += self.start + (full + (rest > 0) - 1) * self.start / count
        if rest:
            count = -(-rest // self.units)
            cycles += steps * max(count * each, latency) + count * stores
        return cycles

    def _tiled(self, layer, kernel, rate):
        """A matrix product, or a convolution as an implicit one; the best split of K."""
        gemm = layer.gemm
        on_tensor = self._on_tensor(layer)
        step = (_TENSOR_STEP_BYTES if on_tensor else _STEP_BYTES) // layer.width
        ahead = _LOADED_AHEAD if on_tensor and self.cluster > 1 else 1
        tiles_m, tiles_n = -(-gemm.m // kernel.rows), -(-gemm.n // kernel.columns)
        together = 1 if self._by_group(layer) else gemm.groups
        launches = gemm.groups // together
        tiles = tiles_m * tiles_n * together
        compute = kernel.rows * kernel.columns * step / (rate * self.efficiency * kernel.issue)
        sides = kernel.rows + kernel.columns
        if on_tensor:
            sides -= max(kernel.rows, kernel.columns) * (1 - 1 / self.cluster)
        loads = sides * step * layer.width / self.cache_rate
        stores = kernel.rows * kernel.columns * layer.out_width / self.cache_rate
        k = layer.padded_k
        best = (float("inf"), 1, k)
        for split in SPLITS:
            if split > 1 and (
                k // split < SHORTEST_SPLIT or layer.conv or layer.precision == "int8"
            ):
                break
            part = -(-k // split)
            cycles = self._busy(
                kernel, tiles * split, -(-part // step), compute, loads, stores, ahead
            )
            if split > 1:
                partial = 2 * split * gemm.m * gemm.n * together * 4
                near = partial <= self.cache / 2
                speed = self.units * self.cache_rate * self.clock if near else self.bandwidth
                cycles += partial / speed * self.clock
            if cycles < best[0]:
                best = cycles, split, part
        cycles, split, part = best
        cycles *= launches
        again = self._again(layer, kernel, tiles_m, tiles_n)
        covered = gemm.groups * tiles_m * tiles_n * k * layer.width
        passed = int(covered * sides)
        operands = covered * kernel.rows * kernel.columns * 2 // kernel.micro
        cost = Cost(
            cycles,
            self.overlap,
            launches=launches,
            memory_bytes=again - layer.skipped,
            level_bytes={"l2": passed, "shared": operands},
        )

        def line():
            return (
                f"kernel    tiles of {kernel.rows} x {kernel.columns}, {kernel.resident} at a time:"
                f" {tiles:,} tiles x {split} parts of K / {self.units} SMs, {-(-part // step):,} "
                f"steps of max({compute:,.0f} to multiply at {rate:g} MAC per cycle x "
                f"{self.efficiency * kernel.issue:.3g}, {loads:,.0f} to load at "
                f"{self.cache_rate:g} B per cycle), at least {self.latency / ahead:,.0f} at once"
                + (f"; {launches} groups one by one" if launches > 1 else "")
                + (f"; {again:,} B pass again" if again else "")
                + f" = {cycles:,.0f} cycles"
            )

        return _Way(self._seconds(cycles, layer, again, launches), cost, line)

    def _by_group(self, layer):
        return layer.gemm.groups > 1 and layer.conv is not None and not self.tensor

    def _seconds(self, cycles, layer, extra, launches=1):
        memory = (layer.bytes + extra) / self.bandwidth
        compute = cycles / self.clock
        small = min(memory, compute) / self.overlap
        return max(memory, compute) + small + launches * self.device["dispatch_time"]

    def _again(self, layer, kernel, tiles_m, tiles_n):
        """Bytes of operands that pass again, because the waves of blocks outrun the cache."""
        wave = self.units * kernel.resident
        tiles = tiles_m * tiles_n
        if tiles <= wave:
            return 0
        # Blocks of a wave form a rectangle with about equal bytes on both sides.
        a_tile = layer.a_bytes / tiles_m / layer.gemm.groups
        b_tile = layer.b_bytes / tiles_n / layer.gemm.groups
        high = min(tiles_m, max(1, round((wave * b_tile / a_tile) ** 0.5), -(-wave // tiles_n)))
        wide = min(tiles_n, max(1, wave // high))
        waves = tiles / (high * wide)
        a = waves * high * a_tile if layer.a_bytes > self.cache / 2 else 0
        b = waves * wide * b_tile if layer.b_bytes > self.cache / 2 else 0
        extra = max(0, a - layer.a_bytes / layer.gemm.groups)
        extra += max(0, b - layer.b_bytes / layer.gemm.groups)
        return int(extra * layer.gemm.groups)

    def _vector(self, layer):
        """Matrix times a few vectors: each weight is loaded once."""
        gemm = layer.gemm
        lanes = self.units * self.device["element_ops_per_cycle"]
        cycles = gemm.macs / (lanes * self.efficiency) + self.start
        # Sums along K that no other thread shares: the loads' latency adds up.
        waits = -(-gemm.k // _VECTOR_STEP) * self.latency
        return _Way(
            self._seconds(cycles, layer, 0) + waits / self.clock,
            Cost(cycles, self.overlap, waits, level_bytes={"l2": layer.bytes}),
            lambda: (
                f"kernel    matrix times {min(gemm.m, gemm.n)} vectors: {gemm.macs:,} MAC /"
                f" ({lanes:g} per cycle x {self.efficiency:g}) = {cycles:,.0f} cycles, and"
                f" {waits:,.0f} for {-(-gemm.k // _VECTOR_STEP):,} loads one after the other"
            ),
        )

    def _depthwise(self, layer):
        """A depthwise convolution: an output per thread."""
        gemm = layer.gemm
        lanes = self.units * self.device["element_ops_per_cycle"]
        # For each tap a multiplication and two loads.
        cycles = 3 * gemm.macs / (lanes * self.efficiency) + self.start
        return _Way(
            self._seconds(cycles, layer, 0),
            Cost(cycles, self.overlap, level_bytes={"l2": 2 * gemm.macs * layer.width}),
            lambda: (
                f"kernel    depthwise: 3 x {gemm.macs:,} operations / ({lanes:g} per cycle x"
                f" {self.efficiency:g}) = {cycles:,.0f} cycles"
            ),
        )

    def _fused_winograd(self, layer, rate):
        """F(2x2, 3x3) in one kernel, its filters transformed by another before."""
        conv, gemm = layer.conv, layer.gemm
        spots = [-(-size // 2) for size in conv.output_size]
        areas = conv.images * min(
            prod(-(-count // side) for count, side in zip(spots, shape, strict=True))
            for shape in (_FUSED_SHAPE, _FUSED_SHAPE[::-1])
        )
        blocks = areas * -(-gemm.n // _FUSED_SIDE)
        kernel = Kernel(128, 128)
        step = _STEP_BYTES // layer.width
        work = _FUSED_PRODUCTS * _FUSED_SIDE**2 / kernel.issue + _FUSED_ADDS
        compute = step * work / (rate * self.efficiency)
        loads = step * _FUSED_LOADS * layer.width / self.cache_rate
        steps = -(-gemm.k // 9 // step)
        stores = 4 * _FUSED_SIDE**2 * layer.out_width / self.cache_rate
        cycles = self._busy(kernel, blocks, steps, compute, loads, stores)
        filters = 2 * layer.b_bytes * 16 // 9
        again = filters
        covered = blocks * gemm.k // 9 * layer.width
        passed = covered * _FUSED_LOADS
        operands = covered * _FUSED_PRODUCTS * _FUSED_SIDE**2 * 2 // kernel.micro
        cost = Cost(
            cycles,
            self.overlap,
            launches=2,
            memory_bytes=again,
            level_bytes={"l2": passed, "shared": operands},
        )
        return _Way(
            self._seconds(cycles, layer, again, 2),
            cost,
            lambda: (
                f"kernel    Winograd F(2x2, 3x3): {areas:,} areas of 8 x 16 pixels x"
                f" ceil({gemm.n} / {_FUSED_SIDE}) = {blocks:,} blocks, {steps:,} steps of"
                f" max({compute:,.0f}, {loads:,.0f} to load) = {cycles:,.0f} cycles;"
                f" transformed filters {filters:,} B"
            ),
        )

    def _far_winograd(self, layer, rate):
        """F(4x4, 3x3) in kernels of their own: transform, 36 products, transform back."""
        conv, gemm = layer.conv, layer.gemm
        channels = gemm.k // 9
        spots = conv.images * prod(-(-size // _FAR_TILE) for size in conv.output_size)
        width = layer.width
        filters = _FAR_PRODUCTS * channels * gemm.n * width
        inputs = _FAR_PRODUCTS * spots * channels * width
        results = _FAR_PRODUCTS * spots * gemm.n * width
        step = _STEP_BYTES // width
        cycles = float("inf")
        for kernel in self._core_kernels(layer):
            compute = kernel.rows * kernel.columns * step / (rate * self.efficiency * kernel.issue)
            loads = (kernel.rows + kernel.columns) * step * width / self.cache_rate
            tiles = -(-spots // kernel.rows) * -(-gemm.n // kernel.columns)
            stores = kernel.rows * kernel.columns * width / self.cache_rate
            steps = -(-channels // step)
            busy = self._busy(kernel, tiles * _FAR_PRODUCTS, steps, compute, loads, stores)
            cycles = min(cycles, busy)
        product = max(cycles / self.clock, (filters + inputs + results) / self.bandwidth)
        lanes = self.units * self.device["element_ops_per_cycle"] * self.efficiency
        adds = spots * (_FAR_ADDS_IN * channels + _FAR_ADDS_OUT * gemm.n) / lanes
        moved = (layer.bytes + filters + inputs + results) / self.bandwidth
        transforms = max(moved, adds / self.clock) + 3 * self.start / self.clock
        # One kernel after the other: nothing overlaps, and the layer is one tile. Its job counts
        # all bytes as memory time; what the kernels take beyond that is arithmetic.
        extra = 2 * (filters + inputs + results)
        beyond = max(0.0, product + transforms - (layer.bytes + extra) / self.bandwidth)
        total = product + transforms + 4 * self.device["dispatch_time"]
        return _Way(
            total,
            Cost(
                beyond * self.clock,
                1,
                launches=4,
                memory_bytes=extra,
                level_bytes={"l2": extra},
            ),
            lambda: (
                f"kernel    Winograd F(4x4, 3x3): {spots:,} tiles of 4 x 4, 36 products of"
                f" M {spots:,} x N {gemm.n:,} x K {channels:,}: {cycles:,.0f} cycles; transformed"
                f" {filters:,} B of filters, {inputs:,} B of inputs, {results:,} B of results, each"
                f" written and read; beyond the memory's time {beyond * self.clock:,.0f} cycles"
            ),
        )


class _Layer:
    """A matrix product and the bytes that it has to move at least."""

    def __init__(self, gemm, conv, width, precision):
        self.gemm, self.conv, self.width, self.precision = gemm, conv, width, precision
        self.taps = prod(conv.kernel) if conv is not None else 1
        if conv is None:
            self.a_bytes = gemm.m * gemm.k * gemm.groups * width
            self.skipped = 0
        else:
            self.a_bytes = conv.images * conv.channels * prod(conv.size) * width
            # Rows between the windows are not read; columns are, within the same bursts.
            used = min(1, conv.kernel[0] / conv.stride[0])
            self.skipped = self.a_bytes - int(self.a_bytes * used)
            self.a_bytes -= self.skipped
        self.b_bytes = gemm.n * gemm.k * gemm.groups * width
        self.out_width = 4 if precision == "int8" else width
        self.bytes = self.a_bytes + self.b_bytes + gemm.m * gemm.n * gemm.groups * self.out_width
        self.winograd = (
            conv is not None
            and gemm.groups == 1
            and precision in ("fp32", "fp16")
            and conv.kernel == (3, 3)
            and set(conv.stride) == set(conv.dilation) == {1}
        )

    @property
    def channels(self):
        """Contiguous values along K: the channels of a convolution."""
        return self.gemm.k // self.taps

    @property
    def padded_k(self):
        """K as the kernel steps along it: bytes of int8 in words of four."""
        if self.precision == "int8":
            return -(-self.channels // 4) * 4 * self.taps
        return self.gemm.k

    def aligned(self, size):
        """Whether rows of both operands and of the result are multiples of ``size`` bytes."""
        count = max(1, size // self.width)
        return self.channels % count == 0 and self.gemm.n % count == 0
