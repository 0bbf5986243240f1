"""A design together with everything that drives and watches it, as one circuit."""

from amaranth.hdl import Cat, ClockDomain, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .buffers import ADDRESS_BITS, Load
from .streams import CYCLE_BITS, Recorder, Sink, Source

__all__ = ["LIMITS", "Clocked", "Harness"]

# Buffer of what a run is told: patience, limit of cycles, number of transfers of each stream.
LIMITS = "limits"


class Harness(wiring.Component):
    """A design with a source or sink at each stream, agents at other ports, observers inside.

    The circuit does not depend on the number of beats, nor on their values, nor on seeds.

    ::

              source ──> i │ design │ o ──> sink
        agent <──> m_axi   │        │
                           │    └─ probe ──> recorder

    An agent is a component with the members

    - ``bus``, an interface that fits the port;
    - ``cycle``, in, 32 bits: the number of the cycle;
    - ``moved``, out: something moved, so that the run is not stalled;
    - ``done``, out: as far as the agent knows, the run may end;
    - ``failures``: a list of `Failure`;
    - ``name``, ``streams`` (its channels by name), ``patterns`` (the probability of each stall
      pattern by buffer name).

    Parameters
    ----------
    component : wiring.Component
        The design.
    plan : Plan
        Streams and agents.
    stalls : bool
        Whether sources pause and sinks are not ready by patterns.
    lane_stalls : bool
        Whether each lane has patterns of its own.
    until : Value, optional
        What must be 1 besides.

    Members
    -------
    stop : out
        The run is over or has failed; stays high, and nothing is recorded any more.
    stalled : out
        Nothing has moved for longer than the patience.
    expired : out
        The limit of cycles is reached.
    last : out, 64 bits
        The cycle after the last one in which something moved, 0 if nothing did.
    waits : out, 2 bits for each stream and channel
        Its valid and ready in the last cycle in which nothing moved, the first one's lowest.
    end : out, 64 bits
        The cycle in which it stopped, once it has.
    failed0, failed1, ... : out
        Number of each of `failures`. They do not stop the run, because they may differ between
        lanes where all else is equal.
    failed_cycle0, failed_cycle1, ... : out, 32 bits
        And its cycle.
    received : out, 32 bits
        Beats at all outputs so far.
    position0, position1, ... : out, 32 bits
        Transfers of each stream so far.
    held0, held1, ... : out, 64 bits
        Cycles in which each stream was valid and not ready.
    starved0, starved1, ... : out, 64 bits
        Cycles in which each stream was ready and not valid.
    failures : list of (str, Failure)
        And who they are about.
    """

    def __init__(self, component, plan, *, stalls=False, lane_stalls=False, until=None):
        self._component = component
        self._plan = plan
        self._stalls = {"stalls": stalls, "lane_stalls": lane_stalls}
        self._until = Const(1) if until is None else until
        self._watches = [
            *(self._source(traffic) for traffic in plan.inputs),
            *(self._sink(traffic) for traffic in plan.outputs),
            *(Recorder(name=traffic.key, stream=traffic.stream) for traffic in plan.probes),
        ]
        names = [f"stream {traffic.name}" for traffic in plan.streams]
        names += [agent.name for _, agent in plan.agents]
        self.failures = [
            (name, failure)
            for name, one in zip(names, self._all, strict=True)
            for failure in one.failures
        ]
        failures = enumerate(failure for _, failure in self.failures)
        super().__init__(
            {
                "stop": Out(1),
                "stalled": Out(1),
                "expired": Out(1),
                "end": Out(CYCLE_BITS),
                "last": Out(CYCLE_BITS),
                "waits": Out(2 * max(len(plan.channels), 1)),
                "received": Out(ADDRESS_BITS),
                **{f"position{k}": Out(ADDRESS_BITS) for k in range(len(plan.streams))},
                **{f"held{k}": Out(CYCLE_BITS) for k in range(len(plan.streams))},
                **{f"starved{k}": Out(CYCLE_BITS) for k in range(len(plan.streams))},
                **{f"failed{k}": Out(len(failure.number)) for k, failure in failures},
                **{f"failed_cycle{k}": Out(ADDRESS_BITS) for k in range(len(self.failures))},
            }
        )

    @property
    def _all(self):
        return [*self._watches, *(agent for _, agent in self._plan.agents)]

    def _source(self, traffic):
        return Source(
            name=traffic.key,
            shape=traffic.stream.payload.shape(),
            shared=self._plan.lanes is not None and traffic.codes.ndim == 2,
            **self._stalls,
        )

    def _sink(self, traffic):
        stalls = {} if traffic.always_ready else self._stalls
        return Sink(name=traffic.key, shape=traffic.stream.payload.shape(), **stalls)

    def elaborate(self, platform):
        """The design, what is connected to it, and what becomes of the run."""
        m = Module()
        m.submodules.design = self._component
        cycle = Signal(CYCLE_BITS)
        m.d.sync += cycle.eq(cycle + 1)
        patience, limit, *counts = (
            self._limit(m, index) for index in range(2 + len(self._plan.streams))
        )
        for k, (traffic, watch, count) in enumerate(
            zip(self._plan.streams, self._watches, counts, strict=True)
        ):
            m.submodules[traffic.key] = watch
            m.d.comb += [
                watch.count.eq(count),
                watch.active.eq(~self.stop),
                getattr(self, f"position{k}").eq(watch.position),
            ]
            port = traffic.stream
            held, starved = getattr(self, f"held{k}"), getattr(self, f"starved{k}")
            with m.If(~self.stop):
                m.d.sync += [
                    held.eq(held + (port.valid & ~port.ready)),
                    starved.eq(starved + (port.ready & ~port.valid)),
                ]
            if isinstance(watch, Source):
                m.d.comb += [
                    port.valid.eq(watch.o.valid),
                    Value.cast(port.payload).eq(Value.cast(watch.o.payload)),
                    watch.o.ready.eq(port.ready),
                ]
            if isinstance(watch, Sink):
                m.d.comb += [
                    watch.i.valid.eq(port.valid),
                    Value.cast(watch.i.payload).eq(Value.cast(port.payload)),
                ]
                if not traffic.always_ready:
                    m.d.comb += port.ready.eq(watch.i.ready)
        for k, (port, agent) in enumerate(self._plan.agents):
            m.submodules[f"agent{k}"] = agent
            wiring.connect(m, port, agent.bus)
        for one in self._all:
            m.d.comb += one.cycle.eq(cycle)
        sinks = (watch for watch in self._watches if isinstance(watch, Sink))
        m.d.comb += self.received.eq(sum((sink.position for sink in sinks), start=Const(0)))
        for k, (_, failure) in enumerate(self.failures):
            m.d.comb += [
                getattr(self, f"failed{k}").eq(failure.number),
                getattr(self, f"failed_cycle{k}").eq(failure.cycle),
            ]

        # The end.
        done, stopped = Signal(), Signal()
        m.d.comb += [
            done.eq(Cat(one.done for one in self._all).all() & self._until),
            self.stop.eq(stopped | done | self.stalled | self.expired),
        ]
        with m.If(~stopped):
            m.d.sync += self.end.eq(cycle)
            m.d.comb += [
                self.stalled.eq((cycle - self.last)[:CYCLE_BITS] > patience),
                self.expired.eq(~done & ~self.stalled & (cycle == limit)),
            ]
        stalled, expired = Signal(), Signal()
        m.d.sync += [stopped.eq(self.stop), stalled.eq(self.stalled), expired.eq(self.expired)]
        with m.If(stopped):
            m.d.comb += [self.stalled.eq(stalled), self.expired.eq(expired)]

        # What moves, and what waits.
        waits = Cat(Cat(channel.valid, channel.ready) for _, channel in self._plan.channels)
        with m.If(~self.stop):
            with m.If(Cat(one.moved for one in self._all).any()):
                m.d.sync += self.last.eq(cycle + 1)
            with m.Else():
                m.d.sync += self.waits.eq(waits)
        return m

    def _limit(self, m, index):
        """A word of the buffer of limits."""
        m.submodules[f"limit{index}"] = load = Load(name=LIMITS, width=CYCLE_BITS, shared=True)
        m.d.comb += load.address.eq(index)
        return load.data


class Clocked(wiring.Component):
    """A component with a clock at its ports, and a reset at the start if it is wanted.

    Registers need no logic for a reset that never comes: simulations start from initial values.

    Parameters
    ----------
    component : wiring.Component
        Its ports are outputs.
    reset_cycles : int
        Cycles of reset at the start.

    Members
    -------
    clk : in
    ... : out
        The outputs of the component.
    """

    def __init__(self, component, *, reset_cycles=0):
        self._component = component
        self._reset_cycles = reset_cycles
        super().__init__({"clk": In(1)} | dict(component.signature.members.items()))

    def elaborate(self, platform):
        """Clock domains of its own."""
        m = Module()
        m.domains.sync = domain = ClockDomain(reset_less=not self._reset_cycles)
        m.d.comb += domain.clk.eq(self.clk)
        if self._reset_cycles:
            # Not by an input of the top, which could differ between lanes.
            m.domains.start = start = ClockDomain(reset_less=True)
            left = Signal(range(self._reset_cycles + 1), init=self._reset_cycles)
            m.d.comb += [start.clk.eq(self.clk), domain.rst.eq(left != 0)]
            m.d.start += left.eq(Mux(left == 0, 0, left - 1))
        m.submodules.inner = self._component
        m.d.comb += [
            getattr(self, name).eq(getattr(self._component, name))
            for name in self._component.signature.members
        ]
        return m
