"""What is done to every case before training, and the name of what that makes of a case."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.contracts.configs import Intensity, Shape3, Spacing
from bench.contracts.errors import SpecError
from bench.contracts.protocols import Protocol
from bench.contracts.record import Record
from bench.data.entry import MAGIC
from bench.data.volumes import quick_fingerprint


@dataclass(frozen=True, kw_only=True)
class CacheRecipe:
    """What is done to every case before training.

    `spacing_mm` None keeps native voxels. `label_values` is the complete map of `read_label`; None reads no masks.
    `crop_foreground` keeps the box of voxels above the window (`hu`), other than 0 (`over` nonzero) or above the volume's least
    value (otherwise).
    `box_voxels`, `box_at_top`, `box_share`, `stored_voxels` and `stored_values` are as a `Protocol` has them; no masks then.
    `version` is raised when this code changes what a recipe gives.
    """

    intensity: Intensity
    spacing_mm: Spacing | None = None
    orientation: str = "RAS"
    crop_foreground: bool = False
    label_values: Mapping[int, int] | None = None
    version: int = 1
    box_voxels: Shape3 | None = None
    box_at_top: bool = False
    box_share: tuple[float, float, float] | None = None
    stored_voxels: Shape3 | None = None
    stored_values: bool = False

    @classmethod
    def of(cls, protocol: Protocol, label_values: Mapping[int, int] | None) -> CacheRecipe:
        """What a protocol asks for; `label_values` None reads no masks."""
        return cls(
            intensity=protocol.intensity,
            spacing_mm=protocol.spacing_mm,
            crop_foreground=protocol.crop_foreground,
            label_values=label_values,
            box_voxels=protocol.box_voxels,
            box_at_top=protocol.box_at_top,
            box_share=protocol.box_share,
            stored_voxels=protocol.stored_voxels,
            stored_values=protocol.stored_values,
        )

    def brought(self) -> dict[str, Any]:
        """How volumes are brought to one form, where they are at all; an option that is off decides nothing."""
        told = {
            "box": [self.box_voxels, self.box_at_top] if self.box_voxels else None,
            "box_share": self.box_share,
            "stored_voxels": self.stored_voxels,
            "stored_values": self.stored_values or None,
        }
        return {name: value for name, value in told.items() if value is not None}

    def __post_init__(self) -> None:
        if self.orientation != "RAS":
            raise SpecError(f"asked for orientation '{self.orientation}'; possible is RAS.", remedy="Leave it out.")
        if self.spacing_mm is not None and not all(size > 0 for size in self.spacing_mm):
            raise SpecError(f"asked for spacing {self.spacing_mm} mm; sizes above 0 are possible.")


def entry_key(folder: Path, record: Record, recipe: CacheRecipe) -> str:
    """The name of what a recipe makes of a case: a hash of recipe and quick fingerprints of the case's files.

    A window decides what is stored only where it decides the crop. Raises DataMissing where a file is not there.
    """
    files = [
        [
            f.channel,
            f.format,
            f.key,
            f.frame,
            quick_fingerprint(folder / f.path),
            *([] if f.index is None else [f.index]),
            *([] if f.rescale is None and f.spacing_mm is None else [f.rescale, f.spacing_mm]),
        ]
        for f in record.images
    ]
    if labelled(record, recipe):
        files.append([record.label.format, record.label.key, quick_fingerprint(folder / str(record.label.path))])
    cropped = recipe.crop_foreground and recipe.intensity.kind == "hu"
    parts = {
        "case": [record.dataset, record.scan_id or record.case_id],
        "files": files,
        "told_spacing": record.spacing,
        "intensity": _intensity_key(recipe.intensity, record),
        "crop": [recipe.crop_foreground, recipe.intensity.window_hu[0] if cropped else None],
        "spacing_mm": recipe.spacing_mm,
        "orientation": recipe.orientation,
        "labels": sorted((recipe.label_values or {}).items()) if labelled(record, recipe) else None,
        "version": [recipe.version, MAGIC.hex()],
        **recipe.brought(),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _intensity_key(intensity: Intensity, record: Record) -> Any:
    """What of an intensity decides the stored voxels; the kind alone where no later option departs from its default.

    Percentiles also look at the depth axis that the record tells.
    """
    if intensity.kind == "percentile":
        return [intensity.kind, record.meta.get("depth_axis")]
    later = [intensity.over, intensity.clip_percentiles]
    return intensity.kind if later == ["all", None] else [intensity.kind, *later]


def labelled(record: Record, recipe: CacheRecipe) -> bool:
    """Whether a recipe reads the mask of this case."""
    return recipe.label_values is not None and record.label.kind == "mask"
