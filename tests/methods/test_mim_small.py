"""MiM's small preset learns from real volumes as its loader gives them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bench.contracts.configs import Intensity, Sight
from methods.mim import SMALL, MiM
from tests.real_volumes import real


def hippocampi(count: int) -> torch.Tensor:
    """(count, 1, 48, 64, 48) float16: z-scored, padded on both sides with the mean, as crops of smaller volumes are."""
    import nibabel

    folder = real("msd04/Task04_Hippocampus/imagesTr")
    volumes = []
    for path in sorted(folder.glob("hippocampus_*.nii.gz"))[:count]:
        voxels = np.asarray(nibabel.load(path).dataobj, dtype=np.float32)  # type: ignore[attr-defined]
        voxels = (voxels - voxels.mean()) / voxels.std()
        spare = [want - have for want, have in zip((48, 64, 48), voxels.shape, strict=True)]
        volumes.append(np.pad(voxels, [(s // 2, s - s // 2) for s in spare]))
    return torch.from_numpy(np.stack(volumes)[:, None]).half()


@pytest.mark.slow
@pytest.mark.data
def test_small_learns_hippocampi_within_its_steps() -> None:
    """Guessing each token's mean costs 4095/4096 at level 1, where tokens that are padding alone cost nothing."""
    torch.manual_seed(0)
    method = MiM(SMALL, Sight(1, SMALL.crop, None, Intensity("zscore")))
    optimiser = torch.optim.AdamW(method.parameters(), SMALL.lr, betas=SMALL.betas, weight_decay=SMALL.weight_decay)
    volumes, errors = hippocampi(60), []
    for step in range(SMALL.steps):
        for group in optimiser.param_groups:
            group["lr"] = SMALL.lr * min(1.0, (step + 1) / SMALL.warmup_steps)
        batch = {"volume": volumes[torch.randint(0, len(volumes), (SMALL.batch_size,))]}
        losses = method.loss(method.prepare(batch))
        optimiser.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        optimiser.step()
        errors.append(losses["rebuild_1"].item())
    assert sum(errors[:50]) / 50 > 0.95
    assert sum(errors[-50:]) / 50 < 0.8
