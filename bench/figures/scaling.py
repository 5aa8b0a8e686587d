"""What more data and a larger network bring, from the numbers that the papers print: a table, and a figure of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench import registry
from bench.figures.canvas import BLUE, FAINT, GREEN, INK, ORANGE, VERMILION, new_figure, save
from bench.tables.leaderboard_printed import PrintedResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DATA, SIZES = "mg3d:V", "mg3d:VI"
_COLOURS = {"mim": VERMILION, "swin_unetr": BLUE, "mae3d": GREEN}


@dataclass(frozen=True)
class Scaled:
    """One printed number and what it stands on. `volumes` are those of its corpus as the paper counts them; `spread` is the
    printed standard deviation, '' where none is."""

    table: str
    method: str
    network: str
    corpus: str
    volumes: int
    task: str
    ratio: float
    metric: str
    value: str
    spread: str

    @property
    def number(self) -> float:
        """The value, in percent or mm."""
        return float(self.value)


def scaling_rows(printed: Sequence[PrintedResult]) -> tuple[Scaled, ...]:
    """Every printed number of a method, network, task and share of labels that the papers print on two corpora or more, and of
    MG-3D's Table VI on its two networks."""
    rows = [_row(result, metric) for result in printed for metric in result.scores if _volumes(result.corpus)]
    corpora: dict[tuple[object, ...], set[str]] = {}
    for row in rows:
        corpora.setdefault(_same(row), set()).add(row.corpus)
    found = [row for row in rows if len(corpora[_same(row)]) > 1 or row.table == SIZES]
    return tuple(
        sorted(
            found, key=lambda row: (row.table, row.task, row.ratio, row.metric, row.method, row.network, row.volumes)
        )
    )


def draw_scaling(rows: Sequence[Scaled], out: Path) -> Path:
    """Three panels: MG-3D on ever more volumes; 1k and 10k volumes in MiM's tables at all labels; data, then network, in MG-3D."""
    with new_figure((12.6, 5.2)) as figure:
        first, second, third = figure.subplots(1, 3, width_ratios=(1, 1.15, 1.15))
        _draw_growth(first, [row for row in rows if row.table == DATA])
        _draw_pairs(
            second,
            [
                row
                for row in rows
                if row.table.startswith("mim:") and row.ratio == 1.0 and row.metric in ("dice", "acc")
            ],
        )
        _draw_sizes(third, [row for row in rows if row.table == SIZES])
        figure.suptitle("Scaling, as the papers print it", x=0.008, ha="left", fontweight="bold", fontsize=11)
        save(figure, out)
    return out


def _draw_growth(panel: Axes, rows: Sequence[Scaled]) -> None:
    ordered = sorted(rows, key=lambda row: row.volumes)
    panel.plot(
        [row.volumes for row in ordered], [row.number for row in ordered], color=VERMILION, marker="o", linewidth=1.6
    )
    for row in ordered:  # at the upper left, where a rising line does not run
        place = (row.volumes, row.number)
        panel.annotate(row.value, place, (-5, 4), textcoords="offset points", ha="right", fontsize=8, color=INK)
    panel.set_xscale("log")
    panel.set_xticks([row.volumes for row in ordered], [f"{row.volumes:,}" for row in ordered], fontsize=8)
    panel.set_xticks([], minor=True)
    panel.margins(x=0.22, y=0.12)
    panel.set_xlabel("pre-training volumes")
    panel.set_title("MG-3D Table V: AUC on CT-RATE prompts, %", loc="left", fontsize=9)


def _draw_pairs(panel: Axes, rows: Sequence[Scaled]) -> None:
    """What ten times the volumes add, one line per table and task, one point per method."""
    gains: dict[str, list[tuple[str, float]]] = {}
    held: dict[tuple[object, ...], list[Scaled]] = {}
    for row in rows:
        held.setdefault(_same(row), []).append(row)
    for pair in held.values():
        small, large = min(pair, key=lambda row: row.volumes), max(pair, key=lambda row: row.volumes)
        name = f"{small.task}, {small.metric}  ({small.table.partition(':')[2]})"
        gains.setdefault(name, []).append((small.method, large.number - small.number))
    told = {method for points in gains.values() for method, _ in points}
    keys = [*(key for key in _COLOURS if key in told), *sorted(told - set(_COLOURS))]
    _draw_gains(panel, gains, {key: _COLOURS.get(key, FAINT) for key in keys})
    panel.set_xlabel("points gained by 10,502 volumes over 746")
    panel.set_title("MiM's tables, all labels: 10k less 1k", loc="left", fontsize=9)


def _draw_sizes(panel: Axes, rows: Sequence[Scaled]) -> None:
    gains: dict[str, list[tuple[str, float]]] = {}
    for task, metric in dict.fromkeys((row.task, row.metric) for row in rows):
        here = sorted((r for r in rows if (r.task, r.metric) == (task, metric)), key=lambda r: (r.volumes, r.network))
        if len(here) == 3:
            small, data, size = here
            gains[f"{task}, {metric}"] = [
                ("47,149 volumes in place of 1,443", data.number - small.number),
                ("then Swin-L in place of Swin-B", size.number - data.number),
            ]
    _draw_gains(panel, gains, {"47,149 volumes in place of 1,443": BLUE, "then Swin-L in place of Swin-B": ORANGE})
    panel.set_xlabel("points gained")
    panel.set_title("MG-3D Table VI: data, then network", loc="left", fontsize=9)


def _draw_gains(panel: Axes, gains: dict[str, list[tuple[str, float]]], colours: dict[str, str]) -> None:
    names = list(gains)
    panel.axvline(0, color=INK, linewidth=0.9)
    for name in colours:
        points = [(gain, at) for at, told in enumerate(gains.values()) for known, gain in told if known == name]
        panel.plot(
            [x for x, _ in points],
            [y for _, y in points],
            linestyle="none",
            marker="o",
            markersize=6,
            color=colours[name],
            label=name,
        )
    panel.set_yticks(range(len(names)), names, fontsize=8)
    panel.set_ylim(len(names) - 0.4, -0.6)
    panel.grid(axis="y", visible=False)
    panel.legend(loc="upper center", bbox_to_anchor=(0.4, -0.14), fontsize=8, ncols=3 if len(colours) == 3 else 1)


def _row(result: PrintedResult, metric: str) -> Scaled:
    words = (
        result.table,
        result.key,
        result.setting,
        result.corpus,
        _volumes(result.corpus),
        result.task,
        result.ratio,
    )
    return Scaled(*words, metric, *result.shown(metric))


def _same(row: Scaled) -> tuple[object, ...]:
    return (row.table, row.method, row.network, row.task, row.ratio, row.metric)


def _volumes(corpus: str) -> int:
    """The volumes of a printed corpus as its paper counts them; 0 where we have no card of it."""
    return registry.corpus(corpus).printed or 0 if corpus in registry.names(registry.CORPORA) else 0
