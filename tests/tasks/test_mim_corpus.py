"""MiM's large pool: LUNA16 and STOIC are read as their owners ship them, and what is wrong with their files is told."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from bench import registry
from bench.contracts.cards import CorpusMember
from bench.corpora import cached_corpus, member_records, named_corpus
from bench.corpus_check import check_corpus
from bench.data.metaimage import write_metaimage
from bench.data.splits import read_list
from bench.data.volumes import read_image
from bench.phantom_data import write_corpus
from tests.command_line import bench

SPLITS = registry.splits_folder()
LUNA, STOIC = "luna16", "stoic"


def member(key: str) -> CorpusMember:
    return next(one for one in registry.corpus("mim-10k").members if one.key == key)


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("mim")
    write_corpus("mim-10k", "smoke", root)
    return root


@pytest.fixture
def broken(pool: Path, tmp_path: Path) -> Path:
    for key in (LUNA, STOIC):
        shutil.copytree(pool / member(key).folders[0], tmp_path / member(key).folders[0])
    return tmp_path


def complaint(root: Path, key: str) -> tuple[str, str]:
    """Case and problem of the one volume of a member that the check refuses."""
    report = check_corpus("mim-10k", root, {}, partial=True)
    ((case, problem),) = [(u.case, u.problem) for m in report.members if m.key == key for u in m.unsound]
    answer = bench("data", "check", "mim-10k", "--root", root, "--partial")
    assert answer.code == 2 and case in " ".join(answer.out.split())
    return case, problem


def test_both_sets_lie_as_their_owners_ship_them_and_nothing_is_to_be_converted(pool: Path) -> None:
    assert not [note for note in registry.corpus("mim-10k").notes if "convert" in note]
    first = read_list(SPLITS, "corpus_luna16.json", "T")[0]
    assert (pool / f"LUNA16/subset0/{first}.mhd").is_file() and (pool / f"LUNA16/subset0/{first}.raw").is_file()
    for key, ending in ((LUNA, ".mhd"), (STOIC, ".mha")):
        folder, records = member_records(member(key), pool, {}, None)
        assert folder == pool / member(key).folders[0] and len(records) == 8
        assert {Path(image.path).suffix for record in records for image in record.images} == {ending}
        assert [record.case_id for record in records] == [Path(record.images[0].path).stem for record in records]
        image = read_image(folder, records[0])
        assert image.array.dtype == np.int16 and image.spacing_mm == pytest.approx(member(key).files.look.spacing_mm)


def test_the_pool_pre_trains_on_them_and_knows_them_by_their_official_names(pool: Path, tmp_path: Path) -> None:
    found = named_corpus("mim-10k", None, {}, pool, partial=False)
    listed = set(read_list(SPLITS, "corpus_luna16.json", "T")), set(read_list(SPLITS, "stoic_ids.txt"))
    seen = cached_corpus(found, tmp_path).seen()
    for key, names in zip((LUNA, STOIC), listed, strict=True):
        assert len(cases := {one.case for one in seen if one.dataset == key}) == 8 and cases <= names


def test_lung_masks_that_luna16_ships_under_the_scans_names_are_passed_over(broken: Path) -> None:
    scan = next((broken / "LUNA16").rglob("*.mhd"))
    masks = broken / "LUNA16" / "seg-lungs-LUNA16"
    masks.mkdir()
    for path in (scan, scan.with_suffix(".raw")):
        shutil.copy(path, masks / path.name)
    _, records = member_records(member(LUNA), broken, {}, None)
    assert len(records) == 8 and not [r for r in records if "seg-lungs" in r.images[0].path]


def test_packed_voxels_beside_a_header_are_read(broken: Path) -> None:
    scan = next((broken / "LUNA16").rglob("*.mhd"))
    folder, records = member_records(member(LUNA), broken, {}, None)
    assert folder is not None
    record = next(one for one in records if one.case_id == scan.stem)
    before = read_image(folder, record)
    scan.with_suffix(".raw").unlink()
    write_metaimage(scan, before.array[0], affine=before.affine, packed=True)
    assert scan.with_suffix(".zraw").is_file() and not scan.with_suffix(".raw").is_file()
    np.testing.assert_array_equal(read_image(folder, record).array, before.array)


def test_a_header_without_its_voxels_is_told_of_any_scan_with_the_remedy(broken: Path) -> None:
    scan = next((broken / "LUNA16").rglob("*.mhd"))
    scan.with_suffix(".raw").unlink()
    case, problem = complaint(broken, LUNA)
    assert (
        case == scan.stem
        and problem == f"'subset0/{scan.name}' keeps its voxels in '{scan.stem}.raw', which is not beside it."
    )
    text = "\n".join(check_corpus("mim-10k", broken, {}, partial=True).lines())
    assert "Complete the download." in text


@pytest.mark.parametrize(("key", "files"), [(LUNA, "*.raw"), (STOIC, "*.mha")])
def test_voxels_cut_short_are_told(broken: Path, key: str, files: str) -> None:
    victim = next((broken / member(key).folders[0]).rglob(files))
    victim.write_bytes(victim.read_bytes()[: victim.stat().st_size // 2])
    case, problem = complaint(broken, key)
    assert case == victim.stem and "is truncated" in problem


def test_a_file_that_is_no_metaimage_is_told(broken: Path) -> None:
    victim = next((broken / "STOIC").rglob("*.mha"))
    victim.write_bytes(b"<html>not found</html>")
    case, problem = complaint(broken, STOIC)
    assert case == victim.stem and "is no readable MetaImage" in problem
