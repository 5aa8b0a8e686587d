"""Images told by their paths: sorts, frames, weights, phantoms; and SPAD's pool made of them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bench import registry
from bench.contracts.cards import CorpusMember
from bench.corpora import cached_corpus, member_records, named_corpus
from bench.data.volumes import read_image
from bench.phantom_data import write_corpus
from methods.parts.equal_anisotropy import EqualAnisotropy
from methods.parts.lie import lie_of_case
from tasks.layouts.image_tree import Images, ImageTree
from tasks.layouts.phantom_case import Look

LOOK = Look(
    dataset="set", view="abdomen", modality="mr", smoke=(16, 16, 8), mini=(16, 16, 8), spacing_mm=(1.0, 1.0, 2.0)
)


def tree(*images: Images, depth_axis: int | None = None) -> ImageTree:
    return ImageTree(names=("Set",), images=images, look=LOOK, depth_axis=depth_axis)


def save(path: Path, *shape: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.Nifti1Image(np.ones(shape, np.int16), np.eye(4)).to_filename(path)


def test_a_dataset_is_its_folders_name_and_one_image_in_it(tmp_path: Path) -> None:
    layout = tree(Images("*/t1.nii.gz", "{n}/t1.nii.gz", "MR"))
    save(tmp_path / "Other" / "a" / "t1.nii.gz", 4, 4, 4)
    assert layout.locate(tmp_path) is None
    save(tmp_path / "deep" / "set" / "a" / "t1.nii.gz", 4, 4, 4)
    assert layout.locate(tmp_path) == tmp_path / "deep" / "set"


def test_sorts_keep_their_modality_and_pass_over_what_they_skip_and_what_is_hidden(tmp_path: Path) -> None:
    for name in ("a/t1.nii.gz", "a/ct.nii.gz", "b/t1.nii.gz", "._b/t1.nii.gz", "mask/t1.nii.gz", "a/notes.txt"):
        save(tmp_path / name, 4, 4, 4) if name.endswith("gz") else (tmp_path / name).write_text("x")
    layout = tree(
        Images("*/t1.nii.gz", "{n}/t1.nii.gz", "MR", skip="mask"), Images("*/ct.*", "{n}/ct.nii.gz", "CT"), depth_axis=0
    )
    found = {record.case_id: record for record in layout.records(tmp_path)}
    assert {case: record.modality for case, record in found.items()} == {"a/t1": "MR", "b/t1": "MR", "a/ct": "CT"}
    assert found["a/ct"].intensity == "hu" and found["a/t1"].meta == {"depth_axis": 0}


def test_frames_of_a_series_count_as_near_duplicates_and_those_of_modalities_as_images(tmp_path: Path) -> None:
    save(tmp_path / "a" / "cine.nii.gz", 4, 4, 4, 5)
    for kind, weight in (("repeats", 9 / 25), ("modalities", None)):
        records = tree(Images("*/cine.nii.gz", "{n}/cine.nii.gz", "MR", frames=kind)).records(tmp_path)  # type: ignore[arg-type]
        assert [record.case_id for record in records] == [f"a/cine#{k}" for k in range(5)]
        assert {record.meta.get("weight") for record in records} == {weight} and len({r.group for r in records}) == 1
        assert read_image(tmp_path, records[3]).array.shape == (1, 4, 4, 4)


def test_a_frame_is_drawn_by_its_sets_weight_times_its_own_and_without_the_sets_by_its_own(tmp_path: Path) -> None:
    """SPAD, Sec. 1.2. What draws it, and leaves out its set, reads both weights and the tasks that know it in the case's fields."""
    save(tmp_path / "Set" / "a" / "cine.nii.gz", 4, 4, 4, 5)
    save(tmp_path / "Set" / "a" / "t1.nii.gz", 4, 4, 4)
    files = tree(
        Images("*/cine.nii.gz", "{n}/cine.nii.gz", "MR", frames="repeats"), Images("*/t1.*", "{n}/t1.nii.gz", "MR")
    )
    member = CorpusMember(key="five", files=files, folders=("Set",), printed=6, weight=0.5, overlaps=("acdc",))
    _, records = member_records(member, tmp_path, {}, None)
    told = {record.case_id: record.meta for record in records}
    frame, alone = {"weight": 0.5 * 9 / 25, "image_weight": 9 / 25}, {"weight": 0.5, "image_weight": 1.0}
    every = {"dataset": "five", "overlaps": ("acdc",)}
    assert told == {"a/t1": alone | every} | {f"a/cine#{k}": frame | every for k in range(5)}


def test_phantoms_of_all_sorts_take_turns_and_are_read_as_what_they_pass_for(tmp_path: Path) -> None:
    layout = tree(
        Images("v/*.nii.gz", "v/{n}.nii.gz", "MR"),
        Images("c/*.jpg", "c/{n}.jpg", "FP", coloured=True, phantom="ct"),
        Images("g/*.png", "g/{n}.png", "US"),
    )
    layout.write_phantom(tmp_path, [f"set_{n}" for n in range(6)], "smoke")
    records = layout.records(tmp_path)
    assert Counter(record.modality for record in records) == {"MR": 2, "FP": 2, "US": 2}
    assert {record.source for record in records} == {"phantom"}
    shapes = {record.modality: read_image(tmp_path, record).array.shape for record in records}
    assert shapes == {"MR": (1, 16, 16, 8), "FP": (3, 1, 16, 16), "US": (1, 1, 16, 16)}


def test_the_pool_names_all_sets_of_the_paper_with_its_counts_and_the_codes_weights() -> None:
    card = registry.corpus("spad-55")
    counts = {member.key: member.printed for member in card.members}
    assert len(counts) == 55 and sum(counts.values()) == card.printed == 48_344 + 348_991
    trees = {member.key: member.files for member in card.members if isinstance(member.files, ImageTree)}
    flat = [key for key, files in trees.items() if all(s.example.endswith((".png", ".jpg")) for s in files.images)]
    assert len(flat) == 15 and sum(counts[key] for key in flat) == 348_991
    assert {member.key: member.weight for member in card.members if member.weight != 1} == {
        "idrid": 0.5,
        "busi": 0.4,
        "ichallenge-adam": 0.2,
        "ichallenge-palm": 0.2,
        "hc18": 0.2,
        "chaksu": 0.2,
        "refuge2": 0.1,
        "chexpert": 0.007,
        "nih-cxr": 0.007,
        "ixi": 0.5,
        "rsna-2022-csfd": 0.6,
        "brats23-men": 0.5,
        "brats23-gli": 0.4,
        "rsna-2020-ped": 0.3,
        "pi-cai": 0.25,
    }


@pytest.mark.slow
def test_the_pools_phantom_holds_every_anisotropy_of_the_paper_and_makes_batches_of_each(tmp_path: Path) -> None:
    write_corpus("spad-55", "smoke", tmp_path / "data")
    found = named_corpus("spad-55", None, {}, tmp_path / "data", partial=False)
    pool = cached_corpus(found, tmp_path / "cache")
    assert found.found == len(pool.cases) >= 53 and found.source == "phantom"
    assert pool.fields(next(c for c in pool.cases if "patient00001" in c))["weight"] == 0.007
    ratios = [lie_of_case(pool, case, 2).ratio for case in pool.cases]
    assert {min(int(np.log2(max(ratio, 1))), 5) for ratio in ratios} == {0, 1, 2, 3, 4, 5}
    draw = EqualAnisotropy(side=32)
    assert {draw(pool, 2, step, 0)[0].da for step in range(300)} == {0, 1, 2, 3, 4, 5}
