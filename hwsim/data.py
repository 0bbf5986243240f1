"""Where the bundled networks and their images lie, in a checkout and in an installed wheel."""

from pathlib import Path

__all__ = ["bundled", "bundled_networks"]

# The wheel carries them inside the package (see pyproject.toml); a checkout has them beside it.
_PACKAGE = Path(__file__).resolve().parent
_FOLDERS = (_PACKAGE / "bundled", _PACKAGE.parent / "models")


def bundled_networks() -> list[str]:
    """Names of the bundled networks, sorted."""
    found = (path for folder in _FOLDERS for path in folder.glob("*/*.onnx"))
    return sorted({path.stem for path in found if path.stem == path.parent.name})


def bundled(name: str) -> Path:
    """Path of a bundled file such as ``"lenet5/lenet5.onnx"`` or ``"lenet5/images.npz"``.

    Raises
    ------
    FileNotFoundError
        There is no such file in this installation.
    """
    for folder in _FOLDERS:
        if (folder / name).is_file():
            return folder / name
    networks, kind = bundled_networks(), "networks"
    if name.endswith("/images.npz"):
        kind = "networks with images"
        networks = [n for n in networks if any((f / n / "images.npz").is_file() for f in _FOLDERS)]
    names = ", ".join(networks) or "none"
    raise FileNotFoundError(f"no bundled file {name!r}; {kind} in this installation: {names}")
