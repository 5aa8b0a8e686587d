"""Cross-entropy plus soft Dice over the voxels that are inside the volume."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

SMOOTH = 1e-6
PLAIN_SMOOTH = 1e-5
SPACE = (-3, -2, -1)


def dice_ce(logits: Tensor, label: Tensor, inside: Tensor, *, background: bool = True) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy and mean soft Dice loss, both per sample and then over samples, padding left out.

    Source: the recipe that the Swin-UNETR line of papers shares, as MONAI's DiceCELoss(softmax, squared_pred, smooth_nr=0,
    smooth_dr=1e-6), background counted as a class of Dice unless told otherwise; equal to it where nothing is padding. Shapes:
    logits (B, K, D, H, W), label and inside (B, D, H, W). A class that neither appears nor is predicted has Dice loss 1.
    """
    entropy, guess, truth = _compared(logits, label, inside)
    both = 2 * (guess * truth).sum(SPACE)
    either = (guess**2).sum(SPACE) + (truth**2).sum(SPACE)
    first = 0 if background else 1
    return entropy, (1 - both / (either + SMOOTH))[:, first:].mean()


def plain_dice_ce(logits: Tensor, label: Tensor, inside: Tensor, *, background: bool = True) -> tuple[Tensor, Tensor]:
    """`dice_ce` with plain sums below the fraction and 1e-5 above and below it, as MONAI's DiceCELoss(softmax) has it.

    Source: the released code of SPAD, and of MG-3D on MSD Task06 and ACDC. A class that neither appears nor is predicted has Dice
    loss near 0.
    """
    entropy, guess, truth = _compared(logits, label, inside)
    both = 2 * (guess * truth).sum(SPACE)
    either = guess.sum(SPACE) + truth.sum(SPACE)
    first = 0 if background else 1
    return entropy, (1 - (both + PLAIN_SMOOTH) / (either + PLAIN_SMOOTH))[:, first:].mean()


def _compared(logits: Tensor, label: Tensor, inside: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean cross-entropy; probabilities and truth (B, K, D, H, W), 0 in padding."""
    logits, weight = logits.float(), inside.float()
    label = label.long()
    per_voxel = F.cross_entropy(logits, label, reduction="none") * weight
    entropy = (per_voxel.sum(SPACE) / weight.sum(SPACE)).mean()  # by sample, so that a micro-batch has the same mean
    truth = F.one_hot(label, logits.shape[1]).movedim(-1, 1) * weight[:, None]
    return entropy, torch.softmax(logits, 1) * weight[:, None], truth
