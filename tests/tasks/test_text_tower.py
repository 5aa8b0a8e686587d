"""A text tower from elsewhere: a BERT on disk reads prompts and reports in place of the encoder's own tower (MG-3D's row 33)."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bench import registry
from bench.contracts.deciding import deciding
from bench.contracts.errors import DataMissing, SpecError
from bench.contracts.method import Encoder
from bench.contracts.recipes import PromptRecipe
from bench.finetune import training_job
from bench.nets.text_tower import TextTower
from bench.spec import RunSpec
from bench.text_words import demand_tower
from bench.train.hardware import Hardware
from tasks.kinds import pairing, prompts, retrieval
from tests.nets.bert_folder import write_bert
from tests.tasks.test_pair_kinds import CASES, RETRIEVAL, Both, Cases, Images, learnt, setup

TEXTS = ["No effusion.", "Two small nodules in the right lung, stable.", "", "Heart of normal size."]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_bert(tmp_path_factory.mktemp("bert")))


def test_a_text_is_the_last_layer_at_its_first_mark_whatever_stands_beside_it(folder: str) -> None:
    from transformers import BertModel, BertTokenizerFast

    tower = TextTower(folder, 100)
    bert = BertModel.from_pretrained(folder).eval()
    pieces = BertTokenizerFast(vocab=f"{folder}/vocab.txt", do_lower_case=True)
    found = tower.describe(TEXTS)
    for text, own in zip(TEXTS, found, strict=True):
        with torch.no_grad():
            slow = bert(**pieces(text, return_tensors="pt")).last_hidden_state[0, 0]
        torch.testing.assert_close(own, slow, atol=1e-5, rtol=1e-5)
    assert tower.describe([]).shape == (0, 32)


def test_what_lies_past_the_tokens_that_it_reads_counts_nothing(folder: str) -> None:
    tower = TextTower(folder, 6)
    first, second, other = tower.describe(
        ["two small clear lung lobe effusion", "two small clear lung liver heart", "two small clear heart"]
    )
    assert torch.equal(first, second) and not torch.allclose(first, other, atol=1e-3)
    with pytest.raises(SpecError, match="reads 3 to 128 tokens, asked for 129"):
        TextTower(folder, 129)


@pytest.mark.parametrize("encoder", [Both, Images])
def test_the_tower_that_is_given_reads_for_any_encoder_and_both_maps_are_drawn(
    folder: str, encoder: type[Encoder]
) -> None:
    made = setup(text_tower=folder, text_tower_length=100)
    net = prompts.build_net(made, encoder(), "unetr", 0)
    tower = TextTower(folder, 100)
    torch.testing.assert_close(net.features_of(TEXTS, torch.device("cpu")), tower.describe(TEXTS))
    assert net.text_map.weight.shape == (32, 32) and not torch.equal(net.text_map.weight, torch.eye(32))
    assert net.image(net.tower(torch.rand(2, 1, 8, 8, 8))).shape == (2, 32)
    again = prompts.build_net(made, encoder(), "unetr", 0)
    assert torch.equal(net.text_map.weight, again.text_map.weight)


def test_findings_are_learnt_from_what_the_tower_reads_and_it_stays_as_it_was(folder: str) -> None:
    made = setup(text_tower=folder, text_tower_length=100, log_scale=2.0)
    net = prompts.build_net(made, Both(), "unetr", 0)
    before = {name: tensor.clone() for name, tensor in net.reader.state_dict().items()}
    curve = learnt(prompts, made, net.train(), CASES, steps=100, lr=0.02)
    assert curve[-1] < 0.7 * curve[0]
    assert all(torch.equal(before[name], tensor) for name, tensor in net.reader.state_dict().items())
    made = setup(RETRIEVAL, "finetune_1000", text_tower=folder, text_tower_length=100, log_scale=2.0)
    curve = learnt(
        retrieval, made, retrieval.build_net(made, Both(), "unetr", 0), Cases(["emphysema", "consolidation"])
    )
    assert curve[-1] < curve[0]


def test_the_record_tells_what_reads_the_texts(folder: str) -> None:
    found = [
        pairing.told(prompts.build_net(setup(**changes), encoder, "unetr", 0))[0]
        for encoder, changes in (
            (Both(), {"text_tower": folder, "text_tower_length": 100}),
            (Both(), {}),
            (Images(), {}),
        )
    ]
    assert "BERT in text_tower (sha256 of its weights " in found[0]
    assert "the encoder's own text tower" in found[1] and "CT-CLIP" in found[1]
    assert "vectors of their spelling" in found[2]


def planned(task: str, target: str, tower: str, length: int = 100) -> None:
    """Look at the words of a run with a text tower, before anything is trained."""
    spec = RunSpec(method="mg3d", task=task, target=target)
    demand_tower(spec, registry.task(task), target, PromptRecipe(text_tower=tower, text_tower_length=length))


def test_where_nothing_is_learnt_no_tower_from_elsewhere_can_read(folder: str) -> None:
    with pytest.raises(SpecError, match=r"shares no space with the encoder.*--task ctrate_prompts\.$"):
        planned("ctrate_prompts", "zero_shot", folder)
    with pytest.raises(SpecError, match="--task ctrate_retrieval@finetune_1000"):
        planned("ctrate_retrieval", "", folder)
    planned("ctrate_retrieval", "finetune_1000", folder)
    planned("ctrate_retrieval", "", "")


def test_a_folder_without_a_bert_says_what_it_lacks(tmp_path: Path, folder: str) -> None:
    with pytest.raises(DataMissing, match=r"lacks config\.json, vocab\.txt, model\.safetensors or pytorch_model\.bin"):
        planned("ctrate_prompts", "", str(tmp_path))
    with pytest.raises(SpecError, match="reads 3 to 128 tokens, asked for 2"):
        planned("ctrate_prompts", "", folder, length=2)
    for text, problem in (
        ("{", "config.json is damaged: Expecting"),
        ("[]", "is damaged: it is a list"),
        ("{}", "a 'bert'"),
    ):
        other = write_bert(tmp_path / "bert")
        (other / "config.json").write_text(text)
        with pytest.raises(SpecError, match=problem):
            planned("ctrate_prompts", "", str(other))


def test_ct_clips_own_weights_lie_beside_cxr_berts_words(tmp_path: Path, folder: str) -> None:
    other = write_bert(tmp_path / "ct_clip", prefix="text_transformer.", binary=True)
    torch.testing.assert_close(TextTower(str(other), 100).describe(TEXTS), TextTower(folder, 100).describe(TEXTS))


def test_only_a_tower_that_is_given_enters_the_key_and_by_its_content(tmp_path: Path, folder: str) -> None:
    bare = deciding(PromptRecipe())
    assert not {"text_tower", "text_tower_length"} & set(bare)
    here, there = (deciding(PromptRecipe(text_tower=place)) for place in (folder, str(write_bert(tmp_path / "b"))))
    assert here == there and len(here["text_tower"]) == 64
    assert here != deciding(PromptRecipe(text_tower=str(write_bert(tmp_path / "c", width=64))))


def test_a_job_with_a_tower_trains_the_maps_alone(folder: str, tmp_path: Path) -> None:
    made = setup(text_tower=folder, text_tower_length=100)
    net = prompts.build_net(made, Images(), "unetr", 0)
    cases = Cases(["emphysema", "consolidation"])
    cases.subset = lambda wanted: cases  # type: ignore[attr-defined]
    parts = {"train": cases.cases, "val": ()}
    job, _ = training_job(net, made, prompts, cases, parts, "k", tmp_path, Hardware(device="cpu"))
    moved = {id(p) for group in job.groups(job.phase.turns[0]) for p in group["params"] if p.requires_grad}
    assert moved == {id(p) for p in (*net.image_map.parameters(), *net.text_map.parameters(), net.log_scale)}
