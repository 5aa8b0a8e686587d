"""Results on disk: one JSON per finished run (a cell), one Parquet with its per-case rows; both or neither.

Layout of a results folder: `cells/<name>.json`, `cases/<name>.parquet`, `tables/` (rendered), `runs/` (encoders,
predictions, logs; not in git). Two folders merge by the union of their files. The JSON is the commit mark: rows without
it belong to a run that was killed and count for nothing. Both files are flushed under temporary names before either
gets its own, and a lock orders the renames of two writers.

Longer than 250 lines because writing, merging and checking must agree on when a cell counts.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from bench.case_rows import CaseRow, read_all, rows_from_parquet, rows_to_parquet, same_values, scan, values_by_place
from bench.cell_files import KEY_DIGITS, Broken, check_name, is_file, listed, read_cell, safe
from bench.contracts.errors import StoreError, nearest
from bench.contracts.record import Cell
from bench.data.atomic import TEMPORARY, discard, json_text, publish, stage_bytes

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.dataset


LOCK_WAIT_S = 120.0
_SET_ASIDE = ".broken"


@dataclass(frozen=True)
class Finding:
    """Something `check` found: the file, what is wrong, what to do. `harmless` True means that no result is touched."""

    path: Path
    problem: str
    remedy: str
    harmless: bool = False


@dataclass(frozen=True)
class Merged:
    """What `merge` did: cells taken over, cells that were there already, cells of one name that differ (left alone)."""

    added: tuple[str, ...]
    same: tuple[str, ...]
    differing: tuple[str, ...]


class Store:
    """A results folder. Reading never writes; nothing is made before the first `write`."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self.cells_folder = self.folder / "cells"
        self.cases_folder = self.folder / "cases"

    def write(self, cell: Cell, rows: Sequence[CaseRow]) -> Cell:
        """Commit a cell with its rows and return it as it stands on disk, its Parquet's sha256 in `hashes["cases"]`.

        A cell that is there already with the same scores and rows is kept and returned; one that differs is never
        written over. A file of that name that is no cell is set aside as `.json.broken`. Raises StoreError when a
        differing cell stands there, rows are told twice, the name does not fit the key, or the disk refuses; what was
        there before is intact then.
        """
        check_name(cell)
        values_by_place(cell.name, rows)
        cases = rows_to_parquet(cell.name, rows)
        mark = json_text(cell.model_copy(update={"hashes": {**cell.hashes, "cases": _sha256(cases)}})).encode()
        stored = Cell.model_validate_json(mark)
        standing = self._commit(stored, rows, cases, mark)
        differences = self._differences(standing, stored, rows) if standing else []
        if differences:
            raise StoreError(
                f"{cell.name}: a result stands under this name and differs in {', '.join(differences)}.",
                case=cell.name,
                remedy=f"Check it with bench verify {cell.name}, or move {self.path(cell.name)} away and run again.",
            )
        return standing or stored

    def find(self, key: str) -> Cell | None:
        """The cell that carries this key, None when there is none. A broken file is none (see `broken`)."""
        for path in listed(self.cells_folder, f"*-{safe(key[:KEY_DIGITS])}.json"):
            cell = read_cell(path)
            if isinstance(cell, Cell) and cell.key == key:
                return cell
        return None

    def read(self, name: str) -> Cell:
        """The cell of this name. Raises StoreError with the nearest name when there is none, or says why it is none."""
        found = read_cell(self.path(name)) if name == safe(name) and is_file(self.path(name)) else None
        if isinstance(found, Cell):
            return found
        known = [path.stem for path in listed(self.cells_folder, "*.json")]
        why = (
            f"{found.path}: {found.reason}." if found else f"No cell '{name}' in {self.folder}. {nearest(name, known)}"
        )
        raise StoreError(why.strip(), case=name, remedy="All of them: bench table all")

    def cells(self) -> list[Cell]:
        """Every readable cell, in the order of names. Files that are none are left out and listed by `broken`."""
        return [cell for cell in self._read_all() if isinstance(cell, Cell)]

    def broken(self) -> list[Broken]:
        """Files among the cells that are torn, foreign, of another schema, or named after another cell."""
        return [found for found in self._read_all() if isinstance(found, Broken)]

    def cells_and_broken(self) -> tuple[list[Cell], list[Broken]]:
        """What `cells` and `broken` give, of one reading."""
        found = list(self._read_all())
        return [one for one in found if isinstance(one, Cell)], [one for one in found if isinstance(one, Broken)]

    def rows(self, name: str) -> tuple[CaseRow, ...]:
        """The per-case rows of one cell. Raises StoreError when they are missing or damaged."""
        return rows_from_parquet(self.cases_path(name))

    def dataset(self, names: Sequence[str] | None = None) -> pyarrow.dataset.Dataset:
        """The rows of the named cells (None: of all committed ones) as one lazy dataset, for filters and batches."""
        return scan(self._cases_paths(names))

    def cases(self, names: Sequence[str] | None = None) -> pa.Table:
        """The rows of the named cells (None: of all committed ones) in one table: cell, case, class, metric, value.

        Raises StoreError when rows are missing or damaged: a table that silently lacks cases would be wrong.
        """
        return read_all(self._cases_paths(names))

    def check(self) -> list[Finding]:
        """Everything that does not hold together; empty for a sound folder.

        Each cell must be readable and alone with its key, and its Parquet must be there with the recorded hash. Rows
        without a cell and left-over temporary files (a writer was killed) are told as harmless.
        """
        found = list(self._read_all())
        cells = [cell for cell in found if isinstance(cell, Cell)]
        keys = Counter(cell.key for cell in cells)
        findings = [Finding(b.path, b.reason, "Restore it, or move it away.") for b in found if isinstance(b, Broken)]
        for cell in cells:
            if keys[cell.key] > 1:
                findings.append(Finding(self.path(cell.name), "another cell has the same key", "Keep one of the two."))
            if not self._sound(cell):
                problem = "the rows of this cell are missing or do not have the hash that it records"
                findings.append(Finding(self.cases_path(cell.name), problem, "Copy them again, or score again."))
        return findings + self._litter({cell.name for cell in cells})

    def merge(self, other: Store) -> Merged:
        """Take over the cells of another folder that are not here, byte for byte; what differs is left as it is here.

        Raises StoreError when a cell of the other folder has lost its rows, or the disk refuses; what was taken stays.
        """
        taken: dict[str, list[str]] = {"added": [], "same": [], "differing": []}
        for theirs in other.cells():
            cases, mark = _bytes_of(other.cases_path(theirs.name)), _bytes_of(other.path(theirs.name))
            if _sha256(cases) != theirs.hashes.get("cases"):
                raise StoreError(
                    f"{other.cases_path(theirs.name)}: the rows do not have the hash that their cell records.",
                    case=theirs.name,
                    remedy=f"Score that cell again in {other.folder}, or move it away there.",
                )
            rows = other.rows(theirs.name)
            ours = self._commit(theirs, rows, cases, mark)
            word = "added" if ours is None else "differing" if self._differences(ours, theirs, rows) else "same"
            taken[word].append(theirs.name)
        return Merged(**{word: tuple(names) for word, names in taken.items()})

    def path(self, name: str) -> Path:
        """Where the cell of this name lies."""
        return self.cells_folder / f"{name}.json"

    def cases_path(self, name: str) -> Path:
        """Where the per-case rows of this cell lie."""
        return self.cases_folder / f"{name}.parquet"

    def cases_sha256(self, name: str) -> str | None:
        """The sha256 of a cell's Parquet as it lies there now; None when it is not there."""
        path = self.cases_path(name)
        return _sha256(_bytes_of(path)) if path.is_file() else None

    def _cases_paths(self, names: Sequence[str] | None) -> list[Path]:
        return [self.cases_path(name) for name in (names if names is not None else [c.name for c in self.cells()])]

    def _read_all(self) -> Iterator[Cell | Broken]:
        return (read_cell(path) for path in listed(self.cells_folder, "*.json"))

    def _commit(self, cell: Cell, rows: Sequence[CaseRow], cases: bytes, mark: bytes) -> Cell | None:
        """Put both files in place and return None, or leave all as it is and return the cell that stands there.

        Where an equal cell has lost its rows, both files are put in place again.
        """
        path, cases_path = self.path(cell.name), self.cases_path(cell.name)
        with _staged(cases_path, cases) as staged_cases, _staged(path, mark) as staged_mark, self._lock():
            standing = self._standing(path)
            if standing is not None and (self._sound(standing) or self._differences(standing, cell, rows)):
                return standing
            # Without its mark the old cell is gone before its rows change: a kill between the renames tears nothing.
            with _taken_away(path):
                publish(staged_cases, cases_path)
            publish(staged_mark, path)
        return None

    def _standing(self, path: Path) -> Cell | None:
        """The cell already at this place; what is there and is no cell is moved aside, so that nothing is lost."""
        if not path.exists():
            return None
        found = read_cell(path)
        if isinstance(found, Cell):
            return found
        names = (path.with_name(f"{path.name}{_SET_ASIDE}{number or ''}") for number in count())
        path.replace(next(name for name in names if not name.exists()))
        return None

    def _sound(self, cell: Cell) -> bool:
        """True when the rows of a cell are there with the hash that it records."""
        found = self.cases_sha256(cell.name)
        return found is not None and found == cell.hashes.get("cases")

    def _differences(self, standing: Cell, new: Cell, rows: Sequence[CaseRow]) -> list[str]:
        """What two cells of one name disagree in, of what was computed; when and where they ran may differ."""
        fields = ["key", "scores", "class_scores", "n", "n_listed", "counts"]
        found = [field for field in fields if getattr(standing, field) != getattr(new, field)]
        if standing.hashes.get("cases") == new.hashes.get("cases") or not self._sound(standing):
            return found
        if not same_values(self.rows(new.name), rows):
            found.append("per-case rows")
        return found

    def _litter(self, names: set[str]) -> list[Finding]:
        stray = [path for path in listed(self.cases_folder, "*.parquet") if path.stem not in names]
        remedy = "That run never finished; delete them."
        findings = [Finding(path, "rows without a cell", remedy, True) for path in stray]
        for folder in (self.cells_folder, self.cases_folder):
            for path in listed(folder, f".*{TEMPORARY}"):
                findings.append(Finding(path, "left by a killed writer", "Delete it once no run is going on.", True))
        for path in listed(self.cells_folder, f"*.json{_SET_ASIDE}*"):
            findings.append(Finding(path, "set aside, because it was no cell", "Look at it, then delete it.", True))
        return findings

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """One writer at a time between looking and renaming; the system frees the lock of a killed process."""
        from filelock import FileLock, Timeout

        place = self.folder / "runs" / ".store.lock"
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(place, timeout=LOCK_WAIT_S):
                yield
        except Timeout as error:
            raise StoreError(
                f"{place}: another process has held this lock for {LOCK_WAIT_S:.0f} s.",
                case=str(place),
                remedy="Wait for it to end, or end it, and run again.",
            ) from error
        except OSError as error:
            raise StoreError(
                f"{self.folder}: could not put a result in place: {error.strerror or error}.",
                case=str(self.folder),
                remedy="Ask for write permission there, or name another folder; earlier results are intact.",
            ) from error


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be read: {error.strerror or error}.",
            case=str(path),
            remedy="Copy cells/ and cases/ together, or score again.",
        ) from error


@contextmanager
def _taken_away(path: Path) -> Iterator[None]:
    """Without this file while the block runs and after it; with it again where the block fails."""
    aside = path.with_name(f".{path.name}{TEMPORARY}")
    if not path.exists():
        yield
        return
    path.replace(aside)
    try:
        yield
    except BaseException:
        aside.replace(path)
        raise
    discard(aside)


@contextmanager
def _staged(path: Path, data: bytes) -> Iterator[Path]:
    temporary = stage_bytes(path, data)
    try:
        yield temporary
    finally:
        discard(temporary)
