"""Cycles and reloads of arrays: the hardware's, by hand, and under SCALE-Sim's conventions."""

import math
import random

import numpy as np
import pytest

from hwsim.blocks.array import ArrayConfig
from hwsim.blocks.systolic.config import Systolic
from hwsim.blocks.systolic.isa import Opcode
from hwsim.compiler import compile_network
from hwsim.models import devices
from hwsim.models.dataflow.systolic import layer_table
from hwsim.models.dataflow.workload import Convolution, Gemm, Work
from hwsim.models.processors.array import Design, Shapes, array_cycles, reloads, scale_sim_cycles
from tests.networks import NetworkBuilder


def total(design, shapes, **options):
    """Cycles from the first operand to the last result."""
    timing = array_cycles(design, shapes, **options)
    return np.broadcast_to(timing.cycles + timing.ending, timing.cycles.shape)


def conv(channels, outputs, size, kernel, *, stride=1, groups=1, images=1, pad=0):
    out = (size + 2 * pad - kernel) // stride + 1
    return Work(
        "conv",
        "Conv",
        gemm=Gemm(images * out**2, outputs // groups, channels // groups * kernel**2, groups),
        convolution=Convolution(
            images=images,
            channels=channels,
            outputs=outputs,
            groups=groups,
            size=(size, size),
            output_size=(out, out),
            kernel=(kernel, kernel),
            stride=(stride, stride),
            dilation=(1, 1),
        ),
    )


# --------------------------------------------------------------------------- cycles of the hardware


@pytest.mark.parametrize("seed", range(50))
def test_folds_take_the_cycles_of_the_hardware(seed):
    """`ArrayConfig.cycles` is what the RTL takes, see tests/rtl/systolic."""
    rng = random.Random(seed)
    rows, cols = rng.randint(1, 40), rng.randint(1, 40)
    m, n, k = (rng.randint(1, 150) for _ in range(3))
    weights = ArrayConfig(rows=rows, cols=cols, operand_registers=0, product_registers=0)
    sums = ArrayConfig(
        rows=rows,
        cols=cols,
        dataflow="output-stationary",
        depth=k,
        operand_registers=0,
        product_registers=0,
    )

    def found(dataflow, **options):
        design = Design(dataflow=dataflow, rows=rows, columns=cols, **options)
        return total(design, Shapes.gemm(m, n, k))

    folds = math.ceil(k / rows) * math.ceil(n / cols)
    assert found("weight-stationary") == weights.cycles([m] * folds)
    folds = math.ceil(k / rows) * math.ceil(m / cols)
    assert found("input-stationary") == weights.cycles([n] * folds)
    folds = math.ceil(m / rows) * math.ceil(n / cols)
    assert found("output-stationary") == sums.cycles([k] * folds)
    # Accumulators of limited depth: whole parts and a last one.
    half = rng.randint(1, 60)
    parts = [half] * (math.ceil(m / half) - 1)
    parts.append(m - sum(parts))
    folds = math.ceil(k / rows) * math.ceil(n / cols)
    lengths = parts * folds
    assert found("weight-stationary", accumulator_rows=2 * half) == weights.cycles(lengths)


@pytest.mark.parametrize("seed", range(12))
def test_a_layer_takes_the_folds_of_its_program(seed):
    """The compiled program's folds, where the accumulators hold a layer's sums in one part."""
    rng = np.random.default_rng(seed)
    size = int(rng.choice([4, 8, 16]))
    # Channels in multiples of the banks: no lane is left free between taps.
    channels = size * int(rng.integers(1, 4))
    b = NetworkBuilder(rng, (channels, *(int(x) for x in rng.integers(3, 12, 2))))
    outputs = int(rng.integers(1, 40))
    if rng.random() < 0.5:
        network = b.build(b.conv(b.input, outputs, (3, 3), pads=(1, 1, 1, 1)))
    else:
        network = b.build(b.dense(b.input, outputs))
    program = compile_network(network, Systolic(rows=size, cols=size))
    (layer,) = (entry for entry in network.layers if hasattr(entry, "weights"))
    pixels = int(np.prod(network.tensors[layer.output].shape[1:]))
    design = Design(rows=size, columns=size)
    timing = array_cycles(design, Shapes.gemm(pixels, len(layer.weights), layer.weights[0].size))
    own = sum(
        i["folds"] * max(i["pixels"], size)
        for i in program.instructions
        if i.opcode == Opcode.CONVOLVE
    )
    assert timing.cycles == own
    times = program.timing()
    table = layer_table(program, times).set_index("layer").loc[layer.name]
    assert table.limit == layer.weights.size * pixels / (own * size**2)
    assert table.array_cycles >= own


# -------------------------------------------------------------------------- SCALE-Sim's conventions

# Truth: "Total Cycles" that SCALE-Sim 3.0.0 gave for a 32 x 32 array.
SHAPES = {
    "32,32,32": (32, 32, 32),
    "100,64,48": (100, 64, 48),
    "17,33,70": (17, 33, 70),
    "LeNet c1": (28 * 28, 6, 25),
    "LeNet c3": (10 * 10, 16, 150),
    "LeNet c5": (1, 120, 400),
    "AlexNet c3": (13 * 13, 384, 9 * 256),
}
REPORTED = {
    "weight-stationary": (125, 775, 665, 877, 969, 4939, 227231),
    "output-stationary": (93, 879, 263, 2174, 847, 1847, 170351),
    "input-stationary": (125, 1263, 380, 2499, 2199, 2781, 206495),
}


@pytest.mark.parametrize("dataflow", REPORTED)
def test_what_scale_sim_reported(dataflow):
    m, n, k = np.array(list(SHAPES.values())).T
    assert tuple(scale_sim_cycles(dataflow, 32, 32, m, n, k)) == REPORTED[dataflow]
    design = Design(dataflow=dataflow, rows=32, columns=32)
    found = total(design, Shapes.gemm(m, n, k), convention="scale-sim")
    assert tuple(found) == REPORTED[dataflow]


def test_scale_sim_s_formulas_over_random_products():
    rng = random.Random(0)
    for _ in range(600):
        r, c = rng.randint(1, 64), rng.randint(1, 64)
        m, n, k = (rng.randint(1, 400) for _ in range(3))
        expected = {
            "output-stationary": -(-m // r) * -(-n // c) * (k + r + c - 2) - 1,
            "weight-stationary": -(-k // r) * -(-n // c) * (r + m + r + c - 2) - 1,
            "input-stationary": -(-k // r) * -(-m // c) * (r + n + r + c - 2) - 1,
        }
        for dataflow, cycles in expected.items():
            assert scale_sim_cycles(dataflow, r, c, m, n, k) == cycles
            assert scale_sim_cycles(dataflow, r, c, m, n, k, 3) == 3 * cycles


def test_the_drain_is_charged_unless_scale_sim_s_convention_is_asked_for():
    """One output-stationary fold: k steps, rows and columns to get through, and rows to get out."""
    design = Design(dataflow="output-stationary", rows=8, columns=4)
    shapes = Shapes.gemm(8, 4, 100)
    assert total(design, shapes) == 100 + (8 - 1) + (4 - 1) + 8 + 1
    assert total(design, shapes, convention="scale-sim") == 100 + 8 + 4 - 2 - 1


def test_wrong_names():
    shapes = Shapes.gemm(1, 1, 1)
    text = (
        "dataflow must be weight-stationary, output-stationary, input-stationary, row-stationary, "
        "nvdla, not 'no'"
    )
    with pytest.raises(ValueError) as error:
        array_cycles(Design(dataflow="no", rows=1, columns=1), shapes)
    assert str(error.value) == text
    with pytest.raises(ValueError, match=r"^convention must be hwsim or scale-sim, not 'no'$"):
        array_cycles(Design(rows=1, columns=1), shapes, "no")
    with pytest.raises(ValueError) as error:
        scale_sim_cycles("nvdla", 1, 1, 1, 1, 1)
    assert str(error.value) == (
        "SCALE-Sim has the dataflows weight-stationary, output-stationary, input-stationary, "
        "not 'nvdla'"
    )


# ---------------------------------------------------------------------------------- systolic arrays


def test_groups_share_a_fold_on_its_diagonal():
    design = Design(rows=32, columns=32)
    depthwise = Shapes.of([conv(64, 64, 32, 3, groups=64)])
    # Nine taps: three groups in 32 rows, 22 folds of 900 pixels.
    assert array_cycles(design, depthwise).cycles == 22 * 900
    whole = Shapes.gemm(900, 1, 9, 1)
    assert array_cycles(design, whole).cycles == 900


def test_several_arrays_share_folds_or_pixels():
    one, four = (Design(rows=16, columns=16, arrays=n) for n in (1, 4))
    many_folds, one_fold = Shapes.gemm(100, 160, 160), Shapes.gemm(1000, 16, 16)
    assert array_cycles(one, many_folds).cycles == 100 * 100
    assert array_cycles(four, many_folds).cycles == 25 * 100
    assert array_cycles(one, one_fold).cycles == 1000
    assert array_cycles(four, one_fold).cycles == 250


def test_points_and_layers_broadcast():
    rng = np.random.default_rng(0)
    rows, cols = rng.integers(1, 100, (2, 7))
    m, n, k = rng.integers(1, 500, (3, 5))
    for dataflow in devices.DATAFLOWS:
        shapes = Shapes.gemm(m, n, k)
        many = total(Design(dataflow=dataflow, rows=rows[:, None], columns=cols[:, None]), shapes)
        assert many.shape == (7, 5)
        for point in range(7):
            design = Design(dataflow=dataflow, rows=rows[point], columns=cols[point])
            assert (total(design, shapes) == many[point]).all()


# ---------------------------------------------------------------------------- row-stationary arrays

EYERISS = dict(dataflow="row-stationary", rows=12, columns=14, value_bytes=2.0)
EYERISS |= dict(scratchpad_size=108 * 1024, filter_words_per_cycle=4.0)
EYERISS |= dict(input_words_per_cycle=1.0, sum_words_per_cycle=4.0)


def test_a_set_that_fills_the_array():
    """AlexNet's third layer: sets of 3 x 13 elements, four at a time; 156 of 168 elements."""
    shapes = Shapes.of([conv(256, 384, 13, 3, pad=1, images=4)])
    timing = array_cycles(Design(**EYERISS), shapes)
    facts = timing.facts
    assert facts["strip"] == 13
    assert facts["active"] == 156
    # Four channels of 3 taps in the 12 words for maps; 18 filters of them in the 224 for filters.
    assert facts["channels"] == 4
    assert facts["filters"] == 18
    # With each product in a cycle of its own it would take as long as at full speed on 156.
    least = 384 * 13 * 13 * 4 * 256 * 9 / 156
    assert least * 13 / 12 < timing.cycles < least * 1.25


def test_a_set_wider_than_the_array_is_folded_onto_free_rows():
    """AlexNet's second layer: 5 x 27 elements as 5 x 14 and 5 x 13."""
    shapes = Shapes.of([conv(96, 256, 27, 5, pad=2, groups=2)])
    facts = array_cycles(Design(**EYERISS), shapes).facts
    assert facts["strip"] == 27
    assert facts["active"] == 135


def test_filters_higher_than_the_array_are_cut():
    short = {**EYERISS, "rows": 4}
    shapes = Shapes.of([conv(3, 16, 40, 11)])
    timing = array_cycles(Design(**short), shapes)
    assert timing.facts["active"] <= 4 * 14
    assert timing.cycles >= 30 * 30 * 16 * 3 * 121 / (4 * 14)


@pytest.mark.parametrize("seed", range(30))
def test_no_array_is_faster_than_its_elements(seed):
    rng = random.Random(seed)
    groups = rng.choice([1, 1, 2, 8])
    work = conv(
        groups * rng.randint(1, 40),
        groups * rng.randint(1, 40),
        rng.randint(8, 40),
        rng.choice([1, 3, 5, 7]),
        stride=rng.choice([1, 2]),
        groups=groups,
        images=rng.randint(1, 5),
    )
    shapes = Shapes.of([work])
    rows, columns = rng.randint(1, 40), rng.randint(1, 40)
    for dataflow in devices.DATAFLOWS:
        design = Design(dataflow=dataflow, rows=rows, columns=columns, scratchpad_size=1e5)
        timing = array_cycles(design, shapes)
        assert timing.cycles >= work.macs / (rows * columns), dataflow
        weights, inputs = reloads(design, shapes, timing, 1000.0, 2000.0, 1e9)
        assert (weights, inputs) == (1000, 2000)
        for free in (10.0, 100.0, 500.0):
            weights, inputs = reloads(design, shapes, timing, 1000.0, 2000.0, free)
            assert weights >= 1000 and inputs >= 2000, dataflow


# -------------------------------------------------------------------------------------------- NVDLA


def nvdla(**options):
    return Design(dataflow="nvdla", rows=64, columns=16, **options)


def test_stripes_by_hand():
    shapes = Shapes.of([conv(100, 40, 14, 3, pad=1)])
    # 2 blocks of channels, 3 of kernels, 9 taps, 196 pixels.
    assert array_cycles(nvdla(), shapes).cycles == 2 * 3 * 9 * 196
    dense = Shapes.gemm(1, 1000, 2048)
    # A pixel alone takes as long as the next weights: 16 cycles.
    assert array_cycles(nvdla(), dense).cycles == 32 * 63 * 16
    batch = Shapes.gemm(16, 1000, 2048)
    assert array_cycles(nvdla(), batch).cycles == 32 * 63 * 16 * 16
    assert array_cycles(nvdla(images_together=32.0), batch).cycles == 32 * 63 * 16


def test_an_image_has_taps_side_by_side():
    # 7 x 3 taps of a row, two rows of them in 64.
    shapes = Shapes.of([conv(3, 64, 224, 7, stride=2, pad=3)])
    assert array_cycles(nvdla(), shapes).cycles == 4 * 4 * 112 * 112
    deep = Shapes.of([conv(8, 64, 224, 7, stride=2, pad=3)])
    assert array_cycles(nvdla(), deep).cycles == 4 * 49 * 112 * 112


def test_winograd_takes_16_products_for_36():
    shapes = Shapes.of([conv(64, 16, 32, 3, pad=1), conv(64, 16, 32, 3, stride=2, pad=1)])
    direct = array_cycles(nvdla(), shapes).cycles
    fast = array_cycles(nvdla(winograd="F(2x2,3x3)"), shapes).cycles
    assert direct[0] / fast[0] == 2.25
    assert direct[1] == fast[1]


# ------------------------------------------------------------------------------------------ reloads


def test_the_cheaper_order_is_taken():
    design = Design(rows=16, columns=16)
    shapes = Shapes.gemm(1000, 64, 64)
    timing = array_cycles(design, shapes)

    def moved(weights, inputs, free):
        return tuple(float(x) for x in reloads(design, shapes, timing, weights, inputs, free))

    # Weights in halves of 1000 bytes: four times the inputs, no more than there are columns of
    # folds; or inputs in parts, and all weights for each.
    assert moved(4000.0, 5000.0, 2000.0) == (4000, 4 * 5000)
    assert moved(4000.0, 1500.0, 2000.0) == (2 * 4000, 1500)
    assert moved(9000.0, 900.0, 2000.0) == (9000, 900)
    assert moved(4000.0, 0.0, 2000.0) == (4000, 0)
    assert moved(900.0, 1e6, 2000.0) == (900, 1e6)


def test_what_accumulators_do_not_hold_passes_again():
    design = Design(rows=16, columns=16, accumulator_rows=200)
    shapes = Shapes.gemm(1000, 64, 640)
    timing = array_cycles(design, shapes)
    assert timing.chunks == 10
    weights, inputs = 64.0 * 640, 1000.0 * 640
    # A column of folds, 16 x 640 bytes, fits a half or does not.
    found = reloads(design, shapes, timing, weights, inputs, 22000.0)
    assert tuple(map(float, found)) == (weights, 4 * inputs)
    found = reloads(design, shapes, timing, weights, inputs, 20000.0)
    assert tuple(map(float, found)) == (10 * weights, 4 * inputs)
