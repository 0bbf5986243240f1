"""What a network sees: maps that are equal, that move along, and fields that hold what matters."""

from types import SimpleNamespace

import numpy as np
import pytest

import hwsim
from hwsim.models.reference import integer
from hwsim.network import NetworkError
from hwsim.network.geometry import Field, fields
from hwsim.network.integer import IntegerTensor
from hwsim.reports.figures import photograph
from hwsim.reports.pictures import Seen, _feature_maps, compare_shifts, draw_box, pictures
from hwsim.sim.simulate import input_codes
from tests.onnx_models import ModelBuilder


def made(channels=3, seed=0):
    """Two convolutions with a pool each, and a dense layer, quantized; and an image."""
    b = ModelBuilder(seed, (1, channels, 16, 20), "seeing")
    x = b.node("Relu", b.conv("image", channels, 4, (3, 3), pads=[1, 1, 1, 1]), name="relu1")
    x = b.node("MaxPool", x, name="pool1", kernel_shape=[2, 2], strides=[2, 2])
    x = b.node("Relu", b.conv(x, 4, 5, (3, 3)), name="relu2")
    x = b.node("MaxPool", x, name="pool2", kernel_shape=[2, 2], strides=[2, 2])
    network = hwsim.load(b.model(b.gemm(b.node("Flatten", x), 5 * 3 * 4, 3)))
    images = np.random.default_rng(seed).random((3, channels, 16, 20)).astype(np.float32)
    return hwsim.quantize(network, calibration=images), images[0]


@pytest.fixture(scope="module")
def seeing():
    network, image = made()
    design = hwsim.build(network)
    return network, design, image, pictures(network, design, image)


def test_sections(seeing):
    _, design, _, (sections, mismatches) = seeing
    assert mismatches == 0
    kernels, maps, shifts, field = sections
    assert kernels.title == "Kernels of the first convolution"  # random ones here, not learned
    assert kernels.facts == {"Kernels": "4", "Size": "3 × 3 × 3"}
    assert maps.facts["Mismatches"].startswith("0 of ")
    captions = list(maps.pictures)
    # The image, and each layer from the hardware and from the reference.
    assert len(captions) == 1 + 2 * len(design.network.layers)
    assert all(caption.endswith(", equal") for caption in captions[1:])
    for ours, theirs in zip(captions[1::2], captions[2::2], strict=True):
        assert maps.pictures[ours].source == maps.pictures[theirs].source
    assert shifts.facts == {"Maps that moved with the image": "8 of 8"}
    assert field.facts["Receptive field"] == "10 × 10"
    assert len(field.tables["unit"]) == 5
    report = hwsim.report(*sections, date="2025-01-31")
    assert report.html() == hwsim.report(*sections, date="2025-01-31").html()


def test_on_the_systolic_accelerator_and_in_grey():
    network, image = made(channels=1)
    design = hwsim.build(network, hwsim.Systolic(rows=4, cols=4))
    (kernels, *_, field), mismatches = pictures(
        network, design, image, layer="pool1", position=(3, 9), shifts=[2]
    )
    assert mismatches == 0
    assert kernels.facts == {"Kernels": "4", "Size": "1 × 3 × 3"}
    assert field.facts == {
        "Layer": "pool1",
        "Row and column": "3, 9",
        "Receptive field": "4 × 4",
        "Jump": "2 × 2",
        "Rows": "5 to 8",
        "Columns": "17 to 20",
    }


def test_values_that_differ_are_told(seeing):
    _, design, image, _ = seeing
    lowered = design.network
    codes = input_codes(lowered, image[None])
    names = [layer.output for layer in lowered.layers]
    reference = integer.run(lowered, codes, names)
    result = hwsim.simulate(design, image[None])
    result.feature_maps[names[1]][0, 0, :2, 0] ^= 1
    captions = list(_feature_maps(lowered, result, reference, image).pictures)
    assert [c.rpartition(", ")[2] for c in captions[1::2]] == [
        "2 values differ" if name == names[1] else "equal" for name in names
    ]


@pytest.mark.parametrize("seed", range(2))
def test_maps_move_along_exactly_and_change_less_behind_pools(seed):
    network, image = made(seed=seed)
    (_, _, section, _), _ = pictures(network, hwsim.build(network), image, shifts=[1, 2, 4])
    table = section.tables["shifts"]
    moved = table["moved_percent"].dropna()
    assert len(moved) == 3 + 2 + 2 + 1 and (moved == 100).all()
    assert (table["compared"] > 0).all()
    assert (table["change_percent"] > 0).all()


def test_values_that_do_not_move_along_are_counted():
    tensor = IntegerTensor("y", (1, 2, 6), 1.0, 10)
    lowered = SimpleNamespace(tensors={"y": tensor}, input=IntegerTensor("x", (1, 2, 8), 1.0, 0))
    before = np.arange(12).reshape(1, 2, 6)
    after = np.concatenate([before[..., :1], before[..., :-1]], -1)
    after[0, 1, 3] += 5
    maps = {"layer": Seen("y", Field(), Field(size=3, jump=1, start=0))}
    (row,) = compare_shifts(lowered, maps, {"y": np.stack([before, after])}, [1]).to_dict("records")
    # Five columns stay on the image; one of the ten values is not where it should be.
    assert (row["compared"], row["moved_percent"]) == (10, 90)
    change, size = np.abs(after - before).mean(), np.abs(before - 10).mean()
    assert row["change_percent"] == pytest.approx(100 * change / size)


def test_pools_are_invariant_where_maxima_stay():
    """A pool of a single bright pixel does not notice a shift within its window."""
    tensor = IntegerTensor("y", (1, 1, 4), 1.0, 0)
    lowered = SimpleNamespace(tensors={"y": tensor}, input=IntegerTensor("x", (1, 1, 8), 1.0, 0))
    images = np.zeros((2, 1, 1, 8), int)
    images[0, ..., 2] = images[1, ..., 3] = 9
    pooled = images.reshape(2, 1, 1, 4, 2).max(-1)
    maps = {"pool": Seen("y", Field(), Field(size=2, jump=2, start=0))}
    (row,) = compare_shifts(lowered, maps, {"y": pooled}, [1]).to_dict("records")
    assert row["change_percent"] == 0
    assert row["moved_percent"] is None


@pytest.mark.parametrize("layer", ["relu1", "pool1", "relu2", "pool2"])
def test_a_unit_depends_on_its_field_and_on_nothing_else(seeing, layer):
    network, design, image, _ = seeing
    lowered = design.network
    entry = next(e for e in lowered.layers if e.output.startswith(layer))
    rows, columns = fields(network)[entry.output]
    at = 1, 2
    box = [
        slice(max(a.start + k * a.jump, 0), a.start + k * a.jump + a.size)
        for a, k in zip((rows, columns), at, strict=True)
    ]
    rng = np.random.default_rng(0)

    def unit(pixels):
        codes = input_codes(lowered, pixels[None])
        return integer.run(lowered, codes, [entry.output])[entry.output][0, :, at[0], at[1]]

    before = unit(image)
    for _ in range(10):
        outside = rng.random(image.shape).astype(np.float32)
        outside[:, box[0], box[1]] = image[:, box[0], box[1]]
        assert np.array_equal(unit(outside), before)
    inside = image.copy()
    inside[:, box[0], box[1]] = rng.random(inside[:, box[0], box[1]].shape)
    assert not np.array_equal(unit(inside), before)


def test_the_outline_surrounds_the_pixels():
    drawn = draw_box(np.zeros((6, 8), np.uint8), (1, 3), (-2, 4))
    assert drawn.shape == (240, 320, 3)
    marked = drawn.any(axis=-1)
    rows, columns = np.flatnonzero(marked.any(1)), np.flatnonzero(marked.any(0))
    assert (rows[0], rows[-1], columns[0], columns[-1]) == (40, 159, 0, 199)
    assert not marked[60:140, 20:180].any()
    large = draw_box(np.zeros((500, 600, 3), np.uint8), (0, 0), (599, 700))
    assert large.shape == (500, 600, 3) and large[0, 599].any() and large.any(-1).sum() == 1
    assert photograph(drawn).width == 320


def test_bad_input(seeing):
    network, design, image, _ = seeing
    for given, message in (
        ({"shifts": [20]}, "shifts must lie in 1 to 19, not 20"),
        (
            {"layer": "gemm9"},
            "there is no map of layer 'gemm9'; layers are "
            + ", ".join(layer.name for layer in design.network.layers[:-1]),
        ),
        ({"layer": "pool2", "position": (3, 0)}, "row must lie in 0 to 2 for layer pool2, not 3"),
        (
            {"layer": "pool2", "position": (0, 4)},
            "column must lie in 0 to 3 for layer pool2, not 4",
        ),
    ):
        with pytest.raises(ValueError) as caught:
            pictures(network, design, image, **given)
        assert str(caught.value) == message


def test_a_network_without_convolutions():
    b = ModelBuilder(0, (1, 4), "vector")
    images = np.random.default_rng(0).random((4, 4)).astype(np.float32)
    network = hwsim.quantize(hwsim.load(b.model(b.gemm("image", 4, 3))), calibration=images)
    with pytest.raises(NetworkError) as caught:
        pictures(network, hwsim.build(network), images[0])
    assert str(caught.value) == "vector has no convolution whose kernels could be shown"
