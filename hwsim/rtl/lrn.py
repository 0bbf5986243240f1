"""Local response normalization, across channels or within a channel."""

from itertools import chain

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Shape, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory

from .queue import CreditQueue
from .requantize import multiply
from .scale import scale
from .unit import Unit, beat_layout, choose, delay, reduce_tree, register
from .unused import discard
from .window import Window

__all__ = ["LRN"]


class LRN(Unit):
    """Each code times a factor from a table, by the sum of squares near it.

    ::

        i ──> window ──> - zero point ──┬──> square ──> tree per lane ──> index ──> ROM ──┐
                                        │                                                 x ──> ...
                                        └──> delay ───────────────────────────────────────┘

        ... ──> requantize ──> queue ──> o

    Parameters
    ----------
    config : LRNConfig
    table : ndarray of int, (config.entries,)
    requantize : hwsim.network.fixed_point.Requantize
        Of the product, with the multiplier 1.
    queue : QueueConfig, optional

    Members
    -------
    i, o : stream
    """

    def __init__(self, config, table, requantize, queue=None):
        table = np.asarray(table)
        config.check(table)
        config.requantize.check(requantize)
        self._table = table.tolist()
        self._requantize = requantize
        super().__init__(config, queue)

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.window = window = Window(config.window)
        m.submodules.queue = queue = CreditQueue(beat_layout(config.output), self.queue)
        wiring.connect(m, wiring.flipped(self.i), window.i)
        wiring.connect(m, wiring.flipped(self.o), queue.o)
        m.d.comb += [
            window.o.ready.eq(queue.room),
            queue.issue.eq(window.o.valid & queue.room),
            queue.i_valid.eq(delay(m, queue.issue, config.latency, "issue")),
        ]
        lanes = config.frame.lanes
        near = [config.neighbours(lane) for lane in range(lanes)]
        centres = [(config.centre, lane) for lane in range(lanes)]
        steps, squares, far = {}, {}, []
        for place, code in enumerate(window.o.payload):
            tap, lane = divmod(place, lanes)
            if (tap, lane) not in {*centres, *chain(*near)}:
                far.append(code)
                continue
            name = f"{tap}_{lane}"
            step = steps[tap, lane] = self._step(m, code, name)
            squares[tap, lane] = self._square(m, step, name)
        if far:
            discard(m, *far)
        products = []
        for lane, neighbours in enumerate(near):
            # A block RAM has two ports: with more, tools make logic of the table.
            if lane % 2 == 0:
                m.submodules[f"table_{lane // 2}"] = table = Memory(
                    shape=unsigned(config.factor_bits), depth=config.entries, init=self._table
                )
            total = self._sum(m, [squares[place] for place in neighbours], f"sum_{lane}")
            read = table.read_port()
            m.d.comb += read.addr.eq(self._index(m, total, f"{lane}"))
            # The factor comes so long after the step.
            waits = config.SQUARE_LATENCY - 1 + config.tree_latency + config.LOOKUP_LATENCY
            step = delay(m, steps[centres[lane]], waits, f"step_{lane}")
            factor = register(m, read.data, f"factor_{lane}")
            products.append(self._product(m, step, factor, f"product_{lane}"))
        m.d.comb += queue.i_payload.eq(scale(m, config.requantize, products, self._requantize))
        return m

    def _step(self, m, code, name):
        """``code`` less the zero point, a cycle later."""
        frame, zero_point = self.config.frame, self.config.zero_point
        shape = Shape.cast(range(frame.minimum - zero_point, frame.maximum - zero_point + 1))
        return register(m, code - zero_point, f"step_{name}", shape)

    def _square(self, m, step, name):
        frame, zero_point = self.config.frame, self.config.zero_point
        reach = max(frame.maximum - zero_point, zero_point - frame.minimum)
        return register(m, step * step, f"square_{name}", unsigned((reach**2).bit_length()))

    def _sum(self, m, squares, name):
        """Their sum, ``tree_latency`` cycles later whatever their number."""
        config = self.config
        bits = config.largest.bit_length()

        def hold(m, term, name):
            return register(m, term[:bits], name)

        # A lane at the end of a pixel has fewer neighbours: its tree gets zeros.
        most = max(len(config.neighbours(lane)) for lane in range(config.frame.lanes))
        terms = [*squares, *[Const(0, 1)] * (most - len(squares))]
        total = reduce_tree(
            m, terms, lambda left, right: left + right, name, config.TREE_LEVELS, hold
        )
        return total[:bits]

    def _product(self, m, step, factor, name):
        config = self.config
        bits = config.requantize.accumulator_bits
        if config.product_latency == 1:
            return register(m, step * factor, name, signed(bits))
        return multiply(m, step, factor, name, config.product_latency, config.frame.bits + 1)

    def _index(self, m, total, name):
        """`hwsim.network.integer.log_index`, two cycles later."""
        config = self.config
        kept = config.precision + 1
        most = max(len(total) - kept, 0)  # bits that may be dropped
        found = Const(0, range(most + 1))
        for count in range(1, most + 1):
            found = Mux(total[kept + count - 1], Const(count, range(most + 1)), found)
        dropped = register(m, found, f"dropped_{name}")
        held = register(m, total, f"total_{name}")
        upper = held
        if most:
            upper = choose(dropped, [held[count:][:kept] for count in range(most + 1)])
        base = Cat(Const(0, config.precision), dropped)
        return register(m, base + upper, f"index_{name}", Shape.cast(range(config.entries)))
