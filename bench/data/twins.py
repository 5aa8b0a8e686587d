"""Images that are one image under two names, or in two datasets: told apart by their voxels alone.

Source   ours: the same voxels after sampling to at most 32 planes an axis. Public sets gather
         each other's scans (FLARE22 and MSD07, LUNA16 and LIDC, COVID-19-20 and TCIA's COVID-19 set)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from bench.contracts.record import ImageFile, Record
from bench.data.volumes import coarse_fingerprint

DIGITS = 32  # of a fingerprint that are kept: two different images share them never
NAMED = 2  # pairs that a line names


def image_name(image: ImageFile) -> str:
    """Where an image lies, so that every reader of a dataset gives it one name: its path, then key, index and frame if any."""
    told = (image.key, image.index, image.frame)
    return "#".join([image.path, *(str(one) for one in told if one is not None)])


def fingerprints(record: Record, array: NDArray[Any]) -> dict[str, str]:
    """The voxel fingerprint of each image of a case (C, D, H, W), channel by channel: a pool holds contrasts one by one.

    None of an image in an archive of many: these were cut and resampled for it, so no other set holds their voxels.
    """
    files = sorted(record.images, key=lambda file: file.channel)
    return {
        image_name(file): coarse_fingerprint(array[k : k + 1])[:DIGITS]
        for k, file in enumerate(files)
        if file.index is None
    }


def doubled(images: Mapping[str, str]) -> list[tuple[str, str]]:
    """Pairs (image, the first with the same voxels) within one dataset."""
    first: dict[str, str] = {}
    return [(image, first[mark]) for image, mark in images.items() if first.setdefault(mark, image) != image]


def shared(images: Mapping[str, str], others: Mapping[str, str]) -> list[tuple[str, str]]:
    """Pairs (image, the one of another dataset with the same voxels)."""
    known = {mark: image for image, mark in reversed(list(others.items()))}
    return [(image, known[mark]) for image, mark in images.items() if mark in known]


def told(pairs: list[tuple[str, str]]) -> str:
    """Pairs in words. Example: `a.nii.gz = b.nii.gz, c.nii.gz = d.nii.gz and 5 more`."""
    rest = f" and {len(pairs) - NAMED:,} more" if len(pairs) > NAMED else ""
    return ", ".join(f"{image} = {other}" for image, other in pairs[:NAMED]) + rest
