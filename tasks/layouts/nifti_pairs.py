"""What layouts of one NIfTI image and one NIfTI mask per case share: the record of a pair, and the writing of a phantom pair."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import DTypeLike

from bench.contracts.record import ImageFile, LabelFile, Record, Source
from bench.data.volumes import write_nifti
from tasks.layouts.phantom_case import Look, Size


@dataclass(frozen=True)
class Pair:
    """A case with its image and, where there is one, its mask. `group` is the patient where cases share one."""

    case: str
    image: Path
    label: Path | None = None
    group: str = ""


def records_of(
    folder: Path,
    pairs: Iterable[Pair],
    *,
    dataset: str,
    adapter: str,
    modality: Literal["CT", "MR"],
    source: Source,
    contrast: str = "",
) -> list[Record]:
    """The records of pairs, by case."""
    return [
        Record(
            dataset=dataset,
            adapter_version=adapter,
            case_id=pair.case,
            patient_id=pair.group or pair.case,
            group=pair.group or pair.case,
            images=(ImageFile(path=pair.image.relative_to(folder).as_posix(), format="nifti"),),
            label=LabelFile(kind="mask", path=pair.label.relative_to(folder).as_posix()) if pair.label else LabelFile(),
            modality=modality,
            contrast=contrast,
            intensity="hu" if modality == "CT" else "raw",
            source=source,
        )
        for pair in sorted(pairs, key=lambda pair: (pair.case, pair.image))
    ]


def write_pair(
    look: Look,
    pair: Pair,
    size: Size,
    *,
    codes: Mapping[int, int] | None = None,
    dtype: DTypeLike = np.uint8,
    modality: str = "",
) -> list[Path]:
    """Draw a case and write its image and, if the pair has one, its mask; `codes` maps labels to what the owners store.

    `modality` is the look's own where it is empty.
    """
    ((_, phantom),) = look.draw([pair.case], size, modality)
    affine, (image, mask) = look.stored(pair.case, phantom.image, phantom.label)
    write_nifti(pair.image, image, affine=affine, dtype=image.dtype, scaling=look.slope(pair.case))
    if pair.label is None:
        return [pair.image]
    write_nifti(pair.label, coded(mask, codes or {}), affine=affine, dtype=dtype)
    return [pair.image, pair.label]


def coded(mask: np.ndarray, codes: Mapping[int, int]) -> np.ndarray:
    """A mask with each label replaced by the owners' code for it; a label without one stays."""
    table = np.arange(256, dtype=np.int32)
    table[list(codes)] = list(codes.values())
    return table[mask]
