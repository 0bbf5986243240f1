"""Benches for whole pipelines: something moves, as long as source and sink are willing."""

from dataclasses import replace

import numpy as np
from amaranth.hdl import Mux, Signal

from hwsim.blocks.queue import QueueConfig
from hwsim.blocks.streaming import Streaming, plan_streaming
from hwsim.network.fixed_point import Requantize
from hwsim.network.integer import Add, Conv, IntegerNetwork, IntegerTensor
from hwsim.rtl.streaming import Pipeline

from .bench import Bench

__all__ = ["pipeline_bench", "residual_plan", "with_depth"]


def residual_plan(size=4, kernel=3):
    """Plan of the smallest residual block: a fork, a convolution, an addition.

    With queues as `hwsim.blocks.streaming.plan_streaming` sizes them.
    """
    pad = kernel // 2
    names = ("image", "features", "sum")
    image, features, total = (
        IntegerTensor(name, (1, size, size), 1.0, 0, 4, True) for name in names
    )
    rescale = Requantize(np.array([1]), np.array([4]), zero_point=0, minimum=-8, maximum=7)
    weights = np.ones((1, 1, kernel, kernel), np.int64)
    conv = Conv(
        "conv",
        ("image",),
        "features",
        weights,
        np.zeros(1, np.int64),
        (1, 1),
        (1, 1),
        (pad, pad, pad, pad),
        1,
        rescale,
    )
    add = Add("add", ("image", "features"), "sum", (1, 1), rescale)
    tensors = {tensor.name: tensor for tensor in (image, features, total)}
    network = IntegerNetwork("residual", image, (total,), (conv, add), tensors)
    return plan_streaming(network, Streaming(multipliers=kernel * kernel))


def with_depth(plan, stage, output, depth):
    """The same plan with another depth of one queue."""
    stages = []
    for one in plan.stages:
        if one.name == stage:
            queues = list(one.queues)
            queues[output] = QueueConfig(depth)
            one = replace(one, queues=tuple(queues))
        stages.append(one)
    return replace(plan, stages=tuple(stages))


def pipeline_bench(plan, patience):
    """Of a pipeline: the contract at its output, and no deadlock.

    Source and sink stall as they like. As soon as for ``patience`` cycles a beat has been offered
    and results have been wanted, one of the two has moved.
    """
    dut = Pipeline(plan)
    bench = Bench(dut)
    moves, leaves = bench.source(dut.i), bench.sink(dut.o)
    idle = Signal(range(patience + 1))
    willing = dut.i.valid & dut.o.ready
    bench.m.d.sync += idle.eq(
        Mux(moves | leaves | ~willing, 0, Mux(idle == patience, patience, idle + 1))
    )
    bench.claim(f"a beat moves within {patience} cycles", idle != patience)
    bench.happens("a result leaves", leaves)
    return bench
