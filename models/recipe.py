"""What the recipes share: deterministic training in PyTorch, an ONNX writer, result files."""

import hashlib
import json
import os
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

__all__ = ["OnnxWriter", "accuracy", "seed_everything", "train", "write_images", "write_result"]

OPSET = 21
IR_VERSION = 10  # the one that came with opset 21


def seed_everything(seed):
    """Fix all that training draws or reorders.

    The order of sums depends on the number of threads: one, which is as fast for networks this
    small.
    """
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)


def to_float(pixels):
    """The models' input: ``pixel / 255`` as float32 (N, 1, H, W), from uint8 of the same shape."""
    return pixels.to(torch.float32) / 255


def shifted(pixels, most):
    """Every image moved on its own, -most..most pixels down and right; zeros come in."""
    count, _, height, width = pixels.shape
    padded = nn.functional.pad(pixels[:, 0], (most, most, most, most))
    down, right = torch.randint(0, 2 * most + 1, (2, count))
    rows = down[:, None, None] + torch.arange(height)[None, :, None]
    columns = right[:, None, None] + torch.arange(width)[None, None, :]
    return padded[torch.arange(count)[:, None, None], rows, columns][:, None]


def train(model, images, labels, *, epochs, batch, learning_rate, weight_decay, shift):
    """Train with AdamW on shifted images: cosine warm-up over 5 % of the steps, then cosine decay.

    images: uint8 (N, 1, H, W). labels: int64 (N,). ``shift`` is in pixels. The model ends in
    evaluation mode.
    """
    images, labels = torch.tensor(images), torch.tensor(labels)
    loss_of = nn.CrossEntropyLoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=weight_decay)
    steps = epochs * (len(images) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        learning_rate,
        total_steps=steps,
        pct_start=0.05,
        anneal_strategy="cos",
        cycle_momentum=False,
    )
    start = time.perf_counter()
    model.train()
    for epoch in range(epochs):
        total = 0.0
        order = torch.randperm(len(images))
        for first in range(0, len(images) - batch + 1, batch):
            chosen = order[first : first + batch]
            loss = loss_of(model(to_float(shifted(images[chosen], shift))), labels[chosen])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        mean = total / (len(images) // batch)
        print(
            f"epoch {epoch + 1:3d}/{epochs}  loss {mean:.4f}  {time.perf_counter() - start:.0f} s",
            file=sys.stderr,
        )
    model.eval()


class OnnxWriter:
    """An ONNX graph, one layer after another; a node and its output carry the layer's name.

    Layers of `torch.nn` give weights, strides and pads. The batch axis is dynamic, called ``N``.
    """

    def __init__(self, name, input_name, input_shape):
        self.name = name
        self.input = helper.make_tensor_value_info(
            input_name, TensorProto.FLOAT, ["N", *input_shape]
        )
        self.nodes, self.initializers = [], []

    def node(self, op, name, *inputs, **attributes):
        """Append one operator and return the name of its output."""
        self.nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def constants(self, name, module, *kinds):
        """Append tensors of a module as initializers ``name.kind``; return their names."""
        names = [f"{name}.{kind}" for kind in kinds]
        for kind, full in zip(kinds, names, strict=True):
            array = getattr(module, kind).detach().numpy()
            self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(array), full))
        return names

    def conv(self, name, source, module):
        """A `torch.nn.Conv2d`."""
        kinds = ["weight"] if module.bias is None else ["weight", "bias"]
        return self.node(
            "Conv",
            name,
            source,
            *self.constants(name, module, *kinds),
            kernel_shape=module.kernel_size,
            strides=module.stride,
            pads=module.padding * 2,
            group=module.groups,
        )

    def batch_normalization(self, name, source, module):
        """A `torch.nn.BatchNorm2d` in evaluation mode."""
        kinds = ("weight", "bias", "running_mean", "running_var")
        return self.node(
            "BatchNormalization",
            name,
            source,
            *self.constants(name, module, *kinds),
            epsilon=module.eps,
        )

    def gemm(self, name, source, module):
        """A `torch.nn.Linear`."""
        return self.node(
            "Gemm", name, source, *self.constants(name, module, "weight", "bias"), transB=1
        )

    def save(self, path, *, outputs, doc, metadata):
        """Write the file and return its SHA-256; the last node gives the output (N, outputs)."""
        output = helper.make_tensor_value_info(
            self.nodes[-1].output[0], TensorProto.FLOAT, ["N", outputs]
        )
        graph = helper.make_graph(self.nodes, self.name, [self.input], [output], self.initializers)
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            doc_string=doc,
        )
        helper.set_model_props(model, metadata)
        onnx.checker.check_model(model, full_check=True)
        data = model.SerializeToString(deterministic=True)
        write_atomically(path, data)
        return hashlib.sha256(data).hexdigest()


def write_atomically(path, data):
    """Write bytes under a temporary name, then rename, so that no half-written file stays."""
    temporary = Path(path).with_suffix(".part")
    temporary.write_bytes(data)
    os.replace(temporary, path)


def write_images(path, **arrays):
    """Write uint8 arrays as a compressed ``.npz`` (NumPy stamps its members with a fixed date)."""
    temporary = Path(path).with_suffix(".part.npz")
    np.savez_compressed(temporary, **arrays)
    os.replace(temporary, path)


def accuracy(path, images, labels):
    """Share of images that the ONNX file at ``path`` classifies as labelled, by ONNX Runtime.

    images: uint8 (N, 1, H, W). labels: (N,).
    """
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    hits = 0
    for first in range(0, len(images), 500):
        logits = session.run(
            None, {name: images[first : first + 500].astype(np.float32) / np.float32(255)}
        )[0]
        hits += int(np.sum(logits.argmax(axis=1) == labels[first : first + 500]))
    return hits / len(images)


def write_result(path, **facts):
    """Write ``facts`` with the versions of Python and the libraries as JSON, and print them."""
    libraries = {name: version(name) for name in ("numpy", "onnx", "onnxruntime", "torch")}
    text = (
        json.dumps({**facts, "python": platform.python_version(), "libraries": libraries}, indent=2)
        + "\n"
    )
    write_atomically(path, text.encode())
    print(text, end="")
