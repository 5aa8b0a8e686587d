"""Any dataset for pre-training whose images are DICOM series, one folder a series: TCIA's and Kaggle's trees.

Source   PUMIT's list of how such sets lie on disk; folders as the NBIA downloader names them by description
Quirks   collections mix volumes with localisers, structure sets and single pictures: a series of few slices is passed over
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.contracts.cards import Modality
from bench.contracts.record import ImageFile, Record
from bench.data.dicom import first_slice, write_series
from bench.data.find import first_within
from tasks.layouts.phantom_case import Look, Size, claim, seal, source_of

MR_MAXIMUM = 1500.0  # of a phantom's stored values


@dataclass(frozen=True)
class Series:
    """One sort of series of a dataset: `glob` finds their folders below its own, `example` is such a folder with `{n}` for a
    number, where phantoms lie.

    `fewest` slices make a volume. `skip` is a regular expression that no path may contain. Where a collection mixes modalities,
    `by_header` True reads one slice of every series and takes those of this modality; `left_out` names series by their UID.
    `phantom` is how made-up images look where the dataset's look does not fit.
    """

    glob: str
    example: str
    modality: Modality
    fewest: int = 3
    skip: str = ""
    by_header: bool = False
    left_out: tuple[str, ...] = ()
    phantom: str = ""


@dataclass(frozen=True, kw_only=True)
class SeriesTree:
    """A folder called one of `names` that holds DICOM series. A case's id is the path of its folder."""

    names: tuple[str, ...]
    series: tuple[Series, ...]
    look: Look
    version: str = "1.0.0"

    def locate(self, root: Path) -> Path | None:
        return first_within(root, self._is_here)

    def records(self, folder: Path) -> list[Record]:
        return [
            self._record(folder, sort, path)
            for sort in self.series
            for path in _found(folder, sort)
            if _is_of(path, sort)
        ]

    def tree(self) -> str:
        return "\n".join(f"{self.names[-1]}/{sort.glob}/*.dcm" for sort in self.series)

    def write_phantom(self, folder: Path, case_ids: Sequence[str], size: Size) -> None:
        """The sorts of series take turns over the cases."""
        claim(folder)
        written = []
        for n, case in enumerate(case_ids, start=1):
            sort = self.series[(n - 1) % len(self.series)]
            ((_, phantom),) = self.look.draw([case], size, sort.phantom)
            affine, (image,) = self.look.stored(case, phantom.image)
            hounsfield = sort.modality == "CT"
            written += write_series(
                folder / sort.example.format(n=n),
                image if hounsfield else image * (MR_MAXIMUM / float(image.max())),
                affine=affine,
                name=f"{self.look.dataset}|{case}",
                intercept=-1024.0 if hounsfield else 0.0,
                modality=sort.modality,
                patient=case,
            )
        seal(folder, size, case_ids, written)

    def _record(self, folder: Path, sort: Series, path: Path) -> Record:
        case = path.relative_to(folder).as_posix()
        return Record(
            dataset=self.look.dataset,
            adapter_version=f"series_tree@{self.version}",
            case_id=case,
            patient_id=case,
            group=case,
            images=(ImageFile(path=case, format="dicom"),),
            modality=sort.modality,
            intensity="hu" if sort.modality == "CT" else "raw",
            source=source_of(folder),
        )

    def _is_here(self, folder: Path) -> bool:
        return folder.name.casefold() in {name.casefold() for name in self.names} and any(
            next(_found(folder, sort), None) is not None for sort in self.series
        )


def _found(folder: Path, sort: Series) -> Iterator[Path]:
    """Folders of a sort that hold enough slices, by path; hidden ones are passed over."""
    for path in sorted(folder.glob(sort.glob)):
        inside = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in inside.parts)
        skipped = bool(sort.skip) and re.search(sort.skip, inside.as_posix()) is not None
        if path.is_dir() and not hidden and not skipped and _slices(path) >= sort.fewest:
            yield path


def _slices(folder: Path) -> int:
    return sum(path.suffix.lower() == ".dcm" and not path.name.startswith(".") for path in folder.iterdir())


def _is_of(path: Path, sort: Series) -> bool:
    """Whether a series is of its sort's modality, and not one that is left out; read from one slice where the sort asks."""
    if not (sort.by_header or sort.left_out):
        return True
    head = first_slice(path)
    return head is not None and head.modality == sort.modality and head.series not in sort.left_out
