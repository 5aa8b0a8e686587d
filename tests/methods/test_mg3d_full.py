"""MG-3D at full size: the shapes, parameter counts and first measures of the fidelity spec (checks 1, 7 and 9)."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor, nn

from bench.contracts.configs import Intensity, Sight
from bench.nets.decoders import build_decoder
from bench.nets.shared_batch_norm import SharedBatchNorm
from methods.mg3d import METHOD, MG3D, MG3DConfig, build_encoder
from methods.parts.fusion import FusionStack
from methods.parts.heads import AttentionPool, MeanPool, TokenPool, VolumeDecoder
from methods.parts.sentence_views import Form, SentenceViews, _cosines

FULL: MG3DConfig = METHOD.full
SIGHT = Sight(1, FULL.crop, None, Intensity("hu"))


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def on_meta(**changes: object) -> MG3D:
    with torch.device("meta"):
        return MG3D(dataclasses.replace(FULL, **changes), SIGHT)  # type: ignore[arg-type]


def test_parameter_counts_are_those_of_the_paper_s_networks() -> None:
    method = on_meta()
    assert count(method.encoder.vision) == 8_062_002
    assert count(on_meta(**METHOD.variants["swin_l"]).encoder.vision) == 31_593_474
    assert count(method.volume_stack) == 35_453_952  # the spec's 35.5 M
    assert count(method.word_stack) == 35_453_952 - 8_862_720 - 1_536  # without the unused last volume block
    assert count(method.encoder.see) == 768 * 768 + 768


def test_a_volume_is_48_tokens_of_768_and_swin_l_s_1536_are_projected() -> None:
    for feature, doubled in ((48, False), (96, True)):
        with torch.device("meta"):
            encoder = build_encoder(dataclasses.replace(FULL, doubled=doubled), SIGHT)
            volume = torch.zeros(1, 1, *FULL.crop)
            maps = encoder(volume).maps
            tokens = encoder.look(volume)
        assert [tuple(m.shape[1:]) for m in maps] == [
            (feature, 64, 48, 64),
            (2 * feature, 32, 24, 32),
            (4 * feature, 16, 12, 16),
            (8 * feature, 8, 6, 8),
            (16 * feature, 4, 3, 4),
        ]
        assert tokens.shape == (1, 48, 768)


def test_the_decoder_returns_the_volumes_grid_through_the_widths_of_the_released_code() -> None:
    with torch.device("meta"):
        decoder = VolumeDecoder(768, FULL.grid(), 1)
        assert decoder(torch.zeros(2, 48, 768)).shape == (2, 1, 128, 96, 128)
    convolutions = [part for part in decoder.modules() if isinstance(part, nn.Conv3d)]
    assert [part.out_channels for part in convolutions] == [384, 192, 96, 48, 48, 1]


def test_the_last_doubling_and_the_last_convolution_commute() -> None:
    torch.manual_seed(0)
    decoder = VolumeDecoder(32, (1, 1, 2), 1)
    x = torch.randn(1, 2, 4, 6, 4)
    doubled = nn.functional.interpolate(x, scale_factor=2, mode="trilinear")
    torch.testing.assert_close(
        nn.functional.interpolate(decoder.out(x), scale_factor=2, mode="trilinear"), decoder.out(doubled)
    )


def test_the_u_net_of_table_1_gives_48_tokens_as_well_and_its_own_decoder() -> None:
    config = dataclasses.replace(FULL, encoder="unet3d")
    with torch.device("meta"):
        encoder = build_encoder(config, SIGHT)
        assert encoder.look(torch.zeros(1, 1, *FULL.crop)).shape == (1, 48, 768)
        assert encoder.channels == (64, 128, 256, 512)
        build_decoder(str(METHOD.variants["unet3d"]["decoder"]), encoder=encoder, in_channels=1, classes=2)


def test_the_u_nets_decoder_norms_as_the_u_net_that_lies_beside_the_text_encoder() -> None:
    with torch.device("meta"):
        encoder = build_encoder(dataclasses.replace(FULL, encoder="unet3d"), SIGHT)
        decoder = build_decoder("unet", encoder=encoder, in_channels=1, classes=2)
    norms = (SharedBatchNorm, nn.InstanceNorm3d)
    kinds = [{type(x) for x in part.modules() if isinstance(x, norms)} for part in (encoder, decoder)]
    assert kinds == [{SharedBatchNorm}, {SharedBatchNorm}]


def test_the_released_code_builds_at_full_size() -> None:
    with torch.device("meta"):
        method = MG3D(METHOD.ref_code, SIGHT)
    assert count(method.volume_stack) == 4 * 3 * (768 * 768 + 768)  # six Linears in each of two layers
    assert method.encoder.image_pool.weights is not None and method.encoder.image_pool.weights.in_features == 48
    assert {name.split(".")[0] for name, _ in method.named_parameters()} >= {"sfr_target", "ssm_project", "cml_heads"}


def layers(head: nn.Module) -> list[object]:
    """What a head is made of, in order: a Linear by its widths, else the kind."""
    parts = [part for part in head.modules() if not isinstance(part, nn.Sequential)]
    return [(x.in_features, x.out_features) if isinstance(x, nn.Linear) else type(x) for x in parts]


def test_heads_and_pools_are_those_of_the_paper_and_of_the_released_code() -> None:
    """Sec. 2.4 and rows 11, 12, 17, 19 and 20; a pool that learns weighs 48 tokens."""
    with torch.device("meta"):
        methods = {"paper": on_meta(), "code": MG3D(METHOD.ref_code, SIGHT)}
    for name, method in methods.items():
        assert layers(method.mlm_transform) == [(768, 768), nn.GELU, nn.LayerNorm]
        assert method.mlm_transform[2].eps == 1e-12  # BERT's, as the code has it
        assert layers(method.mlm_decoder) == [(768, FULL.text_vocabulary)] and method.mlm_decoder.bias is not None
        learned = [(48, 1)] if name == "code" else []
        for pool in (method.encoder.image_pool, method.informed_image_pool):
            assert layers(pool) == [TokenPool, *learned, (768, 768)]
        assert isinstance(method.encoder.text_pool, AttentionPool)
        assert isinstance(method.informed_text_pool, AttentionPool)
        assert isinstance(method.views_pool, MeanPool if name == "code" else AttentionPool)
        joined = 2 if name == "code" else 1
        assert [layers(head)[2] for head in method.cml_heads] == 2 * [(joined * 768, 768)]
        assert [layers(head)[2] for head in method.dfa_heads] == 2 * [(768, 768)]
    paper, code = methods.values()
    assert isinstance(paper.ssm_project, nn.Identity) and not hasattr(paper, "sfr_project")
    assert layers(code.sfr_project) == [(768, 128), nn.LayerNorm, nn.GELU, (128, 8)]
    assert layers(code.sfr_target) == [(768, 384), nn.ReLU, (384, 8)]
    assert layers(code.ssm_project) == [(768, 384), nn.LayerNorm, nn.GELU, (384, 128), nn.Tanh]


def features(generator: torch.Generator, *, common: bool) -> tuple[Tensor, Tensor]:
    """Tokens (4, 48, 768) and sentences (4, 15, 768), iid or with a common component of half the variance."""
    found = []
    for count_ in (48, 15):
        x = torch.randn(4, count_, 768, generator=generator)
        found.append((x + torch.randn(768, generator=generator)) / 2**0.5 if common else x)
    return found[0], found[1]


def similarities(views: SentenceViews, tokens: Tensor, sentences: Tensor) -> Tensor:
    return _cosines(views(sentences, torch.ones(4, 15, dtype=torch.bool), tokens, tokens.mean(1)))


def between(v: Tensor) -> Tensor:
    return torch.stack([v[i, :, j] for i in range(4) for j in range(i + 1, 4)])


def within(v: Tensor) -> float:
    return float(torch.stack([v[i, :, i] for i in range(4)])[:, ~torch.eye(15, dtype=torch.bool)].mean())


def probe(form: Form, *, common: bool, centred: bool = True, seed: int = 0) -> tuple[Tensor, Tensor, float]:
    """How far V moves when the images are others, when the sentences are others, and the mean cosine within a patient."""
    torch.manual_seed(seed)
    views, generator = SentenceViews(768, form, centred=centred), torch.Generator().manual_seed(seed + 10)
    (tokens, sentences), (others, other_sentences) = (features(generator, common=common) for _ in range(2))
    with torch.no_grad():
        found = similarities(views, tokens, sentences)
        images = (between(similarities(views, others, sentences)) - between(found)).abs()
        texts = (between(similarities(views, tokens, other_sentences)) - between(found)).abs()
    return images, texts, within(found)


@pytest.mark.parametrize("seed", range(2))
def test_similarities_see_images_and_sentences_alike(seed: int) -> None:
    images, texts, inside = probe("tokens", common=False, seed=seed)
    for moved in (images, texts):
        assert float(moved.mean()) == pytest.approx(0.06, abs=0.01)
        assert float(moved.max()) < 0.3
    assert abs(inside) <= 0.02


@pytest.mark.parametrize("seed", range(2))
def test_a_common_component_of_half_the_variance_is_centred_away(seed: int) -> None:
    images, texts, inside = probe("tokens", common=True, seed=seed)
    assert float(images.mean()) > 0.03 and float(texts.mean()) > 0.03
    assert inside < 0.6
    images, _, inside = probe("tokens", common=True, centred=False, seed=seed)
    assert float(images.mean()) < 0.01 and inside > 0.98


def test_the_released_roles_hardly_see_the_image() -> None:
    images, texts, _ = probe("gate", common=False)
    assert float(images.max()) <= 0.05 < float(texts.mean())


def test_equation_11_as_printed_shows_every_sentence_the_same() -> None:
    _, texts, inside = probe("eq11", common=False)
    assert inside == pytest.approx(1.0, abs=1e-5) and float(texts.max()) < 1e-5


@pytest.mark.parametrize("seed", range(2))
def test_guides_change_the_volume_stream_by_a_quarter_to_two_fifths_at_the_start(seed: int) -> None:
    torch.manual_seed(seed)
    stack = FusionStack(768, depth=2, heads=12, cross="proposed", dropout=0.1).eval()
    tokens, sentences = torch.randn(4, 48, 768), torch.randn(4, 15, 768)
    everywhere, told = torch.ones(4, 48, dtype=torch.bool), torch.ones(4, 15, dtype=torch.bool)
    with torch.no_grad():
        own, _ = stack(tokens, sentences, everywhere, told)
        other, _ = stack(tokens, sentences.roll(1, 0), everywhere, told)
    change = (own - other).flatten(1).norm(dim=1) / own.flatten(1).norm(dim=1)
    assert all(0.2 < value < 0.42 for value in change.tolist())
    assert float(own.std()) == pytest.approx(1.0, abs=0.01)


def test_the_image_mask_hides_192_of_384_blocks_of_16_voxels() -> None:
    method = on_meta(terms=("mim",))
    assert method.config.blocks() == (8, 6, 8)
    torch.manual_seed(0)
    hidden = method.hide(2, torch.device("cpu"))
    assert hidden.shape == (2, 1, 128, 96, 128)
    cells = hidden.view(2, 8, 16, 6, 16, 8, 16)
    share = cells.float().mean((2, 4, 6))
    assert set(share.flatten().tolist()) == {0.0, 1.0}
    assert share.sum((1, 2, 3)).tolist() == [192.0, 192.0]
    assert not torch.equal(hidden[0], hidden[1])
    assert torch.equal(*on_meta(terms=("mim",), shared_mask=True).hide(2, torch.device("cpu")))
