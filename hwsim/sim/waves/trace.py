"""What both formats write: traces, the names that they get, and their values as bits."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

__all__ = [
    "Declarations",
    "Scope",
    "Signal",
    "Timing",
    "Trace",
    "Variable",
    "declare",
    "scatter",
    "unique",
]


@dataclass(frozen=True, eq=False)
class Trace:
    """Values of a signal in successive cycles.

    Parameters
    ----------
    path : tuple of str
        Names of the scopes, from the outermost, then that of the signal.
    width : int
        In bits.
    values : ndarray of unsigned integers
        Shape (cycles,) for a width up to 64; (cycles, words) of 64 bits, lowest first, beyond.
    enum : mapping of int to str, optional
        Names of values, for a width up to 64.

    Raises
    ------
    TypeError, ValueError
        If they are not as described, or a value has more bits than ``width``.
    """

    path: tuple[str, ...]
    width: int
    values: np.ndarray
    enum: Mapping[int, str] | None = None

    def __post_init__(self):
        if not isinstance(self.path, tuple) or not all(isinstance(p, str) for p in self.path):
            raise TypeError(f"path must be a tuple of strings, not {self.path!r}")
        if not self.path:
            raise ValueError("path must have a name")
        if not isinstance(self.width, int) or self.width < 1:
            raise ValueError(f"width of {self} must be a positive integer, not {self.width!r}")
        values = self.values
        if not isinstance(values, np.ndarray) or values.dtype.kind != "u":
            kind = values.dtype if isinstance(values, np.ndarray) else type(values).__name__
            raise TypeError(f"values of {self} must be an array of unsigned integers, not {kind}")
        words = -(-self.width // 64)
        if words > 1 and values.dtype.itemsize != 8:
            raise TypeError(f"values of {self} must be words of 64 bits, not {values.dtype}")
        if values.shape[1:] != (() if words == 1 else (words,)):
            wanted = "(cycles,)" if words == 1 else f"(cycles, {words})"
            raise ValueError(f"values of {self} must have the shape {wanted}, not {values.shape}")
        top = values if words == 1 else values[:, -1]
        bits = self.width - 64 * (words - 1)
        if len(top) and int(top.max()) >> bits:
            cycle = int(top.argmax())
            value = int(values[cycle]) if words == 1 else _integer(values[cycle])
            raise ValueError(
                f"value {value} of {self} in cycle {cycle} has more than {self.width} bits"
            )
        if self.enum and words > 1:
            raise ValueError(f"enum of {self} needs a width of at most 64, not {self.width}")
        for value in self.enum or ():
            if not isinstance(value, int) or not 0 <= value < 1 << self.width:
                raise ValueError(
                    f"enum of {self} must name values of {self.width} bits, not {value!r}"
                )

    def __str__(self):
        return ".".join(self.path)


def _integer(words):
    return int.from_bytes(words.astype("<u8").tobytes(), "little")


@dataclass(frozen=True, kw_only=True)
class Timing:
    """When the cycles of a file are, in picoseconds."""

    first_cycle: int
    period_ps: int
    cycles: int

    def __post_init__(self):
        if not isinstance(self.first_cycle, int) or self.first_cycle < 0:
            raise ValueError(
                f"first_cycle must be an integer of at least 0, not {self.first_cycle!r}"
            )
        if not isinstance(self.period_ps, int) or self.period_ps < 2:
            raise ValueError(f"period_ps must be an integer of at least 2, not {self.period_ps!r}")
        if (self.first_cycle + self.cycles) * self.period_ps >= 1 << 63:
            raise ValueError(
                f"cycle {self.first_cycle + self.cycles} of {self.period_ps} ps lies beyond "
                "2**63 ps"
            )

    def rises(self, start, stop):
        """Times of the rising edges of cycles ``start`` to ``stop - 1`` of the arrays."""
        cycles = np.arange(start, stop, dtype=np.int64)
        return (cycles + self.first_cycle) * self.period_ps

    @property
    def half_ps(self):
        """From a rising edge to the falling one."""
        return self.period_ps // 2

    @property
    def begin(self):
        """Of the first cycle."""
        return self.first_cycle * self.period_ps

    @property
    def end(self):
        """Of the last cycle."""
        return (self.first_cycle + self.cycles) * self.period_ps


@dataclass(eq=False)
class Signal:
    """Values that are stored once, whatever the number of names they have."""

    width: int
    values: np.ndarray

    def changes(self, start, stop):
        """Cycles, counted from ``start``, in which the value is not that of the cycle before.

        There is none before the first.
        """
        new = self.values[max(start, 1) : stop]
        old = self.values[max(start, 1) - 1 : stop - 1]
        changed = new != old
        if changed.ndim == 2:
            changed = changed.any(axis=1)
        if start == 0:
            changed = np.concatenate([[True], changed])
        return np.flatnonzero(changed)

    def octets(self, cycles):
        """Values in some cycles, as bytes, the highest first; the value stands in the last bits."""
        words = self.values[cycles]
        words = words[:, np.newaxis] if words.ndim == 1 else np.ascontiguousarray(words[:, ::-1])
        octets = words.astype(words.dtype.newbyteorder(">")).view(np.uint8)
        return octets[:, octets.shape[1] - (self.width + 7) // 8 :]

    def bits(self, cycles):
        """Values in some cycles as zeros and ones, the highest first."""
        bits = np.unpackbits(self.octets(cycles), axis=1)
        return bits[:, bits.shape[1] - self.width :]


@dataclass(frozen=True)
class Variable:
    """A name of a signal; ``signal`` is its number, None stands for the clock."""

    name: str
    signal: int | None
    enum: Mapping[int, str] | None = None


@dataclass
class Scope:
    """Variables, and the scopes inside."""

    name: str
    variables: list[Variable] = field(default_factory=list)
    scopes: list["Scope"] = field(default_factory=list)


@dataclass
class Declarations:
    """The signals of a file, the scopes that name them, and whether there is a clock."""

    signals: list[Signal]
    scopes: list[Scope]
    clock: bool


def declare(traces: Iterable[Trace], clock: str | None) -> Declarations:
    """Arrange traces by scope, under names that are safe.

    A trace without a scope gets one, ``top``.
    """
    tree: dict[tuple[str, str], dict] = {}
    signals: dict[tuple[int, int], int] = {}
    stored: list[Signal] = []
    for trace in traces:
        key = id(trace.values), trace.width
        if key not in signals:
            signals[key] = len(stored)
            stored.append(Signal(trace.width, trace.values))
        path = trace.path if len(trace.path) > 1 else ("top", *trace.path)
        level: dict = tree
        for name in path[:-1]:
            level = level.setdefault(("scope", name), {})
        if ("signal", path[-1]) in level:
            raise ValueError(f"two traces have the path {trace}")
        level["signal", path[-1]] = Variable(path[-1], signals[key], trace.enum)
    if clock is not None:
        root = next(iter(tree.values()))
        name = clock
        while ("signal", name) in root:
            name += "_"
        # The clock stands first.
        signals_and_scopes = dict(root)
        root.clear()
        root["signal", name] = Variable(name, None)
        root.update(signals_and_scopes)
    return Declarations(stored, _scopes("", tree).scopes, clock is not None)


def _scopes(name, level):
    scope = Scope(name)
    names = {
        kind: _safe_names(key[1] for key in level if key[0] == kind) for kind in ("signal", "scope")
    }
    for (kind, given), entry in level.items():
        if kind == "signal":
            scope.variables.append(Variable(names[kind][given], entry.signal, entry.enum))
        else:
            scope.scopes.append(_scopes(names[kind][given], entry))
    return scope


# Readers of FST have buffers of 512 characters, which must hold the range of bits too.
_LONGEST = 400


def _safe_names(names):
    """Names, by the given ones, of letters, digits, ``_`` and ``$``; different ones stay so."""
    names = list(names)
    safe = {name: name for name in names if _safe(name) == name}
    used = set(safe)
    for name in names:
        if name not in safe:
            safe[name] = unique(_safe(name), used)
            used.add(safe[name])
    return safe


def _safe(name):
    name = re.sub(r"\[(\w+)\]", r"_\1", name)
    name = re.sub(r"[^A-Za-z0-9_$]", "_", name)[:_LONGEST]
    return name if re.match(r"[A-Za-z_]", name) else f"_{name}"


def unique(name, used):
    """The name, or if it is in use the name with the first number that makes it another one."""
    candidate = name
    number = 2
    while candidate in used:
        candidate = f"{name}_{number}"
        number += 1
    return candidate


def scatter(buffer, starts, rows):
    """Copy each row of bytes, all of the same length, to its place in a buffer."""
    length = rows.shape[1]
    if length and len(rows):
        # One element per place at which a row could start: the rows are then moved as a whole.
        places = np.ndarray(
            (len(buffer) - length + 1,), f"V{length}", buffer=buffer.data, strides=(1,)
        )
        places[starts] = np.ascontiguousarray(rows).view(f"V{length}")[:, 0]
