"""Are the values of a volume in the unit that they are read as?

Source   ours, as the other checks of `checks.py`
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.contracts.errors import DataUnsound
from bench.contracts.protocols import Protocol
from bench.contracts.record import Record

AIR_HU, AIR_TOLERANCE_HU = -1000.0, 60.0
AIR_RANGE_HU = (-1200.0, -700.0)
TISSUE_RANGE_HU = (-200.0, 300.0)
TISSUE_MODE_HU = (-150.0, 120.0)  # soft tissue from -50, and fat below it, which is the mode of some abdomens
LEAST_AIR_RATIO, LEAST_TISSUE_RATIO = 0.001, 0.02
BIN_HU = 10.0


def check_intensity(task: str, protocol: Protocol, records: Iterable[Record]) -> None:
    """Refuse a protocol that takes voxels as they are (`asis`) on files that their owner did not normalise.

    LA's `ar` protocol needs the h5 package; the challenge's own NRRD files hold raw intensities. Raises DataUnsound.
    """
    if protocol.intensity.kind != "asis":
        return
    raw = next((record for record in records if record.intensity != "zscore"), None)
    if raw is not None:
        raise DataUnsound(
            f"this protocol of '{task}' takes voxels as their owner normalised them; '{raw.images[0].path}' holds raw ones.",
            case=raw.case_id,
            remedy="Use the normalised package that the task's page names, or --protocol bench.",
        )


def intensity_problem(
    image: NDArray[Any], plausible_hu: tuple[float, float] | None, *, cut_to_organ: bool = False
) -> str:
    """Why a CT cannot be in HU, or '' where it can: no air, air elsewhere than -1000, no soft tissue, values out of range.

    Finds DICOM values stored without rescale, a rescale done twice, and 8-bit data. Source: ours. Air is the
    fullest bin of 10 HU in [-1200, -700], soft tissue the fullest in [-200, 300] (fat counts as such). `cut_to_organ`
    asks neither for air nor for a mode of soft tissue: around a heart lie lungs, and its blood is full of contrast agent.
    """
    if plausible_hu and (image.min() < plausible_hu[0] or image.max() > plausible_hu[1]):
        low, high = plausible_hu
        return f"holds values from {image.min():g} to {image.max():g}; in HU they lie in [{low:g}, {high:g}]."
    tissue_ratio, tissue = _mode(image, TISSUE_RANGE_HU)
    if cut_to_organ and tissue_ratio >= LEAST_TISSUE_RATIO:
        return ""
    air_ratio, air = _mode(image, AIR_RANGE_HU)
    if air_ratio < LEAST_AIR_RATIO:
        return f"holds no air: {air_ratio:.2%} of voxels lie in {AIR_RANGE_HU}; values run from {image.min():g} to {image.max():g}."
    if abs(air - AIR_HU) > AIR_TOLERANCE_HU:
        return f"has its air at {air:g}, in HU it lies at {AIR_HU:g} +- {AIR_TOLERANCE_HU:g}."
    if tissue_ratio < LEAST_TISSUE_RATIO or not TISSUE_MODE_HU[0] <= tissue <= TISSUE_MODE_HU[1]:
        found = f"has {tissue_ratio:.1%} of its voxels in {TISSUE_RANGE_HU} with their mode at {tissue:g}"
        return f"{found}; soft tissue lies in {TISSUE_MODE_HU}."
    return ""


def _mode(image: NDArray[Any], between: tuple[float, float]) -> tuple[float, float]:
    """(share of all voxels in the range, centre of the fullest bin there)."""
    counts, edges = np.histogram(image, bins=round((between[1] - between[0]) / BIN_HU), range=between)
    return float(counts.sum()) / image.size, float(edges[int(counts.argmax())]) + BIN_HU / 2
