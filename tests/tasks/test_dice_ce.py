"""Cross-entropy and soft Dice: equal to MONAI's where nothing is padding, restated slowly where something is."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from bench import registry
from tasks.kinds.dice_ce import SMOOTH, dice_ce, plain_dice_ce

SHAPE = (5, 6, 4)


def drawn(samples: int, classes: int, padded: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, labels and what is inside; with `padded` each sample has another amount of padding, labelled background."""
    generator = torch.Generator().manual_seed(samples * 10 + classes)
    logits = 3 * torch.randn(samples, classes, *SHAPE, generator=generator, dtype=torch.float64)
    label = torch.randint(0, classes, (samples, *SHAPE), generator=generator).to(torch.uint8)
    inside = torch.ones(samples, *SHAPE, dtype=torch.uint8)
    for k in range(samples if padded else 0):
        inside[k, : k + 1] = 0
        inside[k, :, :, 3 - k % 2 :] = 0
    return logits.float(), label * inside, inside


def slowly(logits: np.ndarray, label: np.ndarray, inside: np.ndarray) -> tuple[float, float]:
    """Both losses voxel by voxel, as the docstring words them."""
    entropies, dices = [], []
    for z, y, w in zip(logits, label, inside, strict=True):
        places = [tuple(p) for p in np.argwhere(w)]
        chance = {p: np.exp(z[(slice(None), *p)]) / np.exp(z[(slice(None), *p)]).sum() for p in places}
        entropies.append(-sum(math.log(chance[p][y[p]]) for p in places) / len(places))
        for k in range(len(z)):
            both = sum(chance[p][k] for p in places if y[p] == k)
            either = sum(chance[p][k] ** 2 + (y[p] == k) for p in places)
            dices.append(1 - 2 * both / (either + SMOOTH))
    return float(np.mean(entropies)), float(np.mean(dices))


@pytest.mark.parametrize("classes", [2, 5])
def test_without_padding_the_sum_is_monais_dice_ce(classes: int) -> None:
    from monai.losses import DiceCELoss

    logits, label, inside = drawn(3, classes, padded=False)
    theirs = DiceCELoss(to_onehot_y=True, softmax=True, squared_pred=True, smooth_nr=0, smooth_dr=1e-6)
    ours = torch.stack(dice_ce(logits, label, inside)).sum()
    assert torch.allclose(ours, theirs(logits, label[:, None].long()), rtol=1e-6, atol=0)


def test_the_background_can_be_left_out_of_dice_alone() -> None:
    from monai.losses import DiceLoss

    logits, label, inside = drawn(2, 3, padded=False)
    entropy, overlap = dice_ce(logits, label, inside, background=False)
    theirs = DiceLoss(
        include_background=False, to_onehot_y=True, softmax=True, squared_pred=True, smooth_nr=0, smooth_dr=1e-6
    )
    assert torch.allclose(overlap, theirs(logits, label[:, None].long()), rtol=1e-6, atol=0)
    assert torch.equal(entropy, dice_ce(logits, label, inside)[0])


def test_without_padding_each_part_is_monais_own() -> None:
    from monai.losses import DiceLoss

    logits, label, inside = drawn(2, 3, padded=False)
    entropy, overlap = dice_ce(logits, label, inside)
    theirs = DiceLoss(to_onehot_y=True, softmax=True, squared_pred=True, smooth_nr=0, smooth_dr=1e-6)
    assert torch.allclose(overlap, theirs(logits, label[:, None].long()), rtol=1e-6, atol=0)
    assert torch.allclose(entropy, torch.nn.functional.cross_entropy(logits, label.long()), rtol=1e-6, atol=0)


@pytest.mark.parametrize("padded", [False, True])
def test_both_losses_equal_their_definition_voxel_by_voxel(padded: bool) -> None:
    logits, label, inside = drawn(3, 4, padded)
    entropy, overlap = dice_ce(logits, label, inside)
    expected = slowly(logits.double().numpy(), label.numpy(), inside.numpy())
    assert (entropy.item(), overlap.item()) == pytest.approx(expected, rel=2e-6)


def test_padding_has_no_gradient_and_no_influence() -> None:
    logits, label, inside = drawn(3, 4, padded=True)
    logits.requires_grad_()
    entropy, overlap = dice_ce(logits, label, inside)
    (gradient,) = torch.autograd.grad(entropy + overlap, logits)
    outside = (inside == 0)[:, None].expand_as(gradient)
    assert outside.any() and not gradient[outside].any() and gradient[~outside].all()
    other = torch.where(outside, torch.randn_like(logits), logits)
    assert torch.equal(torch.stack(dice_ce(other, label, inside)), torch.stack((entropy, overlap)))


def test_micro_batches_have_the_mean_and_the_gradient_of_the_whole_batch() -> None:
    logits, label, inside = drawn(4, 3, padded=True)
    whole = logits.clone().requires_grad_()
    torch.stack(dice_ce(whole, label, inside)).sum().backward()
    split = logits.clone().requires_grad_()
    for first in range(0, 4, 2):
        part = slice(first, first + 2)
        (torch.stack(dice_ce(split[part], label[part], inside[part])).sum() / 2).backward()
    assert whole.grad is not None and split.grad is not None
    assert torch.allclose(whole.grad, split.grad, rtol=1e-6, atol=1e-9)


def test_a_perfect_prediction_costs_nothing_and_an_absent_class_costs_one() -> None:
    _, label, inside = drawn(1, 2, padded=True)
    logits = torch.full((1, 3, *SHAPE), -100.0).scatter_(1, label[:, None].long(), 100.0)
    entropy, overlap = dice_ce(logits, label, inside)
    assert entropy.item() == 0.0
    assert overlap.item() == pytest.approx(
        1 / 3, abs=1e-6
    )  # two classes perfect, the third neither there nor predicted


def test_the_plain_form_is_monais_with_its_own_smoothing_and_leaves_padding_out() -> None:
    from monai.losses import DiceCELoss

    logits, label, inside = drawn(3, 4, padded=False)
    theirs = DiceCELoss(to_onehot_y=True, softmax=True, smooth_nr=1e-5, smooth_dr=1e-5)
    ours = torch.stack(plain_dice_ce(logits, label, inside)).sum()
    assert torch.allclose(ours, theirs(logits, label[:, None].long()), rtol=1e-6, atol=0)
    logits, label, inside = drawn(3, 4, padded=True)
    other = torch.where((inside == 0)[:, None], torch.randn_like(logits), logits)
    assert torch.equal(
        torch.stack(plain_dice_ce(other, label, inside)), torch.stack(plain_dice_ce(logits, label, inside))
    )


def test_mg3d_s_masks_of_the_lung_and_of_the_heart_are_learnt_by_plain_dice_as_monai_has_it() -> None:
    """Its released code squares nothing there: DiceLoss alone, and DiceCELoss without the background."""
    from monai.losses import DiceLoss

    lung, heart = (registry.task(name).protocols["mg3d"].recipe.loss for name in ("msd06", "acdc"))
    assert (lung, heart) == ("dice_plain", "dice_ce_plain_foreground")
    logits, label, inside = drawn(2, 4, padded=False)
    for background in (True, False):
        theirs = DiceLoss(include_background=background, to_onehot_y=True, softmax=True)
        ours = plain_dice_ce(logits, label, inside, background=background)[1]
        assert torch.allclose(ours, theirs(logits, label[:, None].long()), rtol=1e-6, atol=0)


def test_what_is_added_above_and_below_the_plain_fraction_is_a_hundred_thousandth() -> None:
    """One voxel of background, the other class called with a chance of 1e-5: its loss is 1 - 1e-5 / 2e-5, one half."""
    logits = torch.tensor([0.0, math.log(1e-5)]).view(1, 2, 1, 1, 1)
    label, inside = torch.zeros(1, 1, 1, 1, dtype=torch.uint8), torch.ones(1, 1, 1, 1, dtype=torch.uint8)
    assert plain_dice_ce(logits, label, inside)[1].item() == pytest.approx(0.5 / 2, abs=1e-4)
