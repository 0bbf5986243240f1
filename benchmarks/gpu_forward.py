"""Estimated against measured forward times of known networks on a GTX 1080 Ti.

Measured: J. Johnson, cnn-benchmarks, README at commit 83d441f: batch 16, 224 x 224, fp32, Torch,
cuDNN 5.1.10. The networks are those that the ``onnx`` package carries for its own tests, of which
only the shapes matter here. Nothing in the model is fitted to these rows.
"""

from pathlib import Path

import numpy as np
import onnx.backend.test

import hwsim

MEASURED_MS = {
    "bvlc_alexnet": 4.31,
    "inception_v1": 11.50,
    "resnet50": 34.14,
    "vgg19": 48.15,
}
BATCH = 16


def main():
    """Print a row for each network, and the mean absolute percentage error."""
    folder = Path(onnx.backend.test.__file__).parent / "data" / "light"
    errors = []
    print("network        measured ms  estimated ms  error")
    for name, measured in MEASURED_MS.items():
        network = hwsim.load(folder / f"light_{name}.onnx")
        (estimate,) = hwsim.estimate(network, ["gtx-1080-ti"], batch=BATCH, precision="fp32")
        estimated = estimate.latency_s * 1e3
        errors.append(100 * (estimated / measured - 1))
        print(f"{name:13}  {measured:11.2f}  {estimated:12.2f}  {errors[-1]:+4.0f} %")
    print(f"mean absolute percentage error {np.abs(errors).mean():.0f} %")


if __name__ == "__main__":
    main()
