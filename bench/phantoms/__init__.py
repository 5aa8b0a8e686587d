"""Phantoms: people who never lived, scanned in any view and modality, with labels that are exact by construction.

`make_phantom` is what the writers of dataset layouts call. Arrays are in RAS (x, y, z) order: the first index grows
towards the patient's right, the second towards the front, the third towards the head.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bench.contracts.errors import SpecError
from bench.phantoms.body import GENERATOR_VERSION, Person, person
from bench.phantoms.drawing import Drawing, draw
from bench.phantoms.scanner import CONTRASTS, SITES, Site, ct, mr, site_of
from bench.phantoms.views import VIEWS, view_named

Preset = Literal["smoke", "mini"]

# "mr" stands for the contrast in which a view is usually taken
MODALITIES: tuple[str, ...] = ("ct", "mr", *CONTRASTS)
USUAL_CONTRAST: Mapping[str, str] = MappingProxyType(
    {"heart": "lge", "hippocampus": "t1", "ventricles": "cine", "brain-tumor": "flair", "glioma": "flair"}
)


@dataclass(frozen=True, kw_only=True)
class Phantom:
    """One finished case.

    `image` int16 HU for CT, float32 of arbitrary scale for MR; `label` uint8 with the view's class numbers, on the same
    grid; `spacing_mm` what the header is to say; `modality` "CT" or "MR", as records spell it; `meta` the MR contrast
    (empty for CT) and what was latent: site, sex, age, gallbladder, millimetres of body per voxel, voxels per class.
    """

    image: NDArray[np.int16] | NDArray[np.float32]
    label: NDArray[np.uint8]
    spacing_mm: tuple[float, float, float]
    modality: str
    meta: Mapping[str, object]


def make_phantom(
    view: str,
    case: str,
    *,
    preset: Preset,
    dataset: str,
    shape: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
    modality: str,
    test_site: bool = False,
    filled: float = 1.0,
) -> Phantom:
    """Make one case from its name alone: same words, same voxels, whatever was made before.

    The person follows from (preset, dataset, case); `modality` is one of `MODALITIES` in upper or lower case: "CT",
    "MR" for the view's usual contrast, or a contrast; `test_site` takes one of the two scanners that no training case
    has seen. `filled` scales the cavities of both ventricles: 1 at the end of filling, less as the heart contracts.
    Raises SpecError for an unknown view or modality, a grid below 8 voxels along an axis, or a spacing that is not
    positive.
    """
    view_named(view)
    if modality.lower() not in MODALITIES:
        raise SpecError(
            f"No phantom modality '{modality}'. Possible: {', '.join(MODALITIES)}.",
            case=case,
            remedy="Ask for one of these.",
        )
    if len(spacing_mm) != 3 or not all(0 < step < float("inf") for step in spacing_mm):
        raise SpecError(
            f"A spacing is three positive lengths in mm, asked was {spacing_mm}.", case=case, remedy="Mend the spacing."
        )
    someone = person(preset, dataset, case)
    if filled != 1.0:
        someone = replace(someone, scale={**someone.scale, "ventricles": filled})
    drawing = draw(someone, view, shape)
    site = site_of(someone, test_site=test_site)
    contrast = USUAL_CONTRAST.get(view, "in_phase") if modality.lower() == "mr" else modality.lower()
    is_ct = contrast == "ct"
    image = ct(drawing, someone, site) if is_ct else mr(drawing, someone, site, contrast)
    if view_named(view).stripped and not is_ct:
        image = image * drawing.holds_matter()
    counts = np.bincount(drawing.label.ravel(), minlength=len(drawing.classes) + 1)
    meta = {
        "generator_version": GENERATOR_VERSION,
        "view": view,
        "contrast": "" if is_ct else contrast,
        "site": site.name,
        "female": someone.female,
        "age_years": someone.age_years,
        "gallbladder_present": someone.gallbladder_present,
        "body_mm_per_voxel": drawing.voxel_mm,
        "voxels": dict(zip(drawing.classes, counts[1:].tolist(), strict=True)),
    }
    return Phantom(
        image=image,
        label=drawing.label,
        spacing_mm=spacing_mm,
        modality="CT" if is_ct else "MR",
        meta=meta,
    )


__all__ = [
    "GENERATOR_VERSION",
    "MODALITIES",
    "SITES",
    "VIEWS",
    "Drawing",
    "Person",
    "Phantom",
    "Preset",
    "Site",
    "ct",
    "draw",
    "make_phantom",
    "mr",
    "person",
    "site_of",
]
