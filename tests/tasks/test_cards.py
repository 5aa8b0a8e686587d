"""Cards: the facts of the papers and of the owners, restated here so that a slip of the hand shows."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from bench import registry
from bench.contracts.cards import Protocol
from bench.data.splits import lists, nested, read_list
from bench.phantoms import VIEWS

SPLITS = Path(__file__).parents[2] / "tasks" / "splits"


def protocol(task: str, name: str) -> Protocol:
    return registry.task(task).protocols[name]


@pytest.mark.parametrize(
    ("task", "name", "fold", "sizes", "at_ratios"),
    [
        ("msd04", "bench", 0, (182, 26, 52), {0.1: 19, 0.25: 46, 0.5: 91, 1.0: 182}),
        ("la", "bench", 0, (72, 8, 20), {0.1: 8, 0.25: 18, 0.5: 36, 1.0: 72}),
        ("la", "ar", 0, (80, 20, 20), {0.1: 8, 0.25: 20, 0.5: 40, 1.0: 80}),
        ("btcv", "bench", 0, (22, 2, 6), {0.1: 3, 0.25: 6, 0.5: 11, 1.0: 22}),
        ("btcv", "mim", 0, (24, 6, 6), {0.25: 6, 0.5: 12, 1.0: 24}),
        ("btcv", "mim", 4, (24, 6, 6), {0.25: 6, 0.5: 12, 1.0: 24}),
        ("btcv", "spad", 0, (21, 9, 9), {0.2: 4, 0.4: 8, 0.6: 12, 0.8: 16, 1.0: 21}),
    ],
)
def test_parts_and_label_ratios_have_the_published_sizes(
    task: str, name: str, fold: int, sizes: tuple[int, int, int], at_ratios: dict[float, int]
) -> None:
    chosen = protocol(task, name)
    parts = lists(chosen.split, SPLITS, fold)
    assert (len(parts.train), len(parts.val), len(parts.test)) == sizes
    assert {r: len(nested(parts.train, r, chosen.split.count)) for r in chosen.label_ratios} == at_ratios


def test_tasks_offer_the_protocols_of_the_papers_that_report_them_and_no_other() -> None:
    offered = {task: tuple(registry.task(task).protocols) for task in ("msd04", "la", "btcv")}
    assert offered == {"msd04": ("bench",), "la": ("bench", "ar"), "btcv": ("bench", "mim", "spad")}


def test_btcv_labels_are_in_the_owners_order_and_the_phantoms_agree() -> None:
    classes = registry.task("btcv").classes
    assert classes[0] == "spleen" and classes[5] == "liver" and classes[10] == "pancreas" and len(classes) == 13
    assert classes == VIEWS["abdomen"].classes
    assert registry.task("msd04").classes == VIEWS["hippocampus"].classes
    assert registry.task("la").classes == VIEWS["heart"].classes


def test_the_hippocampus_is_never_mirrored_front_to_back_and_enters_whole() -> None:
    chosen = protocol("msd04", "bench")
    assert chosen.recipe.flip_axes == (0,) and chosen.whole_volume and chosen.patch_voxels == (48, 64, 48)
    assert chosen.intensity.kind == "zscore" and "nsd@1mm" in chosen.metrics and chosen.spacing_mm is None
    assert registry.task("msd04").targets == {"organ": {"hippocampus": ("anterior", "posterior")}}


def test_ar_on_the_left_atrium_is_as_its_code_does_it() -> None:
    chosen = protocol("la", "ar")
    recipe = chosen.recipe
    assert chosen.intensity.kind == "asis" and chosen.patch_voxels == (192, 192, 64) and chosen.spacing_mm is None
    assert (recipe.lr, recipe.betas, recipe.weight_decay, recipe.layer_decay) == (3e-4, (0.9, 0.95), 0.05, 0.9)
    assert recipe.steps == 1000 * 80 // 4 and recipe.warmup_steps == 50 * 80 // 4 and recipe.selection == "best_val"
    assert chosen.inference.overlap == 0.75 and chosen.inference.blending == "constant" and chosen.metrics == ("dice",)


def test_mim_on_btcv_is_as_its_table_and_code_do_it() -> None:
    chosen = protocol("btcv", "mim")
    recipe = chosen.recipe
    assert chosen.spacing_mm == (1.5, 1.5, 2.0) and chosen.patch_voxels == (96, 96, 96)
    assert chosen.intensity.window_hu == (-175, 250) and chosen.intensity.scaled_to == (0, 1)
    assert recipe.lr == 2e-4 * recipe.batch_size / 16 and recipe.weight_decay == 1e-5 and recipe.grad_clip == 5
    assert recipe.steps == 1000 * 24 * recipe.crops_per_volume // recipe.batch_size and recipe.evaluate_every == 5 * 6
    assert recipe.warmup_steps == 50 * 6 and recipe.positive_share == 0.5 and recipe.flip_probability == 0.1
    assert (chosen.average, chosen.score_grid, chosen.inference.overlap) == ("case_then_class", "resampled", 0.5)


def test_spad_on_btcv_is_as_its_paper_and_code_do_it() -> None:
    chosen = protocol("btcv", "spad")
    recipe = chosen.recipe
    assert chosen.spacing_mm == (0.75, 0.75, 3.0) and chosen.patch_voxels == (192, 192, 48)
    assert chosen.intensity.scaled_to == (-1, 1) and recipe.selection == "last" and recipe.positive_share == 0.75
    assert (recipe.steps, recipe.batch_size, recipe.lr, recipe.weight_decay) == (50_000, 4, 1e-4, 0.05)
    assert (recipe.warmup_steps, recipe.grad_clip, recipe.layer_decay) == (5_000, 1.0, 1.0)
    assert chosen.inference.mirrored and chosen.inference.overlap == 0.75 and chosen.inference.blending == "gaussian"
    assert (chosen.metrics, chosen.distance_unit, chosen.score_grid) == (("dice", "assd", "hd"), "voxels", "native")


def test_no_recipe_of_ours_mirrors_paired_organs_into_each_other() -> None:
    assert protocol("btcv", "bench").recipe.flip_axes == ()


@pytest.mark.parametrize(("key", "printed", "members"), [("mim-1k", 746, 746), ("mim-10k", 10_502, 8_792)])
def test_corpora_carry_the_printed_counts(key: str, printed: int, members: int) -> None:
    card = registry.corpus(key)
    assert card.printed == printed and sum(member.printed for member in card.members) == members
    assert card.intensity.window_hu == (-1000, 1000) and card.spacing_mm is None
    if key == "mim-10k":
        assert members + 589 + 1_071 == 10_452 and any("10,452" in note for note in card.notes)


def test_each_listed_member_of_a_corpus_names_as_many_cases_as_the_paper_prints() -> None:
    counted = {
        member.key: (len(read_list(SPLITS, *member.cases)), member.printed)
        for key in registry.names(registry.CORPORA)
        for member in registry.corpus(key).members
        if member.cases
    }
    assert {"btcv", "tcia-covid19", "luna16", "stoic"} <= set(counted)
    assert all(found == printed for found, printed in counted.values())


def test_the_pool_of_mim_holds_no_test_scan_of_btcv() -> None:
    pool = set(read_list(SPLITS, "btcv.json", "monai_24_6/train"))
    assert not pool & set(lists(protocol("btcv", "mim").split, SPLITS).test)
    assert not pool & set(lists(protocol("btcv", "bench").split, SPLITS).test)


@pytest.mark.parametrize("preset", ["full", "small", "tiny"])
def test_every_recipe_has_a_length_at_every_preset(preset: str) -> None:
    for task in ("msd04", "la", "btcv"):
        for chosen in registry.task(task).protocols.values():
            recipe = chosen.recipe.sized(preset)
            assert recipe.warmup_steps < recipe.steps and 0 < recipe.evaluate_every <= recipe.steps
            assert math.isfinite(recipe.lr) and recipe.crops_per_volume <= recipe.batch_size
