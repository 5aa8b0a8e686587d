"""A corpus in memory: volumes of waves, each with a report of its own, and a small MG-3D on it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from bench.contracts.configs import Intensity, Shape3, Sight
from bench.contracts.method import Batch
from bench.train.seeds import generator
from methods.mg3d import METHOD, MG3D, MG3DConfig

SHAPE = (40, 48, 80)
REPORTS = {
    "a": "Two nodules (3, 4 mm) in the right lung, stable. No pleural effusion.",
    "b": "The heart is of normal size; no nodule. The left lung is clear. The aorta is normal, without calcification.",
    "c": "Consolidation in the left lower lobe. Small pleural effusion on the left.",
    "d": "Emphysema in both upper lobes, unchanged. No nodule, no effusion. Heart of normal size.",
}


class Reported:
    """Four volumes (int16 HU) and their reports."""

    def __init__(self, reports: Mapping[str, str] | None = None, shape: Shape3 = SHAPE) -> None:
        self.reports = dict(REPORTS if reports is None else reports)
        self.cases = tuple(self.reports)
        self.sight = sight()
        rng = np.random.default_rng(0)
        waves = [np.sin(np.indices(shape).sum(0) / (3.0 + i)) for i in range(len(self.cases))]
        self.volumes = {
            case: (500 * wave + 50 * rng.standard_normal(shape)).astype(np.int16)[None]
            for case, wave in zip(self.cases, waves, strict=True)
        }

    def shape(self, case: str) -> Shape3:
        d, h, w = self.volumes[case].shape[1:]
        return d, h, w

    def spacing(self, case: str) -> None:
        return None

    def read(self, case: str, start: Shape3, size: Shape3) -> np.ndarray[Any, Any]:
        box = tuple(slice(first, first + length) for first, length in zip(start, size, strict=True))
        return self.volumes[case][(slice(None), *box)]

    def fields(self, case: str) -> Mapping[str, Any]:
        return {"report": self.reports[case]} if self.reports[case] else {}


def sight(shape: Shape3 = METHOD.tiny.crop) -> Sight:
    return Sight(1, shape, None, Intensity("hu"))


def made(seed: int = 0, corpus: Reported | None = None, **changes: Any) -> MG3D:
    """The tiny method with some settings changed, in evaluation mode, fitted to the corpus."""
    torch.manual_seed(seed)
    config: MG3DConfig = dataclasses.replace(METHOD.tiny, **changes)
    method = MG3D(config, sight(config.crop))
    method.fit(corpus or Reported())
    return method.eval()


def batch_of(method: MG3D, corpus: Reported | None = None, size: int = 4, step: int = 0) -> Batch:
    corpus, phase = corpus or Reported(), method.phases[0]
    samples = phase.draw(corpus, size, step, 0)
    shown = [phase.views(corpus, sample, generator("slot", step, i)) for i, sample in enumerate(samples)]
    with torch.no_grad():
        return method.prepare({key: torch.stack([torch.from_numpy(s[key]) for s in shown]) for key in shown[0]})
