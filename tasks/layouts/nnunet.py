"""nnU-Net's raw form: `$nnUNet_raw/DatasetXXX_Name/{imagesTr,labelsTr}`, channels as `_0000`, `_0001`, ...

Source   the nnU-Net v2 documentation of its dataset format; Isensee et al., Nature Methods 2021
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bench.contracts.errors import DataUnsound
from bench.contracts.record import ImageFile, LabelFile, Record
from bench.data.atomic import write_json
from bench.data.find import first_within
from bench.data.volumes import write_nifti
from tasks.layouts.names import volumes_in
from tasks.layouts.phantom_case import Look, Size, claim, seal, source_of

CHANNEL = re.compile(r"(.+)_(\d{4})")


@dataclass(frozen=True, kw_only=True)
class NnUnet:
    """One dataset of any number called `name`. `prefix` stands before the case id in file names (`img` for BTCV).

    `labels` are the class names 1, 2, ...; the folder's `dataset.json` must count them alike.
    """

    name: str
    modality: Literal["CT", "MR"]
    labels: tuple[str, ...]
    look: Look
    prefix: str = ""
    version: str = "1.0.0"

    def locate(self, root: Path) -> Path | None:
        return first_within(root, self._is_here)

    def records(self, folder: Path) -> list[Record]:
        """One record per case with all its channels. Raises DataUnsound where `dataset.json` is absent or of another task."""
        channels, ending = self._told(folder)
        source = source_of(folder)
        masks = {stem: f"labelsTr/{path.name}" for stem, path in volumes_in(folder / "labelsTr", (ending,))}
        files: dict[str, dict[int, str]] = {}
        for part in ("imagesTr", "imagesTs"):
            for stem, path in volumes_in(folder / part, (ending,)):
                match = CHANNEL.fullmatch(stem)
                if match and match[1].startswith(self.prefix):
                    files.setdefault(match[1], {})[int(match[2])] = f"{part}/{path.name}"
        incomplete = next((stem for stem, found in files.items() if sorted(found) != list(range(channels))), "")
        if incomplete:
            raise DataUnsound(
                f"asked for channels 0 to {channels - 1}, found {sorted(files[incomplete])}.",
                case=incomplete,
                remedy="Complete the conversion; dataset.json says how many channels a case has.",
            )
        return [
            self._record(stem.removeprefix(self.prefix), images, masks.get(stem, ""), source == "phantom")
            for stem, images in sorted(files.items())
        ]

    def tree(self) -> str:
        return (
            f"$nnUNet_raw/DatasetNNN_{self.name}/\n  dataset.json\n  imagesTr/{self.prefix}<case>_0000.nii.gz\n"
            f"  labelsTr/{self.prefix}<case>.nii.gz"
        )

    def write_phantom(self, folder: Path, case_ids: Sequence[str], size: Size) -> None:
        """`folder` should be called DatasetNNN_Name, as `locate` asks for that."""
        claim(folder)
        written: list[Path] = []
        for case, phantom in self.look.draw(case_ids, size):
            affine, (image, mask) = self.look.stored(case, phantom.image, phantom.label)
            stem = f"{self.prefix}{case}"
            pair = folder / "imagesTr" / f"{stem}_0000.nii.gz", folder / "labelsTr" / f"{stem}.nii.gz"
            write_nifti(pair[0], image, affine=affine, dtype=image.dtype)
            write_nifti(pair[1], mask, affine=affine, dtype=np.uint8)
            written += pair
        write_json(
            folder / "dataset.json",
            {
                "channel_names": {"0": "CT" if self.modality == "CT" else "MRI"},
                "labels": {name: i for i, name in enumerate(("background", *self.labels))},
                "numTraining": len(volumes_in(folder / "labelsTr")),
                "file_ending": ".nii.gz",
            },
        )
        seal(folder, size, case_ids, [*written, folder / "dataset.json"])

    def _is_here(self, folder: Path) -> bool:
        named = re.fullmatch(rf"Dataset\d{{3}}_{re.escape(self.name)}", folder.name)
        return named is not None and (folder / "imagesTr").is_dir()

    def _told(self, folder: Path) -> tuple[int, str]:
        """(channels, file ending) of `dataset.json`, after its labels were compared with the card's."""
        try:
            content: dict[str, Any] = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
            values = {value for value in content["labels"].values() if isinstance(value, int)}
            told = len(content["channel_names"]), str(content["file_ending"])
        except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
            raise DataUnsound(
                f"dataset.json of {folder.name} does not give channel_names, labels and file_ending ({error!r}).",
                case=folder.name,
                remedy="nnU-Net's own converters write it; convert the dataset again.",
            ) from error
        if values != set(range(len(self.labels) + 1)):
            raise DataUnsound(
                f"dataset.json of {folder.name} has labels {sorted(values)}, this task has 0 to {len(self.labels)}.",
                case=folder.name,
                remedy=f"Is it really {self.name}? The official folders are taken as well.",
            )
        if told[1] not in (".nii.gz", ".nii"):
            raise DataUnsound(
                f"its files end in '{told[1]}'; .nii.gz and .nii can be read.",
                case=folder.name,
                remedy="Convert them to NIfTI.",
            )
        return told

    def _record(self, case: str, images: dict[int, str], label: str, phantom: bool) -> Record:
        return Record(
            dataset=self.look.dataset,
            adapter_version=f"nnunet@{self.version}",
            case_id=case,
            patient_id=case,
            group=case,
            images=tuple(ImageFile(path=path, format="nifti", channel=c) for c, path in sorted(images.items())),
            label=LabelFile(kind="mask", path=label) if label else LabelFile(),
            modality=self.modality,
            intensity="hu" if self.modality == "CT" else "raw",
            source="phantom" if phantom else "real",
        )
