"""What MG-3D may see of what it must restore: L_MIM, L_MLM and L_SFR restated report by report in slow lines, and nothing
hidden reaches the network (rows 5 and 6, checks 9 and 11 of its fidelity spec).

The slow lines take one patient at a time, without padding; they use the network's layers and none of its bookkeeping.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench.contracts.method import Batch
from methods.mg3d import METHOD, MG3D
from methods.parts.losses import NOT_HIDDEN
from tests.methods.volumes_with_reports import Reported, batch_of, made
from tests.nets.bert_folder import write_bert

GUIDES = ["sentence", "word", "word_stack"]


def everyone(tokens: Tensor) -> Tensor:
    return torch.ones(tokens.shape[:2], dtype=torch.bool)


def with_fixed_mask(monkeypatch: pytest.MonkeyPatch, method: MG3D) -> Tensor:
    """The blocks that are hidden from now on, (4, 1, D, H, W)."""
    hidden = method.hide(4, torch.device("cpu"))
    monkeypatch.setattr(method, "hide", lambda *_: hidden)
    return hidden


def image_tokens(method: MG3D, volume: Tensor) -> Tensor:
    """(1, D, H, W) -> (1, N, W): the last map cell by cell, each projected, with the embedding of images added."""
    last = method.encoder.vision(volume[None]).maps[-1][0]
    _, d, h, w = last.shape
    cells = [last[:, i, j, k] for i in range(d) for j in range(h) for k in range(w)]
    return torch.stack([method.encoder.see(cell) + method.encoder.modality.weight[1] for cell in cells])[None]


def text_features(method: MG3D, ids: Tensor) -> Tensor:
    """Ids (L,) without padding -> the frozen encoder's last layer (L, E)."""
    return method.encoder.text(ids[None], torch.ones_like(ids)[None], torch.arange(len(ids))[None])[0]


def projected(method: MG3D, features: Tensor) -> Tensor:
    return torch.stack([method.encoder.say(f) + method.encoder.modality.weight[0] for f in features])


def means(features: Tensor, sentence: Tensor) -> Tensor:
    """The mean of each sentence's words, (S, ...)."""
    return torch.stack([features[sentence == s].mean(0) for s in range(1, int(sentence.max()) + 1)])


def words_of(method: MG3D, batch: Batch, i: int) -> tuple[Tensor, Tensor, Tensor]:
    """A report without its padding: the words, what the network is given in their place, each one's sentence."""
    length = int((batch["words"][i] != method.encoder.text.tokeniser.padding).sum())
    return batch["words"][i, :length], batch["corrupted"][i, :length], batch["sentence"][i, :length]


@contextmanager
def outputs(module: nn.Module) -> Iterator[list[Tensor]]:
    """What the module gives while this lasts."""
    seen: list[Tensor] = []
    hook = module.register_forward_hook(lambda _module, _given, out: seen.append(out.detach().clone()))
    yield seen
    hook.remove()


# Rebuilding voxels --------------------------------------------------------------------------------


@pytest.mark.parametrize("guide", GUIDES)
@torch.no_grad()
def test_l_mim_rebuilds_hidden_voxels_from_visible_ones_and_the_guide_that_is_asked_for(
    guide: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = made(terms=("mim",), mim_guide=guide)
    batch, hidden = batch_of(method), with_fixed_mask(monkeypatch, method)
    squares, voxels = 0.0, 0
    for i in range(4):
        volume = batch["volume"][i]
        visible = torch.where(hidden[i], torch.zeros_like(volume), volume)
        tokens = image_tokens(method, visible)
        words, _, sentence = words_of(method, batch, i)
        said = projected(method, text_features(method, words))
        if guide == "sentence":
            by = means(said, sentence)[None]
            informed = method.volume_stack(tokens, by, everyone(tokens), everyone(by))[0]
        elif guide == "word":
            informed = method.volume_stack(tokens, said[None], everyone(tokens), everyone(said[None]))[0]
        else:
            informed = method.word_stack(said[None], tokens, everyone(said[None]), everyone(tokens))[1]
        gaps = (method.mim_decoder(informed)[0] - volume)[hidden[i]]
        squares, voxels = squares + float(gaps.double().square().sum()), voxels + len(gaps)
    found = method.loss(batch)
    assert list(found) == ["mim"]
    assert float(found["mim"]) == pytest.approx(squares / voxels, rel=1e-4)


@torch.no_grad()
def test_every_channel_of_a_volume_is_rebuilt_and_counts_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = Reported()
    method = MG3D(METHOD.tiny, dataclasses.replace(corpus.sight, channels=3)).eval()
    method.fit(corpus)
    assert method.blank("pretrain")["volume"].shape == (1, 3, *METHOD.tiny.crop)
    batch, hidden = batch_of(method), with_fixed_mask(monkeypatch, method)
    batch["volume"] = torch.rand(4, 3, *METHOD.tiny.crop)
    with outputs(method.mim_decoder) as rebuilt:
        found = method.loss(batch)["mim"]
    assert rebuilt[0].shape == batch["volume"].shape
    squares = (rebuilt[0] - batch["volume"]).square()
    of_each = [float(squares[:, c][hidden[:, 0]].mean()) for c in range(3)]
    assert len(set(of_each)) == 3 and float(found) == pytest.approx(sum(of_each) / 3, rel=1e-5)


@pytest.mark.parametrize("guide", GUIDES)
@torch.no_grad()
def test_what_hidden_voxels_hold_changes_the_loss_and_no_bit_of_what_is_rebuilt(
    guide: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = made(terms=("mim",), mim_guide=guide)
    batch, hidden = batch_of(method), with_fixed_mask(monkeypatch, method)
    noise = torch.rand_like(batch["volume"])
    others = {
        "hidden": torch.where(hidden, noise, batch["volume"]),
        "seen": torch.where(hidden, batch["volume"], noise),
    }
    with outputs(method.mim_decoder) as rebuilt:
        losses = [float(method.loss({**batch, "volume": v})["mim"]) for v in (batch["volume"], *others.values())]
    assert torch.equal(rebuilt[0], rebuilt[1]) and abs(losses[0] - losses[1]) > 1e-3
    assert not torch.allclose(rebuilt[0], rebuilt[2], atol=1e-3)


@pytest.mark.parametrize("guide", GUIDES)
@torch.no_grad()
def test_the_guide_that_is_not_asked_for_changes_no_bit_of_what_is_rebuilt(
    guide: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 6: sentences guide, and words are kept from the stack; with words it is the other way round."""
    method = made(terms=("mim",), mim_guide=guide)
    batch, _ = batch_of(method), with_fixed_mask(monkeypatch, method)
    report = method.read(batch)
    with outputs(method.mim_decoder) as rebuilt:
        method.rebuild(batch["volume"], report)
        for name in ("sentences", "words"):
            other = torch.randn_like(getattr(report, name))
            method.rebuild(batch["volume"], dataclasses.replace(report, **{name: other}))
    moved = [not torch.equal(rebuilt[0], other) for other in rebuilt[1:]]
    assert moved == [guide == "sentence", guide != "sentence"]


def told_apart_by_reports(volume: Tensor, hidden: Tensor) -> tuple[Tensor, float]:
    """Two volumes that are alike where they are seen, and where they are hidden each bright in the half where the other is dark;
    and the least squared error of whoever does not know whose volume it is: the variance over both, at hidden voxels."""
    half = (torch.arange(64) // 32 * 2.0 - 1)[:, None]
    wave = 0.5 + 0.2 * torch.sin(torch.arange(64) / 64 * 6 * torch.pi)  # what both share
    content = (wave + 0.25 * torch.stack([half, -half])[:, None, None]).expand_as(volume)
    blind = ((content - content.mean(0)).square() * hidden).sum() / hidden.expand_as(volume).sum()
    return torch.where(hidden, content, volume[:1]), float(blind)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_where_only_the_report_tells_what_is_hidden_it_is_used_and_the_other_patients_report_rebuilds_it_worse(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check 9. Training goes on until the loss lies well below what can be reached without the report, whatever the draw.

    A report reaches a volume as one weight per token, near 1 at the start, so that reports are heard late, if ever. Queries eight
    times as long let them speak from the start, and the output begins at the mean of what is hidden, to which its bias would creep
    (81 to 181 updates in six draws of six).
    """
    method = made(seed, crop=(32, 64, 64), terms=("mim",)).train()
    batch = {name: part[:2] for name, part in batch_of(method).items()}
    hidden = method.hide(1, torch.device("cpu"))
    monkeypatch.setattr(method, "hide", lambda *_: hidden)
    batch["volume"], blind = told_apart_by_reports(batch["volume"], hidden)
    others = {name: part.flip(0) for name, part in batch.items()} | {"volume": batch["volume"]}
    with torch.no_grad():
        for layer in method.volume_stack.first:
            layer.cross.query.weight.mul_(8)
        method.mim_decoder.out.bias.fill_(0.5)
    optimizer = torch.optim.AdamW([p for p in method.parameters() if p.requires_grad], lr=2e-3)
    smooth, updates = 2 * blind, 0
    while smooth > 0.6 * blind and updates < 600:
        optimizer.zero_grad()
        loss = method.loss(batch)["mim"]
        loss.backward()
        optimizer.step()
        smooth, updates = 0.8 * smooth + 0.2 * float(loss.detach()), updates + 1
    assert smooth <= 0.6 * blind, "the report was not heard"
    with torch.no_grad():
        own, other = (float(method.eval().loss(given)["mim"]) for given in (batch, others))
    assert own < 0.7 * blind and other > 2 * own


# Restoring words ----------------------------------------------------------------------------------


def reader(kind: str, folder: Path, **changes: Any) -> MG3D:
    """A method that only restores words: with word vectors, or with a BERT, in which every word sees all others."""
    return made(text_folder=str(write_bert(folder)) if kind == "bert" else "", terms=("mlm", "sfr"), **changes)


@pytest.mark.parametrize("kind", ["words", "bert"])
@torch.no_grad()
def test_l_mlm_and_l_sfr_restore_a_report_from_its_corrupted_words_and_the_whole_volume(
    kind: str, tmp_path: Path
) -> None:
    method = reader(kind, tmp_path)
    batch = batch_of(method)
    surprise, gaps = [], []
    for i in range(4):
        words, corrupted, sentence = words_of(method, batch, i)
        tokens = image_tokens(method, batch["volume"][i])
        heard = projected(method, text_features(method, corrupted))[None]
        restored = method.word_stack(heard, tokens, everyone(heard), everyone(tokens))[0][0]
        transformed = torch.stack([method.mlm_transform(word) for word in restored])
        for place, hidden in zip(batch["hidden_place"][i].tolist(), batch["hidden_word"][i].tolist(), strict=True):
            if hidden != NOT_HIDDEN:
                assert hidden == int(words[place])
                surprise.append(-float(method.mlm_decoder(transformed[place]).log_softmax(0)[hidden]))
        found, original = means(transformed, sentence), means(text_features(method, words), sentence)
        gaps.append(
            sum(1 - float(f @ o / (f.norm() * o.norm())) for f, o in zip(found, original, strict=True))
        )  # of all sentences of a report
    losses = method.loss(batch)
    assert list(losses) == ["mlm", "sfr"]
    assert float(losses["mlm"]) == pytest.approx(sum(surprise) / len(surprise), rel=1e-4)
    assert float(losses["sfr"]) == pytest.approx(0.1 * sum(gaps) / 4, rel=1e-4)


def with_other_hidden_words(method: MG3D, batch: Batch) -> Batch:
    """The same reports with other words under every mask: all that is known of them changes, but not what is corrupted."""
    tokeniser = method.encoder.text.tokeniser
    words, hidden_word = batch["words"].clone(), batch["hidden_word"].clone()
    changed = 0
    for i in range(len(words)):
        for m in range(hidden_word.shape[1]):
            place = int(batch["hidden_place"][i, m])
            if hidden_word[i, m] != NOT_HIDDEN and batch["corrupted"][i, place] == tokeniser.mask:
                other = next(w for w in range(tokeniser.size) if w not in tokeniser.specials and w != words[i, place])
                words[i, place] = hidden_word[i, m] = other
                changed += 1
    assert changed >= 4
    return {**batch, "words": words, "hidden_word": hidden_word}


@pytest.mark.parametrize("kind", ["words", "bert"])
@torch.no_grad()
def test_what_stood_under_a_mask_changes_both_losses_and_no_bit_of_what_is_restored(kind: str, tmp_path: Path) -> None:
    method = reader(kind, tmp_path)
    batch = batch_of(method)
    place = batch["hidden_place"][0, 0]
    others = batch["corrupted"].clone()
    others[0, place - 1 if place > 1 else place + 1] = method.encoder.text.tokeniser.mask
    with outputs(method.mlm_transform) as restored:
        losses = [
            method.loss(b) for b in (batch, with_other_hidden_words(method, batch), {**batch, "corrupted": others})
        ]
    assert torch.equal(restored[0], restored[1])
    for name in ("mlm", "sfr"):
        assert abs(float(losses[0][name]) - float(losses[1][name])) > 1e-4, name
    assert not torch.allclose(restored[0], restored[2], atol=1e-3)


@torch.no_grad()
def test_words_are_restored_with_the_volume_in_sight(tmp_path: Path) -> None:
    method = reader("words", tmp_path)
    batch = batch_of(method)
    with outputs(method.mlm_transform) as restored:
        method.loss(batch)
        method.loss({**batch, "volume": batch["volume"].roll(1, 0)})
    assert not torch.allclose(restored[0], restored[1], atol=1e-4)
