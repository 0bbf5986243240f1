"""Beats as arrays of codes, and as the packed integers that simulators exchange.

A payload is made of *elements*, the leaves of its shape, lowest first: an array of six 8-bit
integers has six of 8 bits, a structure of a 32-bit word and a flag has one of 32 and one of 1 bit.
Leaves wider than 64 bits are cut into pieces of 64. The *code* of an element is what its bits say,
read as an unsigned integer; arrays of codes have the smallest unsigned type that holds them all.
"""

from typing import NamedTuple

import numpy as np
from amaranth.hdl import Shape, ShapeCastable
from amaranth.lib import data

from hwsim.blocks.words import pack, unpack

__all__ = [
    "Element",
    "codes_of",
    "codes_of_payloads",
    "container",
    "elements_of",
    "pack",
    "payloads_of",
    "unpack",
    "values_of",
]

PIECE = 64


class Element(NamedTuple):
    """A part of a payload: its width, 1 to 64, and whether it is two's complement."""

    bits: int
    signed: bool


def elements_of(shape):
    """Elements of a payload's shape, lowest first."""
    return tuple(_leaves(shape))


def _leaves(shape):
    while isinstance(shape, ShapeCastable) and not isinstance(shape, data.Layout):
        shape = shape.as_shape()
    if isinstance(shape, data.Layout):
        fields = sorted((field for _, field in shape), key=lambda field: field.offset)
        ends = [field.offset + field.width for field in fields]
        if [field.offset for field in fields] == [0, *ends[:-1]] and ends[-1:] == [shape.size]:
            for field in fields:
                yield from _leaves(field.shape)
            return
    # A plain shape; or a layout with gaps or overlaps, as bits.
    plain = Shape.cast(shape)
    if plain.width > PIECE:
        for start in range(0, plain.width, PIECE):
            yield Element(min(PIECE, plain.width - start), False)
    elif plain.width:
        yield Element(plain.width, plain.signed)


def container(bits):
    """The smallest unsigned NumPy type with so many bits, 64 at most."""
    return np.dtype(next(f"u{size // 8}" for size in (8, 16, 32, 64) if bits <= size))


def _container(elements):
    return container(max((element.bits for element in elements), default=1))


def codes_of(name, beats, elements):
    """What somebody wants to send, as an array of codes.

    Parameters
    ----------
    name : str
        Of the stream, for messages.
    beats : array-like of int
        (n,): packed beats. (n, elements), (lanes, n, elements): elements, as codes or as signed
        values.
    elements : tuple of Element

    Returns
    -------
    ndarray, (n, elements) or (lanes, n, elements)
    """
    if not isinstance(beats, np.ndarray):
        beats = list(beats)
        # Integers of any size; NumPy would make floating-point numbers of some.
        plain = all(isinstance(beat, int) for beat in beats)
        beats = np.array(beats, object) if plain else np.asarray(beats)
    if beats.ndim == 1 and (beats.dtype == object or np.issubdtype(beats.dtype, np.integer)):
        width = sum(element.bits for element in elements)
        for beat in beats:
            if not -(1 << width >> 1) <= beat < 1 << width:
                raise ValueError(
                    f"beats of stream {name} must fit into {width} bits, and {beat} does not"
                )
        return codes_of_payloads([int(beat) % (1 << width) for beat in beats], elements)
    if beats.ndim not in (2, 3) or beats.shape[-1] != len(elements):
        raise ValueError(
            f"beats of stream {name} must have the shape (n,), (n, {len(elements)}) or "
            f"(lanes, n, {len(elements)}), not {beats.shape}"
        )
    if not np.issubdtype(beats.dtype, np.integer):
        raise TypeError(f"beats of stream {name} must be integers, not {beats.dtype}")
    codes = np.empty(beats.shape, _container(elements))
    for k, (bits, _) in enumerate(elements):
        values = beats[..., k]
        if values.size:
            low, high = int(values.min()), int(values.max())
            if low < -(1 << bits >> 1) or high >= 1 << bits:
                raise ValueError(
                    f"element {k} of stream {name} must lie in [{-(1 << bits >> 1)}, "
                    f"{(1 << bits) - 1}], not [{low}, {high}]"
                )
        # Conversion to an unsigned type is modulo a power of two.
        codes[..., k] = values.astype(codes.dtype) & codes.dtype.type((1 << bits) - 1)
    return codes


def values_of(codes, elements):
    """Codes read as each element's shape says: two's complement where it is signed."""
    if not any(element.signed for element in elements):
        return codes
    size = codes.dtype.itemsize
    if all(element == (8 * size, True) for element in elements):
        return codes.view(f"i{size}")
    values = codes.astype(np.int64)
    for k, (bits, signed) in enumerate(elements):
        if signed:
            # Shifting up and down again repeats the sign bit.
            values[..., k] = values[..., k] << 64 - bits >> 64 - bits
    return values


def payloads_of(codes, elements):
    """Packed beats: n Python integers for codes of the shape (n, elements)."""
    planes = [
        (codes[:, k, None] >> np.arange(bits, dtype=codes.dtype)) & codes.dtype.type(1)
        for k, (bits, _) in enumerate(elements)
    ]
    flat = np.packbits(np.concatenate(planes, axis=1).astype(np.uint8), axis=1, bitorder="little")
    return [int.from_bytes(row.tobytes(), "little") for row in flat]


def codes_of_payloads(payloads, elements):
    """The reverse of `payloads_of`."""
    width = sum(element.bits for element in elements)
    size = -(-width // 8)
    raw = np.frombuffer(b"".join(p.to_bytes(size, "little") for p in payloads), np.uint8)
    planes = np.unpackbits(raw.reshape(len(payloads), size), axis=1, bitorder="little")
    codes = np.empty((len(payloads), len(elements)), _container(elements))
    start = 0
    for k, (bits, _) in enumerate(elements):
        weights = np.uint64(1) << np.arange(bits, dtype=np.uint64)
        codes[:, k] = planes[:, start : start + bits] @ weights
        start += bits
    return codes
