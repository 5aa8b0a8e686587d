"""Metric ids are taken apart, described and refused; the empty rule; what importing the room loads."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest

from bench.contracts.errors import SpecError
from bench.metrics import METRICS, MetricId, describe, parse_metric, value_if_empty


@pytest.mark.parametrize(
    ("written", "parsed"),
    [
        ("dice", MetricId("dice")),
        ("ravd", MetricId("ravd")),
        ("hd95", MetricId("hd95")),
        ("hd95-pooled", MetricId("hd95-pooled", variant="pooled")),
        ("nsd@2mm", MetricId("nsd", tolerance_mm=2.0)),
        ("nsd@0.5mm", MetricId("nsd", tolerance_mm=0.5)),
        ("nsd@12.25mm", MetricId("nsd", tolerance_mm=12.25)),
        ("nsd-voxel@2mm", MetricId("nsd-voxel", tolerance_mm=2.0, variant="voxel")),
        ("hd@mm", MetricId("hd@mm", variant="mm")),
        ("auc@micro", MetricId("auc@micro", variant="micro")),
        ("auc@all", MetricId("auc@all", variant="all")),
        ("ap", MetricId("ap")),
        ("froc", MetricId("froc")),
        ("bleu-4", MetricId("bleu-4")),
        ("rouge-l", MetricId("rouge-l")),
        ("recall@50", MetricId("recall", k=50)),
        ("recall-fused@50", MetricId("recall-fused", variant="fused", k=50)),
    ],
)
def test_an_id_is_taken_apart_and_written_again(written: str, parsed: MetricId) -> None:
    assert parse_metric(written) == parsed
    assert str(parsed) == written


def test_a_tolerance_has_one_canonical_form() -> None:
    assert str(parse_metric("nsd@2.0mm")) == "nsd@2mm"


@pytest.mark.parametrize(
    "wrong", ["nsd", "nsd@2", "nsd@mm", "nsd@-1mm", "recall", "recall@0", "recall-fused", "bleu-5", "", "nsd-voxel"]
)
def test_an_incomplete_or_impossible_id_is_refused(wrong: str) -> None:
    with pytest.raises(SpecError, match="No metric"):
        parse_metric(wrong)


def test_an_unknown_id_is_refused_with_the_nearest() -> None:
    with pytest.raises(SpecError, match=r"No metric 'dcie'\. Did you mean 'dice'\?"):
        parse_metric("dcie")
    with pytest.raises(SpecError, match=r"Did you mean 'nsd@2mm'\?"):
        describe("nsd@2m")


def test_every_metric_has_a_title_a_definition_and_a_direction() -> None:
    for name, metric in METRICS.items():
        assert metric.name == name and metric.title and metric.definition.endswith(".")
        assert metric.higher_is_better == (metric.unit == "fraction" and name != "ravd")
    assert describe("nsd@7mm") is METRICS["nsd"]
    assert {"dice", "hd", "hd95", "assd", "nsd", "auc", "auc@micro", "acc", "bleu-1", "bleu-4", "recall"} <= set(
        METRICS
    )


@pytest.mark.parametrize("metric", ["dice", "nsd@2mm", "nsd-voxel@2mm", "hd", "hd95", "hd95-pooled", "assd", "assd@mm"])
def test_the_empty_rule_is_one_for_all(metric: str) -> None:
    parsed = parse_metric(metric)
    missed = value_if_empty(parsed, n_pred=0, n_truth=3)
    assert missed == 0.0 if METRICS[parsed.name].higher_is_better else missed is not None and math.isnan(missed)
    for n_pred in (0, 3):
        value = value_if_empty(parsed, n_pred=n_pred, n_truth=0)
        assert value is not None and math.isnan(value)
    assert value_if_empty(parsed, n_pred=1, n_truth=1) is None


def test_a_missed_volume_is_wrong_by_all_of_it_and_a_truth_without_volume_has_no_share() -> None:
    parsed = parse_metric("ravd")
    assert value_if_empty(parsed, n_pred=0, n_truth=3) == 1.0
    assert math.isnan(value_if_empty(parsed, n_pred=3, n_truth=0) or 0.0)
    assert math.isnan(value_if_empty(parsed, n_pred=0, n_truth=0) or 0.0)
    assert value_if_empty(parsed, n_pred=1, n_truth=1) is None


def test_importing_the_room_loads_no_heavy_package() -> None:
    rooms = "overlap, surface, ranking, text, retrieval"
    heavy = ("torch", "monai", "pandas", "scipy.ndimage", "scipy.spatial", "sklearn", "torchmetrics")
    code = (
        f"import sys; from bench.metrics import METRICS, {rooms}; "
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_scoring_masks_loads_neither_torch_nor_the_image_filters() -> None:
    code = (
        "import sys, numpy as np; from bench.metrics.surface import hd; "
        "a, b = np.zeros((40, 3, 3), bool), np.zeros((40, 3, 3), bool); a[0], b[39] = True, True; "
        "assert hd(a, b, spacing_mm=(1., 1., 1.)) == 39; "
        "print([name for name in ('torch', 'monai', 'pandas', 'scipy.ndimage') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
