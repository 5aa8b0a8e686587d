"""How retrieval is trained and selected: whole batches, and the rank of a report's volume, not of a volume's report."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tasks.kinds import pairing, prompts, retrieval
from tests.tasks.test_pair_kinds import RETRIEVAL, Both, Cases, setup


def test_a_contrast_needs_its_whole_batch_and_a_volume_beside_two_sentences_does_not() -> None:
    made = setup(RETRIEVAL, "finetune_1000")
    assert not retrieval.training_phase(made, retrieval.build_net(made, Both(), "unetr", 0)).splits_batch
    assert prompts.training_phase(setup(), prompts.build_net(setup(), Both(), "unetr", 0)).splits_batch


def test_weights_are_selected_by_where_each_report_finds_its_volume(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first report is equally like both volumes, the second like neither: both own ones stand second, 1/2. Asked the other
    way round the first volume would find its report at once."""
    made, cases = setup(RETRIEVAL), Cases(["cardiomegaly", "emphysema"])
    net: Any = retrieval.build_net(made, Both(), "unetr", 0)
    monkeypatch.setattr(pairing, "image_vectors", lambda *asked: torch.tensor([[1.0, 0.0], [1.0, 0.0]]))
    monkeypatch.setattr(net, "text", lambda features: torch.eye(2))
    assert retrieval.evaluate(made, net, cases) == 0.5
