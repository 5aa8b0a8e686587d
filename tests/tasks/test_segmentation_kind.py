"""Segmentation from a prepared volume to a score: a network that knows the truth must score 1, whatever the grid in between."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench.case_rows import CaseRow
from bench.contracts.configs import FineTuneConfig, Inference, Intensity, Shape3
from bench.contracts.errors import DataUnsound
from bench.contracts.kind import Setup, make_setup
from bench.contracts.protocols import Protocol, SplitRule
from bench.contracts.record import ImageFile, LabelFile, Record
from bench.data.cache import CachedCases, prepare
from bench.data.cache_recipe import CacheRecipe
from bench.data.volumes import label_map, write_nifti
from bench.finetune import adopt_weights, build_model
from bench.score import summarise
from bench.train.checkpoint import save_weights
from methods import mae3d, spad_scratch, unet3d_scratch, unetr_scratch
from tasks.kinds import segmentation as kind
from tasks.kinds.dice_ce import dice_ce, plain_dice_ce
from tests.tiny_dataset import card

HU = Intensity("hu", (-100.0, 100.0), (-1.0, 1.0))
PROTOCOL = Protocol(
    split=SplitRule(file="bench_proposed.json", key="tiny", origin="made up"),
    label_ratios=(1.0,),
    intensity=HU,
    spacing_mm=None,
    patch_voxels=(8, 8, 8),
    metrics=("dice", "hd95", "assd", "nsd@1mm"),
    inference=Inference(overlap=0.25, blending="gaussian"),
)
TARGETS = {
    "whole": {"whole": ("head", "tail")},
    "start": {"start": ("head",)},
    "end": {"end": ("tail",)},
    "swapped": {"b": ("tail",), "a": ("head",)},
}
OBLIQUE_LPS = ((-1.96, 0.3, 0.0, 40.0), (-0.3, -1.96, 0.0, 25.0), (0.0, 0.0, 3.0, -70.0), (0.0, 0.0, 0.0, 1.0))


class KnowsTheTruth(nn.Module):
    """Reads the class off the intensity: head is stored as 100 HU, tail as -100 HU, background as 0."""

    def __init__(self) -> None:
        super().__init__()
        self.anchor = nn.Parameter(torch.zeros(1))
        self.seen: list[tuple[int, ...]] = []

    def forward(self, volume: Tensor) -> Tensor:
        self.seen.append(tuple(volume.shape))
        x = volume[:, :1]
        return 1000 * torch.cat([0.5 - x.abs(), torch.where(x > 0, x, -1) - 0.5, torch.where(x < 0, -x, -1) - 0.5], 1)


def setup_of(target: str = "", **changes: Any) -> Setup:
    protocol = dataclasses.replace(PROTOCOL, **changes)
    task = card(modality="CT", targets=TARGETS)
    return make_setup(
        task,
        target,
        protocol,
        preset="full",
        recipe=protocol.recipe,
        inference=protocol.inference,
        multiple=(1, 1, 1),
    )


def volume_of(shape: Shape3 = (13, 20, 11)) -> np.ndarray:
    """A mask with a head and a tail that do not touch, both of cubes; in the file's own axis order."""
    mask = np.zeros(shape, np.uint8)
    mask[3:7, 2:8, 4:8] = 1
    mask[9:12, 12:18, 3:6] = 2
    return mask


def case_of(folder: Path, mask: np.ndarray, affine: Any = OBLIQUE_LPS, name: str = "case_1") -> Record:
    image = np.select([mask == 1, mask == 2], [100, -100], 0).astype(np.int16)
    write_nifti(folder / f"{name}_image.nii.gz", image, affine=affine, dtype=np.int16)
    write_nifti(folder / f"{name}_label.nii.gz", mask, affine=affine, dtype=np.uint8)
    return Record(
        dataset="tiny",
        adapter_version="made@1",
        case_id=name,
        patient_id=name,
        group=name,
        images=(ImageFile(path=f"{name}_image.nii.gz", format="nifti"),),
        label=LabelFile(kind="mask", path=f"{name}_label.nii.gz"),
        intensity="hu",
    )


def prepared(folder: Path, record: Record, setup: Setup, labels: bool = True) -> CachedCases:
    recipe = CacheRecipe(
        spacing_mm=setup.protocol.spacing_mm,
        intensity=setup.protocol.intensity,
        crop_foreground=setup.protocol.crop_foreground,
        label_values=label_map(len(setup.task.classes), {}) if labels else None,
    )
    return prepare(folder, [record], recipe, folder / "cache")


def scored(folder: Path, mask: np.ndarray, setup: Setup, **case: Any) -> tuple[dict[str, float], Path]:
    """Predict with the network that knows, then score: the means by metric and the prediction's file."""
    record = case_of(folder, mask, **case)
    cases = prepared(folder, record, setup)
    path = folder / f"{record.case_id}{kind.suffix}"
    kind.predict_case(setup, KnowsTheTruth(), cases, record.case_id, path)
    found = kind.score_case(setup, folder, record, cases, path)
    rows = [CaseRow(record.case_id, name, metric, value) for name, metric, value in found.rows]
    return summarise(rows, "class_then_case", setup.protocol.metrics)[0], path


PERFECT = {"dice": 1.0, "hd95": 0.0, "assd": 0.0, "nsd@1mm": 1.0}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"patch_voxels": (32, 32, 32)},
        {"patch_voxels": (32, 32, 32), "whole_volume": True},
        {"crop_foreground": True},
        {"inference": Inference(overlap=0.5, blending="constant", mirrored=True)},
        {"spacing_mm": (0.99138, 0.99138, 1.5)},
        {"spacing_mm": (0.99138, 0.99138, 1.5), "crop_foreground": True},
        {"score_grid": "resampled"},
        {"distance_unit": "voxels"},
    ],
    ids=str,
)
def test_a_network_that_knows_the_truth_scores_one_on_an_oblique_anisotropic_volume(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    means, _ = scored(tmp_path, volume_of(), setup_of(**changes))
    assert means == PERFECT


def test_a_prediction_lies_on_the_grid_of_the_cases_own_file(tmp_path: Path) -> None:
    _, path = scored(tmp_path, volume_of(), setup_of(spacing_mm=(0.99138, 0.99138, 1.5)))
    guess, truth = nib.load(path), nib.load(tmp_path / "case_1_label.nii.gz")
    assert np.array_equal(guess.affine, truth.affine)
    assert guess.get_data_dtype() == np.uint8 and nib.aff2axcodes(guess.affine) == ("L", "P", "S")
    assert np.array_equal(np.asarray(guess.dataobj), np.asarray(truth.dataobj))


def test_a_prediction_on_the_resampled_grid_has_that_grids_voxels(tmp_path: Path) -> None:
    spacing = (0.99138, 0.99138, 1.5)
    _, path = scored(tmp_path, volume_of(), setup_of(spacing_mm=spacing, score_grid="resampled"))
    guess = nib.load(path)
    assert guess.shape == (26, 40, 22)
    assert np.allclose(guess.header.get_zooms(), spacing)


@pytest.mark.parametrize("grid", ["native", "resampled"])
def test_a_picture_of_a_case_has_image_truth_and_prediction_on_the_scored_grid(grid: Any, tmp_path: Path) -> None:
    setup = setup_of(spacing_mm=(0.99138, 0.99138, 1.5), score_grid=grid)
    _, path = scored(tmp_path, volume_of(), setup)
    record = case_of(tmp_path, volume_of())
    image, truth, guess, spacing = kind.case_images(setup, tmp_path, record, prepared(tmp_path, record, setup), path)
    assert (
        image.shape == truth.shape == guess.shape and np.mean(truth == guess) > 0.98
    )  # midway the nearest is a choice
    assert image.shape == ((13, 20, 11) if grid == "native" else (26, 40, 22))
    assert (image[(guess == 1)] > 0).all() and (image[guess == 2] < 0).all()
    assert spacing == pytest.approx(
        (1.98276, 1.98276, 3.0) if grid == "native" else setup.protocol.spacing_mm, abs=1e-3
    )


def test_a_whole_volume_is_padded_and_cut_to_one_input_and_what_was_cut_is_background(tmp_path: Path) -> None:
    mask = np.zeros((12, 40, 6), np.uint8)
    mask[2:10, 14:26, 1:5] = 1
    mask[2:10, 1:4, 1:5] = 2  # beyond the middle 16 of 40
    setup = setup_of(patch_voxels=(16, 16, 16), whole_volume=True)
    record = case_of(tmp_path, mask)
    cases, net = prepared(tmp_path, record, setup), KnowsTheTruth()
    kind.predict_case(setup, net, cases, "case_1", tmp_path / "guess.nii.gz")
    guess = np.asarray(nib.load(tmp_path / "guess.nii.gz").dataobj)
    assert net.seen == [(1, 1, 16, 16, 16)]
    assert np.array_equal(guess == 1, mask == 1) and not (guess == 2).any()


@pytest.mark.parametrize("mirrored", [False, True])
def test_windows_slide_over_every_voxel_and_never_see_another_shape(mirrored: bool, tmp_path: Path) -> None:
    setup = setup_of(inference=Inference(overlap=0.25, mirrored=mirrored, window_batch=3))
    record = case_of(tmp_path, np.ones((19, 9, 5), np.uint8), affine=np.eye(4).tolist())
    cases, net = prepared(tmp_path, record, setup), KnowsTheTruth()
    kind.predict_case(setup, net, cases, "case_1", tmp_path / "guess.nii.gz")
    assert np.asarray(nib.load(tmp_path / "guess.nii.gz").dataobj).all()
    assert {shape[2:] for shape in net.seen} == {(8, 8, 8)}
    assert sum(shape[0] for shape in net.seen) == 3 * 2 * 1 * (8 if mirrored else 1)


def test_the_mirrored_mean_does_not_depend_on_how_the_volume_lies(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv3d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv3d(8, 3, 3, padding=1)).eval()
    mask = np.random.default_rng(0).integers(0, 3, (8, 8, 8)).astype(np.uint8)

    def guess(name: str, array: np.ndarray, mirrored: bool) -> np.ndarray:
        setup = setup_of(inference=Inference(mirrored=mirrored))
        record = case_of(tmp_path, array, affine=np.eye(4).tolist(), name=name)
        path = tmp_path / f"{name}_{mirrored}.nii.gz"
        kind.predict_case(setup, net, prepared(tmp_path, record, setup), name, path)
        return np.asarray(nib.load(path).dataobj)

    flipped = np.ascontiguousarray(mask[::-1, :, ::-1])
    assert np.array_equal(guess("a", mask, True), guess("b", flipped, True)[::-1, :, ::-1])
    assert not np.array_equal(guess("a", mask, False), guess("b", flipped, False)[::-1, :, ::-1])


@pytest.mark.parametrize(("target", "classes"), [("whole", ("whole",)), ("end", ("end",)), ("swapped", ("b", "a"))])
def test_a_target_scores_its_own_classes_and_nothing_else(
    target: str, classes: tuple[str, ...], tmp_path: Path
) -> None:
    mask, setup = volume_of(), setup_of(target)
    record = case_of(tmp_path, mask)
    cases = prepared(tmp_path, record, setup)
    perfect = {"whole": (mask > 0), "end": (mask == 2), "swapped": np.select([mask == 2, mask == 1], [1, 2], 0)}[target]
    path = tmp_path / "guess.nii.gz"
    write_nifti(path, perfect.astype(np.uint8), affine=OBLIQUE_LPS, dtype=np.uint8)
    found = kind.score_case(setup, tmp_path, record, cases, path)
    assert {(name, value) for name, metric, value in found.rows if metric == "dice"} == {(c, 1.0) for c in classes}
    _, truth, guess, _ = kind.case_images(setup, tmp_path, record, cases, path)
    assert np.array_equal(truth, guess) and truth.max() == len(classes)


def test_stored_labels_become_the_targets_class_indices() -> None:
    assert kind.mapped(np.array([0, 1, 2, 3], np.uint8), {1: 2, 3: 1}).tolist() == [0, 2, 0, 1]


def test_distances_are_in_mm_unless_the_protocol_measured_voxels(tmp_path: Path) -> None:
    mask = np.zeros((12, 12, 12), np.uint8)
    mask[2:8, 2:8, 2:8] = 1
    mask[10, 10, 10] = 2
    moved = np.roll(mask, 1, 2)
    affine = np.diag([1.0, 1.0, 3.0, 1.0]).tolist()
    record = case_of(tmp_path, mask, affine=affine)
    write_nifti(tmp_path / "guess.nii.gz", moved, affine=affine, dtype=np.uint8)
    hd = {}
    for unit in ("mm", "voxels"):
        setup = setup_of(distance_unit=unit, metrics=("hd",))
        found = kind.score_case(setup, tmp_path, record, prepared(tmp_path, record, setup), tmp_path / "guess.nii.gz")
        hd[unit] = {name: value for name, _, value in found.rows}["tail"]
    assert hd == {"mm": 3.0, "voxels": 1.0}


def test_a_protocol_in_voxels_tells_mm_beside_them_and_volumes_in_mm3(tmp_path: Path) -> None:
    mask = np.zeros((12, 12, 12), np.uint8)
    mask[2:8, 2:8, 2:8] = 1
    guess = np.roll(mask, 1, 2)
    guess[10, 10, 10] = 2  # the truth has no tail
    affine = np.diag([1.0, 1.0, 3.0, 1.0]).tolist()
    record = case_of(tmp_path, mask, affine=affine)
    write_nifti(tmp_path / "guess.nii.gz", guess, affine=affine, dtype=np.uint8)
    setup = setup_of(distance_unit="voxels", metrics=("dice", "assd", "hd", "assd@mm", "hd@mm"))
    found = kind.score_case(setup, tmp_path, record, prepared(tmp_path, record, setup), tmp_path / "guess.nii.gz")
    head = {metric: value for name, metric, value in found.rows if name == "head"}
    assert head["hd"] == 1.0 and head["hd@mm"] == 3.0 and head["assd"] < head["assd@mm"] <= 3 * head["assd"]
    assert head["dice"] == 2 * 180 / (2 * 216) and len(found.rows) == 2 * 5
    assert found.counts["n_empty_truth"] == 1 and found.counts["false_positive_mm3"] == 3


def test_a_missed_class_is_counted_and_a_class_that_is_not_there_is_undefined(tmp_path: Path) -> None:
    mask = np.where(volume_of() == 2, 0, volume_of()).astype(np.uint8)
    record, setup = case_of(tmp_path, mask), setup_of()
    write_nifti(tmp_path / "guess.nii.gz", np.zeros_like(mask), affine=OBLIQUE_LPS, dtype=np.uint8)
    found = kind.score_case(setup, tmp_path, record, prepared(tmp_path, record, setup), tmp_path / "guess.nii.gz")
    values = {(name, metric): value for name, metric, value in found.rows}
    assert values["head", "dice"] == 0.0 and np.isnan(values["head", "hd95"]) and np.isnan(values["tail", "dice"])
    assert sum(found.counts.values()) > 0


@pytest.mark.parametrize(
    ("harm", "told"), [(lambda a: a[1:], "12, 20, 11"), (lambda a: a + 5, "unknown values")], ids=["shape", "label"]
)
def test_a_prediction_that_cannot_be_scored_names_its_case(
    harm: Callable[[np.ndarray], np.ndarray], told: str, tmp_path: Path
) -> None:
    record, setup = case_of(tmp_path, volume_of()), setup_of()
    write_nifti(tmp_path / "guess.nii.gz", harm(volume_of()), affine=OBLIQUE_LPS, dtype=np.uint8)
    cases = prepared(tmp_path, record, setup)
    with pytest.raises(DataUnsound) as caught:
        kind.score_case(setup, tmp_path, record, cases, tmp_path / "guess.nii.gz")
    assert caught.value.case == "case_1" and told in str(caught.value)


def test_a_volume_without_a_mask_can_be_predicted(tmp_path: Path) -> None:
    setup = setup_of(spacing_mm=(0.99138, 0.99138, 1.5))
    record = case_of(tmp_path, volume_of()).model_copy(update={"label": LabelFile()})
    cases = prepared(tmp_path, record, setup, labels=False)
    kind.predict_case(setup, KnowsTheTruth(), cases, "case_1", tmp_path / "guess.nii.gz")
    assert np.array_equal(np.asarray(nib.load(tmp_path / "guess.nii.gz").dataobj), volume_of())


# Selection and training ------------------------------------------------------------------------------------


def test_evaluation_is_the_mean_dice_over_classes_and_one_for_the_truth(tmp_path: Path) -> None:
    setup = setup_of()
    records = [case_of(tmp_path, volume_of(), name=name) for name in ("a", "b")]
    empty = case_of(tmp_path, np.zeros((9, 9, 9), np.uint8), name="c")
    recipe = CacheRecipe(intensity=HU, label_values=label_map(2, {}))
    cases = prepare(tmp_path, [*records, empty], recipe, tmp_path / "cache")
    assert kind.evaluate(setup, KnowsTheTruth(), cases) == 1.0
    assert np.isnan(kind.evaluate(setup, KnowsTheTruth(), cases.subset(["c"])))
    assert kind.evaluate(setup_of("end"), _Never(2), cases) == 0.0


def test_weights_are_selected_by_the_mean_that_the_protocol_reports(tmp_path: Path) -> None:
    """Every head is found and no tail, which one case of two has: (1 + 0) / 2 over cases first, (1/2 + 1) / 2 over classes first
    (MiM)."""
    alone = np.where(volume_of() == 2, 0, volume_of()).astype(np.uint8)
    records = [case_of(tmp_path, volume_of(), name="both"), case_of(tmp_path, alone, name="head")]
    cases = prepare(tmp_path, records, CacheRecipe(intensity=HU, label_values=label_map(2, {})), tmp_path / "cache")
    for average, mean in (("class_then_case", 0.5), ("case_then_class", 0.75)):
        setup = setup_of(average=average)
        assert kind.evaluate(setup, HeadsAlone(), cases) == mean
        rows: list[CaseRow] = []
        for record in records:
            path = tmp_path / f"{average}_{record.case_id}{kind.suffix}"
            kind.predict_case(setup, HeadsAlone(), cases, record.case_id, path)
            found = kind.score_case(setup, tmp_path, record, cases, path).rows
            rows += [CaseRow(record.case_id, *row) for row in found]
        assert summarise(rows, average, ("dice",))[0]["dice"] == mean  # what the record tells of these cases


class HeadsAlone(KnowsTheTruth):
    """Reads heads off the intensity and never says tail."""

    def forward(self, volume: Tensor) -> Tensor:
        return super().forward(volume) - torch.tensor([0.0, 0.0, 1e6]).view(1, 3, 1, 1, 1)


class _Never(nn.Module):
    """Always background."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.tensor([1.0] + [0.0] * (outputs - 1)))

    def forward(self, volume: Tensor) -> Tensor:
        return self.bias[None, :, None, None, None].repeat(len(volume), 1, *volume.shape[2:])


def batch_of(setup: Setup, samples: int = 2) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(3)
    shape = (samples, *setup.sight.shape)
    inside = torch.ones(shape, dtype=torch.uint8)
    inside[:, :2] = 0
    volume = torch.randint(-150, 150, (samples, 1, *setup.sight.shape), generator=generator).to(torch.int16)
    return {
        "volume": torch.where(inside[:, None] > 0, volume, torch.tensor(-100, dtype=torch.int16)),
        "label": torch.randint(0, 3, shape, generator=generator).to(torch.uint8) * inside,
        "inside": inside,
        "turn": torch.eye(3).repeat(samples, 1, 1),
        "gain": torch.tensor([[1.2]] * samples),
        "offset": torch.tensor([[0.3]] * samples),
    }


def test_preparation_scales_then_varies_and_keeps_padding_darkest() -> None:
    setup = setup_of(recipe=FineTuneConfig())
    batch = batch_of(setup)
    found = kind.prepare(setup)(batch)
    expected = (batch["volume"].float().clamp(-100, 100) / 100) * 1.2 + 0.3
    inside = batch["inside"][:, None].bool()
    assert torch.allclose(found["volume"][inside], expected[inside], atol=1e-6)
    assert bool((found["volume"][~inside] == -1).all())
    assert torch.equal(found["label"], batch["label"]) and set(found) == {"volume", "label", "inside"}


def test_preparation_turns_only_where_the_recipe_asks_for_it() -> None:
    batch = batch_of(setup_of())
    quarter = torch.tensor([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]]).repeat(2, 1, 1)
    still = kind.prepare(setup_of(recipe=FineTuneConfig()))({**batch, "turn": quarter})
    moved = kind.prepare(setup_of(recipe=FineTuneConfig(zoom=(0.9, 1.1))))({**batch, "turn": quarter})
    assert torch.equal(still["label"], batch["label"])
    assert torch.equal(moved["label"], torch.rot90(batch["label"], 1, (1, 2)))
    assert torch.equal(moved["inside"], torch.rot90(batch["inside"], 1, (1, 2)))


def test_the_training_phase_splits_batches_unless_the_network_normalises_over_them() -> None:
    for norm, splits in (("instance", True), ("batch", False)):
        config = dataclasses.replace(unet3d_scratch.TINY, norm=norm)
        setup = setup_of(patch_voxels=(16, 16, 16))
        net = build_model(unet3d_scratch.METHOD, "unet3d_scratch", config, setup, kind, 0)
        phase = kind.training_phase(setup, net)
        assert phase.splits_batch is splits and phase.gathers
        losses = phase.turns[0].loss(kind.prepare(setup)(batch_of(setup)))
        assert set(losses) == {"cross_entropy", "dice"} and all(bool(loss.isfinite()) for loss in losses.values())


@pytest.mark.parametrize("loss", ["dice_ce", "dice_ce_plain", "dice", "dice_plain"])
def test_a_decoder_that_is_supervised_deeply_is_judged_by_all_its_heads(loss: str) -> None:
    setup = setup_of(patch_voxels=(32, 32, 32), recipe=FineTuneConfig(loss=loss))
    net = build_model(spad_scratch.METHOD, "spad_scratch", spad_scratch.METHOD.tiny, setup, kind, 0)
    batch = kind.prepare(setup)(batch_of(setup))
    losses = kind.training_phase(setup, net).turns[0].loss(batch)
    parts = plain_dice_ce if "plain" in loss else dice_ce
    shares, expected = (1 / 15 * torch.tensor([8.0, 4.0, 2.0, 1.0])), torch.zeros(2)
    for share, (_, logits) in zip(shares, net.supervised(batch["volume"]), strict=True):
        assert logits.shape == (2, 3, 32, 32, 32)
        expected += share * torch.stack(parts(logits, batch["label"], batch["inside"]))
    torch.testing.assert_close(losses["dice"], expected[1])
    assert ("cross_entropy" in losses) == loss.startswith("dice_ce")
    if loss.startswith("dice_ce"):
        torch.testing.assert_close(losses["cross_entropy"], expected[0])
    assert torch.equal(net(batch["volume"]), net.supervised(batch["volume"])[0][1])


def test_layers_run_from_the_encoders_input_to_the_decoder() -> None:
    setup = setup_of(patch_voxels=(32, 32, 32))
    net = build_model(unetr_scratch.METHOD, "unetr_scratch", unetr_scratch.TINY, setup, kind, 0)
    listed = kind.layers(net)
    assert listed[-1] is net.decoder and listed[:-1] == net.encoder.layers()


def test_scratch_and_pre_trained_runs_of_one_seed_share_every_tensor_outside_the_encoder(tmp_path: Path) -> None:
    setup = setup_of(patch_voxels=(32, 32, 32))
    scratch = build_model(unetr_scratch.METHOD, "unetr_scratch", unetr_scratch.TINY, setup, kind, 0)
    mae = build_model(mae3d.METHOD, "mae3d", mae3d.TINY, setup, kind, 0)
    torch.manual_seed(9)
    other = mae3d.build_encoder(mae3d.TINY, setup.sight)
    save_weights(tmp_path / "encoder.safetensors", other.state_dict())
    pretrained = build_model(mae3d.METHOD, "mae3d", mae3d.TINY, setup, kind, 0)
    adopt_weights(pretrained, tmp_path / "encoder.safetensors", foreign=False)
    states = [net.state_dict() for net in (scratch, mae, pretrained)]
    outside = [name for name in states[0] if not name.startswith("encoder.")]
    assert outside and all(set(state) == set(states[0]) for state in states)
    assert all(torch.equal(states[0][name], state[name]) for name in outside for state in states[1:])
    assert all(torch.equal(states[2][f"encoder.{name}"], value) for name, value in other.state_dict().items())


def test_another_seed_or_task_starts_another_decoder() -> None:
    setup = setup_of(patch_voxels=(32, 32, 32))
    variants = [(setup, 0), (setup, 1), (dataclasses.replace(setup, target="whole"), 0)]
    weights = [
        next(iter(build_model(unetr_scratch.METHOD, "m", unetr_scratch.TINY, s, kind, seed).decoder.parameters()))
        for s, seed in variants
    ]
    assert not torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
