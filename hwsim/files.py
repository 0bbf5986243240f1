"""Files that are whole or not there: each is written under another name beside it, then renamed."""

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path

__all__ = ["check_file", "make_folder", "write_file", "write_files"]


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, unless it is there.

    Raises
    ------
    OSError
        ``filename`` is the path.
    """
    with _named(folder):
        if folder.exists() and not folder.is_dir():
            raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        folder.mkdir(parents=True, exist_ok=True)


def check_file(path: Path) -> None:
    """Refuse a path that `write_file` could not write to now; what is there stays as it is.

    Raises
    ------
    OSError
        As in `write_file`.
    """
    with _named(path):
        _write_part(path, b"").unlink()


def write_file(path: Path, content: bytes | str) -> None:
    """Write a file into a folder that exists, or replace one. Text becomes UTF-8.

    Raises
    ------
    OSError
        ``filename`` is the path. There is then no new file, and an old one is as it was.
    """
    with _named(path):
        part = _write_part(path, content)
    _rename({path: part})


def write_files(folder: Path, contents: Mapping[str, bytes | str]) -> list[Path]:
    """Write files, by name, to a folder, which is made if missing; returns their paths.

    None of them appears before all have been written.

    Raises
    ------
    OSError
        As in `write_file`.
    """
    made = not folder.exists()
    parts: dict[Path, Path] = {}
    try:
        make_folder(folder)
        for name, content in contents.items():
            path = folder / name
            with _named(path):
                parts[path] = _write_part(path, content)
    except BaseException:
        for part in parts.values():
            part.unlink()
        if made:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise
    _rename(parts)
    return list(parts)


def _write_part(path: Path, content: bytes | str) -> Path:
    """Write the content beside ``path``, under a name that nobody else has."""
    if path.is_dir():
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
    if path.exists() and not path.is_file():
        # Renaming would replace a device by a plain file.
        raise OSError(errno.EINVAL, "Not a plain file")
    part = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}")
    try:
        with part.open("xb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return part


def _rename(parts: Mapping[Path, Path]) -> None:
    """Give each part its name; whatever happens, none stays behind."""
    try:
        for path, part in parts.items():
            with _named(path):
                part.replace(path)
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Let an error carry the name that the user knows, not that of the part."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
