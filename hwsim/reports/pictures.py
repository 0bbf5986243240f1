"""What a network sees: kernels, feature maps, shifted images, receptive fields.

All feature maps are those that the simulated hardware gave, compared with the integer reference.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from hwsim.models.reference import integer
from hwsim.network.geometry import Field, fields
from hwsim.network.integer import Conv
from hwsim.network.network import NetworkError
from hwsim.sim.simulate import input_codes, simulate

from .document import Section
from .figures import bars, channels, photograph
from .text import cell

__all__ = ["pictures"]

# Pixels in a row of an enlarged image, about.
_ENLARGED = 320
_OUTLINE = np.array([230, 159, 0], np.uint8)  # of the palette of Okabe and Ito
# Rows of kernels, and channels of a feature map, that are drawn.
_KERNELS, _CHANNELS = 64, 16


def pictures(network, design, image, *, layer=None, position=None, shifts=None):
    """Sections that show what a network does with an image.

    Parameters
    ----------
    network : Network
        Quantized.
    design : Design or SystolicDesign
        `hwsim.build` of it.
    image : ndarray, (C, H, W)
        In the dtype of the network's input.
    layer : str, optional
        Whose receptive field is drawn; the last one whose map has several positions.
    position : (int, int), optional
        Row and column in its map; that of the largest value unless given.
    shifts : sequence of int, optional
        Pixels by which the image is moved to the right; 1 and the distances of the maps' positions
        unless given.

    Returns
    -------
    (list of Section, int)
        The sections, and how many values of the hardware differ from the reference.

    Raises
    ------
    NetworkError
        For a network without a convolution.
    ValueError
        For a layer without such a map, and a position or shift outside the image.
    """
    lowered = design.network
    seen = fields(network)
    # Maps with several positions, by the layer that makes them.
    maps = {
        entry.name: Seen(entry.output, *seen[entry.output])
        for entry in lowered.layers
        if entry.output in seen and min(lowered.tensors[entry.output].shape[1:]) > 1
    }
    first = next((entry for entry in lowered.layers if isinstance(entry, Conv)), None)
    if first is None or not maps:
        raise NetworkError(f"{lowered.name} has no convolution whose kernels could be shown")
    width = lowered.input.shape[2]
    if shifts is None:
        jumps = {found.columns.jump for found in maps.values()}
        shifts = sorted({1, *(jump for jump in jumps if 0 < jump <= width // 4)})
    for shift in shifts:
        if not 0 < shift < width:
            raise ValueError(f"shifts must lie in 1 to {width - 1}, not {shift}")
    if layer is not None and layer not in maps:
        raise ValueError(f"there is no map of layer '{layer}'; layers are {', '.join(maps)}")
    layer = layer or list(maps)[-1]
    images = np.stack([image, *(_shifted(image, shift) for shift in shifts)])
    result = simulate(design, images)
    reference = integer.run(lowered, input_codes(lowered, images[:1]), list(result.feature_maps))
    return [
        _kernels(first),
        _feature_maps(lowered, result, reference, image),
        _shift_section(lowered, maps, result, shifts, images),
        _field(layer, maps[layer], result, image, position),
    ], result.mismatches


@dataclass(frozen=True)
class Seen:
    """A feature map: its tensor, and the receptive fields of its rows and columns."""

    tensor: str
    rows: Field
    columns: Field


def _shifted(image, shift):
    """The image moved to the right; its first column comes in."""
    return np.concatenate([np.repeat(image[..., :1], shift, -1), image[..., :-shift]], -1)


def _pixels(image):
    """An image (C, H, W) of any range as 8-bit codes, in colour if it has three channels."""
    low, high = float(image.min()), float(image.max())
    grey = (image - low) * (255 / (high - low) if high > low else 1)
    grey = grey.astype(np.uint8)
    return grey.transpose(1, 2, 0) if len(grey) == 3 else grey[0]


def _kernels(layer):
    """Each kernel of a convolution: in colour for three channels, else channel by channel."""
    weights = layer.weights.astype(np.int64)
    count, depth, height, width = weights.shape
    text = (
        "Each kernel, as the hardware has it, in codes: dark is negative, light positive, the same "
        "scale for all."
    )
    facts = {"Kernels": cell(count), "Size": f"{depth} × {height} × {width}"}
    caption = f"{layer.name}: kernels, codes {weights.min()} to {weights.max()}"
    if depth == 3:
        picture = photograph(_sheet(weights[:_KERNELS]))
    else:
        picture = channels(weights.reshape(-1, height, width), limit=_KERNELS)
    return Section("Kernels of the first convolution", text, facts, pictures={caption: picture})


def _sheet(kernels, columns=8):
    """Kernels (N, 3, H, W) side by side as a picture in colour; grey between them."""
    limit = max(abs(kernels.min()), abs(kernels.max()), 1)
    codes = (127.5 + kernels * (127.5 / limit)).astype(np.uint8).transpose(0, 2, 3, 1)
    codes = np.pad(codes, ((0, -len(codes) % columns), (0, 1), (0, 1), (0, 0)), constant_values=128)
    rows = [np.concatenate(list(codes[k : k + columns]), 1) for k in range(0, len(codes), columns)]
    return np.concatenate(rows)


def _feature_maps(lowered, result, reference, image):
    shown = {"The image": photograph(_pixels(image))}
    for layer in lowered.layers:
        ours, theirs = (maps[layer.output][0] for maps in (result.feature_maps, reference))
        differ = int((np.asarray(ours) != theirs).sum())
        verdict = "equal" if not differ else f"{differ:,} values differ"
        for source, values in (("hardware", ours), ("reference", theirs)):
            caption = f"{layer.name}, {source}: {cell(values.shape)}, {verdict}"
            shown[caption] = channels(values, limit=_CHANNELS)
    total = int(result.layers["values"].sum())
    facts = {"Mismatches": f"{cell(result.mismatches)} of {cell(total)}"}
    verdict = "some differ" if result.mismatches else "all are equal"
    text = (
        "The same image through the simulated hardware and through the integer reference. Of this "
        f"image and of the shifted ones every value was compared: {verdict}. Pictures show up to "
        f"{_CHANNELS} channels."
    )
    tables = {"feature-maps": result.layers}
    return Section("Feature maps, layer by layer", text, facts, {}, shown, tables)


def _inside(axis, positions, width, shift):
    """Positions along an axis whose fields lie on the image, and remain on it when it moves."""
    starts = axis.start + np.arange(positions) * axis.jump
    return (starts >= 0) & (starts + axis.size <= width - shift)


def compare_shifts(lowered, maps, feature_maps, shifts):
    """For each map and shift: whether the map moves with the image, and how much changes in place.

    Parameters
    ----------
    lowered : IntegerNetwork
    maps : mapping of layer name to `Seen`
    feature_maps : mapping of tensor name to ndarray, (1 + len(shifts), C, H, W)
        Of the image, and of the image moved by each shift.
    shifts : sequence of int

    Returns
    -------
    pandas.DataFrame
        Columns ``layer``, ``jump``, ``shift``, ``compared`` (values whose receptive field lies on
        the image before and after), ``moved_percent`` (of these, equal after the map has moved by
        shift / jump; none where jump does not divide shift) and ``change_percent``: the mean change
        of a value in its place, over the mean distance from the zero point.
    """
    rows = []
    width = lowered.input.shape[2]
    for name, seen in maps.items():
        values = np.asarray(feature_maps[seen.tensor]).astype(np.int64)
        zero_point, axis = lowered.tensors[seen.tensor].zero_point, seen.columns
        for number, shift in enumerate(shifts, 1):
            before, after = values[0], values[number]
            inside = _inside(axis, before.shape[2], width, shift)
            moved = None
            if axis.jump and shift % axis.jump == 0 and inside.any():
                at = np.flatnonzero(inside)
                equal = before[..., at] == after[..., at + shift // axis.jump]
                moved = 100 * float(equal.mean())
            size = np.abs(before - zero_point).mean()
            rows.append(
                {
                    "layer": name,
                    "jump": axis.jump,
                    "shift": shift,
                    "compared": int(inside.sum()) * before.shape[0] * before.shape[1],
                    "moved_percent": moved,
                    "change_percent": 100 * float(np.abs(after - before).mean() / max(size, 1e-9)),
                }
            )
    return pd.DataFrame(rows)


def _shift_section(lowered, maps, result, shifts, images):
    table = compare_shifts(lowered, maps, result.feature_maps, shifts)
    moved = table["moved_percent"].dropna()
    facts = {"Maps that moved with the image": f"{int((moved == 100).sum())} of {len(moved)}"}
    series = {
        f"shift {shift}": list(table[table["shift"] == shift]["change_percent"]) for shift in shifts
    }
    caption = "Change of a value in its place as the image moves, in % of the values' mean size"
    figures = {caption: bars(list(maps), series, "%")}
    shown = {"The image": photograph(_pixels(images[0]))}
    shown |= {
        f"Moved by {shift}": photograph(_pixels(moved))
        for shift, moved in zip(shifts, images[1:], strict=True)
    }
    for name in list(maps)[:2]:
        each = np.asarray(result.feature_maps[maps[name].tensor])
        channel = int(np.ptp(each[0], axis=(1, 2)).argmax())
        for label, values in zip(["still", *(f"moved by {s}" for s in shifts)], each, strict=True):
            shown[f"{name}, channel {channel}, {label}"] = photograph(
                _pixels(values[channel : channel + 1])
            )
    text = (
        "The image moves to the right. A convolution is equivariant: where the distance between "
        "positions, the jump, divides the shift, the map moves along, and every value whose "
        "receptive field lies on the image is the same. Pooling is invariant to some degree: "
        "values change less in their places behind it than before."
    )
    return Section("Shifted images", text, facts, figures, shown, {"shifts": table})


def draw_box(pixels, rows, columns):
    """A picture, enlarged, with an outline around pixels.

    Parameters
    ----------
    pixels : ndarray of uint8, (H, W) or (H, W, 3)
    rows, columns : (int, int)
        First and last one inside; what lies beyond the picture is cut off.

    Returns
    -------
    ndarray of uint8, (H * n, W * n, 3)
    """
    if pixels.ndim == 2:
        pixels = np.stack([pixels] * 3, axis=-1)
    times = max(1, _ENLARGED // pixels.shape[1])
    drawn = pixels.repeat(times, 0).repeat(times, 1)
    (top, bottom), (left, right) = (
        (max(first, 0) * times, (min(last, size - 1) + 1) * times - 1)
        for (first, last), size in zip((rows, columns), pixels.shape, strict=False)
    )
    line = max(1, times // 4)
    for part in (
        (slice(top, top + line), slice(left, right + 1)),
        (slice(bottom - line + 1, bottom + 1), slice(left, right + 1)),
        (slice(top, bottom + 1), slice(left, left + line)),
        (slice(top, bottom + 1), slice(right - line + 1, right + 1)),
    ):
        drawn[part] = _OUTLINE
    return drawn


def _field(layer, seen, result, image, position):
    values = np.asarray(result.feature_maps[seen.tensor])[0].astype(np.int64)
    axes = seen.rows, seen.columns
    if position is None:
        _, *position = np.unravel_index(values.argmax(), values.shape)
    for what, at, size in zip(("row", "column"), position, values.shape[1:], strict=True):
        if not 0 <= at < size:
            raise ValueError(f"{what} must lie in 0 to {size - 1} for layer {layer}, not {at}")
    spans = [
        (axis.start + int(at) * axis.jump, axis.start + int(at) * axis.jump + axis.size - 1)
        for axis, at in zip(axes, position, strict=True)
    ]
    row, column = map(int, position)
    facts = {
        "Layer": layer,
        "Row and column": f"{row}, {column}",
        "Receptive field": f"{axes[0].size} × {axes[1].size}",
        "Jump": f"{axes[0].jump} × {axes[1].jump}",
        "Rows": f"{spans[0][0]} to {spans[0][1]}",
        "Columns": f"{spans[1][0]} to {spans[1][1]}",
    }
    text = (
        f"What the values at row {row} and column {column} of {layer} depend on: pixels within the "
        "outline, and no others. What lies beyond the image is padding."
    )
    table = pd.DataFrame(
        {
            "channel": [str(k) for k in range(len(values))],
            "code": values[:, row, column],
        }
    )
    shown = {f"Receptive field of {layer}": photograph(draw_box(_pixels(image), *spans))}
    return Section("Receptive field", text, facts, {}, shown, {"unit": table})
