"""Classes that overlap: codes of bits, the sigmoid loss restated slowly, and a run of the kind from labels to scores."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench.contracts.cards import SegmentationTask
from bench.contracts.configs import Intensity
from bench.contracts.kind import Setup, make_setup
from bench.data.volumes import write_nifti
from tasks.kinds import segmentation as kind
from tasks.kinds.regions import bits, codes, flattened, mask, region_dice_ce
from tests import tiny_dataset as tiny
from tests.tasks.test_segmentation_kind import case_of, prepared

NESTED = {"nested": {"whole": ("head", "tail"), "end": ("tail",)}}  # codes: head 1, tail 3
SPACED = (0.99138, 0.99138, 1.5)


def setup_of(**changes: object) -> Setup:
    wanted = {
        "patch_voxels": (8, 8, 8),
        "intensity": Intensity("hu", (-100.0, 100.0), (-1.0, 1.0)),
        "metrics": ("dice", "dice@brats"),
    }
    protocol = dataclasses.replace(tiny.PROTOCOL, **{**wanted, **changes})  # type: ignore[arg-type]
    task: SegmentationTask = tiny.card(targets=NESTED, modality="CT", files=tiny.CT_LAYOUT)
    return make_setup(
        task,
        "nested",
        protocol,
        preset="full",
        recipe=protocol.recipe,
        inference=protocol.inference,
        multiple=(8, 8, 8),
    )


class SeesBoth(kind.SegmentationNet):
    """Bright is head, dark is tail (see `case_of`): logits of `whole` and `end`, sure of themselves."""

    def __init__(self) -> None:
        nn.Module.__init__(self)  # neither encoder nor decoder
        self.gain = nn.Parameter(torch.tensor(20.0))

    def forward(self, volume: Tensor) -> Tensor:
        tail = -volume[:, 0] - 0.5
        either = volume[:, 0].abs() - 0.5
        return self.gain * torch.stack([either, tail], dim=1)

    def supervised(self, volume: Tensor) -> list[tuple[float, Tensor]]:
        return [(1.0, self(volume))]


def volume_of() -> np.ndarray:
    labels = np.zeros((12, 20, 11), np.uint8)
    labels[2:7, 2:12, 2:9] = 1
    labels[7:10, 12:18, 3:8] = 2
    return labels


# Codes ------------------------------------------------------------------------------------------------


def test_a_code_holds_every_class_above_one_half_and_gives_each_back() -> None:
    probabilities = np.array([[0.9, 0.2, 0.6], [0.7, 0.9, 0.5]], np.float32).reshape(2, 3, 1, 1)
    code = codes(probabilities)
    assert code.ravel().tolist() == [3, 2, 1] and code.dtype == np.uint8
    assert mask(code, 1).ravel().tolist() == [1, 0, 1] and mask(code, 2).ravel().tolist() == [1, 1, 0]
    assert bits(torch.from_numpy(code)[None], 2).shape == (1, 2, 3, 1, 1)
    assert bits(torch.from_numpy(code)[None], 2)[0, 1].ravel().tolist() == [1, 1, 0]


def test_a_picture_shows_the_innermost_class() -> None:
    assert flattened(np.array([0, 1, 3, 7, 4, 5], np.uint8), 3).tolist() == [0, 1, 2, 3, 3, 3]


def test_classes_that_share_no_member_do_not_overlap() -> None:
    protocol = tiny.PROTOCOL
    plain = make_setup(
        tiny.card(),
        "",
        protocol,
        preset="full",
        recipe=protocol.recipe,
        inference=protocol.inference,
        multiple=(8, 8, 8),
    )
    assert not plain.overlapping and plain.values == {1: 1, 2: 2}
    assert setup_of().overlapping and setup_of().values == {1: 1, 2: 3} and setup_of().classes == ("whole", "end")


# Loss -------------------------------------------------------------------------------------------------


def slow_loss(logits: np.ndarray, code: np.ndarray, inside: np.ndarray) -> tuple[float, float]:
    """Voxel by voxel, as the equations read."""
    entropies, dices = [], []
    for sample in range(len(logits)):
        for k in range(logits.shape[1]):
            shared = predicted = true = entropy = 0.0
            for z, t, i in zip(logits[sample, k].ravel(), code[sample].ravel(), inside[sample].ravel(), strict=True):
                if not i:
                    continue
                p, member = 1 / (1 + np.exp(-float(z))), (int(t) >> k) & 1
                shared, predicted, true = shared + p * member, predicted + p, true + member
                entropy -= np.log(p if member else 1 - p)
            entropies.append(entropy / inside[sample].sum())
            dices.append(1 - (2 * shared + 1e-5) / (predicted + true + 1e-5))
    return float(np.mean(entropies)), float(np.mean(dices))


def test_the_loss_is_the_equations_voxel_by_voxel_and_padding_counts_nowhere() -> None:
    random = np.random.default_rng(1)
    logits = random.standard_normal((2, 3, 4, 3, 2)).astype(np.float32)
    code = random.integers(0, 8, (2, 4, 3, 2)).astype(np.uint8)
    inside = np.ones_like(code)
    inside[0, :2] = 0
    found = region_dice_ce(*(torch.from_numpy(a) for a in (logits, code, inside)))
    assert [float(part) for part in found] == pytest.approx(slow_loss(logits, code, inside), rel=1e-5)
    changed = logits.copy()
    changed[0, :, :2] += 7
    again = region_dice_ce(*(torch.from_numpy(a) for a in (changed, code, inside)))
    assert [float(part) for part in again] == pytest.approx([float(part) for part in found], rel=1e-6)


def test_without_padding_the_dice_part_is_monais() -> None:
    from monai.losses import DiceLoss

    generator = torch.Generator().manual_seed(2)
    logits = torch.randn((2, 3, 5, 4, 3), generator=generator)
    code = torch.randint(0, 8, (2, 5, 4, 3), generator=generator).to(torch.uint8)
    expected = DiceLoss(sigmoid=True)(logits, bits(code, 3).float())
    assert torch.allclose(region_dice_ce(logits, code, torch.ones_like(code))[1], expected, atol=1e-6)


def test_the_squared_form_is_mims_engines_on_brain_tumors_where_a_region_that_is_not_there_costs_one() -> None:
    """Its Dice of regions has what its Dice of labels has: squares below the fraction, 0 above it and 1e-6 below."""
    from monai.losses import DiceLoss

    generator = torch.Generator().manual_seed(2)
    logits = torch.randn((2, 3, 5, 4, 3), generator=generator)
    code = torch.randint(0, 4, (2, 5, 4, 3), generator=generator).to(torch.uint8)  # none has the third region
    inside = torch.ones_like(code)
    released = DiceLoss(sigmoid=True, squared_pred=True, smooth_nr=0.0, smooth_dr=1e-6)
    entropy, found = region_dice_ce(logits, code, inside, squared=True)
    assert torch.allclose(found, released(logits, bits(code, 3).float()), atol=1e-6)
    assert torch.equal(entropy, region_dice_ce(logits, code, inside)[0])
    assert region_dice_ce(logits[:, 2:], code >> 2, inside, squared=True)[1].item() == 1.0
    inside[0, :2] = 0
    changed = logits.clone()
    changed[0, :, :2] += 7
    kept = region_dice_ce(logits, code, inside, squared=True)
    assert torch.allclose(torch.stack(region_dice_ce(changed, code, inside, squared=True)), torch.stack(kept))


def test_a_region_that_is_neither_there_nor_called_costs_nothing_and_one_that_is_called_all_over_costs_one() -> None:
    nothing, everything = torch.full((1, 1, 4, 3, 2), -100.0), torch.full((1, 1, 4, 3, 2), 100.0)
    code, inside = torch.zeros(1, 4, 3, 2, dtype=torch.uint8), torch.ones(1, 4, 3, 2, dtype=torch.uint8)
    assert region_dice_ce(nothing, code, inside)[1].item() == 0.0
    assert region_dice_ce(everything, code, inside)[1].item() == pytest.approx(1.0, abs=1e-5)


# The kind ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes", [{}, {"spacing_mm": SPACED}, {"crop_foreground": True}, {"score_grid": "resampled"}], ids=str
)
def test_a_network_that_knows_the_truth_scores_one_in_every_region(changes: dict[str, object], tmp_path: Path) -> None:
    setup, record = setup_of(**changes), case_of(tmp_path, volume_of())
    cases = prepared(tmp_path, record, setup)
    path = tmp_path / "guess.nii.gz"
    kind.predict_case(setup, SeesBoth(), cases, "case_1", path)
    found = kind.score_case(setup, tmp_path, record, cases, path)
    assert {(name, metric): value for name, metric, value in found.rows} == {
        (name, metric): 1.0 for name in ("whole", "end") for metric in ("dice", "dice@brats")
    }
    if "spacing_mm" not in changes:  # the prepared grid is then the file's own
        assert kind.evaluate(setup, SeesBoth(), cases) == 1.0
    assert set(np.unique(np.asarray(nib.load(path).dataobj))) == {0, 1, 3}


def test_regions_need_not_be_nested_and_each_is_scored_alone(tmp_path: Path) -> None:
    setup, truth = setup_of(), volume_of()
    record = case_of(tmp_path, truth)
    guess = np.where(truth == 2, 2, 0).astype(np.uint8)  # the end alone, outside the whole
    affine = nib.load(tmp_path / "case_1_label.nii.gz").affine.tolist()
    write_nifti(tmp_path / "guess.nii.gz", guess, affine=affine, dtype=np.uint8)
    found = kind.score_case(setup, tmp_path, record, prepared(tmp_path, record, setup), tmp_path / "guess.nii.gz")
    values = {name: value for name, metric, value in found.rows if metric == "dice"}
    assert values == {"whole": 0.0, "end": 1.0} and found.counts["n_failed"] == 1
    _, shown, drawn, _ = kind.case_images(
        setup, tmp_path, record, prepared(tmp_path, record, setup), tmp_path / "guess.nii.gz"
    )
    assert set(np.unique(shown)) == {0, 1, 2} and set(np.unique(drawn)) == {0, 2}


def test_an_empty_region_is_left_out_by_dice_and_counted_by_the_challenges_rule(tmp_path: Path) -> None:
    setup = setup_of()
    truth = np.where(volume_of() == 2, 0, volume_of()).astype(np.uint8)
    record = case_of(tmp_path, truth)
    affine = nib.load(tmp_path / "case_1_label.nii.gz").affine.tolist()
    scores = []
    for guess in (truth, np.where(truth == 1, 3, 0).astype(np.uint8)):
        write_nifti(tmp_path / "guess.nii.gz", guess, affine=affine, dtype=np.uint8)
        found = kind.score_case(setup, tmp_path, record, prepared(tmp_path, record, setup), tmp_path / "guess.nii.gz")
        scores.append({metric: value for name, metric, value in found.rows if name == "end"})
        assert found.counts["n_empty_truth"] == 1
    assert all(np.isnan(score["dice"]) for score in scores)
    assert [score["dice@brats"] for score in scores] == [1.0, 0.0]


@pytest.mark.parametrize("loss", ["dice_ce", "dice", "dice_squared"])
def test_training_turns_labels_into_codes_and_its_loss_reads_them(loss: str) -> None:
    recipe = dataclasses.replace(tiny.PROTOCOL.recipe, loss=loss)
    setup = dataclasses.replace(setup_of(), recipe=recipe)
    phase = kind.training_phase(setup, SeesBoth())
    assert phase.views.values == (0, 1, 3)  # type: ignore[attr-defined]
    truth = torch.from_numpy(np.array([0, 1, 3], np.uint8)[volume_of()])[None, :8, :16, :8]
    volume = torch.tensor([0.0, 1.0, 0.0, -1.0])[truth.long()][:, None]
    losses = phase.turns[0].loss({"volume": volume, "label": truth, "inside": torch.ones_like(truth)})
    assert set(losses) == ({"cross_entropy", "dice"} if loss == "dice_ce" else {"dice"})
    assert all(float(part.detach()) < 0.01 for part in losses.values())
    unsure = 0.6 * volume  # sigmoids of 0.88 on members, of which squares make another Dice than plain sums
    found = phase.turns[0].loss({"volume": unsure, "label": truth, "inside": torch.ones_like(truth)})["dice"]
    logits, squared = SeesBoth()(unsure), loss == "dice_squared"
    assert torch.equal(found, region_dice_ce(logits, truth, torch.ones_like(truth), squared=squared)[1])
    assert not torch.equal(found, region_dice_ce(logits, truth, torch.ones_like(truth), squared=not squared)[1])
