"""The streaming pipeline on paper: a unit per layer, folded alike, with FIFOs as deep as needed.

`plan_streaming` turns an `IntegerNetwork` into stages (unit configurations) and connections.
`hwsim.rtl.build` makes hardware of it, `hwsim.models` its estimate; both get the very same cycle
counts.

Queue depths
    The pipeline is evaluated with queues without limit and images offered one interval apart, the
    interval being that of the slowest unit. The most beats that any queue then holds, plus one
    that is on its way out, is its depth. With these depths that schedule remains possible, so that
    forks that rejoin cannot deadlock. A unit that starts as early as it can is then as a rule never
    later than in that schedule (max-plus monotonicity of dataflow graphs: Baccelli et al.,
    "Synchronization and Linearity", 1992, chapter 2). The tail of a sliding window is an exception:
    it waits for the next image once that has begun. So the pipeline is evaluated again with the
    depths chosen, and queues that run full are deepened until it keeps the interval.
"""

from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product
from math import gcd, inf

import numpy as np

from hwsim.network import integer
from hwsim.network.network import NetworkError

from .checks import check_positive
from .conv import ConvConfig, DenseConfig
from .elementwise import AddConfig, MulConfig, TableConfig
from .lrn import LRNConfig
from .midrange import MidrangeConfig
from .pad import PadConfig
from .pool import GlobalPoolConfig, PoolConfig
from .queue import QueueConfig
from .reshape import ConcatConfig, ForkConfig, ResizeConfig
from .stream import Frame
from .timing import Edge, evaluate
from .unit import UnitConfig

__all__ = ["ANY_TIME", "Stage", "Streaming", "StreamingPlan", "plan_streaming"]

DEFAULT_MULTIPLIERS = 128


@dataclass(frozen=True, kw_only=True)
class Streaming:
    """What a streaming pipeline is to reach; give one of the two, or neither for 128 multipliers.

    Parameters
    ----------
    cycles_per_image : int, optional
        Each unit gets the fewest multipliers with which it takes at most this long for an image.
    multipliers : int, optional
        The pipeline becomes as fast as this many multipliers allow.
    """

    cycles_per_image: int | None = None
    multipliers: int | None = None

    def __post_init__(self):
        if self.cycles_per_image is not None and self.multipliers is not None:
            raise ValueError("give either cycles_per_image or multipliers, not both")
        for name in ("cycles_per_image", "multipliers"):
            if getattr(self, name) is not None:
                check_positive(name, getattr(self, name))


@dataclass(frozen=True, eq=False)
class Stage:
    """One unit of the pipeline.

    Members
    -------
    name : str
    config : UnitConfig
    inputs : tuple of (str, int)
        For each input port the stage that feeds it and the number of that stage's output; ("", 0)
        is the source.
    layer : IntegerLayer or None
        The layer that it computes; None for units that only move beats.
    queues : tuple of QueueConfig
        One for each output.
    """

    name: str
    config: UnitConfig
    inputs: tuple[tuple[str, int], ...]
    layer: integer.IntegerLayer | None = None
    queues: tuple[QueueConfig, ...] = ()


@dataclass(frozen=True, eq=False)
class StreamingPlan:
    """A pipeline: stages in topological order, the last one feeds the sink.

    Members
    -------
    network : IntegerNetwork
    options : Streaming
    stages : tuple of Stage
    interval : int
        Cycles from one image's last result to the next one's in the steady state.
    """

    network: integer.IntegerNetwork
    options: Streaming
    stages: tuple[Stage, ...] = field(repr=False)
    interval: int

    @property
    def input(self):
        """`Frame` of the images."""
        return next(iter(self.stages[0].config.inputs.values()))

    @property
    def output(self):
        """`Frame` of the results."""
        return self.stages[-1].config.output

    @property
    def multipliers(self):
        """Multiply-accumulates per cycle of all units together."""
        return _multipliers(self.stages)

    @property
    def macs(self):
        """Useful multiply-accumulates per image."""
        return sum(stage.config.macs for stage in self.stages)

    @cached_property
    def actors(self):
        """All units' actors (`hwsim.blocks.timing.Actor`)."""
        return tuple(actor for stage in self.stages for actor in stage.config.actors(stage.name))

    @cached_property
    def edges(self):
        """All connections (`hwsim.blocks.timing.Edge`)."""
        return tuple(_edges(self.stages))

    @property
    def utilization(self):
        """Useful multiply-accumulates over what the multipliers could have done in an interval.

        0 for a pipeline without multipliers.
        """
        return self.macs / (self.multipliers * self.interval) if self.multipliers else 0.0

    def trace(self, images=1):
        """`hwsim.blocks.timing.Trace` of images back to back, source and sink always ready."""
        check_positive("images", images)
        return evaluate(self.actors, self.edges, images)

    def cycles(self, images=1):
        """Cycles from the first beat in to the last beat out, source and sink always ready."""
        return self.trace(images).cycles


def plan_streaming(network, options=None, *, sized=True):
    """Choose foldings and queue depths.

    Parameters
    ----------
    network : IntegerNetwork
    options : Streaming, optional
    sized : bool
        Whether depths of queues are chosen, which takes long for large networks; else queues hold
        any number of beats, and the interval is that of the slowest unit. There is no hardware for
        such a plan.

    Returns
    -------
    StreamingPlan

    Raises
    ------
    NetworkError
        For a layer that no streaming unit computes, or a network with more than one output.
    ValueError
        If the target cannot be reached; the message names the layer that stands in the way and what
        it can reach.
    """
    options = options or Streaming()
    if len(network.outputs) != 1:
        names = ", ".join(tensor.name for tensor in network.outputs)
        raise NetworkError(
            f"a streaming pipeline has one output, but {network.name} has "
            f"{len(network.outputs)}: {names}"
        )
    if not network.layers:
        raise NetworkError(f"{network.name} has no layer to build")
    if options.cycles_per_image is not None:
        stages = _fold(network, options.cycles_per_image, {})
    else:
        stages = _fold_within(network, options.multipliers or DEFAULT_MULTIPLIERS)
    if not sized:
        return StreamingPlan(network, options, stages, _slowest(stages))
    return StreamingPlan(network, options, *_size_queues(stages))


def _slowest(stages):
    """Cycles that the slowest unit takes for an image."""
    return max(stage.config.interval for stage in stages)


def _fold_within(network, multipliers):
    """The fastest folding that needs at most so many multipliers."""
    choices: _Choices = {}
    best = _fold(network, ANY_TIME, choices)
    fewest = _multipliers(best)
    if fewest > multipliers:
        raise ValueError(
            f"multipliers must be at least {fewest} for {network.name}, not {multipliers}"
        )
    # Fewer cycles take more multipliers: bisect between a target that is missed and one that is
    # met.
    low, high = 0, _slowest(best)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            stages = _fold(network, middle, choices)
        except ValueError:
            low = middle
            continue
        if _multipliers(stages) <= multipliers:
            best, high = stages, middle
        else:
            low = middle
    return best


# Cycles per image that every folding keeps within.
ANY_TIME = 1 << 62

# By name of a layer and lanes that arrive (None: open): its foldings, best first.
_Choices = dict[tuple[str, int | None], list[tuple[int, int, int, int]]]


def _multipliers(stages):
    return sum(stage.config.multipliers for stage in stages)


def _fold(network, target, choices):
    """Stages without queues: the fewest multipliers for ``target`` cycles per image.

    ``choices`` keeps from one call to the next what does not depend on the target.
    """
    readers: dict[str, int] = {}
    for layer in network.layers:
        for name in layer.inputs:
            readers[name] = readers.get(name, 0) + 1
    builder = _Builder(network, target, choices)
    builder.provide(network.input.name, None, None, readers)
    for layer in network.layers:
        builder.add(layer)
        builder.provide(layer.output, layer.name, builder.stages[-1].config.output, readers)
    return tuple(builder.stages)


class _Builder:
    """Adds stages layer by layer, with what is needed in between."""

    def __init__(self, network, target, choices):
        self.network = network
        self.target = target
        self.choices = choices
        self.stages: list[Stage] = []
        self.layer_names = {layer.name for layer in network.layers}
        # tensor -> (outputs that carry it and are not yet read, frame); the frame of the images is
        # None until the first reader has chosen how many lanes they have.
        self.sources: dict[str, tuple[list[tuple[str, int]], Frame | None]] = {}

    def provide(self, tensor, stage, frame, readers):
        """Make a stage's output available under a tensor's name, as often as it is read."""
        count = readers.get(tensor, 1)
        if count > 1:
            if frame is None:
                frame = self.frame(tensor, self._fit(self.network.tensors[tensor], 1))
            stage = self._append(
                f"{tensor}_fork", ForkConfig(frame=frame, outputs=count), ((stage or "", 0),)
            )
        self.sources[tensor] = ([(stage or "", k) for k in range(count)], frame)

    def add(self, layer):
        """Add the stage of a layer, and resizes before it where lanes differ."""
        kind = type(layer)
        if kind not in _FOLDINGS:
            raise NetworkError(f"no streaming unit computes {kind.__name__} (layer {layer.name})")
        frames = [self.sources[name][1] for name in layer.inputs]
        config = _FOLDINGS[kind](self, layer, *frames)
        if config.interval > self.target:
            raise _too_slow(layer, config.interval, self.target)
        inputs = [
            self._connect(name, layer.name, port, frame)
            for name, (port, frame) in zip(layer.inputs, config.inputs.items(), strict=True)
        ]
        self._append(layer.name, config, tuple(inputs), layer)

    def _connect(self, tensor, reader, port, wanted):
        """An output that carries ``tensor`` with the lanes of ``wanted``."""
        outputs, frame = self.sources[tensor]
        source = outputs.pop(0)
        if frame is None or frame.lanes == wanted.lanes:
            return source
        for lanes in dict.fromkeys((gcd(frame.lanes, wanted.lanes), wanted.lanes)):
            if lanes != frame.lanes:
                config = ResizeConfig(frame=frame, lanes=lanes)
                name = f"{reader}_{port}_resize" + ("" if lanes == wanted.lanes else "_down")
                source, frame = (self._append(name, config, (source,)), 0), config.output
        return source

    def _append(self, name, config, inputs, layer=None):
        """Add a stage; a unit that only moves beats gets a name that no layer has."""
        while layer is None and name in self.layer_names:
            name += "_"
        self.stages.append(Stage(name, config, inputs, layer))
        return name

    def frame(self, tensor, lanes):
        """`Frame` of a tensor of the network."""
        t = self.network.tensors[tensor]
        channels, height, width = t.shape
        return Frame(height, width, channels, lanes, t.bits, t.signed)

    def _fit(self, tensor, minimum):
        """The fewest lanes from ``minimum`` up with which ``tensor`` passes within the target."""
        channels, height, width = tensor.shape
        fitting = [
            n
            for n in _divisors(channels)
            if n >= minimum and height * width * channels // n <= self.target
        ]
        return fitting[0] if fitting else channels

    def lanes(self, tensor, frame):
        """Lanes for a unit that can work with any: those that arrive if they are fast enough."""
        return self._fit(self.network.tensors[tensor], 1 if frame is None else frame.lanes)


def _divisors(n):
    return [d for d in range(1, n + 1) if n % d == 0]


def _lanes_rank(lanes, frame, channels):
    """Preference among lanes: a whole pixel of small images, else what arrives, else the fewest."""
    if frame is None:
        return (lanes != min(channels, 4), lanes)
    return (lanes != frame.lanes, lanes)


def _conv_choices(builder, layer):
    channels = builder.network.tensors[layer.inputs[0]].shape[0]
    out_channels, per_group, *kernel = layer.weights.shape
    taps = kernel[0] * kernel[1]
    _, height, width = builder.network.tensors[layer.output].shape
    choices = []
    for lanes in _divisors(channels):
        if per_group % lanes and lanes % per_group:
            continue
        # Products and output channels that a beat contributes to, as in MacConfig.
        dot = taps * min(lanes, per_group)
        outputs = out_channels // layer.groups * max(lanes // per_group, 1)
        for simd, pe in product(_divisors(dot), _divisors(outputs)):
            work = height * width * (channels // lanes) * (outputs // pe) * (dot // simd)
            choices.append((work, lanes, simd, pe))
    return choices


def _dense_choices(builder, layer):
    channels, height, width = builder.network.tensors[layer.inputs[0]].shape
    choices = []
    for lanes in _divisors(channels):
        for simd, pe in product(_divisors(lanes), _divisors(len(layer.weights))):
            work = (
                height * width * (channels // lanes) * (len(layer.weights) // pe) * (lanes // simd)
            )
            choices.append((work, lanes, simd, pe))
    return choices


def _fold_conv(builder, layer, frame):
    return _fewest_multipliers(builder, layer, frame, ConvConfig, _conv_choices)


def _fold_dense(builder, layer, frame):
    return _fewest_multipliers(builder, layer, frame, DenseConfig, _dense_choices)


def _fewest_multipliers(builder, layer, frame, config_type, list_choices):
    """The configuration within the target that has the fewest multipliers.

    Among equals that with the best lanes, then that with the narrowest output. ``list_choices``
    lists (multiply-accumulate cycles, lanes, simd, pe) of every folding.
    """
    tensor, output = (builder.network.tensors[name] for name in (layer.inputs[0], layer.output))

    def cost(choice):
        _, lanes, simd, pe = choice
        return simd * pe, *_lanes_rank(lanes, frame, tensor.shape[0]), pe

    key = layer.name, frame and frame.lanes
    if key not in builder.choices:
        builder.choices[key] = sorted(list_choices(builder, layer), key=cost)
    choices, quickest = builder.choices[key], inf
    for work, lanes, simd, pe in choices:
        if work > builder.target:
            continue
        config = config_type.for_layer(
            layer, builder.frame(tensor.name, lanes), tensor, output, simd=simd, pe=pe
        )
        if config.interval <= builder.target:
            return config
        quickest = min(quickest, config.interval)
    raise _too_slow(
        layer, min(quickest, min(choices)[0]) if quickest == inf else quickest, builder.target
    )


def _too_slow(layer, possible, target):
    return ValueError(
        f"cycles_per_image must be at least {possible} for layer {layer.name}, not {target}"
    )


def _widths(builder, layer):
    """Accumulator and output widths of a convolution or dense layer."""
    low, high = layer.accumulator_bounds(builder.network.tensors[layer.inputs[0]])
    output = builder.network.tensors[layer.output]
    return {
        "accumulator_bits": max(int(high).bit_length(), int(-1 - low).bit_length()) + 1,
        "output_bits": output.bits,
        "output_signed": output.signed,
    }


def _fold_pool(builder, layer, frame):
    tensor, output = (builder.network.tensors[name] for name in (layer.inputs[0], layer.output))
    frame = builder.frame(tensor.name, builder.lanes(tensor.name, frame))
    whole = layer.kernel == tensor.shape[1:] and not any(layer.pads)
    return (GlobalPoolConfig if whole else PoolConfig).for_layer(layer, frame, tensor, output)


def _fold_single(builder, layer, frame):
    tensor, output = (builder.network.tensors[name] for name in (layer.inputs[0], layer.output))
    frame = builder.frame(tensor.name, builder.lanes(tensor.name, frame))
    match layer:
        case integer.LRN():
            return LRNConfig.for_layer(layer, frame, tensor, output)
        case integer.Pad():
            return PadConfig.for_layer(layer, frame, tensor, output)
    return TableConfig.for_layer(layer, frame, tensor, output)


def _fold_midrange(builder, layer, frame):
    tensor, output = (builder.network.tensors[name] for name in (layer.inputs[0], layer.output))
    return MidrangeConfig.for_layer(
        layer, builder.frame(tensor.name, tensor.shape[0]), tensor, output
    )


def _fold_pair(builder, layer, *frames):
    tensors = [builder.network.tensors[name] for name in layer.inputs]
    lanes = max(
        builder.lanes(t.name, frame) for t, frame in zip(tensors[:1] * 2, frames, strict=True)
    )
    config = AddConfig if isinstance(layer, integer.Add) else MulConfig
    equal = [builder.frame(t.name, lanes) for t in tensors]
    return config.for_layer(layer, equal, tensors, builder.network.tensors[layer.output])


def _fold_concat(builder, layer, *frames):
    tensors = [builder.network.tensors[name] for name in layer.inputs]
    common = gcd(*(t.shape[0] for t in tensors))
    output = builder.network.tensors[layer.output]
    fitting = [n for n in _divisors(common) if np.prod(output.shape) // n <= builder.target]
    wanted = max(frame.lanes for frame in frames if frame is not None)
    lanes = next((n for n in fitting if n >= wanted), fitting[-1] if fitting else common)
    return ConcatConfig(frames=tuple(builder.frame(t.name, lanes) for t in tensors))


_FOLDINGS = {
    integer.Add: _fold_pair,
    integer.Concat: _fold_concat,
    integer.Conv: _fold_conv,
    integer.Dense: _fold_dense,
    integer.LRN: _fold_single,
    integer.Midrange: _fold_midrange,
    integer.Mul: _fold_pair,
    integer.Pad: _fold_single,
    integer.Pool: _fold_pool,
    integer.Table: _fold_single,
}


def _edges(stages):
    """Connections between all actors: mapping of `Edge` to the output that it leaves.

    An output is (name of the stage, number); None for a connection inside a unit or from the
    source. A queue that is not chosen yet is without limit, and as quick as a shallow one.
    """
    edges: dict[Edge, tuple[str, int] | None] = {}
    producers = {}  # by stage: the stage, and its last actor's name
    for stage in stages:
        actors, inner = stage.config.chain(stage.name)
        edges.update(dict.fromkeys(inner))
        producers[stage.name] = stage, actors[-1].name
        for port, source in zip(stage.config.inputs, stage.inputs, strict=True):
            if source[0]:
                edge = _output_edge(*producers[source[0]], source[1], actors[0].name, port)
                edges[edge] = source
            else:
                edges[Edge(None, actors[0].name, port)] = None
    last = stages[-1].name
    edges[_output_edge(*producers[last], 0, None, "i")] = (last, 0)
    return edges


def _output_edge(stage, producer, output, consumer, port):
    if stage.queues:
        return stage.config.output_edge(producer, consumer, port, stage.queues[output])
    forward = stage.config.latency + QueueConfig(1).latency
    return Edge(producer, consumer, port, None, forward)


def _size_queues(stages):
    """The same stages with queues, and the interval that they reach; see the module's text."""
    actors = tuple(actor for stage in stages for actor in stage.config.actors(stage.name))
    interval = _slowest(stages)
    # A unit with a tail settles when it has as much of the next image before it as its tail takes:
    # images a little early bring that about at once.
    lead = sum(len(actor.tail) * interval // len(actor.puts) for actor in actors)
    outputs = [(stage, k) for stage in stages for k in range(getattr(stage.config, "outputs", 1))]
    depths = {(stage.name, k): stage.config.queue.depth for stage, k in outputs}
    sized = stages
    # A deep queue is a cycle slower than a shallow one, which may change what the others have to
    # hold: repeat until no connection changes. Depths only grow, so that this ends.
    unlimited: dict[Edge, tuple[str, int] | None] = {}
    while (edges := _unlimited(sized)) != unlimited:
        unlimited = edges
        occupancy = _settle(actors, tuple(edges), interval, lead)[0].occupancy
        _deepen(depths, edges, {edge: held + 1 for edge, held in occupancy.items()})
        sized = _with_depths(stages, depths)
    while True:
        edges = _edges(sized)
        trace, reached = _settle(actors, tuple(edges))
        if reached <= interval or reached <= _settle(actors, tuple(unlimited), interval, lead)[1]:
            return sized, reached
        full = {
            edge: edge.capacity + 1 + edge.capacity // 8
            for edge in edges
            if edge.capacity == trace.occupancy[edge]
        }
        _deepen(depths, edges, full)
        sized = _with_depths(stages, depths)


def _unlimited(stages):
    """As `_edges`, with queues that hold any number of beats and are as quick as those chosen."""
    return {
        replace(edge, capacity=None) if output else edge: output
        for edge, output in _edges(stages).items()
    }


def _deepen(depths, edges, wanted):
    """Raise the depths of queues to what is ``wanted`` of their connections."""
    for edge, depth in wanted.items():
        output = edges[edge]
        if output is not None:
            depths[output] = max(depths[output], depth)


def _with_depths(stages, depths):
    return tuple(
        replace(
            stage,
            queues=tuple(
                QueueConfig(depths[stage.name, k])
                for k in range(getattr(stage.config, "outputs", 1))
            ),
        )
        for stage in stages
    )


def _settle(actors, edges, offered=0, lead=0):
    """Evaluate until images follow each other at a constant rate.

    Images are offered ``offered`` cycles apart, all but the first ``lead`` cycles earlier. Returns
    the `Trace` and the interval, in cycles.
    """
    images = _FEWEST_IMAGES
    while True:
        trace = evaluate(actors, edges, images, interval=offered, lead=lead)
        ends = trace.sink.reshape(images, -1)[:, -1]
        # Until the source has given its last beat all is as if images went on; behind it windows
        # leave early, of several images in deep pipelines.
        steady = np.diff(ends[ends <= trace.source[-1]])
        settled = steady[-max(images // 4, 2) :]
        if images >= _MOST_IMAGES:
            # A pipeline whose images differ in turn is given its mean rate, on the safe side.
            settled = settled if len(settled) else np.diff(ends)
            return trace, int(-(-settled.sum() // len(settled)))
        if len(settled) < 2:
            images += 2 - len(settled)
        elif (settled == settled[0]).all():
            return trace, int(settled[0])
        else:
            images *= 2
        del trace  # which is large


_FEWEST_IMAGES, _MOST_IMAGES = 4, 64
