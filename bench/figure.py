"""Pictures of a run: how training went, and (from `bench.figures.overlays`) where a prediction leaves the truth."""

from __future__ import annotations

import json
import math
import textwrap
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.contracts.errors import DataMissing
from bench.figures.canvas import BLUE, FAINT, GREEN, INK, ORANGE, PURPLE, SKY, VERMILION, YELLOW, new_figure, save
from bench.figures.cases import CaseImages, best_median_worst, rank_cases
from bench.figures.overlays import overlays

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["CaseImages", "best_median_worst", "curves", "overlays", "rank_cases"]

Values = np.ndarray[Any, Any]
COLOURS = (ORANGE, SKY, PURPLE, VERMILION, BLUE, YELLOW)
_NOT_LOSSES = {"step", "loss", "lr", "grad_norm", "wait_share", "seconds", "samples_per_s", "evaluation", "phase"}


def draw_curves(folder: Path, *, title: str) -> None:
    """`curves.png` from the log that a training room left; nothing where no step was taken, for then there is no log."""
    if (folder / "log.jsonl").exists():
        curves(folder / "log.jsonl", folder / "curves.png", title=title)


def curves(log: Path | Mapping[str, Path], out_png: Path, title: str = "") -> Path:
    """Draw how training went from its `log.jsonl`: losses, evaluations and learning rate over steps, a column per phase.

    `log` is one file, whose lines may name a `phase`, or phase name -> file. The sum of losses is drawn as it was and as
    a running median, named losses thin, an undefined loss as a gap. Of a step logged twice (a resumed run) the later
    line holds. Lines that cannot be read are counted in the picture. Raises DataMissing when no step is logged.
    """
    phases, unreadable = _read_logs(log)
    shown = {name: lines for name, lines in phases.items() if any("loss" in line for line in lines)}
    if not shown:
        named = log if isinstance(log, Path) else ", ".join(str(path) for path in log.values())
        raise DataMissing(f"{named}: no step is logged.", case=str(named), remedy="Train for some steps first.")
    evaluated = any("evaluation" in line for lines in shown.values() for line in lines)
    rows = (3, 1.5, 1) if evaluated else (3, 1)
    heading = textwrap.fill(title, 62 * len(shown)) + ("\n" if title and unreadable else "")
    heading += f"(unreadable lines left out: {unreadable})" if unreadable else ""
    with new_figure((5.4 * len(shown) + 0.4, 1.2 * sum(rows) + 0.3)) as figure:
        grid = figure.add_gridspec(len(rows), len(shown), height_ratios=rows)
        for at, (name, lines) in enumerate(shown.items()):
            panels = [figure.add_subplot(grid[row, at]) for row in range(len(rows))]
            _draw_losses(panels[0], name, lines)
            if evaluated:
                _draw_evaluations(panels[1], lines)
            _draw_rate(panels[-1], lines)
            _share_steps(panels, lines)
        if heading:
            figure.suptitle(heading, fontsize=10, fontweight="bold", x=0.01, ha="left")
        save(figure, out_png)
    return out_png


def _read_logs(log: Path | Mapping[str, Path]) -> tuple[dict[str, list[dict[str, Any]]], int]:
    """Phase -> its lines, one a step and kind in the order of steps; and how many lines could not be read."""
    files = {"": log} if isinstance(log, Path) else dict(log)
    held: dict[str, dict[tuple[int, bool], dict[str, Any]]] = defaultdict(dict)
    unreadable = 0
    for phase, path in files.items():
        try:
            text = path.read_text(errors="replace")
        except OSError as error:
            raise DataMissing(f"{path}: no log: {error.strerror}.", case=str(path), remedy="Train first.") from error
        for words in text.splitlines():
            try:
                line = json.loads(words)
                held[phase or str(line.get("phase", ""))][(int(line["step"]), "evaluation" in line)] = line
            except (ValueError, KeyError, TypeError, AttributeError):
                unreadable += bool(words.strip())
    return {phase: [lines[place] for place in sorted(lines)] for phase, lines in held.items()}, unreadable


def _draw_losses(panel: Axes, name: str, lines: Sequence[dict[str, Any]]) -> None:
    steps, total = _series(lines, "loss")
    named = sorted({key for line in lines for key in line if key not in _NOT_LOSSES and _is_number(line[key])})
    panel.plot(steps, total, color=FAINT, linewidth=0.8, alpha=0.7)
    panel.plot(steps, _running_median(total), color=INK, linewidth=2.0, label="loss (running median)")
    for at, key in enumerate(named if len(named) > 1 else []):
        panel.plot(*_series(lines, key), color=COLOURS[at % len(COLOURS)], linewidth=1.2, label=key.lstrip("_") or "?")
    drawn = np.concatenate([total, *(_series(lines, key)[1] for key in named)])
    finite = drawn[np.isfinite(drawn)]
    if finite.size and finite.min() > 0 and finite.max() > 30 * finite.min():
        panel.set_yscale("log")
        panel.yaxis.set_major_formatter(lambda value, _: f"{value:g}")  # mathtext is off, so powers would show as code
        panel.yaxis.set_minor_formatter(lambda value, _: "")
    panel.set_title(name or "training", loc="left", fontweight="bold")
    panel.set_ylabel("loss")
    panel.legend(
        loc="best", fontsize=8, frameon=True, framealpha=0.85, edgecolor="none"
    )  # readable where it lies on a line


def _draw_evaluations(panel: Axes, lines: Sequence[dict[str, Any]]) -> None:
    steps, scores = _series(lines, "evaluation")
    panel.set_ylabel("evaluation")
    if not np.isfinite(scores).any():
        panel.text(0.5, 0.5, "no evaluation logged", transform=panel.transAxes, ha="center", color=FAINT)
        panel.set_yticks([])
        return
    best = int(np.nanargmax(scores))
    panel.plot(steps, scores, color=BLUE, linewidth=1.4, marker="o", markersize=4, clip_on=False)
    panel.plot(steps[best], scores[best], color=VERMILION, marker="o", markersize=7, clip_on=False)
    words = f"best {scores[best]:.4g} at step {steps[best]:.0f}"
    panel.text(0.985, 0.06, words, transform=panel.transAxes, ha="right", color=VERMILION, fontsize=8.5)
    panel.margins(y=0.18)


def _draw_rate(panel: Axes, lines: Sequence[dict[str, Any]]) -> None:
    panel.plot(*_series(lines, "lr"), color=GREEN, linewidth=1.6)
    panel.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))
    panel.set_ylabel("learning rate")
    panel.set_xlabel("step")


def _share_steps(panels: Sequence[Axes], lines: Sequence[dict[str, Any]]) -> None:
    """One reach of steps for all panels of a phase, told below the last."""
    steps = [int(line["step"]) for line in lines]
    for panel in panels:
        panel.set_xlim(min(steps), max(max(steps), min(steps) + 1))
        panel.tick_params(axis="x", labelbottom=panel is panels[-1])


def _series(lines: Sequence[dict[str, Any]], key: str) -> tuple[Values, Values]:
    """Steps and values of one logged name; NaN where it was undefined."""
    held = [(line["step"], line[key]) for line in lines if key in line]
    values = [float(value) if _is_number(value) else math.nan for _, value in held]
    return np.array([step for step, _ in held], dtype=float), np.array(values, dtype=float)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _running_median(values: Values) -> Values:
    """The median over a twentieth of the points around each; NaN only where none of them is defined."""
    reach = max(1, len(values) // 40)
    windows = [values[max(0, at - reach) : at + reach + 1] for at in range(len(values))]
    return np.array([np.nanmedian(window) if np.isfinite(window).any() else math.nan for window in windows])
