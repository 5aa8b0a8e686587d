"""How results reach a person: a rich console, progress bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.train.progress import PlainLines, Progress

UNREADABLE_NAMED = 5


def print_json(value: Any) -> None:
    """One JSON value on standard output; NaN becomes null."""
    print(json.dumps(_finite(value), indent=2, ensure_ascii=False, allow_nan=False))


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A small table for a person; text is shown as it is, markup in it has no effect."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(show_edge=False, pad_edge=False)
    for column in columns:
        table.add_column(Text(column), overflow="fold")
    for row in rows:
        table.add_row(*[Text("" if value is None else str(value)) for value in row])
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(Text(title, style="bold"))
    console.print(table)


def tell_unreadable(results: Path) -> None:
    """Say on standard error which files of a results folder are no cells that can be read, for what follows is without them."""
    from bench.contracts.counts import how_many
    from bench.store import Store

    broken = Store(results).broken()
    if broken:
        told = "\n".join(f"  {one.path}: {one.reason}" for one in broken[:UNREADABLE_NAMED])
        more = f"\n  and {len(broken) - UNREADABLE_NAMED} more" if len(broken) > UNREADABLE_NAMED else ""
        print(
            f"Left out, for it cannot be read: {how_many(len(broken), 'file')} of {results}.\n{told}{more}",
            file=sys.stderr,
        )
        print("Next:  take the file from a copy, or repeat the run that it is named after.", file=sys.stderr)


def shown(value: float | None) -> str:
    """A score for a person: four digits, or the word for a number that no case defines."""
    return "undefined" if value is None or math.isnan(value) else f"{value:.4f}"


def progress_for(as_json: bool) -> Progress:
    """Bars on a terminal, plain lines on standard error elsewhere."""
    if sys.stderr.isatty() and not as_json:
        return RichBars()
    return PlainLines(sys.stderr)


class RichBars:
    """One rich bar at a time, with the numbers the loop shows."""

    def __init__(self) -> None:
        self._bars: Any = None
        self._task: Any = None

    def start(self, name: str, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars

        self.finish()
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bars = Bars(*columns, TextColumn("{task.fields[shown]}"), console=Console(stderr=True))
        self._bars.start()
        self._task = self._bars.add_task(name, total=total, shown="")

    def advance(self, n: int = 1, **shown: Any) -> None:
        text = "  ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in shown.items())
        if self._bars is not None:
            self._bars.update(self._task, advance=n, **({"shown": text} if text else {}))

    def finish(self) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = None


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_finite(v) for v in value]
    return value
