"""Which bits of which signals have changed, up and down."""

import numpy as np
import pandas as pd

__all__ = ["Coverage"]


class Coverage:
    """Toggle coverage of a simulation's signals, over all runs that it is given to.

    Use it as ``simulation.cover(cycles, coverage)``. A bit counts as covered when it went from 0
    to 1 and from 1 to 0, in whichever lane and cycle. Each cycle is compared with the one looked at
    before it, also of an earlier call.

    Parameters
    ----------
    simulation : Simulation
        Signals are those that its program observes.
    scope : str
        Beginning of the paths that are looked at.

    Members
    -------
    table : pandas.DataFrame
        For each signal its path, its width, the numbers of bits that rose and fell, and the share
        of bits that did both.
    """

    def __init__(self, simulation, scope=""):
        program = simulation.program
        self._signals = {path: simulation.locate(path) for path in program.paths(scope)}
        self._rows = {path: _Bytes(*spot) for path, spot in self._signals.items()}
        self.pieces = _merge([(row.start, row.stop) for row in self._rows.values()])
        words = int(self.pieces[:, 1].sum())
        self.before = None
        self.rise = np.zeros(words, np.uint64)
        self.fall = np.zeros(words, np.uint64)

    @property
    def table(self):
        """See the class."""
        starts = self.pieces[:, 0]
        bases = 8 * (np.cumsum(self.pieces[:, 1]) - self.pieces[:, 1])
        rise, fall = self.rise.view(np.uint8), self.fall.view(np.uint8)
        rows = []
        for path, row in self._rows.items():
            piece = int(np.searchsorted(starts, row.start, "right")) - 1
            base = int(bases[piece]) + row.start - int(starts[piece])
            up, down = (
                row.bits(array[base : base + row.stop - row.start]) for array in (rise, fall)
            )
            rows.append(
                {
                    "signal": path,
                    "width": row.width,
                    "rose": up.bit_count(),
                    "fell": down.bit_count(),
                    "covered": (up & down).bit_count() / row.width,
                }
            )
        return pd.DataFrame(rows, columns=["signal", "width", "rose", "fell", "covered"])


class _Bytes:
    """Where the elements of a signal lie, all lanes of one instance."""

    def __init__(self, place, instance):
        self.width = place.width
        self.size = place.bytes
        self.start = place.offset + instance * place.lanes * place.bytes
        self.stop = self.start + place.lanes * place.bytes

    def bits(self, data):
        """Bits set in any lane; those above the width are not the signal's."""
        merged = np.bitwise_or.reduce(data.reshape(-1, self.size), axis=0)
        return int.from_bytes(merged.tobytes(), "little") & ((1 << self.width) - 1)


def _merge(ranges):
    """Offset and 8-byte words of pieces that hold all ranges."""
    pieces: list[list[int]] = []
    for start, stop in sorted(ranges):
        if pieces and start <= pieces[-1][1] + 64:
            pieces[-1][1] = max(pieces[-1][1], stop)
        else:
            pieces.append([start, stop])
    table = [[start, -(-(stop - start) // 8)] for start, stop in pieces]
    return np.array(table, np.int64).reshape(-1, 2)
