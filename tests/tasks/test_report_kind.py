"""Report generation: its vocabulary, its decoder, its search, and what a prediction and its score hold."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench import registry
from bench.contracts.configs import Inference, Shape3
from bench.contracts.errors import DataMissing, DataUnsound, SpecError
from bench.contracts.kind import Setup, make_setup
from bench.contracts.method import Encoder, Features
from bench.contracts.recipes import ReportInference, ReportRecipe
from bench.contracts.record import ImageFile, LabelFile, Record
from bench.metrics.rouge import rouge_l
from bench.metrics.text import digest_of, tokenise
from bench.nets.word_decoder import WordDecoder, visual_tokens
from bench.train.checkpoint import load_weights, save_weights
from tasks.kinds import report, vocabulary
from tasks.kinds.whole_view import WholeView
from tasks.kinds.word_search import beam, greedy

TASK = registry.task("ctrg_report")
REPORTS = {
    "a": "No nodule. Heart is normal. No effusion.",
    "b": "Nodule in the right lobe. Heart is normal.",
    "c": "No nodule. Effusion in the left lobe.",
    "d": "Heart is normal. No effusion. No nodule.",
}


class TwoMaps(Encoder):
    """An encoder of two convolutions that keeps what it is shown."""

    channels, strides, pooled_width = (4, 6), ((2, 2, 2), (4, 4, 4)), 6

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv3d(1, 4, 2, 2), nn.Conv3d(4, 6, 2, 2)

    def forward(self, volume: Tensor) -> Features:
        first = self.one(volume)
        second = self.two(first)
        return Features([first, second], second.mean((2, 3, 4)))


class Cases:
    """Four volumes in memory with a report each; the case decides the voxels."""

    def __init__(self, reports: dict[str, str] = REPORTS, shape: Shape3 = (12, 12, 12)) -> None:
        self.cases = tuple(reports)
        self.reports, self.size = reports, shape

    def shape(self, case: str) -> Shape3:
        return self.size

    def read(self, case: str, start: Shape3, size: Shape3) -> np.ndarray[Any, Any]:
        whole = np.full((1, *self.size), 20, np.int16)
        place = self.cases.index(case)
        whole[:, place * 3 : place * 3 + 3] = 230
        return whole[(slice(None), *(slice(s, s + n) for s, n in zip(start, size, strict=True)))]

    def fields(self, case: str) -> dict[str, Any]:
        return {"report": self.reports[case]} if self.reports[case] else {}


def setup(**changes: Any) -> Setup:
    recipe = {"least_count": 1, "vocabulary": 40, "max_tokens": 20, "kept_share": (1.0, 1.0, 1.0), "dropout": 0.0}
    recipe |= {"decoder_width": 32, "decoder_depth": 1, "decoder_heads": 2, "decoder_hidden": 32}
    inference = {name: changes.pop(name) for name in ("beam", "reference") if name in changes}
    made = make_setup(
        TASK,
        "",
        TASK.protocols["bench"],
        preset="tiny",
        recipe=ReportRecipe(**{**recipe, **changes}),
        inference=ReportInference(**inference),
        multiple=(1, 1, 1),
    )
    from dataclasses import replace

    return replace(made, sight=replace(made.sight, shape=(12, 12, 12)))


def net_of(made: Setup, cases: Cases | None = None) -> report.ReportNet:
    torch.manual_seed(0)
    net = report.build_net(made, TwoMaps(), "unetr", 0)
    if cases is not None:
        report.fit(made, net, cases)
    return net


def batch_of(made: Setup, net: report.ReportNet, cases: Cases) -> dict[str, Tensor]:
    views = report.training_phase(made, net).views
    shown = [views(cases, (case,), np.random.default_rng(0)) for case in cases.cases]  # type: ignore[arg-type]
    batch = {name: torch.from_numpy(np.stack([one[name] for one in shown])) for name in shown[0]}
    return report.prepare(made)(batch)


# Vocabulary -------------------------------------------------------------------------------------------


def test_the_vocabulary_holds_words_that_stand_often_enough_most_frequent_first() -> None:
    texts = [["a", "b", "b", "c"], ["b", "c", "c"], ["é"] * 3, ["rare"]]
    words = vocabulary.words_in(vocabulary.fitted(texts, least_count=2, room=10))
    assert words == ("<pad>", "<start>", "<end>", "<unk>", "b", "c", "é")
    assert vocabulary.ids_of(["c", "rare", "b"], vocabulary.places(words), 2) == [1, 5, 3, 2]
    assert vocabulary.ids_of(["b"], vocabulary.places(words), 3) == [1, 4, 2, 0, 0]
    assert vocabulary.unknown_places(["c", "rare", "x", "b"], vocabulary.places(words)) == [1, 2]
    assert vocabulary.decoded(["c", "rare", "x", "b"], [1, 2], 3) == ["c", "<unk>", "<unk>"]


def test_a_vocabulary_that_finds_no_word_or_no_room_says_what_to_set() -> None:
    with pytest.raises(DataMissing, match=r"no word stands 3 times in .*least_count=1"):
        vocabulary.fitted([["a", "b"]], least_count=3, room=10)
    with pytest.raises(SpecError, match=r"3 words .* room for 2.* finetune.vocabulary=7"):
        vocabulary.fitted([["a", "b", "c"]], least_count=1, room=6)


def test_the_weight_file_alone_brings_the_vocabulary_back(tmp_path: Path) -> None:
    made = setup()
    net = net_of(made, Cases())
    save_weights(tmp_path / "model.safetensors", net.state_dict(), {})
    fresh = net_of(made)
    assert vocabulary.words_in(fresh.spellings) == ()
    fresh.load_state_dict(load_weights(tmp_path / "model.safetensors")[0])
    assert vocabulary.words_in(fresh.spellings) == vocabulary.words_in(net.spellings)
    assert "nodule" in vocabulary.words_in(fresh.spellings)


# Decoder and search -----------------------------------------------------------------------------------


def test_visual_tokens_are_every_map_pooled_to_the_same_cells() -> None:
    maps = [torch.arange(64.0).view(1, 1, 4, 4, 4), torch.ones(1, 2, 3, 3, 3)]
    tokens = visual_tokens(Features(maps, torch.zeros(1, 1)), 2)
    assert tokens.shape == (1, 8, 3) and torch.equal(tokens[0, :, 1:], torch.ones(8, 2))
    assert tokens[0, 0, 0] == maps[0][0, 0, :2, :2, :2].mean() and tokens[0, -1, 0] == maps[0][0, 0, 2:, 2:, 2:].mean()


def test_a_word_sees_the_words_before_it_and_none_behind() -> None:
    torch.manual_seed(0)
    decoder = WordDecoder(5, words=11, longest=6, width=16, depth=2, heads=2, hidden=16, slots=3, dropout=0.0)
    memory = decoder.memory(torch.randn(2, 4, 5))
    assert memory.shape == (2, 7, 16)
    ids = torch.randint(11, (2, 6))
    changed = ids.clone()
    changed[:, 4] = (changed[:, 4] + 1) % 11
    before, after = decoder(ids, memory), decoder(changed, memory)
    assert torch.allclose(before[:, :4], after[:, :4], atol=1e-6) and not torch.allclose(before[:, 4], after[:, 4])


def test_the_loss_is_a_mean_over_words_and_then_over_reports() -> None:
    scores = torch.randn(2, 3, 5)
    words = torch.tensor([[4, 2, 0], [3, 4, 2]])
    each = -torch.log_softmax(scores, 2)
    first = (each[0, 0, 4] + each[0, 1, 2]) / 2
    second = (each[1, 0, 3] + each[1, 1, 4] + each[1, 2, 2]) / 3
    assert torch.allclose(report.next_word_loss(scores, words), (first + second) / 2)


def chances(ids: Tensor) -> Tensor:
    """Log-probabilities that depend on the whole beginning; word 2 ends."""
    rows = []
    for row in ids.tolist():
        weights = np.random.default_rng([7, *row]).dirichlet(np.ones(5))
        rows.append(np.log(weights))
    return torch.tensor(np.stack(rows))


def test_a_wide_beam_finds_what_trying_everything_finds() -> None:
    found = beam(chances, start=1, end=2, longest=3, width=125, device=torch.device("cpu"))
    texts = [(*words, 2) for n in range(3) for words in itertools.product((0, 1, 3, 4), repeat=n)]
    texts += list(itertools.product((0, 1, 3, 4), repeat=3))

    def score(text: tuple[int, ...]) -> float:
        return sum(float(chances(torch.tensor([[1, *text[:i]]]))[0, word]) for i, word in enumerate(text))

    best = max(texts, key=score)
    assert found == [word for word in best if word != 2]


def test_a_beam_of_one_is_greedy_search_and_texts_end_where_they_end() -> None:
    one = beam(chances, start=1, end=2, longest=8, width=1, device=torch.device("cpu"))
    both = greedy(chances, 2, start=1, end=2, longest=8, device=torch.device("cpu"))
    assert both == [one, one] and 2 not in one and len(one) <= 8


# The kind ---------------------------------------------------------------------------------------------


def test_a_generator_learns_to_say_what_it_sees(tmp_path: Path) -> None:
    made, cases = setup(), Cases()
    net = net_of(made, cases)
    phase = report.training_phase(made, net)
    batch = batch_of(made, net, cases)
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-2)
    curve = []
    for _ in range(150):
        loss = phase.turns[0].loss(batch)["next_word"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        curve.append(loss.item())
    assert curve[-1] < 0.1 < 1 < curve[0]
    net.eval()
    with torch.no_grad():
        assert report.evaluate(made, net, cases) > 0.9
    report.predict_case(made, net, cases, "c", tmp_path / "c.json")
    assert json.loads((tmp_path / "c.json").read_text())["text"] == "no nodule . effusion in the left lobe ."


def test_a_prediction_holds_no_word_of_the_true_report_that_was_not_written(tmp_path: Path) -> None:
    made = setup(least_count=3)
    net = net_of(made, Cases()).eval()
    cases = Cases({**REPORTS, "e": "No zebra nodule."})
    report.predict_case(made, net, cases, "e", tmp_path / "e.json")
    text = (tmp_path / "e.json").read_text()
    assert json.loads(text)["unknown"] == [1] and "zebra" not in text


def test_a_case_without_a_report_can_be_predicted(tmp_path: Path) -> None:
    made = setup()
    report.predict_case(made, net_of(made, Cases()).eval(), Cases({"x": ""}), "x", tmp_path / "x.json")
    assert json.loads((tmp_path / "x.json").read_text())["unknown"] is None


def record(text: str) -> Record:
    return Record(
        dataset="made-up",
        adapter_version="1",
        case_id="a",
        patient_id="a",
        group="a",
        images=(ImageFile(path="a.nii.gz", format="nifti"),),
        label=LabelFile(kind="report"),
        text=text,
    )


def scored(path: Path, made: Setup, text: str, written: str, unknown: list[int]) -> Any:
    path.write_text(json.dumps({"case": "a", "text": written, "unknown": unknown}))
    return report.score_case(made, path.parent, record(text), None, path)


def value(found: Any, class_: str, metric: str) -> float:
    return next(v for name, m, v in found.rows if (name, m) == (class_, metric))


def test_both_references_are_scored_and_the_protocol_names_the_first(tmp_path: Path) -> None:
    text, written = "No zebra nodule. Heart is normal.", "no <unk> nodule . heart"
    full = scored(tmp_path / "a.json", setup(max_tokens=5), text, written, [1])
    cut = scored(tmp_path / "a.json", setup(max_tokens=5, reference="decoded"), text, written, [1])
    assert {name for name, _, _ in full.rows} == {"reference", "decoded"}
    assert {name for name, _, _ in cut.rows} == {"reference", "full"}
    assert value(full, "reference", "reference-length") == 8 and value(full, "decoded", "reference-length") == 5
    assert value(full, "reference", "match-1") == 4 == value(cut, "full", "match-1")
    assert value(full, "decoded", "match-1") == 5 == value(cut, "reference", "match-1")
    assert value(full, "decoded", "rouge-l") == pytest.approx(1.0) == value(cut, "reference", "rouge-l")
    assert value(full, "reference", "rouge-l") == rouge_l(written.split(), [tokenise(text, "report")]) < 0.8
    assert full.counts == {"unknown_words": 1, "truncated": 1}


def test_a_damaged_prediction_names_its_case_and_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(DataUnsound, match=r"a: the prediction is no report.* Delete a.json"):
        report.score_case(setup(), tmp_path, record("No nodule."), None, tmp_path / "a.json")


# The view and the card --------------------------------------------------------------------------------


def test_the_view_keeps_the_middle_and_resizes_it() -> None:
    cases = Cases(shape=(12, 10, 8))
    kept = WholeView((6, 5, 4), (0.5, 0.5, 0.5)).of(cases, "b")  # type: ignore[arg-type]
    assert kept.shape == (1, 6, 5, 4) and kept.dtype == np.int16
    assert np.array_equal(kept, cases.read("b", (3, 2, 2), (6, 5, 4)))
    half = WholeView((6, 5, 4), (1.0, 1.0, 1.0)).of(cases, "a")  # type: ignore[arg-type]
    assert half[0, 0, 0, 0] == 230 and half[0, 5, 0, 0] == 20 and half[0, 1, 0, 0] == 125


def test_training_shows_the_middle_that_the_recipe_keeps() -> None:
    made, cases = setup(kept_share=(0.5, 1.0, 1.0)), Cases()
    views, middle = report.training_phase(made, net_of(made, cases)).views, WholeView((12, 12, 12), (0.5, 1.0, 1.0))
    shown = views(cases, ("a",), np.random.default_rng(0))["volume"]  # type: ignore[arg-type]
    assert np.array_equal(shown, middle.of(cases, "a"))  # type: ignore[arg-type]
    assert (shown == 20).all()  # "a" is bright in the first quarter alone


def test_a_generator_has_the_layers_the_memory_and_the_cells_that_its_recipe_names() -> None:
    made = setup(decoder_depth=3, decoder_heads=4, decoder_hidden=24, memory_slots=5, pooled_side=2, dropout=0.25)
    net = net_of(made)
    layers = [(x.self_attn.num_heads, x.linear1.out_features, x.dropout.p) for x in net.decoder.layers]  # type: ignore[union-attr]
    assert layers == 3 * [(4, 24, 0.25)]
    assert net.memory(torch.zeros(1, 1, 12, 12, 12)).shape == (1, 2**3 + 5, 32)


def test_the_card_states_the_tokenisation_that_is_in_force() -> None:
    for protocol in TASK.protocols.values():
        assert any(f"`report` (sha256 of its answers {digest_of('report')})" in note for note in protocol.notes)
        assert isinstance(protocol.recipe, ReportRecipe) and protocol.recipe.tokenisation == "report"
        assert isinstance(protocol.inference, ReportInference)
        assert protocol.metrics == ("bleu-1", "bleu-2", "bleu-3", "bleu-4", "rouge-l")


def test_mg3d_on_reports_is_as_its_paper_and_code_do_it() -> None:
    chosen = TASK.protocols["mg3d"]
    recipe = chosen.recipe
    assert isinstance(recipe, ReportRecipe) and isinstance(chosen.inference, ReportInference)
    assert recipe.steps == 30 * 1444 // 2 and recipe.batch_size == 2 and recipe.lr * recipe.layer_decay == 5e-5
    assert (recipe.decoder_depth, recipe.decoder_width, recipe.decoder_heads, recipe.memory_slots) == (1, 512, 8, 60)
    assert (recipe.max_tokens, recipe.least_count, chosen.inference.beam) == (150, 3, 3)
    assert chosen.inference.reference == "decoded" and chosen.patch_voxels == (128, 128, 128)


@pytest.mark.parametrize("preset", ["full", "small", "tiny"])
def test_recipe_and_inference_keep_their_kind_at_every_preset(preset: str) -> None:
    for protocol in TASK.protocols.values():
        recipe, inference = protocol.recipe.sized(preset, TASK.kind), protocol.inference.sized(preset)
        assert isinstance(recipe, ReportRecipe) and isinstance(inference, ReportInference | Inference)
        assert recipe.decoder_width % recipe.decoder_heads == 0 and recipe.flip_axes == ()
        assert math.isfinite(recipe.lr) and tokenise("a", recipe.tokenisation)
