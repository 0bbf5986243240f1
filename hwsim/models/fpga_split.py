"""A training step whose layers are split over several FPGAs, each with the training accelerator.

The two ways are those of `hwsim.models.dataflow.split`; each FPGA has stages of its own, of which
`hwsim.compiler.training` makes its program. Stages of the kind "Exchange" stand between them where
FPGAs need what others have: there the program halts, the links bring the rest of the map, or of its
gradient, or add to it, and the program goes on.

Across features each has an n-th of every stage's outputs. What normalizes across channels, and what
comes behind it up to the next product, is computed by all. Inside a convolution each has rows of
every map. Rows of the neighbours that its windows reach are a part of its own map; the gradients
that it has for them are sent back and added there.
"""

from dataclasses import replace
from itertools import pairwise
from math import prod

from hwsim.blocks.training import BITS
from hwsim.models.dataflow.parallel import PICOSECONDS
from hwsim.models.dataflow.split import (
    GATHER,
    HALO,
    REDUCE,
    SCATTER,
    Exchange,
    ModelParallel,
    halo,
    split_time,
)
from hwsim.network.training import IMAGES, POINT, Stage, folded, stages
from hwsim.network.windows import span

from .fpga_training import training_plan

__all__ = ["split_training"]

VALUE_BYTES = BITS // 8
UPDATES = ("velocity", "update")


def split_training(kind, network, device, devices, link, batch, optimizer, design, clock_hz):
    """A step on so many equal FPGAs; see `hwsim.models.dataflow.split.feature_parallel`.

    Parameters
    ----------
    kind : str
        "features" or "space".
    design : TrainingConfig, optional
    clock_hz : float, optional
    """
    parts, clock = stages(folded(network)), clock_hz or device["clock"]

    def operations(parts):
        plan = training_plan(parts, device, batch, optimizer, design)
        return plan.any_program(stochastic=False).operations

    def times(cycles):
        """Picoseconds of each; the ends are rounded."""
        ends, total = [0], 0
        for count in cycles:
            total += count
            ends.append(round(total / clock * PICOSECONDS))
        return tuple(end - start for start, end in pairwise(ends))

    share = _SPLITTERS[kind](parts, devices)
    own = share.split()
    cycles: list[int] = []
    exchanges: list[Exchange] = []
    reduced = share.reduced * VALUE_BYTES
    for operation in operations(own):
        if operation.work in UPDATES and reduced:
            exchanges.append(Exchange(REDUCE, "gradients of weights", len(cycles), reduced))
            reduced = 0
        cycles.append(operation.cycles)
        how = operation.stage.attributes.get(operation.work)
        if how:
            name = (
                f"{operation.stage.inputs[0]}{'' if operation.work == 'forward' else '.gradient'}"
            )
            size = share.sizes[operation.stage.name] * batch * VALUE_BYTES
            exchanges.append(Exchange(how, name, len(cycles), size))
    computes = times([*cycles, 1])  # the end of the program
    alone = sum(operation.cycles for operation in operations(parts)) + 1
    total = split_time(computes, exchanges, devices, link)
    return ModelParallel(
        devices,
        batch,
        sum(computes) / PICOSECONDS,
        (total - sum(computes)) / PICOSECONDS,
        sum(exchange.size for exchange in exchanges),
        alone / clock,
        kind,
        tuple(exchanges),
        computes,
    )


class _Splitter:
    """Stages of the FPGA that has most to do.

    Members
    -------
    sizes : dict of str to int
        Values of an image that an exchange moves, as `Exchange.size` counts bytes.
    reduced : int
        Weights of which all FPGAs have a gradient; known behind `split`.
    """

    def __init__(self, parts, devices):
        self.parts, self.devices = parts, devices
        self.stages: list[Stage] = []
        self.by_name: dict[str, Stage] = {}  # own stages
        self.originals = {stage.name: stage for stage in parts}
        self.whole: set[str] = set()  # stages that all FPGAs compute
        self.sizes: dict[str, int] = {}
        self.reduced = 0

    def split(self):
        """The stages."""
        if self.devices == 1:
            return self.parts
        for stage in self.parts:
            self.add(self.share(stage))
        return self.stages

    def share(self, stage):
        """An FPGA's part of a stage."""
        raise NotImplementedError

    def add(self, stage):
        self.stages.append(stage)
        self.by_name[stage.name] = stage

    def all_of(self, stage, inputs):
        """The whole of a stage."""
        self.whole.add(stage.name)
        return replace(stage, inputs=tuple(inputs))

    def exchanged(self, name, what, shape, size, forward, backward):
        """Name of a stage that exchanges an output, or its gradient; made at its first use."""
        stage = f"{name}.{what}"
        if stage not in self.by_name:
            kinds = {"forward": forward, "input gradient": backward}
            self.sizes[stage] = size
            self.add(
                Stage(
                    op="Exchange",
                    name=stage,
                    inputs=(name,),
                    output=stage,
                    shape=shape,
                    attributes={**POINT, **kinds},
                    outputs=shape[0],
                )
            )
        return stage

    def gathered(self, name):
        """The whole of an output, for stages that give a whole gradient for it."""
        if name == IMAGES or name in self.whole:
            return name
        shape = self.originals[name].pooled_shape
        return self.exchanged(name, "whole", shape, prod(shape), GATHER, "")


class _Features(_Splitter):
    """Each FPGA has an n-th of every stage's outputs."""

    def split(self):
        found = super().split()
        if self.devices > 1:
            self.gathered(found[-1].name)  # for the loss
        return found

    def part(self, value):
        return -(-value // self.devices)

    def share(self, stage):
        if stage.weight:
            return self.apart(stage) or self.product(stage)
        across = stage.op == "LRN" and not stage.attributes["within"]
        if across or not self.whole.isdisjoint(stage.inputs):
            return self.all_of(stage, map(self.gathered, stage.inputs))
        channels = [self.by_name[name].outputs for name in stage.inputs]
        count = sum(channels) if stage.op == "Concat" else channels[0]
        return replace(stage, shape=(count, *stage.shape[1:]), outputs=count)

    def product(self, stage):
        """A share of the outputs, from all inputs."""
        outputs = stage.group * self.part(stage.outputs // stage.group)
        return replace(stage, inputs=tuple(map(self.summed, stage.inputs)), outputs=outputs)

    def apart(self, stage):
        """A share of a convolution's groups, from an FPGA's own channels; None if these are not."""
        (source,), channels, group = stage.inputs, stage.shape[0], stage.group
        there = source == IMAGES or source in self.whole
        own = self.part(channels) if there else self.by_name[source].outputs
        if group == channels:
            groups = own
        elif group % self.devices == 0 and own * self.devices == channels:
            groups = group // self.devices
        else:
            return None
        return replace(
            stage,
            inputs=(self.own(source),),
            shape=(own, *stage.shape[1:]),
            attributes={**stage.attributes, "group": groups},
            outputs=stage.outputs // group * groups,
        )

    def own(self, name):
        """An FPGA's own channels of an output; of images they are there."""
        if name not in self.whole:
            return name
        channels, *size = shape = self.originals[name].pooled_shape
        return self.exchanged(name, "own", (self.part(channels), *size), prod(shape), "", GATHER)

    def summed(self, name):
        """The whole of an output, for stages that give a part of each sum in its gradient."""
        if name == IMAGES:
            return name
        shape = self.originals[name].pooled_shape
        kinds = ("", REDUCE) if name in self.whole else (GATHER, SCATTER)
        return self.exchanged(name, "summed", shape, prod(shape), *kinds)


class _Space(_Splitter):
    """Each FPGA has rows of every map, as far as there are enough of them."""

    def share(self, stage):
        strip = self.strip(stage)
        if strip is None:
            return self.all_of(stage, map(self.gathered, stage.inputs))
        if stage.weight:
            self.reduced += stage.depth * stage.outputs
        return strip

    def strip(self, stage):
        """A stage on rows; None if there are too few, or they are not apart."""
        rows, a, pool = stage.pooled_shape[1], stage.attributes, stage.window[0]
        within = stage.op == "LRN" and a["within"]
        if rows < self.devices or within or not self.whole.isdisjoint(stage.inputs):
            return None
        # A window of the maximum that is a part of the stage.
        reach = (pool - 1) * a["strides"][0] + span(a["kernel"][0], a["dilations"][0])
        step = pool * a["strides"][0]
        beside = halo(stage.shape[1], rows, self.devices, reach, step, a["pads"][0])
        if max(beside) > stage.shape[1] // self.devices:
            return None
        count = -(-rows // self.devices)
        channels, _, width = stage.shape
        found = replace(
            stage,
            shape=(channels, (count - 1) * step + reach, width),
            attributes={**a, "pads": (0, a["pads"][1], 0, a["pads"][3])},
        )
        own = self.by_name[stage.inputs[0]].pooled_shape[1] if IMAGES not in stage.inputs else 0
        if not any(beside) and own:
            # Rows behind the last window are an FPGA's own, too.
            high = replace(found, shape=(channels, own, width))
            found = high if high.map_shape == found.map_shape else found
        inputs = [self.reaching(name, found, max(beside)) for name in stage.inputs]
        return replace(found, inputs=tuple(inputs))

    def reaching(self, name, reader, rows):
        """An output with the rows of neighbours that its reader needs; images come with them."""
        if name == IMAGES:
            return name
        channels, own, width = self.by_name[name].pooled_shape
        high = reader.shape[1]
        if not rows and high == own:
            return name
        kinds = (HALO, HALO) if rows else ("", "")
        size = rows * channels * width
        what = f"{high}_rows_{rows}"
        return self.exchanged(name, what, (channels, high, width), size, *kinds)


_SPLITTERS = {"features": _Features, "space": _Space}
