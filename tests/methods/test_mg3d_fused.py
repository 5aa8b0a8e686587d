"""MG-3D's fused retrieval: a report guides a volume with the layers that pre-training left, and the encoder's file holds them
(row 34 and check 13 of its fidelity spec)."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from bench import registry
from bench.contracts.errors import EncoderMismatch
from bench.contracts.kind import Setup, make_setup
from bench.contracts.recipes import RetrievalInference, RetrievalRecipe
from bench.contracts.record import ImageFile, LabelFile, Record
from bench.pretrain import pretrain
from bench.train.checkpoint import load_weights
from bench.train.loop import Hardware
from methods.mg3d import METHOD, REF_CODE, build_encoder
from methods.parts.vision_language import VisionLanguageEncoder
from tasks.kinds import galleries, pairing, retrieval
from tests.methods.volumes_with_reports import REPORTS, Reported, batch_of, made, sight
from tests.nets.bert_folder import write_bert

MADE_UP = "informed_volume."


def encoder_of(method: Any) -> VisionLanguageEncoder:
    """What fine-tuning sees of a method: built anew, given the weights of its file."""
    encoder = build_encoder(method.config, sight())
    encoder.adopt({name: tensor.clone() for name, tensor in method.encoder.state_dict().items()})
    return encoder.eval()


def gallery_setup() -> Setup:
    task = registry.task("ctrate_retrieval")
    found = make_setup(
        task,
        "",
        task.protocols["bench"],
        preset="tiny",
        recipe=RetrievalRecipe(kept_share=(1.0, 1.0, 1.0)),
        inference=RetrievalInference(),
        multiple=(32, 32, 32),
    )
    return dataclasses.replace(found, sight=dataclasses.replace(found.sight, shape=METHOD.tiny.crop))


def pair_by_pair(method: Any, volumes: Tensor) -> np.ndarray[Any, Any]:
    """(n, n): one volume, one report as it is padded, one pass of the method's own layers at a time."""
    encoder, config = method.encoder, method.config
    found = np.zeros((len(REPORTS), len(volumes)))
    for i, text in enumerate(REPORTS.values()):
        rows = encoder.tokens.whole(text)
        report = encoder.read(*(torch.from_numpy(rows[name])[None].long() for name in ("words", "sentence")))
        assert report.sentences.shape[1] == config.text_sentences > int(report.sentence_shown.sum())
        said = encoder.text_head(encoder.text_pool(report.sentences, report.sentence_shown))
        for j, volume in enumerate(volumes):
            tokens = encoder.look(volume[None])
            everywhere = torch.ones(tokens.shape[:2], dtype=torch.bool)
            informed, _ = method.volume_stack(tokens, report.sentences, everywhere, report.sentence_shown)
            met = method.cml_heads[0](method.informed_image_pool(informed))
            found[i, j] = float(F.cosine_similarity(met, said)[0])
    return found


@torch.no_grad()
def test_all_pairs_at_once_are_what_the_methods_own_layers_give_pair_by_pair(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    method, corpus, task = made(), Reported(), gallery_setup()
    net = retrieval.build_net(task, encoder_of(method), "unetr", 0).eval()
    monkeypatch.setattr(retrieval, "PAIRS_AT_ONCE", 3)
    files = [tmp_path / f"{case}.npz" for case in corpus.cases]
    list(retrieval.predict_cases(task, net, corpus, list(zip(corpus.cases, files, strict=True))))
    view, to_range = pairing.view_of(task), pairing.prepare(task)
    stored = torch.from_numpy(np.stack([view.of(corpus, case) for case in corpus.cases]))
    slow = pair_by_pair(method, to_range({"volume": stored})["volume"])
    by_vectors, by_pairs = galleries.alike([record(case) for case in corpus.cases], files)
    assert by_pairs == pytest.approx(slow, abs=1e-4)
    assert by_vectors != pytest.approx(slow, abs=1e-2)
    assert slow.std(axis=1).min() > 1e-4  # volumes differ for one report, or there would be nothing to rank


@torch.no_grad()
def test_an_informed_volume_depends_on_its_report_and_on_no_other_volume_beside_it() -> None:
    encoder = encoder_of(made())
    seen = torch.randn(3, 2, 48)
    first, second = (encoder.informed(seen, REPORTS[case]) for case in ("a", "b"))
    assert not torch.allclose(first, second, atol=1e-3)
    torch.testing.assert_close(encoder.informed(seen[[2, 0]], REPORTS["a"]), first[[2, 0]], atol=1e-5, rtol=1e-5)
    assert torch.isfinite(encoder.informed(seen, "")).all()  # a text without a word


@torch.no_grad()
def test_what_tasks_ask_of_texts_is_the_same_in_training_and_after_though_pre_training_drops(tmp_path: Path) -> None:
    """The released code keeps the frozen BERT's dropout. Text features are worked out once, in train mode where the encoder is
    free to learn, and what they are held against is predicted in eval mode."""
    method = made(text_folder=str(write_bert(tmp_path)), text_dropout=True).train()
    encoder, texts = method.encoder, list(REPORTS.values())
    words = batch_of(method)["words"]
    asked = [encoder.describe, encoder.guides, lambda some: encoder.informed(torch.ones(2, 2, 48), some[0])]
    encoder.informed_volume.eval()  # its own dropout is another matter
    learning = [one(texts) for one in asked]
    assert not torch.equal(encoder.listen(words), encoder.listen(words))  # pre-training still drops
    encoder.eval()
    for one, found in zip(asked, learning, strict=True):
        assert torch.equal(one(texts), found)
    assert torch.equal(encoder.listen(words), encoder.listen(words))


def test_the_file_that_pre_training_leaves_brings_what_fuses(tmp_path: Path) -> None:
    corpus, config = Reported(), METHOD.tiny
    file = pretrain(
        METHOD,
        "mg3d",
        {"pretrain": config},
        corpus,
        sight(),
        {"pretrain": "k"},
        {"pretrain": tmp_path},
        Hardware(device="cpu"),
    )
    weights, whole = load_weights(file)[0], load_weights(tmp_path / "method.safetensors")[0]
    fusing = [name for name in weights if name.startswith(MADE_UP)]
    assert fusing
    for name in fusing:
        own = name.replace(f"{MADE_UP}stack.", "volume_stack.").replace(f"{MADE_UP}pool.", "informed_image_pool.")
        assert torch.equal(weights[name], whole[own.replace(f"{MADE_UP}head.", "cml_heads.0.")])
    start = dict(made().named_parameters())
    assert any(not torch.equal(start[f"encoder.{name}"], weights[name]) for name in fusing)


def test_weights_without_what_fuses_leave_an_encoder_that_does_not() -> None:
    method = made()
    weights = {name: t.clone() for name, t in method.encoder.state_dict().items() if not name.startswith(MADE_UP)}
    encoder = build_encoder(method.config, sight())
    assert encoder.fuses and METHOD.tiny.cml == "paper"
    with pytest.raises(EncoderMismatch):
        encoder.adopt({name: t for name, t in weights.items() if not name.startswith("say.")})
    assert encoder.fuses  # a refusal changes nothing
    encoder.adopt(weights)
    assert not encoder.fuses and not any(name.startswith(MADE_UP) for name in encoder.state_dict())
    again = build_encoder(method.config, sight())
    again.load_state_dict(encoder.state_dict())
    assert not again.fuses


def test_only_where_eq_7_ties_informed_to_plain_volumes_there_is_something_to_fuse_with() -> None:
    assert not made(terms=("mim", "mlm")).encoder.fuses
    assert not made(cml="joined").encoder.fuses and REF_CODE.cml == "joined"
    assert not build_encoder(dataclasses.replace(METHOD.tiny, terms=(), steps=0), sight()).fuses


def test_what_is_lent_to_the_encoder_learns_once_and_at_its_own_rate() -> None:
    method = made()
    parameters = list(method.parameters())
    assert len({id(p) for p in parameters}) == len(parameters)
    lent = [f"encoder.{MADE_UP}{part}." for part in ("stack", "pool", "head")]
    for slow, factors in (
        (("encoder.",), (1.0, 1.0, 1.0)),
        (("encoder.", "volume_stack."), (0.5, 1.0, 1.0)),
        (("cml_heads.",), (1.0, 1.0, 0.5)),
        (("cml_heads.1.", "informed_image_pool."), (1.0, 0.5, 1.0)),
    ):
        rates = made(slow_parts=slow, slow_lr=METHOD.tiny.lr / 2).phases[0].turns[0].rates
        assert tuple(rates[name] for name in lent) == factors
    loss = sum(method.train().loss(batch_of(method))[name] for name in ("mim", "cml"))
    assert isinstance(loss, Tensor)
    loss.backward()
    assert all(p.grad is not None for p in method.encoder.informed_volume.parameters())


def record(case: str) -> Record:
    return Record(
        dataset="made-up",
        adapter_version="1",
        case_id=case,
        patient_id=case,
        group=case,
        images=(ImageFile(path="a.nii.gz", format="nifti"),),
        label=LabelFile(kind="report"),
    )
