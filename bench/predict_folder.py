"""A stored cell's model on anyone's volumes, as `bench predict` offers it: label maps beside a list of what they were made from."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import registry
from bench.case_content import content_hash
from bench.contracts.errors import DataMissing, StoreError
from bench.data.atomic import write_json
from bench.data.cache import prepare
from bench.data.cache_recipe import CacheRecipe
from bench.find_cell import find_cell
from bench.predict import predict
from bench.restore import model_of
from bench.run import Place

PREDICTED = "predicted.json"


def predict_folder(cell: str, images: Path, out: Path, place: Place) -> list[str]:
    """Apply a stored cell's model to every volume of a folder; label maps lie on each volume's own grid.

    They do so whatever grid the protocol scores on. A second call goes on where the first stopped. Raises StoreError when `out`
    holds label maps that are not this cell's.
    """
    found, results = find_cell(cell, place.results)
    place = dataclasses.replace(place, results=results)
    layout = registry.layout("nifti_folder").NiftiFolder()
    records = layout.records(images) if images.is_dir() else []
    if not records:
        raise DataMissing(
            f"No volume (.nii, .nii.gz) in '{images}'.", remedy="Point --images at the folder that holds them."
        )
    plan, kind, model = model_of(found, place)
    protocol = dataclasses.replace(plan.setup.protocol, score_grid="native")
    setup = dataclasses.replace(plan.setup, protocol=protocol)
    recipe = CacheRecipe.of(protocol, None)
    cases = prepare(images, records, recipe, place.cache, progress=place.progress)
    ids = [record.case_id for record in records]
    told = {record.case_id: content_hash(images, [record]) for record in records}
    _keep_own(out, [out / f"{case}{kind.suffix}" for case in ids], found.keys["predict"], told)
    return [str(path) for path in predict(model, setup, kind, cases, ids, out, place.hardware, place.progress)]


def _keep_own(out: Path, files: Sequence[Path], key: str, images: Mapping[str, str]) -> None:
    """Leave in `out` what an earlier call of the same cell predicted from the same images; refuse what is not its own."""
    mark = out / PREDICTED
    before: dict[str, Any] = _marked(mark) if mark.is_file() else {"key": "", "images": {}}
    present = {path: case for case, path in zip(images, files, strict=True) if path.exists()}
    if present and before["key"] != key:
        first = next(iter(present))
        raise StoreError(
            f"'{first.name}' in {out} is not a prediction of this cell.",
            case=present[first],
            remedy="Give another folder to --out, or move the label maps away.",
        )
    for path, case in present.items():
        if before["images"].get(case) != images[case]:
            path.unlink()  # the image behind it has changed
    kept = before["images"] if before["key"] == key else {}
    write_json(mark, {"key": key, "images": {**kept, **images}})


def _marked(mark: Path) -> dict[str, Any]:
    """What an earlier call wrote of its predictions. Raises StoreError where the file is another one, or damaged."""
    try:
        told = json.loads(mark.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        told = None
    if not (isinstance(told, dict) and isinstance(told.get("key"), str) and isinstance(told.get("images"), dict)):
        raise StoreError(
            f"'{mark.name}' in {mark.parent} is no list of predictions that `bench predict` wrote, or it was damaged.",
            case=str(mark),
            remedy="Give another folder to --out, or move it and the label maps beside it away.",
        )
    return told
