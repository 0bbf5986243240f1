"""A training step whose layers are split over several FPGAs, each with the training accelerator.

The two ways are those of `hwsim.models.dataflow.split`; each FPGA has stages of its own, of which
`hwsim.compiler.training` makes its program. Stages of the kind "Exchange" stand between them where
FPGAs need what others have: there the program halts, the links bring the rest of the map, or of its
gradient, or add to it, and the program goes on.

Across features each has an n-th of every stage's outputs. What normalizes across channels or adds
maps that are split in different ways, and what comes behind it up to the next product, is computed
by all. Inside a convolution each has rows of every map. Rows of the neighbours that its windows
reach, and of padding, are a part of its own map; the gradients that it has for rows of neighbours
are sent back and added there.
"""

from dataclasses import replace
from itertools import pairwise
from math import prod

from hwsim.blocks.training import BITS
from hwsim.compiler.training import PAUSE_CYCLES
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
from hwsim.network.training import IMAGES, POINT, SUM_POOLS, Stage, folded, stages
from hwsim.network.windows import span

from .estimate import estimate
from .fpga_training import room, training_plan

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
    given = {"training": True, "optimizer": optimizer, "design": design, "clock_hz": clock_hz}
    (alone,) = estimate(network, device, batch=batch, **given)

    def times(cycles):
        """Picoseconds of each; the ends are rounded."""
        ends, total = [0], 0
        for count in cycles:
            total += count
            ends.append(round(total / alone.clock_hz * PICOSECONDS))
        return tuple(end - start for start, end in pairwise(ends))

    share = _SPLITTERS[kind](stages(folded(network)), devices)
    plan = training_plan(share.split(), device, batch, optimizer, design)
    cycles: list[int] = []
    exchanges: list[Exchange] = []
    reduced = share.reduced * VALUE_BYTES
    for operation in plan.any_program(stochastic=False).operations:
        if operation.work in UPDATES and reduced:
            cycles.append(PAUSE_CYCLES)
            exchanges.append(Exchange(REDUCE, "gradients of weights", len(cycles), reduced))
            reduced = 0
        cycles.append(operation.cycles)
        how = operation.stage.attributes.get(operation.work)
        if how:
            name = operation.stage.inputs[0] + ".gradient" * (operation.work != "forward")
            size = share.sizes[operation.stage.name] * batch * VALUE_BYTES
            exchanges.append(Exchange(how, name, len(cycles), size))
    computes = times([*cycles, 1])  # the end of the program
    total = split_time(computes, exchanges, devices, link)
    return ModelParallel(
        devices,
        batch,
        sum(computes) / PICOSECONDS,
        (total - sum(computes)) / PICOSECONDS,
        sum(exchange.size for exchange in exchanges),
        alone.latency_s,
        kind,
        room(plan.config, device),
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
    """Each FPGA has an n-th of every stage's outputs, one after the other.

    Members
    -------
    blocks : dict of str to tuple of (int, int)
        Of a stage that is split: outputs of which each FPGA has a part, and how many those are.
        There are several blocks behind a concatenation, or a product with groups.
    """

    def __init__(self, parts, devices):
        super().__init__(parts, devices)
        self.blocks: dict[str, tuple[tuple[int, int], ...]] = {}

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
        if not across and self.whole.isdisjoint(stage.inputs):
            blocks = [self.flat(name, stage) for name in stage.inputs]
            joined = sum(blocks, ()) if stage.op == "Concat" else blocks[0]
            # An addition needs the same outputs of both.
            if stage.op == "Concat" or len({*blocks}) == 1:
                count = self.keep(stage, joined)
                return replace(stage, shape=(count, *stage.shape[1:]), outputs=count)
        return self.all_of(stage, map(self.gathered, stage.inputs))

    def keep(self, stage, blocks):
        """How many outputs an FPGA has, in these blocks."""
        self.blocks[stage.name] = blocks
        return sum(own for _, own in blocks)

    def flat(self, name, reader):
        """Blocks of an output in its reader, for which a map may be a vector."""
        pixels = prod(self.originals[name].pooled_shape[1:]) // prod(reader.shape[1:])
        return tuple((size * pixels, own * pixels) for size, own in self.blocks[name])

    def product(self, stage):
        """A share of the outputs, from all inputs."""
        size = stage.outputs // stage.group
        outputs = self.keep(stage, ((size, self.part(size)),) * stage.group)
        return replace(stage, inputs=tuple(map(self.summed, stage.inputs)), outputs=outputs)

    def apart(self, stage):
        """A share of a convolution's groups, from an FPGA's own channels; None if these are not."""
        (source,), channels, group = stage.inputs, stage.shape[0], stage.group
        blocks = self.blocks.get(source, ((channels, self.part(channels)),))
        divided = group % self.devices == 0 and blocks == ((channels, channels // self.devices),)
        if group == 1 or not (divided or group == channels):
            return None
        own = sum(own for _, own in blocks)
        blocks = tuple(tuple(n * stage.outputs // channels for n in block) for block in blocks)
        return replace(
            stage,
            inputs=(self.own(source),),
            shape=(own, *stage.shape[1:]),
            attributes={**stage.attributes, "group": own * group // channels},
            outputs=self.keep(stage, blocks),
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
        # Windows at the border that count less are operations of their own.
        uneven = stage.op in SUM_POOLS and len({region.rows for region in stage.regions}) > 1
        if rows < self.devices or within or uneven or not self.whole.isdisjoint(stage.inputs):
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
