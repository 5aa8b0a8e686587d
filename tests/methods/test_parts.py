"""Parts that methods share: masks, the token decoder, losses, views, draws."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from bench.contracts.configs import Intensity, Shape3, Sight
from bench.contracts.errors import DataMissing
from methods.parts.alignment import cosines
from methods.parts.decoders import TokenDecoder
from methods.parts.draws import epochs
from methods.parts.gathered import BatchContrast
from methods.parts.heads import sentence_projection
from methods.parts.losses import mean_over_hidden, normalise_tokens, token_mean
from methods.parts.masks import kept_count, random_blocks, random_hidden
from methods.parts.views import OneCrop


class Ramp:
    """Volumes whose voxels hold their own place in the volume; outside stands -1."""

    sight = Sight(1, (4, 4, 4), None, Intensity("asis"))

    def __init__(self, **shapes: Shape3) -> None:
        self.shapes = shapes
        self.cases = tuple(shapes)

    def shape(self, case: str) -> Shape3:
        return self.shapes[case]

    def spacing(self, case: str) -> None:
        return None

    def read(self, case: str, start: Shape3, size: Shape3) -> np.ndarray[Any, Any]:
        shape = self.shapes[case]
        out = np.full((1, *size), -1, np.int16)
        for place in np.ndindex(*size):
            source = tuple(a + b for a, b in zip(start, place, strict=True))
            if all(0 <= s < n for s, n in zip(source, shape, strict=True)):
                out[(0, *place)] = np.ravel_multi_index(source, shape)
        return out

    def fields(self, case: str) -> Mapping[str, Any]:
        return {}


@pytest.mark.parametrize(
    ("tokens", "ratio", "kept"), [(216, 0.75, 54), (216, 0.6, 86), (10, 0.9, 1), (10, 0.0, 10), (7, 0.5, 3)]
)
def test_kept_patches_are_rounded_down_as_in_the_released_code(tokens: int, ratio: float, kept: int) -> None:
    assert kept_count(tokens, ratio) == kept


@pytest.mark.parametrize("ratio", [0.6, 0.75])
def test_every_volume_hides_the_same_number_of_patches(ratio: float) -> None:
    hidden = random_hidden(5, 216, ratio, "cpu")
    assert hidden.dtype == torch.bool
    assert (~hidden).sum(1).tolist() == [kept_count(216, ratio)] * 5


def test_volumes_hide_different_patches_and_a_seed_brings_the_same_ones_back() -> None:
    torch.manual_seed(3)
    first = random_hidden(4, 64, 0.75, "cpu")
    torch.manual_seed(3)
    assert torch.equal(first, random_hidden(4, 64, 0.75, "cpu"))
    assert not torch.equal(first[0], first[1])


def test_every_patch_is_hidden_equally_often() -> None:
    torch.manual_seed(0)
    share = random_hidden(4000, 12, 0.75, "cpu").float().mean(0)
    torch.testing.assert_close(share, torch.full((12,), 0.75), atol=0.04, rtol=0)


def test_hidden_blocks_are_hidden_tokens_grown_to_their_voxels() -> None:
    torch.manual_seed(1)
    hidden = random_blocks(2, (2, 3, 1), (4, 2, 3), 0.5, "cpu")
    assert hidden.shape == (2, 1, 8, 6, 3)
    torch.manual_seed(1)
    tokens = random_hidden(2, 6, 0.5, "cpu").view(2, 2, 3, 1)
    for b, i, j, k in np.ndindex(2, 8, 6, 3):
        assert hidden[b, 0, i, j, k] == tokens[b, i // 4, j // 2, k // 3]


def test_a_contrast_both_ways_is_the_mean_of_one_way_and_the_other() -> None:
    torch.manual_seed(0)
    left, right, contrast = torch.randn(4, 6), torch.randn(4, 6), BatchContrast(0.1)
    scores = nn.functional.cosine_similarity(left[:, None], right[None], dim=-1) / 0.1
    ways = [float((s.logsumexp(1) - s.diagonal()).mean()) for s in (scores, scores.T)]
    assert float(contrast.one_way(left, right)) == pytest.approx(ways[0], rel=1e-5)
    assert float(contrast.both_ways(left, right)) == pytest.approx(sum(ways) / 2, rel=1e-5)


def test_a_sentence_is_normed_by_itself_before_it_is_projected() -> None:
    torch.manual_seed(0)
    project = sentence_projection(6, 5, 3)
    sentences = torch.randn(1, 7, 6)
    inner = project[0](sentences)
    released = nn.functional.batch_norm(inner, None, None, training=True)  # a BatchNorm1d fed (1, S, inner)
    torch.testing.assert_close(project(sentences), project[3](nn.functional.gelu(released)))


def test_normalised_tokens_have_mean_zero_and_unit_unbiased_variance() -> None:
    tokens = 300.0 + 40.0 * torch.randn(2, 5, 512)
    normed = normalise_tokens(tokens)
    torch.testing.assert_close(normed.mean(-1), torch.zeros(2, 5), atol=1e-5, rtol=0)
    torch.testing.assert_close(normed.var(-1, unbiased=True), torch.ones(2, 5), atol=1e-5, rtol=0)


def test_a_constant_token_becomes_zeros() -> None:
    assert not normalise_tokens(torch.full((1, 2, 8), 7.0)).any()


def test_the_mean_is_over_hidden_tokens_of_the_whole_batch() -> None:
    hidden = torch.tensor([[True, False], [True, True]])
    assert mean_over_hidden(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), hidden).item() == pytest.approx(8 / 3)
    assert mean_over_hidden(torch.ones(1, 2), torch.zeros(1, 2, dtype=torch.bool)).isnan()


def test_a_loss_and_a_cosine_are_taken_in_single_precision_whatever_a_network_gives() -> None:
    """Even logits over 1024 words cost ln 1024 = 6.9315, which bfloat16 rounds to 6.9375; 3-4-5 is a cosine of 0.6, not 0.6016."""
    words = torch.tensor([[3, 1000]])
    assert token_mean(torch.zeros(1, 2, 1024, dtype=torch.bfloat16), words).item() == pytest.approx(6.9315, abs=5e-5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = cosines(torch.tensor([[[3.0, 4.0]]]), torch.tensor([[[1.0, 0.0]]]))
    assert found.item() == pytest.approx(0.6, abs=1e-6)


def decoder(positions: str = "sincos") -> TokenDecoder:
    torch.manual_seed(0)
    return TokenDecoder(20, (2, 2, 3), width=12, depth=2, heads=2, out=8, positions=positions)  # type: ignore[arg-type]


def test_visible_tokens_return_to_their_places_and_mask_tokens_fill_the_rest() -> None:
    net, hidden = decoder(), random_hidden(3, 12, 0.75, "cpu")
    seen = torch.randn(3, 3, 20)
    net.blocks, net.norm = nn.ModuleList(), nn.Identity()  # what goes into the blocks is what comes out
    features, _ = net(seen, hidden)
    for row in range(3):
        visible = iter(net.embed(seen[row]))
        for place in range(12):
            content = net.mask_token if hidden[row, place] else next(visible)
            torch.testing.assert_close(features[row, place], content + net.positions[place])


def test_mask_tokens_and_learned_positions_start_normal_with_a_deviation_of_0_02() -> None:
    net = TokenDecoder(20, (2, 2, 3), width=1200, depth=0, heads=2, out=8, positions="learned")
    assert net.mask_token.std().item() == pytest.approx(0.02, rel=0.1)
    assert net.positions.std().item() == pytest.approx(0.02, rel=0.03)


@pytest.mark.parametrize("positions", ["sincos", "learned"])
def test_the_decoder_predicts_every_patch_and_trains_all_it_owns(positions: str) -> None:
    net = decoder(positions)
    features, voxels = net(torch.randn(2, 3, 20), random_hidden(2, 12, 0.75, "cpu"))
    assert (features.shape, voxels.shape) == ((2, 12, 12), (2, 12, 8))
    torch.testing.assert_close(net.head(features), voxels)  # features are those after the norm
    voxels.square().mean().backward()
    assert all(p.grad is not None for p in net.parameters())
    assert ("positions" in dict(net.named_parameters())) is (positions == "learned")
    assert {"embed", "blocks", "norm", "head"} <= {name for name, _ in net.named_children()}


def test_the_decoder_runs_under_bf16_autocast() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        _, voxels = decoder()(torch.randn(2, 3, 20), random_hidden(2, 12, 0.75, "cpu"))
    assert bool(voxels.isfinite().all())


def test_a_crop_lies_inside_the_volume_and_reaches_both_ends() -> None:
    corpus, view = Ramp(a=(6, 4, 5)), OneCrop((4, 4, 4))
    firsts = set()
    for seed in range(40):
        crop = view(corpus, ("a",), np.random.default_rng(seed))["volume"]
        assert crop.shape == (1, 4, 4, 4)
        assert crop.min() >= 0
        firsts.add(int(crop[0, 0, 0, 0]))
    assert firsts == {np.ravel_multi_index((d, 0, w), (6, 4, 5)) for d in (0, 1, 2) for w in (0, 1)}


def test_a_small_volume_is_centred_with_the_odd_voxel_at_the_end() -> None:
    crop = OneCrop((4, 4, 5))(Ramp(a=(4, 1, 3)), ("a",), np.random.default_rng(0))["volume"]
    assert (crop[0, 0] >= 0).any(1).tolist() == [False, True, False, False]
    assert crop[0, 0, 1].tolist() == [-1, 0, 1, 2, -1]


def test_a_view_is_picklable_and_repeats_with_its_generator() -> None:
    corpus = Ramp(a=(9, 9, 9))
    view = pickle.loads(pickle.dumps(OneCrop((4, 4, 4))))
    first, second = (view(corpus, ("a",), np.random.default_rng(5))["volume"] for _ in range(2))
    assert np.array_equal(first, second)


def test_epochs_show_every_case_once_before_any_comes_again() -> None:
    corpus = Ramp(**dict.fromkeys("abcdefg", (1, 1, 1)))
    drawn = [case for step in range(14) for (case,) in epochs(corpus, 3, step, seed=11)]
    orders = {"".join(drawn[first : first + 7]) for first in range(0, 42, 7)}
    assert len(orders) == 6 and all(Counter(order) == Counter("abcdefg") for order in orders)


def test_draws_are_a_pure_function_of_step_and_seed() -> None:
    corpus = Ramp(**dict.fromkeys("abcdefg", (1, 1, 1)))
    assert epochs(corpus, 4, 5, seed=1) == epochs(corpus, 4, 5, seed=1)
    assert epochs(corpus, 4, 5, seed=1) != epochs(corpus, 4, 5, seed=2)
    assert len(epochs(corpus, 20, 0, seed=2**62)) == 20


def test_an_empty_corpus_is_an_error_with_a_remedy() -> None:
    with pytest.raises(DataMissing, match="no case"):
        epochs(Ramp(), 2, 0, seed=0)
