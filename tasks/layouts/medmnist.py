"""MedMNIST's archives: one npz per set and side, arrays `{train,val,test}_{images,labels}`, the official split inside.

Source   medmnist.com; Yang et al., Scientific Data 2023; Zenodo 10519652 (package v3), 6496656 (v2)
Quirks   labels are (n, 1); OrganMNIST3D and VesselMNIST3D were issued anew with one image less, so either generation's checksum
         is accepted and told (of the older one the last image is left out); no voxel size is stored: voxels count as cubes of
         1 mm, a picture as one slice of unlimited thickness
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from bench.contracts.cards import Modality
from bench.contracts.configs import Spacing
from bench.contracts.errors import DataUnsound
from bench.contracts.record import ImageFile, LabelFile, Record, Source
from bench.data import archive
from bench.data.atomic import write_bytes
from bench.data.find import first_within
from bench.phantoms.body import stream
from bench.phantoms.factors import even_label, latent
from bench.phantoms.specimen import Style, specimen
from tasks.layouts.phantom_case import SPLITS, Size, claim, seal, source_of

GREY = Style()
PARTS = ("train", "val", "test")
SIDES = (28, 64, 128, 224)  # the papers used 28
CUBE_MM: Spacing = (1.0, 1.0, 1.0)
PICTURE_MM: Spacing = (1.0, 1.0, 1e8)
FETCH = "Fetch it again from Zenodo (record 10519652, or 6496656 for the older release); checksums stand on its page."
FACTS = {"medmnist.json": "v3", "medmnist_corrected.json": "corrected"}  # a list of ours -> the release that it tells


@dataclass(frozen=True, kw_only=True)
class MedMnist:
    """The set `flag` (`organmnist3d`), in the smallest side that is there. `classes` is their number.

    `dims` is 3 or 2, `style` how phantoms look, `phantom_parts` how many of them each part has at most. `facts` is the list
    that holds counts and checksums. `stem` is what other authors call the files of their correction (`<stem>_28.npz`), which
    `hint` says where to find; `beside` is such a correction, of which phantoms are written too.
    """

    flag: str
    classes: int
    modality: Modality
    dims: int = 3
    style: Style = GREY
    phantom_parts: Mapping[Size, tuple[int, int, int]] = field(
        default_factory=lambda: {"smoke": (24, 12, 12), "mini": (700, 100, 300)}, hash=False
    )
    facts: str = "medmnist.json"
    stem: str = ""
    hint: str = ""
    beside: MedMnist | None = None
    version: str = "1.0.0"

    def locate(self, root: Path) -> Path | None:
        return first_within(root, lambda folder: self._file(folder) is not None)

    def records(self, folder: Path) -> list[Record]:
        """One record per image of the archive. Raises DataUnsound for a file that no release has, or that is cut short."""
        path = self._file(folder)
        if path is None:
            return []
        source, here = source_of(folder), path.stat()
        release = "phantom" if source == "phantom" else self._release(path)
        return list(_records(self, path, source, release, here.st_size, here.st_mtime_ns))

    def tally(self, folder: Path) -> int:
        """How many images the archive holds, without a record of each; raises as `records`."""
        path = self._file(folder)
        if path is None:
            return 0
        if source_of(folder) == "real":
            self._release(path)
        return sum(len(self.labels(path, part)) for part in PARTS)

    def tree(self) -> str:
        first, *others = self._names()
        arrays = f"{first}   (or {others[0]}; arrays train_images, train_labels, val_..., test_...)"
        return f"{arrays}\n{self.hint}" if self.hint else arrays

    def write_phantom(self, folder: Path, case_ids: Sequence[str], size: Size) -> None:
        """An archive that holds every place up to the last one asked for, in each part; likewise of a correction beside it."""
        claim(folder)
        places = [case.split("/") for case in case_ids if case.startswith(f"{self.flag}/")]
        arrays: dict[str, np.ndarray] = {}
        written = []
        for part in PARTS:
            count = 1 + max((int(number) for _, name, number in places if name == part), default=0)
            drawn = [self._drawn(part, number, size) for number in range(count)]
            arrays[f"{part}_images"] = np.stack([image for image, _ in drawn])
            arrays[f"{part}_labels"] = np.asarray([[label] for _, label in drawn], np.uint8)
            written += [f"{self.flag}/{part}/{number:06d}" for number in range(count)]
        path = folder / next(iter(self._names()))
        write_bytes(path, archive.encode_npz(arrays))
        seal(folder, size, written, [path])
        if self.beside and (others := [case for case in case_ids if case.startswith(f"{self.beside.flag}/")]):
            self.beside.write_phantom(folder, others, size)

    def _drawn(self, part: str, number: int, size: Size) -> tuple[np.ndarray, int]:
        key = (size, self.flag, f"{part}/{number:06d}")
        label = even_label(self.classes, number, size, self.flag, part)
        shape = (28, 28, 28 if self.dims == 3 else 1)
        image = specimen(latent(self.flag, self.classes, label, *key), self.style, shape, stream(*key, "image"))
        return image if self.dims == 3 else image[:, :, 0], label

    def _file(self, folder: Path) -> Path | None:
        return next((folder / name for name in self._names() if (folder / name).is_file()), None)

    def _names(self) -> dict[str, int]:
        """What a file may be called -> its side, smallest first."""
        if self.stem:
            return {f"{self.stem}_{side}.npz": side for side in (SIDES[0], SIDES[-1])}
        return {f"{self.flag}{'' if side == SIDES[0] else f'_{side}'}.npz": side for side in SIDES}

    def _release(self, path: Path) -> str:
        """Which release a file is of, by its checksum. Raises DataUnsound for none."""
        found = _md5(str(path), path.stat().st_size, path.stat().st_mtime_ns)
        side, facts = self._names()[path.name], _facts(self.flag, self.facts)
        fields = ((f"md5_{side}", FACTS[self.facts]), (f"v2_md5_{side}", "v2"))
        known = {facts[name]: told for name, told in fields if name in facts}
        if found not in known:
            raise DataUnsound(
                f"{path.name} has the md5 {found}; its releases have {' or '.join(known) or 'none of this side'}.",
                case=self.flag,
                remedy=self.hint or FETCH,
            )
        return known[found] + (f", {side} voxels a side" if side != SIDES[0] else "")

    def labels(self, path: Path, part: str) -> np.ndarray:
        """The classes of a part. Raises DataUnsound for an array that is not there, and for a class that the set has not."""
        try:
            labels = archive.small_array(path, f"{part}_labels")
        except (OSError, ValueError, KeyError, EOFError, archive.BadArchive) as error:
            raise DataUnsound(
                f"{path.name} gives no '{part}_labels' ({error}); it is cut short or another file.",
                case=self.flag,
                remedy=FETCH,
            ) from error
        strange = labels[(labels < 0) | (labels >= self.classes)]
        if strange.size:
            raise DataUnsound(
                f"{path.name} holds the class {int(strange[0])} in '{part}_labels'; classes run from 0 to {self.classes - 1}.",
                case=self.flag,
                remedy=FETCH,
            )
        return labels.reshape(len(labels))

    def record(self, name: str, part: str, source: Source, release: str) -> Record:
        """What all images of a part have in common; index, ids and class are still to be told."""
        colours = range(self.style.channels)
        return Record(
            dataset=self.flag,
            adapter_version=f"medmnist@{self.version}",
            case_id="",
            patient_id="",
            group="",
            images=tuple(
                ImageFile(
                    path=name, format="npz", key=f"{part}_images", channel=c, frame=c if len(colours) > 1 else None
                )
                for c in colours
            ),
            modality=self.modality,
            spacing=CUBE_MM if self.dims == 3 else PICTURE_MM,
            intensity="raw",
            source=source,
            meta={"release": release},
        )


@lru_cache(maxsize=2)  # a quarter of a million records take seconds to make, and a run asks for them several times
def _records(
    layout: MedMnist, path: Path, source: Source, release: str, _bytes: int, _changed_ns: int
) -> tuple[Record, ...]:
    found = []
    for part in PARTS:
        label = LabelFile(kind="class", path=path.name, format="table", key=f"{part}_labels")
        known = [label.model_copy(update={"value": k}) for k in range(layout.classes)]
        common = layout.record(path.name, part, source, release)
        for index, value in enumerate(layout.labels(path, part).tolist()):
            case = f"{layout.flag}/{part}/{index:06d}"
            images = tuple(image.model_copy(update={"index": index}) for image in common.images)
            own = {"case_id": case, "patient_id": case, "group": case, "images": images, "label": known[value]}
            found.append(common.model_copy(update=own))
    return tuple(found)


def _facts(flag: str, file: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((SPLITS / file).read_text(encoding="utf-8"))
    found: dict[str, Any] = content[flag]
    return found


@lru_cache(maxsize=32)
def _md5(name: str, _bytes: int, _changed_ns: int) -> str:
    with Path(name).open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()
