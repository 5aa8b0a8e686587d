"""Phantoms in CT-RATE's tree: chests with their reports, some scans in two reconstructions, one section in ten not given."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from bench.data.atomic import write_text
from bench.data.axes import with_spacing
from bench.data.volumes import write_nifti
from bench.phantoms.chest import ChestPhantom, make_chest
from tasks.layouts.ct_rate_tables import (
    FINDINGS,
    LABELS,
    METADATA,
    METADATA_COLUMNS,
    REPORT_COLUMNS,
    REPORTS,
    Part,
    in_order,
    path_in,
    taken_apart,
)
from tasks.layouts.phantom_case import Look, Size
from tasks.layouts.reports import table

SIBLINGS_EVERY = 3  # every third scan has a second reconstruction
SCALED, TWICE = 5, 7  # last digit of training patients that `train` alone holds, and that both releases hold
SLOPE, INTERCEPT = 0.5, -1024.0  # of the first release, which stores (HU - intercept) / slope


def phantom_volumes(part: Part, count: int) -> list[str]:
    """The first `count` names of a part as a phantom has them: patients 1, 2, ... with scan a, the third in two
    reconstructions."""
    names: list[str] = []
    patient = 1
    while len(names) < count:
        names += [f"{part}_{patient}_a_{n}" for n in (1, 2)[: 2 if patient % SIBLINGS_EVERY == 0 else 1]]
        patient += 1
    return names[:count]


def write_tree(folder: Path, volumes: Sequence[str], look: Look, size: Size) -> list[Path]:
    """Write volumes as int16 HU below `train_fixed` and `valid_fixed`, and every table with the rows of earlier volumes kept;
    returns the files.

    Training patients on `SCALED` and `TWICE` lie below `train` as the first release has them, the latter in both and with no
    slice distance in the table, as some of the owners' own rows.
    """
    written: list[Path] = []
    for part in ("train", "valid"):
        mine = {name: _chest(name, look, size, part == "valid") for name in volumes if name.startswith(part)}
        for name, chest in mine.items():
            affine, (image,) = look.stored(name, chest.image)
            if _habit(name) != SCALED:
                written.append(folder / path_in(f"{part}_fixed", name))
                write_nifti(written[-1], image, affine=affine, dtype=np.int16)
            if _habit(name) in (SCALED, TWICE):
                written.append(folder / path_in(part, name))
                stored = (image - INTERCEPT) / SLOPE
                write_nifti(written[-1], stored, affine=with_spacing(affine, (1.0, 1.0, 1.0)), dtype=np.int16)
        if mine:
            written += _write_tables(folder, part, mine, look)
    return written


def _habit(volume: str) -> int:
    """The last digit of a training volume's patient, -1 for others: what decides in which releases it lies."""
    patient, _, _ = taken_apart(volume) or ("", "", 0)
    return int(patient[-1]) if patient.startswith("train") else -1


def _chest(volume: str, look: Look, size: Size, unseen: bool) -> ChestPhantom:
    _, scan, number = taken_apart(volume) or ("", "", 0)
    return make_chest(
        scan,
        preset=size,
        dataset=look.dataset,
        shape=look.shape(size),
        spacing_mm=look.spacing_mm,
        reconstruction=number,
        test_site=unseen,
    )


def _write_tables(folder: Path, part: Part, chests: Mapping[str, ChestPhantom], look: Look) -> list[Path]:
    x, y, z = look.spacing_mm
    reports = {
        name: {
            "VolumeName": f"{name}.nii.gz",
            "ClinicalInformation_EN": "Not given.",
            "Technique_EN": "Without contrast.",
            "Findings_EN": chest.report.findings,
            "Impressions_EN": chest.report.impression or "Not given.",
        }
        for name, chest in chests.items()
    }
    labels = {
        name: {"VolumeName": f"{name}.nii.gz"} | dict(zip(FINDINGS, map(str, chest.answers), strict=True))
        for name, chest in chests.items()
    }
    told = {
        name: {
            "VolumeName": f"{name}.nii.gz",
            "RescaleSlope": f"{SLOPE if _habit(name) in (SCALED, TWICE) else 1:g}",
            "RescaleIntercept": f"{INTERCEPT if _habit(name) in (SCALED, TWICE) else 0:g}",
            "XYSpacing": f"[{x}, {y}]",
            "ZSpacing": "" if _habit(name) == TWICE else str(z),
        }
        for name in chests
    }
    return [
        _merged(folder / REPORTS[part], REPORT_COLUMNS, reports),
        _merged(folder / LABELS[part], ("VolumeName", *FINDINGS), labels),
        _merged(folder / METADATA[part], METADATA_COLUMNS, told),
    ]


def _merged(path: Path, columns: Iterable[str], rows: Mapping[str, Mapping[str, str]]) -> Path:
    """Write a table with these rows and those that it held of other volumes, by name."""
    fields = tuple(columns)
    before = table(path, fields) if path.is_file() else []
    everything = {row["VolumeName"].removesuffix(".nii.gz"): row for row in before} | dict(rows)
    text = io.StringIO()
    writer = csv.DictWriter(text, fields, lineterminator="\n")
    writer.writeheader()
    writer.writerows(everything[name] for name in in_order(list(everything)))
    write_text(path, text.getvalue())
    return path
