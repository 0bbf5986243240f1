"""What a clumsy or hostile user gives is refused in one sentence; nothing is left half-written.

Refusals of single modules stand with those modules' tests. Here it is the whole command that is
looked at, for inputs of every kind.
"""

import io
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import zipfile

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import hwsim
from hwsim import cli, networks
from hwsim.rtl.streaming import Design, _identifier, _instance_names
from hwsim.rtl.verilog import RESERVED, Verilog

NODE = helper.make_node
X = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 8, 8])]
Y = [helper.make_empty_tensor_value_info("y")]
RANDOM = np.random.default_rng(3)
WEIGHTS = numpy_helper.from_array(RANDOM.normal(size=(2, 1, 3, 3)).astype(np.float32), "w")


def model(nodes, inputs=X, outputs=Y, constants=(), opset=17, name="net"):
    graph = helper.make_graph(nodes, name, inputs, outputs, list(constants))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def conv(inputs=X, weights=WEIGHTS, **attributes):
    return model([NODE("Conv", ["x", "w"], ["y"], "conv", **attributes)], inputs, Y, [weights])


def relu(*shape, **options):
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    return model([NODE("Relu", ["x"], ["y"], "relu")], inputs, **options)


def constant(name, *values):
    return numpy_helper.from_array(np.array(values, np.int64), name)


def declared(*shape):
    """A tensor that claims a shape and holds nothing."""
    return TensorProto(name="w", data_type=TensorProto.FLOAT, dims=shape)


def external(location):
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=(2, 1, 3, 3))
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return tensor


def header(shape, dtype="<f4"):
    """The start of an .npy file."""
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npz(**members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content if isinstance(content, bytes) else npy(content))
    return file.getvalue()


def tiny(name="tiny", layer="conv", dense="dense"):
    """A float network small enough to simulate in a moment."""
    nodes = [
        NODE("Conv", ["image", "w"], ["c"], layer, pads=[1, 1, 1, 1]),
        NODE("Relu", ["c"], ["r"], "relu"),
        NODE("MaxPool", ["r"], ["p"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        NODE("Flatten", ["p"], ["f"], "flatten"),
        NODE("Gemm", ["f", "d"], ["y"], dense, transB=1),
    ]
    inputs = [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 1, 4, 4])]
    values = np.random.default_rng(4).normal(size=(3, 8)).astype(np.float32)
    return model(nodes, inputs, Y, [WEIGHTS, numpy_helper.from_array(values, "d")], name=name)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with models and images; tests read it only."""
    folder = tmp_path_factory.mktemp("made")
    onnx.save(tiny(), folder / "float.onnx")
    images = RANDOM.integers(0, 256, (4, 1, 4, 4), np.uint8)
    np.savez(folder / "images.npz", images=images, labels=np.zeros(4, np.int64))
    network = hwsim.load(folder / "float.onnx")
    hwsim.quantize(network, images.astype(np.float32) / 255).save(folder / "int8.onnx")
    return folder


@pytest.fixture
def place(made, tmp_path, monkeypatch):
    """A copy of that folder, which is the current one, so that messages hold no long paths."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def refusal(capsys, place):
    """Run a command that is refused, with and without --json; returns the sentence."""

    def run(*arguments):
        before = sorted(place.rglob("*"))
        found = []
        for more in ([], ["--json"]):
            with pytest.raises(SystemExit) as left:
                cli.main([*map(str, arguments), *more])
            out, err = capsys.readouterr()
            assert (left.value.code, out) == (2, ""), err
            assert err.startswith("hwsim: error: ")
            assert err.endswith("\n")
            assert err.count("\n") == 1
            found.append(err.removeprefix("hwsim: error: ").removesuffix("\n"))
        assert found[0] == found[1]
        assert sorted(place.rglob("*")) == before
        return found[0]

    return run


DAMAGED = "m.onnx is not an ONNX file, or is damaged"
WINDOW = "is not supported; accepted: a window within the padded input"
MODELS = {
    "nothing": (b"", DAMAGED),
    "text": (b"hello world " * 99, DAMAGED),
    "zeros": (bytes(999), DAMAGED),
    "picture": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), DAMAGED),
    "cut off": (tiny().SerializeToString()[:-99], DAMAGED),
    "no operator set": (
        helper.make_model(relu(1).graph, opset_imports=[helper.make_opsetid("a", 1)]),
        "m.onnx names no operator set; accepted are 11 to {newest}",
    ),
    "operator set 0": (
        relu(1, opset=0),
        "m.onnx has operator set 0; accepted are 11 to {newest}",
    ),
    "operator set to come": (
        relu(1, opset=999),
        "m.onnx has operator set 999; accepted are 11 to {newest}",
    ),
    "type": (
        conv([helper.make_tensor_value_info("x", TensorProto.STRING, [1])]),
        "input 'x' has the element type string, which is not supported; accepted are bool, int2, "
        "uint2, int4, uint4, int8, uint8, int16, uint16, int32, uint32, int64, uint64, float16, "
        "float32, float64",
    ),
    "types that differ": (
        conv(weights=numpy_helper.from_array(np.ones((2, 1, 3, 3)), "w")),
        "Conv 'conv': input 1 of dtype float64 is not supported; accepted: float32, as input 0 has",
    ),
    "dynamic axis": (
        conv([helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 1, "H", 9])]),
        "input 'x' has the dynamic axis 2 (H); give its size, as in input_shapes={{'x': (1, 1, ?, "
        "9)}}",
    ),
    "input twice": (model([NODE("Relu", ["x"], ["y"])], X * 2), "input 'x' is declared twice"),
    "empty axis": (
        conv([helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 0, 8])]),
        "Conv 'conv': a window that spans 3 on axis 2, which has 0 positions and 0 + 0 padded "
        + WINDOW,
    ),
    "cycle": (
        model([NODE("Relu", ["y"], ["z"], "a"), NODE("Relu", ["z"], ["y"], "b")]),
        "Relu 'a': input 'y' is made by no node before it",
    ),
    "huge input": (
        relu(1, 1, 1 << 40),
        "input 'x' has the shape (1, 1, 1099511627776); accepted are at most 4,294,967,296 "
        "elements",
    ),
    "huge padding": (
        conv(pads=[1 << 40] * 4),
        "Conv 'conv': the output has the shape (1, 2, 2199023255558, 2199023255558); accepted are "
        "at most 4,294,967,296 elements",
    ),
    "huge dilation": (
        conv(dilations=[1 << 62] * 2),
        "Conv 'conv': a window that spans 9223372036854775809 on axis 2, which has 8 positions and "
        f"0 + 0 padded {WINDOW}",
    ),
    "huge weights": (
        conv(weights=declared(1 << 20, 1 << 20, 1, 1)),
        "tensor 'w' does not hold the 1099511627776 values of its shape",
    ),
    "huge constant": (
        model(
            [NODE("ConstantOfShape", ["s"], ["w"], "fill"), NODE("Add", ["x", "w"], ["y"])],
            constants=[constant("s", 1 << 40)],
        ),
        "ConstantOfShape 'fill': the output has the shape (1099511627776,); accepted are at most "
        "4,294,967,296 elements",
    ),
    "huge product": (
        model(
            [
                NODE("ConstantOfShape", ["s"], ["w"]),
                NODE("Mul", ["w", "w"], ["v"], "square"),
                NODE("Add", ["x", "v"], ["y"]),
            ],
            constants=[constant("s", 1 << 30)],
        ),
        "Mul 'square': the output has the shape (1073741824,); accepted are at most 536,870,912 "
        "elements",
    ),
    "slice": (
        model(
            [NODE("Slice", ["s", "s", "s", "z", "z"], ["w"], "cut"), NODE("Add", "xw", ["y"])],
            constants=[constant("s", 1), constant("z", 0)],
        ),
        "Slice 'cut': starts = [1], ends = [1], axes = [0], steps = [0] is not supported; "
        "accepted: as many of each, and steps that are not 0",
    ),
    "file outside": (
        conv(weights=external("../secret")),
        "m.onnx: tensor 'w' is stored in '../secret', outside the model's folder; accepted are "
        "files within it",
    ),
    "link outside": (
        conv(weights=external("link")),
        "m.onnx: tensor 'w' is stored in 'link', outside the model's folder; accepted are files "
        "within it",
    ),
    "line break in a name": (
        relu(1, name="a\n$finish"),
        "m.onnx holds the name 'a\\n$finish'; accepted are printable characters",
    ),
    "escape sequence in a name": (
        relu(1, name="\033[2J"),
        "m.onnx holds the name '\\x1b[2J'; accepted are printable characters",
    ),
    "direction change in a name": (
        relu(1, name="a\u202eb"),
        "m.onnx holds the name 'a\\u202eb'; accepted are printable characters",
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_model(refusal, place, name):
    content, sentence = MODELS[name]
    content = content if isinstance(content, bytes) else content.SerializeToString()
    (place / "m.onnx").write_bytes(content)
    (place / "link").symlink_to(place.parent)
    newest = onnx.defs.onnx_opset_version()
    assert refusal("info", "m.onnx") == sentence.format(newest=newest)


def test_every_command_refuses_a_damaged_model(refusal, place):
    (place / "m.onnx").write_bytes(b"\x89PNG")
    for arguments in (
        ["info"],
        ["quantize", "--calibration", "images.npz", "-o", "q.onnx"],
        ["verilog", "-o", "verilog"],
        ["simulate", "--images", "images.npz"],
        ["estimate", "--device", "tpu-v1"],
    ):
        assert refusal(arguments[0], "m.onnx", *arguments[1:]) == DAMAGED


ZERO = np.zeros((2, 1, 4, 4), np.float32)
NO_NPZ, NO_NPY = (f"a{s} is not an {s} file that can be read: " for s in (".npz", ".npy"))
IMAGES = {
    "16 bits": (npy(ZERO.astype(np.uint16)), "images in a.npy must be uint8 (0 to 255) or "
                "floating-point, not uint16"),
    "truth values": (npy(ZERO > 0), "images in a.npy must be uint8 (0 to 255) or floating-point, "
                     "not bool"),
    "not a number": (npy(ZERO * np.nan), "images in a.npy must be finite as float32, and some "
                     "values are not"),
    "infinite": (npy(ZERO + np.inf), "images in a.npy must be finite as float32, and some values "
                 "are not"),
    "beyond float32": (npy(ZERO.astype(float) + 1e300), "images in a.npy must be finite as "
                       "float32, and some values are not"),
    "no channels": (npy(ZERO[:, 0]), "images in a.npy must have the shape (N, 1, 4, 4), not "
                    "(2, 4, 4)"),
    "other size": (npy(np.zeros((2, 1, 5, 4))), "images in a.npy must have the shape "
                   "(N, 1, 4, 4), not (2, 1, 5, 4)"),
    "one number": (npy(np.float32(1)), "images in a.npy must have the shape (N, 1, 4, 4), not ()"),
    "none": (npy(ZERO[:0]), "there are no images in a.npy"),
    "empty file": (b"", NO_NPY + "EOF: reading magic string, expected 8 bytes got 0"),
    "objects": (header("(2,)", "|O") + bytes(99), NO_NPY + "Object arrays cannot be loaded when "
                "allow_pickle=False"),
    "claims too much": (header("(1099511627776, 1, 4, 4)") + bytes(99), NO_NPY + "it is cut off"),
    "unknown version": (b"\x93NUMPY\x09\0" + bytes(99), NO_NPY + "it has version 9.0 of the "
                        "format, not 1.0 or 2.0"),
    "no images": (npz(pictures=ZERO), "a.npz must hold an array 'images', and holds pictures"),
    "no arrays": (npz(), "a.npz must hold an array 'images', and holds nothing"),
    "no archive": (b"hello", NO_NPZ + "File is not a zip file"),
    "no array": (npz(images=b"hello, this is no array"), NO_NPZ + "the magic string is not "
                 "correct; expected b'\\x93NUMPY', got b'hello,'"),
    "archive claims too much": (npz(images=header("(30000000000,)", "|u1")), NO_NPZ + "it is cut "
                                "off"),
    "fewer labels": (npz(images=ZERO, labels=np.zeros(1, int)), "labels in a.npz must be integers "
                     "of the shape (2,), not int64 of the shape (1,)"),
    "labels beyond": (npz(images=ZERO, labels=np.array([0, 3])), "labels in a.npz must lie in 0 "
                      "to 2, the classes of tiny, not in 0 to 3"),
    "labels below": (npz(images=ZERO, labels=np.array([-1, 2])), "labels in a.npz must lie in 0 "
                     "to 2, the classes of tiny, not in -1 to 2"),
}  # fmt: skip


@pytest.mark.parametrize("name", IMAGES)
def test_images(refusal, place, name):
    content, sentence = IMAGES[name]
    file = "a.npz" if "a.npz" in sentence else "a.npy"
    (place / file).write_bytes(content)
    assert refusal("simulate", "int8.onnx", "--images", file) == sentence


@pytest.mark.parametrize("depth", [50, 4000])
@pytest.mark.parametrize("opening", ["(", "-"])
def test_images_with_a_header_that_does_not_end(refusal, place, opening, depth):
    (place / "a.npy").write_bytes(header(opening * depth))
    assert refusal("simulate", "int8.onnx", "--images", "a.npy").startswith(NO_NPY)


SIMULATE = ["simulate", "float.onnx", "--images", "images.npz"]
KNOWN = (
    "2x-e5-2630-v3, alveo-u250, e5-2699-v3, ecp5-25f, ecp5-45f, ecp5-85f, eyeriss, gtx-1080, "
    "gtx-1080-ti, gtx-580, h100, h200, i7-6700k, i7-7700k, i7-920, ice40up5k, k80, nvdla-full, "
    "nvdla-large, nvdla-small, p100, t4, titan-v, titan-x-maxwell, titan-x-pascal, tpu-v1, "
    "tpu-v2, tpu-v3, tpu-v5e, v100, vx485t, zu3eg, zu7ev, zu9eg, zynq-7020, and the path of a "
    "file that ends in .toml"
)
COMMANDS = {
    "no such model": (
        ["info", "no.onnx"],
        "no.onnx does not exist; give an ONNX file, a bundled network (digits, lenet5, mnist_cnn), "
        f"a known one ({', '.join(networks.NAMES)}) or a notation such as 28x28-20C5-MP2-500N-10, "
        "784-500-10-sigmoid or cifar10-5x64-3x32",
    ),
    "folder": (["info", "."], ". is a folder; give an ONNX file"),
    "device file": (["info", "/dev/null"], "/dev/null is not an ONNX file, or is damaged"),
    "no such images": (
        ["simulate", "int8.onnx", "--images", "no.npz"],
        "no such file or folder: no.npz",
    ),
    "model as images": (
        ["simulate", "int8.onnx", "--images", "int8.onnx"],
        "images come from an .npz, an .npy or a folder of pictures, not from int8.onnx",
    ),
    "folder without pictures": (
        ["simulate", "int8.onnx", "--images", "."],
        "there are no pictures in . (.bmp, .gif, .jpeg, .jpg, .pgm, .png, .ppm, .tif, .tiff, "
        ".webp)",
    ),
    "shape of an unknown input": (
        ["info", "float.onnx", "--input-shape", "x=1,1,4,4"],
        "input_shapes names 'x', which is not an input; inputs are image",
    ),
    "shape that does not fit": (
        ["info", "float.onnx", "--input-shape", "image=1,1,4"],
        "input_shapes of 'image' is (1, 1, 4); the model accepts (N, 1, 4, 4)",
    ),
    "shape twice": (
        ["info", "float.onnx", *["--input-shape", "image=1,1,4,4"] * 2],
        "--input-shape names 'image' more than once",
    ),
    "shape of many digits": (
        ["info", "float.onnx", "--input-shape", f"image={10**20},1,4,4"],
        f"input 'image' has the shape ({10**20}, 1, 4, 4); accepted are at most 4,294,967,296 "
        "elements",
    ),
    "float network without calibration": (
        ["verilog", "float.onnx", "-o", "v"],
        "float.onnx is a float network: quantize it with 'hwsim quantize', or give --calibration",
    ),
    "quantized twice": (
        ["quantize", "int8.onnx", "--calibration", "images.npz", "-o", "q.onnx"],
        "QuantizeLinear 'image_QuantizeLinear': a network that is quantized already is not "
        "supported; accepted: a float network",
    ),
    "too few cycles": (
        [*SIMULATE, "--cycles-per-image", "15"],
        "cycles_per_image must be at least 16 for layer conv, not 15",
    ),
    "too few multipliers": (
        [*SIMULATE, "--multipliers", "1"],
        "multipliers must be at least 2 for tiny, not 1",
    ),
    "both": (
        [*SIMULATE, "--cycles-per-image", "99", "--multipliers", "9"],
        "give --cycles-per-image or --multipliers, not both",
    ),
    "stalls without end": (
        [*SIMULATE, "--stalls", "1.0"],
        "Invalid value for '--stalls': Input should be less than or equal to 0.99",
    ),
    "stalls below 0": (
        [*SIMULATE, "--stalls", "-0.1"],
        "Invalid value for '--stalls': Input should be greater than or equal to 0",
    ),
    "stalls nan": (
        [*SIMULATE, "--stalls", "nan"],
        "Invalid value for '--stalls': Input should be less than or equal to 0.99",
    ),
    "seed": (
        [*SIMULATE, "--seed", "-1"],
        "Invalid value for '--seed': Input should be greater than or equal to 0",
    ),
    "no images wanted": (
        [*SIMULATE, "--count", "0"],
        "Invalid value for '--count': Input should be greater than or equal to 1",
    ),
    "engine": (
        [*SIMULATE, "--engine", "abacus"],
        "Invalid value for '--engine': 'abacus' is not one of 'compiled', "
        "'amaranth', 'verilator'.",
    ),
    "wave without a folder": (
        [*SIMULATE, "--wave", "no/a.vcd"],
        "no/a.vcd: No such file or directory",
    ),
    "wave into a folder": (
        [*SIMULATE, "--wave", "."],
        "a waveform file must end in .vcd or .fst, not '.'",
    ),
    "waves of no lane": (
        [*SIMULATE, "--wave", "w.vcd", "--wave-lane", "5"],
        "the lane of waveforms must lie in 0 to 0, not 5",
    ),
    "device": (
        ["estimate", "float.onnx", "--device", "TPU-V1"],
        f"unknown device 'TPU-V1' (did you mean 'tpu-v1'?): known are {KNOWN}",
    ),
    "device that is a path": (["devices", "../secret"], f"unknown device '../secret': known are "
                              f"{KNOWN}"),
    "no such device file": (
        ["estimate", "float.onnx", "--device", "no.toml"],
        "device file no.toml does not exist",
    ),
    "device twice": (
        ["estimate", "float.onnx", *["--device", "tpu-v1"] * 2],
        "devices must differ, but tpu-v1 is given twice",
    ),
    "batch": (
        ["estimate", "float.onnx", "--device", "tpu-v1", "--batch", "9" * 30],
        f"batch must be at most 1,048,576, not {'9' * 30}",
    ),
    "lanes without training": (
        ["estimate", "float.onnx", "--device", "zu9eg", "--lanes", "8"],
        "--lanes is of training; give --training too",
    ),
    "lanes of another accelerator": (
        [
            *("estimate", "float.onnx", "--device", "zu9eg", "--training", "--lanes", "8"),
            *("--multipliers", "20"),
        ],
        "--lanes describes the accelerator of training: leave options of others out",
    ),
    "layer": (
        ["estimate", "float.onnx", "--device", "tpu-v1", "--explain", "conv9"],
        "there is no layer 'conv9' on tpu-v1; layers are conv, relu, pool, flatten, dense",
    ),
    "model into a folder": (
        ["quantize", "float.onnx", "--calibration", "images.npz", "-o", "."],
        ".: Is a directory",
    ),
    "model without a folder": (
        ["quantize", "float.onnx", "--calibration", "images.npz", "-o", "no/q.onnx"],
        "no/q.onnx: No such file or directory",
    ),
    "model into a pipe": (
        ["quantize", "float.onnx", "--calibration", "images.npz", "-o", "pipe"],
        "pipe: Not a plain file",
    ),
    "Verilog into a file": (
        ["verilog", "int8.onnx", "-o", "images.npz"],
        "images.npz: Not a directory",
    ),
    "Verilog below a file": (
        ["verilog", "int8.onnx", "-o", "images.npz/v"],
        "images.npz/v: Not a directory",
    ),
    "demo into a file": (["demo", "-o", "images.npz"], "images.npz: Not a directory"),
    "demo without images": (
        ["demo", "--count", "0", "-o", "d"],
        "Invalid value for '--count': Input should be greater than or equal to 3",
    ),
}  # fmt: skip


@pytest.fixture
def no_yosys(monkeypatch):
    """Verilog is not what is tested."""
    monkeypatch.setattr(Design, "verilog", Verilog("tiny", {"tiny.v": ""}))


@pytest.mark.usefixtures("no_yosys")
@pytest.mark.parametrize("name", COMMANDS)
def test_command(refusal, place, name):
    arguments, sentence = COMMANDS[name]
    os.mkfifo(place / "pipe")
    assert refusal(*arguments) == sentence


def test_a_stride_that_does_not_fit(refusal, place):
    onnx.save(conv(strides=[2, 2]), place / "m.onnx")
    assert refusal("info", "m.onnx", "--strict") == (
        "in strict mode strides must fit, but Conv 'conv': on axes 2 and 3 a stride of 2 leaves 1 "
        "of 8 positions out: (8 - 3) / 2 + 1 = 3.50"
    )


TWO = [*X, helper.make_tensor_value_info("z", TensorProto.FLOAT, [1, 1, 8, 8])]
SHORT = [NODE("Conv", ["x", "w"], ["y"], "conv"), NODE("Relu", ["y"], ["z"], "relu")]
SHAPES = {
    "two inputs": (
        model([NODE("Add", ["x", "z"], ["y"])], TWO),
        "simulate",
        "images need a network with one input; net has 2: x, z",
    ),
    "two outputs": (
        model(SHORT, X, [*Y, helper.make_empty_tensor_value_info("z")], [WEIGHTS]),
        "simulate",
        "a streaming pipeline has one output, but net has 2: y_quantized, z_quantized",
    ),
    "no layers": (
        model([], X, X),
        "simulate",
        "network net has no layer to quantize; accepted: at least one that is no reshaping and no "
        "Softmax at the end",
    ),
    "no layer to estimate": (
        model([], X, X),
        "estimate",
        "network net has nothing to estimate; accepted: an input and a layer",
    ),
    "no inputs": (
        model([], [], []),
        "simulate",
        "images need a network with one input; net has 0: none",
    ),
    "volume": (
        conv(
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 8, 8, 8])],
            numpy_helper.from_array(np.ones((1, 1, 3, 3, 3), np.float32), "w"),
        ),
        "simulate",
        "input 'x' has the shape (1, 1, 8, 8, 8); accepted: (N, C, H, W) or (N, C)",
    ),
    "weights that are no numbers": (
        conv(weights=numpy_helper.from_array(np.full((2, 1, 3, 3), np.nan, np.float32), "w")),
        "simulate",
        "the range of 'y' must be finite and ordered, not (inf, -inf)",
    ),
    "weights that overflow": (
        conv(weights=numpy_helper.from_array(np.full((2, 1, 3, 3), 3e38, np.float32), "w")),
        "simulate",
        "the range of 'y' must be finite and ordered, not (inf, inf)",
    ),
}


@pytest.mark.parametrize("name", SHAPES)
def test_network_of_another_form(refusal, place, name):
    made, command, sentence = SHAPES[name]
    onnx.save(made, place / "m.onnx")
    shape = (2, 1, 8, 8, 8) if name == "volume" else (2, 1, 8, 8)
    np.save(place / "a.npy", RANDOM.uniform(0.5, 1, shape))
    more = ["--images", "a.npy"] if command == "simulate" else ["--device", "tpu-v1"]
    assert refusal(command, "m.onnx", *more) == sentence


VALUE = '{ value = 4, unit = "1", source = "x" }'
DEVICES = {
    "empty": ("", "device file d.toml must have name = a text, not None"),
    "no TOML": (
        "cores",
        "device file d.toml is not TOML: Expected '=' after a key in a key/value pair (at end of "
        "document)",
    ),
    "class": (
        'name = "a"\ntitle = "b"\nclass = "abacus"',
        "device file d.toml has the class 'abacus'; accepted are cpu, gpu, tpu, spatial, fpga",
    ),
    "unit": (
        'name = "a"\ntitle = "b"\nclass = "cpu"\ncores = { value = 4, unit = ["1"], source = "x" }',
        "device file d.toml: cores has the unit ['1']; accepted are 1",
    ),
    "not a number": (
        f'name = "a"\ntitle = "b"\nclass = "cpu"\ncores = {VALUE.replace("4", "nan")}',
        "device file d.toml: cores must be a number, not nan",
    ),
    "beyond": (
        f'name = "a"\ntitle = "b"\nclass = "cpu"\ncores = {VALUE.replace("4", f"{10**400}")}',
        f"device file d.toml: cores must lie in 1e-09 to 1e+12, not {10**400}",
    ),
    "quantities missing": (
        f'name = "a"\ntitle = "b"\nclass = "fpga"\ndsps = {VALUE}',
        "device file d.toml lacks block_rams, block_ram_size, which a fpga needs",
    ),
}


@pytest.mark.parametrize("name", DEVICES)
def test_device_file(refusal, place, name):
    content, sentence = DEVICES[name]
    (place / "d.toml").write_text(content)
    assert refusal("estimate", "int8.onnx", "--device", "d.toml") == sentence


def test_device_file_of_many_brackets(refusal, place):
    (place / "d.toml").write_text("a = " + "[" * 5000)
    assert refusal("devices", "d.toml").startswith("device file d.toml is not TOML: ")


def test_not_enough_memory(refusal, monkeypatch):
    def load(*_, **__):
        raise MemoryError("Unable to allocate 64.0 TiB")

    monkeypatch.setattr(hwsim, "load", load)
    assert refusal("info", "lenet5") == "there is not enough memory: Unable to allocate 64.0 TiB"


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("conv1", "conv1"),
        ("features/0/Conv", "features_0_Conv"),
        ("../../etc/passwd", "etc_passwd"),
        ('a"; $finish; //', "a_finish"),
        ("*/ endmodule /*", "n_endmodule"),
        ("`include x", "include_x"),
        ("$(touch x)", "touch_x"),
        ("a\\b", "a_b"),
        ("1x1", "n_1x1"),
        ("网络", "network"),
        ("", "network"),
        ("module", "n_module"),
        ("logic", "n_logic"),
        ("clk", "n_clk"),
        ("x" * 300, "x" * 40),
    ],
)
def test_names_become_plain_identifiers(name, plain):
    assert _identifier(name) == plain
    assert plain not in RESERVED


def test_names_that_become_equal_stay_apart():
    assert _instance_names(["a.b", "a_b", "a b", "a_b_2"]) == {
        "a.b": "a_b",
        "a_b": "a_b_2",
        "a b": "a_b_3",
        "a_b_2": "a_b_2_2",
    }


def test_strange_names_from_model_to_simulation(place, capsys):
    onnx.save(tiny('<script>"; $finish', "a.b", "a b"), "m.onnx")
    with pytest.raises(SystemExit) as left:
        cli.main(["simulate", "m.onnx", "--images", "images.npz", "--json"])
    assert left.value.code == 0
    assert json.loads(capsys.readouterr().out)["mismatches"] == 0


def run(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "hwsim", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        **options,
    )


def test_disk_full():
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "hwsim", "devices"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (2, "hwsim: error: No space left on device\n")


def test_a_model_larger_than_the_disk_leaves_nothing(place):
    before = sorted(os.listdir())
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (999, 999))"
    command = "from hwsim.cli import main; main()"
    arguments = ["quantize", "float.onnx", "--calibration", "images.npz", "-o", "q.onnx"]
    done = subprocess.run(
        [sys.executable, "-c", f"{limit}; {command}", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (2, "hwsim: error: q.onnx: File too large\n")
    assert sorted(os.listdir()) == before


def test_a_reader_that_leaves_ends_the_command():
    done = subprocess.run(
        f"set -o pipefail; {sys.executable} -m hwsim devices | true",
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")


def test_interrupted_demo_ends_silently_and_leaves_whole_files(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "hwsim", "demo", "-o", tmp_path / "d"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell starts what runs in the background with interrupts ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    # In the middle of the work.
    while not process.stdout.readline().startswith("3. "):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")
    assert os.listdir(tmp_path / "d") == ["lenet5_int8.onnx"]
    assert hwsim.load(tmp_path / "d" / "lenet5_int8.onnx").macs == 416520


API = {
    "load": (lambda: hwsim.load(3), TypeError, "model must be a path or an onnx.ModelProto, not "
             "int"),
    "quantize": (lambda: hwsim.quantize("m.onnx", ZERO), TypeError, "network must be a Network, "
                 "as hwsim.load gives, not str"),
    "build": (lambda: hwsim.build("m.onnx"), TypeError, "network must be a Network, as hwsim.load "
              "gives, not str"),
    "estimate": (lambda: hwsim.estimate("m.onnx", "tpu-v1"), TypeError, "network must be a "
                 "Network, as hwsim.load gives, not str"),
    "simulate": (lambda: hwsim.simulate("m.onnx", ZERO), TypeError, "design must be a Design, as "
                 "hwsim.build gives, not str"),
    "report": (lambda: hwsim.report(), ValueError, "a report needs at least one item"),
    "cycles": (lambda: hwsim.Streaming(cycles_per_image=0), ValueError, "cycles_per_image must be "
               "a positive integer, not 0"),
    "multipliers": (lambda: hwsim.Streaming(multipliers=1.5), TypeError, "multipliers must be an "
                    "integer, not 1.5"),
    "both": (lambda: hwsim.Streaming(multipliers=1, cycles_per_image=1), ValueError, "give either "
             "cycles_per_image or multipliers, not both"),
}  # fmt: skip


@pytest.mark.parametrize("name", API)
def test_python(name):
    call, kind, sentence = API[name]
    with pytest.raises(kind) as refused:
        call()
    assert str(refused.value) == sentence


SIMULATIONS = {
    "engine": (
        {"engine": "abacus"},
        "engine must be one of amaranth, compiled, verilator, not 'abacus'",
    ),
    "stalls": ({"stalls": 1.0}, "stalls must lie in [0, 1), not 1.0"),
    "no images": ({"images": ZERO[:0]}, "images must have the shape (N, 1, 4, 4) with N at least "
                  "1, not (0, 1, 4, 4)"),
    "codes": ({"images": np.full((1, 1, 4, 4), 300)}, "codes of images must lie in [-128, 127], "
              "not [300, 300]"),
    "not finite": ({"images": ZERO + np.nan}, "images must be finite, and some values are not"),
}  # fmt: skip


@pytest.mark.parametrize("name", SIMULATIONS)
def test_python_simulate(made, name):
    options, sentence = SIMULATIONS[name]
    design = hwsim.build(hwsim.load(made / "int8.onnx"))
    with pytest.raises(ValueError) as refused:
        hwsim.simulate(design, **({"images": ZERO} | options))
    assert str(refused.value) == sentence


def test_python_cycles(made):
    design = hwsim.build(hwsim.load(made / "int8.onnx"))
    with pytest.raises(ValueError, match=r"^images must be a positive integer, not 0$"):
        design.cycles(0)
