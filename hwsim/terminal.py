"""What the command prints: tables and progress bars for people, one JSON object for programs."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

__all__ = ["Terminal", "clean"]

# Where standard output is no terminal, Rich would break tables at 80 columns.
_FILE_WIDTH = 120


def clean(value: object) -> str:
    """Text of a value for a terminal: what a file can smuggle in as control characters is shown as U+FFFD."""
    return "".join(character if character.isprintable() else "\ufffd" for character in str(value))


class Terminal:
    """Output of one command.

    Parameters
    ----------
    as_json : bool
        Standard output carries exactly the one object given to `finish`, all else goes to standard error.
    """

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._console = Console(stderr=as_json, highlight=False)
        if not self._console.is_terminal:
            self._console.width = max(self._console.width, _FILE_WIDTH)
        self._progress_console = Console(stderr=True)

    def say(self, text: object = "", *, style: str = "") -> None:
        """Print one line."""
        self._console.print(Text(clean(text), style=style), soft_wrap=True)

    def table(
        self,
        columns: Sequence[str],
        rows: Iterable[Sequence[object]],
        *,
        title: str | None = None,
        total: Sequence[object] | None = None,
    ) -> None:
        """Print a table. Integers get thousands separators; numbers are aligned to the right.

        ``total`` is a last row below a line.
        """
        rows = [list(row) for row in rows]
        lines = [*rows, list(total)] if total is not None else rows
        table = Table(title=title, title_justify="left", title_style="bold")
        for index, column in enumerate(columns):
            numeric = all(_is_number(line[index]) or line[index] in ("", None) for line in lines)
            table.add_column(column, justify="right" if numeric else "left", overflow="fold")
        for row in rows:
            table.add_row(*map(_cell, row))
        if total is not None:
            table.add_section()
            table.add_row(*map(_cell, total), style="bold")
        self._console.print(table)

    @contextmanager
    def progress(self, description: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        """Show a progress bar on standard error, if that is a terminal, while the block runs.

        Yields a function that takes how many of ``total`` are done; without a total the bar only moves.
        """
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            *([MofNCompleteColumn()] if total is not None else []),
            TimeElapsedColumn(),
            console=self._progress_console,
            transient=True,
            disable=not self._progress_console.is_terminal,
        ) as progress:
            task = progress.add_task(description, total=total)
            yield lambda done: progress.update(task, completed=done)

    def finish(self, result: dict[str, Any]) -> None:
        """Print the result as JSON where that was asked for."""
        if self._as_json:
            print(json.dumps(result, default=_plain, allow_nan=False))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _cell(value: object) -> Text:
    if value is None:
        return Text("")
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return Text(f"{value:,}")
    if isinstance(value, float | np.floating):
        return Text(f"{value:,.4g}")
    return Text(clean(value))


def _plain(value: object) -> object:
    """NumPy scalars and arrays, and paths, in JSON."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    return str(value)
