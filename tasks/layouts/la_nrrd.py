"""The left atrium set as its challenge ships it: one folder per scan with whole NRRD volumes.

Source   2018 Atrial Segmentation Challenge, atriaseg2018.cardiacatlas.org; Xiong et al., Medical Image Analysis 2021
Quirks   the atrium is coded 255; intensities are raw 8-bit; the file names say `laendo` for the cavity, `lawall` (unused) for
         its wall; not cropped, so numbers on it are not those of the h5 package
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.contracts.configs import Spacing
from bench.contracts.record import ImageFile, LabelFile, Record
from bench.data.find import first_within
from bench.data.volumes import write_nrrd
from tasks.layouts.phantom_case import Look, Size, claim, seal, source_of

SETS = ("Training Set", "Testing Set")
IMAGE, LABEL = "lgemri.nrrd", "laendo.nrrd"


@dataclass(frozen=True, kw_only=True)
class LaNrrd:
    """Scans below `Training Set` and, where they are there, `Testing Set`. `spacing_mm` serves files that tell none."""

    look: Look
    spacing_mm: Spacing = (0.625, 0.625, 0.625)
    version: str = "1.0.0"

    def locate(self, root: Path) -> Path | None:
        return first_within(root, lambda folder: bool(_scans(folder)))

    def records(self, folder: Path) -> list[Record]:
        source = source_of(folder)
        return [self._record(folder, scan, source) for scan in _scans(folder)]

    def tree(self) -> str:
        return f"{SETS[0]}/\n  <20 letters and digits>/{IMAGE}\n  <20 letters and digits>/{LABEL}   (255 = left atrium)"

    def write_phantom(self, folder: Path, case_ids: Sequence[str], size: Size) -> None:
        """8-bit images and masks coded 0 and 255. Needs pynrrd."""
        claim(folder)
        written = []
        for case, phantom in self.look.draw(case_ids, size):
            image = np.round(phantom.image * (255 / max(float(phantom.image.max()), 1e-6))).astype(np.uint8)
            affine, (image, mask) = self.look.stored(case, image, phantom.label * np.uint8(255))
            for name, array in ((IMAGE, image), (LABEL, mask)):
                write_nrrd(folder / SETS[0] / case / name, array, affine=affine)
                written.append(folder / SETS[0] / case / name)
        seal(folder, size, case_ids, written)

    def _record(self, folder: Path, scan: Path, source: str) -> Record:
        label = scan / LABEL
        return Record(
            dataset=self.look.dataset,
            adapter_version=f"la_nrrd@{self.version}",
            case_id=scan.name,
            patient_id=scan.name,
            group=scan.name,
            images=(ImageFile(path=(scan / IMAGE).relative_to(folder).as_posix(), format="nrrd"),),
            label=LabelFile(kind="mask", path=label.relative_to(folder).as_posix(), format="nrrd")
            if label.is_file()
            else LabelFile(),
            modality="MR",
            contrast="LGE",
            spacing=self.spacing_mm,
            intensity="raw",
            source="phantom" if source == "phantom" else "real",
            meta={"crop": "none"},
        )


def _scans(folder: Path) -> list[Path]:
    return sorted(path.parent for name in SETS for path in (folder / name).glob(f"[!.]*/{IMAGE}"))
