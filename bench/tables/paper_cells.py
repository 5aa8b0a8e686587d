"""Which of our runs belongs beside a printed number: the one closest to the paper's, with every departure told.

A run must share method, variant, task, target and label ratio, and its data must be real. Protocol, preset, corpus, network and
completeness may depart: the closest run stands in the table, and each departure is a footnote that takes the verdict away.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property

from bench import registry
from bench.case_rows import CaseRow
from bench.cell_settings import with_settings
from bench.contracts.errors import PluginBroken, StoreError
from bench.contracts.record import Cell
from bench.metrics import METRICS
from bench.published.layout import Paper, PaperColumn, PaperTask, networks
from bench.published.printed import Printed
from bench.published.verdict import Spread
from bench.tables.entries import is_distance
from bench.tables.words import LONGEST_SETTING, clean

RowsOf = Callable[[str], Sequence[CaseRow]]
CLOSEST_PRESET = ("full", "ref_code", "small", "tiny")


@dataclass(frozen=True)
class Asked:
    """What a run of ours that repeats a printed cell is called.

    `corpus` empty: the printed method is not pre-trained, or on weights whose corpus its authors chose. `decoder` empty: the
    paper prints no segmentation network, or the variant settles it. `apart` says why no run repeats the printed score.
    """

    method: str
    variant: str
    task: str
    target: str
    protocol: str
    ratio: float
    corpus: str
    metric: str
    region: str
    decoder: str
    apart: str = ""

    @property
    def run(self) -> str:
        """The method as the command line takes it."""
        return f"{self.method}@{self.variant}" if self.variant else self.method


@dataclass(frozen=True)
class Chosen:
    """The runs that stand in one place of a table, their `scores` cut down to what is asked; `metric` as they call it.

    `departures` tell what they do otherwise than the paper.
    """

    cells: tuple[Cell, ...]
    metric: str
    departures: tuple[str, ...]


def asked_for(paper: Paper, column: PaperColumn, cell: Printed) -> Asked | None:
    """The run that a printed cell asks for; None for averages over columns, differences and costs, which no run holds alone."""
    if not column.measured or column.over or column.gain:
        return None
    task = paper.tasks[cell.task_slug]
    method, _, variant = cell.method_slug.partition("@")
    other = next((run.run for run in paper.runs if run.holds(cell)), "")
    if other:
        method, _, variant = other.partition("@")
    if cell.pretrain_data == "official-weights":
        variant = variant or "official"
    corpus = paper.corpora.get(cell.pretrain_data, cell.pretrain_data)
    return Asked(
        method=method,
        variant=variant,
        task=task.task,
        target=_target(task, method),
        protocol=task.protocol,
        ratio=float(cell.label_ratio),
        corpus="" if corpus in ("none", "official-weights") else corpus,
        metric=task.metric_id(cell.metric),
        region="" if cell.average else cell.region,
        decoder="" if other else networks().get(cell.network, ""),
        apart=task.apart,
    )


@dataclass(frozen=True)
class Pool:
    """The real cells of a store, found by what a printed cell asks for."""

    cells: Sequence[Cell]
    rows_of: RowsOf
    _rows: dict[str, Sequence[CaseRow]] = field(default_factory=dict)

    @cached_property
    def _by_words(self) -> Mapping[tuple[str, str, str, float], list[Cell]]:
        found: dict[tuple[str, str, str, float], list[Cell]] = {}
        for cell in sorted(self.cells, key=lambda cell: cell.name):
            if cell.source == "real":
                found.setdefault((cell.method, cell.variant, cell.task, cell.ratio), []).append(cell)
        return found

    def closest(self, asked: Asked, elsewhere: Set[str] = frozenset()) -> Chosen | None:
        """The runs closest to what is asked, None where none fits at all. Corpora that stand `elsewhere` fit nowhere else."""
        words = (asked.method, asked.variant, asked.task, asked.ratio)
        near = [c for c in self._by_words.get(words, ()) if _same_target(c, asked) and c.corpus not in elsewhere]
        alike: dict[tuple[str, str], list[Cell]] = {}
        for cell in itertools.chain.from_iterable(_cut(run, asked) for run in near):
            alike.setdefault((cell.protocol, cell.preset), []).append(cell)
        groups: dict[tuple[object, ...], list[Cell]] = {}
        for cells in alike.values():  # a setting is what differs among runs of one protocol and preset
            for (_, _, setting), cell in with_settings(cells):
                key = (_distance(cell, asked), cell.protocol, cell.preset, cell.corpus, setting)
                groups.setdefault(key, []).append(cell)
        if not groups:
            return None
        nearest = min(groups, key=lambda key: (key[0], *map(str, key[1:])))
        runs = groups[nearest]
        (metric,) = runs[0].scores
        return Chosen(tuple(runs), metric, tuple(_departures(runs, asked, str(nearest[-1]))))

    def case_spread(self, cell: Cell, metric: str, region: str) -> Spread | None:
        """Deviation over the test cases of one run, in percent or mm; None where the metric is none of single cases.

        `region` empty takes the mean over classes of each case. None also where the rows of the cell are missing.
        """
        if _kind(metric) not in ("overlap", "surface", "retrieval"):  # others belong to a set of cases as a whole
            return None
        try:
            rows = self._rows.setdefault(cell.name, self.rows_of(cell.name))
        except StoreError:
            return None
        cases: dict[str, list[float]] = {}
        for row in rows:
            if row.metric == metric and not math.isnan(row.value) and (not region or _same_region(row.class_, region)):
                cases.setdefault(row.case, []).append(row.value)
        values = [statistics.fmean(found) for found in cases.values()]
        scale = 1.0 if is_distance(metric) else 100.0
        return Spread(scale * statistics.stdev(values), len(values)) if len(values) > 1 else None


def _target(task: PaperTask, method: str) -> str:
    """What a method is asked for; one that reads no text may have a target of its own. Of methods that are not here, none."""
    here = method in registry.names(registry.METHODS)
    silent = here and bool(task.target_without_text) and "text" not in registry.offers(method)
    return task.target_without_text if silent else task.target


def _same_target(cell: Cell, asked: Asked) -> bool:
    """A run without a target scores every class of its task: `both`, or the only one there is."""
    return cell.target == asked.target or (not cell.target and (asked.target == "both" or len(cell.classes) == 1))


def _cut(cell: Cell, asked: Asked) -> list[Cell]:
    """The cell with the asked score alone; none where it holds no such score."""
    held: Mapping[str, float | None] = cell.scores
    if asked.region:
        held = next((s for name, s in cell.class_scores.items() if _same_region(name, asked.region)), {})
    metric = _metric(asked.metric, held)
    return [cell.model_copy(update={"scores": {metric: held[metric]}})] if metric else []


def _metric(asked: str, held: Iterable[str]) -> str:
    """The asked metric, else the only one of its name at another tolerance, else nothing."""
    if asked in held:
        return asked
    name, at, _ = asked.partition("@")
    others = [metric for metric in held if at and metric.startswith(f"{name}@") and metric.endswith("mm")]
    return others[0] if len(others) == 1 else ""


def _kind(metric: str) -> str:
    known = METRICS.get(metric) or METRICS.get(metric.partition("@")[0])
    return known.kind if known else ""


def _same_region(one: str, other: str) -> bool:
    return one.lower() == other.lower()


def _distance(cell: Cell, asked: Asked) -> tuple[object, ...]:
    preset = CLOSEST_PRESET.index(cell.preset) if cell.preset in CLOSEST_PRESET else len(CLOSEST_PRESET)
    whole = cell.n == cell.n_listed and not cell.partial
    return (cell.protocol != asked.protocol, preset, _other_corpus(cell, asked), not whole)


def _other_corpus(cell: Cell, asked: Asked) -> bool:
    """True also of weights from a file beside a row that begins with none, or with weights that its authors chose."""
    return cell.corpus != asked.corpus if asked.corpus else cell.corpus == "file"


def _departures(cells: Sequence[Cell], asked: Asked, setting: str) -> Iterable[str]:
    """What the chosen runs do otherwise than the paper; runs of one row share these words."""
    cell = cells[0]
    if asked.apart:
        yield asked.apart
    if cell.protocol != asked.protocol:
        yield f"protocol {clean(cell.protocol)} in place of {asked.protocol}"
    if cell.preset not in ("full", "ref_code"):
        yield f"preset {clean(cell.preset)}: sized by us, not the paper's network and length"
    if _other_corpus(cell, asked):
        yield (
            f"pre-trained on {clean(cell.corpus)} in place of {asked.corpus}"
            if asked.corpus
            else "begun with weights from a file"
        )
    elif asked.corpus and (short := sorted({told for c in cells if (told := _short_pool(c))})):
        yield f"pre-trained on {' and '.join(short)} of the paper's volumes"
    if setting:
        yield f"with {clean(setting, LONGEST_SETTING)}"
    if any(c.n < c.n_listed or c.partial for c in cells):
        scored = sorted({f"{c.n} of {c.n_listed}" for c in cells})
        yield f"not all cases were there: {', '.join(scored)} test cases"
    if any(c.excluded for c in cells):
        yield "test cases that pre-training saw were left out"
    (metric,) = cell.scores
    if metric != asked.metric:
        yield f"{clean(metric)} in place of {asked.metric}"
    ours = _decoder(asked.method)
    if asked.decoder and ours and ours != asked.decoder and _kind(metric) in ("overlap", "surface"):
        yield f"our {asked.method} is fine-tuned with the decoder {ours}, the printed row with {asked.decoder}"


def _short_pool(cell: Cell) -> str:
    """`7,214 of 10,502` where a run had less than its corpus' paper; '' where it had all, or its record does not tell."""
    found, printed = cell.corpus_volumes or (0, 0)
    return f"{found:,} of {printed:,}" if found < printed else ""


def _decoder(method: str) -> str:
    """The decoder on a method's card, read as text; empty where the card is elsewhere."""
    try:
        return next(
            (str(card.get("decoder", "")) for card in registry.describe(registry.METHODS) if card["name"] == method), ""
        )
    except PluginBroken:
        return ""
