"""Pictures show what is there: the right slices, the right way up, every line of a log, and the same bytes each time."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.case_rows import CaseRow
from bench.contracts.errors import DataMissing, DataUnsound
from bench.figure import CaseImages, best_median_worst, curves, overlays, rank_cases
from bench.figures.overlays import PLANES, _face, _palette, _view, _widest
from tests.real_volumes import real

Volume = np.ndarray[Any, Any]
SKY_RGB = np.array([0x56, 0xB4, 0xE9]) / 255


def write_log(path: Path, steps: int = 40, **every: Any) -> Path:
    lines: list[dict[str, Any]] = []
    for step in range(1, steps + 1):
        named = {"rebuild": 2 / step, "contrast": 1 / step}
        lines.append({"step": step, "loss": sum(named.values()), **named, "lr": 1e-4, "seconds": step, **every})
        if step % 10 == 0:
            lines.append({"step": step, "evaluation": step / 50, **every})
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path


def pixels(path: Path) -> Volume:
    import matplotlib.image

    return np.asarray(matplotlib.image.imread(path))


def colour_share(path: Path, colour: str) -> float:
    """The share of pixels of about this colour."""
    import matplotlib.colors

    return float((np.abs(pixels(path)[..., :3] - np.array(matplotlib.colors.to_rgb(colour))) < 0.08).all(-1).mean())


def ellipsoid(shape: tuple[int, int, int], centre: tuple[float, ...], radius: float) -> Volume:
    grid = np.indices(shape)
    squares = np.stack([(axis - c) ** 2 for axis, c in zip(grid, centre, strict=True)])
    return np.asarray(squares.sum(axis=0) < radius**2, np.uint8)


def phantom(shift: int = 2) -> CaseImages:
    truth = ellipsoid((40, 36, 30), (18, 16, 14), 8.5)
    image = truth * 100.0 + np.random.default_rng(0).normal(0, 10, truth.shape)
    return CaseImages(image, truth, np.roll(truth, shift, axis=0), (1.0, 1.0, 2.0))


# --- curves ---


def test_curves_show_losses_evaluations_and_rate_with_the_same_bytes_each_time(tmp_path: Path) -> None:
    log = write_log(tmp_path / "log.jsonl")
    one, two = (curves(log, tmp_path / f"{name}.png", "mim $x$ _y").read_bytes() for name in "ab")
    assert one == two
    for colour in ("#E69F00", "#56B4E9", "#0072B2", "#D55E00", "#009E73"):
        assert colour_share(tmp_path / "a.png", colour) > 1e-4


def test_settings_of_the_readers_own_change_no_figure(tmp_path: Path) -> None:
    import matplotlib

    log = write_log(tmp_path / "log.jsonl")
    plain = curves(log, tmp_path / "plain.png").read_bytes()
    own = {
        "lines.linewidth": 7,
        "axes.facecolor": "black",
        "figure.dpi": 30,
        "savefig.dpi": 30,
        "savefig.bbox": "tight",
    }
    with matplotlib.rc_context(own):
        assert curves(log, tmp_path / "own.png").read_bytes() == plain
        assert matplotlib.rcParams["lines.linewidth"] == 7


def test_each_phase_has_a_column_of_its_own(tmp_path: Path) -> None:
    logs = {name: write_log(tmp_path / f"{name}.jsonl") for name in ("tokenizer", "predict")}
    one = pixels(curves(logs["predict"], tmp_path / "one.png"))
    two = pixels(curves(logs, tmp_path / "two.png"))
    assert two.shape[1] > 1.8 * one.shape[1]
    mixed = tmp_path / "mixed.jsonl"
    text = (
        write_log(tmp_path / "a.jsonl", phase="tokenizer").read_text() + write_log(mixed, phase="predict").read_text()
    )
    mixed.write_text(text)
    assert pixels(curves(mixed, tmp_path / "mixed.png")).shape == two.shape


def test_a_log_without_evaluations_has_no_empty_panel(tmp_path: Path) -> None:
    log = write_log(tmp_path / "log.jsonl", steps=9)
    assert (
        pixels(curves(log, tmp_path / "x.png")).shape[0]
        < pixels(curves(write_log(tmp_path / "y.jsonl"), tmp_path / "y.png")).shape[0]
    )


def test_torn_lines_undefined_losses_and_repeated_steps_are_drawn_and_told(tmp_path: Path) -> None:
    log = write_log(tmp_path / "log.jsonl", steps=5)
    clean = curves(log, tmp_path / "clean.png").read_bytes()
    repeated = tmp_path / "repeated.jsonl"
    wrong = {"step": 3, "loss": 9.0, "rebuild": 9.0, "contrast": 9.0, "lr": 1e-4}
    repeated.write_text(json.dumps(wrong) + "\n" + log.read_text())
    assert curves(repeated, tmp_path / "repeated.png").read_bytes() == clean
    torn = tmp_path / "torn.jsonl"
    undefined = '{"step": 6, "loss": null, "rebuild": NaN}\n{"step": 7, "lo'
    torn.write_text(f"{log.read_text()}[1]\n{undefined}")
    assert curves(torn, tmp_path / "torn.png").read_bytes() != clean


def test_all_losses_undefined_still_makes_a_picture(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text("".join(json.dumps({"step": s, "loss": None, "lr": 0.1}) + "\n" for s in range(3)))
    assert pixels(curves(log, tmp_path / "x.png")).size


def test_a_log_without_steps_or_no_log_is_told(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text("\n")
    with pytest.raises(DataMissing, match="no step is logged"):
        curves(tmp_path / "log.jsonl", tmp_path / "x.png")
    with pytest.raises(DataMissing, match="no log"):
        curves(tmp_path / "none.jsonl", tmp_path / "x.png")
    assert not (tmp_path / "x.png").exists()


# --- overlays ---


def test_the_slices_are_those_with_the_largest_truth() -> None:
    case = phantom()
    assert [_widest(case.truth > 0, axis) for _, axis, _ in PLANES] == [18, 16, 14]
    assert _widest(np.zeros((5, 5, 5), bool), 0) == 2


@pytest.mark.parametrize(
    ("axis", "side", "corner"),
    [
        (0, 1, "left"),  # sagittal: the front (high y) stands at the left
        (1, 0, "left"),  # coronal: the patient's right (high x) stands at the left
        (2, 0, "left"),  # axial: the same
        (0, 2, "top"),
        (1, 2, "top"),
        (2, 1, "top"),
    ],
)
def test_the_patient_lies_as_the_letters_say(axis: int, side: int, corner: str) -> None:
    """A voxel at the high end of an axis of RAS (right, front, head) shows at the left or at the top."""
    volume = np.zeros((4, 5, 6))
    place: list[Any] = [slice(None)] * 3
    place[side] = -1
    volume[tuple(place)] = 1
    face = _face(volume, axis, 0)
    rows, columns = np.nonzero(face)
    letters = {name: word for _, name, word in PLANES}[axis]
    if corner == "left":
        assert set(columns) == {0}
        assert letters[0] == {0: "R", 1: "A", 2: "S"}[side]
    else:  # drawn with the origin below
        assert set(rows) == {face.shape[0] - 1}
        assert letters[2] == {0: "R", 1: "A", 2: "S"}[side]


def test_the_view_keeps_both_maps_with_a_margin_in_mm_and_stays_inside() -> None:
    marked = np.zeros((100, 100, 10), bool)
    marked[40:50, 2:12, 5] = True
    left, right, bottom, top = _view(marked, 2, 5, (1.0, 2.0, 5.0))
    assert (left, right) == (100 - 50 - 12, 100 - 40 + 12)  # x runs against the columns; the margin is 12 mm at least
    assert (bottom, top) == (0, 24 + 12)


def test_slices_keep_their_proportions_whatever_the_spacing(tmp_path: Path) -> None:
    """A ball of 16 mm on a grid of 1 x 1 x 2 mm covers as many pixels across as up; without spacing it is flat."""
    ball = ellipsoid((60, 60, 60), (30, 30, 30), 16)[:, :, ::2]
    for spacing, across_over_up in (((1.0, 1.0, 2.0), 1.0), (None, 2.0)):
        shown = pixels(overlays(ball * 1.0, ball, ball * 0, spacing, ("ball",), tmp_path / "x.png"))
        sagittal = shown[: int(0.85 * len(shown)), : shown.shape[1] // 3, :3]
        rows, columns = np.nonzero((np.abs(sagittal - SKY_RGB) < 0.08).all(-1))
        assert np.ptp(columns) / np.ptp(rows) == pytest.approx(across_over_up, rel=0.05)


def test_truth_and_prediction_of_a_lone_class_have_two_colours_and_the_same_bytes_each_time(tmp_path: Path) -> None:
    case = phantom()
    held = (case.image, case.truth, case.prediction, case.spacing_mm, ("left-atrium",))
    one, two = (overlays(*held, tmp_path / f"{name}.png", "case $1$") for name in "ab")
    assert one.read_bytes() == two.read_bytes()
    assert colour_share(one, _palette([1])[1, "solid"]) > 1e-3
    assert colour_share(one, _palette([1])[1, "dashed"]) > 1e-3
    empty = overlays(*held[:2], case.prediction * 0, *held[3:], tmp_path / "empty.png")
    legend_only = colour_share(empty, _palette([1])[1, "dashed"])
    assert legend_only < colour_share(one, _palette([1])[1, "dashed"]) / 3


@pytest.mark.parametrize("labels", [3, 40])
def test_any_number_of_classes_and_labels_without_a_name_are_drawn(tmp_path: Path, labels: int) -> None:
    truth = np.zeros((labels * 3 + 4, 12, 9), np.uint8)
    for label in range(1, labels + 1):
        truth[label * 3 - 1 : label * 3 + 1, 3:8, 2:7] = label
    path = overlays(truth * 1.0, truth, truth[::-1], (1, 1, 3), ["_a long name of a class"] * 2, tmp_path / "x.png")
    shown = pixels(path)
    assert shown.shape[1] <= 150 * 13.5
    assert (shown[:, -3:, :3] == 1).all()


def test_empty_maps_and_thin_or_constant_images_are_drawn(tmp_path: Path) -> None:
    nothing = np.zeros((6, 7, 8), np.uint8)
    overlays(nothing * 1.0, nothing, nothing, None, ("a",), tmp_path / "empty.png")
    thin = np.ones((6, 7, 1), np.uint8)
    overlays(thin * 1.0, thin, thin, (1, 1, 5), ("a",), tmp_path / "thin.png")
    only_guess = nothing.copy()
    only_guess[2:4, 2:5, 6:8] = 1
    overlays(nothing * 1.0, nothing, only_guess, None, ("a",), tmp_path / "guess.png")
    assert colour_share(tmp_path / "guess.png", _palette([1])[1, "dashed"]) > 1e-3


def test_arrays_of_different_shapes_are_refused(tmp_path: Path) -> None:
    case = phantom()
    with pytest.raises(DataUnsound, match="one shape"):
        overlays(case.image, case.truth, case.prediction[1:], None, ("a",), tmp_path / "x.png")
    with pytest.raises(DataUnsound, match="one shape"):
        overlays(case.image[None], case.truth[None], case.prediction[None], None, ("a",), tmp_path / "x.png")


# --- best, median, worst ---


def rows_of(**dice: float) -> list[CaseRow]:
    return [CaseRow(case, "liver", "dice", value) for case, value in dice.items()]


def test_cases_are_ranked_by_the_mean_over_their_defined_classes() -> None:
    rows = [
        *rows_of(a=0.5, b=0.9, c=math.nan),
        CaseRow("a", "spleen", "dice", 0.9),
        CaseRow("b", "spleen", "dice", math.nan),
    ]
    rows.append(CaseRow("a", "liver", "hd95", 100.0))
    assert rank_cases(rows) == [(pytest.approx(0.7), "a"), (0.9, "b")]


@pytest.mark.parametrize(
    ("dice", "picked"),
    [
        ({"a": 0.1, "b": 0.9, "c": 0.5}, {"best": "b", "median": "c", "worst": "a"}),
        ({"a": 0.1, "b": 0.2, "c": 0.3, "d": 0.4}, {"best": "d", "median": "b", "worst": "a"}),
        ({"a": 0.1}, {"best": "a", "median": "a", "worst": "a"}),
    ],
)
def test_best_median_and_worst_are_picked_and_drawn(
    tmp_path: Path, dice: dict[str, float], picked: dict[str, str]
) -> None:
    loaded: list[str] = []

    def load(case: str) -> CaseImages:
        loaded.append(case)
        return phantom()

    drawn = best_median_worst(rows_of(**dice), load, ("liver",), tmp_path)
    assert loaded == list(picked.values())
    assert drawn == {word: tmp_path / f"{word}.png" for word in picked}
    assert all(path.is_file() for path in drawn.values())


def test_without_a_defined_score_nothing_can_be_picked(tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match="No case has a defined dice"):
        best_median_worst(rows_of(a=math.nan), lambda _: phantom(), ("liver",), tmp_path)


@pytest.mark.data
def test_a_real_hippocampus_is_drawn(tmp_path: Path) -> None:
    root = real("msd04/Task04_Hippocampus")
    import nibabel

    first = sorted((root / "labelsTr").glob("hippo*.nii.gz"))[0]
    image = nibabel.as_closest_canonical(nibabel.load(root / "imagesTr" / first.name))
    truth = np.asarray(nibabel.as_closest_canonical(nibabel.load(first)).dataobj).round().astype(np.uint8)
    spacing = tuple(float(size) for size in image.header.get_zooms()[:3])
    guess = np.roll(truth, 1, axis=1)
    path = overlays(
        np.asarray(image.dataobj), truth, guess, (spacing[0], spacing[1], spacing[2]), ("anterior", "posterior"),
        tmp_path / "x.png", first.name,
    )  # fmt: skip
    assert colour_share(path, "#E69F00") > 1e-3
    assert colour_share(path, "#56B4E9") > 1e-3
