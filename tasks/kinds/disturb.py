"""What spoils a training image besides turns: bent space, noise, blur, contrast, lost resolution, gamma.

Source   nnU-Net's augmentation (Isensee et al., Nature Methods 2021, Suppl. Note 4) as the recipes of AR use it
Changes  the bent space is drawn on a grid four times coarser, with the same spread; interpolation is linear where the
         original's is cubic, but for lost resolution; noise is drawn on the device
Shapes   volume (B, C, D, H, W) in network range; `disturb` (B, 5): noise sd, blur sd in voxels, contrast, zoom, gamma,
         0 0 1 1 1 where nothing happens; `bent` (B, 3, d, h, w): offsets in voxels on the coarser grid
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from bench.contracts.configs import FineTuneConfig, Shape3
from bench.contracts.method import Arrays

COARSER = 4  # voxels per node of the grid on which bent space is drawn; its sd is at least 9 voxels
BLUR_REACH = 4  # voxels on each side; at an sd of 1.2, the largest of any recipe, 2e-4 of the weight lie beyond


def disturbances(recipe: FineTuneConfig, shape: Shape3, rng: np.random.Generator) -> Arrays:
    """The numbers of one sample: `disturb` (5,) float32 and, where the recipe bends space, `bent` (3, d, h, w) float32.

    Empty where the recipe disturbs nothing, so that others' batches and random numbers stay as they are. Numbers are
    drawn whether a disturbance happens or not, so that switching one off leaves those of the others.
    """
    chance, level = rng.random(6), rng.random(5)
    ranges = (
        (recipe.noise_probability, recipe.noise_sd, 0.0),
        (recipe.blur_probability, recipe.blur_sd, 0.0),
        (recipe.contrast_probability, recipe.contrast, 1.0),
        (recipe.low_resolution_probability, recipe.low_resolution, 1.0),
        (recipe.gamma_probability, recipe.gamma, 1.0),
    )
    if recipe.elastic_probability == 0.0 and not any(probability for probability, _, _ in ranges):
        return {}
    drawn = [
        low + (high - low) * at if happens < probability else neutral
        for (probability, (low, high), neutral), happens, at in zip(ranges, chance, level, strict=False)
    ]
    found: Arrays = {"disturb": np.asarray(drawn, np.float32)}
    if recipe.elastic_probability > 0.0:
        found["bent"] = bent_space(recipe, shape, rng) * np.float32(chance[5] < recipe.elastic_probability)
    return found


def bent_space(recipe: FineTuneConfig, shape: Shape3, rng: np.random.Generator) -> np.ndarray:
    """Smooth random offsets in voxels: noise uniform in +-1, smoothed by a normal of sd `elastic_sd`, times `elastic`.

    The mean of a block of 4^3 such numbers is nearly normal, of sd 1 / (8 sqrt 3): that is what is drawn and smoothed.
    """
    from scipy.ndimage import gaussian_filter

    sd, strength = (low + (high - low) * rng.random() for low, high in (recipe.elastic_sd, recipe.elastic))
    nodes = tuple(-(-side // COARSER) for side in shape)
    noise = rng.standard_normal((3, *nodes)) / (COARSER**1.5 * math.sqrt(3))
    smooth = [gaussian_filter(axis, sd / COARSER, mode="constant") for axis in noise]
    return (strength * np.stack(smooth)).astype(np.float32)


def disturbed(volume: Tensor, gain: Tensor, offset: Tensor, disturb: Tensor | None) -> Tensor:
    """Noise, blur, gain, offset, contrast, lost resolution, gamma, in this order; gain and offset alone without `disturb`."""
    gain, offset = (x.view(-1, 1, 1, 1, 1) for x in (gain, offset))
    if disturb is None:
        return volume * gain + offset
    noise, blur, contrast, zoom, gamma = (x.view(-1, 1, 1, 1, 1) for x in disturb.unbind(1))
    volume = blurred(volume + noise * torch.randn_like(volume), blur) * gain + offset
    return with_gamma(with_lost_resolution(with_contrast(volume, contrast), zoom), gamma)


def blurred(volume: Tensor, sd: Tensor) -> Tensor:
    """Smoothed by a normal of sd (B, 1, 1, 1, 1) voxels along every axis, edges repeated; 0 leaves a sample as it is."""
    place = torch.arange(-BLUR_REACH, BLUR_REACH + 1, device=volume.device)
    weight = torch.exp(-(place**2) / (2 * sd.view(-1, 1).clamp(min=1e-3) ** 2))  # (B, taps)
    weight = weight / weight.sum(1, keepdim=True)
    each = weight.repeat_interleave(volume.shape[1], 0)
    x = volume.flatten(0, 1)[None]  # samples and channels side by side, each with a kernel of its own
    for axis in (2, 3, 4):
        reach = [0, 0, 0]
        reach[axis - 2] = BLUR_REACH
        kernel = each.view(-1, 1, *(2 * r + 1 for r in reach)).to(x.dtype)
        padding = [side for r in reversed(reach) for side in (r, r)]
        x = F.conv3d(F.pad(x, padding, mode="replicate"), kernel, groups=len(each))
    return torch.where(sd > 0, x[0].view_as(volume), volume)


def with_contrast(volume: Tensor, factor: Tensor) -> Tensor:
    """Distances from the mean of each channel times a factor, kept within the channel's old range."""
    mean, low, high = volume.mean((2, 3, 4), keepdim=True), volume.amin((2, 3, 4), True), volume.amax((2, 3, 4), True)
    stretched = (mean + (volume - mean) * factor).clamp(low, high)
    return torch.where(factor != 1, stretched, volume)


def with_lost_resolution(volume: Tensor, zoom: Tensor) -> Tensor:
    """Sampled at the nearest voxels of a grid `zoom` times as fine, then brought back by cubic convolution."""
    for axis in (2, 3, 4):
        index, weight = _lost_axis(volume.shape[axis], zoom.view(-1))
        shape = [len(volume), 1, 1, 1, 1]
        shape[axis] = volume.shape[axis]
        taps = (index[..., k].view(shape).expand_as(volume) for k in range(4))
        parts = [volume.gather(axis, tap) * weight[..., k].view(shape) for k, tap in enumerate(taps)]
        volume = torch.stack(parts).sum(0)
    return volume


def _lost_axis(length: int, zoom: Tensor) -> tuple[Tensor, Tensor]:
    """Per sample and place of an axis the four voxels that it is made of and their weights, (B, length, 4) each."""
    kept = (length * zoom).round().clamp(min=1)[:, None]  # (B, 1)
    at = (
        torch.arange(length, device=zoom.device) + 0.5
    ) * kept / length - 0.5  # (B, length), in places of the coarse axis
    first = at.floor()
    share = at - first
    coarse = torch.stack([first + k for k in (-1, 0, 1, 2)], -1).clamp(min=0).minimum(kept[..., None] - 1)
    nearest = ((coarse + 0.5) * length / kept[..., None]).floor().long().clamp(0, length - 1)
    distance = torch.stack([share + 1, share, 1 - share, 2 - share], -1)
    return nearest, _cubic(distance)


def _cubic(distance: Tensor) -> Tensor:
    """Keys' cubic convolution with a = -0.5: the weight of a voxel at a distance of 0 to 2."""
    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    return torch.where(distance <= 1, near, far)


def with_gamma(volume: Tensor, gamma: Tensor) -> Tensor:
    """Each channel scaled to 0..1, raised to gamma and scaled back, then given its old mean and sd again."""
    axes = (2, 3, 4)
    low, high = volume.amin(axes, True), volume.amax(axes, True)
    mean, sd = volume.mean(axes, keepdim=True), volume.std(axes, keepdim=True)
    raised = ((volume - low) / (high - low).clamp(min=1e-7)).pow(gamma)
    moved = (raised - raised.mean(axes, keepdim=True)) / (raised.std(axes, keepdim=True) + 1e-8) * sd + mean
    return torch.where(gamma != 1, moved, volume)
