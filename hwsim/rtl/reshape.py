"""Units that move beats about and leave their codes alone: fork, concat, resize."""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import Out

from .queue import Queue
from .unit import Unit, advance, beat_layout

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
            raise ValueError(f"queues must be {config.outputs}, not {len(self._queues)}")
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
            m.d.comb += [room[k].eq(queue.i.ready), queue.i.valid.eq(step), queue.i.payload.eq(self.i.payload)]
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
        frames = self.config.inputs
        port = Signal(range(len(frames)))
        group = Signal(range(max(frame.groups for frame in frames.values())))
        with m.Switch(port):
            for k, (name, frame) in enumerate(frames.items()):
                i = getattr(self, name)
                # The last port is the default, so that every value of the counter has a meaning.
                with m.Case(k) if k < len(frames) - 1 else m.Default():
                    m.d.comb += [
                        queue.i.payload.eq(i.payload),
                        queue.i.valid.eq(i.valid),
                        i.ready.eq(queue.i.ready),
                    ]
                    with m.If(i.valid & queue.i.ready):
                        with m.If(group == frame.groups - 1):
                            m.d.sync += group.eq(0)
                            advance(m, port, len(frames))
                        with m.Else():
                            m.d.sync += group.eq(group + 1)
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
        narrow = min(config.frame.lanes, config.lanes)
        part = Signal(range(config.factor))
        last = Signal()
        m.d.comb += last.eq(part == config.factor - 1)
        if config.widens:
            # Narrow beats move down a shift register; the last one goes straight to the queue.
            kept = Signal(narrow * config.frame.bits * (config.factor - 1))
            whole = Cat(kept, self.i.payload)
            m.d.comb += [
                self.i.ready.eq(~last | queue.i.ready),
                queue.i.valid.eq(last & self.i.valid),
                queue.i.payload.eq(whole),
            ]
            with m.If(self.i.valid & self.i.ready):
                advance(m, part, config.factor)
                m.d.sync += kept.eq(whole[narrow * config.frame.bits :])
        else:
            m.d.comb += [
                self.i.ready.eq(last & queue.i.ready),
                queue.i.valid.eq(self.i.valid),
            ]
            width = narrow * config.frame.bits
            parts = Value.cast(self.i.payload)
            m.d.comb += queue.i.payload.eq(parts.word_select(part, width))
            with m.If(queue.i.valid & queue.i.ready):
                advance(m, part, config.factor)
        return m
