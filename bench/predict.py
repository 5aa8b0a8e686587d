"""Predict: a model and test cases become one prediction file per case, resumable case by case."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from torch import nn

from bench.contracts.kind import Kind, Setup
from bench.data.cache import CachedCases
from bench.data.lock import only_one
from bench.train.hardware import Hardware, torch_device
from bench.train.progress import Progress, Silent


def predict(
    model: nn.Module,
    setup: Setup,
    kind: Kind,
    cases: CachedCases,
    case_ids: Sequence[str],
    folder: Path,
    hardware: Hardware,
    progress: Progress | None = None,
) -> list[Path]:
    """Write the prediction of each case that has none yet; return all files in the order asked."""
    shown = progress or Silent()
    files = [folder / f"{case}{kind.suffix}" for case in case_ids]
    with only_one(folder):
        model.eval().to(torch_device(hardware))
        shown.start("predict", len(files))
        wanted = list(zip(case_ids, files, strict=True))
        in_groups = getattr(kind, "predict_cases", None)
        done = in_groups(setup, model, cases, wanted) if in_groups else _one_by_one(kind, setup, model, cases, wanted)
        for _ in done:
            shown.advance(1)
        shown.finish()
    return files


def _one_by_one(
    kind: Kind, setup: Setup, model: nn.Module, cases: CachedCases, wanted: Sequence[tuple[str, Path]]
) -> Iterator[str]:
    for case, path in wanted:
        if not path.exists():
            kind.predict_case(setup, model, cases, case, path)
        yield case
