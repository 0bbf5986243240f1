"""What the command prints: tables and progress bars for people, one JSON object for programs."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from numbers import Integral, Real
from typing import Any

__all__ = ["Terminal", "clean"]

# Where standard output is no terminal, Rich would break tables at 80 columns.
_FILE_WIDTH = 120


def clean(value: object) -> str:
    """Text for a terminal: control characters, which a file can smuggle in, become U+FFFD."""
    return "".join(c if c.isprintable() else "\ufffd" for c in str(value))


class Terminal:
    """Output of one command.

    Parameters
    ----------
    as_json : bool
        Standard output carries exactly the one object given to `finish`, and standard error all
        else.
    """

    def __init__(self, *, as_json: bool) -> None:
        from rich.console import Console

        self._as_json = as_json
        self._console = Console(stderr=as_json, highlight=False)
        if not self._console.is_terminal:
            self._console.width = max(self._console.width, _FILE_WIDTH)
        self._errors = Console(stderr=True)

    def say(self, text: object = "", *, style: str = "") -> None:
        """Print one line."""
        from rich.text import Text

        self._console.print(Text(clean(text), style=style), soft_wrap=True)

    def remark(self, text: str) -> None:
        """Print one line on standard error: what to know of the result."""
        from rich.text import Text

        self._errors.print(Text(clean(text)), soft_wrap=True)

    def lines(self, text: str) -> None:
        """Print a text of several lines."""
        for line in text.split("\n"):
            self.say(line)

    def step(self, number: int, text: str) -> None:
        """Print the heading of a step."""
        self.say()
        self.say(f"{number}. {text}", style="bold")

    def table(
        self,
        columns: Sequence[str],
        rows: Iterable[Sequence[object]],
        *,
        title: str | None = None,
        total: Sequence[object] | None = None,
    ) -> None:
        """Print a table.

        Integers get thousands separators, other numbers four significant digits, and all before
        the point; columns of numbers are aligned to the right. ``total`` is a last row below a
        line. Without any column names there is no heading.
        """
        from rich.table import Table
        from rich.text import Text

        rows = list(rows)
        lines = rows if total is None else [*rows, total]
        table = Table(
            title=title and Text(clean(title), style="bold"),
            title_justify="left",
            show_header=any(columns),
        )
        for index, column in enumerate(columns):
            numeric = all(_is_number(line[index]) or line[index] in ("", None) for line in lines)
            table.add_column(column, justify="right" if numeric else "left", overflow="fold")
        for row in rows:
            table.add_row(*(Text(_cell(value)) for value in row))
        if total is not None:
            table.add_section()
            table.add_row(*(Text(_cell(value)) for value in total), style="bold")
        self._console.print(table)

    @contextmanager
    def progress(
        self, description: str, total: int | None = None
    ) -> Iterator[Callable[[int], None]]:
        """Show a progress bar while the block runs, if standard error is a terminal.

        Yields a function that takes how many of ``total`` are done; without a total the bar only
        shows that something goes on.
        """
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
        )

        columns = [TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()]
        if total is not None:
            columns.insert(2, MofNCompleteColumn())
        with Progress(
            *columns, console=self._errors, transient=True, disable=not self._errors.is_terminal
        ) as progress:
            task = progress.add_task(description, total=total)
            yield lambda done: progress.update(task, completed=done)

    def finish(self, result: dict[str, Any]) -> None:
        """Print the result as JSON, where that was asked for."""
        if self._as_json:
            print(json.dumps(result, default=_plain, allow_nan=False))


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Integral):
        return f"{int(value):,}"
    if isinstance(value, Real):
        number = float(value)
        return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.4g}"
    return clean(value)


def _plain(value: Any) -> object:
    """NumPy scalars and arrays as what JSON knows, paths as text."""
    return value.tolist() if hasattr(value, "tolist") else str(value)
