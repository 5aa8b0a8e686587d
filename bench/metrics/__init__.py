"""What is measured: the metrics' names, units and directions, and the one rule for empty masks. Pure functions on NumPy arrays.

The functions stand in `overlap`, `surface`, `ranking`, `froc`, `text`, `rouge` and `retrieval`; importing this file loads
none of them.

Longer than 250 lines because it is one table, and who adds a metric should see all others.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

from bench.contracts.errors import SpecError, nearest

Kind = Literal["overlap", "surface", "classification", "text", "retrieval"]


@dataclass(frozen=True)
class Metric:
    """What a metric is called, what it means and which way is better. `unit` is `fraction` or `mm`, as records hold it."""

    name: str
    title: str
    definition: str
    unit: Literal["fraction", "mm"]
    higher_is_better: bool
    kind: Kind


@dataclass(frozen=True)
class MetricId:
    """A metric as a card names it, taken apart. `name` is a key of METRICS; its text form is the id again.

    `tolerance_mm` belongs to `nsd` and `nsd-voxel`, `k` to `recall` and `recall-fused`. `variant` is `voxel`, `pooled`, `mm`,
    `micro`, `scan`, `brats`, `fused` or empty: which of several published definitions of the same quantity is meant.
    """

    name: str
    tolerance_mm: float | None = None
    variant: str = ""
    k: int | None = None

    def __str__(self) -> str:
        if self.tolerance_mm is not None:
            return f"{self.name}@{self.tolerance_mm:.12g}mm"
        return self.name if self.k is None else f"{self.name}@{self.k}"


_SURFACE = "Surface voxels: the mask minus its face-connected erosion, the image border counting as outside."
_BLEU = (
    "Corpus-level BLEU (Papineni et al., ACL 2002), geometric mean of the precisions of 1- to {}-grams, no smoothing."
)

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("dice", "Dice", "Twice the shared voxels over the voxels of both masks.", "fraction", True, "overlap"),
        Metric(
            "dice@brats",
            "Dice (BraTS)",
            "Dice, but 1 where both masks are empty and 0 where the truth alone is, as the BraTS challenge counts.",
            "fraction",
            True,
            "overlap",
        ),
        Metric(
            "ravd",
            "RAVD",
            "Relative absolute volume difference: how far the volumes of both masks lie apart, over the true one (CHAOS).",
            "fraction",
            False,
            "overlap",
        ),
        Metric(
            "hd", "HD", f"Hausdorff distance, the maximum of both directed lists. {_SURFACE}", "mm", False, "surface"
        ),
        Metric(
            "hd95",
            "HD95",
            f"The larger of the two directed 95th percentiles (linear interpolation). {_SURFACE}",
            "mm",
            False,
            "surface",
        ),
        Metric(
            "hd95-pooled",
            "HD95 (pooled)",
            f"The 95th percentile of both directed lists taken together (linear interpolation). {_SURFACE}",
            "mm",
            False,
            "surface",
        ),
        Metric("assd", "ASSD", f"Mean of both directed lists taken together. {_SURFACE}", "mm", False, "surface"),
        *(
            Metric(
                f"{name}@mm",
                f"{name.upper()} (mm)",
                f"`{name}` in mm where a run measures in voxels.",
                "mm",
                False,
                "surface",
            )
            for name in ("hd", "assd")
        ),
        Metric(
            "nsd",
            "NSD",
            "Share of the surface area (marching-cubes elements of 2x2x2 voxels) of both masks that lies within the "
            "tolerance of the other surface (Nikolov et al., arXiv 1809.04430).",
            "fraction",
            True,
            "surface",
        ),
        Metric(
            "nsd-voxel",
            "NSD (voxels)",
            f"Share of the surface voxels of both masks that lie within the tolerance of the other surface. {_SURFACE}",
            "fraction",
            True,
            "surface",
        ),
        Metric(
            "auc",
            "AUC",
            "Area under the ROC curve: the positive class's score, or the mean over classes of one against the rest.",
            "fraction",
            True,
            "classification",
        ),
        Metric(
            "auc@scan",
            "AUC (scan)",
            "AUC over scans: the scores of a scan's reconstructions averaged first.",
            "fraction",
            True,
            "classification",
        ),
        Metric(
            "auc@all",
            "AUC (all cases)",
            "AUC in which a case that is not told its answer counts as one without (MG-3D's severity among all patients).",
            "fraction",
            True,
            "classification",
        ),
        Metric(
            "auc@micro",
            "AUC (micro)",
            "Area under one ROC curve over every pair of case and class, one against the rest.",
            "fraction",
            True,
            "classification",
        ),
        Metric(
            "acc",
            "ACC",
            "Share of cases whose highest score is the true class; one score alone decides at 0.5.",
            "fraction",
            True,
            "classification",
        ),
        Metric(
            "ap",
            "AP",
            "Average precision: the step-wise area under the curve of precision over recall, not interpolated.",
            "fraction",
            True,
            "classification",
        ),
        Metric(
            "froc",
            "FROC score",
            "Mean sensitivity at 1/8, 1/4, 1/2, 1, 2, 4 and 8 false positives per scan; a nodule counts once (LUNA16).",
            "fraction",
            True,
            "classification",
        ),
        *(Metric(f"bleu-{n}", f"BLEU-{n}", _BLEU.format(n), "fraction", True, "text") for n in (1, 2, 3, 4)),
        Metric(
            "rouge-l",
            "ROUGE-L",
            "F-measure of the longest common subsequence of tokens, recall weighing 1.44 times (coco-caption); mean over texts.",
            "fraction",
            True,
            "text",
        ),
        Metric(
            "recall",
            "Recall@k",
            "Share of queries whose own item is among the k most similar of the gallery; ties count against it.",
            "fraction",
            True,
            "retrieval",
        ),
        Metric(
            "recall-fused",
            "Recall@k (fused)",
            "Recall at k where each item of the gallery meets the query in the network before the two are compared.",
            "fraction",
            True,
            "retrieval",
        ),
    )
}

_WITH_TOLERANCE = ("nsd", "nsd-voxel")
_WITH_K = ("recall", "recall-fused")
_VARIANTS = {
    "nsd-voxel": "voxel",
    "hd95-pooled": "pooled",
    "hd@mm": "mm",
    "assd@mm": "mm",
    "auc@micro": "micro",
    "auc@scan": "scan",
    "auc@all": "all",
    "dice@brats": "brats",
    "recall-fused": "fused",
}
_WRITTEN = tuple(
    f"{name}@2mm" if name in _WITH_TOLERANCE else f"{name}@50" if name in _WITH_K else name for name in METRICS
)


def parse_metric(metric_id: str) -> MetricId:
    """Take a metric id apart: `nsd@2mm` is name `nsd` with a tolerance of 2 mm, `recall@50` name `recall` with k = 50.

    Raises SpecError for an unknown id, with the nearest known one.

    Example: ``parse_metric("nsd@2mm") == MetricId("nsd", tolerance_mm=2.0)``.
    """
    if found := re.fullmatch(r"(nsd|nsd-voxel)@(\d+(?:\.\d+)?)mm", metric_id):
        return MetricId(found[1], tolerance_mm=float(found[2]), variant=_VARIANTS.get(found[1], ""))
    if found := re.fullmatch(r"(recall|recall-fused)@([1-9]\d*)", metric_id):
        return MetricId(found[1], variant=_VARIANTS.get(found[1], ""), k=int(found[2]))
    if metric_id in METRICS and metric_id not in (*_WITH_TOLERANCE, *_WITH_K):
        return MetricId(metric_id, variant=_VARIANTS.get(metric_id, ""))
    raise SpecError(
        f"No metric '{metric_id}'. {nearest(metric_id, _WRITTEN)}Known are {', '.join(_WRITTEN)} "
        "(any tolerance in mm, any k).",
        remedy="Name one of these in the card's `metrics`.",
    )


def describe(metric_id: str) -> Metric:
    """The METRICS entry behind an id. Raises SpecError for an unknown id. Example: ``describe("nsd@2mm").title == "NSD"``."""
    return METRICS[parse_metric(metric_id).name]


def value_if_empty(metric: MetricId, *, n_pred: int, n_truth: int) -> float | None:
    """The one rule for empty masks: what a metric of voxels is worth when a mask is empty; None when neither is.

    Truth empty (prediction empty or not): NaN, since there is nothing to find; the case is counted and the volume of the
    prediction is reported as false positive. Prediction empty, truth not: Dice and NSD are 0 because nothing was found;
    distances to nothing are NaN and the case is counted as failed; of a volume that was missed RAVD is 1, its own formula's
    value. `n_pred` and `n_truth` are voxels.

    `dice@brats` alone follows its challenge: truth empty gives 1 where the prediction is empty too, else 0.

    Source: Maier-Hein et al., Nature Methods 2024 (Metrics reloaded), on empty references; the choice is ours.

    Example: ``value_if_empty(MetricId("dice"), n_pred=0, n_truth=5) == 0.0``.
    """
    if n_truth == 0:
        return float(n_pred == 0) if metric.variant == "brats" else math.nan
    if n_pred == 0 and metric.name == "ravd":
        return 1.0
    if n_pred == 0:
        return 0.0 if METRICS[metric.name].higher_is_better else math.nan
    return None
