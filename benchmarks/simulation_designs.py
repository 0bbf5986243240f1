"""What the simulation benchmark simulates, and with which data.

Peers are driven from outside, by a program; the compiled engine takes the same data from buffers,
by a circuit. All make the same digest of the outputs: ``5 * digest + output`` modulo 2**32 with
each output that is valid, a digest for each output port of the design.
"""

from functools import cached_property

import numpy as np
from amaranth.hdl import Cat, ClockDomain, Module, Signal, Value, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

import hwsim
from hwsim.data import bundled
from hwsim.images import load_images
from hwsim.rtl.streaming import AxiTop
from hwsim.sim.simulate import input_codes
from hwsim.sim.stimulus.buffers import Load

from .systolic_array import BITS, Array, accumulator_bits, latency, reference

FOLDS = 16
VECTORS_PER_FOLD = 4  # times the rows
IMAGES = 64
CYCLES_PER_IMAGE = 4096  # as in `hwsim.demo`


class WithoutReset(wiring.Component):
    """A component that starts from the initial values of its registers, with its clock a port.

    This is what the compiled engine simulates; without the logic of resets, peers are faster, too.
    """

    def __init__(self, component):
        self.component = component
        super().__init__({"clk": In(1)} | dict(component.signature.members.items()))

    def elaborate(self, platform):
        m = Module()
        m.domains.sync = domain = ClockDomain(reset_less=True)
        m.d.comb += domain.clk.eq(self.clk)
        m.submodules.inner = self.component
        for name, member in self.component.signature.members.items():
            outer, inner = (Value.cast(getattr(part, name)) for part in (self, self.component))
            m.d.comb += inner.eq(outer) if member.flow is In else outer.eq(inner)
        return m


def digests(m, values, when):
    """Registers with a digest of each value."""
    registers = [Signal(32, name=f"digest_{k}") for k in range(len(values))]
    with m.If(when):
        m.d.sync += [
            digest.eq((digest << 2) + digest + value)
            for digest, value in zip(registers, values, strict=True)
        ]
    return registers


def load(m, name, width, shared, address):
    """The word of a buffer."""
    m.submodules[f"load_{name}"] = part = Load(name=name, width=width, shared=shared)
    m.d.comb += part.address.eq(address)
    return part.data


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
        now = Signal(range(period(array.rows)))
        m.d.sync += now.eq(now + 1)
        shared = self.shared_weights
        m.d.comb += [
            array.a.eq(Cat(load(m, f"a{r}", BITS, False, now) for r in range(array.rows))),
            array.w.eq(Cat(load(m, f"w{c}", BITS, shared, now) for c in range(array.cols))),
            Cat(array.a_valid, array.load, array.swap).eq(load(m, "control", 3, True, now)),
        ]
        y = [array.y[c].as_unsigned() for c in range(array.cols)]
        m.d.comb += self.digest.eq(Cat(digests(m, y, array.y_valid)))
        return m


class PipelineDriver(wiring.Component):
    """A streaming pipeline, fed from the buffer ``images``.

    The buffer ``control`` (a word of two bits) says whether a beat is offered and one is taken.
    """

    def __init__(self, *, plan, length):
        self.pipeline = AxiTop(plan)
        self.length = length
        super().__init__({"digest": Out(32)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.pipeline = pipeline = self.pipeline
        position = Signal(range(self.length))
        m.d.comb += [
            pipeline.s_axis_tdata.eq(load(m, "images", BITS, False, position)),
            Cat(pipeline.s_axis_tvalid, pipeline.m_axis_tready).eq(load(m, "control", 2, True, 0)),
        ]
        with m.If(pipeline.s_axis_tvalid & pipeline.s_axis_tready):
            m.d.sync += position.eq(position + 1)
            with m.If(position == self.length - 1):
                m.d.sync += position.eq(0)
        taken = pipeline.m_axis_tvalid & pipeline.m_axis_tready
        m.d.comb += self.digest.eq(Cat(digests(m, [pipeline.m_axis_tdata], taken)))
        return m


def period(rows):
    """Cycles after which the data of an array begin anew."""
    return FOLDS * VECTORS_PER_FOLD * rows


def array_data(rows, cols, seed):
    """A vector in each cycle; weights for the next fold come just before it.

    Returns activations (cycles, rows) and weights (cycles, cols), codes in uint8, and control
    (cycles, 3): valid, load, swap.
    """
    draw = np.random.default_rng(seed)
    cycles, fold = period(rows), VECTORS_PER_FOLD * rows
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


class ArrayLoad:
    """A square array, and what it is fed with.

    Members
    -------
    name : str
    digests : int
        Number of digests.
    setup, drive, sample : str
        C++ for the program around Verilator's: before all cycles, before the outputs of a cycle
        are computed, and after.
    """

    setup = ""
    drive = """
      const unsigned char* p = &data[t * (sizeof top.a + sizeof top.w + 3)];
      memcpy(&top.a, p, sizeof top.a);
      memcpy(&top.w, p + sizeof top.a, sizeof top.w);
      p += sizeof top.a + sizeof top.w;
      top.a_valid = p[0];
      top.load = p[1];
      top.swap = p[2];"""
    sample = """
      if (top.y_valid) {
        const uint32_t* y = reinterpret_cast<const uint32_t*>(&top.y);
        for (int c = 0; c < DIGESTS; c++) digest[c] = digest[c] * 5 + y[c];
      }
      if (++t * (sizeof top.a + sizeof top.w + 3) == data.size()) t = 0;"""

    def __init__(self, size):
        self.size = size
        self.name = f"{size} x {size} array"
        self.digests = size

    def component(self):
        """For peers."""
        return ArrayBench(rows=self.size, cols=self.size)

    def driver(self, *, shared):
        """For the compiled engine; all lanes have the same weights if these are shared."""
        return ArrayDriver(rows=self.size, cols=self.size, shared_weights=shared)

    def _data(self, lane, shared):
        activations, weights, control = array_data(self.size, self.size, lane)
        if shared:
            weights = array_data(self.size, self.size, 0)[1]
        return activations, weights, control

    def buffers(self, lanes, *, shared):
        """Arrays for the driver's buffers."""
        parts = [self._data(lane, shared) for lane in range(lanes)]
        activations, weights = (np.stack([part[k] for part in parts]).T for k in range(2))
        arrays = {f"a{r}": activations[r] for r in range(self.size)}
        arrays |= {f"w{c}": w[:, 0] if shared else w for c, w in enumerate(weights)}
        return arrays | {"control": parts[0][2] @ np.array([1, 2, 4], np.uint8)}

    def file(self, lane, *, shared):
        """The same data of a lane for the other simulators, a row of bytes per cycle."""
        return np.concatenate(self._data(lane, shared), axis=1)

    def expected(self, lane, cycles, *, shared):
        """Digests after so many cycles, by NumPy."""
        activations, weights, _ = (part.view(np.int8) for part in self._data(lane, shared))
        fold = VECTORS_PER_FOLD * self.size
        digest = np.zeros(self.size, np.uint32)
        mask = (1 << accumulator_bits(self.size)) - 1
        used = np.zeros((self.size, self.size), np.int8)
        for t in range(max(0, cycles - latency(self.size, self.size))):
            # The last row of weights comes first, and all just before the fold's last cycle.
            if t and t % fold == 0:
                end = (t - 1) % len(weights)
                used = weights[end - self.size : end][::-1]
            y = reference(activations[t % len(activations), None], used)[0]
            digest = digest * np.uint32(5) + (y & mask).astype(np.uint32)
        return [int(word) for word in digest]


class PipelineLoad:
    """LeNet-5 as a streaming pipeline, fed with images back to back; members as of `ArrayLoad`."""

    name = "LeNet-5 pipeline"
    digests = 1
    setup = """
    top.s_axis_tvalid = 1;
    top.m_axis_tready = 1;"""
    drive = """
      top.s_axis_tdata = data[t];"""
    sample = """
      if (top.m_axis_tvalid) digest[0] = digest[0] * 5 + top.m_axis_tdata;
      if (top.s_axis_tready && ++t == data.size()) t = 0;"""

    @cached_property
    def _design(self):
        network = hwsim.load(bundled("lenet5/lenet5.onnx"))
        source = bundled("lenet5/images.npz")
        shape = network.inputs[0].shape[1:]
        calibration = load_images(source, shape, key="calibration").images
        network = hwsim.quantize(network, calibration=calibration)
        design = hwsim.build(network, hwsim.Streaming(cycles_per_image=CYCLES_PER_IMAGE))
        codes = input_codes(design.network, load_images(source, shape).images)
        return design, codes.reshape(len(codes), -1).astype(np.int8).view(np.uint8)

    def component(self):
        """For peers."""
        return AxiTop(self._design[0].plan)

    def driver(self, *, shared):
        """For the compiled engine."""
        design, codes = self._design
        return PipelineDriver(plan=design.plan, length=IMAGES * codes.shape[1])

    def _images(self, lane):
        """A window of the test images for each lane."""
        codes = self._design[1]
        return codes[(lane + np.arange(IMAGES)) % len(codes)].ravel()

    def buffers(self, lanes, *, shared):
        """Arrays for the driver's buffers."""
        images = np.stack([self._images(lane) for lane in range(lanes)], axis=1)
        return {"images": images, "control": np.array([3], np.uint8)}

    def file(self, lane, *, shared):
        """The same data of a lane for the other simulators, a row of bytes per beat."""
        return self._images(lane)[:, None]


LOADS = {"array16": ArrayLoad(16), "array32": ArrayLoad(32), "lenet5": PipelineLoad()}
LARGE = ArrayLoad(128)
