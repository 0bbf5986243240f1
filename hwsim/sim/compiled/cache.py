"""Compiled programs on disk.

A file per program, named by the digest of all that it depends on. Files are written beside their
final name and renamed, so that several processes can share the folder and a process that is killed
leaves at most a temporary file; what is not whole, or was changed, is compiled anew.
"""

import hashlib
import os
import stat
import tempfile
from pathlib import Path

__all__ = ["digest", "folder", "load", "save"]

_MAGIC = b"hwsim program 1\n"


def folder():
    """Where programs are kept, or None if they are not.

    ``HWSIM_CACHE`` names another folder, or turns the cache off if it is empty.
    """
    named = os.environ.get("HWSIM_CACHE")
    if named is not None:
        return Path(named) if named else None
    try:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # a user without a home
        return None
    return base / "hwsim" / "programs"


def digest(*parts):
    """A name for everything that ``parts`` (texts) say."""
    total = hashlib.sha256()
    for part in parts:
        data = part.encode()
        total.update(len(data).to_bytes(8, "little"))
        total.update(data)
    return total.hexdigest()


def load(key):
    """Content of the program ``key``, or None."""
    where = folder()
    if where is None:
        return None
    try:
        if not _is_own(where):
            return None
        data = (where / key).read_bytes()
    except OSError:
        return None
    head = len(_MAGIC)
    content = data[head + 32 :]
    if data[:head] != _MAGIC or hashlib.sha256(content).digest() != data[head : head + 32]:
        return None
    return content


def _is_own(where):
    """Whether nobody else can put files there: they are executed."""
    about = where.stat()
    return os.name != "posix" or (
        about.st_uid == os.geteuid() and not about.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    )


def save(key, content):
    """Keep a program; a folder that cannot be written is no error."""
    where = folder()
    if where is None:
        return
    try:
        where.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=where, prefix=f"{key[:16]}.")
    except OSError:
        return
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(_MAGIC + hashlib.sha256(content).digest() + content)
        os.replace(name, where / key)
    except OSError:
        Path(name).unlink(missing_ok=True)
