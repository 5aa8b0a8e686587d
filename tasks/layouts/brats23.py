"""BraTS 2023 as its organisers ship it: a folder per examination with four aligned contrasts, one NIfTI each."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np

from bench.contracts.record import ImageFile, Record
from bench.data.find import first_within
from bench.data.volumes import write_nifti
from tasks.layouts.names import stem_of
from tasks.layouts.phantom_case import Look, Size, claim, seal, source_of

PHANTOM_CONTRASTS: Mapping[str, str] = MappingProxyType({"t1n": "t1", "t1c": "t1ce", "t2w": "t2", "t2f": "flair"})


@dataclass(frozen=True, kw_only=True)
class Brats23:
    """The images of one part of the challenge (`GLI`, `MEN`, `MET`, `PED`, `SSA`), training and validation, masks left out.

    Every contrast is a record of its own, called `<examination>-<contrast>`; `meta` tells the examination as `group` and
    the `contrast`, so that aligned images find each other. The patient is the examination without its last number.
    """

    part: str
    look: Look
    version: str = "1.0.0"

    def locate(self, root: Path) -> Path | None:
        return first_within(root, lambda folder: bool(self._images(folder)))

    def records(self, folder: Path) -> list[Record]:
        source = source_of(folder)
        return [
            Record(
                dataset=self.look.dataset,
                adapter_version=f"brats23@{self.version}",
                case_id=f"{examination}-{contrast}",
                patient_id=examination.rpartition("-")[0],
                group=examination.rpartition("-")[0],
                images=(ImageFile(path=path.relative_to(folder).as_posix(), format="nifti"),),
                modality="MR",
                contrast=contrast,
                source=source,
                meta={"group": examination, "contrast": contrast},
            )
            for examination, contrast, path in self._images(folder)
        ]

    def tree(self) -> str:
        case = f"BraTS-{self.part}-NNNNN-NNN"
        return f"<any folder>/{case}/{case}-{{{','.join(PHANTOM_CONTRASTS)}}}.nii.gz"

    def write_phantom(self, folder: Path, case_ids: Sequence[str], size: Size) -> None:
        """Four contrasts of every examination named; other names than the organisers' are counted into theirs."""
        claim(folder)
        written = []
        for number, case in enumerate(case_ids):
            name = case if self._pattern().fullmatch(f"{case}-t1n") else f"BraTS-{self.part}-{number:05d}-000"
            for contrast, drawn in PHANTOM_CONTRASTS.items():
                ((_, phantom),) = self.look.draw([name], size, drawn)
                affine, (image,) = self.look.stored(name, phantom.image)
                path = folder / "TrainingData" / name / f"{name}-{contrast}.nii.gz"
                write_nifti(path, image, affine=affine, dtype=np.float32)
                written.append(path)
        seal(folder, size, case_ids, written)

    def _images(self, folder: Path) -> list[tuple[str, str, Path]]:
        """(examination, contrast, file) in `folder` and in folders of it, by name."""
        found = []
        name = f"BraTS-{self.part}-*"
        for path in sorted((*folder.glob(f"{name}/*.nii*"), *folder.glob(f"*/{name}/*.nii*"))):
            match = self._pattern().fullmatch(stem_of(path.name) or "")
            if match and path.parent.name == match["examination"]:
                found.append((match["examination"], match["contrast"], path))
        return found

    def _pattern(self) -> re.Pattern[str]:
        return re.compile(
            rf"(?P<examination>BraTS-{self.part}-\d{{5}}-\d{{3}})-(?P<contrast>{'|'.join(PHANTOM_CONTRASTS)})"
        )
