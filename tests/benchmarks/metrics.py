"""Surface metrics beside MONAI's in one run: seconds, peak memory, and whether the values agree.

    python -m tests.benchmarks.metrics [--out FILE.json] [--runs 3]

Cases   clean: 13 organs, 512x512x150 voxels of 0.76x0.76x3 mm, against a shifted and roughened copy; stray: the copy
        with 26 false-positive islands; la: one real left atrium against its shifted copy, where BENCH_DATA is set.
Asked   dice, hd, hd95, assd, nsd@2mm (area) and nsd-voxel@2mm of every class.
Tools   ours: `label_map_scores`, once for all classes. monai-cropped: MONAI's six calls per class on masks cropped to the
        union of both beforehand, outside the clock. monai-whole: the same calls on whole masks, for two classes
        (1.5 L and 3 mL), scaled to 13.
Memory  the kernel's high-water mark above what was resident before the first call, each tool in a process of its own.
Time    one thread, medians. Beside every MONAI run ours is run in the same process, and clean beside stray; ratios are of
        those pairs, so that a busy machine slows both.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench.data.atomic import write_text
from tests.benchmarks.measured import machine, timed
from tests.benchmarks.organ_maps import CLASSES, SPACING_MM, truth_and_copy, with_islands

TOLERANCE_MM = 2.0
METRICS = ("dice", "hd", "hd95", "assd", "nsd@2mm", "nsd-voxel@2mm")
WHOLE_CLASSES = (1, 12)  # liver and right adrenal; the cost of a whole mask does not depend on the organ
PLAN = (
    ("clean", "ours"),
    ("clean", "monai-cropped"),
    ("clean", "monai-whole"),
    ("stray", "ours"),
    ("stray", "monai-cropped"),
)
GOALS = {"clean/monai-cropped": 10.0, "clean/monai-whole": 100.0}
Values = dict[str, list[float]]
Tool = Callable[[np.ndarray, np.ndarray, dict[int, str], tuple[float, float, float]], Values]


def ours(
    pred: np.ndarray, truth: np.ndarray, classes: dict[int, str], spacing_mm: tuple[float, float, float]
) -> Values:
    """All classes and metrics in one call."""
    from bench.metrics.surface import label_map_scores

    rows = label_map_scores(pred, truth, classes=classes, spacing_mm=spacing_mm, metrics=METRICS).rows
    return {name: [row.value for row in rows if row.class_ == name] for name in classes.values()}


def monai(pred: np.ndarray, truth: np.ndarray, spacing_mm: tuple[float, float, float]) -> list[float]:
    """MONAI's six calls on two boolean masks."""
    import torch
    from monai.metrics import (
        compute_average_surface_distance,
        compute_dice,
        compute_hausdorff_distance,
        compute_surface_dice,
    )

    p, t = torch.from_numpy(pred)[None, None], torch.from_numpy(truth)[None, None]
    tolerance = [TOLERANCE_MM]
    return [
        float(compute_dice(p, t, include_background=True)),
        float(compute_hausdorff_distance(p, t, True, spacing=spacing_mm)),
        float(compute_hausdorff_distance(p, t, True, percentile=95, spacing=spacing_mm)),
        float(compute_average_surface_distance(p, t, True, symmetric=True, spacing=spacing_mm)),
        float(compute_surface_dice(p, t, tolerance, True, spacing=spacing_mm, use_subvoxels=True)),
        float(compute_surface_dice(p, t, tolerance, True, spacing=spacing_mm)),
    ]


def union_box(one: np.ndarray, other: np.ndarray) -> tuple[slice, ...]:
    """The box of both masks."""
    both = one | other
    box = []
    for axis in range(3):
        at = np.flatnonzero(both.any(axis=tuple({0, 1, 2} - {axis})))
        box.append(slice(int(at[0]), int(at[-1]) + 1))
    return tuple(box)


def measure(tool: str, case: str, folder: Path, runs: int) -> dict[str, Any]:
    """Run one tool on one case in this process."""
    pred, truth = (np.load(folder / f"{case}-{role}.npy") for role in ("pred", "truth"))
    described = json.loads((folder / f"{case}.json").read_text())
    classes = {int(label): name for label, name in described["classes"].items()}
    spacing_mm = tuple(described["spacing_mm"])
    import scipy.spatial  # noqa: F401  imports are no part of the memory or the time

    if tool == "ours":
        ours(pred[:8], truth[:8], classes, spacing_mm)
        values, first, peak_mib = timed(lambda: ours(pred, truth, classes, spacing_mm))
        found = {"peak_mib": peak_mib, "values": values}
        seconds, clean_seconds = [first], []
        clean = np.load(folder / "clean-pred.npy") if case == "stray" else None
        for _ in range(4 * runs):
            seconds.append(timed(lambda: ours(pred, truth, classes, spacing_mm))[1])
            if clean is not None:
                clean_seconds.append(timed(lambda: ours(clean, truth, classes, spacing_mm))[1])
        if clean is not None:
            ratios = [stray / beside for stray, beside in zip(seconds[1:], clean_seconds, strict=True)]
            found["times_clean"] = statistics.median(ratios)
        return found | {"seconds": statistics.median(seconds)}
    import torch

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    monai(pred[:8, :8, :8] == 0, truth[:8, :8, :8] == 0, spacing_mm)
    chosen = {label: name for label, name in classes.items() if tool != "monai-whole" or label in WHOLE_CLASSES}
    masks = {}
    for label, name in chosen.items():
        one, other = pred == label, truth == label
        box = union_box(one, other) if tool == "monai-cropped" else (slice(None),) * 3
        masks[name] = one[box].copy(), other[box].copy()
    scale = len(classes) / len(chosen)
    values, first, peak_mib = timed(lambda: {name: monai(*pair, spacing_mm) for name, pair in masks.items()})
    pairs = []
    for run in range(runs if tool == "monai-cropped" and case != "stray" else 1):
        mine = statistics.median(timed(lambda: ours(pred, truth, classes, spacing_mm))[1] for _ in range(3))
        theirs = first if run == 0 else timed(lambda: [monai(*pair, spacing_mm) for pair in masks.values()])[1]
        pairs.append((theirs * scale, mine))
    return {
        "seconds": statistics.median(theirs for theirs, _ in pairs),
        "ours_beside_seconds": statistics.median(mine for _, mine in pairs),
        "times_ours": statistics.median(theirs / mine for theirs, mine in pairs),
        "peak_mib": peak_mib,
        "measured_classes": len(chosen),
        "scaled_by": scale,
        "values": values,
    }


def write_cases(folder: Path) -> list[tuple[str, str]]:
    """Write the label maps and return the plan: pairs of case and tool."""
    truth, copy = truth_and_copy()
    for case, pred in (("clean", copy), ("stray", with_islands(copy))):
        write_case(folder, case, pred, truth, CLASSES, SPACING_MM)
    plan = list(PLAN)
    atria = sorted(Path(os.environ.get("BENCH_DATA") or "absent").glob("la/2018LA_Seg_Training Set/*/mri_norm2.h5"))
    if atria:
        import h5py

        with h5py.File(atria[0]) as file:
            mask = np.asarray(file["label"], dtype=np.uint8)
        pred = np.maximum(np.roll(mask, (2, 1, 1), (0, 1, 2)), np.roll(mask, 1, 0))
        write_case(folder, "la", pred, mask, {1: "left-atrium"}, (0.625, 0.625, 0.625))
        plan += [("la", "ours"), ("la", "monai-cropped")]
    return plan


def write_case(
    folder: Path,
    case: str,
    pred: np.ndarray,
    truth: np.ndarray,
    classes: dict[int, str],
    spacing_mm: tuple[float, float, float],
) -> None:
    """One case as files."""
    np.save(folder / f"{case}-pred.npy", pred)
    np.save(folder / f"{case}-truth.npy", truth)
    (folder / f"{case}.json").write_text(json.dumps({"classes": classes, "spacing_mm": spacing_mm}))


def in_own_process(tool: str, case: str, folder: Path, runs: int) -> dict[str, Any]:
    """`measure` in a fresh process with one thread."""
    words = [sys.executable, "-m", "tests.benchmarks.metrics", "--worker", tool, case, str(folder), "--runs", str(runs)]
    one_thread = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(words, env=os.environ | one_thread, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def farthest(mine: Values, theirs: Values) -> dict[str, float]:
    """The largest difference by metric over the classes both tools scored."""
    gaps = np.array([np.abs(np.subtract(mine[name], theirs[name])) for name in theirs])
    return dict(zip(METRICS, gaps.max(axis=0).tolist(), strict=True))


def table(found: dict[str, dict[str, Any]]) -> str:
    """The figures for a reader."""
    lines = [f"{'case/tool':22} {'seconds':>9} {'times ours':>11} {'peak MiB':>9}  note"]
    for name, row in found.items():
        times = f"{row['times_ours']:.1f}" if "times_ours" in row else "1"
        scaled = row.get("scaled_by", 1)
        note = f"{row['measured_classes']} classes run, times {scaled:g}" if scaled > 1 else ""
        goal = f"goal {GOALS[name]:g}" if name in GOALS else ""
        notes = "; ".join(filter(None, (note, goal)))
        lines.append(f"{name:22} {row['seconds']:9.3f} {times:>11} {row['peak_mib']:9.0f}  {notes}")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--worker", nargs=3, metavar=("TOOL", "CASE", "FOLDER"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.worker:
        tool, case, folder = asked.worker
        print(json.dumps(measure(tool, case, Path(folder), asked.runs)))
        return
    about = machine(("numpy", "scipy", "torch", "monai"))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        plan = write_cases(folder)
        found = {f"{case}/{tool}": in_own_process(tool, case, folder, asked.runs) for case, tool in plan}
    agreement = {
        name: farthest(found[f"{name.split('/')[0]}/ours"]["values"], row["values"])
        for name, row in found.items()
        if not name.endswith("/ours")
    }
    stray = found["stray/ours"]["times_clean"]
    print(f"{about['cpu']}, {about['cores']} cores, one thread used; load before {about['load_before']}")
    print(table(found))
    print(f"stray islands cost us {stray:.2f} times the clean case (goal: at most 2.5)")
    for name, gaps in agreement.items():
        shown = ", ".join(f"{metric} {gap:.1e}" for metric, gap in gaps.items())
        print(f"largest difference from {name}: {shown}")
    report = {"machine": about, "asked": METRICS, "results": found, "agreement": agreement, "stray_over_clean": stray}
    if asked.out:
        asked.out.parent.mkdir(parents=True, exist_ok=True)
        write_text(asked.out, json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
