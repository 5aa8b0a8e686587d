"""BraTS 2021's tree: one folder per case with four contrasts and, in the training part, their mask.

Source   Synapse syn25829067 and syn27046444; Baid et al., arXiv 2107.02314
Quirks   labels are 1, 2 and 4; the volumes are skull-stripped, so what is not brain is exactly 0; some tumours do not enhance
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.contracts.record import ImageFile, LabelFile, Record
from bench.data.axes import Affine
from bench.data.find import first_within
from bench.data.volumes import write_nifti
from tasks.layouts.names import NIFTI
from tasks.layouts.nifti_pairs import coded
from tasks.layouts.phantom_case import Look, Size, claim, seal, source_of

PREFIX = "BraTS2021_"
CHANNELS = ("flair", "t1ce", "t1", "t2")  # the order of MONAI's published list
CODES = {3: 4}


@dataclass(frozen=True, kw_only=True)
class Brats:
    """Cases by their five digits. A contrast that lacks is still named in the record, so that reading the case says so."""

    look: Look
    version: str = "1.0.0"

    def locate(self, root: Path) -> Path | None:
        return first_within(root, lambda folder: bool(_cases(folder)))

    def records(self, folder: Path) -> list[Record]:
        source = source_of(folder)
        return [self._record(folder, home, source == "phantom") for home in _cases(folder)]

    def tree(self) -> str:
        return f"BraTS2021_Training_Data/\n  {PREFIX}NNNNN/{PREFIX}NNNNN_{{{','.join((*CHANNELS, 'seg'))}}}.nii.gz"

    def write_phantom(self, folder: Path, case_ids: Sequence[str], size: Size) -> None:
        """Four contrasts of one head; about one case in ten has no enhancing part."""
        claim(folder)
        written: list[Path] = []
        for case in case_ids:
            views = [self.look.draw([case], size, contrast)[0][1] for contrast in CHANNELS]
            affine, (mask, *images) = self.look.stored(case, views[0].label, *(view.image for view in views))
            stem = folder / f"{PREFIX}{case}" / f"{PREFIX}{case}"
            for channel, image in zip(CHANNELS, images, strict=True):
                path = stem.with_name(f"{stem.name}_{channel}.nii.gz")
                write_nifti(path, np.rint(image), affine=affine, dtype=np.int16)
                written.append(path)
            path = stem.with_name(f"{stem.name}_seg.nii.gz")
            write_nifti(path, coded(mask, CODES), affine=affine, dtype=np.uint8)
            written.append(path)
        seal(folder, size, case_ids, written)

    def write_submission(
        self, out: Path, folder: Path, record: Record, labels: NDArray[np.uint8], affine: Affine
    ) -> list[Path]:
        """One mask of the validation or test part, coded 1, 2 and 4: `BraTS2021_NNNNN.nii.gz`."""
        path = out / f"{PREFIX}{record.case_id}.nii.gz"
        write_nifti(path, coded(labels, CODES), affine=affine, dtype=np.uint8)
        return [path]

    def _record(self, folder: Path, home: Path, phantom: bool) -> Record:
        case = home.name.removeprefix(PREFIX)
        label = _file(home, "seg")
        return Record(
            dataset=self.look.dataset,
            adapter_version=f"brats@{self.version}",
            case_id=case,
            patient_id=case,
            group=case,
            images=tuple(
                ImageFile(path=_file(home, channel).relative_to(folder).as_posix(), format="nifti", channel=c)
                for c, channel in enumerate(CHANNELS)
            ),
            label=LabelFile(kind="mask", path=label.relative_to(folder).as_posix()) if label.is_file() else LabelFile(),
            modality="MR",
            contrast="+".join(CHANNELS),
            source="phantom" if phantom else "real",
        )


def _cases(folder: Path) -> list[Path]:
    """The folders of cases, by name: those that hold any of the four contrasts."""
    homes = sorted(path for path in folder.glob(f"{PREFIX}[0-9]*") if path.is_dir())
    return [home for home in homes if any(_file(home, channel).is_file() for channel in CHANNELS)]


def _file(home: Path, what: str) -> Path:
    """The file of a contrast or mask, packed or not; the packed name where neither is there."""
    packed, plain = (home / f"{home.name}_{what}{ending}" for ending in NIFTI)
    return plain if plain.is_file() and not packed.is_file() else packed
