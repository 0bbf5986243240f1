"""Graphics processors: tiles of the output dealt to multiprocessors.

A kernel computes tiles of the output, one tile of a multiprocessor at a time: the last tile of each
row and column (tile quantization) and the last wave of tiles (wave quantization) cost as much as
full ones. Of the kernels in `KERNELS`, and of the ways to split K, the fastest is taken, as a
library's heuristic would.
"""

from dataclasses import dataclass

from .base import Cost, Processor

__all__ = ["KERNELS", "Gpu"]


@dataclass(frozen=True)
class Kernel:
    """A GPU kernel: 256 threads compute a tile, each ``micro`` x ``micro`` outputs of it.

    For one step along K a thread multiplies ``micro**2`` times and loads ``2 * micro`` operands
    from shared memory, four at a time; ``issue`` is the share of issue slots that multiply.
    """

    micro: int

    @property
    def side(self):
        """Rows and columns of the tile."""
        return 16 * self.micro

    @property
    def issue(self):
        """Share of the issue slots that multiply."""
        return self.micro**2 / (self.micro**2 + self.micro / 2)

    def tiles(self, gemm):
        """Tiles of a matrix product."""
        if self.micro == 1:  # one output per thread, whatever its place: also the depthwise kernel
            return -(-gemm.m * gemm.n * gemm.groups // self.side**2)
        return -(-gemm.m // self.side) * -(-gemm.n // self.side) * gemm.groups


KERNELS = (Kernel(8), Kernel(4), Kernel(2), Kernel(1))
SPLITS = (1, 2, 4, 8, 16, 32)
# A part of K shorter than this is not worth a split: the kernels step through K eight at a time.
SHORTEST_SPLIT = 64


class Gpu(Processor):
    """A GPU."""

    @property
    def units(self):
        return int(self.device["sms"])

    def product(self, work, precision, lines):
        gemm = work.gemm
        rate = self.rate(precision) * self.efficiency
        bandwidth = self.device["memory_bandwidth"] * self.device["memory_efficiency"]
        ways = []
        for kernel in KERNELS:
            tiles = kernel.tiles(gemm)
            for split in SPLITS:
                if split > 1 and gemm.k // split < SHORTEST_SPLIT:
                    break
                waves = -(-tiles * split // self.units)
                part = -(-gemm.k // split)
                cycles = waves * kernel.side**2 * part / (rate * kernel.issue)
                partial = 8 * split * gemm.m * gemm.n * gemm.groups if split > 1 else 0
                cycles += partial / bandwidth * self.device["clock"]
                ways.append((cycles, kernel, split, tiles, waves, part, partial))
        cycles, kernel, split, tiles, waves, part, partial = min(ways, key=lambda way: way[0])
        shape = "256 outputs" if kernel.micro == 1 else f"{kernel.side} x {kernel.side}"
        lines.append(
            f"kernel    tiles of {shape}: {tiles:,} tiles x {split} parts of K / {self.units} SMs ="
            f" {waves:,} waves; x {kernel.side**2:,} outputs x K {part:,} /"
            f" ({self.rate(precision):g} MAC per cycle x {self.efficiency:g}"
            f" x {kernel.issue:.3f} issue slots)"
            + (f" + {partial:,} B of partial sums" if partial else "")
            + f" = {cycles:,.0f} cycles"
        )
        return Cost(cycles, int(self.device["overlap_tiles"]))
