"""Networks that several tests use."""

import numpy as np

from hwsim.validation.networks import NetworkBuilder


def nngen_network():
    """What NNgen 1.3.4 was measured on: conv 3 x 3 (3 -> 16), ReLU, max-pool 2 x 2, dense to 10."""
    b = NetworkBuilder(np.random.default_rng(0), (3, 32, 32))
    x = b.max_pool(b.conv(b.input, 16, pads=(1, 1, 1, 1)))
    return b.build(b.dense(x, 10), "cifar_small")
