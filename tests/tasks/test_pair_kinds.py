"""Prompts and retrieval: towers with and without text, what is learnt, what predictions hold, and how ranks and scans count."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench import registry
from bench.case_rows import CaseRow
from bench.contracts.configs import Inference, Shape3
from bench.contracts.errors import DataUnsound, SpecError
from bench.contracts.kind import Scored, Setup, make_setup
from bench.contracts.method import Encoder, Features
from bench.contracts.recipes import PromptRecipe, RetrievalInference, RetrievalRecipe
from bench.contracts.record import ImageFile, LabelFile, Record
from bench.metrics.pooled import pooled
from bench.metrics.retrieval import recall_at
from bench.nets.hashed_text import hashed_text
from tasks.kinds import pairing, prompts, retrieval
from tasks.kinds.galleries import Answer, write_answer
from tasks.kinds.scans import first_of_scan

PROMPTS, RETRIEVAL = registry.task("ctrate_prompts"), registry.task("ctrate_retrieval")
SHAPE: Shape3 = (8, 8, 8)


class Images(Encoder):
    """An encoder that tells a volume by its mean and its spread, and reads no text."""

    channels, strides, pooled_width = (2,), ((1, 1, 1),), 2

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, volume: Tensor) -> Features:
        told = torch.stack([volume.mean((1, 2, 3, 4)), volume.std((1, 2, 3, 4))], dim=1) * self.scale
        return Features([volume.expand(-1, 2, -1, -1, -1)], told)

    def layers(self) -> list[nn.Module]:
        return [self]


class Both(Images):
    """The same with text: a sentence's vector says which of three words it holds, and a volume's what it is bright in."""

    def image_vector(self, volume: Tensor) -> Tensor:
        thirds = [part.mean((1, 2, 3, 4)) for part in volume[:, :, :6].split(2, dim=2)]
        return torch.stack(thirds, dim=1) * self.scale

    def describe(self, texts: Sequence[str]) -> Tensor:
        names = ("cardiomegaly", "emphysema", "consolidation")
        rows = [[(-1.0 if "not" in text else 1.0) * float(name in text.lower()) for name in names] for text in texts]
        return torch.tensor(rows)


class Cases:
    """Volumes bright in the third that their report names; three findings of the eighteen are told."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = {f"train_{i}_a_1": name for i, name in enumerate(names)}
        self.cases = tuple(self.names)

    def shape(self, case: str) -> Shape3:
        return SHAPE

    def read(self, case: str, start: Shape3, size: Shape3) -> np.ndarray[Any, Any]:
        volume = np.full((1, *SHAPE), -1000, np.int16)
        place = ("cardiomegaly", "emphysema", "consolidation").index(self.names[case])
        volume[:, 2 * place : 2 * place + 2] = 1000
        return volume

    def fields(self, case: str) -> dict[str, Any]:
        answers = [int(name == self.names[case]) for name in PROMPTS.classes]
        return {"report": f"There is {self.names[case]}.", "label": tuple(answers)}


CASES = Cases(["cardiomegaly", "emphysema", "consolidation", "emphysema"])


def setup(task: Any = PROMPTS, target: str = "", **changes: Any) -> Setup:
    recipe = PromptRecipe if task is PROMPTS else RetrievalRecipe
    made = make_setup(
        task,
        target,
        task.protocols["bench"],
        preset="tiny",
        recipe=recipe(kept_share=(1.0, 1.0, 1.0), **changes),
        inference=Inference() if task is PROMPTS else RetrievalInference(),
        multiple=(1, 1, 1),
    )
    return replace(made, sight=replace(made.sight, shape=SHAPE))


def learnt(kind: Any, made: Setup, net: Any, cases: Cases, steps: int = 60, lr: float = 0.05) -> list[float]:
    """The losses of some steps on all cases at once, the encoder frozen as the recipe says."""
    net.encoder.requires_grad_(False)
    if hasattr(kind, "fit"):
        kind.fit(made, net, cases)
    phase = kind.training_phase(made, net)
    shown = [phase.views(cases, (case,), np.random.default_rng(0)) for case in cases.cases]
    batch = kind.prepare(made)({name: torch.from_numpy(np.stack([one[name] for one in shown])) for name in shown[0]})
    optimiser = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], lr=lr)
    curve = []
    for _ in range(steps):
        (loss,) = phase.turns[0].loss(batch).values()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        curve.append(loss.item())
    return curve


def record(case: str, values: Sequence[int] = (), scan: str = "", number: int = 1) -> Record:
    return Record(
        dataset="made-up",
        adapter_version="1",
        case_id=case,
        patient_id=case,
        group=case,
        images=(ImageFile(path="a.nii.gz", format="nifti"),),
        label=LabelFile(kind="multilabel", values=tuple(values)) if values else LabelFile(kind="report"),
        meta={"scan": scan, "reconstruction": number} if scan else {},
    )


def rows_of(records: Sequence[Record], scored: Sequence[Scored]) -> list[CaseRow]:
    return [CaseRow(r.case_id, *row) for r, s in zip(records, scored, strict=True) for row in s.rows]


# Towers -----------------------------------------------------------------------------------------------


def test_without_learning_an_encoders_own_space_is_judged() -> None:
    net = prompts.build_net(setup(target="zero_shot"), Both(), "unetr", 0)
    assert not any(p.requires_grad for name, p in net.named_parameters() if not name.startswith("encoder"))
    volume = torch.rand(2, 1, *SHAPE)
    own = torch.nn.functional.normalize(Both().image_vector(volume), dim=-1)
    assert torch.allclose(net.image(net.tower(volume)), own)
    assert not prompts.trains(setup(target="zero_shot")) and prompts.trains(setup())
    assert retrieval.trains(setup(RETRIEVAL, "finetune_1000")) and not retrieval.trains(setup(RETRIEVAL))


def test_an_encoder_without_text_cannot_be_judged_as_it_is() -> None:
    assert Both().reads_text and not Images().reads_text
    with pytest.raises(SpecError, match="this encoder reads no text"):
        retrieval.build_net(setup(RETRIEVAL), Images(), "unetr", 0)


def test_learning_starts_from_the_space_that_pre_training_found() -> None:
    made = setup()
    net, bare = prompts.build_net(made, Both(), "unetr", 0), prompts.build_net(setup(target="zero_shot"), Both(), "", 0)
    volume = torch.rand(3, 1, *SHAPE)
    found, expected = (one.likeness(one.tower(volume), prompts.prompts(made)) for one in (net, bare))
    assert torch.allclose(found, expected)


def test_texts_are_worked_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made, asked = setup(target="zero_shot"), []
    net = prompts.build_net(made, Both(), "unetr", 0)
    describe = Both.describe
    monkeypatch.setattr(Both, "describe", lambda self, texts: asked.append(len(texts)) or describe(self, texts))
    for _ in range(3):
        net.likeness(net.tower(torch.rand(1, 1, *SHAPE)), prompts.prompts(made))
    assert asked == [36]


def test_hashed_text_is_of_unit_length_and_tells_findings_and_their_denial_apart() -> None:
    texts = [
        "Lung nodule is present.",
        "Lung nodule is not present.",
        "Emphysema is present.",
        "Emphysema is not present.",
    ]
    found = hashed_text([*texts, texts[0], ""])
    assert torch.equal(found[0], found[4]) and not found[5].any()
    assert torch.allclose(found[:5].norm(dim=1), torch.ones(5))
    alike = found[:4] @ found[:4].T
    assert alike.fill_diagonal_(0).max() < 0.8
    nodule, emphysema = found[0] - found[1], found[2] - found[3]  # what a linear map can tell the two findings by
    assert torch.nn.functional.cosine_similarity(nodule, emphysema, dim=0) < 0.6


def test_a_frozen_tower_looks_once_and_a_learning_one_at_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []
    tower = pairing.PairNet.tower
    monkeypatch.setattr(pairing.PairNet, "tower", lambda self, x: looked.append(len(x)) or tower(self, x))
    losses = []
    for frozen in (True, False):
        made, before = setup(frozen_encoder=frozen), len(looked)
        net = prompts.build_net(made, Both(), "unetr", 0)
        losses.append(learnt(prompts, made, net, CASES, steps=5))
        for _ in range(3):
            prompts.evaluate(made, net, CASES)
        assert sum(looked[before:]) == (4 if frozen else 4 * 5 + 4 * 3)
        assert "images" not in net.state_dict()
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


# Prompts ----------------------------------------------------------------------------------------------


def test_each_finding_has_two_sentences_in_the_words_of_the_recipe() -> None:
    told = prompts.prompts(setup())
    assert len(told) == 36
    assert told[18:20] == ["Lung nodule is present.", "Lung nodule is not present."]
    code = prompts.prompts(setup(affirm="{finding}.", deny="not {finding}."))
    assert code[:2] == ["Medical material.", "not Medical material."]


def test_the_losses_are_what_their_names_say() -> None:
    likeness = torch.tensor([[[0.9, 0.1], [0.2, 0.4], [0.3, 0.3]]])
    answers = torch.tensor([[1, 0, -1]])
    chances = torch.softmax(2 * likeness, -1)
    right = torch.stack([chances[0, 0, 0], chances[0, 1, 1]])
    scale = torch.tensor(2.0)
    assert torch.allclose(prompts.pair_loss(likeness, scale, answers, "pair_ce"), -right.log().mean())
    both = torch.stack([right, 1 - right], 1)  # MG-3D: softmax against (1, 0), mean over both entries
    squared = (both - torch.tensor([1.0, 0.0])).square().mean()
    assert torch.allclose(prompts.pair_loss(likeness, scale, answers, "pair_mse"), squared)
    assert prompts.pair_loss(likeness, scale, torch.full((1, 3), -1), "pair_ce") == 0
    with pytest.raises(SpecError, match="pair_ce, pair_mse"):
        prompts.pair_loss(likeness, scale, answers, "dice_ce")


def test_a_target_with_other_findings_than_the_cards_is_refused_for_answers_come_in_the_cards_order() -> None:
    prompts.demand(setup())
    prompts.demand(setup(target="zero_shot"))
    for names in (PROMPTS.classes[:3], PROMPTS.classes[::-1]):
        with pytest.raises(SpecError, match=r"asks for .* findings, the card tells of 18"):
            prompts.demand(replace(setup(), target="some", classes=names))


def test_zero_shot_reads_a_finding_off_the_sentence_that_a_volume_is_like(tmp_path: Path) -> None:
    made = setup(target="zero_shot")
    net = prompts.build_net(made, Both(), "unetr", 0)
    files = [tmp_path / f"{case}.json" for case in CASES.cases]
    for case, path in zip(CASES.cases, files, strict=True):
        prompts.predict_case(made, net, CASES, case, path)
    told = json.loads(files[0].read_text())
    assert told["cosines"]["cardiomegaly"][0] == pytest.approx(1) and len(told["cosines"]) == 18
    records = [record(case, CASES.fields(case)["label"]) for case in CASES.cases]
    rows = rows_of(records, prompts.score_cases(made, tmp_path, records, CASES, files))
    by_class = pooled("auc", rows).by_class
    assert by_class["cardiomegaly"] == by_class["emphysema"] == by_class["consolidation"] == 1
    assert math.isnan(by_class["lung-nodule"])


def test_an_image_only_encoder_learns_findings_through_fixed_sentences() -> None:
    made = setup(log_scale=2.0)
    net = prompts.build_net(made, Images(), "unetr", 0)
    cases = Cases(["cardiomegaly", "emphysema"])
    cases.read = lambda case, *_: np.full((1, *SHAPE), 900 if "_0_" in case else -900, np.int16)  # type: ignore[method-assign]
    curve = learnt(prompts, made, net, cases)
    assert curve[-1] < 0.5 * curve[0]
    assert prompts.evaluate(made, net, cases) == 1


def test_a_scan_is_scored_by_the_mean_over_its_reconstructions(tmp_path: Path) -> None:
    made = setup()
    records, files = [], []
    for case, scan, number, gap, truth in (
        ("v_1_a_1", "v_1_a", 1, 2.0, 1),
        ("v_1_a_2", "v_1_a", 2, 0.0, 1),
        ("v_2_a_1", "v_2_a", 1, 1.0, 0),
    ):
        records.append(record(case, [truth] * 18, scan, number))
        files.append(tmp_path / f"{case}.json")
        told = {"case": case, "scale": 1.0, "cosines": {name: [gap, 0.0] for name in PROMPTS.classes}}
        files[-1].write_text(json.dumps(told))
    scored = prompts.score_cases(made, tmp_path, records, None, files)
    rows = rows_of(records, scored)

    def chance(gap: float) -> float:
        return 1 / (1 + math.exp(-gap))

    of_scan = {row.case: row.value for row in rows if row.class_ == "emphysema" and row.metric == "score@scan"}
    assert of_scan == {"v_1_a_1": pytest.approx((chance(2) + chance(0)) / 2), "v_2_a_1": pytest.approx(chance(1))}
    assert sum(s.counts["scans"] for s in scored) == 2
    assert pooled("auc", rows).by_class["emphysema"] == 0.5
    assert pooled("auc@scan", rows).by_class["emphysema"] == float((chance(2) + chance(0)) / 2 > chance(1))


def test_an_answer_that_is_not_told_counts_nowhere(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"scale": 1.0, "cosines": {name: [0.3, 0.1] for name in PROMPTS.classes}}))
    (scored,) = prompts.score_cases(setup(), tmp_path, [record("a", [-1] * 18)], None, [path])
    assert all(math.isnan(value) for _, metric, value in scored.rows if metric == "truth")


def test_a_damaged_prompt_prediction_names_its_case(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"scale": 1, "cosines": {}}')
    with pytest.raises(DataUnsound, match=r"a: the prediction does not hold two cosines.*Delete a.json"):
        prompts.score_cases(setup(), tmp_path, [record("a", [0] * 18)], None, [tmp_path / "a.json"])


# Retrieval --------------------------------------------------------------------------------------------


def saved(folder: Path, image: np.ndarray, text: np.ndarray) -> list[Path]:
    paths = [folder / f"{i}.npz" for i in range(len(image))]
    for path, one, other in zip(paths, image, text, strict=True):
        write_answer(path, Answer(one.astype(np.float32), other.astype(np.float32)))
    return paths


def ranks(rows: Sequence[CaseRow], way: str) -> dict[str, float]:
    return {row.case: row.value for row in rows if row.class_ == way}


def test_ranks_of_single_scans_are_those_of_recall_at_k(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    image = rng.standard_normal((30, 6))
    text = image + rng.standard_normal((30, 6))
    records = [record(f"v_{i}") for i in range(30)]
    rows = rows_of(
        records, retrieval.score_cases(setup(RETRIEVAL), tmp_path, records, None, saved(tmp_path, image, text))
    )
    for k in (1, 5, 10, 30):
        expected = recall_at((text @ image.T).astype(np.float32), k)
        found = pooled(f"recall@{k}", rows)
        assert found.value == expected.value and found.by_class["chance"] == expected.chance
        assert found.by_class["unique"] == found.by_class["scan"] == found.value


def test_siblings_of_a_scan_are_in_the_way_of_the_index_and_not_of_the_scan(tmp_path: Path) -> None:
    """Query 0 is most like its sibling 1, then like a stranger 2, then like its own volume 0."""
    image = np.array([[0.5, 0.0], [1.0, 0.0], [0.8, 0.0], [0.0, 1.0]])
    text = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    records = [record("v_1_a_2", scan="v_1_a", number=2), record("v_1_a_1", scan="v_1_a"), record("v_2"), record("v_3")]
    scored = retrieval.score_cases(setup(RETRIEVAL), tmp_path, records, None, saved(tmp_path, image, text))
    rows = rows_of(records, scored)
    assert ranks(rows, "index") == {"v_1_a_2": 3, "v_1_a_1": 1, "v_2": 2, "v_3": 1}
    assert ranks(rows, "scan") == {"v_1_a_2": 1, "v_1_a_1": 1, "v_2": 2, "v_3": 1}
    assert ranks(rows, "unique") == {"v_1_a_1": 1, "v_2": 2, "v_3": 1}
    assert first_of_scan(records) == {"v_1_a_1", "v_2", "v_3"}
    assert sum(s.counts["gallery"] for s in scored) == 4 and sum(s.counts["gallery_unique"] for s in scored) == 3


def test_a_stranger_as_like_as_the_best_of_ones_own_scan_stands_before_it(tmp_path: Path) -> None:
    same = np.ones((3, 2))
    records = [record("v_1_a_2", scan="v_1_a", number=2), record("v_1_a_1", scan="v_1_a"), record("v_2")]
    scored = retrieval.score_cases(setup(RETRIEVAL), tmp_path, records, None, saved(tmp_path, same, same))
    assert ranks(rows_of(records, scored), "scan") == {"v_1_a_2": 2, "v_1_a_1": 2, "v_2": 3}


def test_a_model_that_gives_one_vector_to_all_finds_nothing(tmp_path: Path) -> None:
    same = np.ones((5, 3))
    records = [record(f"v_{i}") for i in range(5)]
    rows = rows_of(
        records, retrieval.score_cases(setup(RETRIEVAL), tmp_path, records, None, saved(tmp_path, same, same))
    )
    assert set(ranks(rows, "index").values()) == {5.0} and pooled("recall@4", rows).value == 0


def test_as_it_stands_a_report_finds_the_volume_that_shows_what_it_says(tmp_path: Path) -> None:
    made, cases = setup(RETRIEVAL), Cases(["cardiomegaly", "emphysema", "consolidation"])
    net = retrieval.build_net(made, Both(), "unetr", 0)
    files = [tmp_path / f"{case}.npz" for case in cases.cases]
    for case, path in zip(cases.cases, files, strict=True):
        retrieval.predict_case(made, net, cases, case, path)
    records = [record(case) for case in cases.cases]
    rows = rows_of(records, retrieval.score_cases(made, tmp_path, records, cases, files))
    assert pooled("recall@1", rows).value == 1 and np.load(files[0])["image"].shape == np.load(files[0])[
        "text"
    ].shape == (3,)
    assert math.isnan(pooled("recall-fused@1", rows).value)  # this encoder does not fuse


def test_the_contrast_is_symmetric_and_falls_to_log_b_where_all_are_alike() -> None:
    same = torch.nn.functional.normalize(torch.ones(4, 3), dim=-1)
    assert retrieval.contrast(same, same, torch.tensor(7.0)).item() == pytest.approx(math.log(4))
    a, b = (torch.nn.functional.normalize(torch.randn(4, 3), dim=-1) for _ in range(2))
    one = retrieval.contrast(a, b, torch.tensor(3.0))
    assert torch.allclose(one, retrieval.contrast(b, a, torch.tensor(3.0)))
    scores = 3 * a @ b.T
    slow = sum(-torch.log_softmax(scores[i], 0)[i] - torch.log_softmax(scores[:, i], 0)[i] for i in range(4)) / 8
    assert torch.allclose(one, slow)


def test_an_image_only_encoder_learns_which_report_is_its_own() -> None:
    made = setup(RETRIEVAL, "finetune_1000", log_scale=2.0)
    cases = Cases(["cardiomegaly", "emphysema", "consolidation"])
    level = dict(zip(cases.cases, (-900, 0, 900), strict=True))

    def read(case: str, start: Shape3, size: Shape3) -> np.ndarray[Any, Any]:
        volume = np.full((1, *SHAPE), level[case], np.int16)
        volume[:, :4] += 90 * (level[case] == 0)
        return volume

    cases.read = read  # type: ignore[method-assign]
    net = retrieval.build_net(made, Images(), "unetr", 0)
    curve = learnt(retrieval, made, net, cases, steps=150)
    assert curve[-1] < 0.5 * curve[0] and retrieval.evaluate(made, net, cases) == 1
    assert "reports" not in net.state_dict()  # texts are no part of the weight file


def test_vectors_that_do_not_fit_each_other_are_refused(tmp_path: Path) -> None:
    paths = [*saved(tmp_path, np.ones((1, 3)), np.ones((1, 3))), tmp_path / "b.npz"]
    write_answer(paths[1], Answer(np.ones(4, np.float32), np.ones(4, np.float32)))
    with pytest.raises(DataUnsound, match="vectors of different lengths"):
        retrieval.score_cases(setup(RETRIEVAL), tmp_path, [record("a"), record("b")], None, paths)
    paths[1].write_bytes(b"no array")
    with pytest.raises(DataUnsound, match=r"b: the prediction cannot be read.*Delete b.npz"):
        retrieval.score_cases(setup(RETRIEVAL), tmp_path, [record("a"), record("b")], None, paths)


@pytest.mark.parametrize(("task", "kind"), [(PROMPTS, prompts), (RETRIEVAL, retrieval)])
def test_a_recipe_names_the_middle_that_is_shown_and_the_scale_at_which_cosines_start(task: Any, kind: Any) -> None:
    made = setup(task, log_scale=2.0)
    assert float(kind.build_net(made, Both(), "unetr", 0).log_scale.detach()) == 2.0
    view = pairing.view_of(replace(made, recipe=replace(made.recipe, kept_share=(0.5, 0.25, 1.0))))  # type: ignore[call-arg]
    assert (view.shape, view.kept_share) == (SHAPE, (0.5, 0.25, 1.0))


# Cards ------------------------------------------------------------------------------------------------


def test_the_findings_are_ct_rates_in_the_order_of_its_table() -> None:
    from bench.phantoms.findings import FINDINGS as MADE
    from tasks.layouts.ct_rate_tables import FINDINGS as TOLD

    assert PROMPTS.classes == tuple(name.lower().replace(" ", "-") for name in TOLD) == MADE


def test_mg3d_on_ct_rate_is_as_its_paper_and_code_do_it() -> None:
    recipe = PROMPTS.protocols["mg3d"].recipe
    assert isinstance(recipe, PromptRecipe) and recipe.frozen_encoder and recipe.log_scale == 1.0
    assert (recipe.steps, recipe.batch_size, recipe.lr, recipe.weight_decay) == (10_000, 1, 1e-5, 0.1)
    assert recipe.warmup_steps == recipe.steps and recipe.loss == "pair_mse" and recipe.selection == "last"
    assert (recipe.affirm, recipe.deny) == ("{finding}.", "not {finding}.")
    assert RETRIEVAL.text_targets == ("",) and PROMPTS.text_targets == ("zero_shot",)
    for task in (PROMPTS, RETRIEVAL):
        for protocol in task.protocols.values():
            assert protocol.spacing_mm == (0.75, 0.75, 1.5) and protocol.patch_voxels == (128, 96, 128)
            assert protocol.recipe.kept_share == (0.875, 0.65625, 0.88)  # type: ignore[attr-defined]


def test_the_cards_tell_where_they_leave_the_released_code() -> None:
    """A tenth of the 1,000 scans is val. In fused retrieval sentences guide and the report stands as it is; in the code the mean
    of all tokens guides, and the report is informed by the volume."""
    for task in (PROMPTS, RETRIEVAL):
        told = " ".join(task.protocols["mg3d"].notes)
        assert "of the 1,000 scans, for 100 are left for val" in told or "100 of them are left for val" in told
    for protocol in RETRIEVAL.protocols.values():
        assert any("one mean of all 512 tokens guides, and" in n and "informed it" in n for n in protocol.notes)


def test_every_pair_of_the_layers_ends_with_what_is_learnt() -> None:
    net = prompts.build_net(setup(), Images(), "unetr", 0)
    assert len(pairing.layers(net)) == 2 and set(pairing.layers(net)[-1].parameters()) == {
        *net.image_map.parameters(),
        *net.text_map.parameters(),
    }
