"""How runs of a study fared while they were fine-tuned: a row per pool, way and ratio, a column per method, a line per start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from bench.figures.canvas import BLUE, FAINT, GREEN, ORANGE, VERMILION, new_figure, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS: Mapping[str, str] = {
    "scratch": FAINT,
    "pre-trained": BLUE,
    "pre-trained longer": GREEN,
    "shuffled voxels": ORANGE,
    "permuted labels": VERMILION,
}
DASHED = ("shuffled voxels", "permuted labels")
"""The controls."""


@dataclass(frozen=True)
class Course:
    """How one run fared on the validation part: (updates, score) at each evaluation. `panel` says what its panel shows."""

    panel: str
    method: str
    start: str
    scores: tuple[tuple[int, float], ...]


def draw_courses(courses: Sequence[Course], out: Path) -> Path:
    """Scores on the validation part over updates, in panels that share their axes by row; written as the suffix of `out` says."""
    from matplotlib.lines import Line2D

    rows: dict[str, list[Course]] = {}
    for course in courses:
        rows.setdefault(course.panel, []).append(course)
    methods = sorted({course.method for course in courses})
    starts = {course.start for course in courses}
    with new_figure((2.3 * len(methods) + 0.9, 1.9 * len(rows) + 0.9)) as figure:
        panels = figure.subplots(len(rows), len(methods), sharex="row", sharey="row", squeeze=False)
        for line, (shows, here) in zip(panels, rows.items(), strict=True):
            for panel, method in zip(line, methods, strict=True):
                _draw(panel, [course for course in here if course.method == method])
            line[0].set_ylabel(shows, fontsize=8)
        for panel, method in zip(panels[0], methods, strict=True):
            panel.set_title(method, loc="left", fontweight="bold")
        figure.align_ylabels(panels[:, 0])
        for panel in panels[-1]:
            panel.set_xlabel("updates of fine-tuning")
        handles = [Line2D([], [], label=start, **_look(start)) for start in COLOURS if start in starts]
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=8)
        figure.suptitle("On validation cases, while fine-tuning", x=0.008, ha="left", fontweight="bold", fontsize=11)
        save(figure, out)
    return out


def _draw(panel: Axes, courses: Sequence[Course]) -> None:
    """A line per start, the mean of its runs; where there are several, each of them thinly behind it."""
    if not courses:
        panel.text(0.5, 0.5, "not run", transform=panel.transAxes, ha="center", color=FAINT)
    for start in dict.fromkeys(course.start for course in courses):
        runs = [course.scores for course in courses if course.start == start]
        for scores in runs if len(runs) > 1 else ():
            panel.plot(*zip(*scores, strict=True), color=COLOURS[start], linewidth=0.6, alpha=0.5)
        panel.plot(*zip(*mean_course(runs), strict=True), marker=".", **_look(start))


def mean_course(runs: Sequence[Sequence[tuple[int, float]]]) -> list[tuple[int, float]]:
    """(updates, mean score) where every run was evaluated: one that is still going on must not bend the mean."""
    by_step: dict[int, list[float]] = {}
    for step, score in (pair for run in runs for pair in run):
        by_step.setdefault(step, []).append(score)
    return [(step, fmean(scores)) for step, scores in sorted(by_step.items()) if len(scores) == len(runs)]


def _look(start: str) -> dict[str, Any]:
    return {"color": COLOURS[start], "linewidth": 1.5, "linestyle": "--" if start in DASHED else "-"}
