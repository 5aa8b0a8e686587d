"""Take the picture: a CT or MR scanner with its blur, noise, offsets and the habits of its site.

Source   the project's phantom plan, section D.1; MR signals by the textbook equations of spin echo, inversion recovery
and
         steady-state free precession; parameters are typical, rounded, and ours
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from bench.contracts.errors import SpecError, nearest
from bench.phantoms.body import Person
from bench.phantoms.drawing import Drawing, fine_sum
from bench.phantoms.noise import Image, bias_field, metal_streak, smooth_noise, squared_radius
from bench.phantoms.signs import SIGN_LOOKS
from bench.phantoms.tissue import FIRST_TISSUES, LOOKS, Look, Tissue, case_shift, table

TEXTURE_MM = (2.5, 6.0, 15.0)  # standard deviation of the blur that makes each of the three textures, mm of body
CT_RANGE_HU = (-1024, 3071)
STREAK_RATIO = 0.02
BIAS_EXTENT_MM, BIAS_IN_CROP_RATIO = 300.0, 0.35  # the bias field of a whole body, and what a small crop sees of it
_ALL_LOOKS: tuple[tuple[IntEnum, Look], ...] = (*LOOKS.items(), *SIGN_LOOKS.items())
AGENT_RATE = 2.85e-5  # per ms and HU of venous enhancement: how much contrast agent shortens T1


@dataclass(frozen=True, kw_only=True)
class Site:
    """Habits of one hospital: blur in voxels, CT noise in HU and its grain, HU offset, cupping in HU, round field of
    view, value outside it; for MR the noise and the bias field as shares of the signal. `reserved` sites scan test
    cases only.
    """

    name: str
    blur_voxels: float
    noise_hu: float
    grain_voxels: float
    offset_hu: float
    cupping_hu: float
    round_view: bool
    outside_hu: float
    mr_noise_ratio: float
    mr_bias_ratio: float
    reserved: bool = False


def _site(
    name: str,
    ct: tuple[float, float, float, float, float],
    outside: tuple[bool, float],
    mr: tuple[float, float],
    reserved: bool = False,
) -> Site:
    blur, noise, grain, offset, cupping = ct
    return Site(
        name=name, blur_voxels=blur, noise_hu=noise, grain_voxels=grain, offset_hu=offset, cupping_hu=cupping,
        round_view=outside[0], outside_hu=outside[1], mr_noise_ratio=mr[0], mr_bias_ratio=mr[1], reserved=reserved,
    )  # fmt: skip


SITES: tuple[Site, ...] = (
    _site("aster", (0.55, 16.0, 0.6, 0.0, 4.0), (False, -1000.0), (0.030, 0.20)),
    _site("birch", (0.75, 11.0, 0.9, 3.0, 7.0), (True, -1024.0), (0.040, 0.30)),
    _site("cedar", (0.45, 22.0, 0.5, -4.0, 2.0), (False, -1000.0), (0.055, 0.15)),
    _site("dahlia", (0.65, 14.0, 0.8, 1.5, 5.0), (False, -1024.0), (0.025, 0.35)),
    _site("elder", (0.90, 18.0, 1.2, 5.0, 9.0), (False, -1000.0), (0.060, 0.40), True),
    _site("fern", (0.40, 27.0, 0.45, -5.0, 3.0), (True, -1024.0), (0.070, 0.25), True),
)


def site_of(person: Person, *, test_site: bool) -> Site:
    """Draw the site that scans a person: one of the two reserved ones where `test_site`, one of the four others if
    not."""
    sites = [site for site in SITES if site.reserved == test_site]
    return sites[int(person.stream("site").integers(len(sites)))]


def ct(drawing: Drawing, person: Person, site: Site) -> NDArray[np.int16]:
    """Scan a drawing in a late contrast phase; gives int16 HU in RAS (x, y, z) order, air near -1000."""
    from scipy.ndimage import gaussian_filter

    random = person.stream("ct")
    arterial, gain = float(random.uniform(0.0, 0.35)), float(random.uniform(0.85, 1.1))
    shift = case_shift(random, 3.0)
    density: dict[IntEnum, float] = {
        tissue: look.plain_hu + gain * (arterial * look.arterial_hu + (1 - arterial) * look.venous_hu) + shift[tissue]
        for tissue, look in LOOKS.items()
    } | {sign: look.plain_hu + gain * (1 - arterial) * look.venous_hu for sign, look in SIGN_LOOKS.items()}
    density[Tissue.AIR] = -1000.0
    image = _averaged(drawing, table(density)) + _texture(drawing, person)
    radius = squared_radius(image.shape)
    image -= np.float32(site.cupping_hu) * np.clip(1 - radius, 0, 1) * (image > -500)
    if random.random() < STREAK_RATIO:
        image += metal_streak(image.shape, random)
    image = gaussian_filter(image, site.blur_voxels, mode="nearest", truncate=3.0)
    noise = smooth_noise(random, image.shape, (site.grain_voxels, site.grain_voxels, 0.3))
    image += (
        np.float32(site.noise_hu * random.uniform(0.8, 1.25))
        * (np.float32(1.3) - np.float32(0.6) * np.clip(radius, 0, 1))
        * noise
    )
    image += np.float32(site.offset_hu)
    if site.round_view:
        image[radius[..., 0] > 1.15] = site.outside_hu
    return np.clip(np.rint(image), *CT_RANGE_HU).astype(np.int16)


def mr(drawing: Drawing, person: Person, site: Site, contrast: str) -> Image:
    """Scan a drawing by MR with one of `CONTRASTS`; gives float32 of arbitrary scale, never negative, in RAS order.

    All contrasts of one person share anatomy, texture and the shift of each tissue, not noise, bias or scale.
    Raises SpecError for an unknown contrast.
    """
    from scipy.ndimage import gaussian_filter

    if contrast not in CONTRASTS:
        raise SpecError(
            f"No MR contrast '{contrast}'. {nearest(contrast, CONTRASTS)}Possible: {', '.join(CONTRASTS)}.",
            case="|".join(person.key),
            remedy="Ask for one of these contrasts.",
        )
    shift = case_shift(person.stream("mr-tissue"), 0.03)
    signal = {tissue: CONTRASTS[contrast](look) * (1 + shift[tissue]) for tissue, look in LOOKS.items()}
    brightest = max(signal[tissue] for tissue in FIRST_TISSUES)
    values = table({tissue: value / brightest for tissue, value in signal.items()})
    image = _averaged(drawing, values)
    image *= 1 + _texture(drawing, person) * np.float32(0.008)
    random = person.stream(f"mr-{contrast}")
    image = gaussian_filter(image, 0.8 * site.blur_voxels, mode="nearest", truncate=3.0)
    if random.random() < 0.2:
        image += np.float32(random.uniform(0.015, 0.04)) * np.roll(image, image.shape[1] // 3, axis=1)
    extent_mm = max(size * step for size, step in zip(image.shape, drawing.voxel_mm, strict=True))
    unevenness = site.mr_bias_ratio * min(1.0, max(BIAS_IN_CROP_RATIO, extent_mm / BIAS_EXTENT_MM))
    image *= np.exp(np.float32(unevenness) * bias_field(image.shape, random))
    level = np.float32(site.mr_noise_ratio * float(np.percentile(image, 95)) * random.uniform(0.8, 1.25))
    real = image + level * random.standard_normal(image.shape, dtype=np.float32)
    imaginary = level * random.standard_normal(image.shape, dtype=np.float32)
    scale = math.exp(random.uniform(math.log(150.0), math.log(30000.0)))
    return np.asarray(np.sqrt(real * real + imaginary * imaginary) * np.float32(scale), dtype=np.float32)


def _spin_echo(repetition_ms: float, echo_ms: float, *, fat_gain: float = 1.0) -> Callable[[Look], float]:
    def signal(look: Look) -> float:
        share = 1 - look.fat_ratio * (1 - fat_gain)
        return (
            abs(share)
            * look.proton_density
            * (1 - math.exp(-repetition_ms / look.t1_ms))
            * math.exp(-echo_ms / look.t2_ms)
        )

    return signal


def _inversion(inversion_ms: float, repetition_ms: float, echo_ms: float, *, agent: bool) -> Callable[[Look], float]:
    def signal(look: Look) -> float:
        rate = 1 / look.t1_ms + (AGENT_RATE * max(look.venous_hu, 0.0) if agent else 0.0)
        recovered = 1 - 2 * math.exp(-inversion_ms * rate) + math.exp(-repetition_ms * rate)
        return look.proton_density * abs(recovered) * math.exp(-echo_ms / look.t2_ms)

    return signal


def _with_agent(look: Look) -> float:
    rate = 1 / look.t1_ms + AGENT_RATE * max(look.venous_hu, 0.0)
    return look.proton_density * (1 - math.exp(-500 * rate)) * math.exp(-10 / look.t2_ms)


def _free_precession(look: Look) -> float:
    return look.proton_density / (1 + look.t1_ms / look.t2_ms)


CONTRASTS: Mapping[str, Callable[[Look], float]] = MappingProxyType(
    {
        "t1": _inversion(1000.0, 2300.0, 3.0, agent=False),
        "t1ce": _with_agent,
        "t2": _spin_echo(4000.0, 90.0),
        "flair": _inversion(2500.0, 9000.0, 100.0, agent=False),
        "lge": _inversion(320.0, 2500.0, 3.0, agent=True),
        "in_phase": _spin_echo(150.0, 4.6),
        "opposed_phase": _spin_echo(150.0, 2.3, fat_gain=-1.0),
        "t2_spir": _spin_echo(2000.0, 70.0, fat_gain=0.1),
        "cine": _free_precession,
    }
)


def _averaged(drawing: Drawing, values: Image) -> Image:
    fine = drawing.fine
    return np.asarray(
        fine_sum(values[drawing.tissue], fine) * np.float32(1 / (fine[0] * fine[1] * fine[2])), dtype=np.float32
    )


def _texture(drawing: Drawing, person: Person) -> Image:
    """Give the texture of every tissue in HU: three noises of different grain, each weighted by the tissue's own
    share."""
    tissue = drawing.tissue[tuple(slice(0, None, count) for count in drawing.fine)]
    total = np.zeros(tissue.shape, dtype=np.float32)
    for number, blur_mm in enumerate(TEXTURE_MM):
        share = table({name: look.texture[number] for name, look in _ALL_LOOKS})
        # a voxel sees the mean of the texture inside it, never less than a third of a voxel of blur
        sigmas = tuple(max(blur_mm / step, 0.33) for step in drawing.voxel_mm)
        total += share[tissue] * smooth_noise(
            person.stream(f"texture{number}"), tissue.shape, (sigmas[0], sigmas[1], sigmas[2])
        )
    return total
