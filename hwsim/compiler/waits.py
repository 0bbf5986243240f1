"""What instructions wait for: those before them that use the same places in the buffer."""

import numpy as np

from hwsim.blocks.systolic.isa import ENGINES

__all__ = ["Tracker"]


class Tracker:
    """Which instructions last read and wrote each word of the buffer, and used each port.

    Members
    -------
    counts : tuple of four int
        Instructions of each engine so far.
    """

    def __init__(self, config):
        self._config = config
        words = config.buffer_bytes // config.banks
        # Kind (0 read, 1 write), engine, word or section.
        self._words = np.zeros((2, len(ENGINES), words), np.int32)
        self._ports = np.zeros((2, len(ENGINES), config.sections), np.int32)
        self.counts = (0, 0, 0, 0)

    def access(self, engine, reads, writes, waits, margin):
        """What ``engine``'s next instruction waits for, given ranges of addresses; notes it.

        margin : bytes that are read before and after the ranges, whatever is there: (int, int).
        """
        read, matrix, vector, write = (
            count + (number == engine) for number, count in enumerate(self.counts)
        )
        self.counts = read, matrix, vector, write
        uses = [(0, *self._places(low, high, margin)) for low, high in reads]
        uses += [(1, *self._places(low, high, (0, 0))) for low, high in writes]
        waits = np.array(waits)
        for kind, words, sections in uses:
            for earlier in (0, 1) if kind else (1,):
                waits = np.maximum(waits, self._words[earlier, :, words].max(axis=1))
            waits = np.maximum(waits, self._ports[kind][:, sections].max(axis=1))
        for kind, words, sections in uses:
            self._words[kind, engine, words] = self.counts[engine]
            self._ports[kind, engine, sections] = self.counts[engine]
        waits[engine] = 0
        return tuple(int(count) for count in waits)

    def _places(self, low, high, margin):
        """Words and sections of a range of addresses."""
        banks, section = self._config.banks, self._config.section_bytes
        before, after = margin
        sections = np.arange((low - before) // section, (high + after - 1) // section + 1)
        return slice(low // banks, -(-high // banks)), sections % self._config.sections
