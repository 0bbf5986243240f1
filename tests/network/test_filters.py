"""Image filters on paper: fixed point, geometry, what is refused. The hardware: test_filters.py."""

import math
import re
from fractions import Fraction

import numpy as np
import pytest

from hwsim.models.reference import integer as reference
from hwsim.models.reference.filters import kernel_sums
from hwsim.network.filters import (
    BLOCKS,
    BORDERS,
    LARGEST_BLOCK,
    ImageFilter,
    fix_kernel,
    parse_kernel,
)
from hwsim.network.kernels import KERNELS


def run(image_filter, maps):
    network = image_filter.network(maps.shape[1:])
    return reference.run(network, maps)[network.outputs[0].name].astype(int)


def pictures(seed, *shape):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


# ------------------------------------------------------------------------ kernels and fixed point


@pytest.mark.parametrize("name", KERNELS)
def test_sums_of_named_kernels(name):
    kernel = KERNELS[name]
    total = Fraction(sum(map(sum, kernel.rows)), kernel.divisor)
    assert total == (0 if name.startswith(("sobel", "edge")) else 1)
    fixed = ImageFilter(kernel=name).fixed
    assert fixed.weights.sum() == total * 2**fixed.fraction_bits
    exact = all(Fraction(c, kernel.divisor) * 4096 % 1 == 0 for row in kernel.rows for c in row)
    assert (fixed.error_bound == 0) == exact


def test_weights():
    assert ImageFilter(kernel="gaussian").fixed.weights.tolist() == [
        [1, 2, 1],
        [2, 4, 2],
        [1, 2, 1],
    ]
    mean = ImageFilter(kernel="mean").fixed
    # 4096 / 9 = 455.11: nine of 455 are 4095, and the one that is missing goes to the centre.
    assert mean.weights.tolist() == [[455, 455, 455], [455, 456, 455], [455, 455, 455]]
    assert (mean.fraction_bits, mean.weight_bits) == (12, 10)
    assert mean.error_bound == pytest.approx(255 / 4096 * (8 / 9 + 8 / 9))
    three = ImageFilter(kernel="mean", fraction_bits=3).fixed
    assert three.weights.sum() == 8


@pytest.mark.parametrize("seed", range(30))
def test_rounding_of_coefficients(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 6, 2))
    coefficients = rng.normal(size=shape) * 10.0 ** rng.integers(-2, 3)
    preserved = seed % 3
    if preserved == 1:
        coefficients /= coefficients.sum()
    elif preserved == 2:
        coefficients -= coefficients.mean()
    try:
        fixed = fix_kernel(coefficients)
    except ValueError:
        assert np.abs(coefficients).max() > 32767
        return
    exact = coefficients * 2.0**fixed.fraction_bits
    if preserved:
        assert fixed.weights.sum() == (2**fixed.fraction_bits if preserved == 1 else 0), seed
        assert np.abs(fixed.weights - exact).max() < 1
    else:
        assert np.abs(fixed.weights - exact).max() <= 0.5
    limit = 1 << (fixed.weight_bits - 1)
    assert -limit <= fixed.weights.min() <= fixed.weights.max() < limit <= 1 << 15


@pytest.mark.parametrize(("bits", "weights"), [(0, [0, 1]), (1, [1, 2]), (3, [4, 8])])
def test_fraction_bits(bits, weights):
    assert fix_kernel([[0.5, 1.0]], bits).weights.tolist() == [weights]


def test_large_coefficients_get_fewer_fraction_bits():
    fixed = fix_kernel([[1000.3, -7.1]])
    assert fixed.fraction_bits == 5
    assert fixed.weights.tolist() == [[32010, -227]]


@pytest.mark.parametrize("side", [3, 9, 15, 31])
def test_large_kernels_get_more_fraction_bits(side):
    """As few as leave less than a step: with one less there would be a step or more."""
    mean = np.full((side, side), side**-2.0)
    fixed = fix_kernel(mean)
    assert fixed.error_bound < 1
    assert fixed.weights.sum() == 2**fixed.fraction_bits
    assert fixed.fraction_bits == {3: 12, 9: 13, 15: 15, 31: 17}[side]
    if fixed.fraction_bits > 12:
        assert fix_kernel(mean, fixed.fraction_bits - 1).error_bound >= 1


def test_what_16_bits_leave_of_a_large_kernel():
    fixed = fix_kernel(np.random.default_rng(1).normal(size=(31, 31)))
    assert (fixed.fraction_bits, fixed.weight_bits) == (13, 16)
    assert 7 < fixed.error_bound < 8


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("seed", range(8))
def test_error_bound(seed, border):
    """Between the floors of the real sums, less and more the bound that is stated."""
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 6, 2))
    kernel = tuple(map(tuple, rng.normal(size=shape).tolist()))
    image_filter = ImageFilter(
        kernel=kernel,
        border=border,
        stride=int(rng.integers(1, 3)),
        rotate=bool(rng.integers(2)),
        map=("clamp", "signed")[seed % 2],
        fraction_bits=(None, 3, 7, 12)[seed % 4],
    )
    maps = pictures(seed, 2, 3, 7, 8)
    maps[1] = 255
    sums = kernel_sums(image_filter, maps)
    # Of the float sums themselves: 25 products and sums of numbers below 2**10.
    bound = image_filter.fixed.error_bound + 50 * 2.0**-42
    low, high = (
        np.clip(np.floor(sums + d) + image_filter.applied_offset, 0, 255) for d in (-bound, bound)
    )
    found = run(image_filter, maps)
    assert (low <= found).all(), f"seed {seed}"
    assert (found <= high).all(), f"seed {seed}"
    if image_filter.fraction_bits is None:
        assert image_filter.fixed.error_bound < 1


def test_flat_pictures_keep_their_brightness():
    for level in (0, 1, 200, 255):
        flat = np.full((1, 1, 6, 7), level, np.uint8)
        for name in ("mean", "mean-5", "gaussian", "gaussian-5", "sharpen"):
            assert (run(ImageFilter(kernel=name, border="edge"), flat) == level).all()
        for name in ("sobel-x", "sobel-y", "sobel-diagonal", "sobel-antidiagonal", "edge"):
            assert (run(ImageFilter(kernel=name, border="edge"), flat) == 0).all()
            signed = ImageFilter(kernel=name, border="edge", map="signed")
            assert (run(signed, flat) == 128).all()


def test_directions():
    """Sobel is positive where it gets brighter in the direction that its name says."""
    y, x = np.mgrid[:5, :5]
    for name, ramp in {
        "sobel-x": x,
        "sobel-y": y,
        "sobel-diagonal": x + y,
        "sobel-antidiagonal": x - y + 4,
    }.items():
        picture = (10 * ramp).astype(np.uint8)[None, None]
        forwards = run(ImageFilter(kernel=name, border="valid", map="signed"), picture)
        rotated = run(ImageFilter(kernel=name, border="valid", map="signed", rotate=True), picture)
        assert (forwards > 128).all(), name
        assert (rotated < 128).all(), name


def test_signed_mapping():
    sobel = ImageFilter(kernel="sobel-x", map="signed")
    assert (sobel.applied_scale, sobel.applied_offset) == (1 / 8, 128)
    extremes = np.zeros((2, 1, 3, 3), np.uint8)
    extremes[0, :, :, 2] = extremes[1, :, :, 0] = 255
    found = run(ImageFilter(kernel="sobel-x", border="valid", map="signed"), extremes)
    # floor(1020 / 8) and floor(-1020 / 8), from 128.
    assert found.ravel().tolist() == [255, 0]
    own = ImageFilter(kernel="sobel-x", border="valid", scale=0.01, offset=100)
    assert run(own, extremes).ravel().tolist() == [110, 89]
    assert ImageFilter(kernel=((0.001,),), map="signed").applied_scale == 256
    assert ImageFilter(kernel=((0.0,),), map="signed").fixed.weights.tolist() == [[0]]


def test_rotation_and_even_kernels():
    kernel = ((1.0, 2.0), (4.0, 8.0))
    dot = np.zeros((1, 1, 3, 3), np.uint8)
    dot[0, 0, 1, 1] = 10
    assert run(ImageFilter(kernel=kernel), dot)[0, 0].tolist() == [
        [80, 40, 0],
        [20, 10, 0],
        [0, 0, 0],
    ]
    assert run(ImageFilter(kernel=kernel, rotate=True), dot)[0, 0].tolist() == [
        [10, 20, 0],
        [40, 80, 0],
        [0, 0, 0],
    ]
    # A full convolution puts the kernel where the dot is.
    full = run(ImageFilter(kernel=kernel, rotate=True, border="full"), dot)[0, 0]
    assert full[1:3, 1:3].tolist() == [[10, 20], [40, 80]]


def test_parse_kernel():
    expected = ((0.0, -1.0), (0.5, 2.25))
    for text in ("0 -1; 1/2 2.25", "0,-1\n.5,2.25\n", " 0, -1 ;0.5 , 225e-2;"):
        assert parse_kernel(text) == expected


# ------------------------------------------------------------------------ grey and blocks


def test_grey_of_every_sum():
    """Average: every sum of three codes, divided and rounded down exactly."""
    sums = np.arange(766)
    pixels = np.stack([sums // 3, (sums + 1) // 3, (sums + 2) // 3]).astype(np.uint8)
    found = run(ImageFilter(grey="average"), pixels.reshape(1, 3, 1, -1)).ravel()
    assert found.tolist() == (sums // 3).tolist()


def test_grey():
    maps = pictures(1, 2, 3, 9, 11)
    maps[0, :, 0, 0] = 255
    wide = maps.astype(int)
    assert (
        run(ImageFilter(grey="lightness"), maps)[:, 0] == (wide.max(axis=1) + wide.min(axis=1)) // 2
    ).all()
    # 0.21, 0.72 and 0.07 in twelve bits, the largest remainders rounded up.
    weighted = 860 * wide[:, 0] + 2949 * wide[:, 1] + 287 * wide[:, 2]
    assert (run(ImageFilter(grey="luminosity"), maps)[:, 0] == weighted // 4096).all()


@pytest.mark.parametrize("kind", BLOCKS)
@pytest.mark.parametrize("size", [1, 2, 3, 5, 7])
def test_blocks(kind, size):
    maps = pictures(size, 2, 3, 17, 14)
    maps[1] = 255
    rows, columns = 17 // size, 14 // size
    blocks = (
        maps[:, :, : rows * size, : columns * size]
        .astype(int)
        .reshape(2, 3, rows, size, columns, size)
        .transpose(0, 1, 2, 4, 3, 5)
        .reshape(2, 3, rows, columns, -1)
    )
    expected = {
        "max": blocks.max(axis=-1),
        "sum": np.minimum(blocks.sum(axis=-1), 255),
        "average": blocks.sum(axis=-1) // size**2,
    }[kind]
    assert np.array_equal(run(ImageFilter(block=kind, size=size), maps), expected)


@pytest.mark.parametrize(
    ("members", "factor", "offset"),
    [
        ({"block": "sum", "size": 4, "scale": 0.0625}, Fraction(1, 16), 0),
        ({"block": "sum", "size": 16, "scale": 0.25, "offset": -100}, Fraction(1, 4), -100),
        # 255 * 9 / 32 = 71.7 is the largest that is below 128.
        ({"block": "sum", "size": 3, "map": "signed"}, Fraction(1, 32), 128),
        ({"block": "average", "size": 3, "map": "signed"}, Fraction(1, 18), 128),
        ({"block": "average", "size": 5, "scale": 2.0, "offset": -3}, Fraction(2, 25), -3),
        ({"block": "sum", "size": 2, "scale": 1e9, "offset": -32768}, Fraction(10**9), -32768),
        ({"block": "sum", "size": 1, "scale": 1e-9}, Fraction(0), 0),
    ],
)
def test_scaled_blocks_are_exact(members, factor, offset):
    """For every sum that a block can have."""
    size = members["size"]
    layer = ImageFilter(**members).network((1, size, size)).layers[0]
    sums = np.arange(255 * size**2 + 1)
    exact = [min(max(math.floor(n * factor) + offset, 0), 255) for n in sums.tolist()]
    assert layer.requantize.apply(sums, axis=0).tolist() == exact


@pytest.mark.parametrize("seed", range(20))
def test_scaled_blocks(seed):
    """At most one above the scaled sum rounded down, and where that is not exact only."""
    rng = np.random.default_rng(seed)
    size, scale = int(rng.integers(1, 17)), float(2.0 ** rng.uniform(-12, 9))
    offset = int(rng.integers(-(1 << 15), 1 << 8))
    image_filter = ImageFilter(block="sum", size=size, scale=scale, offset=offset)
    layer = image_filter.network((1, size, size)).layers[0]
    sums = np.arange(255 * size**2 + 1)
    found = layer.requantize.apply(sums, axis=0)
    exact = [math.floor(n * Fraction(scale)) + offset for n in sums.tolist()]
    low, high = (np.clip(np.array(exact, object) + d, 0, 255) for d in (0, 1))
    assert (low <= found).all(), f"seed {seed}"
    assert (found <= high).all(), f"seed {seed}"


def test_blocks_behind_a_kernel_are_not_scaled():
    """The mapping is the kernel's."""
    maps = pictures(1, 1, 1, 8, 8)
    kernel = ImageFilter(kernel="mean", scale=0.125, offset=3)
    both = ImageFilter(kernel="mean", scale=0.125, offset=3, block="sum", size=2)
    codes = run(kernel, maps)
    assert np.array_equal(run(both, maps), run(ImageFilter(block="sum", size=2), codes))


def test_means_of_blocks_are_exact():
    for size in range(1, LARGEST_BLOCK + 1):
        layer = ImageFilter(block="average", size=size).network((1, size, size)).layers[0]
        sums = np.arange(255 * size**2 + 1)
        assert np.array_equal(layer.requantize.apply(sums, axis=0), sums // size**2)


# ------------------------------------------------------------------------ geometry and refusals


@pytest.mark.parametrize(
    ("border", "size"), [("valid", (3, 5)), ("zero", (5, 7)), ("edge", (5, 7)), ("full", (7, 9))]
)
def test_sizes(border, size):
    assert ImageFilter(kernel="mean", border=border).network((1, 5, 7)).outputs[0].shape[1:] == size


def test_a_stride_that_does_not_fit():
    plain = dict(kernel="mean", border="valid", stride=3)
    image_filter = ImageFilter(**plain)
    assert image_filter.network((1, 6, 7)).outputs[0].shape == (1, 2, 2)
    assert image_filter.left_out((1, 6, 7)) == [
        "a stride of 3 leaves 1 of 7 columns out: (7 - 3) / 3 + 1 = 2.33"
    ]
    assert image_filter.left_out((1, 6, 9)) == []
    with pytest.raises(ValueError) as error:
        ImageFilter(strict=True, **plain).network((1, 6, 7))
    assert str(error.value) == (
        "in strict mode strides must fit, but a stride of 3 leaves 1 of 7 columns out: "
        "(7 - 3) / 3 + 1 = 2.33"
    )
    assert ImageFilter(strict=True, **plain).network((1, 6, 9)).outputs[0].shape == (1, 2, 3)
    assert ImageFilter(block="max", size=4, kernel="mean").left_out((1, 9, 8)) == [
        "a stride of 4 leaves 1 of 9 rows out: (9 - 4) / 4 + 1 = 2.25"
    ]
    assert ImageFilter(kernel="mean", stride=4).left_out((1, 5, 6)) == [
        "a stride of 4 leaves 1 of 8 columns out: (6 + 2 - 3) / 4 + 1 = 2.25"
    ]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({}, "a filter needs a kernel, grey or block, and none is given"),
        (
            {"kernel": "blur"},
            "there is no kernel 'blur'; kernels are mean, mean-5, gaussian, gaussian-5, sharpen, "
            "sobel-x, sobel-y, sobel-diagonal, sobel-antidiagonal, edge",
        ),
        ({"kernel": ()}, "the rows of a kernel must have equally many numbers, at least one"),
        (
            {"kernel": ((1, 2), (3,))},
            "the rows of a kernel must have equally many numbers, at least one",
        ),
        ({"kernel": 3}, "a kernel must be a name or rows of numbers, not 3"),
        ({"kernel": ((float("nan"),),)}, "the coefficients of a kernel must be finite"),
        (
            {"kernel": ((1.0,) * 32,)},
            "a kernel must have at most 31 x 31 coefficients, not 1 x 32",
        ),
        (
            {"kernel": ((40000.0,),)},
            "coefficients must lie in [-32767, 32767], not reach 40000",
        ),
        (
            {"kernel": ((9.0,),), "fraction_bits": 12},
            "coefficients with 12 fraction bits must lie in [-7.99976, 7.99976], not reach 9",
        ),
        (
            {"kernel": "mean", "border": "wrap"},
            "border must be valid, zero, edge or full, not 'wrap'",
        ),
        ({"kernel": "mean", "map": "x"}, "map must be clamp or signed, not 'x'"),
        ({"grey": "average", "stride": 2}, "stride goes with a kernel, and none is given"),
        (
            {"block": "max", "scale": 0.5},
            "scale goes with a kernel, or a block average or sum, and none is given",
        ),
        (
            {"grey": "average", "map": "signed"},
            "map goes with a kernel, or a block average or sum, and none is given",
        ),
        ({"block": "max", "border": "edge"}, "border goes with a kernel, and none is given"),
        ({"kernel": "mean", "size": 3}, "size goes with a block, and none is given"),
        ({"grey": "red"}, "grey must be average, lightness or luminosity, not 'red'"),
        ({"block": "min"}, "block must be average, max or sum, not 'min'"),
        ({"block": "max", "size": 17}, "size must lie in 1 to 16, not 17"),
        ({"kernel": "mean", "stride": 0}, "stride must lie in 1 to 65536, not 0"),
        ({"kernel": "mean", "fraction_bits": 19}, "fraction_bits must lie in 0 to 18, not 19"),
        ({"kernel": "mean", "offset": 40000}, "offset must lie in -32768 to 32767, not 40000"),
        ({"kernel": "mean", "scale": 0.0}, "scale must be a positive number, not 0.0"),
    ],
)
def test_what_is_refused(members, message):
    with pytest.raises(ValueError) as error:
        ImageFilter(**members)
    assert str(error.value) == message


def test_wrong_kind():
    with pytest.raises(TypeError, match=r"^stride must be an integer, not float$"):
        ImageFilter(kernel="mean", stride=1.5)


@pytest.mark.parametrize(
    ("members", "shape", "message"),
    [
        (
            {"kernel": "mean", "border": "valid"},
            (1, 2, 9),
            "a kernel of 3 x 3 does not fit a picture of 2 x 9 pixels",
        ),
        (
            {"block": "sum", "size": 4},
            (1, 9, 3),
            "a block of 4 x 4 does not fit a picture of 9 x 3 pixels",
        ),
        (
            {"grey": "average"},
            (1, 4, 4),
            "grey needs a picture in colour, with 3 channels, not 1",
        ),
    ],
)
def test_pictures_that_do_not_fit(members, shape, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        ImageFilter(**members).network(shape)


@pytest.mark.parametrize("text", ["", ";", "a b", "1/0", "1 inf"])
def test_text_that_is_no_kernel(text):
    with pytest.raises(ValueError) as error:
        parse_kernel(text)
    assert str(error.value) == (
        "coefficients must be rows of numbers, such as '0 -1 0; -1 5 -1; 0 -1 0', not " + repr(text)
    )
