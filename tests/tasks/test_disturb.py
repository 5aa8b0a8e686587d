"""Disturbances of training images: what each does to voxels one can count, who is left alone, and what the loader draws."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from bench.contracts.configs import FineTuneConfig
from tasks.kinds import disturb as d
from tasks.kinds.vary import turn

ALL = FineTuneConfig(
    elastic_probability=1.0,
    noise_probability=1.0,
    blur_probability=1.0,
    contrast_probability=1.0,
    low_resolution_probability=1.0,
    gamma_probability=1.0,
)
SHAPE = (24, 16, 12)


def volumes(batch: int = 2, channels: int = 2) -> Tensor:
    return torch.rand(batch, channels, *SHAPE, generator=torch.Generator().manual_seed(0))


def each(*numbers: float) -> Tensor:
    return torch.tensor(numbers).view(-1, 1, 1, 1, 1)


# What each does -------------------------------------------------------------------------------------


def test_blur_is_a_normal_along_every_axis_and_leaves_a_sample_of_sd_zero_alone() -> None:
    x = volumes()
    found = d.blurred(x, each(0.8, 0.0))
    wanted = np.stack([ndimage.gaussian_filter(c, 0.8, mode="nearest", radius=4) for c in x[0].double().numpy()])
    torch.testing.assert_close(found[0].double(), torch.from_numpy(wanted), atol=1e-5, rtol=0)
    assert torch.equal(found[1], x[1])


def test_contrast_stretches_about_the_mean_of_a_channel_and_stays_in_its_range() -> None:
    x = volumes()
    found = d.with_contrast(x, each(1.25, 1.0))
    for before, after in zip(x[0], found[0], strict=True):
        torch.testing.assert_close(
            after, (before.mean() + 1.25 * (before - before.mean())).clamp(before.min(), before.max())
        )
    assert torch.equal(found[1], x[1])


def test_gamma_bends_the_scale_and_keeps_mean_and_spread() -> None:
    x = volumes()
    found = d.with_gamma(x, each(1.5, 1.0))
    torch.testing.assert_close(found[0].mean((1, 2, 3)), x[0].mean((1, 2, 3)))
    torch.testing.assert_close(found[0].std((1, 2, 3)), x[0].std((1, 2, 3)))
    order = x[0, 0].flatten().argsort()
    assert bool((found[0, 0].flatten()[order].diff() >= 0).all()) and not torch.allclose(found[0], x[0], atol=0.01)
    assert torch.equal(found[1], x[1])


def test_a_flat_image_stays_finite() -> None:
    flat = torch.full((1, 1, 4, 4, 4), 2.0)
    for spoilt in (
        d.with_gamma(flat, each(0.7)),
        d.with_contrast(flat, each(1.2)),
        d.with_lost_resolution(flat, each(0.5)),
    ):
        torch.testing.assert_close(spoilt, flat)


def test_half_the_resolution_keeps_every_second_voxel_and_full_resolution_every_bit() -> None:
    x = volumes()
    found = d.with_lost_resolution(x, each(0.5, 1.0))
    assert torch.equal(found[1], x[1])
    changed = x.clone()
    changed[:, :, ::2] += 5.0  # of two neighbours the nearest to a coarse voxel's middle is the second
    torch.testing.assert_close(d.with_lost_resolution(changed, each(0.5, 0.5))[0], found[0])


def test_what_varies_slowly_survives_lost_resolution() -> None:
    wave = torch.sin(torch.linspace(0, math.pi, 48)).view(1, 1, 48, 1, 1).expand(1, 1, 48, 4, 4)
    found = d.with_lost_resolution(wave, each(0.5))
    shifted = torch.sin(torch.linspace(0, math.pi, 48) + math.pi / 47 / 2)  # by the half voxel of "nearest"
    torch.testing.assert_close(found[0, 0, 4:-4, 1, 1], shifted[4:-4], atol=0.01, rtol=0)


def test_noise_has_its_own_sd_in_every_sample() -> None:
    torch.manual_seed(0)
    still = torch.zeros(2, 1, 32, 32, 32)
    found = d.disturbed(
        still, torch.ones(2, 1), torch.zeros(2, 1), torch.tensor([[0.1, 0, 1, 1, 1], [0.0, 0, 1, 1, 1]])
    )
    assert found[0].std().item() == pytest.approx(0.1, rel=0.02) and not found[1].any()


def test_contrast_lost_resolution_and_gamma_come_one_after_the_other_each_by_its_own_number() -> None:
    x, still = volumes(), (torch.ones(2, 1), torch.zeros(2, 1))
    told = torch.tensor([[0, 0, 1.25, 0.6, 1.4], [0, 0, 0.8, 1.0, 0.7]])
    contrast, zoom, gamma = (told[:, k].view(-1, 1, 1, 1, 1) for k in (2, 3, 4))
    expected = d.with_gamma(d.with_lost_resolution(d.with_contrast(x, contrast), zoom), gamma)
    torch.testing.assert_close(d.disturbed(x, *still, told), expected)


def test_noise_is_blurred_with_the_image_and_gain_and_offset_come_before_contrast() -> None:
    x, gain, offset = volumes(), torch.tensor([[1.2], [0.8]]), torch.tensor([[0.1], [-0.2]])
    told = torch.tensor([[0.1, 0.8, 1.25, 1, 1], [0.05, 0, 0.8, 1, 1]])
    torch.manual_seed(3)
    found = d.disturbed(x, gain, offset, told)
    torch.manual_seed(3)
    noisy = x + each(0.1, 0.05) * torch.randn_like(x)
    bright = d.blurred(noisy, each(0.8, 0.0)) * each(1.2, 0.8) + each(0.1, -0.2)
    torch.testing.assert_close(found, d.with_contrast(bright, each(1.25, 0.8)))


def test_without_disturbances_gain_and_offset_are_all_there_is() -> None:
    x = volumes()
    gain, offset = torch.tensor([[1.2], [0.9]]), torch.tensor([[0.1], [0.0]])
    assert torch.equal(d.disturbed(x, gain, offset, None), x * gain.view(-1, 1, 1, 1, 1) + offset.view(-1, 1, 1, 1, 1))


def test_bent_space_moves_image_and_label_together_and_no_bend_moves_nothing() -> None:
    x, label = volumes(), (volumes(channels=1)[:, 0] > 0.5).to(torch.uint8)
    inside, eye = torch.ones_like(label), torch.eye(3).repeat(2, 1, 1)
    shift = torch.zeros(2, 3, 6, 4, 3)
    still = turn(x, label, inside, eye, shift)
    torch.testing.assert_close(still[0], x)
    assert torch.equal(still[1], label)
    shift[:, 0] = 2.0  # every output voxel looks two voxels further along the first axis
    moved = turn(x, label, inside, eye, shift)
    torch.testing.assert_close(moved[0][:, :, :-2], x[:, :, 2:], atol=1e-4, rtol=0)
    assert torch.equal(moved[1][:, :-2], label[:, 2:]) and not moved[2][:, -1].any()


# What is drawn --------------------------------------------------------------------------------------


def test_a_recipe_that_disturbs_nothing_adds_nothing_to_a_batch() -> None:
    assert d.disturbances(FineTuneConfig(), SHAPE, np.random.default_rng(0)) == {}


def test_the_bend_has_the_spread_of_noise_smoothed_at_full_resolution() -> None:
    recipe = dataclasses.replace(ALL, elastic=(900.0, 900.0), elastic_sd=(10.0, 10.0))
    shape = (160, 160, 160)
    bent = d.bent_space(recipe, shape, np.random.default_rng(0))
    assert bent.shape == (3, 40, 40, 40) and bent.dtype == np.float32
    middle = bent[:, 10:-10, 10:-10, 10:-10]
    wanted = 900 / math.sqrt(3) / (2 * 10.0 * math.sqrt(math.pi)) ** 1.5
    assert middle.std() == pytest.approx(wanted, rel=0.15)


def test_numbers_stay_in_their_ranges_and_come_as_often_as_told() -> None:
    recipe = dataclasses.replace(
        ALL,
        elastic_probability=0.2,
        noise_probability=0.1,
        blur_probability=0.2,
        contrast_probability=0.15,
        low_resolution_probability=0.25,
        gamma_probability=0.15,
    )
    drawn = [d.disturbances(recipe, SHAPE, np.random.default_rng(seed)) for seed in range(1500)]
    numbers = np.stack([sample["disturb"] for sample in drawn])
    neutral, low, high = [0, 0, 1, 1, 1], [0.0, 0.5, 0.75, 0.5, 0.7], [0.1, 1.0, 1.25, 1.0, 1.5]
    for k, share in enumerate((0.1, 0.2, 0.15, 0.25, 0.15)):
        touched = numbers[numbers[:, k] != neutral[k], k]
        assert len(touched) / 1500 == pytest.approx(share, abs=0.03)
        assert low[k] <= touched.min() and touched.max() <= high[k]
        middle, spread = (low[k] + high[k]) / 2, (high[k] - low[k]) / math.sqrt(12)
        assert touched.mean() == pytest.approx(
            middle, abs=4 * spread / math.sqrt(len(touched))
        )  # uniform, if it happens
        assert touched.std() == pytest.approx(spread, rel=0.15)
    assert np.mean([sample["bent"].any() for sample in drawn]) == pytest.approx(0.2, abs=0.03)
    happens = [*(numbers != neutral).T, np.array([sample["bent"].any() for sample in drawn])]
    together = np.corrcoef(np.stack(happens))  # each by its own chance
    assert np.abs(together - np.eye(6)).max() < 0.1
    assert {sample["bent"].shape for sample in drawn} == {(3, 6, 4, 3)}


@pytest.mark.parametrize("name", ["noise", "blur", "contrast", "low_resolution", "gamma", "elastic"])
def test_switching_one_off_leaves_the_numbers_of_the_others(name: str) -> None:
    change: dict[str, Any] = {f"{name}_probability": 0.0}
    names = ("noise", "blur", "contrast", "low_resolution", "gamma")
    for seed in range(5):
        full = d.disturbances(ALL, SHAPE, np.random.default_rng(seed))
        less = d.disturbances(dataclasses.replace(ALL, **change), SHAPE, np.random.default_rng(seed))
        moved = {names[k] for k in np.flatnonzero(full["disturb"] != less["disturb"])}
        assert moved == {name} - {"elastic"}
        assert ("bent" in less) == (name != "elastic")
        assert "bent" not in less or np.array_equal(full["bent"], less["bent"])
