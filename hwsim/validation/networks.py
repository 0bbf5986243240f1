"""Random integer networks: every layer kind, forks that rejoin, odd sizes."""

import numpy as np

from hwsim.network.fixed_point import Requantize
from hwsim.network.integer import (
    Add,
    Concat,
    Conv,
    Dense,
    IntegerNetwork,
    IntegerTensor,
    Mul,
    Pad,
    Pool,
    Table,
)

__all__ = ["NetworkBuilder", "images_for", "random_network"]


class NetworkBuilder:
    """Adds layers with random constants to a network.

    Every method returns the name of the new tensor.
    """

    def __init__(self, rng, shape, signed=True):
        self.rng = rng
        self.layers = []
        self.tensors = {}
        self.input = self._tensor("image", shape, signed)

    def _tensor(self, name, shape, signed, zero_point=None):
        zero = (
            int(self.rng.integers(-20, 20) + (0 if signed else 128))
            if zero_point is None
            else zero_point
        )
        channels, height, width = (int(n) for n in shape)
        self.tensors[name] = IntegerTensor(name, (channels, height, width), 0.05, zero, 8, signed)
        return name

    def _name(self, kind):
        return f"{kind}{len(self.layers) + 1}"

    def _requantize(self, name, accumulators, channels=1):
        """Multipliers that spread accumulators of about that size over the output's codes."""
        tensor = self.tensors[name]
        scales = 60.0 / accumulators * self.rng.uniform(0.5, 2.0, channels)
        low = tensor.zero_point if self.rng.random() < 0.5 else tensor.minimum  # ReLU or not
        return Requantize.from_scales(
            scales, zero_point=tensor.zero_point, minimum=low, maximum=tensor.maximum
        )

    def _bias(self, source, weights):
        """Random biases with the correction for the input's zero point."""
        own = self.rng.integers(-2000, 2000, len(weights))
        return own - self.tensors[source].zero_point * weights.reshape(len(weights), -1).sum(axis=1)

    def conv(
        self,
        source,
        out_channels,
        kernel=(3, 3),
        strides=(1, 1),
        dilations=(1, 1),
        pads=(0, 0, 0, 0),
        groups=1,
    ):
        """A convolution; pads are top, left, bottom, right."""
        channels, height, width = self.tensors[source].shape
        size = [
            (length + pads[a] + pads[a + 2] - (kernel[a] - 1) * dilations[a] - 1) // strides[a] + 1
            for a, length in enumerate((height, width))
        ]
        name = self._name("conv")
        output = self._tensor(f"{name}_out", (out_channels, *size), bool(self.rng.integers(2)))
        weights = self.rng.integers(-128, 128, (out_channels, channels // groups, *kernel))
        bias = self._bias(source, weights)
        rescale = self._requantize(output, 74 * 74 * np.sqrt(weights[0].size), out_channels)
        self.layers.append(
            Conv(name, (source,), output, weights, bias, strides, dilations, pads, groups, rescale)
        )
        return output

    def dense(self, source, out_channels):
        """A fully connected layer on all values."""
        size = int(np.prod(self.tensors[source].shape))
        name = self._name("dense")
        output = self._tensor(f"{name}_out", (out_channels, 1, 1), True)
        weights = self.rng.integers(-128, 128, (out_channels, size))
        bias = self._bias(source, weights)
        rescale = self._requantize(output, 74 * 74 * np.sqrt(size), out_channels)
        self.layers.append(Dense(name, (source,), output, weights, bias, rescale))
        return output

    def max_pool(self, source, kernel=(2, 2), strides=(2, 2), pads=(0, 0, 0, 0)):
        """A max pool."""
        t = self.tensors[source]
        size = [
            (n + pads[a] + pads[a + 2] - kernel[a]) // strides[a] + 1
            for a, n in enumerate(t.shape[1:])
        ]
        name = self._name("pool")
        output = self._tensor(f"{name}_out", (t.shape[0], *size), t.signed, t.zero_point)
        self.layers.append(Pool(name, (source,), output, "max", kernel, strides, (1, 1), pads))
        return output

    def global_average(self, source):
        """A global average pool."""
        t = self.tensors[source]
        count = t.shape[1] * t.shape[2]
        name = self._name("mean")
        output = self._tensor(f"{name}_out", (t.shape[0], 1, 1), True)
        rescale = self._requantize(output, 74 * count)
        pool = Pool(
            name,
            (source,),
            output,
            "average",
            t.shape[1:],
            (1, 1),
            (1, 1),
            (0, 0, 0, 0),
            counts=(count,),
            requantize=rescale,
        )
        self.layers.append(pool)
        return output

    def add(self, first, second):
        """An addition of two tensors of one shape."""
        name = self._name("add")
        output = self._tensor(f"{name}_out", self.tensors[first].shape, True)
        zero = self.tensors[output].zero_point
        left, right = (int(n) for n in self.rng.integers(1 << 13, 1 << 15, 2))
        rescale = Requantize(np.array([1]), np.array([15]), zero, -128, 127)
        self.layers.append(Add(name, (first, second), output, (left, right), rescale))
        return output

    def concat(self, *sources):
        """A concatenation of channels; sources are brought to the first one's scale."""
        first = self.tensors[sources[0]]
        aligned = [sources[0]]
        for source in sources[1:]:
            aligned.append(self.table(source, like=first))
        name = self._name("concat")
        channels = sum(self.tensors[s].shape[0] for s in aligned)
        output = self._tensor(
            f"{name}_out", (channels, *first.shape[1:]), first.signed, first.zero_point
        )
        self.layers.append(Concat(name, tuple(aligned), output))
        return output

    def table(self, source, like=None):
        """A random function of each code."""
        t = self.tensors[source]
        signed, zero = (t.signed, t.zero_point) if like is None else (like.signed, like.zero_point)
        name = self._name("table")
        output = self._tensor(f"{name}_out", t.shape, signed, zero)
        low, high = self.tensors[output].minimum, self.tensors[output].maximum
        self.layers.append(Table(name, (source,), output, self.rng.integers(low, high + 1, 256)))
        return output

    def mul(self, first, second):
        """``second`` has the shape of ``first``, or is one value per channel."""
        name = self._name("mul")
        output = self._tensor(f"{name}_out", self.tensors[first].shape, True)
        self.layers.append(Mul(name, (first, second), output, self._requantize(output, 74 * 74)))
        return output

    def pad(self, source, pads, mode="constant"):
        """A pad of rows and columns: top, left, bottom, right."""
        t = self.tensors[source]
        name = self._name("pad")
        size = (t.shape[1] + pads[0] + pads[2], t.shape[2] + pads[1] + pads[3])
        output = self._tensor(f"{name}_out", (t.shape[0], *size), t.signed, t.zero_point)
        self.layers.append(Pad(name, (source,), output, pads, mode, t.zero_point))
        return output

    def build(self, output, name="random"):
        """The network that ends with a tensor."""
        tensor = self.tensors[self.input]
        return IntegerNetwork(
            name, tensor, (self.tensors[output],), tuple(self.layers), dict(self.tensors)
        )


def random_network(seed):
    """A small network with a residual branch or a concatenation about every other time."""
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(1, 5)), int(rng.integers(5, 12)), int(rng.integers(5, 12)))
    b = NetworkBuilder(rng, shape, bool(rng.integers(2)))
    channels = int(rng.choice([2, 4, 6]))
    x = b.conv(b.input, channels, pads=(1, 1, 1, 1))
    if rng.random() < 0.5:
        x = b.add(x, b.conv(x, channels, pads=(1, 1, 1, 1), groups=int(rng.choice([1, channels]))))
    if rng.random() < 0.5:
        x = b.concat(b.conv(x, channels, (1, 1)), b.conv(x, 2 * channels, pads=(1, 1, 1, 1)))
    if rng.random() < 0.3:
        x = b.pad(x, (1, 0, 2, 1), str(rng.choice(["constant", "edge"])))
    if rng.random() < 0.3:  # squeeze and excite
        x = b.mul(x, b.conv(b.global_average(x), b.tensors[x].shape[0], (1, 1)))
    if rng.random() < 0.5:
        x = b.max_pool(x)
    if rng.random() < 0.5:
        x = b.conv(x, int(rng.choice([3, 5, 8])), (1, 2), (1, 2), (1, 1), (0, 1, 0, 0))
    if rng.random() < 0.5:
        x = b.global_average(x)
    return b.build(b.dense(x, int(rng.choice([1, 3, 10]))), f"random_{seed}")


def images_for(network, count, seed):
    """Random codes, (count, C, H, W)."""
    t = network.input
    return np.random.default_rng(seed).integers(t.minimum, t.maximum + 1, (count, *t.shape))
