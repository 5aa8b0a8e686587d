"""Label efficiency drawn: ours filled and with intervals and n, the papers' points hollow beside it."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.figures.canvas import BLUE, FAINT, GREEN, INK, ORANGE, PURPLE, SKY, VERMILION, new_figure, save
from bench.figures.ratio_curves import LONGEST_LABEL, Curve, Point, RatioCurves
from bench.metrics.pooled import is_pooled
from bench.tables.words import clean

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, INK, "#8C564B", "#6A51A3", "#5A7D2A")
MARKERS = "osD^vP"  # for curves of one method, which share a colour
TICK_PT, ROW_PT = 18, 9  # from the axis to the first line of counts, and from line to line
CORE = ("ar", "spad", "mim", "mg3d")


def draw_ratios(found: RatioCurves, out: Path) -> Path:
    """Draw the curves. Measured: filled points with intervals, single runs as small dots. Printed: hollow points, broken lines."""
    measured = [curve for curve in found.curves if not curve.printed]
    own = {curve.key.partition("@")[0] for curve in measured}
    named = [
        c for c in found.curves if c.printed and (c.key.partition("@")[0] in own or c.key.partition("@")[0] in CORE)
    ]
    others = [curve for curve in found.curves if curve.printed and curve not in named]
    shades = {
        key: COLOURS[at % len(COLOURS)] for at, key in enumerate(dict.fromkeys(c.key for c in [*measured, *named]))
    }
    crowded = len(measured) + len(named) > 4
    with new_figure((10.4 if crowded else 8.6, 4.8)) as figure:
        panel = figure.add_subplot()
        for at, curve in enumerate(measured):
            shift = 1 + 0.018 * (at - (len(measured) - 1) / 2)
            _draw_measured(panel, curve, shades[curve.key], shift, _marker(measured, at), told=not crowded)
        for at, curve in enumerate(named):
            _draw_printed(panel, curve, shades[curve.key], _marker(named, at))
        for at, curve in enumerate(others):
            line = [point.mean for point in curve.points]
            label = f"{len(others)} other printed rows" if at == 0 else None
            panel.plot(
                [p.ratio for p in curve.points], line, color=FAINT, linewidth=0.8, alpha=0.55, label=label, zorder=1
            )
        _dress(figure, panel, found)
        if not crowded:
            _count_below(panel, measured, shades)
        figure.legend(loc="outside right upper", fontsize=8)
        save(figure, out)
    return out


def _marker(curves: Sequence[Curve], at: int) -> str:
    """A marker that no earlier curve of the same method has."""
    return MARKERS[sum(curve.key == curves[at].key for curve in curves[:at]) % len(MARKERS)]


def _draw_measured(panel: Axes, curve: Curve, colour: str, shift: float, marker: str, *, told: bool) -> None:
    """`told` True leaves runs and n to the axis, else they stand in the legend."""
    ratios = [point.ratio * shift for point in curve.points]
    means = [point.mean for point in curve.points]
    label = curve.label if told else f"{curve.label}: {_counts(curve.points)}"
    panel.plot(ratios, means, color=colour, linewidth=1.8, marker=marker, markersize=5.5, label=label, zorder=4)
    for x, point in zip(ratios, curve.points, strict=True):
        if not math.isnan(point.low):
            panel.vlines(x, point.low, point.high, color=colour, linewidth=1.3, zorder=3)
            panel.hlines([point.low, point.high], x * 0.988, x * 1.012, color=colour, linewidth=1.3, zorder=3)
        runs = [x * 1.03] * len(point.runs)
        panel.plot(runs, point.runs, color=colour, linestyle="none", marker=".", markersize=4, alpha=0.6, zorder=2)


def _count_below(panel: Axes, curves: Sequence[Curve], shades: Mapping[str, str]) -> None:
    """Runs and n of every measured point below its place on the axis, a line a curve in its colour."""
    for row, curve in enumerate(curves):
        style: dict[str, Any] = {"ha": "center", "va": "top", "fontsize": 7, "color": shades[curve.key]}
        for point in curve.points:
            at, below = (point.ratio, 0), (0, -(TICK_PT + ROW_PT * row))
            words = _counts([point])
            panel.annotate(words, at, below, xycoords=panel.get_xaxis_transform(), textcoords="offset points", **style)
    panel.xaxis.labelpad += ROW_PT * len(curves)


def _counts(points: Sequence[Point]) -> str:
    """Runs and test cases of some points. Example: `2-3 runs, n = 40`."""
    runs, cases = (sorted(set(found)) for found in ([len(p.runs) for p in points], [p.n for p in points]))
    words = ["-".join(map(str, dict.fromkeys((found[0], found[-1])))) for found in (runs, cases)]
    return f"{words[0]} run{'' if words[0] == '1' else 's'}, n = {words[1]}"


def _draw_printed(panel: Axes, curve: Curve, colour: str, marker: str) -> None:
    panel.plot(
        [point.ratio for point in curve.points], [point.mean for point in curve.points], color=colour, linewidth=1.1,
        linestyle=(0, (4, 2)), marker=marker, markersize=5, markerfacecolor="white", label=curve.label, zorder=2,
    )  # fmt: skip


def _dress(figure: Figure, panel: Axes, found: RatioCurves) -> None:
    ratios = sorted({point.ratio for curve in found.curves for point in curve.points})
    panel.set_xscale("log")
    panel.set_xticks(ratios, [f"{100 * ratio:g} %" for ratio in ratios], fontsize=8)
    panel.set_xticks([], minor=True)
    panel.set_xlim(ratios[0] * 0.85, ratios[-1] * 1.18)
    panel.margins(y=0.12)
    panel.set_xlabel("share of the training labels")
    panel.set_ylabel(f"{found.metric}, {found.unit}")
    data = "PHANTOM DATA, no medical result" if found.source == "phantom" else "real data"
    printed = any(curve.printed for curve in found.curves)
    told = "printed points have splits and checkpoints of their own" if printed else "no paper prints a curve of it"
    span = "over runs (t)" if is_pooled(found.metric) else "over test cases (BCa)"
    ours = f"; bars: 95 % {span}, dots: runs" if any(not curve.printed for curve in found.curves) else ""
    left_out = f"; left out: {clean(', '.join(found.left_out), LONGEST_LABEL)}" if found.left_out else ""
    figure.suptitle(
        f"{clean(found.task)}: label efficiency ({data})", x=0.012, ha="left", fontweight="bold", fontsize=11
    )
    panel.set_title(textwrap.fill(f"{told}{ours}{left_out}", 92), loc="left", fontsize=8, color="#5d6369")
