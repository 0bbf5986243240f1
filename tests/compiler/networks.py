"""Random networks and configurations for the compiler of the systolic accelerator."""

from dataclasses import replace

import numpy as np

from hwsim.blocks.systolic.config import Systolic
from hwsim.network.fixed_point import Requantize
from hwsim.network.integer import (
    LRN,
    Concat,
    IntegerNetwork,
    IntegerTensor,
    Pool,
    Shuffle,
    largest_square_sum,
    log_index,
)
from hwsim.validation.networks import NetworkBuilder


class Builder(NetworkBuilder):
    """With the layers that only the systolic accelerator has, and tensors that often agree."""

    def _tensor(self, name, shape, signed, zero_point=None):
        if zero_point is None and self.rng.random() < 0.5:
            signed, zero_point = True, 0
        name = super()._tensor(name, shape, signed, zero_point)
        if name.startswith(("conv", "pool", "lrn")) and self.rng.random() < 0.1:
            self.tensors[name] = IntegerTensor(name, tuple(shape), 0.05, 3, 4, signed)
        return name

    def pool(self, source, kind, kernel, strides, dilations, pads, ceil_mode, count_include_pad):
        """A pool of any kind; None where no window fits."""
        t = self.tensors[source]
        size = []
        for axis, length in enumerate(t.shape[1:]):
            padded = length + pads[axis] + pads[axis + 2]
            room = padded - (kernel[axis] - 1) * dilations[axis] - 1
            if room < 0:
                return None
            windows = -(-room // strides[axis]) if ceil_mode else room // strides[axis]
            if windows * strides[axis] >= length + pads[axis]:
                windows -= 1
            size.append(windows + 1)
        name = self._name("pool")
        shape = (t.shape[0], *size)
        if kind == "max":
            self.tensors[f"{name}_out"] = IntegerTensor(
                f"{name}_out", shape, t.scale, t.zero_point, t.bits, t.signed
            )
            output = f"{name}_out"
        else:
            output = self._tensor(f"{name}_out", shape, bool(self.rng.integers(2)))
        options = (kind, kernel, strides, dilations, pads, ceil_mode, count_include_pad)
        pool = Pool(name, (source,), output, *options)
        if kind != "max":
            counts = pool.window_counts(t, size)
            values = (1,) if kind == "sum" else tuple(int(n) for n in np.unique(counts))
            out = self.tensors[output]
            scales = [1 / max(n, 1) * self.rng.uniform(0.5, 1.0) for n in values]
            rescale = Requantize.from_scales(
                scales, zero_point=out.zero_point, minimum=out.minimum, maximum=out.maximum
            )
            pool = Pool(name, (source,), output, *options, values, rescale)
        self.layers.append(pool)
        return output

    def lrn(self, source, size):
        t = self.tensors[source]
        name = self._name("lrn")
        output = self._tensor(f"{name}_out", t.shape, bool(self.rng.integers(2)))
        precision = int(self.rng.integers(3, 8))
        entries = int(log_index(np.array(largest_square_sum(t, size)), precision)) + 1
        table = np.sort(self.rng.integers(0, 1 << 16, entries))[::-1].astype(np.int64)
        out = self.tensors[output]
        rescale = Requantize(
            np.array([1]), np.array([15]), out.zero_point, out.minimum, out.maximum
        )
        self.layers.append(LRN(name, (source,), output, size, precision, table, rescale))
        return output

    def _same_codes(self, source, kind, channels=None):
        t = self.tensors[source]
        name = self._name(kind)
        output = f"{name}_out"
        shape = (channels or t.shape[0], *t.shape[1:])
        self.tensors[output] = IntegerTensor(output, shape, t.scale, t.zero_point, t.bits, t.signed)
        return name, output

    def pad(self, source, pads, mode="constant"):
        output = super().pad(source, pads, mode)
        self.tensors[output] = replace(self.tensors[output], bits=self.tensors[source].bits)
        return output

    def shuffle(self, source):
        """By groups, or any order."""
        channels = self.tensors[source].shape[0]
        groups = [g for g in range(1, channels + 1) if channels % g == 0]
        order = np.arange(channels).reshape(int(self.rng.choice(groups)), -1).T.reshape(-1)
        if self.rng.random() < 0.2:
            order = self.rng.permutation(channels)
        name, output = self._same_codes(source, "shuffle")
        self.layers.append(Shuffle(name, (source,), output, tuple(int(k) for k in order)))
        return output

    def concat(self, *sources):
        def numbers(name):
            t = self.tensors[name]
            return t.zero_point, t.bits, t.signed

        first = sources[0]
        if self.tensors[first].bits != 8:
            first = self.table(first, like=self.tensors[self.input])
        aligned = [first]
        for source in sources[1:]:
            if numbers(source) != numbers(first):
                source = self.table(source, like=self.tensors[first])
            aligned.append(source)
        channels = sum(self.tensors[source].shape[0] for source in aligned)
        name, output = self._same_codes(first, "concat", channels)
        self.layers.append(Concat(name, tuple(aligned), output))
        return output

    def table(self, source, like=None):
        if like is None:
            return super().table(source)
        output = super().table(source, like)
        entries = 1 << self.tensors[source].bits
        layer = self.layers[-1]
        self.layers[-1] = type(layer)(layer.name, layer.inputs, layer.output, layer.table[:entries])
        return output


def random_network(seed, largest=20):
    """A network of any layers that the systolic accelerator computes, with branches that rejoin."""
    rng = np.random.default_rng(seed)
    size = rng.integers(1, largest + 1, 3)
    shape = (int(rng.choice([1, 3, size[0]])), int(size[1]), int(size[2]))
    b = Builder(rng, shape, bool(rng.integers(2)))
    names = [b.input]
    for _ in range(int(rng.integers(2, 10))):
        source = names[-1 - int(min(rng.geometric(0.6) - 1, len(names) - 1))]
        made = _LAYERS[int(rng.integers(len(_LAYERS)))](b, rng, source, names)
        if made is not None:
            names.append(made)
    if len(names) == 1 or rng.random() < 0.4:
        names.append(b.dense(names[-1], int(rng.integers(1, 30))))
    read = {name for layer in b.layers for name in layer.inputs}
    outputs = [layer.output for layer in b.layers if layer.output not in read]
    if len(names) > 3 and rng.random() < 0.3:
        outputs.append(names[len(names) // 2])
    tensors = dict(b.tensors)
    return IntegerNetwork(
        f"random_{seed}",
        tensors[b.input],
        tuple(tensors[name] for name in dict.fromkeys(outputs)),
        tuple(b.layers),
        tensors,
    )


def _window(rng, shape):
    """Kernel, strides, dilations and pads of windows that fit into a map."""
    kernel = tuple(int(rng.integers(1, 5)) for _ in range(2))
    if rng.random() < 0.4:
        kernel = (kernel[0], kernel[0])
    strides = tuple(int(n) for n in rng.choice([1, 1, 2, 3], 2))
    dilations = tuple(int(n) for n in rng.choice([1, 1, 1, 2], 2))
    pads = tuple(int(rng.integers(0, kernel[axis % 2])) for axis in range(4))
    for axis in (0, 1):
        reach = (kernel[axis] - 1) * dilations[axis] + 1
        if reach > shape[1 + axis] + pads[axis] + pads[axis + 2]:
            return (1, 1), strides, (1, 1), (0, 0, 0, 0)
    return kernel, strides, dilations, pads


def _conv(b, rng, source, names):
    shape = b.tensors[source].shape
    channels = shape[0]
    groups = 1
    if rng.random() < 0.35:
        groups = int(rng.choice([g for g in range(1, channels + 1) if channels % g == 0]))
    outputs = groups * int(rng.integers(1, max(2, 40 // groups)))
    kernel, strides, dilations, pads = _window(rng, shape)
    return b.conv(source, outputs, kernel, strides, dilations, pads, groups)


def _pool(b, rng, source, names):
    kind = str(rng.choice(["max", "average", "sum"]))
    options = (bool(rng.integers(2)), bool(rng.integers(2)) and kind == "average")
    return b.pool(source, kind, *_window(rng, b.tensors[source].shape), *options)


def _global(b, rng, source, names):
    return b.global_average(source) if rng.random() < 0.2 else None


def _join(b, rng, source, names):
    shape = b.tensors[source].shape
    alike = [name for name in names if b.tensors[name].shape == shape]
    if rng.random() < 0.5:
        other = b.conv(source, shape[0], (1, 1)) if rng.random() < 0.7 else source
        names.append(other)
        return b.add(*rng.permutation([source, other]).tolist())
    alike = [name for name in names if b.tensors[name].shape[1:] == shape[1:]]
    some = [str(rng.choice(alike)) for _ in range(int(rng.integers(1, 4)))]
    branches = [_same_size(b, rng, source) for _ in range(int(rng.integers(0, 3)))]
    return b.concat(*rng.permutation([*some, *branches]).tolist())


def _same_size(b, rng, source):
    """A branch that keeps height and width."""
    if rng.random() < 0.3:
        return b.pool(source, "max", (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), False, False)
    k = int(rng.choice([1, 3, 5]))
    outputs = int(rng.integers(1, 24))
    return b.conv(source, outputs, (k, k), pads=(k // 2,) * 4)


def _pad(b, rng, source, names):
    if rng.random() < 0.3:
        return b.mul(source, b.conv(source, b.tensors[source].shape[0], (1, 1)))
    return b.pad(source, tuple(int(n) for n in rng.integers(0, 4, 4)))


_LAYERS = [
    _pad,
    _conv,
    _conv,
    _conv,
    _pool,
    _pool,
    _global,
    _join,
    _join,
    lambda b, rng, source, names: b.table(source, like=b.tensors[source]),
    lambda b, rng, source, names: b.lrn(source, int(rng.integers(1, 8))),
    lambda b, rng, source, names: b.shuffle(source),
]


def random_config(seed):
    """An accelerator of any size."""
    rng = np.random.default_rng([seed, 1])
    rows, cols = (int(n) for n in rng.integers(1, 21, 2))
    banks = 1 << (max(rows, cols) - 1).bit_length()
    sections = 1 << int(rng.integers(0, 4))
    widths = [bits for bits in (8, 16, 32, 64, 128, 256) if bits <= 8 * banks]
    return Systolic(
        rows=rows,
        cols=cols,
        sections=sections,
        buffer_bytes=max(2 * sections * banks, 1 << int(rng.integers(9, 17))),
        accumulator_rows=1 << int(rng.integers(3, 9)),
        axi_bits=int(rng.choice([0, *widths])),
        pool_columns=int(rng.choice([2, 3, 5, 128])),
    )
