"""The surface metrics on real left-atrium masks against MONAI."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from bench.metrics.surface import label_map_scores
from tests.metrics.plain_surface import monai_scores
from tests.real_volumes import ROOT

SPACING_MM = (0.625, 0.625, 0.625)
FILES = sorted(ROOT.glob("la/2018LA_Seg_Training Set/*/mri_norm2.h5")) if ROOT else []

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not FILES, reason="real volumes are absent: set BENCH_DATA to the folder that holds la"),
]


def atrium(file: Path) -> np.ndarray:
    import h5py

    with h5py.File(file) as opened:
        return np.asarray(opened["label"])


@pytest.mark.parametrize("number", range(4))
def test_a_real_atrium_against_a_roughened_copy_equals_monai(number: int) -> None:
    from scipy import ndimage

    truth = atrium(FILES[number % len(FILES)])
    rng = np.random.default_rng(number)
    noise = ndimage.gaussian_filter(rng.normal(size=truth.shape), 3)
    pred = (ndimage.gaussian_filter(truth.astype(np.float32), 2) + noise > 0.5).astype(truth.dtype)
    pred[5:9, 4:7, 3:6] = 1  # an island far off
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = monai_scores(pred == 1, truth == 1, SPACING_MM, 2.0)
    rows = label_map_scores(
        pred, truth, classes={1: "left-atrium"}, spacing_mm=SPACING_MM, metrics=tuple(expected)
    ).rows
    assert 0.5 < expected["dice"] < 0.99
    assert {row.metric: row.value for row in rows} == pytest.approx(expected, abs=1e-4)


def test_an_atrium_shifted_by_whole_voxels_against_itself_reaches_that_shift() -> None:
    truth = atrium(FILES[0])
    truth = np.pad(truth, 4)
    rows = label_map_scores(
        np.roll(truth, 3, axis=0), truth, classes={1: "left-atrium"}, spacing_mm=SPACING_MM, metrics=("hd", "assd")
    ).rows
    assert rows[0].value == pytest.approx(3 * 0.625)
    assert 0 < rows[1].value < rows[0].value
