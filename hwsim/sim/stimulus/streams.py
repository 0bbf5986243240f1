"""Sources, sinks and observers of streams, as circuits.

What decides when a beat moves - positions, counts, stall bits - is read from shared buffers, so
that all lanes have it in common; payloads are each lane's own. Buffers of the stream ``s``:

=============== =============================== ================================================
name            words                           content
=============== =============================== ================================================
``s.k``         as wide as element ``k``        the beats' elements, read (source) or written
``s.stall``     1 bit, ``PATTERN_CYCLES``       1 in cycles in which the stream is held up
``s.cycle``     64 bits                         written: the cycle of each transfer
=============== =============================== ================================================
"""

from amaranth.hdl import Cat, Const, Module, ResetSignal, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hwsim.sim.beats import elements_of
from hwsim.sim.engine import CHANGED, PATTERN_CYCLES

from .buffers import ADDRESS_BITS, Load, Store

__all__ = [
    "CYCLE_BITS",
    "Contract",
    "Failure",
    "Recorder",
    "Sink",
    "Source",
    "in_reset",
    "stall_bit",
]

CYCLE_BITS = 64


def in_reset():
    """Whether the design is being reset; constant in a domain without a reset."""
    return ResetSignal("sync", allow_reset_less=True)


def stall_bit(m, name, cycle, *, shared=True):
    """The bit of this cycle of the pattern in the buffer ``name``."""
    m.submodules[f"load_{name.replace('.', '_')}"] = pattern = Load(
        name=name, width=1, shared=shared
    )
    m.d.comb += pattern.address.eq(cycle[: (PATTERN_CYCLES - 1).bit_length()])
    return pattern.data


class Failure:
    """Notes the first time that a rule is broken.

    Parameters
    ----------
    messages : dict of int to str
        What each rule is, by its number, 1 or more.

    Members
    -------
    number : Signal
        Of the rule that was broken, 0 while none is.
    cycle : Signal, 32 bits
        Low bits of the number of the cycle in which it was.
    """

    def __init__(self, messages):
        self.messages = messages
        self.number = Signal(range(max(messages) + 1))
        self.cycle = Signal(ADDRESS_BITS)

    def notice(self, m, broken, cycle, *, when):
        """Watch the conditions ``broken``, by number; of several the lowest number counts.

        All of them need ``when``. Nothing is computed while that is 0 in all lanes alike.
        """
        with m.If(when), m.If(self.number == 0):
            # The last assignment is what holds.
            for number in sorted(broken, reverse=True):
                with m.If(broken[number]):
                    m.d.sync += [self.number.eq(number), self.cycle.eq(cycle)]


class Contract(Failure):
    """The rule of streams: a beat that is offered stays as it is until it is taken."""

    def __init__(self, message):
        super().__init__({1: message})

    def watch(self, m, channel, cycle):
        """Hold a stream to it."""
        payload = Value.cast(channel.payload).as_unsigned()
        waits = channel.valid & ~channel.ready & ~in_reset()
        held = Signal()
        before = Signal(len(payload))
        m.d.sync += held.eq(waits)
        with m.If(waits):
            m.d.sync += before.eq(payload)
        changed = ~channel.valid | (payload != before)
        self.notice(m, {1: changed}, cycle, when=held)


class Recorder(wiring.Component):
    """Watches a stream: stores and counts its transfers, and holds it to the stream contract.

    Parameters
    ----------
    name : str
        Of the buffers.
    stream : stream interface
        Anywhere in the design.
    payload : bool
        Whether to store payloads, and to check the contract. A source needs neither.

    Members
    -------
    cycle : in, 64 bits
        Number of this cycle.
    active : in
        Whether the run goes on: only then transfers count.
    count : in, 32 bits
        Transfers to record; later ones are ignored.
    position : out, 32 bits
        Transfers so far.
    moved : out
        A beat moves in this cycle.
    done : out
        ``position`` is ``count``.
    failures : list of Failure
    """

    def __init__(self, *, name, stream, payload=True):
        self._name = name
        self._stream = stream
        self._payload = payload
        self.failures = [Contract(CHANGED)] if payload else []
        super().__init__(
            {
                "cycle": In(CYCLE_BITS),
                "active": In(1),
                "count": In(ADDRESS_BITS),
                "position": Out(ADDRESS_BITS),
                "moved": Out(1),
                "done": Out(1),
            }
        )

    def elaborate(self, platform):
        """A counter, and stores at its position."""
        m = Module()
        stream = self._stream
        record = Signal()
        m.d.comb += [
            self.moved.eq(stream.valid & stream.ready & ~in_reset()),
            self.done.eq(self.position == self.count),
            record.eq(self.moved & ~self.done & self.active),
        ]
        with m.If(record):
            m.d.sync += self.position.eq(self.position + 1)
        columns = [("cycle", self.cycle)]
        if self._payload:
            payload = Value.cast(stream.payload)
            start = 0
            for k, (width, _) in enumerate(elements_of(stream.payload.shape())):
                columns.append((str(k), payload[start : start + width]))
                start += width
        for suffix, value in columns:
            m.submodules[f"store_{suffix}"] = store = Store(
                name=f"{self._name}.{suffix}", width=len(value), shared=suffix == "cycle"
            )
            m.d.comb += [
                store.address.eq(self.position),
                store.data.eq(value),
                store.enable.eq(record),
            ]
        for contract in self.failures:
            contract.watch(m, stream, self.cycle)
        return m


class _Agent(wiring.Component):
    """A source or a sink: a stream port, and the members of its recorder."""

    def __init__(self, name, port, payload, stalls, lane_stalls):
        self._name = name
        self._stalls = stalls
        self._lane_stalls = lane_stalls
        super().__init__(
            {
                **port,
                "cycle": In(CYCLE_BITS),
                "active": In(1),
                "count": In(ADDRESS_BITS),
                "position": Out(ADDRESS_BITS),
                "moved": Out(1),
                "done": Out(1),
            }
        )
        (key,) = port
        self._recorder = Recorder(name=name, stream=getattr(self, key), payload=payload)
        self.failures = self._recorder.failures

    def _record(self, m):
        m.submodules.recorder = recorder = self._recorder
        m.d.comb += [
            recorder.cycle.eq(self.cycle),
            recorder.active.eq(self.active),
            recorder.count.eq(self.count),
            self.position.eq(recorder.position),
            self.moved.eq(recorder.moved),
            self.done.eq(recorder.done),
        ]

    def _stall(self, m):
        if not self._stalls:
            return Const(0)
        return stall_bit(m, f"{self._name}.stall", self.cycle, shared=not self._lane_stalls)


class Source(_Agent):
    """Offers the beats of its buffers, in order; a beat stays until it is taken.

    Parameters
    ----------
    name : str
        Of the buffers.
    shape : shape-like
        Of the payload.
    stalls : bool
        Whether it pauses by the pattern ``name.stall``.
    shared : bool
        Whether all lanes send the same.
    lane_stalls : bool
        Whether each lane has a pattern of its own.

    Members
    -------
    o : out, stream
        The payload is 0 after the last beat.
    cycle, active, count, position, moved, done, failures
        As in `Recorder`.
    """

    def __init__(self, *, name, shape, stalls=False, shared=False, lane_stalls=False):
        self._shape = shape
        self._shared = shared
        super().__init__(name, {"o": Out(stream.Signature(shape))}, False, stalls, lane_stalls)

    def elaborate(self, platform):
        """Loads at the recorder's position."""
        m = Module()
        self._record(m)
        elements = []
        for k, (width, _) in enumerate(elements_of(self._shape)):
            m.submodules[f"load_{k}"] = load = Load(
                name=f"{self._name}.{k}", width=width, shared=self._shared
            )
            m.d.comb += load.address.eq(self.position)
            elements.append(load.data)
        held = Signal()
        m.d.sync += held.eq(self.o.valid & ~self.o.ready)
        m.d.comb += [
            # The buffer is as long as there are beats, and reads as 0 beyond.
            Value.cast(self.o.payload).eq(Cat(elements)),
            self.o.valid.eq(~self.done & ~in_reset() & (held | ~self._stall(m))),
        ]
        return m


class Sink(_Agent):
    """Takes and records beats.

    Parameters
    ----------
    name, shape, stalls, lane_stalls
        As in `Source`.

    Members
    -------
    i : in, stream
    cycle, active, count, position, moved, done, failures
        As in `Recorder`. Beats after the last one that counts are taken, too.
    """

    def __init__(self, *, name, shape, stalls=False, lane_stalls=False):
        super().__init__(name, {"i": In(stream.Signature(shape))}, True, stalls, lane_stalls)

    def elaborate(self, platform):
        """Ready by the pattern."""
        m = Module()
        self._record(m)
        m.d.comb += self.i.ready.eq(~self._stall(m) & ~in_reset())
        return m
