"""Any dataset for pre-training whose images can be told by their paths: volumes and pictures, several modalities, frames.

Source   PUMIT's list of how 55 public sets lie on disk (tasks' readers know masks and splits; this one knows neither)
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bench.contracts.cards import Modality
from bench.contracts.record import ImageFile, ImageFormat, Record
from bench.data.atomic import write_bytes
from bench.data.axes import FLAT_MM
from bench.data.find import first_within
from bench.data.metaimage import write_metaimage
from bench.data.picture import encode_picture
from bench.data.volumes import frames_of, write_nifti
from bench.phantoms import Phantom
from tasks.layouts.phantom_case import Look, Size, claim, draw_number, seal, source_of

FORMATS: dict[str, ImageFormat] = {
    ".nii": "nifti",
    ".nii.gz": "nifti",
    ".nrrd": "nrrd",
    ".mha": "metaimage",
    ".mhd": "metaimage",  # its voxels lie in the .raw or .zraw that it names
    ".png": "png",
    ".jpg": "png",
    ".jpeg": "png",
    ".bmp": "png",
    ".tif": "png",
}


@dataclass(frozen=True)
class Images:
    """One sort of images of a dataset: `glob` finds them below its folder, `example` is such a path, with `{n}` for a number or
    `{case}` for a case's id, where phantoms lie (as NIfTI, MetaImage or picture, by its ending; MetaImage needs an extra).

    `skip` is a regular expression that no path may contain. `coloured` pictures have three channels, others one. Every frame
    of a 4-D file is an image of its own where `frames` says what frames are: `modalities`, or n `repeats`, which count as the
    near-duplicates they are with weight (2 n - 1) / n^2. `phantom` is how made-up images look where the dataset's look does
    not fit.
    """

    glob: str
    example: str
    modality: Modality
    skip: str = ""
    coloured: bool = False
    frames: Literal["", "modalities", "repeats"] = ""
    phantom: str = ""


@dataclass(frozen=True, kw_only=True)
class ImageTree:
    """A folder called one of `names` that holds images of several sorts. A case's id is its path without ending, or with
    `ids` "file" the file's name alone, where owners name their cases so.

    `depth_axis` is what the owners say of slices, among (x, y, z); None goes by spacing. Pictures are flat: one slice,
    as thick as one likes.
    """

    names: tuple[str, ...]
    images: tuple[Images, ...]
    look: Look
    depth_axis: int | None = None
    ids: Literal["path", "file"] = "path"
    version: str = "1.0.0"

    def locate(self, root: Path) -> Path | None:
        return first_within(root, self._is_here)

    def records(self, folder: Path) -> list[Record]:
        return [
            record for sort in self.images for path in _found(folder, sort) for record in self._of(folder, sort, path)
        ]

    def tree(self) -> str:
        return "\n".join(f"{self.names[-1]}/{sort.glob}" for sort in self.images)

    def write_phantom(self, folder: Path, case_ids: Sequence[str], size: Size) -> None:
        """The sorts of images take turns over the cases."""
        claim(folder)
        written: list[Path] = []
        for n, case in enumerate(case_ids, start=1):
            sort = self.images[(n - 1) % len(self.images)]
            ((_, phantom),) = self.look.draw([case], size, sort.phantom)
            written += self._write(folder / sort.example.format(n=n, case=case), case, phantom, sort)
        seal(folder, size, case_ids, written)

    def _of(self, folder: Path, sort: Images, path: Path) -> Iterator[Record]:
        ending = _ending(path.name)
        file = path.relative_to(folder).as_posix()
        case, kind = (path.name if self.ids == "file" else file).removesuffix(ending), FORMATS[ending.lower()]
        count = frames_of(path) if sort.frames else 1
        told = {"depth_axis": self.depth_axis} if self.depth_axis is not None else {}
        for frame in range(count):
            channels = range(3) if sort.coloured else range(1)
            at = [k if sort.coloured else frame if count > 1 else None for k in channels]
            weight = {"weight": (2 * count - 1) / count**2} if sort.frames == "repeats" else {}
            yield Record(
                dataset=self.look.dataset,
                adapter_version=f"image_tree@{self.version}",
                case_id=f"{case}#{frame}" if count > 1 else case,
                patient_id=case,
                group=case,
                images=tuple(
                    ImageFile(path=file, format=kind, channel=k, frame=f) for k, f in zip(channels, at, strict=True)
                ),
                modality=sort.modality,
                spacing=(FLAT_MM, 1.0, 1.0) if kind == "png" else None,
                intensity="hu" if sort.modality == "CT" else "raw",
                source=source_of(folder),
                meta={**told, **weight},
            )

    def _write(self, path: Path, case: str, phantom: Phantom, sort: Images) -> list[Path]:
        """Write one image as its ending says; returns the files, two of an .mhd."""
        ending = _ending(path.name)
        if FORMATS[ending] == "png":
            write_bytes(path, encode_picture(_picture(phantom.image, case, sort.coloured), ending))
            return [path]
        affine, (image,) = self.look.stored(case, phantom.image)
        if FORMATS[ending] == "metaimage":
            return write_metaimage(path, image, affine=affine, packed=ending == ".mha")
        write_nifti(path, image, affine=affine, dtype=np.int16 if image.dtype == np.int16 else np.float32)
        return [path]

    def _is_here(self, folder: Path) -> bool:
        return folder.name.casefold() in {name.casefold() for name in self.names} and any(
            next(_found(folder, sort), None) is not None for sort in self.images
        )


def _found(folder: Path, sort: Images) -> Iterator[Path]:
    """Files of a sort, by path; hidden ones are passed over."""
    for path in sorted(folder.glob(sort.glob)):
        inside = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in inside.parts)
        if _ending(path.name) and not hidden and not (sort.skip and re.search(sort.skip, inside.as_posix())):
            yield path


def _ending(name: str) -> str:
    """The ending of a file that can be read, '' for others."""
    return next((name[-len(ending) :] for ending in (".nii.gz", *FORMATS) if name.lower().endswith(ending)), "")


def _picture(image: NDArray[np.generic], case: str, coloured: bool) -> NDArray[np.uint8]:
    """A phantom's middle slice as an upright picture (rows, columns[, 3]) of 8 bits."""
    middle = image[:, :, image.shape[2] // 2].astype(np.float64).T[::-1]
    low, high = np.percentile(middle, (1, 99.5))
    grey = np.clip((middle - low) / max(high - low, 1e-9), 0, 1)
    if not coloured:
        return np.rint(grey * 255).astype(np.uint8)
    tint = 0.3 + 0.7 * np.array([draw_number(case, "tint", colour) % 100 for colour in "rgb"]) / 99
    return np.rint(grey[..., None] ** (1 / tint) * 255).astype(np.uint8)
