"""Figures and pictures, made by Plotly. Colours are left to the page: it is light or dark."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from .text import clean, short

__all__ = ["TEMPLATES", "Picture", "bars", "channels", "figure_json", "gantt"]

# Okabe and Ito, "Color Universal Design" (2008): colours that colour-blind readers tell apart. Each
# theme begins with those that stand out from its background.
_LIGHT = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#F0E442"]
_DARK = ["#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#F0E442", "#D55E00", "#0072B2"]


def _template(colours, ink, soft, grid, paper):
    axis = {
        "automargin": True,
        "gridcolor": grid,
        "linecolor": grid,
        "ticklabelstandoff": 4,
        "title": {"font": {"size": 13}, "standoff": 10},
        "zerolinecolor": grid,
    }
    return {
        "layout": {
            "colorway": colours,
            "font": {"color": ink, "family": "system-ui, sans-serif", "size": 13},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "hoverlabel": {"bgcolor": paper, "bordercolor": grid, "font": {"color": ink}},
            "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": soft, "activecolor": ink},
            "xaxis": axis,
            "yaxis": axis,
        }
    }


# The same colours as in templates/report.css.
TEMPLATES = {
    "light": _template(_LIGHT, "#1c2024", "#5a626b", "#d5d9de", "#ffffff"),
    "dark": _template(_DARK, "#e6e8eb", "#a3abb4", "#3f464e", "#1d2126"),
}

# What a Gantt chart resolves: gaps shorter than this share of the time axis are drawn closed.
_RESOLUTION = 400


def bars(names, series, axis, *, log=False, stacked=False):
    """Horizontal bars, the first name on top.

    Parameters
    ----------
    names : sequence of str
        One per group of bars; unique.
    series : mapping of str to sequence of float
        A value per name; None leaves a bar out.
    axis : str
        What the values are, with the unit.
    log : bool
        Logarithmic axis.
    stacked : bool
        Series one after another instead of side by side.
    """
    figure = go.Figure(
        [
            go.Bar(
                y=list(names),
                x=list(values),
                name=label,
                orientation="h",
                hovertemplate="%{y}<br>%{x:,.4~g}"
                + (" · %{fullData.name}" if len(series) > 1 else "")
                + "<extra></extra>",
            )
            for label, values in series.items()
        ]
    )
    _rows(figure, names, 24 if stacked or len(series) == 1 else 14 * len(series) + 8)
    # Bars of one group are drawn from the bottom up.
    order = "normal" if stacked else "reversed"
    figure.update_layout(
        barmode="stack" if stacked else "group", showlegend=len(series) > 1, legend_traceorder=order
    )
    figure.update_xaxes(title_text=axis, rangemode="tozero")
    positive = [
        value for values in series.values() for value in values if value and 0 < value < np.inf
    ]
    if log and positive:
        # Whole decades, so that the shortest bar has a length too.
        low, high = np.floor(np.log10(min(positive)) - 0.05), np.ceil(np.log10(max(positive)))
        figure.update_xaxes(
            type="log", range=[low, high], dtick=1, tickformat="~s" if low >= 0 else "~g"
        )
    return figure


def gantt(rows, axis):
    """Bars along time: when each row is busy, one colour per part.

    Parameters
    ----------
    rows : mapping of str to mapping of str to ndarray of int
        For each row (the first on top) and part: cycles in which something happens, ascending.
    axis : str
        What the time is.
    """
    moved = [cycles for parts in rows.values() for cycles in parts.values() if len(cycles)]
    end = max((int(cycles[-1]) + 1 for cycles in moved), default=1)
    found: dict[str, list] = {}
    for row, parts in rows.items():
        for part, cycles in parts.items():
            gaps = np.flatnonzero(np.diff(cycles) > max(1, end // _RESOLUTION))
            if len(cycles):
                pieces = np.split(cycles, gaps + 1)
                found.setdefault(part, []).extend((row, *_piece(piece)) for piece in pieces)
    traces = []
    for part, pieces in found.items():
        names, starts, lengths, counts = zip(*pieces, strict=True)
        traces.append(
            go.Bar(
                y=names,
                base=starts,
                x=lengths,
                name=part,
                customdata=np.stack([np.add(starts, lengths) - 1, counts], axis=1),
                orientation="h",
                marker_line_width=0,
                hovertemplate="%{y} · %{fullData.name}<br>cycles %{base:,} to %{customdata[0]:,}"
                "<br>%{customdata[1]:,} transfers<extra></extra>",
            )
        )
    figure = go.Figure(traces)
    _rows(figure, list(rows), 24)
    figure.update_layout(barmode="overlay", showlegend=len(traces) > 1)
    figure.update_xaxes(title_text=axis, range=[0, end])
    return figure


def _piece(cycles):
    return int(cycles[0]), int(cycles[-1] - cycles[0] + 1), len(cycles)


def _rows(figure, names, height):
    """Names down the left side, short where they are long; room for each of ``height`` pixels."""
    names = list(names)
    figure.update_yaxes(
        type="category",
        autorange="reversed",
        categoryorder="array",
        categoryarray=names,
        tickmode="array",
        tickvals=names,
        ticktext=[short(clean(name)) for name in names],
    )
    legend = {
        "orientation": "h",
        "yref": "container",
        "y": 1,
        "yanchor": "top",
        "x": 0,
        "itemwidth": 30,
    }
    figure.update_layout(
        height=max(height * len(names) + 110, 190),
        margin={"l": 8, "r": 16, "t": 36, "b": 48},
        legend=legend,
        bargap=0.25,
    )


@dataclass(frozen=True)
class Picture:
    """A small picture, shown magnified.

    Members
    -------
    source : str
        PNG as a ``data:`` address.
    width : int
        Width to show it at, in pixels of the page.
    """

    source: str
    width: int


def channels(maps, *, limit=64, columns=8):
    """The channels of a feature map in grey: black the smallest value, white the largest.

    Parameters
    ----------
    maps : ndarray of number, (C, H, W)
    limit : int
        Channels to show, from the first.
    columns : int
        Channels in a row. A vector, (C, 1, 1), is drawn whole, as rows of 32 squares.
    """
    import plotly.express as px  # takes a quarter of a second, and only pictures need it

    maps = np.asarray(maps, np.float64)
    if maps.shape[1:] == (1, 1):
        row = min(len(maps), 32)
        maps = np.concatenate([maps.ravel(), np.full(-len(maps) % row, np.nan)]).reshape(1, -1, row)
    maps = maps[:limit]
    count, height, width = maps.shape
    columns = min(columns, count)
    lines = -(-count // columns)
    low, high = np.nanmin(maps), np.nanmax(maps)
    # Gaps between channels, and what is missing in the last row, are transparent.
    grid = np.full((lines * columns, height + 1, width + 1), np.nan)
    grid[:count, :height, :width] = (maps - low) * (255 / (high - low) if high > low else 1)
    grid = grid.reshape(lines, columns, height + 1, width + 1).transpose(0, 2, 1, 3)
    grid = grid.reshape(lines * (height + 1), columns * (width + 1))[:-1, :-1]
    grey = np.nan_to_num(grid).astype(np.uint8)
    pixels = np.stack(
        [grey, grey, grey, np.where(np.isnan(grid), 0, 255).astype(np.uint8)], axis=-1
    )
    # The encoder that comes with Plotly: its output does not depend on what else is installed.
    source = px.imshow(pixels, binary_string=True, binary_backend="pypng").data[0].source
    return Picture(source, grid.shape[1] * max(1, min(16, 640 // grid.shape[1])))


def figure_json(figure):
    """A figure as JSON that may stand inside a ``<script>``; its texts are shown as they are.

    Plotly reads tags in any text that it shows, so that a name could become a link. Only templates,
    which hold no names, keep theirs.
    """
    plain = _plain(json.loads(figure.to_json(engine="json", remove_uids=True)))
    plain["layout"].pop("template", None)
    return json.dumps(plain, sort_keys=True, separators=(",", ":")).replace("<", r"\u003c")


def _plain(value, key=""):
    if isinstance(value, Mapping):
        return {name: _plain(entry, name) for name, entry in value.items()}
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    if isinstance(value, str) and key not in ("hovertemplate", "texttemplate"):
        return clean(value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return value
