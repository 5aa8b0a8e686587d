"""What a segmentation network is shown and how its answers become one: padding, blended windows, mirrorings, means of Dice."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.contracts.configs import FineTuneConfig, Inference, Intensity
from bench.contracts.errors import SpecError
from bench.contracts.kind import make_setup
from bench.data.cache import prepare
from bench.data.cache_recipe import CacheRecipe
from bench.data.volumes import label_map, write_nifti
from bench.predict import predict
from bench.train.hardware import Hardware
from tasks.kinds import segmentation as kind
from tasks.kinds.crops import VolumesThenCrops
from tests.tasks import test_regions as regions
from tests.tasks.test_segmentation_kind import HU, KnowsTheTruth, batch_of, case_of, prepared, setup_of

STRAIGHT = np.eye(4).tolist()


class Says(kind.SegmentationNet):
    """Gives the same logits (K,) everywhere and keeps what it is shown."""

    def __init__(self, *logits: float) -> None:
        nn.Module.__init__(self)  # neither encoder nor decoder
        self.logits = nn.Parameter(torch.tensor(logits))
        self.shown: list[Tensor] = []

    def forward(self, volume: Tensor) -> Tensor:
        self.shown.append(volume)
        return self.logits.view(1, -1, 1, 1, 1).repeat(len(volume), 1, *volume.shape[2:])

    def supervised(self, volume: Tensor) -> list[tuple[float, Tensor]]:
        return [(1.0, self(volume))]


class SaysHeadOnceTrained(Says):
    """Head where it is asked, background while it trains, as a network with dropout says one thing then and another before."""

    def forward(self, volume: Tensor) -> Tensor:
        logits = super().forward(volume)
        return -logits if self.training else logits


class HeadAlone(KnowsTheTruth):
    """Sees every head and no tail."""

    def forward(self, volume: Tensor) -> Tensor:
        logits = super().forward(volume)
        logits[:, 2] = -1000
        return logits


class JudgesByWindow(nn.Module):
    """Calls a whole window head, by a logit of 1, where something bright is in it; else background, by a logit of 2."""

    def __init__(self) -> None:
        super().__init__()
        self.anchor = nn.Parameter(torch.zeros(1))

    def forward(self, volume: Tensor) -> Tensor:
        bright = volume.amax((1, 2, 3, 4), keepdim=True) > 0.5
        nothing = torch.zeros_like(volume)
        return torch.cat([nothing, nothing + torch.where(bright, 1.0, -2.0), nothing - 9], dim=1)


# Inference --------------------------------------------------------------------------------------------


def test_padding_is_to_the_network_what_the_window_makes_of_air(tmp_path: Path) -> None:
    """0 HU is -0.5 in the range of a window of -100 to 300 HU; around it lies what training pads with, the darkest."""
    setup = setup_of(intensity=Intensity("hu", (-100.0, 300.0), (-1.0, 1.0)))
    record = case_of(tmp_path, np.zeros((5, 6, 7), np.uint8), affine=STRAIGHT)
    net = Says(1.0, 0.0, 0.0)
    kind.predict_case(setup, net, prepared(tmp_path, record, setup), "case_1", tmp_path / "guess.nii.gz")
    (shown,) = net.shown
    assert shown.shape == (1, 1, 8, 8, 8)
    assert int((shown == -0.5).sum()) == 5 * 6 * 7 and int((shown == -1).sum()) == 8**3 - 5 * 6 * 7


def test_a_network_that_was_just_built_or_trained_predicts_in_the_mode_of_evaluation(tmp_path: Path) -> None:
    setup, net = setup_of(), SaysHeadOnceTrained(0.0, 1.0, 0.0)
    record = case_of(tmp_path, np.zeros((8, 8, 8), np.uint8), affine=STRAIGHT)
    words: Any = (prepared(tmp_path, record, setup), ["case_1"], tmp_path / "out", Hardware(device="cpu"))
    (path,) = predict(net.train(), setup, kind, *words)
    assert (np.asarray(nib.load(path).dataobj) == 1).all()


@pytest.mark.parametrize(("blending", "slices_of_head"), [("gaussian", 6), ("constant", 4)])
def test_overlapping_windows_are_weighed_by_a_normal_about_their_middles_or_alike(
    blending: Any, slices_of_head: int, tmp_path: Path
) -> None:
    """Windows of 8 at slices 0 and 4 of 12 answer 1 and -2 where both reach.

    Alike they give -1/2, background. With an sd of an eighth of the window, 1 voxel, and middles at 3.5 the first weighs
    exp(-0.5**2 / 2) = 0.88 and the second exp(-3.5**2 / 2) = 0.002 at slice 4; in slices 6 and 7 it is the other way round.
    Only the middle is looked at: MONAI lets no weight fall to nothing, so that in the corners all weigh alike.
    """
    mask = np.zeros((12, 8, 8), np.uint8)
    mask[:4] = 1  # bright in the first window alone
    setup = setup_of(inference=Inference(overlap=0.5, blending=blending))
    record = case_of(tmp_path, mask, affine=STRAIGHT)
    kind.predict_case(setup, JudgesByWindow(), prepared(tmp_path, record, setup), "case_1", tmp_path / "guess.nii.gz")
    guess = np.asarray(nib.load(tmp_path / "guess.nii.gz").dataobj)[:, 3:5, 3:5]
    assert (guess[:slices_of_head] == 1).all() and not guess[slices_of_head:].any()


def test_where_windows_overlap_their_logits_are_averaged_and_not_their_probabilities() -> None:
    """Head's logit is 1 in the first window and -2 in the second: -1/2 where both reach, of which the softmax is taken."""
    setup, volume = setup_of(inference=Inference(overlap=0.5, blending="constant")), torch.zeros(1, 1, 12, 8, 8)
    volume[:, :, :4] = 1
    found = kind._windowed(setup, JudgesByWindow(), volume)[0, :, :, 4, 4]
    for place, head in ((0, 1.0), (5, -0.5), (11, -2.0)):
        torch.testing.assert_close(found[:, place], torch.tensor([0.0, head, -9.0]).softmax(0))


def test_windows_overlap_by_the_share_that_is_asked_for(tmp_path: Path) -> None:
    """Of 20 slices windows of 8 take 3 at a step of 6 and 7 at a step of 2."""
    record = case_of(tmp_path, np.zeros((20, 8, 8), np.uint8), affine=STRAIGHT)
    for overlap, count in ((0.25, 3), (0.75, 7)):
        setup, net = setup_of(inference=Inference(overlap=overlap, window_batch=1)), Says(1.0, 0.0, 0.0)
        cases = prepared(tmp_path, record, setup)
        kind.predict_case(setup, net, cases, "case_1", tmp_path / "guess.nii.gz")
        assert len(net.shown) == count


def test_weights_are_chosen_by_the_protocols_windows_whatever_the_run_predicts_with(tmp_path: Path) -> None:
    """The key of a model knows nothing of how it predicts: else whichever run comes first would choose the weights of both."""
    own = setup_of(inference=Inference(overlap=0.25))
    asked = Inference(overlap=0.75, mirrored=True, window_batch=1)
    words: Any = {"preset": "full", "recipe": own.recipe, "inference": asked, "multiple": (1, 1, 1)}
    setup, net = make_setup(own.task, "", own.protocol, **words), Says(1.0, 0.0, 0.0)
    cases = prepared(tmp_path, case_of(tmp_path, np.zeros((20, 8, 8), np.uint8), affine=STRAIGHT), own)
    kind.evaluate(setup, net, cases)
    assert setup.inference == asked and len(net.shown) == 3  # one at a time, as memory allows


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"overlap": 1.0}, "overlap is a share of a window, from 0 to below 1, found 1"),
        ({"overlap": -0.5}, "found -0.5"),
        ({"window_batch": 0}, "window_batch must be 1 or more, found 0"),
    ],
)
def test_windows_that_no_volume_can_be_cut_into_are_refused_before_anything_is_trained(
    words: dict[str, Any], told: str
) -> None:
    with pytest.raises(SpecError, match=told):
        Inference(**words)


def test_the_mean_over_mirrorings_is_a_mean_of_probabilities() -> None:
    setup = setup_of(inference=Inference(mirrored=True))
    net = Says(0.0, float(np.log(2)), 0.0)
    found = kind._mirrored_mean(setup, net, torch.zeros(1, 1, 8, 8, 8))
    assert len(net.shown) == 8
    torch.testing.assert_close(found[0, :, 0, 0, 0].detach(), torch.tensor([0.25, 0.5, 0.25]))


# Selection and training -------------------------------------------------------------------------------


def test_dice_is_averaged_over_cases_of_a_class_before_it_is_averaged_over_classes(tmp_path: Path) -> None:
    """Head 1 and 1, tail 0 in the one case that has it: (1 + 0) / 2, where a mean over all three values were 2/3."""
    both = np.zeros((9, 9, 9), np.uint8)
    both[1:4, 1:4, 1:4], both[6:8, 6:8, 6:8] = 1, 2
    records = [
        case_of(tmp_path, mask, affine=STRAIGHT, name=name) for name, mask in (("a", both), ("b", both * (both == 1)))
    ]
    cases = prepare(tmp_path, records, CacheRecipe(intensity=HU, label_values=label_map(2, {})), tmp_path / "cache")
    assert kind.evaluate(setup_of(), HeadAlone(), cases) == 0.5


def test_the_background_counts_in_dice_unless_the_recipe_looks_at_foreground_alone() -> None:
    """Everything is head and called so: Dice losses 0 for head and 1 for each class that is neither there nor called."""
    setup = setup_of()
    batch = batch_of(setup) | {"label": torch.ones(2, 8, 8, 8, dtype=torch.uint8)}
    for loss, expected in (("dice_ce", 2 / 3), ("dice_ce_foreground", 1 / 2)):
        chosen = setup_of(recipe=FineTuneConfig(loss=loss))
        found = kind.training_phase(chosen, Says(-100.0, 100.0, -100.0)).turns[0].loss(batch)
        assert found["dice"].item() == pytest.approx(expected, abs=1e-6) and found["cross_entropy"].item() == 0
    for loss in ("dice_plain", "dice_ce_plain_foreground"):  # smoothed above as well: what is not there costs nothing
        chosen = setup_of(recipe=FineTuneConfig(loss=loss))
        found = kind.training_phase(chosen, Says(-100.0, 100.0, -100.0)).turns[0].loss(batch)
        assert found["dice"].item() == pytest.approx(0.0, abs=1e-6) and ("cross_entropy" in found) == ("_ce_" in loss)


def test_a_whole_volume_gives_one_sample_and_crops_as_many_as_the_recipe_says() -> None:
    recipe = FineTuneConfig(crops_per_volume=3)
    draws = [
        kind.training_phase(setup_of(recipe=recipe, whole_volume=whole), Says(0.0, 0.0, 0.0)).draw
        for whole in (False, True)
    ]
    assert draws == [VolumesThenCrops(3), VolumesThenCrops(1)]


@pytest.mark.parametrize(
    ("target", "values"),
    [("", (0, 1, 2)), ("whole", (0, 1, 1)), ("start", (0, 1, 0)), ("end", (0, 0, 1)), ("swapped", (0, 2, 1))],
)
def test_a_target_merges_drops_and_renumbers_labels_in_training_as_in_scoring(target: str, values: Any) -> None:
    views: Any = kind.training_phase(setup_of(target), Says(0.0, 0.0)).views
    assert views.values == values  # what 0, head and tail become


@pytest.mark.parametrize(
    "recipe",
    [
        FineTuneConfig(rotate_degrees=(0.0, 0.0, 10.0)),
        FineTuneConfig(zoom=(0.9, 1.1)),
        FineTuneConfig(elastic_probability=0.5),
    ],
)
def test_a_batch_is_turned_where_the_recipe_rotates_zooms_or_bends(recipe: FineTuneConfig) -> None:
    quarter = torch.tensor([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]]).repeat(2, 1, 1)
    batch = {**batch_of(setup_of()), "turn": quarter}
    moved = kind.prepare(setup_of(recipe=recipe))(batch)
    assert torch.equal(moved["label"], torch.rot90(batch["label"], 1, (1, 2)))


def test_a_batch_is_bent_and_disturbed_by_the_numbers_that_were_drawn_for_it() -> None:
    """Every voxel looks one further along the first axis, then distances from the mean are halved; padding stays the darkest."""
    setup = setup_of(recipe=FineTuneConfig(elastic_probability=0.5, contrast_probability=0.5))
    batch, bent = batch_of(setup), torch.zeros(2, 3, 2, 2, 2)
    batch |= {"gain": torch.ones(2, 1), "offset": torch.zeros(2, 1)}
    bent[:, 0] = 1.0
    moved = kind.prepare(setup)({**batch, "bent": bent})
    shown = F.pad(batch["volume"][:, :, 1:].float().clamp(-100, 100) / 100, (0, 0, 0, 0, 0, 1), value=-1.0)
    assert torch.equal(moved["label"], F.pad(batch["label"][:, 1:], (0, 0, 0, 0, 0, 1)))
    assert torch.equal(moved["inside"], F.pad(batch["inside"][:, 1:], (0, 0, 0, 0, 0, 1)))
    torch.testing.assert_close(moved["volume"], shown, atol=1e-5, rtol=0)
    disturb = torch.tensor([[0.0, 0.0, 0.5, 1.0, 1.0]] * 2)
    paler = kind.prepare(setup)({**batch, "bent": bent, "disturb": disturb})["volume"]
    halved = (shown + shown.mean((2, 3, 4), keepdim=True)) / 2
    expected = torch.where(moved["inside"][:, None] > 0, halved, -1.0)
    torch.testing.assert_close(paler, expected, atol=1e-5, rtol=0)


def test_what_turns_into_a_crop_from_outside_is_as_dark_as_its_outside() -> None:
    """At the rim a voxel inside is weighed with what lies beyond: of an image that is dark all over nothing else comes."""
    setup = setup_of(recipe=FineTuneConfig(rotate_degrees=(0.0, 0.0, 30.0)))
    sine, cosine = 0.5, 0.75**0.5
    turn = torch.tensor([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]]).repeat(2, 1, 1)
    batch = {**batch_of(setup), "gain": torch.ones(2, 1), "offset": torch.zeros(2, 1), "turn": turn}
    dark = torch.full((2, 1, 8, 8, 8), -100, dtype=torch.int16)
    found = kind.prepare(setup)({**batch, "volume": dark})["volume"]
    torch.testing.assert_close(found, torch.full_like(found, -1.0), atol=1e-5, rtol=0)


def test_the_padding_of_a_whole_volume_is_as_dark_at_its_rim_when_the_volume_is_turned(tmp_path: Path) -> None:
    """Padding of 0 HU, grey in this window, would be mixed into the outermost voxels."""
    recipe = FineTuneConfig(rotate_degrees=(0.0, 0.0, 30.0), flip_probability=0.0)
    setup = setup_of(patch_voxels=(16, 16, 16), whole_volume=True, recipe=recipe)
    shape = (10, 10, 10)
    files = {"image": np.full(shape, -100, np.int16), "label": np.zeros(shape, np.uint8)}
    record = case_of(tmp_path, files["label"], affine=STRAIGHT)
    write_nifti(tmp_path / "case_1_image.nii.gz", files["image"], affine=STRAIGHT, dtype=np.int16)
    cases = prepared(tmp_path, record, setup)
    phase = kind.training_phase(setup, Says(0.0, 0.0, 0.0))
    shown = phase.views(cases, ("case_1",), np.random.default_rng(0))
    batch = {name: torch.from_numpy(np.asarray(value))[None] for name, value in shown.items()}
    batch |= {"gain": torch.ones(1, 1), "offset": torch.zeros(1, 1)}
    found = kind.prepare(setup)(batch)["volume"]
    assert not np.array_equal(shown["turn"], np.eye(3))
    torch.testing.assert_close(found, torch.full_like(found, -1.0), atol=1e-5, rtol=0)


def test_a_decoder_has_an_output_for_the_background_only_where_classes_exclude_each_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(kind, "build_decoder", lambda name, **words: asked.append(words["classes"]) or nn.Identity())
    for setup in (setup_of(), regions.setup_of()):
        encoder: Any = SimpleNamespace()
        monkeypatch.setattr(kind, "SegmentationNet", lambda encoder, head: head)
        kind.build_net(setup, encoder, "unet", 0)
    assert asked == [2 + 1, 2]
