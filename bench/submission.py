"""A cell's predictions of a task's hidden test part, in the form in which the owners' server takes them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import registry
from bench.case_content import content_hash
from bench.contracts.errors import DataMissing, SpecError
from bench.contracts.kind import Setup
from bench.contracts.record import ImageFile, LabelFile, Record
from bench.data.cache import prepare
from bench.data.cache_recipe import CacheRecipe
from bench.data.volumes import read_label, to_native
from bench.datasets_file import find_task_folder
from bench.find_cell import find_cell
from bench.keys import key_of, short
from bench.phantom_data import phantoms_for
from bench.predict import predict
from bench.restore import model_of, spec_of
from bench.run import Place

ANY = {value: value for value in range(256)}


def submit(cell: str, root: Path | None, out: Path, place: Place) -> list[str]:
    """Predict every case whose label the owners withhold and write the files that their server takes; returns their paths.

    Label maps lie on each case's own grid with the owners' codes, whatever grid the protocol scores on. A second call goes on
    where the first stopped. Raises SpecError where the task has no such form or the cell's target cannot fill it, DataMissing
    where no such case is on disk.
    """
    found, results = find_cell(cell, place.results)
    place = dataclasses.replace(place, results=results)
    spec = spec_of(found)
    card = registry.task(spec.task)
    forms = getattr(card.files, "forms", (card.files,))
    if not any(hasattr(form, "write_submission") for form in forms):
        raise SpecError(
            f"The owners of '{spec.task}' take no predictions in a form that we know.",
            case=found.name,
            remedy="For label maps of any volumes: bench predict --cell CELL --images DIR --out DIR",
        )
    plan, kind, model = model_of(found, place)
    stored = labels_of(plan.setup)
    phantoms = phantoms_for(spec, place.results) if spec.phantom else None
    folder = find_task_folder(spec.task, card, phantoms or root, {} if phantoms else place.environ)
    records = [record for record in card.files.records(folder) if record.label.kind == "none"]
    if not records:
        raise DataMissing(
            f"No case without a label in {folder}; the hidden test part is one.",
            case=spec.task,
            remedy="Fetch the test part, or point --root at it.",
        )
    protocol = dataclasses.replace(plan.setup.protocol, score_grid="native")
    setup = dataclasses.replace(plan.setup, protocol=protocol)
    cases = prepare(folder, records, CacheRecipe.of(protocol, None), place.cache, progress=place.progress)
    key = key_of(
        room="submission",
        before=found.keys["finetune"],
        inference=setup.inference,
        content=content_hash(folder, records),
    )
    work = place.results / "runs" / "submission" / short(key)
    ids = [record.case_id for record in records]
    files: Any = card.files
    written: list[str] = []
    for record, path in zip(
        records, predict(model, setup, kind, cases, ids, work, place.hardware, place.progress), strict=True
    ):
        header = cases.meta(record.case_id).header
        labels = to_native(stored[_read(record, path)], header)
        written += [str(one) for one in files.write_submission(out, folder, record, labels, header.affine)]
    return written


def labels_of(setup: Setup) -> NDArray[np.uint8]:
    """A table (256,) from what a prediction holds, class indices or codes, to the task's stored labels.

    Where regions overlap, a voxel takes the label of the innermost region that it belongs to, as the challenge's own tools do.
    Raises SpecError where the target merges or leaves out labels, so that the prediction cannot tell them apart.
    """
    owners: Mapping[int, int] = {
        (value.bit_length() if setup.overlapping else value): label for label, value in setup.values.items()
    }
    if len(owners) < len(setup.values) or len(setup.values) < len(setup.task.classes):
        told = f"'{setup.target}'" if setup.target else "its own classes"
        raise SpecError(
            f"The target {told} does not tell the {len(setup.task.classes)} labels apart that the owners ask for: "
            f"{', '.join(setup.task.classes)}.",
            case=setup.task.title,
            remedy="Train without a target, or with one that keeps every label.",
        )
    table = np.zeros(256, np.uint8)
    for value in range(1, 256):
        table[value] = owners.get(value.bit_length() if setup.overlapping else value, 0)
    return table


def _read(record: Record, path: Path) -> NDArray[np.uint8]:
    """A stored prediction in canonical order."""
    file = ImageFile(path=path.name, format="nifti")
    label = LabelFile(kind="mask", path=path.name)
    seen = record.model_copy(update={"images": (file,), "label": label, "spacing": None})
    return np.asarray(read_label(path.parent, seen, ANY).array)
