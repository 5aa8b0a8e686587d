"""A critical-difference diagram: mean ranks of methods over many boards, and which of them a test tells apart.

Source   Demšar, Journal of Machine Learning Research 2006, Figure 1 (the form)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.contracts.counts import how_many
from bench.contracts.errors import SpecError
from bench.figures.canvas import BLUE, FAINT, INK, new_figure, save
from bench.published.layout import paper_table
from bench.stats.friedman import Ranking, ranking
from bench.tables.entries import is_error
from bench.tables.leaderboard import Board
from bench.tables.leaderboard_printed import PrintedResult
from bench.tables.words import LONGEST_SETTING, apart, clean

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Scores = Mapping[str, Mapping[str, float]]  # board -> method -> score, more is better
_STEP = 0.28


def measured_scores(boards: Sequence[Board], *, phantom: bool = False) -> Scores:
    """The score of every method on every board of real data (or of phantoms) in the board's first metric.

    Partial and mixed results, and those of other data than one beside them, take no part. A method with two
    corpora or settings takes part once for each.
    """
    found: dict[str, dict[str, float]] = {}
    for board in boards:
        words = board.words
        if (words.source == "real") == phantom:
            continue
        place = f"{words.task} {words.protocol} {words.preset} r{words.ratio:g} {words.average}"
        for result in board.results:
            entry = result.entries.get(board.metric)
            if entry is None or math.isnan(entry.mean) or {"partial", "mixed", "apart"} & set(entry.marks):
                continue
            inside = [w for w in ("" if result.corpus == "none" else result.corpus, result.setting) if w]
            name = clean(f"{result.method} ({', '.join(inside)})" if inside else result.method, LONGEST_SETTING)
            found.setdefault(place, {})[name] = entry.mean * (-1 if is_error(board.metric) else 1)
    return found


def printed_scores(name: str, printed: Sequence[PrintedResult]) -> Scores:
    """The scores of a paper's table, a board per task, share of labels and metric; of a table with one task a board per region.

    Raises SpecError for an unknown table.
    """
    table = paper_table(name).name
    found: dict[str, dict[str, float]] = {}
    regions: dict[str, dict[str, float]] = {}
    rows = [result for result in printed if result.table == table]
    for result in rows:
        row = _row_name(result, rows)
        for metric in result.scores:
            sign = -1 if is_error(metric) else 1
            found.setdefault(f"{result.task} r{result.ratio:g} {metric}", {})[row] = sign * float(
                result.shown(metric)[0]
            )
        for region, scores in result.regions.items():
            for metric, cell in scores.items():
                regions.setdefault(f"{region} {metric}", {})[row] = float(cell.value) * (-1 if is_error(metric) else 1)
    return regions if len(found) < 2 and len(regions) > 1 else found


def _row_name(result: PrintedResult, rows: Sequence[PrintedResult]) -> str:
    """A row's method, with its corpus and network only where they tell it from others of the method."""
    alike = [other for other in rows if other.method == result.method]
    corpora = {other.corpus for other in alike if other.setting == result.setting}
    inside = [result.corpus] if len(corpora) > 1 else []
    if len({other.setting for other in alike}) > 1 and result.setting not in ("", result.method):
        inside.append(result.setting)
    return f"{result.method} ({', '.join(inside)})" if inside else result.method


def rank_methods(scores: Scores) -> tuple[Ranking, int, int]:
    """The ranking over a full grid of methods and boards, and how many methods and boards were left out for it.

    The grid is the largest among the methods that are on so many boards, and those that any two boards have in common.

    Raises SpecError where no three methods stand together on two boards.
    """
    methods = list(dict.fromkeys(name for held in scores.values() for name in held))
    present = {name: sum(name in held for held in scores.values()) for name in methods}
    held = {board: frozenset(told) for board, told in scores.items()}
    often = [frozenset(name for name in methods if present[name] >= n) for n in sorted(set(present.values()))[::-1]]
    meeting = [one & other for one, other in combinations(dict.fromkeys(held.values()), 2)]
    best: tuple[int, list[str], list[str]] = (0, [], [])
    for chosen in dict.fromkeys([*often, *held.values(), *meeting]):
        full = [board for board, told in held.items() if chosen <= told] if len(chosen) > 2 else []
        if len(full) > 1 and len(chosen) * len(full) > best[0]:
            best = (len(chosen) * len(full), [name for name in methods if name in chosen], full)
    _, names, full = best
    if not names:
        raise SpecError(
            f"A ranking needs three methods on two boards in common, found "
            f"{how_many(len(methods), 'method')} on {how_many(len(scores), 'board')}.",
            case="ranks",
            remedy="Run more (bench plan), or rank a paper's table: bench figure ranks --table mim:IV",
        )
    table = np.array([[scores[board][name] for board in full] for name in names])
    return ranking(names, table), len(methods) - len(names), len(scores) - len(full)


def draw_ranks(found: Ranking, out: Path, title: str = "", left_out: str = "") -> Path:
    """Draw the diagram: best at the left, a bar over methods that are not told apart, the critical difference at the top."""
    count = len(found.names)
    half = (count + 1) // 2
    bars = 0.3 + 0.17 * len(found.cliques)
    below, above, head = bars + _STEP * half, 0.62, 0.62  # inches, as are all heights here
    height = below + above + head
    with new_figure((9.0, height), layout=None) as figure:
        panel = figure.add_axes((0.27, 0, 0.46, (below + above) / height))
        panel.set_axis_off()
        panel.set_xlim(1, count)
        panel.set_ylim(-below, above)
        _scale(panel, found, count)
        for at, clique in enumerate(found.cliques):
            ranks = [found.ranks[found.names.index(name)] for name in clique]
            ends, y = [min(ranks) - 0.004 * count, max(ranks) + 0.004 * count], -0.22 - 0.17 * at
            panel.plot(ends, [y, y], color=BLUE, linewidth=3.4, solid_capstyle="round", zorder=3, clip_on=False)
        for at, (word, rank) in enumerate(zip(apart(found.names, 34), found.ranks, strict=True)):
            left = at < half
            y = -(bars + _STEP * ((at if left else count - 1 - at) + 0.25))
            panel.plot([rank, rank, 1 if left else count], [0, y, y], color=FAINT, linewidth=0.8, zorder=1)
            panel.annotate(
                f"{word}  {rank:.2f}" if left else f"{rank:.2f}  {word}", (0.0 if left else 1.0, y), (-6 if left else 6, 0),
                xycoords=("axes fraction", "data"), textcoords="offset points", ha="right" if left else "left", va="center",
                fontsize=8, color=INK,
            )  # fmt: skip
        p = "p < 0.001" if found.p < 0.001 else f"p = {found.p:.3f}"
        figure.text(0.02, 1 - 0.12 / height, title, fontsize=10.5, fontweight="bold", va="top")
        told = f"mean rank over {found.n} boards, 1 is best; Friedman {p}; bars join what Nemenyi does not tell apart at 5 %"
        note = f"{told}; {left_out}" if left_out else told
        figure.text(0.02, 1 - 0.37 / height, note, fontsize=8, va="top", color="#5d6369")
        save(figure, out)
    return out


def _scale(panel: Axes, found: Ranking, count: int) -> None:
    panel.plot([1, count], [0, 0], color=INK, linewidth=1.1)
    every = max(1, round(count / 10))
    for rank in range(1, count + 1):
        panel.plot([rank, rank], [0, 0.07 if (rank - 1) % every == 0 else 0.04], color=INK, linewidth=1)
        if (rank - 1) % every == 0:
            panel.text(rank, 0.1, str(rank), ha="center", va="bottom", fontsize=8)
    stop = 1 + found.critical_difference
    panel.plot([1, min(stop, count)], [0.44, 0.44], color=INK, linewidth=1.6)
    for x in (1, stop):
        if x <= count:
            panel.plot([x, x], [0.40, 0.48], color=INK, linewidth=1.2)
    panel.text(
        min(stop, count) + 0.01 * count,
        0.44,
        f" critical difference {found.critical_difference:.2f}",
        va="center",
        fontsize=8,
    )
