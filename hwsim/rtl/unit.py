"""What all streaming units share: ports, counters, and the registers of a free-running pipeline."""

from amaranth.hdl import Const, Mux, Shape, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Unit", "advance", "beat_layout", "choose", "delay", "narrow", "reduce_tree", "register"]


def beat_layout(frame):
    """Payload of a stream that carries ``frame``: ``lanes`` codes, the lowest channel first."""
    return data.ArrayLayout(Shape(frame.bits, frame.signed), frame.lanes)


class Unit(wiring.Component):
    """Base of the streaming units.

    Parameters
    ----------
    config : UnitConfig
    queue : QueueConfig, optional
        Of the output queue; ``config.queue`` unless given.

    Members
    -------
    i, or i0, i1, ... : stream
        The ports that ``config.inputs`` names.
    o : stream
    """

    def __init__(self, config, queue=None):
        self._config = config
        self._queue = queue or config.queue
        ports = {
            name: In(stream.Signature(beat_layout(frame))) for name, frame in config.inputs.items()
        }
        super().__init__(ports | self._outputs())

    def _outputs(self):
        return {"o": Out(stream.Signature(beat_layout(self.config.output)))}

    @property
    def config(self):
        return self._config

    @property
    def queue(self):
        return self._queue


def advance(m, counter, length, ends=None):
    """Step ``counter`` through ``0 ... length - 1`` and round again; for use under ``m.If``.

    ``ends`` is a register that says whether the count is the last, high at first if ``length`` is
    1. Unlike a comparison it does not keep waiting what the counter carries into.
    """
    if length == 1:
        return
    if ends is None:
        ends = counter == length - 1
    else:
        m.d.sync += ends.eq(counter == length - 2)
    m.d.sync += counter.eq(Mux(ends, 0, counter + 1))


def narrow(index, values):
    """What of ``values`` is left to choose from when the lowest bits of the choice are known.

    ``index`` is these bits.
    """
    for bit in index:
        pairs = [
            low if low is high else Mux(bit, high, low)
            for low, high in zip(values[::2], values[1::2], strict=False)
        ]
        values = pairs + values[2 * len(pairs) :]
    return values


def choose(index, values):
    """``values[index]`` as a tree of two-way multiplexers; ``index`` is less than their number."""
    return narrow(index, values)[0]


def delay(m, value, cycles, name):
    """``value`` (a signal or a view) ``cycles`` cycles later."""
    for k in range(1, cycles + 1):
        later = Signal.like(value, name=f"{name}_{k}")
        m.d.sync += later.eq(value)
        value = later
    return value


def register(m, value, name, shape=None):
    """``value`` one cycle later, in its own shape unless one is given; a constant stays one."""
    if isinstance(value, Const):
        return value
    later = Signal(value.shape() if shape is None else shape, name=name, reset_less=True)
    m.d.sync += later.eq(value)
    return later


def reduce_tree(m, terms, combine, name, levels, hold=register):
    """Combine ``terms`` in pairs, in a balanced tree.

    There is a register after each ``levels`` levels and after the last: the result comes
    `hwsim.blocks.tree.tree_latency` cycles after the terms. ``combine(left, right)`` returns a term
    of any width, with ``left`` of the lower indices; ``hold(m, term, name)`` puts it in a register.
    """
    terms = list(terms)
    level = 0
    while len(terms) > 1:
        pairs = [combine(*terms[k : k + 2]) for k in range(0, len(terms) - 1, 2)]
        terms = pairs + terms[2 * len(pairs) :]
        level += 1
        if level % levels == 0 or len(terms) == 1:
            terms = [hold(m, term, f"{name}_{level}_{k}") for k, term in enumerate(terms)]
    return terms[0]
