"""Images from files: ``.npz``, ``.npy`` or a folder of pictures."""

import io
import lzma
import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

__all__ = ["Images", "load_images", "load_picture", "picture_bytes"]

# Formats that keep every pixel as it is.
_WRITTEN = {".bmp": "BMP", ".pgm": "PPM", ".png": "PNG", ".ppm": "PPM", ".tif": "TIFF"}
_PICTURES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")


@dataclass(frozen=True, eq=False)
class Images:
    """Images, and their classes where these are known.

    images: (N, ...), the shape and dtype that was asked for; usually float32 (N, C, H, W).
    labels: int64 (N,) or None.
    """

    images: np.ndarray
    labels: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, part: slice) -> "Images":
        return Images(self.images[part], None if self.labels is None else self.labels[part])


def load_images(
    path: str | Path, shape: Sequence[int], dtype: Any = np.float32, *, key: str = "images"
) -> Images:
    """Read images for a model's input.

    Parameters
    ----------
    path : path
        An ``.npz`` with ``images`` and, optionally, integer ``labels`` of shape (N,); an ``.npy``;
        or a folder of pictures, taken in the order of their names (needs Pillow).
    shape : sequence of int
        What one image must have, normally (C, H, W). For vectors, (features,), images with as many
        values each are taken in the order of channels, rows, columns, as Flatten does.
    dtype : dtype
        What the model takes. For a floating-point model uint8 images become ``pixel / 255`` and
        floating-point ones are converted; for an integer model the file must hold this dtype.
    key : str
        Another array of the ``.npz`` to read, if it is there. It comes without labels.

    Returns
    -------
    Images

    Raises
    ------
    FileNotFoundError, ValueError
        One sentence that says what was found and what is accepted.
    """
    path = Path(path)
    shape = tuple(int(size) for size in shape)
    if path.is_dir():
        images, labels = _read_pictures(path, shape), None
    elif not path.exists():
        raise FileNotFoundError(f"no such file or folder: {path}")
    elif path.suffix == ".npz":
        images, labels = _read_npz(path, key)
    elif path.suffix == ".npy":
        images, labels = _read_array(path), None
    else:
        raise ValueError(
            f"images come from an .npz, an .npy or a folder of pictures, not from {path}"
        )
    if images.ndim > 1 and shape == (math.prod(images.shape[1:]),):
        images = images.reshape(len(images), *shape)
    if images.ndim != len(shape) + 1 or images.shape[1:] != shape:
        wanted = ", ".join(["N", *map(str, shape)])
        raise ValueError(f"images in {path} must have the shape ({wanted}), not {images.shape}")
    if not len(images):
        raise ValueError(f"there are no images in {path}")
    images = _convert(images, np.dtype(dtype), path)
    if labels is not None:
        if labels.ndim != 1 or len(labels) != len(images) or labels.dtype.kind not in "iu":
            raise ValueError(
                f"labels in {path} must be integers of the shape ({len(images)},), "
                f"not {labels.dtype} of the shape {labels.shape}"
            )
        labels = labels.astype(np.int64)
    return Images(images, labels)


def load_picture(path: str | Path) -> np.ndarray:
    """Read a picture: uint8, (height, width) in grey, (height, width, 3) in colour.

    Transparency is left out, and what a file says about the camera's orientation.

    Raises
    ------
    FileNotFoundError, ValueError
        One sentence that says what was found and what is accepted.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no such picture: {path}")
    image = _pillow(f"the picture {path}")
    try:
        with image.open(path) as picture:
            picture.load()
    except Exception as error:  # of many kinds, if a file is damaged
        raise ValueError(f"{path} is not a picture that can be read: {error}") from error
    if picture.mode not in _GREY | _COLOUR:
        raise ValueError(
            f"{path} must have 8 bits per channel, and has the pixel type {picture.mode}"
        )
    return np.array(picture.convert("L" if picture.mode in _GREY else "RGB"))


_GREY = {"1", "L", "LA", "La"}
_COLOUR = {"P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV"}


def picture_bytes(pixels: np.ndarray, path: str | Path) -> bytes:
    """Encode a picture, as `load_picture` returns it, in the format that a path's suffix names.

    Raises
    ------
    ValueError
        For a suffix that is not accepted.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in _WRITTEN or (suffix == ".pgm" and pixels.ndim == 3):
        accepted = ", ".join(name for name in _WRITTEN if name != ".pgm" or pixels.ndim == 2)
        raise ValueError(f"a picture's path must end in {accepted}, not {str(path)!r}")
    file = io.BytesIO()
    _pillow(f"the picture {path}").fromarray(pixels).save(file, _WRITTEN[suffix])
    return file.getvalue()


def _pillow(what: str) -> Any:
    """The module PIL.Image, for ``what``."""
    try:
        from PIL import Image
    except ImportError:
        raise ValueError(
            f"to read or write {what}, install Pillow: pip install 'hwsim[pictures]'"
        ) from None
    return Image


def _convert(images: np.ndarray, dtype: np.dtype, path: Path) -> np.ndarray:
    if dtype.kind != "f":
        if images.dtype != dtype:
            raise ValueError(
                f"images in {path} must be {dtype}, as the model's input is, not {images.dtype}"
            )
        return images
    if images.dtype == np.uint8:
        return images.astype(dtype) / dtype.type(255)
    if images.dtype.kind != "f":
        raise ValueError(
            f"images in {path} must be uint8 (0 to 255) or floating-point, not {images.dtype}"
        )
    with np.errstate(over="ignore"):
        images = images.astype(dtype)
    if not np.isfinite(images).all():
        raise ValueError(f"images in {path} must be finite as {dtype}, and some values are not")
    return images


def _read_npz(path: Path, key: str) -> tuple[np.ndarray, np.ndarray | None]:
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {entry.filename: entry.file_size for entry in archive.infolist()}

            def read(name: str) -> np.ndarray | None:
                member = f"{name}.npy"
                if member not in sizes:
                    return None
                with archive.open(member) as file:
                    return _parse(file, sizes[member])

            if key != "images" and (found := read(key)) is not None:
                return found, None
            images, labels = read("images"), read("labels")
    except _DAMAGE as error:
        raise ValueError(f"{path} is not an .npz file that can be read: {error}") from error
    if images is None:
        names = ", ".join(name.removesuffix(".npy") for name in sizes) or "nothing"
        raise ValueError(f"{path} must hold an array 'images', and holds {names}")
    return images, labels


def _read_array(path: Path) -> np.ndarray:
    try:
        with path.open("rb") as file:
            return _parse(file, path.stat().st_size)
    except _DAMAGE as error:
        raise ValueError(f"{path} is not an .npy file that can be read: {error}") from error


# What zipfile, its decompressors and NumPy raise for files that are no such files, or are damaged.
_DAMAGE = (
    EOFError,
    OSError,
    RuntimeError,
    ValueError,
    lzma.LZMAError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


def _parse(file: IO[bytes], size: int) -> np.ndarray:
    """The array in a file of ``size`` bytes in NumPy's format.

    Memory is taken for what the file holds, not for what its header claims.
    """
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    elif version == (2, 0):
        shape, _, dtype = np.lib.format.read_array_header_2_0(file)
    else:
        raise ValueError(f"it has version {version[0]}.{version[1]} of the format, not 1.0 or 2.0")
    if not dtype.hasobject and math.prod(shape) * dtype.itemsize > size - file.tell():
        raise ValueError("it is cut off")
    file.seek(0)
    return np.lib.format.read_array(file, allow_pickle=False)


def _read_pictures(folder: Path, shape: tuple[int, ...]) -> np.ndarray:
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        raise ValueError(
            f"to read the pictures in {folder}, install Pillow: pip install 'hwsim[pictures]'"
        ) from None
    modes = {1: "L", 3: "RGB", 4: "RGBA"}
    if len(shape) != 3 or shape[0] not in modes:
        raise ValueError(
            f"pictures have 1, 3 or 4 channels, and the model takes images of the shape {shape}"
        )
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in _PICTURES)
    if not paths:
        raise ValueError(f"there are no pictures in {folder} ({', '.join(_PICTURES)})")
    channels, height, width = shape
    images = np.empty((len(paths), height, width, channels), np.uint8)
    for index, path in enumerate(paths):
        try:
            with Image.open(path) as picture:
                if picture.size != (width, height):
                    raise ValueError(
                        f"{path} is {picture.height} x {picture.width} pixels, "
                        f"and the model takes {height} x {width}"
                    )
                images[index] = np.asarray(picture.convert(modes[channels])).reshape(
                    images.shape[1:]
                )
        except (UnidentifiedImageError, OSError) as error:
            raise ValueError(f"{path} is not a picture that can be read: {error}") from error
    return images.transpose(0, 3, 1, 2)
