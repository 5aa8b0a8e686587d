"""Broken copies of the layouts that pools are read with: what a check of the pool and a run on it say, with case and remedy."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

pytest.importorskip("pydicom", reason="DICOM phantoms need pydicom")

from bench import registry
from bench.contracts.cards import CorpusCard, CorpusMember
from bench.contracts.errors import DataMissing, DataUnsound
from bench.contracts.record import Record
from bench.corpora import cached_corpus, folder_corpus, named_corpus
from bench.corpus_check import check_corpus
from bench.data.volumes import read_header, write_nifti

FETCH = "Fetch the file again and compare its checksum"
FETCH_SERIES = "Fetch the series again"


@dataclass(frozen=True)
class Harm:
    """One deed on one image of a pool, what is said of it, what is to be done, and whether it already shows in a run.

    A run does not look at whether a CT can be in HU or shows anything; `bench data check` does.
    """

    deed: Callable[[Path, Record], None]
    told: str
    remedy: str
    stops_a_run: bool = True


def image_of(folder: Path, record: Record) -> Path:
    return folder / record.images[0].path


def rewritten(folder: Path, record: Record, array: np.ndarray) -> None:
    path = image_of(folder, record)
    write_nifti(path, array, affine=nib.load(path).affine.tolist(), dtype=array.dtype)


def cut_short(folder: Path, record: Record) -> None:
    path = image_of(folder, record)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def a_page_instead(folder: Path, record: Record) -> None:
    """What a download without login leaves under the file's name."""
    image_of(folder, record).write_bytes(b"<!DOCTYPE html><title>Sign in</title>")


def four_axes(folder: Path, record: Record) -> None:
    array = np.asarray(nib.load(image_of(folder, record)).dataobj)
    rewritten(folder, record, np.stack([array, array], axis=-1))


def one_value(folder: Path, record: Record) -> None:
    rewritten(folder, record, np.full(read_header(folder, record).shape, 7, np.int16))


def not_rescaled(folder: Path, record: Record) -> None:
    """HU + 1024, as scanners store it."""
    array = np.asarray(nib.load(image_of(folder, record)).dataobj)
    rewritten(folder, record, (array + 1024).astype(np.int16))


def not_finite(folder: Path, record: Record) -> None:
    array = np.asarray(nib.load(image_of(folder, record)).dataobj).astype(np.float32)
    array[2, 2, 2] = np.inf
    rewritten(folder, record, array)


def slices_of(folder: Path, record: Record) -> list[Path]:
    return sorted(image_of(folder, record).iterdir())


def a_slice_cut_short(folder: Path, record: Record) -> None:
    path = slices_of(folder, record)[2]
    path.write_bytes(path.read_bytes()[:-100])


def a_slice_missing(folder: Path, record: Record) -> None:
    slices_of(folder, record)[3].unlink()


def a_slice_twice(folder: Path, record: Record) -> None:
    path = slices_of(folder, record)[3]
    shutil.copy(path, path.with_name(f"copy of {path.name}"))


def two_series(folder: Path, record: Record) -> None:
    """A slice of another patient's series, under a name that is free."""
    other = next(path for path in sorted(folder.rglob("*.dcm")) if path.parent != image_of(folder, record))
    shutil.copy(other, image_of(folder, record) / "9-999.dcm")


NIFTI = (
    Harm(cut_short, "truncated or damaged", FETCH),
    Harm(a_page_instead, "is no gzip file though named so", FETCH),
    Harm(four_axes, "is 4-D where 3-D is due", "save one 3-D volume per file"),
    Harm(not_finite, "NaN or infinite", FETCH),
    Harm(one_value, "is 7 everywhere", "Fetch it again", stops_a_run=False),
)
NOT_RESCALED = Harm(not_rescaled, "its image holds no air", "Mend its unit", stops_a_run=False)
PICTURES = (
    Harm(cut_short, "is a damaged picture", FETCH),
    Harm(a_page_instead, "is no picture that can be read", FETCH),
)
SERIES = (
    Harm(a_slice_cut_short, "truncated or damaged", FETCH_SERIES),
    Harm(a_slice_missing, "a slice is missing", FETCH_SERIES),
    Harm(a_slice_twice, "two slices at one place", "Keep one of them"),
    Harm(two_series, "mixes 2 series in one folder", "Keep one series per folder"),
)
POOLS = {  # a pool, its member, and what is done to it
    "brats23": ("ar-corpus", "brats23-gli", NIFTI),
    "image_tree": ("spad-55", "totalsegmentator", NIFTI),
    "pictures of image_tree": ("spad-55", "busi", PICTURES),
    "series_tree": ("spad-55", "lidc", SERIES),
    "nifti_folder": ("mim-1k", "tcia-covid19", (*NIFTI, NOT_RESCALED)),
}
CASES = [(name, harm) for name, (_, _, harms) in POOLS.items() for harm in harms]
NAMES = [f"{name}-{harm.deed.__name__}" for name, harm in CASES]


def alone(pool: str, member: str) -> CorpusCard:
    """The pool's card with one member, so that the others need not be written."""
    card = registry.corpus(pool)
    return replace(card, members=tuple(one for one in card.members if one.key == member))


def folder_of(member: CorpusMember, root: Path) -> Path:
    return root / member.folders[0]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two cases of every member (of BraTS one, with its four images) in a root of its own."""
    roots = {}
    for name, (pool, key, _) in POOLS.items():
        roots[name] = tmp_path_factory.mktemp("pool")
        (member,) = alone(pool, key).members
        cases = {"nifti_folder": ("0000", "0027_1"), "brats23": ("a0001",)}.get(name, ("a0001", "a0002"))
        member.files.write_phantom(folder_of(member, roots[name]), cases, "smoke")
    return roots


@pytest.mark.parametrize("name", list(POOLS))
def test_an_unbroken_copy_is_sound(name: str, written: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    pool, key, _ = POOLS[name]
    card = alone(pool, key)
    monkeypatch.setattr(registry, "corpus", lambda _: card)
    report = check_corpus(pool, written[name], {}, partial=True)
    assert report.exit_ok and report.members[0].unsound == () and report.members[0].found >= 2


@pytest.mark.parametrize(("name", "harm"), CASES, ids=NAMES)
def test_a_broken_image_is_named_by_the_check_and_by_a_run_with_what_to_do(
    name: str, harm: Harm, written: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool, key, _ = POOLS[name]
    card = alone(pool, key)
    (member,) = card.members
    monkeypatch.setattr(registry, "corpus", lambda _: card)
    root = Path(shutil.copytree(written[name], tmp_path / "pool"))
    record = member.files.records(folder_of(member, root))[-1]
    harm.deed(folder_of(member, root), record)
    report = check_corpus(pool, root, {}, partial=True)
    (found,) = report.members[0].unsound
    assert found.case == record.case_id and harm.told in found.problem and harm.remedy in found.remedy
    assert not report.exit_ok and report.quarantine().startswith(f"{record.case_id}\t")
    if harm.stops_a_run:
        with pytest.raises(DataUnsound, match=harm.told) as caught:
            cached_corpus(named_corpus(pool, root, {}, None, partial=True), tmp_path / "cache")
        assert caught.value.case == record.case_id and harm.remedy in caught.value.remedy


@pytest.mark.parametrize("name", list(POOLS))
def test_a_set_that_is_not_there_is_named_with_what_is_possible(name: str, tmp_path: Path) -> None:
    pool, key, _ = POOLS[name]
    with pytest.raises(DataMissing, match=key) as caught:
        named_corpus(pool, tmp_path, {}, None, partial=False)
    assert caught.value.case == pool and "--corpus own" in caught.value.remedy


def test_a_run_on_a_folder_of_ones_own_names_its_broken_volume(written: dict[str, Path], tmp_path: Path) -> None:
    root = Path(shutil.copytree(next(written["nifti_folder"].iterdir()), tmp_path / "mine"))
    record = folder_corpus(root, "CT").members[0][1][0]
    cut_short(root, record)
    with pytest.raises(DataUnsound, match="truncated or damaged") as caught:
        cached_corpus(folder_corpus(root, "CT"), tmp_path / "cache")
    assert caught.value.case == record.case_id and FETCH in caught.value.remedy
