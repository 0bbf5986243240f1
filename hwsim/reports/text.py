"""Values of a table as text: for people (HTML, Markdown) and for programs (CSV)."""

import re
from numbers import Integral, Real

import pandas as pd

__all__ = [
    "cell",
    "clean",
    "csv_cell",
    "duration",
    "heading",
    "markdown",
    "sentence",
    "short",
    "slug",
]

_UNITS = {
    "bytes": "bytes",
    "cycles": "cycles",
    "hz": "Hz",
    "images_per_s": "images/s",
    "j": "J",
    "mhz": "MHz",
    "ms": "ms",
    "ns": "ns",
    "percent": "%",
    "requests_per_s": "requests/s",
    "s": "s",
    "uj": "µJ",
    "us": "µs",
    "w": "W",
}
_WORDS = {
    "bram": "block RAM",
    "dsp": "DSP",
    "ff": "FF",
    "lsb": "LSB",
    "lut": "LUT",
    "macs": "MACs",
    "op": "operator",
    "params": "parameters",
    "speedup": "speed-up",
    "tdp": "TDP",
}


def heading(column):
    """A column's name for people: ``latency_ms`` becomes ``Latency (ms)``."""
    column = clean(column)
    unit = max((u for u in _UNITS if column.endswith(f"_{u}")), key=len, default=None)
    name = column.removesuffix(f"_{unit}") if unit else column
    text = " ".join(_WORDS.get(word, word) for word in name.split("_"))
    return text[:1].upper() + text[1:] + (f" ({_UNITS[unit]})" if unit else "")


def cell(value):
    """A value for people: separators of thousands, four digits, nothing for a missing number."""
    if value is None or value is pd.NA or value != value:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Integral):
        return f"{int(value):,}"
    if isinstance(value, Real):
        number = float(value)
        return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.4g}"
    if isinstance(value, tuple):
        return "\u00a0×\u00a0".join(map(cell, value))  # a shape stays on one line
    return clean(value)


def duration(seconds):
    """A time for people, in the unit that suits it: ``1.928 µs``."""
    scale, unit = next(
        (entry for entry in ((1, "s"), (1e-3, "ms"), (1e-6, "µs")) if seconds >= entry[0]),
        (1e-9, "ns"),
    )
    return f"{cell(float(seconds / scale))} {unit}"


def csv_cell(value):
    """A value for programs: numbers as they are, shapes as ``6 x 28 x 28``.

    A text that a spreadsheet would take for a formula gets an apostrophe in front.
    """
    if isinstance(value, tuple):
        return " x ".join(map(str, value))
    if isinstance(value, str):
        value = clean(value)
        return f"'{value}" if value[:1] in tuple("=+-@") else value
    return value


def clean(text):
    """Text whose control characters and marks of writing direction have become U+FFFD."""
    return "".join(c if c.isprintable() or c == "\u00a0" else "\ufffd" for c in str(text))


def markdown(text):
    """Text as it is, in Markdown: whatever has a meaning there is escaped."""
    text = str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*\[\]|~#!]|(?<![^\W_])_|_(?![^\W_]))", r"\\\1", text)


def sentence(text):
    """Text with a capital letter and a full stop."""
    return f"{text[:1].upper()}{text[1:]}."


def short(text, limit=22):
    """Text of at most ``limit`` characters; of a longer one the beginning and, mostly, the end."""
    head = limit // 3
    return text if len(text) <= limit else f"{text[:head]}…{text[head + 1 - limit :]}"


def slug(text):
    """Text for a file name or an anchor: lower-case letters and digits, joined by hyphens."""
    return "-".join(re.findall(r"[a-z0-9]+", str(text).lower())) or "section"
