"""A report: sections, and how they become HTML, Markdown and CSV."""

import base64
import datetime
import hashlib
import html
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from urllib.parse import quote

import jinja2
import pandas as pd
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from hwsim.files import write_files

from .figures import SCROLLED, TEMPLATES, Picture, figure_json
from .text import cell, clean, csv_cell, heading, markdown, slug

__all__ = ["Report", "Section", "report"]


@dataclass(frozen=True, eq=False)
class Section:
    """A heading and what stands below it. All texts are plain: markup is shown, not followed.

    Parameters
    ----------
    title : str
    text : str
        A few sentences.
    facts : mapping of str to str
        The numbers to see first, by what they are.
    figures : mapping of str to plotly.graph_objects.Figure
        By caption. A figure takes the page's colours unless it sets its own; its height is kept,
        its width is the page's.
    pictures : mapping of str to Picture
        By caption.
    tables : mapping of str to pandas.DataFrame
        By a name that becomes part of the name of the CSV file. Units stand at the end of column
        names: ``latency_ms``.
    captions : mapping of str to str
        What stands above a table, by the table's name, where that needs one.
    listings : mapping of str to str
        Texts of many lines, such as Verilog, by caption; folded until somebody looks.
    linked : mapping of str to str
        Captions of figures whose points are rows of a table, by the table's name: what is chosen
        in one is shown in the other, and a filter stands above the table. The ``customdata`` of
        the figure's traces are numbers of rows, None for points that have none; its last trace is
        empty and marks what is chosen.
    """

    title: str
    text: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    figures: Mapping[str, go.Figure] = field(default_factory=dict)
    pictures: Mapping[str, Picture] = field(default_factory=dict)
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    captions: Mapping[str, str] = field(default_factory=dict)
    listings: Mapping[str, str] = field(default_factory=dict)
    linked: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Report:
    """Sections under a title. Make one with `hwsim.report`; a notebook shows it as it is.

    Members
    -------
    title : str
    date : str
    sections : tuple of Section
    """

    title: str
    date: str
    sections: tuple[Section, ...]

    def save(self, path, *, parquet=False):
        """Write the report as one HTML file, and beside it Markdown and a CSV file for each table.

        The HTML file needs no other file and no network. Each file is written under another name
        and then renamed, so that it is there whole or not at all.

        Parameters
        ----------
        path : path
            Ends in ``.html``; missing folders are made. ``dir/report.html`` brings
            ``dir/report.md`` and files such as ``dir/report-layers.csv``.
        parquet : bool
            Write each table as Parquet, too: ``dir/report-layers.parquet``. Needs DuckDB.

        Returns
        -------
        list of Path
            What was written, the HTML file first.

        Raises
        ------
        ValueError
            If the name does not end in ``.html``, or if DuckDB is needed and missing.
        """
        path = Path(path)
        if path.suffix != ".html":
            raise ValueError(f"a report's path must end in .html, not {str(path)!r}")
        files = {name: f"{path.stem}-{name}.csv" for name in self._tables()}
        contents = {path.name: self._html(files), path.with_suffix(".md").name: self.markdown()}
        for name, table in self._tables().items():
            contents[files[name]] = _csv(table)
        if parquet:
            write = _parquet_writer()
            for name, table in self._tables().items():
                contents[f"{path.stem}-{name}.parquet"] = write(table)
        return write_files(path.parent, contents)

    def html(self):
        """The report as one HTML page (str) that needs no other file and no network."""
        return self._html({})

    def markdown(self):
        """The report's texts and tables as Markdown (str)."""
        template = _environment().get_template("report.md")
        return template.render(report=self, tables=self._named_tables())

    def _repr_html_(self):
        # A frame keeps the page's style and the notebook's apart.
        page, title = html.escape(self.html()), html.escape(self.title)
        style = "width:100%;height:80vh;border:0"
        return f'<iframe srcdoc="{page}" title="{title}" style="{style}"></iframe>'

    def _named_tables(self):
        """For each section, its tables with captions by names unique in the report."""
        taken: set[str] = set()
        return [
            {
                _unique(slug(name), taken): (table, section.captions.get(name, ""))
                for name, table in section.tables.items()
            }
            for section in self.sections
        ]

    def _tables(self):
        named = self._named_tables()
        return {name: table for tables in named for name, (table, _) in tables.items()}

    def _html(self, files):
        """HTML with links to CSV files by table name."""
        taken: set[str] = set()
        sections = []
        number = 0
        for section, tables in zip(self.sections, self._named_tables(), strict=True):
            figures = []
            unique = dict(zip(section.tables, tables, strict=True))
            for caption, figure in section.figures.items():
                number += 1
                data = figure_json(figure)  # escaped for the place where it stands
                table = unique[section.linked[caption]] if caption in section.linked else ""
                height = figure.layout.height or 450
                figures.append((f"figure-{number}", caption, height, data, table))
            sections.append((_unique(slug(section.title), taken), section, figures, tables))
        templates = json.dumps(TEMPLATES, separators=(",", ":"), sort_keys=True)
        script = _environment().get_template("report.js").render(templates=templates)
        scripts = [get_plotlyjs(), script] if number else []
        page = (
            _environment()
            .get_template("report.html")
            .render(
                report=self,
                sections=sections,
                scrolled=SCROLLED,
                filtered={table for *_, figures, _ in sections for *_, table in figures if table},
                files={name: quote(file) for name, file in files.items()},
                # Only these scripts may run, whatever else found its way into the page.
                hashes=" ".join(f"'sha256-{_digest(text)}'" for text in scripts) or "'none'",
                scripts=scripts,
            )
        )
        return str(page)


def report(*items, title="hwsim report", date=None):
    """A report about anything that hwsim computes.

    Parameters
    ----------
    *items
        A `Network`, an `Accuracy`, a streaming plan, a design, a result of `simulate`, what
        `estimate` or `trace_array` returns, a `Comparison`, a `pandas.DataFrame`, or a `Section` of
        one's own; shown in this order.
    title : str
    date : str, optional
        Today's unless given. All else depends on the items only: the same items give the same
        files, byte for byte.

    Returns
    -------
    Report

    Raises
    ------
    TypeError
        If an item is of another kind.
    ValueError
        If there is no item.
    """
    from .sections import sections_of

    if not items:
        raise ValueError("a report needs at least one item")
    sections = tuple(section for item in items for section in sections_of(item))
    return Report(clean(title), date or datetime.date.today().isoformat(), sections)


def _unique(name, taken):
    """``name``, or with the first number that makes it new; it is then taken."""
    number, candidate = 1, name
    while candidate in taken:
        number += 1
        candidate = f"{name}-{number}"
    taken.add(candidate)
    return candidate


def _rows(table):
    """Columns' names and headings, whether each holds numbers, and rows of cells."""
    numeric = [pd.api.types.is_numeric_dtype(dtype) for dtype in table.dtypes]
    rows = [[cell(value) for value in row] for row in table.itertuples(index=False, name=None)]
    heads = [(clean(column), heading(column)) for column in table.columns]
    return heads, numeric, rows


def _lines(text):
    return [clean(line) for line in text.splitlines()]


def _csv(table):
    texts = table.astype(object).map(csv_cell) if len(table) else table
    return texts.to_csv(index=False, lineterminator="\n")


def _parquet_writer():
    """A function from a table to the bytes of a Parquet file."""
    try:
        import duckdb
    except ImportError:
        raise ValueError(
            "tables as Parquet need DuckDB: install it with pip install hwsim[parquet]"
        ) from None

    def write(table):
        # Shapes, and columns of several kinds, as text; nothing where a value is missing.
        plain = table.map(lambda value: csv_cell(value) if isinstance(value, tuple) else value)
        for name, column in plain.items():
            if column.dtype == object:
                plain[name] = column.map(str, na_action="ignore").astype("str")
        with tempfile.TemporaryDirectory() as folder, duckdb.connect() as database:
            path = Path(folder) / "table.parquet"
            database.from_df(plain).write_parquet(str(path))
            return path.read_bytes()

    return write


def _digest(script):
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


@cache
def _environment():
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("hwsim.reports"),
        autoescape=jinja2.select_autoescape(["html"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "clean": clean,
        "lines": _lines,
        "markdown": markdown,
        "rows": _rows,
    }
    return environment
