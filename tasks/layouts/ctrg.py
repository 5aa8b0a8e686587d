"""CTRG-Chest in the form that MG-3D trains on: 8-bit volumes `N.nii.gz` and one JSON with the reports.

Source   Tang et al., CTRG-Chest-548K (github.com/tangyuhao2016/CTRG); form and split of Xuefeng-Ni/MG-3D
Quirks   grey values 0 to 255 of an unknown window, no HU and no true voxel size; `val` and `test` of the JSON are the same 360
         ids, written as numbers or as names of volumes; paths in the JSON are of the authors' machine, so a volume is found by
         its number
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bench.contracts.errors import DataUnsound
from bench.contracts.record import ImageFile, LabelFile, Record
from bench.data.atomic import write_json, write_text
from bench.data.find import first_within
from bench.data.splits import read_list
from bench.data.volumes import write_nifti
from bench.phantoms.chest import ChestPhantom, make_chest
from bench.phantoms.findings import Finding
from tasks.layouts.names import stem_of
from tasks.layouts.phantom_case import SPLITS, Look, Size, claim, seal, source_of
from tasks.layouts.reports import by_name, joined, table

PARTS = ("train", "val", "test")
SECTION = {"findings": "report", "impression": "result"}  # what the JSON calls them
TABLE = "chest_labels.csv"
OBSERVATIONS = (
    *(
        "Enlarged Cardiomediastinum",
        "Cardiomegaly",
        "Lung Opacity",
        "Lung Lesion",
        "Edema",
        "Consolidation",
        "Pneumonia",
    ),
    *("Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture", "Support Devices", "No Finding"),
)
OBSERVED = {
    "cardiomegaly": "Cardiomegaly",
    "lung-opacity": "Lung Opacity",
    "lung-nodule": "Lung Lesion",
    "consolidation": "Consolidation",
    "atelectasis": "Atelectasis",
    "pleural-effusion": "Pleural Effusion",
    "medical-material": "Support Devices",
}
PHANTOM_JSON, PHANTOM_VOLUMES = "chest_ctrg_nitfy_ori_split.json", "volumes"
WINDOW_HU = (-1150.0, 350.0)  # ours, what a phantom's export clips to
PLAIN = ((1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0), (0.0, 0.0, 0.0, 1.0))


@dataclass(frozen=True, kw_only=True)
class Ctrg:
    """Volumes `N.nii.gz` at most one folder below the JSON. `sections` are those that a record's text joins, in order."""

    look: Look
    sections: tuple[Literal["findings", "impression"], ...] = ("findings",)
    version: str = "1.0.0"

    def locate(self, root: Path) -> Path | None:
        return first_within(root, lambda folder: bool(_tables(folder)) and any(_volumes(folder)))

    def records(self, folder: Path) -> list[Record]:
        """One record per volume; one without a report is unlabelled. Raises DataUnsound for a JSON that cannot be trusted."""
        told_in, items, answers = _told_in(folder).name, _items(folder), _answers(folder)
        source = source_of(folder)
        return [
            Record(
                dataset=self.look.dataset,
                adapter_version=f"ctrg@{self.version}",
                case_id=case,
                patient_id=case,
                group=case,
                images=(ImageFile(path=path.relative_to(folder).as_posix(), format="nifti"),),
                label=LabelFile(kind="report", path=told_in, format="table", key=case) if text else LabelFile(),
                modality="CT",
                source=source,
                meta={"observations": list(answers[case])} if case in answers else {},
                text=text,
            )
            for case, path in sorted(_volumes(folder), key=lambda found: int(found[0]))
            for text in [joined(*(items.get(case, {}).get(SECTION[name]) for name in self.sections))]
        ]

    def tree(self) -> str:
        return (
            "<any name>.json   {train, val, test: [{id, report, result, ...}]}\n"
            f"{TABLE}   (optional: id and 14 observations)\n"
            "N.nii.gz   (8-bit grey, N = 0 to 1803; in the same folder or one below)"
        )

    def write_phantom(self, folder: Path, case_ids: Sequence[str], size: Size) -> None:
        """Volumes as uint8 without true voxel size, the JSON and the table with every case written so far."""
        claim(folder)
        items = dict(_items(folder)) if (folder / PHANTOM_JSON).is_file() else {}
        answers = dict(_answers(folder))
        unseen = frozenset(read_list(SPLITS, *self.look.unseen)) if self.look.unseen else frozenset()
        written = []
        for case in case_ids:
            chest = self._chest(case, size, case in unseen)
            path = folder / PHANTOM_VOLUMES / f"{case}.nii.gz"
            write_nifti(path, _grey(chest.image), affine=PLAIN, dtype=np.uint8)
            written.append(path)
            items[case] = {"id": int(case), "report": chest.report.findings, "result": chest.report.impression}
            answers[case] = _observed(chest.findings)
        _write_tables(folder, items, answers, unseen)
        seal(folder, size, case_ids, [*written, folder / PHANTOM_JSON, folder / TABLE])

    def _chest(self, case: str, size: Size, unseen: bool) -> ChestPhantom:
        return make_chest(
            case,
            preset=size,
            dataset=self.look.dataset,
            shape=self.look.shape(size),
            spacing_mm=self.look.spacing_mm,
            test_site=unseen,
        )


def _volumes(folder: Path) -> Iterator[tuple[str, Path]]:
    """(number as plain decimals, path) of each volume in the folder or one level below."""
    for pattern in ("[0-9]*.nii*", "[!.]*/[0-9]*.nii*"):
        for path in folder.glob(pattern):
            stem = stem_of(path.name)
            if stem is not None and stem.isdecimal():
                yield str(int(stem)), path


def _tables(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.glob("[!.]*.json")) if not path.name.startswith("PHANTOM")]


def _told_in(folder: Path) -> Path:
    """The JSON of reports: the only one of the folder that has `train`."""
    found = [path for path in _tables(folder) if "train" in _content(path)]
    if len(found) == 1:
        return found[0]
    raise DataUnsound(
        f"expected one JSON with train, val and test in {folder.name}, found {len(found)}.",
        case=folder.name,
        remedy="Put the annotation file of CTRG-Chest beside the volumes, and only that one.",
    )


def _content(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataUnsound(
            f"'{path.name}' is no readable JSON ({error}).", case=path.name, remedy="Fetch the annotations again."
        ) from error
    return content if isinstance(content, Mapping) else {}


def _items(folder: Path) -> dict[str, dict[str, Any]]:
    """Every item of the JSON by number. Raises DataUnsound for one without id or report, and for two reports of one number."""
    path = _told_in(folder)
    found: dict[str, dict[str, Any]] = {}
    for part in PARTS:
        for item in _content(path).get(part, ()):
            try:
                case, told = _number(item["id"]), {key: str(item.get(key) or "") for key in SECTION.values()}
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise DataUnsound(
                    f"an item of '{part}' in '{path.name}' has no number as its id.",
                    case=path.name,
                    remedy="Fetch the annotations again.",
                ) from error
            if found.setdefault(case, {"id": int(case), **told}) != {"id": int(case), **told}:
                raise DataUnsound(
                    f"'{path.name}' holds two different reports of this number.",
                    case=case,
                    remedy="Keep the one that belongs to the volume.",
                )
    return found


def _number(told: Any) -> str:
    """An item's id as plain decimals; the released list writes it as the file of the volume, 910.nii.gz."""
    return str(int((stem_of(told) or told) if isinstance(told, str) else told))


def _answers(folder: Path) -> dict[str, tuple[int, ...]]:
    """The table of observations where it is there: 0 not told, 1 present, 2 absent, 3 uncertain."""
    path = folder / TABLE
    if not path.is_file():
        return {}
    rows = by_name(table(path, ("id", *OBSERVATIONS)), "id", path)
    told = {case: [row[name].strip() or "0" for name in OBSERVATIONS] for case, row in rows.items()}
    strange = next((case for case, codes in told.items() if not set(codes) <= set("0123")), None)
    if strange is not None:
        raise DataUnsound(
            f"'{path.name}' holds {sorted(set(told[strange]) - set('0123'))}; possible are 0, 1, 2 and 3.",
            case=strange,
            remedy="Fetch the table again.",
        )
    return {str(int(case)): tuple(int(code) for code in codes) for case, codes in told.items()}


def _observed(findings: Sequence[Finding]) -> tuple[int, ...]:
    """A phantom's row of the table."""
    there = {OBSERVED[finding.name]: 3 if finding.hedged else 1 for finding in findings if finding.name in OBSERVED}
    told = set(OBSERVED.values())
    answers = [there.get(name, 2 if name in told else 0) for name in OBSERVATIONS]
    return (*answers[:-1], 2 if findings else 1)


def _grey(image: NDArray[np.int16]) -> NDArray[np.uint8]:
    low, high = WINDOW_HU
    scaled = (image.astype(np.float32) - np.float32(low)) * np.float32(255 / (high - low))
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def _write_tables(
    folder: Path, items: Mapping[str, Any], answers: Mapping[str, Sequence[int]], unseen: frozenset[str]
) -> None:
    tests = [item for case, item in items.items() if case in unseen]
    trains = [item for case, item in items.items() if case not in unseen]
    write_json(folder / PHANTOM_JSON, {"train": trains, "val": tests, "test": tests})
    lines = [",".join(("id", *OBSERVATIONS)), *(",".join((case, *map(str, row))) for case, row in answers.items())]
    write_text(folder / TABLE, "\n".join(lines) + "\n")
