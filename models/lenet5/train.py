"""Train LeNet-5 on Fashion-MNIST; write lenet5.onnx, images.npz and result.json beside this file.

From the repository root: ``python -m models.lenet5.train [--data DIR]``.
"""

import argparse
import gzip
from pathlib import Path

import numpy as np
from torch import nn

from models.recipe import OnnxWriter, accuracy, seed_everything, train, write_images, write_result

HERE = Path(__file__).parent
DATA = Path("/usr/share/datasets/fashion-mnist")
SEED = 2017
CLASSES = "T-shirt/top, Trouser, Pullover, Dress, Coat, Sandal, Shirt, Sneaker, Bag, Ankle boot"
DOC = (
    "LeNet-5 (LeCun, Bottou, Bengio and Haffner, Proc. IEEE 86 (11), 1998) with ReLU and max "
    "pooling, trained on the 60,000 training images of Fashion-MNIST (Xiao, Rasul and Vollgraf, "
    "arXiv:1708.07747, 2017; MIT licence). Input: pixel / 255, (N, 1, 28, 28). "
    "Output: one logit per class. Written by models/lenet5/train.py."
)


def read_idx(path):
    """Read uint8 from a gzipped IDX file: two zero bytes, type, rank, big-endian sizes, data."""
    with gzip.open(path) as file:
        data = file.read()
    if data[:3] != b"\x00\x00\x08":
        raise ValueError(f"{path} is not an IDX file of unsigned bytes")
    rank = data[3]
    shape = np.frombuffer(data, ">u4", rank, 4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * rank).reshape(shape)


def load(folder, part):
    """Images uint8 (N, 1, 28, 28) and labels int64 (N,) of ``part``: "train" or "t10k"."""
    images = read_idx(folder / f"{part}-images-idx3-ubyte.gz")[:, None]
    labels = read_idx(folder / f"{part}-labels-idx1-ubyte.gz").astype(np.int64)
    return images, labels


class LeNet5(nn.Module):
    """(N, 1, 28, 28) float32 to (N, 10) logits."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(400, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x):
        x = nn.functional.max_pool2d(self.conv1(x).relu(), 2)
        x = nn.functional.max_pool2d(self.conv2(x).relu(), 2)
        x = self.fc1(x.flatten(1)).relu()
        return self.fc3(self.fc2(x).relu())


def export(model, path):
    """Write the model as ONNX and return the SHA-256 of the file."""
    pool = {"kernel_shape": (2, 2), "strides": (2, 2)}
    graph = OnnxWriter("lenet5", "image", (1, 28, 28))
    x = graph.node("Relu", "relu1", graph.conv("conv1", "image", model.conv1))
    x = graph.node("MaxPool", "pool1", x, **pool)
    x = graph.node("Relu", "relu2", graph.conv("conv2", x, model.conv2))
    x = graph.node("MaxPool", "pool2", x, **pool)
    x = graph.node("Flatten", "flatten", x, axis=1)
    x = graph.node("Relu", "relu3", graph.gemm("fc1", x, model.fc1))
    x = graph.node("Relu", "relu4", graph.gemm("fc2", x, model.fc2))
    graph.gemm("fc3", x, model.fc3)
    return graph.save(path, outputs=10, doc=DOC, metadata={"classes": CLASSES})


def main():
    """Run the recipe."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data",
        type=Path,
        default=DATA,
        metavar="DIR",
        help="folder with the four .gz files of Fashion-MNIST (default: %(default)s, "
        "where the Debian package dataset-fashion-mnist puts them)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=HERE,
        metavar="DIR",
        help="where to write (default: beside the recipe)",
    )
    parser.add_argument("--epochs", type=int, default=40, help="default: %(default)s")
    arguments = parser.parse_args()
    if not (arguments.data / "train-images-idx3-ubyte.gz").is_file():
        parser.error(
            f"no Fashion-MNIST in {arguments.data}; "
            "--data takes the folder that holds train-images-idx3-ubyte.gz and its three companions"
        )
    images, labels = load(arguments.data, "train")
    test_images, test_labels = load(arguments.data, "t10k")

    seed_everything(SEED)
    model = LeNet5()
    settings = {
        "epochs": arguments.epochs,
        "batch": 128,
        "learning_rate": 3e-3,
        "weight_decay": 1e-2,
        "shift": 1,
    }
    train(model, images, labels, **settings)

    path = arguments.output / "lenet5.onnx"
    digest = export(model, path)
    write_images(
        arguments.output / "images.npz",
        images=test_images[:1000],
        labels=test_labels[:1000].astype(np.uint8),
        calibration=images[:256],
    )
    write_result(
        arguments.output / "result.json",
        test_images=len(test_images),
        float_accuracy=accuracy(path, test_images, test_labels),
        float_accuracy_bundled_1000=accuracy(path, test_images[:1000], test_labels[:1000]),
        seed=SEED,
        **settings,
        sha256=digest,
    )


if __name__ == "__main__":
    main()
