"""A radar over the tasks of MG-3D: what its Tables I and II print for each method, and our runs of the same protocol beside it.

Each axis has a scale of its own: the centre lies a little below the least of the methods shown, the rim at the best.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.contracts.errors import SpecError, nearest
from bench.figures.canvas import BLUE, FAINT, GREEN, INK, ORANGE, PURPLE, SKY, VERMILION, new_figure, save
from bench.tables.entries import is_error
from bench.tables.leaderboard import Board
from bench.tables.leaderboard_printed import PrintedResult
from bench.tables.words import LONGEST_SETTING, apart, clean

TABLES = ("mg3d:I", "mg3d:II")
SHOWN = 6
LONGEST_LABEL = 40
COLOURS = (VERMILION, BLUE, GREEN, PURPLE, ORANGE, SKY)
_HEADLINE = ("bleu-4", "dice", "auc", "acc", "recall@50")
_REACH = 0.15


@dataclass(frozen=True)
class Radar:
    """`axes` are (task, metric); `printed` and `measured` map a name to its value per axis, NaN where there is none."""

    axes: tuple[tuple[str, str], ...]
    printed: Mapping[str, tuple[float, ...]]
    measured: Mapping[str, tuple[float, ...]]


def radar_of(
    boards: Sequence[Board],
    printed: Sequence[PrintedResult],
    methods: Sequence[str] = (),
    tables: Sequence[str] = TABLES,
) -> Radar:
    """The printed values of methods by key (empty: MG-3D and those next to it by mean rank, six in all), and ours.

    Of a method on several networks the transformer's row is taken. Ours: real runs at all labels in protocol mg3d, at full
    size, where they fill three axes. Raises SpecError for a method that the tables do not hold.
    """
    values: dict[str, dict[tuple[str, str], float]] = {}
    titles: dict[str, str] = {}
    for result in sorted((r for r in printed if r.table in tables), key=lambda r: "UNet" in r.setting):
        metric = next((name for name in _HEADLINE if name in result.scores), "")
        if metric:
            values.setdefault(result.key.partition("@")[0], {}).setdefault(
                (result.task, metric), float(result.shown(metric)[0])
            )
            titles.setdefault(result.key.partition("@")[0], result.method)
    axes = tuple(sorted({axis for held in values.values() for axis in held}))
    for key in methods:
        if key not in values:
            raise SpecError(
                f"{', '.join(tables)} hold no '{key}'. {nearest(key, values)}Possible: {', '.join(values)}.",
                case=key,
                remedy="What the papers print: bench list tables",
            )
    chosen = list(methods) or _foremost(values, axes)
    told = {titles[key]: _line(values[key], axes) for key in chosen}
    return Radar(axes, told, _measured(boards, axes))


def draw_radar(found: Radar, out: Path) -> Path:
    """Draw it: printed methods as solid lines, ours dashed."""
    table = np.array([*found.printed.values(), *found.measured.values()])
    down = np.array([-1.0 if is_error(metric) else 1.0 for _, metric in found.axes])
    low, high = np.nanmin(table * down, axis=0), np.nanmax(table * down, axis=0)
    span = np.where(high > low, high - low, 1.0)
    angles = np.linspace(0, 2 * math.pi, len(found.axes), endpoint=False)
    with new_figure((8.6, 6.4), layout=None) as figure:
        panel: Any = figure.add_axes((0.2, 0.1, 0.5, 0.72), projection="polar")
        panel.set_theta_zero_location("N")
        panel.set_theta_direction(-1)
        panel.set_ylim(0, 1.0)
        panel.set_yticks(np.linspace(0.25, 1, 4), [""] * 4)
        panel.spines["polar"].set_color("#E6E8EA")
        panel.set_xticks(angles, [""] * len(angles))
        names = apart([*found.printed, *found.measured], LONGEST_LABEL)
        for at, (name, values) in enumerate(
            zip(names, (*found.printed.values(), *found.measured.values()), strict=True)
        ):
            ours = at >= len(found.printed)
            radius = _REACH + (1 - _REACH) * (np.array(values) * down - low) / span
            colour = INK if ours else COLOURS[at] if at < len(COLOURS) else FAINT
            closed, around = np.append(radius, radius[0]), np.append(angles, angles[0])
            label = f"{name} (ours)" if ours else name
            style = (0, (3, 2)) if ours else "solid"
            panel.plot(
                around,
                closed,
                color=colour,
                linewidth=2.2 if at == 0 else 1.3,
                linestyle=style,
                label=label,
                zorder=9 - at,
            )
            if at == 0:
                panel.fill(around, closed, color=colour, alpha=0.08)
        for angle, (task, metric), worst, best in zip(angles, found.axes, low * down, high * down, strict=True):
            across = math.sin(angle)
            side = "center" if abs(across) < 0.1 else "left" if across > 0 else "right"
            told = f"{task}\n{metric} {worst:.2f} to {best:.2f}"
            panel.text(angle, 1.09, told, ha=side, va="center", fontsize=7.5, color=INK, linespacing=1.35)
        figure.legend(loc="upper right", bbox_to_anchor=(0.985, 0.86), fontsize=8.5)
        figure.text(
            0.02, 0.975, "MG-3D's tasks, as its Tables I and II print them", fontsize=10.5, fontweight="bold", va="top"
        )
        note = "each axis from the least (inner ring) to the best (rim) of the methods shown; beside the axis both, in percent"
        figure.text(0.02, 0.937, note, fontsize=8, va="top", color="#5d6369")
        save(figure, out)
    return out


def _foremost(values: Mapping[str, Mapping[tuple[str, str], float]], axes: Sequence[tuple[str, str]]) -> list[str]:
    """MG-3D, then methods that fill every axis by their mean rank."""
    full = [key for key, held in values.items() if all(axis in held for axis in axes)]
    ranks = {
        key: sum(sum(_better(values[o][a], values[key][a], a[1]) for o in full) for a in axes) for key in full
    }  # fmt: skip
    ordered = sorted(full, key=lambda key: (key != "mg3d", ranks[key], key))
    return ordered[:SHOWN]


def _better(one: float, other: float, metric: str) -> bool:
    return one < other if is_error(metric) else one > other


def _line(held: Mapping[tuple[str, str], float], axes: Sequence[tuple[str, str]]) -> tuple[float, ...]:
    return tuple(held.get(axis, math.nan) for axis in axes)


def _measured(boards: Sequence[Board], axes: Sequence[tuple[str, str]]) -> dict[str, tuple[float, ...]]:
    held: dict[tuple[str, str, str], dict[tuple[str, str], float]] = {}
    for board in boards:
        words = board.words
        if (words.source, words.protocol, words.ratio, words.preset) != ("real", "mg3d", 1.0, "full"):
            continue
        for result in board.results:
            for metric, entry in result.entries.items():
                if (words.task, metric) in axes:
                    held.setdefault(result.place, {})[words.task, metric] = entry.mean
    shown = {place: values for place, values in held.items() if len(values) > 2}
    return {_name(place, list(shown)): _line(values, axes) for place, values in shown.items()}


def _name(place: tuple[str, str, str], every: Sequence[tuple[str, str, str]]) -> str:
    """The method, with its corpus and setting where the method alone names more than one result."""
    method, *others = (clean(word, LONGEST_SETTING) for word in place)
    inside = [word for word in others if word not in ("", "none")]
    alone = sum(other[0] == place[0] for other in every) == 1
    return method if alone or not inside else f"{method} ({', '.join(inside)})"
