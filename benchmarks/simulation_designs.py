"""What the simulation benchmark simulates, and with which data.

Peers are driven from outside, by a program; the compiled engine takes the same data from buffers,
by a circuit. The digest of the outputs is the same for all.
"""

from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Cat, Const, Module, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

import hwsim
from hwsim.data import bundled
from hwsim.images import load_images
from hwsim.rtl.streaming import AxiTop
from hwsim.sim.simulate import input_codes
from hwsim.sim.stimulus.buffers import Load

from .systolic_array import BITS, Array

FOLDS = 16
VECTORS_PER_FOLD = 4  # times the rows
IMAGES = 64
CYCLES_PER_IMAGE = 4096  # as in `hwsim.demo`
DIGEST_FACTOR = 5


def digest_step(m, digest, value, when):
    """``digest`` times a constant plus ``value``, modulo 2**32, in each cycle with ``when``."""
    with m.If(when):
        m.d.sync += digest.eq((digest << 2) + digest + value)


class ArrayBench(wiring.Component):
    """The systolic array with outputs in words of 32 bits, 0 above, as a program holds them."""

    def __init__(self, *, rows, cols):
        self.array = Array(rows=rows, cols=cols)
        super().__init__(
            {
                "a": In(rows * BITS),
                "a_valid": In(1),
                "load": In(1),
                "w": In(cols * BITS),
                "swap": In(1),
                "y": Out(data.ArrayLayout(unsigned(32), cols)),
                "y_valid": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.array = array = self.array
        m.d.comb += [
            array.a.eq(self.a),
            array.a_valid.eq(self.a_valid),
            array.load.eq(self.load),
            array.w.eq(self.w),
            array.swap.eq(self.swap),
            self.y_valid.eq(array.y_valid),
        ]
        for c in range(array.cols):
            m.d.comb += self.y[c].eq(array.y[c].as_unsigned())
        return m


class ArrayDriver(wiring.Component):
    """The array, fed from buffers: ``a0``, ``w0`` ... a byte each, and three bits of control."""

    def __init__(self, *, rows, cols, shared_weights):
        self.array = Array(rows=rows, cols=cols)
        self.shared_weights = shared_weights
        super().__init__({"digest": Out(32 * cols)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.array = array = self.array
        time = Signal(range(cycles_of_array(array.rows)))
        m.d.sync += time.eq(time + 1)

        def load(name, width, shared):
            m.submodules[name] = part = Load(name=name, width=width, shared=shared)
            m.d.comb += part.address.eq(time)
            return part.data

        m.d.comb += [
            array.a.eq(Cat(load(f"a{r}", BITS, False) for r in range(array.rows))),
            array.w.eq(Cat(load(f"w{c}", BITS, self.shared_weights) for c in range(array.cols))),
            Cat(array.a_valid, array.load, array.swap).eq(load("control", 3, True)),
        ]
        digests = [Signal(32, name=f"digest_{c}") for c in range(array.cols)]
        for c, digest in enumerate(digests):
            digest_step(m, digest, array.y[c].as_unsigned(), array.y_valid)
        m.d.comb += self.digest.eq(Cat(digests))
        return m


def cycles_of_array(rows):
    """Cycles after which the data begin anew."""
    return FOLDS * VECTORS_PER_FOLD * rows


def array_data(rows, cols, seed):
    """A vector in each cycle; weights for the next fold come just before it.

    Returns activations (cycles, rows) and weights (cycles, cols), codes in uint8, and control
    (cycles, 3): valid, load, swap.
    """
    draw = np.random.default_rng(seed)
    cycles, fold = cycles_of_array(rows), VECTORS_PER_FOLD * rows
    activations = draw.integers(0, 256, (cycles, rows), np.uint8)
    weights = np.zeros((cycles, cols), np.uint8)
    control = np.zeros((cycles, 3), np.uint8)
    control[:, 0] = 1
    for end in range(fold, cycles + 1, fold):
        control[end - 1, 2] = 1
        loads = slice(end - 1 - rows, end - 1)
        control[loads, 1] = 1
        weights[loads] = draw.integers(0, 256, (rows, cols), np.uint8)
    return activations, weights, control
