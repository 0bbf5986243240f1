"""Figures and pictures, made by Plotly. Colours are left to the page: it is light or dark."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from .text import clean, heading, short

__all__ = [
    "TEMPLATES",
    "Picture",
    "array_cycles",
    "bars",
    "channels",
    "designs",
    "figure_json",
    "gantt",
    "occupation",
    "roofline",
    "scatter",
]

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
            "shapedefaults": {"line": {"color": soft, "width": 1}},
            "sliderdefaults": {
                "activebgcolor": soft,
                "bgcolor": grid,
                "bordercolor": soft,
                "tickcolor": soft,
            },
            "updatemenudefaults": {"bgcolor": paper, "bordercolor": soft},
        }
    }


# The same colours as in templates/report.css.
TEMPLATES = {
    "light": _template(_LIGHT, "#1c2024", "#5a626b", "#d5d9de", "#ffffff"),
    "dark": _template(_DARK, "#e6e8eb", "#a3abb4", "#3f464e", "#1d2126"),
}

# Groups of points are told apart by their shape, too, and lines by their dashes.
_DASHES = ["solid", "dash", "dot", "dashdot"]
_SYMBOLS = ["circle", "square", "diamond", "cross", "triangle-up", "x", "star"]

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


def roofline(roofs, points):
    """A roofline with what lies under it, both axes logarithmic.

    Parameters
    ----------
    roofs : mapping of str to tuple of float
        By name: the peak (operations per second) and the bandwidth (bytes per second).
    points : mapping of str to sequence of (str, float, float)
        By group: name, intensity (operations per byte) and operations per second. Groups have a
        colour and a mark each.
    """
    ridges = [peak / bandwidth for peak, bandwidth in roofs.values()]
    across = [*ridges, *(x for group in points.values() for _, x, _ in group)]
    low, high = min(across) / 4, max(across) * 4
    figure = go.Figure(
        [
            go.Scatter(
                x=[low, ridge, high],
                y=[low * bandwidth, peak, peak],
                name=f"roof, {name}" if len(roofs) > 1 else "roof",
                mode="lines",
                line={"dash": _DASHES[k % len(_DASHES)], "width": 2},
                hovertemplate="%{x:,.3~s} operations per byte<br>%{y:,.3~s} operations per second"
                "<extra>%{fullData.name}</extra>",
            )
            for k, ((name, (peak, bandwidth)), ridge) in enumerate(
                zip(roofs.items(), ridges, strict=True)
            )
        ]
    )
    for k, (group, found) in enumerate(points.items()):
        names, xs, ys = zip(*found, strict=True) if found else ((), (), ())
        figure.add_scatter(
            x=xs,
            y=ys,
            text=names,
            name=group,
            mode="markers",
            marker={"size": 9, "symbol": _SYMBOLS[k % len(_SYMBOLS)]},
            hovertemplate="%{text}<br>%{x:,.3~s} operations per byte<br>%{y:,.3~s} operations per "
            "second<extra>%{fullData.name}</extra>",
        )
    axis = {"type": "log", "tickformat": "~s", "dtick": 1}
    figure.update_xaxes(**axis, title_text="operations per byte of memory traffic")
    figure.update_yaxes(**axis, title_text="operations per second")
    figure.update_layout(
        height=440,
        margin={"l": 8, "r": 16, "t": 36, "b": 48},
        # Below, where it makes room for itself: there may be many groups.
        legend={"orientation": "h", "y": -0.2, "yanchor": "top", "x": 0, "itemwidth": 30},
        showlegend=True,
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
    return _timeline(list(rows), found, end, axis, "transfers")


def occupation(rows, end, axis, *, hatched=()):
    """Bars along time: what occupies each row.

    Where more happens in a small part of the time axis than can be shown, it is drawn as what takes
    most of it, nothing left out.

    Parameters
    ----------
    rows : mapping of str to mapping of str to array-like of int, (n, 2)
        For each row (the first on top) and part: first and last cycle of the spans that it takes,
        ascending. Spans of a row do not overlap.
    end : int
        Cycles in all.
    axis : str
        What the time is.
    hatched : sequence of str
        Parts that are drawn hatched, in the order in which they take colours anew.
    """
    edges = np.linspace(0, end, min(end, 2 * _RESOLUTION) + 1).round().astype(np.int64)
    found: dict[str, list] = {}
    for row, parts in rows.items():
        taken = np.zeros((len(parts), len(edges) - 1), np.int64)
        for k, spans in enumerate(parts.values()):
            taken[k] = np.diff(_covered(np.reshape(spans, (-1, 2)), edges))
        # However little it is, it is shown.
        most = np.where(taken.any(axis=0), taken.argmax(axis=0), len(parts))
        for piece in np.split(np.arange(len(most)), np.flatnonzero(np.diff(most)) + 1):
            part = most[piece[0]]
            if part < len(parts):
                start, stop = int(edges[piece[0]]), int(edges[piece[-1] + 1])
                count = int(taken[part, piece].sum())
                found.setdefault(list(parts)[part], []).append((row, start, stop - start, count))
    names = [part for parts in rows.values() for part in parts if part not in hatched]
    found = {name: found[name] for name in dict.fromkeys([*names, *hatched]) if name in found}
    return _timeline(list(rows), found, end, axis, "cycles of it", hatched)


def _covered(spans, edges):
    """How many cycles before each edge are in one of the spans (first and last cycle)."""
    points = np.column_stack([spans[:, 0], spans[:, 1] + 1]).ravel()
    lengths = spans[:, 1] + 1 - spans[:, 0]
    before = np.concatenate([[0], np.cumsum(lengths)])
    heights = np.column_stack([before[:-1], before[1:]]).ravel()
    if not len(points):
        return np.zeros(len(edges), np.int64)
    return np.interp(edges, points, heights).round().astype(np.int64)


def scatter(points, x, y):
    """Points that should lie on the diagonal, both axes logarithmic.

    Parameters
    ----------
    points : mapping of str to (sequence of str, sequence of float, sequence of float)
        For each group: names, and the two coordinates, all positive.
    x, y : str
        What the axes are, with the unit.
    """
    values = [value for _, *both in points.values() for side in both for value in side]
    ends = [min(values) / 1.3, max(values) * 1.3]
    traces = [
        go.Scatter(
            x=list(across),
            y=list(up),
            name=label,
            text=[clean(name) for name in names],
            mode="markers",
            marker={"size": 7, "opacity": 0.7, "symbol": _SYMBOLS[number % len(_SYMBOLS)]},
            hovertemplate="%{text}<br>%{x:,.4~g} · %{y:,.4~g}<extra>%{fullData.name}</extra>",
        )
        for number, (label, (names, across, up)) in enumerate(points.items())
    ]
    figure = go.Figure(traces)
    figure.add_shape(type="line", x0=ends[0], y0=ends[0], x1=ends[1], y1=ends[1])
    limits = [float(np.log10(end)) for end in ends]
    figure.update_xaxes(type="log", title_text=x, range=limits)
    figure.update_yaxes(type="log", title_text=y, range=limits)
    figure.update_layout(showlegend=len(points) > 1, height=480)
    return figure


def designs(points, x, y):
    """Designs by two of their objectives, both axes logarithmic; what they are shows on hovering.

    Parameters
    ----------
    points : mapping of str to (sequence of str, sequence of float, sequence of float)
        For each group: what the designs are, and the two coordinates.
    x, y : str
        Names of the columns.
    """
    figure = go.Figure(
        [
            go.Scattergl(
                x=list(across),
                y=list(up),
                name=label,
                text=[clean(name) for name in names],
                mode="markers",
                marker={
                    "size": {"others": 4, "knee": 14}.get(label, 8),
                    "opacity": 0.35 if label == "others" else 0.9,
                    "symbol": _SYMBOLS[number % len(_SYMBOLS)],
                },
                hovertemplate="%{text}<extra>%{fullData.name}</extra>",
            )
            for number, (label, (names, across, up)) in enumerate(points.items())
        ]
    )
    figure.update_xaxes(type="log", title_text=heading(x))
    figure.update_yaxes(type="log", title_text=heading(y))
    figure.update_layout(showlegend=len(points) > 1, height=480)
    return figure


def _timeline(rows, found, end, axis, counted, hatched=()):
    """Bars along time, for each part those of (row, start, length, number of what is counted)."""
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
                marker_pattern_shape="/" if part in hatched else None,
                hovertemplate="%{y} · %{fullData.name}<br>cycles %{base:,} to %{customdata[0]:,}"
                f"<br>%{{customdata[1]:,}} {counted}<extra></extra>",
            )
        )
    figure = go.Figure(traces)
    _rows(figure, rows, 24)
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


# Marks of what moves, by its number, and of what stays or passes by.
_MARKS = ["circle", "diamond", "triangle-up", "cross", "star", "x", "hexagon", "pentagon"]
_IN_PLACE, _PASSING = "square", "square-open"
_SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
# Milliseconds of a cycle that is played.
_CYCLE_MS = 800


def array_cycles(trace, cycles=None, *, columns=2):
    """A systolic array with its operands: cycle by cycle to step through or play, or some cycles.

    Parameters
    ----------
    trace : hwsim.sim.array_trace.ArrayTrace
    cycles : sequence of int, optional
        Cycles to draw side by side, for a picture that does not move.
    columns : int
        Of those, beside one another.
    """
    moving = cycles is None
    shown = [_fullest(trace)] if moving else list(cycles)
    columns = min(columns, len(shown))
    across, down = trace.config.cols + 1.3, trace.config.rows + 1.4
    places = [(k % columns * across, k // columns * down) for k in range(len(shown))]
    figure = go.Figure(_operands(trace, zip(shown, places, strict=True)))
    _add_grids(figure, trace.config, places)
    if moving:
        _add_steps(figure, trace, shown[0])
    else:
        for cycle, (x, y) in zip(shown, places, strict=True):
            figure.add_annotation(
                x=x - 0.8, y=y - 0.2, text=f"cycle {cycle}", showarrow=False, xanchor="left"
            )
    return figure


def _add_grids(figure, config, places):
    """The elements of an array, at each of some places."""
    rows, cols = range(config.rows), range(config.cols)
    lefts, tops = (list(dict.fromkeys(ends)) for ends in zip(*places, strict=True))
    top, bottom = -0.5, tops[-1] + config.rows + 0.45
    figure.update_layout(
        height=round(76 * (bottom - top)) + 90,
        margin={"l": 8, "r": 8, "t": 40, "b": 8},
        legend={"orientation": "h", "yref": "container", "y": 1, "yanchor": "top", "x": 0},
        showlegend=True,
        hovermode="closest",
        shapes=[
            {"type": "rect", "layer": "below"}
            | {"x0": x + c, "x1": x + c + 1, "y0": y + r, "y1": y + r + 1}
            for x, y in places
            for r in rows
            for c in cols
        ],
    )
    axis = {"showgrid": False, "zeroline": False, "tickmode": "array"}
    figure.update_xaxes(
        **axis,
        title_text="column",
        side="top",
        range=[-0.85, lefts[-1] + config.cols + 0.05],
        tickvals=[x + c + 0.5 for x in lefts for c in cols],
        ticktext=[str(c) for _ in lefts for c in cols],
    )
    figure.update_yaxes(
        **axis,
        title_text="row",
        range=[bottom, top],
        tickvals=[y + r + 0.5 for y in tops for r in rows],
        ticktext=[str(r) for _ in tops for r in rows],
    )


def _add_steps(figure, trace, first):
    """Frames for all cycles, a slider, and a button to play them."""
    figure.frames = [
        go.Frame(name=str(cycle), data=_operands(trace, [(cycle, (0, 0))]))
        for cycle in range(trace.cycles)
    ]
    options = {
        "mode": "immediate",
        "frame": {"duration": 0, "redraw": True},
        "transition": {"duration": 0},
    }
    play = options | {"fromcurrent": True, "frame": {"duration": _CYCLE_MS, "redraw": True}}
    figure.update_layout(
        height=figure.layout.height + 90,
        margin_b=98,
        sliders=[
            {
                "active": first,
                "currentvalue": {"prefix": "cycle "},
                "pad": {"t": 24, "l": 96},  # the buttons are there
                "steps": [
                    {"label": str(cycle), "method": "animate", "args": [[str(cycle)], options]}
                    for cycle in range(trace.cycles)
                ],
            }
        ],
        updatemenus=[
            {
                "type": "buttons",
                "showactive": False,
                "direction": "down",
                "pad": {"t": 30},
                "x": 0,
                "xanchor": "left",
                "y": 0,
                "yanchor": "top",
                "buttons": [
                    {"label": "Play", "method": "animate", "args": [None, play]},
                    {"label": "Pause", "method": "animate", "args": [[None], options]},
                ],
            }
        ],
    )


def _fullest(trace):
    """The first cycle in which most operands, of most folds, are in the array."""
    parts = [trace.passing, trace.activations, trace.weights, trace.sums]
    folds = np.concatenate([part.folds.reshape(trace.cycles, -1) for part in parts], axis=1)
    several = [len(set(line[line >= 0])) for line in folds]
    return int(np.argmax((folds >= 0).sum(axis=1) + folds.shape[1] * np.array(several)))


def _operands(trace, cycles):
    """A trace for each fold: what is where, for pairs of a cycle and a place to draw it."""
    # The first point, which is nowhere, is for the legend.
    nowhere = (None, None, "", _IN_PLACE)
    points: dict[int, list] = {fold: [nowhere] for fold in range(trace.folds)}
    for cycle, (x, y) in cycles:
        for operands, letter, mark, place in _parts(trace):
            for where in np.argwhere(operands.folds[cycle] >= 0):
                fold, number, value = (
                    int(part[cycle][tuple(where)])
                    for part in (operands.folds, operands.numbers, operands.values)
                )
                # A no-break space keeps the text off its mark.
                name = f"\u00a0{letter}{number} ".translate(_SUBSCRIPTS)
                text = name + str(value).replace("-", "−")
                own_x, own_y = place(*map(int, where))
                symbol = mark or _MARKS[number % len(_MARKS)]
                points[fold].append((x + own_x, y + own_y, text, symbol))
    traces = []
    for fold, found in points.items():
        xs, ys, texts, symbols = zip(*found, strict=True)
        traces.append(
            go.Scatter(
                x=xs,
                y=ys,
                text=texts,
                name=f"fold {fold}",
                mode="markers+text",
                textposition="middle right",
                textfont_size=12,
                marker={"size": 9, "symbol": symbols},
                cliponaxis=False,
                hovertemplate="%{text}<extra>%{fullData.name}</extra>",
            )
        )
    return traces


def _parts(trace):
    """Operands, letter, mark (none for those that move), and place of each in the picture."""

    def line(number):
        return lambda row, col: (col + 0.1, row + 0.15 + 0.235 * number)

    def above(col):
        return col + 0.1, -0.2

    def below(col):
        return col + 0.1, trace.config.rows + 0.2

    def left(row):
        return -0.8, row + 0.15 + 0.235

    still = trace.config.output_stationary
    return [
        (trace.w, "w", None if still else _PASSING, above),
        (trace.a, "a", None, left),
        (trace.passing, "y" if still else "w", _PASSING, line(0)),
        (trace.activations, "a", None, line(1)),
        (trace.weights, "w", None if still else _IN_PLACE, line(2)),
        (trace.sums, "Σ", _IN_PLACE if still else None, line(3)),
        (trace.y, "y", _PASSING if still else None, below),
    ]


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


def photograph(pixels, *, width=480):
    """A picture of 8-bit codes as it is, (H, W) or (H, W, 3); of large ones every n-th pixel.

    Parameters
    ----------
    pixels : ndarray of uint8
    width : int
        Most pixels in a row.
    """
    import plotly.express as px  # as above

    step = -(-pixels.shape[1] // width)
    pixels = pixels[::step, ::step]
    if pixels.ndim == 2:
        pixels = np.stack([pixels] * 3, axis=-1)
    source = px.imshow(pixels, binary_string=True, binary_backend="pypng").data[0].source
    return Picture(source, pixels.shape[1] * max(1, min(16, 320 // pixels.shape[1])))


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
