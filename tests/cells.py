"""Cells for tests: a finished run of plausible words whose fields a test can change one at a time."""

from __future__ import annotations

from typing import Any

from bench.case_rows import CaseRow
from bench.cell_files import cell_name
from bench.contracts.record import SCHEMA_CELL, Cell
from bench.keys import key_of

WORDS = ("method", "variant", "task", "target", "protocol", "ratio", "preset", "corpus", "seed", "fold")


def make_cell(**changes: Any) -> Cell:
    """A cell whose key and name follow from its words; `dice` sets its Dice score, any other name a field."""
    dice = changes.pop("dice", 0.8)
    fields: dict[str, Any] = {
        "schema": SCHEMA_CELL,
        "method": "mim",
        "variant": "",
        "task": "btcv",
        "target": "",
        "protocol": "bench",
        "ratio": 0.25,
        "preset": "small",
        "corpus": "own",
        "seed": 0,
        "pretrain_seed": 0,
        "fold": 0,
        "source": "real",
        "metrics": ("dice", "hd95"),
        "classes": ("liver", "spleen"),
        "scores": {"dice": dice, "hd95": 4.0},
        "class_scores": {"liver": {"dice": dice}, "spleen": {"dice": dice}},
        "n": 6,
        "n_listed": 6,
        "n_train": 6,
        "counts": {},
        "average": "class_then_case",
        "distance_unit": "mm",
        "config": {"pretrain": {"mask_ratio": 0.6, "seed": 0}, "finetune": {"steps": 500, "workers": 2, "seed": 0}},
        "keys": {},
        "hashes": {},
        "content_hash": "c0ffee",
        "command": "bench run --method mim --task btcv",
    }
    fields.update(changes)
    if "key" not in fields:
        fields["key"] = key_of(**{word: fields[word] for word in WORDS}, config=fields["config"])
    if "name" not in fields:
        fields["name"] = cell_name(key=fields["key"], **{word: fields[word] for word in WORDS})
    return Cell.model_validate(fields)


def make_rows(value: float = 0.8, cases: int = 3) -> list[CaseRow]:
    """Rows of a small run: some cases, two classes, one metric."""
    return [CaseRow(f"case_{i}", name, "dice", value + i / 100) for i in range(cases) for name in ("liver", "spleen")]
