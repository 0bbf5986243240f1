"""What a trace says of each element is what the array's description says."""

import numpy as np
import pytest

from hwsim.blocks.array import ArrayConfig
from hwsim.sim.array_trace import random_folds, trace_array

LENGTHS = (5, 1, 3)


def weight_stationary(rows, cols, **options):
    return ArrayConfig(rows=rows, cols=cols, **options)


def output_stationary(rows, cols, **options):
    return ArrayConfig(rows=rows, cols=cols, dataflow="output-stationary", depth=8, **options)


def entries(operands):
    """What is there: {(cycle, place...): (value, fold, number)}."""
    return {
        tuple(map(int, where)): tuple(
            int(part[tuple(where)]) for part in (operands.values, operands.folds, operands.numbers)
        )
        for where in np.argwhere(operands.folds >= 0)
    }


def skewed(port, config, axis):
    """What a port takes, at the elements that it passes, each in its cycle: row + column later."""
    return {
        (cycle + row + col, row, col): entry
        for (cycle, lane), entry in port.items()
        for row in range(config.rows)
        for col in range(config.cols)
        if lane == (row, col)[axis]
    }


@pytest.mark.parametrize(("rows", "cols"), [(1, 1), (1, 3), (3, 1), (3, 2)])
@pytest.mark.parametrize("operands", [0, 1])
@pytest.mark.parametrize("products", [0, 2])
def test_weight_stationary(rows, cols, operands, products):
    registers = operands + products
    config = weight_stationary(rows, cols, operand_registers=operands, product_registers=products)
    folds = random_folds(config, LENGTHS, seed=rows)
    trace = trace_array(config, folds)
    assert trace.folds == 3
    assert trace.cycles == config.cycles(LENGTHS)
    a = entries(trace.a)
    assert [len({c for (c, _), e in a.items() if e[1] == fold}) for fold in range(3)] == [5, 1, 3]
    activations = entries(trace.activations)
    assert activations == skewed(a, config, 0)
    weights, sums = entries(trace.weights), entries(trace.sums)
    for (cycle, row, col), (value, fold, vector) in activations.items():
        assert value == folds[fold][0][vector, row]
        assert weights[cycle, row, col] == (folds[fold][1][row, col], fold, row)
        total = folds[fold][0][vector, : row + 1] @ folds[fold][1][: row + 1, col]
        if cycle + registers < trace.cycles:
            assert sums[cycle + registers, row, col] == (total, fold, vector)
    assert len(sums) == len(activations)
    for (cycle, row, col), (value, fold, of_row) in entries(trace.passing).items():
        assert value == folds[fold][1][of_row, col]
        if of_row == row and cycle + 1 < trace.cycles:
            # It stays.
            assert weights[cycle + 1, row, col] == (value, fold, row)
    assert entries(trace.y) == {
        (cycle + config.latency, col): (
            folds[fold][0][vector] @ folds[fold][1][:, col],
            fold,
            vector,
        )
        for (cycle, row), (_, fold, vector) in a.items()
        if row == 0
        for col in range(cols)
    }


@pytest.mark.parametrize(("rows", "cols"), [(1, 1), (1, 3), (3, 1), (3, 2)])
@pytest.mark.parametrize("operands", [0, 1])
@pytest.mark.parametrize("products", [0, 2])
def test_output_stationary(rows, cols, operands, products):
    registers = operands + products
    config = output_stationary(rows, cols, operand_registers=operands, product_registers=products)
    folds = random_folds(config, LENGTHS, seed=rows)
    trace = trace_array(config, folds)
    assert trace.cycles == config.cycles(LENGTHS)
    activations, weights = entries(trace.activations), entries(trace.weights)
    assert activations == skewed(entries(trace.a), config, 0)
    assert weights == skewed(entries(trace.w), config, 1)
    sums = entries(trace.sums)
    for (cycle, row, col), (value, fold, step) in activations.items():
        assert value == folds[fold][0][step, row]
        assert weights[cycle, row, col] == (folds[fold][1][step, col], fold, step)
        total = folds[fold][0][: step + 1, row] @ folds[fold][1][: step + 1, col]
        assert sums[cycle + registers, row, col] == (total, fold, row)
    results = [a.T @ w for a, w in folds]
    for (_, row, col), (value, fold, of_row) in entries(trace.passing).items():
        assert of_row <= row
        assert value == results[fold][of_row, col]
    y = entries(trace.y)
    assert len(y) == 3 * rows * cols
    for (_, col), (value, fold, row) in y.items():
        assert value == results[fold][row, col]


def test_unsigned_and_narrow_operands():
    config = weight_stationary(
        2, 2, activation_bits=5, activation_signed=False, weight_bits=3, weight_signed=False
    )
    folds = [(np.full((3, 2), 31), np.full((2, 2), 7))]
    trace = trace_array(config, folds)
    there = trace.y.folds >= 0
    assert np.unique(trace.y.values[there]).tolist() == [2 * 31 * 7]


def test_random_folds_depend_on_the_seed_alone():
    config = weight_stationary(3, 2, activation_bits=2)
    first, second, other = (random_folds(config, (4,), seed=seed)[0] for seed in (1, 1, 2))
    assert np.array_equal(first[0], second[0]) and np.array_equal(first[1], second[1])
    assert not np.array_equal(first[1], other[1])
    assert first[0].min() >= -2 and first[0].max() <= 1


ONES = np.ones((2, 2), int)


@pytest.mark.parametrize(
    ("config", "folds", "message"),
    [
        (
            weight_stationary(17, 2),
            [],
            "an array that is traced has at most 16 rows and columns, not 17 x 2",
        ),
        (
            weight_stationary(2, 2, packed=True),
            [],
            "packed must be False in an array that is traced",
        ),
        (
            weight_stationary(2, 2, activation_bits=32, weight_bits=32),
            [],
            "accumulator_bits must be at most 62, not 65",
        ),
        (weight_stationary(2, 2), [], "a trace needs at least one fold"),
        (
            weight_stationary(2, 2),
            [(ONES, ONES), (ONES[:, :1], ONES)],
            "activations of fold 1 must have the shape (2, 2), not (2, 1)",
        ),
        (
            output_stationary(2, 2),
            [(ONES, ONES[:1])],
            "weights of fold 0 must have the shape (2, 2), not (1, 2)",
        ),
        (
            weight_stationary(2, 2),
            [(ONES, 128 * ONES)],
            "weights of fold 0 must lie in [-128, 127], not [128, 128]",
        ),
        (
            weight_stationary(2, 2, activation_bits=3),
            [(ONES, ONES), (ONES, ONES)],
            "activations of 3 bits tell at most 3 apart in a trace, not 4",
        ),
    ],
)
def test_wrong_arguments(config, folds, message):
    with pytest.raises(ValueError) as error:
        trace_array(config, folds)
    assert str(error.value) == message
