"""A weight-stationary int8 systolic array, as the load of the simulation benchmark.

::

            w[0]   w[1]            weights come from above, a row per cycle with `load`
             |      |
    a[0] --> E  --> E  -->         activations go right, row r starting r cycles after row 0
             |      |
    a[1] --> E  --> E  -->         partial sums go down
             |      |
            y[0]   y[1]            column c leaves c cycles after column 0, all are aligned again

Equal parts are one module: elements, meshes of them, delays. See `hwsim.rtl.once`.
"""

from itertools import pairwise

import numpy as np
from amaranth.hdl import Cat, Module, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hwsim.rtl.once import Once

__all__ = ["Array", "Element", "Mesh", "reference"]

BITS = 8  # of activations and weights
TILE = 16  # rows and columns of the largest mesh that is not made of others
GROUP = 16  # values, and cycles, of a delay


def accumulator_bits(rows):
    """Bits of a partial sum over ``rows`` products."""
    return 2 * BITS + (rows - 1).bit_length()


def latency(rows, cols):
    """Cycles from a vector to its result."""
    return rows + cols - 1


class Element(wiring.Component):
    """One multiply-accumulate: ``p_o`` is ``p_i + a_i * weight`` of the cycle before.

    Parameters
    ----------
    width : int
        Bits of a partial sum.

    Members
    -------
    a_i, a_o : activation, signed(8); right
    p_i, p_o : partial sum, signed(width); down
    w_i, w_o : weight, signed(8); down; with `load`, the shadow register takes ``w_i``
    load : in
    swap_i, swap_o : right, with the activation that is the last one for the weight in use
    """

    def __init__(self, *, width):
        self._width = width
        super().__init__(
            {
                "a_i": In(signed(BITS)),
                "a_o": Out(signed(BITS)),
                "p_i": In(signed(width)),
                "p_o": Out(signed(width)),
                "w_i": In(signed(BITS)),
                "w_o": Out(signed(BITS)),
                "load": In(1),
                "swap_i": In(1),
                "swap_o": Out(1),
            }
        )

    @property
    def width(self):
        return self._width

    def elaborate(self, platform):
        m = Module()
        weight = Signal(signed(BITS))
        m.d.sync += [
            self.a_o.eq(self.a_i),
            self.p_o.eq(self.p_i + self.a_i * weight),
            self.swap_o.eq(self.swap_i),
        ]
        with m.If(self.load):
            m.d.sync += self.w_o.eq(self.w_i)
        with m.If(self.swap_i):
            m.d.sync += weight.eq(self.w_o)
        return m


class Mesh(wiring.Component):
    """A grid of elements; ports as those of `Element`, a vector with one for each row or column.

    Row 0 and column 0 lie lowest. A large mesh is made of smaller ones, a small one of rows, a row
    of elements, so that a large array takes little more text than a small one.
    """

    def __init__(self, *, rows, cols, width):
        self._rows = rows
        self._cols = cols
        self._width = width
        super().__init__(
            {
                "a_i": In(rows * BITS),
                "a_o": Out(rows * BITS),
                "p_i": In(cols * width),
                "p_o": Out(cols * width),
                "w_i": In(cols * BITS),
                "w_o": Out(cols * BITS),
                "load": In(1),
                "swap_i": In(rows),
                "swap_o": Out(rows),
            }
        )

    @property
    def rows(self):
        return self._rows

    @property
    def cols(self):
        return self._cols

    @property
    def width(self):
        """Bits of a partial sum."""
        return self._width

    def elaborate(self, platform):
        m = Module()
        if max(self.rows, self.cols) > TILE:
            rows = cols = TILE
        else:
            # Rows, of which each is made of elements.
            rows, cols = 1, self.cols if self.rows > 1 else 1
        parts = [
            [
                self._part(min(rows, self.rows - r), min(cols, self.cols - c))
                for c in range(0, self.cols, cols)
            ]
            for r in range(0, self.rows, rows)
        ]
        for r, row in enumerate(parts):
            for c, part in enumerate(row):
                m.submodules[f"part_{r}_{c}"] = part
                m.d.comb += part.load.eq(self.load)
            for left, right in pairwise(row):
                m.d.comb += [right.a_i.eq(left.a_o), right.swap_i.eq(left.swap_o)]
        for upper, lower in pairwise(parts):
            for above, below in zip(upper, lower, strict=True):
                m.d.comb += [below.p_i.eq(above.p_o), below.w_i.eq(above.w_o)]
        m.d.comb += [
            Cat(row[0].a_i for row in parts).eq(self.a_i),
            Cat(row[0].swap_i for row in parts).eq(self.swap_i),
            Cat(part.p_i for part in parts[0]).eq(self.p_i),
            Cat(part.w_i for part in parts[0]).eq(self.w_i),
            self.a_o.eq(Cat(row[-1].a_o for row in parts)),
            self.swap_o.eq(Cat(row[-1].swap_o for row in parts)),
            self.p_o.eq(Cat(part.p_o for part in parts[-1])),
            self.w_o.eq(Cat(part.w_o for part in parts[-1])),
        ]
        return m

    def _part(self, rows, cols):
        if rows == cols == 1:
            return Once(Element, width=self.width)
        return Once(Mesh, rows=rows, cols=cols, width=self.width)


class Delay(wiring.Component):
    """Shift registers side by side: value ``k`` of ``o`` is that of ``i`` ``cycles[k]`` cycles ago.

    Parameters
    ----------
    width : int
        Bits of a value.
    cycles : tuple of int
    """

    def __init__(self, *, width, cycles):
        self._width = width
        self._cycles = cycles
        super().__init__({"i": In(width * len(cycles)), "o": Out(width * len(cycles))})

    @property
    def width(self):
        return self._width

    @property
    def cycles(self):
        return self._cycles

    def elaborate(self, platform):
        m = Module()
        values = [Signal(self.width, name=f"value_{k}") for k in range(len(self.cycles))]
        m.d.comb += Cat(values).eq(self.i)
        for k, cycles in enumerate(self.cycles):
            for age in range(1, cycles + 1):
                later = Signal(self.width, name=f"value_{k}_{age}")
                m.d.sync += later.eq(values[k])
                values[k] = later
        m.d.comb += self.o.eq(Cat(values))
        return m


class Array(wiring.Component):
    """``y`` is ``a @ weights``, a vector per cycle.

    Latency is ``rows + cols - 1`` cycles, the initiation interval 1.

    Weights: ``load`` is high for ``rows`` cycles while ``w`` brings the rows, the last one first.
    ``swap`` comes after all of them, with the last vector for the weights in use (or with none):
    vectors from the next cycle on meet the weights that were loaded. The first ``load`` of the set
    after that comes ``rows + cols - 2`` cycles after ``swap`` or later, and in a later cycle, so
    that a set of weights lasts ``2 * rows + cols - 2`` cycles (2 for a single element) or more.

    Parameters
    ----------
    rows, cols : int

    Members
    -------
    a : in, array of ``rows`` signed(8)
    a_valid : in
    load : in
    w : in, array of ``cols`` signed(8)
    swap : in
    y : out, array of ``cols`` signed(width)
    y_valid : out
    """

    def __init__(self, *, rows, cols):
        for name, number in (("rows", rows), ("cols", cols)):
            if number < 1:
                raise ValueError(f"{name} must be a positive integer, not {number}")
        width = accumulator_bits(rows)
        self._rows = rows
        self._cols = cols
        self._width = width
        super().__init__(
            {
                "a": In(data.ArrayLayout(signed(BITS), rows)),
                "a_valid": In(1),
                "load": In(1),
                "w": In(data.ArrayLayout(signed(BITS), cols)),
                "swap": In(1),
                "y": Out(data.ArrayLayout(signed(width), cols)),
                "y_valid": Out(1),
            }
        )

    @property
    def rows(self):
        return self._rows

    @property
    def cols(self):
        return self._cols

    @property
    def width(self):
        """Bits of a partial sum."""
        return self._width

    @property
    def latency(self):
        return latency(self.rows, self.cols)

    def elaborate(self, platform):
        m = Module()
        m.submodules.mesh = mesh = Mesh(rows=self.rows, cols=self.cols, width=self.width)
        # The swap signal goes down a row per cycle, as the skew of the activations asks.
        swap = Signal(self.rows)
        valid = Signal(self.latency)
        m.d.sync += [swap.eq(Cat(self.swap, swap)), valid.eq(Cat(self.a_valid, valid))]
        m.d.comb += [
            mesh.a_i.eq(skew(m, "a", self.a, range(self.rows), BITS)),
            mesh.w_i.eq(self.w),
            mesh.load.eq(self.load),
            mesh.swap_i.eq(Cat(self.swap, swap)),
            self.y.eq(skew(m, "y", mesh.p_o, range(self.cols)[::-1], self.width)),
            self.y_valid.eq(valid[-1]),
        ]
        return m


def skew(m, name, values, cycles, width):
    """``values``, each of ``width`` bits and delayed by its own number of ``cycles``, in one.

    They go in groups, so that the blocks are few and alike.
    """
    groups = [cycles[k : k + GROUP] for k in range(0, len(cycles), GROUP)]
    first = [Signal(width * len(group), name=f"{name}_{k}") for k, group in enumerate(groups)]
    m.d.comb += Cat(first).eq(values)
    last = []
    for k, (value, left) in enumerate(zip(first, groups, strict=True)):
        step = 0
        while any(left):
            part = (GROUP,) * len(left) if min(left) >= GROUP else tuple(left)
            delay = m.submodules[f"{name}_{k}_{step}"] = Once(Delay, width=width, cycles=part)
            m.d.comb += delay.i.eq(value)
            value, left = delay.o, [a - b for a, b in zip(left, part, strict=True)]
            step += 1
        last.append(value)
    return Cat(last)


def reference(activations, weights):
    """Outputs for the vectors that are fed with one set of weights.

    activations : (N, rows) integers, weights : (rows, cols) integers; returns (N, cols) int32.
    """
    return np.asarray(activations, np.int32) @ np.asarray(weights, np.int32)
