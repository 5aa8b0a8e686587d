"""What SPAD is shown beside its released code: degrees, crops, intensities, prepared images; see `spad`."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

from bench.contracts.configs import Intensity, Sight
from bench.data.moments import moments, percentile_scaled
from bench.data.percentile import percentile_image
from bench.data.volumes import Volume
from bench.nets.spad import crop_depth
from methods.parts.equal_anisotropy import effective_degree
from methods.parts.lie import lie_of
from methods.parts.photometry import vary_intensity
from methods.parts.zoomed_crop import cut
from methods.spad import REF_CODE
from tests.parity import spad_released as pumit
from tests.parity.released import Compared, compared
from tests.parity.spad_released import joined, module, plain

SIGHT = Sight(1, (80, 160, 160), None, Intensity("percentile"))
FIRST, SECOND = REF_CODE["tokenizer"], REF_CODE["predict"]


def degrees(folder: Path) -> Compared:
    """Anisotropy and crop that their sampler gives to 2,000 images of many spacings, ours at the fields of view it drew."""
    told = pumit.of_yaml(pumit.config(folder, "model/data.yaml")["init_args"]["trans_conf"])
    random, data = np.random.RandomState(3), module("pumit.datamodule")
    spacings = np.stack([10 ** random.uniform(-1, 2, 2000), *random.uniform(0.3, 1.2, (2, 2000))])
    images = [{f"space-{k}": s for k, s in enumerate(of)} | {f"shape-{k}": 300 for k in range(3)} for of in spacings.T]
    given = (images, 2000, 0, data.TransformConf(**told), 1, 0, random, 1, torch.ones(2000), 2000)
    with mock.patch.object(
        torch.utils.data.Sampler, "__init__", lambda *_: None
    ):  # which torch has none of its own by now
        drawn = [batch[0] for batch in data.PUMTDistributedBatchSampler(*given)]
    rows = []
    for number, found in drawn:
        ratio, (along, across, _) = spacings[0, number] / spacings[1:, number].min(), found["scale"]
        da = int(effective_degree(*(np.array([x]) for x in (ratio, across, along)))[0])
        rows.append(((found["aniso_d"], *found["size"]), (da, crop_depth(da, 5, 16), *SECOND.crop[1:])))
    theirs, ours = zip(*rows, strict=True)
    return compared("sampler, degree and crop of 2,000 images", torch.tensor(theirs), torch.tensor(ours))


@dataclass(frozen=True)
class Held:
    """A pool of one image in memory."""

    image: np.ndarray
    sight: Sight = SIGHT

    def read(self, _: str, start: Any, size: Any) -> np.ndarray:
        return self.image[(slice(None), *(slice(a, a + n) for a, n in zip(start, size, strict=True)))]


def crops() -> Iterator[Compared]:
    """A crop resampled once, zoomed and turned as they drew it: ours at the matrix that theirs tells, beyond the image too."""
    transforms, meta, shape = module("monai.transforms"), module("monai.data").MetaTensor, (12, 26, 40)
    for name, chance in (("zoomed", 0.0), ("zoomed and turned", 1.0)):
        answers, turns = [], []
        for seed in range(5):
            module("monai.utils").set_determinism(seed)
            step = transforms.Compose([module("pumit.transforms").RandAffineCropD(chance, 1.5)], lazy=True)
            image = torch.rand(1, *shape)
            wanted = {"size": (16, 24, 24), "scale": (1.1, 1.3, 1.3)}
            made = step({"img": meta(image.clone(), affine=torch.eye(4)), "_trans": wanted})["img"]
            matrix, corner = made.affine.numpy()[:3, :3], made.affine.numpy()[:3, 3]
            middle = matrix @ ((np.array(wanted["size"]) - 1) / 2) + corner
            lie = lie_of(shape, (1.0, 1.0, 1.0), even_axis=0)
            ours = cut(Held(image.numpy()), "", lie, (0, shape[0]), matrix, middle, wanted["size"])
            answers.append((made, torch.from_numpy(ours)))
            turn = matrix @ np.diag(1 / np.array(wanted["scale"]))
            turns.append((torch.from_numpy(turn.T @ turn), torch.eye(3)))
        yield joined(f"crop, {name}", answers)
        yield joined(f"crop, {name}: a turn behind the zoom", turns)


class Draws:
    """In place of a random state: every chance happens, and a number lies at a given share of its range."""

    def __init__(self, share: float) -> None:
        self.share = share

    def rand(self) -> float:
        return 0.0

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * self.share


def intensities() -> Iterator[Compared]:
    """Gain, contrast and gamma of a colour image, in their order and with the same draws."""
    own, gain = module("mylib.transforms"), module("monai.transforms").RandScaleIntensityD("img", 0.25, 1.0)
    x = torch.rand(3, 4, 20, 20) * torch.tensor([1.0, 0.6, 0.3]).view(3, 1, 1, 1)
    gain.scaler.R = Draws(0.7)
    for inverse in (False, True):
        contrast = own.RandAdjustContrastD("img", (0.75, 1.25), 1.0)
        gamma = own.RandGammaCorrectionD("img", 1.0, (0.7, 1.5), inverse)
        gain.R, contrast.R, gamma.R = Draws(0.7), Draws(0.1), Draws(0.9)
        told = {"img": x.clone()}
        for step in (gain, own.ClampIntensityD("img"), contrast, gamma):
            told = step(told)
        drawn = torch.tensor([0.0, 0.7, 0.0, 0.1, 0.0, 0.9, 0.0 if inverse else 1.0]).view(7, 1, 1, 1, 1, 1)
        with mock.patch("torch.rand", return_value=drawn):
            ours = vary_intensity(x[None], by_colour=True)[0]
        yield compared(f"intensities of a colour image{', gamma of its inverse' * inverse}", plain(told["img"]), ours)


def preparation(folder: Path, scratch: Path) -> Iterator[Compared]:
    """A pool's image cropped and brought to [0, 1] as their script stores it, and what CHAOS' volumes are normalised by."""
    meta = module("monai.data").MetaTensor
    told = importlib.util.spec_from_file_location("pumit_process", folder / "scripts/data/process.py")
    script = importlib.util.module_from_spec(told)
    volume = torch.zeros(1, 12, 70, 60)  # narrower than 512 voxels, from which on theirs smooths
    volume[:, 1:, 5:-3, 4:-7] = 100 + 900 * torch.rand(1, 11, 62, 49) ** 2
    held = meta(volume, affine=torch.eye(4), meta={"spatial_shape": volume.shape[1:]})
    with contextlib.chdir(scratch):  # it makes a folder where it is imported
        told.loader.exec_module(script)
        kinds = (script.PercentileCropperMixin, script.DatasetProcessor)
        one = type("One", kinds, {"name": "one", "get_image_files": list})()
        (one.output_root / "data").mkdir(parents=True)
        one.process_image(held, "a", "MRI", one.get_cropper(), 1.0)
        theirs = torch.from_numpy(np.load(one.output_root / "data" / "a.npy"))
    ours, _ = percentile_image(volume.numpy(), (1.0, 1.0, 1.0), 0, eight_bits=False)
    yield compared("a pool's image", theirs, torch.from_numpy(ours))
    scaler = module("monai.transforms").ScaleIntensityRangePercentiles(
        0.5, 99.5, 0.0, 1.0, clip=True, channel_wise=True
    )
    scaled = module("mylib.transforms").CleverStats()(scaler(meta(volume.clone())))
    own = percentile_scaled(Volume(volume.numpy(), (1.0, 1.0, 1.0), ()), (0.5, 99.5)).array
    mean, sd = (torch.tensor(x) for x in moments(own, "positive"))
    yield compared("CHAOS, a volume between its percentiles", plain(scaled), torch.from_numpy(own))
    yield compared("CHAOS, mean of its positive voxels", scaled.meta["mean"], mean)
    yield compared("CHAOS, sd of its positive voxels", scaled.meta["std"], sd)
