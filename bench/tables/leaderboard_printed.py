"""What the four papers print, as lines for a leaderboard: one per table row, task and share of labels, digits as printed."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from bench import registry
from bench.published.layout import exposure, paper_tables
from bench.published.printed import Printed
from bench.tables.entries import is_distance
from bench.tables.paper_cells import asked_for
from bench.tables.paper_commands import command

_WHOLE = ("", "average")


@dataclass(frozen=True)
class PrintedResult:
    """`task` (with its target after `@`) and `protocol` are what our run of the same thing is called.

    `scores` maps a metric of ours to the printed number of the whole test set, `regions` a region to such a map. `setting` is
    the printed network and what an ablation row switches, `exposure` what is known of test images in the printed corpus. A row that
    a paper calls `Ours` bears the paper's name.
    """

    table: str
    title: str
    method: str
    key: str
    family: str
    corpus: str
    setting: str
    task: str
    protocol: str
    ratio: float
    command: str
    exposure: str = ""
    scores: dict[str, Printed] = field(default_factory=dict)
    regions: dict[str, dict[str, Printed]] = field(default_factory=dict)

    def shown(self, metric: str) -> tuple[str, str]:
        """The number and its spread in the unit of our tables, no digit lost. Example: `0.9285` of a fraction is `92.85`."""
        return in_table_unit(metric, self.scores[metric])


def in_table_unit(metric: str, cell: Printed) -> tuple[str, str]:
    """A printed value and its spread ('' for none) as text: fractions in percent, distances as they are."""
    moved = 2 if cell.unit == "fraction" and not is_distance(metric) else 0
    value, spread = (f"{Decimal(word).scaleb(moved):f}" if word else "" for word in (cell.value, cell.std))
    return value, spread


def printed_results() -> tuple[PrintedResult, ...]:
    """Every printed number that a run of ours could stand beside, in the order of the papers. Averages over tasks, differences and
    costs are left out: no run holds them alone."""
    found: dict[tuple[object, ...], PrintedResult] = {}
    families = registry.families()
    for table in paper_tables():
        for at, row in enumerate(table.rows()):
            for column, cell in zip(table.columns, row.cells, strict=True):
                asked = asked_for(table.paper, column, cell) if cell else None
                if cell is None or asked is None:
                    continue
                target = table.paper.tasks[cell.task_slug].target  # one board, whatever our run has to be called
                key = (table.name, at, asked.task, target, asked.protocol, asked.ratio, cell.network)
                made = found.get(key)
                if made is None:
                    known = exposure(asked.corpus, asked.task)
                    made = found[key] = PrintedResult(
                        table=table.name,
                        title=f"{table.paper.short} Table {table.number}: {table.title}",
                        method=table.paper.short if cell.method == "Ours" else cell.method,
                        key=asked.run,
                        family=families.get(asked.method, ""),
                        corpus=cell.pretrain_data,
                        setting=_setting(cell),
                        task=f"{asked.task}@{target}" if target else asked.task,
                        protocol=asked.protocol,
                        ratio=asked.ratio,
                        command=command(asked),
                        exposure=known.seen if known else "",
                    )
                whole = cell.average or cell.region in _WHOLE
                held = made.scores if whole else made.regions.setdefault(cell.region, {})
                held[asked.metric] = cell
    return tuple(found.values())


def _setting(cell: Printed) -> str:
    switched = [f"{name}={word}" for name, word in cell.config.items()]
    return ", ".join([*([cell.network] if cell.network else []), *switched])
