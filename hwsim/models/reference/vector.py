"""What the vector unit of the systolic accelerator computes: its instructions, in NumPy."""

import numpy as np

from hwsim.blocks.systolic.isa import Operation
from hwsim.network.fixed_point import round_half_even_shift
from hwsim.network.integer import log_index

__all__ = ["activate", "combine", "pool"]

ADDRESS_MASK = (1 << 24) - 1
# Codes that are gathered at a time: what the caches of a processor hold.
_PIECE = 1 << 20


def activate(config, instruction, buffer, sums, parameters=None, table=None):
    """Carry out an ``ACTIVATE``: sums to codes in the buffer.

    Parameters
    ----------
    config : Systolic
    instruction : Instruction
    buffer : ndarray of int8, (config.buffer_bytes,)
        Changed.
    sums : ndarray of int32, (pixels or more, cols)
        A half of the accumulators.
    parameters : tuple of three ndarrays of int, (cols,)
        Bias, multiplier and shift of each column; unless the instruction is ``uniform``.
    table : ndarray of int8, (256,)
        Codes for -128 to 127; only where the instruction says ``lookup``.
    """
    pixels, channels = instruction["width"] * instruction["height"], instruction["channels"]
    values = sums[:pixels, :channels].astype(np.int64)
    if instruction["uniform"]:
        multiplier, shift = instruction["multiplier"], instruction["shift"]
    else:
        columns = (np.asarray(column, np.int64)[:channels] for column in parameters)
        bias, multiplier, shift = columns
        values += bias
    _write(config, instruction, buffer, _scale(instruction, values, multiplier, shift), table)


def combine(config, instruction, buffer, table=None, factors=None):
    """Carry out a ``COMBINE``: one or several codes in the buffer for each one that is written.

    What it writes must not be what it reads.

    Parameters
    ----------
    config : Systolic
    instruction : Instruction
    buffer : ndarray of int8, (config.buffer_bytes,)
        Changed.
    table : ndarray of int8, (256,)
        Codes for -128 to 127; only where the instruction says ``lookup``.
    factors : ndarray of int, (factors(config.factor_precision),)
        Only for ``NORMALIZE``.
    """
    f = instruction
    result = np.empty((f["height"], f["width"], f["channels"]), np.int8)
    rows = max(1, _PIECE // max(1, f["width"] * f["channels"]))
    for begin in range(0, f["height"], rows):
        part = np.arange(begin, min(begin + rows, f["height"]))
        taps = _taps(config, f, buffer, part)
        if f["operation"] == Operation.NORMALIZE:
            values, multiplier = _normalize(config, f, taps, factors)
        else:
            values, multiplier = _COMBINE[f["operation"]](f, taps), f["multiplier"]
        result[part] = _scale(f, values, multiplier, f["shift"])
    _write(config, f, buffer, result, table)


def pool(config, instruction, buffer, table=None):
    """Carry out a ``POOL``: the largest code, or the sum, of windows; arguments as of `combine`."""
    f = instruction
    largest = f["operation"] == Operation.MAX
    join, nothing = (np.maximum, -128) if largest else (np.add, 0)
    result = np.empty((f["height"], f["width"], f["channels"]), np.int8)
    channels = np.arange(f["channels"])
    x = np.arange(f["columns"])
    along = np.arange(f["width"]) * f["window_x"] - f["ahead_x"]
    size = max(1, f["columns"] * f["channels"])
    rows = max(1, (_PIECE // size - f["kernel_y"]) // max(1, f["window_y"]))
    for begin in range(0, f["height"], rows):
        part = np.arange(begin, min(begin + rows, f["height"]))
        down = part * f["window_y"] - f["ahead_y"]
        y = np.arange(max(0, down[0]), min(down[-1] + f["kernel_y"], f["rows"]))
        addresses = f["base"] + y[:, None] * f["pixel_y"] + x * f["pixel_x"]
        codes = buffer[_places(config, addresses[..., None] + channels)].astype(np.int64)
        map_y, map_x = f["y"] + y * f["stride_y"], f["x"] + x * f["stride_x"]
        inside = ((map_y >= 0) & (map_y < f["map_height"]))[:, None]
        inside = inside & (map_x >= 0) & (map_x < f["map_width"])
        codes = np.where(inside[..., None], codes - (0 if largest else f["offset_0"]), nothing)
        lines = _windows(codes, 1, along, f["kernel_x"], join, nothing)
        values = _windows(lines, 0, down - y[0], f["kernel_y"], join, nothing)
        result[part] = _scale(f, values, f["multiplier"], f["shift"])
    _write(config, f, buffer, result, table)


def _windows(codes, axis, firsts, kernel, join, nothing):
    """What windows that begin at ``firsts`` along an axis come to; beyond the ends is nothing."""
    length = codes.shape[axis]
    total = None
    for k in range(kernel):
        there = (firsts + k >= 0) & (firsts + k < length)
        shape = [-1 if number == axis else 1 for number in range(codes.ndim)]
        taken = codes.take(np.clip(firsts + k, 0, length - 1), axis)
        taken = np.where(there.reshape(shape), taken, nothing)
        total = taken if total is None else join(total, taken)
    return total


def _taps(config, f, buffer, oy):
    """Yield ``kx``, codes (rows, width, channels) and whether they are inside, for each tap."""
    ox = np.arange(f["width"])
    pixels = f["base"] + oy[:, None] * f["pixel_y"] + ox * f["pixel_x"]
    channels = np.arange(f["channels"])
    y = f["y"] + oy * f["stride_y"]
    y_inside = ((y >= 0) & (y < f["map_height"]))[:, None, None]
    for kx in range(f["taps_x"]):
        x = (f["x"] + ox * f["stride_x"] + kx * f["dilation_x"])[:, None]
        if f["operation"] == Operation.NORMALIZE:
            x = x + channels
        inside = y_inside & (x >= 0) & (x < f["map_width"])
        addresses = pixels + kx * f["tap_x"]
        codes = buffer[_places(config, addresses[..., None] + channels)]
        yield kx, codes, inside


def _places(config, addresses):
    """Where addresses lie in the buffer: they wrap, first in 24 bits.

    Those beyond the buffer belong to codes that nobody asks for.
    """
    return addresses & (ADDRESS_MASK & (config.buffer_bytes - 1))


def _sum(f, taps):
    total = np.zeros((), np.int64)
    for kx, codes, inside in taps:
        offset, factor = f[f"offset_{kx & 1}"], f[f"factor_{kx & 1}"]
        total = total + np.where(inside, (codes.astype(np.int64) - offset) * factor, 0)
    return total.astype(np.int32).astype(np.int64)


def _product(f, taps):
    total = np.zeros((), np.int64)
    before = None
    for kx, codes, inside in taps:
        factor = np.where(inside, codes.astype(np.int64) - f[f"offset_{kx & 1}"], 0)
        if kx & 1:
            total = total + before * factor
        before = factor
    return total.astype(np.int32).astype(np.int64)


def _normalize(config, f, taps, factors):
    """Codes less their zero point, and their factors."""
    squares = np.zeros((), np.int64)
    centre = None
    for kx, codes, inside in taps:
        code = np.where(inside, codes.astype(np.int64) - f["offset_0"], 0)
        squares = squares + code * code
        if kx == (f["taps_x"] - 1) // 2:
            centre = code
    return centre, factors.astype(np.int64)[log_index(squares, config.factor_precision)]


_COMBINE = {Operation.SUM: _sum, Operation.PRODUCT: _product}


def _scale(f, values, multiplier, shift):
    scaled = round_half_even_shift(values * multiplier, shift) + f["zero_point"]
    return np.clip(scaled, f["minimum"], f["maximum"]).astype(np.int8)


def _write(config, f, buffer, codes, table):
    codes = codes.reshape(f["height"], f["width"], f["channels"])
    if f["lookup"]:
        codes = table[codes.astype(np.int64) + 128]
    rows = np.arange(f["height"])[:, None, None] * f["to_y"]
    columns = np.arange(f["width"])[:, None] * f["to_x"]
    buffer[_places(config, f["to"] + rows + columns + np.arange(f["channels"]))] = codes
