"""FLARE22's tree: `Training/FLARE22_LabeledCase50/{images,labels}`, unlabelled cases in folders of their own.

Source   flare22.grand-challenge.org; Ma et al., Lancet Digital Health 2024; labelled part Zenodo 7860267
Quirks   images end in `_0000` (one channel), labels do not; some copies hold `images` and `labels` alone; the 50 labelled scans
         are MSD Pancreas cases under new names
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.contracts.record import Record
from bench.data.find import first_within
from tasks.layouts.names import volumes_in
from tasks.layouts.nifti_pairs import Pair, records_of, write_pair
from tasks.layouts.phantom_case import Look, Size, claim, seal, source_of

LABELLED = ("Training/FLARE22_LabeledCase50", "FLARE22_LabeledCase50", "")
UNLABELLED = ("Training/FLARE22_UnlabeledCase*", "Validation")
IMAGE = re.compile(r"(FLARE22_Tr_\d{4}|Case_\d{5}|FLARETs_\d{4})_0000")


@dataclass(frozen=True, kw_only=True)
class Flare:
    """The labelled cases, and the unlabelled and validation ones where they are there."""

    look: Look
    version: str = "1.0.0"

    def locate(self, root: Path) -> Path | None:
        return first_within(root, lambda folder: _labelled(folder) is not None)

    def records(self, folder: Path) -> list[Record]:
        home = _labelled(folder) or folder
        masks = dict(volumes_in(home / "labels"))
        pairs = [Pair(case, path, masks.get(case)) for case, path in _images(home / "images")]
        hidden = [place for pattern in UNLABELLED for place in sorted(folder.glob(pattern)) if place.is_dir()]
        pairs += [Pair(case, path) for place in hidden for case, path in _images(place)]
        return records_of(
            folder,
            pairs,
            dataset=self.look.dataset,
            adapter=f"flare@{self.version}",
            modality="CT",
            source=source_of(folder),
        )

    def tree(self) -> str:
        return (
            "FLARE2022/Training/FLARE22_LabeledCase50/\n  images/FLARE22_Tr_NNNN_0000.nii.gz\n"
            "  labels/FLARE22_Tr_NNNN.nii.gz\n(or a folder of images/ and labels/ alone)"
        )

    def write_phantom(self, folder: Path, case_ids: Sequence[str], size: Size) -> None:
        """The official tree with one unlabelled case."""
        claim(folder)
        home = folder / LABELLED[0]
        written: list[Path] = []
        for case in case_ids:
            pair = Pair(case, home / "images" / f"{case}_0000.nii.gz", home / "labels" / f"{case}.nii.gz")
            written += write_pair(self.look, pair, size)
        hidden = folder / "Training" / "FLARE22_UnlabeledCase1-500" / "Case_00001_0000.nii.gz"
        written += write_pair(self.look, Pair("Case_00001", hidden), size)
        seal(folder, size, case_ids, written)


def _labelled(folder: Path) -> Path | None:
    return next((folder / name for name in LABELLED if _images(folder / name / "images")), None)


def _images(folder: Path) -> list[tuple[str, Path]]:
    return [(match[1], path) for stem, path in volumes_in(folder) if (match := IMAGE.fullmatch(stem))]
