"""Classification from a prepared case to a score: losses restated, MedMNIST's evaluator restated, evidence kept per case."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, roc_auc_score
from torch import Tensor, nn

from bench.case_rows import CaseRow
from bench.contracts.cards import ClassificationTask
from bench.contracts.configs import FineTuneConfig, Intensity
from bench.contracts.errors import DataUnsound, PluginBroken, SpecError
from bench.contracts.kind import Setup, make_setup
from bench.contracts.method import Encoder, Features
from bench.contracts.protocols import Protocol, SplitRule
from bench.contracts.record import ImageFile, LabelFile, Record
from bench.data.archive import encode_npz
from bench.data.cache import CachedCases, prepare
from bench.data.cache_recipe import CacheRecipe
from bench.score import summarise
from tasks.kinds import classification as kind
from tasks.kinds.class_losses import binary_cross_entropy, cross_entropy_by_class
from tasks.kinds.class_samples import LabelledVolume, ShuffledCases, voxels_of
from tasks.layouts.medmnist import MedMnist

PROTOCOL = Protocol(
    split=SplitRule(file="medmnist.json", key="nodulemnist3d", origin="made up"),
    label_ratios=(1.0,),
    intensity=Intensity("u8"),
    spacing_mm=None,
    patch_voxels=(8, 8, 8),
    whole_volume=True,
    recipe=FineTuneConfig(loss="ce", batch_size=4, steps=4, warmup_steps=0),
    metrics=("auc", "auc@micro", "acc"),
)


def setup_of(classes: int = 3, *, multilabel: bool = False, target: str = "", **recipe: Any) -> Setup:
    names = tuple("abcdef"[:classes])
    task = ClassificationTask(
        title="Made up",
        version=1,
        modality="CT",
        files=MedMnist(flag="nodulemnist3d", classes=classes, modality="CT"),
        classes=names,
        protocols={"bench": PROTOCOL},
        multilabel=multilabel,
        targets={name: {name: (name,)} for name in names},
    )
    chosen = dataclasses.replace(PROTOCOL.recipe, **{"loss": "bce" if multilabel else "ce", **recipe})
    return make_setup(
        task, target, PROTOCOL, preset="full", recipe=chosen, inference=PROTOCOL.inference, multiple=(8, 8, 8)
    )


def a_record(index: int, value: int = -1, values: tuple[int, ...] = ()) -> Record:
    label = LabelFile(kind="multilabel", values=values) if values else LabelFile(kind="class", value=value)
    files = (ImageFile(path="set.npz", format="npz", key="images", index=index),)
    words = {"dataset": "d", "adapter_version": "1", "patient_id": "p", "group": "g"}
    return Record(case_id=f"case{index}", images=files, label=label, spacing=(1.0, 1.0, 1.0), **words)


def cases_of(folder: Path, labels: list[Any]) -> CachedCases:
    """Cubes of one value each: case i is full of 10 i."""
    cubes = np.stack([np.full((4, 4, 4), 10 * i, np.uint8) for i in range(len(labels))])
    (folder / "set.npz").write_bytes(encode_npz({"images": cubes}))
    records = [a_record(i, values=v) if isinstance(v, tuple) else a_record(i, v) for i, v in enumerate(labels)]
    return prepare(folder, records, CacheRecipe(intensity=Intensity("u8")), folder / "cache")


class Brightness(Encoder):
    """Pools the mean of the volume."""

    channels, strides, pooled_width = (1,), ((1, 1, 1),), 1

    def __init__(self) -> None:
        super().__init__()
        self.anchor = nn.Parameter(torch.ones(1))
        self.shapes: list[tuple[int, ...]] = []

    def forward(self, volume: Tensor) -> Features:
        self.shapes.append(tuple(volume.shape))
        return Features([volume], volume.mean((1, 2, 3, 4))[:, None] * self.anchor)

    def layers(self) -> list[nn.Module]:
        return []


# MedMNIST's evaluator, in its own definitions --------------------------------------------------------------


def medmnist_auc(truth: np.ndarray, scores: np.ndarray, task: str) -> float:
    if task == "binary-class":
        return float(roc_auc_score(truth, scores[:, -1]))
    return sum(float(roc_auc_score(truth == k, scores[:, k])) for k in range(scores.shape[1])) / scores.shape[1]


def medmnist_acc(truth: np.ndarray, scores: np.ndarray, task: str) -> float:
    called = scores[:, -1] > 0.5 if task == "binary-class" else scores.argmax(1)
    return float(accuracy_score(truth, called))


@pytest.mark.parametrize(("classes", "task"), [(2, "binary-class"), (3, "multi-class"), (5, "ordinal-regression")])
def test_auc_and_acc_are_those_of_medmnists_evaluator(classes: int, task: str) -> None:
    rng = np.random.default_rng(classes)
    scores = torch.softmax(torch.from_numpy(rng.normal(size=(60, classes)).round(1)), 1).numpy()
    truth = rng.integers(0, classes, 60)
    setup = setup_of(classes)
    rows = [
        CaseRow(f"case{i}", *row)
        for i, line in enumerate(scores)
        for row in kind.evidence(setup, kind._answers(setup, int(truth[i])), line)
    ]
    means, by_class = summarise(rows, "class_then_case", ("auc", "auc@micro", "acc"))
    assert means["auc"] == pytest.approx(medmnist_auc(truth, scores, task), abs=1e-12)
    assert means["acc"] == pytest.approx(medmnist_acc(truth, scores, task), abs=1e-12)
    hot = truth[:, None] == np.arange(classes)
    assert means["auc@micro"] == pytest.approx(float(roc_auc_score(hot, scores, average="micro")), abs=1e-12)
    assert by_class["b"]["auc"] == pytest.approx(float(roc_auc_score(truth == 1, scores[:, 1])), abs=1e-12)


# Losses ----------------------------------------------------------------------------------------------------


def test_cross_entropy_by_class_is_the_mean_over_classes_of_each_ones_mean() -> None:
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    label = torch.tensor([0, 0, 1])
    each = [
        -math.log(math.exp(row[k]) / sum(map(math.exp, row))) for row, k in zip(logits.tolist(), [0, 0, 1], strict=True)
    ]
    assert float(cross_entropy_by_class(logits, label)) == pytest.approx(((each[0] + each[1]) / 2 + each[2]) / 2)
    assert float(cross_entropy_by_class(logits[:2], label[:2])) == pytest.approx((each[0] + each[1]) / 2 / 2)


def test_an_answer_that_is_not_told_teaches_nothing() -> None:
    logits = torch.tensor([[1.0, 3.0], [-2.0, 0.5]], requires_grad=True)
    label = torch.tensor([[1, -1], [0, 1]])
    sigmoid = torch.sigmoid(logits.detach())
    first, second = -math.log(sigmoid[0, 0]), -math.log(1 - sigmoid[1, 0]) - math.log(sigmoid[1, 1])
    loss = binary_cross_entropy(logits, label)
    assert float(loss.detach()) == pytest.approx((first / 2 + second / 2) / 2)
    loss.backward()
    assert logits.grad is not None and logits.grad[0, 1] == 0 and logits.grad[1, 1] != 0


@pytest.mark.parametrize(
    ("loss", "multilabel", "told"), [("dice_ce", False, "ce"), ("ce", True, "bce"), ("bce", False, "ce")]
)
def test_a_loss_that_does_not_fit_the_labels_is_refused(loss: str, multilabel: bool, told: str) -> None:
    setup = setup_of(multilabel=multilabel, loss=loss)
    with pytest.raises(SpecError, match=f"No loss '{loss}'.*{told}"):
        kind.training_phase(setup, kind.build_net(setup, Brightness(), "unet", 0))


@pytest.mark.parametrize(
    ("multilabel", "target"),
    [
        (False, {"any": ("b", "c")}),
        (False, {"a": ("a",)}),
        (False, {"a": ("a",), "b": ("b", "c")}),
        (True, {"any": ("a", "b")}),
        (True, {"renamed": ("a",)}),
    ],
)
def test_a_target_that_the_head_does_not_answer_is_refused_before_anything_is_trained(
    multilabel: bool, target: dict[str, tuple[str, ...]]
) -> None:
    setup = setup_of(multilabel=multilabel)
    wrong = dataclasses.replace(setup, target="it", task=dataclasses.replace(setup.task, targets={"it": target}))
    with pytest.raises(SpecError, match="The target 'it' asks for"):
        kind.demand(wrong)
    for right in (setup, setup_of(multilabel=True, target="b")):
        kind.demand(right)


def test_a_target_that_names_no_class_of_the_card_is_refused_with_the_nearest() -> None:
    setup = setup_of()
    card = dataclasses.replace(
        setup.task, classes=("liver", "tumour"), targets={"organ": {"liver": ("liver", "tumor")}}
    )
    with pytest.raises(PluginBroken, match=r"The target 'organ' names 'tumor', .* Did you mean 'tumour'\?"):
        make_setup(
            card,
            "organ",
            PROTOCOL,
            preset="full",
            recipe=setup.recipe,
            inference=PROTOCOL.inference,
            multiple=(8, 8, 8),
        )


# What a step is shown --------------------------------------------------------------------------------------


def test_an_epoch_shows_each_case_once_and_the_next_in_another_order(tmp_path: Path) -> None:
    cases = cases_of(tmp_path, [0, 1, 2, 0, 1, 2, 0, 1])
    draw = ShuffledCases()
    epochs = [[case for step in range(4 * e, 4 * e + 4) for (case,) in draw(cases, 2, step, 5)] for e in range(3)]
    assert all(sorted(epoch) == sorted(cases.cases) for epoch in epochs) and len(set(map(tuple, epochs))) == 3
    assert draw(cases, 2, 3, 5) == draw(cases, 2, 3, 5)
    assert epochs[0] != [
        case for step in range(4) for (case,) in draw(cases, 2, step, 6)
    ]  # another seed, another order


def test_balanced_draws_show_rare_and_frequent_classes_alike(tmp_path: Path) -> None:
    cases = cases_of(tmp_path, [0] * 11 + [1])
    drawn = [case for (case,) in ShuffledCases(balanced=True)(cases, 400, 0, 1)]
    assert 150 < drawn.count("case11") < 250 and len(set(drawn)) == 12
    assert drawn != [case for (case,) in ShuffledCases(balanced=True)(cases, 400, 0, 2)]  # another seed, other cases


def test_balanced_draws_are_of_their_own_in_every_place_of_every_step(tmp_path: Path) -> None:
    cases, draw = cases_of(tmp_path, [0] * 6 + [1] * 6), ShuffledCases(balanced=True)
    steps = [[case for (case,) in draw(cases, 4, step, 1)] for step in range(100)]
    drawn = [case for step in steps for case in step]
    assert steps == [[case for (case,) in draw(cases, 4, step, 1)] for step in range(100)]
    assert len(set(map(tuple, steps))) == 100
    assert sum(one == next_ for one, next_ in itertools.pairwise(drawn)) < 60  # a twelfth of 399 by chance


def test_a_candidate_is_the_cube_about_its_place_and_other_cases_are_whole(tmp_path: Path) -> None:
    from bench.data.volumes import write_nifti

    array = np.arange(10 * 10 * 10, dtype=np.int16).reshape(10, 10, 10)
    affine = ((-2.0, 0, 0, 30.0), (0, 1.0, 0, -4.0), (0, 0, 1.0, 0), (0, 0, 0, 1.0))  # x runs to the left
    write_nifti(tmp_path / "scan.nii.gz", array, affine=affine, dtype=np.int16)
    words = {"dataset": "d", "adapter_version": "1", "patient_id": "p", "group": "scan", "scan_id": "scan"}
    files = (ImageFile(path="scan.nii.gz", format="nifti"),)
    places = {"scan#1": (22.0, 0.0, 5.0), "scan#2": (14.0, 2.0, 7.0)}  # native voxels (4, 4, 5) and (8, 6, 7)
    records = [
        Record(case_id=case, images=files, label=LabelFile(kind="class", value=0), centre_mm=at, **words)
        for case, at in places.items()
    ]
    native = prepare(tmp_path, records, CacheRecipe(intensity=Intensity("hu")), tmp_path / "cache")
    canonical = array[::-1]
    assert native.fields("scan#1")["centre"] == pytest.approx((5.0, 4.0, 5.0))
    np.testing.assert_array_equal(voxels_of(native, "scan#1", (2, 2, 2))[0], canonical[4:6, 3:5, 4:6])
    finer = prepare(
        tmp_path, records, CacheRecipe(intensity=Intensity("hu"), spacing_mm=(1.0, 1.0, 1.0)), tmp_path / "cache"
    )
    at = finer.fields("scan#2")["centre"]
    assert at == pytest.approx(((1 - 4.5) * 2 + 9.5, 6.0, 7.0))
    assert len(list((tmp_path / "cache").glob("*.case"))) == 2  # one entry per scan and recipe


def test_variations_are_drawn_alike_whichever_is_switched_off(tmp_path: Path) -> None:
    cases = cases_of(tmp_path, [0, 1])
    shown = []
    for recipe in (
        FineTuneConfig(),
        FineTuneConfig(flip_axes=(), intensity_scale=0.0),
        FineTuneConfig(random_factor=True),
    ):
        shown.append(LabelledVolume((4, 4, 4), recipe)(cases, ("case1",), np.random.default_rng(3)))
    assert shown[0]["offset"] == shown[1]["offset"] == shown[2]["offset"] and shown[1]["gain"] == 1.0
    assert shown[0]["factor"] == 1.0 and 0 <= shown[2]["factor"] < 1 and shown[0]["label"] == 1


def test_a_training_shape_is_dimmed_by_any_factor_alike_from_nothing_to_its_own_brightness() -> None:
    """MedMNIST's and SPAD's shapes times U(0, 1): of 400 draws 40 lie in each tenth, with a standard error of 6."""
    (_, corpus), view = one_cube(), LabelledVolume((4, 4, 4), FineTuneConfig(random_factor=True))
    factors = [view(corpus, ("a",), np.random.default_rng(k))["factor"].item() for k in range(400)]
    tenths = np.bincount([int(10 * factor) for factor in factors], minlength=10)
    assert len(tenths) == 10 and tenths.min() > 15 and tenths.max() < 65


def one_cube(side: int = 5) -> tuple[np.ndarray, Any]:
    """A case of as many different voxels as a byte holds, and a corpus of it alone."""
    cube = np.random.default_rng(0).integers(0, 256, (1, side, side, side)).astype(np.uint8)
    shape = (side, side, side)
    return cube, SimpleNamespace(fields=lambda case: {"label": 1}, shape=lambda case: shape, read=lambda *box: cube)


@pytest.mark.parametrize(("axes", "turned"), [((0, 2), True), ((0,), False), ((1,), False), ((2,), False)])
def test_a_classified_volume_is_flipped_along_the_axes_that_the_recipe_names_and_turned_about_the_third(
    axes: tuple[int, ...], turned: bool
) -> None:
    cube, corpus = one_cube()
    view = LabelledVolume((5, 5, 5), FineTuneConfig(flip_axes=axes, rot90_probability=0.5 * turned))
    seen = {view(corpus, ("a",), np.random.default_rng(seed))["volume"].tobytes() for seed in range(400)}
    flips = itertools.chain.from_iterable(itertools.combinations(axes, n) for n in range(len(axes) + 1))
    expected = {
        np.ascontiguousarray(np.rot90(np.flip(cube, [1 + axis for axis in chosen]), quarters, (1, 2))).tobytes()
        for chosen in flips
        for quarters in (range(4) if turned else (0,))
    }
    assert len(expected) == (16 if turned else 2) and seen == expected


def test_what_varies_a_classified_volume_on_the_device_is_drawn_as_the_recipe_says() -> None:
    recipe = FineTuneConfig(
        intensity_scale=0.2,
        intensity_scale_probability=0.5,
        intensity_shift=0.3,
        intensity_shift_probability=0.5,
        rotate_degrees=(0.0, 0.0, 30.0),
        rotate_probability=0.5,
        contrast_probability=0.5,
        elastic_probability=0.5,
    )
    view, (_, corpus) = LabelledVolume((5, 5, 5), recipe), one_cube()
    drawn = [view(corpus, ("a",), np.random.default_rng(seed)) for seed in range(200)]
    gains, offsets = (np.array([float(found[name][0]) for found in drawn]) for name in ("gain", "offset"))
    assert 0.8 <= gains.min() < 0.85 and 1.15 < gains.max() <= 1.2
    assert -0.3 <= offsets.min() < -0.25 and 0.25 < offsets.max() <= 0.3
    still = [np.array_equal(found["turn"], np.eye(3)) for found in drawn]
    even = [found["disturb"][2] == 1 for found in drawn]
    flat = [not found["bent"].any() for found in drawn]
    happened = np.array([gains == 1, offsets == 0, still, even, flat])
    assert ((happened.mean(axis=1) > 0.35) & (happened.mean(axis=1) < 0.65)).all()
    for one, other in itertools.combinations(happened, 2):  # none depends on another
        assert 0.1 < np.mean(one & other) < 0.4
    assert set(LabelledVolume((5, 5, 5), FineTuneConfig())(corpus, ("a",), np.random.default_rng(0))) == {
        *("volume", "label", "turn", "gain", "offset", "factor")
    }


# From volume to score --------------------------------------------------------------------------------------


def test_the_network_sees_stretched_volumes_in_its_own_range(tmp_path: Path) -> None:
    cases, setup = cases_of(tmp_path, [0, 1, 2, 0]), setup_of()
    encoder = Brightness()
    net = kind.build_net(setup, encoder, "unet", 0)
    kind.evaluate(setup, net, cases)
    assert encoder.shapes == [(4, 1, 8, 8, 8)]
    batch = {"volume": torch.full((1, 1, 4, 4, 4), 51, dtype=torch.uint8), "label": torch.tensor([1])}
    batch |= {"gain": torch.tensor([[1.0]]), "offset": torch.tensor([[0.0]]), "factor": torch.tensor([[0.5]])}
    shown = kind.prepare(setup)(batch)["volume"]
    assert shown.shape == (1, 1, 8, 8, 8) and torch.allclose(shown, torch.tensor(0.1))


def test_shapes_are_halved_wherever_they_are_not_trained_on(tmp_path: Path) -> None:
    cases = cases_of(tmp_path, [0, 1, 0, 1])
    seen = []
    for factor in (False, True):
        setup = setup_of(2, random_factor=factor)
        net = kind.build_net(setup, Brightness(), "unet", 0)
        nn.init.ones_(net.head.weight)
        kind.predict_case(setup, net.eval(), cases, "case3", tmp_path / "p.json")
        with torch.no_grad():
            net.head.weight[0] = 0
        kind.predict_case(setup, net.eval(), cases, "case3", tmp_path / "p.json")
        scores = json.loads((tmp_path / "p.json").read_text())["scores"]
        seen.append(math.log(scores["b"] / scores["a"]))
    assert seen[0] == pytest.approx(30 / 255, abs=1e-6) and seen[1] == pytest.approx(15 / 255, abs=1e-6)


def test_a_prediction_that_goes_on_writes_the_same_numbers_and_leaves_what_is_there(tmp_path: Path) -> None:
    cases, setup = cases_of(tmp_path, [0, 1, 2, 0, 1, 2, 0]), setup_of()  # four at a time
    encoder = Brightness()
    net = kind.build_net(setup, encoder, "unet", 0).eval()

    def files(folder: str) -> list[tuple[str, Path]]:
        return [(case, tmp_path / folder / f"{case}.json") for case in cases.cases]

    assert list(kind.predict_cases(setup, net, cases, files("one"))) == list(cases.cases)
    assert [shape[0] for shape in encoder.shapes] == [4, 3]
    kept = files("two")[1][1]
    kept.parent.mkdir()
    kept.write_text("here before")
    assert list(kind.predict_cases(setup, net, cases, files("two"))) == list(cases.cases)
    one, two = ([path.read_text() for _, path in files(name)] for name in ("one", "two"))
    assert two[1] == "here before" and [*one[:1], *one[2:]] == [*two[:1], *two[2:]]
    assert list(kind.predict_cases(setup, net, cases, files("two"))) and len(encoder.shapes) == 4


def test_a_stored_prediction_leaves_its_probabilities_and_one_truth_as_evidence(tmp_path: Path) -> None:
    cases, setup = cases_of(tmp_path, [2, 1, 0]), setup_of()
    net = kind.build_net(setup, Brightness(), "unet", 0)
    path = tmp_path / "case0.json"
    kind.predict_case(setup, net, cases, "case0", path)
    scored = kind.score_case(setup, tmp_path, a_record(0, 2), cases, path)
    rows = {(name, metric): value for name, metric, value in scored.rows}
    assert set(rows) == {("a", "score"), ("b", "score"), ("c", "score"), ("c", "truth")}
    assert sum(value for (_, metric), value in rows.items() if metric == "score") == pytest.approx(1.0)


def test_answers_that_are_not_told_are_counted_and_enter_no_metric(tmp_path: Path) -> None:
    setup = setup_of(2, multilabel=True, target="b")
    rows: list[CaseRow] = []
    for i, (values, score) in enumerate([((0, -1), 0.9), ((1, 1), 0.7), ((1, 0), 0.6), ((1, 0), 0.2)]):
        path = tmp_path / f"case{i}.json"
        path.write_text(json.dumps({"scores": {"a": 0.5, "b": score}}))
        scored = kind.score_case(setup, tmp_path, a_record(i, values=values), None, path)
        assert scored.counts == ({"n_untold_answers": 1} if values[1] < 0 else {})
        rows += [CaseRow(f"case{i}", *row) for row in scored.rows]
    means, _ = summarise(rows, "class_then_case", ("auc",))
    assert means["auc"] == 1.0  # the untold 0.9 does not count


@pytest.mark.parametrize(
    "text", ["{", '{"scores": {"a": 1}}', '{"scores": {"a": 1, "b": "x", "c": 0}}', '{"scores": [1, 2, 3]}']
)
def test_a_prediction_that_is_none_is_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "case0.json"
    path.write_text(text)
    with pytest.raises(DataUnsound, match=r"^case0: 'case0\.json'.*a, b, c"):
        kind.score_case(setup_of(), tmp_path, a_record(0, 1), None, path)


def test_weights_are_selected_by_auc_or_by_the_sum_the_recipe_names(tmp_path: Path) -> None:
    cases = cases_of(tmp_path, [0, 0, 1, 1])
    setup = setup_of(2)
    net = kind.build_net(setup, Brightness(), "unet", 0)
    with torch.no_grad():
        net.head.weight[:] = torch.tensor(
            [[0.0], [1.0]]
        )  # brighter is likelier of class b: perfect order, all called b
    assert kind.evaluate(setup, net, cases) == 1.0
    assert kind.evaluate(setup_of(2, select_by="acc+auc"), net, cases) == pytest.approx(1.0 + 0.75)
    with pytest.raises(SpecError, match="'dice' selects no classifier"):
        kind.evaluate(setup_of(2, select_by="dice"), net, cases)
    assert math.isnan(kind.evaluate(setup, net, cases.subset(["case0", "case1"])))


def test_a_head_has_one_start_per_seed_and_stands_last_among_the_layers() -> None:
    setup = setup_of()
    one, same, other = (kind.build_net(setup, Brightness(), "unet", seed) for seed in (0, 0, 1))
    assert torch.equal(one.head.weight, same.head.weight) and not torch.equal(one.head.weight, other.head.weight)
    assert kind.layers(one) == [one.head]


def test_the_network_of_a_small_preset_sees_small_volumes_and_a_picture_stays_one_slice() -> None:
    from bench.contracts.kind import network_shape

    large = dataclasses.replace(PROTOCOL, patch_voxels=(160, 160, 160))
    assert network_shape(large, "tiny", (8, 8, 8), resizes=True) == (32, 32, 32)
    assert network_shape(large, "full", (16, 16, 16), resizes=True) == (160, 160, 160)
    assert network_shape(large, "tiny", (8, 8, 8)) == (160, 160, 160)
    flat = dataclasses.replace(PROTOCOL, patch_voxels=(160, 150, 1))
    assert network_shape(flat, "full", (16, 16, 16), resizes=True) == (160, 160, 1)
    cubes = dataclasses.replace(large, image_voxels=(28, 28, 28))  # enlarged at full size alone
    assert network_shape(cubes, "small", (16, 16, 16), resizes=True) == (32, 32, 32)
    assert network_shape(cubes, "full", (16, 16, 16), resizes=True) == (160, 160, 160)
    assert network_shape(large, "small", (16, 16, 16), resizes=True) == (64, 64, 64)


def test_the_head_of_a_linear_probe_hears_features_of_any_scale_and_judges_a_case_alone() -> None:
    volume = torch.rand(4, 1, 8, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    net = kind.build_net(setup_of(), Brightness(), "linear", 0).double()
    with torch.no_grad():
        found = net(1e3 * volume)
        torch.testing.assert_close(net(1e6 * volume), found, atol=1e-6, rtol=0)
        assert found.std(0).min() > 1e-4
        for _ in range(200):  # running statistics settle
            net(volume)
        net.eval()
        torch.testing.assert_close(net(volume[:1]), net(volume)[:1], atol=1e-12, rtol=0)
