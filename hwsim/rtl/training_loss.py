"""The loss on the training accelerator: gradients of the outputs, a code per cycle."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hwsim.blocks.training import BITS, OUTPUT_POINT

from .backward_loss import CrossEntropyGradient, RmseGradient
from .training import SHIFT, beats, word_layout
from .unit import choose, register
from .unused import discard

__all__ = ["Loss"]


class Loss(wiring.Component):
    """Gradients of the outputs of a batch, of one image after another.

    ::

        outputs ──> lane ──> << ────────────────────┬──> CrossEntropyGradient ──> o
        labels ──> lane ──┬─────────────────────────┘
                          └──> this class? ──> 1 or 0 ──> RmseGradient

    All beats of a batch come one after another; so do the results, the last of them
    ``1 + config.gradient.drain`` cycles behind the last beat.

    Parameters
    ----------
    config : TrainingConfig

    Members
    -------
    i : stream, always ready
        ``outputs`` and ``labels``, words: a class's outputs of all images, the labels of these;
        ``lane``: whose turn it is; ``first``: whether this is the first class. ``lift``: for
        cross-entropy, bits between the point of the outputs and `OUTPUT_POINT`. ``one``: for the
        root mean square error, code of 1, which the output of the label should be.
    o : stream of signed(16), always ready
    """

    def __init__(self, config):
        self._config = config
        word, code = word_layout(config), signed(BITS)
        beat = {"outputs": word, "labels": word, "lane": range(config.lanes), "first": 1}
        beat |= {"lift": SHIFT, "one": code}
        super().__init__({"i": In(beats(data.StructLayout(beat))), "o": Out(beats(code))})

    @property
    def config(self):
        return self._config

    def elaborate(self, platform):
        m = Module()
        config, beat = self.config, self.i.payload
        output, label = (Signal(BITS, name=name) for name in ("code", "label"))
        for code, word in ((output, beat.outputs), (label, beat.labels)):
            m.d.comb += code.eq(choose(beat.lane, list(word)))
        valid, first = Signal(), register(m, beat.first, "first")
        m.d.sync += valid.eq(self.i.valid)
        if config.loss == "cross-entropy":
            m.submodules.gradient = gradient = CrossEntropyGradient(config.gradient)
            wide = Cat(output, output[-1].replicate(OUTPUT_POINT))
            output = wide << beat.lift[: OUTPUT_POINT.bit_length()]
            target, counts = label, first
            # A label has fewer bits than a code.
            discard(m, label)
        else:
            m.submodules.gradient = gradient = RmseGradient(config.gradient)
            following, number = Signal(BITS), Signal(BITS)
            m.d.comb += number.eq(Mux(beat.first, 0, following))
            with m.If(self.i.valid):
                m.d.sync += following.eq(number + 1)
            target, counts = Mux(label == number, beat.one, 0), 1
        for port, value, name in ((gradient.i, output, "output"), (gradient.t, target, "target")):
            code = port.payload[0]
            m.d.comb += code.eq(register(m, value[: len(code)], name))
        m.d.comb += [
            # It takes a code in every cycle.
            gradient.i.valid.eq(valid),
            gradient.t.valid.eq(valid & counts),
            gradient.o.ready.eq(1),
            self.o.valid.eq(gradient.o.valid),
            self.o.payload.eq(gradient.o.payload[0]),
        ]
        return m
