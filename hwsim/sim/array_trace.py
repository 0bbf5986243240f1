"""Which operand is where in a systolic array, cycle by cycle, as a simulation of it shows.

Beside the run with the operands, which gives the values, others go on whose operands are numbers:
each activation carries the number of its vector, each weight that of its row. What then passes an
element says itself what it is, and nothing of the array's timing is assumed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hwsim.blocks.array import ArrayConfig
from hwsim.rtl.systolic.array import TILE, OutputStationaryArray, WeightStationaryArray

from .beats import pack, unpack
from .testbench import Simulator

__all__ = ["ArrayTrace", "Operands", "random_folds", "trace_array"]

_DIGIT = 9


@dataclass(frozen=True, eq=False)
class Operands:
    """What stands at some places, cycle by cycle.

    Members
    -------
    values : ndarray of int, (cycles, ...)
    folds : ndarray of int, (cycles, ...)
        To which each belongs; -1 where nothing of any fold is.
    numbers : ndarray of int, (cycles, ...)
        Which one of its fold each is, from 0; -1 where nothing is.
    """

    values: np.ndarray
    folds: np.ndarray
    numbers: np.ndarray


@dataclass(frozen=True, eq=False)
class ArrayTrace:
    """A systolic array at work.

    Members
    -------
    config : ArrayConfig
    folds : int
    a, w, y : Operands, (cycles, rows), (cycles, cols), (cycles, cols)
        At the array's ports.
    activations : Operands, (cycles, rows, cols)
        With what each element multiplies; numbered by vectors, output-stationary by steps.
    weights : Operands, (cycles, rows, cols)
        With what it multiplies them; numbered by rows of the set, output-stationary by steps.
    sums : Operands, (cycles, rows, cols)
        In each element at the end of the cycle; numbered by vectors, output-stationary by rows.
    passing : Operands, (cycles, rows, cols)
        What else goes down. Weight-stationary: weights that arrive at the element, those of later
        folds among them, numbered by rows of the set. Output-stationary: results that are in it at
        the end of the cycle, numbered by the rows that they come from.
    """

    config: ArrayConfig
    folds: int
    a: Operands
    w: Operands
    y: Operands
    activations: Operands
    weights: Operands
    sums: Operands
    passing: Operands

    @property
    def cycles(self):
        """From the first operand to the last result."""
        return len(self.y.values)


def random_folds(config, lengths, *, seed=0):
    """Operands of one digit for `trace_array`.

    Parameters
    ----------
    config : ArrayConfig
    lengths : sequence of int
        Vectors of each fold; of an output-stationary array, steps.
    seed : int
    """
    rng = np.random.default_rng(seed)

    def draw(operand, *shape):
        low, high = _bounds(config, operand)
        return rng.integers(max(low, -_DIGIT), min(high, _DIGIT) + 1, shape)

    return [
        (
            draw("activation", length, config.rows),
            draw("weight", length if config.output_stationary else config.rows, config.cols),
        )
        for length in lengths
    ]


def trace_array(config: ArrayConfig, folds: Sequence):
    """Simulate an array and see which operand is where.

    Parameters
    ----------
    config : ArrayConfig
        Of at most 16 rows and columns, not packed.
    folds : sequence of (activations, weights)
        Activations (vectors, rows) and weights (rows, cols) of each fold; of an output-stationary
        array activations (steps, rows) and weights (steps, cols). They follow one another as
        closely as they can.

    Returns
    -------
    ArrayTrace

    Raises
    ------
    ValueError
        If the array is too large or packed, if operands have the wrong shape or do not fit, or if
        they are more than the array's operands have positive numbers.
    """
    if max(config.rows, config.cols) > TILE:
        raise ValueError(
            f"an array that is traced has at most {TILE} rows and columns, "
            f"not {config.rows} x {config.cols}"
        )
    if config.packed:
        raise ValueError("packed must be False in an array that is traced")
    if config.accumulator_bits > 62:
        raise ValueError(f"accumulator_bits must be at most 62, not {config.accumulator_bits}")
    trace = _output_stationary if config.output_stationary else _weight_stationary
    return trace(config, _checked(config, folds))


class _Run:
    """Three arrays side by side in the same cycles.

    Members
    -------
    a, w : ndarray of int, (3, cycles, rows), (3, cycles, cols)
        The first lane is for the operands, the others for numbers in their place.
    tokens : dict of port to ndarray of int, (cycles,)
    """

    def __init__(self, config, cycles, tokens):
        self._config = config
        self._cycles = cycles
        self.a = np.zeros((3, cycles, config.rows), np.int64)
        self.w = np.zeros((3, cycles, config.cols), np.int64)
        self.tokens = {name: np.zeros(cycles, np.int64) for name in tokens}

    def see(self, array, signals):
        """Simulate.

        Parameters
        ----------
        array : component
        signals : dict of name to (bits, whether it is signed)
            Of an element.

        Returns
        -------
        dict of name to ndarray of int, (3, cycles + 1, rows, cols)
            In each cycle, before its end.
        ndarray of int, (3, cycles, cols)
            `y`.
        """
        config, cycles = self._config, self._cycles
        paths = {
            (name, row, col): f"{_element(config, row, col)}.{name}"
            for name in signals
            for row in range(config.rows)
            for col in range(config.cols)
        }
        simulator = Simulator(array, lanes=3, observe=list(paths.values()))
        seen = {n: np.zeros((3, cycles + 1, config.rows, config.cols), np.int64) for n in signals}
        y = np.zeros((3, cycles, config.cols), np.int64)
        words = {
            "a": [pack(lane, config.activation_bits) for lane in self.a],
            "w": [pack(lane, config.weight_bits) for lane in self.w],
        }
        for cycle in range(cycles + 1):
            if cycle < cycles:
                for port, lanes in words.items():
                    simulator.poke(port, np.array([lane[cycle] for lane in lanes], object))
                for port, token in self.tokens.items():
                    simulator.poke(port, int(token[cycle]))
                result = [int(word) for word in simulator.peek("y")]
                y[:, cycle] = unpack(result, config.cols, config.accumulator_bits, True)
            for (name, row, col), path in paths.items():
                seen[name][:, cycle, row, col] = simulator.peek(path)
            simulator.step()
        return {name: _extended(seen[name], *signals[name]) for name in signals}, y


def _weight_stationary(config, folds):
    lengths = [len(activations) for activations, _ in folds]
    rows = config.rows
    run = _Run(config, config.cycles(lengths), ["swap"])
    vectors, weight_rows = _Numbers(lengths), _Numbers([rows] * len(folds))
    swap = rows - 1
    for fold, (activations, weights) in enumerate(folds):
        down = slice(swap - rows + 1, swap + 1)
        run.w[0, down] = weights[::-1]
        run.w[1, swap] = 1  # in row 0 alone: a sum is then the number of its vector
        run.w[2, down] = weight_rows.of(fold)[::-1, None]
        run.tokens["swap"][swap] = 1
        across = slice(swap + 1, swap + 1 + len(activations))
        run.a[0, across] = activations
        run.a[1, across] = vectors.of(fold)[:, None]
        swap += config.fold_cycles(len(activations))
    _check_numbers(config, vectors.total, weight_rows.total)
    widths = _widths(config)
    signals = {
        "a_i": widths["a"],
        "w_i": widths["w"],
        "weight": widths["w"],
        "p_o": widths["sum"],
    }
    seen, y = run.see(WeightStationaryArray(config), signals)
    during, after = slice(None, -1), slice(1, None)

    def operands(name, when, lane, numbers):
        return numbers.read(seen[name][0, when], seen[name][lane, when])

    return ArrayTrace(
        config,
        len(folds),
        a=vectors.read(run.a[0], run.a[1]),
        w=weight_rows.read(run.w[0], run.w[2]),
        y=vectors.read(y[0], y[1]),
        activations=operands("a_i", during, 1, vectors),
        weights=operands("weight", during, 2, weight_rows),
        sums=operands("p_o", after, 1, vectors),
        passing=operands("w_i", during, 2, weight_rows),
    )


def _output_stationary(config, folds):
    lengths = [len(activations) for activations, _ in folds]
    rows = config.rows
    run = _Run(config, config.cycles(lengths), ["first", "last"])
    steps, result_rows = _Numbers(lengths), _Numbers([rows] * len(folds))
    last = -rows - 1
    for fold, (activations, weights) in enumerate(folds):
        first = max(last + 1, last + rows - len(activations) + 1, 0)
        last = first + len(activations) - 1
        when = slice(first, last + 1)
        run.a[0, when], run.w[0, when] = activations, weights
        run.a[1, when] = run.w[1, when] = steps.of(fold)[:, None]
        # In the first step alone: a sum is then the number of its row.
        run.a[2, first], run.w[2, first] = result_rows.of(fold), 1
        run.tokens["first"][first] = run.tokens["last"][last] = 1
    _check_numbers(config, max(steps.total, result_rows.total), steps.total)
    widths = _widths(config)
    signals = {
        "a_i": widths["a"],
        "w_i": widths["w"],
        "total": widths["sum"],
        "y_o": widths["sum"],
    }
    seen, y = run.see(OutputStationaryArray(config), signals)
    during, after = slice(None, -1), slice(1, None)

    def operands(name, when, lane, numbers):
        return numbers.read(seen[name][0, when], seen[name][lane, when])

    return ArrayTrace(
        config,
        len(folds),
        a=steps.read(run.a[0], run.a[1]),
        w=steps.read(run.w[0], run.w[1]),
        y=result_rows.read(y[0], y[2]),
        activations=operands("a_i", during, 1, steps),
        weights=operands("w_i", during, 1, steps),
        sums=operands("total", after, 2, result_rows),
        passing=operands("y_o", after, 2, result_rows),
    )


class _Numbers:
    """Numbers from 1 for all things of all folds; 0 is for nothing."""

    def __init__(self, lengths):
        self._starts = np.cumsum([1, *lengths])
        self.total = sum(lengths)

    def of(self, fold):
        """Numbers of a fold's things."""
        return np.arange(self._starts[fold], self._starts[fold + 1])

    def read(self, values, numbers):
        """`Operands`."""
        folds = np.searchsorted(self._starts, numbers, side="right") - 1
        within = np.where(folds < 0, -1, numbers - self._starts[folds])
        return Operands(values, folds, within)


def _bounds(config, operand):
    """Smallest and largest activation or weight."""
    bits, is_signed = getattr(config, f"{operand}_bits"), getattr(config, f"{operand}_signed")
    return (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if is_signed else (0, (1 << bits) - 1)


def _widths(config):
    return {
        "a": (config.activation_bits, config.activation_signed),
        "w": (config.weight_bits, config.weight_signed),
        "sum": (config.accumulator_bits, True),
    }


def _extended(words, bits, is_signed):
    """Words of so many bits as the integers that they are."""
    return words << (64 - bits) >> (64 - bits) if is_signed else words


def _element(config, row, col):
    """Path of an element in the array; see `hwsim.rtl.systolic.array.Mesh`."""
    if config.rows == 1:
        return f"mesh.part_0_{col}"
    return f"mesh.part_{row}_0" + (f".part_0_{col}" if config.cols > 1 else "")


def _checked(config, folds):
    """Operands as arrays, of the shapes and within the bounds of the array."""
    if not len(folds):
        raise ValueError("a trace needs at least one fold")
    checked = []
    for fold, pair in enumerate(folds):
        activations, weights = map(np.asarray, pair)
        length = len(activations) if config.output_stationary else config.rows
        _check_operand(config, fold, "activation", activations, (len(activations), config.rows))
        _check_operand(config, fold, "weight", weights, (length, config.cols))
        checked.append((activations, weights))
    return checked


def _check_operand(config, fold, operand, values, shape):
    if values.shape != shape:
        raise ValueError(
            f"{operand}s of fold {fold} must have the shape {shape}, not {values.shape}"
        )
    low, high = _bounds(config, operand)
    if values.size and not low <= values.min() <= values.max() <= high:
        raise ValueError(
            f"{operand}s of fold {fold} must lie in [{low}, {high}], "
            f"not [{values.min()}, {values.max()}]"
        )


def _check_numbers(config, activations, weights):
    """That so many things get numbers which are operands, too."""
    for operand, count in (("activation", activations), ("weight", weights)):
        _, high = _bounds(config, operand)
        if count > high:
            bits = getattr(config, f"{operand}_bits")
            raise ValueError(
                f"{operand}s of {bits} bits tell at most {high} apart in a trace, not {count}"
            )
