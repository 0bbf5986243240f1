"""Central processors: output vectors dealt to cores.

Output vectors (``vector_lanes`` outputs side by side) are dealt to the cores; each takes K fused
multiply-adds.
"""

from .base import Cost, Processor

__all__ = ["Cpu"]


class Cpu(Processor):
    """A CPU."""

    @property
    def units(self):
        return int(self.device["cores"])

    def product(self, work, precision, lines):
        gemm = work.gemm
        lanes = int(self.device["vector_lanes"])
        if gemm.n < lanes:  # few outputs per group: vectors run across the groups
            vectors = -(-gemm.n * gemm.groups // lanes)
        else:
            vectors = -(-gemm.n // lanes) * gemm.groups
        share = -(-gemm.m * vectors // self.units)
        rate = self.rate(precision)
        cycles = share * gemm.k * lanes / (rate * self.efficiency)
        lines.append(
            f"cores     {gemm.m:,} x {vectors:,} vectors of {lanes} / {self.units} cores ="
            f" {share:,}; x K {gemm.k:,} x {lanes} / ({rate:g} MAC per cycle x {self.efficiency:g})"
            f" = {cycles:,.0f} cycles"
        )
        return Cost(cycles, int(self.device["overlap_tiles"]))
