"""MedMNIST's archives: both releases and sides are read, phantoms are written in the same form, other files are refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from bench import registry
from bench.cases import find_cases
from bench.contracts.errors import DataUnsound, SpecError
from bench.data.archive import encode_npz, small_array
from bench.data.volumes import read_image
from bench.phantom_data import task_ids
from bench.spec import make_spec
from bench.train.schedule import learning_rate
from tasks.layouts import medmnist
from tasks.layouts.medmnist import MedMnist
from tests.command_line import TINY, bench

FLAGS = [task for task in registry.names(registry.TASKS) if "mnist" in task]
ORGANS = MedMnist(flag="organmnist3d", classes=11, modality="CT")


def an_archive(
    folder: Path, name: str, side: int = 2, counts: tuple[int, int, int] = (3, 2, 2), last: int = 10
) -> Path:
    arrays = {}
    for part, count in zip(("train", "val", "test"), counts, strict=True):
        arrays[f"{part}_images"] = np.arange(count * side**3, dtype=np.uint8).reshape(count, side, side, side)
        arrays[f"{part}_labels"] = np.full((count, 1), last, np.uint8)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(encode_npz(arrays))
    return folder / name


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What counts as the owners' checksums, to be filled by a test."""
    told: dict[str, str] = {}
    monkeypatch.setattr(medmnist, "_facts", lambda flag, file: told)
    return told


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def test_there_are_nine_sets_and_their_cards_agree_with_the_owners_facts() -> None:
    facts = json.loads((registry.splits_folder() / "medmnist.json").read_text())
    assert len(FLAGS) == 9
    for flag in FLAGS:
        card = registry.task(flag)
        assert card.counts["labelled"] == sum(facts[flag]["n"].values()) and card.licence == facts[flag]["license"]
        assert (
            len(card.classes) == len(facts[flag]["labels"]) == card.files.classes
            and card.channels == facts[flag]["channels"]
        )
        assert card.dims == (3 if flag.endswith("3d") else 2) == card.files.dims and card.twins_told
        assert card.protocols["spad"].recipe.random_factor == (flag in ("adrenalmnist3d", "vesselmnist3d"))
        steps = 100 * -(-facts[flag]["n"]["train"] // card.protocols["spad"].recipe.batch_size)
        assert card.protocols["spad"].recipe.steps == steps and card.protocols["spad"].recipe.schedule == "milestones"


@pytest.mark.parametrize("flag", FLAGS)
def test_spad_on_medmnist_is_as_its_table_and_code_do_it(flag: str) -> None:
    """Table 6: 100 epochs at a tenth from epoch 50 and a hundredth from 75, the epoch of best validation; images in [0, 1]."""
    chosen = registry.task(flag).protocols["spad"]
    recipe, flat = chosen.recipe, not flag.endswith("3d")
    epoch = recipe.steps // 100
    assert (recipe.batch_size, recipe.weight_decay, recipe.betas) == (128 if flat else 32, 0.01, (0.9, 0.999))
    assert [round(100 * learning_rate(recipe, n * epoch)) for n in (0, 49, 50, 74, 75, 99)] == [100, 100, 10, 10, 1, 1]
    assert (recipe.loss, recipe.precision, recipe.grad_clip, recipe.layer_decay) == ("ce", "fp32", 0, 1)
    assert (recipe.selection, recipe.select_by, recipe.evaluate_every) == ("best_val", "", epoch)
    assert recipe.flip_axes == () and (recipe.zoom, recipe.rotate_degrees) == ((1, 1), (0, 0, 0))
    assert (recipe.intensity_scale, recipe.intensity_shift, recipe.rot90_probability) == (0, 0, 0)
    assert chosen.patch_voxels == (160, 160, 1 if flat else 160) and chosen.whole_volume
    assert (chosen.intensity.kind, chosen.intensity.scaled_to) == ("u8", (0, 1)) and chosen.metrics == ("auc", "acc")


@pytest.mark.parametrize(("name", "field"), [("organmnist3d.npz", "md5_28"), ("organmnist3d_64.npz", "md5_64")])
def test_a_file_of_the_owners_is_read_and_its_release_is_told(
    tmp_path: Path, known: dict[str, str], name: str, field: str
) -> None:
    path = an_archive(tmp_path / "deep" / "er", name)
    known[field] = md5(path)
    assert ORGANS.locate(tmp_path) == path.parent
    records = ORGANS.records(path.parent)
    assert [r.case_id for r in records][:3] == [f"organmnist3d/train/{i:06d}" for i in range(3)] and len(records) == 7
    release = "v3" if name == "organmnist3d.npz" else "v3, 64 voxels a side"
    assert {(r.source, r.meta["release"], r.label.value) for r in records} == {("real", release, 10)}
    spec = make_spec(method="unet3d_scratch", task="organmnist3d", partial=True)
    assert find_cases(spec, registry.task("organmnist3d"), tmp_path, {}).told == (
        f"the files are of release {release}",
    )
    np.testing.assert_array_equal(read_image(path.parent, records[1]).array[0], small_array(path, "train_images")[1])


def test_the_older_release_is_taken_and_of_two_sides_the_smaller(tmp_path: Path, known: dict[str, str]) -> None:
    small, _ = an_archive(tmp_path, "organmnist3d.npz"), an_archive(tmp_path, "organmnist3d_64.npz", side=3)
    known["v2_md5_28"] = md5(small)
    records = ORGANS.records(tmp_path)
    assert {r.meta["release"] for r in records} == {"v2"} and records[0].images[0].path == "organmnist3d.npz"


def test_a_file_of_another_checksum_is_refused_by_a_run(tmp_path: Path) -> None:
    an_archive(tmp_path / "MedMNIST", "organmnist3d.npz")
    words = (
        "run",
        "--method",
        "unet3d_scratch",
        "--task",
        "organmnist3d",
        "--root",
        tmp_path,
        "--results",
        tmp_path / "r",
    )
    error = bench(*words, *TINY, "--json").error
    assert (error["error"], error["case"]) == ("DataUnsound", "organmnist3d")
    assert (
        "md5" in error["message"]
        and "a0c5a1ff56af4f155c46d46fbb45a2fe" in error["message"]
        and "Zenodo" in error["remedy"]
    )


def test_a_truncated_archive_is_refused(tmp_path: Path, known: dict[str, str]) -> None:
    path = an_archive(tmp_path, "organmnist3d.npz")
    path.write_bytes(path.read_bytes()[:200])
    known["md5_28"] = md5(path)
    with pytest.raises(DataUnsound, match=r"^organmnist3d.*'train_labels'.*cut short"):
        ORGANS.records(tmp_path)


def test_an_archive_without_an_array_is_refused(tmp_path: Path, known: dict[str, str]) -> None:
    path = tmp_path / "organmnist3d.npz"
    path.write_bytes(
        encode_npz({"train_images": np.zeros((1, 2, 2, 2), np.uint8), "train_labels": np.zeros((1, 1), np.uint8)})
    )
    known["md5_28"] = md5(path)
    with pytest.raises(DataUnsound, match="'val_labels'"):
        ORGANS.records(tmp_path)


def test_a_class_outside_the_map_is_refused(tmp_path: Path, known: dict[str, str]) -> None:
    path = an_archive(tmp_path, "organmnist3d.npz", last=11)
    known["md5_28"] = md5(path)
    with pytest.raises(DataUnsound, match="holds the class 11 in 'train_labels'; classes run from 0 to 10"):
        ORGANS.records(tmp_path)


def test_phantoms_hold_every_class_in_each_part_and_follow_from_their_names(tmp_path: Path) -> None:
    card = registry.task("retinamnist")
    for folder in ("one", "two"):
        card.files.write_phantom(tmp_path / folder, task_ids(card, "smoke"), "smoke")
    one, two = ((tmp_path / folder / "retinamnist.npz").read_bytes() for folder in ("one", "two"))
    assert one == two
    images, labels = (
        small_array(tmp_path / "one" / "retinamnist.npz", f"train_{what}") for what in ("images", "labels")
    )
    assert images.shape == (24, 28, 28, 3) and images.dtype == np.uint8 and labels.shape == (24, 1)
    for part in ("train", "val", "test"):
        assert set(small_array(tmp_path / "one" / "retinamnist.npz", f"{part}_labels").ravel().tolist()) == set(
            range(5)
        )
    assert {r.source for r in card.files.records(tmp_path / "one")} == {"phantom"}
    with pytest.raises(SpecError, match="may be real"):
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "organmnist3d.npz").write_bytes(b"real")
        ORGANS.write_phantom(tmp_path / "mine", ["organmnist3d/train/000000"], "smoke")


def test_nine_sets_share_one_folder_of_phantoms(tmp_path: Path) -> None:
    for flag in ("nodulemnist3d", "retinamnist"):
        card = registry.task(flag)
        card.files.write_phantom(tmp_path / "MedMNIST", [f"{flag}/train/000003"], "smoke")
    mark = json.loads((tmp_path / "MedMNIST" / "PHANTOM.json").read_text())
    assert set(mark["files"]) == {"nodulemnist3d.npz", "retinamnist.npz"}
    assert "nodulemnist3d/train/000002" in mark["cases"] and "retinamnist/train/000003" in mark["cases"]


def test_a_run_ends_in_a_cell_that_verifies_and_keeps_its_evidence(tmp_path: Path) -> None:
    words = ("run", "--method", "unet3d_scratch", "--task", "nodulemnist3d", "--phantom", "--results", tmp_path)
    told = bench(*words, *TINY, "--json").value
    assert set(told["scores"]) == {"auc", "acc"} and all(0 <= score <= 1 for score in told["scores"].values())
    report = bench("verify", told["cell"], "--results", tmp_path, "--json").value
    verdicts = {check["name"]: check["verdict"] for check in report["checks"]}
    assert all(verdict == "ok" for name, verdict in verdicts.items() if name != "finetune:initial"), verdicts
    half = bench(*words, *TINY, "--ratio", "0.5", "--json").value
    cell = json.loads(Path(half["path"]).read_text())
    assert cell["n_train"] == 12 and cell["classes"] == ["benign", "malignant"]


def test_a_run_learns_to_tell_striped_cubes_from_plain_ones(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {}
    for part, count in (("train", 24), ("val", 8), ("test", 16)):
        labels = np.arange(count) % 2
        cubes = rng.normal(128, 8, (count, 28, 28, 28))
        cubes[labels == 1] += 60 * (np.arange(28) % 4 < 2) - 30  # the same mean, another pattern
        arrays[f"{part}_images"], arrays[f"{part}_labels"] = cubes.astype(np.uint8), labels[:, None].astype(np.uint8)
    (tmp_path / "nodulemnist3d.npz").write_bytes(encode_npz(arrays))
    (tmp_path / "PHANTOM.json").write_text(json.dumps({"cases": []}))
    words = (
        "run",
        "--method",
        "unet3d_scratch",
        "--task",
        "nodulemnist3d",
        "--root",
        tmp_path,
        "--results",
        tmp_path / "r",
    )
    short = ("--set", "finetune.steps=30", "--set", "finetune.batch_size=4", "--set", "finetune.evaluate_every=10")
    told = bench(*words, "--preset", "tiny", "--device", "cpu", *short, "--json").value
    assert told["n"] == 16 and told["scores"]["auc"] == 1.0


def test_a_picture_is_refused_by_a_method_for_volumes(tmp_path: Path) -> None:
    words = ("run", "--method", "unet3d_scratch", "--task", "dermamnist", "--phantom", "--results", tmp_path)
    error = bench(*words, *TINY, "--json").error
    assert error["error"] == "SpecError" and "3-D" in error["message"] and "2-D" in error["message"]


# A corrected split that a user brings ---------------------------------------------------------------------

DERMA = registry.task("dermamnist")
CORRECTED = DERMA.under(DERMA.protocols["corrected"])


def pictures(folder: Path, name: str, value: int = 3) -> Path:
    arrays = {}
    for part in ("train", "val", "test"):
        arrays[f"{part}_images"] = np.full((2, 4, 4, 3), value, np.uint8)
        arrays[f"{part}_labels"] = np.full((2, 1), 6, np.uint8)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(encode_npz(arrays))
    return folder / name


def test_the_corrected_split_of_dermamnist_holds_all_its_pictures_in_other_parts() -> None:
    facts = json.loads((registry.splits_folder() / "medmnist_corrected.json").read_text())["dermamnist_c"]
    assert tuple(facts["n"].values()) == (8215, 573, 1227) and sum(facts["n"].values()) == DERMA.counts["labelled"]
    recipe = DERMA.protocols["corrected"].recipe
    assert recipe.evaluate_every == -(-8215 // recipe.batch_size) and recipe.steps == 50 * recipe.evaluate_every
    assert DERMA.protocols["bench"].recipe.steps == 50 * -(-7007 // recipe.batch_size)
    assert CORRECTED.classes == DERMA.classes and "12739457" in CORRECTED.page and "10519652" in DERMA.page


def test_the_authors_file_is_told_by_its_checksum_and_medmnists_own_is_not_taken_for_it(
    tmp_path: Path, known: dict[str, str]
) -> None:
    pictures(tmp_path, "dermamnist.npz", value=1)
    assert CORRECTED.files.locate(tmp_path) is None
    known["md5_28"] = md5(pictures(tmp_path, "dermamnist_corrected_28.npz"))
    records = CORRECTED.files.records(tmp_path)
    assert [r.case_id for r in records][:2] == ["dermamnist_c/train/000000", "dermamnist_c/train/000001"]
    assert {(r.images[0].path, r.meta["release"], r.source) for r in records} == {
        ("dermamnist_corrected_28.npz", "corrected", "real")
    }
    assert read_image(tmp_path, records[0]).array.max() == 3


def test_another_file_of_that_name_is_refused_with_where_to_get_it(tmp_path: Path) -> None:
    pictures(tmp_path, "dermamnist_corrected_28.npz")
    with pytest.raises(DataUnsound, match="96e2862980877d45d9cacb5c25de6950") as caught:
        CORRECTED.files.records(tmp_path)
    assert "12739457" in caught.value.remedy


def test_a_run_without_the_file_says_what_it_is_called_and_who_gives_it_out(tmp_path: Path) -> None:
    pictures(tmp_path / "MedMNIST", "dermamnist.npz")
    words = ("run", "--method", "spad_scratch", "--task", "dermamnist", "--protocol", "corrected", "--root", tmp_path)
    error = bench(*words, *TINY, "--results", tmp_path / "r", "--json").error
    assert (error["error"], error["case"]) == ("DataMissing", "dermamnist")
    assert "dermamnist_corrected_28.npz" in error["remedy"] and "12739457" in error["remedy"]
    assert "bench data check dermamnist --protocol corrected --root DIR" in error["remedy"]
    assert "10519652" not in error["remedy"]


def test_a_run_on_the_phantom_of_the_corrected_split_ends_in_a_cell(tmp_path: Path) -> None:
    words = ("run", "--method", "spad_scratch", "--task", "dermamnist", "--phantom", "--results", tmp_path)
    told = {
        name: json.loads(Path(bench(*words, "--protocol", name, *TINY, "--json").value["path"]).read_text())
        for name in ("bench", "corrected")
    }
    assert told["corrected"]["protocol"] == "corrected" and told["corrected"]["scores"]["auc"] is not None
    assert told["corrected"]["content_hash"] != told["bench"]["content_hash"]
