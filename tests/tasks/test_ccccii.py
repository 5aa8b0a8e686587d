"""CC-CCII: scans are folders of slices whose class is their folder's, in the folds that the authors publish."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from bench import registry
from bench.blueprint import blueprint
from bench.cases import cached, find_cases
from bench.chain import find, resolve
from bench.data.splits import lists
from bench.data.volumes import read_image
from bench.nets.spad import degree_of_anisotropy
from bench.phantom_data import task_ids
from bench.spec import make_spec
from bench.store import Store
from bench.train.schedule import layer_groups, learning_rate
from methods.parts.lie import lie_of
from tests.command_line import bench

CARD = registry.task("ccccii")
TINY = ("--preset", "tiny", "--device", "cpu", "--set", "finetune.steps=1", "--set", "finetune.evaluate_every=0")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ccccii") / "CC-CCII"
    chosen: list[str] = []
    parts = lists(CARD.protocols["bench"].split, registry.splits_folder())
    for part, count in ((parts.train, 3), (parts.val, 2), (parts.test, 3)):
        chosen += [case for case in task_ids(CARD, "smoke") if case in part][:count]
    CARD.files.write_phantom(folder, chosen, "smoke")
    return folder


def test_a_scan_is_called_by_patient_and_scan_and_its_folder_is_its_class(written: Path) -> None:
    records = CARD.files.records(written)
    names = ("Normal", "CP", "NCP")
    for record in records:
        name, patient, scan = record.images[0].path.split("/")
        assert record.case_id == f"p{patient}-s{scan}" and names[record.label.value or 0] == name
        assert record.group == f"{name}/{patient}" and record.spacing == (1.0, 1.0, 2.0)
    assert CARD.classes == ("normal", "common-pneumonia", "covid") and len(records) == 8


def test_some_scans_run_from_foot_to_head_and_all_are_read_in_the_order_of_their_names(
    written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing in the files tells which way a scan runs, so a reversed one is read as it lies; nothing is mended."""
    monkeypatch.setattr("tasks.layouts.ccccii.draw_number", lambda *_: 1)  # now every scan runs from head to foot
    records = CARD.files.records(written)[:4]
    CARD.files.write_phantom(tmp_path, [record.case_id for record in records], "smoke")
    upwards = set()
    for record in records:
        found, downwards = (read_image(folder, record).array for folder in (written, tmp_path))
        reversed_here = not np.array_equal(found, downwards)
        assert not reversed_here or np.array_equal(found, downwards[..., ::-1])
        upwards.add(reversed_here)
    assert upwards == {False, True}


def test_the_cache_keeps_the_middle_resized(written: Path, tmp_path: Path) -> None:
    spec = make_spec(method="unet3d_scratch", task="ccccii", root=str(written))
    volumes = cached(find_cases(spec, CARD, written, {}), CARD, CARD.protocols["bench"], tmp_path)
    assert volumes.sight.shape == (192, 192, 32)
    case = volumes.cases[0]
    found = volumes.read(case, (0, 0, 0), (192, 192, 32))
    record = next(r for r in CARD.files.records(written) if r.case_id == case)
    whole = read_image(written, record).array[0][8:56, 8:56]  # the middle 48 of 64 pixels
    assert found.dtype == np.uint8 and abs(float(found.mean()) - float(whole.mean())) < 1.5


def test_a_class_that_is_not_there_makes_no_dataset(copied: Path) -> None:
    assert CARD.files.locate(copied.parent) == copied
    shutil.rmtree(copied / "CP")
    assert CARD.files.locate(copied.parent) is None


@pytest.mark.parametrize(
    ("harm", "told"),
    [("cut", "truncated or damaged"), ("size", "slices of several sizes"), ("empty", "of the 4,178 cases")],
)
def test_a_run_on_broken_slices_names_their_scan(harm: str, told: str, copied: Path, tmp_path: Path) -> None:
    (copied / "PHANTOM.json").unlink()
    record = CARD.files.records(copied)[0]
    slices = sorted((copied / record.images[0].path).iterdir())
    if harm == "cut":
        slices[2].write_bytes(slices[2].read_bytes()[:50])
    elif harm == "size":
        from bench.data.slices import encode_png

        slices[2].write_bytes(encode_png(np.zeros((9, 9), np.uint8)))
    else:
        for path in slices:
            path.unlink()
    words = ("run", "--method", "unet3d_scratch", "--task", "ccccii", "--root", copied, "--results", tmp_path / "r")
    error = bench(*words, *TINY, "--json", *([] if harm == "empty" else ["--partial"])).error
    assert told in error["message"]
    assert error["case"] == ("ccccii" if harm == "empty" else record.case_id)


def test_every_protocol_selects_and_reports_as_its_paper() -> None:
    for name in ("mim", "mg3d"):
        protocol = CARD.protocols[name]
        assert protocol.stored_voxels == protocol.patch_voxels == (384, 384, 32) and protocol.box_share == (
            0.75,
            0.75,
            1.0,
        )
        assert lists(protocol.split, registry.splits_folder(), 1).selects_on_test
        assert protocol.recipe.steps == 130 * (2514 // 4 + 1) and protocol.recipe.warmup_steps == 30 * 629
        assert (protocol.recipe.selection, protocol.recipe.select_by) == (
            "best_val",
            "acc",
        )  # both codes keep the best accuracy
        assert protocol.recipe.evaluate_every == 629 and any("accuracy" in note for note in protocol.notes)
    assert "auc@micro" in CARD.protocols["mim"].metrics and CARD.protocols["mg3d"].metrics[0] == "acc"


def test_every_parameter_decays_as_in_an_optimiser_that_is_handed_them_all() -> None:
    """AdamW on all of a network, its decay of 0.01 (MG-3D's code): over the 81,770 updates a norm or bias that nothing else moves
    loses an eighth."""
    net = torch.nn.Sequential(torch.nn.Conv3d(1, 2, 1), torch.nn.GroupNorm(1, 2))
    for name in ("mim", "mg3d"):
        recipe = CARD.protocols[name].recipe
        decays = {group["weight_decay"] for group in layer_groups((), net, recipe, recipe.layer_decay)}
        assert decays == {0.01}
        rates = (recipe.lr * learning_rate(recipe, step) for step in range(0, recipe.steps, 10))
        assert math.exp(-0.01 * 10 * sum(rates)) == pytest.approx(7 / 8, abs=0.01)


@pytest.mark.parametrize(("told", "apart", "da"), [((), 2.0, 1), (("slice_mm=5",), 5.0, 2), (("slice_mm=1",), 1.0, 0)])
def test_a_scan_counts_as_one_of_anisotropy_1_unless_a_user_tells_how_far_slices_lie_apart(
    told: tuple[str, ...], apart: float, da: int, written: Path
) -> None:
    for protocol in ("bench", "mim", "mg3d"):
        words = {"method": "spad_scratch", "task": "ccccii", "preset": "tiny", "protocol": protocol, "settings": told}
        plan = blueprint(make_spec(**words))
        assert plan.setup.sight.spacing_mm == (1.0, 1.0, apart)
        lie = lie_of(plan.setup.sight.shape, plan.setup.sight.spacing_mm, even_axis=2)
        assert degree_of_anisotropy(lie.ratio) == da and lie.axis == 2
    found = find(make_spec(**words, root=str(written)), {}, None)
    assert {record.spacing for record in found.cases.records.values()} == {(1.0, 1.0, apart)}


def test_how_far_slices_lie_apart_decides_the_training_and_stands_in_the_record(written: Path, tmp_path: Path) -> None:
    words = {"method": "spad", "task": "ccccii", "preset": "tiny", "corpus": "own", "root": str(written)}
    plain, again, apart = (
        resolve(find(make_spec(**words, settings=told), {}, None)).keys for told in ((), (), ("slice_mm=5",))
    )
    assert plain == again and not set(plain.values()) & set(apart.values())
    run = ("run", "--method", "spad_scratch", "--task", "ccccii", "--root", written, "--results", tmp_path / "r")
    assert bench(*run, *TINY, "--set", "slice_mm=5").code == 0
    (cell,) = Store(tmp_path / "r").cells()
    assert cell.config["finetune"]["slice_mm"] == 5.0 and "--set slice_mm=5" in cell.command
    assert "--set slice_mm=5" in cell.differs


@pytest.mark.parametrize(
    ("task", "value", "told"),
    [("btcv", "5", "'btcv' takes no distance of slices"), ("ccccii", "0", "a number above 0")],
)
def test_a_distance_of_slices_that_cannot_be_is_refused(task: str, value: str, told: str, tmp_path: Path) -> None:
    run = ("run", "--method", "unet3d_scratch", "--task", task, "--root", tmp_path, "--results", tmp_path / "r")
    error = bench(*run, *TINY, "--json", "--set", f"finetune.slice_mm={value}").error
    assert told in error["message"] and error["case"] == task and "slice_mm" in error["remedy"]
