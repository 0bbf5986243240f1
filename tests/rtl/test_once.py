"""Components elaborated once: the text, and that it means the same."""

import gc
import random
import re

import numpy as np
import pytest
from amaranth.back import rtlil
from amaranth.hdl import ClockDomain, DomainRenamer, Module, signed, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from benchmarks.systolic_array import Array, reference
from hwsim.rtl.once import Once, Shared, convert
from hwsim.sim.compiled.frontend import graph_of_rtlil
from tests.sim.interpreter import Interpreter


class Accumulator(wiring.Component):
    """``o`` is the sum of ``i`` so far, and ``both`` a stream passed on."""

    elaborated = 0

    def __init__(self, *, width=8, domain="sync"):
        self.width = width
        self.domain = domain
        super().__init__(
            {
                "i": In(signed(width)),
                "o": Out(signed(width)),
                "nothing": In(0),
                "from_": In(stream.Signature(4)),
                "to": Out(stream.Signature(4)),
            }
        )

    def elaborate(self, platform):
        type(self).elaborated += 1
        m = Module()
        m.d[self.domain] += self.o.eq(self.o + self.i)
        wiring.connect(m, wiring.flipped(self.from_), wiring.flipped(self.to))
        return m


class Wire(wiring.Component):
    i: In(3)
    o: Out(3)

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.o.eq(self.i)
        return m


class Chain(wiring.Component):
    """Accumulators one after the other, of the given widths; a stream goes through them all."""

    def __init__(self, *, widths, domain="sync"):
        self.widths = widths
        self.domain = domain
        super().__init__(
            {
                "i": In(signed(8)),
                "o": Out(signed(8)),
                "from_": In(stream.Signature(4)),
                "to": Out(stream.Signature(4)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        value, channel = self.i, wiring.flipped(self.from_)
        for k, width in enumerate(self.widths):
            m.submodules[f"part_{k}"] = part = Once(Accumulator, width=width, domain=self.domain)
            m.d.comb += part.i.eq(value)
            wiring.connect(m, channel, part.from_)
            value, channel = part.o, part.to
        m.d.comb += self.o.eq(value)
        wiring.connect(m, channel, wiring.flipped(self.to))
        return m


class Nested(Chain):
    """Chains of two, one after the other."""

    def elaborate(self, platform):
        m = Module()
        value, channel = self.i, wiring.flipped(self.from_)
        for k in range(3):
            m.submodules[f"chain_{k}"] = chain = Once(Chain, widths=self.widths)
            m.d.comb += chain.i.eq(value)
            wiring.connect(m, channel, chain.from_)
            value, channel = chain.o, chain.to
        m.d.comb += self.o.eq(value)
        wiring.connect(m, channel, wiring.flipped(self.to))
        return m


def modules(text):
    return re.findall(r"^module \\(\S+)$", text, re.MULTILINE)


def cells(text):
    """Types of the instances, with their names."""
    return re.findall(r"^  cell \\(\S+) \\(\S+)$", text, re.MULTILINE)


def ports(text, module):
    body = text.split(f"\nmodule \\{module}\n")[1].split("\nend\n")[0]
    return set(re.findall(r"(?:input|output) \d+ [^\\]*\\(\S+)$", body, re.MULTILINE))


def outputs(text, rows):
    interpreter = Interpreter(graph_of_rtlil(text, "\\top"))
    return [interpreter.step(row) for row in rows]


def same_behaviour(make, seed):
    """The shared text does in 40 cycles what Amaranth's own does."""
    draw = random.Random(seed)
    names = {"i": 8, "rst": 1, "from___valid": 1, "from___payload": 4, "to__ready": 1}
    rows = [{name: draw.getrandbits(bits) for name, bits in names.items()} for _ in range(40)]
    for row in rows:
        row["rst"] &= draw.getrandbits(1) & draw.getrandbits(1)
    expected = outputs(rtlil.convert(make(), name="top"), rows)
    assert outputs(convert(make()), rows) == expected, f"seed {seed}"
    assert len({row["o"] for row in expected}) > 5


def test_elaborated_once():
    Accumulator.elaborated = 0
    text = convert(Chain(widths=(8,) * 20))
    assert Accumulator.elaborated == 1
    assert modules(text) == ["top", "accumulator"]
    assert cells(text) == [("accumulator", f"part_{k}") for k in range(20)]


def test_each_configuration_has_a_module():
    text = convert(Chain(widths=(8, 9, 8, 10, 9)))
    assert modules(text) == ["top", "accumulator", "accumulator_2", "accumulator_3"]
    assert [kind for kind, _ in cells(text)] == [
        "accumulator",
        "accumulator_2",
        "accumulator",
        "accumulator_3",
        "accumulator_2",
    ]


def test_nested_modules_come_first():
    platform = Shared()
    text = rtlil.convert(Nested(widths=(8, 8)), platform=platform)
    assert modules(text) == ["top"]
    assert list(platform.modules) == ["accumulator", "chain"]
    assert [modules(text) for text in platform.modules.values()] == [["accumulator"], ["chain"]]
    assert modules(convert(Nested(widths=(8, 8)))) == ["top", "accumulator", "chain"]


def test_own_submodules_are_part_of_the_text():
    class Holder(wiring.Component):
        i: In(3)
        o: Out(3)

        def elaborate(self, platform):
            m = Module()
            m.submodules.inner = inner = Accumulator(width=3)
            m.d.comb += [inner.i.eq(self.i), self.o.eq(inner.o + 1)]
            return m

    class Top(Holder):
        def elaborate(self, platform):
            m = Module()
            m.submodules.holder = holder = Once(Holder)
            m.d.comb += [holder.i.eq(self.i), self.o.eq(holder.o)]
            return m

    text = convert(Top(), name="array")
    assert modules(text) == ["array", "holder", "holder.inner"]
    # There is one top.
    assert text.count("attribute \\top") == 1
    text = text.replace("\\array", "\\top")
    assert outputs(text, [{"i": 5, "rst": 0}] * 3) == [{"o": 1}, {"o": 6}, {"o": 3}]


def test_names_that_are_taken():
    assert modules(convert(Chain(widths=(8,)), name="accumulator")) == [
        "accumulator",
        "accumulator_2",
    ]
    platform = Shared(reserved=("accumulator", "accumulator_2"))
    rtlil.convert(Chain(widths=(8,)), platform=platform)
    assert list(platform.modules) == ["accumulator_3"]


def test_top_may_be_used_once():
    assert modules(convert(Once(Wire))) == ["top"]
    assert ports(convert(Once(Wire)), "top") == {"i", "o"}


@pytest.mark.parametrize("emit_src", [False, True])
def test_sources(emit_src):
    text = convert(Chain(widths=(8,)), emit_src=emit_src)
    for module in text.split("\nmodule ")[1:]:
        assert ("attribute \\src" in module) == emit_src


def test_ports_and_attributes_are_the_components():
    once = Once(Accumulator, width=5)
    assert once.component.width == once.width == 5
    assert once.i is once.component.i
    assert once.signature == once.component.signature
    with pytest.raises(AttributeError):
        once.missing  # noqa: B018
    assert convert(once)


def test_clock_and_reset_only_where_they_are_used():
    class Top(Wire):
        def elaborate(self, platform):
            m = Module()
            m.submodules.wire = wire = Once(Wire)
            m.submodules.part = Once(Accumulator)
            m.d.comb += [wire.i.eq(self.i), self.o.eq(wire.o)]
            return m

    text = convert(Top())
    assert ports(text, "wire") == {"i", "o"}
    assert {"clk", "rst"} < ports(text, "accumulator")
    assert re.search(r"cell \\wire \\wire\n    connect \\i .*\n    connect \\o .*\n  end", text)


@pytest.mark.parametrize("renamed", [False, True])
def test_domains(renamed):
    """A component of a domain of its own, and one that is moved to it."""

    class Top(wiring.Component):
        i: In(signed(8))
        clk: In(1)

        def elaborate(self, platform):
            m = Module()
            m.domains.fast = domain = ClockDomain(reset_less=True)
            m.d.comb += domain.clk.eq(self.clk)
            if renamed:
                part = Once(Accumulator)
                m.submodules.part = DomainRenamer("fast")(part)
            else:
                m.submodules.part = part = Once(Accumulator, domain="fast")
            m.d.comb += part.i.eq(self.i)
            return m

    text = convert(Top())
    cell = re.search(r"cell \\accumulator .*?\n  end", text, re.DOTALL)[0]
    prefix = "" if renamed else "fast_"
    assert f"connect \\{prefix}clk \\clk [0]\n" in cell or f"connect \\{prefix}clk \\clk\n" in cell
    assert f"connect \\{prefix}rst 1'0\n" in cell


def test_unhashable_parameters():
    with pytest.raises(
        TypeError,
        match=r"^parameters of Chain must be hashable to be elaborated once: "
        r"unhashable type: 'list'$",
    ):
        Once(Chain, widths=[8, 8])


@pytest.mark.parametrize("seed", range(3))
def test_chain_does_what_it_does_otherwise(seed):
    same_behaviour(lambda: Chain(widths=(8, 6, 8, 11)), seed)


@pytest.mark.parametrize("seed", range(3))
def test_nested_does_what_it_does_otherwise(seed):
    same_behaviour(lambda: Nested(widths=(8, 7)), seed)


@pytest.mark.parametrize("seed", range(4))
def test_memories_are_written_as_by_amaranth(seed):
    draw = random.Random(seed)

    class Memories(wiring.Component):
        i: In(8)
        o: Out(8)

        def elaborate(self, platform):
            m = Module()
            for k in range(6):
                shape = draw.choice([unsigned(draw.randint(0, 70)), signed(draw.randint(1, 70))])
                depth = draw.randint(0, 9)
                low = -(1 << shape.width >> 1) if shape.signed else 0
                words = [draw.randint(low, low + (1 << shape.width) - 1) for _ in range(depth)]
                memory = Memory(shape=shape, depth=depth, init=words[: draw.randint(0, depth)])
                m.submodules[f"memory_{k}"] = memory
                port = memory.read_port()
                m.d.comb += [port.addr.eq(self.i), self.o[k].eq(port.data)]
            return m

    state = draw.getstate()
    texts = []
    for write in (rtlil.convert, convert):
        draw.setstate(state)
        texts.append(write(Memories(), name="top"))
    assert texts[0] == texts[1], f"seed {seed}"
    assert texts[0].count("$meminit_v2") == 6
    # And Amaranth has its own method again.
    assert rtlil.ModuleEmitter.emit_memory.__module__ == rtlil.__name__


def test_collection_of_garbage_is_on_again():
    class Broken(Wire):
        def elaborate(self, platform):
            raise RuntimeError("broken")

    assert gc.isenabled()
    convert(Chain(widths=(8,)))
    assert gc.isenabled()
    with pytest.raises(RuntimeError, match=r"^broken$"):
        convert(Broken())
    assert gc.isenabled()
    gc.disable()
    try:
        convert(Chain(widths=(8,)))
        assert not gc.isenabled()
    finally:
        gc.enable()


def packed(codes):
    return int.from_bytes(np.asarray(codes, np.int8).tobytes(), "little")


def fold(array, activations, valid, weights):
    """Inputs for vectors that come while the next weights are loaded; None as the last of these."""
    rows = len(activations)
    start = rows - 1 - array.rows
    for k in range(rows):
        row = {"a": packed(activations[k]), "a_valid": int(valid[k]), "load": 0, "w": 0, "swap": 0}
        if weights is not None:
            if 0 <= k - start < array.rows:
                row |= {"load": 1, "w": packed(weights[::-1][k - start])}
            row["swap"] = int(k == rows - 1)
        yield row | {"rst": 0}


@pytest.mark.parametrize(
    ("rows", "cols"), [(1, 1), (1, 2), (2, 1), (3, 5), (4, 4), (7, 2), (5, 17), (17, 3), (18, 18)]
)
def test_systolic_array(rows, cols, seed=7):
    """Folds of the least length, the extremes first: results and latency."""
    draw = np.random.default_rng(seed)
    array = Array(rows=rows, cols=cols)
    folds, length = 3, max(rows + 1, 2 * rows + cols - 2)
    weights = draw.integers(-128, 128, (folds, rows, cols))
    activations = draw.integers(-128, 128, (folds, length, rows))
    weights[0] = activations[0] = -128
    valid = draw.random((folds, length)) < 0.7
    idle = np.zeros((rows + 1, rows), int), np.zeros(rows + 1, bool)
    stimulus = [*fold(array, *idle, weights[0])]
    for k in range(folds):
        stimulus += fold(array, activations[k], valid[k], [*weights, None][k + 1])
    stimulus += fold(array, np.zeros((rows + cols, rows)), [False] * (rows + cols), None)
    found = outputs(convert(array), stimulus)
    fed = [cycle for cycle, row in enumerate(stimulus) if row["a_valid"]]
    came = [cycle for cycle, row in enumerate(found) if row["y_valid"]]
    assert came == [cycle + array.latency for cycle in fed]
    width = array.width
    codes = [[found[t]["y"] >> width * c & (1 << width) - 1 for c in range(cols)] for t in came]
    expected = [reference(activations[k][valid[k]], weights[k]) for k in range(folds)]
    assert np.array_equal(codes, np.concatenate(expected) & (1 << width) - 1)


class Numbered(wiring.Component):
    """Adds a number, of no bits where there is but one."""

    def __init__(self, *, bits):
        super().__init__({"number": In(bits), "i": In(4), "o": Out(4)})

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.o.eq(self.i + self.number)
        return m


class Pair(wiring.Component):
    """Two of them."""

    o: Out(4)

    def elaborate(self, platform):
        m = Module()
        value = 0
        for k in range(2):
            m.submodules[f"part_{k}"] = part = Once(Numbered, bits=0)
            m.d.comb += [part.number.eq(0), part.i.eq(value)]
            value = part.o
        m.d.comb += self.o.eq(value)
        return m


def test_no_port_without_bits():
    """Verilog has no port of no bits."""
    top, _, module = convert(Pair()).partition("\nmodule \\numbered\n")
    assert re.findall(r"wire width (\d+) input \d+ +\\(i|number)", module) == [("4", "i")]
    assert top.count("cell \\numbered ") == 2
    assert "    connect \\number " not in top
