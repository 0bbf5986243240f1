"""What instructions wait for: those before them that use the same places in the buffer."""

import numpy as np

from hwsim.blocks.systolic.isa import ENGINES

__all__ = ["Tracker"]


class Tracker:
    """Which instructions last read and wrote each word of the buffer, and used each port."""

    def __init__(self, config):
        self._config = config
        words = config.buffer_bytes // config.banks
        # kind (0 read, 1 write), engine, word
        self._last = np.zeros((2, len(ENGINES), words), np.int32)
        self._ports = np.zeros((2, len(ENGINES), config.sections), np.int32)
        self.counts = [0] * len(ENGINES)

    def access(self, engine, reads, writes, waits, margin):
        """What ``engine``'s next instruction waits for, given ranges of addresses; notes it.

        margin : bytes that are read before and after the ranges, whatever is there.
        """
        self.counts[engine] += 1
        config = self._config
        waits = np.array(waits)
        uses = []
        for kind, ranges, around in ((0, reads, margin), (1, writes, 0)):
            for low, high in ranges:
                words = slice(low // config.banks, -(-high // config.banks))
                first, last = (low - around) // config.section_bytes, high + around - 1
                sections = np.arange(first, last // config.section_bytes + 1) % config.sections
                uses.append((kind, words, sections))
        for kind, words, sections in uses:
            for earlier in (1,) if kind == 0 else (0, 1):
                waits = np.maximum(waits, self._last[earlier, :, words].max(axis=1))
            waits = np.maximum(waits, self._ports[kind][:, sections].max(axis=1))
        for kind, words, sections in uses:
            self._last[kind, engine, words] = self.counts[engine]
            self._ports[kind, engine, sections] = self.counts[engine]
        waits[engine] = 0
        return tuple(int(count) for count in waits)
