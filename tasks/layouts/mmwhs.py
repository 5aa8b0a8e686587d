"""MM-WHS 2017's tree: `<modality>_train_NNNN_image.nii.gz` beside `..._label.nii.gz`, labels as numbers from 205 to 850.

Source   zmic.org.cn/care_2024/track5 and sdspeople.fudan.edu.cn/zhuangxiahai/0/mmwhs17; Zhuang, Medical Image Analysis 2019
Quirks   some releases split `ct_train` in `ct_train1` and `ct_train2` or use `images` and `labels`, so files are told by their
         stems; 421 stands in a few voxels for 420; the test part (`ct_test`, 2001 to 2040) has no public labels
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.contracts.record import Record
from bench.data.find import first_within
from bench.data.volumes import write_nifti
from tasks.layouts.names import volumes_in
from tasks.layouts.nifti_pairs import Pair, coded, records_of
from tasks.layouts.phantom_case import Look, Size, claim, draw_number, seal, source_of

FOLDERS = ("{m}_train", "{m}_train1", "{m}_train2", "{m}_test", "images", "labels", "imagesTr", "labelsTr", "")
CODES = {1: 205, 2: 420, 3: 500, 4: 550, 5: 600, 6: 820, 7: 850}
STRAY = 421  # for 420


@dataclass(frozen=True, kw_only=True)
class MmWhs:
    """The CT part (`modality` ct); the MR part (`mr`) is laid out alike."""

    look: Look
    modality: str = "ct"
    version: str = "1.0.0"

    def locate(self, root: Path) -> Path | None:
        return first_within(root, lambda folder: bool(self._files(folder, "image")))

    def records(self, folder: Path) -> list[Record]:
        labels = dict(self._files(folder, "label"))
        pairs = [Pair(case, path, labels.get(case)) for case, path in self._files(folder, "image")]
        return records_of(
            folder,
            pairs,
            dataset=self.look.dataset,
            adapter=f"mmwhs@{self.version}",
            modality="CT" if self.modality == "ct" else "MR",
            source=source_of(folder),
        )

    def tree(self) -> str:
        m = self.modality
        return (
            f"{m}_train/{m}_train_10NN_image.nii.gz\n{m}_train/{m}_train_10NN_label.nii.gz   (205, 420, 500, ... 850)"
        )

    def write_phantom(self, folder: Path, case_ids: Sequence[str], size: Size) -> None:
        """Several axis orders; one mask in two has a few voxels of 421 among its 420."""
        claim(folder)
        written: list[Path] = []
        for case, phantom in self.look.draw(case_ids, size):
            mask = coded(phantom.label, CODES)
            if draw_number(case, "stray") % 2 == 0:
                mask[tuple(np.argwhere(mask == CODES[2])[:3].T)] = STRAY
            affine, (image, mask) = self.look.stored(case, phantom.image, mask)
            stem = folder / f"{self.modality}_train" / case
            pair = stem.with_name(f"{case}_image.nii.gz"), stem.with_name(f"{case}_label.nii.gz")
            write_nifti(pair[0], image, affine=affine, dtype=image.dtype)
            write_nifti(pair[1], mask, affine=affine, dtype=np.int16)
            written += pair
        seal(folder, size, case_ids, written)

    def _files(self, folder: Path, what: str) -> list[tuple[str, Path]]:
        """(case, file) of images or labels, wherever the release keeps them."""
        pattern = re.compile(rf"({self.modality}_(?:train|test)_\d{{4}})_{what}")
        places = [folder / name.format(m=self.modality) for name in FOLDERS]
        found = [(stem, path) for place in places for stem, path in volumes_in(place)]
        return sorted((match[1], path) for stem, path in found if (match := pattern.fullmatch(stem)))
