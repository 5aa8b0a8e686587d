"""The lowest rungs of the phantoms' ladder: no header, no mean, no place in a list tells a class; and the probes would see it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from bench.phantoms import GENERATOR_VERSION
from bench.phantoms.body import stream
from bench.phantoms.factors import even_label, latent
from bench.phantoms.specimen import Style, specimen
from tests.benchmarks.described import description
from tests.benchmarks.intensity_alone import Case, best_interval, interval_dice, kmeans_dice
from tests.benchmarks.labelled_phantoms import classification_tasks, drawn, header_columns
from tests.benchmarks.ladder import earlier, with_earlier
from tests.benchmarks.probes import HEADER, cross_validated, header_model, permuted, voxel_model
from tests.benchmarks.trained_rungs import chance_se, gain, judged

ALLOWED_SE = 3.0
IMAGES = 60
CANDIDATES = {"luna16": 30, "lidc": 12}  # scans
CHESTS = ("ccccii", "ricord", "stoic")  # a tenth of a second each
PICTURES = tuple(task for task in classification_tasks() if task not in (*CANDIDATES, *CHESTS))


def no_header_tells_a_class(task: str, count: int) -> None:
    for question, cases in drawn(task, count, side=2).items():
        kept = header_columns(task)
        found = cross_validated(cases.header[:, kept], cases.labels, cases.groups, header_model)
        assert found.above_chance <= ALLOWED_SE, (question, found)


@pytest.mark.parametrize("task", PICTURES)
def test_a_picture_or_a_cube_tells_no_class_before_it_is_looked_at(task: str) -> None:
    no_header_tells_a_class(task, IMAGES)


@pytest.mark.parametrize(("task", "scans"), CANDIDATES.items())
def test_neither_the_row_nor_the_place_of_a_candidate_tells_its_class(task: str, scans: int) -> None:
    no_header_tells_a_class(task, scans)


@pytest.mark.slow
@pytest.mark.parametrize("task", CHESTS)
def test_the_header_and_the_mean_of_a_chest_tell_no_disease(task: str) -> None:
    no_header_tells_a_class(task, 80)


def test_the_probe_sees_a_class_that_is_brighter_than_the_other() -> None:
    cases = drawn("nodulemnist3d", IMAGES, side=4)["class"]
    header = cases.header.copy()
    header[:, HEADER.index("mean")] += 20 * cases.labels  # grey values; the means themselves spread over 40
    seen = cross_validated(header, cases.labels, cases.groups, header_model)
    assert seen.auc > 0.75 and seen.above_chance > ALLOWED_SE
    voxels = cases.voxels + 20 * cases.labels[:, None].astype(np.float32)
    assert cross_validated(voxels, cases.labels, cases.groups, voxel_model).above_chance > ALLOWED_SE
    dealt = permuted(cases.labels, 1)
    assert sorted(dealt) == sorted(cases.labels) and (dealt != cases.labels).any()
    assert abs(cross_validated(voxels, dealt, cases.groups, voxel_model).above_chance) <= ALLOWED_SE


def test_the_standard_error_of_chance_is_that_of_labels_dealt_out_anew() -> None:
    random = np.random.default_rng(0)
    features, labels = random.standard_normal((100, 3)), np.arange(100) % 2
    alone = [str(k) for k in range(100)]
    found = [cross_validated(features, permuted(labels, k), alone, header_model) for k in range(30)]
    spread = float(np.std([f.auc for f in found]))
    assert 0.6 < spread / found[0].chance_se < 1.5
    assert abs(float(np.mean([f.auc for f in found])) - 0.5) < 0.05


def test_an_interval_of_intensities_is_the_one_of_highest_dice() -> None:
    assert best_interval(np.array([0, 4, 4, 0]), np.array([9, 4, 5, 9])) == (1, 2)
    label = np.zeros((4, 4, 4), np.uint8)
    label[:2] = 1
    apart = Case(np.where(label == 1, 100.0, 0.0).astype(np.float32), label)
    assert interval_dice([apart], [apart], 1) == 1.0
    random = np.random.default_rng(0)
    label = (random.random((16, 16, 16)) < 0.5).astype(np.uint8)
    noisy = Case((100.0 * label + 5 * random.standard_normal(label.shape)).astype(np.float32), label)
    assert kmeans_dice([noisy], [noisy], 1) > 0.95
    mixed = Case(random.permutation(noisy.image.ravel()).reshape(label.shape), label)
    assert interval_dice([mixed], [mixed], 1) < 0.7


def test_a_description_by_hand_stays_the_same_when_a_cube_is_turned_or_brighter() -> None:
    axes = np.meshgrid(*[np.linspace(-1, 1, 28)] * 3, indexing="ij")
    long, round_ = (np.exp(-(axes[0] ** 2 / a + axes[1] ** 2 / 0.05 + axes[2] ** 2 / 0.05)) for a in (0.4, 0.05))
    told = description(long)
    assert told.shape == (37,)
    np.testing.assert_allclose(description(long.transpose(2, 0, 1)), told, atol=1e-9)
    np.testing.assert_allclose(description(5 * long + 3), told, atol=1e-9)
    shortest, _, longest = description(long)[32:35]
    assert longest - shortest > 1.0 and np.ptp(description(round_)[32:35]) < 1e-6


def test_what_sets_nodules_apart_stands_in_the_voxels_for_a_linear_model_to_read() -> None:
    """The set that networks are asked: were its class not visible here, no recipe could learn it."""
    family = "nodulemnist3d"
    labels = np.asarray([even_label(2, i, "test", family) for i in range(300)])
    people = [latent(family, 2, int(label), "test", family, str(i)) for i, label in enumerate(labels)]
    cubes = (specimen(who, Style(), (28, 28, 28), stream("test", family, str(i))) for i, who in enumerate(people))
    told = np.stack([description(cube) for cube in cubes])
    scores = header_model().fit(told[:200], labels[:200]).decision_function(told[200:])
    assert roc_auc_score(labels[200:], scores) > 0.7


def test_rungs_of_another_generator_are_forgotten_and_a_network_takes_the_place_of_its_elder(tmp_path: Path) -> None:
    out = tmp_path / "ladder.json"
    assert earlier(None) == {} and earlier(out) == {}
    out.write_text(json.dumps({"generator": GENERATOR_VERSION, "oracle": [1]}))
    assert earlier(out)["oracle"] == [1]
    out.write_text(json.dumps({"generator": "an older one", "oracle": [1]}))
    assert earlier(out) == {}
    before = [{"task": "btcv", "steps": 80}, {"task": "nodulemnist3d", "steps": 600}]
    after = with_earlier(before, [{"task": "btcv", "steps": 600}])
    assert after == [{"task": "btcv", "steps": 600}, before[1]]


def test_a_gain_is_paired_by_seed_and_told_in_standard_errors_of_its_mean() -> None:
    scratch = [0.50, 0.60, 0.70, 0.80, 0.90]  # seeds differ far more than starts
    found = gain([0.52, 0.61, 0.72, 0.81, 0.92], scratch)
    differences = np.asarray([0.02, 0.01, 0.02, 0.01, 0.02])
    se = differences.std(ddof=1) / np.sqrt(5)
    assert found == {"mean": 0.016, "se": round(se, 4), "in_se": round(0.016 / se, 2)}
    assert gain([0.5, 0.5], [0.4, 0.6])["in_se"] == 0.0
    assert np.isnan(gain([0.5, 0.5], [0.4, 0.4])["in_se"])  # no spread: nothing to measure against


def test_a_start_is_held_against_scratch_and_permuted_labels_against_chance() -> None:
    scores = {
        "scratch": [0.50, 0.55, 0.60, 0.52, 0.58],
        "pre-trained": [0.60, 0.66, 0.69, 0.63, 0.68],
        "white noise": [0.51, 0.54, 0.61, 0.51, 0.58],
        "permuted labels": [0.45, 0.55, 0.50, 0.48, 0.52],
    }
    found = judged(scores, 300)["in_band"]
    assert found == {"white noise helps not": True, "pre-trained helps": True, "permuted labels are chance": True}
    leaking = {**scores, "pre-trained": scores["scratch"], "white noise": scores["pre-trained"]}
    found = judged({**leaking, "permuted labels": [0.62] * 5}, 300)["in_band"]
    assert found == {"white noise helps not": False, "pre-trained helps": False, "permuted labels are chance": False}


def test_the_standard_error_of_chance_is_the_spread_of_scores_that_tell_nothing() -> None:
    random, labels = np.random.default_rng(0), np.arange(100) % 2
    aucs = [roc_auc_score(labels, random.standard_normal(100)) for _ in range(400)]
    assert 0.9 < float(np.std(aucs)) / chance_se(100) < 1.1
