"""One case of a stored run as arrays: the image, the truth and what the run predicted, from what it left on disk."""

from __future__ import annotations

import dataclasses
from typing import Any

from bench import registry
from bench.contracts.errors import DataMissing, SpecError, nearest
from bench.figures.cases import CaseImages
from bench.find_cell import find_cell
from bench.restore import spec_of
from bench.run import Place, case_images, predictions_folder, resolve_at, task_volumes


def look(cell: str, case: str, place: Place, *, root: str = "") -> CaseImages:
    """Image, truth and prediction of a test case on the grid that was scored, as `bench.figure.overlays` draws them.

    `cell` is a name, a path or the start of a key; `root` holds the data where the environment of `place` does not say.
    Raises SpecError for a case that the run did not test, DataMissing where its prediction is not on this machine.
    """
    found, results = find_cell(cell, place.results)
    place = dataclasses.replace(place, results=results)
    chain = resolve_at(dataclasses.replace(spec_of(found), root=root), place)
    tests = chain.words.cases.here.test
    if case not in tests:
        raise SpecError(
            f"No test case '{case}' in {found.name}. {nearest(case, tests)}".strip(),
            case=case,
            remedy=f"Its cases: {', '.join(tests[:5])}{', ...' if len(tests) > 5 else ''}",
        )
    kind: Any = registry.kind(chain.words.task.kind)
    if not hasattr(kind, "case_images"):
        raise SpecError(
            f"The answers of '{found.task}' are no label maps, so there is nothing to draw.",
            case=found.name,
            remedy="Name a cell of a segmentation task: bench table all",
        )
    prediction = predictions_folder(chain, place) / f"{case}{kind.suffix}"
    if not prediction.exists():
        raise DataMissing(
            f"The prediction is not at {prediction}.",
            case=case,
            remedy=f"Make it again in another folder, and look there: {found.command} --results DIR",
        )
    return case_images(chain, place, task_volumes(chain, place), case)
