"""Configurations of systolic arrays: what is refused, widths, cycles."""

import pytest

from hwsim.blocks.array import ArrayConfig

OUTPUT = {"dataflow": "output-stationary", "depth": 10}
KINDS = {"weight-stationary": {}, "output-stationary": OUTPUT}


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"rows": 0}, "rows must be a positive integer, not 0"),
        ({"rows": 257}, "rows must be at most 256, not 257"),
        ({"cols": -1}, "cols must be a positive integer, not -1"),
        ({"cols": 300}, "cols must be at most 256, not 300"),
        (
            {"dataflow": "row-stationary"},
            "dataflow must be weight-stationary or output-stationary, not 'row-stationary'",
        ),
        ({"activation_bits": 0}, "activation_bits must be a positive integer, not 0"),
        ({"activation_bits": 33}, "activation_bits must be at most 32, not 33"),
        ({"weight_bits": 64}, "weight_bits must be at most 32, not 64"),
        ({"operand_registers": 2}, "operand_registers must be at most 1, not 2"),
        ({"product_registers": 3}, "product_registers must be at most 2, not 3"),
        (
            {"product_registers": -1},
            "product_registers must be an integer of at least 0, not -1",
        ),
        (
            {"depth": 5},
            "depth must be 0 in a weight-stationary array, which sums over its rows, not 5",
        ),
        (
            {"dataflow": "output-stationary"},
            "an output-stationary array needs depth or accumulator_bits",
        ),
        ({"accumulator_bits": 17}, "accumulator_bits must be at least 18 for 4 rows, not 17"),
        (
            OUTPUT | {"accumulator_bits": 18},
            "accumulator_bits must be at least 19 for 10 steps, not 18",
        ),
        (
            {"dataflow": "output-stationary", "accumulator_bits": 15},
            "accumulator_bits must be at least 16 for one step, not 15",
        ),
        ({"packed": True, "cols": 3}, "cols must be even in a packed array, not 3"),
        (
            {"packed": True, "activation_bits": 9},
            "activation_bits must be at most 8 in a packed array, not 9",
        ),
        (
            {"packed": True, "weight_bits": 16},
            "weight_bits must be at most 8 in a packed array, not 16",
        ),
    ],
)
def test_refused(members, message):
    with pytest.raises(ValueError) as error:
        ArrayConfig(**{"rows": 4, "cols": 4} | members)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"rows": 4.0}, "rows must be an integer, not 4.0"),
        ({"cols": True}, "cols must be an integer, not True"),
        ({"packed": 1}, "packed must be True or False, not 1"),
        ({"weight_signed": 0}, "weight_signed must be True or False, not 0"),
    ],
)
def test_wrong_kind(members, message):
    with pytest.raises(TypeError) as error:
        ArrayConfig(**{"rows": 4, "cols": 4} | members)
    assert str(error.value) == message


def ends(bits, signed):
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)


@pytest.mark.parametrize("dataflow", KINDS)
@pytest.mark.parametrize("activation_signed", [False, True])
@pytest.mark.parametrize("weight_signed", [False, True])
@pytest.mark.parametrize(("activation_bits", "weight_bits"), [(1, 1), (8, 8), (16, 4), (2, 16)])
def test_accumulator(dataflow, activation_bits, weight_bits, activation_signed, weight_signed):
    """Just wide enough for the worst sum."""
    terms = {"weight-stationary": 7, "output-stationary": 10}[dataflow]
    config = ArrayConfig(
        rows=7,
        cols=3,
        activation_bits=activation_bits,
        weight_bits=weight_bits,
        activation_signed=activation_signed,
        weight_signed=weight_signed,
        **KINDS[dataflow],
    )
    sums = [
        terms * a * w
        for a in ends(activation_bits, activation_signed)
        for w in ends(weight_bits, weight_signed)
    ]
    low, high = ends(config.accumulator_bits, True)
    assert low <= min(sums) and max(sums) <= high
    low, high = ends(config.accumulator_bits - 1, True)
    assert min(sums) < low or high < max(sums)


def test_accumulator_of_own_choice():
    assert ArrayConfig(rows=4, cols=4, accumulator_bits=32).accumulator_bits == 32
    config = ArrayConfig(rows=4, cols=4, dataflow="output-stationary", accumulator_bits=24)
    assert config.accumulator_bits == 24


@pytest.mark.parametrize("dataflow", KINDS)
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("operands", [0, 1])
@pytest.mark.parametrize("products", [0, 1, 2])
def test_latency(dataflow, packed, operands, products):
    """Down the rows, along the elements of a row, and through the registers of one of them."""
    registers = {"operand_registers": operands, "product_registers": products}
    config = ArrayConfig(rows=5, cols=6, packed=packed, **registers, **KINDS[dataflow])
    element_cols = 3 if packed else 6
    assert config.element_cols == element_cols
    assert config.elements == 5 * element_cols
    last = {"weight-stationary": 0, "output-stationary": 1}[dataflow]
    assert config.latency == (5 - 1) + (element_cols - 1) + 1 + operands + products + last


@pytest.mark.parametrize(
    ("lengths", "cycles"),
    [
        ([], 0),
        ([1], 4 + 1 + 10),
        ([9], 4 + 9 + 10),
        ([9, 4, 5], 4 + 9 + 4 + 5 + 10),
        ([1, 2, 3], 4 + 4 + 4 + 3 + 10),  # four rows of weights before each
    ],
)
def test_cycles_of_weight_stationary(lengths, cycles):
    config = ArrayConfig(rows=4, cols=4)
    assert config.latency == 10
    assert config.cycles(lengths) == cycles


@pytest.mark.parametrize(
    ("lengths", "cycles"),
    [
        ([], 0),
        ([1], 1 + 11 + 3),
        ([9], 9 + 11 + 3),
        ([9, 4, 5], 9 + 4 + 5 + 11 + 3),
        ([1, 2, 3], 1 + 4 + 4 + 11 + 3),  # four rows of results after each
    ],
)
def test_cycles_of_output_stationary(lengths, cycles):
    config = ArrayConfig(rows=4, cols=4, **OUTPUT)
    assert config.latency == 11
    assert config.cycles(lengths) == cycles


@pytest.mark.parametrize("dataflow", KINDS)
def test_fold_cycles(dataflow):
    config = ArrayConfig(rows=4, cols=2, **KINDS[dataflow])
    assert [config.fold_cycles(length) for length in (1, 3, 4, 5, 10)] == [4, 4, 4, 5, 10]
    with pytest.raises(ValueError, match=r"^length must be a positive integer, not 0$"):
        config.cycles([5, 0])


def test_fold_deeper_than_the_accumulator():
    config = ArrayConfig(rows=4, cols=2, **OUTPUT)
    with pytest.raises(ValueError, match=r"^length must be at most 10, the depth, not 11$"):
        config.cycles([10, 11])
