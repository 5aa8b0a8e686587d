"""COVID-19-20's tree: `Train/volume-covid19-A-NNNN_ct.nii.gz` beside `..._seg.nii.gz`, `Validation` without masks.

Source   covid-segmentation.grand-challenge.org; Roth et al., Medical Image Analysis 2022; images from TCIA CT Images in COVID-19
Quirks   seven ids bear a suffix (`0167_1`): repeats whose first scan is not in the list; some masks are coded as float 1.0
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.contracts.record import Record
from bench.data.find import first_within
from tasks.layouts.names import volumes_in
from tasks.layouts.nifti_pairs import Pair, records_of, write_pair
from tasks.layouts.phantom_case import Look, Size, claim, draw_number, seal, source_of

PARTS = ("Train", "Validation", "")
NAME = re.compile(r"volume-covid19-A-(\d{4}(?:_\d)?)_(ct|seg)")


@dataclass(frozen=True, kw_only=True)
class Covid1920:
    """The 199 training scans and, where they are there, the 50 of the validation part."""

    look: Look
    version: str = "1.0.0"

    def locate(self, root: Path) -> Path | None:
        return first_within(root, lambda folder: bool(_files(folder, "ct")))

    def records(self, folder: Path) -> list[Record]:
        masks = dict(_files(folder, "seg"))
        pairs = [Pair(case, path, masks.get(case), group=case.partition("_")[0]) for case, path in _files(folder, "ct")]
        return records_of(
            folder,
            pairs,
            dataset=self.look.dataset,
            adapter=f"covid1920@{self.version}",
            modality="CT",
            source=source_of(folder),
        )

    def tree(self) -> str:
        return "Train/volume-covid19-A-NNNN_ct.nii.gz\nTrain/volume-covid19-A-NNNN_seg.nii.gz   (NNNN or NNNN_k)"

    def write_phantom(self, folder: Path, case_ids: Sequence[str], size: Size) -> None:
        """One mask in three is coded as float."""
        claim(folder)
        written: list[Path] = []
        for case in case_ids:
            stem = folder / "Train" / f"volume-covid19-A-{case}"
            pair = Pair(case, stem.with_name(f"{stem.name}_ct.nii.gz"), stem.with_name(f"{stem.name}_seg.nii.gz"))
            dtype = np.float32 if draw_number(case, "float") % 3 == 0 else np.uint8
            written += write_pair(self.look, pair, size, dtype=dtype)
        seal(folder, size, case_ids, written)


def _files(folder: Path, what: str) -> list[tuple[str, Path]]:
    found = [(NAME.fullmatch(stem), path) for part in PARTS for stem, path in volumes_in(folder / part)]
    return sorted((match[1], path) for match, path in found if match and match[2] == what)
