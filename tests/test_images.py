import re
import sys

import numpy as np
import pytest
from PIL import Image

from hwsim.images import load_images, load_picture, picture_bytes

SHAPE = (1, 4, 5)
RAMP = np.arange(3 * 20, dtype=np.uint8).reshape(3, *SHAPE)


def refusal(path, *arguments, **options):
    with pytest.raises(ValueError) as refused:
        load_images(path, *arguments, **options)
    return str(refused.value)


@pytest.fixture
def npz(tmp_path):
    path = tmp_path / "images.npz"
    np.savez(path, images=RAMP, labels=np.array([2, 0, 1], np.uint8), calibration=RAMP[:2] + 100)
    return path


def test_npz_scales_bytes_to_one(npz):
    found = load_images(npz, SHAPE)
    assert found.images.dtype == np.float32
    assert (found.images == RAMP.astype(np.float32) / np.float32(255)).all()
    assert found.labels.dtype == np.int64
    assert found.labels.tolist() == [2, 0, 1]
    assert len(found) == 3


def test_slice_takes_labels_along(npz):
    found = load_images(npz, SHAPE)[1:]
    assert len(found) == 2
    assert found.labels.tolist() == [0, 1]


def test_npz_other_key_comes_without_labels(npz):
    found = load_images(npz, SHAPE, np.uint8, key="calibration")
    assert (found.images == RAMP[:2] + 100).all()
    assert found.labels is None


def test_npz_without_the_other_key_falls_back_to_images(tmp_path):
    np.savez(tmp_path / "a.npz", images=RAMP)
    found = load_images(tmp_path / "a.npz", SHAPE, np.uint8, key="calibration")
    assert (found.images == RAMP).all()


def test_integer_model_gets_the_bytes_as_they_are(npz):
    found = load_images(npz, SHAPE, np.uint8)
    assert found.images.dtype == np.uint8
    assert (found.images == RAMP).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_npy_of_floats_is_not_scaled(tmp_path, dtype):
    np.save(tmp_path / "a.npy", RAMP.astype(dtype))
    found = load_images(tmp_path / "a.npy", SHAPE)
    assert found.images.dtype == np.float32
    assert (found.images == RAMP).all()


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_pictures_in_the_order_of_their_names(tmp_path, channels, mode):
    pixels = np.random.default_rng(1).integers(0, 256, (2, 4, 5, channels), np.uint8)
    for name, picture in zip(("b.png", "a.png"), pixels, strict=True):
        Image.fromarray(picture.squeeze(), mode).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    found = load_images(tmp_path, (channels, 4, 5), np.uint8)
    assert (found.images == pixels[::-1].transpose(0, 3, 1, 2)).all()
    assert found.labels is None


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError) as refused:
        load_images(tmp_path / "a.npz", SHAPE)
    assert str(refused.value) == f"no such file or folder: {tmp_path / 'a.npz'}"


def test_other_kind_of_file(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("1,2")
    assert refusal(path, SHAPE) == (
        f"images come from an .npz, an .npy or a folder of pictures, not from {path}"
    )


def test_wrong_shape(npz):
    assert refusal(npz, (3, 4, 5)) == (
        f"images in {npz} must have the shape (N, 3, 4, 5), not (3, 1, 4, 5)"
    )


def test_vectors_are_images_row_by_row(npz, tmp_path):
    found = load_images(npz, (20,), np.uint8)
    assert (found.images == RAMP.reshape(3, 20)).all()
    assert found.labels.tolist() == [2, 0, 1]
    colours = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)
    np.save(tmp_path / "a.npy", np.asfortranarray(colours))
    found = load_images(tmp_path / "a.npy", (60,))
    assert (found.images == np.arange(120).reshape(2, 60)).all()


def test_vectors_of_another_size(npz):
    message = f"images in {npz} must have the shape (N, 21), not (3, 1, 4, 5)"
    assert refusal(npz, (21,)) == message


def test_no_images(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, RAMP[:0])
    assert refusal(path, SHAPE) == f"there are no images in {path}"


@pytest.mark.parametrize("dtype", [np.int32, np.bool_, np.complex64])
def test_wrong_dtype_for_a_float_model(tmp_path, dtype):
    path = tmp_path / "a.npy"
    np.save(path, RAMP.astype(dtype))
    assert refusal(path, SHAPE) == (
        f"images in {path} must be uint8 (0 to 255) or floating-point, not {np.dtype(dtype)}"
    )


def test_wrong_dtype_for_an_integer_model(npz):
    assert refusal(npz, SHAPE, np.int8) == (
        f"images in {npz} must be int8, as the model's input is, not uint8"
    )


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite(tmp_path, value):
    path = tmp_path / "a.npy"
    images = RAMP.astype(np.float32)
    images[1, 0, 2, 3] = value
    np.save(path, images)
    expected = f"images in {path} must be finite as float32, and some values are not"
    assert refusal(path, SHAPE) == expected


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        (np.zeros(2, np.int64), "int64 of the shape (2,)"),
        (np.zeros((3, 1), np.int64), "int64 of the shape (3, 1)"),
        (np.zeros(3), "float64 of the shape (3,)"),
    ],
)
def test_wrong_labels(tmp_path, labels, found):
    path = tmp_path / "a.npz"
    np.savez(path, images=RAMP, labels=labels)
    assert refusal(path, SHAPE) == (
        f"labels in {path} must be integers of the shape (3,), not {found}"
    )


def test_npz_without_images(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, pictures=RAMP, names=RAMP)
    assert refusal(path, SHAPE) == f"{path} must hold an array 'images', and holds pictures, names"


@pytest.mark.parametrize("suffix", [".npz", ".npy"])
@pytest.mark.parametrize("content", [b"", b"PK\3\4 rubbish", b"\x93NUMPY\1\0 rubbish", bytes(99)])
def test_damaged_file(tmp_path, suffix, content):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    assert refusal(path, SHAPE).startswith(f"{path} is not an {suffix} file that can be read: ")


@pytest.mark.parametrize("part", [0.3, 0.9])
def test_truncated_file(tmp_path, npz, part):
    content = npz.read_bytes()
    path = tmp_path / "cut.npz"
    path.write_bytes(content[: int(part * len(content))])
    assert refusal(path, SHAPE) == (
        f"{path} is not an .npz file that can be read: File is not a zip file"
    )


def test_damaged_member(tmp_path, npz):
    content = bytearray(npz.read_bytes())
    content[200] ^= 255
    path = tmp_path / "bad.npz"
    path.write_bytes(content)
    assert refusal(path, SHAPE).startswith(f"{path} is not an .npz file that can be read: Bad CRC")


@pytest.mark.parametrize("suffix", [".npz", ".npy"])
def test_pickled_objects_are_never_loaded(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    objects = np.array([{"a": 1}], object)
    if suffix == ".npz":
        np.savez(path, images=objects)
    else:
        np.save(path, objects)
    assert "allow_pickle=False" in refusal(path, SHAPE)


def test_picture_of_another_size(tmp_path):
    path = tmp_path / "a.png"
    Image.new("L", (8, 7)).save(path)
    assert refusal(tmp_path, SHAPE) == f"{path} is 7 x 8 pixels, and the model takes 4 x 5"


def test_damaged_picture(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"no picture")
    assert refusal(tmp_path, SHAPE).startswith(f"{path} is not a picture that can be read: ")


@pytest.mark.parametrize(("modes", "shape"), [("1 L LA", (4, 5)), ("P RGB RGBA CMYK", (4, 5, 3))])
def test_a_picture(tmp_path, modes, shape):
    path = tmp_path / "a.tif"
    for mode in modes.split():
        Image.new("RGB", (5, 4), (255, 255, 255)).convert(mode).save(path)
        pixels = load_picture(path)
        assert (pixels.shape, pixels.dtype) == (shape, np.uint8), mode
        assert (pixels == 255).all()


@pytest.mark.parametrize("suffix", [".bmp", ".pgm", ".png", ".PNG", ".ppm", ".tif"])
@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 3)])
def test_a_picture_comes_back(tmp_path, shape, suffix):
    pixels = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    path = tmp_path / f"a{suffix}"
    if suffix == ".pgm" and len(shape) == 3:
        with pytest.raises(ValueError) as error:
            picture_bytes(pixels, path)
        assert str(error.value) == (
            f"a picture's path must end in .bmp, .png, .ppm, .tif, not '{path}'"
        )
        return
    path.write_bytes(picture_bytes(pixels, path))
    assert np.array_equal(load_picture(path), pixels)


def test_pictures_that_are_refused(tmp_path, monkeypatch):
    def sentence(path):
        with pytest.raises(ValueError) as error:
            load_picture(path)
        return str(error.value)

    path = tmp_path / "a.png"
    with pytest.raises(FileNotFoundError, match=f"^no such picture: {re.escape(str(path))}$"):
        load_picture(path)
    Image.new("I;16", (5, 4)).save(path)
    assert sentence(path) == f"{path} must have 8 bits per channel, and has the pixel type I;16"
    Image.effect_noise((50, 40), 60).save(path)
    path.write_bytes(path.read_bytes()[:700])
    assert sentence(path).startswith(f"{path} is not a picture that can be read: ")
    path.write_bytes(b"P6 9g 4 255 ")
    assert sentence(path).startswith(f"{path} is not a picture that can be read: ")
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert sentence(path) == (
        f"to read or write the picture {path}, install Pillow: pip install 'hwsim[pictures]'"
    )


def test_folder_without_pictures(tmp_path):
    assert re.fullmatch(
        re.escape(f"there are no pictures in {tmp_path} (") + r"\.bmp, .*\.webp\)",
        refusal(tmp_path, SHAPE),
    )


def test_pictures_for_a_model_of_many_channels(tmp_path):
    assert refusal(tmp_path, (16, 4, 5)) == (
        "pictures have 1, 3 or 4 channels, and the model takes images of the shape (16, 4, 5)"
    )


def test_pictures_without_pillow(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert refusal(tmp_path, SHAPE) == (
        f"to read the pictures in {tmp_path}, install Pillow: pip install 'hwsim[pictures]'"
    )
