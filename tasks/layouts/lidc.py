"""LIDC-IDRI as TCIA's downloader leaves it: patient, study, series of DICOM slices with one XML of readers' marks.

Source   TCIA LIDC-IDRI; Armato et al., Medical Physics 2011
Quirks   a case is a nodule, `<patient>/<end of the series' uid>#<number>`, numbered among all nodules of its scan from low z up;
         its scan is the whole uid, by which LUNA16 calls the same scan; eight patients have two scans; studies of radiographs are
         passed over
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from bench.contracts.configs import Shape3, Spacing
from bench.contracts.errors import DataUnsound
from bench.contracts.protocols import SplitRule
from bench.contracts.record import ImageFile, LabelFile, Record, Source
from bench.data.atomic import write_text
from bench.data.axes import as_affine
from bench.data.dicom import first_slice, write_series
from bench.data.find import first_within
from bench.data.official import Shipped
from bench.phantoms.body import stream
from bench.phantoms.factors import latent
from bench.phantoms.nodules import add_nodule, lung_block, reserved_site, scanned, spread_places
from tasks.layouts.lidc_readings import READERS_NEEDED, is_of_scan, nodules, readings
from tasks.layouts.phantom_case import Size, claim, draw_number, held_out, seal, source_of

PATIENT = "LIDC-IDRI-"
UNDECIDED, SEEN_BY_TWO = (
    2,
    3,
)  # the third nodule of a phantom is judged 3, of the fourth only two readers have drawn outlines
RADIUS_MM = (5.0, 8.0)


@dataclass(frozen=True, kw_only=True)
class Lidc:
    """Patients' folders below `LIDC-IDRI` (or right there). `scans` is how many CTs the owners ship, each with its XML; `readers`
    is how many must have drawn a nodule that counts.

    `unseen` is the split whose test part reserved scanners take, in phantoms.
    """

    smoke: Shape3 = (40, 40, 32)
    mini: Shape3 = (80, 80, 64)
    spacing_mm: Spacing = (2.0, 2.0, 2.5)
    phantom_parts: Mapping[Size, tuple[int, int, int]] = field(
        default_factory=lambda: {"smoke": (6, 3, 4), "mini": (40, 8, 16)}, hash=False
    )
    scans: int = 1018
    readers: int = READERS_NEEDED
    unseen: SplitRule | None = field(default=None, hash=False)
    version: str = "1.1.0"

    def locate(self, root: Path) -> Path | None:
        return first_within(root, lambda folder: bool(_patients(folder)))

    def records(self, folder: Path) -> list[Record]:
        """One record per nodule that enough readers judged and that is not undecided; reads XML and one header per scan."""
        places = tuple((path.name, path.stat().st_mtime_ns) for path in _patients(folder))
        return list(_records(self, folder, places, source_of(folder)))

    def shipped(self, folder: Path) -> list[Shipped]:
        """The scans that still have their readers' marks; one without them shows no nodule, as many patients do."""
        marked = {path.name: sum(bool(_marks(series)) for series in _series(path)) for path in _patients(folder)}
        bare = tuple(patient for patient, count in marked.items() if not count)
        return [Shipped("CTs with the XML of their readers", sum(marked.values()), self.scans, bare)]

    def groups(self, folder: Path) -> Iterable[str]:
        """The patients on disk; many have no nodule that counts."""
        return [path.name for path in _patients(folder)]

    def tree(self) -> str:
        return "LIDC-IDRI-0001/<study>/<series>/*.dcm and one .xml (TCIA's own folders; keep the annotation files)"

    def write_phantom(self, folder: Path, case_ids: Sequence[str], size: Size) -> None:
        """Blocks of lung with four nodules each, of which two count, and the marks of four readers.

        Of every second series neither the files' names nor their InstanceNumbers tell how its slices lie.
        """
        claim(folder)
        unseen = held_out(self.unseen, self)
        files = [file for patient in case_ids for file in self._write(folder, patient, size, patient in unseen)]
        seal(folder, size, case_ids, files)

    def _write(self, folder: Path, patient: str, size: Size, unseen: bool) -> list[Path]:
        shape, key = self.smoke if size == "smoke" else self.mini, (size, "lidc", patient)
        random = stream(*key, "block")
        image, sizes = lung_block(shape, random), self.spacing_mm
        affine = np.diag([-sizes[0], -sizes[1], sizes[2], 1.0])
        affine[:3, 3] = [40.0, 35.0, -200.0]
        turned, marks = image[::-1, ::-1], []  # the file's axes run to the left and to the back
        for number, place in enumerate(spread_places(4, shape, 5.0, random)):
            label = number % 2
            radius = float(random.uniform(*RADIUS_MM))
            add_nodule(image, place, radius / sizes[0], latent("lidc", 2, label, *key, str(number)), random)
            column, row, k = shape[0] - 1 - place[0], shape[1] - 1 - place[1], place[2]
            ratings = [3, 3, 3, 3] if number == UNDECIDED else _ratings(label, patient, number)
            marks.append(((column, row, k), radius, ratings[: 2 if number == SEEN_BY_TWO else 4]))
        array = scanned(turned, random, reserved_site(*key) if unseen else None)
        study = folder / patient / f"01-01-2000-NA-NA-{draw_number(patient, 'study') % 100000:05d}"
        series = (
            study / f"3000{draw_number(patient, 'series') % 1000:03d}.000000-NA-{draw_number(patient) % 100000:05d}"
        )
        files = write_series(
            series, array, affine=as_affine(affine), name=patient, patient=patient,
            shuffled="numbers" if draw_number("lidc", patient, "order") % 2 else "nothing",
        )  # fmt: skip
        path = series / f"{draw_number(patient, 'xml') % 1000:03d}.xml"
        write_text(path, _xml(marks, sizes, -200.0))
        return [*files, path]


def _ratings(label: int, patient: str, number: int) -> list[int]:
    """Four judgements whose median is on the label's side of 3; readers differ."""
    odd = draw_number(patient, str(number), "reader") % 4
    ratings = [(4, 5, 4, 5) if label else (2, 1, 2, 1)][0]
    return [3 if k == odd else rating for k, rating in enumerate(ratings)]


def _xml(
    marks: Sequence[tuple[tuple[float, float, float], float, Sequence[int]]], sizes: Spacing, lowest_mm: float
) -> str:
    """Readers' marks as TCIA writes them; each reader's circles lie a little beside the others'."""
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<LidcReadMessage xmlns="http://www.nih.gov">',
        "<ResponseHeader/>",
    ]
    for reader in range(4):
        lines.append("<readingSession>")
        for number, ((column, row, k), radius, ratings) in enumerate(marks):
            if reader >= len(ratings):
                continue
            lines.append(f"<unblindedReadNodule><noduleID>Nodule {number:03d}</noduleID><characteristics>")
            lines.append(f"<malignancy>{ratings[reader]}</malignancy></characteristics>")
            for step in (-1, 0, 1):
                across = radius / sizes[0] * (1.0 if step == 0 else 0.8)
                lines.append(f"<roi><imageZposition>{lowest_mm + (round(k) + step) * sizes[2]:.3f}</imageZposition>")
                lines.append("<inclusion>TRUE</inclusion>")
                for turn in range(12):
                    angle = 2 * math.pi * turn / 12
                    x, y = (
                        round(at + across * part + 0.2 * reader)
                        for at, part in ((column, math.cos(angle)), (row, math.sin(angle)))
                    )
                    lines.append(f"<edgeMap><xCoord>{x}</xCoord><yCoord>{y}</yCoord></edgeMap>")
                lines.append("</roi>")
            lines.append("</unblindedReadNodule>")
        lines.append("</readingSession>")
    return "\n".join([*lines, "</LidcReadMessage>"]) + "\n"


@lru_cache(maxsize=2)  # a thousand scans take ten seconds to go through
def _records(layout: Lidc, folder: Path, patients: tuple[tuple[str, int], ...], source: Source) -> tuple[Record, ...]:
    return tuple(
        record
        for patient, _ in patients
        for series in _series(folder / patient)
        for record in _of_series(layout, folder, patient, series, source)
    )


def _of_series(layout: Lidc, folder: Path, patient: str, series: Path, source: Source) -> list[Record]:
    marks = _marks(series)
    head = first_slice(series) if marks else None
    if head is None or head.modality != "CT":
        return []
    if len(marks) > 1:
        told = f"the folder '{series.name}' holds {len(marks)} files of readers' marks."
        raise DataUnsound(told, case=patient, remedy="One scan has one; fetch the series again.")
    if head.position is None or head.spacing_mm is None:
        told = f"'{head.path.name}' tells no position or pixel size."
        raise DataUnsound(told, case=patient, remedy="Fetch the series again.")
    scan = f"{patient}/{head.series[-5:]}"
    found = []
    for number, nodule in enumerate(nodules(readings(marks[0], head, patient)), start=1):
        label = nodule.label(layout.readers)
        if label is None:
            continue
        x, y, z = nodule.centre_mm
        found.append(
            Record(
                dataset="lidc",
                adapter_version=f"lidc@{layout.version}",
                case_id=f"{scan}#{number}",
                patient_id=patient,
                group=patient,
                scan_id=head.series,
                centre_mm=(-x, -y, z),
                images=(ImageFile(path=series.relative_to(folder).as_posix(), format="dicom"),),
                label=LabelFile(kind="class", value=label, format="table"),
                modality="CT",
                intensity="hu",
                source=source,
                meta={"readers": len(nodule.outlines), "radius_mm": round(nodule.radius_mm, 3)},
            )
        )
    return found


def _series(patient: Path) -> list[Path]:
    return sorted(path for path in patient.glob("*/*") if path.is_dir())


def _marks(series: Path) -> list[Path]:
    return [path for path in sorted(series.glob("[!.]*.xml")) if is_of_scan(path)]


def _patients(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob(f"{PATIENT}[0-9][0-9][0-9][0-9]") if path.is_dir())
