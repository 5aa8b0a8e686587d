"""Labels of phantoms come from several factors together, with noise; brightness and spread tell nothing."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.metrics import roc_auc_score

from bench.phantoms.body import stream
from bench.phantoms.factors import FACTORS, Latent, directions, even_label, latent
from bench.phantoms.specimen import Style, specimen


def drawn(family: str, classes: int, style: Style, shape: tuple[int, int, int], count: int) -> tuple[np.ndarray, ...]:
    """Images, labels (one in twenty wrong), the classes that the factors speak for, and the factors."""
    labels = [even_label(classes, i, "test", family) for i in range(count)]
    people = [latent(family, classes, label, "test", family, str(i)) for i, label in enumerate(labels)]
    images = [specimen(who, style, shape, stream("test", family, str(i), "image")) for i, who in enumerate(people)]
    shown, factors = np.asarray([who.shown for who in people]), np.asarray([who.factors for who in people])
    return np.stack(images), np.asarray(labels), shown, factors


def auc(scores: np.ndarray, truth: np.ndarray) -> float:
    classes = scores.shape[1]
    return float(np.mean([roc_auc_score(truth == k, scores[:, k]) for k in range(classes)]))


@pytest.mark.parametrize("classes", [2, 5, 11])
def test_one_case_in_twenty_bears_a_wrong_label_and_no_factor_decides_alone(classes: int) -> None:
    people = [latent("any", classes, i % classes, "t", str(i)) for i in range(600)]
    wrong = np.mean([who.shown != who.label for who in people])
    assert 0.02 < wrong < 0.09
    assert all(len(who.factors) == FACTORS and max(map(abs, who.factors)) <= 2 for who in people)
    towards = directions("any", classes)
    assert np.allclose(np.linalg.norm(towards, axis=1), 1, atol=1e-4) and np.abs(towards).max() < 0.95
    factors, truth = np.asarray([who.factors for who in people]), np.asarray([who.label for who in people])
    known = LogisticRegression(max_iter=2000).fit(factors[:400], truth[:400]).predict_proba(factors[400:])
    assert auc(known, truth[400:]) > 0.9
    shown = np.asarray([who.shown for who in people])  # before labels went wrong
    known = LogisticRegression(max_iter=2000).fit(factors[:400], shown[:400]).predict_proba(factors[400:])
    assert auc(known, shown[400:]) > 0.97
    if classes == 2:
        alone = [abs(roc_auc_score(truth, factors[:, k]) - 0.5) + 0.5 for k in range(FACTORS)]
        assert max(alone) < 0.8


def test_each_run_of_places_holds_every_class_once() -> None:
    labels = [even_label(7, i, "x") for i in range(70)]
    assert all(sorted(labels[k : k + 7]) == list(range(7)) for k in range(0, 70, 7))
    assert labels[:7] != labels[7:14] or labels[7:14] != labels[14:21]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "classes", "style", "shape"),
    [
        ("nodulemnist3d", 2, Style(), (28, 28, 28)),
        ("organmnist3d", 11, Style(), (28, 28, 28)),
        ("adrenalmnist3d", 2, Style(form="shape"), (28, 28, 28)),
        ("dermamnist", 7, Style(channels=3), (28, 28, 1)),
    ],
)
def test_brightness_tells_nothing_raw_voxels_little_and_the_factors_nearly_all(
    family: str, classes: int, style: Style, shape: tuple[int, int, int]
) -> None:
    images, truth, shown, factors = drawn(family, classes, style, shape, 500)
    train, test = slice(0, 350), slice(350, 500)
    voxels = images.reshape(len(images), -1).astype(np.float32) / 255
    header = np.stack([voxels.mean(1), voxels.std(1), *np.percentile(voxels, [5, 25, 50, 75, 95], axis=1)], 1)
    forest = RandomForestClassifier(200, random_state=0).fit(header[train], truth[train])
    assert abs(auc(forest.predict_proba(header[test]), truth[test]) - 0.5) < 0.13
    ridge = RidgeClassifier(alpha=100.0).fit(voxels[train], truth[train]).decision_function(voxels[test])
    assert auc(np.stack([-ridge, ridge], 1) if classes == 2 else ridge, truth[test]) < 0.65
    oracle = LogisticRegression(max_iter=2000).fit(factors[train], truth[train]).predict_proba(factors[test])
    assert auc(oracle, shown[test]) > 0.97  # learnt from noisy labels, asked for what lies behind them


def test_a_shape_fills_the_same_share_of_its_cube_whatever_its_class() -> None:
    images, truth, _, _ = drawn("adrenalmnist3d", 2, Style(form="shape"), (20, 20, 20), 60)
    assert set(np.unique(images)) == {0, 255}
    filled = (images > 0).mean((1, 2, 3))
    assert filled.min() > 0.07 and filled.max() < 0.11
    assert abs(roc_auc_score(truth, filled) - 0.5) < 0.2


def test_a_picture_is_one_slice_and_colours_come_last() -> None:
    images, *_ = drawn("dermamnist", 7, Style(channels=3), (16, 16, 1), 2)
    assert images.shape == (2, 16, 16, 1, 3) and images.dtype == np.uint8 and (images[0] != images[1]).any()


@pytest.mark.parametrize("style", [Style(), Style(form="shape")], ids=lambda style: style.form)
@pytest.mark.parametrize("factor", range(FACTORS))
def test_every_factor_is_to_be_seen_in_solids_and_in_shapes(style: Style, factor: int) -> None:
    def drawn_with(value: float) -> np.ndarray:
        factors = tuple(value if k == factor else 0.0 for k in range(FACTORS))
        return specimen(Latent(factors, 0, 0), style, (28, 28, 28), stream("smoke", "seen", "image"))

    least, most = drawn_with(-2.0), drawn_with(2.0)
    assert (least != most).mean() > 0.01
