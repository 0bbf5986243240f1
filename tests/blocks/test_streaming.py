"""The planner: foldings that meet the target, queues that cost no cycle, clear refusals."""

import dataclasses

import numpy as np
import pytest

from hwsim.blocks.conv import ConvConfig
from hwsim.blocks.queue import QueueConfig
from hwsim.blocks.reshape import ForkConfig
from hwsim.blocks.streaming import Stage, Streaming, plan_streaming
from hwsim.blocks.timing import Deadlock, evaluate
from hwsim.network.integer import IntegerLayer, Shuffle
from hwsim.network.network import NetworkError
from hwsim.validation.networks import NetworkBuilder, random_network
from tests.networks import nngen_network


def test_comparison_network():
    plan = plan_streaming(nngen_network(), Streaming(cycles_per_image=12_300))
    assert plan.multipliers == 36 + 4
    # one multiply cycle for each of 432 / 36 products at each of 1,024 pixels, no bubble
    assert plan.interval == 12_288
    assert plan.macs == 442_368 + 40_960
    assert plan.utilization == pytest.approx(483_328 / (40 * 12_288))


@pytest.mark.parametrize("seed", range(40))
def test_queues_cost_no_cycle(seed):
    """The planned depths cost neither latency nor rate, compared with queues without limit."""
    network = random_network(seed)
    plan = plan_streaming(network, Streaming(multipliers=(64, 200, 1000)[seed % 3]))
    free = [dataclasses.replace(e, capacity=None) if e.backward else e for e in plan.edges]
    unlimited = evaluate(plan.actors, free, 12).sink.reshape(12, -1)
    planned = plan.trace(12).sink.reshape(12, -1)
    assert np.array_equal(planned[0], unlimited[0])
    assert planned[-1, -1] - planned[-2, -1] == plan.interval
    assert unlimited[-1, -1] - unlimited[-2, -1] == plan.interval


@pytest.mark.parametrize("seed", range(10))
def test_target_is_met(seed):
    network = random_network(seed)
    loose = plan_streaming(network, Streaming(cycles_per_image=20_000))
    tight = plan_streaming(network, Streaming(cycles_per_image=max(loose.interval // 8, 600)))
    assert all(stage.config.interval <= 20_000 for stage in loose.stages)
    assert all(stage.config.interval <= max(loose.interval // 8, 600) for stage in tight.stages)
    assert tight.multipliers >= loose.multipliers


@pytest.mark.parametrize("budget", [10, 40, 100, 1000])
def test_budget_is_kept(budget):
    network = random_network(1)
    plan = plan_streaming(network, Streaming(multipliers=budget))
    assert plan.multipliers <= budget


def test_shallow_queue_before_a_join_deadlocks():
    """The branch around a convolution must hold what the convolution's line buffer holds.

    Depth 1 cannot.
    """
    b = NetworkBuilder(np.random.default_rng(0), (2, 8, 8))
    x = b.conv(b.input, 2, pads=(1, 1, 1, 1))
    plan = plan_streaming(
        b.build(b.add(x, b.conv(x, 2, pads=(1, 1, 1, 1)))), Streaming(multipliers=100)
    )
    assert plan.trace(3).sink.size == 3 * plan.output.beats
    stages = tuple(
        dataclasses.replace(s, queues=tuple(QueueConfig(1) for _ in s.queues))
        if isinstance(s.config, ForkConfig)
        else s
        for s in plan.stages
    )
    shallow = dataclasses.replace(plan, stages=stages)
    with pytest.raises(Deadlock, match="a FIFO on a path that rejoins is too shallow"):
        shallow.trace(1)


def test_whole_pixel_of_the_images_is_a_beat():
    plan = plan_streaming(nngen_network(), Streaming(cycles_per_image=12_300))
    assert plan.input.lanes == 3
    assert isinstance(plan.stages[0].config, ConvConfig)
    assert isinstance(plan.stages[0], Stage)


def test_refuses_both_targets():
    with pytest.raises(
        ValueError, match=r"^give either cycles_per_image or multipliers, not both$"
    ):
        Streaming(cycles_per_image=1, multipliers=1)


@pytest.mark.parametrize("name", ["cycles_per_image", "multipliers"])
def test_refuses_zero(name):
    with pytest.raises(ValueError, match=rf"^{name} must be a positive integer, not 0$"):
        Streaming(**{name: 0})


def test_refuses_what_no_folding_reaches():
    with pytest.raises(
        ValueError, match=r"^cycles_per_image must be at least 1024 for layer conv1, not 1000$"
    ):
        plan_streaming(nngen_network(), Streaming(cycles_per_image=1000))


def test_refuses_too_few_multipliers():
    with pytest.raises(
        ValueError, match=r"^multipliers must be at least 2 for cifar_small, not 1$"
    ):
        plan_streaming(nngen_network(), Streaming(multipliers=1))


def test_refuses_several_outputs():
    network = nngen_network()
    several = dataclasses.replace(network, outputs=(network.tensors["conv1_out"], *network.outputs))
    message = r"^a streaming pipeline has one output, but cifar_small has 2: conv1_out, dense3_out$"
    with pytest.raises(NetworkError, match=message):
        plan_streaming(several)


@pytest.mark.parametrize(("kind", "constants"), [(IntegerLayer, ()), (Shuffle, ((0,),))])
def test_refuses_a_layer_without_a_unit(kind, constants):
    network = nngen_network()
    odd = kind("odd", (network.input.name,), "conv1_out", *constants)
    network = dataclasses.replace(network, layers=(odd, *network.layers[1:]))
    with pytest.raises(NetworkError) as caught:
        plan_streaming(network)
    assert str(caught.value) == f"no streaming unit computes {kind.__name__} (layer odd)"
