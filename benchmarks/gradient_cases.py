"""Random cases of every operator that has a gradient, and their gradients by central differences
and by PyTorch's autograd."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from hwsim.models.reference.backward import GRADIENTS
from hwsim.models.reference.execute import OPERATIONS
from hwsim.network.windows import output_size, span

STEP = 2.0**-17
# What central differences may be off by, relative to the largest gradient or 1. With steps h:
# h**2 / 6 times a third derivative of up to 100 makes 1e-9, and rounding the two sums, of at most
# a few hundred, 2**-52 * 500 / h makes 1.5e-8.
DIFFERENCE_TOLERANCE = 1e-7


@dataclass(frozen=True, eq=False)
class Case:
    """An operator with attributes and inputs; ``variable`` are the inputs with gradients."""

    op: str
    attributes: dict
    inputs: tuple
    variable: tuple

    def forward(self, inputs=None):
        result = OPERATIONS[self.op](self.attributes, *(inputs or self.inputs))
        return result[0] if isinstance(result, tuple) else result

    def backward(self, dy):
        found = GRADIENTS[self.op](self.attributes, self.inputs, self.forward(), dy)
        assert len(found) == len(self.inputs)
        return [found[k] for k in self.variable]


def geometry(rng, spatial, *, pool):
    """Attributes of a window that fits ``spatial``."""
    rank = len(spatial)
    while True:
        kernel, strides, dilations = (
            tuple(int(n) for n in rng.integers(1, most + 1, rank)) for most in (3, 3, 2)
        )
        spans = [span(k, d) for k, d in zip(kernel, dilations, strict=True)]
        # A pool's window does not lie in the padding alone, and PyTorch wants half of it at most.
        limits = [s if pool else s + 2 for s in spans] * 2
        pads = tuple(int(rng.integers(limit)) for limit in limits)
        ceil_mode = bool(pool and rng.integers(2))
        sizes = [
            output_size(
                spatial[k],
                kernel[k],
                strides[k],
                dilations[k],
                pads[k],
                pads[k + rank],
                ceil_mode,
            )
            for k in range(rank)
        ]
        if min(sizes) > 0:
            found = {"kernel": kernel, "strides": strides, "dilations": dilations, "pads": pads}
            return found | ({"ceil_mode": ceil_mode} if pool else {})


def normal(rng, *shape):
    return rng.normal(size=shape)


def apart(rng, *shape):
    """Numbers of which no two, and none and zero, are closer than 2**-7."""
    count = int(np.prod(shape))
    steps = rng.permutation(2 * count)[:count] - count
    return (steps + 0.5).reshape(shape) * 2.0**-6


def maps(rng, draw=normal, rank=2):
    spatial = tuple(int(n) for n in rng.integers(3, 8, rank))
    return draw(rng, int(rng.integers(1, 3)), int(rng.integers(1, 5)), *spatial)


def _conv(rng, rank=2):
    group = int(rng.integers(1, 4))
    inner, outer = (int(n) for n in rng.integers(1, 4, 2))
    spatial = tuple(int(n) for n in rng.integers(4, 9, rank))
    attributes = geometry(rng, spatial, pool=False) | {"group": group}
    x = normal(rng, int(rng.integers(1, 3)), inner * group, *spatial)
    w = normal(rng, outer * group, inner, *attributes["kernel"])
    return Case("Conv", attributes, (x, w, normal(rng, outer * group)), (0, 1, 2))


def _pool(op, draw, **more):
    def case(rng):
        x = maps(rng, draw)
        attributes = geometry(rng, x.shape[2:], pool=True)
        attributes |= {k: bool(rng.integers(2)) if v is None else v for k, v in more.items()}
        return Case(op, attributes, (x,), (0,))

    return case


def _gemm(rng):
    m, k, n = (int(v) for v in rng.integers(1, 7, 3))
    attributes = {
        "trans_a": bool(rng.integers(2)),
        "trans_b": bool(rng.integers(2)),
        "alpha": float(rng.choice([1.0, 0.5])),
        "beta": float(rng.choice([1.0, 2.0])),
    }
    a = normal(rng, *((k, m) if attributes["trans_a"] else (m, k)))
    b = normal(rng, *((n, k) if attributes["trans_b"] else (k, n)))
    c = normal(rng, *[(n,), (1, n), (m, 1), (m, n)][rng.integers(4)])
    return Case("Gemm", attributes, (a, b, c), (0, 1, 2))


def _matmul(rng):
    m, k, n, b = (int(v) for v in rng.integers(1, 6, 4))
    shapes = [((b, m, k), (k, n)), ((k,), (b, k, n)), ((m, k), (k,)), ((1, m, k), (b, k, n))]
    left, right = shapes[rng.integers(4)]
    return Case("MatMul", {}, (normal(rng, *left), normal(rng, *right)), (0, 1))


def _unary(op, draw=normal, **attributes):
    return lambda rng: Case(op, attributes, (maps(rng, draw),), (0,))


def _lrn(rng, within=False):
    attributes = {
        "within": within,
        "alpha": float(rng.uniform(0.01, 1)),
        "beta": float(rng.uniform(0.5, 1)),
        "bias": float(rng.uniform(1, 2)),
        "size": int(rng.integers(1, 6)),
    }
    x = normal(rng, 2, int(rng.integers(1, 9)), 3, 4 if within else 2)
    return Case("LRN", attributes, (x,), (0,))


def _batch_normalization(rng):
    x = maps(rng)
    channels = x.shape[1]
    rest = (normal(rng, channels) for _ in range(3))
    variance = rng.uniform(0.5, 2, channels)
    return Case("BatchNormalization", {"epsilon": 1e-5}, (x, *rest, variance), (0, 1, 2))


def _softmax(rng):
    x = normal(rng, 2, 3, 4)
    attributes = {"axis": int(rng.integers(3)), "flatten": bool(rng.integers(2))}
    return Case("Softmax", attributes, (x,), (0,))


def _binary(op):
    def case(rng):
        x = maps(rng)
        other = [x.shape, (x.shape[1], 1, 1), (1,)][rng.integers(3)]
        return Case(op, {}, (x, normal(rng, *other)), (0, 1))

    return case


def _concat(rng):
    x = maps(rng)
    return Case("Concat", {"axis": 1}, (x, normal(rng, x.shape[0], 2, *x.shape[2:])), (0, 1))


def _pad(rng):
    pads = (0, 0, *(int(n) for n in rng.integers(-1, 3, 2)), 0, 0, 1, 2)
    mode = str(rng.choice(["constant", "edge", "reflect"]))
    return Case("Pad", {"pads": pads, "mode": mode, "value": 0.5}, (normal(rng, 1, 2, 5, 6),), (0,))


CASES = {
    "Add": _binary("Add"),
    "AveragePool": _pool("AveragePool", normal, count_include_pad=None),
    "BatchNormalization": _batch_normalization,
    "Clip": _unary("Clip", apart, minimum=-0.5, maximum=0.75),
    "Concat": _concat,
    "Conv": _conv,
    "Conv, one axis": lambda rng: _conv(rng, 1),
    "Conv, three axes": lambda rng: _conv(rng, 3),
    "Gemm": _gemm,
    "GlobalAveragePool": _unary("GlobalAveragePool"),
    "GlobalMaxPool": _unary("GlobalMaxPool", apart),
    "LRN": _lrn,
    "LRN, within a channel": partial(_lrn, within=True),
    "MatMul": _matmul,
    "MaxPool": _pool("MaxPool", apart, storage_order=0),
    "Mul": _binary("Mul"),
    "Pad": _pad,
    "Relu": _unary("Relu", apart),
    "Sigmoid": _unary("Sigmoid"),
    "Softmax": _softmax,
    "Sum": _binary("Sum"),
    "SumPool": _pool("SumPool", normal),
    "Tanh": _unary("Tanh"),
    "Transpose": _unary("Transpose", perm=(0, 2, 3, 1)),
}
"""Name to function: a random generator to a `Case`."""


def central_differences(function, x, step=STEP):
    """Gradient of a function of one array, from two values for each element."""
    gradient = np.zeros(x.shape, x.dtype)
    for index in np.ndindex(*x.shape):
        low, high = x.copy(), x.copy()
        low[index] -= step
        high[index] += step
        change = function(high) - function(low)
        # Integers stay what they are: a step of 1 on what is linear is exact.
        gradient[index] = change // 2 if x.dtype.kind == "i" else change / (2 * step)
    return gradient


def differences(case, dy, step=STEP):
    """Gradients of ``sum(dy * output)`` for the case's variables."""

    def with_input(k):
        def function(x):
            inputs = [*case.inputs[:k], x, *case.inputs[k + 1 :]]
            return (case.forward(inputs) * dy).sum()

        return function

    return [central_differences(with_input(k), case.inputs[k], step) for k in case.variable]


def difference(found, expected):
    """Largest difference, relative to the largest expected value or 1."""
    scale = max(1.0, float(np.abs(expected).max(initial=0)))
    return float(np.abs(found - expected).max(initial=0)) / scale


# ----------------------------------------------------------------------------------------- PyTorch


def _padded(torch, x, pads, value):
    rank = len(pads) // 2
    sides = [pads[k + end * rank] for k in reversed(range(rank)) for end in (0, 1)]
    return torch.nn.functional.pad(x, sides, value=value)


def torch_gradients(case, dy):
    """The same by PyTorch's autograd; None for what it has no operator for."""
    import torch

    functional = torch.nn.functional
    attributes = case.attributes
    inputs = [torch.from_numpy(np.array(x)) for x in case.inputs]
    for k in case.variable:
        inputs[k].requires_grad_()
    x, rest = inputs[0], inputs[1:]
    if case.op == "Conv":
        rank = x.ndim - 2
        conv = getattr(functional, f"conv{rank}d")
        y = conv(
            _padded(torch, x, attributes["pads"], 0.0),
            *rest,
            stride=attributes["strides"],
            dilation=attributes["dilations"],
            groups=attributes["group"],
        )
    elif case.op in ("MaxPool", "AveragePool", "SumPool"):
        y = _torch_pool(torch, case, x)
    elif case.op == "Gemm":
        a = x.T if attributes["trans_a"] else x
        b = rest[0].T if attributes["trans_b"] else rest[0]
        y = attributes["alpha"] * (a @ b) + attributes["beta"] * rest[1]
    elif case.op == "LRN" and attributes["within"]:
        size, alpha, beta, bias = (attributes[name] for name in ("size", "alpha", "beta", "bias"))
        pads = [(size - 1) // 2, size // 2] * 2
        means = functional.avg_pool2d(functional.pad(x * x, pads), size, 1)
        y = x / (bias + alpha * means) ** beta
    elif case.op == "LRN":
        # An even window's longer half is below the channel in PyTorch, above it in ONNX.
        sizes = [attributes[name] for name in ("size", "alpha", "beta", "bias")]
        y = functional.local_response_norm(x.flip(1), *sizes).flip(1)
    elif case.op == "BatchNormalization":
        scale, bias, mean, variance = rest
        y = functional.batch_norm(x, mean, variance, scale, bias, eps=attributes["epsilon"])
    elif case.op == "Softmax":
        axis = attributes["axis"]
        if attributes["flatten"]:
            y = x.reshape(int(np.prod(x.shape[:axis])), -1).softmax(1).reshape(x.shape)
        else:
            y = x.softmax(axis)
    elif case.op == "Pad":
        y = _torch_pad(torch, case, x)
    else:
        y = {
            "Add": lambda: x + rest[0],
            "Clip": lambda: x.clamp(attributes["minimum"], attributes["maximum"]),
            "Concat": lambda: torch.cat(inputs, attributes["axis"]),
            "GlobalAveragePool": lambda: x.mean(dim=tuple(range(2, x.ndim)), keepdim=True),
            "GlobalMaxPool": lambda: functional.adaptive_max_pool2d(x, 1),
            "MatMul": lambda: x @ rest[0],
            "Mul": lambda: x * rest[0],
            "Relu": lambda: x.relu(),
            "Sigmoid": lambda: x.sigmoid(),
            "Sum": lambda: x + rest[0],
            "Tanh": lambda: x.tanh(),
            "Transpose": lambda: x.permute(attributes["perm"]),
        }[case.op]()
    assert y.shape == dy.shape, (case, y.shape, dy.shape)
    y.backward(torch.from_numpy(dy))
    return [inputs[k].grad.numpy() for k in case.variable]


def _torch_pool(torch, case, x):
    """Any pads and ceil mode: what a window reads beside the map is padded by hand."""
    attributes = case.attributes
    rank = x.ndim - 2
    _, _, *output = case.forward().shape
    pads = list(attributes["pads"])
    for k in range(rank):
        reach = (output[k] - 1) * attributes["strides"][k] + span(
            attributes["kernel"][k], attributes["dilations"][k]
        )
        pads[k + rank] = max(pads[k + rank], reach - x.shape[k + 2] - pads[k])
    window = {"stride": attributes["strides"], "dilation": attributes["dilations"]}
    crop = (..., *(slice(0, n) for n in output))
    if case.op == "MaxPool":
        padded = _padded(torch, x, pads, -np.inf)
        return torch.nn.functional.max_pool2d(padded, attributes["kernel"], **window)[crop]
    padded = _padded(torch, x, pads, 0.0)
    # As a convolution of each channel with ones, since PyTorch's average has no dilation.
    ones = torch.ones(1, 1, *attributes["kernel"], dtype=x.dtype)
    every = torch.nn.functional.conv2d(padded.flatten(0, 1)[:, None], ones, **window)
    total = every[:, 0].reshape(*x.shape[:2], *every.shape[2:])
    if case.op == "SumPool":
        return total[crop]
    counted = torch.ones(1, 1, *x.shape[2:], dtype=x.dtype)
    if attributes["count_include_pad"]:
        counted = _padded(torch, counted, attributes["pads"], 1.0)
        more = [a - b for a, b in zip(pads, attributes["pads"], strict=True)]
        counted = _padded(torch, counted, more, 0.0)
    else:
        counted = _padded(torch, counted, pads, 0.0)
    return (total / torch.nn.functional.conv2d(counted, ones, **window))[crop]


def _torch_pad(torch, case, x):
    pads, mode = case.attributes["pads"], case.attributes["mode"]
    cropped = [min(p, 0) for p in pads]
    kept = tuple(slice(-cropped[k], size + cropped[k + x.ndim]) for k, size in enumerate(x.shape))
    sides = [max(pads[k + end * x.ndim], 0) for k in (3, 2) for end in (0, 1)]
    more = {"value": case.attributes["value"]} if mode == "constant" else {}
    name = {"edge": "replicate"}.get(mode, mode)
    return torch.nn.functional.pad(x[kept], sides, mode=name, **more)


def torch_loss(name, outputs, target):
    """Loss and gradient by PyTorch."""
    import torch

    values = torch.from_numpy(np.array(outputs)).requires_grad_()
    goal = torch.from_numpy(np.array(target))
    if name == "cross-entropy":
        loss = torch.nn.functional.cross_entropy(values, goal)
    else:
        loss = torch.nn.functional.mse_loss(values, goal).sqrt()
    loss.backward()
    return loss.item(), values.grad.numpy()


def loss_case(name, rng):
    """Outputs and target."""
    outputs = 3 * normal(rng, int(rng.integers(1, 6)), int(rng.integers(2, 8)))
    if name == "cross-entropy":
        return outputs, rng.integers(outputs.shape[1], size=len(outputs))
    return outputs, normal(rng, *outputs.shape)
