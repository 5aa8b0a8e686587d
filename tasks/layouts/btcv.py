"""BTCV's tree as Synapse ships it (`RawData/Training/img`) or in the MONAI tutorials' form (`imagesTr`).

Source   Synapse syn3193805, Beyond the Cranial Vault, Abdomen
Quirks   images and masks have different stems (`img0001`, `label0001`); the case id is the number alone, as the published
         lists write it; some patients lack a gallbladder or a right kidney
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.contracts.record import ImageFile, LabelFile, Record
from bench.data.find import first_within
from bench.data.volumes import write_nifti
from tasks.layouts.names import volumes_in
from tasks.layouts.phantom_case import Look, Size, claim, seal, source_of

FORMS = (("Training/img", "Training/label", "Testing/img"), ("imagesTr", "labelsTr", "imagesTs"))
IMAGE = re.compile(r"img(\d{4})")
LABEL = re.compile(r"(?:label|img)(\d{4})")


@dataclass(frozen=True, kw_only=True)
class Btcv:
    """The 30 labelled and 20 unlabelled scans; the form on disk is found by itself."""

    look: Look
    version: str = "1.0.0"

    def locate(self, root: Path) -> Path | None:
        return first_within(root, lambda folder: any(_numbered(folder / form[0], IMAGE) for form in FORMS))

    def records(self, folder: Path) -> list[Record]:
        source = source_of(folder)
        return [
            Record(
                dataset=self.look.dataset,
                adapter_version=f"btcv@{self.version}",
                case_id=case,
                patient_id=case,
                group=case,
                images=(ImageFile(path=image.relative_to(folder).as_posix(), format="nifti"),),
                label=LabelFile(kind="mask", path=label.relative_to(folder).as_posix()) if label else LabelFile(),
                modality="CT",
                contrast="portal venous",
                intensity="hu",
                source=source,
            )
            for case, image, label in _pairs(folder)
        ]

    def tree(self) -> str:
        return (
            "RawData/Training/img/imgNNNN.nii.gz\nRawData/Training/label/labelNNNN.nii.gz\n"
            "(or imagesTr/imgNNNN.nii.gz and labelsTr/labelNNNN.nii.gz)"
        )

    def write_phantom(self, folder: Path, case_ids: Sequence[str], size: Size) -> None:
        """The Synapse form, in several axis orders, one case in ten oblique; some cases lack the gallbladder."""
        claim(folder)
        written: list[Path] = []
        for case, phantom in self.look.draw(case_ids, size):
            affine, (image, mask) = self.look.stored(case, phantom.image, phantom.label)
            pair = folder / FORMS[0][0] / f"img{case}.nii.gz", folder / FORMS[0][1] / f"label{case}.nii.gz"
            write_nifti(pair[0], image, affine=affine, dtype=np.int16)
            write_nifti(pair[1], mask, affine=affine, dtype=np.uint8)
            written += pair
        seal(folder, size, case_ids, written)


def _pairs(folder: Path) -> list[tuple[str, Path, Path | None]]:
    pairs: list[tuple[str, Path, Path | None]] = []
    for images, labels, hidden in FORMS:
        masks = dict(_numbered(folder / labels, LABEL))
        pairs += [(case, path, masks.get(case)) for case, path in _numbered(folder / images, IMAGE)]
        pairs += [(case, path, None) for case, path in _numbered(folder / hidden, IMAGE)]
    return sorted(pairs, key=lambda pair: (pair[0], pair[1]))


def _numbered(folder: Path, pattern: re.Pattern[str]) -> list[tuple[str, Path]]:
    return [(match[1], path) for stem, path in volumes_in(folder) if (match := pattern.fullmatch(stem))]
