"""How retrieval is trained and selected: whole batches, and the rank of a report's volume, not of a volume's report."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from tasks.kinds import pairing, prompts, retrieval
from tasks.kinds.scans import first_of_scan
from tests.tasks.test_pair_kinds import RETRIEVAL, Both, Cases, record, setup


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


def test_a_chance_is_the_softmax_of_both_cosines_times_the_scale_that_was_learnt(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"scale": 4.0, "cosines": {name: [0.5, 0.25] for name in setup().classes}}))
    (scored,) = prompts.score_cases(setup(), tmp_path, [record("a", [1] * 18)], None, [path])
    chances = [value for _, metric, value in scored.rows if metric == "score"]
    assert chances == pytest.approx([1 / (1 + math.exp(-4.0 * 0.25))] * 18)


def test_a_reconstruction_without_a_number_speaks_for_its_scan_before_numbered_ones() -> None:
    numbered, plain = record("v_1_a_1", scan="v_1_a", number=1), record("v_1_a", scan="v_1_a")
    plain = plain.model_copy(update={"meta": {"scan": "v_1_a"}})
    assert first_of_scan([numbered, plain]) == first_of_scan([plain, numbered]) == {"v_1_a"}
