"""CT-RATE's tree: one folder per patient and scan, several reconstructions of a scan, and the owners' tables beside them.

Source   Hamamci et al. (arXiv 2403.17834), huggingface.co/datasets/ibrahimhamamci/CT-RATE
Quirks   all reconstructions of a scan share one report and one row of labels; an empty section reads "Not given."; the first
         release (`train`, `valid`) holds scaled values whose slope, intercept and voxel size stand in a table; the second
         (`train_fixed`, `valid_fixed`) holds HU and true headers, and is taken of every volume that is in both
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from bench.contracts.configs import Spacing
from bench.contracts.record import ImageFile, LabelFile, Record, Source
from bench.data.find import first_within
from bench.data.official import Shipped
from tasks.layouts import ct_rate_tables as tables
from tasks.layouts.ct_rate_phantom import phantom_volumes, write_tree
from tasks.layouts.ct_rate_tables import LABELS, REPORTS, Part, path_in
from tasks.layouts.phantom_case import Look, Size, claim, seal, source_of
from tasks.layouts.reports import joined

NOT_TOLD = ((1.0, 0.0), (math.nan, math.nan, math.nan))
PHANTOM_PARTS = {"smoke": (10, 2, 7), "mini": (36, 4, 32)}  # every third patient of the validation part has two volumes


@dataclass(frozen=True, kw_only=True)
class CtRate:
    """The owners' folder `dataset`. `label` says which table is the truth, `parts` which of the owners' parts are read.

    With `scans` only so many scans of a part are read, in hash order and with one reconstruction each. Where the label is a
    report, volumes without one are left out. `rows` is how many volumes the owners' tables of a part name.
    """

    look: Look
    label: Literal["report", "findings"] = "report"
    parts: tuple[Part, ...] = ("train", "valid")
    scans: int = 0
    rows: Mapping[Part, int] = field(default_factory=lambda: tables.VOLUMES)
    phantom_parts: Mapping[str, tuple[int, int, int]] = field(default_factory=lambda: PHANTOM_PARTS)
    version: str = "1.0.0"

    def locate(self, root: Path) -> Path | None:
        return first_within(root, lambda folder: any((folder / REPORTS[part]).is_file() for part in self.parts))

    def records(self, folder: Path) -> list[Record]:
        """One record per volume on disk that the owners' tables name. Raises DataUnsound for tables that cannot be trusted."""
        return [record for part in self.parts for record in self._of_part(folder, part) if self._counts(record.text)]

    def tree(self) -> str:
        return (
            "dataset/train_fixed/train_<patient>/train_<patient>_<scan>/train_<patient>_<scan>_<number>.nii.gz\n"
            "dataset/valid_fixed/valid_<patient>/...   (or train and valid with metadata/*_metadata.csv)\n"
            + "\n".join(f"dataset/{path}" for path in (*REPORTS.values(), *LABELS.values()))
        )

    def write_phantom(self, folder: Path, case_ids: Sequence[str], size: Size) -> None:
        """Volumes as `train_fixed` and `valid_fixed` hold them, some as `train` does, and the owners' tables; an id that CT-RATE
        would not give stands for the next training volume."""
        claim(folder)
        own = [case for case in case_ids if tables.taken_apart(case)]
        volumes = list(dict.fromkeys([*own, *phantom_volumes("train", len(case_ids) - len(own))]))
        seal(folder, size, [*case_ids, *volumes], write_tree(folder, volumes, self.look, size))

    def own_parts(self, folder: Path | None) -> dict[str, tuple[str, ...]]:
        """Train and val: one volume each of the 1,000 scans that fine-tuning may use, the last tenth for val; test: all of the
        owners' validation part. Of a phantom to be where `folder` is None.

        What `records` leaves out is left out here too, after the scans are chosen: each stays in its part for every label.
        """
        listed = {part: list(tables.reports(folder, part)) if folder else phantom_volumes(part, 60) for part in REPORTS}
        chosen = tables.first_scans(listed["train"], tables.SUBSET_SCANS)
        n_val = max(1, round(len(chosen) / 10))
        parts = {"train": chosen[:-n_val], "val": chosen[-n_val:], "test": tuple(listed["valid"])}
        silent = self._left_out(folder) if folder else frozenset()
        return {name: tuple(volume for volume in part if volume not in silent) for name, part in parts.items()}

    def shipped(self, folder: Path) -> list[Shipped]:
        """The volumes that the owners' tables name, those of reports and, where the findings are asked for, of labels."""
        read = [tables.REPORTED, tables.ANSWERED] if self.label == "findings" else [tables.REPORTED]
        return [
            Shipped(f"rows of {paths[part]}", tables.named(folder / paths[part], columns), self.rows[part])
            for paths, columns in read
            for part in self.parts
        ]

    def _of_part(self, folder: Path, part: Part) -> list[Record]:
        reports = tables.reports(folder, part)
        answers = tables.answers(folder, part) if self.label == "findings" else {}
        chosen = tables.first_scans(list(reports), self.scans) if self.scans else tuple(reports)
        images = {volume: ImageFile(path=path_in(f"{part}_fixed", volume), format="nifti") for volume in chosen}
        older = [v for v in chosen if not (folder / images[v].path).is_file()] if (folder / part).is_dir() else []
        told = tables.rescaling(folder, part) if older else {}
        images |= {volume: _of_first_release(part, volume, told) for volume in older}
        source = source_of(folder)
        return [
            self._record(source, part, images[volume], volume, reports[volume], answers.get(volume, ()))
            for volume in tables.in_order(list(chosen))
            if (folder / images[volume].path).is_file()
        ]

    def _record(
        self,
        source: Source,
        part: Part,
        image: ImageFile,
        volume: str,
        row: Mapping[str, str],
        answers: tuple[int, ...],
    ) -> Record:
        apart = tables.taken_apart(volume)
        assert apart is not None
        patient, scan, number = apart
        text = _text(row)
        key = f"{volume}.nii.gz"
        if self.label == "report":
            label = LabelFile(kind="report", path=REPORTS[part], format="table", key=key) if text else LabelFile()
        else:
            told = LabelFile(kind="multilabel", path=LABELS[part], format="table", key=key, values=answers)
            label = told if answers else LabelFile()
        return Record(
            dataset=self.look.dataset,
            adapter_version=f"ct_rate@{self.version}",
            case_id=volume,
            patient_id=patient,
            group=patient,
            images=(image,),
            label=label,
            modality="CT",
            intensity="hu",
            source=source,
            meta={"scan": scan, "reconstruction": number},
            text=text,
        )

    def _left_out(self, folder: Path) -> frozenset[str]:
        rows = {volume: row for part in REPORTS for volume, row in tables.reports(folder, part).items()}
        return frozenset(volume for volume, row in rows.items() if not self._counts(_text(row)))

    def _counts(self, text: str) -> bool:
        """Whether a volume with this report is a case."""
        return self.label == "findings" or bool(text)


def _text(row: Mapping[str, str]) -> str:
    return joined(row["Findings_EN"], row["Impressions_EN"])


def _of_first_release(part: Part, volume: str, told: Mapping[str, tuple[tuple[float, float], Spacing]]) -> ImageFile:
    """Where a volume lies and what the table says of its values and voxel size; NaN where it has no row."""
    rescale, spacing_mm = told.get(volume, NOT_TOLD)
    return ImageFile(path=path_in(part, volume), format="nifti", rescale=rescale, spacing_mm=spacing_mm)
