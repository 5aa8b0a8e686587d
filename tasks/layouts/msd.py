"""The Medical Segmentation Decathlon's tree: one folder per task, one NIfTI per case, `dataset.json` with `./` paths.

Source   medicaldecathlon.com; Antonelli et al., Nature Communications 2022
Quirks   paths start with `./`; some archives hold AppleDouble files `._*`; Task01's images are 4-D (x, y, z, channel) and its
         masks 3-D; Task04's `dataset.json` misspells `release`, so no field but the lists is asked for
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bench.contracts.errors import DataUnsound
from bench.contracts.record import ImageFile, LabelFile, Record
from bench.data.atomic import write_bytes, write_json
from bench.data.axes import Affine
from bench.data.find import first_within
from bench.data.volumes import write_nifti
from tasks.layouts.names import stem_of, volumes_in
from tasks.layouts.phantom_case import Look, Size, claim, draw_number, seal, source_of


@dataclass(frozen=True, kw_only=True)
class Msd:
    """One task of the Decathlon. `stem` is the word before the number (`hippocampus`), `channels` the images' 4th axis.

    `look` is how phantoms look, `contrasts` their modality per channel where there are several; `unlabelled` names the cases
    that phantoms get in `imagesTs`.
    """

    task: str
    stem: str
    modality: Literal["CT", "MR"]
    labels: tuple[str, ...]
    look: Look
    channels: int = 1
    contrasts: tuple[str, ...] = ()
    unlabelled: tuple[str, ...] = ()
    version: str = "1.0.0"

    def locate(self, root: Path) -> Path | None:
        return first_within(root, self._is_here)

    def records(self, folder: Path) -> list[Record]:
        """Pairs that `dataset.json` names and those that lie in the folders; what is named and not on disk is left out."""
        source = source_of(folder)
        return [
            Record(
                dataset=self.look.dataset,
                adapter_version=f"msd@{self.version}",
                case_id=case,
                patient_id=case,
                group=case,
                images=tuple(
                    ImageFile(path=image, format="nifti", channel=c, frame=c if self.channels > 1 else None)
                    for c in range(self.channels)
                ),
                label=LabelFile(kind="mask", path=label) if label else LabelFile(),
                modality=self.modality,
                intensity="hu" if self.modality == "CT" else "raw",
                source=source,
            )
            for case, image, label in self._pairs(folder)
        ]

    def tree(self) -> str:
        return (
            f"{self.task}/\n  dataset.json\n  imagesTr/{self.stem}_NNN.nii.gz\n  labelsTr/{self.stem}_NNN.nii.gz\n"
            f"  imagesTs/{self.stem}_NNN.nii.gz   (unlabelled; may be absent)"
        )

    def write_phantom(self, folder: Path, case_ids: Sequence[str], size: Size) -> None:
        """Cases with the tree's quirks: `./` paths, an AppleDouble file, some uint8 images, some float-coded masks."""
        claim(folder)
        written = [path for case in case_ids for path in self._write_pair(folder, case, size)]
        hidden = [case for case in self.unlabelled if case not in case_ids]
        written += [path for case in hidden for path in self._write_pair(folder, case, size, label=False)]
        write_bytes(
            folder / "imagesTr" / f"._{next(iter(case_ids), self.stem)}.nii.gz", b"\x00\x05\x16\x07 AppleDouble"
        )
        listed = sorted({case for case, _, label in self._found(folder) if label})
        write_json(folder / "dataset.json", self._contents(listed, hidden))
        seal(folder, size, case_ids, [*written, folder / "dataset.json"])

    def write_submission(
        self, out: Path, folder: Path, record: Record, labels: NDArray[np.uint8], affine: Affine
    ) -> list[Path]:
        """One mask of the challenge's test part: `<task>/<case>.nii.gz` on the image's own grid."""
        path = out / self.task / f"{record.case_id}.nii.gz"
        write_nifti(path, labels, affine=affine, dtype=np.uint8)
        return [path]

    def _is_here(self, folder: Path) -> bool:
        return any(stem.startswith(f"{self.stem}_") for stem, _ in volumes_in(folder / "imagesTr")) and not any(
            stem.endswith("_0000") for stem, _ in volumes_in(folder / "imagesTr")
        )

    def _pairs(self, folder: Path) -> list[tuple[str, str, str]]:
        """(case, image, label or '') from both sources, each image once, by case."""
        listed = [pair for pair in self._listed(folder) if (folder / pair[1]).is_file()]
        named = {image for _, image, _ in listed}
        return sorted([*listed, *(pair for pair in self._found(folder) if pair[1] not in named)])

    def _listed(self, folder: Path) -> list[tuple[str, str, str]]:
        path = folder / "dataset.json"
        if not path.is_file():
            return []
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            training = [(entry["image"], entry["label"]) for entry in content.get("training", [])]
            test = [(entry["image"] if isinstance(entry, dict) else entry, "") for entry in content.get("test", [])]
            plain = [(_plain(image), label and _plain(label)) for image, label in (*training, *test)]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataUnsound(
                f"dataset.json does not list image and label of each case ({error!r}).",
                case=self.task,
                remedy="Fetch dataset.json again, or take it away: the folders alone suffice.",
            ) from error
        return [
            (stem, image, label if label and (folder / label).is_file() else "")
            for image, label in plain
            if (stem := stem_of(PurePosixPath(image).name)) is not None
        ]

    def _found(self, folder: Path) -> list[tuple[str, str, str]]:
        masks = {stem: path.name for stem, path in volumes_in(folder / "labelsTr")}
        labelled = [
            (stem, f"imagesTr/{path.name}", f"labelsTr/{masks[stem]}" if stem in masks else "")
            for stem, path in volumes_in(folder / "imagesTr")
        ]
        return [*labelled, *((stem, f"imagesTs/{path.name}", "") for stem, path in volumes_in(folder / "imagesTs"))]

    def _write_pair(self, folder: Path, case: str, size: Size, *, label: bool = True) -> list[Path]:
        views = [self.look.draw([case], size, contrast)[0][1] for contrast in self.contrasts or ("",)]
        image_path = folder / ("imagesTr" if label else "imagesTs") / f"{case}.nii.gz"
        affine, (mask, *channels) = self.look.stored(case, views[0].label, *(view.image for view in views))
        stack = np.stack(channels, axis=-1) if self.channels > 1 else channels[0]
        eight_bit = self.modality == "MR" and self.channels == 1 and draw_number(case, "uint8") % 5 == 0
        if eight_bit:
            stack = np.round(stack * (255 / float(stack.max())))
        write_nifti(image_path, stack, affine=affine, dtype=np.uint8 if eight_bit else views[0].image.dtype)
        if not label:
            return [image_path]
        label_path = folder / "labelsTr" / f"{case}.nii.gz"
        write_nifti(
            label_path, mask, affine=affine, dtype=np.float32 if draw_number(case, "float") % 4 == 0 else np.uint8
        )
        return [image_path, label_path]

    def _contents(self, cases: Sequence[str], unlabelled: Sequence[str]) -> dict[str, Any]:
        pairs = [{"image": f"./imagesTr/{case}.nii.gz", "label": f"./labelsTr/{case}.nii.gz"} for case in cases]
        return {
            "name": self.task.partition("_")[2],
            "description": "phantoms; no person was scanned",
            "licence": "CC0-1.0",
            "tensorImageSize": "4D" if self.channels > 1 else "3D",
            "modality": {str(c): self.modality for c in range(self.channels)},
            "labels": {str(i): name for i, name in enumerate(("background", *self.labels))},
            "numTraining": len(pairs),
            "numTest": len(unlabelled),
            "training": pairs,
            "test": [f"./imagesTs/{case}.nii.gz" for case in unlabelled],
        }


def _plain(path: str) -> str:
    """A path of `dataset.json` without its leading `./`."""
    return PurePosixPath(path).as_posix()
