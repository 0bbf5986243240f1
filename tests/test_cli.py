import json
import os
import re
import subprocess
import sys
from functools import partial

import numpy as np
import onnx
import pandas as pd
import PIL.Image
import pytest

import hwsim
from hwsim import cli, networks, validation
from hwsim.data import bundled
from hwsim.models import calibrate

ACCEPTED_MODELS = (
    "give an ONNX file, a bundled network (digits, lenet5, mnist_cnn), a known one "
    f"({', '.join(networks.NAMES)}) or a notation such as 28x28-20C5-MP2-500N-10, "
    "784-500-10-sigmoid or cifar10-5x64-3x32"
)
COMMANDS = (
    "demo",
    "info",
    "quantize",
    "verilog",
    "compile",
    "simulate",
    "pictures",
    "estimate",
    "synth",
    "devices",
    "filter",
    "explore",
    "validate",
    "report",
    "compare",
    "prove",
    "calibrate",
)
ARRAY = ("--rows", 4, "--cols", 4, "--buffer-bytes", 1024)


@pytest.fixture
def command(capsys):
    """Run the command; returns (exit status, standard output, standard error)."""

    def run(*arguments):
        with pytest.raises(SystemExit) as left:
            cli.main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return left.value.code, captured.out, captured.err

    return run


@pytest.fixture
def refusal(command):
    """Run a command that is refused; returns the sentence."""

    def run(*arguments):
        status, out, err = command(*arguments)
        assert status == 2
        assert out == ""
        assert err.startswith("hwsim: error: ")
        assert err.endswith("\n")
        assert err.count("\n") == 1
        return err.removeprefix("hwsim: error: ").removesuffix("\n")

    return run


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A float network small enough to simulate in a moment, with images; returns the folder."""
    folder = tmp_path_factory.mktemp("tiny")
    random = np.random.default_rng(3)
    weights = random.normal(size=(2, 1, 3, 3)).astype(np.float32)
    dense = random.normal(size=(3, 8)).astype(np.float32)
    make = onnx.helper.make_node
    graph = onnx.helper.make_graph(
        [
            make("Conv", ["image", "w"], ["c"], "conv", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
            make("Relu", ["c"], ["r"], "relu"),
            make("MaxPool", ["r"], ["p"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
            make("Flatten", ["p"], ["f"], "flatten"),
            make("Gemm", ["f", "d"], ["y"], "dense", transB=1),
        ],
        "tiny",
        [onnx.helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, ["N", 1, 4, 4])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["N", 3])],
        [onnx.numpy_helper.from_array(weights, "w"), onnx.numpy_helper.from_array(dense, "d")],
    )
    opsets = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8), folder / "m.onnx")
    images = random.integers(0, 256, (6, 1, 4, 4), np.uint8)
    np.savez(folder / "images.npz", images=images, labels=np.zeros(6, np.int64))
    return folder


def test_help_names_every_command_and_the_exit_status(command):
    status, out, err = command("--help")
    assert (status, err) == (0, "")
    for name in COMMANDS:
        assert f" {name} " in out
    assert "Exit status: 0 done, 1 negative result, 2 bad input." in out


def test_without_arguments_the_help_appears(command):
    assert command() == command("--help")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_json(command, name):
    status, out, _ = command(name, "--help")
    assert status == 0
    assert "--json" in out


def test_version(command):
    assert command("--version") == (0, f"hwsim {hwsim.__version__}\n", "")


def test_info(command):
    status, out, err = command("info", "lenet5")
    assert (status, err) == (0, "")
    lines = [line.strip("│ ").split() for line in out.splitlines()]
    assert ["conv2", "│", "Conv", "│", *"1 x 16 x 10 x 10 │ 2,416 │ 240,000".split()] in lines
    assert lines[-2] == "total │ │ │ 61,706 │ 416,520".split()


def test_info_json(command):
    status, out, _ = command("info", bundled("lenet5/lenet5.onnx"), "--json")
    assert status == 0
    result = json.loads(out)
    assert out.count("\n") == 1
    assert result["params"] == 61706
    assert result["macs"] == 416520
    assert result["layers"][0] == {
        "name": "conv1",
        "op": "Conv",
        "output_shape": [1, 6, 28, 28],
        "params": 156,
        "macs": 117600,
    }


def test_info_geometry(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    status, out, err = command("info", "lenet5", "--geometry")
    assert (status, err) == (0, "")
    lines = [line.strip("│ ").split() for line in out.splitlines()]
    expected = "conv2 │ Conv │ 1 x 16 x 10 x 10 │ 14 │ 2 │ -2 │ 2,416 │ 240,000 │ 1,883,200"
    assert any(line[:23] == expected.split() for line in lines)
    _, out, _ = command("info", "lenet5", "--geometry", "--json")
    layer = json.loads(out)["layers"][3]
    assert layer["name"] == "conv2"
    found = [layer[name] for name in ("receptive_field", "jump", "start")]
    assert found == [[14, 14], [2, 2], [-2, -2]]
    assert layer["dense_params"] == 6 * 14 * 14 * 1600 + 1600


def test_info_reports_what_strides_leave_out(command, tmp_path):
    note = (
        "MaxPool 'Pooling160': on axes 2 and 3 a stride of 3 leaves 2 of 14 positions out: "
        "(14 - 3) / 3 + 1 = 4.67"
    )
    report = tmp_path / "r.html"
    status, out, _ = command("info", "mnist_cnn", "--geometry", "--report", report)
    assert (status, out.count(note + "\n")) == (0, 1)
    assert out.index(note) > out.index("dense MACs")  # behind the table
    page = report.with_suffix(".md").read_text(encoding="utf-8")
    assert " | ".join(note.split(": ", 1)) in page.replace("\\", "")
    assert "their number is rounded down" in page
    assert page.count("| Receptive field | Jump | Start |") == 1
    fields = pd.read_csv(tmp_path / "r-geometry.csv").set_index("name")
    assert fields.loc["Pooling160", "receptive_field"] == "18 x 18"
    assert fields.loc["Convolution28", "dense_macs"] == 28**2 * 8 * 28**2
    _, out, err = command("info", "mnist_cnn", "--json")
    assert json.loads(out)["left_out"] == [note]
    assert note in err
    _, out, _ = command("estimate", "mnist_cnn", "--device", "tpu-v1")
    assert note in out
    _, out, _ = command("estimate", "resnet18", "--device", "v100")
    assert out.count("positions out") == 1
    assert "= 112.50; hwsim info names 7 more\n" in out
    _, out, _ = command("info", "lenet5", "--json")
    assert json.loads(out)["left_out"] == []


def test_known_networks(command):
    _, out, _ = command("info", "resnet50", "--json")
    assert json.loads(out)["params"] == 25_557_032
    _, out, _ = command("info", "48x48-100C3-MP2-200C2-MP2-500N-3755", "--json")
    assert len(json.loads(out)["layers"]) == 10
    _, out, _ = command("info", "cifar10-7x256-7x256-7x256", "--json")
    assert json.loads(out)["macs"] == 600_663_936
    _, out, _ = command("estimate", "vgg16", "--device", "tpu-v1", "--json")
    assert json.loads(out)["devices"][0]["device"] == "tpu-v1"
    _, out, _ = command("info", "alexnet", "--input-shape", "image=2,3,227,227", "--json")
    assert json.loads(out)["macs"] == 2 * 1_135_256_096


def test_a_bundled_network_goes_before_a_known_one(command):
    """The trained one, whose convolution pads images of 28 x 28."""
    _, out, _ = command("info", "lenet5", "--json")
    assert json.loads(out)["layers"][0]["name"] == "conv1"


def test_a_network_without_weights_gets_random_ones_in_hardware(command, tmp_path):
    """And the command says so; it needs no calibration."""
    name, said = "8x8-2C3-MP2-3", "8x8-2C3-MP2-3 has no weights of its own and gets random ones"
    np.savez(tmp_path / "c.npz", images=np.random.default_rng(0).random((4, 1, 8, 8), np.float32))
    images = tmp_path / "c.npz"
    for arguments in (
        ("quantize", name, "--calibration", images, "-o", tmp_path / "q.onnx"),
        ("compile", name, "-o", tmp_path / "program"),
        ("verilog", name, "-o", tmp_path / "verilog"),
        ("simulate", name, "--images", images),
    ):
        status, _, err = command(*arguments)
        assert (status, err) == (0, f"{said}\n")
    constants = hwsim.load(tmp_path / "q.onnx").constants
    weights = [array for array in constants.values() if array.dtype == np.int8 and array.ndim > 1]
    assert [np.abs(array).max() for array in weights] == [127, 127]
    assert any((tmp_path / "program/constants.bin").read_bytes())
    status, out, _ = command("estimate", name, "--device", "zu9eg", "--json")
    assert status == 0
    note, *_ = json.loads(out)["devices"][0]["notes"]
    assert note == f"{said}; cycles do not depend on them"
    # What is trained stays as it is.
    status, _, err = command("compile", "digits", "--calibration", "digits", "-o", tmp_path / "d")
    assert (status, err) == (0, "")


def test_notation_is_refused(refusal):
    assert refusal("info", "28x28-20D5-10") == (
        "part 2 of 28x28-20D5-10 is '20D5'; accepted: 100C3, MP2 and 500N, with numbers from 1 to "
        "999999"
    )


def test_info_with_an_input_shape(command):
    _, out, _ = command("info", "lenet5", "--input-shape", "image=3,1,28,28", "--json")
    assert json.loads(out)["macs"] == 3 * 416520


@pytest.mark.parametrize("text", ["image", "image=", "=1,2", "image=1,x", "image=0,1", "image=-1"])
def test_info_refuses_an_input_shape(refusal, text):
    assert refusal("info", "lenet5", "--input-shape", text) == (
        f"--input-shape must look like image=1,3,32,32, not {text!r}"
    )


def test_missing_model(refusal, tmp_path):
    path = tmp_path / "m.onnx"
    assert refusal("info", path) == f"{path} does not exist; {ACCEPTED_MODELS}"


def test_missing_images(refusal, tmp_path):
    path = tmp_path / "a.npz"
    assert refusal("simulate", "lenet5", "--images", path) == f"no such file or folder: {path}"


def test_usage_error(refusal):
    assert refusal("info") == "Missing argument 'MODEL'."
    assert refusal("info", "lenet5", "--jsn").startswith("No such option: --jsn")
    assert refusal("inspect").startswith("No such command 'inspect'.")


def test_option_out_of_range(refusal):
    assert refusal("estimate", "lenet5", "--device", "tpu-v1", "--batch", "0") == (
        "Invalid value for '--batch': Input should be greater than or equal to 1"
    )


def test_control_characters_of_a_message_do_not_reach_the_terminal(refusal):
    assert refusal("info", "\033[2Jx\n.onnx") == (
        f"\ufffd[2Jx .onnx does not exist; {ACCEPTED_MODELS}"
    )


def test_names_in_a_model_are_no_markup(command, tmp_path):
    model = onnx.load(bundled("lenet5/lenet5.onnx"))
    model.graph.node[0].name = "[red]x[/red]"
    onnx.save(model, tmp_path / "m.onnx")
    status, out, _ = command("info", tmp_path / "m.onnx")
    assert status == 0
    assert "│ [red]x[/red] │" in out


@pytest.mark.parametrize("error", [KeyError("x"), ValueError("from elsewhere"), TypeError("x")])
def test_a_mistake_in_the_program_keeps_its_traceback(monkeypatch, error):
    def broken(*arguments, **options):
        raise error

    monkeypatch.setattr(hwsim, "load", broken)
    with pytest.raises(type(error)) as raised:
        cli.main(["info", "lenet5"])
    assert raised.value is error


def test_a_mistake_that_numpy_finds_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr(hwsim, "load", lambda *a, **o: np.zeros(2) + np.zeros(3))
    with pytest.raises(ValueError, match="could not be broadcast together"):
        cli.main(["info", "lenet5"])


def test_file_that_may_not_be_written(refusal, tiny, tmp_path):
    path = tmp_path / "missing" / "int8.onnx"
    assert refusal(
        "quantize", tiny / "m.onnx", "--calibration", tiny / "images.npz", "-o", path
    ).endswith(": No such file or directory")


def test_devices(command):
    status, out, _ = command("devices")
    assert status == 0
    for name in ("i7-7700k", "gtx-1080-ti", "titan-v", "tpu-v2", "tpu-v1", "ecp5-85f", "zu9eg"):
        assert f"│ {name} " in out


def test_devices_json(command):
    _, out, _ = command("devices", "--json")
    assert {"name": "tpu-v1", "class": "tpu", "title": "Google TPU v1"} in json.loads(out)[
        "devices"
    ]


def test_one_device_shows_its_sources(command):
    _, out, _ = command("devices", "tpu-v1", "--json")
    result = json.loads(out)
    assert result["class"] == "tpu"
    assert {q["name"]: q["value"] for q in result["quantities"]}["rows"] == 256
    assert all(q["source"] for q in result["quantities"])


def test_unknown_device(refusal):
    assert refusal("devices", "tpuv1").startswith("unknown device 'tpuv1' (did you mean 'tpu-v1'?)")


def test_quantize(command, tiny, tmp_path):
    path = tmp_path / "int8.onnx"
    status, out, _ = command(
        "quantize", tiny / "m.onnx", "--calibration", tiny / "images.npz", "-o", path, "--json"
    )
    assert status == 0
    result = json.loads(out)
    assert result["output"] == str(path)
    assert result["calibration_images"] == 6
    onnx.checker.check_model(onnx.load(path))
    assert [entry.name for entry in tmp_path.iterdir()] == ["int8.onnx"]


def test_verilog(command, tiny, tmp_path):
    status, out, _ = command(
        "verilog", tiny / "m.onnx", "--calibration", tiny / "images.npz", "-o", tmp_path, "--json"
    )
    assert status == 0
    result = json.loads(out)
    assert result["top"] == "tiny"
    assert {tmp_path / name for name in result["files"]} == set(tmp_path.iterdir())
    texts = {path.name: path.read_text() for path in tmp_path.glob("*.v")}
    assert result["lines"] == sum(text.count("\n") for text in texts.values())
    assert "module tiny(" in texts["tiny.v"]


def test_verilog_of_a_float_model_needs_calibration(refusal, tiny, tmp_path):
    path = tiny / "m.onnx"
    assert refusal("verilog", path, "-o", tmp_path / "out") == (
        f"{path} is a float network: quantize it with 'hwsim quantize', or give --calibration"
    )
    assert not (tmp_path / "out").exists()


def test_simulate(command, tiny, tmp_path):
    wave = tmp_path / "wave.vcd"
    status, out, err = command(
        "simulate", tiny / "m.onnx", "--images", tiny / "images.npz", "--count", 3, "--wave", wave
    )
    assert (status, err) == (0, "")
    assert "mismatches" in out
    assert wave.read_text().startswith("$")


def test_simulate_json(command, tiny):
    arguments = ["simulate", tiny / "m.onnx", "--images", tiny / "images.npz", "--json"]
    status, out, _ = command(*arguments)
    assert status == 0
    result = json.loads(out)
    assert set(result) == {
        "images",
        "lanes",
        "cycles",
        "cycles_per_image",
        "mismatches",
        "accuracy",
        "seconds",
        "lane_cycles_per_second",
    }
    assert result["images"] == 6
    assert result["mismatches"] == 0
    assert 0 <= result["accuracy"] <= 1
    status, out, _ = command(*arguments, "--stalls", "0.3", "--seed", 5)
    stalled = json.loads(out)
    assert status == stalled["mismatches"] == 0
    assert stalled["accuracy"] == result["accuracy"]
    assert stalled["cycles"] > result["cycles"]


def test_benchmark(command, tiny):
    arguments = ["benchmark", tiny / "m.onnx", "--images", tiny / "images.npz", "--json"]
    status, out, _ = command(*arguments, "--engine", "compiled", "--lanes", 8)
    assert status == 0
    one, many = json.loads(out)["engines"]
    assert (one["engine"], one["lanes"], many["lanes"]) == ("compiled", 1, 8)
    for speed in one, many:
        assert speed["mismatches"] == 0
        assert speed["lane_cycles_per_second"] > 0
        assert speed["images"] >= speed["lanes"]
    assert "not 'abacus'" in command(*arguments, "--engine", "abacus")[2]


def test_simulate_systolic(command, tiny):
    arguments = ["simulate", tiny / "m.onnx", "--images", tiny / "images.npz", "--json"]
    arguments += ["--arch", "systolic", *ARRAY]
    status, out, _ = command(*arguments)
    result = json.loads(out)
    assert status == result["mismatches"] == 0
    assert (result["images"], result["lanes"]) == (6, 6)
    status, out, _ = command(*arguments, "--memory-latency", 80)
    assert json.loads(out)["cycles"] > result["cycles"]


def test_compile(command, tiny, tmp_path):
    arguments = ["compile", tiny / "m.onnx", "--calibration", tiny / "images.npz", *ARRAY]
    status, out, _ = command(*arguments, "-o", tmp_path, "--json")
    assert status == 0
    result = json.loads(out)
    assert set(result) == {"instructions", "constant_bytes", "memory_bytes", "files"}
    names = {"program.lst", "program.bin", "constants.bin", "memory.json"}
    assert {path.name for path in tmp_path.iterdir()} == names
    assert (tmp_path / "program.bin").stat().st_size == 64 * result["instructions"]
    assert "CONVOLVE" in (tmp_path / "program.lst").read_text()
    places = json.loads((tmp_path / "memory.json").read_text())
    assert places["memory_bytes"] == result["memory_bytes"]
    assert len(places["maps"]) == 2


def test_options_of_the_other_architecture(refusal, tiny):
    simulate = ["simulate", tiny / "m.onnx", "--images", tiny / "images.npz"]
    assert refusal(*simulate, "--rows", 4) == "--rows goes with --arch systolic"
    assert refusal(*simulate, "--packed") == "--packed goes with --arch systolic"
    assert refusal(*simulate, "--arch", "systolic", "--multipliers", 4) == (
        "--cycles-per-image and --multipliers go with --arch streaming"
    )


def test_accelerator_that_is_too_small(refusal, tiny):
    simulate = ["simulate", tiny / "m.onnx", "--images", tiny / "images.npz", "--arch", "systolic"]
    assert refusal(*simulate, "--buffer-bytes", 1000) == (
        "buffer_bytes must be a power of two, not 1000"
    )
    assert refusal(*simulate, "--factor-precision", 13) == (
        "factor_precision must be at most 12, not 13"
    )
    assert refusal(*simulate, *ARRAY, "--accumulator-rows", 2) == (
        "accumulator_rows must be at least 4 for layer conv, not 2"
    )


def test_simulate_with_a_mismatch_has_status_1(command, tiny, monkeypatch):
    from hwsim.sim.simulate import Result

    monkeypatch.setattr(Result, "mismatches", 5)
    status, out, _ = command(
        "simulate", tiny / "m.onnx", "--images", tiny / "images.npz", "--count", "1", "--json"
    )
    assert status == 1
    assert json.loads(out)["mismatches"] == 5


@pytest.mark.parametrize(("passed", "wanted"), [(True, 0), (False, 1)])
def test_status_of_the_demo(command, monkeypatch, tmp_path, passed, wanted):
    # tests/test_package.py runs the whole.
    monkeypatch.setattr("hwsim.demo.run", lambda *a, **o: ({"mismatches": 0}, passed))
    status, out, _ = command("demo", "-o", tmp_path, "--json")
    assert (status, json.loads(out)) == (wanted, {"mismatches": 0})


def test_explain(command):
    _, out, _ = command("estimate", "lenet5", "--device", "tpu-v1", "--explain", "conv2")
    assert "conv2 (Conv) on tpu-v1, 1 image" in out


def test_explain_an_unknown_layer(refusal):
    given = ["estimate", "lenet5", "--device", "tpu-v1", "--explain", "conv9", "--json"]
    assert refusal(*given).startswith("there is no layer 'conv9' on tpu-v1; layers are conv1, ")


def test_impossible_folding(refusal, tiny):
    given = ["simulate", tiny / "m.onnx", "--images", tiny / "images.npz"]
    assert refusal(*given, "--cycles-per-image", 9, "--multipliers", 9) == (
        "give --cycles-per-image or --multipliers, not both"
    )
    assert "cycles_per_image" in refusal(*given, "--cycles-per-image", 1)


def test_synth(command, tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("HWSIM_CACHE", str(tmp_path / "kept"))
    model = (tiny / "m.onnx", "--calibration", tiny / "images.npz", "--multipliers", 3)
    options = ("--part", "ecp5-25f", "--no-place", "-o", tmp_path / "out", "--json")
    report = tmp_path / "r.html"
    status, out, _ = command("synth", *model, *options, "--report", report)
    assert status == 0
    result = json.loads(out)
    assert (result["part"], result["fmax_hz"], result["fits"]) == ("ecp5-25f", None, True)
    assert result["lut"] > 300
    assert result["dsp"] >= 3
    assert (tmp_path / "out" / "tiny.core").is_file()
    assert result["report"] == str(report)
    assert f"| LUT | {result['lut']:,} | 24,288 |" in report.with_suffix(".md").read_text()
    # The tables, and a part that is too small; nothing runs again.
    monkeypatch.setattr("hwsim.synth.parts._PARTS", {"ecp5-25f": ("ecp5", (), "")})
    small = "hwsim.models.devices.Device.__getitem__"
    monkeypatch.setattr(small, lambda self, name: 1)
    status, out, _ = command("synth", *model, "--part", "ecp5-25f", "--no-place")
    assert status == 1
    assert "DSPs, but ecp5-25f has 1" in out
    assert " conv " in out


def test_synth_refuses(refusal):
    assert refusal("synth", "lenet5", "--part", "ecp5").startswith(
        "unknown part 'ecp5': parts are ecp5-25f, "
    )
    assert refusal("synth", "lenet5", "--part", "zu3eg") == (
        "lenet5 is a float network: quantize it with 'hwsim quantize', or give --calibration"
    )


def test_validate(command, tmp_path):
    status, out, _ = command("validate", "counts", "-o", tmp_path, "--json")
    assert status == 0
    result = json.loads(out)
    (check,) = result["checks"]
    assert (check["name"], check["exact"], check["holds"]) == ("counts", True, True)
    assert check["groups"][-1]["points"] == 828
    assert {path.name for path in tmp_path.iterdir()} == {
        "validation.html",
        "validation.md",
        "validation-counts.csv",
        "validation-counts-points.csv",
    }


def test_a_check_that_does_not_hold_is_a_negative_result(command, tmp_path, monkeypatch):
    points = pd.DataFrame([["a", "one", 1, 2]], columns=["group", "point", "predicted", "measured"])
    wrong = validation.Check("wrong", "Wrong", "cycles", points, "a book", exact=True)
    monkeypatch.setattr(validation, "CHECKS", {"wrong": lambda: wrong})
    status, out, _ = command("validate", "-o", tmp_path)
    assert status == 1
    assert "exact" in out


def test_validate_names_the_checks(refusal):
    found = refusal("validate", "count", "-o", "nowhere")
    assert found.startswith("there is no check 'count'; checks are counts, ")


@pytest.fixture
def two(command, tmp_path):
    """Two results of one command, as files."""
    paths = []
    for batch in 1, 2:
        _, out, _ = command("estimate", "lenet5", "--device", "tpu-v1", "--batch", batch, "--json")
        paths.append(tmp_path / f"{batch}.json")
        paths[-1].write_text(out)
    return paths


def test_compare(command, two):
    status, out, err = command("compare", *two)
    assert (status, err) == (1, "")
    rows = [line.strip("│ ").split(" │ ") for line in out.splitlines()]
    (row,) = [row for row in rows if row[0].strip() == "devices[tpu-v1].batch"]
    assert [part.strip() for part in row[1:]] == ["1", "2", "1", "100"]
    assert re.fullmatch(r"\d+ of \d+ quantities differ", out.splitlines()[-1])


def test_compare_json(command, two, tmp_path):
    status, out, _ = command("compare", *two, "--json", "--report", tmp_path / "x" / "r.html")
    assert status == 1
    result = json.loads(out)
    assert result["different"] == len(result["differences"]) > 5
    assert result["differences"][0] == {
        "quantity": "devices[tpu-v1].batch",
        "first": 1,
        "second": 2,
        "difference": 1,
        "difference_percent": 100,
    }
    assert result["missing"] == []
    assert result["report"] == str(tmp_path / "x" / "r.html")
    assert "devices[tpu-v1].batch" in (tmp_path / "x" / "r-differences.csv").read_text()


def test_compare_equal_results(command, two):
    status, out, _ = command("compare", two[0], two[0])
    assert status == 0
    assert re.fullmatch(r"0 of \d+ quantities differ\n", out)
    # Whatever differs by less, or is left out.
    status, out, _ = command("compare", *two, "--tolerance", "1000")
    assert status == 0
    status, out, _ = command("compare", *two, "--ignore", "devices[tpu-v1].*")
    assert status == 0


def test_compare_refuses(refusal, two, tmp_path):
    text = tmp_path / "x.txt"
    text.write_text("[1]")
    assert refusal("compare", two[0], text) == (
        f"{text} is not a result: a JSON object, as a command prints with --json, or a .csv"
    )
    assert refusal("compare", two[0], tmp_path / "none.json").endswith("No such file or directory")
    assert refusal("compare", *two, "--report", "r.pdf") == (
        "a report's path must end in .html, not 'r.pdf'"
    )


@pytest.mark.parametrize(
    ("arguments", "titles"),
    [
        (["info", "M"], ["Network tiny"]),
        (["estimate", "M", "--device", "tpu-v1"], ["Network tiny", "Devices"]),
        (
            ["simulate", "M", "--images", "I", "--multipliers", "8"],
            ["Network tiny", "Streaming pipeline", "Simulation"],
        ),
        (
            ["simulate", "M", "--images", "I", "--arch", "systolic", "--rows", "4", "--cols", "4"],
            ["Network tiny", "Systolic accelerator", "Simulation"],
        ),
    ],
)
def test_reports_of_commands(command, tiny, tmp_path, arguments, titles):
    places = {"M": tiny / "m.onnx", "I": tiny / "images.npz"}
    arguments = [places.get(argument, argument) for argument in arguments]
    status, out, _ = command(*arguments, "--report", tmp_path / "r.html", "--json")
    assert status == 0
    assert json.loads(out)["report"] == str(tmp_path / "r.html")
    page = (tmp_path / "r.md").read_text()
    assert re.findall("^## (.*)$", page, re.M) == titles


@pytest.mark.parametrize("arch", ["streaming", "systolic"])
def test_report(command, tiny, tmp_path, arch):
    options = ["--rows", "4", "--cols", "4"] if arch == "systolic" else ["--multipliers", "8"]
    status, out, err = command(
        "report",
        tiny / "m.onnx",
        *("--images", tiny / "images.npz", "--count", 2, "--arch", arch, *options),
        *("--device", "tpu-v1", "--device", "zu9eg", "-o", tmp_path / "r.html"),
    )
    assert (status, err) == (0, "")
    assert out.endswith("r.html: report, with Markdown and CSV beside it\n")
    page = (tmp_path / "r.md").read_text()
    assert re.findall("^## (.*)$", page, re.M) == [
        "Network tiny",
        "Streaming pipeline" if arch == "streaming" else "Systolic accelerator",
        "Simulation",
        "Estimated against simulated",
        "Devices",
    ]
    assert "- Largest difference: 0 %" in page


def test_report_of_layers_alone(command, tmp_path):
    status, out, _ = command("report", "alexnet", "-o", tmp_path / "r.html", "--json")
    assert status == 0
    assert json.loads(out) == {"mismatches": None, "report": str(tmp_path / "r.html")}
    assert re.findall("^## (.*)$", (tmp_path / "r.md").read_text(), re.M) == ["Network alexnet"]


def test_prove(command, tmp_path):
    pytest.importorskip("z3", reason="the solver is an extra")
    status, out, _ = command("prove", "queue-2", "residual-3x3", "-o", tmp_path / "no", "--json")
    assert status == 0
    first, second = json.loads(out)["proofs"]
    assert (first["name"], first["method"], first["depth"]) == ("queue-2", "induction", 3)
    assert (second["name"], second["method"]) == ("residual-3x3", "marked graph")
    assert first["holds"] and second["holds"] and first["seconds"] > 0
    assert not (tmp_path / "no").exists()


def test_a_proof_that_fails_is_a_negative_result(command, tmp_path):
    pytest.importorskip("z3", reason="the solver is an extra")
    status, out, _ = command("prove", "add", "--depth", 1, "-o", tmp_path)
    assert status == 1
    assert "not proven" in out
    assert (tmp_path / "add.vcd").read_text().startswith("$")


def test_prove_names_the_proofs(refusal):
    found = refusal("prove", "queue")
    assert found.startswith("there is no proof 'queue'; proofs are queue-1, queue-2, ")


def test_prove_needs_a_solver(refusal, monkeypatch, tmp_path):
    monkeypatch.setattr("hwsim.formal.solver._path", lambda: str(tmp_path))
    assert refusal("prove", "queue-2") == (
        'a proof needs the solver z3: install hwsim with the extra "formal"'
    )


def test_estimate(command):
    status, out, _ = command("estimate", "lenet5", "--device", "tpu-v1", "--batch", 4)
    assert status == 0
    assert "tpu-v1" in out


def test_estimate_of_a_training_step(command):
    given = ["estimate", "lenet5", "--device", "v100", "--training", "--optimizer", "adam"]
    status, out, _ = command(*given, "--explain", "conv2.weight_gradient")
    assert status == 0
    assert "conv2.weight_gradient (Conv) on v100, 1 image, fp32, weight gradient of a" in out
    assert "\n  energy    " in out
    _, out, _ = command(*given, "--json")
    (device,) = json.loads(out)["devices"]
    assert device["training"] is True
    assert {layer["phase"] for layer in device["layers"]} == {
        "forward",
        "input gradient",
        "weight gradient",
        "update",
    }


def test_estimate_of_epochs(command):
    given = ["estimate", "lenet5", "--device", "zu9eg", "--batch", 16, "--dataset-size", 100]
    _, out, _ = command(*given, "--training", "--epochs", 3, "--json")
    (device,) = json.loads(out)["devices"]
    assert device["epoch_s"] == pytest.approx(7 * device["latency_s"], rel=1e-12)
    assert device["training_s"] == 3 * device["epoch_s"]
    assert device["latency_s"] == device["cycles"] / 100e6


@pytest.mark.parametrize("parallel", ["data", "features", "space"])
def test_training_on_several_fpgas(command, parallel):
    given = ["estimate", "lenet5", "--device", "zu9eg", "--batch", 32, "--training"]
    given += ["--devices-in-parallel", 2, "--link-bandwidth", 10, "--parallel", parallel]
    _, out, _ = command(*given, "--clock-mhz", 50, "--dataset-size", 320, "--epochs", 3, "--json")
    (device,) = json.loads(out)["devices"]
    found = device["parallel"]
    assert (found["kind"], found["devices"]) == (parallel, 2)
    assert found["notes"] == []
    assert found["epoch_s"] == pytest.approx(10 * found["latency_s"], rel=1e-12)
    assert found["training_s"] == 3 * found["epoch_s"] < device["training_s"]


def test_a_training_step_in_integers(command):
    given = ["estimate", "lenet5", "--device", "tpu-v1", "--training", "--dataset-size", 600]
    _, out, _ = command(*given, "--json")
    (device,) = json.loads(out)["devices"]
    assert device["precision"] == "int16"
    assert device["notes"][0] == (
        "tpu-v1 has no float data type: the step is taken in int16, in which 'hwsim train' learns"
    )
    assert device["epoch_s"] == pytest.approx(600 * device["latency_s"], rel=1e-12)


def test_estimate_of_requests_over_time(command):
    given = ["estimate", "lenet5", "--device", "gtx-1080-ti", "--device", "tpu-v1"]
    given += ["--requests-per-second", 20000, "--requests", 500, "--max-batch", 8, "--seed", 3]
    status, out, _ = command(*given)
    assert status == 0
    assert "500 requests" in out
    assert "99 % within" in out
    _, out, _ = command(*given, "--max-wait", 0.1, "--json")
    for device in json.loads(out)["devices"]:
        found = device["serving"]
        assert (found["requests_per_second"], found["seed"]) == (20000, 3)
        assert (found["requests"], found["max_batch"], found["max_wait_s"]) == (500, 8, 0.0001)
        shares = [found[f"latency_p{share}_s"] for share in (50, 90, 95, 99)]
        assert shares == sorted(shares)
        assert 0 < found["utilization"] <= 1


def test_requests_without_a_rate(refusal):
    given = ["estimate", "lenet5", "--device", "v100"]
    assert refusal(*given, "--requests-per-second", 0) == (
        "requests_per_s must be positive and finite, not 0.0"
    )
    assert refusal(*given, "--requests-per-second", 5, "--training") == (
        "--requests-per-second is for inference; leave --training out"
    )


def test_estimate_of_several_devices(command):
    given = ["estimate", "lenet5", "--device", "v100", "--batch", 64]
    several = ["--devices-in-parallel", 2, "--link-bandwidth", 25]
    status, out, _ = command(*given, "--training", *several, "--link-latency", 2)
    assert status == 0
    assert "2 x v100" in out
    kinds = ("data", "exchange_bytes"), ("features", "exchanges"), ("space", "exchanges")
    for kind, wanted in (*kinds, ("pipeline", "links")):
        _, out, _ = command(*given, *several, "--parallel", kind, "--json")
        (device,) = json.loads(out)["devices"]
        assert device["parallel"]["kind"] == kind
        assert device["parallel"]["devices"] == 2
        assert wanted in device["parallel"]


def test_pictures(command, refusal, tmp_path):
    given = ["pictures", "lenet5", "--images", "lenet5", "-o", tmp_path / "seen.html"]
    more = ["--layer", "pool1", "--position", 3, 4, "--shift", 2, "--index", 5]
    status, out, _ = command(*given, *more, "--json")
    assert status == 0
    found = json.loads(out)
    assert found["mismatches"] == 0
    assert [path.rpartition("/")[2] for path in found["files"]] == [
        "seen.html",
        "seen.md",
        "seen-feature-maps.csv",
        "seen-shifts.csv",
        "seen-unit.csv",
    ]
    assert "Receptive field of pool1" in (tmp_path / "seen.html").read_text(encoding="utf-8")
    assert refusal(*given, "--index", 5000).startswith("--index must be at most ")
    assert refusal(*given, "--layer", "conv9") == (
        "there is no map of layer 'conv9'; layers are conv1, pool1, conv2, pool2"
    )
    assert refusal(*given[:-1], "seen.txt") == "a report's path must end in .html, not 'seen.txt'"


def test_perceptrons_take_images(command, tmp_path):
    given = ["784-4-10-sigmoid", "--images", "lenet5"]
    for name, *more in (
        ("simulate", "--count", 2),
        ("train", "--count", 20, "--steps", 1, "--batch", 4, "--lanes", 4),
    ):
        status, out, _ = command(name, *given, *more, "--json")
        found = json.loads(out)
        assert (status, found["mismatches"]) == (0, 0)
    status, _, err = command("pictures", *given, "-o", tmp_path / "seen.html")
    assert status == 2
    assert err.endswith(": 784-4-10-sigmoid has no convolution whose kernels could be shown\n")


def test_time_of_training(command, refusal):
    given = ["estimate", "lenet5", "--device", "v100", "--batch", 64, "--dataset-size", 1000]
    several = ["--devices-in-parallel", 2, "--link-bandwidth", 25, "--parallel", "features"]
    status, out, _ = command(*given, "--training", "--epochs", 30, *several)
    assert status == 0
    assert "30 epochs" in out
    _, out, _ = command(*given, "--training")
    assert " epoch " in out and "1 epoch" not in out
    _, out, _ = command(*given, "--training", "--epochs", 30, *several, "--json")
    (device,) = json.loads(out)["devices"]
    for found in (device, device["parallel"]):
        assert found["steps_per_epoch"] == 16
        assert found["epoch_s"] == 16 * found["latency_s"]
        assert found["training_s"] == 30 * found["epoch_s"]
    assert refusal(*given) == "--dataset-size is of training; give --training too"
    assert refusal(*given[:-2], "--training", "--epochs", 1) == (
        "--epochs is of a data set; give --dataset-size too"
    )


def test_tables_of_an_estimate_are_in_its_report(command, tmp_path):
    """Several devices, the time of training and requests over time, in both forms."""
    path = tmp_path / "r.html"
    several = ["--devices-in-parallel", 2, "--link-bandwidth", 25, "--report", path]
    given = ["estimate", "lenet5", "--device", "v100", "--batch", 64, *several]
    training = ["--training", "--dataset-size", 1000, "--epochs", 30, "--parallel", "space"]
    _, out, _ = command(*given, *training)
    assert "2 x v100" in out and "space (rows)" in out
    _, out, _ = command(*given, *training, "--json")
    (device,) = json.loads(out)["devices"]
    found = device["parallel"]
    parallel = pd.read_csv(tmp_path / "r-parallel.csv").to_dict("records")
    assert parallel == [
        {
            "device": "2 x v100",
            "split": "space (rows)",
            "latency_ms": 1000 * found["latency_s"],
            "exchange_ms": 1000 * found["exchange_s"],
            "throughput_images_per_s": found["throughput_images_per_s"],
            "speedup": found["speedup"],
            "efficiency_percent": 100 * found["efficiency"],
        }
    ]
    times = pd.read_csv(tmp_path / "r-training.csv").to_dict("records")
    columns = ("steps_per_epoch", "epoch_s", "training_s")
    assert times == [
        {"device": name, **{column: entry[column] for column in columns}}
        for name, entry in (("v100", device), ("2 x v100", found))
    ]
    for page in path, path.with_suffix(".md"):
        text = page.read_text(encoding="utf-8")
        assert all(title in text for title in ("Several devices", "Time of training"))
    assert "\n- Images of an epoch: 1,000\n- Epochs: 30\n" in text
    assert " An exchange is a part of the latency, in which nothing is computed.\n" in text
    command(*given, *training[:3])
    assert list(pd.read_csv(tmp_path / "r-training.csv")) == ["device", *columns[:2]]

    serving = ["--parallel", "pipeline", "--requests-per-second", 5000, "--requests", 50]
    _, out, _ = command(*given, *serving, "--json")
    found = json.loads(out)["devices"][0]["serving"]
    (row,) = pd.read_csv(tmp_path / "r-serving.csv").to_dict("records")
    assert row["latency_p99_ms"] == 1000 * found["latency_p99_s"]
    assert (row["mean_batch"], row["longest_queue"]) == (found["batch_mean"], found["queue_max"])
    text = path.with_suffix(".md").read_text(encoding="utf-8")
    assert "\n- Requests: 50\n- Arrivals per second: 5,000\n" in text
    assert "pipeline (layers)" in text and "one by one" in text and "xchange" not in text


def test_several_devices_need_a_link(refusal):
    given = ["estimate", "lenet5", "--device", "v100", "--batch", 2]
    message = "--devices-in-parallel and --link-bandwidth go together"
    assert refusal(*given, "--devices-in-parallel", 2) == message
    assert refusal(*given, "--link-bandwidth", 2) == message
    given += ["--devices-in-parallel", 2]
    assert refusal(*given, "--link-bandwidth", -1) == ("--link-bandwidth must be positive, not -1")


def test_estimate_json(command):
    status, out, _ = command(
        "estimate", "lenet5", "--device", "i7-7700k", "--device", "gtx-1080-ti", "--json"
    )
    assert status == 0
    found = json.loads(out)["devices"]
    assert [device["device"] for device in found] == ["i7-7700k", "gtx-1080-ti"]
    for device in found:
        assert {"class", "latency_s", "throughput_images_per_s", "bound"} <= device.keys()
        assert len(device["layers"]) > 0
        for layer in device["layers"]:
            assert {
                "name",
                "op",
                "seconds",
                "macs",
                "bytes",
                "utilization",
                "bound",
            } <= layer.keys()


def test_estimate_on_some_cores(command, refusal):
    times = []
    for cores in (1, 4):
        _, out, _ = command(
            "estimate", "lenet5", "--device", "i7-7700k", "--batch", 64, "--cores", cores, "--json"
        )
        times.append(json.loads(out)["devices"][0]["latency_s"])
    assert times[0] > times[1]
    given = ["estimate", "lenet5", "--device", "i7-7700k", "--cores", 5]
    assert refusal(*given) == "i7-7700k has 4 cores, not 5"


def test_calibrate(command, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    quick = partial(calibrate.calibrate_cpu, seconds=0.02, buffer_bytes=2**20)
    monkeypatch.setattr(calibrate, "calibrate_cpu", quick)
    status, out, _ = command("calibrate", "cpu", "--json")
    found = json.loads(out)
    assert status == 0
    assert found["name"] == "this-machine"
    assert found["file"] == str(tmp_path / "hwsim" / "devices" / "this-machine.toml")
    assert {q["name"] for q in found["quantities"]} >= {"cores", "clock", "memory_bandwidth"}
    status, out, _ = command("estimate", "lenet5", "--device", "this-machine")
    assert status == 0
    assert "this-machine" in out
    status, out, _ = command("calibrate", "cpu", "-o", tmp_path / "other.toml")
    assert status == 0
    assert f"{tmp_path / 'other.toml'}: estimate with --device" in "".join(out.split("\n"))


def test_estimate_on_this_machine_before_it_is_calibrated(refusal, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert refusal("estimate", "lenet5", "--device", "this-machine") == (
        "this-machine has not been measured yet: run hwsim calibrate cpu"
    )


def test_estimate_on_an_unknown_device(refusal):
    assert refusal("estimate", "lenet5", "--device", "tpu-v9").startswith(
        "unknown device 'tpu-v9' (did you mean 'tpu-v"
    )


def test_output_into_a_closed_pipe():
    done = subprocess.run(
        f"{sys.executable} -m hwsim devices | true",
        shell=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        check=False,
    )
    assert "Traceback" not in done.stderr


# ------------------------------------------------------------------------ filter


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    """A picture in colour, 13 rows of 17 pixels; returns its path and its pixels."""
    pixels = np.random.default_rng(5).integers(0, 256, (13, 17, 3), np.uint8)
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    PIL.Image.fromarray(pixels).save(path)
    return path, pixels


def read(path):
    return np.asarray(PIL.Image.open(path))


def test_filter(command, photo, tmp_path):
    path, pixels = photo
    output, folder, report = tmp_path / "out.png", tmp_path / "rtl", tmp_path / "r.html"
    status, out, _ = command(
        *("filter", path, "--kernel", "sobel-x", "--border", "edge", "--map", "signed"),
        *("-o", output, "--verilog", folder, "--report", report, "--json"),
    )
    assert status == 0
    assert out.count("\n") == 1
    result = json.loads(out)
    wide = np.pad(pixels.astype(int), ((1, 1), (1, 1), (0, 0)), mode="edge")
    smooth = wide[:-2] + 2 * wide[1:-1] + wide[2:]
    assert np.array_equal(read(output), (smooth[:, 2:] - smooth[:, :-2]) // 8 + 128)
    expected = {
        "width": 17,
        "height": 13,
        "output_width": 17,
        "output_height": 13,
        "cycles": result["planned_cycles"],
        "planned_cycles": 254,
        "cycles_per_pixel": 254 / 221,
        "mismatches": 0,
        "seconds": result["seconds"],
        "fraction_bits": 3,
        "error_bound_steps": 0.0,
        "left_out": [],
    }
    files = result.pop("files")
    assert result == expected
    assert files[0] == str(output)
    assert files[1] == str(folder / "sobel_x.v")
    assert {str(path) for path in tmp_path.rglob("*") if path.is_file()} == set(files)
    page = report.read_text(encoding="utf-8")
    assert "module sobel_x(" in page
    assert page.count("<img ") == 2


def test_filter_reports_what_is_left_out(command, photo, tmp_path):
    path, _ = photo
    output = tmp_path / "out.pgm"
    status, out, _ = command(
        *("filter", path, "--grey", "average", "--block", "max", "--size", "5", "-o", output)
    )
    assert status == 0
    assert "a stride of 5 leaves 3 of 13 rows out: (13 - 5) / 5 + 1 = 2.60\n" in out
    assert read(output).shape == (2, 3)


@pytest.mark.parametrize("as_file", [False, True])
def test_filter_with_coefficients(command, photo, tmp_path, as_file):
    path, pixels = photo
    rows = "0 0 0; 0 1/2 0; 0 0 0"
    if as_file:
        rows = tmp_path / "k.csv"
        rows.write_text("0,0,0\n0,.5,0\n0,0,0\n")
    output = tmp_path / "out.png"
    status, _, _ = command("filter", path, "--coefficients", rows, "-o", output)
    assert status == 0
    assert np.array_equal(read(output), pixels // 2)


def test_filter_prints_the_error_of_its_kernel(command, photo):
    path, _ = photo
    status, out, _ = command("filter", path, "--kernel", "mean")
    assert status == 0
    assert re.search(r"fraction bits +│? *12 ", out)
    assert re.search(r"error bound steps +│? *0\.1107 ", out)


def test_filter_scales_sums_of_blocks(command, photo, tmp_path):
    path, pixels = photo
    output = tmp_path / "out.png"
    options = ("--block", "sum", "--size", "4", "--scale", "0.25", "--offset", "-300")
    status, out, _ = command("filter", path, *options, "-o", output)
    assert status == 0
    assert "error bound" not in out
    sums = pixels[:12, :16].astype(int).reshape(3, 4, 4, 4, 3).sum(axis=(1, 3))
    assert np.array_equal(read(output), np.clip(sums // 4 - 300, 0, 255))


def test_filter_that_differs_from_the_reference(command, photo, monkeypatch):
    path, _ = photo
    monkeypatch.setattr("hwsim.filters.FilterResult.mismatches", 3)
    status, out, _ = command("filter", path, "--kernel", "mean", "--json")
    assert status == 1
    assert json.loads(out)["mismatches"] == 3


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([], "a filter needs a kernel, grey or block, and none is given"),
        (
            ["--kernel", "blur"],
            "there is no kernel 'blur'; kernels are mean, mean-5, gaussian, gaussian-5, sharpen, "
            "sobel-x, sobel-y, sobel-diagonal, sobel-antidiagonal, edge",
        ),
        (
            ["--kernel", "mean", "--coefficients", "1"],
            "give --kernel or --coefficients, not both",
        ),
        (
            ["--coefficients", "x"],
            "coefficients must be rows of numbers, such as '0 -1 0; -1 5 -1; 0 -1 0', not 'x'",
        ),
        (["--coefficients", "none.csv"], "none.csv: No such file or directory"),
        (
            ["--coefficients", ";".join(["1"] * 14), "--border", "valid"],
            "a kernel of 14 x 1 does not fit a picture of 13 x 17 pixels",
        ),
        (
            ["--kernel", "mean", "--border", "valid", "--stride", "4", "--strict"],
            "in strict mode strides must fit, but a stride of 4 leaves 2 of 13 rows out: "
            "(13 - 3) / 4 + 1 = 3.50",
        ),
        (
            ["--kernel", "mean", "-o", "out.jpg"],
            "a picture's path must end in .bmp, .png, .ppm, .tif, not 'out.jpg'",
        ),
        (
            ["--kernel", "mean", "--report", "out.pdf"],
            "a report's path must end in .html, not 'out.pdf'",
        ),
    ],
)
def test_filter_refuses(refusal, photo, options, sentence):
    assert refusal("filter", photo[0], *options) == sentence


def test_filter_refuses_grey_of_grey(refusal, tmp_path):
    path = tmp_path / "grey.png"
    PIL.Image.fromarray(np.zeros((4, 4), np.uint8)).save(path)
    message = "grey needs a picture in colour, with 3 channels, not 1"
    output = tmp_path / "out.png"
    assert refusal("filter", path, "--grey", "lightness") == message
    assert refusal("filter", path, "--grey", "lightness", "-o", output) == message
    assert not output.exists()


def test_filter_refuses_what_is_no_picture(refusal, tmp_path):
    path = tmp_path / "x.png"
    assert refusal("filter", path, "--kernel", "mean") == f"no such picture: {path}"
    path.write_bytes(b"not a picture")
    assert refusal("filter", path, "--kernel", "mean").startswith(
        f"{path} is not a picture that can be read: cannot identify image file"
    )
