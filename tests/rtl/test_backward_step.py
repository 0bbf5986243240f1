# amaranth: UnusedElaboratable=no
"""Training steps of a small network, computed by streaming units alone."""

from dataclasses import replace

import numpy as np
from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from onnx import TensorProto, helper, numpy_helper

import hwsim
from hwsim.blocks.backward_activation import ActivationGradientConfig, ReluConfig
from hwsim.blocks.backward_conv import WeightGradientConfig
from hwsim.blocks.backward_loss import CrossEntropyGradientConfig
from hwsim.blocks.backward_pool import MaxPoolConfig, PoolGradientConfig
from hwsim.blocks.backward_update import RoundingConfig, UpdateConfig, rounding_word
from hwsim.blocks.conv import ConvConfig, DenseConfig
from hwsim.blocks.queue import QueueConfig
from hwsim.blocks.reshape import ForkConfig, ResizeConfig
from hwsim.blocks.stream import Frame
from hwsim.blocks.timing import Edge, evaluate
from hwsim.blocks.training import OUTPUT_POINT, loss_gradient
from hwsim.models.reference.backward_loss import cross_entropy_gradient
from hwsim.models.reference.training import Reference, round_codes
from hwsim.models.training import INPUT_POINT, IntegerTraining, TrainingSettings
from hwsim.network.training import initial_weights, stages
from hwsim.rtl.backward_activation import ActivationGradient, Relu
from hwsim.rtl.backward_conv import WeightGradient
from hwsim.rtl.backward_loss import CrossEntropyGradient
from hwsim.rtl.backward_pool import MaxPool, PoolGradient
from hwsim.rtl.backward_update import Rounding, Update
from hwsim.rtl.conv import Conv, Dense
from hwsim.rtl.reshape import Fork, Resize
from hwsim.sim import compiled_engine
from hwsim.sim.engine import Stimulus

BATCH, CLASSES = 3, 5
IMAGE = Frame(6, 6, 1, 1, 16)
CONV = ConvConfig(
    frame=IMAGE,
    out_channels=4,
    kernel=(3, 3),
    pads=(1, 1, 1, 1),
    simd=9,
    pe=2,
    weight_bits=16,
    loadable=True,
)
MAP = replace(CONV.output, bits=16)
RELU = ReluConfig(frame=MAP, maps=BATCH)
POOL = MaxPoolConfig(frame=MAP, kernel=(2, 2), strides=(2, 2), maps=BATCH)
DENSE = DenseConfig(
    frame=POOL.output, out_channels=CLASSES, simd=2, pe=CLASSES, weight_bits=16, loadable=True
)
LOGITS = replace(DENSE.output, bits=16)
LOSS = CrossEntropyGradientConfig(
    frame=replace(LOGITS, lanes=1), point=10, gradient_point=OUTPUT_POINT
)
BACK = DenseConfig(frame=LOGITS, out_channels=36, simd=CLASSES, pe=2, weight_bits=16, loadable=True)
# The same beats, which are no vector but a map.
DELTA = replace(POOL.output, bits=BACK.output.bits)
UNPOOL = PoolGradientConfig(frame=MAP, kind="max", kernel=(2, 2), strides=(2, 2))
MASK = ActivationGradientConfig(frame=MAP, kind="relu")
CONV_GRADIENT = WeightGradientConfig(
    frame=IMAGE,
    out_channels=4,
    kernel=(3, 3),
    pads=(1, 1, 1, 1),
    simd=9,
    pe=2,
    batch=BATCH,
    bias_point=INPUT_POINT,
)
DENSE_GRADIENT = WeightGradientConfig(
    frame=Frame(1, 1, 36, 2, 16), out_channels=CLASSES, kernel=(1, 1), simd=2, pe=CLASSES,
    batch=BATCH, bias_point=INPUT_POINT,
)  # fmt: skip
GRADIENTS = {"c": CONV_GRADIENT, "y": DENSE_GRADIENT}


# Source and its port, target and its port.
CONNECTIONS = (
    ("x", "o0", "conv", "i"),
    ("x", "o1", "c_gradient", "i"),
    ("conv", "o", "conv_codes", "i"),
    ("conv_codes", "o", "relu", "i"),
    ("relu", "o", "pool", "i"),
    ("relu", "m", "mask", "y"),
    ("pool", "o", "features", "i"),
    ("pool", "w", "unpool", "w"),
    ("features", "o0", "dense", "i"),
    ("features", "o1", "y_gradient", "i"),
    ("dense", "o", "dense_codes", "i"),
    ("dense_codes", "o", "logits", "i"),
    ("logits", "o1", "loss_codes", "i"),
    ("loss_codes", "o", "loss_lanes", "i"),
    ("loss_lanes", "o", "loss", "i"),
    ("loss", "o", "delta_lanes", "i"),
    ("delta_lanes", "o", "delta", "i"),
    ("delta", "o0", "y_gradient", "d"),
    ("delta", "o1", "back", "i"),
    ("back", "o", "back_codes", "i"),
    ("back_codes", "o", "unpool", "i"),
    ("unpool", "o", "mask", "i"),
    ("mask", "o", "c_gradient", "d"),
)


def memory(frame, maps):
    """A queue for the maps of a batch, until the backward pass needs them."""
    return QueueConfig(maps * frame.beats)


class Step(wiring.Component):
    """Forward, backward and update of conv, ReLU, maximum pool, dense, softmax with cross-entropy.

    A batch at a time. Images wait until all weights are loaded.

    Members
    -------
    x, labels, logits : stream
        Images; their labels; what they give.
    c_load, y_load, back_load : stream
        Weights: of the convolution, the dense layer, and the dense layer's gradient.
    c_forward, y_forward, loss, back : stream of settings
        Of the roundings of maps, of the logits for the loss, and of the deltas that the dense layer
        passes on.
    c_gradient, c_bias_gradient, y_gradient, y_bias_gradient : stream of settings
    c_v, c_w, ... : stream
        Ports of an `Update` for the weights and one for the biases of each layer.
    """

    def __init__(self):
        self.units = {
            "x": Fork(ForkConfig(frame=IMAGE, outputs=2), [QueueConfig(2), memory(IMAGE, BATCH)]),
            "conv": Conv(CONV, np.zeros((4, 1, 3, 3), int), np.zeros(4, int)),
            "conv_codes": Rounding(RoundingConfig(frame=CONV.output)),
            "relu": Relu(RELU),
            "pool": MaxPool(POOL),
            "features": Fork(
                ForkConfig(frame=POOL.output, outputs=2),
                [QueueConfig(2), memory(POOL.output, BATCH)],
            ),
            "dense": Dense(DENSE, np.zeros((CLASSES, 36), int), np.zeros(CLASSES, int)),
            "dense_codes": Rounding(RoundingConfig(frame=DENSE.output)),
            "logits": Fork(ForkConfig(frame=LOGITS, outputs=2)),
            "loss_codes": Rounding(RoundingConfig(frame=LOGITS)),
            "loss_lanes": Resize(ResizeConfig(frame=LOGITS, lanes=1)),
            "loss": CrossEntropyGradient(LOSS),
            "delta_lanes": Resize(ResizeConfig(frame=LOSS.output, lanes=CLASSES)),
            "delta": Fork(ForkConfig(frame=LOGITS, outputs=2)),
            "back": Dense(BACK, np.zeros((36, CLASSES), int), np.zeros(36, int)),
            "back_codes": Rounding(RoundingConfig(frame=DELTA)),
            "unpool": PoolGradient(UNPOOL),
            "mask": ActivationGradient(MASK),
        }
        ports = {
            "x": self.units["x"].i,
            "logits": self.units["logits"].o0,
            "labels": self.units["loss"].t,
            "c_load": self.units["conv"].w,
            "y_load": self.units["dense"].w,
            "back_load": self.units["back"].w,
            "c_forward": self.units["conv_codes"].s,
            "y_forward": self.units["dense_codes"].s,
            "loss": self.units["loss_codes"].s,
            "back": self.units["back_codes"].s,
        }
        for layer, config in GRADIENTS.items():
            self.units[f"{layer}_gradient"] = WeightGradient(config)
            for kind, frame in (("", config.output), ("_bias", config.biases)):
                name = f"{layer}{kind}"
                codes = RoundingConfig(frame=frame)
                rounding = self.units[f"{name}_codes"] = Rounding(codes)
                update = self.units[f"{name}_update"] = Update(UpdateConfig(frame=codes.output))
                ports[f"{name}_gradient"] = rounding.s
                for port in ("v", "w", "vf", "vs", "wf", "ws", "o", "vo"):
                    ports[f"{name}_{port}"] = getattr(update, port)
        self.ports = ports
        outputs = ("logits", "o", "vo")
        super().__init__(
            {
                name: (Out if name.split("_")[-1] in outputs else In)(
                    stream.Signature(port.payload.shape())
                )
                for name, port in ports.items()
            }
        )

    def elaborate(self, platform):
        m = Module()
        u = self.units
        for name, unit in u.items():
            m.submodules[name] = unit
        for name, port in self.ports.items():
            if name != "x":
                wiring.connect(m, wiring.flipped(getattr(self, name)), port)
        # All loads of weights have to be over.
        ready = []
        for name, config in (("c_load", CONV), ("y_load", DENSE), ("back_load", BACK)):
            total = len(load(config.mac, 0, 0))
            count = Signal(range(total + 1), name=f"{name}_count")
            with m.If(getattr(self, name).valid & (count != total)):
                m.d.sync += count.eq(count + 1)
            ready.append(count == total)
        loaded, inner = ready[0] & ready[1] & ready[2], u["x"].i
        m.d.comb += [
            inner.valid.eq(self.x.valid & loaded),
            inner.payload.eq(self.x.payload),
            self.x.ready.eq(inner.ready & loaded),
        ]
        for source, out, target, port in CONNECTIONS:
            wiring.connect(m, getattr(u[source], out), getattr(u[target], port))
        for layer in GRADIENTS:
            gradient = u[f"{layer}_gradient"]
            for name, sums in ((layer, gradient.o), (f"{layer}_bias", gradient.b)):
                wiring.connect(m, sums, u[f"{name}_codes"].i)
                wiring.connect(m, u[f"{name}_codes"].o, u[f"{name}_update"].g)
        return m


def load(mac, weights, bias):
    """Words that load weights and biases (numbers stand for arrays of them)."""
    size = (mac.out_channels, mac.channels_per_group, mac.taps)
    weights = np.broadcast_to(weights, size) if np.ndim(weights) == 0 else weights
    return mac.load_words(weights, np.broadcast_to(bias, mac.out_channels), None)


def planned_cycles(step):
    """From the first pixel that a step takes to the last new weight of the convolution."""
    units = {name: unit for name, unit in step.units.items() if "bias" not in name}
    actors, edges, entry, last = [], [], {}, {}
    for name, unit in units.items():
        chain, inner = unit.config.chain(name)
        each = 1 if name.startswith(tuple(f"{layer}_" for layer in GRADIENTS)) else BATCH
        actors += [replace(actor, repeats=actor.repeats * each) for actor in chain]
        edges += inner
        last[name] = chain[-1].name
        entry |= {(name, port): actor.name for actor in reversed(chain) for port in actor.takes}

    def connect(source, out, target, port):
        unit = units[source]
        if isinstance(unit, Fork):
            queue = unit.queues[int(out[1:])]
        elif out in ("m", "w"):
            queue = unit.config.memory
        else:
            queue = unit.queue
        consumer = None if target is None else entry[target, port]
        edges.append(unit.config.output_edge(last[source], consumer, port, queue))

    for connection in CONNECTIONS:
        connect(*connection)
    for layer in GRADIENTS:
        connect(f"{layer}_gradient", "o", f"{layer}_codes", "i")
        connect(f"{layer}_codes", "o", f"{layer}_update", "i1")
        # The new velocities; the new weights.
        update = units[f"{layer}_update"].config
        edges.append(update.fork.output_edge(f"{layer}_update.fork", None, "vo"))
    sinks = [
        ("c_update", "o", None, "o"),
        ("y_update", "o", None, "o"),
        ("logits", "o0", None, "o"),
    ]
    for sink in sinks:
        connect(*sink)
    fed = {(edge.consumer, edge.port) for edge in edges}
    sources = [
        Edge(None, actor.name, port)
        for actor in actors
        for port in actor.takes
        if (actor.name, port) not in fed
    ]
    trace = evaluate(actors, [*sources, *edges])
    final = next(edge for edge in edges if edge.producer == "c_update.w")
    pixel = next(edge for edge in sources if edge.consumer == "x")
    return int(trace.taken[final][-1] - trace.taken[pixel][0]) + 1


def network():
    """Convolution, ReLU, maximum pool, dense layer."""
    nodes = [
        helper.make_node("Conv", ["x", "wc", "bc"], ["c"], name="c", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "wy", "by"], ["y"], name="y", transB=1),
    ]
    shapes = {"wc": (4, 1, 3, 3), "bc": (4,), "wy": (CLASSES, 36), "by": (CLASSES,)}
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 1, 6, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", CLASSES])],
        [
            numpy_helper.from_array(np.zeros(shape, np.float32), name)
            for name, shape in shapes.items()
        ],
    )
    return hwsim.load(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]))


def words_of(layer, codes):
    """Codes (depth + 1, outputs) as streams: words of weights, and biases."""
    weights = codes[:-1].T
    weights = weights.reshape(4, 1, 3, 3) if layer == "c" else DENSE.in_stream_order(weights)
    return GRADIENTS[layer].mac.in_word_order(weights).reshape(-1), codes[-1]


def codes_of(layer, words, biases):
    """The reverse of `words_of`."""
    shape = (37, CLASSES) if layer == "y" else (10, 4)
    places = np.arange(np.prod(shape)).reshape(shape)
    codes = np.zeros(places.size, np.int64)
    for found, place in zip((words, biases), words_of(layer, places), strict=True):
        codes[place] = found.reshape(-1)
    return codes.reshape(shape)


def inputs_of(images, labels, codes, velocities, scales, point):
    """What all ports are given."""
    numbers = dict(zip(GRADIENTS, scales, strict=True))
    weights = DENSE.in_stream_order(codes["y"][:-1].T)
    kernel = codes["c"][:-1].T.reshape(4, 1, 3, 3)
    inputs = {
        "x": IMAGE.to_beats(images),
        "labels": labels,
        "c_load": load(CONV.mac, kernel, codes["c"][-1] * numbers["c"].one),
        "y_load": load(DENSE.mac, weights[:, :, None], codes["y"][-1] * numbers["y"].one),
        "back_load": load(BACK.mac, weights.T[:, :, None], 0),
        "c_forward": [rounding_word(numbers["c"].forward)] * BATCH,
        "y_forward": [rounding_word(numbers["y"].forward)] * BATCH,
        "loss": [rounding_word(point - LOSS.point)] * BATCH,
        "back": [rounding_word(numbers["y"].inputs)] * BATCH,
    }
    for layer, of_layer in numbers.items():
        states = [words_of(layer, state[layer]) for state in (velocities, codes)]
        point = of_layer.one.bit_length() - 1
        for k, (kind, by) in enumerate((("", 0), ("_bias", INPUT_POINT - point))):
            name, config = f"{layer}{kind}", GRADIENTS[layer]
            lanes = (config.biases if kind else config.output).lanes
            inputs[f"{name}_gradient"] = [rounding_word(of_layer.gradient + by)]
            for line, state, (p, q, shift) in zip(
                "vw", states, (of_layer.velocity, of_layer.update), strict=True
            ):
                inputs[f"{name}_{line}"] = state[k].reshape(-1, lanes)
                inputs[f"{name}_{line}f"] = [[p, q]]
                inputs[f"{name}_{line}s"] = [rounding_word(shift)]
    return inputs


class Streaming(Reference):
    """The integer reference; beside it streaming units do the same, which have to be equal."""

    def __init__(self, stages):
        super().__init__(stages, 4)
        self._step, self._reuse = Step(), []
        self._planned = planned_cycles(self._step)

    def loss_gradient(self, codes, labels, point):
        """By a unit for logits of another point."""
        logits = round_codes(codes, point - LOSS.point)[:, :, None, None]
        own = cross_entropy_gradient(LOSS, logits, labels[:, None, None, None]).reshape(codes.shape)
        # Logits are half a step off, which moves a probability by a quarter of one at most; both
        # units have their error.
        expected = super().loss_gradient(codes, labels, point)
        error = LOSS.error + loss_gradient("cross-entropy", *codes.shape).error
        bound = 2.0 ** (OUTPUT_POINT - LOSS.point - 2) + error * 2**OUTPUT_POINT
        assert np.abs(own - expected).max() <= bound
        return own

    def step(self, images, labels, scales, point):
        """With and without stalls."""
        self._inputs = inputs_of(images, labels, self.codes, self.velocities, scales, point)
        before = {**self.codes}
        logits, flags = super().step(images, labels, scales, point)
        for stalls in (0.0, 0.2):
            found = self._run(stalls)
            assert np.array_equal(found["logits"], logits)
            for layer in GRADIENTS:
                for port, state in (("o", self.codes), ("vo", self.velocities)):
                    parts = (found[f"{layer}{kind}_{port}"] for kind in ("", "_bias"))
                    assert np.array_equal(codes_of(layer, *parts), state[layer])
                assert (self.codes[layer] != before[layer]).any()
        return logits, flags

    def _run(self, stalls):
        outputs = {
            f"{layer}{kind}_{port}": len(self._inputs[f"{layer}{kind}_v"])
            for layer in GRADIENTS
            for kind in ("", "_bias")
            for port in ("o", "vo")
        }
        outputs["logits"] = BATCH
        stimulus = Stimulus(self._inputs, outputs, stalls=stalls, seed=1)
        recording = compiled_engine.run(self._step, stimulus, reuse=self._reuse)
        if not stalls:
            first, last = recording.inputs["x"].cycles[0], recording.outputs["c_o"].cycles[-1]
            assert last - first + 1 == self._planned
        return {name: port.values.astype(np.int64) for name, port in recording.outputs.items()}


def test_steps():
    """Weights and velocities equal the integer reference's after every step."""
    rng = np.random.default_rng(1)
    net = network()
    settings = TrainingSettings(rate=0.1, momentum=0.9)
    machine = Streaming(stages(net))
    training = IntegerTraining(net, initial_weights(net, 2), settings, machine)
    for _ in range(3):
        images, labels = rng.random((BATCH, 1, 6, 6)), rng.integers(0, CLASSES, BATCH)
        training.step(images.astype(np.float32), labels)
