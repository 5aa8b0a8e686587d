"""RICORD 1A and 1B as TCIA's downloader leaves them: collection, patient, study, series, one DICOM file per slice.

Source   TCIA MIDRC-RICORD-1A (COVID-19) and MIDRC-RICORD-1B (none); Tsai et al., Radiology 2021
Quirks   a case is a series; its name in the published lists is put together from the folders' names, with spaces as dashes;
         localisers (ten slices or fewer) are passed over, and so is one series that the published code names
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bench.contracts.configs import Shape3, Spacing
from bench.contracts.record import ImageFile, LabelFile, Record, Source
from bench.data.axes import as_affine
from bench.data.dicom import write_series
from bench.data.find import first_within
from bench.data.splits import read_list
from bench.phantoms import make_phantom
from bench.phantoms.body import stream
from bench.phantoms.factors import latent
from bench.phantoms.opacities import with_opacities
from tasks.layouts.phantom_case import SPLITS, Size, claim, draw_number, seal, source_of

COLLECTIONS = ("MIDRC-RICORD-1B", "MIDRC-RICORD-1A")  # class 0, class 1
FEWEST_SLICES = 11
LEFT_OUT = ("11-01-2003-NA-NA-00585", "2.000000-NA-03193")  # the published code skips it


@dataclass(frozen=True, kw_only=True)
class Ricord:
    """Both collections below one folder (`manifest-*` folders may stand between)."""

    smoke: Shape3 = (40, 40, 16)
    mini: Shape3 = (64, 64, 24)
    spacing_mm: Spacing = (1.5, 1.5, 3.0)
    phantom_parts: Mapping[Size, tuple[int, int, int]] = field(
        default_factory=lambda: {"smoke": (8, 4, 6), "mini": (36, 8, 16)}, hash=False
    )
    version: str = "1.0.0"

    def locate(self, root: Path) -> Path | None:
        return first_within(root, lambda folder: bool(_collections(folder)), levels=1)

    def records(self, folder: Path) -> list[Record]:
        """One record per series of more than ten slices, from the names of folders alone."""
        source = source_of(folder)
        return [
            record
            for name, collections in _collections(folder).items()
            for collection in collections
            for patient in _folders(collection)
            for study in _folders(patient)
            for series in _folders(study)
            if (record := self._record(folder, name, patient, study, series, source)) is not None
        ]

    def tree(self) -> str:
        return (
            "MIDRC-RICORD-1A/MIDRC-RICORD-1A-<site>-<patient>/<MM-DD-YYYY>-NA-<study>-<5 digits>/"
            "<series>.000000-<name>-<5 digits>/*.dcm\nMIDRC-RICORD-1B/... likewise (TCIA's own folders; keep their names)"
        )

    def write_phantom(self, folder: Path, case_ids: Sequence[str], size: Size) -> None:
        """Chests with opacities; some series are numbered backwards or stored with another slope, one is a localiser.

        Of every third series the files' names do not tell how its slices lie, their InstanceNumbers do.
        """
        claim(folder)
        unseen = {line.split()[0] for line in read_list(SPLITS, "ricord_test.txt")}
        written: list[Path] = []
        for case in case_ids:
            written += self._write(folder, case, size, case in unseen)
        if case_ids:
            written += self._write_localiser(folder, case_ids[0])
        seal(folder, size, case_ids, written)

    def _write(self, folder: Path, case: str, size: Size, unseen: bool) -> list[Path]:
        collection = case.partition("/")[0]
        shape, key = self.smoke if size == "smoke" else self.mini, (size, "ricord", case)
        chest = make_phantom(
            "chest", case, preset=size, dataset="ricord", shape=shape, spacing_mm=self.spacing_mm,
            modality="ct", test_site=unseen,
        )  # fmt: skip
        signs = latent("ricord", 2, COLLECTIONS.index(collection), *key)
        array = with_opacities(np.asarray(chest.image, np.int16), signs, stream(*key, "opacities"))
        affine = np.diag(
            [-self.spacing_mm[0], -self.spacing_mm[1], self.spacing_mm[2], 1.0]
        )  # to the left and to the back
        affine[:3, 3] = [30.0, 20.0, -100.0]
        habit = draw_number("ricord", case, "habit")
        slope, intercept = ((0.5, -1024.0), (1.0, -1024.0), (1.0, -1024.0), (1.0, 0.0))[habit % 4]
        return write_series(
            folder / _path_of(case), array[::-1, ::-1], affine=as_affine(affine), name=case, slope=slope,
            intercept=intercept, patient=case.partition("/")[2].partition("_")[0], backwards=habit % 3 == 0,
            shuffled="names" if draw_number("ricord", case, "order") % 3 == 0 else "nothing",
        )  # fmt: skip

    def _write_localiser(self, folder: Path, case: str) -> list[Path]:
        place = folder / _path_of(case)
        array = np.zeros((16, 16, 2), np.int16)
        affine = as_affine(np.diag([-1.0, -1.0, 1.0, 1.0]))
        return write_series(place.with_name("1.000000-SCOUT-00001"), array, affine=affine, name=f"{case}|scout")

    def _record(
        self, folder: Path, collection: str, patient: Path, study: Path, series: Path, source: Source
    ) -> Record | None:
        if (study.name, series.name) == LEFT_OUT or _slices(series) < FEWEST_SLICES:
            return None
        person = patient.name.removeprefix(f"{collection}-")
        group = f"{collection}/ID{person}"
        case = f"{group}_date{study.name[:10]}_{series.name.replace(' ', '-')}"
        return Record(
            dataset="ricord",
            adapter_version=f"ricord@{self.version}",
            case_id=case,
            patient_id=person,
            group=group,
            images=(ImageFile(path=series.relative_to(folder).as_posix(), format="dicom"),),
            label=LabelFile(kind="class", value=COLLECTIONS.index(collection), format="table"),
            modality="CT",
            intensity="hu",
            source=source,
        )


def _collections(folder: Path) -> dict[str, list[Path]]:
    """Where the collections lie below a folder, directly or in `manifest-*` folders; empty where one of them lacks."""
    found: dict[str, list[Path]] = {}
    for name in COLLECTIONS:
        places = [folder / name, *sorted(folder.glob(f"manifest-*/{name}"))]
        found[name] = [place for place in places if place.is_dir()]
    return found if all(found.values()) else {}


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _slices(series: Path) -> int:
    return sum(path.suffix.lower() == ".dcm" and not path.name.startswith(".") for path in series.iterdir())


def _path_of(case: str) -> str:
    """The folders that a case's name is put together from, with a study name of our own."""
    collection, _, rest = case.partition("/")
    person, _, dated = rest.removeprefix("ID").partition("_date")
    date, _, series = dated.partition("_")
    return f"{collection}/{collection}-{person}/{date}-NA-CT CHEST-{draw_number(case) % 100000:05d}/{series}"
