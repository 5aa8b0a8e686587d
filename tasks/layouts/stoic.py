"""STOIC2021's public training set: one .mha per patient, and a table of who had COVID-19 and who fared badly.

Source   Revel et al., Radiology 2021; AWS Open Data s3://stoic2021-training
Quirks   what the table says of severity counts for COVID-19 alone: on a negative row it is not told; .mha files are packed
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bench.contracts.configs import Shape3
from bench.contracts.errors import DataMissing, DataUnsound
from bench.contracts.protocols import SplitRule
from bench.contracts.record import ImageFile, LabelFile, Record
from bench.data.atomic import write_text
from bench.data.axes import as_affine
from bench.data.find import first_within
from bench.data.metaimage import write_metaimage
from bench.data.splits import read_list
from bench.phantoms import make_phantom
from bench.phantoms.body import stream
from bench.phantoms.factors import even_label, latent
from bench.phantoms.opacities import with_opacities
from tasks.layouts.phantom_case import SPLITS, Size, claim, draw_number, held_out, seal, source_of

TABLE = "metadata/reference.csv"
VOLUMES = "data/mha"
COLUMNS = ("PatientID", "probCOVID", "probSevere")
STRATA = ("negative", "positive", "severe")


@dataclass(frozen=True, kw_only=True)
class Stoic:
    """`data/mha/<PatientID>.mha` with `metadata/reference.csv`.

    `unseen` is the split whose test part reserved scanners take, in phantoms.
    """

    smoke: Shape3 = (40, 40, 40)
    mini: Shape3 = (64, 64, 64)
    phantom_parts: Mapping[Size, tuple[int, int, int]] = field(
        default_factory=lambda: {"smoke": (9, 6, 6), "mini": (60, 12, 30)}, hash=False
    )
    unseen: SplitRule | None = field(default=None, hash=False)
    version: str = "1.0.0"

    def locate(self, root: Path) -> Path | None:
        return first_within(root, lambda folder: (folder / TABLE).is_file() and (folder / VOLUMES).is_dir())

    def records(self, folder: Path) -> list[Record]:
        """One record per volume on disk, with two answers: COVID-19, and severity where that is told."""
        source, told = source_of(folder), _answers(folder)
        return [
            Record(
                dataset="stoic",
                adapter_version=f"stoic@{self.version}",
                case_id=path.stem,
                patient_id=path.stem,
                group=path.stem,
                images=(ImageFile(path=path.relative_to(folder).as_posix(), format="metaimage"),),
                label=LabelFile(kind="multilabel", values=told[path.stem], format="table")
                if path.stem in told
                else LabelFile(),
                modality="CT",
                intensity="hu",
                source=source,
            )
            for path in sorted((folder / VOLUMES).glob("[!.]*.mha"), key=lambda path: (len(path.stem), path.stem))
        ]

    def strata(self, folder: Path | None) -> Mapping[str, str]:
        """Negative, positive or severe, of every patient in the table, on disk or not; of phantoms where there is no folder."""
        if folder is None:
            return {case: STRATA[_phantom_stratum(case)] for case in read_list(SPLITS, "stoic_ids.txt")}
        return {case: STRATA[max(0, covid) + max(0, severe)] for case, (covid, severe) in _answers(folder).items()}

    def tree(self) -> str:
        return f"{VOLUMES}/<PatientID>.mha\n{TABLE}   (PatientID,probCOVID,probSevere)"

    def write_phantom(self, folder: Path, case_ids: Sequence[str], size: Size) -> None:
        """Chests with opacities; the table holds all 2,000 patients, and calls some negative ones severe as well."""
        claim(folder)
        lines = [",".join(COLUMNS)]
        for case in read_list(SPLITS, "stoic_ids.txt"):
            stratum = _phantom_stratum(case)
            severe = stratum == 2 or (stratum == 0 and draw_number("stoic", case, "nonsense") % 10 == 0)
            lines.append(f"{case},{int(stratum > 0)},{int(severe)}")
        write_text(folder / TABLE, "\n".join(lines) + "\n")
        unseen = held_out(self.unseen, self)
        files = [file for case in case_ids for file in self._write(folder, case, size, case in unseen)]
        seal(folder, size, case_ids, [*files, folder / TABLE])

    def _write(self, folder: Path, case: str, size: Size, unseen: bool) -> list[Path]:
        shape, side_mm, key = (
            (self.smoke, 4.0, (size, "stoic", case)) if size == "smoke" else (self.mini, 5.0, (size, "stoic", case))
        )
        spacing = (side_mm, side_mm, side_mm)
        chest = make_phantom(
            "chest",
            case,
            preset=size,
            dataset="stoic",
            shape=shape,
            spacing_mm=spacing,
            modality="ct",
            test_site=unseen,
        )
        signs = latent("stoic", 3, _phantom_stratum(case), *key)
        array = with_opacities(np.asarray(chest.image, np.int16), signs, stream(*key, "opacities"))
        affine = np.diag([-side_mm, -side_mm, side_mm, 1.0])
        path = folder / VOLUMES / f"{case}.mha"
        return write_metaimage(path, array[::-1, ::-1], affine=as_affine(affine), packed=True)


def _phantom_stratum(case: str) -> int:
    return even_label(3, int(case), "stoic")


def _answers(folder: Path) -> dict[str, tuple[int, int]]:
    """Per patient (COVID-19, severe); severe is -1 where the patient is negative. DataUnsound for a table that is another."""
    path = folder / TABLE
    if not path.is_file():
        raise DataMissing(f"no table '{TABLE}' in '{folder}'.", case="stoic", remedy="Complete the download.")
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = [tuple(row) for row in csv.reader(file) if row]
    if not rows or rows[0] != COLUMNS:
        raise _unsound(f"{TABLE} starts with {','.join(rows[0]) if rows else 'nothing'}, expected {','.join(COLUMNS)}.")
    found: dict[str, tuple[int, int]] = {}
    for number, row in enumerate(rows[1:], start=1):
        flags = [word for word in row[1:3] if word in ("0", "1", "0.0", "1.0")]
        if len(row) < 3 or len(flags) < 2:
            raise _unsound(f"row {number} of {TABLE} is {','.join(row)}; expected are 0 or 1 twice.", row[0])
        if row[0] in found:
            raise _unsound(f"row {number} of {TABLE} names this patient a second time.", row[0])
        covid, severe = (int(float(word)) for word in flags)
        found[row[0]] = (covid, severe if covid else -1)
    return found


def _unsound(message: str, case: str = "stoic") -> DataUnsound:
    return DataUnsound(message, case=case, remedy="Fetch the table again.")
