"""ReLU that remembers where it was open, and gradients of ReLU, sigmoid and tanh, as streams."""

from amaranth.hdl import Const, Module, Mux, Shape, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import Out

from .backward_update import take_together
from .queue import CreditQueue
from .unit import Unit, beat_layout, delay, register

__all__ = ["ActivationGradient", "Relu"]


class Relu(Unit):
    """``max(x, 0)``, and where ``x > 0``.

    ::

                         ┌──> queue ──> o
        i ──> register ──┤
                         └──> memory ──> m

    Parameters
    ----------
    config : ReluConfig
    queue : QueueConfig, optional
        Of ``o``.

    Members
    -------
    i, o : stream
    m : stream
        Masks, ``config.mask``, from a queue of ``config.memory``.
    """

    def _outputs(self):
        return super()._outputs() | {"m": Out(stream.Signature(beat_layout(self.config.mask)))}

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.queue = queue = CreditQueue(beat_layout(config.output), self.queue)
        m.submodules.memory = memory = CreditQueue(beat_layout(config.mask), config.memory)
        wiring.connect(m, wiring.flipped(self.o), queue.o)
        wiring.connect(m, wiring.flipped(self.m), memory.o)
        go = take_together(m, [(self.i, Const(1), Const(1))], queue.room & memory.room)
        arrived = delay(m, go, config.latency, "go")
        for end in (queue, memory):
            m.d.comb += [end.issue.eq(go), end.i_valid.eq(arrived)]
        for lane in range(config.frame.lanes):
            code = self.i.payload[lane]
            positive = register(m, code > 0, f"positive_{lane}")
            m.d.comb += [
                memory.i_payload[lane].eq(positive),
                queue.i_payload[lane].eq(Mux(positive, register(m, code, f"code_{lane}"), 0)),
            ]
        return m


class ActivationGradient(Unit):
    """Gradient of an activation for its input.

    ::

        y ──> factors ──> x ──┐
                              x ──> queue ──> o         a ReLU: i where y, else 0
        i ────────────────────┘

    Parameters
    ----------
    config : ActivationGradientConfig
    queue : QueueConfig, optional

    Members
    -------
    i, o : stream
        Codes of gradients; products, or codes for a ReLU.
    y : stream
        What the activation gave, ``config.outputs``; the masks of `Relu`.
    """

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.queue = queue = CreditQueue(beat_layout(config.output), self.queue)
        wiring.connect(m, wiring.flipped(self.o), queue.o)
        ports = [(port, Const(1), Const(1)) for port in (self.i, self.y)]
        go = take_together(m, ports, queue.room)
        m.d.comb += [
            queue.issue.eq(go),
            queue.i_valid.eq(delay(m, go, config.latency, "go")),
        ]
        for lane in range(config.frame.lanes):
            code, y = self.i.payload[lane], self.y.payload[lane]
            if config.kind == "relu":
                result = register(m, Mux(y, code, 0), f"code_{lane}")
            else:
                result = self._product(m, code, y, lane)
            m.d.comb += queue.i_payload[lane].eq(result)
        return m

    def _product(self, m, code, y, lane):
        """The gradient times the slope, ``config.latency`` cycles later."""
        config = self.config
        one = 1 << config.point
        left = y if config.kind == "sigmoid" else one + y
        shapes = [Shape.cast(range(low, high + 1)) for low, high in config.factors]
        slope = register(m, left, f"left_{lane}", shapes[0]) * register(
            m, one - y, f"right_{lane}", shapes[1]
        )
        for k in range(2):
            slope = register(m, slope, f"slope_{lane}_{k}")
        for k in range(3):
            code = register(m, Value.cast(code), f"code_{lane}_{k}")
        product = slope * code
        for k in range(2):
            product = register(m, product, f"product_{lane}_{k}")
        return product
