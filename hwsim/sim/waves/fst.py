"""Files in the format of GTKWave, FST.

The format is defined by the code that reads and writes it, ``fstapi.c`` of GTKWave, and described
by an unofficial specification, https://blog.timhutt.co.uk/fst_spec. A file is a sequence of blocks:
a header, value changes over several spans of time, widths of signals, and names.
"""

import struct
import zlib

import numpy as np

from hwsim.version import __version__

from .trace import Signal, scatter

__all__ = ["encode"]

# Types of blocks, and of entries in the block of names.
_HEADER, _GEOMETRY, _HIERARCHY, _CHANGES = 0, 3, 4, 8
_ATTRIBUTE, _SCOPE, _UPSCOPE = 252, 254, 255
_MODULE = 0
_WIRE, _IMPLICIT = 16, 0
_MISCELLANEOUS, _COMMENT, _ENUM_TABLE = 0, 0, 7
# Readers keep texts of attributes in a buffer of about this size.
_LONGEST_ATTRIBUTE = 65_536

# Bytes of changes in a block of changes before compression, at most: readers unpack a whole one.
_MOST_BYTES = 1 << 26


def encode(declarations, timing, comment):
    """The content of the file."""
    hierarchy = _Hierarchy(declarations, comment)
    signals = hierarchy.signals
    step = max(1, _MOST_BYTES // sum(5 + (_width(signal) + 7) // 8 for signal in signals))
    starts = range(0, timing.cycles, step)
    blocks = [
        _header(timing, hierarchy, len(signals), len(starts)),
        *(_changes(signals, timing, start, min(start + step, timing.cycles)) for start in starts),
        _geometry(signals),
        hierarchy.block(),
    ]
    return b"".join(blocks)


def _width(signal):
    """Of a signal; None stands for the clock."""
    return 1 if signal is None else signal.width


def _block(kind, content):
    return struct.pack(">BQ", kind, len(content) + 8) + content


def _varint(value):
    """A number in base 128, lowest digit first; all but the last have their top bit set."""
    octets = bytearray()
    while value >= 128:
        octets.append(value & 127 | 128)
        value >>= 7
    octets.append(value)
    return bytes(octets)


def _signed_varint(value):
    """The same for a number in two's complement."""
    octets = bytearray()
    while not -64 <= value < 64:
        octets.append(value & 127 | 128)
        value >>= 7
    octets.append(value & 127)
    return bytes(octets)


def _pack(content, level=4):
    """Compressed, unless that does not make it shorter, which readers tell by the length."""
    packed = zlib.compress(content, level)
    return packed if len(packed) < len(content) else content


def _header(timing, hierarchy, handles, sections):
    return _block(
        _HEADER,
        struct.pack(
            ">QQ8sQQQQQb128s119sBq",
            timing.begin,
            timing.end,
            # Shows the byte order of floating-point values.
            struct.pack("<d", 2.7182818284590452354),
            _MOST_BYTES,
            hierarchy.scopes,
            hierarchy.variables,
            handles,
            sections,
            -12,
            f"hwsim {__version__}".encode(),
            b"",
            0,
            0,
        ),
    )


def _geometry(signals):
    content = b"".join(_varint(_width(signal)) for signal in signals)
    return _block(
        _GEOMETRY, struct.pack(">QQ", len(content), len(signals)) + _pack(content, level=9)
    )


class _Hierarchy:
    """The block of names, what it holds, and the signals in the order in which it names them."""

    def __init__(self, declarations, comment):
        self.signals = []
        self.scopes = 0
        self.variables = 0
        self._stored = declarations.signals
        # Numbers, from 1, of the signals in the file.
        self._handles: dict[int | None, int] = {}
        self._tables: dict[tuple, int] = {}
        self._content = bytearray()
        if comment:
            self._attribute(_COMMENT, comment.replace("\0", " "), 0)
        for scope in declarations.scopes:
            self._scope(scope)

    def block(self):
        packer = zlib.compressobj(9, wbits=31)
        packed = packer.compress(self._content) + packer.flush()
        return _block(_HIERARCHY, struct.pack(">Q", len(self._content)) + packed)

    def _scope(self, scope):
        self._content += bytes([_SCOPE, _MODULE]) + scope.name.encode() + b"\0\0"
        self.scopes += 1
        for variable in scope.variables:
            self._variable(variable)
        for inner in scope.scopes:
            self._scope(inner)
        self._content.append(_UPSCOPE)

    def _variable(self, variable):
        signal = None if variable.signal is None else self._stored[variable.signal]
        width = _width(signal)
        if variable.enum:
            self._enum(variable, width)
        name = f"{variable.name} [{width - 1}:0]" if width > 1 else variable.name
        # 0: another signal, with the next handle.
        alias = self._handles.get(variable.signal, 0)
        if not alias:
            self.signals.append(signal)
            self._handles[variable.signal] = len(self.signals)
        self._content += bytes([_WIRE, _IMPLICIT]) + name.encode() + b"\0"
        self._content += _varint(width) + _varint(alias)
        self.variables += 1

    def _enum(self, variable, width):
        """Let the next variable show names of values; not if there are too many for a reader."""
        key = width, tuple(variable.enum.items())
        if key not in self._tables:
            names = [_escape(name) for name in variable.enum.values()]
            values = [f"{value:0{width}b}" for value in variable.enum]
            text = " ".join([f"{variable.name} {len(names)}", *names, *values])
            if len(text) > _LONGEST_ATTRIBUTE:
                return
            self._tables[key] = len(self._tables) + 1
            self._attribute(_ENUM_TABLE, text, self._tables[key])
        self._attribute(_ENUM_TABLE, "", self._tables[key])

    def _attribute(self, kind, text, argument):
        self._content += bytes([_ATTRIBUTE, _MISCELLANEOUS, kind]) + text.encode() + b"\0"
        self._content += _varint(argument)


def _escape(text):
    """Without white space and what has a meaning of its own, as octal codes."""
    return "".join(
        chr(octet)
        if (chr(octet).isalnum() and octet < 128) or octet == ord("_")
        else f"\\{octet:03o}"
        for octet in text.encode()
    )


def _changes(signals, timing, start, stop):
    """The block of changes of the cycles ``start`` to ``stop - 1``."""
    last = stop == timing.cycles
    times, step = _times(None in signals, timing, start, stop)
    frame = b"".join(_frame(signal, start) for signal in signals)
    waves = bytearray(b"Z")
    index = bytearray()
    handles: dict[bytes, int] = {}
    unpacked = previous = skipped = alias = 0
    for handle, signal in enumerate(signals, 1):
        content = _clock(stop - start) if signal is None else _wave(signal, start, stop, step)
        if not content:
            skipped += 1
            continue
        if skipped:
            index += _varint(skipped << 1)
            skipped = 0
        unpacked += len(content)
        packed = _pack(content) if len(content) > 32 else content
        entry = _varint(0 if packed is content else len(content)) + packed
        same = handles.setdefault(entry, handle)
        if same == handle:
            index += _signed_varint((len(waves) - previous) << 1 | 1)
            previous = len(waves)
            waves += entry
        else:
            # The same changes as those of an earlier signal.
            index += _signed_varint((-same if same != alias else 0) << 1 | 1)
            alias = same
    if skipped:
        index += _varint(skipped << 1)
    packed_frame = _pack(frame)
    stamps = b"".join(map(_varint, np.diff(times, prepend=0).tolist()))
    packed_stamps = _pack(stamps, level=9)
    end = timing.end if last else int(timing.rises(stop, stop + 1)[0])
    return _block(
        _CHANGES,
        b"".join(
            [
                struct.pack(">QQQ", int(times[0]), end, unpacked),
                _varint(len(frame)) + _varint(len(packed_frame)) + _varint(len(signals)),
                packed_frame,
                _varint(len(signals)),
                waves,
                index,
                struct.pack(">Q", len(index)),
                packed_stamps,
                struct.pack(">QQQ", len(stamps), len(packed_stamps), len(times)),
            ]
        ),
    )


def _times(clocked, timing, start, stop):
    """The table of times, and how many of them there are in a cycle."""
    rises = timing.rises(start, stop)
    step = 2 if clocked else 1
    times = np.column_stack([rises, rises + timing.half_ps]).ravel() if clocked else rises
    if stop == timing.cycles:
        times = np.append(times, timing.end)
    return times, step


def _frame(signal, cycle):
    """The value in one cycle, as text."""
    if signal is None:
        return b"1"
    return (signal.bits(np.array([cycle])) + np.uint8(ord("0"))).tobytes()


def _clock(cycles):
    """Changes of the clock: up at every even time of the table, down at the others."""
    changes = np.tile(np.array([1 << 2 | 1 << 1, 1 << 2], np.uint8), cycles)
    changes[0] = 1 << 1
    return changes.tobytes()


def _wave(signal: Signal, start, stop, step):
    """Changes of a signal: distance to the one before in the table of times, and the value."""
    cycles = signal.changes(start, stop)
    if len(cycles) == 0:
        return b""
    distances = np.diff(cycles * step, prepend=0)
    octets = signal.octets(start + cycles)
    if signal.width == 1:
        heads = distances << 2 | octets[:, 0].astype(np.int64) << 1
        octets = octets[:, :0]
    else:
        heads = distances << 1
        # The highest bit comes first in its byte.
        octets = np.packbits(signal.bits(start + cycles), axis=1)
    # By _MOST_BYTES a block has less than 2**24 cycles, and so less than 2**28 stands here.
    digits = 1 + sum((heads >= 1 << bits).astype(np.int64) for bits in (7, 14, 21))
    lengths = digits + octets.shape[1]
    ends = lengths.cumsum()
    content = np.empty(ends[-1], np.uint8)
    for count in np.unique(digits):
        which = np.flatnonzero(digits == count)
        shifts = np.arange(count) * 7
        varints = heads[which, np.newaxis] >> shifts & 127 | 128
        varints[:, -1] &= 127
        rows = np.concatenate([varints.astype(np.uint8), octets[which]], axis=1)
        scatter(content, (ends - lengths)[which], rows)
    return content.tobytes()
