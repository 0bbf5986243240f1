"""Hardware that trains, in simulation: every product, sum, rounding and comparison in the RTL."""

from collections import Counter
from typing import Any

import numpy as np

from hwsim.rtl.training import MatrixProduct, WinnerPool, WinnerRoute

from . import compiled_engine
from .engine import Stimulus

__all__ = ["Simulated"]


class Simulated:
    """`hwsim.models.reference.training.Units` in simulation.

    What stands beside the hardware is memory and the order in which it is read: operands are laid
    out here, nothing is computed.

    Parameters
    ----------
    config : TrainingConfig
    run : callable
        An engine.
    stalls, seed
        As of `Stimulus`.

    Members
    -------
    cycles : Counter of str to int
        By kind of work, as counted in simulation.
    """

    def __init__(self, config, *, run=compiled_engine.run, stalls=0.0, seed=0):
        self.config = config
        self.cycles: Counter[str] = Counter()
        self._run = run
        self._options = {"stalls": stalls, "seed": seed}
        self._components: dict[type, Any] = {}
        self._reuse: dict[type, list] = {}

    def product(self, kind, a, b, *, shift, relu=False, seed=None):
        """As `Units.product`."""
        config = self.config
        (rows, depth), cols = a.shape, b.shape[1]
        config.product_folds(rows, depth, cols)
        down, across = -(-rows // config.rows), -(-cols // config.cols)
        steps = config.fold_steps(depth)
        # (tiles, steps, rows of the array) and (tiles, steps, cols of the array).
        left = np.zeros((down * config.rows, steps), np.int64)
        left[:rows, :depth] = a
        left = left.reshape(down, config.rows, steps).swapaxes(1, 2)
        right = np.zeros((steps, across * config.cols), np.int64)
        right[:depth, :cols] = b
        right = right.reshape(steps, across, config.cols).swapaxes(0, 1)
        folds = np.zeros((down, across, steps, config.rows + config.cols), np.int64)
        folds[..., : config.rows] = left[:, None]
        folds[..., config.rows :] = right[None]
        tiles = self._fold(kind, folds.reshape(-1, *folds.shape[2:]), shift, relu, seed)
        whole = tiles.reshape(down, across, config.rows, config.cols).swapaxes(1, 2)
        return whole.reshape(down * config.rows, -1)[:rows, :cols]

    def combine(self, kind, x, p, y, q, *, shift, seed=None):
        """As `Units.combine`: (p I, q I) times the tiles of ``x`` above those of ``y``."""
        config = self.config
        count, size = len(x), config.rows * config.cols
        tiles = -(-count // size)
        both = np.zeros((2, tiles * size), np.int64)
        both[0, :count], both[1, :count] = x, y
        both = both.reshape(2, tiles, config.rows, config.cols).swapaxes(0, 1)
        eye = np.eye(config.rows, dtype=np.int64)
        folds = np.zeros((tiles, 2 * config.rows, config.rows + config.cols), np.int64)
        folds[..., : config.rows] = np.concatenate([p * eye, q * eye])
        folds[..., config.rows :] = both.reshape(tiles, -1, config.cols)
        return self._fold(kind, folds, shift, False, seed).reshape(-1)[:count]

    def _fold(self, kind, folds, shift, relu, seed):
        """Codes (folds, rows, cols) for operands (folds, steps, rows + cols)."""
        config = self.config
        count, steps, width = folds.shape
        beats = np.zeros((1 + count * steps, width + 7), np.int64)
        beats[1:, :width] = folds.reshape(-1, width)
        first, last = beats[1::steps], beats[steps::steps]
        first[:, width] = 1
        last[:, width + 1] = 1
        last[:, width + 2] = shift
        last[:, width + 3] = relu
        last[:, width + 4] = seed is not None
        beats[0, width + 5 :] = 1, seed or 0
        codes = self._transfer(kind, MatrixProduct, beats, count * config.rows)
        return codes.reshape(count, config.rows, config.cols)[:, ::-1]

    def pool(self, kind, windows):
        """As `Units.pool`."""
        config = self.config
        count, taps = windows.shape
        groups = -(-count // config.cols)
        values = _lanes(windows, groups, config.cols).swapaxes(1, 2).reshape(-1, config.cols)
        last = np.tile(np.arange(taps) == taps - 1, groups)[:, None]
        beats = np.concatenate([values, last], axis=1)
        results = self._transfer(kind, WinnerPool, beats, groups)
        parts = results.reshape(groups, 3, config.cols).swapaxes(0, 1).reshape(3, -1)
        return tuple(parts[:, :count])

    def route(self, kind, dy, winner, positive, taps, *, relu):
        """As `Units.route`."""
        config = self.config
        count = len(dy)
        groups = -(-count // config.cols)
        parts = [_lanes(part, groups, config.cols) for part in (dy, winner, positive)]
        rest = np.tile([int(relu), taps - 1], (groups, 1))
        results = self._transfer(
            kind, WinnerRoute, np.concatenate([*parts, rest], axis=1), groups * taps
        )
        routed = results.reshape(groups, taps, config.cols).swapaxes(1, 2)
        return routed.reshape(-1, taps)[:count]

    def _transfer(self, kind, unit, beats, count):
        stimulus = Stimulus({"i": beats}, {"o": count}, **self._options)
        if unit not in self._components:
            self._components[unit] = unit(self.config)
        compiled = self._run is compiled_engine.run
        more = {"reuse": self._reuse.setdefault(unit, [])} if compiled else {}
        recording = self._run(self._components[unit], stimulus, **more)
        self.cycles[kind] += recording.cycles
        return np.asarray(recording.outputs["o"].values, np.int64)


def _lanes(values, groups, cols):
    """(n, ...) as (groups, cols, ...), with zeros behind the last."""
    padded = np.zeros((groups * cols, *values.shape[1:]), np.int64)
    padded[: len(values)] = values
    return padded.reshape(groups, cols, *values.shape[1:])
