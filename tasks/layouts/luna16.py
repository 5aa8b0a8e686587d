"""LUNA16: ten folders of .mhd scans, and tables of candidates in world mm, each a nodule or not.

Source   luna16.grand-challenge.org; Setio et al., Medical Image Analysis 2017; Zenodo 3723295 and 4121926
Quirks   the organisers advise `candidates_V2.csv` (754,975 rows), MG-3D reads the older `candidates.csv` (551,065); a case is a row
         of the table, `<series uid>#<row>` with rows from 1; world coordinates stand in LPS, and some scans run from right to left;
         no table says to which of the 1,186 nodules of `annotations.csv` a candidate belongs: here each of class 1 to that of its
         scan whose centre is nearest. Some nodules have several candidates, some none

A little longer than 250 lines because scans, tables and the phantom of both must agree on where a candidate lies.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from bench.contracts.configs import Shape3, Spacing
from bench.contracts.errors import DataMissing, DataUnsound
from bench.contracts.protocols import SplitRule
from bench.contracts.record import ImageFile, LabelFile, Record, Source
from bench.data.atomic import write_text
from bench.data.axes import as_affine
from bench.data.find import first_within
from bench.data.metaimage import write_metaimage
from bench.data.official import Shipped
from bench.data.splits import read_list
from bench.metrics.pooled import FINDING, FINDINGS
from bench.phantoms.body import stream
from bench.phantoms.factors import even_label, latent
from bench.phantoms.nodules import add_nodule, lung_block, reserved_site, scanned, spread_places
from tasks.layouts.phantom_case import SPLITS, Size, claim, draw_number, held_out, seal, source_of

SUBSETS = tuple(f"subset{k}" for k in range(10))
COLUMNS = ("seriesuid", "coordX", "coordY", "coordZ", "class")
TABLES = ("candidates_V2.csv", "candidates.csv")
ANNOTATIONS = "annotations.csv"
ANNOTATED = ("seriesuid", "coordX", "coordY", "coordZ", "diameter_mm")
ROWS = dict(zip(TABLES, (754_975, 551_065), strict=True))  # as the owners published them
Point = tuple[float, float, float]
Line = tuple[str, ...]
NODULE_MM = (4.0, 8.0)  # radius of a phantom's candidates


@dataclass(frozen=True, kw_only=True)
class Luna16:
    """Scans below `subset0` to `subset9`, candidates from `table`; `rows` says how many each table has, `nodules` how many nodules
    are annotated.

    `unseen` is the split whose test part reserved scanners take, in phantoms.
    """

    table: str = TABLES[0]
    rows: Mapping[str, int] = field(default_factory=lambda: ROWS, hash=False)
    nodules: int = 1_186
    smoke: Shape3 = (40, 40, 40)
    mini: Shape3 = (80, 80, 80)
    spacing_mm: Spacing = (2.0, 2.0, 2.0)
    candidates: Mapping[Size, int] = field(default_factory=lambda: {"smoke": 4, "mini": 10}, hash=False)
    phantom_parts: Mapping[Size, tuple[int, int, int]] = field(
        default_factory=lambda: {"smoke": (5, 3, 4), "mini": (30, 6, 12)}, hash=False
    )
    unseen: SplitRule | None = field(default=None, hash=False)
    version: str = "1.1.0"

    def locate(self, root: Path) -> Path | None:
        return first_within(root, lambda folder: bool(_scans(folder)) and any((folder / t).is_file() for t in TABLES))

    def records(self, folder: Path) -> list[Record]:
        """One record per candidate whose scan is on disk. Raises DataMissing without the table, DataUnsound for a bad row.

        Where `annotations.csv` is there, the first candidate of each scan says how many nodules that has (`findings` of its
        meta), and a candidate of class 1 to which of them it belongs (`finding`).
        """
        path = folder / self.table
        if not path.is_file():
            raise DataMissing(
                f"no table '{self.table}' in '{folder}'.", case="luna16", remedy="It lies beside the scans on Zenodo."
            )
        scans = tuple(sorted((uid, file.relative_to(folder).as_posix()) for uid, file in _scans(folder).items()))
        nodules = folder / ANNOTATIONS
        changed_ns = (path.stat().st_mtime_ns, nodules.stat().st_mtime_ns if nodules.is_file() else 0)
        return list(_records(self, path, changed_ns, scans, source_of(folder)))

    def shipped(self, folder: Path) -> list[Shipped]:
        """The rows of the tables that are read; a shorter one names fewer candidates, or nodules, of every scan behind its end."""
        found = [Shipped(f"rows of {self.table}", len(_read(folder / self.table)), self.rows[self.table])]
        if (folder / ANNOTATIONS).is_file():
            found.append(Shipped(f"rows of {ANNOTATIONS}", len(_read(folder / ANNOTATIONS, ANNOTATED)), self.nodules))
        return found

    def groups(self, folder: Path) -> Iterable[str]:
        """The scans on disk; one may hold no candidate."""
        return _scans(folder)

    def tree(self) -> str:
        return (
            f"subset0/<series uid>.mhd and .raw ... subset9/\n{self.table}   (seriesuid,coordX,coordY,coordZ,class)\n"
            f"{ANNOTATIONS}   (seriesuid,coordX,coordY,coordZ,diameter_mm; without it the FROC score is undefined)"
        )

    def write_phantom(self, folder: Path, case_ids: Sequence[str], size: Size) -> None:
        """Blocks of lung with candidates of both classes; some scans run from right to left, some candidates lie at a border."""
        claim(folder)
        kept, nodules = (
            _others(folder, *table, case_ids) for table in ((TABLES[0], COLUMNS), (ANNOTATIONS, ANNOTATED))
        )
        written: list[Path] = []
        unseen = held_out(self.unseen, self)
        for uid in case_ids:
            files, drawn, annotated = self._write(folder, uid, size, uid in unseen)
            written += files
            kept += drawn
            nodules += annotated
        older = [row for k, row in enumerate(kept) if k % 5]
        for name, lines in (
            (TABLES[0], [COLUMNS, *kept]),
            (TABLES[1], [COLUMNS, *older]),
            (ANNOTATIONS, [ANNOTATED, *nodules]),
        ):
            write_text(folder / name, "\n".join(",".join(map(str, row)) for row in lines) + "\n")
            written.append(folder / name)
        seal(folder, size, case_ids, written)

    def _write(self, folder: Path, uid: str, size: Size, unseen: bool) -> tuple[list[Path], list[Line], list[Line]]:
        """The files of a scan, its candidates, and of those that are nodules the annotations."""
        shape, key = self.smoke if size == "smoke" else self.mini, (size, "luna16", uid)
        random = stream(*key, "block")
        image = lung_block(shape, random)
        affine = np.diag([*self.spacing_mm, 1.0])
        affine[:3, 3] = [-30.0, 12.0, -120.0]
        if draw_number("luna16", uid, "axes") % 4 == 0:  # the first axis runs to the left
            affine[0] = [-self.spacing_mm[0], 0, 0, -30.0 + (shape[0] - 1) * self.spacing_mm[0]]
        rows: list[Line] = []
        nodules: list[Line] = []
        places = spread_places(self.candidates[size], shape, 5.0, random)
        for number, at in enumerate(places):
            label = even_label(2, number, *key)  # neither the row nor the border tells it
            place = (0.0, at[1], at[2]) if number == 2 and draw_number("luna16", uid, "border") % 3 == 0 else at
            radius = float(random.uniform(*NODULE_MM)) / self.spacing_mm[0]
            add_nodule(image, place, radius, latent("luna16", 2, label, *key, str(number)), random)
            x, y, z = (affine @ [*place, 1.0])[:3]
            rows.append((uid, f"{-x:.3f}", f"{-y:.3f}", f"{z:.3f}", str(label)))
            if label:
                nodules.append((*rows[-1][:4], f"{2 * radius * self.spacing_mm[0]:.3f}"))
        path = folder / _official_subsets().get(uid, SUBSETS[0]) / f"{uid}.mhd"
        array = scanned(image, random, reserved_site(*key) if unseen else None)
        return write_metaimage(path, array, affine=as_affine(affine)), rows, nodules


@lru_cache(maxsize=1)
def _official_subsets() -> dict[str, str]:
    """Scan -> the owners' folder in which it lies."""
    return {
        uid: name for k, name in enumerate(SUBSETS) for uid in read_list(SPLITS, "corpus_luna16.json", f"subset_{k}")
    }


@lru_cache(maxsize=2)  # three quarters of a million rows take half a minute, and a run asks for them several times
def _records(
    layout: Luna16, path: Path, _changed_ns: tuple[int, int], scans: tuple[tuple[str, str], ...], source: Source
) -> tuple[Record, ...]:
    known = {k: LabelFile(kind="class", value=k, format="table") for k in (0, 1)}
    common = {uid: _common(layout, uid, file, source) for uid, file in scans}
    nodules = _nodules(path.parent)
    found: list[Record] = []
    for number, row in enumerate(_read(path), start=1):
        if row[0] not in common:
            continue
        try:
            x, y, z = _place(row)
            label = known[int(row[4])]
        except (ValueError, IndexError, KeyError):
            raise DataUnsound(
                f"row {number} of {path.name} is {','.join(row)}; expected are numbers and a class 0 or 1.",
                case=f"{row[0]}#{number}",
                remedy="Fetch the table again.",
            ) from None
        own = {"case_id": f"{row[0]}#{number}", "label": label, "centre_mm": (-x, -y, z)}
        if nodules is not None:
            first = not found or found[-1].scan_id != row[0]
            own["meta"] = _meta(nodules.get(row[0], ()), (x, y, z), true=label.value == 1, first=first)
        found.append(common[row[0]].model_copy(update=own))
    return tuple(found)


def _meta(nodules: Sequence[Point], at: Point, *, true: bool, first: bool) -> dict[str, int]:
    """To which of its scan's nodules a candidate belongs, the nearest one; and of a scan's first how many there are."""
    belongs = {FINDING: min(range(len(nodules)), key=lambda k: math.dist(nodules[k], at))} if true and nodules else {}
    return {**belongs, FINDINGS: len(nodules)} if first else belongs


def _nodules(folder: Path) -> dict[str, list[Point]] | None:
    """The centres of each scan's nodules in world mm as the table has them; None where the table is not there."""
    path = folder / ANNOTATIONS
    if not path.is_file():
        return None
    found: dict[str, list[Point]] = {}
    for number, row in enumerate(_read(path, ANNOTATED), start=1):
        try:
            x, y, z = _place(row)
        except ValueError:
            raise DataUnsound(
                f"row {number} of {path.name} is {','.join(row)}; expected are a scan and four numbers.",
                case=row[0],
                remedy="Fetch the table again.",
            ) from None
        found.setdefault(row[0], []).append((x, y, z))
    return found


def _place(row: Line) -> Point:
    """World mm of a row. Raises ValueError where they are not three finite numbers."""
    x, y, z = (float(word) for word in row[1:4])
    if not math.isfinite(x + y + z):
        raise ValueError(row)
    return x, y, z


def _common(layout: Luna16, uid: str, file: str, source: Source) -> Record:
    return Record(
        dataset="luna16",
        adapter_version=f"luna16@{layout.version}",
        case_id="",
        patient_id=uid,
        group=uid,
        scan_id=uid,
        images=(ImageFile(path=file, format="metaimage"),),
        modality="CT",
        intensity="hu",
        source=source,
    )


def _others(folder: Path, name: str, columns: Line, scans: Sequence[str]) -> list[Line]:
    """The rows of a table that are of none of the scans; none where there is no table yet."""
    rows = _read(folder / name, columns) if (folder / name).is_file() else []
    return [row for row in rows if row[0] not in set(scans)]


def _read(path: Path, columns: Line = COLUMNS) -> list[Line]:
    """The rows of a table of candidates, or of nodules. Raises DataUnsound where its head is another."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = [tuple(row) for row in csv.reader(file) if row]
    if not rows or rows[0] != columns:
        raise DataUnsound(
            f"{path.name} starts with {','.join(rows[0]) if rows else 'nothing'}, expected {','.join(columns)}.",
            case="luna16",
            remedy="Fetch the table again.",
        )
    return rows[1:]


def _scans(folder: Path) -> dict[str, Path]:
    return {path.stem: path for name in SUBSETS for path in sorted((folder / name).glob("[!.]*.mhd"))}
