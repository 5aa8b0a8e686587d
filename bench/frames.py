"""A results folder as pandas tables, for questions that no table of ours answers: one row per run, one row per scored case."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.contracts.record import Cell
from bench.store import Store

if TYPE_CHECKING:
    import pandas as pd

WORDS = (
    "method", "variant", "task", "target", "protocol", "ratio", "preset", "corpus", "seed", "pretrain_seed", "fold",
    "source", "partial",
)  # fmt: skip
COUNTS = ("n", "n_listed", "n_train", "distance_unit")


def cells_frame(results: Path | str) -> pd.DataFrame:
    """One row per run: `cell` (its name), the words it was asked for by, how many cases it holds, and a column per metric.

    Metrics are fractions, or distances in the run's `distance_unit` (in mm where their name ends with @mm); NaN where a run
    does not have the metric or it is undefined. Columns of metrics come in alphabetical order behind all others.
    """
    import pandas as pd

    cells = Store(results).cells()
    metrics = sorted({metric for cell in cells for metric in cell.scores})
    rows = [
        {**_words(cell), **_counts(cell), **{metric: cell.scores.get(metric) for metric in metrics}} for cell in cells
    ]
    frame = pd.DataFrame(rows, columns=["cell", *WORDS, *COUNTS, *metrics])
    return frame.astype(dict.fromkeys(metrics, "float64"))


def cases_frame(results: Path | str, names: list[str] | None = None) -> pd.DataFrame:
    """One row per run, case, class and metric: `cell`, the run's words, `case`, `class`, `metric`, `value` (NaN: undefined).

    `names` keeps the runs of those names. Raises StoreError where the rows of a run are missing or damaged.
    """
    import pandas as pd

    store = Store(results)
    rows = store.cases(names).to_pandas()
    words = pd.DataFrame([_words(cell) for cell in store.cells()], columns=["cell", *WORDS])
    joined = rows.merge(words, on="cell", how="left", validate="many_to_one")
    return joined[["cell", *WORDS, "case", "class", "metric", "value"]]


def _words(cell: Cell) -> dict[str, object]:
    return {"cell": cell.name, **{word: getattr(cell, word) for word in WORDS}}


def _counts(cell: Cell) -> dict[str, object]:
    return {count: getattr(cell, count) for count in COUNTS}
