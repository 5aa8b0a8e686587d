"""What a corpus cannot offer AR stands in the record of its pre-training, through the real rooms."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np

from bench.contracts.configs import Intensity, Shape3, Sight
from bench.pretrain import pretrain
from bench.train.loop import Hardware
from methods.ar import METHOD


class Single:
    """Two volumes and nothing else."""

    cases = ("a", "b")
    sight = Sight(1, (32, 32, 32), None, Intensity("zscore"))

    def shape(self, case: str) -> Shape3:
        return (34, 34, 36)

    def spacing(self, case: str) -> None:
        return None

    def read(self, case: str, start: Shape3, size: Shape3) -> np.ndarray:
        return np.random.default_rng(len(case)).standard_normal((1, *size)).astype(np.float16)

    def fields(self, case: str) -> dict[str, str]:
        return {"modality": "CT"}


def test_a_missing_family_is_noted_in_what_pre_training_leaves(tmp_path: Path) -> None:
    config = dataclasses.replace(METHOD.tiny, steps=2, workers=0)
    key, folder = {"pretrain": "key"}, {"pretrain": tmp_path / "run"}
    pretrain(METHOD, "ar", {"pretrain": config}, Single(), Single.sight, key, folder, Hardware(device="cpu"))
    (note,) = json.loads((tmp_path / "run" / "trained.json").read_text())["notes"]
    assert note.startswith("the corpus offers no contrast sequences") and note.endswith("pre-trained without them")
