"""Cards: the facts of the papers and of the owners, restated here so that a slip of the hand shows."""

from __future__ import annotations

import json
import math
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from bench import registry
from bench.contracts.errors import SpecError
from bench.contracts.kind import make_setup
from bench.contracts.protocols import Protocol
from bench.data.splits import beside_published_test, every_fold, lists, nested, read_list
from bench.data.volumes import label_map
from bench.phantoms import VIEWS
from bench.task_words import protocol_of
from bench.train.schedule import learning_rate

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
        ("msd03", "bench", 0, (92, 13, 26), {0.1: 10, 0.25: 23, 0.5: 46, 1.0: 92}),
        ("msd03", "ar", 0, (92, 13, 26), {1.0: 92}),
        ("msd03", "mim", 0, (104, 27, 27), {1.0: 104}),
        ("msd06", "bench", 0, (44, 6, 13), {0.1: 5, 0.25: 11, 0.5: 22, 1.0: 44}),
        ("msd06", "mg3d", 2, (50, 13, 13), {1.0: 50}),
        ("msd06", "mim", 3, (51, 12, 12), {1.0: 51}),
        ("msd07", "bench", 0, (197, 28, 56), {0.1: 20, 0.25: 50, 0.5: 99, 1.0: 197}),
        ("msd07", "mim", 0, (224, 57, 57), {1.0: 224}),
        ("msd08", "bench", 0, (212, 30, 61), {0.1: 22, 0.25: 53, 0.5: 106, 1.0: 212}),
        ("msd08", "mim", 4, (243, 60, 60), {1.0: 243}),
        ("msd09", "bench", 0, (29, 4, 8), {0.1: 3, 0.25: 8, 0.5: 15, 1.0: 29}),
        ("msd09", "mim", 0, (32, 9, 9), {0.25: 8, 0.5: 16, 1.0: 32}),
        ("msd10", "bench", 0, (88, 13, 25), {0.1: 9, 0.25: 22, 0.5: 44, 1.0: 88}),
        ("msd10", "mim", 0, (100, 26, 26), {1.0: 100}),
        ("msd01", "bench", 0, (348, 39, 97), {0.1: 35, 0.25: 87, 0.5: 174, 1.0: 348}),
        ("msd01", "mim", 0, (387, 97, 97), {1.0: 387}),
        ("brats21", "bench", 0, (900, 100, 251), {0.1: 90, 0.25: 225, 0.5: 450, 1.0: 900}),
        ("acdc", "bench", 0, (72, 8, 20), {0.1: 8, 0.25: 18, 0.5: 36, 1.0: 72}),
        ("acdc", "bench", 4, (72, 8, 20), {0.1: 8, 0.25: 18, 0.5: 36, 1.0: 72}),
        ("acdc", "official", 0, (90, 10, 50), {0.1: 9, 0.25: 23, 0.5: 45, 1.0: 90}),
        ("acdc", "mg3d", 2, (160, 40, 40), {1.0: 160}),
        ("chaos", "bench", 0, (14, 2, 4), {0.1: 2, 0.25: 4, 0.5: 7, 1.0: 14}),
        ("chaos", "spad", 4, (16, 4, 4), {1.0: 16}),
        ("mmwhs", "bench", 0, (14, 2, 4), {0.1: 2, 0.25: 4, 0.5: 7, 1.0: 14}),
        ("mmwhs", "mim", 0, (16, 4, 4), {0.25: 4, 0.5: 8, 1.0: 16}),
        ("amos22", "bench", 0, (180, 20, 100), {0.1: 18, 0.25: 45, 0.5: 90, 1.0: 180}),
        ("amos22", "mim", 0, (240, 60, 60), {0.25: 61, 0.5: 121, 1.0: 240}),
        ("flare22", "bench", 0, (36, 4, 10), {0.1: 4, 0.25: 9, 0.5: 18, 1.0: 36}),
        ("flare22", "mim", 0, (40, 10, 10), {0.25: 10, 0.5: 20, 1.0: 40}),
        ("covid1920", "bench", 0, (143, 16, 40), {0.1: 15, 0.25: 36, 0.5: 72, 1.0: 143}),
        ("covid1920", "mg3d", 1, (159, 40, 40), {1.0: 159}),
    ],
)
def test_parts_and_label_ratios_have_the_published_sizes(
    task: str, name: str, fold: int, sizes: tuple[int, int, int], at_ratios: dict[float, int]
) -> None:
    chosen = protocol(task, name)
    parts = lists(chosen.split, SPLITS, fold)
    assert (len(parts.train), len(parts.val), len(parts.test)) == sizes
    assert {r: len(nested(parts.train, r, chosen.split.count, parts.subsets)) for r in chosen.label_ratios} == at_ratios


def test_the_five_folds_of_acdc_test_each_patient_once_and_the_first_is_the_proposed_split() -> None:
    rule = protocol("acdc", "bench").split
    folds = every_fold(rule, SPLITS)
    assert sorted(case for parts in folds for case in parts.test) == [f"patient{n:03d}" for n in range(1, 101)]
    for part in ("train", "val", "test"):
        proposed = read_list(SPLITS, "bench_proposed.json", f"acdc/{part}")
        assert sorted(getattr(folds[0], part)) == sorted(proposed)
    assert folds[0].train == read_list(SPLITS, "bench_proposed.json", "acdc/train")
    assert all(len(set(parts.everything())) == 100 for parts in folds)
    with pytest.raises(SpecError, match="No fold 5"):
        lists(rule, SPLITS, 5)


OFFERED = {
    "msd01": ("bench", "mim"),
    "brats21": ("bench",),
    "chaos": ("bench", "spad"),
    "acdc": ("bench", "official", "mg3d"),
    "msd03": ("bench", "ar", "mim"),
    "msd04": ("bench",),
    "msd06": ("bench", "ar", "mim", "mg3d"),
    "msd07": ("bench", "ar", "mim"),
    "msd08": ("bench", "ar", "mim"),
    "msd09": ("bench", "ar", "mim"),
    "msd10": ("bench", "ar", "mim"),
    "mmwhs": ("bench", "mim"),
    "amos22": ("bench", "mim"),
    "flare22": ("bench", "mim"),
    "covid1920": ("bench", "mg3d"),
    "la": ("bench", "ar"),
    "btcv": ("bench", "mim", "spad"),
}


def test_tasks_offer_the_protocols_of_the_papers_that_report_them_and_no_other() -> None:
    assert {task: tuple(registry.task(task).protocols) for task in OFFERED} == OFFERED


def test_every_note_is_told_once_and_with_its_numbers_filled_in() -> None:
    for task in registry.names(registry.TASKS):
        for name, chosen in registry.task(task).protocols.items():
            assert len(set(chosen.notes)) == len(chosen.notes), (task, name)
            assert not any(re.search(r"\{[a-z]", note) for note in chosen.notes), (task, name)


def test_a_length_told_for_mim_is_that_of_its_recipe_and_split() -> None:
    told = [t for t, offered in OFFERED.items() if "mim" in offered and t != "msd01"]
    assert len(told) == 10
    for task in told:
        chosen = protocol(task, "mim")
        (note,) = (note for note in chosen.notes if note.startswith("Length and learning rate"))
        volumes = len(lists(chosen.split, SPLITS).train)
        per_epoch = math.ceil(volumes / 4)
        assert f"{per_epoch} steps an epoch: {chosen.recipe.steps:,} updates" in note, task
        assert (chosen.recipe.steps, chosen.recipe.warmup_steps) == (1000 * per_epoch, 50 * per_epoch), task
        assert f" {volumes} volumes by 4" in note, task


def test_that_the_siblings_rate_on_the_colon_is_another_one_is_told() -> None:
    """The fidelity notes on MiM, Sec. 5: 2e-4, but 3e-4 for colon; the length's note names the sibling as the source of 2e-4."""
    chosen = protocol("msd10", "mim")
    assert chosen.recipe.lr == 2e-4 and sum("on the colon is 3e-4" in note for note in chosen.notes) == 1


def test_fewer_labels_are_trained_on_as_long_as_all_under_mims_protocol_which_is_told() -> None:
    for task in (task for task, offered in OFFERED.items() if "mim" in offered):
        chosen = protocol(task, "mim")
        told = [note for note in chosen.notes if f"Smaller ratios keep all {chosen.recipe.steps:,} updates" in note]
        assert len(told) == (len(chosen.label_ratios) > 1), task
        assert all(f"an evaluation each {chosen.recipe.evaluate_every:,} (ours;" in note for note in told), task


def test_mims_cards_tell_how_the_released_rate_moves_and_spads_that_grey_images_come_once() -> None:
    """Both by the papers' released code: a cosine set once per epoch (MiM, Sec. 5), one channel thrice (SPAD, Sec. 5.2)."""
    segmentations = [task for task, offered in OFFERED.items() if "mim" in offered]
    for task in segmentations:
        assert sum("with each epoch, as preset ref_code does." in note for note in protocol(task, "mim").notes) == 1, (
            task
        )
    for task in (name for name in registry.names(registry.TASKS) if "mnist" in name):
        told = "One channel is not repeated to three." in protocol(task, "spad").notes
        assert told == (registry.task(task).channels == 1), task


def test_where_crops_off_the_foreground_lie_is_told_of_every_paper_that_centres_them_on_background() -> None:
    """Of MSD's and MiM's loaders alike: a crop's centre is foreground, or background whose windowed image is above 0."""
    centred = [(task, name) for task, offered in OFFERED.items() for name in ("ar", "mim") if name in offered]
    left = {("la", "ar"), ("msd01", "mim")}  # crops anywhere in the code, too
    for task, name in {*centred, ("msd06", "mg3d")} - left:
        assert sum("whose windowed image is above 0." in note for note in protocol(task, name).notes) == 1, (task, name)


@pytest.mark.parametrize("task", ["msd06", "covid1920", "ccccii"])
def test_mg3ds_cards_tell_how_the_released_rate_moves(task: str) -> None:
    """Its scheduler is stepped once per epoch, but on ACDC; a rate of STOIC and LUNA16 stays where it is."""
    for name in {"mim", "mg3d"} & set(registry.task(task).protocols):
        assert sum("with each epoch, as preset ref_code does." in note for note in protocol(task, name).notes) == 1, (
            name
        )


def test_btcv_labels_are_in_the_owners_order_and_the_phantoms_agree() -> None:
    classes = registry.task("btcv").classes
    assert classes[0] == "spleen" and classes[5] == "liver" and classes[10] == "pancreas" and len(classes) == 13
    assert classes == VIEWS["abdomen"].classes
    assert registry.task("msd04").classes == VIEWS["hippocampus"].classes
    assert registry.task("la").classes == VIEWS["heart"].classes


def test_phantoms_carry_the_labels_of_their_tasks() -> None:
    views = {
        "acdc": "ventricles",
        "chaos": "four-organs",
        "msd01": "brain-tumor",
        "brats21": "glioma",
        "mmwhs": "whole-heart",
        "amos22": "trunk",
        "flare22": "thirteen-organs",
        "covid1920": "covid",
    }
    assert {task: registry.task(task).classes for task in views} == {t: VIEWS[v].classes for t, v in views.items()}
    for number in ("03", "06", "07", "08", "09", "10"):
        card = registry.task(f"msd{number}")
        (msd, nnunet) = card.files.forms  # type: ignore[attr-defined]
        assert card.classes == msd.labels == nnunet.labels == VIEWS[msd.look.view].classes


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
    assert (recipe.batch_size, recipe.crops_per_volume, recipe.positive_share) == (4, 1, 0)  # uniform, one of a volume
    assert (recipe.precision, recipe.grad_clip, recipe.loss, recipe.rot90_probability) == ("fp16", 0, "dice_ce", 0)
    assert chosen.inference.overlap == 0.75 and chosen.inference.blending == "constant" and chosen.metrics == ("dice",)
    assert not chosen.inference.mirrored and recipe.evaluate_every == 50 * 80 // 4


@pytest.mark.parametrize("task", ["la", "ricord"])
def test_ar_disturbs_its_training_images_as_its_code_does(task: str) -> None:
    recipe = protocol(task, "ar").recipe
    assert (recipe.elastic_probability, recipe.noise_probability) == (0.2, 0.1)
    assert (recipe.contrast_probability, recipe.gamma_probability, recipe.intensity_scale_probability) == (0.15,) * 3
    halved = (recipe.blur_probability, recipe.intensity_shift_probability, recipe.low_resolution_probability)
    assert halved == (0.2 / 2, 0.15 / 2, 0.25 / 2)  # each channel is skipped half the time, and there is one
    assert recipe.elastic == (0.0, 900.0) and recipe.elastic_sd == (9.0, 13.0) and recipe.noise_sd == (0.0, 0.1)
    assert (recipe.blur_sd, recipe.contrast, recipe.low_resolution) == ((0.5, 1.0), (0.75, 1.25), (0.5, 1.0))
    assert recipe.gamma == (0.7, 1.5) and recipe.flip_axes == (0, 1, 2) and recipe.flip_probability == 0.5
    assert recipe.zoom == pytest.approx((1 / 1.25, 1 / 0.85), abs=0.005)  # sampling positions times 0.85 to 1.25
    assert recipe.rotate_degrees == (15.0,) * 3 and recipe.rotate_probability == recipe.zoom_probability == 0.2
    assert recipe.intensity_scale == 0.25
    assert recipe.intensity_shift / math.sqrt(3) == pytest.approx(0.1, abs=0.002)  # the sd of a uniform offset


@pytest.mark.parametrize("task", ["la", "ricord"])
def test_that_ars_code_draws_gamma_below_one_half_the_time_is_told(task: str) -> None:
    """batchgenerators first tosses on which side of 1 it lies; SPAD's code, which shares our draw, is uniform throughout."""
    chosen = protocol(task, "ar")
    low, high = chosen.recipe.gamma
    (told,) = (note for note in chosen.notes if note.startswith("Gamma is uniform"))
    assert (1 - low) / (high - low) == pytest.approx(3 / 8) and "below 1 in three of eight" in told
    assert "the code's is below 1 in one of two" in told


@pytest.mark.parametrize("task", ["la", "ricord"])
def test_that_fewer_labels_are_trained_on_as_long_as_all_is_told(task: str) -> None:
    """The code counts epochs, so that a tenth of the cases would be a tenth of the updates; a recipe counts updates."""
    chosen = protocol(task, "ar")
    length = next(note for note in chosen.notes if " epochs of " in note)
    assert min(chosen.label_ratios) == 0.1 and f"{chosen.recipe.steps:,}" in length
    assert re.search(rf"Smaller ratios keep all {chosen.recipe.steps:,}", length)


def test_ar_on_covid_is_as_its_code_does_it() -> None:
    chosen = protocol("ricord", "ar")
    recipe, n = chosen.recipe, len(lists(chosen.split, SPLITS).train)
    assert (chosen.intensity.window_hu, chosen.stored_values, chosen.whole_volume) == ((0, 1400), True, True)
    assert chosen.patch_voxels == chosen.stored_voxels == (128, 128, 64) and chosen.spacing_mm is None
    assert (recipe.lr, recipe.betas, recipe.weight_decay, recipe.layer_decay) == (5e-5, (0.9, 0.95), 0.05, 0.75)
    assert (recipe.batch_size, recipe.grad_clip, recipe.precision, recipe.warmup_steps) == (8, 12, "fp32", 0)
    assert recipe.steps == 200 * (n // 8) and recipe.evaluate_every == n // 8  # the last, smaller batch is dropped
    assert (recipe.loss, recipe.selection, recipe.select_by) == ("ce_by_class", "best_val", "acc+auc")


def test_ar_on_nodules_is_as_its_code_does_it() -> None:
    chosen = protocol("nodulemnist3d", "ar")
    recipe, epoch = chosen.recipe, math.ceil(1_158 / 16)
    assert chosen.intensity.kind == "u8" and chosen.patch_voxels == (128, 128, 128) and chosen.whole_volume
    assert (recipe.lr, recipe.betas, recipe.weight_decay, recipe.layer_decay) == (1.5e-5, (0.9, 0.999), 0.01, 1.0)
    assert (recipe.batch_size, recipe.grad_clip, recipe.precision, recipe.warmup_steps) == (16, 0, "fp32", 0)
    assert (recipe.steps, recipe.evaluate_every, recipe.schedule) == (100 * epoch, epoch, "cosine")
    assert (recipe.loss, recipe.selection, recipe.select_by) == ("ce", "best_val", "")  # empty: AUC
    stops = next(note for note in chosen.notes if "stops after 30 epochs" in note)
    assert "weights of a later and better one are kept" in stops  # nothing here stops a training early
    assert (recipe.flip_axes, recipe.flip_probability) == ((0, 1, 2), 0.5)
    still = (recipe.intensity_scale, recipe.intensity_shift, recipe.rot90_probability, *recipe.rotate_degrees)
    assert set(still) == {0} and recipe.zoom == (1, 1)


@pytest.mark.parametrize("task", ["btcv", "chaos"])
def test_spad_disturbs_its_training_images_as_its_code_does_where_the_units_allow_it(task: str) -> None:
    recipe = protocol(task, "spad").recipe
    assert (recipe.blur_probability, recipe.blur_sd) == (0.1, (0.8, 1.2))
    assert (recipe.contrast_probability, recipe.contrast) == (0.15, (0.75, 1.25))
    assert (recipe.gamma_probability, recipe.gamma) == (3 / 13, (0.7, 1.5))
    assert recipe.low_resolution_probability == 0.0
    assert (recipe.flip_axes, recipe.flip_probability) == ((0, 1, 2), 0.5) and recipe.rot90_probability == 0
    assert (recipe.rotate_degrees, recipe.rotate_probability) == ((0, 0, 90), 0.2) and recipe.zoom_probability == 0.2
    assert (recipe.intensity_scale, recipe.intensity_scale_probability, recipe.intensity_shift) == (0.25, 0.15, 0)
    low, high = protocol("btcv", "spad").intensity.scaled_to
    noise = (0.1, (0.0, 0.1 * (high - low))) if task == "btcv" else (0.0, (0.0, 0.1))  # z-scores have another unit
    assert (recipe.noise_probability, recipe.noise_sd) == noise


def test_mg3d_on_covid1920_adds_the_noise_of_the_challenges_example() -> None:
    recipe = protocol("covid1920", "mg3d").recipe
    assert (recipe.noise_probability, recipe.noise_sd) == (0.15, (0.0, 0.01))
    assert protocol("covid1920", "mg3d").intensity.scaled_to == (0, 1)


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
    assert chosen.intensity.window_hu == (-175, 250) and chosen.intensity.scaled_to == (-1, 1)
    assert recipe.selection == "last" and recipe.positive_share == 0.75 and recipe.balanced_classes
    assert (recipe.steps, recipe.batch_size, recipe.lr, recipe.weight_decay) == (50_000, 4, 1e-4, 0.05)
    assert (recipe.warmup_steps, recipe.grad_clip, recipe.layer_decay) == (5_000, 1.0, 1.0)
    assert chosen.inference.mirrored and chosen.inference.overlap == 0.75 and chosen.inference.blending == "gaussian"
    assert (chosen.distance_unit, chosen.score_grid) == ("voxels", "native")
    assert chosen.metrics == ("dice", "assd", "hd", "assd@mm", "hd@mm")


@pytest.mark.parametrize(
    ("task", "window_hu", "spacing_mm", "epochs", "target"),
    [
        ("msd03", (-21, 189), (1, 1, 1), 1000, "organ"),
        ("msd06", (-1000, 1000), (1, 1, 1), 1000, "tumor"),
        ("msd07", (-87, 199), (1, 1, 1.5), 500, "both"),
        ("msd08", (0, 230), (1, 1, 1.5), 500, "both"),
        ("msd09", (-57, 175), (1, 1, 1), 1000, "organ"),
        ("msd10", (-57, 175), (1, 1, 1.5), 1000, "tumor"),
    ],
)
def test_ar_on_the_decathlon_is_as_its_code_does_it(
    task: str, window_hu: tuple[float, float], spacing_mm: tuple[float, float, float], epochs: int, target: str
) -> None:
    chosen = protocol(task, "ar")
    recipe, n = chosen.recipe, len(lists(chosen.split, SPLITS).train)
    assert (chosen.intensity.window_hu, chosen.spacing_mm, chosen.target) == (window_hu, spacing_mm, target)
    assert (recipe.lr, recipe.weight_decay, recipe.layer_decay, recipe.betas) == (3e-4, 0.05, 0.75, (0.9, 0.95))
    assert recipe.batch_size == 16 and recipe.crops_per_volume == 4 and recipe.grad_clip == 0
    assert recipe.steps == epochs * math.ceil(n / 4) and recipe.warmup_steps == recipe.evaluate_every == 50 * math.ceil(
        n / 4
    )
    assert recipe.flip_probability == recipe.rot90_probability == 0.2 and chosen.metrics == ("dice",)
    assert recipe.intensity_scale_probability == recipe.intensity_shift_probability == 0.1
    assert recipe.intensity_scale == recipe.intensity_shift == 0.1 and recipe.precision == "fp16"
    classes = (2 / 3, True) if target == "both" else (0.5, False)  # background and two classes alike, or one half each
    assert (recipe.positive_share, recipe.balanced_classes) == classes and recipe.loss == "dice_ce"
    assert (chosen.inference.overlap, chosen.inference.blending) == (0.75, "constant")
    assert (chosen.score_grid, chosen.average) == ("resampled", "class_then_case")


@pytest.mark.parametrize(
    ("task", "window_hu", "spacing_mm", "chances", "nsd_mm", "target"),
    [
        ("msd03", (-21, 189), 1.0, (0.2, 0.2, 0.1), 7, "organ"),
        ("msd06", (-1000, 1000), 1.0, (0.5, 0.3, 0.1), 2, "tumor"),
        ("msd07", (-87, 199), 1.5, (0.5, 0.25, 0.5), 5, "organ"),
        ("msd08", (0, 230), 1.5, (0.5, 0.25, 0.5), 3, "both"),
        ("msd09", (-57, 164), 1.0, (0.5, 0.25, 0.5), 3, "organ"),
        ("msd10", (-57, 175), 1.5, (0.5, 0.25, 0.5), 4, "tumor"),
    ],
)
def test_mim_on_the_decathlon_is_as_its_tables_and_code_do_it(
    task: str,
    window_hu: tuple[float, float],
    spacing_mm: float,
    chances: tuple[float, float, float],
    nsd_mm: int,
    target: str,
) -> None:
    chosen = protocol(task, "mim")
    recipe, n = chosen.recipe, len(lists(chosen.split, SPLITS).train)
    assert (chosen.intensity.window_hu, chosen.spacing_mm, chosen.target) == (window_hu, (spacing_mm,) * 3, target)
    assert (recipe.flip_probability, recipe.rot90_probability, recipe.intensity_shift_probability) == chances
    assert recipe.lr == 2e-4 * recipe.batch_size / 16 and recipe.steps == 1000 * math.ceil(n / 4)
    assert recipe.warmup_steps == 50 * math.ceil(n / 4) and recipe.evaluate_every == 5 * math.ceil(n / 4)
    assert recipe.positive_share == (0.5 if task == "msd09" else 2 / 3)
    assert (recipe.rotate_degrees, recipe.rotate_probability) == ((0, 0, 12), 1)  # the code's affine, of every crop
    assert (recipe.zoom, recipe.zoom_probability) == ((0.9, 1.1), 1)
    assert chosen.metrics == ("dice", f"nsd@{nsd_mm}mm") and chosen.average == "case_then_class"


def test_mg3d_on_the_lung_is_as_its_config_and_code_do_it() -> None:
    chosen = protocol("msd06", "mg3d")
    recipe = chosen.recipe
    assert chosen.intensity.window_hu == (-175, 250) and chosen.spacing_mm == (1.5, 1.5, 1.5)
    assert recipe.loss == "dice_plain" and recipe.batch_size == 2 * recipe.crops_per_volume == 8
    assert (recipe.intensity_scale, recipe.intensity_shift) == (0.1, 0.1)
    assert (recipe.intensity_scale_probability, recipe.intensity_shift_probability) == (0.1, 0.1)
    assert recipe.lr == 2e-4 * 8 / 16 and recipe.steps == 1000 * 50 // 2 and recipe.warmup_steps == 50 * 25


@pytest.mark.parametrize(
    ("task", "spacing_mm", "window_hu", "chances", "epoch"),
    [
        ("mmwhs", (1.5, 1.5, 1.5), (0, 1700), (0.1, 0.1, 0.5), 4),
        ("amos22", (1.5, 1.5, 2.0), (-175, 250), (0.5, 0.5, 0.5), 60),
        ("flare22", (1.5, 1.5, 2.0), (-175, 250), (0.2, 0.2, 0.1), 10),
    ],
)
def test_mim_on_its_unseen_sets_is_as_its_table_says(
    task: str,
    spacing_mm: tuple[float, float, float],
    window_hu: tuple[float, float],
    chances: tuple[float, float, float],
    epoch: int,
) -> None:
    chosen = protocol(task, "mim")
    recipe = chosen.recipe
    assert (chosen.spacing_mm, chosen.intensity.window_hu) == (spacing_mm, window_hu)
    assert (recipe.flip_probability, recipe.rot90_probability, recipe.intensity_shift_probability) == chances
    assert (recipe.steps, recipe.warmup_steps, recipe.evaluate_every) == (1000 * epoch, 50 * epoch, 5 * epoch)
    assert chosen.split.order == "published" and chosen.average == "case_then_class"


def test_mg3d_on_the_beating_heart_is_as_its_config_and_code_do_it() -> None:
    chosen = protocol("acdc", "mg3d")
    recipe = chosen.recipe
    assert chosen.spacing_mm is None and chosen.patch_voxels == (192, 192, 32) and chosen.intensity.over == "nonzero"
    assert (recipe.batch_size, recipe.crops_per_volume, recipe.loss) == (2, 2, "dice_ce_plain_foreground")
    assert (recipe.lr, recipe.weight_decay, recipe.grad_clip) == (3e-4, 1e-5, 0)
    assert (recipe.steps, recipe.warmup_steps, recipe.evaluate_every) == (300 * 160, 5 * 160, 10 * 160)
    assert chosen.inference.overlap == 0.75 and chosen.split.straddles and recipe.flip_probability == 0.1


def test_mg3d_on_covid_lesions_is_as_its_config_and_code_do_it() -> None:
    chosen = protocol("covid1920", "mg3d")
    assert chosen.spacing_mm == (1.25, 1.25, 5.0) and chosen.patch_voxels == (192, 192, 32)
    assert chosen.intensity.window_hu == (-1000, 500) and math.isclose(chosen.recipe.lr, 2e-4 * 6 / 16)
    assert chosen.recipe.batch_size == 2 * chosen.recipe.crops_per_volume and chosen.recipe.steps == 1000 * 80


def test_mg3ds_code_shows_both_devices_the_same_crops_of_all_covid_volumes() -> None:
    """Its loader has no sampler and its ranks one seed: an epoch is as many updates as volumes, each by one volume's crops."""
    chosen = protocol("covid1920", "mg3d")
    volumes = len(lists(chosen.split, SPLITS).train)
    code, paper = (chosen.recipe_at(preset, "segmentation", from_scratch=False) for preset in ("ref_code", "full"))
    assert code.batch_size == code.crops_per_volume == 3 and code.lr == paper.lr and code.lr_every == volumes == 159
    assert (code.steps, code.warmup_steps, code.evaluate_every) == (1000 * volumes, 50 * volumes, 5 * volumes)


def has(told: Any, **expected: Any) -> None:
    """Every number at once, so that a failure shows all that moved."""
    assert {name: getattr(told, name) for name in expected} == expected


ENGINE: dict[str, Any] = {
    "optimiser": "adamw",
    "betas": (0.9, 0.999),
    "layer_decay": 1.0,
    "selection": "best_val",
    "rot90_probability": 0.0,
    "rotate_degrees": (0.0, 0.0, 0.0),
    "zoom": (1.0, 1.0),
    "intensity_scale": 0.0,
    "intensity_shift": 0.0,
    "noise_probability": 0.0,
    "elastic_probability": 0.0,
}
WINDOWS: dict[str, Any] = {"overlap": 0.5, "blending": "constant", "mirrored": False}


def test_mims_segmentations_of_ct_share_one_engine() -> None:
    """Sec. 5 of the fidelity notes: optimiser, clipping, crops and windows are said once for all its tasks."""
    tasks = [task for task, offered in OFFERED.items() if "mim" in offered and task != "msd01"]
    assert len(tasks) == 10
    for task in tasks:
        chosen, turned = protocol(task, "mim"), task.startswith("msd")
        moved = {"rotate_degrees": (0.0, 0.0, 12.0), "zoom": (0.9, 1.1)} if turned else {}
        free = {name: value for name, value in ENGINE.items() if name != "rot90_probability"}
        has(chosen.recipe, **{**free, "intensity_shift": 0.1, **moved}, batch_size=16, crops_per_volume=4, lr=2e-4)
        has(chosen.recipe, weight_decay=1e-5, grad_clip=5.0, precision="fp16", loss="dice_ce", schedule="cosine")
        has(chosen.recipe, flip_axes=(0, 1, 2), balanced_classes=False)
        has(chosen, patch_voxels=(96, 96, 96), crop_foreground=True, score_grid="resampled", distance_unit="mm")
        has(chosen.inference, **WINDOWS)
    recipe = protocol("btcv", "mim").recipe
    assert (recipe.rot90_probability, recipe.intensity_shift_probability) == (0.1, 0.5)


def test_mim_on_brain_tumors_is_as_its_assets_and_loader_do_it() -> None:
    chosen = protocol("msd01", "mim")
    varied = {**ENGINE, "intensity_scale": 0.1, "intensity_shift": 0.1}
    has(chosen.recipe, **varied, intensity_scale_probability=1.0, intensity_shift_probability=1.0, flip_probability=0.5)
    has(chosen.recipe, batch_size=16, crops_per_volume=1, lr=2e-4, weight_decay=1e-5, grad_clip=5.0, precision="fp16")
    has(
        chosen.recipe,
        loss="dice_squared",
        positive_share=0.0,
        steps=1000 * 25,
        warmup_steps=50 * 25,
        evaluate_every=5 * 25,
    )
    has(chosen, patch_voxels=(224, 224, 120), spacing_mm=(1.0, 1.0, 1.0), metrics=("dice",))
    has(chosen, average="case_then_class", score_grid="resampled")
    has(chosen.inference, **WINDOWS)


MG3D: dict[str, dict[str, Any]] = {
    "msd06": {
        "grad_clip": 5.0,
        "precision": "fp16",
        "weight_decay": 1e-5,
        "evaluate_every": 5 * 25,
        "positive_share": 2 / 3,
        "flip_probability": 0.5,
        "rot90_probability": 0.3,
        "rotate_degrees": (0.0, 0.0, 12.0),
        "rotate_probability": 1.0,
        "zoom": (0.9, 1.1),
        "zoom_probability": 1.0,
        "intensity_scale": 0.1,
        "intensity_shift": 0.1,
    },
    "covid1920": {
        "grad_clip": 5.0,
        "precision": "fp16",
        "weight_decay": 1e-5,
        "warmup_steps": 50 * 80,
        "evaluate_every": 5 * 80,
        "loss": "dice_ce",
        "positive_share": 0.5,
        "flip_probability": 0.5,
        "rotate_degrees": (2.86, 2.86, 0.0),  # 0.05 rad, about the third axis None
        "rotate_probability": 0.15,
        "zoom": (0.9, 1.1),
        "zoom_probability": 0.15,
        "noise_probability": 0.15,
    },
    "acdc": {"precision": "fp16", "positive_share": 0.5, "flip_axes": (0, 1, 2)},
    "luna16": {
        "schedule": "constant",
        "warmup_steps": 0,
        "grad_clip": 0.0,
        "precision": "fp32",
        "batch_size": 32,
        "lr": 1.5e-4,
        "weight_decay": 1e-6,
        "loss": "ce",
        "balanced_classes": True,
        "flip_axes": (),
    },
    "stoic": {
        "schedule": "constant",
        "warmup_steps": 0,
        "grad_clip": 0.0,
        "precision": "fp16",
        "batch_size": 2,
        "lr": 5e-5,  # of the experiment's file, which stands over the base file's 1e-5 and 100 epochs
        "betas": (0.9, 0.99),
        "weight_decay": 0.01,
        "loss": "bce",
        "flip_axes": (),
        "steps": 40 * 800,
        "evaluate_every": 800,
    },
    "ccccii": {
        "grad_clip": 0.0,
        "precision": "fp16",
        "batch_size": 4,
        "lr": 3e-4,
        "weight_decay": 0.01,
        "loss": "ce",
        "flip_axes": (2,),
        "flip_probability": 0.5,
        "intensity_scale": 0.05,
        "intensity_scale_probability": 1.0,
        "intensity_shift": 0.07,
        "intensity_shift_probability": 1.0,
    },
}


@pytest.mark.parametrize("task", MG3D)
def test_mg3d_fine_tunes_each_task_as_its_code_does(task: str) -> None:
    """Sec. 5 of the fidelity notes, row by row; what a row does not say is nowhere varied."""
    chosen = protocol(task, "mg3d")
    has(chosen.recipe, **{"schedule": "cosine", **ENGINE, **MG3D[task]})
    if task in ("msd06", "covid1920", "acdc"):
        has(chosen.inference, **{**WINDOWS, "overlap": 0.75 if task == "acdc" else 0.5})
        has(chosen, metrics=("dice",), score_grid="resampled", distance_unit="mm")
        has(chosen, patch_voxels=(96, 96, 96) if task == "msd06" else (192, 192, 32))
        has(chosen, average="case_then_class")  # MONAI's MEAN: over classes of a case first, on ACDC, too
        has(chosen, crop_foreground=task != "covid1920")


def test_mg3d_on_nodules_and_severity_shows_its_networks_what_its_code_does() -> None:
    luna, stoic = protocol("luna16", "mg3d"), protocol("stoic", "mg3d")
    assert luna.intensity.window_hu == (-1000, 600) and stoic.intensity.window_hu == (-1100, 300)
    has(luna, patch_voxels=(48, 48, 48), spacing_mm=None)
    assert luna.metrics[0] == "auc" and luna.files.table == "candidates.csv"  # type: ignore[union-attr]
    has(stoic, spacing_mm=(1.6, 1.6, 1.6), box_voxels=(240, 240, 240), box_at_top=True, whole_volume=True)
    has(stoic, patch_voxels=(128, 128, 128), stored_voxels=(128, 128, 128), target="severe")
    assert stoic.metrics == ("auc", "auc@all")  # positives are the headline


TOLD = {
    "ctrg_report": (
        "so that a longer one weighs more",
        "149 words without an end",
        "222 of 722 updates without dropout",
        "by its beam there, too",
    ),
    "msd06": ("the crop's mirror image, mask and all",),
    "ctrate_prompts": ("in the code it stays as CT-CLIP's weights have it",),
    "acdc": ("and as background there", "brighter than the mean, in", "on background brighter than the mean."),
    "luna16": ("6 to select on", "the code moves it inside", "the code takes no notice", "only the varied copies are"),
}


@pytest.mark.parametrize("task", TOLD)
def test_mg3ds_cards_tell_what_a_protocol_cannot_say_of_the_code(task: str) -> None:
    notes = protocol(task, "mg3d").notes
    assert [told for told in TOLD[task] if sum(told in note for note in notes) != 1] == []


def test_mg3ds_reports_and_prompts_are_fine_tuned_as_its_code_does() -> None:
    reports, prompts = protocol("ctrg_report", "mg3d").recipe, protocol("ctrate_prompts", "mg3d").recipe
    has(reports, steps=30 * 722, batch_size=2, lr=1e-4, layer_decay=0.5, weight_decay=5e-5, evaluate_every=722)
    has(reports, warmup_steps=0, kept_share=(1.0, 1.0, 1.0), decoder_width=512, decoder_hidden=512, decoder_heads=8)
    has(reports, decoder_depth=1, memory_slots=60, pooled_side=3, max_tokens=150, least_count=3, selection="best_val")
    has(prompts, steps=10_000, warmup_steps=10_000, batch_size=1, lr=1e-5, weight_decay=0.1, grad_clip=0.0)
    has(prompts, decay_all=True, loss="pair_mse", fused=True, frozen_encoder=True, selection="last", log_scale=1.0)
    has(prompts, affirm="{finding}.", deny="not {finding}.")


def test_ar_on_the_decathlon_sees_and_selects_as_its_code_does() -> None:
    for task in (task for task, offered in OFFERED.items() if "ar" in offered and task != "la"):
        chosen = protocol(task, "ar")
        still = {name: value for name, value in ENGINE.items() if not name.startswith(("intensity", "rot90", "betas"))}
        has(chosen.recipe, **{**still, "layer_decay": 0.75}, schedule="cosine", flip_axes=(0, 1, 2))
        has(chosen, patch_voxels=(96, 96, 96), crop_foreground=True, distance_unit="mm")
        assert not chosen.inference.mirrored and chosen.intensity.scaled_to == (0, 1)


def test_the_test_part_of_amos_is_the_official_validation_and_its_val_the_first_tenth_of_the_others_by_hash() -> None:
    own = lists(protocol("amos22", "bench").split, SPLITS)
    assert own == beside_published_test("amos22", own.train + own.val, own.test)
    both_parts = {case for fold in range(5) for case in read_list(SPLITS, "amos22.json", f"folds_val/{fold}")}
    assert {*own.train, *own.val, *own.test} == both_parts and {"0008", "0409"} <= set(own.test)


def test_a_published_list_is_said_to_come_from_the_file_that_it_names_itself() -> None:
    checked = set()
    for task in registry.names(registry.TASKS):
        for name, chosen in registry.task(task).protocols.items():
            told = re.match(r"published:(\S+ \S+)\.json", chosen.split.origin)
            if told:
                source = str(json.loads((SPLITS / chosen.split.file).read_text())["source"])
                assert told[1] in source, (task, name)
                checked.add(task)
    assert {"msd01", "msd06", "acdc", "btcv", "mmwhs", "amos22", "flare22"} <= checked


def test_the_heart_of_mmwhs_is_coded_by_intensities_and_a_slip_of_one_is_forgiven() -> None:
    card = registry.task("mmwhs")
    values = label_map(len(card.classes), card.label_values)
    assert values == {0: 0, 205: 1, 420: 2, 421: 2, 500: 3, 550: 4, 600: 5, 820: 6, 850: 7}


def test_brain_tumors_are_three_regions_that_lie_in_each_other() -> None:
    """Stored labels become codes: bit 0 whole tumour, bit 1 core, bit 2 enhancing part."""
    expected = {
        ("brats21", "regions"): {1: 0b011, 2: 0b001, 3: 0b111},  # necrosis, edema, enhancing (4 in the files)
        ("msd01", "official"): {1: 0b001, 2: 0b011, 3: 0b111},  # edema, non-enhancing, enhancing
        ("msd01", "mim_compat"): {1: 0b001, 2: 0b111, 3: 0b011},  # label 2 counts as enhancing
    }
    for (task, target), values in expected.items():
        card = registry.task(task)
        name = "mim" if target == "mim_compat" else "bench"
        chosen = card.protocols[name]
        assert chosen.target == target and chosen.intensity.kind == "zscore" and chosen.intensity.over == "nonzero"
        setup = make_setup(
            card, target, chosen, preset="tiny", recipe=chosen.recipe, inference=chosen.inference, multiple=(16, 16, 16)
        )
        assert setup.overlapping and setup.classes == ("wt", "tc", "et") and setup.values == values
    brats = registry.task("brats21")
    assert label_map(len(brats.classes), brats.label_values) == {0: 0, 1: 1, 2: 2, 4: 3}


def test_an_organ_with_a_tumor_is_told_merged_and_dropped_by_two_targets() -> None:
    for task, organ in (("msd03", "liver"), ("msd07", "pancreas")):
        targets = registry.task(task).targets
        assert targets["organ"] == {organ: (organ, "tumor")} and targets["organ_drop"] == {organ: (organ,)}
        assert tuple(targets["both"]) == registry.task(task).classes == (organ, "tumor")


def test_spad_on_chaos_is_as_its_code_does_it_on_a_split_of_ours() -> None:
    chosen = protocol("chaos", "spad")
    recipe = chosen.recipe
    assert chosen.spacing_mm == (1.62109, 1.62109, 9.0) and chosen.patch_voxels == (192, 192, 32)
    assert (chosen.intensity.over, chosen.intensity.clip_percentiles) == ("positive", (0.5, 99.5))
    assert (recipe.steps, recipe.batch_size, recipe.lr, recipe.weight_decay) == (50_000, 8, 1e-4, 0.05)
    assert recipe.selection == "last" and recipe.positive_share == 0
    assert (
        chosen.metrics == ("dice", "ravd", "assd", "hd") and chosen.distance_unit == "mm" and chosen.inference.mirrored
    )
    assert registry.task("chaos").channels == 2 and chosen.split.unit == "group"
    has(chosen.inference, overlap=0.75, blending="gaussian")


@pytest.mark.parametrize("task", ["btcv", "chaos"])
def test_spads_two_segmentations_share_loss_and_fall_of_the_rate(task: str) -> None:
    recipe = protocol(task, "spad").recipe
    assert recipe.loss == "dice_ce_plain" and recipe.precision == "fp16" and recipe.crops_per_volume == 1
    assert recipe.betas == (0.9, 0.999) and recipe.grad_clip == 1 and recipe.warmup_steps == 5_000
    assert recipe.layer_decay == 1 and not recipe.decay_all
    first, peak, last = (recipe.lr * learning_rate(recipe, step) for step in (0, 5_000, recipe.steps))
    assert (first, peak) == (0, 1e-4) and last == pytest.approx(3.423e-6, abs=5e-10)


@pytest.mark.parametrize(("task", "field_of_view"), [("chaos", (0.7, 1.1)), ("btcv", (0.7, 1.4))])
def test_spads_zoom_is_a_factor_of_the_field_of_view_and_ours_its_inverse(
    task: str, field_of_view: tuple[float, float]
) -> None:
    least, most = protocol(task, "spad").recipe.zoom
    assert (1 / most, 1 / least) == pytest.approx(field_of_view) and least < 1 < most


def test_no_recipe_of_ours_mirrors_paired_organs_into_each_other() -> None:
    for task in ("btcv", "amos22", "flare22", "chaos", "mmwhs"):
        assert protocol(task, "bench").recipe.flip_axes == ()


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
    for task in OFFERED:
        for chosen in registry.task(task).protocols.values():
            recipe = chosen.recipe.sized(preset, registry.task(task).kind)
            assert recipe.warmup_steps < recipe.steps and 0 < recipe.evaluate_every <= recipe.steps
            assert math.isfinite(recipe.lr) and recipe.crops_per_volume <= recipe.batch_size


# What a paper prints under another task's name ----------------------------------------------------------------


def renamed() -> dict[tuple[str, str], str]:
    """(printed task, paper) -> the words of ours, from the published tables, where the task bears another name."""
    told = tomllib.loads((Path(registry.__file__).parent / "published" / "tables.toml").read_text(encoding="utf-8"))
    ours = {(task, name): is_ours for name, paper in told["paper"].items() for task, is_ours in paper["task"].items()}
    return {
        (
            task,
            name,
        ): f"{meant['task']}{'@' + meant['target'] if 'target' in meant else ''} --protocol {meant['protocol']}"
        for (task, name), meant in ours.items()
        if meant["task"] != task
    }


def test_a_card_says_where_a_papers_numbers_of_this_name_are_as_the_published_tables_do() -> None:
    cards = {task: registry.task(task).elsewhere for task in registry.names(registry.TASKS)}
    assert {(task, paper): words for task, told in cards.items() for paper, words in told.items()} == renamed()
    assert len(renamed()) == 2


@pytest.mark.parametrize(("task", "paper"), [("lidc", "ar"), ("brats21", "mim")])
def test_a_protocol_that_a_paper_has_under_another_name_is_refused_with_that_name(task: str, paper: str) -> None:
    with pytest.raises(SpecError) as caught:
        protocol_of(registry.task(task), task, paper)
    words = renamed()[task, paper]
    assert "Possible: bench" in caught.value.message and f"--task {words}" in caught.value.remedy
    name, _, rest = words.partition(" ")
    assert protocol_of(registry.task(name.partition("@")[0]), name, rest.removeprefix("--protocol "))
    with pytest.raises(SpecError) as other:
        protocol_of(registry.task(task), task, "spad")
    assert other.value.remedy == f"What each is: bench show {task}"
