"""Units that work on each code on its own: table, add, multiply."""

import numpy as np
from amaranth.hdl import Module, Shape, Value
from amaranth.lib import wiring
from amaranth.lib.memory import Memory

from .queue import CreditQueue
from .unit import Unit, beat_layout, delay

__all__ = ["Table"]


class Table(Unit):
    """Each code replaced by what a table holds for it.

    Parameters
    ----------
    config : TableConfig
    table : ndarray of int, (2**bits,)
        ``table[k]`` is for the code ``k + config.frame.minimum``.
    queue : QueueConfig, optional

    Members
    -------
    i, o : stream
    """

    def __init__(self, config, table, queue=None):
        table = np.asarray(table)
        size = 1 << config.frame.bits
        if table.shape != (size,):
            raise ValueError(f"table must have the shape ({size},), not {table.shape}")
        low, high = config.output.minimum, config.output.maximum
        if table.min() < low or table.max() > high:
            raise ValueError(f"table must hold codes in [{low}, {high}], not [{table.min()}, {table.max()}]")
        self._table = table.astype(np.int64)
        super().__init__(config, queue)

    def elaborate(self, platform):
        m = Module()
        frame, output = self.config.frame, self.config.output
        m.submodules.queue = queue = CreditQueue(beat_layout(output), self.queue)
        wiring.connect(m, wiring.flipped(self.o), queue.o)
        # A code's bits are its address: negative codes lie in the upper half.
        contents = np.roll(self._table, frame.minimum).tolist()
        m.submodules.table = table = Memory(
            shape=Shape(output.bits, output.signed), depth=1 << frame.bits, init=contents
        )
        m.d.comb += [
            self.i.ready.eq(queue.room),
            queue.issue.eq(self.i.valid & queue.room),
            queue.i_valid.eq(delay(m, queue.issue, self.config.latency, "issue")),
        ]
        for lane in range(frame.lanes):
            read = table.read_port()
            m.d.comb += [read.addr.eq(self.i.payload[lane]), queue.i_payload[lane].eq(read.data)]
        return m
