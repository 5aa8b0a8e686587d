"""Layouts: official trees and their quirks are read, phantoms are written in the same form, real data are never touched."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from bench.contracts.errors import DataMissing, DataUnsound, SpecError
from bench.contracts.protocols import Layout
from bench.data.splits import read_list
from bench.data.volumes import read_header, read_image, read_label, write_nifti
from tasks.btcv import LOOK as BTCV_LOOK
from tasks.btcv import ORGANS
from tasks.la import LOOK as LA_LOOK
from tasks.layouts.btcv import Btcv
from tasks.layouts.first_of import FirstOf
from tasks.layouts.la_h5 import LaH5
from tasks.layouts.la_nrrd import LaNrrd
from tasks.layouts.msd import Msd
from tasks.layouts.nifti_folder import NiftiFolder
from tasks.layouts.nnunet import NnUnet
from tasks.layouts.phantom_case import SPLITS, Look, source_of
from tasks.msd04 import LOOK as HIPPOCAMPUS
from tests import tiny_dataset as tiny

HIPPOCAMPI = (
    "hippocampus_052",
    "hippocampus_123",
    "hippocampus_148",
    "hippocampus_176",
    "hippocampus_232",
    "hippocampus_334",
)
ATRIA = ("1GU15S0GJ6PFNARO469W", "UPT6DX9IQY9JAZ7HJKA7")
ABDOMENS = ("0001", "0002", "0035")
BINARY = {0: 0, 1: 1, 255: 1}

MSD = Msd(
    task="Task04_Hippocampus", stem="hippocampus", modality="MR", labels=("anterior", "posterior"), look=HIPPOCAMPUS,
    unlabelled=("hippocampus_002",),
)  # fmt: skip
NNUNET = NnUnet(name="Hippocampus", modality="MR", labels=("anterior", "posterior"), look=HIPPOCAMPUS)
FORMS: dict[str, tuple[Layout, str, Sequence[str]]] = {
    "msd": (MSD, "Task04_Hippocampus", HIPPOCAMPI),
    "nnunet": (NNUNET, "Dataset004_Hippocampus", HIPPOCAMPI[:3]),
    "la_h5": (LaH5(look=LA_LOOK), "la", ATRIA),
    "la_nrrd": (LaNrrd(look=LA_LOOK), "la", ATRIA),
    "btcv": (Btcv(look=BTCV_LOOK), "RawData", ABDOMENS),
    "nifti_folder": (NiftiFolder(prefix="volume-covid19-A-"), "CT", ("0000", "0027_1")),
}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every layout's phantom, written once; tests that change one work on a copy."""
    folders = {}
    for name, (layout, folder, cases) in FORMS.items():
        folders[name] = tmp_path_factory.mktemp(name) / folder
        layout.write_phantom(folders[name], cases, "smoke")
    return folders


@pytest.fixture
def copied(written: dict[str, Path], tmp_path: Path) -> dict[str, Path]:
    return {name: Path(shutil.copytree(folder, tmp_path / name / folder.name)) for name, folder in written.items()}


# Every layout ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(FORMS))
def test_a_written_phantom_is_found_and_its_cases_bear_their_official_ids(name: str, written: dict[str, Path]) -> None:
    layout, _, cases = FORMS[name]
    folder = written[name]
    assert layout.locate(folder) == folder == layout.locate(folder.parent)
    records = layout.records(folder)
    labelled = [r.case_id for r in records if r.label.kind == "mask"]
    assert labelled == (sorted(cases) if name != "nifti_folder" else [])
    assert {r.source for r in records} == {"phantom"} and {r.case_id for r in records} >= set(cases)
    assert layout.tree().strip()


@pytest.mark.parametrize("name", list(FORMS))
def test_every_image_and_mask_of_a_phantom_is_readable_and_holds_what_it_should(
    name: str, written: dict[str, Path]
) -> None:
    layout, _, _ = FORMS[name]
    values = {**{i: i for i in range(14)}, **(BINARY if name.startswith("la") else {})}
    for record in layout.records(written[name]):
        image = read_image(written[name], record)
        assert image.array.std() > 0 and image.array.ndim == 4
        if record.label.kind == "mask":
            label = read_label(written[name], record, values)
            assert label.array.shape == image.array.shape[1:] and label.array.max() >= 1


@pytest.mark.parametrize("name", list(FORMS))
def test_the_mark_lists_generator_size_cases_and_every_file_with_its_hash(name: str, written: dict[str, Path]) -> None:
    folder = written[name]
    mark = json.loads((folder / "PHANTOM.json").read_text())
    assert (
        mark["size"] == "smoke"
        and mark["cases"] == sorted(FORMS[name][2])
        and mark["generator"].startswith("bench.phantoms")
    )
    on_disk = {
        p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() and not p.name.startswith("._")
    }
    assert set(mark["files"]) == on_disk - {"PHANTOM.json"} and all(
        len(digest) == 64 for digest in mark["files"].values()
    )


@pytest.mark.parametrize("name", list(FORMS))
def test_a_case_written_alone_has_the_same_bytes_as_in_company(
    name: str, written: dict[str, Path], tmp_path: Path
) -> None:
    layout, folder, cases = FORMS[name]
    layout.write_phantom(tmp_path / folder, cases[-1:], "smoke")
    company, alone = (json.loads((f / "PHANTOM.json").read_text())["files"] for f in (written[name], tmp_path / folder))
    volumes = [path for path in alone if path.endswith((".nii.gz", ".h5"))]
    assert (volumes or name == "la_nrrd") and all(company[path] == alone[path] for path in volumes)


@pytest.mark.parametrize("name", list(FORMS))
def test_phantoms_are_not_written_among_files_that_may_be_real(name: str, tmp_path: Path) -> None:
    layout, _, cases = FORMS[name]
    (tmp_path / "mine.txt").write_text("real")
    with pytest.raises(SpecError, match="may be real"):
        layout.write_phantom(tmp_path, cases[:1], "smoke")
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("name", list(FORMS))
def test_without_the_mark_the_same_files_count_as_real(name: str, copied: dict[str, Path]) -> None:
    (copied[name] / "PHANTOM.json").unlink()
    assert {r.source for r in FORMS[name][0].records(copied[name])} == {"real"}


@pytest.mark.parametrize("name", list(FORMS))
def test_an_empty_folder_holds_no_dataset(name: str, tmp_path: Path) -> None:
    assert FORMS[name][0].locate(tmp_path) is None


def test_a_writing_that_is_cut_short_cannot_pass_for_real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tasks.layouts.msd.write_json", stop)
    with pytest.raises(KeyboardInterrupt):
        MSD.write_phantom(tmp_path, HIPPOCAMPI[:1], "smoke")
    assert not (tmp_path / "PHANTOM.json").exists() and source_of(tmp_path) == "phantom"
    assert {r.source for r in MSD.records(tmp_path)} == {"phantom"}


def test_writing_more_cases_into_a_phantom_keeps_the_earlier_ones(tmp_path: Path) -> None:
    layout = FORMS["btcv"][0]
    layout.write_phantom(tmp_path, ["0001"], "smoke")
    layout.write_phantom(tmp_path, ["0002"], "smoke")
    mark = json.loads((tmp_path / "PHANTOM.json").read_text())
    assert (
        mark["cases"] == ["0001", "0002"] == [r.case_id for r in layout.records(tmp_path)] and len(mark["files"]) == 4
    )


def test_test_cases_come_from_scanners_that_no_training_case_has_seen() -> None:
    unseen = read_list(SPLITS, "bench_proposed.json", "btcv/test")
    sites = {case: phantom.meta["site"] for case, phantom in BTCV_LOOK.draw(["0001", "0002", "0003", *unseen], "smoke")}
    assert not {sites[case] for case in unseen} & {sites[case] for case in ("0001", "0002", "0003")}


# The Decathlon ----------------------------------------------------------------------------------------


def test_msd_phantoms_have_the_quirks_of_the_real_set(written: dict[str, Path]) -> None:
    folder = written["msd"]
    told = json.loads((folder / "dataset.json").read_text())
    assert all(entry["image"].startswith("./imagesTr/") for entry in told["training"]) and told["test"]
    assert list(folder.glob("imagesTr/._*"))
    images = {read_header(folder, record).dtype for record in MSD.records(folder)}
    masks = {read_header(folder, _as_image(record)).dtype for record in MSD.records(folder) if record.label.path}
    assert images == {"uint8", "float32"} == masks


def _as_image(record: object) -> object:
    path = record.label.path  # type: ignore[attr-defined]
    return record.model_copy(update={"images": (record.images[0].model_copy(update={"path": path}),)})  # type: ignore[attr-defined]


def test_msd_reads_folders_without_dataset_json_and_lists_that_name_absent_files(copied: dict[str, Path]) -> None:
    folder = copied["msd"]
    before = MSD.records(folder)
    (folder / "imagesTr" / f"{HIPPOCAMPI[0]}.nii.gz").unlink()
    assert [r.case_id for r in MSD.records(folder)] == [r.case_id for r in before if r.case_id != HIPPOCAMPI[0]]
    (folder / "dataset.json").unlink()
    assert [r.case_id for r in MSD.records(folder)] == [r.case_id for r in before if r.case_id != HIPPOCAMPI[0]]


@pytest.mark.parametrize("text", ["{", "[]", '{"training": [{"image": "./imagesTr/hippocampus_001.nii.gz"}]}'])
def test_msd_refuses_a_dataset_json_that_lists_nothing_usable(copied: dict[str, Path], text: str) -> None:
    (copied["msd"] / "dataset.json").write_text(text)
    with pytest.raises(DataUnsound, match=r"^Task04_Hippocampus: dataset\.json"):
        MSD.records(copied["msd"])


def test_msd_reads_a_4d_image_with_its_3d_mask_channel_by_channel(tmp_path: Path) -> None:
    look = Look(dataset="msd01", view="hippocampus", modality="t1", smoke=(20, 24, 20), mini=(64, 64, 64))
    contrasts = ("flair", "t1", "t1ce", "t2")
    layout = Msd(
        task="Task01_BrainTumour", stem="BRATS", modality="MR", labels=("edema", "rest"), look=look, channels=4,
        contrasts=contrasts,
    )  # fmt: skip
    layout.write_phantom(tmp_path, ["BRATS_001"], "smoke")
    (record,) = layout.records(tmp_path)
    image = read_image(tmp_path, record)
    assert image.array.shape == (4, 20, 24, 20) and [i.frame for i in record.images] == [0, 1, 2, 3]
    for channel, contrast in zip(image.array, contrasts, strict=True):
        np.testing.assert_array_equal(channel, look.draw(["BRATS_001"], "smoke", contrast)[0][1].image)
    assert read_label(tmp_path, record, {0: 0, 1: 1, 2: 2}).array.shape == (20, 24, 20)


def test_msd_takes_an_nnunet_folder_for_what_it_is(written: dict[str, Path]) -> None:
    assert MSD.locate(written["nnunet"]) is None and NNUNET.locate(written["msd"]) is None


# Left atrium ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["2018LA_Seg_Training_Set", "data"])
def test_the_h5_package_is_found_under_its_renamed_folder_and_as_the_folder_of_scans(
    copied: dict[str, Path], name: str
) -> None:
    layout, folder = FORMS["la_h5"][0], copied["la_h5"]
    moved = (folder / "2018LA_Seg_Training Set").rename(folder / name)
    at = folder if name.startswith("2018") else moved
    assert layout.locate(folder) == at and layout.locate(moved) == moved
    assert [r.case_id for r in layout.records(at)] == sorted(ATRIA)
    assert read_image(at, layout.records(at)[0]).spacing_mm == (0.625, 0.625, 0.625)


def test_the_h5_package_is_z_scored_and_the_challenge_files_are_raw_and_coded_255(written: dict[str, Path]) -> None:
    packaged, whole = (FORMS[name][0].records(written[name])[0] for name in ("la_h5", "la_nrrd"))
    assert (packaged.intensity, whole.intensity) == ("zscore", "raw")
    assert (packaged.meta["crop"], whole.meta["crop"]) == ("gt_h5", "none")
    assert abs(float(read_image(written["la_h5"], packaged).array.mean())) < 1e-4
    with pytest.raises(DataUnsound, match=r"unknown values \[255\]"):
        read_label(written["la_nrrd"], whole, {0: 0, 1: 1})
    assert set(np.unique(read_label(written["la_nrrd"], whole, BINARY).array)) == {0, 1}


def test_the_first_form_that_is_there_is_read_and_a_folder_of_neither_is_refused(
    written: dict[str, Path], tmp_path: Path
) -> None:
    either = FirstOf((FORMS["la_h5"][0], FORMS["la_nrrd"][0]))
    assert {r.images[0].format for r in either.records(written["la_h5"])} == {"h5"}
    assert {r.images[0].format for r in either.records(written["la_nrrd"])} == {"nrrd"}
    assert either.locate(tmp_path) is None and "\nor\n" in either.tree()
    with pytest.raises(DataMissing, match="none of the accepted forms"):
        either.records(tmp_path)


def test_a_challenge_scan_without_its_mask_is_unlabelled(copied: dict[str, Path]) -> None:
    (copied["la_nrrd"] / "Training Set" / ATRIA[0] / "laendo.nrrd").unlink()
    kinds = {r.case_id: r.label.kind for r in FORMS["la_nrrd"][0].records(copied["la_nrrd"])}
    assert kinds == {ATRIA[0]: "none", ATRIA[1]: "mask"}


# BTCV ---------------------------------------------------------------------------------------------------


def test_btcv_reads_the_tutorials_form_as_it_reads_the_official_one(copied: dict[str, Path]) -> None:
    layout, folder = FORMS["btcv"][0], copied["btcv"]
    official = {r.case_id: read_image(folder, r).array for r in layout.records(folder)}
    (folder / "Training" / "img").rename(folder / "imagesTr")
    (folder / "Training" / "label").rename(folder / "labelsTr")
    records = layout.records(folder)
    assert [r.images[0].path for r in records] == [f"imagesTr/img{case}.nii.gz" for case in ABDOMENS]
    assert all(r.label.kind == "mask" for r in records)
    for record in records:
        np.testing.assert_array_equal(read_image(folder, record).array, official[record.case_id])


def test_btcv_test_scans_are_unlabelled_and_the_cervix_set_is_not_taken_for_it(
    copied: dict[str, Path], tmp_path: Path
) -> None:
    layout, folder = FORMS["btcv"][0], copied["btcv"]
    hidden = folder / "Testing" / "img" / "img0061.nii.gz"
    hidden.parent.mkdir(parents=True)
    shutil.copy(folder / "Training" / "img" / "img0001.nii.gz", hidden)
    assert {r.case_id: r.label.kind for r in layout.records(folder)}["0061"] == "none"
    cervix = tmp_path / "Cervix" / "RawData" / "Training" / "img"
    cervix.mkdir(parents=True)
    (cervix / "0507688-Image.nii.gz").write_bytes(b"")
    assert layout.locate(tmp_path / "Cervix") is None


def test_btcv_phantoms_come_in_several_axis_orders_and_read_as_the_same_person(tmp_path: Path) -> None:
    layout = Btcv(look=BTCV_LOOK)
    cases = [f"{number:04d}" for number in range(1, 9)]
    layout.write_phantom(tmp_path, cases, "smoke")
    drawn = dict(BTCV_LOOK.draw(cases, "smoke"))
    records = layout.records(tmp_path)
    assert len({read_header(tmp_path, record).orientation for record in records}) >= 3
    for record in records:
        np.testing.assert_array_equal(read_image(tmp_path, record).array[0], drawn[record.case_id].image)
        label = read_label(tmp_path, record, {i: i for i in range(14)})
        np.testing.assert_array_equal(label.array, drawn[record.case_id].label)
        assert label.spacing_mm == pytest.approx((1.5, 1.5, 3.0))
        centre = np.asarray(label.affine) @ [*((n - 1) / 2 for n in label.array.shape), 1]
        np.testing.assert_allclose(centre[:3], 0, atol=1e-4)  # whatever the axis order, the grid lies about the origin


def test_some_btcv_phantoms_are_oblique() -> None:
    tilted = []
    for case in read_list(SPLITS, "btcv.json", "monai_24_6/train"):
        affine, _ = BTCV_LOOK.stored(case, np.zeros((4, 5, 6)))
        spread = np.abs(np.asarray(affine)[:3, :3])
        tilted.append(bool((np.sort(spread, axis=0)[1] > 1e-3).any()))
    assert 0 < sum(tilted) < 8


# nnU-Net and plain folders --------------------------------------------------------------------------------


def test_nnunet_goes_by_the_name_and_not_by_the_number_of_the_folder(copied: dict[str, Path]) -> None:
    folder = copied["nnunet"]
    other = folder.rename(folder.with_name("Dataset777_Hippocampus"))
    assert NNUNET.locate(other.parent) == other
    assert NNUNET.locate(other.rename(folder.with_name("Dataset777_Spleen"))) is None


def test_nnunet_joins_the_channels_of_a_case_and_refuses_one_that_lacks_some(copied: dict[str, Path]) -> None:
    folder = copied["nnunet"]
    told = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps({**told, "channel_names": {"0": "T1", "1": "T2"}}))
    for case in HIPPOCAMPI[:3]:
        shutil.copy(folder / "imagesTr" / f"{case}_0000.nii.gz", folder / "imagesTr" / f"{case}_0001.nii.gz")
    assert read_image(folder, NNUNET.records(folder)[0]).array.shape[0] == 2
    (folder / "imagesTr" / f"{HIPPOCAMPI[1]}_0001.nii.gz").unlink()
    with pytest.raises(DataUnsound, match=rf"^{HIPPOCAMPI[1]}: asked for channels 0 to 1, found \[0\]"):
        NNUNET.records(folder)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"labels": {"background": 0, "spleen": 1}}, r"labels \[0, 1\], this task has 0 to 2"),
        ({"file_ending": ".png"}, r"end in '\.png'"),
        ({"labels": None}, "does not give"),
    ],
)
def test_nnunet_refuses_a_dataset_json_of_another_task(
    copied: dict[str, Path], change: dict[str, object], words: str
) -> None:
    path = copied["nnunet"] / "dataset.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(DataUnsound, match=words):
        NNUNET.records(copied["nnunet"])


def test_nnunet_puts_the_prefix_before_the_case(tmp_path: Path) -> None:
    layout = NnUnet(name="BTCV", modality="CT", labels=ORGANS, look=BTCV_LOOK, prefix="img")
    folder = tmp_path / "Dataset017_BTCV"
    layout.write_phantom(folder, ["0001"], "smoke")
    (record,) = layout.records(folder)
    assert record.case_id == "0001" and record.images[0].path == "imagesTr/img0001_0000.nii.gz"


def test_a_plain_folder_gives_images_at_any_depth_and_never_masks(tmp_path: Path) -> None:
    volume = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    for name in (
        "a.nii",
        "deep/er/b.nii.gz",
        "deep/c.nii.gz",
        "labelsTr/a.nii.gz",
        "masks/b.nii",
        "Segmentations/c.nii",
        ".x/d.nii",
    ):
        write_nifti(tmp_path / name, volume, affine=tiny.AFFINE, dtype=np.int16)
    (tmp_path / "._a.nii").write_bytes(b"")
    records = NiftiFolder().records(tmp_path)
    assert sorted(r.case_id for r in records) == ["a", "b", "c"] and {r.label.kind for r in records} == {"none"}


def test_two_files_of_one_name_in_a_plain_folder_are_told_apart_by_their_paths(tmp_path: Path) -> None:
    for name in ("p1/scan.nii", "p2/scan.nii", "other.nii"):
        write_nifti(tmp_path / name, np.zeros((3, 3, 3), np.int16), affine=tiny.AFFINE, dtype=np.int16)
    assert {r.case_id for r in NiftiFolder().records(tmp_path)} == {"p1/scan.nii", "p2/scan.nii", "other"}


@pytest.mark.parametrize(
    ("layout", "names", "cases"),
    [
        (
            NiftiFolder(prefix="FLARE23_", suffix="_0000"),
            ["x/FLARE23_0007_0000.nii.gz", "x/FLARE22_0001_0000.nii.gz"],
            ["0007"],
        ),
        (
            NiftiFolder(fixed_name="ct"),
            ["s0001/ct.nii.gz", "s0001/liver.nii.gz", "s0002/ct.nii.gz"],
            ["s0001", "s0002"],
        ),
    ],
    ids=["flare23", "totalsegmentator"],
)
def test_a_corpus_member_takes_only_files_called_as_its_owners_call_them(
    layout: NiftiFolder, names: list[str], cases: list[str], tmp_path: Path
) -> None:
    for name in names:
        write_nifti(tmp_path / name, np.zeros((3, 3, 3), np.int16), affine=tiny.AFFINE, dtype=np.int16)
    assert sorted(r.case_id for r in layout.records(tmp_path)) == cases
    assert layout.locate(tmp_path) is not None


def test_phantom_files_are_plain_gzip_and_the_same_on_every_writing(tmp_path: Path) -> None:
    layout = FORMS["btcv"][0]
    for name in ("one", "two"):
        layout.write_phantom(tmp_path / name, ["0001"], "smoke")
    one, two = (next((tmp_path / name).rglob("img0001.nii.gz")).read_bytes() for name in ("one", "two"))
    assert one == two and gzip.decompress(one)[:4] == b"\x5c\x01\x00\x00"
