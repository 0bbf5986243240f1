"""The version, where every part of the package and the build can read it."""

__version__ = "0.3.0"
