"""Any folder of NIfTI volumes, for pre-training: what lies in it is taken, its labels never."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from bench.contracts.record import ImageFile, Record
from bench.data.find import first_within
from bench.data.volumes import write_nifti
from tasks.layouts.names import NIFTI, stem_of
from tasks.layouts.phantom_case import Look, Size, claim, seal, source_of

NOT_IMAGES = ("label", "mask", "seg")  # beginnings of folders' names, lower case
LOOK = Look(
    dataset="folder", view="chest", modality="ct", smoke=(40, 40, 24), mini=(96, 96, 48), spacing_mm=(1.5, 1.5, 2.5)
)


@dataclass(frozen=True, kw_only=True)
class NiftiFolder:
    """Volumes at any depth; a file counts when its name is `prefix` + case + `suffix` + `.nii[.gz]`.

    With `fixed_name` (`ct`), every volume bears that name and its folder is the case. Folders called label*, mask* or seg* are
    passed over, and no record carries a mask. Where two files would give one case id, the id is the path below the folder.
    """

    prefix: str = ""
    suffix: str = ""
    fixed_name: str = ""
    modality: Literal["CT", "MR"] = "CT"
    look: Look = LOOK
    version: str = "1.0.0"

    def locate(self, root: Path) -> Path | None:
        return first_within(root, self._is_here)

    def records(self, folder: Path) -> list[Record]:
        source = source_of(folder)
        found = [(case, path) for path in _volumes(folder) if (case := self._case(path)) is not None]
        often = Counter(case for case, _ in found)
        return [
            Record(
                dataset=self.look.dataset,
                adapter_version=f"nifti_folder@{self.version}",
                case_id=(told := path.relative_to(folder).as_posix() if often[case] > 1 else case),
                patient_id=told,
                group=told,
                images=(ImageFile(path=path.relative_to(folder).as_posix(), format="nifti"),),
                modality=self.modality,
                intensity="hu" if self.modality == "CT" else "raw",
                source=source,
            )
            for case, path in found
        ]

    def tree(self) -> str:
        return f"<any folders>/{self._name('<case>')}"

    def write_phantom(self, folder: Path, case_ids: Sequence[str], size: Size) -> None:
        claim(folder)
        written = []
        for case, phantom in self.look.draw(case_ids, size):
            affine, (image,) = self.look.stored(case, phantom.image)
            path = folder / self._name(case)
            write_nifti(path, image, affine=affine, dtype=np.int16 if self.modality == "CT" else np.float32)
            written.append(path)
        seal(folder, size, case_ids, written)

    def _name(self, case: str) -> str:
        return f"{case}/{self.fixed_name}.nii.gz" if self.fixed_name else f"{self.prefix}{case}{self.suffix}.nii.gz"

    def _case(self, path: Path) -> str | None:
        stem = stem_of(path.name)
        if stem is None:
            return None
        if self.fixed_name:
            return path.parent.name if stem == self.fixed_name else None
        long_enough = len(stem) > len(self.prefix) + len(self.suffix)
        if not (long_enough and stem.startswith(self.prefix) and stem.endswith(self.suffix)):
            return None
        return stem[len(self.prefix) : len(stem) - len(self.suffix)]

    def _is_here(self, folder: Path) -> bool:
        """A volume lies in the folder, or in a folder of it where volumes have folders of their own."""
        pattern = "[!.]*/*" if self.fixed_name else "*"
        return any(path.name.endswith(NIFTI) and self._case(path) is not None for path in folder.glob(pattern))


def _volumes(folder: Path) -> list[Path]:
    """NIfTI files at any depth, by path, hidden ones and those in folders of masks left out."""
    return sorted(
        path
        for path in folder.rglob("*.nii*")
        if path.is_file()
        and stem_of(path.name) is not None
        and not any(
            part.lower().startswith(NOT_IMAGES) or part.startswith(".") for part in path.relative_to(folder).parts[:-1]
        )
    )
