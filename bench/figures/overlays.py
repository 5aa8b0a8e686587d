"""Where a prediction leaves the truth, drawn on three slices: truth is always a solid line, the prediction a dashed one."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.contracts.errors import DataUnsound
from bench.figures.canvas import GREEN, INK, ORANGE, PURPLE, SKY, VERMILION, YELLOW, new_figure, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

Volume = np.ndarray[Any, Any]
Spacing = tuple[float, float, float]
Box = tuple[float, float, float, float]
BRIGHT = ("#4C8DFF", "#B8E986", "#C49BFF", "#FF8FA3", "#2BD9C9", "#C8A27A", "#FF4FD8")
COLOURS = (ORANGE, SKY, GREEN, YELLOW, PURPLE, VERMILION, *BRIGHT)
TOLD_BY_COLOUR = 7
WIDEST_INCHES, TALLEST_INCHES = 13.0, 3.6
MARGIN_MM = 12.0
PLANES = (("sagittal", 0, "APSI"), ("coronal", 1, "RLSI"), ("axial", 2, "RLAP"))


def overlays(
    image: Volume,
    truth: Volume,
    pred: Volume,
    spacing_mm: Spacing | None,
    classes: Sequence[str],
    out_png: Path,
    title: str = "",
    *,
    window: tuple[float, float] | None = None,
) -> Path:
    """Draw the sagittal, coronal and axial slice with the largest truth area, truth and prediction as outlines.

    Arrays are (D, H, W) in canonical RAS order: axes point to the patient's right, front and head. Slices are shown as
    radiologists do (the patient's right at the left), in true proportions of `spacing_mm`, cut to what either map
    holds. Labels are 1, 2, ... in the order of `classes`. `window` is the range of grey, by default the 1st to 99th
    percentile. Without any truth the largest area of the prediction is shown, without either the middle. Raises
    DataUnsound when the three shapes are not one three-dimensional shape.
    """
    if not (image.ndim == 3 and image.shape == truth.shape == pred.shape and image.size):
        raise DataUnsound(
            f"{title or out_png.stem}: image, truth and prediction must have one shape (D, H, W), "
            f"found {image.shape}, {truth.shape} and {pred.shape}.",
            case=title or out_png.stem,
            remedy="Put the prediction on the grid of the image first.",
        )
    spacing = spacing_mm or (1.0, 1.0, 1.0)
    low, high = window or _grey_range(image)
    marked = truth > 0 if (truth > 0).any() else pred > 0
    places = [(axis, _widest(marked, axis)) for _, axis, _ in PLANES]
    boxes = [_view((truth > 0) | (pred > 0), axis, at, spacing) for axis, at in places]
    shown = sorted(
        {int(label) for axis, at in places for labels in (truth, pred) for label in _labels(labels, axis, at)}
    )
    palette = _palette(shown)
    legend = _legend_entries(shown, palette, classes)
    frame, (left, bottom, right, top), per_line = _frame(boxes, [name for _, name in legend])
    with new_figure(frame, layout=None) as figure:
        widths = [box[1] - box[0] for box in boxes]
        grid = figure.add_gridspec(
            1, 3, width_ratios=widths, wspace=0.05, left=left, right=right, bottom=bottom, top=top
        )
        for column, ((plane, axis, letters), (_, at), box) in enumerate(zip(PLANES, places, boxes, strict=True)):
            panel = figure.add_subplot(grid[0, column], anchor="NW")
            face, extent = _face(image, axis, at), _extent(image.shape, axis, spacing)
            panel.imshow(face, "gray", vmin=low, vmax=high, extent=extent, origin="lower", interpolation="bilinear")
            for mask, stroke in ((truth, "solid"), (pred, "dashed")):
                colours = {label: palette[label, stroke] for label in shown}
                _outline(panel, _face(mask, axis, at), axis, spacing, colours, stroke)
            if len(shown) > TOLD_BY_COLOUR:
                _number(panel, _face(truth, axis, at), axis, spacing)
            _dress(panel, f"{plane}, slice {at}", letters, box)
        unit = "" if spacing_mm else " (voxels drawn as cubes)"
        heading = textwrap.shorten(f"{title}{unit}", int(10 * frame[0]), placeholder=" ...")
        figure.suptitle(heading, fontsize=11, fontweight="bold", x=left, ha="left", y=1 - 0.1 / frame[1])
        lines, names = zip(*legend, strict=True)
        figure.legend(
            lines, names, loc="lower left", ncols=per_line, bbox_to_anchor=(left - 0.005, 0.0), handlelength=2.2
        )
        save(figure, out_png)
    return out_png


def _grey_range(image: Volume) -> tuple[float, float]:
    low, high = (float(value) for value in np.nanpercentile(image.astype(np.float32), (1, 99)))
    return (low, high) if high > low else (low, low + 1.0)


def _widest(marked: Volume, axis: int) -> int:
    """The slice across `axis` with the most marked voxels; the middle one where nothing is marked."""
    areas = marked.sum(axis=tuple(other for other in range(3) if other != axis))
    return int(areas.argmax()) if areas.any() else marked.shape[axis] // 2


def _face(volume: Volume, axis: int, at: int) -> Volume:
    """A slice as (rows from below, columns): the first remaining axis runs against the columns, the second up."""
    return np.take(volume, at, axis=axis)[::-1].T


def _extent(shape: Sequence[int], axis: int, spacing: Spacing) -> Box:
    across, up = (other for other in range(3) if other != axis)
    return (0.0, shape[across] * spacing[across], 0.0, shape[up] * spacing[up])


def _view(marked: Volume, axis: int, at: int, spacing: Spacing) -> Box:
    """What of a slice is shown, mm: the box of the marked area and a margin, the whole slice where nothing is marked."""
    face = _face(marked, axis, at)
    left, right, bottom, top = _extent(marked.shape, axis, spacing)
    if not face.any():
        return left, right, bottom, top
    across, up = (other for other in range(3) if other != axis)
    rows, columns = np.flatnonzero(face.any(axis=1)), np.flatnonzero(face.any(axis=0))
    held = (columns[0] * spacing[across], (columns[-1] + 1) * spacing[across])
    risen = (rows[0] * spacing[up], (rows[-1] + 1) * spacing[up])
    margin = max(MARGIN_MM, 0.25 * (held[1] - held[0]), 0.25 * (risen[1] - risen[0]))
    return (
        max(left, held[0] - margin),
        min(right, held[1] + margin),
        max(bottom, risen[0] - margin),
        min(top, risen[1] + margin),
    )


def _labels(labels: Volume, axis: int, at: int) -> Volume:
    found = np.unique(np.take(labels, at, axis=axis))
    return found[found > 0]


def _palette(shown: Sequence[int]) -> dict[tuple[int, str], str]:
    """(label, line style) -> colour. A lone class has two colours, for its two outlines run close together."""
    if len(shown) == 1:
        return {(shown[0], "solid"): SKY, (shown[0], "dashed"): ORANGE}
    return {(label, style): COLOURS[(label - 1) % len(COLOURS)] for label in shown for style in ("solid", "dashed")}


def _frame(boxes: Sequence[Box], names: Sequence[str]) -> tuple[tuple[float, float], Box, int]:
    """Width and height in inches; where the panels lie, as shares: left, bottom, right, top; names on a legend's line."""
    wide_mm = sum(right - left for left, right, _, _ in boxes)
    tall_mm = max(top - bottom for _, _, bottom, top in boxes)
    inches_per_mm = min(TALLEST_INCHES / tall_mm, WIDEST_INCHES / (1.05 * wide_mm))
    side = 0.15
    wide = max(8.5, 1.05 * wide_mm * inches_per_mm + 2 * side)
    per_line = min(len(names), max(1, int((wide - 2 * side) / (0.75 + 0.075 * max(map(len, names))))))
    below, above = 0.2 + 0.22 * math.ceil(len(names) / per_line), 0.65
    tall = tall_mm * inches_per_mm + below + above
    right = (side + 1.05 * wide_mm * inches_per_mm) / wide
    return (wide, tall), (side / wide, below / tall, right, 1 - above / tall), per_line


def _outline(panel: Axes, labels: Volume, axis: int, spacing: Spacing, colours: Mapping[int, str], style: str) -> None:
    """Draw each class of a slice as closed lines."""
    from matplotlib.patheffects import Normal, Stroke

    across, up = (other for other in range(3) if other != axis)
    padded = np.pad(labels, 1)  # so that an outline at the border closes
    x_mm = (np.arange(padded.shape[1]) - 0.5) * spacing[across]
    y_mm = (np.arange(padded.shape[0]) - 0.5) * spacing[up]
    for label, colour in colours.items():
        inside = (padded == label).astype(np.float32)
        if inside.any():
            lines = panel.contour(x_mm, y_mm, inside, levels=[0.5], colors=[colour], linewidths=1.7, linestyles=style)
            if style == "solid":
                lines.set_path_effects([Stroke(linewidth=3.0, foreground="black", alpha=0.55), Normal()])


def _number(panel: Axes, labels: Volume, axis: int, spacing: Spacing) -> None:
    """Write the label beside each class's middle: more classes than these are not told apart by colour."""
    across, up = (other for other in range(3) if other != axis)
    for label in (int(value) for value in np.unique(labels) if value > 0):
        rows, columns = np.nonzero(labels == label)
        nearest = np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2)  # inside, where it is bent
        x_mm, y_mm = (columns[nearest] + 0.5) * spacing[across], (rows[nearest] + 0.5) * spacing[up]
        _write(panel, x_mm, y_mm, str(label), color="#FFFFFF", ha="center", va="center")


def _write(panel: Axes, x: float, y: float, words: str, **how: Any) -> None:
    """Bold words that can be read on dark and bright tissue."""
    from matplotlib.patheffects import Normal, Stroke

    stroke = [Stroke(linewidth=2.0, foreground="black", alpha=0.7), Normal()]
    panel.text(x, y, words, fontsize=8, fontweight="bold", path_effects=stroke, clip_on=True, **how)


def _dress(panel: Axes, words: str, letters: str, box: Box) -> None:
    """Cut the view, name it, and say which way the patient lies."""
    panel.set_xlim(box[0], box[1])
    panel.set_ylim(box[2], box[3])
    panel.set_aspect("equal")
    panel.set_xticks([])
    panel.set_yticks([])
    panel.grid(visible=False)
    for spine in panel.spines.values():
        spine.set_visible(False)
    panel.set_title(words, loc="left", fontsize=9)
    places = ((0.02, 0.5, "left", "center"), (0.98, 0.5, "right", "center"), (0.5, 0.98, "center", "top"))
    for letter, (x, y, ha, va) in zip(letters, (*places, (0.5, 0.02, "center", "bottom")), strict=True):
        _write(panel, x, y, letter, ha=ha, va=va, color="#EEEEEE", transform=panel.transAxes)


def _legend_entries(
    shown: Sequence[int], palette: Mapping[tuple[int, str], str], classes: Sequence[str]
) -> list[tuple[Line2D, str]]:
    from matplotlib.lines import Line2D

    def name(label: int) -> str:
        known = classes[label - 1] if label <= len(classes) else f"label {label}"
        return f"{label} {known}" if len(shown) > TOLD_BY_COLOUR else known.lstrip("_") or "?"

    def line(colour: str, style: str, width: float = 1.8) -> Line2D:
        return Line2D([], [], color=colour, linestyle=style, linewidth=width)

    if len(shown) == 1:
        words = (("solid", f"truth, {name(shown[0])}"), ("dashed", "prediction"))
        return [(line(palette[shown[0], style], style), word) for style, word in words]
    entries = [(line(INK, "solid"), "truth"), (line(INK, "dashed"), "prediction")]
    return entries + [(line(palette[label, "solid"], "solid", 5.0), name(label)) for label in shown]
