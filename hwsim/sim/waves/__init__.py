"""Waveforms: signals over time, as VCD and FST files that wave viewers open."""

from pathlib import Path

from hwsim.files import write_file

from . import fst, vcd
from .trace import Timing, Trace, declare

__all__ = ["Trace", "check_suffix", "write_wave"]

_FORMATS = {".fst": fst.encode, ".vcd": vcd.encode}


def write_wave(path, traces, *, first_cycle=0, clock="clk", period_ps=10_000, comment=""):
    """Write traces to a VCD or an FST file.

    What a trace shows for cycle k holds from the rising edge at ``k * period_ps`` to the next one.
    Names that the formats do not allow are spelled with underscores, without two becoming one.
    Traces that share one array are stored once. The file depends on nothing but the arguments, and
    is whole or not there.

    Parameters
    ----------
    path : path
        Its suffix, ``.vcd`` or ``.fst``, says the format.
    traces : sequence of Trace
        All of the same number of cycles.
    first_cycle : int
        Number of the first cycle.
    clock : str or None
        Name of a clock that is added to the scope of the first trace's root; None: no clock.
    period_ps : int
        Of the clock.
    comment : str
        For the file's header.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.
    OSError
        If the file cannot be written.
    """
    path = Path(path)
    check_suffix(path)
    traces = list(traces)
    for trace in traces:
        if not isinstance(trace, Trace):
            raise TypeError(f"traces must be of the class Trace, not {type(trace).__name__}")
    timing = Timing(first_cycle=first_cycle, period_ps=period_ps, cycles=_cycles(traces))
    encode = _FORMATS[path.suffix.lower()]
    write_file(path, encode(declare(traces, clock), timing, comment))


def check_suffix(path):
    """Raise `ValueError` unless `write_wave` would know the format of a file by its suffix."""
    if Path(path).suffix.lower() not in _FORMATS:
        raise ValueError(
            f"a waveform file must end in .vcd or .fst, not {(Path(path).name or str(path))!r}"
        )


def _cycles(traces):
    if not traces:
        raise ValueError("a waveform needs at least one trace")
    first = traces[0]
    for trace in traces:
        if len(trace.values) != len(first.values):
            raise ValueError(
                f"traces must have the same number of cycles, not {len(first.values)} of "
                f"{first} and {len(trace.values)} of {trace}"
            )
    if len(first.values) == 0:
        raise ValueError("a waveform needs at least one cycle")
    return len(first.values)
