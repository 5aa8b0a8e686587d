"""Results folders for tests of leaderboard and page: small, plain to recount, and one whose words mean harm."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from bench.case_rows import CaseRow
from bench.contracts.record import Cell
from bench.data.atomic import write_bytes
from bench.store import Store
from tests.cells import make_cell

HOSTILE = (
    "<script>window.harmed=1</script>",
    "</script><img src=x onerror=window.harmed=2>",
    "=cmd|' /C calc'!A0",
    r"\input{/etc/passwd} $x$ %",
    "!!python/object/apply:os.system ['id']",
    "{{ 7*7 }}{% raw %}",
    "../../../etc/passwd",
    "javascript:window.harmed=3",
    "line\u2028separator and \u202eright to left",
)
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63f8cfc000000301"
    "01006e8a1dc30000000049454e44ae426082"
)


def add(store: Store, quality: float, cases: int = 6, *, seed: int = 0, **words: Any) -> Cell:
    """A cell whose Dice is `quality` give or take what its own draw and the case add; HD95 is twenty times what is lacking."""
    draw = random.Random(f"{words.get('method', 'mim')} {seed}")
    rows = []
    for i in range(cases):
        for name in ("liver", "spleen"):
            value = quality + 0.05 * random.Random(i).uniform(-1, 1) + draw.uniform(-0.004, 0.004)
            rows += [
                CaseRow(f"case_{i:03d}", name, "dice", value),
                CaseRow(f"case_{i:03d}", name, "hd95", 20 * (1 - value)),
            ]
    mean = {m: sum(r.value for r in rows if r.metric == m) / (2 * cases) for m in ("dice", "hd95")}
    words = {"scores": mean, "n": cases, "n_listed": cases, **words}
    return store.write(make_cell(seed=seed, **words), rows)


def small_store(folder: Path) -> Store:
    """Two tasks, four methods of which two tie, phantoms, an exposed and a partial result, and a picture."""
    store = Store(folder)
    for seed in (0, 1):
        seen = {"case_000": "voxels", "case_001": "voxels"}
        add(store, 0.9, seed=seed, method="mim", exposure="seen: 2 of 6 by voxels", exposed=seen)
        add(store, 0.8, seed=seed, method="mae3d")
        add(store, 0.8001, seed=seed, method="spad")
    add(
        store,
        0.7,
        method="unet3d_scratch",
        corpus="none",
        partial="5 of 6",
        n_listed=7,
        exposure="nothing is pre-trained",
    )
    add(store, 0.85, cases=60, method="mim", task="msd04")
    add(store, 0.75, cases=60, method="unet3d_scratch", task="msd04", corpus="none", keys={"predict": "ab" * 32})
    add(store, 0.99, method="mim", source="phantom", preset="tiny")
    write_bytes(folder / "runs" / "predict" / ("ab" * 8) / "worst.png", PNG)
    return store


def hostile_store(folder: Path) -> Store:
    """One cell that carries harm in every word that a record holds as text."""
    store = Store(folder)
    harm, *_ = HOSTILE
    rows = [CaseRow(word, HOSTILE[at - 1], "dice", 0.5) for at, word in enumerate(HOSTILE)]
    cell = make_cell(
        method=harm, variant=HOSTILE[1], task=HOSTILE[2], target=HOSTILE[3], protocol=HOSTILE[4], preset=HOSTILE[5],
        corpus=HOSTILE[6],
        command=HOSTILE[0], notes=HOSTILE, differs=HOSTILE, classes=HOSTILE, metrics=("dice", HOSTILE[1]), exposure=HOSTILE[1],
        scores={"dice": 0.5, HOSTILE[1]: 0.25}, class_scores={word: {"dice": 0.5} for word in HOSTILE}, distance_unit=HOSTILE[0],
        exposed={HOSTILE[1]: HOSTILE[0]}, keys={"predict": "../../../../etc"}, partial=HOSTILE[0], average=HOSTILE[1],
        provenance={"commit": harm, "spec": {harm: HOSTILE[1]}},
    )  # fmt: skip
    store.write(cell, rows)
    return store
