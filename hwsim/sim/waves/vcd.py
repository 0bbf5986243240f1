"""Value Change Dump files: IEEE 1364-2005, section 18.

Beyond the standard, variables of the type ``string`` show names of values, as GTKWave and others
read them.
"""

import itertools

import numpy as np

from hwsim.version import __version__

from .trace import scatter, unique

__all__ = ["encode"]

# Bounds of what a run of cycles needs while its text is made.
_MOST_CHANGES = 1 << 22
_MOST_BYTES = 1 << 26


def encode(declarations, timing, comment):
    """The content of the file."""
    header = [f"$version hwsim {__version__} $end"]
    if comment:
        # What would end the comment is broken up.
        header.append(f"$comment {comment.replace('$end', '$ end')} $end")
    header.append("$timescale 1 ps $end")
    columns = [_Bits(signal, _code(k)) for k, signal in enumerate(declarations.signals)]
    clock = _code(len(columns)) if declarations.clock else None
    names: dict = {}
    for scope in declarations.scopes:
        header.extend(_declare(scope, columns, clock, names))
    header.append("$enddefinitions $end\n")
    columns.extend(names.values())

    chunks = ["\n".join(header).encode()]
    chunks.append(_initial(columns, timing, clock))
    widest = sum(column.longest for column in columns)
    step = max(1, min(_MOST_CHANGES // len(columns), _MOST_BYTES // widest))
    for start in range(1, timing.cycles, step):
        stop = min(start + step, timing.cycles)
        chunks.append(_changes(columns, timing, clock, start, stop))
    chunks.append(b"#%d\n" % timing.end)
    return b"".join(chunks)


def _code(number):
    """Identifier code: the printable characters are the digits of a number."""
    code = ""
    number += 1
    while number:
        number, digit = divmod(number - 1, 94)
        code += chr(33 + digit)
    return code


def _declare(scope, columns, clock, names):
    """Lines that declare a scope; columns for named values are added to ``names``."""
    yield f"$scope module {scope.name} $end"
    used = {variable.name for variable in scope.variables}
    for variable in scope.variables:
        if variable.signal is None:
            yield f"$var wire 1 {clock} {variable.name} $end"
            continue
        column = columns[variable.signal]
        width = column.signal.width
        bits = f" [{width - 1}:0]" if width > 1 else ""
        yield f"$var wire {width} {column.code} {variable.name}{bits} $end"
        if variable.enum:
            key = variable.signal, tuple(variable.enum.items())
            if key not in names:
                code = _code(len(columns) + 1 + len(names))
                names[key] = _Names(column.signal, code, variable.enum)
            name = unique(f"{variable.name}_name", used)
            used.add(name)
            yield f"$var string 1 {names[key].code} {name} $end"
    for inner in scope.scopes:
        yield from _declare(inner, columns, clock, names)
    yield "$upscope $end"


def _initial(columns, timing, clock):
    """Text of the first cycle, in which every variable gets a value."""
    values = _arrange(1, [column.pieces(0, 1) for column in columns])
    if clock is None:
        return b"#%d\n$dumpvars\n%b$end\n" % (timing.begin, values)
    code = clock.encode()
    fall = timing.begin + timing.half_ps
    begin = b"#%d\n$dumpvars\n1%b\n%b$end\n" % (timing.begin, code, values)
    return begin + b"#%d\n0%b\n" % (fall, code)


def _changes(columns, timing, clock, start, stop):
    """Text of the cycles ``start`` to ``stop - 1``."""
    pieces = [column.pieces(start, stop) for column in columns]
    times = timing.rises(start, stop)
    if clock is None:
        moved = np.zeros(stop - start, bool)
        for cycles, _ in itertools.chain(*pieces):
            moved[cycles] = True
        return _arrange(stop - start, [_stamps(np.flatnonzero(moved), times, ""), *pieces])
    cycles = np.arange(stop - start)
    rise = _stamps(cycles, times, f"1{clock}\n")
    fall = _stamps(cycles, times + timing.half_ps, f"0{clock}\n")
    return _arrange(stop - start, [rise, *pieces, fall])


# Text is made of pieces: cycles, and a row of bytes for each of them, all of the same length.


def _stamps(cycles, times, tail):
    """Pieces with the time of each cycle, and what stands behind each."""
    texts = times[cycles].astype("S")
    lengths = np.char.str_len(texts)
    pieces = []
    for length in np.unique(lengths):
        which = np.flatnonzero(lengths == length)
        digits = texts[which].astype(f"S{length}").view(np.uint8).reshape(len(which), length)
        pieces.append((cycles[which], _rows("#", digits, "\n" + tail)))
    return pieces


class _Bits:
    """Values of a signal in binary."""

    def __init__(self, signal, code):
        self.signal = signal
        self.code = code
        self.longest = signal.width + len(code) + 3

    def pieces(self, start, stop):
        cycles = self.signal.changes(start, stop)
        digits = self.signal.bits(start + cycles) + np.uint8(ord("0"))
        if self.signal.width == 1:
            return [(cycles, _rows("", digits, f"{self.code}\n"))]
        return [(cycles, _rows("b", digits, f" {self.code}\n"))]


class _Names:
    """Names of the values of a signal; a value without one shows as a number."""

    def __init__(self, signal, code, names):
        self.signal = signal
        self.code = code
        self.names = {value: _escape(name) for value, name in names.items()}
        self.longest = max([20, *map(len, self.names.values())]) + len(code) + 3

    def pieces(self, start, stop):
        cycles = self.signal.changes(start, stop)
        values, numbers = np.unique(self.signal.values[start + cycles], return_inverse=True)
        pieces = []
        for number, value in enumerate(values.tolist()):
            which = cycles[numbers == number]
            name = self.names.get(value, str(value))
            text = f"s{name} {self.code}\n".encode()
            pieces.append((which, np.tile(np.frombuffer(text, np.uint8), (len(which), 1))))
        return pieces


def _escape(name):
    """A text without white space, as GTKWave reads it."""
    return "".join(
        c if "!" <= c <= "~" and c != "\\" else "".join(f"\\x{o:02x}" for o in c.encode())
        for c in name
    )


def _rows(head, middle, tail):
    """Rows of bytes with the same text before and behind each."""
    rows = np.empty((len(middle), len(head) + middle.shape[1] + len(tail)), np.uint8)
    rows[:, : len(head)] = np.frombuffer(head.encode(), np.uint8)
    rows[:, len(head) : len(head) + middle.shape[1]] = middle
    rows[:, len(head) + middle.shape[1] :] = np.frombuffer(tail.encode(), np.uint8)
    return rows


def _arrange(cycles, columns):
    """Text of columns of pieces, joined cycle by cycle."""
    lengths = np.zeros((cycles, len(columns)), np.int64)
    for number, pieces in enumerate(columns):
        for which, rows in pieces:
            lengths[which, number] = rows.shape[1]
    ends = lengths.cumsum().reshape(lengths.shape)
    starts = ends - lengths
    text = np.empty(ends[-1, -1], np.uint8)
    for number, pieces in enumerate(columns):
        for which, rows in pieces:
            scatter(text, starts[which, number], rows)
    return text.data
