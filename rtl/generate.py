"""Write the Verilog of the reference designs to the folders beside this file: ``make rtl``."""

import argparse
from pathlib import Path

import numpy as np

import hwsim
from hwsim.data import bundled
from hwsim.network.fixed_point import Requantize
from hwsim.network.integer import Conv, IntegerNetwork, IntegerTensor

HERE = Path(__file__).resolve().parent

# Gradients along x and y (Sobel), second derivative (Laplace), blur (binomial); and by what they
# are divided.
FILTERS = np.array(
    [
        [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]],
        [[-1, -2, -1], [0, 0, 0], [1, 2, 1]],
        [[0, 1, 0], [1, -4, 1], [0, 1, 0]],
        [[1, 2, 1], [2, 4, 2], [1, 2, 1]],
    ]
)
DIVISORS = (8, 8, 8, 16)


def filters() -> IntegerNetwork:
    """Four classic 3 x 3 filters over a grey image of 64 x 64 pixels."""
    image = IntegerTensor("image", (1, 64, 64), 1.0, 0, 8, True)
    output = IntegerTensor("filtered", (4, 64, 64), 1.0, 0, 8, True)
    divide = Requantize.from_scales(1 / np.array(DIVISORS), zero_point=0, minimum=-128, maximum=127)
    conv = Conv(
        "conv",
        ("image",),
        "filtered",
        FILTERS[:, None],
        np.zeros(4, int),
        (1, 1),
        (1, 1),
        (1, 1, 1, 1),
        1,
        divide,
    )
    return IntegerNetwork(
        "filters", image, (output,), (conv,), {"image": image, "filtered": output}
    )


def designs():
    """The designs by folder."""
    return {
        "filters": hwsim.build(filters(), hwsim.Streaming(cycles_per_image=64 * 64)),
        "lenet5": hwsim.build(
            hwsim.load(HERE / "lenet5" / "lenet5_int8.onnx"), hwsim.Streaming(cycles_per_image=5000)
        ),
    }


def quantize_lenet5() -> None:
    """Quantize the bundled network; scales may differ between machines in their last bit."""
    with np.load(bundled("lenet5/images.npz")) as file:
        calibration = file["calibration"] / np.float32(255)
    network = hwsim.quantize(hwsim.load(bundled("lenet5/lenet5.onnx")), calibration)
    network.save(HERE / "lenet5" / "lenet5_int8.onnx")


def main() -> None:
    """Write all designs; files of old ones go."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quantize", action="store_true", help="quantize lenet5_int8.onnx anew first"
    )
    if parser.parse_args().quantize:
        (HERE / "lenet5").mkdir(exist_ok=True)
        quantize_lenet5()
    for name, design in designs().items():
        written = design.write_verilog(HERE / name)
        for path in (HERE / name).iterdir():
            if path.suffix in (".v", ".mem") and path not in written:
                path.unlink()
        print(f"{name}: {design.verilog.lines} lines, {len(written)} files")


if __name__ == "__main__":
    main()
