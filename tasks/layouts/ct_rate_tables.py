"""CT-RATE's own tables: which volumes there are, their reports, their eighteen silver labels, voxel sizes and rescaling.

Source   Hamamci et al. (arXiv 2403.17834), huggingface.co/datasets/ibrahimhamamci/CT-RATE
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from bench.contracts.configs import Spacing
from bench.contracts.errors import DataUnsound
from bench.data.splits import rank
from tasks.layouts.reports import by_name, table

Part = Literal["train", "valid"]
FINDINGS = (
    *("Medical material", "Arterial wall calcification", "Cardiomegaly", "Pericardial effusion"),
    *(
        "Coronary artery wall calcification",
        "Hiatal hernia",
        "Lymphadenopathy",
        "Emphysema",
        "Atelectasis",
        "Lung nodule",
    ),
    *("Lung opacity", "Pulmonary fibrotic sequela", "Pleural effusion", "Mosaic attenuation pattern"),
    *("Peribronchial thickening", "Consolidation", "Bronchiectasis", "Interlobular septal thickening"),
)
REPORTS: Mapping[Part, str] = {
    "train": "radiology_text_reports/train_reports.csv",
    "valid": "radiology_text_reports/validation_reports.csv",
}
LABELS: Mapping[Part, str] = {
    "train": "multi_abnormality_labels/train_predicted_labels.csv",
    "valid": "multi_abnormality_labels/valid_predicted_labels.csv",
}
METADATA: Mapping[Part, str] = {"train": "metadata/train_metadata.csv", "valid": "metadata/validation_metadata.csv"}
NO_CHEST: Mapping[Part, str] = {"train": "metadata/no_chest_train.txt", "valid": "metadata/no_chest_valid.txt"}
VOLUMES: Mapping[Part, int] = {"train": 47_149, "valid": 3_039}  # one row each in the owners' tables
REPORT_COLUMNS = ("VolumeName", "ClinicalInformation_EN", "Technique_EN", "Findings_EN", "Impressions_EN")
REPORTED, ANSWERED = (REPORTS, REPORT_COLUMNS), (LABELS, ("VolumeName", *FINDINGS))  # tables and their columns
METADATA_COLUMNS = ("VolumeName", "RescaleSlope", "RescaleIntercept", "XYSpacing", "ZSpacing")
SUBSET_TASK, SUBSET_SCANS = (
    "ctrate_prompts",
    1000,
)  # the key that scans are hashed under, and how many fine-tuning may use
_NAME = re.compile(r"((train|valid)_(\d+))_([a-z]+)_(\d+)")


def taken_apart(volume: str) -> tuple[str, str, int] | None:
    """`train_12_b_3` as patient `train_12`, scan `train_12_b` and reconstruction 3; None for any other name."""
    found = _NAME.fullmatch(volume)
    return (found[1], f"{found[1]}_{found[4]}", int(found[5])) if found else None


def path_in(release: str, volume: str) -> str:
    """The path of a volume in a release (`train`, `train_fixed`, ...), below the owners' folder."""
    patient, scan, _ = taken_apart(volume) or ("", "", 0)
    return f"{release}/{patient}/{scan}/{volume}.nii.gz"


def in_order(volumes: Sequence[str]) -> list[str]:
    """Names by part, patient number, scan letter and reconstruction number."""

    def place(volume: str) -> tuple[str, int, int, str, int]:
        found = _NAME.fullmatch(volume)
        assert found is not None
        return found[2], int(found[3]), len(found[4]), found[4], int(found[5])

    return sorted(volumes, key=place)


def reports(folder: Path, part: Part) -> Mapping[str, Mapping[str, str]]:
    """The owners' rows of reports by volume, those of other body parts left out. Raises DataUnsound for a bad table."""
    path = folder / REPORTS[part]
    skipped = _names_in(folder / NO_CHEST[part])
    rows = {_volume(row, path): row for row in by_name(table(path, REPORT_COLUMNS), "VolumeName", path).values()}
    return {name: rows[name] for name in in_order([name for name in rows if name not in skipped])}


def named(path: Path, columns: tuple[str, ...]) -> int:
    """How many volumes one of the owners' tables names, those of other body parts too."""
    return len({row["VolumeName"] for row in table(path, columns)})


def answers(folder: Path, part: Part) -> Mapping[str, tuple[int, ...]]:
    """The owners' eighteen answers by volume, 1 or 0 in the order of `FINDINGS`."""
    path = folder / LABELS[part]
    found: dict[str, tuple[int, ...]] = {}
    for row in by_name(table(path, ANSWERED[1]), "VolumeName", path).values():
        codes = [row[name].strip() for name in FINDINGS]
        if not set(codes) <= {"0", "1", "0.0", "1.0"}:
            raise DataUnsound(
                f"'{path.name}' answers {sorted(set(codes) - {'0', '1'})}; possible are 0 and 1.",
                case=_volume(row, path),
                remedy="Fetch the table again.",
            )
        found[_volume(row, path)] = tuple(int(float(code)) for code in codes)
    return found


def rescaling(folder: Path, part: Part) -> Mapping[str, tuple[tuple[float, float], Spacing]]:
    """By volume slope and intercept to HU, and the voxel size (x, y, z) in mm: what files of the first release lack.

    A size that the table does not tell is NaN; reading such a case says so.
    """
    path = folder / METADATA[part]
    found = {}
    for row in by_name(table(path, METADATA_COLUMNS), "VolumeName", path).values():
        try:
            plane = ast.literal_eval(row["XYSpacing"])
            x, y = (float(size) for size in plane)
            slope, intercept = float(row["RescaleSlope"]), float(row["RescaleIntercept"])
        except (ValueError, SyntaxError, TypeError) as error:
            raise DataUnsound(
                f"'{path.name}' tells no slope, intercept and pair of voxel sizes.",
                case=_volume(row, path),
                remedy="Fetch the table again, or use the volumes of train_fixed and valid_fixed.",
            ) from error
        z = row["ZSpacing"].strip()
        found[_volume(row, path)] = ((slope, intercept), (x, y, float(z) if z else math.nan))
    return found


def first_scans(volumes: Sequence[str], count: int) -> tuple[str, ...]:
    """One volume of each of the first `count` distinct scans in hash order, the lowest reconstruction of each.

    Scans are ranked by sha256("split-v1|ctrate_prompts|<scan>"), so that a smaller count is a prefix of a larger one.
    """
    lowest: dict[str, str] = {}
    for volume in in_order(list(volumes)):
        apart = taken_apart(volume)
        assert apart is not None
        lowest.setdefault(apart[1], volume)
    return tuple(lowest[scan] for scan in rank(SUBSET_TASK, lowest)[:count])


def _volume(row: Mapping[str, str], path: Path) -> str:
    name = row["VolumeName"].removesuffix(".nii.gz")
    if taken_apart(name) is None:
        raise DataUnsound(
            f"'{path.name}' names a volume '{row['VolumeName']}'; expected are names such as train_1_a_1.nii.gz.",
            case=path.name,
            remedy="Fetch the table again.",
        )
    return name


def _names_in(path: Path) -> frozenset[str]:
    if not path.is_file():
        return frozenset()
    lines = (line.strip().removesuffix(".nii.gz") for line in path.read_text(encoding="utf-8").splitlines())
    return frozenset(line for line in lines if line)
