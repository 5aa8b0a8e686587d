"""The FROC score by hand, by a plain restatement, and what must hold whatever the scores."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_curve

from bench.contracts.errors import DataUnsound
from bench.metrics.froc import NONE, RATES, froc, sensitivities


@st.composite
def candidates(draw: Any) -> tuple[np.ndarray, np.ndarray, int, int]:
    """Scores with ties, findings with several candidates and with none, and scans."""
    n_findings, n_scans = draw(st.integers(1, 5)), draw(st.integers(1, 6))
    n = draw(st.integers(1, 40))
    scores = np.array(draw(st.lists(st.integers(0, 12), min_size=n, max_size=n))) / 12
    findings = np.array(draw(st.lists(st.integers(NONE, n_findings - 1), min_size=n, max_size=n)))
    return scores, findings, n_findings, n_scans


def plain(scores: np.ndarray, findings: np.ndarray, n_findings: int, n_scans: int) -> list[float]:
    """The same in slow words: a point at every threshold, the first joined to (0, 0), numpy's lines between them."""
    points = [(0.0, 0.0)]
    for threshold in sorted(set(scores.tolist()), reverse=True):
        called = scores >= threshold
        hit = {int(finding) for finding in findings[called] if finding != NONE}
        points.append((float((findings[called] == NONE).sum()) / n_scans, len(hit) / n_findings))
    per_scan, share = zip(*points, strict=True)
    return [float(np.interp(rate, per_scan, share)) for rate in RATES]


def test_the_docstrings_example_has_six_sevenths() -> None:
    assert froc(np.array([0.9, 0.8, 0.7]), np.array([0, NONE, 1]), n_findings=2, n_scans=2) == pytest.approx(6 / 7)


def test_four_scans_counted_by_hand() -> None:
    # three findings, one of which no candidate hits; from the top: finding 0, none, none, finding 1, finding 1 again, none
    findings = np.array([0, NONE, NONE, 1, 1, NONE])
    found = sensitivities(np.array([6.0, 5, 4, 3, 2, 1]), findings, n_findings=3, n_scans=4)
    third = 1 / 3
    assert (
        found[1 / 8] == found[1 / 4] == pytest.approx(third)
    )  # from 0.25 false positives per scan the curve is level to 0.5
    assert found[1 / 2] == found[1.0] == found[8.0] == pytest.approx(2 * third)
    assert froc(np.arange(6.0)[::-1], findings, n_findings=3, n_scans=4) == pytest.approx(
        (2 * third + 5 * 2 * third) / 7
    )


def test_between_two_points_the_curve_is_a_straight_line() -> None:
    """A threshold that lets in a finding and a false positive at once: half way along, half of the finding."""
    found = sensitivities(np.array([1.0, 1.0]), np.array([0, NONE]), n_findings=1, n_scans=1)
    assert found[1 / 8] == 1 / 8 and found[1 / 2] == 1 / 2 and found[1.0] == found[8.0] == 1.0


@given(candidates())
def test_it_equals_the_plain_restatement(drawn: Any) -> None:
    scores, findings, n_findings, n_scans = drawn
    found = sensitivities(scores, findings, n_findings=n_findings, n_scans=n_scans)
    assert list(found.values()) == pytest.approx(plain(scores, findings, n_findings, n_scans), abs=1e-12)
    assert froc(scores, findings, n_findings=n_findings, n_scans=n_scans) == pytest.approx(
        np.mean(list(found.values()))
    )


@given(candidates())
def test_where_every_finding_has_one_candidate_it_is_the_roc_curve_on_other_axes(drawn: Any) -> None:
    scores, drawn_findings, _, n_scans = drawn
    true = drawn_findings != NONE
    if not true.any() or true.all():
        return
    findings = np.where(true, np.cumsum(true) - 1, NONE)
    false_rate, true_rate, _ = roc_curve(true, scores)
    expected = np.interp(RATES, false_rate * (~true).sum() / n_scans, true_rate)
    found = sensitivities(scores, findings, n_findings=int(true.sum()), n_scans=n_scans)
    assert list(found.values()) == pytest.approx(expected.tolist(), abs=1e-12)


@given(candidates())
def test_a_ranking_with_all_findings_above_all_others_is_perfect(drawn: Any) -> None:
    _, findings, n_findings, n_scans = drawn
    findings = np.concatenate([findings, np.arange(n_findings)])  # now each has a candidate
    scores = np.where(findings == NONE, 0.0, 1.0 + findings)
    assert froc(scores, findings, n_findings=n_findings, n_scans=n_scans) == 1.0


@given(candidates())
def test_only_the_order_of_scores_counts(drawn: Any) -> None:
    scores, findings, n_findings, n_scans = drawn
    words = {"n_findings": n_findings, "n_scans": n_scans}
    found = froc(scores, findings, **words)
    assert froc(np.exp(3 * scores) - 5, findings, **words) == found == froc(scores**3, findings, **words)
    order = np.random.default_rng(0).permutation(len(scores))
    assert froc(scores[order], findings[order], **words) == found


@given(candidates())
def test_a_lower_second_candidate_of_a_finding_changes_nothing_and_a_finding_without_one_lowers(drawn: Any) -> None:
    scores, findings, n_findings, n_scans = drawn
    words = {"n_findings": n_findings, "n_scans": n_scans}
    found = froc(scores, findings, **words)
    again = np.append(scores, scores.min() - 1.0), np.append(findings, findings[0])
    if findings[0] != NONE:
        assert froc(*again, **words) == found
    missed = froc(scores, findings, n_findings=n_findings + 1, n_scans=n_scans)
    assert missed == pytest.approx(found * n_findings / (n_findings + 1))


def test_without_a_finding_or_a_scan_it_is_undefined() -> None:
    scores, findings = np.array([0.3, 0.2]), np.array([NONE, NONE])
    assert math.isnan(froc(scores, findings, n_findings=0, n_scans=3))
    assert math.isnan(froc(scores[:0], findings[:0], n_findings=2, n_scans=0))
    assert froc(scores, findings, n_findings=2, n_scans=3) == 0.0  # two findings that no candidate hits
    assert froc(scores[:0], findings[:0], n_findings=2, n_scans=3) == 0.0


@pytest.mark.parametrize(
    ("scores", "findings", "told"),
    [
        ([0.1, 0.2], [0], "one finding per candidate"),
        ([math.nan], [0], "not finite"),
        ([0.1, 0.2], [0, 1], "2 findings"),
    ],
)
def test_what_does_not_fit_is_refused(scores: list[float], findings: list[int], told: str) -> None:
    with pytest.raises(DataUnsound, match=told):
        froc(np.array(scores), np.array(findings), n_findings=1, n_scans=1)
