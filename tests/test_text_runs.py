"""Reports, prompts and retrieval from end to end through the command line: what a run leaves, and that it holds when verified."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.contracts.record import Cell
from bench.store import Store
from tests.command_line import TINY, bench
from tests.nets.bert_folder import write_bert

SHORT = ("--phantom", *TINY)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("text") / "results"


def run(results: Path, method: str, task: str, *words: str) -> Cell:
    told: dict[str, Any] = bench(
        "run", "--method", method, "--task", task, *SHORT, "--results", results, "--json", *words
    ).value
    assert told["source"] == "phantom" and told["n"] > 0
    return Store(results).read(told["cell"])


def verified(results: Path, cell: Cell) -> None:
    report = bench("verify", cell.name, "--results", results, "--json").value
    verdicts = {check["name"]: check["verdict"] for check in report["checks"]}
    assert all(verdicts[name] == "ok" for name in ("cases", "predictions", "scores", "rescored")), verdicts


def texts_of(results: Path, dataset: str) -> list[str]:
    """Every report of a phantom, as its owners' table would hold it."""
    folder = results / "runs" / "phantoms" / "smoke" / dataset
    content = json.loads((folder / "chest_ctrg_nitfy_ori_split.json").read_text())
    return [item["report"] for part in content.values() for item in part]


@pytest.mark.slow
def test_a_report_run_holds_both_references_and_no_word_of_the_true_reports(results: Path) -> None:
    cell = run(results, "unet3d_scratch", "ctrg_report")
    assert cell.metrics == ("bleu-1", "bleu-2", "bleu-3", "bleu-4", "rouge-l") and set(cell.scores) == set(cell.metrics)
    assert set(cell.class_scores) == {"reference", "decoded"} and cell.counts["truncated"] > 0
    assert cell.config["finetune"]["tokenisation"] == "report" and any("sha256" in note for note in cell.notes)
    verified(results, cell)
    left = "".join(
        path.read_text(errors="replace")
        for folder in ("cells", "runs/predict", "runs/finetune")
        for path in (results / folder).rglob("*.json*")
    )
    assert not any(text[:60] in left for text in texts_of(results, "CTRG-Chest-548K"))


@pytest.mark.slow
def test_prompts_are_scored_per_volume_and_per_scan(results: Path) -> None:
    cell = run(results, "unet3d_scratch", "ctrate_prompts")
    assert set(cell.scores) == {"auc", "auc@scan"} and len(cell.classes) == 18
    assert 0 < cell.counts["scans"] < cell.n
    verified(results, cell)


@pytest.mark.slow
def test_a_method_that_reads_text_is_judged_without_training_and_after_it(results: Path) -> None:
    bare = run(results, "mg3d", "ctrate_retrieval")
    assert any("no step was taken" in note for note in bare.differs)
    assert bare.counts["gallery"] == bare.n and bare.counts["gallery_unique"] < bare.n
    assert bare.class_scores["chance"]["recall@5"] == pytest.approx(5 / bare.n)
    assert bare.scores["recall@50"] is None and bare.counts["n_undefined_recall@50"] > 0
    assert bare.class_scores["chance"]["recall-fused@5"] == bare.class_scores["chance"]["recall@5"]
    assert bare.scores["recall-fused@5"] is not None and bare.counts["n_undefined_recall-fused@50"] > 0
    left_out = run(results, "mg3d", "ctrate_retrieval", "--set", "fused=false")
    assert left_out.keys["finetune"] == bare.keys["finetune"] and left_out.scores["recall-fused@5"] is None
    assert left_out.scores["recall@5"] == bare.scores["recall@5"]
    verified(results, bare)
    zero_shot, tuned = run(results, "mg3d", "ctrate_prompts@zero_shot"), run(results, "mg3d", "ctrate_prompts")
    assert zero_shot.keys["pretrain:pretrain"] == tuned.keys["pretrain:pretrain"] == bare.keys["pretrain:pretrain"]
    assert zero_shot.training["finetune"]["steps"] == 0 < tuned.training["finetune"]["steps"]
    assert zero_shot.scores != tuned.scores
    assert sum("the encoder's own text tower" in note for note in tuned.differs) == 1


@pytest.mark.slow
def test_under_the_papers_protocol_findings_are_told_by_fused_volumes(results: Path) -> None:
    fused = run(results, "mg3d", "ctrate_prompts", "--protocol", "mg3d")
    assert any("guide the volume" in note for note in fused.differs) and any(
        "free to learn" in note for note in fused.differs
    )
    verified(results, fused)


@pytest.mark.slow
def test_a_text_tower_from_elsewhere_stands_in_the_record_and_holds_when_verified(
    results: Path, tmp_path: Path
) -> None:
    folder = write_bert(tmp_path / "bert")
    words = ("--set", f"text_tower={folder}", "--set", "text_tower_length=64")
    cell = run(results, "mg3d", "ctrate_prompts", *words)
    own = run(results, "mg3d", "ctrate_prompts")
    assert (
        cell.keys["pretrain:pretrain"] == own.keys["pretrain:pretrain"]
        and cell.keys["finetune"] != own.keys["finetune"]
    )
    assert any("BERT in text_tower (sha256 of its weights" in note for note in cell.differs)
    assert cell.config["finetune"]["text_tower_length"] == 64
    verified(results, cell)


def test_a_text_tower_that_is_none_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    words = ("--method", "mae3d", "--task", "ctrate_retrieval@finetune_1000", "--corpus", "own", "--preset", "tiny")
    where = ("--phantom", "--results", tmp_path / "results", "--set", f"text_tower={tmp_path}")
    error = bench("run", *words, *where, "--json").error
    assert "lacks config.json" in error["message"] and error["case"] == str(tmp_path)
    assert not (tmp_path / "results" / "runs" / "pretrain").exists()


def test_an_encoder_without_text_is_refused_with_the_way_out(tmp_path: Path) -> None:
    words = ("--method", "mae3d", "--task", "ctrate_retrieval", *SHORT, "--results", tmp_path)
    error = bench("run", *words, "--json").error
    assert not any(tmp_path.iterdir())
    assert "reads no text" in error["message"] and "ctrate_retrieval@finetune_1000" in error["remedy"]
