"""MiM's objective, restated."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench.blueprint import blueprint
from bench.contracts.configs import Intensity, Sight
from bench.contracts.errors import SpecError
from bench.keys import key_of
from bench.nets.decoders import build_decoder
from bench.nets.vit3d import ViT3D
from bench.spec import make_spec
from methods.mim import METHOD, REF_CODE, SMALL, TINY, Level, MiM, MiMConfig, build_encoder, level_weights
from methods.parts.alignment import cosine_gap, info_nce

SIGHT = Sight(1, (32, 32, 32), None, Intensity("hu"))
CUBE = dataclasses.replace(TINY, crop=(32, 32, 32), input_shape=(32, 32, 32))  # 2 x 2 x 2 tokens, 5 hidden


def made(config: MiMConfig = CUBE, **changes: Any) -> MiM:
    torch.manual_seed(0)
    return MiM(dataclasses.replace(config, **changes), SIGHT)


def crops(method: MiM, batch: int = 2) -> dict[str, Tensor]:
    drawn = torch.Generator().manual_seed(1)
    stored = torch.randint(-1200, 1200, (batch, 1, *method.config.crop), generator=drawn, dtype=torch.int16)
    return method.prepare({"volume": stored})


def level_of(volume: Tensor, hidden: Tensor, rebuilt: Tensor) -> Level:
    return Level(volume, hidden, None, torch.zeros(len(volume), hidden.shape[1], 48), rebuilt)


# --- levels -------------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_one_crop_is_1_4_and_16_volumes_in_three_encoder_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    method, seen = made(), []
    real = method.encoder.tokens
    monkeypatch.setattr(
        method.encoder, "tokens", lambda v, keep, visible: (seen.append(tuple(v.shape)), real(v, keep, visible))[1]
    )
    method.loss(crops(method, 1))
    assert seen == [(1, 1, 32, 32, 32), (4, 1, 32, 32, 32), (16, 1, 32, 32, 32)]


@torch.no_grad()
def test_children_are_cut_from_full_resolution_once_and_then_from_the_resized_level() -> None:
    method = made(crop=(64, 64, 32))
    x1 = crops(method, 2)["volume"]
    one, two, three = method.look(x1)
    for b in range(2):
        for g, token in enumerate(one.chosen[b].tolist()):  # type: ignore[index]
            i, j, k = token // 4, token // 2 % 2, token % 2
            box = x1[b : b + 1, :, 32 * i : 32 * i + 32, 32 * j : 32 * j + 32, 16 * k : 16 * k + 16]
            wanted = torch.nn.functional.interpolate(box, size=(32, 32, 32), mode="trilinear")
            assert torch.equal(two.volume[4 * b + g], wanted[0])
    token = int(two.chosen[5, 2])  # type: ignore[index]
    i, j, k = token // 4, token // 2 % 2, token % 2
    box = two.volume[5:6, :, 16 * i : 16 * i + 16, 16 * j : 16 * j + 16, 16 * k : 16 * k + 16]
    wanted = torch.nn.functional.interpolate(box, size=(32, 32, 32), mode="trilinear")
    assert torch.equal(three.volume[4 * 5 + 2], wanted[0])
    assert all(bool(level.hidden.gather(1, level.chosen).all()) for level in (one, two) if level.chosen is not None)


@torch.no_grad()
def test_every_level_hides_its_own_share_and_no_two_volumes_the_same_tokens() -> None:
    """Of 12 tokens 3, 6 and 9 hide, as the three ratios of the released code differ too."""
    method = made(TINY, mask_ratios=(0.25, 0.5, 0.75), children=3)
    levels = method.look(crops(method)["volume"])
    assert [level.hidden.sum(1).unique().tolist() for level in levels] == [[3], [6], [9]]
    for level in levels:
        assert len(level.hidden.unique(dim=0)) > 1
    chosen = levels[1].chosen
    assert chosen is not None and len(chosen.sort(1).values.unique(dim=0)) > 1


def test_hounsfield_units_are_clipped_and_scaled() -> None:
    volume = made().prepare({"volume": torch.tensor([-3000, -1000, 0, 500, 1000, 3000], dtype=torch.int16)})["volume"]
    assert volume.tolist() == pytest.approx([0.0, 0.0, 0.5, 0.75, 1.0, 1.0])


# --- reconstruction -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 2])
@torch.no_grad()
def test_reconstruction_is_the_mean_squared_error_over_hidden_tokens(channels: int) -> None:
    """A token of several channels is normalised as one; of each voxel its channels lie side by side."""
    torch.manual_seed(0)
    method = MiM(CUBE, dataclasses.replace(SIGHT, channels=channels))
    x1 = torch.rand(2, channels, 32, 32, 32) * torch.tensor([1.0, 5.0])[:channels].view(-1, 1, 1, 1)
    level = method.look(x1)[1]
    assert level.rebuilt.shape == (8, 8, 4096 * channels)
    total, count = 0.0, 0
    for b, t in level.hidden.nonzero().tolist():
        i, j, k = t // 4, t // 2 % 2, t % 2
        box = level.volume[b, :, 16 * i : 16 * i + 16, 16 * j : 16 * j + 16, 16 * k : 16 * k + 16]
        y = box.movedim(0, -1).flatten()
        y = (y - y.mean()) / (y.var() + 1e-6).sqrt()
        total, count = total + float(((level.rebuilt[b, t] - y) ** 2).mean()), count + 1
    assert float(method.rebuild_error(level)) == pytest.approx(total / count, rel=1e-5)


@torch.no_grad()
def test_predicting_nothing_costs_4095_of_4096_and_the_target_costs_nothing() -> None:
    method, volume = made(), torch.rand(3, 1, 32, 32, 32)
    hidden = torch.rand(3, 8).argsort(1).argsort(1) >= 3
    blank = torch.zeros(3, 8, 4096)
    assert float(method.rebuild_error(level_of(volume, hidden, blank))) == pytest.approx(4095 / 4096, abs=2e-5)
    plain = made(normalise_target=False)
    constant = torch.full((3, 1, 32, 32, 32), 0.7)
    assert float(method.rebuild_error(level_of(constant, hidden, blank))) < 1e-6
    assert float(plain.rebuild_error(level_of(constant, hidden, blank + 0.7))) == 0.0
    assert float(plain.rebuild_error(level_of(constant, hidden, blank))) == pytest.approx(0.49)


def test_reconstruction_ignores_what_is_predicted_for_visible_tokens() -> None:
    method, volume = made(), torch.rand(2, 1, 32, 32, 32)
    hidden = torch.rand(2, 8).argsort(1).argsort(1) >= 3
    guess = torch.randn(2, 8, 4096)
    other = guess + 5 * (~hidden)[..., None]
    first = method.rebuild_error(level_of(volume, hidden, guess))
    assert torch.equal(first, method.rebuild_error(level_of(volume, hidden, other)))


def test_level_weights_move_from_2_1_0_to_1_1_1_and_swap() -> None:
    start, end, third = (torch.tensor(p) for p in (0.0, 1.0, 1 / 3))
    assert [float(w) for w in level_weights("coarse_to_fine", start)] == [2.0, 1.0, 0.0]
    assert [float(w) for w in level_weights("coarse_to_fine", end)] == pytest.approx([1.0, 1.0, 1.0])
    assert [float(w) for w in level_weights("fine_to_coarse", third)] == pytest.approx([0.5, 1.0, 1 + math.sqrt(0.75)])
    assert [float(w) for w in level_weights("constant", third)] == [1.0, 1.0, 1.0]


@torch.no_grad()
def test_progress_moves_the_weights_and_survives_a_checkpoint() -> None:
    method = made(level_schedule="coarse_to_fine")
    levels = method.look(crops(method)["volume"])
    before = method.reconstruction(levels)
    assert float(before["rebuild_3"]) == 0.0
    method.after_step(1.0)
    after = method.reconstruction(levels)
    assert float(before["rebuild_1"]) == pytest.approx(2 * float(after["rebuild_1"]))
    method.after_step(1 / 3)
    third = method.reconstruction(levels)
    assert float(third["rebuild_1"]) == pytest.approx((1 + math.sqrt(0.75)) * float(after["rebuild_1"]))
    assert float(third["rebuild_3"]) == pytest.approx(0.5 * float(after["rebuild_3"]))
    method.after_step(1.0)
    fresh = made(level_schedule="coarse_to_fine")
    fresh.load_state_dict(method.state_dict())
    assert float(fresh.progress) == 1.0


# --- alignment ----------------------------------------------------------------------------------------------------


def test_equal_features_cost_the_logarithm_of_the_candidates() -> None:
    same, place = torch.ones(1, 4, 16), torch.tensor([[0, 7, 100, 215]])
    assert float(info_nce(same, torch.ones(1, 216, 16), place)) == pytest.approx(math.log(216), abs=1e-4)
    without = info_nce(same, torch.ones(1, 216, 16), place, positive_in_denominator=False)
    assert float(without) == pytest.approx(5.3706, abs=1e-4)
    assert float(info_nce(same, torch.ones(1, 8, 16), place % 8)) == pytest.approx(2.0794, abs=1e-4)


def test_orthogonal_features_still_cost_4_383_at_temperature_1() -> None:
    places = torch.eye(216)[None]
    place = torch.tensor([[3, 50, 120, 200]])
    contexts = places[:, place[0]]
    assert float(info_nce(contexts, places, place)) == pytest.approx(math.log(1 + 215 / math.e), abs=1e-4)
    assert float(info_nce(contexts, places, place)) == pytest.approx(4.3832, abs=1e-4)
    assert float(info_nce(contexts, places, place, temperature=0.1)) < 0.01


def two_layers(head: nn.Module, x: Tensor) -> Tensor:
    """A projection head in plain lines: two linear layers with GELU between them."""
    (w1, b1), (w2, b2) = ((head[k].weight, head[k].bias) for k in (0, 2))  # type: ignore[index]
    inner = x @ w1.T + b1
    return inner * (1 + torch.erf(inner / math.sqrt(2))) / 2 @ w2.T + b2


@pytest.mark.parametrize("pair", ["12", "23"])
@torch.no_grad()
def test_alignment_is_info_nce_over_the_parents_own_tokens(pair: str) -> None:
    method = made(temperature=0.5)
    levels = method.look(crops(method)["volume"])
    parent, child = levels[int(pair[0]) - 1], levels[int(pair[1]) - 1]
    terms = []
    for number, features in enumerate(child.features):
        b, g = divmod(number, 4)
        c = two_layers(method.project_context[pair], features.mean(0))
        p = two_layers(method.project_patches[pair], parent.features[b])
        s = torch.stack([c @ row / (c.norm() * row.norm()) for row in p]) / 0.5
        terms.append(s.exp().sum().log() - s[int(parent.chosen[b, g])])  # type: ignore[index]
    expected = torch.stack(terms).mean()
    assert float(method.cross_level(pair, parent, child)) == pytest.approx(float(expected), rel=1e-5)
    assert float(method.alignment(levels)[f"align_{pair}"]) == pytest.approx(0.1 * float(expected), rel=1e-5)


def test_visible_negatives_leave_out_the_hidden_siblings() -> None:
    torch.manual_seed(0)
    contexts, patches, place = torch.randn(1, 2, 5), torch.randn(1, 4, 5), torch.tensor([[0, 1]])
    visible = torch.tensor([[False, False, True, True]])
    s = torch.nn.functional.cosine_similarity(contexts[:, :, None], patches[:, None], dim=-1)[0]
    first = s[0, [0, 2, 3]].logsumexp(0) - s[0, 0]
    second = s[1, [1, 2, 3]].logsumexp(0) - s[1, 1]
    assert torch.allclose(info_nce(contexts, patches, place, negatives=visible), (first + second) / 2)


@torch.no_grad()
def test_where_only_visible_places_oppose_a_child_they_are_those_that_its_parent_saw() -> None:
    method = made(negatives="visible_only")
    parent, child, _ = method.look(crops(method)["volume"])
    terms = []
    for number, features in enumerate(child.features):
        b, g = divmod(number, 4)
        own = int(parent.chosen[b, g])  # type: ignore[index]
        c, p = method.project_context["12"](features.mean(0)), method.project_patches["12"](parent.features[b])
        s = torch.nn.functional.cosine_similarity(c[None], p, dim=-1)
        against = [own, *(t for t in range(8) if not parent.hidden[b, t])]
        assert len(against) == 1 + 3
        terms.append(s[against].logsumexp(0) - s[own])
    expected = torch.stack(terms).mean()
    assert float(method.cross_level("12", parent, child)) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize(("left_out", "others"), [(False, 8), (True, 7)])
@torch.no_grad()
def test_the_setting_leaves_a_childs_own_place_out_of_what_opposes_it(left_out: bool, others: int) -> None:
    """Check 8 on 2 x 2 x 2 tokens that all look alike: log 8, and log 7 without the positive."""
    method = made(exclude_positive_from_denominator=left_out)
    levels = method.look(crops(method)["volume"])
    for heads in (method.project_context, method.project_patches):
        for part in heads.values():
            torch.nn.init.zeros_(part[2].weight)
            torch.nn.init.ones_(part[2].bias)
    found = [float(method.cross_level(pair, levels[k], levels[k + 1])) for k, pair in enumerate(("12", "23"))]
    assert found == pytest.approx([math.log(others)] * 2, abs=1e-4)


@torch.no_grad()
def test_byol_variant_pulls_each_child_to_its_own_place() -> None:
    method = made(**METHOD.variants["align_byol"])
    levels = method.look(crops(method)["volume"])
    terms = []
    for number, features in enumerate(levels[1].features):
        b, g = divmod(number, 4)
        c = method.project_context["12"](features.mean(0))
        p = method.project_patches["12"](levels[0].features[b, int(levels[0].chosen[b, g])])  # type: ignore[index]
        terms.append(2 - 2 * (c @ p) / (c.norm() * p.norm()))
    expected = torch.stack(terms).mean()
    assert float(method.cross_level("12", levels[0], levels[1])) == pytest.approx(float(expected), rel=1e-4)


def test_cosine_gap_runs_from_0_to_4() -> None:
    x = torch.tensor([[1.0, 2.0], [3.0, -1.0]])
    assert float(cosine_gap(x, 5 * x)) == pytest.approx(0.0, abs=1e-6)
    assert float(cosine_gap(x, -x)) == pytest.approx(4.0)


# --- the released code --------------------------------------------------------------------------------------------


def released() -> MiM:
    """The released code's settings on a small grid: 64^3 crops, 8 native octants of 32^3, 2^3 tokens."""
    kept = ("geometry", "mask_ratios", "alignment", "octant_fix")
    changes = {name: getattr(REF_CODE, name) for name in kept}
    return made(crop=(64, 64, 64), projection_hidden=48, projection_out=48, **changes)


def test_released_pair_12_compares_siblings_and_never_sees_level_1() -> None:
    method = released()
    x1 = crops(method)["volume"]
    one, two, three = method.look(x1)
    assert one.hidden.sum(1).tolist() == [4, 4] and two.hidden.sum(1).tolist() == [5] * 8
    assert torch.equal(
        two.volume[0, 0], x1[0, 0].unfold(0, 32, 32).unfold(1, 32, 32).unfold(2, 32, 32).flatten(0, 2)[one.chosen[0, 0]]
    )  # type: ignore[index]
    means = two.features.mean(1)
    terms = []
    for b in range(2):
        for g in range(4):
            projected = method.project_context["12"](means[4 * b + g])
            terms.append(cosine_gap(means[4 * b], projected))
    loss = method.alignment([one, two, three])["align_12"]
    assert loss.item() == pytest.approx(0.1 * torch.stack(terms).mean().item(), rel=1e-4)
    loss.backward(retain_graph=True)
    assert all(p.grad is None for p in method.project_patches["12"].parameters())
    assert any(p.grad is not None for p in method.project_context["12"].parameters())


def test_released_pair_12_moves_the_first_child_through_its_own_mean_too() -> None:
    """Nothing is stopped (Sec. 3.2): where all project to one vector, the first child's plain mean alone is still moved."""
    method = released()
    levels = method.look(crops(method)["volume"])
    torch.nn.init.zeros_(method.project_context["12"][2].weight)  # type: ignore[index]
    torch.nn.init.ones_(method.project_context["12"][2].bias)  # type: ignore[index]
    (moved,) = torch.autograd.grad(method.alignment(levels)["align_12"], [levels[1].features])
    assert moved.flatten(1).any(1).tolist() == [True, False, False, False] * 2


@torch.no_grad()
def test_released_pair_23_compares_projected_means() -> None:
    method = released()
    levels = method.look(crops(method)["volume"])
    parents = method.project_patches["23"](levels[1].features.mean(1))
    children = method.project_context["23"](levels[2].features.mean(1))
    terms = [cosine_gap(parents[n // 4], children[n]) for n in range(32)]
    loss = method.alignment(levels)["align_23"]
    assert float(loss) == pytest.approx(0.1 * float(torch.stack(terms).mean()), rel=1e-4)


def test_released_pair_23_moves_the_children_and_not_their_parents() -> None:
    method = released()
    levels = method.look(crops(method)["volume"])
    loss = method.alignment(levels)["align_23"]
    parents, children = torch.autograd.grad(loss, [levels[1].features, levels[2].features], allow_unused=True)
    assert parents is None and bool(children.any())


def test_the_octant_fix_counts_tokens_by_where_they_lie_and_the_released_code_by_their_number() -> None:
    """Of 4 x 4 x 4 tokens number 2 lies in octant 1 of 8, and is in the first eight; 63 ends both."""
    for fix, octant in ((True, 1), (False, 0)):
        method = made(crop=(128, 128, 128), input_shape=(64, 64, 64), geometry="repo", octant_fix=fix)
        assert (int(method.block[2]), int(method.block[63]), method.blocks) == (octant, 7, (2, 2, 2))


@torch.no_grad()
def test_info_nce_on_octants_has_8_candidates() -> None:
    method = made(crop=(64, 64, 64), geometry="repo", octant_fix=True)
    levels = method.look(crops(method)["volume"])
    for part in (method.project_context["12"], method.project_patches["12"]):
        torch.nn.init.zeros_(part[2].weight)
        torch.nn.init.ones_(part[2].bias)
    assert float(method.cross_level("12", levels[0], levels[1])) == pytest.approx(math.log(8), abs=1e-4)


@torch.no_grad()
def test_fig_9_geometry_cuts_native_blocks_and_aligns_with_them() -> None:
    method = made(crop=(64, 64, 32), geometry="table_fig9", children=2)
    assert method.blocks == (2, 2, 1)
    levels = method.look(crops(method)["volume"])
    assert [len(level.volume) for level in levels] == [2, 4, 8]
    for hidden, places in zip(levels[0].hidden, levels[0].chosen, strict=True):  # type: ignore[arg-type]
        assert all(bool(hidden[method.block == place].all()) for place in places)
    for heads in (method.project_context, method.project_patches):
        for part in heads.values():
            torch.nn.init.zeros_(part[2].weight)
            torch.nn.init.ones_(part[2].bias)
    found = [float(method.cross_level(pair, levels[k], levels[k + 1])) for k, pair in enumerate(("12", "23"))]
    assert found == pytest.approx([math.log(4), math.log(8)], abs=1e-4)  # 4 blocks of level 1, 8 tokens of level 2


# --- gradients ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("pair", "parent"), [("12", 0), ("23", 1)])
def test_parents_are_not_moved_by_alignment_but_the_shared_decoder_is(pair: str, parent: int) -> None:
    method = made()
    levels = method.look(crops(method)["volume"])
    loss = method.cross_level(pair, levels[parent], levels[parent + 1])
    targets = [levels[parent].features, levels[parent + 1].features, method.decoder.blocks[0].mlp.fc1.weight]
    stopped, child, shared = torch.autograd.grad(loss, targets, allow_unused=True, retain_graph=True)
    assert stopped is None and bool(child.any()) and bool(shared.any())
    for head in (method.project_patches[pair], method.project_context[pair]):
        assert all(bool(g.any()) for g in torch.autograd.grad(loss, list(head.parameters()), retain_graph=True))
    free = made(stop_grad_parent=False)
    levels = free.look(crops(free)["volume"])
    (moved,) = torch.autograd.grad(
        free.cross_level(pair, levels[parent], levels[parent + 1]), [levels[parent].features]
    )
    assert bool(moved.any())


def test_every_trainable_tensor_learns_and_positions_stay() -> None:
    method = made()
    sum(method.loss(crops(method)).values()).backward()  # type: ignore[union-attr]
    assert [n for n, p in method.named_parameters() if p.grad is None or not p.grad.any()] == []
    assert {"encoder.positions", "decoder.positions"} <= {n for n, _ in method.named_buffers()}


@pytest.mark.parametrize("config", [CUBE, dataclasses.replace(CUBE, network="vit")], ids=["hybrid", "vit"])
def test_every_term_of_the_loss_reaches_the_first_layer_of_the_encoder(config: MiMConfig) -> None:
    method = made(config)
    embed = method.encoder.embed1.conv if config.network == "hybrid" else method.encoder.embed
    for name, term in method.loss(crops(method, 1)).items():
        (found,) = torch.autograd.grad(term, [embed.weight], retain_graph=True)  # type: ignore[list-item]
        assert bool(found.any()), name


def hits_and_risks(method: MiM, pair: str, parent: Level, child: Level) -> tuple[list[bool], bool]:
    """Whether each child's most similar place is its own, and whether the loss rises when one child's label moves by one."""
    place = parent.chosen
    assert place is not None
    context = method.project_context[pair](child.features.mean(1)).view(*place.shape, -1)
    patches = method.project_patches[pair](parent.features)
    similar = torch.nn.functional.cosine_similarity(context[:, :, None], patches[:, None], dim=-1)
    moved = place.clone()
    moved[0, 0] = (moved[0, 0] + 1) % patches.shape[1]
    wrong = method.cross_level(pair, dataclasses.replace(parent, chosen=moved), child)
    return (similar.argmax(2) == place).flatten().tolist(), bool(wrong > method.cross_level(pair, parent, child))


def test_overfitting_one_crop_points_every_child_to_its_place() -> None:
    """Crop, masks and children fixed; cells of distinct brightness, so that a child can be told from its siblings."""
    method = made(depths=(0, 0, 0, 1))
    x1 = (3 * torch.randn(1, 1, 4, 4, 4)).repeat_interleave(8, 2).repeat_interleave(8, 3).repeat_interleave(8, 4)
    optimiser = torch.optim.AdamW(method.parameters(), lr=3e-4)
    found: list[bool] = []
    for _ in range(400):
        torch.manual_seed(7)
        one, two, three = method.look(x1)
        with torch.no_grad():
            near, nearer = hits_and_risks(method, "12", one, two), hits_and_risks(method, "23", two, three)
        found = near[0] + nearer[0]
        if sum(found) >= 0.95 * len(found) and near[1] and nearer[1]:
            return
        optimiser.zero_grad()
        (method.cross_level("12", one, two) + method.cross_level("23", two, three)).backward()
        torch.nn.utils.clip_grad_norm_(method.parameters(), 1.0)
        optimiser.step()
    pytest.fail(f"After 400 steps {sum(found)} of {len(found)} children point to their place.")


# --- card and settings --------------------------------------------------------------------------------------------

TERMS = {
    "loss_none": set(),
    "loss_lc_only": {"align_12", "align_23"},
    "loss_lr1": {"rebuild_1"},
    "loss_lr123": {"rebuild_1", "rebuild_2", "rebuild_3"},
    "loss_lr123_lc23": {"rebuild_1", "rebuild_2", "rebuild_3", "align_23"},
    "loss_lr123_lc12": {"rebuild_1", "rebuild_2", "rebuild_3", "align_12"},
}


@pytest.mark.parametrize("variant", TERMS)
@torch.no_grad()
def test_the_settings_of_table_8_turn_terms_off(variant: str) -> None:
    method = made(**METHOD.variants[variant])
    if variant == "loss_none":
        assert method.config.steps == 0 and method.deepest == 0
        return
    assert set(method.loss(crops(method, 1))) == TERMS[variant]


@torch.no_grad()
def test_all_terms_stand_by_default_and_averaging_divides_them() -> None:
    method, averaged = made(), made(reconstruction_reduction="mean", alignment_reduction="mean")
    batch = crops(method)
    torch.manual_seed(3)
    summed = method.loss(batch)
    torch.manual_seed(3)
    mean = averaged.loss(batch)
    assert list(summed) == ["rebuild_1", "rebuild_2", "rebuild_3", "align_12", "align_23"]
    for name in summed:
        parts = 3 if name.startswith("rebuild") else 2
        assert float(summed[name]) == pytest.approx(parts * float(mean[name]), rel=1e-5)


@torch.no_grad()
def test_next_level_may_come_from_visible_tokens() -> None:
    method = made(TINY, **METHOD.variants["next_level_unmasked"])
    one, two, _ = method.look(crops(method)["volume"])
    assert not any(bool(level.hidden.gather(1, level.chosen).any()) for level in (one, two))  # type: ignore[arg-type]


@torch.no_grad()
def test_a_batch_in_halves_gives_the_same_loss_as_whole() -> None:
    """Each term is a mean over samples, so a micro-batch may stand for a share of the batch."""
    method = made()
    levels = method.look(crops(method, 2)["volume"])

    def half(n: int) -> list[Level]:
        return [
            Level(
                *(None if t is None else t.chunk(2)[n] for t in (v.volume, v.hidden, v.chosen, v.features, v.rebuilt))
            )  # type: ignore[arg-type]
            for v in levels
        ]

    whole, first, second = ({**method.reconstruction(x), **method.alignment(x)} for x in (levels, half(0), half(1)))
    for name in whole:
        assert float(whole[name]) == pytest.approx((float(first[name]) + float(second[name])) / 2, rel=1e-4)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mask_ratios": (0.2, 0.6, 0.6)}, "Level 1 has 2 hidden places for 4 children"),
        ({"next_level_from": "visible"}, "Level 1 has 3 visible places"),
        ({"geometry": "table_fig9"}, "Level 1 has 0 hidden places"),
        ({"geometry": "table_fig9", "children": 1}, "Level 1 has 0 hidden places for 1"),  # the whole crop again
        ({"crop": (64, 64, 32), "geometry": "table_fig9"}, "Level 1 has 2 hidden places"),  # of 5 hidden tokens, 2 each
        (
            {"crop": (64, 64, 32), "geometry": "table_fig9", "children": 2, "next_level_from": "visible"},
            "Level 1 has 1 visible places",
        ),
        ({"crop": (64, 64, 32), "geometry": "repo"}, "Level 1 has 2 hidden places"),
        ({"input_shape": (40, 32, 32)}, "40"),
        ({"crop": (33, 32, 32)}, "33"),
        ({"crop": (96, 64, 32), "geometry": "table_fig9"}, "own no token"),
        ({"rebuilt_levels": (4,)}, "levels are 1, 2, 3"),
        ({"rebuilt_levels": (), "aligned_pairs": ()}, "nothing to learn"),
        ({"octant_fix": True}, "found geometry=paper"),
        ({"alignment": "byol_released", "projection_out": 7}, "must equal"),
        ({"crop": (64, 64, 64), "geometry": "repo", "negatives": "visible_only"}, "one candidate per token"),
    ],
)
def test_settings_that_cannot_stand_together_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        made(**changes)


@pytest.mark.parametrize(("crop", "shape"), [((48, 64, 48), (48, 64, 48)), ((64, 64, 64), (64, 64, 64))])
@torch.no_grad()
def test_small_pre_trains_on_whole_hippocampi_and_on_64_cubes(crop: Any, shape: Any) -> None:
    method = made(SMALL, crop=crop, input_shape=shape, widths=(6, 12, 24, 48), depths=(1, 1, 1, 1))
    losses = method.loss(crops(method, 1))
    assert all(math.isfinite(float(value)) for value in losses.values())


def test_drop_path_and_both_projection_heads_take_their_sizes_from_the_settings() -> None:
    encoder = build_encoder(dataclasses.replace(TINY, drop_path=0.3), dataclasses.replace(SIGHT, shape=(64, 64, 64)))
    assert encoder.stage4[-1].drop_path.rate == pytest.approx(0.3)  # type: ignore[union-attr, operator]
    method = made(projection_hidden=24, projection_out=40)
    heads = [*method.project_context.values(), *method.project_patches.values()]
    assert [(head[0].out_features, head[2].out_features) for head in heads] == [(24, 40)] * 4


def test_projection_heads_start_xavier_uniform_without_bias_as_every_linear_layer_of_the_released_code() -> None:
    method = made(projection_hidden=24, projection_out=40)
    heads = [*method.project_context.values(), *method.project_patches.values()]
    for layer in (head[place] for head in heads for place in (0, 2)):
        bound = math.sqrt(6 / sum(layer.weight.shape))
        assert 0.9 * bound < layer.weight.abs().max() <= bound and not layer.bias.any()


def test_tiny_encoder_goes_from_pre_training_to_fine_tuning_by_name() -> None:
    method = made()
    encoder = build_encoder(TINY, dataclasses.replace(SIGHT, shape=(64, 64, 64)))
    adopted = encoder.adopt(method.encoder.state_dict())
    assert set(adopted.matched) | set(adopted.reshaped) == encoder.declared()
    assert TINY.multiple() == (32, 32, 32)


def test_every_field_of_the_config_names_its_source_on_its_line() -> None:
    import inspect

    lines = [line for line in inspect.getsource(MiMConfig).splitlines() if line.startswith("    ") and ": " in line]
    fields = [line for line in lines if line.split(":")[0].strip() in MiMConfig.__dataclass_fields__]
    assert len(fields) > 30
    assert all("  # " in line for line in fields)


# --- other networks and ways to fine-tune ---------------------------------------------------------------------------


def test_on_a_plain_vit_the_loss_is_finite_reaches_every_weight_and_nothing_hidden_is_seen() -> None:
    method = made(network="vit")
    batch = crops(method)
    sum(method.loss(batch).values()).backward()  # type: ignore[union-attr]
    assert isinstance(method.encoder, ViT3D)
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in method.encoder.parameters())
    volume, keep = torch.randn(1, 1, 32, 32, 32), torch.zeros(1, 8, dtype=torch.bool)
    keep[0, :3] = True
    noisy = volume.clone()
    noisy[..., 16:, :, :] += 1.0  # tokens 4 to 7, all hidden
    assert torch.equal(method.encoder.tokens(volume, keep=keep), method.encoder.tokens(noisy, keep=keep))


def test_at_full_size_the_plain_vit_is_vit_base_and_hands_over_every_tensor() -> None:
    config = dataclasses.replace(METHOD.full, network="vit")
    with torch.device("meta"):
        encoder = build_encoder(config, dataclasses.replace(SIGHT, shape=(96, 96, 96)))
    assert isinstance(encoder, ViT3D)
    assert (encoder.width, len(encoder.blocks), encoder.skips) == (768, 12, (3, 6, 9, 12))
    assert {block.attention.heads for block in encoder.blocks} == {12}  # type: ignore[union-attr]
    assert encoder.declared() == frozenset(encoder.state_dict())


@pytest.mark.parametrize("preset", ["small", "tiny"])
def test_unetrs_decoder_finds_the_four_maps_it_reads_in_the_smaller_vits_too(preset: str) -> None:
    config = dataclasses.replace(getattr(METHOD, preset), network=METHOD.variants["unetr"]["network"])
    encoder = build_encoder(config, dataclasses.replace(SIGHT, shape=(32, 32, 32)))
    decoder = build_decoder(METHOD.variants["unetr"]["decoder"], encoder=encoder, in_channels=1, classes=2)
    volume = torch.randn(1, 1, 32, 32, 32)
    assert decoder(volume, encoder(volume).maps).shape == (1, 2, 32, 32, 32)


def test_the_ranks_of_tables_13_and_14_change_fine_tuning_alone_and_share_one_pre_training() -> None:
    words = {"task": "msd04", "preset": "tiny", "corpus": "own"}
    plans = {name: blueprint(make_spec(method=name, **words)) for name in ("mim", "mim@lora_r4", "mim@lora_r16")}
    assert [plan.setup.recipe.lora_rank for plan in plans.values()] == [0, 4, 16]
    assert len({key_of(config=plan.phases["pretrain"]) for plan in plans.values()}) == 1


def test_the_unetr_row_of_table_5_takes_unetrs_decoder_and_a_pre_training_of_its_own() -> None:
    plain, vit = (blueprint(make_spec(method=name, task="msd04", preset="tiny")) for name in ("mim", "mim@unetr"))
    assert (plain.method.decoder, vit.method.decoder) == ("swin_unetr", "unetr")
    assert key_of(config=plain.architecture) != key_of(config=vit.architecture)
