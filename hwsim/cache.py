"""Results on disk that take long to make.

A file per result, named by the digest of all that it depends on. Files are written beside their
final name and renamed, so that several processes can share the folder and a process that is killed
leaves at most a temporary file; what is not whole, or was changed, is made anew.
"""

import hashlib
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Cache", "digest"]


def digest(*parts: str) -> str:
    """A name for everything that ``parts`` (texts) say."""
    total = hashlib.sha256()
    for part in parts:
        data = part.encode()
        total.update(len(data).to_bytes(8, "little"))
        total.update(data)
    return total.hexdigest()


@dataclass(frozen=True)
class Cache:
    """Results of one kind.

    Members
    -------
    kind : str
        Name of their folder.
    magic : bytes
        What each file begins with.
    """

    kind: str
    magic: bytes

    def folder(self) -> Path | None:
        """Where results are kept, or None if they are not.

        ``HWSIM_CACHE`` names another folder, or turns the cache off if it is empty.
        """
        named = os.environ.get("HWSIM_CACHE")
        if named is not None:
            return Path(named) if named else None
        try:
            base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        except RuntimeError:  # a user without a home
            return None
        return base / "hwsim" / self.kind

    def load(self, key: str) -> bytes | None:
        """Content of the result ``key``, or None."""
        where = self.folder()
        if where is None:
            return None
        try:
            if not _is_own(where):
                return None
            data = (where / key).read_bytes()
        except OSError:
            return None
        head = len(self.magic)
        content = data[head + 32 :]
        whole = hashlib.sha256(content).digest() == data[head : head + 32]
        return content if data[:head] == self.magic and whole else None

    def save(self, key: str, content: bytes) -> None:
        """Keep a result; a folder that cannot be written is no error."""
        where = self.folder()
        if where is None:
            return
        try:
            where.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=where, prefix=f"{key[:16]}.")
        except OSError:
            return
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(self.magic + hashlib.sha256(content).digest() + content)
            os.replace(name, where / key)
        except OSError:
            Path(name).unlink(missing_ok=True)


def _is_own(where):
    """Whether nobody else can put files there: they are trusted, programs are even executed."""
    about = where.stat()
    return os.name != "posix" or (
        about.st_uid == os.geteuid() and not about.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    )
