"""Runs of Yosys and nextpnr on a design of two multipliers."""

import json
import subprocess
from pathlib import Path

import pytest
import yaml

import hwsim
from hwsim.rtl.delay import Delay
from hwsim.rtl.verilog import convert
from hwsim.synth import parts, synthesize
from hwsim.synth.count import count
from hwsim.synth.netlist import Memory, Netlist, synthesize_netlist, unit_of
from hwsim.synth.place import critical_path, signal
from hwsim.synth.project import project_files
from hwsim.synth.tools import ToolError, find


@pytest.fixture(scope="module")
def on_ecp5(design, cache):
    return synthesize(design, "ecp5-25f", speed_grade=8, target_hz=50e6)


@pytest.fixture(scope="module")
def on_ice40(design, cache):
    return synthesize(design, "ice40up5k")


def test_ecp5(on_ecp5, design):
    result = on_ecp5
    # The two products of the convolution, and the scaling of its sum.
    assert (result.dsp, result.bram, result.fits) == (3, 0, True)
    assert result.lut > 100
    assert result.ff > 200
    used = result.placement.utilization
    # What is placed is the design and its wrapper: 10 + 2 x 11 + 2 flip-flops, 11 look-up tables.
    assert used["MULT18X18D"][0] == result.dsp
    assert used["TRELLIS_FF"][0] == result.ff + 34
    assert result.lut <= used["TRELLIS_COMB"][0] <= result.lut + 60
    assert used["TRELLIS_IO"][0] == 4
    assert 20e6 < result.fmax_hz < 400e6
    assert result.placement.bitstream.startswith(b"\xff\x00Part: LFE5U-25F-8CABGA381")
    assert result.tools.keys() == {"yosys", "nextpnr-ecp5", "ecppack"}


def test_report(on_ice40):
    (section,) = hwsim.report(on_ice40).sections
    assert section.title == "tiny on ice40up5k"
    table = section.tables["resources"].set_index("resource")
    assert list(table.index) == ["LUT", "FF", "DSP", "block RAM"]
    assert table["used"].tolist() == [getattr(on_ice40, n) for n in ("lut", "ff", "dsp", "bram")]
    shown, paths = section.figures.values()
    sums = [sum(shares) for shares in zip(*(unit.x for unit in shown.data), strict=True)]
    assert sums == pytest.approx(table["share_percent"].tolist())
    assert section.facts["Fastest clock"] == f"{on_ice40.fmax_hz / 1e6:.1f} MHz"
    assert max(paths.data[0].x) == pytest.approx(1e9 * on_ice40.timing["delay_s"].max())
    steps = section.tables["critical-path"]["delay_ns"]
    assert steps.sum() == pytest.approx(1e9 * on_ice40.critical_path.delay_s)


def test_critical_path_has_the_names_of_the_design(on_ecp5, design):
    path = on_ecp5.critical_path
    assert path.delay_s == pytest.approx(sum(step.delay_s for step in path.steps))
    assert path.delay_s == pytest.approx(path.logic_s + path.routing_s)
    assert path.delay_s == pytest.approx(1 / on_ecp5.fmax_hz, rel=0.01)
    text = "".join(design.verilog.files.values())
    for end in (path.source, path.sink):
        assert end.split(".")[0] in ("conv1", "position")
        assert end.split(".")[-1] in text
    assert {path.source_unit, path.sink_unit} <= {"conv1", "top"}
    timing = on_ecp5.timing
    assert timing.columns.tolist() == ["register", "unit", "delay_s"]
    assert timing["delay_s"].is_monotonic_decreasing
    # The critical path may end at the wrapper, which the table leaves out.
    assert timing["delay_s"].iloc[0] <= path.delay_s * 1.001
    if path.sink_unit != "wrapper":
        # The table leaves out what a register needs before the clock edge.
        arrives = path.delay_s - sum(step.delay_s for step in path.steps if step.kind == "setup")
        (delay,) = timing.loc[timing["register"] == path.sink, "delay_s"]
        assert arrives * 0.999 <= delay <= path.delay_s * 1.001


def test_ice40(on_ice40):
    result = on_ice40
    assert (result.dsp, result.fits) == (3, True)
    assert result.placement.utilization["ICESTORM_DSP"] == (3, 8)
    assert result.placement.bitstream[:4] == b"\xff\x00\x00\xff"
    # There is no distributed RAM on this part.
    assert result.warnings == (
        "memory conv1.mac.queue.fifo.storage (8 x 8 bits) lies in flip-flops",
        "memory conv1.window.delay_5.ring (4 x 8 bits) lies in flip-flops",
    )


def test_seven_series_is_synthesized_only(design, cache):
    result = synthesize(design, "zynq-7020")
    assert result.fmax_hz is None
    assert result.critical_path is None
    assert 2 <= result.dsp <= 3
    assert result.to_dict()["available"] == {"lut": 53200, "ff": 106400, "dsp": 220, "bram": 280}


def test_parts_of_the_design_add_up(on_ecp5, on_ice40):
    for result in (on_ecp5, on_ice40):
        frame = result.frame
        for name in ("lut", "ff", "dsp", "bram", "carry"):
            assert frame[name].sum() == getattr(result, name)
        assert set(frame["unit"]) == {"conv1", "top"}


def test_memories(on_ecp5):
    memories = on_ecp5.memories.set_index("memory")
    assert memories.loc["conv1.mac.queue.fifo.storage"].to_dict() == {
        "width": 8,
        "depth": 8,
        "written": True,
        "place": "distributed RAM",
    }
    assert memories.loc["conv1.mac.weights", "place"] == "logic"


def test_the_same_run_is_not_repeated(on_ecp5, design, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a tool ran")

    monkeypatch.setattr(subprocess, "run", refuse)
    again = synthesize(design, "ecp5-25f", speed_grade="8", target_hz=50e6)
    assert again.to_dict() == on_ecp5.to_dict()
    assert again.placement == on_ecp5.placement
    with pytest.raises(AssertionError, match="a tool ran"):
        synthesize(design, "ecp5-25f", speed_grade="8", target_hz=50e6, seed=2)


def test_written_files(on_ecp5, design, tmp_path):
    files = {path.name for path in on_ecp5.write(tmp_path)}
    assert files == {
        *design.verilog.files,
        "tiny_pins.v",
        "tiny.core",
        "tiny.tcl",
        "tiny.xdc",
        "tiny.bit",
        "tiny_nextpnr.json",
        "tiny_nextpnr.log",
        "tiny_synthesis.json",
    }
    kept = json.loads((tmp_path / "tiny_synthesis.json").read_text())
    assert kept["lut"] == on_ecp5.lut
    assert (tmp_path / "tiny.bit").read_bytes() == on_ecp5.placement.bitstream


def test_core_names_every_file(design):
    verilog = design.verilog
    files = project_files(verilog, parts.load("ecp5-25f"), 50e6, "6", 3)
    assert files["tiny.core"].startswith("CAPI=2:\n")
    core = yaml.safe_load(files["tiny.core"].replace("CAPI=2:", "", 1))
    assert core["name"].startswith("hwsim:designs:tiny:")
    assert core["filesets"]["rtl"]["files"] == [n for n in verilog.files if n.endswith(".v")]
    memories = [name for name in verilog.files if name.endswith(".mem")]
    assert core["filesets"]["memories"]["files"] == [{n: {"copyto": n}} for n in memories]
    for target in core["targets"].values():
        assert set(target["filesets"]) <= core["filesets"].keys()
    ecp5 = core["targets"]["ecp5"]
    assert ecp5["toplevel"] == "tiny_pins"
    assert ecp5["tools"]["trellis"]["nextpnr_options"][:2] == ["--25k", "--package"]
    assert core["targets"]["vivado"]["tools"]["vivado"]["part"].startswith("xc7z020")


def test_vivado_script_reads_every_file(design):
    files = project_files(design.verilog, parts.load("zu3eg"), 250e6)
    words = [line.split() for line in files["tiny.tcl"].splitlines() if not line.startswith("#")]
    read = [line[1] for line in words if line[0] == "read_verilog"]
    assert read == [*(n for n in design.verilog.files if n.endswith(".v")), "tiny_pins.v"]
    assert words[0] == ["create_project", "-in_memory", "-part", "xczu3eg-sbva484-1-e"]
    assert [line[0] for line in words].index("synth_design") > len(read)
    assert files["tiny.xdc"].splitlines()[-1] == (
        "create_clock -name clk -period 4.000 [get_ports clk]"
    )


def test_too_large_is_no_error(design, monkeypatch):
    cells = {"LUT4": 30_000, "MULT18X18D": 29, "DP16KD": 56}
    large = Netlist(cells, {"conv1": cells}, (), "")
    monkeypatch.setattr("hwsim.synth.run._netlist", lambda *_: large)
    result = synthesize(design, "ecp5-25f")
    assert not result.fits
    assert result.placement is None
    assert result.problems == (
        "needs 30,000 look-up tables, but ecp5-25f has 24,288",
        "needs 29 DSPs, but ecp5-25f has 28",
    )


def test_what_nextpnr_cannot_place_does_not_fit(design, cache, on_ecp5, monkeypatch):
    def fail(*args):
        raise ToolError(
            "nextpnr-ecp5", "Info: x\nERROR: Unable to place cell 'a', no BELs remaining"
        )

    monkeypatch.setattr("hwsim.synth.run._placement", fail)
    assert synthesize(design, "ecp5-25f").problems == (
        "ecp5-25f: nextpnr-ecp5 failed: ERROR: Unable to place cell 'a', no BELs remaining",
    )


def test_other_errors_of_tools_are_ours(design, cache, on_ecp5, monkeypatch):
    def fail(*args):
        raise ToolError("nextpnr-ecp5", "ERROR: cannot open file")

    monkeypatch.setattr("hwsim.synth.run._placement", fail)
    with pytest.raises(ToolError) as failed:
        synthesize(design, "ecp5-25f")
    assert str(failed.value) == "nextpnr-ecp5 failed: ERROR: cannot open file"


@pytest.mark.parametrize(
    ("part", "options", "message"),
    [
        (
            "ecp5",
            {},
            "unknown part 'ecp5': parts are ecp5-25f, ecp5-45f, ecp5-85f, ice40up5k, zynq-7020, "
            "vx485t, zu3eg, zu7ev, zu9eg, alveo-u250",
        ),
        ("ecp5-25f", {"speed_grade": 5}, "speed_grade must be 6, 7, 8, not 5"),
        (
            "ice40up5k",
            {"speed_grade": 6},
            "speed grades are for ECP5 parts; ice40up5k has none to choose from",
        ),
        ("ecp5-25f", {"seed": -1}, "seed must be an integer of at least 0, not -1"),
        ("ecp5-25f", {"seed": 1 << 31}, "seed must be at most 2147483647, not 2147483648"),
        ("ecp5-25f", {"target_hz": 1.0}, "target_hz must lie in [1e6, 2e9], not 1"),
    ],
)
def test_refused(design, part, options, message):
    with pytest.raises(ValueError) as refused:
        synthesize(design, part, **options)
    assert str(refused.value) == message


def test_missing_tool(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError) as refused:
        find.__wrapped__("nextpnr-ice40")
    assert str(refused.value) == (
        "nextpnr-ice40 is not installed: install it with 'pip install hwsim[synth]'"
    )


def test_a_native_tool_comes_first(tmp_path, monkeypatch):
    tool = tmp_path / "icepack"
    tool.write_text("#!/bin/sh\necho packed $*\n")
    tool.chmod(0o755)
    placer = tmp_path / "nextpnr-ice40"
    placer.write_text('#!/bin/sh\necho "nextpnr-ice40  --  Next (Version 9.9)" >&2\n')
    placer.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = find.__wrapped__("icepack")
    assert found.version == "nextpnr-ice40 -- Next (Version 9.9)"
    assert found.command == (str(tool),)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert found.run(["a", "b"], Path(tmp_path)) == "packed a b\n"


def test_signal_names():
    names = {
        "design.pipeline.conv2.mac.sum_0_4_0_TRELLIS_FF_Q_13_DI_CCU2C_S1_A0_LUT4_Z": (
            "conv2.mac.sum_0_4_0"
        ),
        "design.pipeline.fc1.mac.weights.0.19": "fc1.mac.weights",
        "design.pipeline.fc1.mac.weights.0.19_DOA9_LUT4_Z_1": "fc1.mac.weights",
        "design.pipeline.pool.window.delay_24.ring.0.6$DPRAM_COMB3": "pool.window.delay_24.ring",
        "design.position_TRELLIS_FF_Q_1": "position",
        "design.accelerator.matrix.y_SB_DFF_Q_D_SB_LUT4_O_LC": "matrix.y",
        "design.pipeline.conv1.window.out_column[3]": "conv1.window.out_column",
    }
    assert {name: signal(name) for name in names} == names


def test_units():
    assert unit_of("design.pipeline.conv2.mac.sum_0") == "conv2"
    assert unit_of("design.accelerator.matrix.y") == "matrix"
    assert unit_of("design.position_TRELLIS_FF_Q_1") == "top"
    assert unit_of("stimulus_TRELLIS_FF_Q") == "wrapper"


def test_counts():
    found = count(
        {"LUT4": 10, "CCU2C": 3, "TRELLIS_DPR16X4": 2, "PFUMX": 5, "TRELLIS_FF": 7, "DP16KD": 1},
        parts.FAMILIES["ecp5"],
    )
    assert found == {"lut": 10 + 6 + 12, "ff": 7, "dsp": 0, "bram": 1, "carry": 3}
    found = count({"RAMB36E1": 2, "RAMB18E1": 1, "LUT6": 4, "RAM32M": 1}, parts.FAMILIES["xc7"])
    assert found == {"lut": 8, "ff": 0, "dsp": 0, "bram": 5, "carry": 0}


def test_warnings_name_what_lies_badly():
    memories = (
        Memory("a.ring", 8, 100, True, "flip-flops"),
        Memory("a.storage", 8, 2, True, "flip-flops"),
        Memory("b.weights", 400, 48, False, "logic"),
        Memory("c.biases", 8, 4, False, "logic"),
        Memory("d.storage", 8, 100, True, "distributed RAM"),
    )
    assert Netlist({}, {}, memories, "").warnings == (
        "memory a.ring (100 x 8 bits) lies in flip-flops",
        "table b.weights (48 x 400 bits) lies in look-up tables",
    )


def test_no_path_between_registers():
    assert (
        critical_path({"critical_paths": [{"from": "<async>", "to": "<async>", "path": []}]})
        is None
    )


@pytest.mark.parametrize(("steps", "place"), [(33, "distributed RAM"), (34, "block RAM")])
def test_long_delay_lines_lie_in_block_ram(steps, place):
    netlist = synthesize_netlist(convert(Delay(4, steps), "line"), parts.FAMILIES["ecp5"])
    (ring,) = netlist.memories
    assert (ring.name, ring.width, ring.depth, ring.place) == ("ring", 4, steps - 1, place)
    # Two indices, and two registers behind the memory unless they are its own.
    bits = (steps - 2).bit_length()
    assert netlist.cells["TRELLIS_FF"] == 2 * bits + (8 if place == "distributed RAM" else 0)
