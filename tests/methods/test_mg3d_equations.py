"""MG-3D's equations, each restated in slow lines: what the vectorised losses must equal to 1e-5."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from methods.parts.alignment import batch_contrast
from methods.parts.fusion import FusionLayer, FusionStack, MixingAttention, SigmoidGate, ValueAttention
from methods.parts.losses import NOT_HIDDEN, hidden_voxel_error, reconstruction_gap, token_mean
from methods.parts.sentence_views import SentenceViews, similarity_gap
from tests.methods.volumes_with_reports import batch_of, made


def shown_rows(*lengths: int) -> Tensor:
    return torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]


def cos(a: Tensor, b: Tensor) -> float:
    return float(a.double() @ b.double() / (a.double().norm() * b.double().norm()))


def close(found: Tensor, expected: float) -> None:
    assert float(found) == pytest.approx(expected, abs=1e-5)


@torch.no_grad()
def test_equation_1_weighs_values_by_the_mean_over_guides_of_a_softmax_over_own_tokens() -> None:
    torch.manual_seed(0)
    attention = ValueAttention(12)
    own, guides, seen, guiding = torch.randn(2, 5, 12), torch.randn(2, 4, 12), shown_rows(5, 3), shown_rows(4, 2)
    found = attention(own, guides, seen, guiding)
    for i, (n_own, n_guides) in enumerate(((5, 4), (3, 2))):
        keys, values = attention.key(own[i, :n_own]), attention.value(own[i, :n_own])
        weights = torch.zeros(n_own)
        for b in range(n_guides):
            query = attention.query(guides[i, b])
            weights += torch.softmax(torch.stack([query @ key for key in keys]) / math.sqrt(12), 0) / n_guides
        assert float(weights.sum()) == pytest.approx(1.0, abs=1e-6)
        expected = torch.stack([n_own * weights[a] * values[a] for a in range(n_own)])
        torch.testing.assert_close(found[i, :n_own], expected, atol=1e-5, rtol=1e-5)


def test_the_classical_attention_mixes_what_the_guides_hold() -> None:
    torch.manual_seed(0)
    attention = MixingAttention(12)
    own, guides, guiding = torch.randn(2, 5, 12), torch.randn(2, 4, 12), shown_rows(4, 2)
    found = attention(own, guides, shown_rows(5, 5), guiding)
    for i, n_guides in enumerate((4, 2)):
        keys, values = attention.key(guides[i, :n_guides]), attention.value(guides[i, :n_guides])
        for a in range(5):
            share = torch.softmax(keys @ attention.query(own[i, a]) / math.sqrt(12), 0)
            torch.testing.assert_close(found[i, a], share @ values, atol=1e-5, rtol=1e-5)


def test_the_released_gate_is_a_scalar_on_each_value_and_knows_no_order_of_guides() -> None:
    torch.manual_seed(0)
    gate = SigmoidGate(12)
    own, guides, seen, guiding = torch.randn(1, 5, 12), torch.randn(1, 4, 12), shown_rows(5), shown_rows(4)
    found = gate(own, guides, seen, guiding)
    for a in range(5):
        scalar = torch.stack(
            [(gate.query(own[0, a]) @ gate.key(g) / math.sqrt(12)).sigmoid() for g in guides[0]]
        ).mean()
        torch.testing.assert_close(found[0, a], scalar * gate.value(own[0, a]), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(gate(own, guides.flip(1), seen, guiding), found, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(gate(own.flip(1), guides, seen, guiding).flip(1), found, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("cross", ["proposed", "classical", "gate"])
def test_padding_changes_nothing_in_a_stack_and_both_streams_start_from_the_layers_inputs(cross: str) -> None:
    torch.manual_seed(0)
    stack = FusionStack(16, depth=2, heads=4, cross=cross, dropout=0.1).eval()  # type: ignore[arg-type]
    first, second = torch.randn(1, 5, 16), torch.randn(1, 3, 16)
    alone = stack(first, second, shown_rows(5), shown_rows(3))
    padded = stack(
        torch.cat((first, torch.randn(1, 2, 16)), 1),
        torch.cat((second, torch.randn(1, 4, 16)), 1),
        torch.arange(7)[None] < 5,
        torch.arange(7)[None] < 3,
    )
    torch.testing.assert_close(padded[0][:, :5], alone[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(padded[1][:, :3], alone[1], atol=1e-5, rtol=1e-5)
    swapped = FusionStack(16, depth=2, heads=4, cross=cross, dropout=0.1).eval()  # type: ignore[arg-type]
    state = stack.state_dict()
    other = {"first": "second", "second": "first"}
    swapped.load_state_dict(
        {other[(k := n.partition(".")[0].partition("_")[0])] + n[len(k) :]: v for n, v in state.items()}
    )
    back = swapped(second, first, shown_rows(3), shown_rows(5))
    torch.testing.assert_close(back[1], alone[0], atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_a_stream_looks_at_itself_then_at_its_guides_and_is_worked_on_each_time_behind_a_norm_of_its_own() -> None:
    torch.manual_seed(0)
    layer = FusionLayer(16, 4, "proposed", dropout=0.1).eval()
    for norm in (part for part in layer.modules() if isinstance(part, nn.LayerNorm)):
        norm.weight.normal_(), norm.bias.normal_()  # or one could stand for another
    own, guides, seen, guiding = torch.randn(2, 5, 16), torch.randn(2, 3, 16), shown_rows(5, 5), shown_rows(3, 3)
    x = own + layer.attention(layer.norm_self(own))
    x = x + layer.cross(layer.norm_own(x), layer.norm_guides(guides), seen, guiding)
    expected = x + layer.mlp(layer.norm_mlp(x))
    torch.testing.assert_close(layer(own, guides, seen, guiding), expected, atol=1e-5, rtol=1e-5)


def test_the_output_of_each_part_of_a_layer_may_be_dropped() -> None:
    """Where all of it is, the stream passes as it came."""
    torch.manual_seed(0)
    own, guides = torch.randn(2, 5, 16), torch.randn(2, 3, 16)
    layer = FusionLayer(16, 4, "proposed", dropout=1.0).train()
    assert torch.equal(layer(own, guides, shown_rows(5, 5), shown_rows(3, 3)), own)


def test_stacks_and_views_start_xavier_without_biases_and_the_released_gates_as_pytorch_does() -> None:
    """Uniform up to sqrt(6 / (in + out)) = 0.3062 for 32 numbers to 32, against 1 / sqrt(32) = 0.1768 with biases as large."""
    torch.manual_seed(0)
    gates = (FusionStack(32, depth=1, heads=4, cross="gate", dropout=0.0), SentenceViews(32, "gate"))
    others = (
        *(FusionStack(32, depth=1, heads=4, cross=cross, dropout=0.0) for cross in ("proposed", "classical")),  # type: ignore[arg-type]
        *(SentenceViews(32, form) for form in ("tokens", "eq11", "eq11_gate")),  # type: ignore[arg-type]
    )
    for module in (*gates, *others):
        for name, part in module.named_modules():
            if isinstance(part, nn.Linear) and name.rpartition(".")[2] in ("query", "key", "value"):
                bound = 0.1768 if module in gates else 0.3062
                assert 0.95 * bound < part.weight.abs().max() <= bound + 1e-4, name
                assert bool(part.bias.any()) == (module in gates), name


def test_what_only_an_unused_end_would_need_is_left_out() -> None:
    torch.manual_seed(0)
    whole = FusionStack(16, depth=2, heads=4, cross="proposed", dropout=0.0).eval()
    half = FusionStack(16, depth=2, heads=4, cross="proposed", dropout=0.0, both=False).eval()
    half.load_state_dict({name: whole.state_dict()[name] for name in half.state_dict()})
    streams = torch.randn(2, 5, 16), torch.randn(2, 3, 16), shown_rows(5, 5), shown_rows(3, 3)
    assert torch.equal(half(*streams)[0], whole(*streams)[0])
    assert half(*streams)[1] is None
    half(*streams)[0].square().sum().backward()
    assert all(p.grad is not None for p in half.parameters())


def test_equation_2_is_the_squared_error_of_hidden_voxels_alone() -> None:
    torch.manual_seed(0)
    volume, rebuilt, hidden = torch.rand(2, 1, 4, 4, 4), torch.rand(2, 1, 4, 4, 4), torch.rand(2, 1, 4, 4, 4) < 0.5
    places = hidden.nonzero().tolist()
    expected = sum((float(rebuilt[*p]) - float(volume[*p])) ** 2 for p in places) / len(places)
    close(hidden_voxel_error(rebuilt, volume, hidden), expected)


def test_equation_4_is_the_mean_over_hidden_words_of_the_whole_batch() -> None:
    torch.manual_seed(0)
    logits, words = torch.randn(2, 3, 7), torch.tensor([[1, 4, NOT_HIDDEN], [6, NOT_HIDDEN, NOT_HIDDEN]])
    taken = [(0, 0, 1), (0, 1, 4), (1, 0, 6)]
    expected = sum(-float(logits[b, m].log_softmax(0)[w]) for b, m, w in taken) / 3
    close(token_mean(logits, words), expected)
    assert float(token_mean(logits, torch.full_like(words, NOT_HIDDEN))) == 0.0


def test_equation_6_sums_over_sentences_and_averages_over_reports() -> None:
    torch.manual_seed(0)
    found, target, shown = torch.randn(2, 4, 6), torch.randn(2, 4, 6), shown_rows(4, 2)
    gaps = [[1 - cos(found[i, s], target[i, s]) for s in range(n)] for i, n in enumerate((4, 2))]
    close(reconstruction_gap(found, target, shown, "sum"), sum(map(sum, gaps)) / 2)
    close(reconstruction_gap(found, target, shown, "mean"), (sum(gaps[0]) / 4 + sum(gaps[1]) / 2) / 2)


def test_equations_7_8_and_13_are_cross_entropies_over_the_patients_of_a_batch() -> None:
    torch.manual_seed(0)
    anchors, candidates = torch.randn(5, 8), torch.randn(5, 8)
    terms = []
    for i in range(5):
        scores = [math.exp(cos(anchors[i], candidates[j]) / 0.1) for j in range(5)]
        terms.append(-math.log(scores[i] / sum(scores)))
    close(batch_contrast(anchors, candidates, temperature=0.1), sum(terms) / 5)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("thresholded", [False, True])
def test_equation_12_compares_the_sentences_of_every_two_patients(thresholded: bool, reduction: str) -> None:
    torch.manual_seed(0)
    lengths = (4, 2, 3)
    common = torch.randn(6)
    views, texts, shown = torch.randn(3, 4, 8), torch.randn(3, 4, 6) + 1.5 * common, shown_rows(*lengths)
    pairs, seen = [], set()
    for i in range(3):
        for j in range(i + 1, 3):
            gaps = []
            for s in range(lengths[i]):
                for t in range(lengths[j]):
                    said, looked = cos(texts[i, s], texts[j, t]), cos(views[i, s], views[j, t])
                    kind = "alike" if said >= 0.9 else "unlike" if said <= 0.6 else "between"
                    seen.add(kind)
                    target = {"alike": said, "unlike": 0.0, "between": looked}[kind] if thresholded else said
                    gaps.append(abs(target - looked))
            pairs.append(sum(gaps) / (len(gaps) if reduction == "mean" else 1))
    assert seen == {"alike", "unlike", "between"}
    close(similarity_gap(views, texts, shown, thresholded=thresholded, reduction=reduction), sum(pairs) / 3)


def test_sentences_see_the_centred_tokens_in_two_layers() -> None:
    torch.manual_seed(0)
    module = SentenceViews(12)
    sentences, tokens = torch.randn(2, 3, 12), torch.randn(2, 6, 12)
    found = module(sentences, shown_rows(3, 3), tokens, tokens.mean(1))
    for i in range(2):
        for s in range(3):
            centred, asking = tokens[i] - tokens[i].mean(0), sentences[i, s]
            for layer in module.layers:
                seen = F.layer_norm(centred, (12,))
                scores = layer.key(seen) @ layer.query(F.layer_norm(asking, (12,))) / math.sqrt(12)
                view = torch.softmax(scores, 0) @ layer.value(seen)
                asking = sentences[i, s] + view
            torch.testing.assert_close(found[i, s], view, atol=1e-5, rtol=1e-5)


def test_the_released_views_are_scalar_gates_on_sentences_and_the_second_asks_with_the_first() -> None:
    torch.manual_seed(0)
    module = SentenceViews(12, "gate")
    assert module.again is not None
    sentences, pooled, shown = torch.randn(2, 3, 12), torch.randn(2, 12), shown_rows(3, 2)
    found = module(sentences, shown, torch.randn(2, 6, 12), pooled)
    for i, n in enumerate((3, 2)):
        image, views = pooled[i], sentences[i, :n]
        for layer in module.layers:
            gates = [(layer.query(image) @ layer.key(v) / math.sqrt(12)).sigmoid() for v in views]
            views = torch.stack([g * layer.value(v) for g, v in zip(gates, views, strict=True)])
            image = module.again(views.mean(0)).tanh()
        torch.testing.assert_close(found[i, :n], views, atol=1e-5, rtol=1e-5)


def test_the_channel_gate_of_equation_11_is_a_sigmoid_of_products() -> None:
    torch.manual_seed(0)
    module = SentenceViews(12, "eq11_gate")
    sentences, pooled = torch.randn(2, 3, 12), torch.randn(2, 12)
    found = module(sentences, shown_rows(3, 3), torch.randn(2, 6, 12), pooled)
    layer = module.layers[0]
    for i in range(2):
        for s in range(3):
            expected = (layer.query(sentences[i, s]) * layer.key(pooled[i])).sigmoid() * layer.value(pooled[i])
            torch.testing.assert_close(found[i, s], expected, atol=1e-6, rtol=1e-5)


def test_the_total_weighs_its_six_terms_as_equations_10_14_and_15_say() -> None:
    plain, scaled = made(), made(intra_weight=1.0, inter_weight=1.0)
    batch = batch_of(plain)
    found, raw = {}, {}
    for method, losses in ((plain, found), (scaled, raw)):
        torch.manual_seed(3)
        with torch.no_grad():
            counted = method.phases[0].turns[0].counted(method.loss(batch))
            losses |= {name: float(value) for name, value in counted.items()}
    assert list(found) == ["mim", "mlm", "sfr", "cml", "ssm", "dfa"]
    weights = {"mim": 1.0, "mlm": 1.0, "sfr": 0.1, "cml": 0.1, "ssm": 0.1, "dfa": 0.1}
    assert found == pytest.approx({name: weights[name] * raw[name] for name in raw}, abs=1e-6)


@torch.no_grad()
def test_the_whole_cml_and_dfa_terms_pair_the_features_that_the_paper_names() -> None:
    method = made()
    batch = batch_of(method)
    encoder, report = method.encoder, method.read(batch)
    image = encoder.look(batch["volume"])
    everywhere = torch.ones(image.shape[:2], dtype=torch.bool)
    informed, said = method.volume_stack(image, report.sentences, everywhere, report.sentence_shown)
    assert said is not None
    shown = report.sentence_shown
    f_image, f_text = encoder.image_pool(image), encoder.text_pool(report.sentences, shown)
    h_image, h_text = method.informed_image_pool(informed), method.informed_text_pool(said, shown)
    pairs = [
        (encoder.image_head(f_image), method.cml_heads[0](h_image)),
        (encoder.text_head(f_text), method.cml_heads[1](h_text)),
    ]
    expected = sum(float(batch_contrast(a, c, temperature=0.1)) for a, c in pairs)
    losses = method.align(image, report, batch)
    close(losses["cml"], 0.1 * expected)
    views = method.sentence_views(report.sentences, shown, image, f_image)
    left, right = method.dfa_heads[0](method.views_pool(views, shown)), method.dfa_heads[1](f_image)
    both = (batch_contrast(left, right, temperature=0.1) + batch_contrast(right, left, temperature=0.1)) / 2
    close(losses["dfa"], 0.1 * float(both))
    close(losses["ssm"], 0.1 * float(similarity_gap(views, method.separate_sentences(batch), shown)))
