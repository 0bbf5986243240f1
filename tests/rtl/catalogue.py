"""One unit of every kind and folding that writes Verilog of its own, with random constants."""

from dataclasses import replace

import numpy as np
from amaranth.hdl import Module, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In

from hwsim.blocks.argmax import ArgmaxConfig
from hwsim.blocks.backward_activation import ActivationGradientConfig, ReluConfig
from hwsim.blocks.backward_conv import ConvGradientConfig, SpreadConfig, WeightGradientConfig
from hwsim.blocks.backward_loss import CrossEntropyGradientConfig, RmseGradientConfig
from hwsim.blocks.backward_lrn import LrnGradientConfig
from hwsim.blocks.backward_pool import (
    GlobalPoolGradientConfig,
    MaxPoolConfig,
    PoolGradientConfig,
)
from hwsim.blocks.backward_update import CombineConfig, RoundingConfig, UpdateConfig
from hwsim.blocks.conv import ConvConfig, DenseConfig
from hwsim.blocks.elementwise import AddConfig, MulConfig, TableConfig
from hwsim.blocks.lrn import LRNConfig
from hwsim.blocks.midrange import MidrangeConfig
from hwsim.blocks.pad import PadConfig
from hwsim.blocks.pool import GlobalPoolConfig, PoolConfig
from hwsim.blocks.queue import QueueConfig
from hwsim.blocks.requantize import RequantizeConfig
from hwsim.blocks.reshape import ConcatConfig, ForkConfig, ResizeConfig
from hwsim.blocks.stream import Frame
from hwsim.blocks.training import TrainingConfig
from hwsim.blocks.window import WindowConfig
from hwsim.network.fixed_point import MULTIPLIER_BITS, Requantize
from hwsim.rtl.argmax import Argmax
from hwsim.rtl.backward_activation import ActivationGradient, Relu
from hwsim.rtl.backward_conv import ConvGradient, Spread, WeightGradient
from hwsim.rtl.backward_loss import CrossEntropyGradient, RmseGradient
from hwsim.rtl.backward_lrn import LrnGradient
from hwsim.rtl.backward_pool import GlobalPoolGradient, MaxPool, PoolGradient
from hwsim.rtl.backward_update import Combine, Rounding, Update
from hwsim.rtl.conv import Conv, Dense
from hwsim.rtl.elementwise import Add, Mul, Table
from hwsim.rtl.lrn import LRN
from hwsim.rtl.midrange import Midrange
from hwsim.rtl.pad import Pad
from hwsim.rtl.pool import GlobalPool, Pool
from hwsim.rtl.queue import Queue
from hwsim.rtl.reshape import Concat, Fork, Resize
from hwsim.rtl.trainer import AxiTrainer
from hwsim.rtl.window import Window

FRAME = Frame(5, 6, 4, 2)
UNSIGNED = Frame(5, 6, 4, 2, 8, False)
WIDE = Frame(5, 6, 4, 2, 16)
TRAINING = TrainingConfig(lanes=4, parameters=64, maps=48, deltas=40, marks=20, table=30, slots=9)


def catalogue(*names):
    """New units by name: those that are named, or all."""
    return {name: _MAKERS[name]() for name in names or _MAKERS}


class Shelf(wiring.Component):
    """Components side by side; port ``p`` of component ``c`` is the port ``c_p``."""

    def __init__(self, components):
        self._components = components
        ports = {
            f"{name}_{port}": member
            for name, component in components.items()
            for port, member in component.signature.members.items()
        }
        super().__init__(ports)

    def elaborate(self, platform):
        m = Module()
        for name, component in self._components.items():
            m.submodules[name] = component
            for port, member in component.signature.members.items():
                inner, outer = getattr(component, port), getattr(self, f"{name}_{port}")
                if member.is_signature:
                    wiring.connect(m, wiring.flipped(outer), inner)
                else:
                    m.d.comb += inner.eq(outer) if member.flow is In else outer.eq(inner)
        return m


def _scaling(accumulator_bits, channels=1, zero_point=3, shifts=None, rounding="even", **bounds):
    """A `Requantize` for accumulators of so many bits, and its configuration."""
    rng = np.random.default_rng(accumulator_bits)
    shift = (
        np.full(channels, accumulator_bits + 8) if shifts is None else np.resize(shifts, channels)
    )
    bounds = {"minimum": -128, "maximum": 127} | bounds
    requantize = Requantize(
        rng.integers(1 << 15, 1 << 17, channels), shift, zero_point, *bounds.values(), rounding
    )
    config = RequantizeConfig.of(
        requantize, accumulator_bits=accumulator_bits, bits=8, signed=bounds["minimum"] < 0
    )
    return requantize, config


def _conv(*, requantized=True, shifts=None, maximum=127, rounding="even", **members):
    members = (
        dict(frame=FRAME, out_channels=6, kernel=(3, 3), simd=6, pe=2, pads=(1, 1, 1, 1)) | members
    )
    rng = np.random.default_rng(members["simd"])
    groups, out_channels = members.get("groups", 1), members["out_channels"]
    weights = rng.integers(
        -127, 128, (out_channels, members["frame"].channels // groups, *members["kernel"])
    )
    bias = rng.integers(-1000, 1000, out_channels)
    if not requantized:
        return Conv(ConvConfig(accumulator_bits=24, **members), weights, bias)
    requantize, config = _scaling(
        24, out_channels, shifts=shifts, rounding=rounding, maximum=maximum
    )
    return Conv(ConvConfig(requantize=config, **members), weights, bias, requantize)


def _dense():
    rng = np.random.default_rng(1)
    requantize, config = _scaling(24, 10)
    dense = DenseConfig(frame=FRAME, out_channels=10, simd=2, pe=5, requantize=config)
    return Dense(
        dense, rng.integers(-128, 128, (10, 120)), rng.integers(-1000, 1000, 10), requantize
    )


def _pool(kind, kernel=(2, 2), frame=FRAME, **members):
    members = dict(frame=frame, kind=kind, kernel=kernel) | members
    if kind == "max":
        return Pool(PoolConfig(**members))
    counts = PoolConfig(requantize=_scaling(12)[1], **members).counts
    requantize, scaling = _scaling(12, len(counts))
    return Pool(PoolConfig(requantize=scaling, **members), requantize)


def _global_pool(kind):
    if kind == "max":
        return GlobalPool(GlobalPoolConfig(frame=FRAME, kind=kind))
    requantize, scaling = _scaling(14)
    return GlobalPool(GlobalPoolConfig(frame=FRAME, kind=kind, requantize=scaling), requantize)


def _add(multipliers, frames=(FRAME, FRAME)):
    requantize, scaling = _scaling(26)
    return Add(AddConfig(frames=frames, requantize=scaling), multipliers, requantize, (3, -5))


def _mul():
    requantize, scaling = _scaling(17)
    return Mul(MulConfig(frames=(FRAME, FRAME), requantize=scaling), requantize, (1, 0))


def _lrn(frame=FRAME, size=3, **members):
    requantize = Requantize([1], [18], 3, -128, 127)
    bits = members.get("factor_bits", MULTIPLIER_BITS) + 10
    scaling = RequantizeConfig.of(requantize, accumulator_bits=bits)
    config = LRNConfig(
        frame=frame, size=size, precision=4, zero_point=5, requantize=scaling, **members
    )
    factors = np.random.default_rng(size).integers(0, 1 << config.factor_bits, config.entries)
    table = np.sort(factors)[::-1]
    return LRN(config, table, requantize)


def _table():
    return Table(TableConfig(frame=FRAME), np.random.default_rng(2).integers(-128, 128, 256))


def _conv_gradient(**members):
    members = (
        dict(
            frame=Frame(3, 3, 4, 2, 16),
            shape=(5, 6),
            channels=2,
            kernel=(3, 3),
            strides=(2, 2),
            pads=(1, 1, 1, 1),
            simd=6,
        )
        | members
    )
    return ConvGradient(ConvGradientConfig(pe=1, **members))


def _weight_gradient(**members):
    members = (
        dict(frame=Frame(3, 4, 4, 2, 16), out_channels=4, kernel=(3, 3), simd=6, pe=2, batch=2)
        | members
    )
    return WeightGradient(WeightGradientConfig(**members))


def _pool_gradient(kind, **members):
    members = dict(frame=WIDE, kernel=(3, 3), strides=(2, 2)) | members
    return PoolGradient(PoolGradientConfig(kind=kind, **members))


def _lrn_gradient(frame, **members):
    members = dict(size=5, alpha=1e-2, beta=0.75, bias=1.0, point=9, precision=5) | members
    return LrnGradient(LrnGradientConfig(frame=frame, **members))


_MAKERS = {
    "conv_unrolled": lambda: _conv(frame=Frame(5, 6, 3, 3), simd=27, pe=6),
    "conv_folded": _conv,
    "conv_serial": lambda: _conv(frame=Frame(5, 6, 4, 1), simd=1, pe=1),
    "conv_pointwise": lambda: _conv(kernel=(1, 1), pads=(0, 0, 0, 0), simd=2),
    "conv_strided": lambda: _conv(strides=(2, 1), dilations=(1, 2), pads=(0, 2, 1, 0)),
    "conv_depthwise": lambda: _conv(
        groups=4, out_channels=4, simd=9, frame=Frame(4, 5, 4, 4), pe=2
    ),
    "conv_grouped": lambda: _conv(groups=2, pe=3),
    "conv_loadable": lambda: _conv(loadable=True),
    "conv_accumulators": lambda: _conv(requantized=False),
    "conv_shifts": lambda: _conv(shifts=(28, 30, 35)),
    "conv_unsigned": lambda: _conv(frame=UNSIGNED, pad_value=128),
    "conv_clipped": lambda: _conv(maximum=90),
    "conv_edge": lambda: _conv(mode="edge"),
    "conv_fixed": lambda: _conv(
        groups=2, out_channels=2, frame=Frame(5, 6, 2, 2), simd=9, fixed=True
    ),
    "conv_floor": lambda: _conv(rounding="floor"),
    "conv_long_rows": lambda: _conv(frame=Frame(4, 40, 2, 2), simd=9, pe=2),
    "dense": _dense,
    "pool_max": lambda: _pool("max", strides=(2, 2)),
    "pool_max_padded": lambda: _pool("max", (3, 3), strides=(2, 2), pads=(1, 1, 1, 1)),
    "pool_max_unsigned": lambda: _pool("max", (3, 2), UNSIGNED, strides=(1, 2), ceil_mode=True),
    "pool_average": lambda: _pool("average", strides=(2, 2)),
    "pool_average_padded": lambda: _pool(
        "average", (3, 3), pads=(1, 1, 1, 1), strides=(2, 2), ceil_mode=True
    ),
    "pool_sum": lambda: _pool("sum", (2, 3), strides=(1, 1)),
    "pool_global_max": lambda: _global_pool("max"),
    "pool_global_average": lambda: _global_pool("average"),
    "add": lambda: _add((20000, 9001)),
    "add_unsigned": lambda: _add((1 << 14, 1), (FRAME, UNSIGNED)),
    "mul": _mul,
    "table": _table,
    "lrn": _lrn,
    "lrn_unrolled": lambda: _lrn(frame=Frame(2, 3, 5, 5), size=4),
    "lrn_unsigned": lambda: _lrn(frame=UNSIGNED, size=7),
    "lrn_within": lambda: _lrn(within=True),
    "lrn_wide": lambda: _lrn(size=4, factor_bits=25),
    "concat": lambda: Concat(ConcatConfig(frames=(FRAME, Frame(5, 6, 2, 2), FRAME))),
    "fork": lambda: Fork(ForkConfig(frame=FRAME, outputs=3), [QueueConfig(d) for d in (1, 3, 70)]),
    "resize_up": lambda: Resize(ResizeConfig(frame=Frame(2, 3, 12, 2), lanes=6)),
    "resize_down": lambda: Resize(ResizeConfig(frame=Frame(2, 3, 12, 6), lanes=2)),
    "pad": lambda: Pad(PadConfig(frame=FRAME, pads=(1, 0, 2, 3), value=7)),
    "midrange": lambda: Midrange(MidrangeConfig(frame=Frame(2, 3, 3, 3, 8, False))),
    "midrange_signed": lambda: Midrange(MidrangeConfig(frame=Frame(2, 3, 5, 5))),
    "pad_edge": lambda: Pad(PadConfig(frame=FRAME, pads=(1, 0, 2, 1), mode="edge")),
    "argmax": lambda: Argmax(ArgmaxConfig(frame=Frame(1, 1, 10, 2))),
    "argmax_unrolled": lambda: Argmax(ArgmaxConfig(frame=Frame(1, 1, 10, 10))),
    "queue_of_one": lambda: Queue(8, QueueConfig(1)),
    "queue_shallow": lambda: Queue(data.ArrayLayout(signed(8), 3), QueueConfig(5)),
    "queue_deep": lambda: Queue(24, QueueConfig(100)),
    "spread": lambda: Spread(SpreadConfig(frame=WIDE, strides=(2, 3))),
    "conv_gradient": _conv_gradient,
    "conv_gradient_depthwise": lambda: _conv_gradient(
        frame=Frame(5, 6, 3, 3, 16), channels=3, strides=(1, 1), groups=3, simd=9
    ),
    "weight_gradient": _weight_gradient,
    "weight_gradient_depthwise": lambda: _weight_gradient(groups=4, simd=9),
    "weight_gradient_dense": lambda: _weight_gradient(
        frame=Frame(1, 1, 6, 2, 16), kernel=(1, 1), simd=1
    ),
    "weight_gradient_of_one_word": lambda: _weight_gradient(
        frame=Frame(3, 3, 1, 1, 16), out_channels=2, simd=9
    ),
    "rounding": lambda: Rounding(RoundingConfig(frame=Frame(3, 2, 4, 2, 40))),
    "combine": lambda: Combine(CombineConfig(frame=Frame(1, 1, 6, 2, 16))),
    "update": lambda: Update(UpdateConfig(frame=Frame(1, 1, 6, 2, 16))),
    "pool_max_winners": lambda: MaxPool(
        MaxPoolConfig(frame=WIDE, kernel=(3, 3), strides=(2, 2), pads=(1, 1, 1, 1), maps=2)
    ),
    "pool_max_winners_unsigned": lambda: MaxPool(MaxPoolConfig(frame=UNSIGNED, kernel=(2, 2))),
    "pool_gradient_max": lambda: _pool_gradient("max", pads=(1, 1, 1, 1)),
    "pool_gradient_max_apart": lambda: _pool_gradient("max", kernel=(2, 2)),
    "pool_gradient_average": lambda: _pool_gradient("average"),
    "pool_gradient_average_padded": lambda: _pool_gradient("average", pads=(1, 1, 1, 1)),
    "pool_gradient_sum": lambda: _pool_gradient("sum"),
    "pool_global_gradient": lambda: GlobalPoolGradient(
        GlobalPoolGradientConfig(frame=Frame(1, 3, 4, 2, 16), kind="average")
    ),
    "relu": lambda: Relu(ReluConfig(frame=WIDE)),
    "relu_gradient": lambda: ActivationGradient(ActivationGradientConfig(frame=WIDE, kind="relu")),
    "sigmoid_gradient": lambda: ActivationGradient(
        ActivationGradientConfig(frame=WIDE, kind="sigmoid", point=14)
    ),
    "tanh_gradient": lambda: ActivationGradient(
        ActivationGradientConfig(frame=WIDE, kind="tanh", point=14)
    ),
    "lrn_gradient": lambda: _lrn_gradient(Frame(2, 3, 8, 1, 16)),
    "lrn_gradient_within": lambda: _lrn_gradient(Frame(3, 4, 2, 1, 16), size=3, within=True),
    "cross_entropy_gradient": lambda: CrossEntropyGradient(
        CrossEntropyGradientConfig(frame=Frame(1, 2, 5, 1, 16), point=10)
    ),
    "cross_entropy_gradient_small": lambda: CrossEntropyGradient(
        CrossEntropyGradientConfig(frame=Frame(1, 1, 1, 1, 2), point=2, gradient_point=1)
    ),
    "rmse_gradient": lambda: RmseGradient(RmseGradientConfig(frame=Frame(2, 1, 3, 1, 16))),
    "rmse_gradient_of_one": lambda: RmseGradient(
        RmseGradientConfig(frame=Frame(1, 1, 1, 1, 4), gradient_point=1)
    ),
    "window_edge": lambda: Window(
        WindowConfig(frame=FRAME, kernel=(3, 3), pads=(1, 1, 1, 1), mode="edge")
    ),
    # With the matrix product, the pool and its gradient, which have ports that never wait.
    "trainer": lambda: AxiTrainer(TRAINING),
    "trainer_powers": lambda: AxiTrainer(replace(TRAINING, functions=4)),
    "trainer_functions": lambda: AxiTrainer(replace(TRAINING, functions=2)),
    "trainer_rmse": lambda: AxiTrainer(replace(TRAINING, loss="rmse", batch=4, classes=3)),
    "window_of_pads": lambda: Window(
        WindowConfig(frame=Frame(1, 1, 2, 1), kernel=(3, 3), pads=(1, 1, 1, 1))
    ),
}
