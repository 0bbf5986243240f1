"""Beats and memory words: arrays of codes, and the integers that they are packed into."""

import numpy as np

__all__ = ["pack", "unpack"]


def pack(codes, bits):
    """(n, lanes) integer codes to n Python integers, lane 0 in the lowest ``bits`` bits.

    Two's complement.
    """
    codes = np.asarray(codes, np.int64)
    planes = (codes[:, :, None] >> np.arange(bits)) & 1
    flat = planes.astype(np.uint8).reshape(len(codes), -1)
    return [
        int.from_bytes(row.tobytes(), "little")
        for row in np.packbits(flat, axis=1, bitorder="little")
    ]


def unpack(values, lanes, bits, signed):
    """The reverse of `pack`: n Python integers to an (n, lanes) int64 array."""
    size = -(-lanes * bits // 8)
    raw = np.frombuffer(b"".join(int(v).to_bytes(size, "little") for v in values), np.uint8)
    planes = np.unpackbits(
        raw.reshape(len(values), size), axis=1, bitorder="little", count=lanes * bits
    )
    weights = np.int64(1) << np.arange(bits, dtype=np.int64)
    if signed:
        weights[-1] = -weights[-1]
    return planes.reshape(len(values), lanes, bits).astype(np.int64) @ weights
