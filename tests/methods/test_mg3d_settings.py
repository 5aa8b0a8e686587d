"""MG-3D's settings, each of which is a row of Sec. 7 of its fidelity spec, reach the place that they speak of."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from bench.nets.swin3d import OFFSETS, Merging, PatchMerging
from methods.mg3d import MG3D
from methods.parts.alignment import batch_contrast
from methods.parts.fusion import FusionLayer, MixingAttention, SigmoidGate, ValueAttention
from tests.methods.volumes_with_reports import batch_of, made


def patients(cosine: float, sentences: int = 1) -> Tensor:
    """Two patients whose sentences, alike within a patient, have this cosine between them: (2, S, 2)."""
    one, other = torch.tensor([1.0, 0.0]), torch.tensor([cosine, math.sqrt(1 - cosine**2)])
    return torch.stack([one.expand(sentences, -1), other.expand(sentences, -1)])


@torch.no_grad()
def test_terms_within_a_patient_and_between_patients_have_a_weight_each() -> None:
    plain, weighted = made(intra_weight=1.0, inter_weight=1.0), made(intra_weight=0.5, inter_weight=0.25)
    batch = batch_of(plain)
    found = []
    for method in (plain, weighted):
        torch.manual_seed(3)
        found.append(method.loss(batch))
    shares = {name: float(found[1][name] / found[0][name]) for name in ("mim", "mlm", "sfr", "cml", "ssm", "dfa")}
    expected = {"mim": 1.0, "mlm": 1.0, "sfr": 0.5, "cml": 0.5, "ssm": 0.25, "dfa": 0.25}
    assert shares == pytest.approx(expected, rel=1e-4)


def test_a_loss_that_contrasts_patients_is_never_split_into_parts_of_a_batch_and_may_be_gathered() -> None:
    phase = made().phases[0]
    assert not phase.splits_batch and phase.gathers


@pytest.mark.parametrize("detached", [False, True])
def test_the_released_code_gives_the_text_projection_no_gradient_from_contrasts(detached: bool) -> None:
    method = made(terms=("cml", "ssm", "dfa"), detached_sentences=detached)
    losses = method.loss(batch_of(method))
    torch.stack([losses[name] for name in ("cml", "ssm", "dfa")]).sum().backward()
    assert (method.encoder.say.weight.grad is None) == detached
    assert method.encoder.see.weight.grad is not None


@torch.no_grad()
def test_padded_words_guide_only_where_padding_is_not_masked() -> None:
    for masked in (True, False):
        method = made(mask_padding=masked)
        batch = batch_of(method)
        padding = batch["words"] == method.encoder.text.tokeniser.padding
        assert bool(padding.any())
        assert bool(method.read(batch).word_shown[padding].any()) == (not masked)


@torch.no_grad()
def test_sentences_are_held_against_the_informed_volume_where_it_is_asked_for() -> None:
    for image in ("volume", "informed"):
        method = made(dfa_image=image)
        batch = batch_of(method)
        report, seen = method.read(batch), method.encoder.look(batch["volume"])
        shown, plain = report.sentence_shown, method.encoder.image_pool(seen)
        everywhere = torch.ones(seen.shape[:2], dtype=torch.bool)
        informed = method.informed_image_pool(method.volume_stack(seen, report.sentences, everywhere, shown)[0])
        assert not torch.allclose(informed, plain, atol=1e-2)
        views = method.dfa_heads[0](
            method.views_pool(method.sentence_views(report.sentences, shown, seen, plain), shown)
        )
        side = method.dfa_heads[1](plain if image == "volume" else informed)
        ways = [float(batch_contrast(a, b, temperature=0.1)) for a, b in ((views, side), (side, views))]
        found = float(method.align(seen, report, batch)["dfa"])
        assert found == pytest.approx(0.1 * sum(ways) / 2, abs=1e-5)


@torch.no_grad()
def test_plain_features_ask_informed_ones_and_both_ask_where_it_is_symmetric() -> None:
    method, both = made(), made(cml_symmetric=True)
    torch.manual_seed(1)
    plain, fused = ((torch.randn(4, 48), torch.randn(4, 48)) for _ in range(2))
    pairs = [
        (method.encoder.image_head(plain[0]), method.cml_heads[0](fused[0])),
        (method.encoder.text_head(plain[1]), method.cml_heads[1](fused[1])),
    ]
    there = sum(float(batch_contrast(a, b, temperature=0.1)) for a, b in pairs)
    back = sum(float(batch_contrast(b, a, temperature=0.1)) for a, b in pairs)
    assert float(method.contrast_modalities(plain, fused)) == pytest.approx(there, rel=1e-5)
    assert float(both.contrast_modalities(plain, fused)) == pytest.approx((there + back) / 2, rel=1e-5)


@torch.no_grad()
def test_joined_features_are_contrasted_both_ways_and_plain_ones_beside_them_where_it_is_asked_for() -> None:
    torch.manual_seed(1)
    plain, fused = ((torch.randn(4, 48), torch.randn(4, 48)) for _ in range(2))
    for direct in (False, True):
        method = made(cml="joined", cml_direct=direct)
        pairs = [[head(torch.cat(pair, -1)) for head, pair in zip(method.cml_heads, (plain, fused), strict=True)]]
        if direct:
            pairs.append([method.encoder.image_head(plain[0]), method.encoder.text_head(plain[1])])
        ways = [float(batch_contrast(a, b, temperature=0.1)) for x, y in pairs for a, b in ((x, y), (y, x))]
        assert float(method.contrast_modalities(plain, fused)) == pytest.approx(sum(ways) / 2, rel=1e-5)


@torch.no_grad()
def test_similarities_are_compared_softly_or_by_thresholds_and_averaged_or_summed() -> None:
    """Texts of cosine 0.3 against views of 0.5: 0.2, or by the released code 0.5 from a target of 0; nine pairs of sentences."""
    seen, said, shown = patients(0.5, 3), patients(0.3, 3), torch.ones(2, 3, dtype=torch.bool)
    for changes, expected in (
        ({}, 0.2),
        ({"ssm_target": "thresholded"}, 0.5),
        ({"ssm_reduction": "sum", "sfr_reduction": "mean"}, 9 * 0.2),
    ):
        method = made(terms=("ssm",), **changes)
        assert float(method.match_similarities(seen, said, shown)) == pytest.approx(expected, abs=1e-5)


@torch.no_grad()
def test_sentences_of_ssm_stop_at_the_embedding_layer_with_their_marks_where_the_released_code_does() -> None:
    method = made(terms=("ssm",), ssm_text="embedding")
    text, batch = method.encoder.text, batch_of(method)
    found = method.separate_sentences(batch)
    for row in range(4):
        for number in range(1, int(batch["apart_group"][row].max()) + 1):
            own = batch["apart_group"][row] == number
            words = batch["apart_words"][row][own]
            assert (int(words[0]), int(words[-1])) == (text.tokeniser.start, text.tokeniser.end)
            mean = text.embed(words[None], torch.arange(len(words))[None])[0].mean(0)
            torch.testing.assert_close(found[row, number - 1], mean, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(made(terms=("ssm",)).separate_sentences(batch), found, atol=1e-2)


def test_sentences_are_restored_in_eight_features_from_the_embedding_layer_where_the_released_code_does() -> None:
    """Row 11: both sides are projected and both projections learn; what is restored is the mean of a sentence's embeddings."""
    method = made(terms=("sfr",), sfr_space="projected")
    batch = batch_of(method)
    report, gaps = method.read(batch), []
    transformed = torch.randn(*batch["words"].shape, method.encoder.text.width)
    for i in range(4):
        embedded = method.encoder.text.embed(batch["words"][i : i + 1], torch.arange(batch["words"].shape[1])[None])[0]
        for s in range(1, int(batch["sentence"][i].max()) + 1):
            own = batch["sentence"][i] == s
            found, target = method.sfr_project(transformed[i][own].mean(0)), method.sfr_target(embedded[own].mean(0))
            assert found.shape == target.shape == (8,)
            gaps.append(1 - torch.cosine_similarity(found, target, dim=0))
    loss = method.rebuild_sentences(transformed, report, batch["words"])
    assert float(loss.detach()) == pytest.approx(float(torch.stack(gaps).sum().detach()) / 4, rel=1e-4)
    loss.backward()
    for part in (method.sfr_project, method.sfr_target):
        assert all(p.grad is not None and bool(p.grad.any()) for p in part.parameters() if p.ndim > 1)


@torch.no_grad()
def test_views_are_compared_as_they_are_or_behind_the_head_of_the_released_code() -> None:
    """Row 17: Linear, a norm of each sentence, GELU, Linear to 128, tanh; or that last width by a Linear alone."""
    views = torch.randn(2, 3, 48)
    assert made(terms=("ssm",)).ssm_project(views) is views
    assert made(terms=("ssm",), ssm_head="linear").ssm_project(views).shape == (2, 3, 128)
    head = made(terms=("ssm",), ssm_head="released").ssm_project
    assert isinstance(head, torch.nn.Sequential)
    inner = head[0](views)
    normed = (inner - inner.mean(-1, keepdim=True)) / (inner.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt()
    assert inner.shape[-1] == 384
    expected = torch.tanh(head[3](torch.nn.functional.gelu(normed)))
    torch.testing.assert_close(head(views), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("twice", [False, True])
@torch.no_grad()
def test_the_image_is_projected_twice_for_contrasts_where_the_released_code_does(twice: bool) -> None:
    method, pooled = made(width=96, projected_twice=twice), list[Tensor]()
    batch = batch_of(method)
    image = method.encoder.look(batch["volume"])
    method.encoder.image_pool.register_forward_pre_hook(lambda _m, given: pooled.append(given[0]))
    method.align(image, method.read(batch), batch)
    again = method.encoder.see(image) + method.encoder.modality.weight[1]
    assert torch.equal(pooled[0], again if twice else image)


@torch.no_grad()
def test_finer_maps_of_the_u_net_are_averaged_to_a_token_of_32_voxels() -> None:
    """Its last map has stride 8: a token is the mean of 4 x 4 x 4 cells."""
    method = made(encoder="unet3d")
    volume = batch_of(method)["volume"][:1]
    coarsest = method.encoder.vision(volume).maps[-1][0]
    cells = [coarsest[:, :, :, 4 * k : 4 * k + 4].mean((1, 2, 3)) for k in range(2)]  # a crop of 32 x 32 x 64
    assert coarsest.shape[1:] == (4, 4, 8)
    expected = method.encoder.see(torch.stack(cells)) + method.encoder.modality.weight[1]
    torch.testing.assert_close(method.encoder.look(volume)[0], expected, atol=1e-5, rtol=1e-5)


def test_each_stack_has_the_attention_of_its_own_setting_and_views_are_centred_as_asked() -> None:
    kinds = {"proposed": ValueAttention, "classical": MixingAttention}
    for volume, word in (("proposed", "classical"), ("classical", "proposed")):
        method = made(volume_attention=volume, word_attention=word)
        assert crosses(method, "volume_stack") == {kinds[volume]} and crosses(method, "word_stack") == {kinds[word]}
    method = made(volume_attention="gate")
    assert isinstance(method.volume_stack.first[0], SigmoidGate) and isinstance(method.word_stack.first[0], FusionLayer)
    assert made().sentence_views.centred and not made(centred=False).sentence_views.centred


def crosses(method: MG3D, stack: str) -> set[type]:
    layers = getattr(method, stack).first
    return {type(layer.cross) for layer in layers}


@pytest.mark.parametrize("merging", ["legacy", "fixed", "v2"])
def test_every_stage_of_the_encoder_merges_as_the_settings_say(merging: Merging) -> None:
    """Check 1: shapes and counts can't tell mergings apart."""
    vision = made(merging=merging).encoder.vision
    found = [part.offsets for part in vision.modules() if isinstance(part, PatchMerging)]
    assert found == 4 * [OFFSETS[merging]]


def test_the_numbers_of_the_fusion_reach_both_stacks() -> None:
    method = made(fusion_depth=3, fusion_heads=6, fusion_dropout=0.3)
    for stack in (method.volume_stack, method.word_stack):
        assert len(stack.first) == 3
        for layer in stack.first:
            assert isinstance(layer, FusionLayer)
            assert (layer.attention.heads, layer.dropout.p) == (6, 0.3)


@torch.no_grad()
def test_the_temperature_is_that_of_every_contrast() -> None:
    method = made(temperature=0.5)
    torch.manual_seed(1)
    left, right = torch.randn(4, 48), torch.randn(4, 48)
    pairs = [
        (method.encoder.image_head(left), method.cml_heads[0](right)),
        (method.encoder.text_head(left), method.cml_heads[1](right)),
    ]
    expected = sum(float(batch_contrast(a, b, temperature=0.5)) for a, b in pairs)
    assert float(method.contrast_modalities((left, left), (right, right))) == pytest.approx(expected, rel=1e-5)
    views, side = method.dfa_heads[0](left), method.dfa_heads[1](right)
    ways = [float(batch_contrast(a, b, temperature=0.5)) for a, b in ((views, side), (side, views))]
    assert float(method.agree(left, right)) == pytest.approx(sum(ways) / 2, rel=1e-5)


def test_as_many_blocks_are_hidden_and_as_much_of_a_volume_is_kept_as_the_settings_say() -> None:
    method = made(block_ratio=0.25, middle_share=(0.5, 0.25, 1.0))
    assert method.hide(2, torch.device("cpu")).float().mean((1, 2, 3, 4)).tolist() == [0.25, 0.25]
    assert method.phases[0].views.volume.share == (0.5, 0.25, 1.0)  # type: ignore[attr-defined]


@pytest.mark.parametrize("form", ["gate", "eq11_gate"])
@torch.no_grad()
def test_what_stands_for_the_image_in_a_gate_is_its_pooled_feature(form: str) -> None:
    """F_I, behind its Linear and tanh (row 17)."""
    method, pooled = made(terms=("ssm",), sentence_views=form), list[Tensor]()
    batch = batch_of(method)
    method.sentence_views.register_forward_pre_hook(lambda _m, given: pooled.append(given[3]))
    method.loss(batch)
    assert torch.equal(pooled[0], method.encoder.image_pool(method.encoder.look(batch["volume"])))
