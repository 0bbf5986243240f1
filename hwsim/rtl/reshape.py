"""Units that move beats about and leave their codes alone: fork, concat, resize."""

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import Out

from .queue import Queue
from .unit import Unit, advance, beat_layout, choose

__all__ = ["Concat", "Fork", "Resize"]


class Fork(Unit):
    """The input stream several times over, each output behind a queue of its own.

    Parameters
    ----------
    config : ForkConfig
    queues : sequence of QueueConfig, optional
        One for each output; all ``config.queue`` unless given.

    Members
    -------
    i : stream
    o0, o1, ... : stream
    """

    def __init__(self, config, queues=None):
        self._queues = tuple(queues or [config.queue] * config.outputs)
        if len(self._queues) != config.outputs:
            raise ValueError(
                f"queues must be {config.outputs}, one for each output, not {len(self._queues)}"
            )
        super().__init__(config)

    def _outputs(self):
        layout = beat_layout(self.config.output)
        return {f"o{k}": Out(stream.Signature(layout)) for k in range(self.config.outputs)}

    @property
    def queues(self):
        return self._queues

    def elaborate(self, platform):
        m = Module()
        step = Signal()
        room = Signal(self.config.outputs)
        m.d.comb += [self.i.ready.eq(room.all()), step.eq(self.i.valid & self.i.ready)]
        for k, config in enumerate(self.queues):
            m.submodules[f"queue_{k}"] = queue = Queue(beat_layout(self.config.output), config)
            m.d.comb += [
                room[k].eq(queue.i.ready),
                queue.i.valid.eq(step),
                queue.i.payload.eq(self.i.payload),
            ]
            wiring.connect(m, wiring.flipped(getattr(self, f"o{k}")), queue.o)
        return m


class Concat(Unit):
    """Channels of several streams one after another, pixel by pixel.

    Parameters
    ----------
    config : ConcatConfig
    queue : QueueConfig, optional

    Members
    -------
    i0, i1, ... : stream
    o : stream
    """

    def elaborate(self, platform):
        m = Module()
        m.submodules.queue = queue = Queue(beat_layout(self.config.output), self.queue)
        wiring.connect(m, wiring.flipped(self.o), queue.o)
        ports = [getattr(self, name) for name in self.config.inputs]
        groups = [frame.groups for frame in self.config.inputs.values()]
        port = Signal(range(len(ports)))
        group = Signal(range(max(groups)))
        m.d.comb += [
            queue.i.valid.eq(choose(port, [i.valid for i in ports])),
            Value.cast(queue.i.payload).eq(choose(port, [Value.cast(i.payload) for i in ports])),
        ]
        for k, i in enumerate(ports):
            m.d.comb += i.ready.eq((port == k) & queue.i.ready)
        with m.If(queue.i.valid & queue.i.ready):
            m.d.sync += group.eq(group + 1)
            with m.If(choose(port, [group == count - 1 for count in groups])):
                m.d.sync += group.eq(0)
                advance(m, port, len(ports))
        return m


class Resize(Unit):
    """The same map in wider or narrower beats.

    Parameters
    ----------
    config : ResizeConfig
    queue : QueueConfig, optional

    Members
    -------
    i : stream
    o : stream
    """

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.queue = queue = Queue(beat_layout(config.output), self.queue)
        wiring.connect(m, wiring.flipped(self.o), queue.o)
        i_payload, o_payload = Value.cast(self.i.payload), Value.cast(queue.i.payload)
        width = min(config.frame.lanes, config.lanes) * config.frame.bits
        part = Signal(range(config.factor))
        last = Signal()
        m.d.comb += last.eq(part == config.factor - 1)
        if config.widens:
            # Narrow beats move down a shift register; the last one goes straight to the queue.
            kept = Signal(width * (config.factor - 1))
            whole = Signal(width * config.factor)
            m.d.comb += [
                whole[:-width].eq(kept),
                whole[-width:].eq(i_payload),
                self.i.ready.eq(~last | queue.i.ready),
                queue.i.valid.eq(last & self.i.valid),
                o_payload.eq(whole),
            ]
            with m.If(self.i.valid & self.i.ready):
                advance(m, part, config.factor)
                m.d.sync += kept.eq(whole[width:])
        else:
            m.d.comb += [
                self.i.ready.eq(last & queue.i.ready),
                queue.i.valid.eq(self.i.valid),
                o_payload.eq(
                    choose(part, [i_payload.word_select(k, width) for k in range(config.factor)])
                ),
            ]
            with m.If(queue.i.valid & queue.i.ready):
                advance(m, part, config.factor)
        return m
