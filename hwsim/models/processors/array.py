"""Systolic arrays: folds of the weights, one after the other.

A weight-stationary systolic array (Kung and Leiserson, "Systolic Arrays (for VLSI)", 1979; Jouppi
et al., ISCA 2017). The weights are cut into folds of rows x columns; a fold takes as many cycles as
it has rows of activations, but no fewer than the next fold's weights need to shift in. Fill and
drain are charged once per layer.
"""

import math

from .base import Cost, Processor

__all__ = ["Array"]


class Array(Processor):
    """A TPU."""

    streams_weights = True
    fuses = True

    @property
    def units(self):
        return int(self.device["arrays"])

    def peak(self, precision):
        return super().peak(precision) * self.device["rows"] * self.device["columns"]

    def product(self, work, precision, lines):
        gemm = work.gemm
        rows, columns, arrays = (int(self.device[n]) for n in ("rows", "columns", "arrays"))
        rate = self.rate(precision)
        # Small groups share a fold: their weights stand on its block diagonal.
        packed = min(max(1, min(rows // gemm.k, columns // gemm.n)), gemm.groups)
        folds = -(-gemm.groups // packed) * -(-gemm.k // rows) * -(-gemm.n // columns)
        limit = gemm.m
        if "accumulator_rows" in self.device:
            limit = int(self.device["accumulator_rows"]) // 2  # the other half is written out
        by_rows = (-(-gemm.m // arrays), folds)
        by_folds = (gemm.m, -(-folds // arrays))
        ways = []
        for m, count in (by_rows, by_folds):
            chunks = -(-m // limit)
            per_fold = sum(
                max(math.ceil(part / rate), rows)
                for part in (*[limit] * (chunks - 1), m - limit * (chunks - 1))
            )
            ways.append((count * per_fold, m, count, chunks))
        cycles, m, count, chunks = min(ways)
        ending = rows + (rows - 1) + (columns - 1)
        lines.append(
            f"folds     {gemm.groups:,} groups / {packed} packed x ceil(K / {rows}) x"
            f" ceil(N / {columns}) = {folds:,}; {count:,} on each of {arrays} arrays x"
            f" max({m:,} rows / {rate:g}, {rows} to shift weights in)"
            + (f" in {chunks} parts" if chunks > 1 else "")
            + f" = {cycles:,} cycles"
        )
        lines.append(
            f"ends      first weights {rows} + fill {rows - 1} + drain {columns - 1} ="
            f" {ending} cycles"
        )
        tiles = min(count * chunks, int(self.device["overlap_tiles"]))
        # With K in one fold nothing is accumulated, and the weights stay while all rows pass.
        passes = chunks if gemm.k > rows else 1
        return Cost(cycles, tiles, ending, weight_passes=passes)
