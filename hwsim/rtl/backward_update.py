"""Streaming units that turn sums into codes, and the update of weights, as training needs them."""

from functools import reduce
from operator import and_

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import Out

from hwsim.blocks.backward_update import SHIFT_BITS

from .queue import CreditQueue
from .reshape import Fork
from .training import Round
from .unit import Unit, advance, beat_layout, delay, register

__all__ = ["Combine", "Rounding", "Update", "take_together"]


def take_together(m, ports, room):
    """Take a beat from several streams at once; returns a signal that says when.

    Parameters
    ----------
    ports : list of (stream, Value, Value)
        And whether a beat of it is needed, and whether it is taken then or needed further on.
    room : Value
        Whether there is room for what becomes of them.
    """
    present = [~needed | port.valid for port, needed, _ in ports]
    go = Signal(name="go")
    m.d.comb += go.eq(reduce(and_, present, room))
    for k, (port, _, taken) in enumerate(ports):
        others = reduce(and_, present[:k] + present[k + 1 :], room)
        m.d.comb += port.ready.eq(others & taken)
    return go


class _Rounds(Unit):
    """A unit whose pipeline ends in `Round`."""

    def _frame(self, m, ports, queue):
        """Signals of the cycle in which beats are taken: go; whether they are a frame's first."""
        beat = Signal(range(self.config.output.beats))
        first = Signal()
        m.d.comb += first.eq(beat == 0)
        per_frame = [getattr(self, name) for name in ("f", "s") if hasattr(self, name)]
        go = take_together(
            m,
            [(port, Const(1), Const(1)) for port in ports]
            + [(port, first, first) for port in per_frame],
            queue.room,
        )
        with m.If(go):
            advance(m, beat, self.config.output.beats)
        m.d.comb += [
            queue.issue.eq(go),
            queue.i_valid.eq(delay(m, go, self.config.latency, "go")),
        ]
        return go, first

    def _round(self, m, sums, go, first, cycles, queue):
        """From sums, which come so many ``cycles`` after their beats were taken, to the queue."""
        m.submodules.round = rounding = Round(self.config)
        settings = _held(m, self.s.payload[0], go & first, "settings")
        before = delay(m, settings, cycles - 1, "settings")
        shift_and_kind = delay(m, before[: SHIFT_BITS + 1], 1, "shift_and_kind")
        m.d.comb += [
            # Random numbers begin anew a cycle before a frame's first sums are rounded.
            rounding.load.eq(delay(m, go & first, cycles - 1, "load")),
            rounding.seed.eq(before[SHIFT_BITS + 1 :]),
            Cat(rounding.shift, rounding.stochastic).eq(shift_and_kind),
            rounding.enable.eq(delay(m, go, cycles, "row")),
            queue.i_payload.eq(rounding.o),
        ]
        for lane, value in enumerate(sums):
            m.d.comb += rounding.i[lane].eq(value)


def _held(m, payload, take, name):
    """``payload`` in the cycle in which it is taken, and from then on what was taken last."""
    value = Value.cast(payload)
    kept = Signal(len(value), name=f"{name}_kept", reset_less=True)
    present = Signal(len(value), name=name)
    m.d.comb += present.eq(Mux(take, value, kept))
    with m.If(take):
        m.d.sync += kept.eq(value)
    return present


class Rounding(_Rounds):
    """Sums become codes.

    Divided by ``2**shift``, rounded to nearest with ties to even, or stochastically, and bounded;
    see `Round`.

    ::

        i ──> register ──> round ──> queue ──> o
        s ──> register ──────┘

    Parameters
    ----------
    config : RoundingConfig
    queue : QueueConfig, optional

    Members
    -------
    i, o : stream
    s : stream of `SETTINGS`
        A `rounding_word` for each frame, taken with its first beat.
    """

    def elaborate(self, platform):
        m = Module()
        m.submodules.queue = queue = CreditQueue(beat_layout(self.config.output), self.queue)
        wiring.connect(m, wiring.flipped(self.o), queue.o)
        go, first = self._frame(m, [self.i], queue)
        sums = register(m, self.i.payload, "sums")
        self._round(m, [sums[lane] for lane in range(self.config.lanes)], go, first, 1, queue)
        return m


class Combine(_Rounds):
    """``round((p x + q y) / 2**shift)``: exact products and sum, rounded once as in `Rounding`.

    ::

        i0 ──> register ──> x p ──┐
                                  + ──> round ──> queue ──> o
        i1 ──> register ──> x q ──┘       │
        s ────────────────────────────────┘

    Parameters
    ----------
    config : CombineConfig
    queue : QueueConfig, optional

    Members
    -------
    i0, i1, o : stream
    f : stream of (p, q)
        A beat for each frame, taken with its first beat.
    s : stream of `SETTINGS`
        The same.
    """

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.queue = queue = CreditQueue(beat_layout(config.output), self.queue)
        wiring.connect(m, wiring.flipped(self.o), queue.o)
        go, first = self._frame(m, [self.i0, self.i1], queue)
        layout = self.f.payload.shape()
        factors = data.View(layout, _held(m, self.f.payload, go & first, "factors"))
        factors = register(m, factors, "factors_late")
        operands = [
            register(m, port.payload, name) for name, port in (("x", self.i0), ("y", self.i1))
        ]
        sums = []
        for lane in range(config.lanes):
            products = []
            for k, operand in enumerate(operands):
                product = register(m, operand[lane] * factors[k], f"product_{k}_{lane}")
                products.append(register(m, product, f"product_late_{k}_{lane}"))
            sums.append(register(m, products[0] + products[1], f"sum_{lane}"))
        self._round(m, sums, go, first, config.ARITHMETIC_LATENCY, queue)
        return m


class Update(Unit):
    """New velocities and weights from gradients, velocities and weights.

    ::

        v, g ──> combine ──> fork ──> combine ──> o
                               │         │
                               └─> vo    w

    Parameters
    ----------
    config : UpdateConfig
    queue : QueueConfig, optional
        Of the weights.

    Members
    -------
    g, v, w : stream
    vf, vs, wf, ws : stream
        Factors and settings of either `Combine`, whose ``x`` is ``v``, or ``w``.
    o, vo : stream
        New weights, new velocities.
    """

    def _outputs(self):
        return super()._outputs() | {"vo": Out(stream.Signature(beat_layout(self.config.output)))}

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.velocities = velocities = Combine(config.combine)
        m.submodules.fork = fork = Fork(config.fork)
        m.submodules.weights = weights = Combine(config.combine, self.queue)
        for line, unit in (("v", velocities), ("w", weights)):
            for port, inner in ((line, unit.i0), (f"{line}f", unit.f), (f"{line}s", unit.s)):
                wiring.connect(m, wiring.flipped(getattr(self, port)), inner)
        wiring.connect(m, wiring.flipped(self.g), velocities.i1)
        wiring.connect(m, velocities.o, fork.i)
        wiring.connect(m, fork.o0, weights.i1)
        wiring.connect(m, wiring.flipped(self.vo), fork.o1)
        wiring.connect(m, wiring.flipped(self.o), weights.o)
        return m
