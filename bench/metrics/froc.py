"""How many findings are found at how many false alarms per scan: the FROC score of candidates, as LUNA16 counts it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.contracts.counts import how_many
from bench.contracts.errors import DataUnsound

RATES = (1 / 8, 1 / 4, 1 / 2, 1.0, 2.0, 4.0, 8.0)  # false positives per scan
NONE = -1  # the finding of a candidate that is none
Scores = NDArray[np.floating[Any]]


def froc(scores: Scores, findings: NDArray[np.integer[Any]], *, n_findings: int, n_scans: int) -> float:
    """The mean sensitivity at 1/8, 1/4, 1/2, 1, 2, 4 and 8 false positives per scan: 1 is perfect, 0 the least.

    Arguments and what is undefined (NaN) as `sensitivities` has it.

    Source: the evaluation page of the LUNA16 challenge; Setio et al., Medical Image Analysis 2017.

    Example: two scans, each with one finding. Scores 0.9 (first finding), 0.8 (none), 0.7 (second finding): until a half false
    positive per scan the curve stands at 1/2, from there on at 1, so that the seven rates have the mean
    (1/2 + 1/2 + 1 + 1 + 1 + 1 + 1) / 7 = 6/7.
    """
    found = sensitivities(scores, findings, n_findings=n_findings, n_scans=n_scans)
    return math.fsum(found.values()) / len(found)


def sensitivities(
    scores: Scores, findings: NDArray[np.integer[Any]], *, n_findings: int, n_scans: int
) -> Mapping[float, float]:
    """The share of all findings that is found at each of `RATES` false positives per scan.

    `scores` (n,) of candidates, higher is more suspect, over all scans together; `findings` (n,): which finding a candidate
    belongs to, a number that no two scans share, or -1 for none. `n_findings` and `n_scans` count those of all scans that are
    scored, findings without a candidate (never found) and scans without one among them.

    A finding is found from the score of its highest candidate on and counts once; every candidate that belongs to none counts
    as a false positive. At each threshold lies a point of the curve; points are joined by straight lines, the first one to
    (0, 0), and behind the last one the curve stays. Where several points share a rate the highest holds.

    NaN at each rate without a finding or without a scan. Raises DataUnsound for shapes that do not fit, scores that are not
    finite and more findings hit than there are.
    """
    scores, findings = _checked(scores, findings, n_findings)
    if not n_findings or not n_scans:
        return dict.fromkeys(RATES, math.nan)
    true = findings != NONE
    hit, place = np.unique(findings[true], return_inverse=True)
    highest = np.full(len(hit), -np.inf)
    np.maximum.at(highest, place, scores[true])
    alarms = scores[~true]
    thresholds = np.unique(np.concatenate([highest, alarms]))[::-1]
    per_scan = np.concatenate([[0.0], _at_least(alarms, thresholds) / n_scans])
    share = np.concatenate([[0.0], _at_least(highest, thresholds) / n_findings])
    return {rate: _on_curve(rate, per_scan, share) for rate in RATES}


def _at_least(values: Scores, thresholds: Scores) -> NDArray[np.int64]:
    """How many values reach each threshold."""
    return len(values) - np.searchsorted(np.sort(values), thresholds, side="left")


def _on_curve(rate: float, per_scan: Scores, share: Scores) -> float:
    """The height of a curve of rising points at a rate: on the line between its neighbours, the highest of points on it."""
    last = int(np.searchsorted(per_scan, rate, side="right")) - 1
    if last + 1 == len(per_scan):
        return float(share[last])
    way = (rate - per_scan[last]) / (per_scan[last + 1] - per_scan[last])
    return float(share[last] + way * (share[last + 1] - share[last]))


def _checked(scores: Scores, findings: NDArray[np.integer[Any]], n_findings: int) -> tuple[Scores, Any]:
    scores, findings = np.asarray(scores, dtype=np.float64), np.asarray(findings)
    if scores.ndim != 1 or scores.shape != findings.shape:
        raise DataUnsound(
            f"FROC needs one score and one finding per candidate, found {scores.shape}, {findings.shape}."
        )
    if not np.isfinite(scores).all():
        raise DataUnsound(f"{int((~np.isfinite(scores)).sum())} of {scores.size} scores are not finite numbers.")
    hit = len(set(findings.tolist()) - {NONE})
    if hit > n_findings:
        raise DataUnsound(f"Candidates belong to {how_many(hit, 'finding')}; {n_findings} are annotated.")
    return scores, findings
