"""DeepLesion as the NIH ships it: folders of 16-bit slices and one table of the lesions found on key slices."""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from bench.contracts.errors import DataUnsound
from bench.contracts.record import ImageFile, Record
from bench.data.atomic import write_bytes
from bench.data.find import first_within
from bench.data.hu_slices import encode_png, name_of
from bench.data.official import Shipped
from bench.phantoms import VIEWS, Phantom
from tasks.layouts.phantom_case import Look, Size, claim, seal, source_of

IMAGES, TABLE = "Images_png", "DL_info.csv"
COLUMNS = (
    "File_name",
    "Patient_index",
    "Study_index",
    "Series_ID",
    "Key_slice_index",
    "Measurement_coordinates",
    "Bounding_boxes",
    "Lesion_diameters_Pixel_",
    "Normalized_lesion_location",
    "Coarse_lesion_type",
    "Possibly_noisy",
    "Slice_range",
    "Spacing_mm_px_",
    "Image_size",
    "DICOM_windows",
    "Patient_gender",
    "Patient_age",
    "Train_Val_Test",
)
USED = ("File_name", "Bounding_boxes", "Coarse_lesion_type", "Slice_range", "Spacing_mm_px_", "Image_size")
CATEGORIES = ("bone", "abdomen", "mediastinum", "liver", "lung", "kidney", "soft-tissue", "pelvis")  # types 1 to 8
PHANTOM_VIEWS: Mapping[str, str] = MappingProxyType({"liver": "liver", "lung": "chest", "abdomen": "pancreas"})


@dataclass(frozen=True, kw_only=True)
class DeepLesion:
    """Lesions with a coarse type, each with all slices shipped around its key slice; the others (type -1) are left out.

    A case is called as its key slice, the second lesion of one slice with `-2` behind, and so on. `meta` holds the type as
    `category` and the middle of the annotated box as `lesion_centre`: voxels along the first two axes of the image in RAS order.
    """

    look: Look
    rows: int = 32_735  # of the owners' table, lesions of all types
    version: str = "1.0.0"

    def locate(self, root: Path) -> Path | None:
        return first_within(root, lambda folder: (folder / TABLE).is_file() and (folder / IMAGES).is_dir())

    def records(self, folder: Path) -> list[Record]:
        source, often = source_of(folder), Counter[str]()
        present = {path.name for path in (folder / IMAGES).iterdir() if path.is_dir()}
        found = []
        for number, row in enumerate(_table(folder / TABLE), start=2):
            stem = row["File_name"].removesuffix(".png")
            often[stem] += 1
            series = stem.rpartition("_")[0]
            try:
                category = int(row["Coarse_lesion_type"])
                if category < 1 or series not in present:
                    continue
                centre = list(_centre(row))
                first, last = (int(n) for n in _numbers(row, "Slice_range"))
                x_mm, y_mm, z_mm = _numbers(row, "Spacing_mm_px_")
            except ValueError as error:
                raise DataUnsound(
                    f"line {number} of {TABLE} holds what is no number, too few, or a box outside the picture ({error}).",
                    case=stem,
                    remedy="Fetch the table again.",
                ) from None
            case = stem if often[stem] == 1 else f"{stem}-{often[stem]}"
            found.append(
                Record(
                    dataset=self.look.dataset,
                    adapter_version=f"deeplesion@{self.version}",
                    case_id=case,
                    patient_id=stem.partition("_")[0],
                    group=stem.partition("_")[0],
                    images=(ImageFile(path=f"{IMAGES}/{series}", format="hu_slices", key=f"{first}-{last}"),),
                    modality="CT",
                    intensity="hu",
                    spacing=(x_mm, y_mm, z_mm),
                    source=source,
                    meta={"category": category, "lesion_centre": centre},
                )
            )
        return found

    def shipped(self, folder: Path) -> list[Shipped]:
        """The rows of the owners' table."""
        return [Shipped(f"rows of {TABLE}", sum(1 for _ in _table(folder / TABLE)), self.rows)]

    def tree(self) -> str:
        return f"{TABLE}\n{IMAGES}/<patient>_<study>_<series>/NNN.png"

    def write_phantom(self, folder: Path, case_ids: Sequence[str], size: Size) -> None:
        """One series with one lesion per case; a body in which the view shows none gives a lesion without a type."""
        claim(folder)
        written, rows = [], []
        for number, _ in enumerate(case_ids):
            organ = list(PHANTOM_VIEWS)[number % len(PHANTOM_VIEWS)]
            series = f"{number + 1:06d}_01_01"
            ((_, phantom),) = replace(self.look, view=PHANTOM_VIEWS[organ]).draw([series], size)
            written += _write_series(folder / IMAGES / series, phantom.image.astype(np.int16, copy=False))
            rows.append(_row(series, organ, phantom, self.look))
        table = folder / TABLE
        write_bytes(table, _as_csv(rows).encode())
        seal(folder, size, case_ids, [*written, table])


def _table(path: Path) -> Iterable[Mapping[str, str]]:
    """The table's rows. Raises DataUnsound where a column is missing or a row is cut short."""
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        lacking = [name for name in USED if name not in (reader.fieldnames or ())]
        if lacking:
            raise DataUnsound(
                f"{path.name} has no column {', '.join(lacking)}; it has {', '.join(reader.fieldnames or ())}.",
                case=path.name,
                remedy="Fetch the table again.",
            )
        for number, row in enumerate(reader, start=2):
            if any(row[name] in (None, "") for name in USED):
                raise DataUnsound(
                    f"line {number} of {path.name} is incomplete.", case=path.name, remedy="Fetch the table again."
                )
            yield row


def _numbers(row: Mapping[str, str], column: str) -> list[float]:
    """The numbers of a cell. Raises ValueError where one is none, or not finite."""
    found = [float(part) for part in row[column].split(",")]
    if not all(map(math.isfinite, found)):
        raise ValueError(f"{column}: {row[column]}")
    return found


def _centre(row: Mapping[str, str]) -> tuple[float, float]:
    """The middle of the box (columns, rows in the picture) in RAS order, where both axes run the other way.

    Raises ValueError where it lies outside the picture.
    """
    left, top, right, bottom = _numbers(row, "Bounding_boxes")[:4]
    columns, lines = _numbers(row, "Image_size")[:2]
    centre = columns - 1 - (left + right) / 2, lines - 1 - (top + bottom) / 2
    if not (0 <= centre[0] <= columns - 1 and 0 <= centre[1] <= lines - 1):
        raise ValueError(f"Bounding_boxes: {row['Bounding_boxes']} in a picture of {row['Image_size']}")
    return centre


def _write_series(folder: Path, image: NDArray[np.int16]) -> list[Path]:
    """The slices of a volume in RAS order: columns to the left, rows to the back, numbers from 1 to the feet."""
    stored = image[::-1, ::-1, ::-1]
    paths = []
    for k in range(stored.shape[2]):
        path = folder / name_of(k + 1)
        write_bytes(path, encode_png(stored[:, :, k]))
        paths.append(path)
    return paths


def _row(series: str, organ: str, phantom: Phantom, look: Look) -> dict[str, str]:
    classes = VIEWS[PHANTOM_VIEWS[organ]].classes
    lesion = (phantom.label == classes.index("tumor") + 1)[::-1, ::-1, ::-1]
    columns, lines, slices = lesion.shape
    shown = bool(lesion.any())
    key = int(lesion.sum((0, 1)).argmax()) if shown else slices // 2
    places = np.argwhere(lesion[:, :, key]) if shown else np.array([[columns // 2, lines // 2]])
    (left, top), (right, bottom) = places.min(0), places.max(0)
    patient, study, number = series.split("_")
    x_mm, y_mm, z_mm = look.spacing_mm
    width, height = (right - left + 1) * math.sqrt(2), (bottom - top + 1) * math.sqrt(2)
    return {
        "File_name": f"{series}_{name_of(key + 1)}",
        "Patient_index": str(int(patient)),
        "Study_index": str(int(study)),
        "Series_ID": str(int(number)),
        "Key_slice_index": str(key + 1),
        "Measurement_coordinates": ", ".join(
            str(float(n)) for n in (left, top, right, bottom, left, bottom, right, top)
        ),
        "Bounding_boxes": ", ".join(str(float(n)) for n in (left, top, right, bottom)),
        "Lesion_diameters_Pixel_": f"{max(width, height):.2f}, {min(width, height):.2f}",
        "Normalized_lesion_location": f"{left / columns:.4f}, {top / lines:.4f}, {key / slices:.4f}",
        "Coarse_lesion_type": str(CATEGORIES.index(organ) + 1 if shown else -1),
        "Possibly_noisy": "0",
        "Slice_range": f"1, {slices}",
        "Spacing_mm_px_": f"{x_mm}, {y_mm}, {z_mm}",
        "Image_size": f"{columns}, {lines}",
        "DICOM_windows": "-175, 275",
        "Patient_gender": "F" if phantom.meta["female"] else "M",
        "Patient_age": str(phantom.meta["age_years"]),
        "Train_Val_Test": "2",
    }


def _as_csv(rows: Sequence[Mapping[str, str]]) -> str:
    quoted = ([f'"{row[name]}"' if "," in row[name] else row[name] for name in COLUMNS] for row in rows)
    return "\n".join([",".join(COLUMNS), *(",".join(row) for row in quoted)]) + "\n"
