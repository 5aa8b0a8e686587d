"""Classes that overlap (whole tumour, its core, its enhancing part): one sigmoid per class, codes of bits in place of labels.

A code is the sum of 2**k over the classes k = 0, 1, ... that a voxel belongs to, so one uint8 map holds up to eight classes, and
what a network answers need not be nested.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from tasks.kinds.dice_ce import SMOOTH as SQUARED_SMOOTH

THRESHOLD = 0.5  # of the sigmoid; MONAI's and MiM's BraTS code
SMOOTH = 1e-5  # MONAI's default


def region_dice_ce(logits: Tensor, code: Tensor, inside: Tensor, *, squared: bool = False) -> tuple[Tensor, Tensor]:
    """Mean binary cross-entropy and mean soft Dice loss over samples and classes, padding left out.

    Source: MONAI's DiceLoss(sigmoid=True) (plain denominators, smooth 1e-5 above and below), equal to it where nothing is
    padding. `squared` is that of MiM's released code on brain tumours: squares below the fraction, 1e-6 there and nothing above,
    so that a region which is not there costs 1. Shapes: logits (B, K, D, H, W), code and inside (B, D, H, W).
    """
    logits, weight = logits.float(), inside.float()[:, None]
    truth = bits(code, logits.shape[1]).to(logits.dtype) * weight
    space = (-3, -2, -1)
    per_voxel = F.binary_cross_entropy_with_logits(logits, truth, reduction="none") * weight
    entropy = (per_voxel.sum(space) / weight.sum(space)).mean()  # by sample, so that a micro-batch has the same mean
    guess = torch.sigmoid(logits) * weight
    both = 2 * (guess * truth).sum(space)
    if squared:
        return entropy, (1 - both / ((guess**2).sum(space) + truth.sum(space) + SQUARED_SMOOTH)).mean()
    either = guess.sum(space) + truth.sum(space)
    return entropy, (1 - (both + SMOOTH) / (either + SMOOTH)).mean()


def bits(code: Tensor, classes: int) -> Tensor:
    """Codes (B, D, H, W) as one 0/1 channel per class (B, K, D, H, W), int32."""
    places = torch.arange(classes, device=code.device).view(1, -1, 1, 1, 1)
    return torch.bitwise_right_shift(code.int()[:, None], places) & 1


def codes(probabilities: np.ndarray) -> np.ndarray:
    """Probabilities (K, D, H, W) as codes (D, H, W) uint8: a voxel belongs to every class above one half."""
    weights = (1 << np.arange(len(probabilities), dtype=np.uint8)).reshape(-1, 1, 1, 1)
    found: np.ndarray = ((probabilities > THRESHOLD) * weights).sum(axis=0).astype(np.uint8)
    return found


def mask(code: np.ndarray, k: int) -> np.ndarray:
    """Where a code holds class k = 1, 2, ..., as uint8 of 0 and 1."""
    one: np.ndarray = (code >> np.uint8(k - 1)) & np.uint8(1)
    return one


def flattened(code: np.ndarray, classes: int) -> np.ndarray:
    """A code as a map of classes for a picture: of those that a voxel belongs to, the last in the card's order."""
    table = np.array([value.bit_length() for value in range(1 << classes)], np.uint8)
    shown: np.ndarray = table[code]
    return shown
