"""One network's layers split over several devices: across features, or inside each convolution.

Across features (Krizhevsky, "One weird trick for parallelizing convolutional neural networks",
arXiv:1404.5997, 2014; Dryden et al., "Channel and filter parallelism for large-scale CNN training",
SC 2019). Each of n devices has an n-th of every layer's output channels and of its weights. A
product needs all channels of its input: they are gathered before it, and in the backward pass the
input gradients, to each of which every device adds its share, are added and scattered. Gradients of
weights and updates stay where they are. A depthwise convolution, or one whose groups n divides,
and whatever works on each channel by itself exchanges nothing.

Inside a convolution (Dryden et al., "Improving strong-scaling of CNN training by exploiting
finer-grained parallelism", IPDPS 2019). Each device has a strip of every map's rows and all
weights. A window reaches into its neighbours' strips: these rows, the halo, are exchanged before
the layer, and those of the output's gradient before the input gradient. Where a map has too few
rows for that, or no rows, it is gathered, and every device computes the layers from there on whole.
The gradients of weights of layers that are split are added in the end, as those of a split batch
are. Batch normalization takes the statistics of its own strip.

On rings, S bytes take, with c = ceil(S / n) / bandwidth + latency,

    gather, or add and scatter: (n - 1) c        add on all devices: 2 (n - 1) c
    halo: the longer of its two directions

(Thakur et al., "Optimization of collective communication operations in MPICH", 2005). A step
takes the sum of the times of its layers, each as that of the largest share, and of its exchanges:
nothing overlaps. `simulate_split` gives the same to the picosecond, and also what happens where a
device is late. Bytes of halos count on the links, not in the devices' memories.
"""

from dataclasses import dataclass, field, replace
from itertools import pairwise

import simpy

from hwsim.blocks.checks import check_positive
from hwsim.models import devices as catalog
from hwsim.network.windows import span

from . import tiles
from .mapping import PICOSECONDS, choose_precision, map_workload
from .parallel import Link, Split, ring_process, ring_time
from .training import INPUT, UPDATE, WEIGHT, check_optimizer, training_step
from .workload import Work, is_quantized, workload

__all__ = [
    "Exchange",
    "ModelParallel",
    "feature_parallel",
    "halo",
    "simulate_split",
    "space_parallel",
    "split_time",
]

GATHER, SCATTER, REDUCE, HALO = "gather", "add and scatter", "add on all", "halo"
# Of an exchange on a ring, in units of devices - 1.
_STEPS = {GATHER: 1, SCATTER: 1, REDUCE: 2}


@dataclass(frozen=True)
class Exchange:
    """What devices send each other at one point of a step.

    Members
    -------
    kind : str
        "gather", "add and scatter", "add on all" or "halo".
    name : str
        The feature map, or what else it is.
    before : int
        Number of the work before which it happens; their number for the end.
    size : int
        Bytes of the whole map; of a halo those that a device sends in either direction, at most.
    """

    kind: str
    name: str
    before: int
    size: int

    def time(self, devices, link):
        """Picoseconds on devices that begin at the same time, in closed form."""
        if devices == 1:
            return 0
        if self.kind == HALO:
            return link.time(self.size)
        if self.kind == REDUCE:
            return ring_time(self.size, devices, link)
        return (devices - 1) * link.time(-(-self.size // devices))


def split_time(computes, exchanges, devices, link):
    """Picoseconds of a step, in closed form: the works' times and the exchanges', one by one."""
    return sum(computes) + sum(exchange.time(devices, link) for exchange in exchanges)


def simulate_split(computes, exchanges, starts, link):
    """A step on devices that begin at different times.

    Parameters
    ----------
    computes : sequence of int
        Picoseconds of each work.
    exchanges : sequence of Exchange
        In order.
    starts : sequence of int
        Picosecond in which each device begins.
    link : Link
        From each device to the next; for halos also back.

    Returns
    -------
    tuple of int
        Picosecond in which each device ends.
    """
    count = len(starts)
    env = simpy.Environment()
    ring = [simpy.Store(env) for _ in range(count)]
    from_above, from_below = ([simpy.Store(env) for _ in range(count)] for _ in range(2))
    ends = list(starts)

    def send(store, time):
        yield env.timeout(time)
        yield store.put(None)

    def swap(number, time):
        neighbours = []
        if number > 0:
            neighbours.append((from_below[number - 1], from_above[number]))
        if number + 1 < count:
            neighbours.append((from_above[number + 1], from_below[number]))
        sent = [env.process(send(there, time)) for there, _ in neighbours]
        for _, here in neighbours:
            yield here.get()
        yield env.all_of(sent)

    def device(number):
        yield env.timeout(starts[number])
        waiting = list(exchanges)
        for index in range(len(computes) + 1):
            while waiting and waiting[0].before == index:
                exchange = waiting.pop(0)
                if exchange.kind == HALO:
                    yield from swap(number, link.time(exchange.size))
                else:
                    steps = _STEPS[exchange.kind] * (count - 1)
                    time = link.time(-(-exchange.size // count))
                    yield from ring_process(env, ring, number, steps, time)
            if index < len(computes):
                yield env.timeout(computes[index])
        ends[number] = env.now

    for number in range(count):
        env.process(device(number))
    env.run()
    return tuple(ends)


@dataclass(frozen=True)
class ModelParallel(Split):
    """Layers split over devices.

    Members
    -------
    kind : str
        "features" or "space".
    exchanges : tuple of Exchange
    computes : tuple of int
        Picoseconds of each work on the device with the largest share.
    """

    kind: str
    exchanges: tuple[Exchange, ...] = field(repr=False)
    computes: tuple[int, ...] = field(repr=False)

    def to_dict(self):
        """Plain data; keys carry units."""
        kinds = dict.fromkeys(exchange.kind for exchange in self.exchanges)
        return {
            **super().to_dict(),
            "exchanges": [
                {
                    "kind": kind,
                    "count": sum(exchange.kind == kind for exchange in self.exchanges),
                    "bytes": sum(e.size for e in self.exchanges if e.kind == kind),
                }
                for kind in kinds
            ],
        }


def feature_parallel(network, device, devices, link, *, batch, **options):
    """Split the output channels of every layer over equal devices.

    Parameters
    ----------
    network : hwsim.network.Network
    device : str, path or Device
        In training also an FPGA.
    devices : int
    link : Link
        Of the ring.
    batch : int
        Images; each device works on all of them.
    **options
        ``precision``, ``cores``, ``training``, ``optimizer``, ``design`` and ``clock_hz`` of
        `hwsim.estimate`.

    Returns
    -------
    ModelParallel

    Raises
    ------
    ValueError
        For inference on an FPGA, and whatever `hwsim.estimate` refuses.
    """
    return _split("features", _Features, network, device, devices, link, batch, **options)


def space_parallel(network, device, devices, link, *, batch, **options):
    """Split the rows of every feature map over equal devices; arguments of `feature_parallel`."""
    return _split("space", _Space, network, device, devices, link, batch, **options)


def _split(
    kind,
    splitter,
    network,
    device,
    devices,
    link: Link,
    batch,
    *,
    precision=None,
    cores=None,
    training=False,
    optimizer="sgd",
    design=None,
    clock_hz=None,
):
    check_positive("devices", devices)
    check_positive("batch", batch)
    check_optimizer(optimizer)
    device = catalog.load(device)
    if device.device_class == "fpga":
        if training:
            # Here, because it builds on this module.
            from hwsim.models.fpga_split import split_training

            return split_training(
                kind, network, device, devices, link, batch, optimizer, design, clock_hz
            )
        raise ValueError(
            f"layers that are split have no model of inference on FPGAs, and {device.name} is one; "
            "give a device of the classes cpu, gpu, tpu and spatial, or split the batch"
        )
    quantized = is_quantized(network)
    precision, _ = choose_precision(device, quantized, precision, training)
    load = workload(network, batch, precision, False, training)
    if training:
        load = training_step(load, optimizer)

    def computes(load):
        """Times of works, and what does not fit."""
        found = map_workload(load, device, quantized, cores=cores)
        ends = [0, *tiles.finish(found.program)]
        return tuple(end - start for start, end in pairwise(ends)), found.assumptions

    share, exchanges = splitter(network, load, devices).split()
    times, notes = computes(share)
    total = split_time(times, exchanges, devices, link)
    return ModelParallel(
        devices,
        batch,
        sum(times) / PICOSECONDS,
        (total - sum(times)) / PICOSECONDS,
        sum(exchange.size for exchange in exchanges),
        sum(computes(load)[0]) / PICOSECONDS,
        kind,
        notes,
        tuple(exchanges),
        times,
    )


def _part(value, share, whole):
    """``share`` of ``whole`` parts, rounded up."""
    return -(-value * share // whole)


class _Splitter:
    """The share of the device that has most to do, and what is exchanged."""

    def __init__(self, network, load, devices):
        self.network, self.load, self.devices = network, load, devices
        self.layers = {layer.name: layer for layer in network.layers}
        self.sizes = dict(load.sizes)
        self.exchanges: list[Exchange] = []
        self.whole: dict[str, str] = {}  # map of which a device has a part: where it lies gathered
        self.inputs = {tensor.name for tensor in network.inputs}
        self.works: list[Work] = []
        self.later: list[tuple] = []  # exchanges behind the work at hand

    def split(self):
        """(`Workload` of a device, exchanges)."""
        if self.devices == 1:
            return self.load, []
        for work in self.load.works:
            share = work if work.free else self.share(work)
            self.works.append(share)
            for exchange in self.later:
                self.exchange(*exchange)
            self.later = []
        self.finish()
        return replace(self.load, works=tuple(self.works), sizes=self.sizes), self.exchanges

    def share(self, work):
        """A device's part of a work."""
        raise NotImplementedError

    def finish(self):
        """What is exchanged in the end."""

    def exchange(self, kind, name, size, source="", made=""):
        """Exchange something before the work at hand; a map may come about from another by it."""
        if size:
            self.exchanges.append(Exchange(kind, name, len(self.works), size))
        if made:
            # It takes no time of the device's, but from here on there is the map.
            note = f"{kind} {name}"
            work = Work(f"{name}.{kind}", "Exchange", inputs=(source,), outputs=(made,), note=note)
            self.works.append(work)

    def gathered(self, name):
        """The whole of a feature map, gathered at its first use."""
        if name not in self.whole:
            self.whole[name] = f"{name}.whole"
            self.sizes[f"{name}.whole"] = self.load.sizes[name]
            # What comes from outside is given to each device as it needs it.
            size = 0 if name in self.inputs else self.load.sizes[name]
            self.exchange(GATHER, name, size, name, self.whole[name])
        return self.whole[name]

    def layer(self, work):
        """The layer that a work belongs to, and its name."""
        name = work.name if work.phase == "forward" else work.name.rpartition(".")[0]
        return self.layers[name]


class _Features(_Splitter):
    """Each device has an n-th of the channels of every feature map."""

    # Beside products: what needs all channels of a pixel.
    NEEDS_ALL = ("Loss", "Softmax")

    def __init__(self, *arguments):
        super().__init__(*arguments)
        resident = self.part(self.load.resident_bytes)
        self.load = replace(self.load, resident_bytes=resident)
        for name in self.sizes:
            self.sizes[name] = self.part(self.sizes[name])

    def part(self, value):
        return _part(value, 1, self.devices)

    def share(self, work):
        gemm, shape = work.gemm, work.convolution
        if work.phase == UPDATE:
            return self.smaller(work)
        if work.op in self.NEEDS_ALL or self.reaches(work):
            return self.smaller(work, inputs=tuple(self.gathered(n) for n in work.inputs))
        if gemm is None:
            return self.smaller(work)
        if self.apart(work):
            groups = self.part(gemm.groups)
            gemm, shape = replace(gemm, groups=groups), shape and shape.grouped(groups)
            return self.smaller(work, gemm=gemm, convolution=shape)
        if work.phase == INPUT:
            # Own channels of the output, all of the input: the results are added.
            gemm = replace(gemm, k=self.part(gemm.k))
            channels = shape and shape.groups * self.part(shape.channels // shape.groups)
            shape = shape and replace(shape, channels=channels)
            return self.smaller(work, gemm=gemm, convolution=shape, outputs=self.added(work))
        gemm = replace(gemm, n=self.part(gemm.n))
        if work.phase == WEIGHT:
            source, *rest = work.inputs
            return self.smaller(work, gemm=gemm, inputs=(self.gathered(source), *rest))
        outputs = shape and shape.groups * self.part(shape.outputs // shape.groups)
        shape = shape and replace(shape, outputs=outputs)
        inputs = tuple(self.gathered(name) for name in work.inputs)
        return self.smaller(work, gemm=gemm, convolution=shape, inputs=inputs)

    def apart(self, work):
        """Whether each device has groups of its own: of a depthwise convolution they may differ."""
        groups, layer = work.gemm.groups, self.layer(work)
        depthwise = "Conv" in layer.op and groups == self.network.shape(layer.inputs[0])[1] > 1
        return groups % self.devices == 0 or depthwise

    def reaches(self, work):
        """Whether it normalizes across channels."""
        return work.op == "LRN" and not self.layer(work).attributes["within"]

    def added(self, work):
        """Outputs of which every device has a part of the sum, to be added behind this work."""
        outputs = []
        for name in work.outputs:
            outputs.append(f"{name}.part")
            size = self.sizes[outputs[-1]] = self.load.sizes[name]
            self.later.append((SCATTER, name, size, outputs[-1], name))
        return tuple(outputs)

    def smaller(self, work, **changes):
        changes = {
            "element_ops": self.part(work.element_ops),
            "weight_bytes": self.part(work.weight_bytes),
            "useful_macs": None if work.useful_macs is None else self.part(work.useful_macs),
        } | changes
        return replace(work, **changes)


def halo(rows, outputs, devices, reach, stride, pad):
    """Rows of its neighbours' strips that a device needs: (above, below), the most of any device.

    Parameters
    ----------
    rows, outputs : int
        Of the input and of the output; device i has those from ``i * rows // devices`` on.
    devices : int
    reach : int
        Rows that a window spans.
    stride, pad : int
        Rows from window to window, and of padding above the first.
    """
    above = below = 0
    for number in range(devices):
        first, end = (number * rows // devices, (number + 1) * rows // devices)
        windows = (number * outputs // devices, (number + 1) * outputs // devices)
        if windows[0] == windows[1]:
            continue
        above = max(above, first - max(windows[0] * stride - pad, 0))
        below = max(below, min((windows[1] - 1) * stride - pad + reach, rows) - end)
    return above, below


def gradient_halo(rows, outputs, devices, reach, stride, pad):
    """The same of the output's gradient, for the gradient of the input."""
    above = below = 0
    for number in range(devices):
        first, end = (number * rows // devices, (number + 1) * rows // devices)
        windows = (number * outputs // devices, (number + 1) * outputs // devices)
        if first == end:
            continue
        # The first window that ends behind a row, and the last one that begins before it.
        above = max(above, windows[0] - max(-((reach - 1 - first - pad) // stride), 0))
        below = max(below, min((end - 1 + pad) // stride + 1, outputs) - windows[1])
    return above, below


class _Space(_Splitter):
    """Each device has a strip of the rows of every feature map, as far as they are high enough."""

    # Not done on rows, whatever the shapes.
    WHOLE = ("MatMul", "MatMulInteger", "QLinearMatMul", "Softmax", "Transpose")

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.strips = {name for name in self.inputs if self.rows(name) >= self.devices}
        self.split_layers: set[str] = set()
        self.reduced = 0
        for name in self.strips:
            self.sizes[name] = self.part(self.sizes[name], name)

    def base(self, name):
        """The feature map that a gradient belongs to."""
        return name.partition(".gradient")[0]

    def rows(self, name):
        shape = self.network.shape(self.base(name))
        return shape[2] if len(shape) == 4 else 0

    def part(self, value, name):
        rows = self.rows(name)
        return _part(value, -(-rows // self.devices), rows)

    def window(self, work):
        """(reach, stride, padding above) of a layer along rows."""
        layer = self.layer(work)
        attributes = layer.attributes
        if layer.op == "LRN" and attributes["within"]:
            return attributes["size"], 1, (attributes["size"] - 1) // 2
        if "strides" not in attributes:
            return 1, 1, 0
        if "Pool" in layer.op:
            kernel = attributes["kernel"][0]
        else:
            kernel = self.network.shape(layer.inputs[3 if layer.op == "QLinearConv" else 1])[2]
        reach = span(kernel, attributes["dilations"][0])
        return reach, attributes["strides"][0], attributes["pads"][0]

    def share(self, work):
        if work.phase == UPDATE:
            return work
        if work.phase == "forward":
            return self.forward(work)
        return self.backward(work)

    def forward(self, work):
        if not work.outputs:
            # On the results of the layer before, wherever these are.
            layer = self.layer(work)
            if self.network.producers[layer.inputs[0]].name not in self.split_layers:
                return work
            self.split_layers.add(work.name)
            return self.smaller(work, layer.outputs[0])
        strips = [name for name in work.inputs if name in self.strips]
        source, output = (strips or work.inputs)[0], work.outputs[0]
        if work.op.endswith("GlobalAveragePool") and strips:
            # Sums of strips are added.
            self.split_layers.add(work.name)
            self.later.append((REDUCE, output, self.sizes[output]))
            return self.smaller(work, source)
        # A vector for all pixels may come with strips.
        fits = all(name in strips or self.rows(name) == 1 for name in work.inputs)
        fits &= work.op not in self.WHOLE and self.rows(output) >= self.devices
        if fits and strips:
            shape = self.rows(source), self.rows(output), self.devices, *self.window(work)
            strip = self.rows(source) // self.devices
            low = min(self.rows(source), self.rows(output)) // self.devices
            fits = max(halo(*shape)) <= strip and max(gradient_halo(*shape)) <= low
        if not fits or not strips:
            inputs = tuple(self.gathered(name) if name in strips else name for name in work.inputs)
            return replace(work, inputs=inputs)
        self.split_layers.add(work.name)
        # The network's input is given with its halo.
        if source not in self.inputs:
            self.swap(source, max(halo(*shape)))
        for name in work.outputs:
            self.strips.add(name)
            self.sizes[name] = self.part(self.load.sizes[name], output)
        return self.smaller(work, output)

    def swap(self, name, rows):
        if rows:
            self.exchange(HALO, name, self.load.sizes[name] // self.rows(name) * rows)

    def backward(self, work):
        name = work.name.rpartition(".")[0]
        if name not in self.split_layers:
            # Computed by all devices; of the results each takes its strip.
            inputs = tuple(self.whole.get(source, source) for source in work.inputs)
            return replace(work, inputs=inputs)
        for output in work.outputs:
            if work.phase == INPUT:
                self.sizes[output] = self.part(self.load.sizes[output], output)
        if work.phase == WEIGHT:
            self.reduced += self.load.sizes[work.outputs[0]]
            return self.smaller(work, self.layer(work).outputs[0])
        if work.op in ("Loss", "Sum") or "GlobalAveragePool" in work.op:
            return self.smaller(work, work.outputs[0])
        layer = self.layer(work)
        source, output = layer.inputs[0], layer.outputs[0]
        if self.rows(source):
            shape = self.rows(source), self.rows(output), self.devices, *self.window(work)
            gradient = work.inputs[0]
            rows = max(gradient_halo(*shape))
            if rows:
                size = self.load.sizes[gradient] // self.rows(output) * rows
                self.exchange(HALO, gradient, size)
        return self.smaller(work, work.outputs[0])

    def smaller(self, work, name):
        """A work on the strip of a feature map."""
        part = {
            "element_ops": self.part(work.element_ops, name),
            "useful_macs": None if work.useful_macs is None else self.part(work.useful_macs, name),
        }
        gemm, shape = work.gemm, work.convolution
        if gemm is not None and work.phase == WEIGHT:
            part["gemm"] = replace(gemm, k=self.part(gemm.k, name))
        elif gemm is not None:
            part["gemm"] = replace(gemm, m=self.part(gemm.m, name))
        if shape is not None:
            size, output = (
                (-(-sizes[0] // self.devices), *sizes[1:])
                for sizes in (shape.size, shape.output_size)
            )
            part["convolution"] = replace(shape, size=size, output_size=output)
        return replace(work, **part)

    def finish(self):
        self.exchange(REDUCE, "gradients of weights", self.reduced)
