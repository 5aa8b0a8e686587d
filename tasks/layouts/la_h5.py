"""The left atrium set as packaged by Yu et al.: one h5 file per scan, cropped around the atrium and z-scored.

Source   yulequan/UA-MT (MICCAI 2019): `data/2018LA_Seg_Training Set/<id>/mri_norm2.h5`, lists `train.list`, `test.list`
Quirks   AR's code renames the folder with underscores; the crop was placed by the ground truth, with random margins, so where the
         atrium lies is given away; a crop's own mean and sd are not 0 and 1; the files hold no voxel size (0.625 mm)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.contracts.configs import Spacing
from bench.contracts.record import ImageFile, LabelFile, Record
from bench.data.atomic import write_text
from bench.data.find import first_within
from bench.data.splits import read_list
from bench.data.volumes import write_h5
from tasks.layouts.phantom_case import SPLITS, Look, Size, claim, seal, source_of

SETS = ("2018LA_Seg_Training Set", "2018LA_Seg_Training_Set", "")
FILE = "mri_norm2.h5"


@dataclass(frozen=True, kw_only=True)
class LaH5:
    """Scans below `2018LA_Seg_Training Set` (or with underscores), or the folder of scans itself."""

    look: Look
    spacing_mm: Spacing = (0.625, 0.625, 0.625)
    version: str = "1.0.0"

    def locate(self, root: Path) -> Path | None:
        return first_within(root, lambda folder: bool(_scans(folder)))

    def records(self, folder: Path) -> list[Record]:
        source = source_of(folder)
        return [
            Record(
                dataset=self.look.dataset,
                adapter_version=f"la_h5@{self.version}",
                case_id=scan.parent.name,
                patient_id=scan.parent.name,
                group=scan.parent.name,
                images=(ImageFile(path=scan.relative_to(folder).as_posix(), format="h5", key="image"),),
                label=LabelFile(kind="mask", path=scan.relative_to(folder).as_posix(), format="h5", key="label"),
                modality="MR",
                contrast="LGE",
                spacing=self.spacing_mm,
                intensity="zscore",
                source=source,
                meta={"crop": "gt_h5"},
            )
            for scan in _scans(folder)
        ]

    def tree(self) -> str:
        return f"{SETS[0]}/ (or with underscores)\n  <20 letters and digits>/{FILE}   (datasets: image, label)"

    def write_phantom(self, folder: Path, case_ids: Sequence[str], size: Size) -> None:
        """z-scored float32 images and 0/1 masks, with the two published lists beside them as a user would have them."""
        claim(folder)
        written = []
        for case, phantom in self.look.draw(case_ids, size):
            image = phantom.image.astype(np.float32)
            image = (image - image.mean()) / max(float(image.std()), 1e-6)
            path = folder / SETS[0] / case / FILE
            write_h5(path, {"image": image, "label": phantom.label})
            written.append(path)
        for part in ("train", "test"):
            path = folder / f"{part}.list"
            write_text(path, "\n".join(read_list(SPLITS, f"la_{part}.txt")) + "\n")
            written.append(path)
        seal(folder, size, case_ids, written)


def _scans(folder: Path) -> list[Path]:
    """The h5 files of a folder, by name, wherever it keeps them."""
    for name in SETS:
        found = sorted((folder / name).glob(f"[!.]*/{FILE}"))
        if found:
            return found
    return []
