"""Beats as arrays of codes, and as the packed integers that simulators exchange."""

from hwsim.blocks.words import pack, unpack

__all__ = ["pack", "unpack"]
