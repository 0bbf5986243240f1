# amaranth: UnusedElaboratable=no
"""Stimulus as circuits: the same recordings as by Amaranth's simulator and Python."""

import hashlib
import re

import numpy as np
import pytest
from amaranth.hdl import Module, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from hwsim.blocks.queue import QueueConfig
from hwsim.blocks.streaming import Streaming
from hwsim.rtl.build import build
from hwsim.rtl.once import convert
from hwsim.rtl.queue import Queue
from hwsim.rtl.unit import beat_layout
from hwsim.sim import amaranth_engine, compiled_engine
from hwsim.sim.beats import elements_of
from hwsim.sim.compiled.program import compile_component
from hwsim.sim.engine import (
    PATTERN_CYCLES,
    Stalled,
    Stimulus,
    StreamError,
    Unfinished,
    plan,
    stall_pattern,
)
from hwsim.sim.simulate import input_codes, simulate
from hwsim.sim.stimulus.arrays import contents, raise_failure, recording
from hwsim.sim.stimulus.buffers import Load, Memories, Store
from hwsim.sim.stimulus.harness import Clocked, Harness
from hwsim.sim.stimulus.verilog import VerilogModule, axi_stream
from hwsim.validation.networks import images_for, random_network
from tests.rtl.catalogue import Shelf, catalogue

STRUCT = data.StructLayout(
    {"codes": data.ArrayLayout(signed(5), 3), "wide": 70, "flag": 1, "word": 64}
)


def harness_of(component, stimulus):
    return Harness(
        component,
        plan(component, stimulus),
        stalls=stimulus.stalls > 0,
        lane_stalls=stimulus.lane_stalls,
        until=stimulus.until,
    )


def run_harness(component, stimulus):
    """The harness in Amaranth's simulator, with memories for buffers; one lane."""
    todo = plan(component, stimulus)
    cells = re.findall(
        r'parameter \\NAME "(.*)"\n *parameter \\WIDTH .*\n *parameter \\SHARED .*([01])\n',
        convert(harness_of(component, stimulus)),
    )
    shared = {name: bit == "1" for name, bit in cells}
    arrays = {
        # Amaranth is slow with long memories, and runs here are short.
        name: array.reshape(len(array))[: 1000 if name.endswith(".stall") else None]
        for name, array in contents(todo, stimulus, shared).items()
    }
    memories = Memories(arrays)
    harness = harness_of(component, stimulus)
    outputs = {}

    async def bench(ctx):
        cycles = 0
        while not ctx.get(harness.stop):
            await ctx.tick()
            cycles += 1
        # The compiled engine runs the cycle in which it sees the stop, too.
        await ctx.tick()
        outputs["cycles"] = cycles + 1
        for name in harness.signature.members:
            outputs[name] = ctx.get(getattr(harness, name))
        assert cycles < 1000
        for name, rows in memories.data.items():
            if name.endswith(".stall"):
                continue
            values = [ctx.get(rows[k]) for k in range(len(arrays[name]))]
            arrays[name] = np.array(values, arrays[name].dtype)

    simulator = Simulator(memories.fragment(harness))
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    raise_failure(harness, todo, stimulus, outputs.get, outputs["cycles"])
    return recording(todo, stimulus, arrays, outputs.get)


ENGINES = {
    "amaranth": amaranth_engine.run,
    "harness": run_harness,
    "compiled": compiled_engine.run,
}


def assert_equal(first, second, hint):
    for kind in ("inputs", "outputs", "probes"):
        ours, theirs = getattr(first, kind), getattr(second, kind)
        assert ours.keys() == theirs.keys()
        for name, transfers in ours.items():
            other = theirs[name]
            assert np.array_equal(transfers.cycles, other.cycles), f"{hint}: cycles of {name}"
            assert np.array_equal(transfers.codes, other.codes), f"{hint}: codes of {name}"
            assert transfers.cycles.dtype == other.cycles.dtype == np.int64
            assert transfers.codes.shape == other.codes.shape
            assert transfers.elements == other.elements
            for count in ("held", "starved"):
                assert np.array_equal(getattr(transfers, count), getattr(other, count)), (
                    f"{hint}: {count} of {name}"
                )
    assert first.buffers.keys() == second.buffers.keys()
    for name, array in first.buffers.items():
        assert np.array_equal(array, second.buffers[name]), f"{hint}: buffer {name}"


def draw(rng, elements, *shape):
    """Random codes."""
    columns = [rng.integers(0, 1 << bits, shape, np.uint64) for bits, _ in elements]
    return np.stack(columns, axis=-1)


class Tandem(wiring.Component):
    """Two queues, one behind the other."""

    def __init__(self, shape):
        self.first = Queue(shape, QueueConfig(3))
        self.second = Queue(shape, QueueConfig(2))
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.first, m.submodules.second = self.first, self.second
        wiring.connect(m, wiring.flipped(self.i), self.first.i)
        wiring.connect(m, self.first.o, self.second.i)
        wiring.connect(m, self.second.o, wiring.flipped(self.o))
        return m


class Evens(wiring.Component):
    """Lets even numbers through; the others take a beat of the input, and no place in the output.

    With ``faulty`` the number 2 turns into 6 while it waits.
    """

    def __init__(self, *, faulty=False):
        self._faulty = faulty
        super().__init__({"i": In(stream.Signature(8)), "o": Out(stream.Signature(8))})

    def elaborate(self, platform):
        m = Module()
        odd = self.i.payload[0]
        waiting = Signal()
        m.d.sync += waiting.eq(self.o.valid & ~self.o.ready)
        m.d.comb += [
            self.o.valid.eq(self.i.valid & ~odd),
            self.o.payload.eq(self.i.payload),
            self.i.ready.eq(self.o.ready | odd),
        ]
        if self._faulty:
            with m.If(waiting & (self.i.payload == 2)):
                m.d.comb += self.o.payload.eq(6)
        return m


class Late(wiring.Component):
    """Takes a number n, and offers it from n cycles later on, without end.

    From cycle 20 on, a number that is odd changes in each cycle.
    """

    def __init__(self):
        super().__init__({"i": In(stream.Signature(8)), "o": Out(stream.Signature(8))})

    def elaborate(self, platform):
        m = Module()
        number, cycle = Signal(8), Signal(8)
        taken = Signal()
        m.d.comb += [
            self.i.ready.eq(~taken),
            self.o.valid.eq(taken & (cycle > number)),
            self.o.payload.eq(number),
        ]
        m.d.sync += cycle.eq(cycle + 1)
        with m.If(self.i.valid & ~taken):
            m.d.sync += [taken.eq(1), number.eq(self.i.payload)]
        with m.If(number[0] & (cycle > 20)):
            m.d.comb += self.o.payload.eq(cycle)
        return m


class Pulse(wiring.Component):
    """Takes beats for ever; ``end`` is 1 in the cycle after the third."""

    def __init__(self):
        super().__init__({"i": In(stream.Signature(8)), "end": Out(1)})

    def elaborate(self, platform):
        m = Module()
        count = Signal(8)
        m.d.comb += self.i.ready.eq(1)
        m.d.sync += self.end.eq(0)
        with m.If(self.i.valid):
            m.d.sync += [count.eq(count + 1), self.end.eq(count == 2)]
        return m


# Payloads


@pytest.mark.parametrize("stalls", [0.0, 0.4])
def test_wide_payloads_and_probes(stalls):
    seed = 1
    tandem = Tandem(STRUCT)
    stimulus = Stimulus(
        {"i": draw(np.random.default_rng(seed), elements_of(STRUCT), 40)},
        {"o": 40},
        # With the name of a port; and a beat less than there is.
        probes={"i": (tandem.first.o, 40), "middle/1": (tandem.second.i, 39)},
        stalls=stalls,
        seed=seed,
    )
    expected = amaranth_engine.run(tandem, stimulus)
    assert expected.outputs["o"].payloads == expected.inputs["i"].payloads
    assert np.array_equal(expected.outputs["o"].codes, stimulus.inputs["i"])
    assert len(expected.probes["middle/1"].cycles) == 39
    for name in ("harness", "compiled"):
        assert_equal(expected, ENGINES[name](tandem, stimulus), f"{name}, seed {seed}")


@pytest.mark.parametrize("unit", ["fork", "concat", "conv_folded", "argmax", "conv_accumulators"])
def test_units(unit):
    seed = 2
    component = catalogue(unit)[unit]
    rng = np.random.default_rng(seed)
    config = component.config
    inputs = {
        port: frame.to_beats(rng.integers(frame.minimum, frame.maximum + 1, (2, *frame.shape)))
        for port, frame in config.inputs.items()
    }
    ports = [name for name in component.signature.members if name.startswith("o")]
    outputs = dict.fromkeys(ports, 2 * config.output.beats)
    for stalls in (0.0, 0.3):
        stimulus = Stimulus(inputs, outputs, stalls=stalls, seed=seed)
        expected = amaranth_engine.run(component, stimulus)
        found = compiled_engine.run(component, stimulus)
        assert_equal(expected, found, f"seed {seed}, stalls {stalls}")
        assert expected.cycles == found.cycles
        for port, beats in inputs.items():
            assert np.array_equal(found.inputs[port].values, beats)


# Lanes


@pytest.mark.parametrize("lane_stalls", [False, True])
@pytest.mark.parametrize("lanes", [1, 9])
def test_lanes(lanes, lane_stalls):
    seed = lanes
    rng = np.random.default_rng(seed)
    concat = catalogue("concat")["concat"]
    frames = concat.config.inputs
    maps = {
        port: rng.integers(frame.minimum, frame.maximum + 1, (lanes, *frame.shape))
        for port, frame in frames.items()
    }
    inputs = {
        port: frame.to_beats(maps[port]).reshape(lanes, -1, frame.lanes)
        for port, frame in frames.items()
    }
    # One that all lanes have in common.
    inputs["i0"] = inputs["i0"][0]
    count = concat.config.output.beats
    stimulus = Stimulus(inputs, {"o": count}, stalls=0.3, seed=seed, lane_stalls=lane_stalls)
    expected = amaranth_engine.run(concat, stimulus)
    found = compiled_engine.run(concat, stimulus)
    assert_equal(expected, found, f"seed {seed}")
    assert found.outputs["o"].codes.shape == (lanes, count, concat.config.output.lanes)
    assert found.inputs["i0"].codes.shape == (lanes, *inputs["i0"].shape)
    same = bool((found.outputs["o"].cycles == found.outputs["o"].cycles[0]).all())
    assert same == (not lane_stalls or lanes == 1)
    assert found.cycles == expected.cycles


def test_handshakes_that_depend_on_data():
    seed, lanes = 5, 10
    rng = np.random.default_rng(seed)
    beats = rng.integers(0, 256, (lanes, 60, 1))
    count = int((beats % 2 == 0).sum(axis=1).min())
    stimulus = Stimulus({"i": beats}, {"o": count}, stalls=0.3, seed=seed)
    found = compiled_engine.run(Evens(), stimulus)
    assert_equal(amaranth_engine.run(Evens(), stimulus), found, f"seed {seed}")
    for lane in range(lanes):
        evens = beats[lane][beats[lane] % 2 == 0]
        assert np.array_equal(found.outputs["o"].codes[lane, :, 0], evens[:count])
    assert (np.ptp(found.outputs["o"].cycles, axis=0) > 0).any()


def test_what_lanes_have_in_common():
    """Control is computed once for all lanes, unless it depends on data."""
    seed = 6
    rng = np.random.default_rng(seed)
    beats = rng.integers(0, 256, (4, 10, 1))
    tandem = Tandem(8)
    shared = dict(stalls=0.5, seed=seed)

    def buffers(component, inputs, **options):
        whole = compiled_engine.Run(component, Stimulus(inputs, {"o": 1}, **options))
        kinds = whole.simulation.program.buffers.items()
        return {name for name, (_, is_shared) in kinds if is_shared}

    control = {"limits", "input0.cycle", "input0.stall", "output0.cycle", "output0.stall"}
    assert buffers(tandem, {"i": beats}, **shared) == control
    assert buffers(Evens(), {"i": beats}, **shared) == control - {"input0.cycle", "output0.cycle"}
    assert buffers(tandem, {"i": beats}, **shared, lane_stalls=True) == {"limits"}

    concat = catalogue("concat")["concat"]
    lanes = concat.config.inputs["i0"].lanes
    inputs = {name: np.zeros((4, 8, lanes), int) for name in concat.config.inputs}
    assert "input0.0" not in buffers(concat, inputs)
    inputs["i0"] = inputs["i0"][0]
    assert "input0.0" in buffers(concat, inputs)


# What goes wrong


def message(run, component, stimulus, error):
    with pytest.raises(error) as caught:
        run(component, stimulus)
    return str(caught.value)


@pytest.mark.parametrize("engine", ENGINES)
def test_changed_beat(engine):
    beats = [4, 8, 3, 2, 2, 2, 2, 5, 2, 6]
    stimulus = Stimulus({"i": beats}, {"o": 8}, stalls=0.5, seed=1)
    text = message(ENGINES[engine], Evens(faulty=True), stimulus, StreamError)
    expected = message(amaranth_engine.run, Evens(faulty=True), stimulus, StreamError)
    assert re.fullmatch(
        r"stream o changed a beat that was offered and not yet taken, in cycle \d+", text
    )
    assert text == expected
    recording = ENGINES[engine](Evens(), stimulus)
    assert recording.outputs["o"].payloads == [beat for beat in beats if beat % 2 == 0]


@pytest.mark.parametrize("engine", ENGINES)
def test_two_changed_beats(engine):
    """The first one is told, though another stream is the first in order."""
    pair = Shelf({"a": Evens(faulty=True), "b": Evens(faulty=True)})
    inputs = {"a_i": [4] * 40 + [2] * 40, "b_i": [4] * 8 + [2] * 72}
    stimulus = Stimulus(inputs, {"a_o": 80, "b_o": 80}, stalls=0.3, seed=1)
    text = message(ENGINES[engine], pair, stimulus, StreamError)
    assert text.startswith("stream b_o changed a beat")
    assert text == message(amaranth_engine.run, pair, stimulus, StreamError)


def test_changed_beat_of_a_lane():
    """The first lane that has one is named, though another lane had one before."""
    beats = np.array([[4, 4, 4, 4, 4, 4], [4, 4, 4, 4, 2, 2], [2, 2, 2, 2, 2, 2]])[:, :, None]
    stimulus = Stimulus({"i": beats}, {"o": 6}, stalls=0.6, seed=4)
    text = message(compiled_engine.run, Evens(faulty=True), stimulus, StreamError)
    alone = [
        message(
            amaranth_engine.run,
            Evens(faulty=True),
            Stimulus({"i": lane}, {"o": 6}, stalls=0.6, seed=4),
            StreamError,
        )
        for lane in beats[1:]
    ]
    assert alone[0] != alone[1]
    assert (
        text == alone[0] == message(amaranth_engine.run, Evens(faulty=True), stimulus, StreamError)
    )


def test_failure_after_the_end_of_a_lane():
    """What a lane does while it waits for the others is nobody's business."""
    stimulus = Stimulus({"i": np.array([[[7]], [[60]]])}, {"o": 1}, stalls=0.5, seed=2)
    expected = amaranth_engine.run(Late(), stimulus)
    assert expected.outputs["o"].cycles[0, 0] < 20 < 60 < expected.outputs["o"].cycles[1, 0]
    assert_equal(expected, compiled_engine.run(Late(), stimulus), "seed 2")
    # Before its end, though, if the sink makes it wait.
    seed = next(seed for seed in range(99) if stall_pattern(seed, "o", 0.5)[34])
    stimulus = Stimulus({"i": np.array([[[33]], [[60]]])}, {"o": 1}, stalls=0.5, seed=seed)
    text = message(compiled_engine.run, Late(), stimulus, StreamError)
    assert text == message(amaranth_engine.run, Late(), stimulus, StreamError)


@pytest.mark.parametrize("engine", ENGINES)
def test_stalled(engine):
    """After three even numbers the sink waits for a fourth."""
    stimulus = Stimulus({"i": [1, 2, 4, 3, 6, 5]}, {"o": 4}, patience=30)
    text = message(ENGINES[engine], Evens(), stimulus, Stalled)
    assert text == (
        "nothing moved for 30 cycles up to cycle 37: i waits for a beat, o waits for a beat"
    )


def test_stalled_lane():
    beats = np.array([[1, 2, 4, 6], [1, 2, 3, 6], [1, 1, 1, 1]])[:, :, None]
    stimulus = Stimulus({"i": beats}, {"o": 2}, patience=30)
    text = message(compiled_engine.run, Evens(), stimulus, Stalled)
    assert text == message(amaranth_engine.run, Evens(), stimulus, Stalled)
    assert text.startswith("nothing moved for 30 cycles up to cycle 35: ")


@pytest.mark.parametrize("engine", ENGINES)
def test_limit(engine):
    stimulus = Stimulus({"i": [2] * 10}, {"o": 10}, limit=7)
    text = message(ENGINES[engine], Evens(), stimulus, Unfinished)
    assert text == "the run is not over after 7 cycles, i made 7 of 10, o made 7 of 10"
    # The limit is the number of cycles that are enough.
    ENGINES[engine](Evens(), Stimulus({"i": [2] * 10}, {"o": 10}, limit=10))


@pytest.mark.parametrize("engine", ENGINES)
def test_until(engine):
    """The run goes on until a signal is 1, and ends there even if that is 1 for one cycle only."""
    pulse = Pulse()
    beats = [[1], [2], [3]]
    recording = ENGINES[engine](pulse, Stimulus({"i": beats}, {}, until=pulse.end, limit=100))
    assert recording.inputs["i"].cycles.tolist() == [0, 1, 2]
    text = message(
        ENGINES[engine],
        pulse,
        Stimulus({"i": beats[:2]}, {}, until=pulse.end, limit=100),
        Unfinished,
    )
    assert text == "the run is not over after 100 cycles, i made 2 of 2"


@pytest.mark.parametrize("engine", ["amaranth", "compiled"])
def test_nothing_to_do(engine):
    empty = np.zeros((0, 1), int)
    recording = ENGINES[engine](Evens(), Stimulus({"i": empty}, {"o": 0}))
    assert recording.outputs["o"].cycles.shape == (0,)
    assert recording.outputs["o"].codes.shape == (0, 1)


# Verilog

SLICE = """
module slice(
  input aclk, input aresetn,
  input s_tvalid, output s_tready, input [11:0] s_tdata, input s_tlast,
  output reg m_tvalid, input m_tready, output reg [11:0] m_tdata, output reg m_tlast,
  output reg [7:0] count, output spare
);
  assign s_tready = aresetn & (!m_tvalid | m_tready);
  assign spare = 1'b0;
  always @(posedge aclk)
    if (!aresetn) begin m_tvalid <= 0; count <= 5; end
    else begin
      if (m_tready) m_tvalid <= 0;
      if (s_tvalid & s_tready) begin
        m_tvalid <= 1; m_tdata <= s_tdata + 12'h010; m_tlast <= s_tlast; count <= count + 1;
      end
    end
endmodule
"""


@pytest.mark.parametrize("stalls", [0.0, 0.4])
def test_verilog_module(tmp_path, stalls):
    """After its reset it starts at cycle 0, as any component does."""
    (tmp_path / "slice.v").write_text(SLICE)
    shape = axi_stream(data.ArrayLayout(4, 3), last=True)
    module = VerilogModule(
        files=[tmp_path / "slice.v"],
        top="slice",
        ports={"s": In(shape), "m": Out(shape), "count": Out(8)},
        clock="aclk",
        reset="aresetn",
        reset_low=True,
        reset_cycles=3,
    )
    seed = 8
    beats = np.random.default_rng(seed).integers(0, [15, 15, 15, 2], (40, 4))
    stimulus = Stimulus({"s": beats}, {"m": 40}, stalls=stalls, seed=seed, until=module.count == 45)
    recording = compiled_engine.run(module, stimulus)
    assert np.array_equal(recording.outputs["m"].codes - beats, [[0, 1, 0, 0]] * 40), f"{seed}"
    if not stalls:
        assert recording.inputs["s"].cycles.tolist() == [*range(40)]
        assert recording.outputs["m"].cycles.tolist() == [*range(1, 41)]


def test_generated_verilog(tmp_path):
    """A pipeline's Verilog takes as many cycles as the pipeline."""
    network = random_network(5)
    design = build(network, Streaming(multipliers=200))
    frames = design.plan.input, design.plan.output
    shapes = []
    for frame in frames:
        fields = {"codes": beat_layout(frame), "pad": -frame.lanes * frame.bits % 8}
        shapes.append(data.StructLayout(fields))
    module = VerilogModule(
        files=[path for path in design.write_verilog(tmp_path) if path.suffix == ".v"],
        top=design.name,
        ports={
            "s_axis": In(axi_stream(shapes[0])),
            "m_axis": Out(axi_stream(shapes[1], last=True)),
        },
    )
    images = images_for(network, 3, 0)
    beats = frames[0].to_beats(input_codes(network, images))
    beats = np.pad(beats, ((0, 0), (0, len(elements_of(shapes[0])) - frames[0].lanes)))
    count = 3 * frames[1].beats
    recording = compiled_engine.run(module, Stimulus({"s_axis": beats}, {"m_axis": count}))
    result = simulate(design, images)
    values = recording.outputs["m_axis"].values
    assert np.array_equal(frames[1].from_beats(values[:, : frames[1].lanes]), result.outputs)
    assert np.flatnonzero(values[:, -1]).tolist() == [k * frames[1].beats - 1 for k in (1, 2, 3)]
    assert recording.cycles == result.cycles


# What the code depends on


def test_code_is_the_same_for_all_numbers():
    """A program is kept by its text, which says nothing of beats, counts, seeds, limits."""

    def text(stimulus):
        tandem = Tandem(8)
        return convert(Clocked(harness_of(tandem, stimulus)), name="harness", emit_src=False)

    first = text(Stimulus({"i": [1, 2, 3]}, {"o": 3}, stalls=0.1, seed=1))
    second = text(
        Stimulus({"i": [5] * 1000}, {"o": 999}, stalls=0.9, seed=2, patience=7, limit=10**12)
    )
    assert first == second
    assert text(Stimulus({"i": [1]}, {"o": 1})) != first


def test_no_reset_logic():
    harness = harness_of(Tandem(8), Stimulus({"i": [1]}, {"o": 1}))
    reset = re.compile(r"\\rst\b")
    assert not reset.search(convert(Clocked(harness)))
    assert reset.search(convert(Clocked(harness, reset_cycles=2)))


def test_progress():
    calls = []
    beats = np.zeros((250_000, 1), int)
    compiled_engine.run(
        Evens(), Stimulus({"i": beats}, {"o": 250_000}, progress=lambda *call: calls.append(call))
    )
    assert calls == [(100_000, 100_000), (200_000, 200_000), (250_000, 250_001)]


# Stall patterns


def test_stall_pattern():
    pattern = stall_pattern(7, "i", 0.25)
    assert pattern.shape == (PATTERN_CYCLES,) and pattern.dtype == np.uint8
    # The same for ever: recordings of today are those of tomorrow.
    assert hashlib.sha256(pattern.tobytes()).hexdigest()[:16] == "3c397eefb0e43098"
    # Five standard deviations of a binomial distribution.
    assert abs(int(pattern.sum()) - 16384) < 5 * 111
    others = [
        stall_pattern(8, "i", 0.25),
        stall_pattern(7, "o", 0.25),
        stall_pattern(7, "i", 0.25, 1),
    ]
    for other in others:
        assert abs(int((pattern & other).sum()) - 4096) < 5 * 62
    assert not stall_pattern(7, "i", 0.0).any()
    assert not (stall_pattern(7, "i", 0.2) & ~pattern & 1).any()


# Buffers


class Copy(wiring.Component):
    """Adds ``source[k]`` to ``target[k]`` in cycle k."""

    def __init__(self, width):
        self._width = width
        super().__init__({"index": Out(32)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.source = source = Load(name="source", width=self._width, shared=True)
        m.submodules.old = old = Load(name="target", width=self._width, shared=False)
        m.submodules.target = target = Store(name="target", width=self._width, shared=False)
        m.d.sync += self.index.eq(self.index + 1)
        m.d.comb += [
            source.address.eq(self.index),
            old.address.eq(self.index),
            target.address.eq(self.index),
            target.data.eq(source.data + old.data),
            target.enable.eq(self.index != 1),
        ]
        return m


@pytest.mark.parametrize("width", [1, 7, 8, 31, 64])
def test_buffers(width):
    """Words before the store; 0 and nothing beyond the end; words not enabled stay."""
    rng = np.random.default_rng(width)
    source, target = (rng.integers(0, 1 << width, n, np.uint64) for n in (4, 6))
    memories = Memories({"source": source, "target": target})
    result = []

    async def bench(ctx):
        await ctx.tick().repeat(10)
        result.extend(ctx.get(memories.data["target"][k]) for k in range(6))

    simulator = Simulator(memories.fragment(Copy(width)))
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    expected = [int(word) for word in target]
    for k in (0, 2, 3):
        expected[k] = (expected[k] + int(source[k])) % (1 << width)
    assert result == expected

    simulation = compile_component(Clocked(Copy(width)), lanes=2).simulation()
    simulation.buffers["source"] = source
    simulation.buffers["target"] = np.stack([target, target], axis=1)
    simulation.run(10)
    for lane in range(2):
        assert simulation.buffers["target"][:, lane].tolist() == expected


def test_buffer_errors():
    with pytest.raises(ValueError, match=r"^width must lie in \[1, 64\], not 65$"):
        Load(name="b", width=65, shared=True)
    with pytest.raises(ValueError, match=r"^buffer 'source' has no contents$"):
        Memories({"target": [0]}).fragment(Copy(8))
