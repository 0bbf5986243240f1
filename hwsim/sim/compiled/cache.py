"""Compiled programs on disk; see `hwsim.cache`."""

from hwsim.cache import Cache, digest

__all__ = ["digest", "folder", "load", "save"]

_PROGRAMS = Cache("programs", b"hwsim program 1\n")
folder, load, save = _PROGRAMS.folder, _PROGRAMS.load, _PROGRAMS.save
